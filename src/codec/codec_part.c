/* Columns read in parts: a search that wants one row of a long column decodes one part of it. */
#include "codec/codec_ans_priv.h"

struct lm_column_parts {
    lm_mem *mem;
    const lm_column *info;
    uint64_t offset; /* of the block in the file, for errors */
    size_t index;
    codec_parts node;
};

void codec_parts_close(lm_mem *mem, codec_parts *p)
{
    if (p->is_open) codec_static_close(&p->run);
    p->is_open = false;
    lm_mem_release(mem, p->starts, 2 * codec_part_count(p->count) * sizeof *p->starts);
    lm_mem_release(mem, p->dict, p->distinct * sizeof *p->dict);
    p->starts = NULL;
    p->dict = NULL;
}

static lm_err damaged(const lm_column_parts *parts)
{
    lm_err_info why;
    lm_err_save(&why);
    return lm_fail_at(LM_E_CORRUPT, parts->offset, "column %zu: %s", parts->index, why.text);
}

static lm_err node_open(lm_column_parts *parts, lm_str bytes)
{
    codec_dec dec;
    lm_reader in = lm_reader_of(bytes.ptr, bytes.len);
    codec_dec_init(&dec, parts->mem);
    lm_err err = parts->info->type == LM_COLUMN_INT
                     ? codec_ints_open(&dec, &in, 0, &parts->node)
                     : codec_ids_open(&dec, &in, parts->info->alphabet, &parts->node);
    codec_dec_fini(&dec);
    if (!err && parts->node.kind == CODEC_PARTS_DICT && parts->node.is_open) {
        parts->node.ids = lm_mem_alloc(parts->mem, LM_PART_VALUES * sizeof *parts->node.ids);
        if (!parts->node.ids) err = lm_mem_err();
    }
    return err == LM_E_CORRUPT ? damaged(parts) : err;
}

lm_err lm_columns_parts_open(const lm_columns *columns, size_t index, lm_column_parts **out)
{
    const lm_column *info = lm_columns_info(columns, index);
    lm_str bytes;
    uint64_t offset;
    *out = NULL;
    if (info->type != LM_COLUMN_INT && info->type != LM_COLUMN_ID) return LM_OK;
    if (!codec_is_in_parts(info->count)) return LM_OK;
    lm_err err = codec_columns_large(columns, index, &bytes, &offset);
    if (err || !bytes.len || bytes.ptr[0] >= CODEC_DERIVED) return err;
    lm_column_parts *parts = lm_mem_calloc(codec_columns_mem(columns), 1, sizeof *parts);
    if (!parts) return lm_mem_err();
    parts->mem = codec_columns_mem(columns);
    parts->info = info;
    parts->offset = offset;
    parts->index = index;
    parts->node.count = info->count;
    err = node_open(parts, bytes);
    if (err || !parts->node.is_open)
        lm_columns_parts_free(parts);
    else
        *out = parts;
    return err;
}

lm_err lm_columns_parts_read(lm_column_parts *parts, size_t part, void *dst)
{
    const lm_column *info = parts->info;
    LM_ASSERT(part < codec_part_count(info->count));
    lm_err err = info->type == LM_COLUMN_INT
                     ? codec_ints_read(&parts->node, part, dst)
                     : codec_ids_read(&parts->node, part, info->alphabet,
                                      (uint32_t *)dst + part * LM_PART_VALUES);
    return err == LM_E_CORRUPT ? damaged(parts) : err;
}

void lm_columns_parts_free(lm_column_parts *parts)
{
    if (!parts) return;
    lm_mem_release(parts->mem, parts->node.ids, LM_PART_VALUES * sizeof *parts->node.ids);
    codec_parts_close(parts->mem, &parts->node);
    lm_mem_release(parts->mem, parts, sizeof *parts);
}

/**
 * The miner's table as bytes, so that a later run goes on with the same ids.
 * docs/format/templates.md is the law.
 *
 * Stored are tokens, shapes and template rows; groups and all indexes follow from the shapes.
 * Everything read back is checked: counts against what is left, ids against counts, the checksum
 * before meaning.
 */
#include "template/template_priv.h"

enum { STORE_VERSION = 1, STORE_TAIL = 8 };

static const uint8_t store_magic[4] = {'L', 'M', 'T', 'P'};

static lm_err write_str(lm_buf *out, lm_str s)
{
    lm_err err = lm_buf_varint(out, s.len);
    return err ? err : lm_buf_append(out, s.ptr, s.len);
}

static lm_err write_tokens(const lm_miner *m, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, m->token_count);
    for (size_t i = 0; i < m->token_count && !err; i++)
        err = write_str(out, (lm_str){m->token_bytes.ptr + m->tokens[i].offset, m->tokens[i].len});
    return err;
}

static lm_err write_shapes(const lm_miner *m, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, m->shape_count);
    for (size_t i = 0; i < m->shape_count && !err; i++) {
        const shape_row *s = &m->shapes[i];
        err = lm_buf_u8(out, (uint8_t)s->is_rest);
        if (!err) err = lm_buf_varint(out, s->count);
        for (size_t k = 0; k < s->count && !err; k++)
            err = lm_buf_varint(out, m->shape_tokens[s->first + k]);
        if (!err)
            err = lm_buf_varint(out, (uint64_t)(uint32_t)(m->groups[s->group].template_id + 1));
        if (!err) err = lm_buf_varint(out, (uint64_t)(uint32_t)(s->decreed + 1));
    }
    return err;
}

static lm_err write_templates(const lm_miner *m, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, m->template_count);
    for (size_t i = 0; i < m->template_count && !err; i++) {
        const template_row *row = &m->templates[i];
        err = write_str(out, row->text);
        if (!err) err = write_str(out, row->name);
        if (!err) err = lm_buf_varint(out, row->forward);
        if (!err) err = lm_buf_varint(out, (uint64_t)(uint32_t)(row->successor + 1));
        if (!err) err = lm_buf_u8(out, row->is_decreed);
    }
    if (!err) err = lm_buf_varint(out, (uint64_t)(uint32_t)(m->rest_template + 1));
    return err;
}

lm_err lm_miner_save(const lm_miner *m, lm_buf *out)
{
    size_t begin = out->len;
    lm_err err = lm_buf_append(out, store_magic, sizeof store_magic);
    if (!err) err = lm_buf_le32(out, STORE_VERSION);
    if (!err) err = write_tokens(m, out);
    if (!err) err = write_shapes(m, out);
    if (!err) err = write_templates(m, out);
    if (!err) err = lm_buf_varint(out, m->rest_count);
    if (!err) err = lm_buf_varint(out, m->is_settled ? m->settled_shape_count : 0);
    if (!err) err = lm_buf_le64(out, lm_hash64(out->ptr + begin, out->len - begin));
    if (err) out->len = begin;
    return err;
}

/* ---- reading back ---- */

static lm_err corrupt(const char *what)
{
    return lm_fail(LM_E_CORRUPT, "template table: %s", what);
}

static lm_err read_tokens(lm_miner *m, lm_reader *r)
{
    uint64_t count = lm_reader_varint_max(r, lm_reader_left(r));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len = lm_reader_varint_max(r, TOKEN_BYTES_MAX);
        lm_str bytes = lm_reader_bytes(r, (size_t)len);
        uint32_t id = 0;
        if (r->failed || len == 0) return corrupt("a token is cut off");
        lm_err err = template_token_intern(m, bytes.ptr, bytes.len,
                                           template_token_flags(bytes.ptr, bytes.len), &id);
        if (err) return err;
        if (id != i) return corrupt("a token is there twice");
    }
    return LM_OK;
}

static lm_err read_shape(lm_miner *m, lm_reader *r, uint32_t index)
{
    item items[MESSAGE_TOKENS_MAX];
    size_t bytes = 0;
    uint8_t is_rest = lm_reader_u8(r);
    size_t count = (size_t)lm_reader_varint_max(r, MESSAGE_TOKENS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = lm_reader_varint_max(r, m->token_count - 1);
        if (r->failed) break;
        bytes += m->tokens[id].len;
        items[i] = template_item_of(m, (uint32_t)id);
    }
    uint32_t group_template = (uint32_t)lm_reader_varint_max(r, UINT32_MAX) - 1;
    uint32_t decreed = (uint32_t)lm_reader_varint_max(r, UINT32_MAX) - 1;
    if (r->failed || is_rest > 1) return corrupt("a shape is cut off");
    if (bytes > SKELETON_BYTES_MAX) return corrupt("a shape is too long");
    uint32_t id = 0;
    lm_err err =
        is_rest ? template_rest_shape(m, &id)
                : template_shape_insert(m, items, count, template_any_flags(items, count), &id);
    if (err) return err;
    if (id != index) return corrupt("a shape is there twice");
    m->shapes[id].decreed = decreed;
    group_row *g = &m->groups[m->shapes[id].group];
    if (g->template_id == NO_INDEX) g->template_id = group_template;
    return LM_OK;
}

static lm_err read_str(lm_miner *m, lm_reader *r, lm_str *out)
{
    uint64_t len = lm_reader_varint_max(r, lm_reader_left(r));
    lm_str s = lm_reader_bytes(r, (size_t)len);
    if (r->failed) return corrupt("a text is cut off");
    uint8_t *copy = lm_arena_copy(&m->text_arena, s.ptr, s.len);
    if (!copy) return lm_mem_err();
    *out = (lm_str){copy, s.len};
    return LM_OK;
}

static lm_err read_templates(lm_miner *m, lm_reader *r)
{
    uint64_t count = lm_reader_varint_max(r, lm_reader_left(r));
    if (r->failed) return corrupt("the templates are cut off");
    lm_err err =
        lm_vec_grow(m->mem, &m->templates, &m->template_cap, (size_t)count, sizeof *m->templates);
    for (uint64_t i = 0; i < count && !err; i++) {
        template_row row = {0};
        err = read_str(m, r, &row.text);
        if (!err) err = read_str(m, r, &row.name);
        if (err) break;
        row.forward = (uint32_t)lm_reader_varint_max(r, count - 1);
        row.successor = (uint32_t)lm_reader_varint_max(r, count) - 1;
        row.is_decreed = lm_reader_u8(r) != 0;
        if (r->failed) return corrupt("a template is cut off");
        m->templates[i] = row;
        m->template_count = (size_t)i + 1;
    }
    if (err) return err;
    m->rest_template = (uint32_t)lm_reader_varint_max(r, count) - 1;
    return r->failed ? corrupt("the templates are cut off") : LM_OK;
}

/* Forwards lead to live ids without circles. A walk ends where an earlier one has been: no row is
 * passed twice. */
static lm_err check_forwards(const lm_miner *m)
{
    uint32_t *walk_of = lm_mem_calloc(m->mem, m->template_count, sizeof *walk_of); /* + 1 */
    if (!walk_of) return lm_mem_err();
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < m->template_count && !err; i++) {
        uint32_t id = i;
        for (; !walk_of[id] && m->templates[id].forward != id; id = m->templates[id].forward)
            walk_of[id] = i + 1;
        if (walk_of[id] == i + 1) err = corrupt("templates forward in a circle");
    }
    lm_mem_release(m->mem, walk_of, m->template_count * sizeof *walk_of);
    return err;
}

static lm_err check_ids(const lm_miner *m)
{
    lm_err err = check_forwards(m);
    if (err) return err;
    for (size_t i = 0; i < m->settled_shape_count; i++) {
        const shape_row *s = &m->shapes[i];
        if (m->groups[s->group].template_id == NO_INDEX) return corrupt("a shape has no template");
    }
    for (size_t i = 0; i < m->shape_count; i++) {
        const shape_row *s = &m->shapes[i];
        uint32_t of_group = m->groups[s->group].template_id;
        bool is_known = of_group == NO_INDEX || of_group < m->template_count;
        if (!is_known || (s->decreed != NO_INDEX && s->decreed >= m->template_count))
            return corrupt("a shape names a template that is not there");
    }
    return LM_OK;
}

static lm_err read_all(lm_miner *m, lm_reader *r)
{
    lm_err err = read_tokens(m, r);
    if (err) return err;
    uint64_t count = lm_reader_varint_max(r, lm_reader_left(r));
    if (r->failed) return corrupt("the shapes are cut off");
    for (uint32_t i = 0; i < count && !err; i++)
        err = read_shape(m, r, i);
    if (!err) err = read_templates(m, r);
    if (err) return err;
    m->rest_count = lm_reader_varint(r);
    m->settled_shape_count = (size_t)lm_reader_varint_max(r, count);
    m->is_settled = m->settled_shape_count > 0;
    if (r->failed || lm_reader_left(r) != 0) return corrupt("its length is wrong");
    err = check_ids(m);
    m->is_full =
        m->shape_count >= m->shape_count_max || template_table_bytes(m) >= m->table_bytes_max;
    return err;
}

lm_err lm_miner_load(lm_mem *mem, lm_str bytes, const lm_miner_options *options, lm_miner **out)
{
    if (bytes.len < sizeof store_magic + 4 + STORE_TAIL ||
        memcmp(bytes.ptr, store_magic, sizeof store_magic) != 0)
        return corrupt("not a template table");
    size_t body = bytes.len - STORE_TAIL;
    if (lm_le64(bytes.ptr + body) != lm_hash64(bytes.ptr, body))
        return corrupt("the checksum is wrong");
    if (lm_le32(bytes.ptr + sizeof store_magic) != STORE_VERSION) {
        return lm_fail(LM_E_UNSUPPORTED, "template table of version %u, this build knows %d",
                       lm_le32(bytes.ptr + sizeof store_magic), STORE_VERSION);
    }
    lm_miner *m = NULL;
    lm_err err = lm_miner_new(mem, options, &m);
    if (err) return err;
    lm_reader r = lm_reader_of(bytes.ptr + sizeof store_magic + 4, body - sizeof store_magic - 4);
    err = read_all(m, &r);
    if (err) {
        lm_miner_free(m);
        return err;
    }
    *out = m;
    return LM_OK;
}

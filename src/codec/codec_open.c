#include "codec/codec_priv.h"

#include <stdatomic.h>

/* An opened directory. Small columns come in frames; a frame is decoded once, at first use, and
 * kept: its columns are asked for one after the other. Publishing is one compare-and-swap, the
 * loser's copy is freed: no lock. */

/** A decoded frame: values of each member. */
typedef struct frame {
    lm_arena arena;
    void **values;
    lm_str bytes; /* BYTES: of all members */
} frame;

typedef struct block {
    uint64_t offset, len; /* in blocks */
    uint32_t check;
    uint32_t first; /* where its members start in lm_columns.members */
    uint32_t count;
    uint8_t kind;
    _Atomic(frame *) decoded; /* frames only */
    atomic_bool is_damaged;   /* a frame: it need not be tried again for each of its columns */
} block;

struct lm_columns {
    lm_mem *mem;
    lm_str blocks_bytes;
    uint64_t base_offset;
    size_t count, block_count;
    lm_column *columns;
    uint32_t *block_of;  /* of each column */
    uint32_t *member_of; /* place of each column in its block */
    uint32_t *members;   /* columns by block */
    block *blocks;
};

static void frame_free(lm_mem *mem, frame *f)
{
    if (!f) return;
    lm_arena_fini(&f->arena);
    lm_mem_release(mem, f, sizeof *f);
}

void lm_columns_free(lm_columns *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->block_count && c->blocks; i++)
        frame_free(c->mem, atomic_load(&c->blocks[i].decoded));
    lm_mem_release(c->mem, c->blocks, c->block_count * sizeof *c->blocks);
    lm_mem_release(c->mem, c->columns, c->count * sizeof *c->columns);
    lm_mem_release(c->mem, c->block_of, c->count * sizeof *c->block_of);
    lm_mem_release(c->mem, c->member_of, c->count * sizeof *c->member_of);
    lm_mem_release(c->mem, c->members, c->count * sizeof *c->members);
    lm_mem_release(c->mem, c, sizeof *c);
}

static lm_err read_blocks(lm_columns *c, lm_reader *in)
{
    uint64_t offset = 0, members = 0;
    for (size_t i = 0; i < c->block_count; i++) {
        c->blocks[i].kind = lm_reader_u8(in);
        if (c->blocks[i].kind > CODEC_FRAME_KINDS)
            return codec_damaged("a block has an unknown kind");
    }
    for (size_t i = 0; i < c->block_count; i++) {
        c->blocks[i].offset = offset;
        c->blocks[i].len = lm_reader_varint_max(in, c->blocks_bytes.len - offset);
        offset += c->blocks[i].len;
    }
    for (size_t i = 0; i < c->block_count; i++) {
        block *b = &c->blocks[i];
        b->count = b->kind ? (uint32_t)lm_reader_varint_max(in, c->count - members) : 1;
        b->first = (uint32_t)members;
        members += b->count;
        if (members > c->count) return codec_damaged("blocks hold more columns than there are");
    }
    if (in->failed || members != c->count) return codec_damaged("the block table is damaged");
    if (offset != c->blocks_bytes.len) return codec_damaged("blocks are cut short");
    return LM_OK;
}

static lm_err read_columns(lm_columns *c, lm_reader *in)
{
    for (size_t i = 0; i < c->count; i++) {
        unsigned byte = lm_reader_u8(in);
        unsigned type = byte & 7;
        bool is_apart = type == CODEC_TYPE_APART && byte >> 7;
        if (is_apart) type = LM_COLUMN_BYTES;
        if (type < LM_COLUMN_INT || type > LM_COLUMN_BYTES)
            return codec_damaged("a column has an unknown type");
        c->columns[i].type = (lm_column_type)type;
        c->columns[i].role = (lm_column_role)(byte >> 3 & 15);
        c->member_of[i] = byte >> 7 ? 1 + codec_frame_kind(&c->columns[i], is_apart)
                                    : 0; /* becomes the place below */
        if ((byte >> 3 & 15) > LM_ROLE_RAW)
            c->columns[i].role = LM_ROLE_NONE; /* a hint from a later version */
    }
    int64_t group = 0;
    for (size_t i = 0; i < c->count; i++) {
        group = (int64_t)((uint64_t)group + (uint64_t)lm_unzigzag(lm_reader_varint(in)));
        if (group < 0 || group > UINT32_MAX)
            return codec_damaged("a column has an impossible group");
        c->columns[i].group = (uint32_t)group;
    }
    codec_groups groups;
    lm_err err = codec_groups_make(c->mem, c->columns, c->count, &groups);
    if (err) return err;
    for (size_t i = 0; i < c->count; i++) {
        uint32_t before = groups.before[i];
        c->columns[i].count = before ? c->columns[before - 1].count
                                     : (uint32_t)lm_reader_varint_max(in, CODEC_COUNT_MAX);
    }
    codec_groups_fini(&groups);
    for (size_t i = 0; i < c->count; i++) {
        lm_column *col = &c->columns[i];
        if (col->type == LM_COLUMN_ID)
            col->alphabet = (uint32_t)lm_reader_varint_max(in, UINT32_MAX);
        if (col->type == LM_COLUMN_WIDE) col->width = (uint32_t)lm_reader_varint_max(in, 64);
        if (col->type == LM_COLUMN_WIDE && col->width == 0) in->failed = true;
    }
    for (size_t i = 0; i < c->block_count; i++)
        c->blocks[i].check = lm_reader_le32(in);
    if (in->failed || lm_reader_left(in)) return codec_damaged("the column table is damaged");
    return LM_OK;
}

/** The block after at of this kind. */
static size_t next_block(const lm_columns *c, size_t at, uint8_t kind)
{
    while (at < c->block_count && c->blocks[at].kind != kind)
        at++;
    return at;
}

/** Columns come to blocks in column order: large ones to the blocks of kind 0, small ones to the
 * open frame of their kind. */
static lm_err assign_blocks(lm_columns *c)
{
    size_t at[CODEC_FRAME_KINDS + 1];
    uint32_t used[CODEC_FRAME_KINDS + 1] = {0};
    for (size_t k = 0; k <= CODEC_FRAME_KINDS; k++)
        at[k] = next_block(c, 0, (uint8_t)k);
    for (size_t i = 0; i < c->count; i++) {
        unsigned kind = c->member_of[i];
        while (at[kind] < c->block_count && used[kind] == c->blocks[at[kind]].count) {
            at[kind] = next_block(c, at[kind] + 1, (uint8_t)kind);
            used[kind] = 0;
        }
        if (at[kind] == c->block_count) return codec_damaged("a column has no block");
        c->block_of[i] = (uint32_t)at[kind];
        c->member_of[i] = used[kind]++;
        c->members[c->blocks[at[kind]].first + c->member_of[i]] = (uint32_t)i;
    }
    return LM_OK;
}

static lm_err open_plain(lm_columns *c, lm_str plain)
{
    lm_reader in = lm_reader_of(plain.ptr, plain.len);
    size_t count = (size_t)lm_reader_varint_max(&in, LM_COLUMN_COUNT_MAX);
    size_t block_count = (size_t)lm_reader_varint_max(&in, count);
    if (in.failed || count > plain.len || block_count > plain.len)
        return codec_damaged("the column table is damaged");
    c->count = count;
    c->block_count = block_count;
    c->blocks = lm_mem_calloc(c->mem, block_count, sizeof *c->blocks);
    c->columns = lm_mem_calloc(c->mem, count, sizeof *c->columns);
    c->block_of = lm_mem_calloc(c->mem, count, sizeof *c->block_of);
    c->member_of = lm_mem_calloc(c->mem, count, sizeof *c->member_of);
    c->members = lm_mem_calloc(c->mem, count, sizeof *c->members);
    if (!c->blocks || !c->columns || !c->block_of || !c->member_of || !c->members)
        return lm_mem_err();
    for (size_t i = 0; i < block_count; i++) {
        atomic_init(&c->blocks[i].decoded, NULL);
        atomic_init(&c->blocks[i].is_damaged, false);
    }
    lm_err err = read_blocks(c, &in);
    if (!err) err = read_columns(c, &in);
    if (!err) err = assign_blocks(c);
    return err;
}

lm_err lm_columns_open(lm_mem *mem, lm_str directory, lm_str blocks, uint64_t base_offset,
                       lm_columns **out)
{
    lm_reader in = lm_reader_of(directory.ptr, directory.len);
    uint64_t plain_len = lm_reader_varint(&in);
    /* At most 64 bytes a column and block; anything longer is a bomb. */
    if (in.failed || plain_len > (uint64_t)LM_COLUMN_COUNT_MAX * 64)
        return codec_damaged("the column table is damaged");
    lm_columns *c = lm_mem_calloc(mem, 1, sizeof *c);
    if (!c) return lm_mem_err();
    c->mem = mem;
    c->blocks_bytes = blocks;
    c->base_offset = base_offset;
    uint8_t *plain = lm_mem_alloc(mem, (size_t)plain_len);
    lm_err err = plain ? LM_OK : lm_mem_err();
    if (!err)
        err = lm_bytes_decode(mem, (lm_str){in.ptr, lm_reader_left(&in)}, plain, (size_t)plain_len);
    if (!err) err = open_plain(c, (lm_str){plain, (size_t)plain_len});
    lm_mem_release(mem, plain, (size_t)plain_len);
    if (err) {
        lm_columns_free(c);
        return err;
    }
    *out = c;
    return LM_OK;
}

size_t lm_columns_count(const lm_columns *c)
{
    return c->count;
}

const lm_column *lm_columns_info(const lm_columns *c, size_t index)
{
    LM_ASSERT(index < c->count);
    return &c->columns[index];
}

static lm_str block_bytes(const lm_columns *c, const block *b)
{
    return (lm_str){c->blocks_bytes.ptr + b->offset, (size_t)b->len};
}

static bool block_is_sound(const lm_columns *c, const block *b)
{
    lm_str bytes = block_bytes(c, b);
    return (uint32_t)lm_hash64(bytes.len ? bytes.ptr : (const uint8_t *)"", bytes.len) == b->check;
}

lm_mem *codec_columns_mem(const lm_columns *c)
{
    return c->mem;
}

lm_err codec_columns_large(const lm_columns *c, size_t index, lm_str *out, uint64_t *out_offset)
{
    const block *b = &c->blocks[c->block_of[index]];
    *out = (lm_str){0};
    *out_offset = c->base_offset + b->offset;
    if (b->kind) return LM_OK;
    if (!block_is_sound(c, b)) {
        return lm_fail_at(LM_E_CORRUPT, *out_offset,
                          "column %zu: the checksum of its block does not match", index);
    }
    *out = block_bytes(c, b);
    return LM_OK;
}

lm_column_cost lm_columns_cost(const lm_columns *c, size_t index)
{
    LM_ASSERT(index < c->count);
    const block *b = &c->blocks[c->block_of[index]];
    size_t plain = codec_column_plain_bytes(&c->columns[index]), all = 0;
    for (uint32_t i = 0; i < b->count; i++)
        all += codec_column_plain_bytes(&c->columns[c->members[b->first + i]]);
    return (lm_column_cost){
        .stored_bytes = all ? b->len * plain / all : 0,
        .plain_bytes = plain,
        .encoding = b->kind ? "small" : codec_encoding_name(&c->columns[index], block_bytes(c, b)),
    };
}

static lm_err frame_at(const lm_columns *c, block *b, const frame **out);

/** What a frame of texts may build on: the first one. */
static lm_err load_prefix(const lm_columns *c, const block *b, lm_str *out)
{
    *out = (lm_str){0};
    if (b->kind != CODEC_TEXTS) return LM_OK;
    block *first = &c->blocks[next_block(c, 0, CODEC_TEXTS)];
    if (first == b) return LM_OK;
    const frame *f = NULL;
    lm_err err = frame_at(c, first, &f);
    if (!err) *out = f->bytes;
    return err;
}

static lm_err decode_frame(const lm_columns *c, const block *b, frame *f)
{
    const lm_column **columns = lm_arena_alloc(&f->arena, b->count * sizeof *columns, 16);
    f->values = lm_arena_alloc(&f->arena, b->count * sizeof *f->values, 16);
    if (!columns || !f->values) return lm_mem_err();
    for (uint32_t i = 0; i < b->count; i++)
        columns[i] = &c->columns[c->members[b->first + i]];
    codec_dec dec;
    codec_dec_init(&dec, c->mem);
    lm_err err = load_prefix(c, b, &dec.prefix);
    if (!err)
        err = codec_frame_get(&dec, block_bytes(c, b), columns, b->count, &f->arena, f->values);
    codec_dec_fini(&dec);
    if (err || columns[0]->type != LM_COLUMN_BYTES) return err;
    f->bytes.ptr = f->values[0];
    for (uint32_t i = 0; i < b->count; i++)
        f->bytes.len += columns[i]->count;
    return LM_OK;
}

/** The frame of a block, decoded at first use. */
static lm_err frame_at(const lm_columns *c, block *b, const frame **out)
{
    *out = atomic_load_explicit(&b->decoded, memory_order_acquire);
    if (*out) return LM_OK;
    if (atomic_load_explicit(&b->is_damaged, memory_order_relaxed))
        return codec_damaged("the frame that it is in is damaged");
    if (!block_is_sound(c, b)) return codec_damaged("the checksum of its block does not match");
    frame *f = lm_mem_calloc(c->mem, 1, sizeof *f);
    if (!f) return lm_mem_err();
    lm_arena_init(&f->arena, c->mem);
    lm_err err = decode_frame(c, b, f);
    if (err == LM_E_CORRUPT) atomic_store_explicit(&b->is_damaged, true, memory_order_relaxed);
    if (err) {
        frame_free(c->mem, f);
        return err;
    }
    frame *none = NULL;
    if (!atomic_compare_exchange_strong(&b->decoded, &none, f)) { /* another thread was first */
        frame_free(c->mem, f);
        f = none;
    }
    *out = f;
    return LM_OK;
}

static lm_err decode_into(const lm_columns *c, size_t index, unsigned depth, void *dst);

/** Read the distance to the source, decode that, and let the derived values follow. */
static lm_err decode_derived(const lm_columns *c, size_t index, unsigned depth, codec_dec *dec,
                             lm_reader *in, void *dst)
{
    const lm_column *info = &c->columns[index];
    unsigned kind = lm_reader_u8(in) - (unsigned)CODEC_DERIVED;
    uint64_t back = lm_reader_varint_max(in, index);
    if (in->failed || back == 0 || kind >= CODEC_DERIVE_KINDS)
        return codec_damaged("a derived column names no source");
    if (depth + 1 >= CODEC_SOURCES_DEEP) return codec_damaged("derived columns nest too deep");
    lm_column source = c->columns[index - back];
    if (source.count != info->count || source.type == LM_COLUMN_BYTES ||
        source.type == LM_COLUMN_WIDE) {
        return codec_damaged("a derived column does not fit its source");
    }
    size_t bytes = codec_column_plain_bytes(&source);
    void *values = lm_mem_alloc(c->mem, bytes);
    if (!values) return lm_mem_err();
    lm_err err = decode_into(c, index - back, depth + 1, values);
    if (source.type == LM_COLUMN_INT)
        source.ints = values;
    else
        source.ids = values;
    if (!err) err = codec_derive_get(dec, in, (codec_derive)kind, info, &source, dst);
    lm_mem_release(c->mem, values, bytes);
    return err;
}

static lm_err decode_large(const lm_columns *c, size_t index, unsigned depth, const block *b,
                           void *dst)
{
    const lm_column *info = &c->columns[index];
    lm_str bytes = block_bytes(c, b);
    lm_reader in = lm_reader_of(bytes.ptr, bytes.len);
    codec_dec dec;
    codec_dec_init(&dec, c->mem);
    lm_err err = LM_OK;
    bool is_number = info->type == LM_COLUMN_INT || info->type == LM_COLUMN_ID;
    if (is_number && bytes.len && bytes.ptr[0] >= CODEC_DERIVED) {
        err = decode_derived(c, index, depth, &dec, &in, dst);
    } else
        switch (info->type) {
        case LM_COLUMN_INT:
            err = codec_ints_get(&dec, &in, dst, info->count, 0);
            break;
        case LM_COLUMN_ID:
            err = codec_ids_get(&dec, &in, dst, info->count, info->alphabet, 0);
            break;
        case LM_COLUMN_WIDE:
            err = codec_wides_get(&dec, &in, &info, 1, &dst);
            break;
        case LM_COLUMN_BYTES:
            err = codec_stream_get(&dec, &in, dst, info->count);
            break;
        }
    if (!err && lm_reader_left(&in)) err = codec_damaged("a block has bytes left over");
    codec_dec_fini(&dec);
    return err;
}

static lm_err decode_into(const lm_columns *c, size_t index, unsigned depth, void *dst)
{
    block *b = &c->blocks[c->block_of[index]];
    const lm_column *info = &c->columns[index];
    const frame *f = NULL;
    lm_err err = LM_OK;
    if (b->kind) {
        err = frame_at(c, b, &f);
        if (!err) memcpy(dst, f->values[c->member_of[index]], codec_column_plain_bytes(info));
    } else if (!block_is_sound(c, b)) {
        err = codec_damaged("the checksum of its block does not match");
    } else {
        err = decode_large(c, index, depth, b, dst);
    }
    if (err == LM_E_CORRUPT) {
        lm_err_info why;
        lm_err_save(&why);
        err =
            lm_fail_at(LM_E_CORRUPT, c->base_offset + b->offset, "column %zu: %s", index, why.text);
    }
    return err;
}

lm_err lm_columns_decode(const lm_columns *c, size_t index, lm_arena *arena, lm_column *out)
{
    LM_ASSERT(index < c->count);
    size_t bytes = codec_column_plain_bytes(&c->columns[index]);
    uint8_t *dst = lm_arena_alloc(arena, bytes + LM_COLUMN_SLACK, 16);
    if (!dst) return lm_mem_err();
    memset(dst + bytes, 0, LM_COLUMN_SLACK);
    lm_err err = decode_into(c, index, 0, dst);
    if (err) return err;
    lm_column made = c->columns[index];
    if (made.type == LM_COLUMN_INT)
        made.ints = (const int64_t *)(const void *)dst;
    else if (made.type == LM_COLUMN_ID)
        made.ids = (const uint32_t *)(const void *)dst;
    else
        made.bytes = dst;
    *out = made;
    return LM_OK;
}

lm_err lm_columns_verify(const lm_columns *c,
                         void (*bad)(void *ctx, size_t column, uint64_t offset), void *ctx)
{
    uint64_t first_bad = LM_NO_OFFSET;
    size_t damaged = 0;
    for (size_t i = 0; i < c->block_count; i++) {
        const block *b = &c->blocks[i];
        if (block_is_sound(c, b)) continue;
        if (first_bad == LM_NO_OFFSET) first_bad = c->base_offset + b->offset;
        for (uint32_t m = 0; m < b->count; m++) {
            damaged++;
            if (bad) bad(ctx, c->members[b->first + m], c->base_offset + b->offset);
        }
    }
    if (!damaged) return LM_OK;
    return lm_fail_at(LM_E_CORRUPT, first_bad, "%zu of %zu columns are damaged", damaged, c->count);
}

#include "codec/codec_priv.h"

/* Encoding a segment's columns: plan blocks (one for each large column, frames for the small ones),
 * encode the blocks on the pool, then put them one behind the other and write the directory. The
 * plan depends on the columns only, so the bytes do not depend on threads. docs/format/columns.md
 * has the bytes. */

/** A block to be written: one large column, or the members of a frame. */
typedef struct plan_block {
    const lm_column **members;
    size_t count, cap;
    size_t plain_bytes;
    int zstd_level; /* for bytes */
    size_t column;  /* index of the first member */
    uint8_t kind;   /* 0: a large column; else 1 + frame kind */
    lm_buf bytes;   /* filled while planning, where they were made to see whether that pays */
    uint32_t check;
} plan_block;

typedef struct plan {
    lm_mem *mem;
    lm_level level;
    const lm_column *columns;
    size_t column_count;
    codec_groups groups;
    uint32_t *group_ends; /* last column of each group that has more than one */
    size_t group_count, group_cap;
    plan_block *blocks;
    size_t count, cap;
    uint32_t *block_of;    /* of each column */
    codec_source *sources; /* of each column */
    lm_buf prefix;         /* plain bytes of the first frame of texts: later ones build on it */
    size_t first_text;     /* its index; SIZE_MAX: there are no texts */
} plan;

static lm_err plan_add_block(plan *p, uint8_t kind, size_t *out)
{
    lm_err err = lm_vec_grow(p->mem, &p->blocks, &p->cap, p->count + 1, sizeof *p->blocks);
    if (err) return err;
    p->blocks[p->count] = (plan_block){.kind = kind};
    lm_buf_init(&p->blocks[p->count].bytes, p->mem);
    *out = p->count++;
    return LM_OK;
}

static bool is_mostly_digits(const uint8_t *s, size_t len)
{
    size_t digits = 0;
    for (size_t i = 0; i < len; i++)
        digits += s[i] <= '9'; /* and what stands between numbers */
    return digits > len - len / 4;
}

/** Texts share a frame, for the names that come back in many of them. Kept apart are texts in which
 * nothing repeats, for their own model, and raw values that are numbers. Judged from a piece of the
 * text. */
static lm_err text_is_apart(codec_enc *enc, const lm_column *c, bool *out)
{
    enum { PIECE = 8192, ENOUGH = 2048 };

    *out = false;
    if (c->type != LM_COLUMN_BYTES || c->count < ENOUGH) return LM_OK;
    size_t len = c->count < PIECE ? c->count : PIECE;
    const uint8_t *piece = c->bytes + (c->count - len) / 2;
    if (c->role == LM_ROLE_RAW) *out = is_mostly_digits(piece, len);
    if (c->role != LM_ROLE_TEXT) return LM_OK;
    lm_buf trial;
    lm_buf_init(&trial, enc->mem);
    bool done;
    lm_err err = codec_zstd_put(enc, piece, len, 1, len, &trial, &done);
    *out = !err && (!done || trial.len > len * 5 / 8);
    lm_buf_fini(&trial);
    return err;
}

static lm_err put_column(codec_enc *enc, const lm_column *c, lm_buf *out);

/** So many values that a light model makes slower to read must save a byte. */
static size_t values_a_byte(const lm_column *c)
{
    return c->role == LM_ROLE_SHAPES ? CODEC_LITE_SHAPES_A_BYTE : CODEC_LITE_VALUES_A_BYTE;
}

/** Is a small column of numbers or ids smaller in a block of its own than in a frame, where what is
 * special about it is not seen? Then alone has the block, else nothing. */
static lm_err pays_alone(codec_enc *enc, const lm_column *c, lm_buf *alone)
{
    enum { TRY_FROM = 96, BLOCK_COSTS = 8 };

    bool is_number = c->type == LM_COLUMN_INT || c->type == LM_COLUMN_ID;
    if (!is_number || c->count < TRY_FROM || enc->level == LM_LEVEL_FAST) return LM_OK;
    lm_buf framed;
    lm_buf_init(&framed, enc->mem);
    enc->values_a_byte = values_a_byte(c);
    lm_err err = put_column(enc, c, alone);
    if (!err) err = codec_frame_put(enc, &c, 1, &framed);
    if (alone->len + BLOCK_COSTS >= framed.len - framed.len / 16) alone->len = 0;
    lm_buf_fini(&framed);
    return err;
}

/** The kind of block for a column: 0 one of its own. alone: its bytes, where they are known
 * already.
 */
static lm_err block_kind(const plan *p, size_t index, codec_enc *enc, lm_buf *alone, uint8_t *out)
{
    const lm_column *c = &p->columns[index];
    bool is_small = c->role == LM_ROLE_SHAPE_TEXT || codec_column_is_small(c), is_apart = false;
    *out = 0;
    if (!is_small || p->sources[index].is_set) return LM_OK;
    lm_err err = pays_alone(enc, c, alone);
    if (err || alone->len) return err;
    if (p->level != LM_LEVEL_FAST) err = text_is_apart(enc, c, &is_apart);
    *out = (uint8_t)(1 + codec_frame_kind(c, is_apart));
    return err;
}

/** A column to its block: open has the last one of each kind. */
static lm_err plan_column(plan *p, size_t index, size_t open[CODEC_FRAME_KINDS], codec_enc *enc,
                          lm_buf *alone)
{
    const lm_column *c = &p->columns[index];
    size_t bytes = codec_column_plain_bytes(c), at = SIZE_MAX;
    bool is_window = c->role == LM_ROLE_SHAPE_TEXT && !codec_column_is_small(c);
    bool is_text = c->type == LM_COLUMN_BYTES || c->type == LM_COLUMN_WIDE;
    size_t frame_max = is_text ? CODEC_FRAME_TEXT : CODEC_FRAME_VALUES;
    uint8_t kind = 0;
    lm_err err = block_kind(p, index, enc, alone, &kind);
    if (err) return err;
    if (kind) at = open[kind];
    if (at == SIZE_MAX || is_window || p->blocks[at].plain_bytes + bytes > frame_max) {
        err = plan_add_block(p, kind, &at);
        if (err) return err;
        /* a window is read by every search: nothing else is in its frame */
        if (kind) open[kind] = is_window ? SIZE_MAX : at;
    }
    plan_block *b = &p->blocks[at];
    err = lm_vec_grow(p->mem, &b->members, &b->cap, b->count + 1, sizeof *b->members);
    if (!err && alone->len) err = lm_buf_append(&b->bytes, alone->ptr, alone->len);
    if (err) return err;
    if (b->count == 0) b->column = index;
    b->members[b->count++] = c;
    b->plain_bytes += bytes;
    p->block_of[index] = (uint32_t)at;
    return LM_OK;
}

static lm_err plan_build(plan *p, codec_enc *enc)
{
    size_t open[CODEC_FRAME_KINDS];
    for (size_t k = 0; k < CODEC_FRAME_KINDS; k++)
        open[k] = SIZE_MAX;
    lm_buf alone;
    lm_buf_init(&alone, p->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; !err && i < p->column_count; i++) {
        alone.len = 0;
        err = plan_column(p, i, open, enc, &alone);
    }
    lm_buf_fini(&alone);
    return err;
}

/* What a byte costs at a zstd level, in ns, about; and what all bytes of text may cost for each
 * plain byte of the segment (log text is about twice that long, so this is half of what a default
 * pack may spend on a byte of it). */
enum { NS_LEVEL_9 = 18, NS_LEVEL_12 = 80, NS_LEVEL_15 = 180, NS_BUDGET = 26 };

/* What is granted to the smallest segment, and how much less of it for each plain byte. */
enum { NS_ALWAYS = 8000000, NS_ALWAYS_LESS = 40 };

/** Short texts come first in the spending of time: a byte saved there costs least. */
static void plan_levels(plan *p)
{
    size_t plain = 0, text = 0;
    for (size_t i = 0; i < p->count; i++) {
        plan_block *b = &p->blocks[i];
        bool is_text = b->members[0]->type == LM_COLUMN_BYTES;
        b->zstd_level = p->level == LM_LEVEL_FAST ? 1 : p->level == LM_LEVEL_MAX ? 19 : 9;
        plain += b->plain_bytes;
        text += is_text ? b->plain_bytes : 0;
    }
    if (p->level != LM_LEVEL_DEFAULT) return;
    uint64_t less = (uint64_t)plain * NS_ALWAYS_LESS;
    uint64_t budget = (uint64_t)plain * NS_BUDGET + (less < NS_ALWAYS ? NS_ALWAYS - less : 0);
    uint64_t spent = (uint64_t)text * NS_LEVEL_9;
    for (size_t limit = 4096; limit < SIZE_MAX / 2 && spent < budget;
         limit *= 2) { /* by size, small ones first */
        for (size_t i = 0; i < p->count; i++) {
            plan_block *b = &p->blocks[i];
            bool in_turn = b->members[0]->type == LM_COLUMN_BYTES && b->plain_bytes < limit &&
                           b->zstd_level == 9;
            if (!in_turn) continue;
            uint64_t dear = spent + (uint64_t)b->plain_bytes * (NS_LEVEL_15 - NS_LEVEL_9);
            uint64_t fair = spent + (uint64_t)b->plain_bytes * (NS_LEVEL_12 - NS_LEVEL_9);
            b->zstd_level = dear <= budget ? 15 : fair <= budget ? 12 : 9;
            spent = dear <= budget ? dear : fair <= budget ? fair : spent;
        }
    }
}

/** Is a column long enough to be looked at as one that follows from another? */
static bool may_follow(const lm_column *c, lm_level level)
{
    enum { FROM_BYTES = 1024 };

    return !codec_column_is_small(c) ||
           (level != LM_LEVEL_FAST && codec_column_plain_bytes(c) > FROM_BYTES);
}

/** Find sources within the group that ends with group_ends[index]. One task a group: later columns
 * need to know which of the earlier ones are derived. */
static lm_err choose_sources(void *ctx, size_t index)
{
    plan *p = ctx;
    size_t count = 0;
    for (uint32_t i = p->group_ends[index] + 1; i; i = p->groups.before[i - 1])
        count++;
    uint32_t *members = lm_mem_calloc(p->mem, count, sizeof *members);
    if (!members) return lm_mem_err();
    codec_enc enc;
    codec_enc_init(&enc, p->mem, p->level);
    uint8_t *depths = lm_mem_calloc(p->mem, count, 1);
    lm_err err = depths ? LM_OK : lm_mem_err();
    size_t place = count;
    for (uint32_t i = p->group_ends[index] + 1; i; i = p->groups.before[i - 1])
        members[--place] = i - 1;
    for (place = 1; place < count && !err; place++) {
        if (!may_follow(&p->columns[members[place]], p->level)) continue;
        codec_source *source = &p->sources[members[place]];
        err = codec_derive_choose(&enc, p->columns, members, place, depths, source);
        for (size_t s = 0; s < place && !err && source->is_set; s++) {
            if (members[s] == source->column) depths[place] = (uint8_t)(depths[s] + 1);
        }
    }
    codec_enc_fini(&enc);
    lm_mem_release(p->mem, depths, count);
    lm_mem_release(p->mem, members, count * sizeof *members);
    return err;
}

/** Ends of the groups that have more than one column. */
static lm_err plan_groups(plan *p)
{
    uint8_t *is_end = lm_mem_calloc(p->mem, p->column_count, 1);
    lm_err err =
        is_end ? codec_groups_make(p->mem, p->columns, p->column_count, &p->groups) : lm_mem_err();
    for (size_t i = 0; i < p->column_count && !err; i++) {
        if (!p->groups.before[i]) continue;
        is_end[i] = 1;
        is_end[p->groups.before[i] - 1] = 0;
        LM_ASSERT(p->columns[i].count ==
                  p->columns[p->groups.before[i] - 1].count); /* what a group is */
    }
    for (size_t i = 0; i < p->column_count && !err; i++) {
        if (!is_end[i]) continue;
        err = lm_vec_grow(p->mem, &p->group_ends, &p->group_cap, p->group_count + 1,
                          sizeof *p->group_ends);
        if (!err) p->group_ends[p->group_count++] = (uint32_t)i;
    }
    lm_mem_release(p->mem, is_end, p->column_count);
    return err;
}

static void plan_fini(plan *p, size_t count)
{
    codec_groups_fini(&p->groups);
    lm_buf_fini(&p->prefix);
    lm_mem_release(p->mem, p->group_ends, p->group_cap * sizeof *p->group_ends);
    for (size_t i = 0; i < p->count; i++) {
        plan_block *b = &p->blocks[i];
        lm_mem_release(p->mem, b->members, b->cap * sizeof *b->members);
        lm_buf_fini(&b->bytes);
    }
    lm_mem_release(p->mem, p->blocks, p->cap * sizeof *p->blocks);
    lm_mem_release(p->mem, p->block_of, count * sizeof *p->block_of);
    lm_mem_release(p->mem, p->sources, count * sizeof *p->sources);
}

const char *codec_encoding_name(const lm_column *column, lm_str bytes)
{
    if (bytes.len == 0) return "none";
    bool is_number = column->type == LM_COLUMN_INT || column->type == LM_COLUMN_ID;
    if (is_number && bytes.ptr[0] >= CODEC_DERIVED) return "derived";
    if (column->type == LM_COLUMN_INT) return codec_ints_name(bytes.ptr[0]);
    if (column->type == LM_COLUMN_ID) return codec_ids_name(bytes.ptr[0]);
    return "bytes";
}

static lm_err put_column(codec_enc *enc, const lm_column *c, lm_buf *out)
{
    switch (c->type) {
    case LM_COLUMN_INT:
        return codec_ints_put(enc, c->ints, c->count, 0, out);
    case LM_COLUMN_ID:
        return codec_ids_put(enc, c->ids, c->count, c->alphabet, 0, out);
    case LM_COLUMN_WIDE:
        return codec_wides_put(enc, &c, 1, out);
    case LM_COLUMN_BYTES:
        return codec_stream_put(enc, c->bytes, c->count, out);
    }
    return lm_fail(LM_E_USAGE, "a column has no type");
}

/** Does a frame of texts have so much in common with the first one that building on it may pay?
 * Tried at the cheapest level. */
static lm_err may_build(const plan *p, const plan_block *b, codec_enc *enc, bool *out)
{
    enum { PERCENT = 4 };

    lm_buf plain, alone, built;
    lm_buf_init(&alone, p->mem);
    lm_buf_init(&built, p->mem);
    bool done;
    lm_err err = codec_frame_join(p->mem, b->members, b->count, &plain);
    size_t room = plain.len + 64;
    if (!err) err = codec_zstd_put(enc, plain.ptr, plain.len, 1, room, &alone, &done);
    enc->prefix = (lm_str){p->prefix.ptr, p->prefix.len};
    if (!err) err = codec_zstd_put(enc, plain.ptr, plain.len, 1, room, &built, &done);
    enc->prefix = (lm_str){0};
    *out = built.len + built.len * PERCENT / 100 < alone.len;
    lm_buf_fini(&plain);
    lm_buf_fini(&alone);
    lm_buf_fini(&built);
    return err;
}

/** A frame of texts: alone, or building on the first one if that is smaller. A dear level takes
 * long to look through the first one, and gains little. */
static lm_err put_texts(const plan *p, size_t index, codec_enc *enc, lm_buf *out)
{
    enum { LEVEL = 9 };

    const plan_block *b = &p->blocks[index];
    enc->is_text = true;
    lm_err err = codec_frame_put(enc, b->members, b->count, out);
    bool may = false;
    if (!err && index != p->first_text && p->prefix.len) err = may_build(p, b, enc, &may);
    if (err || !may) return err;
    lm_buf built;
    lm_buf_init(&built, p->mem);
    enc->prefix = (lm_str){p->prefix.ptr, p->prefix.len};
    if (enc->zstd_level > LEVEL && enc->level != LM_LEVEL_MAX) enc->zstd_level = LEVEL;
    err = codec_frame_put(enc, b->members, b->count, &built);
    if (!err && built.len < out->len) {
        out->len = 0;
        err = lm_buf_append(out, built.ptr, built.len);
    }
    lm_buf_fini(&built);
    return err;
}

static lm_err put_derived(const plan *p, plan_block *b, codec_enc *enc)
{
    const codec_source *source = &p->sources[b->column];
    return codec_derive_put(enc, b->members[0], &p->columns[source->column], source->kind,
                            b->column - source->column, &b->bytes);
}

static lm_err encode_block(void *ctx, size_t index)
{
    plan *p = ctx;
    plan_block *b = &p->blocks[index];
    codec_enc enc;
    codec_enc_init(&enc, p->mem, p->level);
    enc.zstd_level = b->zstd_level;
    enc.values_a_byte = values_a_byte(b->members[0]);
    lm_err err = LM_OK;
    if (b->bytes.len)
        err = LM_OK; /* made while it was planned */
    else if (b->kind == CODEC_TEXTS)
        err = put_texts(p, index, &enc, &b->bytes);
    else if (b->kind)
        err = codec_frame_put(&enc, b->members, b->count, &b->bytes);
    else if (!p->sources[b->column].is_set)
        err = put_column(&enc, b->members[0], &b->bytes);
    else
        err = put_derived(p, b, &enc);
    b->check = (uint32_t)lm_hash64(b->bytes.ptr ? b->bytes.ptr : (const uint8_t *)"", b->bytes.len);
    codec_enc_fini(&enc);
    return err;
}

/** Texts of other frames build on those of the first, the shapes' before all. Not at level fast: it
 * takes longer to look at what is there than to write the little that builds on it. */
static lm_err plan_prefix(plan *p)
{
    size_t texts = 0;
    p->first_text = SIZE_MAX;
    for (size_t i = 0; i < p->count; i++) {
        if (p->blocks[i].kind != CODEC_TEXTS) continue;
        if (!texts++) p->first_text = i;
    }
    if (texts < 2 || p->level == LM_LEVEL_FAST) return LM_OK;
    const plan_block *first = &p->blocks[p->first_text];
    return codec_frame_join(p->mem, first->members, first->count, &p->prefix);
}

/** Directory: see docs/format/columns.md. Fields of one kind lie together, which is what makes them
 * compress. */
static lm_err put_directory(const plan *p, const lm_column *columns, size_t count, lm_buf *out)
{
    lm_buf plain;
    lm_buf_init(&plain, p->mem);
    lm_err err = lm_buf_varint(&plain, count);
    if (!err) err = lm_buf_varint(&plain, p->count);
    for (size_t i = 0; i < p->count && !err; i++)
        err = lm_buf_u8(&plain, p->blocks[i].kind);
    for (size_t i = 0; i < p->count && !err; i++)
        err = lm_buf_varint(&plain, p->blocks[i].bytes.len);
    for (size_t i = 0; i < p->count && !err; i++) {
        if (p->blocks[i].kind) err = lm_buf_varint(&plain, p->blocks[i].count);
    }
    for (size_t i = 0; i < count && !err; i++) {
        uint8_t kind = p->blocks[p->block_of[i]].kind;
        bool is_apart = kind && kind != 1 + codec_frame_kind(&columns[i], false);
        unsigned type = is_apart ? (unsigned)CODEC_TYPE_APART : (unsigned)columns[i].type;
        err = lm_buf_u8(&plain,
                        (uint8_t)(type | (unsigned)columns[i].role << 3 | (kind ? 128u : 0u)));
    }
    uint32_t group = 0;
    for (size_t i = 0; i < count && !err; i++) {
        err = lm_buf_varint(&plain, lm_zigzag((int64_t)columns[i].group - (int64_t)group));
        group = columns[i].group;
    }
    for (size_t i = 0; i < count && !err; i++) {
        if (!p->groups.before[i])
            err = lm_buf_varint(&plain, columns[i].count); /* else it is that one's */
    }
    for (size_t i = 0; i < count && !err; i++) {
        if (columns[i].type == LM_COLUMN_ID) err = lm_buf_varint(&plain, columns[i].alphabet);
        if (columns[i].type == LM_COLUMN_WIDE) err = lm_buf_varint(&plain, columns[i].width);
    }
    for (size_t i = 0; i < p->count && !err; i++)
        err = lm_buf_le32(&plain, p->blocks[i].check);
    if (!err) err = lm_buf_varint(out, plain.len);
    if (!err)
        err = lm_bytes_encode(p->mem, (lm_str){plain.ptr, plain.len},
                              p->level == LM_LEVEL_FAST ? LM_LEVEL_DEFAULT : p->level, out);
    lm_buf_fini(&plain);
    return err;
}

static lm_err check_columns(const lm_column *columns, size_t count)
{
    if (count > LM_COLUMN_COUNT_MAX) {
        return lm_fail(LM_E_LIMIT, "%zu columns are over the limit of %d", count,
                       LM_COLUMN_COUNT_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const lm_column *c = &columns[i];
        LM_ASSERT(c->type >= LM_COLUMN_INT && c->type <= LM_COLUMN_BYTES && (unsigned)c->role < 16);
        LM_ASSERT(c->type != LM_COLUMN_WIDE || (c->width >= 1 && c->width <= 64));
        if (c->count > CODEC_COUNT_MAX)
            return lm_fail(LM_E_LIMIT, "a column of %u values is over the limit", c->count);
    }
    return LM_OK;
}

static void tell_costs(const plan *p, const lm_column *columns, size_t count, lm_column_cost *costs)
{
    for (size_t i = 0; i < count; i++) {
        const plan_block *b = &p->blocks[p->block_of[i]];
        size_t plain = codec_column_plain_bytes(&columns[i]);
        uint64_t share = b->plain_bytes ? (uint64_t)b->bytes.len * plain / b->plain_bytes : 0;
        const char *name =
            b->kind ? "small"
                    : codec_encoding_name(&columns[i], (lm_str){b->bytes.ptr, b->bytes.len});
        costs[i] = (lm_column_cost){.stored_bytes = share, .plain_bytes = plain, .encoding = name};
    }
}

lm_err lm_columns_encode(lm_mem *mem, lm_pool *pool, const lm_column *columns, size_t count,
                         lm_level level, lm_buf *blocks, lm_buf *directory, lm_column_cost *costs)
{
    plan p = {.mem = mem, .level = level, .columns = columns, .column_count = count};
    size_t blocks_start = blocks->len, directory_start = directory->len;
    lm_err err = check_columns(columns, count);
    if (err) return err;
    lm_buf_init(&p.prefix, mem);
    p.block_of = lm_mem_calloc(mem, count, sizeof *p.block_of);
    p.sources = lm_mem_calloc(mem, count, sizeof *p.sources);
    err = p.block_of && p.sources ? plan_groups(&p) : lm_mem_err();
    if (!err) err = lm_pool_for(pool, p.group_count, choose_sources, &p);
    codec_enc enc;
    codec_enc_init(&enc, mem, level);
    if (!err) err = plan_build(&p, &enc);
    codec_enc_fini(&enc);
    if (!err) plan_levels(&p);
    if (!err) err = plan_prefix(&p);
    if (!err) err = lm_pool_for(pool, p.count, encode_block, &p);
    for (size_t i = 0; i < p.count && !err; i++)
        err = lm_buf_append(blocks, p.blocks[i].bytes.ptr, p.blocks[i].bytes.len);
    if (!err) err = put_directory(&p, columns, count, directory);
    if (!err && costs) tell_costs(&p, columns, count, costs);
    if (err) {
        blocks->len = blocks_start;
        directory->len = directory_start;
    }
    plan_fini(&p, count);
    return err;
}

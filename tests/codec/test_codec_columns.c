/** Columns in, bytes out, and back: every type, every level, ordinary and adversarial data; damage;
 * scarce memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "codec/codec_ans_priv.h"

#define SEED 20261123u

typedef struct rng {
    uint64_t state;
} rng;

static uint64_t rng_next(rng *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return lm_hash_u64(r->state);
}

static uint64_t rng_below(rng *r, uint64_t n)
{
    return n ? rng_next(r) % n : 0;
}

/* ---- data: each shape of numbers that a log has, and some that none has ---- */

enum { INT_SHAPES = 18 };

static int64_t make_int(rng *r, unsigned shape, size_t i, int64_t before)
{
    switch (shape) {
    case 0:
        return -7;
    case 1:
        return (int64_t)i;
    case 2:
        return (int64_t)(1700000000000 + i * 1000 + rng_below(r, 900));
    case 3:
        return (int64_t)rng_next(r);
    case 4:
        return i % 2 ? INT64_MAX : INT64_MIN;
    case 5:
        return before + (int64_t)rng_below(r, 3);
    case 6:
        return (int64_t)rng_below(r, 10) * 1000;
    case 7:
        return (int64_t)(rng_below(r, 100) < 95 ? 200 : 404 + rng_below(r, 3));
    case 8:
        return i % 100 == 99 ? (int64_t)rng_next(r) : (int64_t)rng_below(r, 50);
    case 9:
        return (int64_t)(rng_next(r) >> rng_below(r, 64));
    case 10:
        return -(int64_t)(rng_next(r) >> rng_below(r, 64));
    case 11:
        return (int64_t)(i / 37 * 3);
    case 12:
        return rng_below(r, 20) ? before : (int64_t)rng_next(r);
    case 13:
        return (int64_t)lm_hash_u64(i % 300) >> 20;
    case 14:
        return i < 3 ? INT64_MIN + (int64_t)i : INT64_MAX - (int64_t)i;
    case 15:
        return (int64_t)(i * i * 12345);
    case 16:
        return (int64_t)rng_below(r, 1u << 24) * 4096;
    default:
        return (int64_t)(0xc0a80000u + rng_below(r, 40) * rng_below(r, 40));
    }
}

static int64_t *make_ints(rng *r, unsigned shape, size_t count)
{
    int64_t *v = malloc((count + 1) * sizeof *v);
    int64_t before = 0;
    for (size_t i = 0; i < count; i++)
        before = v[i] = make_int(r, shape, i, before);
    return v;
}

enum { ID_SHAPES = 9 };

static uint32_t *make_ids(rng *r, unsigned shape, size_t count, uint32_t *alphabet)
{
    uint32_t *v = malloc((count + 1) * sizeof *v);
    uint32_t top = 0, fresh = 0;
    for (size_t i = 0; i < count; i++) {
        switch (shape) {
        case 0:
            v[i] = 5;
            break;
        case 1:
            v[i] = (uint32_t)rng_below(r, 2);
            break;
        case 2:
            v[i] = (uint32_t)(i % 7);
            break;
        case 3:
            v[i] = rng_below(r, 8) || !fresh ? fresh++ : (uint32_t)rng_below(r, fresh);
            break;
        case 4:
            v[i] = (uint32_t)rng_below(r, 70000);
            break;
        case 5:
            v[i] = (uint32_t)(rng_next(r) >> 32) & 0xfffffffeu;
            break;
        case 6:
            v[i] = i && rng_below(r, 10) ? v[i - 1] : (uint32_t)rng_below(r, 300);
            break;
        case 7:
            v[i] = (uint32_t)(rng_below(r, 10) ? lm_hash_u64(i % 1000) % 200 : rng_below(r, 200));
            break;
        default:
            v[i] = (uint32_t)(rng_below(r, 16) * rng_below(r, 16));
            break;
        }
        top = v[i] > top ? v[i] : top;
    }
    *alphabet = top + 1;
    return v;
}

enum { BYTE_SHAPES = 6 };

static uint8_t *make_bytes(rng *r, unsigned shape, size_t count)
{
    static const char words[8][12] = {"GET /", "user-", "error", "a", "\n", "/var/log/", "=", "0x"};
    uint8_t *v = malloc(count + 16);
    size_t i = 0;
    while (i < count) {
        if (shape == 0)
            v[i++] = (uint8_t)rng_next(r);
        else if (shape == 1)
            v[i++] = 0;
        else if (shape == 2)
            v[i++] = rng_below(r, 5) ? (uint8_t)('a' + rng_below(r, 4)) : '\n';
        else if (shape == 3)
            v[i] = (uint8_t)i, i++;
        else if (shape == 4)
            v[i++] = (uint8_t)"0123456789abcdef"[rng_below(r, 16)];
        else
            for (const char *w = words[rng_below(r, 8)]; *w && i < count; w++)
                v[i++] = (uint8_t)*w;
    }
    return v;
}

/* ---- helpers ---- */

static lm_mem *new_mem(size_t limit)
{
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, limit, &mem), LM_OK);
    return mem;
}

typedef struct packed {
    lm_buf blocks, directory;
} packed;

static void pack_init(packed *p, lm_mem *mem)
{
    lm_buf_init(&p->blocks, mem);
    lm_buf_init(&p->directory, mem);
}

static void pack_fini(packed *p)
{
    lm_buf_fini(&p->blocks);
    lm_buf_fini(&p->directory);
}

static size_t plain_bytes(const lm_column *c)
{
    return c->count * (size_t)(c->type == LM_COLUMN_INT    ? 8
                               : c->type == LM_COLUMN_ID   ? 4
                               : c->type == LM_COLUMN_WIDE ? c->width
                                                           : 1);
}

static void assert_same(const lm_column *a, const lm_column *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->role, b->role);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->group, b->group);
    if (a->type == LM_COLUMN_ID) assert_int_equal(a->alphabet, b->alphabet);
    if (a->type == LM_COLUMN_WIDE) assert_int_equal(a->width, b->width);
    if (a->count) assert_memory_equal(a->bytes, b->bytes, plain_bytes(a));
}

static lm_str str_of(const lm_buf *b)
{
    return (lm_str){b->ptr, b->len};
}

/** Parts, the last one first, are the column, and the tables to read one hold not much more than
 * the column. False: it is read as a whole. */
static bool parts_come_back(lm_mem *mem, const lm_columns *c, size_t index, const lm_column *column)
{
    enum { GUESSES = 12 * LM_PART_VALUES, ODDS = 16 << 13, REST = 8192 };

    lm_column_parts *parts = NULL;
    size_t bytes = plain_bytes(column), used = lm_mem_used(mem);
    assert_int_equal(lm_columns_parts_open(c, index, &parts), LM_OK);
    if (!parts) return false;
    assert_in_range(lm_mem_used(mem) - used, 0, bytes + GUESSES + ODDS + REST);
    uint8_t *got = lm_mem_calloc(mem, bytes, 1);
    assert_non_null(got);
    for (size_t p = codec_part_count(column->count); p-- > 0;)
        assert_int_equal(lm_columns_parts_read(parts, p, got), LM_OK);
    assert_memory_equal(got, column->bytes, bytes);
    lm_mem_release(mem, got, bytes);
    lm_columns_parts_free(parts);
    return true;
}

static unsigned read_in_parts; /* columns so far */

static void round_trip(lm_mem *mem, const lm_column *columns, size_t count, lm_level level)
{
    packed p;
    pack_init(&p, mem);
    assert_int_equal(
        lm_columns_encode(mem, NULL, columns, count, level, &p.blocks, &p.directory, NULL), LM_OK);
    lm_columns *c = NULL;
    assert_int_equal(lm_columns_open(mem, str_of(&p.directory), str_of(&p.blocks), 0, &c), LM_OK);
    assert_int_equal(lm_columns_count(c), count);
    assert_int_equal(lm_columns_verify(c, NULL, NULL), LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    for (size_t i = 0; i < count; i++) {
        lm_column got;
        assert_int_equal(lm_columns_decode(c, i, &arena, &got), LM_OK);
        assert_same(&columns[i], &got);
        read_in_parts += parts_come_back(mem, c, i, &columns[i]);
        lm_column info = *lm_columns_info(c, i);
        assert_int_equal(info.count, columns[i].count);
        assert_non_null(lm_columns_cost(c, i).encoding);
    }
    lm_arena_fini(&arena);
    lm_columns_free(c);
    pack_fini(&p);
}

static const size_t counts[] = {0, 1, 2, 3, 17, 500, 1500, 20000};

enum { COUNTS = sizeof counts / sizeof counts[0] };

/** Level max is slow, and slower under the sanitizers: it gets the smaller runs. */
static size_t counts_at(lm_level level)
{
    return level == LM_LEVEL_MAX ? COUNTS - 1 : COUNTS;
}

/* ---- tests ---- */

static void ints_come_back(void **state)
{
    (void)state;
    rng r = {SEED};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        for (unsigned shape = 0; shape < INT_SHAPES; shape++) {
            for (size_t n = 0; n < counts_at(level); n++) {
                int64_t *v = make_ints(&r, shape, counts[n]);
                lm_column c = {.type = LM_COLUMN_INT,
                               .role = (lm_column_role)(n % 5),
                               .count = (uint32_t)counts[n],
                               .ints = v};
                round_trip(mem, &c, 1, level);
                free(v);
            }
        }
    }
    lm_mem_free(mem);
}

static void ids_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 1};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        for (unsigned shape = 0; shape < ID_SHAPES; shape++) {
            for (size_t n = 0; n < counts_at(level); n++) {
                lm_column c = {.type = LM_COLUMN_ID,
                               .role = n % 2 ? LM_ROLE_SHAPES : LM_ROLE_INDEX,
                               .count = (uint32_t)counts[n]};
                uint32_t *v = make_ids(&r, shape, counts[n], &c.alphabet);
                c.ids = v;
                round_trip(mem, &c, 1, level);
                free(v);
            }
        }
    }
    lm_mem_free(mem);
}

/* Long enough for several parts to be read side by side, and one that is not full. */
static void long_columns_come_back_in_parts(void **state)
{
    (void)state;

    enum { COUNT = 5 * LM_PART_VALUES + 321 };

    rng r = {SEED + 11};
    lm_mem *mem = new_mem(0);
    read_in_parts = 0;
    for (unsigned shape = 0; shape < INT_SHAPES; shape++) {
        int64_t *v = make_ints(&r, shape, COUNT);
        lm_column c = {.type = LM_COLUMN_INT, .count = COUNT, .ints = v};
        round_trip(mem, &c, 1, LM_LEVEL_DEFAULT);
        free(v);
    }
    assert_in_range(read_in_parts, 4, INT_SHAPES);
    read_in_parts = 0;
    for (unsigned shape = 0; shape < ID_SHAPES; shape++) {
        lm_column c = {.type = LM_COLUMN_ID, .role = LM_ROLE_INDEX, .count = COUNT};
        uint32_t *v = make_ids(&r, shape, COUNT, &c.alphabet);
        c.ids = v;
        round_trip(mem, &c, 1, LM_LEVEL_DEFAULT);
        free(v);
    }
    assert_in_range(read_in_parts, 3, ID_SHAPES);
    lm_mem_free(mem);
}

static void bytes_and_wide_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 2};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        for (unsigned shape = 0; shape < BYTE_SHAPES; shape++) {
            for (size_t n = 0; n < counts_at(level); n++) {
                uint8_t *v = make_bytes(&r, shape, counts[n] * 64);
                lm_column c = {.type = LM_COLUMN_BYTES,
                               .role = shape % 2 ? LM_ROLE_TEXT : LM_ROLE_RAW,
                               .count = (uint32_t)counts[n],
                               .bytes = v};
                round_trip(mem, &c, 1, level);
                c.type = LM_COLUMN_WIDE;
                for (c.width = 1; c.width <= 64 && counts[n] <= 500; c.width += 21)
                    round_trip(mem, &c, 1, level);
                c.width = 16;
                if (level != LM_LEVEL_MAX || counts[n] <= 500) round_trip(mem, &c, 1, level);
                free(v);
            }
        }
    }
    lm_mem_free(mem);
}

static size_t stored_bytes(lm_mem *mem, const lm_column *columns, size_t count, lm_level level)
{
    packed p;
    pack_init(&p, mem);
    assert_int_equal(
        lm_columns_encode(mem, NULL, columns, count, level, &p.blocks, &p.directory, NULL), LM_OK);
    size_t bytes = p.blocks.len + p.directory.len;
    pack_fini(&p);
    return bytes;
}

/* The same ids in several columns, of two widths: each is stored once. */
static void wide_values_are_shared(void **state)
{
    (void)state;

    enum { DISTINCT = 300, COUNT = 4000, COLUMNS = 4 };

    rng r = {SEED + 7};
    lm_mem *mem = new_mem(0);
    uint8_t *ids = make_bytes(&r, 0, DISTINCT * 32);
    for (size_t i = 0; i < DISTINCT * 32; i++)
        ids[i] = (uint8_t)rng_below(&r, 256);
    lm_column columns[COLUMNS];
    uint8_t *values[COLUMNS];
    for (size_t c = 0; c < COLUMNS; c++) {
        uint32_t width = c == 2 ? 32 : 16;
        values[c] = malloc((size_t)COUNT * width);
        for (size_t i = 0; i < COUNT; i++) {
            size_t id = i < DISTINCT ? i : rng_below(&r, DISTINCT);
            memcpy(values[c] + i * width, ids + id * 32, width);
        }
        columns[c] =
            (lm_column){.type = LM_COLUMN_WIDE, .count = COUNT, .width = width, .bytes = values[c]};
    }
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        round_trip(mem, columns, COLUMNS, level);
        size_t plain = DISTINCT * (16 + 32), which = (size_t)COUNT * COLUMNS * 5 / 4;
        assert_true(stored_bytes(mem, columns, COLUMNS, level) < plain + which + 500);
    }
    for (size_t c = 0; c < COLUMNS; c++)
        free(values[c]);
    free(ids);
    lm_mem_free(mem);
}

/* Texts that say what the shapes say are stored by them; without the first frame they are lost. */
static void texts_build_on_shapes(void **state)
{
    (void)state;

    enum { LINES = 6000, LINE = 60, TEXTS = 3000 };

    rng r = {SEED + 8};
    lm_mem *mem = new_mem(0);
    uint8_t *shapes = malloc(LINES * LINE), *texts = malloc(TEXTS * LINE);
    for (size_t i = 0; i < (size_t)LINES * LINE; i++)
        shapes[i] = i % LINE == LINE - 1 ? '\n' : (uint8_t)('a' + rng_below(&r, 26));
    for (size_t i = 0; i < TEXTS; i++)
        memcpy(texts + i * LINE, shapes + rng_below(&r, LINES) * LINE, LINE);
    lm_column columns[] = {
        {.type = LM_COLUMN_BYTES,
         .role = LM_ROLE_SHAPE_TEXT,
         .count = LINES * LINE,
         .bytes = shapes},
        {.type = LM_COLUMN_BYTES, .role = LM_ROLE_TEXT, .count = TEXTS * LINE, .bytes = texts}};
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++)
        round_trip(mem, columns, 2, level);
    size_t shapes_alone = stored_bytes(mem, columns, 1, LM_LEVEL_DEFAULT);
    assert_true(stored_bytes(mem, columns, 2, LM_LEVEL_DEFAULT) < shapes_alone + TEXTS * LINE / 8);

    packed p;
    pack_init(&p, mem);
    assert_int_equal(
        lm_columns_encode(mem, NULL, columns, 2, LM_LEVEL_DEFAULT, &p.blocks, &p.directory, NULL),
        LM_OK);
    p.blocks.ptr[100] ^= 1; /* in the shapes */
    lm_columns *c = NULL;
    lm_column got;
    lm_arena arena;
    lm_arena_init(&arena, mem);
    assert_int_equal(lm_columns_open(mem, str_of(&p.directory), str_of(&p.blocks), 0, &c), LM_OK);
    assert_int_equal(lm_columns_decode(c, 0, &arena, &got), LM_E_CORRUPT);
    assert_int_equal(lm_columns_decode(c, 1, &arena, &got), LM_E_CORRUPT);
    lm_columns_free(c);
    lm_arena_fini(&arena);
    pack_fini(&p);
    free(shapes);
    free(texts);
    lm_mem_free(mem);
}

/** A segment of columns of all kinds; free_columns releases the arrays. */
static lm_column *make_columns(rng *r, size_t count, size_t values_max, size_t *out_count)
{
    lm_column *columns = calloc(count + 1, sizeof *columns);
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        lm_column *c = &columns[i];
        bool joins = i && columns[i - 1].type != LM_COLUMN_BYTES && rng_below(r, 3) == 0;
        c->type = (lm_column_type)(1 + rng_below(r, joins ? 3 : 4));
        c->count =
            joins ? columns[i - 1].count : (uint32_t)rng_below(r, rng_below(r, values_max) + 1);
        if (!joins) group++;
        c->group = group * (group % 5 != 0) * (count % 4 == 3 ? 1000003 : 1);
        c->role = (lm_column_role)rng_below(r, LM_ROLE_RAW + 1);
        if (c->type == LM_COLUMN_INT)
            c->ints = make_ints(r, (unsigned)rng_below(r, INT_SHAPES), c->count);
        if (c->type == LM_COLUMN_ID)
            c->ids = make_ids(r, (unsigned)rng_below(r, ID_SHAPES), c->count, &c->alphabet);
        if (c->type == LM_COLUMN_WIDE) c->width = 1 + (uint32_t)rng_below(r, 64);
        if (c->type >= LM_COLUMN_WIDE)
            c->bytes = make_bytes(r, (unsigned)rng_below(r, BYTE_SHAPES), plain_bytes(c));
        if (joins && c->type == LM_COLUMN_INT && columns[i - 1].type == LM_COLUMN_INT) {
            int64_t *v = (int64_t *)(uintptr_t)
                             c->ints; /* rows that follow from the column before, but for a few */
            for (uint32_t k = 0; k < c->count; k++)
                v[k] = (int64_t)((uint64_t)columns[i - 1].ints[k] + (k % 97 == 5) + 3 * (i % 3));
        }
    }
    *out_count = count;
    return columns;
}

static void free_columns(lm_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)columns[i].bytes);
    free(columns);
}

static void many_columns_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 3};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        for (size_t round = 0; round < (level == LM_LEVEL_MAX ? 4u : 6u); round++) {
            size_t count;
            lm_column *columns =
                make_columns(&r, round * round * 12, round % 2 ? 300 : 6000, &count);
            round_trip(mem, columns, count, level);
            free_columns(columns, count);
        }
    }
    lm_mem_free(mem);
}

static void a_million_values_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 4};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_DEFAULT; level++) {
        int64_t *v = make_ints(&r, 2, 1000000);
        uint32_t alphabet, *ids = make_ids(&r, 7, 1000000, &alphabet);
        lm_column c[2] = {
            {.type = LM_COLUMN_INT, .role = LM_ROLE_TIME, .count = 1000000, .ints = v},
            {.type = LM_COLUMN_ID,
             .role = LM_ROLE_SHAPES,
             .count = 1000000,
             .alphabet = alphabet,
             .ids = ids}};
        round_trip(mem, c, 2, level);
        free(v);
        free(ids);
    }
    lm_mem_free(mem);
}

static void threads_do_not_change_bytes(void **state)
{
    (void)state;
    rng r = {SEED + 5};
    lm_mem *mem = new_mem(0);
    size_t count;
    lm_column *columns = make_columns(&r, 150, 9000, &count);
    packed one;
    pack_init(&one, mem);
    assert_int_equal(lm_columns_encode(mem, NULL, columns, count, LM_LEVEL_DEFAULT, &one.blocks,
                                       &one.directory, NULL),
                     LM_OK);
    for (unsigned threads = 1; threads <= 8; threads += threads) {
        lm_pool *pool = NULL;
        assert_int_equal(lm_pool_new(mem, threads, &pool), LM_OK);
        packed p;
        pack_init(&p, mem);
        assert_int_equal(lm_columns_encode(mem, pool, columns, count, LM_LEVEL_DEFAULT, &p.blocks,
                                           &p.directory, NULL),
                         LM_OK);
        assert_true(lm_str_equal(str_of(&p.blocks), str_of(&one.blocks)));
        assert_true(lm_str_equal(str_of(&p.directory), str_of(&one.directory)));
        pack_fini(&p);
        lm_pool_free(pool);
    }
    pack_fini(&one);
    free_columns(columns, count);
    lm_mem_free(mem);
}

/** Columns decoded by many threads at once. */
typedef struct shared_read {
    lm_mem *mem;
    const lm_columns *open;
    const lm_column *columns;
    size_t count;
} shared_read;

static lm_err read_column(void *ctx, size_t index)
{
    const shared_read *s = ctx;
    lm_arena arena;
    lm_arena_init(&arena, s->mem);
    lm_column got;
    const lm_column *want = &s->columns[index % s->count];
    lm_err err = lm_columns_decode(s->open, index % s->count, &arena, &got);
    bool same = !err && got.count == want->count;
    if (same && got.count) same = memcmp(got.bytes, want->bytes, plain_bytes(want)) == 0;
    lm_arena_fini(&arena);
    return same ? LM_OK : lm_fail(LM_E_CORRUPT, "column %zu differs", index);
}

static void threads_read_at_once(void **state)
{
    (void)state;
    rng r = {SEED + 9};
    lm_mem *mem = new_mem(0);
    shared_read s = {.mem = mem};
    lm_column *columns = make_columns(&r, 60, 2000, &s.count);
    packed p;
    pack_init(&p, mem);
    assert_int_equal(lm_columns_encode(mem, NULL, columns, s.count, LM_LEVEL_DEFAULT, &p.blocks,
                                       &p.directory, NULL),
                     LM_OK);
    lm_columns *open = NULL;
    assert_int_equal(lm_columns_open(mem, str_of(&p.directory), str_of(&p.blocks), 0, &open),
                     LM_OK);
    s.open = open;
    s.columns = columns;
    lm_pool *pool = NULL;
    assert_int_equal(lm_pool_new(mem, 8, &pool), LM_OK);
    assert_int_equal(lm_pool_for(pool, s.count * 3, read_column, &s), LM_OK);
    lm_pool_free(pool);
    lm_columns_free(open);
    pack_fini(&p);
    free_columns(columns, s.count);
    lm_mem_free(mem);
}

/** Open and decode what may be damaged: an error or the right number of values, never anything
 * else. */
static size_t try_all(lm_mem *mem, lm_str directory, lm_str blocks)
{
    lm_columns *c = NULL;
    size_t failed = 0;
    lm_err err = lm_columns_open(mem, directory, blocks, 1000, &c);
    if (err) {
        assert_true(err == LM_E_CORRUPT || err == LM_E_LIMIT);
        return 1;
    }
    for (size_t i = 0; i < lm_columns_count(c); i++) {
        lm_arena arena;
        lm_arena_init(&arena, mem);
        lm_column got;
        err = lm_columns_decode(c, i, &arena, &got);
        assert_true(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
        if (err == LM_E_CORRUPT) {
            lm_err_info info;
            lm_err_save(&info);
            assert_true(info.offset >= 1000 && info.offset <= 1000 + blocks.len);
        }
        failed += err != LM_OK;
        lm_arena_fini(&arena);
    }
    lm_columns_free(c);
    return failed;
}

static void damage_is_told(void **state)
{
    (void)state;
    rng r = {SEED + 6};
    lm_mem *mem = new_mem((size_t)64 << 20);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        size_t count;
        lm_column *columns = make_columns(&r, 14, 800, &count);
        packed p;
        pack_init(&p, mem);
        assert_int_equal(
            lm_columns_encode(mem, NULL, columns, count, level, &p.blocks, &p.directory, NULL),
            LM_OK);
        assert_int_equal(try_all(mem, str_of(&p.directory), str_of(&p.blocks)), 0);
        for (size_t cut = 0; cut < p.directory.len; cut += level == LM_LEVEL_MAX ? 4u : 1u) {
            assert_true(try_all(mem, (lm_str){p.directory.ptr, cut}, str_of(&p.blocks)) > 0);
        }
        for (size_t cut = 0; cut < p.blocks.len; cut += 1 + cut / 16) {
            assert_true(try_all(mem, str_of(&p.directory), (lm_str){p.blocks.ptr, cut}) > 0);
        }
        for (size_t i = 0; i < 2000 && p.blocks.len;
             i++) { /* a flipped bit in a block is always seen */
            size_t at = rng_below(&r, p.blocks.len);
            uint8_t bit = (uint8_t)(1u << rng_below(&r, 8));
            p.blocks.ptr[at] ^= bit;
            if (i < 30) assert_true(try_all(mem, str_of(&p.directory), str_of(&p.blocks)) > 0);
            lm_columns *c = NULL;
            assert_int_equal(lm_columns_open(mem, str_of(&p.directory), str_of(&p.blocks), 0, &c),
                             LM_OK);
            assert_int_equal(lm_columns_verify(c, NULL, NULL), LM_E_CORRUPT);
            lm_columns_free(c);
            p.blocks.ptr[at] ^= bit;
        }
        for (size_t i = 0; i < 100;
             i++) { /* in the directory it may turn out harmless, never worse */
            size_t at = rng_below(&r, p.directory.len);
            uint8_t bit = (uint8_t)(1u << rng_below(&r, 8));
            p.directory.ptr[at] ^= bit;
            (void)try_all(mem, str_of(&p.directory), str_of(&p.blocks));
            p.directory.ptr[at] ^= bit;
        }
        pack_fini(&p);
        free_columns(columns, count);
    }
    lm_mem_free(mem);
}

/** Allocations until the failure, from then on none succeeds; -1: never fail. */
typedef struct scarce {
    long left;
} scarce;

static void *scarce_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    scarce *s = ctx;
    (void)old_bytes;
    if (s->left == 0) return NULL;
    if (s->left > 0) s->left--;
    return realloc(ptr, new_bytes);
}

static void scarce_release(void *ctx, void *ptr, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(ptr);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    rng r = {SEED + 7};
    size_t count;
    lm_column *columns = make_columns(&r, 9, 1500, &count);
    scarce s = {-1};
    lm_allocator table = {scarce_resize, scarce_release, &s};
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        bool whole = false;
        for (long n = 0; !whole; n += 1 + n / 8) {
            s.left = -1;
            lm_mem *mem = NULL;
            assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
            packed p;
            pack_init(&p, mem);
            s.left = n;
            lm_err err =
                lm_columns_encode(mem, NULL, columns, count, level, &p.blocks, &p.directory, NULL);
            assert_true(err == LM_OK || err == LM_E_NOMEM);
            lm_columns *c = NULL;
            if (!err) err = lm_columns_open(mem, str_of(&p.directory), str_of(&p.blocks), 0, &c);
            lm_arena arena;
            lm_arena_init(&arena, mem);
            for (size_t i = 0; i < count && !err; i++) {
                lm_column got;
                err = lm_columns_decode(c, i, &arena, &got);
                if (!err) assert_same(&columns[i], &got);
            }
            assert_true(err == LM_OK || err == LM_E_NOMEM);
            whole = err == LM_OK;
            lm_arena_fini(&arena);
            lm_columns_free(c);
            pack_fini(&p);
            assert_int_equal(lm_mem_used(mem), 0);
            lm_mem_free(mem);
        }
    }
    free_columns(columns, count);
}

/* Runs of bytes, the ones that build on words in common and on a prefix too. */
static lm_err text_there_and_back(lm_mem *mem, lm_str text, lm_level level)
{
    static const char words[] = "connection from host refused, user session opened for root";
    lm_str prefix = {(const uint8_t *)words, sizeof words - 1};
    uint8_t *back = malloc(text.len);
    assert_non_null(back);
    lm_buf plain, like;
    lm_buf_init(&plain, mem);
    lm_buf_init(&like, mem);
    lm_err err = lm_text_encode(mem, text, level, &plain);
    if (!err) err = lm_bytes_decode(mem, str_of(&plain), back, text.len);
    if (!err) assert_memory_equal(back, text.ptr, text.len);
    if (!err) err = lm_bytes_encode_like(mem, prefix, text, level, &like);
    if (!err) err = lm_bytes_decode_like(mem, prefix, str_of(&like), back, text.len);
    if (!err) assert_memory_equal(back, text.ptr, text.len);
    lm_buf_fini(&plain);
    lm_buf_fini(&like);
    free(back);
    return err;
}

static void every_allocation_of_text_may_fail(void **state)
{
    (void)state;
    uint8_t text[3000];
    size_t len = 0;
    for (unsigned i = 0; len + 100 < sizeof text; i++)
        len += (size_t)snprintf((char *)text + len, 100, "session %u opened for user u%u\n", i * i,
                                i % 7);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        bool whole = false;
        for (long n = 0; !whole; n++) {
            scarce s = {-1};
            lm_allocator table = {scarce_resize, scarce_release, &s};
            lm_mem *mem = NULL;
            assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
            s.left = n;
            lm_err err = text_there_and_back(mem, (lm_str){text, len}, level);
            if (err && err != LM_E_NOMEM) fail_msg("request %ld: %s", n, lm_err_text());
            whole = err == LM_OK;
            assert_int_equal(lm_mem_used(mem), 0);
            lm_mem_free(mem);
        }
    }
}

/* Packing compares columns with plain text by this: true has to be sure. */
static void text_outgrows_a_limit(void **state)
{
    (void)state;
    lm_mem *mem = new_mem(0);
    rng r = {SEED + 8};
    size_t len = 300000;
    uint8_t *text = calloc(len, 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)('a' + rng_below(&r, 16)); /* four bits a letter */
    bool outgrows;
    lm_str all = {text, len};
    assert_int_equal(lm_text_outgrows(mem, all, len, len / 3, false, &outgrows), LM_OK);
    assert_true(outgrows);
    assert_int_equal(lm_text_outgrows(mem, all, len, len, false, &outgrows), LM_OK);
    assert_false(outgrows);
    assert_int_equal(lm_text_outgrows(mem, all, 1 << 15, len / 5, false, &outgrows), LM_OK);
    assert_false(outgrows); /* no more was looked at */
    assert_int_equal(lm_text_outgrows(mem, all, 1 << 15, len / 5, true, &outgrows), LM_OK);
    assert_true(outgrows);
    for (size_t i = 1000; i < len; i++)
        text[i] = text[i - 1000];
    assert_int_equal(lm_text_outgrows(mem, all, len, 10000, false, &outgrows), LM_OK);
    assert_false(outgrows);
    assert_int_equal(lm_text_outgrows(mem, (lm_str){text, 0}, 0, 0, true, &outgrows), LM_OK);
    assert_false(outgrows);
    free(text);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

static void a_bomb_meets_the_limit(void **state)
{
    (void)state;
    lm_mem *mem = new_mem(0);
    size_t n = 10000000;
    int64_t *v = calloc(n, sizeof *v);
    lm_column c = {.type = LM_COLUMN_INT, .count = (uint32_t)n, .ints = v};
    packed p;
    pack_init(&p, mem);
    assert_int_equal(
        lm_columns_encode(mem, NULL, &c, 1, LM_LEVEL_DEFAULT, &p.blocks, &p.directory, NULL),
        LM_OK);
    assert_true(p.blocks.len + p.directory.len < 200);
    lm_mem *small = new_mem(1 << 20);
    lm_columns *open = NULL;
    assert_int_equal(lm_columns_open(small, str_of(&p.directory), str_of(&p.blocks), 0, &open),
                     LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, small);
    lm_column got;
    assert_int_equal(lm_columns_decode(open, 0, &arena, &got), LM_E_LIMIT);
    lm_arena_fini(&arena);
    lm_columns_free(open);
    lm_mem_free(small);
    pack_fini(&p);
    free(v);
    lm_mem_free(mem);
}

static void byte_runs_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 8};
    lm_mem *mem = new_mem(0);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        for (unsigned shape = 0; shape < BYTE_SHAPES; shape++) {
            for (size_t n = 0; n < counts_at(level); n++) {
                uint8_t *v = make_bytes(&r, shape, counts[n]);
                lm_buf out;
                lm_buf_init(&out, mem);
                assert_int_equal(lm_bytes_encode(mem, (lm_str){v, counts[n]}, level, &out), LM_OK);
                assert_true(out.len <= counts[n] + 8); /* random bytes cost next to nothing */
                uint8_t *back = malloc(counts[n] + 1);
                assert_int_equal(lm_bytes_decode(mem, str_of(&out), back, counts[n]), LM_OK);
                assert_memory_equal(v, back, counts[n]);
                assert_int_equal(lm_bytes_decode(mem, (lm_str){out.ptr, out.len - (out.len > 0)},
                                                 back, counts[n]),
                                 out.len ? LM_E_CORRUPT : LM_OK);
                if (counts[n] > 16 && shape != 1) { /* but a fill of any length is a fill */
                    assert_int_equal(lm_bytes_decode(mem, str_of(&out), back, counts[n] - 1),
                                     LM_E_CORRUPT);
                }
                free(back);
                lm_buf_fini(&out);
                free(v);
            }
        }
    }
    lm_mem_free(mem);
}

/* With an argument: only the tests whose names match it. */
/* ---- static models ---- */

/* What was written comes back; other bytes give an error or other values, nothing worse. */
static void static_models_come_back(void **state)
{
    (void)state;
    rng r = {SEED + 77};
    lm_mem *mem = new_mem(0);
    static const size_t sizes[] = {1, 2, 3, 100, 5000, 70000};
    for (unsigned round = 0; round < 60; round++) {
        size_t n = sizes[round % 6];
        uint32_t alphabet = round % 3 == 0   ? 1 + (uint32_t)rng_below(&r, 30)
                            : round % 3 == 1 ? 1 + (uint32_t)rng_below(&r, 256)
                                             : 1 + (uint32_t)rng_below(&r, 1u << 20);
        uint64_t *words = malloc(n * 8), *words_back = malloc(n * 8);
        uint32_t *ids = malloc(n * 4), *ids_back = malloc(n * 4);
        uint8_t *bytes = malloc(n), *bytes_back = malloc(n);
        uint32_t next = 0;
        for (size_t i = 0; i < n; i++) {
            words[i] = round % 4 == 0 ? rng_next(&r) >> rng_below(&r, 64) : rng_next(&r) >> 50;
            bool is_new = next < alphabet && rng_below(&r, 8) == 0;
            ids[i] = is_new                  ? next++
                     : i && rng_below(&r, 3) ? ids[i - 1 - rng_below(&r, i < 9 ? i : 9)]
                                             : (uint32_t)rng_below(&r, alphabet);
            bytes[i] = rng_below(&r, 9) ? (uint8_t)('a' + rng_below(&r, 26)) : '\n';
        }
        lm_buf out;
        lm_buf_init(&out, mem);
        assert_int_equal(codec_static_put_words(mem, words, n, &out), LM_OK);
        assert_int_equal(codec_static_get_words(mem, str_of(&out), words_back, n), LM_OK);
        assert_memory_equal(words, words_back, n * 8);
        for (unsigned k = 0; k < 20; k++) {
            out.ptr[rng_below(&r, out.len)] ^= (uint8_t)(1u << rng_below(&r, 8));
            (void)!codec_static_get_words(mem, str_of(&out), words_back, n);
        }
        out.len = 0;
        assert_int_equal(codec_static_put_ids(mem, ids, n, alphabet, &out), LM_OK);
        assert_int_equal(codec_static_get_ids(mem, str_of(&out), ids_back, n, alphabet), LM_OK);
        assert_memory_equal(ids, ids_back, n * 4);
        for (unsigned k = 0; k < 20; k++) {
            out.ptr[rng_below(&r, out.len)] ^= (uint8_t)(1u << rng_below(&r, 8));
            (void)!codec_static_get_ids(mem, str_of(&out), ids_back, n, alphabet);
        }
        out.len = 0;
        assert_int_equal(codec_static_put_bytes(mem, bytes, n, &out), LM_OK);
        assert_int_equal(codec_static_get_bytes(mem, str_of(&out), bytes_back, n), LM_OK);
        assert_memory_equal(bytes, bytes_back, n);
        out.len = rng_below(&r, out.len);
        (void)!codec_static_get_bytes(mem, str_of(&out), bytes_back, n);
        lm_buf_fini(&out);
        free(words), free(words_back), free(ids), free(ids_back), free(bytes), free(bytes_back);
    }
    lm_mem_free(mem);
}

int main(int argc, char **argv)
{
    printf("seed %u\n", SEED);
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ints_come_back),
        cmocka_unit_test(ids_come_back),
        cmocka_unit_test(long_columns_come_back_in_parts),
        cmocka_unit_test(bytes_and_wide_come_back),
        cmocka_unit_test(wide_values_are_shared),
        cmocka_unit_test(texts_build_on_shapes),
        cmocka_unit_test(many_columns_come_back),
        cmocka_unit_test(a_million_values_come_back),
        cmocka_unit_test(threads_do_not_change_bytes),
        cmocka_unit_test(threads_read_at_once),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_of_text_may_fail),
        cmocka_unit_test(a_bomb_meets_the_limit),
        cmocka_unit_test(text_outgrows_a_limit),
        cmocka_unit_test(static_models_come_back),
        cmocka_unit_test(byte_runs_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

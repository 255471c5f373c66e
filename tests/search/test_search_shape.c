/* Literals over shapes: what is said of a shape holds for every line of it, and the ways are
 * exactly the matches. */
#include "search/search_priv.h"

#include "lm_test.h"

#define COLUMNS 4
#define VALUES  5
#define PIECES  7

/* Columns with their values, as a segment would know them. */
typedef struct world {
    lm_str values[COLUMNS][VALUES];
    uint8_t bytes[COLUMNS][VALUES][8];
    bool is_numeric[COLUMNS];
    int64_t min[COLUMNS], max[COLUMNS];
} world;

static lm_value_stamp stamp_of(void *ctx, size_t column)
{
    const world *w = ctx;
    lm_value_stamp stamp = {.count = VALUES,
                            .len_min = UINT32_MAX,
                            .is_numeric = w->is_numeric[column],
                            .min = w->min[column],
                            .max = w->max[column]};
    for (size_t v = 0; v < VALUES; v++) {
        lm_str value = w->values[column][v];
        if (value.len < stamp.len_min) stamp.len_min = (uint32_t)value.len;
        if (value.len > stamp.len_max) stamp.len_max = (uint32_t)value.len;
        for (size_t i = 0; i < value.len; i++)
            stamp.classes |= lm_chars_of_byte(value.ptr[i]);
    }
    return stamp;
}

/* As a 3-gram filter would: all grams are somewhere. */
static bool may_contain(void *ctx, size_t column, lm_str needle)
{
    const world *w = ctx;
    for (size_t at = 0; at + 3 <= needle.len; at++) {
        bool any = false;
        for (size_t v = 0; v < VALUES; v++)
            any =
                any || lm_str_find(w->values[column][v], (lm_str){needle.ptr + at, 3}) != SIZE_MAX;
        if (!any) return false;
    }
    return true;
}

static lm_str value_make(lm_test_rng *rng, const char *letters, size_t count, uint8_t dst[8])
{
    size_t len = 1 + lm_test_below(rng, 5);
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)letters[lm_test_below(rng, count)];
    return (lm_str){dst, len};
}

static void world_make(world *w, lm_test_rng *rng)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        w->is_numeric[c] = c == 0;
        w->min[c] = INT64_MAX, w->max[c] = INT64_MIN;
        int64_t only = (int64_t)lm_test_below(rng, 30);
        bool is_constant = lm_test_below(rng, 3) == 0;
        for (size_t v = 0; v < VALUES; v++) {
            if (c == 0) {
                int64_t number = is_constant ? only : (int64_t)lm_test_below(rng, 130) - 9;
                char text[24];
                int len = snprintf(text, sizeof text, "%lld", (long long)number);
                memcpy(w->bytes[c][v], text, (size_t)len);
                w->values[c][v] = (lm_str){w->bytes[c][v], (size_t)len};
                if (number < w->min[c]) w->min[c] = number;
                if (number > w->max[c]) w->max[c] = number;
            } else {
                w->values[c][v] = value_make(rng,
                                             c == 1   ? "01ab"
                                             : c == 2 ? "abAB"
                                                      : "1.-",
                                             c == 3 ? 3 : 4, w->bytes[c][v]);
            }
        }
    }
}

static void shape_make(lm_shape *shape, lm_piece *pieces, uint8_t texts[PIECES][8],
                       lm_test_rng *rng)
{
    *shape = (lm_shape){.pieces = pieces, .piece_count = 1 + (uint32_t)lm_test_below(rng, PIECES)};
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        if (lm_test_below(rng, 2)) {
            pieces[i] = (lm_piece){{NULL, 0}, (int32_t)lm_test_below(rng, COLUMNS)};
        } else {
            pieces[i] = (lm_piece){value_make(rng, "ab1.A0", 6, texts[i]), -1};
        }
    }
}

/* One line of the shape: value number pick[i] for the variable at piece i. */
static size_t line_make(const world *w, const lm_shape *shape, const size_t *picks, uint8_t *dst)
{
    size_t len = 0;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        const lm_piece *piece = &shape->pieces[i];
        lm_str text = piece->column < 0 ? piece->text : w->values[piece->column][picks[i]];
        memcpy(dst + len, text.ptr, text.len);
        len += text.len;
    }
    return len;
}

static uint8_t fold(uint8_t c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool cond_holds(const lm_cond *cond, lm_str value, lm_literal literal)
{
    size_t len = (size_t)(cond->end - cond->begin), from = 0;
    if (value.len < len) return false;
    if (cond->kind == LM_COND_EQUAL && value.len != len) return false;
    if (cond->kind == LM_COND_CONTAINS) return lm_literal_find(value, literal) != SIZE_MAX;
    if (cond->kind == LM_COND_SUFFIX) from = value.len - len;
    for (size_t i = 0; i < len; i++) {
        if (fold(value.ptr[from + i], literal.nocase) != literal.text.ptr[cond->begin + i])
            return false;
    }
    return true;
}

static void line_check(const world *w, const lm_shape *shape, lm_literal literal,
                       lm_verdict verdict, const lm_way *ways, uint32_t way_count, lm_test_rng *rng)
{
    size_t picks[PIECES];
    uint8_t line[PIECES * 8];
    for (size_t i = 0; i < PIECES; i++)
        picks[i] = lm_test_below(rng, VALUES);
    size_t len = line_make(w, shape, picks, line);
    bool has = lm_literal_find((lm_str){line, len}, literal) != SIZE_MAX, some_way = false;
    for (uint32_t i = 0; i < way_count; i++) {
        bool holds = true;
        for (uint32_t k = 0; k < ways[i].count; k++) {
            const lm_cond *cond = &ways[i].conds[k];
            holds =
                holds &&
                cond_holds(cond, w->values[shape->pieces[cond->piece].column][picks[cond->piece]],
                           literal);
        }
        some_way = some_way || holds;
    }
    bool said = verdict == LM_ALWAYS || (verdict == LM_MAYBE && some_way);
    if (has != said) {
        fail_msg("'%.*s'%s in '%.*s': %d, said %d (verdict %d, %u ways)", (int)literal.text.len,
                 (const char *)literal.text.ptr, literal.nocase ? " (any case)" : "", (int)len,
                 (const char *)line, has, said, (int)verdict, way_count);
    }
}

/* All shapes at once: one that is no suspect has the literal within a variable or not at all. */
static bool suspects_check(lm_scan *scan, const lm_shape *shape, lm_verdict verdict,
                           const lm_way *ways, uint32_t way_count)
{
    uint8_t skeletons[2 + PIECES * 8 + 1] = "x\n"; /* another one in front */
    const uint64_t *suspects = NULL;
    bool any = false;
    size_t len = 2;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        lm_str text = shape->pieces[i].column < 0 ? shape->pieces[i].text : LM_STR("\1V");
        memcpy(skeletons + len, text.ptr, text.len);
        len += text.len;
    }
    skeletons[len++] = '\n';
    assert_int_equal(lm_scan_across(scan, (lm_str){skeletons, len}, &suspects, &any), LM_OK);
    if (!suspects) return false;
    bool is_suspect = suspects[0] >> 1 & 1;
    assert_true(any == (suspects[0] != 0));
    if (is_suspect) return false;
    assert_int_not_equal(verdict, LM_ALWAYS);
    for (uint32_t i = 0; i < way_count && verdict == LM_MAYBE; i++)
        assert_true(ways[i].count == 1 && ways[i].conds[0].kind == LM_COND_CONTAINS);
    return true;
}

static void ways_are_exactly_the_matches(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("shapes");
    lm_mem *mem = NULL;
    lm_arena arena;
    unsigned verdicts[3] = {0, 0, 0}, overflows = 0, cleared = 0;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena_init(&arena, mem);
    for (unsigned n = 0; n < 40000; n++) {
        world w;
        lm_shape shape;
        lm_piece pieces[PIECES];
        uint8_t texts[PIECES][8], line[PIECES * 8];
        size_t picks[PIECES];
        world_make(&w, &rng);
        shape_make(&shape, pieces, texts, &rng);
        for (size_t i = 0; i < PIECES; i++)
            picks[i] = lm_test_below(&rng, VALUES);
        size_t len = line_make(&w, &shape, picks, line); /* mostly a part of a line of this shape */
        size_t begin = lm_test_below(&rng, len), part = 1 + lm_test_below(&rng, len - begin);
        bool nocase = lm_test_below(&rng, 4) == 0;
        for (size_t i = 0; i < part; i++)
            line[begin + i] = fold(line[begin + i], nocase);
        if (lm_test_below(&rng, 4) == 0) line[begin] = 'a';
        lm_literal literal = {{line + begin, part}, nocase};
        lm_column_view view = {
            .count = COLUMNS, .stamp = stamp_of, .may_contain = may_contain, .ctx = &w};
        lm_scan scan;
        lm_way ways[LM_WAYS_MAX];
        uint32_t way_count = 0;
        assert_int_equal(lm_scan_init(&scan, &arena, literal, &view), LM_OK);
        lm_verdict verdict = lm_scan_shape(&scan, &shape);
        verdicts[verdict]++;
        if (verdict == LM_MAYBE && !lm_scan_ways(&scan, &shape, ways, &way_count)) {
            overflows++;
            continue;
        }
        cleared += suspects_check(&scan, &shape, verdict, ways, way_count);
        for (unsigned k = 0; k < 10; k++)
            line_check(&w, &shape, literal, verdict, ways, way_count, &rng);
        lm_arena_reset(&arena);
    }
    assert_true(verdicts[LM_NEVER] > 1000 && verdicts[LM_MAYBE] > 1000 &&
                verdicts[LM_ALWAYS] > 1000);
    assert_true(overflows < 400 && cleared > 1000);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

/* A literal longer than a word of bits is judged by a part of it: never NEVER for a line that has
 * it, never ALWAYS. */
static void long_literals_are_judged_by_a_part(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_arena arena;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena_init(&arena, mem);
    world w;
    lm_test_rng rng = lm_test_rng_make("long literals");
    world_make(&w, &rng);
    lm_str text = LM_STR("a line of constant text that goes on and on, well over sixty-three "
                         "bytes, as pasted lines do");
    lm_piece pieces[] = {{text, -1}, {{NULL, 0}, 2}};
    lm_shape shape = {.pieces = pieces, .piece_count = 2};
    lm_column_view view = {
        .count = COLUMNS, .stamp = stamp_of, .may_contain = may_contain, .ctx = &w};
    lm_scan scan;
    assert_int_equal(lm_scan_init(&scan, &arena, (lm_literal){text, false}, &view), LM_OK);
    assert_true(scan.is_window);
    assert_int_equal(lm_scan_shape(&scan, &shape), LM_MAYBE);
    lm_piece other[] = {{LM_STR("another text"), -1}, {{NULL, 0}, 2}};
    shape.pieces = other;
    assert_int_equal(lm_scan_shape(&scan, &shape), LM_NEVER);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_are_exactly_the_matches),
        cmocka_unit_test(long_literals_are_judged_by_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

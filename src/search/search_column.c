/* Conditions on the values of a column: contains, begins with, ends with, or is a part of a literal. A dictionary is
 * searched once per distinct text, integers are compared as numbers where that says the same, all else as text. */
#include "search/search_exec_priv.h"

struct lm_cond_cache {
    struct lm_cond_cache *next;
    lm_cond cond;
    lm_cond_bits bits;
};

typedef struct test {
    lm_cond_kind kind;
    lm_str part;
    bool nocase;
    /* the part as digits */
    bool is_digits;
    uint32_t digit_count;
    uint64_t number, ten_power; /* 10^digit_count */
} test;

static bool same(const test *t, const uint8_t *text)
{
    if (!t->nocase) return memcmp(text, t->part.ptr, t->part.len) == 0;
    for (size_t i = 0; i < t->part.len; i++) {
        uint8_t c = text[i];
        if (c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
        if (c != t->part.ptr[i]) return false;
    }
    return true;
}

static bool text_fits(const test *t, lm_str text)
{
    if (text.len < t->part.len) return false;
    switch (t->kind) {
    case LM_COND_EQUAL: return text.len == t->part.len && same(t, text.ptr);
    case LM_COND_PREFIX: return same(t, text.ptr);
    case LM_COND_SUFFIX: return same(t, text.ptr + text.len - t->part.len);
    case LM_COND_CONTAINS: return lm_literal_find(text, (lm_literal){t->part, t->nocase}) != SIZE_MAX;
    }
    return false;
}

/* The decimal text of value, by arithmetic; t->is_digits. */
static bool int_fits(const test *t, int64_t value)
{
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t least = t->digit_count == 1 ? 0 : t->ten_power / 10; /* least number with as many digits */
    if (u < least) return false;
    switch (t->kind) {
    case LM_COND_EQUAL: return value >= 0 && u == t->number && u >= least;
    case LM_COND_SUFFIX: return u % t->ten_power == t->number;
    case LM_COND_PREFIX:
        if (value < 0) return false;
        while (u >= t->ten_power) u /= 10;
        return u == t->number;
    case LM_COND_CONTAINS:
        for (;;) {
            if (u % t->ten_power == t->number) return true;
            u /= 10;
            if (u < least || u == 0) return false;
        }
    }
    return false;
}

static test test_make(const lm_scan *scan, const lm_cond *cond)
{
    test t = {.kind = (lm_cond_kind)cond->kind, .nocase = scan->literal.nocase};
    t.part = (lm_str){scan->literal.text.ptr + cond->begin, (size_t)(cond->end - cond->begin)};
    t.is_digits = t.part.len <= 18;
    t.ten_power = 1;
    for (size_t i = 0; i < t.part.len && t.is_digits; i++) {
        uint8_t c = t.part.ptr[i];
        t.is_digits = c >= '0' && c <= '9';
        t.number = t.number * 10 + (uint64_t)(c - '0');
        t.ten_power *= 10;
    }
    t.digit_count = (uint32_t)t.part.len;
    return t;
}

/* Sets bits of values that fit; returns how many. */
static uint32_t dictionary_test(const test *t, lm_exec *exec, const lm_str *texts, uint32_t text_count, const uint32_t *index,
                                uint32_t count, uint64_t *bits, bool *out_no_memory)
{
    uint8_t *fits = lm_arena_alloc(&exec->arena, text_count, 1);
    if (!fits) {
        *out_no_memory = true;
        return 0;
    }
    uint32_t hits = 0, found = 0;
    for (uint32_t i = 0; i < text_count; i++) {
        fits[i] = text_fits(t, texts[i]);
        hits += fits[i];
    }
    if (hits == 0) return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = fits[index[i]];
        bits[i / 64] |= bit << i % 64;
        found += (uint32_t)bit;
    }
    return found;
}

static uint32_t ints_test(const test *t, const int64_t *ints, uint32_t count, uint64_t *bits)
{
    uint32_t found = 0;
    int64_t last = 0;
    bool last_fits = int_fits(t, 0);
    for (uint32_t i = 0; i < count; i++) {
        if (ints[i] != last) {
            last = ints[i];
            last_fits = int_fits(t, last);
        }
        bits[i / 64] |= (uint64_t)last_fits << i % 64;
        found += last_fits;
    }
    return found;
}

static uint32_t texts_test(const test *t, const lm_values *values, uint32_t count, uint64_t *bits)
{
    uint32_t found = 0;
    uint8_t room[64];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = text_fits(t, lm_values_text(values, i, room));
        bits[i / 64] |= bit << i % 64;
        found += (uint32_t)bit;
    }
    return found;
}

static lm_err cond_run(lm_exec *exec, const test *t, size_t column, lm_cond_bits *out)
{
    const lm_values *values = NULL;
    lm_err err = lm_segment_values(exec->segment, column, &values);
    if (err == LM_E_CORRUPT) {
        *out = (lm_cond_bits){LM_COND_UNKNOWN, 0, NULL}; /* its rows go on to rendering, which tells the damage */
        return LM_OK;
    }
    if (err) return err;
    exec->columns_decoded++;
    uint32_t count = lm_values_count(values), found;
    size_t words = ((size_t)count + 63) / 64;
    uint64_t *bits = lm_arena_alloc(&exec->arena, words * 8, 8);
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * 8);
    const lm_str *texts;
    const uint32_t *index;
    const int64_t *ints;
    uint32_t text_count;
    bool no_memory = false;
    if (lm_values_dictionary(values, &texts, &text_count, &index)) {
        found = dictionary_test(t, exec, texts, text_count, index, count, bits, &no_memory);
        if (no_memory) return lm_mem_err();
    } else if (t->is_digits && lm_values_ints(values, &ints)) {
        found = ints_test(t, ints, count, bits);
    } else {
        found = texts_test(t, values, count, bits);
    }
    lm_cond_state state = found == 0 ? LM_COND_NONE : found == count ? LM_COND_ALL : LM_COND_SOME;
    *out = (lm_cond_bits){state, count, bits};
    return LM_OK;
}

lm_err lm_cond_eval(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond, lm_cond_cache **heads, lm_cond_bits *out)
{
    for (lm_cond_cache *item = heads[column]; item; item = item->next) {
        if (item->cond.kind == cond->kind && item->cond.begin == cond->begin && item->cond.end == cond->end) {
            *out = item->bits;
            return LM_OK;
        }
    }
    lm_cond_cache *item = lm_arena_alloc(&exec->arena, sizeof *item, _Alignof(lm_cond_cache));
    if (!item) return lm_mem_err();
    test t = test_make(scan, cond);
    lm_err err = cond_run(exec, &t, column, &item->bits);
    if (err) return err;
    item->cond = *cond;
    item->next = heads[column];
    heads[column] = item;
    *out = item->bits;
    return LM_OK;
}

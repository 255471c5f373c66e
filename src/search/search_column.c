/* Conditions on the values of a column: contains, begins with, ends with, or is a part of a
 * literal. A dictionary is searched once per distinct text, integers are compared as numbers where
 * that says the same, all else as text. */
#include "search/search_exec_priv.h"

typedef struct test {
    lm_cond_kind kind;
    lm_str part;
    bool nocase;
    lm_finder finder; /* CONTAINS */
    /* the part as digits */
    bool is_digits;
    uint32_t digit_count;
    uint64_t number, ten_power; /* 10^digit_count */
    /* the part as one of an address: numbers between points are whole */
    uint32_t octet_count; /* of them; 0: nothing is known */
    uint32_t octets;      /* the last one lowest */
    bool is_no_address;   /* one of them is none */
} test;

struct lm_cond_cache {
    struct lm_cond_cache *next;
    lm_cond cond;
    test t;
    const lm_str *texts; /* the dictionary; NULL: it has none */
    uint32_t text_count;
    uint8_t *fits;         /* by text */
    const uint32_t *kinds; /* of the column's values, and which of them may fit */
    uint8_t *kind_may;
    uint64_t *kind_least; /* numbers below it do not fit */
    uint32_t kind_count;
    bool is_resolved; /* bits hold */
    lm_cond_bits bits;
};

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
    case LM_COND_EQUAL:
        return text.len == t->part.len && same(t, text.ptr);
    case LM_COND_PREFIX:
        return same(t, text.ptr);
    case LM_COND_SUFFIX:
        return same(t, text.ptr + text.len - t->part.len);
    case LM_COND_CONTAINS:
        return lm_finder_find(&t->finder, text) != SIZE_MAX;
    }
    return false;
}

/* The decimal text of value, by arithmetic; t->is_digits. */
static bool int_fits(const test *t, int64_t value)
{
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t least =
        t->digit_count == 1 ? 0 : t->ten_power / 10; /* least number with as many digits */
    if (u < least) return false;
    switch (t->kind) {
    case LM_COND_EQUAL:
        return value >= 0 && u == t->number && u >= least;
    case LM_COND_SUFFIX:
        return u % t->ten_power == t->number;
    case LM_COND_PREFIX:
        if (value < 0) return false;
        while (u >= t->ten_power)
            u /= 10;
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

/* The numbers between points: of 1.23.45.6 the 23 and the 45. */
static void octets_read(test *t)
{
    const uint8_t *at = t->part.ptr, *end = at + t->part.len;
    const uint8_t *point = memchr(at, '.', t->part.len);
    while (point && !t->is_no_address) {
        const uint8_t *next = memchr(point + 1, '.', (size_t)(end - (point + 1)));
        if (!next) return;
        uint32_t octet = 0, digits = (uint32_t)(next - (point + 1));
        t->is_no_address =
            digits == 0 || digits > 3 || (digits > 1 && point[1] == '0') || t->octet_count == 2;
        for (const uint8_t *digit = point + 1; digit < next && !t->is_no_address; digit++) {
            t->is_no_address = *digit < '0' || *digit > '9';
            octet = octet * 10 + (uint32_t)(*digit - '0');
        }
        t->is_no_address = t->is_no_address || octet > 255;
        t->octets = t->octets << 8 | octet;
        t->octet_count++;
        point = next;
    }
}

static bool address_may(const test *t, int64_t number)
{
    uint32_t inner = (uint32_t)(number >> 8) & 0xffff;
    if (t->octet_count == 2) return inner == t->octets;
    return t->octet_count == 0 || inner >> 8 == t->octets || (inner & 0xff) == t->octets;
}

static test test_make(const lm_scan *scan, const lm_cond *cond)
{
    test t = {.kind = (lm_cond_kind)cond->kind, .nocase = scan->literal.nocase};
    t.part = (lm_str){scan->literal.text.ptr + cond->begin, (size_t)(cond->end - cond->begin)};
    t.finder = lm_finder_make((lm_literal){t.part, t.nocase});
    t.is_digits = t.part.len <= 18;
    t.ten_power = 1;
    for (size_t i = 0; i < t.part.len && t.is_digits; i++) {
        uint8_t c = t.part.ptr[i];
        t.is_digits = c >= '0' && c <= '9';
        t.number = t.number * 10 + (uint64_t)(c - '0');
        t.ten_power *= 10;
    }
    t.digit_count = (uint32_t)t.part.len;
    octets_read(&t);
    return t;
}

static uint32_t dictionary_compare(const test *t, const lm_str *texts, uint32_t text_count,
                                   uint8_t *fits)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < text_count; i++) {
        fits[i] = text_fits(t, texts[i]);
        hits += fits[i];
    }
    return hits;
}

/* Texts of a dictionary mostly lie one behind the other with a '\n' between: such a run is searched
 * as one text. A literal has no '\n', so a hit lies in one of them. */
static uint32_t dictionary_search(const test *t, const lm_str *texts, uint32_t text_count,
                                  uint8_t *fits)
{
    uint32_t hits = 0;
    memset(fits, 0, text_count);
    for (uint32_t begin = 0, end; begin < text_count; begin = end) {
        const uint8_t *next = texts[begin].ptr + texts[begin].len;
        for (end = begin + 1; end < text_count && texts[end].ptr == next + 1 && *next == '\n';
             end++)
            next = texts[end].ptr + texts[end].len;
        uint32_t i = begin;
        for (const uint8_t *at = texts[begin].ptr; at < next;) {
            size_t found = lm_finder_find(&t->finder, (lm_str){at, (size_t)(next - at)});
            if (found == SIZE_MAX) break;
            at += found;
            while (texts[i].ptr + texts[i].len < at)
                i++;
            fits[i] = 1;
            hits++;
            at = texts[i].ptr + texts[i].len;
        }
    }
    return hits;
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
    uint8_t room[LM_VALUE_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = text_fits(t, lm_values_text(values, i, room));
        bits[i / 64] |= bit << i % 64;
        found += (uint32_t)bit;
    }
    return found;
}

/* Place of a kind; the column has it. */
static uint32_t kind_at(const lm_cond_cache *item, uint32_t kind)
{
    uint32_t i = 0;
    while (i + 1 < item->kind_count && item->kinds[i] != kind)
        i++;
    return i;
}

/* Numbers print slowly and come back: what was said of one is kept. Texts were looked at already,
 * and kinds whose values never fit are passed over. */
static uint32_t numbers_test(const lm_cond_cache *item, const lm_values *values,
                             const int64_t *numbers, const uint32_t *classes, uint32_t count,
                             uint64_t *bits)
{
    enum { KEPT_LOG = 9 };

    struct {
        int64_t number;
        uint32_t vclass;
        uint8_t is_set, fits;
    } kept[1 << KEPT_LOG];

    uint32_t found = 0, last = UINT32_MAX;
    uint64_t least = item->kind_least[0];
    bool last_may = true, last_is_text = false;
    bool last_is_address = lm_kind_is_address(item->kinds[0]);
    uint8_t room[LM_VALUE_ROOM];
    memset(kept, 0, sizeof kept);
    for (uint32_t i = 0; i < count; i++) {
        if (classes && classes[i] != last) {
            last = classes[i];
            last_is_text = item->fits && lm_kind_is_text(last);
            uint32_t kind = kind_at(item, last);
            last_may = item->kind_may[kind];
            least = item->kind_least[kind];
            last_is_address = lm_kind_is_address(last);
        }
        if (!last_may) continue;
        if (last_is_text) {
            uint8_t fits = item->fits[numbers[i]];
            bits[i / 64] |= (uint64_t)fits << i % 64;
            found += fits;
            continue;
        }
        uint64_t size = numbers[i] < 0 ? 0 - (uint64_t)numbers[i] : (uint64_t)numbers[i];
        if (size < least || (last_is_address && !address_may(&item->t, numbers[i]))) continue;
        size_t at = (uint64_t)numbers[i] * 0x9e3779b97f4a7c15u >> (64 - KEPT_LOG);
        uint32_t vclass = classes ? classes[i] : 0;
        if (!kept[at].is_set || kept[at].number != numbers[i] || kept[at].vclass != vclass) {
            kept[at].number = numbers[i];
            kept[at].vclass = vclass;
            kept[at].is_set = 1;
            kept[at].fits = text_fits(&item->t, lm_values_text(values, i, room));
        }
        bits[i / 64] |= (uint64_t)kept[at].fits << i % 64;
        found += kept[at].fits;
    }
    return found;
}

/* The number whose text with scale digits behind the point is the whole part. False: too long to
 * tell. *is_text false: no number has this text. */
static bool decimal_read(lm_str part, unsigned scale, int64_t *out, bool *is_text)
{
    bool negative = part.len && part.ptr[0] == '-';
    size_t digits = part.len - negative;
    const uint8_t *at = part.ptr + negative;
    *is_text = false;
    if (digits < scale + 2) return true;
    if (digits > 18) return false;
    size_t point = digits - scale - 1;
    *is_text = at[point] == '.' && (at[0] != '0' || point == 1);
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i == point) continue;
        *is_text = *is_text && at[i] >= '0' && at[i] <= '9';
        value = value * 10 + (at[i] & 15);
    }
    *is_text = *is_text && !(negative && value == 0);
    *out = negative ? -value : value;
    return true;
}

static bool decimals_test(const test *t, const lm_values *values, uint32_t count, uint64_t *bits)
{
    const int64_t *numbers;
    unsigned scale;
    int64_t wanted = 0;
    bool is_text;
    if (t->kind != LM_COND_EQUAL || !lm_values_decimals(values, &numbers, &scale) ||
        !decimal_read(t->part, scale, &wanted, &is_text))
        return false;
    for (uint32_t i = 0; i < count && is_text; i++)
        bits[i / 64] |= (uint64_t)(numbers[i] == wanted) << i % 64;
    return true;
}

/* ---- digits of wide values, found as bytes ---- */

static unsigned nibble_of(uint8_t digit)
{
    return digit <= '9' ? digit - (unsigned)'0' : digit - (unsigned)'a' + 10;
}

static unsigned nibble_at(const uint8_t *value, size_t i)
{
    return i & 1 ? value[i / 2] & 15 : value[i / 2] >> 4;
}

/* Marks the values in which the digits stand from an even place on (odd: from an odd one). */
static void wide_mark(const test *t, const uint8_t *bytes, size_t len, uint32_t width, bool is_odd,
                      uint64_t *bits)
{
    uint8_t whole[32];
    size_t digits = t->part.len, count = (digits - is_odd) / 2;
    for (size_t i = 0; i < count; i++)
        whole[i] = (uint8_t)(nibble_of(t->part.ptr[is_odd + 2 * i]) << 4 |
                             nibble_of(t->part.ptr[is_odd + 2 * i + 1]));
    lm_finder finder = lm_finder_make((lm_literal){{whole, count}, false});
    for (size_t at = 0; at < len;) {
        size_t found = lm_finder_find(&finder, (lm_str){bytes + at, len - at});
        if (found == SIZE_MAX) return;
        at += found;
        size_t value = at / width, begin = 2 * (at % width);
        const uint8_t *from = bytes + value * width;
        bool fits = begin >= is_odd && begin - is_odd + digits <= 2u * width;
        begin -= fits && is_odd;
        fits = fits && (!is_odd || nibble_at(from, begin) == nibble_of(t->part.ptr[0])) &&
               nibble_at(from, begin + digits - 1) == nibble_of(t->part.ptr[digits - 1]);
        if (fits) bits[value / 64] |= 1ull << value % 64;
        at = fits ? (value + 1) * width : at + 1;
    }
}

/* Values whose digits from place on are the part's. */
static void wide_mark_at(const test *t, const uint8_t *bytes, uint32_t count, uint32_t width,
                         size_t place, uint64_t *bits)
{
    uint8_t whole[32];
    size_t digits = t->part.len, odd = place & 1, n = (digits - odd) / 2, from = (place + odd) / 2;
    uint8_t first = 0;
    bool has_last = (place + digits) & 1;
    for (size_t i = 0; i < n; i++)
        whole[i] = (uint8_t)(nibble_of(t->part.ptr[odd + 2 * i]) << 4 |
                             nibble_of(t->part.ptr[odd + 2 * i + 1]));
    if (n) first = whole[0];
    for (uint32_t v = 0; v < count; v++, bytes += width) {
        if (n && (bytes[from] != first || memcmp(bytes + from, whole, n) != 0)) continue;
        bool fits = !odd || nibble_at(bytes, place) == nibble_of(t->part.ptr[0]);
        fits = fits && (!has_last ||
                        nibble_at(bytes, place + digits - 1) == nibble_of(t->part.ptr[digits - 1]));
        bits[v / 64] |= (uint64_t)fits << v % 64;
    }
}

/* False: too few digits for that. */
static bool wide_test(const test *t, const uint8_t *bytes, uint32_t width, uint32_t count,
                      uint64_t *bits)
{
    size_t digits = t->part.len, all = 2u * width;
    if (digits > 64 || (t->kind == LM_COND_CONTAINS && digits < 4)) return false;
    if (digits > all || (t->kind == LM_COND_EQUAL && digits != all)) return true; /* nowhere */
    for (size_t i = 0; i < t->part.len; i++) {
        uint8_t c = t->part.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return true; /* nowhere */
    }
    if (t->kind != LM_COND_CONTAINS) {
        wide_mark_at(t, bytes, count, width, t->kind == LM_COND_SUFFIX ? all - digits : 0, bits);
        return true;
    }
    wide_mark(t, bytes, (size_t)count * width, width, false, bits);
    wide_mark(t, bytes, (size_t)count * width, width, true, bits);
    return true;
}

/* Dashes stand at their places in all UUIDs alike: digits without them find those that may fit, and
 * text tells. False: too few digits for that. */
static bool uuid_test(const test *t, const lm_values *values, const uint8_t *bytes, uint32_t count,
                      uint64_t *bits)
{
    enum { DIGITS = 32 };

    uint8_t digits[DIGITS], room[LM_VALUE_ROOM];
    test plain = *t;
    size_t len = 0;
    for (size_t i = 0; i < t->part.len; i++) {
        if (t->part.ptr[i] == '-') continue;
        if (len == DIGITS) return true; /* nowhere */
        digits[len++] = t->part.ptr[i];
    }
    plain.kind = LM_COND_CONTAINS;
    plain.part = (lm_str){digits, len};
    if (!wide_test(&plain, bytes, DIGITS / 2, count, bits)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (lm_row_has(bits, i) && !text_fits(t, lm_values_text(values, i, room)))
            bits[i / 64] &= ~(1ull << i % 64);
    }
    return true;
}

static uint32_t bits_count(const uint64_t *bits, size_t words)
{
    uint32_t count = 0;
    for (size_t w = 0; w < words; w++)
        count += (uint32_t)__builtin_popcountll(bits[w]);
    return count;
}

/* Decodes the column and marks the values that fit. */
static lm_err cond_resolve(lm_exec *exec, lm_cond_cache *item, size_t column)
{
    const lm_values *values = NULL;
    lm_err err = lm_segment_values(exec->segment, column, &values);
    if (err == LM_E_CORRUPT) {
        item->bits = (lm_cond_bits){LM_COND_UNKNOWN, 0,
                                    NULL}; /* its rows go on to rendering, which tells the damage */
        return LM_OK;
    }
    if (err) return err;
    exec->columns_decoded++;
    uint32_t count = lm_values_count(values), text_count, found;
    size_t words = ((size_t)count + 63) / 64;
    uint64_t *bits = lm_arena_alloc(&exec->arena, words * 8, 8);
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * 8);
    const lm_str *texts;
    const uint32_t *index;
    const int64_t *ints;
    const uint8_t *bytes;
    uint32_t width;
    bool is_uuid;
    if (item->fits && lm_values_dictionary(values, &texts, &text_count, &index)) {
        for (uint32_t i = 0; i < count; i++)
            bits[i / 64] |= (uint64_t)item->fits[index[i]] << i % 64;
        found = bits_count(bits, words);
    } else if (item->fits && item->kind_count == 1 &&
               count == item->text_count) { /* all values distinct */
        for (uint32_t i = 0; i < count; i++)
            bits[i / 64] |= (uint64_t)item->fits[i] << i % 64;
        found = bits_count(bits, words);
    } else if (item->t.is_digits && lm_values_ints(values, &ints)) {
        found = ints_test(&item->t, ints, count, bits);
    } else if (lm_values_wide(values, &bytes, &width, &is_uuid) &&
               (is_uuid ? uuid_test(&item->t, values, bytes, count, bits)
                        : wide_test(&item->t, bytes, width, count, bits))) {
        found = bits_count(bits, words);
    } else if (decimals_test(&item->t, values, count, bits)) {
        found = bits_count(bits, words);
    } else if (lm_values_numbers(values, &ints, &index)) {
        found = numbers_test(item, values, ints, index, count, bits);
    } else {
        found = texts_test(&item->t, values, count, bits);
    }
    lm_cond_state state = found == 0 ? LM_COND_NONE : found == count ? LM_COND_ALL : LM_COND_SOME;
    item->bits = (lm_cond_bits){state, count, bits};
    return LM_OK;
}

/* Which kinds of values may fit? Texts are looked at here and now. If none does the column need not
 * be decoded. */
static lm_err kinds_ask(lm_exec *exec, lm_scan *scan, size_t column, lm_cond_cache *item)
{
    const lm_cond *cond = &item->cond;
    unsigned where = cond->kind == LM_COND_PREFIX   ? LM_AT_BEGIN
                     : cond->kind == LM_COND_SUFFIX ? LM_AT_END
                     : cond->kind == LM_COND_EQUAL  ? LM_AT_BEGIN | LM_AT_END
                                                    : 0;
    bool any = false;
    uint32_t hits = 1; /* texts that cannot be read may fit */
    item->kind_count = lm_segment_column_kinds(exec->segment, column, &item->kinds);
    item->kind_may = lm_arena_alloc(&exec->arena, item->kind_count, 1);
    item->kind_least = lm_arena_alloc(&exec->arena, (item->kind_count + 1) * 8, 8);
    if (!item->kind_may || !item->kind_least) return lm_mem_err();
    item->kind_least[0] = 0;
    if (lm_segment_column_words(exec->segment, column, &item->texts, &item->text_count)) {
        item->fits = lm_arena_alloc(&exec->arena, item->text_count, 1);
        if (!item->fits) return lm_mem_err();
        hits = cond->kind == LM_COND_CONTAINS
                   ? dictionary_search(&item->t, item->texts, item->text_count, item->fits)
                   : dictionary_compare(&item->t, item->texts, item->text_count, item->fits);
    }
    for (uint32_t i = 0; i < item->kind_count; i++) {
        uint16_t layout;
        item->kind_least[i] =
            item->t.is_digits ? lm_kind_least(item->kinds[i], item->t.part.len) : 0;
        if (lm_kind_is_text(item->kinds[i]))
            item->kind_may[i] = hits > 0;
        else if (lm_kind_is_time(item->kinds[i], &layout))
            item->kind_may[i] = lm_scan_time_may(scan, layout, cond);
        else if (lm_kind_is_address(item->kinds[i]) && item->t.is_no_address)
            item->kind_may[i] = false;
        else
            item->kind_may[i] = item->t.nocase || lm_kind_may(item->kinds[i], item->t.part, where);
        any = any || item->kind_may[i];
    }
    item->is_resolved = item->kind_count > 0 && !any;
    item->bits = (lm_cond_bits){LM_COND_NONE, 0, NULL};
    return LM_OK;
}

static lm_err cond_get(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond,
                       lm_cond_cache **out)
{
    if (!scan->conds) {
        scan->conds = lm_arena_alloc(&exec->arena, exec->column_count * sizeof *scan->conds,
                                     _Alignof(lm_cond_cache *));
        if (!scan->conds) return lm_mem_err();
        for (size_t i = 0; i < exec->column_count; i++)
            scan->conds[i] = NULL;
    }
    for (lm_cond_cache *item = scan->conds[column]; item; item = item->next) {
        if (item->cond.kind == cond->kind && item->cond.begin == cond->begin &&
            item->cond.end == cond->end) {
            *out = item;
            return LM_OK;
        }
    }
    lm_cond_cache *item = lm_arena_alloc(&exec->arena, sizeof *item, _Alignof(lm_cond_cache));
    if (!item) return lm_mem_err();
    memset(item, 0, sizeof *item);
    item->cond = *cond;
    item->t = test_make(scan, cond);
    lm_err err = kinds_ask(exec, scan, column, item);
    if (err) return err;
    item->next = scan->conds[column];
    scan->conds[column] = item;
    *out = item;
    return LM_OK;
}

lm_err lm_cond_try(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond,
                   bool *out_possible)
{
    lm_cond_cache *item = NULL;
    lm_err err = cond_get(exec, scan, column, cond, &item);
    if (!err) *out_possible = !item->is_resolved || item->bits.state != LM_COND_NONE;
    return err;
}

lm_err lm_cond_eval(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond,
                    lm_cond_bits *out)
{
    lm_cond_cache *item = NULL;
    lm_err err = cond_get(exec, scan, column, cond, &item);
    if (!err && !item->is_resolved) {
        err = cond_resolve(exec, item, column);
        item->is_resolved = !err;
    }
    if (!err) *out = item->bits;
    return err;
}

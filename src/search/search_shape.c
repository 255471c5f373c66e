/* A literal against the shapes of a segment, without opening a column.
 *
 * A line of a shape is its pieces one behind the other, constant texts and variables. A literal L
 * of m bytes can lie in it in three manners: inside a constant text (then every line of the shape
 * has it), inside one variable, or across neighbours: it begins as the end of one piece, runs
 * through whole pieces, and ends as the beginning of another.
 *
 * The state between two pieces is a set of positions: bit k says that L[0..k) can end exactly here.
 * With L no longer than 63 bytes a set is one word, and a piece moves it in a few steps:
 *
 *     constant text t   starts: the k for which t ends with L[0..k);   goes on: j with L[j..j+|t|)
 * = t becomes j+|t|; completes: j with t beginning with L[j..m) variable          the same by what
 * its column's stamp admits: classes of bytes, lengths, 3-gram filter
 *
 * Two sets run side by side: what only constants led to (certain) and all (possible). Columns are
 * judged once per literal, so thousands of shapes that share them cost a few nanoseconds a piece.
 *
 * lm_scan_ways walks the same machine depth first and writes down what each path demands of the
 * variables. A column whose values are all one number counts as constant text. */
#include "search/search_priv.h"

#define LITERAL_MAX LM_SCAN_TEXT_MAX
#define STEPS_MAX   4000

typedef struct lm_scan_column {
    const struct lm_scan_column *same_as; /* a pooled column: the judgement of the pool */
    bool is_ready;
    bool is_constant; /* all values are this text */
    bool contains;    /* a value may contain the whole literal */
    uint8_t constant_len;
    uint8_t run[LITERAL_MAX + 1]; /* from position i on, so many bytes of L may lie in one value */
    uint8_t constant[24];
    uint32_t len_min, len_max;
    uint64_t suffix; /* bit k: a value may end with L[0..k) */
    uint64_t prefix; /* bit j: a value may begin with L[j..m) */
    const uint64_t
        *passes; /* bit k of passes[j]: a value may be L[j..k); NULL: by lengths and run */
    bool is_numeric;
    int64_t min, max;
} lm_scan_column;

/* What may stand at each place of a time's text. */
typedef struct lm_time_mask {
    struct lm_time_mask *next;
    uint16_t layout;
    bool is_fixed; /* all texts have len bytes, and bytes holds; else nothing is known */
    size_t len;
    uint64_t bytes[LM_TIME_TEXT_MAX][4];
} lm_time_mask;

uint8_t lm_chars_of_byte(uint8_t c)
{
    if (c >= '0' && c <= '9') return LM_CHARS_DIGIT;
    if (c >= 'a' && c <= 'z') return c <= 'f' ? LM_CHARS_HEX_LOWER : LM_CHARS_LOWER;
    if (c >= 'A' && c <= 'Z') return c <= 'F' ? LM_CHARS_HEX_UPPER : LM_CHARS_UPPER;
    if (c == '.') return LM_CHARS_DOT;
    return c == '-' || c == ':' ? LM_CHARS_DASH_COLON : LM_CHARS_OTHER;
}

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

/* ---- the literal ----------------------------------------------------------------------------- */

/* The window with most letters: constant text rather than numbers. */
static lm_str window_choose(lm_str text)
{
    if (text.len <= LITERAL_MAX) return text;
    size_t best = 0, best_letters = 0;
    for (size_t at = 0; at + LITERAL_MAX <= text.len && at < 65536; at += 16) {
        size_t letters = 0;
        for (size_t i = 0; i < LITERAL_MAX; i++)
            letters += is_lower(text.ptr[at + i] | 32) || text.ptr[at + i] == ' ';
        if (letters > best_letters) best = at, best_letters = letters;
    }
    return (lm_str){text.ptr + best, LITERAL_MAX};
}

lm_err lm_scan_init(lm_scan *scan, lm_arena *arena, lm_literal literal, const lm_column_view *view)
{
    LM_ASSERT(literal.text.len > 0);
    memset(scan, 0, sizeof *scan);
    scan->literal = (lm_literal){window_choose(literal.text), literal.nocase};
    scan->finder = lm_finder_make(scan->literal);
    scan->is_window = literal.text.len > LITERAL_MAX;
    scan->view = *view;
    scan->arena = arena;
    scan->columns =
        lm_arena_alloc(arena, view->count * sizeof *scan->columns, _Alignof(lm_scan_column));
    if (!scan->columns) return lm_mem_err();
    for (size_t i = 0; i < view->count; i++)
        scan->columns[i].is_ready = false;
    for (size_t i = 0; i < scan->literal.text.len; i++) {
        uint8_t c = scan->literal.text.ptr[i];
        scan->where[c] |= 1ull << i;
        if (literal.nocase && is_lower(c)) scan->where[c - 32] |= 1ull << i;
    }
    return LM_OK;
}

static uint8_t fold(const lm_scan *scan, uint8_t c)
{
    return scan->literal.nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Is L[j..j+len) the text at t? */
static bool part_is(const lm_scan *scan, size_t j, const uint8_t *t, size_t len)
{
    const uint8_t *part = scan->literal.text.ptr + j;
    if (!scan->literal.nocase) return memcmp(part, t, len) == 0;
    for (size_t i = 0; i < len; i++) {
        if (fold(scan, t[i]) != part[i]) return false;
    }
    return true;
}

/* ---- constant text ----------------------------------------------------------------------------
 */

/* Bits k < m: the text ends with L[0..k). */
static uint64_t text_starts(const lm_scan *scan, const uint8_t *t, size_t len)
{
    size_t m = scan->literal.text.len;
    uint64_t found = scan->where[t[len - 1]] << 1; /* k whose last byte is t's last */
    uint64_t below = m < 64 ? (1ull << m) - 1 : UINT64_MAX;
    if (len < m) below &= (2ull << len) - 1;
    found &= below;
    for (size_t d = 1; d < len; d++) {
        uint64_t shorter = (2ull << d) - 1; /* k <= d: already compared whole */
        if (!(found & ~shorter)) break;
        found &= (scan->where[t[len - 1 - d]] << (d + 1)) | shorter;
    }
    return found;
}

/* Moves positions over constant text; true if one of them completes. */
static bool text_pass(const lm_scan *scan, const uint8_t *t, size_t len, uint64_t from,
                      uint64_t *out_next)
{
    size_t m = scan->literal.text.len;
    uint64_t next = 0;
    for (from &= scan->where[t[0]]; from; from &= from - 1) {
        size_t j = (size_t)__builtin_ctzll(from);
        if (m - j <= len) {
            if (part_is(scan, j, t, m - j)) return true;
        } else if (part_is(scan, j, t, len)) {
            next |= 1ull << (j + len);
        }
    }
    *out_next = next;
    return false;
}

static bool text_contains(const lm_scan *scan, const uint8_t *t, size_t len)
{
    return len >= scan->literal.text.len &&
           lm_finder_find(&scan->finder, (lm_str){t, len}) != SIZE_MAX;
}

/* ---- columns --------------------------------------------------------------------------------- */

static bool gram_admits(const lm_scan *scan, size_t column, size_t begin, size_t end)
{
    if (scan->literal.nocase || end - begin < 3) return true;
    return scan->view.may_contain(scan->view.ctx, column,
                                  (lm_str){scan->literal.text.ptr + begin, end - begin});
}

/* By the kinds of values that the column has. */
static bool kinds_admit(const lm_scan *scan, size_t column, size_t begin, size_t end,
                        unsigned where)
{
    if (scan->literal.nocase || !scan->view.may) return true;
    return scan->view.may(scan->view.ctx, column,
                          (lm_str){scan->literal.text.ptr + begin, end - begin}, where);
}

static size_t int_print(int64_t value, uint8_t *dst)
{
    uint8_t digits[20];
    size_t count = 0, len = 0;
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[count++] = (uint8_t)('0' + u % 10);
        u /= 10;
    } while (u);
    if (value < 0) dst[len++] = '-';
    while (count)
        dst[len++] = digits[--count];
    return len;
}

/* ---- the pool -------------------------------------------------------------------------------- */

/* Columns with a handful of values share one text of lines; all of them are judged as if each had
 * all its values. */
static lm_scan_column *pool_judge(lm_scan *scan, lm_str pool)
{
    size_t m = scan->literal.text.len;
    lm_scan_column *column = lm_arena_alloc(scan->arena, sizeof *column, _Alignof(lm_scan_column));
    uint64_t *passes = lm_arena_alloc(scan->arena, (LITERAL_MAX + 1) * sizeof *passes, 8);
    if (!column || !passes) return NULL;
    memset(column, 0, sizeof *column);
    memset(passes, 0, (LITERAL_MAX + 1) * sizeof *passes);
    column->is_ready = true;
    column->passes = passes;
    column->contains = lm_finder_find(&scan->finder, pool) != SIZE_MAX;
    for (size_t at = 0; at < pool.len;) {
        const uint8_t *t = pool.ptr + at, *end = memchr(t, '\n', pool.len - at);
        size_t len = end ? (size_t)(end - t) : pool.len - at;
        at += len + 1;
        if (len == 0) continue;
        column->suffix |= text_starts(scan, t, len);
        for (uint64_t from = scan->where[t[0]] & ~1ull; from; from &= from - 1) {
            size_t j = (size_t)__builtin_ctzll(from);
            if (m - j <= len) {
                if (!(column->prefix >> j & 1) && part_is(scan, j, t, m - j))
                    column->prefix |= 1ull << j;
            } else if (part_is(scan, j, t, len)) {
                passes[j] |= 1ull << (j + len);
            }
        }
    }
    return column;
}

/* ---- times ----------------------------------------------------------------------------------- */

/* Prints times of some years; a digit stands for all digits. Names of months and days come up by
 * themselves. */
static void time_mask_make(uint16_t layout, lm_time_mask *mask)
{
    int64_t unit = lm_time_layout_ns(layout),
            step = unit > 0 ? (int64_t)1141871123456789 / unit : 0; /* 13 days and some hours */
    memset(mask, 0, sizeof *mask);
    mask->layout = layout;
    mask->is_fixed = step > 0;
    for (int64_t i = 0; i < 150 && mask->is_fixed; i++) {
        uint8_t text[LM_TIME_TEXT_MAX];
        size_t len = lm_time_print(layout, i * step, text);
        mask->is_fixed = (i == 0 || len == mask->len) && len > 0 && len <= LM_TIME_TEXT_MAX;
        mask->len = len;
        for (size_t at = 0; mask->is_fixed && at < len; at++) {
            uint8_t c = text[at];
            mask->bytes[at][c / 64] |= 1ull << c % 64;
            if (c >= '0' && c <= '9') mask->bytes[at][0] |= 0x3ffull << '0';
        }
    }
}

static const lm_time_mask *time_mask_get(lm_scan *scan, uint16_t layout)
{
    for (lm_time_mask *mask = scan->time_masks; mask; mask = mask->next) {
        if (mask->layout == layout) return mask;
    }
    lm_time_mask *mask = lm_arena_alloc(scan->arena, sizeof *mask, _Alignof(lm_time_mask));
    if (!mask) return NULL;
    time_mask_make(layout, mask);
    mask->next = scan->time_masks;
    scan->time_masks = mask;
    return mask;
}

/* May L[j..j+len) stand at place `at` of the time? */
static bool time_admits(const lm_scan *scan, const lm_time_mask *mask, size_t at, size_t j,
                        size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = scan->literal.text.ptr[j + i],
                other = scan->literal.nocase && is_lower(c) ? (uint8_t)(c - 32) : c;
        const uint64_t *bytes = mask->bytes[at + i];
        if (!((bytes[c / 64] >> c % 64 | bytes[other / 64] >> other % 64) & 1)) return false;
    }
    return true;
}

bool lm_scan_time_may(lm_scan *scan, uint16_t layout, const lm_cond *cond)
{
    const lm_time_mask *mask = time_mask_get(scan, layout);
    if (!mask || !mask->is_fixed) return true;
    size_t len = (size_t)(cond->end - cond->begin), last = mask->len - len;
    if (len > mask->len || (cond->kind == LM_COND_EQUAL && last > 0)) return false;
    size_t at = cond->kind == LM_COND_SUFFIX ? last : 0;
    size_t end = cond->kind == LM_COND_CONTAINS || cond->kind == LM_COND_SUFFIX ? last : 0;
    for (; at <= end; at++) {
        if (time_admits(scan, mask, at, cond->begin, len)) return true;
    }
    return false;
}

static bool time_judge(lm_scan *scan, size_t index, lm_scan_column *column)
{
    uint16_t layout;
    if (!scan->view.is_time || !scan->view.is_time(scan->view.ctx, index, &layout)) return false;
    const lm_time_mask *mask = time_mask_get(scan, layout);
    uint64_t *passes =
        mask ? lm_arena_alloc(scan->arena, (LITERAL_MAX + 1) * sizeof *passes, 8) : NULL;
    if (!passes || !mask->is_fixed) return false; /* all texts of such a layout are equally long */
    size_t m = scan->literal.text.len, width = mask->len;
    for (size_t at = 0; at + m <= width && !column->contains; at++)
        column->contains = time_admits(scan, mask, at, 0, m);
    for (size_t k = 1; k < m && k <= width; k++) {
        if (time_admits(scan, mask, width - k, 0, k)) column->suffix |= 1ull << k;
        if (time_admits(scan, mask, 0, m - k, k)) column->prefix |= 1ull << (m - k);
    }
    for (size_t j = 0; j <= LITERAL_MAX; j++) {
        passes[j] = j > 0 && j + width < m && time_admits(scan, mask, 0, j, width)
                        ? 1ull << (j + width)
                        : 0;
    }
    column->passes = passes;
    return true;
}

static void column_judge(lm_scan *scan, size_t index, lm_scan_column *column)
{
    size_t m = scan->literal.text.len;
    lm_str pool;
    memset(column, 0, sizeof *column);
    column->is_ready = true;
    if (scan->view.pool && scan->view.pool(scan->view.ctx, index, &pool)) {
        if (!scan->pooled) scan->pooled = pool_judge(scan, pool);
        column->same_as = scan->pooled;
        if (column->same_as) return;
    }
    if (time_judge(scan, index, column)) return;
    lm_value_stamp stamp = scan->view.stamp(scan->view.ctx, index);
    column->len_min = stamp.len_min;
    column->len_max = stamp.len_max;
    column->is_numeric = stamp.is_numeric;
    column->min = stamp.min;
    column->max = stamp.max;
    if (stamp.is_numeric && stamp.min == stamp.max) {
        column->is_constant = true;
        column->constant_len = (uint8_t)int_print(stamp.min, column->constant);
        return;
    }
    for (size_t i = m; i-- > 0;) {
        uint8_t c = scan->literal.text.ptr[i], chars = lm_chars_of_byte(c);
        if (scan->literal.nocase && is_lower(c)) chars |= lm_chars_of_byte((uint8_t)(c - 32));
        column->run[i] = (stamp.classes & chars) ? (uint8_t)(column->run[i + 1] + 1) : 0;
    }
    size_t most = stamp.len_max < m ? stamp.len_max : m;
    size_t k = 1;
    for (; k <= column->run[0] && k <= most; k++) { /* each 3-gram is asked for once */
        if (k >= 3 && !gram_admits(scan, index, k - 3, k)) break;
        if (k < m && kinds_admit(scan, index, 0, k, LM_AT_END)) column->suffix |= 1ull << k;
    }
    column->contains = k > m && kinds_admit(scan, index, 0, m, 0);
    for (size_t len = 1; len < m && len <= most; len++) {
        size_t j = m - len;
        if (column->run[j] < len || (len >= 3 && !gram_admits(scan, index, j, j + 3))) break;
        if (kinds_admit(scan, index, j, m, LM_AT_BEGIN)) column->prefix |= 1ull << j;
    }
}

static const lm_scan_column *column_get(lm_scan *scan, int32_t index)
{
    LM_ASSERT(index >= 0 && (size_t)index < scan->view.count);
    lm_scan_column *column = &scan->columns[index];
    if (!column->is_ready) column_judge(scan, (size_t)index, column);
    return column->same_as ? column->same_as : column;
}

/* May a value be exactly L[j..j+len)? */
static bool column_may_equal(const lm_scan *scan, const lm_scan_column *column, size_t j,
                             size_t len)
{
    if (!column->is_numeric)
        return kinds_admit(scan, (size_t)(column - scan->columns), j, j + len,
                           LM_AT_BEGIN | LM_AT_END);
    const uint8_t *part = scan->literal.text.ptr + j;
    bool negative = part[0] == '-';
    size_t digits = len - negative;
    if (digits == 0 || digits > 19 || (part[negative] == '0' && (digits > 1 || negative)))
        return false;
    uint64_t u = 0;
    for (size_t i = negative; i < len; i++) {
        if (part[i] < '0' || part[i] > '9') return false;
        u = u * 10 + (uint64_t)(part[i] - '0');
    }
    if (u > (uint64_t)INT64_MAX + negative) return false;
    int64_t value = negative ? (int64_t)(0 - u) : (int64_t)u;
    return value >= column->min && value <= column->max;
}

/* Positions that can follow j behind a variable that is exactly L[j..j+len). */
static uint64_t column_passes(const lm_scan *scan, const lm_scan_column *column, size_t j)
{
    if (column->passes) return column->passes[j];
    size_t m = scan->literal.text.len;
    if (column->run[j] < column->len_min) return 0;
    size_t most = column->run[j] < column->len_max ? column->run[j] : column->len_max;
    if (most > m - 1 - j) most = m - 1 - j; /* the whole rest is the prefix case */
    uint64_t next = 0;
    for (size_t len = column->len_min ? column->len_min : 1; len <= most; len++) {
        if (column_may_equal(scan, column, j, len)) next |= 1ull << (j + len);
    }
    return next;
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* The text of a piece if it is the same in every line; false for a variable. */
static bool piece_text(lm_scan *scan, const lm_piece *piece, lm_str *out)
{
    if (piece->column < 0) {
        *out = piece->text;
        return true;
    }
    const lm_scan_column *column = column_get(scan, piece->column);
    *out = (lm_str){column->constant, column->constant_len};
    return column->is_constant;
}

lm_verdict lm_scan_shape(lm_scan *scan, const lm_shape *shape)
{
    uint64_t certain = 0, possible = 0; /* possible includes certain */
    bool found = false;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        const lm_piece *piece = &shape->pieces[i];
        lm_str text;
        if (piece_text(scan, piece, &text)) {
            if (text.len == 0) continue;
            uint64_t from_certain = certain, from_possible = possible & ~certain;
            certain = possible = 0;
            if (text_contains(scan, text.ptr, text.len) ||
                (from_certain && text_pass(scan, text.ptr, text.len, from_certain, &certain))) {
                return scan->is_window ? LM_MAYBE : LM_ALWAYS;
            }
            if (from_possible && text_pass(scan, text.ptr, text.len, from_possible, &possible))
                found = true;
            certain |= text_starts(scan, text.ptr, text.len);
            possible |= certain;
        } else {
            const lm_scan_column *column = column_get(scan, piece->column);
            uint64_t from = possible;
            found = found || column->contains || (from & column->prefix);
            possible = column->suffix;
            certain = 0;
            for (; from; from &= from - 1) {
                size_t j = (size_t)__builtin_ctzll(from);
                possible |= column_passes(scan, column, j);
            }
        }
    }
    return found ? LM_MAYBE : LM_NEVER;
}

/* ---- all shapes at once ----------------------------------------------------------------------

 * The same machine without roles: a variable may be of any column. Constant texts between are those
 * of the skeletons, which need not be taken apart for it. */

typedef struct any_column {
    lm_scan *scan;
    uint64_t suffix, prefix; /* of all columns */
    uint64_t asked;          /* bit j: passes[j] is known */
    uint64_t passes[LITERAL_MAX + 1];
} any_column;

/* A column of one value: the text may complete. */
static uint64_t constant_prefix(const lm_scan *scan, const lm_scan_column *column)
{
    size_t m = scan->literal.text.len;
    uint64_t prefix = 0;
    for (size_t len = 1; len < m && len <= column->constant_len; len++) {
        if (part_is(scan, m - len, column->constant, len)) prefix |= 1ull << (m - len);
    }
    return prefix;
}

/* True: a column of one value holds the literal. */
static bool any_column_make(lm_scan *scan, any_column *any)
{
    any->scan = scan;
    any->suffix = any->prefix = any->asked = 0;
    for (size_t i = 0; i < scan->view.count; i++) {
        const lm_scan_column *column = column_get(scan, (int32_t)i);
        if (column->is_constant) {
            if (text_contains(scan, column->constant, column->constant_len)) return true;
            any->suffix |= text_starts(scan, column->constant, column->constant_len);
            any->prefix |= constant_prefix(scan, column);
        } else {
            any->suffix |= column->suffix;
            any->prefix |= column->prefix;
        }
    }
    return false;
}

static uint64_t any_column_passes(any_column *any, size_t j)
{
    lm_scan *scan = any->scan;
    if (any->asked >> j & 1) return any->passes[j];
    uint64_t next = 0;
    for (size_t i = 0; i < scan->view.count; i++) {
        const lm_scan_column *column = column_get(scan, (int32_t)i);
        size_t len = column->constant_len;
        if (!column->is_constant)
            next |= column_passes(scan, column, j);
        else if (j + len < scan->literal.text.len && part_is(scan, j, column->constant, len))
            next |= 1ull << (j + len);
    }
    any->asked |= 1ull << j;
    any->passes[j] = next;
    return next;
}

/* Moves positions over the constant text t, which may be empty; true: one completes. */
static bool across_text(const lm_scan *scan, const uint8_t *t, size_t len, uint64_t *possible)
{
    uint64_t next = 0;
    if (len == 0) return false;
    if (*possible & scan->where[t[0]] && text_pass(scan, t, len, *possible, &next)) return true;
    *possible = scan->where[t[len - 1]] ? next | text_starts(scan, t, len) : next;
    return false;
}

static bool across_skeleton(any_column *any, lm_str line)
{
    uint64_t possible = 0;
    const uint8_t *at = line.ptr, *end = line.ptr + line.len;
    for (;;) {
        const uint8_t *mark = memchr(at, LM_SKELETON_MARK, (size_t)(end - at));
        if (!mark || mark + 1 == end) /* then it is text */
            return across_text(any->scan, at, (size_t)(end - at), &possible);
        if (across_text(any->scan, at, (size_t)(mark - at), &possible)) return true;
        if (possible & any->prefix) return true;
        uint64_t from = possible;
        possible = any->suffix;
        for (; from; from &= from - 1)
            possible |= any_column_passes(any, (size_t)__builtin_ctzll(from));
        at = mark + 2;
        if (at == end) return false;
    }
}

static bool across_line(any_column *any, lm_str line)
{
    return line.len && (text_contains(any->scan, line.ptr, line.len) || across_skeleton(any, line));
}

lm_err lm_scan_across(lm_scan *scan, lm_str skeletons, const uint64_t **out, bool *out_any)
{
    any_column any;
    *out = NULL;
    *out_any = true;
    if (any_column_make(scan, &any)) return LM_OK;
    size_t words = lm_scan_count_newlines(skeletons.ptr, skeletons.len) / 64 + 1, shape = 0;
    uint64_t *bits = lm_arena_alloc(scan->arena, words * sizeof *bits, 8);
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * sizeof *bits);
    *out_any = false;
    for (size_t at = 0; at < skeletons.len; shape++) {
        const uint8_t *begin = skeletons.ptr + at, *end = memchr(begin, '\n', skeletons.len - at);
        size_t len = end ? (size_t)(end - begin) : skeletons.len - at;
        at += len + 1;
        if (!across_line(&any, (lm_str){begin, len})) continue;
        bits[shape / 64] |= 1ull << shape % 64;
        *out_any = true;
    }
    *out = bits;
    return LM_OK;
}

bool lm_scan_within(lm_scan *scan, size_t column)
{
    return column_get(scan, (int32_t)column)->contains;
}

/* ---- ways ------------------------------------------------------------------------------------ */

typedef struct walk {
    lm_scan *scan;
    const lm_shape *shape;
    lm_way *ways;
    uint32_t count;
    lm_way now; /* conditions collected on the path */
    uint32_t steps;
    bool overflow;
} walk;

static bool cond_push(walk *w, uint32_t piece, lm_cond_kind kind, size_t begin, size_t end)
{
    if (w->now.count == LM_WAY_CONDS_MAX) {
        w->overflow = true;
        return false;
    }
    w->now.conds[w->now.count++] = (lm_cond){piece, (uint8_t)kind, (uint8_t)begin, (uint8_t)end};
    return true;
}

static void way_emit(walk *w)
{
    if (w->count == LM_WAYS_MAX) {
        w->overflow = true;
    } else {
        w->ways[w->count++] = w->now;
    }
}

/* L[0..j) ended right before piece: where can the rest lie? */
static void walk_on(walk *w, uint32_t piece, size_t j)
{
    size_t m = w->scan->literal.text.len;
    for (; piece < w->shape->piece_count && !w->overflow; piece++) {
        lm_str text;
        if (++w->steps > STEPS_MAX) {
            w->overflow = true;
            return;
        }
        if (piece_text(w->scan, &w->shape->pieces[piece], &text)) {
            if (text.len == 0) continue;
            uint64_t next = 0;
            if (text_pass(w->scan, text.ptr, text.len, 1ull << j, &next)) {
                way_emit(w);
                return;
            }
            if (!next) return;
            j = (size_t)__builtin_ctzll(next);
            continue;
        }
        const lm_scan_column *column = column_get(w->scan, w->shape->pieces[piece].column);
        uint32_t kept = w->now.count;
        if ((column->prefix & (1ull << j)) && cond_push(w, piece, LM_COND_PREFIX, j, m)) {
            way_emit(w);
            w->now.count = kept;
        }
        uint64_t passes = column_passes(w->scan, column, j);
        for (; passes && !w->overflow; passes &= passes - 1) {
            size_t next = (size_t)__builtin_ctzll(passes);
            if (cond_push(w, piece, LM_COND_EQUAL, j, next)) walk_on(w, piece + 1, next);
            w->now.count = kept;
        }
        return;
    }
}

bool lm_scan_ways(lm_scan *scan, const lm_shape *shape, lm_way ways[LM_WAYS_MAX],
                  uint32_t *out_count)
{
    walk w = {.scan = scan, .shape = shape, .ways = ways};
    size_t m = scan->literal.text.len;
    for (uint32_t i = 0; i < shape->piece_count && !w.overflow; i++) {
        lm_str text;
        uint64_t starts;
        bool is_text = piece_text(scan, &shape->pieces[i], &text);
        if (is_text) {
            starts = text.len ? text_starts(scan, text.ptr, text.len) : 0;
            if (scan->is_window && text_contains(scan, text.ptr, text.len)) {
                way_emit(
                    &w); /* without a condition: the window is there, the whole literal maybe */
                continue;
            }
        } else {
            const lm_scan_column *column = column_get(scan, shape->pieces[i].column);
            starts = column->suffix;
            if (column->contains && cond_push(&w, i, LM_COND_CONTAINS, 0, m)) {
                way_emit(&w);
                w.now.count = 0;
            }
        }
        for (; starts && !w.overflow; starts &= starts - 1) {
            size_t k = (size_t)__builtin_ctzll(starts);
            if (!is_text && !cond_push(&w, i, LM_COND_SUFFIX, 0, k)) break;
            walk_on(&w, i + 1, k);
            w.now.count = 0;
        }
    }
    if (w.overflow) return false;
    *out_count = w.count;
    return true;
}

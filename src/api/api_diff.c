/**
 * Comparing the templates of two views. Templates are paired by their text; those without a partner
 * are tried as patterns on each other's text, since the same event may have a variable more where
 * more lines were seen.
 */
#include "api/api_priv.h"

#include <math.h>
#include <stdlib.h>

/** More unpaired templates than this on either side are not tried against each other: the work is
 * their product. */
#define PATTERN_TRIES_MAX 4096u

typedef struct paired {
    const lm_view_template *item;
    uint64_t hash;
    uint64_t partner_count; /* lines of its partner in the other view */
    bool is_paired;
} paired;

static int paired_compare(const void *a, const void *b)
{
    const paired *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static lm_str str_of(lm_text text)
{
    return (lm_str){(const uint8_t *)text.ptr, text.len};
}

static bool is_slot(lm_str s, size_t at)
{
    return at + 3 <= s.len && memcmp(s.ptr + at, "<*>", 3) == 0;
}

/** Does text fit pattern, where <*> stands for one byte or more? Two fingers; O(pattern * text) at
 * worst. */
static bool pattern_fits(lm_str pattern, lm_str text)
{
    size_t p = 0, t = 0, slot = SIZE_MAX, slot_text = 0;
    while (t < text.len) {
        if (is_slot(pattern, p)) {
            slot = p;
            slot_text = ++t; /* at least one byte */
            p += 3;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (slot != SIZE_MAX) {
            p = slot + 3;
            t = ++slot_text;
        } else {
            return false;
        }
    }
    return p == pattern.len;
}

static lm_err side_load(lm_view *view, lm_arena *arena, paired **out, size_t *out_count)
{
    const lm_view_template *items = NULL;
    size_t count = 0;
    lm_err err = lm_view_templates(view, 0, &items, &count);
    if (err && err != LM_E_CORRUPT) return err;
    paired *side = lm_arena_alloc(arena, count * sizeof *side, _Alignof(paired));
    if (!side) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        side[i] =
            (paired){.item = &items[i], .hash = lm_hash64(items[i].text.ptr, items[i].text.len)};
    }
    qsort(side, count, sizeof *side, paired_compare);
    *out = side;
    *out_count = count;
    return LM_OK;
}

static void pair_up(paired *a, paired *b)
{
    a->partner_count += b->item->count;
    b->partner_count += a->item->count;
    a->is_paired = b->is_paired = true;
}

static void pair_by_text(paired *a, size_t a_count, paired *b, size_t b_count)
{
    for (size_t i = 0, j = 0; i < a_count && j < b_count;) {
        if (a[i].hash == b[j].hash)
            pair_up(&a[i++], &b[j++]);
        else if (a[i].hash < b[j].hash)
            i++;
        else
            j++;
    }
}

/** A template that covers several of the other side's is paired with all of them: its share is
 * compared with their sum. */
static void pair_by_pattern(paired *a, size_t a_count, paired *b, size_t b_count)
{
    if (a_count > PATTERN_TRIES_MAX || b_count > PATTERN_TRIES_MAX) return;
    for (size_t i = 0; i < a_count; i++) {
        if (a[i].is_paired) continue;
        lm_str x = str_of(a[i].item->text);
        for (size_t j = 0; j < b_count; j++) {
            if (b[j].is_paired) continue;
            lm_str y = str_of(b[j].item->text);
            /* The catch-all fits everything and says nothing. */
            bool is_catch_all = x.len <= 3 || y.len <= 3;
            if (is_catch_all || (!pattern_fits(x, y) && !pattern_fits(y, x))) continue;
            pair_up(&a[i], &b[j]);
            break;
        }
    }
}

/** Binary logarithm of a number above 0, between powers of two along a line: near enough to put
 * things in order. log2 would have every start of the program load one library more. */
static double log2_about(double x)
{
    enum { MANTISSA = 52, BIAS = 1023 };

    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (double)bits / (double)(UINT64_C(1) << MANTISSA) - (double)BIAS;
}

/** How much a difference tells: lines that changed, by a factor that counts in powers of two. */
static double weight(const lm_difference *d)
{
    double lines = (double)(d->count_before > d->count_after ? d->count_before : d->count_after);
    double bits = isinf(d->factor) || d->factor <= 0 ? 20 : fabs(log2_about(d->factor));
    return log2_about(lines + 1) * bits;
}

static int difference_compare(const void *a, const void *b)
{
    const lm_difference *x = a, *y = b;
    if (x->change != y->change) return (int)x->change - (int)y->change;
    double wx = weight(x), wy = weight(y);
    if (wx < wy || wx > wy) return wx < wy ? 1 : -1;
    return lm_str_compare(str_of(x->text), str_of(y->text));
}

static double share(uint64_t count, uint64_t lines)
{
    return lines ? (double)count / (double)lines : 0;
}

/** Within three standard deviations of a count that was to be expected: five lines instead of two
 * say nothing. */
static bool is_chance(double count, double expected)
{
    double off = count - expected;
    return off * off <= 9 * (expected > count ? expected : count);
}

static lm_err diff(lm_view *before, lm_view *after, double factor, const lm_difference **out,
                   size_t *out_count)
{
    lm_arena *arena = &after->diff;
    paired *a = NULL, *b = NULL;
    size_t a_count = 0, b_count = 0, count = 0;
    if (!(factor > 1)) return lm_fail(LM_E_USAGE, "the factor must be above 1");
    if (before == after || before->context != after->context) {
        return lm_fail(LM_E_USAGE, "two views of one context are needed");
    }
    lm_arena_reset(arena);
    lm_err err = side_load(before, arena, &a, &a_count);
    if (!err) err = side_load(after, arena, &b, &b_count);
    if (err) return err;
    pair_by_text(a, a_count, b, b_count);
    pair_by_pattern(a, a_count, b, b_count);

    lm_difference *list =
        lm_arena_alloc(arena, (a_count + b_count) * sizeof *list, _Alignof(lm_difference));
    if (!list) return lm_mem_err();
    for (size_t i = 0; i < a_count; i++) {
        if (a[i].is_paired) continue;
        list[count++] = (lm_difference){LM_CHANGE_GONE, a[i].item->text, a[i].item->count, 0, 0};
    }
    for (size_t i = 0; i < b_count; i++) {
        uint64_t was = b[i].partner_count, is = b[i].item->count;
        if (!b[i].is_paired) {
            list[count++] = (lm_difference){LM_CHANGE_NEW, b[i].item->text, 0, is, INFINITY};
            continue;
        }
        double ratio = share(is, after->totals.lines) / share(was, before->totals.lines);
        if (ratio < factor && ratio > 1 / factor) continue;
        if (is_chance((double)is, share(was, before->totals.lines) * (double)after->totals.lines))
            continue;
        list[count++] = (lm_difference){ratio > 1 ? LM_CHANGE_MORE : LM_CHANGE_LESS,
                                        b[i].item->text, was, is, ratio};
    }
    qsort(list, count, sizeof *list, difference_compare);
    *out = list;
    *out_count = count;
    return LM_OK;
}

lm_err lm_view_diff(lm_view *before, lm_view *after, double factor, const lm_difference **out,
                    size_t *out_count)
{
    LM_ASSERT(before->magic == VIEW_MAGIC && after->magic == VIEW_MAGIC);
    return context_end(after->context, diff(before, after, factor, out, out_count));
}

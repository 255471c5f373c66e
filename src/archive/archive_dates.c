/**
 * Month first or day first?
 *
 * `03/11/2026` does not tell; `13/11/2026` does, and so do the lines around it: a log goes forward
 * in time, and not by leaps. So all dates of a role are read alike, by the layout that fits each of
 * them, goes back least often and spans the least time. Where that leaves a choice (a log of one
 * day) the likeliest layout holds, as for a single line. Only values are changed, not their texts:
 * every layout prints back what it read.
 */
#include "archive/archive_priv.h"

#define DAY_NS (INT64_C(86400) * 1000000000)

typedef struct reading {
    uint32_t back_steps; /* dates before the one in front of them */
    uint64_t span_ns;
} reading;

static uint32_t class_at(const lm_role *role, uint32_t i)
{
    return role->classes ? role->classes[i] : role->uniform;
}

/** What the last value was read as: values of one day differ from it by nothing but the clock. */
typedef struct day_read {
    int64_t day, shift; /* ticks to add to those of this day */
    uint32_t vclass;    /* 0: none was read yet */
} day_read;

/** The ticks of value i as a time of this layout. */
static bool read_as(const lm_role *role, uint32_t i, uint16_t layout, day_read *last, int64_t *out)
{
    uint32_t vclass = class_at(role, i);
    uint16_t own = (uint16_t)(vclass - LM_VC_TIME);
    int64_t ticks = role->numbers[i], day_ticks = DAY_NS / lm_time_layout_ns(own);
    int64_t day = ticks / day_ticks - (ticks % day_ticks < 0);
    if (vclass != last->vclass || day != last->day) {
        uint8_t text[LM_VALUE_TEXT_MAX + 1];
        lm_time time = {.ticks = ticks, .layout = own};
        size_t len = own == layout ? 0 : lm_time_print(own, ticks, text);
        if (own != layout && (!lm_time_parse_as(layout, text, len, &time) || time.len != len ||
                              time.layout != layout))
            return false;
        *last = (day_read){.day = day, .shift = time.ticks - ticks, .vclass = vclass};
    }
    *out = ticks + last->shift;
    return true;
}

/** False: not all values can be of this layout. */
static bool try_reading(const lm_role *role, uint16_t layout, reading *out)
{
    int64_t least = INT64_MAX, largest = INT64_MIN, before = INT64_MIN;
    day_read last = {0};
    *out = (reading){0};
    for (uint32_t i = 0; i < role->count; i++) {
        int64_t ticks;
        if (!read_as(role, i, layout, &last, &ticks)) return false;
        int64_t ns = lm_time_ns(layout, ticks, 0);
        out->back_steps += ns < before;
        before = ns;
        if (ns < least) least = ns;
        if (ns > largest) largest = ns;
    }
    out->span_ns = (uint64_t)largest - (uint64_t)least;
    return true;
}

static bool is_better(const reading *a, const reading *b)
{
    if (a->back_steps != b->back_steps) return a->back_steps < b->back_steps;
    return a->span_ns < b->span_ns;
}

static void settle_role(lm_mem *mem, lm_role *role)
{
    uint16_t alike[LM_TIME_ALIKE_MAX];
    if (role->count == 0 || class_at(role, 0) < LM_VC_TIME) return;
    size_t n = lm_time_layout_alike((uint16_t)(class_at(role, 0) - LM_VC_TIME), alike);
    if (n == 0) return;
    for (uint32_t i = 0; role->classes && i < role->count; i++) {
        if (role->classes[i] < LM_VC_TIME) return;
    }
    reading best = {0}, next;
    size_t chosen = n;
    for (size_t k = 0; k < n; k++) {
        if (!try_reading(role, alike[k], &next)) continue;
        if (chosen == n || is_better(&next, &best)) {
            best = next;
            chosen = k;
        }
    }
    if (chosen == n) return; /* some are of one layout, some of the other */
    day_read last = {0};
    for (uint32_t i = 0; i < role->count; i++) {
        int64_t ticks;
        if (read_as(role, i, alike[chosen], &last, &ticks)) role->numbers[i] = ticks;
    }
    role->uniform = (uint32_t)LM_VC_TIME + alike[chosen];
    if (role->classes) lm_mem_release(mem, role->classes, role->cap * sizeof *role->classes);
    role->classes = NULL;
}

void lm_dates_settle(lm_parsed *parsed)
{
    for (size_t i = 0; i < parsed->role_count; i++)
        settle_role(parsed->mem, &parsed->roles[i]);
}

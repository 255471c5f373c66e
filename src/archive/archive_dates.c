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

typedef struct reading {
    uint32_t back_steps; /* dates before the one in front of them */
    uint64_t span_ns;
} reading;

static uint32_t class_at(const lm_role *role, uint32_t i)
{
    return role->classes ? role->classes[i] : role->uniform;
}

/** The value i as a time of this layout. */
static bool read_as(const lm_role *role, uint32_t i, uint16_t layout, lm_time *out)
{
    uint8_t text[LM_VALUE_TEXT_MAX + 1];
    uint16_t own = (uint16_t)(class_at(role, i) - LM_VC_TIME);
    if (own == layout) {
        *out = (lm_time){.ticks = role->numbers[i], .layout = own};
        return true;
    }
    size_t len = lm_time_print(own, role->numbers[i], text);
    return lm_time_parse_as(layout, text, len, out) && out->len == len && out->layout == layout;
}

/** False: not all values can be of this layout. */
static bool try_reading(const lm_role *role, uint16_t layout, reading *out)
{
    int64_t least = INT64_MAX, largest = INT64_MIN, before = INT64_MIN;
    *out = (reading){0};
    for (uint32_t i = 0; i < role->count; i++) {
        lm_time time;
        if (!read_as(role, i, layout, &time)) return false;
        int64_t ns = lm_time_ns(layout, time.ticks, 0);
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
    for (uint32_t i = 0; i < role->count; i++) {
        lm_time time;
        if (read_as(role, i, alike[chosen], &time)) role->numbers[i] = time.ticks;
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

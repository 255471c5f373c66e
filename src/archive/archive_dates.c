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

enum { CLASSES_MAX = 8 }; /* month or day first, with and without zeros in front: four */

typedef struct reading {
    uint32_t back_steps; /* dates before the one in front of them */
    uint64_t span_ns;
} reading;

static uint32_t class_at(const lm_role *role, uint32_t i)
{
    return role->classes ? role->classes[i] : role->uniform;
}

/** What the last value was read as. Values of one hour differ from it by their minutes, seconds and
 * fractions, which every layout writes alike; of a day, the hour may lack a zero that a layout
 * wants. */
typedef struct hour_read {
    int64_t begin, shift; /* ticks; to add to those of this hour */
    uint64_t length;      /* 0: none was read yet */
    uint32_t vclass;
} hour_read;

/** The ticks of value i as a time of this layout. */
static bool read_as(const lm_role *role, uint32_t i, uint16_t layout, hour_read *last, int64_t *out)
{
    uint32_t vclass = class_at(role, i);
    uint16_t own = (uint16_t)(vclass - LM_VC_TIME);
    int64_t ticks = role->numbers[i];
    if (own == layout) {
        *out = ticks;
        return true;
    }
    if (vclass != last->vclass || (uint64_t)ticks - (uint64_t)last->begin >= last->length) {
        uint8_t text[LM_VALUE_TEXT_MAX + 1];
        lm_time time;
        size_t len = lm_time_print(own, ticks, text);
        if (!lm_time_parse_as(layout, text, len, &time) || time.len != len || time.layout != layout)
            return false;
        int64_t hour = INT64_C(3600) * 1000000000 / lm_time_layout_ns(own), in_hour = ticks % hour;
        *last = (hour_read){.begin = ticks - in_hour - (in_hour < 0 ? hour : 0),
                            .length = (uint64_t)hour,
                            .shift = time.ticks - ticks,
                            .vclass = vclass};
    }
    *out = ticks + last->shift;
    return true;
}

/** False: not all values can be of this layout. */
static bool try_reading(const lm_role *role, uint16_t layout, reading *out)
{
    int64_t least = INT64_MAX, largest = INT64_MIN, before = INT64_MIN;
    hour_read last = {0};
    *out = (reading){0};
    for (uint32_t i = 0; i < role->count; i++) {
        int64_t ticks;
        if (!read_as(role, i, layout, &last, &ticks)) return false;
        out->back_steps += ticks < before;
        before = ticks;
        if (ticks < least) least = ticks;
        if (ticks > largest) largest = ticks;
    }
    out->span_ns =
        (uint64_t)lm_time_ns(layout, largest, 0) - (uint64_t)lm_time_ns(layout, least, 0);
    return true;
}

static bool is_better(const reading *a, const reading *b)
{
    if (a->back_steps != b->back_steps) return a->back_steps < b->back_steps;
    return a->span_ns < b->span_ns;
}

static bool has_value(const uint16_t *values, size_t count, uint16_t value)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i] == value) return true;
    }
    return false;
}

/** The layouts that values of this role may be of besides the one they were taken for; 0: nothing
 * is to be chosen. */
static size_t find_layouts(const lm_role *role, uint16_t out[CLASSES_MAX * LM_TIME_ALIKE_MAX])
{
    uint16_t own[CLASSES_MAX], alike[LM_TIME_ALIKE_MAX];
    size_t own_count = 0, count = 0;
    uint32_t before = 0;
    for (uint32_t i = 0; i < (role->classes ? role->count : 1); i++) {
        uint32_t vclass = class_at(role, i);
        if (vclass == before) continue;
        before = vclass;
        if (vclass < LM_VC_TIME) return 0;
        uint16_t layout = (uint16_t)(vclass - LM_VC_TIME);
        if (has_value(own, own_count, layout)) continue;
        size_t n = lm_time_layout_alike(layout, alike);
        if (n == 0 || own_count == CLASSES_MAX) return 0;
        own[own_count++] = layout;
        for (size_t k = 0; k < n; k++) {
            if (!has_value(out, count, alike[k])) out[count++] = alike[k];
        }
    }
    return count;
}

static void settle_role(lm_mem *mem, lm_role *role)
{
    uint16_t layouts[CLASSES_MAX * LM_TIME_ALIKE_MAX];
    if (role->count == 0) return;
    size_t n = find_layouts(role, layouts), chosen = n;
    reading best = {0}, next;
    for (size_t k = 0; k < n; k++) {
        if (!try_reading(role, layouts[k], &next)) continue;
        if (chosen == n || is_better(&next, &best)) {
            best = next;
            chosen = k;
        }
    }
    if (chosen == n) return; /* some are of one layout, some of another */
    hour_read last = {0};
    for (uint32_t i = 0; i < role->count; i++) {
        int64_t ticks;
        if (read_as(role, i, layouts[chosen], &last, &ticks)) role->numbers[i] = ticks;
    }
    role->uniform = (uint32_t)LM_VC_TIME + layouts[chosen];
    if (role->classes) lm_mem_release(mem, role->classes, role->cap * sizeof *role->classes);
    role->classes = NULL;
}

void lm_dates_settle(lm_parsed *parsed)
{
    for (size_t i = 0; i < parsed->role_count; i++)
        settle_role(parsed->mem, &parsed->roles[i]);
}

/**
 * Range aggregations over the steps of a query.
 *
 * A sample at t (moved by the offset) is in the window of step T when T - range < t <= T. Counts
 * and sizes are whole numbers: each sample adds to the first step whose window holds it and takes
 * away behind the last, and one pass over the steps sums up. Unwrapped values are kept with their
 * times, put in order when all are there, and each window is worked out in time order, so that the
 * answer does not depend on the order in which the store told.
 */
#include "logql/logql_priv.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CANCEL_INTERVAL 1024

typedef struct point {
    int64_t time_ns;
    double value;
} point;

typedef struct bucket {
    int64_t count, bytes; /* differences to the step before */
} bucket;

typedef struct series {
    bucket *buckets; /* steps + 1 of them; counts only */
    bucket now;
    point *points; /* values only */
    size_t count, cap;
    size_t low, high; /* window of the step */
    bool is_sorted;
} series;

typedef struct stream_slot {
    uint64_t hash;
    lm_str key; /* copy; ptr NULL: free */
    uint32_t series;
} stream_slot;

struct lm_lq_range_node {
    lm_mem *mem;
    const lm_lq_expr *expr;
    lm_lq_steps steps;
    volatile const int *cancel;
    lm_arena arena; /* plan, buckets, keys */
    lm_lq_run run;
    lm_lq_plan plan;
    lm_str *groups;
    uint32_t group_count;
    bool has_groups, is_without, no_labels;
    bool is_absent;
    lm_lq_series_table table;
    series *series;
    size_t series_cap;
    bool *is_error; /* series that must not be in an answer */
    size_t error_cap;
    /* streams whose labels are a series' alone */
    stream_slot *slots;
    size_t slot_count, slot_used;
    const lm_stream *last_stream;
    uint64_t last_hash;
    lm_str last_key;
    uint32_t last_series;
    uint64_t told, bytes;
    lm_err err;
    double *values; /* of a window, for quantiles */
    size_t value_cap;
};

/* ---- what is wanted of the labels ---- */

typedef struct names {
    lm_str *items;
    uint32_t count, cap;
    lm_arena *arena;
    bool failed;
} names;

static void add_name(void *ctx, lm_str name)
{
    names *n = ctx;
    if (!name.len || n->failed) return;
    for (uint32_t i = 0; i < n->count; i++) {
        if (lm_str_equal(n->items[i], name)) return;
    }
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? 2 * n->cap : 16;
        lm_str *larger = lm_arena_alloc(n->arena, cap * sizeof *larger, 16);
        if (!larger) {
            n->failed = true;
            return;
        }
        if (n->count) memcpy(larger, n->items, n->count * sizeof *larger);
        n->items = larger;
        n->cap = cap;
    }
    n->items[n->count++] = name;
    /* A parser finds `x` where the query says x_extracted. */
    if (lm_str_ends(name, LM_STR("_extracted"))) add_name(ctx, (lm_str){name.ptr, name.len - 10});
}

static void filter_names(const lm_lq_filter *filter, names *n)
{
    if (filter->kind == LM_LQ_F_AND || filter->kind == LM_LQ_F_OR) {
        filter_names(filter->left, n);
        filter_names(filter->right, n);
    } else {
        add_name(n, filter->matcher.is.name);
    }
}

static void stage_names(const lm_lq_stage *stage, names *n)
{
    if (stage->kind == LM_LQ_S_FILTER || stage->kind == LM_LQ_S_TEMPLATE_ID)
        filter_names(stage->filter, n);
    if (stage->kind == LM_LQ_S_LINE_FORMAT) lm_lq_template_fields(stage->tmpl, add_name, n);
    for (uint32_t i = 0; stage->kind == LM_LQ_S_LABEL_FORMAT && i < stage->count; i++) {
        if (stage->formats[i].is_rename) {
            add_name(n, stage->formats[i].value);
        } else {
            lm_lq_template_fields(stage->formats[i].tmpl, add_name, n);
        }
    }
}

static lm_err make_hints(lm_lq_range_node *node)
{
    const lm_lq_expr *expr = node->expr;
    names n = {.arena = &node->arena};
    for (uint32_t i = 0; i < expr->log.stage_count; i++)
        stage_names(&expr->log.stages[i], &n);
    for (uint32_t i = 0; i < expr->post_filter_count; i++)
        filter_names(expr->post_filters[i], &n);
    for (uint32_t i = 0; i < node->group_count; i++)
        add_name(&n, node->groups[i]);
    if (expr->has_unwrap) add_name(&n, expr->unwrap_name);
    if (n.failed) return lm_mem_err();
    lm_lq_hints *hints = &node->run.hints;
    if (node->no_labels ? n.count > 0 : node->has_groups && !node->is_without) {
        hints->required = n.items;
        hints->required_count = n.count;
    } else {
        hints->no_labels = node->no_labels;
    }
    for (uint32_t i = 0; i < hints->required_count; i++) {
        if (lm_str_equal(hints->required[i], LM_STR("__error__"))) hints->preserve_error = true;
    }
    return LM_OK;
}

static lm_err make_groups(lm_lq_range_node *node, const lm_lq_grouping *of_sum)
{
    const lm_lq_expr *expr = node->expr;
    const lm_lq_grouping *grouping = expr->grouping.is_given ? &expr->grouping : of_sum;
    uint32_t count = grouping ? grouping->count : 0;
    node->groups = lm_arena_alloc(&node->arena, (count + 1) * sizeof *node->groups, 16);
    if (!node->groups) return lm_mem_err();
    for (uint32_t i = 0; i < count; i++)
        node->groups[node->group_count++] = grouping->names[i];
    node->is_without = grouping && grouping->is_without;
    node->no_labels = node->is_absent || (grouping && !count && !node->is_without);
    if (expr->has_unwrap && (!count || node->is_without)) { /* the value is no label of a series */
        node->is_without = true;
        node->groups[node->group_count++] = expr->unwrap_name;
    }
    node->has_groups = node->group_count > 0;
    return LM_OK;
}

static bool counts_bytes(const lm_lq_expr *expr)
{
    return expr->op == LM_LQ_T_BYTES_OVER_TIME || expr->op == LM_LQ_T_BYTES_RATE;
}

lm_err lm_lq_range_new(lm_mem *mem, const lm_lq_expr *expr, const lm_lq_grouping *grouping_of_sum,
                       lm_lq_steps steps, volatile const int *cancel, lm_lq_range_node **out)
{
    lm_lq_range_node *node = lm_mem_calloc(mem, 1, sizeof *node);
    if (!node) return lm_mem_err();
    node->mem = mem;
    node->expr = expr;
    node->steps = steps;
    node->cancel = cancel;
    node->is_absent = expr->op == LM_LQ_T_ABSENT_OVER_TIME;
    lm_arena_init(&node->arena, mem);
    lm_lq_run_init(&node->run, mem, cancel);
    lm_lq_series_init(&node->table, mem);
    lm_err err = make_groups(node, grouping_of_sum);
    if (!err) err = make_hints(node);
    if (!err) {
        err = lm_lq_plan_make(&expr->log, &node->run.hints, counts_bytes(expr), &node->arena,
                              &node->plan); /* of the line its length */
    }
    if (err) {
        lm_lq_range_free(node);
    } else {
        *out = node;
    }
    return err;
}

void lm_lq_range_free(lm_lq_range_node *node)
{
    if (!node) return;
    for (size_t i = 0; i < node->table.count && i < node->series_cap; i++)
        lm_mem_release(node->mem, node->series[i].points,
                       node->series[i].cap * sizeof *node->series[i].points);
    lm_mem_release(node->mem, node->series, node->series_cap * sizeof *node->series);
    lm_mem_release(node->mem, node->is_error, node->error_cap * sizeof *node->is_error);
    lm_mem_release(node->mem, node->slots, node->slot_count * sizeof *node->slots);
    lm_mem_release(node->mem, node->values, node->value_cap * sizeof *node->values);
    lm_lq_series_fini(&node->table);
    lm_lq_run_fini(&node->run);
    lm_arena_fini(&node->arena);
    lm_mem_release(node->mem, node, sizeof *node);
}

lm_lq_series_table *lm_lq_range_series(lm_lq_range_node *node)
{
    return &node->table;
}

/* ---- samples ---- */

static lm_err series_find(lm_lq_range_node *node, lm_labels labels, bool is_error, uint32_t *out)
{
    size_t before = node->table.count, old_cap = node->series_cap;
    lm_err err =
        lm_vec_grow(node->mem, &node->series, &node->series_cap, before + 1, sizeof *node->series);
    if (!err && node->series_cap > old_cap)
        memset(node->series + old_cap, 0, (node->series_cap - old_cap) * sizeof *node->series);
    if (!err)
        err = lm_vec_grow(node->mem, &node->is_error, &node->error_cap, before + 1,
                          sizeof *node->is_error);
    if (!err) err = lm_lq_series_of(&node->table, labels, out);
    if (err || *out < before) return err;
    node->series[*out] = (series){.is_sorted = true};
    node->is_error[*out] = is_error;
    return LM_OK;
}

/** The first and the last step whose window holds a time; first behind last: none does, the time is
 * between two windows. False: it is out of reach. */
static bool window_of(const lm_lq_range_node *node, int64_t time_ns, int64_t *first, int64_t *last)
{
    const lm_lq_steps *steps = &node->steps;
    int64_t behind, ahead;
    if (__builtin_add_overflow(time_ns, node->expr->offset_ns, &behind) ||
        __builtin_sub_overflow(behind, steps->start, &behind) ||
        __builtin_add_overflow(behind, node->expr->range_ns - 1, &ahead))
        return false;
    if (ahead < 0) return false;
    *first = behind <= 0 ? 0 : (behind - 1) / steps->step + 1;
    *last = ahead / steps->step;
    return *first < steps->count;
}

/** Steps whose windows hold a time; false: none. */
static bool steps_of(const lm_lq_range_node *node, int64_t time_ns, uint32_t *low, uint32_t *high)
{
    const lm_lq_steps *steps = &node->steps;
    int64_t first, last;
    if (!window_of(node, time_ns, &first, &last)) return false;
    *low = (uint32_t)first;
    *high = last >= steps->count ? steps->count - 1 : (uint32_t)last;
    return *low <= *high;
}

static lm_err add_counts(lm_lq_range_node *node, uint32_t number, int64_t time_ns, uint64_t count,
                         uint64_t bytes)
{
    series *s = &node->series[number];
    uint32_t low, high;
    if (!steps_of(node, time_ns, &low, &high)) return LM_OK;
    if (!s->buckets) {
        size_t room = ((size_t)node->steps.count + 1) * sizeof *s->buckets;
        s->buckets = lm_arena_alloc(&node->arena, room, 16);
        if (!s->buckets) return lm_mem_err();
        memset(s->buckets, 0, room);
    }
    s->buckets[low].count += (int64_t)count;
    s->buckets[low].bytes += (int64_t)bytes;
    s->buckets[high + 1].count -= (int64_t)count;
    s->buckets[high + 1].bytes -= (int64_t)bytes;
    return LM_OK;
}

static lm_err add_count(lm_lq_range_node *node, uint32_t number, int64_t time_ns, size_t bytes)
{
    return add_counts(node, number, time_ns, 1, bytes);
}

static lm_err add_value(lm_lq_range_node *node, uint32_t number, int64_t time_ns, double value)
{
    series *s = &node->series[number];
    uint32_t low, high;
    if (!steps_of(node, time_ns, &low, &high)) return LM_OK;
    lm_err err = lm_vec_grow(node->mem, &s->points, &s->cap, s->count + 1, sizeof *s->points);
    if (err) return err;
    if (s->count && s->points[s->count - 1].time_ns >= time_ns) s->is_sorted = false;
    s->points[s->count++] = (point){time_ns, value};
    return LM_OK;
}

/** Labels of the sample's series, after the pipeline. */
static lm_err series_labels(lm_lq_range_node *node, lm_labels *out, bool *out_error)
{
    const lm_lq_builder *labels = &node->run.labels;
    *out_error = labels->error.len > 0;
    if (!*out_error && node->no_labels) {
        *out = (lm_labels){NULL, 0};
        return LM_OK;
    }
    if (!*out_error && node->has_groups) {
        return lm_lq_builder_grouped(labels, node->groups, node->group_count, node->is_without,
                                     &node->run.scratch, out);
    }
    if (lm_lq_builder_is_plain(labels)) {
        *out = labels->base;
        return LM_OK;
    }
    lm_err err = lm_lq_builder_labels(labels, &node->run.scratch, out, NULL, NULL);
    if (!err && *out_error)
        *out_error =
            !lm_str_equal(lm_labels_get(*out, LM_STR("__preserve_error__")), LM_STR("true"));
    return err;
}

static lm_err unwrap(lm_lq_range_node *node, lm_str line, int64_t time_ns, double *out,
                     bool *out_passes)
{
    const lm_lq_expr *expr = node->expr;
    lm_str text;
    bool fits;
    uint64_t bytes = 0;
    int64_t ns = 0;
    const char *before = "strconv.ParseFloat: parsing ", *after = ": invalid syntax";
    (void)line, (void)time_ns;
    *out = 0;
    *out_passes = lm_lq_builder_get(&node->run.labels, expr->unwrap_name, &text) && text.len;
    if (!*out_passes) return LM_OK; /* a record need not have the value */
    switch (expr->unwrap_conversion) {
    case LM_LQ_T_BYTES_CONV:
        fits = lm_lq_bytes(text, &bytes);
        if (fits) *out = (double)bytes;
        break;
    case LM_LQ_T_DURATION_CONV:
    case LM_LQ_T_DURATION_SECONDS_CONV:
        fits = lm_lq_duration_go(text, &ns);
        if (fits) *out = (double)(ns / NS_PER_S) + (double)(ns % NS_PER_S) / 1e9;
        before = "time: invalid duration ";
        after = "";
        break;
    default:
        fits = lm_lq_float(text, out);
        break;
    }
    lm_err err = LM_OK;
    if (!fits) {
        char why[400];
        int len = snprintf(why, sizeof why, "%s\"%.*s\"%s", before,
                           (int)(text.len < 200 ? text.len : 200), (const char *)text.ptr, after);
        err = lm_lq_set_error(&node->run, "SampleExtractionErr",
                              (lm_str){(const uint8_t *)why, (size_t)len});
    }
    for (uint32_t i = 0; i < expr->post_filter_count && !err && *out_passes; i++)
        err = lm_lq_filter_test(&node->run, expr->post_filters[i], out_passes);
    return err;
}

/** The whole way of a record. */
static lm_err take(lm_lq_range_node *node, const lm_stream *stream, const lm_record *record)
{
    const lm_lq_expr *expr = node->expr;
    lm_str line = record->line;
    bool passes = true, is_error = false;
    double value = 0;
    lm_labels labels;
    uint32_t number = 0;
    lm_err err = lm_lq_run_begin(&node->run, expr->log.wants_level, stream, record);
    if (!err) {
        err = lm_lq_stages_run(&node->run, expr->log.stages, expr->log.stage_count, node->plan.skip,
                               record->time_ns, &line, &passes);
    }
    if (!err && passes && expr->has_unwrap)
        err = unwrap(node, line, record->time_ns, &value, &passes);
    if (err || !passes) return err;
    err = series_labels(node, &labels, &is_error);
    if (!err) err = series_find(node, labels, is_error, &number);
    if (err) return err;
    return expr->has_unwrap && !node->is_absent
               ? add_value(node, number, record->time_ns, value)
               : add_count(node, number, record->time_ns, line.len);
}

/* ---- records whose series is that of their stream ---- */

static lm_err grow_slots(lm_lq_range_node *node)
{
    size_t count = node->slot_count ? 2 * node->slot_count : 64;
    stream_slot *slots = lm_mem_calloc(node->mem, count, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (size_t i = 0; i < node->slot_count; i++) {
        if (!node->slots[i].key.ptr) continue;
        size_t at = (size_t)node->slots[i].hash & (count - 1);
        while (slots[at].key.ptr)
            at = (at + 1) & (count - 1);
        slots[at] = node->slots[i];
    }
    lm_mem_release(node->mem, node->slots, node->slot_count * sizeof *node->slots);
    node->slots = slots;
    node->slot_count = count;
    return LM_OK;
}

static lm_err stream_series(lm_lq_range_node *node, const lm_stream *stream, uint32_t *out)
{
    lm_err err = LM_OK;
    if (node->slot_count < 2 * (node->slot_used + 1)) err = grow_slots(node);
    if (err) return err;
    size_t mask = node->slot_count - 1, at = (size_t)stream->hash & mask;
    while (node->slots[at].key.ptr && (node->slots[at].hash != stream->hash ||
                                       !lm_str_equal(node->slots[at].key, stream->key)))
        at = (at + 1) & mask;
    stream_slot *slot = &node->slots[at];
    if (!slot->key.ptr) {
        lm_labels labels;
        bool is_error = false;
        lm_lq_builder_reset(&node->run.labels, stream->labels);
        err = series_labels(node, &labels, &is_error);
        if (!err) err = series_find(node, labels, is_error, &slot->series);
        if (err) return err;
        const uint8_t *copy = lm_arena_copy(&node->arena, stream->key.ptr, stream->key.len);
        if (!copy) return lm_mem_err();
        slot->hash = stream->hash;
        slot->key = (lm_str){copy, stream->key.len};
        node->slot_used++;
    }
    node->last_stream = stream;
    node->last_hash = stream->hash;
    node->last_key = slot->key;
    node->last_series = slot->series;
    *out = slot->series;
    return LM_OK;
}

static bool told(void *ctx, const lm_stream *stream, const lm_record *record)
{
    lm_lq_range_node *node = ctx;
    node->bytes += record->line.len;
    if (++node->told % CANCEL_INTERVAL == 0 && node->cancel && *node->cancel) {
        node->err = lm_fail(LM_E_CANCELLED, "the query was cancelled");
        return false;
    }
    bool is_of_stream = node->plan.is_plain && !node->expr->has_unwrap &&
                        (node->no_labels || record->metadata.count == 0);
    if (is_of_stream) {
        uint32_t number = node->last_series;
        bool is_known = node->last_stream == stream && node->last_hash == stream->hash &&
                        lm_str_equal(node->last_key, stream->key);
        if (!is_known) node->err = stream_series(node, stream, &number);
        if (!node->err) node->err = add_count(node, number, record->time_ns, record->line.len);
    } else {
        node->err = take(node, stream, record);
    }
    lm_arena_reset(&node->run.scratch);
    return node->err == LM_OK;
}

/* Both rise with time: where they are equal for two times, they are for those between. */
static bool is_one(void *ctx, int64_t first_ns, int64_t last_ns)
{
    const lm_lq_range_node *node = ctx;
    int64_t low, high, other_low, other_high;
    return window_of(node, first_ns, &low, &high) &&
           window_of(node, last_ns, &other_low, &other_high) && low == other_low &&
           (high == other_high ||
            (high >= node->steps.count - 1 && other_high >= node->steps.count - 1));
}

static bool lump(void *ctx, const lm_stream *stream, int64_t first_ns, uint64_t count,
                 uint64_t bytes)
{
    lm_lq_range_node *node = ctx;
    uint32_t number;
    node->told += count;
    node->bytes += bytes;
    node->err = stream_series(node, stream, &number);
    if (!node->err) node->err = add_counts(node, number, first_ns, count, bytes);
    lm_arena_reset(&node->run.scratch);
    return node->err == LM_OK;
}

lm_err lm_lq_range_select(lm_lq_range_node *node, const lm_store_face *store, lm_str tenant,
                          uint64_t *records, uint64_t *bytes)
{
    const lm_lq_expr *expr = node->expr;
    int64_t first = node->steps.start;
    int64_t last, low, high;
    if (__builtin_mul_overflow(node->steps.step, (int64_t)node->steps.count - 1, &last) ||
        __builtin_add_overflow(first, last, &last) ||
        __builtin_sub_overflow(last, expr->offset_ns, &high) ||
        __builtin_add_overflow(high, 1, &high))
        high = INT64_MAX;
    if (__builtin_sub_overflow(first, expr->offset_ns, &low) ||
        __builtin_sub_overflow(low, expr->range_ns - 1, &low))
        low = INT64_MIN;
    lm_select what = {.tenant = tenant,
                      .matchers = node->plan.matchers,
                      .matcher_count = expr->log.matcher_count,
                      .filters = node->plan.filters,
                      .filter_count = node->plan.filter_count,
                      .time_min = low,
                      .time_max = high,
                      .skip_line = node->plan.skip_line,
                      .cancel = node->cancel};
    if (node->plan.is_plain && !expr->has_unwrap) {
        what.only_size = true;
        what.skip_metadata = node->no_labels;
        what.is_one = is_one;
        what.lump = lump;
    }
    lm_err err = store->select(store->self, &what, told, node);
    if (node->err) err = node->err;
    *records += node->told;
    *bytes += node->bytes;
    return err;
}

/* ---- windows ---- */

static int by_time(const void *a, const void *b)
{
    const point *x = a, *y = b;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x); /* NaN first */
    return (x > y) - (x < y);
}

static double average(const point *p, size_t n)
{
    double mean = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        double v = p[i].value;
        count++;
        if (isinf(mean) && ((isinf(v) && (mean > 0) == (v > 0)) || (!isinf(v) && !isnan(v))))
            continue;
        mean += v / count - mean / count;
    }
    return mean;
}

static double variance(const point *p, size_t n)
{
    double rest = 0, count = 0, mean = 0;
    for (size_t i = 0; i < n; i++) {
        count++;
        double delta = p[i].value - mean;
        mean += delta / count;
        rest += delta * (p[i].value - mean);
    }
    return rest / count;
}

/** How much a counter grew by, resets made good, for each second of the range. Loki takes the
 * first and last sample for the bounds of the window and stretches the growth by the seconds of the
 * range against the thousands of nanoseconds between samples: next to nothing, kept for the same
 * digits. */
static double counter_rate(const point *p, size_t n, int64_t range_ns)
{
    if (n < 2) return 0;
    double result = p[n - 1].value - p[0].value, last = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i].value < last) result += last;
        last = p[i].value;
    }
    double sampled = (double)(p[n - 1].time_ns - p[0].time_ns) / 1e3;
    double between = sampled / (double)(n - 1);
    double to_start = (double)(range_ns / 1000000) / 1e3;
    if (result > 0 && p[0].value >= 0) to_start = fmin(to_start, sampled * (p[0].value / result));
    double stretched = sampled + (to_start < between * 1.1 ? to_start : between / 2);
    return result * (stretched / sampled) / ((double)range_ns / 1e9);
}

static lm_err quantile(lm_lq_range_node *node, const point *p, size_t n, double *out)
{
    double q = node->expr->param;
    if (q < 0 || q > 1) {
        *out = q < 0 ? -INFINITY : INFINITY;
        return LM_OK;
    }
    lm_err err = lm_vec_grow(node->mem, &node->values, &node->value_cap, n, sizeof *node->values);
    if (err) return err;
    for (size_t i = 0; i < n; i++)
        node->values[i] = p[i].value;
    qsort(node->values, n, sizeof *node->values, by_value);
    double rank = q * ((double)n - 1), low = fmax(0, floor(rank));
    double high = fmin((double)n - 1, low + 1), weight = rank - floor(rank);
    *out = node->values[(size_t)low] * (1 - weight) + node->values[(size_t)high] * weight;
    return LM_OK;
}

static lm_err window_value(lm_lq_range_node *node, const point *p, size_t n, double *out)
{
    double v = p[0].value;
    switch (node->expr->op) {
    case LM_LQ_T_SUM_OVER_TIME:
    case LM_LQ_T_RATE:
        v = 0;
        for (size_t i = 0; i < n; i++)
            v += p[i].value;
        if (node->expr->op == LM_LQ_T_RATE) v /= (double)node->expr->range_ns / 1e9;
        break;
    case LM_LQ_T_AVG_OVER_TIME:
        v = average(p, n);
        break;
    case LM_LQ_T_MIN_OVER_TIME:
        for (size_t i = 0; i < n; i++)
            v = p[i].value < v || isnan(v) ? p[i].value : v;
        break;
    case LM_LQ_T_MAX_OVER_TIME:
        for (size_t i = 0; i < n; i++)
            v = p[i].value > v || isnan(v) ? p[i].value : v;
        break;
    case LM_LQ_T_STDVAR_OVER_TIME:
        v = variance(p, n);
        break;
    case LM_LQ_T_STDDEV_OVER_TIME:
        v = sqrt(variance(p, n));
        break;
    case LM_LQ_T_LAST_OVER_TIME:
        v = p[n - 1].value;
        break;
    case LM_LQ_T_QUANTILE_OVER_TIME:
        return quantile(node, p, n, out);
    case LM_LQ_T_RATE_COUNTER:
        v = counter_rate(p, n, node->expr->range_ns);
        break;
    default: /* first_over_time */
        break;
    }
    *out = v;
    return LM_OK;
}

static lm_err error_of(const lm_lq_range_node *node, lm_labels labels)
{
    lm_str error = lm_labels_get(labels, LM_STR("__error__"));
    lm_buf text;
    lm_buf_init(&text, node->mem);
    lm_err err = lm_labels_print(labels, &text);
    if (!err) {
        err =
            lm_fail(LM_E_USAGE,
                    "pipeline error: '%.*s' for series: '%.*s'.\nUse a label filter to "
                    "intentionally skip this error. (e.g | __error__!=\"%.*s\").\nTo skip all "
                    "potential errors you can match empty errors.(e.g __error__=\"\")\nThe label "
                    "filter can also be specified after unwrap. (e.g | unwrap latency | "
                    "__error__=\"\" )\n",
                    (int)error.len, (const char *)error.ptr, (int)(text.len < 200 ? text.len : 200),
                    (const char *)text.ptr, (int)error.len, (const char *)error.ptr);
    }
    lm_buf_fini(&text);
    return err;
}

static lm_err step_value(lm_lq_range_node *node, series *s, uint32_t step, bool *out_has,
                         double *out)
{
    const lm_lq_expr *expr = node->expr;
    int64_t end = node->steps.start + (int64_t)step * node->steps.step - expr->offset_ns;
    *out_has = false;
    if (!expr->has_unwrap || node->is_absent) {
        if (!s->buckets) return LM_OK;
        s->now.count += s->buckets[step].count;
        s->now.bytes += s->buckets[step].bytes;
        *out_has = s->now.count > 0;
        *out = (double)(counts_bytes(expr) ? s->now.bytes : s->now.count);
        if (expr->op == LM_LQ_T_RATE || expr->op == LM_LQ_T_BYTES_RATE)
            *out /= (double)expr->range_ns / 1e9;
        return LM_OK;
    }
    if (!s->is_sorted) {
        qsort(s->points, s->count, sizeof *s->points, by_time);
        s->is_sorted = true;
    }
    while (s->high < s->count && s->points[s->high].time_ns <= end)
        s->high++;
    while (s->low < s->high && s->points[s->low].time_ns <= end - expr->range_ns)
        s->low++;
    *out_has = s->high > s->low;
    if (!*out_has) return LM_OK;
    return window_value(node, s->points + s->low, s->high - s->low, out);
}

/** Labels of what is absent: those that the selector says must be. */
static lm_err absent_labels(lm_lq_range_node *node, lm_labels *out)
{
    const lm_lq_log *log = &node->expr->log;
    lm_label *items = lm_arena_alloc(&node->arena, (log->matcher_count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->matcher_count; i++) {
        const lm_matcher *m = &log->matchers[i].is;
        bool is_said = m->op == LM_IS && m->value.len;
        for (uint32_t k = 0; k < log->matcher_count && is_said; k++)
            is_said = k == i || !lm_str_equal(log->matchers[k].is.name, m->name);
        if (is_said) items[count++] = (lm_label){m->name, m->value};
    }
    lm_lq_labels_sort(items, count);
    *out = (lm_labels){items, count};
    return LM_OK;
}

lm_err lm_lq_range_step(lm_lq_range_node *node, uint32_t step, lm_lq_vector *out)
{
    lm_err err = LM_OK;
    size_t count = node->table.count;
    bool is_there = false;
    if (node->cancel && *node->cancel) return lm_fail(LM_E_CANCELLED, "the query was cancelled");
    for (uint32_t i = 0; i < count && !err; i++) {
        bool has = false;
        double value = 0;
        /* The answer of absent_over_time has a series too, without samples. */
        err = step_value(node, &node->series[i], step, &has, &value);
        if (err || !has) continue;
        if (node->is_error[i]) return error_of(node, node->table.labels[i]);
        is_there = true;
        if (!node->is_absent) err = lm_lq_vector_add(node->mem, out, i, value);
    }
    if (err || !node->is_absent || is_there) return err;
    lm_labels labels;
    uint32_t number;
    err = absent_labels(node, &labels);
    if (!err) err = series_find(node, labels, false, &number);
    return err ? err : lm_lq_vector_add(node->mem, out, number, 1);
}

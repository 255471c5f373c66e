/**
 * Log queries: records through the pipeline; the newest (or oldest) N are kept.
 *
 * Kept entries are copies in one of two arenas. When twice as many as wanted are there, the better
 * half moves to the other arena and the first is emptied; from then on the worst kept time is known
 * and told to the store, and records beyond it are not looked at.
 */
#include "logql/logql_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

#define LIMIT_DEFAULT   100
#define CANCEL_INTERVAL 1024

typedef struct entry {
    int64_t time_ns;
    uint64_t order; /* as told: equal times stay in it */
    lm_labels labels, metadata, parsed;
    lm_str line;
} entry;

typedef struct keeper {
    const lm_lq_log *log;
    lm_lq_plan plan;
    lm_lq_run run;
    lm_arena arenas[2];
    int current;
    entry *entries;
    size_t count, cap, limit;
    bool forwards, has_bound;
    int64_t bound; /* the worst kept time once limit are kept */
    _Atomic int64_t wanted_min, wanted_max;
    uint64_t told, bytes;
    volatile const int *cancel;
    lm_err err;
} keeper;

static int oldest_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int newest_first(const void *a, const void *b)
{
    return oldest_first(b, a);
}

static lm_err entry_copy(const entry *from, lm_arena *arena, entry *out)
{
    entry copy = *from;
    copy.line.ptr = lm_arena_copy(arena, from->line.ptr, from->line.len);
    if (!copy.line.ptr) return lm_mem_err();
    lm_err err = lm_lq_labels_copy(from->labels, arena, &copy.labels);
    if (!err) err = lm_lq_labels_copy(from->metadata, arena, &copy.metadata);
    if (!err) err = lm_lq_labels_copy(from->parsed, arena, &copy.parsed);
    if (!err) *out = copy;
    return err;
}

static lm_err keep_best(keeper *k)
{
    qsort(k->entries, k->count, sizeof *k->entries, k->forwards ? oldest_first : newest_first);
    k->count = k->limit;
    lm_arena *to = &k->arenas[!k->current];
    for (size_t i = 0; i < k->count; i++) {
        lm_err err = entry_copy(&k->entries[i], to, &k->entries[i]);
        if (err) return err;
    }
    lm_arena_reset(&k->arenas[k->current]);
    k->current = !k->current;
    k->has_bound = true;
    k->bound = k->entries[k->count - 1].time_ns;
    if (k->forwards) {
        /* Of equal times the first told stay: no more of them are wanted. */
        atomic_store(&k->wanted_max, k->bound);
    } else {
        atomic_store(&k->wanted_min, k->bound);
    }
    return LM_OK;
}

static bool is_hopeless(const keeper *k, int64_t time_ns)
{
    return k->has_bound && (k->forwards ? time_ns >= k->bound : time_ns < k->bound);
}

static lm_err take(keeper *k, const lm_stream *stream, const lm_record *record)
{
    lm_lq_builder *labels = &k->run.labels;
    entry one = {.time_ns = record->time_ns, .order = k->told, .line = record->line};
    bool passes = true;
    lm_err err = lm_lq_run_begin(&k->run, k->log->wants_level, stream, record);
    if (!err && !k->plan.is_plain) {
        err = lm_lq_stages_run(&k->run, k->log->stages, k->log->stage_count, k->plan.skip,
                               record->time_ns, &one.line, &passes);
    }
    if (err || !passes) return err;
    if (lm_lq_builder_is_plain(labels)) {
        one.labels = stream->labels;
    } else {
        err =
            lm_lq_builder_labels(labels, &k->run.scratch, &one.labels, &one.metadata, &one.parsed);
    }
    if (!err) err = lm_vec_grow(k->run.mem, &k->entries, &k->cap, k->count + 1, sizeof *k->entries);
    if (!err) err = entry_copy(&one, &k->arenas[k->current], &k->entries[k->count]);
    if (err) return err;
    k->count++;
    return k->count >= 2 * k->limit ? keep_best(k) : LM_OK;
}

static bool told(void *ctx, const lm_stream *stream, const lm_record *record)
{
    keeper *k = ctx;
    k->told++;
    k->bytes += record->line.len;
    if (k->told % CANCEL_INTERVAL == 0 && k->cancel && *k->cancel) {
        k->err = lm_fail(LM_E_CANCELLED, "the query was cancelled");
        return false;
    }
    if (is_hopeless(k, record->time_ns)) return true;
    k->err = take(k, stream, record);
    lm_arena_reset(&k->run.scratch);
    return k->err == LM_OK;
}

/* ---- the answer ---- */

static int by_labels(const void *a, const void *b)
{
    const lm_logql_series *x = a, *y = b;
    return lm_lq_labels_compare(x->labels, y->labels);
}

static lm_err answer(keeper *k, lm_arena *arena, lm_logql_result *out)
{
    lm_lq_series_table table;
    lm_lq_series_init(&table, k->run.mem);
    lm_err err = LM_OK;
    lm_logql_series *series = NULL;
    uint32_t *numbers = lm_arena_alloc(&k->run.scratch, (k->count + 1) * sizeof *numbers, 8);
    if (!numbers) err = lm_mem_err();
    for (size_t i = 0; i < k->count && !err; i++)
        err = lm_lq_series_of(&table, k->entries[i].labels, &numbers[i]);
    if (err) goto out;
    series = lm_arena_alloc(arena, (table.count + 1) * sizeof *series, 16);
    if (!series) {
        err = lm_mem_err();
        goto out;
    }
    memset(series, 0, (table.count + 1) * sizeof *series);
    for (size_t i = 0; i < k->count; i++)
        series[numbers[i]].count++;
    for (size_t i = 0; i < table.count && !err; i++) {
        err = lm_lq_labels_copy(table.labels[i], arena, &series[i].labels);
        series[i].entries = lm_arena_alloc(arena, series[i].count * sizeof *series[i].entries, 16);
        if (!err && !series[i].entries) err = lm_mem_err();
        series[i].count = 0;
    }
    for (size_t i = 0; i < k->count && !err; i++) {
        lm_logql_series *to = &series[numbers[i]];
        entry copy;
        entry from = k->entries[i];
        from.labels = (lm_labels){NULL, 0};
        err = entry_copy(&from, arena, &copy);
        if (!err) {
            to->entries[to->count++] =
                (lm_logql_entry){copy.time_ns, copy.line, copy.metadata, copy.parsed};
        }
    }
    if (err) goto out;
    qsort(series, table.count, sizeof *series, by_labels);
    *out = (lm_logql_result){.kind = LM_LOGQL_STREAMS,
                             .series = series,
                             .series_count = table.count,
                             .records_seen = k->told,
                             .bytes_seen = k->bytes};
out:
    lm_lq_series_fini(&table);
    return err;
}

lm_err lm_lq_entries(const lm_logql *query, const lm_store_face *store, const lm_logql_range *range,
                     lm_arena *arena, lm_logql_result *out)
{
    lm_mem *mem = arena->mem;
    keeper k = {.log = &query->root->log,
                .limit = range->limit ? range->limit : LIMIT_DEFAULT,
                .forwards = range->forwards,
                .cancel = range->cancel};
    lm_arena_init(&k.arenas[0], mem);
    lm_arena_init(&k.arenas[1], mem);
    lm_lq_run_init(&k.run, mem, range->cancel);
    atomic_store(&k.wanted_min, range->start_ns);
    atomic_store(&k.wanted_max, range->end_ns);
    lm_arena plan_arena;
    lm_arena_init(&plan_arena, mem);
    lm_err err = lm_lq_plan_make(k.log, &k.run.hints, true, &plan_arena, &k.plan);
    if (!err) {
        lm_select what = {.tenant = range->tenant,
                          .matchers = k.plan.matchers,
                          .matcher_count = k.log->matcher_count,
                          .filters = k.plan.filters,
                          .filter_count = k.plan.filter_count,
                          .time_min = range->start_ns,
                          .time_max = range->end_ns,
                          .backwards = !range->forwards,
                          .wanted_min = &k.wanted_min,
                          .wanted_max = &k.wanted_max,
                          .cancel = range->cancel};
        err = store->select(store->self, &what, told, &k);
        if (k.err) err = k.err;
    }
    if (!err) {
        if (k.count)
            qsort(k.entries, k.count, sizeof *k.entries, k.forwards ? oldest_first : newest_first);
        if (k.count > k.limit) k.count = k.limit;
        err = answer(&k, arena, out);
    }
    lm_arena_fini(&plan_arena);
    lm_mem_release(mem, k.entries, k.cap * sizeof *k.entries);
    lm_lq_run_fini(&k.run);
    lm_arena_fini(&k.arenas[0]);
    lm_arena_fini(&k.arenas[1]);
    return err;
}

lm_err lm_logql_pass(const lm_logql *query, const lm_stream *stream, const lm_record *record,
                     lm_arena *arena, bool *out_passes, lm_labels *out_labels, lm_logql_entry *out)
{
    if (query->root->kind != LM_LQ_E_LOG)
        return lm_fail(LM_E_USAGE, "only log selector is supported");
    const lm_lq_log *log = &query->root->log;
    lm_lq_run run;
    lm_labels labels = stream->labels, metadata = {NULL, 0}, parsed = {NULL, 0};
    lm_str line = record->line;
    bool passes = true;
    lm_err err = LM_OK;
    lm_lq_run_init(&run, arena->mem, NULL);
    for (uint32_t i = 0; i < log->matcher_count && passes && !err; i++) {
        const lm_lq_matcher *matcher = &log->matchers[i];
        err = lm_lq_matcher_test(matcher, lm_labels_get(stream->labels, matcher->is.name),
                                 &run.match, &passes);
    }
    if (err || !passes) goto out;
    err = lm_lq_run_begin(&run, log->wants_level, stream, record);
    if (!err) {
        err = lm_lq_stages_run(&run, log->stages, log->stage_count, NULL, record->time_ns, &line,
                               &passes);
    }
    if (err || !passes) goto out;
    if (!lm_lq_builder_is_plain(&run.labels))
        err = lm_lq_builder_labels(&run.labels, &run.scratch, &labels, &metadata, &parsed);
    if (!err) {
        entry from = {.time_ns = record->time_ns,
                      .line = line,
                      .labels = labels,
                      .metadata = metadata,
                      .parsed = parsed},
              copy;
        err = entry_copy(&from, arena, &copy);
        if (!err) {
            *out_labels = copy.labels;
            *out = (lm_logql_entry){copy.time_ns, copy.line, copy.metadata, copy.parsed};
        }
    }
out:
    lm_lq_run_fini(&run);
    if (!err) *out_passes = passes;
    return err;
}

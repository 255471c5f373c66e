/* lm_search: all segments of an archive, in order or backwards, on one thread or several.
 *
 *   job       one segment: opened, judged by its shapes, its rows split into yes and maybe; with
 * several workers its first batches are rendered as well, up to a bound wave      as many jobs as
 * keep the workers busy run at once; then, in order, what they found is told and their segments are
 * closed. One worker is the same with waves of one job and nothing rendered ahead teller    the
 * calling thread: tells matches, counts, adds to groups, stops at the limit
 *
 * A damaged segment, column or row is told to bad and the rest is searched; the call then ends with
 * LM_E_CORRUPT. */
#include "search/search_exec_priv.h"

#include <stdio.h>

#define AHEAD_MAX        64  /* batches that a worker renders ahead */
#define COMMON_BYTES_MAX 2   /* a longer text is worth a look into columns */
#define SAMPLE_ROWS      128 /* tell whether a text is common */

typedef struct job {
    lm_exec exec;
    size_t index;   /* of the segment */
    bool is_open;   /* exec must be closed */
    bool is_needed; /* some row may fit */
    lm_err err;
    lm_err_info info;
    uint64_t *yes, *maybe;
    lm_walk walk;
    bool has_walk;
    lm_batch ahead[AHEAD_MAX];
    size_t ahead_count;
    bool ahead_is_all;
} job;

typedef struct search {
    const lm_archive *archive;
    const lm_query *query;
    const lm_search_options *options;
    bool (*told)(void *ctx, const lm_match *match);
    void *told_ctx;
    void (*bad)(void *ctx, const char *text);
    void *bad_ctx;
    lm_search_report *report;
    lm_groups *groups;
    job *jobs;
    bool tells; /* rows are told, not only counted */
    bool renders_ahead;
    bool stopped, damaged;
} search;

/* ---- a job: the worker's part ---------------------------------------------------------------- */

static bool has_time_range(const lm_search_options *options)
{
    return options->time_min != INT64_MIN || options->time_max != INT64_MAX;
}

/* Can rows of the segment lie in the time range? Rows whose time is unknown lie in none. */
static bool times_overlap(const lm_search_options *options, const lm_archive_segment *segment)
{
    if (!has_time_range(options)) return true;
    return segment->time_min < options->time_max && segment->time_max >= options->time_min;
}

static lm_err care_make(lm_exec *exec, uint64_t *care)
{
    const lm_search_options *options = exec->options;
    const int64_t *times = NULL;
    if (has_time_range(options)) {
        lm_err err = lm_segment_times(exec->segment, &times);
        if (err) return err;
    }
    uint8_t *shape_cares = NULL;
    if (exec->shape_of_row) {
        shape_cares = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
        if (!shape_cares) return lm_mem_err();
        for (size_t s = 0; s < exec->shape_count; s++) {
            shape_cares[s] =
                exec->verdicts[s] != LM_NEVER &&
                (options->template_id < 0 ||
                 lm_template_of(exec->archive, &exec->shapes[s]) == options->template_id);
        }
    } else if (options->template_id >= 0) {
        return LM_OK;
    }
    for (uint32_t row = 0; row < exec->row_count; row++) {
        bool cares = !shape_cares || shape_cares[exec->shape_of_row[row]];
        if (cares && times)
            cares = times[row] != INT64_MIN && times[row] >= options->time_min &&
                    times[row] < options->time_max;
        care[row / 64] |= (uint64_t)cares << row % 64;
    }
    if (options->choose) options->choose(options->rows_ctx, exec->index, care, exec->row_count);
    return LM_OK;
}

/* Widens a set of rows to whole records. */
static void records_widen(const lm_exec *exec, uint64_t *set)
{
    if (!exec->continues) return;
    for (uint32_t row = 0; row < exec->row_count;) {
        uint32_t end = row + 1;
        bool any = lm_row_has(set, row);
        for (; end < exec->row_count && lm_row_has(exec->continues, end); end++)
            any = any || lm_row_has(set, end);
        for (; any && row < end; row++)
            lm_row_put(set, row);
        row = end;
    }
}

/* Rows of care that their shapes leave open, without a look at columns. */
static void rows_by_verdict(const lm_exec *exec, const uint64_t *care, uint64_t *yes,
                            uint64_t *maybe)
{
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = care[w]; left; left &= left - 1) {
            uint32_t row = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);
            uint8_t verdict = exec->verdicts[exec->shape_of_row[row]];
            if (verdict == LM_ALWAYS) yes[w] |= left & (0 - left);
            if (verdict == LM_MAYBE) maybe[w] |= left & (0 - left);
        }
    }
}

static bool is_short_text(const search *s)
{
    const lm_node *root = s->query->root;
    return s->tells && !s->options->backwards && !s->options->limit && !s->options->whole_records &&
           root->kind == LM_NODE_TEXT && !root->is_nowhere &&
           root->text.text.len <= COMMON_BYTES_MAX;
}

/* Do most of the first rows of maybe fit? */
static lm_err most_fit(job *j, bool *out)
{
    lm_exec *exec = &j->exec;
    uint64_t lost_before = exec->rows_lost, checked_before = exec->rows_checked;
    lm_walk walk;
    lm_batch batch;
    bool any;
    size_t fit = 0;
    lm_walk_init(&walk, exec, j->yes, j->maybe, false, true);
    lm_batch_init(exec, &batch);
    lm_err err = lm_walk_next(&walk, SAMPLE_ROWS, &batch, &any);
    for (size_t i = 0; !err && i < batch.rows.count; i++)
        fit += batch.fits[i];
    if (!err) *out = fit > batch.rows.count / 2;
    exec->rows_lost = lost_before; /* they will be looked at again */
    exec->rows_checked = checked_before;
    lm_batch_fini(exec, &batch);
    lm_walk_fini(&walk);
    return err;
}

/* A letter or two that most rows have: where those are printed, their columns are decoded anyway,
 * and to look into each of them beforehand is in vain. */
static lm_err rows_judge(search *s, job *j, const uint64_t *care)
{
    lm_exec *exec = &j->exec;
    bool is_common = false;
    if (is_short_text(s)) {
        rows_by_verdict(exec, care, j->yes, j->maybe);
        lm_err err = most_fit(j, &is_common);
        if (err || is_common) return err;
        memset(j->yes, 0, exec->word_count * 8);
        memset(j->maybe, 0, exec->word_count * 8);
    }
    return lm_exec_eval(exec, s->query->root, care, j->yes, j->maybe);
}

static lm_err job_eval(search *s, job *j)
{
    lm_exec *exec = &j->exec;
    j->yes = lm_exec_set(exec);
    j->maybe = lm_exec_set(exec);
    uint64_t *care = lm_exec_set(exec);
    if (!j->yes || !j->maybe || !care) return lm_mem_err();
    lm_err err = LM_OK;
    bool raw = lm_segment_is_raw(exec->segment);
    if (!raw) err = lm_segment_rows_load(exec->segment, &exec->shape_of_row);
    bool needs_records = s->query->needs_fields || s->options->whole_records ||
                         s->options->group_by == LM_GROUP_FIELD;
    if (!err && needs_records) err = lm_segment_continuations(exec->segment, &exec->continues);
    if (!err) err = care_make(exec, care);
    if (err) return err;
    if (raw) {
        memcpy(j->maybe, care, exec->word_count * 8);
    } else {
        err = rows_judge(s, j, care);
    }
    lm_exec_set_free(exec, care);
    if (!err && (!s->tells || s->options->whole_records))
        err = lm_exec_settle(exec, j->yes, j->maybe);
    if (!err && s->options->whole_records) records_widen(exec, j->yes);
    return err;
}

static lm_err job_render_ahead(job *j)
{
    bool any = true;
    while (any && j->ahead_count < AHEAD_MAX) {
        lm_batch *batch = &j->ahead[j->ahead_count];
        lm_batch_init(&j->exec, batch);
        lm_err err = lm_walk_next(&j->walk, LM_BATCH_ROWS, batch, &any);
        if (err || !any) {
            lm_batch_fini(&j->exec, batch);
            if (err) return err;
        } else {
            j->ahead_count++;
        }
    }
    j->ahead_is_all = !any;
    return LM_OK;
}

/* What is known of a segment's lines without opening it, and how it is asked. */
typedef struct hint {
    lm_str bytes;
    bool (*admits)(lm_str bytes, lm_str text); /* may a line hold text? */
} hint;

/* Does no line fit? Says nothing of fields: their text may be written otherwise in the line. */
static bool hint_rules_out(const lm_node *node, const hint *known)
{
    switch (node->kind) {
    case LM_NODE_TEXT:
        return !known->admits(known->bytes, node->text.text);
    case LM_NODE_REGEX:
        for (uint32_t i = 0; i < node->demand.count; i++) {
            bool possible = false;
            for (uint32_t k = 0; k < node->demand.clauses[i].count && !possible; k++)
                possible = known->admits(known->bytes, node->demand.clauses[i].any[k].text);
            if (!possible) return true;
        }
        return false;
    case LM_NODE_AND:
        for (const lm_node *child = node->first; child; child = child->next) {
            if (hint_rules_out(child, known)) return true;
        }
        return false;
    case LM_NODE_OR:
        for (const lm_node *child = node->first; child; child = child->next) {
            if (!hint_rules_out(child, known)) return false;
        }
        return node->first != NULL;
    case LM_NODE_ALL:
    case LM_NODE_NOT:
    case LM_NODE_IP:
    case LM_NODE_FIELD:
    case LM_NODE_FILE:
        return false;
    }
    return false;
}

bool lm_query_admitted(const lm_query *query, lm_str set)
{
    hint known = {set, lm_grams_set_admits};
    return !hint_rules_out(query->root, &known);
}

static lm_err job_run(void *ctx, size_t slot)
{
    search *s = ctx;
    job *j = &s->jobs[slot];
    hint known = {.admits = lm_archive_grams_admit};
    if (!times_overlap(s->options, lm_archive_segment_at(s->archive, j->index))) return LM_OK;
    if (s->options->wants && !s->options->wants(s->options->rows_ctx, j->index)) return LM_OK;
    if (lm_archive_segment_grams(s->archive, j->index, &known.bytes) &&
        hint_rules_out(s->query->root, &known))
        return LM_OK;
    j->is_open = true;
    j->err = lm_exec_init(&j->exec, s->query, s->options, s->archive, j->index);
    if (!j->err) j->is_needed = !lm_exec_is_hopeless(&j->exec);
    if (j->is_needed) {
        j->err = job_eval(s, j);
        if (!j->err && s->tells) {
            lm_walk_init(&j->walk, &j->exec, j->yes, j->maybe, s->options->backwards, false);
            j->has_walk = true;
            if (s->renders_ahead) j->err = job_render_ahead(j);
        }
    }
    if (j->err) lm_err_save(&j->info);
    return LM_OK; /* the teller looks at j->err: other segments go on */
}

static void job_close(job *j)
{
    for (size_t i = 0; i < j->ahead_count; i++)
        lm_batch_fini(&j->exec, &j->ahead[i]);
    if (j->has_walk) lm_walk_fini(&j->walk);
    if (j->is_open) lm_exec_fini(&j->exec);
    memset(j, 0, sizeof *j);
}

/* ---- the teller ------------------------------------------------------------------------------ */

/* rows 0: the whole segment. */
static void bad_tell(search *s, size_t segment, uint64_t rows, const char *why)
{
    char text[600];
    s->damaged = true;
    if (!s->bad) return;
    int len = rows ? snprintf(text, sizeof text, "segment %zu: %llu rows could not be read: %s",
                              segment, (unsigned long long)rows, why)
                   : snprintf(text, sizeof text, "segment %zu: %s", segment, why);
    if (len > 0) s->bad(s->bad_ctx, text);
}

static void row_tell(search *s, job *j, const lm_batch *batch, size_t i, const int64_t *times)
{
    uint32_t row = batch->rows.rows[i];
    lm_match match = {.text = lm_rows_text(&batch->rows, i),
                      .segment = j->index,
                      .row = row,
                      .time_ns = INT64_MIN,
                      .template_id = UINT32_MAX};
    match.place = lm_segment_place(j->exec.segment, row);
    if (times) match.time_ns = times[row];
    if (j->exec.shape_of_row)
        match.template_id = lm_template_of(s->archive, &j->exec.shapes[j->exec.shape_of_row[row]]);
    s->report->matches++;
    if (!s->told(s->told_ctx, &match) ||
        (s->options->limit && s->report->matches >= s->options->limit))
        s->stopped = true;
}

/* Runs of rows that fit lie one behind the other. */
static void lines_tell(search *s, const lm_batch *batch)
{
    const lm_rows *rows = &batch->rows;
    uint64_t left = s->options->limit ? s->options->limit - s->report->matches : UINT64_MAX;
    for (size_t i = 0; i < rows->count && !s->stopped;) {
        const uint8_t *first = memchr(batch->fits + i, 1, rows->count - i);
        if (!first) return;
        i = (size_t)(first - batch->fits);
        const uint8_t *behind = memchr(first, 0, rows->count - i);
        size_t count = behind ? (size_t)(behind - first) : rows->count - i;
        if (count > left) count = (size_t)left;
        size_t begin = i ? rows->ends[i - 1] : 0;
        lm_str lines = {rows->text.ptr + begin, rows->ends[i + count - 1] - begin};
        i += count;
        left -= count;
        s->report->matches += count;
        s->stopped = !s->options->lines(s->told_ctx, lines, count) || left == 0;
    }
}

static void batch_tell(search *s, job *j, const lm_batch *batch, const int64_t *times)
{
    size_t count = batch->rows.count;
    if (s->options->lines) {
        lines_tell(s, batch);
        return;
    }
    for (size_t n = 0; n < count && !s->stopped; n++) {
        size_t i = s->options->backwards ? count - 1 - n : n;
        if (batch->fits[i]) row_tell(s, j, batch, i, times);
    }
}

/* Small batches first when few rows are wanted or the walk goes backwards. */
static lm_err job_tell(search *s, job *j)
{
    const int64_t *times = NULL;
    bool any = !j->ahead_is_all;
    bool has_times = !s->options->skip_times && !s->options->lines;
    lm_err err = has_times ? lm_segment_times(j->exec.segment, &times) : LM_OK;
    if (err == LM_E_CORRUPT) {
        times = NULL;
        err = LM_OK;
    }
    for (size_t i = 0; i < j->ahead_count && !s->stopped && !err; i++)
        batch_tell(s, j, &j->ahead[i], times);
    if (err || s->stopped || !any) return err;
    lm_batch batch;
    lm_batch_init(&j->exec, &batch);
    size_t rows = s->options->limit && s->options->limit < 64 ? 64
                  : s->options->backwards                     ? 256
                                                              : LM_BATCH_ROWS;
    while (!err && any && !s->stopped) {
        err = lm_walk_next(&j->walk, rows, &batch, &any);
        if (!err) batch_tell(s, j, &batch, times);
        rows = rows * 4 < LM_BATCH_ROWS ? rows * 4 : LM_BATCH_ROWS;
    }
    lm_batch_fini(&j->exec, &batch);
    return err;
}

/* All of yes, which are few; maybe is empty. */
static lm_err few_tell(search *s, job *j)
{
    lm_walk walk;
    lm_batch batch;
    bool any = true;
    lm_walk_init(&walk, &j->exec, j->yes, j->maybe, false, false);
    lm_batch_init(&j->exec, &batch);
    lm_err err = LM_OK;
    while (!err && any) {
        err = lm_walk_next(&walk, s->options->few_max, &batch, &any);
        for (size_t i = 0; !err && any && i < batch.rows.count; i++) {
            s->options->few(s->options->rows_ctx, j->index, batch.rows.rows[i],
                            lm_rows_text(&batch.rows, i));
        }
    }
    lm_batch_fini(&j->exec, &batch);
    lm_walk_fini(&walk);
    return err;
}

static lm_err job_count(search *s, job *j)
{
    uint64_t count = 0;
    for (size_t w = 0; w < j->exec.word_count; w++)
        count += (uint64_t)__builtin_popcountll(j->yes[w]);
    s->report->matches += count;
    if (s->groups) return lm_groups_add(s->groups, &j->exec, j->yes);
    if (s->options->few && count > 0 && count <= s->options->few_max) {
        lm_err err = few_tell(s, j);
        if (err) return err;
    }
    if (s->options->rows &&
        !s->options->rows(s->options->rows_ctx, j->index, j->yes, j->exec.row_count))
        s->stopped = true;
    if (s->options->limit && s->report->matches >= s->options->limit) {
        s->report->matches = s->options->limit;
        s->stopped = true;
    }
    return LM_OK;
}

/* Tells what a job found. Damage is told and forgiven; other failures end the search. */
static lm_err job_finish(search *s, job *j)
{
    lm_err err = j->err;
    if (err) (void)lm_err_restore(&j->info); /* the code is in err */
    if (!err && j->is_needed) err = s->tells ? job_tell(s, j) : job_count(s, j);
    if (err && err != LM_E_CORRUPT) return err;
    if (j->is_open) s->report->segments_opened++;
    s->report->rows_checked += j->exec.rows_checked;
    s->report->blocks_decoded += j->exec.columns_decoded;
    if (err) {
        bad_tell(s, j->index, 0, lm_err_text());
    } else if (j->exec.rows_lost > 0) {
        bad_tell(s, j->index, j->exec.rows_lost, j->exec.lost_why);
    }
    return LM_OK;
}

static lm_err waves_run(search *s, lm_pool *pool, size_t width)
{
    size_t count = lm_archive_segment_count(s->archive);
    lm_err err = LM_OK;
    for (size_t begin = 0; begin < count && !s->stopped && !err; begin += width) {
        size_t jobs = count - begin < width ? count - begin : width;
        for (size_t i = 0; i < jobs; i++)
            s->jobs[i].index = s->options->backwards ? count - 1 - begin - i : begin + i;
        err = lm_pool_for(jobs > 1 ? pool : NULL, jobs, job_run, s);
        for (size_t i = 0; i < jobs; i++) {
            if (!err && !s->stopped) err = job_finish(s, &s->jobs[i]);
            job_close(&s->jobs[i]);
        }
    }
    return err;
}

static lm_err options_check(const lm_search_options *options)
{
    if (options->group_by == LM_GROUP_TIME && options->group_bucket_ns <= 0)
        return lm_fail(LM_E_USAGE, "a time bucket must be longer than nothing");
    if (options->group_by == LM_GROUP_FIELD && options->group_field.len == 0)
        return lm_fail(LM_E_USAGE, "grouping needs the name of a field");
    if (options->lines && options->backwards)
        return lm_fail(LM_E_USAGE, "runs of lines are not told backwards");
    return LM_OK;
}

static lm_err search_run(search *s, lm_pool *pool, lm_arena *arena)
{
    size_t count = lm_archive_segment_count(s->archive);
    size_t width = pool && lm_pool_threads(pool) > 1 ? 2u * lm_pool_threads(pool) : 1;
    if (width > count) width = count ? count : 1;
    lm_err err = options_check(s->options);
    if (err) return err;
    const char *lost = lm_archive_lost(s->archive);
    s->damaged = lost != NULL;
    if (lost && s->bad) s->bad(s->bad_ctx, lost);
    s->tells =
        !s->options->count_only && !s->options->rows && s->options->group_by == LM_GROUP_NONE;
    s->renders_ahead = width > 1;
    for (size_t i = 0; i < count; i++)
        s->report->rows_total += lm_archive_segment_at(s->archive, i)->rows;
    s->report->segments_total = count;
    s->jobs = lm_mem_calloc(s->query->mem, width, sizeof *s->jobs);
    if (!s->jobs) return lm_mem_err();
    if (s->options->group_by != LM_GROUP_NONE)
        err = lm_groups_new(s->query->mem, s->archive, s->options, &s->groups);
    if (!err) err = waves_run(s, pool, width);
    if (!err && s->groups) err = lm_groups_report(s->groups, arena, s->report);
    lm_groups_free(s->groups);
    lm_mem_release(s->query->mem, s->jobs, width * sizeof *s->jobs);
    return err;
}

lm_err lm_search(const lm_archive *archive, lm_pool *pool, const lm_query *query,
                 const lm_search_options *options, bool (*told)(void *ctx, const lm_match *match),
                 void *told_ctx, void (*bad)(void *ctx, const char *text), void *bad_ctx,
                 lm_arena *arena, lm_search_report *report)
{
    lm_search_report found = {0};
    search s = {.archive = archive,
                .query = query,
                .options = options,
                .told = told,
                .told_ctx = told_ctx,
                .bad = bad,
                .bad_ctx = bad_ctx,
                .report = &found};
    lm_err err = search_run(&s, pool, arena);
    if (err) return err;
    *report = found;
    return s.damaged
               ? lm_fail(LM_E_CORRUPT, "parts of the archive are damaged; the rest was searched")
               : LM_OK;
}

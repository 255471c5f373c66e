/**
 * Searching a view: what lm_search tells, with neighbours, fields, and templates to follow.
 *
 *   lm_search --match--> told() --without context--> hit()
 *                             `--with context--> neighbours before (from the last one told) --> hit
 * --> owed lines after
 *
 * Context: `last` is the last row told, in global order (segment, row). Lines after a match are
 * owed and paid when the next match comes or the search ends, so that no line is told twice and
 * gaps are known.
 */
#include "api/api_priv.h"

typedef struct position {
    size_t segment;
    uint32_t row;
} position;

typedef struct searching {
    lm_view *view;
    const lm_question *question;
    bool (*hit)(void *ctx, const lm_hit *hit);
    void *hit_ctx;
    lm_err err;             /* failure inside a callback */
    bool is_stopped;        /* the caller said so */
    uint64_t told;          /* matches told */
    const uint64_t *follow; /* bitmap of template ids to let through; NULL: all */
    uint32_t follow_count;  /* ids in it */
    /* context */
    bool has_last;
    position last; /* last row told */
    uint64_t owed; /* lines after the last match still to tell */
    lm_buf text;   /* of a neighbour */
    /* fields of a line */
    lm_arena field_arena;
    lm_fields fields;
    lm_hit_field *told_fields;
    size_t told_fields_cap;
} searching;

/* ---- one line ---- */

static lm_err fields_fill(searching *work, size_t segment, lm_str line, lm_hit *hit)
{
    lm_view *view = work->view;
    uint32_t stream = lm_archive_segment_at(view->archive, segment)->stream;
    lm_arena_reset(&work->field_arena);
    work->fields = (lm_fields){.arena = &work->field_arena, .format = -1};
    const lm_schema *schema = lm_archive_stream_schema(view->archive, stream);
    if (!schema) return lm_mem_err(); /* the search itself has refused a stream that is not there */
    lm_err err = lm_schema_parse(schema, line, &work->fields);
    if (!err) {
        err = lm_vec_grow(view->context->mem, &work->told_fields, &work->told_fields_cap,
                          work->fields.count, sizeof *work->told_fields);
    }
    if (err) return err;
    for (size_t i = 0; i < work->fields.count; i++) {
        const lm_field *field = &work->fields.items[i];
        work->told_fields[i] = (lm_hit_field){api_text(field->name), api_text(field->value),
                                              lm_type_name(field->type)};
    }
    hit->fields = work->told_fields;
    hit->field_count = work->fields.count;
    return LM_OK;
}

/** Tell one line; false stops the search. */
static bool tell(searching *work, position at, lm_str line, lm_hit *hit)
{
    hit->text = api_text(line);
    hit->line_count = 1;
    if (work->question->want_fields) {
        work->err = fields_fill(work, at.segment, line, hit);
        if (work->err) return false;
    }
    work->last = at;
    work->has_last = true;
    if (!work->hit || work->hit(work->hit_ctx, hit)) return true;
    work->is_stopped = true;
    return false;
}

/* ---- neighbours ---- */

static uint32_t rows_of(const searching *work, size_t segment)
{
    return lm_archive_segment_at(work->view->archive, segment)->rows;
}

static bool position_is_before(position a, position b)
{
    return a.segment < b.segment || (a.segment == b.segment && a.row < b.row);
}

/** The row before; false if there is none in the archive. */
static bool step_back(const searching *work, position *at)
{
    while (at->row == 0) {
        if (at->segment == 0) return false;
        at->segment--;
        at->row = rows_of(work, at->segment);
    }
    at->row--;
    return true;
}

static bool step_on(const searching *work, position *at)
{
    at->row++;
    while (at->row >= rows_of(work, at->segment)) {
        if (at->segment + 1 >= lm_archive_segment_count(work->view->archive)) return false;
        at->segment++;
        at->row = 0;
    }
    return true;
}

static lm_err place_of(searching *work, position at, lm_row_place *out)
{
    lm_segment *segment = NULL;
    lm_err err = api_view_segment(work->view, at.segment, &segment);
    if (!err) *out = lm_segment_place(segment, at.row);
    return err;
}

/** Tell the neighbour at a row. Damage costs the neighbour, not the search. */
static bool tell_neighbour(searching *work, position at, bool follows_gap)
{
    lm_segment *segment = NULL;
    lm_err err = api_view_segment(work->view, at.segment, &segment);
    work->text.len = 0;
    if (!err) err = lm_segment_text(segment, at.row, at.row + 1, &work->text, NULL);
    if (err == LM_E_CORRUPT) {
        api_note_bad(work->view->context, lm_err_text());
        return true;
    }
    if (err) {
        work->err = err;
        return false;
    }
    lm_row_place place = lm_segment_place(segment, at.row);
    lm_hit hit = {.file_index = place.file,
                  .line = place.line,
                  .time_ns = LM_TIME_NONE,
                  .is_context = true,
                  .follows_gap = follows_gap};
    size_t len = work->text.len ? work->text.len - 1 : 0; /* without the '\n' */
    return tell(work, at, (lm_str){work->text.ptr, len}, &hit);
}

/** Tell the lines owed after the last match, up to `stop` (NULL: as many as there are in the file).
 */
static bool pay_owed(searching *work, const position *stop)
{
    position at = work->last;
    lm_row_place place, next;
    if (!work->owed) return true;
    work->err = place_of(work, at, &place);
    while (!work->err && work->owed && step_on(work, &at)) {
        if (stop && !position_is_before(at, *stop)) break;
        work->err = place_of(work, at, &next);
        if (work->err || next.file != place.file) break;
        if (!tell_neighbour(work, at, false)) return false;
        work->owed--;
    }
    work->owed = 0;
    return !work->err;
}

/** Tell the lines before a match that were not told yet. *out_gap: were lines left out before the
 * first of them? */
static bool tell_before(searching *work, position match, bool *out_gap)
{
    lm_row_place place, before;
    position first = match, at = match;
    work->err = place_of(work, match, &place);
    for (uint64_t i = 0; !work->err && i < work->question->context_before && step_back(work, &at);
         i++) {
        if (work->has_last && !position_is_before(work->last, at)) break;
        work->err = place_of(work, at, &before);
        if (work->err || before.file != place.file) break;
        first = at;
    }
    if (work->err) return false;
    position previous = first;
    bool is_joined =
        work->has_last && step_back(work, &previous) && !position_is_before(work->last, previous);
    bool is_gap = work->has_last && !is_joined;
    while (position_is_before(first, match)) {
        if (!tell_neighbour(work, first, is_gap)) return false;
        is_gap = false;
        if (!step_on(work, &first)) break;
    }
    *out_gap = is_gap;
    return true;
}

/* ---- a match ---- */

static bool told(void *ctx, const lm_match *match)
{
    searching *work = ctx;
    const lm_question *question = work->question;
    position at = {match->segment, match->row};
    bool has_context = question->context_before || question->context_after;
    bool is_gap = false;
    if (work->follow) {
        uint32_t id = match->template_id;
        if (id / 64 >= work->follow_count || !(work->follow[id / 64] >> (id % 64) & 1)) return true;
    }
    if (has_context && (!pay_owed(work, &at) || !tell_before(work, at, &is_gap))) return false;
    lm_hit hit = {.file_index = match->place.file,
                  .line = match->place.line,
                  .time_ns = match->time_ns,
                  .template_id = match->template_id,
                  .follows_gap = is_gap};
    if (!tell(work, at, match->text, &hit)) return false;
    work->owed = question->context_after;
    work->told++;
    return !work->follow || !question->limit || work->told < question->limit;
}

static bool lines_told(void *ctx, lm_str lines, uint64_t count)
{
    searching *work = ctx;
    lm_hit hit = {.text = api_text(lines), .line_count = count, .time_ns = LM_TIME_NONE};
    work->told += count;
    if (!work->hit || work->hit(work->hit_ctx, &hit)) return true;
    work->is_stopped = true;
    return false;
}

/* ---- the search ---- */

static lm_search_options options_of(const lm_question *question, const lm_context *context)
{
    static const unsigned groups[] = {LM_GROUP_NONE, LM_GROUP_TEMPLATE, LM_GROUP_FIELD,
                                      LM_GROUP_TIME};
    lm_search_options options = {
        .time_min = question->since_ns == LM_TIME_NONE ? INT64_MIN : question->since_ns,
        .time_max = question->until_ns == LM_TIME_NONE ? INT64_MAX : question->until_ns,
        .count_only = question->count_only,
        .whole_records = question->whole_records,
        .limit = question->limit,
        .template_id = question->template_id,
        .backwards = question->newest_first,
        .skip_times = question->skip_times,
        .group_field = api_str(question->tally_field),
        .group_bucket_ns = question->tally_bucket_ns,
        .cancel = context->options.cancel,
        .lines = question->lines_only ? lines_told : NULL,
    };
    options.group_by = groups[question->tally_by];
    return options;
}

static lm_err question_check(const lm_view *view, const lm_question *question)
{
    bool has_context = question->context_before || question->context_after;
    if (question->struct_bytes < sizeof(lm_question)) {
        return lm_fail(LM_E_USAGE, "struct_bytes of lm_question is not set");
    }
    if (question->newest_first && has_context) {
        return lm_fail(LM_E_USAGE, "lines around a match are not told newest first");
    }
    if (question->lines_only && (has_context || question->newest_first ||
                                 question->follow_templates || question->want_fields)) {
        return lm_fail(LM_E_USAGE, "lines_only goes with plain lines in their order");
    }
    if ((unsigned)question->tally_by > LM_TALLY_TIME)
        return lm_fail(LM_E_USAGE, "no such grouping");
    if (question->tally_by == LM_TALLY_TIME && question->tally_bucket_ns <= 0) {
        return lm_fail(LM_E_USAGE, "a time bucket must be longer than nothing");
    }
    if (question->tally_by == LM_TALLY_FIELD &&
        (!question->tally_field || !question->tally_field[0])) {
        return lm_fail(LM_E_USAGE, "counting by a field needs its name");
    }
    if (question->template_id >= 0 && (uint64_t)question->template_id >= view->totals.templates) {
        return lm_fail(LM_E_USAGE, "there is no template %lld: the highest is %lld",
                       (long long)question->template_id, (long long)view->totals.templates - 1);
    }
    return LM_OK;
}

/** Which templates do the matches belong to? As a bitmap in the view's search arena. */
static lm_err follow_find(searching *work, lm_pool *pool, const lm_query *query,
                          lm_search_options options, uint64_t *out_templates)
{
    lm_view *view = work->view;
    lm_context *context = view->context;
    lm_search_report report = {0};
    options.group_by = LM_GROUP_TEMPLATE;
    options.limit = 0;
    options.whole_records = false;
    lm_err err = lm_search(view->archive, pool, query, &options, NULL, NULL, api_note_bad, context,
                           &view->search, &report);
    if (err && err != LM_E_CORRUPT) return err;
    size_t words = (size_t)(view->totals.templates / 64 + 1);
    uint64_t *bits = lm_arena_alloc(&view->search, words * sizeof *bits, _Alignof(uint64_t));
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * sizeof *bits);
    for (size_t i = 0; i < report.group_count; i++) {
        uint32_t id = report.groups[i].template_id;
        if (id / 64 < words) bits[id / 64] |= (uint64_t)1 << (id % 64);
    }
    work->follow = bits;
    work->follow_count = (uint32_t)words;
    *out_templates = report.group_count;
    return LM_OK;
}

static lm_err tallies_fill(lm_view *view, const lm_search_report *report, lm_answer *answer)
{
    lm_tally *tallies =
        lm_arena_alloc(&view->search, report->group_count * sizeof *tallies, _Alignof(lm_tally));
    if (!tallies) return lm_mem_err();
    for (size_t i = 0; i < report->group_count; i++) {
        const lm_group_count *group = &report->groups[i];
        tallies[i] =
            (lm_tally){api_text(group->key), group->time_ns, group->template_id, group->count};
    }
    answer->tallies = tallies;
    answer->tally_count = report->group_count;
    return LM_OK;
}

static lm_err search(searching *work, lm_answer *answer)
{
    lm_view *view = work->view;
    lm_context *context = view->context;
    const lm_question *question = work->question;
    lm_query *query = NULL;
    lm_pool *pool = NULL;
    lm_search_report report = {0};
    uint64_t followed = 0;

    lm_err err = question_check(view, question);
    if (!err)
        err = lm_query_parse(context->mem, api_str(question->query ? question->query : ""), &query);
    /* Most searches are over before workers would have started. */
    if (!err && view->totals.raw_bytes >= 16 * (uint64_t)POOL_WORK_BYTES_MIN) {
        err = api_pool(context, view->totals.raw_bytes, &pool);
    }
    if (err) goto out;
    lm_search_options options = options_of(question, context);
    if (question->follow_templates && !question->tally_by) {
        err = follow_find(work, pool, query, options, &followed);
        if (err || !followed) goto out;
        lm_query_free(query);
        query = NULL;
        err = lm_query_parse(context->mem, (lm_str){NULL, 0}, &query);
        if (err) goto out;
        options.limit = 0; /* counted here: the search does not know what is let through */
        options.count_only = false;
    }
    err = lm_search(view->archive, pool, query, &options, told, work, api_note_bad, context,
                    &view->search, &report);
    if (work->err)
        err = work->err;
    else if (work->is_stopped && err == LM_E_CANCELLED)
        err = LM_OK;
    if (!err && !work->is_stopped && !pay_owed(work, NULL)) err = work->err;
    if (err && err != LM_E_CORRUPT) goto out;
    *answer = (lm_answer){
        .matches = work->follow ? work->told : report.matches,
        .lines_total = report.rows_total,
        .lines_checked = report.rows_checked,
        .segments_total = report.segments_total,
        .segments_opened = report.segments_opened,
    };
    lm_err filled = tallies_fill(view, &report, answer);
    if (filled) err = filled;
out:
    lm_query_free(query);
    return err;
}

lm_err lm_view_search(lm_view *view, const lm_question *question,
                      bool (*hit)(void *ctx, const lm_hit *hit), void *hit_ctx, lm_answer *out)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    lm_context *context = view->context;
    lm_answer answer = {.lines_total = view->totals.lines, .segments_total = view->totals.segments};
    searching work = {.view = view, .question = question, .hit = hit, .hit_ctx = hit_ctx};
    lm_buf_init(&work.text, context->mem);
    lm_arena_init(&work.field_arena, context->mem);
    lm_arena_reset(&view->search);

    lm_err err = search(&work, &answer);
    if (out && (!err || err == LM_E_CORRUPT)) *out = answer;

    lm_mem_release(context->mem, work.told_fields, work.told_fields_cap * sizeof *work.told_fields);
    lm_arena_fini(&work.field_arena);
    lm_buf_fini(&work.text);
    return context_end(context, err);
}

lm_err lm_query_check(lm_context *context, const char *query)
{
    lm_query *parsed = NULL;
    lm_err err = lm_query_parse(context->mem, lm_str_of(query), &parsed);
    lm_query_free(parsed);
    return context_end(context, err);
}

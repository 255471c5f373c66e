/** Templates of a view: counts as stored; examples and trends by one pass over the shape ids and
 * times of the rows. */
#include "api/api_priv.h"

#include <stdlib.h>

/** Where the first row of a template is. */
typedef struct first_row {
    size_t segment;
    uint32_t row;
    bool is_known;
} first_row;

typedef struct surveying {
    lm_view *view;
    unsigned flags;
    lm_view_template *items; /* by id */
    first_row *first;        /* by id */
    size_t count;            /* of ids */
    int64_t low;             /* where the trend's range begins; of times, or of row numbers */
    uint64_t span;
    bool by_time;
    uint64_t rows_before; /* rows of the segments before */
    lm_err worst;         /* damage, told already */
} surveying;

lm_text lm_view_template_text(const lm_view *view, uint32_t id)
{
    if (id >= lm_archive_template_count(view->archive)) return (lm_text){"", 0};
    return api_text(lm_archive_template_at(view->archive, id)->text);
}

static void time_widen(lm_view_template *item, int64_t first, int64_t last)
{
    if (first > last) return; /* unknown */
    if (item->first_ns == LM_TIME_NONE || first < item->first_ns) item->first_ns = first;
    if (item->last_ns == LM_TIME_NONE || last > item->last_ns) item->last_ns = last;
}

static void items_fill(surveying *work)
{
    const lm_archive *archive = work->view->archive;
    for (size_t i = 0; i < work->count; i++) {
        const lm_archive_template *from = lm_archive_template_at(archive, i);
        work->items[i] = (lm_view_template){.id = (uint32_t)i,
                                            .text = api_text(from->text),
                                            .name = api_text(from->name),
                                            .first_ns = LM_TIME_NONE,
                                            .last_ns = LM_TIME_NONE};
    }
    for (size_t i = 0; i < work->count; i++) {
        const lm_archive_template *from = lm_archive_template_at(archive, i);
        lm_view_template *item = &work->items[lm_archive_template_forward(archive, (uint32_t)i)];
        item->count += from->count;
        time_widen(item, from->first_ns, from->last_ns);
    }
}

static size_t bucket_of(const surveying *work, int64_t at)
{
    if (at < work->low) return 0;
    uint64_t behind = (uint64_t)at - (uint64_t)work->low;
    uint64_t width = work->span / LM_TREND_BUCKETS + 1;
    uint64_t bucket = behind / width;
    return bucket < LM_TREND_BUCKETS ? (size_t)bucket : LM_TREND_BUCKETS - 1;
}

static lm_err segment_survey(surveying *work, size_t index, lm_segment *segment)
{
    const uint32_t *shape_of_row = NULL;
    const int64_t *times = NULL;
    if (lm_segment_is_raw(segment)) return LM_OK;
    lm_err err = lm_segment_rows_load(segment, &shape_of_row);
    if (!err && work->by_time && (work->flags & LM_TEMPLATES_TRENDS))
        err = lm_segment_times(segment, &times);
    if (err) return err;

    const lm_shape *shapes = lm_segment_shapes(segment);
    uint32_t rows = lm_segment_row_count(segment);
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t id = shapes[shape_of_row[row]].template_id;
        if (id >= work->count) continue;
        id = lm_archive_template_forward(work->view->archive, id);
        if (!work->first[id].is_known) work->first[id] = (first_row){index, row, true};
        int64_t at = times ? times[row] : (int64_t)(work->rows_before + row);
        if (times && at == INT64_MIN) continue;
        work->items[id].trend[bucket_of(work, at)]++;
    }
    return LM_OK;
}

/** Text of the first rows that lie in this segment. */
static lm_err segment_examples(surveying *work, size_t index, lm_segment *segment)
{
    lm_buf text;
    lm_buf_init(&text, work->view->context->mem);
    lm_err err = LM_OK;
    for (size_t id = 0; id < work->count && !err; id++) {
        if (!work->first[id].is_known || work->first[id].segment != index) continue;
        text.len = 0;
        err = lm_segment_text_of(segment, &work->first[id].row, 1, &text, NULL);
        if (err || !text.len) continue;
        const char *copy = lm_arena_copy(&work->view->templates, text.ptr, text.len - 1);
        if (!copy)
            err = lm_mem_err();
        else
            work->items[id].example = (lm_text){copy, text.len - 1};
    }
    lm_buf_fini(&text);
    return err;
}

static lm_err survey(surveying *work)
{
    lm_view *view = work->view;
    size_t segments = lm_archive_segment_count(view->archive);
    for (size_t i = 0; i < segments; i++) {
        lm_segment *segment = NULL;
        if (api_is_cancelled(view->context))
            return lm_fail(LM_E_CANCELLED, "stopped while reading templates");
        lm_err err = api_view_segment(view, i, &segment);
        if (!err) err = segment_survey(work, i, segment);
        if (!err && (work->flags & LM_TEMPLATES_EXAMPLES)) err = segment_examples(work, i, segment);
        work->rows_before += lm_archive_segment_at(view->archive, i)->rows;
        if (err && err != LM_E_CORRUPT) return err;
        if (err) {
            api_note_bad(view->context, lm_err_text());
            work->worst = context_end(view->context, err);
        }
    }
    return LM_OK;
}

static int template_compare(const void *a, const void *b)
{
    const lm_view_template *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/** Damage that counting meets is told by the survey when there is one. */
static void note_bad(void *ctx, const char *text)
{
    surveying *work = ctx;
    if (work->flags) return;
    api_note_bad(work->view->context, text);
    work->worst = LM_E_CORRUPT;
}

static lm_err templates(surveying *work, size_t *out_count)
{
    lm_arena *arena = &work->view->templates;
    work->items =
        lm_arena_alloc(arena, work->count * sizeof *work->items, _Alignof(lm_view_template));
    work->first = lm_arena_alloc(arena, work->count * sizeof *work->first, _Alignof(first_row));
    if (!work->items || !work->first) return lm_mem_err();
    if (work->count) memset(work->first, 0, work->count * sizeof *work->first);
    lm_err counted = lm_archive_templates_count(work->view->archive, note_bad, work);
    if (counted) return counted;
    items_fill(work);
    if (work->flags) {
        lm_err err = survey(work);
        if (err) return err;
    }
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++) {
        if (work->items[i].count) work->items[kept++] = work->items[i];
    }
    qsort(work->items, kept, sizeof *work->items, template_compare);
    *out_count = kept;
    return LM_OK;
}

lm_err lm_view_templates(lm_view *view, unsigned flags, const lm_view_template **out,
                         size_t *out_count)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    const lm_view_totals *totals = &view->totals;
    bool by_time = totals->time_min != LM_TIME_NONE && totals->time_max > totals->time_min;
    surveying work = {.view = view,
                      .flags = flags,
                      .count = lm_archive_template_count(view->archive),
                      .by_time = by_time,
                      .low = by_time ? totals->time_min : 0,
                      .span = by_time ? (uint64_t)totals->time_max - (uint64_t)totals->time_min
                                      : totals->lines};
    size_t count = 0;
    lm_arena_reset(&view->templates);
    lm_err err = templates(&work, &count);
    if (err) return context_end(view->context, err);
    *out = work.items;
    *out_count = count;
    return work.worst;
}

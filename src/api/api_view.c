/** A view: numbers, files, segments, text, checks, costs. */
#include "api/api_priv.h"

#include <stdlib.h>

void lm_view_close(lm_view *view)
{
    if (!view) return;
    LM_ASSERT(view->magic == VIEW_MAGIC);
    lm_mem *mem = view->context->mem;
    view->magic = 0;
    lm_segment_close(view->segment);
    lm_arena_fini(&view->costs);
    lm_arena_fini(&view->templates);
    lm_arena_fini(&view->search);
    lm_arena_fini(&view->diff);
    lm_archive_close(view->archive);
    lm_mem_release(mem, view, sizeof *view);
}

bool lm_view_is_archive(const lm_view *view)
{
    return view->is_archive;
}

uint64_t lm_view_files_bad(const lm_view *view)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    return view->files_bad;
}

lm_view_totals lm_view_sum(const lm_view *view)
{
    return view->totals;
}

void api_view_sum(lm_view *view)
{
    lm_view_totals sum = {.archive_bytes = lm_archive_bytes(view->archive),
                          .files = lm_archive_file_count(view->archive),
                          .segments = lm_archive_segment_count(view->archive),
                          .templates = lm_archive_template_count(view->archive),
                          .streams = lm_archive_stream_count(view->archive)};
    int64_t time_min = INT64_MAX, time_max = INT64_MIN;
    for (size_t i = 0; i < sum.files; i++) {
        const lm_archive_file *file = lm_archive_file_at(view->archive, i);
        sum.raw_bytes += file->bytes;
        sum.lines += file->lines;
    }
    for (size_t i = 0; i < sum.segments; i++) {
        const lm_archive_segment *segment = lm_archive_segment_at(view->archive, i);
        if (segment->time_min < time_min) time_min = segment->time_min;
        if (segment->time_max > time_max) time_max = segment->time_max;
    }
    bool is_known = time_min <= time_max;
    sum.time_min = is_known ? time_min : LM_TIME_NONE;
    sum.time_max = is_known ? time_max : LM_TIME_NONE;
    view->totals = sum;
}

/* ---- files and segments ---- */

size_t lm_view_file_count(const lm_view *view)
{
    return lm_archive_file_count(view->archive);
}

static const char *packing_name(lm_packing packing)
{
    switch (packing) {
    case LM_PACKING_GZIP:
        return "gzip";
    case LM_PACKING_ZSTD:
        return "zstd";
    case LM_PACKING_XZ:
        return "xz";
    case LM_PACKING_BZIP2:
        return "bzip2";
    case LM_PACKING_NONE:
        break;
    }
    return "";
}

lm_view_file lm_view_file_at(const lm_view *view, size_t index)
{
    LM_ASSERT(index < lm_archive_file_count(view->archive));
    const lm_archive_file *file = lm_archive_file_at(view->archive, index);
    return (lm_view_file){.name = api_text(file->name),
                          .bytes = file->bytes,
                          .lines = file->lines,
                          .mtime_ns = file->mtime_ns,
                          .mode = file->mode,
                          .packing = packing_name(file->packing)};
}

static bool ends_in_part(lm_str name, lm_str part)
{
    return lm_str_ends(name, part) && name.len > part.len &&
           name.ptr[name.len - part.len - 1] == '/';
}

lm_err lm_view_file_find(lm_view *view, const char *name, size_t *out_index)
{
    lm_str wanted = lm_str_of(name);
    size_t count = lm_archive_file_count(view->archive), ending = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        lm_str have = lm_archive_file_at(view->archive, i)->name;
        if (lm_str_equal(have, wanted)) {
            *out_index = i;
            return LM_OK;
        }
        if (ends_in_part(have, wanted)) {
            ending++;
            found = i;
        }
    }
    if (ending == 1) {
        *out_index = found;
        return LM_OK;
    }
    lm_err err =
        ending ? lm_fail(LM_E_NOTFOUND, "%zu files end in '%s': give the whole name", ending, name)
               : lm_fail(LM_E_NOTFOUND, "there is no file '%s' in the archive", name);
    return context_end(view->context, err);
}

size_t lm_view_segment_count(const lm_view *view)
{
    return lm_archive_segment_count(view->archive);
}

lm_view_segment lm_view_segment_at(const lm_view *view, size_t index)
{
    LM_ASSERT(index < lm_archive_segment_count(view->archive));
    static const char *const levels[] = {"?", "fast", "default", "max"};
    const lm_archive_segment *segment = lm_archive_segment_at(view->archive, index);
    bool has_time = segment->time_min <= segment->time_max;
    return (lm_view_segment){
        .position = segment->offset,
        .bytes = segment->bytes,
        .raw_bytes = segment->raw_bytes,
        .lines = segment->rows,
        .time_min = has_time ? segment->time_min : LM_TIME_NONE,
        .time_max = has_time ? segment->time_max : LM_TIME_NONE,
        .stream = segment->stream,
        .level = levels[segment->level <= LM_LEVEL_MAX ? segment->level : 0],
    };
}

lm_err api_view_segment(lm_view *view, size_t index, lm_segment **out)
{
    if (!view->segment || view->segment_index != index) {
        lm_segment_close(view->segment);
        view->segment = NULL;
        lm_err err = lm_segment_open(view->archive, index, &view->segment);
        if (err) return err;
        view->segment_index = index;
    }
    *out = view->segment;
    return LM_OK;
}

/* ---- text ---- */

typedef struct reader_state {
    lm_view *view;
    lm_bytes_fn take;
    void *take_ctx;
    uint64_t bytes_done;
    uint64_t bytes_total;
    bool is_stopped; /* take said so */
} reader_state;

static lm_err reading_sink(void *ctx, size_t file_index, lm_str bytes)
{
    reader_state *reading = ctx;
    lm_context *context = reading->view->context;
    if (api_is_cancelled(context)) return lm_fail(LM_E_CANCELLED, "stopped while unpacking");
    if (!reading->take(reading->take_ctx, file_index, api_text(bytes))) {
        reading->is_stopped = true;
        return lm_fail(LM_E_CANCELLED, "stopped by the caller");
    }
    reading->bytes_done += bytes.len;
    if (context->options.progress) {
        lm_progress now = {reading->bytes_done, reading->bytes_total, reading->bytes_done};
        context->options.progress(context->options.progress_ctx, &now);
    }
    return LM_OK;
}

lm_err lm_view_read(lm_view *view, size_t file_index, lm_bytes_fn take, void *take_ctx)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    lm_context *context = view->context;
    bool is_all = file_index == LM_ALL_FILES;
    LM_ASSERT(is_all || file_index < lm_archive_file_count(view->archive));
    uint64_t bytes =
        is_all ? view->totals.raw_bytes : lm_archive_file_at(view->archive, file_index)->bytes;
    reader_state reading = {.view = view, .take = take, .take_ctx = take_ctx, .bytes_total = bytes};
    lm_pool *pool = NULL;
    lm_err err = api_pool(context, bytes, &pool);
    if (!err) {
        err = lm_archive_unpack(view->archive, pool, file_index, reading_sink, &reading,
                                api_note_bad, context);
    }
    if (reading.is_stopped) return LM_OK;
    return context_end(context, err);
}

/** First row of the segment that is not before (file, line). Rows are in order of files, and of
 * lines in a file. */
static uint32_t row_from(const lm_segment *segment, size_t file, uint64_t line)
{
    uint32_t low = 0, high = lm_segment_row_count(segment);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        lm_row_place place = lm_segment_place(segment, middle);
        bool is_before = place.file < file || (place.file == file && place.line < line);
        if (is_before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/** Lines [first, last) of the file that are in one segment, and how many rows they are. */
static lm_err segment_lines(lm_view *view, size_t index, size_t file, const uint64_t range[2],
                            lm_buf *text, uint32_t *out_rows)
{
    lm_segment *segment = NULL;
    lm_err err = api_view_segment(view, index, &segment);
    if (err) return err;
    uint32_t begin = row_from(segment, file, range[0]), end = row_from(segment, file, range[1]);
    if (begin < end) err = lm_segment_text(segment, begin, end, text, NULL);
    if (!err) *out_rows = end - begin;
    return err;
}

lm_err lm_view_lines(lm_view *view, size_t file_index, uint64_t first, uint64_t count,
                     lm_bytes_fn take, void *take_ctx)
{
    LM_ASSERT(view->magic == VIEW_MAGIC && file_index < lm_archive_file_count(view->archive));
    lm_context *context = view->context;
    const lm_archive_file *file = lm_archive_file_at(view->archive, file_index);
    if (first == 0) first = 1;
    if (count == 0 || first > file->lines) return LM_OK;
    uint64_t last = count > file->lines - first ? file->lines + 1 : first + count;
    uint64_t left =
        last -
        first; /* rows that did not come yet; segments behind the last of them are not opened */
    size_t segments = lm_archive_segment_count(view->archive);
    lm_err worst = LM_OK;
    lm_buf text;
    lm_buf_init(&text, context->mem);
    for (size_t i = 0; i < segments && left; i++) {
        uint32_t rows = 0;
        text.len = 0;
        lm_err err = segment_lines(view, i, file_index, (uint64_t[]){first, last}, &text, &rows);
        if (err == LM_E_CORRUPT) api_note_bad(context, lm_err_text());
        if (err) worst = context_end(context, err);
        if (err && err != LM_E_CORRUPT) break;
        left -= rows < left ? rows : left;
        if (!left && last > file->lines && file->no_final_newline && text.len) text.len--;
        if (text.len && !take(take_ctx, file_index, (lm_text){(const char *)text.ptr, text.len}))
            break;
    }
    lm_buf_fini(&text);
    return worst;
}

lm_err lm_view_verify(lm_view *view)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    lm_pool *pool = NULL;
    lm_err err = api_pool(view->context, view->totals.archive_bytes, &pool);
    if (!err) err = lm_archive_verify(view->archive, pool, api_note_bad, view->context);
    return context_end(view->context, err);
}

/* ---- costs ---- */

static int cost_compare(const void *a, const void *b)
{
    const lm_view_cost *x = a, *y = b;
    if (x->stored_bytes != y->stored_bytes) return x->stored_bytes < y->stored_bytes ? 1 : -1;
    if (x->plain_bytes != y->plain_bytes) return x->plain_bytes < y->plain_bytes ? 1 : -1;
    int order = strcmp(x->what, y->what);
    return order ? order
                 : lm_str_compare((lm_str){(const uint8_t *)x->name.ptr, x->name.len},
                                  (lm_str){(const uint8_t *)y->name.ptr, y->name.len});
}

lm_err lm_view_costs(lm_view *view, const lm_view_cost **out, size_t *out_count)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    lm_archive_cost *costs = NULL;
    size_t count = 0;
    lm_arena_reset(&view->costs);
    lm_err err =
        lm_archive_costs(view->archive, &view->costs, api_note_bad, view->context, &costs, &count);
    if (err && err != LM_E_CORRUPT) return context_end(view->context, err);
    lm_view_cost *told = lm_arena_alloc(&view->costs, count * sizeof *told, _Alignof(lm_view_cost));
    if (!told) return context_end(view->context, lm_mem_err());
    for (size_t i = 0; i < count; i++) {
        const char *what = lm_arena_copy(&view->costs, costs[i].what.ptr, costs[i].what.len);
        if (!what) return context_end(view->context, lm_mem_err());
        told[i] = (lm_view_cost){.what = what,
                                 .name = api_text(costs[i].name),
                                 .encoding = costs[i].encoding ? costs[i].encoding : "",
                                 .stream = costs[i].stream,
                                 .values = costs[i].values,
                                 .plain_bytes = costs[i].plain_bytes,
                                 .stored_bytes = costs[i].stored_bytes};
    }
    qsort(told, count, sizeof *told, cost_compare);
    *out = told;
    *out_count = count;
    return context_end(view->context, err);
}

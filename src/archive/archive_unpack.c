/** Unpacking, verifying and accounting: the whole archive, segment by segment. */
#include "archive/archive_view.h"
#include <stdio.h>

enum { UNPACK_ROWS = 1024 }; /* what stays in the cache until it is written */

/** The schema of an archive that is one small segment of text is not stored, but learned from it.
 */
static lm_err learn_schema(const lm_archive *archive, lm_schema **out)
{
    const lm_archive_meta *meta = &archive->meta;
    bool is_in_text = !archive->lost && meta->stream_count == 1 && meta->segment_count == 1 &&
                      meta->segments[0].raw_bytes <= LM_LEARNED_BYTES_MAX;
    if (!is_in_text) return LM_E_CORRUPT;
    lm_segment *segment = NULL;
    lm_err err = lm_segment_open(archive, 0, &segment);
    if (err) return err;
    err = lm_segment_is_raw(segment) ? lm_segment_raw_load(segment) : LM_E_CORRUPT;
    if (!err) {
        lm_str text = {segment->raw_text, (size_t)segment->head.raw_bytes};
        err = lm_schema_of_head(archive->mem, (lm_str){0}, text, true, out);
    }
    lm_segment_close(segment);
    return err;
}

const lm_schema *lm_archive_stream_schema(const lm_archive *const_archive, size_t stream)
{
    lm_archive *archive = (lm_archive *)(uintptr_t)const_archive; /* parsed at first use */
    if (stream >= archive->meta.stream_count) return NULL;
    lm_schema **place = &archive->schemas[stream],
              *known = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (known) return known;
    lm_schema *schema = NULL;
    lm_str saved = archive->meta.stream_schemas[stream];
    lm_err err =
        saved.len ? lm_schema_load(archive->mem, saved, &schema) : learn_schema(archive, &schema);
    if (err && err != LM_E_NOMEM && err != LM_E_LIMIT) {
        err = lm_schema_new(archive->mem, &schema); /* without one, lines are messages */
    }
    if (err) return NULL;
    if (__atomic_compare_exchange_n(place, &known, schema, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return schema;
    lm_schema_free(schema); /* another thread was first */
    return known;
}

typedef struct unpack_job {
    const lm_archive *archive;
    size_t file_index;
    lm_err (*sink)(void *ctx, size_t file_index, lm_str bytes);
    void *sink_ctx;
    void (*bad)(void *ctx, const char *text);
    void *bad_ctx;
    bool is_damaged;
} unpack_job;

static void tell(unpack_job *job, const char *text)
{
    job->is_damaged = true;
    if (job->bad) job->bad(job->bad_ctx, text);
}

/** Of a salvaged archive nobody knows what else it held. */
static void tell_lost(unpack_job *job)
{
    if (job->archive->lost) tell(job, job->archive->lost);
}

static lm_err unpack_span(unpack_job *job, lm_segment *segment, const lm_span *span,
                          uint32_t first_row, lm_buf *buf)
{
    uint32_t lost_all = 0;
    for (uint32_t done = 0; done < span->rows;) {
        uint32_t n = span->rows - done < UNPACK_ROWS ? span->rows - done : UNPACK_ROWS;
        uint32_t lost = 0;
        buf->len = 0;
        lm_err err =
            lm_segment_render(segment, first_row + done, first_row + done + n, buf, NULL, &lost);
        if (err) return err;
        done += n;
        lost_all += lost;
        if (done == span->rows && (span->flags & LM_SPAN_OPEN_END) && buf->len && lost < n)
            buf->len--;
        err = job->sink(job->sink_ctx, span->file, (lm_str){buf->ptr, buf->len});
        if (err) return err;
    }
    if (lost_all) {
        char text[LM_PATH_BYTES_MAX];
        lm_str name = span->file < job->archive->meta.file_count
                          ? job->archive->meta.files[span->file].name
                          : (lm_str){0};
        snprintf(text, sizeof text, "%u of the lines %llu to %llu of '%.*s' are lost: %s", lost_all,
                 (unsigned long long)span->first_line,
                 (unsigned long long)span->first_line + span->rows - 1, (int)name.len,
                 (const char *)name.ptr, lm_err_text());
        tell(job, text);
    }
    return LM_OK;
}

static bool has_file(const lm_segment_head *head, size_t file_index)
{
    for (size_t i = 0; i < head->span_count; i++) {
        if (head->spans[i].span.file == file_index) return true;
    }
    return false;
}

static lm_err unpack_segment(unpack_job *job, size_t index, lm_buf *buf)
{
    const lm_archive *archive = job->archive;
    const lm_archive_segment *info = &archive->meta.segments[index];
    if (job->file_index != SIZE_MAX) { /* the head tells whether the segment matters */
        lm_arena arena;
        lm_segment_head head;
        lm_arena_init(&arena, archive->mem);
        lm_err err = lm_head_read((lm_str){archive->map.ptr + info->offset, (size_t)info->bytes},
                                  info->offset, &arena, &head);
        bool is_wanted = err || has_file(&head, job->file_index);
        lm_arena_fini(&arena);
        if (!is_wanted) return LM_OK;
    }
    lm_segment *segment = NULL;
    lm_err err = lm_segment_open(archive, index, &segment);
    uint32_t row = 0;
    for (size_t i = 0; !err && i < segment->head.span_count; i++) {
        const lm_span *span = &segment->head.spans[i].span;
        bool is_wanted = job->file_index == SIZE_MAX || span->file == job->file_index;
        if (is_wanted && span->file < archive->meta.file_count)
            err = unpack_span(job, segment, span, row, buf);
        row += span->rows;
    }
    if (err == LM_E_CORRUPT || err == LM_E_UNSUPPORTED) {
        tell(job, lm_err_text());
        err = LM_OK;
    }
    lm_segment_close(segment);
    return err;
}

lm_err lm_archive_unpack(const lm_archive *archive, lm_pool *pool, size_t file_index,
                         lm_err (*sink)(void *ctx, size_t file_index, lm_str bytes), void *sink_ctx,
                         void (*bad)(void *ctx, const char *text), void *bad_ctx)
{
    (void)pool;
    unpack_job job = {archive, file_index, sink, sink_ctx, bad, bad_ctx, false};
    lm_buf buf;
    tell_lost(&job);
    lm_buf_init(&buf, archive->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; !err && i < archive->meta.segment_count; i++)
        err = unpack_segment(&job, i, &buf);
    lm_buf_fini(&buf);
    if (!err && job.is_damaged)
        err = lm_fail(LM_E_CORRUPT, "'%s' is damaged; what could be read was", archive->path);
    return err;
}

/* ---- verify ---- */

typedef struct verify_job {
    unpack_job job;
    const lm_segment *segment;
} verify_job;

static void verify_column(void *ctx, size_t column, uint64_t offset)
{
    verify_job *verify = ctx;
    char text[LM_PATH_BYTES_MAX + 128];
    snprintf(text, sizeof text,
             "'%s': the block at offset %llu (segment %zu, column %zu) is damaged",
             verify->job.archive->path, (unsigned long long)offset, verify->segment->index, column);
    tell(&verify->job, text);
}

static lm_err verify_segment(verify_job *verify, size_t index)
{
    lm_segment *segment = NULL;
    lm_err err = lm_segment_open(verify->job.archive, index, &segment);
    if (!err) {
        verify->segment = segment;
        lm_str ids = segment->templates_bytes;
        if (ids.len && (uint32_t)lm_hash64(ids.ptr, ids.len) != segment->head.templates_check) {
            uint64_t at = (uint64_t)(ids.ptr - verify->job.archive->map.ptr);
            char text[LM_PATH_BYTES_MAX + 128];
            snprintf(text, sizeof text,
                     "'%s': the template ids of segment %zu at offset %llu are damaged",
                     verify->job.archive->path, index, (unsigned long long)at);
            tell(&verify->job, text);
        }
        err = lm_segment_is_raw(segment)
                  ? lm_segment_raw_check(segment)
                  : lm_columns_verify(segment->columns, verify_column, verify);
        if (err == LM_E_CORRUPT && !lm_segment_is_raw(segment))
            err = LM_OK; /* told by verify_column */
    }
    if (err == LM_E_CORRUPT || err == LM_E_UNSUPPORTED) {
        tell(&verify->job, lm_err_text());
        err = LM_OK;
    }
    lm_segment_close(segment);
    return err;
}

lm_err lm_archive_verify(const lm_archive *archive, lm_pool *pool,
                         void (*bad)(void *ctx, const char *text), void *bad_ctx)
{
    (void)pool;
    verify_job verify = {.job = {.archive = archive, .bad = bad, .bad_ctx = bad_ctx}};
    lm_err err = LM_OK;
    tell_lost(&verify.job);
    for (size_t i = 0; !err && i < archive->meta.segment_count; i++)
        err = verify_segment(&verify, i);
    if (!err && verify.job.is_damaged)
        err = lm_fail(LM_E_CORRUPT, "'%s' is damaged", archive->path);
    return err;
}

/* ---- costs ---- */

typedef struct cost_list {
    lm_mem *mem;
    lm_archive_cost *items;
    size_t count, cap;
} cost_list;

static lm_err push_cost(cost_list *list, const lm_archive_cost *cost)
{
    lm_err err =
        lm_vec_grow(list->mem, &list->items, &list->cap, list->count + 1, sizeof *list->items);
    if (err) return err;
    list->items[list->count++] = *cost;
    return LM_OK;
}

/** What a person can call a column: the text before it in the first shape that has it. */
static lm_err column_name(lm_segment *segment, size_t role, lm_arena *arena, lm_str *out)
{
    *out = (lm_str){0};
    for (size_t s = 0; s < segment->shapes.count; s++) {
        const lm_shape *view = &segment->views[s];
        for (uint32_t p = 0; p < view->piece_count; p++) {
            if (view->pieces[p].column != (int32_t)role) continue;
            lm_str before = p ? view->pieces[p - 1].text : (lm_str){0};
            if (!before.len) return LM_OK; /* at the line's begin, or behind another variable */
            size_t keep = before.len < 24 ? before.len : 24;
            void *copy = lm_arena_copy(arena, before.ptr + before.len - keep, keep);
            if (!copy) return lm_mem_err();
            *out = (lm_str){copy, keep};
            return LM_OK;
        }
    }
    return LM_OK;
}

static lm_err cost_of(cost_list *list, lm_segment *segment, size_t column, const char *what,
                      lm_str name)
{
    lm_column_cost cost = lm_columns_cost(segment->columns, column);
    return push_cost(list,
                     &(lm_archive_cost){.stream = segment->head.stream,
                                        .what = lm_str_of(what),
                                        .name = name,
                                        .values = lm_columns_info(segment->columns, column)->count,
                                        .plain_bytes = cost.plain_bytes,
                                        .stored_bytes = cost.stored_bytes,
                                        .encoding = cost.encoding});
}

static lm_err segment_costs(cost_list *list, lm_segment *segment, lm_arena *arena)
{
    static const char *const fixed[LM_SEG_FIXED_COUNT] = {
        "shapes", "shape ids", "index", "rare values", "index", "index", "marks"};
    uint32_t stream = segment->head.stream;
    lm_err err = push_cost(list, &(lm_archive_cost){.stream = stream,
                                                    .what = LM_STR("index"),
                                                    .stored_bytes = segment->head.head_bytes +
                                                                    segment->head.templates_bytes +
                                                                    segment->head.directory_bytes,
                                                    .encoding = "directory"});
    if (!err && lm_segment_is_raw(segment)) {
        return push_cost(list, &(lm_archive_cost){.stream = stream,
                                                  .what = LM_STR("raw"),
                                                  .values = segment->head.rows,
                                                  .plain_bytes = segment->head.raw_bytes,
                                                  .stored_bytes = segment->head.blocks_bytes,
                                                  .encoding = "text"});
    }
    for (size_t c = 0; !err && c < LM_SEG_FIXED_COUNT; c++)
        err = cost_of(list, segment, c, fixed[c], (lm_str){0});
    for (size_t r = 0; !err && r < segment->role_count; r++) {
        const lm_role_format *format = &segment->roles[r].format;
        if (format->class_count == 0) continue;
        lm_str name;
        err = column_name(segment, r, arena, &name);
        size_t end = lm_columns_count(segment->columns);
        for (size_t next = r + 1; next < segment->role_count; next++) {
            if (!segment->roles[next].format.class_count) continue;
            end = segment->roles[next].format.first_column;
            break;
        }
        for (size_t c = format->first_column; !err && c < end; c++)
            err = cost_of(list, segment, c, "column", name);
    }
    return err;
}

/** A segment's costs; one that cannot be read costs all its bytes. */
static lm_err add_segment(cost_list *list, const lm_archive *archive, size_t index, lm_arena *arena)
{
    lm_segment *segment = NULL;
    size_t before = list->count;
    lm_err err = lm_segment_open(archive, index, &segment);
    if (!err) err = segment_costs(list, segment, arena);
    lm_segment_close(segment);
    if (err != LM_E_CORRUPT && err != LM_E_UNSUPPORTED) return err;
    list->count = before;
    lm_err pushed =
        push_cost(list, &(lm_archive_cost){.stream = archive->meta.segments[index].stream,
                                           .what = LM_STR("damaged"),
                                           .values = archive->meta.segments[index].rows,
                                           .plain_bytes = archive->meta.segments[index].raw_bytes,
                                           .stored_bytes = archive->meta.segments[index].bytes,
                                           .encoding = "unreadable"});
    return pushed ? pushed : LM_E_CORRUPT;
}

lm_err lm_archive_costs(const lm_archive *archive, lm_arena *arena,
                        void (*bad)(void *ctx, const char *text), void *bad_ctx,
                        lm_archive_cost **out, size_t *out_count)
{
    cost_list list = {.mem = archive->mem};
    lm_err err = LM_OK;
    uint64_t segments_bytes = 0;
    bool is_damaged = false;
    for (size_t i = 0; !err && i < archive->meta.segment_count; i++) {
        segments_bytes += archive->meta.segments[i].bytes;
        err = add_segment(&list, archive, i, arena);
        if (err != LM_E_CORRUPT) continue;
        if (bad) bad(bad_ctx, lm_err_text());
        is_damaged = true;
        err = LM_OK;
    }
    if (!err) {
        err = push_cost(&list, &(lm_archive_cost){.what = LM_STR("meta"),
                                                  .plain_bytes = archive->meta_len,
                                                  .stored_bytes = archive->map.len - segments_bytes,
                                                  .encoding = "files, schemas, templates"});
    }
    lm_archive_cost *items =
        err ? NULL : lm_arena_alloc(arena, list.count * sizeof *items, _Alignof(lm_archive_cost));
    if (!err && !items) err = lm_mem_err();
    if (!err) {
        memcpy(items, list.items, list.count * sizeof *items);
        *out = items;
        *out_count = list.count;
    }
    lm_mem_release(archive->mem, list.items, list.cap * sizeof *list.items);
    if (err || !is_damaged) return err;
    return lm_fail(LM_E_CORRUPT, "'%s' is damaged; what could be read was counted", archive->path);
}

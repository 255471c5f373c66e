/** Formats and fields, learned from all lines of a log or of an archive's streams. */
#include "api/api_priv.h"

#include <stdio.h>

typedef struct field_list {
    lm_view_field *items;
    size_t cap;
} field_list;

static lm_err format_tell(lm_context *context, const lm_schema *schema, size_t index,
                          lm_text source, const lm_schema_job *job, field_list *fields)
{
    lm_schema_format format = lm_schema_format_at(schema, index);
    lm_err err = lm_vec_grow(context->mem, &fields->items, &fields->cap, format.field_count,
                             sizeof *fields->items);
    if (err) return err;
    for (size_t i = 0; i < format.field_count; i++) {
        const lm_schema_field *from = &format.fields[i];
        fields->items[i] = (lm_view_field){
            .name = api_text(from->name),
            .type = lm_type_name(from->type),
            .detail = api_text(from->detail),
            .count = from->count,
            .distinct = from->distinct,
            .examples = {api_text(from->examples[0]), api_text(from->examples[1]),
                         api_text(from->examples[2])},
        };
    }
    lm_view_format told = {
        .source = source,
        .name = api_text(format.name),
        .pattern = api_text(format.pattern),
        .lines = format.lines,
        .lines_total = lm_schema_line_count(schema),
        .fields = fields->items,
        .field_count = format.field_count,
    };
    if (job->format) job->format(job->ctx, &told);
    return LM_OK;
}

static lm_err schema_tell(lm_context *context, const lm_schema *schema, lm_text source,
                          const lm_schema_job *job)
{
    field_list fields = {0};
    lm_err err = LM_OK;
    size_t formats = lm_schema_format_count(schema);
    for (size_t i = 0; i < formats && !err; i++)
        err = format_tell(context, schema, i, source, job, &fields);
    size_t conflicts = job->conflict ? lm_schema_conflict_count(schema) : 0;
    for (size_t i = 0; i < conflicts && !err; i++)
        job->conflict(job->ctx, api_text(lm_schema_conflict_at(schema, i)));
    lm_mem_release(context->mem, fields.items, fields.cap * sizeof *fields.items);
    return err;
}

/** Rows are learned in batches of this many. */
#define LEARN_ROWS 4096u

/** Learn the lines of one segment. text and ends have room that is used again. */
static lm_err segment_learn(const lm_archive *archive, size_t index, lm_schema *schema,
                            lm_buf *text)
{
    lm_segment *segment = NULL;
    static const size_t batch_bytes = LEARN_ROWS * (sizeof(lm_str) + sizeof(size_t));
    lm_str *lines = lm_mem_alloc(text->mem, batch_bytes);
    if (!lines) return lm_mem_err();
    size_t *ends = (size_t *)(lines + LEARN_ROWS);
    lm_err err = lm_segment_open(archive, index, &segment);
    uint32_t rows = err ? 0 : lm_segment_row_count(segment);
    for (uint32_t row = 0; row < rows && !err; row += LEARN_ROWS) {
        uint32_t end = rows - row < LEARN_ROWS ? rows : row + LEARN_ROWS;
        text->len = 0;
        err = lm_segment_text(segment, row, end, text, ends);
        for (uint32_t i = 0; i < end - row && !err; i++) {
            size_t begin = i ? ends[i - 1] : 0;
            lines[i] = (lm_str){text->ptr + begin, ends[i] - begin - 1};
        }
        if (!err) err = lm_schema_learn(schema, lines, end - row);
    }
    lm_segment_close(segment);
    lm_mem_release(text->mem, lines, batch_bytes);
    return err;
}

/** "stream 1: app.log and others": after its first file. */
static void stream_name(const lm_archive *archive, size_t stream, char *dst, size_t cap)
{
    uint32_t first = UINT32_MAX, last = UINT32_MAX;
    for (size_t i = 0; i < lm_archive_segment_count(archive); i++) {
        lm_segment *segment = NULL;
        uint32_t rows = lm_archive_segment_at(archive, i)->rows;
        if (lm_archive_segment_at(archive, i)->stream != stream || rows == 0) continue;
        if (lm_segment_open(archive, i, &segment)) continue; /* said when it is read */
        if (first == UINT32_MAX) first = lm_segment_place(segment, 0).file;
        last = lm_segment_place(segment, rows - 1).file;
        lm_segment_close(segment);
    }
    lm_str name = {NULL, 0};
    if (first < lm_archive_file_count(archive)) name = lm_archive_file_at(archive, first)->name;
    (void)snprintf(dst, cap, "stream %zu%s%.*s%s", stream, name.len ? ": " : "", (int)name.len,
                   (const char *)name.ptr, last != first ? " and others" : "");
}

/** What a stream's lines are made of. An archive keeps what was learned from its first lines while
 * it was packed; all of them are read here, so that counts and examples are those of the whole. */
static lm_err stream_tell(lm_context *context, const lm_archive *archive, size_t stream,
                          const lm_schema_job *job)
{
    char name[512];
    lm_schema *schema = NULL;
    lm_buf text;
    lm_buf_init(&text, context->mem);
    lm_err err = lm_schema_new(context->mem, &schema), damage = LM_OK;
    if (!err && job->schema_yaml) err = lm_schema_configure(schema, lm_str_of(job->schema_yaml));
    for (size_t i = 0; i < lm_archive_segment_count(archive) && !err; i++) {
        if (lm_archive_segment_at(archive, i)->stream != stream) continue;
        if (api_is_cancelled(context))
            err = lm_fail(LM_E_CANCELLED, "stopped while reading an archive");
        if (!err) err = segment_learn(archive, i, schema, &text);
        if (err != LM_E_CORRUPT) continue;
        api_note_bad(context, lm_err_text());
        damage = context_end(context, err);
        err = LM_OK;
    }
    stream_name(archive, stream, name, sizeof name);
    if (!err) err = schema_tell(context, schema, (lm_text){name, strlen(name)}, job);
    lm_schema_free(schema);
    lm_buf_fini(&text);
    return err ? err : damage;
}

static lm_err of_archive(lm_context *context, const char *path, const lm_schema_job *job)
{
    lm_archive *archive = NULL;
    lm_err err = lm_archive_open(context->mem, path, false, &archive);
    if (err) return err;
    size_t streams = lm_archive_stream_count(archive);
    for (size_t i = 0; i < streams && !err; i++)
        err = stream_tell(context, archive, i, job);
    lm_archive_close(archive);
    return err;
}

static lm_err learn(void *ctx, const lm_str *lines, size_t count)
{
    return lm_schema_learn(ctx, lines, count);
}

static lm_err of_log(lm_context *context, const char *path, const lm_schema_job *job)
{
    lm_schema *schema = NULL;
    lm_err err = lm_schema_new(context->mem, &schema);
    if (!err && job->schema_yaml) err = lm_schema_configure(schema, lm_str_of(job->schema_yaml));
    if (!err) err = api_each_lines(context, path, learn, schema);
    if (!err) err = schema_tell(context, schema, (lm_text){path, strlen(path)}, job);
    lm_schema_free(schema);
    return err;
}

typedef struct schema_work {
    lm_context *context;
    const lm_schema_job *job;
    size_t bad; /* logs that were told to note() */
} schema_work;

static lm_err schema_take(void *ctx, const char *const *paths, size_t path_count, bool is_archive)
{
    schema_work *work = ctx;
    lm_err err = LM_OK;
    for (size_t i = 0; i < path_count && !err; i++) {
        err = is_archive ? of_archive(work->context, paths[i], work->job)
                         : of_log(work->context, paths[i], work->job);
        bool is_last = is_archive || path_count == 1;
        if (is_last || (err != LM_E_IO && err != LM_E_CORRUPT)) continue;
        api_note_bad(work->context, lm_err_text()); /* the others are told all the same */
        work->bad++;
        err = LM_OK;
    }
    return err;
}

lm_err lm_schema_of(lm_context *context, const char *path, const lm_schema_job *job)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    if (job->struct_bytes < sizeof *job) {
        return context_end(context,
                           lm_fail(LM_E_USAGE, "struct_bytes of lm_schema_job is not set"));
    }
    schema_work work = {context, job, 0};
    lm_err err = lm_inputs_each(context, &path, 1, schema_take, &work);
    if (err || work.bad == 0) return err;
    return context_end(
        context, lm_fail(LM_E_IO, "%zu of the files in '%s' could not be read", work.bad, path));
}

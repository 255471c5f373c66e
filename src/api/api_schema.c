/** Formats and fields: learned from a log, or as an archive keeps them. */
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

static lm_err of_archive(lm_context *context, const char *path, const lm_schema_job *job)
{
    lm_archive *archive = NULL;
    lm_err err = lm_archive_open(context->mem, path, false, &archive);
    if (err) return err;
    size_t streams = lm_archive_stream_count(archive);
    for (size_t i = 0; i < streams && !err; i++) {
        char name[48];
        int len = snprintf(name, sizeof name, "stream %zu", i);
        const lm_schema *schema = lm_archive_stream_schema(archive, i);
        if (schema) err = schema_tell(context, schema, (lm_text){name, (size_t)len}, job);
    }
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
} schema_work;

static lm_err schema_take(void *ctx, const char *const *paths, size_t path_count, bool is_archive)
{
    schema_work *work = ctx;
    lm_err err = LM_OK;
    for (size_t i = 0; i < path_count && !err; i++) {
        err = is_archive ? of_archive(work->context, paths[i], work->job)
                         : of_log(work->context, paths[i], work->job);
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
    schema_work work = {context, job};
    return lm_inputs_each(context, &path, 1, schema_take, &work);
}

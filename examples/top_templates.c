/*
 * What does this log say? Prints the ten most frequent templates of a log or an archive, and the
 * fields of its lines.
 *
 *     top_templates LOG|ARCHIVE
 */
#include <logmill/logmill.h>

#include <stdio.h>

static void print_format(void *ctx, const lm_view_format *format)
{
    (void)ctx;
    printf("format %.*s:", (int)format->name.len, format->name.ptr);
    for (size_t i = 0; i < format->field_count; i++) {
        const lm_view_field *field = &format->fields[i];
        printf(" %.*s (%s)", (int)field->name.len, field->name.ptr, field->type);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    lm_context *context = NULL;
    lm_view *view = NULL;
    const lm_view_template *templates = NULL;
    size_t count = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: %s LOG|ARCHIVE\n", argv[0]);
        return 2;
    }

    lm_err err = lm_context_new(NULL, &context);
    if (!err) {
        lm_schema_job job = LM_SCHEMA_JOB_INIT;
        job.format = print_format;
        err = lm_schema_of(context, argv[1], &job);
    }
    if (!err) err = lm_view_open(context, argv[1], 0, &view);
    if (!err) err = lm_view_templates(view, LM_TEMPLATES_EXAMPLES, &templates, &count);
    for (size_t i = 0; i < count && i < 10; i++) {
        printf("%8llu  %.*s\n", (unsigned long long)templates[i].count, (int)templates[i].text.len,
               templates[i].text.ptr);
        printf("          e.g. %.*s\n", (int)templates[i].example.len, templates[i].example.ptr);
    }

    if (err) fprintf(stderr, "%s\n", lm_last_error(context).text);
    lm_view_close(view);
    lm_context_free(context);
    return err ? 1 : 0;
}

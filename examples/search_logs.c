/*
 * Pack a log, then ask the archive: prints the matching lines with their numbers, and how many
 * there were.
 *
 *     search_logs LOG ARCHIVE QUERY
 *     search_logs app.log app.lm 'level>=warn |= "timeout"'
 */
#include <logmill/logmill.h>

#include <stdio.h>

static bool print_hit(void *ctx, const lm_hit *hit)
{
    (void)ctx;
    printf("%llu: %.*s\n", (unsigned long long)hit->line, (int)hit->text.len, hit->text.ptr);
    return true; /* false would end the search here */
}

static void print_note(void *ctx, lm_note_level level, const char *text)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "note: %s\n", text);
}

int main(int argc, char **argv)
{
    lm_context *context = NULL;
    lm_view *view = NULL;
    lm_answer answer;
    if (argc != 4) {
        fprintf(stderr, "usage: %s LOG ARCHIVE QUERY\n", argv[0]);
        return 2;
    }

    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.note = print_note;
    lm_err err = lm_context_new(&options, &context);

    if (!err) {
        const char *inputs[] = {argv[1]};
        lm_pack_job job = LM_PACK_JOB_INIT;
        lm_pack_result packed;
        job.inputs = inputs;
        job.input_count = 1;
        job.output = argv[2];
        job.replace = true;
        err = lm_pack(context, &job, &packed);
        if (!err) {
            printf("%llu bytes became %llu\n", (unsigned long long)packed.bytes_in,
                   (unsigned long long)packed.bytes_out);
        }
    }

    if (!err) err = lm_view_open(context, argv[2], LM_VIEW_ARCHIVE_ONLY, &view);
    if (!err) {
        lm_question question = LM_QUESTION_INIT;
        question.query = argv[3];
        err = lm_view_search(view, &question, print_hit, NULL, &answer);
    }
    if (!err)
        printf("%llu of %llu lines\n", (unsigned long long)answer.matches,
               (unsigned long long)answer.lines_total);

    if (err) fprintf(stderr, "%s\n", lm_last_error(context).text);
    lm_view_close(view); /* views before their context */
    lm_context_free(context);
    return err ? 1 : 0;
}

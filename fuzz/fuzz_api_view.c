/**
 * Any bytes as an archive, behind the public library: what the commands ask of one, of which rows
 * around a match, records, lines by their numbers, names of files and examples of templates go by
 * more than one of its lists. These must agree, or be refused.
 */
#include "archive_edits.h"
#include "logmill/logmill.h"

#define MEMORY ((uint64_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_expected(lm_err err)
{
    return err == LM_ERR_NONE || err == LM_ERR_CORRUPT || err == LM_ERR_LIMIT ||
           err == LM_ERR_UNSUPPORTED;
}

static bool take_bytes(void *ctx, size_t file_index, lm_text bytes)
{
    (void)lm_view_file_at(ctx, file_index);
    (void)lm_chars_of_text((lm_str){(const uint8_t *)bytes.ptr, bytes.len});
    return true;
}

static bool take_hit(void *ctx, const lm_hit *hit)
{
    lm_text name = lm_view_file_at(ctx, hit->file_index).name;
    (void)lm_chars_of_text((lm_str){(const uint8_t *)name.ptr, name.len});
    (void)lm_chars_of_text((lm_str){(const uint8_t *)hit->text.ptr, hit->text.len});
    (void)lm_view_template_text(ctx, hit->template_id);
    return true;
}

static void search(lm_view *view, const lm_question *question)
{
    lm_answer answer;
    LM_ASSERT(is_expected(lm_view_search(view, question, take_hit, view, &answer)));
}

static void search_all_ways(lm_view *view)
{
    lm_question q = LM_QUESTION_INIT;
    q.query = "|= \"13\" or level>=warn";
    q.context_before = q.context_after = 2;
    q.want_fields = true;
    search(view, &q);
    q.context_before = q.context_after = 0;
    q.query = "{file=\"a.log\"} |~ \"i[nd]\"";
    q.whole_records = q.newest_first = true;
    search(view, &q);
    q = (lm_question)LM_QUESTION_INIT;
    q.query = "code";
    q.limit = 3;
    q.follow_templates = true;
    search(view, &q);
    q.follow_templates = false;
    q.tally_by = LM_TALLY_FIELD;
    q.tally_field = "level";
    search(view, &q);
}

static void ask(lm_context *context, const char *path, unsigned flags)
{
    lm_view *view = NULL;
    const lm_view_template *templates;
    const lm_view_cost *costs;
    size_t count;
    lm_err err = lm_view_open(context, path, flags, &view);
    LM_ASSERT(is_expected(err));
    if (err) return;
    for (size_t i = 0; i < lm_view_file_count(view) && i < 4; i++) {
        uint64_t lines = lm_view_file_at(view, i).lines;
        LM_ASSERT(is_expected(lm_view_lines(view, i, 1, 3, take_bytes, view)));
        LM_ASSERT(is_expected(lm_view_lines(view, i, lines / 2, 20, take_bytes, view)));
        LM_ASSERT(is_expected(lm_view_lines(view, i, lines, 3, take_bytes, view)));
    }
    for (size_t i = 0; i < lm_view_segment_count(view); i++)
        (void)lm_view_segment_at(view, i);
    LM_ASSERT(is_expected(
        lm_view_templates(view, LM_TEMPLATES_EXAMPLES | LM_TEMPLATES_TRENDS, &templates, &count)));
    LM_ASSERT(is_expected(lm_view_costs(view, &costs, &count)));
    search_all_ways(view);
    lm_view_close(view);
}

static void format(void *ctx, const lm_view_format *format)
{
    (void)ctx;
    (void)lm_chars_of_text((lm_str){(const uint8_t *)format->name.ptr, format->name.len});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    lm_mem *mem = NULL;
    lm_context *context = NULL;
    lm_buf archive;
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    lm_schema_job job = LM_SCHEMA_JOB_INIT;
    options.memory_bytes = MEMORY;
    options.threads = 1;
    job.format = format;
    LM_ASSERT(lm_mem_new(NULL, 0, &mem) == LM_OK);
    lm_buf_init(&archive, mem);
    archive_of(mem, data, size, &archive);
    LM_ASSERT(lm_context_new(&options, &context) == LM_ERR_NONE);
    int fd = file_of(archive.ptr, archive.len, path);
    ask(context, path, LM_VIEW_ARCHIVE_ONLY);
    LM_ASSERT(is_expected(lm_schema_of(context, path, &job)));
    close(fd);
    fd = file_of(archive.ptr, archive.len - 1, path);
    ask(context, path, LM_VIEW_ARCHIVE_ONLY | LM_VIEW_SALVAGE);
    close(fd);
    LM_ASSERT(lm_context_memory_peak(context) <= MEMORY);
    lm_context_free(context);
    lm_buf_fini(&archive);
    lm_mem_free(mem);
    return 0;
}

/** Any text cut into records: they stand one behind the other, nothing is left out, and cutting in
 * two steps gives the same lines. */
#include "source/source_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t cut(lm_lines *lines, lm_str text, lm_lines_end end, lm_record_batch *batch)
{
    size_t used = 0;
    lm_lines_cut_options options = {.end = end, .now_ns = 1, .bytes_max = 4096};
    LM_ASSERT(lm_lines_cut(lines, text, &options, batch, &used) == LM_OK);
    LM_ASSERT(used <= text.len);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_formats *formats = NULL;
    lm_lines *lines = NULL;
    lm_record_batch batch;
    uint32_t stream;
    if (size < 1) return 0;
    lm_str text = {data + 1, size - 1};
    LM_ASSERT(lm_mem_new(NULL, 0, &mem) == LM_OK);
    LM_ASSERT(lm_formats_new(mem, &formats) == LM_OK);
    LM_ASSERT(lm_lines_new(formats, data[0] & 1, LM_STR(""), &lines) == LM_OK);
    LM_ASSERT(lm_lines_learn(lines, text) == LM_OK);
    lm_record_batch_init(&batch, mem);
    LM_ASSERT(lm_record_batch_stream(&batch, (lm_labels){0}, &stream) == LM_OK);
    size_t used = cut(lines, text, data[0] & 2 ? LM_LINES_HOLD : LM_LINES_WHOLE, &batch);
    lm_str rest = {text.ptr + used, text.len - used};
    LM_ASSERT(cut(lines, rest, LM_LINES_ALL, &batch) == rest.len);
    const uint8_t *at = text.ptr;
    for (size_t i = 0; i < batch.record_count; i++) { /* only line ends lie between */
        lm_str line = batch.records[i].line;
        LM_ASSERT(line.ptr >= at && line.ptr + line.len <= text.ptr + text.len);
        for (; at < line.ptr; at++)
            LM_ASSERT(*at == '\n' || *at == '\r');
        at = line.ptr + line.len;
    }
    for (; at < text.ptr + text.len; at++)
        LM_ASSERT(*at == '\n' || *at == '\r');
    lm_record_batch_fini(&batch);
    lm_lines_free(lines);
    lm_formats_free(formats);
    lm_mem_free(mem);
    return 0;
}

/**
 * Any bytes as an archive: opened and salvaged, every segment asked everything, unpacked, verified.
 * Also with its end cut off, when the heads are all there is to go by.
 */
#include "archive_edits.h"

enum { LIMIT = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_column(lm_segment *segment, size_t c)
{
    uint8_t room[LM_VALUE_ROOM];
    const lm_values *values = NULL;
    const lm_str *texts = NULL;
    uint32_t text_count = 0;
    uint16_t layout;
    (void)lm_segment_stamp(segment, c);
    (void)lm_segment_column_may_contain(segment, c, LM_STR("abc"));
    (void)lm_segment_column_may(segment, c, LM_STR("1.2"), LM_AT_BEGIN | LM_AT_END);
    (void)lm_segment_column_is_time(segment, c, &layout);
    if (lm_segment_column_texts(segment, c, &texts, &text_count)) {
        for (uint32_t i = 0; i < text_count; i++)
            (void)lm_chars_of_text(texts[i]);
    }
    if (lm_segment_values(segment, c, &values) != LM_OK) return;
    for (uint32_t i = 0; i < lm_values_count(values); i++) {
        lm_str text = lm_values_text(values, i, room);
        (void)lm_chars_of_text(text);
    }
}

static void ask_segment(const lm_archive *archive, size_t index, lm_buf *buf)
{
    lm_segment *segment = NULL;
    if (lm_segment_open(archive, index, &segment) != LM_OK) return;
    uint32_t rows = lm_segment_row_count(segment);
    const int64_t *times = NULL;
    const uint64_t *bits = NULL;
    lm_str pool;
    lm_err err = lm_segment_times(segment, &times); /* any answer will do, here and below */
    err = lm_segment_continuations(segment, &bits);
    if (!lm_segment_is_raw(segment)) err = lm_segment_pool(segment, &pool);
    for (size_t c = 0; c < lm_segment_column_count(segment); c++)
        ask_column(segment, c);
    buf->len = 0;
    err = lm_segment_text(segment, rows / 2, rows, buf, NULL);
    buf->len = 0;
    err = lm_segment_text(segment, 0, rows < 100 ? rows : 100, buf, NULL);
    (void)err;
    if (rows) (void)lm_segment_place(segment, rows - 1);
    lm_segment_close(segment);
}

static lm_err swallow(void *ctx, size_t file_index, lm_str bytes)
{
    (void)ctx;
    (void)file_index;
    (void)lm_chars_of_text(bytes);
    return LM_OK;
}

static void read_archive(const uint8_t *bytes, size_t len, bool is_salvage)
{
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    lm_buf buf;
    char path[64];
    int fd = file_of(bytes, len, path);
    LM_ASSERT(lm_mem_new(NULL, LIMIT, &mem) == LM_OK);
    lm_buf_init(&buf, mem);
    lm_err err = lm_archive_open(mem, path, is_salvage, &archive);
    LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_UNSUPPORTED || err == LM_E_LIMIT ||
              err == LM_E_IO);
    if (!err) {
        for (size_t i = 0; i < lm_archive_segment_count(archive); i++)
            ask_segment(archive, i, &buf);
        err = lm_archive_unpack(archive, NULL, SIZE_MAX, swallow, NULL, NULL, NULL);
        LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
        err = lm_archive_verify(archive, NULL, NULL, NULL);
        LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
        for (size_t i = 0; i < lm_archive_stream_count(archive); i++)
            (void)lm_archive_stream_schema(archive, i);
        for (size_t i = 0; i < lm_archive_template_count(archive); i++)
            (void)lm_archive_template_at(archive, i);
        err = lm_archive_templates_count(archive, NULL, NULL);
        LM_ASSERT(err == LM_OK || err == LM_E_LIMIT);
    }
    lm_archive_close(archive);
    lm_buf_fini(&buf);
    LM_ASSERT(lm_mem_used(mem) == 0 && lm_mem_peak(mem) <= LIMIT);
    lm_mem_free(mem);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_buf archive;
    LM_ASSERT(lm_mem_new(NULL, 0, &mem) == LM_OK);
    lm_buf_init(&archive, mem);
    archive_of(mem, data, size, &archive);
    read_archive(archive.ptr, archive.len, false);
    read_archive(archive.ptr, archive.len - 1, true);
    lm_buf_fini(&archive);
    lm_mem_free(mem);
    return 0;
}

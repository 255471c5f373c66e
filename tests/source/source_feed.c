/**
 * Not a test: what the tests kill. Follows files into a sink that is one file, in which each batch
 * stands as a whole or not at all: length, checksum, then checkpoints and lines.
 *
 *     source_feed SINK GLOB...
 *
 * Ends when standard input does. `source_feed --dump SINK` prints the lines of whole batches.
 */
#include "source/source.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct file_sink {
    pthread_mutex_t lock;
    int fd;
    lm_mem *mem;
    lm_buf text; /* everything so far */
} file_sink;

static void put_text(lm_buf *out, lm_str s)
{
    LM_ASSERT(lm_buf_le32(out, (uint32_t)s.len) == LM_OK);
    LM_ASSERT(lm_buf_append(out, s.ptr, s.len) == LM_OK);
}

static lm_err sink_put(void *self, lm_str tenant, const lm_record_batch *batch,
                       const lm_checkpoint *checkpoints, size_t checkpoint_count, lm_put_done done,
                       void *done_ctx)
{
    file_sink *sink = self;
    lm_buf body, whole;
    (void)tenant;
    pthread_mutex_lock(&sink->lock);
    lm_buf_init(&body, sink->mem);
    lm_buf_init(&whole, sink->mem);
    LM_ASSERT(lm_buf_le32(&body, (uint32_t)checkpoint_count) == LM_OK);
    for (size_t i = 0; i < checkpoint_count; i++) {
        put_text(&body, checkpoints[i].key);
        put_text(&body, checkpoints[i].value);
    }
    LM_ASSERT(lm_buf_le32(&body, (uint32_t)batch->record_count) == LM_OK);
    for (size_t i = 0; i < batch->record_count; i++)
        put_text(&body, batch->records[i].line);
    LM_ASSERT(lm_buf_le64(&whole, body.len) == LM_OK);
    LM_ASSERT(lm_buf_le64(&whole, lm_hash64(body.ptr, body.len)) == LM_OK);
    LM_ASSERT(lm_buf_append(&whole, body.ptr, body.len) == LM_OK);
    ssize_t wrote = write(sink->fd, whole.ptr, whole.len);
    LM_ASSERT(wrote == (ssize_t)whole.len);
    LM_ASSERT(lm_buf_append(&sink->text, whole.ptr, whole.len) == LM_OK);
    lm_buf_fini(&body);
    lm_buf_fini(&whole);
    pthread_mutex_unlock(&sink->lock);
    done(done_ctx, LM_OK);
    return LM_OK;
}

static lm_str take_text(lm_reader *r)
{
    return lm_reader_bytes(r, lm_reader_le32(r));
}

/** Walks whole batches; *out_good is where they end. */
static void walk(const file_sink *sink, lm_str key, lm_str *out_value, bool is_dump,
                 size_t *out_good)
{
    size_t at = 0;
    while (sink->text.len - at >= 16) {
        uint64_t len = lm_le64(sink->text.ptr + at), sum = lm_le64(sink->text.ptr + at + 8);
        if (len > sink->text.len - at - 16) break;
        if (lm_hash64(sink->text.ptr + at + 16, (size_t)len) != sum) break;
        lm_reader r = lm_reader_of(sink->text.ptr + at + 16, (size_t)len);
        for (uint32_t left = lm_reader_le32(&r); left; left--) {
            lm_str name = take_text(&r), value = take_text(&r);
            if (key.len && lm_str_equal(name, key)) *out_value = value;
        }
        for (uint32_t left = lm_reader_le32(&r); left; left--) {
            lm_str line = take_text(&r);
            if (!is_dump) continue;
            fwrite(line.ptr, 1, line.len, stdout);
            putchar('\n');
        }
        at += 16 + (size_t)len;
    }
    if (out_good) *out_good = at;
}

static lm_err sink_checkpoint(void *self, lm_str key, lm_buf *out)
{
    file_sink *sink = self;
    lm_str value = {NULL, 0};
    pthread_mutex_lock(&sink->lock);
    walk(sink, key, &value, false, NULL);
    lm_err err = value.len ? lm_buf_append(out, value.ptr, value.len) : LM_E_NOTFOUND;
    pthread_mutex_unlock(&sink->lock);
    return err;
}

static void note(void *ctx, int level, const char *event, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%d %s: %s\n", level, event, text);
}

int main(int argc, char **argv)
{
    file_sink sink = {.lock = PTHREAD_MUTEX_INITIALIZER};
    bool is_dump = argc > 2 && strcmp(argv[1], "--dump") == 0;
    LM_ASSERT(argc > 2 && lm_mem_new(NULL, 0, &sink.mem) == LM_OK);
    lm_buf_init(&sink.text, sink.mem);
    const char *path = is_dump ? argv[2] : argv[1];
    sink.fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    LM_ASSERT(sink.fd >= 0);
    for (ssize_t got = 1; got > 0; sink.text.len += (size_t)got) {
        LM_ASSERT(lm_buf_reserve(&sink.text, 1 << 20) == LM_OK);
        got = read(sink.fd, sink.text.ptr + sink.text.len, 1 << 20);
        LM_ASSERT(got >= 0);
    }
    lm_str none = {NULL, 0};
    walk(&sink, none, &none, is_dump, &sink.text.len);
    if (!is_dump) {
        LM_ASSERT(ftruncate(sink.fd, (off_t)sink.text.len) == 0); /* a batch cut short by a kill */
        lm_source_host host = {
            .mem = sink.mem, .sink = {&sink, sink_put, sink_checkpoint}, .note = note};
        lm_source_files_options options = {.globs = (const char *const *)argv + 2,
                                           .glob_count = (size_t)argc - 2};
        lm_source *source = NULL;
        LM_ASSERT(lm_source_files(&host, &options, &source) == LM_OK);
        while (getchar() != EOF) {
        }
        lm_source_stop(source, UINT64_C(5000000000));
    }
    close(sink.fd);
    lm_buf_fini(&sink.text);
    lm_mem_free(sink.mem);
    return 0;
}

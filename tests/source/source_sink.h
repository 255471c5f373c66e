/** A sink in memory for the tests: copies batches, and can refuse, delay and fail. Thread-safe. */
#ifndef TESTS_SOURCE_SOURCE_SINK_H
#define TESTS_SOURCE_SOURCE_SINK_H

#include "lm_test.h"
#include "source/source.h"

#include <pthread.h>
#include <time.h>

typedef struct kept_record {
    int64_t time_ns;
    char *line;
    size_t len;
    char *stream;
    char *metadata;
} kept_record;

typedef struct kept_key {
    char *key, *value;
    size_t value_len;
} kept_key;

typedef struct late_done {
    lm_put_done done;
    void *ctx;
    lm_err err;
    uint64_t at_ns;
} late_done;

typedef struct test_sink {
    pthread_mutex_t lock;
    kept_record *records;
    size_t count, cap;
    kept_key keys[20000];
    size_t key_count;
    uint64_t puts, refusals;
    /* what it is to do */
    unsigned refuse_each; /* every so many puts: LM_E_LIMIT; 0: never */
    unsigned fail_each;   /* every so many puts are taken and then fail */
    uint64_t delay_ns;    /* done comes so much later, from another thread */
    bool is_refusing;     /* LM_E_LIMIT, always */
    late_done late[64];
    size_t late_count;
    pthread_t thread;
    bool has_thread, is_ending;
    char notes[65536];
} test_sink;

static inline void sink_sleep(uint64_t ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

static inline char *sink_text(lm_str s)
{
    char *copy = malloc(s.len + 1);
    if (s.len) memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return copy;
}

static inline void sink_keep_key(test_sink *sink, const lm_checkpoint *checkpoint)
{
    size_t i = 0;
    while (i < sink->key_count &&
           (strlen(sink->keys[i].key) != checkpoint->key.len ||
            memcmp(sink->keys[i].key, checkpoint->key.ptr, checkpoint->key.len) != 0))
        i++;
    if (i == sink->key_count) {
        assert_true(i < sizeof sink->keys / sizeof sink->keys[0]);
        sink->keys[sink->key_count++] = (kept_key){.key = sink_text(checkpoint->key)};
    }
    free(sink->keys[i].value);
    sink->keys[i].value = sink_text(checkpoint->value);
    sink->keys[i].value_len = checkpoint->value.len;
}

static inline void sink_keep(test_sink *sink, const lm_record_batch *batch)
{
    for (size_t i = 0; i < batch->record_count; i++) {
        const lm_record *record = &batch->records[i];
        if (sink->count == sink->cap) {
            sink->cap = sink->cap ? 2 * sink->cap : 1024;
            sink->records = realloc(sink->records, sink->cap * sizeof *sink->records);
        }
        lm_mem *mem = NULL;
        assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
        lm_buf text;
        lm_buf_init(&text, mem);
        char *metadata = NULL;
        if (record->metadata.count) {
            assert_int_equal(lm_labels_print(record->metadata, &text), LM_OK);
            metadata = sink_text((lm_str){text.ptr, text.len});
        }
        lm_buf_fini(&text);
        lm_mem_free(mem);
        sink->records[sink->count++] =
            (kept_record){record->time_ns, sink_text(record->line), record->line.len,
                          sink_text(batch->streams[record->stream].key), metadata};
    }
}

static inline void *sink_thread(void *arg)
{
    test_sink *sink = arg;
    for (;;) {
        late_done due = {0};
        pthread_mutex_lock(&sink->lock);
        bool is_ending = sink->is_ending && sink->late_count == 0;
        if (sink->late_count && (sink->late[0].at_ns <= lm_clock_ns() || sink->is_ending)) {
            due = sink->late[0];
            memmove(sink->late, sink->late + 1, --sink->late_count * sizeof due);
        }
        pthread_mutex_unlock(&sink->lock);
        if (due.done) due.done(due.ctx, due.err);
        if (is_ending) return NULL;
        if (!due.done) sink_sleep(1);
    }
}

static inline lm_err sink_put(void *self, lm_str tenant, const lm_record_batch *batch,
                              const lm_checkpoint *checkpoints, size_t checkpoint_count,
                              lm_put_done done, void *done_ctx)
{
    test_sink *sink = self;
    (void)tenant;
    pthread_mutex_lock(&sink->lock);
    sink->puts++;
    bool is_refused =
        sink->is_refusing || (sink->refuse_each && sink->puts % sink->refuse_each == 0);
    is_refused = is_refused || sink->late_count == 64;
    bool is_failed = sink->fail_each && sink->puts % sink->fail_each == 0;
    sink->refusals += is_refused;
    bool is_late = sink->delay_ns > 0;
    if (!is_refused) {
        if (!is_failed) {
            sink_keep(sink, batch);
            for (size_t i = 0; i < checkpoint_count; i++)
                sink_keep_key(sink, &checkpoints[i]);
        }
        if (is_late)
            sink->late[sink->late_count++] = (late_done){
                done, done_ctx, is_failed ? LM_E_IO : LM_OK, lm_clock_ns() + sink->delay_ns};
    }
    pthread_mutex_unlock(&sink->lock);
    if (is_refused) return lm_fail(LM_E_LIMIT, "not now");
    if (!is_late) done(done_ctx, is_failed ? LM_E_IO : LM_OK);
    return LM_OK;
}

static inline lm_err sink_checkpoint(void *self, lm_str key, lm_buf *out)
{
    test_sink *sink = self;
    lm_err err = LM_E_NOTFOUND;
    pthread_mutex_lock(&sink->lock);
    for (size_t i = 0; i < sink->key_count; i++) {
        kept_key *kept = &sink->keys[i];
        if (strlen(kept->key) != key.len || memcmp(kept->key, key.ptr, key.len) != 0) continue;
        if (kept->value_len) err = lm_buf_append(out, kept->value, kept->value_len);
        break;
    }
    pthread_mutex_unlock(&sink->lock);
    return err == LM_E_NOTFOUND ? lm_fail(err, "no such key") : err;
}

static inline void sink_note(void *ctx, int level, const char *event, const char *text)
{
    test_sink *sink = ctx;
    pthread_mutex_lock(&sink->lock);
    size_t len = strlen(sink->notes);
    snprintf(sink->notes + len, sizeof sink->notes - len, "%d %s: %s\n", level, event, text);
    pthread_mutex_unlock(&sink->lock);
}

static inline test_sink *sink_new(void)
{
    test_sink *sink = calloc(1, sizeof *sink);
    assert_non_null(sink);
    assert_int_equal(pthread_mutex_init(&sink->lock, NULL), 0);
    assert_int_equal(pthread_create(&sink->thread, NULL, sink_thread, sink), 0);
    return sink;
}

/** Lets what is late land. */
static inline void sink_free(test_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->is_ending = true;
    pthread_mutex_unlock(&sink->lock);
    pthread_join(sink->thread, NULL);
    for (size_t i = 0; i < sink->count; i++) {
        free(sink->records[i].line);
        free(sink->records[i].stream);
        free(sink->records[i].metadata);
    }
    for (size_t i = 0; i < sink->key_count; i++) {
        free(sink->keys[i].key);
        free(sink->keys[i].value);
    }
    free(sink->records);
    pthread_mutex_destroy(&sink->lock);
    free(sink);
}

static inline lm_source_host sink_host(test_sink *sink, lm_mem *mem)
{
    return (lm_source_host){
        .mem = mem, .sink = {sink, sink_put, sink_checkpoint}, .note = sink_note, .note_ctx = sink};
}

static inline size_t sink_count(test_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    size_t count = sink->count;
    pthread_mutex_unlock(&sink->lock);
    return count;
}

static inline size_t sink_key_count(test_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    size_t count = sink->key_count;
    pthread_mutex_unlock(&sink->lock);
    return count;
}

static inline uint64_t sink_refusals(test_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    uint64_t refusals = sink->refusals;
    pthread_mutex_unlock(&sink->lock);
    return refusals;
}

/** Waits until so many records are there, half a minute at most; gives how many there are. */
static inline size_t sink_wait(test_sink *sink, size_t wanted)
{
    for (int i = 0; i < 3000 && sink_count(sink) < wanted; i++)
        sink_sleep(10);
    return sink_count(sink);
}

/** Waits whether more come than are wanted. */
static inline size_t sink_settle(test_sink *sink, size_t wanted, uint64_t ms)
{
    (void)sink_wait(sink, wanted);
    sink_sleep(ms);
    return sink_count(sink);
}

#endif

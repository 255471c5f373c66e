/** Helpers of the store's tests: a folder, puts that wait, a model in memory. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

#include "lm_test.h"
#include "store/store.h"
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned waiting;
    lm_err err;
} waiter;

static inline void waiter_done(void *ctx, lm_err err)
{
    waiter *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->waiting--;
    if (err) w->err = err;
    pthread_cond_signal(&w->moved);
    pthread_mutex_unlock(&w->lock);
}

/** Put and wait until it is durable. */
static inline lm_err put_wait(lm_store *store, const char *tenant, const lm_record_batch *batch,
                              const lm_checkpoint *checkpoints, size_t count)
{
    waiter w = {.waiting = 1};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.moved, NULL);
    lm_sink sink = lm_store_sink(store);
    lm_err err = LM_E_LIMIT;
    while (err == LM_E_LIMIT) { /* as a client told to come again */
        err = sink.put(sink.self, lm_str_of(tenant), batch, checkpoints, count, waiter_done, &w);
        if (err == LM_E_LIMIT) usleep(1000);
    }
    if (!err) {
        pthread_mutex_lock(&w.lock);
        while (w.waiting)
            pthread_cond_wait(&w.moved, &w.lock);
        err = w.err;
        pthread_mutex_unlock(&w.lock);
    }
    pthread_cond_destroy(&w.moved);
    pthread_mutex_destroy(&w.lock);
    return err;
}

static inline int remove_entry(const char *path, const struct stat *about, int kind,
                               struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void make_folder(char *path, size_t cap)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, cap, "%s/logmill-store-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
}

/** A stream's labels from texts name, value, ..., NULL. */
static inline uint32_t stream_of_labels(lm_record_batch *batch, const char *const *texts)
{
    lm_label items[16];
    size_t count = 0;
    for (; texts[2 * count]; count++)
        items[count] = (lm_label){lm_str_of(texts[2 * count]), lm_str_of(texts[2 * count + 1])};
    lm_labels labels;
    uint32_t stream = 0;
    assert_int_equal(lm_labels_make(items, count, &batch->arena, &labels), LM_OK);
    assert_int_equal(lm_record_batch_stream(batch, labels, &stream), LM_OK);
    return stream;
}

#endif

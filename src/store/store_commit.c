/* The way in: put makes a frame and queues it; one thread writes what has gathered, syncs once, and
 * tells everybody in it. While it syncs the next ones gather: a slow disk makes larger groups. */
#include "store/store_priv.h"
#include <time.h>

static lm_err start_generation(lm_store *store)
{
    store_generation *made = NULL;
    lm_err err = store_generation_new(store->mem, store->next_generation, &made);
    if (err) return err;
    store->next_generation++;
    made->begun_ns = lm_clock_ns();
    if (store->active) {
        store->active->is_full = true;
        store->active->next = made;
    } else {
        store->generations = made;
    }
    store->active = made;
    store->generation_count++;
    pthread_cond_signal(&store->keeper_moved);
    return LM_OK;
}

/** Is there room behind the active generation, should it be full? Lock held. */
static lm_err check_generations(const lm_store *store)
{
    if (store->generation_count < STORE_GENERATIONS_MAX) return LM_OK;
    return lm_fail(store->seal_failed == LM_E_IO ? LM_E_IO : LM_E_LIMIT,
                   store->seal_failed ? "records cannot be sealed at the moment"
                                      : "more records come than can be sealed at the moment");
}

static bool is_active_full(const lm_store *store)
{
    const store_generation *active = store->active;
    return !active || active->is_full || active->queued_bytes >= store->options.head_bytes;
}

/** The generation for a frame. Lock held. LM_E_LIMIT: sealing does not keep up. */
static lm_err make_room(lm_store *store, const store_frame *frame)
{
    const store_generation *active = store->active;
    bool has_too_many = active && active->queued_bytes &&
                        active->stream_count + frame->stream_count > STORE_GENERATION_STREAMS_MAX;
    if (!has_too_many && !is_active_full(store)) return LM_OK;
    lm_err err = check_generations(store);
    return err ? err : start_generation(store);
}

/** Would a frame of so many bytes be queued? Lock held. */
static lm_err check_queue(const lm_store *store, size_t bytes)
{
    if (store->stops) return lm_fail(LM_E_CANCELLED, "the store is being closed");
    if (store->disk_free < store->options.disk_free_min)
        return lm_fail(LM_E_IO, "the disk is full: %llu bytes are free, %llu are kept free",
                       (unsigned long long)store->disk_free,
                       (unsigned long long)store->options.disk_free_min);
    if (store->queue_bytes + bytes > STORE_WAITING_MAX && store->queue_bytes)
        return lm_fail(LM_E_LIMIT, "%zu bytes wait to be written", store->queue_bytes);
    return is_active_full(store) ? check_generations(store) : LM_OK;
}

static lm_err queue_frame(lm_store *store, store_frame *frame)
{
    lm_err err = check_queue(store, frame->len);
    if (!err) err = make_room(store, frame);
    if (!err) err = store_generation_admit(store->mem, store->active, frame);
    if (err) return err;
    store->active->pending++;
    store->active->queued_bytes += frame->len;
    frame->next = NULL;
    if (store->queue_last) {
        store->queue_last->next = frame;
    } else {
        store->queue_first = frame;
    }
    store->queue_last = frame;
    store->queue_bytes += frame->len;
    pthread_cond_signal(&store->queue_moved);
    return LM_OK;
}

static lm_err store_put(void *self, lm_str tenant, const lm_record_batch *batch,
                        const lm_checkpoint *checkpoints, size_t checkpoint_count, lm_put_done done,
                        void *done_ctx)
{
    lm_store *store = self;
    store_frame *frame = NULL;
    if (tenant.len == 0 || tenant.len > STORE_TENANT_BYTES_MAX || memchr(tenant.ptr, 0, tenant.len))
        return lm_fail(LM_E_USAGE, "a tenant's name has 1 to %d bytes", STORE_TENANT_BYTES_MAX);
    /* Those who are told to come again do so often: that must not cost a copy each time. */
    pthread_mutex_lock(&store->lock);
    lm_err err = check_queue(store, batch->bytes);
    store->counters.puts_refused += err != LM_OK;
    pthread_mutex_unlock(&store->lock);
    if (err) return err;
    err = store_frame_make(store->mem, tenant, batch, checkpoints, checkpoint_count, &frame);
    if (err) return err;
    frame->done = done;
    frame->done_ctx = done_ctx;
    pthread_mutex_lock(&store->lock);
    err = queue_frame(store, frame);
    if (err) {
        store->counters.puts_refused++;
    } else {
        store->counters.puts++;
    }
    pthread_mutex_unlock(&store->lock);
    if (err) store_frame_free(store->mem, frame);
    return err;
}

/** Where the key's entry hangs; one that is NULL: there is none, and this is its place. Lock held.
 */
static store_known_checkpoint **find_checkpoint(lm_store *store, lm_str key)
{
    store_known_checkpoint **at =
        &store->checkpoints[lm_hash64(key.ptr, key.len) % STORE_CHECKPOINT_BUCKETS];
    while (*at && !lm_str_equal((*at)->key, key))
        at = &(*at)->next;
    return at;
}

static lm_err store_checkpoint(void *self, lm_str key, lm_buf *out)
{
    lm_store *store = self;
    lm_err err = LM_OK;
    pthread_mutex_lock(&store->lock);
    store_known_checkpoint *at = *find_checkpoint(store, key);
    if (at) {
        out->len = 0;
        err = at->value.len ? lm_buf_append(out, at->value.ptr, at->value.len)
                            : lm_fail(LM_E_NOTFOUND, "no such checkpoint");
    }
    pthread_mutex_unlock(&store->lock);
    if (at) return err;
    pthread_mutex_lock(&store->catalog_lock);
    out->len = 0;
    err = store_catalog_checkpoint_get(store->catalog, key, out);
    pthread_mutex_unlock(&store->catalog_lock);
    return err;
}

lm_sink lm_store_sink(lm_store *store)
{
    return (lm_sink){store, store_put, store_checkpoint};
}

/* ---- checkpoints of generations that are not yet sealed ---- */

lm_err store_checkpoint_note(lm_store *store, lm_str key, lm_str value, uint64_t generation)
{
    lm_mem *mem = store->mem;
    store_known_checkpoint **place = find_checkpoint(store, key), *at = *place;
    uint8_t *copy = lm_mem_alloc(mem, value.len);
    if (!copy) return lm_mem_err();
    memcpy(copy, value.ptr, value.len);
    if (at) {
        lm_mem_release(mem, (void *)(uintptr_t)at->value.ptr, at->value.len);
    } else {
        uint8_t *name = lm_mem_alloc(mem, key.len);
        at = lm_mem_calloc(mem, 1, sizeof *at);
        if (!at || !name) {
            lm_mem_release(mem, copy, value.len);
            if (name) lm_mem_release(mem, name, key.len);
            if (at) lm_mem_release(mem, at, sizeof *at);
            return lm_mem_err();
        }
        memcpy(name, key.ptr, key.len);
        at->key = (lm_str){name, key.len};
        *place = at;
    }
    at->value = (lm_str){copy, value.len};
    at->generation = generation;
    return LM_OK;
}

lm_err store_checkpoints_of(lm_store *store, const store_frame *frame)
{
    store_walk walk;
    lm_checkpoint checkpoint;
    lm_err err = LM_OK;
    store_frame_checkpoints(frame, &walk);
    while (!err && store_frame_next_checkpoint(&walk, &checkpoint))
        err = store_checkpoint_note(store, checkpoint.key, checkpoint.value, frame->generation->id);
    return err;
}

static void drop_chain(lm_mem *mem, store_known_checkpoint **at, uint64_t generation)
{
    while (*at) {
        store_known_checkpoint *one = *at;
        if (one->generation > generation) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        lm_mem_release(mem, (void *)(uintptr_t)one->key.ptr, one->key.len);
        lm_mem_release(mem, (void *)(uintptr_t)one->value.ptr, one->value.len);
        lm_mem_release(mem, one, sizeof *one);
    }
}

void store_checkpoints_drop(lm_store *store, uint64_t generation)
{
    for (size_t i = 0; i < STORE_CHECKPOINT_BUCKETS; i++)
        drop_chain(store->mem, &store->checkpoints[i], generation);
}

/* ---- the commit thread ---- */

/** A durable frame as a batch, for those who watch. */
static lm_err frame_batch(const store_frame *frame, lm_record_batch *batch)
{
    store_walk walk;
    store_raw_record raw;
    lm_err err = LM_OK;
    uint32_t number = 0;
    for (uint32_t i = 0; i < frame->stream_count && !err; i++)
        err = lm_record_batch_stream(batch, frame->streams[i]->stream.labels, &number);
    store_frame_records(frame, &walk);
    while (!err && store_frame_next_record(&walk, &raw)) {
        lm_labels metadata = {NULL, 0};
        if (raw.metadata.len) err = store_metadata_read(raw.metadata, &batch->arena, &metadata);
        if (!err) err = lm_record_batch_add(batch, raw.stream, raw.time_ns, raw.line, metadata);
    }
    return err;
}

/** first: count frames in the order of the queue, linked by next. */
static void tell_watchers(lm_store *store, store_frame *const *frames, size_t count)
{
    lm_record_batch batch;
    pthread_mutex_lock(&store->watch_lock);
    if (store->watchers) {
        lm_record_batch_init(&batch, store->mem);
        for (size_t i = 0; i < count; i++) {
            lm_record_batch_reset(&batch);
            /* Out of memory: those who watch miss a batch; it is stored all the same. */
            if (frame_batch(frames[i], &batch) != LM_OK) continue;
            for (store_watcher *w = store->watchers; w; w = w->next)
                w->fn(w->ctx, frames[i]->tenant, &batch);
        }
        lm_record_batch_fini(&batch);
    }
    pthread_mutex_unlock(&store->watch_lock);
}

/** The log for a generation: begun at its first frame. */
static lm_err take_log(lm_store *store, uint64_t generation)
{
    if (store->log.fd >= 0 && store->log.generation == generation) return LM_OK;
    store_log_close(&store->log);
    return store_log_begin(store->folder, generation, &store->log);
}

enum { GROUP_MAX = 4096 };

/** Frames of one generation: to disk, into its list, told. */
static void commit_group(lm_store *store, store_frame **frames, size_t count)
{
    store_generation *generation = frames[0]->generation;
    uint64_t syncs = 0, bytes = 0;
    bool has_forgotten = false; /* the log has it: it is back at the next start */
    lm_err_info info = {0};
    lm_err err = take_log(store, generation->id);
    for (size_t i = 0; i < count && !err; i++)
        store_frame_sign(frames[i], store->log.secret);
    if (!err) err = store_log_write(&store->log, frames[0], count, &syncs);
    if (err) lm_err_save(&info);
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        bytes += frames[i]->len;
        if (err) continue;
        if (store_checkpoints_of(store, frames[i]) != LM_OK) has_forgotten = true;
        store->counters.records_in += frames[i]->record_count;
        store->counters.bytes_in += frames[i]->raw_bytes;
        store_generation_add(generation, frames[i]);
    }
    store->counters.syncs += syncs;
    store->counters.log_failures += err != LM_OK;
    store->failed_ns = err ? lm_clock_ns() : 0;
    store->queue_bytes -= bytes;
    generation->log_bytes = store->log.offset;
    pthread_mutex_unlock(&store->lock);
    if (!err) tell_watchers(store, frames, count);
    for (size_t i = 0; i < count; i++) {
        if (err) (void)lm_err_restore(&info);
        if (frames[i]->done) frames[i]->done(frames[i]->done_ctx, err);
        if (err) store_frame_free(store->mem, frames[i]);
    }
    pthread_mutex_lock(&store->lock);
    generation->pending -= (uint32_t)count;
    if (generation->is_full && !generation->pending) pthread_cond_signal(&store->keeper_moved);
    pthread_mutex_unlock(&store->lock);
    if (err) store_note(store, 3, "log_write_failed", "%s", info.text);
    if (has_forgotten) store_note(store, 4, "checkpoint_forgotten", "out of memory");
}

/** Frames from the queue's head that are of one generation. Lock held. */
static size_t take_group(lm_store *store, store_frame **frames)
{
    size_t count = 0;
    while (store->queue_first && count < GROUP_MAX) {
        store_frame *frame = store->queue_first;
        if (count && frame->generation != frames[0]->generation) break;
        store->queue_first = frame->next;
        if (!frame->next) store->queue_last = NULL;
        frames[count++] = frame;
    }
    return count;
}

void *store_commit_main(void *arg)
{
    lm_store *store = arg;
    static _Thread_local store_frame *frames[GROUP_MAX];
    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (!store->queue_first && !store->stops)
            pthread_cond_wait(&store->queue_moved, &store->lock);
        if (!store->queue_first) break;
        size_t count = take_group(store, frames);
        uint64_t wait_ns = store->options.commit_wait_ns;
        pthread_mutex_unlock(&store->lock);
        uint64_t begun_ns = lm_clock_ns();
        commit_group(store, frames, count);
        uint64_t took_ns = lm_clock_ns() - begun_ns;
        if (took_ns < wait_ns) {
            struct timespec rest = {0, (long)(wait_ns - took_ns)};
            nanosleep(&rest, NULL);
        }
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

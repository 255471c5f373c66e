/* Opening and closing, and what the owner of a store may ask. */
#include "store/store_priv.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

void store_note(lm_store *store, int level, const char *event, const char *fmt, ...)
{
    char text[800];
    va_list args;
    if (!store->options.note) return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    store->options.note(store->options.note_ctx, level, event, text);
}

void store_note_bad(void *ctx, const char *text)
{
    lm_store *store = ctx;
    pthread_mutex_lock(&store->lock);
    store->counters.lost_parts++;
    pthread_mutex_unlock(&store->lock);
    store_note(store, 3, "damaged", "%s", text);
}

/* ---- opening ---- */

typedef struct id_list {
    uint64_t *ids;
    size_t count, cap;
} id_list;

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool has_id(const id_list *list, uint64_t id)
{
    return list->count && bsearch(&id, list->ids, list->count, sizeof id, compare_ids);
}

/** Numbers of the files NUMBER.suffix in a folder, ascending. */
static lm_err list_folder(lm_store *store, const char *name, const char *suffix, id_list *out)
{
    char path[STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", store->folder, name);
    DIR *dir = opendir(path);
    if (!dir) return lm_fail_errno("cannot read '%s'", path);
    lm_err err = LM_OK;
    for (struct dirent *entry; !err && (entry = readdir(dir));) {
        char *end = NULL;
        unsigned long long id = strtoull(entry->d_name, &end, 16);
        if (end - entry->d_name != 16 || *end != '.' || strcmp(end + 1, suffix) != 0) continue;
        err = lm_vec_grow(store->mem, &out->ids, &out->cap, out->count + 1, sizeof *out->ids);
        if (!err) out->ids[out->count++] = id;
    }
    closedir(dir);
    if (out->count) qsort(out->ids, out->count, sizeof *out->ids, compare_ids);
    return err;
}

static void free_list(lm_store *store, id_list *list)
{
    lm_mem_release(store->mem, list->ids, list->cap * sizeof *list->ids);
}

static lm_err take_lock(lm_store *store)
{
    char path[STORE_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/lock", store->folder);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (store->lock_fd < 0) return lm_fail_errno("cannot open '%s'", path);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? lm_fail(LM_E_IO, "'%s' is in use by another process", store->folder)
                   : lm_fail_errno("cannot lock '%s'", path);
    return LM_OK;
}

typedef struct loading {
    lm_store *store;
    const id_list *files;
    id_list known; /* segments of the catalog */
    id_list absent;
} loading;

/** New logs get numbers that no segment came from: numbers tell which log a segment is of. */
static void note_generation(lm_store *store, uint64_t generation)
{
    if (generation >= store->next_generation) store->next_generation = generation + 1;
}

static lm_err load_part(void *ctx, const store_part *part)
{
    loading *l = ctx;
    lm_err err = lm_vec_grow(l->store->mem, &l->known.ids, &l->known.cap, l->known.count + 1,
                             sizeof *l->known.ids);
    if (err) return err;
    l->known.ids[l->known.count++] = part->id;
    note_generation(l->store, part->generation);
    if (has_id(l->files, part->id)) {
        store_part *copy = NULL;
        err = store_parts_reserve(l->store, part, 1, &copy);
        store_parts_insert(l->store, copy);
        return err;
    }
    char text[200];
    (void)snprintf(text, sizeof text, "segment %016llx is in the catalog, but its files are gone",
                   (unsigned long long)part->id);
    store_note_bad(l->store, text);
    return LM_OK;
}

/** The catalog is whole: what it does not know was not finished, or is deleted already. */
static lm_err load_catalog(lm_store *store, const id_list *files)
{
    loading l = {.store = store, .files = files};
    lm_err err = store_catalog_parts(store->catalog, load_part, &l);
    if (l.known.count) qsort(l.known.ids, l.known.count, sizeof *l.known.ids, compare_ids);
    for (size_t i = 0; i < files->count && !err; i++) {
        if (!has_id(&l.known, files->ids[i])) store_part_remove(store->folder, files->ids[i]);
    }
    free_list(store, &l.known);
    return err;
}

/** A segment's files tell what the catalog would. */
static store_part part_of_view(const store_view *view)
{
    store_part part = {.id = view->id,
                       .level = view->level,
                       .time_min = INT64_MAX,
                       .time_max = INT64_MIN,
                       .records = view->record_count,
                       .streams = view->stream_count,
                       .raw_bytes = view->raw_bytes,
                       .bytes = view->bytes,
                       .generation = view->generation};
    memcpy(part.tenant, view->tenant.ptr, view->tenant.len);
    for (uint32_t i = 0; i < view->stream_count; i++) {
        if (view->streams[i].time_min < part.time_min) part.time_min = view->streams[i].time_min;
        if (view->streams[i].time_max > part.time_max) part.time_max = view->streams[i].time_max;
    }
    return part;
}

static lm_err adopt(lm_store *store, uint64_t id, const id_list *logs, id_list *replaced)
{
    store_view *view = NULL;
    lm_err err = store_view_open(store->mem, store->folder, id, &view);
    if (!err) err = store_view_load(view, STORE_TIMES | STORE_LINES);
    if (err && view) {
        lm_err_info info;
        lm_err_save(&info);
        store_view_close(view);
        err = lm_err_restore(&info);
    }
    if (err == LM_E_CORRUPT || err == LM_E_NOTFOUND) {
        store_note_bad(store, lm_err_text());
        return LM_OK;
    }
    if (err) return err;
    if (view->generation && has_id(logs, view->generation)) {
        store_view_close(view);
        store_part_remove(store->folder, id); /* its log is there still and brings it all back */
        return LM_OK;
    }
    for (size_t i = 0; i < view->replace_count && !err; i++) {
        err = lm_vec_grow(store->mem, &replaced->ids, &replaced->cap, replaced->count + 1,
                          sizeof *replaced->ids);
        if (!err) replaced->ids[replaced->count++] = view->replaces[i];
    }
    store_part part = part_of_view(view);
    store_part_stream *streams = view->streams;
    note_generation(store, view->generation);
    if (!err) err = store_publish(store, &part, &streams, 1, NULL, 0, NULL);
    store_view_close(view);
    return err;
}

/** The catalog was lost: it is made anew from the segments. */
static lm_err rebuild_catalog(lm_store *store, const id_list *files, const id_list *logs)
{
    id_list replaced = {0};
    lm_err err = LM_OK;
    for (size_t i = 0; i < files->count && !err; i++)
        err = adopt(store, files->ids[i], logs, &replaced);
    if (!err && replaced.count)
        err = store_publish(store, NULL, NULL, 0, replaced.ids, replaced.count, NULL);
    free_list(store, &replaced);
    if (!err && files->count)
        store_note(store, 4, "catalog_rebuilt", "%zu segments were found", store->part_count);
    return err;
}

typedef struct replay {
    lm_store *store;
    store_generation *generation;
} replay;

static lm_err replay_frame(void *ctx, store_frame *frame)
{
    replay *r = ctx;
    lm_store *store = r->store;
    lm_err err = store_generation_admit(store->mem, r->generation, frame);
    if (!err) err = store_checkpoints_of(store, frame);
    if (err == LM_E_USAGE) { /* labels that do not parse: not ours */
        store_note_bad(store, lm_err_text());
        store_frame_free(store->mem, frame);
        return LM_OK;
    }
    if (err) {
        store_frame_free(store->mem, frame);
        return err;
    }
    r->generation->queued_bytes += frame->len;
    store_generation_add(r->generation, frame);
    return LM_OK;
}

static void replay_bad(void *ctx, bool is_damage, const char *text)
{
    lm_store *store = ((replay *)ctx)->store;
    if (is_damage)
        store_note_bad(store, text);
    else
        store_note(store, 4, "log_unfinished", "%s", text);
}

static lm_err load_logs(lm_store *store, const id_list *logs)
{
    uint64_t sealed = 0;
    lm_err err = store_catalog_sealed(store->catalog, &sealed);
    if (!err) note_generation(store, sealed);
    store_generation **end = &store->generations;
    for (size_t i = 0; i < logs->count && !err; i++) {
        char path[STORE_PATH_MAX];
        store_log_path(store->folder, logs->ids[i], path);
        if (logs->ids[i] <= sealed) {
            (void)unlink(path);
            continue;
        }
        replay r = {.store = store};
        err = store_generation_new(store->mem, logs->ids[i], &r.generation);
        if (err) return err;
        r.generation->begun_ns = lm_clock_ns();
        r.generation->is_full = true; /* its log is not written to again */
        *end = r.generation;
        end = &r.generation->next;
        store->generation_count++;
        store->active = r.generation;
        note_generation(store, logs->ids[i]);
        err =
            store_log_replay(store->mem, store->folder, logs->ids[i], replay_frame, replay_bad, &r);
        if (!err && !r.generation->frame_count) (void)unlink(path);
    }
    return err;
}

static lm_err load(lm_store *store)
{
    static const char *const folders[] = {"", "/log", "/segments", "/lost"};
    char path[STORE_PATH_MAX + 16];
    id_list files = {0}, logs = {0};
    bool is_new = false;
    lm_err err = LM_OK;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !err; i++) {
        (void)snprintf(path, sizeof path, "%s%s", store->folder, folders[i]);
        err = lm_folder_make(path);
    }
    if (!err) err = take_lock(store);
    if (!err) err = list_folder(store, "segments", "rec", &files);
    if (!err) err = list_folder(store, "log", "log", &logs);
    if (!err)
        err = store_catalog_open(store->mem, store->folder, &store->catalog, &is_new,
                                 store_note_bad, store);
    store->next_part = files.count ? files.ids[files.count - 1] + 1 : 1;
    if (!err) err = is_new ? rebuild_catalog(store, &files, &logs) : load_catalog(store, &files);
    if (!err) err = load_logs(store, &logs);
    free_list(store, &files);
    free_list(store, &logs);
    return err;
}

static lm_err start_threads(lm_store *store)
{
    int code = pthread_create(&store->commit_thread, NULL, store_commit_main, store);
    store->has_commit = code == 0;
    if (!code) code = pthread_create(&store->keeper_thread, NULL, store_keeper_main, store);
    store->has_keeper = store->has_commit && code == 0;
    errno = code;
    return code ? lm_fail_errno("cannot start a thread") : LM_OK;
}

lm_err lm_store_open(lm_mem *mem, const lm_store_options *options, lm_store **out)
{
    lm_store *store = lm_mem_calloc(mem, 1, sizeof *store);
    if (!store) return lm_mem_err();
    store->mem = mem;
    store->options = *options;
    if (!store->options.head_bytes) store->options.head_bytes = STORE_HEAD_BYTES;
    if (!store->options.head_age_ns) store->options.head_age_ns = STORE_HOUR_NS;
    if (!store->options.disk_free_min) store->options.disk_free_min = STORE_DISK_FREE_MIN;
    store->lock_fd = -1;
    store->log.fd = -1;
    store->disk_free = UINT64_MAX;
    store->next_generation = 1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->catalog_lock, NULL);
    pthread_mutex_init(&store->cache_lock, NULL);
    pthread_mutex_init(&store->watch_lock, NULL);
    pthread_mutex_init(&store->texts_lock, NULL);
    pthread_cond_init(&store->queue_moved, NULL);
    pthread_cond_init(&store->keeper_moved, &monotonic);
    pthread_cond_init(&store->sealed, NULL);
    pthread_condattr_destroy(&monotonic);
    int len = snprintf(store->folder, sizeof store->folder, "%s", options->folder);
    lm_err err = len > 0 && (size_t)len < sizeof store->folder - 64
                     ? load(store)
                     : lm_fail(LM_E_USAGE, "'%s' cannot be a folder's name", options->folder);
    if (!err) err = lm_pack_kept_new(mem, &store->kept);
    if (!err && options->threads != 1) err = lm_pool_new(mem, options->threads, &store->pool);
    if (!err && options->threads != 1) err = lm_pool_new(mem, options->threads, &store->asking);
    if (!err) err = start_threads(store);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        lm_store_close(store);
        return lm_err_restore(&info);
    }
    *out = store;
    return LM_OK;
}

void lm_store_close(lm_store *store)
{
    if (!store) return;
    lm_mem *mem = store->mem;
    pthread_mutex_lock(&store->lock);
    store->stops = true;
    pthread_cond_broadcast(&store->queue_moved);
    pthread_cond_broadcast(&store->keeper_moved);
    pthread_mutex_unlock(&store->lock);
    if (store->has_commit) pthread_join(store->commit_thread, NULL);
    if (store->has_keeper) pthread_join(store->keeper_thread, NULL);
    store_log_close(&store->log);
    lm_pack_kept_free(store->kept);
    lm_pool_free(store->pool);
    lm_pool_free(store->asking);
    store_cache_rest(store, 0);
    while (store->generations) {
        store_generation *generation = store->generations;
        store->generations = generation->next;
        store_generation_free(mem, generation);
    }
    for (size_t i = 0; i < store->part_count; i++)
        lm_mem_release(mem, store->parts[i], sizeof *store->parts[i]);
    lm_mem_release(mem, store->parts, store->part_cap * sizeof(store_part *));
    store_checkpoints_drop(store, UINT64_MAX);
    while (store->tenants) {
        store_tenant *tenant = store->tenants;
        store->tenants = tenant->next;
        lm_mem_release(mem, tenant, sizeof *tenant);
    }
    while (store->watchers) {
        store_watcher *watcher = store->watchers;
        store->watchers = watcher->next;
        lm_mem_release(mem, watcher, sizeof *watcher);
    }
    store_catalog_close(store->catalog);
    if (store->lock_fd >= 0) close(store->lock_fd);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->catalog_lock);
    pthread_mutex_destroy(&store->cache_lock);
    pthread_mutex_destroy(&store->watch_lock);
    pthread_mutex_destroy(&store->texts_lock);
    pthread_cond_destroy(&store->queue_moved);
    pthread_cond_destroy(&store->keeper_moved);
    pthread_cond_destroy(&store->sealed);
    lm_mem_release(mem, store, sizeof *store);
}

/* ---- what the owner asks ---- */

lm_store_face lm_store_face_of(lm_store *store)
{
    return (lm_store_face){store, store_select, store_streams};
}

lm_err lm_store_retention_set(lm_store *store, lm_str tenant, uint64_t retention_ns)
{
    if (tenant.len > STORE_TENANT_BYTES_MAX)
        return lm_fail(LM_E_USAGE, "a tenant's name has at most %d bytes", STORE_TENANT_BYTES_MAX);
    lm_err err = LM_OK;
    pthread_mutex_lock(&store->lock);
    store_tenant *at = store->tenants;
    while (at && !lm_str_equal(lm_str_of(at->name), tenant))
        at = at->next;
    if (!at) {
        at = lm_mem_calloc(store->mem, 1, sizeof *at);
        if (at) {
            memcpy(at->name, tenant.ptr, tenant.len);
            at->next = store->tenants;
            store->tenants = at;
        } else {
            err = lm_mem_err();
        }
    }
    if (at) at->retention_ns = retention_ns;
    pthread_mutex_unlock(&store->lock);
    return err;
}

lm_err lm_store_flush(lm_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t mine = ++store->flushes_wanted;
    lm_err err = LM_OK;
    store->seal_failed = LM_OK;
    pthread_cond_signal(&store->keeper_moved);
    while (store->flushes_done < mine && !store->stops && !err) {
        pthread_cond_wait(&store->sealed, &store->lock);
        err = store->seal_failed;
    }
    pthread_mutex_unlock(&store->lock);
    return err ? lm_fail(err, "records could not be sealed") : LM_OK;
}

void lm_store_counters_get(lm_store *store, lm_store_counters *out)
{
    pthread_mutex_lock(&store->lock);
    *out = store->counters;
    out->disk_free_bytes = store->disk_free;
    out->queue_bytes = store->queue_bytes;
    out->is_failing = store->seal_failed == LM_E_IO ||
                      (store->failed_ns && lm_clock_ns() < store->failed_ns + STORE_FAILING_NS);
    for (const store_generation *g = store->generations; g; g = g->next) {
        out->head_bytes += g->raw_bytes;
        out->head_records += g->records;
        out->log_bytes += g->log_bytes;
        out->streams += g->stream_count;
        out->sealing += g->is_full;
    }
    pthread_mutex_unlock(&store->lock);
}

lm_err lm_store_watch(lm_store *store, lm_store_watch_fn fn, void *ctx, uint64_t *out_handle)
{
    store_watcher *made = lm_mem_calloc(store->mem, 1, sizeof *made);
    if (!made) return lm_mem_err();
    made->fn = fn;
    made->ctx = ctx;
    pthread_mutex_lock(&store->watch_lock);
    made->handle = ++store->next_watcher;
    made->next = store->watchers;
    store->watchers = made;
    *out_handle = made->handle;
    pthread_mutex_unlock(&store->watch_lock);
    return LM_OK;
}

void lm_store_unwatch(lm_store *store, uint64_t handle)
{
    pthread_mutex_lock(&store->watch_lock);
    for (store_watcher **at = &store->watchers; *at; at = &(*at)->next) {
        store_watcher *one = *at;
        if (one->handle != handle) continue;
        *at = one->next;
        lm_mem_release(store->mem, one, sizeof *one);
        break;
    }
    pthread_mutex_unlock(&store->watch_lock);
}

static lm_str level_name(lm_level level)
{
    return level == LM_LEVEL_FAST  ? LM_STR("fast")
           : level == LM_LEVEL_MAX ? LM_STR("max")
                                   : LM_STR("default");
}

lm_err lm_store_segments(lm_store *store, lm_str tenant, lm_arena *arena, lm_store_segment **out,
                         size_t *out_count)
{
    size_t count = 0;
    lm_err err = LM_OK;
    pthread_mutex_lock(&store->lock);
    lm_store_segment *list =
        lm_arena_alloc(arena, store->part_count * sizeof *list, _Alignof(lm_store_segment));
    for (size_t i = 0; list && i < store->part_count; i++) {
        const store_part *part = store->parts[i];
        lm_str name = lm_str_of(part->tenant);
        if (tenant.len && !lm_str_equal(name, tenant)) continue;
        name.ptr = lm_arena_copy(arena, name.ptr, name.len);
        if (!name.ptr) {
            err = lm_mem_err();
            break;
        }
        list[count++] = (lm_store_segment){.id = part->id,
                                           .tenant = name,
                                           .level = level_name(part->level),
                                           .time_min = part->time_min,
                                           .time_max = part->time_max,
                                           .records = part->records,
                                           .streams = part->streams,
                                           .raw_bytes = part->raw_bytes,
                                           .bytes = part->bytes};
    }
    if (!list) err = lm_mem_err();
    pthread_mutex_unlock(&store->lock);
    if (err) return err;
    *out = list;
    *out_count = count;
    return LM_OK;
}

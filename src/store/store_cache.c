/* Views of segments that are kept: their heads, which answer most of what is asked about streams,
 * times and words that are not there; and of those used last, times and archive too. Both within a
 * share of the memory; all of it goes when nobody has asked for a while.
 *
 * Two lists by use, of all views and of the loaded ones; a table by number. Files are read without
 * the lock: two threads may open the same segment, and one of them drops what it made. */
#include "store/store_priv.h"

/* An archive's own tables (schemas, spans), about. */
enum { ARCHIVE_BYTES = 64 << 10 };

/** What an archive takes of memory: its file is mapped, and all of it may be resident. */
static size_t archive_bytes(const lm_archive *archive)
{
    return archive ? ARCHIVE_BYTES + (size_t)lm_archive_bytes(archive) : 0;
}

static store_view **slot_of(lm_store *store, uint64_t id)
{
    return &store->cache[id % STORE_CACHE_SLOTS];
}

static store_view *find(lm_store *store, uint64_t id)
{
    store_view *at = *slot_of(store, id);
    while (at && at->id != id)
        at = at->same;
    return at;
}

static void list_remove(lm_store *store, store_view *view)
{
    *(view->newer ? &view->newer->older : &store->cache_newest) = view->older;
    *(view->older ? &view->older->newer : &store->cache_oldest) = view->newer;
}

static void list_add(lm_store *store, store_view *view)
{
    view->newer = NULL;
    view->older = store->cache_newest;
    *(view->older ? &view->older->newer : &store->cache_oldest) = view;
    store->cache_newest = view;
}

static void loaded_remove(lm_store *store, store_view *view)
{
    if (!view->is_loaded) return;
    *(view->newer_loaded ? &view->newer_loaded->older_loaded : &store->cache_newest_loaded) =
        view->older_loaded;
    *(view->older_loaded ? &view->older_loaded->newer_loaded : &store->cache_oldest_loaded) =
        view->newer_loaded;
    store->cache_rest -= view->rest_bytes;
    view->is_loaded = false;
}

static void loaded_add(lm_store *store, store_view *view)
{
    view->rest_bytes = lm_arena_held(&view->times_arena) + archive_bytes(view->archive) +
                       archive_bytes(view->metadata);
    if (!view->rest_bytes) return;
    view->newer_loaded = NULL;
    view->older_loaded = store->cache_newest_loaded;
    *(view->older_loaded ? &view->older_loaded->newer_loaded : &store->cache_oldest_loaded) = view;
    store->cache_newest_loaded = view;
    store->cache_rest += view->rest_bytes;
    view->is_loaded = true;
}

/** Out of table and lists, and closed. Nobody uses it. */
static void forget(lm_store *store, store_view *view)
{
    store_view **at = slot_of(store, view->id);
    while (*at != view)
        at = &(*at)->same;
    *at = view->same;
    list_remove(store, view);
    loaded_remove(store, view);
    store->cache_heads -= view->head_bytes;
    store_view_close(view);
}

/** Is the memory that all share nearly taken? Then nothing is kept: what comes in goes first. */
static bool is_scarce(const lm_store *store)
{
    size_t limit = lm_mem_limit(store->mem);
    return limit && lm_mem_used(store->mem) > limit - limit / STORE_SCARCE_SHARE;
}

static void make_room(lm_store *store)
{
    size_t limit = lm_mem_limit(store->mem);
    if (!limit) limit = (size_t)STORE_CACHE_BYTES * STORE_CACHE_SHARE;
    size_t rest_max = limit / STORE_CACHE_SHARE, heads_max = limit / STORE_HEADS_SHARE;
    if (is_scarce(store)) rest_max = heads_max = 0;
    for (store_view *at = store->cache_oldest_loaded, *next; at && store->cache_rest > rest_max;
         at = next) {
        next = at->newer_loaded;
        if (at->users) continue;
        loaded_remove(store, at);
        store_view_unload(at);
    }
    for (store_view *at = store->cache_oldest, *next; at && store->cache_heads > heads_max;
         at = next) {
        next = at->newer;
        if (!at->users) forget(store, at);
    }
}

lm_err store_view_get(lm_store *store, uint64_t id, store_view **out)
{
    lm_err err = LM_OK;
    store_view *made = NULL;
    pthread_mutex_lock(&store->cache_lock);
    store_view *view = find(store, id);
    if (!view) {
        pthread_mutex_unlock(&store->cache_lock);
        err = store_view_open(store->mem, store->folder, id, &made);
        if (err) return err;
        pthread_mutex_lock(&store->cache_lock);
        view = find(store, id);
    }
    if (!view) {
        view = made;
        made = NULL;
        view->same = *slot_of(store, id);
        *slot_of(store, id) = view;
        view->head_bytes = sizeof *view + view->head_len + lm_arena_held(&view->arena);
        store->cache_heads += view->head_bytes;
    } else {
        list_remove(store, view);
    }
    view->users++;
    list_add(store, view);
    store->cache_used_ns = lm_clock_ns();
    pthread_mutex_unlock(&store->cache_lock);
    store_view_close(made);
    *out = view;
    return LM_OK;
}

void store_view_put(lm_store *store, store_view *view)
{
    pthread_mutex_lock(&store->cache_lock);
    LM_ASSERT(view->users > 0);
    view->users--;
    if (!view->users) {
        loaded_remove(store, view); /* more may have been loaded since */
        loaded_add(store, view);
        if (view->is_gone) forget(store, view);
    }
    make_room(store);
    pthread_mutex_unlock(&store->cache_lock);
}

void store_view_drop(lm_store *store, uint64_t id)
{
    pthread_mutex_lock(&store->cache_lock);
    store_view *view = find(store, id);
    if (view) {
        view->is_gone = true;
        if (!view->users) forget(store, view);
    }
    pthread_mutex_unlock(&store->cache_lock);
}

void store_cache_rest(lm_store *store, uint64_t idle_ns)
{
    pthread_mutex_lock(&store->cache_lock);
    bool is_idle = (store->cache_newest || store->questions) &&
                   (is_scarce(store) || lm_clock_ns() - store->cache_used_ns >= idle_ns);
    for (store_view *at = store->cache_oldest, *next; at && is_idle; at = next) {
        next = at->newer;
        if (!at->users) forget(store, at);
    }
    pthread_mutex_unlock(&store->cache_lock);
    if (!is_idle) return;
    store_questions_drop(store);
    lm_mem_trim(store->mem);
}

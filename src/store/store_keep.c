/* The keeper: one thread that seals, merges, deletes, and looks at the disk. */
#include "store/store_priv.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

enum {
    SECOND_NS = 1000000000,
    RETRY_NS = 1000000000,
    MILL_QUIET_NS = 2000000000,
    CACHE_IDLE_S = 20, /* nobody asked for so long: what is kept for questions goes */
    TRIM_LOOKS = 5,    /* seconds in which nothing came in and nothing was sealed or merged */
    MERGE_PARTS_MAX = 64
};

/* ---- the list of segments ---- */

lm_err store_parts_reserve(lm_store *store, const store_part *parts, size_t count, store_part **out)
{
    lm_err err = lm_vec_grow(store->mem, &store->parts, &store->part_cap, store->part_count + count,
                             sizeof(store_part *));
    store_part *list = NULL;
    for (size_t i = count; i-- > 0 && !err;) {
        store_part *copy = lm_mem_alloc(store->mem, sizeof *copy);
        if (!copy) {
            err = lm_mem_err();
            break;
        }
        *copy = parts[i];
        copy->users = 0;
        copy->is_gone = false;
        copy->next = list;
        list = copy;
    }
    if (err) store_parts_forget(store, list);
    *out = err ? NULL : list;
    return err;
}

void store_parts_forget(lm_store *store, store_part *list)
{
    while (list) {
        store_part *part = list;
        list = part->next;
        lm_mem_release(store->mem, part, sizeof *part);
    }
}

static void insert_part(lm_store *store, store_part *part)
{
    LM_ASSERT(store->part_count < store->part_cap);
    part->next = NULL;
    size_t at = store->part_count++;
    for (; at && (store->parts[at - 1]->time_min > part->time_min ||
                  (store->parts[at - 1]->time_min == part->time_min &&
                   store->parts[at - 1]->id > part->id));
         at--)
        store->parts[at] = store->parts[at - 1];
    store->parts[at] = part;
    store->counters.segments++;
    store->counters.segment_bytes += part->bytes;
    store->counters.segment_raw_bytes += part->raw_bytes;
    store->counters.segment_records += part->records;
}

void store_parts_insert(lm_store *store, store_part *list)
{
    while (list) {
        store_part *part = list;
        list = part->next;
        insert_part(store, part);
    }
}

void store_part_unuse(lm_store *store, store_part *part)
{
    LM_ASSERT(part->users > 0);
    part->users--;
    if (part->users || !part->is_gone) return;
    store_part_remove(store->folder, part->id);
    store_view_drop(store, part->id);
    lm_mem_release(store->mem, part, sizeof *part);
}

void store_parts_remove(lm_store *store, uint64_t id)
{
    size_t at = 0;
    while (at < store->part_count && store->parts[at]->id != id)
        at++;
    if (at == store->part_count) return;
    store_part *part = store->parts[at];
    memmove(store->parts + at, store->parts + at + 1,
            (store->part_count - at - 1) * sizeof(store_part *));
    store->part_count--;
    store->counters.segments--;
    store->counters.segment_bytes -= part->bytes;
    store->counters.segment_raw_bytes -= part->raw_bytes;
    store->counters.segment_records -= part->records;
    part->is_gone = true;
    part->users++;
    store_part_unuse(store, part);
}

void store_generation_unuse(lm_store *store, store_generation *generation)
{
    LM_ASSERT(generation->users > 0);
    generation->users--;
    if (generation->users) return;
    for (const store_generation *g = store->generations; g; g = g->next) {
        if (g == generation) return; /* still in use by the store itself */
    }
    store_generation_free(store->mem, generation);
}

/* ---- merging ---- */

typedef struct merge {
    lm_store *store;
    lm_arena arena;
    lm_buf text, pairs; /* lines and metadata of all; slices are made when both are whole */
    store_item *items;
    size_t item_count, item_cap;
    size_t *line_ends, *pair_ends;
    size_t line_cap, pair_cap;
    lm_str *keys;
    size_t key_count, key_cap;
    uint32_t *table; /* open addressing: index of the key + 1 */
    size_t table_len;
    const store_view *view;
    uint32_t *numbers; /* of the view's streams */
    uint32_t *of_record;
} merge;

static lm_err put_pair_text(lm_buf *out, lm_str text)
{
    lm_err err = lm_buf_varint(out, text.len);
    return err ? err : lm_buf_append(out, text.ptr, text.len);
}

static lm_err put_pairs(merge *m, lm_str text)
{
    lm_labels labels;
    lm_arena arena;
    lm_arena_init(&arena, m->store->mem);
    lm_err err = lm_labels_parse(text, &arena, &labels);
    if (err == LM_E_USAGE) err = LM_E_CORRUPT;
    if (!err) err = lm_buf_varint(&m->pairs, labels.count);
    for (uint32_t i = 0; i < labels.count && !err; i++) {
        err = put_pair_text(&m->pairs, labels.items[i].name);
        if (!err) err = put_pair_text(&m->pairs, labels.items[i].value);
    }
    lm_arena_fini(&arena);
    return err;
}

static lm_err take_record(void *ctx, uint64_t record, lm_str line, lm_str metadata)
{
    merge *m = ctx;
    lm_mem *mem = m->store->mem;
    size_t i = m->item_count;
    lm_err err = lm_vec_grow(mem, &m->items, &m->item_cap, i + 1, sizeof *m->items);
    if (!err) err = lm_vec_grow(mem, &m->line_ends, &m->line_cap, i + 1, sizeof(size_t));
    if (!err) err = lm_vec_grow(mem, &m->pair_ends, &m->pair_cap, i + 1, sizeof(size_t));
    if (!err) err = lm_buf_append(&m->text, line.ptr, line.len);
    if (!err && metadata.ptr) err = put_pairs(m, metadata);
    if (err) return err;
    m->line_ends[i] = m->text.len;
    m->pair_ends[i] = m->pairs.len;
    m->items[i] = (store_item){.time_ns = m->view->times[record],
                               .stream = m->numbers[m->of_record[record]],
                               .is_folded = store_line_is_folded(line)};
    m->item_count++;
    return LM_OK;
}

/** Where a key is in the table, or would be. */
static uint32_t *key_slot(const merge *m, lm_str key)
{
    size_t mask = m->table_len - 1, at = (size_t)lm_hash64(key.ptr, key.len) & mask;
    while (m->table[at] && !lm_str_equal(m->keys[m->table[at] - 1], key))
        at = (at + 1) & mask;
    return &m->table[at];
}

static lm_err grow_table(merge *m)
{
    lm_mem *mem = m->store->mem;
    size_t had = m->table_len, len = had ? had * 2 : 256;
    uint32_t *table = lm_mem_calloc(mem, len, sizeof *table);
    if (!table) return lm_mem_err();
    lm_mem_release(mem, m->table, had * sizeof *table);
    m->table = table;
    m->table_len = len;
    for (size_t i = 0; i < m->key_count; i++)
        *key_slot(m, m->keys[i]) = (uint32_t)i + 1;
    return LM_OK;
}

/** The number of a stream in the merged segment. */
static lm_err take_key(merge *m, lm_str key, uint32_t *out)
{
    lm_err err = m->table_len < 2 * (m->key_count + 1) ? grow_table(m) : LM_OK;
    if (err) return err;
    uint32_t *slot = key_slot(m, key);
    if (!*slot) {
        void *copy = lm_arena_copy(&m->arena, key.ptr, key.len);
        if (!copy) return lm_mem_err();
        err = lm_vec_grow(m->store->mem, &m->keys, &m->key_cap, m->key_count + 1, sizeof(lm_str));
        if (err) return err;
        m->keys[m->key_count++] = (lm_str){copy, key.len};
        *slot = (uint32_t)m->key_count;
    }
    *out = *slot - 1;
    return LM_OK;
}

static lm_err take_view(merge *m, store_view *view)
{
    lm_err err = LM_OK;
    m->view = view;
    m->numbers = lm_arena_alloc(&m->arena, view->stream_count * sizeof *m->numbers, 4);
    m->of_record = lm_arena_alloc(&m->arena, (size_t)view->record_count * sizeof *m->of_record, 4);
    if (!m->numbers || !m->of_record) return lm_mem_err();
    memset(m->of_record, 0xFF, (size_t)view->record_count * sizeof *m->of_record);
    for (uint32_t i = 0; i < view->stream_count && !err; i++) {
        const store_part_stream *stream = &view->streams[i];
        err = take_key(m, stream->key, &m->numbers[i]);
        for (uint64_t r = stream->first; r < stream->first + stream->records && !err; r++) {
            if (m->of_record[r] != UINT32_MAX)
                err = lm_fail(LM_E_CORRUPT, "segment %016llx has a record of two streams",
                              (unsigned long long)view->id);
            m->of_record[r] = i; /* in all they are as many as the records: none is left out */
        }
    }
    return err ? err : store_view_walk(view, take_record, m);
}

static lm_err write_merged(merge *m, lm_str tenant, const uint64_t *ids, size_t count)
{
    lm_store *store = m->store;
    for (size_t i = 0; i < m->item_count; i++) {
        size_t line = i ? m->line_ends[i - 1] : 0, pair = i ? m->pair_ends[i - 1] : 0;
        m->items[i].line = (lm_str){m->text.ptr + line, m->line_ends[i] - line};
        m->items[i].metadata = (lm_str){m->pairs.ptr + pair, m->pair_ends[i] - pair};
    }
    store_part_plan plan = {.id = store_part_number(store),
                            .tenant = tenant,
                            .level = LM_LEVEL_DEFAULT,
                            .keys = m->keys,
                            .stream_count = (uint32_t)m->key_count,
                            .items = m->items,
                            .item_count = m->item_count,
                            .replaces = ids,
                            .replace_count = count};
    store_part part;
    store_part_stream *streams = NULL;
    /* On this thread alone: it has time, half the memory will do, and its CPU time is what the
     * budget is told by. */
    lm_err err =
        store_part_write(store->mem, NULL, store->folder, &plan, &m->arena, &part, &streams);
    if (err) return err;
    err = store_publish(store, &part, &streams, 1, ids, count, NULL);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        store_part_remove(store->folder, plan.id);
        return lm_err_restore(&info);
    }
    return LM_OK;
}

static lm_err merge_parts(lm_store *store, lm_str tenant, const uint64_t *ids, size_t count)
{
    merge m = {.store = store};
    lm_err err = LM_OK;
    lm_arena_init(&m.arena, store->mem);
    lm_buf_init(&m.text, store->mem);
    lm_buf_init(&m.pairs, store->mem);
    for (size_t i = 0; i < count && !err; i++) {
        store_view *view = NULL;
        /* Not by the questions' cache: these segments are read once, and then deleted. */
        err = store_view_open(store->mem, store->folder, ids[i], &view);
        if (!err) err = store_view_load(view, STORE_TIMES | STORE_LINES);
        if (!err) err = take_view(&m, view);
        lm_err_info info;
        lm_err_save(&info);
        store_view_close(view); /* NULL is fine */
        if (err) err = lm_err_restore(&info);
    }
    if (!err) err = write_merged(&m, tenant, ids, count);
    lm_mem_release(store->mem, m.items, m.item_cap * sizeof *m.items);
    lm_mem_release(store->mem, m.line_ends, m.line_cap * sizeof(size_t));
    lm_mem_release(store->mem, m.pair_ends, m.pair_cap * sizeof(size_t));
    lm_mem_release(store->mem, m.keys, m.key_cap * sizeof(lm_str));
    lm_mem_release(store->mem, m.table, m.table_len * sizeof *m.table);
    lm_buf_fini(&m.text);
    lm_buf_fini(&m.pairs);
    lm_arena_fini(&m.arena);
    return err;
}

/** Neighbours in time of one tenant that are at level fast; false: too little to be worth it. */
static bool choose_parts(lm_store *store, char *tenant, uint64_t *ids, size_t *out_count)
{
    for (size_t first = 0; first < store->part_count; first++) {
        const store_part *begin = store->parts[first];
        if (begin->level != LM_LEVEL_FAST || begin->is_stuck) continue;
        uint64_t bytes = 0;
        size_t count = 0;
        for (size_t i = first; i < store->part_count && count < MERGE_PARTS_MAX; i++) {
            const store_part *part = store->parts[i];
            if (strcmp(part->tenant, begin->tenant) != 0) continue;
            if (part->level != LM_LEVEL_FAST || part->is_stuck) break;
            if (count && bytes + part->raw_bytes > STORE_MERGE_BYTES) break;
            bytes += part->raw_bytes;
            ids[count++] = part->id;
        }
        /* A full segment is repacked alone; small ones wait for company. */
        if (bytes < STORE_MERGE_BYTES / 2 && count < 8) continue;
        memcpy(tenant, begin->tenant, sizeof begin->tenant);
        *out_count = count;
        return true;
    }
    return false;
}

lm_err store_mill(lm_store *store, bool *out_did)
{
    char tenant[STORE_TENANT_BYTES_MAX + 1];
    uint64_t ids[MERGE_PARTS_MAX];
    size_t count = 0;
    *out_did = false;
    uint64_t now_ns = lm_clock_ns();
    if (!store->options.mill_cpu_percent || now_ns < store->rest_until_ns) return LM_OK;
    /* Never in the way of what comes in: while segments follow one another quickly, it waits. */
    if (store->sealed_ns && now_ns - store->sealed_ns < MILL_QUIET_NS) return LM_OK;
    pthread_mutex_lock(&store->lock);
    bool is_worth_it = choose_parts(store, tenant, ids, &count);
    pthread_mutex_unlock(&store->lock);
    if (!is_worth_it) return LM_OK;
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    lm_err err = merge_parts(store, lm_str_of(tenant), ids, count);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    uint64_t spent_ns = (uint64_t)((after.tv_sec - before.tv_sec) * SECOND_NS) +
                        (uint64_t)(after.tv_nsec - before.tv_nsec);
    unsigned percent = store->options.mill_cpu_percent;
    if (percent < 100) store->rest_until_ns = lm_clock_ns() + spent_ns * (100 - percent) / percent;
    pthread_mutex_lock(&store->lock);
    if (!err) store->counters.merges++;
    /* What cannot be merged (damaged) is left as it is, not tried for ever. */
    for (size_t i = 0; err && err != LM_E_IO && i < store->part_count; i++) {
        for (size_t k = 0; k < count; k++)
            store->parts[i]->is_stuck |= store->parts[i]->id == ids[k];
    }
    pthread_mutex_unlock(&store->lock);
    *out_did = !err;
    return err;
}

/* ---- deleting ---- */

static uint64_t retention_of(const lm_store *store, const char *tenant)
{
    for (const store_tenant *t = store->tenants; t; t = t->next) {
        if (strcmp(t->name, tenant) == 0) return t->retention_ns;
    }
    return store->options.retention_ns;
}

lm_err store_retain(lm_store *store)
{
    int64_t now = lm_clock_wall_ns();
    uint64_t ids[MERGE_PARTS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&store->lock);
    uint64_t bytes = store->counters.segment_bytes;
    for (size_t i = 0; i < store->part_count && count < MERGE_PARTS_MAX; i++) {
        const store_part *part = store->parts[i];
        uint64_t keep_ns = retention_of(store, part->tenant);
        bool is_old =
            keep_ns && part->time_max < now && (uint64_t)now - (uint64_t)part->time_max > keep_ns;
        bool is_too_much = store->options.disk_bytes_max && bytes > store->options.disk_bytes_max;
        if (!is_old && !is_too_much) continue;
        bytes -= part->bytes;
        ids[count++] = part->id;
    }
    pthread_mutex_unlock(&store->lock);
    return count ? store_publish(store, NULL, NULL, 0, ids, count, NULL) : LM_OK;
}

/* ---- the thread ---- */

static void look_at_disk(lm_store *store)
{
    struct statvfs about;
    uint64_t free_bytes = 0;
    if (statvfs(store->folder, &about) == 0) free_bytes = about.f_bavail * about.f_frsize;
    pthread_mutex_lock(&store->lock);
    store->disk_free = free_bytes;
    pthread_mutex_unlock(&store->lock);
}

/** The oldest generation, if it can be sealed; makes the active one full when it is old or somebody
 * asked for it. Lock held. */
static store_generation *choose_generation(lm_store *store)
{
    store_generation *active = store->active;
    bool is_asked = store->flushes_wanted > store->flushes_done;
    if (active && !active->is_full && active->queued_bytes &&
        (is_asked || lm_clock_ns() - active->begun_ns > store->options.head_age_ns))
        active->is_full = true;
    store_generation *oldest = store->generations;
    return oldest && oldest->is_full && !oldest->pending && oldest->frame_count ? oldest : NULL;
}

/** A full generation in which nothing became durable: nothing to seal. Lock held. */
static void drop_empty(lm_store *store)
{
    store_generation *oldest = store->generations;
    if (!oldest || !oldest->is_full || oldest->pending || oldest->frame_count) return;
    store->generations = oldest->next;
    if (store->active == oldest) store->active = NULL;
    store->generation_count--;
    oldest->users++;
    store_generation_unuse(store, oldest);
}

static void wait_some(lm_store *store, uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ns / SECOND_NS);
    until.tv_nsec += (long)(ns % SECOND_NS);
    if (until.tv_nsec >= SECOND_NS) {
        until.tv_nsec -= SECOND_NS;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&store->keeper_moved, &store->lock, &until);
}

static void try_seal(lm_store *store, store_generation *generation)
{
    lm_err err = store_seal(store, generation);
    store->sealed_ns = lm_clock_ns();
    if (err) {
        store_note(store, 3, "seal_failed", "%s", lm_err_text());
        lm_pack_kept_clear(store->kept); /* it may have been for want of memory */
    }
    pthread_mutex_lock(&store->lock);
    store->seal_failed = err;
    if (err) pthread_cond_broadcast(&store->sealed);
    if (err && !store->stops) wait_some(store, RETRY_NS);
    pthread_mutex_unlock(&store->lock);
}

typedef struct burst {
    uint64_t puts;
    unsigned quiet; /* looks since something happened */
    bool is_over;   /* and its memory given back */
} burst;

/** Once a second: after a burst the memory that it needed goes back to the system. */
static void give_back(lm_store *store, burst *last, bool did)
{
    pthread_mutex_lock(&store->lock);
    uint64_t puts = store->counters.puts;
    pthread_mutex_unlock(&store->lock);
    if (did || puts != last->puts) {
        *last = (burst){.puts = puts};
        return;
    }
    if (last->is_over || ++last->quiet < TRIM_LOOKS) return;
    lm_pack_kept_clear(store->kept);
    lm_mem_trim(store->mem);
    last->is_over = true;
}

void *store_keeper_main(void *arg)
{
    lm_store *store = arg;
    uint64_t looked_ns = 0;
    burst last = {0};
    pthread_mutex_lock(&store->lock);
    while (!store->stops) {
        drop_empty(store);
        store_generation *generation = choose_generation(store);
        bool is_flushed = !generation && store->flushes_done < store->flushes_wanted &&
                          (!store->generations || !store->generations->queued_bytes);
        if (is_flushed) {
            store->flushes_done = store->flushes_wanted;
            pthread_cond_broadcast(&store->sealed);
        }
        pthread_mutex_unlock(&store->lock);
        bool did = generation != NULL;
        if (generation) try_seal(store, generation);
        if (lm_clock_ns() - looked_ns > SECOND_NS) {
            looked_ns = lm_clock_ns();
            look_at_disk(store);
            store_cache_rest(store, CACHE_IDLE_S * (uint64_t)SECOND_NS);
            if (store_retain(store)) store_note(store, 3, "retention_failed", "%s", lm_err_text());
            give_back(store, &last, did);
        }
        if (!did && store_mill(store, &did) != LM_OK)
            store_note(store, 3, "merge_failed", "%s", lm_err_text());
        if (did) last = (burst){0};
        pthread_mutex_lock(&store->lock);
        if (!did && !store->stops) wait_some(store, SECOND_NS / 4);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

/** Sealing: what a generation holds becomes segments, one a tenant, and its log goes. */
#include "store/store_priv.h"
#include <unistd.h>

typedef struct seal {
    lm_store *store;
    store_generation *generation;
    lm_arena arena;
    uint32_t *numbers; /* of each stream of the generation in its tenant's segment */
    store_part *parts;
    store_part_stream **streams;
    size_t part_count;
} seal;

uint64_t store_part_number(lm_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t number = store->next_part++;
    pthread_mutex_unlock(&store->lock);
    return number;
}

/** Records of one tenant; its streams get their numbers. */
static lm_err gather(seal *s, lm_str tenant, store_part_plan *plan)
{
    store_generation *generation = s->generation;
    lm_str *keys =
        lm_arena_alloc(&s->arena, generation->stream_count * sizeof *keys, _Alignof(lm_str));
    size_t count = 0;
    if (!keys) return lm_mem_err();
    for (const store_frame *frame = generation->first; frame; frame = frame->next) {
        if (!lm_str_equal(frame->tenant, tenant)) continue;
        count += frame->record_count;
    }
    plan->items = lm_arena_alloc(&s->arena, count * sizeof *plan->items, _Alignof(store_item));
    if (!plan->items) return lm_mem_err();
    for (size_t i = 0; i < generation->stream_count; i++)
        s->numbers[i] = UINT32_MAX;
    for (const store_frame *frame = generation->first; frame; frame = frame->next) {
        store_walk walk;
        store_raw_record raw;
        if (!lm_str_equal(frame->tenant, tenant)) continue;
        store_frame_records(frame, &walk);
        while (store_frame_next_record(&walk, &raw)) {
            const store_stream *stream = frame->streams[raw.stream];
            uint32_t *number = &s->numbers[stream->number];
            if (*number == UINT32_MAX) {
                *number = plan->stream_count;
                keys[plan->stream_count++] = stream->stream.key;
            }
            plan->items[plan->item_count] =
                (store_item){.time_ns = raw.time_ns,
                             .line = raw.line,
                             .metadata = raw.metadata,
                             .stream = *number,
                             .is_folded = store_line_is_folded(raw.line)};
            plan->item_count++;
        }
    }
    plan->keys = keys;
    return LM_OK;
}

static bool is_new_tenant(const seal *s, lm_str tenant)
{
    for (size_t i = 0; i < s->part_count; i++) {
        if (lm_str_equal(lm_str_of(s->parts[i].tenant), tenant)) return false;
    }
    return true;
}

static lm_err seal_tenant(seal *s, lm_str tenant)
{
    lm_store *store = s->store;
    store_part_plan plan = {.id = store_part_number(store),
                            .generation = s->generation->id,
                            .tenant = tenant,
                            .level = LM_LEVEL_FAST,
                            .kept = store->kept};
    lm_err err = gather(s, tenant, &plan);
    if (err || !plan.item_count) return err;
    store_part part;
    store_part_stream *streams = NULL;
    err =
        store_part_write(store->mem, store->pool, store->folder, &plan, &s->arena, &part, &streams);
    if (err) return err;
    /* One a tenant: small arrays, grown in the arena. */
    store_part *parts =
        lm_arena_alloc(&s->arena, (s->part_count + 1) * sizeof *parts, _Alignof(store_part));
    store_part_stream **all = lm_arena_alloc(&s->arena, (s->part_count + 1) * sizeof *all, 8);
    if (!parts || !all) {
        store_part_remove(store->folder, plan.id);
        return lm_mem_err();
    }
    if (s->part_count) {
        memcpy(parts, s->parts, s->part_count * sizeof *parts);
        memcpy(all, s->streams, s->part_count * sizeof *all);
    }
    parts[s->part_count] = part;
    all[s->part_count++] = streams;
    s->parts = parts;
    s->streams = all;
    return LM_OK;
}

static lm_err write_checkpoints(lm_store *store, store_generation *generation)
{
    lm_err err = LM_OK;
    for (const store_frame *frame = generation->first; frame && !err; frame = frame->next) {
        store_walk walk;
        lm_checkpoint checkpoint;
        store_frame_checkpoints(frame, &walk);
        while (!err && store_frame_next_checkpoint(&walk, &checkpoint))
            err = store_catalog_checkpoint(store->catalog, checkpoint.key, checkpoint.value);
    }
    return err;
}

lm_err store_publish(lm_store *store, const store_part *parts, store_part_stream *const *streams,
                     size_t count, const uint64_t *replaced, size_t replaced_count,
                     store_generation *sealed)
{
    store_part *reserved = NULL;
    pthread_mutex_lock(&store->catalog_lock);
    /* What can fail comes first: behind the catalog's word files of segments are no longer to be
     * removed, and logs are. */
    pthread_mutex_lock(&store->lock);
    lm_err err = store_parts_reserve(store, parts, count, &reserved);
    pthread_mutex_unlock(&store->lock);
    if (!err) err = store_catalog_begin(store->catalog);
    if (!err) {
        for (size_t i = 0; i < replaced_count && !err; i++)
            err = store_catalog_remove(store->catalog, replaced[i]);
        for (size_t i = 0; i < count && !err; i++)
            err = store_catalog_add(store->catalog, &parts[i], streams[i]);
        if (!err && sealed) err = write_checkpoints(store, sealed);
        if (!err && sealed) err = store_catalog_sealed_set(store->catalog, sealed->id);
        lm_err end = store_catalog_end(store->catalog, !err);
        if (!err) err = end;
    }
    if (!err) {
        /* Selects see the old ones or the new ones, never both: the lock is one. */
        pthread_mutex_lock(&store->lock);
        for (size_t i = 0; i < replaced_count; i++)
            store_parts_remove(store, replaced[i]);
        store_parts_insert(store, reserved);
        if (sealed) {
            sealed->is_sealed = true;
            store_checkpoints_drop(store, sealed->id);
            store->counters.seals++;
            store->counters.templates = 0;
            for (size_t i = 0; i < count; i++)
                store->counters.templates += parts[i].templates;
        }
        pthread_mutex_unlock(&store->lock);
    } else {
        store_parts_forget(store, reserved);
    }
    pthread_mutex_unlock(&store->catalog_lock);
    return err;
}

/** Takes a sealed generation out of the list; it is freed with its last user. */
static void retire(lm_store *store, store_generation *generation)
{
    char path[STORE_PATH_MAX];
    store_log_path(store->folder, generation->id, path);
    pthread_mutex_lock(&store->lock);
    store_generation **at = &store->generations;
    while (*at != generation)
        at = &(*at)->next;
    *at = generation->next;
    if (store->active == generation) store->active = NULL;
    store->generation_count--;
    generation->users++;
    store_generation_unuse(store, generation);
    pthread_cond_broadcast(&store->sealed);
    pthread_mutex_unlock(&store->lock);
    (void)unlink(path); /* if it stays, the next start sees that it is sealed */
}

lm_err store_seal(lm_store *store, store_generation *generation)
{
    seal s = {.store = store, .generation = generation};
    lm_arena_init(&s.arena, store->mem);
    s.numbers = lm_arena_alloc(&s.arena, generation->stream_count * sizeof *s.numbers, 4);
    lm_err err = s.numbers ? LM_OK : lm_mem_err();
    for (const store_frame *frame = generation->first; frame && !err; frame = frame->next) {
        if (frame->record_count && is_new_tenant(&s, frame->tenant))
            err = seal_tenant(&s, frame->tenant);
    }
    if (!err) err = store_publish(store, s.parts, s.streams, s.part_count, NULL, 0, generation);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        for (size_t i = 0; i < s.part_count; i++)
            store_part_remove(store->folder, s.parts[i].id);
        lm_arena_fini(&s.arena);
        return lm_err_restore(&info);
    }
    lm_arena_fini(&s.arena);
    retire(store, generation);
    return LM_OK;
}

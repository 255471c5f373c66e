/** Generations: what one log file holds, in memory. */
#include "store/store_priv.h"

lm_err store_generation_new(lm_mem *mem, uint64_t id, store_generation **out)
{
    store_generation *generation = lm_mem_calloc(mem, 1, sizeof *generation);
    if (!generation) return lm_mem_err();
    generation->id = id;
    lm_arena_init(&generation->arena, mem);
    *out = generation;
    return LM_OK;
}

void store_generation_free(lm_mem *mem, store_generation *generation)
{
    if (!generation) return;
    while (generation->first) {
        store_frame *frame = generation->first;
        generation->first = frame->next;
        store_frame_free(mem, frame);
    }
    lm_mem_release(mem, generation->streams, generation->stream_cap * sizeof *generation->streams);
    lm_mem_release(mem, generation->table, generation->table_len * sizeof *generation->table);
    lm_arena_fini(&generation->arena);
    lm_mem_release(mem, generation, sizeof *generation);
}

static uint64_t stream_hash(lm_str tenant, lm_str key)
{
    return lm_hash64_seed(key.ptr, key.len, lm_hash64(tenant.ptr, tenant.len));
}

static uint32_t *find_slot(const store_generation *generation, uint64_t hash, lm_str tenant,
                           lm_str key)
{
    size_t mask = generation->table_len - 1;
    size_t at = (size_t)hash & mask;
    while (generation->table[at]) {
        const store_stream *stream = generation->streams[generation->table[at] - 1];
        if (stream->hash == hash && lm_str_equal(stream->stream.key, key) &&
            lm_str_equal(stream->tenant, tenant))
            break;
        at = (at + 1) & mask;
    }
    return &generation->table[at];
}

static lm_err grow_table(lm_mem *mem, store_generation *generation)
{
    size_t len = generation->table_len ? generation->table_len * 2 : 64;
    uint32_t *table = lm_mem_calloc(mem, len, sizeof *table);
    if (!table) return lm_mem_err();
    lm_mem_release(mem, generation->table, generation->table_len * sizeof *table);
    generation->table = table;
    generation->table_len = len;
    for (size_t i = 0; i < generation->stream_count; i++) {
        const store_stream *stream = generation->streams[i];
        *find_slot(generation, stream->hash, stream->tenant, stream->stream.key) = (uint32_t)i + 1;
    }
    return LM_OK;
}

static lm_err add_stream(lm_mem *mem, store_generation *generation, uint64_t hash, lm_str tenant,
                         lm_str key, store_stream **out)
{
    lm_arena *arena = &generation->arena;
    store_stream *stream = lm_arena_alloc(arena, sizeof *stream, _Alignof(store_stream));
    uint8_t *key_copy = lm_arena_copy(arena, key.ptr, key.len);
    uint8_t *tenant_copy = lm_arena_copy(arena, tenant.ptr, tenant.len);
    if (!stream || !key_copy || !tenant_copy) return lm_mem_err();
    *stream = (store_stream){.hash = hash, .tenant = {tenant_copy, tenant.len}};
    stream->stream.key = (lm_str){key_copy, key.len};
    stream->stream.hash = lm_hash64(key.ptr, key.len);
    lm_err err = lm_labels_parse(stream->stream.key, arena, &stream->stream.labels);
    if (!err)
        err = lm_vec_grow(mem, &generation->streams, &generation->stream_cap,
                          generation->stream_count + 1, sizeof *generation->streams);
    if (err) return err;
    stream->number = (uint32_t)generation->stream_count;
    generation->streams[generation->stream_count++] = stream;
    *out = stream;
    return LM_OK;
}

lm_err store_generation_admit(lm_mem *mem, store_generation *generation, store_frame *frame)
{
    if (generation->stream_count + frame->stream_count > STORE_GENERATION_STREAMS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d streams at once", STORE_GENERATION_STREAMS_MAX);
    frame->streams = lm_mem_alloc(mem, frame->stream_count * sizeof *frame->streams);
    if (!frame->streams) return lm_mem_err();
    store_walk walk;
    store_frame_streams(frame, &walk);
    for (uint32_t i = 0; i < frame->stream_count; i++) {
        lm_str key = store_frame_next_stream(&walk);
        uint64_t hash = stream_hash(frame->tenant, key);
        lm_err err = LM_OK;
        if (generation->table_len < 2 * (generation->stream_count + 1))
            err = grow_table(mem, generation);
        if (err) return err;
        uint32_t *slot = find_slot(generation, hash, frame->tenant, key);
        if (*slot) {
            frame->streams[i] = generation->streams[*slot - 1];
            continue;
        }
        err = add_stream(mem, generation, hash, frame->tenant, key, &frame->streams[i]);
        if (err) return err;
        *slot = (uint32_t)generation->stream_count;
    }
    frame->generation = generation;
    return LM_OK;
}

void store_generation_add(store_generation *generation, store_frame *frame)
{
    frame->next = NULL;
    if (generation->last) {
        generation->last->next = frame;
    } else {
        generation->first = frame;
    }
    generation->last = frame;
    generation->frame_count++;
    generation->raw_bytes += frame->raw_bytes;
    generation->records += frame->record_count;
}

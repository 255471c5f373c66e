/**
 * Whose is a stream? Loki tells by the label service_name, and adds it to streams that lack it: the
 * value of another label that names a service, or "unknown_service". So do we, for all that comes
 * in, by push or from a source, as the tenant's limits say. Grafana's Logs Drilldown begins with a
 * list by that label. One thing differs: of an OTLP resource without service.name Loki takes the
 * attribute that happens to come first; here the list's order decides there too.
 */
#include "server/server_priv.h"

#define SERVICE_LABEL   LM_STR("service_name")
#define SERVICE_UNKNOWN LM_STR("unknown_service")

static lm_str service_of(lm_labels labels, const lm_config_limits *limits)
{
    for (size_t i = 0; i < limits->service_name_count; i++) {
        lm_str value = lm_labels_get(labels, lm_str_of(limits->service_names[i]));
        if (value.len) return value;
    }
    return SERVICE_UNKNOWN;
}

/** A stream with one label more has room for it, or stays as it is. */
static bool lacks_service(lm_labels labels)
{
    return labels.count < LM_LABEL_COUNT_MAX && !lm_labels_has(labels, SERVICE_LABEL);
}

static lm_err name_stream(const lm_config_limits *limits, lm_arena *arena, lm_buf *key,
                          lm_stream *io)
{
    lm_labels labels = io->labels;
    lm_label *items = lm_arena_alloc(arena, (labels.count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    uint32_t at = 0;
    while (at < labels.count && lm_str_compare(labels.items[at].name, SERVICE_LABEL) < 0)
        at++;
    if (at) memcpy(items, labels.items, at * sizeof *items);
    items[at] = (lm_label){SERVICE_LABEL, service_of(labels, limits)};
    if (at < labels.count)
        memcpy(items + at + 1, labels.items + at, (labels.count - at) * sizeof *items);
    io->labels = (lm_labels){items, labels.count + 1};
    key->len = 0;
    lm_err err = lm_labels_print(io->labels, key);
    if (err) return err;
    io->key = (lm_str){lm_arena_copy(arena, key->ptr, key->len), key->len};
    if (!io->key.ptr) return lm_mem_err();
    io->hash = lm_hash64(key->ptr, key->len);
    return LM_OK;
}

/** The batch's streams, named; NULL: all of them are already. Two may be the same then; the store
 * makes one of them. */
static lm_err name_streams(const lm_record_batch *batch, const lm_config_limits *limits,
                           lm_arena *arena, lm_stream **out)
{
    size_t first = limits->service_name_count ? 0 : batch->stream_count;
    while (first < batch->stream_count && !lacks_service(batch->streams[first].labels))
        first++;
    *out = NULL;
    if (first == batch->stream_count) return LM_OK;
    lm_stream *streams = lm_arena_alloc(arena, batch->stream_count * sizeof *streams, 16);
    if (!streams) return lm_mem_err();
    memcpy(streams, batch->streams, batch->stream_count * sizeof *streams);
    lm_buf key;
    lm_buf_init(&key, arena->mem);
    lm_err err = LM_OK;
    for (size_t i = first; i < batch->stream_count && !err; i++) {
        if (lacks_service(streams[i].labels)) err = name_stream(limits, arena, &key, &streams[i]);
    }
    lm_buf_fini(&key);
    *out = streams;
    return err;
}

static lm_err put_named(void *self, lm_str tenant, const lm_record_batch *batch,
                        const lm_checkpoint *checkpoints, size_t checkpoint_count, lm_put_done done,
                        void *done_ctx)
{
    lm_server *server = self;
    lm_sink store = lm_store_sink(server->store);
    server_state *state = server_state_get(server);
    lm_record_batch named = *batch; /* but for streams, all is the batch's still */
    lm_stream *streams = NULL;
    lm_arena arena;
    lm_arena_init(&arena, server->data_mem);
    lm_err err = name_streams(batch, lm_config_limits_of(state->config, tenant), &arena, &streams);
    if (streams) named.streams = streams;
    if (!err)
        err = store.put(store.self, tenant, &named, checkpoints, checkpoint_count, done, done_ctx);
    lm_arena_fini(&arena);
    server_state_unref(server, state);
    return err;
}

static lm_err checkpoint(void *self, lm_str key, lm_buf *out)
{
    lm_server *server = self;
    lm_sink store = lm_store_sink(server->store);
    return store.checkpoint(store.self, key, out);
}

lm_sink server_service_sink(lm_server *server)
{
    return (lm_sink){server, put_named, checkpoint};
}

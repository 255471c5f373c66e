/** Batches: streams found by hash, records appended. */
#include "record/record.h"

void lm_record_batch_init(lm_record_batch *batch, lm_mem *mem)
{
    memset(batch, 0, sizeof *batch);
    lm_arena_init(&batch->arena, mem);
    lm_buf_init(&batch->key, mem);
}

void lm_record_batch_fini(lm_record_batch *batch)
{
    lm_mem *mem = batch->arena.mem;
    lm_mem_release(mem, batch->streams, batch->stream_cap * sizeof *batch->streams);
    lm_mem_release(mem, batch->records, batch->record_cap * sizeof *batch->records);
    lm_mem_release(mem, batch->table, batch->table_len * sizeof *batch->table);
    lm_buf_fini(&batch->key);
    lm_arena_fini(&batch->arena);
    memset(batch, 0, sizeof *batch);
}

void lm_record_batch_reset(lm_record_batch *batch)
{
    lm_arena_reset(&batch->arena);
    batch->stream_count = 0;
    batch->record_count = 0;
    batch->bytes = 0;
    if (batch->table) memset(batch->table, 0, batch->table_len * sizeof *batch->table);
}

/** Slots hold a stream's index + 1; at most half of them are taken. */
static uint32_t *find_slot(const lm_record_batch *batch, uint64_t hash, lm_str key)
{
    size_t mask = batch->table_len - 1;
    size_t at = (size_t)hash & mask;
    while (batch->table[at]) {
        const lm_stream *stream = &batch->streams[batch->table[at] - 1];
        if (stream->hash == hash && lm_str_equal(stream->key, key)) break;
        at = (at + 1) & mask;
    }
    return &batch->table[at];
}

static lm_err grow_table(lm_record_batch *batch)
{
    lm_mem *mem = batch->arena.mem;
    size_t len = batch->table_len ? batch->table_len * 2 : 16;
    uint32_t *table = lm_mem_calloc(mem, len, sizeof *table);
    if (!table) return lm_mem_err();
    lm_mem_release(mem, batch->table, batch->table_len * sizeof *batch->table);
    batch->table = table;
    batch->table_len = len;
    for (size_t i = 0; i < batch->stream_count; i++) {
        *find_slot(batch, batch->streams[i].hash, batch->streams[i].key) = (uint32_t)i + 1;
    }
    return LM_OK;
}

lm_err lm_record_batch_stream(lm_record_batch *batch, lm_labels labels, uint32_t *out)
{
    lm_mem *mem = batch->arena.mem;
    lm_buf *key = &batch->key;
    key->len = 0;
    lm_err err = lm_labels_print(labels, key);
    if (err) return err;
    if (batch->table_len < 2 * (batch->stream_count + 1)) {
        err = grow_table(batch);
        if (err) return err;
    }
    lm_stream stream = {.labels = labels, .key = {key->ptr, key->len}};
    stream.hash = lm_hash64(key->ptr, key->len);
    uint32_t *slot = find_slot(batch, stream.hash, stream.key);
    if (!*slot) {
        err = lm_vec_grow(mem, &batch->streams, &batch->stream_cap, batch->stream_count + 1,
                          sizeof *batch->streams);
        if (err) return err;
        stream.key.ptr = lm_arena_copy(&batch->arena, key->ptr, key->len);
        if (!stream.key.ptr) return lm_mem_err();
        batch->streams[batch->stream_count++] = stream;
        *slot = (uint32_t)batch->stream_count;
    }
    *out = *slot - 1;
    return LM_OK;
}

lm_err lm_record_batch_add(lm_record_batch *batch, uint32_t stream, int64_t time_ns, lm_str line,
                           lm_labels metadata)
{
    LM_ASSERT(stream < batch->stream_count);
    if (line.len > LM_LINE_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "a line has %zu bytes, at most %d are taken", line.len,
                       LM_LINE_BYTES_MAX);
    }
    lm_err err = LM_OK;
    if (batch->record_count == batch->record_cap) {
        err = lm_vec_grow(batch->arena.mem, &batch->records, &batch->record_cap,
                          batch->record_count + 1, sizeof *batch->records);
        if (err) return err;
    }
    batch->records[batch->record_count++] =
        (lm_record){.time_ns = time_ns, .line = line, .metadata = metadata, .stream = stream};
    batch->bytes += line.len;
    for (uint32_t i = 0; i < metadata.count; i++) {
        batch->bytes += metadata.items[i].name.len + metadata.items[i].value.len;
    }
    return LM_OK;
}

void lm_record_batch_cut(lm_record_batch *batch, size_t stream_count, size_t record_count)
{
    LM_ASSERT(stream_count <= batch->stream_count && record_count <= batch->record_count);
    for (size_t i = record_count; i < batch->record_count; i++) {
        const lm_record *record = &batch->records[i];
        batch->bytes -= record->line.len;
        for (uint32_t k = 0; k < record->metadata.count; k++) {
            const lm_label *label = &record->metadata.items[k];
            batch->bytes -= label->name.len + label->value.len;
        }
    }
    batch->record_count = record_count;
    if (stream_count == batch->stream_count) return;
    batch->stream_count = stream_count;
    memset(batch->table, 0, batch->table_len * sizeof *batch->table);
    for (size_t i = 0; i < stream_count; i++) {
        *find_slot(batch, batch->streams[i].hash, batch->streams[i].key) = (uint32_t)i + 1;
    }
}

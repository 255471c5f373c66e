/* Frames: a batch as bytes. The same bytes lie in the log and in memory, so a record is copied once
 * on its way in.
 *
 *   head     magic, length of the payload, checksum of the payload
 *   payload  tenant; checkpoints: key, value ...; streams: label text ...; records
 *   record   stream, time (difference to the one before), line length and bytes, metadata length
 *            and pairs
 */
#include "store/store_priv.h"

/** Room for the metadata's pairs, an upper bound. */
static size_t metadata_room(lm_labels metadata)
{
    size_t room = 10;
    for (uint32_t i = 0; i < metadata.count; i++)
        room += 20 + metadata.items[i].name.len + metadata.items[i].value.len;
    return room;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_text(uint8_t *at, lm_str text)
{
    at = put_varint(at, text.len);
    if (text.len) memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static size_t varint_len(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static size_t text_len(lm_str text)
{
    return varint_len(text.len) + text.len;
}

static size_t pairs_len(lm_labels metadata)
{
    size_t len = varint_len(metadata.count);
    for (uint32_t i = 0; i < metadata.count; i++)
        len += text_len(metadata.items[i].name) + text_len(metadata.items[i].value);
    return len;
}

static uint8_t *put_metadata(uint8_t *at, lm_labels metadata)
{
    if (!metadata.count) return put_varint(at, 0);
    at = put_varint(at, pairs_len(metadata));
    at = put_varint(at, metadata.count);
    for (uint32_t i = 0; i < metadata.count; i++) {
        at = put_text(at, metadata.items[i].name);
        at = put_text(at, metadata.items[i].value);
    }
    return at;
}

/** An upper bound of a frame's bytes. */
static size_t frame_room(lm_str tenant, const lm_record_batch *batch,
                         const lm_checkpoint *checkpoints, size_t checkpoint_count)
{
    size_t room = STORE_FRAME_HEAD + tenant.len + 50;
    for (size_t i = 0; i < checkpoint_count; i++)
        room += 20 + checkpoints[i].key.len + checkpoints[i].value.len;
    for (size_t i = 0; i < batch->stream_count; i++)
        room += 10 + batch->streams[i].key.len;
    for (size_t i = 0; i < batch->record_count; i++)
        room += 25 + batch->records[i].line.len + metadata_room(batch->records[i].metadata);
    return room;
}

static void note_time(store_frame *frame, int64_t time_ns)
{
    if (time_ns < frame->time_min) frame->time_min = time_ns;
    if (time_ns > frame->time_max) frame->time_max = time_ns;
}

static void put_head(store_frame *frame)
{
    size_t payload = frame->len - STORE_FRAME_HEAD;
    uint32_t magic = STORE_FRAME_MAGIC, len = (uint32_t)payload;
    uint64_t check = lm_hash64(frame->bytes + STORE_FRAME_HEAD, payload);
    memcpy(frame->bytes, &magic, 4);
    memcpy(frame->bytes + 4, &len, 4);
    memcpy(frame->bytes + 8, &check, 8);
}

lm_err store_frame_make(lm_mem *mem, lm_str tenant, const lm_record_batch *batch,
                        const lm_checkpoint *checkpoints, size_t checkpoint_count,
                        store_frame **out)
{
    size_t room = frame_room(tenant, batch, checkpoints, checkpoint_count);
    if (room > STORE_FRAME_BYTES_MAX)
        return lm_fail(LM_E_USAGE, "a batch of %zu bytes is more than is taken at once", room);
    store_frame *frame = lm_mem_calloc(mem, 1, sizeof *frame);
    if (!frame) return lm_mem_err();
    frame->bytes = lm_mem_alloc(mem, room);
    if (!frame->bytes) {
        lm_mem_release(mem, frame, sizeof *frame);
        return lm_mem_err();
    }
    uint8_t *at = frame->bytes + STORE_FRAME_HEAD;
    at = put_varint(at, tenant.len);
    frame->tenant = (lm_str){at, tenant.len};
    memcpy(at, tenant.ptr, tenant.len);
    at = put_varint(at + tenant.len, checkpoint_count);
    frame->checkpoints_at = (size_t)(at - frame->bytes);
    for (size_t i = 0; i < checkpoint_count; i++) {
        at = put_text(at, checkpoints[i].key);
        at = put_text(at, checkpoints[i].value);
    }
    at = put_varint(at, batch->stream_count);
    for (size_t i = 0; i < batch->stream_count; i++)
        at = put_text(at, batch->streams[i].key);
    at = put_varint(at, batch->record_count);
    frame->records_at = (size_t)(at - frame->bytes);
    frame->time_min = INT64_MAX;
    frame->time_max = INT64_MIN;
    int64_t before = 0;
    for (size_t i = 0; i < batch->record_count; i++) {
        const lm_record *record = &batch->records[i];
        at = put_varint(at, record->stream);
        at = put_varint(at, lm_zigzag((int64_t)((uint64_t)record->time_ns - (uint64_t)before)));
        at = put_text(at, record->line);
        at = put_metadata(at, record->metadata);
        before = record->time_ns;
        note_time(frame, record->time_ns);
    }
    frame->stream_count = (uint32_t)batch->stream_count;
    frame->record_count = (uint32_t)batch->record_count;
    frame->checkpoint_count = (uint32_t)checkpoint_count;
    frame->raw_bytes = batch->bytes;
    frame->len = (size_t)(at - frame->bytes);
    LM_ASSERT(frame->len <= room);
    /* The bound is generous for batches of many short lines: give the rest back. */
    uint8_t *fit = lm_mem_resize(mem, frame->bytes, room, frame->len);
    frame->cap = fit ? frame->len : room;
    if (fit) {
        frame->tenant.ptr = fit + (frame->tenant.ptr - frame->bytes);
        frame->bytes = fit;
    }
    put_head(frame);
    *out = frame;
    return LM_OK;
}

void store_frame_free(lm_mem *mem, store_frame *frame)
{
    if (!frame) return;
    lm_mem_release(mem, frame->streams, frame->stream_count * sizeof *frame->streams);
    lm_mem_release(mem, frame->bytes, frame->cap);
    lm_mem_release(mem, frame, sizeof *frame);
}

/* ---- reading ---- */

static lm_str read_text(lm_reader *r)
{
    return lm_reader_bytes(r, (size_t)lm_reader_varint_max(r, STORE_FRAME_BYTES_MAX));
}

static bool is_metadata(lm_str bytes)
{
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    if (!bytes.len) return true;
    uint64_t count = lm_reader_varint_max(&r, bytes.len);
    for (uint64_t i = 0; i < 2 * count && !r.failed; i++)
        (void)read_text(&r);
    return !r.failed && !lm_reader_left(&r);
}

/** Checks the payload to its end and fills in what frame tells of it. */
static bool check_payload(store_frame *frame)
{
    lm_reader r = lm_reader_of(frame->bytes + STORE_FRAME_HEAD, frame->len - STORE_FRAME_HEAD);
    frame->tenant = read_text(&r);
    if (frame->tenant.len > STORE_TENANT_BYTES_MAX) return false;
    frame->checkpoint_count = (uint32_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    frame->checkpoints_at = (size_t)(r.ptr - frame->bytes);
    for (uint32_t i = 0; i < frame->checkpoint_count && !r.failed; i++) {
        (void)read_text(&r); /* key */
        (void)read_text(&r); /* value */
    }
    frame->stream_count = (uint32_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    for (uint32_t i = 0; i < frame->stream_count && !r.failed; i++)
        (void)read_text(&r);
    frame->record_count = (uint32_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    frame->records_at = (size_t)(r.ptr - frame->bytes);
    frame->time_min = INT64_MAX;
    frame->time_max = INT64_MIN;
    if (r.failed) return false;
    store_walk walk;
    store_raw_record record;
    store_frame_records(frame, &walk);
    uint32_t seen = 0;
    while (store_frame_next_record(&walk, &record)) {
        if (record.stream >= frame->stream_count || !is_metadata(record.metadata)) return false;
        note_time(frame, record.time_ns);
        frame->raw_bytes += record.line.len;
        seen++;
    }
    return !walk.reader.failed && seen == frame->record_count && lm_reader_left(&walk.reader) == 0;
}

void store_frame_sign(store_frame *frame, uint64_t secret)
{
    uint64_t check = lm_le64(frame->bytes + 8) ^ secret;
    memcpy(frame->bytes + 8, &check, 8);
}

lm_err store_frame_parse(lm_mem *mem, lm_str bytes, uint64_t secret, store_frame **out,
                         size_t *out_len)
{
    if (bytes.len < STORE_FRAME_HEAD || lm_le32(bytes.ptr) != STORE_FRAME_MAGIC)
        return lm_fail(LM_E_CORRUPT, "no frame begins here");
    size_t payload = lm_le32(bytes.ptr + 4);
    if (payload > STORE_FRAME_BYTES_MAX || payload > bytes.len - STORE_FRAME_HEAD)
        return lm_fail(LM_E_CORRUPT, "a frame is cut off");
    if ((lm_hash64(bytes.ptr + STORE_FRAME_HEAD, payload) ^ secret) != lm_le64(bytes.ptr + 8))
        return lm_fail(LM_E_CORRUPT, "a frame's checksum does not fit");
    store_frame *frame = lm_mem_calloc(mem, 1, sizeof *frame);
    if (!frame) return lm_mem_err();
    size_t len = STORE_FRAME_HEAD + payload;
    frame->bytes = lm_mem_alloc(mem, len);
    if (!frame->bytes) {
        lm_mem_release(mem, frame, sizeof *frame);
        return lm_mem_err();
    }
    frame->len = frame->cap = len;
    memcpy(frame->bytes, bytes.ptr, len);
    if (!check_payload(frame)) {
        frame->stream_count = 0;
        store_frame_free(mem, frame);
        return lm_fail(LM_E_CORRUPT, "a frame is not what it claims to be");
    }
    *out = frame;
    *out_len = len;
    return LM_OK;
}

void store_frame_checkpoints(const store_frame *frame, store_walk *walk)
{
    *walk = (store_walk){.left = frame->checkpoint_count};
    walk->reader =
        lm_reader_of(frame->bytes + frame->checkpoints_at, frame->len - frame->checkpoints_at);
}

bool store_frame_next_checkpoint(store_walk *walk, lm_checkpoint *out)
{
    if (!walk->left) return false;
    walk->left--;
    out->key = read_text(&walk->reader);
    out->value = read_text(&walk->reader);
    return true;
}

void store_frame_streams(const store_frame *frame, store_walk *walk)
{
    lm_checkpoint skipped;
    store_frame_checkpoints(frame, walk);
    while (store_frame_next_checkpoint(walk, &skipped)) {
    }
    (void)lm_reader_varint(&walk->reader); /* stream_count */
}

lm_str store_frame_next_stream(store_walk *walk)
{
    return read_text(&walk->reader);
}

void store_frame_records(const store_frame *frame, store_walk *walk)
{
    *walk = (store_walk){.left = frame->record_count};
    walk->reader = lm_reader_of(frame->bytes + frame->records_at, frame->len - frame->records_at);
}

enum { AHEAD_BYTES = 1024 };

/** Most numbers of a record take a byte or two. */
static inline uint64_t read_number(lm_reader *r)
{
    const uint8_t *p = r->ptr;
    if (r->end - p < 2) return lm_reader_varint(r);
    if (p[0] < 0x80) {
        r->ptr = p + 1;
        return p[0];
    }
    if (p[1] >= 0x80) return lm_reader_varint(r);
    r->ptr = p + 2;
    return (uint64_t)p[0] - 0x80 + ((uint64_t)p[1] << 7);
}

static inline lm_str read_short(lm_reader *r)
{
    uint64_t len = read_number(r);
    if (len > lm_reader_left(r)) return lm_reader_bytes(r, SIZE_MAX); /* fails */
    lm_str text = {r->ptr, (size_t)len};
    r->ptr += len;
    return text;
}

bool store_frame_next_record(store_walk *walk, store_raw_record *out)
{
    if (!walk->left) return false;
    walk->left--;
    lm_reader *r = &walk->reader;
    uint64_t stream = read_number(r);
    uint64_t step = (uint64_t)lm_unzigzag(read_number(r));
    walk->time_ns = (int64_t)((uint64_t)walk->time_ns + step);
    out->stream = (uint32_t)stream;
    out->time_ns = walk->time_ns;
    out->line = read_short(r);
    /* Where the next record begins is known only now, and the frame has not been touched for long:
     * bytes are asked for that come after it, or each record would wait for its own. */
    if (lm_reader_left(r) > AHEAD_BYTES + out->line.len) {
        for (size_t i = 0; i < out->line.len; i += 64)
            __builtin_prefetch(r->ptr + AHEAD_BYTES + i);
    }
    out->metadata = read_short(r);
    return !r->failed && stream <= UINT32_MAX;
}

lm_err store_metadata_read(lm_str bytes, lm_arena *arena, lm_labels *out)
{
    *out = (lm_labels){NULL, 0};
    if (!bytes.len) return LM_OK;
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    uint32_t count = (uint32_t)lm_reader_varint_max(&r, bytes.len);
    lm_label *items = lm_arena_alloc(arena, count * sizeof *items, _Alignof(lm_label));
    if (!items) return lm_mem_err();
    for (uint32_t i = 0; i < count; i++) {
        items[i].name = read_text(&r);
        items[i].value = read_text(&r);
    }
    if (r.failed) return lm_fail(LM_E_CORRUPT, "a record's metadata is not what it claims to be");
    *out = (lm_labels){items, count};
    return LM_OK;
}

/** Kafka: messages become payloads of a hand, and a hand becomes a batch with its positions. */
#include "source/source_priv.h"

#if LM_HAVE_KAFKA

#    include "source/source_kafka_priv.h"

#    include <inttypes.h>
#    include <stdio.h>

void lm_kafka_hand_reset(kafka_hand *hand, uint64_t serial)
{
    if (hand->bytes > 4 * LM_BATCH_BYTES) { /* what was rarely large is not kept */
        lm_mem *mem = hand->arena.mem;
        lm_arena_fini(&hand->arena);
        lm_arena_init(&hand->arena, mem);
    } else {
        lm_arena_reset(&hand->arena);
    }
    hand->serial = serial;
    hand->count = hand->place_count = 0;
    hand->bytes = hand->begun_ns = 0;
    hand->checkpoints = NULL;
}

static int64_t time_of(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(message, &type);
    bool is_given =
        type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && ms >= 0 && ms <= INT64_MAX / 1000000;
    return is_given ? ms * 1000000 : -1;
}

/** Tells the record from another one at the same offset of another log. */
static uint64_t hash_of(const rd_kafka_message_t *message, int64_t time_ns)
{
    uint64_t hash = message->payload ? lm_hash64(message->payload, message->len) : 0;
    uint64_t pair[2] = {hash, (uint64_t)time_ns};
    return lm_hash64(pair, sizeof pair);
}

static kafka_partition *recent_of(const kafka_source *k, const rd_kafka_message_t *message)
{
    bool is_same =
        k->recent_handle == message->rkt && k->recent && k->recent->number == message->partition;
    return is_same ? k->recent : NULL;
}

static lm_err partition_of(kafka_source *k, const rd_kafka_message_t *message,
                           kafka_partition **out)
{
    *out = recent_of(k, message);
    if (*out) return LM_OK;
    lm_err err = lm_kafka_partition(k, lm_str_of(rd_kafka_topic_name(message->rkt)),
                                    message->partition, out);
    if (err) return err;
    k->recent_handle = message->rkt;
    k->recent = *out;
    return LM_OK;
}

static lm_err header_name(lm_arena *arena, const char *name, lm_str *out)
{
    static const char prefix[] = "kafka_header_";
    size_t len = strlen(name), prefix_len = sizeof prefix - 1;
    if (len + prefix_len > LM_LABEL_NAME_BYTES_MAX / 4)
        len = LM_LABEL_NAME_BYTES_MAX / 4 - prefix_len;
    char *text = lm_arena_alloc(arena, prefix_len + len, 1);
    if (!text) return lm_mem_err();
    memcpy(text, prefix, prefix_len);
    memcpy(text + prefix_len, name, len);
    *out = lm_label_name_clean((lm_str){(const uint8_t *)text, prefix_len + len}, arena);
    return out->ptr ? LM_OK : lm_mem_err();
}

/** What stands beside the payload. Values too long for metadata are left out. */
static lm_err metadata_of(const kafka_source *k, const kafka_partition *partition,
                          const rd_kafka_message_t *message, lm_arena *arena,
                          lm_wire_payload *payload)
{
    lm_label items[3 + LM_KAFKA_HEADERS_MAX];
    uint32_t count = 0;
    lm_err err = LM_OK;
    if (!k->no_partition)
        items[count++] = (lm_label){LM_STR("kafka_partition"), partition->number_text};
    if (!k->no_offset) {
        char text[24];
        int len = snprintf(text, sizeof text, "%" PRId64, message->offset);
        items[count].name = LM_STR("kafka_offset");
        err = lm_source_copy(arena, (lm_str){(const uint8_t *)text, (size_t)len},
                             &items[count++].value);
    }
    if (!err && !k->no_key && message->key_len && message->key_len <= LM_LABEL_VALUE_BYTES_MAX) {
        items[count].name = LM_STR("kafka_key");
        err =
            lm_source_copy(arena, (lm_str){message->key, message->key_len}, &items[count++].value);
    }
    rd_kafka_headers_t *headers = NULL;
    if (!err && !k->no_headers && rd_kafka_message_headers(message, &headers)) headers = NULL;
    const char *name;
    const void *value;
    size_t len;
    for (size_t i = 0; headers && !err && i < LM_KAFKA_HEADERS_MAX; i++) {
        if (rd_kafka_header_get_all(headers, i, &name, &value, &len)) break;
        if (!value || !len || len > LM_LABEL_VALUE_BYTES_MAX) continue;
        err = header_name(arena, name, &items[count].name);
        if (!err) err = lm_source_copy(arena, (lm_str){value, len}, &items[count++].value);
    }
    if (err) return err;
    payload->metadata = lm_arena_copy(arena, items, count * sizeof *items);
    payload->metadata_count = count;
    return payload->metadata ? LM_OK : lm_mem_err();
}

/** A payload, in pieces if it is long. */
static lm_err add(kafka_source *k, const kafka_partition *partition,
                  const rd_kafka_message_t *message, int64_t time_ns)
{
    kafka_hand *hand = k->filling;
    lm_wire_payload payload = {.fields = &partition->topic->fields,
                               .time_ns = time_ns >= 0 ? time_ns : lm_clock_wall_ns(),
                               .is_plain = message->len > LM_KAFKA_JSON_MAX};
    lm_str text;
    size_t pieces = message->len / (LM_SOURCE_BUFFER_MAX + 1) + 1;
    lm_err err = lm_vec_grow(k->mem, &hand->payloads, &hand->cap, hand->count + pieces,
                             sizeof *hand->payloads);
    if (!err) err = lm_source_copy(&hand->arena, (lm_str){message->payload, message->len}, &text);
    if (!err) err = metadata_of(k, partition, message, &hand->arena, &payload);
    if (err) return err;
    hand->bytes += text.len;
    for (size_t i = 0; i < payload.metadata_count; i++)
        hand->bytes += payload.metadata[i].value.len;
    do {
        payload.text = text;
        if (payload.text.len > LM_SOURCE_BUFFER_MAX) payload.text.len = LM_SOURCE_BUFFER_MAX;
        text = (lm_str){text.ptr + payload.text.len, text.len - payload.text.len};
        hand->payloads[hand->count++] = payload;
    } while (text.len);
    return LM_OK;
}

lm_err lm_kafka_take(kafka_source *k, const rd_kafka_message_t *message)
{
    kafka_partition *partition = NULL;
    kafka_hand *hand = k->filling;
    if (message->offset < 0 || message->offset == INT64_MAX) return LM_OK; /* no broker has it */
    lm_err err = partition_of(k, message, &partition);
    if (err) return err;
    int64_t time_ns = time_of(message);
    lm_offset offset = {message->offset, hash_of(message, time_ns)};
    bool is_there = partition->is_checking && offset.last == partition->kept.last;
    bool is_ours = is_there && offset.hash == partition->kept.hash;
    if (is_there && !is_ours) {
        partition->is_checking = false;
        lm_kafka_start_over(k, partition);
        return LM_OK;
    }
    if (partition->hand != hand->serial) {
        err = lm_vec_grow(k->mem, &hand->places, &hand->place_cap, hand->place_count + 1,
                          sizeof *hand->places);
        if (err) return err;
    }
    /* One that is here already takes its place without a payload: so the group is told of it, and
     * the lag ends behind it. */
    if (!is_ours && message->len > LM_KAFKA_PAYLOAD_MAX) {
        atomic_fetch_add_explicit(&k->source.rejected, 1, memory_order_relaxed);
        lm_source_note(&k->source, 3, "kafka_message_too_large",
                       "%s: topic %.*s, partition %" PRId32 ", offset %" PRId64
                       ": a message of %zu bytes is passed over",
                       k->source.name, (int)partition->topic->name.len,
                       (const char *)partition->topic->name.ptr, message->partition,
                       message->offset, message->len);
    } else if (!is_ours && message->payload) { /* one without is a mark that its key was deleted */
        err = add(k, partition, message, time_ns);
        if (err) return err;
    }
    if (partition->hand != hand->serial) {
        partition->hand = hand->serial;
        partition->place = hand->place_count++;
    }
    partition->is_checking = false;
    if (!hand->begun_ns) hand->begun_ns = lm_clock_ns();
    hand->places[partition->place] = (kafka_place){partition, offset};
    partition->kept = offset;
    partition->next = offset.last + 1;
    return LM_OK;
}

lm_err lm_kafka_hand_make(kafka_source *k)
{
    kafka_hand *hand = k->away;
    lm_wire_options options = {.now_ns = lm_clock_wall_ns(), .mem = k->mem};
    lm_wire_report report = {0};
    lm_record_batch_reset(&k->batch);
    lm_err err = lm_wire_payloads(hand->payloads, hand->count, &options, &k->batch, &report);
    if (err) return err;
    hand->checkpoints =
        lm_arena_alloc(&hand->arena, hand->place_count * sizeof *hand->checkpoints, 8);
    if (!hand->checkpoints) return lm_mem_err();
    for (size_t i = 0; i < hand->place_count; i++) {
        const kafka_place *place = &hand->places[i];
        char text[LM_OFFSET_TEXT_MAX];
        size_t len = lm_offset_print(place->offset, text);
        hand->checkpoints[i].key = place->partition->key;
        err = lm_source_copy(&hand->arena, (lm_str){(const uint8_t *)text, len},
                             &hand->checkpoints[i].value);
        if (err) return err;
    }
    if (report.rejected) {
        atomic_fetch_add_explicit(&k->source.rejected, report.rejected, memory_order_relaxed);
        lm_source_note(&k->source, 4, "kafka_record_refused", "%s: %s", k->source.name,
                       report.reason);
    }
    return LM_OK;
}

#endif

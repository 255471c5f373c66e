/** Kafka, as a member of a consumer group: the loop. What it does and why: source_kafka_priv.h. */
#include "source/source_priv.h"

#if LM_HAVE_KAFKA

#    include "source/source_kafka_priv.h"

#    include <poll.h>
#    include <stdio.h>
#    include <stdlib.h>

#    define LINGER      (10 * LM_NS) /* what comes within it goes together */
#    define RETRY       (LM_SECOND / 2)
#    define PAUSE_AFTER (50 * LM_NS) /* the library is left alone so long; then it is paused */
#    define REOPEN      (2 * LM_SECOND)
#    define DRY         (5 * LM_NS) /* what was on its way has come */

static bool is_full(const kafka_hand *hand)
{
    return hand->bytes >= LM_KAFKA_HAND_BYTES || hand->count >= LM_KAFKA_HAND_RECORDS ||
           hand->place_count >= LM_KAFKA_HAND_RECORDS;
}

/** Worth sending, however young it is. */
static bool is_batch(const kafka_hand *hand)
{
    return hand->bytes >= LM_BATCH_BYTES || is_full(hand);
}

/** What is away is durable: the library may commit what is behind it. */
static void landed(kafka_source *k)
{
    kafka_hand *hand = k->away;
    k->away = NULL;
    k->is_made = false;
    k->refused_ns = 0;
    if (k->rk) {
        rd_kafka_topic_partition_list_t *list =
            rd_kafka_topic_partition_list_new((int)hand->place_count);
        for (size_t i = 0; i < hand->place_count; i++) {
            const kafka_place *place = &hand->places[i];
            if (!place->partition->is_assigned) continue; /* another member has it now */
            rd_kafka_topic_partition_list_add(list, (const char *)place->partition->topic->name.ptr,
                                              place->partition->number)
                ->offset = place->offset.last + 1;
        }
        (void)rd_kafka_offsets_store(k->rk,
                                     list); /* one that is lost meanwhile is not ours to commit */
        rd_kafka_topic_partition_list_destroy(list);
    }
    lm_kafka_hand_reset(hand, 0);
}

/** Looks at what came back. */
static void settle(kafka_source *k)
{
    lm_err err = LM_OK;
    if (!k->is_flying || lm_flights_landed(k->source.flights, &err) < 0) return;
    k->is_flying = false;
    if (!err) {
        landed(k);
        return;
    }
    atomic_fetch_sub_explicit(&k->source.records, k->batch.record_count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&k->source.bytes, k->batch.bytes, memory_order_relaxed);
    (void)lm_fail(err, "the sink could not keep a batch, which is sent again: %s",
                  lm_err_help(err));
    lm_source_note_err(&k->source, "sink_failed");
    k->retry_ns = lm_clock_ns() + RETRY;
}

static void put_refused(kafka_source *k, lm_err err)
{
    uint64_t now = lm_clock_ns();
    bool is_final = lm_put_is_final(err) && err != LM_E_CANCELLED; /* the store ends with us */
    if (k->is_made && is_final) {
        atomic_fetch_add_explicit(&k->source.rejected, k->batch.record_count, memory_order_relaxed);
        lm_source_note_err(&k->source, "batch_refused");
        landed(k);
        return;
    }
    if (!k->refused_ns) k->refused_ns = now;
    if (err != LM_E_LIMIT || now - k->refused_ns > 10 * LM_SECOND)
        lm_source_note_err(&k->source, "sink_failed");
    k->retry_ns = now + (err == LM_E_LIMIT ? LINGER : RETRY);
}

/** What is away goes to the sink, if it is not there already. */
static void put(kafka_source *k)
{
    if (!k->away || k->is_flying || lm_clock_ns() < k->retry_ns) return;
    lm_err err = k->is_made ? LM_OK : lm_kafka_hand_make(k);
    if (!err) {
        k->is_made = true;
        if (!k->batch.record_count) { /* marks of deletion alone */
            landed(k);
            return;
        }
        int slot;
        err =
            lm_source_put(&k->source, &k->batch, k->away->checkpoints, k->away->place_count, &slot);
    }
    if (err) {
        put_refused(k, err);
        return;
    }
    k->is_flying = true;
    k->refused_ns = 0;
}

/** The hand being filled goes away, and the other one is filled. */
static void send_off(kafka_source *k)
{
    kafka_hand *free_hand = k->filling == &k->hands[0] ? &k->hands[1] : &k->hands[0];
    LM_ASSERT(!k->away);
    k->away = k->filling;
    k->filling = free_hand;
    lm_kafka_hand_reset(free_hand, ++k->serial);
    k->is_made = false;
    k->retry_ns = 0;
    put(k);
}

static bool is_due(const kafka_source *k)
{
    const kafka_hand *hand = k->filling;
    return hand->place_count && (is_batch(hand) || lm_clock_ns() - hand->begun_ns >= LINGER);
}

void lm_kafka_flush(kafka_source *k, uint64_t deadline_ns)
{
    for (;;) {
        settle(k);
        if (!k->away && k->filling->place_count) send_off(k);
        put(k);
        uint64_t now = lm_clock_ns();
        if (!k->away || now >= deadline_ns) return;
        struct pollfd wait = {.fd = k->source.flights->event_fd, .events = POLLIN};
        (void)poll(&wait, 1, k->is_flying ? 100 : 10); /* looked at in any case */
        lm_flights_calm(k->source.flights);
    }
}

/* ---- in ---- */

/** What a message says that is none. */
static void heed(kafka_source *k, const rd_kafka_message_t *message)
{
    char why[300];
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
    if (rd_kafka_fatal_error(k->rk, why, sizeof why)) k->must_reopen = true;
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && topic[0] == '^') {
        lm_source_note(&k->source, 6, "kafka_no_topic_yet", "%s: no topic matches %s",
                       k->source.name, topic);
        return;
    }
    bool is_unknown = message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    (void)lm_fail(LM_E_IO, "%s", rd_kafka_message_errstr(message));
    lm_source_note_err(&k->source, is_unknown ? "kafka_topic_unknown" : "kafka_failed");
}

static void count(kafka_source *k, const rd_kafka_message_t *message)
{
    if (k->dry_ns) k->streak = k->streak_bytes = k->dry_ns = 0;
    k->streak++;
    k->streak_bytes += message->len;
}

/** Wakes the library where it may sleep though there is room: its queue was full for all we know,
 * and is empty. */
static void wake(kafka_source *k)
{
    uint64_t now = lm_clock_ns();
    bool was_full = k->streak >= strtoull(LM_KAFKA_QUEUE_RECORDS, NULL, 10) ||
                    k->streak_bytes >= strtoull(LM_KAFKA_QUEUE_KB, NULL, 10) * 1000;
    if (!k->is_sleepy || k->held || k->is_paused || !was_full) {
        k->streak = k->streak_bytes = k->dry_ns = 0;
    } else if (!k->dry_ns) {
        k->dry_ns = now;
    } else if (now - k->dry_ns >= DRY) {
        lm_kafka_wake(k);
        k->streak = k->streak_bytes = k->dry_ns = 0;
    }
}

/** Takes what the library has, until the hand is full or can be sent. True: there is no more for
 * now. */
static bool take_some(kafka_source *k)
{
    while (!k->must_reopen && (!is_full(k->filling) || k->is_paused)) {
        if (is_batch(k->filling)) settle(k);
        if (is_batch(k->filling) && !k->away) return false;
        rd_kafka_message_t *message = k->held ? k->held : rd_kafka_consumer_poll(k->rk, 0);
        k->held = NULL;
        if (!message) return true;
        if (k->must_reopen) { /* it comes again */
            rd_kafka_message_destroy(message);
            break;
        }
        if (message->err) {
            heed(k, message);
        } else if (!lm_kafka_take(k, message)) {
            count(k, message);
        } else {
            lm_source_note_err(&k->source, "kafka_memory");
            k->held = message;
            return true;
        }
        rd_kafka_message_destroy(message);
    }
    return false;
}

/** While the sink does not take what we have, the library is left alone for a moment; after it
 * partitions are paused, so that it can be polled and the group does not miss us. */
static void throttle(kafka_source *k)
{
    bool is_stuck = k->away && is_full(k->filling);
    uint64_t now = lm_clock_ns();
    if (!is_stuck) {
        k->full_ns = 0;
        if (k->is_paused) lm_kafka_pause(k, false);
    } else if (!k->full_ns) {
        k->full_ns = now;
    } else if (!k->is_paused && now - k->full_ns >= PAUSE_AFTER) {
        lm_kafka_pause(k, true);
    }
}

static int ms_until(uint64_t at_ns, uint64_t now)
{
    return at_ns <= now ? 0 : (int)((at_ns - now) / LM_NS) + 1;
}

/** Until something comes, lands, or is due. */
static void wait(kafka_source *k)
{
    uint64_t now = lm_clock_ns();
    int ms = 1000;
    if (k->held) ms = 100;
    if (k->away && !k->is_flying) ms = ms_until(k->retry_ns, now);
    if (!k->away && k->filling->place_count) ms = ms_until(k->filling->begun_ns + LINGER, now);
    if (k->full_ns && !k->is_paused) ms = ms < 100 ? ms : 100;
    if (k->dry_ns) ms = ms_until(k->dry_ns + DRY, now) < ms ? ms_until(k->dry_ns + DRY, now) : ms;
    if (!k->rk) ms = ms_until(k->reopen_ns, now) < ms ? ms_until(k->reopen_ns, now) : ms;
    struct pollfd wait = {.fd = k->source.flights->event_fd, .events = POLLIN};
    (void)poll(&wait, 1, ms); /* looked at in any case */
    lm_flights_calm(k->source.flights);
}

/** Closes what failed, and opens what was closed a while ago: what made it fail may last. False: it
 * is not open. */
static bool reopen(kafka_source *k)
{
    if (k->rk && k->must_reopen) {
        lm_kafka_close(k);
        k->reopen_ns = lm_clock_ns() + REOPEN;
    }
    if (k->rk) return true;
    if (lm_clock_ns() < k->reopen_ns) return false;
    if (lm_kafka_open(k) == LM_OK) return true;
    k->reopen_ns = lm_clock_ns() + REOPEN;
    lm_source_note_err(&k->source, "kafka_failed");
    return false;
}

static void kafka_run(lm_source *source)
{
    kafka_source *k = (kafka_source *)source;
    while (!lm_source_stops(source)) {
        bool is_open = reopen(k);
        settle(k);
        put(k);
        if (!k->away && is_due(k)) send_off(k);
        if (!is_open) {
            wait(k);
            continue;
        }
        throttle(k);
        bool is_drained = take_some(k);
        if (is_drained) wake(k);
        uint64_t every_ns = LM_SECOND * (1 + atomic_load(&source->open) / 500);
        if (lm_clock_ns() - k->looked_ns >= every_ns) {
            k->looked_ns = lm_clock_ns();
            lm_kafka_look_at_lag(k);
        }
        bool is_stuck = k->away && is_full(k->filling);
        if (is_drained || is_stuck) wait(k);
    }
    lm_kafka_flush(k, lm_clock_ns() + LM_KAFKA_SETTLE);
    lm_kafka_close(k);
}

static void kafka_fini(lm_source *source)
{
    kafka_source *k = (kafka_source *)source;
    lm_kafka_close(k); /* of one that never ran */
    if (k->conf) rd_kafka_conf_destroy(k->conf);
    if (k->topics) rd_kafka_topic_partition_list_destroy(k->topics);
    for (size_t i = 0; i < 2; i++) {
        kafka_hand *hand = &k->hands[i];
        lm_arena_fini(&hand->arena);
        lm_mem_release(k->mem, hand->payloads, hand->cap * sizeof *hand->payloads);
        lm_mem_release(k->mem, hand->places, hand->place_cap * sizeof *hand->places);
    }
    lm_record_batch_fini(&k->batch);
}

static lm_err copy_fields(kafka_source *k, const lm_source_kafka_options *options)
{
    lm_arena *arena = &k->source.arena;
    size_t count = options->stream_field_count;
    lm_str *streams = lm_arena_alloc(arena, count * sizeof *streams, 8);
    if (!streams) return lm_mem_err();
    lm_err err = lm_source_copy(arena, options->message_field, &k->fields.message);
    if (!err) err = lm_source_copy(arena, options->time_field, &k->fields.time);
    for (size_t i = 0; i < count && !err; i++)
        err = lm_source_copy(arena, options->stream_fields[i], &streams[i]);
    k->fields.streams = streams;
    k->fields.stream_count = count;
    return err;
}

/** "kafka GROUP TOPIC,TOPIC" */
static void name_source(kafka_source *k, const lm_source_kafka_options *options)
{
    char *name = k->source.name;
    size_t size = sizeof k->source.name, len = 0;
    (void)snprintf(name, size, "kafka %s ", options->group_id); /* cut short is fine */
    for (size_t i = 0; i < options->topic_count; i++) {
        len = strlen(name);
        (void)snprintf(name + len, size - len, "%s%s", i ? "," : "", options->topics[i]);
    }
}

lm_err lm_source_kafka(const lm_source_host *host, const lm_source_kafka_options *options,
                       lm_source **out)
{
    lm_source *source = NULL;
    lm_err err = lm_source_make(host, sizeof(kafka_source), options->labels, options->label_count,
                                false, options->tenant, &source);
    if (err) return err;
    kafka_source *k = (kafka_source *)source;
    k->mem = host->mem;
    k->from_end = options->from_end;
    k->no_partition = options->no_partition;
    k->no_offset = options->no_offset;
    k->no_key = options->no_key;
    k->no_headers = options->no_headers;
    lm_record_batch_init(&k->batch, host->mem);
    for (size_t i = 0; i < 2; i++)
        lm_arena_init(&k->hands[i].arena, host->mem);
    k->filling = &k->hands[0];
    lm_kafka_hand_reset(k->filling, ++k->serial);
    source->run = kafka_run;
    source->fini = kafka_fini;
    name_source(k, options);
    err = lm_source_text(source, options->group_id, &k->group_id);
    if (!err) err = copy_fields(k, options);
    if (!err) err = lm_kafka_configure(k, options);
    return lm_source_begin(err, source, out);
}

#else

lm_err lm_source_kafka(const lm_source_host *host, const lm_source_kafka_options *options,
                       lm_source **out)
{
    (void)host, (void)options, (void)out;
    return lm_fail(LM_E_UNSUPPORTED, "this build cannot read from Kafka");
}

#endif

/** Kafka: partitions come and go, and where each is read from. */
#include "source/source_priv.h"

#if LM_HAVE_KAFKA

#    include "source/source_kafka_priv.h"

#    include <inttypes.h>
#    include <stdio.h>

/* ---- what is known of partitions ---- */

static lm_err topic_of(kafka_source *k, lm_str name, kafka_topic **out)
{
    lm_arena *arena = &k->source.arena;
    kafka_topic *topic = k->known_topics;
    while (topic && !lm_str_equal(topic->name, name))
        topic = topic->next;
    if (!topic) {
        topic = lm_arena_alloc(arena, sizeof *topic, _Alignof(kafka_topic));
        if (!topic) return lm_mem_err();
        *topic = (kafka_topic){.next = k->known_topics, .fields = k->fields};
        lm_err err = lm_source_copy(arena, name, &topic->name);
        lm_label label = {LM_STR("topic"), topic->name};
        if (!err) err = lm_source_labels(&k->source, &label, 1, arena, &topic->fields.labels);
        if (err) return err;
        k->known_topics = topic;
    }
    *out = topic;
    return LM_OK;
}

/** The name of its checkpoint: kafka/CLUSTER/TOPIC/PARTITION/GROUP. */
static lm_err name_partition(kafka_source *k, kafka_partition *partition)
{
    char number[16];
    int len = snprintf(number, sizeof number, "%" PRId32, partition->number);
    lm_str number_text = {(const uint8_t *)number, (size_t)len};
    lm_str parts[] = {LM_STR("kafka/"), k->cluster,  LM_STR("/"), partition->topic->name,
                      LM_STR("/"),      number_text, LM_STR("/"), lm_str_of(k->group_id)};
    lm_buf text;
    lm_err err = LM_OK;
    lm_buf_init(&text, k->mem);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !err; i++)
        err = lm_buf_append(&text, parts[i].ptr, parts[i].len);
    lm_arena *arena = &k->source.arena;
    if (!err) err = lm_source_copy(arena, (lm_str){text.ptr, text.len}, &partition->key);
    if (!err) err = lm_source_copy(arena, number_text, &partition->number_text);
    lm_buf_fini(&text);
    return err;
}

static lm_err learn_cluster(kafka_source *k)
{
    if (k->cluster.ptr) return LM_OK;
    char *id = rd_kafka_clusterid(k->rk, LM_KAFKA_REQUEST_MS);
    if (!id) return lm_fail(LM_E_IO, "the brokers do not say which cluster they are");
    lm_err err = lm_source_copy(&k->source.arena, lm_str_of(id), &k->cluster);
    rd_kafka_mem_free(k->rk, id);
    return err;
}

lm_err lm_kafka_partition(kafka_source *k, lm_str topic, int32_t number, kafka_partition **out)
{
    uint64_t hash =
        lm_hash64(topic.ptr, topic.len) + (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15);
    kafka_partition **bucket = &k->partitions[(hash >> 40) % LM_KAFKA_BUCKETS];
    kafka_partition *partition = *bucket;
    while (partition &&
           (partition->number != number || !lm_str_equal(partition->topic->name, topic)))
        partition = partition->chain;
    if (!partition) {
        lm_err err = learn_cluster(k);
        partition = err ? NULL : lm_arena_alloc(&k->source.arena, sizeof *partition, 16);
        if (!partition) return err ? err : lm_mem_err();
        *partition = (kafka_partition){.number = number, .kept = {.last = -1}, .next = -1};
        err = topic_of(k, topic, &partition->topic);
        if (!err) err = name_partition(k, partition);
        if (err) return err;
        *out = partition;
        partition->chain = *bucket;
        *bucket = partition;
        return LM_OK;
    }
    *out = partition;
    return LM_OK;
}

/** What the sink has of it, asked once: from then on we know better. */
static lm_err recall(kafka_source *k, kafka_partition *partition)
{
    if (partition->is_known) return LM_OK;
    const lm_sink *sink = &k->source.host.sink;
    lm_buf text;
    lm_buf_init(&text, k->mem);
    lm_err err = sink->checkpoint(sink->self, partition->key, &text);
    if (!err && lm_offset_parse((lm_str){text.ptr, text.len}, &partition->kept))
        lm_source_note_err(&k->source, "kafka_position_unreadable"); /* as if there were none */
    if (err == LM_E_NOTFOUND) err = LM_OK;
    partition->is_known = !err;
    lm_buf_fini(&text);
    return err;
}

/* ---- where partitions are read from ---- */

/** The offsets that the group has committed, into list; where it has none: invalid. Whoever went on
 * without knowing them would read again what other members have stored: so the membership ends
 * here, and the next one asks again. */
static lm_err ask_committed(kafka_source *k, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t code = rd_kafka_committed(k->rk, list, LM_KAFKA_REQUEST_MS);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *item = &list->elems[i];
        if (item->err) code = item->err;
        item->err = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (!code) return LM_OK;
    k->must_reopen = true;
    return lm_fail(LM_E_IO, "the group's offsets are not known: %s", rd_kafka_err2str(code));
}

/** Where one begins: behind what is committed, or at the last record that is here. */
static lm_err place(kafka_source *k, rd_kafka_topic_partition_t *item)
{
    kafka_partition *partition = NULL;
    lm_err err = lm_kafka_partition(k, lm_str_of(item->topic), item->partition, &partition);
    if (!err) err = recall(k, partition);
    if (err) return err;
    partition->is_assigned = true;
    partition->is_checking = partition->kept.last >= 0 && item->offset <= partition->kept.last;
    if (partition->is_checking) item->offset = partition->kept.last;
    partition->next = item->offset >= 0 ? item->offset : -1;
    return LM_OK;
}

static bool is_cooperative(kafka_source *k)
{
    return strcmp(rd_kafka_rebalance_protocol(k->rk), "COOPERATIVE") == 0;
}

/** A failure of the library here ends this membership; the next one starts from what is durable. */
static void check(kafka_source *k, rd_kafka_error_t *error, rd_kafka_resp_err_t code)
{
    if (!error && !code) return;
    (void)lm_fail(LM_E_IO, "partitions could not be taken over: %s",
                  error ? rd_kafka_error_string(error) : rd_kafka_err2str(code));
    lm_source_note_err(&k->source, "kafka_failed");
    if (error) rd_kafka_error_destroy(error);
    k->must_reopen = true;
}

static void assign(kafka_source *k, rd_kafka_topic_partition_list_t *list)
{
    lm_err err = ask_committed(k, list);
    for (int i = 0; i < list->cnt && !err; i++)
        err = place(k, &list->elems[i]);
    if (err) { /* the library wants an answer all the same; nothing is read any more */
        for (int i = 0; i < list->cnt; i++)
            list->elems[i].offset = RD_KAFKA_OFFSET_END; /* it asks the group for no place then */
        lm_source_note_err(&k->source, "kafka_failed");
        k->must_reopen = true;
    }
    if (is_cooperative(k))
        check(k, rd_kafka_incremental_assign(k->rk, list), 0);
    else
        check(k, NULL, rd_kafka_assign(k->rk, list));
    if (k->is_paused) lm_kafka_pause(k, true);
}

/** What was read of them becomes durable first, so that the next one goes on behind it. */
static void revoke(kafka_source *k, const rd_kafka_topic_partition_list_t *list)
{
    bool is_late =
        rd_kafka_assignment_lost(k->rk) || lm_source_stops(&k->source); /* done already */
    if (!is_late) lm_kafka_flush(k, lm_clock_ns() + LM_KAFKA_SETTLE);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        kafka_partition *partition = NULL;
        if (lm_kafka_partition(k, lm_str_of(item->topic), item->partition, &partition) == LM_OK)
            partition->is_assigned = partition->is_checking = false;
    }
    if (is_cooperative(k))
        check(k, rd_kafka_incremental_unassign(k->rk, list), 0);
    else
        check(k, NULL, rd_kafka_assign(k->rk, NULL));
}

void lm_kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t *list, void *opaque)
{
    kafka_source *k = opaque;
    /* The library may free a topic's handle once its partitions are gone, and give the next topic
     * the same address. */
    k->recent_handle = NULL;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        assign(k, list);
    } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        revoke(k, list);
    } else {
        check(k, NULL, code);
        (void)rd_kafka_assign(rk, NULL); /* it is opened anew in any case */
    }
    lm_kafka_look_at_lag(k);
}

void lm_kafka_start_over(kafka_source *k, kafka_partition *partition)
{
    const char *topic = (const char *)partition->topic->name.ptr;
    lm_source_note(&k->source, 4, "kafka_topic_renewed",
                   "%s: topic %s, partition %" PRId32 ": the record at offset %" PRId64
                   " is another one than it was; the partition is read as a new one",
                   k->source.name, topic, partition->number, partition->kept.last);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *item =
        rd_kafka_topic_partition_list_add(list, topic, partition->number);
    if (ask_committed(k, list)) {
        lm_source_note_err(&k->source, "kafka_failed");
        rd_kafka_topic_partition_list_destroy(list);
        return;
    }
    partition->kept.last = -1;
    partition->next = -1;
    if (item->offset < 0)
        item->offset = k->from_end ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
    check(k, rd_kafka_seek_partitions(k->rk, list, LM_KAFKA_REQUEST_MS), 0);
    if (item->err) check(k, NULL, item->err);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- all that are assigned ---- */

void lm_kafka_pause(kafka_source *k, bool is_paused)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    k->is_paused = is_paused;
    if (rd_kafka_assignment(k->rk, &list)) return; /* none then */
    rd_kafka_resp_err_t code = is_paused ? rd_kafka_pause_partitions(k->rk, list)
                                         : rd_kafka_resume_partitions(k->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    check(k, NULL, code);
    if (!is_paused) lm_kafka_wake(k); /* that they may be fetched again wakes nobody */
}

/** Is more known to be in the partition than was read? */
static bool is_behind(kafka_source *k, const kafka_partition *p)
{
    int64_t low = -1, high = -1;
    return p->is_assigned && p->next >= 0 &&
           !rd_kafka_get_watermark_offsets(k->rk, (const char *)p->topic->name.ptr, p->number, &low,
                                           &high) &&
           p->next < high;
}

void lm_kafka_wake(kafka_source *k)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < LM_KAFKA_BUCKETS; i++) {
        for (kafka_partition *p = k->partitions[i]; p; p = p->chain) {
            if (!is_behind(k, p)) continue;
            rd_kafka_topic_partition_list_add(list, (const char *)p->topic->name.ptr, p->number)
                ->offset = p->next;
        }
    }
    if (list->cnt) check(k, rd_kafka_seek_partitions(k->rk, list, 0), 0);
    rd_kafka_topic_partition_list_destroy(list);
}

void lm_kafka_look_at_lag(kafka_source *k)
{
    uint64_t lag = 0;
    uint32_t open = 0;
    for (size_t i = 0; i < LM_KAFKA_BUCKETS; i++) {
        for (kafka_partition *p = k->partitions[i]; p; p = p->chain) {
            int64_t low = -1, high = -1;
            if (!p->is_assigned) continue;
            open++;
            if (rd_kafka_get_watermark_offsets(k->rk, (const char *)p->topic->name.ptr, p->number,
                                               &low, &high) ||
                high < 0)
                continue; /* nothing was fetched of it yet */
            int64_t next = p->next >= 0 ? p->next : k->from_end ? high : low;
            if (next < low) next = low;
            if (next < high) lag += (uint64_t)(high - next);
        }
    }
    atomic_store_explicit(&k->source.open, open, memory_order_relaxed);
    atomic_store_explicit(&k->source.lag_records, lag, memory_order_relaxed);
}

#endif

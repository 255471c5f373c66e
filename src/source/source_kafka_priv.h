/**
 * Inside of the source of Kafka: one thread, which polls librdkafka, gathers and hands over.
 *
 *     rd_kafka_consumer_poll --copy--> hand --lm_wire_payloads--> batch --put, with offsets--> away
 *     landed: rd_kafka_offsets_store, from where librdkafka commits each second
 *     failed: the same hand once more
 *
 * One hand fills while another is away, and none is put before the one before it is durable: so a
 * position never passes over records that were lost. A partition that is assigned is read from the
 * later one of two places: what the group has committed, and behind the last record that this store
 * holds. The latter is read once more and compared (time and bytes) before it is believed: a topic
 * that was deleted and made anew has the same name and other records. If it is the one it takes its
 * place in the hand without a payload. If the group's offsets cannot be had the consumer is closed
 * and opened again after a while: any other place would be a guess.
 *
 * source_kafka.c       the loop, what is put and what comes back
 * source_kafka_open.c  options to librdkafka's
 * source_kafka_hand.c  messages to payloads
 * source_kafka_group.c partitions come and go
 */
#ifndef SOURCE_KAFKA_PRIV_H
#define SOURCE_KAFKA_PRIV_H

#include "source/source_position.h"
#include "source/source_priv.h"
#include "wire/wire.h"

#include <librdkafka/rdkafka.h>

#define LM_KAFKA_HAND_BYTES    (2 * LM_BATCH_BYTES) /* a hand is full */
#define LM_KAFKA_HAND_RECORDS  65536u
#define LM_KAFKA_PAYLOAD_MAX   (32u * 1024 * 1024) /* a larger one is left in Kafka, and told */
#define LM_KAFKA_JSON_MAX      (1024u * 1024)      /* a larger one is a line, whatever it is */
#define LM_KAFKA_HEADERS_MAX   100
#define LM_KAFKA_REQUEST_MS    5000   /* a question to the broker within the loop */
#define LM_KAFKA_QUEUE_KB      "4096" /* waits in the library, and then it fetches no more */
#define LM_KAFKA_QUEUE_RECORDS "20000"
#define LM_KAFKA_SETTLE        (3 * LM_SECOND) /* what is away may take so long when partitions go */

enum { LM_KAFKA_BUCKETS = 4096 };

typedef struct kafka_topic {
    struct kafka_topic *next;
    lm_str name;
    lm_wire_fields fields;
} kafka_topic;

typedef struct kafka_partition {
    struct kafka_partition *chain; /* of its bucket */
    kafka_topic *topic;
    int32_t number;
    lm_str key;         /* of its checkpoint */
    lm_str number_text; /* of its metadata */
    bool is_known;      /* the sink was asked */
    bool is_assigned;
    bool is_checking; /* the next message is to be the last one that we have */
    lm_offset kept;   /* the last record that is durable or in a hand; last -1: none */
    int64_t next;     /* behind what was read, for the lag; -1: not known */
    uint64_t hand;    /* the serial of the hand that has a place for it, and where */
    size_t place;
} kafka_partition;

typedef struct kafka_place {
    kafka_partition *partition;
    lm_offset offset;
} kafka_place;

/** Messages on their way. */
typedef struct kafka_hand {
    uint64_t serial;
    lm_arena arena;
    lm_wire_payload *payloads;
    size_t count, cap;
    kafka_place *places; /* of each partition in it */
    size_t place_count, place_cap;
    uint64_t bytes;
    uint64_t begun_ns;
    lm_checkpoint *checkpoints; /* in arena, once it is made a batch */
} kafka_hand;

typedef struct kafka_source {
    lm_source source;
    lm_mem *mem;
    rd_kafka_conf_t *conf; /* copied for each consumer */
    rd_kafka_t *rk;        /* NULL: to be opened */
    uint64_t reopen_ns;    /* not before */
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *topics; /* subscribed */
    char *group_id;
    lm_str cluster; /* ptr NULL: not known yet */
    bool from_end, no_partition, no_offset, no_key, no_headers;
    lm_wire_fields fields; /* without labels */

    kafka_topic *known_topics;
    kafka_partition *partitions[LM_KAFKA_BUCKETS];
    const rd_kafka_topic_t *recent_handle; /* of the message before, while its consumer lives */
    kafka_partition *recent;

    kafka_hand hands[2];
    kafka_hand *filling, *away; /* away NULL: nothing is */
    bool is_flying;             /* away is with the sink */
    bool is_made;               /* batch holds what is away */
    lm_record_batch batch;
    uint64_t serial;          /* of the hand being filled */
    uint64_t retry_ns;        /* when to put it again */
    uint64_t refused_ns;      /* since when the sink refuses it; 0: it does not */
    uint64_t full_ns;         /* since when both hands are full; 0: they are not */
    rd_kafka_message_t *held; /* could not be taken for want of memory */
    uint64_t looked_ns;       /* at the lag */
    /* The library is one that must be woken (lm_kafka_wake); messages and bytes that it had one
     * after the other without running dry; since when it is dry after so many that it may sleep. */
    bool is_sleepy;
    uint64_t streak, streak_bytes, dry_ns;
    bool is_paused, must_reopen;
} kafka_source;

/* source_kafka_open.c */
LM_USE lm_err lm_kafka_configure(kafka_source *k, const lm_source_kafka_options *options);
LM_USE lm_err lm_kafka_open(kafka_source *k);
/** Commits, leaves the group if it can be done in time, and gives everything back. Until it is open
 * again there is no lag to tell. */
void lm_kafka_close(kafka_source *k);

/* source_kafka_hand.c */
/** A message into the hand that is being filled. LM_E_NOMEM, LM_E_LIMIT: as if it had not come. */
LM_USE lm_err lm_kafka_take(kafka_source *k, const rd_kafka_message_t *message);
void lm_kafka_hand_reset(kafka_hand *hand, uint64_t serial);
/** Makes the batch of what is away. */
LM_USE lm_err lm_kafka_hand_make(kafka_source *k);

/* source_kafka_group.c */
/** The partition's entry, made at its first use. */
LM_USE lm_err lm_kafka_partition(kafka_source *k, lm_str topic, int32_t number,
                                 kafka_partition **out);
/** rd_kafka_conf_set_rebalance_cb */
void lm_kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t *list, void *opaque);
/** What we have of it is not what is in the log: on from where the group is, or from the policy. */
void lm_kafka_start_over(kafka_source *k, kafka_partition *partition);
void lm_kafka_pause(kafka_source *k, bool is_paused);
void lm_kafka_look_at_lag(kafka_source *k);
/** Librdkafka before 2.2 stops fetching when its queue is full, and does not see that it was
 * emptied but once a second. A seek to where it is wakes it; of what is on its way a little may be
 * fetched once more. */
void lm_kafka_wake(kafka_source *k);

/* source_kafka.c */
/** Hands over what there is and waits, at most until deadline_ns, for it to be durable. */
void lm_kafka_flush(kafka_source *k, uint64_t deadline_ns);

#endif

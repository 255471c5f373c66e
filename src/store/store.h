/**
 * store — records durable within milliseconds, small within minutes, found for as long as they are
 * kept.
 *
 * Purpose:  write-ahead log, head, segments and catalog of the daemon. Flow:     batch
 * --lm_store_put--> head (memory) + log file --group commit: one write, one fsync--> done;   head
 * full --seal: archive per tenant, times and metadata beside--> segment --SQLite--> catalog; log
 * file gone;   background: small segments --> large ones at a smaller level. Owns:     a folder;
 * the threads that commit, seal and mill. Threads:  every function from any thread. Units:    times
 * are ns since 1970 UTC. Limits:   STORE_HEAD_BYTES_MAX, STORE_STREAMS_MAX, STORE_WAITING_MAX.
 *
 * Invariants
 *   (1) done(LM_OK) means: on disk, and found again after kill -9 or a power cut.
 *   (2) A record is visible to select no later than its done, and never twice.
 *   (3) A segment is in the catalog when and only when its files are whole; the log that holds its records goes after.
 *   (4) What is damaged is named, set aside (folder lost/) and the rest is served.
 *   (5) Tenants never meet: no segment, head or answer holds records of two.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "record/record.h"

typedef struct lm_store lm_store;

typedef struct lm_store_options {
    const char *folder;
    uint64_t head_bytes;       /* raw bytes in memory before they are sealed; 0: 8 MiB */
    uint64_t head_age_ns;      /* sealed when older, even if small; 0: 1 h */
    uint64_t commit_wait_ns;   /* the log is synced no more often than this while others join; 0: as
                                  fast as the disk takes it */
    unsigned mill_cpu_percent; /* of one core, for merging and repacking; 0: never */
    uint64_t retention_ns;     /* whole segments older than this are deleted; 0: kept */
    uint64_t disk_bytes_max;   /* oldest segments go beyond this; 0: no bound */
    uint64_t
        disk_free_min; /* puts are refused (LM_E_IO, "507") below this much free space; 0: 64 MiB */
    unsigned threads;  /* 0: as many as CPUs */
    void (*note)(void *ctx, int level, const char *event, const char *text);
    void *note_ctx;
} lm_store_options;

/** Opens or makes the folder; replays the log. One process only (LM_E_IO: it is in use). */
LM_USE lm_err lm_store_open(lm_mem *mem, const lm_store_options *options, lm_store **out);
/** Commits what is under way; seals nothing (the log holds it). NULL is fine. */
void lm_store_close(lm_store *store);
lm_sink lm_store_sink(lm_store *store);
lm_store_face lm_store_face_of(lm_store *store);
/** Retention of one tenant (ns, 0: kept for ever), instead of the option's. */
LM_USE lm_err lm_store_retention_set(lm_store *store, lm_str tenant, uint64_t retention_ns);
/** Seal the heads now and wait. */
LM_USE lm_err lm_store_flush(lm_store *store);

typedef struct lm_store_counters {
    uint64_t records_in, bytes_in, puts, puts_refused;
    uint64_t syncs, log_bytes, head_bytes, head_records;
    uint64_t segments, segment_bytes, segment_raw_bytes, segment_records;
    uint64_t seals, merges, lost_parts, streams;
    uint64_t disk_free_bytes;
    uint64_t queue_bytes; /* put, and not yet written */
    uint64_t sealing;     /* heads that are full and wait to be segments */
    uint64_t templates;   /* in what was sealed last */
    uint64_t log_failures;
    bool is_failing; /* in the last minute a batch could not be written, or a head not sealed */
} lm_store_counters;

void lm_store_counters_get(lm_store *store, lm_store_counters *out);

/** One template of a tenant's data in a time range. */
typedef struct lm_store_template {
    uint64_t id; /* of the text: the same in every answer and store; at most 53 bits */
    lm_str text; /* of the whole line, with <*> */
    uint64_t count;
    int64_t first_ns, last_ns;
    const uint64_t *buckets; /* counts per bucket of the call; bucket_count of them */
} lm_store_template;

/** Templates of the records that matchers select, by count; in arena. */
LM_USE lm_err lm_store_templates(lm_store *store, const lm_select *what, int64_t bucket_ns,
                                 lm_arena *arena, lm_store_template **out, size_t *out_count,
                                 size_t *out_bucket_count);

typedef struct lm_store_segment {
    uint64_t id;
    lm_str tenant, level; /* "fast", "default" */
    int64_t time_min, time_max;
    uint64_t records, streams, raw_bytes, bytes;
} lm_store_segment;

/** Segments of a tenant (empty: of all), by time; in arena. */
LM_USE lm_err lm_store_segments(lm_store *store, lm_str tenant, lm_arena *arena,
                                lm_store_segment **out, size_t *out_count);

/** What a stream takes on disk. */
typedef struct lm_store_saving {
    const lm_stream *stream; /* borrowed for the call */
    uint64_t records, raw_bytes;
    uint64_t sealed_bytes; /* of raw_bytes, those in segments */
    uint64_t stored_bytes; /* its share of these segments' files, by raw bytes */
} lm_store_saving;

/** Each stream that matchers select with a record in the time range (about: by segments), once;
 * told gives false to stop. */
LM_USE lm_err lm_store_savings(lm_store *store, const lm_select *what,
                               bool (*told)(void *ctx, const lm_store_saving *saving), void *ctx);

/** Live: called on the committing thread for every batch of a tenant once it is durable, with
 * copies it may read during the call. Returns a handle. */
typedef void (*lm_store_watch_fn)(void *ctx, lm_str tenant, const lm_record_batch *batch);
LM_USE lm_err lm_store_watch(lm_store *store, lm_store_watch_fn fn, void *ctx,
                             uint64_t *out_handle);
void lm_store_unwatch(lm_store *store, uint64_t handle);

#endif

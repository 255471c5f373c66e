/**
 * source — listeners and readers that fetch records themselves: files, syslog, journal, pipes,
 * Kafka.
 *
 * Purpose:  what does not come over HTTP comes in here, and goes to a sink that makes it durable.
 * Flow:     socket or file --read(2)--> bytes --frame, join, wire--> batch --lm_sink.put--> store;
 *           done --> position moves on.
 * Owns:     each source owns its threads, descriptors and buffers.
 * Threads:  a source runs threads of its own; start and stop from one thread.
 * Units:    times are ns, buffers bytes.
 * Limits:   LM_SOURCE_BUFFER_MAX a connection or file, LM_SOURCE_CONNECTIONS_MAX.
 *
 * Invariants
 *   (1) No line is lost and none comes twice: positions of files, the journal and Kafka's
 *       partitions are checkpoints of the sink, durable together with their records
 *       (docs/format/positions.md). Sockets and pipes have none.
 *   (2) Nothing is read faster than the sink takes it: at most two batches of a file, a pipe
 *       or a listener are on their way.
 *   (3) read(2), never mmap: a log may shrink while it is read.
 *   (4) A source that fails says why (its counters, its log line), is tried again, and does not
 *       stop the others.
 */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include "record/record.h"

typedef struct lm_source lm_source;

/** What a source tells its owner; each may be NULL. */
typedef struct lm_source_host {
    lm_mem *mem;
    lm_sink sink;
    void (*note)(void *ctx, int level, const char *event,
                 const char *text); /* level: lm_severity-like 3 error, 4 warn, 6 info */
    void *note_ctx;
} lm_source_host;

typedef struct lm_source_counters {
    uint64_t records, bytes, rejected, errors;
    uint64_t lag_bytes;   /* files: not yet read */
    uint64_t lag_records; /* Kafka: not yet read, of the partitions assigned; 0 without any */
    uint32_t open;        /* files, connections or partitions */
} lm_source_counters;

typedef struct lm_tls_files {
    const char *certificate, *key; /* PEM; NULL: no TLS */
    const char *client_ca;         /* clients must show a certificate of it; NULL: none asked */
} lm_tls_files;

typedef struct lm_source_files_options {
    const char *const *globs; /* "*", "**", "?", "[...]", "{a,b}" */
    size_t glob_count;
    const char *const *excludes;
    size_t exclude_count;
    lm_label *labels; /* besides {filename="..."} */
    size_t label_count;
    lm_str tenant;
    lm_str start_pattern; /* multi-line; empty: recognised */
    bool from_end;        /* files that are there at the first start: only what is added */
    uint64_t poll_ns;     /* besides inotify; 0: 250 ms */
} lm_source_files_options;

LM_USE lm_err lm_source_files(const lm_source_host *host, const lm_source_files_options *options,
                              lm_source **out);

typedef struct lm_source_syslog_options {
    const char *address; /* "127.0.0.1:1514", "[::1]:1514", or a path for a Unix socket */
    bool udp, tcp;
    lm_tls_files tls; /* TCP only */
    lm_label *labels;
    size_t label_count;
    lm_str tenant;
    size_t message_bytes_max; /* 0: 1 MiB */
} lm_source_syslog_options;

LM_USE lm_err lm_source_syslog(const lm_source_host *host, const lm_source_syslog_options *options,
                               lm_source **out);

/** Standard input or a named pipe, line by line; ends at end of file (a pipe is opened again). */
typedef struct lm_source_pipe_options {
    const char *path; /* "-" */
    lm_label *labels;
    size_t label_count;
    lm_str tenant;
} lm_source_pipe_options;

LM_USE lm_err lm_source_pipe(const lm_source_host *host, const lm_source_pipe_options *options,
                             lm_source **out);

/** systemd's journal, from its cursor on. LM_E_UNSUPPORTED without libsystemd. */
typedef struct lm_source_journal_options {
    const char *folder; /* NULL: the system's */
    lm_label *labels;
    size_t label_count;
    lm_str tenant;
} lm_source_journal_options;

LM_USE lm_err lm_source_journal(const lm_source_host *host,
                                const lm_source_journal_options *options, lm_source **out);

/** Topics of a Kafka cluster, as a member of a consumer group. LM_E_UNSUPPORTED without librdkafka.
 */
typedef struct lm_source_kafka_options {
    const char *const *brokers; /* "HOST:PORT" */
    size_t broker_count;
    const char *const *topics; /* names, or regular expressions that begin with '^' */
    size_t topic_count;
    const char *group_id, *client_id;
    bool from_end; /* partitions that the group has not read before: only what is added */

    struct {
        const char *mechanism; /* "PLAIN", "SCRAM-SHA-256", ...; NULL: no login */
        const char *username, *password;
        const char *password_file; /* read at the start; NULL: password */
    } sasl;

    struct {
        bool is_on;
        const char *ca, *certificate, *key; /* PEM; NULL: the system's authorities; none shown */
    } tls;

    const lm_label *settings; /* of librdkafka, by its names */
    size_t setting_count;
    lm_str message_field, time_field; /* of JSON; empty: the usual ones */
    const lm_str *stream_fields;
    size_t stream_field_count;
    bool no_partition, no_offset, no_key, no_headers; /* left out of the metadata */
    lm_label *labels;                                 /* besides {topic="..."} */
    size_t label_count;
    lm_str tenant;
} lm_source_kafka_options;

LM_USE lm_err lm_source_kafka(const lm_source_host *host, const lm_source_kafka_options *options,
                              lm_source **out);

/** "file", "syslog", ... and what it listens to, for people. */
const char *lm_source_name(const lm_source *source);
void lm_source_counters_get(const lm_source *source, lm_source_counters *out);
/** The files that it was made with, read again for connections from now on; those that are there
 * keep what they have, and so do all after a failure. From any thread; nothing to do for those
 * without TLS. */
LM_USE lm_err lm_source_renew(lm_source *source, const lm_tls_files *files);
/** Stop reading, wait until what was handed over is durable (at most drain_ns), free. NULL is fine.
 */
void lm_source_stop(lm_source *source, uint64_t drain_ns);

#endif

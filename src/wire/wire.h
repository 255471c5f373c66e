/**
 * wire — what clients send, taken apart: bytes of a protocol in, a batch of records out.
 *
 * Purpose:  every protocol that log shippers speak, as pure functions over bytes: no sockets, no
 * clock, no global state. Flow:     body of a request --lm_wire_unpack--> plain bytes
 * --lm_wire_loki_json ...--> lm_record_batch. Owns:     nothing; what a batch points into is its
 * arena or the caller's body. Threads:  any; nothing is shared. Units:    times are ns since 1970
 * UTC; `now` stands in where a client sends none. Limits:   lm_wire_options.body_bytes_max,
 * LINE_BYTES_MAX, JSON_DEPTH_MAX, LABEL_*.
 *
 * Invariants
 *   (1) Foreign bytes never crash: LM_E_USAGE says what is wrong and, where known, at which byte.
 *   (2) A request that fails as a whole leaves the batch as it was. Where the protocol knows of partial success the
 *       good records are in the batch and the others are counted in the report.
 *   (3) What a client sent as text is stored byte for byte as that text.
 *   (4) A stream has at least one label: {service_name="unknown_service"} where a client sends none and the protocol
 *       has none of its own (OTLP, ndjson).
 *   (5) LM_E_LIMIT of which lm_mem_refused() is true is ours, and passes; any other is the request's own fault.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "record/record.h"

/** The time of the syslog message before, for readers of many: messages in a row were mostly sent
 * in the same second. All zero at first; belongs to one thread. */
typedef struct lm_wire_recent {
    uint8_t text[80]; /* of the time and what stands behind it */
    size_t len;       /* of text; 0: none */
    size_t used;      /* of it, by the time */
    int64_t now_s;    /* when it was read: years and zones are told by that */
    int64_t ns;
} lm_wire_recent;

typedef struct lm_wire_options {
    int64_t now_ns;          /* time of arrival */
    uint64_t body_bytes_max; /* unpacked; beyond: LM_E_LIMIT */
    lm_mem *mem;
    lm_wire_recent *recent; /* of lm_wire_syslog; may be NULL */
} lm_wire_options;

typedef struct lm_wire_report {
    uint64_t accepted, rejected;
    char reason[240]; /* of the first one rejected; "" if none */
} lm_wire_report;

/**
 * Content-Encoding undone: "" or "identity", "gzip", "deflate" (zlib or raw), "snappy" (block
 * form), "zstd". out is replaced, and empty after a failure. LM_E_UNSUPPORTED (unknown name),
 * LM_E_USAGE (damaged), LM_E_LIMIT (larger than body_bytes_max when unpacked; checked while
 * unpacking, so a bomb costs no more).
 */
LM_USE lm_err lm_wire_unpack(lm_str body, lm_str encoding, const lm_wire_options *options,
                             lm_buf *out);

/* Loki's push API. The body must outlive the batch for protobuf (lines are slices of it). A stream
 * that Loki would refuse ({}, a label too long) costs its own records only: LM_OK with
 * report->rejected, and after the others are stored the answer is Loki's 400 with the reason. When
 * nothing is left the request fails (LM_E_USAGE, the same reason). */
LM_USE lm_err lm_wire_loki_json(lm_str body, const lm_wire_options *options, lm_record_batch *batch,
                                lm_wire_report *report);
LM_USE lm_err lm_wire_loki_protobuf(lm_str body, const lm_wire_options *options,
                                    lm_record_batch *batch, lm_wire_report *report);

/** OTLP logs (ExportLogsServiceRequest). Labels and metadata as Loki maps them: resource attributes
 * service.name, k8s.*, ... become labels, the rest structured metadata; severity, trace_id,
 * span_id, scope are metadata; a body that is not a string is its JSON. */
LM_USE lm_err lm_wire_otlp_protobuf(lm_str body, const lm_wire_options *options,
                                    lm_record_batch *batch, lm_wire_report *report);
LM_USE lm_err lm_wire_otlp_json(lm_str body, const lm_wire_options *options, lm_record_batch *batch,
                                lm_wire_report *report);
/** The response's body for a report: an ExportLogsServiceResponse, empty when nothing was rejected
 * (JSON: {}). */
LM_USE lm_err lm_wire_otlp_response(const lm_wire_report *report, bool is_json, lm_buf *out);

/** Elasticsearch's _bulk. index: from the path (/INDEX/_bulk), may be empty. response: the JSON
 * body with one item per action, in order, is appended ("took" is 0: no clock here). Streams:
 * {index="..."} plus nothing; the line is the document as sent, so body must outlive the batch; the
 * time is @timestamp, timestamp or time where they are one. */
LM_USE lm_err lm_wire_bulk(lm_str body, lm_str index, const lm_wire_options *options,
                           lm_record_batch *batch, lm_wire_report *report, lm_buf *response);
/** One document of /INDEX/_doc; id as sent, ptr NULL: none. What is wrong with it is LM_E_USAGE. */
LM_USE lm_err lm_wire_document(lm_str body, lm_str index, lm_str id, const lm_wire_options *options,
                               lm_record_batch *batch, lm_wire_report *report, lm_buf *response);

/** How newline-delimited JSON is read; names are JSON keys, '.' goes into objects. Empty: the usual
 * ones are tried (message: _msg, message, msg, log, line, body, event; time: _time, timestamp,
 * @timestamp, time, ts, date). */
typedef struct lm_wire_fields {
    lm_str message;        /* its value is the line; when absent the line is the whole object */
    lm_str time;           /* RFC 3339, or a number: s, ms, us, ns by its size */
    const lm_str *streams; /* keys that become labels */
    size_t stream_count;
    lm_labels labels; /* given with the request, for all records */
} lm_wire_fields;

/** One object a line. A line that is no JSON object is a record as it stands. Other keys of the
 * object become structured metadata when the message is taken out of it (of an object `a_b`, of a
 * list its JSON); when they are more than metadata can hold the line is the whole object. body and
 * the texts of fields must outlive the batch. LM_E_LIMIT: more than 32 stream keys. */
LM_USE lm_err lm_wire_ndjson(lm_str body, const lm_wire_fields *fields,
                             const lm_wire_options *options, lm_record_batch *batch,
                             lm_wire_report *report);

/** A message of a queue: one record, whatever newlines its text holds. */
typedef struct lm_wire_payload {
    lm_str text;
    int64_t time_ns;              /* where the text names none */
    const lm_wire_fields *fields; /* how the text is read, and the labels; many share one */
    const lm_label *metadata;     /* besides the text's own; sorted here */
    uint32_t metadata_count;
    bool is_plain; /* the text is the line, JSON or not */
} lm_wire_payload;

/** Each message as lm_wire_ndjson takes a line; an empty one is an empty line. Texts, metadata and
 * fields must outlive the batch. */
LM_USE lm_err lm_wire_payloads(const lm_wire_payload *payloads, size_t count,
                               const lm_wire_options *options, lm_record_batch *batch,
                               lm_wire_report *report);

/** One syslog message (RFC 5424 or RFC 3164, told apart), without framing. Labels: host, app,
 * severity, facility (names); metadata: procid, msgid, structured data as sd_ID_NAME. The line is
 * the message's text as sent (MSG); a message that is neither is kept whole as the line. RFC 3164
 * times have no year and no zone: those of now_ns, local time. Without <PRI>: user, notice. Fails
 * only for want of memory. The message must outlive the batch. */
LM_USE lm_err lm_wire_syslog(lm_str message, const lm_wire_options *options,
                             lm_record_batch *batch);

/** Framing of syslog over TCP (RFC 6587): octet counting or newline, decided by each message's
 * first byte. Gives the next whole message in *io_rest and moves it on; LM_E_NOTFOUND: more bytes
 * are needed; LM_E_LIMIT: longer than max; LM_E_USAGE. A trailing newline inside a count is taken
 * off. */
LM_USE lm_err lm_wire_syslog_frame(lm_str *io_rest, size_t max, lm_str *out_message);
/** What is left of a connection that ended: the message that came only in part, without its count.
 */
lm_str lm_wire_syslog_rest(lm_str rest);

#endif

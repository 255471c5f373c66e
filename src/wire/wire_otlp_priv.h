/** OTLP, whatever its bytes are: the two readers (protobuf, JSON) tell what they see, one place
 * maps it to streams, lines and metadata. */
#ifndef WIRE_WIRE_OTLP_PRIV_H
#define WIRE_WIRE_OTLP_PRIV_H

#include "wire/wire_priv.h"

typedef enum lm_otlp_kind {
    LM_OTLP_NONE,
    LM_OTLP_TEXT,
    LM_OTLP_LITERAL, /* a number or bool: its text is JSON */
    LM_OTLP_LIST,
    LM_OTLP_MAP
} lm_otlp_kind;

/** An AnyValue. Items of a list have no key. */
typedef struct lm_otlp_any {
    lm_otlp_kind kind;
    uint32_t count;
    lm_str text;
    struct lm_otlp_pair *items;
} lm_otlp_any;

typedef struct lm_otlp_pair {
    lm_str key;
    lm_otlp_any value;
} lm_otlp_pair;

/** Items within values of one record, all levels together: a bound for their tree. */
#define LM_OTLP_ITEMS_MAX 65536u

typedef struct lm_otlp_record {
    uint64_t time_ns, observed_ns; /* 0: none */
    uint32_t severity_number, flags;
    lm_str severity_text, event_name, trace_id, span_id; /* ids as hex */
    lm_otlp_any body;
} lm_otlp_record;

/** Names made clean lately, by where in a record they stood: records of one program have the same
 * attributes in the same order. */
#define LM_OTLP_NAMES 32

typedef struct lm_otlp_name {
    lm_str sent, clean;
} lm_otlp_name;

/** A request while it is read. Zero but for options and batch at first. */
typedef struct lm_otlp {
    const lm_wire_options *options;
    lm_record_batch *batch;
    lm_wire_report report;
    lm_arena scratch;    /* trees of values; reset by each record */
    uint32_t item_count; /* of the trees in scratch */
    uint32_t stream;
    lm_err stream_err; /* the resource's labels are refused, and so are its records */
    char stream_reason[240];
    lm_wire_order order;
    lm_otlp_name names[LM_OTLP_NAMES];
    lm_label labels[LM_LABEL_COUNT_MAX];
    lm_label metadata[LM_LABEL_COUNT_MAX]; /* of the resource, then the scope, then the record */
    size_t label_count, resource_count, scope_count, metadata_count;
} lm_otlp;

/* In this order: resource, its attributes, resource_end; scope, its attributes, scope_end; for each
 * record its attributes, then record. They fail only for want of memory. */
void lm_otlp_resource(lm_otlp *o);
LM_USE lm_err lm_otlp_resource_attribute(lm_otlp *o, lm_str key, const lm_otlp_any *value);
LM_USE lm_err lm_otlp_resource_end(lm_otlp *o);
void lm_otlp_scope(lm_otlp *o);
LM_USE lm_err lm_otlp_attribute(lm_otlp *o, lm_str key, const lm_otlp_any *value);
LM_USE lm_err lm_otlp_scope_end(lm_otlp *o, lm_str name, lm_str version);
void lm_otlp_record_begin(lm_otlp *o);
LM_USE lm_err lm_otlp_record_add(lm_otlp *o, const lm_otlp_record *record);

/** Room for the items of a list or map. LM_E_USAGE: too many. */
LM_USE lm_err lm_otlp_items(lm_otlp *o, size_t count, lm_otlp_pair **out);
/** Bytes as lower-case hex, in the batch's arena; nothing if they are all zero. */
LM_USE lm_err lm_otlp_hex(lm_otlp *o, lm_str bytes, lm_str *out);
/** Bytes as base64, in the batch's arena. */
LM_USE lm_err lm_otlp_base64(lm_otlp *o, lm_str bytes, lm_str *out);

#endif

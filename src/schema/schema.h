/**
 * schema — what the fields of a source's lines are, and their types.
 *
 * Purpose:  tell a stream's format (or several mixed ones) from its lines, and take a line apart
 *           into named, typed fields; timestamps in all usual forms, printed back byte for byte.
 * Flow:     lines --guess--> format trees --refine types by all lines--> schema; line --> fields.
 * Owns:     a schema owns its trees and statistics; fields of a line are slices of that line.
 * Threads:  learning belongs to one thread; parsing with a sealed schema is re-entrant.
 * Units:    timestamps are ticks of their layout's unit; lm_time_ns gives nanoseconds since 1970.
 * Limits:   FIELD_COUNT_MAX, JSON_DEPTH_MAX, YAML_BYTES_MAX.
 *
 * Invariants
 *   (1) lm_schema_parse never fails: a line that fits no format has the field `message`, and a time
 *       and a level if it begins with them.
 *   (2) What a line's fields are depends on the line and the schema only.
 *   (3) lm_time_print(lm_time_parse(text)) == text.
 *   (4) Values may nest: the parts of a field (JSON in a message, key=value pairs behind it, a
 *       header in a JSON string) stand behind the whole; timestamp, level and message name the
 * best.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include "base/base.h"
#include "schema/schema_time.h"

typedef enum lm_type {
    LM_TYPE_TEXT,
    LM_TYPE_ENUM,
    LM_TYPE_INT,
    LM_TYPE_DECIMAL,
    LM_TYPE_HEX,
    LM_TYPE_BOOL,
    LM_TYPE_TIME,
    LM_TYPE_DURATION,
    LM_TYPE_SIZE,
    LM_TYPE_UUID,
    LM_TYPE_IPV4,
    LM_TYPE_IPV6,
    LM_TYPE_URL,
    LM_TYPE_PATH,
    LM_TYPE_NULL,
    LM_TYPE_COUNT
} lm_type;

const char *lm_type_name(lm_type type);

/** Severity, as OpenTelemetry orders it; UNKNOWN sorts below all. */
typedef enum lm_severity {
    LM_SEV_UNKNOWN,
    LM_SEV_TRACE,
    LM_SEV_DEBUG,
    LM_SEV_INFO,
    LM_SEV_NOTICE,
    LM_SEV_WARN,
    LM_SEV_ERROR,
    LM_SEV_FATAL
} lm_severity;

/** Any usual spelling: warn, WARNING, W, <4>, critical, 3 is not one. UNKNOWN if it is none. */
lm_severity lm_severity_parse(lm_str text);
const char *lm_severity_name(lm_severity severity); /* "unknown", "trace", ..., "fatal" */

/** One field of one line: a slice of the line. Names follow OpenTelemetry and Loki where they have
 * one: timestamp, level, message, host, app, pid, thread, logger, status, method, path, ...; JSON
 * fields are dotted paths. */
typedef struct lm_field {
    lm_str name;  /* borrowed from the schema or from the line */
    lm_str value; /* slice of the line, quotes taken off, escapes left as they are */
    lm_type type;
} lm_field;

typedef struct lm_fields {
    lm_field *items;
    size_t count, cap;
    int format;      /* which format of the schema fitted, -1 none */
    int timestamp;   /* index of the record's own timestamp, -1 none */
    int level;       /* index, -1 none */
    int message;     /* index of the free text, -1 none */
    lm_arena *arena; /* grows items; given by the caller */
} lm_fields;

typedef struct lm_schema lm_schema;

LM_USE lm_err lm_schema_new(lm_mem *mem, lm_schema **out);
void lm_schema_free(lm_schema *schema);
/** Look at lines (without their line end). First calls find the formats; later ones refine types
 * and counts. */
LM_USE lm_err lm_schema_learn(lm_schema *schema, const lm_str *lines, size_t count);
/** The same for a stream's first lines where time counts: once nothing new turns up, only a part of
 * them is looked at, and counts are those of that part. */
LM_USE lm_err lm_schema_learn_head(lm_schema *schema, const lm_str *lines, size_t count);
/** Give or correct a format in YAML (docs/schema.md). Errors carry line and column. */
LM_USE lm_err lm_schema_configure(lm_schema *schema, lm_str yaml);
/** Take one line apart. fields->count is reset; items are kept from call to call, so a caller that
 * resets the arena sets items and cap to 0. At most FIELD_COUNT_MAX fields. A record of several
 * lines is read by its first line; the rest belongs to the message. Errors: LM_E_NOMEM, LM_E_LIMIT
 * (of the arena's account). O(line), no allocation but for items and keys never learned. */
LM_USE lm_err lm_schema_parse(const lm_schema *schema, lm_str line, lm_fields *fields);
/**
 * The level of a record whose first line tells none: the word that its second line opens with, as a
 * message may (`SEVERE: ...`, `[error] ...`, `ERROR ...`). Added to fields, those of the first
 * line, as a slice of second; nothing is added where a format did not fit the first line, where it
 * has a level, or where the second opens otherwise. Errors as lm_schema_parse.
 */
LM_USE lm_err lm_schema_level_below(const lm_schema *schema, lm_str second, lm_fields *fields);
/** May a line that begins with these bytes (whole: it is all of them) open with a level? */
bool lm_schema_may_open_with_level(lm_str begin, bool whole);
/** Are the times of its records clocks without a date, as far as was seen? */
bool lm_schema_has_clocks(const lm_schema *schema);
/** A short, stable string that is equal for streams of the same format(s): groups files into
 * streams. */
lm_str lm_schema_signature(const lm_schema *schema);

/** For `logmill schema`: formats found, each with its tree as a pattern, fields, shares;
 * disagreements. */
typedef struct lm_schema_field {
    lm_str name;
    lm_type type;
    lm_str detail; /* time layout, unit, values of an enum */
    uint64_t count, distinct;
    lm_str examples[3];
} lm_schema_field;

typedef struct lm_schema_format {
    lm_str name;
    lm_str pattern;
    uint64_t lines;
    const lm_schema_field *fields;
    size_t field_count;
} lm_schema_format;

size_t lm_schema_format_count(const lm_schema *schema);
/** Borrowed until the next learn. */
lm_schema_format lm_schema_format_at(const lm_schema *schema, size_t index);
size_t lm_schema_conflict_count(const lm_schema *schema);
lm_str lm_schema_conflict_at(const lm_schema *schema, size_t index); /* one sentence */
uint64_t lm_schema_line_count(const lm_schema *schema);

/** The schema as bytes for an archive (docs/format/schema.md) and back. */
LM_USE lm_err lm_schema_save(const lm_schema *schema, lm_buf *out);
LM_USE lm_err lm_schema_load(lm_mem *mem, lm_str bytes, lm_schema **out);

#endif

/** What the files of this room share: JSON, client times, streams found again, protobuf fields. */
#ifndef WIRE_WIRE_PRIV_H
#define WIRE_WIRE_PRIV_H

#include "schema/schema_time.h"
#include "wire/wire.h"

#include <yyjson.h>

/** The stream of records that come with no label at all: one that a selector can name. */
#define LM_WIRE_NO_LABEL ((lm_label){LM_STR("service_name"), LM_STR("unknown_service")})

/* ---- a request: all of it or nothing ---- */

/** Where a batch stood; lm_wire_end takes it back there when err is a failure, and gives err back.
 * Otherwise report gets the records accepted. */
typedef struct lm_wire_mark {
    size_t streams, records;
} lm_wire_mark;

lm_wire_mark lm_wire_begin(const lm_record_batch *batch);
LM_USE lm_err lm_wire_end(lm_wire_mark mark, lm_err err, lm_record_batch *batch,
                          lm_wire_report *local, lm_wire_report *out);
/** Count records that are not taken; the first one's reason is this thread's last failure. */
void lm_wire_reject(lm_wire_report *report, uint64_t count);
/** Is this a failure of the record alone (its labels, its length), not of the request? */
bool lm_wire_is_own_fault(lm_err err);

/* ---- memory for libraries that do not say sizes when they give back ---- */

void *lm_wire_alloc(void *mem, size_t bytes);
void *lm_wire_resize(void *mem, void *ptr, size_t old_bytes, size_t new_bytes);
void lm_wire_release(void *mem, void *ptr);

/* ---- JSON ---- */

yyjson_alc lm_wire_alc(lm_mem *mem);
/**
 * One JSON text into a document. Strings of the document live in a copy of the text in arena, the
 * values in alc until yyjson_doc_free. Numbers are raw text. Invalid UTF-8 in strings stays as it
 * is; half a surrogate pair becomes U+FFFD. LM_E_USAGE with the byte position.
 */
LM_USE lm_err lm_wire_json_read(lm_str text, lm_arena *arena, const yyjson_alc *alc,
                                yyjson_doc **out);

/** Text of a string or number; ptr NULL for other values. */
static inline lm_str lm_wire_json_text(yyjson_val *value)
{
    if (yyjson_is_str(value) || yyjson_is_raw(value)) {
        return (lm_str){(const uint8_t *)unsafe_yyjson_get_raw(value),
                        unsafe_yyjson_get_len(value)};
    }
    return (lm_str){NULL, 0};
}

/**
 * An object whose members are texts, numbers and names, read without yyjson but as it would:
 * values[0] is the object, and has room for LM_WIRE_FLAT_VALUES. *out_is_flat false:
 * lm_wire_json_read is to be asked. Texts are slices of the line or lie in arena. At the line's end
 * stands a byte below 0x20, and LM_WIRE_FLAT_BEHIND bytes can be read from there on. LM_E_NOMEM,
 * LM_E_LIMIT.
 */
#define LM_WIRE_FLAT_MEMBERS 64
#define LM_WIRE_FLAT_VALUES  (1 + 2 * LM_WIRE_FLAT_MEMBERS)
#define LM_WIRE_FLAT_BEHIND  96
LM_USE lm_err lm_wire_flat_read(lm_str line, lm_arena *arena, yyjson_val *values,
                                bool *out_is_flat);

/**
 * For many small texts in a row: one block of memory that holds one document at a time (a document
 * read in place asks for nothing else). Texts above LM_WIRE_BLOCK_TEXT_MAX take the account's.
 */
#define LM_WIRE_BLOCK_BYTES    ((size_t)64 << 10)
#define LM_WIRE_BLOCK_TEXT_MAX ((LM_WIRE_BLOCK_BYTES - 512) / 12)

typedef struct lm_wire_block {
    yyjson_alc small, large;
    void *bytes;
} lm_wire_block;

LM_USE lm_err lm_wire_block_init(lm_wire_block *block, lm_mem *mem);
void lm_wire_block_fini(lm_wire_block *block);

static inline const yyjson_alc *lm_wire_block_for(const lm_wire_block *block, size_t text_len)
{
    return text_len <= LM_WIRE_BLOCK_TEXT_MAX ? &block->small : &block->large;
}

/** The next line of *io_rest without its end (LF or CRLF), not blank; *io_number counts all lines.
 * False: none is left. */
bool lm_wire_line_next(lm_str *io_rest, size_t *io_number, lm_str *out);

/** Any value as text: a string itself, null nothing, other values their JSON, in arena. */
LM_USE lm_err lm_wire_json_print(yyjson_val *value, const yyjson_alc *alc, lm_arena *arena,
                                 lm_str *out);
/** Append s as a JSON string; bytes that are no UTF-8 become U+FFFD. */
LM_USE lm_err lm_wire_json_quote(lm_str s, lm_buf *out);

static inline bool lm_wire_key_is(yyjson_val *key, lm_str name)
{
    return unsafe_yyjson_get_len(key) == name.len &&
           memcmp(unsafe_yyjson_get_str(key), name.ptr, name.len) == 0;
}

/* ---- times ---- */

/** Times of one request: those in a row have one layout. Zero but for now_ns at first. */
typedef struct lm_wire_times {
    int64_t now_ns;
    lm_time_clock clock;
    uint16_t layout;
    bool has_layout;
    int64_t unit_ns, zone_ns; /* of the layout */
} lm_wire_times;

/** The whole text is a timestamp of any layout with a date, or a number. */
bool lm_wire_time_text(lm_wire_times *times, lm_str text, int64_t *out_ns);
/** Seconds, ms, us or ns since 1970, by size; a fraction may follow. */
bool lm_wire_time_number(lm_str text, int64_t *out_ns);

/** A string or number of JSON. */
static inline bool lm_wire_time_json(lm_wire_times *times, yyjson_val *value, int64_t *out_ns)
{
    lm_str text = lm_wire_json_text(value);
    return text.ptr && lm_wire_time_text(times, text, out_ns);
}

/** Digits with a sign, nothing else, within 64 bits. */
bool lm_wire_int(lm_str text, int64_t *out);

/* ---- streams met before in this request ---- */

/** What names a stream -> the stream. Each hash has one place; what is not found there is looked up
 * in the batch. Keys must live as long as the request. */
typedef struct lm_wire_seen {
    struct {
        uint64_t hash;
        lm_str key; /* ptr NULL: empty */
        uint32_t stream;
    } places[256];
} lm_wire_seen;

static inline bool lm_wire_seen_find(const lm_wire_seen *seen, uint64_t hash, lm_str key,
                                     uint32_t *out)
{
    size_t at = hash & 255;
    if (seen->places[at].hash != hash || !seen->places[at].key.ptr) return false;
    if (!lm_str_equal(seen->places[at].key, key)) return false;
    *out = seen->places[at].stream;
    return true;
}

static inline void lm_wire_seen_put(lm_wire_seen *seen, uint64_t hash, lm_str key, uint32_t stream)
{
    seen->places[hash & 255].hash = hash;
    seen->places[hash & 255].key = key;
    seen->places[hash & 255].stream = stream;
}

/* ---- metadata ---- */

/**
 * lm_labels_make for records in a row: those of one program have the same names in the same order,
 * and then it is known which goes where. All zero at first; belongs to one arena's content.
 */
#define LM_WIRE_ORDER_MAX 32

typedef struct lm_wire_order {
    uint32_t count;
    lm_str names[LM_WIRE_ORDER_MAX];   /* as they came */
    uint8_t sorted[LM_WIRE_ORDER_MAX]; /* indices of them, by name */
} lm_wire_order;

LM_USE lm_err lm_wire_metadata(lm_wire_order *order, const lm_label *items, size_t count,
                               lm_arena *arena, lm_labels *out);

/* ---- protobuf ---- */

/** One field as it lies on the wire. */
typedef struct lm_wire_field {
    uint32_t number;
    uint8_t kind;   /* 0 varint, 1 eight bytes, 2 bytes with a length, 5 four bytes */
    uint64_t value; /* kinds 0, 1, 5 */
    lm_str bytes;   /* kind 2 */
} lm_wire_field;

/** The next field of a message; *io_message is moved behind it. False: the bytes are no protobuf.
 * The message must not be empty. */
static inline bool lm_wire_field_next(lm_str *io_message, lm_wire_field *out)
{
    lm_reader r = lm_reader_of(io_message->ptr, io_message->len);
    uint64_t tag = *r.ptr < 0x80 ? *r.ptr++ : lm_reader_varint(&r);
    uint64_t value = 0;
    out->kind = tag & 7;
    out->bytes = (lm_str){NULL, 0};
    if (tag >> 3 == 0 || tag >> 32) return false;
    out->number = (uint32_t)(tag >> 3);
    switch (out->kind) {
    case 0:
        value = lm_reader_varint(&r);
        break;
    case 1:
        value = lm_reader_le64(&r);
        break;
    case 2:
        value = r.ptr < r.end && *r.ptr < 0x80 ? *r.ptr++ : lm_reader_varint(&r);
        if (r.failed || value > lm_reader_left(&r)) return false;
        out->bytes = (lm_str){r.ptr, (size_t)value};
        r.ptr += value;
        break;
    case 5:
        value = lm_reader_le32(&r);
        break;
    default:
        return false;
    }
    if (r.failed) return false;
    out->value = value;
    *io_message = (lm_str){r.ptr, lm_reader_left(&r)};
    return true;
}

#endif

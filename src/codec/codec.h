/**
 * codec — columns in, bytes out, and back.
 *
 * Purpose:  make each column of a segment small: choose an encoding from what its data show, then
 * an entropy stage. Flow:     lm_column[] --choose mode--> transformed streams --group small
 * ones--> blocks --entropy--> bytes
 *               + a directory that finds each column again; decode touches only the blocks asked
 * for. Owns:     nothing between calls; output goes to buffers of the caller, decoded arrays to an
 * arena of the caller. Threads:  every call is re-entrant; encode spreads its columns over the pool
 * it is given. Units:    counts are values, not bytes. Limits:   COLUMN_COUNT_MAX,
 * SEGMENT_ROWS_MAX; decoding never allocates more than the arena's lm_mem allows.
 *
 * Invariants
 *   (1) decode(encode(column)) equals the column, value for value, at every level, on every machine.
 *   (2) The same columns give the same bytes with 1 thread or N, on x86-64 and arm64.
 *   (3) Foreign bytes never crash, hang or over-allocate: LM_E_CORRUPT.
 *   (4) Each block is check-summed (XXH3, low 32 bits) and decodes without any other block, but for the columns
 *       that it names as its source (derived columns) and the first frame of texts.
 */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include "base/base.h"

typedef enum lm_level { LM_LEVEL_FAST = 1, LM_LEVEL_DEFAULT = 2, LM_LEVEL_MAX = 3 } lm_level;

typedef enum lm_column_type {
    LM_COLUMN_INT = 1, /* int64 values */
    LM_COLUMN_ID = 2, /* uint32 values below alphabet: shape ids, class codes, dictionary indexes */
    LM_COLUMN_WIDE = 3, /* width raw bytes a value (UUIDs, digests): usually random */
    LM_COLUMN_BYTES = 4 /* one run of text or bytes; count = its length */
} lm_column_type;

/** What a column is about; a hint for choosing models, never needed for correctness. */
typedef enum lm_column_role {
    LM_ROLE_NONE,
    LM_ROLE_TIME,       /* ticks, mostly rising */
    LM_ROLE_SHAPES,     /* shape id of every line, in line order */
    LM_ROLE_NUMBER,     /* variables that are numbers, in line order */
    LM_ROLE_ADDRESS,    /* IPv4 as 32-bit integers */
    LM_ROLE_INDEX,      /* dictionary indexes, numbered by first appearance */
    LM_ROLE_CLASS,      /* small class codes */
    LM_ROLE_TEXT,       /* dictionary text: strings, each ended by '\n' (LM_COLUMN_BYTES) */
    LM_ROLE_SHAPE_TEXT, /* skeletons of shapes, each ended by '\n' (LM_COLUMN_BYTES) */
    LM_ROLE_RAW         /* lines nothing fits, each ended by '\n' (LM_COLUMN_BYTES) */
} lm_column_role;

/** One column in memory. Arrays are borrowed. */
typedef struct lm_column {
    lm_column_type type;
    lm_column_role role;
    uint32_t count;    /* values (bytes for LM_COLUMN_BYTES) */
    uint32_t alphabet; /* LM_COLUMN_ID: values are below it */
    uint32_t width;    /* LM_COLUMN_WIDE: bytes a value, 1..64 */
    uint32_t group;    /* columns of one group have equal count and line up row by row (0: none);
                          derived columns are looked for inside a group only */

    union {
        const int64_t *ints;
        const uint32_t *ids;
        const uint8_t *bytes; /* WIDE: count * width; BYTES: count */
    };
} lm_column;

/** What one column cost, for `logmill stats`. */
typedef struct lm_column_cost {
    uint64_t stored_bytes; /* its share of its block */
    uint64_t plain_bytes;  /* as plain 8-, 4-, width- or 1-byte values */
    const char
        *encoding; /* static name: "const", "delta", "dict", "for", "derived", "rle", "ctx1", ... */
} lm_column_cost;

/**
 * Encode columns. Appends the blocks, one behind the other, to blocks, and to directory what decode
 * needs to know (types, counts, modes, block lengths and checksums; already compressed). costs may
 * be NULL, else count entries. pool may be NULL. Errors: LM_E_NOMEM, LM_E_LIMIT. O(total values).
 */
LM_USE lm_err lm_columns_encode(lm_mem *mem, lm_pool *pool, const lm_column *columns, size_t count,
                                lm_level level, lm_buf *blocks, lm_buf *directory,
                                lm_column_cost *costs);

/** An opened directory. Keeps slices of blocks (borrowed: a mapped file); decodes on demand. */
typedef struct lm_columns lm_columns;

/** directory is copied as far as needed; blocks must outlive the object. base_offset is added to
 * positions in error texts. Checks every count and length against blocks.len. LM_E_CORRUPT,
 * LM_E_NOMEM, LM_E_LIMIT. */
LM_USE lm_err lm_columns_open(lm_mem *mem, lm_str directory, lm_str blocks, uint64_t base_offset,
                              lm_columns **out);
void lm_columns_free(lm_columns *columns);
size_t lm_columns_count(const lm_columns *columns);
/** Type, role, count, alphabet, width; arrays are NULL. */
const lm_column *lm_columns_info(const lm_columns *columns, size_t index);
lm_column_cost lm_columns_cost(const lm_columns *columns, size_t index);
/** Zero bytes behind a decoded column: texts may be copied a few more bytes at a time than they
 * have. */
#define LM_COLUMN_SLACK 32
/**
 * Decode one column into arena: out->ints, ->ids or ->bytes. Checks its block's checksum first.
 * Not cached here. LM_E_CORRUPT names the file offset of the block. Safe from several threads with
 * separate arenas.
 */
LM_USE lm_err lm_columns_decode(const lm_columns *columns, size_t index, lm_arena *arena,
                                lm_column *out);

/** Values of a part: of long columns of numbers and ids one part can be decoded without the rest.
 */
#define LM_PART_VALUES 16384u
/** A column read in parts. */
typedef struct lm_column_parts lm_column_parts;
/** *out is NULL for a column that is only read as a whole. Checks its block's checksum. Errors as
 * lm_columns_decode. columns must outlive the object, which belongs to one thread. */
LM_USE lm_err lm_columns_parts_open(const lm_columns *columns, size_t index, lm_column_parts **out);
/** Fills the values of one part in dst, which has room for the whole column. LM_E_CORRUPT. */
LM_USE lm_err lm_columns_parts_read(lm_column_parts *parts, size_t part, void *dst);
void lm_columns_parts_free(lm_column_parts *parts); /* NULL is fine */

/** Check all checksums; calls bad(ctx, column, offset) for each damaged column. Returns LM_OK or
 * LM_E_CORRUPT. */
LM_USE lm_err lm_columns_verify(const lm_columns *columns,
                                void (*bad)(void *ctx, size_t column, uint64_t offset), void *ctx);

/** One run of bytes, self-describing (raw, zstd or an own coder, whichever is smallest at this
 * level). For metadata and raw segments. */
LM_USE lm_err lm_bytes_encode(lm_mem *mem, lm_str src, lm_level level, lm_buf *out);
/** The same for text, lines of a log or words that occur there; read back with lm_bytes_decode. */
LM_USE lm_err lm_text_encode(lm_mem *mem, lm_str src, lm_level level, lm_buf *out);
/** Does quick compression of src need more than limit bytes? Reads on only until that is sure, and
 * not beyond look bytes.
 * by_sample: or until the bytes so far say so for the whole, half believed, since more comes back
 * in a longer text. */
LM_USE lm_err lm_text_outgrows(lm_mem *mem, lm_str src, size_t look, size_t limit, bool by_sample,
                               bool *out);
/** raw_len must be what went in; LM_E_CORRUPT otherwise. dst has raw_len bytes. */
LM_USE lm_err lm_bytes_decode(lm_mem *mem, lm_str src, uint8_t *dst, size_t raw_len);

/** Text that resembles prefix, which the reader will have: small metadata in the words of larger
 * data. zstd with prefix as its window; for at most a few MB. */
LM_USE lm_err lm_bytes_encode_like(lm_mem *mem, lm_str prefix, lm_str src, lm_level level,
                                   lm_buf *out);
/** prefix must be the same bytes. dst has raw_len bytes. LM_E_CORRUPT. */
LM_USE lm_err lm_bytes_decode_like(lm_mem *mem, lm_str prefix, lm_str src, uint8_t *dst,
                                   size_t raw_len);

#endif

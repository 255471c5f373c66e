/**
 * Inside the codec: nodes. A node writes one run of values of one kind, self-describing but for its
 * count, and reads it back; nodes hold nodes. Nothing here is called from other rooms.
 */
#ifndef CODEC_CODEC_PRIV_H
#define CODEC_CODEC_PRIV_H

#include "codec/codec.h"

/** Nodes nest at most this deep; a file that asks for more is damaged. */
#define CODEC_DEPTH_MAX 6
/** Values in one column; more is damage (and would be over every memory limit). */
#define CODEC_COUNT_MAX 0x20000000u

/** Parts of LM_PART_VALUES values that so many values have; the last one may be shorter. */
static inline size_t codec_part_count(size_t count)
{
    return (count + LM_PART_VALUES - 1) / LM_PART_VALUES;
}

/** Values of one of them. */
static inline size_t codec_part_values(size_t count, size_t part)
{
    size_t left = count - part * LM_PART_VALUES;
    return left < LM_PART_VALUES ? left : LM_PART_VALUES;
}

struct codec_zstd;

enum { CODEC_LITE_KNOWN = 16 };

/** What an encoder works with; one per task. The arena is scratch: whoever takes from it resets it
 * to a mark. */
typedef struct codec_enc {
    lm_mem *mem;
    lm_level level;
    struct codec_zstd *zstd; /* taken at first use */
    int zstd_level;          /* for the stream at hand */
    size_t values_a_byte;    /* CODEC_LITE_..._A_BYTE */
    bool is_trial;           /* sizes are compared on a sample: spend little */

    struct { /* what a light model makes of bytes: asked again at each zstd level */
        uint64_t key;
        size_t bytes;
    } lite_known[CODEC_LITE_KNOWN];

    bool is_text;  /* the words that logs have in common may be in it */
    lm_str prefix; /* text that streams may build on; the reader has it too */
} codec_enc;

/** What a decoder works with; one per call. */
typedef struct codec_dec {
    lm_mem *mem;
    struct codec_zstd *zstd; /* taken at first use */
    lm_str prefix;           /* what the encoder had */
} codec_dec;

void codec_enc_init(codec_enc *enc, lm_mem *mem, lm_level level);
void codec_enc_fini(codec_enc *enc);
void codec_dec_init(codec_dec *dec, lm_mem *mem);
void codec_dec_fini(codec_dec *dec);

/** Text of every "the bytes make no sense" inside a block; the caller adds column and offset. */
lm_err codec_damaged(const char *what);

/* ---- codec_stream.c: bytes, the entropy stage ---- */

/** Plain text (lm_text_encode) up to so many bytes gets zstd's dearest level at level default: it
 * is done in some 50 ms. */
#define CODEC_TEXT_DEAR_UNDER (1u << 19)
/** And so short a text gets a better one at level fast. */
#define CODEC_TEXT_SHORT (1u << 14)

/** Append src in the form that is smallest at this level: method, length, data. */
LM_USE lm_err codec_stream_put(codec_enc *enc, const uint8_t *src, size_t len, lm_buf *out);
/** Read exactly len bytes into dst. */
LM_USE lm_err codec_stream_get(codec_dec *dec, lm_reader *in, uint8_t *dst, size_t len);

/** Write with zstd levels from cheap to dear, going on only while the size so far may become
 * smaller than limit bytes; appends the smallest to out, or nothing if limit stands. put writes the
 * same thing again at enc->zstd_level. */
typedef lm_err (*codec_put_fn)(codec_enc *enc, const void *ctx, lm_buf *out);
LM_USE lm_err codec_climb(codec_enc *enc, codec_put_fn put, const void *ctx, size_t limit,
                          lm_buf *out, bool *smaller);

/* ---- codec_zstd.c: zstd without its frame header, its memory on our account ---- */

/** Appends at most cap bytes to out, building on enc->prefix; *done is false when it would not fit
 * (then out is as it was). */
LM_USE lm_err codec_zstd_put(codec_enc *enc, const uint8_t *src, size_t len, int level, size_t cap,
                             lm_buf *out, bool *done);
LM_USE lm_err codec_zstd_get(codec_dec *dec, lm_str prefix, lm_str src, uint8_t *dst, size_t len);

/* ---- codec_model.c: context mixing ---- */
typedef enum codec_model {
    CODEC_MODEL_BYTES,
    CODEC_MODEL_IDS,
    CODEC_MODEL_WORDS
} codec_model; /* uint8_t, uint32_t, uint64_t */

LM_USE lm_err codec_model_put(lm_mem *mem, codec_model model, const void *symbols, size_t count,
                              uint32_t alphabet, lm_buf *out);
/** Never fails for what in holds: damaged bytes give wrong symbols (ids: below the power of two
 * above alphabet). */
LM_USE lm_err codec_model_get(lm_mem *mem, codec_model model, lm_str in, void *symbols,
                              size_t count, uint32_t alphabet);

/* ---- codec_lite.c: light adaptive models ---- */
/** A light model decodes slower than zstd does (about 40 ns a value): it has to save a byte for
 * this many values. Ids of shapes are read by every search, so there it has to save more. */
#define CODEC_LITE_VALUES_A_BYTE 64
#define CODEC_LITE_SHAPES_A_BYTE 24
/** Static models read as fast as zstd does: a light one has to save a byte for this many values
 * beside them. In columns this long it never gains that much and is not tried. */
#define CODEC_LITE_STATIC_A_BYTE 16
#define CODEC_STATIC_ALONE_MIN   16384
LM_USE lm_err codec_lite_put_ids(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                                 lm_buf *out);
/** As codec_model_get for ids. */
LM_USE lm_err codec_lite_get_ids(lm_mem *mem, lm_str in, uint32_t *ids, size_t count,
                                 uint32_t alphabet);
LM_USE lm_err codec_lite_put_bytes(lm_mem *mem, const uint8_t *bytes, size_t count, lm_buf *out);
LM_USE lm_err codec_lite_get_bytes(lm_mem *mem, lm_str in, uint8_t *bytes, size_t count);
LM_USE lm_err codec_lite_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out);
LM_USE lm_err codec_lite_get_words(lm_mem *mem, lm_str in, uint64_t *words, size_t count);

/* ---- codec_word.c: unsigned 64-bit words, mostly small ---- */
LM_USE lm_err codec_words_put(codec_enc *enc, const uint64_t *words, size_t count, lm_buf *out);
LM_USE lm_err codec_words_get(codec_dec *dec, lm_reader *in, uint64_t *dst, size_t count);

/** Are these words, as written, static and in parts? */
bool codec_words_are_in_parts(lm_str data);

/* ---- codec_wide.c: columns of wide values ---- */

/** All columns are WIDE; widths may differ. */
LM_USE lm_err codec_wides_put(codec_enc *enc, const lm_column *const *columns, size_t count,
                              lm_buf *out);
/** dst[i] has room for the values of columns[i]. */
LM_USE lm_err codec_wides_get(codec_dec *dec, lm_reader *in, const lm_column *const *columns,
                              size_t count, void *const *dst);

/* ---- codec_int.c ---- */
LM_USE lm_err codec_ints_put(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                             lm_buf *out);
LM_USE lm_err codec_ints_get(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count,
                             unsigned depth);

/* ---- codec_id.c ---- */
LM_USE lm_err codec_ids_put(codec_enc *enc, const uint32_t *ids, size_t count, uint32_t alphabet,
                            unsigned depth, lm_buf *out);
/** Every id read is checked to be below alphabet. */
LM_USE lm_err codec_ids_get(codec_dec *dec, lm_reader *in, uint32_t *dst, size_t count,
                            uint32_t alphabet, unsigned depth);

/** Name of the encoding at the head of a large column's block; for stats. */
const char *codec_encoding_name(const lm_column *column, lm_str bytes);
const char *codec_ints_name(uint8_t mode);
const char *codec_ids_name(uint8_t mode);

/* ---- codec_group.c: which columns line up ---- */

/** Columns of a group form a chain in column order. Groups with numbers far above the number of
 * columns are not looked at. */
typedef struct codec_groups {
    lm_mem *mem;
    uint32_t *before; /* of each column: the one before it in its group, + 1; 0: none */
    size_t count;
} codec_groups;

LM_USE lm_err codec_groups_make(lm_mem *mem, const lm_column *columns, size_t count,
                                codec_groups *out);
void codec_groups_fini(codec_groups *groups);

/* ---- codec_derive.c: columns that follow from another of their group ---- */
typedef enum codec_derive {
    CODEC_DERIVE_SHIFT,
    CODEC_DERIVE_KEYED,
    CODEC_DERIVE_BESIDE,
    CODEC_DERIVE_KINDS
} codec_derive;

/** First byte of a derived column's block, plus its kind; no mode of an int or id node is that
 * high. */
#define CODEC_DERIVED 0xf0
/** A source may itself be derived, but a chain holds at most this many columns. */
#define CODEC_SOURCES_DEEP 3

typedef struct codec_source {
    bool is_set;
    codec_derive kind;
    size_t column; /* index; below the derived one's */
} codec_source;

/** Look for a source of the column members[place] among members[0..place), the columns of its group
 * in order. depths: how many sources stand behind each member. Fills out (is_set false: none pays).
 */
LM_USE lm_err codec_derive_choose(codec_enc *enc, const lm_column *columns, const uint32_t *members,
                                  size_t place, const uint8_t *depths, codec_source *out);
LM_USE lm_err codec_derive_put(codec_enc *enc, const lm_column *target, const lm_column *source,
                               codec_derive kind, size_t back, lm_buf *out);
/** Behind kind and distance. source is decoded and has as many values as info. */
LM_USE lm_err codec_derive_get(codec_dec *dec, lm_reader *in, codec_derive kind,
                               const lm_column *info, const lm_column *source, void *dst);

/* ---- codec_open.c ---- */

lm_mem *codec_columns_mem(const lm_columns *columns);
/** Bytes of the block of a large column, checked, and where it lies; empty if it is in a frame. */
LM_USE lm_err codec_columns_large(const lm_columns *columns, size_t index, lm_str *out,
                                  uint64_t *out_offset);

/* ---- codec_frame.c: columns too small for a block of their own ---- */

/** One kind of small columns shares frames: the models see like after like. */
enum { CODEC_FRAME_KINDS = 16 };

/** Kind of a block that is a frame of texts which resemble one another. All but the first may build
 * on the first. */
enum { CODEC_TEXTS = 8 };

/** In a directory: BYTES in a frame apart from the other texts. */
enum { CODEC_TYPE_APART = 5 };

/** Plain bytes of a column that goes to a frame, and of a whole frame (decoding one column decodes
 * its frame). Texts and wide values share more: the same names come back in many columns. */
enum {
    CODEC_SMALL_VALUES = 4096,
    CODEC_SMALL_TEXT = 262144,
    CODEC_FRAME_VALUES = 65536,
    CODEC_FRAME_TEXT = 1048576
};

bool codec_column_is_small(const lm_column *column);
/** is_apart: a text unlike the others (random names, numbers); columns of other types ignore it. */
unsigned codec_frame_kind(const lm_column *column, bool is_apart);
size_t codec_column_plain_bytes(const lm_column *column);
/** Bytes of BYTES columns one behind the other. out is set up here; the caller frees it. */
LM_USE lm_err codec_frame_join(lm_mem *mem, const lm_column *const *columns, size_t count,
                               lm_buf *out);
LM_USE lm_err codec_frame_put(codec_enc *enc, const lm_column *const *columns, size_t count,
                              lm_buf *out);
/** Fills out[i] with arrays of columns[i].count values, allocated in arena; those of BYTES lie one
 * behind the other. */
LM_USE lm_err codec_frame_get(codec_dec *dec, lm_str payload, const lm_column *const *columns,
                              size_t count, lm_arena *arena, void **out);

#endif

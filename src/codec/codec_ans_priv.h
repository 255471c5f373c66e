/**
 * Static models: symbols below 256, each coded with the odds of its context, which are written in
 * front and do not change. A value costs a few nanoseconds to read, where an adaptive model takes
 * some tens; the odds cost some hundred bytes, so this is for long columns.
 *
 * The coder is rANS (J. Duda, "Asymmetric numeral systems", 2013, section 3; the 16-bit word form
 * of F. Giesen's public domain ryg_rans): two states take turns, odds in 1/2048. Contexts are
 * clusters of keys: a model names the key of each symbol (what it knows from the symbols before),
 * the encoder joins keys whose symbols have much the same odds.
 */
#ifndef CODEC_CODEC_ANS_PRIV_H
#define CODEC_CODEC_ANS_PRIV_H

#include "codec/codec_priv.h"

enum { ANS_LOG = 11, ANS_ONE = 1 << ANS_LOG, ANS_CONTEXTS_MAX = 16, ANS_KEYS_MAX = 512 };

/** Fewer symbols than this are not worth the odds in front. */
enum { ANS_COUNT_MIN = 4096 };

/** Append odds and symbols. keys[i] < key_count <= ANS_KEYS_MAX. in_parts: each part of
 * LM_PART_VALUES symbols can be read without the others; its keys do not depend on symbols before
 * it. */
LM_USE lm_err codec_ans_put(lm_mem *mem, const uint16_t *keys, const uint8_t *symbols, size_t count,
                            unsigned key_count, bool in_parts, lm_buf *out);

/** Reads symbols in order; the caller tells each one's key. */
typedef struct codec_ans {
    lm_mem *mem;
    uint32_t
        *slots; /* by context, ANS_ONE each: symbol (8 bits), offset (11), odds less one (11) */
    size_t contexts;
    uint32_t state[2];
    const uint8_t *in, *last;  /* next word; behind the last one lie two zero bytes */
    uint16_t of[ANS_KEYS_MAX]; /* key: context */
    /* in parts: state is not used, and in is where the first part begins */
    size_t parts;
    uint32_t *begins; /* of each part behind in; the last one: the end */
} codec_ans;

LM_USE lm_err codec_ans_open(codec_ans *ans, lm_mem *mem, lm_reader *in, unsigned key_count);
/** The same of count symbols in parts. */
LM_USE lm_err codec_ans_open_parts(codec_ans *ans, lm_mem *mem, lm_reader *in, unsigned key_count,
                                   size_t count);
void codec_ans_close(codec_ans *ans);

/** The next symbol of this key. Damaged bytes give wrong symbols. state: the one whose turn it is.
 */
static inline __attribute__((always_inline)) unsigned codec_ans_next(const uint32_t *slots,
                                                                     unsigned context,
                                                                     uint32_t *state,
                                                                     const uint8_t **in,
                                                                     const uint8_t *last)
{
    uint32_t x = *state, slot = slots[context << ANS_LOG | (x & (ANS_ONE - 1))];
    x = ((slot >> 19) + 1) * (x >> ANS_LOG) + (slot >> 8 & (ANS_ONE - 1));
    const uint8_t *p = *in;
    uint32_t more = x << 16 | lm_le16(p);
    bool is_low = x < 1u << 16;
    *state = is_low ? more : x;
    p += is_low ? 2 : 0;
    *in = p > last ? last : p;
    return slot & 255;
}

/** Where one part is read: it takes turns with others, since each symbol waits for the one before.
 */
typedef struct codec_ans_lane {
    uint32_t state;
    const uint8_t *in, *last;
} codec_ans_lane;

static inline codec_ans_lane codec_ans_part(const codec_ans *ans, size_t part)
{
    const uint8_t *begin = ans->in + ans->begins[part];
    return (codec_ans_lane){lm_le32(begin), begin + 4, ans->in + ans->begins[part + 1]};
}

/* ---- numbers as symbols: small ones as they are, others by their leading bits ---- */

/** Token of w: w itself below 1 << direct; else its size and the two bits below the leading one;
 * the rest is plain bits. */
static inline unsigned codec_token_of(uint64_t w, unsigned direct)
{
    if (w >> direct == 0) return (unsigned)w;
    unsigned top = 63u - (unsigned)__builtin_clzll(w);
    return (1u << direct) + (top - direct) * 4 + (unsigned)(w >> (top - 2) & 3);
}

/** Plain bits of a token, and the number they are added to. */
static inline unsigned codec_token_bits(unsigned token, unsigned direct, uint64_t *base)
{
    if (token >> direct == 0) {
        *base = token;
        return 0;
    }
    unsigned above = token - (1u << direct), top = direct + above / 4;
    if (top > 63) top = 63; /* only in damaged bytes */
    *base = (uint64_t)(4 + (above & 3)) << (top - 2);
    return top - 2;
}

/* ---- codec_static.c ---- */

/** More values than one part has are written in parts: decoding one needs no other. */
static inline bool codec_is_in_parts(size_t count)
{
    return count > LM_PART_VALUES;
}

/** An opened run of ids or words in parts. Zero it; close takes what open left. */
typedef struct codec_static {
    lm_mem *mem;
    codec_ans ans;
    size_t count;
    uint32_t alphabet; /* ids */
    unsigned way;
    uint32_t *firsts; /* guesses: by part, the next new id at its begin, and its first far id;
                         words: by part, where its plain bits begin */
    uint64_t *far;
    size_t far_count;
    void *tables; /* guesses: of each lane */
    size_t lanes;
    unsigned direct, top;
    lm_str plain;
} codec_static;

/** *is_in_parts false: the data is another form of static model, and nothing is open.
 * is_by_part: parts will be read one by one, so there is one table of guesses and not one for each
 * of the parts that are read side by side. */
LM_USE lm_err codec_static_open_ids(codec_static *s, lm_mem *mem, lm_str data, size_t count,
                                    uint32_t alphabet, bool is_by_part, bool *is_in_parts);
LM_USE lm_err codec_static_open_words(codec_static *s, lm_mem *mem, lm_str data, size_t count,
                                      bool *is_in_parts);
/** Parts [first, end), the first one's values at dst[0]. */
void codec_static_read_ids(codec_static *s, size_t first, size_t end, uint32_t *dst);
void codec_static_read_words(codec_static *s, size_t first, size_t end, uint64_t *dst);
void codec_static_close(codec_static *s);

LM_USE lm_err codec_static_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out);
LM_USE lm_err codec_static_get_words(lm_mem *mem, lm_str in, uint64_t *words, size_t count);
LM_USE lm_err codec_static_put_bytes(lm_mem *mem, const uint8_t *bytes, size_t count, lm_buf *out);
LM_USE lm_err codec_static_get_bytes(lm_mem *mem, lm_str in, uint8_t *bytes, size_t count);
/** Only for alphabets up to CODEC_STATIC_IDS_MAX. */
LM_USE lm_err codec_static_put_ids(lm_mem *mem, const uint32_t *ids, size_t count,
                                   uint32_t alphabet, lm_buf *out);
LM_USE lm_err codec_static_get_ids(lm_mem *mem, lm_str in, uint32_t *ids, size_t count,
                                   uint32_t alphabet);

bool codec_static_words_are_in_parts(lm_str data);

/* ---- nodes read in parts: those that end in a run of ids or words in parts ---- */

typedef enum codec_parts_kind {
    CODEC_PARTS_PLAIN, /* base + word */
    CODEC_PARTS_DELTA, /* differences, and what each part begins with */
    CODEC_PARTS_DELTA2,
    CODEC_PARTS_DICT /* dict[id] */
} codec_parts_kind;

/** An opened node; zero it but for count. is_open false: it can only be read as a whole. */
typedef struct codec_parts {
    size_t count;
    bool is_open;
    codec_static run;
    codec_parts_kind kind; /* ints */
    uint64_t base;
    uint64_t *starts; /* value and step before each part */
    int64_t *dict;
    size_t distinct;
    uint32_t *ids; /* DICT: room for a part, of the caller */
    bool is_scaled;
    uint64_t scale_first, scale_by;
} codec_parts;

LM_USE lm_err codec_ints_open(codec_dec *dec, lm_reader *in, unsigned depth, codec_parts *out);
LM_USE lm_err codec_words_open(codec_dec *dec, lm_reader *in, codec_parts *out);
LM_USE lm_err codec_ids_open(codec_dec *dec, lm_reader *in, uint32_t alphabet, codec_parts *out);
/** One part of ints to its place in the whole column; of ids to dst[0]. */
LM_USE lm_err codec_ints_read(codec_parts *p, size_t part, int64_t *dst);
LM_USE lm_err codec_ids_read(codec_parts *p, size_t part, uint32_t alphabet, uint32_t *dst);
void codec_parts_close(lm_mem *mem, codec_parts *p); /* codec_part.c */

#define CODEC_STATIC_IDS_MAX (1u << 28)

#endif

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

/** Append odds and symbols. keys[i] < key_count <= ANS_KEYS_MAX. */
LM_USE lm_err codec_ans_put(lm_mem *mem, const uint16_t *keys, const uint8_t *symbols, size_t count,
                            unsigned key_count, lm_buf *out);

/** Reads symbols in order; the caller tells each one's key. */
typedef struct codec_ans {
    lm_mem *mem;
    uint32_t
        *slots; /* by context, ANS_ONE each: symbol (8 bits), offset (11), odds less one (11) */
    size_t contexts;
    uint32_t state[2];
    const uint8_t *in, *last;  /* next word; behind the last one lie two zero bytes */
    uint16_t of[ANS_KEYS_MAX]; /* key: context */
} codec_ans;

LM_USE lm_err codec_ans_open(codec_ans *ans, lm_mem *mem, lm_reader *in, unsigned key_count);
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

LM_USE lm_err codec_static_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out);
LM_USE lm_err codec_static_get_words(lm_mem *mem, lm_str in, uint64_t *words, size_t count);
LM_USE lm_err codec_static_put_bytes(lm_mem *mem, const uint8_t *bytes, size_t count, lm_buf *out);
LM_USE lm_err codec_static_get_bytes(lm_mem *mem, lm_str in, uint8_t *bytes, size_t count);
/** Only for alphabets up to CODEC_STATIC_IDS_MAX. */
LM_USE lm_err codec_static_put_ids(lm_mem *mem, const uint32_t *ids, size_t count,
                                   uint32_t alphabet, lm_buf *out);
LM_USE lm_err codec_static_get_ids(lm_mem *mem, lm_str in, uint32_t *ids, size_t count,
                                   uint32_t alphabet);

#define CODEC_STATIC_IDS_MAX (1u << 28)

#endif

/**
 * A binary range coder with carry, 64 bits wide, and integers only: the same bytes on every
 * machine. One struct codes both ways, so a model is written once: range_code() takes the bit when
 * it encodes and gives it when it decodes.
 *
 * The interval is [low, low + range), range at least 2^32; when it gets smaller, 32 bits move out.
 * Encoder: a carry out of low's 64 bits is added to the bytes already written, which is why they
 * stay at hand until the end. Decoder: code is the offset of the read bytes in the interval; zeros
 * are read behind the end, so the encoder leaves out trailing zero bytes; hostile bytes give wrong
 * bits, never a fault.
 */
#ifndef CODEC_CODEC_RANGE_PRIV_H
#define CODEC_CODEC_RANGE_PRIV_H

#include "codec/codec_priv.h"

#define RANGE_ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct range_coder {
    uint64_t range;
    uint64_t code;     /* decoder */
    const uint8_t *in; /* decoder: next byte */
    const uint8_t *end;
    uint64_t low; /* encoder */
    lm_buf *out;  /* encoder */
    size_t start; /* encoder: length of out at the beginning; a carry never gets there */
    bool decodes;
    lm_err err; /* encoder: first failure, told at the end */
} range_coder;

#define RANGE_LOW_END ((uint64_t)1 << 32)

/** Four bytes, high first; the slow way at the end of the input. */
static inline uint32_t range_next(range_coder *rc)
{
    uint32_t word = 0;
    if (rc->end - rc->in >= 4) {
        memcpy(&word, rc->in, 4);
        rc->in += 4;
        return __builtin_bswap32(word);
    }
    for (int i = 0; i < 4; i++)
        word = word << 8 | (rc->in < rc->end ? *rc->in++ : 0u);
    return word;
}

static inline void range_init_encoder(range_coder *rc, lm_buf *out)
{
    *rc = (range_coder){.range = UINT64_MAX, .out = out, .start = out->len};
}

static inline void range_init_decoder(range_coder *rc, lm_str in)
{
    static const uint8_t none[1];
    *rc = (range_coder){.range = UINT64_MAX, .in = in.len ? in.ptr : none, .decodes = true};
    rc->end = rc->in + in.len;
    rc->code = (uint64_t)range_next(rc) << 32;
    rc->code |= range_next(rc);
}

/** Add one to the bytes written so far. */
static inline void range_carry(range_coder *rc)
{
    size_t i = rc->out->len;
    while (i > rc->start && ++rc->out->ptr[--i] == 0) {
    }
}

/* noinline: called once in 32 bits of output; inlined it only swells the loops. */
__attribute__((noinline)) static void range_emit(range_coder *rc, uint32_t word)
{
    uint8_t bytes[4] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
                        (uint8_t)word};
    lm_err err = lm_buf_append(rc->out, bytes, sizeof bytes);
    if (err && !rc->err) rc->err = err;
}

RANGE_ALWAYS_INLINE void range_encode_above(range_coder *rc, uint64_t offset)
{
    rc->low += offset;
    if (rc->low < offset) range_carry(rc);
}

RANGE_ALWAYS_INLINE void range_settle(range_coder *rc, bool decodes)
{
    if (__builtin_expect(rc->range < RANGE_LOW_END, 0)) {
        rc->range <<= 32;
        if (decodes) {
            rc->code = rc->code << 32 | range_next(rc);
        } else {
            range_emit(rc, (uint32_t)(rc->low >> 32));
            rc->low <<= 32;
        }
    }
}

/** Code one bit that is 1 with probability p1 / 65536, 0 < p1 < 65536. decodes: rc->decodes, or a
 * constant where a loop is built once for each direction, so that a decoder's rc stays in
 * registers. */
RANGE_ALWAYS_INLINE unsigned range_code(range_coder *rc, bool decodes, uint32_t p1, unsigned bit)
{
    uint64_t bound = (rc->range >> 16) * p1;
    if (decodes) bit = rc->code < bound;
    if (bit) {
        rc->range = bound;
    } else {
        if (decodes)
            rc->code -= bound;
        else
            range_encode_above(rc, bound);
        rc->range -= bound;
    }
    range_settle(rc, decodes);
    return bit;
}

/** Code the low count bits of value as they are, at most 16 at a time. */
RANGE_ALWAYS_INLINE uint64_t range_code_plain(range_coder *rc, bool decodes, unsigned count,
                                              uint64_t value)
{
    uint64_t got = 0;
    while (count) {
        unsigned n = count < 16 ? count : 16;
        uint64_t part = value >> (count - n) & ((1u << n) - 1);
        rc->range >>= n;
        if (decodes) {
            part = rc->code / rc->range;
            if (part >> n) part = (1u << n) - 1; /* the rest of the division, or damaged bytes */
            rc->code -= part * rc->range;
        } else {
            range_encode_above(rc, part * rc->range);
        }
        range_settle(rc, decodes);
        got = got << n | part;
        count -= n;
    }
    return got;
}

/** Ends an encoder: the shortest number inside the interval, without its trailing zero bytes. */
static inline lm_err range_finish(range_coder *rc)
{
    for (unsigned bits = 63; bits > 0; bits--) {
        uint64_t mask = ((uint64_t)1 << bits) - 1,
                 up = (mask - (rc->low - 1)) & mask; /* to the next multiple */
        if (up >= rc->range) continue;
        range_encode_above(rc, up);
        break;
    }
    range_emit(rc, (uint32_t)(rc->low >> 32));
    range_emit(rc, (uint32_t)rc->low);
    if (rc->err) return rc->err;
    while (rc->out->len > rc->start && rc->out->ptr[rc->out->len - 1] == 0)
        rc->out->len--;
    return LM_OK;
}

#endif

/**
 * A binary range coder, 32 bits, carry-propagating, and the adaptive probability it is fed with. Integers only: the same
 * bytes on every machine. One struct codes both ways, so a model is written once: range_code() takes the bit when it
 * encodes and gives it when it decodes.
 *
 * Encoder: the interval is [low, low + range); a carry out of low's 32 bits goes into the bytes held back (cache and the
 * 0xff bytes behind it). Decoder: reads zeros behind the end, so the encoder leaves out trailing zero bytes; hostile bytes
 * give wrong bits, never a fault. After Igor Pavlov's LZMA coder, but for 16-bit probabilities and the shorter ending.
 */
#ifndef CODEC_CODEC_RANGE_PRIV_H
#define CODEC_CODEC_RANGE_PRIV_H

#include "codec/codec_priv.h"

typedef struct range_coder {
    uint32_t range;
    uint32_t code;      /* decoder: offset of the read bytes in the interval */
    const uint8_t *in;  /* decoder: next byte, NULL in an encoder */
    const uint8_t *end;
    uint64_t low;       /* encoder: 32 bits and a carry */
    uint64_t held;      /* encoder: bytes held back, 0 at the start */
    uint8_t cache;      /* encoder: first of them, the others are 0xff */
    bool decodes;
    lm_buf *out;
    lm_err err;         /* encoder: first failure; kept to the end */
} range_coder;

enum { RANGE_TOP = 1 << 24 };

static inline uint8_t range_next(range_coder *rc)
{
    return rc->in < rc->end ? *rc->in++ : 0;
}

static inline void range_init_encoder(range_coder *rc, lm_buf *out)
{
    *rc = (range_coder){.range = UINT32_MAX, .out = out};
}

static inline void range_init_decoder(range_coder *rc, lm_str in)
{
    *rc = (range_coder){.range = UINT32_MAX, .in = in.ptr, .end = in.ptr + in.len, .decodes = true};
    for (int i = 0; i < 4; i++) rc->code = rc->code << 8 | range_next(rc);
}

static inline void range_emit(range_coder *rc, uint8_t byte)
{
    lm_err err = lm_buf_u8(rc->out, byte);
    if (err && !rc->err) rc->err = err;
}

/* noinline: called once in eight coded bits or so; inlined it only swells the loops. */
__attribute__((noinline)) static void range_shift(range_coder *rc)
{
    uint8_t carry = (uint8_t)(rc->low >> 32);
    uint8_t top = (uint8_t)(rc->low >> 24);
    if (carry || top != 0xff || rc->held == 0) {
        for (uint64_t i = 0; i < rc->held; i++) range_emit(rc, (uint8_t)((i ? 0xff : rc->cache) + carry));
        rc->held = 0;
        rc->cache = top;
    }
    rc->held++;
    rc->low = rc->low << 8 & UINT32_MAX;
}

/** Code one bit that is 1 with probability p1 / 65536, 0 < p1 < 65536. decodes: rc->decodes, or a constant where a loop is
 *  built once for each direction, so that a decoder's rc stays in registers. */
static inline __attribute__((always_inline)) unsigned range_code(range_coder *rc, bool decodes, uint32_t p1, unsigned bit)
{
    uint32_t bound = (rc->range >> 16) * p1;
    if (decodes) {
        bit = rc->code < bound;
        if (bit) {
            rc->range = bound;
        } else {
            rc->code -= bound;
            rc->range -= bound;
        }
        while (rc->range < RANGE_TOP) {
            rc->range <<= 8;
            rc->code = rc->code << 8 | range_next(rc);
        }
        return bit;
    }
    if (bit) {
        rc->range = bound;
    } else {
        rc->low += bound;
        rc->range -= bound;
    }
    while (rc->range < RANGE_TOP) {
        rc->range <<= 8;
        range_shift(rc);
    }
    return bit;
}

/** Code the low count bits of value as they are: 8 and fewer at a time. */
static inline __attribute__((always_inline)) uint64_t range_code_plain(range_coder *rc, bool decodes, unsigned count, uint64_t value)
{
    uint64_t got = 0;
    while (count) {
        unsigned n = count < 8 ? count : 8;
        uint32_t part = (uint32_t)(value >> (count - n)) & ((1u << n) - 1);
        rc->range >>= n; /* at least 2^16 left */
        if (decodes) {
            part = rc->code / rc->range;
            if (part >> n) part = (1u << n) - 1; /* the rest of the division, or damaged bytes */
            rc->code -= part * rc->range;
            while (rc->range < RANGE_TOP) {
                rc->range <<= 8;
                rc->code = rc->code << 8 | range_next(rc);
            }
        } else {
            rc->low += (uint64_t)part * rc->range;
            while (rc->range < RANGE_TOP) {
                rc->range <<= 8;
                range_shift(rc);
            }
        }
        got = got << n | part;
        count -= n;
    }
    return got;
}

/** Ends an encoder: the shortest number inside the interval, without its trailing zero bytes. start: length of out when the
 *  encoder began. */
static inline lm_err range_finish(range_coder *rc, size_t start)
{
    for (unsigned bits = 32; bits-- > 0;) {
        uint64_t mask = ((uint64_t)1 << bits) - 1;
        uint64_t v = (rc->low + mask) & ~mask;
        if (v < rc->low + rc->range) {
            rc->low = v;
            break;
        }
    }
    for (int i = 0; i < 5; i++) range_shift(rc);
    if (rc->err) return rc->err;
    while (rc->out->len > start && rc->out->ptr[rc->out->len - 1] == 0) rc->out->len--;
    return LM_OK;
}

#endif

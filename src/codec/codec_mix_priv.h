/**
 * Context mixing: a bit is predicted by several contexts, each with an adaptive probability in a
 * shared hashed table; a small gated mixer in the logistic domain weighs them; the range coder
 * codes the bit; all learn from it. The decoder is the encoder with the arrow turned: one model
 * function does both.
 */
#ifndef CODEC_CODEC_MIX_PRIV_H
#define CODEC_CODEC_MIX_PRIV_H

#include "codec/codec_range_priv.h"

enum { MIX_INPUTS_MAX = 12, MIX_DIRECT = 2, MIX_EXTRA = 256, MIX_LINE = 16, MIX_SLOT_LIMIT = 255 };

typedef struct mix {
    range_coder rc;
    lm_mem *mem;
    uint32_t *slots;   /* probability of a 1 (22 bits) and how often it was met (10 bits) */
    size_t slot_count; /* a power of two */
    unsigned shift;    /* 32 - log2(slot_count) */
    int32_t *weights;  /* sets x inputs, 16.16 */
    unsigned inputs, sets;
    uint32_t limit;                 /* a probability's slowest rate is about 1 / limit */
    uint32_t base[MIX_INPUTS_MAX];  /* hash of each hashed context, for the symbol being coded */
    uint32_t *line[MIX_INPUTS_MAX]; /* its 16 slots for the four bits being coded: one cache line */
    uint32_t
        *direct[MIX_DIRECT]; /* slots of the last inputs, chosen by the model for each bit among: */
    uint32_t extra[MIX_EXTRA];
    uint16_t rate_of[MIX_SLOT_LIMIT + 1];
    uint32_t coded; /* bits so far, saturating: the mixer learns faster at the start */
} mix;

/** sets: weight sets; slots_log: log2 of the table's slots. For encoding, out is appended to; for
 * decoding, in is read. */
LM_USE lm_err mix_init(mix *m, lm_mem *mem, unsigned inputs, unsigned sets, unsigned slots_log);
void mix_fini(mix *m);

extern const int16_t mix_stretch_half[2048];
extern const uint16_t mix_squash_half[2048];

/** 256 ln(p / (1 - p)) of p in 1/4096. */
static inline int32_t mix_stretch(uint32_t p12)
{
    return p12 >= 2048 ? mix_stretch_half[p12 - 2048] : -mix_stretch_half[2047 - p12];
}

/** The inverse, in 1/65536; never 0 or 1. */
static inline uint32_t mix_squash(int32_t x)
{
    if (x > 2047) x = 2047;
    if (x < -2047) x = -2047;
    return x >= 0 ? mix_squash_half[x] : 65536u - mix_squash_half[-x];
}

static inline uint32_t mix_hash(uint32_t a, uint32_t b)
{
    uint32_t h = (a ^ 0x9e3779b9u) * 0x85ebca6bu + b * 0xc2b2ae35u;
    return (h ^ h >> 15) * 0x2c1b3c6du;
}

static inline void mix_slot_learn(const mix *m, uint32_t *slot, unsigned bit)
{
    uint32_t s = *slot, n = s & 1023;
    int32_t p = (int32_t)(s >> 10);
    int32_t miss = (int32_t)((bit << 22) - bit) - p;
    p += (int32_t)(((int64_t)miss * m->rate_of[n]) >> 16);
    *slot = (uint32_t)p << 10 | (n < m->limit ? n + 1 : n);
}

/** Choose the lines of the hashed contexts for the next bits, at most four. prefix: what is known
 * of the symbol so far. */
RANGE_ALWAYS_INLINE void mix_lines(mix *m, unsigned hashed, uint32_t prefix)
{
    uint32_t step = prefix * 0x9e3779b1u;
    for (unsigned k = 0; k < hashed; k++) {
        m->line[k] =
            &m->slots[((m->base[k] + step) * 0x2545f491u) >> m->shift & ~(uint32_t)(MIX_LINE - 1)];
        __builtin_prefetch(m->line[k], 1);
    }
}

/** Code one bit. node (1..15): place in the lines; direct: how many of m->direct are inputs too;
 * set: which weights. */
RANGE_ALWAYS_INLINE unsigned mix_code(mix *m, unsigned hashed, unsigned direct, uint32_t node,
                                      unsigned set, unsigned bit)
{
    unsigned inputs = hashed + direct;
    uint32_t *slot[MIX_INPUTS_MAX];
    int32_t x[MIX_INPUTS_MAX];
    int32_t *w = m->weights + set * inputs;
    int64_t dot = 0;
    for (unsigned k = 0; k < inputs; k++) {
        slot[k] = k < hashed ? m->line[k] + node : m->direct[k - hashed];
        x[k] = mix_stretch(*slot[k] >> 20);
        dot += (int64_t)w[k] * x[k];
    }
    uint32_t p1 = mix_squash((int32_t)(dot >> 16));
    bit = range_code(&m->rc, m->rc.decodes, p1, bit);

    int32_t miss = (int32_t)(bit << 16) - (int32_t)p1;
    int32_t rate = m->coded < 8192 ? 32 : 12;
    m->coded += m->coded < 8192;
    for (unsigned k = 0; k < inputs; k++) {
        w[k] =
            (int32_t)((uint32_t)w[k] + (uint32_t)((x[k] * (miss >> 2) * rate + (1 << 17)) >> 18));
        mix_slot_learn(m, slot[k], bit);
    }
    return bit;
}

#endif

/**
 * Byte classes as bitmaps, four ways.
 *
 * The vector paths share one idea (simdjson, section 3.1.2: vectorised classification): two
 * 16-entry tables, one looked up by the low and one by the high nibble of each byte, give sets of
 * flags whose intersection is the set of the byte. Eight flags suffice for our classes, because
 * each flag is a rectangle (some high nibbles) x (some low):
 *
 *     flag  high     low       bytes                      class
 *     0x80  3        0-9       0-9                        DIGIT, WORD
 *     0x01  4 6      1-15      A-O a-o                    WORD
 *     0x02  5 7      0-10      P-Z p-z                    WORD
 *     0x04  5        15        _                          WORD
 *     0x08  0        0-8       below 0x09                 SPECIAL
 *     0x10  2        2 15      " /                        SPECIAL
 *     0x20  3        10 13     : =                        SPECIAL
 *     0x40  0        10        \n                         NEWLINE
 *
 * A shuffle gives 0 for an index with its high bit set, so bytes >= 0x80 get no flag from the low
 * table; they are WORD by their own high bit. Blocks are 64 bytes; the last one is padded with
 * blanks, which belong to no class.
 */
#include "base/base_scan.h"

#include <string.h>

#if defined(__x86_64__)
#    include <immintrin.h>
#elif defined(__aarch64__)
#    include <arm_neon.h>
#endif

#define FLAG_DIGIT    0x80
#define FLAG_NEWLINE  0x40
#define FLAGS_WORD    (0x80 | 0x01 | 0x02 | 0x04)
#define FLAGS_SPECIAL (0x08 | 0x10 | 0x20)

/* clang-format off */
#define LOW_TABLE                                                                                  \
    0x80 | 0x02 | 0x08,        0x80 | 0x01 | 0x02 | 0x08, 0x80 | 0x01 | 0x02 | 0x08 | 0x10,        \
    0x80 | 0x01 | 0x02 | 0x08, 0x80 | 0x01 | 0x02 | 0x08, 0x80 | 0x01 | 0x02 | 0x08,               \
    0x80 | 0x01 | 0x02 | 0x08, 0x80 | 0x01 | 0x02 | 0x08, 0x80 | 0x01 | 0x02 | 0x08,               \
    0x80 | 0x01 | 0x02,        0x01 | 0x02 | 0x20 | 0x40, 0x01,                                    \
    0x01,                      0x01 | 0x20,               0x01,                                    \
    0x01 | 0x04 | 0x10
#define HIGH_TABLE                                                                                 \
    0x08 | 0x40, 0, 0x10, 0x80 | 0x20, 0x01, 0x02 | 0x04, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0
/* clang-format on */

/* The plain path has a table of its own, one bit a class, bit k for class k; the vector paths'
 * tables are not needed. */
#define D (1u << LM_CLASS_DIGIT)
#define W (1u << LM_CLASS_WORD)
#define N (1u << LM_CLASS_NEWLINE)
#define S (1u << LM_CLASS_SPECIAL)
static const uint8_t class_table[256] = {
    [0 ... 8] = S,
    ['\n'] = N,
    ['"'] = S,
    ['/'] = S,
    [':'] = S,
    ['='] = S,
    ['0' ... '9'] = D | W,
    ['A' ... 'Z'] = W,
    ['a' ... 'z'] = W,
    ['_'] = W,
    [0x80 ... 0xff] = W,
};
#undef D
#undef W
#undef N
#undef S

/* Eight bytes of 0 or 1 become eight bits, the first byte's lowest: byte i is moved to bit 56 + i
 * by the term 7 * (8 - i) of the factor, no other product reaches these bits, and no two meet
 * below, so nothing is carried. */
static inline uint64_t gather(uint64_t bytes)
{
    return (bytes & 0x0101010101010101u) * 0x0102040810204080u >> 56;
}

static void scan_plain(const uint8_t *src, size_t block_count, uint64_t *const out[LM_CLASS_COUNT],
                       size_t word)
{
    for (size_t b = 0; b < block_count; b++, src += LM_SCAN_BLOCK, word++) {
        uint64_t digit = 0, in_word = 0, newline = 0, special = 0;
        for (unsigned i = 0; i < LM_SCAN_BLOCK; i += 8) {
            uint64_t classes = 0;
            for (unsigned k = 0; k < 8; k++)
                classes |= (uint64_t)class_table[src[i + k]] << (8 * k);
            digit |= gather(classes >> LM_CLASS_DIGIT) << i;
            in_word |= gather(classes >> LM_CLASS_WORD) << i;
            newline |= gather(classes >> LM_CLASS_NEWLINE) << i;
            special |= gather(classes >> LM_CLASS_SPECIAL) << i;
        }
        out[LM_CLASS_DIGIT][word] = digit;
        out[LM_CLASS_WORD][word] = in_word;
        out[LM_CLASS_NEWLINE][word] = newline;
        out[LM_CLASS_SPECIAL][word] = special;
    }
}

#if defined(__x86_64__) || defined(__aarch64__)
static const uint8_t low_table[16] = {LOW_TABLE};
static const uint8_t high_table[16] = {HIGH_TABLE};
#endif

#if defined(__x86_64__)

__attribute__((target("avx2"))) static inline uint64_t mask64(__m256i a, __m256i b)
{
    return (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

/* Lanes that have one of flags in them, as a mask of 64 bits. */
__attribute__((target("avx2"))) static inline uint64_t any_of(__m256i a, __m256i b, __m256i flags)
{
    const __m256i zero = _mm256_setzero_si256();
    return ~mask64(_mm256_cmpeq_epi8(_mm256_and_si256(a, flags), zero),
                   _mm256_cmpeq_epi8(_mm256_and_si256(b, flags), zero));
}

__attribute__((target("avx2"))) static void scan_avx2(const uint8_t *src, size_t block_count,
                                                      uint64_t *const out[LM_CLASS_COUNT],
                                                      size_t word)
{
    const __m256i low =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low_table));
    const __m256i high =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)high_table));
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    const __m256i words = _mm256_set1_epi8((char)FLAGS_WORD);
    const __m256i specials = _mm256_set1_epi8(FLAGS_SPECIAL);
    uint64_t *digit = out[LM_CLASS_DIGIT], *in_word = out[LM_CLASS_WORD];
    uint64_t *newline = out[LM_CLASS_NEWLINE], *special = out[LM_CLASS_SPECIAL];

    for (size_t b = 0; b < block_count; b++, src += LM_SCAN_BLOCK, word++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)src);
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(src + 32));
        __m256i fx = _mm256_and_si256(
            _mm256_shuffle_epi8(low, x),
            _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble)));
        __m256i fy = _mm256_and_si256(
            _mm256_shuffle_epi8(low, y),
            _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(y, 4), nibble)));
        digit[word] = mask64(fx, fy); /* FLAG_DIGIT is the sign bit */
        newline[word] = mask64(_mm256_slli_epi16(fx, 1),
                               _mm256_slli_epi16(fy, 1)); /* FLAG_NEWLINE is next to it */
        in_word[word] = any_of(fx, fy, words) | mask64(x, y);
        special[word] = any_of(fx, fy, specials);
    }
}

__attribute__((target("avx512f,avx512bw"))) static void scan_avx512(
    const uint8_t *src, size_t block_count, uint64_t *const out[LM_CLASS_COUNT], size_t word)
{
    const __m512i low =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)low_table));
    const __m512i high =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)high_table));
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    const __m512i words = _mm512_set1_epi8((char)FLAGS_WORD);
    const __m512i specials = _mm512_set1_epi8(FLAGS_SPECIAL);
    const __m512i newlines = _mm512_set1_epi8(FLAG_NEWLINE);

    for (size_t b = 0; b < block_count; b++, src += LM_SCAN_BLOCK, word++) {
        __m512i x = _mm512_loadu_si512(src);
        __m512i flags = _mm512_and_si512(
            _mm512_shuffle_epi8(low, x),
            _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble)));
        out[LM_CLASS_DIGIT][word] = _mm512_movepi8_mask(flags);
        out[LM_CLASS_NEWLINE][word] = _mm512_test_epi8_mask(flags, newlines);
        out[LM_CLASS_WORD][word] = _mm512_test_epi8_mask(flags, words) | _mm512_movepi8_mask(x);
        out[LM_CLASS_SPECIAL][word] = _mm512_test_epi8_mask(flags, specials);
    }
}

#elif defined(__aarch64__)

/* NEON has no movemask: each lane keeps one bit of weight 1 << (lane % 8), pairwise sums gather
 * them. */
static inline uint64_t mask_neon(const uint8x16_t lanes[4])
{
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t weight = vld1q_u8(weights);
    uint8x16_t s01 = vpaddq_u8(vandq_u8(lanes[0], weight), vandq_u8(lanes[1], weight));
    uint8x16_t s23 = vpaddq_u8(vandq_u8(lanes[2], weight), vandq_u8(lanes[3], weight));
    uint8x16_t all = vpaddq_u8(s01, s23);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static void scan_neon(const uint8_t *src, size_t block_count, uint64_t *const out[LM_CLASS_COUNT],
                      size_t word)
{
    const uint8x16_t low = vld1q_u8(low_table), high = vld1q_u8(high_table);
    for (size_t b = 0; b < block_count; b++, src += LM_SCAN_BLOCK, word++) {
        uint8x16_t digit[4], in_word[4], newline[4], special[4];
        for (int k = 0; k < 4; k++) {
            uint8x16_t x = vld1q_u8(src + 16 * k);
            uint8x16_t flags = vandq_u8(vqtbl1q_u8(low, vandq_u8(x, vdupq_n_u8(0x8f))),
                                        vqtbl1q_u8(high, vshrq_n_u8(x, 4)));
            digit[k] = vtstq_u8(flags, vdupq_n_u8(FLAG_DIGIT));
            newline[k] = vtstq_u8(flags, vdupq_n_u8(FLAG_NEWLINE));
            in_word[k] =
                vorrq_u8(vtstq_u8(flags, vdupq_n_u8(FLAGS_WORD)), vcgeq_u8(x, vdupq_n_u8(0x80)));
            special[k] = vtstq_u8(flags, vdupq_n_u8(FLAGS_SPECIAL));
        }
        out[LM_CLASS_DIGIT][word] = mask_neon(digit);
        out[LM_CLASS_WORD][word] = mask_neon(in_word);
        out[LM_CLASS_NEWLINE][word] = mask_neon(newline);
        out[LM_CLASS_SPECIAL][word] = mask_neon(special);
    }
}

#endif

static void scan_blocks(lm_cpu cpu, const uint8_t *src, size_t block_count,
                        uint64_t *const out[LM_CLASS_COUNT], size_t word)
{
#if defined(__x86_64__)
    if (cpu == LM_CPU_AVX512) {
        scan_avx512(src, block_count, out, word);
        return;
    }
    if (cpu == LM_CPU_AVX2) {
        scan_avx2(src, block_count, out, word);
        return;
    }
#elif defined(__aarch64__)
    if (cpu == LM_CPU_NEON) {
        scan_neon(src, block_count, out, word);
        return;
    }
#endif
    (void)cpu;
    scan_plain(src, block_count, out, word);
}

void lm_scan_classes_as(lm_cpu cpu, const uint8_t *src, size_t len,
                        uint64_t *const out[LM_CLASS_COUNT])
{
    size_t block_count = len / LM_SCAN_BLOCK;
    size_t rest = len % LM_SCAN_BLOCK;
    scan_blocks(cpu, src, block_count, out, 0);
    if (rest) {
        uint8_t block[LM_SCAN_BLOCK];
        memset(block, ' ', sizeof block);
        memcpy(block, src + (len - rest), rest);
        scan_blocks(cpu, block, 1, out, block_count);
    }
}

void lm_scan_classes(const uint8_t *src, size_t len, uint64_t *const out[LM_CLASS_COUNT])
{
    lm_scan_classes_as(lm_cpu_best(), src, len, out);
}

static size_t count_plain(const uint8_t *src, size_t len)
{
    const uint64_t ones = 0x0101010101010101u, sevens = 0x7f7f7f7f7f7f7f7fu;
    size_t count = 0, i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t v;
        memcpy(&v, src + i, sizeof v);
        v ^= ones * '\n';
        uint64_t nonzero =
            ((v & sevens) + sevens) | v; /* high bit of each byte: is it other than '\n'? */
        count += 8 - (size_t)__builtin_popcountll(nonzero & ~sevens);
    }
    for (; i < len; i++)
        count += src[i] == '\n';
    return count;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t count_avx2(const uint8_t *src, size_t len)
{
    const __m256i newline = _mm256_set1_epi8('\n');
    __m256i sums = _mm256_setzero_si256();
    size_t i = 0;
    while (len - i >= 32) {
        __m256i lanes =
            _mm256_setzero_si256(); /* a byte each: at most 255 steps before it is emptied */
        size_t stop = len - i > 255 * 32 ? i + 255 * 32 : i + (len - i) / 32 * 32;
        for (; i < stop; i += 32) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(src + i));
            lanes = _mm256_sub_epi8(lanes, _mm256_cmpeq_epi8(x, newline));
        }
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(lanes, _mm256_setzero_si256()));
    }
    size_t count = (size_t)(_mm256_extract_epi64(sums, 0) + _mm256_extract_epi64(sums, 1) +
                            _mm256_extract_epi64(sums, 2) + _mm256_extract_epi64(sums, 3));
    return count + count_plain(src + i, len - i);
}
#endif

size_t lm_scan_count_newlines(const uint8_t *src, size_t len)
{
#if defined(__x86_64__)
    if (lm_cpu_best() >= LM_CPU_AVX2) return count_avx2(src, len);
#endif
    return count_plain(src, len);
}

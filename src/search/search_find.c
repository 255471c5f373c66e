/* Finding a literal in text: looks for its two rarest bytes at their distance, 16 or 32 places at a
 * time, and compares there. memmem(3) sets up a table of 256 entries a call, which for lines and
 * dictionary texts is most of its time. */
#include "search/search_priv.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#elif defined(__aarch64__)
#    include <arm_neon.h>
#endif

/* How common bytes are in logs, roughly; 0 is rarest. */
static const uint8_t common[256] = {
    0,   0,   0,   0,   0,   0,   0,   0,   0,   65,  0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   255, 85,  195, 87,  79,  97,
    101, 111, 141, 139, 91,  95,  179, 225, 217, 221, 251, 247, 243, 231, 227, 223, 219, 215, 213,
    211, 229, 113, 105, 191, 103, 99,  93,  165, 131, 155, 157, 167, 133, 137, 129, 169, 73,  117,
    151, 147, 161, 159, 149, 77,  163, 171, 173, 135, 119, 121, 83,  115, 75,  145, 81,  143, 69,
    189, 67,  245, 185, 207, 209, 253, 193, 197, 187, 241, 123, 175, 205, 203, 239, 237, 199, 127,
    235, 233, 249, 201, 183, 177, 153, 181, 125, 109, 89,  107, 71,  0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,
};

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

lm_finder lm_finder_make(lm_literal literal)
{
    lm_finder f = {.literal = literal};
    size_t len = literal.text.len < 256 ? literal.text.len : 256;
    const uint8_t *p = literal.text.ptr;
    for (size_t i = 1; i < len; i++) {
        if (common[p[i]] < common[p[f.first]]) f.first = (uint8_t)i;
    }
    f.second = f.first == 0 && len > 1;
    for (size_t i = 0; i < len; i++) {
        if (i != f.first && p[i] != p[f.first] &&
            (f.second == f.first || p[f.second] == p[f.first] ||
             common[p[i]] < common[p[f.second]])) {
            f.second = (uint8_t)i;
        }
    }
    if (len > 0) {
        f.bytes[0] = f.bytes[1] = p[f.first];
        f.bytes[2] = f.bytes[3] = p[f.second];
        if (literal.nocase) f.bytes[1] = upper(f.bytes[0]), f.bytes[3] = upper(f.bytes[2]);
    }
#if defined(__x86_64__)
    f.is_wide = lm_cpu_best() >= LM_CPU_AVX2;
    f.is_plain = lm_cpu_best() == LM_CPU_PLAIN;
#else
    f.is_plain = lm_cpu_best() == LM_CPU_PLAIN;
#endif
    return f;
}

static inline bool is_here(const lm_finder *f, const uint8_t *at)
{
    lm_str needle = f->literal.text;
    if (!f->literal.nocase) return memcmp(at, needle.ptr, needle.len) == 0;
    for (size_t i = 0; i < needle.len; i++) {
        uint8_t c = at[i];
        if (c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
        if (c != needle.ptr[i]) return false;
    }
    return true;
}

/* Places begin..end, one by one. */
static size_t find_plain(const lm_finder *f, const uint8_t *text, size_t begin, size_t end)
{
    for (size_t at = begin; at < end; at++) {
        uint8_t a = text[at + f->first], b = text[at + f->second];
        if ((a == f->bytes[0] || a == f->bytes[1]) && (b == f->bytes[2] || b == f->bytes[3]) &&
            is_here(f, text + at))
            return at;
    }
    return SIZE_MAX;
}

#if defined(__x86_64__)
static size_t find_sse2(const lm_finder *f, const uint8_t *text, size_t places)
{
    const __m128i a0 = _mm_set1_epi8((char)f->bytes[0]), a1 = _mm_set1_epi8((char)f->bytes[1]);
    const __m128i b0 = _mm_set1_epi8((char)f->bytes[2]), b1 = _mm_set1_epi8((char)f->bytes[3]);
    for (size_t at = 0;; at += 16) {
        if (at + 16 > places) at = places - 16; /* the last step overlaps the one before */
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(text + at + f->first));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(text + at + f->second));
        __m128i hit = _mm_and_si128(_mm_or_si128(_mm_cmpeq_epi8(a, a0), _mm_cmpeq_epi8(a, a1)),
                                    _mm_or_si128(_mm_cmpeq_epi8(b, b0), _mm_cmpeq_epi8(b, b1)));
        for (unsigned mask = (unsigned)_mm_movemask_epi8(hit); mask; mask &= mask - 1) {
            size_t place = at + (size_t)__builtin_ctz(mask);
            if (is_here(f, text + place)) return place;
        }
        if (at + 16 == places) return SIZE_MAX;
    }
}

__attribute__((target("avx2"))) static size_t find_avx2(const lm_finder *f, const uint8_t *text,
                                                        size_t places)
{
    const __m256i a0 = _mm256_set1_epi8((char)f->bytes[0]),
                  a1 = _mm256_set1_epi8((char)f->bytes[1]);
    const __m256i b0 = _mm256_set1_epi8((char)f->bytes[2]),
                  b1 = _mm256_set1_epi8((char)f->bytes[3]);
    for (size_t at = 0;; at += 32) {
        if (at + 32 > places) at = places - 32;
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(text + at + f->first));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(text + at + f->second));
        __m256i hit =
            _mm256_and_si256(_mm256_or_si256(_mm256_cmpeq_epi8(a, a0), _mm256_cmpeq_epi8(a, a1)),
                             _mm256_or_si256(_mm256_cmpeq_epi8(b, b0), _mm256_cmpeq_epi8(b, b1)));
        for (unsigned mask = (unsigned)_mm256_movemask_epi8(hit); mask; mask &= mask - 1) {
            size_t place = at + (size_t)__builtin_ctz(mask);
            if (is_here(f, text + place)) return place;
        }
        if (at + 32 == places) return SIZE_MAX;
    }
}
#elif defined(__aarch64__)
static size_t find_neon(const lm_finder *f, const uint8_t *text, size_t places)
{
    const uint8x16_t a0 = vdupq_n_u8(f->bytes[0]), a1 = vdupq_n_u8(f->bytes[1]),
                     b0 = vdupq_n_u8(f->bytes[2]), b1 = vdupq_n_u8(f->bytes[3]);
    for (size_t at = 0;; at += 16) {
        if (at + 16 > places) at = places - 16;
        uint8x16_t a = vld1q_u8(text + at + f->first), b = vld1q_u8(text + at + f->second);
        uint8x16_t hit = vandq_u8(vorrq_u8(vceqq_u8(a, a0), vceqq_u8(a, a1)),
                                  vorrq_u8(vceqq_u8(b, b0), vceqq_u8(b, b1)));
        if (vmaxvq_u8(hit)) {
            size_t place = find_plain(f, text, at, at + 16);
            if (place != SIZE_MAX) return place;
        }
        if (at + 16 == places) return SIZE_MAX;
    }
}
#endif

size_t lm_finder_find(const lm_finder *f, lm_str text)
{
    size_t len = f->literal.text.len;
    if (len == 0) return 0;
    if (len > text.len) return SIZE_MAX;
    size_t places = text.len - len + 1;
    if (places < 16 || f->is_plain) return find_plain(f, text.ptr, 0, places);
#if defined(__x86_64__)
    return f->is_wide && places >= 32 ? find_avx2(f, text.ptr, places)
                                      : find_sse2(f, text.ptr, places);
#elif defined(__aarch64__)
    return find_neon(f, text.ptr, places);
#else
    return find_plain(f, text.ptr, 0, places);
#endif
}

size_t lm_literal_find(lm_str text, lm_literal literal)
{
    lm_finder f = lm_finder_make(literal);
    return lm_finder_find(&f, text);
}

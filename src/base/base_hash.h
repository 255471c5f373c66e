/** Hashing: XXH3 (xxhash), the only hash of the project. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/base_str.h"

/** XXH3, 64 bits: checksums on disk and hash tables. */
uint64_t lm_hash64(const void *ptr, size_t len);
uint64_t lm_hash64_seed(const void *ptr, size_t len, uint64_t seed);

/** Mix one 64-bit key (splitmix64's finaliser); for tables keyed by numbers. */
static inline uint64_t lm_hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif

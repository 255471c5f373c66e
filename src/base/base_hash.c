/** XXH3 from xxhash's header, compiled in: no call across a library for short keys. */
#include "base/base_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t lm_hash64(const void *ptr, size_t len)
{
    return XXH3_64bits(ptr, len);
}

uint64_t lm_hash64_seed(const void *ptr, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(ptr, len, seed);
}

/** What the tests of all rooms share: random numbers with a printed seed, an allocator that fails,
 * a scratch folder. */
#ifndef TESTS_SUPPORT_LM_TEST_H
#define TESTS_SUPPORT_LM_TEST_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define LM_TEST_SEED 20260117u

/** xorshift64*: the same numbers everywhere. */
typedef struct lm_test_rng {
    uint64_t state;
} lm_test_rng;

/** The seed is fixed; LOGMILL_TEST_SEED=N tries another one. It is printed, so that a failure can
 * be repeated. */
static inline lm_test_rng lm_test_rng_make(const char *what)
{
    const char *wish = getenv("LOGMILL_TEST_SEED");
    uint64_t seed = wish ? strtoull(wish, NULL, 10) : LM_TEST_SEED;
    printf("# %s: seed %llu\n", what, (unsigned long long)seed);
    return (lm_test_rng){lm_hash_u64(seed) | 1};
}

static inline uint64_t lm_test_random(lm_test_rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * 0x2545f4914f6cdd1du;
}

/** 0 .. bound - 1. */
static inline uint64_t lm_test_below(lm_test_rng *rng, uint64_t bound)
{
    return (lm_test_random(rng) >> 11) % bound;
}

/** An allocator whose n-th request for memory fails, once; counts requests and what is still out.
 */
typedef struct lm_test_allocator {
    uint64_t requests; /* so far */
    uint64_t fail_at;  /* request that fails, from 1; 0: none */
    int64_t bytes_out; /* handed out and not back: 0 when nothing leaks */
} lm_test_allocator;

static inline void *lm_test_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    lm_test_allocator *a = ctx;
    if (++a->requests == a->fail_at) return NULL;
    void *moved = realloc(ptr, new_bytes);
    if (moved) a->bytes_out += (int64_t)new_bytes - (int64_t)(ptr ? old_bytes : 0);
    return moved;
}

static inline void lm_test_release(void *ctx, void *ptr, size_t bytes)
{
    lm_test_allocator *a = ctx;
    a->bytes_out -= (int64_t)bytes;
    free(ptr);
}

/** For lm_mem_new. One thread at a time. */
static inline lm_allocator lm_test_allocator_table(lm_test_allocator *a)
{
    return (lm_allocator){lm_test_resize, lm_test_release, a};
}

/** A fresh folder below TMPDIR; name gets its path. */
static inline void lm_test_folder_make(char name[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(name, 256, "%s/logmill-test-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(name));
}

static inline void lm_test_folder_remove(const char *name)
{
    char command[400];
    assert_true(strncmp(name, "/", 1) == 0 && strstr(name, "logmill-test-") != NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", name);
    assert_int_equal(system(command), 0);
}

/** Run body (an expression that gives lm_err) with each request for memory failing in turn, until
 * it succeeds: every failure must be reported as LM_E_NOMEM, and nothing may leak. MEM is the name
 * the body uses. */
#define LM_TEST_EACH_ALLOCATION_FAILS(MEM, body)                                                   \
    for (uint64_t lm_fail_at = 1;; lm_fail_at++) {                                                 \
        assert_true(lm_fail_at < 100000); /* the body never succeeds */                            \
        lm_test_allocator lm_alloc = {.fail_at = 0};                                               \
        lm_allocator lm_table = lm_test_allocator_table(&lm_alloc);                                \
        lm_mem *MEM = NULL;                                                                        \
        assert_int_equal(lm_mem_new(&lm_table, 0, &MEM), LM_OK);                                   \
        lm_alloc.requests = 0;                                                                     \
        lm_alloc.fail_at = lm_fail_at;                                                             \
        lm_err lm_result = (body);                                                                 \
        assert_int_equal(lm_mem_used(MEM), 0);                                                     \
        lm_mem_free(MEM);                                                                          \
        assert_int_equal(lm_alloc.bytes_out, 0);                                                   \
        if (lm_result == LM_OK && lm_alloc.requests < lm_fail_at) break;                           \
        if (lm_result) assert_int_equal(lm_result, LM_E_NOMEM);                                    \
    }

#endif

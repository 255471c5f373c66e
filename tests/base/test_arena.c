/** base_arena.c: pieces do not overlap, are aligned, and a reset gives the memory to the next
 * round. */
#include "lm_test.h"

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#endif

typedef struct piece {
    uint8_t *ptr;
    size_t bytes;
    uint8_t fill;
} piece;

static void pieces_keep_apart_over_many_rounds(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("arena");
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    static piece pieces[400];
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 400; i++) {
            size_t align = (size_t)1 << lm_test_below(&rng, 7);
            size_t bytes =
                lm_test_below(&rng, 20) ? lm_test_below(&rng, 200) : lm_test_below(&rng, 100000);
            uint8_t *ptr = lm_arena_alloc(&arena, bytes, align);
            assert_non_null(ptr);
            assert_int_equal((uintptr_t)ptr % align, 0);
            pieces[i] = (piece){ptr, bytes, (uint8_t)i};
            memset(ptr, (uint8_t)i, bytes);
        }
        for (size_t i = 0; i < 400; i++) {
            for (size_t k = 0; k < pieces[i].bytes; k++)
                assert_int_equal(pieces[i].ptr[k], pieces[i].fill);
        }
        lm_arena_reset(&arena);
    }
    lm_arena_fini(&arena);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

static void a_reset_reuses_the_memory(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    size_t used = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++)
            assert_non_null(lm_arena_alloc(&arena, 777, 8));
        if (round == 0) used = lm_mem_used(mem);
        assert_int_equal(lm_mem_used(mem), used);
        lm_arena_reset(&arena);
    }
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

static void copies_end_with_nul(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    const char *copy = lm_arena_copy(&arena, "hello, world", 5);
    assert_string_equal(copy, "hello");
    assert_string_equal(lm_arena_copy(&arena, NULL, 0), "");
    assert_null(lm_arena_alloc(&arena, SIZE_MAX - 8, 8));
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

#if defined(__SANITIZE_ADDRESS__)
static void freed_and_unused_memory_is_poisoned(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    char *a = lm_arena_alloc(&arena, 13, 1);
    char *b = lm_arena_alloc(&arena, 8, 1);
    assert_false(__asan_address_is_poisoned(a + 12));
    assert_true(__asan_address_is_poisoned(a + 13));
    assert_true(__asan_address_is_poisoned(b - 1));
    lm_arena_reset(&arena);
    assert_true(__asan_address_is_poisoned(a));
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_keep_apart_over_many_rounds),
        cmocka_unit_test(a_reset_reuses_the_memory),
        cmocka_unit_test(copies_end_with_nul),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(freed_and_unused_memory_is_poisoned),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** base_mem.c: the account is exact, the limit holds, and every failed request is reported and
 * leaves no trace. */
#include "lm_test.h"

static void account_follows_every_call(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_mem_limit(mem), 0);
    void *a = lm_mem_alloc(mem, 100);
    uint8_t *b = lm_mem_calloc(mem, 10, 5);
    assert_int_equal(lm_mem_used(mem), 150);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(b[i], 0);
    a = lm_mem_resize(mem, a, 100, 1000);
    assert_int_equal(lm_mem_used(mem), 1050);
    a = lm_mem_resize(mem, a, 1000, 10);
    assert_int_equal(lm_mem_used(mem), 60);
    assert_int_equal(lm_mem_peak(mem), 1050);
    lm_mem_release(mem, a, 10);
    lm_mem_release(mem, b, 50);
    lm_mem_release(mem, NULL, 0);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    lm_mem_free(NULL);
}

static void zero_bytes_is_a_valid_request(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 64, &mem), LM_OK);
    void *a = lm_mem_alloc(mem, 0);
    void *b = lm_mem_calloc(mem, 0, 8);
    assert_non_null(a);
    assert_non_null(b);
    a = lm_mem_resize(mem, a, 0, 16);
    assert_non_null(a);
    a = lm_mem_resize(mem, a, 16, 0);
    assert_non_null(a);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_release(mem, a, 0);
    lm_mem_release(mem, b, 0);
    lm_mem_free(mem);
}

static void limit_is_never_passed(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 1000, &mem), LM_OK);
    void *a = lm_mem_alloc(mem, 900);
    assert_null(lm_mem_alloc(mem, 101));
    assert_int_equal(lm_mem_err(), LM_E_LIMIT);
    assert_non_null(strstr(lm_err_text(), "900 of 1000"));
    assert_null(lm_mem_resize(mem, a, 900, 1001));
    assert_null(lm_mem_alloc(mem, SIZE_MAX - 10)); /* an overflowing sum is over the limit too */
    assert_int_equal(lm_mem_used(mem), 900);
    void *b = lm_mem_alloc(mem, 100);
    assert_non_null(b);
    lm_mem_release(mem, a, 900);
    lm_mem_release(mem, b, 100);
    lm_mem_free(mem);
}

static void overflowing_products_are_refused(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_null(lm_mem_calloc(mem, SIZE_MAX / 2, 3));
    assert_int_equal(lm_mem_err(), LM_E_NOMEM);
    uint64_t *items = NULL;
    size_t cap = 0;
    assert_int_equal(lm_vec_grow(mem, &items, &cap, SIZE_MAX / 4, sizeof *items), LM_E_NOMEM);
    assert_null(items);
    assert_int_equal(cap, 0);
    lm_mem_free(mem);
}

static void buffer_grows_and_keeps_its_bytes(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("buffer");
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf buf;
    lm_buf_init(&buf, mem);
    uint64_t values[500];
    for (size_t i = 0; i < 500; i++) {
        values[i] = lm_test_random(&rng) >> lm_test_below(&rng, 64);
        assert_int_equal(lm_buf_varint(&buf, values[i]), LM_OK);
        assert_int_equal(lm_buf_le32(&buf, (uint32_t)values[i]), LM_OK);
        assert_int_equal(lm_buf_u8(&buf, (uint8_t)i), LM_OK);
        assert_int_equal(lm_buf_le64(&buf, ~values[i]), LM_OK);
    }
    lm_reader r = lm_reader_of(buf.ptr, buf.len);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(lm_reader_varint(&r), values[i]);
        assert_int_equal(lm_reader_le32(&r), (uint32_t)values[i]);
        assert_int_equal(lm_reader_u8(&r), (uint8_t)i);
        assert_int_equal(lm_reader_le64(&r), ~values[i]);
    }
    assert_false(r.failed);
    assert_int_equal(lm_reader_left(&r), 0);
    lm_buf_fini(&buf);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

static void buffer_near_the_limit_takes_the_exact_size(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 1000, &mem), LM_OK);
    lm_buf buf;
    lm_buf_init(&buf, mem);
    assert_int_equal(lm_buf_reserve(&buf, 600), LM_OK);
    buf.len = 600;
    memset(buf.ptr, 1, 600);
    assert_int_equal(lm_buf_reserve(&buf, 300), LM_OK); /* 1200 do not fit, 900 do */
    assert_int_equal(lm_buf_reserve(&buf, 500), LM_E_LIMIT);
    assert_int_equal(buf.len, 600);
    assert_int_equal(lm_buf_reserve(&buf, SIZE_MAX), LM_E_NOMEM);
    lm_buf_fini(&buf);
    lm_mem_free(mem);
}

static void vector_grows_by_doubling(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    uint32_t *items = NULL;
    size_t cap = 0, moves = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        size_t before = cap;
        assert_int_equal(lm_vec_grow(mem, &items, &cap, i + 1, sizeof *items), LM_OK);
        moves += cap != before;
        items[i] = i;
    }
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(items[i], i);
    assert_true(moves <= 12);
    lm_mem_release(mem, items, cap * sizeof *items);
    lm_mem_free(mem);
}

static lm_err use_memory(lm_mem *mem)
{
    lm_err err;
    lm_buf buf;
    lm_arena arena;
    uint64_t *items = NULL;
    size_t cap = 0;
    lm_buf_init(&buf, mem);
    lm_arena_init(&arena, mem);
    for (size_t i = 0; i < 300; i++) {
        err = lm_buf_varint(&buf, i * i);
        if (err) goto out;
        err = lm_vec_grow(mem, &items, &cap, i + 1, sizeof *items);
        if (err) goto out;
        items[i] = i;
        if (!lm_arena_alloc(&arena, i * 3, 8)) {
            err = lm_mem_err();
            goto out;
        }
    }
out:
    lm_mem_release(mem, items, cap * sizeof *items);
    lm_arena_fini(&arena);
    lm_buf_fini(&buf);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, use_memory(mem))
}

/** Large blocks come back to who asks again; their bytes follow them when they grow and shrink, and
 * nothing of what is kept is charged. */
static void large_blocks_come_back(void **state)
{
    static const size_t sizes[] = {1 << 10, 1 << 20, (1 << 20) + 1, 3 << 20, 5 << 20, 40 << 20};

    enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 400 };

    (void)state;
    lm_mem *mem = NULL;
    lm_test_rng rng = lm_test_rng_make("keep");
    uint8_t *held[8] = {0};
    size_t bytes[8] = {0}, used = 0;
    assert_int_equal(lm_mem_new(NULL, 160 << 20, &mem), LM_OK);
    assert_int_equal(lm_mem_keep(mem, 32 << 20), LM_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t i = lm_test_below(&rng, 8), want = sizes[lm_test_below(&rng, SIZES)];
        uint8_t mark = (uint8_t)(i * 16 + 1);
        if (held[i] && lm_test_below(&rng, 2)) {
            assert_int_equal(held[i][0], mark);
            assert_int_equal(held[i][bytes[i] - 1], mark);
            lm_mem_release(mem, held[i], bytes[i]);
            held[i] = NULL;
            used -= bytes[i];
            bytes[i] = 0;
            continue;
        }
        uint8_t *moved = lm_test_below(&rng, 4) || held[i]
                             ? lm_mem_resize(mem, held[i], bytes[i], want)
                             : lm_mem_calloc(mem, 1, want);
        if (!moved) { /* the limit holds, and what was held stays */
            assert_true(used + want - bytes[i] + (40 << 20) > 160 << 20);
            continue;
        }
        if (bytes[i]) assert_int_equal(moved[0], mark);
        if (bytes[i] && want >= bytes[i]) assert_int_equal(moved[bytes[i] - 1], mark);
        moved[0] = moved[want - 1] = mark;
        used += want - bytes[i];
        held[i] = moved;
        bytes[i] = want;
        assert_in_range(lm_mem_used(mem), used, used + used / 4 + 1);
        if (round % 50 == 0) lm_mem_trim(mem);
    }
    for (size_t i = 0; i < 8; i++)
        lm_mem_release(mem, held[i], bytes[i]);
    uint8_t *clean = lm_mem_calloc(mem, 1, 3 << 20); /* a block that was somebody else's */
    assert_non_null(clean);
    for (size_t i = 0; i < 3 << 20; i++)
        assert_int_equal(clean[i], 0);
    lm_mem_release(mem, clean, 3 << 20);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

/** A tool of 100 bytes that counts how often it was freed. */
typedef struct tool {
    lm_mem *mem;
    int *freed;
} tool;

static void tool_free(void *ptr)
{
    tool *t = ptr;
    ++*t->freed;
    lm_mem_release(t->mem, t, 100);
}

static tool *tool_new(lm_mem *mem, int *freed)
{
    tool *t = lm_mem_alloc(mem, 100);
    assert_non_null(t);
    *t = (tool){mem, freed};
    return t;
}

static void tools_are_kept_beside_the_account(void **state)
{
    (void)state;
    int freed = 0;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 1000, &mem), LM_OK);
    assert_null(lm_mem_take_tool(mem, LM_TOOL_PACKER));
    tool *a = tool_new(mem, &freed), *b = tool_new(mem, &freed);
    lm_mem_give_tool(mem, LM_TOOL_PACKER, a, 100, tool_free);
    assert_int_equal(lm_mem_used(mem), 100);
    lm_mem_give_tool(mem, LM_TOOL_PACKER, b, 100, tool_free); /* one of a kind is kept */
    assert_int_equal(freed, 1);
    assert_int_equal(lm_mem_used(mem), 0);
    assert_null(lm_mem_take_tool(mem, LM_TOOL_UNPACKER));
    assert_ptr_equal(lm_mem_take_tool(mem, LM_TOOL_PACKER), a);
    assert_int_equal(lm_mem_used(mem), 100);
    lm_mem_give_tool(mem, LM_TOOL_PACKER, a, 100, tool_free);
    void *most = lm_mem_alloc(mem, 950); /* used and kept together stay within the limit */
    assert_non_null(most);
    assert_int_equal(freed, 2);
    assert_int_equal(lm_mem_used(mem), 950);
    lm_mem_release(mem, most, 950);
    lm_mem_give_tool(mem, LM_TOOL_PACKER, tool_new(mem, &freed), 100, tool_free);
    lm_mem_trim(mem);
    assert_int_equal(freed, 3);
    lm_mem_give_tool(mem, LM_TOOL_PACKER, tool_new(mem, &freed), 100, tool_free);
    lm_mem_give_tool(mem, LM_TOOL_UNPACKER, tool_new(mem, &freed), 100, tool_free);
    lm_mem_free(mem);
    assert_int_equal(freed, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_blocks_come_back),
        cmocka_unit_test(tools_are_kept_beside_the_account),
        cmocka_unit_test(account_follows_every_call),
        cmocka_unit_test(zero_bytes_is_a_valid_request),
        cmocka_unit_test(limit_is_never_passed),
        cmocka_unit_test(overflowing_products_are_refused),
        cmocka_unit_test(buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(buffer_near_the_limit_takes_the_exact_size),
        cmocka_unit_test(vector_grows_by_doubling),
        cmocka_unit_test(each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

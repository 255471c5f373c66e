/** base_pool.c: every task runs once, results do not depend on the number of threads, failures
 * reach who waits. */
#include "lm_test.h"

#include "base/base_priv.h"

#include <stdatomic.h>

#define ITEMS 5000

typedef struct sums {
    uint64_t value[ITEMS];
    _Atomic uint32_t runs[ITEMS];
} sums;

static lm_err add_up(void *ctx, size_t index)
{
    sums *s = ctx;
    uint64_t x = index;
    for (int i = 0; i < 50; i++)
        x = lm_hash_u64(x + 1);
    s->value[index] = x;
    atomic_fetch_add(&s->runs[index], 1);
    return LM_OK;
}

static void same_result_for_every_number_of_threads(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    static sums first, s;
    assert_int_equal(lm_pool_for(NULL, ITEMS, add_up, &first), LM_OK);
    for (unsigned threads = 1; threads <= 8; threads++) {
        lm_pool *pool;
        assert_int_equal(lm_pool_new(mem, threads, &pool), LM_OK);
        assert_int_equal(lm_pool_threads(pool), threads);
        for (int way = 0; way < 2; way++) { /* a loop; a group, more tasks than the queues hold */
            memset(&s, 0, sizeof s);
            if (way == 0) {
                assert_int_equal(lm_pool_for(pool, ITEMS, add_up, &s), LM_OK);
            } else {
                lm_group group;
                lm_group_init(&group, pool);
                for (size_t i = 0; i < ITEMS; i++)
                    lm_group_run(&group, add_up, &s, i);
                assert_int_equal(lm_group_wait(&group), LM_OK);
            }
            for (size_t i = 0; i < ITEMS; i++)
                assert_int_equal(atomic_load(&s.runs[i]), 1);
            assert_memory_equal(s.value, first.value, sizeof s.value);
        }
        lm_pool_free(pool);
    }
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    lm_pool_free(NULL);
}

/* A tree: each task starts two more from the worker it runs on, and waits for them there. */
typedef struct tree {
    lm_pool *pool;
    _Atomic uint32_t leaves;
} tree;

static lm_err grow(void *ctx, size_t depth)
{
    tree *t = ctx;
    if (depth == 0) {
        atomic_fetch_add(&t->leaves, 1);
        return LM_OK;
    }
    lm_group group;
    lm_group_init(&group, t->pool);
    lm_group_run(&group, grow, t, depth - 1);
    lm_group_run(&group, grow, t, depth - 1);
    return lm_group_wait(&group);
}

static void nested_groups_steal_and_finish(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    for (unsigned threads = 1; threads <= 8; threads++) {
        lm_pool *pool;
        assert_int_equal(lm_pool_new(mem, threads, &pool), LM_OK);
        tree t = {.pool = pool};
        lm_group group;
        lm_group_init(&group, pool);
        lm_group_run(&group, grow, &t, 10);
        assert_int_equal(lm_group_wait(&group), LM_OK);
        assert_int_equal(atomic_load(&t.leaves), 1024);
        lm_pool_counters counters;
        lm_pool_counters_get(pool, &counters);
        assert_int_equal(counters.tasks_run, 2047); /* every node of the tree, once */
        assert_int_equal(counters.tasks_inline, threads == 1 ? 2047 : 0);
        lm_pool_free(pool);
    }
    lm_mem_free(mem);
}

/* A chain: the only task of a worker adds one that must be stolen while the worker is busy waiting
 * for it to run elsewhere; with two threads the other one is the waiting caller. */
typedef struct handover {
    lm_pool *pool;
    lm_group group;
    _Atomic bool is_started;
    _Atomic bool was_run;
} handover;

static lm_err mark(void *ctx, size_t index)
{
    handover *h = ctx;
    (void)index;
    atomic_store(&h->was_run, true);
    return LM_OK;
}

static lm_err add_and_block(void *ctx, size_t index)
{
    handover *h = ctx;
    (void)index;
    atomic_store(&h->is_started, true);
    lm_group_run(&h->group, mark, h, 0);
    for (int i = 0; i < 20000 && !atomic_load(&h->was_run); i++)
        usleep(1000);
    return atomic_load(&h->was_run) ? LM_OK : lm_fail(LM_E_CANCELLED, "nobody stole the task");
}

static void idle_threads_steal(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_pool *pool;
    assert_int_equal(lm_pool_new(mem, 3, &pool), LM_OK);
    for (int round = 0; round < 20; round++) {
        handover h = {.pool = pool};
        lm_group_init(&h.group, pool);
        lm_group_run(&h.group, add_and_block, &h, 0);
        while (!atomic_load(&h.is_started))
            usleep(100); /* on a worker: we do not help before */
        assert_int_equal(lm_group_wait(&h.group), LM_OK);
    }
    lm_pool_counters counters;
    lm_pool_counters_get(pool, &counters);
    assert_int_equal(counters.tasks_run, 40);
    assert_int_equal(counters.tasks_stolen, 20);
    lm_pool_free(pool);
    lm_mem_free(mem);
}

static lm_err fail_some(void *ctx, size_t index)
{
    (void)ctx;
    if (index % 100 == 37) return lm_fail_at(LM_E_CORRUPT, index, "item %zu is bad", index);
    return LM_OK;
}

static void loops_report_the_lowest_failure(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    for (unsigned threads = 1; threads <= 8; threads++) {
        lm_pool *pool;
        assert_int_equal(lm_pool_new(mem, threads, &pool), LM_OK);
        for (int round = 0; round < 50; round++) {
            (void)lm_fail(LM_E_IO, "something older");
            assert_int_equal(lm_pool_for(pool, 2000, fail_some, NULL), LM_E_CORRUPT);
            assert_string_equal(lm_err_text(), "item 37 is bad");
            lm_err_info info;
            lm_err_save(&info);
            assert_int_equal(info.offset, 37);
        }
        lm_pool_free(pool);
    }
    lm_mem_free(mem);
}

static lm_err fail_one(void *ctx, size_t index)
{
    (void)ctx;
    return index == 5 ? lm_fail(LM_E_LIMIT, "five") : LM_OK;
}

static lm_err fail_silently(void *ctx, size_t index)
{
    (void)ctx;
    (void)index;
    return LM_E_CORRUPT; /* a code without words */
}

static void groups_carry_the_failure(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    for (unsigned threads = 1; threads <= 4; threads++) {
        lm_pool *pool;
        assert_int_equal(lm_pool_new(mem, threads, &pool), LM_OK);
        lm_group group;
        lm_group_init(&group, pool);
        for (size_t i = 0; i < 20; i++)
            lm_group_run(&group, fail_one, NULL, i);
        assert_int_equal(lm_group_wait(&group), LM_E_LIMIT);
        assert_string_equal(lm_err_text(), "five");
        lm_group_init(&group, pool);
        lm_group_run(&group, fail_silently, NULL, 0);
        assert_int_equal(lm_group_wait(&group), LM_E_CORRUPT);
        assert_string_equal(lm_err_text(), lm_err_help(LM_E_CORRUPT));
        lm_pool_free(pool);
    }
    lm_mem_free(mem);
}

static void many_short_lives(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    static sums s;
    for (int round = 0; round < 200; round++) { /* starts and ends race with sleeping and waking */
        lm_pool *pool;
        assert_int_equal(lm_pool_new(mem, 4, &pool), LM_OK);
        assert_int_equal(lm_pool_for(pool, (size_t)(round % 7), add_up, &s), LM_OK);
        lm_pool_free(pool);
    }
    lm_pool *pool;
    assert_int_equal(lm_pool_new(mem, 3, &pool), LM_OK);
    for (int round = 0; round < 3000; round++)
        assert_int_equal(lm_pool_for(pool, 5, add_up, &s), LM_OK);
    lm_pool_free(pool);
    lm_mem_free(mem);
}

static lm_err make_pool(lm_mem *mem)
{
    lm_pool *pool;
    lm_err err = lm_pool_new(mem, 3, &pool);
    if (!err) lm_pool_free(pool);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, make_pool(mem))
}

static void thread_counts_follow_the_system(void **state)
{
    (void)state;
    assert_int_equal(lm_cpu_quota_of(150000, 100000), 2); /* a CPU and a half: two threads */
    assert_int_equal(lm_cpu_quota_of(200000, 100000), 2);
    assert_int_equal(lm_cpu_quota_of(10000, 100000), 1);
    assert_int_equal(lm_cpu_quota_of(-1, 100000), 0);
    assert_int_equal(lm_cpu_quota_of(100000, 0), 0);
    lm_cpu_list cpus;
    lm_cpu_list_get(&cpus);
    assert_true(cpus.count >= 1);
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_pool *pool;
    assert_int_equal(lm_pool_new(mem, 0, &pool), LM_OK);
    unsigned threads = lm_pool_threads(pool);
    assert_true(threads >= 1 && threads <= cpus.count);
    if (cpus.quota) assert_true(threads <= cpus.quota);
    lm_pool_free(pool);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_result_for_every_number_of_threads),
        cmocka_unit_test(nested_groups_steal_and_finish),
        cmocka_unit_test(idle_threads_steal),
        cmocka_unit_test(loops_report_the_lowest_failure),
        cmocka_unit_test(groups_carry_the_failure),
        cmocka_unit_test(many_short_lives),
        cmocka_unit_test(each_failed_allocation_is_reported),
        cmocka_unit_test(thread_counts_follow_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/**
 * Workers: a work-stealing pool. Each worker is pinned to one allowed CPU, owns a deque (Chase-Lev)
 * of tasks, and steals when it is empty. Tasks carry batches, not lines. With threads == 1
 * everything runs on the caller.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/base_mem.h"

typedef struct lm_pool lm_pool;

/** threads 0: as many as the CPUs this process may use (affinity and cgroup quota), at most
 * THREADS_MAX. */
LM_USE lm_err lm_pool_new(lm_mem *mem, unsigned threads, lm_pool **out);
void lm_pool_free(lm_pool *pool); /* waits for running tasks; NULL is fine */
unsigned lm_pool_threads(const lm_pool *pool);

/** What the pool has done since it was made; for judging the size of tasks. */
typedef struct lm_pool_counters {
    uint64_t tasks_run;    /* all of them, the next three included */
    uint64_t tasks_stolen; /* taken from another worker's deque */
    uint64_t tasks_inline; /* run by the one who added them: one thread only, or full queues */
    uint64_t sleeps;       /* times a thread found nothing to do and slept */
} lm_pool_counters;

/** Exact when no task is running; otherwise of about this moment. */
void lm_pool_counters_get(const lm_pool *pool, lm_pool_counters *out);

/** A set of tasks that is waited for together. Lives on the caller's stack or in its struct. */
typedef struct lm_group {
    lm_pool *pool;
    _Atomic uint32_t pending;
    _Atomic int32_t failed; /* first failure's code, 0 if none */
    lm_err_info info;       /* text of that failure */
} lm_group;

typedef lm_err (*lm_task_fn)(void *ctx, size_t index);

void lm_group_init(lm_group *group, lm_pool *pool);
/** Queue fn(ctx, index). Runs it at once when the pool has one thread or its queues are full. */
void lm_group_run(lm_group *group, lm_task_fn fn, void *ctx, size_t index);
/** Help with queued tasks until this group's are done. Returns the first failure (restored to this
 * thread). */
LM_USE lm_err lm_group_wait(lm_group *group);
/** fn(ctx, 0..count-1) in any order, on all workers and the caller. pool NULL runs in order on the
 * caller. */
LM_USE lm_err lm_pool_for(lm_pool *pool, size_t count, lm_task_fn fn, void *ctx);

#endif

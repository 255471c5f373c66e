/**
 * Workers: a work-stealing pool.
 *
 *     caller ──run──► inbox (ring under a lock)  ◄──take── workers, waiting callers
 *     worker ──run──► its own deque ◄──pop (newest first)── itself
 *                                   ◄──steal (oldest first)── other workers, waiting callers
 *
 * The deque is Chase and Lev's (SPAA 2005) in the C11 form of Lê, Pop, Cohen and Zappa Nardelli
 * (PPoPP 2013), with two differences: it has a fixed size (a full deque makes the task run at once,
 * which bounds memory), and it uses sequentially consistent operations in place of fences, because
 * ThreadSanitizer does not understand fences and a task is a batch of lines, so a few nanoseconds
 * do not matter.
 *
 * Invariants
 *   (1) A task is taken once: by the pop or steal that moved bottom or top past it.
 *   (2) A thief's copy of a slot is valid if its compare-and-swap of top succeeds: the owner overwrites a slot only
 *       after it has seen top beyond it.
 *   (3) No wake-up is lost: who adds a task first publishes it, then looks for sleepers; who goes to sleep first
 *       counts itself as a sleeper, then looks for tasks. One of the two sees the other.
 *   (4) After the last decrement of group->pending the group's memory is not touched: its owner may be gone.
 *   (5) A thread that waits for a group helps with whatever is queued, so nested waits cannot starve each other.
 */
#include "base/base_pool.h"

#include "base/base_limits.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/base_priv.h"

#define POOL_MAGIC  0x6c6f6f70u
#define DEQUE_TASKS 1024u /* a power of two */
#define INBOX_TASKS 1024u
#define SPIN_ROUNDS 64
#define CACHE_LINE  64

typedef struct task {
    lm_task_fn fn;
    void *ctx;
    size_t index;
    lm_group *group;
} task;

/* Atomic fields, because a thief may read a slot while its owner refills it (2). */
typedef struct slot {
    _Atomic(lm_task_fn) fn;
    _Atomic(void *) ctx;
    _Atomic size_t index;
    _Atomic(lm_group *) group;
} slot;

/* One set for each worker and one for all callers: counting pulls no cache line to and fro. */
typedef struct counters {
    _Atomic uint64_t run;
    _Atomic uint64_t stolen;
    _Atomic uint64_t at_once;
    _Atomic uint64_t sleeps;
} counters;

typedef struct worker {
    _Alignas(CACHE_LINE) _Atomic int64_t top;    /* oldest task; thieves move it */
    _Alignas(CACHE_LINE) _Atomic int64_t bottom; /* behind the newest task; the owner moves it */
    slot slots[DEQUE_TASKS];
    lm_pool *pool;
    pthread_t thread;
    int cpu; /* pinned to, or -1 */
    counters count;
} worker;

struct lm_pool {
    uint32_t magic;
    lm_mem *mem;
    unsigned threads;      /* workers and one waiting caller */
    unsigned worker_count; /* threads started: threads - 1 */
    worker *workers;
    void *workers_block; /* what workers was cut from, for alignment */
    size_t workers_bytes;
    pthread_mutex_t lock; /* guards inbox, is_closing and sleeping */
    pthread_cond_t wake;
    task inbox[INBOX_TASKS];    /* ring; lock */
    size_t inbox_first;         /* lock */
    _Atomic size_t inbox_count; /* written under lock, looked at without */
    _Atomic unsigned sleepers;
    bool is_closing; /* lock */
    counters count;  /* of callers */
};

static _Thread_local worker *self; /* the worker this thread is, NULL for callers */

/* ---- deque ---- */

static bool deque_push(worker *w, const task *t)
{
    int64_t b = atomic_load_explicit(&w->bottom, memory_order_relaxed);
    int64_t top = atomic_load_explicit(&w->top, memory_order_acquire);
    if (b - top >= (int64_t)DEQUE_TASKS) return false;
    slot *s = &w->slots[(size_t)b % DEQUE_TASKS];
    atomic_store_explicit(&s->fn, t->fn, memory_order_relaxed);
    atomic_store_explicit(&s->ctx, t->ctx, memory_order_relaxed);
    atomic_store_explicit(&s->index, t->index, memory_order_relaxed);
    atomic_store_explicit(&s->group, t->group, memory_order_relaxed);
    atomic_store(&w->bottom, b + 1); /* sequentially consistent: see (3) */
    return true;
}

static void slot_read(worker *w, int64_t at, task *out)
{
    slot *s = &w->slots[(size_t)at % DEQUE_TASKS];
    out->fn = atomic_load_explicit(&s->fn, memory_order_relaxed);
    out->ctx = atomic_load_explicit(&s->ctx, memory_order_relaxed);
    out->index = atomic_load_explicit(&s->index, memory_order_relaxed);
    out->group = atomic_load_explicit(&s->group, memory_order_relaxed);
}

static bool deque_pop(worker *w, task *out)
{
    int64_t b = atomic_load_explicit(&w->bottom, memory_order_relaxed) - 1;
    atomic_store(&w->bottom, b);
    int64_t top = atomic_load(&w->top);
    if (top > b) { /* empty */
        atomic_store(&w->bottom, b + 1);
        return false;
    }
    slot_read(w, b, out);
    if (top < b) return true;
    bool is_won = atomic_compare_exchange_strong(&w->top, &top,
                                                 top + 1); /* the last one: thieves want it too */
    atomic_store(&w->bottom, b + 1);
    return is_won;
}

static bool deque_steal(worker *w, task *out)
{
    int64_t top = atomic_load(&w->top);
    int64_t b = atomic_load(&w->bottom);
    if (top >= b) return false;
    slot_read(w, top, out);
    return atomic_compare_exchange_strong(&w->top, &top, top + 1);
}

/* ---- inbox ---- */

static bool inbox_push(lm_pool *pool, const task *t)
{
    pthread_mutex_lock(&pool->lock);
    size_t count = atomic_load_explicit(&pool->inbox_count, memory_order_relaxed);
    bool has_room = count < INBOX_TASKS;
    if (has_room) {
        pool->inbox[(pool->inbox_first + count) % INBOX_TASKS] = *t;
        atomic_store(&pool->inbox_count, count + 1);
    }
    pthread_mutex_unlock(&pool->lock);
    return has_room;
}

static bool inbox_take(lm_pool *pool, task *out)
{
    if (atomic_load(&pool->inbox_count) == 0) return false;
    pthread_mutex_lock(&pool->lock);
    size_t count = atomic_load_explicit(&pool->inbox_count, memory_order_relaxed);
    if (count) {
        *out = pool->inbox[pool->inbox_first];
        pool->inbox_first = (pool->inbox_first + 1) % INBOX_TASKS;
        atomic_store(&pool->inbox_count, count - 1);
    }
    pthread_mutex_unlock(&pool->lock);
    return count != 0;
}

/* ---- finding and running tasks ---- */

static void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static counters *counters_here(lm_pool *pool)
{
    return self && self->pool == pool ? &self->count : &pool->count;
}

static bool has_work(lm_pool *pool)
{
    if (atomic_load(&pool->inbox_count)) return true;
    for (unsigned i = 0; i < pool->worker_count; i++) {
        worker *w = &pool->workers[i];
        if (atomic_load(&w->top) < atomic_load(&w->bottom)) return true;
    }
    return false;
}

static bool find_task(lm_pool *pool, worker *me, task *out)
{
    if (me && deque_pop(me, out)) return true;
    if (inbox_take(pool, out)) return true;
    unsigned start = me ? (unsigned)(me - pool->workers) + 1 : 0;
    for (unsigned i = 0; i < pool->worker_count; i++) {
        worker *victim = &pool->workers[(start + i) % pool->worker_count];
        if (victim != me && deque_steal(victim, out)) {
            count_one(&counters_here(pool)->stolen);
            return true;
        }
    }
    return false;
}

static void wake_one(lm_pool *pool)
{
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void wake_all(lm_pool *pool)
{
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void note_failure(lm_group *group, lm_err err)
{
    int32_t none = LM_OK;
    if (!atomic_compare_exchange_strong(&group->failed, &none, err))
        return; /* the first one counts */
    lm_err_save(&group->info);
    if (group->info.code != err) { /* returned a code that it did not describe */
        (void)lm_fail(err, "%s", lm_err_help(err));
        lm_err_save(&group->info);
    }
}

static void run_task(const task *t)
{
    lm_err err = t->fn(t->ctx, t->index);
    lm_group *group = t->group;
    lm_pool *pool = group->pool;
    if (err) note_failure(group, err);
    if (pool) count_one(&counters_here(pool)->run);
    if (atomic_fetch_sub(&group->pending, 1) == 1 && pool)
        wake_all(pool); /* (4): only the pool from here on */
}

/* Sleep until somebody wakes us; returns at once if there is work or is_done(group) already. */
static void sleep_for_work(lm_pool *pool, lm_group *group)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    bool is_idle =
        !pool->is_closing && !has_work(pool) && !(group && atomic_load(&group->pending) == 0);
    if (is_idle) {
        count_one(&counters_here(pool)->sleeps);
        pthread_cond_wait(&pool->wake, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void pin(int cpu)
{
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* a wish: correct without it */
}

static void *worker_main(void *arg)
{
    worker *me = arg;
    lm_pool *pool = me->pool;
    self = me;
    pin(me->cpu);
    for (;;) {
        task t;
        bool has_task = false;
        for (int round = 0; round < SPIN_ROUNDS && !has_task; round++)
            has_task = find_task(pool, me, &t);
        if (has_task) {
            run_task(&t);
            continue;
        }
        pthread_mutex_lock(&pool->lock);
        bool is_closing = pool->is_closing;
        pthread_mutex_unlock(&pool->lock);
        if (is_closing && !has_work(pool)) break;
        sleep_for_work(pool, NULL);
    }
    self = NULL;
    return NULL;
}

/* ---- the pool ---- */

/* Signals belong to the program's main thread, so workers are born with all of them blocked. */
static void start_workers(lm_pool *pool, const lm_cpu_list *cpus)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_pinned =
        cpus->count >= pool->threads; /* more threads than CPUs: the system knows better */
    int here = sched_getcpu();
    size_t start = 0;
    for (size_t i = 0; i < cpus->count; i++) {
        if (cpus->ids[i] == here) start = i;
    }
    for (unsigned i = 0; i + 1 < pool->threads; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->cpu = is_pinned ? cpus->ids[(start + 1 + i) % cpus->count] : -1;
    }
    /* worker_count is read by running workers: it must not change once the first one is alive. */
    pthread_mutex_lock(&pool->lock);
    pool->worker_count = pool->threads - 1;
    pthread_mutex_unlock(&pool->lock);
    unsigned started = 0;
    while (started < pool->worker_count &&
           pthread_create(&pool->workers[started].thread, NULL, worker_main,
                          &pool->workers[started]) == 0) {
        started++;
    }
    pool->threads =
        started + 1; /* a system short of threads gives a smaller pool; idle deques stay empty */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

lm_err lm_pool_new(lm_mem *mem, unsigned threads, lm_pool **out)
{
    lm_cpu_list cpus;
    lm_cpu_list_get(&cpus);
    if (threads == 0) {
        threads = (unsigned)cpus.count;
        if (cpus.quota && cpus.quota < threads) threads = cpus.quota;
    }
    if (threads < 1) threads = 1;
    if (threads > LM_THREADS_MAX) threads = LM_THREADS_MAX;

    lm_pool *pool = lm_mem_calloc(mem, 1, sizeof *pool);
    if (!pool) return lm_mem_err();
    pool->magic = POOL_MAGIC;
    pool->mem = mem;
    pool->threads = threads;
    if (threads > 1) {
        pool->workers_bytes = (threads - 1) * sizeof(worker) + CACHE_LINE;
        pool->workers_block = lm_mem_calloc(mem, 1, pool->workers_bytes);
        if (!pool->workers_block) {
            lm_mem_release(mem, pool, sizeof *pool);
            return lm_mem_err();
        }
        size_t gap = (size_t)(-(uintptr_t)pool->workers_block & (CACHE_LINE - 1));
        pool->workers = (worker *)(void *)((uint8_t *)pool->workers_block + gap);
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    if (threads > 1) start_workers(pool, &cpus);
    *out = pool;
    return LM_OK;
}

void lm_pool_free(lm_pool *pool)
{
    if (!pool) return;
    LM_ASSERT(pool->magic == POOL_MAGIC);
    pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i + 1 < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    lm_mem_release(pool->mem, pool->workers_block, pool->workers_bytes);
    pool->magic = 0;
    lm_mem_release(pool->mem, pool, sizeof *pool);
}

unsigned lm_pool_threads(const lm_pool *pool)
{
    return pool->threads;
}

static void counters_add(const counters *c, lm_pool_counters *sum)
{
    sum->tasks_run += atomic_load_explicit(&c->run, memory_order_relaxed);
    sum->tasks_stolen += atomic_load_explicit(&c->stolen, memory_order_relaxed);
    sum->tasks_inline += atomic_load_explicit(&c->at_once, memory_order_relaxed);
    sum->sleeps += atomic_load_explicit(&c->sleeps, memory_order_relaxed);
}

void lm_pool_counters_get(const lm_pool *pool, lm_pool_counters *out)
{
    lm_pool_counters sum = {0};
    counters_add(&pool->count, &sum);
    for (unsigned i = 0; i < pool->worker_count; i++)
        counters_add(&pool->workers[i].count, &sum);
    *out = sum;
}

/* ---- groups ---- */

void lm_group_init(lm_group *group, lm_pool *pool)
{
    group->pool = pool;
    atomic_init(&group->pending, 0);
    atomic_init(&group->failed, LM_OK);
    group->info = (lm_err_info){.code = LM_OK, .offset = LM_NO_OFFSET};
}

void lm_group_run(lm_group *group, lm_task_fn fn, void *ctx, size_t index)
{
    lm_pool *pool = group->pool;
    task t = {fn, ctx, index, group};
    atomic_fetch_add(&group->pending, 1);
    bool is_queued = false;
    if (pool && pool->threads > 1) {
        is_queued = self && self->pool == pool ? deque_push(self, &t) : inbox_push(pool, &t);
    }
    if (is_queued) {
        wake_one(pool);
    } else {
        if (pool) count_one(&counters_here(pool)->at_once);
        run_task(&t);
    }
}

lm_err lm_group_wait(lm_group *group)
{
    lm_pool *pool = group->pool;
    worker *me = pool && self && self->pool == pool ? self : NULL;
    bool has_slept = false;
    while (atomic_load(&group->pending)) {
        task t;
        bool has_task = false;
        for (int round = 0; round < SPIN_ROUNDS && !has_task && atomic_load(&group->pending);
             round++) {
            has_task = find_task(pool, me, &t);
        }
        if (has_task) {
            run_task(&t);
        } else {
            sleep_for_work(pool, group);
            has_slept = true;
        }
    }
    /* A signal meant for a task may have woken us instead of a worker: hand it on. */
    if (has_slept && has_work(pool)) wake_one(pool);
    lm_err err = atomic_load(&group->failed);
    return err ? lm_err_restore(&group->info) : LM_OK;
}

/* ---- loops ---- */

/*
 * One task per thread, each taking the next index until none is left. Indexes are handed out in
 * order, so every index below a failing one has been started and will finish: the lowest failing
 * index, which is reported, is the same in every run and for every number of threads.
 */
typedef struct loop {
    lm_task_fn fn;
    void *ctx;
    size_t count;
    _Atomic size_t next;
    _Atomic bool is_failed; /* no new index is taken */
    pthread_mutex_t lock;   /* guards failed_index and info */
    size_t failed_index;
    lm_err_info info;
} loop;

static lm_err loop_run(void *ctx, size_t unused)
{
    loop *l = ctx;
    (void)unused;
    while (!atomic_load(&l->is_failed)) {
        size_t index = atomic_fetch_add(&l->next, 1);
        if (index >= l->count) break;
        lm_err err = l->fn(l->ctx, index);
        if (!err) continue;
        atomic_store(&l->is_failed, true);
        pthread_mutex_lock(&l->lock);
        if (index < l->failed_index) {
            l->failed_index = index;
            lm_err_save(&l->info);
            l->info.code = err;
        }
        pthread_mutex_unlock(&l->lock);
    }
    return LM_OK;
}

lm_err lm_pool_for(lm_pool *pool, size_t count, lm_task_fn fn, void *ctx)
{
    if (!pool || pool->threads == 1 || count <= 1) {
        for (size_t i = 0; i < count; i++) {
            lm_err err = fn(ctx, i);
            if (err) return err;
        }
        return LM_OK;
    }
    loop l = {.fn = fn, .ctx = ctx, .count = count, .failed_index = SIZE_MAX};
    pthread_mutex_init(&l.lock, NULL);
    lm_group group;
    lm_group_init(&group, pool);
    size_t helpers = (count < pool->threads ? count : pool->threads) - 1;
    for (size_t i = 0; i < helpers; i++)
        lm_group_run(&group, loop_run, &l, i);
    lm_err err = loop_run(&l, 0);
    if (!err) err = lm_group_wait(&group);
    pthread_mutex_destroy(&l.lock);
    if (l.failed_index != SIZE_MAX) err = lm_err_restore(&l.info);
    return err;
}

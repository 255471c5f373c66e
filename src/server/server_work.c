/** Workers: threads that take requests from a bounded queue, so that no listener waits. */
#include "server/server_priv.h"

static void *work_main(void *ctx)
{
    server_work *work = ctx;
    (void)pthread_mutex_lock(&work->lock);
    for (;;) {
        while (!work->first && !work->is_stopping)
            (void)pthread_cond_wait(&work->has_work, &work->lock);
        server_request *request = work->first;
        if (!request) break; /* stopping, and nothing waits */
        work->first = request->work_next;
        if (!work->first) work->last = NULL;
        work->waiting--;
        work->running++;
        (void)pthread_mutex_unlock(&work->lock);
        request->work_run(request);
        (void)pthread_mutex_lock(&work->lock);
        work->running--;
    }
    (void)pthread_mutex_unlock(&work->lock);
    return NULL;
}

lm_err server_work_start(server_work *work, lm_mem *mem, size_t threads, size_t waiting_max)
{
    memset(work, 0, sizeof *work);
    work->mem = mem;
    work->waiting_max = waiting_max;
    (void)pthread_mutex_init(&work->lock, NULL);
    (void)pthread_cond_init(&work->has_work, NULL);
    work->threads = lm_mem_alloc(mem, threads * sizeof *work->threads);
    if (!work->threads) return lm_mem_err();
    work->thread_cap = threads;
    for (size_t i = 0; i < threads; i++) {
        if (pthread_create(&work->threads[i], NULL, work_main, work) != 0)
            return lm_fail(LM_E_NOMEM, "cannot start a thread");
        work->thread_count++;
    }
    return LM_OK;
}

lm_err server_work_add(server_work *work, server_request *request, server_handler fn)
{
    lm_err err = LM_OK;
    (void)pthread_mutex_lock(&work->lock);
    if (work->waiting >= work->waiting_max || work->is_stopping) {
        err = lm_fail(LM_E_LIMIT, "too many outstanding requests");
    } else {
        request->work_run = fn;
        request->work_next = NULL;
        if (work->last)
            work->last->work_next = request;
        else
            work->first = request;
        work->last = request;
        work->waiting++;
        (void)pthread_cond_signal(&work->has_work);
    }
    (void)pthread_mutex_unlock(&work->lock);
    return err;
}

void server_work_stop(server_work *work)
{
    if (!work->mem) return;
    (void)pthread_mutex_lock(&work->lock);
    work->is_stopping = true;
    (void)pthread_cond_broadcast(&work->has_work);
    (void)pthread_mutex_unlock(&work->lock);
    for (size_t i = 0; i < work->thread_count; i++)
        (void)pthread_join(work->threads[i], NULL);
    lm_mem_release(work->mem, work->threads, work->thread_cap * sizeof *work->threads);
    (void)pthread_mutex_destroy(&work->lock);
    (void)pthread_cond_destroy(&work->has_work);
    memset(work, 0, sizeof *work);
}

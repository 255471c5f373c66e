/** Batches on their way: slots that any thread may mark as landed. */
#include "source/source_priv.h"

#include <sys/eventfd.h>
#include <unistd.h>

enum { FREE, FLYING, LANDED };

lm_err lm_flights_new(lm_mem *mem, lm_flights **out)
{
    lm_flights *flights = lm_mem_calloc(mem, 1, sizeof *flights);
    if (!flights) return lm_mem_err();
    flights->mem = mem;
    atomic_init(&flights->refs, 1);
    for (size_t i = 0; i < LM_FLIGHTS; i++) {
        flights->slots[i].home = flights;
        atomic_init(&flights->slots[i].state, FREE);
    }
    flights->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (flights->event_fd < 0) {
        lm_err err = lm_fail_errno("cannot make an event descriptor");
        lm_mem_release(mem, flights, sizeof *flights);
        return err;
    }
    *out = flights;
    return LM_OK;
}

void lm_flights_unref(lm_flights *flights)
{
    if (!flights || atomic_fetch_sub_explicit(&flights->refs, 1, memory_order_acq_rel) != 1) return;
    close(flights->event_fd);
    lm_mem_release(flights->mem, flights, sizeof *flights);
}

void lm_flights_wake(lm_flights *flights)
{
    uint64_t one = 1;
    (void)!write(flights->event_fd, &one, sizeof one); /* full means that it is readable */
}

void lm_flights_calm(lm_flights *flights)
{
    uint64_t count;
    (void)!read(flights->event_fd, &count, sizeof count); /* empty is fine */
}

unsigned lm_flights_out(const lm_flights *flights)
{
    unsigned count = 0;
    for (size_t i = 0; i < LM_FLIGHTS; i++)
        count += atomic_load_explicit(&flights->slots[i].state, memory_order_acquire) == FLYING;
    return count;
}

int lm_flights_landed(lm_flights *flights, lm_err *out_err)
{
    for (int i = 0; i < LM_FLIGHTS; i++) {
        lm_flight *flight = &flights->slots[i];
        if (atomic_load_explicit(&flight->state, memory_order_acquire) != LANDED) continue;
        *out_err = flight->err;
        atomic_store_explicit(&flight->state, FREE, memory_order_release);
        return i;
    }
    return -1;
}

/** lm_put_done */
static void land(void *ctx, lm_err err)
{
    lm_flight *flight = ctx;
    lm_flights *flights = flight->home;
    flight->err = err;
    atomic_store_explicit(&flight->state, LANDED, memory_order_release);
    lm_flights_wake(flights);
    lm_flights_unref(flights);
}

lm_err lm_source_put(lm_source *source, const lm_record_batch *batch,
                     const lm_checkpoint *checkpoints, size_t count, int *out_slot)
{
    lm_flights *flights = source->flights;
    int slot = 0;
    while (slot < LM_FLIGHTS &&
           atomic_load_explicit(&flights->slots[slot].state, memory_order_acquire) != FREE)
        slot++;
    if (slot == LM_FLIGHTS) return lm_fail(LM_E_LIMIT, "%d batches are on their way", LM_FLIGHTS);
    lm_flight *flight = &flights->slots[slot];
    atomic_store_explicit(&flight->state, FLYING, memory_order_relaxed);
    atomic_fetch_add_explicit(&flights->refs, 1, memory_order_relaxed);
    const lm_sink *sink = &source->host.sink;
    lm_err err = sink->put(sink->self, source->tenant, batch, checkpoints, count, land, flight);
    if (err) {
        atomic_store_explicit(&flight->state, FREE, memory_order_relaxed);
        lm_flights_unref(flights);
        return err;
    }
    atomic_fetch_add_explicit(&source->records, batch->record_count, memory_order_relaxed);
    atomic_fetch_add_explicit(&source->bytes, batch->bytes, memory_order_relaxed);
    *out_slot = slot;
    return LM_OK;
}

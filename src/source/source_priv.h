/**
 * Inside of source: what all sources have in common, and batches on their way to the sink.
 *
 *     thread of a source                                          any thread
 *     batch --lm_flights_put--> slot FLYING --sink.put--> ...     done --> LANDED, wake
 *     lm_flights_landed: look at err, free the slot
 */
#ifndef SOURCE_PRIV_H
#define SOURCE_PRIV_H

#include "source/source.h"

#include <pthread.h>
#include <stdatomic.h>

#define LM_FLIGHTS       8
#define LM_FLIGHTS_EACH  2                 /* of one file, connection or pipe */
#define LM_BATCH_BYTES   (1024u * 1024u)   /* a batch is sent when it has so much */
#define LM_NS            UINT64_C(1000000) /* a millisecond */
#define LM_SECOND        UINT64_C(1000000000)
#define LM_SOURCE_EVENTS 16

/** A batch on its way. */
typedef struct lm_flight {
    struct lm_flights *home;
    _Atomic int state; /* free, flying, landed */
    lm_err err;        /* once landed */
} lm_flight;

/** Lives until the last batch has landed, whatever became of the source. */
typedef struct lm_flights {
    lm_mem *mem;
    _Atomic uint32_t refs; /* the source and each batch that is flying */
    int event_fd;          /* readable when one landed, or to wake the source */
    lm_flight slots[LM_FLIGHTS];
} lm_flights;

LM_USE lm_err lm_flights_new(lm_mem *mem, lm_flights **out);
void lm_flights_unref(lm_flights *flights); /* NULL is fine */
void lm_flights_wake(lm_flights *flights);
/** Forget wake-ups so far. */
void lm_flights_calm(lm_flights *flights);
/** How many have not been looked at since they took off. */
unsigned lm_flights_out(const lm_flights *flights);
/** A slot that landed, its state set to free; -1: none. */
int lm_flights_landed(lm_flights *flights, lm_err *out_err);

struct lm_source {
    uint32_t magic;
    lm_source_host host;
    size_t bytes_self; /* of the struct that begins with this one */
    char name[256];
    lm_arena arena; /* options, copied */
    lm_labels labels;
    lm_str tenant;
    lm_flights *flights;
    pthread_t thread;
    bool has_thread;
    _Atomic bool is_stopping;
    _Atomic uint64_t records, bytes, rejected, errors, lag_bytes, lag_records;
    _Atomic uint32_t open;
    void (*run)(lm_source *source);  /* the thread */
    void (*fini)(lm_source *source); /* what the kind added */
    /* From any thread; NULL: there is nothing to renew. */
    lm_err (*renew)(lm_source *source, const lm_tls_files *files);

    struct {
        const char *event;
        uint64_t at_ns;
    } noted[LM_SOURCE_EVENTS]; /* an event is told once in a while; thread of the source */
};

/** Allocates bytes_self, zero; fills what is common. with_host: a label host is added unless one is
 * given. */
LM_USE lm_err lm_source_make(const lm_source_host *host, size_t bytes_self, const lm_label *labels,
                             size_t label_count, bool with_host, lm_str tenant, lm_source **out);
/** How every constructor ends: err 0 starts the thread and hands the source out; else, or if there
 * is no thread to be had, the source is freed and the error returned. */
LM_USE lm_err lm_source_begin(lm_err err, lm_source *source, lm_source **out);
/** Ends and frees a source that has no thread, or whose thread has ended. */
void lm_source_free(lm_source *source);
/** Tells the owner, the same event at most every ten seconds. error: counted. */
void lm_source_note(lm_source *source, int level, const char *event, const char *fmt, ...)
    LM_PRINTF(4, 5);
/** The same with this thread's last failure as the text; counted as an error. */
void lm_source_note_err(lm_source *source, const char *event);
/** A copy in arena, with NUL behind. text.ptr may be NULL; out->ptr is not. */
LM_USE lm_err lm_source_copy(lm_arena *arena, lm_str text, lm_str *out);
/** The same of a text that ends with NUL, in the source's arena. */
LM_USE lm_err lm_source_text(lm_source *source, const char *text, char **out);
/** The source's labels and some more, the source's win, in arena. */
LM_USE lm_err lm_source_labels(const lm_source *source, const lm_label *more, size_t count,
                               lm_arena *arena, lm_labels *out);

static inline bool lm_source_stops(const lm_source *source)
{
    return atomic_load_explicit(&source->is_stopping, memory_order_relaxed);
}

/** Hands a batch over; *out_slot names it. LM_E_LIMIT: come again. Counts its records. */
LM_USE lm_err lm_source_put(lm_source *source, const lm_record_batch *batch,
                            const lm_checkpoint *checkpoints, size_t count, int *out_slot);
/** The same, again and again until it is taken, refused for good (counted as rejected, noted) or
 * the source stops (LM_E_CANCELLED, half a second later). At most LM_FLIGHTS_EACH are flying. For
 * sources that have one place to read from. Results of earlier ones are only counted. */
LM_USE lm_err lm_source_put_patiently(lm_source *source, const lm_record_batch *batch,
                                      const lm_checkpoint *checkpoints, size_t count);

/** Counts and tells batches that came back, for sources that cannot send them again. */
void lm_source_settle(lm_source *source);

/** Is it of no use to try again? */
static inline bool lm_put_is_final(lm_err err)
{
    return err != LM_E_LIMIT && err != LM_E_NOMEM && err != LM_E_IO;
}

#endif

/** What all sources have in common: labels, counters, notes, start and stop. */
#include "source/source_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define SOURCE_MAGIC  0x63727573u
#define NOTE_EVERY    (10 * LM_SECOND)
#define GIVE_UP_AFTER (LM_SECOND / 2) /* what was read of a socket or pipe is offered so long */

lm_err lm_source_labels(const lm_source *source, const lm_label *more, size_t count,
                        lm_arena *arena, lm_labels *out)
{
    size_t total = source->labels.count + count;
    lm_label *items = lm_arena_alloc(arena, total * sizeof *items, _Alignof(lm_label));
    if (!items) return lm_mem_err();
    if (count) memcpy(items, more, count * sizeof *items);
    for (uint32_t i = 0; i < source->labels.count; i++)
        items[count + i] = source->labels.items[i];
    return lm_labels_make(items, total, arena, out);
}

lm_err lm_source_copy(lm_arena *arena, lm_str text, lm_str *out)
{
    size_t len = text.ptr ? text.len : 0;
    *out = (lm_str){lm_arena_copy(arena, len ? text.ptr : (const void *)"", len), len};
    return out->ptr ? LM_OK : lm_mem_err();
}

static lm_err copy_label(lm_arena *arena, lm_str name, lm_str value, lm_label *out)
{
    lm_err err = lm_source_copy(arena, name, &out->name);
    return err ? err : lm_source_copy(arena, value, &out->value);
}

lm_err lm_source_make(const lm_source_host *host, size_t bytes_self, const lm_label *labels,
                      size_t label_count, bool with_host, lm_str tenant, lm_source **out)
{
    lm_source *source = lm_mem_calloc(host->mem, 1, bytes_self);
    if (!source) return lm_mem_err();
    source->magic = SOURCE_MAGIC;
    source->host = *host;
    source->bytes_self = bytes_self;
    lm_arena_init(&source->arena, host->mem);
    char host_name[256] = "";
    if (with_host && gethostname(host_name, sizeof host_name - 1)) host_name[0] = 0;
    lm_err err = LM_OK;
    lm_label *items = lm_arena_alloc(&source->arena, (label_count + 1) * sizeof *items, 8);
    if (!items) err = lm_mem_err();
    if (!err)
        err = copy_label(&source->arena, LM_STR("host"), lm_str_of(host_name),
                         &items[0]); /* one without a value is dropped */
    for (size_t i = 0; !err && i < label_count; i++)
        err = copy_label(&source->arena, labels[i].name, labels[i].value, &items[i + 1]);
    if (!err) err = lm_labels_make(items, label_count + 1, &source->arena, &source->labels);
    if (!err) err = lm_source_copy(&source->arena, tenant, &source->tenant);
    if (!err) err = lm_flights_new(host->mem, &source->flights);
    if (err) {
        lm_arena_fini(&source->arena);
        lm_mem_release(host->mem, source, bytes_self);
        return err;
    }
    *out = source;
    return LM_OK;
}

lm_err lm_source_text(lm_source *source, const char *text, char **out)
{
    lm_str copy;
    lm_err err = lm_source_copy(&source->arena, lm_str_of(text), &copy);
    if (!err) *out = (char *)(uintptr_t)copy.ptr;
    return err;
}

static void *thread_main(void *arg)
{
    lm_source *source = arg;
    source->run(source);
    return NULL;
}

lm_err lm_source_begin(lm_err err, lm_source *source, lm_source **out)
{
    int code = err ? 0 : pthread_create(&source->thread, NULL, thread_main, source);
    if (code) {
        errno = code;
        err = lm_fail_errno("cannot start a thread for %s", source->name);
    }
    if (err) {
        lm_source_free(source);
        return err;
    }
    source->has_thread = true;
    *out = source;
    return LM_OK;
}

void lm_source_free(lm_source *source)
{
    if (source->fini) source->fini(source);
    lm_flights_unref(source->flights);
    lm_arena_fini(&source->arena);
    source->magic = 0;
    lm_mem_release(source->host.mem, source, source->bytes_self);
}

void lm_source_stop(lm_source *source, uint64_t drain_ns)
{
    if (!source) return;
    LM_ASSERT(source->magic == SOURCE_MAGIC);
    atomic_store(&source->is_stopping, true);
    lm_flights_wake(source->flights);
    if (source->has_thread) pthread_join(source->thread, NULL);
    uint64_t begin = lm_clock_ns(), waited = 0;
    while (lm_flights_out(source->flights) && waited < drain_ns) {
        uint64_t left_ms = (drain_ns - waited) / LM_NS + 1;
        struct pollfd wait = {.fd = source->flights->event_fd, .events = POLLIN};
        (void)poll(&wait, 1, left_ms < 1000 ? (int)left_ms : 1000); /* asked again in any case */
        lm_flights_calm(source->flights);
        waited = lm_clock_ns() - begin;
    }
    lm_source_free(source);
}

lm_err lm_source_renew(lm_source *source, const lm_tls_files *files)
{
    return source->renew ? source->renew(source, files) : LM_OK;
}

const char *lm_source_name(const lm_source *source)
{
    return source->name;
}

void lm_source_counters_get(const lm_source *source, lm_source_counters *out)
{
    *out = (lm_source_counters){
        .records = atomic_load_explicit(&source->records, memory_order_relaxed),
        .bytes = atomic_load_explicit(&source->bytes, memory_order_relaxed),
        .rejected = atomic_load_explicit(&source->rejected, memory_order_relaxed),
        .errors = atomic_load_explicit(&source->errors, memory_order_relaxed),
        .lag_bytes = atomic_load_explicit(&source->lag_bytes, memory_order_relaxed),
        .lag_records = atomic_load_explicit(&source->lag_records, memory_order_relaxed),
        .open = atomic_load_explicit(&source->open, memory_order_relaxed),
    };
}

/** Has the event not been told for a while? */
static bool is_due(lm_source *source, const char *event)
{
    uint64_t now = lm_clock_ns();
    size_t oldest = 0;
    for (size_t i = 0; i < LM_SOURCE_EVENTS; i++) {
        if (source->noted[i].event && strcmp(source->noted[i].event, event) == 0) {
            if (now - source->noted[i].at_ns < NOTE_EVERY) return false;
            source->noted[i].at_ns = now;
            return true;
        }
        if (source->noted[i].at_ns < source->noted[oldest].at_ns) oldest = i;
    }
    source->noted[oldest].event = event;
    source->noted[oldest].at_ns = now;
    return true;
}

void lm_source_note(lm_source *source, int level, const char *event, const char *fmt, ...)
{
    if (!source->host.note || !is_due(source, event)) return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut short is fine */
    va_end(args);
    source->host.note(source->host.note_ctx, level, event, text);
}

void lm_source_note_err(lm_source *source, const char *event)
{
    atomic_fetch_add_explicit(&source->errors, 1, memory_order_relaxed);
    lm_source_note(source, 4, event, "%s: %s", source->name, lm_err_text());
}

void lm_source_settle(lm_source *source)
{
    lm_err err;
    while (lm_flights_landed(source->flights, &err) >= 0) {
        if (!err) continue;
        atomic_fetch_add_explicit(&source->errors, 1, memory_order_relaxed);
        lm_source_note(source, 3, "batch_lost", "%s: the sink could not keep a batch: %s",
                       source->name, lm_err_help(err));
    }
}

lm_err lm_source_put_patiently(lm_source *source, const lm_record_batch *batch,
                               const lm_checkpoint *checkpoints, size_t count)
{
    uint64_t give_up_ns = 0; /* once the source is being stopped */
    for (;;) {
        lm_source_settle(source);
        lm_err err = LM_E_LIMIT;
        int slot;
        bool is_room = lm_flights_out(source->flights) < LM_FLIGHTS_EACH;
        if (is_room) err = lm_source_put(source, batch, checkpoints, count, &slot);
        if (!err) return LM_OK;
        if (lm_put_is_final(err)) {
            atomic_fetch_add_explicit(&source->rejected, batch->record_count, memory_order_relaxed);
            lm_source_note_err(source, "batch_refused");
            return LM_OK;
        }
        uint64_t now = lm_clock_ns();
        if (lm_source_stops(source) && !give_up_ns) give_up_ns = now + GIVE_UP_AFTER;
        if (give_up_ns && now >= give_up_ns)
            return lm_fail(LM_E_CANCELLED, "the source is being stopped");
        if (err != LM_E_LIMIT) lm_source_note_err(source, "sink_failed");
        struct pollfd wait = {.fd = source->flights->event_fd, .events = POLLIN};
        int ms = give_up_ns ? 10 : !is_room ? 1000 : err == LM_E_LIMIT ? 10 : 500;
        (void)poll(&wait, 1, ms); /* tried again in any case */
        lm_flights_calm(source->flights);
    }
}

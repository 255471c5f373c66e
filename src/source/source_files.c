/** A source of files: options, the thread's loop, the end. */
#include "source/source_files_priv.h"

#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POLL_DEFAULT (250 * LM_NS)

static int timeout_ms(uint64_t now, uint64_t until)
{
    if (until <= now) return 0;
    uint64_t ms = (until - now + LM_NS - 1) / LM_NS;
    return ms > 10000 ? 10000 : (int)ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** Waits until something may have happened, or until one of the times that were set. */
static void wait_for_more(lm_files *files, uint64_t next_held_ns)
{
    uint64_t now = lm_clock_ns();
    uint64_t until = sooner(files->next_poll_ns, sooner(files->next_scan_ns, next_held_ns));
    if (files->is_scan_wanted) until = sooner(until, files->scan_after_ns);
    bool is_pacing = now < files->pace_ns;
    if (files->is_built || (files->tails.dirty && now < files->retry_ns))
        until = sooner(until, files->retry_ns);
    if (is_pacing && (files->tails.dirty || files->is_built)) until = sooner(until, files->pace_ns);
    struct pollfd waits[2] = {{.fd = files->source.flights->event_fd, .events = POLLIN},
                              {.fd = files->inotify_fd, .events = POLLIN}};
    if (is_pacing) { /* what happens meanwhile is looked at together */
        waits[1].fd = -1;
        until = sooner(until, files->pace_ns);
    }
    (void)poll(waits, 2, timeout_ms(now, until)); /* looked at in any case */
    lm_flights_calm(files->source.flights);
}

static void files_run(lm_source *source)
{
    lm_files *files = (lm_files *)source;
    files->now_ns = lm_clock_ns();
    lm_files_scan(files);
    while (!lm_source_stops(source)) {
        files->now_ns = lm_clock_ns();
        lm_files_reap(files);
        if (files->now_ns >= files->pace_ns) lm_files_events(files);
        bool is_wanted = files->is_scan_wanted && files->now_ns >= files->scan_after_ns;
        if (is_wanted || files->now_ns >= files->next_scan_ns) lm_files_scan(files);
        if (files->now_ns >= files->next_poll_ns) lm_files_poll(files);
        uint64_t next_held = lm_files_release_held(files);
        bool has_more = false;
        if (files->now_ns >= files->retry_ns && files->now_ns >= files->pace_ns)
            has_more = lm_files_turn(files);
        atomic_store_explicit(&source->open, (uint32_t)files->tails.count, memory_order_relaxed);
        if (!has_more) wait_for_more(files, next_held);
    }
}

static void files_fini(lm_source *source)
{
    lm_files *files = (lm_files *)source;
    lm_mem *mem = files->mem;
    for (size_t i = 0; i < files->watch_cap; i++) {
        char *path = files->watches[i].path;
        if (path) lm_mem_release(mem, path, strlen(path) + 1);
    }
    lm_mem_release(mem, files->watches, files->watch_cap * sizeof *files->watches);
    if (files->inotify_fd >= 0) close(files->inotify_fd);
    lm_tails_fini(&files->tails);
    lm_formats_free(files->formats);
    lm_globs_free(files->globs);
    lm_record_batch_fini(&files->batch);
    lm_buf_fini(&files->text);
    lm_buf_fini(&files->forgotten);
    lm_buf_fini(&files->read_key);
    lm_mem_release(mem, files->held, files->held_cap * sizeof(lm_tail *));
    lm_mem_release(mem, files->building.items, files->building.cap * sizeof(lm_cargo_item));
    for (size_t i = 0; i < LM_FLIGHTS; i++)
        lm_mem_release(mem, files->flying[i].items, files->flying[i].cap * sizeof(lm_cargo_item));
}

/** "file/read/<hash of the globs>": what is gone is kept for each source by itself. */
static lm_err make_read_key(lm_files *files, const lm_source_files_options *options)
{
    uint64_t hash = 0;
    char text[48];
    for (size_t i = 0; i < options->glob_count; i++)
        hash = lm_hash64_seed(options->globs[i], strlen(options->globs[i]), hash);
    int len = snprintf(text, sizeof text, "file/read/%016llx", (unsigned long long)hash);
    return lm_buf_append(&files->read_key, text, (size_t)len);
}

/** What the last run left behind. */
static lm_err load_read(lm_files *files)
{
    const lm_sink *sink = &files->source.host.sink;
    lm_str key = {files->read_key.ptr, files->read_key.len};
    lm_buf text;
    lm_buf_init(&text, files->mem);
    lm_position positions[LM_SOURCE_READ_MAX];
    size_t count = 0;
    lm_err err = sink->checkpoint(sink->self, key, &text);
    files->is_first_ever = err == LM_E_NOTFOUND;
    if (err == LM_E_NOTFOUND) err = LM_OK;
    if (!err && text.len) {
        err =
            lm_positions_parse((lm_str){text.ptr, text.len}, positions, LM_SOURCE_READ_MAX, &count);
        if (err == LM_E_CORRUPT) {
            lm_source_note_err(&files->source, "positions_damaged");
            err = LM_OK;
            count = 0;
        }
    }
    for (size_t i = 0; !err && i < count; i++)
        err = lm_tails_remember(&files->tails, &positions[i]);
    files->tails.is_read_changed = files->is_first_ever;
    lm_buf_fini(&text);
    return err;
}

lm_err lm_source_files(const lm_source_host *host, const lm_source_files_options *options,
                       lm_source **out)
{
    lm_source *source = NULL;
    lm_err err = lm_source_make(host, sizeof(lm_files), options->labels, options->label_count, true,
                                options->tenant, &source);
    if (err) return err;
    lm_files *files = (lm_files *)source;
    files->mem = host->mem;
    lm_tails_init(&files->tails, host->mem);
    lm_record_batch_init(&files->batch, host->mem);
    lm_buf_init(&files->text, host->mem);
    lm_buf_init(&files->forgotten, host->mem);
    lm_buf_init(&files->read_key, host->mem);
    files->poll_ns = options->poll_ns ? options->poll_ns : POLL_DEFAULT;
    files->from_end = options->from_end;
    files->is_first_scan = true;
    source->run = files_run;
    source->fini = files_fini;
    files->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    (void)snprintf(source->name, sizeof source->name, "file %s%s",
                   options->glob_count ? options->globs[0] : "",
                   options->glob_count > 1 ? " ..." : ""); /* cut short is fine */
    err = lm_source_copy(&source->arena, options->start_pattern, &files->start_pattern);
    if (!err)
        err = lm_globs_new(host->mem, options->globs, options->glob_count, options->excludes,
                           options->exclude_count, &files->globs);
    if (!err) err = lm_formats_new(host->mem, &files->formats);
    if (!err) { /* a pattern that is wrong is told now */
        lm_lines *probe = NULL;
        err = lm_lines_new(files->formats, true, files->start_pattern, &probe);
        lm_lines_free(probe);
    }
    if (!err) err = lm_buf_reserve(&files->text, LM_BATCH_BYTES);
    if (!err) err = make_read_key(files, options);
    if (!err) err = load_read(files);
    return lm_source_begin(err, source, out);
}

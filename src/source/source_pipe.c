/**
 * Standard input and named pipes, line by line.
 *
 * A pipe has no positions: what was read is gone from it, so it is read only while the sink takes
 * what came before, and what is at hand is handed over before the source ends.
 */
#include "source/source_lines.h"
#include "source/source_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES  65536u /* a pipe holds no more by default */
#define WAIT        (10 * LM_NS)
#define REOPEN_MS   500
#define LEARN_BYTES 16384u

typedef struct pipe_source {
    lm_source source;
    char *path;
    lm_mem *mem;
    int fd;
    lm_formats *formats;
    lm_lines *lines;
    size_t learned;
    lm_record_batch batch;
    lm_buf text;
    bool is_fifo; /* opened again when its writers are gone */
} pipe_source;

/** Hands over what is whole; at the end the rest too. The unfinished line moves to the front. */
static lm_err send(pipe_source *p, bool is_end)
{
    lm_buf *text = &p->text;
    size_t used = 0;
    lm_err err = LM_OK;
    if (text->len == 0) return LM_OK;
    if (p->learned < LEARN_BYTES && text->len >= 4 * p->learned) {
        p->learned = text->len;
        err = lm_lines_learn(p->lines, (lm_str){text->ptr, text->len});
        if (err) return err;
    }
    lm_record_batch_reset(&p->batch);
    lm_label name = {LM_STR("filename"), lm_str_of(p->path)};
    lm_labels labels;
    uint32_t stream;
    err = lm_source_labels(&p->source, &name, 1, &p->batch.arena, &labels);
    if (!err) err = lm_record_batch_stream(&p->batch, labels, &stream);
    if (err) return err;
    bool is_cut = text->len >= LM_SOURCE_BUFFER_MAX;
    lm_lines_cut_options options = {.end = is_end ? LM_LINES_ALL : LM_LINES_WHOLE,
                                    .stream = stream,
                                    .now_ns = lm_clock_wall_ns()};
    err = lm_lines_cut(p->lines, (lm_str){text->ptr, text->len}, &options, &p->batch, &used);
    if (!err && used == 0 && is_cut) {
        options.end = LM_LINES_ALL;
        err = lm_lines_cut(p->lines, (lm_str){text->ptr, text->len}, &options, &p->batch, &used);
    }
    if (err && used == 0) return err;
    if (used) {
        err = lm_source_put_patiently(&p->source, &p->batch, NULL, 0);
        if (err) return err;
    }
    if (used) memmove(text->ptr, text->ptr + used, text->len - used);
    text->len -= used;
    return LM_OK;
}

static lm_err reopen(pipe_source *p)
{
    struct stat info;
    p->fd = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (p->fd < 0) return lm_fail_errno("cannot open '%s'", p->path);
    p->is_fifo = fstat(p->fd, &info) == 0 && S_ISFIFO(info.st_mode);
    return LM_OK;
}

/** Waits for bytes. True: there are some, or the end is near. */
static bool wait_for_bytes(pipe_source *p, int ms)
{
    struct pollfd waits[2] = {{.fd = p->fd, .events = POLLIN},
                              {.fd = p->source.flights->event_fd, .events = POLLIN}};
    (void)poll(waits, 2, ms); /* asked again in any case */
    if (waits[1].revents) lm_flights_calm(p->source.flights);
    return waits[0].revents != 0;
}

/** Reads what there is. *out_end: the writers are gone. */
static lm_err read_some(pipe_source *p, bool *out_end)
{
    *out_end = false;
    while (p->text.len < LM_BATCH_BYTES || !memchr(p->text.ptr, '\n', p->text.len)) {
        if (p->text.len >= LM_SOURCE_BUFFER_MAX) break;
        lm_err err = lm_buf_reserve(&p->text, READ_BYTES);
        if (err) return err;
        size_t room = p->text.cap - p->text.len;
        if (room > READ_BYTES) room = READ_BYTES;
        ssize_t got = read(p->fd, p->text.ptr + p->text.len, room);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (got < 0) return lm_fail_errno("cannot read '%s'", p->path);
        if (got == 0) {
            *out_end = true;
            break;
        }
        p->text.len += (size_t)got;
    }
    return LM_OK;
}

static void pipe_run(lm_source *source)
{
    pipe_source *p = (pipe_source *)source;
    uint64_t sent_ns = 0;
    bool is_end = false;
    while (!lm_source_stops(source)) {
        lm_err err = p->fd < 0 ? reopen(p) : LM_OK;
        if (err) {
            lm_source_note_err(source, "pipe_unreadable");
            (void)wait_for_bytes(p, REOPEN_MS); /* no descriptor: only a pause */
            continue;
        }
        atomic_store_explicit(&source->open, 1, memory_order_relaxed);
        if (!wait_for_bytes(p, 1000)) continue;
        uint64_t now = lm_clock_ns();
        if (now - sent_ns < WAIT) { /* what comes within some milliseconds goes together */
            struct pollfd pause = {.fd = source->flights->event_fd, .events = POLLIN};
            (void)poll(&pause, 1, (int)(WAIT / LM_NS)); /* only a pause */
        }
        err = read_some(p, &is_end);
        if (!err) err = send(p, is_end);
        sent_ns = lm_clock_ns();
        if (err && err != LM_E_CANCELLED) {
            lm_source_note_err(source, "pipe_unreadable");
            is_end = true;
        }
        if (!is_end) continue;
        if (!p->is_fifo || strcmp(p->path, "stdin") == 0) break;
        close(p->fd);
        p->fd = -1;
        p->text.len = 0;
        is_end = false;
    }
    atomic_store_explicit(&source->open, 0, memory_order_relaxed);
    if (p->text.len && send(p, true) && !lm_source_stops(source))
        lm_source_note_err(source, "pipe_unreadable");
}

static void pipe_fini(lm_source *source)
{
    pipe_source *p = (pipe_source *)source;
    if (p->fd > STDIN_FILENO) close(p->fd);
    lm_lines_free(p->lines);
    lm_formats_free(p->formats);
    lm_record_batch_fini(&p->batch);
    lm_buf_fini(&p->text);
}

lm_err lm_source_pipe(const lm_source_host *host, const lm_source_pipe_options *options,
                      lm_source **out)
{
    lm_source *source = NULL;
    lm_err err = lm_source_make(host, sizeof(pipe_source), options->labels, options->label_count,
                                true, options->tenant, &source);
    if (err) return err;
    pipe_source *p = (pipe_source *)source;
    bool is_stdin = strcmp(options->path, "-") == 0;
    p->mem = host->mem;
    p->fd = is_stdin ? STDIN_FILENO : -1;
    lm_record_batch_init(&p->batch, host->mem);
    lm_buf_init(&p->text, host->mem);
    source->run = pipe_run;
    source->fini = pipe_fini;
    (void)snprintf(source->name, sizeof source->name, "pipe %s",
                   is_stdin ? "stdin" : options->path); /* cut short is fine */
    err = lm_source_text(source, is_stdin ? "stdin" : options->path, &p->path);
    if (!err) err = lm_formats_new(host->mem, &p->formats);
    if (!err) err = lm_lines_new(p->formats, false, LM_STR(""), &p->lines);
    if (!err && is_stdin && fcntl(p->fd, F_SETFL, fcntl(p->fd, F_GETFL) | O_NONBLOCK) < 0)
        err = lm_fail_errno("cannot read standard input");
    if (!err && !is_stdin) err = reopen(p);
    return lm_source_begin(err, source, out);
}

/**
 * systemd's journal, entry by entry, from its cursor on.
 *
 * The cursor of the last entry of a batch is the checkpoint that goes with it; when the sink fails,
 * the journal is sought back to the last cursor that is durable.
 */
#include "source/source_priv.h"

#if LM_HAVE_JOURNAL

#    include <errno.h>
#    include <poll.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <systemd/sd-journal.h>
#    include <unistd.h>

#    define RETRY_MS       1000
#    define ENTRIES_MAX    4096 /* of a batch */
#    define TORN_TRIES_MAX 5    /* an entry that cannot be read to its end is read again so often */

typedef struct journal_source {
    lm_source source;
    lm_mem *mem;
    char *folder; /* NULL: the system's */
    lm_str key;
    sd_journal *journal;
    lm_record_batch batch;
    unsigned torn_tries; /* of the entry at hand */
} journal_source;

static lm_err fail_journal(int rc, const char *what)
{
    errno = -rc;
    return lm_fail_errno("%s", what);
}

/** Behind the entry that was kept last; else at the beginning. */
static lm_err seek(journal_source *j)
{
    const lm_sink *sink = &j->source.host.sink;
    lm_buf cursor;
    lm_buf_init(&cursor, j->mem);
    lm_err err = sink->checkpoint(sink->self, j->key, &cursor);
    int rc = 0;
    if (!err && cursor.len) err = lm_buf_u8(&cursor, 0);
    if (err && err != LM_E_NOTFOUND) goto out;
    bool is_known = !err && cursor.len > 0;
    err = LM_OK;
    if (is_known) {
        rc = sd_journal_seek_cursor(j->journal, (const char *)cursor.ptr);
        if (rc >= 0) rc = sd_journal_next(j->journal);
        if (rc > 0 && sd_journal_test_cursor(j->journal, (const char *)cursor.ptr) <= 0)
            rc = sd_journal_previous(j->journal); /* that entry is gone: the next one is wanted */
        if (rc < 0) {
            (void)fail_journal(rc, "the journal's cursor is not understood, starting over");
            lm_source_note_err(&j->source, "cursor_refused");
        }
    }
    if (!is_known || rc < 0) rc = sd_journal_seek_head(j->journal);
    if (rc < 0) err = fail_journal(rc, "cannot seek in the journal");
out:
    lm_buf_fini(&cursor);
    return err;
}

static lm_err open_journal(journal_source *j)
{
    int rc = j->folder ? sd_journal_open_directory(&j->journal, j->folder, 0)
                       : sd_journal_open(&j->journal, SD_JOURNAL_LOCAL_ONLY);
    if (rc < 0) return fail_journal(rc, "cannot open the journal");
    lm_err err = seek(j);
    if (err) {
        sd_journal_close(j->journal);
        j->journal = NULL;
    }
    return err;
}

static const struct {
    const char *field, *label;
} label_fields[] = {{"_SYSTEMD_UNIT", "unit"}, {"_HOSTNAME", "host"}, {"SYSLOG_IDENTIFIER", "app"}};

static const char *const severities[] = {"emergency", "alert",  "critical", "error",
                                         "warning",   "notice", "info",     "debug"};

/** Is the field a label? Then it gets its name and value. */
static bool as_label(lm_str field, lm_str value, lm_label *out)
{
    for (size_t i = 0; i < sizeof label_fields / sizeof label_fields[0]; i++) {
        if (!lm_str_equal(field, lm_str_of(label_fields[i].field))) continue;
        *out = (lm_label){lm_str_of(label_fields[i].label), value};
        return true;
    }
    bool is_level = lm_str_equal(field, LM_STR("PRIORITY")) && value.len == 1 &&
                    value.ptr[0] >= '0' && value.ptr[0] <= '7';
    if (is_level) *out = (lm_label){LM_STR("severity"), lm_str_of(severities[value.ptr[0] - '0'])};
    return is_level;
}

static lm_str lower(lm_str name, lm_arena *arena)
{
    uint8_t *text = lm_arena_alloc(arena, name.len + 1, 1);
    if (!text) return (lm_str){NULL, 0};
    for (size_t i = 0; i < name.len; i++)
        text[i] =
            (uint8_t)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
    return lm_label_name_clean((lm_str){text, name.len}, arena);
}

/** The entry at hand becomes a record. *out_torn: below 0 if its data could not be read to the end
 * (it is being written); then a record is made of it only if is_last_try. */
static lm_err add_entry(journal_source *j, bool is_last_try, int *out_torn)
{
    lm_arena *arena = &j->batch.arena;
    lm_label labels[4], more[LM_LABEL_COUNT_MAX];
    size_t label_count = 0, more_count = 0;
    lm_str line = {(const uint8_t *)"", 0};
    const void *data;
    size_t data_len;
    lm_err err = LM_OK;
    sd_journal_restart_data(j->journal);
    while ((*out_torn = sd_journal_enumerate_available_data(j->journal, &data, &data_len)) > 0) {
        const uint8_t *mark = memchr(data, '=', data_len);
        if (!mark) continue;
        lm_str name = {data, (size_t)(mark - (const uint8_t *)data)};
        lm_str value = {mark + 1, data_len - name.len - 1};
        lm_label label;
        if (lm_str_equal(name, LM_STR("MESSAGE"))) {
            line = value;
            if (line.len > LM_LINE_BYTES_MAX) line.len = LM_LINE_BYTES_MAX;
            err = lm_source_copy(arena, line, &line);
        } else if (as_label(name, value, &label) && label_count < 4) {
            err = lm_source_copy(arena, label.value, &label.value);
            if (label.value.len <= LM_LABEL_VALUE_BYTES_MAX) labels[label_count++] = label;
        } else if (more_count < LM_LABEL_COUNT_MAX && value.len <= LM_LABEL_VALUE_BYTES_MAX &&
                   name.len <= LM_LABEL_NAME_BYTES_MAX && value.len > 0) {
            err = lm_source_copy(arena, value, &value);
            more[more_count] = (lm_label){lower(name, arena), value};
            if (!more[more_count].name.ptr) err = lm_mem_err();
            more_count++;
        }
        if (err) return err;
    }
    if (*out_torn < 0 && !is_last_try) return LM_OK;
    uint64_t time_us = 0;
    if (sd_journal_get_realtime_usec(j->journal, &time_us) < 0 || time_us > INT64_MAX / 1000)
        time_us = (uint64_t)lm_clock_wall_ns() / 1000;
    lm_labels stream_labels, metadata;
    uint32_t stream;
    err = lm_source_labels(&j->source, labels, label_count, arena, &stream_labels);
    if (!err) err = lm_labels_make(more, more_count, arena, &metadata);
    if (!err) err = lm_record_batch_stream(&j->batch, stream_labels, &stream);
    if (!err) err = lm_record_batch_add(&j->batch, stream, (int64_t)time_us * 1000, line, metadata);
    return err;
}

/** Entries of one batch. *out_more: there are further ones. */
static lm_err read_batch(journal_source *j, bool *out_more)
{
    lm_record_batch_reset(&j->batch);
    *out_more = true;
    size_t tries = 0;
    while (j->batch.record_count < ENTRIES_MAX && j->batch.bytes < LM_BATCH_BYTES) {
        int rc = sd_journal_next(j->journal);
        if (rc < 0) return fail_journal(rc, "cannot read the journal");
        if (rc == 0) {
            *out_more = false;
            break;
        }
        int torn = 0;
        bool is_last_try = j->torn_tries >= TORN_TRIES_MAX;
        lm_err err = add_entry(j, is_last_try, &torn);
        if (err == LM_E_NOMEM || err == LM_E_LIMIT) return err;
        if (torn < 0 && !err && !is_last_try) {
            j->torn_tries++;
            if (j->batch.record_count == 0) /* read again from the cursor, a little later */
                return fail_journal(torn, "cannot read an entry of the journal yet");
            rc = sd_journal_previous(j->journal); /* what is in front of it first */
            if (rc <= 0) return fail_journal(rc ? rc : -EIO, "cannot go back in the journal");
            break;
        }
        j->torn_tries = 0;
        if (err) { /* one that cannot be a record is told and passed over */
            atomic_fetch_add_explicit(&j->source.rejected, 1, memory_order_relaxed);
            lm_source_note_err(&j->source, "entry_refused");
        }
        if (++tries >= ENTRIES_MAX) break;
    }
    return LM_OK;
}

/** Hands the batch over together with the cursor of its last entry. */
static lm_err send_batch(journal_source *j)
{
    char *cursor = NULL;
    int rc = sd_journal_get_cursor(j->journal, &cursor);
    if (rc < 0) return fail_journal(rc, "cannot tell the journal's cursor");
    lm_checkpoint checkpoint = {j->key, lm_str_of(cursor)};
    lm_err err = lm_source_put_patiently(&j->source, &j->batch, &checkpoint, 1);
    void (*release)(void *) = free; /* the cursor is the library's memory */
    release(cursor);
    return err;
}

static void close_journal(journal_source *j)
{
    sd_journal_close(j->journal);
    j->journal = NULL;
    atomic_store_explicit(&j->source.open, 0, memory_order_relaxed);
}

static void pause_ms(journal_source *j, int fd, int events, int ms)
{
    struct pollfd waits[2] = {{.fd = j->source.flights->event_fd, .events = POLLIN},
                              {.fd = fd, .events = (short)events}};
    (void)poll(waits, fd >= 0 ? 2 : 1, ms); /* looked at in any case */
    if (waits[0].revents && !lm_source_stops(&j->source)) lm_flights_calm(j->source.flights);
}

static void journal_run(lm_source *source)
{
    journal_source *j = (journal_source *)source;
    uint64_t failures = atomic_load(&source->errors);
    while (!lm_source_stops(source)) {
        lm_err err = j->journal ? LM_OK : open_journal(j);
        bool has_more = false;
        atomic_store_explicit(&source->open, err ? 0 : 1, memory_order_relaxed);
        if (!err) err = read_batch(j, &has_more);
        if (!err && j->batch.record_count) err = send_batch(j);
        if (err == LM_E_CANCELLED) break;
        lm_source_settle(source);
        bool is_behind = atomic_load(&source->errors) != failures && !err;
        if (err) lm_source_note_err(source, "journal_unreadable");
        if (err || is_behind) { /* from the last durable cursor on */
            if (is_behind && lm_flights_out(source->flights)) {
                pause_ms(j, -1, 0, RETRY_MS / 10);
                continue;
            }
            if (j->journal) close_journal(j);
            failures = atomic_load(&source->errors);
            pause_ms(j, -1, 0, RETRY_MS);
            continue;
        }
        if (has_more) continue;
        pause_ms(j, sd_journal_get_fd(j->journal), sd_journal_get_events(j->journal), 1000);
        int rc = sd_journal_process(j->journal);
        if (rc < 0) close_journal(j);
    }
}

static void journal_fini(lm_source *source)
{
    journal_source *j = (journal_source *)source;
    if (j->journal) sd_journal_close(j->journal);
    lm_record_batch_fini(&j->batch);
}

lm_err lm_source_journal(const lm_source_host *host, const lm_source_journal_options *options,
                         lm_source **out)
{
    lm_source *source = NULL;
    lm_err err = lm_source_make(host, sizeof(journal_source), options->labels, options->label_count,
                                false, options->tenant, &source);
    if (err) return err;
    journal_source *j = (journal_source *)source;
    char *key;
    char text[LM_PATH_BYTES_MAX];
    j->mem = host->mem;
    lm_record_batch_init(&j->batch, host->mem);
    source->run = journal_run;
    source->fini = journal_fini;
    (void)snprintf(source->name, sizeof source->name, "journal %s",
                   options->folder ? options->folder : "of the system"); /* cut short is fine */
    (void)snprintf(text, sizeof text, "journal%s%s", options->folder ? "/" : "",
                   options->folder ? options->folder : ""); /* fits: a path that can be opened */
    err = lm_source_text(source, text, &key);
    if (!err) j->key = lm_str_of(key);
    if (!err && options->folder) err = lm_source_text(source, options->folder, &j->folder);
    return lm_source_begin(err, source, out);
}

#else

lm_err lm_source_journal(const lm_source_host *host, const lm_source_journal_options *options,
                         lm_source **out)
{
    (void)host, (void)options, (void)out;
    return lm_fail(LM_E_UNSUPPORTED, "this build cannot read systemd's journal");
}

#endif

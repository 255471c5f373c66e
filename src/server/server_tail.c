/**
 * Live tails: what is stored now and passes a query, told as it comes.
 *
 *   store (committing thread) --watch--> which streams does the tail want? copied to `pending`
 *   tail's own thread: pending <-> working, lm_logql_pass, frames --> WebSocket or server-sent
 * events
 *
 * The committing thread only copies; a tail that cannot keep up loses entries, which are counted
 * and told, and never holds the store up. A tail lives as long as its thread or its connection
 * needs it, whichever is longer: two references.
 *
 * Locks: tails->lock guards the list and is the only one that the committing thread takes, besides
 * a tail's own; nobody calls the store while holding it. tails->watch_lock orders starting and
 * ending the watch.
 */
#include "server/server_priv.h"
#include "server/server_websocket_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_S          1000000000ll
#define PENDING_BYTES_MAX (1u << 20) /* for each of SERVER_TAILS_MAX, twice */
#define PENDING_RECORD    96u        /* what a record costs beside its line */
#define DROPPED_TOLD_MAX  16u
#define DELAY_SECONDS_MAX 5
#define SEND_SECONDS_MAX  10
#define PING_SECONDS      15
#define OUT_BYTES_MAX     (1u << 20)
#define INPUT_BYTES       (WEBSOCKET_PAYLOAD_MAX + 14u)

typedef struct dropped_entry {
    lm_labels labels;
    int64_t time_ns;
} dropped_entry;

/** Records copied for one tail. */
typedef struct tail_batch {
    lm_record_batch records;
    dropped_entry dropped[DROPPED_TOLD_MAX];
    size_t dropped_count;
} tail_batch;

typedef struct server_tail {
    struct server_tail *prev, *next;
    lm_server *server;
    lm_arena arena; /* of tenant and query */
    lm_str tenant;
    lm_logql *query;
    lm_matcher_set *matchers;
    uint32_t limit;
    int64_t start_ns, delay_ns;
    _Atomic uint32_t refs;
    _Atomic bool is_stopping;
    bool is_websocket, is_categorized;
    int wake_fd; /* written when there is something to do */

    pthread_mutex_t lock; /* of what follows */
    tail_batch *pending, *working;
    tail_batch batches[2];

    /* WebSocket */
    struct MHD_UpgradeResponseHandle *upgrade;
    int fd;
    lm_buf input;

    /* server-sent events: bytes on their way, under lock */
    struct MHD_Connection *connection;
    lm_buf out;
    size_t out_sent;
    bool is_asleep, is_ended;
} server_tail;

struct server_tails {
    pthread_mutex_t lock, watch_lock;
    pthread_cond_t emptied;
    server_tail *first;
    _Atomic size_t count;
    size_t threads;
    bool is_watching, is_stopping;
    uint64_t handle;
};

/* ---- life ---- */

lm_err server_tails_new(lm_server *server, struct server_tails **out)
{
    struct server_tails *tails = lm_mem_calloc(server->mem, 1, sizeof *tails);
    if (!tails) return lm_mem_err();
    (void)pthread_mutex_init(&tails->lock, NULL);
    (void)pthread_mutex_init(&tails->watch_lock, NULL);
    (void)pthread_cond_init(&tails->emptied, NULL);
    *out = tails;
    return LM_OK;
}

void server_tails_free(lm_server *server, struct server_tails *tails)
{
    if (!tails) return;
    (void)pthread_mutex_destroy(&tails->lock);
    (void)pthread_mutex_destroy(&tails->watch_lock);
    (void)pthread_cond_destroy(&tails->emptied);
    lm_mem_release(server->mem, tails, sizeof *tails);
}

static void tail_wake(server_tail *tail)
{
    uint64_t one = 1;
    (void)!write(tail->wake_fd, &one, sizeof one); /* fails only when it is awake already */
}

void server_tails_stop(struct server_tails *tails)
{
    if (!tails) return;
    (void)pthread_mutex_lock(&tails->lock);
    tails->is_stopping = true;
    for (server_tail *tail = tails->first; tail; tail = tail->next) {
        atomic_store(&tail->is_stopping, true);
        tail_wake(tail);
    }
    while (tails->threads)
        (void)pthread_cond_wait(&tails->emptied, &tails->lock);
    (void)pthread_mutex_unlock(&tails->lock);
}

static void tail_unref(server_tail *tail)
{
    if (atomic_fetch_sub(&tail->refs, 1) != 1) return;
    lm_mem *mem = tail->server->data_mem;
    for (size_t i = 0; i < 2; i++)
        lm_record_batch_fini(&tail->batches[i].records);
    lm_logql_free(tail->query);
    lm_matcher_set_free(tail->matchers);
    lm_buf_fini(&tail->input);
    lm_buf_fini(&tail->out);
    if (tail->wake_fd >= 0) (void)close(tail->wake_fd);
    (void)pthread_mutex_destroy(&tail->lock);
    lm_arena_fini(&tail->arena);
    lm_mem_release(mem, tail, sizeof *tail);
}

void server_tail_abandon(server_tail *tail)
{
    if (tail) tail_unref(tail);
}

/* ---- the committing thread ---- */

static lm_err copy_record(tail_batch *into, const lm_stream *stream, const lm_record *record)
{
    lm_record_batch *batch = &into->records;
    lm_labels labels, metadata = {NULL, 0};
    uint32_t index = 0;
    lm_err err = LM_OK;
    bool is_last = batch->stream_count &&
                   lm_str_equal(batch->streams[batch->stream_count - 1].key, stream->key);
    if (is_last) {
        index = (uint32_t)batch->stream_count - 1;
    } else {
        err = server_labels_copy(stream->labels, &batch->arena, &labels);
        if (!err) err = lm_record_batch_stream(batch, labels, &index);
    }
    if (!err && record->metadata.count)
        err = server_labels_copy(record->metadata, &batch->arena, &metadata);
    lm_str line = {lm_arena_copy(&batch->arena, record->line.ptr, record->line.len),
                   record->line.len};
    if (!err && !line.ptr) err = lm_mem_err();
    return err ? err : lm_record_batch_add(batch, index, record->time_ns, line, metadata);
}

static void drop(server_tail *tail, const lm_stream *stream, const lm_record *record)
{
    tail_batch *into = tail->pending;
    atomic_fetch_add_explicit(&tail->server->counters.tail_dropped, 1, memory_order_relaxed);
    if (into->dropped_count == DROPPED_TOLD_MAX) return;
    dropped_entry *entry = &into->dropped[into->dropped_count];
    if (server_labels_copy(stream->labels, &into->records.arena, &entry->labels)) return;
    entry->time_ns = record->time_ns;
    into->dropped_count++;
}

static void tail_take(server_tail *tail, const lm_record_batch *batch)
{
    bool has_any = false;
    uint32_t known = UINT32_MAX;
    bool is_wanted = false;
    const lm_mem *mem = tail->server->data_mem;
    bool is_short = lm_mem_used(mem) > lm_mem_limit(mem) / 2; /* others need it more */
    (void)pthread_mutex_lock(&tail->lock);
    for (size_t i = 0; i < batch->record_count; i++) {
        const lm_record *record = &batch->records[i];
        const lm_stream *stream = &batch->streams[record->stream];
        if (record->stream != known) {
            known = record->stream;
            is_wanted = lm_matcher_set_match(tail->matchers, stream->labels);
        }
        if (!is_wanted) continue;
        has_any = true;
        const lm_record_batch *pending = &tail->pending->records;
        if (is_short ||
            pending->bytes + pending->record_count * PENDING_RECORD + record->line.len >
                PENDING_BYTES_MAX ||
            copy_record(tail->pending, stream, record))
            drop(tail, stream, record);
    }
    (void)pthread_mutex_unlock(&tail->lock);
    if (has_any) tail_wake(tail);
}

static void watch(void *ctx, lm_str tenant, const lm_record_batch *batch)
{
    struct server_tails *tails = ctx;
    if (!atomic_load(&tails->count)) return;
    (void)pthread_mutex_lock(&tails->lock);
    for (server_tail *tail = tails->first; tail; tail = tail->next) {
        if (lm_str_equal(tail->tenant, tenant)) tail_take(tail, batch);
    }
    (void)pthread_mutex_unlock(&tails->lock);
}

static lm_err tail_enter(server_tail *tail)
{
    struct server_tails *tails = tail->server->tails;
    lm_err err = LM_OK;
    (void)pthread_mutex_lock(&tails->watch_lock);
    if (!tails->is_watching) {
        err = lm_store_watch(tail->server->store, watch, tails, &tails->handle);
        tails->is_watching = !err;
    }
    (void)pthread_mutex_lock(&tails->lock);
    if (!err && tails->is_stopping) err = lm_fail(LM_E_CANCELLED, "the server is stopping");
    if (!err) {
        tail->next = tails->first;
        if (tail->next) tail->next->prev = tail;
        tails->first = tail;
        atomic_fetch_add(&tails->count, 1);
    }
    (void)pthread_mutex_unlock(&tails->lock);
    (void)pthread_mutex_unlock(&tails->watch_lock);
    atomic_fetch_add_explicit(&tail->server->counters.tails, 1, memory_order_relaxed);
    return err;
}

static void tail_leave(server_tail *tail, bool has_entered)
{
    struct server_tails *tails = tail->server->tails;
    (void)pthread_mutex_lock(&tails->watch_lock);
    (void)pthread_mutex_lock(&tails->lock);
    if (has_entered) {
        if (tail->prev)
            tail->prev->next = tail->next;
        else
            tails->first = tail->next;
        if (tail->next) tail->next->prev = tail->prev;
        atomic_fetch_sub(&tails->count, 1);
    }
    bool is_last = !tails->first && tails->is_watching;
    (void)pthread_mutex_unlock(&tails->lock);
    if (is_last) {
        lm_store_unwatch(tail->server->store, tails->handle);
        tails->is_watching = false;
    }
    (void)pthread_mutex_unlock(&tails->watch_lock);
    atomic_fetch_sub_explicit(&tail->server->counters.tails, 1, memory_order_relaxed);
}

/* ---- sending ---- */

static bool send_all(server_tail *tail, const uint8_t *bytes, size_t len)
{
    uint64_t until = lm_clock_ns() + SEND_SECONDS_MAX * NS_PER_S;
    while (len) {
        ssize_t sent = send(tail->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
            continue;
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
        uint64_t now = lm_clock_ns();
        struct pollfd wait = {.fd = tail->fd, .events = POLLOUT};
        if (now >= until || atomic_load(&tail->is_stopping)) return false;
        if (poll(&wait, 1, 200) < 0 && errno != EINTR) return false;
    }
    return true;
}

static bool send_frame(server_tail *tail, websocket_opcode opcode, lm_str payload)
{
    uint8_t head[10];
    size_t len = websocket_head(opcode, payload.len, head);
    return send_all(tail, head, len) && send_all(tail, payload.ptr, payload.len);
}

/** Bytes for the connection's thread, which is woken; false: nobody takes them. */
static bool send_event(server_tail *tail, lm_str head, lm_str payload)
{
    lm_err err = LM_OK;
    (void)pthread_mutex_lock(&tail->lock);
    bool is_full = tail->out.len - tail->out_sent + payload.len > OUT_BYTES_MAX;
    if (!is_full) {
        err = lm_buf_append(&tail->out, head.ptr, head.len);
        if (!err) err = lm_buf_append(&tail->out, payload.ptr, payload.len);
        if (!err) err = lm_buf_append(&tail->out, "\n\n", 2);
        if (tail->is_asleep) {
            tail->is_asleep = false;
            MHD_resume_connection(tail->connection);
        }
    } else {
        atomic_fetch_add_explicit(&tail->server->counters.tail_dropped, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return !err && !atomic_load(&tail->is_stopping);
}

static bool send_json(server_tail *tail, lm_buf *text)
{
    lm_str payload = {text->ptr, text->len};
    return tail->is_websocket ? send_frame(tail, WEBSOCKET_TEXT, payload)
                              : send_event(tail, LM_STR("data: "), payload);
}

/* ---- frames ---- */

static void put_dropped(server_json *json, const tail_batch *batch)
{
    if (!batch || !batch->dropped_count) return;
    server_json_key(json, "dropped_entries");
    server_json_open(json, '[');
    for (size_t i = 0; i < batch->dropped_count; i++) {
        server_json_open(json, '{');
        server_json_key(json, "labels");
        server_json_labels(json, batch->dropped[i].labels);
        server_json_key(json, "timestamp");
        server_json_i64_text(json, batch->dropped[i].time_ns);
        server_json_close(json, '}');
    }
    server_json_close(json, ']');
}

typedef struct passed {
    lm_labels labels;
    lm_logql_entry entry;
    size_t stream; /* number of its labels, as they first came */
    size_t order;
} passed;

static int by_time(const void *a, const void *b)
{
    const passed *x = a, *y = b;
    if (x->entry.time_ns != y->entry.time_ns) return x->entry.time_ns < y->entry.time_ns ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/** One frame: entries by time, those of one stream that follow one another together. */
static bool send_entries(server_tail *tail, passed *items, size_t count, const tail_batch *dropped,
                         lm_arena *arena)
{
    lm_buf text;
    lm_buf_init(&text, tail->server->data_mem);
    server_json json = {.out = &text};
    if (count) qsort(items, count, sizeof *items, by_time);
    server_json_open(&json, '{');
    server_json_key(&json, "streams");
    server_json_open(&json, '[');
    for (size_t i = 0; i < count && !json.err; i++) {
        bool begins = i == 0 || items[i].stream != items[i - 1].stream;
        if (tail->is_categorized) begins = true; /* each entry has its own labels apart */
        if (begins && i) {
            server_json_close(&json, ']');
            server_json_close(&json, '}');
        }
        if (begins) {
            lm_labels labels = items[i].labels;
            if (tail->is_categorized)
                json.err = server_labels_base(labels, &items[i].entry, arena, &labels);
            server_json_open(&json, '{');
            server_json_key(&json, "stream");
            server_json_labels(&json, labels);
            server_json_key(&json, "values");
            server_json_open(&json, '[');
        }
        server_json_entry(&json, &items[i].entry, tail->is_categorized);
    }
    if (count) {
        server_json_close(&json, ']');
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    put_dropped(&json, dropped);
    if (tail->is_categorized) {
        server_json_key(&json, "encodingFlags");
        server_json_raw(&json, "[\"categorize-labels\"]");
    }
    server_json_close(&json, '}');
    bool is_sent = !json.err && send_json(tail, &text);
    lm_buf_fini(&text);
    return is_sent;
}

/** What was there before: the newest `limit` since start, oldest first. */
static bool send_history(server_tail *tail)
{
    lm_arena arena;
    lm_logql_result result = {0};
    lm_logql_range range = {.tenant = tail->tenant,
                            .start_ns = tail->start_ns,
                            .end_ns = lm_clock_wall_ns(),
                            .step_ns = NS_PER_S,
                            .limit = tail->limit};
    bool is_sent = true;
    size_t total = 0, at = 0;
    lm_arena_init(&arena, tail->server->data_mem);
    lm_err err = range.end_ns > range.start_ns
                     ? lm_logql_run(tail->query, &tail->server->face, &range, &arena, &result)
                     : LM_OK;
    for (size_t i = 0; i < result.series_count; i++)
        total += result.series[i].count;
    passed *items = lm_arena_alloc(&arena, (total + 1) * sizeof *items, _Alignof(passed));
    if (!err && !items) err = lm_mem_err();
    for (size_t i = 0; i < result.series_count && !err; i++) {
        const lm_logql_series *series = &result.series[i];
        for (size_t k = series->count; k-- > 0; at++)
            items[at] = (passed){series->labels, series->entries[k], i, at};
    }
    if (err) server_log(tail->server, 4, "tail_history", "%s", lm_err_text());
    if (!err && total) is_sent = send_entries(tail, items, total, NULL, &arena);
    lm_arena_fini(&arena);
    return is_sent;
}

/** Records of the working batch that pass; count. */
static lm_err pass_all(server_tail *tail, lm_arena *arena, passed **out, size_t *out_count)
{
    const lm_record_batch *batch = &tail->working->records;
    server_texts keys = {.arena = arena};
    passed *items =
        lm_arena_alloc(arena, (batch->record_count + 1) * sizeof *items, _Alignof(passed));
    size_t count = 0;
    lm_buf key;
    lm_buf_init(&key, arena->mem);
    lm_err err = items ? LM_OK : lm_mem_err();
    for (size_t i = 0; i < batch->record_count && !err; i++) {
        const lm_record *record = &batch->records[i];
        bool passes = false;
        passed *item = &items[count];
        err = lm_logql_pass(tail->query, &batch->streams[record->stream], record, arena, &passes,
                            &item->labels, &item->entry);
        if (err || !passes) continue;
        key.len = 0;
        err = lm_labels_print(item->labels, &key);
        if (!err) err = server_texts_add(&keys, (lm_str){key.ptr, key.len}, true, &item->stream);
        item->order = count++;
    }
    lm_buf_fini(&key);
    if (err) return err;
    *out = items;
    *out_count = count;
    return LM_OK;
}

static bool send_working(server_tail *tail)
{
    lm_arena arena;
    passed *items = NULL;
    size_t count = 0;
    bool is_sent = true;
    lm_arena_init(&arena, tail->server->data_mem);
    lm_err err = pass_all(tail, &arena, &items, &count);
    if (err) server_log(tail->server, 4, "tail", "%s", lm_err_text());
    if (!err && (count || tail->working->dropped_count))
        is_sent = send_entries(tail, items, count, tail->working, &arena);
    lm_arena_fini(&arena);
    lm_record_batch_reset(&tail->working->records);
    tail->working->dropped_count = 0;
    return is_sent;
}

/* ---- the tail's thread ---- */

/** What the client sent: pings are answered; false: it is gone, or wants to go. */
static bool read_client(server_tail *tail)
{
    lm_buf *input = &tail->input;
    if (lm_buf_reserve(input, INPUT_BYTES)) return false;
    ssize_t len = recv(tail->fd, input->ptr + input->len, input->cap - input->len, MSG_DONTWAIT);
    if (len == 0) return false;
    if (len < 0) return errno == EAGAIN || errno == EINTR;
    input->len += (size_t)len;
    size_t at = 0;
    bool goes_on = true;
    while (goes_on) {
        websocket_frame frame;
        size_t used = 0;
        lm_err err = websocket_read(input->ptr + at, input->len - at, &frame, &used);
        if (err == LM_E_NOTFOUND) break;
        if (err) {
            static const uint8_t protocol_error[2] = {1002 >> 8, 1002 & 255};
            (void)send_frame(tail, WEBSOCKET_CLOSE,
                             (lm_str){protocol_error, 2}); /* it goes anyway */
            return false;
        }
        if (frame.opcode == WEBSOCKET_PING)
            goes_on = send_frame(tail, WEBSOCKET_PONG, frame.payload);
        if (frame.opcode == WEBSOCKET_CLOSE) {
            lm_str code = {frame.payload.ptr, frame.payload.len < 2 ? 0 : 2};
            (void)send_frame(tail, WEBSOCKET_CLOSE, code); /* it goes anyway */
            goes_on = false;
        }
        at += used;
    }
    if (at) memmove(input->ptr, input->ptr + at, input->len - at);
    input->len -= at;
    return goes_on;
}

static bool send_ping(server_tail *tail)
{
    return tail->is_websocket ? send_frame(tail, WEBSOCKET_PING, LM_STR(""))
                              : send_event(tail, LM_STR(":"), LM_STR(""));
}

static void tail_loop(server_tail *tail)
{
    bool goes_on = send_history(tail);
    if (goes_on && tail->input.len) goes_on = read_client(tail);
    uint64_t ping_at = lm_clock_ns() + PING_SECONDS * NS_PER_S;
    while (goes_on && !atomic_load(&tail->is_stopping)) {
        struct pollfd waits[2] = {{.fd = tail->wake_fd, .events = POLLIN},
                                  {.fd = tail->is_websocket ? tail->fd : -1, .events = POLLIN}};
        int ready = poll(waits, 2, 1000);
        if (ready < 0 && errno != EINTR) break;
        if (ready > 0 && waits[1].revents) goes_on = read_client(tail);
        if (ready > 0 && waits[0].revents & POLLIN) {
            uint64_t times;
            (void)!read(tail->wake_fd, &times, sizeof times); /* only to make it quiet again */
            if (tail->delay_ns) (void)poll(NULL, 0, (int)(tail->delay_ns / 1000000));
            (void)pthread_mutex_lock(&tail->lock);
            tail_batch *swap = tail->working;
            tail->working = tail->pending;
            tail->pending = swap;
            (void)pthread_mutex_unlock(&tail->lock);
            if (goes_on) goes_on = send_working(tail);
        }
        if (goes_on && lm_clock_ns() >= ping_at) {
            goes_on = send_ping(tail);
            ping_at = lm_clock_ns() + PING_SECONDS * NS_PER_S;
        }
    }
}

static void *tail_main(void *ctx)
{
    server_tail *tail = ctx;
    struct server_tails *tails = tail->server->tails;
    lm_err err = tail_enter(tail);
    if (!err) tail_loop(tail);
    tail_leave(tail, !err);
    if (tail->is_websocket) {
        if (atomic_load(&tail->is_stopping)) /* 1001, going away: a courtesy */
            (void)send(tail->fd, "\x88\x02\x03\xe9", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)MHD_upgrade_action(tail->upgrade, MHD_UPGRADE_ACTION_CLOSE); /* never fails */
    } else {
        (void)pthread_mutex_lock(&tail->lock);
        tail->is_ended = true;
        if (tail->is_asleep) {
            tail->is_asleep = false;
            MHD_resume_connection(tail->connection);
        }
        (void)pthread_mutex_unlock(&tail->lock);
    }
    (void)pthread_mutex_lock(&tails->lock);
    tail_unref(tail);
    tails->threads--;
    (void)pthread_cond_broadcast(&tails->emptied);
    (void)pthread_mutex_unlock(&tails->lock);
    return NULL;
}

/** Its own reference goes to the thread. */
static lm_err tail_start(server_tail *tail)
{
    struct server_tails *tails = tail->server->tails;
    pthread_t thread;
    lm_err err = LM_OK;
    (void)pthread_mutex_lock(&tails->lock);
    if (tails->is_stopping)
        err = lm_fail(LM_E_CANCELLED, "the server is stopping");
    else if (tails->threads >= LM_SERVER_TAILS_MAX)
        err = lm_fail(LM_E_LIMIT,
                      "max concurrent tail requests limit exceeded, count > limit "
                      "(%d > %d)",
                      LM_SERVER_TAILS_MAX + 1, LM_SERVER_TAILS_MAX);
    else if (pthread_create(&thread, NULL, tail_main, tail) != 0)
        err = lm_fail(LM_E_NOMEM, "cannot start a thread");
    if (!err) {
        (void)pthread_detach(thread);
        tails->threads++;
    }
    (void)pthread_mutex_unlock(&tails->lock);
    return err;
}

/* ---- requests ---- */

static lm_err read_query(server_tail *tail, const server_request *request)
{
    lm_str query = server_form_get(&request->form, "query");
    lm_matcher *matchers = NULL;
    uint32_t count = 0;
    int64_t now = lm_clock_wall_ns();
    lm_err err = lm_logql_parse(tail->server->data_mem, query, &tail->query);
    if (!err && lm_logql_is_metric(tail->query))
        err = lm_fail(LM_E_USAGE, "only log selector is supported");
    if (!err && tail->is_categorized) lm_logql_want_level(tail->query);
    if (!err) err = lm_logql_matchers(server_selector_of(query), &tail->arena, &matchers, &count);
    if (!err) err = lm_matcher_set_new(tail->server->data_mem, matchers, count, &tail->matchers);
    if (!err) err = server_limit_parse(server_form_get(&request->form, "limit"), 100, &tail->limit);
    if (!err && tail->limit > request->state->config->query_entries_max)
        tail->limit = (uint32_t)request->state->config->query_entries_max;
    if (!err)
        err = server_time_parse(server_form_get(&request->form, "start"), now - 3600 * NS_PER_S,
                                &tail->start_ns);
    if (!err)
        err =
            server_seconds_parse(server_form_get(&request->form, "delay_for"), 0, &tail->delay_ns);
    if (!err)
        err = server_templates_tell(tail->server, tail->tenant, tail->query, tail->start_ns, now,
                                    &tail->arena);
    if (!err && (tail->delay_ns < 0 || tail->delay_ns > DELAY_SECONDS_MAX * NS_PER_S))
        err = lm_fail(LM_E_USAGE, "delay_for can't be greater than %d", DELAY_SECONDS_MAX);
    return err;
}

static lm_err tail_new(server_request *request, bool is_websocket, server_tail **out)
{
    lm_server *server = request->server;
    server_tail *tail = lm_mem_calloc(server->data_mem, 1, sizeof *tail);
    if (!tail) return lm_mem_err();
    tail->server = server;
    tail->is_websocket = is_websocket;
    tail->is_categorized = server_wants_categories(request);
    tail->fd = -1;
    tail->connection = request->connection;
    atomic_store(&tail->refs, 1);
    lm_arena_init(&tail->arena, server->data_mem);
    lm_buf_init(&tail->input, server->data_mem);
    lm_buf_init(&tail->out, server->data_mem);
    (void)pthread_mutex_init(&tail->lock, NULL);
    for (size_t i = 0; i < 2; i++)
        lm_record_batch_init(&tail->batches[i].records, server->data_mem);
    tail->pending = &tail->batches[0];
    tail->working = &tail->batches[1];
    tail->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    lm_err err = tail->wake_fd < 0 ? lm_fail_errno("cannot make an event descriptor") : LM_OK;
    lm_str tenant = request->tenant;
    tail->tenant = (lm_str){lm_arena_copy(&tail->arena, tenant.ptr, tenant.len), tenant.len};
    if (!err && !tail->tenant.ptr) err = lm_mem_err();
    if (!err) err = read_query(tail, request);
    if (err) {
        tail_unref(tail);
        return err;
    }
    *out = tail;
    return LM_OK;
}

static void upgraded(void *ctx, struct MHD_Connection *connection, void *req, const char *extra,
                     size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    (void)ctx;
    (void)connection;
    server_request *request = req;
    server_tail *tail = request->tail;
    request->tail = NULL;
    tail->fd = fd;
    tail->upgrade = handle;
    lm_err err = lm_buf_append(&tail->input, extra, extra_len);
    if (!err) err = tail_start(tail);
    if (!err) return;
    static const uint8_t try_later[2] = {1013 >> 8, 1013 & 255};
    (void)send_frame(tail, WEBSOCKET_CLOSE, (lm_str){try_later, 2}); /* it goes anyway */
    (void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);      /* never fails */
    tail_unref(tail);
}

/** Is a word in a header's list? */
static bool header_has(const server_request *request, const char *name, const char *word)
{
    const char *text = server_request_header(request, name);
    size_t len = strlen(word);
    for (; text && *text; text++) {
        if (strncasecmp(text, word, len) == 0) return true;
    }
    return false;
}

void server_tail_websocket(server_request *request)
{
    const char *key = server_request_header(request, "Sec-WebSocket-Key");
    const char *version = server_request_header(request, "Sec-WebSocket-Version");
    char *accept = lm_arena_alloc(&request->arena, WEBSOCKET_ACCEPT_BYTES, 1);
    server_tail *tail = NULL;
    if (!key || !header_has(request, "Upgrade", "websocket") ||
        !header_has(request, "Connection", "upgrade")) {
        server_answer_text(request, MHD_HTTP_BAD_REQUEST,
                           "the client is not using the websocket protocol");
        return;
    }
    if (!version || strcmp(version, "13") != 0) {
        server_answer_header(request, "Sec-WebSocket-Version", "13");
        server_answer_text(request, MHD_HTTP_UPGRADE_REQUIRED,
                           "websocket version 13 is spoken here");
        return;
    }
    lm_err err = accept ? websocket_accept(key, accept) : lm_mem_err();
    if (!err) err = tail_new(request, true, &tail);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    struct MHD_Response *response = MHD_create_response_for_upgrade(upgraded, NULL);
    if (!response) {
        tail_unref(tail);
        server_answer_text(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    request->tail = tail;
    request->own = response;
    request->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    server_answer_header(request, "Upgrade", "websocket");
    server_answer_header(request, "Sec-WebSocket-Accept", accept);
}

/* ---- server-sent events ---- */

static ssize_t read_events(void *ctx, uint64_t position, char *dst, size_t max)
{
    server_tail *tail = ctx;
    (void)position;
    (void)pthread_mutex_lock(&tail->lock);
    size_t len = tail->out.len - tail->out_sent;
    ssize_t result = 0;
    if (len) {
        if (len > max) len = max;
        memcpy(dst, tail->out.ptr + tail->out_sent, len);
        tail->out_sent += len;
        if (tail->out_sent == tail->out.len) tail->out_sent = tail->out.len = 0;
        result = (ssize_t)len;
    } else if (tail->is_ended) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        tail->is_asleep = true;
        MHD_suspend_connection(tail->connection);
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return result;
}

/** The connection is gone: the thread ends, and with it the tail. */
static void events_gone(void *ctx)
{
    server_tail *tail = ctx;
    atomic_store(&tail->is_stopping, true);
    tail_wake(tail);
    tail_unref(tail);
}

void server_tail_events(server_request *request)
{
    server_tail *tail = NULL;
    lm_err err = tail_new(request, false, &tail);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    atomic_fetch_add(&tail->refs, 1); /* one for the thread, one for the answer */
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, read_events, tail, events_gone);
    if (!response) {
        tail_unref(tail);
        tail_unref(tail);
        server_answer_text(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    err = tail_start(tail);
    if (err) {
        server_answer_err(request, err);
        tail_unref(tail);
        MHD_destroy_response(response);
        return;
    }
    request->own = response;
    request->status = MHD_HTTP_OK;
    server_answer_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    server_answer_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    server_answer_header(request, "X-Accel-Buffering", "no");
}

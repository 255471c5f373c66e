/**
 * Syslog over UDP, TCP, TLS and Unix sockets: one thread, one epoll, one buffer.
 *
 *     ready socket --recv--> text: [what was left of it | new bytes] --lm_wire_syslog_frame-->
 *         messages --lm_wire_syslog--> batch (slices of text)      the rest --> the connection
 *     batch large or some milliseconds old --> put
 *
 * A connection owns only the beginning of a message that is not whole yet. One that is longer than
 * it may be, or whose bytes make no sense, costs its sender the connection. While the sink takes
 * nothing, nothing is received: TCP's window, and for datagrams the system's queue, are all the
 * buffer there is.
 */
#include "source/source_priv.h"
#include "source/source_tls.h"
#include "wire/wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MESSAGE_DEFAULT = 1024 * 1024,
    READ_BYTES = 65536,
    DATAGRAM_BYTES = 65536,
    DATAGRAMS = 64,      /* a call */
    CARRY_APART = 16384, /* from here on a message is collected by its connection */
    EVENTS = 64,
    CARRIED_MAX = 64 * 1024 * 1024,
    ROUNDS = 8 /* of datagrams, before others are looked at */
};

#define SEND_AFTER    (10 * LM_NS)
#define HANDSHAKE_MAX (10 * LM_SECOND)
#define ACCEPT_PAUSE  LM_SECOND
#define UDP_BUFFER    (8 * 1024 * 1024)

typedef struct connection {
    int fd;
    size_t index;
    lm_tls_session *tls; /* NULL: none */
    bool is_shaking;
    uint64_t since_ns;
    lm_buf carry;   /* the beginning of a message */
    size_t counted; /* bytes of it in carried */
} connection;

typedef struct syslog_source {
    lm_source source;
    lm_mem *mem;
    int epoll_fd, udp_fd, tcp_fd; /* -1: none */
    bool is_unix;
    char *unix_path;
    lm_tls *tls;
    size_t message_max;
    connection **connections;
    size_t connection_count, connection_cap;
    size_t carried;     /* bytes of all their beginnings of messages */
    size_t shaking;     /* of them */
    uint64_t accept_ns; /* no earlier; 0: at any time */
    uint64_t looked_ns; /* at those that shake hands */
    lm_buf text;        /* what the batch points into */
    uint8_t *datagrams; /* DATAGRAMS of DATAGRAM_BYTES */
    lm_record_batch batch, labelled;
    uint32_t *map; /* stream of batch -> of labelled */
    size_t map_cap;
    lm_wire_recent recent;
    uint64_t begun_ns; /* when the batch's first record came; 0: it is empty */
    int64_t wall_ns;   /* of this round */
} syslog_source;

/** What is added to epoll for sockets that are no connections. */
static char is_tcp_listener, is_udp_socket, is_event;

/* ---- batches --------------------------------------------------------------------------------- */

/** The same records in streams with the source's labels. */
static lm_err add_labels(syslog_source *s)
{
    lm_record_batch *from = &s->batch, *to = &s->labelled;
    lm_record_batch_reset(to);
    lm_err err = lm_vec_grow(s->mem, &s->map, &s->map_cap, from->stream_count, sizeof *s->map);
    for (size_t i = 0; !err && i < from->stream_count; i++) {
        lm_labels labels;
        err = lm_source_labels(&s->source, from->streams[i].labels.items,
                               from->streams[i].labels.count, &to->arena, &labels);
        if (!err) err = lm_record_batch_stream(to, labels, &s->map[i]);
    }
    for (size_t i = 0; !err && i < from->record_count; i++) {
        const lm_record *record = &from->records[i];
        err = lm_record_batch_add(to, s->map[record->stream], record->time_ns, record->line,
                                  record->metadata);
    }
    return err;
}

/** Hands over what there is; waits until the sink takes it. */
static void flush(syslog_source *s)
{
    if (s->batch.record_count) {
        const lm_record_batch *batch = &s->batch;
        lm_err err = LM_OK;
        if (s->source.labels.count) {
            err = add_labels(s);
            batch = &s->labelled;
        }
        if (!err) err = lm_source_put_patiently(&s->source, batch, NULL, 0);
        if (err) {
            atomic_fetch_add_explicit(&s->source.rejected, s->batch.record_count,
                                      memory_order_relaxed);
            lm_source_note_err(&s->source, "batch_lost");
        }
    }
    lm_record_batch_reset(&s->batch);
    s->text.len = 0;
    s->begun_ns = 0;
}

/** Room behind what the batch points into. */
static uint8_t *make_room(syslog_source *s, size_t bytes)
{
    LM_ASSERT(bytes <= s->text.cap);
    if (s->text.cap - s->text.len < bytes || s->batch.bytes >= LM_BATCH_BYTES) flush(s);
    return s->text.ptr + s->text.len;
}

static void take_message(syslog_source *s, lm_str message)
{
    if (message.len == 0) return;
    lm_wire_options options = {.now_ns = s->wall_ns,
                               .body_bytes_max = s->message_max,
                               .mem = s->mem,
                               .recent = &s->recent};
    lm_err err = lm_wire_syslog(message, &options, &s->batch);
    if (err) {
        atomic_fetch_add_explicit(&s->source.rejected, 1, memory_order_relaxed);
        lm_source_note_err(&s->source, "message_refused");
        return;
    }
    if (!s->begun_ns) s->begun_ns = lm_clock_ns();
}

/* ---- datagrams ------------------------------------------------------------------------------- */

/** True: there may be more. */
static bool receive_datagrams(syslog_source *s)
{
    struct mmsghdr heads[DATAGRAMS];
    struct iovec parts[DATAGRAMS];
    for (size_t i = 0; i < DATAGRAMS; i++) {
        parts[i] = (struct iovec){s->datagrams + i * DATAGRAM_BYTES, DATAGRAM_BYTES};
        heads[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    int got = recvmmsg(s->udp_fd, heads, DATAGRAMS, MSG_DONTWAIT, NULL);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            (void)lm_fail_errno("cannot receive datagrams");
            lm_source_note_err(&s->source, "receive_failed");
        }
        return false;
    }
    for (int i = 0; i < got; i++) {
        size_t len = heads[i].msg_len;
        uint8_t *text = make_room(s, len);
        memcpy(text, parts[i].iov_base, len);
        s->text.len += len;
        take_message(s, (lm_str){text, len});
    }
    return got == DATAGRAMS;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void close_connection(syslog_source *s, connection *c)
{
    s->connections[c->index] = s->connections[--s->connection_count];
    s->connections[c->index]->index = c->index;
    if (c->is_shaking) s->shaking--;
    s->carried -= c->counted;
    lm_tls_session_free(c->tls);
    /* Closing alone would not do: a process forked meanwhile may still hold the descriptor. */
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    lm_buf_fini(&c->carry);
    lm_mem_release(s->mem, c, sizeof *c);
    if (s->accept_ns) s->accept_ns = 1; /* there is room for one more */
    atomic_store_explicit(&s->source.open, (uint32_t)s->connection_count, memory_order_relaxed);
}

static void watch_for(syslog_source *s, connection *c, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(s->epoll_fd, how, c->fd, &event)) {
        (void)lm_fail_errno("cannot watch a connection");
        lm_source_note_err(&s->source, "connection_failed");
    }
}

static void pause_accepting(syslog_source *s, bool is_on)
{
    struct epoll_event event = {.events = is_on ? 0 : EPOLLIN, .data.ptr = &is_tcp_listener};
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->tcp_fd, &event); /* at worst it is asked again */
    s->accept_ns = is_on ? lm_clock_ns() + ACCEPT_PAUSE : 0;
}

static lm_err add_connection(syslog_source *s, int fd)
{
    lm_err err = lm_vec_grow(s->mem, &s->connections, &s->connection_cap, s->connection_count + 1,
                             sizeof(connection *));
    connection *c = err ? NULL : lm_mem_calloc(s->mem, 1, sizeof *c);
    if (!c) return lm_mem_err();
    *c = (connection){.fd = fd, .index = s->connection_count, .since_ns = lm_clock_ns()};
    lm_buf_init(&c->carry, s->mem);
    if (s->tls) {
        err = lm_tls_session_new(s->tls, fd, &c->tls);
        if (err) {
            lm_mem_release(s->mem, c, sizeof *c);
            return err;
        }
        c->is_shaking = true;
        s->shaking++;
    }
    s->connections[s->connection_count++] = c;
    watch_for(s, c, EPOLLIN, EPOLL_CTL_ADD);
    atomic_store_explicit(&s->source.open, (uint32_t)s->connection_count, memory_order_relaxed);
    return LM_OK;
}

static void accept_some(syslog_source *s)
{
    for (int i = 0; i < EVENTS; i++) {
        if (s->connection_count >= LM_SOURCE_CONNECTIONS_MAX) {
            lm_source_note(&s->source, 4, "too_many_connections",
                           "%s: %zu connections are open, others wait", s->source.name,
                           s->connection_count);
            pause_accepting(s, true);
            return;
        }
        int fd = accept4(s->tcp_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool is_full =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (!is_full) return;
            (void)lm_fail_errno("cannot accept a connection");
            lm_source_note_err(&s->source, "accept_failed");
            pause_accepting(s, true);
            return;
        }
        int on = 1;
        if (!s->is_unix) /* finds out about peers that vanished */
            (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        if (add_connection(s, fd)) {
            lm_source_note_err(&s->source, "connection_failed");
            close(fd);
        }
    }
}

static ssize_t receive(connection *c, uint8_t *dst, size_t cap)
{
    return c->tls ? lm_tls_read(c->tls, dst, cap) : recv(c->fd, dst, cap, 0);
}

/** Is the message that begins the carry whole, or wrong, now that added bytes came? Without looking
 * at the same bytes again and again. */
static bool is_carry_ready(const syslog_source *s, const connection *c, size_t added)
{
    lm_str rest = {c->carry.ptr, c->carry.len}, message;
    uint8_t first = rest.ptr[0];
    if (first >= '0' && first <= '9')
        return lm_wire_syslog_frame(&rest, s->message_max, &message) != LM_E_NOTFOUND;
    return memchr(rest.ptr + rest.len - added, '\n', added) != NULL || rest.len > s->message_max;
}

/** Messages of text, which is in the buffer; the rest becomes the carry. False: the connection is
 * to be closed. */
static bool take_frames(syslog_source *s, connection *c, lm_str rest, bool is_end)
{
    lm_err err;
    lm_str message;
    const uint8_t *begin = rest.ptr;
    while ((err = lm_wire_syslog_frame(&rest, s->message_max, &message)) == LM_OK)
        take_message(s, message);
    if (err == LM_E_NOTFOUND && is_end && rest.len) {
        lm_str last = lm_wire_syslog_rest(rest); /* without its end: what came of it is kept */
        if (last.len) take_message(s, last);
        rest = (lm_str){rest.ptr + rest.len, 0};
    }
    s->text.len += (size_t)(rest.ptr - begin);
    if (err != LM_E_NOTFOUND) {
        atomic_fetch_add_explicit(&s->source.rejected, 1, memory_order_relaxed);
        lm_source_note_err(&s->source, "framing_broken");
        return false;
    }
    c->carry.len = 0;
    if (rest.len == 0) {
        if (c->carry.cap > CARRY_APART) lm_buf_fini(&c->carry);
        return true;
    }
    if (lm_buf_append(&c->carry, rest.ptr, rest.len)) {
        lm_source_note_err(&s->source, "no_memory");
        return false;
    }
    return true;
}

/** All connections together keep no more than so much; who goes beyond it with a long message is
 * closed. */
static bool is_affordable(syslog_source *s, connection *c)
{
    s->carried += c->carry.cap - c->counted;
    c->counted = c->carry.cap;
    if (s->carried <= CARRIED_MAX || c->carry.cap <= 2 * CARRY_APART) return true;
    (void)lm_fail(LM_E_LIMIT, "%zu bytes of unfinished messages", s->carried);
    lm_source_note_err(&s->source, "too_much_unfinished");
    return false;
}

/** One helping of a connection's bytes. */
static void read_connection(syslog_source *s, connection *c)
{
    bool is_apart = c->carry.len >= CARRY_APART;
    uint8_t *text = make_room(s, c->carry.len + 2 * READ_BYTES);
    size_t had = c->carry.len, len = had;
    if (is_apart) {
        if (lm_buf_reserve(&c->carry, 2 * READ_BYTES)) {
            lm_source_note_err(&s->source, "no_memory");
            close_connection(s, c);
            return;
        }
        text = c->carry.ptr;
    } else if (had) {
        if (had) memcpy(text, c->carry.ptr, had);
    }
    ssize_t got;
    bool is_end = false;
    do { /* what TLS holds back is told by no event */
        got = receive(c, text + len, had + 2 * READ_BYTES - len);
        if (got > 0) len += (size_t)got;
    } while (got > 0 && len < had + READ_BYTES + READ_BYTES / 2 && c->tls &&
             lm_tls_pending(c->tls));
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        if (c->tls && errno == EPROTO) lm_source_note_err(&s->source, "tls_failed");
        is_end = true;
    }
    if (got == 0) is_end = true;
    if (is_apart) {
        c->carry.len = len;
        if (!is_end && (len == had || !is_carry_ready(s, c, len - had))) {
            if (!is_affordable(s, c)) close_connection(s, c);
            return;
        }
        text = s->text.ptr + s->text.len;
        if (len) memcpy(text, c->carry.ptr, len);
    }
    if (len == had && !is_end) return;
    bool is_kept = take_frames(s, c, (lm_str){text, len}, is_end);
    if (is_end || !is_kept || !is_affordable(s, c)) close_connection(s, c);
}

static void shake_hands(syslog_source *s, connection *c)
{
    switch (lm_tls_handshake(c->tls)) {
    case LM_TLS_DONE:
        c->is_shaking = false;
        s->shaking--;
        watch_for(s, c, EPOLLIN, EPOLL_CTL_MOD);
        if (lm_tls_pending(c->tls)) read_connection(s, c);
        return;
    case LM_TLS_WANTS_READ:
        watch_for(s, c, EPOLLIN, EPOLL_CTL_MOD);
        return;
    case LM_TLS_WANTS_WRITE:
        watch_for(s, c, EPOLLOUT, EPOLL_CTL_MOD);
        return;
    case LM_TLS_FAILED:
        lm_source_note_err(&s->source, "tls_refused");
        close_connection(s, c);
        return;
    }
}

static void drop_slow_hands(syslog_source *s, uint64_t now)
{
    for (size_t i = s->connection_count; s->shaking && i-- > 0;) {
        connection *c = s->connections[i];
        if (!c->is_shaking || now < c->since_ns + HANDSHAKE_MAX) continue;
        (void)lm_fail(LM_E_IO, "a TLS handshake took too long");
        lm_source_note_err(&s->source, "tls_refused");
        close_connection(s, c);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int wait_ms(const syslog_source *s, uint64_t now)
{
    if (s->begun_ns) {
        uint64_t due = s->begun_ns + SEND_AFTER;
        return due <= now ? 0 : (int)((due - now) / LM_NS) + 1;
    }
    return s->shaking || s->accept_ns ? 500 : 10000;
}

static void syslog_run(lm_source *source)
{
    syslog_source *s = (syslog_source *)source;
    struct epoll_event events[EVENTS];
    while (!lm_source_stops(source)) {
        int count = epoll_wait(s->epoll_fd, events, EVENTS, wait_ms(s, lm_clock_ns()));
        uint64_t now = lm_clock_ns();
        s->wall_ns = lm_clock_wall_ns();
        for (int i = 0; i < count && !lm_source_stops(source); i++) {
            void *what = events[i].data.ptr;
            if (what == &is_event) {
                lm_flights_calm(source->flights);
                lm_source_settle(source);
            } else if (what == &is_tcp_listener) {
                accept_some(s);
            } else if (what == &is_udp_socket) {
                for (int n = 0; n < ROUNDS && receive_datagrams(s); n++) {
                }
            } else {
                connection *c = what;
                if (c->is_shaking) {
                    shake_hands(s, c);
                } else {
                    read_connection(s, c);
                }
            }
        }
        bool is_old = s->begun_ns && now - s->begun_ns >= SEND_AFTER && now > s->begun_ns;
        if (is_old || s->batch.bytes >= LM_BATCH_BYTES) flush(s);
        if (s->accept_ns && now >= s->accept_ns) pause_accepting(s, false);
        if (s->shaking && now - s->looked_ns > LM_SECOND / 2) {
            s->looked_ns = now;
            drop_slow_hands(s, now);
        }
    }
    flush(s);
}

static void syslog_fini(lm_source *source)
{
    syslog_source *s = (syslog_source *)source;
    while (s->connection_count)
        close_connection(s, s->connections[0]);
    lm_mem_release(s->mem, s->connections, s->connection_cap * sizeof(connection *));
    if (s->tcp_fd >= 0) close(s->tcp_fd);
    if (s->udp_fd >= 0) close(s->udp_fd);
    if (s->epoll_fd >= 0) close(s->epoll_fd);
    if (s->unix_path) unlink(s->unix_path);
    lm_tls_free(s->tls);
    lm_record_batch_fini(&s->batch);
    lm_record_batch_fini(&s->labelled);
    lm_buf_fini(&s->text);
    lm_mem_release(s->mem, s->map, s->map_cap * sizeof *s->map);
    if (s->datagrams) lm_mem_release(s->mem, s->datagrams, DATAGRAMS * DATAGRAM_BYTES);
}

static lm_err syslog_renew(lm_source *source, const lm_tls_files *files)
{
    syslog_source *s = (syslog_source *)source;
    lm_tls_keys *keys = NULL;
    lm_err err = s->tls ? lm_tls_keys_load(s->mem, files, &keys) : LM_OK;
    if (keys) lm_tls_renew(s->tls, keys);
    return err;
}

/* ---- listening ------------------------------------------------------------------------------- */

/** "127.0.0.1:1514", "[::1]:1514", ":1514" to an address. */
static lm_err resolve(const char *address, struct addrinfo **out)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (!colon || len >= sizeof host || !colon[1])
        return lm_fail(LM_E_USAGE, "'%s' is not an address with a port", address);
    memcpy(host, address, len);
    host[len] = 0;
    char *name = host;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = 0;
        name = host + 1;
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int rc = getaddrinfo(*name ? name : NULL, colon + 1, &hints, out);
    if (rc) return lm_fail(LM_E_USAGE, "address '%s': %s", address, gai_strerror(rc));
    return LM_OK;
}

static lm_err bind_socket(const struct sockaddr *address, socklen_t len, int type, const char *name,
                          int *out)
{
    int on = 1;
    int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return lm_fail_errno("cannot listen on '%s'", name);
    bool is_tcp = type == SOCK_STREAM && address->sa_family != AF_UNIX;
    if (is_tcp) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a wish */
    if (bind(fd, address, len) || (type == SOCK_STREAM && listen(fd, 1024))) {
        lm_err err = lm_fail_errno("cannot listen on '%s'", name);
        close(fd);
        return err;
    }
    *out = fd;
    return LM_OK;
}

static lm_err listen_inet(syslog_source *s, const lm_source_syslog_options *options)
{
    struct addrinfo *list = NULL;
    lm_err err = resolve(options->address, &list);
    if (err) return err;
    struct sockaddr_storage address;
    socklen_t len = list->ai_addrlen;
    memcpy(&address, list->ai_addr, len);
    freeaddrinfo(list);
    if (options->tcp)
        err = bind_socket((struct sockaddr *)&address, len, SOCK_STREAM, options->address,
                          &s->tcp_fd);
    if (!err && options->tcp) /* port 0: the same one for both */
        (void)getsockname(s->tcp_fd, (struct sockaddr *)&address, &(socklen_t){sizeof address});
    if (!err && options->udp)
        err =
            bind_socket((struct sockaddr *)&address, len, SOCK_DGRAM, options->address, &s->udp_fd);
    if (err) return err;
    int size = UDP_BUFFER;
    if (options->udp) /* as much as the system grants */
        (void)setsockopt(s->udp_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    char host[128], port[16];
    (void)getsockname(options->tcp ? s->tcp_fd : s->udp_fd, (struct sockaddr *)&address,
                      &(socklen_t){sizeof address});
    if (getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return lm_fail(LM_E_IO, "cannot tell the address of '%s'", options->address);
    bool is_six = address.ss_family == AF_INET6;
    (void)snprintf(s->source.name, sizeof s->source.name, "syslog %s%s%s:%s%s%s", is_six ? "[" : "",
                   host, is_six ? "]" : "", port, options->udp ? " udp" : "",
                   !options->tcp ? ""
                   : s->tls      ? " tls"
                                 : " tcp"); /* cut short is fine */
    return LM_OK;
}

static lm_err listen_unix(syslog_source *s, const lm_source_syslog_options *options)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;
    if (options->udp == options->tcp)
        return lm_fail(LM_E_USAGE, "'%s': a Unix socket is either of datagrams or of streams",
                       options->address);
    if (strlen(options->address) >= sizeof address.sun_path)
        return lm_fail(LM_E_USAGE, "'%s' is too long for a Unix socket", options->address);
    strcpy(address.sun_path, options->address);
    int type = options->udp ? SOCK_DGRAM : SOCK_STREAM;
    if (stat(options->address, &info) == 0 && S_ISSOCK(info.st_mode)) { /* of one who crashed? */
        int probe = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        bool is_dead = probe >= 0 &&
                       connect(probe, (struct sockaddr *)&address, sizeof address) < 0 &&
                       errno == ECONNREFUSED;
        if (probe >= 0) close(probe);
        if (is_dead) unlink(options->address);
    }
    s->is_unix = true;
    lm_err err = bind_socket((struct sockaddr *)&address, sizeof address, type, options->address,
                             options->udp ? &s->udp_fd : &s->tcp_fd);
    if (!err) err = lm_source_text(&s->source, options->address, &s->unix_path);
    (void)snprintf(s->source.name, sizeof s->source.name, "syslog %s", options->address);
    return err;
}

static lm_err watch_socket(syslog_source *s, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return lm_fail_errno("cannot watch '%s'", s->source.name);
    return LM_OK;
}

static lm_err prepare(syslog_source *s, const lm_source_syslog_options *options)
{
    bool is_unix = options->address[0] == '/' || options->address[0] == '.';
    if (!options->udp && !options->tcp)
        return lm_fail(LM_E_USAGE, "syslog on '%s': neither UDP nor TCP", options->address);
    s->message_max = options->message_bytes_max ? options->message_bytes_max : MESSAGE_DEFAULT;
    if (s->message_max > LM_SOURCE_BUFFER_MAX)
        return lm_fail(LM_E_USAGE, "syslog messages may be of %d bytes, no more",
                       LM_SOURCE_BUFFER_MAX);
    lm_err err = LM_OK;
    if (options->tls.certificate) {
        if (is_unix || !options->tcp)
            return lm_fail(LM_E_USAGE, "syslog on '%s': TLS goes over TCP", options->address);
        err = lm_tls_new(s->mem, &options->tls, &s->tls);
    }
    if (!err) err = lm_buf_reserve(&s->text, LM_BATCH_BYTES + s->message_max + 4 * READ_BYTES);
    if (!err && options->udp) {
        s->datagrams = lm_mem_alloc(s->mem, DATAGRAMS * DATAGRAM_BYTES);
        if (!s->datagrams) err = lm_mem_err();
    }
    if (!err) err = is_unix ? listen_unix(s, options) : listen_inet(s, options);
    if (err) return err;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0) return lm_fail_errno("cannot make an epoll");
    err = watch_socket(s, s->source.flights->event_fd, &is_event);
    if (!err) err = watch_socket(s, s->tcp_fd, &is_tcp_listener);
    if (!err) err = watch_socket(s, s->udp_fd, &is_udp_socket);
    return err;
}

lm_err lm_source_syslog(const lm_source_host *host, const lm_source_syslog_options *options,
                        lm_source **out)
{
    lm_source *source = NULL;
    lm_err err = lm_source_make(host, sizeof(syslog_source), options->labels, options->label_count,
                                false, options->tenant, &source);
    if (err) return err;
    syslog_source *s = (syslog_source *)source;
    s->mem = host->mem;
    s->epoll_fd = s->udp_fd = s->tcp_fd = -1;
    lm_record_batch_init(&s->batch, host->mem);
    lm_record_batch_init(&s->labelled, host->mem);
    lm_buf_init(&s->text, host->mem);
    source->run = syslog_run;
    source->fini = syslog_fini;
    source->renew = syslog_renew;
    err = prepare(s, options);
    return lm_source_begin(err, source, out);
}

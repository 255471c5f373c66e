/**
 * Load for a daemon: the lines of a log, again and again, with fresh timestamps.
 *
 * Requests are made before the clock starts, places of the timestamps noted; what is left to do for
 * one that is sent is to write its times and hand it to the system. So the sender takes little of
 * the processors that it shares with the daemon, and what it takes is printed. A record counts when
 * its request was answered with 2xx.
 *
 *   bench_load FORM ADDRESS[/PATH] LOG [--seconds S] [--connections N] [--batch N] [--rate R]
 *
 *   loki    HOST:PORT/loki/api/v1/push        protobuf in a snappy block, a stream a connection
 *   ndjson  HOST:PORT/logmill/v1/push/jsonline?label.app=x      {"_time":"<ns>","_msg":"<line>"}
 *   syslog  HOST:PORT                          RFC 3164 over TCP, newline framing; nothing answers
 *   files   FOLDER                             files of 64 MiB, renamed when whole; --metrics
 * HOST:PORT says where to ask how many records were stored: no more than four files are ahead, and
 * those that were read are deleted
 *
 * --rate is records a second of all connections together; without it as many as are taken. Prints
 * one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    FILE_BYTES = 64 << 20,
    FILES_AHEAD = 4,
    HELD_BYTES = 1 << 16,
    LATENCIES_MAX = 1 << 20
};

#define NS_PER_S 1000000000ll

typedef struct request {
    uint8_t *bytes; /* of the body */
    size_t len;
    uint32_t *times; /* places in bytes, one a record */
    uint32_t records;
} request;

typedef struct load {
    const char *form, *path, *metrics;
    struct sockaddr_in address;
    double seconds;
    uint64_t rate;
    uint32_t connections, batch;
    const uint8_t *text; /* of the log */
    size_t text_len;
    request *requests;
    size_t request_count;
    int64_t begun_ns, end_ns;
} load;

typedef struct sender {
    const load *load;
    pthread_t thread;
    uint32_t number;
    uint64_t records, requests, refused, bytes;
    uint32_t *latencies; /* microseconds */
    size_t latency_count;
    int64_t last_ns; /* when its last answer came */
} sender;

static void die(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static void *get(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) die("memory");
    return p;
}

static int64_t clock_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void sleep_until(int64_t at_ns)
{
    struct timespec t = {at_ns / NS_PER_S, at_ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

/* ---- times: of a fixed length, so that they can be written over ---- */

enum { STAMP_BYTES = 12, NANOS_LEAST = 1 << 28 };

/** Seconds and nanoseconds as two varints of five bytes, the field numbers before them. The
 * nanoseconds are squeezed into the part of a second in which they have that length. */
static void put_stamp(uint8_t *at, int64_t ns)
{
    uint64_t seconds = (uint64_t)(ns / NS_PER_S);
    uint64_t nanos =
        NANOS_LEAST + (uint64_t)(ns % NS_PER_S) * (uint64_t)(NS_PER_S - NANOS_LEAST) / NS_PER_S;
    at[0] = 1 << 3;
    at[6] = 2 << 3;
    for (int i = 0; i < 5; i++) {
        at[1 + i] = (uint8_t)((seconds >> (7 * i) & 127) | (i < 4 ? 128 : 0));
        at[7 + i] = (uint8_t)((nanos >> (7 * i) & 127) | (i < 4 ? 128 : 0));
    }
}

static void put_digits(uint8_t *at, int64_t ns)
{
    for (int i = 18; i >= 0; i--, ns /= 10)
        at[i] = (uint8_t)('0' + ns % 10);
}

/* ---- bodies ---- */

typedef struct out {
    uint8_t *bytes;
    size_t len;
} out;

static void put(out *o, const void *bytes, size_t len)
{
    memcpy(o->bytes + o->len, bytes, len);
    o->len += len;
}

static size_t varint(uint8_t *at, uint64_t value)
{
    size_t len = 0;
    for (; value >= 128; value >>= 7)
        at[len++] = (uint8_t)(value | 128);
    at[len++] = (uint8_t)value;
    return len;
}

static void put_field(out *o, uint8_t number, size_t len)
{
    uint8_t head[12] = {(uint8_t)(number << 3 | 2)};
    put(o, head, 1 + varint(head + 1, len));
}

static void put_literal(out *o, const uint8_t *from, size_t len)
{
    if (!len) return;
    size_t n = len - 1;
    uint8_t head[5] = {(uint8_t)(n << 2)};
    size_t more = n < 60 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : 3;
    if (more) head[0] = (uint8_t)((59 + more) << 2);
    for (size_t i = 0; i < more; i++)
        head[1 + i] = (uint8_t)(n >> (8 * i));
    put(o, head, 1 + more);
    put(o, from, len);
}

/**
 * A snappy block in which the bytes that `fixed` marks stand as they are: neither copied from
 * elsewhere nor copied to elsewhere, so that they can be written over. times: their places in
 * `from` on the way in, in the block on the way out.
 */
static void put_snappy(out *o, const uint8_t *from, size_t len, const uint8_t *fixed,
                       uint32_t *times, size_t time_count)
{
    static uint32_t table[1 << 14];
    uint8_t head[10];
    size_t literal = 0, at = 0, next_time = 0;
    memset(table, 0, sizeof table);
    put(o, head, varint(head, len));
    while (at < len) {
        size_t match = 0, source = 0;
        if (at + 8 <= len && !fixed[at]) {
            uint32_t word;
            memcpy(&word, from + at, 4);
            uint32_t *slot = &table[word * 0x9E3779B1u >> 18];
            source = *slot ? *slot - 1 : at;
            *slot = (uint32_t)at + 1;
            if (source < at && at - source < 65536) {
                while (at + match < len && match < 64 && from[source + match] == from[at + match] &&
                       !fixed[at + match] && !fixed[source + match])
                    match++;
            }
        }
        if (match < 6) {
            at++;
            continue;
        }
        put_literal(o, from + literal, at - literal);
        for (; next_time < time_count && times[next_time] < at; next_time++)
            times[next_time] = (uint32_t)(o->len - (at - times[next_time]));
        uint8_t copy[3] = {(uint8_t)((match - 1) << 2 | 2), (uint8_t)(at - source),
                           (uint8_t)((at - source) >> 8)};
        put(o, copy, 3);
        at += match;
        literal = at;
    }
    put_literal(o, from + literal, len - literal);
    for (; next_time < time_count; next_time++)
        times[next_time] = (uint32_t)(o->len - (len - times[next_time]));
}

static size_t varint_len(uint64_t value)
{
    uint8_t bytes[10];
    return varint(bytes, value);
}

static size_t field_len(size_t len)
{
    return 1 + varint_len(len) + len;
}

typedef struct line {
    const uint8_t *at;
    size_t len;
} line;

static void make_loki(request *r, const line *lines, uint32_t count, uint32_t connection)
{
    char labels[64];
    int labels_len = snprintf(labels, sizeof labels, "{app=\"load\", part=\"%u\"}", connection);
    size_t stream = field_len((size_t)labels_len), room = 0;
    for (uint32_t i = 0; i < count; i++)
        stream += field_len(field_len(STAMP_BYTES) + field_len(lines[i].len));
    room = stream + 32;
    out plain = {get(room), 0}, packed = {get(room + room / 6 + 64), 0};
    uint8_t *fixed = get(room);
    memset(fixed, 0, room);
    put_field(&plain, 1, stream);
    put_field(&plain, 1, (size_t)labels_len);
    put(&plain, labels, (size_t)labels_len);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t stamp[STAMP_BYTES];
        put_stamp(stamp, 0);
        put_field(&plain, 2, field_len(STAMP_BYTES) + field_len(lines[i].len));
        put_field(&plain, 1, STAMP_BYTES);
        r->times[i] = (uint32_t)plain.len;
        memset(fixed + plain.len, 1, STAMP_BYTES);
        put(&plain, stamp, STAMP_BYTES);
        put_field(&plain, 2, lines[i].len);
        put(&plain, lines[i].at, lines[i].len);
    }
    put_snappy(&packed, plain.bytes, plain.len, fixed, r->times, count);
    free(plain.bytes);
    free(fixed);
    r->bytes = packed.bytes;
    r->len = packed.len;
}

/** A line inside a JSON string; bytes beyond ASCII pass only where they are UTF-8 of two to four
 * bytes by their looks. */
static void put_json(out *o, line l)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < l.len; i++) {
        uint8_t c = l.at[i];
        if (c == '"' || c == '\\') {
            put(o, "\\", 1);
            put(o, &c, 1);
        } else if (c < 32) {
            char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            put(o, text, 6);
        } else if (c < 128) {
            put(o, &c, 1);
        } else {
            size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC2 ? 1 : 0, k = 1;
            while (k <= more && i + k < l.len && (l.at[i + k] & 0xC0) == 0x80)
                k++;
            bool is_text = more && k > more;
            put(o, is_text ? (const void *)(l.at + i) : "?", is_text ? more + 1 : 1);
            if (is_text) i += more;
        }
    }
}

static void make_ndjson(request *r, const line *lines, uint32_t count)
{
    size_t room = 0;
    for (uint32_t i = 0; i < count; i++)
        room += 64 + 6 * lines[i].len;
    out o = {get(room), 0};
    for (uint32_t i = 0; i < count; i++) {
        put(&o, "{\"_time\":\"", 10);
        r->times[i] = (uint32_t)o.len;
        put(&o, "0000000000000000000\",\"_msg\":\"", 29);
        put_json(&o, lines[i]);
        put(&o, "\"}\n", 3);
    }
    r->bytes = o.bytes;
    r->len = o.len;
}

static void make_syslog(request *r, const line *lines, uint32_t count)
{
    size_t room = 0;
    for (uint32_t i = 0; i < count; i++)
        room += 64 + lines[i].len;
    out o = {get(room), 0};
    for (uint32_t i = 0; i < count; i++) {
        put(&o, "<134>", 5);
        r->times[i] = (uint32_t)o.len;
        put(&o, "Jan  1 00:00:00 host app[42]: ", 30);
        put(&o, lines[i].at, lines[i].len);
        put(&o, "\n", 1);
    }
    r->bytes = o.bytes;
    r->len = o.len;
}

/** Each connection has requests of its own: those whose number leaves its remainder. */
static void make_requests(load *l)
{
    line *lines = get(l->batch * sizeof *lines);
    size_t cap = 0;
    const uint8_t *at = l->text, *end = l->text + l->text_len;
    while (at < end || l->request_count < l->connections) {
        uint32_t count = 0;
        if (at == end) at = l->text;
        while (count < l->batch && at < end) {
            const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
            if (!stop) stop = end;
            if (stop > at) lines[count++] = (line){at, (size_t)(stop - at)};
            at = stop < end ? stop + 1 : end;
        }
        if (!count) continue;
        if (l->request_count == cap) {
            cap = cap ? cap * 2 : 64;
            l->requests = realloc(l->requests, cap * sizeof *l->requests);
            if (!l->requests) die("memory");
        }
        request *r = &l->requests[l->request_count];
        *r = (request){.times = get(count * sizeof *r->times), .records = count};
        if (strcmp(l->form, "loki") == 0)
            make_loki(r, lines, count, (uint32_t)(l->request_count % l->connections));
        else if (strcmp(l->form, "ndjson") == 0)
            make_ndjson(r, lines, count);
        else
            make_syslog(r, lines, count);
        l->request_count++;
    }
    free(lines);
}

static void freshen(const load *l, request *r, int64_t now_ns)
{
    bool is_loki = strcmp(l->form, "loki") == 0;
    for (uint32_t i = 0; i < r->records; i++) {
        if (is_loki)
            put_stamp(r->bytes + r->times[i], now_ns + i);
        else
            put_digits(r->bytes + r->times[i], now_ns + i);
    }
}

/* ---- sending ---- */

static int dial(const struct sockaddr_in *address)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address)) die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_all(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) die("send");
        while (count && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (!count) break;
        parts->iov_base = (uint8_t *)parts->iov_base + n;
        parts->iov_len -= (size_t)n;
    }
}

/** An answer, its body too; returns the status. */
static int read_answer(int fd, char *text, size_t cap, size_t *out_len)
{
    size_t len = 0, want = SIZE_MAX;
    while (len < want && len < cap - 1) {
        ssize_t n = recv(fd, text + len, cap - 1 - len, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        len += (size_t)n;
        text[len] = '\0';
        char *body = strstr(text, "\r\n\r\n");
        if (!body) continue;
        char *length = strcasestr(text, "content-length:");
        size_t body_len = length && length < body ? strtoul(length + 15, NULL, 10) : 0;
        want = (size_t)(body + 4 - text) + body_len;
    }
    *out_len = len;
    return len > 12 ? atoi(text + 9) : 0;
}

/** When the request that follows so many records is due. */
static void keep_pace(const load *l, uint64_t records)
{
    if (!l->rate) return;
    int64_t due =
        l->begun_ns + (int64_t)((double)records * 1e9 * (double)l->connections / (double)l->rate);
    if (due > clock_ns(CLOCK_MONOTONIC)) sleep_until(due);
}

static void *send_http(void *arg)
{
    sender *s = arg;
    const load *l = s->load;
    int fd = dial(&l->address);
    char text[8192], head[1024];
    const char *type =
        strcmp(l->form, "loki") == 0 ? "application/x-protobuf" : "application/x-ndjson";
    for (size_t at = s->number; clock_ns(CLOCK_MONOTONIC) < l->end_ns;) {
        request *r = &l->requests[at];
        keep_pace(l, s->records);
        freshen(l, r, clock_ns(CLOCK_REALTIME));
        int head_len =
            snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\nHost: load\r\nContent-Type: %s\r\nContent-Length: "
                     "%zu\r\n\r\n",
                     l->path, type, r->len);
        struct iovec parts[2] = {{head, (size_t)head_len}, {r->bytes, r->len}};
        int64_t sent_ns = clock_ns(CLOCK_MONOTONIC);
        send_all(fd, parts, 2);
        size_t len = 0;
        int status = read_answer(fd, text, sizeof text, &len);
        if (status == 429 || status == 503) {
            s->refused++;
            sleep_until(clock_ns(CLOCK_MONOTONIC) + 20000000);
            continue;
        }
        if (status < 200 || status > 299) {
            errno = 0;
            fprintf(stderr, "%.*s\n", (int)(len < 400 ? len : 400), text);
            die("answer");
        }
        s->last_ns = clock_ns(CLOCK_MONOTONIC);
        if (s->latency_count < LATENCIES_MAX)
            s->latencies[s->latency_count++] = (uint32_t)((s->last_ns - sent_ns) / 1000);
        s->records += r->records;
        s->bytes += r->len;
        s->requests++;
        at += l->connections;
        if (at >= l->request_count) at = s->number;
    }
    close(fd);
    return NULL;
}

static void *send_syslog(void *arg)
{
    sender *s = arg;
    const load *l = s->load;
    int fd = dial(&l->address);
    int64_t *stamped = get(l->request_count * sizeof *stamped);
    memset(stamped, 0, l->request_count * sizeof *stamped);
    for (size_t at = s->number; clock_ns(CLOCK_MONOTONIC) < l->end_ns;) {
        request *r = &l->requests[at];
        keep_pace(l, s->records);
        time_t now = (time_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
        if (stamped[at] != now) {
            char text[32];
            struct tm tm;
            strftime(text, sizeof text, "%b %e %H:%M:%S", localtime_r(&now, &tm));
            for (uint32_t i = 0; i < r->records; i++)
                memcpy(r->bytes + r->times[i], text, 15);
            stamped[at] = now;
        }
        struct iovec part = {r->bytes, r->len};
        send_all(fd, &part, 1);
        s->records += r->records;
        s->bytes += r->len;
        s->requests++;
        at += l->connections;
        if (at >= l->request_count) at = s->number;
    }
    s->last_ns = clock_ns(CLOCK_MONOTONIC);
    free(stamped);
    close(fd);
    return NULL;
}

/** Bytes of text that the daemon has stored, with a line end for each record: whatever lines it
 * joined to records, what was written is stored when these are as many. */
static uint64_t stored(const load *l)
{
    static char text[1 << 18];
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n";
    static const char *const names[] = {"\nlogmill_store_records_total ",
                                        "\nlogmill_store_bytes_total "};
    size_t len = 0;
    uint64_t sum = 0;
    int fd = dial(&l->address);
    struct iovec part = {(void *)(uintptr_t)ask, sizeof ask - 1};
    send_all(fd, &part, 1);
    (void)read_answer(fd, text, sizeof text, &len);
    close(fd);
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(text, names[i]);
        if (!at) die(names[i]);
        sum += (uint64_t)strtod(at + strlen(names[i]), NULL);
    }
    return sum;
}

/** Files of FILE_BYTES: written under a name that nobody reads, then renamed. */
static void write_files(const load *l, sender *s)
{
    char path[4200], hidden[4200];
    uint64_t ends[FILES_AHEAD + 1] = {0}, base = stored(l), first = 0;
    uint64_t lines = 0;
    for (size_t i = 0; i < l->text_len; i++)
        lines += l->text[i] == '\n';
    uint64_t number = 0;
    for (; clock_ns(CLOCK_MONOTONIC) < l->end_ns; number++) {
        snprintf(hidden, sizeof hidden, "%s/writing", l->path);
        snprintf(path, sizeof path, "%s/load-%06llu.log", l->path, (unsigned long long)number);
        int fd = open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0) die(hidden);
        char head[64]; /* files are told apart by how they begin */
        int head_len = snprintf(head, sizeof head, "load file %llu of %d\n",
                                (unsigned long long)number, (int)getpid());
        struct iovec part = {head, (size_t)head_len};
        send_all(fd, &part, 1);
        s->records++;
        s->bytes += (uint64_t)head_len;
        for (size_t len = 0; len < FILE_BYTES; len += l->text_len) {
            part = (struct iovec){(void *)(uintptr_t)l->text, l->text_len};
            send_all(fd, &part, 1);
            s->records += lines;
            s->bytes += l->text_len;
        }
        close(fd);
        if (rename(hidden, path)) die(path);
        ends[number % (FILES_AHEAD + 1)] = s->bytes;
        while (number - first + 1 >= FILES_AHEAD) {
            if (stored(l) - base + HELD_BYTES >= ends[first % (FILES_AHEAD + 1)]) {
                snprintf(path, sizeof path, "%s/load-%06llu.log", l->path,
                         (unsigned long long)first++);
                (void)unlink(path);
            } else {
                sleep_until(clock_ns(CLOCK_MONOTONIC) + 20000000);
            }
        }
    }
    while (stored(l) - base + HELD_BYTES < s->bytes)
        sleep_until(clock_ns(CLOCK_MONOTONIC) + 5000000);
    s->last_ns = clock_ns(CLOCK_MONOTONIC); /* each file's last record waits for what may follow */
    for (int i = 0; stored(l) - base < s->bytes; i++) {
        errno = 0;
        if (i > 500) die("not all of the files was stored");
        sleep_until(clock_ns(CLOCK_MONOTONIC) + 20000000);
    }
}

/* ---- the whole ---- */

static void read_log(load *l, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) die(path);
    uint8_t *text = get((size_t)info.st_size + 1);
    size_t len = 0;
    while (len < (size_t)info.st_size) {
        ssize_t n = read(fd, text + len, (size_t)info.st_size - len);
        if (n <= 0) die(path);
        len += (size_t)n;
    }
    close(fd);
    if (!len) die("the log is empty");
    if (text[len - 1] != '\n') text[len++] = '\n';
    l->text = text;
    l->text_len = len;
}

static void read_address(load *l, const char *text)
{
    char host[64];
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    if (!colon || (size_t)(colon - text) >= sizeof host) die("ADDRESS is not HOST:PORT");
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    l->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, host, &l->address.sin_addr) != 1) die("HOST is not an IPv4 address");
    if (!l->path) l->path = slash ? slash : "/";
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static sender senders[CONNECTIONS_MAX];
    load l = {.seconds = 10, .connections = 4, .batch = 2000};
    if (argc < 4) {
        errno = 0;
        die("FORM ADDRESS LOG are needed");
    }
    l.form = argv[1];
    for (int i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0) l.seconds = atof(argv[i + 1]);
        if (strcmp(argv[i], "--connections") == 0) l.connections = (uint32_t)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--batch") == 0) l.batch = (uint32_t)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--rate") == 0) l.rate = (uint64_t)atof(argv[i + 1]);
        if (strcmp(argv[i], "--metrics") == 0) l.metrics = argv[i + 1];
    }
    if (!l.connections || l.connections > CONNECTIONS_MAX || !l.batch) die("options");
    bool is_files = strcmp(l.form, "files") == 0;
    if (is_files) {
        if (!l.metrics) die("files need --metrics");
        l.path = argv[2];
    }
    read_address(&l, is_files ? l.metrics : argv[2]);
    read_log(&l, argv[3]);
    if (!is_files) make_requests(&l);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    l.begun_ns = clock_ns(CLOCK_MONOTONIC);
    l.end_ns = l.begun_ns + (int64_t)(l.seconds * 1e9);
    if (is_files) l.connections = 1;
    for (uint32_t i = 0; i < l.connections; i++) {
        sender *s = &senders[i];
        *s = (sender){.load = &l, .number = i};
        s->latencies = get(LATENCIES_MAX * sizeof *s->latencies);
        if (is_files) {
            write_files(&l, s);
        } else if (pthread_create(&s->thread, NULL,
                                  strcmp(l.form, "syslog") == 0 ? send_syslog : send_http, s)) {
            die("thread");
        }
    }
    sender all = {0};
    uint32_t *latencies = get((size_t)l.connections * LATENCIES_MAX * sizeof *latencies);
    for (uint32_t i = 0; i < l.connections; i++) {
        sender *s = &senders[i];
        if (!is_files) pthread_join(s->thread, NULL);
        all.records += s->records;
        all.requests += s->requests;
        all.refused += s->refused;
        all.bytes += s->bytes;
        if (s->last_ns > all.last_ns) all.last_ns = s->last_ns;
        memcpy(latencies + all.latency_count, s->latencies, s->latency_count * sizeof *latencies);
        all.latency_count += s->latency_count;
    }
    getrusage(RUSAGE_SELF, &after);
    double took = (double)(all.last_ns - l.begun_ns) / 1e9;
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
                 (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    qsort(latencies, all.latency_count, sizeof *latencies, compare);
    size_t last = all.latency_count ? all.latency_count - 1 : 0;
    printf("{\"records\": %llu, \"seconds\": %.3f, \"records_per_second\": %.0f, \"refused\": "
           "%llu, \"sent_mb\": %.1f, \"sender_cpu_seconds\": %.3f, \"ack_ms_p50\": %.2f, "
           "\"ack_ms_p99\": %.2f, \"ack_ms_max\": %.2f}\n",
           (unsigned long long)all.records, took, (double)all.records / took,
           (unsigned long long)all.refused, (double)all.bytes / 1e6, cpu,
           all.latency_count ? latencies[last / 2] / 1e3 : 0,
           all.latency_count ? latencies[last * 99 / 100] / 1e3 : 0,
           all.latency_count ? latencies[last] / 1e3 : 0);
    return 0;
}

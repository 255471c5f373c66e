/* Fills a daemon's store with logs that look like days of work: real logs are replayed again and
 * again, each time with fresh timestamps, in the lines too, and with other ids.
 *
 *   bench_store_fill FOLDER [--mb 10000] [--hours 24] [--hosts 6] [--tenant NAME] [--fast]
 * [--head-mb 24] [--end NANOSECONDS] LOG...
 *
 * Logs are read plain or as .zst (by the program zstd). Each is an app; its lines are spread evenly
 * over the hours before now, over some hosts. An indented line continues the record before. Of each
 * line the first timestamp is printed anew, numbers of five digits and more, hexadecimal ids and
 * the ends of IP addresses become others, the same ones for the same text within one replay. Then
 * all is sealed and, unless --fast is said, merged and repacked as the daemon does it when it has
 * time. Stop the daemon before; start it over the folder behind. Prints one line of JSON.
 *
 * With "-" for the folder nothing is stored: the same records are printed as JSON lines (_time,
 * _msg and labels), for another program that takes them. --end, as printed by a run before, makes
 * them the records of that run. */
#include "schema/schema_time.h"
#include "store/store.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { APPS_MAX = 64, SLICE_S = 10, RESERVE = 64 };

typedef struct token {
    uint32_t at;
    uint16_t len;
    char kind; /* 'd' digits, 'x' hex digits, 'i' the last two numbers of an IPv4 address */
} token;

typedef struct line {
    const uint8_t *text;
    uint32_t len, first_token, token_count;
    uint32_t time_at;
    uint16_t time_len, layout; /* len 0: no timestamp */
} line;

typedef struct app {
    char name[64];
    lm_buf text;
    line *lines;
    token *tokens;
    size_t line_count, line_cap, token_count, token_cap;
    uint64_t next; /* line that is sent next, over all replays */
} app;

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned waiting;
    lm_err err;
} waiter;

static _Noreturn void stop(const char *what)
{
    (void)fprintf(stderr, "bench_store_fill: %s: %s\n", what, lm_err_text());
    exit(1);
}

static void done(void *ctx, lm_err err)
{
    waiter *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->waiting--;
    if (err) w->err = err;
    pthread_cond_signal(&w->moved);
    pthread_mutex_unlock(&w->lock);
}

/* ---- reading ---- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void find_time(line *to)
{
    for (uint32_t at = 0; at < to->len && at < 90; at++) {
        lm_time time;
        if (!is_alnum(to->text[at]) || (at && is_alnum(to->text[at - 1]))) continue;
        if (!lm_time_parse(to->text + at, to->len - at, &time) || time.len < 15) continue;
        if (!lm_time_layout_has_date(time.layout)) continue;
        int64_t ns = lm_time_ns(time.layout, time.ticks, INT64_MAX);
        if (ns < INT64_C(1500000000000000000) || ns > INT64_C(2000000000000000000)) continue;
        to->time_at = at;
        to->time_len = time.len;
        to->layout = time.layout;
        return;
    }
}

static void add_token(lm_mem *mem, app *a, line *to, token found)
{
    if (lm_vec_grow(mem, &a->tokens, &a->token_cap, a->token_count + 1, sizeof *a->tokens))
        stop("memory");
    a->tokens[a->token_count++] = found;
    to->token_count++;
}

/** The length of an IPv4 address that begins here; 0: none. *out_last_two: where its third number
 * begins. */
static uint32_t address_len(const uint8_t *at, uint32_t left, uint32_t *out_last_two)
{
    uint32_t i = 0, dots = 0, digits = 0;
    for (; i < left && (is_digit(at[i]) || at[i] == '.'); i++) {
        if (at[i] == '.') {
            if (!digits) return 0;
            digits = 0;
            if (++dots == 2) *out_last_two = i + 1;
        } else if (++digits > 3) {
            return 0;
        }
    }
    return dots == 3 && digits ? i : 0;
}

static void find_tokens(lm_mem *mem, app *a, line *to)
{
    to->first_token = (uint32_t)a->token_count;
    for (uint32_t i = 0; i < to->len;) {
        if (to->time_len && i == to->time_at) i += to->time_len;
        if (i >= to->len) break;
        if (!is_alnum(to->text[i])) {
            i++;
            continue;
        }
        uint32_t last_two = 0, len = address_len(to->text + i, to->len - i, &last_two);
        if (len) {
            if (memcmp(to->text + i, "127.", 4) != 0)
                add_token(mem, a, to, (token){i + last_two, (uint16_t)(len - last_two), 'i'});
            i += len;
            continue;
        }
        uint32_t end = i, digits = 0, hex = 0;
        for (; end < to->len && is_alnum(to->text[end]) && end - i < 1000; end++) {
            digits += is_digit(to->text[end]);
            hex += is_digit(to->text[end]) || (to->text[end] >= 'a' && to->text[end] <= 'f');
        }
        if (digits == end - i && digits >= 5)
            add_token(mem, a, to, (token){i, (uint16_t)(end - i), 'd'});
        else if (hex == end - i && digits && hex >= 8)
            add_token(mem, a, to, (token){i, (uint16_t)(end - i), 'x'});
        i = end;
    }
}

static void read_all(lm_mem *mem, const char *path, lm_buf *out)
{
    char command[4200];
    size_t len = strlen(path);
    bool is_packed = len > 4 && strcmp(path + len - 4, ".zst") == 0;
    (void)snprintf(command, sizeof command, "zstd -dcq '%s'", path);
    FILE *from =
        is_packed ? popen(command, "r") : fopen(path, "r"); /* NOLINT: a bench's own argument */
    lm_buf_init(out, mem);
    if (!from) stop(path);
    for (;;) {
        if (lm_buf_reserve(out, (1 << 20) + RESERVE)) stop("memory");
        size_t got = fread(out->ptr + out->len, 1, 1 << 20, from);
        if (!got) break;
        out->len += got;
    }
    if (is_packed)
        (void)pclose(from);
    else
        (void)fclose(from);
}

static void app_read(lm_mem *mem, const char *path, app *a)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    (void)snprintf(a->name, sizeof a->name, "%.*s", (int)strcspn(name, "."), name);
    read_all(mem, path, &a->text);
    for (size_t at = 0; at < a->text.len;) {
        const uint8_t *begin = a->text.ptr + at, *all_end = a->text.ptr + a->text.len, *end = begin;
        do { /* with indented lines behind it */
            const uint8_t *newline = memchr(end, '\n', (size_t)(all_end - end));
            end = newline ? newline + 1 : all_end;
        } while (end < all_end && (*end == ' ' || *end == '\t') && end - begin < 8000);
        at = (size_t)(end - a->text.ptr);
        if (lm_vec_grow(mem, &a->lines, &a->line_cap, a->line_count + 1, sizeof *a->lines))
            stop("memory");
        line *to = &a->lines[a->line_count++];
        *to = (line){.text = begin, .len = (uint32_t)(end - begin) - (end[-1] == '\n')};
        find_time(to);
        find_tokens(mem, a, to);
    }
    if (!a->line_count) stop("a log is empty");
}

/* ---- sending ---- */

static void other_token(uint8_t *at, token t, uint64_t replay)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t bits = lm_hash64_seed(at, t.len, replay);
    if (t.kind == 'i') {
        for (uint32_t i = 0; i < t.len; i++) {
            if (!is_digit(at[i])) continue;
            bool is_first = i == 0 || at[i - 1] == '.';
            at[i] = (uint8_t)(is_first ? '1' + bits % 2 : '0' + bits % 6);
            bits = bits >> 3 | bits << 61;
        }
        return;
    }
    unsigned base = t.kind == 'd' ? 10 : 16;
    for (uint32_t i = 0; i < t.len; i++) {
        if (i % 12 == 11) bits = lm_hash64_seed(&bits, sizeof bits, replay);
        if (i == 0 && t.kind == 'd')
            at[i] = (uint8_t)('1' + bits % 9);
        else
            at[i] = (uint8_t)hex[bits % base];
        bits /= base;
    }
}

static lm_str line_make(const app *a, const line *from, uint64_t replay, int64_t time_ns,
                        lm_arena *arena)
{
    uint8_t *to = lm_arena_alloc(arena, from->len + LM_TIME_TEXT_MAX, 1);
    if (!to) stop("memory");
    memcpy(to, from->text, from->len);
    for (uint32_t i = 0; i < from->token_count; i++) {
        token t = a->tokens[from->first_token + i];
        other_token(to + t.at, t, replay);
    }
    if (!from->time_len) return (lm_str){to, from->len};
    uint8_t text[LM_TIME_TEXT_MAX];
    int64_t local = time_ns + lm_time_layout_zone_minutes(from->layout) * INT64_C(60000000000);
    size_t len = lm_time_print(from->layout, local / lm_time_layout_ns(from->layout), text);
    size_t behind = from->time_at + from->time_len;
    memmove(to + from->time_at + len, to + behind, from->len - behind);
    memcpy(to + from->time_at, text, len);
    return (lm_str){to, from->len - from->time_len + len};
}

static uint32_t stream_of(lm_record_batch *batch, const app *a, unsigned host)
{
    char name[24];
    uint32_t stream = 0;
    (void)snprintf(name, sizeof name, "web-%02u", host);
    const uint8_t *copy = lm_arena_copy(&batch->arena, name, strlen(name));
    lm_label items[] = {{LM_STR("app"), lm_str_of(a->name)},
                        {LM_STR("env"), host % 3 ? LM_STR("prod") : LM_STR("stage")},
                        {LM_STR("host"), {copy, strlen(name)}}};
    lm_labels labels;
    if (!copy || lm_labels_make(items, 3, &batch->arena, &labels) ||
        lm_record_batch_stream(batch, labels, &stream))
        stop("labels");
    return stream;
}

static void put(lm_store *store, const char *tenant, const lm_record_batch *batch, waiter *w)
{
    lm_sink sink = lm_store_sink(store);
    pthread_mutex_lock(&w->lock);
    w->waiting++;
    pthread_mutex_unlock(&w->lock);
    lm_err err;
    while ((err = sink.put(sink.self, lm_str_of(tenant), batch, NULL, 0, done, w)) == LM_E_LIMIT)
        usleep(2000);
    if (err) stop("put");
    pthread_mutex_lock(&w->lock);
    while (w->waiting)
        pthread_cond_wait(&w->moved, &w->lock);
    pthread_mutex_unlock(&w->lock);
    if (w->err) stop("put");
}

/** Of segments, how many wait to be repacked; bytes of all. */
static size_t waiting_segments(lm_mem *mem, lm_store *store, uint64_t *out_bytes, size_t *out_count)
{
    lm_arena arena;
    lm_store_segment *segments = NULL;
    size_t waiting = 0;
    lm_arena_init(&arena, mem);
    if (lm_store_segments(store, LM_STR(""), &arena, &segments, out_count)) stop("segments");
    *out_bytes = 0;
    for (size_t i = 0; i < *out_count; i++) {
        waiting += lm_str_equal(segments[i].level, LM_STR("fast"));
        *out_bytes += segments[i].bytes;
    }
    lm_arena_fini(&arena);
    return waiting;
}

static void print_text(const char *name, lm_str text)
{
    (void)printf(",\"%s\":\"", name);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20)
            (void)printf("\\u%04x", c);
        else
            (void)putchar_unlocked(c);
    }
    (void)putchar_unlocked('"');
}

static void print_batch(const lm_record_batch *batch)
{
    for (size_t i = 0; i < batch->record_count; i++) {
        const lm_record *record = &batch->records[i];
        lm_labels labels = batch->streams[record->stream].labels;
        (void)printf("{\"_time\":\"%lld\"", (long long)record->time_ns);
        for (uint32_t k = 0; k < labels.count; k++) {
            char name[32];
            (void)snprintf(name, sizeof name, "%.*s", (int)labels.items[k].name.len,
                           (const char *)labels.items[k].name.ptr);
            print_text(name, labels.items[k].value);
        }
        print_text("_msg", record->line);
        (void)fputs("}\n", stdout);
    }
    if (ferror(stdout)) stop("output");
}

static void note(void *ctx, int level, const char *event, const char *text)
{
    (void)ctx;
    if (level <= 4) (void)fprintf(stderr, "%s: %s\n", event, text);
}

int main(int argc, char **argv)
{
    static app apps[APPS_MAX];
    const char *folder = NULL, *tenant = "default";
    double mb = 10000, hours = 24, head_mb = 24;
    unsigned hosts = 6;
    size_t app_count = 0;
    bool is_fast = false, prints = false;
    int64_t end_ns = lm_clock_wall_ns();
    lm_mem *mem = NULL;
    if (lm_mem_new(NULL, 0, &mem)) stop("memory");
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--fast") == 0)
            is_fast = true;
        else if (strcmp(argv[i], "--mb") == 0 && has_value)
            mb = atof(argv[++i]);
        else if (strcmp(argv[i], "--hours") == 0 && has_value)
            hours = atof(argv[++i]);
        else if (strcmp(argv[i], "--hosts") == 0 && has_value)
            hosts = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--head-mb") == 0 && has_value)
            head_mb = atof(argv[++i]);
        else if (strcmp(argv[i], "--end") == 0 && has_value)
            end_ns = atoll(argv[++i]);
        else if (strcmp(argv[i], "--tenant") == 0 && has_value)
            tenant = argv[++i];
        else if (!folder)
            folder = argv[i];
        else if (app_count < APPS_MAX)
            app_read(mem, argv[i], &apps[app_count++]);
    }
    if (!app_count || !hosts) {
        (void)fprintf(stderr, "usage: bench_store_fill FOLDER [OPTION...] LOG...\n");
        return 2;
    }
    lm_store_options options = {.folder = folder,
                                .head_bytes = (uint64_t)(head_mb * 1048576),
                                .mill_cpu_percent = is_fast ? 0 : 100,
                                .note = note};
    lm_store *store = NULL;
    prints = strcmp(folder, "-") == 0;
    if (!prints && lm_store_open(mem, &options, &store)) stop("open");
    uint64_t once = 0, begun = lm_clock_ns(), records = 0, bytes = 0;
    for (size_t i = 0; i < app_count; i++) {
        for (size_t k = 0; k < apps[i].line_count; k++)
            once += apps[i].lines[k].len;
    }
    double replays = mb * 1e6 / (double)once;
    uint64_t slices = (uint64_t)(hours * 3600 / SLICE_S);
    int64_t slice_ns = SLICE_S * INT64_C(1000000000);
    int64_t begin_ns = end_ns - (int64_t)slices * slice_ns;
    waiter w = {.waiting = 0};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.moved, NULL);
    lm_record_batch batch;
    lm_record_batch_init(&batch, mem);
    for (uint64_t slice = 0; slice < slices; slice++) {
        for (size_t i = 0; i < app_count; i++) {
            app *a = &apps[i];
            double all = replays * (double)a->line_count;
            uint64_t until = (uint64_t)(all * (double)(slice + 1) / (double)slices);
            uint64_t n = until - a->next;
            for (uint64_t k = 0; a->next < until; a->next++, k++) {
                const line *from = &a->lines[a->next % a->line_count];
                uint64_t replay = a->next / a->line_count;
                int64_t time = begin_ns + (int64_t)slice * slice_ns +
                               (int64_t)((double)slice_ns * (double)k / (double)n);
                uint64_t group = a->next / 64;
                unsigned host = (unsigned)(lm_hash64(&group, sizeof group) % hosts);
                lm_str text = line_make(a, from, replay, time, &batch.arena);
                if (lm_record_batch_add(&batch, stream_of(&batch, a, host), time, text,
                                        (lm_labels){NULL, 0}))
                    stop("record");
                bytes += text.len;
            }
        }
        records += batch.record_count;
        if (prints)
            print_batch(&batch);
        else if (batch.record_count)
            put(store, tenant, &batch, &w);
        lm_record_batch_reset(&batch);
    }
    if (prints) return 0;
    if (lm_store_flush(store)) stop("flush");
    double filled = (double)(lm_clock_ns() - begun) / 1e9;
    uint64_t stored = 0;
    size_t count = 0, waiting;
    while ((waiting = waiting_segments(mem, store, &stored, &count)) > 7 && !is_fast)
        sleep(1); /* the last few wait for company */
    printf("{\"records\": %llu, \"raw_bytes\": %llu, \"bytes\": %llu, \"segments\": %zu,"
           " \"filled_s\": %.0f, \"repacked_s\": %.0f, \"begin\": %lld, \"end\": %lld}\n",
           (unsigned long long)records, (unsigned long long)bytes, (unsigned long long)stored,
           count, filled, (double)(lm_clock_ns() - begun) / 1e9 - filled, (long long)begin_ns,
           (long long)end_ns);
    lm_store_close(store);
    return 0;
}

/** What the tests of the archive share: texts that grow, files in a scratch folder, packing and
 * unpacking. */
#ifndef TESTS_ARCHIVE_TEST_H
#define TESTS_ARCHIVE_TEST_H

#include "archive/archive.h"

#include "lm_test.h"

/* ---- texts ---- */

typedef struct text {
    char *ptr;
    size_t len, cap;
} text;

static inline void text_put(text *t, const void *bytes, size_t len)
{
    if (t->len + len + 1 > t->cap) {
        t->cap = 2 * t->cap + len + 4096;
        t->ptr = realloc(t->ptr, t->cap);
        assert_non_null(t->ptr);
    }
    if (len) memcpy(t->ptr + t->len, bytes, len);
    t->len += len;
    t->ptr[t->len] = 0;
}

static inline void put(text *t, const char *fmt, ...) LM_PRINTF(2, 3);

static inline void put(text *t, const char *fmt, ...)
{
    char line[2048];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    assert_true(n >= 0 && n < (int)sizeof line);
    text_put(t, line, (size_t)n);
}

static inline void text_free(text *t)
{
    free(t->ptr);
    *t = (text){NULL, 0, 0};
}

static inline unsigned below(lm_test_rng *rng, unsigned bound)
{
    return (unsigned)lm_test_below(rng, bound);
}

/* ---- logs ---- */

enum { LOG_ACCESS, LOG_JSON, LOG_APP, LOG_SYSLOG, LOG_NAMES, LOG_KINDS };

/** One line of a log of this kind, at second s. */
static inline void put_log_line(text *t, lm_test_rng *rng, unsigned kind, unsigned s)
{
    static const char *const words[] = {"timeout", "connection", "refused",  "worker",
                                        "cache",   "Retry",      "shutdown", "user"};
    static const char *const levels[] = {"INFO", "WARN", "ERROR", "DEBUG"};
    const char *word = words[below(rng, 8)], *other = words[below(rng, 8)];
    switch (kind) {
    case LOG_ACCESS:
        put(t,
            "10.%u.%u.7 - - [23/Nov/2026:13:%02u:%02u +0000] \"GET /%s/%u HTTP/1.1\" %u %u \"-\" "
            "\"Mozilla/5.0 (X11; rv:%u.0)\"\n",
            below(rng, 3), below(rng, 256), s / 60 % 60, s % 60, word, below(rng, 40),
            below(rng, 9) ? 200u : 404u, below(rng, 100000), below(rng, 5));
        return;
    case LOG_JSON:
        put(t,
            "{\"ts\":\"2026-11-23T13:%02u:%02u.%03uZ\",\"level\":\"%s\",\"msg\":\"%s "
            "%s\",\"took\":%u.%u,\"id\":\"%08x-1111-4222-8333-%012x\"}\n",
            s / 60 % 60, s % 60, below(rng, 1000), below(rng, 4) ? "info" : "error", word, other,
            below(rng, 30), below(rng, 10), (unsigned)lm_test_random(rng),
            (unsigned)lm_test_random(rng));
        return;
    case LOG_APP:
        put(t,
            "2026-11-23 13:%02u:%02u,%03u %s [worker-%u] org.acme.%s: %s %s after %u ms, block "
            "0x%08x\n",
            s / 60 % 60, s % 60, below(rng, 1000), levels[below(rng, 4)], below(rng, 12), word,
            word, other, below(rng, 5000), (unsigned)lm_test_random(rng));
        if (below(rng, 30)) return;
        put(t, "java.lang.IllegalStateException: %s\n", other);
        for (unsigned i = 0; i < 4; i++)
            put(t, "\tat org.acme.Thing$%u.run(Thing.java:%u)\n", i, below(rng, 300));
        return;
    case LOG_NAMES: /* words without digits, ever new ones */
        put(t, "2026-11-23 13:%02u:%02u user ", s / 60 % 60, s % 60);
        for (unsigned i = 3 + below(rng, 4); i > 0; i--)
            put(t, "%c", 'a' + (int)below(rng, 26));
        put(t, below(rng, 2) ? " removed %s-%c%c:amd%u.\n" : " added %s-%c%c:all%u.\n", word,
            'a' + (int)below(rng, 26), 'a' + (int)below(rng, 26), below(rng, 3));
        return;
    default:
        put(t, "Nov %2u 13:%02u:%02u web-1 app[%u]: %s %s from 192.0.2.%u port %u\n",
            1 + s / 600 % 28, s / 60 % 60, s % 60, below(rng, 99999), word, other, below(rng, 256),
            below(rng, 65536));
        return;
    }
}

/** kind LOG_KINDS: all of them in one file. */
static inline void put_log(text *t, lm_test_rng *rng, unsigned kind, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        put_log_line(t, rng, kind == LOG_KINDS ? below(rng, LOG_KINDS) : kind, i);
}

/* ---- files ---- */

static inline void file_write(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (len) assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline text file_read(const char *path)
{
    text t = {NULL, 0, 0};
    char chunk[65536];
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        text_put(&t, chunk, n);
    text_put(&t, "", 0);
    fclose(file);
    return t;
}

/** What unpacking gives, by file. */
typedef struct unpacked {
    text *files;
    size_t count;
    char bad[2048]; /* the first trouble told */
    unsigned bad_count;
} unpacked;

static inline lm_err unpacked_take(void *ctx, size_t file_index, lm_str bytes)
{
    unpacked *u = ctx;
    assert_true(file_index < u->count);
    text_put(&u->files[file_index], bytes.ptr, bytes.len);
    return LM_OK;
}

static inline void unpacked_bad(void *ctx, const char *what)
{
    unpacked *u = ctx;
    if (!u->bad_count++) snprintf(u->bad, sizeof u->bad, "%s", what);
}

static inline lm_err unpack_all(const lm_archive *archive, unpacked *out)
{
    *out = (unpacked){.count = lm_archive_file_count(archive)};
    out->files = calloc(out->count + 1, sizeof *out->files);
    assert_non_null(out->files);
    return lm_archive_unpack(archive, NULL, SIZE_MAX, unpacked_take, out, unpacked_bad, out);
}

static inline void unpacked_free(unpacked *u)
{
    for (size_t i = 0; i < u->count; i++)
        text_free(&u->files[i]);
    free(u->files);
}

static inline void tell_pack_trouble(void *ctx, const char *path, const char *what)
{
    (void)ctx;
    printf("# %s: %s\n", path, what);
}

#endif

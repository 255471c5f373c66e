/* Random queries over archives give exactly the lines that lm_query_match picks from the raw text.
 *
 * Logs are generated (and taken from the corpus beside the source, if it is there), packed in
 * several ways, and asked thousands of queries made from their own lines: substrings that begin and
 * end anywhere, patterns, fields, combinations. */
#include "search/search.h"

#include "lm_test.h"

#define LINE_MAX_LOCAL 4096

/* ---- generated logs -------------------------------------------------------------------------- */

typedef struct text {
    char *ptr;
    size_t len, cap;
} text;

static void put(text *t, const char *fmt, ...) LM_PRINTF(2, 3);

static void put(text *t, const char *fmt, ...)
{
    va_list args;
    if (t->cap - t->len < LINE_MAX_LOCAL) {
        t->cap = t->cap ? t->cap * 2 : 1 << 20;
        t->ptr = realloc(t->ptr, t->cap);
        assert_non_null(t->ptr);
    }
    va_start(args, fmt);
    int n = vsnprintf(t->ptr + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    assert_true(n >= 0 && n < LINE_MAX_LOCAL);
    t->len += (size_t)n;
}

static const char *pick(lm_test_rng *rng, const char *const *list, size_t count)
{
    return list[lm_test_below(rng, count)];
}

#define PICK(rng, list) pick(rng, list, sizeof(list) / sizeof((list)[0]))

static const char *const words[] = {"timeout", "connection", "refused", "worker", "shutdown",
                                    "retry",   "Query",      "user",    "cache",  "miss"};
static const char *const levels[] = {"INFO", "WARN", "ERROR", "DEBUG"};
static const char *const paths[] = {
    "/", "/index.html", "/api/v2/items", "/static/js/app.js", "/a b", "/login?user=x&y=1"};

static void put_access(text *t, lm_test_rng *rng, unsigned s)
{
    put(t,
        "10.%u.%u.%u - - [23/Nov/2026:13:%02u:%02u +0000] \"%s %s HTTP/1.1\" %u %u \"-\" "
        "\"Mozilla/5.0 (X11; rv:%u.0)\"\n",
        (unsigned)lm_test_below(rng, 3), (unsigned)lm_test_below(rng, 256),
        (unsigned)lm_test_below(rng, 4), s / 60 % 60, s % 60,
        lm_test_below(rng, 5) ? "GET" : "POST", PICK(rng, paths),
        (unsigned)(lm_test_below(rng, 9) ? 200 : 404), (unsigned)lm_test_below(rng, 100000),
        (unsigned)lm_test_below(rng, 130));
}

static void put_json(text *t, lm_test_rng *rng, unsigned s)
{
    put(t,
        "{\"level\":\"%s\",\"ts\":\"2026-11-23T13:%02u:%02u.%03uZ\",\"msg\":\"%s "
        "%s\",\"request\":{\"uri\":\"%s\",\"method\":\"GET\"},"
        "\"status\":%u,\"duration\":%u.%06u,\"id\":\"%08x%08x\"}\n",
        lm_test_below(rng, 4) ? "info" : "error", s / 60 % 60, s % 60,
        (unsigned)lm_test_below(rng, 1000), PICK(rng, words),
        lm_test_below(rng, 3) ? PICK(rng, words) : "say \\\"no\\\"", PICK(rng, paths),
        (unsigned)(200 + 100 * lm_test_below(rng, 4)), (unsigned)lm_test_below(rng, 3),
        (unsigned)lm_test_below(rng, 1000000), (unsigned)lm_test_random(rng),
        (unsigned)lm_test_random(rng));
}

static void put_app(text *t, lm_test_rng *rng, unsigned s)
{
    put(t, "2026-11-23 13:%02u:%02u,%03u %s [worker-%u] com.example.%s: %s %s after %u ms, id=%u\n",
        s / 60 % 60, s % 60, (unsigned)lm_test_below(rng, 1000), PICK(rng, levels),
        (unsigned)lm_test_below(rng, 12), PICK(rng, words), PICK(rng, words), PICK(rng, words),
        (unsigned)lm_test_below(rng, 5000), (unsigned)lm_test_below(rng, 20));
    if (lm_test_below(rng, 40)) return;
    put(t, "java.lang.IllegalStateException: %s\n", PICK(rng, words));
    for (unsigned i = 0; i < 5; i++)
        put(t, "\tat com.example.Foo$%u.run(Foo.java:%u)\n", i, (unsigned)lm_test_below(rng, 300));
}

static void put_kv(text *t, lm_test_rng *rng, unsigned s)
{
    put(t,
        "ts=2026-11-23T13:%02u:%02uZ level=%s caller=main.go:%u msg=\"%s %s\" duration=%u.%ums "
        "size=%uKB addr=192.168.%u.%u:80 n=%d\n",
        s / 60 % 60, s % 60, lm_test_below(rng, 3) ? "info" : "warn",
        (unsigned)lm_test_below(rng, 90), PICK(rng, words), PICK(rng, words),
        (unsigned)lm_test_below(rng, 50), (unsigned)lm_test_below(rng, 10),
        (unsigned)lm_test_below(rng, 3000), (unsigned)lm_test_below(rng, 3),
        (unsigned)lm_test_below(rng, 256), (int)lm_test_below(rng, 2000) - 1000);
}

static void put_names(text *t, lm_test_rng *rng, unsigned s)
{
    char name[8];
    for (unsigned i = 0; i < 6; i++)
        name[i] = (char)('a' + lm_test_below(rng, 26));
    name[3 + lm_test_below(rng, 4)] = 0;
    put(t, "2026-11-23 13:%02u:%02u %s: %s %s-%s%u:amd64 for user%s\n", s / 60 % 60, s % 60,
        PICK(rng, levels), lm_test_below(rng, 2) ? "unpacking" : "removed", PICK(rng, words), name,
        (unsigned)lm_test_below(rng, 3), name + 2);
}

/* One place with values of many kinds. */
static void put_kinds(text *t, lm_test_rng *rng, unsigned s)
{
    unsigned a = (unsigned)lm_test_below(rng, 256), b = (unsigned)lm_test_below(rng, 1000);
    put(t, "job of %s: last=", PICK(rng, words));
    switch (lm_test_below(rng, 9)) {
    case 0:
        put(t, "%u", (unsigned)lm_test_below(rng, 3) * 7);
        break;
    case 1:
        put(t, "-%u", b);
        break;
    case 2:
        put(t, "%u.%03u", a % 3, b);
        break;
    case 3:
        put(t, "%03u", b);
        break;
    case 4:
        put(t, "2026-11-23 13:%02u:%02u", s / 60 % 60, s % 60);
        break;
    case 5:
        put(t, "%08x", (unsigned)lm_test_random(rng));
        break;
    case 6:
        put(t, "10.%u.0.%u", a % 4, a);
        break;
    case 7:
        put(t, "%04x%04x-%04x-4%03x-8%03x-%04x%04x0000", b, a, a, b, b, a, b);
        break;
    default:
        put(t, "%s", PICK(rng, words));
        break;
    }
    put(t, " of %u\n", a);
}

/* A first line without a level, a second that mostly opens with one. */
static void put_two_lines(text *t, lm_test_rng *rng, unsigned s)
{
    static const char *const opens[] = {"INFO: ", "SEVERE: ", "[warn] ", "ERROR ", "config: ", ""};
    put(t, "Nov 23, 2026 1:%02u:%02u PM com.example.%s run\n", s / 60 % 60, s % 60,
        PICK(rng, words));
    if (lm_test_below(rng, 10) == 0) return;
    put(t, "%s%s %s %u\n", PICK(rng, opens), PICK(rng, words), PICK(rng, words),
        (unsigned)lm_test_below(rng, 500));
    if (lm_test_below(rng, 9) == 0)
        put(t, "\tat com.example.Foo.run(Foo.java:%u)\n", (unsigned)lm_test_below(rng, 300));
}

/* Before a colon, a level or another word, with an equal text behind. */
static void put_labels(text *t, lm_test_rng *rng, unsigned s)
{
    static const char *const labels[] = {"cache", "user",  "retry",   "worker", "miss",
                                         "query", "error", "warning", "queue"};
    put(t, "[2026-11-23 13:%02u:%02u] %s: failed to open /%s/%u\n", s / 60 % 60, s % 60,
        PICK(rng, labels), PICK(rng, words), (unsigned)lm_test_below(rng, 300));
}

/* A decimal that is a time is a header's begin; others are not. */
static void put_epochs(text *t, lm_test_rng *rng, unsigned s)
{
    put(t, "%u.%03u %6u 10.0.%u.7 %s GET /%s/%u\n", 1795442400 + s,
        (unsigned)lm_test_below(rng, 1000), (unsigned)lm_test_below(rng, 5000),
        (unsigned)lm_test_below(rng, 4), lm_test_below(rng, 3) ? "HIT" : "MISS", PICK(rng, words),
        (unsigned)lm_test_below(rng, 300));
}

static void put_odd(text *t, lm_test_rng *rng)
{
    switch (lm_test_below(rng, 9)) {
    case 0:
        put(t, "\n");
        break;
    case 1:
        put(t, "18446744073709551615 -9223372036854775808 007 0x1F 1.50 -0\r\n");
        break;
    case 2:
        put(t, "\x1b[31mred\x1b[0m caf\xe9 \xff\xfe\n");
        break;
    case 3:
        put(t, "%08x-%04x-4%03x-8%03x-%012llx\n", (unsigned)lm_test_random(rng),
            (unsigned)lm_test_below(rng, 65536), (unsigned)lm_test_below(rng, 4096),
            (unsigned)lm_test_below(rng, 4096),
            (unsigned long long)(lm_test_random(rng) & 0xffffffffffff));
        break;
    case 4:
        put(t, "a%cb\n", 1);
        break;
    case 5:
        put(t, "%.*s\n", (int)lm_test_below(rng, 200),
            "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy"
            "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy"
            "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxy");
        break;
    case 6:
        put(t, "%llu%llu\n", (unsigned long long)lm_test_random(rng),
            (unsigned long long)lm_test_random(rng));
        break;
    case 7:
        put(t, "1.1.1.1.1.1.1.1.%u\n", (unsigned)lm_test_below(rng, 4));
        break;
    default:
        put(t, "Nov 23 13:0%u:01 host app[%u]: %s\n", (unsigned)lm_test_below(rng, 10),
            (unsigned)lm_test_below(rng, 99999), PICK(rng, words));
        break;
    }
}

/* kind 0..4: one format; 5: all mixed; 6: values of many kinds; 7: records of two lines; 8: labels.
 */
static text log_make(lm_test_rng *rng, unsigned kind, unsigned lines)
{
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < lines; i++) {
        unsigned one = kind == 5 ? (unsigned)lm_test_below(rng, 10) : kind;
        if (one == 5 || lm_test_below(rng, 200) == 0)
            put_odd(&t, rng);
        else if (one == 0)
            put_access(&t, rng, i);
        else if (one == 1)
            put_json(&t, rng, i);
        else if (one == 2)
            put_app(&t, rng, i);
        else if (one == 3)
            put_names(&t, rng, i);
        else if (one == 6)
            put_kinds(&t, rng, i);
        else if (one == 7)
            put_two_lines(&t, rng, i);
        else if (one == 8)
            put_labels(&t, rng, i);
        else if (one == 9)
            put_epochs(&t, rng, i);
        else
            put_kv(&t, rng, i);
    }
    return t;
}

/* ---- the archive under test ------------------------------------------------------------------ */

typedef struct subject {
    lm_mem *mem;
    lm_pool *pool;
    char folder[256];
    lm_archive *archive;
    text raw;
    lm_str *lines; /* without '\n' */
    size_t line_count;
    const lm_schema **schemas; /* by line */
    uint32_t *heads;           /* by line: first line of its record */
    size_t *segments;          /* by line */
    int64_t *times;
} subject;

static lm_str line_of(const subject *s, size_t i)
{
    return s->lines[i];
}

static void lines_cut(subject *s)
{
    size_t cap = 0;
    for (size_t at = 0; at < s->raw.len;) {
        const char *end = memchr(s->raw.ptr + at, '\n', s->raw.len - at);
        size_t len = end ? (size_t)(end - (s->raw.ptr + at)) : s->raw.len - at;
        if (s->line_count == cap) {
            cap = cap ? 2 * cap : 1024;
            s->lines = realloc(s->lines, cap * sizeof *s->lines);
            assert_non_null(s->lines);
        }
        s->lines[s->line_count++] = (lm_str){(const uint8_t *)s->raw.ptr + at, len};
        at += len + 1;
    }
}

/* Which lines are one record, and when: the archive says; the text of every line must be the raw
 * one. */
static void segments_read(subject *s)
{
    size_t at = 0;
    s->schemas = calloc(s->line_count, sizeof *s->schemas);
    s->heads = calloc(s->line_count, sizeof *s->heads);
    s->segments = calloc(s->line_count, sizeof *s->segments);
    s->times = calloc(s->line_count, sizeof *s->times);
    for (size_t i = 0; i < lm_archive_segment_count(s->archive); i++) {
        lm_segment *segment = NULL;
        const uint64_t *continues = NULL;
        const int64_t *times = NULL;
        assert_int_equal(lm_segment_open(s->archive, i, &segment), LM_OK);
        assert_int_equal(lm_segment_continuations(segment, &continues), LM_OK);
        assert_int_equal(lm_segment_times(segment, &times), LM_OK);
        for (uint32_t row = 0; row < lm_segment_row_count(segment); row++, at++) {
            bool goes_on = row > 0 && continues && (continues[row / 64] >> row % 64 & 1);
            assert_true(at < s->line_count);
            s->heads[at] = goes_on ? s->heads[at - 1] : (uint32_t)at;
            s->segments[at] = i;
            s->times[at] = times ? times[row] : INT64_MIN;
            s->schemas[at] =
                lm_archive_stream_schema(s->archive, lm_archive_segment_at(s->archive, i)->stream);
        }
        lm_segment_close(segment);
    }
    assert_int_equal(at, s->line_count);
}

static void subject_make(subject *s, text raw, lm_level level, size_t segment_bytes)
{
    char log[300], archive[300];
    memset(s, 0, sizeof *s);
    s->raw = raw;
    assert_int_equal(lm_mem_new(NULL, 0, &s->mem), LM_OK);
    assert_int_equal(lm_pool_new(s->mem, 3, &s->pool), LM_OK);
    lm_test_folder_make(s->folder);
    snprintf(log, sizeof log, "%s/a.log", s->folder);
    snprintf(archive, sizeof archive, "%s/a.lm", s->folder);
    FILE *file = fopen(log, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(raw.ptr, 1, raw.len, file), raw.len);
    fclose(file);
    lm_pack_options options = {.level = level, .segment_bytes = segment_bytes};
    lm_pack_report report;
    const char *path = log;
    if (lm_archive_pack(s->mem, NULL, &path, 1, &options, archive, NULL, NULL, &report))
        fail_msg("pack: %s", lm_err_text());
    if (lm_archive_open(s->mem, archive, false, &s->archive)) fail_msg("open: %s", lm_err_text());
    lines_cut(s);
    segments_read(s);
}

static void subject_free(subject *s)
{
    lm_archive_close(s->archive);
    lm_pool_free(s->pool);
    lm_test_folder_remove(s->folder);
    free(s->raw.ptr);
    free(s->lines);
    free(s->schemas);
    free(s->heads);
    free(s->segments);
    free(s->times);
    lm_mem_free(s->mem);
}

/* ---- random queries -------------------------------------------------------------------------- */

static lm_str random_line(const subject *s, lm_test_rng *rng)
{
    return line_of(s, lm_test_below(rng, s->line_count));
}

static lm_str random_part(lm_str line, lm_test_rng *rng, size_t max)
{
    if (line.len == 0) return line;
    size_t begin = lm_test_below(rng, line.len), left = line.len - begin;
    size_t len = 1 + lm_test_below(rng, left < max ? left : max);
    return (lm_str){line.ptr + begin, len};
}

/* As the inside of "...". */
static void put_escaped(text *q, lm_str part, bool pattern)
{
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.ptr[i];
        bool special = pattern && strchr("\\.^$|?*+()[]{}", c) != NULL;
        if (special) put(q, "\\\\");
        if (c == '"' || c == '\\' || c < 32 || c >= 127)
            put(q, "\\x%02x", c);
        else
            put(q, "%c", c);
    }
}

static void put_pattern(text *q, const subject *s, lm_test_rng *rng)
{
    lm_str line = random_line(s, rng), a = random_part(line, rng, 8),
           b = random_part(random_line(s, rng), rng, 8);
    switch (lm_test_below(rng, 9)) {
    case 0:
        put_escaped(q, a, true), put(q, ".*"), put_escaped(q, random_part(line, rng, 8), true);
        break;
    case 1:
        put(q, "(?i)"), put_escaped(q, a, true);
        break;
    case 2:
        put_escaped(q, a, true), put(q, "|"), put_escaped(q, b, true);
        break;
    case 3:
        put(q, "(?:"), put_escaped(q, a, true), put(q, "|"), put_escaped(q, b, true), put(q, ").?"),
            put_escaped(q, random_part(line, rng, 2), true);
        break;
    case 4:
        put(q, "\\\\d+"), put_escaped(q, a, true);
        break;
    case 5:
        put(q, "^"), put_escaped(q, (lm_str){line.ptr, line.len < 12 ? line.len : 12}, true);
        break;
    case 6:
        put_escaped(q, a, true), put(q, "[0-9a-f]{2,5}");
        break;
    case 7:
        put(q, "("), put_escaped(q, a, true), put(q, ")?"), put_escaped(q, b, true), put(q, "$");
        break;
    default:
        put_escaped(q, a, true);
        break;
    }
}

static void put_line_filter(text *q, const subject *s, lm_test_rng *rng)
{
    size_t max = lm_test_below(rng, 4) ? 12 : 120;
    switch (lm_test_below(rng, 10)) {
    case 0:
        put(q, "!= \""), put_escaped(q, random_part(random_line(s, rng), rng, max), false),
            put(q, "\"");
        break;
    case 1:
    case 2:
        put(q, "|~ \""), put_pattern(q, s, rng), put(q, "\"");
        break;
    case 3:
        put(q, "!~ \""), put_pattern(q, s, rng), put(q, "\"");
        break;
    case 4:
        put(q, "|= \""), put_escaped(q, random_part(random_line(s, rng), rng, max), false),
            put(q, "\" or \"");
        put_escaped(q, random_part(random_line(s, rng), rng, max), false), put(q, "\"");
        break;
    case 5: {
        lm_str part = random_part(random_line(s, rng), rng, 30);
        put(q, "|* \""), put_escaped(q, (lm_str){part.ptr, part.len / 3}, false), put(q, "*");
        put_escaped(q, (lm_str){part.ptr + part.len / 2, part.len - part.len / 2}, false),
            put(q, "\"");
        break;
    }
    case 6:
        put(q, "|= ip(\"10.%u.0.0/1%u\")", (unsigned)lm_test_below(rng, 3),
            (unsigned)lm_test_below(rng, 10));
        break;
    default:
        put(q, "|= \""), put_escaped(q, random_part(random_line(s, rng), rng, max), false),
            put(q, "\"");
        break;
    }
}

static bool is_name(lm_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
              (i && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

static void put_field_filter(text *q, const subject *s, lm_test_rng *rng)
{
    static const char *const made[] = {"level>=warn",
                                       "status=404",
                                       "status>=400",
                                       "duration>10ms",
                                       "duration<=1.5",
                                       "size>1MB",
                                       "size<700KB",
                                       "level=error",
                                       "level>=warn",
                                       "lvl=\"SEVERE\"",
                                       "severity=~\".*(ERR|info).*\"",
                                       "level!=\"info\"",
                                       "nothing=\"\"",
                                       "nothing>1",
                                       "request_uri=~\"/api.*\"",
                                       "addr=ip(\"192.168.1.0/24\")",
                                       "ts>2026-11-23T13:10:00",
                                       "level<=info",
                                       "msg=~\".*miss\"",
                                       "n<0",
                                       "n>=-5"};
    static const char *const signs[] = {"=", "!=", "=~", "!~"};
    size_t at = lm_test_below(rng, s->line_count);
    lm_arena arena;
    lm_arena_init(&arena, s->mem);
    lm_fields fields = {.format = -1, .timestamp = -1, .level = -1, .message = -1, .arena = &arena};
    assert_int_equal(lm_schema_parse(s->schemas[at], line_of(s, at), &fields), LM_OK);
    const lm_field *field = fields.count ? &fields.items[lm_test_below(rng, fields.count)] : NULL;
    if (!field || !is_name(field->name) || lm_test_below(rng, 3) == 0) {
        put(q, "%s", PICK(rng, made));
    } else {
        size_t sign = lm_test_below(rng, 4);
        put(q, "%.*s%s\"", (int)field->name.len, (const char *)field->name.ptr, signs[sign]);
        lm_str value = field->value;
        if (value.len > 200) value.len = 200;
        if (sign >= 2 && value.len > 2) {
            put_escaped(q, (lm_str){value.ptr, value.len / 2}, true), put(q, ".*\"");
        } else {
            put_escaped(q, value, sign >= 2), put(q, "\"");
        }
    }
    lm_arena_fini(&arena);
}

static void put_query(text *q, const subject *s, lm_test_rng *rng, unsigned depth)
{
    unsigned kind = (unsigned)lm_test_below(rng, depth ? 10 : 6);
    if (kind < 5)
        put_line_filter(q, s, rng);
    else if (kind == 5)
        put_field_filter(q, s, rng);
    else if (kind == 6)
        put(q, "not ("), put_query(q, s, rng, depth - 1), put(q, ")");
    else {
        put(q, "("), put_query(q, s, rng, depth - 1);
        put(q, kind == 7 ? ") or (" : ") and ("), put_query(q, s, rng, depth - 1), put(q, ")");
    }
}

/* ---- asking and comparing -------------------------------------------------------------------- */

typedef struct told {
    const subject *s;
    uint32_t *lines; /* numbers of lines told */
    size_t count;
    size_t *first_line; /* of each segment */
} told;

static bool tell(void *ctx, const lm_match *match)
{
    told *t = ctx;
    size_t line = t->first_line[match->segment] + match->row;
    assert_true(line < t->s->line_count && t->count < t->s->line_count);
    if (!lm_str_equal(match->text, line_of(t->s, line))) {
        fail_msg("line %zu told as '%.*s', is '%.*s'", line, (int)match->text.len,
                 (const char *)match->text.ptr, (int)line_of(t->s, line).len,
                 (const char *)line_of(t->s, line).ptr);
    }
    t->lines[t->count++] = (uint32_t)line;
    return true;
}

static void tell_bad(void *ctx, const char *words_of_trouble)
{
    (void)ctx;
    fail_msg("damage told: %s", words_of_trouble);
}

/* The oracle: which lines fit, by lm_query_match. */
static size_t expect(const subject *s, const lm_query *query, const lm_search_options *options,
                     uint8_t *fits)
{
    size_t count = 0;
    lm_arena arena;
    lm_fields fields;
    uint32_t parsed = UINT32_MAX;
    lm_arena_init(&arena, s->mem);
    for (size_t i = 0; i < s->line_count; i++) {
        bool one;
        if (lm_query_needs_fields(query) && parsed != s->heads[i]) {
            parsed = s->heads[i];
            lm_arena_reset(&arena);
            fields = (lm_fields){
                .format = -1, .timestamp = -1, .level = -1, .message = -1, .arena = &arena};
            assert_int_equal(lm_schema_parse(s->schemas[i], line_of(s, parsed), &fields), LM_OK);
            if (parsed + 1 < s->line_count && s->heads[parsed + 1] == parsed)
                assert_int_equal(
                    lm_schema_level_below(s->schemas[i], line_of(s, parsed + 1), &fields), LM_OK);
        }
        if (lm_query_match(query, line_of(s, i), &fields, &one))
            fail_msg("match: %s", lm_err_text());
        if (options->time_min != INT64_MIN || options->time_max != INT64_MAX) {
            one = one && s->times[i] != INT64_MIN && s->times[i] >= options->time_min &&
                  s->times[i] < options->time_max;
        }
        fits[i] = one;
    }
    for (size_t i = 0; i < s->line_count && options->whole_records; i++) {
        if (!fits[i]) continue;
        for (size_t k = s->heads[i]; k < s->line_count && s->heads[k] == s->heads[i]; k++)
            fits[k] = 1;
    }
    for (size_t i = 0; i < s->line_count; i++)
        count += fits[i];
    lm_arena_fini(&arena);
    return count;
}

static void options_random(const subject *s, lm_test_rng *rng, lm_search_options *options)
{
    *options = (lm_search_options){.time_min = INT64_MIN, .time_max = INT64_MAX, .template_id = -1};
    if (lm_test_below(rng, 6) == 0) {
        int64_t from = s->times[lm_test_below(rng, s->line_count)];
        if (from != INT64_MIN) options->time_min = from;
        int64_t to = s->times[lm_test_below(rng, s->line_count)];
        if (to != INT64_MIN && to > options->time_min) options->time_max = to;
    }
    options->whole_records = lm_test_below(rng, 8) == 0;
    options->backwards = lm_test_below(rng, 6) == 0;
    if (lm_test_below(rng, 6) == 0) options->limit = 1 + lm_test_below(rng, 20);
}

static void compare(const subject *s, const char *text_of_query, const lm_search_options *options,
                    const told *got, const uint8_t *fits, size_t expected)
{
    size_t want = options->limit && options->limit < expected ? options->limit : expected, n = 0;
    for (size_t k = 0; k < s->line_count && n < want; k++) {
        size_t line = options->backwards ? s->line_count - 1 - k : k;
        if (!fits[line]) continue;
        if (n >= got->count || got->lines[n] != line) {
            fail_msg("query: %s\n  match %zu should be line %zu: '%.*s'\n  found: %.*s",
                     text_of_query, n, line, (int)line_of(s, line).len,
                     (const char *)line_of(s, line).ptr,
                     n < got->count ? (int)line_of(s, got->lines[n]).len : 7,
                     n < got->count ? (const char *)line_of(s, got->lines[n]).ptr : "nothing");
        }
        n++;
    }
    if (got->count != n) {
        fail_msg("query: %s\n  line %u is no match: '%.*s'", text_of_query, got->lines[n],
                 (int)line_of(s, got->lines[n]).len, (const char *)line_of(s, got->lines[n]).ptr);
    }
}

/* Runs of lines: each line must be the next one that fits. */
typedef struct run_told {
    const subject *s;
    const uint8_t *fits;
    size_t next, count;
    bool is_wrong;
} run_told;

static bool tell_run(void *ctx, lm_str lines, uint64_t count)
{
    run_told *t = ctx;
    for (size_t at = 0; at < lines.len; count--) {
        while (t->next < t->s->line_count && !t->fits[t->next])
            t->next++;
        lm_str line = t->next < t->s->line_count ? line_of(t->s, t->next) : (lm_str){NULL, 0};
        if (t->next >= t->s->line_count || line.len >= lines.len - at || count == 0 ||
            (line.len && memcmp(lines.ptr + at, line.ptr, line.len) != 0) ||
            lines.ptr[at + line.len] != '\n') {
            t->is_wrong = true;
            return false;
        }
        at += line.len + 1;
        t->next++;
        t->count++;
    }
    t->is_wrong = t->is_wrong || count != 0;
    return true;
}

static void runs_check(const subject *s, lm_pool *pool, const lm_query *query,
                       const char *query_text, lm_search_options options, const uint8_t *fits,
                       size_t expected)
{
    run_told runs = {.s = s, .fits = fits};
    lm_search_report report;
    lm_arena arena;
    lm_arena_init(&arena, s->mem);
    options.backwards = false;
    options.lines = tell_run;
    if (lm_search(s->archive, pool, query, &options, NULL, &runs, tell_bad, NULL, &arena, &report))
        fail_msg("query: %s\n  %s", query_text, lm_err_text());
    size_t want = options.limit && options.limit < expected ? options.limit : expected;
    if (runs.is_wrong || runs.count != want || report.matches != want)
        fail_msg("query: %s\n  %zu lines fit; in runs %zu were told, line %zu is next", query_text,
                 want, runs.count, runs.next);
    lm_arena_fini(&arena);
}

/* Rows of segments as bits, and the lines of those that have few. */
typedef struct rows_told {
    const told *got;
    const uint8_t *fits;
    size_t count, few_count; /* few: of the segment under way */
    bool is_wrong;
} rows_told;

enum { FEW_MAX = 5 };

static void tell_few(void *ctx, size_t segment, uint32_t row, lm_str line)
{
    rows_told *t = ctx;
    size_t at = t->got->first_line[segment] + row;
    t->is_wrong = t->is_wrong || at >= t->got->s->line_count || !t->fits[at] ||
                  !lm_str_equal(line, line_of(t->got->s, at));
    t->few_count++;
}

static bool tell_rows(void *ctx, size_t segment, const uint64_t *bits, uint32_t row_count)
{
    rows_told *t = ctx;
    size_t count = 0;
    for (uint32_t row = 0; row < row_count; row++) {
        bool has = bits[row / 64] >> row % 64 & 1;
        t->is_wrong = t->is_wrong || has != t->fits[t->got->first_line[segment] + row];
        count += has;
    }
    t->is_wrong = t->is_wrong || t->few_count != (count <= FEW_MAX ? count : 0);
    t->few_count = 0;
    t->count += count;
    return true;
}

static void rows_check(const told *got, lm_pool *pool, const lm_query *query,
                       const char *query_text, lm_search_options options, const uint8_t *fits,
                       size_t expected)
{
    rows_told rows = {.got = got, .fits = fits};
    lm_search_report report;
    lm_arena arena;
    lm_arena_init(&arena, got->s->mem);
    options.limit = 0;
    options.rows = tell_rows;
    options.few = tell_few;
    options.few_max = FEW_MAX;
    options.rows_ctx = &rows;
    if (lm_search(got->s->archive, pool, query, &options, NULL, NULL, tell_bad, NULL, &arena,
                  &report))
        fail_msg("query: %s\n  %s", query_text, lm_err_text());
    if (rows.is_wrong || rows.count != expected)
        fail_msg("query: %s\n  %zu lines fit; as rows %zu were told", query_text, expected,
                 rows.count);
    lm_arena_fini(&arena);
}

static void query_check(const subject *s, lm_test_rng *rng, const char *query_text, told *got,
                        uint8_t *fits)
{
    lm_query *query = NULL;
    lm_search_options options;
    lm_search_report report;
    lm_arena arena;
    lm_err err = lm_query_parse(s->mem, lm_str_of(query_text), &query);
    if (err) fail_msg("query: %s\n  %s", query_text, lm_err_text());
    lm_arena_init(&arena, s->mem);
    options_random(s, rng, &options);
    size_t expected = expect(s, query, &options, fits);
    got->count = 0;
    lm_pool *pool = lm_test_below(rng, 3) ? NULL : s->pool;
    if (lm_search(s->archive, pool, query, &options, tell, got, tell_bad, NULL, &arena, &report))
        fail_msg("query: %s\n  %s", query_text, lm_err_text());
    compare(s, query_text, &options, got, fits, expected);
    if (getenv("LOGMILL_TEST_VERBOSE")) {
        printf("# %zu of %zu, %llu looked at: %s\n", expected, s->line_count,
               (unsigned long long)report.rows_checked, query_text);
    }
    runs_check(s, pool, query, query_text, options, fits, expected);
    rows_check(got, pool, query, query_text, options, fits, expected);
    options.count_only = true;
    options.limit = 0;
    if (lm_search(s->archive, pool, query, &options, tell, got, tell_bad, NULL, &arena, &report))
        fail_msg("query: %s\n  %s", query_text, lm_err_text());
    if (report.matches != expected)
        fail_msg("query: %s\n  %zu lines match, counted %llu", query_text, expected,
                 (unsigned long long)report.matches);
    lm_arena_fini(&arena);
    lm_query_free(query);
}

static void subject_ask_by(subject *s, lm_test_rng *rng, unsigned queries,
                           void (*put_one)(text *q, const subject *s, lm_test_rng *rng,
                                           unsigned depth))
{
    text q = {NULL, 0, 0};
    told got = {.s = s};
    uint8_t *fits = calloc(s->line_count, 1);
    got.lines = calloc(s->line_count, sizeof *got.lines);
    got.first_line = calloc(lm_archive_segment_count(s->archive) + 1, sizeof *got.first_line);
    for (size_t i = s->line_count; i-- > 0;)
        got.first_line[s->segments[i]] = i;
    for (unsigned i = 0; i < queries; i++) {
        q.len = 0;
        put_one(&q, s, rng, 2);
        query_check(s, rng, q.ptr, &got, fits);
    }
    free(q.ptr);
    free(fits);
    free(got.lines);
    free(got.first_line);
}

static void subject_ask(subject *s, lm_test_rng *rng, unsigned queries)
{
    subject_ask_by(s, rng, queries, put_query);
}

/* A short text that is there, and sometimes with another digit. */
static void put_short(text *q, const subject *s, lm_test_rng *rng, unsigned depth)
{
    (void)depth;
    lm_str part = random_part(random_line(s, rng), rng, 1 + lm_test_below(rng, 6));
    put(q, lm_test_below(rng, 6) ? "|= \"" : "|~ \"(?i)");
    for (size_t i = 0; i < part.len; i++) {
        uint8_t other = (uint8_t)('0' + lm_test_below(rng, 10));
        bool swaps = part.ptr[i] >= '0' && part.ptr[i] <= '9' && lm_test_below(rng, 4) == 0;
        if (part.ptr[i] == '.')
            put(q, "0"); /* means the same as a pattern */
        else
            put_escaped(q, (lm_str){swaps ? &other : part.ptr + i, 1}, false);
    }
    put(q, "\"");
}

static unsigned query_count(unsigned usual)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    usual /= 6; /* several times slower: the same queries, fewer of them */
#endif
    const char *wish = getenv("LOGMILL_TEST_QUERIES");
    return wish ? (unsigned)strtoul(wish, NULL, 10) : usual;
}

static void generated_logs_agree(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("search property");
    for (unsigned kind = 0; kind < 10; kind++) {
        subject s;
        subject_make(&s, log_make(&rng, kind, 3000), kind % 2 ? LM_LEVEL_FAST : LM_LEVEL_DEFAULT,
                     kind >= 2 ? 100000 : 0);
        subject_ask(&s, &rng, query_count(300));
        subject_free(&s);
    }
}

/* Digits are looked for in columns of many kinds of values. */
static void kinds_agree(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("search property, kinds");
    subject s;
    subject_make(&s, log_make(&rng, 6, 3000), LM_LEVEL_DEFAULT, 0);
    subject_ask_by(&s, &rng, query_count(400), put_short);
    subject_free(&s);
}

/* Columns so long that they are read in parts. */
static void long_columns_agree(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("search property, long columns");
    subject s;
    subject_make(&s, log_make(&rng, 0, 36000), LM_LEVEL_DEFAULT, 0);
    subject_ask(&s, &rng, query_count(60));
    subject_free(&s);
}

/* A file of noise is kept as text, not as columns. */
static void raw_segments_agree(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("search property, raw");
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < 1500; i++) {
        for (size_t n = lm_test_below(&rng, 60); n-- > 0;) {
            int c = (int)lm_test_below(&rng, 256);
            if (c != '\n' && c != 0) put(&t, "%c", c);
        }
        put(&t, "%s\n", lm_test_below(&rng, 4) ? "" : PICK(&rng, words));
    }
    subject s;
    subject_make(&s, t, LM_LEVEL_DEFAULT, 0);
    subject_ask(&s, &rng, query_count(150));
    subject_free(&s);
}

static void count_bad(void *ctx, const char *words_of_trouble)
{
    assert_true(words_of_trouble[0] != 0);
    ++*(unsigned *)ctx;
}

/* One byte of the archive is changed: what is told is still right, and what cannot be read is told
 * to bad. */
static void damage_check(subject *s, const lm_query *query, const char *path, const uint8_t *fits,
                         size_t expected, told *got, unsigned *served)
{
    lm_archive *archive = NULL;
    lm_search_options options = {.time_min = INT64_MIN, .time_max = INT64_MAX, .template_id = -1};
    lm_search_report report;
    lm_arena arena;
    unsigned bad = 0;
    lm_err err = lm_archive_open(s->mem, path, false, &archive);
    if (err) {
        assert_int_equal(err, LM_E_CORRUPT);
        return;
    }
    lm_arena_init(&arena, s->mem);
    got->count = 0;
    err = lm_search(archive, NULL, query, &options, tell, got, count_bad, &bad, &arena, &report);
    assert_true(err == LM_OK || (err == LM_E_CORRUPT && bad > 0));
    for (size_t i = 0; i < got->count; i++)
        assert_true(fits[got->lines[i]]);
    if (err == LM_OK) assert_int_equal(got->count, expected);
    *served += err == LM_E_CORRUPT && got->count > 0;
    lm_arena_fini(&arena);
    lm_archive_close(archive);
}

static void damage_costs_only_what_it_hits(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("search, damage");
    subject s;
    char path[300];
    subject_make(&s, log_make(&rng, 5, 3000), LM_LEVEL_DEFAULT, 100000);
    snprintf(path, sizeof path, "%s/a.lm", s.folder);
    told got = {.s = &s};
    uint8_t *fits = calloc(s.line_count, 1);
    unsigned served = 0;
    lm_query *query = NULL;
    lm_search_options all = {.time_min = INT64_MIN, .time_max = INT64_MAX};
    got.lines = calloc(s.line_count, sizeof *got.lines);
    got.first_line = calloc(lm_archive_segment_count(s.archive) + 1, sizeof *got.first_line);
    for (size_t i = s.line_count; i-- > 0;)
        got.first_line[s.segments[i]] = i;
    assert_int_equal(lm_query_parse(s.mem, LM_STR("|~ \"1.*e|e.*1\" or level>=warn"), &query),
                     LM_OK);
    size_t expected = expect(&s, query, &all, fits), len = (size_t)lm_archive_bytes(s.archive);
    for (unsigned n = 0; n < 150; n++) {
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        long at = (long)lm_test_below(&rng, len);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        int c = fgetc(file), other = c ^ (1 << lm_test_below(&rng, 8));
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fputc(other, file), other);
        assert_int_equal(fclose(file), 0);
        damage_check(&s, query, path, fits, expected, &got, &served);
        file = fopen(path, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fputc(c, file), c);
        assert_int_equal(fclose(file), 0);
    }
    assert_true(served > 0);
    lm_query_free(query);
    free(fits);
    free(got.lines);
    free(got.first_line);
    subject_free(&s);
}

/* The corpus is not part of the project; the test passes without it. */
static void corpus_agrees(void **state)
{
    (void)state;
    static const char *const names[] = {"Apache",    "HDFS",    "Linux", "OpenStack", "Proxifier",
                                        "Zookeeper", "Windows", "Mac",   "BGL",       "HealthApp"};
    const char *shared = getenv("LOGMILL_SHARED"), *source = getenv("LOGMILL_SOURCE");
    lm_test_rng rng = lm_test_rng_make("search property, corpus");
    unsigned found = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[600];
        if (shared)
            snprintf(path, sizeof path, "%s/corpus/loghub2k/%s_2k.log", shared, names[i]);
        else
            snprintf(path, sizeof path, "%s/../shared/corpus/loghub2k/%s_2k.log",
                     source ? source : ".", names[i]);
        FILE *file = fopen(path, "rb");
        if (!file) continue;
        found++;
        text t = {malloc(1 << 20), 0, 1 << 20};
        t.len = fread(t.ptr, 1, t.cap, file);
        fclose(file);
        subject s;
        subject_make(&s, t, LM_LEVEL_DEFAULT, 0);
        subject_ask(&s, &rng, query_count(80));
        subject_free(&s);
    }
    if (!found) printf("# no corpus beside the source: its part is left out\n");
}

/* A file given by name: any log of one's own. */
static void given_file_agrees(void **state)
{
    (void)state;
    const char *path = getenv("LOGMILL_TEST_LOG");
    if (!path) return;
    lm_test_rng rng = lm_test_rng_make("search property, given file");
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text t = {malloc(1 << 22), 0, 1 << 22};
    t.len = fread(t.ptr, 1, t.cap, file);
    fclose(file);
    subject s;
    subject_make(&s, t, LM_LEVEL_DEFAULT, 0);
    subject_ask(&s, &rng, query_count(100));
    subject_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_logs_agree), cmocka_unit_test(long_columns_agree),
        cmocka_unit_test(raw_segments_agree),   cmocka_unit_test(damage_costs_only_what_it_hits),
        cmocka_unit_test(corpus_agrees),        cmocka_unit_test(given_file_agrees),
        cmocka_unit_test(kinds_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

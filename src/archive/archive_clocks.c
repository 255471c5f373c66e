/**
 * Clocks without a date: of which day?
 *
 * A line says `10:05:06` and no more; its file says when it was last written. So its last line is
 * of the day that puts it nearest to that, and the lines before it are as many days earlier as the
 * clock has passed midnight between. Where the file's name has a day that its time of change does
 * not agree with (a copy has the time of the copy), the last line is of that day.
 *
 * Midnights are counted when a file is opened for packing, by reading it once more, so that each
 * span can be stored with the time in front of it (LM_SPAN_CLOCK); its rows then follow from that,
 * for the writer and for readers alike.
 */
#include "archive/archive_priv.h"

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS   (3600 * SECOND_NS)
#define DAY_NS    (24 * HOUR_NS)

enum { CHUNK_BYTES = 1 << 18 };

int64_t lm_when_clock(lm_when *when, uint16_t layout, int64_t ticks)
{
    int64_t latest = when->clock_ns + LM_CLOCK_AHEAD_NS;
    if (latest > LM_CLOCK_LIMIT_NS) latest = LM_CLOCK_LIMIT_NS;
    int64_t ns = lm_time_clock_ns(layout, ticks, latest);
    when->clock_ns = ns < -LM_CLOCK_LIMIT_NS ? ns + DAY_NS : ns;
    return when->clock_ns;
}

lm_when lm_span_when(const lm_span *span, int64_t not_after_ns)
{
    return (lm_when){.not_after_ns = not_after_ns,
                     .clock_ns = span->clock_ns,
                     .has_clock = (span->flags & LM_SPAN_CLOCK) != 0};
}

/* ---- walking over lines ---- */

void lm_clock_walk_init(lm_clock_walk *walk, lm_mem *mem, const lm_schema *schema, int64_t begin_ns)
{
    *walk = (lm_clock_walk){
        .schema = schema, .when = {.clock_ns = begin_ns, .has_clock = true}, .last_ns = INT64_MIN};
    lm_arena_init(&walk->arena, mem);
}

void lm_clock_walk_fini(lm_clock_walk *walk)
{
    lm_arena_fini(&walk->arena);
}

/** The line's clock by its format, and where it stands. */
static lm_err parse_line(lm_clock_walk *walk, lm_str line, lm_time *time, bool *out_found)
{
    *out_found = false;
    if (line.len > LM_FIELD_LINE_MAX) return LM_OK;
    lm_arena_reset(&walk->arena);
    lm_fields fields = {.arena = &walk->arena, .format = -1};
    lm_err err = lm_schema_parse(walk->schema, line, &fields);
    if (err || fields.timestamp < 0) return err;
    lm_str value = fields.items[fields.timestamp].value;
    *out_found = lm_time_parse(value.ptr, value.len, time) && time->len == value.len &&
                 !lm_time_layout_has_date(time->layout);
    bool is_slice = value.ptr >= line.ptr && value.ptr <= line.ptr + line.len;
    if (*out_found && is_slice) {
        walk->offset = (size_t)(value.ptr - line.ptr);
        walk->layout = time->layout;
        walk->clock = (lm_time_clock){0};
        walk->has_place = true;
    }
    return LM_OK;
}

static lm_err walk_line(lm_clock_walk *walk, lm_str line)
{
    lm_time time;
    size_t at = walk->offset;
    bool is_found =
        walk->has_place && at < line.len &&
        lm_time_clock_read(&walk->clock, walk->layout, line.ptr + at, line.len - at, &time);
    if (!is_found && line.len && line.ptr[0] != ' ' && line.ptr[0] != '\t') {
        lm_err err = parse_line(walk, line, &time, &is_found);
        if (err) return err;
    }
    if (is_found) walk->last_ns = lm_when_clock(&walk->when, time.layout, time.ticks);
    return LM_OK;
}

lm_err lm_clock_walk_text(lm_clock_walk *walk, lm_str text)
{
    lm_err err = LM_OK;
    for (size_t at = 0; at < text.len && !err;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = end ? (size_t)(end - (text.ptr + at)) : text.len - at;
        err = walk_line(walk, (lm_str){text.ptr + at, len});
        at += len + 1;
    }
    return err;
}

/** All of a file. What cannot be read is told when it is packed. */
static lm_err walk_source(lm_clock_walk *walk, lm_mem *mem, lm_source *source)
{
    uint8_t *chunk = lm_mem_alloc(mem, CHUNK_BYTES);
    if (!chunk) return lm_mem_err();
    size_t len = 0, n = 0;
    lm_err err = LM_OK;
    do {
        err = lm_source_read(source, chunk + len, CHUNK_BYTES - len, &n);
        if (err) break;
        len += n;
        const uint8_t *last = n ? memrchr(chunk, '\n', len) : chunk + len - 1;
        size_t cut = len == 0             ? 0
                     : last               ? (size_t)(last - chunk) + 1
                     : len == CHUNK_BYTES ? len
                                          : 0;
        err = lm_clock_walk_text(walk, (lm_str){chunk, cut});
        memmove(chunk, chunk + cut, len - cut);
        len -= cut;
    } while (n && !err);
    lm_mem_release(mem, chunk, CHUNK_BYTES);
    return err == LM_E_NOMEM || err == LM_E_LIMIT ? err : LM_OK;
}

/* ---- which day ---- */

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/** Within the limit, and a day less on each side. */
static int64_t clamped(int64_t ns)
{
    const int64_t limit = LM_CLOCK_LIMIT_NS - DAY_NS;
    return ns < -limit ? -limit : ns > limit ? limit : ns;
}

/** 2026-11-23, 2026_11_23, 20261123 in the last part of a path: noon of that day. */
static bool day_of_name(lm_str path, int64_t *out_noon_ns)
{
    size_t begin = path.len;
    while (begin > 0 && path.ptr[begin - 1] != '/')
        begin--;
    for (size_t at = begin; at + 8 <= path.len; at++) {
        uint8_t text[19] = "0000-00-00 12:00:00";
        static const uint8_t places[8] = {0, 1, 2, 3, 5, 6, 8, 9};
        size_t from = at;
        bool fits = !(at > begin && is_digit(path.ptr[at - 1]));
        for (size_t i = 0; i < 8 && fits; i++) {
            bool may_part = (i == 4 || i == 6) && from < path.len;
            if (may_part && memchr("-_.", path.ptr[from], 3)) from++;
            fits = from < path.len && is_digit(path.ptr[from]);
            if (fits) text[places[i]] = path.ptr[from++];
        }
        lm_time time;
        fits = fits && !(from < path.len && is_digit(path.ptr[from])) &&
               (text[0] == '1' || text[0] == '2') && lm_time_parse(text, sizeof text, &time);
        if (!fits) continue;
        *out_noon_ns = lm_time_ns(time.layout, time.ticks, INT64_MAX);
        return clamped(*out_noon_ns) == *out_noon_ns; /* else a number that looks like a day */
    }
    return false;
}

/** What the last line's time is nearest to. */
static int64_t anchor_of(lm_str path, int64_t mtime_ns)
{
    int64_t noon_ns;
    mtime_ns = clamped(mtime_ns);
    if (!day_of_name(path, &noon_ns)) return mtime_ns;
    bool agrees = mtime_ns >= noon_ns - DAY_NS && mtime_ns < noon_ns + DAY_NS + DAY_NS / 2;
    return agrees ? mtime_ns : noon_ns;
}

lm_err lm_clock_begin_of(lm_mem *mem, const char *path, bool raw, const lm_schema *schema,
                         int64_t mtime_ns, int64_t *out_ns, bool *out_found)
{
    lm_source *source = NULL;
    *out_found = false;
    lm_err err = lm_source_open(mem, path, raw, &source);
    if (err) return err == LM_E_NOMEM || err == LM_E_LIMIT ? err : LM_OK;
    lm_clock_walk walk;
    /* the first clock is of the day 0, whatever it is */
    lm_clock_walk_init(&walk, mem, schema, DAY_NS - LM_CLOCK_AHEAD_NS - 1);
    err = walk_source(&walk, mem, source);
    if (!err && walk.last_ns != INT64_MIN) {
        int64_t latest = anchor_of(lm_str_of(path), mtime_ns) + DAY_NS / 2;
        int64_t into = walk.last_ns % DAY_NS, late = latest % DAY_NS;
        if (into < 0) into += DAY_NS;
        if (late < 0) late += DAY_NS;
        int64_t last = latest - late + into - (into > late ? DAY_NS : 0);
        int64_t days; /* whole ones, forth or back */
        if (__builtin_sub_overflow(last, walk.last_ns, &days)) days = -LM_CLOCK_LIMIT_NS;
        *out_ns = clamped(days + DAY_NS - LM_CLOCK_AHEAD_NS);
        *out_found = true;
    }
    lm_clock_walk_fini(&walk);
    lm_source_close(source);
    return err;
}

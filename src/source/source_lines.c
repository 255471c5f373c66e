/** Text cut into records, each with its time (see source_lines.h). */
#include "source/source_lines.h"
#include "ingest/ingest.h"
#include "schema/schema_time.h"

#define HOUR_NS    INT64_C(3600000000000)
#define QUARTER_NS (HOUR_NS / 4)

enum {
    FORMATS_MAX = 64,
    LEARN_LINES = 200,
    LITERAL_MAX = 24,  /* bytes in front of a time by which it is found */
    NEAR_MAX = 1024,   /* how far into a line a time is looked for */
    PARSE_MAX = 65536, /* longer lines are read by their beginning */
    MISSES_MAX = 32,   /* lines without a time in a row, then one of so many is asked */
    REST_OF = 16
};

struct lm_formats {
    lm_mem *mem;
    lm_schema *items[FORMATS_MAX];
    size_t count;
    lm_arena arena; /* of fields */
    lm_fields fields;
};

typedef enum time_mode { TIME_UNKNOWN, TIME_LAYOUT, TIME_NUMBER } time_mode;

/** What local time is ahead of UTC, of a quarter of an hour: zones change where one begins. */
typedef struct quarter {
    int64_t number, ahead_ns;
    bool is_known;
} quarter;

struct lm_lines {
    lm_formats *formats;
    const lm_schema *schema; /* of formats; NULL: there were too many */
    lm_joiner *joiner;       /* NULL: a line is a record */
    bool has_joined, has_pattern;
    /* where the time of the last record stood */
    time_mode mode;
    bool is_header; /* it is the time by which the joiner tells records */
    bool is_plain;  /* ticks * unit - zone are nanoseconds since 1970, */
    bool is_local;  /* of the clock on the wall */
    uint16_t layout;
    uint8_t literal_len;
    uint8_t literal[LITERAL_MAX];
    size_t offset;
    int64_t unit_ns, zone_ns;
    lm_time_clock clock;
    uint32_t misses;
    int64_t last_ns; /* 0: none yet */
    quarter of_wall, of_now;
};

lm_err lm_formats_new(lm_mem *mem, lm_formats **out)
{
    lm_formats *formats = lm_mem_calloc(mem, 1, sizeof *formats);
    if (!formats) return lm_mem_err();
    formats->mem = mem;
    lm_arena_init(&formats->arena, mem);
    formats->fields.arena = &formats->arena;
    *out = formats;
    return LM_OK;
}

void lm_formats_free(lm_formats *formats)
{
    if (!formats) return;
    for (size_t i = 0; i < formats->count; i++)
        lm_schema_free(formats->items[i]);
    lm_arena_fini(&formats->arena);
    lm_mem_release(formats->mem, formats, sizeof *formats);
}

/** The format of these lines: one that is known, or a new one. NULL: too many are known. */
static lm_err find_format(lm_formats *formats, const lm_str *lines, size_t count,
                          const lm_schema **out)
{
    lm_schema *schema = NULL;
    lm_err err = lm_schema_new(formats->mem, &schema);
    if (!err) err = lm_schema_learn_head(schema, lines, count);
    if (err) goto out;
    lm_str signature = lm_schema_signature(schema);
    for (size_t i = 0; i < formats->count; i++) {
        if (!lm_str_equal(signature, lm_schema_signature(formats->items[i]))) continue;
        *out = formats->items[i];
        goto out;
    }
    *out = NULL;
    if (formats->count == FORMATS_MAX) goto out;
    *out = formats->items[formats->count++] = schema;
    schema = NULL;
out:
    lm_schema_free(schema);
    return err;
}

lm_err lm_lines_new(lm_formats *formats, bool joins, lm_str start_pattern, lm_lines **out)
{
    lm_lines *lines = lm_mem_calloc(formats->mem, 1, sizeof *lines);
    if (!lines) return lm_mem_err();
    lines->formats = formats;
    lm_err err = LM_OK;
    if (joins) err = lm_joiner_new(formats->mem, &lines->joiner);
    if (!err && joins && start_pattern.len) {
        err = lm_joiner_configure(lines->joiner, start_pattern);
        lines->has_pattern = true;
    }
    if (err) {
        lm_lines_free(lines);
        return err;
    }
    *out = lines;
    return LM_OK;
}

void lm_lines_free(lm_lines *lines)
{
    if (!lines) return;
    lm_joiner_free(lines->joiner);
    lm_mem_release(lines->formats->mem, lines, sizeof *lines);
}

bool lm_lines_have_joined(const lm_lines *lines)
{
    return lines->has_joined || lines->has_pattern;
}

static lm_str trim_end(lm_str line)
{
    if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    return line;
}

/* ---- times ----------------------------------------------------------------------------------- */

/** Nanoseconds of a number of seconds, milli-, micro- or nanoseconds since 1970, told apart by
 * size; INT64_MIN: it is none. Between the years 2001 and 2286. */
static int64_t number_ns(lm_str text)
{
    uint64_t whole = 0, part = 0, scale = UINT64_C(1000000000);
    size_t i = 0, digits = 0;
    for (; i < text.len && (uint8_t)(text.ptr[i] - '0') < 10; i++, digits++) {
        if (digits == 19) return INT64_MIN;
        whole = whole * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (digits < 10) return INT64_MIN;
    if (i < text.len && text.ptr[i] == '.' && digits == 10) {
        for (i++; i < text.len && (uint8_t)(text.ptr[i] - '0') < 10; i++) {
            if (scale == 1) continue;
            scale /= 10;
            part += (uint64_t)(text.ptr[i] - '0') * scale;
        }
    }
    switch (digits) {
    case 10:
        if (whole > INT64_MAX / 1000000000u - 1) return INT64_MIN;
        return (int64_t)(whole * 1000000000u + part);
    case 13:
        return whole > INT64_MAX / 1000000u ? INT64_MIN : (int64_t)(whole * 1000000u);
    case 16:
        return whole > INT64_MAX / 1000u ? INT64_MIN : (int64_t)(whole * 1000u);
    case 19:
        return whole > INT64_MAX ? INT64_MIN : (int64_t)whole;
    default:
        return INT64_MIN;
    }
}

/** A time that names no zone is of the clock on this machine's wall. */
static int64_t utc_of(lm_lines *lines, int64_t local_ns, int64_t now_ns)
{
    quarter *q = &lines->of_wall;
    int64_t number = local_ns / QUARTER_NS, ns;
    if (!q->is_known || q->number != number)
        *q = (quarter){number, local_ns - lm_time_utc_of(local_ns, now_ns), true};
    return __builtin_sub_overflow(local_ns, q->ahead_ns, &ns) ? local_ns : ns;
}

/** A clock without a date is of the day of its arrival; an hour more, since clocks are not alike.
 */
static int64_t time_of_clock(lm_lines *lines, const lm_time *time, int64_t now_ns)
{
    quarter *q = &lines->of_now;
    int64_t number = now_ns / QUARTER_NS;
    if (!q->is_known || q->number != number)
        *q = (quarter){number, lm_time_zone_ns(now_ns) + HOUR_NS, true};
    int64_t local_ns = lm_time_clock_ns(time->layout, time->ticks, now_ns + q->ahead_ns);
    return utc_of(lines, local_ns, now_ns);
}

static int64_t time_ns_of(lm_lines *lines, const lm_time *time, int64_t now_ns)
{
    if (!lm_time_layout_has_date(time->layout)) return time_of_clock(lines, time, now_ns);
    int64_t ns = lm_time_ns(time->layout, time->ticks, now_ns);
    return lm_time_layout_has_zone(time->layout) ? ns : utc_of(lines, ns, now_ns);
}

static int64_t ticks_ns(lm_lines *lines, const lm_time *time, int64_t now_ns)
{
    int64_t ns;
    if (lines->is_plain && !__builtin_mul_overflow(time->ticks, lines->unit_ns, &ns) &&
        !__builtin_sub_overflow(ns, lines->zone_ns, &ns))
        return lines->is_local ? utc_of(lines, ns, now_ns) : ns;
    return time_ns_of(lines, time, now_ns);
}

static bool read_at(lm_lines *lines, lm_str line, size_t at, int64_t now_ns, int64_t *out_ns)
{
    if (at >= line.len) return false;
    lm_str text = {line.ptr + at, line.len - at};
    if (lines->mode == TIME_NUMBER) {
        int64_t ns = number_ns(text);
        if (ns == INT64_MIN) return false;
        *out_ns = ns;
        return true;
    }
    lm_time time;
    if (!lm_time_clock_read(&lines->clock, lines->layout, text.ptr, text.len, &time)) return false;
    *out_ns = ticks_ns(lines, &time, now_ns);
    return true;
}

/** Where the time stood last, or behind what stood before it. */
static bool read_where_it_was(lm_lines *lines, lm_str line, int64_t now_ns, int64_t *out_ns)
{
    if (lines->mode == TIME_UNKNOWN) return false;
    size_t at = lines->offset, len = lines->literal_len;
    bool is_there = at == 0 || (at <= line.len && len <= at &&
                                memcmp(line.ptr + at - len, lines->literal, len) == 0);
    if (is_there && read_at(lines, line, at, now_ns, out_ns)) return true;
    if (len == 0) return false;
    lm_str near = {line.ptr, line.len < NEAR_MAX ? line.len : NEAR_MAX};
    at = lm_str_find(near, (lm_str){lines->literal, len});
    if (at == SIZE_MAX || !read_at(lines, line, at + len, now_ns, out_ns)) return false;
    lines->offset = at + len;
    return true;
}

static bool is_literal(uint8_t c)
{
    return !((uint8_t)(c - '0') < 10 || c == ' ' || c == ',' || c == '{' || c == '\t' || c == ';');
}

/** The time stands at this place of the line: look there first from now on. */
static void learn_place(lm_lines *lines, lm_str line, size_t at, const lm_time *time)
{
    lines->mode = time ? TIME_LAYOUT : TIME_NUMBER;
    lines->offset = at;
    lines->literal_len = 0;
    for (size_t i = at; i > 0 && lines->literal_len < LITERAL_MAX && is_literal(line.ptr[i - 1]);
         i--)
        lines->literal_len++;
    memcpy(lines->literal, line.ptr + at - lines->literal_len, lines->literal_len);
    lines->is_header = lines->joiner && lm_joiner_time_at(lines->joiner, line) == at;
    if (!time) return;
    lines->layout = time->layout;
    lines->clock = (lm_time_clock){0};
    lines->unit_ns = lm_time_layout_ns(time->layout);
    lines->zone_ns = (int64_t)lm_time_layout_zone_minutes(time->layout) * 60 * 1000000000;
    lines->is_local = !lm_time_layout_has_zone(time->layout);
    lines->is_plain =
        lm_time_layout_has_date(time->layout) && lm_time_layout_has_year(time->layout);
}

static lm_err read_by_schema(lm_lines *lines, lm_str line, int64_t now_ns, int64_t *out_ns,
                             bool *out_found)
{
    *out_found = false;
    if (line.len > PARSE_MAX) line.len = PARSE_MAX;
    lm_str value = {NULL, 0};
    if (lines->schema) {
        lm_formats *formats = lines->formats;
        lm_err err = lm_schema_parse(lines->schema, line, &formats->fields);
        if (!err && formats->fields.timestamp >= 0)
            value = formats->fields.items[formats->fields.timestamp].value;
        formats->fields.items = NULL;
        formats->fields.cap = 0;
        lm_arena_reset(&formats->arena);
        if (err) return err;
    }
    if (!value.ptr && lines->joiner) {
        size_t at = lm_joiner_time_at(lines->joiner, line);
        if (at != SIZE_MAX) value = (lm_str){line.ptr + at, line.len - at};
    }
    if (!value.ptr) return LM_OK;
    bool is_slice = value.ptr >= line.ptr && value.ptr < line.ptr + line.len;
    lm_time time;
    if (lm_time_parse(value.ptr, value.len, &time)) {
        if (is_slice) learn_place(lines, line, (size_t)(value.ptr - line.ptr), &time);
        *out_ns = time_ns_of(lines, &time, now_ns);
        *out_found = true;
        return LM_OK;
    }
    int64_t ns = number_ns(value);
    if (ns == INT64_MIN) return LM_OK;
    if (is_slice) learn_place(lines, line, (size_t)(value.ptr - line.ptr), NULL);
    *out_ns = ns;
    *out_found = true;
    return LM_OK;
}

/** The time of a record by its first line, which has none where it was. */
static lm_err search_time(lm_lines *lines, lm_str line, int64_t now_ns, int64_t *out_ns)
{
    bool is_found = false;
    bool is_asked = lines->misses < MISSES_MAX || lines->misses % REST_OF == 0;
    lm_err err = LM_OK;
    if (is_asked && line.len) err = read_by_schema(lines, line, now_ns, out_ns, &is_found);
    if (err) return err;
    lines->misses = is_found ? 0 : lines->misses + 1;
    if (is_found) lines->last_ns = *out_ns;
    bool is_near = lines->last_ns && lines->misses <= MISSES_MAX; /* to one that had a time */
    if (!is_found) *out_ns = is_near ? lines->last_ns : now_ns;
    return LM_OK;
}

/* ---- learning -------------------------------------------------------------------------------- */

lm_err lm_lines_learn(lm_lines *lines, lm_str head)
{
    lm_str items[LEARN_LINES];
    size_t count = 0;
    const uint8_t *at = head.ptr, *end = head.ptr + head.len;
    while (count < LEARN_LINES && at < end) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) break;
        items[count++] = trim_end((lm_str){at, (size_t)(stop - at)});
        at = stop + 1;
    }
    lines->mode = TIME_UNKNOWN;
    lines->misses = 0;
    lines->last_ns = 0;
    if (count == 0) return LM_OK;
    lm_err err = find_format(lines->formats, items, count, &lines->schema);
    if (!err && lines->joiner && !lines->has_pattern)
        err = lm_joiner_learn(lines->joiner, lines->schema, items, count);
    if (err || !lines->joiner) return err;
    lm_joiner_reset(lines->joiner);
    for (size_t i = 0; i < count; i++)
        lines->has_joined |= lm_joiner_continues(lines->joiner, items[i]);
    return LM_OK;
}

/* ---- cutting --------------------------------------------------------------------------------- */

typedef struct record_under_way {
    const uint8_t *begin, *end; /* of its text; begin NULL: none */
    const uint8_t *next;        /* behind its line end */
    int64_t time_ns;
} record_under_way;

static lm_err add(const record_under_way *record, const lm_lines_cut_options *options,
                  lm_record_batch *batch)
{
    lm_str text = {record->begin, (size_t)(record->end - record->begin)};
    return lm_record_batch_add(batch, options->stream, record->time_ns, text, (lm_labels){0});
}

lm_err lm_lines_cut(lm_lines *lines, lm_str text, const lm_lines_cut_options *options,
                    lm_record_batch *batch, size_t *out_used)
{
    lm_err err = LM_OK;
    const uint8_t *at = text.ptr, *end = text.ptr + text.len;
    size_t bytes_max = options->bytes_max ? options->bytes_max : LM_LINE_BYTES_MAX;
    record_under_way record = {0};
    if (lines->joiner) lm_joiner_reset(lines->joiner);
    *out_used = 0;
    while (at < end) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop && options->end != LM_LINES_ALL) break;
        const uint8_t *next = stop ? stop + 1 : end;
        lm_str line = {at, (size_t)((stop ? stop : end) - at)};
        if (line.len > bytes_max) {
            line.len = bytes_max;
            next = at + bytes_max;
        } else if (stop) {
            line = trim_end(line);
        }
        int64_t time_ns = 0;
        bool has_time = read_where_it_was(lines, line, options->now_ns, &time_ns);
        bool is_joined = false;
        if (lines->joiner) {
            bool is_headed =
                has_time && lines->is_header && line.ptr[0] != ' ' && line.ptr[0] != '\t';
            is_joined = is_headed ? lm_joiner_continues_headed(lines->joiner, line)
                                  : lm_joiner_continues(lines->joiner, line);
            is_joined = is_joined && record.begin &&
                        (size_t)(line.ptr + line.len - record.begin) <= bytes_max;
        }
        if (is_joined) {
            lines->has_joined = true;
        } else {
            if (record.begin) {
                err = add(&record, options, batch);
                if (err) return err;
                *out_used = (size_t)(record.next - text.ptr);
            }
            if (!has_time) {
                err = search_time(lines, line, options->now_ns, &time_ns);
                if (err) return err;
            } else {
                lines->misses = 0;
                lines->last_ns = time_ns;
            }
            record = (record_under_way){.begin = at, .time_ns = time_ns};
        }
        record.end = line.ptr + line.len;
        record.next = at = next;
    }
    bool is_taken = options->end != LM_LINES_HOLD || !lines->joiner;
    if (record.begin && is_taken) {
        err = add(&record, options, batch);
        if (err) return err;
        *out_used = (size_t)(record.next - text.ptr);
    }
    return LM_OK;
}

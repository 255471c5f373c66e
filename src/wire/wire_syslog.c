/**
 * Syslog: RFC 5424, RFC 3164 in the forms that devices really send, and what is neither.
 *
 *   <PRI>1 TIME HOST APP PROCID MSGID [SD] MSG          RFC 5424
 *   <PRI>Nov 23 13:38:00 host app[pid]: MSG             RFC 3164; <PRI> or host may be missing, the
 * time may have a year, be ISO 8601, or be missing behind a <PRI> <PRI>29: *Mar  1 18:48:50.483
 * UTC: %SYS-5-...: ...  Cisco: a sequence number, a time with a colon behind
 *
 * Each reader takes a copy of the cursor and gives false when the bytes are not of its form; then
 * the next one tries. What fits nothing is kept whole, PRI and all. A colon ends a tag only before
 * a blank or the end, so CEF:0|... and 12:30 stay in the message.
 */
#include "wire/wire_priv.h"

enum {
    FACILITY_USER = 1,
    SEVERITY_NOTICE = 5,
    RECENT_STREAMS = 8,
    COUNT_DIGITS_MAX = 9,
    BEHIND_TIME = 16, /* bytes that may say something about the time before them: a year, a zone */
    SAME_METADATA_MAX = 8
};

#define SECOND_NS 1000000000

static const char *const severities[] = {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};
static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};

typedef struct message {
    lm_arena *arena;
    lm_wire_recent *recent; /* may be NULL */
    int64_t now_ns, time_ns;
    bool has_pri;
    uint32_t facility, severity;
    lm_str host, app, line;
    lm_label metadata[LM_LABEL_COUNT_MAX];
    size_t metadata_count; /* may go beyond what there is room for: then nothing is taken */
    lm_err err;            /* out of memory */
} message;

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static inline bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static size_t left(const cursor *c)
{
    return (size_t)(c->end - c->p);
}

static bool take_byte(cursor *c, uint8_t byte)
{
    if (c->p == c->end || *c->p != byte) return false;
    c->p++;
    return true;
}

static void skip_blanks(cursor *c)
{
    while (c->p < c->end && *c->p == ' ')
        c->p++;
}

/** Up to the next blank, which is skipped. */
static lm_str take_word(cursor *c)
{
    const uint8_t *begin = c->p, *blank = memchr(begin, ' ', left(c));
    const uint8_t *stop = blank ? blank : c->end;
    c->p = blank ? blank + 1 : c->end;
    return (lm_str){begin, (size_t)(stop - begin)};
}

static void add_metadata(message *m, lm_str name, lm_str value)
{
    if (m->metadata_count < LM_LABEL_COUNT_MAX) {
        m->metadata[m->metadata_count] = (lm_label){name, value};
    }
    m->metadata_count++;
}

static bool take_pri(cursor *c, message *m)
{
    uint32_t value = 0, digits = 0;
    cursor at = *c;
    if (!take_byte(&at, '<')) return false;
    for (; at.p < at.end && is_digit(*at.p) && digits < 3; at.p++, digits++)
        value = value * 10 + (*at.p - '0');
    if (digits == 0 || value > 191 || !take_byte(&at, '>')) return false;
    m->facility = value / 8;
    m->severity = value % 8;
    *c = at;
    return true;
}

/* ---- times ---- */

/** "Nov 23 13:38:00" and " 2026" behind it: both read as "Nov 23 2026 13:38:00". */
static bool take_year_behind(cursor *c, lm_str text, lm_time *io_time)
{
    uint8_t whole[LM_TIME_TEXT_MAX];
    const uint8_t *clock = memchr(text.ptr, ':', text.len);
    if (!clock || text.len + 5 > sizeof whole || left(c) < 5 || c->p[0] != ' ') return false;
    if ((c->p[1] != '1' && c->p[1] != '2') || (c->p[2] != '9' && c->p[2] != '0')) return false;
    if (!is_digit(c->p[3]) || !is_digit(c->p[4])) return false;
    if (left(c) > 5 && c->p[5] != ' ' && c->p[5] != ':') return false;
    size_t date_len = (size_t)(clock - text.ptr) - 3;
    memcpy(whole, text.ptr, date_len);
    memcpy(whole + date_len, c->p, 5);
    memcpy(whole + date_len + 5, text.ptr + date_len, text.len - date_len);
    lm_time time;
    if (!lm_time_parse(whole, text.len + 5, &time) || time.len != text.len + 5) return false;
    *io_time = time;
    c->p += 5;
    return true;
}

/** " UTC:", " CEST": a zone's name in capitals, with a colon behind. */
static bool take_zone_behind(cursor *c, bool *out_utc)
{
    cursor at = *c;
    if (!take_byte(&at, ' ')) return false;
    const uint8_t *begin = at.p;
    while (at.p < at.end && *at.p >= 'A' && *at.p <= 'Z')
        at.p++;
    size_t len = (size_t)(at.p - begin);
    if (len < 2 || len > 5 || at.p == at.end || *at.p != ':') return false;
    *out_utc = len == 3 && (memcmp(begin, "UTC", 3) == 0 || memcmp(begin, "GMT", 3) == 0);
    *c = at;
    return true;
}

static void remember(lm_wire_recent *recent, const uint8_t *begin, const cursor *c, int64_t now_ns,
                     int64_t ns)
{
    size_t used = (size_t)(c->p - begin), len = used + BEHIND_TIME;
    if (len > sizeof recent->text || (size_t)(c->end - begin) < len) return;
    *recent = (lm_wire_recent){.len = len, .used = used, .now_s = now_ns / SECOND_NS, .ns = ns};
    memcpy(recent->text, begin, len);
}

/** A time with a date; what must follow is not looked at. */
static bool take_time(cursor *c, const message *m, int64_t *out_ns)
{
    lm_time time;
    lm_wire_recent *recent = m->recent;
    const uint8_t *begin = c->p;
    if (recent && recent->len && left(c) >= recent->len && recent->now_s == m->now_ns / SECOND_NS &&
        memcmp(begin, recent->text, recent->len) == 0) {
        c->p += recent->used;
        *out_ns = recent->ns;
        return true;
    }
    if (left(c) == 0 || !lm_time_parse(c->p, left(c), &time)) return false;
    if (!lm_time_layout_has_date(time.layout)) return false;
    lm_str text = {c->p, time.len};
    bool is_utc = lm_time_layout_has_zone(time.layout);
    c->p += time.len;
    if (!lm_time_layout_has_year(time.layout)) (void)take_year_behind(c, text, &time);
    (void)take_zone_behind(c, &is_utc); /* most have none */
    int64_t ns = lm_time_ns(time.layout, time.ticks, m->now_ns);
    *out_ns = is_utc ? ns : lm_time_utc_of(ns, m->now_ns);
    if (recent) remember(recent, begin, c, m->now_ns, *out_ns);
    return true;
}

/* ---- RFC 5424 ---- */

static bool is_nil(lm_str word)
{
    return word.len == 1 && word.ptr[0] == '-';
}

/** The value behind name=, quotes and all; \" \\ and \] undone. */
static bool take_value(cursor *c, message *m, lm_str *out)
{
    if (!take_byte(c, '"')) return false;
    const uint8_t *begin = c->p;
    size_t escapes = 0;
    for (; c->p < c->end && *c->p != '"'; c->p++) {
        bool is_escape = *c->p == '\\' && c->end - c->p >= 2 &&
                         (c->p[1] == '"' || c->p[1] == '\\' || c->p[1] == ']');
        escapes += is_escape;
        c->p += is_escape;
    }
    if (c->p == c->end) return false;
    size_t len = (size_t)(c->p++ - begin);
    *out = (lm_str){begin, len};
    if (!escapes) return true;
    uint8_t *plain = lm_arena_alloc(m->arena, len, 1);
    if (!plain) {
        m->err = lm_mem_err();
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        bool is_escape = begin[i] == '\\' && i + 1 < len &&
                         (begin[i + 1] == '"' || begin[i + 1] == '\\' || begin[i + 1] == ']');
        i += is_escape;
        plain[at++] = begin[i];
    }
    *out = (lm_str){plain, at};
    return true;
}

/** sd_ID_NAME. */
static lm_str sd_name(message *m, lm_str id, lm_str name)
{
    uint8_t *text = lm_arena_alloc(m->arena, 3 + id.len + 1 + name.len, 1);
    lm_str clean = {NULL, 0};
    if (text) {
        memcpy(text, "sd_", 3);
        memcpy(text + 3, id.ptr, id.len);
        text[3 + id.len] = '_';
        memcpy(text + 4 + id.len, name.ptr, name.len);
        clean = lm_label_name_clean((lm_str){text, 4 + id.len + name.len}, m->arena);
    }
    if (!clean.ptr) m->err = lm_mem_err();
    return clean;
}

/** Up to a byte that may not stand in a name of structured data. */
static lm_str take_sd_name(cursor *c)
{
    const uint8_t *begin = c->p;
    while (c->p < c->end && *c->p > ' ' && *c->p < 0x7F && *c->p != '=' && *c->p != ']' &&
           *c->p != '"')
        c->p++;
    return (lm_str){begin, (size_t)(c->p - begin)};
}

/** [id name="value" ...], one or more. False: it is something else, which belongs to the message.
 */
static bool take_structured_data(cursor *c, message *m)
{
    cursor at = *c;
    size_t had = m->metadata_count;
    do {
        if (!take_byte(&at, '[')) return false;
        lm_str id = take_sd_name(&at);
        size_t before = m->metadata_count;
        if (id.len == 0) goto not_it;
        while (at.p < at.end && *at.p == ' ') {
            lm_str value;
            skip_blanks(&at);
            if (at.p < at.end && *at.p == ']') break;
            lm_str name = take_sd_name(&at);
            if (name.len == 0 || !take_byte(&at, '=') || !take_value(&at, m, &value)) goto not_it;
            name = sd_name(m, id, name);
            if (!name.ptr) goto not_it;
            add_metadata(m, name, value);
        }
        if (!take_byte(&at, ']') || m->metadata_count == before) goto not_it;
    } while (at.p < at.end && *at.p == '[');
    if (at.p < at.end && *at.p != ' ') goto not_it;
    *c = at;
    return true;
not_it:
    m->metadata_count = had;
    return false;
}

static bool read_5424(cursor c, message *m)
{
    if (!m->has_pri || !take_byte(&c, '1') || !take_byte(&c, ' ')) return false;
    lm_str time = take_word(&c);
    if (!is_nil(time)) {
        cursor at = {time.ptr, time.ptr + time.len};
        if (!take_time(&at, m, &m->time_ns) || at.p != at.end) return false;
    }
    lm_str host = take_word(&c), app = take_word(&c), procid = take_word(&c);
    lm_str msgid = take_word(&c);
    if (!is_nil(host)) m->host = host;
    if (!is_nil(app)) m->app = app;
    if (procid.len && !is_nil(procid)) add_metadata(m, LM_STR("procid"), procid);
    if (msgid.len && !is_nil(msgid)) add_metadata(m, LM_STR("msgid"), msgid);
    bool is_dash = left(&c) && *c.p == '-' && (left(&c) == 1 || c.p[1] == ' ');
    if (is_dash) {
        c.p++;
        (void)take_byte(&c, ' '); /* at the end there is none */
    } else if (take_structured_data(&c, m)) {
        (void)take_byte(&c, ' ');
    }
    if (left(&c) >= 3 && memcmp(c.p, "\xEF\xBB\xBF", 3) == 0) c.p += 3;
    m->line = (lm_str){c.p, left(&c)};
    return m->err == LM_OK;
}

/* ---- RFC 3164 ---- */

/** "29: " of Cisco and some BSDs. */
static bool take_sequence(cursor *c, message *m)
{
    cursor at = *c;
    while (at.p < at.end && is_digit(*at.p))
        at.p++;
    lm_str digits = {c->p, (size_t)(at.p - c->p)};
    if (digits.len == 0 || digits.len > 20 || left(&at) < 2 || at.p[0] != ':' || at.p[1] != ' ') {
        return false;
    }
    add_metadata(m, LM_STR("sequence"), digits);
    c->p = at.p + 2;
    return true;
}

static bool is_tag_byte(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.' || c == '/' || c == '(' || c == ')' || c == '@' || c == '+' ||
           c == '#' || c >= 0x80;
}

/** app[pid]: or app: or app[pid] with a blank behind; the blank is skipped. */
static bool take_tag(cursor *c, message *m)
{
    cursor at = *c;
    lm_str pid = {NULL, 0};
    while (at.p < at.end && is_tag_byte(*at.p))
        at.p++;
    lm_str app = {c->p, (size_t)(at.p - c->p)};
    if (app.len == 0) return false;
    if (take_byte(&at, '[')) {
        const uint8_t *close = memchr(at.p, ']', left(&at));
        const uint8_t *blank = memchr(at.p, ' ', left(&at));
        if (!close || close - at.p > 64 || (blank && blank < close)) return false;
        pid = (lm_str){at.p, (size_t)(close - at.p)};
        at.p = close + 1;
        (void)take_byte(&at, ':');
    } else if (!take_byte(&at, ':') || (at.p < at.end && *at.p != ' ')) {
        return false;
    }
    (void)take_byte(&at, ' ');
    m->app = app;
    if (pid.len) add_metadata(m, LM_STR("procid"), pid);
    *c = at;
    return true;
}

static bool is_host(lm_str word)
{
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.ptr[i];
        bool fits = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                    c == '-' || c == '_' || c == ':' || c >= 0x80;
        if (!fits) return false;
    }
    return word.len > 0;
}

/** "host: " before a time, as Cisco sends it with `logging origin-id`. */
static bool take_origin(cursor *c, const message *m, lm_str *out)
{
    cursor at = *c;
    int64_t ignored;
    lm_str word = take_word(&at);
    if (word.len < 2 || word.ptr[word.len - 1] != ':') return false;
    word.len--;
    cursor time = at;
    if (time.p < time.end && (*time.p == '*' || *time.p == '.')) time.p++;
    if (!is_host(word) || !take_time(&time, m, &ignored)) return false;
    *out = word;
    *c = at;
    return true;
}

static bool read_3164(cursor c, message *m)
{
    skip_blanks(&c);
    bool has_sequence = take_sequence(&c, m);
    if (m->has_pri) (void)take_origin(&c, m, &m->host);
    cursor at = c;
    if (at.p < at.end && (*at.p == '*' || *at.p == '.')) at.p++; /* a clock that is not set */
    bool has_time = take_time(&at, m, &m->time_ns);
    bool is_cisco = has_time && take_byte(&at, ':');
    if (has_time && at.p < at.end && *at.p != ' ') has_time = is_cisco = false;
    if (!has_time) m->time_ns = m->now_ns;
    if (has_time) {
        skip_blanks(&at);
        c = at;
    }
    bool has_tag = false;
    if (!is_cisco) {
        has_tag = take_tag(&c, m);
        cursor behind = c;
        lm_str word = has_tag || !has_time ? (lm_str){NULL, 0} : take_word(&behind);
        if (word.len && is_host(word)) {
            m->host = word;
            c = behind;
            skip_blanks(&c);
            has_tag = take_tag(&c, m);
        }
    }
    m->line = (lm_str){c.p, left(&c)};
    return m->has_pri || has_sequence ? true : has_time && has_tag;
}

/* ---- the record ---- */

/** Texts of our own tables are mostly the same bytes in memory. */
static bool is_same(lm_str a, lm_str b)
{
    return a.len == b.len && (a.ptr == b.ptr || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/** Is it a stream that came lately? Then nothing is printed and hashed. */
static bool find_recent(const lm_record_batch *batch, const lm_label *labels, uint32_t count,
                        uint32_t *out)
{
    size_t last = batch->stream_count;
    for (size_t i = last; i-- > 0 && i + RECENT_STREAMS >= last;) {
        lm_labels had = batch->streams[i].labels;
        uint32_t k = had.count == count ? count : 0;
        while (k > 0 && is_same(had.items[k - 1].value, labels[k - 1].value) &&
               is_same(had.items[k - 1].name, labels[k - 1].name))
            k--;
        if (k > 0 || had.count != count) continue;
        *out = (uint32_t)i;
        return true;
    }
    return false;
}

/** The stream of labels that are sorted and valid. They get a place in the arena only if it is new.
 */
static lm_err find_stream(lm_record_batch *batch, const lm_label *items, uint32_t count,
                          uint32_t *out)
{
    size_t streams = batch->stream_count;
    lm_labels labels;
    if (find_recent(batch, items, count, out)) return LM_OK;
    lm_err err = lm_record_batch_stream(batch, (lm_labels){items, count}, out);
    if (err || batch->stream_count == streams) return err;
    err = lm_labels_make(items, count, &batch->arena, &labels);
    if (err) {
        lm_record_batch_cut(batch, streams, batch->record_count);
        return err;
    }
    batch->streams[*out].labels = labels;
    return LM_OK;
}

/** Has the record before the very same metadata? */
static bool is_metadata_of(lm_labels had, const message *m)
{
    unsigned found = 0;
    if (had.count != m->metadata_count || had.count > SAME_METADATA_MAX) return false;
    for (size_t i = 0; i < m->metadata_count; i++) {
        uint32_t k = 0;
        while (k < had.count &&
               (found >> k & 1 || !is_same(had.items[k].name, m->metadata[i].name) ||
                !is_same(had.items[k].value, m->metadata[i].value)))
            k++;
        if (k == had.count) return false;
        found |= 1u << k;
    }
    return true;
}

static lm_err make_metadata(const message *m, lm_record_batch *batch, lm_labels *out)
{
    if (batch->record_count) {
        *out = batch->records[batch->record_count - 1].metadata;
        if (is_metadata_of(*out, m)) return LM_OK;
    }
    return lm_labels_make(m->metadata, m->metadata_count, &batch->arena, out);
}

static lm_err add(const message *m, lm_record_batch *batch)
{
    lm_label items[4]; /* sorted by name */
    uint32_t count = 0, stream;
    lm_labels metadata = {NULL, 0};
    lm_err err = LM_OK;
    if (m->app.len) items[count++] = (lm_label){LM_STR("app"), m->app};
    items[count++] = (lm_label){LM_STR("facility"), lm_str_of(facilities[m->facility])};
    if (m->host.len) items[count++] = (lm_label){LM_STR("host"), m->host};
    items[count++] = (lm_label){LM_STR("severity"), lm_str_of(severities[m->severity])};
    if (m->metadata_count) {
        err = make_metadata(m, batch, &metadata);
        if (err) return err;
    }
    if (m->app.len > LM_LABEL_VALUE_BYTES_MAX || m->host.len > LM_LABEL_VALUE_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "a name longer than a label may be");
    }
    err = find_stream(batch, items, count, &stream);
    return err ? err : lm_record_batch_add(batch, stream, m->time_ns, m->line, metadata);
}

lm_err lm_wire_syslog(lm_str text, const lm_wire_options *options, lm_record_batch *batch)
{
    message m;
    m.arena = &batch->arena;
    m.recent = options->recent;
    m.err = LM_OK;
    m.now_ns = m.time_ns = options->now_ns;
    m.facility = FACILITY_USER; /* what RFC 3164, 4.3.3 gives a message without one */
    m.severity = SEVERITY_NOTICE;
    m.metadata_count = 0;
    m.host = m.app = m.line = (lm_str){NULL, 0};
    while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r' ||
                        text.ptr[text.len - 1] == 0))
        text.len--;
    cursor c = {text.ptr, text.ptr + text.len};
    m.has_pri = take_pri(&c, &m);
    bool fits = read_5424(c, &m);
    if (!fits && !m.err) {
        m.metadata_count = 0;
        fits = read_3164(c, &m);
    }
    if (m.err) return m.err;
    if (fits) {
        lm_err err = add(&m, batch);
        if (!lm_wire_is_own_fault(err)) return err;
    }
    m.host = m.app = (lm_str){NULL, 0};
    m.time_ns = m.now_ns;
    m.metadata_count = 0;
    m.line = text;
    return add(&m, batch);
}

/* ---- framing ---- */

/** "73 " at the front: bytes of the header in *out_skip, and the count. LM_E_NOTFOUND: it may be
 * one when more bytes are there; LM_E_USAGE: it is none. */
static lm_err read_count(lm_str rest, size_t *out_skip, size_t *out_count)
{
    size_t at = 0, count = 0;
    for (; at < rest.len && is_digit(rest.ptr[at]); at++) {
        if (at == COUNT_DIGITS_MAX) return LM_E_USAGE;
        count = count * 10 + (rest.ptr[at] - '0');
    }
    if (at == 0 || rest.ptr[0] == '0') return LM_E_USAGE;
    if (at == rest.len) return LM_E_NOTFOUND;
    if (rest.ptr[at] != ' ') return LM_E_USAGE;
    /* A message begins with its <PRI>: "200 OK" is a line. */
    if (at + 1 < rest.len && rest.ptr[at + 1] != '<') return LM_E_USAGE;
    *out_skip = at + 1;
    *out_count = count;
    return LM_OK;
}

lm_err lm_wire_syslog_frame(lm_str *io_rest, size_t max, lm_str *out_message)
{
    lm_str rest = *io_rest;
    size_t skip = 0, count = 0;
    while (rest.len && (rest.ptr[0] == '\n' || rest.ptr[0] == '\r' || rest.ptr[0] == 0)) {
        rest = (lm_str){rest.ptr + 1, rest.len - 1}; /* between frames; no message begins so */
    }
    *io_rest = rest;
    if (rest.len == 0) return LM_E_NOTFOUND;
    lm_err err = read_count(rest, &skip, &count);
    if (err == LM_E_NOTFOUND) return err;
    if (err == LM_OK) {
        if (count > max) {
            return lm_fail(LM_E_LIMIT, "a syslog message of %zu bytes, at most %zu are taken",
                           count, max);
        }
        if (rest.len - skip < count) return LM_E_NOTFOUND;
        *out_message = (lm_str){rest.ptr + skip, count};
        *io_rest = (lm_str){rest.ptr + skip + count, rest.len - skip - count};
        if (rest.ptr[skip + count - 1] == '\n') out_message->len--;
        return LM_OK;
    }
    const uint8_t *newline = memchr(rest.ptr, '\n', rest.len);
    size_t len = newline ? (size_t)(newline - rest.ptr) : rest.len;
    if (len > max) {
        return lm_fail(LM_E_LIMIT, "a syslog message of more than %zu bytes, at most %zu are taken",
                       len, max);
    }
    if (!newline) return LM_E_NOTFOUND;
    *io_rest = (lm_str){newline + 1, rest.len - len - 1};
    if (rest.ptr[len - 1] == '\r') len--;
    *out_message = (lm_str){rest.ptr, len};
    return LM_OK;
}

lm_str lm_wire_syslog_rest(lm_str rest)
{
    size_t skip = 0, count = 0;
    if (rest.len && read_count(rest, &skip, &count) == LM_OK)
        return (lm_str){rest.ptr + skip, rest.len - skip};
    return rest;
}

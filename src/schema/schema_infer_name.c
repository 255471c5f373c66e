/** Header inference, second half: what stands in brackets, what fields are called, the tree as
 * pattern text. */
#include "schema/schema_infer_priv.h"

enum { EPOCH_RANK = 7 }; /* of a time: date and year, no fraction */

static lm_str trim(lm_str s)
{
    const uint8_t *end = s.ptr + s.len, *p = lm_skip_blanks(s.ptr, end), *q = end;
    while (q > p && (lm_is_blank(q[-1]) || q[-1] == 'm')) { /* back over blanks and colours */
        const uint8_t *begin = q - 1;
        if (*begin == 'm') {
            while (begin > p && *begin != LM_ESCAPE)
                begin--;
            if (lm_color_len(begin, end) != (size_t)(q - begin)) break;
        }
        q = begin;
    }
    return (lm_str){p, (size_t)(q - p)};
}

static lm_str inside(const item *it)
{
    return (lm_str){it->text.ptr + 1, it->text.len - 2};
}

static bool whole_time(lm_str s, lm_time *out)
{
    return s.len >= 5 && lm_time_parse(s.ptr, s.len, out) && out->len == s.len;
}

static bool all_digits(lm_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!lm_is_digit(s.ptr[i])) return false;
    }
    return s.len > 0 && s.len <= 10;
}

/* thread:Class@123 */
static bool is_place(lm_str s)
{
    size_t at = s.len, colon = 0;
    while (at > 0 && lm_is_digit(s.ptr[at - 1]))
        at--;
    if (at == s.len || at == 0 || s.ptr[at - 1] != '@') return false;
    for (size_t i = 0; i + 1 < at; i++) {
        if (s.ptr[i] == ':') colon = i;
    }
    return colon > 0 && colon + 2 < at;
}

/* A level that is all of a run of letters, whatever stands behind it. */
static size_t level_run(lm_str s)
{
    size_t n = 0;
    while (n < s.len && lm_is_alpha(s.ptr[n]))
        n++;
    return n && lm_match_level(s.ptr, n) == n ? n : 0;
}

/* UTC, CEST, Europe/Berlin */
static bool is_zone_word(lm_str s)
{
    const uint8_t *slash = s.len ? memchr(s.ptr, '/', s.len) : NULL;
    if (!slash && (s.len < 3 || s.len > 5)) return false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_upper = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z';
        if (slash ? !lm_is_alpha(s.ptr[i]) && s.ptr[i] != '/' && s.ptr[i] != '_' : !is_upper)
            return false;
    }
    return s.len > 0 && level_run(s) == 0;
}

/* A time, a separator, then a number or a level; *out_gap: the bytes between. */
static content content_behind_time(lm_str s, lm_time *time, lm_str *out_gap, uint8_t *out_separator)
{
    if (!lm_time_parse(s.ptr, s.len, time)) return CONTENT_TEXT;
    size_t begin = time->len, at = begin;
    while (at < s.len && at - begin < 4 && !lm_is_alpha(s.ptr[at]) && !lm_is_digit(s.ptr[at]))
        at++;
    lm_str rest = lm_str_cut(s, at, s.len);
    *out_gap = lm_str_cut(s, begin, at);
    if (at == begin) return CONTENT_TEXT;
    if (all_digits(rest)) return CONTENT_TIME_INT;
    if (is_zone_word(rest) && out_gap->len == 1 && lm_is_blank(out_gap->ptr[0]))
        return CONTENT_TIME_ZONE;
    size_t n = level_run(rest);
    if (n == 0) return CONTENT_TEXT;
    if (n == rest.len) return CONTENT_TIME_LEVEL;
    *out_separator = rest.ptr[n];
    return lm_is_digit(rest.ptr[n]) || n + 1 == rest.len ? CONTENT_TEXT : CONTENT_TIME_LEVEL_TEXT;
}

/* thread/LEVEL */
static bool is_text_level(lm_str s)
{
    size_t at = s.len;
    while (at > 0 && lm_is_alpha(s.ptr[at - 1]))
        at--;
    return at > 1 && s.ptr[at - 1] == '/' && level_run(lm_str_cut(s, at, s.len)) == s.len - at &&
           at < s.len;
}

static bool is_level_letter(lm_str s)
{
    return s.len == 1 && memchr("TDIWEFVNC", s.ptr[0], 9);
}

/* A level, a time, and maybe a text. */
static content content_of_level_time(lm_str s, lm_time *time)
{
    size_t n = level_run(s);
    if (!n && s.len > 1 && lm_is_blank(s.ptr[1]) && is_level_letter(lm_str_cut(s, 0, 1))) n = 1;
    if (!n || n >= s.len || !lm_is_blank(s.ptr[n])) return CONTENT_TEXT;
    lm_str rest = trim(lm_str_cut(s, n, s.len));
    if (!lm_time_parse(rest.ptr, rest.len, time)) return CONTENT_TEXT;
    if (time->len == rest.len) return CONTENT_LEVEL_TIME;
    return lm_is_blank(rest.ptr[time->len]) ? CONTENT_LEVEL_TIME_TEXT : CONTENT_TEXT;
}

static content content_of(lm_str raw, lm_time *time)
{
    lm_str s = trim(raw);
    size_t word = 0, epoch_len;
    if (whole_time(s, time)) return CONTENT_TIME;
    if (s.len && lm_match_level(s.ptr, s.len) == s.len) return CONTENT_LEVEL;
    if (is_level_letter(s)) return CONTENT_LETTER;
    if (lm_epoch_at(s.ptr, s.len, &epoch_len) && epoch_len == s.len) return CONTENT_EPOCH;
    if (all_digits(s)) return CONTENT_INT;
    content level_time = content_of_level_time(s, time);
    if (level_time != CONTENT_TEXT) return level_time;
    while (word < s.len && !lm_is_blank(s.ptr[word]))
        word++;
    if (word && word < s.len && whole_time(trim(lm_str_cut(s, word, s.len)), time))
        return CONTENT_WORD_TIME;
    if (is_place(s)) return CONTENT_PLACE;
    if (is_text_level(s)) return CONTENT_TEXT_LEVEL;
    lm_str gap;
    uint8_t separator;
    content behind = content_behind_time(s, time, &gap, &separator);
    if (behind != CONTENT_TEXT) return behind;
    size_t digits = 0;
    while (digits < s.len && lm_is_digit(s.ptr[digits]))
        digits++;
    if (digits && digits + 1 < s.len && s.ptr[digits] == ':') return CONTENT_INT_TEXT;
    return CONTENT_TEXT;
}

/* Letters, then a blank, ':' or '=' (and a blank): "client ", "instance: ". */
static lm_str key_of(lm_str s)
{
    size_t n = 0;
    while (n < s.len && (lm_is_alpha(s.ptr[n]) || s.ptr[n] == '_'))
        n++;
    if (n < 2 || n >= s.len || n > 24) return (lm_str){0};
    if (s.ptr[n] == ':' || s.ptr[n] == '=') {
        n++;
        while (n < s.len && s.ptr[n] == ' ')
            n++;
    } else if (s.ptr[n] == ' ' && n + 1 < s.len && !lm_is_alpha(s.ptr[n + 1]) &&
               s.ptr[0] >= 'a') { /* "client 10.0.0.1", not "Server thread" */
        n++;
    } else {
        return (lm_str){0};
    }
    return lm_str_cut(s, 0, n);
}

static uint8_t time_rank(uint16_t layout)
{
    return (uint8_t)(1 + 4 * lm_time_layout_has_date(layout) + 2 * lm_time_layout_has_year(layout) +
                     (lm_time_layout_ns(layout) < 1000000000));
}

static void describe_bracket(infer *f, column *c)
{
    uint32_t hits[CONTENT_KEY_EMPTY + 1] = {0};
    uint32_t keyed = 0, empty = 0;
    lm_str key = {0};
    for (size_t i = 0; i < f->count; i++) {
        lm_time time;
        lm_str raw = inside(&f->items[i]);
        content what = content_of(raw, &time);
        hits[what]++;
        if (what == CONTENT_TIME || what == CONTENT_WORD_TIME ||
            (what >= CONTENT_TIME_INT && what <= CONTENT_TIME_LEVEL_TEXT) ||
            (what >= CONTENT_TIME_ZONE && what <= CONTENT_LEVEL_TIME_TEXT))
            c->time_rank = time_rank(time.layout);
        if (what == CONTENT_EPOCH) c->time_rank = EPOCH_RANK;
        c->padded_inside |=
            raw.len && (lm_is_blank(raw.ptr[0]) || lm_is_blank(raw.ptr[raw.len - 1]) ||
                        memchr(raw.ptr, LM_ESCAPE, raw.len));
        lm_str own = key_of(raw);
        if (i == 0) key = own;
        if (key.len && lm_str_starts(raw, key)) {
            keyed++;
            empty += raw.len == key.len;
        }
    }
    c->content = CONTENT_TEXT;
    for (unsigned k = CONTENT_TIME; k <= CONTENT_PLACE; k++) {
        if (hits[k] * 20u >= f->count * 19) c->content = (uint8_t)k;
    }
    if (c->content == CONTENT_TEXT && key.len && keyed == f->count && f->count >= 4) {
        c->content = empty * 2 > f->count ? CONTENT_KEY_EMPTY : CONTENT_KEY;
        c->key = key;
    }
    if (c->content == CONTENT_LETTER && (!f->has_time || f->has_level)) c->content = CONTENT_TEXT;
    bool behind = c->content >= CONTENT_TIME_INT && c->content <= CONTENT_TIME_LEVEL_TEXT;
    bool level_time = c->content == CONTENT_LEVEL_TIME || c->content == CONTENT_LEVEL_TIME_TEXT;
    if (level_time) {
        lm_str first = trim(inside(&f->items[0]));
        c->is_letter = lm_is_blank(first.ptr[1]);
    }
    if (behind) {
        lm_time time;
        (void)content_behind_time(trim(inside(&f->items[0])), &time, &c->key,
                                  &c->separator); /* it is one */
    }
    c->inner_time = behind || level_time || c->content == CONTENT_TIME ||
                    c->content == CONTENT_WORD_TIME || c->content == CONTENT_TIME_ZONE ||
                    c->content == CONTENT_EPOCH;
    c->inner_level = level_time || c->content == CONTENT_LETTER || c->content == CONTENT_LEVEL ||
                     c->content == CONTENT_TIME_LEVEL || c->content == CONTENT_TIME_LEVEL_TEXT ||
                     c->content == CONTENT_TEXT_LEVEL;
    if (!c->inner_time) c->time_rank = 0;
}

/* ---- names ---- */

typedef bool (*test_fn)(lm_str text);

static bool has_upper_only(lm_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') && s.ptr[i] != '_' && s.ptr[i] != '-')
            return false;
    }
    return s.len > 0;
}

static bool is_file(lm_str s)
{
    static const char *const ends[] = {".go", ".py",   ".c",  ".cc",  ".cpp", ".rs", ".js",
                                       ".ts", ".java", ".rb", ".php", ".h",   ".log"};
    size_t n = s.len;
    while (n > 0 && lm_is_digit(s.ptr[n - 1]))
        n--;
    if (n < s.len && n > 0 && s.ptr[n - 1] == ':') s.len = n - 1;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (lm_str_ends(s, lm_str_of(ends[i]))) return true;
    }
    return false;
}

static bool is_host(lm_str s)
{
    bool dash = false, digit = false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        dash |= c == '-' || c == '.';
        digit |= lm_is_digit(c);
        if (!lm_is_alpha(c) && !lm_is_digit(c) && !memchr("-.:_/", c, 5)) return false;
    }
    return digit && (dash || s.len >= 4) && lm_is_alpha(s.ptr[0]);
}

static bool is_date(lm_str s)
{
    unsigned separators = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!lm_is_digit(s.ptr[i]) && !memchr("./-", s.ptr[i], 3)) return false;
        separators += !lm_is_digit(s.ptr[i]);
    }
    return separators == 2 && s.len >= 8 && s.len <= 10;
}

/* app.log, app.log.1.2017-05-16 */
static bool is_log_file(lm_str s)
{
    size_t at = lm_str_find(s, LM_STR(".log"));
    return at != SIZE_MAX && (at + 4 == s.len || s.ptr[at + 4] == '.');
}

static bool has_at(lm_str s)
{
    return memchr(s.ptr, '@', s.len) != NULL;
}

/* name[process:thread] */
static bool has_thread(lm_str s)
{
    unsigned colons = 0;
    for (size_t i = s.len; i > 0 && s.ptr[i - 1] != '['; i--)
        colons += s.ptr[i - 1] == ':';
    return colons == 1;
}

static bool has_equals(lm_str s)
{
    return memchr(s.ptr, '=', s.len) != NULL;
}

static bool is_thread(lm_str s)
{
    static const char *const words[] = {"main", "hread", "pool",    "worker",  "Worker",
                                        "exec", "nio",   "Handler", "handler", "Executor"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (lm_str_find(s, lm_str_of(words[i])) != SIZE_MAX) return true;
    }
    return false;
}

static bool is_request(lm_str s)
{
    return lm_str_starts(s, LM_STR("req-")) || lm_value_of(s).type == LM_TYPE_UUID;
}

static bool is_address(lm_str s)
{
    bool is_v6;
    return lm_ip_len(s.ptr, s.len, &is_v6) > 0;
}

/* w, as some programs write it. */
static bool is_small_letter(lm_str s)
{
    return s.len == 1 && memchr("tdiwefvnc", s.ptr[0], 9);
}

/* Are there several texts? Small letters that are all the same may be anything. */
static bool differ(const infer *f)
{
    for (size_t i = 1; i < f->count; i++) {
        if (!lm_str_equal(f->items[i].text, f->items[0].text)) return true;
    }
    return false;
}

static bool has_sign(lm_str s)
{
    return s.ptr[0] == '*' || s.ptr[0] == '.';
}

/* W! */
static bool is_marked_letter(lm_str s)
{
    return s.len == 2 && s.ptr[1] == '!' && is_level_letter(lm_str_cut(s, 0, 1));
}

size_t lm_infer_key_len(lm_str run)
{
    size_t n = 0;
    while (n < run.len && (lm_is_alpha(run.ptr[n]) || run.ptr[n] == '_' || run.ptr[n] == '-' ||
                           (n && lm_is_digit(run.ptr[n]))))
        n++;
    bool is_pair =
        n && n + 1 < run.len && run.ptr[n] == '=' && !memchr(run.ptr + n + 1, '=', run.len - n - 1);
    return is_pair ? n : 0;
}

static bool most(const infer *f, test_fn test, bool in_brackets, unsigned percent)
{
    size_t hits = 0;
    for (size_t i = 0; i < f->count; i++) {
        lm_str text = in_brackets ? inside(&f->items[i]) : f->items[i].text;
        hits += text.len && test(text);
    }
    return hits * 100 >= f->count * percent && hits > 0;
}

static bool has_named(const infer *f, const char *name)
{
    for (size_t i = 0; i < f->column_count; i++) {
        if (f->columns[i].name && strcmp(f->columns[i].name, name) == 0) return true;
    }
    return false;
}

/* Process numbers have some digits; flags and counts have one. */
static bool is_process(lm_str s)
{
    return s.len >= 2 && s.len <= 10 && s.ptr[0] != '-';
}

static const char *number_name(const infer *f, bool in_brackets)
{
    if (!f->has_time && !f->has_level) return "id";
    const column *previous = &f->columns[f->column_count - 1];
    if (previous->name && strcmp(previous->name, "source") == 0) return "line";
    if (previous->is_key || (f->column_count > 1 && previous[-1].is_key)) return "id";
    if (!has_named(f, "pid")) return most(f, is_process, in_brackets, 50) ? "pid" : "number";
    return has_named(f, "tid") ? "number" : "tid";
}

static const char *word_name(const infer *f, const column *c)
{
    bool dotted = c->dotted * 10 >= c->count * 8;
    if (c->kind == ITEM_WORD && f->column_count == 0) return "label";
    const column *previous = f->column_count ? &f->columns[f->column_count - 1] : NULL;
    if (most(f, is_file, false, 80) || most(f, is_log_file, false, 80)) return "source";
    if (most(f, is_date, false, 90)) return "date";
    if (dotted && f->has_level) return "logger";
    if (dotted && f->has_time) return "app";
    if (most(f, has_at, false, 80)) return "user";
    if (c->glued_after * 10 >= c->count * 9 && f->has_level) return "logger";
    if (c->glued_after * 10 >= c->count * 9) return "app";
    if (most(f, has_upper_only, false, 90)) return "component";
    if (previous && (previous->kind == ITEM_LEVEL || previous->inner_level)) return "logger";
    if (dotted) return "component";
    if (most(f, is_host, false, 90)) return "host";
    return "field";
}

void lm_infer_describe(infer *f, column *c)
{
    switch (c->kind) {
    case ITEM_TIME:
        c->time_rank = time_rank(f->items[0].layout);
        c->name = "timestamp";
        c->is_marked = most(f, has_sign, false, 1);
        break;
    case ITEM_EPOCH:
        c->time_rank = EPOCH_RANK;
        c->name = "timestamp";
        break;
    case ITEM_WRAPPED_LEVEL:
        c->literal = f->items[0].text;
        c->name = "level";
        break;
    case ITEM_LEVEL:
    case ITEM_APP_LEVEL:
        c->name = "level";
        break;
    case ITEM_INT:
        c->name = number_name(f, false);
        break;
    case ITEM_NUMBER:
        c->name = "number";
        break;
    case ITEM_IP:
        c->name = "client";
        break;
    case ITEM_ID:
        c->name = "id";
        break;
    case ITEM_APP:
        c->name = "app";
        c->has_thread = most(f, has_thread, false, 100);
        break;
    case ITEM_NAME:
    case ITEM_WORD:
        c->name = word_name(f, c);
        c->literal = f->items[0].text;
        c->is_constant = c->kind == ITEM_NAME;
        c->is_letter =
            c->kind == ITEM_NAME && !f->has_level && most(f, is_level_letter, false, 100);
        c->is_marked =
            c->kind == ITEM_NAME && !f->has_level && most(f, is_marked_letter, false, 100);
        c->is_letter |= c->is_marked;
        c->is_letter |= c->kind == ITEM_NAME && !f->has_level && f->has_time &&
                        most(f, is_small_letter, false, 100) && differ(f);
        if (c->is_letter) c->name = "level";
        for (size_t i = 1; i < f->count && c->is_constant; i++)
            c->is_constant = lm_str_equal(f->items[i].text, c->literal);
        break;
    case ITEM_PAIR:
        c->key = lm_str_cut(f->items[0].text, 0, lm_infer_key_len(f->items[0].text));
        c->is_constant = true;
        for (size_t i = 1; i < f->count && c->is_constant; i++) {
            lm_str text = f->items[i].text;
            c->is_constant = lm_str_equal(lm_str_cut(text, 0, lm_infer_key_len(text)), c->key);
        }
        break;
    case ITEM_BRACKET:
        describe_bracket(f, c);
        if (c->content == CONTENT_INT)
            c->name = number_name(f, true);
        else if (c->content == CONTENT_TEXT)
            c->name = most(f, is_request, true, 50)   ? "request_id"
                      : most(f, is_address, true, 80) ? "client"
                      : most(f, has_equals, true, 20) ? "context"
                      : most(f, is_thread, true, 30)  ? "thread"
                      : has_named(f, "thread")        ? "context"
                      : has_named(f, "logger")        ? "context"
                                                      : "thread";
        else
            c->name = NULL;
        break;
    default:
        c->literal = f->items[0].text;
        break;
    }
}

/* ---- the tree as text ---- */

typedef struct writer {
    lm_buf out;
    lm_err err;
    char used[COLUMN_MAX * 3][32];
    size_t used_count;
} writer;

static void put(writer *w, const char *text)
{
    if (!w->err) w->err = lm_buf_append(&w->out, text, strlen(text));
}

static void put_literal(writer *w, lm_str text)
{
    for (size_t i = 0; i < text.len && !w->err; i++) {
        if (text.ptr[i] == '%') put(w, "%");
        if (!w->err) w->err = lm_buf_u8(&w->out, text.ptr[i]);
    }
}

/* The same, blanks as the pattern's blank. */
static void put_gap(writer *w, lm_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool blank = lm_is_blank(text.ptr[i]);
        if (!blank)
            put_literal(w, lm_str_cut(text, i, i + 1));
        else if (i == 0 || !lm_is_blank(text.ptr[i - 1]))
            put(w, " ");
    }
}

/* %{name:kind}; a name used before gets a number. */
static void put_field(writer *w, const char *name, const char *kind)
{
    unsigned same = 1;
    for (size_t i = 0; i < w->used_count; i++)
        same += strcmp(w->used[i], name) == 0;
    if (w->used_count < sizeof w->used / sizeof w->used[0]) {
        strncpy(w->used[w->used_count], name, sizeof w->used[0] - 1);
        w->used_count++;
    }
    put(w, "%{");
    put(w, name);
    if (same > 1) {
        char digits[3] = {(char)('0' + same / 10), (char)('0' + same % 10), 0};
        put(w, same >= 10 ? digits : digits + 1);
    }
    if (kind) {
        put(w, ":");
        put(w, kind);
    }
    put(w, "}");
}

static void put_blanks(writer *w, uint32_t min, uint32_t max)
{
    if (min > 0)
        put(w, " ");
    else if (max > 0)
        put(w, "% ");
}

static void put_bracket(writer *w, const column *c, const char *time_name)
{
    char name[32];
    size_t n = 0;
    put(w, "[");
    if (c->padded_inside) put(w, "% ");
    switch ((content)c->content) {
    case CONTENT_TIME:
        put_field(w, time_name, "time");
        break;
    case CONTENT_EPOCH:
        put_field(w, time_name, "epoch");
        break;
    case CONTENT_WORD_TIME:
        put_field(w, "source", "word");
        put(w, " ");
        put_field(w, time_name, "time");
        break;
    case CONTENT_LEVEL:
        put_field(w, "level", "level");
        break;
    case CONTENT_LETTER:
        put_field(w, "level", "letter");
        break;
    case CONTENT_LEVEL_TIME:
    case CONTENT_LEVEL_TIME_TEXT:
        put_field(w, "level", c->is_letter ? "letter" : "level");
        put(w, " ");
        put_field(w, time_name, "time");
        if (c->content == CONTENT_LEVEL_TIME) break;
        put(w, " ");
        put_field(w, "context", "bracket");
        break;
    case CONTENT_INT:
        put_field(w, c->name, "int");
        break;
    case CONTENT_INT_TEXT:
        put_field(w, "pid", "int");
        put(w, ":");
        put_field(w, "thread", "bracket");
        break;
    case CONTENT_PLACE:
        put_field(w, "thread", "last");
        put(w, ":");
        put_field(w, "logger", NULL);
        put(w, "@");
        put_field(w, "line", "int");
        break;
    case CONTENT_TIME_INT:
    case CONTENT_TIME_LEVEL:
    case CONTENT_TIME_LEVEL_TEXT:
        put_field(w, time_name, "time");
        put_gap(w, c->key);
        if (c->content == CONTENT_TIME_INT)
            put_field(w, "pid", "int");
        else
            put_field(w, "level", c->content == CONTENT_TIME_LEVEL ? "level" : "word");
        if (c->content != CONTENT_TIME_LEVEL_TEXT) break;
        put_gap(w, (lm_str){&c->separator, 1});
        put_field(w, "thread", "bracket");
        break;
    case CONTENT_TIME_ZONE:
        put_field(w, time_name, "time");
        put(w, " ");
        put_field(w, "zone", "word");
        break;
    case CONTENT_TEXT_LEVEL:
        put_field(w, "thread", "last");
        put(w, "/");
        put_field(w, "level", "level");
        break;
    case CONTENT_KEY:
    case CONTENT_KEY_EMPTY:
        put_literal(w, c->key);
        for (; n + 1 < sizeof name && n < c->key.len &&
               (lm_is_alpha(c->key.ptr[n]) || c->key.ptr[n] == '_');
             n++)
            name[n] = (char)c->key.ptr[n];
        name[n] = 0;
        put_field(w, name, "bracket");
        break;
    case CONTENT_TEXT:
        put_field(w, c->name, "bracket");
        break;
    }
    bool is_last_text = c->content == CONTENT_TEXT || c->content == CONTENT_LEVEL_TIME_TEXT;
    if (c->padded_inside && !is_last_text) put(w, "% ");
    put(w, "]");
}

/* key=%{key:word} */
static void put_pair(writer *w, const column *c)
{
    char name[32];
    size_t n = c->key.len < sizeof name ? c->key.len : sizeof name - 1;
    memcpy(name, c->key.ptr, n);
    name[n] = 0;
    if (c->is_constant) {
        put_literal(w, c->key);
        put(w, "=");
    }
    put_field(w, c->is_constant ? name : "field", "word");
}

static void put_column(writer *w, const infer *f, size_t index, size_t best_time)
{
    const column *c = &f->columns[index];
    const char *time_name = index == best_time ? "timestamp" : "time";
    const column *key = index >= 2 && f->columns[index - 2].is_key ? &f->columns[index - 2] : NULL;
    if (index || c->blanks_max) put_blanks(w, index ? c->blanks_min : 0, c->blanks_max);
    bool dashes = c->kind == ITEM_NAME && c->is_constant; /* "---" in all lines is no field */
    for (size_t i = 0; i < c->literal.len && dashes; i++)
        dashes = !lm_is_alpha(c->literal.ptr[i]) && !lm_is_digit(c->literal.ptr[i]);
    if (c->is_letter && c->kind != ITEM_BRACKET) {
        put_field(w, "level", "letter");
        if (c->is_marked) put(w, "!");
        return;
    }
    if (dashes && index) {
        put_literal(w, c->literal);
        return;
    }
    if (c->is_key) {
        put_literal(w, c->literal);
        return;
    }
    if (key) { /* key ':' value */
        char name[32];
        size_t n = 0;
        for (; n + 1 < sizeof name && n < key->literal.len; n++) {
            uint8_t b = key->literal.ptr[n];
            name[n] = lm_is_alpha(b) || lm_is_digit(b) || b == '_' || b == '.' || b == '-' ? (char)b
                                                                                           : '_';
        }
        name[n] = 0;
        put_field(w, name, "word");
        return;
    }
    switch (c->kind) {
    case ITEM_TIME:
        if (c->is_marked) put(w, "%(*%|.%|%)");
        put_field(w, time_name, "time");
        break;
    case ITEM_EPOCH:
        put_field(w, time_name, "epoch");
        break;
    case ITEM_LEVEL:
        put_field(w, "level", "level");
        break;
    case ITEM_WRAPPED_LEVEL:
        put_literal(w, lm_str_cut(c->literal, 0, 1));
        put_field(w, "level", c->literal.len == 3 ? "letter" : "level");
        put_literal(w, lm_str_cut(c->literal, c->literal.len - 1, c->literal.len));
        break;
    case ITEM_APP_LEVEL:
        put_field(w, "app", NULL);
        put(w, ".");
        put_field(w, "level", "level");
        break;
    case ITEM_BRACE:
        put(w, "{");
        put_field(w, "context", NULL);
        put(w, "}");
        break;
    case ITEM_INT:
        put_field(w, c->name, "int");
        break;
    case ITEM_NUMBER:
        put_field(w, c->name, "number");
        break;
    case ITEM_IP:
        put_field(w, c->name, "ip");
        break;
    case ITEM_PAIR:
        put_pair(w, c);
        break;
    case ITEM_ID:
    case ITEM_NAME:
    case ITEM_WORD:
        put_field(w, c->name, "word");
        break;
    case ITEM_APP:
        put_field(w, c->name, "word");
        put(w, "[");
        put_field(w, "pid", "int");
        if (c->has_thread) {
            put(w, ":");
            put_field(w, "tid", "int");
        }
        put(w, "]");
        break;
    case ITEM_BRACKET:
        put_bracket(w, c, time_name);
        break;
    case ITEM_DASH:
        if (index == 0)
            put_field(w, "label", "word"); /* a dash in front stands for "nothing" */
        else
            put_literal(w, c->literal);
        break;
    default:
        put_literal(w, c->literal);
    }
}

lm_err lm_infer_write(infer *f, lm_str *out_pattern)
{
    writer w = {.err = LM_OK};
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < f->column_count; i++) {
        uint8_t rank = f->columns[i].time_rank;
        if (rank && (best == SIZE_MAX || rank > f->columns[best].time_rank)) best = i;
    }
    lm_buf_init(&w.out, f->arena->mem);
    for (size_t i = 0; i < f->column_count; i++)
        put_column(&w, f, i, best);
    put_blanks(&w, f->gap_min, f->gap_max);
    put(&w, "%m");
    if (f->has_logger_tail) put(&w, " (%c)");
    uint8_t *p = w.err ? NULL : lm_arena_copy(f->arena, w.out.ptr, w.out.len);
    if (!w.err && !p) w.err = lm_mem_err();
    if (!w.err) *out_pattern = (lm_str){p, w.out.len};
    lm_buf_fini(&w.out);
    return w.err;
}

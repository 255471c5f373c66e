/**
 * The level of a record, for queries that name `detected_level`: what Grafana's histograms and Logs
 * Drilldown group by. Loki finds it when a record comes in and keeps it with the record; here it is
 * found by the same signs when somebody asks: a label or metadata of a level's name, the severity
 * number of OpenTelemetry, a field of JSON or logfmt, a word in the line.
 */
#include "logql/logql_priv.h"

#define JSON_LEVELS 2u /* fields of the object and of objects in it */

static const char *const names[] = {
    "level", "LEVEL", "Level", "log.level",    "severity",      "SEVERITY",      "Severity",
    "lvl",   "LVL",   "Lvl",   "SeverityText", "severity_text", "Severity_Text", "SEVERITY_TEXT"};

/* Earlier rows win where two words begin at the same place. */
#define WORD(word, level, is_in_text) {word, level, sizeof(word) - 1, is_in_text}

static const struct {
    const char *word, *level;
    uint8_t len;
    bool is_in_text; /* looked for in plain text, too */
} words[] = {
    WORD("trace", "trace", true), WORD("trc", "trace", false),  WORD("debug", "debug", true),
    WORD("dbg", "debug", false),  WORD("fatal", "fatal", true), WORD("critical", "critical", true),
    WORD("error", "error", true), WORD("err", "error", true),   WORD("warning", "warn", true),
    WORD("warn", "warn", true),   WORD("wrn", "warn", false),   WORD("information", "info", false),
    WORD("info", "info", true),   WORD("inf", "info", false)};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static lm_str level_of_word(lm_str value)
{
    for (size_t i = 0; i < COUNT(words); i++) {
        if (lm_str_equal_nocase(value, lm_str_of(words[i].word))) return lm_str_of(words[i].level);
    }
    return LM_STR("");
}

/** The first name of the list that has a value; most labels differ from all of them by their first
 * letter. */
static bool find_label(lm_labels labels, lm_str *out)
{
    size_t best = COUNT(names);
    for (uint32_t i = 0; i < labels.count; i++) {
        lm_str name = labels.items[i].name;
        uint8_t first = name.len ? name.ptr[0] | 0x20 : 0;
        if ((first != 'l' && first != 's') || !labels.items[i].value.len) continue;
        for (size_t k = 0; k < best; k++) {
            if (!lm_str_equal(name, lm_str_of(names[k]))) continue;
            best = k;
            *out = labels.items[i].value;
        }
    }
    return best < COUNT(names);
}

/** As OpenTelemetry numbers severities: four of each. */
static lm_str level_of_number(lm_str text)
{
    static const char *const levels[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    int64_t number = 0;
    if (!lm_lq_int(text, &number)) return LM_STR("info");
    return number >= 1 && number <= 24 ? lm_str_of(levels[(number - 1) / 4]) : LM_STR("unknown");
}

/* ---- fields of the line ---- */

typedef struct json_walk {
    lm_arena *scratch;
    unsigned depth;
    lm_str found;
} json_walk;

static lm_err look_at_member(void *ctx, lm_str key, lm_lq_torn_value value, bool *io_goes_on,
                             lm_str *io_why)
{
    json_walk *walk = ctx;
    lm_err err = LM_OK;
    if (value.kind == LM_LQ_TORN_OBJECT && walk->depth < JSON_LEVELS) {
        json_walk inner = {walk->scratch, walk->depth + 1, LM_STR("")};
        err = lm_lq_torn_each(value.text, walk->scratch, look_at_member, &inner, io_why);
        walk->found = inner.found;
    }
    for (size_t i = 0; value.kind == LM_LQ_TORN_STRING && i < COUNT(names); i++) {
        if (lm_str_equal(key, lm_str_of(names[i]))) walk->found = value.text;
    }
    *io_goes_on = walk->found.len == 0;
    return err;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/** The value of the first name of the list that the line's key=value pairs have. */
static lm_str look_at_pairs(lm_str line)
{
    size_t best = COUNT(names);
    lm_str found = LM_STR("");
    for (size_t at = 0; at < line.len && best;) {
        while (at < line.len && is_space(line.ptr[at]))
            at++;
        size_t begin = at;
        while (at < line.len && line.ptr[at] != '=' && !is_space(line.ptr[at]))
            at++;
        lm_str key = {line.ptr + begin, at - begin}, value = LM_STR("");
        if (at < line.len && line.ptr[at] == '=') {
            bool is_quoted = ++at < line.len && line.ptr[at] == '"';
            begin = at += is_quoted ? 1 : 0;
            while (at < line.len && (is_quoted ? line.ptr[at] != '"' : !is_space(line.ptr[at])))
                at += is_quoted && line.ptr[at] == '\\' ? 2 : 1;
            if (at > line.len) at = line.len;
            value = (lm_str){line.ptr + begin, at - begin};
            if (at < line.len) at++;
        }
        uint8_t first = key.len ? key.ptr[0] | 0x20 : 0;
        if (!value.len || (first != 'l' && first != 's')) continue;
        for (size_t i = 0; i < best; i++) {
            if (!lm_str_equal_nocase(key, lm_str_of(names[i]))) continue;
            best = i;
            found = value;
        }
    }
    return found;
}

/* ---- words of the line ---- */

enum { MAY_STAND_BEFORE = 1, MAY_STAND_BEHIND = 2, BEGINS_A_WORD = 4 };

/** What a byte may be to a word that is a level: this is looked at for every byte of a line. */
static const uint8_t roles[256] = {
    [' '] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['\t'] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['\n'] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['['] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['('] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['{'] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['"'] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    ['='] = MAY_STAND_BEFORE | MAY_STAND_BEHIND,
    [']'] = MAY_STAND_BEHIND,
    [')'] = MAY_STAND_BEHIND,
    ['}'] = MAY_STAND_BEHIND,
    [':'] = MAY_STAND_BEHIND,
    [','] = MAY_STAND_BEHIND,
    ['!'] = MAY_STAND_BEHIND,
    ['t'] = BEGINS_A_WORD,
    ['d'] = BEGINS_A_WORD,
    ['f'] = BEGINS_A_WORD,
    ['c'] = BEGINS_A_WORD,
    ['e'] = BEGINS_A_WORD,
    ['w'] = BEGINS_A_WORD,
    ['i'] = BEGINS_A_WORD,
    ['T'] = BEGINS_A_WORD,
    ['D'] = BEGINS_A_WORD,
    ['F'] = BEGINS_A_WORD,
    ['C'] = BEGINS_A_WORD,
    ['E'] = BEGINS_A_WORD,
    ['W'] = BEGINS_A_WORD,
    ['I'] = BEGINS_A_WORD,
};

static lm_str word_at(lm_str line, size_t at)
{
    size_t left = line.len - at;
    for (size_t i = 0; i < COUNT(words); i++) {
        size_t len = words[i].len;
        if ((line.ptr[at] | 0x20) != words[i].word[0] || !words[i].is_in_text || left < len)
            continue;
        if (left > len && !(roles[line.ptr[at + len]] & MAY_STAND_BEHIND)) continue;
        lm_str word = {(const uint8_t *)words[i].word, len};
        if (lm_str_equal_nocase((lm_str){line.ptr + at, len}, word))
            return lm_str_of(words[i].level);
    }
    return LM_STR("");
}

static lm_str look_at_words(lm_str line)
{
    uint8_t before = MAY_STAND_BEFORE;
    for (size_t at = 0; at < line.len; at++) {
        uint8_t role = roles[line.ptr[at]];
        if (role & BEGINS_A_WORD && before & MAY_STAND_BEFORE) {
            lm_str level = word_at(line, at);
            if (level.len) return level;
        }
        before = role;
    }
    return LM_STR("unknown");
}

static lm_err level_of_line(lm_str line, lm_arena *scratch, lm_str *out)
{
    lm_str bare = line, value = LM_STR("");
    lm_err err = LM_OK;
    while (bare.len && is_space(bare.ptr[0]))
        bare = (lm_str){bare.ptr + 1, bare.len - 1};
    while (bare.len && is_space(bare.ptr[bare.len - 1]))
        bare.len--;
    if (bare.len && bare.ptr[0] == '{' && bare.ptr[bare.len - 1] == '}') {
        lm_str why; /* where it breaks off does not matter here */
        json_walk walk = {scratch, 1, LM_STR("")};
        err = lm_lq_torn_each(bare, scratch, look_at_member, &walk, &why);
        value = walk.found;
    } else if (line.len && memchr(line.ptr, '=', line.len)) {
        value = look_at_pairs(line);
    }
    *out = level_of_word(value);
    if (!out->len) *out = look_at_words(line);
    return err;
}

lm_err lm_lq_level(lm_labels labels, lm_labels metadata, lm_str line, lm_arena *scratch,
                   lm_str *out)
{
    lm_str told;
    if (find_label(labels, &told) || find_label(metadata, &told)) {
        *out = level_of_word(told);
        if (!out->len) *out = told; /* a level of their own */
        return LM_OK;
    }
    told = lm_labels_get(metadata, LM_STR("severity_number"));
    if (told.len) {
        *out = level_of_number(told);
        return LM_OK;
    }
    return level_of_line(line, scratch, out);
}

lm_err lm_lq_run_begin(lm_lq_run *run, bool wants_level, const lm_stream *stream,
                       const lm_record *record)
{
    lm_lq_builder *labels = &run->labels;
    lm_str level;
    lm_lq_builder_reset(labels, stream->labels);
    lm_err err = record->metadata.count
                     ? lm_lq_builder_metadata(labels, record->metadata, &run->scratch)
                     : LM_OK;
    if (err || !wants_level || lm_lq_builder_get(labels, LM_LQ_LEVEL, &level)) return err;
    err = lm_lq_level(stream->labels, record->metadata, record->line, &run->scratch, &level);
    lm_label one = {LM_LQ_LEVEL, level};
    return err || !level.len ? err
                             : lm_lq_builder_metadata(labels, (lm_labels){&one, 1}, &run->scratch);
}

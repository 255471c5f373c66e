/** How records begin: a timestamp near the front, a level, one JSON object. */
#include "ingest/ingest_priv.h"

enum { TIME_OFFSET_MAX = 72, CLOCK_OFFSET_MAX = 8, TRIES_MAX = 8 };

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static bool is_upper(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26;
}

static bool is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

/** Timestamps begin a line, or stand behind a blank or a bracket, quote or separator. */
static bool may_begin_behind(uint8_t c)
{
    switch (c) {
    case ' ':
    case '\t':
    case '[':
    case '(':
    case '<':
    case '>':
    case '"':
    case '\'':
    case '=':
    case '|':
    case ';':
    case ',':
    case '{':
    case '-':
    case '*':
        return true;
    default:
        return false;
    }
}

static bool is_time_at(lm_str line, size_t at, lm_header_hint *hint)
{
    lm_time time;
    if (!lm_time_parse(line.ptr + at, line.len - at, &time)) return false;
    if (at > CLOCK_OFFSET_MAX && !lm_time_layout_has_date(time.layout)) return false;
    hint->offset = (uint16_t)at;
    hint->layout = time.layout;
    hint->is_set = true;
    return true;
}

bool lm_header_has_time(lm_str line, lm_header_hint *hint)
{
    lm_time time;
    if (hint->is_set && hint->offset < line.len) {
        size_t at = hint->offset;
        if (lm_time_clock_read(&hint->clock, hint->layout, line.ptr + at, line.len - at, &time))
            return true;
    }
    if (line.len < 6) return false;
    /* klog: a letter for the level, then month and day: I0507 11:59:44.523502 */
    if (is_upper(line.ptr[0]) && is_digit(line.ptr[1]) && is_digit(line.ptr[4]) &&
        is_time_at(line, 1, hint))
        return true;
    size_t end = line.len < TIME_OFFSET_MAX ? line.len : TIME_OFFSET_MAX;
    unsigned tries = 0;
    for (size_t i = 0; i + 6 <= end && tries < TRIES_MAX; i++) {
        uint8_t c = line.ptr[i];
        if (i > 0 && !may_begin_behind(line.ptr[i - 1])) continue;
        /* digits, or a month or weekday: one capital, then small letters */
        if (!is_digit(c) &&
            !(is_upper(c) && is_alpha(line.ptr[i + 1]) && !is_upper(line.ptr[i + 1])))
            continue;
        tries++;
        if (is_time_at(line, i, hint)) return true;
    }
    return false;
}

bool lm_header_has_level(lm_str line)
{
    static const char *const words[] = {"TRACE", "DEBUG", "INFO",   "NOTICE",   "WARN",   "WARNING",
                                        "ERROR", "ERR",   "FATAL",  "CRITICAL", "CRIT",   "SEVERE",
                                        "ALERT", "EMERG", "CONFIG", "FINE",     "VERBOSE"};
    size_t at = 0;
    if (line.len > 2 && line.ptr[0] == '<') { /* syslog's priority */
        size_t i = 1;
        while (i < line.len && i < 4 && is_digit(line.ptr[i])) {
            i++;
        }
        if (i > 1 && i < line.len && line.ptr[i] == '>') return true;
    }
    if (line.len && (line.ptr[0] == '[' || line.ptr[0] == '(' || line.ptr[0] == '<')) at = 1;
    size_t len = 0;
    while (at + len < line.len && len < 9 && is_alpha(line.ptr[at + len])) {
        len++;
    }
    if (len < 3 || len > 8) return false;
    bool is_bracketed = at == 1;
    if (!is_bracketed && !is_upper(line.ptr[1])) return false; /* "Error while ..." is a sentence */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) == len &&
            lm_str_equal_nocase((lm_str){line.ptr + at, len}, lm_str_of(words[i])))
            return true;
    }
    return false;
}

bool lm_header_is_json(lm_str line)
{
    size_t len = line.len;
    while (len && (line.ptr[len - 1] == '\r' || line.ptr[len - 1] == ' ')) {
        len--;
    }
    return len >= 2 && line.ptr[0] == '{' && line.ptr[len - 1] == '}';
}

/* ---- lines of reports ------------------------------------------------------------------------ */

static inline bool starts(lm_str line, const char *word)
{
    return lm_str_starts(line, lm_str_of(word));
}

static lm_str trim_end(lm_str line)
{
    while (line.len && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\r' ||
                        line.ptr[line.len - 1] == '\t')) {
        line.len--;
    }
    return line;
}

/** The first word, in any case, is one of a NULL-terminated list. */
static bool starts_with_word(lm_str line, const char *const *words)
{
    size_t len = 0;
    while (len < line.len && len < 12 && is_alpha(line.ptr[len])) {
        len++;
    }
    if (len < 2 || (len < line.len &&
                    (is_digit(line.ptr[len]) || line.ptr[len] == '_' || line.ptr[len] == '.')))
        return false;
    for (; *words; words++) {
        if (lm_str_equal_nocase((lm_str){line.ptr, len}, lm_str_of(*words))) return true;
    }
    return false;
}

static bool begins_sql(lm_str line)
{
    static const char *const verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE",
                                        "ALTER",  "WITH",   "MERGE",  NULL};
    if (!starts_with_word(line, verbs)) return false;
    lm_str text = trim_end(line);
    if (text.len == 0 || text.ptr[text.len - 1] == ';') return false;
    /* in capitals it is one; else a sentence may begin with "create", too, and what is SQL has its
     * next word */
    if (is_upper(line.ptr[1])) return true;
    uint8_t last = text.ptr[text.len - 1];
    if (text.len <= 8 || last == ',' || last == '(') return true;
    static const char *const seconds[] = {" from ", " into ",     " table ", " index ",
                                          " view ", " distinct ", " * "};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        if (lm_str_find(text, lm_str_of(seconds[i])) != SIZE_MAX) return true;
    }
    return false;
}

/** "java.io.IOException", "app.errors.KeyError: ...": names with dots between, the last one ends in
 * Exception or Error. */
static bool is_exception(lm_str line)
{
    size_t len = 0;
    while (len < line.len && len < 200 &&
           (is_alpha(line.ptr[len]) || is_digit(line.ptr[len]) || strchr("._$", line.ptr[len]))) {
        if (line.ptr[len] == 0) break;
        len++;
    }
    if (len < line.len && line.ptr[len] != ':' && line.ptr[len] != '\r') return false;
    lm_str name = {line.ptr, len};
    return len > 6 &&
           (lm_str_ends(name, LM_STR("Exception")) || lm_str_ends(name, LM_STR("Error")));
}

/** "#0 /srv/a.php(12): f()", "#3 {main}", "#1  0x00007f in main ()". */
static bool is_numbered_frame(lm_str line)
{
    size_t at = 1;
    while (at < line.len && at < 5 && is_digit(line.ptr[at]))
        at++;
    if (at == 1 || at >= line.len || line.ptr[at] != ' ') return false;
    while (at < line.len && line.ptr[at] == ' ')
        at++;
    return at < line.len && (is_alpha(line.ptr[at]) || memchr("/{[0\\", line.ptr[at], 5));
}

static lm_trace_line classify_by_start(lm_str line)
{
    switch (line.ptr[0]) {
    case 'C':
        return starts(line, "Caused by: ") ? LM_TRACE_FRAME
               : begins_sql(line)          ? LM_TRACE_SQL
                                           : LM_TRACE_NONE;
    case 'S':
        return starts(line, "Suppressed: ") || starts(line, "Stack trace:") ? LM_TRACE_FRAME
               : begins_sql(line)                                           ? LM_TRACE_SQL
                                                                            : LM_TRACE_NONE;
    case '.':
        return starts(line, "... ") && is_digit(line.ptr[4]) ? LM_TRACE_FRAME : LM_TRACE_NONE;
    case 'a':
        return starts(line, "at ") && (line.ptr[line.len - 1] == ')' ||
                                       lm_str_find(line, LM_STR(" in ")) != SIZE_MAX)
                   ? LM_TRACE_FRAME
               : begins_sql(line) ? LM_TRACE_SQL
                                  : LM_TRACE_NONE;
    case '-':
        return starts(line, "--- End of ") || starts(line, "---> ") ? LM_TRACE_FRAME
                                                                    : LM_TRACE_NONE;
    case 'T': {
        if (starts(line, "Traceback (most recent call last)")) return LM_TRACE_PYTHON;
        return starts(line, "The above exception was the direct cause") ? LM_TRACE_PYTHON_AND
                                                                        : LM_TRACE_NONE;
    }
    case 'D':
        return starts(line, "During handling of the above exception") ? LM_TRACE_PYTHON_AND
               : begins_sql(line)                                     ? LM_TRACE_SQL
                                                                      : LM_TRACE_NONE;
    case 'p':
        return starts(line, "panic: ") ? LM_TRACE_GO : LM_TRACE_NONE;
    case 'f':
        return starts(line, "fatal error: ") ? LM_TRACE_GO : LM_TRACE_NONE;
    case 'g':
        return starts(line, "goroutine ") ? LM_TRACE_GO : LM_TRACE_NONE;
    case '{':
        return starts(line, "{Heap before GC") ? LM_TRACE_GC : LM_TRACE_NONE;
    case '[':
        return starts(line, "[stacktrace]") || starts(line, "[previous exception]") ? LM_TRACE_FRAME
                                                                                    : LM_TRACE_NONE;
    case '#':
        if (is_numbered_frame(line)) return LM_TRACE_FRAME;
        return starts(line, "# Time: ") || starts(line, "# User@Host: ") ? LM_TRACE_SQL_HEAD
                                                                         : LM_TRACE_NONE;
    case 'I':
    case 'U':
    case 'A':
    case 'W':
    case 'M':
    case 's':
    case 'i':
    case 'u':
    case 'd':
    case 'c':
    case 'w':
    case 'm':
        return begins_sql(line) ? LM_TRACE_SQL : LM_TRACE_NONE;
    default:
        return LM_TRACE_NONE;
    }
}

lm_trace_line lm_trace_classify(lm_str line)
{
    /* the string and the object that a trace was written in end */
    if (starts(line, "\"}")) return LM_TRACE_FRAME;
    if (line.len < 5) return LM_TRACE_NONE;
    lm_trace_line kind = classify_by_start(line);
    if (kind != LM_TRACE_NONE || !is_alpha(line.ptr[0])) return kind;
    return is_exception(line) ? LM_TRACE_EXCEPTION : LM_TRACE_NONE;
}

bool lm_trace_is_go(lm_str line)
{
    if (line.len == 0 || line.ptr[0] == '\t') return true;
    if (line.ptr[0] == '[') return starts(line, "[signal ") || starts(line, "[recovered]");
    if (starts(line, "goroutine ") || starts(line, "created by ") || starts(line, "exit status ") ||
        starts(line, "panic: "))
        return true;
    /* a call: package.function(arguments), no blank before the bracket */
    lm_str text = trim_end(line);
    if (text.len < 4 || text.ptr[text.len - 1] != ')' || !is_alpha(text.ptr[0])) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '(') return true;
        if (text.ptr[i] == ' ') return false;
    }
    return false;
}

bool lm_trace_is_sql(lm_str line)
{
    static const char *const clauses[] = {
        "FROM",   "WHERE", "AND",       "OR",         "ON",     "JOIN",  "LEFT",
        "RIGHT",  "INNER", "OUTER",     "FULL",       "CROSS",  "ORDER", "GROUP",
        "HAVING", "LIMIT", "OFFSET",    "UNION",      "VALUES", "SET",   "SELECT",
        "INTO",   "USING", "RETURNING", "AS",         "CASE",   "WHEN",  "THEN",
        "ELSE",   "END",   "PRIMARY",   "CONSTRAINT", NULL};
    if (line.len == 0) return false;
    uint8_t c = line.ptr[0];
    if (c == ' ' || c == '\t' || c == ')' || c == '(' || c == ',') return true;
    return starts_with_word(line, clauses);
}

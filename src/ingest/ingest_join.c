/**
 * Which lines continue the record of the lines before.
 *
 * Three ways to tell, in this order:
 *
 *   given     a regular expression matches first lines; every other line continues.
 *   headed    nearly every record begins with a header: a timestamp near the front, or else a
 * level. Learned from the first lines of the stream. A line without one continues: a stack trace, a
 * statement, a dump, a blank line. by shape  else lines are judged by themselves and by what is
 * open: indentation, stack traces of Java, C#, Python and Go, SQL statements, JSON over several
 * lines, heap reports of a JVM. In headed streams this part only keeps what looks like a header
 * inside of an open JSON object from splitting it.
 *
 *     NONE --"{" or a line that ends with it--> JSON --braces closed, or a line that is no JSON-->
 * NONE NONE --"Traceback"--> PYTHON --first line without indentation--> PYTHON_DONE --"During
 * handling"--> PYTHON NONE --"panic:"--> GO --line that is no part of it--> NONE NONE --SELECT
 * without ";"--> SQL --";" or another line--> NONE NONE --"{Heap before GC"--> GC --"}" closes-->
 * NONE NONE --"# Time:"--> SQL_HEAD --the next "# Time:" or "# User@Host:" after a statement-->
 * SQL_HEAD
 *
 * Invariants
 *   (1) The answer for a line depends on what was learned and on the lines since the last reset, nothing else.
 *   (2) A record never has more than LM_RECORD_LINES_MAX lines; the next line then begins a new one.
 *   (3) The cost of a line does not grow with its length, but for lines inside of open JSON.
 */
#include "ingest/ingest_priv.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define JOINER_MAGIC 0x6e696f6au

typedef enum open_state {
    OPEN_NONE,
    OPEN_JSON,
    OPEN_PYTHON,
    OPEN_PYTHON_DONE,
    OPEN_GO,
    OPEN_SQL,
    OPEN_GC,
    OPEN_SQL_HEAD
} open_state;

struct lm_joiner {
    uint32_t magic;
    lm_mem *mem;
    /* learned */
    bool has_times;   /* records begin with a timestamp near the front */
    bool has_levels;  /* records begin with a level */
    bool is_indented; /* most lines begin with a blank: it says nothing */
    bool is_padded; /* levels stand to the right of their column: headers may begin with a blank */
    uint16_t padded_offset, padded_layout; /* where their time stands then */
    /* given */
    pcre2_general_context *general;
    pcre2_code *pattern; /* NULL: none */
    pcre2_match_data *match;
    /* the record under way */
    bool is_headed; /* the line at hand has a timestamp in its header */
    lm_header_hint hint;
    open_state open;
    int32_t depth;      /* of braces and brackets, in JSON */
    uint32_t lines;     /* of the record so far; 0: none began */
    bool has_statement; /* SQL_HEAD: a line other than "# ..." came */
};

lm_err lm_joiner_new(lm_mem *mem, lm_joiner **out)
{
    lm_joiner *j = lm_mem_alloc(mem, sizeof *j);
    if (!j) return lm_mem_err();
    *j = (lm_joiner){.magic = JOINER_MAGIC, .mem = mem};
    *out = j;
    return LM_OK;
}

static void drop_pattern(lm_joiner *j)
{
    pcre2_match_data_free(j->match);
    pcre2_code_free(j->pattern);
    pcre2_general_context_free(j->general);
    j->match = NULL;
    j->pattern = NULL;
    j->general = NULL;
}

void lm_joiner_free(lm_joiner *j)
{
    if (!j) return;
    LM_ASSERT(j->magic == JOINER_MAGIC);
    drop_pattern(j);
    j->magic = 0;
    lm_mem_release(j->mem, j, sizeof *j);
}

static void *pattern_alloc(size_t bytes, void *mem)
{
    return lm_sized_alloc(mem, bytes);
}

static void pattern_free(void *ptr, void *mem)
{
    lm_sized_free(mem, ptr);
}

lm_err lm_joiner_configure(lm_joiner *j, lm_str start_pattern)
{
    LM_ASSERT(j->magic == JOINER_MAGIC);
    lm_joiner made = {.mem = j->mem};
    lm_err err = LM_OK;
    if (start_pattern.len > 0) {
        int code = 0;
        size_t at = 0;
        made.general = pcre2_general_context_create(pattern_alloc, pattern_free, j->mem);
        if (!made.general) return lm_mem_err();
        pcre2_compile_context *compile = pcre2_compile_context_create(made.general);
        if (compile) {
            made.pattern = pcre2_compile(start_pattern.ptr, start_pattern.len,
                                         PCRE2_NEVER_BACKSLASH_C, &code, &at, compile);
        }
        pcre2_compile_context_free(compile);
        if (!compile || (!made.pattern && code == PCRE2_ERROR_HEAP_FAILED)) {
            err = lm_mem_err();
            goto out;
        }
        if (!made.pattern) {
            char reason[160];
            (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)reason,
                                          sizeof reason); /* cut short is fine */
            err = lm_fail_at(LM_E_USAGE, at, "start pattern '%.*s': %s at character %zu",
                             (int)(start_pattern.len < 100 ? start_pattern.len : 100),
                             (const char *)start_pattern.ptr, reason, at + 1);
            goto out;
        }
        (void)pcre2_jit_compile(made.pattern,
                                PCRE2_JIT_COMPLETE); /* without it matching is slower, not wrong */
        made.match = pcre2_match_data_create(1, made.general);
        if (!made.match) {
            err = lm_mem_err();
            goto out;
        }
    }
    drop_pattern(j);
    j->general = made.general;
    j->pattern = made.pattern;
    j->match = made.match;
    return LM_OK;
out:
    drop_pattern(&made);
    return err;
}

/* ---- JSON over several lines ----------------------------------------------------------------- */

/** How much deeper in braces and brackets the line ends than it begins; strings are skipped. */
static int32_t json_depth(lm_str line)
{
    int32_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.ptr[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return depth;
}

static lm_str trim(lm_str line)
{
    while (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
        line.ptr++, line.len--;
    }
    while (line.len && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\r' ||
                        line.ptr[line.len - 1] == '\t')) {
        line.len--;
    }
    return line;
}

/** Could this be a line of an object or array that is spread over lines? */
static bool is_json_part(lm_str line)
{
    lm_str text = trim(line);
    if (text.len == 0) return true;
    switch (text.ptr[0]) {
    case '"':
    case '{':
    case '}':
    case '[':
    case ']':
    case '-':
        return true;
    default:
        break;
    }
    uint8_t last = text.ptr[text.len - 1];
    bool is_value = (uint8_t)(text.ptr[0] - '0') < 10 || lm_str_starts(text, LM_STR("true")) ||
                    lm_str_starts(text, LM_STR("false")) || lm_str_starts(text, LM_STR("null"));
    return is_value && (last == ',' || text.len < 25);
}

/** Does the line leave an object or array open? Only one that ends in an opening bracket or a comma
 * counts. */
static bool opens_json(lm_str line, int32_t *out_depth)
{
    size_t len = line.len;
    while (len && (line.ptr[len - 1] == ' ' || line.ptr[len - 1] == '\r')) {
        len--;
    }
    if (len == 0) return false;
    uint8_t last = line.ptr[len - 1];
    bool may_open =
        last == '{' || last == '[' || (last == ',' && (line.ptr[0] == '{' || line.ptr[0] == '['));
    if (!may_open || len > 4096) return false;
    int32_t depth = json_depth(line);
    *out_depth = depth;
    return depth > 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool is_blank_start(lm_str line)
{
    return line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
}

/** A line that begins with a blank, and has its time where the others have it. */
static bool is_padded_header(uint16_t offset, uint16_t layout, lm_str line)
{
    lm_time time;
    return offset < line.len && is_blank_start(line) &&
           lm_time_parse_as(layout, line.ptr + offset, line.len - offset, &time);
}

static bool has_header(lm_joiner *j, lm_str line)
{
    if (j->is_headed) return true;
    if (j->has_times) {
        if (is_blank_start(line) && !j->is_indented)
            return j->is_padded && is_padded_header(j->padded_offset, j->padded_layout, line);
        return lm_header_has_time(line, &j->hint) || lm_header_is_json(line);
    }
    return j->has_levels && (lm_header_has_level(line) || lm_header_is_json(line));
}

/** Does the line belong to what is open? Moves on, or closes it. */
static bool continues_open(lm_joiner *j, lm_str line)
{
    switch (j->open) {
    case OPEN_NONE:
        return false;
    case OPEN_JSON: {
        if (!is_json_part(line)) break;
        int32_t change = json_depth(line);
        j->depth += change;
        if (j->depth <= 0) j->open = OPEN_NONE;
        return true;
    }
    case OPEN_PYTHON:
        if (is_blank_start(line)) return true;
        j->open = OPEN_PYTHON_DONE; /* "ValueError: ..." */
        return true;
    case OPEN_PYTHON_DONE:
        if (line.len == 0 || is_blank_start(line)) return true;
        if (lm_trace_classify(line) == LM_TRACE_PYTHON_AND) return true;
        if (lm_trace_classify(line) == LM_TRACE_PYTHON) {
            j->open = OPEN_PYTHON;
            return true;
        }
        break;
    case OPEN_GO:
        if (lm_trace_is_go(line)) return true;
        break;
    case OPEN_SQL: {
        bool has_more = lm_trace_is_sql(line);
        size_t len = line.len;
        bool is_end = len && line.ptr[len - 1] == ';';
        if (has_more && is_end) j->open = OPEN_NONE;
        if (has_more) return true;
        break;
    }
    case OPEN_GC: {
        if (line.len && line.ptr[0] == '}') j->open = OPEN_NONE;
        return true;
    }
    case OPEN_SQL_HEAD: {
        bool is_head = lm_trace_classify(line) == LM_TRACE_SQL_HEAD;
        if (!is_head && !(line.len && line.ptr[0] == '#')) j->has_statement = true;
        if (!is_head || !j->has_statement) return true;
        break;
    }
    }
    j->open = OPEN_NONE;
    return false;
}

/** What does a line that begins or continues a record leave open? */
static void open_by(lm_joiner *j, lm_str line, lm_trace_line kind)
{
    switch (kind) {
    case LM_TRACE_PYTHON:
        j->open = OPEN_PYTHON;
        return;
    case LM_TRACE_GO:
        j->open = OPEN_GO;
        return;
    case LM_TRACE_GC:
        j->open = OPEN_GC;
        return;
    case LM_TRACE_SQL:
        j->open = OPEN_SQL;
        return;
    case LM_TRACE_SQL_HEAD:
        j->open = OPEN_SQL_HEAD;
        j->has_statement = false;
        return;
    default:
        break;
    }
    if (opens_json(line, &j->depth)) j->open = OPEN_JSON;
}

static bool continues_by_shape(lm_joiner *j, lm_str line)
{
    bool is_open = j->open != OPEN_NONE;
    if (is_open && continues_open(j, line)) return true;
    if (line.len == 0) return false;
    lm_trace_line kind = lm_trace_classify(line);
    bool is_joined = kind == LM_TRACE_FRAME || (is_blank_start(line) && !j->is_indented);
    if (!is_joined || kind != LM_TRACE_NONE) open_by(j, line, kind);
    return is_joined;
}

static bool continues(lm_joiner *j, lm_str line)
{
    if (j->pattern) {
        int rc = pcre2_match(j->pattern, line.ptr, line.len, 0, 0, j->match, NULL);
        return rc < 0; /* no match; a pattern that gives up does not split records */
    }
    if (!j->has_times && !j->has_levels) return continues_by_shape(j, line);
    if (j->open == OPEN_GC) return continues_open(j, line);
    /* where heads are told by what they say, times in statements are values, and a record may have
     * none */
    if (j->open == OPEN_SQL_HEAD && continues_open(j, line)) return true;
    lm_trace_line kind = lm_trace_classify(line);
    if (kind == LM_TRACE_SQL_HEAD) {
        j->open = OPEN_SQL_HEAD;
        j->has_statement = false;
        return false;
    }
    if (kind == LM_TRACE_GC) { /* times inside of the braces are the events it reports */
        j->open = OPEN_GC;
        return false;
    }
    /* a timestamp in a line of open JSON is a value of it, unless the line begins as records do */
    bool is_inner = j->open == OPEN_JSON &&
                    (line.len == 0 || is_blank_start(line) || strchr("\"}]", line.ptr[0]) != NULL);
    if (is_inner && is_json_part(line)) return continues_open(j, line);
    bool is_first = has_header(j, line);
    if (j->open == OPEN_JSON && is_json_part(line)) {
        bool is_value = line.ptr[0] == '{' && !j->is_headed &&
                        !lm_header_has_time(line, &j->hint); /* an object of an array */
        if (!is_first || is_value) return continues_open(j, line);
    }
    j->open = OPEN_NONE;
    if (opens_json(line, &j->depth)) j->open = OPEN_JSON;
    return !is_first;
}

bool lm_joiner_continues(lm_joiner *j, lm_str line)
{
    LM_ASSERT(j->magic == JOINER_MAGIC);
    bool is_joined = continues(j, line) && j->lines > 0 && j->lines < LM_RECORD_LINES_MAX;
    j->lines = is_joined ? j->lines + 1 : 1;
    return is_joined;
}

size_t lm_joiner_time_at(lm_joiner *j, lm_str line)
{
    LM_ASSERT(j->magic == JOINER_MAGIC);
    lm_header_hint hint = {0};
    if (j->pattern || !j->has_times) return SIZE_MAX;
    if (is_blank_start(line) && !j->is_indented)
        return j->is_padded && is_padded_header(j->padded_offset, j->padded_layout, line)
                   ? j->padded_offset
                   : SIZE_MAX;
    return lm_header_has_time(line, &hint) ? hint.offset : SIZE_MAX;
}

bool lm_joiner_continues_headed(lm_joiner *j, lm_str line)
{
    j->is_headed = true;
    bool is_joined = lm_joiner_continues(j, line);
    j->is_headed = false;
    return is_joined;
}

void lm_joiner_reset(lm_joiner *j)
{
    LM_ASSERT(j->magic == JOINER_MAGIC);
    j->open = OPEN_NONE;
    j->depth = 0;
    j->lines = 0;
    j->has_statement = false;
    j->hint = (lm_header_hint){0};
}

/* ---- learning -------------------------------------------------------------------------------- */

typedef struct census {
    size_t times, levels, json; /* lines that begin so */
    size_t joined;              /* lines that continue by their shape */
    size_t others;              /* lines that begin with neither, and stand alone by their shape */
    size_t indented, filled;    /* lines with a blank first; lines that are not empty */
    size_t other_runs;          /* groups of others: one report of a hundred lines is one group */
} census;

static census count_lines(lm_joiner *j, const lm_str *lines, size_t count)
{
    census c = {0};
    bool was_other = false;
    for (size_t i = 0; i < count; i++) {
        if (lines[i].len == 0) continue;
        c.filled++;
        bool is_indented = is_blank_start(lines[i]), is_other = false;
        c.indented += is_indented;
        bool is_joined = continues_by_shape(j, lines[i]) && i > 0;
        bool has_time = (!is_indented || j->is_indented) && lm_header_has_time(lines[i], &j->hint);
        bool has_level = lm_header_has_level(lines[i]);
        if (has_time) {
            c.times++;
        } else if (lm_header_is_json(lines[i])) {
            c.json++;
        } else if (is_joined || lm_trace_classify(lines[i]) != LM_TRACE_NONE) {
            c.joined++; /* a report may stand alone, but where records have headers it belongs to
                           one */
        } else if (!has_level) {
            is_other = true;
            c.others++;
            c.other_runs += !was_other;
        }
        c.levels += has_level;
        was_other = is_other;
    }
    return c;
}

lm_err lm_joiner_learn(lm_joiner *j, const lm_schema *schema, const lm_str *lines, size_t count)
{
    LM_ASSERT(j->magic == JOINER_MAGIC);
    (void)schema; /* what begins a record shows in the lines themselves */
    size_t indented = 0, filled = 0;
    for (size_t i = 0; i < count; i++) {
        filled += lines[i].len > 0;
        indented += is_blank_start(lines[i]);
    }
    lm_joiner probe = {.magic = JOINER_MAGIC,
                       .mem = j->mem,
                       .is_indented = filled > 0 && indented * 10 > filled * 9};
    census c = count_lines(&probe, lines, count);
    j->is_indented = probe.is_indented;
    size_t padded = 0;
    for (size_t i = 0; i < count && probe.hint.is_set; i++)
        padded += is_padded_header(probe.hint.offset, probe.hint.layout, lines[i]);
    j->is_padded = padded * 5 >= filled && padded > 0;
    j->padded_offset = probe.hint.offset;
    j->padded_layout = probe.hint.layout;
    /* Headed: a tenth of the lines that are no part of a trace have a header, and what has none
     * either is rare or comes in
     * blocks behind those that do. Where it is neither, several programs write to one stream, and
     * some of them print no time. */
    size_t headed = c.times + c.json, enough = (c.filled - c.joined) / 10 + 1;
    j->has_times = c.times >= enough && (c.others <= headed / 4 || c.other_runs <= headed / 10 + 1);
    j->has_levels = !j->has_times && c.levels >= enough &&
                    (c.others <= c.levels / 4 || c.other_runs <= c.levels / 10 + 1);
    return LM_OK;
}

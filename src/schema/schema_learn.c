/**
 * Lines -> formats and statistics.
 *
 *   block --parse, learning--> fits: statistics of their fields
 *                          --> misfits: kept as a sample
 *
 *   sample --search--> JSON, rows with a header, named formats, logfmt, then inferred headers;
 *                      the sample's lines that fit now are counted
 *
 *   fields --look inside--> JSON, key=value pairs, or a header in a field's text; the block is
 *                      read again for the statistics of the new inner fields alone
 *
 * A search costs about as much as a few hundred parses, so it runs when misfits are new: at first
 * at once, then each time as many have come as were searched before. All of it is a function of the
 * lines and of how they were cut into calls.
 *
 * Of a long head (lm_schema_learn_head) all of the first block is read, and of each later one a
 * part; where the part brings a new format, field or time layout, or many lines that fit nothing,
 * the rest of its block is read too.
 */
#include "schema/schema_priv.h"

#include <stdio.h>

enum {
    BLOCK_LINES = 512,
    FIRST_LINES = 128,
    PROBE_LINES = 32,
    LINES_MIN = 32,         /* of a block, however long they are */
    LINES_BYTES = 32 << 10, /* and then so many bytes */
    INFERRED_MAX = 12,
    INNER_ROUNDS = 3
};

typedef struct learner {
    lm_schema *schema;
    lm_arena arena; /* fields of the line at hand */
    lm_fields fields;
    uint32_t *ids;
    lm_schema *named; /* all named formats; NULL: not needed yet */
} learner;

/* Parse one line and count it. min_field: only fields from there on are counted, and the line
 * itself is not. */
static lm_err learn_line(learner *l, lm_str line, uint32_t min_field, bool *out_fits)
{
    lm_parse parse;
    lm_schema *schema = l->schema;
    lm_parse_begin(&parse, schema, &l->fields);
    parse.learning = schema;
    parse.ids = l->ids;
    uint32_t format = lm_parse_run(&parse, line);
    if (parse.err) return parse.err;
    *out_fits = format != NO_INDEX;
    if (format == NO_INDEX) return LM_OK;
    if (min_field == 0) schema->formats[format].lines++;
    for (size_t i = 0; i < l->fields.count; i++) {
        uint32_t id = l->ids[i];
        if (id == NO_INDEX || id < min_field) continue;
        lm_err err = lm_stat_add(schema, &schema->fields[id], l->fields.items[i].value);
        if (err) return err;
    }
    return LM_OK;
}

/* A frame of a stack trace: `  at x.Y.z(Y.java:3)`, `#12 /srv/a.php(7): f()`. A deep trace has more
 * lines than the records around it, and says nothing of their format. */
static bool is_frame(lm_str line)
{
    size_t at = 0;
    while (at < line.len && lm_is_blank(line.ptr[at]))
        at++;
    lm_str text = lm_str_cut(line, at, line.len);
    if (at && lm_str_starts(text, LM_STR("at "))) return true;
    at = 1;
    while (at < text.len && lm_is_digit(text.ptr[at]))
        at++;
    return at > 1 && at + 1 < text.len && text.ptr[0] == '#' && text.ptr[at] == ' ' &&
           (lm_is_alpha(text.ptr[at + 1]) || memchr("/{[ \\", text.ptr[at + 1], 5));
}

static lm_err sample_add(lm_schema *schema, lm_str line)
{
    if (is_frame(line)) return LM_OK;
    schema->misfit_count++;
    bool full =
        schema->sample_count == SAMPLE_LINES_MAX || schema->sample_bytes + line.len > SAMPLE_BYTES;
    if (full || line.len > SAMPLE_LINE_BYTES) return LM_OK;
    lm_err err = lm_vec_grow(schema->mem, &schema->sample, &schema->sample_cap,
                             schema->sample_count + 1, sizeof *schema->sample);
    if (err) return err;
    uint8_t *p = lm_arena_copy(&schema->sample_arena, line.ptr, line.len);
    if (!p) return lm_mem_err();
    schema->sample_bytes += line.len;
    schema->sample[schema->sample_count++] = (lm_str){p, line.len};
    return LM_OK;
}

/* ---- the search for formats ---- */

typedef struct search {
    lm_schema *schema;
    const lm_schema *named; /* all named formats */
    lm_schema *scratch;     /* inferred ones that are being tried */
    lm_fields fields;
    lm_time_memo times;
    lm_arena arena;
    lm_str *lines;   /* of the sample, those that nothing explains yet */
    uint64_t *looks; /* beside them: what their begins look like */
    size_t count;
    bool found;
} search;

static bool fits(search *s, const lm_schema *schema, uint32_t format, lm_str line)
{
    const lm_format *f = &schema->formats[format];
    if (line.len == 0 || !lm_set_has(f->first, line.ptr[0])) return false;
    lm_parse parse;
    lm_parse_begin(&parse, schema, &s->fields);
    parse.times = &s->times;
    switch ((lm_engine)f->engine) {
    case LM_ENGINE_TREE:
        return lm_match_line(&parse, f, line);
    case LM_ENGINE_JSON:
        return lm_json_line(&parse, f->root, line);
    case LM_ENGINE_LOGFMT:
        return lm_logfmt_line(&parse, f->root, line);
    case LM_ENGINE_ROW:
        return lm_row_line(&parse, f, line);
    }
    return false;
}

/* Take away the lines that this format explains; how many. */
static size_t explain_as(search *s, const lm_schema *schema, uint32_t format)
{
    size_t kept = 0, before = s->count;
    for (size_t i = 0; i < before; i++) {
        if (fits(s, schema, format, s->lines[i])) continue;
        s->looks[kept] = s->looks[i];
        s->lines[kept++] = s->lines[i];
    }
    s->count = kept;
    if (kept < before) s->found = true;
    return before - kept;
}

static size_t explain(search *s, uint32_t format)
{
    return explain_as(s, s->schema, format);
}

static bool has_engine(const lm_schema *schema, lm_engine engine)
{
    for (size_t i = 0; i < schema->format_count; i++) {
        if (schema->formats[i].engine == engine && !schema->formats[i].is_inner) return true;
    }
    return false;
}

static bool is_object(lm_str line)
{
    return line.len >= 2 && line.ptr[0] == '{' &&
           (line.ptr[1] == '"' || line.ptr[1] == ' ' || line.ptr[1] == '}');
}

/* Only where the first word has a '=', the line can be pairs from its begin on. */
static bool begins_like_pair(lm_str line)
{
    for (size_t i = 0; i < line.len && !lm_is_blank(line.ptr[i]); i++)
        if (line.ptr[i] == '=') return true;
    return false;
}

static lm_err search_engine(search *s, lm_engine engine)
{
    size_t hits = 0, pairs = 0, begin;
    if (has_engine(s->schema, engine) || s->schema->format_count == FORMAT_COUNT_MAX) return LM_OK;
    for (size_t i = 0; i < s->count; i++) {
        if (engine == LM_ENGINE_JSON) {
            hits += is_object(s->lines[i]);
        } else if (begins_like_pair(s->lines[i])) {
            size_t n = lm_kv_count(s->lines[i], &begin);
            if (n >= 2 && begin == 0) hits++, pairs += n;
        }
    }
    if (hits == 0 || (engine == LM_ENGINE_LOGFMT && pairs < 3)) return LM_OK;
    uint32_t format;
    lm_err err = lm_engine_add(s->schema, engine, &format);
    if (err) return err;
    if (explain(s, format) == 0) { /* looked like it, but was not */
        s->schema->format_count--;
        s->schema->path_count--; /* its root */
    }
    return LM_OK;
}

/* "#fields\tts\tuid..." (Zeek), "#Fields: date time ..." (W3C) */
static lm_err search_directives(search *s)
{
    lm_str names[COLUMNS_MAX];
    for (size_t i = 0; i < s->count; i++) {
        lm_str line = s->lines[i];
        bool zeek =
            lm_str_starts(line, LM_STR("#fields")) && line.len > 8 && !lm_is_alpha(line.ptr[7]);
        bool w3c = lm_str_starts(line, LM_STR("#Fields:"));
        if (!zeek && !w3c) continue;
        lm_str rest = lm_str_cut(line, 8, line.len);
        while (rest.len && lm_is_blank(rest.ptr[0]))
            rest.ptr++, rest.len--;
        uint8_t delimiter = zeek ? line.ptr[7] : memchr(rest.ptr, '\t', rest.len) ? '\t' : ' ';
        size_t count = lm_row_cut(rest, delimiter, false, names, COLUMNS_MAX);
        while (count != SIZE_MAX && count > 1 && names[count - 1].len == 0)
            count--; /* a blank at the end */
        if (count == SIZE_MAX || count < 2 || s->schema->format_count == FORMAT_COUNT_MAX) continue;
        bool known = false;
        for (size_t k = 0; k < s->schema->format_count; k++) {
            known |= s->schema->formats[k].engine == LM_ENGINE_ROW &&
                     lm_str_equal(s->schema->formats[k].header, line);
        }
        if (known) continue;
        uint32_t format;
        lm_err err = lm_row_add(s->schema, zeek ? LM_STR("zeek") : LM_STR("w3c"), line, delimiter,
                                w3c, true, names, count, &format);
        if (err == LM_E_LIMIT) continue;
        if (err) return err;
        if (zeek) lm_row_zeek_types(s->schema, format, s->lines, s->count);
        (void)explain(s, format); /* none but the directive is fine */
        s->found = true;
        i = SIZE_MAX; /* s->lines changed: from the front */
    }
    return LM_OK;
}

static bool is_column_name(lm_str cell)
{
    if (cell.len == 0 || cell.len > 64 ||
        !(lm_is_alpha(cell.ptr[0]) || cell.ptr[0] == '_' || cell.ptr[0] == '@'))
        return false;
    for (size_t i = 0; i < cell.len; i++) {
        uint8_t c = cell.ptr[i];
        if (!lm_is_alpha(c) && !lm_is_digit(c) && !memchr("_-. ()/@#%$", c, 11)) return false;
    }
    return true;
}

/* What the cells of a column without a name are: all times, all levels, or the longest text. */
static lm_str name_of_column(const lm_str *cells, size_t count, size_t *io_text_bytes)
{
    size_t times = 0, levels = 0, bytes = 0;
    lm_time time;
    for (size_t i = 0; i < count; i++) {
        lm_str s = cells[i];
        times += lm_time_parse(s.ptr, s.len, &time) && time.len == s.len;
        levels += s.len && lm_match_level(s.ptr, s.len) == s.len;
        bytes += s.len;
    }
    if (times == count) return LM_STR("timestamp");
    if (levels == count) return LM_STR("level");
    if (bytes > *io_text_bytes) {
        *io_text_bytes = bytes;
        return LM_STR("message");
    }
    return (lm_str){0};
}

/* Lines as rows, one after the other: a cell may go on in the lines below its row. */
typedef struct row_reader {
    uint8_t delimiter;
    bool is_open; /* inside a cell */
    size_t rows, same;
    size_t count; /* cells of a row; 0: as many as the first whole one has */
    lm_str cells[COLUMNS_MAX];
} row_reader;

/* Cells of the row that the line begins; 0: it goes on with one, or is none. */
static size_t row_read(row_reader *r, lm_str line)
{
    bool was_open = r->is_open;
    size_t quotes = 0;
    if (was_open) {
        for (size_t i = 0; i < line.len; i++)
            quotes += line.ptr[i] == '"';
        r->is_open = quotes % 2 == 0;
        return 0;
    }
    size_t n = lm_row_cut_open(line, r->delimiter, true, r->cells, COLUMNS_MAX, &r->is_open);
    if (n == SIZE_MAX) n = 0;
    r->is_open = r->is_open && n > 1;
    r->rows++;
    if (r->count == 0 && !r->is_open) r->count = n;
    r->same += n && (r->is_open ? n <= r->count : n == r->count);
    return n;
}

/* Begins the line with a quote, or have its first bytes a cell in quotes behind another? */
static bool has_quoted_cell(lm_str line)
{
    enum { LOOKED_BYTES = 256 };

    size_t at = lm_str_find(lm_str_cut(line, 0, line.len < LOOKED_BYTES ? line.len : LOOKED_BYTES),
                            LM_STR(",\""));
    return line.len && (line.ptr[0] == '"' || at != SIZE_MAX);
}

/* Rows that no line names: nearly all lines have cells in quotes, and as many cells as the others.
 * Where not the first cell is in quotes there must be more of them, and the first must be a time:
 * texts have quotes behind commas, too. */
static lm_err search_quoted_rows(search *s)
{
    enum { LOOKED_AT = 64, UNQUOTED_CELLS_MIN = 6 };

    lm_str cells[COLUMNS_MAX], names[COLUMNS_MAX], column[LOOKED_AT];
    lm_schema *schema = s->schema;
    size_t count = 0, quoted = 0, first_quoted = 0, rows = 0, text_bytes = 0, message = SIZE_MAX;
    if (s->count < 8 || schema->format_count == FORMAT_COUNT_MAX) return LM_OK;
    row_reader r = {.delimiter = ','};
    for (size_t i = 0; i < s->count; i++) {
        bool goes_on = r.is_open;
        (void)row_read(&r, s->lines[i]);
        if (goes_on) continue;
        quoted += has_quoted_cell(s->lines[i]);
        first_quoted += s->lines[i].len && s->lines[i].ptr[0] == '"';
    }
    count = r.count;
    bool is_bare = first_quoted * 10 < r.rows * 9;
    if (count < 3 || count > COLUMNS_MAX || r.same * 10 < r.rows * 9 || quoted * 10 < r.rows * 9)
        return LM_OK;
    if (is_bare && count < UNQUOTED_CELLS_MIN) return LM_OK;
    char(*numbered)[24] = lm_arena_alloc(&s->arena, count * sizeof *numbered, 1);
    if (!numbered) return lm_mem_err();
    bool has_time = false;
    for (size_t c = 0; c < count; c++) {
        rows = 0;
        for (size_t i = 0; i < s->count && rows < LOOKED_AT; i++) {
            if (lm_row_cut(s->lines[i], ',', true, cells, COLUMNS_MAX) == count)
                column[rows++] = cells[c];
        }
        size_t n = (size_t)snprintf(numbered[c], sizeof *numbered, "column%zu", c + 1);
        names[c] = (lm_str){(const uint8_t *)numbered[c], n};
        lm_str name = name_of_column(column, rows, &text_bytes);
        if (!name.len) continue;
        if (lm_str_equal(name, LM_STR("message"))) { /* the longest so far; there is one */
            if (message != SIZE_MAX)
                names[message] =
                    (lm_str){(const uint8_t *)numbered[message], strlen(numbered[message])};
            message = c;
        }
        for (size_t k = 0; k < c; k++) {
            if (lm_str_equal(names[k], name)) name.len = 0;
        }
        if (name.len) names[c] = name;
        has_time |= lm_str_equal(name, LM_STR("timestamp")) && (c == 0 || !is_bare);
    }
    if (!has_time) return LM_OK; /* no log, or not one that this tells more of */
    uint32_t format;
    lm_err err = lm_row_add(schema, LM_STR("csv"), (lm_str){(const uint8_t *)"", 0}, ',', true,
                            false, names, count, &format);
    if (err) return err == LM_E_LIMIT ? LM_OK : err;
    (void)explain(s, format); /* it does: counted above */
    return LM_OK;
}

/* Words with blanks between are many things: a header has some, and one is the name of a time. */
static bool names_a_time(const lm_str *names, size_t count)
{
    enum { NAMES_MIN = 6 };

    uint8_t rank;
    bool has_time = false;
    for (size_t i = 0; i < count; i++)
        has_time |= lm_role_of(names[i], &rank) == LM_ROLE_TIME;
    return has_time && count >= NAMES_MIN;
}

/* The stream's first line names the columns, and nearly all lines have as many cells. */
static lm_err search_header_row(search *s)
{
    static const uint8_t delimiters[] = {',', '\t', ';', '|', ' '};
    lm_str names[COLUMNS_MAX];
    lm_schema *schema = s->schema;
    if (schema->line_count > 0 || s->count < 2 || s->lines[0].ptr != schema->sample[0].ptr)
        return LM_OK;
    for (size_t d = 0; d < sizeof delimiters; d++) {
        lm_str header = s->lines[0];
        size_t count = lm_row_cut(header, delimiters[d], true, names, COLUMNS_MAX);
        if (count == SIZE_MAX || count < 2) continue;
        bool good = delimiters[d] != ' ' || names_a_time(names, count);
        for (size_t i = 0; i < count && good; i++) {
            good = is_column_name(names[i]);
            for (size_t k = 0; k < i && good; k++)
                good = !lm_str_equal(names[i], names[k]);
        }
        row_reader r = {.delimiter = delimiters[d], .count = count};
        for (size_t i = 1; good && i < s->count; i++)
            (void)row_read(&r, s->lines[i]);
        if (!good || r.same * 10 < r.rows * 8 || r.same < 1) continue;
        uint32_t format;
        lm_err err = lm_row_add(schema, delimiters[d] == '\t' ? LM_STR("tsv") : LM_STR("csv"),
                                header, delimiters[d], true, false, names, count, &format);
        if (err) return err == LM_E_LIMIT ? LM_OK : err;
        (void)explain(s, format); /* it does: counted above */
        return LM_OK;
    }
    return LM_OK;
}

static bool has_pattern(const lm_schema *schema, lm_str pattern)
{
    for (size_t i = 0; i < schema->format_count; i++) {
        if (!schema->formats[i].is_inner && lm_str_equal(schema->formats[i].pattern, pattern))
            return true;
    }
    return false;
}

/* Making trees of all of them costs as much as reading some thousand lines: once a learner. */
static lm_err need_named(learner *l)
{
    if (l->named) return LM_OK;
    lm_err err = lm_schema_new(l->schema->mem, &l->named);
    for (size_t i = 0; !err && i < lm_named_count(); i++) {
        const lm_named *named = lm_named_at(i);
        uint32_t format;
        err = lm_pattern_add(l->named, lm_str_of(named->name), lm_str_of(named->pattern),
                             LM_ORIGIN_NAMED, (lm_str){0}, &format);
    }
    return err;
}

/* Lines that begin alike fit alike: what was found for one begin. */
typedef struct begin {
    uint64_t look;
    uint32_t format; /* that fitted; NO_INDEX: none did */
    uint32_t misses; /* lines that nothing fitted, one after the other */
} begin;

enum {
    LOOK_BYTES = 96,
    BEGINS = 256,
    MISSES_ENOUGH = 2, /* then lines of this begin are not tried any more */
};

/* The begin of a line with runs of letters and of digits as one of each. */
static uint64_t look_of(lm_str line)
{
    static const uint8_t instead[256] = {
        ['0' ... '9'] = '0', ['a' ... 'z'] = 'a', ['A' ... 'Z'] = 'a'};
    uint8_t look[LOOK_BYTES], last = 0;
    size_t n = 0, len = line.len < LOOK_BYTES ? line.len : LOOK_BYTES;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = line.ptr[i];
        if (instead[c]) c = instead[c];
        if (c == last && (c == '0' || c == 'a' || c == ' ')) continue;
        look[n++] = last = c;
    }
    return lm_hash64(look, n) | 1;
}

static bool is_of_weight(uint32_t format, uint8_t weight_min, uint8_t weight_max)
{
    uint8_t weight = lm_named_at(format)->weight;
    return weight >= weight_min && weight <= weight_max;
}

/* The first named format that fits the line, or NO_INDEX. */
static uint32_t named_format_of(search *s, begin *begins, size_t at, uint8_t weight_min,
                                uint8_t weight_max)
{
    lm_str line = s->lines[at];
    uint64_t look = s->looks[at];
    begin *b = &begins[look / 2 % BEGINS];
    if (b->look != look) *b = (begin){look, NO_INDEX, 0};
    if (b->format != NO_INDEX && fits(s, s->named, b->format, line)) return b->format;
    if (b->misses >= MISSES_ENOUGH) return NO_INDEX;
    b->format = NO_INDEX;
    for (uint32_t k = 0; k < lm_named_count() && b->format == NO_INDEX; k++) {
        if (is_of_weight(k, weight_min, weight_max) && fits(s, s->named, k, line)) b->format = k;
    }
    b->misses = b->format == NO_INDEX ? b->misses + 1 : 0;
    return b->format;
}

/* Each line goes to the first named format that fits; those with enough lines are taken. */
static lm_err search_named(search *s, uint8_t weight_min, uint8_t weight_max)
{
    uint32_t hits[FORMAT_COUNT_MAX] = {0};
    begin begins[BEGINS] = {{0}};
    for (size_t i = 0; i < s->count; i++) {
        uint32_t k = named_format_of(s, begins, i, weight_min, weight_max);
        if (k != NO_INDEX) hits[k]++;
    }
    size_t total = s->count;
    for (uint32_t k = 0; k < lm_named_count(); k++) {
        const lm_named *named = lm_named_at(k);
        size_t need = named->weight >= 9 ? 1 : total < 8 ? 1 : total / 50 + 2;
        lm_str pattern = lm_str_of(named->pattern);
        if (hits[k] < need || has_pattern(s->schema, pattern) ||
            s->schema->format_count == FORMAT_COUNT_MAX)
            continue;
        uint32_t format;
        lm_err err = lm_pattern_add(s->schema, lm_str_of(named->name), pattern, LM_ORIGIN_NAMED,
                                    (lm_str){0}, &format);
        if (err == LM_E_LIMIT) continue;
        if (err) return err;
        s->schema->formats[format].weight = named->weight;
        (void)explain(s, format); /* it does: counted above */
    }
    return LM_OK;
}

/* Without the part between, longer is shorter: then that part is optional, and both are one tree.
 * The part must stand in brackets, so that trying it first cannot swallow what is not it. */
static bool merge_optional(lm_arena *arena, lm_str longer, lm_str shorter, lm_str *out)
{
    size_t pre = 0;
    if (longer.len <= shorter.len) return false;
    while (pre < shorter.len && longer.ptr[pre] == shorter.ptr[pre])
        pre++;
    while (pre > 0 && longer.ptr[pre] != '[')
        pre--;
    size_t extra = longer.len - shorter.len;
    lm_str tail = lm_str_cut(shorter, pre, shorter.len),
           part = lm_str_cut(longer, pre, pre + extra);
    bool opens = part.ptr[0] == '[' &&
                 (pre == 0 || longer.ptr[pre - 1] == ' ' || longer.ptr[pre - 1] == ']');
    if (!opens || !lm_str_ends(longer, tail) || lm_str_find(part, LM_STR("%(")) != SIZE_MAX)
        return false;
    int depth = 0;
    for (size_t i = 0; i < part.len; i++) {
        depth +=
            (part.ptr[i] == '[' || part.ptr[i] == '{') - (part.ptr[i] == ']' || part.ptr[i] == '}');
        if (depth < 0) return false;
    }
    uint8_t *p = depth == 0 ? lm_arena_alloc(arena, longer.len + 8, 1) : NULL;
    if (!p) return false;
    size_t n = 0;
    const lm_str pieces[] = {lm_str_cut(longer, 0, pre), LM_STR("%("), part, LM_STR("%|%)"), tail};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        if (pieces[i].len) memcpy(p + n, pieces[i].ptr, pieces[i].len);
        n += pieces[i].len;
    }
    *out = (lm_str){p, n};
    return true;
}

/* The headers of what is left, one after the other; found in the scratch schema first, so that they
 * can be merged. */
static lm_err infer_patterns(search *s, lm_str patterns[INFERRED_MAX], size_t *out_count)
{
    size_t total = s->schema->sample_count,
           need = total < 20 ? 1 : total / 20 + 2; /* the rest waits for more of its kind */
    while (*out_count < INFERRED_MAX && s->count && s->scratch->format_count < FORMAT_COUNT_MAX) {
        lm_str pattern = {0}, merged;
        lm_err err = lm_infer_header(&s->arena, s->lines, s->count, false, &pattern);
        if (err) return err;
        if (pattern.len == 0 || has_pattern(s->schema, pattern)) return LM_OK;
        uint32_t format;
        err = lm_pattern_add(s->scratch, LM_STR("inferred"), pattern, LM_ORIGIN_INFERRED,
                             (lm_str){0}, &format);
        if (err) return err == LM_E_LIMIT ? LM_OK : err;
        if (explain_as(s, s->scratch, format) < need) return LM_OK;
        bool joined = false;
        for (size_t i = 0; i < *out_count && !joined; i++) {
            joined = merge_optional(&s->arena, patterns[i], pattern, &merged) ||
                     merge_optional(&s->arena, pattern, patterns[i], &merged);
            if (joined) patterns[i] = merged;
        }
        if (!joined) patterns[(*out_count)++] = pattern;
    }
    return LM_OK;
}

static lm_err search_inferred(search *s)
{
    lm_str patterns[INFERRED_MAX];
    size_t count = 0;
    lm_err err = lm_schema_new(s->schema->mem, &s->scratch);
    if (!err) err = infer_patterns(s, patterns, &count);
    for (size_t i = 0; i < count && !err; i++) {
        uint32_t format;
        err = lm_pattern_add(s->schema, LM_STR("inferred"), patterns[i], LM_ORIGIN_INFERRED,
                             (lm_str){0}, &format);
        if (err) return err == LM_E_LIMIT ? LM_OK : err;
        /* Richer trees are tried before plainer ones, all of them behind the named formats. */
        uint32_t nodes = s->schema->formats[format].node_count;
        s->schema->formats[format].weight = (uint8_t)(nodes < 4    ? 1
                                                      : nodes < 8  ? 2
                                                      : nodes < 14 ? 3
                                                                   : 4);
        s->found = true;
    }
    return err;
}

static lm_err search_all(search *s)
{
    lm_err err = search_engine(s, LM_ENGINE_JSON);
    if (!err) err = search_directives(s);
    if (!err) err = search_named(s, 9, 9);
    if (!err) err = search_header_row(s);
    if (!err) err = search_quoted_rows(s);
    if (!err) err = search_engine(s, LM_ENGINE_LOGFMT);
    if (!err) err = search_named(s, 5, 8);
    if (!err) err = search_inferred(s);
    return err;
}

/* Look for formats in the sample; what fits now is counted and leaves it. */
static lm_err discover(learner *l)
{
    lm_schema *schema = l->schema;
    search s = {.schema = schema, .count = schema->sample_count};
    if (schema->misfit_count < schema->next_search || s.count == 0) return LM_OK;
    lm_err err = need_named(l);
    if (err) return err;
    s.named = l->named;
    size_t list_bytes = s.count * sizeof *s.lines;
    lm_arena_init(&s.arena, schema->mem);
    s.fields.arena = &s.arena;
    s.lines = lm_mem_alloc(schema->mem, list_bytes);
    s.looks =
        s.lines ? lm_arena_alloc(&s.arena, s.count * sizeof *s.looks, _Alignof(uint64_t)) : NULL;
    if (!s.looks) {
        err = lm_mem_err();
        lm_mem_release(schema->mem, s.lines, list_bytes);
        lm_arena_fini(&s.arena);
        return err;
    }
    memcpy(s.lines, schema->sample, list_bytes);
    for (size_t i = 0; i < s.count; i++)
        s.looks[i] = look_of(s.lines[i]);
    err = search_all(&s);
    lm_schema_order(schema);
    size_t kept = 0;
    for (size_t i = 0; !err && i < schema->sample_count; i++) {
        bool fits_now = false;
        if (s.found) err = learn_line(l, schema->sample[i], 0, &fits_now);
        if (!fits_now) schema->sample[kept++] = schema->sample[i];
    }
    if (!err) schema->sample_count = kept;
    schema->next_search = schema->misfit_count * 2 + 16;
    lm_mem_release(schema->mem, s.lines, list_bytes);
    lm_schema_free(s.scratch);
    lm_arena_fini(&s.arena);
    return err;
}

/* Fresh misfits push out old ones: they are what the next search must explain. */
static void sample_forget(lm_schema *schema)
{
    if (schema->sample_count < SAMPLE_LINES_MAX && schema->sample_bytes < SAMPLE_BYTES / 2) return;
    schema->sample_count = schema->sample_bytes = 0;
    lm_arena_reset(&schema->sample_arena);
}

/* ---- what fields hold inside ---- */

static lm_err inner_root(lm_schema *schema, lm_info *info, uint8_t flag)
{
    bool is_text =
        info->role == LM_ROLE_MESSAGE && schema->formats[info->format].engine == LM_ENGINE_TREE;
    if (info->inner_root == NO_INDEX) {
        lm_err err = lm_schema_root_add(schema, is_text ? (lm_str){0} : info->name, info->format,
                                        &info->inner_root);
        if (err) return err;
    }
    info->inner |= flag;
    return LM_OK;
}

/* Text of the stream's program in an envelope (a JSON key, a CSV cell) may have a header of its
 * own. */
static lm_err inner_header(lm_schema *schema, uint32_t field, lm_arena *arena)
{
    const lm_info *info = &schema->fields[field];
    const lm_stat *stat = info->stat;
    bool envelope =
        schema->formats[info->format].engine != LM_ENGINE_TREE && info->role == LM_ROLE_MESSAGE;
    bool searched = info->inner & (LM_INNER_FORMAT | LM_INNER_JSON);
    if (!envelope || searched || stat->value_count < 4 || schema->format_count == FORMAT_COUNT_MAX)
        return LM_OK;
    lm_str pattern = {0};
    lm_err err = lm_infer_header(arena, stat->values, stat->value_count, true, &pattern);
    if (err || pattern.len == 0) return err;
    uint32_t format;
    err = lm_pattern_add(schema, LM_STR("inferred"), pattern, LM_ORIGIN_INFERRED, info->name,
                         &format);
    if (err) return err == LM_E_LIMIT ? LM_OK : err;
    schema->formats[format].is_inner = true;
    schema->fields[field].inner |= LM_INNER_FORMAT;
    schema->fields[field].inner_format = format;
    return LM_OK;
}

static lm_err look_inside(lm_schema *schema, lm_arena *arena, bool *out_new)
{
    size_t count = schema->field_count;
    for (uint32_t i = 0; i < count; i++) {
        lm_info *info = &schema->fields[i];
        uint8_t before = info->inner;
        const lm_stat *stat = info->stat;
        bool json = stat->json_seen && stat->json_seen * 50 >= stat->count;
        bool kv =
            info->role == LM_ROLE_MESSAGE && stat->kv_seen * 4 >= stat->count && stat->kv_seen;
        lm_err err = LM_OK;
        if (json && !(before & LM_INNER_JSON)) err = inner_root(schema, info, LM_INNER_JSON);
        if (!err && kv && !(before & LM_INNER_KV)) err = inner_root(schema, info, LM_INNER_KV);
        if (!err) err = inner_header(schema, i, arena);
        if (err) return err;
        *out_new |= schema->fields[i].inner != before;
    }
    return LM_OK;
}

static lm_err learn_inside(learner *l, const lm_str *lines, size_t count)
{
    for (int round = 0; round < INNER_ROUNDS; round++) {
        bool is_new = false, fits_line;
        uint32_t first = (uint32_t)l->schema->field_count;
        lm_err err = look_inside(l->schema, &l->arena, &is_new);
        if (err || !is_new) return err;
        for (size_t i = 0; !err && i < count; i++)
            err = learn_line(l, lines[i], first ? first : 1, &fits_line);
        if (err) return err;
    }
    return LM_OK;
}

static lm_err learn_block(learner *l, const lm_str *lines, size_t count)
{
    lm_schema *schema = l->schema;
    lm_err err = LM_OK;
    sample_forget(schema);
    for (size_t i = 0; !err && i < count; i++) {
        bool fits_line = false;
        lm_arena_reset(&l->arena);
        l->fields.items = NULL;
        l->fields.cap = 0;
        err = learn_line(l, lines[i], 0, &fits_line);
        if (!err && !fits_line) err = sample_add(schema, lines[i]);
    }
    if (!err) err = discover(l);
    if (!err) err = learn_inside(l, lines, count);
    schema->line_count += count;
    return err;
}

/* Grows whenever something is learned that changes how lines are read. */
static size_t extent_of(const lm_schema *schema)
{
    size_t extent = schema->format_count + schema->field_count + schema->path_count;
    for (size_t i = 0; i < schema->field_count; i++)
        extent += schema->fields[i].stat->layout_count + schema->fields[i].inner;
    return extent;
}

static lm_err learner_begin(learner *l, lm_schema *schema)
{
    *l = (learner){.schema = schema};
    lm_arena_init(&l->arena, schema->mem);
    l->fields.arena = &l->arena;
    l->ids = lm_mem_alloc(schema->mem, LM_FIELD_COUNT_MAX * sizeof *l->ids);
    return l->ids ? LM_OK : lm_mem_err();
}

static lm_err learner_end(learner *l, lm_err err)
{
    if (!err) err = lm_schema_refresh(l->schema);
    lm_mem_release(l->schema->mem, l->ids, LM_FIELD_COUNT_MAX * sizeof *l->ids);
    lm_schema_free(l->named);
    lm_arena_fini(&l->arena);
    return err;
}

lm_err lm_schema_learn(lm_schema *schema, const lm_str *lines, size_t count)
{
    learner l;
    lm_err err = learner_begin(&l, schema);
    for (size_t at = 0; !err && at < count; at += BLOCK_LINES)
        err = learn_block(&l, lines + at, count - at < BLOCK_LINES ? count - at : BLOCK_LINES);
    return learner_end(&l, err);
}

/* How many lines of a head to read at once: long ones tell more each. */
static size_t lines_within(const lm_str *lines, size_t count)
{
    size_t n = 0;
    for (size_t bytes = 0; n < count && (n < LINES_MIN || bytes < LINES_BYTES); n++)
        bytes += lines[n].len;
    return n;
}

lm_err lm_schema_learn_head(lm_schema *schema, const lm_str *lines, size_t count)
{
    learner l;
    lm_err err = learner_begin(&l, schema);
    for (size_t at = 0, n = 0; !err && at < count; at += n) {
        n = at ? BLOCK_LINES : FIRST_LINES;
        n = count - at < n ? count - at : n;
        size_t end = at + n;
        for (size_t i = at; !err && i < end;) {
            size_t most = !at || end - i < PROBE_LINES ? end - i : PROBE_LINES;
            size_t probe = lines_within(lines + i, most);
            size_t extent = extent_of(schema);
            uint64_t misfits = schema->misfit_count;
            err = learn_block(&l, lines + i, probe);
            i += probe;
            bool is_new =
                extent_of(schema) != extent || (schema->misfit_count - misfits) * 4 > probe;
            if (!is_new) break;
        }
    }
    return learner_end(&l, err);
}

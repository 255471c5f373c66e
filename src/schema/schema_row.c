/** logfmt and key=value tails; rows with named columns: CSV, TSV, Zeek, W3C. */
#include "schema/schema_priv.h"

typedef struct pair {
    lm_str key, value;
    size_t end; /* behind the value and a comma */
} pair;

enum { KEY = 1, BLANK = 2, BRACKET = 4 };

/* KEY: letters, digits and _ . - @ / $. A table, since every byte of a tail is looked at. */
static const uint8_t classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 1, 0, 0, 0, 4, 4, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 0, 4, 0, 1,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 0, 4, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

static inline bool key_byte(uint8_t c)
{
    return classes[c] & KEY;
}

/* Position of the closing quote of a value whose first byte is at begin; SIZE_MAX if it is not
 * closed. */
static size_t quote_end(lm_str text, size_t begin)
{
    for (size_t at = begin; at < text.len;) {
        const uint8_t *hit = memchr(text.ptr + at, '"', text.len - at);
        if (!hit) return SIZE_MAX;
        size_t q = (size_t)(hit - text.ptr), back = q;
        while (back > begin && text.ptr[back - 1] == '\\')
            back--;
        if ((q - back) % 2 == 0) return q;
        at = q + 1;
    }
    return SIZE_MAX;
}

/* The end of an element of XML behind its last attribute; 0: there is none. */
static size_t tag_end(lm_str text, size_t at)
{
    if (at < text.len && (text.ptr[at] == '/' || text.ptr[at] == '?')) at++;
    return at + 1 == text.len && text.ptr[at] == '>' ? text.len : 0;
}

/* One key=value at position at. */
static bool pair_at(lm_str text, size_t at, pair *out)
{
    size_t begin = at;
    int depth = 0;
    if (at >= text.len ||
        !(lm_is_alpha(text.ptr[at]) || text.ptr[at] == '_' || text.ptr[at] == '@'))
        return false;
    while (at < text.len && key_byte(text.ptr[at]))
        at++;
    if (at < text.len && text.ptr[at] == ':') at++; /* key:="value" */
    if (at >= text.len || text.ptr[at] != '=' || at - begin > 128) return false;
    out->key = lm_str_cut(text, begin, at);
    if (text.ptr[at - 1] == ':') out->key.len--;
    at++;
    if (at < text.len && text.ptr[at] == '=') return false; /* a == b */
    if (at < text.len && text.ptr[at] == '"') {
        size_t end = quote_end(text, at + 1);
        if (end == SIZE_MAX) return false;
        out->value = lm_str_cut(text, at + 1, end);
        at = end + 1;
        if (at < text.len && (text.ptr[at] == ',' || text.ptr[at] == ';')) at++;
        if (tag_end(text, at)) at = text.len;
    } else {
        begin = at;
        for (; at < text.len; at++) {
            uint8_t c = text.ptr[at];
            if (!(classes[c] & (BLANK | BRACKET))) continue;
            if (classes[c] & BLANK) break;
            depth += c == '(' || c == '[' || c == '{' ? 1 : -1;
            if (depth < 0) return false; /* part of a(b=c), not a pair of its own */
        }
        if (depth) return false;
        size_t end = at;
        if (end > begin && (text.ptr[end - 1] == ',' || text.ptr[end - 1] == ';')) end--;
        out->value = lm_str_cut(text, begin, end);
    }
    out->end = at;
    return at >= text.len || lm_is_blank(text.ptr[at]);
}

static size_t skip_blanks(lm_str text, size_t at)
{
    while (at < text.len && lm_is_blank(text.ptr[at]))
        at++;
    return at;
}

static lm_str trim_end(lm_str text)
{
    while (text.len && (lm_is_blank(text.ptr[text.len - 1]) || text.ptr[text.len - 1] == '\r' ||
                        text.ptr[text.len - 1] == '\n'))
        text.len--;
    return text;
}

static void emit_pair(lm_parse *parse, uint32_t root, const pair *p, uint32_t *previous)
{
    const lm_schema *schema = parse->schema;
    uint32_t guess =
        *previous == NO_INDEX ? schema->paths[root].child : schema->paths[*previous].sibling;
    uint32_t path = guess;
    if (guess == NO_INDEX || !lm_str_equal(schema->paths[guess].key, p->key)) {
        path = lm_schema_path(schema, root, p->key, NO_INDEX, parse->learning, &parse->err);
        if (parse->learning && path != NO_INDEX && guess == NO_INDEX) {
            if (*previous == NO_INDEX)
                parse->learning->paths[root].child = path;
            else
                parse->learning->paths[*previous].sibling = path;
        }
    }
    if (path == NO_INDEX) {
        lm_parse_emit_new(parse, p->key, p->value);
        return;
    }
    *previous = path;
    lm_parse_emit_path(parse, path, p->value);
}

bool lm_logfmt_line(lm_parse *parse, uint32_t root, lm_str text)
{
    lm_parse_mark mark = lm_parse_mark_take(parse);
    uint32_t previous = NO_INDEX;
    size_t at = 0, count = 0;
    pair p;
    text = trim_end(text);
    for (;;) {
        at = skip_blanks(text, at);
        if (at >= text.len || !pair_at(text, at, &p)) break;
        emit_pair(parse, root, &p, &previous);
        at = p.end;
        count++;
    }
    if (at >= text.len && count >= 2) return true;
    lm_parse_mark_restore(parse, &mark);
    return false;
}

/* Most texts end in a word that is no pair: seen at once. */
static bool may_end_in_pair(lm_str text)
{
    if (text.len == 0 || text.ptr[text.len - 1] == '"') return text.len != 0;
    size_t slash = text.len > 1 && text.ptr[text.len - 2] == '/';
    if (text.ptr[text.len - 1] == '>' && text.len > 2 && text.ptr[text.len - 2 - slash] == '"')
        return true; /* an element of XML */
    const uint8_t *end = text.ptr + text.len, *last = end;
    while (last > text.ptr && !lm_is_blank(last[-1]) && last[-1] != '"')
        last--;
    return memchr(last, '=', (size_t)(end - last)) != NULL;
}

static size_t skip_word(lm_str text, size_t at)
{
    while (at < text.len && !(classes[text.ptr[at]] & BLANK))
        at++;
    return at;
}

size_t lm_kv_count(lm_str text, size_t *out_begin)
{
    size_t at = 0, count = 0, begin = 0;
    pair p;
    text = trim_end(text);
    if (!may_end_in_pair(text)) return 0;
    while ((at = skip_blanks(text, at)) < text.len) {
        if (pair_at(text, at, &p)) {
            if (count++ == 0) begin = at;
            at = p.end;
        } else {
            count = 0;
            at = skip_word(text, at);
        }
    }
    *out_begin = begin;
    return count;
}

size_t lm_kv_tail(lm_parse *parse, uint32_t root, lm_str text)
{
    size_t at = 0, count = 0;
    uint32_t previous = NO_INDEX;
    lm_parse_mark mark = lm_parse_mark_take(parse);
    pair p;
    text = trim_end(text);
    if (!may_end_in_pair(text)) return 0;
    while ((at = skip_blanks(text, at)) < text.len) {
        if (pair_at(text, at, &p)) {
            emit_pair(parse, root, &p, &previous);
            at = p.end;
            count++;
            continue;
        }
        if (count) lm_parse_mark_restore(parse, &mark); /* a run in the middle is not the tail */
        previous = NO_INDEX;
        count = 0;
        at = skip_word(text, at);
    }
    return count;
}

/* Position of the next " key=" at or behind at; text.len if there is none. */
static size_t next_key(lm_str text, size_t at)
{
    while (at < text.len) {
        const uint8_t *hit = memchr(text.ptr + at, '=', text.len - at);
        if (!hit) break;
        size_t equals = (size_t)(hit - text.ptr), begin = equals;
        while (begin > at && key_byte(text.ptr[begin - 1]))
            begin--;
        bool escaped = equals && text.ptr[equals - 1] == '\\';
        if (begin < equals && begin > 0 && lm_is_blank(text.ptr[begin - 1]) && !escaped)
            return begin;
        at = equals + 1;
    }
    return text.len;
}

bool lm_cef_pairs(lm_parse *parse, uint32_t root, lm_str text)
{
    uint32_t previous = NO_INDEX;
    size_t at = skip_blanks(text, 0);
    bool any = false;
    text = trim_end(text);
    while (at < text.len) {
        size_t equals = at;
        while (equals < text.len && key_byte(text.ptr[equals]))
            equals++;
        if (equals == at || equals >= text.len || text.ptr[equals] != '=') return any;
        size_t next = next_key(text, equals + 1);
        pair p = {.key = lm_str_cut(text, at, equals),
                  .value = trim_end(lm_str_cut(text, equals + 1, next))};
        emit_pair(parse, root, &p, &previous);
        any = true;
        at = next;
    }
    return any;
}

/* A quoted cell that begins at at (behind its quote): where its closing quote is. */
static size_t cell_quote_end(lm_str line, size_t at)
{
    while (at < line.len) {
        const uint8_t *hit = memchr(line.ptr + at, '"', line.len - at);
        if (!hit) return SIZE_MAX;
        size_t q = (size_t)(hit - line.ptr);
        if (q + 1 >= line.len || line.ptr[q + 1] != '"') return q;
        at = q + 2;
    }
    return SIZE_MAX;
}

size_t lm_row_cut(lm_str line, uint8_t delimiter, bool is_quoted, lm_str *cells, size_t max)
{
    return lm_row_cut_open(line, delimiter, is_quoted, cells, max, NULL);
}

size_t lm_row_cut_open(lm_str line, uint8_t delimiter, bool is_quoted, lm_str *cells, size_t max,
                       bool *out_open)
{
    size_t count = 0, at = 0;
    if (out_open) *out_open = false;
    while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
        line.len--;
    for (;;) {
        size_t end;
        if (count == max) return SIZE_MAX;
        if (is_quoted && at < line.len && line.ptr[at] == '"') {
            end = cell_quote_end(line, at + 1);
            if (end == SIZE_MAX && out_open) {
                *out_open = true;
                cells[count++] = lm_str_cut(line, at + 1, line.len);
                return count;
            }
            if (end == SIZE_MAX) return SIZE_MAX;
            cells[count++] = lm_str_cut(line, at + 1, end);
            end++;
            if (end < line.len && line.ptr[end] != delimiter) return SIZE_MAX;
        } else {
            const uint8_t *hit =
                at < line.len ? memchr(line.ptr + at, delimiter, line.len - at) : NULL;
            end = hit ? (size_t)(hit - line.ptr) : line.len;
            cells[count++] = lm_str_cut(line, at, end);
        }
        if (end >= line.len) return count;
        at = end + 1;
    }
}

bool lm_row_line(lm_parse *parse, const lm_format *format, lm_str line)
{
    lm_str cells[COLUMNS_MAX + 1];
    if (format->has_directives && line.len && line.ptr[0] == '#') {
        lm_parse_emit_message(parse, line);
        return true;
    }
    if (line.len == format->header.len && lm_str_equal(line, format->header)) {
        lm_parse_emit_message(parse, line);
        return true;
    }
    bool is_open; /* its last cell goes on in the lines below: so far it is a row */
    size_t count = lm_row_cut_open(line, format->delimiter, format->is_quoted, cells,
                                   format->cell_count + 1u, &is_open);
    is_open = is_open && count > 1 && count < format->cell_count;
    if (count != format->cell_count && !is_open) return false;
    for (size_t i = 0, cell = 0; i < format->column_count && cell < count; i++, cell++) {
        lm_str value = cells[cell];
        if (i == format->joined) {
            cell++;
            value.len = (size_t)(cells[cell].ptr + cells[cell].len - value.ptr);
        }
        lm_parse_emit(parse, format->columns[i], value);
    }
    return true;
}

lm_err lm_row_add(lm_schema *schema, lm_str name, lm_str header, uint8_t delimiter, bool is_quoted,
                  bool has_directives, const lm_str *names, size_t count, uint32_t *out_format)
{
    lm_format format = {.engine = LM_ENGINE_ROW,
                        .origin = LM_ORIGIN_NAMED,
                        .root = NO_INDEX,
                        .weight = 8,
                        .delimiter = delimiter,
                        .is_quoted = is_quoted,
                        .has_directives = has_directives,
                        .joined = NO_INDEX,
                        .cell_count = (uint32_t)count};
    lm_buf pattern;
    lm_buf_init(&pattern, schema->mem);
    lm_err err = lm_schema_copy(schema, name, &format.name);
    if (!err) err = lm_schema_copy(schema, header, &format.header);
    for (size_t i = 0; !err && i < count; i++) {
        if (i) err = lm_buf_u8(&pattern, delimiter);
        if (!err) err = lm_buf_append(&pattern, "%{", 2);
        if (!err) err = lm_buf_append(&pattern, names[i].ptr, names[i].len);
        if (!err) err = lm_buf_u8(&pattern, '}');
    }
    if (!err) err = lm_schema_copy(schema, (lm_str){pattern.ptr, pattern.len}, &format.pattern);
    if (err) goto out;
    memset(format.first, 0xff, sizeof format.first);
    format.columns =
        lm_arena_alloc(&schema->arena, (count + 1) * sizeof *format.columns, _Alignof(uint32_t));
    if (!format.columns) {
        err = lm_mem_err();
        goto out;
    }
    size_t before = schema->field_count;
    for (size_t i = 0; !err && i < count; i++) {
        lm_str column = names[i];
        bool joins = delimiter == ' ' && format.joined == NO_INDEX && i + 1 < count &&
                     lm_str_equal(names[i], LM_STR("date")) &&
                     lm_str_equal(names[i + 1], LM_STR("time"));
        if (joins) {
            column = LM_STR("timestamp");
            format.joined = format.column_count;
            i++;
        }
        uint32_t field = NO_INDEX;
        err = lm_schema_field_add(schema, column, (uint32_t)schema->format_count, &field);
        if (err) break;
        lm_info *info = &schema->fields[field];
        info->role = (uint8_t)lm_role_of(info->name, &info->rank);
        format.columns[format.column_count++] = field;
    }
    if (!err) err = lm_schema_format_add(schema, &format, out_format);
    if (err) schema->field_count = before;
out:
    lm_buf_fini(&pattern);
    return err;
}

static lm_type zeek_type(lm_str name)
{
    static const struct known {
        const char *name;
        lm_type type;
    } known[] = {
        {"time", LM_TYPE_TIME},         {"addr", LM_TYPE_IPV4}, {"port", LM_TYPE_INT},
        {"count", LM_TYPE_INT},         {"int", LM_TYPE_INT},   {"double", LM_TYPE_DECIMAL},
        {"interval", LM_TYPE_DURATION}, {"enum", LM_TYPE_ENUM},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (lm_str_equal(name, lm_str_of(known[i].name))) return known[i].type;
    }
    return lm_str_equal(name, LM_STR("bool")) ? LM_TYPE_ENUM : LM_TYPE_COUNT; /* T and F */
}

void lm_row_zeek_types(lm_schema *schema, uint32_t format, const lm_str *lines, size_t count)
{
    const lm_format *f = &schema->formats[format];
    lm_str cells[COLUMNS_MAX];
    for (size_t i = 0; i < count; i++) {
        if (!lm_str_starts(lines[i], LM_STR("#types")) || lines[i].len < 8) continue;
        size_t n = lm_row_cut(lm_str_cut(lines[i], 7, lines[i].len), f->delimiter, false, cells,
                              COLUMNS_MAX);
        for (size_t k = 0; n == f->column_count && k < n; k++) {
            lm_info *info = &schema->fields[f->columns[k]];
            if (info->declared != LM_TYPE_COUNT) continue; /* the user gave one */
            info->declared = (uint8_t)zeek_type(cells[k]);
            if (info->declared == LM_TYPE_DURATION) info->unit = LM_STR("seconds");
        }
        return;
    }
}

/**
 * One line -> fields. The formats are tried in the schema's order; the first that fits takes the
 * line. Fields that hold JSON, key=value pairs or a header of their own are then taken apart again,
 * their parts behind the whole.
 */
#include "schema/schema_priv.h"

enum { RANK_MUST_LOOK = 50, RANK_NUMBER_IS_LEVEL = 52, RANK_INNER = 120 };

void lm_parse_begin(lm_parse *parse, const lm_schema *schema, lm_fields *fields)
{
    *parse = (lm_parse){.schema = schema, .fields = fields};
    fields->count = 0;
    fields->format = fields->timestamp = fields->level = fields->message = -1;
}

static bool grow(lm_parse *parse)
{
    lm_fields *fields = parse->fields;
    if (fields->count >= LM_FIELD_COUNT_MAX || parse->err) return false;
    size_t cap = fields->cap ? fields->cap * 2 : 32;
    lm_field *items = lm_arena_alloc(fields->arena, cap * sizeof *items, _Alignof(lm_field));
    if (!items) {
        parse->err = lm_mem_err();
        return false;
    }
    if (fields->count) memcpy(items, fields->items, fields->count * sizeof *items);
    fields->items = items;
    fields->cap = cap;
    return true;
}

static inline bool room(lm_parse *parse)
{
    return parse->fields->count < parse->fields->cap || grow(parse);
}

/* lm_value_is_null, but most values are seen to be none by their first byte. */
static inline bool is_null(lm_str value)
{
    if (value.len == 0) return true;
    uint8_t c = value.ptr[0];
    return value.len <= 7 && (c == '-' || c == 'n' || c == 'N' || c == '(' || c == '<') &&
           lm_value_is_null(value);
}

/* Could this value be what a weakly named field claims to be? A number is a level only where the
 * name says so. */
static bool looks_like(lm_role role, unsigned rank, lm_str value)
{
    if (role == LM_ROLE_LEVEL)
        return value.len && value.len <= 12 &&
               (rank <= RANK_NUMBER_IS_LEVEL || !lm_is_digit(value.ptr[0])) &&
               lm_severity_parse(value) != LM_SEV_UNKNOWN;
    if (role != LM_ROLE_TIME) return true;
    if (value.len < 8 || value.len > LM_TIME_TEXT_MAX) return false;
    size_t digits = 0;
    if (rank == RANK_ENDING || rank == RANK_ENDING_INNER) {
        lm_time time;
        if (lm_time_parse(value.ptr, value.len, &time))
            return time.len == value.len && lm_time_layout_has_year(time.layout);
        return lm_epoch_at(value.ptr, value.len, &digits) && digits == value.len;
    }
    for (size_t i = 0; i < value.len; i++)
        digits += lm_is_digit(value.ptr[i]);
    return digits >= 6;
}

static void claim(lm_parse *parse, const lm_info *info, lm_str value, int item)
{
    lm_role role = (lm_role)info->role;
    if (parse->in_tail && role == LM_ROLE_MESSAGE) return;
    unsigned rank = info->rank;
    if (rank >= RANK_MUST_LOOK && !looks_like(role, rank, value)) return;
    int *slot = role == LM_ROLE_TIME    ? &parse->fields->timestamp
                : role == LM_ROLE_LEVEL ? &parse->fields->level
                                        : &parse->fields->message;
    if (parse->container) {
        bool inside_message = role == LM_ROLE_MESSAGE && *slot == (int)parse->container - 1;
        if (inside_message)
            *slot = -1; /* the text in the text is the better one */
        else
            rank += RANK_INNER;
    }
    if (*slot >= 0 && rank >= parse->ranks[role]) return;
    *slot = item;
    parse->ranks[role] = (uint8_t)(rank < UINT8_MAX ? rank : UINT8_MAX);
}

void lm_parse_emit(lm_parse *parse, uint32_t field, lm_str value)
{
    if (!room(parse)) return;
    const lm_info *info = &parse->schema->fields[field];
    size_t at = parse->fields->count++;
    lm_type type = is_null(value) ? LM_TYPE_NULL : (lm_type)info->type;
    parse->fields->items[at] = (lm_field){info->name, value, type};
    if (info->role) claim(parse, info, value, (int)at);
    if (parse->ids) parse->ids[at] = field;
    if (info->inner && parse->inner_count < INNER_MAX) {
        parse->inner[parse->inner_count] = at;
        parse->inner_ids[parse->inner_count++] = field;
    }
}

void lm_parse_emit_new(lm_parse *parse, lm_str name, lm_str value)
{
    if (!room(parse)) return;
    size_t at = parse->fields->count++;
    parse->fields->items[at] = (lm_field){name, value, lm_value_of(value).type};
    if (parse->ids) parse->ids[at] = NO_INDEX;
    lm_info info = {0};
    info.role = (uint8_t)lm_role_of(name, &info.rank);
    if (info.role) claim(parse, &info, value, (int)at);
}

void lm_parse_emit_path(lm_parse *parse, uint32_t path_index, lm_str value)
{
    const lm_path *path = &parse->schema->paths[path_index];
    uint32_t field = path->field;
    if (field == NO_INDEX && parse->learning && path->name.len) {
        lm_err err = lm_schema_field_add(parse->learning, path->name, path->format, &field);
        if (err && err != LM_E_LIMIT) parse->err = err;
        if (!err) {
            lm_info *info = &parse->learning->fields[field];
            parse->learning->paths[path_index].field = field;
            info->role = (uint8_t)lm_role_of(info->name, &info->rank);
        } else {
            field = NO_INDEX;
        }
    }
    if (field == NO_INDEX)
        lm_parse_emit_new(parse, path->name, value);
    else
        lm_parse_emit(parse, field, value);
}

void lm_parse_emit_message(lm_parse *parse, lm_str line)
{
    if (!room(parse)) return;
    size_t at = parse->fields->count++;
    parse->fields->items[at] = (lm_field){LM_STR("message"), line, LM_TYPE_TEXT};
    parse->fields->message = (int)at;
    if (parse->ids) parse->ids[at] = NO_INDEX;
}

static bool try_format(lm_parse *parse, const lm_format *format, lm_str line)
{
    switch ((lm_engine)format->engine) {
    case LM_ENGINE_TREE:
        return lm_match_line(parse, format, line);
    case LM_ENGINE_JSON:
        return lm_json_line(parse, format->root, line);
    case LM_ENGINE_LOGFMT:
        return lm_logfmt_line(parse, format->root, line);
    case LM_ENGINE_ROW:
        return lm_row_line(parse, format, line);
    }
    return false;
}

static void take_apart(lm_parse *parse, size_t item, uint32_t field)
{
    const lm_info info = parse->schema->fields[field]; /* a copy: learning may move the fields */
    lm_str value = parse->fields->items[item].value;
    parse->container = (uint32_t)item + 1;
    if (info.inner & LM_INNER_JSON) {
        size_t at = lm_json_find(value, 0);
        for (int tries = 0; at != SIZE_MAX && tries < 2; tries++) {
            if (lm_json_line(parse, info.inner_root, lm_str_cut(value, at, value.len))) return;
            at = lm_json_find(value, at + 1);
        }
    }
    if (info.inner & LM_INNER_FORMAT) {
        lm_parse_mark mark = lm_parse_mark_take(parse);
        if (lm_match_line(parse, &parse->schema->formats[info.inner_format], value)) return;
        lm_parse_mark_restore(parse, &mark);
    }
    if (info.inner & LM_INNER_CEF)
        (void)lm_cef_pairs(parse, info.inner_root, value); /* none is fine */
    parse->in_tail = true;
    if (info.inner & LM_INNER_KV)
        (void)lm_kv_tail(parse, info.inner_root, value); /* none is fine */
    parse->in_tail = false;
}

/* Words that open sentences as often as they are levels. */
static bool is_plain_word(lm_str word)
{
    static const char *const words[] = {"log",     "note",  "config", "fine",
                                        "failure", "alert", "fail"};
    if (word.ptr[1] < 'a') return false; /* in capitals */
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (lm_str_equal_nocase(word, lm_str_of(words[i]))) return true;
    }
    return false;
}

/* `warning: ...`, `[error] ...`, `<Notice> ...`, `ERROR ...`, `##[error]...`: the level that a
 * message opens with; empty if it opens otherwise. */
static lm_str level_at(lm_str text)
{
    if (lm_str_starts(text, LM_STR("##["))) text = lm_str_cut(text, 2, text.len);
    size_t begin = text.len && (text.ptr[0] == '[' || text.ptr[0] == '<');
    size_t n = begin < text.len ? lm_match_level(text.ptr + begin, text.len - begin) : 0;
    if (n == 0 || begin + n >= text.len) return (lm_str){0};
    lm_str word = lm_str_cut(text, begin, begin + n);
    uint8_t next = text.ptr[begin + n];
    if (begin) return next == (text.ptr[0] == '[' ? ']' : '>') ? word : (lm_str){0};
    if (next == ':') return is_plain_word(word) ? (lm_str){0} : word;
    bool capitals = true;
    for (size_t i = 0; i < n; i++)
        capitals &= !(word.ptr[i] >= 'a' && word.ptr[i] <= 'z');
    return capitals && lm_is_blank(next) ? word : (lm_str){0};
}

/* `%LINK-3-UPDOWN: ...`, as network gear names its messages: a facility, how grave, a name. */
static lm_str level_of_mnemonic(lm_str text)
{
    size_t level = 0, i = 1;
    while (i < text.len && (memchr("_-/", text.ptr[i], 3) || lm_is_digit(text.ptr[i]) ||
                            (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z')))
        i++;
    if (i < 8 || (i < text.len && text.ptr[i] != ':')) return (lm_str){0};
    for (size_t k = 2; k + 2 < i && !level; k++) {
        bool is_one = text.ptr[k - 1] == '-' && text.ptr[k + 1] == '-';
        if (is_one && text.ptr[k] >= '0' && text.ptr[k] < '8') level = k;
    }
    return level ? lm_str_cut(text, level, level + 1) : (lm_str){0};
}

/* The end of a label: `imap-login`, or a place, `src/main.c:17:3`; 0: there is none. */
static size_t label_end(lm_str text)
{
    enum { LABEL_MAX = 96 };

    size_t at = 0;
    while (at < text.len && at < LABEL_MAX && text.ptr[at] != ':' && !lm_is_blank(text.ptr[at]))
        at++;
    while (at && at + 1 < text.len && text.ptr[at] == ':' && lm_is_digit(text.ptr[at + 1])) {
        at++;
        while (at < text.len && lm_is_digit(text.ptr[at]))
            at++;
    }
    bool is_label = at && at + 2 < text.len && text.ptr[at] == ':' && text.ptr[at + 1] == ' ';
    return is_label ? at : 0;
}

/* What a message opens with, or says behind its one label: `imap-login: Error: ...`. */
static lm_str level_of_message(lm_str text)
{
    lm_str level = level_at(text);
    if (level.len || text.len == 0) return level;
    if (text.ptr[0] == '%') return level_of_mnemonic(text);
    size_t at = label_end(text);
    if (at == 0) return (lm_str){0};
    level = level_at(lm_str_cut(text, at + 2, text.len));
    bool is_label =
        level.len && level.ptr + level.len < text.ptr + text.len && level.ptr[level.len] == ':';
    return is_label ? level : (lm_str){0};
}

/* Nothing else says how grave it is. */
static void emit_level(lm_parse *parse)
{
    const lm_fields *fields = parse->fields;
    if (fields->level >= 0 || fields->message < 0) return;
    lm_str level = level_of_message(fields->items[fields->message].value);
    for (size_t i = 0; !level.len && i < fields->count; i++) {
        lm_str value = fields->items[i].value; /* the mnemonic is read as a program's name, too */
        bool is_name = value.len && value.ptr[0] == '%' && (int)i != fields->message;
        if (is_name) level = level_of_mnemonic(value);
    }
    if (level.len) lm_parse_emit_new(parse, LM_STR("level"), level);
}

/* A line of no format. The day and time that it begins with are its own all the same. */
static void emit_plain(lm_parse *parse, lm_str line)
{
    size_t begin = line.len && (line.ptr[0] == '[' || line.ptr[0] == '(');
    lm_time time;
    bool has_time = line.len > begin && lm_time_parse(line.ptr + begin, line.len - begin, &time) &&
                    lm_time_layout_has_date(time.layout);
    size_t end = has_time ? begin + time.len : 0;
    if (has_time && begin) /* the bracket closes behind it, or it is not the time's */
        has_time = end < line.len && line.ptr[end++] == (line.ptr[0] == '[' ? ']' : ')');
    if (!has_time || end == line.len) {
        lm_parse_emit_message(parse, line);
        emit_level(parse);
        return;
    }
    lm_parse_emit_new(parse, LM_STR("timestamp"), lm_str_cut(line, begin, begin + time.len));
    while (end < line.len && (lm_is_blank(line.ptr[end]) || memchr(":,|-", line.ptr[end], 4)))
        end++;
    lm_parse_emit_message(parse, lm_str_cut(line, end, line.len));
    emit_level(parse);
}

bool lm_schema_may_open_with_level(lm_str begin, bool whole)
{
    /* a bracket, the longest word, the sign behind it, and one more that tells where the word ends
     */
    enum { TELLS = 1 + 13 + 2 };

    return (!whole && begin.len < TELLS) || level_at(begin).len > 0;
}

lm_err lm_schema_level_below(const lm_schema *schema, lm_str second, lm_fields *fields)
{
    if (fields->format < 0 || fields->level >= 0) return LM_OK;
    lm_str level = level_at(second);
    if (!level.len) return LM_OK;
    lm_parse parse = {.schema = schema, .fields = fields};
    lm_parse_emit_new(&parse, LM_STR("level"), level);
    return parse.err;
}

uint32_t lm_parse_run(lm_parse *parse, lm_str line)
{
    const lm_schema *schema = parse->schema;
    uint32_t found = NO_INDEX;
    lm_parse_mark mark = lm_parse_mark_take(parse);
    for (size_t i = 0; i < schema->order_count && line.len; i++) {
        const lm_format *format = &schema->formats[schema->order[i]];
        if (!lm_set_has(format->first, line.ptr[0])) continue;
        if (try_format(parse, format, line)) {
            found = schema->order[i];
            break;
        }
        lm_parse_mark_restore(parse, &mark);
    }
    if (found == NO_INDEX) {
        emit_plain(parse, line);
        return found;
    }
    for (uint32_t i = 0; i < parse->inner_count; i++)
        take_apart(parse, parse->inner[i], parse->inner_ids[i]);
    parse->container = 0;
    emit_level(parse);
    return found;
}

lm_err lm_schema_parse(const lm_schema *schema, lm_str line, lm_fields *fields)
{
    lm_parse parse;
    lm_parse_begin(&parse, schema, fields);
    uint32_t format = lm_parse_run(&parse, line);
    if (parse.err) return parse.err;
    fields->format = format == NO_INDEX ? -1 : (int)format;
    return LM_OK;
}

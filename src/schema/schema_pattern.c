/**
 * Pattern text -> format tree.
 *
 *   %t %l %m %p %T %c %h %a   timestamp, level, message, pid, thread, logger, host, app
 *   %{name}  %{name:kind}  %{name:kind/unit}  %{name=word,word}   any field (schema_kinds.def)
 *   %( a %| b %)   the first alternative that fits; an empty one makes the rest optional
 *   blank          one or more blanks; `% ` (percent, blank) any number of them
 *   %%             a percent sign; every other byte stands for itself
 *
 * The tree is an array in reading order. A choice is CHOICE ALT body ALT body ...; `next` of an ALT
 * is the ALT after it, or what stands behind the choice. After reading, one pass from the end gives
 * every field what may follow it: literal text if there is just one way on, else a set of bytes.
 * That is where a field of unknown length stops.
 */
#include "schema/schema_priv.h"

static const struct kind {
    const char *name;
    uint8_t match, type;
} kinds[] = {

#define LM_KIND(name, match, type) {name, LM_MATCH_##match, LM_TYPE_##type},
#include "schema/schema_kinds.def"
#undef LM_KIND
};

static const struct letter {
    char letter;
    const char *name;
    uint8_t match, type;
} letters[] = {
    {'t', "timestamp", LM_MATCH_TIME, LM_TYPE_TIME}, {'l', "level", LM_MATCH_LEVEL, LM_TYPE_ENUM},
    {'m', "message", LM_MATCH_LAST, LM_TYPE_TEXT},   {'p', "pid", LM_MATCH_INT, LM_TYPE_INT},
    {'T', "thread", LM_MATCH_AUTO, LM_TYPE_COUNT},   {'c', "logger", LM_MATCH_AUTO, LM_TYPE_COUNT},
    {'h', "host", LM_MATCH_WORD, LM_TYPE_COUNT},     {'a', "app", LM_MATCH_AUTO, LM_TYPE_COUNT},
};

typedef struct reader {
    lm_schema *schema;
    lm_str text;
    size_t at;
    lm_str prefix;
    uint32_t format;
    size_t first_field;
    lm_node *nodes;
    uint32_t count;
} reader;

static lm_err push(reader *r, lm_node node, uint32_t *out_index)
{
    if (r->count == NODE_COUNT_MAX)
        return lm_fail_at(LM_E_LIMIT, r->at, "pattern has more than %d parts", NODE_COUNT_MAX);
    if (out_index) *out_index = r->count;
    r->nodes[r->count++] = node;
    return LM_OK;
}

static lm_err inner_name(reader *r, lm_str name, lm_str *out)
{
    bool taken = false;
    for (size_t i = 0; r->prefix.len && i < r->first_field && !taken; i++) {
        taken = lm_str_equal_nocase(r->schema->fields[i].name, name);
    }
    if (!taken) {
        *out = name;
        return LM_OK;
    }
    uint8_t *p = lm_arena_alloc(&r->schema->arena, r->prefix.len + 1 + name.len, 1);
    if (!p) return lm_mem_err();
    memcpy(p, r->prefix.ptr, r->prefix.len);
    p[r->prefix.len] = '.';
    memcpy(p + r->prefix.len + 1, name.ptr, name.len);
    *out = (lm_str){p, r->prefix.len + 1 + name.len};
    return LM_OK;
}

/* A name used twice (in two alternatives) is one field. */
static lm_err add_field(reader *r, lm_str name, uint8_t match, uint8_t type, lm_str unit,
                        lm_str words)
{
    lm_role role = LM_ROLE_NONE;
    uint8_t rank = 0;
    if (match != LM_MATCH_SCORE) role = lm_role_of(name, &rank);
    lm_err err = inner_name(r, name, &name);
    if (err) return err;
    uint32_t field = NO_INDEX;
    for (size_t i = r->first_field; i < r->schema->field_count; i++) {
        if (lm_str_equal(r->schema->fields[i].name, name)) field = (uint32_t)i;
    }
    if (field == NO_INDEX) {
        err = lm_schema_field_add(r->schema, name, r->format, &field);
        if (err) return err;
        lm_info *info = &r->schema->fields[field];
        info->role = (uint8_t)role;
        info->rank = rank;
        if (info->declared == LM_TYPE_COUNT) { /* else the user gave one */
            info->declared = type;
            info->type = type == LM_TYPE_COUNT ? LM_TYPE_TEXT : type;
        }
        if (unit.len) {
            err = lm_schema_copy(r->schema, unit, &info->unit);
            if (err) return err;
        }
        if (match == LM_MATCH_KV || match == LM_MATCH_CEF) {
            err = lm_schema_root_add(r->schema, (lm_str){0}, r->format, &info->inner_root);
            if (err) return err;
            info->inner = match == LM_MATCH_KV ? LM_INNER_KV : LM_INNER_CEF;
        }
    }
    return push(r, (lm_node){.kind = LM_NODE_FIELD, .match = match, .field = field, .words = words},
                NULL);
}

static bool name_byte(uint8_t c)
{
    return lm_is_alpha(c) || lm_is_digit(c) || c == '_' || c == '.' || c == '-' || c == '@' ||
           c == '$';
}

/* Behind "%{": name[:kind[/unit]]} */
static lm_err read_braces(reader *r)
{
    size_t begin = r->at;
    while (r->at < r->text.len && name_byte(r->text.ptr[r->at]))
        r->at++;
    lm_str name = lm_str_cut(r->text, begin, r->at), kind = {0}, unit = {0}, words = {0};
    if (name.len == 0) return lm_fail_at(LM_E_USAGE, r->at, "a field needs a name after '%%{'");
    if (r->at < r->text.len && r->text.ptr[r->at] == '=') {
        const uint8_t *close = memchr(r->text.ptr + r->at, '}', r->text.len - r->at);
        begin = ++r->at;
        if (close) r->at = (size_t)(close - r->text.ptr);
        words = lm_str_cut(r->text, begin, r->at);
        if (words.len == 0)
            return lm_fail_at(LM_E_USAGE, r->at, "a list of words must stand behind '='");
    } else if (r->at < r->text.len && r->text.ptr[r->at] == ':') {
        begin = ++r->at;
        while (r->at < r->text.len && lm_is_alpha(r->text.ptr[r->at]))
            r->at++;
        kind = lm_str_cut(r->text, begin, r->at);
        if (r->at < r->text.len && r->text.ptr[r->at] == '/') {
            begin = ++r->at;
            while (r->at < r->text.len && lm_is_alpha(r->text.ptr[r->at]))
                r->at++;
            unit = lm_str_cut(r->text, begin, r->at);
        }
    }
    if (r->at >= r->text.len || r->text.ptr[r->at] != '}')
        return lm_fail_at(LM_E_USAGE, r->at, "field '%.*s' is not closed by '}'", (int)name.len,
                          (const char *)name.ptr);
    r->at++;
    if (words.len) return add_field(r, name, LM_MATCH_ONE_OF, LM_TYPE_ENUM, unit, words);
    if (kind.len == 0) {
        uint8_t rank;
        bool is_message = lm_role_of(name, &rank) == LM_ROLE_MESSAGE;
        return add_field(r, name, is_message ? LM_MATCH_LAST : LM_MATCH_AUTO,
                         is_message ? LM_TYPE_TEXT : LM_TYPE_COUNT, unit, words);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (lm_str_equal(kind, lm_str_of(kinds[i].name)))
            return add_field(r, name, kinds[i].match, kinds[i].type, unit, words);
    }
    return lm_fail_at(LM_E_USAGE, begin, "there is no kind '%.*s' of field", (int)kind.len,
                      (const char *)kind.ptr);
}

static lm_err read_letter(reader *r, char letter)
{
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if (letters[i].letter == letter)
            return add_field(r, lm_str_of(letters[i].name), letters[i].match, letters[i].type,
                             (lm_str){0}, (lm_str){0});
    }
    return lm_fail_at(LM_E_USAGE, r->at - 2, "there is no '%%%c' in patterns",
                      letter >= 32 && letter < 127 ? letter : '?');
}

static bool at_special(const reader *r, char what)
{
    return r->at + 1 < r->text.len && r->text.ptr[r->at] == '%' &&
           r->text.ptr[r->at + 1] == (uint8_t)what;
}

static lm_err read_literal(reader *r)
{
    uint8_t *p = lm_arena_alloc(&r->schema->arena, r->text.len - r->at, 1);
    if (!p) return lm_mem_err();
    size_t n = 0;
    while (r->at < r->text.len && !lm_is_blank(r->text.ptr[r->at])) {
        if (r->text.ptr[r->at] == '%') {
            if (!at_special(r, '%')) break;
            r->at++;
        }
        p[n++] = r->text.ptr[r->at++];
    }
    return push(r, (lm_node){.kind = LM_NODE_TEXT, .text = {p, n}}, NULL);
}

static lm_err read_sequence(reader *r, int depth);

static lm_err read_choice(reader *r, int depth)
{
    uint32_t choice = 0, alt = 0;
    if (depth == CHOICE_DEPTH_MAX)
        return lm_fail_at(LM_E_LIMIT, r->at, "optional parts are nested more than %d deep",
                          CHOICE_DEPTH_MAX);
    lm_err err = push(r, (lm_node){.kind = LM_NODE_CHOICE}, &choice);
    while (!err) {
        err = push(r, (lm_node){.kind = LM_NODE_ALT}, &alt);
        if (!err) err = read_sequence(r, depth + 1);
        if (err) break;
        r->nodes[alt].next = r->count;
        if (r->at >= r->text.len)
            return lm_fail_at(LM_E_USAGE, r->at, "'%%(' is not closed by '%%)'");
        bool more = at_special(r, '|');
        r->at += 2;
        if (more) continue;
        r->nodes[choice].next = r->count;
        return LM_OK;
    }
    return err;
}

/* Up to the end, or to the "%|" or "%)" of the choice around. */
static lm_err read_sequence(reader *r, int depth)
{
    lm_err err = LM_OK;
    while (!err && r->at < r->text.len) {
        uint8_t c = r->text.ptr[r->at];
        if (lm_is_blank(c)) {
            while (r->at < r->text.len && lm_is_blank(r->text.ptr[r->at]))
                r->at++;
            err = push(r, (lm_node){.kind = LM_NODE_BLANK}, NULL);
        } else if (c != '%' || at_special(r, '%')) {
            err = read_literal(r);
        } else if (r->at + 1 >= r->text.len) {
            err = lm_fail_at(LM_E_USAGE, r->at, "nothing stands behind the last '%%'");
        } else if (at_special(r, '|') || at_special(r, ')')) {
            if (depth == 0) err = lm_fail_at(LM_E_USAGE, r->at, "there is no '%%(' before this");
            break;
        } else {
            uint8_t letter = r->text.ptr[r->at + 1];
            r->at += 2;
            if (letter == '(')
                err = read_choice(r, depth);
            else if (letter == ' ')
                err = push(r, (lm_node){.kind = LM_NODE_BLANK0}, NULL);
            else if (letter == '{')
                err = read_braces(r);
            else
                err = read_letter(r, (char)letter);
        }
    }
    return err;
}

static void set_all(uint64_t set[4])
{
    memset(set, 0xff, 4 * sizeof set[0]);
}

static void first_of_field(const lm_node *node, uint64_t set[4])
{
    memset(set, 0, 4 * sizeof set[0]);
    switch (node->match) {
    case LM_MATCH_INT:
    case LM_MATCH_NUMBER:
    case LM_MATCH_DECIMAL:
        for (uint8_t c = '0'; c <= '9'; c++)
            lm_set_add(set, c);
        lm_set_add(set, '-');
        lm_set_add(set, '+');
        lm_set_add(set, '.');
        break;
    case LM_MATCH_LEVEL:
    case LM_MATCH_LETTER:
    case LM_MATCH_POSTGRES:
    case LM_MATCH_TIME_BSD:
    case LM_MATCH_TIME_CTIME:
        for (uint8_t c = 'A'; c <= 'Z'; c++)
            lm_set_add(set, c), lm_set_add(set, (uint8_t)(c | 0x20));
        lm_set_add(set, '<');
        break;
    case LM_MATCH_PRI:
        lm_set_add(set, '<');
        break;
    case LM_MATCH_ONE_OF:
        for (size_t i = 0; i < node->words.len; i++) {
            if (i == 0 || node->words.ptr[i - 1] == ',') lm_set_add(set, node->words.ptr[i]);
        }
        break;
    case LM_MATCH_VERSION:
    case LM_MATCH_EPOCH:
    case LM_MATCH_TIME_ISO:
    case LM_MATCH_TIME_SLASHED:
    case LM_MATCH_TIME_MONTHDAY:
        for (uint8_t c = '0'; c <= '9'; c++)
            lm_set_add(set, c);
        break;
    default:
        set_all(set);
        break;
    }
}

static bool set_full(const uint64_t set[4])
{
    return (set[0] & set[1] & set[2] & set[3]) == UINT64_MAX;
}

/*
 * Fill in stops of nodes [begin, end), given what may follow them; on return follow[] is what they
 * may begin with.
 */
static void follow_pass(lm_node *nodes, uint32_t begin, uint32_t end, uint64_t follow[4])
{
    uint32_t starts[NODE_COUNT_MAX];
    uint32_t count = 0;
    for (uint32_t i = begin; i < end;) {
        starts[count++] = i;
        i = nodes[i].kind == LM_NODE_CHOICE ? nodes[i].next : i + 1;
    }
    while (count) {
        lm_node *node = &nodes[starts[--count]];
        uint64_t own[4] = {0};
        switch (node->kind) {
        case LM_NODE_TEXT:
            lm_set_add(own, node->text.ptr[0]);
            break;
        case LM_NODE_BLANK0:
            memcpy(own, follow, sizeof own); /* fall through */
        case LM_NODE_BLANK:
            lm_set_add(own, ' ');
            lm_set_add(own, '\t');
            lm_set_add(own, LM_ESCAPE);
            break;
        case LM_NODE_FIELD:
            memcpy(node->stops, follow, sizeof own);
            first_of_field(node, own);
            break;
        default:
            for (uint32_t alt = starts[count] + 1; alt < node->next; alt = nodes[alt].next) {
                uint64_t set[4];
                memcpy(set, follow, sizeof set);
                follow_pass(nodes, alt + 1, nodes[alt].next, set);
                memcpy(nodes[alt].stops, set, sizeof set);
                for (int w = 0; w < 4; w++)
                    own[w] |= set[w];
            }
        }
        memcpy(follow, own, sizeof own);
    }
}

/* Literal text behind node i, blanks as one blank; empty if a choice, a field or the end follows at
 * once. */
static lm_err text_behind(reader *r, uint32_t i, uint32_t end, lm_str *out)
{
    *out = (lm_str){0};
    uint32_t next = i + 1;
    if (next >= end ||
        (r->nodes[next].kind != LM_NODE_TEXT && r->nodes[next].kind != LM_NODE_BLANK))
        return LM_OK;
    if (r->nodes[next].kind == LM_NODE_TEXT) {
        *out = r->nodes[next].text;
        return LM_OK;
    }
    lm_str text = next + 1 < end && r->nodes[next + 1].kind == LM_NODE_TEXT
                      ? r->nodes[next + 1].text
                      : (lm_str){0};
    uint8_t *p = lm_arena_alloc(&r->schema->arena, text.len + 1, 1);
    if (!p) return lm_mem_err();
    p[0] = ' ';
    if (text.len) memcpy(p + 1, text.ptr, text.len);
    *out = (lm_str){p, text.len + 1};
    return LM_OK;
}

/* Says how each field ends, now that it is known what follows. */
static lm_err settle(reader *r)
{
    uint64_t follow[4] = {0};
    follow_pass(r->nodes, 0, r->count, follow);
    memcpy(r->schema->formats[r->format].first, follow, sizeof follow);
    for (uint32_t i = 0; i < r->count; i++) {
        lm_node *node = &r->nodes[i];
        if (node->kind != LM_NODE_FIELD) continue;
        bool is_last = i + 1 == r->count;
        lm_err err = text_behind(r, i, r->count, &node->text);
        if (err) return err;
        bool empty_set = (node->stops[0] | node->stops[1] | node->stops[2] | node->stops[3]) == 0;
        bool blank_next = !is_last && r->nodes[i + 1].kind == LM_NODE_BLANK;
        if (node->match == LM_MATCH_AUTO) {
            if (is_last || empty_set)
                node->match = LM_MATCH_REST;
            else
                node->match = blank_next || set_full(node->stops) ? LM_MATCH_WORD : LM_MATCH_UNTIL;
        } else if ((node->match == LM_MATCH_LAST || node->match == LM_MATCH_UNTIL) &&
                   (is_last || empty_set)) {
            node->match = LM_MATCH_REST;
        } else if (node->match == LM_MATCH_LAST && node->text.len == 0) {
            node->match = LM_MATCH_UNTIL;
        }
        node->stop_any = node->text.len == 0;
        node->stop_wide = node->match == LM_MATCH_WORD && i + 2 < r->count &&
                          lm_str_equal(node->text, LM_STR(":")) &&
                          r->nodes[i + 2].kind == LM_NODE_BLANK;
    }
    return LM_OK;
}

lm_err lm_pattern_add(lm_schema *schema, lm_str name, lm_str pattern, lm_origin origin,
                      lm_str prefix, uint32_t *out_format)
{
    lm_format format = {
        .engine = LM_ENGINE_TREE, .origin = (uint8_t)origin, .root = NO_INDEX, .weight = 5};
    reader r = {.schema = schema, .prefix = prefix, .first_field = schema->field_count};
    size_t path_count = schema->path_count;
    lm_err err = lm_schema_copy(schema, pattern, &format.pattern);
    if (!err) err = lm_schema_copy(schema, name, &format.name);
    if (err) return err;
    r.nodes = lm_mem_alloc(schema->mem, NODE_COUNT_MAX * sizeof *r.nodes);
    if (!r.nodes) return lm_mem_err();
    r.text = format.pattern;
    err = lm_schema_format_add(schema, &format, &r.format);
    if (err) goto out;
    err = read_sequence(&r, 0);
    if (!err && r.count == 0) err = lm_fail_at(LM_E_USAGE, 0, "the pattern is empty");
    if (!err) err = settle(&r);
    lm_node *nodes =
        err ? NULL : lm_arena_alloc(&schema->arena, r.count * sizeof *nodes, _Alignof(lm_node));
    if (!err && !nodes) err = lm_mem_err();
    if (err) {
        schema->format_count--; /* as if it had not been there; its arena bytes stay until the
                                   schema goes */
        schema->field_count = r.first_field;
        schema->path_count = path_count; /* roots only */
        goto out;
    }
    memcpy(nodes, r.nodes, r.count * sizeof *nodes);
    schema->formats[r.format].nodes = nodes;
    schema->formats[r.format].node_count = r.count;
    *out_format = r.format;
out:
    lm_mem_release(schema->mem, r.nodes, NODE_COUNT_MAX * sizeof *r.nodes);
    return err;
}

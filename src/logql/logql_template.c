/**
 * Templates of line_format and label_format: Go's text/template over the labels of a record. Text,
 * {{ pipelines }}, if / else if / else / with / range / end, variables, comments and trim marks;
 * not define, template, block.
 */
#include "logql/logql_template_priv.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VARIABLES_MAX 32
#define DEPTH_MAX     64
#define STEPS_MAX     100000

typedef enum arg_kind {
    ARG_FIELD,    /* .a.b of dot */
    ARG_VARIABLE, /* $x.a.b */
    ARG_VALUE,
    ARG_FUNCTION,
    ARG_PIPE /* (pipeline).a.b */
} arg_kind;

typedef struct arg {
    arg_kind kind;
    lm_lq_value value;
    const lm_lq_function *function;
    bool is_line, is_timestamp; /* __line__, __timestamp__ */
    uint32_t slot;
    lm_str *fields;
    uint32_t field_count;
    struct pipe *pipe;
    lm_str written;      /* in the template's text */
    const uint8_t *told; /* where errors of its fields are said to be */
} arg;

typedef struct command {
    arg *args;
    uint32_t count;
    lm_str written;
} command;

typedef struct pipe {
    command *commands;
    uint32_t count;
    uint32_t slots[2]; /* of variables that take the result; range: index, element */
    uint32_t slot_count;
    lm_str written;
} pipe;

typedef enum node_kind {
    NODE_TEXT,
    NODE_ACTION,
    NODE_IF,
    NODE_WITH,
    NODE_RANGE,
    NODE_BREAK,
    NODE_CONTINUE
} node_kind;

typedef struct node {
    node_kind kind;
    lm_str text;
    pipe *what;
    struct node *body, *otherwise; /* first of each */
    struct node *next;
} node;

struct lm_lq_template {
    lm_str text;
    node *first;
    lm_str simple;
    const char *name;
};

/* ---- parsing ---- */

typedef struct reader {
    lm_logql *query;
    lm_arena *arena;
    lm_str text;
    size_t at;
    const char *name;
    lm_str variables[VARIABLES_MAX]; /* names in scope, by slot */
    uint32_t variable_count;
    uint32_t depth, range_depth;
    bool trims; /* the blanks at the beginning of what follows go */
} reader;

static lm_err bad(const reader *r, const char *fmt, ...) LM_PRINTF(2, 3);

static lm_err bad(const reader *r, const char *fmt, ...)
{
    char why[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    unsigned line = 1;
    for (size_t i = 0; i < r->at && i < r->text.len; i++)
        line += r->text.ptr[i] == '\n';
    return lm_fail(LM_E_USAGE, "template: %s:%u: %s", r->name, line, why);
}

static void *make(reader *r, size_t bytes)
{
    void *ptr = lm_arena_alloc(r->arena, bytes, 16);
    if (ptr) memset(ptr, 0, bytes);
    return ptr;
}

static lm_err grow(reader *r, void *ptr_to_array, uint32_t count, size_t item_bytes)
{
    if (count && (count & (count - 1))) return LM_OK;
    void *array;
    memcpy(&array, ptr_to_array, sizeof array);
    void *larger = lm_arena_alloc(r->arena, (count ? 2 * (size_t)count : 1) * item_bytes, 16);
    if (!larger) return lm_mem_err();
    if (count) memcpy(larger, array, count * item_bytes);
    memcpy(ptr_to_array, &larger, sizeof larger);
    return LM_OK;
}

/** The text from begin to where the reader is, without the blanks at its end. */
static lm_str written_from(const reader *r, size_t begin)
{
    size_t end = r->at < r->text.len ? r->at : r->text.len;
    while (end > begin && isspace(r->text.ptr[end - 1]))
        end--;
    return (lm_str){r->text.ptr + begin, end - begin};
}

static uint8_t peek(const reader *r)
{
    return r->at < r->text.len ? r->text.ptr[r->at] : 0;
}

static void skip_blank(reader *r)
{
    while (r->at < r->text.len && isspace(r->text.ptr[r->at]))
        r->at++;
}

static bool at_end_of_action(const reader *r)
{
    lm_str rest = {r->text.ptr + r->at, r->text.len - r->at};
    return lm_str_starts(rest, LM_STR("}}")) || lm_str_starts(rest, LM_STR("-}}"));
}

static lm_err close_action(reader *r)
{
    skip_blank(r);
    if (r->at >= r->text.len) return bad(r, "unclosed action");
    if (!at_end_of_action(r)) return bad(r, "unexpected \"%c\" in operand", peek(r));
    r->trims = peek(r) == '-';
    r->at += r->trims ? 3 : 2;
    return LM_OK;
}

static lm_str read_name(reader *r)
{
    size_t begin = r->at;
    while (r->at < r->text.len && (isalnum(peek(r)) || peek(r) == '_' || peek(r) >= 0x80))
        r->at++;
    return (lm_str){r->text.ptr + begin, r->at - begin};
}

static lm_err read_text(reader *r, lm_str *out)
{
    lm_lq_lexer lexer = {.text = r->text, .at = r->at, .arena = r->arena};
    lm_lq_token token;
    lm_err err = lm_lq_lex(&lexer, &token);
    if (err == LM_E_USAGE) return bad(r, "unterminated quoted string");
    if (err) return err;
    *out = token.text;
    r->at = lexer.at;
    return LM_OK;
}

static lm_err read_number(reader *r, lm_lq_value *out)
{
    size_t begin = r->at;
    while (r->at < r->text.len && (isalnum(peek(r)) || peek(r) == '.' ||
                                   ((peek(r) == '-' || peek(r) == '+') &&
                                    (r->at == begin || (r->text.ptr[r->at - 1] | 0x20) == 'e'))))
        r->at++;
    lm_str text = {r->text.ptr + begin, r->at - begin};
    *out = (lm_lq_value){.kind = LM_LQ_V_INT};
    if (lm_lq_int(text, &out->number)) return LM_OK;
    out->kind = LM_LQ_V_FLOAT;
    if (lm_lq_float(text, &out->real)) return LM_OK;
    return bad(r, "bad number syntax: \"%.*s\"", (int)(text.len < 60 ? text.len : 60),
               (const char *)text.ptr);
}

static lm_err read_character(reader *r, lm_lq_value *out)
{
    uint32_t c = 0;
    r->at++;
    if (r->at < r->text.len) r->at += lm_lq_utf8(r->text.ptr + r->at, r->text.len - r->at, &c);
    if (c == '\\' || peek(r) != '\'') return bad(r, "malformed character constant");
    r->at++;
    *out = (lm_lq_value){.kind = LM_LQ_V_INT, .number = c};
    return LM_OK;
}

static lm_err read_fields(reader *r, arg *out)
{
    while (peek(r) == '.') {
        r->at++;
        if (out->field_count < 2) out->told = r->text.ptr + r->at - 1;
        lm_str name = read_name(r);
        if (!name.len) return bad(r, "unexpected <.> in operand");
        lm_err err = grow(r, &out->fields, out->field_count, sizeof *out->fields);
        if (err) return err;
        out->fields[out->field_count++] = name;
    }
    return LM_OK;
}

static lm_err find_variable(reader *r, lm_str name, uint32_t *out)
{
    for (uint32_t i = r->variable_count; i-- > 0;) {
        if (lm_str_equal(r->variables[i], name)) {
            *out = i;
            return LM_OK;
        }
    }
    return bad(r, "undefined variable \"$%.*s\"", (int)(name.len < 60 ? name.len : 60),
               (const char *)name.ptr);
}

static lm_err read_pipe(reader *r, pipe **out);

static lm_err read_word(reader *r, arg *out)
{
    lm_str name = read_name(r);
    out->kind = ARG_VALUE;
    if (lm_str_equal(name, LM_STR("true")) || lm_str_equal(name, LM_STR("false"))) {
        out->value = (lm_lq_value){.kind = LM_LQ_V_BOOL, .number = name.len == 4};
        return LM_OK;
    }
    if (lm_str_equal(name, LM_STR("nil"))) return LM_OK;
    out->kind = ARG_FUNCTION;
    out->is_line = lm_str_equal(name, LM_STR("__line__"));
    out->is_timestamp = lm_str_equal(name, LM_STR("__timestamp__"));
    out->function = lm_lq_function_of(name);
    if (!out->function && !out->is_line && !out->is_timestamp) {
        return bad(r, "function \"%.*s\" not defined", (int)(name.len < 60 ? name.len : 60),
                   (const char *)name.ptr);
    }
    return LM_OK;
}

static lm_err read_arg(reader *r, arg *out)
{
    *out = (arg){.kind = ARG_VALUE};
    uint8_t c = peek(r);
    lm_err err;
    if (c == '.') {
        out->kind = ARG_FIELD;
        if (r->at + 1 < r->text.len &&
            (isalnum(r->text.ptr[r->at + 1]) || r->text.ptr[r->at + 1] == '_' ||
             r->text.ptr[r->at + 1] >= 0x80)) {
            if (isdigit(r->text.ptr[r->at + 1])) {
                out->kind = ARG_VALUE;
                return read_number(r, &out->value);
            }
            return read_fields(r, out);
        }
        r->at++;
        return LM_OK;
    }
    if (c == '$') {
        r->at++;
        out->kind = ARG_VARIABLE;
        err = find_variable(r, read_name(r), &out->slot);
        return err ? err : read_fields(r, out);
    }
    if (c == '"' || c == '`') {
        out->value.kind = LM_LQ_V_TEXT;
        return read_text(r, &out->value.text);
    }
    if (c == '\'') return read_character(r, &out->value);
    if (c == '(') {
        r->at++;
        out->kind = ARG_PIPE;
        if (++r->depth > DEPTH_MAX) return bad(r, "nested too deep");
        err = read_pipe(r, &out->pipe);
        r->depth--;
        skip_blank(r);
        if (!err && peek(r) != ')') err = bad(r, "unclosed left paren");
        r->at++;
        return err ? err : read_fields(r, out);
    }
    if (isdigit(c) || c == '-' || c == '+') return read_number(r, &out->value);
    if (isalpha(c) || c == '_') {
        err = read_word(r, out);
        return err ? err : read_fields(r, out);
    }
    return bad(r, "unexpected \"%c\" in operand", c ? c : ' ');
}

static lm_err read_command(reader *r, command *out)
{
    *out = (command){.count = 0};
    skip_blank(r);
    size_t from = r->at;
    for (;;) {
        skip_blank(r);
        uint8_t c = peek(r);
        if (r->at >= r->text.len || c == '|' || c == ')' || at_end_of_action(r)) break;
        arg one;
        size_t begin = r->at;
        lm_err err = read_arg(r, &one);
        one.written = written_from(r, begin);
        if (!one.told) one.told = one.written.ptr;
        if (!err) err = grow(r, &out->args, out->count, sizeof *out->args);
        if (err) return err;
        out->args[out->count++] = one;
    }
    out->written = written_from(r, from);
    if (!out->count) return bad(r, "missing value for command");
    const arg *first = &out->args[0];
    if (out->count > 1 && first->kind != ARG_FUNCTION && first->kind != ARG_PIPE &&
        first->kind != ARG_VARIABLE && first->kind != ARG_FIELD)
        return bad(r, "can't give argument to non-function");
    return LM_OK;
}

/** `$x :=`, `$x =`, `$i, $x :=` in front of a pipeline. */
static lm_err read_declaration(reader *r, pipe *p)
{
    size_t begin = r->at;
    lm_str names[2];
    uint32_t count = 0;
    while (peek(r) == '$' && count < 2) {
        r->at++;
        names[count++] = read_name(r);
        skip_blank(r);
        if (peek(r) != ',') break;
        r->at++;
        skip_blank(r);
    }
    bool declares = peek(r) == ':' && r->at + 1 < r->text.len && r->text.ptr[r->at + 1] == '=';
    bool assigns = peek(r) == '=';
    if (!count || (!declares && !assigns)) {
        r->at = begin;
        return LM_OK;
    }
    r->at += declares ? 2 : 1;
    for (uint32_t i = 0; i < count; i++) {
        lm_err err = LM_OK;
        if (declares) {
            if (r->variable_count == VARIABLES_MAX) return bad(r, "too many variables");
            p->slots[i] = r->variable_count;
            r->variables[r->variable_count++] = names[i];
        } else {
            err = find_variable(r, names[i], &p->slots[i]);
        }
        if (err) return err;
    }
    p->slot_count = count;
    return LM_OK;
}

static lm_err read_pipe(reader *r, pipe **out)
{
    pipe *p = make(r, sizeof *p);
    if (!p) return lm_mem_err();
    skip_blank(r);
    size_t begin = r->at;
    lm_err err = read_declaration(r, p);
    while (!err) {
        command one;
        err = read_command(r, &one);
        if (!err) err = grow(r, &p->commands, p->count, sizeof *p->commands);
        if (err) return err;
        p->commands[p->count++] = one;
        if (peek(r) != '|') break;
        r->at++;
    }
    p->written = written_from(r, begin);
    if (!err) *out = p;
    return err;
}

typedef enum list_end { END_OF_TEXT, END_OF_BLOCK, END_ELSE, END_ELSE_IF } list_end;

static lm_err read_list(reader *r, node **out, list_end *out_end);

static lm_err append(node ***io_tail, node *one)
{
    **io_tail = one;
    *io_tail = &one->next;
    return LM_OK;
}

static lm_err read_block(reader *r, node *one)
{
    list_end end;
    uint32_t scope = r->variable_count;
    if (++r->depth > DEPTH_MAX) return bad(r, "nested too deep");
    lm_err err = read_pipe(r, &one->what);
    if (!err) err = close_action(r);
    r->range_depth += one->kind == NODE_RANGE;
    if (!err) err = read_list(r, &one->body, &end);
    r->range_depth -= one->kind == NODE_RANGE;
    if (!err && end == END_ELSE_IF) {
        node *inner = make(r, sizeof *inner);
        if (!inner) return lm_mem_err();
        inner->kind = one->kind == NODE_RANGE ? NODE_IF : one->kind;
        one->otherwise = inner;
        err = read_block(r, inner); /* takes the end of all */
    } else if (!err && end == END_ELSE) {
        err = close_action(r);
        if (!err) err = read_list(r, &one->otherwise, &end);
        if (!err && end != END_OF_BLOCK) err = bad(r, "expected end; found {{else}}");
        if (!err) err = close_action(r);
    } else if (!err && end == END_OF_BLOCK) {
        err = close_action(r);
    } else if (!err) {
        err = bad(r, "unexpected EOF");
    }
    r->variable_count = scope;
    r->depth--;
    return err;
}

/** Behind "{{": an action, the head of a block, or the end of one. */
static lm_err read_action(reader *r, node ***io_tail, bool *out_ended, list_end *out_end)
{
    static const struct {
        const char *word;
        node_kind kind;
    } blocks[] = {{"if", NODE_IF}, {"with", NODE_WITH}, {"range", NODE_RANGE}};

    size_t begin = r->at;
    lm_str word = read_name(r);
    if (lm_str_equal(word, LM_STR("end"))) {
        *out_ended = true;
        *out_end = END_OF_BLOCK;
        return LM_OK;
    }
    if (lm_str_equal(word, LM_STR("else"))) {
        *out_ended = true;
        *out_end = END_ELSE;
        skip_blank(r);
        size_t behind = r->at;
        lm_str second = read_name(r);
        if (lm_str_equal(second, LM_STR("if")) || lm_str_equal(second, LM_STR("with"))) {
            *out_end = END_ELSE_IF;
        } else {
            r->at = behind;
        }
        return LM_OK;
    }
    static const char *const missing[] = {"define", "template", "block"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        if (lm_str_equal(word, lm_str_of(missing[i])))
            return bad(r, "{{%s}} is not supported", missing[i]);
    }
    node *one = make(r, sizeof *one);
    if (!one) return lm_mem_err();
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (!lm_str_equal(word, lm_str_of(blocks[i].word))) continue;
        one->kind = blocks[i].kind;
        lm_err err = read_block(r, one);
        return err ? err : append(io_tail, one);
    }
    r->at = begin;
    one->kind = NODE_ACTION;
    bool is_break = lm_str_equal(word, LM_STR("break"));
    lm_err err = LM_OK;
    if (is_break || lm_str_equal(word, LM_STR("continue"))) {
        if (!r->range_depth)
            return bad(r, "{{%s}} outside {{range}}", is_break ? "break" : "continue");
        one->kind = is_break ? NODE_BREAK : NODE_CONTINUE;
        r->at += word.len;
    } else {
        err = read_pipe(r, &one->what);
    }
    if (!err) err = close_action(r);
    return err ? err : append(io_tail, one);
}

static lm_err skip_comment(reader *r)
{
    lm_str rest = {r->text.ptr + r->at, r->text.len - r->at};
    size_t end = lm_str_find(rest, LM_STR("*/"));
    if (end == SIZE_MAX) return bad(r, "unclosed comment");
    r->at += end + 2;
    return close_action(r);
}

static lm_err read_list(reader *r, node **out, list_end *out_end)
{
    node **tail = out;
    *out = NULL;
    for (;;) {
        lm_str rest = {r->text.ptr + r->at, r->text.len - r->at};
        size_t open = lm_str_find(rest, LM_STR("{{"));
        lm_str text = {rest.ptr, open == SIZE_MAX ? rest.len : open};
        bool trims_right = open != SIZE_MAX && open + 3 < rest.len && rest.ptr[open + 2] == '-' &&
                           isspace(rest.ptr[open + 3]);
        while (r->trims && text.len && isspace(text.ptr[0])) {
            text.ptr++;
            text.len--;
        }
        r->trims = false;
        while (trims_right && text.len && isspace(text.ptr[text.len - 1]))
            text.len--;
        if (text.len) {
            node *one = make(r, sizeof *one);
            if (!one) return lm_mem_err();
            one->kind = NODE_TEXT;
            one->text = text;
            *tail = one;
            tail = &one->next;
        }
        if (open == SIZE_MAX) {
            r->at = r->text.len;
            *out_end = END_OF_TEXT;
            return LM_OK;
        }
        r->at += open + (trims_right ? 3 : 2);
        skip_blank(r);
        lm_str inside = {r->text.ptr + r->at, r->text.len - r->at};
        bool ended = false;
        lm_err err = lm_str_starts(inside, LM_STR("/*")) ? skip_comment(r)
                                                         : read_action(r, &tail, &ended, out_end);
        if (err || ended) return err;
    }
}

/** `{{.name}}` alone */
static lm_str simple_of(const node *first)
{
    if (!first || first->next || first->kind != NODE_ACTION || first->what->slot_count ||
        first->what->count != 1 || first->what->commands[0].count != 1)
        return LM_STR("");
    const arg *only = &first->what->commands[0].args[0];
    return only->kind == ARG_FIELD && only->field_count == 1 ? only->fields[0] : LM_STR("");
}

lm_err lm_lq_template_parse(lm_logql *query, lm_str text, const char *name, lm_lq_template **out)
{
    reader r = {.query = query, .arena = &query->arena, .text = text, .name = name};
    r.variables[r.variable_count++] = LM_STR(""); /* $ */
    lm_lq_template *t = make(&r, sizeof *t);
    if (!t) return lm_mem_err();
    list_end end;
    lm_err err = read_list(&r, &t->first, &end);
    if (err) return err;
    if (end != END_OF_TEXT)
        return bad(&r, end == END_OF_BLOCK ? "unexpected {{end}}" : "unexpected {{else}}");
    t->simple = simple_of(t->first);
    t->name = name;
    t->text = text;
    *out = t;
    return LM_OK;
}

lm_str lm_lq_template_simple(const lm_lq_template *tmpl)
{
    return tmpl->simple;
}

/* ---- fields it reads ---- */

typedef void (*told_fn)(void *ctx, lm_str name);

static void pipe_fields(const pipe *p, told_fn told, void *ctx)
{
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->commands[i].count; k++) {
            const arg *one = &p->commands[i].args[k];
            for (uint32_t f = 0; f < one->field_count; f++)
                told(ctx, one->fields[f]);
            if (one->pipe) pipe_fields(one->pipe, told, ctx);
        }
    }
}

static void list_fields(const node *first, told_fn told, void *ctx)
{
    for (const node *n = first; n; n = n->next) {
        if (n->what) pipe_fields(n->what, told, ctx);
        list_fields(n->body, told, ctx);
        list_fields(n->otherwise, told, ctx);
    }
}

void lm_lq_template_fields(const lm_lq_template *tmpl, void (*told)(void *ctx, lm_str name),
                           void *ctx)
{
    list_fields(tmpl->first, told, ctx);
}

/* ---- carrying it out ---- */

lm_err lm_lq_exec_fail(lm_lq_exec *x, const char *fmt, ...)
{
    if (x->failed) return LM_OK;
    va_list args;
    va_start(args, fmt);
    vsnprintf(x->why, sizeof x->why, fmt, args);
    va_end(args);
    x->failed = true;
    return LM_OK;
}

static void label_value(const lm_lq_exec *x, lm_str name, lm_lq_value *out)
{
    lm_str value = LM_STR("");
    const lm_lq_builder *labels = &x->run->labels;
    if (x->run->view) {
        value = lm_labels_get(*x->run->view, name);
    } else if (lm_str_equal(name, LM_STR("__error__"))) {
        value = labels->error;
    } else if (lm_str_equal(name, LM_STR("__error_details__"))) {
        value = labels->details;
    } else {
        (void)lm_lq_builder_get(labels, name, &value); /* a label that is not there is empty */
    }
    *out = (lm_lq_value){.kind = LM_LQ_V_TEXT, .text = value};
}

/** What Go's times tell without arguments. */
static lm_err time_method(lm_lq_exec *x, int64_t time_ns, lm_str name, lm_lq_value *out)
{
    static const struct {
        const char *name;
        int64_t scale;
    } epochs[] = {{"Unix", NS_PER_S}, {"UnixMilli", 1000000}, {"UnixMicro", 1000}, {"UnixNano", 1}};

    static const struct {
        const char *name, *layout;
        bool is_number;
    } parts[] = {{"Year", "2006", true},      {"Month", "January", false}, {"Day", "2", true},
                 {"Hour", "15", true},        {"Minute", "4", true},       {"Second", "5", true},
                 {"Weekday", "Monday", false}};

    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        if (!lm_str_equal(name, lm_str_of(epochs[i].name))) continue;
        int64_t whole = time_ns / epochs[i].scale - (time_ns % epochs[i].scale < 0);
        *out = (lm_lq_value){.kind = LM_LQ_V_INT, .number = whole};
        return LM_OK;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!lm_str_equal(name, lm_str_of(parts[i].name))) continue;
        lm_buf text;
        lm_buf_init(&text, x->run->mem);
        lm_err err = lm_lq_time_format(lm_str_of(parts[i].layout), time_ns, &text);
        const uint8_t *copy = err ? NULL : lm_arena_copy(x->arena, text.ptr, text.len);
        *out = (lm_lq_value){.kind = LM_LQ_V_TEXT, .text = {copy, text.len}};
        lm_buf_fini(&text);
        if (!err && !copy) err = lm_mem_err();
        if (!err && parts[i].is_number) {
            lm_str digits = out->text;
            *out = (lm_lq_value){.kind = LM_LQ_V_INT};
            if (!lm_lq_int(digits, &out->number)) out->number = 0;
        }
        return err;
    }
    return lm_lq_exec_fail(x, "can't evaluate field %.*s in type time.Time",
                           (int)(name.len < 60 ? name.len : 60), (const char *)name.ptr);
}

static lm_err field_of(lm_lq_exec *x, const lm_lq_value *from, lm_str name, lm_lq_value *out)
{
    if (from->kind == LM_LQ_V_LABELS) {
        label_value(x, name, out);
        return LM_OK;
    }
    if (from->kind == LM_LQ_V_MAP) {
        *out = (lm_lq_value){.kind = LM_LQ_V_NIL};
        for (size_t i = 0; i < from->count; i++) {
            if (lm_str_equal(from->items[2 * i].text, name)) *out = from->items[2 * i + 1];
        }
        return LM_OK;
    }
    if (from->kind == LM_LQ_V_TIME) return time_method(x, from->number, name, out);
    if (from->kind == LM_LQ_V_NIL) { /* of what is not there nothing is there */
        *out = (lm_lq_value){.kind = LM_LQ_V_NIL};
        return LM_OK;
    }
    return lm_lq_exec_fail(x, "can't evaluate field %.*s in type %s",
                           (int)(name.len < 60 ? name.len : 60), (const char *)name.ptr,
                           lm_lq_value_type(from));
}

static lm_err run_pipe(lm_lq_exec *x, const pipe *p, const lm_lq_value *dot, lm_lq_value *out);

static lm_err call(lm_lq_exec *x, const arg *what, const lm_lq_value *args, uint32_t count,
                   lm_lq_value *out)
{
    if (++x->steps > STEPS_MAX) return lm_lq_exec_fail(x, "the template takes too many steps");
    if (what->is_line) {
        *out = (lm_lq_value){.kind = LM_LQ_V_TEXT, .text = x->line};
        return LM_OK;
    }
    if (what->is_timestamp) {
        *out = (lm_lq_value){.kind = LM_LQ_V_TIME, .number = x->time_ns};
        return LM_OK;
    }
    const lm_lq_function *f = what->function;
    if (count < f->min || count > f->max) {
        x->place = x->context = what->written;
        return lm_lq_exec_fail(x, "wrong number of args for %s: want %s%d got %u", f->name,
                               f->min == f->max ? "" : "at least ", f->min, count);
    }
    lm_err err = f->fn(x, args, count, out);
    if (!err && x->failed && !x->is_of_type) {
        char why[sizeof x->why];
        snprintf(why, sizeof why, "error calling %s: %.200s", f->name, x->why);
        memcpy(x->why, why, sizeof why);
    }
    return err;
}

static lm_err eval(lm_lq_exec *x, const arg *one, const lm_lq_value *dot, lm_lq_value *out)
{
    lm_err err = LM_OK;
    switch (one->kind) {
    case ARG_FIELD:
        *out = *dot;
        break;
    case ARG_VARIABLE:
        *out = x->variables[one->slot];
        break;
    case ARG_VALUE:
        *out = one->value;
        break;
    case ARG_FUNCTION:
        x->place = x->context = one->written;
        err = call(x, one, NULL, 0, out);
        break;
    case ARG_PIPE:
        err = run_pipe(x, one->pipe, dot, out);
        break;
    }
    for (uint32_t i = 0; i < one->field_count && !err && !x->failed; i++) {
        lm_lq_value from = *out;
        x->place = (lm_str){one->told, 0};
        x->context = one->written;
        err = field_of(x, &from, one->fields[i], out);
    }
    return err;
}

#define ARGS_MAX 64

static bool is_logic(const arg *one, const char *name)
{
    return one->kind == ARG_FUNCTION && one->function && strcmp(one->function->name, name) == 0;
}

static lm_err run_command(lm_lq_exec *x, const command *c, const lm_lq_value *dot,
                          const lm_lq_value *piped, lm_lq_value *out)
{
    const arg *first = &c->args[0];
    if (first->kind != ARG_FUNCTION || first->field_count) { /* __timestamp__.Unix, too */
        x->place = x->context = first->written;
        if (c->count > 1 || piped)
            return lm_lq_exec_fail(x, "can't give argument to non-function %.*s",
                                   (int)(first->written.len < 100 ? first->written.len : 100),
                                   (const char *)first->written.ptr);
        return eval(x, first, dot, out);
    }
    lm_lq_value args[ARGS_MAX];
    uint32_t count = 0;
    if (c->count > ARGS_MAX - 2) return lm_lq_exec_fail(x, "too many arguments");
    bool is_and = is_logic(first, "and"), is_or = is_logic(first, "or");
    for (uint32_t i = 1; i < c->count; i++) {
        lm_err err = eval(x, &c->args[i], dot, &args[count]);
        if (err || x->failed) return err;
        bool truth = lm_lq_value_truth(&args[count]);
        count++;
        if ((is_and && !truth) || (is_or && truth)) { /* the rest is not looked at */
            *out = args[count - 1];
            return LM_OK;
        }
    }
    if (piped) args[count++] = *piped;
    x->place = x->context = c->written;
    return call(x, first, args, count, out);
}

static lm_err run_pipe(lm_lq_exec *x, const pipe *p, const lm_lq_value *dot, lm_lq_value *out)
{
    lm_lq_value value = {.kind = LM_LQ_V_NIL};
    for (uint32_t i = 0; i < p->count; i++) {
        lm_lq_value before = value;
        lm_err err = run_command(x, &p->commands[i], dot, i ? &before : NULL, &value);
        if (err || x->failed) return err;
    }
    *out = value;
    return LM_OK;
}

static lm_err run_list(lm_lq_exec *x, const node *first, const lm_lq_value *dot, lm_buf *out);

static lm_err run_range(lm_lq_exec *x, const node *n, const lm_lq_value *value,
                        const lm_lq_value *dot, lm_buf *out)
{
    size_t count = value->kind == LM_LQ_V_LIST || value->kind == LM_LQ_V_MAP ? value->count : 0;
    if (value->kind == LM_LQ_V_INT) count = value->number > 0 ? (size_t)value->number : 0;
    bool is_countable = value->kind == LM_LQ_V_LIST || value->kind == LM_LQ_V_MAP ||
                        value->kind == LM_LQ_V_INT || value->kind == LM_LQ_V_NIL;
    x->place = x->context = n->what->written;
    if (value->kind == LM_LQ_V_TEXT)
        return lm_lq_exec_fail(x, "range can't iterate over %.*s",
                               (int)(value->text.len < 100 ? value->text.len : 100),
                               (const char *)value->text.ptr);
    if (!is_countable)
        return lm_lq_exec_fail(x, "range can't iterate over %s", lm_lq_value_type(value));
    if (!count) return run_list(x, n->otherwise, dot, out);
    for (size_t i = 0; i < count && !x->failed; i++) {
        if (++x->steps > STEPS_MAX) return lm_lq_exec_fail(x, "the template takes too many steps");
        lm_lq_value index = {.kind = LM_LQ_V_INT, .number = (int64_t)i}, element = index;
        if (value->kind == LM_LQ_V_LIST) element = value->items[i];
        if (value->kind == LM_LQ_V_MAP) {
            index = value->items[2 * i];
            element = value->items[2 * i + 1];
        }
        if (n->what->slot_count == 1) x->variables[n->what->slots[0]] = element;
        if (n->what->slot_count == 2) {
            x->variables[n->what->slots[0]] = index;
            x->variables[n->what->slots[1]] = element;
        }
        lm_err err = run_list(x, n->body, &element, out);
        bool is_over = x->leaves == LEAVES_RANGE;
        x->leaves = LEAVES_NOT;
        if (err || is_over) return err;
    }
    return LM_OK;
}

/** All labels: map[a:1 b:2]. */
static lm_err print_labels(lm_lq_exec *x, lm_buf *out)
{
    lm_labels labels;
    lm_err err =
        x->run->view ? LM_OK : lm_lq_builder_labels(&x->run->labels, x->arena, &labels, NULL, NULL);
    if (err) return err;
    if (x->run->view) labels = *x->run->view;
    err = lm_buf_append(out, "map[", 4);
    for (uint32_t i = 0; i < labels.count && !err; i++) {
        if (i) err = lm_buf_u8(out, ' ');
        if (!err) err = lm_buf_append(out, labels.items[i].name.ptr, labels.items[i].name.len);
        if (!err) err = lm_buf_u8(out, ':');
        if (!err) err = lm_buf_append(out, labels.items[i].value.ptr, labels.items[i].value.len);
    }
    return err ? err : lm_buf_u8(out, ']');
}

static lm_err run_node(lm_lq_exec *x, const node *n, const lm_lq_value *dot, lm_buf *out)
{
    if (n->kind == NODE_TEXT) return lm_buf_append(out, n->text.ptr, n->text.len);
    if (n->kind == NODE_BREAK || n->kind == NODE_CONTINUE) {
        x->leaves = n->kind == NODE_BREAK ? LEAVES_RANGE : LEAVES_TURN;
        return LM_OK;
    }
    lm_lq_value value;
    lm_err err = run_pipe(x, n->what, dot, &value);
    if (err || x->failed) return err;
    if (n->what->slot_count && n->kind != NODE_RANGE) x->variables[n->what->slots[0]] = value;
    switch (n->kind) {
    case NODE_ACTION:
        if (n->what->slot_count) return LM_OK;
        return value.kind == LM_LQ_V_LABELS ? print_labels(x, out) : lm_lq_value_print(&value, out);
    case NODE_IF:
        return run_list(x, lm_lq_value_truth(&value) ? n->body : n->otherwise, dot, out);
    case NODE_WITH:
        return lm_lq_value_truth(&value) ? run_list(x, n->body, &value, out)
                                         : run_list(x, n->otherwise, dot, out);
    default:
        return run_range(x, n, &value, dot, out);
    }
}

static lm_err run_list(lm_lq_exec *x, const node *first, const lm_lq_value *dot, lm_buf *out)
{
    lm_err err = LM_OK;
    for (const node *n = first; n && !err && !x->failed && !x->leaves; n = n->next)
        err = run_node(x, n, dot, out);
    return err;
}

lm_err lm_lq_template_run(const lm_lq_template *tmpl, lm_lq_run *run, lm_str line, int64_t time_ns,
                          lm_buf *out, bool *out_failed, lm_str *out_why)
{
    lm_lq_exec x;
    x.run = run;
    x.arena = &run->scratch;
    x.line = line;
    x.time_ns = time_ns;
    x.steps = 0;
    x.failed = x.is_of_type = false;
    x.leaves = LEAVES_NOT;
    x.place = x.context = (lm_str){tmpl->text.ptr, 0};
    x.why[0] = 0;
    lm_lq_value dot = {.kind = LM_LQ_V_LABELS};
    x.variables[0] = dot;
    lm_err err = run_list(&x, tmpl->first, &dot, out);
    *out_failed = x.failed;
    if (err || !x.failed) return err;
    /* As Go: line and column of a place, the column from 0, and what is written there. */
    unsigned row = 1, column = 0;
    for (const uint8_t *at = tmpl->text.ptr; at < x.place.ptr; at++) {
        column = *at == '\n' ? 0 : column + 1;
        row += *at == '\n';
    }
    char why[640];
    int len =
        snprintf(why, sizeof why, "template: %s:%u:%u: executing \"%s\" at <%.*s>: %s", tmpl->name,
                 row, column, tmpl->name, (int)(x.context.len < 200 ? x.context.len : 200),
                 (const char *)x.context.ptr, x.why);
    const uint8_t *copy = lm_arena_copy(&run->scratch, why, (size_t)len);
    if (!copy) return lm_mem_err();
    *out_why = (lm_str){copy, (size_t)len};
    return LM_OK;
}

/**
 * Tokens to a tree: recursive descent, operators by precedence. The grammar is docs/logql.md; what
 * a message expects is said where Loki's generated parser says it.
 */
#include "logql/logql_priv.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct parser {
    lm_lq_lexer lexer;
    lm_lq_token now; /* the token under the eye */
    lm_logql *query;
    lm_arena *arena;
    uint32_t depth, filter_count;
} parser;

static lm_err parse_expr(parser *p, int min_power, lm_lq_expr **out);

static lm_err next(parser *p)
{
    return lm_lq_lex(&p->lexer, &p->now);
}

/** "syntax error: unexpected X[, expecting Y]" */
static lm_err unexpected(const parser *p, const char *expecting)
{
    return lm_lq_fail_at(p->lexer.text, p->now.offset, "syntax error: unexpected %s%s%s",
                         lm_lq_tok_text(p->now.kind), expecting ? ", expecting " : "",
                         expecting ? expecting : "");
}

static lm_err expect(parser *p, lm_lq_tok kind, const char *expecting)
{
    if (p->now.kind != kind) return unexpected(p, expecting);
    return next(p);
}

static lm_err too_deep(parser *p)
{
    if (++p->depth <= LM_QUERY_DEPTH_MAX) return LM_OK;
    return lm_fail_at(LM_E_LIMIT, p->now.offset, "the query is nested more than %d levels deep",
                      LM_QUERY_DEPTH_MAX);
}

/** Chains of operators and filters become deep trees, too. */
static lm_err too_many(parser *p, uint32_t count)
{
    if (count <= LM_QUERY_FILTERS_MAX) return LM_OK;
    return lm_fail_at(LM_E_LIMIT, p->now.offset, "the query has more than %d operations or filters",
                      LM_QUERY_FILTERS_MAX);
}

static void *make(parser *p, size_t bytes)
{
    void *ptr = lm_arena_alloc(p->arena, bytes, 16);
    if (ptr) memset(ptr, 0, bytes);
    return ptr;
}

/** Room for one more in an array of the arena. */
static lm_err grow(parser *p, void *ptr_to_array, uint32_t count, size_t item_bytes)
{
    if (count && (count & (count - 1))) return LM_OK; /* doubled at each power of two */
    void *array;
    memcpy(&array, ptr_to_array, sizeof array);
    void *larger = lm_arena_alloc(p->arena, (count ? 2 * (size_t)count : 1) * item_bytes, 16);
    if (!larger) return lm_mem_err();
    if (count) memcpy(larger, array, count * item_bytes);
    memcpy(ptr_to_array, &larger, sizeof larger);
    return LM_OK;
}

lm_err lm_lq_own_regex(lm_logql *query, lm_str pattern, unsigned flags, lm_regex **out)
{
    lm_err err = lm_vec_grow(query->mem, &query->regexes, &query->regex_cap, query->regex_count + 1,
                             sizeof *query->regexes);
    lm_regex *regex = NULL;
    if (!err) err = lm_lq_regex_new(query->mem, pattern, flags, &regex);
    if (err) return err;
    query->regexes[query->regex_count++] = regex;
    *out = regex;
    return LM_OK;
}

/** "parse error : " in front of a reason found elsewhere; other errors pass. */
static lm_err as_parse_error(lm_err err, const char *where)
{
    if (err != LM_E_USAGE) return err;
    char reason[480];
    memcpy(reason, lm_err_text(), sizeof reason);
    reason[sizeof reason - 1] = 0;
    return lm_lq_fail("%s%.300s", where, reason);
}

/** "parse error : stage '| ...' : reason", for what Loki finds wrong when it makes a stage. */
static lm_err as_stage_error(parser *p, lm_err err, const lm_lq_stage *stage, const char *where)
{
    if (err != LM_E_USAGE) return err;
    char reason[300];
    snprintf(reason, sizeof reason, "%s", lm_err_text());
    lm_buf text;
    lm_buf_init(&text, p->query->mem);
    err = lm_lq_print_stage(stage, &text);
    if (!err) {
        err = lm_lq_fail("stage '%.*s' : %s%s", (int)(text.len < 150 ? text.len : 150),
                         (const char *)text.ptr, where, reason);
    }
    lm_buf_fini(&text);
    return err;
}

/* ---- matchers ---- */

static lm_err parse_matcher_rest(parser *p, lm_str name, lm_match_op op, unsigned flags,
                                 lm_lq_matcher *out)
{
    if (p->now.kind != LM_LQ_T_STRING) return unexpected(p, "STRING");
    *out = (lm_lq_matcher){.is = {.name = name, .op = op, .value = p->now.text}};
    if (op == LM_LIKE || op == LM_UNLIKE) {
        lm_err err = lm_lq_own_regex(p->query, p->now.text, LM_REGEX_WHOLE | flags, &out->regex);
        if (err) return as_parse_error(err, "");
    }
    return next(p);
}

static bool match_op_of(lm_lq_tok kind, lm_match_op *out)
{
    switch (kind) {
    case LM_LQ_T_EQ:
        *out = LM_IS;
        return true;
    case LM_LQ_T_NEQ:
        *out = LM_IS_NOT;
        return true;
    case LM_LQ_T_RE:
        *out = LM_LIKE;
        return true;
    case LM_LQ_T_NRE:
        *out = LM_UNLIKE;
        return true;
    default:
        return false;
    }
}

static lm_err parse_selector(parser *p, lm_lq_log *log)
{
    lm_err err = expect(p, LM_LQ_T_OPEN_BRACE, "{");
    log->wants_level = lm_str_find(p->lexer.text, LM_LQ_LEVEL) != SIZE_MAX;
    if (err) return err;
    if (p->now.kind == LM_LQ_T_CLOSE_BRACE) return next(p);
    for (;;) {
        lm_match_op op;
        if (p->now.kind != LM_LQ_T_IDENTIFIER)
            return unexpected(p, log->matcher_count ? "IDENTIFIER" : "IDENTIFIER or }");
        lm_str name = p->now.text;
        err = next(p);
        if (err) return err;
        if (!match_op_of(p->now.kind, &op)) return unexpected(p, "= or =~ or !~ or !=");
        err = next(p);
        if (!err) err = grow(p, &log->matchers, log->matcher_count, sizeof *log->matchers);
        if (!err)
            err = parse_matcher_rest(p, name, op, LM_REGEX_DOTALL,
                                     &log->matchers[log->matcher_count]);
        if (err) return err;
        log->matcher_count++;
        if (p->now.kind == LM_LQ_T_CLOSE_BRACE) return next(p);
        if (p->now.kind != LM_LQ_T_COMMA) return unexpected(p, "} or ,");
        err = next(p);
        if (err) return err;
    }
}

static lm_err matches_empty(const lm_lq_matcher *matcher, lm_mem *mem, bool *out)
{
    lm_regex_room room = {mem, NULL};
    lm_err err = lm_lq_matcher_test(matcher, LM_STR(""), &room, out);
    lm_regex_room_fini(&room);
    return err;
}

static lm_err check_selector(parser *p, const lm_lq_log *log)
{
    for (uint32_t i = 0; i < log->matcher_count; i++) {
        bool empty = true;
        lm_err err = matches_empty(&log->matchers[i], p->query->mem, &empty);
        if (err) return err;
        if (!empty) return LM_OK;
    }
    return lm_lq_fail("queries require at least one regexp or equality matcher that does not have "
                      "an empty-compatible value. For instance, app=~\".*\" does not meet this "
                      "requirement, but app=~\".+\" will");
}

/* ---- line filters ---- */

static bool filter_op_of(lm_lq_tok kind, lm_filter_op *out)
{
    switch (kind) {
    case LM_LQ_T_PIPE_EXACT:
        *out = LM_HAS;
        return true;
    case LM_LQ_T_NEQ:
        *out = LM_HAS_NOT;
        return true;
    case LM_LQ_T_PIPE_MATCH:
        *out = LM_FITS;
        return true;
    case LM_LQ_T_NRE:
        *out = LM_FITS_NOT;
        return true;
    case LM_LQ_T_PIPE_PATTERN:
        *out = LM_PATTERN;
        return true;
    case LM_LQ_T_NPA:
        *out = LM_PATTERN_NOT;
        return true;
    default:
        return false;
    }
}

static lm_err parse_line_text(parser *p, lm_lq_stage *stage)
{
    lm_err err = grow(p, &stage->texts, stage->text_count, sizeof *stage->texts);
    if (err) return err;
    lm_lq_text text = {.is_ip = p->now.kind == LM_LQ_T_IP};
    if (text.is_ip) {
        err = next(p);
        if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
        if (err) return err;
    }
    if (p->now.kind != LM_LQ_T_STRING) return unexpected(p, text.is_ip ? "STRING" : "STRING or ip");
    text.text = p->now.text;
    err = LM_OK;
    if (text.is_ip) {
        stage->has_ip = true;
        if (stage->op != LM_HAS && stage->op != LM_HAS_NOT) {
            err = lm_fail(LM_E_USAGE, "ip: invalid operation");
        } else if (!lm_lq_ip_make(text.text, &text.ip)) {
            err = lm_fail(LM_E_USAGE, "ip: invalid pattern: \"%.*s\"",
                          (int)(text.text.len < 100 ? text.text.len : 100),
                          (const char *)text.text.ptr);
        }
    } else if (stage->op == LM_FITS || stage->op == LM_FITS_NOT) {
        err = lm_lq_own_regex(p->query, text.text, 0, &text.regex);
    } else if (stage->op == LM_PATTERN || stage->op == LM_PATTERN_NOT) {
        err = lm_lq_pattern_make(text.text, true, p->arena, &text.pattern);
    }
    stage->texts[stage->text_count++] = text;
    if (err) return as_stage_error(p, err, stage, "");
    err = next(p);
    if (!err && text.is_ip) err = expect(p, LM_LQ_T_CLOSE, ")");
    return err;
}

static lm_err parse_line_filter(parser *p, lm_lq_stage *stage)
{
    stage->kind = LM_LQ_S_LINE;
    lm_err err = next(p);
    if (!err) err = parse_line_text(p, stage);
    while (!err && p->now.kind == LM_LQ_T_OR) {
        err = next(p);
        if (!err) err = parse_line_text(p, stage);
    }
    return err;
}

/* ---- label filters ---- */

static bool compare_of(lm_lq_tok kind, lm_lq_compare *out)
{
    switch (kind) {
    case LM_LQ_T_EQ:
    case LM_LQ_T_CMP_EQ:
        *out = LM_LQ_EQ;
        return true;
    case LM_LQ_T_NEQ:
        *out = LM_LQ_NE;
        return true;
    case LM_LQ_T_GT:
        *out = LM_LQ_GT;
        return true;
    case LM_LQ_T_GTE:
        *out = LM_LQ_GE;
        return true;
    case LM_LQ_T_LT:
        *out = LM_LQ_LT;
        return true;
    case LM_LQ_T_LTE:
        *out = LM_LQ_LE;
        return true;
    default:
        return false;
    }
}

static lm_err literal_of(lm_str text, bool negative, double *out)
{
    if (!lm_lq_float(text, out)) {
        return lm_lq_fail("unable to parse literal as a float: strconv.ParseFloat: parsing "
                          "\"%.*s\": invalid syntax",
                          (int)(text.len < 60 ? text.len : 60), (const char *)text.ptr);
    }
    if (negative) *out = -*out;
    return LM_OK;
}

static lm_err parse_number(parser *p, const char *expecting, double *out)
{
    bool negative = p->now.kind == LM_LQ_T_SUB;
    lm_err err = LM_OK;
    if (negative || p->now.kind == LM_LQ_T_ADD) {
        err = next(p);
        expecting = "NUMBER";
    }
    if (!err && p->now.kind != LM_LQ_T_NUMBER) err = unexpected(p, expecting);
    if (!err) err = literal_of(p->now.text, negative, out);
    return err ? err : next(p);
}

static lm_err parse_filter_value(parser *p, lm_lq_tok sign, lm_lq_filter *filter)
{
    lm_err err = LM_OK;
    switch (p->now.kind) {
    case LM_LQ_T_DURATION:
        filter->kind = LM_LQ_F_DURATION;
        filter->ns = p->now.ns;
        return next(p);
    case LM_LQ_T_BYTES:
        filter->kind = LM_LQ_F_BYTES;
        filter->bytes = p->now.bytes;
        return next(p);
    case LM_LQ_T_IP:
        if (sign != LM_LQ_T_EQ && sign != LM_LQ_T_NEQ) return unexpected(p, NULL);
        filter->kind = LM_LQ_F_IP;
        err = next(p);
        if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
        if (err) return err;
        if (p->now.kind != LM_LQ_T_STRING) return unexpected(p, "STRING");
        filter->ip_text = p->now.text;
        if (!lm_lq_ip_make(p->now.text, &filter->ip)) {
            return lm_lq_fail(
                "stage '| %.*s%sip(\"%.*s\")' : ip: invalid pattern: \"%.*s\"",
                (int)(filter->matcher.is.name.len < 60 ? filter->matcher.is.name.len : 60),
                (const char *)filter->matcher.is.name.ptr, filter->compare == LM_LQ_EQ ? "=" : "!=",
                (int)(p->now.text.len < 60 ? p->now.text.len : 60), (const char *)p->now.text.ptr,
                (int)(p->now.text.len < 60 ? p->now.text.len : 60), (const char *)p->now.text.ptr);
        }
        err = next(p);
        return err ? err : expect(p, LM_LQ_T_CLOSE, ")");
    default:
        filter->kind = LM_LQ_F_NUMBER;
        return parse_number(p, NULL, &filter->number);
    }
}

/** At the sign behind a label's name. */
static lm_err parse_filter_compare(parser *p, lm_str name, lm_lq_filter **out)
{
    lm_lq_filter *filter = make(p, sizeof *filter);
    if (!filter) return lm_mem_err();
    lm_lq_tok sign = p->now.kind;
    lm_match_op op = LM_IS;
    bool is_match = match_op_of(sign, &op);
    if (!is_match && !compare_of(sign, &filter->compare)) return unexpected(p, NULL);
    (void)compare_of(sign, &filter->compare); /* = and != are both */
    filter->matcher.is.name = name;
    lm_err err = next(p);
    if (!err && is_match &&
        (p->now.kind == LM_LQ_T_STRING || sign == LM_LQ_T_RE || sign == LM_LQ_T_NRE)) {
        filter->kind = LM_LQ_F_STRING;
        err = parse_matcher_rest(p, name, op, 0, &filter->matcher);
    } else if (!err) {
        err = parse_filter_value(p, sign, filter);
    }
    if (!err) *out = filter;
    return err;
}

enum { AFTER_NOTHING, AFTER_OR, AFTER_AND };

static lm_err parse_filter(parser *p, int after, lm_lq_filter **out);

static lm_err parse_filter_atom(parser *p, lm_lq_filter **out)
{
    lm_err err;
    if (p->now.kind == LM_LQ_T_OPEN) {
        err = too_deep(p);
        if (!err) err = next(p);
        if (!err) err = parse_filter(p, AFTER_NOTHING, out);
        if (!err) err = expect(p, LM_LQ_T_CLOSE, NULL);
        p->depth--;
        return err;
    }
    if (p->now.kind != LM_LQ_T_IDENTIFIER) return unexpected(p, "IDENTIFIER or (");
    lm_str name = p->now.text;
    err = next(p);
    return err ? err : parse_filter_compare(p, name, out);
}

/** What follows a first filter. Loki's grammar gives a comma and a blank no precedence: they take
 * all that follows; `and` binds closer than `or`. */
static lm_err parse_filter_rest(parser *p, int after, lm_lq_filter *left, lm_lq_filter **out)
{
    lm_err err = LM_OK;
    for (;;) {
        lm_lq_tok sign = p->now.kind;
        bool is_blank = sign == LM_LQ_T_IDENTIFIER || sign == LM_LQ_T_OPEN;
        if (sign == LM_LQ_T_OR    ? after >= AFTER_OR
            : sign == LM_LQ_T_AND ? after >= AFTER_AND
                                  : sign != LM_LQ_T_COMMA && !is_blank)
            break;
        err = is_blank ? LM_OK : next(p);
        if (!err) err = too_many(p, ++p->filter_count);
        if (err) return err;
        err = too_deep(p);
        lm_lq_filter *right = NULL, *both = err ? NULL : make(p, sizeof *both);
        if (!err && !both) err = lm_mem_err();
        if (!err) {
            err = parse_filter(p,
                               sign == LM_LQ_T_OR    ? AFTER_OR
                               : sign == LM_LQ_T_AND ? AFTER_AND
                                                     : AFTER_NOTHING,
                               &right);
        }
        p->depth--;
        if (err) return err;
        both->kind = sign == LM_LQ_T_OR ? LM_LQ_F_OR : LM_LQ_F_AND;
        both->left = left;
        both->right = right;
        left = both;
    }
    *out = left;
    return LM_OK;
}

static lm_err parse_filter(parser *p, int after, lm_lq_filter **out)
{
    lm_lq_filter *left = NULL;
    lm_err err = parse_filter_atom(p, &left);
    return err ? err : parse_filter_rest(p, after, left, out);
}

/* ---- parsers and formats ---- */

static lm_err wrong_expression(lm_str text)
{
    return lm_fail(LM_E_USAGE, "cannot parse expression [%.*s]: syntax error",
                   (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
}

/** a, b["c"][0].d : keys and indexes of a JSON expression. */
static lm_err parse_json_path(parser *p, lm_lq_extract *extract)
{
    lm_str s = extract->expression;
    size_t at = 0;
    bool is_first = true, bad = false;
    while (at < s.len && !bad) {
        lm_lq_piece piece = {.is_capture = false};
        if (s.ptr[at] == ' ') {
            at++;
            continue;
        }
        if (s.ptr[at] == '[') {
            at++;
            size_t begin = at;
            if (at < s.len && s.ptr[at] == '"') {
                begin = ++at;
                while (at < s.len && s.ptr[at] != '"')
                    at++;
                bad = at + 1 >= s.len || s.ptr[at + 1] != ']';
                piece.text = (lm_str){s.ptr + begin, at - begin};
                at += 2;
            } else {
                while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
                    at++;
                bad = at == begin || at >= s.len || s.ptr[at] != ']';
                piece = (lm_lq_piece){{s.ptr + begin, at - begin}, true};
                at++;
            }
        } else {
            if (!is_first) bad = s.ptr[at++] != '.';
            size_t begin = at;
            while (at < s.len && (s.ptr[at] == '_' || (s.ptr[at] >= 'a' && s.ptr[at] <= 'z') ||
                                  (s.ptr[at] >= 'A' && s.ptr[at] <= 'Z') ||
                                  (at > begin && s.ptr[at] >= '0' && s.ptr[at] <= '9')))
                at++;
            bad = bad || at == begin;
            piece.text = (lm_str){s.ptr + begin, at - begin};
        }
        lm_err err = grow(p, &extract->path, extract->path_len, sizeof *extract->path);
        if (err) return err;
        extract->path[extract->path_len++] = piece;
        is_first = false;
    }
    if (bad || !extract->path_len) return wrong_expression(s);
    return LM_OK;
}

/** A logfmt key, in quotes or not. */
static lm_err parse_logfmt_key(lm_lq_extract *extract)
{
    lm_str s = extract->expression;
    bool is_quoted = s.len && s.ptr[0] == '"';
    for (size_t i = 0; i < s.len && !is_quoted; i++) {
        if (s.ptr[i] == ' ' || s.ptr[i] == '=') return wrong_expression(s);
    }
    return LM_OK;
}

static lm_err parse_extracts(parser *p, lm_lq_stage *stage)
{
    for (;;) {
        if (p->now.kind != LM_LQ_T_IDENTIFIER) return unexpected(p, "IDENTIFIER");
        lm_err err = grow(p, &stage->extracts, stage->extract_count, sizeof *stage->extracts);
        if (err) return err;
        lm_lq_extract extract = {.name = p->now.text, .expression = p->now.text};
        err = next(p);
        if (!err && p->now.kind == LM_LQ_T_EQ) {
            err = next(p);
            if (!err && p->now.kind != LM_LQ_T_STRING) err = unexpected(p, "STRING");
            if (!err) extract.expression = p->now.text;
            if (!err) err = next(p);
        }
        if (err) return err;
        err = stage->kind == LM_LQ_S_JSON_EXPR ? parse_json_path(p, &extract)
                                               : parse_logfmt_key(&extract);
        if (err) {
            stage->extracts[stage->extract_count++] = extract; /* the stage is told with it */
            return as_stage_error(p, err, stage, "");
        }
        extract.key = extract.expression;
        if (extract.key.len >= 2 && extract.key.ptr[0] == '"')
            extract.key = (lm_str){extract.key.ptr + 1, extract.key.len - 2};
        if (!extract.key.len) return lm_lq_fail("cannot parse expression []: syntax error");
        stage->extracts[stage->extract_count++] = extract;
        if (p->now.kind != LM_LQ_T_COMMA) return LM_OK;
        err = next(p);
        if (err) return err;
    }
}

static lm_err parse_logfmt(parser *p, lm_lq_stage *stage)
{
    stage->kind = LM_LQ_S_LOGFMT;
    lm_err err = next(p);
    while (!err && p->now.kind == LM_LQ_T_FLAG) {
        if (lm_str_equal(p->now.text, LM_STR("--strict"))) {
            stage->strict = true;
        } else {
            stage->keep_empty = true;
        }
        err = next(p);
    }
    if (!err && p->now.kind == LM_LQ_T_IDENTIFIER) {
        stage->kind = LM_LQ_S_LOGFMT_EXPR;
        err = parse_extracts(p, stage);
    }
    return err;
}

static lm_err make_regexp(parser *p, lm_lq_stage *stage)
{
    static const char where[] = "invalid regexp parser: ";
    lm_err err = as_parse_error(lm_lq_own_regex(p->query, stage->param, 0, &stage->regex), where);
    if (err) return err;
    uint32_t count = lm_regex_group_count(stage->regex), named = 0;
    stage->names = make(p, (count + 1) * sizeof *stage->names);
    if (!stage->names) return lm_mem_err();
    stage->count = count + 1; /* group 0 has no name */
    for (uint32_t i = 1; i <= count; i++) {
        stage->names[i] = lm_regex_group_name(stage->regex, i);
        named += stage->names[i].len != 0;
        for (uint32_t k = 1; k < i; k++) {
            if (stage->names[i].len && lm_str_equal(stage->names[k], stage->names[i]))
                return lm_lq_fail("%sduplicate extracted label name '%.*s'", where,
                                  (int)(stage->names[i].len < 100 ? stage->names[i].len : 100),
                                  (const char *)stage->names[i].ptr);
        }
    }
    if (!named) return lm_lq_fail("%sat least one named capture must be supplied", where);
    return LM_OK;
}

static lm_err make_pattern(parser *p, lm_lq_stage *stage)
{
    static const char where[] = "invalid pattern parser: ";
    if (!stage->param.len) {
        return lm_lq_fail("%sparse error at line 1, col 1: syntax error: unexpected $end, "
                          "expecting IDENTIFIER or LITERAL",
                          where);
    }
    lm_err err =
        as_parse_error(lm_lq_pattern_make(stage->param, false, p->arena, &stage->pattern), where);
    if (err) return err;
    stage->names = make(p, (stage->pattern.count + 1) * sizeof *stage->names);
    if (!stage->names) return lm_mem_err();
    for (uint32_t i = 0; i < stage->pattern.count; i++) {
        const lm_lq_piece *piece = &stage->pattern.pieces[i];
        if (piece->is_capture && !lm_str_equal(piece->text, LM_STR("_")))
            stage->names[stage->count++] = piece->text;
    }
    return LM_OK;
}

/** At a stage's word; its text follows. */
static lm_err parse_text_stage(parser *p, lm_lq_stage *stage)
{
    lm_err err = next(p);
    if (err) return err;
    if (p->now.kind != LM_LQ_T_STRING) return unexpected(p, "STRING");
    stage->param = p->now.text;
    switch (stage->kind) {
    case LM_LQ_S_REGEXP:
        err = make_regexp(p, stage);
        break;
    case LM_LQ_S_PATTERN:
        err = make_pattern(p, stage);
        break;
    case LM_LQ_S_TEMPLATE:
        err = lm_lq_template_text_make(stage->param, p->arena, &stage->pattern);
        break;
    default:
        err = as_stage_error(p, lm_lq_template_parse(p->query, stage->param, "line", &stage->tmpl),
                             stage, "invalid line template: ");
        break;
    }
    return err ? err : next(p);
}

/** What is wrong with the formats of a whole stage, the templates in it being made. */
static lm_err check_formats(parser *p, lm_lq_stage *stage)
{
    for (uint32_t i = 0; i < stage->count; i++) {
        const lm_lq_format *format = &stage->formats[i];
        int len = (int)(format->name.len < 100 ? format->name.len : 100);
        if (lm_str_equal(format->name, LM_STR("__error__"))) {
            return as_stage_error(p, lm_fail(LM_E_USAGE, "__error__ cannot be formatted"), stage,
                                  "");
        }
        for (uint32_t k = 0; k < i; k++) {
            if (!lm_str_equal(stage->formats[k].name, format->name)) continue;
            return as_stage_error(p,
                                  lm_fail(LM_E_USAGE,
                                          "multiple label name '%.*s' not allowed in a single "
                                          "format operation",
                                          len, (const char *)format->name.ptr),
                                  stage, "");
        }
    }
    for (uint32_t i = 0; i < stage->count; i++) {
        lm_lq_format *format = &stage->formats[i];
        char where[160];
        if (format->is_rename) continue;
        snprintf(where, sizeof where, "invalid template for label '%.*s': ",
                 (int)(format->name.len < 100 ? format->name.len : 100),
                 (const char *)format->name.ptr);
        lm_err err = lm_lq_template_parse(p->query, format->value, "label", &format->tmpl);
        if (err) return as_stage_error(p, err, stage, where);
    }
    return LM_OK;
}

static lm_err parse_label_format(parser *p, lm_lq_stage *stage)
{
    lm_err err = next(p);
    while (!err) {
        if (p->now.kind != LM_LQ_T_IDENTIFIER) return unexpected(p, "IDENTIFIER");
        err = grow(p, &stage->formats, stage->count, sizeof *stage->formats);
        if (err) return err;
        lm_lq_format format = {.name = p->now.text};
        err = next(p);
        if (!err) err = expect(p, LM_LQ_T_EQ, "=");
        if (err) return err;
        if (p->now.kind != LM_LQ_T_STRING && p->now.kind != LM_LQ_T_IDENTIFIER)
            return unexpected(p, "IDENTIFIER or STRING");
        format.value = p->now.text;
        format.is_rename = p->now.kind == LM_LQ_T_IDENTIFIER;
        stage->formats[stage->count++] = format;
        err = next(p);
        if (err || p->now.kind != LM_LQ_T_COMMA) break;
        err = next(p);
    }
    return err ? err : check_formats(p, stage);
}

static lm_err parse_named(parser *p, lm_lq_stage *stage)
{
    lm_err err = next(p);
    while (!err) {
        if (p->now.kind != LM_LQ_T_IDENTIFIER) return unexpected(p, "IDENTIFIER");
        err = grow(p, &stage->named, stage->count, sizeof *stage->named);
        if (err) return err;
        lm_lq_named named = {.name = p->now.text};
        lm_match_op op;
        err = next(p);
        if (!err && match_op_of(p->now.kind, &op)) {
            named.has_matcher = true;
            err = next(p);
            if (!err) err = parse_matcher_rest(p, named.name, op, LM_REGEX_DOTALL, &named.matcher);
        }
        if (err) return err;
        stage->named[stage->count++] = named;
        if (p->now.kind != LM_LQ_T_COMMA) return LM_OK;
        err = next(p);
    }
    return err;
}

/** `template_id = N` alone in its stage. */
static lm_err take_template_id(parser *p, lm_lq_stage *stage)
{
    double number = stage->filter->number;
    lm_lq_template_id *id = make(p, sizeof *id);
    if (!id) return lm_mem_err();
    id->id = number >= 0 && number < 18446744073709551616.0 ? (uint64_t)number : 0;
    id->next = p->query->template_ids;
    p->query->template_ids = id;
    stage->kind = LM_LQ_S_TEMPLATE_ID;
    stage->id = id;
    return LM_OK;
}

static lm_err parse_identifier_stage(parser *p, lm_lq_stage *stage)
{
    lm_str name = p->now.text;
    stage->kind = LM_LQ_S_FILTER;
    lm_err err = next(p);
    if (err) return err;
    if (p->now.kind == LM_LQ_T_STRING && lm_str_equal_nocase(name, LM_STR("template"))) {
        stage->kind = LM_LQ_S_TEMPLATE;
        stage->param = p->now.text;
        err = lm_lq_template_text_make(stage->param, p->arena, &stage->pattern);
        return err ? err : next(p);
    }
    lm_lq_filter *first = NULL;
    err = parse_filter_compare(p, name, &first);
    if (!err) err = parse_filter_rest(p, AFTER_NOTHING, first, &stage->filter);
    bool is_id = !err && stage->filter == first && first->kind == LM_LQ_F_NUMBER &&
                 first->compare == LM_LQ_EQ && lm_str_equal(name, LM_STR("template_id"));
    return is_id ? take_template_id(p, stage) : err;
}

/** Behind a '|' that is not followed by unwrap. */
static lm_err parse_stage(parser *p, lm_lq_stage *stage)
{
    lm_err err;
    switch (p->now.kind) {
    case LM_LQ_T_JSON:
        stage->kind = LM_LQ_S_JSON;
        err = next(p);
        if (!err && p->now.kind == LM_LQ_T_IDENTIFIER) {
            stage->kind = LM_LQ_S_JSON_EXPR;
            err = parse_extracts(p, stage);
        }
        return err;
    case LM_LQ_T_LOGFMT:
        return parse_logfmt(p, stage);
    case LM_LQ_T_REGEXP:
        stage->kind = LM_LQ_S_REGEXP;
        return parse_text_stage(p, stage);
    case LM_LQ_T_PATTERN:
        stage->kind = LM_LQ_S_PATTERN;
        return parse_text_stage(p, stage);
    case LM_LQ_T_LINE_FMT:
        stage->kind = LM_LQ_S_LINE_FORMAT;
        return parse_text_stage(p, stage);
    case LM_LQ_T_UNPACK:
        stage->kind = LM_LQ_S_UNPACK;
        return next(p);
    case LM_LQ_T_DECOLORIZE:
        stage->kind = LM_LQ_S_DECOLORIZE;
        err =
            lm_lq_own_regex(p->query,
                            LM_STR("[\\x1b\\x9b][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]"
                                   "*)*)?\\x07)|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=>"
                                   "<~]))"),
                            0, &stage->regex);
        return err ? err : next(p);
    case LM_LQ_T_LABEL_FMT:
        stage->kind = LM_LQ_S_LABEL_FORMAT;
        return parse_label_format(p, stage);
    case LM_LQ_T_DROP:
        stage->kind = LM_LQ_S_DROP;
        return parse_named(p, stage);
    case LM_LQ_T_KEEP:
        stage->kind = LM_LQ_S_KEEP;
        return parse_named(p, stage);
    case LM_LQ_T_IDENTIFIER:
        return parse_identifier_stage(p, stage);
    case LM_LQ_T_OPEN:
        stage->kind = LM_LQ_S_FILTER;
        return parse_filter(p, AFTER_NOTHING, &stage->filter);
    default:
        return unexpected(p, NULL);
    }
}

static lm_err parse_unwrap(parser *p, lm_lq_expr *expr)
{
    lm_err err = next(p);
    if (err) return err;
    expr->has_unwrap = true;
    expr->unwrap_conversion = LM_LQ_T_IDENTIFIER;
    bool converts = p->now.kind == LM_LQ_T_BYTES_CONV || p->now.kind == LM_LQ_T_DURATION_CONV ||
                    p->now.kind == LM_LQ_T_DURATION_SECONDS_CONV;
    if (converts) {
        expr->unwrap_conversion = p->now.kind;
        err = next(p);
        if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
        if (err) return err;
    }
    if (p->now.kind != LM_LQ_T_IDENTIFIER) return unexpected(p, converts ? "IDENTIFIER" : NULL);
    expr->unwrap_name = p->now.text;
    err = next(p);
    if (!err && converts) err = expect(p, LM_LQ_T_CLOSE, ")");
    while (!err && p->now.kind == LM_LQ_T_PIPE) {
        err = next(p);
        if (!err)
            err = grow(p, &expr->post_filters, expr->post_filter_count, sizeof *expr->post_filters);
        if (!err)
            err = parse_filter(p, AFTER_NOTHING, &expr->post_filters[expr->post_filter_count]);
        if (!err) expr->post_filter_count++;
    }
    return err;
}

/** Stages until something else comes; with expr also an unwrap. */
static lm_err parse_stages(parser *p, lm_lq_log *log, lm_lq_expr *expr)
{
    for (;;) {
        lm_filter_op op;
        bool is_line = filter_op_of(p->now.kind, &op);
        if (!is_line && p->now.kind != LM_LQ_T_PIPE) return LM_OK;
        lm_err err = LM_OK;
        lm_lq_stage stage = {.op = LM_HAS};
        if (is_line) {
            stage.op = op;
            err = parse_line_filter(p, &stage);
        } else {
            err = next(p);
            if (!err && expr && p->now.kind == LM_LQ_T_UNWRAP) return parse_unwrap(p, expr);
            if (!err) err = parse_stage(p, &stage);
        }
        if (!err) err = grow(p, &log->stages, log->stage_count, sizeof *log->stages);
        if (err) return err;
        log->stages[log->stage_count++] = stage;
    }
}

/* ---- metric expressions ---- */

static lm_lq_expr *make_expr(parser *p, lm_lq_expr_kind kind)
{
    lm_lq_expr *expr = make(p, sizeof *expr);
    if (!expr) return NULL;
    expr->kind = kind;
    expr->index = p->query->node_count++;
    return expr;
}

static lm_err parse_names(parser *p, lm_str **out, uint32_t *out_count)
{
    lm_err err = expect(p, LM_LQ_T_OPEN, "(");
    if (err) return err;
    if (p->now.kind == LM_LQ_T_CLOSE) return next(p);
    for (;;) {
        if (p->now.kind != LM_LQ_T_IDENTIFIER)
            return unexpected(p, *out_count ? "IDENTIFIER" : "IDENTIFIER or )");
        err = grow(p, out, *out_count, sizeof **out);
        if (err) return err;
        (*out)[(*out_count)++] = p->now.text;
        err = next(p);
        if (err) return err;
        if (p->now.kind == LM_LQ_T_CLOSE) return next(p);
        if (p->now.kind != LM_LQ_T_COMMA) return unexpected(p, ", or )");
        err = next(p);
        if (err) return err;
    }
}

static lm_err parse_grouping(parser *p, lm_lq_grouping *out)
{
    out->is_given = true;
    out->is_without = p->now.kind == LM_LQ_T_WITHOUT;
    lm_err err = next(p);
    return err ? err : parse_names(p, &out->names, &out->count);
}

static lm_err parse_range_offset(parser *p, lm_lq_expr *expr)
{
    expr->range_ns = p->now.ns;
    lm_err err = next(p);
    if (err || p->now.kind != LM_LQ_T_OFFSET) return err;
    err = next(p);
    if (err) return err;
    if (p->now.kind != LM_LQ_T_DURATION) return unexpected(p, "DURATION");
    expr->offset_ns = p->now.ns;
    return next(p);
}

/** Selector, stages, unwrap and [range] in the orders that Loki takes. *io_ranged: the range was
 * there. */
static lm_err parse_log_range(parser *p, lm_lq_expr *expr, bool *io_ranged)
{
    lm_err err;
    if (p->now.kind == LM_LQ_T_OPEN) {
        err = too_deep(p);
        if (!err) err = next(p);
        if (!err) err = parse_log_range(p, expr, io_ranged);
        if (!err) err = expect(p, LM_LQ_T_CLOSE, NULL);
        p->depth--;
        if (err || *io_ranged || p->now.kind != LM_LQ_T_RANGE) return err;
    } else {
        err = parse_selector(p, &expr->log);
        if (!err) err = parse_stages(p, &expr->log, expr);
        if (err || p->now.kind != LM_LQ_T_RANGE) return err;
    }
    *io_ranged = true;
    bool had_stages = expr->log.stage_count || expr->has_unwrap;
    err = parse_range_offset(p, expr);
    if (!err && !had_stages) err = parse_stages(p, &expr->log, expr);
    return err;
}

static lm_err check_range_aggregation(const lm_lq_expr *expr, lm_str param)
{
    const char *word = lm_lq_tok_word(expr->op);
    if (expr->has_param && expr->op != LM_LQ_T_QUANTILE_OVER_TIME) {
        return lm_lq_fail("parameter %.*s not supported for operation %s", (int)param.len,
                          (const char *)param.ptr, word);
    }
    if (!expr->has_param && expr->op == LM_LQ_T_QUANTILE_OVER_TIME)
        return lm_lq_fail("parameter required for operation %s", word);
    bool takes_grouping =
        expr->op == LM_LQ_T_AVG_OVER_TIME || expr->op == LM_LQ_T_MIN_OVER_TIME ||
        expr->op == LM_LQ_T_MAX_OVER_TIME || expr->op == LM_LQ_T_STDVAR_OVER_TIME ||
        expr->op == LM_LQ_T_STDDEV_OVER_TIME || expr->op == LM_LQ_T_QUANTILE_OVER_TIME ||
        expr->op == LM_LQ_T_FIRST_OVER_TIME || expr->op == LM_LQ_T_LAST_OVER_TIME;
    if (expr->grouping.is_given && !takes_grouping)
        return lm_lq_fail("grouping not allowed for %s aggregation", word);
    bool takes_unwrap = takes_grouping || expr->op == LM_LQ_T_SUM_OVER_TIME ||
                        expr->op == LM_LQ_T_RATE || expr->op == LM_LQ_T_RATE_COUNTER ||
                        expr->op == LM_LQ_T_ABSENT_OVER_TIME;
    bool takes_lines = expr->op == LM_LQ_T_BYTES_OVER_TIME || expr->op == LM_LQ_T_BYTES_RATE ||
                       expr->op == LM_LQ_T_COUNT_OVER_TIME || expr->op == LM_LQ_T_RATE ||
                       expr->op == LM_LQ_T_ABSENT_OVER_TIME;
    if (expr->has_unwrap && !takes_unwrap)
        return lm_lq_fail("invalid aggregation %s with unwrap", word);
    if (!expr->has_unwrap && !takes_lines)
        return lm_lq_fail("invalid aggregation %s without unwrap", word);
    return LM_OK;
}

static lm_err parse_range_aggregation(parser *p, lm_lq_expr **out)
{
    lm_lq_expr *expr = make_expr(p, LM_LQ_E_RANGE);
    if (!expr) return lm_mem_err();
    expr->op = p->now.kind;
    lm_str param = LM_STR("");
    bool is_ranged = false;
    lm_err err = next(p);
    if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
    if (err) return err;
    if (p->now.kind == LM_LQ_T_NUMBER) {
        param = p->now.text;
        expr->has_param = true;
        err = literal_of(param, false, &expr->param);
        if (!err) err = next(p);
        if (!err) err = expect(p, LM_LQ_T_COMMA, ",");
        if (err) return err;
    }
    if (p->now.kind != LM_LQ_T_OPEN_BRACE && p->now.kind != LM_LQ_T_OPEN)
        return unexpected(p, expr->has_param ? "{ or (" : "NUMBER or { or (");
    err = parse_log_range(p, expr, &is_ranged);
    if (err) return err;
    if (!is_ranged) return unexpected(p, expr->has_unwrap ? "RANGE or |" : NULL);
    err = expect(p, LM_LQ_T_CLOSE, ")");
    if (!err && (p->now.kind == LM_LQ_T_BY || p->now.kind == LM_LQ_T_WITHOUT))
        err = parse_grouping(p, &expr->grouping);
    if (!err) err = check_range_aggregation(expr, param);
    if (!err) err = check_selector(p, &expr->log);
    if (err) return err;
    if (expr->range_ns <= 0) return lm_lq_fail("the range of a vector must be greater than 0");
    *out = expr;
    return LM_OK;
}

static lm_err check_aggregation(lm_lq_expr *expr, lm_str param)
{
    const char *word = lm_lq_tok_word(expr->op);
    bool takes_param =
        expr->op == LM_LQ_T_TOPK || expr->op == LM_LQ_T_BOTTOMK || expr->op == LM_LQ_T_APPROX_TOPK;
    int64_t k = 0;
    if (!takes_param) {
        if (expr->has_param) {
            return lm_lq_fail("unsupported parameter for operation %s(%.*s,", word, (int)param.len,
                              (const char *)param.ptr);
        }
        if ((expr->op == LM_LQ_T_SORT || expr->op == LM_LQ_T_SORT_DESC) && expr->grouping.count)
            return lm_lq_fail("sort and sort_desc doesn't allow grouping by ");
        return LM_OK;
    }
    if (!expr->has_param) return lm_lq_fail("parameter required for operation %s", word);
    if (!lm_lq_int(param, &k)) {
        return lm_lq_fail("invalid parameter %s(%.*s,", word, (int)param.len,
                          (const char *)param.ptr);
    }
    if (k <= 0) {
        return lm_lq_fail("invalid parameter (must be greater than 0) %s(%.*s", word,
                          (int)param.len, (const char *)param.ptr);
    }
    if (expr->op == LM_LQ_T_APPROX_TOPK && expr->grouping.is_given)
        return lm_lq_fail("grouping not allowed for %s aggregation", word);
    expr->param = (double)k;
    return LM_OK;
}

static const char *log_name(const lm_lq_expr *expr)
{
    return expr->log.stage_count ? "*syntax.PipelineExpr" : "*syntax.MatchersExpr";
}

static lm_err parse_inner_metric(parser *p, lm_lq_expr **out)
{
    lm_err err = parse_expr(p, 0, out);
    /* Lines may stand there for all that the grammar knows, until what follows them is seen. */
    return err || (*out)->kind != LM_LQ_E_LOG ? err : unexpected(p, NULL);
}

static lm_err parse_aggregation(parser *p, lm_lq_expr **out)
{
    lm_lq_expr *expr = make_expr(p, LM_LQ_E_AGGREGATE);
    if (!expr) return lm_mem_err();
    expr->op = p->now.kind;
    lm_str param = LM_STR("");
    lm_err err = next(p);
    if (!err && (p->now.kind == LM_LQ_T_BY || p->now.kind == LM_LQ_T_WITHOUT))
        err = parse_grouping(p, &expr->grouping);
    if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
    if (err) return err;
    if (p->now.kind == LM_LQ_T_NUMBER) {
        /* A parameter, or the first number of an expression: the token behind tells. */
        parser ahead = *p;
        err = next(&ahead);
        if (err) return err;
        if (ahead.now.kind == LM_LQ_T_COMMA) {
            param = p->now.text;
            expr->has_param = true;
            *p = ahead;
            err = next(p);
            if (err) return err;
        }
    }
    err = parse_inner_metric(p, &expr->left);
    if (!err) err = expect(p, LM_LQ_T_CLOSE, NULL);
    if (!err && !expr->grouping.is_given &&
        (p->now.kind == LM_LQ_T_BY || p->now.kind == LM_LQ_T_WITHOUT))
        err = parse_grouping(p, &expr->grouping);
    if (!err) err = check_aggregation(expr, param);
    if (!err) *out = expr;
    return err;
}

static lm_err parse_replace(parser *p, lm_lq_expr **out)
{
    lm_lq_expr *expr = make_expr(p, LM_LQ_E_REPLACE);
    if (!expr) return lm_mem_err();
    lm_err err = next(p);
    if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
    if (!err) err = parse_inner_metric(p, &expr->left);
    lm_str *const texts[] = {&expr->dst, &expr->replacement, &expr->src, &expr->regex_text};
    for (int i = 0; i < 4 && !err; i++) {
        err = expect(p, LM_LQ_T_COMMA, ",");
        if (!err && p->now.kind != LM_LQ_T_STRING) err = unexpected(p, "STRING");
        if (err) return err;
        *texts[i] = p->now.text;
        err = next(p);
    }
    if (!err) err = expect(p, LM_LQ_T_CLOSE, ")");
    if (!err) {
        err = as_parse_error(
            lm_lq_own_regex(p->query, expr->regex_text, LM_REGEX_WHOLE, &expr->regex),
            "invalid regex in label_replace: ");
    }
    if (!err) *out = expr;
    return err;
}

static lm_err parse_vector(parser *p, lm_lq_expr **out)
{
    lm_lq_expr *expr = make_expr(p, LM_LQ_E_VECTOR);
    if (!expr) return lm_mem_err();
    lm_err err = next(p);
    if (!err) err = expect(p, LM_LQ_T_OPEN, "(");
    if (err) return err;
    if (p->now.kind != LM_LQ_T_NUMBER) return unexpected(p, "NUMBER");
    err = literal_of(p->now.text, false, &expr->param);
    if (!err) err = next(p);
    if (!err) err = expect(p, LM_LQ_T_CLOSE, ")");
    if (!err) *out = expr;
    return err;
}

static lm_err parse_primary(parser *p, lm_lq_expr **out)
{
    lm_err err;
    lm_lq_expr *expr = NULL;
    lm_lq_tok kind = p->now.kind;
    switch (kind) {
    case LM_LQ_T_OPEN:
        err = too_deep(p);
        if (!err) err = next(p);
        if (!err) err = parse_expr(p, 0, out);
        if (!err) err = expect(p, LM_LQ_T_CLOSE, NULL);
        p->depth--;
        return err;
    case LM_LQ_T_OPEN_BRACE:
        expr = make_expr(p, LM_LQ_E_LOG);
        if (!expr) return lm_mem_err();
        err = parse_selector(p, &expr->log);
        if (!err) err = parse_stages(p, &expr->log, NULL);
        if (!err) *out = expr;
        return err;
    case LM_LQ_T_NUMBER:
    case LM_LQ_T_ADD:
    case LM_LQ_T_SUB:
        expr = make_expr(p, LM_LQ_E_LITERAL);
        if (!expr) return lm_mem_err();
        err = parse_number(p, "NUMBER", &expr->param);
        if (!err) *out = expr;
        return err;
    case LM_LQ_T_VECTOR:
        return parse_vector(p, out);
    case LM_LQ_T_LABEL_REPLACE:
        return parse_replace(p, out);
    default:
        if (kind >= LM_LQ_T_RATE && kind <= LM_LQ_T_ABSENT_OVER_TIME)
            return parse_range_aggregation(p, out);
        if (kind >= LM_LQ_T_SUM && kind <= LM_LQ_T_APPROX_TOPK) return parse_aggregation(p, out);
        return unexpected(p, NULL);
    }
}

/* ---- operators ---- */

static int power_of(lm_lq_tok kind)
{
    switch (kind) {
    case LM_LQ_T_OR:
        return 1;
    case LM_LQ_T_AND:
    case LM_LQ_T_UNLESS:
        return 2;
    case LM_LQ_T_CMP_EQ:
    case LM_LQ_T_NEQ:
    case LM_LQ_T_GT:
    case LM_LQ_T_GTE:
    case LM_LQ_T_LT:
    case LM_LQ_T_LTE:
        return 3;
    case LM_LQ_T_ADD:
    case LM_LQ_T_SUB:
        return 4;
    case LM_LQ_T_MUL:
    case LM_LQ_T_DIV:
    case LM_LQ_T_MOD:
        return 5;
    case LM_LQ_T_POW:
        return 6;
    default:
        return 0;
    }
}

static lm_err parse_modifier(parser *p, lm_lq_expr *expr)
{
    lm_err err = LM_OK;
    if (p->now.kind == LM_LQ_T_BOOL) {
        expr->is_bool = true;
        err = next(p);
    }
    if (err || (p->now.kind != LM_LQ_T_ON && p->now.kind != LM_LQ_T_IGNORING)) return err;
    expr->has_matching = true;
    expr->is_on = p->now.kind == LM_LQ_T_ON;
    err = next(p);
    if (!err) err = parse_names(p, &expr->matching, &expr->matching_count);
    if (err || (p->now.kind != LM_LQ_T_GROUP_LEFT && p->now.kind != LM_LQ_T_GROUP_RIGHT))
        return err;
    expr->card = p->now.kind == LM_LQ_T_GROUP_LEFT ? LM_LQ_MANY_TO_ONE : LM_LQ_ONE_TO_MANY;
    err = next(p);
    if (err || p->now.kind != LM_LQ_T_OPEN) return err;
    /* Names of labels, or the operand in parentheses? Names are followed by ',' or ')' and then by
     * the operand. */
    parser ahead = *p;
    err = next(&ahead);
    if (err) return err;
    if (ahead.now.kind != LM_LQ_T_IDENTIFIER && ahead.now.kind != LM_LQ_T_CLOSE) return LM_OK;
    expr->has_include = true;
    return parse_names(p, &expr->include, &expr->include_count);
}

static double fold(lm_lq_tok op, double a, double b)
{
    switch (op) {
    case LM_LQ_T_ADD:
        return a + b;
    case LM_LQ_T_SUB:
        return a - b;
    case LM_LQ_T_MUL:
        return a * b;
    case LM_LQ_T_DIV:
        return b == 0 ? NAN : a / b;
    case LM_LQ_T_MOD:
        return b == 0 ? NAN : fmod(a, b);
    case LM_LQ_T_POW:
        return pow(a, b);
    case LM_LQ_T_CMP_EQ:
        return a == b;
    case LM_LQ_T_NEQ:
        return a != b;
    case LM_LQ_T_GT:
        return a > b;
    case LM_LQ_T_GTE:
        return a >= b;
    case LM_LQ_T_LT:
        return a < b;
    default:
        return a <= b;
    }
}

static lm_err make_binary(lm_lq_expr *expr)
{
    const char *word = lm_lq_tok_word(expr->op);
    const lm_lq_expr *left = expr->left, *right = expr->right;
    if (left->kind == LM_LQ_E_LOG) {
        return lm_lq_fail("unexpected type for left leg of binary operation (%s): %s", word,
                          log_name(left));
    }
    if (right->kind == LM_LQ_E_LOG) {
        return lm_lq_fail("unexpected type for right leg of binary operation (%s): %s", word,
                          log_name(right));
    }
    bool is_set = expr->op == LM_LQ_T_OR || expr->op == LM_LQ_T_AND || expr->op == LM_LQ_T_UNLESS;
    if (is_set && left->kind == LM_LQ_E_LITERAL) {
        return lm_lq_fail("unexpected literal for left leg of logical/set binary operation (%s): "
                          "%f",
                          word, left->param);
    }
    if (is_set && right->kind == LM_LQ_E_LITERAL) {
        return lm_lq_fail("unexpected literal for right leg of logical/set binary operation (%s): "
                          "%f",
                          word, right->param);
    }
    if (left->kind == LM_LQ_E_LITERAL && right->kind == LM_LQ_E_LITERAL) {
        expr->param = fold(expr->op, left->param, right->param);
        expr->kind = LM_LQ_E_LITERAL;
    }
    return LM_OK;
}

static lm_err parse_expr(parser *p, int min_power, lm_lq_expr **out)
{
    lm_lq_expr *left = NULL;
    lm_err err = too_deep(p);
    if (!err) err = parse_primary(p, &left);
    while (!err) {
        int power = power_of(p->now.kind);
        if (!power || power < min_power) break;
        lm_lq_expr *expr = make_expr(p, LM_LQ_E_BINARY);
        if (!expr) return lm_mem_err();
        expr->op = p->now.kind;
        expr->left = left;
        err = too_many(p, p->query->node_count);
        if (!err) err = next(p);
        if (!err) err = parse_modifier(p, expr);
        /* ^ binds to the right; the others to the left. */
        if (!err) err = parse_expr(p, expr->op == LM_LQ_T_POW ? power : power + 1, &expr->right);
        if (!err) err = make_binary(expr);
        left = expr;
    }
    p->depth--;
    if (!err) *out = left;
    return err;
}

/* ---- the whole ---- */

static lm_err parser_start(parser *p, lm_logql *query, lm_str text)
{
    *p = (parser){.query = query, .arena = &query->arena};
    if (text.len > LM_QUERY_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "parse error : input size too long (%zu > %d)", text.len,
                       LM_QUERY_BYTES_MAX);
    }
    uint8_t *copy = lm_arena_copy(&query->arena, text.ptr, text.len);
    if (!copy) return lm_mem_err();
    p->lexer = (lm_lq_lexer){.text = {copy, text.len}, .arena = &query->arena};
    return next(p);
}

static lm_err query_new(lm_mem *mem, lm_logql **out)
{
    lm_logql *query = lm_mem_calloc(mem, 1, sizeof *query);
    if (!query) return lm_mem_err();
    query->mem = mem;
    lm_arena_init(&query->arena, mem);
    *out = query;
    return LM_OK;
}

lm_err lm_logql_parse(lm_mem *mem, lm_str text, lm_logql **out)
{
    lm_logql *query = NULL;
    parser p;
    if (!text.len) return lm_lq_fail("syntax error: unexpected $end");
    lm_err err = query_new(mem, &query);
    if (err) return err;
    err = parser_start(&p, query, text);
    if (!err) err = parse_expr(&p, 0, &query->root);
    if (!err && p.now.kind != LM_LQ_T_END) err = unexpected(&p, NULL);
    if (!err && query->root->kind == LM_LQ_E_LOG) err = check_selector(&p, &query->root->log);
    if (err) {
        lm_logql_free(query);
    } else {
        *out = query;
    }
    return err;
}

void lm_logql_free(lm_logql *query)
{
    if (!query) return;
    for (size_t i = 0; i < query->regex_count; i++)
        lm_regex_free(query->regexes[i]);
    lm_mem_release(query->mem, query->regexes, query->regex_cap * sizeof *query->regexes);
    lm_arena_fini(&query->arena);
    lm_mem_release(query->mem, query, sizeof *query);
}

bool lm_logql_is_metric(const lm_logql *query)
{
    return query->root->kind != LM_LQ_E_LOG;
}

void lm_logql_want_level(lm_logql *query)
{
    if (query->root->kind == LM_LQ_E_LOG) query->root->log.wants_level = true;
}

bool lm_logql_is_selector(const lm_logql *query)
{
    return query->root->kind == LM_LQ_E_LOG && !query->root->log.stage_count;
}

bool lm_logql_template_id_at(const lm_logql *query, size_t index, uint64_t *out_id)
{
    const lm_lq_template_id *at = query->template_ids;
    while (at && index--)
        at = at->next;
    if (at) *out_id = at->id;
    return at != NULL;
}

lm_err lm_logql_template_is(lm_logql *query, uint64_t id, lm_str text)
{
    lm_err err = LM_OK;
    const uint8_t *copy = lm_arena_copy(&query->arena, text.ptr, text.len);
    if (!copy) return lm_mem_err();
    for (lm_lq_template_id *at = query->template_ids; at && !err; at = at->next) {
        if (at->id != id) continue;
        err = lm_lq_template_text_make((lm_str){copy, text.len}, &query->arena, &at->pattern);
        at->is_known = !err;
    }
    return err;
}

static int64_t reach_of(const lm_lq_expr *expr)
{
    if (!expr) return 0;
    int64_t left = reach_of(expr->left), right = reach_of(expr->right), own = 0;
    if (__builtin_add_overflow(expr->range_ns, expr->offset_ns, &own)) own = INT64_MAX;
    if (left > own) own = left;
    return right > own ? right : own;
}

int64_t lm_logql_reach(const lm_logql *query)
{
    return reach_of(query->root);
}

static const lm_lq_log *selector_at(const lm_lq_expr *expr, size_t *io_index)
{
    if (!expr) return NULL;
    bool is_one = expr->kind == LM_LQ_E_LOG || expr->kind == LM_LQ_E_RANGE;
    if (is_one) return (*io_index)-- == 0 ? &expr->log : NULL;
    const lm_lq_log *found = selector_at(expr->left, io_index);
    return found ? found : selector_at(expr->right, io_index);
}

lm_err lm_logql_selector_at(const lm_logql *query, size_t index, lm_arena *arena,
                            const lm_matcher **out, uint32_t *out_count, bool *out_is_one)
{
    const lm_lq_log *log = selector_at(query->root, &index);
    *out_is_one = log != NULL;
    if (!log) return LM_OK;
    lm_matcher *matchers =
        lm_arena_alloc(arena, (log->matcher_count + 1) * sizeof *matchers, _Alignof(lm_matcher));
    if (!matchers) return lm_mem_err();
    for (uint32_t i = 0; i < log->matcher_count; i++)
        matchers[i] = log->matchers[i].is;
    *out = matchers;
    *out_count = log->matcher_count;
    return LM_OK;
}

lm_err lm_logql_matchers(lm_str text, lm_arena *arena, lm_matcher **out, uint32_t *out_count)
{
    lm_logql *query = NULL;
    lm_lq_log log = {.matcher_count = 0};
    lm_matcher *matchers = NULL;
    parser p;
    lm_err err = query_new(arena->mem, &query);
    if (err) return err;
    err = parser_start(&p, query, text);
    if (!err && p.now.kind != LM_LQ_T_END) err = parse_selector(&p, &log);
    if (!err && p.now.kind != LM_LQ_T_END)
        err = lm_fail(LM_E_USAGE, "only label matchers are supported");
    if (err) goto out;
    matchers =
        lm_arena_alloc(arena, (log.matcher_count + 1) * sizeof *matchers, _Alignof(lm_matcher));
    if (!matchers) {
        err = lm_mem_err();
        goto out;
    }
    for (uint32_t i = 0; i < log.matcher_count; i++) {
        const lm_matcher *from = &log.matchers[i].is;
        const uint8_t *name = lm_arena_copy(arena, from->name.ptr, from->name.len);
        const uint8_t *value = name ? lm_arena_copy(arena, from->value.ptr, from->value.len) : NULL;
        if (!value) {
            err = lm_mem_err();
            goto out;
        }
        matchers[i] = (lm_matcher){{name, from->name.len}, from->op, {value, from->value.len}};
    }
    *out = matchers;
    *out_count = log.matcher_count;
out:
    lm_logql_free(query);
    return err;
}

/** A query in its canonical form. */
#include "logql/logql_priv.h"

#include <stdio.h>

typedef struct printer {
    lm_buf *out;
    lm_err err;
} printer;

static void put(printer *p, const char *text)
{
    if (!p->err) p->err = lm_buf_append(p->out, text, strlen(text));
}

static void put_str(printer *p, lm_str s)
{
    if (!p->err) p->err = lm_buf_append(p->out, s.ptr, s.len);
}

static void put_quoted(printer *p, lm_str s)
{
    if (!p->err) p->err = lm_lq_print_quoted(s, p->out);
}

static void put_float(printer *p, double v, bool plain)
{
    if (!p->err) p->err = lm_lq_print_float(v, plain, p->out);
}

static const char *const match_signs[] = {"=", "!=", "=~", "!~"};
static const char *const filter_signs[] = {"|=", "!=", "|~", "!~", "|>", "!>"};
static const char *const compare_signs[] = {"==", "!=", ">", ">=", "<", "<="};

static void put_matcher(printer *p, const lm_matcher *m)
{
    put_str(p, m->name);
    put(p, match_signs[m->op]);
    put_quoted(p, m->value);
}

static void put_line_text(printer *p, const lm_lq_text *text)
{
    if (text->is_ip) put(p, "ip(");
    put_quoted(p, text->text);
    if (text->is_ip) put(p, ")");
}

static void put_line(printer *p, const lm_lq_stage *s)
{
    bool excludes = s->op == LM_HAS_NOT || s->op == LM_FITS_NOT || s->op == LM_PATTERN_NOT;
    for (uint32_t i = 0; i < s->text_count; i++) {
        /* None of them: as Loki prints it, a filter each. */
        put(p, i ? excludes ? " " : " or " : "");
        if (!i || excludes) {
            put(p, filter_signs[s->op]);
            put(p, " ");
        }
        put_line_text(p, &s->texts[i]);
    }
}

static void put_filter(printer *p, const lm_lq_filter *f)
{
    if (f->kind == LM_LQ_F_AND || f->kind == LM_LQ_F_OR) {
        put(p, "( ");
        put_filter(p, f->left);
        put(p, f->kind == LM_LQ_F_AND ? " , " : " or ");
        put_filter(p, f->right);
        put(p, " )");
        return;
    }
    if (f->kind == LM_LQ_F_STRING) {
        put_matcher(p, &f->matcher.is);
        return;
    }
    put_str(p, f->matcher.is.name);
    if (f->kind == LM_LQ_F_IP) {
        put(p, f->compare == LM_LQ_EQ ? "=ip(" : "!=ip(");
        put_quoted(p, f->ip_text);
        put(p, ")");
        return;
    }
    put(p, compare_signs[f->compare]);
    if (f->kind == LM_LQ_F_NUMBER) {
        put_float(p, f->number, true);
    } else if (!p->err) {
        p->err = f->kind == LM_LQ_F_DURATION ? lm_lq_print_duration_go(f->ns, p->out)
                                             : lm_lq_print_bytes(f->bytes, p->out);
    }
}

static void put_extracts(printer *p, const lm_lq_stage *s)
{
    for (uint32_t i = 0; i < s->extract_count; i++) {
        put(p, i ? "," : " ");
        put_str(p, s->extracts[i].name);
        put(p, "=");
        put_quoted(p, s->extracts[i].expression);
    }
}

static void put_named(printer *p, const lm_lq_stage *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        put(p, i ? "," : " ");
        if (s->named[i].has_matcher) {
            put_matcher(p, &s->named[i].matcher.is);
        } else {
            put_str(p, s->named[i].name);
        }
    }
}

static void put_formats(printer *p, const lm_lq_stage *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        put(p, i ? "," : " ");
        put_str(p, s->formats[i].name);
        put(p, "=");
        if (s->formats[i].is_rename) {
            put_str(p, s->formats[i].value);
        } else {
            put_quoted(p, s->formats[i].value);
        }
    }
}

static void put_stage(printer *p, const lm_lq_stage *s)
{
    static const char *const words[] = {
        "", "json",        "json",         "logfmt",     "logfmt", "pattern", "regexp",   "unpack",
        "", "line_format", "label_format", "decolorize", "drop",   "keep",    "template", ""};
    if (s->kind == LM_LQ_S_LINE) {
        put_line(p, s);
        return;
    }
    put(p, "| ");
    put(p, words[s->kind]);
    switch (s->kind) {
    case LM_LQ_S_FILTER:
    case LM_LQ_S_TEMPLATE_ID:
        put_filter(p, s->filter);
        break;
    case LM_LQ_S_PATTERN:
    case LM_LQ_S_REGEXP:
    case LM_LQ_S_LINE_FORMAT:
    case LM_LQ_S_TEMPLATE:
        put(p, " ");
        put_quoted(p, s->param);
        break;
    case LM_LQ_S_LABEL_FORMAT:
        put_formats(p, s);
        break;
    case LM_LQ_S_DROP:
    case LM_LQ_S_KEEP:
        put_named(p, s);
        break;
    default:
        if (s->strict) put(p, " --strict");
        if (s->keep_empty) put(p, " --keep-empty");
        put_extracts(p, s);
        break;
    }
}

static void put_log(printer *p, const lm_lq_log *log)
{
    put(p, "{");
    for (uint32_t i = 0; i < log->matcher_count; i++) {
        if (i) put(p, ", ");
        put_matcher(p, &log->matchers[i].is);
    }
    put(p, "}");
    for (uint32_t i = 0; i < log->stage_count; i++) {
        put(p, " ");
        put_stage(p, &log->stages[i]);
    }
}

static void put_names(printer *p, const lm_str *names, uint32_t count)
{
    put(p, "(");
    for (uint32_t i = 0; i < count; i++) {
        if (i) put(p, ",");
        put_str(p, names[i]);
    }
    put(p, ")");
}

static void put_grouping(printer *p, const lm_lq_grouping *g)
{
    put(p, g->is_without ? " without " : " by ");
    put_names(p, g->names, g->count);
}

static void put_expr(printer *p, const lm_lq_expr *e);

static void put_range(printer *p, const lm_lq_expr *e)
{
    put(p, lm_lq_tok_word(e->op));
    put(p, "(");
    if (e->has_param) {
        put_float(p, e->param, true);
        put(p, ",");
    }
    put_log(p, &e->log);
    if (e->has_unwrap) {
        put(p, " | unwrap ");
        bool converts = e->unwrap_conversion != LM_LQ_T_IDENTIFIER;
        if (converts) {
            put(p, lm_lq_tok_word(e->unwrap_conversion));
            put(p, "(");
        }
        put_str(p, e->unwrap_name);
        if (converts) put(p, ")");
        for (uint32_t i = 0; i < e->post_filter_count; i++) {
            put(p, " | ");
            put_filter(p, e->post_filters[i]);
        }
    }
    put(p, "[");
    if (!p->err) p->err = lm_lq_print_duration_prom(e->range_ns, p->out);
    put(p, "]");
    if (e->offset_ns) {
        put(p, " offset ");
        if (!p->err) p->err = lm_lq_print_duration_go(e->offset_ns, p->out);
    }
    put(p, ")");
    if (e->grouping.is_given) put_grouping(p, &e->grouping);
}

static void put_binary(printer *p, const lm_lq_expr *e)
{
    put(p, "(");
    put_expr(p, e->left);
    put(p, " ");
    put(p, lm_lq_tok_word(e->op));
    if (e->is_bool) put(p, " bool");
    if (e->has_matching && (e->is_on || e->matching_count)) {
        put(p, e->is_on ? " on " : " ignoring ");
        put_names(p, e->matching, e->matching_count);
        put(p, " ");
        if (e->card != LM_LQ_ONE_TO_ONE)
            put(p, e->card == LM_LQ_MANY_TO_ONE ? "group_left" : "group_right");
        if (e->include_count) {
            put(p, " ");
            put_names(p, e->include, e->include_count);
        }
    }
    put(p, " ");
    put_expr(p, e->right);
    put(p, ")");
}

static void put_expr(printer *p, const lm_lq_expr *e)
{
    char text[400];
    switch (e->kind) {
    case LM_LQ_E_LOG:
        put_log(p, &e->log);
        break;
    case LM_LQ_E_RANGE:
        put_range(p, e);
        break;
    case LM_LQ_E_AGGREGATE:
        put(p, lm_lq_tok_word(e->op));
        if (e->grouping.count || e->grouping.is_without) put_grouping(p, &e->grouping);
        put(p, "(");
        if (e->has_param) {
            snprintf(text, sizeof text, "%.0f,", e->param);
            put(p, text);
        }
        put_expr(p, e->left);
        put(p, ")");
        break;
    case LM_LQ_E_BINARY:
        put_binary(p, e);
        break;
    case LM_LQ_E_LITERAL:
        put_float(p, e->param, false);
        break;
    case LM_LQ_E_VECTOR:
        snprintf(text, sizeof text, "vector(%f)", e->param);
        put(p, text);
        break;
    case LM_LQ_E_REPLACE:
        put(p, "label_replace(");
        put_expr(p, e->left);
        const lm_str texts[] = {e->dst, e->replacement, e->src, e->regex_text};
        for (int i = 0; i < 4; i++) {
            put(p, ",");
            put_quoted(p, texts[i]);
        }
        put(p, ")");
        break;
    }
}

lm_err lm_lq_print_stage(const lm_lq_stage *stage, lm_buf *out)
{
    printer p = {out, LM_OK};
    put_stage(&p, stage);
    return p.err;
}

lm_err lm_logql_print(const lm_logql *query, lm_buf *out)
{
    printer p = {out, LM_OK};
    put_expr(&p, query->root);
    return p.err;
}

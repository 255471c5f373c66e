/**
 * The user's word on templates. Applied after every settle, to its outcome, so that groups stay a
 * function of the shapes and the rules together.
 *
 *   pin    lines that match the pattern have this template, text unchanging, whatever mining found
 *   split  lines of the template with that text which hold the word at one of its variables get a
 * template of their own, the word in its text merge  the template with that text is succeeded by
 * one with the other text name   the template with that text is called so
 *
 * Pins and splits decree single shapes, merges whole templates. A decreed template is a row no node
 * owns; its text stays. Patterns are compared as texts; a pin's pattern is cut into tokens as a
 * message is, and <*> takes one token or more.
 */
#include "template/template_priv.h"

enum { PIN_STEPS_MAX = 20000 };

/* Does merging lead from that text back to it? */
static bool is_circle(const lm_miner_rule *rules, size_t count, size_t start)
{
    lm_str at = rules[start].value;
    for (size_t step = 0; step <= count; step++) {
        size_t next = 0;
        if (lm_str_equal(at, rules[start].pattern)) return true;
        while (next < count &&
               (rules[next].kind != LM_RULE_MERGE || !lm_str_equal(rules[next].pattern, at)))
            next++;
        if (next == count) return false;
        at = rules[next].value;
    }
    return true;
}

lm_err lm_miner_rules_set(lm_miner *m, const lm_miner_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rules[i].kind == LM_RULE_MERGE && is_circle(rules, count, i)) {
            return lm_fail(LM_E_USAGE, "rules merge '%.*s' into itself", (int)rules[i].pattern.len,
                           (const char *)rules[i].pattern.ptr);
        }
    }
    lm_miner_rule *copy = lm_mem_calloc(m->mem, count, sizeof *copy);
    if (!copy) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        copy[i] = rules[i];
        copy[i].pattern.ptr =
            lm_arena_copy(&m->rule_arena, rules[i].pattern.ptr, rules[i].pattern.len);
        copy[i].value.ptr = lm_arena_copy(&m->rule_arena, rules[i].value.ptr, rules[i].value.len);
        if (!copy[i].pattern.ptr || !copy[i].value.ptr) {
            lm_mem_release(m->mem, copy, count * sizeof *copy);
            return lm_mem_err();
        }
    }
    lm_mem_release(m->mem, m->rules, m->rule_count * sizeof *m->rules);
    m->rules = copy;
    m->rule_count = count;
    m->is_settled = false; /* the next settle applies them */
    return LM_OK;
}

/* A decreed row with that text, found or made. */
static lm_err decree(lm_miner *m, lm_str text, uint32_t *out)
{
    for (size_t i = 0; i < m->template_count; i++) {
        if (m->templates[i].is_decreed && lm_str_equal(m->templates[i].text, text)) {
            *out = (uint32_t)i;
            return LM_OK;
        }
    }
    return template_row_new(m, text, true, out);
}

/* ---- pins ---- */

typedef struct pattern {
    lm_str tokens[MESSAGE_TOKENS_MAX];
    bool is_any[MESSAGE_TOKENS_MAX];
    size_t count;
    raw_line line; /* owns the bytes */
    uint8_t marked[MESSAGE_BYTES_MAX];
} pattern;

/* "<*>" becomes the mark of a variable, then the text is cut like a message. */
static void pattern_read(lm_str text, pattern *out)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len && used < sizeof out->marked;) {
        bool is_any = text.len - i >= 3 && memcmp(text.ptr + i, "<*>", 3) == 0;
        out->marked[used++] = is_any ? MARK_WILD : text.ptr[i];
        i += is_any ? 3 : 1;
    }
    uint8_t skeleton[SKELETON_BYTES_MAX];
    size_t len = template_skeleton((lm_str){out->marked, used}, skeleton);
    template_mask(skeleton, len, false, &out->line);
    memcpy(out->marked, skeleton, len); /* tokens of one byte point into the skeleton */
    out->count = out->line.count;
    for (size_t i = 0; i < out->count; i++) {
        const raw_token *t = &out->line.tokens[i];
        const uint8_t *ptr = t->ptr;
        if (ptr >= skeleton && ptr < skeleton + len) ptr = out->marked + (ptr - skeleton);
        out->tokens[i] = (lm_str){ptr, t->len};
        out->is_any[i] = (t->flags & (TOKEN_WILD | TOKEN_PART)) != 0;
    }
}

static lm_str token_text(const lm_miner *m, uint32_t id)
{
    return (lm_str){m->token_bytes.ptr + m->tokens[id].offset, m->tokens[id].len};
}

/* Wildcard matching, token by token: the last variable seen takes what is needed. */
static bool is_match(const lm_miner *m, const pattern *p, const shape_row *s)
{
    const uint32_t *ids = m->shape_tokens + s->first;
    size_t i = 0, j = 0, retry_i = SIZE_MAX, retry_j = 0;
    while (j < s->count) {
        if (i < p->count && p->is_any[i]) {
            retry_i = i++;
            retry_j = ++j; /* at least one token */
        } else if (i < p->count && lm_str_equal(p->tokens[i], token_text(m, ids[j]))) {
            i++;
            j++;
        } else if (retry_i != SIZE_MAX) {
            i = retry_i + 1;
            j = ++retry_j;
        } else {
            return false;
        }
    }
    return i == p->count;
}

static lm_err apply_pin(lm_miner *m, const lm_miner_rule *rule)
{
    pattern *p = lm_mem_alloc(m->mem, sizeof *p);
    if (!p) return lm_mem_err();
    uint32_t id = 0;
    lm_err err = decree(m, rule->pattern, &id);
    if (!err) pattern_read(rule->pattern, p);
    for (size_t i = 0; i < m->shape_count && !err; i++) {
        shape_row *s = &m->shapes[i];
        if (s->decreed == NO_INDEX && !s->is_rest && is_match(m, p, s)) s->decreed = id;
    }
    lm_mem_release(m->mem, p, sizeof *p);
    return err;
}

/* ---- splits ---- */

/* The pattern with its variable number `which` replaced by the word. */
static lm_err split_text(const lm_miner_rule *rule, size_t which, lm_buf *out)
{
    size_t seen = 0;
    for (size_t i = 0; i < rule->pattern.len;) {
        bool is_any = rule->pattern.len - i >= 3 && memcmp(rule->pattern.ptr + i, "<*>", 3) == 0;
        bool is_it = is_any && seen == which;
        size_t step = is_any ? 3 : 1;
        seen += is_any;
        lm_str piece = is_it ? rule->value : (lm_str){rule->pattern.ptr + i, step};
        lm_err err = lm_buf_append(out, piece.ptr, piece.len);
        if (err) return err;
        i += step;
    }
    return LM_OK;
}

/* Does the pattern, with the word at its variable number `which`, match the shape? Then the shape
 * is of that split. */
static lm_err apply_split(lm_miner *m, const lm_miner_rule *rule)
{
    lm_buf text;
    lm_err err = LM_OK;
    pattern *p = lm_mem_alloc(m->mem, sizeof *p);
    if (!p) return lm_mem_err();
    lm_buf_init(&text, m->mem);
    for (size_t which = 0; !err; which++) {
        uint32_t id = NO_INDEX;
        text.len = 0;
        err = split_text(rule, which, &text);
        if (err || lm_str_equal((lm_str){text.ptr, text.len}, rule->pattern))
            break; /* no such variable */
        pattern_read((lm_str){text.ptr, text.len}, p);
        for (size_t i = 0; i < m->shape_count && !err; i++) {
            shape_row *s = &m->shapes[i];
            if (s->decreed != NO_INDEX || s->is_rest) continue;
            uint32_t now = lm_miner_forward(m, m->groups[s->group].template_id);
            if (!lm_str_equal(m->templates[now].text, rule->pattern) || !is_match(m, p, s))
                continue;
            if (id == NO_INDEX) err = decree(m, (lm_str){text.ptr, text.len}, &id);
            if (!err) s->decreed = id;
        }
    }
    lm_buf_fini(&text);
    lm_mem_release(m->mem, p, sizeof *p);
    return err;
}

/* ---- merges and names ---- */

static lm_err apply_merge(lm_miner *m, const lm_miner_rule *rule)
{
    uint32_t id = 0;
    lm_err err = decree(m, rule->value, &id);
    if (err) return err;
    for (uint32_t i = 0; i < m->template_count; i++) {
        template_row *row = &m->templates[i];
        bool is_either = lm_str_equal(row->text, rule->pattern) ||
                         (!row->is_decreed && lm_str_equal(row->text, rule->value));
        if (i != id && i != m->rest_template && row->forward == i && is_either) row->successor = id;
    }
    return LM_OK;
}

static lm_err apply_name(lm_miner *m, const lm_miner_rule *rule)
{
    uint8_t *copy = lm_arena_copy(&m->text_arena, rule->value.ptr, rule->value.len);
    if (!copy) return lm_mem_err();
    for (size_t i = 0; i < m->template_count; i++) {
        template_row *row = &m->templates[i];
        if (lm_str_equal(row->text, rule->pattern)) row->name = (lm_str){copy, rule->value.len};
    }
    return LM_OK;
}

static lm_err apply_all(lm_miner *m, int kind, lm_err (*apply)(lm_miner *, const lm_miner_rule *))
{
    for (size_t i = 0; i < m->rule_count; i++) {
        if ((int)m->rules[i].kind != kind) continue;
        lm_err err = apply(m, &m->rules[i]);
        if (err) return err;
    }
    return LM_OK;
}

lm_err template_rules_apply(lm_miner *m)
{
    if (m->rule_count == 0) return LM_OK;
    lm_err err = apply_all(m, LM_RULE_PIN, apply_pin);
    if (!err) err = apply_all(m, LM_RULE_SPLIT, apply_split);
    if (!err) err = apply_all(m, LM_RULE_MERGE, apply_merge);
    if (!err) err = apply_all(m, LM_RULE_NAME, apply_name);
    return err;
}

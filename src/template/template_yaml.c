/**
 * Rules from YAML: a list under `templates`, each entry a mapping of two scalars (one for pin).
 *
 *   templates:
 *     - pin: "user <*> logged in from <*>"
 *     - name: login
 *       pattern: "user <*> logged in from <*>"
 *     - merge: "session opened for <*>"
 *       into: "session <*> for <*>"
 *     - split: "job <*> finished"
 *       word: nightly
 *
 * No anchors, tags or merges; an unknown key is an error with line and column.
 */
#include "template/template_priv.h"

#if LM_HAVE_YAML

#    include <yaml.h>

typedef struct entry {
    lm_str pin, name, pattern, merge, into, split, word; /* ptr NULL: not there */
    size_t line, column;
} entry;

typedef struct reading {
    lm_mem *mem;
    lm_arena *arena;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    lm_miner_rule *rules; /* a vector while reading */
    size_t count, cap;
} reading;

static lm_err fail_here(const reading *r, const char *what)
{
    yaml_mark_t at = r->event.start_mark;
    return lm_fail_at(LM_E_USAGE, at.index, "template rules, line %zu, column %zu: %s", at.line + 1,
                      at.column + 1, what);
}

static lm_err next_event(reading *r)
{
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        yaml_mark_t at = r->parser.problem_mark;
        if (r->parser.error == YAML_MEMORY_ERROR) return lm_fail(LM_E_NOMEM, "out of memory");
        return lm_fail_at(LM_E_USAGE, at.index, "template rules, line %zu, column %zu: %s",
                          at.line + 1, at.column + 1,
                          r->parser.problem ? r->parser.problem : "not YAML");
    }
    r->has_event = true;
    bool has_anchor =
        (r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.anchor) ||
        (r->event.type == YAML_SEQUENCE_START_EVENT && r->event.data.sequence_start.anchor) ||
        (r->event.type == YAML_MAPPING_START_EVENT && r->event.data.mapping_start.anchor);
    if (r->event.type == YAML_ALIAS_EVENT || has_anchor)
        return fail_here(r, "anchors and aliases are not allowed");
    return LM_OK;
}

static bool is_scalar(const reading *r, const char *text)
{
    return r->event.type == YAML_SCALAR_EVENT && strlen(text) == r->event.data.scalar.length &&
           memcmp(r->event.data.scalar.value, text, r->event.data.scalar.length) == 0;
}

static lm_err take_scalar(reading *r, lm_str *out)
{
    lm_err err = next_event(r);
    if (err) return err;
    if (r->event.type != YAML_SCALAR_EVENT) return fail_here(r, "a text is expected here");
    if (out->ptr) return fail_here(r, "this key is given twice");
    if (r->event.data.scalar.length == 0) return fail_here(r, "this text is empty");
    if (r->event.data.scalar.length > MESSAGE_BYTES_MAX)
        return fail_here(r, "this text is too long");
    uint8_t *copy =
        lm_arena_copy(r->arena, r->event.data.scalar.value, r->event.data.scalar.length);
    if (!copy) return lm_mem_err();
    *out = (lm_str){copy, r->event.data.scalar.length};
    return LM_OK;
}

static lm_err push_rule(reading *r, lm_miner_rule rule)
{
    lm_err err = lm_vec_grow(r->mem, &r->rules, &r->cap, r->count + 1, sizeof *r->rules);
    if (err) return err;
    r->rules[r->count++] = rule;
    return LM_OK;
}

static lm_err fail_entry(const entry *e, const char *what)
{
    return lm_fail(LM_E_USAGE, "template rules, line %zu, column %zu: %s", e->line, e->column,
                   what);
}

static lm_err finish_entry(reading *r, const entry *e)
{
    size_t kinds = (size_t)(e->pin.ptr != NULL) + (e->name.ptr != NULL) + (e->merge.ptr != NULL) +
                   (e->split.ptr != NULL);
    if (kinds != 1) return fail_entry(e, "an entry has one of pin, name, merge, split");
    if (!e->name.ptr != !e->pattern.ptr) return fail_entry(e, "'name' goes with 'pattern'");
    if (!e->merge.ptr != !e->into.ptr) return fail_entry(e, "'merge' goes with 'into'");
    if (!e->split.ptr != !e->word.ptr) return fail_entry(e, "'split' goes with 'word'");
    lm_miner_rule rule = {.kind = LM_RULE_PIN, .pattern = e->pin};
    if (e->name.ptr) rule = (lm_miner_rule){LM_RULE_NAME, e->pattern, e->name};
    if (e->merge.ptr) rule = (lm_miner_rule){LM_RULE_MERGE, e->merge, e->into};
    if (e->split.ptr) rule = (lm_miner_rule){LM_RULE_SPLIT, e->split, e->word};
    return push_rule(r, rule);
}

static lm_err read_entry(reading *r)
{
    entry e = {.line = r->event.start_mark.line + 1, .column = r->event.start_mark.column + 1};
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail_here(r, "an entry is a mapping such as 'pin: text'");
    for (;;) {
        lm_err err = next_event(r);
        if (err) return err;
        if (r->event.type == YAML_MAPPING_END_EVENT) return finish_entry(r, &e);
        lm_str *slot = is_scalar(r, "pin")       ? &e.pin
                       : is_scalar(r, "name")    ? &e.name
                       : is_scalar(r, "pattern") ? &e.pattern
                       : is_scalar(r, "merge")   ? &e.merge
                       : is_scalar(r, "into")    ? &e.into
                       : is_scalar(r, "split")   ? &e.split
                       : is_scalar(r, "word")    ? &e.word
                                                 : NULL;
        if (!slot)
            return fail_here(r,
                             "unknown key; known are pin, name, pattern, merge, into, split, word");
        err = take_scalar(r, slot);
        if (err) return err;
    }
}

static lm_err read_list(reading *r)
{
    lm_err err = next_event(r);
    if (err) return err;
    if (r->event.type != YAML_SEQUENCE_START_EVENT) return fail_here(r, "'templates' holds a list");
    for (;;) {
        err = next_event(r);
        if (err) return err;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return LM_OK;
        err = read_entry(r);
        if (err) return err;
    }
}

static lm_err read_document(reading *r)
{
    lm_err err = next_event(r); /* stream start */
    if (!err) err = next_event(r);
    if (err || r->event.type == YAML_STREAM_END_EVENT) return err; /* nothing there: no rules */
    err = next_event(r);
    if (err) return err;
    if (is_scalar(r, "")) return LM_OK;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail_here(r, "'templates:' is expected here");
    for (;;) {
        err = next_event(r);
        if (err || r->event.type == YAML_MAPPING_END_EVENT) return err;
        if (!is_scalar(r, "templates")) return fail_here(r, "unknown key; known is templates");
        err = read_list(r);
        if (err) return err;
    }
}

lm_err lm_miner_rules_parse(lm_mem *mem, lm_str yaml, lm_arena *arena, lm_miner_rule **out,
                            size_t *out_count)
{
    reading r = {.mem = mem, .arena = arena};
    if (yaml.len > LM_YAML_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "template rules of %zu bytes are over the %d limit", yaml.len,
                       LM_YAML_BYTES_MAX);
    }
    if (!yaml_parser_initialize(&r.parser)) return lm_fail(LM_E_NOMEM, "out of memory");
    yaml_parser_set_input_string(&r.parser, yaml.ptr, yaml.len);
    lm_err err = read_document(&r);
    if (r.has_event) yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (!err) {
        lm_miner_rule *rules =
            lm_arena_alloc(arena, r.count * sizeof *rules, _Alignof(lm_miner_rule));
        if (rules) {
            if (r.count) memcpy(rules, r.rules, r.count * sizeof *rules);
            *out = rules;
            *out_count = r.count;
        } else {
            err = lm_mem_err();
        }
    }
    lm_mem_release(mem, r.rules, r.cap * sizeof *r.rules);
    return err;
}

#else

lm_err lm_miner_rules_parse(lm_mem *mem, lm_str yaml, lm_arena *arena, lm_miner_rule **out,
                            size_t *out_count)
{
    (void)mem, (void)yaml, (void)arena, (void)out, (void)out_count;
    return lm_fail(LM_E_UNSUPPORTED, "this build reads no YAML");
}

#endif

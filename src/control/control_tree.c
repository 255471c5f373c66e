/**
 * The file as a tree with places. Built from libyaml's events rather than its documents: only there
 * anchors, aliases and tags are seen, which this language does not have.
 */
#include "control/control_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define DEPTH_MAX 16u

typedef struct reader {
    const lm_file_place *place;
    yaml_parser_t parser;
    uint32_t items; /* nodes so far */
} reader;

lm_err lm_node_wrong(const lm_file_place *place, const lm_node *node, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: words, not data */
    va_end(args);
    return lm_fail(LM_E_USAGE, "%s:%u:%u: %s", place->name, node->line, node->column, text);
}

static lm_err wrong_at(const reader *r, yaml_mark_t at, const char *what)
{
    lm_node node = {.line = (uint32_t)at.line + 1, .column = (uint32_t)at.column + 1};
    return lm_node_wrong(r->place, &node, "%s", what);
}

static lm_err next_event(reader *r, yaml_event_t *out)
{
    if (yaml_parser_parse(&r->parser, out)) return LM_OK;
    if (r->parser.error == YAML_MEMORY_ERROR) return lm_fail(LM_E_NOMEM, "out of memory");
    return wrong_at(r, r->parser.problem_mark,
                    r->parser.problem ? r->parser.problem : "this is no YAML");
}

static bool is_name_sign(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/** Put the environment's values in for ${NAME}; "$${" is "${". */
static lm_err expand(const reader *r, const lm_node *node, lm_buf *out)
{
    const char *at = node->text;
    lm_err err = LM_OK;
    while (*at && !err) {
        if (strncmp(at, "$${", 3) == 0) {
            err = lm_buf_append(out, "${", 2);
            at += 3;
            continue;
        }
        if (strncmp(at, "${", 2) != 0) {
            err = lm_buf_u8(out, (uint8_t)*at++);
            continue;
        }
        char name[128];
        size_t len = 0;
        const char *end = at + 2;
        while (is_name_sign(*end) && len + 1 < sizeof name)
            name[len++] = *end++;
        name[len] = '\0';
        if (*end != '}' || !len) return lm_node_wrong(r->place, node, "'${' needs NAME} behind it");
        const char *value = getenv(name);
        if (!value)
            return lm_node_wrong(r->place, node, "the environment has no variable '%s'", name);
        err = lm_buf_append(out, value, strlen(value));
        at = end + 1;
    }
    return err;
}

static lm_err read_scalar(reader *r, const yaml_event_t *event, lm_node *node, bool is_key)
{
    node->kind = NODE_SCALAR;
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    const uint8_t *text = event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, 0, len)) return lm_node_wrong(r->place, node, "a text may not hold a NUL");
    node->text = lm_arena_copy(r->place->arena, text, len);
    if (!node->text) return lm_mem_err();
    if (is_key || !strstr(node->text, "${")) return LM_OK;
    lm_buf buf;
    lm_buf_init(&buf, r->place->arena->mem);
    lm_err err = expand(r, node, &buf);
    if (!err) {
        node->text = lm_arena_copy(r->place->arena, buf.ptr, buf.len);
        if (!node->text) err = lm_mem_err();
    }
    lm_buf_fini(&buf);
    return err;
}

static lm_err read_node(reader *r, yaml_event_t *event, unsigned depth, bool is_key, lm_node **out);

static lm_err read_children(reader *r, lm_node *parent, unsigned depth, yaml_event_type_t end)
{
    lm_node **tail = &parent->child;
    for (;;) {
        yaml_event_t event;
        lm_node *item = NULL;
        lm_err err = next_event(r, &event);
        if (err) return err;
        bool is_end = event.type == end;
        if (!is_end) err = read_node(r, &event, depth + 1, parent->kind == NODE_MAP, &item);
        yaml_event_delete(&event);
        if (err || is_end) return err;
        if (parent->kind == NODE_MAP) {
            if (item->kind != NODE_SCALAR) return lm_node_wrong(r->place, item, "a key is a text");
            for (lm_node *other = parent->child; other; other = other->next) {
                if (strcmp(other->text, item->text) == 0)
                    return lm_node_wrong(r->place, item,
                                         "key '%.80s' is here twice (first in line %u)", item->text,
                                         other->line);
            }
            err = next_event(r, &event);
            if (err) return err;
            err = read_node(r, &event, depth + 1, false, &item->child);
            yaml_event_delete(&event);
            if (err) return err;
        }
        *tail = item;
        tail = &item->next;
        parent->count++;
    }
}

static lm_err read_node(reader *r, yaml_event_t *event, unsigned depth, bool is_key, lm_node **out)
{
    lm_node *node = lm_arena_alloc(r->place->arena, sizeof *node, _Alignof(lm_node));
    if (!node) return lm_mem_err();
    *node = (lm_node){.line = (uint32_t)event->start_mark.line + 1,
                      .column = (uint32_t)event->start_mark.column + 1};
    if (++r->items > LM_CONFIG_ITEMS_MAX)
        return lm_node_wrong(r->place, node, "more than %d values", LM_CONFIG_ITEMS_MAX);
    if (depth > DEPTH_MAX) return lm_node_wrong(r->place, node, "nested too deep");
    lm_err err = LM_OK;
    const uint8_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        return lm_node_wrong(r->place, node, "anchors and aliases are not taken");
    default:
        return lm_node_wrong(r->place, node, "a value expected");
    }
    if (anchor) return lm_node_wrong(r->place, node, "anchors and aliases are not taken");
    if (tag) return lm_node_wrong(r->place, node, "tags are not taken");
    if (event->type == YAML_SCALAR_EVENT) {
        err = read_scalar(r, event, node, is_key);
    } else {
        bool is_map = event->type == YAML_MAPPING_START_EVENT;
        node->kind = is_map ? NODE_MAP : NODE_LIST;
        err = read_children(r, node, depth,
                            is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT);
    }
    if (!err) *out = node;
    return err;
}

/** The events around the one document. */
static lm_err read_stream(reader *r, lm_node **out)
{
    unsigned documents = 0;
    lm_node *root = NULL;
    for (;;) {
        yaml_event_t event;
        lm_err err = next_event(r, &event);
        if (err) return err;
        yaml_event_type_t type = event.type;
        switch (type) {
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1) err = wrong_at(r, event.start_mark, "a second document");
            break;
        default:
            err = read_node(r, &event, 0, false, &root);
            break;
        }
        yaml_event_delete(&event);
        if (err) return err;
        if (type == YAML_STREAM_END_EVENT) break;
    }
    /* "---" alone gives one empty scalar: the same as nothing. */
    if (root && root->kind == NODE_SCALAR && !root->text[0] && !root->is_quoted) root = NULL;
    *out = root;
    return LM_OK;
}

lm_err lm_tree_read(const lm_file_place *place, lm_str text, lm_node **out)
{
    reader r = {.place = place};
    if (text.len > LM_YAML_BYTES_MAX)
        return lm_fail(LM_E_LIMIT, "'%s' is longer than %d bytes", place->name, LM_YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&r.parser)) return lm_fail(LM_E_NOMEM, "out of memory");
    yaml_parser_set_input_string(&r.parser, text.ptr ? text.ptr : (const uint8_t *)"", text.len);
    lm_err err = read_stream(&r, out);
    yaml_parser_delete(&r.parser);
    return err;
}

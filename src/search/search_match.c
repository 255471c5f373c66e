/* What a query means for one line: the definition that every faster way is tested against. */
#include "search/search_priv.h"

/* ---- fields ---------------------------------------------------------------------------------- */

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Loki writes every sign of a JSON path as '_': request_uri is request.uri. */
static bool name_fits(lm_str name, lm_str asked)
{
    if (name.len != asked.len) return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != asked.ptr[i] && (asked.ptr[i] != '_' || is_alnum(name.ptr[i])))
            return false;
    }
    return true;
}

static bool name_in(lm_str name, const char *const *list)
{
    for (; *list; list++) {
        if (lm_str_equal_nocase(name, lm_str_of(*list))) return true;
    }
    return false;
}

bool lm_query_name_is_level(lm_str name)
{
    static const char *const levels[] = {"level", "severity", "lvl", "detected_level", NULL};
    return name_in(name, levels);
}

const lm_field *lm_query_field(const lm_fields *fields, lm_str name)
{
    static const char *const times[] = {"timestamp", "time", "ts", "@timestamp", NULL};
    static const char *const messages[] = {"message", "msg", NULL};
    for (size_t i = 0; i < fields->count; i++) {
        if (lm_str_equal(fields->items[i].name, name)) return &fields->items[i];
    }
    for (size_t i = 0; i < fields->count; i++) {
        if (name_fits(fields->items[i].name, name)) return &fields->items[i];
    }
    int index = -1;
    if (lm_query_name_is_level(name))
        index = fields->level;
    else if (name_in(name, times))
        index = fields->timestamp;
    else if (name_in(name, messages))
        index = fields->message;
    return index >= 0 && (size_t)index < fields->count ? &fields->items[index] : NULL;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static bool order_fits(lm_compare compare, int order)
{
    switch (compare) {
    case LM_COMPARE_EQUAL:
        return order == 0;
    case LM_COMPARE_LESS:
        return order < 0;
    case LM_COMPARE_LESS_EQUAL:
        return order <= 0;
    case LM_COMPARE_MORE:
        return order > 0;
    case LM_COMPARE_MORE_EQUAL:
        return order >= 0;
    }
    return false;
}

static bool number_of_field(const lm_node *node, lm_str value, lm_number *out)
{
    switch (node->value_kind) {
    case LM_VALUE_NUMBER:
        return lm_number_parse(value, out);
    case LM_VALUE_DURATION:
        if (lm_duration_parse(value, out)) return true;
        return lm_number_parse(value, out) && lm_number_scale(out, &node->bare_unit);
    case LM_VALUE_SIZE:
        return lm_size_parse(value, out) || lm_number_parse(value, out);
    default:
        return false;
    }
}

static bool number_fits(const lm_node *node, lm_str value)
{
    lm_number number;
    if (node->compare == LM_COMPARE_EQUAL && lm_str_equal(value, node->text.text)) return true;
    return number_of_field(node, value, &number) &&
           order_fits(node->compare, lm_number_compare(&number, &node->number));
}

static bool time_fits(const lm_query *query, const lm_node *node, lm_str value)
{
    lm_time time;
    if (!lm_time_parse(value.ptr, value.len, &time) || time.len != value.len) return false;
    int64_t ns = lm_time_ns(time.layout, time.ticks, query->now_ns);
    return order_fits(node->compare, (ns > node->time_ns) - (ns < node->time_ns));
}

static bool ip_fits(const lm_node *node, lm_str value)
{
    uint8_t ip[16];
    if (lm_ip_parse(value, ip)) return lm_ip_in(&node->ip, ip);
    const uint8_t *colon = memchr(value.ptr, ':', value.len); /* 10.0.0.1:80 */
    return colon && lm_ip_parse((lm_str){value.ptr, (size_t)(colon - value.ptr)}, ip) &&
           lm_ip_in(&node->ip, ip);
}

lm_err lm_field_match(const lm_query *query, const lm_node *node, bool present, lm_str value,
                      lm_regex_room *room, bool *out)
{
    if (!present) value = (lm_str){(const uint8_t *)"", 0};
    lm_severity severity;
    switch (node->value_kind) {
    case LM_VALUE_TEXT:
        *out = lm_str_equal(value, node->text.text);
        return LM_OK;
    case LM_VALUE_REGEX:
        return lm_regex_find(node->regex, value, 0, room, out, NULL);
    case LM_VALUE_NUMBER:
    case LM_VALUE_DURATION:
    case LM_VALUE_SIZE:
        *out = present && number_fits(node, value);
        return LM_OK;
    case LM_VALUE_SEVERITY:
        severity = present ? lm_severity_parse(value) : LM_SEV_UNKNOWN;
        *out = severity != LM_SEV_UNKNOWN &&
               order_fits(node->compare, (int)severity - (int)node->severity);
        return LM_OK;
    case LM_VALUE_TIME:
        *out = present && time_fits(query, node, value);
        return LM_OK;
    case LM_VALUE_IP:
        *out = present && ip_fits(node, value);
        return LM_OK;
    }
    return lm_fail(LM_E_USAGE, "query: unknown kind of value");
}

/* The whole name, or its last parts: app.log finds logs/app.log. */
static bool file_fits(lm_str file, lm_str asked)
{
    if (!lm_str_ends(file, asked)) return false;
    return file.len == asked.len || asked.len == 0 || file.ptr[file.len - asked.len - 1] == '/';
}

static lm_err list_match(const lm_query *query, const lm_node *node, const lm_subject *subject,
                         lm_regex_room *room, bool *out)
{
    bool any = node->kind == LM_NODE_OR;
    for (const lm_node *child = node->first; child; child = child->next) {
        bool fits;
        lm_err err = lm_node_match(query, child, subject, room, &fits);
        if (err) return err;
        if (fits == any) {
            *out = any;
            return LM_OK;
        }
    }
    *out = !any;
    return LM_OK;
}

lm_err lm_node_match(const lm_query *query, const lm_node *node, const lm_subject *subject,
                     lm_regex_room *room, bool *out)
{
    switch (node->kind) {
    case LM_NODE_ALL:
        *out = true;
        return LM_OK;
    case LM_NODE_AND:
    case LM_NODE_OR:
        return list_match(query, node, subject, room, out);
    case LM_NODE_NOT: {
        bool inner;
        lm_err err = lm_node_match(query, node->first, subject, room, &inner);
        if (!err) *out = !inner;
        return err;
    }
    case LM_NODE_TEXT:
        *out = lm_finder_find(&node->finder, subject->line) != SIZE_MAX;
        return LM_OK;
    case LM_NODE_REGEX:
        return lm_regex_find(node->regex, subject->line, 0, room, out, NULL);
    case LM_NODE_IP:
        *out = lm_ip_find(subject->line, &node->ip);
        return LM_OK;
    case LM_NODE_FIELD: {
        const lm_field *field =
            subject->fields ? lm_query_field(subject->fields, node->name) : NULL;
        return lm_field_match(query, node, field != NULL, field ? field->value : (lm_str){NULL, 0},
                              room, out);
    }
    case LM_NODE_FILE:
        if (node->value_kind == LM_VALUE_REGEX)
            return lm_regex_find(node->regex, subject->file, 0, room, out, NULL);
        *out = file_fits(subject->file, node->text.text);
        return LM_OK;
    }
    return lm_fail(LM_E_USAGE, "query: unknown kind of filter");
}

lm_err lm_query_match_in(const lm_query *query, lm_str file, lm_str line, const lm_fields *fields,
                         bool *out)
{
    lm_regex_room room = {query->mem, NULL};
    lm_subject subject = {file, line, fields};
    lm_err err = lm_node_match(query, query->root, &subject, &room, out);
    lm_regex_room_fini(&room);
    return err;
}

lm_err lm_query_match(const lm_query *query, lm_str line, const lm_fields *fields, bool *out)
{
    return lm_query_match_in(query, (lm_str){(const uint8_t *)"", 0}, line, fields, out);
}

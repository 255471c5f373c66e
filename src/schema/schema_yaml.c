/**
 * Formats and types that a user gives in YAML (docs/schema.md). Read with libyaml where it is there
 * (LM_HAVE_YAML). An unknown key or a wrong value is an error with line and column; nothing of a
 * wrong file is taken over.
 */
#include "schema/schema_priv.h"

#if LM_HAVE_YAML

#    include <yaml.h>

typedef struct config {
    lm_schema *schema;
    yaml_document_t doc;
} config;

static lm_err wrong(const yaml_node_t *node, const char *what, lm_str about)
{
    return lm_fail(LM_E_USAGE, "line %zu, column %zu: %s '%.*s'", node->start_mark.line + 1,
                   node->start_mark.column + 1, what, (int)(about.len < 80 ? about.len : 80),
                   (const char *)about.ptr);
}

static lm_str scalar(const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE) return (lm_str){0};
    return (lm_str){node->data.scalar.value, node->data.scalar.length};
}

static lm_err need(const yaml_node_t *node, yaml_node_type_t type, const char *what)
{
    static const char *const names[] = {"nothing", "a text", "a list", "a mapping"};
    if (node && node->type == type) return LM_OK;
    size_t line = node ? node->start_mark.line + 1 : 1,
           column = node ? node->start_mark.column + 1 : 1;
    return lm_fail(LM_E_USAGE, "line %zu, column %zu: %s must be %s", line, column, what,
                   names[type]);
}

static lm_err read_type(const yaml_node_t *node, uint8_t *out)
{
    lm_err err = need(node, YAML_SCALAR_NODE, "a type");
    if (err) return err;
    lm_type type = lm_type_named(scalar(node));
    if (type == LM_TYPE_COUNT) return wrong(node, "there is no type", scalar(node));
    *out = (uint8_t)type;
    return LM_OK;
}

/* fields: {name: type} or {name: {type: ..., unit: ...}} */
static lm_err read_field(config *c, yaml_node_t *key, yaml_node_t *value)
{
    lm_given given = {.type = LM_TYPE_TEXT};
    lm_err err = need(key, YAML_SCALAR_NODE, "a field's name");
    if (err) return err;
    if (value && value->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *p = value->data.mapping.pairs.start;
             !err && p < value->data.mapping.pairs.top; p++) {
            yaml_node_t *k = yaml_document_get_node(&c->doc, p->key),
                        *v = yaml_document_get_node(&c->doc, p->value);
            if (lm_str_equal(scalar(k), LM_STR("type"))) {
                err = read_type(v, &given.type);
            } else if (lm_str_equal(scalar(k), LM_STR("unit"))) {
                err = need(v, YAML_SCALAR_NODE, "a unit");
                if (!err) err = lm_schema_copy(c->schema, scalar(v), &given.unit);
            } else {
                err = wrong(k, "a field has no key", scalar(k));
            }
        }
    } else {
        err = read_type(value, &given.type);
    }
    if (!err) err = lm_schema_copy(c->schema, scalar(key), &given.name);
    if (!err)
        err = lm_vec_grow(c->schema->mem, &c->schema->given, &c->schema->given_cap,
                          c->schema->given_count + 1, sizeof given);
    if (err) return err;
    if (c->schema->given_count == LM_FIELD_COUNT_MAX)
        return wrong(key, "too many fields are given, from", scalar(key));
    c->schema->given[c->schema->given_count++] = given;
    return LM_OK;
}

static lm_err read_fields(config *c, yaml_node_t *node)
{
    lm_err err = need(node, YAML_MAPPING_NODE, "'fields'");
    if (err) return err;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         !err && p < node->data.mapping.pairs.top; p++) {
        err = read_field(c, yaml_document_get_node(&c->doc, p->key),
                         yaml_document_get_node(&c->doc, p->value));
    }
    return err;
}

static const struct dialect {
    const char *key;
    lm_dialect dialect;
} dialects[] = {
    {"pattern", LM_DIALECT_PATTERN},   {"nginx", LM_DIALECT_NGINX},   {"apache", LM_DIALECT_APACHE},
    {"log4j", LM_DIALECT_LOG4J},       {"logback", LM_DIALECT_LOG4J}, {"python", LM_DIALECT_PYTHON},
    {"postgres", LM_DIALECT_POSTGRES},
};

/* Where a message about byte offset of a scalar belongs: exact for plain and quoted scalars on one
 * line. */
static lm_err place_error(const yaml_node_t *node, lm_err err)
{
    lm_err_info info;
    if (err == LM_E_NOMEM) return err;
    lm_err_save(&info);
    bool quoted = node->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE ||
                  node->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE;
    size_t column = node->start_mark.column + 1 + quoted;
    if (info.offset != LM_NO_OFFSET && node->start_mark.line == node->end_mark.line)
        column += (size_t)info.offset;
    return lm_fail(LM_E_USAGE, "line %zu, column %zu: %s", node->start_mark.line + 1, column,
                   info.text);
}

static lm_err add_format(config *c, const yaml_node_t *node, lm_dialect dialect, lm_str name)
{
    lm_buf pattern;
    uint32_t format;
    lm_buf_init(&pattern, c->schema->mem);
    lm_err err = lm_translate(dialect, scalar(node), &pattern);
    if (!err)
        err = lm_pattern_add(c->schema, name, (lm_str){pattern.ptr, pattern.len}, LM_ORIGIN_GIVEN,
                             (lm_str){0}, &format);
    if (err) err = place_error(node, err);
    lm_buf_fini(&pattern);
    return err;
}

static lm_err add_named(config *c, const yaml_node_t *node)
{
    bool found = false;
    for (size_t i = 0; i < lm_named_count(); i++) {
        const lm_named *named = lm_named_at(i);
        uint32_t format;
        if (!lm_str_equal(lm_str_of(named->name), scalar(node))) continue;
        lm_err err = lm_pattern_add(c->schema, scalar(node), lm_str_of(named->pattern),
                                    LM_ORIGIN_GIVEN, (lm_str){0}, &format);
        if (err) return err;
        found = true;
    }
    bool json = lm_str_equal(scalar(node), LM_STR("json"));
    if (json || lm_str_equal(scalar(node), LM_STR("logfmt"))) {
        uint32_t format;
        return lm_engine_add(c->schema, json ? LM_ENGINE_JSON : LM_ENGINE_LOGFMT, &format);
    }
    return found ? LM_OK : wrong(node, "there is no format named", scalar(node));
}

static lm_err read_format(config *c, yaml_node_t *node)
{
    yaml_node_t *text = NULL, *named = NULL, *fields = NULL;
    lm_dialect dialect = LM_DIALECT_PATTERN;
    lm_str name = LM_STR("given");
    lm_err err = need(node, YAML_MAPPING_NODE, "a format");
    if (err) return err;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         !err && p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(&c->doc, p->key),
                    *v = yaml_document_get_node(&c->doc, p->value);
        lm_str key = scalar(k);
        bool known = false;
        if (lm_str_equal(key, LM_STR("fields"))) {
            fields = v;
            continue;
        }
        err = need(v, YAML_SCALAR_NODE, "this");
        if (err) return err;
        if (lm_str_equal(key, LM_STR("name"))) {
            name = scalar(v);
            known = true;
        } else if (lm_str_equal(key, LM_STR("format"))) {
            named = v;
            known = true;
        }
        for (size_t i = 0; i < sizeof dialects / sizeof dialects[0] && !known; i++) {
            if (!lm_str_equal(key, lm_str_of(dialects[i].key))) continue;
            if (text) return wrong(k, "a format is given twice, again by", key);
            text = v;
            dialect = dialects[i].dialect;
            known = true;
        }
        if (!known) err = wrong(k, "a format has no key", key);
    }
    if (err) return err;
    if (!text && !named)
        return wrong(
            node,
            "a format needs one of 'pattern', 'nginx', 'apache', 'log4j', 'python', 'postgres' or",
            LM_STR("format"));
    if (fields) err = read_fields(c, fields); /* before the tree, which asks for given types */
    if (!err && text) err = add_format(c, text, dialect, name);
    if (!err && named) err = add_named(c, named);
    return err;
}

static lm_err read_root(config *c)
{
    yaml_node_t *root = yaml_document_get_root_node(&c->doc);
    if (!root) return LM_OK; /* an empty file gives nothing */
    lm_err err = need(root, YAML_MAPPING_NODE, "the file");
    if (err) return err;
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
         !err && p < root->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(&c->doc, p->key),
                    *v = yaml_document_get_node(&c->doc, p->value);
        if (lm_str_equal(scalar(k), LM_STR("fields"))) {
            err = read_fields(c, v);
        } else if (lm_str_equal(scalar(k), LM_STR("formats"))) {
            err = need(v, YAML_SEQUENCE_NODE, "'formats'");
            for (yaml_node_item_t *i = err ? NULL : v->data.sequence.items.start;
                 i && !err && i < v->data.sequence.items.top; i++)
                err = read_format(c, yaml_document_get_node(&c->doc, *i));
        } else {
            err = wrong(k, "a schema has no key", scalar(k));
        }
    }
    return err;
}

/* To the fields that are there already; later ones ask when they are made. */
static void apply_types(lm_schema *schema, size_t first)
{
    for (size_t g = first; g < schema->given_count; g++) {
        for (size_t i = 0; i < schema->field_count; i++) {
            lm_info *info = &schema->fields[i];
            if (!lm_str_equal(info->name, schema->given[g].name)) continue;
            info->declared = info->type = schema->given[g].type;
            info->unit = schema->given[g].unit;
        }
    }
}

lm_err lm_schema_configure(lm_schema *schema, lm_str yaml)
{
    config c = {.schema = schema};
    yaml_parser_t parser;
    size_t formats = schema->format_count, fields = schema->field_count,
           given = schema->given_count, paths = schema->path_count;
    if (yaml.len > LM_YAML_BYTES_MAX)
        return lm_fail(LM_E_LIMIT, "configuration is longer than %d bytes", LM_YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&parser)) return lm_fail(LM_E_NOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, yaml.ptr ? yaml.ptr : (const uint8_t *)"", yaml.len);
    if (!yaml_parser_load(&parser, &c.doc)) {
        lm_err err = parser.error == YAML_MEMORY_ERROR
                         ? lm_fail(LM_E_NOMEM, "out of memory")
                         : lm_fail(LM_E_USAGE, "line %zu, column %zu: %s",
                                   parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                                   parser.problem ? parser.problem : "this is no YAML");
        yaml_parser_delete(&parser);
        return err;
    }
    lm_err err = read_root(&c);
    if (err) { /* all or nothing; of paths only roots were made */
        schema->format_count = formats;
        schema->field_count = fields;
        schema->given_count = given;
        schema->path_count = paths;
    } else {
        apply_types(schema, given);
        err = lm_schema_refresh(schema);
    }
    yaml_document_delete(&c.doc);
    yaml_parser_delete(&parser);
    return err;
}

#else

lm_err lm_schema_configure(lm_schema *schema, lm_str yaml)
{
    (void)schema;
    (void)yaml;
    return lm_fail(LM_E_UNSUPPORTED, "this build cannot read YAML");
}

#endif

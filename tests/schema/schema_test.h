/** Shared by the schema tests: learn from lines, take one apart, look at a field. */
#ifndef TESTS_SCHEMA_SCHEMA_TEST_H
#define TESTS_SCHEMA_SCHEMA_TEST_H

#include "lm_test.h"
#include "schema/schema.h"

typedef struct world {
    lm_mem *mem;
    lm_schema *schema;
    lm_arena arena;
    lm_fields fields;
} world;

static inline void world_open(world *w)
{
    *w = (world){0};
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    assert_int_equal(lm_schema_new(w->mem, &w->schema), LM_OK);
    lm_arena_init(&w->arena, w->mem);
    w->fields.arena = &w->arena;
}

static inline void world_close(world *w)
{
    lm_schema_free(w->schema);
    lm_arena_fini(&w->arena);
    assert_int_equal(lm_mem_used(w->mem), 0);
    lm_mem_free(w->mem);
}

static inline void world_learn(world *w, const char *const *lines, size_t count)
{
    lm_str texts[256];
    assert_true(count <= 256);
    for (size_t i = 0; i < count; i++)
        texts[i] = lm_str_of(lines[i]);
    assert_int_equal(lm_schema_learn(w->schema, texts, count), LM_OK);
}

static inline void world_parse(world *w, const char *line)
{
    assert_int_equal(lm_schema_parse(w->schema, lm_str_of(line), &w->fields), LM_OK);
}

/** Value of a field of the line parsed last; NULL pointer if it has none of that name. */
static inline lm_str world_field(const world *w, const char *name)
{
    for (size_t i = 0; i < w->fields.count; i++) {
        if (lm_str_equal(w->fields.items[i].name, lm_str_of(name))) return w->fields.items[i].value;
    }
    return (lm_str){0};
}

static inline void expect_text(const char *what, lm_str got, const char *expected)
{
    if (!lm_str_equal(got, lm_str_of(expected)))
        fail_msg("%s is '%.*s', not '%s'", what, (int)got.len,
                 got.ptr ? (const char *)got.ptr : "(none)", expected);
}

static inline void expect_field(const world *w, const char *name, const char *value)
{
    expect_text(name, world_field(w, name), value);
}

static inline void expect_role(const world *w, const char *role, int index, const char *value)
{
    if (!value) {
        if (index >= 0) fail_msg("%s is field %d, but there should be none", role, index);
        return;
    }
    if (index < 0) fail_msg("there is no %s, it should be '%s'", role, value);
    expect_text(role, w->fields.items[index].value, value);
}

/** Name of the format that fitted the line parsed last; "" if none. */
static inline lm_str world_format(const world *w)
{
    if (w->fields.format < 0) return (lm_str){0};
    return lm_schema_format_at(w->schema, (size_t)w->fields.format).name;
}

/** A field as the schema knows it. */
static inline lm_schema_field world_known(const world *w, const char *name)
{
    for (size_t f = 0; f < lm_schema_format_count(w->schema); f++) {
        lm_schema_format format = lm_schema_format_at(w->schema, f);
        for (size_t i = 0; i < format.field_count; i++) {
            if (lm_str_equal(format.fields[i].name, lm_str_of(name))) return format.fields[i];
        }
    }
    fail_msg("the schema knows no field '%s'", name);
    return (lm_schema_field){0};
}

#endif

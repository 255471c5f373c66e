/** Any lines: learned from, then taken apart; every value lies inside its line, and a saved schema
 * parses the same. */
#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 256 };

static void check_line(const lm_schema *schema, const lm_schema *loaded, lm_str line,
                       lm_fields *fields, lm_fields *again)
{
    LM_ASSERT(lm_schema_parse(schema, line, fields) == LM_OK);
    LM_ASSERT(fields->count >= 1 && fields->count <= LM_FIELD_COUNT_MAX);
    for (size_t i = 0; i < fields->count; i++) {
        lm_str value = fields->items[i].value;
        LM_ASSERT(value.len == 0 ||
                  (value.ptr >= line.ptr && value.ptr + value.len <= line.ptr + line.len));
        LM_ASSERT(fields->items[i].type < LM_TYPE_COUNT);
    }
    LM_ASSERT(fields->timestamp < (int)fields->count && fields->level < (int)fields->count &&
              fields->message < (int)fields->count);
    if (!loaded) return;
    LM_ASSERT(lm_schema_parse(loaded, line, again) == LM_OK);
    LM_ASSERT(again->count == fields->count && again->format == fields->format);
    for (size_t i = 0; i < fields->count; i++)
        LM_ASSERT(lm_str_equal(fields->items[i].name, again->items[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_schema *schema = NULL, *loaded = NULL;
    lm_arena arena;
    lm_buf saved;
    lm_str lines[LINES_MAX];
    size_t count = 0;
    for (size_t at = 0; at < size && count < LINES_MAX;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - data) : size;
        lines[count++] = (lm_str){data + at, end - at};
        at = end + 1;
    }
    if (lm_mem_new(NULL, 0, &mem)) return 0;
    lm_arena_init(&arena, mem);
    lm_buf_init(&saved, mem);
    lm_fields fields = {.arena = &arena}, again = {.arena = &arena};
    LM_ASSERT(lm_schema_new(mem, &schema) == LM_OK);
    LM_ASSERT(lm_schema_learn(schema, lines, count) == LM_OK);
    LM_ASSERT(lm_schema_save(schema, &saved) == LM_OK);
    LM_ASSERT(lm_schema_load(mem, (lm_str){saved.ptr, saved.len}, &loaded) == LM_OK);
    LM_ASSERT(lm_str_equal(lm_schema_signature(schema), lm_schema_signature(loaded)));
    for (size_t i = 0; i < count; i++)
        check_line(schema, loaded, lines[i], &fields, &again);
    lm_schema_free(loaded);
    lm_schema_free(schema);
    lm_buf_fini(&saved);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
    return 0;
}

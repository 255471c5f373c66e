/** Any text as a configuration of formats: refused with a place, or formats that take lines apart.
 */
#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_schema *schema = NULL;
    lm_arena arena;
    if (size > 65536 || lm_mem_new(NULL, (size_t)256 << 20, &mem)) return 0;
    lm_arena_init(&arena, mem);
    lm_fields fields = {.arena = &arena};
    LM_ASSERT(lm_schema_new(mem, &schema) == LM_OK);
    lm_err err = lm_schema_configure(schema, (lm_str){data, size});
    LM_ASSERT(!err || err == LM_E_USAGE || err == LM_E_LIMIT || err == LM_E_UNSUPPORTED);
    LM_ASSERT(!err || lm_schema_format_count(schema) == 0);
    LM_ASSERT(lm_schema_parse(
                  schema,
                  LM_STR("2026-10-18 18:01:10,978 INFO [main] org.acme.Server: a=\"b c\" (x.y)"),
                  &fields) == LM_OK);
    LM_ASSERT(lm_schema_parse(schema, (lm_str){data, size}, &fields) == LM_OK);
    lm_schema_free(schema);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
    return 0;
}

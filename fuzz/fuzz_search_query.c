/** Any bytes as a query (up to the first newline), asked of any bytes as a line (the rest). */
#include "search/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t query_len = end ? (size_t)(end - data) : size;
    lm_str line = {end ? end + 1 : data + size, end ? size - query_len - 1 : 0};
    lm_mem *mem = NULL;
    lm_query *query = NULL;
    if (lm_mem_new(NULL, 64u << 20, &mem)) return 0;
    if (lm_query_parse(mem, (lm_str){data, query_len}, &query) == LM_OK) {
        lm_field item = {{(const uint8_t *)"level", 5}, line, LM_TYPE_TEXT};
        lm_fields fields = {.items = &item,
                            .count = 1,
                            .cap = 1,
                            .format = 0,
                            .timestamp = -1,
                            .level = 0,
                            .message = -1};
        bool matches = false;
        lm_err err = lm_query_match_in(query, line, line, &fields, &matches);
        LM_ASSERT(err == LM_OK || err == LM_E_LIMIT || err == LM_E_NOMEM);
        lm_query_free(query);
    }
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

/** The multi-line rules on any lines; the first line is sometimes taken as a start pattern. */
#include "ingest/ingest.h"

enum { LINES_MAX = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_str lines[LINES_MAX];
    size_t count = 0;
    for (size_t at = 0; at <= size && count < LINES_MAX;) {
        const uint8_t *end = size > at ? memchr(data + at, '\n', size - at) : NULL;
        size_t len = end ? (size_t)(end - data) - at : size - at;
        lines[count++] = (lm_str){data + at, len};
        at += len + 1;
    }
    lm_mem *mem = NULL;
    LM_ASSERT(lm_mem_new(NULL, 16u << 20, &mem) == LM_OK);
    lm_joiner *joiner = NULL;
    LM_ASSERT(lm_joiner_new(mem, &joiner) == LM_OK);
    bool has_pattern = size > 0 && data[0] == '^' && lines[0].len < 40;
    if (has_pattern) (void)!lm_joiner_configure(joiner, lines[0]); /* most are no pattern */
    LM_ASSERT(lm_joiner_learn(joiner, NULL, lines, count) == LM_OK);
    uint8_t first[LINES_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        first[i] = lm_joiner_continues(joiner, lines[i]);
    LM_ASSERT(!first[0]);
    lm_joiner_reset(joiner);
    for (size_t i = 0; i < count; i++)
        LM_ASSERT(lm_joiner_continues(joiner, lines[i]) == first[i]);
    lm_joiner_free(joiner);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

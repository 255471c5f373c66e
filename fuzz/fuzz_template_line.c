/** Any lines through the miner: the skeleton equals its twin, joined parts give the groups of the
 * whole. */
#include "template/template_priv.h"

enum { LINES_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_twins(lm_str line)
{
    uint8_t fast[SKELETON_BYTES_MAX], plain[SKELETON_BYTES_MAX];
    if (line.len > MESSAGE_BYTES_MAX) line.len = MESSAGE_BYTES_MAX;
    size_t n = template_skeleton(line, fast);
    LM_ASSERT(n == template_skeleton_plain(line, plain));
    LM_ASSERT(n == 0 || memcmp(fast, plain, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_miner *miners[3] = {NULL, NULL, NULL}; /* the whole, its two halves */
    lm_str lines[LINES_MAX];
    uint32_t shapes[LINES_MAX], parts[LINES_MAX], map[2][LINES_MAX + 1];
    size_t count = 0;
    for (size_t at = 0; at < size && count < LINES_MAX;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        lines[count++] = (lm_str){data + at, len};
        at += len + 1;
    }
    LM_ASSERT(lm_mem_new(NULL, 256u << 20, &mem) == LM_OK);
    for (int i = 0; i < 3; i++)
        LM_ASSERT(lm_miner_new(mem, NULL, &miners[i]) == LM_OK);
    for (size_t i = 0; i < count; i++) {
        check_twins(lines[i]);
        LM_ASSERT(lm_miner_add(miners[0], lines[i], &shapes[i]) == LM_OK);
        LM_ASSERT(lm_miner_add(miners[1 + i % 2], lines[i], &parts[i]) == LM_OK);
        if (i == count / 2) LM_ASSERT(lm_miner_settle(miners[0]) == LM_OK);
    }
    LM_ASSERT(lm_miner_settle(miners[0]) == LM_OK);
    lm_miner *joined = NULL;
    LM_ASSERT(lm_miner_new(mem, NULL, &joined) == LM_OK);
    for (int i = 0; i < 2; i++)
        LM_ASSERT(lm_miner_join(joined, miners[2 - i], map[1 - i]) == LM_OK);
    LM_ASSERT(lm_miner_settle(joined) == LM_OK);
    for (size_t i = 0; i < count; i++) {
        lm_str a = lm_miner_text(miners[0], lm_miner_template_of(miners[0], shapes[i]));
        lm_str b = lm_miner_text(joined, lm_miner_template_of(joined, map[i % 2][parts[i]]));
        LM_ASSERT(lm_str_equal(a, b));
    }
    lm_miner_free(joined);
    for (int i = 0; i < 3; i++)
        lm_miner_free(miners[i]);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

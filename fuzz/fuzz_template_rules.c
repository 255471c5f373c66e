/** Template rules of any bytes as YAML, and mining with those that are read. */
#include "template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const messages[] = {"user ann in", "user bob in", "job nightly took 3 s",
                                           "job 7 took 4 s", ""};
    lm_mem *mem = NULL;
    lm_arena arena;
    lm_miner_rule *rules = NULL;
    lm_miner *miner = NULL;
    size_t count = 0;
    uint32_t shape = 0;
    LM_ASSERT(lm_mem_new(NULL, 64u << 20, &mem) == LM_OK);
    lm_arena_init(&arena, mem);
    if (lm_miner_rules_parse(mem, (lm_str){data, size}, &arena, &rules, &count) == LM_OK) {
        LM_ASSERT(lm_miner_new(mem, NULL, &miner) == LM_OK);
        if (lm_miner_rules_set(miner, rules, count) == LM_OK) {
            for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
                LM_ASSERT(lm_miner_add(miner, lm_str_of(messages[i]), &shape) == LM_OK);
            LM_ASSERT(lm_miner_settle(miner) == LM_OK);
            (void)lm_miner_text(miner, lm_miner_template_of(miner, shape));
        }
        lm_miner_free(miner);
    }
    lm_arena_fini(&arena);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

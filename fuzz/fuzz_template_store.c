/** A template table of any bytes, the checksum made right: refused or usable, never harmful. */
#include "template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_buf bytes;
    lm_miner *miner = NULL;
    uint32_t shape = 0;
    LM_ASSERT(lm_mem_new(NULL, 64u << 20, &mem) == LM_OK);
    lm_buf_init(&bytes, mem);
    size_t body = size > 8 ? size - 8 : size;
    LM_ASSERT(lm_buf_append(&bytes, data, body) == LM_OK);
    LM_ASSERT(lm_buf_le64(&bytes, lm_hash64(data, body)) == LM_OK);
    if (lm_miner_load(mem, (lm_str){bytes.ptr, bytes.len}, NULL, &miner) == LM_OK) {
        LM_ASSERT(lm_miner_add(miner, LM_STR("user ann took 7 ms"), &shape) == LM_OK);
        LM_ASSERT(lm_miner_settle(miner) == LM_OK);
        for (uint32_t i = 0; i < lm_miner_shape_count(miner); i++)
            (void)lm_miner_text(miner, lm_miner_template_of(miner, i));
        bytes.len = 0;
        LM_ASSERT(lm_miner_save(miner, &bytes) == LM_OK);
        lm_miner_free(miner);
    }
    lm_buf_fini(&bytes);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

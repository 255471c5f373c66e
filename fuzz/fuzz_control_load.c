/** Any text as a configuration: refused with its place, or one that is shown and read again. */
#include "control/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_config *config = NULL;
    if (size > 65536 || lm_mem_new(NULL, (size_t)64 << 20, &mem)) return 0;
    lm_err err = lm_config_parse(mem, "f", (lm_str){data, size}, &config);
    LM_ASSERT(!err || err == LM_E_USAGE || err == LM_E_LIMIT);
    if (!err) {
        lm_buf text;
        lm_buf_init(&text, mem);
        LM_ASSERT(lm_config_show(config, true, &text) == LM_OK);
        bool has_secrets = config->user_count || config->token_count;
        lm_config_free(config);
        config = NULL;
        if (!has_secrets) {
            LM_ASSERT(lm_config_parse(mem, "f", (lm_str){text.ptr, text.len}, &config) == LM_OK);
            lm_config_free(config);
        }
        lm_buf_fini(&text);
    }
    lm_mem_free(mem);
    return 0;
}

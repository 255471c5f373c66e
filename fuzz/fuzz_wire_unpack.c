/** Packed bodies of any bytes: never more than the limit comes out, never more memory is taken. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const encodings[] = {"gzip", "deflate", "snappy", "zstd"};

    enum { LIMIT = 1 << 20 };

    lm_mem *mem = NULL;
    lm_buf out;
    if (size == 0) return 0;
    LM_ASSERT(lm_mem_new(NULL, 16 << 20, &mem) == LM_OK);
    lm_wire_options options = {.now_ns = 0, .body_bytes_max = LIMIT, .mem = mem};
    lm_buf_init(&out, mem);
    lm_str body = {data + 1, size - 1};
    lm_err err = lm_wire_unpack(body, lm_str_of(encodings[data[0] % 4]), &options, &out);
    LM_ASSERT(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
    LM_ASSERT(out.len <= (err ? 0 : LIMIT));
    lm_buf_fini(&out);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

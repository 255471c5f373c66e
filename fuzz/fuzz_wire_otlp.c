/** OTLP of any bytes: the first byte says which form. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_record_batch batch;
    lm_wire_report report = {0};
    lm_buf response;
    if (size == 0) return 0;
    LM_ASSERT(lm_mem_new(NULL, 32 << 20, &mem) == LM_OK);
    lm_wire_options options = {.now_ns = 1795441080, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_buf_init(&response, mem);
    lm_str body = {data + 1, size - 1};
    bool is_json = data[0] & 1;
    lm_err err = is_json ? lm_wire_otlp_json(body, &options, &batch, &report)
                         : lm_wire_otlp_protobuf(body, &options, &batch, &report);
    LM_ASSERT(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
    if (err) LM_ASSERT(batch.record_count == 0 && batch.stream_count == 0);
    if (!err) {
        LM_ASSERT(report.accepted == batch.record_count);
        LM_ASSERT(lm_wire_otlp_response(&report, is_json, &response) == LM_OK);
    }
    lm_buf_fini(&response);
    lm_record_batch_fini(&batch);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

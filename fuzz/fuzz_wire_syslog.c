/** A syslog connection of any bytes: frames end, and every message becomes a record. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MESSAGE_BYTES_MAX = 4096 };

    lm_mem *mem = NULL;
    lm_record_batch batch, again;
    lm_wire_recent recent = {.len = 0};
    LM_ASSERT(lm_mem_new(NULL, 64 << 20, &mem) == LM_OK);
    lm_wire_options options = {
        .now_ns = INT64_C(1795441080000000000), .body_bytes_max = 1 << 20, .mem = mem};
    lm_wire_options remembers = options; /* times of the message before: nothing else comes out */
    remembers.recent = &recent;
    lm_record_batch_init(&batch, mem);
    lm_record_batch_init(&again, mem);
    lm_str rest = {data, size}, message = rest;
    size_t count = 1;
    LM_ASSERT(lm_wire_syslog(message, &options, &batch) == LM_OK); /* as a datagram */
    while (lm_wire_syslog_frame(&rest, MESSAGE_BYTES_MAX, &message) == LM_OK) {
        LM_ASSERT(message.len <= MESSAGE_BYTES_MAX && message.ptr >= data);
        LM_ASSERT(message.ptr + message.len <= rest.ptr && rest.ptr + rest.len == data + size);
        LM_ASSERT(lm_wire_syslog(message, &options, &batch) == LM_OK);
        LM_ASSERT(lm_wire_syslog(message, &remembers, &again) == LM_OK);
        const lm_record *one = &batch.records[count], *two = &again.records[count - 1];
        LM_ASSERT(one->time_ns == two->time_ns && lm_str_equal(one->line, two->line));
        LM_ASSERT(one->metadata.count == two->metadata.count);
        count++;
    }
    LM_ASSERT(batch.record_count == count);
    for (size_t i = 0; i < count; i++)
        LM_ASSERT(batch.streams[batch.records[i].stream].labels.count >= 2);
    lm_record_batch_fini(&batch);
    lm_record_batch_fini(&again);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

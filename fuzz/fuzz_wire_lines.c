/** _bulk and newline-delimited JSON of any bytes: the first byte says which, and which fields. */
#include "wire/wire.h"

#include <yyjson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Lines that are not blank. */
static size_t count_lines(lm_str body)
{
    size_t count = 0;
    bool any = false;
    for (size_t i = 0; i <= body.len; i++) {
        bool is_end = i == body.len || body.ptr[i] == '\n';
        bool is_last = i + 1 == body.len || (i + 1 < body.len && body.ptr[i + 1] == '\n');
        if (!is_end && body.ptr[i] == '\r' && is_last) continue;
        if (!is_end && body.ptr[i] != ' ' && body.ptr[i] != '\t') any = true;
        if (!is_end) continue;
        count += any;
        any = false;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const lm_str streams[] = {LM_STR("a.b"), LM_STR("app")};
    lm_mem *mem = NULL;
    lm_record_batch batch;
    lm_wire_report report = {0};
    lm_buf response;
    lm_err err;
    if (size == 0) return 0;
    LM_ASSERT(lm_mem_new(NULL, 32 << 20, &mem) == LM_OK);
    lm_wire_options options = {.now_ns = 1795441080, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_buf_init(&response, mem);
    lm_str body = {data + 1, size - 1};
    if (data[0] & 1) {
        err = lm_wire_bulk(body, data[0] & 2 ? LM_STR("i") : LM_STR(""), &options, &batch, &report,
                           &response);
        LM_ASSERT(err || lm_mem_used(mem));
        if (err) LM_ASSERT(response.len == 0);
        if (!err) { /* what is answered is JSON */
            yyjson_doc *doc = yyjson_read((const char *)response.ptr, response.len, 0);
            LM_ASSERT(doc);
            yyjson_val *items = yyjson_obj_get(yyjson_doc_get_root(doc), "items");
            LM_ASSERT(yyjson_arr_size(items) == report.accepted + report.rejected);
            yyjson_doc_free(doc);
        }
    } else {
        lm_wire_fields fields = {0};
        if (data[0] & 2) {
            fields.streams = streams;
            fields.stream_count = 2;
        }
        if (data[0] & 4) fields.message = LM_STR("a.m");
        if (data[0] & 8) fields.time = LM_STR("t");
        if (data[0] & 16) { /* messages of a queue, cut at NULs */
            lm_wire_payload payloads[64];
            size_t count = 0;
            for (lm_str rest = body; count < 64;) {
                const uint8_t *stop = rest.len ? memchr(rest.ptr, 0, rest.len) : NULL;
                size_t len = stop ? (size_t)(stop - rest.ptr) : rest.len;
                payloads[count++] = (lm_wire_payload){.text = {rest.ptr, len}, .fields = &fields};
                if (!stop) break;
                rest = (lm_str){stop + 1, rest.len - len - 1};
            }
            err = lm_wire_payloads(payloads, count, &options, &batch, &report);
            if (!err) LM_ASSERT(batch.record_count == count); /* no message is lost */
        } else {
            err = lm_wire_ndjson(body, &fields, &options, &batch, &report);
        }
        if (!err && !(data[0] & 16))
            LM_ASSERT(batch.record_count == count_lines(body)); /* no line is lost */
    }
    LM_ASSERT(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
    if (err) LM_ASSERT(batch.record_count == 0 && batch.stream_count == 0);
    if (!err) LM_ASSERT(report.accepted == batch.record_count);
    lm_buf_fini(&response);
    lm_record_batch_fini(&batch);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

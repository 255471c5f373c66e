/** gRPC's own bytes: the frame around a message, texts and details of a status. */
#include "grpc/grpc.h"

static uint32_t length_of(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

lm_err lm_grpc_body_bytes(lm_str begin, uint64_t *out)
{
    if (begin.len < LM_GRPC_PREFIX_BYTES)
        return lm_fail(LM_E_NOTFOUND, "the message has not begun");
    *out = (uint64_t)LM_GRPC_PREFIX_BYTES + length_of(begin.ptr + 1);
    return LM_OK;
}

lm_err lm_grpc_message(lm_str body, bool *out_is_packed, lm_str *out)
{
    uint64_t bytes = 0;
    if (lm_grpc_body_bytes(body, &bytes))
        return lm_fail(LM_E_USAGE, "the call has no message: its body has %zu bytes", body.len);
    if (body.ptr[0] > 1)
        return lm_fail_at(LM_E_USAGE, 0, "the message's first byte is %u, not 0 or 1", body.ptr[0]);
    if (bytes != body.len)
        return lm_fail_at(LM_E_USAGE, 1, "the message says that it has %u bytes; it has %zu",
                          length_of(body.ptr + 1), body.len - LM_GRPC_PREFIX_BYTES);
    *out_is_packed = body.ptr[0] == 1;
    *out = (lm_str){body.ptr + LM_GRPC_PREFIX_BYTES, body.len - LM_GRPC_PREFIX_BYTES};
    return LM_OK;
}

lm_err lm_grpc_percent(lm_str text, lm_buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    lm_err err = LM_OK;
    for (size_t i = 0; i < text.len && !err; i++) {
        uint8_t byte = text.ptr[i];
        if (byte >= 0x20 && byte < 0x7F && byte != '%') {
            err = lm_buf_u8(out, byte);
            continue;
        }
        uint8_t three[] = {'%', (uint8_t)hex[byte >> 4], (uint8_t)hex[byte & 15]};
        err = lm_buf_append(out, three, sizeof three);
    }
    return err;
}

/** A field of wire type 2. */
static lm_err put_bytes(lm_buf *out, uint8_t field, lm_str bytes)
{
    lm_err err = lm_buf_u8(out, (uint8_t)(field << 3 | 2));
    if (!err) err = lm_buf_varint(out, bytes.len);
    return err ? err : lm_buf_append(out, bytes.ptr, bytes.len);
}

static lm_err put_number(lm_buf *out, uint8_t field, uint64_t value)
{
    lm_err err = lm_buf_u8(out, (uint8_t)(field << 3));
    return err ? err : lm_buf_varint(out, value);
}

static lm_str str_of(const lm_buf *buf)
{
    return (lm_str){buf->ptr ? buf->ptr : (const uint8_t *)"", buf->len};
}

lm_err lm_grpc_retry_info(uint64_t seconds, lm_buf *out)
{
    lm_buf duration; /* google.protobuf.Duration */
    lm_buf_init(&duration, out->mem);
    lm_err err = put_number(&duration, 1, seconds);
    if (!err) err = put_bytes(out, 1, str_of(&duration)); /* retry_delay */
    lm_buf_fini(&duration);
    return err;
}

lm_err lm_grpc_status(lm_grpc_code code, lm_str text, uint64_t retry_s, lm_buf *out)
{
    lm_buf retry, any; /* google.protobuf.Any */
    lm_buf_init(&retry, out->mem);
    lm_buf_init(&any, out->mem);
    lm_err err = put_number(out, 1, (uint64_t)code);
    if (!err) err = put_bytes(out, 2, text);
    if (!err) err = lm_grpc_retry_info(retry_s, &retry);
    if (!err) err = put_bytes(&any, 1, LM_STR("type.googleapis.com/google.rpc.RetryInfo"));
    if (!err) err = put_bytes(&any, 2, str_of(&retry));
    if (!err) err = put_bytes(out, 3, str_of(&any));
    lm_buf_fini(&retry);
    lm_buf_fini(&any);
    return err;
}

lm_err lm_grpc_base64(lm_str bytes, lm_buf *out)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    lm_err err = LM_OK;
    for (size_t i = 0; i < bytes.len && !err; i += 3) {
        size_t has = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = (uint32_t)bytes.ptr[i] << 16;
        if (has > 1) bits |= (uint32_t)bytes.ptr[i + 1] << 8;
        if (has > 2) bits |= bytes.ptr[i + 2];
        for (size_t k = 0; k <= has && !err; k++)
            err = lm_buf_u8(out, (uint8_t)signs[bits >> (18 - 6 * k) & 63]);
    }
    return err;
}

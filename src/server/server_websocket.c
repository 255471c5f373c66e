/** WebSocket frames (RFC 6455, sections 4.2.2 and 5.2). */
#include "server/server_websocket_priv.h"

#include <gnutls/crypto.h>
#include <sodium.h>

static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

lm_err websocket_accept(const char *key, char out[WEBSOCKET_ACCEPT_BYTES])
{
    uint8_t nonce[16], digest[20];
    char text[24 + sizeof magic];
    size_t len = 0;
    if (strlen(key) != 24 ||
        sodium_base642bin(nonce, sizeof nonce, key, 24, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        len != sizeof nonce)
        return lm_fail(LM_E_USAGE, "Sec-WebSocket-Key is not 16 bytes in base64");
    memcpy(text, key, 24);
    memcpy(text + 24, magic, sizeof magic);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text, 24 + sizeof magic - 1, digest) < 0)
        return lm_fail(LM_E_UNSUPPORTED, "SHA-1 is not available");
    (void)sodium_bin2base64(out, WEBSOCKET_ACCEPT_BYTES, digest, sizeof digest,
                            sodium_base64_VARIANT_ORIGINAL);
    return LM_OK;
}

size_t websocket_head(websocket_opcode opcode, uint64_t len, uint8_t out[10])
{
    size_t bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = bytes == 0 ? (uint8_t)len : bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

lm_err websocket_read(uint8_t *bytes, size_t len, websocket_frame *out, size_t *out_used)
{
    if (len < 2) return lm_fail(LM_E_NOTFOUND, "a frame is not whole");
    uint8_t opcode = bytes[0] & 15;
    bool is_last = bytes[0] & 0x80, is_control = opcode >= 8;
    uint64_t payload = bytes[1] & 0x7f;
    size_t at = 2, extra = payload == 126 ? 2 : payload == 127 ? 8 : 0;
    if (bytes[0] & 0x70) return lm_fail(LM_E_USAGE, "a frame with reserved bits");
    if (opcode > WEBSOCKET_PONG || (opcode > WEBSOCKET_BINARY && opcode < WEBSOCKET_CLOSE))
        return lm_fail(LM_E_USAGE, "a frame of an unknown kind");
    if (!(bytes[1] & 0x80)) return lm_fail(LM_E_USAGE, "a client's frame without a mask");
    if (is_control && (!is_last || extra))
        return lm_fail(LM_E_USAGE, "a control frame that is long or in parts");
    if (len < at + extra) return lm_fail(LM_E_NOTFOUND, "a frame is not whole");
    if (extra) payload = 0;
    for (size_t i = 0; i < extra; i++)
        payload = payload << 8 | bytes[at++];
    if (payload > WEBSOCKET_PAYLOAD_MAX)
        return lm_fail(LM_E_LIMIT, "a frame of more than %u bytes", WEBSOCKET_PAYLOAD_MAX);
    if (len < at + 4 + payload) return lm_fail(LM_E_NOTFOUND, "a frame is not whole");
    const uint8_t *mask = bytes + at;
    uint8_t *body = bytes + at + 4;
    for (size_t i = 0; i < payload; i++)
        body[i] ^= mask[i & 3];
    *out = (websocket_frame){(websocket_opcode)opcode, is_last, {body, (size_t)payload}};
    *out_used = at + 4 + (size_t)payload;
    return LM_OK;
}

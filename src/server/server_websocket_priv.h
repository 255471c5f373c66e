/** The server's side of a WebSocket (RFC 6455): the handshake's answer, frames out, frames in. Pure
 * functions over bytes. */
#ifndef SERVER_WEBSOCKET_PRIV_H
#define SERVER_WEBSOCKET_PRIV_H

#include "base/base.h"

typedef enum websocket_opcode {
    WEBSOCKET_MORE = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
} websocket_opcode;

#define WEBSOCKET_ACCEPT_BYTES 29u    /* base64 of a SHA-1, and a NUL */
#define WEBSOCKET_PAYLOAD_MAX  65536u /* of a client's frame: nothing long is expected */

typedef struct websocket_frame {
    websocket_opcode opcode;
    bool is_last;
    lm_str payload; /* unmasked, in the bytes that were read */
} websocket_frame;

/** Sec-WebSocket-Accept for a Sec-WebSocket-Key. LM_E_USAGE: the key is not 16 bytes in base64. */
LM_USE lm_err websocket_accept(const char *key, char out[WEBSOCKET_ACCEPT_BYTES]);
/** A frame's head, for a payload that follows; its length. */
size_t websocket_head(websocket_opcode opcode, uint64_t len, uint8_t out[10]);
/** The next frame in bytes, whose payload is unmasked in place; *out_used is its length.
 * LM_E_NOTFOUND: more bytes are needed; LM_E_USAGE: the client breaks the protocol; LM_E_LIMIT. */
LM_USE lm_err websocket_read(uint8_t *bytes, size_t len, websocket_frame *out, size_t *out_used);

#endif

/** A client's WebSocket frames, one behind the other. */
#include "server/server_websocket_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[65536];
    if (size > sizeof bytes) return 0;
    memcpy(bytes, data, size);
    for (size_t at = 0; at < size;) {
        websocket_frame frame;
        size_t used = 0;
        if (websocket_read(bytes + at, size - at, &frame, &used)) break;
        LM_ASSERT(used >= 6 && used <= size - at);
        LM_ASSERT(frame.payload.ptr >= bytes &&
                  frame.payload.ptr + frame.payload.len <= bytes + size);
        at += used;
    }
    return 0;
}

/**
 * A gRPC connection of any bytes. The first byte says how calls are answered, and in pieces of
 * which length the rest comes; what goes back is taken, as a socket would.
 */
#include "grpc/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct tally {
    uint8_t way;
    size_t begun, gone;
} tally;

static void told_begin(void *ctx, lm_grpc_call *call)
{
    tally *t = ctx;
    t->begun++;
    lm_grpc_call_set(call, t);
    LM_ASSERT(lm_grpc_call_path(call).len > 0);
    (void)lm_grpc_call_metadata(call, "Authorization");
    if (t->way & 1) lm_grpc_call_refuse(call, LM_GRPC_UNAUTHENTICATED, LM_STR("who are you"), 0);
}

static void told_data(void *ctx, lm_grpc_call *call, lm_str bytes)
{
    tally *t = ctx;
    uint64_t all = 0;
    LM_ASSERT(lm_grpc_call_get(call) == t && !(t->way & 1));
    if (bytes.len && t->way & 2)
        lm_grpc_call_refuse(call, LM_GRPC_RESOURCE_EXHAUSTED, bytes, bytes.ptr[0]);
    if (!lm_grpc_body_bytes(bytes, &all)) LM_ASSERT(all >= LM_GRPC_PREFIX_BYTES);
}

static void told_end(void *ctx, lm_grpc_call *call)
{
    tally *t = ctx;
    LM_ASSERT(lm_grpc_call_get(call) == t);
    if (t->way & 4)
        lm_grpc_call_answer(call, LM_STR("\x0a\x02\x08\x01"));
    else if (t->way & 8)
        lm_grpc_call_reset(call);
}

static void told_gone(void *ctx, lm_grpc_call *call)
{
    tally *t = ctx;
    LM_ASSERT(lm_grpc_call_get(call) == t);
    t->gone++;
}

static void answer_late(void *ctx, lm_grpc_call *call)
{
    (void)ctx;
    lm_grpc_call_answer(call, LM_STR(""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const lm_grpc_hooks hooks = {told_begin, told_data, told_end, told_gone};
    lm_mem *mem = NULL;
    lm_grpc_session *session = NULL;
    lm_buf out;
    if (size == 0) return 0;
    tally t = {.way = data[0]};
    /* a few have too little memory */
    LM_ASSERT(lm_mem_new(NULL, (t.way & 0xC0) == 0xC0 ? 40000 : 32 << 20, &mem) == LM_OK);
    lm_buf_init(&out, mem);
    size_t step = t.way & 16 ? 7 : 65536;
    lm_err err = lm_grpc_session_new(mem, mem, &hooks, &t, &session);
    for (size_t at = 1; at < size && !err; at += step) {
        size_t len = size - at < step ? size - at : step;
        err = lm_grpc_session_feed(session, (lm_str){data + at, len});
        if (!err && t.way & 32) lm_grpc_session_shut(session);
        out.len = 0;
        if (!err) err = lm_grpc_session_take(session, 4096, &out);
    }
    if (session) {
        lm_grpc_session_each(session, answer_late);
        out.len = 0;
        if (!lm_grpc_session_take(session, 65536, &out)) LM_ASSERT(out.len < 1 << 20);
        (void)lm_grpc_session_is_over(session);
        lm_grpc_session_free(session);
    }
    LM_ASSERT(t.begun == t.gone);
    bool is_packed = false;
    lm_str message = LM_STR("");
    if (!lm_grpc_message((lm_str){data, size}, &is_packed, &message))
        LM_ASSERT(message.ptr + message.len == data + size);
    lm_buf_fini(&out);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

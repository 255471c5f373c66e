/**
 * grpc — gRPC over HTTP/2 as a function over bytes: what a client sends in, calls out, and back.
 *
 * Purpose:  unary calls for whoever serves them, without a thread, a socket or a clock.
 * Flow:     bytes --lm_grpc_session_feed--> nghttp2 --> begin, data, end of a call;
 *           lm_grpc_call_answer --> nghttp2 --lm_grpc_session_take--> bytes.
 * Owns:     a session owns its calls; texts of a call live until `gone` was told.
 * Threads:  a session belongs to one thread at a time.
 * Units:    bytes, seconds (of a retry).
 * Limits:   GRPC_STREAMS_MAX, GRPC_METADATA_BYTES_MAX; bodies are whoever's it is that gets them.
 *
 * Invariants
 *   (1) For each call that began `gone` is told once, last; nothing of it is told after.
 *   (2) A call is answered at most once; answering what is over does nothing.
 *   (3) Foreign bytes never crash: what breaks the protocol ends the session (LM_E_USAGE).
 */
#ifndef GRPC_GRPC_H
#define GRPC_GRPC_H

#include "base/base.h"

typedef struct lm_grpc_session lm_grpc_session;
typedef struct lm_grpc_call lm_grpc_call;

/** google.rpc.Code, those that we send. */
typedef enum lm_grpc_code {
    LM_GRPC_OK = 0,
    LM_GRPC_INVALID_ARGUMENT = 3,
    LM_GRPC_DEADLINE_EXCEEDED = 4,
    LM_GRPC_NOT_FOUND = 5,
    LM_GRPC_PERMISSION_DENIED = 7,
    LM_GRPC_RESOURCE_EXHAUSTED = 8,
    LM_GRPC_UNIMPLEMENTED = 12,
    LM_GRPC_INTERNAL = 13,
    LM_GRPC_UNAVAILABLE = 14,
    LM_GRPC_UNAUTHENTICATED = 16
} lm_grpc_code;

/** What a session tells; ctx is the session's. A hook may answer the call it is told of. */
typedef struct lm_grpc_hooks {
    /** The head is there: path and metadata can be asked for. */
    void (*begin)(void *ctx, lm_grpc_call *call);
    /** More of the body (the message with its five bytes in front), in order. */
    void (*data)(void *ctx, lm_grpc_call *call, lm_str bytes);
    /** The body is whole. */
    void (*end)(void *ctx, lm_grpc_call *call);
    /** Answered and sent, or given up by the client, or the session ends. */
    void (*gone)(void *ctx, lm_grpc_call *call);
} lm_grpc_hooks;

/** mem is for the connection, some ten KB; call_mem for calls: when that is short they are refused
 * in words. hooks must outlive the session. LM_E_NOMEM, LM_E_LIMIT. */
LM_USE lm_err lm_grpc_session_new(lm_mem *mem, lm_mem *call_mem, const lm_grpc_hooks *hooks,
                                  void *ctx, lm_grpc_session **out);
void lm_grpc_session_free(lm_grpc_session *session); /* NULL is fine; tells `gone` */
/** Bytes of the client. LM_E_USAGE: this is no HTTP/2, or breaks it: send what there is and close.
 * LM_E_NOMEM, LM_E_LIMIT: close. */
LM_USE lm_err lm_grpc_session_feed(lm_grpc_session *session, lm_str bytes);
/** Appends bytes for the client to out until it holds at least `most` or there are none. */
LM_USE lm_err lm_grpc_session_take(lm_grpc_session *session, size_t most, lm_buf *out);
/** Nothing will come and nothing is to be sent: close. */
bool lm_grpc_session_is_over(const lm_grpc_session *session);
/** Did its first bytes say HTTP/2? */
bool lm_grpc_session_is_greeted(const lm_grpc_session *session);
/** Tell the client to make no more calls here; those under way are answered. */
void lm_grpc_session_shut(lm_grpc_session *session);
size_t lm_grpc_session_calls(const lm_grpc_session *session);
/** Each call that is not gone; told may answer or reset it. */
void lm_grpc_session_each(lm_grpc_session *session, void (*told)(void *ctx, lm_grpc_call *call));

lm_str lm_grpc_call_path(const lm_grpc_call *call); /* "/package.Service/Method" */
/** Value of the first metadata of that name (any case), NUL-terminated; NULL: none. */
const char *lm_grpc_call_metadata(const lm_grpc_call *call, const char *name);
/** Something of the caller's. */
void lm_grpc_call_set(lm_grpc_call *call, void *ctx);
void *lm_grpc_call_get(const lm_grpc_call *call);
/** The message, with status OK. Copies it. When there is no memory the call is reset. */
void lm_grpc_call_answer(lm_grpc_call *call, lm_str message);
/** A status and its text. retry_s: come again then, told as google.rpc.RetryInfo; 0: not at all. */
void lm_grpc_call_refuse(lm_grpc_call *call, lm_grpc_code code, lm_str text, uint64_t retry_s);
/** Gives the call up without an answer. */
void lm_grpc_call_reset(lm_grpc_call *call);

/* ---- messages ---- */

#define LM_GRPC_PREFIX_BYTES 5u

/** The one message of a unary call's body. LM_E_USAGE: not one, or not whole. */
LM_USE lm_err lm_grpc_message(lm_str body, bool *out_is_packed, lm_str *out);
/** Bytes that the body will have, from its first five; fewer: LM_E_NOTFOUND. */
LM_USE lm_err lm_grpc_body_bytes(lm_str begin, uint64_t *out);
/** A text as the trailer grpc-message has it: percent-encoded. Appended. */
LM_USE lm_err lm_grpc_percent(lm_str text, lm_buf *out);
/** google.rpc.RetryInfo of so many seconds. Appended. */
LM_USE lm_err lm_grpc_retry_info(uint64_t seconds, lm_buf *out);
/** google.rpc.Status with a RetryInfo as its detail. Appended. */
LM_USE lm_err lm_grpc_status(lm_grpc_code code, lm_str text, uint64_t retry_s, lm_buf *out);
/** As binary metadata is sent: base64 without padding. Appended. */
LM_USE lm_err lm_grpc_base64(lm_str bytes, lm_buf *out);

#endif

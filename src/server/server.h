/**
 * server — the daemon: listeners, routes, tenants, and the wiring of all rooms behind them.
 *
 * Purpose:  one process that takes logs over HTTP and from sources and answers Loki's API. Flow:
 * request --route, auth--> wire --> store --> 204;   request --> logql --> JSON. Owns:     sockets,
 * worker threads, the store and the sources of a running daemon. Threads:  libmicrohttpd's own for
 * reading and writing; queries on workers of the server; nothing blocks a listener. Units:    as
 * the protocols say. Limits:   SERVER_CONNECTIONS_MAX, ingest.body_size_max, SERVER_QUERIES_MAX,
 * SERVER_TAILS_MAX, SERVER_TENANTS_MAX.
 *
 * Invariants
 *   (1) 2xx for a push means durable (store (1)).
 *   (2) What a client did wrong is told with its reason and a 4xx; what we cannot do now, with 429, 503 or 507.
 *   (3) Nothing but loopback is listened on unless the configuration says so.
 *   (4) A request is answered under the configuration it began with; a reload changes the next one.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/base.h"
#include "control/control.h"

typedef struct lm_server lm_server;

/** As in syslog: 3 error, 4 warning, 6 info, 7 debug. */
typedef void (*lm_server_log_fn)(void *ctx, int level, const char *room, const char *event,
                                 const char *text);

typedef struct lm_server_options {
    const char *config_path;    /* NULL: the defaults */
    const char *const *listens; /* instead of the configuration's listeners; may be none */
    size_t listen_count;
    const char *storage_path; /* instead of storage.path; NULL: as configured */
    lm_server_log_fn log;     /* from any thread; may be NULL */
    void *log_ctx;
} lm_server_options;

/**
 * Opens the store, starts sources and listeners. mem is for what lives as long as the server; what
 * requests and the store take is bounded by memory.max. Texts of options must outlive the server.
 * LM_E_USAGE (configuration, address), LM_E_IO (port or folder in use), LM_E_NOTFOUND (no such
 * configuration).
 */
LM_USE lm_err lm_server_new(lm_mem *mem, const lm_server_options *options, lm_server **out);
/** Read the configuration again. On failure everything is as it was. */
LM_USE lm_err lm_server_reload(lm_server *server);
/** Stop listening, finish what is under way within shutdown.timeout, close the store, free. NULL is
 * fine. */
void lm_server_free(lm_server *server);

/** What the server listens on ("http://127.0.0.1:3100"), listeners first, then sources; NULL behind
 * the last. Valid until the next reload. */
const char *lm_server_address_at(lm_server *server, size_t index);
const char *lm_server_storage(const lm_server *server);

#endif

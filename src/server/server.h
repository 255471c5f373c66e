/**
 * server — the daemon: listeners, routes, tenants, and the wiring of all rooms behind them.
 *
 * Purpose:  one process that takes logs over HTTP and from sources and answers Loki's API. Flow:
 * request --route, auth--> wire --> store --> 204;   request --> logql --> JSON. Owns:     sockets,
 * worker threads, the store and the sources of a running daemon. Threads:  libmicrohttpd's own for
 * reading and writing; queries on workers of the server; nothing blocks a listener. Units:    as
 * the protocols say. Limits:   SERVER_CONNECTIONS_MAX, SERVER_BODY_BYTES_MAX, SERVER_QUERIES_MAX.
 *
 * Invariants
 *   (1) 2xx for a push means durable (store (1)).
 *   (2) What a client did wrong is told with its reason and a 4xx; what we cannot do now, with 429, 503 or 507.
 *   (3) Nothing but loopback is listened on unless the configuration says so.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/base.h"
#include "control/control.h"

#endif

/** What the files of this room share: requests, their answers, the server. */
#ifndef SERVER_PRIV_H
#define SERVER_PRIV_H

#include "logql/logql.h"
#include "record/record.h"
#include "server/server.h"
#include "server/server_json_priv.h"
#include "server/server_param_priv.h"
#include "source/source_tls.h"
#include "store/store.h"
#include "wire/wire.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- routes ---- */

typedef struct server_request server_request;

/** What a route needs, and how it is run. */
enum {
    ROUTE_OPEN = 1u << 0,    /* no user, no token */
    ROUTE_WRITE = 1u << 1,   /* scope write */
    ROUTE_READ = 1u << 2,    /* scope read */
    ROUTE_ADMIN = 1u << 3,   /* scope admin */
    ROUTE_WORK = 1u << 4,    /* runs on a query worker */
    ROUTE_PUSH = 1u << 5,    /* has a body of records; answers itself */
    ROUTE_ELASTIC = 1u << 6, /* answers as Elasticsearch does: its header, its content types */
    ROUTE_LIVE = 1u << 7,    /* answers with a stream of its own */
    ROUTE_TAKE = ROUTE_WRITE | ROUTE_PUSH,
    ROUTE_BULK = ROUTE_WRITE | ROUTE_PUSH | ROUTE_ELASTIC,
    ROUTE_QUERY = ROUTE_READ | ROUTE_WORK,
    ROUTE_PROBE = ROUTE_WRITE | ROUTE_ELASTIC
};

enum {
    METHOD_GET = 1u << 0,
    METHOD_POST = 1u << 1,
    METHOD_PUT = 1u << 2,
    METHOD_HEAD = 1u << 3,
    METHOD_DELETE = 1u << 4,
    METHOD_CALL = 1u << 5, /* of gRPC: only there, and nothing else is there */
    METHOD_ASK = METHOD_GET | METHOD_POST,
    METHOD_LOOK = METHOD_GET | METHOD_HEAD,
    METHOD_SEND = METHOD_POST | METHOD_PUT,
    METHOD_KEEP = METHOD_GET | METHOD_HEAD | METHOD_PUT | METHOD_POST
};

typedef void (*server_handler)(server_request *request);

typedef struct server_route {
    const char *name; /* in metrics */
    uint32_t methods;
    const char *pattern; /* "*" is one segment of a path, "**" the rest */
    uint32_t flags;
    server_handler run;
} server_route;

#define ROUTE_PATH_PARTS 8
/** Any name may be an index of Elasticsearch: that says nothing of a path's other methods. */
#define ROUTE_PATTERN_INDEX "/*"

/** A path without its "?", taken apart at '/', each part percent-decoded; in arena. */
typedef struct server_path {
    lm_str parts[ROUTE_PATH_PARTS];
    size_t count;
} server_path;

LM_USE lm_err server_path_parse(lm_str raw, lm_arena *arena, server_path *out);
/** NULL: none; *out_methods: what the path allows with other methods, 0 if nothing. */
const server_route *server_route_find(const server_path *path, uint32_t method,
                                      uint32_t *out_methods);
size_t server_route_count(void);
const server_route *server_route_at(size_t index);
size_t server_route_index(const server_route *route);

/* ---- metrics ---- */

#define HISTOGRAM_BOUNDS 12
#define STATUS_CLASSES   6

typedef struct server_histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BOUNDS + 1];
    _Atomic uint64_t sum_ns;
} server_histogram;

typedef struct server_route_metrics {
    _Atomic uint64_t requests[STATUS_CLASSES]; /* by the first digit of the status */
    server_histogram seconds;
} server_route_metrics;

typedef struct server_counters {
#define SERVER_COUNTER(name, help) _Atomic uint64_t name;
#define SERVER_GAUGE(name, help)   _Atomic uint64_t name;
#include "server/server_metrics.def"
} server_counters;

void server_histogram_add(server_histogram *histogram, uint64_t ns);

/* ---- tenants ---- */

enum { REFUSED_RATE, REFUSED_STREAMS, REFUSED_STORE, REFUSED_KINDS };

typedef struct server_tenant {
    struct server_tenant *next; /* in the table's chain */
    lm_str name;
    uint64_t hash;
    _Atomic uint64_t records, bytes, queries, refused[REFUSED_KINDS];
    pthread_mutex_t lock; /* of what follows */
    double tokens;        /* bytes that may be pushed now */
    uint64_t filled_ns;   /* when tokens were last filled up; 0: never */
    uint64_t *streams[2]; /* hashes of active streams: of this half hour, of the one before */
    size_t stream_caps[2], stream_counts[2];
    uint64_t turned_ns; /* when the half hour began */
} server_tenant;

#define TENANT_BUCKETS 1024u

typedef struct server_tenants {
    lm_mem *mem;
    pthread_rwlock_t lock; /* of the table; tenants stay until the end */
    server_tenant *chains[TENANT_BUCKETS];
    size_t count;
} server_tenants;

void server_tenants_init(server_tenants *tenants, lm_mem *mem);
void server_tenants_fini(server_tenants *tenants);
/** LM_E_LIMIT: too many tenants. */
LM_USE lm_err server_tenant_get(server_tenants *tenants, lm_str name, server_tenant **out);
/** May this batch go in? LM_E_LIMIT with the reason; *out_retry_s: come back then. */
LM_USE lm_err server_tenant_admit(server_tenant *tenant, lm_mem *mem,
                                  const lm_config_limits *limits, const lm_record_batch *batch,
                                  uint64_t now_ns, uint64_t *out_retry_s);

/** The store's sink, behind one that adds service_name to streams without it. */
lm_sink server_service_sink(lm_server *server);

/* ---- workers ---- */

/** A queue of requests and the threads that work on it. */
typedef struct server_work {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    server_request *first, *last;
    size_t waiting, waiting_max, running;
    bool is_stopping;
    pthread_t *threads;
    size_t thread_count, thread_cap;
    lm_mem *mem;
} server_work;

LM_USE lm_err server_work_start(server_work *work, lm_mem *mem, size_t threads, size_t waiting_max);
/** Runs fn(request) on a worker; LM_E_LIMIT: too many wait. */
LM_USE lm_err server_work_add(server_work *work, server_request *request, server_handler fn);
void server_work_stop(server_work *work); /* runs what waits, then ends */

/* ---- requests ---- */

/** The configuration in force, shared by the requests that began under it. */
typedef struct server_state {
    _Atomic uint32_t refs;
    lm_config *config;
} server_state;

typedef struct server_conn {
    struct server_conn *prev, *next;
    int fd;
    uint64_t quiet_ns;          /* since when it has no request; 0: it has one; under the lock */
    bool is_cut;                /* it made room for others; under the lock */
    bool is_verified;           /* its client's certificate was checked */
    lm_tls_keys *keys;          /* of its session; NULL: none */
    _Atomic uint64_t cut_at_ns; /* closed then, if it is still where it is now; 0: never */
} server_conn;

typedef struct server_listener {
    struct server_listener *next;
    lm_server *server;
    struct MHD_Daemon *daemon;
    lm_config_listen listen; /* texts are copies */
    char *texts;             /* where they are */
    size_t texts_bytes;
    lm_tls *tls;            /* NULL: none */
    lm_tls_keys *next_keys; /* of a reload that may still be refused */
    char url[300];
    pthread_mutex_t lock; /* of conns */
    server_conn *conns;
    size_t conn_count;                /* without those that were cut */
    struct server_grpc *grpc;         /* instead of daemon */
    struct server_listener *replaces; /* of the same address, until it is quiesced; NULL: none */
} server_listener;

/**
 * The way of a request:
 *
 *   BEGIN --head read--> BODY --all read--> WORK (connection asleep) --done--> ANSWER
 *     |                    |                  |--the server stops--> ABORTED (503)
 *     +--refused-----------+-----------------------------------------------> ANSWER
 *
 * From BEGIN a request may also go to WORK to have its password hashed, and then to BODY.
 */
typedef enum request_phase {
    PHASE_BEGIN,
    PHASE_BODY,
    PHASE_WORK,
    PHASE_ANSWER,
    PHASE_ABORTED
} request_phase;

#define ANSWER_HEADERS_MAX 6

typedef enum server_error_form {
    ERRORS_TEXT,
    ERRORS_OTLP_PROTOBUF,
    ERRORS_OTLP_JSON
} server_error_form;

struct server_request {
    lm_server *server;
    server_listener *listener;
    struct MHD_Connection *connection;
    struct server_call *call; /* of gRPC, instead of connection and conn */
    server_state *state;
    server_conn *conn;
    const server_route *route; /* NULL: none fits */
    _Atomic uint32_t refs;
    _Atomic int phase;
    server_request *prev, *next;  /* in the server's list */
    server_request *work_next;    /* in a queue of workers */
    server_handler work_run;      /* what the worker calls */
    uint64_t begin_ns;            /* monotonic */
    uint64_t put_ns;              /* when the store was given a push */
    _Atomic uint64_t deadline_ns; /* of a query; 0: none */
    _Atomic bool is_asking;       /* a query is being answered */
    volatile int cancel;          /* told to a query */
    _Atomic bool is_late;         /* cancelled because of its deadline */
    lm_arena arena;
    uint32_t method;
    lm_str target; /* as sent: path and query */
    server_path path;
    server_form form; /* of the query, and of a form in the body */
    lm_buf body;
    uint64_t body_seen;
    uint64_t body_mark; /* body_seen when it was given its time */
    bool is_checking;   /* in WORK for its password */
    bool is_counted;    /* in the metrics */
    lm_err body_err;    /* why the body was not kept */
    char body_text[200];
    /* who asks */
    lm_str tenant;
    uint32_t scopes;
    server_tenant *account; /* NULL until asked for */
    /* push */
    struct server_push *push;
    server_error_form form_of_errors;
    /* live tail, until its connection is upgraded */
    struct server_tail *tail;
    /* answer */
    unsigned status;
    lm_buf answer;
    const char *type; /* content type; NULL: none */

    struct {
        const char *name, *value;
    } headers[ANSWER_HEADERS_MAX];

    size_t header_count;
    struct MHD_Response *own; /* instead of answer: an upgrade, a stream */
};

/** A request begins; NULL: no memory. close ends it: status is for the metrics, 0: aborted. */
server_request *server_request_open(lm_server *server, server_listener *listener, lm_str target);
void server_request_close(server_request *request, unsigned status);
void server_request_ref(server_request *request);
void server_request_unref(server_request *request);
/** The answer is ready: wakes the connection. From any thread; once for each time it was put to
 * sleep. */
void server_request_done(server_request *request);
const char *server_request_header(const server_request *request, const char *name); /* or NULL */

/* Answers; texts of headers must live as long as the request. */
void server_answer_header(server_request *request, const char *name, const char *value);
/** Status and a text for people, as Loki says it: text/plain. */
void server_answer_text(server_request *request, unsigned status, const char *fmt, ...)
    LM_PRINTF(3, 4);
/** From this thread's last error: status by its code, in the form the route's clients know. */
void server_answer_err(server_request *request, lm_err err);
unsigned server_status_of(lm_err err);
/** JSON into the answer; end it with server_answer_json. */
server_json server_answer_begin(server_request *request);
void server_answer_json(server_request *request, const server_json *json);

/* ---- the server ---- */

struct lm_server {
    lm_mem *mem;      /* of what lives as long as the server */
    lm_mem *data_mem; /* of requests and store: memory.max */
    lm_server_options options;
    char storage_path[LM_PATH_BYTES_MAX];
    int64_t started_ns;
    lm_store *store;
    lm_sink sink;
    lm_store_face face;

    pthread_mutex_t lock; /* of state, requests, listeners, sources, reloading */
    server_state *state;
    server_request *requests; /* all of them */
    server_listener *listeners;
    server_listener *retired; /* gone from the configuration; their last connections go on */
    struct server_source *sources;
    pthread_mutex_t reload_lock; /* one reload at a time */
    _Atomic bool is_stopping, is_ready;

    server_work queries, chores;
    server_work
        waiters; /* pushes that the store has no room for yet; one thread keeps their order */
    server_tenants tenants;
    struct server_tails *tails;
    struct server_auth *auth;
    server_route_metrics *routes; /* by index */
    server_histogram durable;     /* from put to done */
    server_counters counters;
    pthread_t ticker;
    bool has_ticker;
    _Atomic bool is_ticker_over;
};

void server_log(const lm_server *server, int level, const char *event, const char *fmt, ...)
    LM_PRINTF(4, 5);
server_state *server_state_get(lm_server *server);
void server_state_unref(lm_server *server, server_state *state);

/* Listeners: server_http.c. */
/** replaces: an older one of the same address, which listens beside it until it is quiesced; or
 * NULL. */
LM_USE lm_err server_listener_start(lm_server *server, const lm_config_listen *listen,
                                    server_listener *replaces, server_listener **out);
/** Its certificates are read again; they are shown from server_listener_renew on. */
LM_USE lm_err server_listener_prepare(server_listener *listener);
void server_listener_renew(server_listener *listener);
void server_listener_quiesce(server_listener *listener); /* takes no new connections */
void server_listener_free(server_listener *listener);    /* no request may be asleep */
/** Once a second: connections that send a head for too long are cut. */
void server_listener_reap(server_listener *listener, uint64_t now_ns);
/** A connection comes, when too many are open in place of the one that has been quiet for the
 * longest, and goes. Returns the one that made room, whose socket is shut down already; or NULL. */
server_conn *server_conn_enter(server_listener *listener, server_conn *conn);
void server_conn_leave(server_listener *listener, server_conn *conn);
void server_conn_quiet(server_listener *listener, server_conn *conn, uint64_t since_ns);
/** Are more than so many eighths of the memory in use? */
bool server_is_short(const lm_server *server, unsigned eighths);
/** May the body grow? LM_E_LIMIT: it is large, and memory is short. */
LM_USE lm_err server_body_room(const server_request *request);
/** Wake every sleeping request with 503; how many there were. */
size_t server_requests_abort(lm_server *server);
size_t server_requests_asleep(lm_server *server);

#if LM_HAVE_GRPC
/* gRPC: server_grpc.c. */
typedef struct server_grpc server_grpc;
/** Serves fd, and owns it on success. On failure the listener is to be freed. */
LM_USE lm_err server_grpc_start(server_listener *listener, int fd);
void server_grpc_quiesce(server_grpc *door);
int server_grpc_socket(server_grpc *door); /* that listens; -1: none any more */
void server_grpc_free(server_grpc *door);  /* NULL is fine */
void server_grpc_wake(server_request *request);
const char *server_grpc_header(const server_request *request, const char *name);
#endif

/* Who asks: server_auth.c. */
LM_USE lm_err server_auth_new(lm_server *server, struct server_auth **out);
void server_auth_free(lm_server *server, struct server_auth *auth);
void server_auth_reset(
    struct server_auth *auth); /* forget who was known: the configuration is new */

typedef enum auth_result { AUTH_YES, AUTH_NO, AUTH_FORBIDDEN, AUTH_SLOW } auth_result;

/** Sets tenant and scopes. AUTH_SLOW: a password must be hashed: call server_auth_check_slow on a
 * worker. AUTH_NO and AUTH_FORBIDDEN: the answer is made. */
auth_result server_auth_check(server_request *request);
auth_result server_auth_check_slow(server_request *request);
/** Takes "Basic ..." or "Bearer ..." apart; texts in arena. false: it is neither. */
bool server_auth_parse(lm_str header, lm_arena *arena, bool *out_is_basic, lm_str *out_name,
                       lm_str *out_secret);

/* Push: server_push.c. */
void server_push_fini(server_request *request);
/** Stop of a tenant's account; makes it. LM_E_LIMIT. */
LM_USE lm_err server_request_account(server_request *request);

/** Why records cannot be taken just now; NULL: they can. */
const char *server_trouble(lm_server *server, const lm_config *config);

/* Tails: server_tail.c. */
LM_USE lm_err server_tails_new(lm_server *server, struct server_tails **out);
/** Ends all of them and waits. */
void server_tails_stop(struct server_tails *tails);
void server_tails_free(lm_server *server, struct server_tails *tails);
/** A tail whose connection ended before it began. NULL is fine. */
void server_tail_abandon(struct server_tail *tail);

/* Queries: server_query.c; what others need of it. */
/** A worker's part of a request with ROUTE_WORK: time limit, handler, waking. */
void server_query_run(server_request *request);
/** The `{...}` a query begins with; the whole text if there is none. */
lm_str server_selector_of(lm_str query);
/** The texts of templates that a query asks for by id, looked up in the records it will see. */
LM_USE lm_err server_templates_tell(lm_server *server, lm_str tenant, lm_logql *query,
                                    int64_t start, int64_t end, lm_arena *arena);
/** JSON of an answer's envelope: {"status":"success","data": */
void server_json_success(server_json *json);
/** A log query over a time range, newest first: entries for looking into. */
LM_USE lm_err server_entries(server_request *request, lm_str query, int64_t start, int64_t end,
                             uint32_t limit, lm_logql_result *out);
/** `[start, end)` of a request. LM_E_USAGE in Loki's words. */
LM_USE lm_err server_bounds(const server_request *request, int64_t since_ns, int64_t *out_start,
                            int64_t *out_end);
/** Does the client ask for structured metadata and parsed labels apart from a stream's? */
bool server_wants_categories(const server_request *request);
/** ["time", "line"], and what is not of the stream if asked. */
void server_json_entry(server_json *json, const lm_logql_entry *entry, bool is_categorized);
/** The labels that an entry's stream was pushed with: those that are neither metadata nor parsed.
 */
LM_USE lm_err server_labels_base(lm_labels all, const lm_logql_entry *entry, lm_arena *arena,
                                 lm_labels *out);
/** Labels that outlive those they are copied from. */
LM_USE lm_err server_labels_copy(lm_labels labels, lm_arena *arena, lm_labels *out);
/** The query's selector as lm_select of the request's tenant; empty text: everything. */
LM_USE lm_err server_select_strictly(server_request *request, lm_str query, int64_t start,
                                     int64_t end, lm_select *out);
LM_USE lm_err server_select(server_request *request, lm_str query, int64_t start, int64_t end,
                            lm_select *out);
void server_json_labels(server_json *json, lm_labels labels);

/** A set of texts; lives in an arena, borrows the texts. */
typedef struct server_texts {
    lm_arena *arena;
    lm_str *items; /* in the order they came; server_texts_sort sorts */
    uint64_t *counts;
    uint32_t *table; /* index + 1 */
    size_t count, cap;
} server_texts;

/** Adds a text if it is new; its index. keep: copy the text into the arena first. */
LM_USE lm_err server_texts_add(server_texts *texts, lm_str text, bool keep, size_t *out_index);
bool server_texts_has(const server_texts *texts, lm_str text);
void server_texts_sort(server_texts *texts); /* bytewise; indices given out are void */

/* Sources: server_source.c. */
LM_USE lm_err server_sources_apply(lm_server *server, const lm_config *config);
void server_sources_stop(lm_server *server, uint64_t drain_ns);
/** Told for each source, under the server's lock. */
void server_sources_each(lm_server *server,
                         void (*told)(void *ctx, const char *name, const lm_source_counters *now),
                         void *ctx);

/** Name of a running source; NULL behind the last. */
const char *server_source_name_at(lm_server *server, size_t index);

/* Handlers, one for each row of server_routes.def. */
#define SERVER_ROUTE(name, methods, pattern, flags, run) void run(server_request *request);
#include "server/server_routes.def"
#undef SERVER_ROUTE

#endif

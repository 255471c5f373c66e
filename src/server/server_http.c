/**
 * HTTP: listeners of libmicrohttpd and the way of a request through them (request_phase in
 * server_priv.h). A listener's threads read, decode small pushes and write; whatever may wait (the
 * store's sync, queries, passwords) happens while the connection is asleep.
 *
 * Two threads may want to wake a sleeping request: whoever works on it, and the server when it
 * stops. The phase decides: only the one that takes it out of WORK wakes the connection; the other
 * only drops its reference.
 */
#include "server/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define HEAD_SECONDS_MAX                                                                           \
    100u /* between two requests of a connection, the second's head included                       \
          */
#define BODY_SECONDS        30u /* a body may take this long for each */
#define BODY_STEP_BYTES     65536u
#define BODY_AHEAD_BYTES    (4u << 20) /* room made for a body that has not yet come */
#define BODY_SMALL_BYTES    (1u << 18) /* larger ones give way when memory is short, */
#define BODY_TINY_BYTES     (1u << 14) /* and these when it is very short */
#define ANSWER_SECONDS_FREE 60u        /* and an answer this long; */
#define ANSWER_RATE_MIN     16384u     /* beyond, it must go at this many bytes a second */
#define IDLE_SECONDS_MAX    75u
#define PASSED_OVER_MAX     8u          /* connections that would make room, but have spoken */
#define POOL_BYTES          65536u      /* of a connection: head and read buffer */
#define DISCARD_MAX         (64u << 20) /* of a body that is too large and of no known length */
#define DECODE_HERE_MAX     (1u << 20)  /* larger bodies are decoded by a worker */
#define REFUSED_BODY_MAX    65536u
#define LISTEN_BACKLOG      1024

/* ---- requests ---- */

void server_request_ref(server_request *request)
{
    atomic_fetch_add(&request->refs, 1);
}

void server_request_unref(server_request *request)
{
    if (atomic_fetch_sub(&request->refs, 1) != 1) return;
    lm_server *server = request->server;
    server_push_fini(request);
    server_tail_abandon(request->tail);
    lm_buf_fini(&request->answer);
    lm_buf_fini(&request->body);
    lm_arena_fini(&request->arena);
    if (request->state) server_state_unref(server, request->state);
    lm_mem_release(server->data_mem, request, sizeof *request);
}

static void wake(server_request *request)
{
#if LM_HAVE_GRPC
    if (request->call) {
        server_grpc_wake(request);
        return;
    }
#endif
    MHD_resume_connection(request->connection);
}

void server_request_done(server_request *request)
{
    int expected = PHASE_WORK;
    if (atomic_compare_exchange_strong(&request->phase, &expected, PHASE_ANSWER)) wake(request);
    server_request_unref(request);
}

/** Put the connection to sleep; the reference is for whoever wakes it. */
static void fall_asleep(server_request *request)
{
    server_request_ref(request);
    atomic_store(&request->conn->cut_at_ns, 0);
    MHD_suspend_connection(request->connection);
    atomic_store(&request->phase, PHASE_WORK);
}

const char *server_request_header(const server_request *request, const char *name)
{
#if LM_HAVE_GRPC
    if (request->call) return server_grpc_header(request, name);
#endif
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

size_t server_requests_asleep(lm_server *server)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&server->lock);
    for (server_request *r = server->requests; r; r = r->next)
        count += atomic_load(&r->phase) == PHASE_WORK;
    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

size_t server_requests_abort(lm_server *server)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&server->lock);
    for (server_request *r = server->requests; r; r = r->next) {
        int expected = PHASE_WORK;
        r->cancel = 1;
        if (!atomic_compare_exchange_strong(&r->phase, &expected, PHASE_ABORTED)) continue;
        wake(r);
        count++;
    }
    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

/* ---- answers ---- */

void server_answer_header(server_request *request, const char *name, const char *value)
{
    LM_ASSERT(request->header_count < ANSWER_HEADERS_MAX);
    request->headers[request->header_count].name = name;
    request->headers[request->header_count++].value = value;
}

void server_answer_text(server_request *request, unsigned status, const char *fmt, ...)
{
    char text[800];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text - 1, fmt, args); /* cut when too long: words */
    va_end(args);
    request->status = status;
    request->type = "text/plain; charset=utf-8";
    request->answer.len = 0;
    size_t len = strlen(text);
    text[len++] = '\n';
    if (lm_buf_append(&request->answer, text, len))
        request->answer.len = 0; /* the status says it */
}

unsigned server_status_of(lm_err err)
{
    switch (err) {
    case LM_OK:
        return MHD_HTTP_OK;
    case LM_E_USAGE:
    case LM_E_CORRUPT:
        return MHD_HTTP_BAD_REQUEST;
    case LM_E_UNSUPPORTED:
        return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    case LM_E_NOTFOUND:
        return MHD_HTTP_NOT_FOUND;
    case LM_E_LIMIT:
        return MHD_HTTP_TOO_MANY_REQUESTS;
    case LM_E_NOMEM:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case LM_E_CANCELLED:
        return MHD_HTTP_GATEWAY_TIMEOUT;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

void server_answer_err(server_request *request, lm_err err)
{
    unsigned status = server_status_of(err);
    char text[sizeof((lm_err_info *)0)->text];
    (void)snprintf(text, sizeof text, "%s", lm_err_text());
    if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
        server_answer_header(request, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (!request->route || !(request->route->flags & ROUTE_ELASTIC)) {
        server_answer_text(request, status, "%s", text);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "error");
    server_json_open(&json, '{');
    server_json_key(&json, "type");
    server_json_z(&json, status == MHD_HTTP_TOO_MANY_REQUESTS ? "es_rejected_execution_exception"
                         : status < 500                       ? "parse_exception"
                                                              : "exception");
    server_json_key(&json, "reason");
    server_json_z(&json, text);
    server_json_close(&json, '}');
    server_json_key(&json, "status");
    server_json_u64(&json, status);
    server_json_close(&json, '}');
    server_answer_json(request, &json);
    request->status = status;
}

server_json server_answer_begin(server_request *request)
{
    request->answer.len = 0;
    return (server_json){.out = &request->answer};
}

void server_answer_json(server_request *request, const server_json *json)
{
    if (json->err) {
        request->answer.len = 0;
        server_answer_text(request, server_status_of(json->err), "%s", lm_err_text());
        return;
    }
    request->status = MHD_HTTP_OK;
    request->type = "application/json; charset=UTF-8";
}

/** Clients of Elasticsearch ask for its own media type and want that one back. */
static const char *elastic_type(server_request *request)
{
    const char *accept = server_request_header(request, MHD_HTTP_HEADER_ACCEPT);
    const char *own = accept ? strstr(accept, "application/vnd.elasticsearch+json") : NULL;
    if (!own) return "application/json";
    size_t len = strcspn(own, ",\r\n");
    if (len > 100) return "application/json";
    const char *copy = lm_arena_copy(&request->arena, own, len);
    return copy ? copy : "application/json";
}

static void answer_free(void *ctx)
{
    server_request_unref(ctx);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value); /* fails only without memory */
}

/** What OWASP's list of secure headers asks of an API that serves no page. */
static void add_safe_headers(struct MHD_Response *response, const server_request *request)
{
    add_header(response, "X-Content-Type-Options", "nosniff");
    if (request->status == MHD_HTTP_NO_CONTENT) return;
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    add_header(response, "Referrer-Policy", "no-referrer");
    if (request->listener->listen.tls.certificate[0])
        add_header(response, "Strict-Transport-Security", "max-age=31536000");
}

/** Without memory of our own: the client at least learns that it should come again. */
static enum MHD_Result refuse_unheard(struct MHD_Connection *connection)
{
    static const char text[] = "memory limit reached\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(
        sizeof text - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_TOO_MANY_REQUESTS, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result queue_answer(server_request *request)
{
    struct MHD_Response *response = request->own;
    uint64_t seconds = ANSWER_SECONDS_FREE + request->answer.len / ANSWER_RATE_MIN;
    atomic_store(&request->conn->cut_at_ns, lm_clock_ns() + seconds * NS_PER_S);
    if (response) {
        atomic_store(&request->conn->cut_at_ns, 0);
        request->own = NULL;
    } else {
        if (!request->answer.len && request->status == MHD_HTTP_TOO_MANY_REQUESTS)
            return refuse_unheard(request->connection); /* no memory even to say so */
        server_request_ref(request);                    /* the answer's bytes are the request's */
        response = MHD_create_response_from_buffer_with_free_callback_cls(
            request->answer.len, request->answer.ptr ? (void *)request->answer.ptr : "",
            answer_free, request);
        if (!response) {
            server_request_unref(request);
            return MHD_NO;
        }
        bool is_elastic = request->route && request->route->flags & ROUTE_ELASTIC;
        if (is_elastic) add_header(response, "X-Elastic-Product", "Elasticsearch");
        if (request->type)
            add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                       is_elastic && strstr(request->type, "json") ? elastic_type(request)
                                                                   : request->type);
        add_safe_headers(response, request);
    }
    for (size_t i = 0; i < request->header_count; i++)
        add_header(response, request->headers[i].name, request->headers[i].value);
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result queue_abort(server_request *request)
{
    static const char text[] = "the server is stopping\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(
        sizeof text - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the way of a request ---- */

void server_conn_quiet(server_listener *listener, server_conn *conn, uint64_t since_ns)
{
    (void)pthread_mutex_lock(&listener->lock);
    conn->quiet_ns = since_ns;
    (void)pthread_mutex_unlock(&listener->lock);
}

static uint32_t method_of(const char *name)
{
    return strcmp(name, "GET") == 0      ? METHOD_GET
           : strcmp(name, "POST") == 0   ? METHOD_POST
           : strcmp(name, "PUT") == 0    ? METHOD_PUT
           : strcmp(name, "HEAD") == 0   ? METHOD_HEAD
           : strcmp(name, "DELETE") == 0 ? METHOD_DELETE
                                         : 0;
}

/** A client's certificate is asked for by the handshake, but only checked here. */
static bool is_client_verified(server_request *request)
{
    if (!request->listener->listen.tls.client_ca[0] || request->conn->is_verified) return true;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned status = 0;
    if (!info || !info->tls_session ||
        gnutls_certificate_verify_peers2(info->tls_session, &status) < 0 || status)
        return false;
    request->conn->is_verified = true;
    return true;
}

/** Path, parameters and route of a request's first line. */
static void read_target(server_request *request)
{
    uint32_t methods = 0;
    lm_err err = server_path_parse(request->target, &request->arena, &request->path);
    size_t question = lm_str_find(request->target, LM_STR("?"));
    if (!err && question != SIZE_MAX) {
        lm_str query = {request->target.ptr + question + 1, request->target.len - question - 1};
        err = server_form_parse(query, &request->arena, &request->form);
    }
    if (err) {
        server_answer_err(request, err == LM_E_LIMIT ? LM_E_USAGE : err);
        return;
    }
    request->route = server_route_find(&request->path, request->method, &methods);
    if (request->route) return;
    if (!methods) {
        server_answer_text(request, MHD_HTTP_NOT_FOUND, "404 page not found");
        return;
    }
    server_answer_header(request, MHD_HTTP_HEADER_ALLOW,
                         methods & METHOD_GET && methods & METHOD_POST ? "GET, POST"
                         : methods & METHOD_GET                        ? "GET"
                         : methods & METHOD_PUT                        ? "POST, PUT"
                                                                       : "POST");
    server_answer_text(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed");
}

static uint64_t body_max(const server_request *request)
{
    return request->route->flags & ROUTE_PUSH ? request->state->config->ingest_body_size_max
                                              : LM_SERVER_FORM_BYTES_MAX;
}

static void too_large(server_request *request)
{
    server_answer_text(request, MHD_HTTP_CONTENT_TOO_LARGE,
                       "request body too large: at most %" PRIu64 " bytes are taken",
                       body_max(request));
}

bool server_is_short(const lm_server *server, unsigned eighths)
{
    const lm_mem *mem = server->data_mem;
    return lm_mem_used(mem) > lm_mem_limit(mem) / 8 * eighths;
}

lm_err server_body_room(const server_request *request)
{
    bool waits = (request->body.len > BODY_SMALL_BYTES && server_is_short(request->server, 5)) ||
                 (request->body.len > BODY_TINY_BYTES && server_is_short(request->server, 7));
    return waits ? lm_fail(LM_E_LIMIT, "memory is short: large bodies wait") : LM_OK;
}

/** May the body come? Else the answer is made. */
static void check_length(server_request *request)
{
    const char *length = server_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!length) return;
    uint64_t bytes = strtoull(length, NULL, 10);
    if (bytes > body_max(request)) {
        too_large(request);
        return;
    }
    uint64_t ahead = server_is_short(request->server, 2) ? BODY_TINY_BYTES : BODY_AHEAD_BYTES;
    lm_err err = lm_buf_reserve(&request->body, bytes < ahead ? bytes : ahead);
    if (err) server_answer_err(request, err);
}

static void check_password(server_request *request)
{
    (void)server_auth_check_slow(request); /* a refusal has made the answer */
    server_request_done(request);
}

/** A refusal waits for a small body to be read: the connection then serves the next request, and a
 * client that sends first and reads later sees why. */
static bool may_wait(const server_request *request)
{
    const char *length = server_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (server_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING)) return false;
    if (server_request_header(request, MHD_HTTP_HEADER_EXPECT)) return false; /* it has sent none */
    return !length || strtoull(length, NULL, 10) <= REFUSED_BODY_MAX;
}

static enum MHD_Result enter_body(server_request *request)
{
    if (!request->status) check_length(request);
    if (request->status && !may_wait(request)) return queue_answer(request);
    atomic_store(&request->phase, PHASE_BODY);
    atomic_store(&request->conn->cut_at_ns, lm_clock_ns() + BODY_SECONDS * NS_PER_S);
    return MHD_YES;
}

static enum MHD_Result begin(server_request *request)
{
    lm_server *server = request->server;
    request->state = server_state_get(server);
    read_target(request);
    if (!request->status && !is_client_verified(request))
        server_answer_text(request, MHD_HTTP_FORBIDDEN, "a client certificate is needed");
    if (!request->status && server->is_stopping)
        server_answer_text(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    if (!request->status && server_auth_check(request) == AUTH_SLOW) {
        request->is_checking = true;
        fall_asleep(request);
        lm_err err = server_work_add(&server->chores, request, check_password);
        if (err) {
            server_answer_err(request, err);
            server_request_done(request);
        }
        return MHD_YES;
    }
    return enter_body(request);
}

static enum MHD_Result take_body(server_request *request, const char *bytes, size_t *io_len)
{
    size_t len = *io_len;
    *io_len = 0;
    if (request->status) return MHD_YES; /* refused already */
    uint64_t max = body_max(request);
    request->body_seen += len;
    if (request->body_seen - request->body_mark >= BODY_STEP_BYTES) {
        request->body_mark = request->body_seen;
        atomic_store(&request->conn->cut_at_ns, lm_clock_ns() + BODY_SECONDS * NS_PER_S);
    }
    if (request->body_seen > max) {
        request->body.len = 0;
        return request->body_seen > max + DISCARD_MAX ? MHD_NO : MHD_YES;
    }
    if (request->body_err) return MHD_YES;
    request->body_err = server_body_room(request);
    if (!request->body_err) request->body_err = lm_buf_append(&request->body, bytes, len);
    if (request->body_err) {
        (void)snprintf(request->body_text, sizeof request->body_text, "%s", lm_err_text());
        lm_buf_fini(&request->body); /* others need it more */
    }
    return MHD_YES;
}

/** A form in the body is like one in the address; what the address says comes first. */
static lm_err read_form(server_request *request)
{
    const char *type = server_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (request->route->flags & ROUTE_PUSH || !request->body.len || !type) return LM_OK;
    if (strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0) return LM_OK;
    return server_form_parse((lm_str){request->body.ptr, request->body.len}, &request->arena,
                             &request->form);
}

static enum MHD_Result run(server_request *request)
{
    lm_server *server = request->server;
    if (request->status) return queue_answer(request); /* refused before its body */
    atomic_fetch_add_explicit(&server->counters.body_bytes, request->body_seen,
                              memory_order_relaxed);
    if (request->body_seen > body_max(request)) {
        too_large(request);
        return queue_answer(request);
    }
    if (request->body_err) {
        (void)lm_fail(request->body_err, "%s", request->body_text);
        server_answer_err(request, request->body_err);
        return queue_answer(request);
    }
    lm_err err = read_form(request);
    if (err) {
        server_answer_err(request, LM_E_USAGE);
        return queue_answer(request);
    }
    uint32_t flags = request->route->flags;
    if (flags & ROUTE_WORK || (flags & ROUTE_PUSH && request->body.len > DECODE_HERE_MAX)) {
        fall_asleep(request);
        err = flags & ROUTE_WORK ? server_work_add(&server->queries, request, server_query_run)
                                 : server_work_add(&server->chores, request, request->route->run);
        if (err) {
            server_answer_err(request, err);
            server_request_done(request);
        }
        return MHD_YES;
    }
    if (flags & ROUTE_PUSH) {
        fall_asleep(request);
        request->route->run(request);
        return MHD_YES;
    }
    request->route->run(request);
    atomic_store(&request->phase, PHASE_ANSWER);
    return queue_answer(request);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *io_upload_len, void **io_request)
{
    (void)ctx;
    (void)url;
    (void)version;
    server_request *request = *io_request;
    if (!request) return refuse_unheard(connection); /* there was no memory for one */
    if (!request->connection) {
        request->connection = connection;
        request->method = method_of(method);
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        request->conn = info ? info->socket_context : NULL;
        if (!request->conn) return MHD_NO;
        server_conn_quiet(request->listener, request->conn, 0);
        atomic_store(&request->conn->cut_at_ns, 0);
    }
    switch ((request_phase)atomic_load(&request->phase)) {
    case PHASE_BEGIN:
        return begin(request);
    case PHASE_BODY:
        return *io_upload_len ? take_body(request, upload, io_upload_len) : run(request);
    case PHASE_ANSWER:
        if (request->is_checking) {
            request->is_checking = false;
            return enter_body(request);
        }
        return queue_answer(request);
    case PHASE_ABORTED:
        return queue_abort(request);
    case PHASE_WORK:
        break;
    }
    return MHD_YES; /* asleep */
}

server_request *server_request_open(lm_server *server, server_listener *listener, lm_str target)
{
    server_request *request = lm_mem_calloc(server->data_mem, 1, sizeof *request);
    if (!request) return NULL;
    request->server = server;
    request->listener = listener;
    atomic_store(&request->refs, 1);
    request->begin_ns = lm_clock_ns();
    lm_arena_init(&request->arena, server->data_mem);
    lm_buf_init(&request->body, server->data_mem);
    lm_buf_init(&request->answer, server->data_mem);
    request->target = (lm_str){lm_arena_copy(&request->arena, target.ptr, target.len), target.len};
    if (!request->target.ptr) {
        server_request_unref(request);
        return NULL;
    }
    (void)pthread_mutex_lock(&server->lock);
    request->next = server->requests;
    if (server->requests) server->requests->prev = request;
    server->requests = request;
    (void)pthread_mutex_unlock(&server->lock);
    atomic_fetch_add_explicit(&server->counters.requests, 1, memory_order_relaxed);
    return request;
}

void server_request_close(server_request *request, unsigned status)
{
    lm_server *server = request->server;
    if (request->route) {
        server_route_metrics *metrics = &server->routes[server_route_index(request->route)];
        unsigned class = status / 100 < STATUS_CLASSES ? status / 100 : 0;
        atomic_fetch_add_explicit(&metrics->requests[class], 1, memory_order_relaxed);
        if (!(request->route->flags & ROUTE_LIVE))
            server_histogram_add(&metrics->seconds, lm_clock_ns() - request->begin_ns);
    }
    (void)pthread_mutex_lock(&server->lock);
    if (request->prev)
        request->prev->next = request->next;
    else
        server->requests = request->next;
    if (request->next) request->next->prev = request->prev;
    (void)pthread_mutex_unlock(&server->lock);
    atomic_fetch_sub_explicit(&server->counters.requests, 1, memory_order_relaxed);
    if (request->own) MHD_destroy_response(request->own);
    request->own = NULL;
    server_request_unref(request);
}

/** A request begins with its first line; NULL: no memory. */
static void *request_new(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    server_listener *listener = ctx;
    (void)connection;
    return server_request_open(listener->server, listener, lm_str_of(uri));
}

static void request_end(void *ctx, struct MHD_Connection *connection, void **io_request,
                        enum MHD_RequestTerminationCode code)
{
    (void)ctx;
    (void)connection;
    (void)code;
    server_request *request = *io_request;
    *io_request = NULL;
    if (!request) return;
    if (request->conn) {
        uint64_t now_ns = lm_clock_ns();
        server_conn_quiet(request->listener, request->conn, now_ns);
        atomic_store(&request->conn->cut_at_ns, now_ns + HEAD_SECONDS_MAX * NS_PER_S);
    }
    server_request_close(request, request->status);
}

/* ---- connections ---- */

static server_conn *longest_quiet(const server_listener *listener)
{
    server_conn *longest = NULL;
    for (server_conn *conn = listener->conns; conn; conn = conn->next) {
        if (conn->quiet_ns && conn->fd >= 0 && !conn->is_cut &&
            (!longest || conn->quiet_ns < longest->quiet_ns))
            longest = conn;
    }
    return longest;
}

/** Has its client sent what its thread has not come to read yet? */
static bool has_said_more(const server_conn *conn)
{
    int bytes = 0;
    return ioctl(conn->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/** Too many are open: the one that has said nothing for the longest makes room, so that nobody can
 * keep others out by connecting and leaving it at that. Whose request waits to be read is not
 * quiet, only we are late; some of these are passed over, not all: it may be a trick. The lock is
 * held. */
static server_conn *make_room(server_listener *listener)
{
    if (listener->conn_count <= LM_SERVER_CONNECTIONS_MAX) return NULL;
    server_conn *longest = longest_quiet(listener);
    for (unsigned i = 0; i < PASSED_OVER_MAX && longest && has_said_more(longest); i++) {
        longest->quiet_ns = lm_clock_ns();
        longest = longest_quiet(listener);
    }
    if (!longest) return NULL;
    longest->is_cut = true;
    listener->conn_count--;
    (void)shutdown(longest->fd, SHUT_RDWR); /* its thread sees the end and closes it */
    atomic_fetch_add_explicit(&listener->server->counters.connections_cut, 1, memory_order_relaxed);
    return longest;
}

server_conn *server_conn_enter(server_listener *listener, server_conn *conn)
{
    (void)pthread_mutex_lock(&listener->lock);
    conn->next = listener->conns;
    if (conn->next) conn->next->prev = conn;
    listener->conns = conn;
    listener->conn_count++;
    server_conn *gone = make_room(listener);
    (void)pthread_mutex_unlock(&listener->lock);
    atomic_fetch_add_explicit(&listener->server->counters.connections, 1, memory_order_relaxed);
    return gone;
}

void server_conn_leave(server_listener *listener, server_conn *conn)
{
    (void)pthread_mutex_lock(&listener->lock);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        listener->conns = conn->next;
    if (conn->next) conn->next->prev = conn->prev;
    if (!conn->is_cut) listener->conn_count--;
    (void)pthread_mutex_unlock(&listener->lock);
    atomic_fetch_sub_explicit(&listener->server->counters.connections, 1, memory_order_relaxed);
}

/** The library's session gets the keys of now, before its handshake begins: so a renewed
 * certificate needs no new listener. */
static bool lend_keys(server_listener *listener, struct MHD_Connection *connection,
                      server_conn *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    lm_err err = info && info->tls_session
                     ? lm_tls_lend(listener->tls, info->tls_session, &conn->keys)
                     : lm_fail(LM_E_NOMEM, "a connection has no TLS session");
    return err == LM_OK;
}

static void conn_changed(void *ctx, struct MHD_Connection *connection, void **io_conn,
                         enum MHD_ConnectionNotificationCode code)
{
    server_listener *listener = ctx;
    lm_server *server = listener->server;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        server_conn *conn = lm_mem_calloc(server->mem, 1, sizeof *conn);
        *io_conn = conn;
        if (!conn) return; /* its requests are refused */
        conn->fd = info ? info->connect_fd : -1;
        if (listener->tls && !lend_keys(listener, connection, conn))
            server_log(server, 4, "tls", "%s", lm_err_text()); /* its handshake fails */
        conn->quiet_ns = lm_clock_ns();
        atomic_store(&conn->cut_at_ns, conn->quiet_ns + HEAD_SECONDS_MAX * NS_PER_S);
        (void)server_conn_enter(listener, conn); /* the thread of whoever makes room closes it */
        return;
    }
    server_conn *conn = *io_conn;
    *io_conn = NULL;
    if (!conn) return;
    server_conn_leave(listener, conn);
    lm_tls_keys_unref(conn->keys);
    lm_mem_release(server->mem, conn, sizeof *conn);
}

void server_listener_reap(server_listener *listener, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&listener->lock);
    for (server_conn *conn = listener->conns; conn; conn = conn->next) {
        uint64_t cut_at = atomic_load(&conn->cut_at_ns);
        if (!cut_at || now_ns < cut_at || conn->fd < 0) continue;
        atomic_store(&conn->cut_at_ns, 0);
        (void)shutdown(conn->fd, SHUT_RDWR); /* its thread sees the end and closes it */
        atomic_fetch_add_explicit(&listener->server->counters.connections_cut, 1,
                                  memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&listener->lock);
}

/* ---- listeners ---- */

static int try_listen(const struct addrinfo *at)
{
    int one = 1, zero = 0;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* bind tells */
    if (at->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero); /* IPv6 alone then */
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0) return fd;
    int code = errno;
    (void)close(fd);
    errno = code;
    return -1;
}

/** A bound socket; IPv4 first for names that have both. */
static lm_err open_socket(const char *address, int *out_fd)
{
    char host[256], service[8];
    uint16_t port;
    struct addrinfo wish = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    lm_err err = lm_address_split(address, host, &port);
    if (err) return err;
    (void)snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host[0] ? host : NULL, service, &wish, &found);
    if (code) return lm_fail(LM_E_USAGE, "cannot listen on '%s': %s", address, gai_strerror(code));
    int fd = -1;
    int first = host[0] ? AF_INET : AF_INET6;
    for (unsigned pass = 0; pass < 2 && fd < 0; pass++) {
        for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
            if ((at->ai_family == first) == (pass == 0)) fd = try_listen(at);
        }
    }
    freeaddrinfo(found);
    if (fd < 0) return lm_fail_errno("cannot listen on '%s'", address);
    *out_fd = fd;
    return LM_OK;
}

/** "http://127.0.0.1:3100": what the socket got, since port 0 is any. */
static void name_url(server_listener *listener, int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char host[200] = "", port[16] = "";
    if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&at, len, host, sizeof host, port, sizeof port,
                          NI_NUMERICHOST | NI_NUMERICSERV); /* texts stay empty otherwise */
    bool is_six = strchr(host, ':') != NULL, is_secure = listener->listen.tls.certificate[0];
    const char *scheme = listener->listen.door == LM_DOOR_OTLP_GRPC ? is_secure ? "grpcs" : "grpc"
                         : is_secure                                ? "https"
                                                                    : "http";
    (void)snprintf(listener->url, sizeof listener->url, "%s://%s%s%s:%s", scheme, is_six ? "[" : "",
                   host, is_six ? "]" : "", port);
}

static LM_PRINTF(2, 0) void told_by_library(void *ctx, const char *fmt, va_list args)
{
    char text[300];
    (void)vsnprintf(text, sizeof text, fmt, args);
    size_t len = strlen(text);
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        text[--len] = '\0';
    server_log(ctx, 7, "http", "%s", text);
}

/** Asked for a certificate where conn_changed could give the session none: there is none then. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **out, unsigned *out_count, gnutls_privkey_t *out_key)
{
    (void)session, (void)authorities, (void)count, (void)algorithms, (void)algorithm_count;
    (void)out, (void)out_count, (void)out_key;
    return -1;
}

static unsigned thread_count(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 2 ? 2 : cpus > 16 ? 16 : (unsigned)cpus;
}

static lm_err start_daemon(server_listener *listener, int fd)
{
    struct MHD_OptionItem secure[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)no_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)LM_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    bool is_secure = listener->tls != NULL;
    /* A thread at its share of the limit would stop accepting; make_room keeps below it. */
    unsigned threads = thread_count();
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
                     MHD_USE_ERROR_LOG | (is_secure ? MHD_USE_TLS : 0);
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, listener, MHD_OPTION_EXTERNAL_LOGGER, told_by_library,
        listener->server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, threads,
        MHD_OPTION_CONNECTION_LIMIT, threads * 2 * (unsigned)LM_SERVER_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_URI_LOG_CALLBACK, request_new, listener,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, listener, MHD_OPTION_NOTIFY_CONNECTION,
        conn_changed, listener, MHD_OPTION_ARRAY, is_secure ? secure : plain, MHD_OPTION_END);
    if (listener->daemon) return LM_OK;
    return lm_fail_errno("cannot serve '%s'", listener->listen.address);
}

static lm_err start_grpc(server_listener *listener, int fd)
{
#if LM_HAVE_GRPC
    return server_grpc_start(listener, fd);
#else
    (void)fd;
    return lm_fail(LM_E_UNSUPPORTED, "cannot listen on '%s': this build has no gRPC (libnghttp2)",
                   listener->listen.address);
#endif
}

/** The listener's own copies of the configuration's texts, which a reload frees. */
static lm_err copy_texts(server_listener *listener, const lm_config_listen *listen)
{
    const char *const from[] = {listen->address, listen->tls.certificate, listen->tls.key,
                                listen->tls.client_ca};
    const char **const to[] = {&listener->listen.address, &listener->listen.tls.certificate,
                               &listener->listen.tls.key, &listener->listen.tls.client_ca};
    for (size_t i = 0; i < 4; i++)
        listener->texts_bytes += strlen(from[i]) + 1;
    listener->texts = lm_mem_alloc(listener->server->mem, listener->texts_bytes);
    if (!listener->texts) return lm_mem_err();
    char *at = listener->texts;
    for (size_t i = 0; i < 4; i++) {
        size_t bytes = strlen(from[i]) + 1;
        memcpy(at, from[i], bytes);
        *to[i] = at;
        at += bytes;
    }
    listener->listen.door = listen->door;
    return LM_OK;
}

static lm_tls_files tls_of(const server_listener *listener)
{
    const lm_config_tls *tls = &listener->listen.tls;
    return (lm_tls_files){tls->certificate, tls->key, tls->client_ca[0] ? tls->client_ca : NULL};
}

lm_err server_listener_prepare(server_listener *listener)
{
    lm_tls_files files = tls_of(listener);
    if (!listener->tls || listener->next_keys) return LM_OK;
    return lm_tls_keys_load(listener->server->mem, &files, &listener->next_keys);
}

void server_listener_renew(server_listener *listener)
{
    if (listener->next_keys) lm_tls_renew(listener->tls, listener->next_keys);
    listener->next_keys = NULL;
}

static int socket_of(const server_listener *listener)
{
#if LM_HAVE_GRPC
    if (listener->grpc) return server_grpc_socket(listener->grpc);
#endif
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_LISTEN_FD);
    return info ? info->listen_fd : -1;
}

/** A second socket at the address of an older listener, which goes on until it is quiesced. That
 * two may listen there is allowed for this moment only: else nobody were told of a port that
 * another process has. */
static lm_err open_beside(const server_listener *from, int *out_fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at, int_len = sizeof(int);
    int one = 1, zero = 0, six_only = 1, old = socket_of(from);
    bool is_told = old >= 0 && getsockname(old, (struct sockaddr *)&at, &len) == 0 &&
                   setsockopt(old, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
    int fd = is_told ? socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    bool is_open = fd >= 0;
    if (is_open && at.ss_family == AF_INET6)
        is_open = getsockopt(old, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, &int_len) == 0 &&
                  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof six_only) == 0;
    is_open = is_open && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
              bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, LISTEN_BACKLOG) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &zero, sizeof zero) == 0;
    int code = errno;
    if (is_told)
        (void)setsockopt(old, SOL_SOCKET, SO_REUSEPORT, &zero, sizeof zero); /* as it was */
    if (!is_open && fd >= 0) (void)close(fd);
    errno = code;
    if (!is_open) return lm_fail_errno("cannot take over '%s'", from->listen.address);
    *out_fd = fd;
    return LM_OK;
}

lm_err server_listener_start(lm_server *server, const lm_config_listen *listen,
                             server_listener *replaces, server_listener **out)
{
    int fd = -1;
    server_listener *listener = lm_mem_calloc(server->mem, 1, sizeof *listener);
    if (!listener) return lm_mem_err();
    listener->server = server;
    listener->replaces = replaces;
    (void)pthread_mutex_init(&listener->lock, NULL);
    lm_err err = copy_texts(listener, listen);
    lm_tls_files files = tls_of(listener);
    if (!err && listen->tls.certificate[0]) err = lm_tls_new(server->mem, &files, &listener->tls);
    if (!err) err = replaces ? open_beside(replaces, &fd) : open_socket(listen->address, &fd);
    if (!err) {
        name_url(listener, fd);
        err = listen->door == LM_DOOR_OTLP_GRPC ? start_grpc(listener, fd)
                                                : start_daemon(listener, fd);
        if (err) (void)close(fd);
    }
    if (err) {
        server_listener_free(listener);
        return err;
    }
    *out = listener;
    return LM_OK;
}

/**
 * The library's way to stop listening (MHD_quiesce_daemon) races with its own threads: both take
 * the socket out of the thread's epoll set, and who comes second aborts the process (0.9.75
 * to 1.0). So the socket is taken away under its number, where nobody has a copy of it: with the
 * last descriptor it leaves every epoll set and refuses who is on the way, and the library goes on
 * with one that nobody can find.
 */
static bool take_socket_away(struct MHD_Daemon *daemon)
{
    const struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_LISTEN_FD);
    if (!info || info->listen_fd < 0) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_done = fd >= 0 &&
                   bind(fd, (const struct sockaddr *)&nowhere, sizeof nowhere.sun_family) == 0 &&
                   listen(fd, 1) == 0 && dup3(fd, info->listen_fd, O_CLOEXEC) >= 0;
    if (fd >= 0) (void)close(fd);
    return is_done;
}

void server_listener_quiesce(server_listener *listener)
{
#if LM_HAVE_GRPC
    if (listener->grpc) {
        server_grpc_quiesce(listener->grpc);
        return;
    }
#endif
    if (take_socket_away(listener->daemon)) return;
    MHD_socket fd =
        MHD_quiesce_daemon(listener->daemon); /* no descriptor is left: a race is less */
    if (fd != MHD_INVALID_SOCKET) (void)close(fd);
}

void server_listener_free(server_listener *listener)
{
    if (!listener) return;
    lm_mem *mem = listener->server->mem;
    if (listener->daemon) MHD_stop_daemon(listener->daemon);
#if LM_HAVE_GRPC
    server_grpc_free(listener->grpc);
#endif
    lm_tls_keys_unref(listener->next_keys);
    lm_tls_free(listener->tls);
    (void)pthread_mutex_destroy(&listener->lock);
    lm_mem_release(mem, listener->texts, listener->texts_bytes);
    lm_mem_release(mem, listener, sizeof *listener);
}

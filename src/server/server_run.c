/**
 * The daemon's life: everything started in the order in which it is needed, reloaded, and stopped
 * in the order that loses nothing: no new connections, sources drained, requests answered, store
 * closed.
 */
#include "server/server_priv.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_S      1000000000ull
#define TICK_NS       100000000
#define TICKS_REAP    10u  /* connections are looked at once a second */
#define WAITERS_MAX   256u /* beyond, pushes are refused at once */
#define CHORE_THREADS 2u

void server_log(const lm_server *server, int level, const char *event, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    if (!server->options.log) return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: words */
    va_end(args);
    server->options.log(server->options.log_ctx, level, "server", event, text);
}

static void note_store(void *ctx, int level, const char *event, const char *text)
{
    const lm_server *server = ctx;
    if (server->options.log)
        server->options.log(server->options.log_ctx, level, "store", event, text);
}

/* ---- the configuration in force ---- */

server_state *server_state_get(lm_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server_state *state = server->state;
    atomic_fetch_add(&state->refs, 1);
    (void)pthread_mutex_unlock(&server->lock);
    return state;
}

void server_state_unref(lm_server *server, server_state *state)
{
    if (!state || atomic_fetch_sub(&state->refs, 1) != 1) return;
    lm_config_free(state->config);
    lm_mem_release(server->mem, state, sizeof *state);
}

/** Takes the configuration over on success. */
static lm_err state_new(lm_server *server, lm_config *config, server_state **out)
{
    server_state *state = lm_mem_calloc(server->mem, 1, sizeof *state);
    if (!state) return lm_mem_err();
    atomic_store(&state->refs, 1);
    state->config = config;
    *out = state;
    return LM_OK;
}

static lm_err read_config(lm_mem *mem, const lm_server_options *options, lm_config **out)
{
    lm_config *config = NULL;
    lm_err err = options->config_path ? lm_config_load(mem, options->config_path, &config)
                                      : lm_config_default(mem, &config);
    if (!err && options->listen_count) {
        err = lm_config_listen_set(config, options->listens, options->listen_count);
        if (config->sources_are_default) config->source_count = 0; /* only what was asked for */
    }
    if (!err && options->storage_path) err = lm_config_storage_set(config, options->storage_path);
    if (err)
        lm_config_free(config);
    else
        *out = config;
    return err;
}

/* ---- ticker ---- */

/** Has the client closed its connection, or its half of it? The connection sleeps while a query is
 * answered, so nobody else would see it. */
static bool has_left(const server_request *request)
{
    struct pollfd about = {.fd = request->conn ? request->conn->fd : -1, .events = POLLRDHUP};
    return poll(&about, 1, 0) > 0 && (about.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/** Queries whose time is over, or whose client has left, are told to stop. */
static void stop_queries(lm_server *server, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&server->lock);
    for (server_request *request = server->requests; request; request = request->next) {
        uint64_t deadline = atomic_load(&request->deadline_ns);
        if (atomic_load(&request->is_asking) && has_left(request)) request->cancel = 1;
        if (!deadline || now_ns < deadline) continue;
        atomic_store(&request->is_late, true);
        request->cancel = 1;
    }
    (void)pthread_mutex_unlock(&server->lock);
}

static void reap(lm_server *server, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&server->lock);
    for (server_listener *listener = server->listeners; listener; listener = listener->next)
        server_listener_reap(listener, now_ns);
    for (server_listener *listener = server->retired; listener; listener = listener->next)
        server_listener_reap(listener, now_ns);
    (void)pthread_mutex_unlock(&server->lock);
}

static void *tick(void *ctx)
{
    lm_server *server = ctx;
    for (unsigned ticks = 0; !server->is_ticker_over; ticks++) {
        uint64_t now = lm_clock_ns();
        stop_queries(server, now);
        if (ticks % TICKS_REAP == 0) reap(server, now);
        (void)nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL); /* early is no harm */
    }
    return NULL;
}

/* ---- start ---- */

/** Connections and files both need descriptors: as many as the system allows us. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections otherwise */
}

static lm_err open_store(lm_server *server, const lm_config *config)
{
    uint64_t retention =
        config->limits.retention ? config->limits.retention : config->storage_retention;
    lm_store_options options = {
        .folder = config->storage_path,
        .head_bytes = config->ingest_head_size,
        .mill_cpu_percent = (unsigned)config->mill_cpu_percent,
        .retention_ns = retention,
        .disk_bytes_max = config->storage_disk_max,
        .disk_free_min = config->storage_disk_free_min,
        .note = note_store,
        .note_ctx = server,
    };
    (void)snprintf(server->storage_path, sizeof server->storage_path, "%s", config->storage_path);
    options.folder = server->storage_path;
    lm_err err = lm_store_open(server->data_mem, &options, &server->store);
    if (err) return err;
    server->sink = server_service_sink(server);
    server->face = lm_store_face_of(server->store);
    return LM_OK;
}

static lm_err set_retentions(lm_server *server, const lm_config *config)
{
    lm_err err = LM_OK;
    for (size_t i = 0; i < config->tenant_count && !err; i++) {
        const lm_config_tenant *tenant = &config->tenants[i];
        uint64_t retention =
            tenant->limits.retention ? tenant->limits.retention : config->storage_retention;
        err = lm_store_retention_set(server->store, lm_str_of(tenant->name), retention);
    }
    return err;
}

static lm_err start_workers(lm_server *server, const lm_config *config)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t queries = config->query_concurrency ? (size_t)config->query_concurrency
                                               : (size_t)(cpus < 2 ? 2 : cpus);
    lm_err err =
        server_work_start(&server->queries, server->mem, queries, (size_t)LM_SERVER_QUERIES_MAX);
    if (!err)
        err = server_work_start(&server->chores, server->mem, CHORE_THREADS,
                                (size_t)LM_SERVER_CONNECTIONS_MAX);
    if (!err) err = server_work_start(&server->waiters, server->mem, 1, WAITERS_MAX);
    return err;
}

static lm_err start_listeners(lm_server *server, const lm_config *config)
{
    for (size_t i = config->listen_count; i-- > 0;) { /* the list then has the file's order */
        server_listener *listener = NULL;
        lm_err err = server_listener_start(server, &config->listens[i], NULL, &listener);
        if (err) return err;
        (void)pthread_mutex_lock(&server->lock);
        listener->next = server->listeners;
        server->listeners = listener;
        (void)pthread_mutex_unlock(&server->lock);
    }
    return LM_OK;
}

/** Of memory.max, what requests and the store may hold: a quarter is for what is not counted, as
 * threads, connections, the catalog, and what the allocator has not given back. */
static size_t data_bytes(const lm_config *config)
{
    return (size_t)(config->memory_max - config->memory_max / 4);
}

static lm_err start_all(lm_server *server, const lm_config *config)
{
    raise_files();
    lm_err err = lm_mem_new(NULL, data_bytes(config), &server->data_mem);
    if (!err) err = lm_mem_keep(server->data_mem, (size_t)(config->memory_max / 8));
    if (err) return err;
    server_tenants_init(&server->tenants, server->mem);
    server->routes = lm_mem_calloc(server->mem, server_route_count(), sizeof *server->routes);
    if (!server->routes) return lm_mem_err();
    err = server_auth_new(server, &server->auth);
    if (!err) err = server_tails_new(server, &server->tails);
    if (!err) err = open_store(server, config);
    if (!err) err = set_retentions(server, config);
    if (!err) err = start_workers(server, config);
    if (!err) err = start_listeners(server, config);
    if (!err) err = server_sources_apply(server, config);
    if (err) return err;
    if (pthread_create(&server->ticker, NULL, tick, server) != 0)
        return lm_fail(LM_E_NOMEM, "cannot start a thread");
    server->has_ticker = true;
    return LM_OK;
}

lm_err lm_server_new(lm_mem *mem, const lm_server_options *options, lm_server **out)
{
    lm_config *config = NULL;
    lm_err err = read_config(mem, options, &config);
    if (err) return err;
    lm_server *server = lm_mem_calloc(mem, 1, sizeof *server);
    if (!server) {
        lm_config_free(config);
        return lm_mem_err();
    }
    server->mem = mem;
    server->options = *options;
    server->started_ns = lm_clock_wall_ns();
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_mutex_init(&server->reload_lock, NULL);
    err = state_new(server, config, &server->state);
    if (err)
        lm_config_free(config);
    else
        err = start_all(server, config);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        lm_server_free(server);
        return lm_err_restore(&info);
    }
    atomic_store(&server->is_ready, true);
    server_log(server, 6, "started", "version %s, store '%s'", LM_VERSION, server->storage_path);
    *out = server;
    return LM_OK;
}

/* ---- reload ---- */

static bool is_same_listen(const lm_config_listen *a, const lm_config_listen *b)
{
    return a->door == b->door && strcmp(a->address, b->address) == 0 &&
           strcmp(a->tls.certificate, b->tls.certificate) == 0 &&
           strcmp(a->tls.key, b->tls.key) == 0 && strcmp(a->tls.client_ca, b->tls.client_ca) == 0;
}

static server_listener *find_listener(const lm_server *server, const lm_config_listen *listen)
{
    server_listener *at = server->listeners;
    while (at && !is_same_listen(&at->listen, listen))
        at = at->next;
    return at;
}

static bool is_wanted(const lm_config *config, const server_listener *listener)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        if (is_same_listen(&config->listens[i], &listener->listen)) return true;
    }
    return false;
}

/** One of the same door and address that nobody replaces yet: it has TLS and is to have none, or
 * the other way round, or its files have other names. */
static server_listener *find_older(const lm_server *server, const lm_config *config,
                                   const server_listener *added, const lm_config_listen *listen)
{
    for (server_listener *at = server->listeners; at; at = at->next) {
        const server_listener *taken = added;
        if (at->listen.door != listen->door || strcmp(at->listen.address, listen->address) != 0)
            continue;
        if (is_wanted(config, at)) continue;
        while (taken && taken->replaces != at)
            taken = taken->next;
        if (!taken) return at;
    }
    return NULL;
}

static void forget_prepared(lm_server *server)
{
    for (server_listener *at = server->listeners; at; at = at->next) {
        lm_tls_keys_unref(at->next_keys);
        at->next_keys = NULL;
    }
}

/** Start what is new, and read the certificates of what stays; all or nothing. */
static lm_err add_listeners(lm_server *server, const lm_config *config, server_listener **out)
{
    server_listener *added = NULL;
    for (size_t i = 0; i < config->listen_count; i++) {
        server_listener *listener = NULL;
        server_listener *same = find_listener(server, &config->listens[i]);
        lm_err err = same ? server_listener_prepare(same)
                          : server_listener_start(
                                server, &config->listens[i],
                                find_older(server, config, added, &config->listens[i]), &listener);
        if (err) {
            lm_err_info info;
            lm_err_save(&info);
            forget_prepared(server);
            for (server_listener *next; added; added = next) {
                next = added->next;
                server_listener_free(added);
            }
            return lm_err_restore(&info);
        }
        if (same) continue;
        listener->next = added;
        added = listener;
    }
    *out = added;
    return LM_OK;
}

/** Those not wanted any more take no new connections; the ones they have go on until they end. */
static void swap_listeners(lm_server *server, const lm_config *config, server_listener *added)
{
    for (server_listener *at = added; at; at = at->next) {
        at->replaces = NULL;
    }
    for (server_listener **at = &server->listeners; *at;) {
        server_listener *listener = *at;
        if (is_wanted(config, listener)) {
            server_listener_renew(listener);
            at = &listener->next;
            continue;
        }
        *at = listener->next;
        server_listener_quiesce(listener);
        listener->next = server->retired;
        server->retired = listener;
    }
    while (added) {
        server_listener *next = added->next;
        added->next = server->listeners;
        server->listeners = added;
        added = next;
    }
}

static void warn_fixed(const lm_server *server, const lm_config *old, const lm_config *new)
{
    const char *what = strcmp(old->storage_path, new->storage_path) != 0  ? "storage.path"
                       : old->memory_max != new->memory_max               ? "memory.max"
                       : old->ingest_head_size != new->ingest_head_size   ? "ingest.head_size"
                       : old->mill_cpu_percent != new->mill_cpu_percent   ? "mill.cpu_percent"
                       : old->query_concurrency != new->query_concurrency ? "query.concurrency"
                       : old->storage_retention != new->storage_retention ? "storage.retention"
                       : old->storage_disk_max != new->storage_disk_max   ? "storage.disk_max"
                                                                          : NULL;
    if (what) server_log(server, 4, "reload", "%s changes when the daemon is started again", what);
}

static lm_err reload(lm_server *server)
{
    lm_config *config = NULL;
    server_state *state = NULL;
    server_listener *added = NULL;
    lm_err err = read_config(server->mem, &server->options, &config);
    if (err) return err;
    err = state_new(server, config, &state);
    if (err) {
        lm_config_free(config);
        return err;
    }
    err = add_listeners(server, config, &added);
    if (err) {
        server_state_unref(server, state);
        return err;
    }
    (void)pthread_mutex_lock(&server->lock);
    server_state *old = server->state;
    server->state = state;
    swap_listeners(server, config, added);
    (void)pthread_mutex_unlock(&server->lock);
    server_auth_reset(server->auth);
    warn_fixed(server, old->config, config);
    server_state_unref(server, old);
    if (set_retentions(server, config)) server_log(server, 3, "reload", "%s", lm_err_text());
    if (server_sources_apply(server, config)) server_log(server, 3, "reload", "%s", lm_err_text());
    return LM_OK;
}

lm_err lm_server_reload(lm_server *server)
{
    (void)pthread_mutex_lock(&server->reload_lock);
    lm_err err = reload(server);
    (void)pthread_mutex_unlock(&server->reload_lock);
    if (err) {
        atomic_fetch_add(&server->counters.reloads_refused, 1);
        server_log(server, 3, "reload_refused", "%s", lm_err_text());
    } else {
        atomic_fetch_add(&server->counters.reloads, 1);
        server_log(server, 6, "reloaded", "%s",
                   server->options.config_path ? server->options.config_path : "the defaults");
    }
    return err;
}

/* ---- stop ---- */

static void wait_for(lm_server *server, uint64_t until_ns, bool for_all)
{
    for (;;) {
        bool is_busy = for_all ? atomic_load(&server->counters.requests) > 0
                               : server_requests_asleep(server) > 0;
        if (!is_busy || lm_clock_ns() >= until_ns) return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static void free_listeners(server_listener *listener)
{
    for (server_listener *next; listener; listener = next) {
        next = listener->next;
        server_listener_free(listener);
    }
}

/** Answer what is under way, then nothing may be asleep: libmicrohttpd cannot stop otherwise. */
static void drain(lm_server *server, uint64_t timeout_ns)
{
    uint64_t until = lm_clock_ns() + timeout_ns;
    for (server_listener *at = server->listeners; at; at = at->next)
        server_listener_quiesce(at);
    server_sources_stop(server, timeout_ns);
    wait_for(server, until, false);
    size_t aborted = server_requests_abort(server);
    if (aborted)
        server_log(server, 4, "stopping", "%zu requests were not done within shutdown.timeout",
                   aborted);
    server_tails_stop(server->tails);
    uint64_t last = lm_clock_ns() + NS_PER_S; /* for answers to leave */
    wait_for(server, until > last ? until : last, true);
}

void lm_server_free(lm_server *server)
{
    if (!server) return;
    lm_mem *mem = server->mem;
    atomic_store(&server->is_stopping, true);
    if (server->state) drain(server, server->state->config->shutdown_timeout);
    if (server->has_ticker) {
        atomic_store(&server->is_ticker_over, true);
        (void)pthread_join(server->ticker, NULL);
    }
    server_work_stop(&server->queries);
    server_work_stop(&server->chores);
    server_work_stop(&server->waiters);
    (void)server_requests_abort(server); /* what began meanwhile */
    free_listeners(server->listeners);
    free_listeners(server->retired);
    lm_store_close(server->store); /* the last answers of puts come from here */
    server_tails_free(server, server->tails);
    server_auth_free(server, server->auth);
    server_tenants_fini(&server->tenants);
    lm_mem_release(mem, server->routes, server_route_count() * sizeof *server->routes);
    server_state_unref(server, server->state);
    lm_mem_free(server->data_mem);
    server_log(server, 6, "stopped", "all that was acknowledged is stored");
    (void)pthread_mutex_destroy(&server->lock);
    (void)pthread_mutex_destroy(&server->reload_lock);
    lm_mem_release(mem, server, sizeof *server);
}

const char *lm_server_address_at(lm_server *server, size_t index)
{
    for (server_listener *at = server->listeners; at; at = at->next) {
        if (!index--) return at->url;
    }
    return server_source_name_at(server, index);
}

const char *lm_server_storage(const lm_server *server)
{
    return server->storage_path;
}

/** /metrics, /ready, /-/healthy, /logmill/v1/health: what the daemon tells of itself. */
#include "server/server_priv.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/** Upper bounds of a latency histogram's buckets, in ns. */
static const uint64_t bounds[HISTOGRAM_BOUNDS] = {
    1000000,   2500000,   5000000,   10000000,   25000000,   50000000,
    100000000, 250000000, 500000000, 1000000000, 5000000000, 30000000000,
};

void server_histogram_add(server_histogram *histogram, uint64_t ns)
{
    size_t at = 0;
    while (at < HISTOGRAM_BOUNDS && ns > bounds[at])
        at++;
    atomic_fetch_add_explicit(&histogram->buckets[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

static uint64_t open_files(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder) (void)closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

typedef struct page {
    lm_buf *out;
    lm_err err;
} page;

static void put(page *p, const char *fmt, ...) LM_PRINTF(2, 3);

static void put(page *p, const char *fmt, ...)
{
    char text[700];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len >= (int)sizeof text) len = (int)sizeof text - 1;
    if (!p->err) p->err = lm_buf_append(p->out, text, (size_t)len);
}

static void head(page *p, const char *name, const char *type, const char *help)
{
    put(p, "# HELP logmill_%s %s\n# TYPE logmill_%s %s\n", name, help, name, type);
}

static void put_one(page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    head(p, name, type, help);
    put(p, "logmill_%s %" PRIu64 "\n", name, value);
}

static void put_queue(page *p, const char *name, server_work *work, bool is_first)
{
    (void)pthread_mutex_lock(&work->lock);
    uint64_t waiting = work->waiting;
    (void)pthread_mutex_unlock(&work->lock);
    if (is_first) head(p, "server_queue", "gauge", "Requests that wait for a worker, by queue");
    put(p, "logmill_server_queue{queue=\"%s\"} %" PRIu64 "\n", name, waiting);
}

static void put_histogram(page *p, const char *name, const char *label, const uint64_t *counts,
                          uint64_t sum_ns)
{
    uint64_t below = 0;
    const char *comma = label[0] ? "," : "";
    for (size_t k = 0; k < HISTOGRAM_BOUNDS; k++) {
        below += counts[k];
        put(p, "logmill_%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, label, comma,
            (double)bounds[k] / 1e9, below);
    }
    below += counts[HISTOGRAM_BOUNDS];
    put(p, "logmill_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, below);
    const char *open = label[0] ? "{" : "", *close = label[0] ? "}" : "";
    put(p, "logmill_%s_sum%s%s%s %.6f\n", name, open, label, close, (double)sum_ns / 1e9);
    put(p, "logmill_%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, below);
}

static void put_durable(page *p, const server_histogram *histogram)
{
    uint64_t counts[HISTOGRAM_BOUNDS + 1];
    for (size_t k = 0; k <= HISTOGRAM_BOUNDS; k++)
        counts[k] = atomic_load(&histogram->buckets[k]);
    head(p, "server_durable_seconds", "histogram",
         "Time from a batch's arrival at the store until it was on disk");
    put_histogram(p, "server_durable_seconds", "", counts, atomic_load(&histogram->sum_ns));
}

/** What every process tells under the names that Prometheus' own libraries use. */
static void put_process(page *p, const lm_server *server)
{
    struct rusage usage;
    struct rlimit files;
    char text[64] = "";
    unsigned long long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fgets(text, sizeof text, statm))
        (void)sscanf(text, "%llu %llu", &pages, &resident);
    if (statm) (void)fclose(statm);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put(p,
            "# HELP process_cpu_seconds_total CPU time, user and system\n"
            "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    put(p,
        "# HELP process_resident_memory_bytes Resident memory\n"
        "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %llu\n",
        resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    put(p,
        "# HELP process_start_time_seconds When the daemon was started\n"
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n",
        (double)server->started_ns / 1e9);
    put(p,
        "# HELP process_open_fds Open descriptors\n# TYPE process_open_fds gauge\n"
        "process_open_fds %" PRIu64 "\n",
        open_files());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put(p,
            "# HELP process_max_fds Descriptors that may be open\n# TYPE process_max_fds gauge\n"
            "process_max_fds %" PRIu64 "\n",
            (uint64_t)files.rlim_cur);
}

static void put_own(page *p, lm_server *server)
{
#define SERVER_COUNTER(name, help)                                                                 \
    put_one(p, "server_" #name "_total", "counter", help, atomic_load(&server->counters.name));
#define SERVER_GAUGE(name, help)                                                                   \
    put_one(p, "server_" #name, "gauge", help, atomic_load(&server->counters.name));
#include "server/server_metrics.def"
    put_one(p, "server_memory_bytes", "gauge", "Memory that requests and store hold",
            lm_mem_used(server->data_mem));
    put_one(p, "server_memory_peak_bytes", "gauge", "The most that they ever held",
            lm_mem_peak(server->data_mem));
    put_one(p, "server_memory_max_bytes", "gauge", "memory.max", lm_mem_limit(server->data_mem));
    (void)pthread_mutex_lock(&server->queries.lock);
    uint64_t waiting = server->queries.waiting, running = server->queries.running;
    (void)pthread_mutex_unlock(&server->queries.lock);
    put_one(p, "server_queries_waiting", "gauge", "Queries that wait for a worker", waiting);
    put_one(p, "server_queries_running", "gauge", "Queries being answered", running);
    put_queue(p, "queries", &server->queries, true);
    put_queue(p, "chores", &server->chores, false);
    put_queue(p, "pushes", &server->waiters, false);
    put_durable(p, &server->durable);
}

/** Several paths may share a route's name: their numbers are one. */
static bool is_first_of_name(size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(server_route_at(i)->name, server_route_at(index)->name) == 0) return false;
    }
    return true;
}

static void put_requests(page *p, lm_server *server, size_t first)
{
    const char *name = server_route_at(first)->name;
    for (size_t class = 0; class < STATUS_CLASSES; class ++) {
        uint64_t count = 0;
        for (size_t i = first; i < server_route_count(); i++) {
            if (strcmp(server_route_at(i)->name, name) == 0)
                count += atomic_load(&server->routes[i].requests[class]);
        }
        if (!count) continue;
        if (class)
            put(p, "logmill_server_requests_total{route=\"%s\",code=\"%zuxx\"} %" PRIu64 "\n", name,
                class, count);
        else
            put(p, "logmill_server_requests_total{route=\"%s\",code=\"aborted\"} %" PRIu64 "\n",
                name, count);
    }
}

static void put_seconds(page *p, lm_server *server, size_t first)
{
    const char *name = server_route_at(first)->name;
    uint64_t counts[HISTOGRAM_BOUNDS + 1] = {0}, sum = 0, total = 0;
    for (size_t i = first; i < server_route_count(); i++) {
        if (strcmp(server_route_at(i)->name, name) != 0) continue;
        for (size_t k = 0; k <= HISTOGRAM_BOUNDS; k++)
            counts[k] += atomic_load(&server->routes[i].seconds.buckets[k]);
        sum += atomic_load(&server->routes[i].seconds.sum_ns);
    }
    for (size_t k = 0; k <= HISTOGRAM_BOUNDS; k++)
        total += counts[k];
    if (!total) return;
    char label[80];
    (void)snprintf(label, sizeof label, "route=\"%s\"", name);
    put_histogram(p, "server_request_seconds", label, counts, sum);
}

static void put_routes(page *p, lm_server *server)
{
    head(p, "server_requests_total", "counter", "Requests by route and class of status");
    for (size_t i = 0; i < server_route_count(); i++) {
        if (is_first_of_name(i)) put_requests(p, server, i);
    }
    head(p, "server_request_seconds", "histogram",
         "Time from a request's first line to its answer");
    for (size_t i = 0; i < server_route_count(); i++) {
        if (is_first_of_name(i)) put_seconds(p, server, i);
    }
}

typedef uint64_t (*tenant_value)(const server_tenant *tenant, size_t which);

static uint64_t records_of(const server_tenant *tenant, size_t which)
{
    (void)which;
    return atomic_load(&tenant->records);
}

static uint64_t bytes_of(const server_tenant *tenant, size_t which)
{
    (void)which;
    return atomic_load(&tenant->bytes);
}

static uint64_t queries_of(const server_tenant *tenant, size_t which)
{
    (void)which;
    return atomic_load(&tenant->queries);
}

static uint64_t refused_of(const server_tenant *tenant, size_t which)
{
    return atomic_load(&tenant->refused[which]);
}

static void put_tenants(page *p, lm_server *server, const char *name, const char *help,
                        tenant_value value, size_t which, const char *reason)
{
    if (help) head(p, name, "counter", help);
    for (size_t i = 0; i < TENANT_BUCKETS; i++) {
        for (server_tenant *tenant = server->tenants.chains[i]; tenant; tenant = tenant->next) {
            put(p, "logmill_%s{tenant=\"%.*s\"%s%s%s} %" PRIu64 "\n", name, (int)tenant->name.len,
                (const char *)tenant->name.ptr, reason ? ",reason=\"" : "", reason ? reason : "",
                reason ? "\"" : "", value(tenant, which));
        }
    }
}

static void put_all_tenants(page *p, lm_server *server)
{
    static const char *const reasons[REFUSED_KINDS] = {"rate", "streams", "store"};
    (void)pthread_rwlock_rdlock(&server->tenants.lock);
    put_tenants(p, server, "server_records_total", "Records taken over HTTP", records_of, 0, NULL);
    put_tenants(p, server, "server_record_bytes_total", "Bytes of these records", bytes_of, 0,
                NULL);
    put_tenants(p, server, "server_tenant_queries_total", "Queries asked", queries_of, 0, NULL);
    for (size_t i = 0; i < REFUSED_KINDS; i++)
        put_tenants(p, server, "server_records_refused_total",
                    i ? NULL : "Records refused, by reason; clients send them again", refused_of, i,
                    reasons[i]);
    (void)pthread_rwlock_unlock(&server->tenants.lock);
}

static void put_store(page *p, lm_server *server)
{
    lm_store_counters now;
    lm_store_counters_get(server->store, &now);
    put_one(p, "store_records_total", "counter", "Records put", now.records_in);
    put_one(p, "store_bytes_total", "counter", "Bytes put", now.bytes_in);
    put_one(p, "store_puts_total", "counter", "Batches put", now.puts);
    put_one(p, "store_puts_refused_total", "counter", "Batches refused", now.puts_refused);
    put_one(p, "store_syncs_total", "counter", "Syncs of the write-ahead log", now.syncs);
    put_one(p, "store_log_bytes", "gauge", "Size of the write-ahead log", now.log_bytes);
    put_one(p, "store_head_bytes", "gauge", "Raw bytes not sealed yet", now.head_bytes);
    put_one(p, "store_head_records", "gauge", "Records not sealed yet", now.head_records);
    put_one(p, "store_segments", "gauge", "Segments", now.segments);
    put_one(p, "store_segment_bytes", "gauge", "Size of segments on disk", now.segment_bytes);
    put_one(p, "store_segment_raw_bytes", "gauge", "Raw bytes in segments", now.segment_raw_bytes);
    put_one(p, "store_segment_records", "gauge", "Records in segments", now.segment_records);
    put_one(p, "store_seals_total", "counter", "Heads sealed", now.seals);
    put_one(p, "store_merges_total", "counter", "Segments merged or repacked", now.merges);
    put_one(p, "store_lost_parts_total", "counter", "Damaged parts set aside", now.lost_parts);
    put_one(p, "store_streams", "gauge", "Streams", now.streams);
    put_one(p, "store_disk_free_bytes", "gauge", "Free space", now.disk_free_bytes);
    put_one(p, "store_queue_bytes", "gauge", "Bytes that wait to be written", now.queue_bytes);
    put_one(p, "store_sealing", "gauge", "Full heads that wait to be segments", now.sealing);
    put_one(p, "store_templates", "gauge", "Templates in what was sealed last", now.templates);
    put_one(p, "store_log_failures_total", "counter", "Writes of the log that failed",
            now.log_failures);
}

/** One metric of all sources: a metric's lines stand together. */
typedef struct source_page {
    page *page;
    const char *name;
    uint64_t (*value)(const lm_source_counters *now);
} source_page;

static void told_source(void *ctx, const char *name, const lm_source_counters *now)
{
    const source_page *sp = ctx;
    char label[200];
    size_t len = 0;
    for (; *name && len + 3 < sizeof label; name++) {
        if (*name == '"' || *name == '\\') label[len++] = '\\';
        label[len++] = *name == '\n' ? ' ' : *name;
    }
    label[len] = '\0';
    put(sp->page, "logmill_%s{source=\"%s\"} %" PRIu64 "\n", sp->name, label, sp->value(now));
}

#define SOURCE_VALUE(field)                                                                        \
    static uint64_t source_##field(const lm_source_counters *now)                                  \
    {                                                                                              \
        return now->field;                                                                         \
    }
SOURCE_VALUE(records)
SOURCE_VALUE(bytes)
SOURCE_VALUE(rejected)
SOURCE_VALUE(errors)
SOURCE_VALUE(lag_bytes)
SOURCE_VALUE(lag_records)
SOURCE_VALUE(open)
#undef SOURCE_VALUE

static void put_sources(page *p, lm_server *server)
{
    static const struct {
        const char *name, *type, *help;
        uint64_t (*value)(const lm_source_counters *now);
    } rows[] = {
        {"source_records_total", "counter", "Records that sources took", source_records},
        {"source_bytes_total", "counter", "Bytes of these records", source_bytes},
        {"source_rejected_total", "counter", "Records that sources could not take",
         source_rejected},
        {"source_errors_total", "counter", "Troubles of reading", source_errors},
        {"source_lag_bytes", "gauge", "Bytes of files that are not read yet", source_lag_bytes},
        {"source_lag_records", "gauge", "Records of queues that are not read yet",
         source_lag_records},
        {"source_open", "gauge", "Open files or connections", source_open},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        source_page sp = {p, rows[i].name, rows[i].value};
        head(p, rows[i].name, rows[i].type, rows[i].help);
        server_sources_each(server, told_source, &sp);
    }
}

void server_metrics(server_request *request)
{
    lm_server *server = request->server;
    page p = {.out = &request->answer};
    put(&p, "# HELP logmill_build_info Version of the daemon\n# TYPE logmill_build_info gauge\n"
            "logmill_build_info{version=\"" LM_VERSION "\"} 1\n");
    put_own(&p, server);
    put_routes(&p, server);
    put_all_tenants(&p, server);
    put_store(&p, server);
    put_sources(&p, server);
    put_process(&p, server);
    if (p.err) {
        server_answer_err(request, p.err);
        return;
    }
    request->status = MHD_HTTP_OK;
    request->type = "text/plain; version=0.0.4; charset=utf-8";
}

/** Why it does not serve, NULL: it does. */
static const char *server_illness(lm_server *server, lm_store_counters *now)
{
    lm_store_counters_get(server->store, now);
    if (server->is_stopping) return "stopping";
    if (!server->is_ready) return "starting";
    return now->is_failing ? "the store cannot be written" : NULL;
}

const char *server_trouble(lm_server *server, const lm_config *config)
{
    lm_store_counters now;
    const char *illness = server_illness(server, &now);
    bool is_full = now.disk_free_bytes <= config->storage_disk_free_min;
    if (is_full && server->is_ready && !server->is_stopping) return "the disk is full";
    return illness;
}

/** Ready: it serves. A full disk is no reason to take it out of service: questions are answered,
 * and those who push are told 507. */
void server_ready(server_request *request)
{
    lm_store_counters now;
    const char *trouble = server_illness(request->server, &now);
    server_answer_text(request, trouble ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, "%s",
                       trouble ? trouble : "ready");
}

/** Healthy: it can take records. */
void server_healthy(server_request *request)
{
    const char *trouble = server_trouble(request->server, request->state->config);
    server_answer_text(request, trouble ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, "%s",
                       trouble ? trouble : "healthy");
}

void server_health(server_request *request)
{
    lm_server *server = request->server;
    lm_store_counters now;
    lm_store_counters_get(server->store, &now);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    const char *trouble = server_trouble(server, request->state->config);
    server_json_key(&json, "status");
    server_json_z(&json, trouble ? trouble : "ready");
    server_json_key(&json, "version");
    server_json_z(&json, LM_VERSION);
    server_json_key(&json, "uptime_seconds");
    server_json_i64(&json, (lm_clock_wall_ns() - server->started_ns) / 1000000000);
#define FACT(name)                                                                                 \
    server_json_key(&json, #name);                                                                 \
    server_json_u64(&json, now.name)
    FACT(records_in);
    FACT(bytes_in);
    FACT(head_bytes);
    FACT(head_records);
    FACT(segments);
    FACT(segment_bytes);
    FACT(segment_raw_bytes);
    FACT(segment_records);
    FACT(streams);
    FACT(lost_parts);
    FACT(disk_free_bytes);
#undef FACT
    server_json_key(&json, "memory_bytes");
    server_json_u64(&json, lm_mem_used(server->data_mem));
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

void server_reload_route(server_request *request)
{
    lm_err err = lm_server_reload(request->server);
    if (err)
        server_answer_err(request, err == LM_E_NOTFOUND || err == LM_E_IO ? LM_E_USAGE : err);
    else
        server_answer_text(request, MHD_HTTP_OK, "reloaded");
}

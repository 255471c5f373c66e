/**
 * Tenants: counted and limited apart. The rate is a token bucket in bytes; streams are counted by
 * their hashes in two sets, of this half hour and of the one before, so that what is no longer
 * written to is forgotten within the hour.
 */
#include "server/server_priv.h"

#include <inttypes.h>

#define HALF_HOUR_NS     (1800ull * 1000000000)
#define BURST_SECONDS    10.0
#define STREAMS_AT_FIRST 256u

void server_tenants_init(server_tenants *tenants, lm_mem *mem)
{
    memset(tenants, 0, sizeof *tenants);
    tenants->mem = mem;
    (void)pthread_rwlock_init(&tenants->lock, NULL);
}

static void tenant_free(lm_mem *mem, server_tenant *tenant)
{
    for (size_t i = 0; i < 2; i++)
        lm_mem_release(mem, tenant->streams[i], tenant->stream_caps[i] * sizeof(uint64_t));
    (void)pthread_mutex_destroy(&tenant->lock);
    lm_mem_release(mem, tenant, sizeof *tenant + tenant->name.len);
}

void server_tenants_fini(server_tenants *tenants)
{
    if (!tenants->mem) return;
    for (size_t i = 0; i < TENANT_BUCKETS; i++) {
        for (server_tenant *tenant = tenants->chains[i], *next; tenant; tenant = next) {
            next = tenant->next;
            tenant_free(tenants->mem, tenant);
        }
    }
    (void)pthread_rwlock_destroy(&tenants->lock);
    memset(tenants, 0, sizeof *tenants);
}

static server_tenant *find(const server_tenants *tenants, lm_str name, uint64_t hash)
{
    server_tenant *tenant = tenants->chains[hash % TENANT_BUCKETS];
    while (tenant && (tenant->hash != hash || !lm_str_equal(tenant->name, name)))
        tenant = tenant->next;
    return tenant;
}

static lm_err add(server_tenants *tenants, lm_str name, uint64_t hash, server_tenant **out)
{
    if (tenants->count == LM_SERVER_TENANTS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d tenants", LM_SERVER_TENANTS_MAX);
    server_tenant *tenant = lm_mem_calloc(tenants->mem, 1, sizeof *tenant + name.len);
    if (!tenant) return lm_mem_err();
    memcpy(tenant + 1, name.ptr, name.len);
    tenant->name = (lm_str){(uint8_t *)(tenant + 1), name.len};
    tenant->hash = hash;
    (void)pthread_mutex_init(&tenant->lock, NULL);
    tenant->next = tenants->chains[hash % TENANT_BUCKETS];
    tenants->chains[hash % TENANT_BUCKETS] = tenant;
    tenants->count++;
    *out = tenant;
    return LM_OK;
}

lm_err server_tenant_get(server_tenants *tenants, lm_str name, server_tenant **out)
{
    uint64_t hash = lm_hash64(name.ptr, name.len);
    lm_err err = LM_OK;
    (void)pthread_rwlock_rdlock(&tenants->lock);
    server_tenant *tenant = find(tenants, name, hash);
    (void)pthread_rwlock_unlock(&tenants->lock);
    if (!tenant) {
        (void)pthread_rwlock_wrlock(&tenants->lock);
        tenant = find(tenants, name, hash); /* another thread may have been quicker */
        if (!tenant) err = add(tenants, name, hash, &tenant);
        (void)pthread_rwlock_unlock(&tenants->lock);
    }
    if (!err) *out = tenant;
    return err;
}

/* ---- limits ---- */

/** The slot of a stream's hash in a set; 0 marks a free one, so a hash of 0 is kept as 1. */
static uint64_t *slot_of(uint64_t *set, size_t cap, uint64_t hash)
{
    size_t at = (size_t)hash & (cap - 1);
    while (set[at] && set[at] != hash)
        at = (at + 1) & (cap - 1);
    return &set[at];
}

static bool set_has(const server_tenant *tenant, size_t which, uint64_t hash)
{
    size_t cap = tenant->stream_caps[which];
    return cap && *slot_of(tenant->streams[which], cap, hash);
}

static lm_err set_add(server_tenant *tenant, lm_mem *mem, uint64_t hash)
{
    size_t cap = tenant->stream_caps[0];
    if (2 * (tenant->stream_counts[0] + 1) > cap) {
        size_t wider = cap ? cap * 2 : STREAMS_AT_FIRST;
        uint64_t *set = lm_mem_calloc(mem, wider, sizeof *set);
        if (!set) return lm_mem_err();
        for (size_t i = 0; i < cap; i++) {
            uint64_t old = tenant->streams[0][i];
            if (old) *slot_of(set, wider, old) = old;
        }
        lm_mem_release(mem, tenant->streams[0], cap * sizeof *set);
        tenant->streams[0] = set;
        tenant->stream_caps[0] = wider;
    }
    *slot_of(tenant->streams[0], tenant->stream_caps[0], hash) = hash;
    tenant->stream_counts[0]++;
    return LM_OK;
}

static void turn_sets(server_tenant *tenant, lm_mem *mem, uint64_t now_ns)
{
    if (now_ns - tenant->turned_ns < HALF_HOUR_NS) return;
    lm_mem_release(mem, tenant->streams[1], tenant->stream_caps[1] * sizeof(uint64_t));
    tenant->streams[1] = tenant->streams[0];
    tenant->stream_caps[1] = tenant->stream_caps[0];
    tenant->stream_counts[1] = tenant->stream_counts[0];
    tenant->streams[0] = NULL;
    tenant->stream_caps[0] = tenant->stream_counts[0] = 0;
    tenant->turned_ns = now_ns;
}

/** Streams of the one before that are not in this one count too, so a stream is counted twice at
 * most while it moves over: the sum is kept by taking it out of the count there. */
static lm_err admit_streams(server_tenant *tenant, lm_mem *mem, uint64_t limit,
                            const lm_record_batch *batch, uint64_t now_ns)
{
    turn_sets(tenant, mem, now_ns);
    for (size_t i = 0; i < batch->stream_count; i++) {
        uint64_t hash = batch->streams[i].hash ? batch->streams[i].hash : 1;
        if (set_has(tenant, 0, hash)) continue;
        bool was_before = set_has(tenant, 1, hash);
        size_t active = tenant->stream_counts[0] + tenant->stream_counts[1];
        if (!was_before && active >= limit)
            return lm_fail(LM_E_LIMIT,
                           "maximum active stream limit exceeded for user '%.*s' (limit: %" PRIu64
                           "), reduce the number of active streams",
                           (int)tenant->name.len, (const char *)tenant->name.ptr, limit);
        lm_err err = set_add(tenant, mem, hash);
        if (err) return err;
        if (was_before) tenant->stream_counts[1]--;
    }
    return LM_OK;
}

static lm_err admit_rate(server_tenant *tenant, const lm_config_limits *limits,
                         const lm_record_batch *batch, uint64_t now_ns, uint64_t *out_retry_s)
{
    double rate = (double)limits->rate;
    double most = limits->burst ? (double)limits->burst : rate * BURST_SECONDS;
    double bytes = (double)batch->bytes;
    if (!tenant->filled_ns)
        tenant->tokens = most;
    else
        tenant->tokens += rate * (double)(now_ns - tenant->filled_ns) / 1e9;
    tenant->filled_ns = now_ns;
    if (tenant->tokens > most) tenant->tokens = most;
    if (bytes > tenant->tokens) {
        double wait = (bytes - tenant->tokens) / rate;
        *out_retry_s = wait < 1 ? 1 : wait > 60 ? 60 : (uint64_t)wait;
        return lm_fail(LM_E_LIMIT,
                       "ingestion rate limit exceeded for user '%.*s' (limit: %" PRIu64
                       " bytes/sec) while attempting to ingest '%zu' lines totaling '%" PRIu64
                       "' bytes",
                       (int)tenant->name.len, (const char *)tenant->name.ptr, limits->rate,
                       batch->record_count, batch->bytes);
    }
    tenant->tokens -= bytes;
    return LM_OK;
}

lm_err server_tenant_admit(server_tenant *tenant, lm_mem *mem, const lm_config_limits *limits,
                           const lm_record_batch *batch, uint64_t now_ns, uint64_t *out_retry_s)
{
    lm_err err = LM_OK;
    *out_retry_s = 1;
    if (!limits->rate && !limits->streams) return LM_OK;
    (void)pthread_mutex_lock(&tenant->lock);
    if (limits->streams) {
        err = admit_streams(tenant, mem, limits->streams, batch, now_ns);
        if (err) {
            tenant->refused[REFUSED_STREAMS] += batch->record_count;
            *out_retry_s = 60;
        }
    }
    if (!err && limits->rate) {
        err = admit_rate(tenant, limits, batch, now_ns, out_retry_s);
        if (err) tenant->refused[REFUSED_RATE] += batch->record_count;
    }
    (void)pthread_mutex_unlock(&tenant->lock);
    return err;
}

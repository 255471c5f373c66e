/**
 * Tree to lm_config. Keys of one value come from control_keys.def: a row knows its section, its
 * type and its place in the struct, so that reading, defaults and printing (control_show.c) never
 * differ. Lists and mappings have a function each.
 */
#include "control/control_load_priv.h"
#include "control/control_rows_priv.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROW(section, name, kind, initial, max)                                                     \
    {#section, #name, kind, offsetof(lm_config, section##_##name), initial, max},

const lm_key_row lm_key_rows[] = {
#define LM_KEY_TEXT(section, name, initial, help)     ROW(section, name, KEY_TEXT, initial, 0)
#define LM_KEY_SIZE(section, name, initial, help)     ROW(section, name, KEY_SIZE, initial, 0)
#define LM_KEY_DURATION(section, name, initial, help) ROW(section, name, KEY_DURATION, initial, 0)
#define LM_KEY_NUMBER(section, name, initial, max, help)                                           \
    ROW(section, name, KEY_NUMBER, #initial, max)
#define LM_KEY_BOOL(section, name, initial, help) ROW(section, name, KEY_BOOL, #initial, 0)
#include "control/control_keys.def"
};
const size_t lm_key_row_count = sizeof lm_key_rows / sizeof lm_key_rows[0];

lm_err lm_load_wrong_key(const lm_loader *l, const lm_node *key, const char *where,
                         const char *expected)
{
    return lm_node_wrong(&l->place, key, "%s has no key '%.60s'; expected: %s", where, key->text,
                         expected);
}

lm_err lm_load_need(const lm_loader *l, const lm_node *node, node_kind kind, const char *what)
{
    static const char *const names[] = {"a single value", "a list", "keys with values"};
    if (node->kind == kind) return LM_OK;
    return lm_node_wrong(&l->place, node, "%s must be %s", what, names[kind]);
}

/* ---- single values ---- */

lm_err lm_load_text(const lm_loader *l, const lm_node *node, const char *what, const char **out)
{
    lm_err err = lm_load_need(l, node, NODE_SCALAR, what);
    if (!err) *out = node->text;
    return err;
}

static lm_err read_duration(const lm_loader *l, const lm_node *node, const char *what,
                            uint64_t *out)
{
    lm_err err = lm_load_need(l, node, NODE_SCALAR, what);
    if (err) return err;
    if (lm_duration_read(lm_str_of(node->text), out)) return LM_OK;
    return lm_node_wrong(&l->place, node,
                         "%s must be a duration with a unit, like 5s, 10m or 30d, not '%.60s'",
                         what, node->text);
}

static lm_err read_size(const lm_loader *l, const lm_node *node, const char *what, uint64_t *out)
{
    lm_err err = lm_load_need(l, node, NODE_SCALAR, what);
    if (err) return err;
    if (lm_size_read(lm_str_of(node->text), out)) return LM_OK;
    return lm_node_wrong(&l->place, node,
                         "%s must be a size with a unit, like 64MiB or 10GB, not '%.60s'", what,
                         node->text);
}

static lm_err read_number(const lm_loader *l, const lm_node *node, const char *what, uint64_t max,
                          uint64_t *out)
{
    uint64_t value = 0;
    lm_err err = lm_load_need(l, node, NODE_SCALAR, what);
    if (err) return err;
    bool is_number = node->text[0] && !node->is_quoted;
    for (const char *p = node->text; *p && is_number; p++) {
        is_number = *p >= '0' && *p <= '9' && !__builtin_mul_overflow(value, 10u, &value) &&
                    !__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value) && value <= max;
    }
    if (!is_number)
        return lm_node_wrong(&l->place, node, "%s must be a whole number up to %llu, not '%.60s'",
                             what, (unsigned long long)max, node->text);
    *out = value;
    return LM_OK;
}

static lm_err read_bool(const lm_loader *l, const lm_node *node, const char *what, bool *out)
{
    lm_err err = lm_load_need(l, node, NODE_SCALAR, what);
    if (err) return err;
    bool is_true = !node->is_quoted && strcmp(node->text, "true") == 0;
    if (!is_true && (node->is_quoted || strcmp(node->text, "false") != 0))
        return lm_node_wrong(&l->place, node, "%s must be true or false, not '%.60s'", what,
                             node->text);
    *out = is_true;
    return LM_OK;
}

static lm_err read_tenant(const lm_loader *l, const lm_node *node, const char **out)
{
    lm_err err = lm_load_need(l, node, NODE_SCALAR, "a tenant");
    if (err) return err;
    if (!lm_tenant_is_valid(lm_str_of(node->text)))
        return lm_node_wrong(&l->place, node, "'%.60s' may not be a tenant's name", node->text);
    *out = node->text;
    return LM_OK;
}

static lm_err read_row(const lm_loader *l, const lm_key_row *row, const lm_node *node)
{
    char what[80];
    void *at = (char *)l->config + row->offset;
    (void)snprintf(what, sizeof what, "%s.%s", row->section, row->name);
    switch (row->kind) {
    case KEY_TEXT:
        return lm_load_text(l, node, what, at);
    case KEY_SIZE:
        return read_size(l, node, what, at);
    case KEY_DURATION:
        return read_duration(l, node, what, at);
    case KEY_NUMBER:
        return read_number(l, node, what, row->max, at);
    case KEY_BOOL:
        return read_bool(l, node, what, at);
    }
    return LM_OK;
}

/** Zeroed items for each of a list's children. */
lm_err lm_load_items(const lm_loader *l, const lm_node *node, size_t item_bytes, void *out)
{
    void *items = lm_arena_alloc(l->place.arena, node->count * item_bytes + 1, 16);
    if (!items) return lm_mem_err();
    memset(items, 0, node->count * item_bytes);
    *(void **)out = items;
    return LM_OK;
}

lm_err lm_load_texts(const lm_loader *l, const lm_node *node, const char *what,
                     const char *const **out, size_t *out_count)
{
    const char **items = NULL;
    if (node->kind == NODE_SCALAR) {
        lm_node one = {.kind = NODE_LIST, .count = 1};
        lm_err err = lm_load_items(l, &one, sizeof *items, &items);
        if (err) return err;
        items[0] = node->text;
        *out = items;
        *out_count = 1;
        return LM_OK;
    }
    lm_err err = lm_load_need(l, node, NODE_LIST, what);
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    size_t count = 0;
    for (const lm_node *item = err ? NULL : node->child; item && !err; item = item->next)
        err = lm_load_text(l, item, what, &items[count++]);
    if (err) return err;
    *out = items;
    *out_count = count;
    return LM_OK;
}

/* ---- listeners ---- */

static lm_err read_tls(const lm_loader *l, const lm_node *node, lm_config_tls *out)
{
    lm_err err = lm_load_need(l, node, NODE_MAP, "'tls'");
    if (err) return err;
    for (const lm_node *key = node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "certificate") == 0)
            err = lm_load_text(l, key->child, "a certificate's path", &out->certificate);
        else if (strcmp(key->text, "key") == 0)
            err = lm_load_text(l, key->child, "a key's path", &out->key);
        else if (strcmp(key->text, "client_ca") == 0)
            err = lm_load_text(l, key->child, "a path", &out->client_ca);
        else
            err = lm_load_wrong_key(l, key, "'tls'", "certificate, key, client_ca");
    }
    if (!err && (!out->certificate[0] || !out->key[0]))
        err = lm_node_wrong(&l->place, node, "'tls' needs both certificate and key");
    return err;
}

#define NO_TLS ((lm_config_tls){"", "", ""})

static lm_err read_listen(const lm_loader *l, const lm_node *node, lm_config_door door,
                          lm_config_listen *out)
{
    *out = (lm_config_listen){.door = door, .address = "", .tls = NO_TLS};
    const lm_node *address = node;
    lm_err err = LM_OK;
    if (node->kind == NODE_MAP) {
        address = NULL;
        for (const lm_node *key = node->child; key && !err; key = key->next) {
            if (strcmp(key->text, "address") == 0)
                address = key->child;
            else if (strcmp(key->text, "tls") == 0)
                err = read_tls(l, key->child, &out->tls);
            else
                err = lm_load_wrong_key(l, key, "a listener", "address, tls");
        }
        if (!err && !address) err = lm_node_wrong(&l->place, node, "a listener needs an address");
    }
    if (!err) err = lm_load_text(l, address, "a listener", &out->address);
    if (err || !out->address[0]) return err;
    char host[256];
    uint16_t port;
    if (lm_address_split(out->address, host, &port))
        return lm_node_wrong(&l->place, address, "%s", lm_err_text());
    return LM_OK;
}

static const char *const door_keys[] = {"http", "elasticsearch", "otlp_http", "otlp_grpc"};
/** What a build cannot do it does not do by default. */
static const char *const door_defaults[] = {"127.0.0.1:3100", "127.0.0.1:9200", "127.0.0.1:4318",
                                            LM_HAVE_GRPC ? "127.0.0.1:4317" : ""};

#define DOOR_COUNT 4

static lm_err read_listens(const lm_loader *l, const lm_node *node)
{
    lm_config *config = l->config;
    lm_err err = node ? lm_load_need(l, node, NODE_MAP, "'listen'") : LM_OK;
    if (err) return err;
    const lm_node *given[DOOR_COUNT] = {0};
    size_t count = DOOR_COUNT;
    for (const lm_node *key = node ? node->child : NULL; key; key = key->next) {
        size_t door = 0;
        while (door < DOOR_COUNT && strcmp(key->text, door_keys[door]) != 0)
            door++;
        if (door == DOOR_COUNT)
            return lm_load_wrong_key(l, key, "'listen'",
                                     "http, elasticsearch, otlp_http, otlp_grpc");
        given[door] = key->child;
        count += key->child->count;
    }
    lm_node all = {.kind = NODE_LIST, .count = (uint32_t)count};
    lm_config_listen *items = NULL;
    err = lm_load_items(l, &all, sizeof *items, &items);
    if (err) return err;
    count = 0;
    for (size_t door = 0; door < DOOR_COUNT; door++) {
        const lm_node *value = given[door];
        lm_config_door kind = (lm_config_door)door;
        if (!value) {
            if (door_defaults[door][0])
                items[count++] = (lm_config_listen){kind, door_defaults[door], NO_TLS};
            continue;
        }
        bool is_list = value->kind == NODE_LIST;
        for (const lm_node *item = is_list ? value->child : value; item && !err;
             item = is_list ? item->next : NULL) {
            err = read_listen(l, item, kind, &items[count]);
            if (!err && items[count].address[0]) count++;
        }
        if (err) return err;
    }
    config->listens = items;
    config->listen_count = count;
    return LM_OK;
}

/* ---- limits and tenants ---- */

static bool is_label_name(const char *text)
{
    bool is_name = *text && !(*text >= '0' && *text <= '9');
    for (; *text && is_name; text++) {
        is_name = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                  (*text >= '0' && *text <= '9') || *text == '_';
    }
    return is_name;
}

/** Loki's own list, in its order. */
static const char *const service_names[] = {
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
};

static lm_err read_service_names(const lm_loader *l, const lm_node *node, lm_config_limits *io)
{
    lm_err err = lm_load_texts(l, node, "discover_service_name", &io->service_names,
                               &io->service_name_count);
    for (size_t i = 0; i < io->service_name_count && !err; i++) {
        if (!is_label_name(io->service_names[i]))
            err = lm_node_wrong(&l->place, node, "'%.60s' is not a label's name",
                                io->service_names[i]);
    }
    return err;
}

static lm_err read_limits(const lm_loader *l, const lm_node *node, lm_config_limits *io)
{
    lm_err err = lm_load_need(l, node, NODE_MAP, "limits");
    if (err) return err;
    for (const lm_node *key = node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "rate") == 0)
            err = read_size(l, key->child, "rate (bytes a second)", &io->rate);
        else if (strcmp(key->text, "burst") == 0)
            err = read_size(l, key->child, "burst", &io->burst);
        else if (strcmp(key->text, "streams") == 0)
            err = read_number(l, key->child, "streams", LM_SERVER_STREAMS_MAX, &io->streams);
        else if (strcmp(key->text, "query_time") == 0)
            err = read_duration(l, key->child, "query_time", &io->query_time);
        else if (strcmp(key->text, "retention") == 0)
            err = read_duration(l, key->child, "retention", &io->retention);
        else if (strcmp(key->text, "discover_service_name") == 0)
            err = read_service_names(l, key->child, io);
        else
            err = lm_load_wrong_key(
                l, key, "limits",
                "rate, burst, streams, query_time, retention, discover_service_name");
    }
    return err;
}

static lm_err read_tenants(const lm_loader *l, const lm_node *node)
{
    lm_config_tenant *items = NULL;
    lm_err err = lm_load_need(l, node, NODE_MAP, "'tenants'");
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    size_t count = 0;
    for (const lm_node *key = err ? NULL : node->child; key && !err; key = key->next) {
        items[count].limits = l->config->limits;
        lm_node name = *key;
        name.kind = NODE_SCALAR;
        err = read_tenant(l, &name, &items[count].name);
        if (!err) err = read_limits(l, key->child, &items[count].limits);
        count++;
    }
    if (err) return err;
    l->config->tenants = items;
    l->config->tenant_count = count;
    return LM_OK;
}

/* ---- users and tokens ---- */

static lm_err read_scopes(const lm_loader *l, const lm_node *node, uint32_t *out)
{
    uint32_t scopes = 0;
    lm_err err = lm_load_need(l, node, NODE_LIST, "'scopes'");
    for (const lm_node *item = err ? NULL : node->child; item && !err; item = item->next) {
        const char *text = "";
        err = lm_load_text(l, item, "a scope", &text);
        if (err) return err;
        if (strcmp(text, "write") == 0)
            scopes |= LM_SCOPE_WRITE;
        else if (strcmp(text, "read") == 0)
            scopes |= LM_SCOPE_READ;
        else if (strcmp(text, "admin") == 0)
            scopes |= LM_SCOPE_ADMIN;
        else
            err = lm_node_wrong(&l->place, item,
                                "'%.60s' is no scope; expected: write, read, admin", text);
    }
    if (!err) *out = scopes;
    return err;
}

/** One of users or tokens: they differ in the key that holds the hash. */
static lm_err read_secret(const lm_loader *l, const lm_node *node, const char *hash_key,
                          const char *hash_prefix, lm_config_user *out)
{
    char expected[80];
    const lm_node *hash = NULL;
    *out = (lm_config_user){"", "", "", LM_SCOPE_WRITE | LM_SCOPE_READ};
    lm_err err = lm_load_need(l, node, NODE_MAP, "a user or token");
    if (err) return err;
    (void)snprintf(expected, sizeof expected, "name, %s, tenant, scopes", hash_key);
    for (const lm_node *key = node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "name") == 0)
            err = lm_load_text(l, key->child, "a name", &out->name);
        else if (strcmp(key->text, hash_key) == 0)
            err = lm_load_text(l, hash = key->child, hash_key, &out->hash);
        else if (strcmp(key->text, "tenant") == 0)
            err = read_tenant(l, key->child, &out->tenant);
        else if (strcmp(key->text, "scopes") == 0)
            err = read_scopes(l, key->child, &out->scopes);
        else
            err = lm_load_wrong_key(l, key, "this", expected);
    }
    if (err) return err;
    if (!out->name[0] || !hash)
        return lm_node_wrong(&l->place, node, "this needs name and %s", hash_key);
    if (strncmp(out->hash, hash_prefix, strlen(hash_prefix)) != 0 ||
        strlen(out->hash) >= LM_SECRET_HASH_MAX)
        return lm_node_wrong(&l->place, hash,
                             "%s must be what 'logmill config hash' prints (%s...)", hash_key,
                             hash_prefix);
    return LM_OK;
}

static lm_err read_users(const lm_loader *l, const lm_node *node)
{
    lm_config_user *items = NULL;
    lm_err err = lm_load_need(l, node, NODE_LIST, "auth.users");
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    size_t count = 0;
    for (const lm_node *item = err ? NULL : node->child; item && !err; item = item->next)
        err = read_secret(l, item, "password_hash", "$argon2", &items[count++]);
    if (err) return err;
    l->config->users = items;
    l->config->user_count = count;
    return LM_OK;
}

static lm_err read_tokens(const lm_loader *l, const lm_node *node)
{
    lm_config_token *items = NULL;
    lm_err err = lm_load_need(l, node, NODE_LIST, "auth.tokens");
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    size_t count = 0;
    for (const lm_node *item = err ? NULL : node->child; item && !err; item = item->next) {
        lm_config_user secret;
        err = read_secret(l, item, "hash", "blake2b:", &secret);
        if (!err)
            items[count++] =
                (lm_config_token){secret.name, secret.hash, secret.tenant, secret.scopes};
    }
    if (err) return err;
    l->config->tokens = items;
    l->config->token_count = count;
    return LM_OK;
}

/* ---- sources ---- */

static lm_err read_labels(const lm_loader *l, const lm_node *node, lm_config_source *out)
{
    lm_config_label *items = NULL;
    lm_err err = lm_load_need(l, node, NODE_MAP, "'labels'");
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    size_t count = 0;
    for (const lm_node *key = err ? NULL : node->child; key && !err; key = key->next) {
        if (!is_label_name(key->text))
            return lm_node_wrong(&l->place, key, "'%.60s' is not a label's name", key->text);
        items[count].name = key->text;
        err = lm_load_text(l, key->child, "a label's value", &items[count++].value);
    }
    if (err) return err;
    out->labels = items;
    out->label_count = count;
    return LM_OK;
}

static const char *const kind_names[] = {"files", "syslog", "pipe", "journal", "kafka"};
static const char *const kind_keys[] = {
    "type, paths, exclude, start_pattern, from_end, poll, tenant, labels",
    "type, address, udp, tcp, tls, message_size_max, tenant, labels",
    "type, path, tenant, labels",
    "type, path, tenant, labels",
    lm_kafka_keys,
};

/** A key that only some kinds have. LM_E_NOTFOUND: none of theirs. */
static lm_err read_kind_key(const lm_loader *l, const lm_node *key, lm_config_source *out)
{
    bool is_files = out->kind == LM_SOURCE_FILES, is_syslog = out->kind == LM_SOURCE_SYSLOG;
    if (out->kind == LM_SOURCE_KAFKA) return lm_kafka_key_read(l, key, &out->kafka);
    const lm_node *value = key->child;
    const char *name = key->text;
    if (is_files && strcmp(name, "paths") == 0)
        return lm_load_texts(l, value, "paths", &out->paths, &out->path_count);
    if (is_files && strcmp(name, "exclude") == 0)
        return lm_load_texts(l, value, "exclude", &out->excludes, &out->exclude_count);
    if (is_files && strcmp(name, "start_pattern") == 0)
        return lm_load_text(l, value, "start_pattern", &out->start_pattern);
    if (is_files && strcmp(name, "from_end") == 0)
        return read_bool(l, value, "from_end", &out->from_end);
    if (is_files && strcmp(name, "poll") == 0) return read_duration(l, value, "poll", &out->poll);
    if (is_syslog && strcmp(name, "address") == 0)
        return lm_load_text(l, value, "address", &out->address);
    if (is_syslog && strcmp(name, "udp") == 0) return read_bool(l, value, "udp", &out->udp);
    if (is_syslog && strcmp(name, "tcp") == 0) return read_bool(l, value, "tcp", &out->tcp);
    if (is_syslog && strcmp(name, "tls") == 0) return read_tls(l, value, &out->tls);
    if (is_syslog && strcmp(name, "message_size_max") == 0)
        return read_size(l, value, "message_size_max", &out->message_size_max);
    if (!is_files && !is_syslog && strcmp(name, "path") == 0)
        return lm_load_text(l, value, "path", &out->path);
    return lm_load_wrong_key(l, key, "this source", kind_keys[out->kind]);
}

static lm_err check_source(const lm_loader *l, const lm_node *node, lm_config_source *out)
{
    if (out->kind == LM_SOURCE_FILES && !out->path_count)
        return lm_node_wrong(&l->place, node, "a source of files needs paths");
    if (out->kind == LM_SOURCE_PIPE && !out->path[0])
        return lm_node_wrong(&l->place, node, "a pipe needs a path ('-': standard input)");
    if (out->kind == LM_SOURCE_KAFKA) return lm_kafka_check(l, node, &out->kafka);
    if (out->kind != LM_SOURCE_SYSLOG) return LM_OK;
    if (out->tls.certificate[0]) {
        if (out->udp)
            return lm_node_wrong(&l->place, node, "TLS is for TCP: this source needs udp: false");
        out->tcp = true;
    }
    if (!out->udp && !out->tcp)
        return lm_node_wrong(&l->place, node, "a source of syslog needs udp or tcp");
    char host[256];
    uint16_t port;
    if (out->address[0] != '/' && lm_address_split(out->address, host, &port))
        return lm_node_wrong(&l->place, node, "%s", lm_err_text());
    return LM_OK;
}

static void source_init(lm_config_source *out, lm_config_kind kind)
{
    *out = (lm_config_source){.kind = kind,
                              .start_pattern = "",
                              .address = "127.0.0.1:1514",
                              .udp = true,
                              .tcp = true,
                              .tls = NO_TLS,
                              .path = "",
                              .kafka = lm_kafka_initial,
                              .tenant = ""};
}

static lm_err read_source(const lm_loader *l, const lm_node *node, lm_config_source *out)
{
    const lm_node *type = NULL;
    lm_err err = lm_load_need(l, node, NODE_MAP, "a source");
    if (err) return err;
    for (const lm_node *key = node->child; key; key = key->next) {
        if (strcmp(key->text, "type") == 0) type = key->child;
    }
    if (!type)
        return lm_node_wrong(&l->place, node,
                             "a source needs a type: files, syslog, pipe, journal, kafka");
    err = lm_load_need(l, type, NODE_SCALAR, "type");
    if (err) return err;
    size_t kind = 0, kinds = sizeof kind_names / sizeof kind_names[0];
    while (kind < kinds && strcmp(type->text, kind_names[kind]) != 0)
        kind++;
    if (kind == kinds)
        return lm_node_wrong(
            &l->place, type,
            "there is no source '%.60s'; expected: files, syslog, pipe, journal, kafka",
            type->text);
    source_init(out, (lm_config_kind)kind);
    for (const lm_node *key = node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "type") == 0) continue;
        if (strcmp(key->text, "tenant") == 0)
            err = read_tenant(l, key->child, &out->tenant);
        else if (strcmp(key->text, "labels") == 0)
            err = read_labels(l, key->child, out);
        else
            err = read_kind_key(l, key, out);
    }
    return err ? err : check_source(l, node, out);
}

static lm_err read_sources(const lm_loader *l, const lm_node *node)
{
    lm_node one = {.kind = NODE_LIST, .count = 1};
    lm_config_source *items = NULL;
    lm_err err = node ? lm_load_need(l, node, NODE_LIST, "'sources'") : LM_OK;
    if (!err) err = lm_load_items(l, node ? node : &one, sizeof *items, &items);
    if (err) return err;
    size_t count = 0;
    if (!node) source_init(&items[count++], LM_SOURCE_SYSLOG);
    for (const lm_node *item = node ? node->child : NULL; item && !err; item = item->next)
        err = read_source(l, item, &items[count++]);
    if (err) return err;
    l->config->sources = items;
    l->config->source_count = count;
    l->config->sources_are_default = !node;
    return LM_OK;
}

/* ---- the whole ---- */

static bool is_section(const char *name)
{
    for (size_t i = 0; i < lm_key_row_count; i++) {
        if (strcmp(lm_key_rows[i].section, name) == 0) return true;
    }
    return false;
}

static lm_err read_section(const lm_loader *l, const lm_node *key)
{
    char expected[200] = "", where[40];
    lm_err err = lm_load_need(l, key->child, NODE_MAP, key->text);
    if (err) return err;
    for (size_t i = 0; i < lm_key_row_count; i++) {
        if (strcmp(lm_key_rows[i].section, key->text) != 0) continue;
        size_t len = strlen(expected);
        (void)snprintf(expected + len, sizeof expected - len, "%s%s", len ? ", " : "",
                       lm_key_rows[i].name);
    }
    bool is_auth = strcmp(key->text, "auth") == 0;
    (void)snprintf(where, sizeof where, "'%.30s'", key->text);
    if (is_auth) (void)strncat(expected, ", users, tokens", sizeof expected - strlen(expected) - 1);
    for (const lm_node *item = key->child->child; item && !err; item = item->next) {
        const lm_key_row *row = NULL;
        for (size_t i = 0; i < lm_key_row_count; i++) {
            if (strcmp(lm_key_rows[i].section, key->text) == 0 &&
                strcmp(lm_key_rows[i].name, item->text) == 0)
                row = &lm_key_rows[i];
        }
        if (row)
            err = read_row(l, row, item->child);
        else if (is_auth && strcmp(item->text, "users") == 0)
            err = read_users(l, item->child);
        else if (is_auth && strcmp(item->text, "tokens") == 0)
            err = read_tokens(l, item->child);
        else
            err = lm_load_wrong_key(l, item, where, expected);
    }
    return err;
}

static lm_err read_root(const lm_loader *l, const lm_node *root)
{
    const lm_node *listen = NULL, *tenants = NULL, *sources = NULL;
    lm_err err = root ? lm_load_need(l, root, NODE_MAP, "the file") : LM_OK;
    for (const lm_node *key = root && !err ? root->child : NULL; key && !err; key = key->next) {
        if (strcmp(key->text, "listen") == 0)
            listen = key->child;
        else if (strcmp(key->text, "limits") == 0)
            err = read_limits(l, key->child, &l->config->limits);
        else if (strcmp(key->text, "tenants") == 0)
            tenants = key->child;
        else if (strcmp(key->text, "sources") == 0)
            sources = key->child;
        else if (is_section(key->text))
            err = read_section(l, key);
        else
            err = lm_load_wrong_key(
                l, key, "the file",
                "listen, storage, ingest, memory, mill, query, limits, tenants, auth, "
                "sources, shutdown");
    }
    if (!err) err = read_listens(l, listen);
    if (!err && tenants) err = read_tenants(l, tenants); /* after limits, which fill them up */
    if (!err) err = read_sources(l, sources);
    if (!err && root && l->config->auth_enabled && !l->config->user_count &&
        !l->config->token_count)
        err = lm_node_wrong(&l->place, root, "auth.enabled needs auth.users or auth.tokens");
    return err;
}

static lm_err read_defaults(const lm_loader *l)
{
    lm_err err = LM_OK;
    for (size_t i = 0; i < lm_key_row_count && !err; i++) {
        lm_node node = {.kind = NODE_SCALAR, .text = lm_key_rows[i].initial};
        err = read_row(l, &lm_key_rows[i], &node);
    }
    l->config->limits.service_names = service_names;
    l->config->limits.service_name_count = sizeof service_names / sizeof service_names[0];
    return err;
}

/** Where an unprivileged user's data belong (XDG base directories). */
static lm_err default_path(const lm_loader *l, const char **out)
{
    char path[LM_PATH_BYTES_MAX];
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && data[0] == '/')
        (void)snprintf(path, sizeof path, "%s/logmill", data);
    else if (home && home[0] == '/')
        (void)snprintf(path, sizeof path, "%s/.local/share/logmill", home);
    else
        return lm_fail(LM_E_USAGE,
                       "there is no home folder to store in: storage.path must be given");
    *out = lm_arena_copy(l->place.arena, path, strlen(path));
    return *out ? LM_OK : lm_mem_err();
}

lm_err lm_config_parse(lm_mem *mem, const char *name, lm_str text, lm_config **out)
{
    lm_config *config = lm_mem_calloc(mem, 1, sizeof *config);
    if (!config) return lm_mem_err();
    config->mem = mem;
    lm_arena_init(&config->arena, mem);
    lm_loader l = {.place = {.name = name, .arena = &config->arena}, .config = config};
    lm_node *root = NULL;
    lm_err err = read_defaults(&l);
    config->path = lm_arena_copy(&config->arena, name, strlen(name));
    if (!err && !config->path) err = lm_mem_err();
    if (!err) err = lm_tree_read(&l.place, text, &root);
    if (!err) err = read_root(&l, root);
    if (!err && !config->storage_path[0]) err = default_path(&l, &config->storage_path);
    if (err) {
        lm_config_free(config);
        return err;
    }
    *out = config;
    return LM_OK;
}

lm_err lm_config_default(lm_mem *mem, lm_config **out)
{
    return lm_config_parse(mem, "", LM_STR(""), out);
}

lm_err lm_config_load(lm_mem *mem, const char *path, lm_config **out)
{
    lm_buf text;
    lm_buf_init(&text, mem);
    lm_err err = lm_file_read_all(path, LM_YAML_BYTES_MAX, &text);
    if (!err) err = lm_config_parse(mem, path, (lm_str){text.ptr, text.len}, out);
    lm_buf_fini(&text);
    return err;
}

void lm_config_free(lm_config *config)
{
    if (!config) return;
    lm_arena_fini(&config->arena);
    lm_mem_release(config->mem, config, sizeof *config);
}

lm_err lm_config_listen_set(lm_config *config, const char *const *addresses, size_t count)
{
    char host[256];
    uint16_t port;
    lm_config_listen *items =
        lm_arena_alloc(&config->arena, (count + 1) * sizeof *items, _Alignof(lm_config_listen));
    if (!items) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        lm_err err = lm_address_split(addresses[i], host, &port);
        if (err) return err;
        const char *copy = lm_arena_copy(&config->arena, addresses[i], strlen(addresses[i]));
        if (!copy) return lm_mem_err();
        items[i] = (lm_config_listen){LM_DOOR_HTTP, copy, NO_TLS};
    }
    config->listens = items;
    config->listen_count = count;
    return LM_OK;
}

lm_err lm_config_storage_set(lm_config *config, const char *path)
{
    const char *copy = lm_arena_copy(&config->arena, path, strlen(path));
    if (!copy) return lm_mem_err();
    config->storage_path = copy;
    return LM_OK;
}

const lm_config_limits *lm_config_limits_of(const lm_config *config, lm_str tenant)
{
    for (size_t i = 0; i < config->tenant_count; i++) {
        if (lm_str_equal(lm_str_of(config->tenants[i].name), tenant))
            return &config->tenants[i].limits;
    }
    return &config->limits;
}

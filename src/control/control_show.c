/**
 * A configuration as YAML again: what differs from the defaults, or everything. Secrets become
 * "***". Texts are written in double quotes, so that no value is taken for something else.
 */
#include "control/control_priv.h"
#include "control/control_rows_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct printer {
    lm_buf *out;
    lm_err err;
} printer;

static void put(printer *p, const char *fmt, ...) LM_PRINTF(2, 3);

static void put(printer *p, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    LM_ASSERT(len >= 0 && (size_t)len < sizeof text); /* texts of users go through put_text */
    if (!p->err) p->err = lm_buf_append(p->out, text, (size_t)len);
}

/** Signs that YAML takes for line ends, marks or nothing at all, as UTF-8; 0: c begins none. */
static unsigned special_sign(const unsigned char *c, size_t *out_bytes)
{
    if (c[0] == 0xC2 && c[1] >= 0x80 && c[1] <= 0xA0) {
        *out_bytes = 2;
        return c[1];
    }
    if (c[0] == 0xE2 && c[1] == 0x80 && (c[2] == 0xA8 || c[2] == 0xA9)) {
        *out_bytes = 3;
        return 0x2000u | (c[2] & 0x3Fu);
    }
    if (c[0] == 0xEF && ((c[1] == 0xBB && c[2] == 0xBF) || (c[1] == 0xBF && c[2] >= 0xBE))) {
        *out_bytes = 3;
        return 0xF000u | (c[1] & 0x3Fu) << 6 | (c[2] & 0x3Fu);
    }
    return 0;
}

/** In double quotes; what YAML or expansion would change is escaped. */
static void put_text(printer *p, const char *text)
{
    put(p, "\"");
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        size_t bytes = 0;
        unsigned special = special_sign((const unsigned char *)c, &bytes);
        if (special) {
            put(p, "\\u%04x", special);
            c += bytes - 1;
        } else if (*c == '"' || *c == '\\') {
            put(p, "\\%c", *c);
        } else if (strncmp(c, "${", 2) == 0) {
            put(p, "$$");
        } else if (byte < 0x20 || byte == 0x7f) {
            put(p, "\\x%02x", byte);
        } else {
            put(p, "%c", *c);
        }
    }
    put(p, "\"");
}

static void put_row(printer *p, const lm_config *config, const lm_key_row *row)
{
    const void *at = (const char *)config + row->offset;
    char text[40];
    put(p, "  %s: ", row->name);
    switch (row->kind) {
    case KEY_TEXT:
        put_text(p, *(const char *const *)at);
        break;
    case KEY_SIZE:
        lm_size_print(*(const uint64_t *)at, text);
        put(p, "%s", text);
        break;
    case KEY_DURATION:
        lm_duration_print(*(const uint64_t *)at, text);
        put(p, "%s", text);
        break;
    case KEY_NUMBER:
        put(p, "%" PRIu64, *(const uint64_t *)at);
        break;
    case KEY_BOOL:
        put(p, "%s", *(const bool *)at ? "true" : "false");
        break;
    }
    put(p, "\n");
}

static bool row_differs(const lm_config *a, const lm_config *b, const lm_key_row *row)
{
    const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;
    switch (row->kind) {
    case KEY_TEXT:
        return strcmp(*(const char *const *)x, *(const char *const *)y) != 0;
    case KEY_BOOL:
        return *(const bool *)x != *(const bool *)y;
    default:
        return *(const uint64_t *)x != *(const uint64_t *)y;
    }
}

static void put_tls(printer *p, const lm_config_tls *tls)
{
    if (!tls->certificate[0]) return;
    put(p, ", tls: {certificate: ");
    put_text(p, tls->certificate);
    put(p, ", key: ");
    put_text(p, tls->key);
    if (tls->client_ca[0]) {
        put(p, ", client_ca: ");
        put_text(p, tls->client_ca);
    }
    put(p, "}");
}

static void put_listens(printer *p, const lm_config *config)
{
    static const char *const doors[] = {"http", "elasticsearch", "otlp_http", "otlp_grpc"};
    put(p, "listen:\n");
    for (size_t door = 0; door < sizeof doors / sizeof doors[0]; door++) {
        size_t count = 0;
        put(p, "  %s:", doors[door]);
        for (size_t i = 0; i < config->listen_count; i++) {
            const lm_config_listen *listen = &config->listens[i];
            if (listen->door != (lm_config_door)door) continue;
            put(p, "\n    - {address: ");
            put_text(p, listen->address);
            put_tls(p, &listen->tls);
            put(p, "}");
            count++;
        }
        put(p, "%s\n", count ? "" : " \"\"");
    }
}

static bool listens_differ(const lm_config *a, const lm_config *b)
{
    if (a->listen_count != b->listen_count) return true;
    for (size_t i = 0; i < a->listen_count; i++) {
        const lm_config_listen *x = &a->listens[i], *y = &b->listens[i];
        if (x->door != y->door || strcmp(x->address, y->address) != 0 || x->tls.certificate[0])
            return true;
    }
    return false;
}

static bool limits_differ(const lm_config_limits *a, const lm_config_limits *b)
{
    bool differ = a->rate != b->rate || a->burst != b->burst || a->streams != b->streams ||
                  a->query_time != b->query_time || a->retention != b->retention ||
                  a->service_name_count != b->service_name_count;
    for (size_t i = 0; i < a->service_name_count && !differ; i++)
        differ = strcmp(a->service_names[i], b->service_names[i]) != 0;
    return differ;
}

static void put_limits(printer *p, const char *indent, const lm_config_limits *limits)
{
    char rate[40], burst[40], query[40], retention[40];
    lm_size_print(limits->rate, rate);
    lm_size_print(limits->burst, burst);
    lm_duration_print(limits->query_time, query);
    lm_duration_print(limits->retention, retention);
    put(p, "%srate: %s\n%sburst: %s\n%sstreams: %" PRIu64 "\n%squery_time: %s\n%sretention: %s\n",
        indent, rate, indent, burst, indent, limits->streams, indent, query, indent, retention);
    put(p, "%sdiscover_service_name: [", indent);
    for (size_t i = 0; i < limits->service_name_count; i++)
        put(p, "%s%s", i ? ", " : "", limits->service_names[i]);
    put(p, "]\n");
}

static void put_tenants(printer *p, const lm_config *config)
{
    if (!config->tenant_count) return;
    put(p, "tenants:\n");
    for (size_t i = 0; i < config->tenant_count; i++) {
        put(p, "  ");
        put_text(p, config->tenants[i].name);
        put(p, ":\n");
        put_limits(p, "    ", &config->tenants[i].limits);
    }
}

static void put_secret(printer *p, const lm_config_user *user, const char *hash_key)
{
    put(p, "    - {name: ");
    put_text(p, user->name);
    put(p, ", %s: \"***\"", hash_key);
    if (user->tenant[0]) {
        put(p, ", tenant: ");
        put_text(p, user->tenant);
    }
    const char *between = "";
    put(p, ", scopes: [");
    static const char *const names[] = {"write", "read", "admin"};
    for (unsigned i = 0; i < 3; i++) {
        if (!(user->scopes & 1u << i)) continue;
        put(p, "%s%s", between, names[i]);
        between = ", ";
    }
    put(p, "]}\n");
}

static void put_secrets(printer *p, const lm_config *config)
{
    if (config->user_count) put(p, "  users:\n");
    for (size_t i = 0; i < config->user_count; i++)
        put_secret(p, &config->users[i], "password_hash");
    if (config->token_count) put(p, "  tokens:\n");
    for (size_t i = 0; i < config->token_count; i++) {
        const lm_config_token *token = &config->tokens[i];
        lm_config_user user = {token->name, token->hash, token->tenant, token->scopes};
        put_secret(p, &user, "hash");
    }
}

static void put_texts(printer *p, const char *key, const char *const *texts, size_t count)
{
    if (!count) return;
    put(p, "    %s: [", key);
    for (size_t i = 0; i < count; i++) {
        put(p, "%s", i ? ", " : "");
        put_text(p, texts[i]);
    }
    put(p, "]\n");
}

static void put_pair(printer *p, const char *key, const char *value)
{
    if (!value[0]) return;
    put(p, "    %s: ", key);
    put_text(p, value);
    put(p, "\n");
}

/** KEY: VALUE inside of a mapping; nothing if it is empty. */
static void put_inner(printer *p, const char *key, const char *value)
{
    if (!value[0]) return;
    put(p, "      %s: ", key);
    put_text(p, value);
    put(p, "\n");
}

static void put_kafka(printer *p, const lm_config_kafka *kafka)
{
    static const char *const names[] = {"partition", "offset", "key", "headers"};
    put_texts(p, "brokers", kafka->brokers, kafka->broker_count);
    put_texts(p, "topics", kafka->topics, kafka->topic_count);
    put_pair(p, "group_id", kafka->group_id);
    put_pair(p, "client_id", kafka->client_id);
    put(p, "    auto_offset_reset: %s\n", kafka->from_end ? "latest" : "earliest");
    if (kafka->mechanism[0]) {
        put(p, "    sasl:\n");
        put_inner(p, "mechanism", kafka->mechanism);
        put_inner(p, "username", kafka->username);
        put_inner(p, "password", kafka->password[0] ? "***" : "");
        put_inner(p, "password_file", kafka->password_file);
    }
    if (kafka->has_tls) {
        put(p, "    tls:%s\n", kafka->tls_ca[0] || kafka->tls_key[0] ? "" : " {}");
        put_inner(p, "ca", kafka->tls_ca);
        put_inner(p, "certificate", kafka->tls_certificate);
        put_inner(p, "key", kafka->tls_key);
    }
    if (kafka->option_count) put(p, "    options:\n");
    for (size_t i = 0; i < kafka->option_count; i++) {
        const lm_config_label *option = &kafka->options[i];
        put(p, "      ");
        put_text(p, option->name);
        put(p, ": ");
        put_text(p, lm_setting_is_secret(option->name) ? "***" : option->value);
        put(p, "\n");
    }
    put_pair(p, "message_field", kafka->message_field);
    put_pair(p, "time_field", kafka->time_field);
    put_texts(p, "stream_fields", kafka->stream_fields, kafka->stream_field_count);
    const char *between = "";
    put(p, "    metadata: [");
    for (size_t i = 0; i < 4; i++) {
        if (!(kafka->metadata & 1u << i)) continue;
        put(p, "%s%s", between, names[i]);
        between = ", ";
    }
    put(p, "]\n");
}

static void put_source(printer *p, const lm_config_source *source)
{
    static const char *const kinds[] = {"files", "syslog", "pipe", "journal", "kafka"};
    char text[40];
    put(p, "  - type: %s\n", kinds[source->kind]);
    put_texts(p, "paths", source->paths, source->path_count);
    put_texts(p, "exclude", source->excludes, source->exclude_count);
    put_pair(p, "start_pattern", source->start_pattern);
    if (source->kind == LM_SOURCE_FILES)
        put(p, "    from_end: %s\n", source->from_end ? "true" : "false");
    if (source->poll) {
        lm_duration_print(source->poll, text);
        put(p, "    poll: %s\n", text);
    }
    if (source->kind == LM_SOURCE_SYSLOG) {
        put_pair(p, "address", source->address);
        put(p, "    udp: %s\n    tcp: %s\n", source->udp ? "true" : "false",
            source->tcp ? "true" : "false");
        if (source->message_size_max) {
            lm_size_print(source->message_size_max, text);
            put(p, "    message_size_max: %s\n", text);
        }
        if (source->tls.certificate[0]) {
            put(p, "    tls:\n");
            put(p, "      certificate: ");
            put_text(p, source->tls.certificate);
            put(p, "\n      key: ");
            put_text(p, source->tls.key);
            put(p, "\n");
            if (source->tls.client_ca[0]) {
                put(p, "      client_ca: ");
                put_text(p, source->tls.client_ca);
                put(p, "\n");
            }
        }
    }
    if (source->kind == LM_SOURCE_KAFKA) put_kafka(p, &source->kafka);
    put_pair(p, "path", source->path);
    put_pair(p, "tenant", source->tenant);
    if (source->label_count) put(p, "    labels:\n");
    for (size_t i = 0; i < source->label_count; i++) {
        put(p, "      %s: ", source->labels[i].name);
        put_text(p, source->labels[i].value);
        put(p, "\n");
    }
}

static bool is_default_source(const lm_config *config)
{
    const lm_config_source *s = config->sources;
    return config->source_count == 1 && s->kind == LM_SOURCE_SYSLOG && s->udp && s->tcp &&
           strcmp(s->address, "127.0.0.1:1514") == 0 && !s->tls.certificate[0] && !s->tenant[0] &&
           !s->label_count && !s->message_size_max;
}

lm_err lm_config_show(const lm_config *config, bool is_effective, lm_buf *out)
{
    printer p = {.out = out};
    lm_config *initial = NULL;
    lm_err err = lm_config_default(config->mem, &initial);
    if (err) return err;
    if (is_effective || listens_differ(config, initial)) put_listens(&p, config);
    for (size_t i = 0; i < lm_key_row_count;) {
        const char *section = lm_key_rows[i].section;
        bool is_auth = strcmp(section, "auth") == 0;
        bool has_head = false;
        for (; i < lm_key_row_count && strcmp(lm_key_rows[i].section, section) == 0; i++) {
            const lm_key_row *row = &lm_key_rows[i];
            if (!is_effective && !row_differs(config, initial, row)) continue;
            if (!has_head) put(&p, "%s:\n", section);
            has_head = true;
            put_row(&p, config, row);
        }
        if (is_auth && !has_head && (config->user_count || config->token_count)) put(&p, "auth:\n");
        if (is_auth) put_secrets(&p, config);
    }
    if (is_effective || limits_differ(&config->limits, &initial->limits)) {
        put(&p, "limits:\n");
        put_limits(&p, "  ", &config->limits);
    }
    put_tenants(&p, config);
    if (is_effective || !is_default_source(config)) {
        put(&p, config->source_count ? "sources:\n" : "sources: []\n");
        for (size_t i = 0; i < config->source_count; i++)
            put_source(&p, &config->sources[i]);
    }
    lm_config_free(initial);
    return p.err;
}

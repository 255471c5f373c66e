/** Sources of the configuration: started, compared at a reload, stopped. */
#include "server/server_priv.h"

/** A running source and the configuration that its texts are in. */
typedef struct server_source {
    struct server_source *next;
    lm_source *source;
    server_state *state;
    const lm_config_source *config;
    lm_label *labels;
    lm_label *settings;    /* of Kafka */
    lm_str *stream_fields; /* of Kafka */
    bool is_wanted;        /* by the configuration being applied */
} server_source;

static bool same_texts(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++) {
        if (strcmp(a[i], b[i]) != 0) return false;
    }
    return true;
}

static bool same_pairs(const lm_config_label *a, size_t a_count, const lm_config_label *b,
                       size_t b_count)
{
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++) {
        if (strcmp(a[i].name, b[i].name) != 0 || strcmp(a[i].value, b[i].value) != 0) return false;
    }
    return true;
}

static bool same_kafka(const lm_config_kafka *a, const lm_config_kafka *b)
{
    return same_texts(a->brokers, a->broker_count, b->brokers, b->broker_count) &&
           same_texts(a->topics, a->topic_count, b->topics, b->topic_count) &&
           same_texts(a->stream_fields, a->stream_field_count, b->stream_fields,
                      b->stream_field_count) &&
           same_pairs(a->options, a->option_count, b->options, b->option_count) &&
           strcmp(a->group_id, b->group_id) == 0 && strcmp(a->client_id, b->client_id) == 0 &&
           a->from_end == b->from_end && strcmp(a->mechanism, b->mechanism) == 0 &&
           strcmp(a->username, b->username) == 0 && strcmp(a->password, b->password) == 0 &&
           strcmp(a->password_file, b->password_file) == 0 && a->has_tls == b->has_tls &&
           strcmp(a->tls_ca, b->tls_ca) == 0 &&
           strcmp(a->tls_certificate, b->tls_certificate) == 0 &&
           strcmp(a->tls_key, b->tls_key) == 0 && strcmp(a->message_field, b->message_field) == 0 &&
           strcmp(a->time_field, b->time_field) == 0 && a->metadata == b->metadata;
}

static bool is_same(const lm_config_source *a, const lm_config_source *b)
{
    bool is_equal = a->kind == b->kind && a->from_end == b->from_end && a->poll == b->poll &&
                    a->udp == b->udp && a->tcp == b->tcp &&
                    a->message_size_max == b->message_size_max;
    if (!is_equal || !same_pairs(a->labels, a->label_count, b->labels, b->label_count))
        return false;
    if (a->kind == LM_SOURCE_KAFKA && !same_kafka(&a->kafka, &b->kafka)) return false;
    return same_texts(a->paths, a->path_count, b->paths, b->path_count) &&
           same_texts(a->excludes, a->exclude_count, b->excludes, b->exclude_count) &&
           strcmp(a->start_pattern, b->start_pattern) == 0 && strcmp(a->address, b->address) == 0 &&
           strcmp(a->tls.certificate, b->tls.certificate) == 0 &&
           strcmp(a->tls.key, b->tls.key) == 0 && strcmp(a->tls.client_ca, b->tls.client_ca) == 0 &&
           strcmp(a->path, b->path) == 0 && strcmp(a->tenant, b->tenant) == 0;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static void note(void *ctx, int level, const char *event, const char *text)
{
    const lm_server *server = ctx;
    if (server->options.log)
        server->options.log(server->options.log_ctx, level, "source", event, text);
}

static lm_err start_kafka(const lm_source_host *host, lm_str tenant, server_source *entry)
{
    const lm_config_kafka *kafka = &entry->config->kafka;
    return lm_source_kafka(host,
                           &(lm_source_kafka_options){
                               .brokers = kafka->brokers,
                               .broker_count = kafka->broker_count,
                               .topics = kafka->topics,
                               .topic_count = kafka->topic_count,
                               .group_id = kafka->group_id,
                               .client_id = kafka->client_id,
                               .from_end = kafka->from_end,
                               .sasl = {or_null(kafka->mechanism), kafka->username, kafka->password,
                                        or_null(kafka->password_file)},
                               .tls = {kafka->has_tls, or_null(kafka->tls_ca),
                                       or_null(kafka->tls_certificate), or_null(kafka->tls_key)},
                               .settings = entry->settings,
                               .setting_count = kafka->option_count,
                               .message_field = lm_str_of(kafka->message_field),
                               .time_field = lm_str_of(kafka->time_field),
                               .stream_fields = entry->stream_fields,
                               .stream_field_count = kafka->stream_field_count,
                               .no_partition = !(kafka->metadata & LM_KAFKA_PARTITION),
                               .no_offset = !(kafka->metadata & LM_KAFKA_OFFSET),
                               .no_key = !(kafka->metadata & LM_KAFKA_KEY),
                               .no_headers = !(kafka->metadata & LM_KAFKA_HEADERS),
                               .labels = entry->labels,
                               .label_count = entry->config->label_count,
                               .tenant = tenant,
                           },
                           &entry->source);
}

static lm_tls_files tls_of(const lm_config_source *config)
{
    return (lm_tls_files){or_null(config->tls.certificate), or_null(config->tls.key),
                          or_null(config->tls.client_ca)};
}

static lm_err start(lm_server *server, server_source *entry)
{
    const lm_config_source *config = entry->config;
    lm_source_host host = {server->data_mem, server->sink, note, server};
    lm_str tenant = config->tenant[0] ? lm_str_of(config->tenant) : LM_STR("default");
    switch (config->kind) {
    case LM_SOURCE_FILES:
        return lm_source_files(&host,
                               &(lm_source_files_options){
                                   .globs = config->paths,
                                   .glob_count = config->path_count,
                                   .excludes = config->excludes,
                                   .exclude_count = config->exclude_count,
                                   .labels = entry->labels,
                                   .label_count = config->label_count,
                                   .tenant = tenant,
                                   .start_pattern = lm_str_of(config->start_pattern),
                                   .from_end = config->from_end,
                                   .poll_ns = config->poll,
                               },
                               &entry->source);
    case LM_SOURCE_SYSLOG:
        return lm_source_syslog(&host,
                                &(lm_source_syslog_options){
                                    .address = config->address,
                                    .udp = config->udp,
                                    .tcp = config->tcp,
                                    .tls = tls_of(config),
                                    .labels = entry->labels,
                                    .label_count = config->label_count,
                                    .tenant = tenant,
                                    .message_bytes_max = config->message_size_max,
                                },
                                &entry->source);
    case LM_SOURCE_PIPE:
        return lm_source_pipe(&host,
                              &(lm_source_pipe_options){.path = config->path,
                                                        .labels = entry->labels,
                                                        .label_count = config->label_count,
                                                        .tenant = tenant},
                              &entry->source);
    case LM_SOURCE_JOURNAL:
        return lm_source_journal(&host,
                                 &(lm_source_journal_options){.folder = or_null(config->path),
                                                              .labels = entry->labels,
                                                              .label_count = config->label_count,
                                                              .tenant = tenant},
                                 &entry->source);
    case LM_SOURCE_KAFKA:
        return start_kafka(&host, tenant, entry);
    }
    return LM_OK;
}

static void source_free(lm_server *server, server_source *entry, uint64_t drain_ns)
{
    const lm_config_source *config = entry->config;
    lm_source_stop(entry->source, drain_ns);
    lm_mem_release(server->mem, entry->labels, config->label_count * sizeof *entry->labels);
    lm_mem_release(server->mem, entry->settings,
                   config->kafka.option_count * sizeof *entry->settings);
    lm_mem_release(server->mem, entry->stream_fields,
                   config->kafka.stream_field_count * sizeof *entry->stream_fields);
    server_state_unref(server, entry->state);
    lm_mem_release(server->mem, entry, sizeof *entry);
}

static lm_err make_pairs(lm_mem *mem, const lm_config_label *pairs, size_t count, lm_label **out)
{
    lm_label *made = lm_mem_alloc(mem, count * sizeof *made);
    if (!made) return lm_mem_err();
    for (size_t i = 0; i < count; i++)
        made[i] = (lm_label){lm_str_of(pairs[i].name), lm_str_of(pairs[i].value)};
    *out = made;
    return LM_OK;
}

static lm_err source_new(lm_server *server, const lm_config_source *config, server_source **out)
{
    server_source *entry = lm_mem_calloc(server->mem, 1, sizeof *entry);
    if (!entry) return lm_mem_err();
    entry->state = server_state_get(server);
    entry->config = config;
    entry->is_wanted = true;
    const lm_config_kafka *kafka = &config->kafka;
    lm_err err = make_pairs(server->mem, config->labels, config->label_count, &entry->labels);
    if (!err) err = make_pairs(server->mem, kafka->options, kafka->option_count, &entry->settings);
    if (!err) {
        entry->stream_fields =
            lm_mem_alloc(server->mem, kafka->stream_field_count * sizeof *entry->stream_fields);
        if (!entry->stream_fields) err = lm_mem_err();
    }
    for (size_t i = 0; i < kafka->stream_field_count && !err; i++)
        entry->stream_fields[i] = lm_str_of(kafka->stream_fields[i]);
    if (!err) err = start(server, entry);
    if (err) {
        source_free(server, entry, 0);
        return err;
    }
    *out = entry;
    return LM_OK;
}

/** Stops those not wanted any more, then starts the new ones: an address may have moved. Those that
 * stay read their certificates again. The first failure comes back, after all were tried. */
lm_err server_sources_apply(lm_server *server, const lm_config *config)
{
    lm_err first = LM_OK;
    lm_err_info info = {0};
    server_source *gone = NULL;
    (void)pthread_mutex_lock(&server->lock);
    for (server_source **at = &server->sources; *at;) {
        server_source *entry = *at;
        entry->is_wanted = false;
        for (size_t i = 0; i < config->source_count && !entry->is_wanted; i++)
            entry->is_wanted = is_same(entry->config, &config->sources[i]);
        if (entry->is_wanted) {
            at = &entry->next;
        } else {
            *at = entry->next;
            entry->next = gone;
            gone = entry;
        }
    }
    (void)pthread_mutex_unlock(&server->lock);
    for (server_source *next; gone; gone = next) {
        next = gone->next;
        source_free(server, gone, config->shutdown_timeout);
    }
    for (size_t i = 0; i < config->source_count; i++) {
        server_source *entry = server->sources;
        while (entry && !is_same(entry->config, &config->sources[i]))
            entry = entry->next;
        bool is_running = entry != NULL;
        lm_tls_files files = tls_of(&config->sources[i]);
        lm_err err = is_running ? lm_source_renew(entry->source, &files)
                                : source_new(server, &config->sources[i], &entry);
        if (err && !first) {
            first = err;
            lm_err_save(&info);
        }
        if (err || is_running) continue;
        (void)pthread_mutex_lock(&server->lock);
        entry->next = server->sources;
        server->sources = entry;
        (void)pthread_mutex_unlock(&server->lock);
    }
    return first ? lm_err_restore(&info) : LM_OK;
}

void server_sources_stop(lm_server *server, uint64_t drain_ns)
{
    (void)pthread_mutex_lock(&server->lock);
    server_source *gone = server->sources;
    server->sources = NULL;
    (void)pthread_mutex_unlock(&server->lock);
    for (server_source *next; gone; gone = next) {
        next = gone->next;
        source_free(server, gone, drain_ns);
    }
}

void server_sources_each(lm_server *server,
                         void (*told)(void *ctx, const char *name, const lm_source_counters *now),
                         void *ctx)
{
    (void)pthread_mutex_lock(&server->lock);
    for (server_source *entry = server->sources; entry; entry = entry->next) {
        lm_source_counters now = {0};
        lm_source_counters_get(entry->source, &now);
        told(ctx, lm_source_name(entry->source), &now);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

const char *server_source_name_at(lm_server *server, size_t index)
{
    const char *name = NULL;
    (void)pthread_mutex_lock(&server->lock);
    for (server_source *entry = server->sources; entry && !name; entry = entry->next) {
        if (!index--) name = lm_source_name(entry->source);
    }
    (void)pthread_mutex_unlock(&server->lock);
    return name;
}

/** The keys of a source of Kafka. */
#include "control/control_load_priv.h"

const lm_config_kafka lm_kafka_initial = {
    .group_id = "logmill",
    .client_id = "logmill",
    .mechanism = "",
    .username = "",
    .password = "",
    .password_file = "",
    .tls_ca = "",
    .tls_certificate = "",
    .tls_key = "",
    .message_field = "",
    .time_field = "",
    .metadata = LM_KAFKA_METADATA_ALL,
};

const char lm_kafka_keys[] =
    "type, brokers, topics, group_id, client_id, auto_offset_reset, sasl, tls, options, "
    "message_field, time_field, stream_fields, metadata, tenant, labels";

bool lm_setting_is_secret(const char *name)
{
    return strstr(name, "pass") || strstr(name, "secret") || strstr(name, "token") ||
           strstr(name, "key.pem") || strstr(name, "oauthbearer.config");
}

static lm_err read_sasl(const lm_loader *l, const lm_node *node, lm_config_kafka *out)
{
    lm_err err = lm_load_need(l, node, NODE_MAP, "'sasl'");
    for (const lm_node *key = err ? NULL : node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "mechanism") == 0)
            err = lm_load_text(l, key->child, "a mechanism", &out->mechanism);
        else if (strcmp(key->text, "username") == 0)
            err = lm_load_text(l, key->child, "a user's name", &out->username);
        else if (strcmp(key->text, "password") == 0)
            err = lm_load_text(l, key->child, "a password", &out->password);
        else if (strcmp(key->text, "password_file") == 0)
            err = lm_load_text(l, key->child, "a path", &out->password_file);
        else
            err =
                lm_load_wrong_key(l, key, "'sasl'", "mechanism, username, password, password_file");
    }
    if (err) return err;
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI",
                                             "OAUTHBEARER"};
    size_t i = 0, count = sizeof mechanisms / sizeof mechanisms[0];
    while (i < count && strcmp(out->mechanism, mechanisms[i]) != 0)
        i++;
    if (i == count)
        return lm_node_wrong(&l->place, node,
                             "'sasl' needs a mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, "
                             "GSSAPI or OAUTHBEARER");
    if (out->password[0] && out->password_file[0])
        return lm_node_wrong(&l->place, node, "'sasl' has both password and password_file");
    bool has_password = out->password[0] || out->password_file[0];
    if (i < 3 && (!out->username[0] || !has_password))
        return lm_node_wrong(&l->place, node, "'%s' needs username and password", out->mechanism);
    return LM_OK;
}

static lm_err read_tls(const lm_loader *l, const lm_node *node, lm_config_kafka *out)
{
    lm_err err = lm_load_need(l, node, NODE_MAP, "'tls'");
    out->has_tls = true;
    for (const lm_node *key = err ? NULL : node->child; key && !err; key = key->next) {
        if (strcmp(key->text, "ca") == 0)
            err = lm_load_text(l, key->child, "a path", &out->tls_ca);
        else if (strcmp(key->text, "certificate") == 0)
            err = lm_load_text(l, key->child, "a certificate's path", &out->tls_certificate);
        else if (strcmp(key->text, "key") == 0)
            err = lm_load_text(l, key->child, "a key's path", &out->tls_key);
        else
            err = lm_load_wrong_key(l, key, "'tls'", "ca, certificate, key");
    }
    if (!err && !out->tls_certificate[0] != !out->tls_key[0])
        err = lm_node_wrong(&l->place, node, "'tls' needs both certificate and key, or neither");
    return err;
}

/** Settings of librdkafka. Numbers and true, false are texts to it. */
static lm_err read_options(const lm_loader *l, const lm_node *node, lm_config_kafka *out)
{
    lm_config_label *items = NULL;
    size_t count = 0;
    lm_err err = lm_load_need(l, node, NODE_MAP, "'options'");
    if (!err) err = lm_load_items(l, node, sizeof *items, &items);
    for (const lm_node *key = err ? NULL : node->child; key && !err; key = key->next) {
        items[count].name = key->text;
        err = lm_load_text(l, key->child, "an option of librdkafka", &items[count++].value);
    }
    if (err) return err;
    out->options = items;
    out->option_count = count;
    return LM_OK;
}

static lm_err read_reset(const lm_loader *l, const lm_node *node, bool *out_from_end)
{
    const char *text = "";
    lm_err err = lm_load_text(l, node, "auto_offset_reset", &text);
    if (err) return err;
    *out_from_end = strcmp(text, "latest") == 0;
    if (*out_from_end || strcmp(text, "earliest") == 0) return LM_OK;
    return lm_node_wrong(&l->place, node,
                         "auto_offset_reset must be earliest or latest, not '%.60s'", text);
}

static lm_err read_metadata(const lm_loader *l, const lm_node *node, uint32_t *out)
{
    static const char *const names[] = {"partition", "offset", "key", "headers"};
    uint32_t wanted = 0;
    lm_err err = lm_load_need(l, node, NODE_LIST, "'metadata'");
    for (const lm_node *item = err ? NULL : node->child; item && !err; item = item->next) {
        const char *text = "";
        size_t i = 0;
        err = lm_load_text(l, item, "metadata", &text);
        while (i < 4 && strcmp(text, names[i]) != 0)
            i++;
        wanted |= 1u << i;
        if (!err && i == 4)
            err = lm_node_wrong(&l->place, item,
                                "'%.60s' is no metadata; expected: partition, offset, key, headers",
                                text);
    }
    if (!err) *out = wanted;
    return err;
}

lm_err lm_kafka_key_read(const lm_loader *l, const lm_node *key, lm_config_kafka *out)
{
    const lm_node *value = key->child;
    const char *name = key->text;
    if (strcmp(name, "brokers") == 0)
        return lm_load_texts(l, value, "brokers", &out->brokers, &out->broker_count);
    if (strcmp(name, "topics") == 0)
        return lm_load_texts(l, value, "topics", &out->topics, &out->topic_count);
    if (strcmp(name, "group_id") == 0) return lm_load_text(l, value, "group_id", &out->group_id);
    if (strcmp(name, "client_id") == 0) return lm_load_text(l, value, "client_id", &out->client_id);
    if (strcmp(name, "auto_offset_reset") == 0) return read_reset(l, value, &out->from_end);
    if (strcmp(name, "sasl") == 0) return read_sasl(l, value, out);
    if (strcmp(name, "tls") == 0) return read_tls(l, value, out);
    if (strcmp(name, "options") == 0) return read_options(l, value, out);
    if (strcmp(name, "message_field") == 0)
        return lm_load_text(l, value, "message_field", &out->message_field);
    if (strcmp(name, "time_field") == 0)
        return lm_load_text(l, value, "time_field", &out->time_field);
    if (strcmp(name, "stream_fields") == 0)
        return lm_load_texts(l, value, "stream_fields", &out->stream_fields,
                             &out->stream_field_count);
    if (strcmp(name, "metadata") == 0) return read_metadata(l, value, &out->metadata);
    return lm_load_wrong_key(l, key, "this source", lm_kafka_keys);
}

/** Does a list have an entry that is empty? */
static bool has_empty(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!texts[i][0]) return true;
    }
    return count == 0;
}

lm_err lm_kafka_check(const lm_loader *l, const lm_node *node, const lm_config_kafka *kafka)
{
    if (has_empty(kafka->brokers, kafka->broker_count))
        return lm_node_wrong(&l->place, node, "a source of Kafka needs brokers, like HOST:9092");
    if (has_empty(kafka->topics, kafka->topic_count))
        return lm_node_wrong(&l->place, node, "a source of Kafka needs topics");
    if (!kafka->group_id[0])
        return lm_node_wrong(&l->place, node, "a source of Kafka needs a group_id");
    if (kafka->stream_field_count > LM_KAFKA_STREAM_FIELDS_MAX)
        return lm_node_wrong(&l->place, node, "at most %d stream_fields are allowed",
                             LM_KAFKA_STREAM_FIELDS_MAX);
    return LM_OK;
}

/** Kafka: our options and a user's become librdkafka's; a consumer is opened and closed. */
#include "source/source_priv.h"

#if LM_HAVE_KAFKA

#    include "source/source_kafka_priv.h"

#    include <stdio.h>

static const struct {
    const char *name, *value;
} defaults[] = {
    {"enable.auto.commit", "true"},
    {"enable.auto.offset.store", "false"}, /* only what is durable is stored for committing */
    {"auto.commit.interval.ms", "1000"},
    {"partition.assignment.strategy", "cooperative-sticky"},
    {"allow.auto.create.topics", "false"},
    {"topic.metadata.refresh.interval.ms", "30000"}, /* new topics and partitions */
    /* What waits in the library is not in our account of memory, and a message there takes 400
     * bytes besides its own: so little is asked for at once, and few wait. */
    {"message.max.bytes", "1000"}, /* of producers; the next one may not be smaller */
    {"fetch.max.bytes", "262144"},
    {"fetch.message.max.bytes", "262144"},
    {"queued.max.messages.kbytes", LM_KAFKA_QUEUE_KB},
    {"queued.min.messages", LM_KAFKA_QUEUE_RECORDS},
    {"socket.keepalive.enable", "true"},
    {"log.connection.close", "false"},
};

/** They have keys of their own, or the promise to commit only what is durable hangs on them. */
static const char *const ours[] = {
    "bootstrap.servers", "metadata.broker.list",     "group.id",
    "client.id",         "enable.auto.commit",       "auto.commit.enable",
    "auto.offset.reset", "enable.auto.offset.store", "offset.store.method",
};

/** They load code into the daemon, or name a program that it is to run. By their beginnings: so a
 * later version of the library adds none that is let through. */
static const char *const running[] = {
    "plugin.", "ssl.engine.", "ssl_engine", "ssl.providers", "sasl.kerberos.kinit.cmd",
};

/** The library writes them into the command of a shell (kinit's), as they are. */
static const char *const in_commands[] = {
    "sasl.kerberos.service.name",
    "sasl.kerberos.principal",
    "sasl.kerberos.keytab",
};

static lm_err set(kafka_source *k, const char *name, const char *value)
{
    char why[300] = "";
    if (rd_kafka_conf_set(k->conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK) return LM_OK;
    /* The library's words quote the value, which may be a secret. */
    bool is_unknown = strncmp(why, "No such configuration", 21) == 0;
    return lm_fail(
        LM_E_USAGE, "kafka: %s '%s'",
        is_unknown ? "librdkafka has no setting" : "librdkafka does not take this value of", name);
}

/** How long the library waits before it looks whether there is room again, in ms. Versions before
 * 2.2 do not know the setting: they look once a second, unless they are woken. */
static void set_patience(kafka_source *k)
{
    char why[300];
    k->is_sleepy = rd_kafka_conf_set(k->conf, "fetch.queue.backoff.ms", "5", why, sizeof why) !=
                   RD_KAFKA_CONF_OK;
}

static lm_err set_given(kafka_source *k, const char *name, const char *value)
{
    return value && value[0] ? set(k, name, value) : LM_OK;
}

static lm_err set_joined(kafka_source *k, const char *name, const char *const *items, size_t count)
{
    lm_buf text;
    lm_buf_init(&text, k->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < count && !err; i++) {
        if (i) err = lm_buf_u8(&text, ',');
        if (!err) err = lm_buf_append(&text, items[i], strlen(items[i]));
    }
    if (!err) err = lm_buf_u8(&text, 0);
    if (!err) err = set(k, name, (const char *)text.ptr);
    lm_buf_fini(&text);
    return err;
}

/** One line of a file; what was read of it does not stay behind. */
static lm_err set_password_file(kafka_source *k, const char *path)
{
    lm_buf text;
    lm_buf_init(&text, k->mem);
    lm_err err = lm_file_read_all(path, 4096, &text);
    while (!err && text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (!err) err = lm_buf_u8(&text, 0);
    if (!err) err = set(k, "sasl.password", (const char *)text.ptr);
    if (text.ptr) explicit_bzero(text.ptr, text.cap);
    lm_buf_fini(&text);
    return err;
}

static lm_err set_security(kafka_source *k, const lm_source_kafka_options *options)
{
    bool has_login = options->sasl.mechanism != NULL;
    lm_err err = LM_OK;
    if (has_login || options->tls.is_on)
        err = set(k, "security.protocol",
                  has_login ? (options->tls.is_on ? "sasl_ssl" : "sasl_plaintext") : "ssl");
    if (!err && options->tls.is_on)
        err = set(k, "ssl.endpoint.identification.algorithm", "https"); /* not so before 2.0 */
    if (!err) err = set_given(k, "ssl.ca.location", options->tls.ca);
    if (!err) err = set_given(k, "ssl.certificate.location", options->tls.certificate);
    if (!err) err = set_given(k, "ssl.key.location", options->tls.key);
    if (!err) err = set_given(k, "sasl.mechanism", options->sasl.mechanism);
    if (!err) err = set_given(k, "sasl.username", options->sasl.username);
    if (!err && options->sasl.password_file)
        err = set_password_file(k, options->sasl.password_file);
    else if (!err)
        err = set_given(k, "sasl.password", options->sasl.password);
    return err;
}

/** One word to a shell, whatever is around it, and no option to a program. */
static bool is_plain_word(lm_str text)
{
    bool is_plain = !text.len || text.ptr[0] != '-';
    for (size_t i = 0; i < text.len && is_plain; i++) {
        uint8_t c = text.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
        is_plain = is_letter || (c >= '0' && c <= '9') || (c && strchr("/@._:+-", c));
    }
    return is_plain;
}

/** May the user set it, and to this? */
static lm_err check_setting(const char *name, lm_str value)
{
    bool is_barred = false;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        is_barred |= strcmp(name, ours[i]) == 0;
    for (size_t i = 0; i < sizeof running / sizeof running[0]; i++)
        is_barred |= strncmp(name, running[i], strlen(running[i])) == 0;
    if (is_barred) return lm_fail(LM_E_USAGE, "kafka: '%s' cannot be set as an option", name);
    for (size_t i = 0; i < sizeof in_commands / sizeof in_commands[0]; i++) {
        if (strcmp(name, in_commands[i]) == 0 && !is_plain_word(value))
            return lm_fail(LM_E_USAGE,
                           "kafka: '%s' may have letters, digits and / @ . _ : + - only", name);
    }
    return LM_OK;
}

static lm_err set_setting(kafka_source *k, const lm_label *setting)
{
    char name[128], *value = NULL;
    if (setting->name.len >= sizeof name || memchr(setting->name.ptr, 0, setting->name.len))
        return lm_fail(LM_E_USAGE, "kafka: librdkafka has no setting with so long a name");
    memcpy(name, setting->name.ptr, setting->name.len);
    name[setting->name.len] = '\0';
    lm_err err = check_setting(name, setting->value);
    if (err) return err;
    lm_buf text;
    lm_buf_init(&text, k->mem);
    err = lm_buf_append(&text, setting->value.ptr, setting->value.len);
    if (!err) err = lm_buf_u8(&text, 0);
    value = (char *)text.ptr;
    if (!err) err = set(k, name, value);
    if (text.ptr) explicit_bzero(text.ptr, text.cap);
    lm_buf_fini(&text);
    return err;
}

/* ---- what the library says ---- */

/** Served by polling, so on our thread. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kafka_source *k = opaque;
    char why[400];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        (void)rd_kafka_fatal_error(rk, why, sizeof why);
        reason = why;
        k->must_reopen = true;
    }
    (void)lm_fail(LM_E_IO, "%s", reason);
    lm_source_note_err(&k->source, code == RD_KAFKA_RESP_ERR__AUTHENTICATION ? "kafka_login_failed"
                                   : code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
                                       ? "kafka_unreachable"
                                       : "kafka_failed");
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    kafka_source *k = opaque;
    (void)rk, (void)offsets;
    if (!code || code == RD_KAFKA_RESP_ERR__NO_OFFSET) return;
    (void)lm_fail(LM_E_IO, "offsets could not be committed: %s", rd_kafka_err2str(code));
    lm_source_note_err(&k->source, "kafka_commit_failed");
}

/** What it has to say that matters comes as errors; the rest is for its own developers. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

lm_err lm_kafka_configure(kafka_source *k, const lm_source_kafka_options *options)
{
    lm_err err = LM_OK;
    k->conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0] && !err; i++)
        err = set(k, defaults[i].name, defaults[i].value);
    set_patience(k);
    if (!err) err = set_joined(k, "bootstrap.servers", options->brokers, options->broker_count);
    if (!err) err = set(k, "group.id", options->group_id);
    if (!err) err = set_given(k, "client.id", options->client_id);
    if (!err) err = set(k, "auto.offset.reset", options->from_end ? "latest" : "earliest");
    if (!err) err = set_security(k, options);
    for (size_t i = 0; i < options->setting_count && !err; i++)
        err = set_setting(k, &options->settings[i]);
    if (err) return err;
    rd_kafka_conf_set_opaque(k->conf, k);
    rd_kafka_conf_set_rebalance_cb(k->conf, lm_kafka_rebalance);
    rd_kafka_conf_set_offset_commit_cb(k->conf, on_commit);
    rd_kafka_conf_set_error_cb(k->conf, on_error);
    rd_kafka_conf_set_log_cb(k->conf, on_log);
    k->topics = rd_kafka_topic_partition_list_new((int)options->topic_count);
    for (size_t i = 0; i < options->topic_count; i++)
        rd_kafka_topic_partition_list_add(k->topics, options->topics[i], RD_KAFKA_PARTITION_UA);
    /* The library checks what hangs together (a mechanism without a name, a certificate that is not
     * there) only when it makes a consumer; a user is told at the start. */
    err = lm_kafka_open(k);
    return err;
}

lm_err lm_kafka_open(kafka_source *k)
{
    char why[400] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(k->conf);
    k->must_reopen = k->is_paused = false;
    k->recent_handle = NULL;
    k->streak = k->streak_bytes = k->dry_ns = 0;
    k->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!k->rk) {
        rd_kafka_conf_destroy(conf);
        return lm_fail(LM_E_USAGE, "kafka: %s", why);
    }
    (void)rd_kafka_poll_set_consumer(k->rk); /* fails for producers only */
    k->queue = rd_kafka_queue_get_consumer(k->rk);
    uint64_t one = 1;
    rd_kafka_queue_io_event_enable(k->queue, k->source.flights->event_fd, &one, sizeof one);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(k->rk, k->topics);
    if (!code) return LM_OK;
    lm_kafka_close(k);
    return lm_fail(LM_E_USAGE, "kafka: cannot subscribe to the topics: %s", rd_kafka_err2str(code));
}

void lm_kafka_close(kafka_source *k)
{
    if (!k->rk) return;
    if (k->held) rd_kafka_message_destroy(k->held);
    k->held = NULL;
    k->recent_handle = NULL;
    rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(k->queue);
    k->queue = rd_kafka_queue_new(k->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(k->rk, k->queue);
    uint64_t deadline_ns = lm_clock_ns() + LM_KAFKA_SETTLE;
    while (!error && !rd_kafka_consumer_closed(k->rk) && lm_clock_ns() < deadline_ns)
        (void)rd_kafka_queue_poll_callback(k->queue, 50); /* only callbacks are served */
    if (error) rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(k->queue);
    k->queue = NULL;
    rd_kafka_destroy_flags(k->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    k->rk = NULL;
    for (size_t i = 0; i < LM_KAFKA_BUCKETS; i++) {
        for (kafka_partition *p = k->partitions[i]; p; p = p->chain)
            p->is_assigned = p->is_checking = false;
    }
    atomic_store_explicit(&k->source.open, 0, memory_order_relaxed);
    atomic_store_explicit(&k->source.lag_records, 0, memory_order_relaxed);
}

#endif

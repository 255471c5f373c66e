/** Kafka with librdkafka's own mock of a cluster: what fails on the way, and what is believed. The
 * whole, with a real broker: tests/kafka. */
#include "source_sink.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define TOPIC "logs"

/** A cluster of one broker, inside of a producer. */
typedef struct world {
    lm_mem *mem;
    test_sink *sink;
    lm_source_host host;
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
    const char *brokers[1], *topics[1];
    lm_label settings[4];
    lm_source_kafka_options options;
    lm_source *source;
    int sent;
} world;

static void silent(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

static rd_kafka_t *producer_new(const char *name, const char *value)
{
    char why[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, silent);
    assert_int_equal(rd_kafka_conf_set(conf, name, value, why, sizeof why), RD_KAFKA_CONF_OK);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(producer);
    return producer;
}

static void cluster_open(world *w)
{
    w->producer = producer_new("test.mock.num.brokers", "1");
    w->cluster = rd_kafka_handle_mock_cluster(w->producer);
    assert_non_null(w->cluster);
    assert_int_equal(rd_kafka_mock_topic_create(w->cluster, TOPIC, 4, 1), 0);
    w->brokers[0] = rd_kafka_mock_cluster_bootstraps(w->cluster);
}

static void world_open(world *w)
{
    *w = (world){0};
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    w->sink = sink_new();
    w->host = sink_host(w->sink, w->mem);
    cluster_open(w);
    w->topics[0] = TOPIC;
    w->settings[0] = (lm_label){LM_STR("session.timeout.ms"), LM_STR("6000")};
    w->options = (lm_source_kafka_options){.brokers = w->brokers,
                                           .broker_count = 1,
                                           .topics = w->topics,
                                           .topic_count = 1,
                                           .group_id = "g",
                                           .settings = w->settings,
                                           .setting_count = 1};
}

static void start(world *w)
{
    assert_int_equal(lm_source_kafka(&w->host, &w->options, &w->source), LM_OK);
}

static void stop(world *w)
{
    lm_source_stop(w->source, UINT64_C(5000000000));
    w->source = NULL;
}

static void world_close(world *w)
{
    stop(w);
    rd_kafka_destroy(w->producer);
    sink_free(w->sink);
    assert_int_equal(lm_mem_used(w->mem), 0);
    lm_mem_free(w->mem);
}

static void produce(world *w, int count)
{
    char text[64];
    for (int i = 0; i < count; i++, w->sent++) {
        int len = snprintf(text, sizeof text, "message %d", w->sent);
        assert_int_equal(rd_kafka_producev(w->producer, RD_KAFKA_V_TOPIC(TOPIC),
                                           RD_KAFKA_V_PARTITION(w->sent % 4),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_VALUE(text, (size_t)len), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(w->producer, 30000), 0);
}

/** Each message once, whatever the order of partitions. */
static void check(world *w)
{
    assert_int_equal(sink_settle(w->sink, (size_t)w->sent, 500), w->sent);
    char *seen = calloc((size_t)w->sent, 1);
    for (size_t i = 0; i < w->sink->count; i++) {
        int number = -1;
        assert_int_equal(sscanf(w->sink->records[i].line, "message %d", &number), 1);
        assert_in_range(number, 0, w->sent - 1);
        assert_int_equal(seen[number], 0);
        seen[number] = 1;
        assert_string_equal(w->sink->records[i].stream, "{topic=\"" TOPIC "\"}");
    }
    free(seen);
}

/** Refused, late and failed batches are sent again, and a restart goes on behind them. */
static void nothing_is_lost_nor_twice(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.sink->refuse_each = 2;
    w.sink->fail_each = 3;
    w.sink->delay_ns = UINT64_C(3000000);
    for (int round = 0; round < 2; round++) {
        start(&w);
        for (int i = 0; i < 5; i++)
            produce(&w, 200);
        check(&w);
        stop(&w);
        check(&w);
    }
    assert_true(w.sink->refusals > 0);
    world_close(&w);
}

/** The group's offset in each partition, once it is wanted; half a minute at most. */
static void check_committed(world *w, const char *group, int64_t wanted)
{
    char why[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, silent);
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", w->brokers[0], why, sizeof why),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", group, why, sizeof why), RD_KAFKA_CONF_OK);
    rd_kafka_t *asking = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    assert_non_null(asking);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    int right = 0;
    for (int i = 0; i < 4; i++)
        rd_kafka_topic_partition_list_add(list, TOPIC, i);
    for (int i = 0; i < 300 && right < 4; i++) {
        assert_int_equal(rd_kafka_committed(asking, list, 10000), 0);
        right = 0;
        for (int p = 0; p < 4; p++)
            right += list->elems[p].offset == wanted;
        if (right < 4) sink_sleep(100);
    }
    assert_int_equal(right, 4);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(asking);
}

static lm_source_counters counters_of(const world *w)
{
    lm_source_counters counters;
    lm_source_counters_get(w->source, &counters);
    return counters;
}

/** What a crash leaves: the records are there, the broker knows of no commit. */
static void positions_win_over_older_commits(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.options.group_id = "first";
    start(&w);
    produce(&w, 1000);
    check(&w);
    stop(&w);
    for (size_t i = 0; i < w.sink->key_count;
         i++) { /* as if they were of a group that never committed */
        char *group = strstr(w.sink->keys[i].key, "/first");
        assert_non_null(group);
        memcpy(group, "/other", 6);
    }
    w.options.group_id = "other";
    start(&w);
    /* The group is told of what is here already, and it is no lag. */
    check_committed(&w, "other", 250);
    for (int i = 0; i < 300 && counters_of(&w).lag_records; i++)
        sink_sleep(100);
    assert_int_equal(counters_of(&w).lag_records, 0);
    produce(&w, 100);
    check(&w);
    stop(&w);
    /* Another log under the same name: what is there is read from its beginning. */
    size_t before = w.sink->count;
    for (size_t i = 0; i < w.sink->key_count; i++) {
        char *hash = strrchr(w.sink->keys[i].value, ':');
        memcpy(hash + 1, "0000000000000000", 16);
        memcpy(strstr(w.sink->keys[i].key, "/other"), "/third", 6);
    }
    w.options.group_id = "third";
    start(&w);
    assert_int_equal(sink_settle(w.sink, before + 1100, 500), before + 1100);
    assert_non_null(strstr(w.sink->notes, "kafka_topic_renewed"));
    world_close(&w);
}

/** The sink takes nothing for longer than a group waits for a member that does not ask for
 * messages. More come than both hands hold, so asking for them would not help: the partitions are
 * paused, and the membership lasts. */
static void a_sink_that_is_full_holds_it_back(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.settings[0] = (lm_label){LM_STR("session.timeout.ms"), LM_STR("3000")};
    w.settings[1] = (lm_label){LM_STR("heartbeat.interval.ms"), LM_STR("300")};
    w.settings[2] = (lm_label){LM_STR("max.poll.interval.ms"), LM_STR("3000")};
    w.options.setting_count = 3;
    w.sink->is_refusing = true;
    start(&w);
    for (int i = 0; i < 4; i++)
        produce(&w, 40000);
    while (!sink_refusals(w.sink)) /* then there is somebody who asks */
        sink_sleep(50);
    sink_sleep(4500);
    assert_int_equal(w.sink->count, 0);
    assert_true(lm_mem_peak(w.mem) < 48u << 20);
    pthread_mutex_lock(&w.sink->lock);
    w.sink->is_refusing = false;
    pthread_mutex_unlock(&w.sink->lock);
    check(&w);
    assert_string_equal(w.sink->notes, "");
    world_close(&w);
}

/** While the group's offsets cannot be had nothing is read: another member may have gone on, and
 * what it stored would come again. */
static void without_offsets_nothing_is_read(void **state)
{
    enum { OFFSET_FETCH = 9, FAILURES = 1000 };

    static rd_kafka_resp_err_t failures[FAILURES];
    (void)state;
    for (int i = 0; i < FAILURES; i++)
        failures[i] = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    world w;
    world_open(&w);
    start(&w);
    produce(&w, 500);
    check(&w);
    stop(&w);
    world other = w; /* of the same group */
    other.sink = sink_new();
    other.host = sink_host(other.sink, w.mem);
    start(&other);
    produce(&w, 500);
    assert_int_equal(sink_settle(other.sink, 500, 500), 500);
    stop(&other);
    rd_kafka_mock_push_request_errors_array(w.cluster, OFFSET_FETCH, FAILURES, failures);
    start(&w);
    for (int i = 0; i < 300 && counters_of(&w).errors < 2; i++)
        sink_sleep(100);
    lm_source_counters counters = counters_of(&w); /* asked now and then, not all the time */
    assert_in_range(counters.errors, 2, 4);
    assert_int_equal(counters.records, 0);
    assert_int_equal(counters.lag_records, 0);
    assert_non_null(strstr(w.sink->notes, "offsets are not known"));
    rd_kafka_mock_clear_request_errors(w.cluster, OFFSET_FETCH);
    produce(&w, 500);
    assert_int_equal(sink_settle(w.sink, 1000, 500), 1000);
    sink_free(other.sink);
    world_close(&w);
}

/** Errors of the broker, and none for a while. */
static void a_broker_that_fails_is_asked_again(void **state)
{
    (void)state;
    world w;
    world_open(&w);

    enum { FETCH = 1, OFFSET_COMMIT = 8, OFFSET_FETCH = 9, JOIN = 11 };

    rd_kafka_mock_push_request_errors(w.cluster, JOIN, 1, RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    rd_kafka_mock_push_request_errors(w.cluster, OFFSET_FETCH, 1,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    rd_kafka_mock_push_request_errors(w.cluster, OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    rd_kafka_mock_push_request_errors(w.cluster, FETCH, 2,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    start(&w);
    produce(&w, 500);
    check(&w);
    assert_int_equal(rd_kafka_mock_broker_set_down(w.cluster, 1), 0);
    sink_sleep(300);
    assert_int_equal(rd_kafka_mock_broker_set_up(w.cluster, 1), 0);
    produce(&w, 500);
    check(&w);
    world_close(&w);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    world w;
    world_open(&w);

    static const struct {
        lm_label setting;
        const char *said;
    } cases[] = {
        {{LM_STR("no.such.setting"), LM_STR("1")}, "no.such.setting"},
        {{LM_STR("session.timeout.ms"), LM_STR("soon")}, "session.timeout.ms"},
        {{LM_STR("enable.auto.commit"), LM_STR("false")}, "cannot be set"},
        {{LM_STR("ssl.key.location"), LM_STR("/no/such/file")}, "kafka: "},
        {{LM_STR("plugin.any"), LM_STR("interceptor")}, "cannot be set"},
        {{LM_STR("plugin.library.paths"), LM_STR("any.so")}, "cannot be set"},
        {{LM_STR("ssl.engine.location"), LM_STR("any.so")}, "cannot be set"},
        {{LM_STR("ssl.engine.id"), LM_STR("dynamic")}, "cannot be set"},
        {{LM_STR("ssl.providers"), LM_STR("any")}, "cannot be set"},
        {{LM_STR("sasl.kerberos.kinit.cmd"), LM_STR("true")}, "cannot be set"},
        {{LM_STR("sasl.kerberos.principal"), LM_STR("me; true")}, "sasl.kerberos.principal"},
        {{LM_STR("sasl.kerberos.principal"), LM_STR("-X")}, "sasl.kerberos.principal"},
        {{LM_STR("sasl.kerberos.keytab"), LM_STR("$(true)")}, "sasl.kerberos.keytab"},
        {{LM_STR("sasl.kerberos.keytab"), LM_STR("a\"b")}, "sasl.kerberos.keytab"},
        {{LM_STR("sasl.kerberos.service.name"), LM_STR("`true`")}, "sasl.kerberos.service.name"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        w.settings[0] = cases[i].setting;
        w.options.tls.is_on = i == 3;
        assert_int_equal(lm_source_kafka(&w.host, &w.options, &w.source), LM_E_USAGE);
        assert_non_null(strstr(lm_err_text(), cases[i].said));
        assert_null(w.source);
    }
    /* Those that a realm really has. */
    w.settings[0] = (lm_label){LM_STR("sasl.kerberos.principal"), LM_STR("log-mill/h.x@REALM.X")};
    w.settings[1] = (lm_label){LM_STR("sasl.kerberos.keytab"), LM_STR("FILE:/etc/my_1.keytab")};
    w.options.setting_count = 2;
    start(&w);
    stop(&w);
    w.options.setting_count = 0;
    w.options.tls.is_on = false;
    w.options.sasl.mechanism = "PLAIN";
    w.options.sasl.username = "me";
    w.options.sasl.password_file = "/no/such/file";
    assert_int_equal(lm_source_kafka(&w.host, &w.options, &w.source), LM_E_NOTFOUND);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_nor_twice),
        cmocka_unit_test(positions_win_over_older_commits),
        cmocka_unit_test(without_offsets_nothing_is_read),
        cmocka_unit_test(a_sink_that_is_full_holds_it_back),
        cmocka_unit_test(a_broker_that_fails_is_asked_again),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

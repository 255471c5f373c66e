/** Configuration files: what they give, and what is said about wrong ones. */
#include "control/control.h"
#include "lm_test.h"

static lm_mem *mem;

static lm_config *parse(const char *text)
{
    lm_config *config = NULL;
    lm_err err = lm_config_parse(mem, "f.yaml", lm_str_of(text), &config);
    if (err) print_error("%s\n", lm_err_text());
    assert_int_equal(err, LM_OK);
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(setenv("XDG_DATA_HOME", "/data", 1), 0);
    lm_config *config = NULL;
    assert_int_equal(lm_config_default(mem, &config), LM_OK);
    assert_int_equal(config->listen_count, LM_HAVE_GRPC ? 4 : 3);
    assert_string_equal(config->listens[0].address, "127.0.0.1:3100");
    assert_string_equal(config->listens[1].address, "127.0.0.1:9200");
    assert_string_equal(config->listens[2].address, "127.0.0.1:4318");
    if (LM_HAVE_GRPC) assert_string_equal(config->listens[3].address, "127.0.0.1:4317");
    assert_string_equal(config->storage_path, "/data/logmill");
    assert_int_equal(config->memory_max, 256u << 20);
    assert_int_equal(config->ingest_body_size_max, 64u << 20);
    assert_int_equal(config->query_timeout, 60000000000ull);
    assert_int_equal(config->shutdown_timeout, 10000000000ull);
    assert_false(config->auth_enabled);
    assert_int_equal(config->source_count, 1);
    assert_true(config->sources_are_default);
    assert_int_equal(config->sources[0].kind, LM_SOURCE_SYSLOG);
    assert_string_equal(config->sources[0].address, "127.0.0.1:1514");
    lm_config_free(config);
    assert_int_equal(unsetenv("XDG_DATA_HOME"), 0);
    assert_int_equal(setenv("HOME", "/home/me", 1), 0);
    assert_int_equal(lm_config_default(mem, &config), LM_OK);
    assert_string_equal(config->storage_path, "/home/me/.local/share/logmill");
    lm_config_free(config);
}

static const char whole[] =
    "listen:\n"
    "  http: [\"0.0.0.0:3100\", {address: \"[::1]:3101\", tls: {certificate: /c, key: /k, "
    "client_ca: /a}}]\n"
    "  elasticsearch: \"\"\n"
    "storage: {path: /var/lib/logmill, retention: 30d, disk_max: 100GB}\n"
    "ingest: {body_size_max: 8MiB}\n"
    "memory: {max: 512MiB}\n"
    "mill: {cpu_percent: 50}\n"
    "query: {timeout: 30s, series_max: 100}\n"
    "limits: {rate: 1MB, streams: 1000}\n"
    "tenants:\n"
    "  a: {rate: 5MB, retention: 7d, discover_service_name: [team, app]}\n"
    "  b: {discover_service_name: []}\n"
    "auth:\n"
    "  enabled: true\n"
    "  users:\n"
    "    - {name: me, password_hash: \"$argon2id$v=19$x\", scopes: [read, admin]}\n"
    "  tokens:\n"
    "    - {name: shipper, hash: \"blake2b:00\", tenant: a, scopes: [write]}\n"
    "sources:\n"
    "  - type: files\n"
    "    paths: [/var/log/*.log]\n"
    "    exclude: /var/log/secret.log\n"
    "    labels: {job: \"a \\\"b\\\" ${LM_TEST_VAR} $${X}\"}\n"
    "  - {type: syslog, address: \"127.0.0.1:6514\", udp: false, tls: {certificate: /c, key: /k}}\n"
    "  - {type: pipe, path: \"-\", tenant: b}\n"
    "  - {type: journal}\n"
    "  - type: kafka\n"
    "    brokers: [\"127.0.0.1:9092\"]\n"
    "    topics: [orders, \"^late-.*\"]\n"
    "    group_id: g\n"
    "    auto_offset_reset: latest\n"
    "    sasl: {mechanism: PLAIN, username: me, password: s3cret}\n"
    "    tls: {ca: /a}\n"
    "    options: {session.timeout.ms: 9000, ssl.key.password: s3cret,\n"
    "      sasl.oauthbearer.assertion.private.key.passphrase: s3cret}\n"
    "    stream_fields: app\n"
    "    metadata: [key]\n"
    "shutdown: {timeout: 5s}\n";

static void test_whole(void **state)
{
    (void)state;
    assert_int_equal(setenv("LM_TEST_VAR", "v\"al", 1), 0);
    lm_config *config = parse(whole);
    assert_int_equal(config->listen_count, LM_HAVE_GRPC ? 4 : 3); /* two of HTTP, OTLP's defaults */
    assert_string_equal(config->listens[1].address, "[::1]:3101");
    assert_string_equal(config->listens[1].tls.client_ca, "/a");
    assert_int_equal(config->listens[2].door, LM_DOOR_OTLP_HTTP);
    assert_int_equal(config->storage_retention, 30 * 86400 * 1000000000ull);
    assert_int_equal(config->storage_disk_max, 100000000000ull);
    assert_int_equal(lm_config_limits_of(config, LM_STR("a"))->rate, 5000000);
    assert_int_equal(lm_config_limits_of(config, LM_STR("a"))->streams, 1000);
    assert_int_equal(lm_config_limits_of(config, LM_STR("b"))->rate, 1000000);
    assert_int_equal(lm_config_limits_of(config, LM_STR("c"))->rate, 1000000);
    assert_int_equal(lm_config_limits_of(config, LM_STR("a"))->service_name_count, 2);
    assert_string_equal(lm_config_limits_of(config, LM_STR("a"))->service_names[0], "team");
    assert_int_equal(lm_config_limits_of(config, LM_STR("b"))->service_name_count, 0);
    assert_string_equal(lm_config_limits_of(config, LM_STR("c"))->service_names[1], "app");
    assert_int_equal(config->users[0].scopes, LM_SCOPE_READ | LM_SCOPE_ADMIN);
    assert_int_equal(config->tokens[0].scopes, LM_SCOPE_WRITE);
    assert_string_equal(config->tokens[0].tenant, "a");
    assert_int_equal(config->source_count, 5);
    assert_false(config->sources_are_default);
    assert_string_equal(config->sources[0].labels[0].value, "a \"b\" v\"al ${X}");
    assert_string_equal(config->sources[0].excludes[0], "/var/log/secret.log");
    assert_true(config->sources[1].tcp);
    assert_false(config->sources[1].udp);
    const lm_config_kafka *kafka = &config->sources[4].kafka;
    assert_string_equal(kafka->brokers[0], "127.0.0.1:9092");
    assert_string_equal(kafka->topics[1], "^late-.*");
    assert_string_equal(kafka->client_id, "logmill");
    assert_true(kafka->from_end && kafka->has_tls);
    assert_string_equal(kafka->password, "s3cret");
    assert_string_equal(kafka->options[0].value, "9000");
    assert_string_equal(kafka->stream_fields[0], "app");
    assert_int_equal(kafka->metadata, LM_KAFKA_KEY);
    lm_config_free(config);
}

/** What is shown reads back as the same, shown again; hashes are not in it. */
static void test_shown_reads_back(void **state)
{
    (void)state;
    static const bool effective[] = {false, true};
    for (size_t i = 0; i < 2; i++) {
        lm_buf first, second;
        lm_buf_init(&first, mem);
        lm_buf_init(&second, mem);
        lm_config *config = parse(whole);
        assert_int_equal(lm_config_show(config, effective[i], &first), LM_OK);
        lm_config_free(config);
        assert_int_equal(lm_buf_u8(&first, 0), LM_OK);
        assert_null(strstr((char *)first.ptr, "argon2"));
        assert_null(strstr((char *)first.ptr, "blake2b"));
        assert_null(strstr((char *)first.ptr, "s3cret"));
        assert_non_null(strstr((char *)first.ptr, "\"***\""));
        /* The stars stand for secrets: with secrets of the right form the text is a configuration.
         */
        char text[16384];
        size_t len = 0;
        bool is_user = true;
        for (const char *p = (char *)first.ptr; *p;) {
            if (strncmp(p, "\"***\"", 5) == 0) {
                len += (size_t)snprintf(text + len, sizeof text - len, "%s",
                                        is_user ? "\"$argon2id$x\"" : "\"blake2b:00\"");
                is_user = false;
                p += 5;
            } else {
                text[len++] = *p++;
            }
        }
        text[len] = '\0';
        config = parse(text);
        assert_int_equal(lm_config_show(config, effective[i], &second), LM_OK);
        lm_config_free(config);
        assert_int_equal(lm_buf_u8(&second, 0), LM_OK);
        assert_string_equal((char *)first.ptr, (char *)second.ptr);
        lm_buf_fini(&first);
        lm_buf_fini(&second);
    }
}

static void test_defaults_show_nothing(void **state)
{
    (void)state;
    lm_buf text;
    lm_buf_init(&text, mem);
    lm_config *config = parse("");
    assert_int_equal(lm_config_show(config, false, &text), LM_OK);
    assert_int_equal(text.len, 0);
    lm_config_free(config);
    lm_buf_fini(&text);
}

static void test_wrong(void **state)
{
    (void)state;

    static const struct {
        const char *text, *place, *word;
    } cases[] = {
        {"nope: 1\n", "f.yaml:1:1: ", "no key 'nope'"},
        {"query:\n  timeot: 5s\n", "f.yaml:2:3: ", "expected: timeout"},
        {"query: {timeout: 5}\n", "f.yaml:1:18: ", "duration with a unit"},
        {"memory: {max: 256}\n", "f.yaml:1:15: ", "size with a unit"},
        {"memory: 5MiB\n", "f.yaml:1:9: ", "keys with values"},
        {"mill: {cpu_percent: many}\n", "f.yaml:1:21: ", "whole number"},
        {"auth: {enabled: yes}\n", "f.yaml:1:17: ", "true or false"},
        {"auth: {enabled: true}\n", "f.yaml:1:1: ", "auth.users or auth.tokens"},
        {"query: {timeout: 5s}\nquery: {timeout: 6s}\n", "f.yaml:2:1: ", "twice"},
        {"a: &x 1\n", "f.yaml:1:4: ", "anchors"},
        {"a: *x\n", "f.yaml:1:4: ", "anchors"},
        {"a: !!str 1\n", "f.yaml:1:4: ", "tags"},
        {"storage: {path: \"${LM_NOT_THERE}\"}\n", "f.yaml:1:17: ", "LM_NOT_THERE"},
        {"storage: {path: \"${LM\"}\n", "f.yaml:1:17: ", "NAME}"},
        {"listen: {http: localhost}\n", "f.yaml:1:16: ", "port"},
        {"listen: {grpc: \":1\"}\n", "f.yaml:1:10: ", "elasticsearch"},
        {"listen: {http: {address: \":1\", tls: {key: /k}}}\n", "f.yaml:1:37: ", "both"},
        {"sources: [{type: carrier_pigeon}]\n", "f.yaml:1:18: ", "files, syslog"},
        {"sources: [{paths: [/a]}]\n", "f.yaml:1:11: ", "type"},
        {"sources: [{type: files}]\n", "f.yaml:1:11: ", "paths"},
        {"sources: [{type: files, paths: [/a], udp: true}]\n", "f.yaml:1:38: ", "no key 'udp'"},
        {"sources: [{type: pipe, path: /p, labels: {1a: b}}]\n", "f.yaml:1:43: ", "label"},
        {"sources: [{type: kafka, topics: [a]}]\n", "f.yaml:1:11: ", "brokers"},
        {"sources: [{type: kafka, brokers: [a]}]\n", "f.yaml:1:11: ", "topics"},
        {"sources: [{type: kafka, brokers: [a], topics: [\"\"]}]\n", "f.yaml:1:11: ", "topics"},
        {"sources: [{type: kafka, path: x}]\n", "f.yaml:1:25: ", "no key 'path'"},
        {"sources: [{type: kafka, auto_offset_reset: none}]\n", "f.yaml:1:44: ", "latest"},
        {"sources: [{type: kafka, sasl: {mechanism: MD5}}]\n", "f.yaml:1:31: ", "SCRAM-SHA-512"},
        {"sources: [{type: kafka, sasl: {mechanism: PLAIN, username: a}}]\n",
         "f.yaml:1:31: ", "password"},
        {"sources: [{type: kafka, sasl: {mechanism: PLAIN, password: a, password_file: b}}]\n",
         "f.yaml:1:31: ", "both"},
        {"sources: [{type: kafka, tls: {key: a}}]\n", "f.yaml:1:30: ", "both"},
        {"sources: [{type: kafka, metadata: [keys]}]\n", "f.yaml:1:36: ", "headers"},
        {"sources: [{type: kafka, options: [a]}]\n", "f.yaml:1:34: ", "keys with values"},
        {"tenants: {a/b: {}}\n", "f.yaml:1:11: ", "tenant"},
        {"auth: {tokens: [{name: a, hash: secret}]}\n", "f.yaml:1:33: ", "logmill config hash"},
        {"auth: {tokens: [{name: a, hash: \"blake2b:1\", scopes: [all]}]}\n",
         "f.yaml:1:55: ", "write"},
        {"a: [1, 2\n", "f.yaml:", ""},
        {"---\na: 1\n---\nb: 1\n", "f.yaml:", ""},
        {"- 1\n", "f.yaml:1:1: ", "keys with values"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_config *config = NULL;
        lm_err err = lm_config_parse(mem, "f.yaml", lm_str_of(cases[i].text), &config);
        if (err != LM_E_USAGE ||
            strncmp(lm_err_text(), cases[i].place, strlen(cases[i].place)) != 0 ||
            !strstr(lm_err_text(), cases[i].word))
            print_error("%s gives %d %s\n", cases[i].text, err, err ? lm_err_text() : "");
        assert_int_equal(err, LM_E_USAGE);
        assert_null(config);
        assert_true(strncmp(lm_err_text(), cases[i].place, strlen(cases[i].place)) == 0);
        assert_non_null(strstr(lm_err_text(), cases[i].word));
    }
}

static void test_file(void **state)
{
    (void)state;
    char folder[256], path[300];
    lm_config *config = NULL;
    lm_test_folder_make(folder);
    snprintf(path, sizeof path, "%s/logmill.yaml", folder);
    assert_int_equal(lm_config_load(mem, path, &config), LM_E_NOTFOUND);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("query:\n  timeout: 7s\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(lm_config_load(mem, path, &config), LM_OK);
    assert_int_equal(config->query_timeout, 7000000000ull);
    static const char *const listens[] = {"127.0.0.1:0"};
    assert_int_equal(lm_config_listen_set(config, listens, 1), LM_OK);
    assert_int_equal(config->listen_count, 1);
    assert_int_equal(lm_config_storage_set(config, "/x"), LM_OK);
    assert_string_equal(config->storage_path, "/x");
    lm_config_free(config);
    lm_test_folder_remove(folder);
}

static lm_err parse_with(lm_mem *given)
{
    lm_config *config = NULL;
    lm_buf text;
    lm_buf_init(&text, given);
    lm_err err = lm_config_parse(given, "f.yaml", lm_str_of(whole), &config);
    if (!err) err = lm_config_show(config, true, &text);
    lm_config_free(config);
    lm_buf_fini(&text);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    assert_int_equal(setenv("LM_TEST_VAR", "x", 1), 0);
    LM_TEST_EACH_ALLOCATION_FAILS(given, parse_with(given))
}

/** Cut anywhere, a file is right or wrong, never more than that. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        lm_config *config = NULL;
        lm_err err = lm_config_parse(mem, "f.yaml", (lm_str){(const uint8_t *)whole, len}, &config);
        assert_true(!err || err == LM_E_USAGE);
        lm_config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_shown_reads_back),
        cmocka_unit_test(test_defaults_show_nothing),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_cut_anywhere),
    };
    if (lm_mem_new(NULL, 0, &mem)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lm_mem_free(mem);
    return failed;
}

/** Parameters: forms, times, durations, numbers, routes. */
#include "lm_test.h"
#include "server/server_priv.h"

#define NS_PER_S 1000000000ll

static lm_mem *mem;

static void expect(const server_form *form, const char *name, const char *value)
{
    lm_str found = server_form_get(form, name);
    assert_non_null(found.ptr);
    assert_true(lm_str_equal(found, lm_str_of(value)));
}

static void test_forms(void **state)
{
    (void)state;
    lm_arena arena;
    server_form form = {0};
    lm_arena_init(&arena, mem);
    assert_int_equal(server_form_parse(LM_STR("a=1&b=%7Bx%3D%22y+z%22%7D&&c&=d&a=2&e=%zz%4&f=1=2"),
                                       &arena, &form),
                     LM_OK);
    expect(&form, "a", "1");
    assert_true(lm_str_equal(server_form_at(&form, "a", 1), LM_STR("2")));
    assert_null(server_form_at(&form, "a", 2).ptr);
    expect(&form, "b", "{x=\"y z\"}");
    expect(&form, "c", "");
    expect(&form, "", "d");
    expect(&form, "e", "%zz%4");
    expect(&form, "f", "1=2");
    assert_null(server_form_get(&form, "g").ptr);
    lm_arena_fini(&arena);
}

static void test_forms_are_bounded(void **state)
{
    (void)state;
    lm_arena arena;
    server_form form = {0};
    char text[4 * (FORM_PAIRS_MAX + 2)];
    size_t len = 0;
    for (size_t i = 0; i <= FORM_PAIRS_MAX; i++) {
        memcpy(text + len, "a=b&", 4);
        len += 4;
    }
    lm_arena_init(&arena, mem);
    assert_int_equal(server_form_parse((lm_str){(uint8_t *)text, len}, &arena, &form), LM_E_LIMIT);
    lm_arena_fini(&arena);
}

static void test_times(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"1700000000", 1700000000 * NS_PER_S},
        {"1700000000123456789", 1700000000123456789},
        {"1700000000.5", 1700000000500000000},
        {"4000000000", 4000000000 * NS_PER_S},
        {"2026-11-23T13:00:00Z", 1795438800 * NS_PER_S},
        {"2026-11-23T13:00:00.25Z", 1795438800 * NS_PER_S + 250000000},
        {"2026-11-23T15:00:00+02:00", 1795438800 * NS_PER_S},
        {"", 77},
        {"0", 0},
        {"-5", -5 * NS_PER_S},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ns = 1;
        assert_int_equal(server_time_parse(lm_str_of(good[i].text), 77, &ns), LM_OK);
        assert_int_equal(ns, good[i].ns);
    }
    static const char *const bad[] = {"x",          "1.2.3", "99999999999999999999",
                                      "2026-11-23", "12:00", "1e400.0",
                                      "nan.",       "0x1.0", "2026-11-23T13:00:00Zjunk"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ns = 1;
        assert_int_equal(server_time_parse(lm_str_of(bad[i]), 77, &ns), LM_E_USAGE);
        assert_int_equal(ns, 1);
    }
    int64_t ns;
    assert_int_equal(server_time_parse(LM_STR("abc"), 0, &ns), LM_E_USAGE);
    assert_string_equal(lm_err_text(), "strconv.ParseInt: parsing \"abc\": invalid syntax");
}

static void test_steps(void **state)
{
    (void)state;
    int64_t ns = 0;
    assert_int_equal(server_seconds_parse(LM_STR("15"), 0, &ns), LM_OK);
    assert_int_equal(ns, 15 * NS_PER_S);
    assert_int_equal(server_seconds_parse(LM_STR("0.5"), 0, &ns), LM_OK);
    assert_int_equal(ns, NS_PER_S / 2);
    assert_int_equal(server_seconds_parse(LM_STR("1m30s"), 0, &ns), LM_OK);
    assert_int_equal(ns, 90 * NS_PER_S);
    assert_int_equal(server_seconds_parse(LM_STR("soon"), 0, &ns), LM_E_USAGE);
    assert_string_equal(lm_err_text(), "cannot parse \"soon\" to a valid duration");
    uint32_t limit = 0;
    assert_int_equal(server_limit_parse(LM_STR(""), 100, &limit), LM_OK);
    assert_int_equal(limit, 100);
    assert_int_equal(server_limit_parse(LM_STR("7"), 100, &limit), LM_OK);
    assert_int_equal(limit, 7);
    assert_int_equal(server_limit_parse(LM_STR("-1"), 100, &limit), LM_E_USAGE);
    assert_string_equal(lm_err_text(), "limit must be a positive value");
    assert_int_equal(server_limit_parse(LM_STR("1.5"), 100, &limit), LM_E_USAGE);
    assert_int_equal(server_limit_parse(LM_STR("99999999999"), 100, &limit), LM_OK);
    assert_int_equal(limit, UINT32_MAX);
}

static const server_route *find(const char *target, uint32_t method, uint32_t *methods)
{
    lm_arena arena;
    server_path path;
    const server_route *route = NULL;
    lm_arena_init(&arena, mem);
    *methods = 0;
    if (!server_path_parse(lm_str_of(target), &arena, &path))
        route = server_route_find(&path, method, methods);
    lm_arena_fini(&arena);
    return route;
}

static void test_routes(void **state)
{
    (void)state;

    static const struct {
        const char *target;
        uint32_t method;
        const char *name; /* NULL: none */
    } cases[] = {
        {"/loki/api/v1/push", METHOD_POST, "loki_push"},
        {"/loki/api/v1/push?x=/y", METHOD_POST, "loki_push"},
        {"//loki//api/v1/push/", METHOD_POST, "loki_push"},
        {"/loki/api/v1/push", METHOD_GET, NULL},
        {"/loki/api/v1/label/app/values", METHOD_GET, "label_values"},
        {"/loki/api/v1/label/app/value", METHOD_GET, NULL},
        {"/_bulk", METHOD_PUT, "bulk"},
        {"/my-index/_bulk", METHOD_POST, "bulk"},
        {"/", METHOD_HEAD, "root"},
        {"", METHOD_GET, "root"},
        {"/_index_template/x", METHOD_HEAD, "elastic"},
        {"/_nodes", METHOD_GET, "elastic"},
        {"/_nodes/a/b/c", METHOD_GET, "elastic"},
        {"/a/b/c/d/e/f/g/h/i/j", METHOD_GET, NULL},
        {"/metrics", METHOD_GET, "metrics"},
        {"/metricsx", METHOD_GET, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t methods;
        const server_route *route = find(cases[i].target, cases[i].method, &methods);
        if (!cases[i].name) {
            assert_null(route);
            continue;
        }
        assert_non_null(route);
        assert_string_equal(route->name, cases[i].name);
    }
    uint32_t methods;
    assert_null(find("/loki/api/v1/push", METHOD_GET, &methods));
    assert_int_equal(methods, METHOD_POST);
}

static void test_selectors(void **state)
{
    (void)state;

    static const struct {
        const char *query, *selector;
    } cases[] = {
        {"{a=\"b\"} |= \"x\"", "{a=\"b\"}"},
        {"sum(rate({a=\"}\"}[5m]))", "{a=\"}\"}"},
        {"{a=`}`, b=\"\\\"}\"} | json", "{a=`}`, b=\"\\\"}\"}"},
        {"{a=\"b\"", "{a=\"b\""},
        {"none", "none"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_str found = server_selector_of(lm_str_of(cases[i].query));
        assert_true(lm_str_equal(found, lm_str_of(cases[i].selector)));
    }
}

static void test_authorization(void **state)
{
    (void)state;
    lm_arena arena;
    bool is_basic = false;
    lm_str name, secret;
    lm_arena_init(&arena, mem);
    assert_true(server_auth_parse(LM_STR("Basic bWU6YTpi"), &arena, &is_basic, &name, &secret));
    assert_true(is_basic);
    assert_true(lm_str_equal(name, LM_STR("me")));
    assert_true(lm_str_equal(secret, LM_STR("a:b")));
    assert_true(server_auth_parse(LM_STR("bearer  tok"), &arena, &is_basic, &name, &secret));
    assert_false(is_basic);
    assert_true(lm_str_equal(secret, LM_STR("tok")));
    static const char *const bad[] = {"",           "Basic",    "Basic ", "Basic !!",
                                      "Basic bWU=", "Digest x", "Bearer "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(server_auth_parse(lm_str_of(bad[i]), &arena, &is_basic, &name, &secret));
    lm_arena_fini(&arena);
}

/** Tenants: what a rate lets through over a simulated minute, and streams that come and go. */
static void test_limits(void **state)
{
    (void)state;
    server_tenants tenants;
    server_tenant *tenant = NULL, *again = NULL;
    lm_record_batch batch;
    uint64_t retry = 0, now = 1000 * (uint64_t)NS_PER_S;
    server_tenants_init(&tenants, mem);
    assert_int_equal(server_tenant_get(&tenants, LM_STR("t"), &tenant), LM_OK);
    assert_int_equal(server_tenant_get(&tenants, LM_STR("t"), &again), LM_OK);
    assert_ptr_equal(tenant, again);

    lm_config_limits limits = {.rate = 100, .burst = 200};
    lm_record_batch_init(&batch, mem);
    uint32_t stream = 0;
    assert_int_equal(lm_record_batch_stream(&batch, (lm_labels){NULL, 0}, &stream), LM_OK);
    uint8_t line[50] = {'x'};
    assert_int_equal(
        lm_record_batch_add(&batch, stream, 1, (lm_str){line, 50}, (lm_labels){NULL, 0}), LM_OK);
    size_t taken = 0;
    for (int i = 0; i < 600; i++, now += NS_PER_S / 10) { /* 500 bytes a second are offered */
        lm_err err = server_tenant_admit(tenant, mem, &limits, &batch, now, &retry);
        assert_true(!err || err == LM_E_LIMIT);
        if (err) assert_in_range(retry, 1, 60);
        taken += !err;
    }
    assert_in_range(taken, 4 + 118, 4 + 122); /* the burst, and 100 bytes a second */

    lm_config_limits few = {.streams = 10};
    lm_record_batch_reset(&batch);
    for (uint64_t i = 0; i < 30; i++) {
        lm_stream one = {.hash = i + 1};
        lm_record_batch single = {.streams = &one, .stream_count = 1};
        lm_err err = server_tenant_admit(tenant, mem, &few, &single, now, &retry);
        assert_int_equal(err, i < 10 ? LM_OK : LM_E_LIMIT);
    }
    now += 1801 * (uint64_t)NS_PER_S; /* half an hour later the old ones still count */
    lm_stream other = {.hash = 100};
    lm_record_batch single = {.streams = &other, .stream_count = 1};
    assert_int_equal(server_tenant_admit(tenant, mem, &few, &single, now, &retry), LM_E_LIMIT);
    now += 1801 * (uint64_t)NS_PER_S; /* and then no more */
    assert_int_equal(server_tenant_admit(tenant, mem, &few, &single, now, &retry), LM_OK);
    lm_record_batch_fini(&batch);
    server_tenants_fini(&tenants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),         cmocka_unit_test(test_forms_are_bounded),
        cmocka_unit_test(test_times),         cmocka_unit_test(test_steps),
        cmocka_unit_test(test_routes),        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_authorization), cmocka_unit_test(test_limits),
    };
    if (lm_mem_new(NULL, 0, &mem)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lm_mem_free(mem);
    return failed;
}

/** Durations, sizes, addresses and tenants' names. */
#include "control/control.h"
#include "lm_test.h"

static void test_durations(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"5s", 5000000000},
        {"1m30s", 90000000000},
        {"250ms", 250000000},
        {"7d", 604800000000000},
        {"0s", 0},
        {"1.5h", 5400000000000},
        {"1w", 604800000000000},
        {"10us", 10000},
        {"3ns", 3},
        {"1y", 31536000000000000ull},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ns = 1;
        assert_true(lm_duration_read(lm_str_of(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
        char text[40];
        lm_duration_print(ns, text);
        assert_true(lm_duration_read(lm_str_of(text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    static const char *const bad[] = {"",     "5",    "s",    "5 s", "-5s",
                                      "5sec", "1e3s", "300y", "5s ", ".5s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ns = 77;
        assert_false(lm_duration_read(lm_str_of(bad[i]), &ns));
        assert_int_equal(ns, 77);
    }
}

static void test_sizes(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"64MiB", 67108864}, {"10GB", 10000000000},   {"512B", 512}, {"1.5KiB", 1536},
        {"0B", 0},           {"2TiB", 2199023255552}, {"7kB", 7000},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 1;
        assert_true(lm_size_read(lm_str_of(good[i].text), &bytes));
        assert_int_equal(bytes, good[i].bytes);
        char text[40];
        lm_size_print(bytes, text);
        assert_true(lm_size_read(lm_str_of(text), &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    static const char *const bad[] = {
        "", "64", "MiB", "64M", "64 MiB", "-1B", "99999999999TiB", "1MiB2KiB"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes = 77;
        assert_false(lm_size_read(lm_str_of(bad[i]), &bytes));
        assert_int_equal(bytes, 77);
    }
}

static void test_printing_reads_back(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("durations and sizes");
    for (int i = 0; i < 20000; i++) {
        uint64_t value = lm_test_random(&rng) >> (1 + lm_test_below(&rng, 62)), back = 0;
        char text[40];
        lm_duration_print(value, text);
        assert_true(lm_duration_read(lm_str_of(text), &back));
        assert_int_equal(back, value);
        lm_size_print(value, text);
        assert_true(lm_size_read(lm_str_of(text), &back));
        assert_int_equal(back, value);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    char host[256];
    uint16_t port = 1;
    assert_int_equal(lm_address_split("127.0.0.1:3100", host, &port), LM_OK);
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 3100);
    assert_int_equal(lm_address_split("[::1]:0", host, &port), LM_OK);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 0);
    assert_int_equal(lm_address_split(":9200", host, &port), LM_OK);
    assert_string_equal(host, "");
    static const char *const bad[] = {"",    "host",      "host:",   "host:99999", "host:1x",
                                      "::1", "[::1:3100", "1:2:3:4", "host:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(lm_address_split(bad[i], host, &port), LM_E_USAGE);
}

static void test_tenants(void **state)
{
    (void)state;
    char long_name[152];
    memset(long_name, 'a', sizeof long_name);
    assert_true(lm_tenant_is_valid(LM_STR("default")));
    assert_true(lm_tenant_is_valid(LM_STR("a.b_c-d!*'()9")));
    assert_true(lm_tenant_is_valid((lm_str){(uint8_t *)long_name, 150}));
    assert_false(lm_tenant_is_valid((lm_str){(uint8_t *)long_name, 151}));
    assert_false(lm_tenant_is_valid(LM_STR("")));
    assert_false(lm_tenant_is_valid(LM_STR(".")));
    assert_false(lm_tenant_is_valid(LM_STR("..")));
    assert_false(lm_tenant_is_valid(LM_STR("a/b")));
    assert_false(lm_tenant_is_valid(LM_STR("a|b")));
    assert_false(lm_tenant_is_valid(LM_STR("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_printing_reads_back),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_tenants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

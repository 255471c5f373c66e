/* Values are compared by what they mean: exactly, with units, as addresses. */
#include "search/search_priv.h"

#include "lm_test.h"

static lm_number number(const char *text)
{
    lm_number n;
    if (!lm_number_parse(lm_str_of(text), &n)) fail_msg("'%s' is no number", text);
    return n;
}

static int order(const char *a, const char *b)
{
    lm_number x = number(a), y = number(b);
    assert_int_equal(lm_number_compare(&x, &y), -lm_number_compare(&y, &x));
    return lm_number_compare(&x, &y);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    assert_int_equal(order("18446744073709551615", "18446744073709551614"),
                     1); /* equal as doubles */
    assert_int_equal(order("0.1", "0.10"), 0);
    assert_int_equal(order("1e3", "1000"), 0);
    assert_int_equal(order("5e-1", "0.5"), 0);
    assert_int_equal(order("-2", "-10"), 1);
    assert_int_equal(order("-0", "0"), 0);
    assert_int_equal(order("-1", "0"), -1);
    assert_int_equal(order("007", "7"), 0);
    assert_int_equal(order("0.000000000000000000001", "0"), 1);
    assert_int_equal(order("1e99999", "9e99998"), 1);
    assert_int_equal(order("99999999999999999999999999999999999999999999", "1e43"), 1);
}

static void no_numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "-",   ".",    "1.",  ".5.", "1e",
                                      "0x10", "1 2", "12ms", "1,5", "--1", "1e999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lm_number n;
        if (lm_number_parse(lm_str_of(bad[i]), &n)) fail_msg("'%s' was taken for a number", bad[i]);
    }
}

static int duration_order(const char *a, const char *b)
{
    lm_number x, y;
    assert_true(lm_duration_parse(lm_str_of(a), &x));
    assert_true(lm_duration_parse(lm_str_of(b), &y));
    return lm_number_compare(&x, &y);
}

static void durations_have_units(void **state)
{
    (void)state;
    assert_int_equal(duration_order("10ms", "0.01s"), 0);
    assert_int_equal(duration_order("1h2m3.5s", "3723500ms"), 0);
    assert_int_equal(duration_order("1h 2m 3.5s", "3723500ms"), 0);
    assert_int_equal(duration_order("0.023 ms", "23us"), 0);
    assert_int_equal(duration_order("23\xc2\xb5s", "23us"), 0);
    assert_int_equal(duration_order("1d", "24h"), 0);
    assert_int_equal(duration_order("999ms", "1s"), -1);
    assert_int_equal(duration_order("-1s", "1ms"), -1);
    assert_int_equal(duration_order("12 seconds", "0.2min"), 0);
    lm_number n;
    assert_false(lm_duration_parse(LM_STR("10"), &n));
    assert_false(lm_duration_parse(LM_STR("10M"), &n)); /* mega, not minutes */
    assert_false(lm_duration_parse(LM_STR("ms"), &n));
    assert_false(lm_duration_parse(LM_STR("1s2"), &n));
}

static void bare_durations_go_by_their_name(void **state)
{
    (void)state;
    lm_number unit = lm_duration_unit_of_name(LM_STR("latency_ms")), ms = number("1000000");
    assert_int_equal(lm_number_compare(&unit, &ms), 0);
    unit = lm_duration_unit_of_name(LM_STR("elapsedMillis"));
    assert_int_equal(lm_number_compare(&unit, &ms), 0);
    unit = lm_duration_unit_of_name(LM_STR("duration"));
    lm_number second = number("1e9");
    assert_int_equal(lm_number_compare(&unit, &second), 0);
    unit = lm_duration_unit_of_name(LM_STR("items")); /* ends with "ms" but is no word of its own */
    assert_int_equal(lm_number_compare(&unit, &second), 0);
}

static void sizes_have_units(void **state)
{
    (void)state;
    lm_number a, b;
    assert_true(lm_size_parse(LM_STR("1MB"), &a) && lm_size_parse(LM_STR("1000kB"), &b));
    assert_int_equal(lm_number_compare(&a, &b), 0);
    assert_true(lm_size_parse(LM_STR("1MiB"), &a) && lm_size_parse(LM_STR("1048576b"), &b));
    assert_int_equal(lm_number_compare(&a, &b), 0);
    assert_true(lm_size_parse(LM_STR("1.5 GB"), &a) && lm_size_parse(LM_STR("1500 MB"), &b));
    assert_int_equal(lm_number_compare(&a, &b), 0);
    assert_false(lm_size_parse(LM_STR("15"), &a));
    assert_false(lm_size_parse(LM_STR("15 apples"), &a));
}

static bool in(const char *range_text, const char *ip_text)
{
    lm_ip_range range;
    uint8_t ip[16];
    if (!lm_ip_range_parse(lm_str_of(range_text), &range)) fail_msg("'%s' is no range", range_text);
    return lm_ip_parse(lm_str_of(ip_text), ip) && lm_ip_in(&range, ip);
}

static void addresses_lie_in_ranges(void **state)
{
    (void)state;
    assert_true(in("10.0.0.0/8", "10.255.1.2"));
    assert_false(in("10.0.0.0/8", "11.0.0.0"));
    assert_true(in("192.168.0.1-192.168.0.9", "192.168.0.9"));
    assert_false(in("192.168.0.1-192.168.0.9", "192.168.0.10"));
    assert_true(in("0.0.0.0/0", "1.2.3.4"));
    assert_false(in("0.0.0.0/0", "::1"));
    assert_true(in("2001:db8::/32", "2001:db8:1::5"));
    assert_true(in("::1", "0:0:0:0:0:0:0:1"));
    assert_true(in("::ffff:0:0/96", "1.2.3.4"));
    assert_false(in("10.0.0.0/8", "10.0.0.256"));
    assert_false(in("10.0.0.0/8", "10.0.0"));
    lm_ip_range range;
    static const char *const bad[] = {
        "", "10.0.0.0/33", "10.0.0/8", "a", "10.0.0.9-10.0.0.1", "1.2.3.4/", "::1::2/8", "/8", "-"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (lm_ip_range_parse(lm_str_of(bad[i]), &range))
            fail_msg("'%s' was taken for a range", bad[i]);
    }
}

static void addresses_are_found_in_lines(void **state)
{
    (void)state;
    lm_ip_range range;
    assert_true(lm_ip_range_parse(LM_STR("10.0.0.0/8"), &range));
    assert_true(lm_ip_find(LM_STR("from 10.1.2.3 port 22"), &range));
    assert_true(lm_ip_find(LM_STR("10.1.2.3:8080"), &range));
    assert_true(lm_ip_find(LM_STR("addr=10.1.2.3."), &range));
    assert_true(lm_ip_find(LM_STR("x 9.9.9.9 y 10.0.0.1"), &range));
    assert_false(lm_ip_find(LM_STR("version 110.1.2.3"), &range));
    assert_false(lm_ip_find(LM_STR("10.1.2"), &range));
    assert_false(lm_ip_find(LM_STR(""), &range));
    assert_true(lm_ip_range_parse(LM_STR("fe80::/10"), &range));
    assert_true(lm_ip_find(LM_STR("on fe80::1: up"), &range));
    assert_false(lm_ip_find(LM_STR("at 13:41:06 cafe"), &range));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(no_numbers),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(bare_durations_go_by_their_name),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(addresses_lie_in_ranges),
        cmocka_unit_test(addresses_are_found_in_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

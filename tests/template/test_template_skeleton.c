/** The skeleton by bitmaps equals its plain twin; what it keeps and what it drops. */
#include "template/template_priv.h"
#include "template_test.h"

static void assert_twins(lm_str line)
{
    uint8_t fast[SKELETON_BYTES_MAX], plain[SKELETON_BYTES_MAX];
    size_t n = template_skeleton(line, fast), m = template_skeleton_plain(line, plain);
    assert_int_equal(n, m);
    assert_memory_equal(fast, plain, n);
    assert_true(n <= line.len);
}

static void twins_agree_on_random_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789abcxyzAF_ .:/-\xc3\xa4\x01\x04\0=";
    lm_test_rng rng = lm_test_rng_make("skeleton");
    for (int round = 0; round < 4000; round++) {
        uint8_t raw[MESSAGE_BYTES_MAX];
        size_t len = lm_test_below(&rng, round % 40 == 0 ? MESSAGE_BYTES_MAX + 1 : 200);
        size_t kinds =
            1 + lm_test_below(&rng, sizeof alphabet - 1); /* few kinds: long words, long numbers */
        size_t begin = lm_test_below(&rng, sizeof alphabet - 1);
        for (size_t i = 0; i < len; i++)
            raw[i] =
                (uint8_t)alphabet[(begin + lm_test_below(&rng, kinds)) % (sizeof alphabet - 1)];
        uint8_t *exact = malloc(len ? len : 1); /* a read behind it is seen by the sanitizer */
        assert_non_null(exact);
        memcpy(exact, raw, len);
        assert_twins((lm_str){exact, len});
        free(exact);
    }
}

static void twins_agree_on_log_lines(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("skeleton lines");
    lm_mem *mem = NULL;
    lines l = {0};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lines_make(mem, &rng, 2000, &l);
    for (size_t i = 0; i < l.count; i++)
        assert_twins(l.items[i]);
    lines_free(mem, &l);
    lm_mem_free(mem);
}

static void digits_become_marks(void **state)
{
    (void)state;

    static const struct {
        const char *line, *skeleton;
    } cases[] = {
        {"took 15 ms", "took \1 ms"},
        {"10ms 5MB", "\1ms \1MB"},
        {"eth0 cpu12 node123", "eth0 cpu\2 node\1"},
        {"0x1f2e deadbeef01 a1b2", "\3 \3 \3"},
        {"job_12_map7", "job_\1_map7"},
        {"log4j utf8mb4", "log4j \3"},
        {"2015-10-18T18:01:47Z", "\1-\1-\3:\1:\1Z"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t got[SKELETON_BYTES_MAX];
        size_t n = template_skeleton(lm_str_of(cases[i].line), got);
        assert_int_equal(n, strlen(cases[i].skeleton));
        assert_memory_equal(got, cases[i].skeleton, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_agree_on_random_bytes),
        cmocka_unit_test(twins_agree_on_log_lines),
        cmocka_unit_test(digits_become_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** base_scan.c: every path this machine can run gives the bits that the definition gives. */
#include "lm_test.h"

#define BYTES_MAX 4096
#define WORDS_MAX (BYTES_MAX / 64 + 2)

static const lm_cpu all_paths[] = {LM_CPU_PLAIN, LM_CPU_NEON, LM_CPU_AVX2, LM_CPU_AVX512};

/* The definition, written a second time and on purpose without tables. */
static bool is_of(int class, uint8_t c)
{
    bool digit = c >= '0' && c <= '9';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    switch (class) {
    case LM_CLASS_DIGIT:
        return digit;
    case LM_CLASS_WORD:
        return digit || letter || c == '_' || c >= 0x80;
    case LM_CLASS_NEWLINE:
        return c == '\n';
    default:
        return c == '"' || c == '=' || c == '/' || c == ':' || c < 0x09;
    }
}

static void check(const uint8_t *src, size_t len)
{
    static uint64_t words[LM_CLASS_COUNT][WORDS_MAX];
    uint64_t *const out[LM_CLASS_COUNT] = {words[0], words[1], words[2], words[3]};
    size_t word_count = (len + 63) / 64;
    for (size_t p = 0; p < sizeof all_paths / sizeof all_paths[0]; p++) {
        if (!lm_cpu_has(all_paths[p])) continue;
        memset(words, 0xa5, sizeof words);
        lm_scan_classes_as(all_paths[p], src, len, out);
        for (int class = 0; class < LM_CLASS_COUNT; class ++) {
            for (size_t i = 0; i < word_count * 64; i++) {
                bool bit = words[class][i / 64] >> (i % 64) & 1;
                bool want = i < len && is_of(class, src[i]);
                if (bit != want) {
                    fail_msg("%s: class %d, byte %zu of %zu (0x%02x)", lm_cpu_name(all_paths[p]),
                             class, i, len, i < len ? src[i] : 0);
                }
            }
            assert_int_equal(words[class][word_count], 0xa5a5a5a5a5a5a5a5u); /* nothing behind */
        }
    }
}

/* A copy that ends where its memory ends, so that AddressSanitizer sees a read behind it. */
static void check_exact(const uint8_t *src, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len) memcpy(copy, src, len);
    check(copy, len);
    size_t want = 0;
    for (size_t i = 0; i < len; i++)
        want += copy[i] == '\n';
    assert_int_equal(lm_scan_count_newlines(copy, len), want);
    free(copy);
}

static void every_byte_in_every_lane(void **state)
{
    (void)state;
    uint8_t src[256 + 64];
    for (size_t shift = 0; shift < 64; shift++) {
        for (size_t i = 0; i < sizeof src; i++)
            src[i] = (uint8_t)(i + shift);
        check(src, sizeof src);
    }
}

static void every_length_up_to_four_blocks(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("scan lengths");
    uint8_t src[260];
    for (size_t len = 0; len <= sizeof src; len++) {
        for (size_t i = 0; i < len; i++)
            src[i] = (uint8_t)lm_test_random(&rng);
        check_exact(src, len);
        memset(src, '\n', len);
        check_exact(src, len);
    }
}

static void random_text(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("scan text");
    static const char letters[] = "abcXYZ019_ \n\t=:/\"[](){}\x01\x7f\x80\xff@`";
    static uint8_t src[BYTES_MAX];
    for (int round = 0; round < 200; round++) {
        size_t len = lm_test_below(&rng, BYTES_MAX);
        for (size_t i = 0; i < len; i++)
            src[i] = (uint8_t)letters[lm_test_below(&rng, sizeof letters)];
        check_exact(src, len);
    }
}

static void counts_newlines_over_many_blocks(void **state)
{
    (void)state;
    /* More than 255 steps of a vector loop: its byte counters must not wrap. */
    size_t len = 255 * 32 * 3 + 17;
    uint8_t *src = malloc(len);
    assert_non_null(src);
    memset(src, '\n', len);
    assert_int_equal(lm_scan_count_newlines(src, len), len);
    src[12345] = 'x';
    assert_int_equal(lm_scan_count_newlines(src, len), len - 1);
    free(src);
}

static void the_best_path_is_one_this_machine_has(void **state)
{
    (void)state;
    assert_true(lm_cpu_has(LM_CPU_PLAIN));
    assert_true(lm_cpu_has(lm_cpu_best()));
    printf("# best path here: %s\n", lm_cpu_name(lm_cpu_best()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_in_every_lane),
        cmocka_unit_test(every_length_up_to_four_blocks),
        cmocka_unit_test(random_text),
        cmocka_unit_test(counts_newlines_over_many_blocks),
        cmocka_unit_test(the_best_path_is_one_this_machine_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Values by class: whatever a token's text, printing what it was classified as gives the text back.
 */
#include "archive/archive_priv.h"

#include "lm_test.h"

/* Classify a copy of exactly that length, print into exactly the room that is promised. */
static uint32_t round_trip(const char *text, size_t len)
{
    uint8_t *copy = malloc(len);
    uint8_t *printed = malloc(LM_VALUE_TEXT_MAX);
    assert_non_null(copy);
    assert_non_null(printed);
    memcpy(copy, text, len);
    lm_token_value value;
    lm_token_classify(copy, len, &value);
    if (value.vclass != LM_VC_STR) {
        assert_true(lm_vclass_is_valid(value.vclass));
        const uint8_t *wide = lm_vclass_width(value.vclass) ? value.wide : NULL;
        size_t n = lm_value_print(value.vclass, value.number, wide, printed);
        if (n != len || memcmp(printed, copy, n) != 0) {
            fail_msg("'%.*s' became '%.*s' by class %u", (int)len, text, (int)n,
                     (const char *)printed, value.vclass);
        }
    }
    free(copy);
    free(printed);
    return value.vclass;
}

static void test_texts_have_the_class_they_should(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint32_t vclass;
    } cases[] = {
        {"0", LM_VC_INT},
        {"7", LM_VC_INT},
        {"-1", LM_VC_INT},
        {"10", LM_VC_INT},
        {"999999999999999999", LM_VC_INT},
        {"-999999999999999999", LM_VC_INT},
        {"1712790000123000000", LM_VC_INT},
        {"9223372036854775807", LM_VC_INT},
        {"-9223372036854775807", LM_VC_INT},
        {"9223372036854775808", LM_VC_STR},
        {"9999999999999999999", LM_VC_STR},
        {"18446744073709551615", LM_VC_HEX_WIDE + 10},
        {"-9223372036854775808", LM_VC_STR},
        {"-0", LM_VC_STR},
        {"-01", LM_VC_STR},
        {"-", LM_VC_STR},
        {"00", LM_VC_ZINT + 2},
        {"007", LM_VC_ZINT + 3},
        {"000000000000000001", LM_VC_ZINT + 18},
        {"0000000000000000001", LM_VC_STR},
        {"00000000000000000001", LM_VC_HEX_WIDE + 10},
        {"1.5", LM_VC_DEC + 1},
        {"1.50", LM_VC_DEC + 2},
        {"0.0", LM_VC_DEC + 1},
        {"-0.5", LM_VC_DEC + 1},
        {"-0.0", LM_VC_STR},
        {"-0.00", LM_VC_STR},
        {"01.5", LM_VC_STR},
        {"1.", LM_VC_STR},
        {".5", LM_VC_STR},
        {"1.5.2", LM_VC_STR},
        {"1..5", LM_VC_STR},
        {"-.5", LM_VC_STR},
        {"123.123456789012345", LM_VC_DEC + 15},
        {"1234.123456789012345", LM_VC_STR},
        {"1.1234567890123456", LM_VC_STR},
        {"0.0.0.0", LM_VC_IP4},
        {"255.255.255.255", LM_VC_IP4},
        {"256.1.1.1", LM_VC_STR},
        {"1.2.3.04", LM_VC_STR},
        {"01.2.3.4", LM_VC_STR},
        {"1.2.3.4.5", LM_VC_STR},
        {"1.2.3.", LM_VC_STR},
        {"1.2.3.256", LM_VC_STR},
        {"1.2.3.1234", LM_VC_STR},
        {"1.2.3", LM_VC_STR},
        {"f", LM_VC_HEX_LOWER + 1},
        {"0f", LM_VC_HEX_LOWER + 2},
        {"F0", LM_VC_HEX_UPPER + 2},
        {"fF", LM_VC_STR},
        {"deadbeef", LM_VC_HEX_LOWER + 8},
        {"ffffffffffffffff", LM_VC_HEX_LOWER + 16},
        {"FFFFFFFFFFFFFFFF", LM_VC_HEX_UPPER + 16},
        {"fffffffffffffffff", LM_VC_STR},
        {"ffffffffffffffffff", LM_VC_HEX_WIDE + 9},
        {"FFFFFFFFFFFFFFFFFF", LM_VC_STR},
        {"d41d8cd98f00b204e9800998ecf8427e", LM_VC_HEX_WIDE + 16},
        {"d41d8cd98f00b204e9800998ecf8427", LM_VC_STR},
        {"123e4567-e89b-42d3-a456-426614174000", LM_VC_UUID},
        {"123E4567-e89b-42d3-a456-426614174000", LM_VC_STR},
        {"123e4567-e89b-42d3-a456-42661417400g", LM_VC_STR},
        {"123e4567ae89b-42d3-a456-426614174000", LM_VC_STR},
        {"1e5", LM_VC_HEX_LOWER + 3},
        {"+5", LM_VC_STR},
        {"12:30", LM_VC_STR},
        {"x", LM_VC_STR},
        {" ", LM_VC_STR},
        {"\xff", LM_VC_STR},
        {"g1", LM_VC_STR},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t vclass = round_trip(cases[i].text, strlen(cases[i].text));
        if (vclass != cases[i].vclass)
            fail_msg("'%s' has class %u, not %u", cases[i].text, vclass, cases[i].vclass);
    }
    char digits[2 * LM_WIDE_MAX + 3];
    memset(digits, 'a', sizeof digits);
    assert_int_equal(round_trip(digits, 2 * LM_WIDE_MAX), LM_VC_HEX_WIDE + LM_WIDE_MAX);
    assert_int_equal(round_trip(digits, 2 * LM_WIDE_MAX + 1), LM_VC_STR);
    assert_int_equal(round_trip(digits, 2 * LM_WIDE_MAX + 2), LM_VC_STR);
}

static void test_random_texts_round_trip(void **state)
{
    (void)state;
    static const char *const alphabets[] = {"0123456789",
                                            "0123456789.",
                                            "0123456789abcdef",
                                            "0123456789ABCDEF",
                                            "01.-",
                                            "0123456789abcdefABCDEF.-:gz",
                                            "09",
                                            "0123456789abcdef-"};
    lm_test_rng rng = lm_test_rng_make("random texts");
    for (unsigned i = 0; i < 200000; i++) {
        const char *alphabet = alphabets[lm_test_below(&rng, 8)];
        char text[150];
        size_t len = 1 + lm_test_below(&rng, lm_test_below(&rng, 20) ? 22 : sizeof text - 1);
        for (size_t k = 0; k < len; k++)
            text[k] = alphabet[lm_test_below(&rng, strlen(alphabet))];
        (void)round_trip(text, len); /* any class will do */
    }
    for (unsigned i = 0; i < 50000; i++) {
        char text[64];
        size_t len = 1 + lm_test_below(&rng, sizeof text);
        for (size_t k = 0; k < len; k++)
            text[k] = (char)lm_test_random(&rng);
        (void)round_trip(text, len);
    }
}

/* Every number of every class is printed within its room: numbers come from files that anyone may
 * have written. */
static void test_any_number_can_be_printed(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0,          1,         -1,
                                      9,          10,        99,
                                      100,        999999999, INT64_C(999999999999999999),
                                      INT64_MAX,  INT64_MIN, INT64_MIN + 1,
                                      UINT32_MAX, 255};
    lm_test_rng rng = lm_test_rng_make("any number");
    uint8_t *printed = malloc(LM_VALUE_TEXT_MAX);
    uint8_t *wide = malloc(LM_WIDE_MAX);
    assert_non_null(printed);
    assert_non_null(wide);
    memset(wide, 0xA5, LM_WIDE_MAX);
    unsigned valid = 0;
    for (uint32_t vclass = 0; vclass < LM_VC_LIMIT; vclass++) {
        if (!lm_vclass_is_valid(vclass) || vclass == LM_VC_STR || vclass == LM_VC_STR_UNIQUE)
            continue;
        valid++;
        for (size_t i = 0; i < 20; i++) {
            size_t known = sizeof numbers / sizeof numbers[0];
            int64_t number = i < known ? numbers[i] : (int64_t)lm_test_random(&rng);
            size_t len = lm_value_print(vclass, number, wide, printed);
            assert_in_range(len, 1, LM_VALUE_TEXT_MAX);
        }
    }
    assert_true(valid > 150);
    assert_false(lm_vclass_is_valid(4));
    assert_false(lm_vclass_is_valid(LM_VC_LIMIT));
    assert_false(lm_vclass_is_valid(UINT64_MAX));
    free(printed);
    free(wide);
}

/* Numbers that a class can hold print to texts that are classified to the same number again. */
static void test_classes_hold_their_numbers(void **state)
{
    (void)state;
    uint8_t printed[LM_VALUE_TEXT_MAX];
    lm_token_value value;
    lm_test_rng rng = lm_test_rng_make("numbers");
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t bits = lm_test_random(&rng) >> lm_test_below(&rng, 64);
        unsigned width = 1 + (unsigned)lm_test_below(&rng, 16);
        uint64_t number = width == 16 ? bits : bits & ((UINT64_C(1) << 4 * width) - 1);
        size_t len = lm_value_print(LM_VC_HEX_LOWER + width, (int64_t)number, NULL, printed);
        assert_int_equal(len, width);
        lm_token_classify(printed, len, &value);
        if (value.vclass == LM_VC_HEX_LOWER + width)
            assert_int_equal(value.number, (int64_t)number);
        int64_t decimal = (int64_t)(bits % UINT64_C(999999999999999999));
        len = lm_value_print(LM_VC_INT, -decimal - 1, NULL, printed);
        lm_token_classify(printed, len, &value);
        assert_int_equal(value.vclass, LM_VC_INT);
        assert_int_equal(value.number, -decimal - 1);
        len = lm_value_print(LM_VC_DECT + 3, decimal, NULL, printed);
        assert_false(printed[len - 1] == '.');
        if (decimal % 1000) assert_false(printed[len - 1] == '0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_have_the_class_they_should),
        cmocka_unit_test(test_random_texts_round_trip),
        cmocka_unit_test(test_any_number_can_be_printed),
        cmocka_unit_test(test_classes_hold_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

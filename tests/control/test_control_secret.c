/** Secrets: hashes verify what they were made of and nothing else. */
#include "control/control.h"
#include "lm_test.h"

static void test_passwords(void **state)
{
    (void)state;
    char first[LM_SECRET_HASH_MAX], second[LM_SECRET_HASH_MAX];
    assert_int_equal(lm_secret_hash(LM_STR("correct horse"), first), LM_OK);
    assert_int_equal(lm_secret_hash(LM_STR("correct horse"), second), LM_OK);
    assert_true(strncmp(first, "$argon2id$", 10) == 0);
    assert_string_not_equal(first, second); /* salted */
    assert_true(lm_secret_verify(LM_STR("correct horse"), first));
    assert_true(lm_secret_verify(LM_STR("correct horse"), second));
    assert_false(lm_secret_verify(LM_STR("correct horsE"), first));
    assert_false(lm_secret_verify(LM_STR(""), first));
    assert_false(lm_secret_verify(LM_STR("correct horse"), ""));
    assert_false(lm_secret_verify(LM_STR("correct horse"), "$argon2id$broken"));
}

static void test_tokens(void **state)
{
    (void)state;
    char token[64], other[64], hash[LM_SECRET_HASH_MAX];
    lm_token_make(token);
    lm_token_make(other);
    assert_int_equal(strlen(token), 43);
    assert_string_not_equal(token, other);
    lm_token_hash(lm_str_of(token), hash);
    assert_true(strncmp(hash, "blake2b:", 8) == 0);
    assert_true(lm_token_verify(lm_str_of(token), hash));
    assert_false(lm_token_verify(lm_str_of(other), hash));
    assert_false(lm_token_verify(LM_STR(""), hash));
    assert_false(lm_token_verify(lm_str_of(token), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passwords),
                                       cmocka_unit_test(test_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

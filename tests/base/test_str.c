/** base_str.c: borrowed bytes, and a reader that foreign bytes cannot lead astray. */
#include "lm_test.h"

static void finds_and_compares(void **state)
{
    (void)state;
    lm_str s = LM_STR("GET /index.html");
    assert_true(lm_str_starts(s, LM_STR("GET ")));
    assert_true(lm_str_starts(s, LM_STR("")));
    assert_false(lm_str_starts(LM_STR("GE"), LM_STR("GET")));
    assert_true(lm_str_ends(s, LM_STR(".html")));
    assert_false(lm_str_ends(LM_STR("l"), LM_STR("html")));
    assert_true(lm_str_equal_nocase(LM_STR("WaRn\xc4"), LM_STR("wArN\xc4")));
    assert_false(
        lm_str_equal_nocase(LM_STR("a@"), LM_STR("a`"))); /* 0x40 and 0x60 are no letters */
    assert_int_equal(lm_str_find(s, LM_STR("index")), 5);
    assert_int_equal(lm_str_find(s, LM_STR("")), 0);
    assert_int_equal(lm_str_find(LM_STR("a"), LM_STR("ab")), SIZE_MAX);
    assert_int_equal(lm_str_find((lm_str){NULL, 0}, LM_STR("x")), SIZE_MAX);
    assert_true(lm_str_compare(LM_STR("ab"), LM_STR("abc")) < 0);
    assert_true(lm_str_compare(LM_STR("\xff"), LM_STR("a")) > 0); /* bytes are unsigned */
    assert_int_equal(lm_str_compare((lm_str){NULL, 0}, LM_STR("")), 0);
    assert_true(lm_str_equal((lm_str){NULL, 0}, LM_STR("")));
}

static void varints_round_trip_at_the_edges(void **state)
{
    (void)state;
    lm_mem *mem;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf buf;
    lm_buf_init(&buf, mem);
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = ((uint64_t)1 << shift) + (uint64_t)(int64_t)delta;
            buf.len = 0;
            assert_int_equal(lm_buf_varint(&buf, value), LM_OK);
            lm_reader r = lm_reader_of(buf.ptr, buf.len);
            assert_int_equal(lm_reader_varint(&r), value);
            assert_false(r.failed);
            assert_int_equal(lm_unzigzag(lm_zigzag((int64_t)value)), (int64_t)value);
            for (size_t cut = 0; cut < buf.len; cut++) { /* cut at every byte */
                r = lm_reader_of(buf.ptr, cut);
                assert_int_equal(lm_reader_varint(&r), 0);
                assert_true(r.failed);
            }
        }
    }
    lm_buf_fini(&buf);
    lm_mem_free(mem);
}

static void overlong_varints_are_refused(void **state)
{
    (void)state;
    const uint8_t too_long[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    const uint8_t too_big[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    lm_reader r = lm_reader_of(too_long, sizeof too_long);
    assert_int_equal(lm_reader_varint(&r), 0);
    assert_true(r.failed);
    r = lm_reader_of(too_big, sizeof too_big);
    assert_int_equal(lm_reader_varint(&r), 0);
    assert_true(r.failed);
}

static void the_first_overrun_fails_for_good(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    lm_reader r = lm_reader_of(bytes, sizeof bytes);
    assert_int_equal(lm_reader_le64(&r), 0);
    assert_true(r.failed);
    assert_int_equal(lm_reader_u8(&r), 0); /* though bytes were left */
    assert_int_equal(lm_reader_bytes(&r, 1).len, 0);
    assert_int_equal(lm_reader_le32(&r), 0);

    r = lm_reader_of(bytes, sizeof bytes);
    assert_int_equal(lm_reader_bytes(&r, SIZE_MAX).len, 0);
    assert_true(r.failed);

    r = lm_reader_of(bytes, sizeof bytes);
    assert_int_equal(lm_reader_varint_max(&r, 1), 1);
    assert_int_equal(lm_reader_varint_max(&r, 1), 0);
    assert_true(r.failed);

    r = lm_reader_of(bytes, sizeof bytes);
    lm_str all = lm_reader_bytes(&r, sizeof bytes);
    assert_int_equal(all.len, sizeof bytes);
    assert_int_equal(lm_reader_bytes(&r, 0).len, 0);
    assert_false(r.failed);
}

static void hashes_are_xxh3(void **state)
{
    (void)state;
    /* Written to disk as checksums: must never change. */
    assert_int_equal(lm_hash64("", 0), 0x2d06800538d394c2u);
    assert_int_equal(lm_hash64("logmill", 7), lm_hash64_seed("logmill", 7, 0));
    assert_int_not_equal(lm_hash64("logmill", 7), lm_hash64_seed("logmill", 7, 1));
    assert_int_not_equal(lm_hash_u64(1), lm_hash_u64(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_and_compares),
        cmocka_unit_test(varints_round_trip_at_the_edges),
        cmocka_unit_test(overlong_varints_are_refused),
        cmocka_unit_test(the_first_overrun_fails_for_good),
        cmocka_unit_test(hashes_are_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

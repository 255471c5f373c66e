/** Saved tables come back with the same ids; damaged ones are refused. */
#include "template_test.h"

typedef struct saved {
    lm_mem *mem;
    lines l;
    lm_miner *miner;
    uint32_t *shapes;
    lm_buf bytes;
} saved;

static void save(saved *s, size_t count)
{
    lm_test_rng rng = lm_test_rng_make("store");
    *s = (saved){0};
    assert_int_equal(lm_mem_new(NULL, 0, &s->mem), LM_OK);
    lm_buf_init(&s->bytes, s->mem);
    lines_make(s->mem, &rng, count, &s->l);
    s->shapes = lm_mem_calloc(s->mem, count, sizeof *s->shapes);
    assert_int_equal(lm_miner_new(s->mem, NULL, &s->miner), LM_OK);
    mine(s->miner, &s->l, s->shapes);
    assert_int_equal(lm_miner_save(s->miner, &s->bytes), LM_OK);
}

static void drop(saved *s)
{
    lm_miner_free(s->miner);
    lm_mem_release(s->mem, s->shapes, s->l.count * sizeof *s->shapes);
    lines_free(s->mem, &s->l);
    lm_buf_fini(&s->bytes);
    assert_int_equal(lm_mem_used(s->mem), 0);
    lm_mem_free(s->mem);
}

static void a_later_run_goes_on_with_the_same_ids(void **state)
{
    (void)state;
    saved s;
    save(&s, 1000);
    lm_miner *later = NULL;
    lm_buf again;
    lm_buf_init(&again, s.mem);
    assert_int_equal(lm_miner_load(s.mem, (lm_str){s.bytes.ptr, s.bytes.len}, NULL, &later), LM_OK);
    assert_int_equal(lm_miner_save(later, &again), LM_OK);
    assert_int_equal(again.len, s.bytes.len);
    assert_memory_equal(again.ptr, s.bytes.ptr, again.len);
    uint32_t shape = 0;
    assert_int_equal(lm_miner_add(later, LM_STR("something that was never said before"), &shape),
                     LM_OK);
    assert_int_equal(lm_miner_settle(later), LM_OK);
    for (size_t i = 0; i < s.l.count; i++) {
        assert_int_equal(lm_miner_add(later, s.l.items[i], &shape), LM_OK);
        assert_int_equal(shape, s.shapes[i]);
        uint32_t was = lm_miner_template_of(s.miner, s.shapes[i]);
        assert_int_equal(lm_miner_template_of(later, shape), lm_miner_forward(later, was));
    }
    lm_buf_fini(&again);
    lm_miner_free(later);
    drop(&s);
}

static void expect_refused(saved *s, const uint8_t *bytes, size_t len)
{
    lm_miner *miner = NULL;
    lm_err err = lm_miner_load(s->mem, (lm_str){bytes, len}, NULL, &miner);
    assert_true(err == LM_E_CORRUPT || err == LM_E_UNSUPPORTED);
    assert_null(miner);
}

static void cut_tables_are_refused(void **state)
{
    (void)state;
    saved s;
    save(&s, 60);
    for (size_t len = 0; len < s.bytes.len; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, s.bytes.ptr, len);
        expect_refused(&s, copy, len);
        free(copy);
    }
    drop(&s);
}

/* With the checksum made right again, so that the reader's own checks are tested. */
static void damaged_tables_do_no_harm(void **state)
{
    (void)state;
    saved s;
    save(&s, 60);
    lm_test_rng rng = lm_test_rng_make("damage");
    for (int round = 0; round < 4000; round++) {
        uint8_t *copy = malloc(s.bytes.len);
        assert_non_null(copy);
        memcpy(copy, s.bytes.ptr, s.bytes.len);
        size_t body = s.bytes.len - 8, at = 8 + lm_test_below(&rng, body - 8);
        copy[at] ^= (uint8_t)(1u << lm_test_below(&rng, 8));
        expect_refused(&s, copy, s.bytes.len);
        uint64_t sum = lm_hash64(copy, body);
        memcpy(copy + body, &sum, 8);
        lm_miner *miner = NULL;
        uint32_t shape = 0;
        if (lm_miner_load(s.mem, (lm_str){copy, s.bytes.len}, NULL, &miner) == LM_OK) {
            assert_int_equal(lm_miner_add(miner, LM_STR("one more line"), &shape), LM_OK);
            assert_int_equal(lm_miner_settle(miner), LM_OK);
            for (uint32_t i = 0; i < lm_miner_shape_count(miner); i++)
                (void)text_of(miner, i);
            lm_miner_free(miner);
        }
        free(copy);
    }
    drop(&s);
}

/* Tokens of 1,000 bytes, 500 of them in one shape: no message is so long, and no text has that
 * room. */
static void a_shape_longer_than_any_message_is_refused(void **state)
{
    enum { LEN = 1000, TIMES = 500 };

    (void)state;
    saved s;
    uint8_t letters[LEN];
    save(&s, 0);
    memset(letters, 'a', LEN);
    s.bytes.len = 8; /* what it is, and its version */
    lm_err err = lm_buf_varint(&s.bytes, 4);
    static const uint8_t marks[] = {1, 0x04, 1, ' ', 1, 0x05};
    if (!err) err = lm_buf_append(&s.bytes, marks, sizeof marks);
    if (!err) err = lm_buf_varint(&s.bytes, LEN);
    if (!err) err = lm_buf_append(&s.bytes, letters, LEN);
    if (!err) err = lm_buf_varint(&s.bytes, 1); /* shapes */
    if (!err) err = lm_buf_u8(&s.bytes, 0);
    if (!err) err = lm_buf_varint(&s.bytes, TIMES);
    for (int i = 0; i < TIMES && !err; i++)
        err = lm_buf_varint(&s.bytes, 3);
    for (int i = 0; i < 6 && !err; i++) /* no template, no decree, no rows, no rest, none settled */
        err = lm_buf_varint(&s.bytes, 0);
    if (!err) err = lm_buf_le64(&s.bytes, lm_hash64(s.bytes.ptr, s.bytes.len));
    assert_int_equal(err, LM_OK);
    expect_refused(&s, s.bytes.ptr, s.bytes.len);
    assert_non_null(strstr(lm_err_text(), "too long"));
    drop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_run_goes_on_with_the_same_ids),
        cmocka_unit_test(cut_tables_are_refused),
        cmocka_unit_test(damaged_tables_do_no_harm),
        cmocka_unit_test(a_shape_longer_than_any_message_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

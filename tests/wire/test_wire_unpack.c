/** Content-Encoding: what zlib, zstd and snappy pack comes back; bombs and damage do not. */
#include "wire_test.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { LIMIT = 1 << 20 };

static const char *const encodings[] = {"gzip", "deflate", "raw", "snappy", "zstd"};

/** Packed by the library itself; "raw" is deflate without zlib's header. */
static void pack(const char *encoding, lm_str text, lm_buf *out)
{
    out->len = 0;
    assert_int_equal(lm_buf_reserve(out, text.len * 2 + 4096), LM_OK);
    if (strcmp(encoding, "snappy") == 0) {
        size_t len = out->cap;
        assert_int_equal(snappy_compress((const char *)text.ptr, text.len, (char *)out->ptr, &len),
                         SNAPPY_OK);
        out->len = len;
    } else if (strcmp(encoding, "zstd") == 0) {
        out->len = ZSTD_compress(out->ptr, out->cap, text.ptr, text.len, 3);
        assert_false(ZSTD_isError(out->len));
    } else {
        int bits = strcmp(encoding, "gzip") == 0 ? 31 : strcmp(encoding, "raw") == 0 ? -15 : 15;
        z_stream z = {0};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)(uintptr_t)text.ptr;
        z.avail_in = (uInt)text.len;
        z.next_out = out->ptr;
        z.avail_out = (uInt)out->cap;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        out->len = out->cap - z.avail_out;
        deflateEnd(&z);
    }
}

static lm_str name_of(const char *encoding)
{
    return strcmp(encoding, "raw") == 0 ? LM_STR("deflate") : lm_str_of(encoding);
}

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, LIMIT - 1, LIMIT, LIMIT + 1};
    lm_test_rng rng = lm_test_rng_make("unpack");
    wire_test t;
    lm_buf text, packed;
    (void)state;
    wire_init(&t);
    t.options.body_bytes_max = LIMIT;
    lm_buf_init(&text, t.mem);
    lm_buf_init(&packed, t.mem);
    assert_int_equal(lm_buf_reserve(&text, LIMIT + 1), LM_OK);
    for (size_t i = 0; i <= LIMIT; i++)
        text.ptr[i] = (uint8_t)("abcdefgh"[lm_test_below(&rng, 8)]);
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            lm_str want = {text.ptr, sizes[i]};
            pack(encodings[e], want, &packed);
            wire_put(&t, "old", 3);
            lm_err err = lm_wire_unpack((lm_str){packed.ptr, packed.len}, name_of(encodings[e]),
                                        &t.options, &t.text);
            if (sizes[i] > LIMIT) {
                assert_int_equal(err, LM_E_LIMIT);
                assert_int_equal(t.text.len, 0);
            } else {
                assert_int_equal(err, LM_OK);
                assert_true(lm_str_equal((lm_str){t.text.ptr, t.text.len}, want));
            }
        }
    }
    lm_buf_fini(&text);
    lm_buf_fini(&packed);
    wire_fini(&t);
}

static void test_names(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    assert_int_equal(lm_wire_unpack(LM_STR("x"), LM_STR(""), &t.options, &t.text), LM_OK);
    assert_int_equal(lm_wire_unpack(LM_STR("xy"), LM_STR("Identity"), &t.options, &t.text), LM_OK);
    assert_int_equal(t.text.len, 2);
    assert_int_equal(lm_wire_unpack(LM_STR("x"), LM_STR("br"), &t.options, &t.text),
                     LM_E_UNSUPPORTED);
    assert_non_null(strstr(lm_err_text(), "'br'"));
    t.options.body_bytes_max = 1;
    assert_int_equal(lm_wire_unpack(LM_STR("xy"), LM_STR(""), &t.options, &t.text), LM_E_LIMIT);
    wire_fini(&t);
}

/** Members behind one another are one text; other bytes behind are an error. */
static void test_members(void **state)
{
    wire_test t;
    lm_buf one, both;
    (void)state;
    wire_init(&t);
    lm_buf_init(&one, t.mem);
    lm_buf_init(&both, t.mem);
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        bool may_follow = e == 0 || e == 4;
        both.len = 0;
        pack(encodings[e], LM_STR("hello "), &one);
        assert_int_equal(lm_buf_append(&both, one.ptr, one.len), LM_OK);
        pack(encodings[e], LM_STR("world"), &one);
        assert_int_equal(lm_buf_append(&both, one.ptr, one.len), LM_OK);
        lm_err err = lm_wire_unpack((lm_str){both.ptr, both.len}, name_of(encodings[e]), &t.options,
                                    &t.text);
        assert_int_equal(err, may_follow ? LM_OK : LM_E_USAGE);
        if (may_follow) assert_memory_equal(t.text.ptr, "hello world", 11);
    }
    lm_buf_fini(&one);
    lm_buf_fini(&both);
    wire_fini(&t);
}

/** 64 MiB of nothing in few bytes: refused at the limit, with no more memory than that. */
static void test_bombs(void **state)
{
    enum { BOMB = 64 << 20 };

    wire_test t;
    lm_buf packed;
    lm_mem *mem = NULL, *small = NULL;
    (void)state;
    wire_init(&t);
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf_init(&packed, mem);
    uint8_t *zeros = calloc(1, BOMB);
    assert_non_null(zeros);
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        assert_int_equal(lm_mem_new(NULL, 8 << 20, &small), LM_OK);
        t.options.mem = small;
        t.options.body_bytes_max = LIMIT;
        pack(encodings[e], (lm_str){zeros, BOMB}, &packed);
        lm_buf out;
        lm_buf_init(&out, small);
        lm_err err = lm_wire_unpack((lm_str){packed.ptr, packed.len}, name_of(encodings[e]),
                                    &t.options, &out);
        assert_int_equal(err, LM_E_LIMIT);
        lm_buf_fini(&out);
        assert_int_equal(lm_mem_used(small), 0);
        if (e == 0) assert_true(lm_mem_peak(small) < 4u << 20);
        lm_mem_free(small);
    }
    free(zeros);
    t.options.mem = t.mem;
    /* a block that claims 4 GB, and one that claims more than its bytes can make */
    assert_int_equal(
        lm_wire_unpack(LM_STR("\xff\xff\xff\xff\x0f_"), LM_STR("snappy"), &t.options, &t.text),
        LM_E_LIMIT);
    assert_int_equal(lm_wire_unpack(LM_STR("\x80\x80\x20_"), LM_STR("snappy"), &t.options, &t.text),
                     LM_E_USAGE);
    lm_buf_fini(&packed);
    lm_mem_free(mem);
    wire_fini(&t);
}

static void test_damage(void **state)
{
    lm_test_rng rng = lm_test_rng_make("damage");
    wire_test t;
    lm_buf packed;
    (void)state;
    wire_init(&t);
    lm_buf_init(&packed, t.mem);
    static char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + lm_test_below(&rng, 4));
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        pack(encodings[e], (lm_str){(uint8_t *)text, sizeof text}, &packed);
        for (size_t i = 0; i < packed.len; i++) {
            uint8_t *copy = malloc(i ? i : 1);
            assert_non_null(copy);
            memcpy(copy, packed.ptr, i);
            assert_int_equal(
                lm_wire_unpack((lm_str){copy, i}, name_of(encodings[e]), &t.options, &t.text),
                LM_E_USAGE);
            free(copy);
        }
        for (size_t i = 0; i < packed.len; i++) {
            uint8_t had = packed.ptr[i];
            packed.ptr[i] ^= (uint8_t)(1 + lm_test_below(&rng, 255));
            lm_err err = lm_wire_unpack((lm_str){packed.ptr, packed.len}, name_of(encodings[e]),
                                        &t.options, &t.text);
            assert_true(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
            packed.ptr[i] = had;
        }
    }
    lm_buf_fini(&packed);
    wire_fini(&t);
}

static lm_err once(lm_mem *mem, const char *encoding, lm_str packed)
{
    lm_buf out;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = LIMIT, .mem = mem};
    lm_buf_init(&out, mem);
    lm_err err = lm_wire_unpack(packed, name_of(encoding), &options, &out);
    lm_buf_fini(&out);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    wire_test t;
    lm_buf packed;
    (void)state;
    wire_init(&t);
    lm_buf_init(&packed, t.mem);
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        pack(encodings[e], LM_STR("some text, some text, some text"), &packed);
        LM_TEST_EACH_ALLOCATION_FAILS(mem,
                                      once(mem, encodings[e], (lm_str){packed.ptr, packed.len}));
    }
    lm_buf_fini(&packed);
    wire_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_names),
        cmocka_unit_test(test_members),    cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** gRPC's own bytes: frames, texts of a status, its details. */
#include "grpc/grpc.h"
#include "lm_test.h"

static void frames(void **state)
{
    (void)state;
    bool is_packed = true;
    lm_str message;
    uint64_t bytes = 0;
    assert_int_equal(lm_grpc_message(LM_STR("\0\0\0\0\0"), &is_packed, &message), LM_OK);
    assert_false(is_packed);
    assert_int_equal(message.len, 0);
    assert_int_equal(lm_grpc_message(LM_STR("\1\0\0\0\2ab"), &is_packed, &message), LM_OK);
    assert_true(is_packed);
    assert_true(lm_str_equal(message, LM_STR("ab")));
    /* not whole, more than one, none, another first byte */
    assert_int_equal(lm_grpc_message(LM_STR("\0\0\0\0\3ab"), &is_packed, &message), LM_E_USAGE);
    assert_int_equal(lm_grpc_message(LM_STR("\0\0\0\0\1ab"), &is_packed, &message), LM_E_USAGE);
    assert_int_equal(lm_grpc_message(LM_STR("\0\0\0\0"), &is_packed, &message), LM_E_USAGE);
    assert_int_equal(lm_grpc_message(LM_STR(""), &is_packed, &message), LM_E_USAGE);
    assert_int_equal(lm_grpc_message(LM_STR("\2\0\0\0\0"), &is_packed, &message), LM_E_USAGE);
    assert_int_equal(lm_grpc_body_bytes(LM_STR("\0\xff\xff\xff\xff"), &bytes), LM_OK);
    assert_true(bytes == 0x100000004ull);
    assert_int_equal(lm_grpc_body_bytes(LM_STR("\0\0"), &bytes), LM_E_NOTFOUND);
}

static void check_text(lm_mem *mem, lm_err (*write)(lm_str, lm_buf *), lm_str in, const char *want)
{
    lm_buf out;
    lm_buf_init(&out, mem);
    assert_int_equal(write(in, &out), LM_OK);
    assert_int_equal(out.len, strlen(want));
    if (out.len) assert_memory_equal(out.ptr, want, out.len);
    lm_buf_fini(&out);
}

static void texts(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    check_text(mem, lm_grpc_percent, LM_STR("plain, ~ {}"), "plain, ~ {}");
    check_text(mem, lm_grpc_percent, LM_STR("100% \xc3\xbc\n"), "100%25 %C3%BC%0A");
    check_text(mem, lm_grpc_base64, LM_STR(""), "");
    check_text(mem, lm_grpc_base64, LM_STR("f"), "Zg");
    check_text(mem, lm_grpc_base64, LM_STR("fo"), "Zm8");
    check_text(mem, lm_grpc_base64, LM_STR("foo"), "Zm9v");
    check_text(mem, lm_grpc_base64, LM_STR("foob\xff"), "Zm9vYv8");
    lm_mem_free(mem);
}

static void details(void **state)
{
    (void)state;
    static const char want[] = "\x08\x08"     /* code */
                               "\x12\x04wait" /* message */
                               "\x1a\x30"     /* one detail */
                               "\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
                               "\x12\x04\x0a\x02\x08\x07"; /* of seven seconds */
    lm_mem *mem = NULL;
    lm_buf out;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf_init(&out, mem);
    assert_int_equal(lm_grpc_status(LM_GRPC_RESOURCE_EXHAUSTED, LM_STR("wait"), 7, &out), LM_OK);
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.ptr, want, out.len);
    lm_buf_fini(&out);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames),
        cmocka_unit_test(texts),
        cmocka_unit_test(details),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

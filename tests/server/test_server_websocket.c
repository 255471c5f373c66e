/** WebSocket: the handshake of RFC 6455's example, frames in both directions. */
#include "lm_test.h"
#include "server/server_websocket_priv.h"

static void test_accept(void **state)
{
    (void)state;
    char accept[WEBSOCKET_ACCEPT_BYTES];
    assert_int_equal(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), LM_OK);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, 1.3 */
    static const char *const bad[] = {"", "x", "dGhlIHNhbXBsZSBub25jZQ=!",
                                      "dGhlIHNhbXBsZSBub25jZQ==="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(websocket_accept(bad[i], accept), LM_E_USAGE);
}

static void test_heads(void **state)
{
    (void)state;
    uint8_t head[10];
    assert_int_equal(websocket_head(WEBSOCKET_TEXT, 5, head), 2);
    assert_memory_equal(head, "\x81\x05", 2);
    assert_int_equal(websocket_head(WEBSOCKET_TEXT, 126, head), 4);
    assert_memory_equal(head, "\x81\x7e\x00\x7e", 4);
    assert_int_equal(websocket_head(WEBSOCKET_BINARY, 65536, head), 10);
    assert_memory_equal(head, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void test_reading(void **state)
{
    (void)state;
    /* RFC 6455, 5.7: "Hello", masked. */
    uint8_t hello[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    websocket_frame frame;
    size_t used = 0;
    for (size_t len = 0; len < sizeof hello; len++)
        assert_int_equal(websocket_read(hello, len, &frame, &used), LM_E_NOTFOUND);
    assert_int_equal(websocket_read(hello, sizeof hello, &frame, &used), LM_OK);
    assert_int_equal(used, sizeof hello);
    assert_int_equal(frame.opcode, WEBSOCKET_TEXT);
    assert_true(frame.is_last);
    assert_true(lm_str_equal(frame.payload, LM_STR("Hello")));
}

static void test_breaking_the_protocol(void **state)
{
    (void)state;

    static const struct {
        uint8_t bytes[14];
        lm_err err;
    } cases[] = {
        {{0x81, 0x05}, LM_E_USAGE},                         /* no mask */
        {{0xC1, 0x80}, LM_E_USAGE},                         /* a reserved bit */
        {{0x83, 0x80}, LM_E_USAGE},                         /* an unknown kind */
        {{0x8B, 0x80}, LM_E_USAGE},                         /* an unknown control kind */
        {{0x09, 0x80}, LM_E_USAGE},                         /* a control frame in parts */
        {{0x89, 0xFE}, LM_E_USAGE},                         /* a long control frame */
        {{0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1}, LM_E_LIMIT}, /* more than is read */
        {{0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, LM_E_LIMIT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[14];
        websocket_frame frame;
        size_t used;
        memcpy(bytes, cases[i].bytes, sizeof bytes);
        assert_int_equal(websocket_read(bytes, sizeof bytes, &frame, &used), cases[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_breaking_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

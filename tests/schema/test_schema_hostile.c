/** Garbage, monsters and damage: every line has fields that lie inside it, and no line costs more
 * than its length. */
#include "schema_test.h"

/* Every value is a slice of the line, every index is one. */
static void check_fields(const lm_fields *fields, lm_str line)
{
    assert_true(fields->count >= 1 && fields->count <= LM_FIELD_COUNT_MAX);
    for (size_t i = 0; i < fields->count; i++) {
        lm_str value = fields->items[i].value;
        assert_true(value.len == 0 ||
                    (value.ptr >= line.ptr && value.ptr + value.len <= line.ptr + line.len));
        assert_true(fields->items[i].type < LM_TYPE_COUNT);
    }
    const int roles[] = {fields->timestamp, fields->level, fields->message};
    for (size_t i = 0; i < 3; i++)
        assert_true(roles[i] >= -1 && roles[i] < (int)fields->count);
}

static void parse_exact(world *w, const uint8_t *bytes, size_t len)
{
    uint8_t *copy =
        malloc(len ? len : 1); /* exactly that long: the sanitizer sees a read behind it */
    assert_non_null(copy);
    if (len) memcpy(copy, bytes, len);
    lm_str line = {copy, len};
    lm_arena_reset(&w->arena);
    w->fields.items = NULL;
    w->fields.cap = 0;
    assert_int_equal(lm_schema_parse(w->schema, line, &w->fields), LM_OK);
    check_fields(&w->fields, line);
    free(copy);
}

static const char *const seeds[] = {
    "203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\" "
    "rt=0.1 id=7",
    "{\"time\":\"2026-10-10T13:55:36Z\",\"level\":\"info\",\"msg\":\"up\",\"a\":{\"b\":[1,2,{\"c\":"
    "null}]}}",
    "2026-10-18 18:01:10,978 INFO [main] org.acme.Server: accepted user=7 name=\"x y\"",
    "Oct 10 13:55:36 web sshd[42]: {\"json\":{\"in\":\"text\"}}",
    "<165>1 2026-10-11T22:14:15.003Z host app 77 ID47 [a@1 b=\"c\"] An event",
    "2026/11/23 13:40:17 [error] 1#2: *8 connect() failed, client: 203.0.113.1, server: x, "
    "request: \"GET / HTTP/1.1\", host: \"x\"",
    "I0507 12:04:17.597069       1 descheduler.go:169] \"Number\" totalEvicted=0",
    "ts=2026-04-16T15:10:44Z level=info msg=\"Re-opening\"",
    "CEF:0|a|b|1|2|c|3|src=1 msg=a b c dst=2",
    "2026-11-23 13:59:25.564 UTC [19842] bob@shop/x 6b.4d-95 LOG:  duration",
};

enum { SEEDS = sizeof seeds / sizeof seeds[0] };

static void world_learn_seeds(world *w)
{
    for (int i = 0; i < 4; i++)
        world_learn(w, seeds, SEEDS);
}

static void damaged_lines_never_break_it(void **state)
{
    (void)state;
    world w;
    lm_test_rng rng = lm_test_rng_make("damaged_lines_never_break_it");
    world_open(&w);
    world_learn_seeds(&w);
    for (size_t s = 0; s < SEEDS; s++) {
        size_t len = strlen(seeds[s]);
        uint8_t line[512];
        for (size_t cut = 0; cut <= len; cut++)
            parse_exact(&w, (const uint8_t *)seeds[s], cut);
        for (int round = 0; round < 400; round++) {
            memcpy(line, seeds[s], len);
            for (uint64_t n = 1 + lm_test_below(&rng, 4); n; n--)
                line[lm_test_below(&rng, len)] = (uint8_t)lm_test_random(&rng);
            parse_exact(&w, line, len);
        }
    }
    world_close(&w);
}

static void random_bytes_are_learned_and_parsed(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\"\\:,=|- \t\n0129azAZ.%#<>\x80\xff";
    world w;
    lm_test_rng rng = lm_test_rng_make("random_bytes_are_learned_and_parsed");
    world_open(&w);
    for (int block = 0; block < 60; block++) {
        static uint8_t bytes[64][200];
        lm_str lines[64];
        for (size_t i = 0; i < 64; i++) {
            size_t len = lm_test_below(&rng, 200);
            for (size_t k = 0; k < len; k++)
                bytes[i][k] = block % 2
                                  ? (uint8_t)alphabet[lm_test_below(&rng, sizeof alphabet - 1)]
                                  : (uint8_t)lm_test_random(&rng);
            lines[i] = (lm_str){bytes[i], len};
        }
        assert_int_equal(lm_schema_learn(w.schema, lines, 64), LM_OK);
        for (size_t i = 0; i < 64; i++)
            parse_exact(&w, lines[i].ptr, lines[i].len);
    }
    world_close(&w);
}

/* What would take minutes if any of it were quadratic. */
static void monsters_cost_their_length(void **state)
{
    (void)state;
    static const char *const repeated[] = {
        "{\"",  "[",    "{\"a\":", "\\",   "\"", "a=",    "a=\"",       "a=\\\"", "%",
        "\"\"", " ",    ":",       "[[",   "](", "=",     ", client: ", "1",      "1.",
        "::",   "\\\"", "{\"\"",   "a=b ", " (", "INFO ", "{\"a\":1,"};
    static const char *const heads[] = {"",
                                        "Oct 10 13:55:36 web sshd[42]: ",
                                        "{\"time\":\"",
                                        "2026-10-18 18:01:10,978 INFO [",
                                        "CEF:0|a|b|1|2|c|3|",
                                        "2026/11/23 13:40:17 [error] 1#2: *8 ",
                                        "\"",
                                        "{\"a\":{\"\":"};

    enum { LONG = 1 << 20 };

    world w;
    uint8_t *line = malloc(LONG + 64);
    assert_non_null(line);
    world_open(&w);
    world_learn_seeds(&w);
    for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++) {
        for (size_t r = 0; r < sizeof repeated / sizeof repeated[0]; r++) {
            size_t len = strlen(heads[h]), n = strlen(repeated[r]);
            memcpy(line, heads[h], len);
            while (len + n <= LONG) {
                memcpy(line + len, repeated[r], n);
                len += n;
            }
            line[len++] = '}';
            parse_exact(&w, line, len);
            lm_str text = {line, len > 60000 ? 60000 : len};
            if (h < 2) assert_int_equal(lm_schema_learn(w.schema, &text, 1), LM_OK);
        }
    }
    free(line);
    world_close(&w);
}

static void deep_json_is_a_message(void **state)
{
    (void)state;
    char line[1024];
    world w;
    world_open(&w);
    world_learn_seeds(&w);
    for (size_t depth = 60; depth < 68; depth++) {
        size_t n = 0;
        for (size_t i = 0; i < depth; i++)
            n += (size_t)snprintf(line + n, sizeof line - n, "{\"a\":");
        line[n++] = '1';
        for (size_t i = 0; i < depth; i++)
            line[n++] = '}';
        line[n] = 0;
        world_parse(&w, line);
        assert_int_equal(w.fields.format >= 0, depth < LM_JSON_DEPTH_MAX);
        if (w.fields.format < 0) expect_role(&w, "message", w.fields.message, line);
    }
    static const char *const broken[] = {
        "{\"a\":1",   "{\"a\":1}x",   "{\"a\" 1}", "{\"a\":01x}", "{\"a\":tru}",   "{'a':1}",
        "{\"a\":1,}", "{\"a\":[1,]}", "{\"a\":-}", "{\"a\":1.}",  "{\"a\":\"\\\"}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        world_parse(&w, broken[i]);
        assert_int_equal(w.fields.format, -1);
        expect_role(&w, "message", w.fields.message, broken[i]);
    }
    world_close(&w);
}

/* Thousands of keys: the line is taken apart up to the limit, the schema stays bounded. */
static void endless_new_keys_are_bounded(void **state)
{
    (void)state;
    world w;

    enum { KEYS = 9000 };

    char *line = malloc(KEYS * 16);
    assert_non_null(line);
    world_open(&w);
    for (int round = 0; round < 3; round++) {
        size_t n = 0;
        line[n++] = '{';
        for (int i = 0; i < KEYS; i++)
            n += (size_t)snprintf(line + n, 16, "%s\"%dk%d\":1", i ? "," : "", round, i);
        line[n++] = '}';
        lm_str text = {(const uint8_t *)line, n};
        assert_int_equal(lm_schema_learn(w.schema, &text, 1), LM_OK);
        assert_int_equal(lm_schema_parse(w.schema, text, &w.fields), LM_OK);
        check_fields(&w.fields, text);
        assert_int_equal(w.fields.count, LM_FIELD_COUNT_MAX);
    }
    assert_true(lm_schema_format_at(w.schema, 0).field_count <= LM_FIELD_COUNT_MAX);
    assert_true(lm_mem_used(w.mem) < 32u << 20);
    free(line);
    world_close(&w);
}

/* A record of several lines: the header of the first, the rest belongs to the message. */
static void records_of_several_lines_keep_their_text(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    world_learn_seeds(&w);
    world_parse(&w, "2026-10-18 18:01:10,978 ERROR [main] org.acme.Server: it "
                    "broke\njava.lang.Error: x\n\tat org.acme.Main");
    expect_role(&w, "level", w.fields.level, "ERROR");
    expect_role(&w, "message", w.fields.message,
                "it broke\njava.lang.Error: x\n\tat org.acme.Main");
    world_parse(&w, "");
    expect_role(&w, "message", w.fields.message, "");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_lines_never_break_it),
        cmocka_unit_test(random_bytes_are_learned_and_parsed),
        cmocka_unit_test(monsters_cost_their_length),
        cmocka_unit_test(deep_json_is_a_message),
        cmocka_unit_test(endless_new_keys_are_bounded),
        cmocka_unit_test(records_of_several_lines_keep_their_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

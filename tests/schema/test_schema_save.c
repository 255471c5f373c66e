/** A saved schema parses as the one it was saved from; damaged bytes are told; memory may run out
 * at any place. */
#include "schema_test.h"

static const char *const stream[] = {
    "203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\" "
    "rt=0.1 id=7",
    "{\"time\":\"2026-10-10T13:55:36Z\",\"level\":\"info\",\"msg\":\"up\",\"port\":80,\"a\":{\"b\":"
    "[1,2]}}",
    "{\"time\":\"2026-10-10T13:55:37Z\",\"level\":\"warn\",\"msg\":\"up\",\"port\":81,\"a\":{\"b\":"
    "[1,2]},\"log\":\"{\\\"k\\\":1}\"}",
    "2026-10-18 18:01:10,978 INFO [main] org.acme.Server: accepted user=7",
    "2026-10-18 18:01:11,978 WARN [pool-1] org.acme.db.Pool: slow user=8 took=12ms",
    "2026-10-18 18:01:12,978 WARN [pool-2] org.acme.db.Pool: slow user=9 took=13ms",
    "2026-10-18 18:01:13,978 ERROR [pool-2] org.acme.db.Pool: slow user=10 took=14ms",
    "\tat org.acme.Main",
    "ts=2026-10-10T13:55:36Z level=info msg=\"a b\" n=5",
};

enum { STREAM = sizeof stream / sizeof stream[0] };

static const char *const rows[] = {
    "Time,Pod,Log", "2026-01-29T08:59:10Z,a,\"{\"\"log\"\":\"\"INFO x.Y go\"\",\"\"n\"\":1}\"",
    "2026-01-29T08:59:11Z,b,\"{\"\"log\"\":\"\"INFO x.Y go\"\",\"\"n\"\":2}\""};

static void expect_same_parse(const lm_schema *a, const lm_schema *b, lm_mem *mem, lm_str line)
{
    lm_arena arena;
    lm_arena_init(&arena, mem);
    lm_fields x = {.arena = &arena}, y = {.arena = &arena};
    assert_int_equal(lm_schema_parse(a, line, &x), LM_OK);
    assert_int_equal(lm_schema_parse(b, line, &y), LM_OK);
    assert_int_equal(x.count, y.count);
    assert_int_equal(x.format, y.format);
    assert_int_equal(x.timestamp, y.timestamp);
    assert_int_equal(x.level, y.level);
    assert_int_equal(x.message, y.message);
    for (size_t i = 0; i < x.count; i++) {
        assert_true(lm_str_equal(x.items[i].name, y.items[i].name));
        assert_ptr_equal(x.items[i].value.ptr, y.items[i].value.ptr);
        assert_int_equal(x.items[i].value.len, y.items[i].value.len);
        assert_int_equal(x.items[i].type, y.items[i].type);
    }
    lm_arena_fini(&arena);
}

static void round_trip(const char *const *lines, size_t count)
{
    world w;
    lm_buf saved, again;
    lm_schema *loaded = NULL;
    world_open(&w);
    world_learn(&w, lines, count);
    lm_buf_init(&saved, w.mem);
    lm_buf_init(&again, w.mem);
    assert_int_equal(lm_schema_save(w.schema, &saved), LM_OK);
    assert_int_equal(lm_schema_load(w.mem, (lm_str){saved.ptr, saved.len}, &loaded), LM_OK);
    for (size_t i = 0; i < count; i++)
        expect_same_parse(w.schema, loaded, w.mem, lm_str_of(lines[i]));
    assert_true(lm_str_equal(lm_schema_signature(w.schema), lm_schema_signature(loaded)));
    assert_int_equal(lm_schema_format_count(w.schema), lm_schema_format_count(loaded));
    assert_int_equal(lm_schema_line_count(loaded), count);
    for (size_t f = 0; f < lm_schema_format_count(loaded); f++) {
        lm_schema_format x = lm_schema_format_at(w.schema, f), y = lm_schema_format_at(loaded, f);
        assert_true(lm_str_equal(x.pattern, y.pattern));
        assert_int_equal(x.lines, y.lines);
        assert_in_range(y.field_count, 1,
                        x.field_count); /* further items of arrays are not saved */
    }
    assert_int_equal(lm_schema_save(loaded, &again), LM_OK); /* and the bytes are the same */
    assert_int_equal(saved.len, again.len);
    assert_memory_equal(saved.ptr, again.ptr, saved.len);
    lm_str texts[STREAM];
    for (size_t i = 0; i < count; i++)
        texts[i] = lm_str_of(lines[i]);
    assert_int_equal(lm_schema_learn(loaded, texts, count), LM_OK); /* it can go on learning */
    assert_int_equal(lm_schema_line_count(loaded), 2 * count);
    lm_schema_free(loaded);
    lm_buf_fini(&saved);
    lm_buf_fini(&again);
    world_close(&w);
}

static void a_loaded_schema_parses_the_same(void **state)
{
    (void)state;
    round_trip(stream, STREAM);
    round_trip(rows, 3);
    round_trip(stream, 0);
}

static void damaged_bytes_are_told(void **state)
{
    (void)state;
    world w;
    lm_buf saved;
    lm_test_rng rng = lm_test_rng_make("damaged_bytes_are_told");
    world_open(&w);
    world_learn(&w, stream, STREAM);
    lm_buf_init(&saved, w.mem);
    assert_int_equal(lm_schema_save(w.schema, &saved), LM_OK);
    for (size_t cut = 0; cut < saved.len; cut++) {
        uint8_t *part =
            malloc(cut ? cut : 1); /* exactly that long: the sanitizer sees a read behind it */
        lm_schema *loaded = NULL;
        memcpy(part, saved.ptr, cut);
        assert_int_equal(lm_schema_load(w.mem, (lm_str){part, cut}, &loaded), LM_E_CORRUPT);
        assert_null(loaded);
        free(part);
    }
    for (int i = 0; i < 3000; i++) { /* flipped: told, or a schema that works */
        size_t at = (size_t)lm_test_below(&rng, saved.len);
        uint8_t before = saved.ptr[at];
        lm_schema *loaded = NULL;
        saved.ptr[at] = (uint8_t)(before ^ (1u << lm_test_below(&rng, 8)));
        lm_err err = lm_schema_load(w.mem, (lm_str){saved.ptr, saved.len}, &loaded);
        if (!err) {
            lm_fields fields = {.arena = &w.arena};
            for (size_t k = 0; k < STREAM; k++)
                assert_int_equal(lm_schema_parse(loaded, lm_str_of(stream[k]), &fields), LM_OK);
            lm_schema_free(loaded);
        } else if (err != LM_E_CORRUPT && err != LM_E_UNSUPPORTED) {
            fail_msg("byte %zu: error %d", at, err);
        }
        saved.ptr[at] = before;
    }
    lm_buf_fini(&saved);
    world_close(&w);
}

static lm_err whole_life(lm_mem *mem)
{
    lm_schema *schema = NULL, *loaded = NULL;
    lm_arena arena;
    lm_buf saved;
    lm_str texts[STREAM];
    lm_arena_init(&arena, mem);
    lm_buf_init(&saved, mem);
    for (size_t i = 0; i < STREAM; i++)
        texts[i] = lm_str_of(stream[i]);
    lm_fields fields = {.arena = &arena};
    lm_err err = lm_schema_new(mem, &schema);
    if (!err) err = lm_schema_learn(schema, texts, STREAM);
    for (size_t i = 0; i < STREAM && !err; i++)
        err = lm_schema_parse(schema, texts[i], &fields);
    if (!err) err = lm_schema_parse(schema, LM_STR("{\"new\":{\"path\":[1]}}"), &fields);
    if (!err) err = lm_schema_save(schema, &saved);
    if (!err) err = lm_schema_load(mem, (lm_str){saved.ptr, saved.len}, &loaded);
    lm_schema_free(loaded);
    lm_schema_free(schema);
    lm_buf_fini(&saved);
    lm_arena_fini(&arena);
    return err;
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, whole_life(mem))
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_schema_parses_the_same),
        cmocka_unit_test(damaged_bytes_are_told),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

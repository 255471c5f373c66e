/** What cases in text cannot say: what the store is asked for, the order of entries, limits,
 * cancelling, live records, memory that fails. */
#include "logql/logql.h"
#include "logql_store.h"

typedef struct world {
    lm_mem *mem;
    memory_store store;
    lm_arena arena;
    lm_logql_result result;
} world;

static void world_init(world *w)
{
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    memory_store_init(&w->store, w->mem);
    lm_arena_init(&w->arena, w->mem);
}

static void world_fini(world *w)
{
    lm_arena_fini(&w->arena);
    memory_store_fini(&w->store);
    lm_mem_free(w->mem);
}

static lm_err ask(world *w, const char *text, const lm_logql_range *range)
{
    lm_logql *query = NULL;
    lm_store_face face = memory_face(&w->store);
    lm_err err = lm_logql_parse(w->mem, lm_str_of(text), &query);
    if (err) return err;
    err = lm_logql_run(query, &face, range, &w->arena, &w->result);
    lm_logql_free(query);
    return err;
}

static void test_store_does_what_it_can(void **state)
{
    (void)state;

    static const struct {
        const char *query;
        uint32_t filters;
        bool skips_line;
    } cases[] = {
        {"count_over_time({a=\"b\"} |= \"x\" [1m])", 1, true},
        {"bytes_rate({a=\"b\"} |= \"x\" != \"y\" [1m])", 2, false},
        {"count_over_time({a=\"b\"} | level=\"x\" |~ \"y\" [1m])", 1, true},
        {"sum(count_over_time({a=\"b\"} | json [1m]))", 0, true},
        {"sum by (x) (count_over_time({a=\"b\"} | json |= \"z\" [1m]))", 1, false},
        {"count_over_time({a=\"b\"} | logfmt |> \"<_>z\" | drop x |= \"y\" [1m])", 2, false},
        {"count_over_time({a=\"b\"} |= \"q\" | line_format \"{{.x}}\" |= \"y\" [1m])", 1, false},
        {"count_over_time({a=\"b\"} | decolorize |= \"y\" [1m])", 0, false},
        {"count_over_time({a=\"b\"} |= ip(\"1.2.3.4\") |= \"y\" [1m])", 1, false},
        {"count_over_time({a=\"b\"} |= \"\" [1m])", 0, true},
        {"{a=\"b\"} |= \"x\" or \"y\"", 1, false},
    };

    world w;
    world_init(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_logql_range range = {.start_ns = 0, .end_ns = 1000};
        assert_int_equal(ask(&w, cases[i].query, &range), LM_OK);
        assert_int_equal(w.store.last.filter_count, cases[i].filters);
        assert_int_equal(w.store.last.skip_line, cases[i].skips_line);
    }
    lm_logql_range range = {
        .start_ns = 100000000000, .end_ns = 160000000000, .step_ns = 10000000000};
    assert_int_equal(ask(&w, "rate({a=\"b\"}[30s] offset 5s)", &range), LM_OK);
    assert_int_equal(w.store.last.time_min, 65000000001); /* the window's beginning is not in it */
    assert_int_equal(w.store.last.time_max, 155000000001);
    world_fini(&w);
}

static void test_equal_times_stay_as_told(void **state)
{
    (void)state;
    static const char *const lines[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    world w;
    world_init(&w);
    for (int i = 0; i < 10; i++)
        memory_store_add(&w.store, "{a=\"b\"}", 5, lm_str_of(lines[i]), NULL);
    for (int forwards = 0; forwards < 2; forwards++) {
        lm_logql_range range = {.end_ns = 10, .limit = 3, .forwards = forwards};
        assert_int_equal(ask(&w, "{a=\"b\"}", &range), LM_OK);
        assert_int_equal(w.result.series_count, 1);
        assert_int_equal(w.result.series[0].count, 3);
        for (int i = 0; i < 3; i++) {
            lm_str want = lm_str_of(lines[forwards ? i : 9 - i]);
            assert_true(lm_str_equal(w.result.series[0].entries[i].line, want));
        }
    }
    assert_int_equal(w.result.records_seen, w.store.told);
    world_fini(&w);
}

static void test_labels_have_their_kind(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    memory_store_add(&w.store, "{a=\"b\"}", 5, LM_STR("x=1 a=2"), "{trace=\"t\"}");
    lm_logql_range range = {.end_ns = 10};
    assert_int_equal(ask(&w, "{a=\"b\"} | logfmt", &range), LM_OK);
    const lm_logql_entry *entry = &w.result.series[0].entries[0];
    assert_int_equal(w.result.series[0].labels.count, 4);
    assert_int_equal(entry->metadata.count, 1);
    assert_true(lm_str_equal(lm_labels_get(entry->metadata, LM_STR("trace")), LM_STR("t")));
    assert_int_equal(entry->parsed.count, 2);
    assert_true(lm_str_equal(lm_labels_get(entry->parsed, LM_STR("a_extracted")), LM_STR("2")));
    world_fini(&w);
}

static void test_live_records(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    memory_store_add(&w.store, "{a=\"b\"}", 5, LM_STR("x=1"), NULL);
    memory_store_add(&w.store, "{a=\"c\"}", 6, LM_STR("x=1"), NULL);
    lm_logql *query = NULL;
    assert_int_equal(
        lm_logql_parse(w.mem, LM_STR("{a=\"b\"} |= \"x\" | logfmt | line_format \"<{{.x}}>\""),
                       &query),
        LM_OK);
    for (int i = 0; i < 2; i++) {
        const lm_record *record = &w.store.batch.records[i];
        bool passes = false;
        lm_labels labels;
        lm_logql_entry entry;
        assert_int_equal(lm_logql_pass(query, &w.store.batch.streams[record->stream], record,
                                       &w.arena, &passes, &labels, &entry),
                         LM_OK);
        assert_int_equal(passes, i == 0);
        if (!passes) continue;
        assert_true(lm_str_equal(entry.line, LM_STR("<1>")));
        assert_int_equal(labels.count, 2);
        assert_int_equal(entry.parsed.count, 1);
    }
    lm_logql_free(query);
    world_fini(&w);
}

static void test_limits(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    memory_store_add(&w.store, "{a=\"b\"}", 5, LM_STR("x"), NULL);
    lm_logql_range range = {.end_ns = 20000, .step_ns = 1};
    assert_int_equal(ask(&w, "rate({a=\"b\"}[1m])", &range), LM_E_LIMIT);
    assert_non_null(strstr(lm_err_text(), "exceeded maximum resolution of 11,000 points"));
    int cancel = 1;
    for (int i = 0; i < 3000; i++)
        memory_store_add(&w.store, "{a=\"b\"}", 5, LM_STR("x"), NULL);
    range = (lm_logql_range){.end_ns = 10, .cancel = &cancel};
    assert_int_equal(ask(&w, "{a=\"b\"}", &range), LM_E_CANCELLED);
    assert_int_equal(ask(&w, "rate({a=\"b\"}[1m])", &range), LM_E_CANCELLED);
    char deep[400];
    size_t len = 0;
    for (int i = 0; i < 100; i++)
        deep[len++] = '(';
    assert_int_equal(lm_logql_parse(w.mem, (lm_str){(uint8_t *)deep, len}, &(lm_logql *){NULL}),
                     LM_E_LIMIT);
    static char chain[60000];
    len = 0;
    for (int i = 0; i < 5000; i++)
        len += (size_t)snprintf(chain + len, sizeof chain - len, "%svector(1)", i ? "+" : "");
    assert_int_equal(lm_logql_parse(w.mem, (lm_str){(uint8_t *)chain, len}, &(lm_logql *){NULL}),
                     LM_E_LIMIT);
    len = (size_t)snprintf(chain, sizeof chain, "{a=\"b\"} | c=1");
    for (int i = 0; i < 5000; i++)
        len += (size_t)snprintf(chain + len, sizeof chain - len, " and c=1");
    assert_int_equal(lm_logql_parse(w.mem, (lm_str){(uint8_t *)chain, len}, &(lm_logql *){NULL}),
                     LM_E_LIMIT);
    world_fini(&w);
}

static void test_too_many_series(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    for (int i = 0; i <= LM_LOGQL_SERIES_MAX; i++) {
        char line[32];
        snprintf(line, sizeof line, "x=%d", i);
        const char *kept = lm_arena_copy(&w.store.batch.arena, line, strlen(line));
        assert_non_null(kept);
        memory_store_add(&w.store, "{a=\"b\"}", 5, lm_str_of(kept), NULL);
    }
    lm_logql_range range = {.end_ns = 10};
    assert_int_equal(ask(&w, "count_over_time({a=\"b\"} | logfmt [1m])", &range), LM_E_LIMIT);
    assert_non_null(strstr(lm_err_text(), "maximum number of series"));
    assert_int_equal(ask(&w, "sum(count_over_time({a=\"b\"} | logfmt [1m]))", &range), LM_OK);
    world_fini(&w);
}

static void test_matchers(void **state)
{
    (void)state;
    world w;
    lm_matcher *matchers = NULL;
    lm_matcher_set *set = NULL;
    uint32_t count = 0;
    static const lm_label items[] = {{{(const uint8_t *)"a", 1}, {(const uint8_t *)"bcd", 3}}};
    lm_labels labels = {items, 1};
    world_init(&w);
    assert_int_equal(
        lm_logql_matchers(LM_STR("{a=~\"b.*\", x=\"\", a!=\"q\"}"), &w.arena, &matchers, &count),
        LM_OK);
    assert_int_equal(count, 3);
    assert_int_equal(lm_matcher_set_new(w.mem, matchers, count, &set), LM_OK);
    assert_true(lm_matcher_set_match(set, labels));
    lm_matcher_set_free(set);
    assert_int_equal(lm_logql_matchers(LM_STR("{a!~\"b.*\"}"), &w.arena, &matchers, &count), LM_OK);
    assert_int_equal(lm_matcher_set_new(w.mem, matchers, count, &set), LM_OK);
    assert_false(lm_matcher_set_match(set, labels));
    lm_matcher_set_free(set);
    assert_int_equal(lm_logql_matchers(LM_STR(""), &w.arena, &matchers, &count), LM_OK);
    assert_int_equal(count, 0);
    assert_int_equal(lm_logql_matchers(LM_STR("{a=\"b\"} |= \"x\""), &w.arena, &matchers, &count),
                     LM_E_USAGE);
    world_fini(&w);
}

static lm_err ask_with(lm_mem *mem, memory_store *store, const char *text, int64_t step_ns)
{
    lm_logql *query = NULL;
    lm_arena arena;
    lm_logql_result result;
    lm_store_face face = memory_face(store);
    lm_logql_range range = {.end_ns = 20000000000, .step_ns = step_ns, .limit = 2};
    lm_arena_init(&arena, mem);
    lm_err err = lm_logql_parse(mem, lm_str_of(text), &query);
    if (!err) err = lm_logql_run(query, &face, &range, &arena, &result);
    lm_logql_free(query);
    lm_arena_fini(&arena);
    return err;
}

static void test_memory_fails(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "{a=\"b\"} |~ \"x.*\" | json | logfmt | regexp \"(?P<q>x)\" | pattern \"<p> <_>\" | "
        "label_format l=\"{{.x}}\" | line_format \"{{regexReplaceAll \\\"x\\\" .x \\\"y\\\"}}\"",
        "topk(2, sum by (x) (rate({a=~\"b|c\"} | logfmt [5s]))) + on (x) group_left (x) sum by (x) "
        "(count_over_time({a=\"b\"} | logfmt [3s])) or label_replace(avg_over_time({a=\"b\"} | "
        "logfmt | unwrap x [5s]) by (x), \"z\", \"$1\", \"x\", \"(.)\")",
    };
    world w;
    world_init(&w);
    memory_store_add(&w.store, "{a=\"b\"}", 1000000000, LM_STR("x=1 y=\"a\\nb\""), NULL);
    memory_store_add(&w.store, "{a=\"c\"}", 2000000000, LM_STR("x=2 q"), "{t=\"1\"}");
    memory_store_add(&w.store, "{a=\"b\"}", 3000000000, LM_STR("{\"x\":\"1\",\"o\":{\"p\":2}}"),
                     NULL);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        LM_TEST_EACH_ALLOCATION_FAILS(mem, ask_with(mem, &w.store, queries[i], i ? 1000000000 : 0));
    }
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_does_what_it_can),
        cmocka_unit_test(test_equal_times_stay_as_told),
        cmocka_unit_test(test_labels_have_their_kind),
        cmocka_unit_test(test_live_records),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_too_many_series),
        cmocka_unit_test(test_matchers),
        cmocka_unit_test(test_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

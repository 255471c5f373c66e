/** What a query costs for each record that the store tells: one JSON line a query. The store here
 * costs next to nothing. */
#include "logql/logql.h"

#include <inttypes.h>
#include <stdio.h>

enum { RECORDS = 1000000, STREAMS = 16, RUNS = 3 };

typedef struct source {
    lm_stream streams[STREAMS];
    lm_str line;
} source;

static lm_err tell(void *self, const lm_select *what,
                   bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                   void *told_ctx)
{
    const source *s = self;
    (void)what;
    for (uint32_t i = 0; i < RECORDS; i++) {
        lm_record record = {.time_ns = (int64_t)i * 1000000, .line = s->line};
        /* Runs of a stream, as a store's parts have them. */
        if (!told(told_ctx, &s->streams[(i >> 6) % STREAMS], &record)) break;
    }
    return LM_OK;
}

static const struct {
    const char *text;
    int64_t step_ns;
} queries[] = {
    {"count_over_time({app=\"a\"} |= \"x\" [1m])", 10000000000},
    {"sum by (app) (rate({app=\"a\"} |= \"x\" [1m]))", 10000000000},
    {"sum by (level) (count_over_time({app=\"a\"} | json [1m]))", 10000000000},
    {"count_over_time({app=\"a\"} | json [1m])", 10000000000},
    {"sum by (level) (count_over_time({app=\"a\"} | logfmt [1m]))", 10000000000},
    {"sum(count_over_time({app=\"a\"} |~ \"x\" | json | status >= 500 [1m]))", 10000000000},
    {"quantile_over_time(0.99, {app=\"a\"} | json | unwrap status [1m]) by (level)", 10000000000},
    {"{app=\"a\"}", 0},
    {"{app=\"a\"} | json | level=\"nope\"", 0},
    {"{app=\"a\"} | json | line_format \"{{.level}} {{.msg | ToUpper}}\"", 0},
};

static lm_err run(lm_mem *mem, const source *s, size_t number)
{
    lm_logql *query = NULL;
    lm_arena arena;
    uint64_t best = UINT64_MAX;
    size_t series = 0;
    lm_err err = lm_logql_parse(mem, lm_str_of(queries[number].text), &query);
    if (err) return err;
    lm_store_face store = {(void *)(uintptr_t)s, tell, NULL};
    lm_logql_range range = {.end_ns = (int64_t)RECORDS * 1000000,
                            .step_ns = queries[number].step_ns};
    for (int i = 0; i < RUNS && !err; i++) {
        lm_logql_result result;
        lm_arena_init(&arena, mem);
        uint64_t begin = lm_clock_cpu_ns();
        err = lm_logql_run(query, &store, &range, &arena, &result);
        uint64_t took = lm_clock_cpu_ns() - begin;
        if (took < best) best = took;
        if (!err) series = result.series_count;
        lm_arena_fini(&arena);
    }
    lm_logql_free(query);
    if (err) return err;
    printf("{\"name\":\"logql_run\",\"query\":%zu,\"ns_per_record\":%.1f,\"series\":%zu}  # %s\n",
           number, (double)best / RECORDS, series, queries[number].text);
    return LM_OK;
}

int main(void)
{
    static char keys[STREAMS][64];
    static lm_label labels[STREAMS][3];
    static char pods[STREAMS][8];
    source s = {
        .line =
            LM_STR("{\"ts\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\",\"msg\":\"request x "
                   "done\",\"status\":200,\"request\":{\"method\":\"GET\",\"path\":\"/api/v1/users/"
                   "12345\",\"host\":\"example.com\",\"duration_ms\":12.5},\"user\":{\"id\":12345,"
                   "\"name\":\"somebody\"},\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
                   "\"ok\":true}")};
    for (int i = 0; i < STREAMS; i++) {
        snprintf(pods[i], sizeof pods[i], "p%d", i);
        labels[i][0] = (lm_label){LM_STR("app"), LM_STR("a")};
        labels[i][1] = (lm_label){LM_STR("env"), LM_STR("production")};
        labels[i][2] = (lm_label){LM_STR("pod"), lm_str_of(pods[i])};
        snprintf(keys[i], sizeof keys[i], "{app=\"a\", env=\"production\", pod=\"%s\"}", pods[i]);
        s.streams[i] = (lm_stream){.labels = {labels[i], 3}, .key = lm_str_of(keys[i])};
        s.streams[i].hash = lm_hash64(keys[i], s.streams[i].key.len);
    }
    lm_mem *mem = NULL;
    lm_err err = lm_mem_new(NULL, 0, &mem);
    for (size_t i = 0; i < sizeof queries / sizeof *queries && !err; i++)
        err = run(mem, &s, i);
    if (err) fprintf(stderr, "%s\n", lm_err_text());
    lm_mem_free(mem);
    return err ? 1 : 0;
}

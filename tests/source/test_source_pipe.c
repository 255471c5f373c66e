/** Pipes: named ones that come and go, and standard input. */
#include "source_sink.h"

#include <fcntl.h>
#include <sys/stat.h>

typedef struct world {
    lm_mem *mem;
    test_sink *sink;
    lm_source *source;
    char folder[256], path[300];
} world;

static void world_open(world *w)
{
    *w = (world){0};
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    w->sink = sink_new();
    lm_test_folder_make(w->folder);
    snprintf(w->path, sizeof w->path, "%s/fifo", w->folder);
    assert_int_equal(mkfifo(w->path, 0600), 0);
}

static void world_close(world *w)
{
    lm_source_stop(w->source, UINT64_C(5000000000));
    sink_free(w->sink);
    assert_int_equal(lm_mem_used(w->mem), 0);
    lm_mem_free(w->mem);
    lm_test_folder_remove(w->folder);
}

static void start(world *w, const char *path)
{
    lm_source_host host = sink_host(w->sink, w->mem);
    lm_source_pipe_options options = {.path = path};
    assert_int_equal(lm_source_pipe(&host, &options, &w->source), LM_OK);
}

static void write_numbers(const char *path, int from, int to, const char *rest)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = from; i < to; i++)
        fprintf(file, "2026-11-23T10:00:00.%03dZ number %d\n", i % 1000, i);
    fputs(rest, file);
    fclose(file);
}

static void check(world *w, size_t wanted)
{
    assert_int_equal(sink_settle(w->sink, wanted, 100), wanted);
    for (size_t i = 0; i < wanted; i++) {
        char line[64];
        snprintf(line, sizeof line, "2026-11-23T10:00:00.%03dZ number %d", (int)i % 1000, (int)i);
        assert_string_equal(w->sink->records[i].line, line);
        assert_int_equal(w->sink->records[i].time_ns,
                         INT64_C(1795428000000000000) + (int64_t)(i % 1000) * 1000000);
    }
}

static void a_named_pipe_is_opened_again(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.sink->refuse_each = 3;
    start(&w, w.path);
    write_numbers(w.path, 0, 50000, "2026-11-23T10:00:00.000Z number 50000"); /* no line end */
    check(&w, 50001);
    write_numbers(w.path, 50001, 50101, "");
    check(&w, 50101);
    assert_non_null(strstr(w.sink->records[0].stream, w.path));
    world_close(&w);
}

static void standard_input_is_read_to_its_end(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    int ends[2], old = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    start(&w, "-");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    write_numbers(path, 0, 1000, "");
    close(ends[1]);
    check(&w, 1000);
    lm_source_counters counters = {.open = 1};
    for (int i = 0; i < 200 && counters.open; i++) {
        sink_sleep(10);
        lm_source_counters_get(w.source, &counters);
    }
    assert_int_equal(counters.open, 0);
    assert_int_equal(dup2(old, STDIN_FILENO), STDIN_FILENO);
    close(old);
    world_close(&w);
}

static void a_path_that_is_not_there_is_told(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    lm_source_host host = sink_host(w.sink, w.mem);
    lm_source_pipe_options options = {.path = "/nonexistent/pipe"};
    assert_int_equal(lm_source_pipe(&host, &options, &w.source), LM_E_IO);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_named_pipe_is_opened_again),
        cmocka_unit_test(standard_input_is_read_to_its_end),
        cmocka_unit_test(a_path_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

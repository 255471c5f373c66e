/** The journal: a file that systemd-journal-remote makes of an export, read entry by entry. */
#include "source_sink.h"

#include <sys/stat.h>

#define REMOTE "/lib/systemd/systemd-journal-remote"

/** Entries from..to-1 as systemd's export format. */
static void add_entries(const char *folder, int from, int to)
{
    char path[400], command[1200];
    snprintf(path, sizeof path, "%s/export", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = from; i < to; i++)
        fprintf(file,
                "__REALTIME_TIMESTAMP=%lld\n__MONOTONIC_TIMESTAMP=%d\n"
                "_BOOT_ID=0123456789abcdef0123456789abcdef\nMESSAGE=entry number %d\nPRIORITY=%d\n"
                "_SYSTEMD_UNIT=web.service\n_HOSTNAME=node1\nSYSLOG_IDENTIFIER=web\n_PID=%d\n\n",
                1795428000000000LL + i, i + 1, i, i % 8, 100 + i);
    fclose(file);
    snprintf(command, sizeof command,
             REMOTE " --output='%s/journal/x-%d.journal' '%s' >/dev/null 2>&1", folder, from, path);
    assert_int_equal(system(command), 0);
}

static void check(test_sink *sink, size_t wanted)
{
    assert_int_equal(sink_settle(sink, wanted, 300), wanted);
    for (size_t i = 0; i < wanted; i++) {
        char line[64];
        snprintf(line, sizeof line, "entry number %zu", i);
        assert_string_equal(sink->records[i].line, line);
        assert_int_equal(sink->records[i].time_ns, (INT64_C(1795428000000000) + (int64_t)i) * 1000);
        assert_non_null(strstr(sink->records[i].stream, "unit=\"web.service\""));
        assert_non_null(strstr(sink->records[i].stream, "host=\"node1\""));
        assert_non_null(strstr(sink->records[i].stream, "app=\"web\""));
        snprintf(line, sizeof line, "_pid=\"%zu\"", 100 + i);
        assert_non_null(strstr(sink->records[i].metadata, line));
    }
    assert_non_null(strstr(sink->records[3].stream, "severity=\"error\""));
}

static void reads_from_its_cursor_on(void **state)
{
    (void)state;
    if (!LM_HAVE_JOURNAL || access(REMOTE, X_OK) != 0) {
        print_message("skipped: systemd-journal-remote is not installed\n");
        skip();
    }
    char folder[256], journal[300];
    lm_test_folder_make(folder);
    snprintf(journal, sizeof journal, "%s/journal", folder);
    assert_int_equal(mkdir(journal, 0700), 0);
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    test_sink *sink = sink_new();
    lm_source_host host = sink_host(sink, mem);
    lm_source_journal_options options = {.folder = journal};
    lm_source *source = NULL;
    add_entries(folder, 0, 5000);
    assert_int_equal(lm_source_journal(&host, &options, &source), LM_OK);
    check(sink, 5000);
    lm_source_stop(source, UINT64_C(5000000000));
    add_entries(folder, 5000, 5100);
    assert_int_equal(lm_source_journal(&host, &options, &source), LM_OK);
    check(sink, 5100);
    add_entries(folder, 5100, 5200); /* while it is read */
    check(sink, 5200);
    lm_source_stop(source, UINT64_C(5000000000));
    sink_free(sink);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    lm_test_folder_remove(folder);
}

static void says_what_it_cannot_open(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    test_sink *sink = sink_new();
    lm_source_host host = sink_host(sink, mem);
    lm_source_journal_options options = {.folder = "/nonexistent/journal"};
    lm_source *source = NULL;
    lm_err err = lm_source_journal(&host, &options, &source);
    assert_int_equal(err, LM_HAVE_JOURNAL ? LM_OK : LM_E_UNSUPPORTED);
    lm_source_counters counters = {0};
    for (int i = 0; source && i < 300 && !counters.errors; i++) {
        sink_sleep(10);
        lm_source_counters_get(source, &counters);
    }
    if (source) assert_true(counters.errors > 0); /* and it is tried again */
    lm_source_stop(source, 0);
    sink_free(sink);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_from_its_cursor_on),
        cmocka_unit_test(says_what_it_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

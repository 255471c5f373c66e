/** A source of files: every line once, whatever happens to the files. */
#include "source_sink.h"

#include <fcntl.h>
#include <sys/stat.h>

typedef struct world {
    lm_mem *mem;
    test_sink *sink;
    lm_source *source;
    char folder[256];
    const char *globs[4];
    size_t glob_count;
    const char *exclude;
    lm_source_files_options options;
    char patterns[4][512];
} world;

static void start(world *w)
{
    lm_source_host host = sink_host(w->sink, w->mem);
    w->options.globs = w->globs;
    w->options.glob_count = w->glob_count;
    w->options.excludes = &w->exclude;
    w->options.exclude_count = w->exclude ? 1 : 0;
    assert_int_equal(lm_source_files(&host, &w->options, &w->source), LM_OK);
}

static void stop(world *w)
{
    lm_source_stop(w->source, UINT64_C(5000000000));
    w->source = NULL;
}

static void world_open(world *w, const char *pattern)
{
    *w = (world){0};
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    w->sink = sink_new();
    lm_test_folder_make(w->folder);
    snprintf(w->patterns[0], sizeof w->patterns[0], "%s/%s", w->folder, pattern);
    w->globs[0] = w->patterns[0];
    w->glob_count = 1;
}

static void world_close(world *w)
{
    if (w->source) stop(w);
    sink_free(w->sink);
    assert_int_equal(lm_mem_used(w->mem), 0);
    lm_mem_free(w->mem);
    lm_test_folder_remove(w->folder);
}

static const char *path_of(world *w, const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    return path;
}

static void append(world *w, const char *name, const char *text)
{
    FILE *file = fopen(path_of(w, name), "a");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void move(world *w, const char *from, const char *to)
{
    char old[1024];
    snprintf(old, sizeof old, "%s", path_of(w, from));
    assert_int_equal(rename(old, path_of(w, to)), 0);
}

static void run_in(world *w, const char *command)
{
    char text[2048];
    snprintf(text, sizeof text, "cd '%s' && %s", w->folder, command);
    assert_int_equal(system(text), 0);
}

static void append_numbers(world *w, const char *name, int from, int to)
{
    FILE *file = fopen(path_of(w, name), "a");
    assert_non_null(file);
    for (int i = from; i < to; i++)
        fprintf(file, "2026-11-23T10:00:00.%03dZ INFO line number %07d of the test\n", i % 1000, i);
    fclose(file);
}

static int by_line(const void *a, const void *b)
{
    return strcmp(((const kept_record *)a)->line, ((const kept_record *)b)->line);
}

/** Numbers from..to-1 are there once each, and nothing else. */
static void check_numbers(world *w, int from, int to)
{
    size_t wanted = (size_t)(to - from), got = sink_settle(w->sink, wanted, 300);
    size_t again = 0, lost = 0, foreign = 0;
    int first_again = 0, first_lost = 0;
    unsigned char *seen = calloc(wanted, 1);
    assert_non_null(seen);
    pthread_mutex_lock(&w->sink->lock);
    for (size_t i = 0; i < got; i++) {
        const char *mark = strstr(w->sink->records[i].line, "number ");
        int number = mark ? atoi(mark + 7) : -1;
        if (number < from || number >= to) {
            foreign++;
        } else if (seen[number - from]++) {
            if (!again++) first_again = number;
        }
    }
    for (size_t i = 0; i < wanted; i++)
        if (!seen[i] && !lost++) first_lost = from + (int)i;
    pthread_mutex_unlock(&w->sink->lock);
    free(seen);
    if (again || lost || foreign)
        printf("%zu again (first %d), %zu lost (first %d), %zu foreign\n%s\n", again, first_again,
               lost, first_lost, foreign, w->sink->notes);
    assert_int_equal(again, 0);
    assert_int_equal(lost, 0);
    assert_int_equal(foreign, 0);
}

/* Times that name no zone are of this machine's own clock, and one without a date is of the day on
 * which its line comes: whoever asks for the last hour finds them. */
static void times_are_of_the_wall(void **state)
{
    static const char *const zones[] = {"UTC0", "JST-9", "PST8"};
    (void)state;
    const char *had = getenv("TZ");
    char *kept = had ? strdup(had) : NULL;
    for (size_t i = 0; i < 3; i++) {
        world w;
        char text[200];
        struct tm parts;
        assert_int_equal(setenv("TZ", zones[i], 1), 0);
        tzset();
        world_open(&w, "*.log");
        time_t now = time(NULL);
        assert_non_null(localtime_r(&now, &parts));
        assert_int_not_equal(strftime(text, sizeof text, "%H:%M:%S.250 [main] INFO one\n", &parts),
                             0);
        append(&w, "a.log", text);
        assert_int_not_equal(
            strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S,250 INFO two\n", &parts), 0);
        append(&w, "b.log", text);
        assert_int_not_equal(
            strftime(text, sizeof text, "%b %e %H:%M:%S host app: three\n", &parts), 0);
        append(&w, "c.log", text);
        append(&w, "d.log",
               "2026-11-23T10:00:00Z INFO four\n2026-11-23T10:00:00+00:00 INFO five\n");
        start(&w);
        assert_int_equal(sink_settle(w.sink, 5, 300), 5);
        stop(&w);
        for (size_t k = 0; k < 5; k++) {
            const kept_record *record = &w.sink->records[k];
            int64_t seconds = strstr(record->line, "2026-11-23T") ? 1795428000 : (int64_t)now;
            int64_t fraction = strstr(record->line, "250") ? 250000000 : 0;
            assert_int_equal(record->time_ns, seconds * 1000000000 + fraction);
        }
        world_close(&w);
    }
    assert_int_equal(kept ? setenv("TZ", kept, 1) : unsetenv("TZ"), 0);
    tzset();
    free(kept);
}

static void reads_times_and_labels(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    lm_label label = {LM_STR("team"), LM_STR("blue")};
    w.options.labels = &label;
    w.options.label_count = 1;
    append(&w, "a.log", "2026-11-23T10:00:00.5Z INFO one\r\n2026-11-23T10:00:01.5Z INFO two\n");
    append(&w, "b.log",
           "1.2.3.4 - - [10/Oct/2025:13:55:36 +0200] \"GET / HTTP/1.1\" 200 5\n"
           "101.2.3.41 - - [10/Oct/2025:13:55:37 +0200] \"GET /x HTTP/1.1\" 200 5\n");
    append(&w, "c.log",
           "{\"level\":\"info\",\"ts\":1646861401.5241024,\"msg\":\"a\"}\n"
           "{\"level\":\"error\",\"ts\":1646861402.25,\"msg\":\"b\"}\n");
    append(&w, "d.txt", "not meant\n");
    start(&w);
    assert_int_equal(sink_settle(w.sink, 6, 300), 6);
    stop(&w);
    qsort(w.sink->records, w.sink->count, sizeof *w.sink->records, by_line);
    const int64_t times[] = {1760097336000000000, 1760097337000000000, 1795428000500000000,
                             1795428001500000000, 1646861402250000000, 1646861401524102400};
    for (size_t i = 0; i < 6; i++) {
        kept_record *record = &w.sink->records[i];
        if (record->time_ns != times[i]) printf("%s\n", record->line);
        assert_int_equal(record->time_ns, times[i]);
        assert_non_null(strstr(record->stream, "team=\"blue\""));
        assert_non_null(strstr(record->stream, "host=\""));
        assert_non_null(strstr(record->stream, w.folder));
        assert_null(strchr(record->line, '\r'));
    }
    world_close(&w);
}

static void joins_traces(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    append(&w, "a.log",
           "2026-11-23 10:00:00 ERROR it broke\n"
           "java.lang.IllegalStateException: no\n"
           "\tat a.B.c(B.java:1)\n"
           "\tat a.B.d(B.java:2)\n"
           "2026-11-23 10:00:01 INFO on we go\n");
    start(&w);
    assert_int_equal(sink_settle(w.sink, 2, 300), 2);
    assert_non_null(strstr(w.sink->records[0].line, "B.java:2"));
    assert_string_equal(w.sink->records[1].line, "2026-11-23 10:00:01 INFO on we go");
    append(&w, "a.log", "2026-11-23 10:00:02 ERROR again\n\tat a.B.c(B.java:1)\n");
    sink_sleep(100);
    append(&w, "a.log", "\tat a.B.e(B.java:3)\n"); /* within the time it is held */
    assert_int_equal(sink_settle(w.sink, 3, 300), 3);
    assert_non_null(strstr(w.sink->records[2].line, "B.java:3"));
    stop(&w);
    world_close(&w);
}

static void takes_a_start_pattern(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    w.options.start_pattern = LM_STR("^=== ");
    append(&w, "a.log", "=== one\nx\ny\n=== two\nz\n");
    start(&w);
    assert_int_equal(sink_settle(w.sink, 2, 300), 2);
    assert_string_equal(w.sink->records[0].line, "=== one\nx\ny");
    assert_string_equal(w.sink->records[1].line, "=== two\nz");
    stop(&w);
    w.options.start_pattern = LM_STR("(");
    lm_source_host host = sink_host(w.sink, w.mem);
    assert_int_equal(lm_source_files(&host, &w.options, &w.source), LM_E_USAGE);
    world_close(&w);
}

static void waits_for_the_end_of_a_line(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    append_numbers(&w, "a.log", 0, 5);
    append(&w, "a.log", "2026-11-23T10:00:00Z INFO line num");
    start(&w);
    assert_int_equal(sink_settle(w.sink, 5, 1500), 5);
    append(&w, "a.log", "ber 0000005 of the test\n");
    check_numbers(&w, 0, 6);
    append(&w, "a.log", "2026-11-23T10:00:00Z INFO line number 6 without an end");
    sink_sleep(300);
    assert_int_equal(unlink(path_of(&w, "a.log")), 0);
    check_numbers(&w, 0, 7);
    world_close(&w);
}

static void follows_a_renamed_file(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log");
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 1000), 1000);
    FILE *late = fopen(path_of(&w, "app.log"), "a"); /* a writer that reopens late */
    move(&w, "app.log", "app.log.1");
    append_numbers(&w, "app.log", 1100, 2000);
    for (int i = 1000; i < 1100; i++)
        fprintf(late, "2026-11-23T10:00:00Z INFO line number %07d of the test\n", i);
    fclose(late);
    check_numbers(&w, 0, 2000);
    for (size_t i = 0; i < 2000; i++) /* all bear the name that they were found by */
        assert_non_null(strstr(w.sink->records[i].stream, "app.log\""));
    move(&w, "app.log.1", "app.log.2");
    move(&w, "app.log", "app.log.1");
    append_numbers(&w, "app.log", 2000, 2100);
    check_numbers(&w, 0, 2100);
    world_close(&w);
}

static void goes_on_after_a_restart(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 1000), 1000);
    stop(&w);
    append_numbers(&w, "app.log", 1000, 1500);
    start(&w);
    check_numbers(&w, 0, 1500);
    stop(&w);
    append_numbers(&w, "app.log", 1500, 1600);
    move(&w, "app.log", "app.log.1"); /* while nobody looked; the new name is not asked for */
    append_numbers(&w, "app.log", 1600, 1700);
    start(&w);
    check_numbers(&w, 0, 1700);
    world_close(&w);
}

static void begins_at_the_end_if_told(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    w.options.from_end = true;
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    for (int i = 0; i < 300 && sink_key_count(w.sink) < 2; i++)
        sink_sleep(10);
    append_numbers(&w, "app.log", 1000, 1500);
    append_numbers(&w, "new.log", 1500, 1600);
    check_numbers(&w, 1000, 1600);
    stop(&w);
    append_numbers(&w, "app.log", 1600, 1700);
    append_numbers(&w, "newer.log", 1700, 1800);
    start(&w);
    check_numbers(&w, 1000, 1800);
    world_close(&w);
}

static void notices_an_emptied_file(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log");
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 1000), 1000);
    run_in(&w, "cp app.log app.log.1 && : > app.log");
    append_numbers(&w, "app.log", 1000, 3000); /* longer than before at once */
    check_numbers(&w, 0, 3000);
    stop(&w);
    /* now while nobody looks: the rest is in the copy */
    append_numbers(&w, "app.log", 3000, 3100);
    run_in(&w, "cp app.log app.log.2 && : > app.log");
    append_numbers(&w, "app.log", 3100, 9000);
    start(&w);
    check_numbers(&w, 0, 9000);
    world_close(&w);
}

static void does_not_read_copies(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app*");
    append_numbers(&w, "app.log", 0, 2000);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 2000), 2000);
    run_in(&w, "cp app.log app.log.1 && : > app.log");
    append_numbers(&w, "app.log", 2000, 2500);
    check_numbers(&w, 0, 2500);
    run_in(&w, "gzip app.log.1");
    sink_sleep(2500);
    check_numbers(&w, 0, 2500);
    run_in(&w, "mv app.log app.log.2");
    append_numbers(&w, "app.log", 2500, 2600);
    check_numbers(&w, 0, 2600);
    run_in(&w, "zstd -q --rm app.log.2");
    sink_sleep(2500);
    check_numbers(&w, 0, 2600);
    stop(&w);
    start(&w);
    check_numbers(&w, 0, 2600);
    world_close(&w);
}

static void reads_packed_files_once(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.{gz,zst}");
    append_numbers(&w, "one", 0, 30000);
    append_numbers(&w, "two", 30000, 60000);
    run_in(&w, "gzip one && zstd -q --rm two");
    start(&w);
    check_numbers(&w, 0, 60000);
    stop(&w);
    start(&w);
    sink_sleep(2500);
    check_numbers(&w, 0, 60000);
    world_close(&w);
}

/** app.log.1 and app.log, 2,000 lines that were read, are packed and renamed; a thousand new ones
 * follow. The links keep the numbers of the plain files from being given to others. */
static void packs_both_while_nobody_looks(world *w)
{
    stop(w);
    run_in(w, "mkdir kept && ln app.log kept && ln app.log.1 kept && "
              "gzip -f app.log.1 && mv app.log.1.gz app.log.2.gz && mv app.log app.log.1 && "
              "gzip -f app.log.1");
    append_numbers(w, "app.log", 2000, 3000);
    start(w);
    assert_int_equal(sink_wait(w->sink, 3000), 3000);
    sink_sleep(2500); /* what is packed is read when it was quiet for a second */
    check_numbers(w, 0, 3000);
}

/** One that was made and renamed while nobody looked, then packed and renamed while nobody looked.
 */
static void knows_a_file_by_the_name_it_had_before_it_was_packed(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log*");
    append_numbers(&w, "app.log.1", 0, 1000);
    append_numbers(&w, "app.log", 1000, 2000);
    start(&w);
    check_numbers(&w, 0, 2000);
    packs_both_while_nobody_looks(&w);
    world_close(&w);
}

/** Both are new: copied, and the daemon started before the original is emptied. */
static void reads_one_of_two_that_are_the_same(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log*");
    append_numbers(&w, "app.log", 0, 50000);
    run_in(&w, "cp app.log app.log.1");
    start(&w);
    assert_int_equal(sink_wait(w.sink, 50000), 50000);
    run_in(&w, ": > app.log");
    append_numbers(&w, "app.log", 50000, 50100);
    assert_int_equal(sink_wait(w.sink, 50100), 50100);
    sink_sleep(4000); /* a copy waits until it was quiet for three seconds */
    check_numbers(&w, 0, 50100);
    world_close(&w);
}

/** A file gets the number of an older one, whose position is still kept. */
static void knows_what_was_read_though_numbers_are_given_anew(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log*");
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    check_numbers(&w, 0, 1000);
    stop(&w);
    move(&w, "app.log", "app.log.1");
    append_numbers(&w, "app.log", 1000, 2000);
    struct stat info;
    assert_int_equal(stat(path_of(&w, "app.log"), &info), 0);
    char key[64], value[512];
    snprintf(key, sizeof key, "file/%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
    snprintf(value, sizeof value,
             "1 offset=4711 head=1024:0123456789abcdef state=live before=%ju:1 path=%s",
             (uintmax_t)info.st_dev, path_of(&w, "app.log"));
    lm_checkpoint old = {lm_str_of(key), lm_str_of(value)};
    sink_keep_key(w.sink, &old);
    start(&w);
    check_numbers(&w, 0, 2000);
    packs_both_while_nobody_looks(&w);
    world_close(&w);
}

static void refuse(world *w, bool is_refusing)
{
    pthread_mutex_lock(&w->sink->lock);
    w->sink->is_refusing = is_refusing;
    pthread_mutex_unlock(&w->sink->lock);
}

/** app.log is copied and emptied before all of it was read: the rest, 100 lines, is in the copy.
 * Waits for all but the last lines of files, which are held back for a moment. */
static void copy_with_a_rest(world *w, const char *copy, int from)
{
    refuse(w, true);
    append_numbers(w, "app.log", from, from + 100);
    sink_sleep(200); /* read, and not taken */
    append_numbers(w, "app.log", from + 100, from + 200);
    char command[256];
    snprintf(command, sizeof command, "cp app.log %s && ln %s kept/%d && : > app.log", copy, copy,
             from);
    run_in(w, command);
    append_numbers(w, "app.log", from + 200, from + 300);
    refuse(w, false);
    assert_true(sink_wait(w->sink, (size_t)from + 297) >= (size_t)from + 297);
}

/** Three copies have one name, one after the other; of the first and the last a part is read that
 * was not read before, of the one between nothing. The first is packed later, and found when nobody
 * remembers it but the sink. */
static void knows_a_copy_by_those_that_had_its_name_later(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log*");
    run_in(&w, "mkdir kept");
    append_numbers(&w, "app.log", 0, 1000);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 1000), 1000);
    copy_with_a_rest(&w, "app.log.1", 1000);
    run_in(&w, "gzip -f app.log.1 && mv app.log.1.gz app.log.2.gz && cp app.log app.log.1");
    sink_sleep(500); /* seen, and left alone while both are the same */
    run_in(&w, ": > app.log && mv app.log.2.gz app.log.3.gz && mv app.log.1 app.log.2");
    copy_with_a_rest(&w, "app.log.1", 1300);
    stop(&w);
    start(&w);
    sink_sleep(2500); /* what is packed is read when it was quiet for a second */
    check_numbers(&w, 0, 1600);
    world_close(&w);
}

/** As when a packed file gets the number of the plain one between two looks. */
static void unpacks_what_was_plain_before(void **state)
{
    (void)state;
    world w;
    world_open(&w, "app.log*");
    append_numbers(&w, "app.log", 0, 1000);
    append_numbers(&w, "other", 1000, 2000);
    start(&w);
    check_numbers(&w, 0, 1000);
    run_in(&w, "gzip < other > app.log");
    check_numbers(&w, 0, 2000);
    world_close(&w);
}

static void finds_files_that_come_later(void **state)
{
    (void)state;
    world w;
    world_open(&w, "**/{x,y}*.log");
    w.exclude = "*skip*";
    append_numbers(&w, "x1.log", 0, 10);
    start(&w);
    assert_int_equal(sink_wait(w.sink, 10), 10);
    run_in(&w, "mkdir -p a/b .hidden");
    append_numbers(&w, "a/b/y.log", 10, 20);
    append_numbers(&w, "a/b/z.log", 900, 920);
    append_numbers(&w, "a/x-skip.log", 900, 920);
    append_numbers(&w, ".hidden/x.log", 900, 920);
    check_numbers(&w, 0, 20);
    run_in(&w, "mkdir elsewhere.d && ln -s ../other a/x-link.log");
    append_numbers(&w, "other", 20, 30);
    check_numbers(&w, 0, 30);
    append_numbers(&w, "other", 30, 40);
    check_numbers(&w, 0, 40);
    world_close(&w);
}

static void survives_a_sink_that_refuses_and_fails(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    w.sink->refuse_each = 3;
    w.sink->fail_each = 5;
    w.sink->delay_ns = 3000000;
    append_numbers(&w, "a.log", 0, 60000);
    append_numbers(&w, "b.log", 60000, 90000);
    start(&w);
    for (int i = 0; i < 20; i++) {
        append_numbers(&w, "c.log", 90000 + i * 100, 90100 + i * 100);
        sink_sleep(5);
    }
    check_numbers(&w, 0, 92000);
    lm_source_counters counters;
    lm_source_counters_get(w.source, &counters);
    assert_true(counters.errors > 0);
    assert_true(counters.open == 3);
    world_close(&w);
}

static void cuts_what_is_longer_than_a_record_may_be(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");
    start(&w);
    size_t len = 2 * LM_SOURCE_BUFFER_MAX + 1000;
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    text[len] = '\n';
    for (int i = 0; i < 3; i++) { /* in pieces */
        size_t begin = len / 3 * (size_t)i, end = i == 2 ? len + 1 : len / 3 * (size_t)(i + 1);
        FILE *file = fopen(path_of(&w, "a.log"), "a");
        fwrite(text + begin, 1, end - begin, file);
        fclose(file);
        sink_sleep(50);
    }
    append(&w, "a.log", "short\n");
    free(text);
    size_t sum = 0;
    for (int tries = 0; tries < 500 && sum < len + 5; tries++) {
        sink_sleep(20);
        pthread_mutex_lock(&w.sink->lock);
        sum = 0;
        for (size_t i = 0; i < w.sink->count; i++)
            sum += w.sink->records[i].len;
        pthread_mutex_unlock(&w.sink->lock);
    }
    assert_int_equal(sum, len + 5);
    world_close(&w);
}

static void knows_many_files_with_few_open(void **state)
{
    (void)state;
    world w;
    world_open(&w, "*.log");

    enum { FILES = 3000 };

    char name[64];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%05d.log", i);
        append_numbers(&w, name, i * 2, i * 2 + 1);
    }
    start(&w);
    assert_int_equal(sink_wait(w.sink, FILES), FILES);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%05d.log", i);
        append_numbers(&w, name, i * 2 + 1, i * 2 + 2);
    }
    check_numbers(&w, 0, 2 * FILES);
    int open = 0;
    for (int fd = 0; fd < 4096; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    assert_true(open <= LM_SOURCE_FILES_OPEN_MAX + 32);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_of_the_wall),
        cmocka_unit_test(reads_times_and_labels),
        cmocka_unit_test(joins_traces),
        cmocka_unit_test(takes_a_start_pattern),
        cmocka_unit_test(waits_for_the_end_of_a_line),
        cmocka_unit_test(follows_a_renamed_file),
        cmocka_unit_test(goes_on_after_a_restart),
        cmocka_unit_test(begins_at_the_end_if_told),
        cmocka_unit_test(notices_an_emptied_file),
        cmocka_unit_test(does_not_read_copies),
        cmocka_unit_test(reads_packed_files_once),
        cmocka_unit_test(knows_a_file_by_the_name_it_had_before_it_was_packed),
        cmocka_unit_test(reads_one_of_two_that_are_the_same),
        cmocka_unit_test(knows_what_was_read_though_numbers_are_given_anew),
        cmocka_unit_test(knows_a_copy_by_those_that_had_its_name_later),
        cmocka_unit_test(unpacks_what_was_plain_before),
        cmocka_unit_test(finds_files_that_come_later),
        cmocka_unit_test(survives_a_sink_that_refuses_and_fails),
        cmocka_unit_test(cuts_what_is_longer_than_a_record_may_be),
        cmocka_unit_test(knows_many_files_with_few_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

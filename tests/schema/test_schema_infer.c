/** Formats that nobody named: headers found by what is constant, types found by values, fields that
 * come later. */
#include "schema_test.h"

enum { MANY = 40 };

typedef struct made {
    char text[MANY][400];
    const char *lines[MANY];
} made;

/* MANY lines from a printf format with one number. */
static void make_lines(made *m, const char *const *shapes, size_t shape_count)
{
    for (size_t i = 0; i < MANY; i++) {
        const char *shape = shapes[i % shape_count];
        size_t n = 0;
        for (const char *p = shape; *p && n + 24 < sizeof m->text[i]; p++) {
            if (*p == '#')
                n += (size_t)snprintf(m->text[i] + n, sizeof m->text[i] - n, "%02zu", 10 + i % 50);
            else if (*p == '~')
                n += (size_t)snprintf(m->text[i] + n, sizeof m->text[i] - n, "%zu", 100 + i * 37);
            else
                m->text[i][n++] = *p;
        }
        m->text[i][n] = 0;
        m->lines[i] = m->text[i];
    }
}

static void headers_of_unknown_programs_are_found(void **state)
{
    (void)state;

    static const struct header {
        const char *shapes[3];
        const char *pattern, *time, *level, *message;
    } headers[] = {
        {{"2026-10-18 18:01:#,978 INFO [main] org.acme.Server: accepted ~ bytes",
          "2026-10-18 18:01:#,978 WARN [pool-~] org.acme.db.Pool: slow",
          "2026-10-18 18:01:#,978 ERROR [main] org.acme.Server: it broke"},
         "%{timestamp:time} %{level:level} [%{thread:bracket}] %{logger:word}: %m",
         "2026-10-18 18:01:10,978",
         "INFO",
         "accepted 100 bytes"},
        {{"[2026-10-18 18:01:#] info: started ~ workers", "[2026-10-18 18:01:#] error: gave up",
          "[2026-10-18 18:01:#] debug: x=~"},
         "[%{timestamp:time}] %{level:level}: %m",
         "2026-10-18 18:01:10",
         "info",
         "started 100 workers"},
        {{"2026-10-18T18:01:#.125Z - billing - DEBUG - charged ~",
          "2026-10-18T18:01:#.125Z - users - INFO - hello there",
          "2026-10-18T18:01:#.125Z - billing - INFO - (none)"},
         "%{timestamp:time} - %{field:word} - %{level:level} - %m",
         "2026-10-18T18:01:10.125Z",
         "DEBUG",
         "charged 100"},
        {{"18:01:#.125|net|~|opened a socket", "18:01:#.125|disk|~|wrote ~",
          "18:01:#.125|net|~|closed"},
         "%{timestamp:time}|%{field:word}|%{pid:int}|%m",
         "18:01:10.125",
         NULL,
         "opened a socket"},
        {{"ERROR [worker-~] acme.jobs.Runner - job ~ failed",
          "INFO [worker-~] acme.jobs.Queue - empty", "INFO [worker-~] acme.jobs.Queue - has jobs"},
         "%{level:level} [%{thread:bracket}] %{logger:word} - %m",
         NULL,
         "ERROR",
         "job 100 failed"},
        {{"2026/10/18 18:01:# starting ~", "2026/10/18 18:01:# listening: ok",
          "2026/10/18 18:01:# bye"},
         "%{timestamp:time} %m",
         "2026/10/18 18:01:10",
         NULL,
         "starting 100"},
        {{"[2026-10-18 18:01:#,123: WARNING/MainProcess] queue ~ is long",
          "[2026-10-18 18:01:#,123: INFO/Worker-1] done",
          "[2026-10-18 18:01:#,123: INFO/MainProcess] task ~"},
         "[%{timestamp:time}: %{level:word}/%{thread:bracket}] %m",
         "2026-10-18 18:01:10,123",
         "WARNING",
         "queue 100 is long"},
        {{"[18:01:#] [Server thread/INFO]: player ~ joined",
          "[18:01:#] [Worker-Main-2/WARN]: too slow", "[18:01:#] [Server thread/ERROR]: no"},
         "[%{timestamp:time}] [%{thread:last}/%{level:level}]: %m",
         "18:01:10",
         "INFO",
         "player 100 joined"},
        {{"[2026-10-18 18:01:#.002][12][error][upstream] no host ~",
          "[2026-10-18 18:01:#.002][14][info][main] started",
          "[2026-10-18 18:01:#.002][13][info][main] drain ~"},
         "[%{timestamp:time}][%{pid:int}][%{level:level}][%{thread:bracket}] %m",
         "2026-10-18 18:01:10.002",
         "error",
         "no host 100"},
        {{"2026-10-18T18:01:#.125Z  INFO acme::net::tcp: accepted ~",
          "2026-10-18T18:01:#.125Z  WARN acme::db: slow: ~ ms",
          "2026-10-18T18:01:#.125Z ERROR acme::db: it broke"},
         "%{timestamp:time} %{level:level} %{logger:word}: %m",
         "2026-10-18T18:01:10.125Z",
         "INFO",
         "accepted 100"},
        {{"[2026-10-18 18:01:#] production.ERROR: no route ~",
          "[2026-10-18 18:01:#] production.INFO: mail sent",
          "[2026-10-18 18:01:#] local.DEBUG: query ~"},
         "[%{timestamp:time}] %{app}.%{level:level}: %m",
         "2026-10-18 18:01:10",
         "ERROR",
         "no route 100"},
        {{"[2026-10-18T18:01:#.125+0000] {runner.py:~} INFO - task ~",
          "[2026-10-18T18:01:#.125+0000] {dagbag.py:~} ERROR - broken",
          "[2026-10-18T18:01:#.125+0000] {runner.py:~} INFO - done"},
         "[%{timestamp:time}] {%{context}} %{level:level} - %m",
         "2026-10-18T18:01:10.125+0000",
         "INFO",
         "task 100"},
        {{"2026.10.18 18:01:#.125000 [ ~ ] {} <Error> Merger: part ~ is broken",
          "2026.10.18 18:01:#.125000 [ ~ ] {} <Information> App: ready",
          "2026.10.18 18:01:#.125000 [ ~ ] {} <Debug> Merger: ~ parts"},
         "%{timestamp:time} [% %{pid:int}% ] {%{context}} <%{level:level}> %{logger:word}: %m",
         "2026.10.18 18:01:10.125000",
         "Error",
         "part 100 is broken"},
        {{"\x1b[2m2026-10-18 18:01:#\x1b[0m \x1b[1;31mERROR\x1b[0m lost ~",
          "\x1b[2m2026-10-18 18:01:#\x1b[0m \x1b[32mINFO\x1b[0m found it",
          "\x1b[2m2026-10-18 18:01:#\x1b[0m \x1b[33mWARN\x1b[0m ~ left"},
         "% %{timestamp:time} %{level:level} %m",
         "2026-10-18 18:01:10",
         "ERROR",
         "lost 100"},
        {{"18.10.2026 18:01:# *INFO* [main] started ~", "18.10.2026 18:01:# *WARN* [main] slow",
          "18.10.2026 18:01:# *ERROR* [pool-~] it broke"},
         "%{timestamp:time} *%{level:level}* [%{thread:bracket}] %m",
         "18.10.2026 18:01:10",
         "INFO",
         "started 100"},
        {{"<I>2026-10-18 18:01:#.125 started ~", "<W>2026-10-18 18:01:#.125 slow",
          "<E>2026-10-18 18:01:#.125 it broke"},
         "<%{level:letter}>%{timestamp:time} %m",
         "2026-10-18 18:01:10.125",
         "I",
         "started 100"},
        {{"[~]{~} 2026-10-18 18:01:#.125 i started ~", "[~]{~} 2026-10-18 18:01:#.125 w slow",
          "[~]{~} 2026-10-18 18:01:#.125 e it broke"},
         "[%{id:int}]{%{context}} %{timestamp:time} %{level:letter} %m",
         "2026-10-18 18:01:10.125",
         "i",
         "started 100"},
        {{"Sun Oct 18 18:01:# 2026 daemon.info app[~]: started",
          "Sun Oct 18 18:01:# 2026 auth.err sshd[~]: no",
          "Sun Oct 18 18:01:# 2026 local0.warn app[~]: slow"},
         "%{timestamp:time} %{app}.%{level:level} %{app2:word}[%{pid:int}]: %m",
         "Sun Oct 18 18:01:10 2026",
         "info",
         "started"},
        {{" INFO: [Oct 18 18:01:#.125] started ~", " WARN: [Oct 18 18:01:#.125] slow",
          "ERROR: [Oct 18 18:01:#.125] it broke"},
         "% %{level:level}: [%{timestamp:time}] %m",
         "Oct 18 18:01:10.125",
         "INFO",
         "started 100"},
        {{"*Oct 18 18:01:#.125: %LINK-3-UPDOWN: it is ~",
          "*Oct 18 18:01:#.125: %SYS-5-CONFIG_I: by ~",
          ".Oct 18 18:01:#.125: %LINK-3-UPDOWN: it is ~"},
         "%(*%|.%|%)%{timestamp:time}: %{app:word}: %m",
         "Oct 18 18:01:10.125",
         "3",
         "it is 100"},
        {{"~ info using ~", "~ warn old lock file", "~ error code ~"},
         "%{id:int} %{level:level} %m",
         NULL,
         "info",
         "using 100"},
    };

    for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
        made m;
        world w;
        world_open(&w);
        make_lines(&m, headers[h].shapes, 3);
        world_learn(&w, m.lines, MANY);
        assert_true(lm_schema_format_count(w.schema) >= 1);
        expect_text("pattern", lm_schema_format_at(w.schema, 0).pattern, headers[h].pattern);
        assert_int_equal(lm_schema_format_at(w.schema, 0).lines, MANY);
        world_parse(&w, m.lines[0]);
        expect_role(&w, "timestamp", w.fields.timestamp, headers[h].time);
        expect_role(&w, "level", w.fields.level, headers[h].level);
        expect_role(&w, "message", w.fields.message, headers[h].message);
        world_close(&w);
    }
}

/* A level that no format has a place for, at the begin of a message. */
static void messages_open_with_their_level(void **state)
{
    (void)state;
    static const char *const shapes[] = {"Oct 18 18:01:# mail smtpd[~]: warning: no name for ~",
                                         "Oct 18 18:01:# mail smtpd[~]: connect from ~",
                                         "Oct 18 18:01:# mail qmgr[~]: fatal: out of memory"};

    static const struct {
        const char *line, *level;
    } cases[] = {
        {"Oct 18 18:01:00 mail smtpd[12]: warning: no name for 7", "warning"},
        {"Oct 18 18:01:00 mail smtpd[12]: fatal: out of memory", "fatal"},
        {"Oct 18 18:01:00 mail app[12]: [error] it broke", "error"},
        {"Oct 18 18:01:00 mail app[12]: <Notice> ready", "Notice"},
        {"Oct 18 18:01:00 mail app[12]: ##[error]it broke", "error"},
        {"Oct 18 18:01:00 mail cc[12]: src/a.c:17:3: warning: unused x", "warning"},
        {"src/a.c:17:3: error: unknown type", "error"},
        {"Oct 18 18:01:00 mail app[12]: ERROR it broke", "ERROR"},
        {"Oct 18 18:01:00 mail app[12]: Error it is not", NULL},
        {"Oct 18 18:01:00 mail app[12]: note: the log is long", NULL},
        {"Oct 18 18:01:00 mail app[12]: connect from 7", NULL},
    };

    made m;
    world w;
    world_open(&w);
    make_lines(&m, shapes, 3);
    world_learn(&w, m.lines, MANY);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_parse(&w, cases[i].line);
        expect_role(&w, "level", w.fields.level, cases[i].level);
    }
    world_close(&w);
}

/* CSV that no line explains: time, level and text are known by what is in them. */
static void rows_without_a_header_have_their_time(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "\"2026-10-18 18:01:#\",\"INFO\",\"shop\",\"order ~, paid \"\"in full\"\"\"",
        "\"2026-10-18 18:01:#\",\"ERROR\",\"cart\",\"no such item: ~\""};
    made m;
    world w;
    world_open(&w);
    make_lines(&m, shapes, 2);
    world_learn(&w, m.lines, MANY);
    world_parse(&w, m.lines[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-10-18 18:01:11");
    expect_role(&w, "level", w.fields.level, "ERROR");
    expect_role(&w, "message", w.fields.message, "no such item: 137");
    assert_int_equal(w.fields.count, 4);
    world_close(&w);
}

static void optional_parts_make_one_format(void **state)
{
    (void)state;
    static const char *const shapes[] = {"INFO acme.compute [req-~] [instance: i-~] started",
                                         "INFO acme.compute [req-~] idle for # s",
                                         "WARNING acme.compute.db [-] [instance: i-~] slow"};
    made m;
    world w;
    world_open(&w);
    make_lines(&m, shapes, 3);
    world_learn(&w, m.lines, MANY);
    assert_int_equal(lm_schema_format_count(w.schema), 1);
    world_parse(&w, m.lines[0]);
    expect_field(&w, "instance", "i-100");
    expect_role(&w, "message", w.fields.message, "started");
    world_parse(&w, m.lines[1]);
    assert_null(world_field(&w, "instance").ptr);
    expect_role(&w, "message", w.fields.message, "idle for 11 s");
    world_close(&w);
}

static void free_text_has_only_a_message(void **state)
{
    (void)state;
    static const char *const shapes[] = {"the quick brown fox ~", "jumps over",
                                         "a lazy dog, and then # more"};
    made m;
    world w;
    world_open(&w);
    make_lines(&m, shapes, 3);
    world_learn(&w, m.lines, MANY);
    assert_int_equal(lm_schema_format_count(w.schema), 0);
    world_parse(&w, m.lines[0]);
    assert_int_equal(w.fields.count, 1);
    assert_int_equal(w.fields.format, -1);
    expect_field(&w, "message", m.lines[0]);
    expect_text("signature", lm_schema_signature(w.schema), "text");
    world_close(&w);
}

static void types_come_from_the_values(void **state)
{
    (void)state;

    static const struct column {
        const char *name, *type, *detail;
    } columns[] = {{"n", "int", ""},
                   {"ratio", "decimal", ""},
                   {"sha", "hex", ""},
                   {"id", "uuid", ""},
                   {"from", "ipv4", "IPv4 and IPv6"},
                   {"url", "url", ""},
                   {"file", "path", ""},
                   {"took", "duration", "milliseconds"},
                   {"size", "size", "kilobytes"},
                   {"ok", "bool", ""},
                   {"kind", "enum", "red, blue"},
                   {"none", "null", ""},
                   {"at", "time", "%Y-%m-%dT%H:%M:%SZ"},
                   {"text", "text", ""}};

    char text[MANY][600];
    const char *lines[MANY];
    world w;
    world_open(&w);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(
            text[i], sizeof text[i],
            "{\"n\":%zu,\"ratio\":%zu.5,\"sha\":\"%08zxdeadbeef\",\"id\":\"123e4567-e89b-12d3-a456-"
            "4266141740%02zu\",\"from\":\"%s\","
            "\"url\":\"https://example.com/%zu\",\"file\":\"/var/log/"
            "%zu.log\",\"took\":\"%zums\",\"size\":\"%zu KB\",\"ok\":%s,\"kind\":\"%s\","
            "\"none\":null,\"at\":\"2026-10-18T18:01:%02zuZ\",\"text\":\"number %zu of many\"}",
            i, i, i * 7919, i + 10, i % 2 ? "2001:db8::7" : "192.0.2.1", i, i, i + 1, i + 1,
            i % 3 ? "true" : "false", i % 4 ? "red" : "blue", i + 10, i);
        lines[i] = text[i];
    }
    lines[0] = text[1]; /* the first value of kind is red */
    world_learn(&w, lines, MANY);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        lm_schema_field field = world_known(&w, columns[i].name);
        if (strcmp(lm_type_name(field.type), columns[i].type) != 0)
            fail_msg("%s is %s, not %s", columns[i].name, lm_type_name(field.type),
                     columns[i].type);
        expect_text(columns[i].name, field.detail, columns[i].detail);
        assert_int_equal(field.count, MANY);
    }
    assert_int_equal(world_known(&w, "n").distinct, MANY - 1);
    assert_int_equal(world_known(&w, "kind").distinct, 2);
    expect_text("example", world_known(&w, "kind").examples[0], "red");
    world_parse(&w, lines[2]);
    assert_int_equal(w.fields.items[0].type, LM_TYPE_INT);
    world_close(&w);
}

static void many_distinct_values_are_estimated(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    for (size_t i = 0; i < 20000; i += 100) {
        char text[100][32];
        const char *lines[100];
        for (size_t k = 0; k < 100; k++) {
            snprintf(text[k], sizeof text[k], "{\"n\":%zu,\"m\":%zu}", i + k, (i + k) % 50);
            lines[k] = text[k];
        }
        world_learn(&w, lines, 100);
    }
    uint64_t distinct = world_known(&w, "n").distinct;
    assert_in_range(distinct, 14000, 26000);
    assert_int_equal(world_known(&w, "m").distinct, 50); /* exact while few */
    world_close(&w);
}

static void new_fields_and_formats_appear_later(void **state)
{
    (void)state;
    static const char *const first[] = {"{\"a\":1}", "{\"a\":2}"};
    static const char *const later[] = {
        "{\"a\":3,\"b\":{\"c\":\"x\"}}", "Oct 10 13:55:36 web sshd[42]: hello",
        "Oct 10 13:55:37 web sshd[42]: hello again", "Oct 10 13:55:38 web sshd[43]: and again"};
    world w;
    world_open(&w);
    world_learn(&w, first, 2);
    world_parse(&w, later[0]); /* not known yet, found all the same */
    expect_field(&w, "b.c", "x");
    world_parse(&w, later[1]);
    assert_int_equal(w.fields.format, -1);
    for (int i = 0; i < 12; i++)
        world_learn(&w, later, 4);
    assert_int_equal(world_known(&w, "b.c").count, 12);
    world_parse(&w, later[1]);
    expect_text("format", world_format(&w), "syslog3164");
    world_close(&w);
}

/* JSON in text in CSV, text with a header in that JSON; JSON in JSON. */
static void what_is_nested_is_taken_apart(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "2026-01-29T08:59:#Z,pod-~,\"{\"\"log\"\":\"\"16:59:#.315 INFO  acme.Travel TraceID: "
        "96b4037808250b1fd21cbd435e~d say \\\"\"hi\\\"\"\\n\"\",\"\"n\"\":~}\"",
        "2026-01-29T08:59:#Z,pod-~,\"{\"\"log\"\":\"\"16:59:#.315 ERROR acme.Food TraceID: "
        "96b4037808250b1fd21cbd435e~a gone\\n\"\",\"\"n\"\":~}\""};
    made m;
    world w;
    world_open(&w);
    make_lines(&m, shapes, 2);
    m.lines[0] = "Timestamp,Pod,Log";
    world_learn(&w, m.lines, MANY);
    world_parse(&w, m.lines[2]);
    expect_text("format", world_format(&w), "csv");
    expect_field(&w, "Log.n", "174");
    expect_field(&w, "logger", "acme.Travel");
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-01-29T08:59:12Z");
    expect_role(&w, "level", w.fields.level, "INFO");
    expect_role(&w, "message", w.fields.message, "say \\\"\"hi\\\"\"\\n");
    world_close(&w);

    static const char *const inside[] = {
        "{\"stream\":\"stdout\",\"log\":\"{\\\"level\\\":\\\"warn\\\",\\\"msg\\\":\\\"a "
        "\\\\\\\"b\\\\\\\"\\\",\\\"k\\\":[1]}\\n\",\"time\":\"2026-01-29T08:59:12Z\"}",
        "{\"stream\":\"stdout\",\"log\":\"{\\\"level\\\":\\\"info\\\",\\\"msg\\\":\\\"c\\\","
        "\\\"k\\\":[2]}\\n\",\"time\":\"2026-01-29T08:59:13Z\"}"};
    world_open(&w);
    world_learn(&w, inside, 2);
    world_parse(&w, inside[0]);
    expect_field(&w, "log.k[0]", "1");
    expect_role(&w, "level", w.fields.level, "warn");
    expect_role(&w, "message", w.fields.message, "a \\\\\\\"b\\\\\\\"");
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-01-29T08:59:12Z");
    world_close(&w);

    static const char *const text[] = {
        "2026-01-29 08:59:12,001 DEBUG Completed request:{\"id\":7,\"client\":{\"name\":\"x\"}} "
        "(acme.request.Log)",
        "2026-01-29 08:59:12,002 DEBUG Completed request:{\"id\":8,\"client\":{\"name\":\"y\"}} "
        "(acme.request.Log)",
        "2026-01-29 08:59:12,003 INFO Started (acme.Main)",
        "2026-01-29 08:59:12,004 INFO Stopped (acme.Main)"};
    world_open(&w);
    world_learn(&w, text, 4);
    world_parse(&w, text[0]);
    expect_field(&w, "client.name", "x");
    expect_field(&w, "logger", "acme.request.Log");
    expect_role(&w, "message", w.fields.message,
                "Completed request:{\"id\":7,\"client\":{\"name\":\"x\"}}");
    world_close(&w);
}

/* A quoted cell may hold line ends; its row begins before them. */
static void rows_go_on_in_the_lines_below(void **state)
{
    (void)state;
    static const char *const named[] = {"id,created_at,severity,text",
                                        "1,2026-01-02T03:04:05Z,warn,\"first",
                                        "and the rest\"",
                                        "2,2026-01-02T03:04:06Z,info,short",
                                        "3,2026-01-02T03:04:07Z,info,\"also",
                                        "on two, \"\"lines\"\"\""};
    static const char *const bare[] = {
        "2026-01-02 03:04:05.123 UTC,\"app\",\"db\",7,LOG,\"started\",,9",
        "2026-01-02 03:04:06.123 UTC,\"app\",\"db\",7,ERROR,\"no \"\"x\"\"\",\"SELECT",
        "  FROM x\",9",
        "2026-01-02 03:04:07.123 UTC,\"app\",\"db\",8,LOG,\"stopped\",,9",
        "2026-01-02 03:04:08.123 UTC,\"app\",\"db\",8,LOG,\"started\",,9",
        "2026-01-02 03:04:09.123 UTC,\"app\",\"db\",8,WARNING,\"slow\",,9",
        "2026-01-02 03:04:10.123 UTC,\"app\",\"db\",8,LOG,\"ready\",,9",
        "2026-01-02 03:04:11.123 UTC,\"app\",\"db\",8,LOG,\"stopped\",,9"};
    world w;
    world_open(&w);
    world_learn(&w, named, 6);
    world_parse(&w, named[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-01-02T03:04:05Z");
    expect_role(&w, "level", w.fields.level, "warn");
    expect_field(&w, "text", "first");
    world_parse(&w, named[2]);
    assert_int_equal(w.fields.format, -1);
    world_close(&w);
    world_open(&w);
    world_learn(&w, bare, 8);
    world_parse(&w, bare[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-01-02 03:04:06.123 UTC");
    expect_role(&w, "level", w.fields.level, "ERROR");
    world_close(&w);
}

/* Words under a header of words, one of them the name of a time. */
static void columns_may_be_apart_by_blanks(void **state)
{
    (void)state;
    static const char *const flow[] = {"version interface srcaddr dstaddr packets start end action",
                                       "2 eni-1 10.0.0.1 10.0.0.2 7 1791411255 1791411315 ACCEPT",
                                       "2 eni-1 10.0.0.3 10.0.0.2 9 1791411256 1791411316 REJECT"};
    static const char *const prose[] = {"start of the story that we tell",
                                        "there was a house in a wood",
                                        "and it had a very red roof"};
    world w;
    world_open(&w);
    world_learn(&w, flow, 3);
    world_parse(&w, flow[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, "1791411255");
    expect_field(&w, "action", "ACCEPT");
    world_close(&w);
    world_open(&w);
    world_learn(&w, prose, 3);
    world_parse(&w, prose[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, NULL);
    world_close(&w);
}

/* A record's time may be that of the first element of an array. */
static void first_elements_have_the_time(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"logs\":[{\"records\":[{\"timeUnixNano\":\"1791411255123000000\",\"severityText\":"
        "\"WARN\"},"
        "{\"timeUnixNano\":\"1791411256123000000\",\"severityText\":\"INFO\"}]}]}",
        "{\"logs\":[{\"records\":[{\"timeUnixNano\":\"1791411257123000000\",\"severityText\":"
        "\"INFO\"}]}]}"};
    world w;
    world_open(&w);
    world_learn(&w, lines, 2);
    world_parse(&w, lines[0]);
    expect_role(&w, "timestamp", w.fields.timestamp, "1791411255123000000");
    expect_role(&w, "level", w.fields.level, "WARN");
    world_close(&w);
}

static void rows_have_named_cells(void **state)
{
    (void)state;
    static const char *const w3c[] = {"#Fields: date time s-ip cs-method sc-status time-taken",
                                      "2026-01-02 03:04:05 10.0.0.1 GET 200 15",
                                      "2026-01-02 03:04:06 10.0.0.1 GET 404 5"};
    static const char *const zeek[] = {"#separator \\x09", "#fields\tts\tuid\tid.orig_h\trtt",
                                       "#types\ttime\tstring\taddr\tinterval",
                                       "1521911720.865716\tCq5\t10.47.1.100\t0.000870",
                                       "1521911721.865716\tCq6\t10.47.1.101\t-"};
    world w;
    world_open(&w);
    world_learn(&w, w3c, 3);
    world_parse(&w, w3c[1]);
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-01-02 03:04:05");
    expect_field(&w, "cs-method", "GET");
    expect_field(&w, "time-taken", "15");
    world_close(&w);
    world_open(&w);
    world_learn(&w, zeek, 5);
    world_parse(&w, zeek[3]);
    expect_role(&w, "timestamp", w.fields.timestamp, "1521911720.865716");
    assert_int_equal(world_known(&w, "rtt").type, LM_TYPE_DURATION);
    expect_text("unit", world_known(&w, "rtt").detail, "seconds");
    assert_int_equal(world_known(&w, "ts").type, LM_TYPE_TIME);
    expect_text("layout", world_known(&w, "ts").detail, "epoch seconds");
    world_parse(&w, zeek[4]);
    assert_int_equal(w.fields.items[3].type, LM_TYPE_NULL);
    world_close(&w);
}

/* Same format, other values: same signature; another format: another one. */
static void signatures_tell_formats_not_values(void **state)
{
    (void)state;
    static const char *const shapes[2][3] = {
        {"2026-10-18 18:01:#,978 INFO [main] org.acme.Server: accepted ~ bytes",
         "2026-10-18 18:01:#,978 WARN [pool-~] org.acme.db.Pool: slow",
         "2026-10-18 18:01:#,978 ERROR [main] org.acme.Server: it broke"},
        {"2024-01-02 03:04:#,001 DEBUG [exec-~] com.other.Thing: nothing",
         "2024-01-02 03:04:#,001 INFO [exec-~] com.other.Foo: ~ of #",
         "2024-01-02 03:04:#,001 INFO [x] com.other.Bar: ok"}};
    made m;
    char signature[2][128];
    for (size_t i = 0; i < 2; i++) {
        world w;
        world_open(&w);
        make_lines(&m, shapes[i], 3);
        world_learn(&w, m.lines, MANY);
        lm_str s = lm_schema_signature(w.schema);
        assert_in_range(s.len, 3, 120);
        snprintf(signature[i], sizeof signature[i], "%.*s", (int)s.len, (const char *)s.ptr);
        world_close(&w);
    }
    assert_string_equal(signature[0], signature[1]);
    world w;
    world_open(&w);
    world_learn(&w, (const char *const[]){"{\"ts\":1,\"msg\":\"x\"}", "{\"ts\":2,\"msg\":\"y\"}"},
                2);
    lm_str s = lm_schema_signature(w.schema);
    assert_false(lm_str_equal(s, lm_str_of(signature[0])));
    world_close(&w);
}

/* Of a long head only parts are read, but what is new in a part brings its block. */
static void a_long_head_is_read_in_part(void **state)
{
    (void)state;

    enum { HEAD = 3000, CHANGE = 1800 };

    static char text[HEAD][96];
    static lm_str lines[HEAD];
    lm_schema *whole;
    world w;
    world_open(&w);
    for (unsigned i = 0; i < HEAD; i++) {
        int n = i < CHANGE
                    ? snprintf(text[i], sizeof text[i],
                               "2024-01-02 03:04:%02u,%03u INFO [x-%u] org.a.B: done %u", i % 60,
                               i % 1000, i % 7, i)
                    : snprintf(text[i], sizeof text[i],
                               "{\"ts\":1712%06u,\"level\":\"warn\",\"n%u\":%u}", i, i % 3, i);
        lines[i] = (lm_str){(const uint8_t *)text[i], (size_t)n};
    }
    assert_int_equal(lm_schema_new(w.mem, &whole), LM_OK);
    assert_int_equal(lm_schema_learn(whole, lines, HEAD), LM_OK);
    assert_int_equal(lm_schema_learn_head(w.schema, lines, HEAD), LM_OK);
    assert_true(lm_schema_line_count(w.schema) < HEAD * 2 / 3);
    assert_int_equal(lm_schema_format_count(w.schema), lm_schema_format_count(whole));
    for (size_t i = 0; i < lm_schema_format_count(whole); i++) {
        lm_schema_format a = lm_schema_format_at(whole, i), b = lm_schema_format_at(w.schema, i);
        assert_true(lm_str_equal(a.pattern, b.pattern));
        assert_int_equal(a.field_count, b.field_count);
    }
    lm_schema_free(whole);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_unknown_programs_are_found),
        cmocka_unit_test(messages_open_with_their_level),
        cmocka_unit_test(rows_without_a_header_have_their_time),
        cmocka_unit_test(optional_parts_make_one_format),
        cmocka_unit_test(free_text_has_only_a_message),
        cmocka_unit_test(types_come_from_the_values),
        cmocka_unit_test(many_distinct_values_are_estimated),
        cmocka_unit_test(new_fields_and_formats_appear_later),
        cmocka_unit_test(what_is_nested_is_taken_apart),
        cmocka_unit_test(rows_go_on_in_the_lines_below),
        cmocka_unit_test(columns_may_be_apart_by_blanks),
        cmocka_unit_test(first_elements_have_the_time),
        cmocka_unit_test(rows_have_named_cells),
        cmocka_unit_test(signatures_tell_formats_not_values),
        cmocka_unit_test(a_long_head_is_read_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

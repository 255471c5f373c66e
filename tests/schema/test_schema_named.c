/** Every named format: recognised from a few lines, with the fields, time, level and message that a
 * person would name. */
#include "schema_test.h"

typedef struct expectation {
    const char *name, *value;
} expectation;

typedef struct example {
    const char *format;
    const char *lines[8]; /* learned; the first is looked at */
    expectation fields[12];
    const char *time, *level, *message; /* NULL: none */
} example;

static const example examples[] = {
    {.format = "combined",
     .lines = {"203.0.113.9 - alice [10/Oct/2026:13:55:36 +0200] \"GET /shop?id=7 HTTP/1.1\" 200 "
               "2326 \"https://example.com/\" \"Mozilla/5.0 (X11; \\\"q\\\")\"",
               "198.51.100.2 - - [10/Oct/2026:13:55:37 +0200] \"\\x16\\x03\" 400 150 \"-\" \"-\""},
     .fields = {{"client", "203.0.113.9"},
                {"user", "alice"},
                {"method", "GET"},
                {"path", "/shop?id=7"},
                {"protocol", "HTTP/1.1"},
                {"status", "200"},
                {"bytes", "2326"},
                {"referer", "https://example.com/"},
                {"user_agent", "Mozilla/5.0 (X11; \\\"q\\\")"}},
     .time = "10/Oct/2026:13:55:36 +0200"},
    {.format = "combined",
     .lines = {"203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / HTTP/2.0\" 200 12 \"-\" "
               "\"curl/8\" rt=0.004 id=d44435ba527b4324"},
     .fields = {{"status", "200"}, {"rt", "0.004"}, {"id", "d44435ba527b4324"}},
     .time = "10/Oct/2026:13:55:36 +0200"},
    {.format = "vhost_combined",
     .lines = {"www.example.com:443 203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / "
               "HTTP/1.1\" 200 12 \"-\" \"curl/8\""},
     .fields = {{"vhost", "www.example.com"},
                {"port", "443"},
                {"client", "203.0.113.9"},
                {"status", "200"}},
     .time = "10/Oct/2026:13:55:36 +0200"},
    {.format = "common",
     .lines = {"203.0.113.9 - frank [10/Oct/2026:13:55:36 +0200] \"GET /a.gif HTTP/1.0\" 304 -"},
     .fields = {{"user", "frank"}, {"path", "/a.gif"}, {"status", "304"}, {"bytes", "-"}},
     .time = "10/Oct/2026:13:55:36 +0200"},
    {.format = "nginx_error",
     .lines = {"2026/11/23 13:40:17 [error] 29770#29771: *8 connect() failed (111: Connection "
               "refused) while connecting to upstream, "
               "client: 203.0.113.1, server: example.com, request: \"GET /a/84 HTTP/1.1\", "
               "upstream: \"http://127.0.0.1:8099/a\", "
               "host: \"www.example.com\", referrer: \"https://www.example.com/t\"",
               "2026/11/23 13:40:13 [notice] 29767#29767: using the \"epoll\" event method"},
     .fields = {{"pid", "29770"},
                {"tid", "29771"},
                {"connection", "8"},
                {"client", "203.0.113.1"},
                {"server", "example.com"},
                {"method", "GET"},
                {"path", "/a/84"},
                {"upstream", "http://127.0.0.1:8099/a"},
                {"host", "www.example.com"},
                {"referer", "https://www.example.com/t"}},
     .time = "2026/11/23 13:40:17",
     .level = "error",
     .message = "connect() failed (111: Connection refused) while connecting to upstream"},
    {.format = "apache_error",
     .lines =
         {"[Sun Dec 04 04:47:44 2005] [error] [client 203.0.113.5] File does not exist: /var/www/x",
          "[Sun Dec 04 04:47:45 2005] [notice] workerEnv.init() ok",
          "[Sun Dec 04 04:47:46 2005] [notice] done"},
     .fields = {{"client", "203.0.113.5"}},
     .time = "Sun Dec 04 04:47:44 2005",
     .level = "error",
     .message = "File does not exist: /var/www/x"},
    {.format = "apache_error",
     .lines = {"[Fri Oct 09 14:32:52.123456 2026] [core:error] [pid 35708:tid 4328636416] [client "
               "203.0.113.5:52110] AH00128: File does not exist: /x",
               "[Fri Oct 09 14:32:53.123456 2026] [mpm_event:notice] [pid 1] AH00489: Apache "
               "configured"},
     .fields = {{"module", "core"},
                {"pid", "35708"},
                {"tid", "4328636416"},
                {"client", "203.0.113.5:52110"},
                {"code", "AH00128"}},
     .time = "Fri Oct 09 14:32:52.123456 2026",
     .level = "error",
     .message = "File does not exist: /x"},
    {.format = "syslog3164",
     .lines = {"<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed for lonvick on /dev/pts/8",
               "<13>Oct 11 22:14:16 mymachine cron: job done",
               "<13>Oct 11 22:14:17 mymachine last message repeated 2 times"},
     .fields = {{"host", "mymachine"}, {"app", "su"}, {"pid", "230"}},
     .time = "Oct 11 22:14:15",
     .level = "<34>",
     .message = "'su root' failed for lonvick on /dev/pts/8"},
    {.format = "syslog3164",
     .lines = {"Jun  9 06:06:20 combo sshd(pam_unix)[19939]: check pass; user unknown",
               "Jun  9 06:06:21 combo kernel: eth0 up"},
     .fields = {{"host", "combo"}, {"app", "sshd(pam_unix)"}, {"pid", "19939"}},
     .time = "Jun  9 06:06:20",
     .message = "check pass; user unknown"},
    {.format = "syslog5424",
     .lines = {"<165>1 2026-10-11T22:14:15.003Z mymachine.example.com evntslog 77 ID47 "
               "[exampleSDID@32473 iut=\"3\" src=\"App\"] An event",
               "<34>1 2026-10-11T22:14:16.003Z host su - - - done", "<34>1 - host su - - -"},
     .fields = {{"version", "1"},
                {"host", "mymachine.example.com"},
                {"app", "evntslog"},
                {"pid", "77"},
                {"msgid", "ID47"},
                {"structured_data", "exampleSDID@32473 iut=\"3\" src=\"App\""}},
     .time = "2026-10-11T22:14:15.003Z",
     .level = "<165>",
     .message = "An event"},
    {.format = "klog",
     .lines = {"I0507 12:04:17.597069       1 descheduler.go:169] \"Number of evicted pods\" "
               "totalEvicted=0 node=\"n 1\"",
               "E0507 12:04:18.597069       7 x.go:1] failed to list: no"},
     .fields = {{"tid", "1"},
                {"source", "descheduler.go"},
                {"line", "169"},
                {"totalEvicted", "0"},
                {"node", "n 1"}},
     .time = "0507 12:04:17.597069",
     .level = "I",
     .message = "\"Number of evicted pods\" totalEvicted=0 node=\"n 1\""},
    {.format = "go_log",
     .lines = {"2026/10/10 13:55:36 main.go:42: [WARN] slow: 17 ms"},
     .fields = {{"source", "main.go"}, {"line", "42"}},
     .time = "2026/10/10 13:55:36",
     .level = "WARN",
     .message = "slow: 17 ms"},
    {.format = "php_error",
     .lines = {"[10-Oct-2026 13:55:36 Europe/Berlin] PHP Fatal error:  Uncaught Exception: no in "
               "/var/www/a.php:7"},
     .fields = {{"zone", "Europe/Berlin"}},
     .time = "10-Oct-2026 13:55:36",
     .level = "Fatal error",
     .message = "Uncaught Exception: no in /var/www/a.php:7"},
    {.format = "klog",
     .lines = {"E261010 13:55:36.508750 1173 server/node.go:529 ⋮ [n1] lost 3 ranges"},
     .fields = {{"tid", "1173"}, {"source", "server/node.go"}, {"line", "529"}},
     .time = "261010 13:55:36.508750",
     .level = "E",
     .message = "[n1] lost 3 ranges"},
    {.format = "go_log",
     .lines = {"2009/11/10 23:00:00 main.go:23: starting up",
               "2009/11/10 23:00:01 server.go:7: listening on :80",
               "2009/11/10 23:00:02 main.go:29: bye"},
     .fields = {{"source", "main.go"}, {"line", "23"}},
     .time = "2009/11/10 23:00:00",
     .message = "starting up"},
    {.format = "redis",
     .lines = {"31773:M 23 Nov 2026 13:41:35.513 * Ready to accept connections",
               "31773:C 23 Nov 2026 13:41:34.363 # Configuration loaded"},
     .fields = {{"pid", "31773"}, {"role", "M"}},
     .time = "23 Nov 2026 13:41:35.513",
     .level = "*",
     .message = "Ready to accept connections"},
    {.format = "jvm_gc_unified",
     .lines = {"[10.165s][info ][gc,cpu         ] GC(43) User=0.00s Sys=0.00s Real=0.00s",
               "[0.009s][info][gc] Using Parallel"},
     .fields = {{"uptime", "10.165"}, {"tags", "gc,cpu"}},
     .level = "info",
     .message = "GC(43) User=0.00s Sys=0.00s Real=0.00s"},
    {.format = "jvm_gc",
     .lines = {"2014-06-25T00:10:58.039+0000: 0.488: [GC pause (young), 0.01 secs]",
               "2014-06-25T00:10:59.039+0000: 1.488: Total time: 0.1 seconds",
               "2014-06-25T00:11:00.039+0000: 2.488: Total time: 0.1 seconds"},
     .fields = {{"uptime", "0.488"}},
     .time = "2014-06-25T00:10:58.039+0000",
     .message = "[GC pause (young), 0.01 secs]"},
    {.format = "kubernetes_cri",
     .lines = {"2026-10-11T22:14:15.003123456Z stdout F hello there",
               "2026-10-11T22:14:15.003123457Z stderr P part"},
     .fields = {{"stream", "stdout"}, {"tag", "F"}},
     .time = "2026-10-11T22:14:15.003123456Z",
     .message = "hello there"},
    {.format = "logcat",
     .lines = {"03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogs",
               "03-17 16:13:38.819  1702  8671 I am_proc : x"},
     .fields = {{"pid", "1702"}, {"tid", "2395"}, {"tag", "WindowManager"}},
     .time = "03-17 16:13:38.811",
     .level = "D",
     .message = "printFreezingDisplayLogs"},
    {.format = "logcat",
     .lines = {"W/ActivityManager( 1702): Slow operation", "I/dalvikvm( 88): GC"},
     .fields = {{"tag", "ActivityManager"}, {"pid", "1702"}},
     .level = "W",
     .message = "Slow operation"},
    {.format = "postgres",
     .lines =
         {"2026-11-23 13:59:25.564 UTC [19842] postgres@shop/pgbench 6b0446bd.4d82-95 LOG:  "
          "duration: 0.133 ms",
          "2026-11-23 13:59:18.992 UTC [19759] LOG:  starting",
          "2026-11-23 13:59:26.564 UTC [19842] postgres@shop/pgbench 6b0446bd.4d82-96 ERROR:  no"},
     .fields = {{"pid", "19842"},
                {"user", "postgres"},
                {"database", "shop"},
                {"app", "pgbench"},
                {"session", "6b0446bd.4d82"},
                {"session_line", "95"}},
     .time = "2026-11-23 13:59:25.564 UTC",
     .level = "LOG",
     .message = "duration: 0.133 ms"},
    {.format = "postgres",
     .lines = {"2020-03-11 20:41:56 CET:192.168.1.201(50922):gilles@bench:[14389]:LOG:  duration: "
               "0.107 ms",
               "2020-03-11 20:40:43 CET::@:[12760]:LOG:  listening",
               "2020-03-11 20:40:44 CET::@:[12760]:FATAL:  no"},
     .fields = {{"remote", "192.168.1.201(50922)"},
                {"user", "gilles"},
                {"database", "bench"},
                {"pid", "14389"}},
     .time = "2020-03-11 20:41:56 CET",
     .level = "LOG",
     .message = "duration: 0.107 ms"},
    {.format = "postgres",
     .lines =
         {"2026-11-23 13:59:25 UTC [19842]: [3-1] user=alice,db=shop,app=psql,client=203.0.113.4 "
          "ERROR:  relation \"x\" does not exist",
          "2026-11-23 13:59:26 UTC [19842]: [4-1] user=alice,db=shop,app=psql,client=203.0.113.4 "
          "STATEMENT:  select 1",
          "2026-11-23 13:59:27 UTC [1]: [1-1] LOG:  ready"},
     .fields = {{"user", "alice"},
                {"database", "shop"},
                {"client", "203.0.113.4"},
                {"session_line", "3"}},
     .time = "2026-11-23 13:59:25 UTC",
     .level = "ERROR",
     .message = "relation \"x\" does not exist"},
    {.format = "mysql_error",
     .lines = {"2026-08-17T13:25:02.122840Z 0 [Warning] [MY-010055] [Server] option 'x' is old",
               "2026-08-17T13:25:03.122840Z 5 [Note] ready"},
     .fields = {{"thread_id", "0"}, {"code", "MY-010055"}, {"subsystem", "Server"}},
     .time = "2026-08-17T13:25:02.122840Z",
     .level = "Warning",
     .message = "option 'x' is old"},
    {.format = "mysql_general",
     .lines = {"2026-08-17T13:25:02.122840Z\t    1 Query\tSELECT 1",
               "2026-08-17T13:25:02.222840Z\t    1 Init DB\tshop",
               "2026-08-17T13:25:02.3Z\t    1 Quit\t"},
     .fields = {{"thread_id", "1"}, {"command", "Query"}},
     .time = "2026-08-17T13:25:02.122840Z",
     .message = "SELECT 1"},
    {.format = "mongodb",
     .lines =
         {"2019-06-18T11:58:58.382+0100 I CONTROL  [initandlisten] MongoDB starting : pid=7775",
          "2019-06-18T11:58:59.382+0100 W -        [conn1] x"},
     .fields = {{"component", "CONTROL"}, {"context", "initandlisten"}},
     .time = "2019-06-18T11:58:58.382+0100",
     .level = "I",
     .message = "MongoDB starting : pid=7775"},
    {.format = "kernel_ring",
     .lines = {"[    0.004000] smpboot: CPU0: Intel", "[   12.104000] eth0: link up",
               "[   13.104000] usb 1-1: new device"},
     .fields = {{"uptime", "0.004000"}},
     .message = "smpboot: CPU0: Intel"},
    {.format = "audit",
     .lines = {"type=SYSCALL msg=audit(1764500004.005:4000): arch=c000003e syscall=59 comm=\"ls\"",
               "type=CWD msg=audit(1764500004.005:4000): cwd=\"/root\"",
               "node=a type=PROCTITLE msg=audit(1764500005.005:4001): proctitle=6C73"},
     .fields = {{"type", "SYSCALL"}, {"serial", "4000"}, {"syscall", "59"}, {"comm", "ls"}},
     .time = "1764500004.005"},
    {.format = "mysql_slow",
     .lines = {"# Time: 2021-01-26T23:45:57.678222Z", "# Time: 210126 23:45:57",
               "# Time: 210126  3:45:57"},
     .time = "2021-01-26T23:45:57.678222Z"},
    {.format = "python_basic",
     .lines = {"WARNING:root:disk is nearly full", "ERROR:app.db:no connection", "INFO:root:bye"},
     .fields = {{"logger", "root"}},
     .level = "WARNING",
     .message = "disk is nearly full"},
    {.format = "cef",
     .lines = {"Sep 19 08:26:10 host CEF:0|Security|threatmanager|1.0|100|worm "
               "stopped|10|src=10.0.0.1 dst=2.1.2.2 act=was blocked by rule spt=1232"},
     .fields = {{"host", "host"},
                {"device_vendor", "Security"},
                {"device_product", "threatmanager"},
                {"signature_id", "100"},
                {"name", "worm stopped"},
                {"severity", "10"},
                {"src", "10.0.0.1"},
                {"act", "was blocked by rule"},
                {"spt", "1232"}},
     .time = "Sep 19 08:26:10"}, /* 10 is the gravest, and syslog's 0 */
    {.format = "erlang_report",
     .lines = {"=ERROR REPORT==== 7-Oct-2026::22:14:15 ===",
               "=CRASH REPORT==== 7-Oct-2026::22:14:16 ==="},
     .time = "7-Oct-2026::22:14:15",
     .level = "ERROR"},
    {.format = "windows_event",
     .lines = {"<Event xmlns='http://schemas.example.com/event'><System><EventID>4625</EventID>"
               "<TimeCreated SystemTime='2026-10-07T22:14:15.1234567Z'/></System></Event>"},
     .time = "2026-10-07T22:14:15.1234567Z"},
    {.format = "esp_idf",
     .lines = {"W (12345) wifi: beacon lost", "I (12377) wifi: connected to 10.0.0.7"},
     .fields = {{"uptime", "12345"}, {"tag", "wifi"}},
     .level = "W",
     .message = "beacon lost"},
    {.format = "xml_attributes",
     .lines = {"<log4j:event logger=\"org.acme.Db\" timestamp=\"1791411255123\" level=\"WARN\">"},
     .fields = {{"element", "log4j:event"}, {"logger", "org.acme.Db"}},
     .time = "1791411255123",
     .level = "WARN"},
    {.format = "word_pairs",
     .lines = {"AVC apparmor=\"DENIED\" operation=\"ptrace\" pid=36674 comm=\"pid of\"",
               "AVC apparmor=\"DENIED\" operation=\"open\" pid=4 comm=\"x\""},
     .fields = {{"type", "AVC"}, {"operation", "ptrace"}, {"comm", "pid of"}}},
    {.format = "logfmt",
     .lines = {"ts=2026-04-16T15:10:44.103611953Z caller=log.go:168 level=info msg=\"Re-opening "
               "\\\"a\\\"\" err= n=3"},
     .fields = {{"caller", "log.go:168"}, {"err", ""}, {"n", "3"}},
     .time = "2026-04-16T15:10:44.103611953Z",
     .level = "info",
     .message = "Re-opening \\\"a\\\""},
    {.format = "csv",
     .lines = {"time,level,message,user name", "2026-01-02 03:04:05,warn,\"a, \"\"b\"\"\",x",
               "2026-01-02 03:04:06,info,c,y"},
     .time = NULL,
     .message = "time,level,message,user name"},
    {.format = "tsv",
     .lines = {"id\tname\tscore", "1\tann\t2.5", "2\tbob\t3.5"},
     .message = "id\tname\tscore"},
    {.format = "zeek",
     .lines = {"#fields\tts\tuid\tid.orig_h\tid.orig_p\trtt",
               "#types\ttime\tstring\taddr\tport\tinterval",
               "1521911720.865716\tCqKst5\t10.47.1.100\t41772\t0.000870",
               "1521911721.865716\tCqKst6\t10.47.1.100\t41773\t-"},
     .message = "#fields\tts\tuid\tid.orig_h\tid.orig_p\trtt"},
    {.format = "w3c",
     .lines = {"#Fields: date time s-ip cs-method cs-uri-stem sc-status",
               "2026-01-02 03:04:05 10.0.0.1 GET /x 200"},
     .message = "#Fields: date time s-ip cs-method cs-uri-stem sc-status"},
    {.format = "json",
     .lines = {"{\"level\":\"warn\",\"ts\":1795441241.2628992,\"msg\":\"endpoint "
               "off\",\"a\":{\"b\":[1,{\"c\":null},[]]}}"},
     .fields = {{"a.b[0]", "1"}, {"a.b[1].c", "null"}, {"a.b[2]", "[]"}},
     .time = "1795441241.2628992",
     .level = "warn",
     .message = "endpoint off"},
};

static void check_example(const example *e)
{
    world w;
    size_t count = 0;
    world_open(&w);
    while (count < 8 && e->lines[count])
        count++;
    world_learn(&w, e->lines, count);
    for (size_t i = 0; i < count; i++) {
        world_parse(&w, e->lines[i]);
        if (!lm_str_equal(world_format(&w), lm_str_of(e->format)))
            fail_msg("'%s' is taken for '%.*s', not '%s'", e->lines[i], (int)world_format(&w).len,
                     (const char *)world_format(&w).ptr, e->format);
    }
    world_parse(&w, e->lines[0]);
    for (size_t i = 0; i < 12 && e->fields[i].name; i++)
        expect_field(&w, e->fields[i].name, e->fields[i].value);
    expect_role(&w, "timestamp", w.fields.timestamp, e->time);
    expect_role(&w, "level", w.fields.level, e->level);
    expect_role(&w, "message", w.fields.message, e->message);
    world_close(&w);
}

static void every_named_format_is_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++)
        check_example(&examples[i]);
}

/* nginx, JSON and syslog in one stream are told apart line by line. */
static void mixed_streams_are_told_apart(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
        "{\"time\":\"2026-10-10T13:55:36Z\",\"level\":\"info\",\"msg\":\"up\",\"port\":80}",
        "Oct 10 13:55:36 web sshd[42]: Accepted publickey for root",
        "203.0.113.8 - - [10/Oct/2026:13:55:37 +0200] \"GET /b HTTP/1.1\" 404 9 \"-\" \"curl/8\"",
        "\tat org.example.Main.run(Main.java:7)",
        "Oct 10 13:55:38 web kernel: eth0 up",
        "Oct 10 13:55:39 web cron[7]: done",
        "{\"time\":\"2026-10-10T13:55:39Z\",\"level\":\"error\",\"msg\":\"down\",\"port\":80}",
    };
    static const char *const formats[] = {"combined", "json",       "syslog3164", "combined",
                                          "",         "syslog3164", "syslog3164", "json"};
    world w;
    world_open(&w);
    world_learn(&w, lines, 8);
    for (size_t i = 0; i < 8; i++) {
        world_parse(&w, lines[i]);
        expect_text(lines[i], world_format(&w), formats[i]);
    }
    world_parse(&w, lines[4]);
    assert_int_equal(w.fields.count, 1);
    expect_role(&w, "message", w.fields.message, lines[4]);
    world_parse(&w, lines[7]);
    expect_role(&w, "level", w.fields.level, "error");
    assert_int_equal(lm_schema_line_count(w.schema), 8);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_named_format_is_recognised),
        cmocka_unit_test(mixed_streams_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

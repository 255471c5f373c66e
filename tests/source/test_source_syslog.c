/** Syslog listeners: sockets by hand, then logger(1) and rsyslogd as they come. */
#include "source_sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct world {
    lm_mem *mem;
    test_sink *sink;
    lm_source *source;
    char folder[256];
    int port;
    lm_source_syslog_options options;
} world;

static void start(world *w, const char *address)
{
    lm_source_host host = sink_host(w->sink, w->mem);
    w->options.address = address;
    assert_int_equal(lm_source_syslog(&host, &w->options, &w->source), LM_OK);
    const char *colon = strrchr(lm_source_name(w->source), ':');
    w->port = colon ? atoi(colon + 1) : 0;
}

static void world_open(world *w)
{
    *w = (world){0};
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    w->sink = sink_new();
    lm_test_folder_make(w->folder);
}

static void world_close(world *w)
{
    lm_source_stop(w->source, UINT64_C(5000000000));
    sink_free(w->sink);
    assert_int_equal(lm_mem_used(w->mem), 0);
    lm_mem_free(w->mem);
    lm_test_folder_remove(w->folder);
}

static int dial(const world *w, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/** Is there a record whose line is this one? Its stream then. */
static const char *stream_of(world *w, const char *line)
{
    const char *stream = NULL;
    pthread_mutex_lock(&w->sink->lock);
    for (size_t i = 0; i < w->sink->count; i++)
        if (strcmp(w->sink->records[i].line, line) == 0) stream = w->sink->records[i].stream;
    pthread_mutex_unlock(&w->sink->lock);
    return stream;
}

static void takes_datagrams_and_both_framings(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    lm_label label = {LM_STR("site"), LM_STR("north")};
    w.options.udp = w.options.tcp = true;
    w.options.labels = &label;
    w.options.label_count = 1;
    start(&w, "127.0.0.1:0");
    int udp = dial(&w, SOCK_DGRAM), lines = dial(&w, SOCK_STREAM), counted = dial(&w, SOCK_STREAM);
    say(udp, "<34>1 2026-11-23T10:00:00.003Z web1 su - ID47 - by datagram");
    say(lines, "<13>Nov 23 10:00:00 web2 cron[12]: by line\n<13>Nov 23 10:00:00 web2 cron: half");
    say(counted, "50 <34>1 2026-11-23T10:00:00Z web3 app - - - by c");
    assert_int_equal(sink_wait(w.sink, 2), 2);
    say(counted, "o");
    sink_sleep(50);
    say(counted, "unt");
    say(lines, " and half\n2026-11-23 an end without its newline");
    say(counted, "90 <34>1 2026-11-23T10:00:00Z web3 app - - - cut off");
    close(lines);
    close(counted);
    close(udp);
    assert_int_equal(sink_settle(w.sink, 6, 100), 6);
    assert_non_null(strstr(stream_of(&w, "by datagram"), "host=\"web1\""));
    assert_non_null(strstr(stream_of(&w, "by datagram"), "site=\"north\""));
    assert_non_null(strstr(stream_of(&w, "by line"), "app=\"cron\""));
    assert_non_null(stream_of(&w, "half and half"));
    assert_non_null(stream_of(&w, "2026-11-23 an end without its newline"));
    assert_non_null(strstr(stream_of(&w, "cut off"), "host=\"web3\""));
    world_close(&w);
}

static void bad_clients_cost_only_themselves(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.options.tcp = true;
    w.options.message_bytes_max = 100000;
    start(&w, "127.0.0.1:0");
    int good = dial(&w, SOCK_STREAM), slow = dial(&w, SOCK_STREAM), loud = dial(&w, SOCK_STREAM),
        liar = dial(&w, SOCK_STREAM);
    for (int i = 0; i < 40; i++) { /* one that comes in crumbs, longer than a helping */
        char crumb[2001];
        memset(crumb, 'a' + i % 26, 2000);
        crumb[2000] = 0;
        say(slow, i == 0 ? "<13>1 - h a - - - " : "");
        say(slow, crumb);
        sink_sleep(2);
    }
    char *flood = malloc(400000);
    memset(flood, 'x', 400000);
    flood[0] = '<';
    (void)!send(loud, flood, 400000, 0); /* it may be cut off meanwhile */
    say(liar, "999999999 <13>1 - - - - - x");
    say(good, "<13>1 - h a - - - fine\n");
    assert_int_equal(sink_wait(w.sink, 1), 1);
    assert_non_null(stream_of(&w, "fine"));
    char byte;
    assert_true(recv(liar, &byte, 1, 0) <= 0); /* closed */
    assert_true(recv(loud, &byte, 1, 0) <= 0);
    say(slow, "\n");
    assert_int_equal(sink_wait(w.sink, 2), 2);
    assert_int_equal(w.sink->records[1].len, 80000);
    lm_source_counters counters;
    for (int i = 0; i < 100; i++) {
        lm_source_counters_get(w.source, &counters);
        if (counters.open == 2) break;
        sink_sleep(10);
    }
    assert_int_equal(counters.open, 2);
    assert_int_equal(counters.rejected, 2);
    free(flood);
    close(good), close(slow), close(loud), close(liar);
    world_close(&w);
}

static void stops_reading_while_the_sink_is_full(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.options.tcp = true;
    w.sink->is_refusing = true;
    start(&w, "127.0.0.1:0");
    int fd = dial(&w, SOCK_STREAM);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    char text[1000];
    size_t sent = 0, had = 0;
    memset(text, 'y', sizeof text);
    memcpy(text, "<13>1 - h a - - - ", 18);
    text[999] = '\n';
    for (int quiet = 0; quiet < 30;) { /* until nothing goes out for a while */
        ssize_t got = send(fd, text + had, sizeof text - had, 0);
        if (got < 0) {
            assert_int_equal(errno, EAGAIN);
            quiet++;
            sink_sleep(10);
            continue;
        }
        quiet = 0;
        had = (had + (size_t)got) % sizeof text;
        sent += (size_t)got;
        assert_true(sent < 100 * 1024 * 1024); /* never stops */
    }
    assert_int_equal(sink_count(w.sink), 0);
    pthread_mutex_lock(&w.sink->lock);
    w.sink->is_refusing = false;
    pthread_mutex_unlock(&w.sink->lock);
    assert_int_equal(sink_wait(w.sink, sent / sizeof text), sent / sizeof text);
    close(fd);
    world_close(&w);
}

static void listens_on_unix_sockets(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%.90s/log", w.folder);
    for (int i = 0; i < 2; i++) {
        w.options.udp = i == 0;
        w.options.tcp = i == 1;
        start(&w, to.sun_path);
        int fd = socket(AF_UNIX, i == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        say(fd, i == 0 ? "<13>Nov 23 10:00:00 app: by datagram" : "<13>Nov 23 10:00:00 h app: x\n");
        assert_int_equal(sink_wait(w.sink, (size_t)i + 1), i + 1);
        close(fd);
        if (i == 0) lm_source_stop(w.source, 0);
    }
    world_close(&w);
    world_open(&w);
    w.options.udp = w.options.tcp = true;
    w.options.address = to.sun_path;
    lm_source_host host = sink_host(w.sink, w.mem);
    assert_int_equal(lm_source_syslog(&host, &w.options, &w.source), LM_E_USAGE);
    w.options.address = "nonsense";
    assert_int_equal(lm_source_syslog(&host, &w.options, &w.source), LM_E_USAGE);
    world_close(&w);
}

static bool has_program(const char *name)
{
    char command[200];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", name);
    return system(command) == 0;
}

static void logger_is_understood(void **state)
{
    (void)state;
    if (!has_program("logger")) skip();
    world w;
    world_open(&w);
    w.options.udp = w.options.tcp = true;
    start(&w, "127.0.0.1:0");
    const char *ways[] = {"-d --rfc5424", "-d --rfc3164", "-T --rfc5424", "-T --rfc3164",
                          "-T --octet-count --rfc5424"};
    char command[512], line[64];
    for (size_t i = 0; i < 5; i++) {
        snprintf(command, sizeof command,
                 "logger -n 127.0.0.1 -P %d %s -t tester -p local3.warning 'way %zu'", w.port,
                 ways[i], i);
        assert_int_equal(system(command), 0);
    }
    assert_int_equal(sink_settle(w.sink, 5, 100), 5);
    for (size_t i = 0; i < 5; i++) {
        snprintf(line, sizeof line, "way %zu", i);
        assert_non_null(stream_of(&w, line));
        assert_non_null(strstr(stream_of(&w, line), "app=\"tester\""));
        assert_non_null(strstr(stream_of(&w, line), "facility=\"local3\""));
    }
    world_close(&w);
}

static void make_certificates(const char *folder)
{
    const char *root = getenv("LOGMILL_SOURCE"); /* else it is run from there */
    char command[4096];
    snprintf(command, sizeof command, "'%s/tests/support/certificates' '%s' 2>/dev/null",
             root ? root : ".", folder);
    assert_int_equal(system(command), 0);
}

static pid_t run_rsyslogd(const world *w, const char *action)
{
    char path[600], text[4096], pid[600];
    snprintf(path, sizeof path, "%s/rsyslog.conf", w->folder);
    snprintf(pid, sizeof pid, "%s/rsyslog.pid", w->folder);
    snprintf(text, sizeof text,
             "global(workDirectory=\"%s\" %s)\n"
             "module(load=\"imfile\")\n"
             "input(type=\"imfile\" file=\"%s/in.log\" tag=\"fed:\" facility=\"local1\")\n"
             "%s\n",
             w->folder, w->options.tls.certificate ? "defaultNetstreamDriver=\"gtls\"" : "",
             w->folder, action);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execlp("rsyslogd", "rsyslogd", "-n", "-f", path, "-i", pid, (char *)NULL);
        execl("/usr/sbin/rsyslogd", "rsyslogd", "-n", "-f", path, "-i", pid, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void feed(const world *w, int from, int to)
{
    char path[600];
    snprintf(path, sizeof path, "%s/in.log", w->folder);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    for (int i = from; i < to; i++)
        fprintf(file, "message number %d\n", i);
    fclose(file);
}

static void end(pid_t child)
{
    int status;
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
}

/** All of them, once each. */
static void check_fed(world *w, int count)
{
    size_t got = sink_settle(w->sink, (size_t)count, 200);
    if (got != (size_t)count) printf("%s\n", w->sink->notes);
    assert_int_equal(got, count);
    char *seen = calloc((size_t)count, 1);
    for (size_t i = 0; i < got; i++) {
        int number = -1;
        assert_int_equal(sscanf(w->sink->records[i].line, " message number %d", &number), 1);
        assert_true(number >= 0 && number < count && !seen[number]);
        seen[number] = 1;
        assert_non_null(strstr(w->sink->records[i].stream, "facility=\"local1\""));
        assert_non_null(strstr(w->sink->records[i].stream, "app=\"fed\""));
    }
    free(seen);
}

static void rsyslogd_is_understood(void **state)
{
    (void)state;
    if (!has_program("rsyslogd") && !has_program("/usr/sbin/rsyslogd")) skip();
    const char *const ways[] = {"protocol=\"tcp\"",
                                "protocol=\"tcp\" tcp_framing=\"octet-counted\"",
                                "protocol=\"tcp\" template=\"RSYSLOG_SyslogProtocol23Format\" "
                                "tcp_framing=\"octet-counted\""};
    for (size_t i = 0; i < 3; i++) {
        world w;
        world_open(&w);
        w.options.tcp = true;
        start(&w, "127.0.0.1:0");
        char action[512];
        snprintf(action, sizeof action,
                 "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"%d\" %s)", w.port, ways[i]);
        feed(&w, 0, 2000);
        pid_t child = run_rsyslogd(&w, action);
        check_fed(&w, 2000);
        end(child);
        world_close(&w);
    }
}

static void rsyslogd_comes_with_a_certificate(void **state)
{
    (void)state;
    bool has_all = (has_program("rsyslogd") || has_program("/usr/sbin/rsyslogd")) &&
                   has_program("openssl") &&
                   system("find /usr/lib -name lmnsd_gtls.so 2>/dev/null | grep -q .") == 0;
    if (!has_all) skip();
    for (int i = 0; i < 2; i++) {
        const char *who = i == 0 ? "client" : "stranger";
        char files[5][600];
        const char *const names[] = {"server.pem", "server.key", "ca.pem"};
        world w;
        world_open(&w);
        make_certificates(w.folder);
        for (size_t n = 0; n < 3; n++)
            snprintf(files[n], sizeof files[n], "%s/%s", w.folder, names[n]);
        w.options.tcp = true;
        w.options.tls = (lm_tls_files){files[0], files[1], files[2]};
        start(&w, "127.0.0.1:0");
        char action[4096];
        snprintf(action, sizeof action,
                 "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"%d\" protocol=\"tcp\" "
                 "streamDriver=\"gtls\" streamDriverMode=\"1\" "
                 "streamDriverAuthMode=\"x509/name\" streamDriverPermittedPeers=\"localhost\" "
                 "streamDriver.CAFile=\"%s/ca.pem\" streamDriver.certFile=\"%s/%s.pem\" "
                 "streamDriver.keyFile=\"%s/%s.key\")",
                 w.port, w.folder, w.folder, who, w.folder, who);
        feed(&w, 0, 500);
        pid_t child = run_rsyslogd(&w, action);
        if (i == 0) {
            check_fed(&w, 500);
        } else { /* of another authority: nothing of it is taken */
            lm_source_counters counters = {0};
            for (int tries = 0; tries < 1000 && counters.errors == 0; tries++) {
                sink_sleep(10);
                lm_source_counters_get(w.source, &counters);
            }
            assert_true(counters.errors > 0);
            assert_int_equal(sink_count(w.sink), 0);
        }
        end(child);
        int idle = dial(&w, SOCK_STREAM); /* never says anything: is in nobody's way */
        lm_source_stop(w.source, 0);
        w.source = NULL;
        close(idle);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_datagrams_and_both_framings),
        cmocka_unit_test(bad_clients_cost_only_themselves),
        cmocka_unit_test(stops_reading_while_the_sink_is_full),
        cmocka_unit_test(listens_on_unix_sockets),
        cmocka_unit_test(logger_is_understood),
        cmocka_unit_test(rsyslogd_is_understood),
        cmocka_unit_test(rsyslogd_comes_with_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

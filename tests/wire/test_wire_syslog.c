/** Syslog: what logger, rsyslog and devices send; framing; nothing is refused. */
#include "wire_test.h"

#include <time.h>

static lm_err read_one(wire_test *t, lm_str message)
{
    return lm_wire_syslog(message, &t->options, &t->batch);
}

/** A message, and the record it becomes as wire_print prints it. */
typedef struct example {
    const char *sent, *want;
} example;

static void expect(const example *examples, size_t count)
{
    wire_test t;
    lm_wire_recent recent = {.len = 0};
    wire_init(&t);
    for (size_t i = 0; i < 2 * count; i++) { /* once more, each with the time before at hand */
        if (i >= count) t.options.recent = &recent;
        assert_string_equal(wire_read(&t, read_one, lm_str_of(examples[i % count].sent)),
                            examples[i % count].want);
    }
    wire_fini(&t);
}

#define EXPECT(examples) expect(examples, sizeof(examples) / sizeof(examples)[0])
#define WHOLE            " {facility=\"user\", severity=\"notice\"} {} "

/** What stands behind a time belongs to it: the same time again is not enough. */
static void test_time_again(void **state)
{
    static const char *const sent[] = {
        "<13>Nov 23 13:38:00 a b[1]: one",        "<13>Nov 23 13:38:00 a b[1]: two",
        "<13>Nov 23 13:38:00 2024 a b[1]: three", "<13>Nov 23 13:38:00 a b[1]: four",
        "<13>Nov 23 13:38:00 CEST: a b[1]: five", "<13>Nov 23 13:38:00 2024 a b[1]: six",
        "<13>Nov 23 13:38:01 a b[1]: seven",      "<13>Nov 23 13:38:00 a b[2]: eight"};
    wire_test plain, remembers;
    lm_wire_recent recent = {.len = 0};
    (void)state;
    wire_init(&plain);
    wire_init(&remembers);
    remembers.options.recent = &recent;
    for (size_t i = 0; i < 3 * sizeof sent / sizeof *sent; i++) {
        lm_str message = lm_str_of(sent[i % (sizeof sent / sizeof *sent)]);
        assert_int_equal(lm_wire_syslog(message, &plain.options, &plain.batch), LM_OK);
        assert_int_equal(lm_wire_syslog(message, &remembers.options, &remembers.batch), LM_OK);
        const lm_record *a = &plain.batch.records[i], *b = &remembers.batch.records[i];
        assert_true(a->time_ns == b->time_ns && lm_str_equal(a->line, b->line));
        assert_int_equal(a->metadata.count, b->metadata.count);
        for (uint32_t k = 0; k < a->metadata.count; k++)
            assert_true(lm_str_equal(a->metadata.items[k].value, b->metadata.items[k].value));
        remembers.options.now_ns += INT64_C(400000000); /* now and then another second */
        plain.options.now_ns = remembers.options.now_ns;
    }
    wire_fini(&plain);
    wire_fini(&remembers);
}

static void test_5424(void **state)
{
    static const example examples[] = {
        /* logger --rfc5424 */
        {"<13>1 2026-11-23T13:38:00.123456+00:00 vm app - - [timeQuality tzKnown=\"1\" "
         "isSynced=\"0\"] hello via logger\n",
         "1795441080123456000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
         "{sd_timeQuality_isSynced=\"0\", sd_timeQuality_tzKnown=\"1\"} hello via logger\n"},
        /* the examples of RFC 5424, 6.5 */
        {"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xEF\xBB\xBF'su root' "
         "failed for lonvick on /dev/pts/8",
         "1065910455003000000 {app=\"su\", facility=\"auth\", host=\"mymachine.example.com\", "
         "severity=\"crit\"} {msgid=\"ID47\"} 'su root' failed for lonvick on /dev/pts/8\n"},
        {"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make "
         "the do-nuts.",
         "1061727255000003000 {app=\"myproc\", facility=\"local4\", host=\"192.0.2.1\", "
         "severity=\"notice\"} {procid=\"8710\"} %% It's time to make the do-nuts.\n"},
        {"<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut=\"3\" "
         "eventSource=\"App\\\"l\\]i\\\\c\\x\"][b@1 c=\"\"]",
         "1065910455003000000 {app=\"evntslog\", facility=\"local4\", host=\"h\", "
         "severity=\"notice\"} {msgid=\"ID47\", sd_exampleSDID_32473_eventSource="
         "\"App\\\"l]i\\\\c\\\\x\", sd_exampleSDID_32473_iut=\"3\"} \n"},
        {"<0>1 - - - - - -", "now {facility=\"kern\", severity=\"emerg\"} {} \n"},
        {"<191>1 - - - - - - ", "now {facility=\"local7\", severity=\"debug\"} {} \n"},
        {"<14>1 - h a - - -  two blanks",
         "now {app=\"a\", facility=\"user\", host=\"h\", severity=\"info\"} {}  two blanks\n"},
        /* no structured data, and what looks like it */
        {"<14>1 - h a - - text without a dash",
         "now {app=\"a\", facility=\"user\", host=\"h\", severity=\"info\"} {} text without a "
         "dash\n"},
        {"<14>1 - h a - - [error] not data",
         "now {app=\"a\", facility=\"user\", host=\"h\", severity=\"info\"} {} [error] "
         "not data\n"},
        {"<14>1 - h a - - [error: it broke] x",
         "now {app=\"a\", facility=\"user\", host=\"h\", severity=\"info\"} {} [error: it broke] "
         "x\n"},
        {"<14>1 - h a - - [id a=\"b] open",
         "now {app=\"a\", facility=\"user\", host=\"h\", severity=\"info\"} {} [id a=\"b] open\n"},
    };
    (void)state;
    EXPECT(examples);
}

static void test_3164(void **state)
{
    static const example examples[] = {
        /* logger over UDP; rsyslog's forwarding */
        {"<13>Nov 23 13:38:00 vm app: hello via logger",
         "now {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} {} hello via "
         "logger\n"},
        {"<30>Nov 23 13:38:00 vm systemd[1]: Started x.service.\n",
         "now {app=\"systemd\", facility=\"daemon\", host=\"vm\", severity=\"info\"} "
         "{procid=\"1\"} Started x.service.\n"},
        {"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
         "1791756855000000000 {app=\"su\", facility=\"auth\", host=\"mymachine\", "
         "severity=\"crit\"} {} 'su root' failed for lonvick on /dev/pts/8\n"},
        /* no host; a day of one digit; from last year */
        {"<86>Dec  1 07:00:00 sshd[1234]: Accepted",
         "1764572400000000000 {app=\"sshd\", facility=\"authpriv\", severity=\"info\"} "
         "{procid=\"1234\"} Accepted\n"},
        /* years, before and behind; ISO times; fractions */
        {"<13>Nov 23 2026 13:38:00 vm app: x",
         "now {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} {} x\n"},
        {"<13>Nov 23 13:38:00 2026 vm app: x",
         "now {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} {} x\n"},
        {"<13>2026-11-23T14:38:00.250+01:00 vm app[7]: x",
         "1795441080250000000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
         "{procid=\"7\"} x\n"},
        {"<13>Nov 23 13:38:00.250 vm app: x",
         "1795441080250000000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
         "{} x\n"},
        /* Cisco */
        {"<189>29: *Mar  1 18:48:50.483 UTC: %SYS-5-CONFIG_I: Configured from console",
         "1772390930483000000 {facility=\"local7\", severity=\"notice\"} {sequence=\"29\"} "
         "%SYS-5-CONFIG_I: Configured from console\n"},
        {"<189>29: router-1: Nov 23 13:38:00: %LINK-3-UPDOWN: Interface up",
         "now {facility=\"local7\", host=\"router-1\", severity=\"notice\"} {sequence=\"29\"} "
         "%LINK-3-UPDOWN: Interface up\n"},
        /* tags with a path, without a colon, without a blank, none at all */
        {"<22>Nov 23 13:38:00 mx postfix/smtpd[9]: connect",
         "now {app=\"postfix/smtpd\", facility=\"mail\", host=\"mx\", severity=\"info\"} "
         "{procid=\"9\"} connect\n"},
        {"<22>Nov 23 13:38:00 mx cron[9] (root) CMD",
         "now {app=\"cron\", facility=\"mail\", host=\"mx\", severity=\"info\"} {procid=\"9\"} "
         "(root) CMD\n"},
        {"<13>Nov 23 13:38:00 host link is down",
         "now {facility=\"user\", host=\"host\", severity=\"notice\"} {} link is down\n"},
        {"<134>Nov 23 13:38:00 fw CEF:0|Vendor|Product|1|2|x|5|src=1",
         "now {facility=\"local0\", host=\"fw\", severity=\"info\"} {} "
         "CEF:0|Vendor|Product|1|2|x|5|src=1\n"},
        /* no time */
        {"<13>app[12]: no time",
         "now {app=\"app\", facility=\"user\", severity=\"notice\"} {procid=\"12\"} no time\n"},
        {"<13>only text at 12:30", "now {facility=\"user\", severity=\"notice\"} {} only text at "
                                   "12:30\n"},
        {"<13>", "now {facility=\"user\", severity=\"notice\"} {} \n"},
        /* no PRI: a file's line */
        {"Nov 23 13:38:00 vm sshd[1]: from a file",
         "now {app=\"sshd\", facility=\"user\", host=\"vm\", severity=\"notice\"} {procid=\"1\"} "
         "from a file\n"},
    };
    (void)state;
    EXPECT(examples);
}

static void test_kept_whole(void **state)
{
    static const example examples[] = {
        {"", "now" WHOLE "\n"},
        {"hello", "now" WHOLE "hello\n"},
        {"<", "now" WHOLE "<\n"},
        {"<192>x", "now" WHOLE "<192>x\n"},
        {"<>x", "now" WHOLE "<>x\n"},
        {"<1234>x", "now" WHOLE "<1234>x\n"},
        {"{\"a\": 1}", "now" WHOLE "{\"a\": 1}\n"},
        {"ERROR: not a tag", "now" WHOLE "ERROR: not a tag\n"},
        {"Nov 23 13:38:00 nothing that ends a tag",
         "now" WHOLE "Nov 23 13:38:00 nothing that ends a tag\n"},
        {"<13>1 yesterday h a - - - x", /* not a time: no RFC 5424 */
         "now {facility=\"user\", severity=\"notice\"} {} 1 yesterday h a - - - x\n"},
    };
    (void)state;
    EXPECT(examples);
}

/** Structured data beyond what metadata may be: the whole message is the line. */
static void test_too_much_data(void **state)
{
    wire_test t;
    lm_buf text;
    (void)state;
    wire_init(&t);
    lm_buf_init(&text, t.mem);
    assert_int_equal(lm_buf_append(&text, "<13>1 - h a - - [x", 18), LM_OK);
    for (int i = 0; i < 200; i++) {
        char pair[20];
        int len = snprintf(pair, sizeof pair, " k%d=\"v\"", i);
        assert_int_equal(lm_buf_append(&text, pair, (size_t)len), LM_OK);
    }
    assert_int_equal(lm_buf_append(&text, "] m", 3), LM_OK);
    wire_read(&t, read_one, (lm_str){text.ptr, text.len});
    assert_int_equal(t.batch.record_count, 1);
    assert_true(lm_str_equal(t.batch.records[0].line, (lm_str){text.ptr, text.len}));
    assert_int_equal(t.batch.records[0].metadata.count, 0);
    /* a host longer than a label may be */
    text.len = 0;
    assert_int_equal(lm_buf_append(&text, "<13>1 - ", 8), LM_OK);
    for (int i = 0; i <= LM_LABEL_VALUE_BYTES_MAX; i++)
        assert_int_equal(lm_buf_u8(&text, 'h'), LM_OK);
    assert_int_equal(lm_buf_append(&text, " a - - - m", 10), LM_OK);
    wire_read(&t, read_one, (lm_str){text.ptr, text.len});
    assert_true(lm_str_equal(t.batch.records[0].line, (lm_str){text.ptr, text.len}));
    assert_int_equal(t.batch.streams[0].labels.count, 2);
    lm_buf_fini(&text);
    wire_fini(&t);
}

static void test_local_time(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    assert_int_equal(setenv("TZ", "Europe/Berlin", 1), 0);
    tzset();
    assert_string_equal(
        wire_read(&t, read_one, LM_STR("<13>Nov 23 14:38:00 vm app: winter")),
        "now {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} {} winter\n");
    assert_string_equal(wire_read(&t, read_one, LM_STR("<13>Jul  1 14:00:00 vm app: summer")),
                        "1782907200000000000 {app=\"app\", facility=\"user\", host=\"vm\", "
                        "severity=\"notice\"} {} summer\n");
    assert_string_equal(
        wire_read(&t, read_one, LM_STR("<13>2026-11-23T13:38:00Z vm app: zoned")),
        "now {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} {} zoned\n");
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
    wire_fini(&t);
}

/** As recorded from logger(1) and rsyslog: datagrams, and the bytes of three connections. */
static void test_recorded(void **state)
{
    static const example datagrams[] = {
        {"<13>1 2026-11-23T22:56:19.241488+00:00 vm app - M1 [timeQuality tzKnown=\"1\" "
         "isSynced=\"0\"][zoo@123 tiger=\"hungry\" zebra=\"a\\\"b\"] hello \"via\" logger \xc3\xa9",
         "1795474579241488000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
         "{msgid=\"M1\", sd_timeQuality_isSynced=\"0\", sd_timeQuality_tzKnown=\"1\", "
         "sd_zoo_123_tiger=\"hungry\", sd_zoo_123_zebra=\"a\\\"b\"} hello \"via\" logger "
         "\xc3\xa9\n"},
        {"<13>2026-11-23T22:56:20.646364+00:00 vm app[24989]: hello via rsyslog",
         "1795474580646364000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
         "{procid=\"24989\"} hello via rsyslog\n"},
    };
    wire_test t;
    char path[1024];
    lm_buf bytes;
    lm_str message;
    (void)state;
    EXPECT(datagrams);
    wire_init(&t);
    lm_buf_init(&bytes, t.mem);
    assert_non_null(getenv("LOGMILL_SOURCE"));
    snprintf(path, sizeof path, "%s/tests/wire/data/syslog_tcp.bin", getenv("LOGMILL_SOURCE"));
    assert_int_equal(lm_file_read_all(path, 65536, &bytes), LM_OK);
    lm_str rest = {bytes.ptr, bytes.len};
    while (lm_wire_syslog_frame(&rest, 65536, &message) == LM_OK)
        assert_int_equal(read_one(&t, message), LM_OK);
    assert_int_equal(rest.len, 0);
    assert_string_equal(
        wire_print(&t),
        "1795474578627058000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
        "{sd_timeQuality_isSynced=\"0\", sd_timeQuality_tzKnown=\"1\"} hello \"via\" logger "
        "\xc3\xa9\n"
        "1795474578833466000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
        "{procid=\"24926\", sd_timeQuality_isSynced=\"0\", sd_timeQuality_tzKnown=\"1\"} hello "
        "\"via\" logger \xc3\xa9\n"
        "1795474579000000000 {app=\"app\", facility=\"auth\", host=\"vm\", severity=\"err\"} {} "
        "hello \"via\" logger \xc3\xa9\n"
        "1795474580646364000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
        "{procid=\"24989\"}  hello via rsyslog\n"
        "1795474580000000000 {app=\"app\", facility=\"user\", host=\"vm\", severity=\"notice\"} "
        "{procid=\"24989\"} hello via rsyslog\n");
    lm_buf_fini(&bytes);
    wire_fini(&t);
}

/** Streams of many hosts are told apart, and met again. */
static void test_streams(void **state)
{
    wire_test t;
    char text[80];
    (void)state;
    wire_init(&t);
    for (int i = 0; i < 300; i++) {
        int len = snprintf(text, sizeof text, "<13>Nov 23 13:38:00 host%d app: x", i % 50);
        const char *copy = lm_arena_copy(&t.batch.arena, text, (size_t)len);
        assert_non_null(copy);
        assert_int_equal(read_one(&t, (lm_str){(const uint8_t *)copy, (size_t)len}), LM_OK);
    }
    assert_int_equal(t.batch.stream_count, 50);
    assert_int_equal(t.batch.record_count, 300);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(t.batch.records[i].stream, i % 50);
    wire_fini(&t);
}

static void test_damaged(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    wire_damage(&t, read_one,
                LM_STR("<165>1 2003-10-11T22:14:15.003Z h evntslog 12 ID47 [a@1 i=\"3\\\"\\]\" "
                       "e=\"A\"][b c=\"d\"] \xEF\xBB\xBFtext"));
    wire_damage(&t, read_one, LM_STR("<189>29: r1: *Mar  1 18:48:50.483 UTC: %SYS-5-X: a[1]: b"));
    wire_damage(&t, read_one, LM_STR("<30>Nov 23 13:38:00 2026 vm systemd(x)[1]: Started"));
    wire_fini(&t);
}

static void test_frames(void **state)
{
    lm_str rest =
        LM_STR("5 <13>a12 <13>hello\n!\n<14>line\r\n\n\n11 <13>with lf\n<15>last\n<16>op");
    static const char *const want[] = {"<13>a", "<13>hello\n!", "<14>line", "<13>with lf",
                                       "<15>last"};
    lm_str message;
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(lm_wire_syslog_frame(&rest, 100, &message), LM_OK);
        /* the second count takes "<13>hello\n!\n": its newline at the end is taken off */
        assert_true(lm_str_equal(message, lm_str_of(want[i])));
    }
    assert_int_equal(lm_wire_syslog_frame(&rest, 100, &message), LM_E_NOTFOUND);
    assert_true(lm_str_equal(rest, LM_STR("<16>op"))); /* kept for the bytes to come */

    static const struct {
        const char *bytes;
        size_t max;
        lm_err want;
    } cases[] = {
        {"", 10, LM_E_NOTFOUND},
        {"1", 10, LM_E_NOTFOUND},
        {"12", 10, LM_E_NOTFOUND},
        {"12 ", 10, LM_E_LIMIT},
        {"10 <23456789", 10, LM_E_NOTFOUND},
        {"10 users\n", 10, LM_OK}, /* no count: no message begins so */
        {"123456789 x", 10, LM_E_LIMIT},
        {"1234567890123 x", 10, LM_E_LIMIT}, /* no count: a line without an end */
        {"<13>0123456", 10, LM_E_LIMIT},
        {"<13>012345", 10, LM_E_NOTFOUND},
        {"<13>012345\n", 10, LM_OK},
        {"2026-11-23 a line\n", 20, LM_OK},
        {"0 a line\n", 20, LM_OK},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rest = lm_str_of(cases[i].bytes);
        assert_int_equal(lm_wire_syslog_frame(&rest, cases[i].max, &message), cases[i].want);
    }
}

static void test_rest_of_a_frame(void **state)
{
    static const char *const cases[][2] = {{"50 <13>half", "<13>half"},
                                           {"0050 <13>half", "0050 <13>half"},
                                           {"404 not found", "404 not found"},
                                           {"2026-11-23 x", "2026-11-23 x"},
                                           {"12", "12"},
                                           {"12 ", ""},
                                           {"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_str rest = lm_wire_syslog_rest(lm_str_of(cases[i][0]));
        assert_int_equal(rest.len, strlen(cases[i][1]));
        assert_memory_equal(rest.ptr, cases[i][1], rest.len);
    }
}

/** Cut anywhere, a stream of frames gives the same messages. */
static void test_frames_in_pieces(void **state)
{
    lm_str whole = LM_STR("5 <13>a<14>line\n7 <13>b\nc<15>x\n");
    (void)state;
    for (size_t cut = 0; cut <= whole.len; cut++) {
        lm_str first = {whole.ptr, cut}, message;
        size_t count = 0;
        while (lm_wire_syslog_frame(&first, 100, &message) == LM_OK)
            count++;
        lm_str rest = {first.ptr, (size_t)(whole.ptr + whole.len - first.ptr)};
        while (lm_wire_syslog_frame(&rest, 100, &message) == LM_OK)
            count++;
        assert_int_equal(count, 4);
        assert_int_equal(rest.len, 0);
    }
}

static lm_err once(lm_mem *mem)
{
    lm_record_batch batch;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_err err = lm_wire_syslog(LM_STR("<13>1 - h a 1 - [x@1 k=\"\\]\"] m"), &options, &batch);
    assert_int_equal(batch.record_count, err ? 0 : 1);
    lm_record_batch_fini(&batch);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_again),
        cmocka_unit_test(test_5424),
        cmocka_unit_test(test_3164),
        cmocka_unit_test(test_kept_whole),
        cmocka_unit_test(test_too_much_data),
        cmocka_unit_test(test_local_time),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_rest_of_a_frame),
        cmocka_unit_test(test_frames_in_pieces),
        cmocka_unit_test(test_each_allocation_fails),
    };
    if (setenv("TZ", "UTC", 1)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

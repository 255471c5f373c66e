/** schema_time*.c: timestamps that print back byte for byte, and what is none. */
#include "lm_test.h"

#include "schema/schema_time_priv.h"

static const char *print(uint16_t layout, int64_t ticks)
{
    static char text[LM_TIME_TEXT_MAX + 1];
    size_t len = lm_time_print(layout, ticks, (uint8_t *)text);
    assert_true(len <= LM_TIME_TEXT_MAX);
    text[len] = 0;
    return text;
}

typedef struct known {
    const char *text; /* what is read; "|" marks where the timestamp must end */
    const char *name; /* its layout */
    int64_t utc_ns;   /* with not_after_ns = 2015-06-30 12:00 UTC */
} known;

#define SECONDS(s) ((s) * INT64_C(1000000000))
#define NOT_AFTER  SECONDS(1435665600)

static const known knowns[] = {
    {"2015-10-18 18:01:47,978| INFO [main] x", "%Y-%m-%d %H:%M:%S,%3f",
     SECONDS(1445191307) + 978000000},
    {"2015-10-18T18:01:47Z|", "%Y-%m-%dT%H:%M:%SZ", SECONDS(1445191307)},
    {"2015-10-18T18:01:47.25+02:00| x", "%Y-%m-%dT%H:%M:%S.%2f+02:00",
     SECONDS(1445191307 - 7200) + 250000000},
    {"2019-06-18T11:58:58.382+0100| I", "%Y-%m-%dT%H:%M:%S.%3f+0100",
     SECONDS(1560855538) + 382000000},
    {"2024-04-16T15:10:44.103611953Z| caller", "%Y-%m-%dT%H:%M:%S.%NfZ",
     SECONDS(1713280244) + 103611953},
    {"2024-04-16T15:10:44.10361195Z| caller", "%Y-%m-%dT%H:%M:%S.%NfZ",
     SECONDS(1713280244) + 103611950},
    {"2024-04-16T15:10:44.103611950Z| caller", "%Y-%m-%dT%H:%M:%S.%9fZ",
     SECONDS(1713280244) + 103611950},
    {"2020-03-11 20:40:43 CET|::@:[12760]:LOG", "%Y-%m-%d %H:%M:%S CET", SECONDS(1583955643)},
    {"2026-11-23 13:59:18.992 UTC| [19759]", "%Y-%m-%d %H:%M:%S.%3f UTC",
     SECONDS(1795442358) + 992000000},
    {"2015-05-17 10:05:03-05|", "%Y-%m-%d %H:%M:%S-05", SECONDS(1431875103)},
    {"2015-05-17 10:05:03| -17 items", "%Y-%m-%d %H:%M:%S", SECONDS(1431857103)},
    {"2015/05/17 10:05:03| [notice]", "%Y/%m/%d %H:%M:%S", SECONDS(1431857103)},
    {"2005-06-03-15.42.50.363779| R02", "%Y-%m-%d-%H.%M.%S.%6f", SECONDS(1117813370) + 363779000},
    {"17/May/2015:10:05:03 +0000|] \"GET", "%d/%b/%Y:%H:%M:%S +0000", SECONDS(1431857103)},
    {"22/Dec/2014:16:30:52 +0300|]", "%d/%b/%Y:%H:%M:%S +0300", SECONDS(1419255052)},
    {"Jun  9 06:06:20| combo", "%b %e %H:%M:%S", SECONDS(1433829980)},
    {"Jun 09 06:06:20| combo", "%b %d %H:%M:%S", SECONDS(1433829980)},
    {"Nov 9 12:01:01| dn228", "%b %-d %H:%M:%S", SECONDS(1415534461)},
    {"Jul  1 06:06:20| a day after not_after", "%b %e %H:%M:%S", SECONDS(1435730780)},
    {"Jul  2 06:06:20| two days after: a year ago", "%b %e %H:%M:%S", SECONDS(1404281180)},
    {"Feb 29 00:00:00| only in 2012", "%b %e %H:%M:%S", SECONDS(1330473600)},
    {"Thu Jun 09 06:07:04 2005|] [notice]", "%a %b %d %H:%M:%S %Y", SECONDS(1118297224)},
    {"Thu Jun  9 06:07:04 2005|", "%a %b %e %H:%M:%S %Y", SECONDS(1118297224)},
    {"Thu Jun 09 06:07:04.123456 2005|]", "%a %b %d %H:%M:%S.%6f %Y",
     SECONDS(1118297224) + 123456000},
    {"Fri Jul 01 08:16:53 PDT 2005|", "%a %b %d %H:%M:%S PDT %Y", SECONDS(1120231013)},
    {"Fri, 07 Jul 2017 05:32:43 GMT|", "%a, %d %b %Y %H:%M:%S GMT", SECONDS(1499405563)},
    {"17/06/09 20:10:40| INFO", "%y/%m/%d %H:%M:%S", SECONDS(1497039040)},
    {"05/17/15 10:05:03|", "%m/%d/%y %H:%M:%S", SECONDS(1431857103)},
    {"20150517.100503,250|:DEBUG", "%Y%m%d.%H%M%S,%3f", SECONDS(1431857103) + 250000000},
    {"2015:05:17-10:05:03| fw1", "%Y:%m:%d-%H:%M:%S", SECONDS(1431857103)},
    {"2015:05:17 10:05:03| exif", "%Y:%m:%d %H:%M:%S", SECONDS(1431857103)},
    {"May-17-15 10:05:03| [SSL-out]", "%b-%d-%y %H:%M:%S", SECONDS(1431857103)},
    {"05/17/2015 - 10:05:03|: \"x\"", "%m/%d/%Y - %H:%M:%S", SECONDS(1431857103)},
    {"5/17/15 10:05:03:045| UTC]", "%-m/%-d/%y %-H:%M:%S:%3f", SECONDS(1431857103) + 45000000},
    {"5/17/15 9:05:03:000| UTC]", "%-m/%-d/%y %-H:%M:%S:%3f", SECONDS(1431853503)},
    {"2015-05-17 10:05:03:045| INFO", "%Y-%m-%d %H:%M:%S:%3f", SECONDS(1431857103) + 45000000},
    {"2015/05/17 10:05:03:450| INFO", "%Y/%m/%d %H:%M:%S:%3f", SECONDS(1431857103) + 450000000},
    {"2015.05.17-10.05.03:045|][ 12]", "%Y.%m.%d-%H.%M.%S:%3f", SECONDS(1431857103) + 45000000},
    {"20150517-10:05:03:045||WARN", "%Y%m%d-%H:%M:%S:%3f", SECONDS(1431857103) + 45000000},
    {"17-May-2015::10:05:03| ===", "%-d-%b-%Y::%H:%M:%S", SECONDS(1431857103)},
    {"7-May-2015::10:05:03| ===", "%-d-%b-%Y::%H:%M:%S", SECONDS(1430993103)},
    {"05/17/2015-10:05:03.123456|  [**]", "%m/%d/%Y-%H:%M:%S.%6f", SECONDS(1431857103) + 123456000},
    {"Mon Jun 8 12:08:44 2015| [pid 2]", "%a %b %-d %H:%M:%S %Y", SECONDS(1433765324)},
    {"081109 203518| 143", "%y%m%d %H%M%S", SECONDS(1226262918)},
    {"20171223-22:15:29:606||Step", "%Y%m%d-%-H:%-M:%-S:%-3f", SECONDS(1514067329) + 606000000},
    {"20171224-0:7:20:44||Step", "%Y%m%d-%-H:%-M:%-S:%-3f", SECONDS(1514074040) + 44000000},
    {"03-17 16:13:38.811|  1702", "%m-%d %H:%M:%S.%3f", SECONDS(1426608818) + 811000000},
    {"10.30 16:49:06|] chrome", "%m.%d %H:%M:%S", SECONDS(1414687746)},
    {"17 May 2015 10:05:03.123| #", "%d %b %Y %H:%M:%S.%3f", SECONDS(1431857103) + 123000000},
    {"05/17/2015 10:05:03 AM|", "%m/%d/%Y %I:%M:%S %p", SECONDS(1431857103)},
    {"5/17/2015 12:05:03 AM|", "%-m/%-d/%Y %-I:%M:%S %p", SECONDS(1431821103)},
    {"Jul 3, 2023 11:42:38 AM|", "%b %-d, %Y %-I:%M:%S %p", SECONDS(1688384558)},
    {"20150517T100503Z|", "%Y%m%dT%H%M%SZ", SECONDS(1431857103)},
    {"20150517100503| x", "%Y%m%d%H%M%S", SECONDS(1431857103)},
    {"0507 11:59:44.523502|    4727", "%m%d %H:%M:%S.%6f", SECONDS(1430999984) + 523502000},
    {"10:05:03|]", "%H:%M:%S", SECONDS(1435658703)},
    {"18:05:03,250| x", "%H:%M:%S,%3f", SECONDS(1435687503) + 250000000},
    {"10:05:03|,200,512,a row of values", "%H:%M:%S", SECONDS(1435658703)},
    {"0001-01-01T00:00:00Z|", "%Y-%m-%dT%H:%M:%SZ", INT64_MIN + 1},
};

static void reads_what_programs_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof knowns / sizeof *knowns; i++) {
        char text[96];
        const char *bar = strchr(knowns[i].text, '|');
        size_t len = (size_t)(bar - knowns[i].text);
        snprintf(text, sizeof text, "%.*s%s", (int)len, knowns[i].text, bar + 1);
        lm_time time = {0};
        if (!lm_time_parse((const uint8_t *)text, strlen(text), &time))
            fail_msg("not read: %s", text);
        assert_string_equal(lm_time_layout_name(time.layout), knowns[i].name);
        if (time.len != len) fail_msg("%s: %u bytes were read", text, time.len);
        assert_memory_equal(print(time.layout, time.ticks), text, len);
        assert_int_equal(lm_time_ns(time.layout, time.ticks, NOT_AFTER), knowns[i].utc_ns);
        lm_time again = {0};
        assert_true(lm_time_parse_as(time.layout, (const uint8_t *)text, strlen(text), &again));
        assert_int_equal(again.ticks, time.ticks);
        assert_int_equal(again.len, time.len);
    }
}

static void leaves_what_is_no_time(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1",
        "10:05",
        "10:05:",
        "10:05:0",
        "24:00:00",
        "10:60:00",
        "10:05:60",
        "1:2:3",
        "10:05:03:123",
        "10:05:03:aa:bb:cc",
        "00:16:3e:5e:6c:00",
        "10:05:03.1234567891",
        "10.250.19.102:54106",
        "192.168.10.30 16:49:06",
        "2015-02-29 10:00:00",
        "2015-04-31T10:00:00Z",
        "2015-13-01 10:00:00",
        "2015-00-10 10:00:00",
        "2015-10-18",
        "0000-01-01 00:00:00",
        "Fri Jun 09 06:07:04 2005",
        "Jun 31 06:06:20",
        "Jum  9 06:06:20",
        "Jun  9 6:06:20",
        "June 9 06:06:20",
        "1117838570",
        "1447012860.25",
        "2015-10-18 18:01:47.978.1",
        "300-10-18 18:01:47",
        "2015-10-18  18:01:47",
        "13:00:00 PM",
        "999999 999999",
        "2600-01-01T00:00:00.123456789Z",
        "abc",
        "v1.2.3",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lm_time time = {.ticks = 42};
        bool is_time = lm_time_parse((const uint8_t *)texts[i], strlen(texts[i]), &time);
        if (strcmp(texts[i], "13:00:00 PM") == 0) {
            assert_int_equal(time.len, 8); /* the clock of 24 hours, and a word behind it */
        } else if (strncmp(texts[i], "2600-", 5) == 0 || !is_time) {
            assert_false(is_time);
            assert_int_equal(time.ticks, 42);
        } else {
            fail_msg("read as a time: %s (%s)", texts[i], lm_time_layout_name(time.layout));
        }
    }
}

/* Ticks that a text of the layout can stand for: 1970..2029, or the layout's day or year. */
static int64_t ticks_of(lm_test_rng *rng, uint16_t layout)
{
    int64_t unit = lm_time_layout_ns(layout);
    int64_t per_second = unit >= 1000000000 ? 1 : 1000000000 / unit;
    int64_t ticks = (int64_t)lm_test_below(rng, 1890000000u) * per_second +
                    (int64_t)lm_test_below(rng, (uint64_t)per_second);
    if (lm_test_below(rng, 4) == 0) ticks -= ticks % per_second; /* fractions of zeros */
    if (unit > 1000000000) ticks /= 60;
    int64_t day = 86400 * per_second, year = 366 * day;
    if (!lm_time_layout_has_date(layout)) return ticks % day;
    if (!lm_time_layout_has_year(layout)) return 2 * 365 * day + ticks % year; /* 1972 */
    return ticks;
}

static void every_layout_comes_back(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("every_layout_comes_back");
    size_t layouts = 0;
    for (size_t layout = 0; layout < lm_time_layout_count(); layout++) {
        uint16_t id = (uint16_t)layout;
        if (!lm_time_layout_is_valid(id)) {
            uint8_t text[LM_TIME_TEXT_MAX];
            lm_time time;
            assert_int_equal(lm_time_print(id, 12345, text), 0);
            assert_false(
                lm_time_parse_as(id, (const uint8_t *)"2015-10-18 18:01:47,978", 23, &time));
            continue;
        }
        layouts++;
        for (int round = 0; round < 6; round++) {
            int64_t ticks = ticks_of(&rng, id);
            const char *text = print(id, ticks);
            size_t len = strlen(text);
            lm_time time = {0}, plain = {0}, any = {0};
            if (!lm_time_parse_as(id, (const uint8_t *)text, len, &time))
                fail_msg("%s: %s", lm_time_layout_name(id), text);
            assert_int_equal(time.ticks, ticks);
            assert_int_equal(time.len, len);
            assert_true(lm_time_parse_plain(id, (const uint8_t *)text, len, &plain)); /* the twin */
            assert_int_equal(plain.ticks, ticks);
            assert_int_equal(plain.len, len);
            if (!lm_time_parse((const uint8_t *)text, len, &any))
                fail_msg("not recognised: %s", text);
            assert_int_equal(any.len, len);
            char kept[LM_TIME_TEXT_MAX + 1];
            memcpy(kept, text, len + 1);
            assert_string_equal(print(any.layout, any.ticks), kept);
        }
    }
    assert_true(layouts > 20000);
}

/* One byte of a good text is changed, put in or taken out: whatever is still read must print back.
 */
static void near_misses_print_back_or_are_left(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("near_misses");
    static const char bytes[] = "0123456789 :.,-/TZ+JMayPAUC\t\xff";
    for (int round = 0; round < 200000; round++) {
        uint16_t id = (uint16_t)lm_test_below(&rng, lm_time_layout_count());
        if (round % 2) id = (uint16_t)lm_test_below(&rng, 1400);
        if (!lm_time_layout_is_valid(id)) continue;
        uint8_t text[LM_TIME_TEXT_MAX * 2];
        size_t len = lm_time_print(id, ticks_of(&rng, id), text), at = lm_test_below(&rng, len);
        uint8_t byte = (uint8_t)bytes[lm_test_below(&rng, sizeof bytes - 1)];
        switch (lm_test_below(&rng, 3)) {
        case 0:
            text[at] = byte;
            break;
        case 1:
            memmove(text + at + 1, text + at, len - at);
            text[at] = byte;
            len++;
            break;
        default:
            memmove(text + at, text + at + 1, len - at - 1);
            len--;
        }
        lm_time time, plain;
        uint8_t back[LM_TIME_TEXT_MAX];
        bool is_time = lm_time_parse(text, len, &time);
        if (is_time) {
            assert_true(time.len <= len);
            assert_int_equal(lm_time_print(time.layout, time.ticks, back), time.len);
            assert_memory_equal(back, text, time.len);
        }
        bool is_as = lm_time_parse_as(id, text, len, &time);
        assert_int_equal(lm_time_parse_plain(id, text, len, &plain), is_as);
        if (is_as) {
            assert_int_equal(plain.ticks, time.ticks);
            assert_int_equal(lm_time_print(id, time.ticks, back), time.len);
            assert_memory_equal(back, text, time.len);
        }
    }
}

/* A clock fed with times near one another reads what lm_time_parse_as reads, text behind included.
 */
static void a_clock_reads_as_one_by_one(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("a_clock");
    static const char *const behind[] = {" x", " UTC x",   "]",    ",5 x", ".5 x",
                                         "5",  " +0100 x", "\" x", ":",    ""};
    for (size_t id = 0; id < lm_time_layout_count(); id++) {
        if (!lm_time_layout_is_valid((uint16_t)id) || (id > 1400 && id % 37)) continue;
        lm_time_clock clock = {0};
        int64_t ticks = ticks_of(&rng, (uint16_t)id);
        for (int i = 0; i < 24; i++) {
            uint8_t text[LM_TIME_TEXT_MAX + 16];
            const char *tail = behind[lm_test_below(&rng, 3) ? 0 : lm_test_below(&rng, 10)];
            size_t len = lm_time_print((uint16_t)id, ticks, text);
            if (lm_test_below(&rng, 6) == 0) text[lm_test_below(&rng, len)] ^= 1;
            memcpy(text + len, tail, strlen(tail));
            len += strlen(tail);
            lm_time near = {0}, alone = {0};
            bool is_time = lm_time_parse_as((uint16_t)id, text, len, &alone);
            if (lm_time_clock_read(&clock, (uint16_t)id, text, len, &near) != is_time)
                fail_msg("%s: %.*s", lm_time_layout_name((uint16_t)id), (int)len, (char *)text);
            if (is_time) {
                assert_int_equal(near.ticks, alone.ticks);
                assert_int_equal(near.layout, alone.layout);
                assert_int_equal(near.len, alone.len);
            }
            ticks += (int64_t)lm_test_below(&rng, i % 2 ? 100 : 20000);
        }
    }
}

static void any_ticks_are_safe_to_print(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("any_ticks");
    static const int64_t edges[] = {0, -1, 1, INT64_MIN, INT64_MAX, INT64_MIN + 1};
    for (size_t layout = 0; layout < lm_time_layout_count(); layout++) {
        for (size_t i = 0; i < 12; i++) {
            uint8_t text[LM_TIME_TEXT_MAX + 8];
            memset(text, 0xA5, sizeof text);
            int64_t ticks =
                i < 6 ? edges[i] : (int64_t)(lm_test_random(&rng) >> lm_test_below(&rng, 64));
            size_t len = lm_time_print((uint16_t)layout, ticks, text);
            assert_true(len <= LM_TIME_TEXT_MAX);
            for (size_t k = LM_TIME_TEXT_MAX; k < sizeof text; k++)
                assert_int_equal(text[k], 0xA5);
            (void)lm_time_ns((uint16_t)layout, ticks,
                             edges[i % 6]); /* no overflow, for the sanitizer to see */
        }
    }
}

static void slots_agree_with_the_list(void **state)
{
    (void)state;
    for (size_t slot = 0; slot < SLOTS; slot++)
        assert_int_equal(lm_time_families[lm_time_family_of_slot[slot]].zoned, slot + 1);
    for (size_t i = 0; i < F_COUNT; i++) {
        const lm_time_family *f = &lm_time_families[i];
        if (f->zoned) assert_int_equal(lm_time_family_of_slot[f->zoned - 1], i);
        if (!(f->flags & VARIES)) assert_true(f->len <= HEAD_BYTES);
        assert_true(strlen(f->pattern) < 28);
    }
    /* on disk: these must never change */
    assert_int_equal(F_ISO_T, 0);
    assert_int_equal(F_SYSLOG, 14);
    assert_int_equal(F_CLOCK, 58);
    assert_int_equal(F_DAY_MONTH_YEARLESS, 67);
}

static void users_write_times(void **state)
{
    (void)state;
    int64_t now = SECONDS(1431857103); /* 2015-05-17 10:05:03 */

    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"2h", SECONDS(1431857103 - 7200)},
        {"1h30m", SECONDS(1431857103 - 5400)},
        {" 90s ", SECONDS(1431857103 - 90)},
        {"1.5d", SECONDS(1431857103 - 129600)},
        {"2 hours ago", SECONDS(1431857103 - 7200)},
        {"-15m", SECONDS(1431857103 - 900)},
        {"now", SECONDS(1431857103)},
        {"Today", SECONDS(1431820800)},
        {"yesterday", SECONDS(1431734400)},
        {"2015", SECONDS(1420070400)},
        {"2015-05", SECONDS(1430438400)},
        {"2015-05-16", SECONDS(1431734400)},
        {"2015/05/16", SECONDS(1431734400)},
        {"2015-05-16T13", SECONDS(1431781200)},
        {"2015-05-16T13:00", SECONDS(1431781200)},
        {"2015-05-16 13:00:30.5", SECONDS(1431781230) + 500000000},
        {"2015-05-16T13:00:00+02:00", SECONDS(1431774000)},
        {"16/May/2015:13:00:00 +0000", SECONDS(1431781200)},
        {"09:00", SECONDS(1431853200)},
        {"11:00", SECONDS(1431774000)}, /* yesterday: it has not been 11 today */
        {"May 16 13:00:00", SECONDS(1431781200)},
        {"1431857103", SECONDS(1431857103)},
        {"1431857103.25", SECONDS(1431857103) + 250000000},
        {"1431857103123", SECONDS(1431857103) + 123000000},
        {"1431857103123456789", INT64_C(1431857103123456789)},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t got = 0;
        if (lm_time_parse_user(lm_str_of(cases[i].text), now, &got))
            fail_msg("%s: %s", cases[i].text, lm_err_text());
        if (got != cases[i].want)
            fail_msg("%s: %lld instead of %lld", cases[i].text, (long long)got,
                     (long long)cases[i].want);
    }
    static const char *const wrong[] = {"",
                                        "soon",
                                        "2x",
                                        "h",
                                        "2015-13",
                                        "2015-02-30",
                                        "25:00",
                                        "--",
                                        "1e9",
                                        "2015-05-16T",
                                        "12345678901234567890123"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t got = 77;
        if (lm_time_parse_user(lm_str_of(wrong[i]), now, &got) != LM_E_USAGE)
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(got, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_programs_write),
        cmocka_unit_test(leaves_what_is_no_time),
        cmocka_unit_test(every_layout_comes_back),
        cmocka_unit_test(near_misses_print_back_or_are_left),
        cmocka_unit_test(a_clock_reads_as_one_by_one),
        cmocka_unit_test(any_ticks_are_safe_to_print),
        cmocka_unit_test(slots_agree_with_the_list),
        cmocka_unit_test(users_write_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

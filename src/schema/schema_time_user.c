/**
 * Times for people: ticks to nanoseconds since 1970 UTC, and what a user types on the command line.
 */
#include "schema/schema_time.h"

#include <time.h>

#define SECOND_NS INT64_C(1000000000)
#define DAY_NS    (INT64_C(86400) * SECOND_NS)

enum { YEARLESS_BASE = 1972 };

static int64_t scale_clamped(int64_t value, int64_t factor)
{
    int64_t out;
    if (!__builtin_mul_overflow(value, factor, &out)) return out;
    return value < 0 ? INT64_MIN + 1
                     : INT64_MAX - 1; /* the ends themselves mean "unknown" elsewhere */
}

static int64_t add_clamped(int64_t a, int64_t b)
{
    int64_t out;
    if (!__builtin_add_overflow(a, b, &out) && out != INT64_MIN && out != INT64_MAX) return out;
    return b < 0 ? INT64_MIN + 1 : INT64_MAX - 1;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/** Days from 1970-01-01 to January 1st. */
static int64_t days_to_year(int64_t year)
{
    int64_t before = year - 1;
    return 365 * (year - 1970) + before / 4 - before / 100 + before / 400 - 477;
}

/** The instant of 1972 (a leap year) moved to the last year in which it exists and is not after
 * latest_ns. */
static int64_t year_chosen(int64_t ns_in_1972, int64_t latest_ns)
{
    int64_t in_year = ns_in_1972 - days_to_year(YEARLESS_BASE) * DAY_NS;
    int64_t day = in_year / DAY_NS, in_day = in_year % DAY_NS;
    int64_t year = 1970 + latest_ns / (365 * DAY_NS) + 1;
    if (year > 2261) year = 2261;
    for (; year > 1677; year--) {
        if (day == 59 && !is_leap(year)) continue; /* 29 February */
        int64_t shift = day > 59 && !is_leap(year) ? -1 : 0;
        int64_t ns = (days_to_year(year) + day + shift) * DAY_NS + in_day;
        if (ns <= latest_ns) return ns;
    }
    return ns_in_1972;
}

int64_t lm_time_clock_ns(uint16_t layout, int64_t ticks, int64_t latest_ns)
{
    int64_t clock = scale_clamped(ticks, lm_time_layout_ns(layout)) % DAY_NS;
    if (clock < 0) clock += DAY_NS;
    int64_t days =
        (latest_ns - (latest_ns % DAY_NS)) / DAY_NS - (latest_ns < 0 && latest_ns % DAY_NS != 0);
    int64_t ns = add_clamped(scale_clamped(days, DAY_NS), clock);
    return ns > latest_ns ? add_clamped(ns, -DAY_NS) : ns;
}

int64_t lm_time_ns(uint16_t layout, int64_t ticks, int64_t not_after_ns)
{
    if (!lm_time_layout_has_date(layout))
        return lm_time_clock_ns(layout, ticks, add_clamped(not_after_ns, DAY_NS / 2));
    int64_t ns = scale_clamped(ticks, lm_time_layout_ns(layout));
    int64_t latest_ns = add_clamped(not_after_ns, DAY_NS);
    if (!lm_time_layout_has_year(layout)) {
        int64_t begin = days_to_year(YEARLESS_BASE) * DAY_NS;
        if (ns < begin || ns >= begin + 366 * DAY_NS) return ns; /* not what parsing gives */
        return year_chosen(ns, latest_ns);
    }
    return add_clamped(ns, -(int64_t)lm_time_layout_zone_minutes(layout) * 60 * SECOND_NS);
}

int64_t lm_time_zone_ns(int64_t utc_ns)
{
    time_t seconds = (time_t)(utc_ns / SECOND_NS);
    struct tm parts;
    return localtime_r(&seconds, &parts) ? (int64_t)parts.tm_gmtoff * SECOND_NS : 0;
}

int64_t lm_time_utc_of(int64_t local_ns, int64_t now_ns)
{
    static const int64_t near_ns = 1800 * SECOND_NS;
    int64_t utc = add_clamped(local_ns, -lm_time_zone_ns(now_ns)), away;
    bool is_near = !__builtin_sub_overflow(utc, now_ns, &away) && away < near_ns && away > -near_ns;
    return is_near ? utc : add_clamped(local_ns, -lm_time_zone_ns(utc));
}

/* ---- what a user types ----------------------------------------------------------------------- */

typedef struct unit {
    const char *name;
    int64_t ns;
} unit;

static const unit units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", SECOND_NS},
    {"sec", SECOND_NS},
    {"second", SECOND_NS},
    {"m", 60 * SECOND_NS},
    {"min", 60 * SECOND_NS},
    {"minute", 60 * SECOND_NS},
    {"h", 3600 * SECOND_NS},
    {"hour", 3600 * SECOND_NS},
    {"d", DAY_NS},
    {"day", DAY_NS},
    {"w", 7 * DAY_NS},
    {"week", 7 * DAY_NS},
    {"month", 30 * DAY_NS},
    {"y", 365 * DAY_NS},
    {"year", 365 * DAY_NS},
};

static lm_str trim(lm_str s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++, s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static const unit *unit_of(lm_str word)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        lm_str name = lm_str_of(units[i].name);
        if (lm_str_equal_nocase(word, name)) return &units[i];
        bool has_plural =
            name.len >= 3 && word.len == name.len + 1 && (word.ptr[name.len] | 0x20) == 's';
        if (has_plural && lm_str_equal_nocase((lm_str){word.ptr, name.len}, name)) return &units[i];
    }
    return NULL;
}

/** "2h", "1h30m", "1.5d", "2 hours ago", "-15m": a span. false: it is none. */
static bool span_of(lm_str s, int64_t *out_ns)
{
    int64_t total = 0;
    size_t i = 0;
    bool any = false;
    if (s.len && s.ptr[0] == '-') i++;
    if (s.len > 4 && lm_str_equal_nocase((lm_str){s.ptr + s.len - 4, 4}, LM_STR(" ago")))
        s.len -= 4;
    while (i < s.len) {
        int64_t whole = 0, part = 0, part_scale = 1;
        size_t begin = i;
        for (; i < s.len && is_digit(s.ptr[i]) && i - begin < 12; i++) {
            whole = whole * 10 + (s.ptr[i] - '0');
        }
        if (i == begin) return false;
        if (i < s.len && s.ptr[i] == '.') {
            for (i++; i < s.len && is_digit(s.ptr[i]) && part_scale < 1000000; i++) {
                part = part * 10 + (s.ptr[i] - '0');
                part_scale *= 10;
            }
        }
        while (i < s.len && s.ptr[i] == ' ') {
            i++;
        }
        size_t word = i;
        while (i < s.len && (uint8_t)((s.ptr[i] | 0x20) - 'a') < 26) {
            i++;
        }
        const unit *u = unit_of((lm_str){s.ptr + word, i - word});
        if (!u) return false;
        total = add_clamped(total, scale_clamped(whole, u->ns));
        total =
            add_clamped(total, u->ns / part_scale * part + u->ns % part_scale * part / part_scale);
        any = true;
        while (i < s.len && s.ptr[i] == ' ') {
            i++;
        }
    }
    *out_ns = total;
    return any;
}

/** "1447012860", "1447012860.25", "1447012860123" (ms), and us and ns by their size. */
static bool epoch_of(lm_str s, int64_t *out_ns)
{
    int64_t whole = 0, part = 0, scale = SECOND_NS;
    size_t i = 0;
    for (; i < s.len && is_digit(s.ptr[i]) && i < 19; i++) {
        if (__builtin_mul_overflow(whole, 10, &whole)) return false;
        if (__builtin_add_overflow(whole, s.ptr[i] - '0', &whole)) return false;
    }
    if (i < 9) return false; /* "2026" and "20261123" are dates */
    size_t digits = i;
    if (i < s.len && s.ptr[i] == '.' && digits <= 11) {
        for (i++; i < s.len && is_digit(s.ptr[i]) && scale > 1; i++) {
            part = part * 10 + (s.ptr[i] - '0');
            scale /= 10;
        }
    }
    if (i != s.len) return false;
    int64_t unit_ns = digits <= 11 ? SECOND_NS : digits <= 14 ? 1000000 : digits <= 17 ? 1000 : 1;
    *out_ns = add_clamped(scale_clamped(whole, unit_ns), digits <= 11 ? part * scale : 0);
    return true;
}

/** The last such time that is not in the future. */
static int64_t past_of(const lm_time *time, int64_t now_ns)
{
    return lm_time_layout_has_date(time->layout)
               ? lm_time_ns(time->layout, time->ticks, add_clamped(now_ns, -DAY_NS))
               : lm_time_clock_ns(time->layout, time->ticks, now_ns);
}

/** "2026", "2026-11", "2026-11-23", a date and a clock with or without seconds, anything
 * lm_time_parse knows. */
static bool date_of(lm_str s, int64_t now_ns, int64_t *out_ns)
{
    static const char filled[] = "2000-01-01 00:00:00";
    uint8_t text[64];
    lm_time time;
    if (s.len == 0 || s.len >= sizeof text) return false;
    if (lm_time_parse(s.ptr, s.len, &time) && time.len == s.len) {
        *out_ns = past_of(&time, now_ns);
        return true;
    }
    if (s.len == 5 && s.ptr[2] == ':') {
        memcpy(text, s.ptr, 5);
        memcpy(text + 5, ":00", 3);
        if (!lm_time_parse(text, 8, &time) || time.len != 8) return false;
        *out_ns = past_of(&time, now_ns);
        return true;
    }
    if (s.len >= sizeof filled - 1 || s.len < 4) return false;
    memcpy(text, filled, sizeof filled);
    memcpy(text, s.ptr, s.len);
    for (size_t i = 4; i < s.len && i < 10; i++) {
        if (i % 3 == 1 && text[i] == '/') text[i] = '-';
    }
    if (s.len > 10 && text[10] == 'T') text[10] = ' ';
    bool is_cut_well = s.len == 4 || s.len == 7 || s.len == 10 || s.len == 13 || s.len == 16;
    if (!is_cut_well || !lm_time_parse(text, sizeof filled - 1, &time) ||
        time.len != sizeof filled - 1)
        return false;
    *out_ns = lm_time_ns(time.layout, time.ticks, now_ns);
    return true;
}

lm_err lm_time_parse_user(lm_str given, int64_t now_ns, int64_t *out_ns)
{
    lm_str text = trim(given);
    int64_t span = 0, today = now_ns - now_ns % DAY_NS;
    if (lm_str_equal_nocase(text, LM_STR("now"))) {
        *out_ns = now_ns;
    } else if (lm_str_equal_nocase(text, LM_STR("today"))) {
        *out_ns = today;
    } else if (lm_str_equal_nocase(text, LM_STR("yesterday"))) {
        *out_ns = today - DAY_NS;
    } else if (span_of(text, &span)) {
        *out_ns = add_clamped(now_ns, -span);
    } else if (!epoch_of(text, out_ns) && !date_of(text, now_ns, out_ns)) {
        return lm_fail(LM_E_USAGE,
                       "'%.*s' is not a time; write 2h, 15m, yesterday, 2026-11-23, "
                       "2026-11-23T13:00 or an epoch",
                       (int)(given.len < 64 ? given.len : 64), (const char *)given.ptr);
    }
    return LM_OK;
}

/** Times by Go's layouts ("2006-01-02 15:04:05"), in UTC. */
#include "logql/logql_template_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

typedef enum unit {
    LITERAL,
    LONG_YEAR,
    YEAR,
    LONG_MONTH,
    MONTH,
    NUM_MONTH,
    ZERO_MONTH,
    LONG_DAY_OF_WEEK,
    DAY_OF_WEEK,
    DAY,
    UNDER_DAY,
    ZERO_DAY,
    DAY_OF_YEAR,
    HOUR,
    HOUR12,
    ZERO_HOUR12,
    MINUTE,
    ZERO_MINUTE,
    SECOND,
    ZERO_SECOND,
    UPPER_PM,
    LOWER_PM,
    ZONE_NAME,
    ISO_ZONE, /* Z07:00 and its like */
    NUM_ZONE,
    FRACTION /* .000, .999 */
} unit;

static const struct {
    const char *text;
    unit is;
} units[] = {/* the longer first where one begins another */
             {"2006", LONG_YEAR},
             {"January", LONG_MONTH},
             {"Monday", LONG_DAY_OF_WEEK},
             {"Jan", MONTH},
             {"Mon", DAY_OF_WEEK},
             {"MST", ZONE_NAME},
             {"002", DAY_OF_YEAR},
             {"01", ZERO_MONTH},
             {"02", ZERO_DAY},
             {"03", ZERO_HOUR12},
             {"04", ZERO_MINUTE},
             {"05", ZERO_SECOND},
             {"06", YEAR},
             {"15", HOUR},
             {"1", NUM_MONTH},
             {"_2", UNDER_DAY},
             {"2", DAY},
             {"3", HOUR12},
             {"4", MINUTE},
             {"5", SECOND},
             {"PM", UPPER_PM},
             {"pm", LOWER_PM},
             {"-07:00:00", NUM_ZONE},
             {"-070000", NUM_ZONE},
             {"-07:00", NUM_ZONE},
             {"-0700", NUM_ZONE},
             {"-07", NUM_ZONE},
             {"Z07:00:00", ISO_ZONE},
             {"Z070000", ISO_ZONE},
             {"Z07:00", ISO_ZONE},
             {"Z0700", ISO_ZONE},
             {"Z07", ISO_ZONE}};

/** The unit that layout begins with and its length; LITERAL, 1 if none. */
static unit unit_of(lm_str layout, size_t *out_len)
{
    if (layout.len > 1 && (layout.ptr[0] == '.' || layout.ptr[0] == ',') &&
        (layout.ptr[1] == '0' || layout.ptr[1] == '9')) {
        size_t len = 1;
        while (len < layout.len && layout.ptr[len] == layout.ptr[1])
            len++;
        if (len == layout.len || !isdigit(layout.ptr[len])) {
            *out_len = len;
            return FRACTION;
        }
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (lm_str_starts(layout, lm_str_of(units[i].text))) {
            *out_len = strlen(units[i].text);
            return units[i].is;
        }
    }
    *out_len = 1;
    return LITERAL;
}

static void split(int64_t time_ns, struct tm *out, int64_t *out_ns)
{
    int64_t seconds = time_ns / NS_PER_S;
    *out_ns = time_ns % NS_PER_S;
    if (*out_ns < 0) {
        *out_ns += NS_PER_S;
        seconds--;
    }
    time_t when = (time_t)seconds;
    memset(out, 0, sizeof *out);
    (void)gmtime_r(&when, out); /* 64 bits of ns are always a year it knows */
}

static int fraction_text(lm_str layout, size_t len, int64_t ns, char *text, size_t cap)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%09lld", (long long)ns);
    size_t wanted = len - 1 < 9 ? len - 1 : 9;
    digits[wanted] = 0;
    if (layout.ptr[1] == '9') {
        while (wanted && digits[wanted - 1] == '0')
            digits[--wanted] = 0;
        if (!wanted) return snprintf(text, cap, "%s", "");
    }
    return snprintf(text, cap, "%c%s", layout.ptr[0], digits);
}

lm_err lm_lq_time_format(lm_str layout, int64_t time_ns, lm_buf *out)
{
    struct tm t;
    int64_t ns;
    split(time_ns, &t, &ns);
    int hour12 = t.tm_hour % 12 ? t.tm_hour % 12 : 12;
    while (layout.len) {
        char text[64];
        size_t len = 0;
        int n = 0;
        switch (unit_of(layout, &len)) {
        case LITERAL:
            n = snprintf(text, sizeof text, "%c", layout.ptr[0]);
            text[0] = (char)layout.ptr[0];
            n = 1;
            break;
        case LONG_YEAR:
            n = snprintf(text, sizeof text, "%04d", t.tm_year + 1900);
            break;
        case YEAR:
            n = snprintf(text, sizeof text, "%02d", t.tm_year % 100);
            break;
        case LONG_MONTH:
            n = snprintf(text, sizeof text, "%s", months[t.tm_mon]);
            break;
        case MONTH:
            n = snprintf(text, sizeof text, "%.3s", months[t.tm_mon]);
            break;
        case NUM_MONTH:
            n = snprintf(text, sizeof text, "%d", t.tm_mon + 1);
            break;
        case ZERO_MONTH:
            n = snprintf(text, sizeof text, "%02d", t.tm_mon + 1);
            break;
        case LONG_DAY_OF_WEEK:
            n = snprintf(text, sizeof text, "%s", days[t.tm_wday]);
            break;
        case DAY_OF_WEEK:
            n = snprintf(text, sizeof text, "%.3s", days[t.tm_wday]);
            break;
        case DAY:
            n = snprintf(text, sizeof text, "%d", t.tm_mday);
            break;
        case UNDER_DAY:
            n = snprintf(text, sizeof text, "%2d", t.tm_mday);
            break;
        case ZERO_DAY:
            n = snprintf(text, sizeof text, "%02d", t.tm_mday);
            break;
        case DAY_OF_YEAR:
            n = snprintf(text, sizeof text, "%03d", t.tm_yday + 1);
            break;
        case HOUR:
            n = snprintf(text, sizeof text, "%02d", t.tm_hour);
            break;
        case HOUR12:
            n = snprintf(text, sizeof text, "%d", hour12);
            break;
        case ZERO_HOUR12:
            n = snprintf(text, sizeof text, "%02d", hour12);
            break;
        case MINUTE:
            n = snprintf(text, sizeof text, "%d", t.tm_min);
            break;
        case ZERO_MINUTE:
            n = snprintf(text, sizeof text, "%02d", t.tm_min);
            break;
        case SECOND:
            n = snprintf(text, sizeof text, "%d", t.tm_sec);
            break;
        case ZERO_SECOND:
            n = snprintf(text, sizeof text, "%02d", t.tm_sec);
            break;
        case UPPER_PM:
            n = snprintf(text, sizeof text, "%s", t.tm_hour < 12 ? "AM" : "PM");
            break;
        case LOWER_PM:
            n = snprintf(text, sizeof text, "%s", t.tm_hour < 12 ? "am" : "pm");
            break;
        case ZONE_NAME:
            n = snprintf(text, sizeof text, "UTC");
            break;
        case ISO_ZONE:
            n = snprintf(text, sizeof text, "Z");
            break;
        case NUM_ZONE: {
            size_t k = 0;
            for (; k < len; k++)
                text[k] = (char)(layout.ptr[k] == '-' ? '+' : layout.ptr[k] == ':' ? ':' : '0');
            n = (int)len;
            break;
        }
        case FRACTION:
            n = fraction_text(layout, len, ns, text, sizeof text);
            break;
        }
        lm_err err = lm_buf_append(out, text, (size_t)n);
        if (err) return err;
        layout.ptr += len;
        layout.len -= len;
    }
    return LM_OK;
}

/* ---- reading ---- */

static bool take_number(lm_str *s, size_t least, size_t most, int *out)
{
    size_t len = 0;
    int value = 0;
    while (len < s->len && len < most && isdigit(s->ptr[len]))
        value = value * 10 + (s->ptr[len++] - '0');
    if (len < least || !len) return false;
    s->ptr += len;
    s->len -= len;
    *out = value;
    return true;
}

static bool take_name(lm_str *s, const char *const *names, int count, size_t cut, int *out)
{
    for (int i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (cut && len > cut) len = cut;
        if (s->len < len ||
            !lm_str_equal_nocase((lm_str){s->ptr, len}, (lm_str){(const uint8_t *)names[i], len}))
            continue;
        s->ptr += len;
        s->len -= len;
        *out = i;
        return true;
    }
    return false;
}

static bool take_zone(lm_str *s, lm_str form, int64_t *out_seconds)
{
    if (form.ptr[0] == 'Z' && s->len && s->ptr[0] == 'Z') {
        s->ptr++;
        s->len--;
        *out_seconds = 0;
        return true;
    }
    if (!s->len || (s->ptr[0] != '+' && s->ptr[0] != '-')) return false;
    int64_t sign = s->ptr[0] == '-' ? -1 : 1, total = 0, scale = 3600;
    s->ptr++;
    s->len--;
    for (size_t i = 1; i < form.len; scale /= 60) {
        int part = 0;
        if (form.ptr[i] == ':') {
            if (!s->len || s->ptr[0] != ':') return false;
            s->ptr++;
            s->len--;
            i++;
        }
        if (!take_number(s, 2, 2, &part)) return false;
        total += part * scale;
        i += 2;
    }
    *out_seconds = sign * total;
    return true;
}

static bool take_fraction(lm_str *s, int64_t *out_ns)
{
    int64_t value = 0, digits = 0;
    if (!s->len || (s->ptr[0] != '.' && s->ptr[0] != ',')) return false;
    s->ptr++;
    s->len--;
    while (s->len && isdigit(s->ptr[0])) {
        if (digits < 9) value = value * 10 + (s->ptr[0] - '0');
        digits++;
        s->ptr++;
        s->len--;
    }
    for (int64_t i = digits; i < 9; i++)
        value *= 10;
    *out_ns = value;
    return digits > 0;
}

typedef struct reading {
    int year, month, day, hour, minute, second, day_of_year;
    bool is_pm, is_12;
    int64_t ns, zone_seconds;
} reading;

static bool take_unit(lm_str *s, unit what, lm_str form, reading *r)
{
    int ignored;
    switch (what) {
    case LITERAL:
        if (!s->len || s->ptr[0] != form.ptr[0]) return false;
        s->ptr++;
        s->len--;
        return true;
    case LONG_YEAR:
        return take_number(s, 4, 4, &r->year);
    case YEAR:
        if (!take_number(s, 2, 2, &r->year)) return false;
        r->year += r->year >= 69 ? 1900 : 2000;
        return true;
    case LONG_MONTH:
    case MONTH:
        if (!take_name(s, months, 12, what == MONTH ? 3 : 0, &r->month)) return false;
        r->month++;
        return true;
    case NUM_MONTH:
    case ZERO_MONTH:
        return take_number(s, what == ZERO_MONTH ? 2 : 1, 2, &r->month);
    case LONG_DAY_OF_WEEK:
    case DAY_OF_WEEK:
        return take_name(s, days, 7, what == DAY_OF_WEEK ? 3 : 0, &ignored);
    case UNDER_DAY:
    case DAY:
    case ZERO_DAY:
        if (what == UNDER_DAY && s->len && s->ptr[0] == ' ') {
            s->ptr++;
            s->len--;
        }
        return take_number(s, what == ZERO_DAY ? 2 : 1, 2, &r->day);
    case DAY_OF_YEAR:
        return take_number(s, 3, 3, &r->day_of_year);
    case HOUR:
        return take_number(s, 2, 2, &r->hour);
    case HOUR12:
    case ZERO_HOUR12:
        r->is_12 = true;
        return take_number(s, what == ZERO_HOUR12 ? 2 : 1, 2, &r->hour);
    case MINUTE:
    case ZERO_MINUTE:
        return take_number(s, what == ZERO_MINUTE ? 2 : 1, 2, &r->minute);
    case SECOND:
    case ZERO_SECOND:
        if (!take_number(s, what == ZERO_SECOND ? 2 : 1, 2, &r->second)) return false;
        if (s->len > 1 && s->ptr[0] == '.' && isdigit(s->ptr[1])) return take_fraction(s, &r->ns);
        return true;
    case UPPER_PM:
    case LOWER_PM:
        if (s->len < 2 || (s->ptr[1] | 0x20) != 'm') return false;
        r->is_12 = true;
        r->is_pm = (s->ptr[0] | 0x20) == 'p';
        s->ptr += 2;
        s->len -= 2;
        return true;
    case ZONE_NAME: {
        size_t len = 0;
        while (len < s->len && isupper(s->ptr[len]))
            len++;
        s->ptr += len;
        s->len -= len;
        return len >= 3;
    }
    case ISO_ZONE:
    case NUM_ZONE:
        return take_zone(s, form, &r->zone_seconds);
    case FRACTION:
        return s->len && (s->ptr[0] == '.' || s->ptr[0] == ',') ? take_fraction(s, &r->ns) : true;
    }
    return false;
}

/** Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, in_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

bool lm_lq_time_parse(lm_str layout, lm_str text, int64_t *out_ns)
{
    reading r = {.year = 0, .month = 1, .day = 1};
    while (layout.len) {
        size_t len = 0;
        unit what = unit_of(layout, &len);
        if (!take_unit(&text, what, (lm_str){layout.ptr, len}, &r)) return false;
        layout.ptr += len;
        layout.len -= len;
    }
    if (r.is_12) r.hour = r.hour % 12 + (r.is_pm ? 12 : 0);
    if (text.len || r.month < 1 || r.month > 12 || r.day < 1 || r.day > 31 || r.hour > 23 ||
        r.minute > 59 || r.second > 59)
        return false;
    int64_t day = days_of(r.year, r.month, r.day);
    if (r.day_of_year) day = days_of(r.year, 1, 1) + r.day_of_year - 1;
    int64_t seconds = day * 86400 + r.hour * 3600 + r.minute * 60 + r.second - r.zone_seconds, ns;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns)) return false;
    return !__builtin_add_overflow(ns, r.ns, out_ns);
}

/**
 * Timestamps printed: ticks -> text, the exact inverse of schema_time.c.
 */
#include "schema/schema_time_priv.h"

static inline void date_of(int64_t days, lm_time_fields *x)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    uint32_t doe = (uint32_t)(z - era * 146097);
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t mp = (5 * doy + 2) / 153;
    x->day = doy - (153 * mp + 2) / 5 + 1;
    x->month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = ((int64_t)yoe + era * 400 + (x->month <= 2)) % 10000;
    x->year = (uint32_t)(year < 0 ? year + 10000 : year);
    x->weekday = (uint32_t)(((days % 7) + 11) % 7);
}

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/** Ticks to whole seconds and the rest; divisions by constants. */
static inline int64_t seconds_of(int64_t ticks, uint32_t digits, uint32_t *out_fraction)
{
    int64_t seconds;
    switch (digits) {
    case 0:
        seconds = ticks;
        break;
    case 3:
        seconds = floor_div(ticks, 1000);
        break;
    case 6:
        seconds = floor_div(ticks, 1000000);
        break;
    case 9:
        seconds = floor_div(ticks, 1000000000);
        break;
    default:
        seconds = floor_div(ticks, lm_time_power10[digits]);
        break;
    }
    *out_fraction =
        (uint32_t)((uint64_t)ticks - (uint64_t)seconds * (uint64_t)lm_time_power10[digits]);
    return seconds;
}

static void fields_of(const lm_time_family *f, int64_t ticks, uint32_t digits, lm_time_fields *x,
                      uint32_t *out_fraction)
{
    *out_fraction = 0;
    *x = (lm_time_fields){0};
    if (f->flags & MILLI) {
        ticks = seconds_of(ticks, 3, &x->milli);
    } else if (f->flags & BARE) {
        /* minutes: far off ones wrap, harmlessly */
        ticks = (int64_t)((uint64_t)ticks * 60);
    } else {
        ticks = seconds_of(ticks, digits, out_fraction);
    }
    int64_t days = floor_div(ticks, 86400);
    uint32_t second =
        (uint32_t)((uint64_t)ticks - (uint64_t)days * 86400); /* days round down: wraps */
    x->hour = second / 3600;
    x->minute = second / 60 % 60;
    x->second = second % 60;
    if (f->day != NONE) date_of(days, x);
}

static uint32_t hour_of_12(uint32_t hour)
{
    return (hour + 11) % 12 + 1;
}

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748"
    "4950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495"
    "96979899";

static inline void put_pair(uint8_t *dst, uint32_t value)
{
    memcpy(dst, pairs + value * 2, 2); /* value < 100 */
}

/** Nine digits of value < 10^9, of which the caller keeps the first few. */
static inline void put_nine(uint8_t *dst, uint32_t value)
{
    put_pair(dst, value / 10000000);
    put_pair(dst + 2, value / 100000 % 100);
    put_pair(dst + 4, value / 1000 % 100);
    put_pair(dst + 6, value / 10 % 100);
    dst[8] = (uint8_t)('0' + value % 10);
}

/** dst has HEAD_BYTES. */
static inline uint8_t *head_put_fixed(const lm_time_family *f, const lm_time_fields *x,
                                      uint8_t *dst)
{
    memcpy(dst, f->text, HEAD_BYTES);
    if (f->year != NONE) {
        put_pair(dst + f->year, x->year / 100);
        put_pair(dst + f->year + 2, x->year % 100);
    } else if (f->year2 != NONE) {
        put_pair(dst + f->year2, x->year % 100);
    }
    if (f->day != NONE) {
        put_pair(dst + f->day, x->day);
        if (f->blank_day && x->day < 10) dst[f->day] = ' ';
        if (f->name != NONE) {
            memcpy(dst + f->name, lm_time_month_names[x->month - 1], 3);
        } else {
            put_pair(dst + f->month, x->month);
        }
        if (f->weekday != NONE) memcpy(dst + f->weekday, lm_time_weekday_names[x->weekday], 3);
    }
    put_pair(dst + f->hour, f->flags & AM_PM ? hour_of_12(x->hour) : x->hour);
    if (f->blank_hour && x->hour < 10) dst[f->hour] = ' ';
    put_pair(dst + f->minute, x->minute);
    if (f->second != NONE) put_pair(dst + f->second, x->second);
    return dst + f->len;
}

static uint8_t *put_number(uint8_t *dst, uint32_t value, uint32_t width)
{
    uint32_t digits = value >= 1000 ? 4 : value >= 100 ? 3 : value >= 10 ? 2 : 1;
    if (width > 1) digits = width;
    for (uint32_t i = digits; i > 0; i--) {
        dst[i - 1] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
    return dst + digits;
}

static uint8_t *head_put(const lm_time_family *f, const lm_time_fields *x, uint8_t *dst)
{
    for (const char *c = f->pattern; *c;) {
        char letter = *c;
        uint32_t width = 0;
        while (c[width] == letter) {
            width++;
        }
        c += width;
        switch (letter) {
        case 'Y':
        case 'y':
            dst = put_number(dst, x->year, width);
            break;
        case 'm':
            dst = put_number(dst, x->month, width);
            break;
        case 'd':
            dst = put_number(dst, x->day, width);
            break;
        case 'H':
            dst = put_number(dst, x->hour, width);
            break;
        case 'I':
            dst = put_number(dst, hour_of_12(x->hour), width);
            break;
        case 'M':
            dst = put_number(dst, x->minute, width);
            break;
        case 'S':
            dst = put_number(dst, x->second, width);
            break;
        case 'f':
            dst = put_number(dst, x->milli, width);
            break;
        case 'b':
            memcpy(dst, lm_time_month_names[x->month - 1], 3);
            dst += 3;
            break;
        case 'a':
            memcpy(dst, lm_time_weekday_names[x->weekday], 3);
            dst += 3;
            break;
        default:
            memset(dst, letter, width);
            dst += width;
        }
    }
    return dst;
}

size_t lm_time_print(uint16_t id, int64_t ticks, uint8_t *dst)
{
    lm_time_layout l = lm_time_layout_find(id);
    if (!l.family) return 0;
    const lm_time_family *f = l.family;
    lm_time_fields x;
    uint32_t fraction;
    fields_of(f, ticks, l.digits, &x, &fraction);
    uint8_t *p = f->flags & VARIES ? head_put(f, &x, dst) : head_put_fixed(f, &x, dst);
    if (l.digits) {
        *p = l.separator;
        put_nine(p + 1, fraction * (uint32_t)lm_time_power10[9 - l.digits]);
        while (l.is_trimmed && l.digits && p[l.digits] == '0') {
            l.digits--;
        }
        if (l.digits) p += l.digits + 1;
    }
    if (f->flags & AM_PM) {
        memcpy(p, x.hour < 12 ? " AM" : " PM", 3);
        p += 3;
    }
    p = lm_time_zone_put(p, l.zone);
    if (f->flags & (YEAR | ZONE_YEAR)) {
        *p++ = ' ';
        p = put_number(p, x.year, 4);
    }
    return (size_t)(p - dst);
}

/** Times as clients write them: text of a known layout, or a number whose size tells its unit. */
#include "wire/wire_priv.h"

bool lm_wire_int(lm_str text, int64_t *out)
{
    enum { SAFE = 18 }; /* so many digits cannot be too many */

    size_t at = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
    size_t safe = text.len < SAFE ? text.len : SAFE;
    uint64_t value = 0;
    if (at == text.len || text.len - at > 20) return false;
    for (; at < safe; at++) {
        uint8_t digit = (uint8_t)(text.ptr[at] - '0');
        if (digit > 9) return false;
        value = value * 10 + digit;
    }
    for (; at < text.len; at++) {
        uint8_t digit = (uint8_t)(text.ptr[at] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    bool is_negative = text.ptr[0] == '-';
    if (value > (uint64_t)INT64_MAX + is_negative) return false;
    *out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/** Nanoseconds of one unit of a number of that size: seconds until the year 5138. */
static int64_t unit_of(uint64_t size)
{
    return size < 100000000000u         ? 1000000000
           : size < 100000000000000u    ? 1000000
           : size < 100000000000000000u ? 1000
                                        : 1;
}

/** 1.7952e9 and the like: rare, and no more exact than a double is. */
static bool time_of_double(lm_str text, int64_t *out_ns)
{
    char number[64];
    yyjson_val value;
    if (text.len >= sizeof number) return false;
    memcpy(number, text.ptr, text.len);
    number[text.len] = 0;
    const char *end = yyjson_read_number(number, &value, 0, NULL, NULL);
    if (!end || *end) return false;
    double x = yyjson_get_num(&value), size = x < 0 ? -x : x;
    if (!(size < 9e18)) return false;
    double ns = x * (double)unit_of((uint64_t)size);
    if (!(ns < 9.2e18 && ns > -9.2e18)) return false;
    *out_ns = (int64_t)ns;
    return true;
}

bool lm_wire_time_number(lm_str text, int64_t *out_ns)
{
    size_t dot = 0;
    int64_t whole;
    while (dot < text.len && text.ptr[dot] != '.' && (text.ptr[dot] | 0x20) != 'e')
        dot++;
    if (!lm_wire_int((lm_str){text.ptr, dot}, &whole)) return false;
    if (dot < text.len && text.ptr[dot] != '.') return time_of_double(text, out_ns);
    int64_t unit = unit_of(whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole);
    int64_t ns, part = 0, scale = unit;
    for (size_t i = dot + 1; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');
        if (digit > 9) return (text.ptr[i] | 0x20) == 'e' && time_of_double(text, out_ns);
        scale /= 10;
        part += digit * scale;
    }
    if (dot + 1 == text.len) return false; /* "17." */
    if (__builtin_mul_overflow(whole, unit, &ns) ||
        __builtin_add_overflow(ns, text.ptr[0] == '-' ? -part : part, &ns))
        return false;
    *out_ns = ns;
    return true;
}

/** The text has the layout of the one before. A blank is put behind it: the clock wants to see
 * where a time ends. */
static bool read_like_last(lm_wire_times *times, lm_str text, int64_t *out_ns)
{
    uint8_t copy[LM_TIME_TEXT_MAX + 1];
    lm_time time;
    if (text.len > LM_TIME_TEXT_MAX) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = ' ';
    if (!lm_time_clock_read(&times->clock, times->layout, copy, text.len + 1, &time) ||
        time.len != text.len)
        return false;
    if (__builtin_mul_overflow(time.ticks, times->unit_ns, out_ns) ||
        __builtin_sub_overflow(*out_ns, times->zone_ns, out_ns)) {
        *out_ns = lm_time_ns(time.layout, time.ticks, times->now_ns); /* as near as 64 bits can */
    }
    return true;
}

bool lm_wire_time_text(lm_wire_times *times, lm_str text, int64_t *out_ns)
{
    lm_time time;
    if (text.len == 0) return false;
    if (times->has_layout && read_like_last(times, text, out_ns)) return true;
    if (lm_time_parse(text.ptr, text.len, &time) && time.len == text.len &&
        lm_time_layout_has_date(time.layout) && lm_time_layout_has_year(time.layout)) {
        times->clock = (lm_time_clock){0};
        times->layout = time.layout;
        times->has_layout = true;
        times->unit_ns = lm_time_layout_ns(time.layout);
        times->zone_ns =
            (int64_t)lm_time_layout_zone_minutes(time.layout) * 60 * INT64_C(1000000000);
        *out_ns = lm_time_ns(time.layout, time.ticks, times->now_ns);
        return true;
    }
    return lm_wire_time_number(text, out_ns);
}

/** Durations, sizes and numbers, read and written as Go, Prometheus and go-humanize do. */
#include "logql/logql_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_BYTES_MAX 512

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool lm_lq_duration_prom(lm_str s, int64_t *out_ns)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"y", INT64_C(31536000000)},
                 {"w", 604800000},
                 {"d", 86400000},
                 {"h", 3600000},
                 {"m", 60000},
                 {"s", 1000},
                 {"ms", 1}};

    if (lm_str_equal(s, LM_STR("0"))) {
        *out_ns = 0;
        return true;
    }
    if (s.len == 0) return false;
    int64_t total = 0;
    size_t at = 0, next_unit = 0;
    while (at < s.len) {
        int64_t value = 0;
        size_t begin = at;
        while (at < s.len && is_digit(s.ptr[at])) {
            if (__builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, s.ptr[at] - '0', &value))
                return false;
            at++;
        }
        if (at == begin) return false;
        size_t name = at;
        while (at < s.len && !is_digit(s.ptr[at]))
            at++;
        lm_str unit = {s.ptr + name, at - name};
        size_t i = next_unit;
        while (i < sizeof units / sizeof *units && !lm_str_equal(unit, lm_str_of(units[i].name)))
            i++;
        if (i == sizeof units / sizeof *units) return false;
        next_unit = i + 1; /* each unit once, the larger first */
        if (__builtin_mul_overflow(value, units[i].ms, &value) ||
            __builtin_add_overflow(total, value, &total))
            return false;
    }
    return !__builtin_mul_overflow(total, 1000000, out_ns);
}

/** Length of the unit at s and its ns; 0: none. */
static size_t go_unit(lm_str s, double *out_ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},   {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3},
                 {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};

    size_t len = 0;
    while (len < s.len && !is_digit(s.ptr[len]) && s.ptr[len] != '.')
        len++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (lm_str_equal((lm_str){s.ptr, len}, lm_str_of(units[i].name))) {
            *out_ns = units[i].ns;
            return len;
        }
    }
    return 0;
}

bool lm_lq_duration_go(lm_str s, int64_t *out_ns)
{
    size_t at = 0;
    bool is_negative = false;
    if (at < s.len && (s.ptr[at] == '-' || s.ptr[at] == '+')) is_negative = s.ptr[at++] == '-';
    if (s.len - at == 1 && s.ptr[at] == '0') {
        *out_ns = 0;
        return true;
    }
    if (at == s.len) return false;
    uint64_t total = 0;
    while (at < s.len) {
        uint64_t whole = 0, part = 0;
        double scale = 1;
        size_t digits = 0;
        while (at < s.len && is_digit(s.ptr[at])) {
            if (whole > (UINT64_C(1) << 63) / 10) return false;
            whole = whole * 10 + (uint64_t)(s.ptr[at++] - '0');
            digits++;
        }
        if (at < s.len && s.ptr[at] == '.') {
            at++;
            while (at < s.len && is_digit(s.ptr[at])) {
                if (part < UINT64_C(100000000000000000)) {
                    part = part * 10 + (uint64_t)(s.ptr[at] - '0');
                    scale *= 10;
                }
                at++;
                digits++;
            }
        }
        double unit = 0;
        size_t len = digits ? go_unit((lm_str){s.ptr + at, s.len - at}, &unit) : 0;
        if (!len) return false;
        at += len;
        uint64_t value = 0;
        if (__builtin_mul_overflow(whole, (uint64_t)unit, &value)) return false;
        if (part) value += (uint64_t)((double)part * (unit / scale));
        if (__builtin_add_overflow(total, value, &total) || total > UINT64_C(1) << 63) return false;
    }
    if (!is_negative && total > INT64_MAX) return false;
    *out_ns = is_negative ? (int64_t)(0 - total) : (int64_t)total;
    return true;
}

bool lm_lq_bytes(lm_str s, uint64_t *out)
{
    static const char letters[] = "kmgtpe";
    char number[64];
    size_t len = 0, at = 0;
    while (at < s.len && (is_digit(s.ptr[at]) || s.ptr[at] == '.' || s.ptr[at] == ',')) {
        if (s.ptr[at] != ',') {
            if (len + 1 >= sizeof number) return false;
            number[len++] = (char)s.ptr[at];
        }
        at++;
    }
    double value;
    if (!lm_lq_float((lm_str){(const uint8_t *)number, len}, &value)) return false;
    while (at < s.len && isspace(s.ptr[at]))
        at++;
    lm_str unit = {s.ptr + at, s.len - at};
    while (unit.len && isspace(unit.ptr[unit.len - 1]))
        unit.len--;
    double scale = 1;
    if (unit.len && !lm_str_equal_nocase(unit, LM_STR("b"))) {
        const char *letter = unit.ptr[0] ? strchr(letters, tolower(unit.ptr[0])) : NULL;
        if (!letter) return false;
        lm_str rest = {unit.ptr + 1, unit.len - 1};
        bool is_binary =
            lm_str_equal_nocase(rest, LM_STR("i")) || lm_str_equal_nocase(rest, LM_STR("ib"));
        if (!is_binary && rest.len && !lm_str_equal_nocase(rest, LM_STR("b"))) return false;
        for (const char *p = letters; p <= letter; p++)
            scale *= is_binary ? 1024 : 1000;
    }
    value *= scale;
    if (!(value >= 0) || value >= 18446744073709551616.0) return false;
    *out = (uint64_t)value;
    return true;
}

bool lm_lq_float(lm_str s, double *out)
{
    /* Short plain decimals: exact with one division. */
    uint64_t mantissa = 0;
    size_t at = 0, digits = 0, decimals = 0;
    bool is_negative = s.len && s.ptr[0] == '-';
    if (is_negative) at++;
    static const double powers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    for (; at < s.len && is_digit(s.ptr[at]); at++, digits++)
        mantissa = mantissa * 10 + (uint64_t)(s.ptr[at] - '0');
    if (digits && at < s.len && s.ptr[at] == '.') {
        for (at++; at < s.len && is_digit(s.ptr[at]); at++, digits++, decimals++)
            mantissa = mantissa * 10 + (uint64_t)(s.ptr[at] - '0');
    }
    if (digits && digits <= 15 && at == s.len) {
        double value = (double)mantissa / powers[decimals];
        *out = is_negative ? -value : value;
        return true;
    }
    char text[NUMBER_BYTES_MAX];
    if (s.len == 0 || s.len >= sizeof text) return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!isalnum(c) && c != '.' && c != '+' && c != '-') return false;
        text[i] = (char)c;
    }
    text[s.len] = 0;
    if (strpbrk(text, "(")) return false;
    char *end = NULL;
    double value = strtod(text, &end);
    if (end != text + s.len) return false;
    bool is_hex = strpbrk(text, "xX") != NULL;
    if (is_hex && !strpbrk(text, "pP")) return false; /* as Go: a power must be told */
    bool says_infinite = strpbrk(text, "iIyY") != NULL;
    if (isinf(value) && !says_infinite) return false; /* out of range */
    *out = value;
    return true;
}

bool lm_lq_int(lm_str s, int64_t *out)
{
    size_t at = 0;
    bool is_negative = false;
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+')) is_negative = s.ptr[at++] == '-';
    if (at == s.len || s.len > 20) return false;
    int64_t value = 0;
    for (; at < s.len; at++) {
        if (!is_digit(s.ptr[at])) return false;
        int64_t digit = s.ptr[at] - '0';
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (is_negative ? __builtin_sub_overflow(value, digit, &value)
                        : __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

static lm_err put(lm_buf *out, const char *text)
{
    return lm_buf_append(out, text, strlen(text));
}

lm_err lm_lq_print_duration_prom(int64_t ns, lm_buf *out)
{
    static const struct {
        const char *name;
        int64_t ms;
        bool exact;
    } units[] = {{"y", INT64_C(31536000000), true},
                 {"w", 604800000, true},
                 {"d", 86400000, true},
                 {"h", 3600000, false},
                 {"m", 60000, false},
                 {"s", 1000, false},
                 {"ms", 1, false}};

    int64_t ms = ns / 1000000;
    if (ms <= 0) return put(out, "0s");
    lm_err err = LM_OK;
    for (size_t i = 0; i < sizeof units / sizeof *units && !err; i++) {
        if (units[i].exact && ms % units[i].ms) continue;
        int64_t count = ms / units[i].ms;
        if (!count) continue;
        char text[40];
        snprintf(text, sizeof text, "%lld%s", (long long)count, units[i].name);
        err = put(out, text);
        ms -= count * units[i].ms;
    }
    return err;
}

/** The part of value below a unit, without zeros at its end: ".5". */
static int fraction(char *text, size_t cap, uint64_t part, int digits)
{
    if (!part) return snprintf(text, cap, "%s", "");
    char number[32];
    snprintf(number, sizeof number, "%0*llu", digits, (unsigned long long)part);
    size_t len = strlen(number);
    while (len && number[len - 1] == '0')
        number[--len] = 0;
    return snprintf(text, cap, ".%s", number);
}

lm_err lm_lq_print_duration_go(int64_t ns, lm_buf *out)
{
    char text[80], part[40];
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const char *sign = ns < 0 ? "-" : "";
    if (v == 0) return put(out, "0s");
    if (v < 1000) {
        snprintf(text, sizeof text, "%s%lluns", sign, (unsigned long long)v);
    } else if (v < 1000000) {
        fraction(part, sizeof part, v % 1000, 3);
        snprintf(text, sizeof text, "%s%llu%s\xC2\xB5s", sign, (unsigned long long)(v / 1000),
                 part);
    } else if (v < 1000000000) {
        fraction(part, sizeof part, v % 1000000, 6);
        snprintf(text, sizeof text, "%s%llu%sms", sign, (unsigned long long)(v / 1000000), part);
    } else {
        fraction(part, sizeof part, v % 1000000000, 9);
        uint64_t seconds = v / 1000000000;
        unsigned long long h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;
        if (h) {
            snprintf(text, sizeof text, "%s%lluh%llum%llu%ss", sign, h, m, s, part);
        } else if (m) {
            snprintf(text, sizeof text, "%s%llum%llu%ss", sign, m, s, part);
        } else {
            snprintf(text, sizeof text, "%s%llu%ss", sign, s, part);
        }
    }
    return put(out, text);
}

lm_err lm_lq_print_bytes(uint64_t bytes, lm_buf *out)
{
    static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    char text[60];
    if (bytes < 10) {
        snprintf(text, sizeof text, "%lluB", (unsigned long long)bytes);
        return put(out, text);
    }
    double e = floor(log((double)bytes) / log(1000));
    double value = floor((double)bytes / pow(1000, e) * 10 + 0.5) / 10;
    snprintf(text, sizeof text, value < 10 ? "%.1f%s" : "%.0f%s", value, names[(int)e]);
    return put(out, text);
}

lm_err lm_lq_print_float(double v, bool plain, lm_buf *out)
{
    if (isnan(v)) return put(out, "NaN");
    if (isinf(v)) return put(out, v > 0 ? "+Inf" : "-Inf");
    char text[400];
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, v);
        if (strtod(text, NULL) == v) break;
    }
    char *e = strchr(text, 'e');
    int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
    if (plain || (exponent >= -4 && exponent < 6)) { /* where Go goes over to an exponent */
        int decimals = digits - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 0 ? decimals : 0, v);
    }
    return put(out, text);
}

lm_err lm_lq_print_quoted(lm_str s, lm_buf *out)
{
    static const char hex[] = "0123456789abcdef", short_of[] = "abtnvfr";
    lm_err err = lm_buf_reserve(out, s.len * 4 + 2);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    *at++ = '"';
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.ptr[i];
        uint32_t character;
        size_t len = lm_lq_utf8(s.ptr + i, s.len - i, &character);
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = c;
        } else if (c >= 7 && c <= 13) {
            *at++ = '\\';
            *at++ = (uint8_t)short_of[c - 7];
        } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && len == 1)) {
            *at++ = '\\';
            *at++ = 'x';
            *at++ = (uint8_t)hex[c >> 4];
            *at++ = (uint8_t)hex[c & 15];
        } else {
            memcpy(at, s.ptr + i, len);
            at += len;
        }
        i += len;
    }
    *at++ = '"';
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

size_t lm_lq_utf8(const uint8_t *s, size_t len, uint32_t *out)
{
    uint8_t c = s[0];
    size_t need = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : 4;
    *out = 0xFFFD;
    if (c < 0x80) {
        *out = c;
        return 1;
    }
    if (c < 0xC2 || c > 0xF4 || need > len) return 1;
    uint32_t value = c & (0xFFu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80) return 1;
        value = value << 6 | (s[i] & 0x3F);
    }
    if ((need == 3 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) ||
        (need == 4 && (value < 0x10000 || value > 0x10FFFF)))
        return 1;
    *out = value;
    return need;
}

size_t lm_lq_utf8_put(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

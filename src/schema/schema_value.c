/** The type of one value, by its bytes alone. */
#include "schema/schema_priv.h"

static const char *const type_names[LM_TYPE_COUNT] = {
    [LM_TYPE_TEXT] = "text",       [LM_TYPE_ENUM] = "enum",         [LM_TYPE_INT] = "int",
    [LM_TYPE_DECIMAL] = "decimal", [LM_TYPE_HEX] = "hex",           [LM_TYPE_BOOL] = "bool",
    [LM_TYPE_TIME] = "time",       [LM_TYPE_DURATION] = "duration", [LM_TYPE_SIZE] = "size",
    [LM_TYPE_UUID] = "uuid",       [LM_TYPE_IPV4] = "ipv4",         [LM_TYPE_IPV6] = "ipv6",
    [LM_TYPE_URL] = "url",         [LM_TYPE_PATH] = "path",         [LM_TYPE_NULL] = "null",
};

const char *lm_type_name(lm_type type)
{
    return (unsigned)type < LM_TYPE_COUNT ? type_names[type] : "unknown";
}

lm_type lm_type_named(lm_str name)
{
    for (unsigned i = 0; i < LM_TYPE_COUNT; i++) {
        if (lm_str_equal(name, lm_str_of(type_names[i]))) return (lm_type)i;
    }
    return LM_TYPE_COUNT;
}

/* Units behind a number. A value such as 1h2m3s is a run of durations. */
static const struct unit {
    const char *text;
    const char *name;
    lm_type type;
} units[] = {
    {"ns", "nanoseconds", LM_TYPE_DURATION},
    {"us", "microseconds", LM_TYPE_DURATION},
    {"\xc2\xb5s", "microseconds", LM_TYPE_DURATION},
    {"\xce\xbcs", "microseconds", LM_TYPE_DURATION},
    {"ms", "milliseconds", LM_TYPE_DURATION},
    {"msec", "milliseconds", LM_TYPE_DURATION},
    {"s", "seconds", LM_TYPE_DURATION},
    {"sec", "seconds", LM_TYPE_DURATION},
    {"secs", "seconds", LM_TYPE_DURATION},
    {"m", "minutes", LM_TYPE_DURATION},
    {"min", "minutes", LM_TYPE_DURATION},
    {"h", "hours", LM_TYPE_DURATION},
    {"d", "days", LM_TYPE_DURATION},
    {"B", "bytes", LM_TYPE_SIZE},
    {"bytes", "bytes", LM_TYPE_SIZE},
    {"K", "kilobytes", LM_TYPE_SIZE},
    {"k", "kilobytes", LM_TYPE_SIZE},
    {"KB", "kilobytes", LM_TYPE_SIZE},
    {"kB", "kilobytes", LM_TYPE_SIZE},
    {"KiB", "kibibytes", LM_TYPE_SIZE},
    {"Ki", "kibibytes", LM_TYPE_SIZE},
    {"M", "megabytes", LM_TYPE_SIZE},
    {"MB", "megabytes", LM_TYPE_SIZE},
    {"MiB", "mebibytes", LM_TYPE_SIZE},
    {"Mi", "mebibytes", LM_TYPE_SIZE},
    {"G", "gigabytes", LM_TYPE_SIZE},
    {"GB", "gigabytes", LM_TYPE_SIZE},
    {"GiB", "gibibytes", LM_TYPE_SIZE},
    {"Gi", "gibibytes", LM_TYPE_SIZE},
    {"TB", "terabytes", LM_TYPE_SIZE},
    {"TiB", "tebibytes", LM_TYPE_SIZE},
};

const char *lm_unit_name(uint8_t unit)
{
    return unit == 0 || unit > sizeof units / sizeof units[0] ? "" : units[unit - 1].name;
}

bool lm_value_is_null(lm_str v)
{
    switch (v.len) {
    case 0:
        return true;
    case 1:
        return v.ptr[0] == '-';
    case 3:
        return memcmp(v.ptr, "nil", 3) == 0 || memcmp(v.ptr, "N/A", 3) == 0;
    case 4:
        return memcmp(v.ptr, "null", 4) == 0 || memcmp(v.ptr, "NULL", 4) == 0 ||
               memcmp(v.ptr, "None", 4) == 0;
    case 5:
        return memcmp(v.ptr, "<nil>", 5) == 0;
    case 6:
        return memcmp(v.ptr, "(null)", 6) == 0 || memcmp(v.ptr, "<null>", 6) == 0;
    case 7:
        return memcmp(v.ptr, "(empty)", 7) == 0;
    default:
        return false;
    }
}

static bool is_bool(lm_str v)
{
    static const char *const words[] = {"true",  "false", "True", "False", "TRUE",
                                        "FALSE", "yes",   "no",   "on",    "off"};
    if (v.len < 2 || v.len > 5 || !lm_is_alpha(v.ptr[0])) return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (lm_str_equal(v, lm_str_of(words[i]))) return true;
    }
    return false;
}

static size_t digits(const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (n < len && lm_is_digit(p[n]))
        n++;
    return n;
}

static size_t ipv4_len(const uint8_t *p, size_t len)
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        if (part) {
            if (at >= len || p[at] != '.') return 0;
            at++;
        }
        size_t n = digits(p + at, len - at > 4 ? 4 : len - at);
        if (n == 0 || n > 3) return 0;
        unsigned value = 0;
        for (size_t i = 0; i < n; i++)
            value = value * 10 + (unsigned)(p[at + i] - '0');
        if (value > 255) return 0;
        at += n;
    }
    return at < len &&
                   (lm_is_digit(p[at]) || (p[at] == '.' && at + 1 < len && lm_is_digit(p[at + 1])))
               ? 0
               : at;
}

static size_t ipv6_len(const uint8_t *p, size_t len)
{
    size_t at = 0, groups = 0, run = 0;
    bool gap = false;
    while (at < len && at < 45) {
        if (lm_is_hex(p[at])) {
            if (++run > 4) return 0;
            if (run == 1) groups++;
        } else if (p[at] == ':') {
            if (at + 1 < len && p[at + 1] == ':') {
                if (gap || (at + 2 < len && p[at + 2] == ':')) return 0;
                gap = true;
                at++;
            } else if (at == 0 || at + 1 >= len || !lm_is_hex(p[at + 1])) {
                break;
            }
            run = 0;
        } else {
            break;
        }
        at++;
    }
    bool whole = gap ? groups < 8 : groups == 8;
    return whole && (groups >= 2 || (gap && at >= 2)) ? at : 0;
}

size_t lm_ip_len(const uint8_t *text, size_t len, bool *is_v6)
{
    *is_v6 = false;
    size_t n = ipv4_len(text, len);
    if (n) return n;
    *is_v6 = true;
    return ipv6_len(text, len);
}

/* From 2001 to 2033: ten digits, the first a 1. */
uint8_t lm_epoch_at(const uint8_t *text, size_t len, size_t *out_len)
{
    size_t n = digits(text, len > 20 ? 20 : len);
    *out_len = n;
    if (n == 0 || text[0] != '1') return 0;
    if (n == 10 && len > n + 1 && text[n] == '.') {
        size_t part = digits(text + n + 1, len - n - 1);
        if (part && part <= 9) *out_len = n + 1 + part;
    }
    return n == 10 ? 1 : n == 13 ? 2 : n == 16 ? 3 : n == 19 ? 4 : 0;
}

const char *lm_epoch_name(uint8_t epoch)
{
    static const char *const names[] = {"", "epoch seconds", "epoch milliseconds",
                                        "epoch microseconds", "epoch nanoseconds"};
    return epoch < sizeof names / sizeof names[0] ? names[epoch] : "";
}

static bool is_uuid(lm_str v)
{
    if (v.len != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? v.ptr[i] != '-' : !lm_is_hex(v.ptr[i])) return false;
    }
    return true;
}

static bool is_hex(lm_str v)
{
    size_t at = v.len > 2 && v.ptr[0] == '0' && (v.ptr[1] | 0x20) == 'x' ? 2 : 0;
    if (at == 0 && (v.len < 8 || v.len % 2)) return false;
    bool digit = at != 0, letter = at != 0;
    for (size_t i = at; i < v.len; i++) {
        if (!lm_is_hex(v.ptr[i])) return false;
        if (lm_is_digit(v.ptr[i]))
            digit = true;
        else
            letter = true;
    }
    return digit && letter;
}

static bool is_url(lm_str v)
{
    size_t n = 0;
    while (n < v.len &&
           (lm_is_alpha(v.ptr[n]) || (n && (lm_is_digit(v.ptr[n]) || v.ptr[n] == '+'))))
        n++;
    if (n < 2 || n > 16 || v.len < n + 4 || memcmp(v.ptr + n, "://", 3) != 0) return false;
    return !memchr(v.ptr, ' ', v.len);
}

static bool is_path(lm_str v)
{
    bool unix_path = v.len > 1 && v.ptr[0] == '/' && (v.ptr[1] != ' ');
    bool dos_path = v.len > 3 && lm_is_alpha(v.ptr[0]) && v.ptr[1] == ':' && v.ptr[2] == '\\';
    return dos_path || (unix_path && !memchr(v.ptr, ' ', v.len)) || (v.len == 1 && v.ptr[0] == '/');
}

/* What stands behind a number: one unit, or a run of numbers and units of time. */
static uint8_t unit_of(lm_str v, size_t at)
{
    if (at < v.len && v.ptr[at] == ' ') at++;
    if (at == v.len || (v.ptr[at] < 0x80 && !lm_is_alpha(v.ptr[at]))) return 0; /* none begins so */
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (lm_str_equal(lm_str_cut(v, at, v.len), lm_str_of(units[i].text)))
            return (uint8_t)(i + 1);
    }
    uint8_t last = 0;
    while (at < v.len) {
        size_t begin = at;
        while (at < v.len && !lm_is_digit(v.ptr[at]) && v.ptr[at] != '.')
            at++;
        if (at == begin) return 0;
        uint8_t found = 0;
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (units[i].type == LM_TYPE_DURATION &&
                lm_str_equal(lm_str_cut(v, begin, at), lm_str_of(units[i].text)))
                found = (uint8_t)(i + 1);
        }
        if (!found) return 0;
        last = found;
        at += digits(v.ptr + at, v.len - at);
        if (at < v.len && v.ptr[at] == '.') at += 1 + digits(v.ptr + at + 1, v.len - at - 1);
    }
    return v.len && !lm_is_digit(v.ptr[v.len - 1]) ? last : 0;
}

/* Values that begin like a number; LM_TYPE_TEXT if it is none of these. */
static lm_value number_of(lm_str v)
{
    size_t at = v.ptr[0] == '-' || v.ptr[0] == '+';
    size_t whole = digits(v.ptr + at, v.len - at);
    at += whole;
    if (whole && at == v.len) return (lm_value){.type = LM_TYPE_INT};
    bool decimal = false;
    if (at < v.len && v.ptr[at] == '.') {
        size_t part = digits(v.ptr + at + 1, v.len - at - 1);
        if (part == 0 || (whole == 0 && at > 1)) return (lm_value){.type = LM_TYPE_TEXT};
        at += 1 + part;
        decimal = true;
    }
    if (whole == 0 && !decimal) return (lm_value){.type = LM_TYPE_TEXT};
    if (at == v.len) return (lm_value){.type = LM_TYPE_DECIMAL};
    if ((v.ptr[at] | 0x20) == 'e' && at + 1 < v.len) {
        size_t sign = v.ptr[at + 1] == '-' || v.ptr[at + 1] == '+';
        size_t power = digits(v.ptr + at + 1 + sign, v.len - at - 1 - sign);
        if (power && power <= 4 && at + 1 + sign + power == v.len && v.len < 32)
            return (lm_value){.type = LM_TYPE_DECIMAL};
    }
    if (v.len - at <= 32) {
        uint8_t unit = unit_of(v, at);
        if (unit) return (lm_value){.type = units[unit - 1].type, .unit = unit};
    }
    return (lm_value){.type = LM_TYPE_TEXT};
}

lm_value lm_value_of(lm_str v)
{
    if (lm_value_is_null(v)) return (lm_value){.type = LM_TYPE_NULL};
    uint8_t c = v.ptr[0];
    if (lm_is_digit(c) || c == '-' || c == '+' || c == '.') {
        lm_value value = number_of(v);
        if (value.type != LM_TYPE_TEXT) return value;
    }
    if (v.len <= 64) {
        bool is_v6;
        size_t ip = lm_is_hex(c) || c == ':' ? lm_ip_len(v.ptr, v.len, &is_v6) : 0;
        if (ip && ip == v.len) return (lm_value){.type = is_v6 ? LM_TYPE_IPV6 : LM_TYPE_IPV4};
        if (lm_is_hex(c) && is_uuid(v)) return (lm_value){.type = LM_TYPE_UUID};
        lm_time time;
        if ((lm_is_digit(c) || lm_is_alpha(c)) && lm_time_parse(v.ptr, v.len, &time) &&
            time.len == v.len)
            return (lm_value){.type = LM_TYPE_TIME, .layout = time.layout, .len = time.len};
        if (lm_is_alpha(c) && is_bool(v)) return (lm_value){.type = LM_TYPE_BOOL};
    }
    if (lm_is_hex(c) && v.len <= 256 && is_hex(v)) return (lm_value){.type = LM_TYPE_HEX};
    if (c == '/' || lm_is_alpha(c)) {
        if (is_url(v)) return (lm_value){.type = LM_TYPE_URL};
        if (is_path(v)) return (lm_value){.type = LM_TYPE_PATH};
    }
    return (lm_value){.type = LM_TYPE_TEXT};
}

bool lm_value_fits(lm_type declared, lm_value value)
{
    lm_type t = value.type;
    if (t == declared || t == LM_TYPE_NULL) return true;
    switch (declared) {
    case LM_TYPE_TEXT:
    case LM_TYPE_ENUM:
    case LM_TYPE_COUNT:
        return true;
    case LM_TYPE_DECIMAL:
    case LM_TYPE_TIME:
    case LM_TYPE_DURATION:
    case LM_TYPE_SIZE:
        return t == LM_TYPE_INT || t == LM_TYPE_DECIMAL; /* bare numbers in the format's own unit */
    case LM_TYPE_HEX:
        return t == LM_TYPE_INT;
    case LM_TYPE_BOOL:
        return t == LM_TYPE_INT;
    case LM_TYPE_IPV4:
        return t == LM_TYPE_IPV6;
    case LM_TYPE_IPV6:
        return t == LM_TYPE_IPV4;
    case LM_TYPE_URL:
        return t == LM_TYPE_PATH;
    case LM_TYPE_PATH:
        return t == LM_TYPE_URL;
    case LM_TYPE_INT:
    case LM_TYPE_UUID:
    case LM_TYPE_NULL:
        return false;
    }
    return false;
}

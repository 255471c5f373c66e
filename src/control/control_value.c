/** Values as people write them: durations, sizes, addresses, tenants' names. */
#include "control/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

#define NS_S 1000000000ull

/* From large to small: printing takes the first that divides. */
static const unit durations[] = {
    {"y", 365 * 86400 * NS_S},
    {"w", 7 * 86400 * NS_S},
    {"d", 86400 * NS_S},
    {"h", 3600 * NS_S},
    {"m", 60 * NS_S},
    {"s", NS_S},
    {"ms", 1000000},
    {"us", 1000},
    {"ns", 1},
};
static const unit sizes[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30},
    {"MiB", 1ull << 20}, {"KiB", 1ull << 10},
    {"TB", NS_S * 1000}, {"GB", NS_S},
    {"MB", 1000000},     {"kB", 1000},
    {"KB", 1000},        {"B", 1},
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

/** A number, perhaps with a fraction, then one of the units; moves on. */
static bool read_part(lm_str *rest, const unit *units, size_t unit_count, uint64_t *out)
{
    uint64_t whole = 0;
    double fraction = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (; i < rest->len && rest->ptr[i] >= '0' && rest->ptr[i] <= '9'; i++, digits++) {
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(rest->ptr[i] - '0'), &whole))
            return false;
    }
    if (!digits) return false;
    if (i < rest->len && rest->ptr[i] == '.') {
        size_t begin = ++i;
        for (; i < rest->len && rest->ptr[i] >= '0' && rest->ptr[i] <= '9' && i < begin + 9; i++) {
            scale /= 10;
            fraction += (rest->ptr[i] - '0') * scale;
        }
        if (i == begin) return false;
    }
    size_t name = i;
    while (i < rest->len && ((rest->ptr[i] >= 'a' && rest->ptr[i] <= 'z') ||
                             (rest->ptr[i] >= 'A' && rest->ptr[i] <= 'Z')))
        i++;
    lm_str given = {rest->ptr + name, i - name};
    for (size_t k = 0; k < unit_count; k++) {
        if (!lm_str_equal(given, lm_str_of(units[k].name))) continue;
        uint64_t value;
        if (__builtin_mul_overflow(whole, units[k].factor, &value)) return false;
        double part = fraction * (double)units[k].factor + 0.5;
        if (__builtin_add_overflow(value, (uint64_t)part, out)) return false;
        *rest = (lm_str){rest->ptr + i, rest->len - i};
        return true;
    }
    return false;
}

bool lm_duration_read(lm_str text, uint64_t *out_ns)
{
    uint64_t sum = 0, part;
    if (!text.len) return false;
    while (text.len) {
        if (!read_part(&text, durations, COUNT(durations), &part)) return false;
        if (__builtin_add_overflow(sum, part, &sum)) return false;
    }
    if (sum > INT64_MAX) return false;
    *out_ns = sum;
    return true;
}

bool lm_size_read(lm_str text, uint64_t *out_bytes)
{
    uint64_t value;
    if (!read_part(&text, sizes, COUNT(sizes), &value) || text.len) return false;
    *out_bytes = value;
    return true;
}

static void print(uint64_t value, const unit *units, size_t count, const char *zero, char *dst)
{
    if (!value) {
        (void)snprintf(dst, 40, "0%s", zero);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (value % units[i].factor) continue;
        (void)snprintf(dst, 40, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
        return;
    }
}

void lm_duration_print(uint64_t ns, char *dst)
{
    print(ns, durations, COUNT(durations), "s", dst);
}

void lm_size_print(uint64_t bytes, char *dst)
{
    print(bytes, sizes, COUNT(sizes), "B", dst);
}

lm_err lm_address_split(const char *address, char host[256], uint16_t *out_port)
{
    const char *colon = strrchr(address, ':');
    if (!colon) return lm_fail(LM_E_USAGE, "address '%.80s' lacks a port (HOST:PORT)", address);
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    bool is_number = colon[1] >= '0' && colon[1] <= '9' && *end == '\0';
    if (!is_number || port > UINT16_MAX)
        return lm_fail(LM_E_USAGE, "'%.80s' is not a port (in address '%.80s')", colon + 1,
                       address);
    const char *begin = address;
    size_t len = (size_t)(colon - address);
    if (len && *begin == '[') {
        if (len < 2 || begin[len - 1] != ']')
            return lm_fail(LM_E_USAGE, "address '%.80s' lacks a ']'", address);
        begin++;
        len -= 2;
    } else if (memchr(begin, ':', len)) {
        return lm_fail(LM_E_USAGE, "an IPv6 address is written [...]:PORT, not '%.80s'", address);
    }
    if (len > 255) return lm_fail(LM_E_USAGE, "the host's name in '%.80s' is too long", address);
    memcpy(host, begin, len);
    host[len] = '\0';
    *out_port = (uint16_t)port;
    return LM_OK;
}

bool lm_tenant_is_valid(lm_str name)
{
    if (name.len == 0 || name.len > 150) return false;
    if (lm_str_equal(name, LM_STR(".")) || lm_str_equal(name, LM_STR(".."))) return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && (!c || !strchr("!._*'()-", c))) return false;
    }
    return true;
}

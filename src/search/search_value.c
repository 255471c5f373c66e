/* Values of queries and fields: exact decimals, durations, sizes, addresses. No floating point:
 * 18446744073709551615 and its neighbour are two numbers, and 10ms is 0.01s. */
#include "search/search_priv.h"

#define DIGITS_MAX   30 /* significant digits kept; two such numbers can be aligned in 128 bits */
#define EXPONENT_MAX 100000

typedef unsigned __int128 u128;

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Reads [+-]digits[.digits][e[+-]digits] from the front; returns its length, 0 if there is none.
 * Digits behind the thirtieth only move the exponent. */
static size_t number_scan(lm_str text, bool exponents, lm_number *out)
{
    size_t at = 0;
    lm_number n = {0, 0, false};
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+'))
        n.negative = text.ptr[at++] == '-';
    size_t digits = 0, kept = 0;
    bool point = false;
    int64_t exponent = 0;
    for (; at < text.len; at++) {
        uint8_t c = text.ptr[at];
        if (c == '.' && !point && at + 1 < text.len && is_digit(text.ptr[at + 1])) {
            point = true;
            continue;
        }
        if (!is_digit(c)) break;
        digits++;
        if (kept < DIGITS_MAX) {
            n.mantissa = n.mantissa * 10 + (unsigned)(c - '0');
            if (n.mantissa != 0) kept++;
            if (point) exponent--;
        } else if (!point) {
            exponent++;
        }
    }
    if (digits == 0) return 0;
    if (exponents && at + 1 < text.len && (text.ptr[at] | 32) == 'e') {
        size_t e = at + 1;
        bool minus = false;
        if (text.ptr[e] == '-' || text.ptr[e] == '+') minus = text.ptr[e++] == '-';
        int64_t value = 0;
        size_t begin = e;
        for (; e < text.len && is_digit(text.ptr[e]); e++) {
            if (value < EXPONENT_MAX) value = value * 10 + (text.ptr[e] - '0');
        }
        if (e > begin) {
            exponent += minus ? -value : value;
            at = e;
        }
    }
    if (exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX) return 0;
    n.exponent = (int32_t)exponent;
    *out = n;
    return at;
}

static lm_str trim(lm_str text)
{
    while (text.len > 0 && text.ptr[0] == ' ')
        text.ptr++, text.len--;
    while (text.len > 0 && text.ptr[text.len - 1] == ' ')
        text.len--;
    return text;
}

bool lm_number_parse(lm_str text, lm_number *out)
{
    text = trim(text);
    lm_number n;
    size_t used = number_scan(text, true, &n);
    if (used == 0 || used != text.len) return false;
    *out = n;
    return true;
}

static int digit_count(u128 m)
{
    int count = 0;
    for (; m != 0; m /= 10)
        count++;
    return count;
}

int lm_number_compare(const lm_number *a, const lm_number *b)
{
    if (a->mantissa == 0 && b->mantissa == 0) return 0;
    if (a->mantissa == 0) return b->negative ? 1 : -1;
    if (b->mantissa == 0) return a->negative ? -1 : 1;
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    int sign = a->negative ? -1 : 1;
    int da = digit_count(a->mantissa), db = digit_count(b->mantissa);
    int64_t top_a = (int64_t)da + a->exponent, top_b = (int64_t)db + b->exponent;
    if (top_a != top_b) return top_a < top_b ? -sign : sign;
    u128 ma = a->mantissa, mb = b->mantissa;
    for (; da < db; da++)
        ma *= 10; /* same magnitude: pad the shorter one, at most to 38 digits */
    for (; db < da; db++)
        mb *= 10;
    return ma == mb ? 0 : ma < mb ? -sign : sign;
}

/* Keeps a mantissa so small that it can be multiplied by a unit. */
static void number_shorten(lm_number *n, u128 max)
{
    while (n->mantissa > max && n->exponent < EXPONENT_MAX) {
        n->mantissa /= 10;
        n->exponent++;
    }
}

bool lm_number_scale(lm_number *number, const lm_number *unit)
{
    lm_number n = *number;
    u128 max = ((u128)1 << 64) * 1000;
    number_shorten(&n, max);
    if (unit->mantissa > ((u128)1 << 52)) return false;
    n.mantissa *= unit->mantissa;
    n.exponent += unit->exponent;
    while (n.mantissa > 0 && n.mantissa % 10 == 0)
        n.mantissa /= 10, n.exponent++;
    while (digit_count(n.mantissa) > DIGITS_MAX)
        n.mantissa /= 10, n.exponent++;
    *number = n;
    return true;
}

/* a += b for numbers of the same sign and near magnitudes (parts of one duration). */
static bool number_add(lm_number *a, lm_number b)
{
    if (a->mantissa == 0) {
        *a = b;
        return true;
    }
    if (b.mantissa == 0) return true;
    while (a->exponent > b.exponent) {
        if (digit_count(a->mantissa) > DIGITS_MAX) return false;
        a->mantissa *= 10, a->exponent--;
    }
    while (b.exponent > a->exponent) {
        if (digit_count(b.mantissa) > DIGITS_MAX) return false;
        b.mantissa *= 10, b.exponent--;
    }
    a->mantissa += b.mantissa;
    while (digit_count(a->mantissa) > DIGITS_MAX)
        a->mantissa /= 10, a->exponent++;
    return true;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
    int32_t exponent;
} unit;

/* Durations in nanoseconds; the long names are for fields like "took 12 seconds". */
static const unit duration_units[] = {
    {"ns", 1, 0},          {"us", 1, 3},           {"\xc2\xb5s", 1, 3},
    {"\xce\xbcs", 1, 3},   {"ms", 1, 6},           {"s", 1, 9},
    {"m", 60, 9},          {"h", 3600, 9},         {"d", 86400, 9},
    {"w", 604800, 9},      {"sec", 1, 9},          {"secs", 1, 9},
    {"second", 1, 9},      {"seconds", 1, 9},      {"min", 60, 9},
    {"mins", 60, 9},       {"minute", 60, 9},      {"minutes", 60, 9},
    {"hour", 3600, 9},     {"hours", 3600, 9},     {"day", 86400, 9},
    {"days", 86400, 9},    {"msec", 1, 6},         {"usec", 1, 3},
    {"nsec", 1, 0},        {"millis", 1, 6},       {"micros", 1, 3},
    {"nanos", 1, 0},       {"milliseconds", 1, 6}, {"microseconds", 1, 3},
    {"nanoseconds", 1, 0},
};
static const unit size_units[] = {
    {"b", 1, 0},          {"k", 1, 3},           {"kb", 1, 3},           {"m", 1, 6},
    {"mb", 1, 6},         {"g", 1, 9},           {"gb", 1, 9},           {"t", 1, 12},
    {"tb", 1, 12},        {"p", 1, 15},          {"pb", 1, 15},          {"ki", 1024, 0},
    {"kib", 1024, 0},     {"mi", 1048576, 0},    {"mib", 1048576, 0},    {"gi", 1u << 30, 0},
    {"gib", 1u << 30, 0}, {"ti", 1ull << 40, 0}, {"tib", 1ull << 40, 0}, {"pib", 1ull << 50, 0},
    {"byte", 1, 0},       {"bytes", 1, 0},
};

/* fold: letters count without case (sizes; durations too, but for the single M, which nobody means
 * as minutes). */
static const unit *unit_find(const unit *units, size_t count, lm_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (lm_str_equal_nocase(lm_str_of(units[i].name), name)) return &units[i];
    }
    return NULL;
}

bool lm_duration_parse(lm_str text, lm_number *out_ns)
{
    text = trim(text);
    lm_number sum = {0, 0, false};
    bool any = false;
    while (text.len > 0) {
        lm_number n;
        size_t used = number_scan(text, false, &n);
        if (used == 0 || (any && (text.ptr[0] == '-' || text.ptr[0] == '+'))) return false;
        text.ptr += used, text.len -= used;
        while (text.len > 0 && text.ptr[0] == ' ')
            text.ptr++, text.len--;
        size_t letters = 0;
        while (letters < text.len &&
               (text.ptr[letters] >= 0x80 ||
                (lower(text.ptr[letters]) >= 'a' && lower(text.ptr[letters]) <= 'z')))
            letters++;
        lm_str name = {text.ptr, letters};
        if (letters == 1 && name.ptr[0] == 'M') return false;
        const unit *u =
            unit_find(duration_units, sizeof duration_units / sizeof duration_units[0], name);
        if (!u) return false;
        lm_number scale = {u->factor, u->exponent, false};
        bool negative = any ? sum.negative : n.negative;
        if (!lm_number_scale(&n, &scale) || !number_add(&sum, n)) return false;
        sum.negative = negative;
        any = true;
        text.ptr += letters, text.len -= letters;
        while (text.len > 0 && text.ptr[0] == ' ')
            text.ptr++, text.len--;
    }
    if (!any) return false;
    *out_ns = sum;
    return true;
}

bool lm_size_parse(lm_str text, lm_number *out_bytes)
{
    text = trim(text);
    lm_number n;
    size_t used = number_scan(text, false, &n);
    if (used == 0) return false;
    lm_str name = trim((lm_str){text.ptr + used, text.len - used});
    const unit *u = unit_find(size_units, sizeof size_units / sizeof size_units[0], name);
    if (!u) return false;
    lm_number scale = {u->factor, u->exponent, false};
    if (!lm_number_scale(&n, &scale)) return false;
    *out_bytes = n;
    return true;
}

lm_number lm_duration_unit_of_name(lm_str name)
{
    /* latency_ms, took_us, elapsedMillis: the last word of the name, if it is a unit */
    size_t begin = name.len;
    while (begin > 0 && ((name.ptr[begin - 1] >= 'a' && name.ptr[begin - 1] <= 'z') ||
                         name.ptr[begin - 1] >= 0x80))
        begin--;
    if (begin > 0 && name.ptr[begin - 1] >= 'A' && name.ptr[begin - 1] <= 'Z') begin--;
    lm_str last = {name.ptr + begin, name.len - begin};
    const unit *u =
        begin > 0 && last.len > 0
            ? unit_find(duration_units, sizeof duration_units / sizeof duration_units[0], last)
            : NULL;
    if (!u) return (lm_number){1, 9, false};
    return (lm_number){u->factor, u->exponent, false};
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* Length of the IPv4 address that text starts with, 0 if none. */
static size_t ipv4_scan(lm_str text, uint8_t out[4])
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (at >= text.len || text.ptr[at++] != '.')) return 0;
        unsigned value = 0;
        size_t begin = at;
        while (at < text.len && at < begin + 3 && is_digit(text.ptr[at]))
            value = value * 10 + (unsigned)(text.ptr[at++] - '0');
        if (at == begin || value > 255) return 0;
        out[part] = (uint8_t)value;
    }
    return at;
}

static int hex_digit(uint8_t c)
{
    if (is_digit(c)) return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool ipv6_parse(lm_str text, uint8_t out[16])
{
    uint16_t groups[8];
    int count = 0, gap = -1;
    size_t at = 0;
    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') gap = 0, at = 2;
    while (at < text.len) {
        uint8_t four[4];
        lm_str rest = {text.ptr + at, text.len - at};
        if (count <= 6 && ipv4_scan(rest, four) == rest.len && (count > 0 || gap == 0)) {
            groups[count++] = (uint16_t)(four[0] << 8 | four[1]);
            groups[count++] = (uint16_t)(four[2] << 8 | four[3]);
            at = text.len;
            break;
        }
        unsigned value = 0;
        size_t begin = at;
        while (at < text.len && at < begin + 4 && hex_digit(text.ptr[at]) >= 0)
            value = value << 4 | (unsigned)hex_digit(text.ptr[at++]);
        if (at == begin || count == 8) return false;
        groups[count++] = (uint16_t)value;
        if (at == text.len) break;
        if (text.ptr[at++] != ':' || at == text.len) return false;
        if (text.ptr[at] == ':') {
            if (gap >= 0) return false;
            gap = count;
            at++;
        }
    }
    if (gap < 0 ? count != 8 : count > 7) return false;
    memset(out, 0, 16);
    int zeros = 8 - count;
    for (int i = 0; i < count; i++) {
        int to = gap >= 0 && i >= gap ? i + zeros : i;
        out[2 * to] = (uint8_t)(groups[i] >> 8);
        out[2 * to + 1] = (uint8_t)groups[i];
    }
    return true;
}

static void ipv4_map(const uint8_t four[4], uint8_t out[16])
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, four, 4);
}

bool lm_ip_parse(lm_str text, uint8_t out[16])
{
    uint8_t four[4];
    if (ipv4_scan(text, four) == text.len && text.len > 0) {
        ipv4_map(four, out);
        return true;
    }
    return text.len >= 2 && text.len <= 45 && ipv6_parse(text, out);
}

bool lm_ip_range_parse(lm_str text, lm_ip_range *out)
{
    text = trim(text);
    lm_ip_range range;
    const uint8_t *cut = memchr(text.ptr, '/', text.len);
    if (cut) {
        lm_str address = {text.ptr, (size_t)(cut - text.ptr)},
               bits_text = {cut + 1, text.len - address.len - 1};
        if (!lm_ip_parse(address, range.low) || bits_text.len == 0 || bits_text.len > 3)
            return false;
        unsigned bits = 0;
        for (size_t i = 0; i < bits_text.len; i++) {
            if (!is_digit(bits_text.ptr[i])) return false;
            bits = bits * 10 + (unsigned)(bits_text.ptr[i] - '0');
        }
        bool is_v4 = memchr(address.ptr, ':', address.len) == NULL;
        if (bits > (is_v4 ? 32u : 128u)) return false;
        if (is_v4) bits += 96;
        memcpy(range.high, range.low, 16);
        for (unsigned bit = bits; bit < 128; bit++) {
            range.low[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
            range.high[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
        }
    } else if ((cut = memchr(text.ptr, '-', text.len)) != NULL) {
        lm_str low = {text.ptr, (size_t)(cut - text.ptr)}, high = {cut + 1, text.len - low.len - 1};
        if (!lm_ip_parse(trim(low), range.low) || !lm_ip_parse(trim(high), range.high))
            return false;
        if (memcmp(range.low, range.high, 16) > 0) return false;
    } else {
        if (!lm_ip_parse(text, range.low)) return false;
        memcpy(range.high, range.low, 16);
    }
    *out = range;
    return true;
}

bool lm_ip_in(const lm_ip_range *range, const uint8_t ip[16])
{
    return memcmp(ip, range->low, 16) >= 0 && memcmp(ip, range->high, 16) <= 0;
}

bool lm_ip_find(lm_str line, const lm_ip_range *range)
{
    /* An address is a maximal run of digits, hex letters, '.' and ':' - less a port or a full stop
     * behind it. */
    for (size_t at = 0; at < line.len;) {
        if (hex_digit(line.ptr[at]) < 0 && line.ptr[at] != ':') {
            at++;
            continue;
        }
        size_t end = at;
        while (end < line.len &&
               (hex_digit(line.ptr[end]) >= 0 || line.ptr[end] == ':' || line.ptr[end] == '.'))
            end++;
        lm_str run = {line.ptr + at, end - at};
        uint8_t four[4], ip[16];
        size_t used = ipv4_scan(run, four);
        bool starts_word = at == 0 || !((line.ptr[at - 1] >= 'G' && line.ptr[at - 1] <= 'Z') ||
                                        (line.ptr[at - 1] >= 'g' && line.ptr[at - 1] <= 'z') ||
                                        line.ptr[at - 1] == '_');
        if (used > 0 && (used == run.len || !is_digit(run.ptr[used]))) {
            ipv4_map(four, ip);
            if (lm_ip_in(range, ip)) return true;
        }
        while (run.len > 2 && run.ptr[run.len - 1] == '.')
            run.len--;
        if (starts_word && run.len <= 45 && run.len >= 2 && ipv6_parse(run, ip) &&
            lm_ip_in(range, ip))
            return true;
        if (run.len > 2 && run.len <= 46 && run.ptr[run.len - 1] == ':' && starts_word &&
            ipv6_parse((lm_str){run.ptr, run.len - 1}, ip) && lm_ip_in(range, ip)) {
            return true;
        }
        at = end;
    }
    return false;
}

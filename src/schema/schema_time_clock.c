/** Times near one another: lines of a log differ in seconds and fractions; days, months and zones
 * need not be read again. */
#include "schema/schema_time_priv.h"

/** Bytes behind a time at which it ends whatever comes next. */
static bool is_plain_end(uint8_t c)
{
    return c == ' ' || c == ']' || c == '"' || c == '\t' || c == '\n' || c == '|' || c == ')';
}

static bool read_second(const uint8_t *p, uint32_t digits, int64_t *out)
{
    if (!is_digit(p[0]) || p[0] > '5' || !is_digit(p[1])) return false;
    int64_t v = two(p);
    for (uint32_t i = 0; i < digits; i++) {
        if (!is_digit(p[3 + i])) return false;
        v = v * 10 + (p[3 + i] - '0');
    }
    *out = v;
    return true;
}

/** Take a time just parsed as the one to compare with. Layouts whose second stands nowhere fixed,
 * or whose fraction's length varies, leave the clock empty. */
static void set_clock(lm_time_clock *clock, const uint8_t *text, size_t len, const lm_time *time)
{
    lm_time_layout l = lm_time_layout_find(time->layout);
    clock->len = 0;
    if (!l.family || l.is_trimmed || (l.family->flags & (VARIES | BARE)) || time->len >= len ||
        time->len > sizeof clock->text || !is_plain_end(text[time->len]))
        return;
    int64_t second;
    if (l.family->second == NONE || !read_second(text + l.family->second, l.digits, &second))
        return;
    memcpy(clock->text, text, time->len);
    clock->minute = time->ticks - second;
    clock->layout = time->layout;
    clock->second = l.family->second;
    clock->digits = (uint8_t)l.digits;
    clock->may_have_zone = l.family->zoned && !l.zone;
    clock->end = text[time->len];
    clock->len = (uint8_t)time->len;
}

static bool is_same(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len < 8) {
        if (len >= 4)
            return lm_le32(a) == lm_le32(b) && lm_le32(a + len - 4) == lm_le32(b + len - 4);
        for (size_t i = 0; i < len; i++)
            if (a[i] != b[i]) return false;
        return true;
    }
    for (size_t i = 0; i + 8 < len; i += 8)
        if (lm_le64(a + i) != lm_le64(b + i)) return false;
    return lm_le64(a + len - 8) == lm_le64(b + len - 8);
}

/** Does the text begin as one of a zone may? */
static bool may_be_zone(const uint8_t *text, size_t len)
{
    uint8_t c = text[0];
    if (c == ' ' && len > 1) c = text[1];
    return (uint8_t)(c - 'A') < 26 || c == '+' || c == '-';
}

/** The time if it is of the clock's minute. */
static bool read_near(const lm_time_clock *clock, const uint8_t *text, size_t len, lm_time *out)
{
    size_t tail = clock->second + 2u + (clock->digits ? 1u + clock->digits : 0);
    int64_t second;
    if (clock->len == 0 || len <= clock->len || text[clock->len] != clock->end) return false;
    if (!is_same(text, clock->text, clock->second) ||
        !is_same(text + tail, clock->text + tail, clock->len - tail) ||
        (clock->digits && text[clock->second + 2] != clock->text[clock->second + 2]) ||
        !read_second(text + clock->second, clock->digits, &second))
        return false;
    if (clock->may_have_zone &&
        may_be_zone(text + clock->len,
                    len - clock->len)) { /* a window: the zone is looked for in up to eight bytes */
        uint8_t behind[8] = {0};
        size_t zone_len, rest = len - clock->len;
        memcpy(behind, text + clock->len, rest < sizeof behind ? rest : sizeof behind);
        if (lm_time_zone_at(behind, &zone_len)) return false;
    }
    out->ticks = clock->minute + second;
    out->layout = clock->layout;
    out->len = clock->len;
    return true;
}

bool lm_time_clock_read(lm_time_clock *clock, uint16_t layout, const uint8_t *text, size_t len,
                        lm_time *out)
{
    if (clock->layout == layout && read_near(clock, text, len, out)) return true;
    if (!lm_time_parse_as(layout, text, len, out)) return false;
    set_clock(clock, text, len, out);
    return true;
}

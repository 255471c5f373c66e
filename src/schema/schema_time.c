/**
 * Timestamps read: text -> ticks. Layouts and their ids: schema_time_priv.h.
 *
 * Reading:  lm_time_parse picks a family by the first bytes (pick_*), then matches the text up to
 * the second (the head), then the rest (finish). A head of fixed width is at most 24 bytes: three
 * words are compared with the family's pattern, eight bytes at a time (head_match_fixed). Heads of
 * other widths are interpreted letter by letter (head_match), which is also the plain twin that
 * tests compare the fast way with.
 *
 * Invariants
 *   (1) What parse accepts, print gives back: leading zeros, blanks, weekday and two-digit years are checked, and a
 *       date that does not exist (30 February, hour 24, second 60) is not a timestamp.
 *   (2) Never more than WINDOW bytes are looked at, and never one behind the end of the text.
 *   (3) Which layout a text has depends on nothing but the text.
 */
#include "schema/schema_time_priv.h"

static inline uint32_t three_letters(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

/** 0..11, or 12. The multipliers make perfect hashes of the twelve and the seven names. */
static inline uint32_t month_of(const uint8_t *p)
{
    static const uint8_t slot[16] = {2, 11, 9, 7, 12, 1, 6, 4, 3, 12, 8, 12, 10, 0, 12, 5};
    uint32_t letters = three_letters(p);
    uint32_t i = slot[(letters * 0x741c7a9u) >> 28];
    return i < 12 && three_letters((const uint8_t *)lm_time_month_names[i]) == letters ? i : 12;
}

static inline uint32_t weekday_of(const uint8_t *p)
{
    static const uint8_t slot[16] = {7, 7, 7, 7, 7, 7, 7, 5, 6, 7, 0, 4, 7, 2, 1, 3};
    uint32_t letters = three_letters(p);
    uint32_t i = slot[(letters * 0xc386bbc5u) >> 28];
    return i < 7 && three_letters((const uint8_t *)lm_time_weekday_names[i]) == letters ? i : 7;
}

static inline uint32_t month_days(uint32_t year, uint32_t month)
{
    if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
    return 30 + ((month + (month >> 3)) & 1);
}

/** Days since 1970-01-01 of a date of years 0..9999 (Howard Hinnant's algorithm, years from March).
 */
static inline int64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
    uint32_t y = year + 400 - (month <= 2);
    uint32_t m = month > 2 ? month - 3 : month + 9;
    uint32_t century = y / 100;
    return (int64_t)(y * 365 + y / 4 - century + century / 4 + (153 * m + 2) / 5 + day - 1) -
           719468 - 146097;
}

/* ---- heads ----------------------------------------------------------------------------------- */

/** Compare the first f->len bytes with the pattern; digits anywhere a digit must stand. Reads
 * HEAD_BYTES. */
static inline bool head_match_fixed(const lm_time_family *f, const uint8_t *p)
{
    uint64_t bad = 0;
    for (uint32_t i = 0; i < HEAD_WORDS; i++) {
        uint64_t word = (lm_le64(p + 8 * i) | f->blank[i]) ^ f->text[i];
        word &= f->keep[i];
        bad |= word | (word + f->add[i]); /* a carry needs a byte >= 80, which is bad by itself */
    }
    return (bad & 0x8080808080808080u) == 0;
}

/** May c stand where a blank replaces a leading zero? The pattern has let ' ' to ')' and the digits
 * pass. */
static inline bool is_blank_or_nonzero(uint8_t c)
{
    return c == ' ' || c > '0';
}

static inline bool head_fields_fixed(const lm_time_family *f, const uint8_t *p, lm_time_fields *x)
{
    x->weekday = NONE;
    x->year = BASE_YEAR;
    x->month = x->day = 1;
    if (f->year != NONE) {
        x->year = two(p + f->year) * 100 + two(p + f->year + 2);
    } else if (f->year2 != NONE) {
        x->year = two(p + f->year2);
        x->year += x->year < 70 ? 2000 : 1900;
    }
    if (f->day != NONE) {
        x->day = two(p + f->day);
        if (f->blank_day && !is_blank_or_nonzero(p[f->day])) return false;
        if (f->name != NONE) {
            x->month = month_of(p + f->name) + 1;
        } else {
            x->month = two(p + f->month);
        }
        if (f->weekday != NONE) {
            x->weekday = weekday_of(p + f->weekday);
            if (x->weekday == 7) return false;
        }
    }
    x->hour = two(p + f->hour);
    if (f->blank_hour && !is_blank_or_nonzero(p[f->hour])) return false;
    x->minute = two(p + f->minute);
    x->second = f->second != NONE ? two(p + f->second) : 0;
    return true;
}

/** A number of width digits; width 1 means without leading zeros, at most max_digits. NULL: none.
 */
static const uint8_t *number_at(const uint8_t *p, uint32_t width, uint32_t max_digits,
                                uint32_t *out)
{
    uint32_t value = 0, digits = 0, limit = width > 1 ? width : max_digits;
    while (digits < limit && is_digit(p[digits])) {
        value = value * 10 + (p[digits] & 15u);
        digits++;
    }
    if (digits == 0 || (width > 1 && digits != width)) return NULL;
    if (width == 1 && digits > 1 && p[0] == '0') return NULL;
    *out = value;
    return p + digits;
}

/** Interpret the pattern; the twin of the two above, and the only way for VARIES. What is behind
 * the head, or NULL. */
static const uint8_t *head_match(const lm_time_family *f, const uint8_t *p, lm_time_fields *x)
{
    *x = (lm_time_fields){.year = BASE_YEAR, .month = 1, .day = 1, .weekday = NONE};
    for (const char *c = f->pattern; *c && p;) {
        char letter = *c;
        uint32_t width = 0;
        while (c[width] == letter) {
            width++;
        }
        c += width;
        switch (letter) {
        case 'Y':
            p = number_at(p, width, 4, &x->year);
            break;
        case 'y':
            p = number_at(p, width, 2, &x->year);
            x->year += x->year < 70 ? 2000 : 1900;
            break;
        case 'm':
            p = number_at(p, width, 2, &x->month);
            break;
        case 'M':
            p = number_at(p, width, 2, &x->minute);
            break;
        case 'S':
            p = number_at(p, width, 2, &x->second);
            break;
        case 'H':
        case 'I':
            p = number_at(p, width, 2, &x->hour);
            break;
        case 'd':
            p = number_at(p, width, 2, &x->day);
            break;
        case 'f':
            p = number_at(p, width, 3, &x->milli);
            break;
        case 'e':
        case 'h': {
            uint32_t *part = letter == 'e' ? &x->day : &x->hour;
            if (p[0] == '0') return NULL;
            p = p[0] == ' ' ? number_at(p + 1, 1, 1, part) : number_at(p, 2, 2, part);
            c++;
            break;
        }
        case 'b':
            x->month = month_of(p) + 1;
            p += 3;
            break;
        case 'a':
            x->weekday = weekday_of(p);
            if (x->weekday == 7) return NULL;
            p += 3;
            break;
        default:
            for (uint32_t i = 0; i < width; i++, p++) {
                if (*p != (uint8_t)letter) return NULL;
            }
        }
    }
    return p;
}

/* ---- reading --------------------------------------------------------------------------------- */

/** Up to nine digits at p; their count, and 10 if there are more. */
static inline uint32_t fraction_at(const uint8_t *p, uint32_t *out_value)
{
    uint64_t word = lm_le64(p) ^ 0x3030303030303030u;
    uint64_t stop = ((word + 0x7676767676767676u) | word) & 0x8080808080808080u;
    uint32_t digits = stop ? (uint32_t)__builtin_ctzll(stop) / 8 : 8;
    *out_value = 0;
    if (digits == 0) return 0;
    word <<= 64 - 8 * digits;
    word = word * 10 + (word >> 8);
    word = ((word & 0x000000FF000000FFu) * 0x000F424000000064u +
            ((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u) >>
           32;
    *out_value = (uint32_t)word;
    if (digits < 8 || !is_digit(p[8])) return digits;
    *out_value = *out_value * 10 + (p[8] & 15u);
    return is_digit(p[9]) ? 10 : 9;
}

/** " 2005" at p, and no further digit. */
static bool year_at(const uint8_t *p, uint32_t *out)
{
    return p[0] == ' ' && number_at(p + 1, 4, 4, out) && !is_digit(p[5]);
}

/** The number of the month in 12-hour clocks is 1..12; turns it into 0..23. */
static bool am_pm_at(const uint8_t *p, lm_time_fields *x)
{
    if (p[0] != ' ' || (p[1] != 'A' && p[1] != 'P') || p[2] != 'M' || is_alpha(p[3])) return false;
    if (x->hour - 1 >= 12) return false;
    x->hour = x->hour % 12 + (p[1] == 'P' ? 12 : 0);
    return true;
}

/** May the text stop before p? Not when that would cut a number or a row of numbers in two. */
static inline bool may_end_at(const lm_time_family *f, const uint8_t *p)
{
    if (is_digit(p[0])) return false;
    if ((p[0] == '.' || p[0] == ':') && is_digit(p[-1])) {
        if (is_digit(p[1])) return false;
        /* 10:05:03:aa:bb:cc is a hardware address */
        if (p[0] == ':' && f->day == NONE && (uint8_t)((p[1] | 0x20) - 'a') < 6) return false;
    }
    return true;
}

/** What stands behind the head: fraction, AM or PM, year, zone. Then all is checked and becomes
 * ticks. want is the fraction's code, or ANY_CODE; it only decides between the ways to see one text
 * (.25 and .250000000 cut). */
static inline bool finish(const lm_time_family *f, uint32_t want, uint32_t want_id,
                          const uint8_t *text, const uint8_t *p, lm_time_fields *x, lm_time *out)
{
    uint32_t digits = 0, fraction = 0, code = want == TRIMMED_CODE ? TRIMMED_CODE : 0, zone = 0;
    if ((f->flags & FRACTION) && (p[0] == '.' || p[0] == ',') && is_digit(p[1])) {
        digits = fraction_at(p + 1, &fraction);
        if (p[0] == ',' && (digits > 9 || p[digits + 1] == ',')) {
            digits = 0; /* a row of values with commas between */
            fraction = 0;
        } else {
            if (digits > 9) return false;
            code = digits + (p[0] == ',' ? COMMA_CODE : 0);
            p += digits + 1;
            if (p[-1] != '0' && code <= COMMA_CODE &&
                (want == TRIMMED_CODE || (want == ANY_CODE && digits >= 8))) {
                fraction *= (uint32_t)lm_time_power10[9 - digits];
                digits = 9;
                code = TRIMMED_CODE;
            }
        }
    }
    if (want == TRIMMED_CODE) {
        if (code != TRIMMED_CODE) return false;
        digits = 9;
    }
    size_t zone_len = 0;
    if (f->flags & (AM_PM | YEAR | ZONE_YEAR)) {
        if (f->flags & AM_PM) {
            if (!am_pm_at(p, x)) return false;
            p += 3;
        } else {
            if (f->flags & ZONE_YEAR) {
                zone = lm_time_zone_at(p, &zone_len);
                if (!zone) return false;
                p += zone_len;
            }
            if (!year_at(p, &x->year)) return false;
            p += 5;
        }
    } else if (f->zoned) {
        zone = lm_time_zone_at(p, &zone_len);
        if (zone) p += zone_len;
    }
    if (!may_end_at(f, p)) return false;

    if (x->month - 1 >= 12 || x->day - 1 >= 31 || x->hour >= 24 || x->minute >= 60 ||
        x->second >= 60)
        return false;
    int64_t days = 0;
    if (f->day != NONE) {
        if (x->day > 28 && x->day > month_days(x->year, x->month)) return false;
        if (x->year - 1 >= 9999) return false;
        if (digits > 7 && x->year - 1700 >= 550) return false; /* 64 bits of nanoseconds */
        days = days_of(x->year, x->month, x->day);
        if (x->weekday != NONE && (uint32_t)((days + 719468 + 3) % 7) != x->weekday) return false;
    }
    int64_t ticks = days * 86400 + x->hour * 3600 + x->minute * 60 + x->second;
    if (f->flags & MILLI) {
        ticks = ticks * 1000 + x->milli;
    } else if (f->flags & BARE) {
        ticks /= 60;
    } else {
        ticks = ticks * lm_time_power10[digits] + fraction;
    }
    uint32_t id = (uint32_t)(f - lm_time_families) * FRACTION_CODES + code;
    if (zone) id = ZONED_BASE + ((f->zoned - 1u) * FRACTION_CODES + code) * ZONES + zone;
    if (want != ANY_CODE && want_id != id) return false;
    out->ticks = ticks; /* one by one: a copy of the whole would wait for these stores */
    out->layout = (uint16_t)id;
    out->len = (uint16_t)(p - text);
    return true;
}

static inline bool parse_family(const lm_time_family *f, uint32_t want, uint32_t want_id,
                                const uint8_t *p, lm_time *out)
{
    lm_time_fields x;
    if (f->flags & VARIES) {
        const uint8_t *end = head_match(f, p, &x);
        return end && finish(f, want, want_id, p, end, &x, out);
    }
    x.milli = 0;
    return head_match_fixed(f, p) && head_fields_fixed(f, p, &x) &&
           finish(f, want, want_id, p, p + f->len, &x, out);
}

/** The rest of lm_time_parse for a family whose head has been seen to fit. */
static bool parse_rest(const lm_time_family *f, const uint8_t *p, lm_time *out)
{
    lm_time_fields x;
    x.milli = 0;
    return head_fields_fixed(f, p, &x) && finish(f, ANY_CODE, 0, p, p + f->len, &x, out);
}

static bool parse_varying(const lm_time_family *f, const uint8_t *p, lm_time *out)
{
    return parse_family(f, ANY_CODE, 0, p, out);
}

static inline bool try_family(const lm_time_family *f, const uint8_t *p, lm_time *out)
{
    if (f->flags & VARIES) return parse_varying(f, p, out);
    return head_match_fixed(f, p) && parse_rest(f, p, out);
}

/* TRY(a, b, c): the first that fits. */
#define TRY1(a)                               try_family(&lm_time_families[a], p, out)
#define TRY2(a, ...)                          (TRY1(a) || TRY1(__VA_ARGS__))
#define TRY3(a, ...)                          (TRY1(a) || TRY2(__VA_ARGS__))
#define TRY4(a, ...)                          (TRY1(a) || TRY3(__VA_ARGS__))
#define TRY5(a, ...)                          (TRY1(a) || TRY4(__VA_ARGS__))
#define TRY6(a, ...)                          (TRY1(a) || TRY5(__VA_ARGS__))
#define TRY7(a, ...)                          (TRY1(a) || TRY6(__VA_ARGS__))
#define TRY8(a, ...)                          (TRY1(a) || TRY7(__VA_ARGS__))
#define TRY_N(a, b, c, d, e, f, g, h, n, ...) n
/* clang-format off */
#define TRY(...) \
    TRY_N(__VA_ARGS__, TRY8, TRY7, TRY6, TRY5, TRY4, TRY3, TRY2, TRY1, 0)(__VA_ARGS__)
/* clang-format on */

/** Four digits, then p[4]. */
static bool pick_year(const uint8_t *p, lm_time *out)
{
    if (p[4] == ' ') return is_digit(p[5]) ? TRY(F_MD) : TRY(F_YEAR_MONTH);
    if (p[4] == '-') {
        switch (p[10]) {
        case 'T':
            return TRY(F_ISO_T, F_ISO_T_BARE);
        case ' ':
            return TRY(F_ISO, F_ISO_MILLI, F_ISO_BARE);
        case '_':
            return TRY(F_ISO_UNDERSCORE);
        case '-':
            return TRY(F_ISO_DASH_DOTS, F_ISO_DASH);
        case ':':
            return TRY(F_ISO_COLON);
        case '\t':
            return TRY(F_ISO_TAB);
        case ']':
            return TRY(F_ISO_BRACKETS);
        default:
            return false;
        }
    }
    if (p[4] == '/') {
        if (p[7] != '/') return TRY(F_MD_SLASH_COMPACT);
        switch (p[10]) {
        case ' ':
            return TRY(F_SLASH, F_SLASH_MILLI, F_SLASH_BARE);
        case '-':
            return TRY(F_SLASH_DASH);
        case 'T':
            return TRY(F_SLASH_T);
        default:
            return false;
        }
    }
    if (p[4] == ':') return p[10] == ' ' ? TRY(F_COLONS) : TRY(F_COLONS_DASH);
    return p[4] == '.' && (p[10] == ' ' ? TRY(F_DOT) : TRY(F_DOT_DASH, F_DOT_MILLI));
}

/** Two digits, then p[2]. */
static bool pick_two(const uint8_t *p, lm_time *out)
{
    switch (p[2]) {
    case ':':
        return p[8] == ' ' || p[8] == '.' || p[8] == ',' ? TRY(F_CLOCK_12, F_CLOCK) : TRY(F_CLOCK);
    case '/':
        if (!is_digit(p[3])) return p[11] == ':' ? TRY(F_CLF) : TRY(F_CLF_BLANK);
        if (p[5] == ' ') return TRY(F_MD_SLASH);
        if (p[5] == '-') return TRY(F_MD_SLASH_DASH);
        if (p[8] == ' ') return TRY(F_YMD2, F_MDY2, F_DMY2, F_MDY2_COLONS);
        if (p[11] == '-') return TRY(F_MDY_APART);
        if (p[10] == '-') return TRY(F_MDY_DASH);
        if (p[9] == ',' || p[10] == ',') return TRY(F_MDY_COMMA_12_BARE);
        if (p[10] == ' ')
            return TRY(F_MDY_12, F_DMY_12, F_MDY_12_BARE, F_DMY_12_BARE, F_MDY, F_DMY, F_MDY_BARE,
                       F_DMY_BARE);
        return TRY(F_MDY_12_BARE, F_DMY_12_BARE, F_MDY_BARE, F_DMY_BARE, F_MDY2_COLONS);
    case '-':
        if (!is_digit(p[3])) return TRY(F_DAY_DASH_MONTH, F_DAY_DASH_MONTH_COLONS);
        if (p[5] == '|') return TRY(F_MD_PIPE);
        return p[5] == ' ' ? TRY(F_MD_DASH) : TRY(F_DMY_DASHES, F_MDY_DASHES);
    case '.':
        return p[5] == ' ' ? TRY(F_MD_DOT) : TRY(F_DMY_DOTS);
    case ' ':
        return is_alpha(p[3]) && (p[6] == ' ') &&
               (is_digit(p[9]) ? TRY(F_DAY_MONTH) : TRY(F_DAY_MONTH_YEARLESS));
    default:
        return false;
    }
}

/** Six digits or more at p. */
static bool pick_compact(const uint8_t *p, lm_time *out)
{
    if (p[6] == ' ')
        return p[9] == ':' ? TRY(F_YMD2_CLOCK, F_YMD2_CLOCK_BLANK) : TRY(F_YMD2_COMPACT);
    if (!is_digit(p[6]) || !is_digit(p[7])) return false;
    if (p[0] != '1' && p[0] != '2') return false;
    switch (p[8]) {
    case 'T':
        return TRY(F_COMPACT_T);
    case ' ':
        return TRY(F_COMPACT_BLANK, F_COMPACT_CLOCK);
    case '_':
        return TRY(F_COMPACT_UNDERSCORE);
    case '-':
        return TRY(F_COMPACT_BARE_CLOCK, F_COMPACT_MILLI, F_COMPACT_DASH_CLOCK, F_COMPACT_DASH);
    case '.':
        return TRY(F_COMPACT_DOT);
    default:
        return ((p[0] == '1' && p[1] == '9') || (p[0] == '2' && p[1] == '0')) && TRY(F_COMPACT);
    }
}

/** A letter at p: a month's or a weekday's name. */
static bool pick_name(const uint8_t *p, lm_time *out)
{
    if (p[3] == ' ' && is_alpha(p[4])) {
        if (weekday_of(p) == 7) return false;
        return TRY(F_CTIME_ZERO, F_CTIME, F_CTIME_ZERO_ZONE, F_CTIME_ZONE, F_SCRIPT,
                   F_CTIME_BARE_DAY);
    }
    if (p[3] == ',') return p[6] == ' ' ? TRY(F_MAIL_BARE_DAY) : TRY(F_MAIL);
    if (p[3] == '-') return month_of(p) < 12 && TRY(F_MONTH_DASHES);
    if (p[3] != ' ' || month_of(p) == 12) return false;
    if (p[5] == ' ') return TRY(F_SYSLOG_BARE_DAY);
    if (p[5] == ',') return TRY(F_MONTH_COMMA_12_BARE);
    if (p[6] == ',') return TRY(F_MONTH_COMMA_12, F_MONTH_COMMA_12_HOUR, F_MONTH_COMMA_12_BARE);
    return p[9] == ':' ? TRY(F_SYSLOG, F_SYSLOG_ZERO) : TRY(F_SYSLOG_YEAR, F_SYSLOG_ZERO_YEAR);
}

static inline bool pick(const uint8_t *p, lm_time *out)
{
    if (!is_digit(p[0])) return is_alpha(p[0]) && pick_name(p, out);
    if (!is_digit(p[1])) {
        if (p[1] == '/')
            return TRY(F_MDY_12_BARE, F_DMY_12_BARE, F_MDY_BARE, F_DMY_BARE, F_MDY2_COLONS,
                       F_MDY_COMMA_12_BARE);
        if (p[1] == ':') return TRY(F_CLOCK_12_BARE, F_CLOCK_BARE);
        if (p[1] == '-') return TRY(F_DAY_DASH_MONTH_COLONS);
        return p[1] == ' ' && is_alpha(p[2]) && TRY(F_DAY_MONTH_BARE);
    }
    if (!is_digit(p[2])) return pick_two(p, out);
    if (!is_digit(p[3])) return false;
    if (!is_digit(p[4])) return pick_year(p, out);
    return is_digit(p[5]) && pick_compact(p, out);
}

bool lm_time_parse(const uint8_t *text, size_t len, lm_time *out)
{
    uint8_t window[WINDOW + 16];
    if (len < 6) return false;
    if (len < WINDOW) {
        memset(window, 0, sizeof window);
        memcpy(window, text, len);
        text = window;
    }
    return pick(text, out);
}

bool lm_time_parse_as(uint16_t id, const uint8_t *text, size_t len, lm_time *out)
{
    uint8_t window[WINDOW + 16];
    uint32_t at = id < ZONED_BASE ? id : (uint32_t)(id - ZONED_BASE) / ZONES;
    uint32_t number =
        id < ZONED_BASE ? at / FRACTION_CODES : lm_time_family_of_slot[at / FRACTION_CODES];
    if (len < 6 || number >= F_COUNT) return false;
    if (len < WINDOW) {
        memset(window, 0, sizeof window);
        memcpy(window, text, len);
        text = window;
    }
    return parse_family(&lm_time_families[number], at % FRACTION_CODES, id, text, out);
}

bool lm_time_parse_plain(uint16_t id, const uint8_t *text, size_t len, lm_time *out)
{
    uint8_t window[WINDOW + 16] = {0};
    lm_time_layout l = lm_time_layout_find(id);
    if (!l.family) return false;
    memcpy(window, text, len < WINDOW ? len : WINDOW);
    lm_time_fields x;
    const uint8_t *end = head_match(l.family, window, &x);
    return end &&
           finish(l.family, l.is_trimmed ? TRIMMED_CODE : l.digits, id, window, end, &x, out);
}

/**
 * Timestamps: text <-> ticks.
 *
 * A layout is a family (schema_time.def: the text up to the second), a fraction (none, or '.' or ',' and 1 to 9 digits)
 * and, for families with a slot, a zone (schema_time_zones.def). Layout ids, which are on disk:
 *
 *     id <  4096    family * 20 + fraction                              without a zone
 *     id >= 4096    4096 + ((slot - 1) * 20 + fraction) * 256 + zone    with one; slot 1..12
 *     fraction      0 none, 1..9 that many digits behind '.', 10..18 one to nine digits behind ','; 19 nanoseconds behind
 *                   '.' without their trailing zeros, nothing at all for 0 (as Go prints them)
 *     zone          1..31 a name, 32 + style * 44 + offset a number; styles: +hh:mm +hhmm " +hhmm" " +hh:mm" +hh
 *
 * Ticks count the layout's smallest unit in local time, as written; lm_time_ns takes the zone off. So the digits printed
 * from the ticks are the digits that were read, whatever the zone.
 *
 * Reading:  lm_time_parse picks a family by the first bytes (pick_*), then matches the text up to the second (the head),
 *           then the rest (finish). A head of fixed width is at most 24 bytes: three words are compared with the
 *           family's pattern, eight bytes at a time (head_match_fixed). Heads of other widths are interpreted pattern
 *           letter by pattern letter (head_match), which is also the plain twin that tests compare the fast way with.
 *
 * Invariants
 *   (1) What parse accepts, print gives back: leading zeros, blanks, weekday and two-digit years are checked, and a
 *       date that does not exist (30 February, hour 24, second 60) is not a timestamp.
 *   (2) Never more than WINDOW bytes are looked at, and never one behind the end of the text.
 *   (3) Which layout a text has depends on nothing but the text.
 */
#include "schema/schema_time_priv.h"

enum { FRACTION = 1, AM_PM = 2, YEAR = 4, ZONE_YEAR = 8, VARIES = 16, BARE = 32 };
enum { FRACTION_CODES = 20, COMMA_CODE = 9, TRIMMED_CODE = 19, ANY_CODE = 20, ZONED_BASE = 4096, ZONES = 256, ZONE_NUMERIC = 32, ZONE_OFFSETS = 44 };
enum { HEAD_WORDS = 3, HEAD_BYTES = 24, WINDOW = 64, NONE = 0xFF, BASE_YEAR = 1972, SLOTS = 12 };

typedef enum family_id {
#define LM_TIME_FAMILY(name, zoned, flags, pattern) F_##name,
#include "schema/schema_time.def"
#undef LM_TIME_FAMILY
    F_COUNT
} family_id;

typedef struct family {
    const char *pattern;
    uint64_t text[HEAD_WORDS]; /* '0' where a digit stands, 0 where a name stands, else the byte itself */
    uint64_t keep[HEAD_WORDS]; /* FF at bytes that are compared */
    uint64_t blank[HEAD_WORDS]; /* 10 where a blank may stand for '0': ' ' | 10 is '0' */
    uint64_t add[HEAD_WORDS];  /* added to (byte ^ text): sets the high bit unless it is a digit, or equal */
    uint8_t flags, zoned, len;
    uint8_t year, year2, month, name, day, hour, minute, second, weekday; /* positions in the head, or NONE */
    bool blank_day, blank_hour;
} family;

/* The pattern letters become words and positions at compile time. */
#define AT(s, i)     ((i) < sizeof(s) ? (s)[(i) < sizeof(s) ? (i) : 0] : 0)
#define IS_BLANK(c)  ((c) == 'e' || (c) == 'h')
#define IS_NUMBER(c) \
    ((c) == 'Y' || (c) == 'y' || (c) == 'm' || (c) == 'd' || (c) == 'H' || (c) == 'I' || (c) == 'M' || (c) == 'S' || IS_BLANK(c))
#define IS_NAME(c)   ((c) == 'a' || (c) == 'b' || (c) == 0)
#define TEXT_OF(c)   (uint64_t)(IS_NUMBER(c) ? '0' : IS_NAME(c) ? 0 : (c))
#define KEEP_OF(c)   (uint64_t)(IS_NAME(c) ? 0 : 0xFF)
#define BLANK_OF(c)  (uint64_t)(IS_BLANK(c) ? 0x10 : 0)
#define ADD_OF(c)    (uint64_t)(IS_NUMBER(c) ? 0x76 : 0x7F)
#define WORD(f, s, i)                                                                                              \
    (f(AT(s, i)) | f(AT(s, i + 1)) << 8 | f(AT(s, i + 2)) << 16 | f(AT(s, i + 3)) << 24 | f(AT(s, i + 4)) << 32 | \
     f(AT(s, i + 5)) << 40 | f(AT(s, i + 6)) << 48 | f(AT(s, i + 7)) << 56)
#define WORDS(f, s) {WORD(f, s, 0), WORD(f, s, 8), WORD(f, s, 16)}
#define P4(s, c, i, next) \
    (AT(s, i) == (c) ? (i) : AT(s, i + 1) == (c) ? (i) + 1 : AT(s, i + 2) == (c) ? (i) + 2 : AT(s, i + 3) == (c) ? (i) + 3 : (next))
#define POS(s, c) P4(s, c, 0, P4(s, c, 4, P4(s, c, 8, P4(s, c, 12, P4(s, c, 16, P4(s, c, 20, NONE))))))
#define POS_OR(s, a, b) (POS(s, a) != NONE ? POS(s, a) : POS(s, b))

static const family families[F_COUNT] = {
#define LM_TIME_FAMILY(name_, zoned_, flags_, s)                                                                   \
    [F_##name_] = {.pattern = s, .text = WORDS(TEXT_OF, s), .keep = WORDS(KEEP_OF, s),                             \
                   .blank = WORDS(BLANK_OF, s), .add = WORDS(ADD_OF, s), .flags = flags_, .zoned = zoned_,         \
                   .len = sizeof(s) - 1, .year = POS(s, 'Y'), .year2 = POS(s, 'y'), .month = POS(s, 'm'),          \
                   .name = POS(s, 'b'), .day = POS_OR(s, 'e', 'd'), .hour = POS_OR(s, 'h', POS(s, 'H') != NONE ? 'H' : 'I'), \
                   .minute = POS(s, 'M'), .second = POS(s, 'S'), .weekday = POS(s, 'a'),                           \
                   .blank_day = POS(s, 'e') != NONE, .blank_hour = POS(s, 'h') != NONE},
#include "schema/schema_time.def"
#undef LM_TIME_FAMILY
};

/* The zoned families by slot; tests check it against the list. */
static const uint8_t family_of_slot[SLOTS] = {F_ISO_T, F_ISO, F_SLASH, F_DOT, F_ISO_T_BARE, F_CTIME_ZERO_ZONE, F_CTIME_ZONE,
                                              F_CLF, F_DAY_MONTH, F_MAIL, F_MAIL_BARE_DAY, F_COMPACT_T};

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekday_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const int64_t power10[10] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

typedef struct fields {
    uint32_t year, month, day, hour, minute, second, milli;
    uint32_t weekday; /* NONE: not in the text */
} fields;

/* ---- small pieces ------------------------------------------------------------------------------------------------ */

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline uint32_t two(const uint8_t *p)
{
    return (p[0] & 15u) * 10 + (p[1] & 15u);
}

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
    return i < 12 && three_letters((const uint8_t *)month_names[i]) == letters ? i : 12;
}

static inline uint32_t weekday_of(const uint8_t *p)
{
    static const uint8_t slot[16] = {7, 7, 7, 7, 7, 7, 7, 5, 6, 7, 0, 4, 7, 2, 1, 3};
    uint32_t letters = three_letters(p);
    uint32_t i = slot[(letters * 0xc386bbc5u) >> 28];
    return i < 7 && three_letters((const uint8_t *)weekday_names[i]) == letters ? i : 7;
}

static inline uint32_t month_days(uint32_t year, uint32_t month)
{
    if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
    return 30 + ((month + (month >> 3)) & 1);
}

/** Days since 1970-01-01 of a date of years 0..9999 (Howard Hinnant's algorithm, years from March). */
static inline int64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
    uint32_t y = year + 400 - (month <= 2);
    uint32_t m = month > 2 ? month - 3 : month + 9;
    uint32_t century = y / 100;
    return (int64_t)(y * 365 + y / 4 - century + century / 4 + (153 * m + 2) / 5 + day - 1) - 719468 - 146097;
}

static inline void date_of(int64_t days, fields *x)
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

/* ---- zones ------------------------------------------------------------------------------------------------------- */

typedef struct zone_name {
    char text[6];
    int16_t minutes;
} zone_name;

static const zone_name zone_names[] = {
#define LM_ZONE_NAME(text, minutes) {text, minutes},
#include "schema/schema_time_zones.def"
#undef LM_ZONE_NAME
};
static const int16_t zone_offsets[ZONE_OFFSETS] = {
#define LM_ZONE_OFFSET(minutes) minutes,
#include "schema/schema_time_zones.def"
#undef LM_ZONE_OFFSET
    0 /* the last: "-00:00" */
};

enum { ZONE_NAMES = sizeof zone_names / sizeof *zone_names, STYLE_COLON = 0, STYLE_PLAIN, STYLE_BLANK_PLAIN, STYLE_BLANK_COLON,
       STYLE_HOUR, STYLES };

static uint32_t zone_offset_index(bool is_negative, uint32_t minutes)
{
    if (minutes == 0) return is_negative ? ZONE_OFFSETS - 1 : 0;
    int32_t want = is_negative ? -(int32_t)minutes : (int32_t)minutes;
    uint32_t hour_guess = minutes / 60 + (is_negative ? 14 : 0); /* whole hours lie in order: 0..14, then -1..-12 */
    if (hour_guess < 27 && zone_offsets[hour_guess] == want) return hour_guess;
    for (uint32_t i = 27; i < ZONE_OFFSETS - 1; i++) {
        if (zone_offsets[i] == want) return i;
    }
    return ZONE_OFFSETS;
}

/** A numeric zone at p (its sign). 0: none. */
static uint32_t zone_number(const uint8_t *p, bool after_blank, size_t *out_len)
{
    if (!is_digit(p[1]) || !is_digit(p[2])) return 0;
    uint32_t minutes = two(p + 1) * 60, style;
    size_t len;
    bool has_colon = p[3] == ':';
    const uint8_t *m = p + 3 + has_colon;
    if (is_digit(m[0]) && is_digit(m[1])) {
        if (m[0] > '5') return 0;
        minutes += two(m);
        len = (size_t)(m - p) + 2;
        style = after_blank ? (has_colon ? STYLE_BLANK_COLON : STYLE_BLANK_PLAIN) : (has_colon ? STYLE_COLON : STYLE_PLAIN);
    } else {
        if (after_blank || has_colon) return 0;
        len = 3;
        style = STYLE_HOUR;
    }
    uint8_t next = p[len];
    if (is_digit(next) || is_alpha(next) || next == ':' || next == '-') return 0;
    uint32_t index = zone_offset_index(p[0] == '-', minutes);
    if (index == ZONE_OFFSETS) return 0;
    *out_len = len + after_blank;
    return ZONE_NUMERIC + style * ZONE_OFFSETS + index;
}

/** A zone's name at p, behind the blank. 0: none. */
static uint32_t zone_word(const uint8_t *p, size_t *out_len)
{
    size_t len = 0;
    while (len < 5 && (uint8_t)(p[len] - 'A') < 26) {
        len++;
    }
    if (len < 3 || len > 4 || is_alpha(p[len]) || is_digit(p[len])) return 0;
    for (uint32_t i = 1; i < ZONE_NAMES; i++) {
        const char *name = zone_names[i].text;
        if ((uint8_t)name[0] == p[0] && strlen(name) == len && memcmp(name, p, len) == 0) {
            *out_len = len + 1;
            return i + 1;
        }
    }
    return 0;
}

/** The longest zone at p: "Z", "+02:00", " +0200", " UTC" and so on; 0 if there is none. */
static inline uint32_t zone_at(const uint8_t *p, size_t *out_len)
{
    uint8_t c = p[0];
    if (c == 'Z') {
        *out_len = 1;
        return is_alpha(p[1]) || is_digit(p[1]) ? 0 : 1;
    }
    if (c == '+' || c == '-') return zone_number(p, false, out_len);
    if (c != ' ') return 0;
    if (p[1] == '+' || p[1] == '-') return zone_number(p + 1, true, out_len);
    return (uint8_t)(p[1] - 'A') < 26 ? zone_word(p + 1, out_len) : 0;
}

static bool zone_is_valid(uint32_t zone)
{
    if (zone < ZONE_NUMERIC) return zone >= 1 && zone <= ZONE_NAMES;
    uint32_t style = (zone - ZONE_NUMERIC) / ZONE_OFFSETS, index = (zone - ZONE_NUMERIC) % ZONE_OFFSETS;
    return style < STYLES && (style != STYLE_HOUR || zone_offsets[index] % 60 == 0);
}

static int32_t zone_minutes(uint32_t zone)
{
    if (zone < ZONE_NUMERIC) return zone ? zone_names[zone - 1].minutes : 0;
    return zone_offsets[(zone - ZONE_NUMERIC) % ZONE_OFFSETS];
}

static uint8_t *put_two(uint8_t *dst, uint32_t value)
{
    dst[0] = (uint8_t)('0' + value / 10 % 10);
    dst[1] = (uint8_t)('0' + value % 10);
    return dst + 2;
}

static uint8_t *zone_put(uint8_t *dst, uint32_t zone)
{
    if (zone == 0) return dst;
    if (zone < ZONE_NUMERIC) {
        if (zone > 1) *dst++ = ' ';
        for (const char *name = zone_names[zone - 1].text; *name; name++) {
            *dst++ = (uint8_t)*name;
        }
        return dst;
    }
    uint32_t style = (zone - ZONE_NUMERIC) / ZONE_OFFSETS, index = (zone - ZONE_NUMERIC) % ZONE_OFFSETS;
    int32_t offset = zone_offsets[index];
    uint32_t minutes = (uint32_t)(offset < 0 ? -offset : offset);
    if (style == STYLE_BLANK_PLAIN || style == STYLE_BLANK_COLON) *dst++ = ' ';
    *dst++ = offset < 0 || index == ZONE_OFFSETS - 1 ? '-' : '+';
    dst = put_two(dst, minutes / 60);
    if (style == STYLE_HOUR) return dst;
    if (style == STYLE_COLON || style == STYLE_BLANK_COLON) *dst++ = ':';
    return put_two(dst, minutes % 60);
}

/* ---- heads -------------------------------------------------------------------------------------------------------- */

/** Compare the first f->len bytes with the pattern; digits anywhere a digit must stand. Reads HEAD_BYTES. */
static inline bool head_match_fixed(const family *f, const uint8_t *p)
{
    uint64_t bad = 0;
    for (uint32_t i = 0; i < HEAD_WORDS; i++) {
        uint64_t word = (lm_le64(p + 8 * i) | f->blank[i]) ^ f->text[i];
        word &= f->keep[i];
        bad |= word | (word + f->add[i]); /* a carry needs a byte >= 80, which is bad by itself */
    }
    return (bad & 0x8080808080808080u) == 0;
}

static inline bool head_fields_fixed(const family *f, const uint8_t *p, fields *x)
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
        if (f->blank_day && p[f->day] == '0') return false;
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
    if (f->blank_hour && p[f->hour] != ' ') return false;
    x->minute = two(p + f->minute);
    x->second = f->second != NONE ? two(p + f->second) : 0;
    return true;
}

/** A number of width digits; width 1 means without leading zeros, at most max_digits. NULL: none. */
static const uint8_t *number_at(const uint8_t *p, uint32_t width, uint32_t max_digits, uint32_t *out)
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

/** Interpret the pattern; the twin of the two above, and the only way for VARIES. The bytes behind the head, or NULL. */
static const uint8_t *head_match(const family *f, const uint8_t *p, fields *x)
{
    *x = (fields){.year = BASE_YEAR, .month = 1, .day = 1, .weekday = NONE};
    for (const char *c = f->pattern; *c && p;) {
        char letter = *c;
        uint32_t width = 0;
        while (c[width] == letter) {
            width++;
        }
        c += width;
        switch (letter) {
        case 'Y': p = number_at(p, width, 4, &x->year); break;
        case 'y':
            p = number_at(p, width, 2, &x->year);
            x->year += x->year < 70 ? 2000 : 1900;
            break;
        case 'm': p = number_at(p, width, 2, &x->month); break;
        case 'M': p = number_at(p, width, 2, &x->minute); break;
        case 'S': p = number_at(p, width, 2, &x->second); break;
        case 'H':
        case 'I': p = number_at(p, width, 2, &x->hour); break;
        case 'd': p = number_at(p, width, 2, &x->day); break;
        case 'f': p = number_at(p, width, 3, &x->milli); break;
        case 'e':
        case 'h': {
            uint32_t *part = letter == 'e' ? &x->day : &x->hour;
            if (letter == 'h' && p[0] != ' ') return NULL;
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

/* ---- reading ------------------------------------------------------------------------------------------------------ */

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
    word = ((word & 0x000000FF000000FFu) * 0x000F424000000064u + ((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u) >> 32;
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
static bool am_pm_at(const uint8_t *p, fields *x)
{
    if (p[0] != ' ' || (p[1] != 'A' && p[1] != 'P') || p[2] != 'M' || is_alpha(p[3])) return false;
    if (x->hour - 1 >= 12) return false;
    x->hour = x->hour % 12 + (p[1] == 'P' ? 12 : 0);
    return true;
}

/** May the text stop before p? Not when that would cut a number or a row of numbers in two. */
static inline bool may_end_at(const family *f, const uint8_t *p)
{
    if (is_digit(p[0])) return false;
    if ((p[0] == '.' || p[0] == ':') && is_digit(p[-1])) {
        if (is_digit(p[1])) return false;
        /* 10:05:03:aa:bb:cc is a hardware address */
        if (p[0] == ':' && f->day == NONE && (uint8_t)((p[1] | 0x20) - 'a') < 6) return false;
    }
    return true;
}

/** What stands behind the head: fraction, AM or PM, year, zone. Then all is checked and becomes ticks. want is the
 *  fraction's code, or ANY_CODE; it only decides between the ways to see one text (.25 and .250000000 without zeros). */
static inline bool finish(const family *f, uint32_t want, const uint8_t *text, const uint8_t *p, fields *x, lm_time *out)
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
            if (p[-1] != '0' && code <= COMMA_CODE && (want == TRIMMED_CODE || (want == ANY_CODE && digits >= 8))) {
                fraction *= (uint32_t)power10[9 - digits];
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
                zone = zone_at(p, &zone_len);
                if (!zone) return false;
                p += zone_len;
            }
            if (!year_at(p, &x->year)) return false;
            p += 5;
        }
    } else if (f->zoned) {
        zone = zone_at(p, &zone_len);
        if (zone) p += zone_len;
    }
    if (!may_end_at(f, p)) return false;

    if (x->month - 1 >= 12 || x->day - 1 >= 31 || x->hour >= 24 || x->minute >= 60 || x->second >= 60) return false;
    int64_t days = 0;
    if (f->day != NONE) {
        if (x->day > 28 && x->day > month_days(x->year, x->month)) return false;
        if (x->year - 1 >= 9999) return false;
        if (digits > 7 && x->year - 1700 >= 550) return false; /* 64 bits of nanoseconds */
        days = days_of(x->year, x->month, x->day);
        if (x->weekday != NONE && (uint32_t)((days + 719468 + 3) % 7) != x->weekday) return false;
    }
    int64_t ticks = days * 86400 + x->hour * 3600 + x->minute * 60 + x->second;
    if (f->flags & VARIES && f == &families[F_COMPACT_BARE_CLOCK]) {
        ticks = ticks * 1000 + x->milli;
    } else if (f->flags & BARE) {
        ticks /= 60;
    } else {
        ticks = ticks * power10[digits] + fraction;
    }
    uint32_t id = (uint32_t)(f - families) * FRACTION_CODES + code;
    if (zone) id = ZONED_BASE + ((f->zoned - 1u) * FRACTION_CODES + code) * ZONES + zone;
    *out = (lm_time){.ticks = ticks, .layout = (uint16_t)id, .len = (uint16_t)(p - text)};
    return true;
}

static inline bool parse_family(const family *f, uint32_t want, const uint8_t *p, lm_time *out)
{
    fields x;
    if (f->flags & VARIES) {
        const uint8_t *end = head_match(f, p, &x);
        return end && finish(f, want, p, end, &x, out);
    }
    x.milli = 0;
    return head_match_fixed(f, p) && head_fields_fixed(f, p, &x) && finish(f, want, p, p + f->len, &x, out);
}

static bool parse_first(const uint8_t *candidates, size_t count, const uint8_t *p, lm_time *out)
{
    for (size_t i = 0; i < count; i++) {
        if (parse_family(&families[candidates[i]], ANY_CODE, p, out)) return true;
    }
    return false;
}

#define TRY(...) parse_first((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), p, out)

/** Four digits, then p[4]. */
static bool pick_year(const uint8_t *p, lm_time *out)
{
    if (p[4] == ' ') return is_digit(p[5]) ? TRY(F_MD) : TRY(F_YEAR_MONTH);
    if (p[4] == '-') {
        switch (p[10]) {
        case 'T': return TRY(F_ISO_T, F_ISO_T_BARE);
        case ' ': return TRY(F_ISO, F_ISO_BARE);
        case '_': return TRY(F_ISO_UNDERSCORE);
        case '-': return TRY(F_ISO_DASH_DOTS, F_ISO_DASH);
        case ':': return TRY(F_ISO_COLON);
        default: return false;
        }
    }
    if (p[4] == '/') {
        switch (p[10]) {
        case ' ': return TRY(F_SLASH, F_SLASH_BARE);
        case '-': return TRY(F_SLASH_DASH);
        case 'T': return TRY(F_SLASH_T);
        default: return false;
        }
    }
    return p[4] == '.' && (p[10] == ' ' ? TRY(F_DOT) : TRY(F_DOT_DASH));
}

/** Two digits, then p[2]. */
static bool pick_two(const uint8_t *p, lm_time *out)
{
    switch (p[2]) {
    case ':': return p[8] == ' ' || p[8] == '.' || p[8] == ',' ? TRY(F_CLOCK_12, F_CLOCK) : TRY(F_CLOCK);
    case '/':
        if (!is_digit(p[3])) return p[11] == ':' ? TRY(F_CLF) : TRY(F_CLF_BLANK);
        if (p[5] == ' ') return TRY(F_MD_SLASH);
        if (p[5] == '-') return TRY(F_MD_SLASH_DASH);
        if (p[8] == ' ') return TRY(F_YMD2, F_MDY2, F_DMY2);
        if (p[10] == ' ') return TRY(F_MDY_12, F_DMY_12, F_MDY_12_BARE, F_DMY_12_BARE, F_MDY, F_DMY, F_MDY_BARE);
        return TRY(F_MDY_12_BARE, F_DMY_12_BARE, F_MDY_BARE);
    case '-':
        if (!is_digit(p[3])) return TRY(F_DAY_DASH_MONTH);
        return p[5] == ' ' ? TRY(F_MD_DASH) : TRY(F_DMY_DASHES);
    case '.': return p[5] == ' ' ? TRY(F_MD_DOT) : TRY(F_DMY_DOTS);
    case ' ': return is_alpha(p[3]) && (p[6] == ' ') && (is_digit(p[9]) ? TRY(F_DAY_MONTH) : TRY(F_DAY_MONTH_YEARLESS));
    default: return false;
    }
}

/** Six digits or more at p. */
static bool pick_compact(const uint8_t *p, lm_time *out)
{
    if (p[6] == ' ') return p[9] == ':' ? TRY(F_YMD2_CLOCK, F_YMD2_CLOCK_BLANK) : TRY(F_YMD2_COMPACT);
    if (!is_digit(p[6]) || !is_digit(p[7])) return false;
    if (p[0] != '1' && p[0] != '2') return false;
    switch (p[8]) {
    case 'T': return TRY(F_COMPACT_T);
    case ' ': return TRY(F_COMPACT_BLANK, F_COMPACT_CLOCK);
    case '_': return TRY(F_COMPACT_UNDERSCORE);
    case '-': return TRY(F_COMPACT_BARE_CLOCK, F_COMPACT_DASH_CLOCK, F_COMPACT_DASH);
    default: return ((p[0] == '1' && p[1] == '9') || (p[0] == '2' && p[1] == '0')) && TRY(F_COMPACT);
    }
}

/** A letter at p: a month's or a weekday's name. */
static bool pick_name(const uint8_t *p, lm_time *out)
{
    if (p[3] == ' ' && is_alpha(p[4])) {
        if (weekday_of(p) == 7) return false;
        return TRY(F_CTIME_ZERO, F_CTIME, F_CTIME_ZERO_ZONE, F_CTIME_ZONE, F_SCRIPT);
    }
    if (p[3] == ',') return p[6] == ' ' ? TRY(F_MAIL_BARE_DAY) : TRY(F_MAIL);
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
        if (p[1] == '/') return TRY(F_MDY_12_BARE, F_DMY_12_BARE, F_MDY_BARE);
        if (p[1] == ':') return TRY(F_CLOCK_12_BARE, F_CLOCK_BARE);
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

/* ---- layouts ------------------------------------------------------------------------------------------------------ */

typedef struct layout {
    const family *family; /* NULL: there is no such layout */
    uint32_t digits, zone;
    uint8_t separator;
    bool is_trimmed;
} layout;

static inline layout layout_of(uint16_t id)
{
    uint32_t at = id, zone = 0, number;
    if (id >= ZONED_BASE) {
        at = (uint32_t)(id - ZONED_BASE) / ZONES;
        zone = (uint32_t)(id - ZONED_BASE) % ZONES;
        if (at >= SLOTS * FRACTION_CODES || !zone_is_valid(zone)) return (layout){0};
        number = family_of_slot[at / FRACTION_CODES];
    } else {
        number = at / FRACTION_CODES;
        if (number >= F_COUNT) return (layout){0};
    }
    const family *f = &families[number];
    uint32_t code = at % FRACTION_CODES;
    if (code && !(f->flags & FRACTION)) return (layout){0};
    if ((f->flags & ZONE_YEAR) && !zone) return (layout){0};
    if (code == TRIMMED_CODE) return (layout){f, 9, zone, '.', true};
    return (layout){f, code > COMMA_CODE ? code - COMMA_CODE : code, zone, code > COMMA_CODE ? ',' : '.', false};
}

bool lm_time_parse_as(uint16_t id, const uint8_t *text, size_t len, lm_time *out)
{
    uint8_t window[WINDOW + 16];
    uint32_t at = id < ZONED_BASE ? id : (uint32_t)(id - ZONED_BASE) / ZONES;
    uint32_t number = id < ZONED_BASE ? at / FRACTION_CODES : family_of_slot[at / FRACTION_CODES];
    if (len < 6 || number >= F_COUNT) return false;
    if (len < WINDOW) {
        memset(window, 0, sizeof window);
        memcpy(window, text, len);
        text = window;
    }
    lm_time time;
    if (!parse_family(&families[number], at % FRACTION_CODES, text, &time) || time.layout != id) return false;
    *out = time;
    return true;
}

bool lm_time_parse_plain(uint16_t id, const uint8_t *text, size_t len, lm_time *out)
{
    uint8_t window[WINDOW + 16] = {0};
    layout l = layout_of(id);
    if (!l.family) return false;
    memcpy(window, text, len < WINDOW ? len : WINDOW);
    fields x;
    lm_time time;
    const uint8_t *end = head_match(l.family, window, &x);
    if (!end || !finish(l.family, l.is_trimmed ? TRIMMED_CODE : l.digits, window, end, &x, &time) || time.layout != id) return false;
    *out = time;
    return true;
}

/* ---- printing ----------------------------------------------------------------------------------------------------- */

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/** Ticks to whole seconds and the rest; divisions by constants. */
static inline int64_t seconds_of(int64_t ticks, uint32_t digits, uint32_t *out_fraction)
{
    int64_t seconds;
    switch (digits) {
    case 0: seconds = ticks; break;
    case 3: seconds = floor_div(ticks, 1000); break;
    case 6: seconds = floor_div(ticks, 1000000); break;
    case 9: seconds = floor_div(ticks, 1000000000); break;
    default: seconds = floor_div(ticks, power10[digits]); break;
    }
    *out_fraction = (uint32_t)((uint64_t)ticks - (uint64_t)seconds * (uint64_t)power10[digits]);
    return seconds;
}

static void fields_of(const family *f, int64_t ticks, uint32_t digits, fields *x, uint32_t *out_fraction)
{
    *out_fraction = 0;
    *x = (fields){0};
    if (f == &families[F_COMPACT_BARE_CLOCK]) {
        ticks = seconds_of(ticks, 3, &x->milli);
    } else if (f->flags & BARE) {
        /* minutes: far off ones wrap, harmlessly */
        ticks = (int64_t)((uint64_t)ticks * 60);
    } else {
        ticks = seconds_of(ticks, digits, out_fraction);
    }
    int64_t days = floor_div(ticks, 86400);
    uint32_t second = (uint32_t)(ticks - days * 86400);
    x->hour = second / 3600;
    x->minute = second / 60 % 60;
    x->second = second % 60;
    if (f->day != NONE) date_of(days, x);
}

static uint32_t hour_of_12(uint32_t hour)
{
    return (hour + 11) % 12 + 1;
}

static inline void put_pair(uint8_t *dst, uint32_t value)
{
    uint32_t tens = (value * 103) >> 10; /* value < 100 */
    dst[0] = (uint8_t)('0' + tens);
    dst[1] = (uint8_t)('0' + value - tens * 10);
}

/** dst has HEAD_BYTES. */
static inline uint8_t *head_put_fixed(const family *f, const fields *x, uint8_t *dst)
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
            memcpy(dst + f->name, month_names[x->month - 1], 3);
        } else {
            put_pair(dst + f->month, x->month);
        }
        if (f->weekday != NONE) memcpy(dst + f->weekday, weekday_names[x->weekday], 3);
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

static uint8_t *head_put(const family *f, const fields *x, uint8_t *dst)
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
        case 'y': dst = put_number(dst, x->year, width); break;
        case 'm': dst = put_number(dst, x->month, width); break;
        case 'd': dst = put_number(dst, x->day, width); break;
        case 'H': dst = put_number(dst, x->hour, width); break;
        case 'I': dst = put_number(dst, hour_of_12(x->hour), width); break;
        case 'M': dst = put_number(dst, x->minute, width); break;
        case 'S': dst = put_number(dst, x->second, width); break;
        case 'f': dst = put_number(dst, x->milli, width); break;
        case 'b':
            memcpy(dst, month_names[x->month - 1], 3);
            dst += 3;
            break;
        case 'a':
            memcpy(dst, weekday_names[x->weekday], 3);
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
    layout l = layout_of(id);
    if (!l.family) return 0;
    const family *f = l.family;
    fields x;
    uint32_t fraction;
    fields_of(f, ticks, l.digits, &x, &fraction);
    uint8_t *p = f->flags & VARIES ? head_put(f, &x, dst) : head_put_fixed(f, &x, dst);
    if (l.is_trimmed && fraction == 0) l.digits = 0;
    if (l.digits) {
        while (l.is_trimmed && fraction % 10 == 0) {
            fraction /= 10;
            l.digits--;
        }
        *p = l.separator;
        for (uint32_t i = l.digits; i > 0; i--) {
            p[i] = (uint8_t)('0' + fraction % 10);
            fraction /= 10;
        }
        p += l.digits + 1;
    }
    if (f->flags & AM_PM) {
        memcpy(p, x.hour < 12 ? " AM" : " PM", 3);
        p += 3;
    }
    p = zone_put(p, l.zone);
    if (f->flags & (YEAR | ZONE_YEAR)) {
        *p++ = ' ';
        p = put_number(p, x.year, 4);
    }
    return (size_t)(p - dst);
}

/* ---- what a layout is --------------------------------------------------------------------------------------------- */

size_t lm_time_layout_count(void)
{
    return UINT16_MAX + 1;
}

bool lm_time_layout_is_valid(uint16_t id)
{
    return layout_of(id).family != NULL;
}

static size_t append(char *dst, size_t len, const char *text)
{
    size_t n = strlen(text);
    memcpy(dst + len, text, n);
    return len + n;
}

const char *lm_time_layout_name(uint16_t id)
{
    static _Thread_local char name[96]; /* the way to hand out a text made of three parts without an owner */
    layout l = layout_of(id);
    if (!l.family) return "?";
    size_t len = 0;
    for (const char *c = l.family->pattern; *c;) {
        char letter[2] = {*c, 0};
        size_t width = strspn(c, letter);
        c += width;
        bool is_bare = width == 1 && (l.family->flags & VARIES);
        switch (letter[0]) {
        case 'Y': len = append(name, len, "%Y"); break;
        case 'y': len = append(name, len, "%y"); break;
        case 'm': len = append(name, len, is_bare ? "%-m" : "%m"); break;
        case 'd': len = append(name, len, is_bare ? "%-d" : "%d"); break;
        case 'H': len = append(name, len, is_bare ? "%-H" : "%H"); break;
        case 'I': len = append(name, len, is_bare ? "%-I" : "%I"); break;
        case 'M': len = append(name, len, is_bare ? "%-M" : "%M"); break;
        case 'S': len = append(name, len, is_bare ? "%-S" : "%S"); break;
        case 'f': len = append(name, len, "%-3f"); break;
        case 'b': len = append(name, len, "%b"); break;
        case 'a': len = append(name, len, "%a"); break;
        case 'e': len = append(name, len, "%e"); c++; break;
        case 'h': len = append(name, len, "%k"); c++; break;
        default: len = append(name, len, letter);
        }
    }
    if (l.digits) {
        char fraction[] = {(char)l.separator, '%', (char)(l.is_trimmed ? 'N' : '0' + l.digits), 'f', 0};
        len = append(name, len, fraction);
    }
    if (l.family->flags & AM_PM) len = append(name, len, " %p");
    len = (size_t)(zone_put((uint8_t *)name + len, l.zone) - (uint8_t *)name);
    if (l.family->flags & (YEAR | ZONE_YEAR)) len = append(name, len, " %Y");
    name[len] = 0;
    return name;
}

int64_t lm_time_layout_ns(uint16_t id)
{
    layout l = layout_of(id);
    if (!l.family) return 1;
    if (l.family->flags & BARE) return 60 * power10[9];
    if (l.family == &families[F_COMPACT_BARE_CLOCK]) return power10[6];
    return power10[9 - l.digits];
}

bool lm_time_layout_has_date(uint16_t id)
{
    layout l = layout_of(id);
    return l.family && l.family->day != NONE;
}

bool lm_time_layout_has_year(uint16_t id)
{
    layout l = layout_of(id);
    return l.family && (l.family->year != NONE || l.family->year2 != NONE || (l.family->flags & (YEAR | ZONE_YEAR)));
}

int32_t lm_time_layout_zone_minutes(uint16_t id)
{
    layout l = layout_of(id);
    return l.family ? zone_minutes(l.zone) : 0;
}

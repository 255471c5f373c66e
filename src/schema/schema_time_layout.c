/**
 * Layouts of timestamps: the table of families made from schema_time.def at compile time, zones,
 * names.
 */
#include "schema/schema_time_priv.h"

/* The pattern letters become words and positions at compile time. */
#define AT(s, i)    ((i) < sizeof(s) ? (s)[(i) < sizeof(s) ? (i) : 0] : 0)
#define IS_BLANK(c) ((c) == 'e' || (c) == 'h')
#define IS_NUMBER(c)                                                                               \
    ((c) == 'Y' || (c) == 'y' || (c) == 'm' || (c) == 'd' || (c) == 'H' || (c) == 'I' ||           \
     (c) == 'M' || (c) == 'S' || IS_BLANK(c))
#define IS_NAME(c)  ((c) == 'a' || (c) == 'b' || (c) == 0)
#define TEXT_OF(c)  (uint64_t)(IS_NUMBER(c) ? '0' : IS_NAME(c) ? 0 : (c))
#define KEEP_OF(c)  (uint64_t)(IS_NAME(c) ? 0 : 0xFF)
#define BLANK_OF(c) (uint64_t)(IS_BLANK(c) ? 0x10 : 0)
#define ADD_OF(c)   (uint64_t)(IS_NUMBER(c) ? 0x76 : 0x7F)
#define WORD(f, s, i)                                                                              \
    (f(AT(s, i)) | f(AT(s, i + 1)) << 8 | f(AT(s, i + 2)) << 16 | f(AT(s, i + 3)) << 24 |          \
     f(AT(s, i + 4)) << 32 | f(AT(s, i + 5)) << 40 | f(AT(s, i + 6)) << 48 |                       \
     f(AT(s, i + 7)) << 56)
#define WORDS(f, s) {WORD(f, s, 0), WORD(f, s, 8), WORD(f, s, 16)}
#define P4(s, c, i, next)                                                                          \
    (AT(s, i) == (c)       ? (i)                                                                   \
     : AT(s, i + 1) == (c) ? (i) + 1                                                               \
     : AT(s, i + 2) == (c) ? (i) + 2                                                               \
     : AT(s, i + 3) == (c) ? (i) + 3                                                               \
                           : (next))
#define POS(s, c)                                                                                  \
    P4(s, c, 0, P4(s, c, 4, P4(s, c, 8, P4(s, c, 12, P4(s, c, 16, P4(s, c, 20, NONE))))))
#define POS_OR(s, a, b) (POS(s, a) != NONE ? POS(s, a) : POS(s, b))

const lm_time_family lm_time_families[F_COUNT] = {
#define LM_TIME_FAMILY(name_, zoned_, flags_, s)                                                   \
    [F_##name_] = {.pattern = s,                                                                   \
                   .text = WORDS(TEXT_OF, s),                                                      \
                   .keep = WORDS(KEEP_OF, s),                                                      \
                   .blank = WORDS(BLANK_OF, s),                                                    \
                   .add = WORDS(ADD_OF, s),                                                        \
                   .flags = flags_,                                                                \
                   .zoned = zoned_,                                                                \
                   .len = sizeof(s) - 1,                                                           \
                   .year = POS(s, 'Y'),                                                            \
                   .year2 = POS(s, 'y'),                                                           \
                   .month = POS(s, 'm'),                                                           \
                   .name = POS(s, 'b'),                                                            \
                   .day = POS_OR(s, 'e', 'd'),                                                     \
                   .hour = POS_OR(s, 'h', POS(s, 'H') != NONE ? 'H' : 'I'),                        \
                   .minute = POS(s, 'M'),                                                          \
                   .second = POS(s, 'S'),                                                          \
                   .weekday = POS(s, 'a'),                                                         \
                   .blank_day = POS(s, 'e') != NONE,                                               \
                   .blank_hour = POS(s, 'h') != NONE},
#include "schema/schema_time.def"
#undef LM_TIME_FAMILY
};

/* Tests check it against the list. */
const uint8_t lm_time_family_of_slot[SLOTS] = {
    F_ISO_T,      F_ISO, F_SLASH,     F_DOT,  F_ISO_T_BARE,    F_CTIME_ZERO_ZONE,
    F_CTIME_ZONE, F_CLF, F_DAY_MONTH, F_MAIL, F_MAIL_BARE_DAY, F_COMPACT_T};

const char lm_time_month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
const char lm_time_weekday_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
const int64_t lm_time_power10[10] = {1,      10,      100,      1000,      10000,
                                     100000, 1000000, 10000000, 100000000, 1000000000};

/* ---- zones ----------------------------------------------------------------------------------- */

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

enum {
    ZONE_NAMES = sizeof zone_names / sizeof *zone_names,
    STYLE_COLON = 0,
    STYLE_PLAIN,
    STYLE_BLANK_PLAIN,
    STYLE_BLANK_COLON,
    STYLE_HOUR,
    STYLES
};

static uint32_t zone_offset_index(bool is_negative, uint32_t minutes)
{
    if (minutes == 0) return is_negative ? ZONE_OFFSETS - 1 : 0;
    int32_t want = is_negative ? -(int32_t)minutes : (int32_t)minutes;
    uint32_t hour_guess =
        minutes / 60 + (is_negative ? 14 : 0); /* whole hours lie in order: 0..14, then -1..-12 */
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
        style = after_blank ? (has_colon ? STYLE_BLANK_COLON : STYLE_BLANK_PLAIN)
                            : (has_colon ? STYLE_COLON : STYLE_PLAIN);
    } else {
        if (after_blank || has_colon) return 0;
        len = 3;
        style = STYLE_HOUR;
    }
    uint8_t next = p[len];
    if (is_digit(next) || is_alpha(next) || (next == ':' && is_digit(p[len + 1])) || next == '-')
        return 0;
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
    uint8_t last =
        p[len - 1]; /* the words that stand here most often, INFO and WARN, end otherwise */
    if (last != 'T' && last != 'C' && last != 'K') return 0;
    for (uint32_t i = 1; i < ZONE_NAMES; i++) {
        const char *name = zone_names[i].text;
        if ((uint8_t)name[0] == p[0] && strlen(name) == len && memcmp(name, p, len) == 0) {
            *out_len = len + 1;
            return i + 1;
        }
    }
    return 0;
}

uint32_t lm_time_zone_at(const uint8_t *p, size_t *out_len)
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
    uint32_t style = (zone - ZONE_NUMERIC) / ZONE_OFFSETS,
             index = (zone - ZONE_NUMERIC) % ZONE_OFFSETS;
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

uint8_t *lm_time_zone_put(uint8_t *dst, uint32_t zone)
{
    if (zone == 0) return dst;
    if (zone < ZONE_NUMERIC) {
        if (zone > 1) *dst++ = ' ';
        for (const char *name = zone_names[zone - 1].text; *name; name++) {
            *dst++ = (uint8_t)*name;
        }
        return dst;
    }
    uint32_t style = (zone - ZONE_NUMERIC) / ZONE_OFFSETS,
             index = (zone - ZONE_NUMERIC) % ZONE_OFFSETS;
    int32_t offset = zone_offsets[index];
    uint32_t minutes = (uint32_t)(offset < 0 ? -offset : offset);
    if (style == STYLE_BLANK_PLAIN || style == STYLE_BLANK_COLON) *dst++ = ' ';
    *dst++ = offset < 0 || index == ZONE_OFFSETS - 1 ? '-' : '+';
    dst = put_two(dst, minutes / 60);
    if (style == STYLE_HOUR) return dst;
    if (style == STYLE_COLON || style == STYLE_BLANK_COLON) *dst++ = ':';
    return put_two(dst, minutes % 60);
}

/* ---- what a layout is ------------------------------------------------------------------------ */

lm_time_layout lm_time_layout_find(uint16_t id)
{
    uint32_t at = id, zone = 0, number;
    if (id >= ZONED_BASE) {
        at = (uint32_t)(id - ZONED_BASE) / ZONES;
        zone = (uint32_t)(id - ZONED_BASE) % ZONES;
        if (at >= SLOTS * FRACTION_CODES || !zone_is_valid(zone)) return (lm_time_layout){0};
        number = lm_time_family_of_slot[at / FRACTION_CODES];
    } else {
        number = at / FRACTION_CODES;
        if (number >= F_COUNT) return (lm_time_layout){0};
    }
    const lm_time_family *f = &lm_time_families[number];
    uint32_t code = at % FRACTION_CODES;
    if (code && !(f->flags & FRACTION)) return (lm_time_layout){0};
    if ((f->flags & ZONE_YEAR) && !zone) return (lm_time_layout){0};
    if (code == TRIMMED_CODE) return (lm_time_layout){f, 9, zone, '.', true};
    return (lm_time_layout){f, code > COMMA_CODE ? code - COMMA_CODE : code, zone,
                            code > COMMA_CODE ? ',' : '.', false};
}

size_t lm_time_layout_count(void)
{
    return UINT16_MAX + 1;
}

bool lm_time_layout_is_valid(uint16_t id)
{
    return lm_time_layout_find(id).family != NULL;
}

static size_t append(char *dst, size_t len, const char *text)
{
    size_t n = strlen(text);
    memcpy(dst + len, text, n);
    return len + n;
}

const char *lm_time_layout_name(uint16_t id)
{
    static _Thread_local char
        name[96]; /* the way to hand out a text made of three parts without an owner */
    lm_time_layout l = lm_time_layout_find(id);
    if (!l.family) return "?";
    size_t len = 0;
    for (const char *c = l.family->pattern; *c;) {
        char letter[2] = {*c, 0};
        size_t width = strspn(c, letter);
        c += width;
        bool is_bare = width == 1 && (l.family->flags & VARIES);
        switch (letter[0]) {
        case 'Y':
            len = append(name, len, "%Y");
            break;
        case 'y':
            len = append(name, len, "%y");
            break;
        case 'm':
            len = append(name, len, is_bare ? "%-m" : "%m");
            break;
        case 'd':
            len = append(name, len, is_bare ? "%-d" : "%d");
            break;
        case 'H':
            len = append(name, len, is_bare ? "%-H" : "%H");
            break;
        case 'I':
            len = append(name, len, is_bare ? "%-I" : "%I");
            break;
        case 'M':
            len = append(name, len, is_bare ? "%-M" : "%M");
            break;
        case 'S':
            len = append(name, len, is_bare ? "%-S" : "%S");
            break;
        case 'f':
            len = append(name, len, is_bare ? "%-3f" : "%3f");
            break;
        case 'b':
            len = append(name, len, "%b");
            break;
        case 'a':
            len = append(name, len, "%a");
            break;
        case 'e':
            len = append(name, len, "%e");
            c++;
            break;
        case 'h':
            len = append(name, len, "%k");
            c++;
            break;
        default:
            for (size_t i = 0; i < width; i++)
                len = append(name, len, letter);
        }
    }
    if (l.digits) {
        char fraction[] = {(char)l.separator, '%', (char)(l.is_trimmed ? 'N' : '0' + l.digits), 'f',
                           0};
        len = append(name, len, fraction);
    }
    if (l.family->flags & AM_PM) len = append(name, len, " %p");
    len = (size_t)(lm_time_zone_put((uint8_t *)name + len, l.zone) - (uint8_t *)name);
    if (l.family->flags & (YEAR | ZONE_YEAR)) len = append(name, len, " %Y");
    name[len] = 0;
    return name;
}

size_t lm_time_layout_alike(uint16_t id, uint16_t out[LM_TIME_ALIKE_MAX])
{
    static const uint8_t groups[][LM_TIME_ALIKE_MAX] = {
        {F_MDY, F_DMY, F_MDY},
        {F_MDY_12, F_DMY_12, F_MDY_12},
        {F_MDY_12_BARE, F_DMY_12_BARE, F_MDY_12_BARE},
        {F_MDY_BARE, F_DMY_BARE, F_MDY_BARE},
        {F_DMY_DASHES, F_MDY_DASHES, F_DMY_DASHES},
        {F_YMD2, F_MDY2, F_DMY2},
    };
    if (id >= ZONED_BASE) return 0;
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        size_t n = groups[g][2] == groups[g][0] ? 2 : 3;
        for (size_t i = 0; i < n; i++) {
            if (id / FRACTION_CODES != groups[g][i]) continue;
            for (size_t k = 0; k < n; k++)
                out[k] = (uint16_t)(groups[g][k] * FRACTION_CODES + id % FRACTION_CODES);
            return n;
        }
    }
    return 0;
}

int64_t lm_time_layout_ns(uint16_t id)
{
    lm_time_layout l = lm_time_layout_find(id);
    if (!l.family) return 1;
    if (l.family->flags & BARE) return 60 * lm_time_power10[9];
    if (l.family->flags & MILLI) return lm_time_power10[6];
    return lm_time_power10[9 - l.digits];
}

bool lm_time_layout_has_date(uint16_t id)
{
    lm_time_layout l = lm_time_layout_find(id);
    return l.family && l.family->day != NONE;
}

bool lm_time_layout_has_zone(uint16_t id)
{
    lm_time_layout l = lm_time_layout_find(id);
    return l.family && l.zone;
}

bool lm_time_layout_has_year(uint16_t id)
{
    lm_time_layout l = lm_time_layout_find(id);
    return l.family && (l.family->year != NONE || l.family->year2 != NONE ||
                        (l.family->flags & (YEAR | ZONE_YEAR)));
}

int32_t lm_time_layout_zone_minutes(uint16_t id)
{
    lm_time_layout l = lm_time_layout_find(id);
    return l.family ? zone_minutes(l.zone) : 0;
}

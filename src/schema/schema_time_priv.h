/**
 * Inside of timestamps: the families, layout ids taken apart, and the plain twin of the fast
 * reader.
 *
 * A layout is a family (schema_time.def: the text up to the second), a fraction (none, or '.' or
 * ',' and 1 to 9 digits) and, for families with a slot, a zone (schema_time_zones.def). Layout ids,
 * which are on disk:
 *
 *     id <  4096    family * 20 + fraction                              without a zone
 *     id >= 4096    4096 + ((slot - 1) * 20 + fraction) * 256 + zone    with one; slot 1..12
 *     fraction      0 none, 1..9 that many digits behind '.', 10..18 one to nine digits behind ',';
 * 19 nanoseconds behind '.' without their trailing zeros, nothing at all for 0 (as Go prints them)
 *     zone          1..31 a name, 32 + style * 44 + offset a number; styles: +hh:mm +hhmm " +hhmm"
 * " +hh:mm" +hh
 *
 * Ticks count the layout's smallest unit in local time, as written; lm_time_ns takes the zone off.
 * So the digits printed from the ticks are the digits that were read, whatever the zone.
 */
#ifndef SCHEMA_TIME_PRIV_H
#define SCHEMA_TIME_PRIV_H

#include "schema/schema_time.h"

enum { FRACTION = 1, AM_PM = 2, YEAR = 4, ZONE_YEAR = 8, VARIES = 16, BARE = 32, MILLI = 64 };

enum {
    FRACTION_CODES = 20,
    COMMA_CODE = 9,
    TRIMMED_CODE = 19,
    ANY_CODE = 20,
    ZONED_BASE = 4096,
    ZONES = 256,
    ZONE_NUMERIC = 32,
    ZONE_OFFSETS = 44
};

enum { HEAD_WORDS = 3, HEAD_BYTES = 24, WINDOW = 64, NONE = 0xFF, BASE_YEAR = 1972, SLOTS = 12 };

typedef enum lm_time_family_id {

#define LM_TIME_FAMILY(name, zoned, flags, pattern) F_##name,
#include "schema/schema_time.def"
#undef LM_TIME_FAMILY
    F_COUNT
} lm_time_family_id;

typedef struct lm_time_family {
    const char *pattern;
    uint64_t text[HEAD_WORDS];  /* '0' where a digit stands, 0 where a name stands, else the byte
                                   itself */
    uint64_t keep[HEAD_WORDS];  /* FF at bytes that are compared */
    uint64_t blank[HEAD_WORDS]; /* 10 where a blank may stand for '0': ' ' | 10 is '0' */
    uint64_t add[HEAD_WORDS]; /* added to (byte ^ text): sets the high bit unless it is a digit, or
                                 equal */
    uint8_t flags, zoned, len;
    uint8_t year, year2, month, name, day, hour, minute, second,
        weekday; /* positions in the head, or NONE */
    bool blank_day, blank_hour;
} lm_time_family;

extern const lm_time_family lm_time_families[F_COUNT];
extern const uint8_t lm_time_family_of_slot[SLOTS]; /* the zoned families by slot, less 1 */
extern const char lm_time_month_names[12][4];
extern const char lm_time_weekday_names[7][4];
extern const int64_t lm_time_power10[10];

typedef struct lm_time_fields {
    uint32_t year, month, day, hour, minute, second, milli;
    uint32_t weekday; /* NONE: not in the text */
} lm_time_fields;

typedef struct lm_time_layout {
    const lm_time_family *family; /* NULL: there is no such layout */
    uint32_t digits, zone;
    uint8_t separator;
    bool is_trimmed;
} lm_time_layout;

/** Takes an id apart; family is NULL if there is no such layout. */
lm_time_layout lm_time_layout_find(uint16_t id);
/** The longest zone at p: "Z", "+02:00", " +0200", " UTC" and so on; 0 if there is none. Reads up
 * to 8 bytes. */
uint32_t lm_time_zone_at(const uint8_t *p, size_t *out_len);
/** Writes the zone's text, returns the place behind it. */
uint8_t *lm_time_zone_put(uint8_t *dst, uint32_t zone);
/** lm_time_parse_as, byte by byte. */
bool lm_time_parse_plain(uint16_t layout, const uint8_t *text, size_t len, lm_time *out);

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

#endif

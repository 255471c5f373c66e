/**
 * Timestamps: text of a known layout <-> ticks. A layout fixes every byte but the digits and names,
 * so that printing the ticks gives the text back. Layouts are listed once in schema_time.def.
 */
#ifndef SCHEMA_TIME_H
#define SCHEMA_TIME_H

#include "base/base.h"

#define LM_TIME_TEXT_MAX 48

typedef struct lm_time {
    int64_t ticks;   /* the layout's smallest units since 1970-01-01 of its own zone; clocks: since
                        midnight; without a   year: of 1972 */
    uint16_t layout; /* index into the list; stable on disk */
    uint16_t len;    /* bytes of text */
} lm_time;

/** Longest layout that the text starts with and that prints back to the same bytes. O(1). */
bool lm_time_parse(const uint8_t *text, size_t len, lm_time *out);
/** The text must have exactly this layout; else false. The hot path once a stream's layout is
 * known. */
bool lm_time_parse_as(uint16_t layout, const uint8_t *text, size_t len, lm_time *out);

/** The time read last, for reading the next: all zero at first. */
typedef struct lm_time_clock {
    int64_t minute; /* its ticks, less second and fraction */
    uint8_t text[LM_TIME_TEXT_MAX];
    uint16_t layout;
    uint8_t len;            /* 0: none */
    uint8_t second, digits; /* where the second stands; digits of the fraction */
    uint8_t end;            /* the byte behind */
    bool may_have_zone;
} lm_time_clock;

/** lm_time_parse_as for times in a row: several times cheaper within a minute. */
bool lm_time_clock_read(lm_time_clock *clock, uint16_t layout, const uint8_t *text, size_t len,
                        lm_time *out);
/** Writes the text (no NUL), returns its length. dst has LM_TIME_TEXT_MAX bytes. Any ticks are
 * safe. */
size_t lm_time_print(uint16_t layout, int64_t ticks, uint8_t *dst);

enum { LM_TIME_ALIKE_MAX = 3 };

/** The layouts that one text may be of, such as month first and day first: `03/11/2026`. How many,
 * the likeliest first and `layout` among them; 0: its texts tell. */
size_t lm_time_layout_alike(uint16_t layout, uint16_t out[LM_TIME_ALIKE_MAX]);
size_t lm_time_layout_count(void);             /* ids are below this; not all of them are valid */
bool lm_time_layout_is_valid(uint16_t layout); /* printing one that is not gives no bytes */
/** strftime-like: "%Y-%m-%d %H:%M:%S,%3f"; %Nf is nanoseconds without trailing zeros. Valid until
 * this thread's next call; never above 95 bytes. */
const char *lm_time_layout_name(uint16_t layout);
int64_t lm_time_layout_ns(uint16_t layout);    /* nanoseconds a tick */
bool lm_time_layout_has_date(uint16_t layout); /* false: time of day only */
bool lm_time_layout_has_year(uint16_t layout);
bool lm_time_layout_has_zone(uint16_t layout);
int32_t lm_time_layout_zone_minutes(uint16_t layout); /* east of UTC; 0 when the text has no zone */
/** Nanoseconds since 1970 UTC. Zone offsets in the text count; without one UTC is taken. A missing
 * year is the last one that does not put it after not_after_ns (a file's mtime) by more than a day,
 * since the writer's zone is not known; a clock without a date is of the day that puts it nearest
 * to not_after_ns. Times before 1678 or
 * after 2261 give the nearest that 64 bits can hold. */
int64_t lm_time_ns(uint16_t layout, int64_t ticks, int64_t not_after_ns);
/** Of a clock without a date: the last time of that clock that is not after latest_ns. */
int64_t lm_time_clock_ns(uint16_t layout, int64_t ticks, int64_t latest_ns);
/** What the clock on this machine's wall is ahead of UTC at a time. */
int64_t lm_time_zone_ns(int64_t utc_ns);
/** The clock on the wall shows local_ns: which time is it? What comes out near now has now's
 * offset; a change of clocks moves it by more than that. */
int64_t lm_time_utc_of(int64_t local_ns, int64_t now_ns);
/** What a user writes: "2h", "15m", "2026-11-23T13:00", "yesterday", an epoch. LM_E_USAGE. */
LM_USE lm_err lm_time_parse_user(lm_str text, int64_t now_ns, int64_t *out_ns);

#endif

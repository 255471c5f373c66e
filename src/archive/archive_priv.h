/** Inside the archive room: value classes, role columns, shapes; docs/format/archive.md is the law
 * of what goes to disk. */
#ifndef ARCHIVE_PRIV_H
#define ARCHIVE_PRIV_H

#include "archive/archive.h"

/* ---- skeletons ----
 * A line's skeleton is its text with each variable replaced by LM_MARK and a kind. A line that
 * holds LM_MARK itself, or has too many variables, or is too long, is one variable of kind RAW. */
#define LM_MARK LM_SKELETON_MARK
#define LM_KIND_TOKEN                                                                              \
    'V' /* number, hex, address, id: classified by its text when it is put into its column */
#define LM_KIND_TIME 'T' /* a timestamp of a known layout */
#define LM_KIND_TEXT 'S' /* a JSON string or a value behind '=' */
#define LM_KIND_WORD 'W' /* a word that differs among lines that are alike otherwise */
#define LM_KIND_RAW  'R' /* the whole line */

#define LM_PARSE_LINE_MAX (1u << 20) /* longer lines are kept raw */
#define LM_FIELD_LINE_MAX (1u << 16) /* longer lines are not taken apart into fields */
#define LM_TEXT_PADDING   64         /* readable bytes behind every text buffer */

/* ---- value classes: how a variable is printed from a number; on disk: never renumber ---- */
enum {
    LM_VC_INT = 0,  /* canonical decimal, optional '-' */
    LM_VC_IP4 = 1,  /* a.b.c.d, canonical */
    LM_VC_STR = 2,  /* text; the number is its place in the dictionary */
    LM_VC_UUID = 3, /* 8-4-4-4-12 lower-case hex; the number is where its 16 bytes begin among the
                       wide values */
    LM_VC_HEXV_LOWER = 5, /* hex without leading zero, any length up to 15 */
    LM_VC_HEXV_UPPER = 6,
    LM_VC_STR_UNIQUE = 7, /* text, all values distinct: no index */
    LM_VC_ZINT = 16,      /* + width 2..18: zero-padded decimal */
    LM_VC_DEC = 36,       /* + digits behind the point 1..15 */
    LM_VC_DECT = 52, /* + largest scale 1..15: trailing zeros (and a bare point) are not written */
    LM_VC_HEX_LOWER = 68, /* + width 1..16 */
    LM_VC_HEX_UPPER = 86, /* + width 1..16 */
    LM_VC_HEX_WIDE = 104, /* + bytes 9..64: twice as many lower-case hex digits, wide */
    LM_VC_TIME = 256,     /* + layout */
    LM_VC_LIMIT = 65792   /* codes are below this */
};

#define LM_SCALE_MAX 15
#define LM_WIDE_MAX  64

/** Powers of ten. */
extern const uint64_t lm_power10[20];

/** Are these eight bytes of text digits and small letters up to f? */
static inline bool lm_hex_is_lower8(uint64_t bytes)
{
    static const uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
    uint64_t digit = bytes ^ 0x30 * one, letter = bytes ^ 0x60 * one; /* 0..9; 1..6 */
    uint64_t no_digit = digit + 0x76 * one;
    uint64_t no_letter = (letter + 0x79 * one) | ~((letter | high) - one);
    return ((bytes | (no_digit & no_letter)) & high) == 0;
}

/** Their value, first byte highest. */
static inline uint32_t lm_hex_value8(uint64_t bytes)
{
    static const uint64_t one = 0x0101010101010101u;
    uint64_t v = (bytes & 0x0f * one) + 9 * (bytes >> 6 & one); /* a nibble a byte */
    v = __builtin_bswap64(v);
    v = (v | v >> 4) & 0x00ff00ff00ff00ffu;
    v = (v | v >> 8) & 0x0000ffff0000ffffu;
    return (uint32_t)(v | v >> 16);
}

static inline uint64_t lm_text8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/** Is all of it digits and small letters up to f? */
static inline bool lm_hex_is_lower(const uint8_t *p, size_t len)
{
    if (len < 8) return false; /* not asked for */
    for (size_t i = 0; i + 8 < len; i += 8)
        if (!lm_hex_is_lower8(lm_text8(p + i))) return false;
    return lm_hex_is_lower8(lm_text8(p + len - 8));
}

/** Classify the text of a token; wide values go to wide. Never LM_VC_TIME. */
typedef struct lm_token_value {
    uint32_t vclass;
    int64_t number;
    uint8_t wide[LM_WIDE_MAX];
} lm_token_value;

void lm_token_classify(const uint8_t *text, size_t len, lm_token_value *out);
/** The same of what is known to be small letters up to f and digits, both of them: 8..16 or an even
 * number up to 2 * LM_WIDE_MAX. */
void lm_token_take_hex(const uint8_t *text, size_t len, lm_token_value *out);
/** Print a number of a class (not STR, STR_UNIQUE); wide for classes that have a width. dst has
 * LM_VALUE_TEXT_MAX bytes; any number is safe. Returns the length. */
#define LM_VALUE_TEXT_MAX   128
#define LM_DECIMAL_TEXT_MAX 21 /* bytes of the longest decimal: a sign, 19 digits, a point */
size_t lm_value_print(uint32_t vclass, int64_t number, const uint8_t *wide, uint8_t *dst);
/** Is this a class code that lm_value_print or the dictionary can print? */
bool lm_vclass_is_valid(uint64_t vclass);

/* ---- a role column while it is being filled ---- */
typedef struct lm_slice {
    uint32_t offset, len;
} lm_slice; /* of the segment's text */

typedef struct lm_role {
    int64_t *numbers;  /* count values */
    uint32_t *classes; /* NULL while all are of class uniform */
    uint32_t uniform;
    uint32_t count, cap;
    lm_slice *texts;      /* dictionary, first appearance order */
    uint64_t *text_slots; /* open addressing: index + 1, above it half of the hash */
    uint32_t text_count, text_cap, slot_cap, text_last;
    uint64_t text_bytes;
    lm_buf wide; /* bytes of wide values */
    uint64_t key;
    uint64_t usage; /* which shapes use it and how often: columns of equal usage line up */
} lm_role;

/* ---- the shapes of one segment ---- */
typedef struct lm_shape_entry {
    uint64_t hash;
    uint32_t skeleton, skeleton_len; /* in skeletons */
    uint32_t first_var, var_count;   /* in var_roles */
    uint32_t rows;
    lm_slice sample; /* first line of this shape */
} lm_shape_entry;

typedef struct lm_shapes {
    lm_mem *mem;
    lm_buf skeletons; /* each ended by '\n' */
    lm_shape_entry *items;
    size_t count, cap;
    uint32_t *slots; /* open addressing: index + 1 */
    size_t slot_cap;
    uint32_t *var_roles; /* role of each variable of each shape */
    size_t var_count, var_cap;
    /* roles: key -> number, by first appearance */
    uint64_t *role_keys;
    size_t role_count, role_cap;
    uint32_t *role_slots;
    size_t role_slot_cap;
} lm_shapes;

void lm_shapes_init(lm_shapes *shapes, lm_mem *mem);
void lm_shapes_fini(lm_shapes *shapes);
/** Find or add. out is the shape's number. LM_E_LIMIT when SHAPE_COUNT_MAX is reached. */
LM_USE lm_err lm_shapes_intern(lm_shapes *shapes, const uint8_t *skeleton, size_t len,
                               uint32_t *out);
/** Append without looking (the reader: skeletons of a segment are distinct). Assigns roles. */
LM_USE lm_err lm_shapes_append(lm_shapes *shapes, const uint8_t *skeleton, size_t len,
                               uint64_t hash);

/** Skeletons with `<*>` for each variable, up to about LM_TEXTS_LIKE_MAX bytes: the words that
 * template texts are stored in. */
LM_USE lm_err lm_skeletons_as_templates(lm_str skeletons, lm_buf *out);

/** Walk a skeleton: constant text and variables in turn. */
typedef struct lm_skeleton_walk {
    const uint8_t *at, *end;
} lm_skeleton_walk;

/** Next variable: out_text is the constant text before it. False at the end: out_text is the rest.
 */
static inline bool lm_skeleton_next(lm_skeleton_walk *walk, lm_str *out_text, uint8_t *out_kind)
{
    const uint8_t *begin = walk->at;
    const uint8_t *mark =
        begin == walk->end ? NULL : memchr(begin, LM_MARK, (size_t)(walk->end - begin));
    if (!mark || mark + 1 >= walk->end) {
        *out_text = (lm_str){begin, (size_t)(walk->end - begin)};
        walk->at = walk->end;
        return false;
    }
    *out_text = (lm_str){begin, (size_t)(mark - begin)};
    *out_kind = mark[1];
    walk->at = mark + 2;
    return true;
}

/* ---- parsing one segment's text ---- */
typedef struct lm_parsed {
    lm_mem *mem;
    const uint8_t *text; /* LM_TEXT_PADDING readable bytes behind */
    size_t text_len;
    lm_shapes shapes;
    lm_role *roles;
    size_t role_count, role_cap;
    uint32_t *shape_of_row;
    size_t row_count, row_cap;
    uint32_t *sample_lens; /* length of each variable in its shape's sample line, beside
                              shapes.var_roles */
    size_t sample_len_count, sample_len_cap;
} lm_parsed;

/** The ways that lines of a stream go, from one segment to the next. */
typedef struct lm_ways lm_ways;
void lm_ways_free(lm_mem *mem, lm_ways *ways);

/** Every row of text ends with '\n'. The text must outlive the result. Level fast looks twice only
 * where much is won. ways may be NULL; else *ways is what an earlier call left there (NULL:
 * nothing) and then what this one does. LM_E_LIMIT: not what columns are for. */
LM_USE lm_err lm_parsed_make(lm_mem *mem, const uint8_t *text, size_t len, lm_level level,
                             lm_ways **ways, lm_parsed **out);
void lm_parsed_free(lm_parsed *parsed);
/** Dates whose text does not tell month from day are read as what is likeliest for all of a role's
 * values. */
void lm_dates_settle(lm_parsed *parsed);

/* ---- role columns to columns of the codec, and back ---- */
#define LM_POOL_COUNT_MAX 12 /* a role with fewer values goes to the pool as text */

/** Fixed columns of a segment; value columns follow in role order. */
enum {
    LM_SEG_SHAPE_TEXT, /* skeletons, each ended by '\n' */
    LM_SEG_SHAPE_IDS,  /* one a row */
    LM_SEG_ROLES,      /* lm_role_format of every role */
    LM_SEG_POOL,       /* values of rare roles, role by role, each ended by '\n' */
    LM_SEG_STAMPS,     /* what is known of each column without opening it */
    LM_SEG_FILTERS,    /* 3-gram bitmaps of text dictionaries */
    LM_SEG_MARKS,      /* per shape: where its time and level are, whether it continues a record;
                          exceptions by row */
    LM_SEG_FIXED_COUNT
};

/** How a role is stored. */
typedef struct lm_role_format {
    uint32_t *classes;     /* in order of first appearance */
    uint32_t class_count;  /* 0: in the pool */
    uint8_t scale;         /* several classes, DEC among them: its numbers are at this scale */
    uint32_t first_column; /* of the codec's columns; 0 in the pool */
} lm_role_format;

/** Classes of one column key share one column of numbers when a role has several classes. */
enum {
    LM_KEY_INT,
    LM_KEY_DEC,
    LM_KEY_HEX,
    LM_KEY_IP4,
    LM_KEY_STR,
    LM_KEY_TIME /* + layout */,
    LM_KEY_WIDE = 1 << 20 /* + class */
};

uint32_t lm_vclass_key(uint32_t vclass);
/** Bytes of a wide value of this class; 0 if the class is not wide. */
uint32_t lm_vclass_width(uint32_t vclass);

/** Stamp of one role as stored; filter_log2 0: no filter. */
typedef struct lm_stored_stamp {
    lm_value_stamp stamp;
    uint8_t filter_log2;    /* bits of the filter, as a power of two */
    uint32_t filter_offset; /* bytes into the filters column */
} lm_stored_stamp;

/** Where a group of three characters, the first in the lowest byte, is noted. */
static inline uint32_t lm_gram_place(uint32_t gram, unsigned log2_bits)
{
    return (gram * 0x9E3779B1u) >> (32 - log2_bits);
}

static inline uint32_t lm_gram_bit(const uint8_t *p, unsigned log2_bits)
{
    uint32_t gram = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
    return lm_gram_place(gram, log2_bits);
}

/** LM_CHARS_* that occur in text. */
uint8_t lm_chars_of_text(lm_str text);

/** The columns of a segment, ready for the codec. Arrays live in arena or in the parse it was made
 * from. */
typedef struct lm_seg_columns {
    lm_arena arena;
    lm_column *columns;
    size_t count, cap;
    lm_buf roles, pool, stamps, filters;
    const uint8_t *joined; /* texts of the role at hand, each ended by '\n' */
} lm_seg_columns;

/** Changes parsed in place (numbers move to common classes). marks is borrowed. */
LM_USE lm_err lm_seg_columns_make(lm_parsed *parsed, lm_str marks, lm_seg_columns *out);
void lm_seg_columns_fini(lm_seg_columns *columns);

/* ---- one segment on disk ---- */
#define LM_FOOTER_MAGIC       "1llimgol" /* last 8 bytes */
#define LM_FOOTER_BYTES       16
#define LM_SEGMENT_MAGIC      0x67534D4Cu /* "LMSg" */
#define LM_SEGMENT_HEAD_BYTES 12          /* magic, length and checksum before the head */
#define LM_RAW_BLOCK_BYTES    (4u << 20)
#define LM_HEAD_BYTES_MAX     (64u << 20)
#define LM_TEXTS_LIKE_MAX                                                                          \
    (1u << 20) /* of the first segment's skeletons, as templates, serve to store templates */

enum { LM_SEGMENT_COLUMNS = 1, LM_SEGMENT_RAW = 2 };

enum {
    LM_SPAN_NEW_FILE = 1,
    LM_SPAN_OPEN_END = 2, /* the last row has no '\n' behind it */
    LM_SPAN_CLOCK = 4     /* clocks without a date follow clock_ns */
};

/** A run of rows from one file. */
typedef struct lm_span {
    uint32_t file;
    uint32_t rows;
    uint64_t first_line; /* from 1 */
    uint8_t flags;
    uint64_t bytes;   /* of text in the segment; not stored */
    int64_t clock_ns; /* CLOCK: whole seconds */
    int64_t
        not_after_ns; /* its file's time: timestamps without a year are not after it; not stored */
} lm_span;

/** Everything the end of an archive tells, as the writer has it. */
typedef struct lm_archive_meta {
    lm_str *stream_schemas; /* saved schemas */
    size_t stream_count;
    lm_archive_file *files;
    size_t file_count;
    lm_archive_segment *segments;
    size_t segment_count;
    lm_archive_template *templates; /* texts and names only when loaded (lm_archive_template_at) */
    size_t template_count;
    lm_str texts;       /* stored texts and names, in the words of the first segment's shapes */
    uint64_t texts_raw; /* bytes of them unpacked; 0: none */
    uint32_t *mined;    /* template of each mined shape + 1; [0] the catch-all */
    size_t mined_count;
} lm_archive_meta;

/** Meta <-> bytes (not compressed). Parsed strings point into bytes; arrays live in arena. */
LM_USE lm_err lm_meta_write(const lm_archive_meta *meta, lm_buf *out);

/* ---- archive_texts.c: template texts in the words of shapes ---- */

/** What writer and reader both have: the shapes of the first segment that has columns. */
typedef struct lm_texts_base {
    lm_mem *mem;
    lm_str skeletons; /* each ended by '\n'; empty: no such segment */
    const uint32_t *template_of_shape;
    size_t shape_count;
} lm_texts_base;

/** plain is what lm_meta_texts_write gave; appends to out. */
LM_USE lm_err lm_texts_put(const lm_texts_base *base, const lm_archive_meta *meta, lm_str plain,
                           lm_level level, lm_buf *out);
/** The plain bytes again, len of them. LM_E_CORRUPT. */
LM_USE lm_err lm_texts_get(const lm_texts_base *base, size_t template_count, lm_str stored,
                           uint8_t *dst, size_t len);

/** Texts and names of templates <-> bytes. */
LM_USE lm_err lm_meta_texts_write(const lm_archive_meta *meta, lm_buf *out);
LM_USE lm_err lm_meta_texts_read(lm_str bytes, lm_archive_meta *meta);
LM_USE lm_err lm_meta_read(lm_str bytes, lm_arena *arena, lm_archive_meta *out);

/** The head of a segment, parsed. Strings point into it. */
typedef struct lm_segment_head {
    uint8_t kind, level;
    uint32_t stream, rows;
    uint64_t raw_bytes;
    int64_t time_min, time_max;
    struct lm_head_span *spans;
    size_t span_count;
    uint64_t templates_raw, templates_bytes, directory_bytes, blocks_bytes;
    uint32_t templates_check, directory_check;
    uint64_t head_bytes; /* of the head itself, with its LM_SEGMENT_HEAD_BYTES */
} lm_segment_head;

/* ---- archive_grams.c ---- */

/** Append the set of a segment's grams, its length in front (varint; 0: none, it would not pay).
 * stored_bytes: of the segment. */
LM_USE lm_err lm_grams_write(lm_mem *mem, lm_str text, size_t stored_bytes, lm_buf *out);
/** May a line of the segment hold text, in any case of letters? false is certain. */
bool lm_grams_admit(lm_str grams, lm_str text);

typedef struct lm_head_span {
    lm_span span;
    lm_archive_file file; /* LM_SPAN_NEW_FILE: name, time, mode, packing */
} lm_head_span;

LM_USE lm_err lm_head_write(const lm_segment_head *head, lm_buf *out);
/** bytes begin at the segment's magic. LM_E_CORRUPT. */
LM_USE lm_err lm_head_read(lm_str bytes, uint64_t offset, lm_arena *arena, lm_segment_head *out);
/** The same of a segment whose end may be lost: out_missing (set only then) is how many bytes of it
 * are not there. */
LM_USE lm_err lm_head_read_cut(lm_str bytes, uint64_t offset, lm_arena *arena, lm_segment_head *out,
                               uint64_t *out_missing);

/* ---- archive_kept.c: what is left for the next packing ---- */
#define LM_SLOTS_MAX 16 /* segments side by side */

enum { LM_KEPT_FORMATS = 8 };

/** What was learned of an input with some name, and the ways that its lines went in each slot. */
typedef struct lm_kept_format {
    uint64_t name;     /* its hash */
    lm_schema *schema; /* NULL: none */
    unsigned fits;     /* lines of its head that the schema knew */
    lm_ways *ways[LM_SLOTS_MAX];
    unsigned times, users; /* users: streams of the packing under way */
    uint64_t used;
} lm_kept_format;

typedef struct lm_kept_room {
    uint8_t *text; /* cap + LM_TEXT_PADDING bytes */
    size_t cap;
} lm_kept_room;

struct lm_pack_kept {
    lm_mem *mem;
    lm_kept_room rooms[LM_SLOTS_MAX];
    lm_kept_format formats[LM_KEPT_FORMATS];
    uint64_t clock;
};

/** NULL: not known, or known for too long. */
lm_kept_format *lm_kept_find(lm_pack_kept *kept, uint64_t name);
#define LM_LEARNED_BYTES_MAX (1 << 18) /* of a file, looked at to learn its schema */

/** What the beginning of a file (whole: all of it) says of its format; yaml: formats that are
 * given. LM_E_NOMEM, LM_E_LIMIT, LM_E_USAGE (yaml). */
LM_USE lm_err lm_schema_of_head(lm_mem *mem, lm_str yaml, lm_str head, bool is_whole,
                                lm_schema **out);

/** In the place of what was known by that name; takes over the schema, unless NULL comes back. */
lm_kept_format *lm_kept_add(lm_pack_kept *kept, uint64_t name, unsigned fits, lm_schema *schema);

/** One segment on its way: text in, bytes out. */
typedef struct lm_seg_work {
    lm_mem *mem;
    uint8_t *text; /* text_cap + LM_TEXT_PADDING bytes */
    size_t text_len, text_cap;
    size_t text_room; /* filled up to here, then cut: unlike text_cap it does not depend on what the
                         slot held before */
    uint32_t stream;
    lm_span *spans;
    size_t span_count, span_cap;
    lm_joiner *joiner; /* of the stream, for this slot */
    const lm_schema *schema;
    lm_ways **ways; /* of the stream, for this slot; NULL: none are kept */
    const lm_pack_options *options;
    lm_pool *pool; /* for the codec; NULL when segments run side by side */
    /* made by lm_seg_encode */
    lm_parsed *parsed;  /* NULL for a raw segment */
    lm_slice *messages; /* message of each shape's sample: offset in text */
    int64_t time_min, time_max;
    uint32_t rows;
    int kind;
    lm_level level; /* that it was encoded at */
    lm_buf blocks, directory;
} lm_seg_work;

/** Everything that does not depend on other segments: parse, columns, codec. */
LM_USE lm_err lm_seg_encode(lm_seg_work *work);
/** Free what lm_seg_encode made; the text stays. */
void lm_seg_reset(lm_seg_work *work);

/* ---- when: archive_clocks.c ---- */

/** By what times are told that say less than all. */
typedef struct lm_when {
    int64_t not_after_ns; /* no year: the file's time */
    int64_t clock_ns;     /* no date: the time before, if has_clock; each time moves it on */
    bool has_clock;
} lm_when;

/** A clock is of the first day that does not put it more than two hours before the one in front of
 * it: threads overtake each other, and an hour comes twice when summer time ends. */
#define LM_CLOCK_AHEAD_NS (INT64_C(22) * 3600 * 1000000000 - 1)

/** Clocks stay in years that have nanoseconds, with room for two days on each side; whole seconds.
 */
#define LM_CLOCK_LIMIT_NS ((INT64_C(9223372036) - 2 * 86400) * 1000000000)

lm_when lm_span_when(const lm_span *span, int64_t not_after_ns);
int64_t lm_when_clock(lm_when *when, uint16_t layout, int64_t ticks);

/** Over the lines of a file, from one clock to the next. */
typedef struct lm_clock_walk {
    const lm_schema *schema;
    lm_arena arena; /* fields of a line */
    lm_time_clock clock;
    lm_when when;
    int64_t last_ns; /* INT64_MIN: no clock yet */
    size_t offset;   /* of the last one in its line */
    uint16_t layout;
    bool has_place;
} lm_clock_walk;

void lm_clock_walk_init(lm_clock_walk *walk, lm_mem *mem, const lm_schema *schema,
                        int64_t begin_ns);
void lm_clock_walk_fini(lm_clock_walk *walk);
LM_USE lm_err lm_clock_walk_text(lm_clock_walk *walk, lm_str text);
/** Reads a file for the time in front of its first clock; *out_found false: it has none.
 * LM_E_NOMEM, LM_E_LIMIT. */
LM_USE lm_err lm_clock_begin_of(lm_mem *mem, const char *path, bool raw, const lm_schema *schema,
                                int64_t mtime_ns, int64_t *out_ns, bool *out_found);

/** Nanoseconds of a time value; INT64_MIN when the number cannot be a time. */
int64_t lm_value_time_ns(uint32_t vclass, int64_t number, lm_when *when);
/** The same of a value that is kept as text. */
int64_t lm_text_time_ns(lm_str text, lm_when *when);

#endif

/** Inside parsing: what the scanner (archive_scan.c), the guide (archive_guide.c) and the filling
 * of role columns (archive_parse.c) share. Nobody else includes this. */
#ifndef ARCHIVE_PARSE_PRIV_H
#define ARCHIVE_PARSE_PRIV_H

#include "archive/archive_priv.h"

enum {
    TEXT_VALUE_MAX = 256, /* longest value of one piece behind '=' */
    QUOTED_MAX = 1024,    /* longest quoted text that may be one variable */
    QUOTE_SLOTS = 1024    /* kinds of quoted text that are told apart */
};

/** What the scanner already knows of a variable's text. */
enum {
    FORM_ANY,
    FORM_DIGITS,  /* 1..16 of them */
    FORM_NUMBER,  /* digits without a zero in front, their value in number */
    FORM_ADDRESS, /* a.b.c.d, its value in number */
    FORM_DECIMAL, /* digits, a point, digits: at most 17 bytes */
    FORM_SCALED,  /* such a decimal without a zero too many in front: its value in number, the
                     digits behind the point in layout */
    FORM_HEX,     /* digits and letters a-f, 8..16 of them or an even number of more */
    FORM_BLANKS   /* TEXT with blanks, of a kind of quotation known to be one variable */
};

typedef struct variable {
    uint32_t begin, end; /* in the chunk's text: offsets from the segment's begin */
    uint8_t kind;
    uint8_t form;    /* FORM_* */
    bool is_path;    /* a piece of a request's path */
    uint16_t layout; /* TIME; FORM_SCALED */
    int64_t number;  /* TIME: ticks; FORM_NUMBER, FORM_SCALED, FORM_ADDRESS: the value */
} variable;

struct quote_kind;
struct guide;
struct words;

typedef struct parser {
    lm_parsed *out;
    struct quote_kind *quotes[QUOTE_SLOTS];
    size_t quote_count;    /* kinds */
    unsigned quote_number; /* of free quotations in this line */
    size_t quote_closes;   /* position of the '"' that ends the quotation being taken apart */
    size_t request_end;    /* where the path of the request being taken apart ends */
    bool is_undecided;     /* a kind of quotation in this line is still being judged */
    lm_err failed;         /* out of memory while scanning */
    const uint8_t *text;
    uint64_t *bits[LM_CLASS_COUNT]; /* of the chunk; bit 0 is text[base] */
    uint64_t *events;
    size_t word_cap;
    size_t base;    /* chunk begin */
    bool has_marks; /* the chunk has a LM_MARK somewhere */
    uint8_t *skeleton;
    size_t skeleton_cap;
    variable *vars;
    size_t var_count;
    struct guide *guide;
    struct words *words;        /* that vary; NULL while none are known */
    variable *made;             /* room for as many as vars */
    bool has_forms;             /* lines go by forms to their shapes; else both are one */
    bool forms_are_shapes;      /* they have the numbers of the shapes of a first look */
    lm_shapes forms;            /* skeletons as scanned */
    size_t form_count;          /* of them that the guide has seen in the first pass */
    size_t scanned;             /* lines that the guide did not know */
    struct lm_word_plan *plans; /* beside forms */
    size_t plan_cap;
    bool is_noting; /* variables go to noted and not to their roles yet */
    variable *noted;
    size_t noted_count, noted_cap;
    uint32_t *noted_ends; /* of each row's line */
    size_t noted_end_cap;
} parser;

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool is_alnum(uint8_t c)
{
    return is_digit(c) || is_alpha(c);
}

/** 64 bits of a bitmap from any position. The maps have a zero word behind. */
static inline uint64_t window(const uint64_t *bits, size_t at)
{
    size_t word = at >> 6, shift = at & 63;
    return bits[word] >> shift | (bits[word + 1] << 1) << (63 - shift);
}

/** Length of the run of set bits at position at (not beyond limit). */
static inline size_t run_length(const uint64_t *bits, size_t at, size_t limit)
{
    size_t begin = at;
    for (;;) {
        uint64_t rest = ~window(bits, at);
        if (rest) {
            at += (size_t)__builtin_ctzll(rest);
            break;
        }
        at += 64;
        if (at >= limit) break;
    }
    return (at < limit ? at : limit) - begin;
}

/** Value of 1..8 digits; 8 bytes are readable at p. */
static inline uint64_t eight_digits(const uint8_t *p, size_t len)
{
    static const uint64_t zeros = 0x3030303030303030u;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    if (len < 8) v = v << (64 - 8 * len) | zeros >> (8 * len);
    v -= zeros;
    v = v * 10 + (v >> 8);
    return ((v & 0x000000FF000000FFu) * 0x000F424000000064u +
            ((v >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u) >>
           32;
}

/** Value of 1..16 digits. */
static inline int64_t parse_digits(const uint8_t *p, size_t len)
{
    if (len <= 8) return (int64_t)eight_digits(p, len);
    return (int64_t)(eight_digits(p, len - 8) * 100000000u + eight_digits(p + len - 8, 8));
}

/* ---- archive_scan.c: the variables of one line ---- */

/** Variables of a line, into vars. False: keep the line raw (or failed is set). */
bool lm_scan_line(parser *ps, size_t line_begin, size_t line_end);
/** The line less its variables, into skeleton. Returns its length. */
size_t lm_scan_skeleton(parser *ps, size_t line_begin, size_t line_end);
/** Quotations that were not taken as what their kind turned out to be. */
size_t lm_scan_misjudged(const parser *ps);
/** What is known of kinds of quotations, QUOTE_SLOTS of them or NULL, for another text. */
void lm_scan_quotes_move(struct quote_kind **from, struct quote_kind **to);
void lm_scan_quotes_free(lm_mem *mem, struct quote_kind **quotes);

/* Parts of it that the guide asks one by one. Each may append one variable; `from` is the end of
 * the variable before. */

/** The token around the digit run at `at`. Returns where to go on. */
size_t lm_scan_token(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end);
/** `=` at `at`: a value without digits is a text variable. */
size_t lm_scan_equals(parser *ps, size_t at, size_t line_begin, size_t line_end);
/** `/` of a path: a part of it without digits is a text variable. The words of a request's path
 * vary freely and would multiply the shapes: there, parts with digits are words and numbers. */
size_t lm_scan_slash(parser *ps, size_t at, size_t line_begin, size_t line_end, bool is_request);
/** The closing '"' of a quotation that begins behind at; line_end if there is none near. */
size_t lm_scan_closing(const parser *ps, size_t at, size_t line_end);
/** Quoted text without blanks: is it one variable? */
bool lm_scan_is_value(const uint8_t *p, size_t len);
/** Quoted text with blanks behind the '"' at `at`: is it known to be one variable? is_free_phrase:
 * what is known of a quotation that is no member's. */
bool lm_scan_is_phrase(const parser *ps, size_t at, size_t line_begin, bool is_free_phrase);
/** May digits at `at` begin a timestamp? */
bool lm_scan_like_time(const uint8_t *t, size_t at, size_t digits, size_t line_end);

/* ---- archive_guide.c: lines like those before ---- */

LM_USE lm_err lm_guide_new(lm_mem *mem, struct guide **out);
void lm_guide_free(lm_mem *mem, struct guide *guide);
size_t lm_guide_bytes(const struct guide *guide);
/** Shapes that it has learned have other numbers now. */
void lm_guide_renumber(struct guide *guide, const uint32_t *numbers);
/** Variables of a line that goes the way of lines before it, into vars, and its shape. False: not
 * known; scan it. */
bool lm_guide_line(parser *ps, size_t line_begin, size_t line_end, uint32_t *out_shape);
/** Learn the way of the line just scanned. */
LM_USE lm_err lm_guide_learn(parser *ps, size_t line_begin, size_t line_end, uint32_t shape);

/* ---- archive_words.c: words that vary ---- */

/** What the shapes of parsed tell of words that vary; NULL: nothing that would save bytes_min, as
 * far as can be said. */
LM_USE lm_err lm_words_find(const lm_parsed *parsed, size_t bytes_min, struct words **out);
/** Nothing known: lines stay as they are scanned. */
LM_USE lm_err lm_words_none(lm_mem *mem, struct words **out);
void lm_words_free(struct words *words);

/** How the words that vary are cut out of lines of one skeleton. */
typedef struct lm_word_plan {
    uint32_t first, count; /* cuts; 0: such lines stay as they are */
    uint32_t shape;        /* that they become, + 1; 0: not known yet */
    bool is_made;
} lm_word_plan;

/** For lines with this skeleton, which is that of a shape by which the words were found; another
 * number: of none. */
LM_USE lm_err lm_words_plan(struct words *words, uint32_t shape, lm_str skeleton,
                            lm_word_plan *out);
/** A line's variables are changed by the plan, which has cuts. */
void lm_words_cut(parser *ps, const lm_word_plan *plan, size_t line_begin);

#endif

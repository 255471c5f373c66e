/**
 * From skeleton to tokens: what is plainly a variable by its form becomes one, the rest is cut into
 * fine tokens.
 *
 * Forms that hold separators (URL, date and time, addresses, paths) are matched first, at token
 * starts; each matcher returns how many bytes it takes, 0 for none. What is left is cut at blanks
 * and = : , ; ( ) [ ] { } < > " ' | and each word is judged by its characters. Everything here is a
 * function of the one skeleton.
 */
#include "template/template_priv.h"

enum {
    IS_ALPHA = 1,
    IS_DIGIT = 2,
    IS_MARK = 4,
    IS_BLANK = 8,
    IS_SEPARATOR = 16, /* cuts tokens, not a blank */
    IS_PATH = 32,      /* may stand in a path segment */
    IS_URL_END = 64,   /* ends a URL */
    IS_HOST = 128,     /* may stand in a host name */
};

static uint8_t class_of(uint8_t c)
{
    static const uint8_t table[256] = {
        [MARK_NUMBER] = IS_MARK | IS_PATH | IS_HOST,
        [MARK_PAIR] = IS_MARK | IS_PATH | IS_HOST,
        [MARK_MIXED] = IS_MARK | IS_PATH | IS_HOST,
        ['\t'] = IS_BLANK | IS_URL_END,
        ['\n'] = IS_BLANK | IS_URL_END,
        ['\v'] = IS_BLANK | IS_URL_END,
        ['\f'] = IS_BLANK | IS_URL_END,
        ['\r'] = IS_BLANK | IS_URL_END,
        [' '] = IS_BLANK | IS_URL_END,
        ['='] = IS_SEPARATOR,
        [':'] = IS_SEPARATOR,
        [','] = IS_SEPARATOR | IS_URL_END,
        [';'] = IS_SEPARATOR | IS_URL_END,
        ['('] = IS_SEPARATOR | IS_URL_END,
        [')'] = IS_SEPARATOR | IS_URL_END,
        ['['] = IS_SEPARATOR | IS_URL_END,
        [']'] = IS_SEPARATOR | IS_URL_END,
        ['{'] = IS_SEPARATOR | IS_PATH,
        ['}'] = IS_SEPARATOR | IS_PATH,
        ['<'] = IS_SEPARATOR | IS_URL_END,
        ['>'] = IS_SEPARATOR | IS_URL_END,
        ['"'] = IS_SEPARATOR | IS_URL_END,
        ['\''] = IS_SEPARATOR | IS_URL_END,
        ['|'] = IS_SEPARATOR,
        ['0' ... '9'] = IS_DIGIT | IS_PATH | IS_HOST,
        ['a' ... 'z'] = IS_ALPHA | IS_PATH | IS_HOST,
        ['A' ... 'Z'] = IS_ALPHA | IS_PATH | IS_HOST,
        [0x80 ... 0xff] = IS_ALPHA | IS_PATH,
        ['_'] = IS_PATH,
        ['*'] = IS_PATH,
        ['-'] = IS_PATH | IS_HOST,
        ['.'] = IS_PATH,
        ['+'] = IS_PATH,
        ['@'] = IS_PATH,
        ['%'] = IS_PATH,
        ['~'] = IS_PATH,
        ['$'] = IS_PATH,
        ['#'] = IS_PATH,
        ['&'] = IS_PATH,
        ['!'] = IS_PATH,
    };
    return table[c];
}

static bool is_kind(uint8_t c, uint8_t kinds)
{
    return (class_of(c) & kinds) != 0;
}

typedef struct cursor {
    const uint8_t *begin; /* of the skeleton */
    const uint8_t *end;
    bool has_colon;          /* anywhere: most forms need one */
    const uint8_t *base;     /* what bit 0 stands for */
    const uint64_t *letters; /* a bit a byte: a letter of ASCII */
} cursor;

static bool is_hex_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 6;
}

static uint8_t at(const cursor *c, const uint8_t *p)
{
    return p < c->end ? *p : 0;
}

static bool is_word_byte(uint8_t c)
{
    return is_kind(c, IS_ALPHA | IS_DIGIT | IS_MARK) || c == '_';
}

/* number or mixed mark, as a date's part: "2015", "18T18" */
static bool is_number(uint8_t c)
{
    return c == MARK_NUMBER || c == MARK_MIXED;
}

/* scheme://rest */
static size_t match_url(const cursor *c, const uint8_t *p)
{
    const uint8_t *q = p;
    if (!is_kind(at(c, q), IS_ALPHA)) return 0;
    while (is_kind(at(c, q), IS_ALPHA | IS_DIGIT | IS_MARK) || at(c, q) == '+' || at(c, q) == '-' ||
           at(c, q) == '.')
        q++;
    if (q - p < 2 || q - p > 24 || c->end - q < 4 || memcmp(q, "://", 3) != 0) return 0;
    q += 3;
    const uint8_t *body = q;
    while (q < c->end && !is_kind(*q, IS_URL_END))
        q++;
    while (q > body && (q[-1] == '.' || q[-1] == ':'))
        q--;
    return q > body ? (size_t)(q - p) : 0;
}

static bool is_name_of(const cursor *c, const uint8_t *p, const char *names)
{
    if (c->end - p < 3 || is_word_byte(at(c, p + 3))) return false;
    for (const char *n = names; *n; n += 3)
        if (memcmp(p, n, 3) == 0) return true;
    return false;
}

static const uint8_t *skip_blanks(const cursor *c, const uint8_t *p)
{
    while (at(c, p) == ' ')
        p++;
    return p;
}

/* #:#[:#][.,#] and what may follow a time of day; returns its end or NULL */
static const uint8_t *match_clock(const cursor *c, const uint8_t *p, bool needs_seconds)
{
    if (!is_number(at(c, p)) || at(c, p + 1) != ':' || at(c, p + 2) != MARK_NUMBER) {
        return NULL;
    }
    p += 3;
    if (at(c, p) == ':' && at(c, p + 1) == MARK_NUMBER) {
        p += 2;
        if ((at(c, p) == '.' || at(c, p) == ',' || at(c, p) == ':') && at(c, p + 1) == MARK_NUMBER)
            p += 2;
        if ((at(c, p) == 'Z' || at(c, p) == 'z') && !is_word_byte(at(c, p + 1))) p++;
        return is_word_byte(at(c, p)) ? NULL : p;
    }
    return needs_seconds || is_word_byte(at(c, p)) ? NULL : p;
}

/* [day[,]] month # time [zone] [year], or without the day's name */
static size_t match_calendar(const cursor *c, const uint8_t *p)
{
    static const char days[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const uint8_t *q = p;
    if (is_name_of(c, q, days)) {
        q += 3;
        if (at(c, q) == ',') q++;
        q = skip_blanks(c, q);
    }
    bool is_day_first = at(c, q) == MARK_NUMBER; /* "Fri, 29 Jul 2005 10:00:00" */
    if (is_day_first) {
        if (q == p) return 0;
        q = skip_blanks(c, q + 1);
    }
    if (!is_name_of(c, q, months)) return 0;
    q = skip_blanks(c, q + 3);
    if (at(c, q) != MARK_NUMBER) return 0;
    q = skip_blanks(c, q + 1);
    q = match_clock(c, q, true);
    if (!q) return 0;
    const uint8_t *r = skip_blanks(c, q);
    const uint8_t *zone = r;
    while (r - zone < 5 && at(c, r) >= 'A' && at(c, r) <= 'Z')
        r++;
    if (r > zone && at(c, r) == ' ')
        r = skip_blanks(c, r);
    else
        r = zone;
    if (r > q && at(c, r) == MARK_NUMBER && !is_word_byte(at(c, r + 1)) && at(c, r + 1) != ':' &&
        at(c, r + 1) != '.' && at(c, r + 1) != '-')
        return (size_t)(r + 1 - p);
    return (size_t)(q - p);
}

/* #-#-#[ T_]#:#:#... with - . or / */
static size_t match_date(const cursor *c, const uint8_t *p)
{
    uint8_t sign = at(c, p + 1);
    if (at(c, p) != MARK_NUMBER || (sign != '-' && sign != '/' && sign != '.')) return 0;
    if (at(c, p + 2) != MARK_NUMBER || at(c, p + 3) != sign || !is_number(at(c, p + 4))) return 0;
    const uint8_t *q = p + 5;
    if (sign == '.' && at(c, q) == '.') return 0; /* an address */
    if (at(c, p + 4) == MARK_MIXED) {             /* 18T18 */
        q = match_clock(c, p + 4, false);
        if (!q) return 0;
    } else {
        const uint8_t *r = q;
        if (at(c, r) == ' ' || at(c, r) == '_' || at(c, r) == '-' || at(c, r) == 'T') r++;
        if (r > q) {
            const uint8_t *stop = match_clock(c, r, false);
            if (stop) q = stop;
        }
    }
    if ((at(c, q) == '+' || at(c, q) == '-') && at(c, q + 1) == MARK_NUMBER) {
        q += 2;
        if (at(c, q) == ':' && at(c, q + 1) == MARK_NUMBER) q += 2;
    }
    return is_word_byte(at(c, q)) ? 0 : (size_t)(q - p);
}

/* up to four hex letters, or a mark: a group of an IPv6 or MAC address */
static const uint8_t *match_hex_group(const cursor *c, const uint8_t *p)
{
    if (at(c, p) == MARK_NUMBER || at(c, p) == MARK_MIXED) {
        p++;
        for (int i = 0; i < 3 && is_hex_letter(at(c, p)); i++)
            p++;
        return is_word_byte(at(c, p)) ? NULL : p;
    }
    const uint8_t *q = p;
    while (q - p < 4 && (is_hex_letter(at(c, q)) || is_kind(at(c, q), IS_DIGIT)))
        q++;
    return q > p && !is_word_byte(at(c, q)) ? q : NULL;
}

static size_t match_hex_colons(const cursor *c, const uint8_t *p)
{
    const uint8_t *q = p;
    int groups = 0, marks = 0;
    bool has_gap = false;
    for (;;) {
        const uint8_t *r = match_hex_group(c, q);
        if (r) {
            marks += is_kind(*q, IS_MARK);
            groups++;
            q = r;
        } else if (!(groups > 0 && has_gap)) {
            return 0;
        } else {
            break;
        }
        if (at(c, q) != ':') break;
        if (at(c, q + 1) == ':') {
            if (has_gap) break;
            has_gap = true;
            q += 2;
        } else {
            if (!match_hex_group(c, q + 1)) break;
            q++;
        }
    }
    if (!(groups >= 6 || (groups >= 3 && marks == groups) || (has_gap && groups >= 2)) ||
        marks == 0)
        return 0;
    if (at(c, q) == '.' && is_kind(at(c, q + 1), IS_MARK | IS_DIGIT) && !is_word_byte(at(c, q + 2)))
        q += 2;
    if (at(c, q) == '%') {
        q++;
        while (is_word_byte(at(c, q)))
            q++;
    }
    if (at(c, q) == '/' && at(c, q + 1) == MARK_NUMBER) q += 2;
    return (size_t)(q - p);
}

/* [/]#.#.#.#[:#] */
static size_t match_ip(const cursor *c, const uint8_t *p)
{
    const uint8_t *q = p;
    if (at(c, q) == '/') q++;
    for (int i = 0; i < 4; i++) {
        if (at(c, q) != MARK_NUMBER) return 0;
        q++;
        if (i < 3 && at(c, q++) != '.') return 0;
    }
    if (is_word_byte(at(c, q)) || (at(c, q) == '.' && is_word_byte(at(c, q + 1)))) return 0;
    if (at(c, q) == ':' && at(c, q + 1) == MARK_NUMBER && !is_word_byte(at(c, q + 2)))
        q += 2;
    else if (at(c, q) == '/' && at(c, q + 1) == MARK_NUMBER && !is_word_byte(at(c, q + 2)))
        q += 2;
    return (size_t)(q - p);
}

static bool is_slash(uint8_t c)
{
    return c == '/' || c == '\\';
}

/* /a/b, C:\a\b, or /a alone before a separator */
static size_t match_path(const cursor *c, const uint8_t *p)
{
    const uint8_t *q = p;
    if (p > c->begin && (p[-1] == ':' || p[-1] == '<' || p[-1] == '>')) return 0;
    bool has_drive = is_kind(at(c, q), IS_ALPHA) && at(c, q + 1) == ':';
    if (has_drive) q += 2;
    if (!is_slash(at(c, q))) return 0;
    size_t segments = 0;
    const uint8_t *last = q;
    while (is_slash(at(c, q)) && is_kind(at(c, q + 1), IS_PATH)) {
        segments++;
        q++;
        while (is_kind(at(c, q), IS_PATH))
            q++;
        last = q;
    }
    if (segments == 0) return 0;
    q = last;
    if (is_slash(at(c, q))) q++;
    if (at(c, q) == '?' && is_kind(at(c, q + 1), IS_PATH)) { /* a query behind it */
        while (q < c->end && !is_kind(*q, IS_URL_END))
            q++;
    }
    if (segments >= 2 || has_drive) return (size_t)(q - p);
    uint8_t next = at(c, q);
    return q == c->end || is_kind(next, IS_BLANK) || strchr(",;:)]'\"", next) ? (size_t)(q - p) : 0;
}

/* name.name:#, name-#:#; a name in one or two plain words is a file or a field, not a host */
static size_t match_host_port(const cursor *c, const uint8_t *p)
{
    const uint8_t *q = p;
    size_t dots = 0, marks = 0, humps = 0;
    while (is_kind(at(c, q), IS_HOST) || at(c, q) == '.') {
        dots += *q == '.';
        marks += is_kind(*q, IS_MARK | IS_DIGIT);
        humps += q > p && *q >= 'A' && *q <= 'Z' && q[-1] >= 'a' && q[-1] <= 'z';
        q++;
    }
    bool is_host = dots >= 2 || (dots + marks >= 1 && marks >= 1);
    if (!is_host || humps || q == p || at(c, q) != ':' || at(c, q + 1) != MARK_NUMBER) return 0;
    if (is_word_byte(at(c, q + 2)) || q[-1] == '.' || *p == '.') return 0;
    if (is_kind(*p, IS_MARK) && q == p + 1) return 0; /* #:# is not a host */
    return (size_t)(q + 2 - p);
}

/* What stands between ="and" or :"and": how many bytes behind the opening quote, 0 for none */
static size_t match_quoted_value(const cursor *c, const uint8_t *p)
{
    if (p == c->begin || (p[-1] != '=' && p[-1] != ':')) return 0;
    const uint8_t *q = memchr(p + 1, '"', (size_t)(c->end - p - 1));
    return q ? (size_t)(q - p - 1) : 0;
}

/* Behind a quote: METHOD target HTTP/#.# -- the bytes of target and version are one value; out: the
 * method's bytes */
static size_t match_request(const cursor *c, const uint8_t *p, size_t *out_method)
{
    const uint8_t *q = p;
    while (at(c, q) >= 'A' && at(c, q) <= 'Z')
        q++;
    size_t method = (size_t)(q - p);
    if (method < 3 || method > 10 || at(c, q) != ' ') return 0;
    const uint8_t *target = ++q;
    while (q < c->end && *q != ' ' && *q != '"')
        q++;
    if (q == target || at(c, q) != ' ' || c->end - q < 8 || memcmp(q + 1, "HTTP/", 5) != 0)
        return 0;
    q += 6;
    while (is_number(at(c, q)) || at(c, q) == '.')
        q++;
    *out_method = method;
    return (size_t)(q - target);
}

/* A form that holds separators, at a token's start. Returns its bytes, 0 for none. */
static size_t match_form(const cursor *c, const uint8_t *p)
{
    size_t n = 0;
    uint8_t first = *p;
    if (is_kind(first, IS_MARK)) {
        n = match_ip(c, p);
        if (!n) n = match_date(c, p);
        if (!n && c->has_colon) {
            const uint8_t *q = match_clock(c, p, true);
            size_t groups = match_hex_colons(c, p); /* 00:11:43:e3:ba:c3 begins like a time */
            if (q) n = (size_t)(q - p);
            if (groups > n) n = groups;
        }
    } else if (is_slash(first)) {
        n = match_ip(c, p);
        if (!n) n = match_path(c, p);
    } else if (is_kind(first, IS_ALPHA) && c->has_colon) {
        n = match_url(c, p);
        if (!n && first >= 'A' && first <= 'W') n = match_calendar(c, p);
        if (!n) n = match_hex_colons(c, p);
        if (!n) n = match_path(c, p);
    }
    if (!n && c->has_colon && is_kind(first, IS_HOST)) n = match_host_port(c, p);
    return n;
}

/* ---- words ---- */

static bool is_joint(uint8_t c)
{
    switch (c) {
    case '.':
    case '_':
    case '-':
    case '/':
    case '@':
    case '#':
    case '$':
    case '+':
    case '~':
    case '!':
    case '*':
    case '&':
        return true;
    default:
        return false;
    }
}

/* [+-#]digits[digits . ,]*[%][up to three letters]: a number with its unit */
static bool is_quantity(const uint8_t *p, size_t len)
{
    size_t i = 0;
    if (len > 1 && (p[0] == '+' || p[0] == '-' || p[0] == '#')) i = 1;
    if (i >= len || p[i] != MARK_NUMBER) return false;
    while (i < len && (p[i] == MARK_NUMBER || p[i] == '.' || p[i] == ','))
        i++;
    if (i < len && p[i] == '%') i++;
    size_t letters = 0;
    while (i < len && is_kind(p[i], IS_ALPHA) && p[i] < 0x80)
        i++, letters++;
    return i == len && (letters <= 3 || (letters == 5 && memcmp(p + len - 5, "bytes", 5) == 0));
}

/* A part between joints that is a variable by its digits. A letter with a digit is one only beside
 * other parts. */
static bool is_variable_part(const uint8_t *p, size_t len, bool is_alone)
{
    size_t letters = 0;
    uint8_t mark = 0;
    for (size_t i = 0; i < len; i++) {
        if (is_kind(p[i], IS_MARK))
            mark = p[i];
        else
            letters++;
    }
    if (mark == 0) return len <= (is_alone ? 1 : 2) && is_kind(p[len - 1], IS_DIGIT);
    return mark != MARK_PAIR || letters <= 2;
}

/* Of a word's parts more are variables than constants, or every part between slashes has a
 * variable, or it is a host's name (three parts and more, not written like a class of a program)
 * with a variable among them. */
static bool is_mostly_variable(const uint8_t *p, size_t len)
{
    size_t wild = 0, constant = 0, slashes = 0, plain_sides = 0, dots = 0, humps = 0;
    bool has_wild_side = false;
    if (p[0] == '@') return false; /* an address in memory keeps its sign */
    for (size_t i = 1; i + 1 < len; i++) {
        dots += p[i] == '.';
        humps += p[i] == '$' || (p[i] >= 'A' && p[i] <= 'Z' && p[i - 1] >= 'a' && p[i - 1] <= 'z');
    }
    for (size_t i = 0; i <= len;) {
        size_t start = i;
        bool has_mark = false;
        for (; i < len && !is_joint(p[i]); i++)
            has_mark |= is_kind(p[i], IS_DIGIT) || p[i] == MARK_WILD;
        bool is_wild = i == start + 1 && p[start] == MARK_WILD;
        wild += is_wild;
        constant += i > start && !is_wild;
        has_wild_side |= has_mark;
        if (i == len || p[i] == '/') {
            plain_sides += !has_wild_side;
            slashes += i < len;
            has_wild_side = false;
        }
        i++;
    }
    return wild > constant || (slashes && plain_sides == 0) || (wild && dots >= 2 && !humps);
}

/* Masks the parts of a word that holds a digit or a mark into dst; returns the bytes written. */
static size_t mask_word(const uint8_t *p, size_t len, uint8_t *dst)
{
    if (is_quantity(p, len)) {
        *dst = MARK_WILD;
        return 1;
    }
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        size_t start = i;
        while (i < len && !is_joint(p[i]))
            i++;
        if (i > start && is_variable_part(p + start, i - start, i - start == len)) {
            bool has_sign =
                used >= 2 && dst[used - 1] == '-' && is_joint(dst[used - 2]); /* id_-12 */
            used -= has_sign;
            dst[used++] = MARK_WILD;
        } else {
            memcpy(dst + used, p + start, i - start);
            used += i - start;
        }
        while (i < len && is_joint(p[i]))
            dst[used++] = p[i++];
    }
    if (is_mostly_variable(dst, used)) {
        *dst = MARK_WILD;
        return 1;
    }
    return used;
}

/* Up to eight bytes as one number, so that a short word is compared at once. */
static uint64_t packed(const uint8_t *p, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

#define WORD_LIST(name, ...)                                                                       \
    static bool name(uint64_t word)                                                                \
    {                                                                                              \
        static const char list[][8] = {__VA_ARGS__};                                               \
        for (size_t i = 0; i < sizeof list / sizeof *list; i++) {                                  \
            if (lm_le64(list[i]) == word) return true;                                             \
        }                                                                                          \
        return false;                                                                              \
    }

/* Values in every program: truth values, nothing, and the account that is on every machine. */
WORD_LIST(is_known_value, "true", "false", "null", "True", "False", "TRUE", "FALSE", "NULL", "nil",
          "root", "admin")
WORD_LIST(is_unit, "B", "b", "KB", "kB", "Kb", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB",
          "bytes", "ms", "us", "ns", "sec", "secs", "min", "mins", "hr", "hrs")

/* Do words of the lists have this first letter and this length? One bit a length. */
static bool may_be_listed(uint8_t c, size_t len)
{
    enum { ONE = 2, TWO = 4, THREE = 8, FOUR = 16, FIVE = 32 };

    static const uint8_t table[256] = {
        ['t'] = FOUR,
        ['f'] = FIVE,
        ['n'] = TWO | THREE | FOUR,
        ['T'] = TWO | THREE | FOUR,
        ['F'] = FIVE,
        ['N'] = FOUR,
        ['r'] = FOUR,
        ['a'] = FIVE,
        ['B'] = ONE,
        ['b'] = ONE | FIVE,
        ['K'] = TWO | THREE,
        ['k'] = TWO,
        ['M'] = TWO | THREE,
        ['G'] = TWO | THREE,
        ['P'] = TWO,
        ['m'] = TWO | THREE | FOUR,
        ['u'] = TWO,
        ['s'] = THREE | FOUR,
        ['h'] = TWO | THREE,
    };
    return len < 8 && (table[c] >> len & 1);
}

/* What one byte says about its token: the low bits are or-ed, the high ones must hold for every
 * byte. */
enum {
    ALL_LETTERS = 1u << 16,
    ALL_CAPITALS = 1u << 17, /* and underscores */
    ALL_DOTS = 1u << 18,
    ALL_HEX = 1u << 19, /* letters a to f */
    ENDS_WORD = 1u << 20,
};

static uint32_t byte_says(uint8_t c)
{
    static const uint32_t table[256] = {
        [MARK_NUMBER] = TOKEN_DIGIT,
        [MARK_PAIR] = TOKEN_DIGIT,
        [MARK_MIXED] = TOKEN_DIGIT,
        [MARK_WILD] = TOKEN_PART,
        ['0' ... '9'] = TOKEN_DIGIT,
        ['/'] = TOKEN_SLASH | TOKEN_SIGN,
        ['\\'] = TOKEN_SLASH | TOKEN_SIGN,
        ['@'] = TOKEN_SIGN,
        ['$'] = TOKEN_SIGN,
        ['~'] = TOKEN_SIGN,
        ['.'] = ALL_DOTS,
        ['_'] = ALL_CAPITALS,
        ['A' ... 'F'] = ALL_LETTERS | ALL_CAPITALS | ALL_HEX,
        ['G' ... 'Z'] = ALL_LETTERS | ALL_CAPITALS,
        ['a' ... 'f'] = ALL_LETTERS | ALL_HEX,
        ['g' ... 'z'] = ALL_LETTERS,
        ['\t' ... '\r'] = ENDS_WORD,
        [' '] = ENDS_WORD,
        ['='] = ENDS_WORD,
        [':'] = ENDS_WORD,
        [','] = ENDS_WORD,
        [';'] = ENDS_WORD,
        ['('] = ENDS_WORD,
        [')'] = ENDS_WORD,
        ['['] = ENDS_WORD,
        [']'] = ENDS_WORD,
        ['{'] = ENDS_WORD,
        ['}'] = ENDS_WORD,
        ['<'] = ENDS_WORD,
        ['>'] = ENDS_WORD,
        ['"'] = ENDS_WORD,
        ['\''] = ENDS_WORD,
        ['|'] = ENDS_WORD,
        [0x80 ... 0xff] = ALL_LETTERS,
    };
    return table[c];
}

typedef struct word_facts {
    uint32_t any, all; /* what some byte and what every byte says */
} word_facts;

/* Flags of a word of letters that are not all capitals. */
static inline uint32_t flags_of_letters(const uint8_t *p, size_t len)
{
    uint32_t flags = TOKEN_ALPHA;
    if (may_be_listed(p[0], len)) {
        uint64_t word = packed(p, len);
        if (is_known_value(word)) flags |= TOKEN_BOOL;
        if (is_unit(word)) flags |= TOKEN_UNIT;
    }
    return flags;
}

/* Flags of a word of which no byte is a digit or a mark of digits. */
static uint32_t flags_of_plain(const uint8_t *p, size_t len, word_facts facts)
{
    uint32_t flags = facts.any & 0xffff;
    if (len == 1 && !(facts.all & ALL_LETTERS)) return TOKEN_PUNCT;
    if (facts.all & ALL_LETTERS) flags |= flags_of_letters(p, len);
    if (facts.all & ALL_DOTS) return TOKEN_PUNCT;
    if ((facts.all & ALL_CAPITALS) && len > 1 && p[0] != '_' && p[len - 1] != '_')
        flags |= TOKEN_UPPER;
    if ((facts.any & ALL_DOTS) && len > 2 && memchr(p + 1, '.', len - 2)) flags |= TOKEN_DOT;
    return flags;
}

/* Of one separator. */
static uint32_t flags_of_sign(uint8_t c)
{
    bool tells = c == '=' || c == ')' || c == ']' || c == '[' || c == '<';
    uint32_t flags = tells ? TOKEN_PUNCT | TOKEN_TELLS : TOKEN_PUNCT;
    return c == '"' || c == ':' || c == '(' || c == '{' || c == '\'' ? flags | TOKEN_SPAN : flags;
}

uint32_t template_token_flags(const uint8_t *p, size_t len)
{
    if (len == 1) {
        if (is_kind(p[0], IS_BLANK)) return TOKEN_BLANK;
        if (p[0] == MARK_WILD) return TOKEN_WILD;
        if (p[0] == MARK_UNIT) return TOKEN_UNIT | TOKEN_PART;
        if (!is_kind(p[0], IS_ALPHA | IS_DIGIT | IS_MARK)) return flags_of_sign(p[0]);
    }
    word_facts stem = {0, ~0u};
    for (size_t i = 0; i + 1 < len; i++) {
        uint32_t says = byte_says(p[i]);
        stem.any |= says;
        stem.all &= says;
    }
    uint32_t last = byte_says(p[len - 1]);
    word_facts facts = {stem.any | last, stem.all & last};
    uint32_t flags = flags_of_plain(p, len, facts);
    if (len > 2 && p[len - 1] == '+' && !(facts.any & (TOKEN_PART | TOKEN_SIGN)) &&
        (is_kind(p[0], IS_ALPHA) || p[0] == '_'))
        flags |= TOKEN_CODE;
    if (len > 1 && (stem.all & ALL_LETTERS) && is_kind(p[len - 1], IS_DIGIT)) flags |= TOKEN_ENUM;
    return len == 1 && !(facts.all & ALL_LETTERS) ? facts.any & 0xffff : flags;
}

static void push(raw_line *out, const uint8_t *p, size_t len, uint32_t flags)
{
    if (out->count == MESSAGE_TOKENS_MAX) return;
    if ((flags & TOKEN_WILD) && out->count && (out->tokens[out->count - 1].flags & TOKEN_WILD))
        return;
    out->tokens[out->count++] = (raw_token){p, (uint16_t)len, (uint16_t)flags};
}

static void push_wild(raw_line *out)
{
    static const uint8_t wild = MARK_WILD;
    push(out, &wild, 1, TOKEN_WILD);
}

/* name+0x12f, name+0x12f/0x446: a place in a program; the bytes of the name and its '+', 0 for
 * none. */
static size_t match_code(const uint8_t *p, size_t len)
{
    size_t i = 0;
    if (!is_kind(p[0], IS_ALPHA) && p[0] != '_') return 0;
    while (i < len && (is_word_byte(p[i]) || p[i] == '.'))
        i++;
    if (i < 2 || i + 1 >= len || p[i] != '+' || p[i + 1] != MARK_MIXED) return 0;
    bool is_end = i + 2 == len || (i + 4 == len && p[i + 2] == '/' && p[i + 3] == MARK_MIXED);
    return is_end ? i + 1 : 0;
}

static void push_word(raw_line *out, const uint8_t *p, size_t len, word_facts facts)
{
    if (len > TOKEN_BYTES_MAX ||
        (len >= 8 && (facts.all & ALL_HEX))) { /* no word is of eight hex letters */
        push_wild(out);
        return;
    }
    size_t code = (facts.any & TOKEN_DIGIT) ? match_code(p, len) : 0;
    if (code) {
        push(out, p, code, template_token_flags(p, code));
        push_wild(out);
        return;
    }
    bool has_stop =
        len > 1 && p[len - 1] == '.' && !(facts.any & TOKEN_SLASH); /* ends a sentence */
    len -= has_stop;
    if (facts.any & (TOKEN_DIGIT | TOKEN_PART)) {
        uint8_t *dst = out->bytes + out->used;
        size_t n = mask_word(p, len, dst);
        out->used += n;
        push(out, dst, n, template_token_flags(dst, n));
    } else if (has_stop) {
        push(out, p, len, template_token_flags(p, len));
    } else {
        push(out, p, len, flags_of_plain(p, len, facts));
    }
    if (has_stop) push(out, p + len, 1, TOKEN_PUNCT);
}

/* The word at p: up to a blank, a separator or two dots. */
static const uint8_t *scan_word(const cursor *c, const uint8_t *p, word_facts *out)
{
    word_facts facts = {0, ~0u};
    while (p < c->end) {
        uint32_t says = byte_says(*p);
        if (says & (ENDS_WORD | ALL_DOTS)) {
            if ((says & ENDS_WORD) || at(c, p + 1) == '.') break;
        }
        facts.any |= says;
        facts.all &= says;
        p++;
    }
    *out = facts;
    return p;
}

/* Of word bytes the letters: neither digits nor underscores. */
static void keep_letters(const uint8_t *p, size_t len, uint64_t *words, const uint64_t *digits)
{
    for (size_t i = 0; i * 64 < len; i++)
        words[i] &= ~digits[i];
    const uint8_t *q = p;
    while ((q = memchr(q, '_', len - (size_t)(q - p))) != NULL) {
        size_t i = (size_t)(q++ - p);
        words[i / 64] &= ~(1ull << (i % 64));
    }
}

/* Where the run of letters that begins at p ends. */
static const uint8_t *skip_letters(const cursor *c, const uint8_t *p)
{
    for (;;) {
        size_t i = (size_t)(p - c->base);
        uint64_t behind = ~c->letters[i / 64] >> (i % 64);
        if (behind) {
            p += __builtin_ctzll(behind);
            return p < c->end ? p : c->end;
        }
        p += 64 - i % 64;
        if (p >= c->end) return c->end;
    }
}

/* A word of letters only with a blank or the line's end behind it: most words of most lines. None
 * of the forms begins so but the name of a day or month. The word's end; NULL: look closer. */
static const uint8_t *match_plain_word(const cursor *c, const uint8_t *p)
{
    enum { HEX_LEN = 8 };

    const uint8_t *q = skip_letters(c, p);
    size_t len = (size_t)(q - p);
    if (len == 0 || len > TOKEN_BYTES_MAX || (q < c->end && *q != ' ')) return NULL;
    bool may_be_name = len == 3 && c->has_colon;
    bool may_be_capitals = len > 1 && q[-1] < 'a'; /* as its first and last letter */
    bool may_be_hex = len >= HEX_LEN && is_hex_letter(p[0]) && is_hex_letter(q[-1]);
    return may_be_name || may_be_capitals || may_be_hex ? NULL : q;
}

void template_mask(const uint8_t *skeleton, size_t len, bool is_cut, raw_line *out)
{
    enum { WORDS = (SKELETON_BYTES_MAX + 63) / 64 };

    static const uint8_t blank = ' ';
    uint64_t bits[LM_CLASS_COUNT][WORDS];
    uint64_t *const classes[LM_CLASS_COUNT] = {bits[0], bits[1], bits[2], bits[3]};
    lm_scan_classes(skeleton, len, classes);
    keep_letters(skeleton, len, bits[LM_CLASS_WORD], bits[LM_CLASS_DIGIT]);
    cursor c = {.begin = skeleton,
                .end = skeleton + len,
                .has_colon = memchr(skeleton, ':', len) != NULL,
                .base = skeleton,
                .letters = bits[LM_CLASS_WORD]};
    out->count = out->used = 0;
    while (c.begin < c.end && is_kind(*c.begin, IS_BLANK))
        c.begin++;
    while (c.end > c.begin && is_kind(c.end[-1], IS_BLANK))
        c.end--;
    for (const uint8_t *p = c.begin; p < c.end;) {
        const uint8_t *start = p;
        if (is_kind(*p, IS_BLANK)) {
            while (p < c.end && is_kind(*p, IS_BLANK))
                p++;
            push(out, &blank, 1, TOKEN_BLANK);
            continue;
        }
        const uint8_t *plain = match_plain_word(&c, p);
        if (plain) {
            push(out, p, (size_t)(plain - p), flags_of_letters(p, (size_t)(plain - p)));
            p = plain; /* one blank, or none at the end: most words */
            if (p + 1 < c.end && !is_kind(p[1], IS_BLANK)) {
                push(out, &blank, 1, TOKEN_BLANK);
                p++;
            }
            continue;
        }
        size_t method = 0, n = match_form(&c, p);
        if (n) {
            push_wild(out);
            p += n;
            continue;
        }
        if (is_kind(*p, IS_SEPARATOR)) {
            n = *p == '"' ? match_quoted_value(&c, p) : 0;
            push(out, p, 1, flags_of_sign(*p));
            p++;
            if (n) {
                push_wild(out);
                p += n;
            } else if (p[-1] == '"' && (n = match_request(&c, p, &method))) {
                push(out, p, method, template_token_flags(p, method));
                push(out, &blank, 1, TOKEN_BLANK);
                push_wild(out);
                p += method + 1 + n;
            }
            continue;
        }
        if (*p == '.' && at(&c, p + 1) == '.') {
            while (at(&c, p) == '.')
                p++;
            push(out, start, p - start > TOKEN_BYTES_MAX ? TOKEN_BYTES_MAX : (size_t)(p - start),
                 TOKEN_PUNCT);
            continue;
        }
        if (*p == MARK_UNIT) { /* the token of a unit that varies is this byte alone */
            push_wild(out);
            p++;
            continue;
        }
        word_facts facts;
        p = scan_word(&c, p, &facts);
        push_word(out, start, (size_t)(p - start), facts);
    }
    if (is_cut || out->count == MESSAGE_TOKENS_MAX) {
        out->count -= out->count == MESSAGE_TOKENS_MAX;
        push_wild(out);
    }
}

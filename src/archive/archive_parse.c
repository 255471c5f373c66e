/**
 * Parsing: lines -> skeletons and variables, variables -> role columns. The path every byte takes.
 *
 *   text --lm_scan_classes, 64 KB at a time--> bitmaps --newlines--> lines --events--> variables
 *        skeleton = line with variables cut out --exact table--> shape --roles--> columns
 *
 * Events are the only places looked at: starts of digit runs, '"', '=' and control bytes; constant
 * words are never visited. What is a variable:
 *   - a timestamp of a known layout (kind TIME);
 *   - a run of letters and digits with a digit in it, less a letter prefix or suffix that reads as
 * a word or a unit
 *     (`blk_<123>`, `<12>ms`), decimals, addresses and UUIDs as one (kind TOKEN);
 *   - a quoted text without blanks, a quoted text with blanks that mostly repeats, or a value
 * without digits behind '=' (kind TEXT).
 */
#include "archive/archive_priv.h"

enum {
    CHUNK_BYTES = 1 << 16,
    TEXT_VALUE_MAX = 256, /* longest value of one piece behind '=' */
    QUOTED_MAX = 1024,    /* longest quoted text that may be one variable */
    AFFIX_MAX = 12,
    QUOTE_SLOTS = 1024, /* kinds of quoted text that are told apart */
    QUOTE_LEARN = 256,  /* occurrences looked at to decide on one */
    QUOTE_EARLY = 32,   /* nearly all different among the first: decided then */
    REPEAT_ROWS = 8192  /* every so many rows: do shapes come back at all? */
};

/** What the scanner already knows of a token's text. */
enum {
    FORM_ANY,
    FORM_DIGITS /* 1..16 of them */,
    FORM_DECIMAL /* digits, a point, digits: at most 17 bytes */
};

typedef struct variable {
    uint32_t begin, end; /* in the chunk's text: offsets from the segment's begin */
    uint8_t kind;
    uint8_t form;    /* TOKEN: FORM_* */
    uint16_t layout; /* TIME */
    int64_t ticks;   /* TIME */
} variable;

/**
 * Quoted text with blanks in it: a user agent comes back as a whole, a request or a message does
 * not. Per kind (the bytes before it, or which quotation of the line it is) the first occurrences
 * are counted: if at least half are repeats, the text is one variable with a dictionary, else it is
 * taken apart like the rest of the line.
 */
typedef struct quote_kind {
    uint64_t key;
    uint32_t seen, distinct;
    bool is_decided, is_whole;
    uint32_t hashes[QUOTE_LEARN * 2]; /* set of what was seen; 0 empty */
} quote_kind;

typedef struct parser {
    lm_parsed *out;
    quote_kind *quotes[QUOTE_SLOTS];
    size_t quote_count;    /* kinds */
    unsigned quote_number; /* of free quotations in this line */
    size_t quote_closes;   /* position of the '"' that ends the quotation being taken apart */
    lm_err failed;         /* out of memory while scanning */
    const uint8_t *text;
    uint64_t *bits[LM_CLASS_COUNT]; /* of the chunk; bit 0 is text[base] */
    uint64_t *events;
    size_t word_cap;
    size_t base; /* chunk begin */
    uint8_t *skeleton;
    size_t skeleton_cap;
    variable *vars;
    size_t var_count;
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

/* ---- one token ---- */

/** All letters a-f, or all A-F? (digits are free) */
static bool is_hex_word(const uint8_t *p, size_t len)
{
    bool lower = true, upper = true;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];
        if (is_digit(c)) continue;
        lower = lower && c >= 'a' && c <= 'f';
        upper = upper && c >= 'A' && c <= 'F';
        if (!lower && !upper) return false;
    }
    return true;
}

static bool is_uuid_at(const uint8_t *p)
{
    if (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return false;
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) continue;
        if (!(is_digit(p[i]) || (p[i] >= 'a' && p[i] <= 'f') || (p[i] >= 'A' && p[i] <= 'F')))
            return false;
    }
    return true;
}

/** Does the word change case after its first letter (as ids do, and words do not)? */
static bool is_mixed_case(const uint8_t *p, size_t len)
{
    bool lower = false, upper = false;
    for (size_t i = 0; i < len; i++) {
        if (!is_alpha(p[i])) continue;
        if (p[i] & 0x20) {
            lower = true;
        } else if (i > 0) {
            upper = true;
        }
    }
    return lower && upper;
}

static bool push_time(parser *ps, size_t begin, size_t line_end, size_t must_pass)
{
    lm_time time;
    if (!lm_time_parse(ps->text + begin, line_end - begin, &time) || begin + time.len <= must_pass)
        return false;
    ps->vars[ps->var_count++] = (variable){.begin = (uint32_t)begin,
                                           .end = (uint32_t)(begin + time.len),
                                           .kind = LM_KIND_TIME,
                                           .layout = time.layout,
                                           .ticks = time.ticks};
    return true;
}

/** A date may begin up to 8 bytes before its first digit: `Jun  9 06:..`, `Thu Jun 09 06:..`. */
static bool try_month_time(parser *ps, size_t at, size_t digits, size_t from, size_t line_end)
{
    const uint8_t *t = ps->text;
    if (digits > 2 || at + digits + 1 >= line_end || t[at + digits] != ' ' ||
        !is_digit(t[at + digits + 1]))
        return false;
    if (at < from + 4 || t[at - 1] != ' ') return false;
    size_t month = t[at - 2] == ' ' ? at - 5 : at - 4;
    if (month < from || month > at || !is_alpha(t[month]) || !is_alpha(t[month + 1]) ||
        !is_alpha(t[month + 2]))
        return false;
    if (month >= from + 4 && t[month - 1] == ' ' && is_alpha(t[month - 2]) &&
        is_alpha(t[month - 4]) && push_time(ps, month - 4, line_end, at)) {
        return true;
    }
    return push_time(ps, month, line_end, at);
}

static bool looks_like_time(const uint8_t *t, size_t at, size_t digits, size_t line_end)
{
    if (at + digits + 2 >= line_end) return false;
    uint8_t next = t[at + digits], after = t[at + digits + 1];
    switch (digits) {
    case 2:
        if (next == ':' || next == '-' || next == '.') return is_digit(after);
        if (next == '/') return is_alnum(after);
        return next == ' ' && is_alpha(after);
    case 1:
        return (next == '/' || next == ' ' || next == ':') && is_alnum(after);
    case 4:
        return next == '-' || next == '/' || next == '.';
    case 6:
        return next == ' ' && is_digit(after);
    case 8:
        return next == '-' || next == 'T' || next == ' ' || next == '_';
    case 14:
        return true;
    default:
        return false;
    }
}

static inline size_t push_token(parser *ps, size_t begin, size_t end, uint8_t form)
{
    ps->vars[ps->var_count++] = (variable){
        .begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TOKEN, .form = form};
    return end;
}

/** digits at [at, stop): takes in .digits groups and a sign. Returns the end. */
static size_t push_number(parser *ps, size_t at, size_t stop, size_t from, size_t line_begin,
                          size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t end = stop;
    unsigned points = 0;
    while (points < 3 && end + 1 < line_end && t[end] == '.' && is_digit(t[end + 1])) {
        end += 1 + run_length(ps->bits[LM_CLASS_DIGIT], end + 1 - ps->base, line_end - ps->base);
        points++;
    }
    size_t begin = at;
    if (points <= 1 && begin > from && t[begin - 1] == '-') {
        uint8_t before = begin - 1 == line_begin ? ' ' : t[begin - 2];
        if (before == ' ' || before == '_' || before == '=' || before == ':' || before == ',' ||
            before == '(' || before == '[' || before == '"' || before == '\t') {
            begin--;
        }
    }
    size_t len = end - begin;
    uint8_t form = FORM_ANY;
    if (begin == at && points == 0 && len <= 16) form = FORM_DIGITS;
    if (begin == at && points == 1 && len <= 17 && (stop - at) <= 8 && end - stop <= 9)
        form = FORM_DECIMAL;
    return push_token(ps, begin, end, form);
}

/**
 * The token around the digit run at `at`. from: end of the variable before (nothing before it may
 * be taken). Returns where to go on.
 */
static size_t scan_token(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t limit = line_end - ps->base;
    size_t digits = run_length(ps->bits[LM_CLASS_DIGIT], at - ps->base, limit);
    size_t begin = at;
    while (begin > from && is_alnum(t[begin - 1]))
        begin--;
    size_t end = at + digits;
    if (end < line_end && is_alpha(t[end])) {
        end = at + run_length(ps->bits[LM_CLASS_WORD], at - ps->base, limit);
    }
    if (end - begin == 8 && begin + 36 <= line_end && t[end] == '-' && is_uuid_at(t + begin) &&
        (begin + 36 == line_end || !is_alnum(t[begin + 36]))) {
        return push_token(ps, begin, begin + 36, FORM_ANY);
    }
    if (begin == at) {
        if (looks_like_time(t, at, digits, line_end) && push_time(ps, at, line_end, at))
            return ps->vars[ps->var_count - 1].end;
        if (try_month_time(ps, at, digits, from, line_end)) return ps->vars[ps->var_count - 1].end;
        if (end == at + digits) return push_number(ps, at, end, from, line_begin, line_end);
        if (digits == 1 && t[at] == '0' && (t[at + 1] | 0x20) == 'x' && end - at > 2) {
            return push_token(ps, at + 2, end, FORM_ANY);
        }
    } else if (at - begin == 1 && digits == 4 && at + 7 < line_end && t[at + 4] == ' ' &&
               t[at + 7] == ':' &&
               push_time(ps, at, line_end, at)) { /* klog: I0507 11:59:44.523502 */
        return ps->vars[ps->var_count - 1].end;
    }
    size_t len = end - begin, prefix = at - begin, suffix = end - at - digits;
    if (len >= 4 && len <= 2 * LM_WIDE_MAX && (prefix || suffix) && is_hex_word(t + begin, len))
        return push_token(ps, begin, end, FORM_ANY);
    if (len > 16) { /* a digest behind a letter or two: h8fc47b8d.. */
        for (size_t k = 1; k <= 4; k++) {
            if (len - k >= 16 && is_hex_word(t + begin + k, len - k))
                return push_token(ps, begin + k, end, FORM_ANY);
        }
    }
    bool has_more_digits = false;
    for (size_t i = at + digits; i < end; i++)
        has_more_digits = has_more_digits || is_digit(t[i]);
    if (has_more_digits || (prefix && suffix) || prefix > AFFIX_MAX || suffix > AFFIX_MAX ||
        is_mixed_case(t + begin, len)) {
        return push_token(ps, begin, end, FORM_ANY);
    }
    if (prefix) return push_number(ps, at, end, at, line_begin, line_end);
    return push_token(ps, at, at + digits, digits <= 16 ? FORM_DIGITS : FORM_ANY);
}

/* ---- text values ---- */

/** Plain enough that the token rules split it well: digits, hex, and . : - between them. */
static bool is_number_like(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];
        if (!is_digit(c) && c != '.' && c != ':' && c != '-' && c != '+' && c != '/' && c != ',' &&
            !(c >= 'a' && c <= 'f') && c != 'T' && c != 'Z') {
            return false;
        }
    }
    return true;
}

/** The closing '"' of a quotation that begins behind at; line_end if there is none near. */
static size_t find_closing(const parser *ps, size_t at, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t begin = at + 1, limit = line_end - begin < QUOTED_MAX ? line_end : begin + QUOTED_MAX;
    const uint64_t *special = ps->bits[LM_CLASS_SPECIAL];
    size_t rel = begin - ps->base, end = limit - ps->base;
    for (size_t word = rel >> 6; word << 6 < end; word++) {
        uint64_t bits = special[word];
        if (word == rel >> 6) bits &= ~(uint64_t)0 << (rel & 63);
        for (; bits; bits &= bits - 1) {
            size_t found = ps->base + (word << 6) + (size_t)__builtin_ctzll(bits);
            if (found >= limit) return line_end;
            if (t[found] == LM_MARK) return line_end;
            if (t[found] != '"') continue;
            size_t slashes = 0;
            while (found - slashes > begin && t[found - slashes - 1] == '\\')
                slashes++;
            if (slashes % 2 == 0) return found;
        }
    }
    return line_end;
}

static quote_kind *find_quote_kind(parser *ps, uint64_t key)
{
    size_t at = key & (QUOTE_SLOTS - 1);
    for (; ps->quotes[at]; at = (at + 1) & (QUOTE_SLOTS - 1)) {
        if (ps->quotes[at]->key == key) return ps->quotes[at];
    }
    if (ps->quote_count >= QUOTE_SLOTS / 2)
        return NULL; /* too many kinds: later ones are taken apart */
    quote_kind *kind = lm_mem_calloc(ps->out->mem, 1, sizeof *kind);
    if (!kind) {
        ps->failed = lm_mem_err();
        return NULL;
    }
    kind->key = key;
    ps->quotes[at] = kind;
    ps->quote_count++;
    return kind;
}

/** Is quoted text of this kind one variable? Learns from it while undecided. */
static bool quote_is_whole(parser *ps, uint64_t key, const uint8_t *text, size_t len)
{
    quote_kind *kind = find_quote_kind(ps, key);
    if (!kind) return false;
    if (kind->is_decided) return kind->is_whole;
    uint32_t hash = (uint32_t)lm_hash64(text, len) | 1;
    size_t mask = QUOTE_LEARN * 2 - 1, at = hash >> 1 & mask;
    while (kind->hashes[at] && kind->hashes[at] != hash)
        at = (at + 1) & mask;
    kind->distinct += !kind->hashes[at];
    kind->hashes[at] = hash;
    kind->seen++;
    kind->is_whole = kind->distinct * 2 <= kind->seen || kind->seen < QUOTE_EARLY;
    if (kind->seen == QUOTE_LEARN ||
        (kind->seen == QUOTE_EARLY && kind->distinct * 8 > QUOTE_EARLY * 7)) {
        kind->is_decided = true;
        kind->is_whole = kind->distinct * 2 <= kind->seen;
    }
    return kind->is_whole;
}

static bool has_digit(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_digit(p[i])) return true;
    }
    return false;
}

/** In `GET /a/b/7?q=x HTTP/1.1` the '/' of the path become events: its words vary freely and would
 * multiply the shapes. */
static void note_request_path(parser *ps, size_t begin, size_t end)
{
    const uint8_t *t = ps->text;
    size_t at = begin;
    while (at < end && at - begin < 8 && t[at] >= 'A' && t[at] <= 'Z')
        at++;
    if (at - begin < 3 || at + 1 >= end || t[at] != ' ' || t[at + 1] != '/') return;
    for (at++; at < end && t[at] != ' ' && t[at] != '?'; at++) {
        if (t[at] == '/') ps->events[(at - ps->base) >> 6] |= UINT64_C(1) << ((at - ps->base) & 63);
    }
}

/** `/` of a request's path: a part of it without digits is a text variable. Returns where to go on.
 */
static size_t scan_slash(parser *ps, size_t at, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t begin = at + 1, end = begin;
    for (; end < line_end && t[end] != '/' && t[end] != ' ' && t[end] != '?' && t[end] != '"' &&
           t[end] > 0x08;
         end++) {
        if (is_digit(t[end])) return begin;
    }
    if (end == begin || end == line_end || end - begin > TEXT_VALUE_MAX) return begin;
    ps->vars[ps->var_count++] =
        (variable){.begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TEXT};
    return end;
}

/** `"` at `at`: a JSON string, key="...", or a quotation of its own. Returns where to go on. */
static size_t scan_quote(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    if (at == ps->quote_closes || at < from) return at + 1;
    uint8_t before = at == line_begin ? ' ' : t[at - 1];
    if (before == ' ' && at >= line_begin + 2 && t[at - 2] == ':') before = ':';
    bool is_member = before == ':' || before == '=';
    if (!is_member && before != ' ' && before != '[' && before != '(' && before != ',')
        return at + 1;
    size_t begin = at + 1, end = find_closing(ps, at, line_end);
    if (end == line_end || end == begin) return at + 1;
    if (!is_member && end + 1 < line_end && t[end + 1] == ':') return end + 1; /* a JSON key */
    size_t len = end - begin;
    bool is_whole;
    if (!memchr(t + begin, ' ', len)) {
        is_whole =
            len <= TEXT_VALUE_MAX && !(is_number_like(t + begin, len) && has_digit(t + begin, len));
    } else {
        size_t context = at - line_begin < 12 ? at - line_begin : 12;
        uint64_t key = is_member ? lm_hash64(t + at - context, context)
                                 : lm_hash_u64(before + 256u * ++ps->quote_number);
        is_whole = quote_is_whole(ps, key, t + begin, len);
    }
    if (!is_whole) {
        ps->quote_closes = end;
        note_request_path(ps, begin, end);
        return begin;
    }
    ps->vars[ps->var_count++] =
        (variable){.begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TEXT};
    return end + 1; /* the closing quote opens nothing */
}

/** `=` at `at`: a value without digits is a text variable. Returns where to go on. */
static size_t scan_equals(parser *ps, size_t at, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t begin = at + 1, end = begin;
    if (at == line_begin || begin >= line_end || !is_alpha(t[begin])) return begin;
    size_t stop = line_end - begin < TEXT_VALUE_MAX ? line_end : begin + TEXT_VALUE_MAX;
    for (; end < stop; end++) {
        uint8_t c = t[end];
        if (c <= ' ' || c == ',' || c == ';' || c == '&' || c == ')' || c == ']' || c == '}' ||
            c == '"' || c == '\'')
            break;
        if (is_digit(c)) return begin;
    }
    if (end == begin || (end == stop && stop != line_end)) return begin;
    ps->vars[ps->var_count++] =
        (variable){.begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TEXT};
    return end;
}

/* ---- one line ---- */

static inline size_t next_event(const parser *ps, size_t at, size_t line_end)
{
    size_t rel = at - ps->base, limit = line_end - ps->base;
    size_t word = rel >> 6;
    uint64_t bits = ps->events[word] & (~(uint64_t)0 << (rel & 63));
    while (!bits) {
        if (++word << 6 >= limit) return line_end;
        bits = ps->events[word];
    }
    size_t found = (word << 6) + (size_t)__builtin_ctzll(bits);
    return found < limit ? ps->base + found : line_end;
}

/** Variables of a line. False: keep the line raw. */
static bool find_variables(parser *ps, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t from = line_begin;
    ps->var_count = 0;
    ps->quote_number = 0;
    ps->quote_closes = line_end;
    for (size_t at = next_event(ps, line_begin, line_end); at < line_end;) {
        uint8_t c = t[at];
        size_t before = ps->var_count, go_on;
        if (is_digit(c)) {
            go_on = scan_token(ps, at, from, line_begin, line_end);
        } else if (c == '"') {
            go_on = scan_quote(ps, at, from, line_begin, line_end);
        } else if (c == '/') {
            go_on = scan_slash(ps, at, line_end);
        } else if (c == '=') {
            go_on = scan_equals(ps, at, line_begin, line_end);
        } else {
            if (c == LM_MARK) return false;
            go_on = at + 1;
        }
        if (ps->var_count != before) {
            if (ps->var_count >= LM_SHAPE_VARS_MAX) return false;
            from = ps->vars[before].end;
        }
        if (go_on >= line_end) break;
        at = next_event(ps, go_on, line_end);
    }
    return true;
}

/** LM_MARK inside a variable or right behind the last event would break the skeleton:
 * find_variables sees all of them but those inside skipped variables, which are checked by class
 * (TOKEN, TIME have none; TEXT stops at control bytes). */
static size_t write_skeleton(parser *ps, size_t line_begin, size_t line_end)
{
    uint8_t *at = ps->skeleton;
    size_t from = line_begin;
    for (size_t i = 0; i < ps->var_count; i++) {
        const variable *var = &ps->vars[i];
        size_t len = var->begin - from;
        if (len <= 16) {
            memcpy(at, ps->text + from,
                   16); /* both sides have room: LM_TEXT_PADDING, skeleton_cap */
        } else {
            memcpy(at, ps->text + from, len);
        }
        at += len;
        at[0] = LM_MARK;
        at[1] = var->kind;
        at += 2;
        from = var->end;
    }
    memcpy(at, ps->text + from, line_end - from);
    return (size_t)(at - ps->skeleton) + (line_end - from);
}

/* ---- role columns ---- */

static lm_err role_grow(lm_mem *mem, lm_role *role)
{
    uint32_t cap = role->cap ? role->cap * 2 : 8;
    if (role->classes) { /* first: a failure below would leave the classes larger than cap says, so
                            they go */
        uint32_t *classes =
            lm_mem_resize(mem, role->classes, role->cap * sizeof *classes, cap * sizeof *classes);
        if (!classes) return lm_mem_err();
        role->classes = classes;
    }
    int64_t *numbers =
        lm_mem_resize(mem, role->numbers, role->cap * sizeof *numbers, cap * sizeof *numbers);
    if (!numbers) {
        lm_mem_release(mem, role->classes, role->classes ? cap * sizeof *role->classes : 0);
        role->classes = NULL;
        return lm_mem_err();
    }
    role->numbers = numbers;
    role->cap = cap;
    return LM_OK;
}

/** From one class to several: write down the classes so far. */
static lm_err role_split_classes(lm_mem *mem, lm_role *role)
{
    uint32_t *classes = lm_mem_alloc(mem, role->cap * sizeof *classes);
    if (!classes) return lm_mem_err();
    for (uint32_t i = 0; i < role->count; i++)
        classes[i] = role->uniform;
    role->classes = classes;
    return LM_OK;
}

static inline lm_err role_push(lm_mem *mem, lm_role *role, uint32_t vclass, int64_t number)
{
    if (role->count == role->cap) {
        lm_err err = role_grow(mem, role);
        if (err) return err;
    }
    if (role->count == 0) role->uniform = vclass;
    if (vclass != role->uniform && !role->classes) {
        lm_err err = role_split_classes(mem, role);
        if (err) return err;
    }
    if (role->classes) role->classes[role->count] = vclass;
    role->numbers[role->count++] = number;
    return LM_OK;
}

static lm_err role_texts_grow(lm_mem *mem, lm_role *role, const uint8_t *text)
{
    uint32_t cap = role->slot_cap ? role->slot_cap * 2 : 16;
    uint32_t *slots = lm_mem_calloc(mem, cap, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (uint32_t i = 0; i < role->text_count; i++) {
        size_t at = lm_hash64(text + role->texts[i].offset, role->texts[i].len) & (cap - 1);
        while (slots[at])
            at = (at + 1) & (cap - 1);
        slots[at] = i + 1;
    }
    lm_mem_release(mem, role->text_slots, role->slot_cap * sizeof *slots);
    role->text_slots = slots;
    role->slot_cap = cap;
    return LM_OK;
}

/** Place of a text in the role's dictionary, added if new. */
static lm_err role_text(parser *ps, lm_role *role, uint32_t offset, uint32_t len, int64_t *out)
{
    lm_mem *mem = ps->out->mem;
    const uint8_t *text = ps->text;
    if (role->text_count) { /* often the same as before */
        const lm_slice *last = &role->texts[role->text_last];
        if (last->len == len && memcmp(text + last->offset, text + offset, len) == 0) {
            *out = role->text_last;
            return LM_OK;
        }
    }
    if (role->text_count * 2 >= role->slot_cap) {
        lm_err err = role_texts_grow(mem, role, text);
        if (err) return err;
    }
    size_t mask = role->slot_cap - 1;
    size_t at = lm_hash64(text + offset, len) & mask;
    for (; role->text_slots[at]; at = (at + 1) & mask) {
        const lm_slice *known = &role->texts[role->text_slots[at] - 1];
        if (known->len == len && memcmp(text + known->offset, text + offset, len) == 0) {
            *out = role->text_last = role->text_slots[at] - 1;
            return LM_OK;
        }
    }
    size_t cap = role->text_cap;
    lm_err err =
        lm_vec_grow(mem, &role->texts, &cap, (size_t)role->text_count + 1, sizeof *role->texts);
    if (err) return err;
    role->text_cap = (uint32_t)cap;
    role->texts[role->text_count] = (lm_slice){offset, len};
    role->text_bytes += len + 1;
    role->text_slots[at] = ++role->text_count;
    *out = role->text_last = role->text_count - 1;
    return LM_OK;
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

static const uint32_t POWERS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

static lm_err add_classified(parser *ps, lm_role *role, const variable *var)
{
    uint32_t len = var->end - var->begin;
    lm_token_value value = {.vclass = LM_VC_STR};
    if (var->kind == LM_KIND_TOKEN) lm_token_classify(ps->text + var->begin, len, &value);
    if (lm_vclass_width(value.vclass)) {
        value.number = (int64_t)role->wide.len;
        lm_err err = lm_buf_append(&role->wide, value.wide, lm_vclass_width(value.vclass));
        if (err) return err;
    } else if (value.vclass == LM_VC_STR) {
        lm_err err = role_text(ps, role, var->begin, len, &value.number);
        if (err) return err;
    }
    return role_push(ps->out->mem, role, value.vclass, value.number);
}

static inline lm_err role_add(parser *ps, lm_role *role, const variable *var)
{
    lm_mem *mem = ps->out->mem;
    const uint8_t *p = ps->text + var->begin;
    uint32_t len = var->end - var->begin;
    if (var->kind == LM_KIND_TIME)
        return role_push(mem, role, (uint32_t)LM_VC_TIME + var->layout, var->ticks);
    if (var->form == FORM_DIGITS) {
        return role_push(mem, role, p[0] == '0' && len > 1 ? LM_VC_ZINT + len : LM_VC_INT,
                         parse_digits(p, len));
    }
    if (var->form == FORM_DECIMAL && (p[0] != '0' || p[1] == '.')) {
        const uint8_t *point = memchr(p, '.', len);
        uint32_t whole = (uint32_t)(point - p), scale = len - whole - 1;
        int64_t number =
            (int64_t)(eight_digits(p, whole) * POWERS[scale] + eight_digits(point + 1, scale));
        return role_push(mem, role, LM_VC_DEC + scale, number);
    }
    return add_classified(ps, role, var);
}

/** Make room for the roles that a new shape brought. */
static lm_err roles_extend(lm_parsed *out)
{
    lm_err err = lm_vec_grow(out->mem, &out->roles, &out->role_cap, out->shapes.role_count,
                             sizeof *out->roles);
    if (err) return err;
    for (; out->role_count < out->shapes.role_count; out->role_count++) {
        lm_role *role = &out->roles[out->role_count];
        *role = (lm_role){.key = out->shapes.role_keys[out->role_count]};
        lm_buf_init(&role->wide, out->mem);
    }
    return LM_OK;
}

/** A shape's first line: remember where it is and how long its variables are there. */
static lm_err note_sample(parser *ps, lm_shape_entry *entry, size_t line_begin, size_t line_end)
{
    lm_parsed *out = ps->out;
    entry->sample = (lm_slice){(uint32_t)line_begin, (uint32_t)(line_end - line_begin)};
    lm_err err = lm_vec_grow(out->mem, &out->sample_lens, &out->sample_len_cap,
                             out->sample_len_count + ps->var_count, sizeof *out->sample_lens);
    if (err) return err;
    for (size_t i = 0; i < ps->var_count; i++) {
        out->sample_lens[out->sample_len_count++] = ps->vars[i].end - ps->vars[i].begin;
    }
    return roles_extend(out);
}

static lm_err add_row(parser *ps, size_t line_begin, size_t line_end, size_t skeleton_len)
{
    lm_parsed *out = ps->out;
    uint32_t shape = 0;
    lm_err err = lm_shapes_intern(&out->shapes, ps->skeleton, skeleton_len, &shape);
    if (err) return err;
    lm_shape_entry *entry = &out->shapes.items[shape];
    if (entry->rows++ == 0) {
        err = note_sample(ps, entry, line_begin, line_end);
        if (err) return err;
    }
    if (out->row_count == out->row_cap) {
        err = lm_vec_grow(out->mem, &out->shape_of_row, &out->row_cap, out->row_count + 1,
                          sizeof *out->shape_of_row);
        if (err) return err;
    }
    out->shape_of_row[out->row_count++] = shape;
    const uint32_t *roles = out->shapes.var_roles + entry->first_var;
    for (size_t i = 0; i < ps->var_count; i++) {
        err = role_add(ps, &out->roles[roles[i]], &ps->vars[i]);
        if (err) return err;
    }
    return LM_OK;
}

/** Text of which three lines in four are a shape of their own is not what columns are for: it is
 * kept as text, which is faster and smaller. */
static lm_err check_repeats(const lm_parsed *out)
{
    if (out->row_count % REPEAT_ROWS || out->shapes.count * 4 <= out->row_count * 3) return LM_OK;
    return lm_fail(LM_E_LIMIT, "%zu shapes in %zu lines", out->shapes.count, out->row_count);
}

static lm_err parse_line(parser *ps, size_t line_begin, size_t line_end, bool is_short)
{
    lm_err err = check_repeats(ps->out);
    if (err) return err;
    if (ps->out->row_count >= LM_SEGMENT_ROWS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d lines in one segment", LM_SEGMENT_ROWS_MAX);
    if (is_short && find_variables(ps, line_begin, line_end) && !ps->failed) {
        return add_row(ps, line_begin, line_end, write_skeleton(ps, line_begin, line_end));
    }
    if (ps->failed) return ps->failed;
    ps->skeleton[0] = LM_MARK;
    ps->skeleton[1] = LM_KIND_RAW;
    ps->vars[0] =
        (variable){.begin = (uint32_t)line_begin, .end = (uint32_t)line_end, .kind = LM_KIND_RAW};
    ps->var_count = 1;
    return add_row(ps, line_begin, line_end, 2);
}

/* ---- chunks ---- */

static lm_err chunk_reserve(parser *ps, size_t bytes)
{
    size_t words = bytes / 64 + 3;
    if (words <= ps->word_cap) return LM_OK;
    uint64_t *fresh = lm_mem_calloc(ps->out->mem, (LM_CLASS_COUNT + 1) * words, sizeof *fresh);
    if (!fresh) return lm_mem_err();
    lm_mem_release(ps->out->mem, ps->bits[0], (LM_CLASS_COUNT + 1) * ps->word_cap * sizeof *fresh);
    for (size_t i = 0; i < LM_CLASS_COUNT; i++)
        ps->bits[i] = fresh + i * words;
    ps->events = fresh + LM_CLASS_COUNT * words;
    ps->word_cap = words;
    return LM_OK;
}

static lm_err skeleton_reserve(parser *ps, size_t line_bytes)
{
    size_t cap = line_bytes + 2 * LM_SHAPE_VARS_MAX + LM_TEXT_PADDING;
    if (cap <= ps->skeleton_cap) return LM_OK;
    uint8_t *fresh = lm_mem_resize(ps->out->mem, ps->skeleton, ps->skeleton_cap, cap);
    if (!fresh) return lm_mem_err();
    ps->skeleton = fresh;
    ps->skeleton_cap = cap;
    return LM_OK;
}

static void chunk_classify(parser *ps, size_t begin, size_t len)
{
    ps->base = begin;
    lm_scan_classes(ps->text + begin, len, ps->bits);
    size_t words = (len + 63) / 64;
    uint64_t carry = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t digits = ps->bits[LM_CLASS_DIGIT][i];
        ps->events[i] = (digits & ~(digits << 1 | carry)) | ps->bits[LM_CLASS_SPECIAL][i];
        carry = digits >> 63;
    }
    for (size_t i = 0; i < LM_CLASS_COUNT; i++)
        ps->bits[i][words] = ps->bits[i][words + 1] = 0;
    ps->events[words] = 0;
}

/** All whole lines of a chunk; out_used is behind the last one's '\n'. */
static lm_err chunk_parse(parser *ps, size_t begin, size_t len, size_t *out_used)
{
    chunk_classify(ps, begin, len);
    size_t line = begin;
    for (size_t word = 0; word < (len + 63) / 64; word++) {
        for (uint64_t ends = ps->bits[LM_CLASS_NEWLINE][word]; ends; ends &= ends - 1) {
            size_t end = begin + word * 64 + (size_t)__builtin_ctzll(ends);
            lm_err err = skeleton_reserve(ps, end - line);
            if (err) return err;
            err = parse_line(ps, line, end, true);
            if (err) return err;
            line = end + 1;
        }
    }
    *out_used = line - begin;
    return LM_OK;
}

static lm_err parse_all(parser *ps, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t chunk = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
        size_t used = 0;
        lm_err err = chunk_reserve(ps, chunk);
        if (err) return err;
        err = chunk_parse(ps, at, chunk, &used);
        if (err) return err;
        if (used == 0) { /* a line longer than a chunk */
            const uint8_t *end = memchr(ps->text + at, '\n', len - at);
            LM_ASSERT(end);
            size_t line_len = (size_t)(end - (ps->text + at));
            bool is_short = line_len <= LM_PARSE_LINE_MAX;
            if (is_short) {
                err = chunk_reserve(ps, line_len + 1);
                if (!err) err = chunk_parse(ps, at, line_len + 1, &used);
            } else {
                err = parse_line(ps, at, at + line_len, false);
                used = line_len + 1;
            }
            if (err) return err;
        }
        at += used;
    }
    return LM_OK;
}

static void note_usage(lm_parsed *out)
{
    for (size_t s = 0; s < out->shapes.count; s++) {
        const lm_shape_entry *entry = &out->shapes.items[s];
        for (uint32_t v = 0; v < entry->var_count; v++) {
            out->roles[out->shapes.var_roles[entry->first_var + v]].usage += lm_hash_u64(s + 1);
        }
    }
}

lm_err lm_parsed_make(lm_mem *mem, const uint8_t *text, size_t len, lm_parsed **out)
{
    LM_ASSERT(len < UINT32_MAX && (len == 0 || text[len - 1] == '\n'));
    parser ps = {.text = text};
    lm_parsed *parsed = lm_mem_calloc(mem, 1, sizeof *parsed);
    if (!parsed) return lm_mem_err();
    *parsed = (lm_parsed){.mem = mem, .text = text, .text_len = len};
    lm_shapes_init(&parsed->shapes, mem);
    ps.out = parsed;
    lm_err err = LM_OK;
    ps.vars = lm_mem_alloc(mem, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps.vars);
    if (!ps.vars) err = lm_mem_err();
    if (!err) err = skeleton_reserve(&ps, CHUNK_BYTES);
    if (!err) err = parse_all(&ps, len);
    if (!err) note_usage(parsed);
    for (size_t i = 0; i < QUOTE_SLOTS; i++)
        lm_mem_release(mem, ps.quotes[i], sizeof(quote_kind));
    lm_mem_release(mem, ps.vars, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps.vars);
    lm_mem_release(mem, ps.skeleton, ps.skeleton_cap);
    lm_mem_release(mem, ps.bits[0], (LM_CLASS_COUNT + 1) * ps.word_cap * sizeof(uint64_t));
    if (err) {
        lm_parsed_free(parsed);
        return err;
    }
    *out = parsed;
    return LM_OK;
}

static void role_fini(lm_mem *mem, lm_role *role)
{
    lm_mem_release(mem, role->numbers, role->cap * sizeof *role->numbers);
    lm_mem_release(mem, role->classes, role->cap * sizeof *role->classes);
    lm_mem_release(mem, role->texts, role->text_cap * sizeof *role->texts);
    lm_mem_release(mem, role->text_slots, role->slot_cap * sizeof *role->text_slots);
    lm_buf_fini(&role->wide);
}

void lm_parsed_free(lm_parsed *parsed)
{
    if (!parsed) return;
    lm_mem *mem = parsed->mem;
    for (size_t i = 0; i < parsed->role_count; i++)
        role_fini(mem, &parsed->roles[i]);
    lm_mem_release(mem, parsed->roles, parsed->role_cap * sizeof *parsed->roles);
    lm_mem_release(mem, parsed->shape_of_row, parsed->row_cap * sizeof *parsed->shape_of_row);
    lm_mem_release(mem, parsed->sample_lens, parsed->sample_len_cap * sizeof *parsed->sample_lens);
    lm_shapes_fini(&parsed->shapes);
    lm_mem_release(mem, parsed, sizeof *parsed);
}

/**
 * Scanning: the variables of one line, by rules.
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
#include "archive/archive_parse_priv.h"

enum {
    ESCAPE = 0x1b,
    AFFIX_MAX = 12,
    QUOTE_LEARN = 256, /* occurrences looked at to decide on one */
    QUOTE_EARLY = 32,  /* nearly all different among the first: decided then */
    QUOTE_SETTLED = 64 /* few different ones among the first: decided then */
};

/**
 * Quoted text with blanks in it: a user agent comes back as a whole, a request or a message does
 * not. Per kind (the bytes before it, or which quotation of the line it is) the first occurrences
 * are counted: if at least half are repeats, the text is one variable with a dictionary, else it is
 * taken apart like the rest of the line.
 */
typedef struct quote_kind {
    uint64_t key;
    uint32_t seen, distinct;
    uint32_t whole;                     /* of those seen: how often it was taken as one variable */
    uint32_t seen_before, whole_before; /* in segments before this one */
    bool is_decided, is_whole;
    uint32_t hashes[QUOTE_LEARN * 2]; /* set of what was seen; 0 empty */
} quote_kind;

/* ---- one token ---- */

/** All letters a-f, or all A-F? (digits are free) */
static bool is_hex_word(const uint8_t *p, size_t len)
{
    if (lm_hex_is_lower(p, len)) return true;
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
                                           .number = time.ticks};
    return true;
}

/** A date may begin up to 8 bytes before its first digit: `Jun  9 06:..`, `Thu Jun 09 06:..`. */
static bool try_month_time(parser *ps, size_t at, size_t digits, size_t from, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t next = at + digits; /* `Jun 09, 2026 6:..` has a comma behind the day */
    if (next < line_end && t[next] == ',') next++;
    if (digits > 2 || next + 1 >= line_end || t[next] != ' ' || !is_digit(t[next + 1]))
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

/** `Jun-09-26 06:..`: the day is at `at`. */
static bool try_month_dashes(parser *ps, size_t at, size_t digits, size_t from, size_t line_end)
{
    const uint8_t *t = ps->text;
    return digits == 2 && at >= from + 4 && t[at - 1] == '-' && at + 3 < line_end &&
           t[at + 2] == '-' && is_alpha(t[at - 4]) && push_time(ps, at - 4, line_end, at);
}

bool lm_scan_like_time(const uint8_t *t, size_t at, size_t digits, size_t line_end)
{
    if (at + digits + 2 >= line_end) return false;
    uint8_t next = t[at + digits], after = t[at + digits + 1];
    switch (digits) {
    case 2:
        if (next == ':' || next == '.') return is_digit(after);
        if (next == '/' || next == '-') return is_alnum(after);
        return next == ' ' && is_alpha(after);
    case 1:
        return (next == '/' || next == ' ' || next == ':') && is_alnum(after);
    case 4:
        if (next == ' ') /* 0609 06:.. and 2026 Jun 09 06:.. */
            return at + 8 < line_end && (t[at + 7] == ':' || (is_alpha(after) && t[at + 8] == ' '));
        return next == '-' || next == '/' || next == '.' ||
               (next == ':' && at + 7 < line_end && t[at + 7] == ':');
    case 6:
        return next == ' ' && (is_digit(after) || after == ' ');
    case 8:
        return next == '-' || next == 'T' || next == ' ' || next == '_' || next == '.';
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

/** Is the byte before `at` the end of a terminal's colour, ESC [ digits ; m? */
static bool is_behind_color(const uint8_t *t, size_t at, size_t line_begin)
{
    if (t[at - 1] != 'm') return false;
    for (at--; at > line_begin && (is_digit(t[at - 1]) || t[at - 1] == ';');)
        at--;
    return at >= line_begin + 2 && t[at - 1] == '[' && t[at - 2] == ESCAPE;
}

/**
 * The token around the digit run at `at`. from: end of the variable before (nothing before it may
 * be taken). Returns where to go on.
 */
size_t lm_scan_token(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t limit = line_end - ps->base;
    size_t digits = run_length(ps->bits[LM_CLASS_DIGIT], at - ps->base, limit);
    size_t begin = at;
    while (begin > from && is_alnum(t[begin - 1]))
        begin--;
    if (begin != at && is_behind_color(t, at, line_begin)) begin = at;
    size_t end = at + digits;
    if (begin == at && at >= line_begin + 2 && t[at - 1] == '[' && t[at - 2] == ESCAPE) {
        while (end < line_end && (is_digit(t[end]) || t[end] == ';'))
            end++; /* a colour is no number, and what it colours is not part of it */
        if (end < line_end && t[end] == 'm') return end + 1;
        end = at + digits;
    }
    if (end < line_end && is_alpha(t[end])) {
        end = at + run_length(ps->bits[LM_CLASS_WORD], at - ps->base, limit);
    }
    if (end - begin == 8 && begin + 36 <= line_end && t[end] == '-' && is_uuid_at(t + begin) &&
        (begin + 36 == line_end || !is_alnum(t[begin + 36]))) {
        return push_token(ps, begin, begin + 36, FORM_ANY);
    }
    if (begin == at) {
        if (try_month_dashes(ps, at, digits, from, line_end))
            return ps->vars[ps->var_count - 1].end;
        if (lm_scan_like_time(t, at, digits, line_end) && push_time(ps, at, line_end, at))
            return ps->vars[ps->var_count - 1].end;
        if (try_month_time(ps, at, digits, from, line_end)) return ps->vars[ps->var_count - 1].end;
        if (end == at + digits) return push_number(ps, at, end, from, line_begin, line_end);
        if (digits == 1 && t[at] == '0' && (t[at + 1] | 0x20) == 'x' && end - at > 2) {
            return push_token(ps, at + 2, end, FORM_ANY);
        }
    } else if (at - begin == 1 && (digits == 4 || digits == 6 || digits == 8) &&
               at + digits + 3 < line_end && t[at + digits] == ' ' && t[at + digits + 3] == ':' &&
               push_time(ps, at, line_end, at)) { /* klog: I0507 11:59:44.523502, I20260507 ... */
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

size_t lm_scan_closing(const parser *ps, size_t at, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t begin = at + 1, limit = line_end - begin < QUOTED_MAX ? line_end : begin + QUOTED_MAX;
    for (size_t from = begin; from < limit;) {
        const uint8_t *found = memchr(t + from, '"', limit - from);
        if (!found) return line_end;
        size_t end = (size_t)(found - t), slashes = 0;
        while (end - slashes > begin && t[end - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return ps->has_marks && memchr(t + begin, LM_MARK, end - begin) ? line_end : end;
        from = end + 1;
    }
    return line_end;
}

/** Where the kind is, or the free slot for it. */
static size_t quote_slot(const parser *ps, uint64_t key)
{
    size_t at = key & (QUOTE_SLOTS - 1);
    while (ps->quotes[at] && ps->quotes[at]->key != key)
        at = (at + 1) & (QUOTE_SLOTS - 1);
    return at;
}

static quote_kind *find_quote_kind(parser *ps, uint64_t key)
{
    size_t at = quote_slot(ps, key);
    if (ps->quotes[at]) return ps->quotes[at];
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

/** What stands before a quotation; ':' also if a blank is between. */
static uint8_t byte_before(const uint8_t *t, size_t at, size_t line_begin)
{
    if (at == line_begin) return ' ';
    return t[at - 1] == ' ' && at >= line_begin + 2 && t[at - 2] == ':' ? ':' : t[at - 1];
}

static bool is_member(uint8_t before)
{
    return before == ':' || before == '=';
}

/** A member's kind of quotation: the bytes before it. */
static uint64_t member_key(const uint8_t *t, size_t at, size_t line_begin)
{
    size_t context = at - line_begin < 12 ? at - line_begin : 12;
    return lm_hash64(t + at - context, context);
}

bool lm_scan_is_phrase(const parser *ps, size_t at, size_t line_begin, bool is_free_phrase)
{
    if (!is_member(byte_before(ps->text, at, line_begin))) return is_free_phrase;
    const quote_kind *kind = ps->quotes[quote_slot(ps, member_key(ps->text, at, line_begin))];
    return kind && kind->is_decided && kind->is_whole;
}

/** Is quoted text of this kind one variable? Learns from it while undecided. */
static bool quote_is_whole(parser *ps, uint64_t key, const uint8_t *text, size_t len,
                           uint8_t *out_form)
{
    quote_kind *kind = find_quote_kind(ps, key);
    if (!kind) return false;
    if (kind->is_decided) {
        *out_form = FORM_BLANKS;
        return kind->is_whole;
    }
    ps->is_undecided = true;
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
    kind->whole += kind->is_whole;
    return kind->is_whole;
}

static bool has_digit(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_digit(p[i])) return true;
    }
    return false;
}

bool lm_scan_is_value(const uint8_t *p, size_t len)
{
    return len <= TEXT_VALUE_MAX && !(is_number_like(p, len) && has_digit(p, len));
}

/** Where the path of a request that begins at `begin` ends: `GET /a/b/7?q=x HTTP/1.1`. 0: it is
 * none. */
static size_t request_path_end(const uint8_t *t, size_t begin, size_t end)
{
    size_t at = begin;
    while (at < end && at - begin < 8 && t[at] >= 'A' && t[at] <= 'Z')
        at++;
    if (at - begin < 3 || at + 1 >= end || t[at] != ' ' || t[at + 1] != '/') return 0;
    for (at++; at < end && t[at] != ' ' && t[at] != '?';)
        at++;
    return at;
}

/** The first digit from `at` on; end if there is none before. */
static inline size_t next_digit(const parser *ps, size_t at, size_t end)
{
    for (; at < end; at += 64) {
        uint64_t digits = window(ps->bits[LM_CLASS_DIGIT], at - ps->base);
        if (!digits) continue;
        at += (size_t)__builtin_ctzll(digits);
        break;
    }
    return at < end ? at : end;
}

static variable text_of(size_t begin, size_t end, bool is_path)
{
    return (variable){
        .begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TEXT, .is_path = is_path};
}

/** Words and numbers of one part of a path, all of them variables: `about-share-`, `32`, `.html`.
 * False: too many, or a number goes on beyond the part. */
static bool scan_part(parser *ps, size_t begin, size_t end, size_t line_begin, size_t line_end)
{
    size_t from = begin;
    for (size_t at = begin; (at = next_digit(ps, at, end)) < end;) {
        size_t count = ps->var_count;
        if (count + 3 > LM_SHAPE_VARS_MAX) return false;
        size_t go_on = lm_scan_token(ps, at, from, line_begin, line_end);
        variable token = ps->vars[count];
        if (token.kind != LM_KIND_TOKEN || token.end > end) return false;
        token.is_path = true;
        if (token.begin > from) ps->vars[count++] = text_of(from, token.begin, true);
        ps->vars[count++] = token;
        ps->var_count = count;
        from = token.end;
        at = go_on > from ? go_on : from;
    }
    if (from < end) ps->vars[ps->var_count++] = text_of(from, end, true);
    return true;
}

/** The bytes of v that are c have their highest bit set; the first of them for certain, none where
 * none is. */
static inline uint64_t bytes_equal(uint64_t v, uint8_t c)
{
    uint64_t one = 0x0101010101010101u, x = v ^ c * one;
    return (x - one) & ~x & 0x80 * one;
}

/** Where a part of a path ends: at '/', '?', '"', a blank or a control byte. */
static inline size_t part_end(const uint8_t *t, size_t at, size_t line_end)
{
    for (; at < line_end; at += 8) {
        uint64_t v = lm_text8(t + at), one = 0x0101010101010101u;
        uint64_t low = (v - 9 * one) & ~v & 0x80 * one; /* the first byte below 9 */
        uint64_t ends = low | bytes_equal(v, '/') | bytes_equal(v, ' ') | bytes_equal(v, '?') |
                        bytes_equal(v, '"');
        if (!ends) continue;
        at += (size_t)__builtin_ctzll(ends) >> 3;
        break;
    }
    return at < line_end ? at : line_end;
}

size_t lm_scan_slash(parser *ps, size_t at, size_t line_begin, size_t line_end, bool is_request)
{
    size_t begin = at + 1, end = part_end(ps->text, begin, line_end), count = ps->var_count;
    if (end == begin || end == line_end || end - begin > TEXT_VALUE_MAX) return begin;
    if (next_digit(ps, begin, end) == end) {
        ps->vars[ps->var_count++] = text_of(begin, end, is_request);
        return end;
    }
    if (is_request && scan_part(ps, begin, end, line_begin, line_end)) return end;
    ps->var_count = count;
    return begin;
}

/** `"` at `at`: a JSON string, key="...", or a quotation of its own. Returns where to go on. */
static size_t scan_quote(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    if (at == ps->quote_closes || at < from) return at + 1;
    uint8_t before = byte_before(t, at, line_begin);
    if (!is_member(before) && before != ' ' && before != '[' && before != '(' && before != ',')
        return at + 1;
    size_t begin = at + 1, end = lm_scan_closing(ps, at, line_end);
    if (end == line_end || end == begin) return at + 1;
    if (!is_member(before) && end + 1 < line_end && t[end + 1] == ':')
        return end + 1; /* a JSON key */
    size_t len = end - begin;
    bool is_whole;
    uint8_t form = FORM_ANY;
    if (!memchr(t + begin, ' ', len)) {
        is_whole = lm_scan_is_value(t + begin, len);
    } else {
        uint64_t key = is_member(before) ? member_key(t, at, line_begin)
                                         : lm_hash_u64(before + 256u * ++ps->quote_number);
        is_whole = quote_is_whole(ps, key, t + begin, len, &form);
    }
    if (!is_whole) {
        ps->quote_closes = end;
        ps->request_end = request_path_end(t, begin, end);
        return begin;
    }
    ps->vars[ps->var_count++] = (variable){
        .begin = (uint32_t)begin, .end = (uint32_t)end, .kind = LM_KIND_TEXT, .form = form};
    return end + 1; /* the closing quote opens nothing */
}

/** `=` at `at`: a value without digits is a text variable. Returns where to go on. */
size_t lm_scan_equals(parser *ps, size_t at, size_t line_begin, size_t line_end)
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
    ps->vars[ps->var_count++] = text_of(begin, end, false);
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
bool lm_scan_line(parser *ps, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t from = line_begin;
    ps->var_count = 0;
    ps->quote_number = 0;
    ps->quote_closes = line_end;
    ps->request_end = 0;
    ps->is_undecided = false;
    for (size_t at = next_event(ps, line_begin, line_end); at < line_end;) {
        uint8_t c = t[at];
        size_t before = ps->var_count, go_on;
        if (is_digit(c)) {
            go_on = lm_scan_token(ps, at, from, line_begin, line_end);
        } else if (c == '"') {
            go_on = scan_quote(ps, at, from, line_begin, line_end);
        } else if (c == '/') {
            go_on = lm_scan_slash(ps, at, line_begin, line_end, at < ps->request_end);
        } else if (c == '=') {
            go_on = lm_scan_equals(ps, at, line_begin, line_end);
        } else {
            if (c == LM_MARK) return false;
            go_on = at + 1;
        }
        if (ps->var_count != before) {
            if (ps->var_count >= LM_SHAPE_VARS_MAX) return false;
            from = ps->vars[ps->var_count - 1].end;
        }
        if (go_on >= line_end) break;
        at = next_event(ps, go_on, line_end);
    }
    return true;
}

/** LM_MARK inside a variable or right behind the last event would break the skeleton:
 * lm_scan_line sees all of them but those inside skipped variables, which are checked by class
 * (TOKEN, TIME have none; TEXT stops at control bytes). */
size_t lm_scan_skeleton(parser *ps, size_t line_begin, size_t line_end)
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

size_t lm_scan_misjudged(const parser *ps)
{
    size_t n = 0;
    for (size_t i = 0; i < QUOTE_SLOTS; i++) {
        const quote_kind *kind = ps->quotes[i];
        if (!kind) continue;
        uint32_t seen = kind->seen - kind->seen_before, whole = kind->whole - kind->whole_before;
        n += kind->is_whole ? seen - whole : whole;
    }
    return n;
}

void lm_scan_quotes_move(struct quote_kind **from, struct quote_kind **to)
{
    memcpy(to, from, QUOTE_SLOTS * sizeof(struct quote_kind *));
    memset(from, 0, QUOTE_SLOTS * sizeof(struct quote_kind *));
    for (size_t i = 0; i < QUOTE_SLOTS; i++) {
        if (!to[i]) continue;
        to[i]->seen_before = to[i]->seen;
        to[i]->whole_before = to[i]->whole;
    }
}

void lm_scan_quotes_free(lm_mem *mem, struct quote_kind **quotes)
{
    for (size_t i = 0; i < QUOTE_SLOTS; i++)
        lm_mem_release(mem, quotes[i], sizeof(quote_kind));
}

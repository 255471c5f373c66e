/** JSON that breaks off, or is not quite JSON: read key by key up to where it breaks, so that what
 * stands before is not lost. A value is cut out by its brackets and quotes alone; what is inside is
 * looked at when somebody wants it. Reasons are in the words of Loki's parser. */
#include "logql/logql_priv.h"

#define NO_JSON   LM_STR("Malformed JSON error")
#define NO_STRING LM_STR("Value is string, but can't find closing '\"' symbol")
#define NO_ARRAY  LM_STR("Value is array, but can't find closing ']' symbol")
#define NO_OBJECT LM_STR("Value looks like object, but can't find closing '}' symbol")
#define NO_ESCAPE LM_STR("Encountered an invalid escape sequence in a string")
#define NO_TYPE   LM_STR("Unknown value type")

static size_t skip_blank(lm_str s, size_t at)
{
    while (at < s.len &&
           (s.ptr[at] == ' ' || s.ptr[at] == '\n' || s.ptr[at] == '\r' || s.ptr[at] == '\t'))
        at++;
    return at;
}

/** Behind the closing quote of a string whose text begins at `at`; 0: there is none. */
static size_t string_end(lm_str s, size_t at)
{
    for (; at < s.len; at++) {
        if (s.ptr[at] == '"') return at + 1;
        if (s.ptr[at] == '\\') at++;
    }
    return 0;
}

/** Behind the bracket that closes the one at `at`; 0: there is none. */
static size_t block_end(lm_str s, size_t at, uint8_t open, uint8_t close)
{
    size_t level = 0;
    while (at < s.len) {
        uint8_t c = s.ptr[at++];
        if (c == '"') {
            at = string_end(s, at);
            if (!at) return 0;
        } else if (c == open) {
            level++;
        } else if (c == close && --level == 0) {
            return at;
        }
    }
    return 0;
}

static bool is_word(lm_str s, const char *word)
{
    return lm_str_equal(s, lm_str_of(word));
}

/** The value at *io_at, which moves behind it. Empty: it is one; else why not. */
static lm_str take_value(lm_str s, size_t *io_at, lm_lq_torn_value *out)
{
    size_t at = skip_blank(s, *io_at), end = 0;
    if (at == s.len) return NO_JSON;
    uint8_t c = s.ptr[at];
    if (c == '"') {
        end = string_end(s, at + 1);
        if (!end) return NO_STRING;
        *out = (lm_lq_torn_value){LM_LQ_TORN_STRING, {s.ptr + at + 1, end - at - 2}};
    } else if (c == '[' || c == '{') {
        end = block_end(s, at, c, c == '[' ? ']' : '}');
        if (!end) return c == '[' ? NO_ARRAY : NO_OBJECT;
        *out = (lm_lq_torn_value){c == '[' ? LM_LQ_TORN_ARRAY : LM_LQ_TORN_OBJECT,
                                  {s.ptr + at, end - at}};
    } else {
        for (end = at; end < s.len && !memchr(" \n\r\t,}]", s.ptr[end], 7);)
            end++;
        lm_str text = {s.ptr + at, end - at};
        if (is_word(text, "true") || is_word(text, "false"))
            *out = (lm_lq_torn_value){LM_LQ_TORN_WORD, text};
        else if (is_word(text, "null"))
            *out = (lm_lq_torn_value){LM_LQ_TORN_NULL, text};
        else if (c == '-' || (c >= '0' && c <= '9'))
            *out = (lm_lq_torn_value){LM_LQ_TORN_WORD, text};
        else
            return NO_TYPE;
    }
    *io_at = end;
    return LM_STR("");
}

/* ---- escapes ---- */

static bool take_hex(lm_str s, size_t at, uint32_t *out)
{
    *out = 0;
    if (s.len - at < 6 || s.ptr[at] != '\\' || s.ptr[at + 1] != 'u') return false;
    for (size_t i = at + 2; i < at + 6; i++) {
        uint8_t c = s.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return false;
        *out = *out * 16 + (uint32_t)digit;
    }
    return true;
}

/** The character of an escape at `at`; bytes that it takes, 0: it is wrong. */
static size_t take_escape(lm_str s, size_t at, uint32_t *out)
{
    static const char names[] = "\"\\/bfnrt", signs[] = "\"\\/\b\f\n\r\t";
    uint32_t low;
    if (s.len - at < 2) return 0;
    const char *name = s.ptr[at + 1] ? strchr(names, s.ptr[at + 1]) : NULL;
    if (name) {
        *out = (uint8_t)signs[name - names];
        return 2;
    }
    if (!take_hex(s, at, out)) return 0;
    if (*out < 0xD800 || *out > 0xDFFF) return 6;
    if (s.len - at < 12 || !take_hex(s, at + 6, &low) || low < 0xDC00) return 0;
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    if (*out > 0x10FFFF) *out = 0xFFFD;
    return 12;
}

lm_err lm_lq_torn_unescape(lm_str text, lm_arena *scratch, lm_str *out, bool *out_right)
{
    *out = text;
    *out_right = true;
    if (!text.len || !memchr(text.ptr, '\\', text.len)) return LM_OK;
    uint8_t *plain = lm_arena_alloc(scratch, text.len, 1);
    size_t len = 0;
    if (!plain) return lm_mem_err();
    for (size_t at = 0; at < text.len;) {
        uint32_t c = 0;
        if (text.ptr[at] != '\\') {
            plain[len++] = text.ptr[at++];
            continue;
        }
        size_t taken = take_escape(text, at, &c);
        if (!taken) {
            *out = LM_STR("");
            *out_right = false;
            return LM_OK;
        }
        at += taken;
        len += lm_lq_utf8_put(c, plain + len); /* never longer than its escape */
    }
    *out = (lm_str){plain, len};
    return LM_OK;
}

/* ---- objects ---- */

/** The key at *io_at, in front of its colon, behind which *io_at moves. */
static lm_err take_key(lm_str s, size_t *io_at, lm_arena *scratch, lm_str *out, lm_str *out_why)
{
    size_t begin = *io_at + 1;
    bool is_right;
    if (s.ptr[*io_at] != '"') {
        *out_why = NO_OBJECT;
        return LM_OK;
    }
    size_t end = string_end(s, begin);
    if (!end) {
        *out_why = NO_JSON;
        return LM_OK;
    }
    lm_err err =
        lm_lq_torn_unescape((lm_str){s.ptr + begin, end - 1 - begin}, scratch, out, &is_right);
    size_t at = skip_blank(s, end);
    *io_at = at + 1;
    *out_why = !is_right ? NO_ESCAPE : at == s.len || s.ptr[at] != ':' ? NO_JSON : LM_STR("");
    return err;
}

lm_err lm_lq_torn_each(lm_str s, lm_arena *scratch, lm_lq_torn_fn told, void *ctx, lm_str *out_why)
{
    size_t at = skip_blank(s, 0);
    lm_err err = LM_OK;
    bool goes_on = true;
    *out_why = NO_OBJECT;
    if (at == s.len || s.ptr[at] != '{') return LM_OK;
    at = skip_blank(s, at + 1);
    if (at == s.len) *out_why = NO_JSON;
    while (!err && at < s.len) {
        lm_str key;
        lm_lq_torn_value value;
        if (s.ptr[at] == '}') {
            *out_why = LM_STR("");
            break;
        }
        err = take_key(s, &at, scratch, &key, out_why);
        if (err || out_why->len) break;
        *out_why = take_value(s, &at, &value);
        if (out_why->len) break;
        err = told(ctx, key, value, &goes_on, out_why);
        if (err || !goes_on || out_why->len) break;
        at = skip_blank(s, at);
        *out_why = at == s.len ? NO_ARRAY : NO_OBJECT;
        if (at == s.len || (s.ptr[at] != '}' && s.ptr[at] != ',')) break;
        if (s.ptr[at] == ',') at = skip_blank(s, at + 1);
        *out_why = NO_ARRAY; /* where nothing follows the comma */
    }
    return err;
}

/* ---- values by path ---- */

/** Which paths still lead on from here, as bits: those that went the way to this level. */
typedef struct search {
    const lm_lq_stage *stage;
    lm_arena *scratch;
    lm_lq_torn_found *found; /* one for each path */
    uint32_t left;           /* paths without a value */
} search;

static lm_err search_value(search *work, lm_str s, size_t at, uint32_t level, const bool *here);

static bool leads_on(const search *work, uint32_t path, uint32_t level, bool by_index)
{
    const lm_lq_extract *extract = &work->stage->extracts[path];
    return level < extract->path_len && extract->path[level].is_capture == by_index &&
           !work->found[path].is_there;
}

static void settle(search *work, uint32_t path, lm_str s, size_t at)
{
    lm_lq_torn_found *found = &work->found[path];
    found->is_there = true;
    found->why = take_value(s, &at, &found->value);
    found->rank = work->stage->extract_count - work->left-- + 1;
}

/** One member or item: paths that end here have their value; others are followed into it. */
static lm_err search_member(search *work, lm_str s, size_t at, uint32_t level, const bool *next)
{
    bool goes_deeper = false;
    for (uint32_t i = 0; i < work->stage->extract_count; i++) {
        if (!next[i]) continue;
        if (work->stage->extracts[i].path_len == level + 1) {
            settle(work, i, s, at);
        } else {
            goes_deeper = true;
        }
    }
    return goes_deeper && work->left ? search_value(work, s, at, level + 1, next) : LM_OK;
}

static bool *flags_new(search *work)
{
    return lm_arena_alloc(work->scratch, work->stage->extract_count, 1);
}

static lm_err search_object(search *work, lm_str s, size_t at, uint32_t level, const bool *here)
{
    bool *next = flags_new(work);
    if (!next) return lm_mem_err();
    at = skip_blank(s, at + 1);
    while (at < s.len && s.ptr[at] == '"' && work->left) {
        lm_str key, why;
        lm_lq_torn_value value;
        lm_err err = take_key(s, &at, work->scratch, &key, &why);
        if (err || why.len) return err;
        at = skip_blank(s, at);
        for (uint32_t i = 0; i < work->stage->extract_count; i++) {
            next[i] = here[i] && leads_on(work, i, level, false) &&
                      lm_str_equal(work->stage->extracts[i].path[level].text, key);
        }
        err = search_member(work, s, at, level, next);
        if (err || take_value(s, &at, &value).len) return err;
        at = skip_blank(s, at);
        if (at < s.len && s.ptr[at] == ',') at = skip_blank(s, at + 1);
    }
    return LM_OK;
}

static lm_err search_array(search *work, lm_str s, size_t at, uint32_t level, const bool *here)
{
    bool *next = flags_new(work);
    if (!next) return lm_mem_err();
    at = skip_blank(s, at + 1);
    for (int64_t index = 0; at < s.len && s.ptr[at] != ']' && work->left; index++) {
        lm_lq_torn_value value;
        size_t begin = at;
        int64_t wanted = 0;
        if (take_value(s, &at, &value).len) return LM_OK;
        for (uint32_t i = 0; i < work->stage->extract_count; i++) {
            next[i] = here[i] && leads_on(work, i, level, true) &&
                      lm_lq_int(work->stage->extracts[i].path[level].text, &wanted) &&
                      wanted == index;
        }
        lm_err err = search_member(work, s, begin, level, next);
        if (err) return err;
        at = skip_blank(s, at);
        if (at < s.len && s.ptr[at] == ',') at = skip_blank(s, at + 1);
    }
    return LM_OK;
}

static lm_err search_value(search *work, lm_str s, size_t at, uint32_t level, const bool *here)
{
    at = skip_blank(s, at);
    if (at == s.len || level >= LM_JSON_DEPTH_MAX) return LM_OK;
    if (s.ptr[at] == '{') return search_object(work, s, at, level, here);
    if (s.ptr[at] == '[') return search_array(work, s, at, level, here);
    return LM_OK;
}

lm_err lm_lq_torn_search(lm_str s, const lm_lq_stage *stage, lm_arena *scratch,
                         lm_lq_torn_found *found)
{
    search work = {stage, scratch, found, stage->extract_count};
    bool *here = flags_new(&work);
    if (!here) return lm_mem_err();
    memset(here, 1, stage->extract_count);
    memset(found, 0, stage->extract_count * sizeof *found);
    return search_value(&work, s, 0, 0, here);
}

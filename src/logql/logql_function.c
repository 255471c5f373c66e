/** The functions of templates: Loki's own, the ones it takes from sprig, and Go's. */
#include "logql/logql_template_priv.h"

#include <ctype.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

#define TEXT_BYTES_MAX (16u * 1024u * 1024u)

#define FN(name)                                                                                   \
    static lm_err fn_##name(lm_lq_exec *x, const lm_lq_value *a, uint32_t n, lm_lq_value *out)
#define UNUSED_COUNT (void)n

/* ---- arguments and results ---- */

/** The template fails for the type of an argument. */
static lm_err wrong_type(lm_lq_exec *x, const char *wanted, const lm_lq_value *v)
{
    if (!x->failed) x->is_of_type = true;
    if (v->kind == LM_LQ_V_NIL) return lm_lq_exec_fail(x, "invalid value; expected %s", wanted);
    return lm_lq_exec_fail(x, "wrong type for value; expected %s; got %s", wanted,
                           lm_lq_value_type(v));
}

/** A text argument; false: the template has failed. */
static bool text_arg(lm_lq_exec *x, const lm_lq_value *v, lm_str *out)
{
    if (v->kind == LM_LQ_V_TEXT) {
        *out = v->text;
        return true;
    }
    (void)wrong_type(x, "string", v);
    return false;
}

static bool int_arg(lm_lq_exec *x, const lm_lq_value *v, int64_t *out)
{
    if (v->kind == LM_LQ_V_INT) {
        *out = v->number;
        return true;
    }
    (void)wrong_type(x, "int", v);
    return false;
}

/** As sprig casts: what is no number is 0. */
static double to_real(const lm_lq_value *v)
{
    double value = 0;
    if (v->kind == LM_LQ_V_FLOAT) return v->real;
    if (v->kind == LM_LQ_V_INT || v->kind == LM_LQ_V_BOOL) return (double)v->number;
    if (v->kind == LM_LQ_V_TEXT && lm_lq_float(v->text, &value)) return value;
    return 0;
}

static int64_t to_int(const lm_lq_value *v)
{
    int64_t value = 0;
    if (v->kind == LM_LQ_V_INT || v->kind == LM_LQ_V_BOOL || v->kind == LM_LQ_V_TIME)
        return v->number;
    if (v->kind == LM_LQ_V_TEXT && lm_lq_int(v->text, &value)) return value;
    double real = to_real(v);
    return real >= -9.2e18 && real <= 9.2e18 ? (int64_t)real : 0;
}

static lm_err give_text(lm_str text, lm_lq_value *out)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_TEXT, .text = text};
    return LM_OK;
}

static lm_err give_int(int64_t number, lm_lq_value *out)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_INT, .number = number};
    return LM_OK;
}

static lm_err give_real(double real, lm_lq_value *out)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_FLOAT, .real = real};
    return LM_OK;
}

static lm_err give_bool(bool truth, lm_lq_value *out)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_BOOL, .number = truth};
    return LM_OK;
}

/** What was written to buf, kept for the record; buf is emptied. */
static lm_err give_buf(lm_lq_exec *x, lm_buf *buf, lm_err err, lm_lq_value *out)
{
    if (!err) {
        const uint8_t *copy = lm_arena_copy(x->arena, buf->ptr, buf->len);
        err = copy ? give_text((lm_str){copy, buf->len}, out) : lm_mem_err();
    }
    lm_buf_fini(buf);
    return err;
}

static size_t rune_count(lm_str s)
{
    size_t count = 0;
    for (size_t at = 0; at < s.len; count++) {
        uint32_t c;
        at += lm_lq_utf8(s.ptr + at, s.len - at, &c);
    }
    return count;
}

/** Position of character number index; the end if there are fewer. */
static size_t rune_at(lm_str s, size_t index)
{
    size_t at = 0;
    while (index-- && at < s.len) {
        uint32_t c;
        at += lm_lq_utf8(s.ptr + at, s.len - at, &c);
    }
    return at;
}

static lm_str part(lm_str s, size_t from, size_t to)
{
    return (lm_str){s.ptr + from, to > from ? to - from : 0};
}

/* ---- case, trimming, parts ---- */

static locale_t letters;

static void letters_make(void)
{
    letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/** Letters of the whole of Unicode, whatever the locale of the process is; NULL: ASCII alone. */
static locale_t letters_of_unicode(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, letters_make);
    return letters;
}

/** Go's strings.Title: what parts words? */
static bool parts_words(uint32_t c, locale_t unicode)
{
    if (c < 0x80) return !isalnum((int)c) && c != '_';
    return !(unicode && iswalnum_l((wint_t)c, unicode)) &&
           (c == 0x85 || c == 0xA0 || (unicode && iswspace_l((wint_t)c, unicode)));
}

/** -1: small, 1: large, 0: each word begins large. */
static lm_err change_case(lm_lq_exec *x, const lm_lq_value *a, int how, lm_lq_value *out)
{
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    locale_t unicode = letters_of_unicode();
    uint8_t *text = lm_arena_alloc(x->arena, 3 * s.len + 4, 1); /* no letter grows more */
    if (!text) return lm_mem_err();
    bool begins = true;
    size_t len = 0;
    for (size_t i = 0; i < s.len;) {
        uint32_t c, plain;
        i += lm_lq_utf8(s.ptr + i, s.len - i, &c);
        plain = c;
        bool is_upper = how > 0 || (how == 0 && begins);
        if (c < 0x80 && how < 0)
            c = (uint32_t)tolower((int)c);
        else if (c < 0x80 && is_upper)
            c = (uint32_t)toupper((int)c);
        else if (unicode && how < 0)
            c = (uint32_t)towlower_l((wint_t)c, unicode);
        else if (unicode && is_upper)
            c = (uint32_t)towupper_l((wint_t)c, unicode);
        begins = parts_words(plain, unicode);
        len += lm_lq_utf8_put(c, text + len);
    }
    return give_text((lm_str){text, len}, out);
}

FN(lower)
{
    UNUSED_COUNT;
    return change_case(x, a, -1, out);
}

FN(upper)
{
    UNUSED_COUNT;
    return change_case(x, a, 1, out);
}

FN(title)
{
    UNUSED_COUNT;
    return change_case(x, a, 0, out);
}

static bool in_set(lm_str set, const uint8_t *s, size_t len)
{
    for (size_t at = 0; at < set.len;) {
        uint32_t c;
        size_t bytes = lm_lq_utf8(set.ptr + at, set.len - at, &c);
        if (bytes == len && memcmp(set.ptr + at, s, len) == 0) return true;
        at += bytes;
    }
    return false;
}

static lm_str trim(lm_str s, lm_str set, bool left, bool right)
{
    uint32_t c;
    while (left && s.len) {
        size_t bytes = lm_lq_utf8(s.ptr, s.len, &c);
        if (!in_set(set, s.ptr, bytes)) break;
        s.ptr += bytes;
        s.len -= bytes;
    }
    while (right && s.len) {
        size_t begin = s.len - 1;
        while (begin && (s.ptr[begin] & 0xC0) == 0x80 && s.len - begin < 4)
            begin--;
        if (lm_lq_utf8(s.ptr + begin, s.len - begin, &c) != s.len - begin) begin = s.len - 1;
        if (!in_set(set, s.ptr + begin, s.len - begin)) break;
        s.len = begin;
    }
    return s;
}

#define BLANKS LM_STR(" \t\n\v\f\r\xC2\x85\xC2\xA0")

/** Two texts, whatever their order in the function's own signature. */
static bool two_texts(lm_lq_exec *x, const lm_lq_value *a, lm_str *first, lm_str *second)
{
    return text_arg(x, &a[0], first) && text_arg(x, &a[1], second);
}

FN(trim_space)
{
    UNUSED_COUNT;
    lm_str s;
    return text_arg(x, a, &s) ? give_text(trim(s, BLANKS, true, true), out) : LM_OK;
}

FN(trim_both) /* Trim s set */
{
    UNUSED_COUNT;
    lm_str s, set;
    return two_texts(x, a, &s, &set) ? give_text(trim(s, set, true, true), out) : LM_OK;
}

FN(trim_all) /* trimAll set s */
{
    UNUSED_COUNT;
    lm_str s, set;
    return two_texts(x, a, &set, &s) ? give_text(trim(s, set, true, true), out) : LM_OK;
}

FN(trim_left)
{
    UNUSED_COUNT;
    lm_str s, set;
    return two_texts(x, a, &s, &set) ? give_text(trim(s, set, true, false), out) : LM_OK;
}

FN(trim_right)
{
    UNUSED_COUNT;
    lm_str s, set;
    return two_texts(x, a, &s, &set) ? give_text(trim(s, set, false, true), out) : LM_OK;
}

static lm_str without_prefix(lm_str s, lm_str prefix)
{
    return lm_str_starts(s, prefix) ? part(s, prefix.len, s.len) : s;
}

static lm_str without_suffix(lm_str s, lm_str suffix)
{
    return lm_str_ends(s, suffix) ? part(s, 0, s.len - suffix.len) : s;
}

FN(go_trim_prefix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &s, &p) ? give_text(without_prefix(s, p), out) : LM_OK;
}

FN(go_trim_suffix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &s, &p) ? give_text(without_suffix(s, p), out) : LM_OK;
}

FN(trim_prefix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &p, &s) ? give_text(without_prefix(s, p), out) : LM_OK;
}

FN(trim_suffix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &p, &s) ? give_text(without_suffix(s, p), out) : LM_OK;
}

FN(trunc) /* by bytes, as sprig's */
{
    UNUSED_COUNT;
    int64_t c;
    lm_str s;
    if (!int_arg(x, &a[0], &c) || !text_arg(x, &a[1], &s)) return LM_OK;
    if (c < 0 && c > -(int64_t)s.len) return give_text(part(s, s.len - (size_t)-c, s.len), out);
    if (c >= 0 && (uint64_t)c < s.len) return give_text(part(s, 0, (size_t)c), out);
    return give_text(s, out);
}

FN(substr)
{
    UNUSED_COUNT;
    int64_t from, to;
    lm_str s;
    if (!int_arg(x, &a[0], &from) || !int_arg(x, &a[1], &to) || !text_arg(x, &a[2], &s))
        return LM_OK;
    int64_t len = (int64_t)s.len, begin = from < 0 ? 0 : from;
    int64_t end = from >= 0 && (to < 0 || to > len) ? len : to;
    if (end < 0 || end > len)
        return lm_lq_exec_fail(x,
                               "runtime error: slice bounds out of range [:%lld] with length %lld",
                               (long long)end, (long long)len);
    if (begin > end)
        return lm_lq_exec_fail(x, "runtime error: slice bounds out of range [%lld:%lld]",
                               (long long)begin, (long long)end);
    return give_text(part(s, (size_t)begin, (size_t)end), out);
}

static lm_err align(lm_lq_exec *x, const lm_lq_value *a, bool left, lm_lq_value *out)
{
    int64_t width;
    lm_str s;
    if (!int_arg(x, &a[0], &width) || !text_arg(x, &a[1], &s)) return LM_OK;
    size_t count = rune_count(s);
    if (width < 0 || (uint64_t)width == count) return give_text(s, out);
    if ((uint64_t)width > TEXT_BYTES_MAX) return lm_lq_exec_fail(x, "the text gets too long");
    size_t wanted = (size_t)width;
    if (wanted < count) {
        return give_text(left ? part(s, 0, rune_at(s, wanted))
                              : part(s, rune_at(s, count - wanted), s.len),
                         out);
    }
    size_t pad = wanted - count;
    uint8_t *text = lm_arena_alloc(x->arena, s.len + pad, 1);
    if (!text) return lm_mem_err();
    memset(left ? text + s.len : text, ' ', pad);
    if (s.len) memcpy(left ? text : text + pad, s.ptr, s.len);
    return give_text((lm_str){text, s.len + pad}, out);
}

FN(align_left)
{
    UNUSED_COUNT;
    return align(x, a, true, out);
}

FN(align_right)
{
    UNUSED_COUNT;
    return align(x, a, false, out);
}

/* ---- replacing, repeating ---- */

static lm_err replace(lm_lq_exec *x, lm_str s, lm_str from, lm_str to, int64_t most,
                      lm_lq_value *out)
{
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = LM_OK;
    size_t at = 0;
    for (int64_t done = 0; !err && (most < 0 || done < most); done++) {
        size_t found = from.len ? lm_str_find(part(s, at, s.len), from) : done ? 1 : 0;
        if (!from.len && done && at < s.len) { /* an empty text stands between all characters */
            uint32_t c;
            found = lm_lq_utf8(s.ptr + at, s.len - at, &c);
        }
        if (found == SIZE_MAX || at + found > s.len) break;
        err = lm_buf_append(&buf, s.ptr + at, found);
        if (!err) err = lm_buf_append(&buf, to.ptr, to.len);
        if (!err && buf.len > TEXT_BYTES_MAX)
            err = lm_fail(LM_E_LIMIT, "a template makes a text of more than %u bytes",
                          TEXT_BYTES_MAX);
        at += found + from.len;
    }
    if (!err) err = lm_buf_append(&buf, s.ptr + at, s.len - at);
    return give_buf(x, &buf, err, out);
}

FN(go_replace) /* Replace s old new n */
{
    UNUSED_COUNT;
    lm_str s, from, to;
    int64_t most;
    if (!two_texts(x, a, &s, &from) || !text_arg(x, &a[2], &to) || !int_arg(x, &a[3], &most))
        return LM_OK;
    return replace(x, s, from, to, most, out);
}

FN(replace) /* replace old new s */
{
    UNUSED_COUNT;
    lm_str s, from, to;
    if (!two_texts(x, a, &from, &to) || !text_arg(x, &a[2], &s)) return LM_OK;
    return replace(x, s, from, to, -1, out);
}

FN(repeat)
{
    UNUSED_COUNT;
    int64_t count;
    lm_str s;
    if (!int_arg(x, &a[0], &count) || !text_arg(x, &a[1], &s)) return LM_OK;
    if (count < 0) return lm_lq_exec_fail(x, "strings: negative Repeat count");
    if (s.len && (uint64_t)count > TEXT_BYTES_MAX / s.len)
        return lm_lq_exec_fail(x, "the text gets too long");
    uint8_t *text = lm_arena_alloc(x->arena, s.len * (size_t)count + 1, 1);
    if (!text) return lm_mem_err();
    for (size_t i = 0; s.len && i < (size_t)count; i++)
        memcpy(text + i * s.len, s.ptr, s.len);
    return give_text((lm_str){text, s.len * (size_t)count}, out);
}

static lm_err indent(lm_lq_exec *x, const lm_lq_value *a, bool newline, lm_lq_value *out)
{
    int64_t count;
    lm_str s;
    if (!int_arg(x, &a[0], &count) || !text_arg(x, &a[1], &s)) return LM_OK;
    if (count < 0 || count > 1000)
        return lm_lq_exec_fail(x, "an indent of %lld is not possible", (long long)count);
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = newline ? lm_buf_u8(&buf, '\n') : LM_OK;
    bool begins = true;
    for (size_t i = 0; i <= s.len && !err; i++) {
        for (int64_t k = 0; begins && k < count && !err; k++)
            err = lm_buf_u8(&buf, ' ');
        begins = i < s.len && s.ptr[i] == '\n';
        if (i < s.len && !err) err = lm_buf_u8(&buf, s.ptr[i]);
        if (!err && buf.len > TEXT_BYTES_MAX)
            err = lm_fail(LM_E_LIMIT, "a template makes a text of more than %u bytes",
                          TEXT_BYTES_MAX);
    }
    return give_buf(x, &buf, err, out);
}

FN(indent)
{
    UNUSED_COUNT;
    return indent(x, a, false, out);
}

FN(nindent)
{
    UNUSED_COUNT;
    return indent(x, a, true, out);
}

/* ---- asking texts ---- */

FN(contains)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &p, &s) ? give_bool(lm_str_find(s, p) != SIZE_MAX, out) : LM_OK;
}

FN(has_prefix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &p, &s) ? give_bool(lm_str_starts(s, p), out) : LM_OK;
}

FN(has_suffix)
{
    UNUSED_COUNT;
    lm_str s, p;
    return two_texts(x, a, &p, &s) ? give_bool(lm_str_ends(s, p), out) : LM_OK;
}

FN(default)
{
    (void)x;
    *out = n == 2 && lm_lq_value_truth(&a[1]) ? a[1] : a[0];
    return LM_OK;
}

FN(len)
{
    UNUSED_COUNT;
    if (a->kind == LM_LQ_V_TEXT) return give_int((int64_t)a->text.len, out);
    if (a->kind == LM_LQ_V_LIST || a->kind == LM_LQ_V_MAP) return give_int((int64_t)a->count, out);
    return lm_lq_exec_fail(x, "len of type %s", lm_lq_value_type(a));
}

FN(index)
{
    lm_lq_value at = a[0];
    for (uint32_t i = 1; i < n; i++) {
        lm_lq_value next = {.kind = LM_LQ_V_NIL};
        if (at.kind == LM_LQ_V_LIST && a[i].kind == LM_LQ_V_INT) {
            if (a[i].number < 0 || (uint64_t)a[i].number >= at.count)
                return lm_lq_exec_fail(x, "index out of range: %lld", (long long)a[i].number);
            next = at.items[a[i].number];
        } else if (at.kind == LM_LQ_V_MAP && a[i].kind == LM_LQ_V_TEXT) {
            for (size_t k = 0; k < at.count; k++) {
                if (lm_str_equal(at.items[2 * k].text, a[i].text)) next = at.items[2 * k + 1];
            }
        } else if (at.kind == LM_LQ_V_LABELS && a[i].kind == LM_LQ_V_TEXT) {
            next.kind = LM_LQ_V_TEXT;
            if (x->run->view) {
                next.text = lm_labels_get(*x->run->view, a[i].text);
            } else {
                (void)lm_lq_builder_get(&x->run->labels, a[i].text, &next.text);
            }
        } else if (at.kind == LM_LQ_V_TEXT && a[i].kind == LM_LQ_V_INT) {
            if (a[i].number < 0 || (uint64_t)a[i].number >= at.text.len)
                return lm_lq_exec_fail(x, "reflect: string index out of range");
            next = (lm_lq_value){.kind = LM_LQ_V_INT, .number = at.text.ptr[a[i].number]};
        } else if (at.kind == LM_LQ_V_NIL) {
            return lm_lq_exec_fail(x, "index of untyped nil");
        } else {
            return lm_lq_exec_fail(x, "can't index item of type %s", lm_lq_value_type(&at));
        }
        at = next;
    }
    *out = at;
    return LM_OK;
}

/* ---- regular expressions ---- */

static lm_err regex_arg(lm_lq_exec *x, const lm_lq_value *a, lm_regex **out)
{
    lm_str pattern;
    *out = NULL;
    if (!text_arg(x, a, &pattern)) return LM_OK;
    lm_err err = lm_lq_run_regex(x->run, pattern, out);
    if (err != LM_E_USAGE) return err;
    return lm_lq_exec_fail(x, "%.250s", lm_err_text());
}

static lm_err regex_replace(lm_lq_exec *x, const lm_lq_value *a, bool literal, lm_lq_value *out)
{
    lm_regex *regex;
    lm_str s, by;
    lm_err err = regex_arg(x, &a[0], &regex);
    if (err || !regex || !two_texts(x, &a[1], &s, &by)) return err;
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    err = lm_lq_regex_replace(regex, s, by, literal, &x->run->match, &buf);
    return give_buf(x, &buf, err, out);
}

FN(regex_replace_all)
{
    UNUSED_COUNT;
    return regex_replace(x, a, false, out);
}

FN(regex_replace_all_literal)
{
    UNUSED_COUNT;
    return regex_replace(x, a, true, out);
}

FN(count)
{
    UNUSED_COUNT;
    lm_regex *regex;
    lm_str s;
    lm_err err = regex_arg(x, &a[0], &regex);
    if (err || !regex || !text_arg(x, &a[1], &s)) return err;
    int64_t count = 0;
    size_t last_end = SIZE_MAX;
    for (size_t at = 0; at <= s.len;) {
        bool found = false;
        const size_t *groups = NULL;
        err = lm_regex_find(regex, s, at, &x->run->match, &found, &groups);
        if (err) return err;
        if (!found) break;
        bool is_empty = groups[0] == groups[1];
        if (!is_empty || groups[0] != last_end) count++;
        last_end = groups[1];
        at = groups[1] + is_empty;
    }
    return give_int(count, out);
}

/* ---- codes ---- */

/** What a page or a script may not hold as it is; NULL: it may. */
typedef const char *(*escape_of)(uint8_t c);

static const char *escape_of_html(uint8_t c)
{
    return c == '<'    ? "&lt;"
           : c == '>'  ? "&gt;"
           : c == '&'  ? "&amp;"
           : c == '"'  ? "&#34;"
           : c == '\'' ? "&#39;"
           : c == 0    ? "\xEF\xBF\xBD"
                       : NULL;
}

static const char *escape_of_js(uint8_t c)
{
    return c == '<'    ? "\\u003C"
           : c == '>'  ? "\\u003E"
           : c == '&'  ? "\\u0026"
           : c == '='  ? "\\u003D"
           : c == '"'  ? "\\\""
           : c == '\'' ? "\\'"
           : c == '\\' ? "\\\\"
                       : NULL;
}

static lm_err escape(lm_lq_exec *x, const lm_lq_value *a, escape_of of, bool escapes_controls,
                     lm_lq_value *out)
{
    lm_buf buf;
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < s.len && !err; i++) {
        char control[8];
        const char *text = of(s.ptr[i]);
        if (!text && escapes_controls && s.ptr[i] < ' ') {
            snprintf(control, sizeof control, "\\u%04X", s.ptr[i]);
            text = control;
        }
        err = text ? lm_buf_append(&buf, text, strlen(text)) : lm_buf_u8(&buf, s.ptr[i]);
    }
    return give_buf(x, &buf, err, out);
}

FN(html)
{
    UNUSED_COUNT;
    return escape(x, a, escape_of_html, false, out);
}

FN(js)
{
    UNUSED_COUNT;
    return escape(x, a, escape_of_js, true, out);
}

FN(slice) /* slice text [from [to]] */
{
    lm_str s;
    if (a->kind != LM_LQ_V_TEXT && a->kind != LM_LQ_V_LIST)
        return lm_lq_exec_fail(x, "can't slice item of type %s", lm_lq_value_type(a));
    int64_t len = (int64_t)(a->kind == LM_LQ_V_TEXT ? a->text.len : a->count), from = 0, to = len;
    if ((n > 1 && !int_arg(x, &a[1], &from)) || (n > 2 && !int_arg(x, &a[2], &to))) return LM_OK;
    if (from < 0 || from > len || to < 0 || to > len)
        return lm_lq_exec_fail(x, "index out of range: %lld",
                               (long long)(from < 0 || from > len ? from : to));
    if (from > to)
        return lm_lq_exec_fail(x, "invalid slice index: %lld > %lld", (long long)from,
                               (long long)to);
    *out = *a;
    if (a->kind == LM_LQ_V_TEXT) {
        s = part(a->text, (size_t)from, (size_t)to);
        return give_text(s, out);
    }
    out->items = a->items + from;
    out->count = (size_t)(to - from);
    return LM_OK;
}

FN(urlencode)
{
    UNUSED_COUNT;
    static const char hex[] = "0123456789ABCDEF";
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    uint8_t *text = lm_arena_alloc(x->arena, 3 * s.len + 1, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if ((c < 0x80 && isalnum(c)) || c == '-' || c == '_' || c == '.' || c == '~') {
            text[len++] = c;
        } else if (c == ' ') {
            text[len++] = '+';
        } else {
            text[len++] = '%';
            text[len++] = (uint8_t)hex[c >> 4];
            text[len++] = (uint8_t)hex[c & 15];
        }
    }
    return give_text((lm_str){text, len}, out);
}

static int hex_of(uint8_t c)
{
    return isdigit(c)             ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

FN(urldecode)
{
    UNUSED_COUNT;
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    uint8_t *text = lm_arena_alloc(x->arena, s.len + 1, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_of(s.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_of(s.ptr[i + 2]) : -1;
            if (low < 0)
                return lm_lq_exec_fail(x, "invalid URL escape \"%.*s\"",
                                       (int)(s.len - i < 3 ? s.len - i : 3),
                                       (const char *)s.ptr + i);
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        text[len++] = c;
    }
    return give_text((lm_str){text, len}, out);
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

FN(b64enc)
{
    UNUSED_COUNT;
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    uint8_t *text = lm_arena_alloc(x->arena, (s.len + 2) / 3 * 4 + 1, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = s.len - i;
        uint32_t v = (uint32_t)s.ptr[i] << 16 | (left > 1 ? (uint32_t)s.ptr[i + 1] << 8 : 0) |
                     (left > 2 ? s.ptr[i + 2] : 0);
        text[len++] = (uint8_t)base64[v >> 18];
        text[len++] = (uint8_t)base64[v >> 12 & 63];
        text[len++] = left > 1 ? (uint8_t)base64[v >> 6 & 63] : '=';
        text[len++] = left > 2 ? (uint8_t)base64[v & 63] : '=';
    }
    return give_text((lm_str){text, len}, out);
}

FN(b64dec)
{
    UNUSED_COUNT;
    lm_str s;
    if (!text_arg(x, a, &s)) return LM_OK;
    uint8_t *text = lm_arena_alloc(x->arena, s.len + 1, 1);
    if (!text) return lm_mem_err();
    size_t len = 0, end = s.len;
    while (end && s.len - end < 2 && s.ptr[end - 1] == '=')
        end--;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < end; i++) {
        const char *at = s.ptr[i] ? strchr(base64, s.ptr[i]) : NULL;
        if (s.ptr[i] == '\n' || s.ptr[i] == '\r') continue;
        if (!at || end % 4 == 1) { /* the answer is the message, as in Loki */
            char why[64];
            int why_len = snprintf(why, sizeof why, "illegal base64 data at input byte %zu",
                                   at ? end - 1 : i);
            const uint8_t *copy = lm_arena_copy(x->arena, why, (size_t)why_len);
            return copy ? give_text((lm_str){copy, (size_t)why_len}, out) : lm_mem_err();
        }
        bits = bits << 6 | (uint32_t)(at - base64);
        held += 6;
        if (held >= 8) {
            held -= 8;
            text[len++] = (uint8_t)(bits >> held);
        }
    }
    return give_text((lm_str){text, len}, out);
}

FN(bytes)
{
    UNUSED_COUNT;
    lm_str s;
    uint64_t bytes;
    if (!text_arg(x, a, &s)) return LM_OK;
    if (lm_lq_bytes(s, &bytes)) return give_real((double)bytes, out);
    return lm_lq_exec_fail(x,
                           "strconv.ParseFloat: parsing \"%.*s\": invalid "
                           "syntax",
                           (int)(s.len < 60 ? s.len : 60), (const char *)s.ptr);
}

FN(duration)
{
    UNUSED_COUNT;
    lm_str s;
    int64_t ns;
    if (!text_arg(x, a, &s)) return LM_OK;
    if (lm_lq_duration_go(s, &ns))
        return give_real((double)(ns / NS_PER_S) + (double)(ns % NS_PER_S) / 1e9, out);
    return lm_lq_exec_fail(x, "time: invalid duration \"%.*s\"", (int)(s.len < 60 ? s.len : 60),
                           (const char *)s.ptr);
}

FN(from_json)
{
    UNUSED_COUNT;
    lm_str s;
    bool is_bad = false;
    if (!text_arg(x, a, &s)) return LM_OK;
    return lm_lq_value_from_json(s, x->arena, out, &is_bad); /* nil if it is none */
}

/* ---- times ---- */

static int64_t to_time(const lm_lq_exec *x, const lm_lq_value *v)
{
    if (v->kind == LM_LQ_V_TIME) return v->number;
    if (v->kind == LM_LQ_V_INT) return v->number * NS_PER_S;
    return x->time_ns;
}

static lm_err format_time(lm_lq_exec *x, lm_str layout, int64_t time_ns, lm_lq_value *out)
{
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    return give_buf(x, &buf, lm_lq_time_format(layout, time_ns, &buf), out);
}

FN(date)
{
    UNUSED_COUNT;
    lm_str layout;
    return text_arg(x, &a[0], &layout) ? format_time(x, layout, to_time(x, &a[1]), out) : LM_OK;
}

static lm_err read_time(lm_str layout, lm_str text, lm_lq_value *out)
{
    /* What cannot be read is Go's zero time, 0001-01-01; the first that 64 bits of ns can hold is
     * as near as we come. */
    *out = (lm_lq_value){.kind = LM_LQ_V_TIME, .number = INT64_MIN};
    (void)lm_lq_time_parse(layout, text, &out->number);
    return LM_OK;
}

FN(to_date)
{
    UNUSED_COUNT;
    lm_str layout, s;
    return two_texts(x, a, &layout, &s) ? read_time(layout, s, out) : LM_OK;
}

FN(to_date_in_zone)
{
    UNUSED_COUNT;
    lm_str layout, zone, s;
    if (!two_texts(x, a, &layout, &zone) || !text_arg(x, &a[2], &s)) return LM_OK;
    if (zone.len && !lm_str_equal(zone, LM_STR("UTC")) && !lm_str_equal(zone, LM_STR("Local")))
        return lm_lq_exec_fail(x, "toDateInZone knows UTC only, not '%.*s'",
                               (int)(zone.len < 60 ? zone.len : 60), (const char *)zone.ptr);
    return read_time(layout, s, out);
}

FN(now)
{
    (void)x, (void)a, (void)n;
    *out = (lm_lq_value){.kind = LM_LQ_V_TIME, .number = lm_clock_wall_ns()};
    return LM_OK;
}

FN(unix_to_time)
{
    UNUSED_COUNT;
    lm_str s;
    int64_t v;
    if (!text_arg(x, a, &s)) return LM_OK;
    int64_t scale = s.len == 5    ? 86400 * NS_PER_S
                    : s.len == 10 ? NS_PER_S
                    : s.len == 13 ? 1000000
                    : s.len == 16 ? 1000
                    : s.len == 19 ? 1
                                  : 0;
    if (!scale || !lm_lq_int(s, &v) || __builtin_mul_overflow(v, scale, &v))
        return lm_lq_exec_fail(x, "unable to parse time '%.*s'", (int)(s.len < 60 ? s.len : 60),
                               (const char *)s.ptr);
    *out = (lm_lq_value){.kind = LM_LQ_V_TIME, .number = v};
    return LM_OK;
}

static lm_err epoch(lm_lq_exec *x, const lm_lq_value *a, int64_t scale, lm_lq_value *out)
{
    if (a->kind != LM_LQ_V_TIME) return wrong_type(x, "time.Time", a);
    int64_t value = a->number / scale - (a->number % scale < 0);
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_lq_value number = {.kind = LM_LQ_V_INT, .number = value};
    return give_buf(x, &buf, lm_lq_value_print(&number, &buf), out);
}

FN(unix_epoch)
{
    UNUSED_COUNT;
    return epoch(x, a, NS_PER_S, out);
}

FN(unix_epoch_millis)
{
    UNUSED_COUNT;
    return epoch(x, a, 1000000, out);
}

FN(unix_epoch_nanos)
{
    UNUSED_COUNT;
    return epoch(x, a, 1, out);
}

/* ---- numbers ---- */

FN(int)
{
    (void)x, (void)n;
    return give_int(to_int(a), out);
}

FN(float64)
{
    (void)x, (void)n;
    return give_real(to_real(a), out);
}

typedef enum math_op { ADD, SUB, MUL, DIV, MOD, MAX, MIN } math_op;

static lm_err whole(lm_lq_exec *x, math_op op, const lm_lq_value *a, uint32_t n, lm_lq_value *out)
{
    uint64_t v = (uint64_t)to_int(&a[0]); /* wraps around, as Go's */
    for (uint32_t i = 1; i < n; i++) {
        int64_t left = (int64_t)v, right = to_int(&a[i]);
        if ((op == DIV || op == MOD) && right == 0)
            return lm_lq_exec_fail(x, "runtime error: integer divide by zero");
        if ((op == DIV || op == MOD) && right == -1) {
            v = op == DIV ? 0 - v : 0;
            continue;
        }
        v = op == ADD   ? v + (uint64_t)right
            : op == SUB ? v - (uint64_t)right
            : op == MUL ? v * (uint64_t)right
            : op == DIV ? (uint64_t)(left / right)
            : op == MOD ? (uint64_t)(left % right)
            : op == MAX ? (uint64_t)(left > right ? left : right)
                        : (uint64_t)(left < right ? left : right);
    }
    return give_int((int64_t)v, out);
}

static lm_err real(math_op op, const lm_lq_value *a, uint32_t n, lm_lq_value *out)
{
    double v = to_real(&a[0]);
    for (uint32_t i = 1; i < n; i++) {
        double right = to_real(&a[i]);
        v = op == ADD   ? v + right
            : op == SUB ? v - right
            : op == MUL ? v * right
            : op == DIV ? v / right
            : op == MAX ? fmax(v, right)
                        : fmin(v, right);
    }
    return give_real(v, out);
}

#define WHOLE(name, op)                                                                            \
    FN(name)                                                                                       \
    {                                                                                              \
        return whole(x, op, a, n, out);                                                            \
    }
#define REAL(name, op)                                                                             \
    FN(name)                                                                                       \
    {                                                                                              \
        (void)x;                                                                                   \
        return real(op, a, n, out);                                                                \
    }

WHOLE(add, ADD)
WHOLE(sub, SUB)
WHOLE(mul, MUL)
WHOLE(div, DIV)
WHOLE(mod, MOD)
WHOLE(max, MAX)
WHOLE(min, MIN)
REAL(addf, ADD)
REAL(subf, SUB)
REAL(mulf, MUL)
REAL(divf, DIV)
REAL(maxf, MAX)
REAL(minf, MIN)

FN(floor)
{
    (void)x, (void)n;
    return give_real(floor(to_real(a)), out);
}

FN(ceil)
{
    (void)x, (void)n;
    return give_real(ceil(to_real(a)), out);
}

FN(round) /* round value places [from where on up, .5] */
{
    (void)x;
    double value = to_real(&a[0]), up = n > 2 ? to_real(&a[2]) : 0.5;
    double scale = pow(10, (double)to_int(&a[1])), digit = scale * value, whole_part;
    double rest = modf(digit, &whole_part);
    return give_real((rest >= up ? ceil(digit) : floor(digit)) / scale, out);
}

/* ---- comparing, logic ---- */

static bool order_of(const lm_lq_value *a, const lm_lq_value *b, int *out)
{
    bool numbers = (a->kind == LM_LQ_V_INT && b->kind == LM_LQ_V_INT) ||
                   (a->kind == LM_LQ_V_TIME && b->kind == LM_LQ_V_TIME);
    if (a->kind == LM_LQ_V_TEXT && b->kind == LM_LQ_V_TEXT) {
        *out = lm_str_compare(a->text, b->text);
    } else if (numbers || (a->kind == LM_LQ_V_BOOL && b->kind == LM_LQ_V_BOOL)) {
        *out = (a->number > b->number) - (a->number < b->number);
    } else if (a->kind == LM_LQ_V_FLOAT && b->kind == LM_LQ_V_FLOAT) {
        *out = (a->real > b->real) - (a->real < b->real);
    } else {
        return false;
    }
    return true;
}

FN(eq)
{
    for (uint32_t i = 1; i < n; i++) {
        int order = 1;
        bool both_nil = a[0].kind == LM_LQ_V_NIL && a[i].kind == LM_LQ_V_NIL;
        bool one_nil = a[0].kind == LM_LQ_V_NIL || a[i].kind == LM_LQ_V_NIL;
        if (!one_nil && !order_of(&a[0], &a[i], &order))
            return lm_lq_exec_fail(x, "incompatible types for comparison: %s and %s",
                                   lm_lq_value_type(&a[0]), lm_lq_value_type(&a[i]));
        if (both_nil || order == 0) return give_bool(true, out);
    }
    return give_bool(false, out);
}

static lm_err ordered(lm_lq_exec *x, const lm_lq_value *a, int *out)
{
    if (order_of(&a[0], &a[1], out)) return LM_OK;
    return lm_lq_exec_fail(x, "incompatible types for comparison: %s and %s",
                           lm_lq_value_type(&a[0]), lm_lq_value_type(&a[1]));
}

#define COMPARE(name, test)                                                                        \
    FN(name)                                                                                       \
    {                                                                                              \
        UNUSED_COUNT;                                                                              \
        int order = 0;                                                                             \
        lm_err err = ordered(x, a, &order);                                                        \
        return err || x->failed ? err : give_bool(order test, out);                                \
    }

COMPARE(ne, != 0)
COMPARE(lt, < 0)
COMPARE(le, <= 0)
COMPARE(gt, > 0)
COMPARE(ge, >= 0)

FN(and)
{
    (void)x;
    *out = a[n - 1]; /* what is false was found before */
    for (uint32_t i = n; i-- > 0;) {
        if (!lm_lq_value_truth(&a[i])) *out = a[i];
    }
    return LM_OK;
}

FN(or)
{
    (void)x;
    *out = a[n - 1];
    for (uint32_t i = n; i-- > 0;) {
        if (lm_lq_value_truth(&a[i])) *out = a[i];
    }
    return LM_OK;
}

FN(not)
{
    (void)x, (void)n;
    return give_bool(!lm_lq_value_truth(a), out);
}

/* ---- printing ---- */

static lm_err print_quoted_value(const lm_lq_value *v, lm_buf *out)
{
    return v->kind == LM_LQ_V_TEXT ? lm_lq_print_quoted(v->text, out) : lm_lq_value_print(v, out);
}

static lm_err print_real(const char *spec, char verb, const lm_lq_value *v, lm_buf *out)
{
    char form[40], text[512];
    double value = v->kind == LM_LQ_V_FLOAT ? v->real : (double)v->number;
    snprintf(form, sizeof form, "%s%c", spec, verb == 'F' ? 'f' : verb);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = snprintf(text, sizeof text, form, value);
#pragma GCC diagnostic pop
    return lm_buf_append(out, text, len < (int)sizeof text ? (size_t)len : sizeof text - 1);
}

static lm_err print_whole(const char *spec, char verb, const lm_lq_value *v, lm_buf *out)
{
    char form[40], text[512];
    uint32_t c = (uint32_t)v->number;
    if (verb == 'c') {
        uint8_t bytes[4];
        return lm_buf_append(out, bytes, lm_lq_utf8_put(c < 0x110000 ? c : 0xFFFD, bytes));
    }
    bool is_negative = v->number < 0 && verb != 'd';
    snprintf(form, sizeof form, "%sll%c", spec, verb);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = snprintf(text, sizeof text, form, is_negative ? -v->number : v->number);
#pragma GCC diagnostic pop
    lm_err err = is_negative ? lm_buf_u8(out, '-') : LM_OK;
    if (err) return err;
    return lm_buf_append(out, text, len < (int)sizeof text ? (size_t)len : sizeof text - 1);
}

/** One verb of printf. spec: '%', flags, width and precision, as C has them too. */
static lm_err print_verb(lm_lq_exec *x, const char *spec, char verb, const lm_lq_value *v,
                         lm_buf *out)
{
    bool is_whole = v->kind == LM_LQ_V_INT, is_real = v->kind == LM_LQ_V_FLOAT;
    if (strchr("eEfFgG", verb) && is_real) return print_real(spec, verb, v, out);
    if (strchr("dxXoc", verb) && is_whole) return print_whole(spec, verb, v, out);
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = LM_OK;
    bool is_text = v->kind == LM_LQ_V_TEXT;
    if (verb == 'q') {
        err = print_quoted_value(v, &buf);
    } else if ((verb == 'x' || verb == 'X') && is_text) {
        for (size_t i = 0; i < v->text.len && !err; i++) {
            char pair[4];
            snprintf(pair, sizeof pair, verb == 'x' ? "%02x" : "%02X", v->text.ptr[i]);
            err = lm_buf_append(&buf, pair, 2);
        }
    } else if (verb == 'v' || (verb == 's' && !is_whole && !is_real) ||
               (verb == 't' && v->kind == LM_LQ_V_BOOL)) {
        err = lm_lq_value_print(v, &buf);
    } else { /* as Go: %!d(string=abc) */
        char head[80];
        snprintf(head, sizeof head, "%%!%c(%s=", verb, lm_lq_value_type(v));
        err = lm_buf_append(&buf, head, strlen(head));
        if (!err) err = lm_lq_value_print(v, &buf);
        if (!err) err = lm_buf_u8(&buf, ')');
        spec = "%";
    }
    int64_t width = 0, precision = -1;
    bool left = strchr(spec, '-') != NULL;
    const char *at = spec + strspn(spec, "%-+# 0");
    width = strtol(at, (char **)&at, 10);
    if (*at == '.') precision = strtol(at + 1, NULL, 10);
    lm_str text = {buf.ptr, buf.len};
    if (precision >= 0 && verb == 's') text.len = rune_at(text, (size_t)precision);
    int64_t pad = width - (int64_t)rune_count(text);
    for (int64_t i = 0; !left && i < pad && !err; i++)
        err = lm_buf_u8(out, ' ');
    if (!err) err = lm_buf_append(out, text.ptr, text.len);
    for (int64_t i = 0; left && i < pad && !err; i++)
        err = lm_buf_u8(out, ' ');
    lm_buf_fini(&buf);
    return err;
}

FN(printf)
{
    lm_str form;
    if (!text_arg(x, a, &form)) return LM_OK;
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = LM_OK;
    uint32_t used = 1;
    for (size_t i = 0; i < form.len && !err;) {
        if (form.ptr[i] != '%') {
            err = lm_buf_u8(&buf, form.ptr[i++]);
            continue;
        }
        char spec[24];
        size_t len = 0;
        spec[len++] = '%';
        i++;
        while (i < form.len && form.ptr[i] && strchr("-+# 0123456789.", form.ptr[i]) &&
               len + 1 < sizeof spec - 4)
            spec[len++] = (char)form.ptr[i++];
        spec[len] = 0;
        const char *digits = spec + strspn(spec, "%-+# 0");
        if (strtol(digits, NULL, 10) > 1000 || strchr(digits, '.') != strrchr(digits, '.')) {
            lm_buf_fini(&buf);
            return lm_lq_exec_fail(x, "printf: a width of more than 1000");
        }
        char verb = i < form.len ? (char)form.ptr[i++] : 0;
        if (verb == '%') {
            err = lm_buf_u8(&buf, '%');
        } else if (!verb) {
            err = lm_buf_append(&buf, "%!(NOVERB)", 10);
        } else if (used == n) {
            char text[24];
            snprintf(text, sizeof text, "%%!%c(MISSING)", verb);
            err = lm_buf_append(&buf, text, strlen(text));
        } else {
            err = print_verb(x, spec, verb, &a[used++], &buf);
        }
    }
    if (!err && used < n) {
        err = lm_buf_append(&buf, "%!(EXTRA ", 9);
        for (uint32_t i = used; i < n && !err; i++) {
            if (i > used) err = lm_buf_append(&buf, ", ", 2);
            const char *type = lm_lq_value_type(&a[i]);
            if (!err) err = lm_buf_append(&buf, type, strlen(type));
            if (!err) err = lm_buf_u8(&buf, '=');
            if (!err) err = lm_lq_value_print(&a[i], &buf);
        }
        if (!err) err = lm_buf_u8(&buf, ')');
    }
    return give_buf(x, &buf, err, out);
}

static lm_err print_all(lm_lq_exec *x, const lm_lq_value *a, uint32_t n, bool line,
                        lm_lq_value *out)
{
    lm_buf buf;
    lm_buf_init(&buf, x->run->mem);
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < n && !err; i++) {
        bool blank = i && (line || (a[i].kind != LM_LQ_V_TEXT && a[i - 1].kind != LM_LQ_V_TEXT));
        if (blank) err = lm_buf_u8(&buf, ' ');
        if (!err) err = lm_lq_value_print(&a[i], &buf);
    }
    if (!err && line) err = lm_buf_u8(&buf, '\n');
    return give_buf(x, &buf, err, out);
}

FN(print)
{
    return print_all(x, a, n, false, out);
}

FN(println)
{
    return print_all(x, a, n, true, out);
}

#define MANY 60

static const lm_lq_function functions[] = {
    {"ToLower", fn_lower, 1, 1},
    {"ToUpper", fn_upper, 1, 1},
    {"Replace", fn_go_replace, 4, 4},
    {"Trim", fn_trim_both, 2, 2},
    {"TrimLeft", fn_trim_left, 2, 2},
    {"TrimRight", fn_trim_right, 2, 2},
    {"TrimPrefix", fn_go_trim_prefix, 2, 2},
    {"TrimSuffix", fn_go_trim_suffix, 2, 2},
    {"TrimSpace", fn_trim_space, 1, 1},
    {"add", fn_add, 1, MANY},
    {"addf", fn_addf, 1, MANY},
    {"alignLeft", fn_align_left, 2, 2},
    {"alignRight", fn_align_right, 2, 2},
    {"and", fn_and, 1, MANY},
    {"b64dec", fn_b64dec, 1, 1},
    {"b64enc", fn_b64enc, 1, 1},
    {"bytes", fn_bytes, 1, 1},
    {"ceil", fn_ceil, 1, 1},
    {"contains", fn_contains, 2, 2},
    {"count", fn_count, 2, 2},
    {"date", fn_date, 2, 2},
    {"default", fn_default, 1, 2},
    {"div", fn_div, 2, 2},
    {"divf", fn_divf, 1, MANY},
    {"duration", fn_duration, 1, 1},
    {"duration_seconds", fn_duration, 1, 1},
    {"eq", fn_eq, 2, MANY},
    {"float64", fn_float64, 1, 1},
    {"floor", fn_floor, 1, 1},
    {"fromJson", fn_from_json, 1, 1},
    {"ge", fn_ge, 2, 2},
    {"gt", fn_gt, 2, 2},
    {"hasPrefix", fn_has_prefix, 2, 2},
    {"hasSuffix", fn_has_suffix, 2, 2},
    {"indent", fn_indent, 2, 2},
    {"html", fn_html, 1, 1},
    {"index", fn_index, 1, MANY},
    {"int", fn_int, 1, 1},
    {"js", fn_js, 1, 1},
    {"le", fn_le, 2, 2},
    {"len", fn_len, 1, 1},
    {"lower", fn_lower, 1, 1},
    {"lt", fn_lt, 2, 2},
    {"max", fn_max, 1, MANY},
    {"maxf", fn_maxf, 1, MANY},
    {"min", fn_min, 1, MANY},
    {"minf", fn_minf, 1, MANY},
    {"mod", fn_mod, 2, 2},
    {"mul", fn_mul, 1, MANY},
    {"mulf", fn_mulf, 1, MANY},
    {"ne", fn_ne, 2, 2},
    {"nindent", fn_nindent, 2, 2},
    {"not", fn_not, 1, 1},
    {"now", fn_now, 0, 0},
    {"or", fn_or, 1, MANY},
    {"print", fn_print, 0, MANY},
    {"printf", fn_printf, 1, MANY},
    {"println", fn_println, 0, MANY},
    {"regexReplaceAll", fn_regex_replace_all, 3, 3},
    {"regexReplaceAllLiteral", fn_regex_replace_all_literal, 3, 3},
    {"repeat", fn_repeat, 2, 2},
    {"replace", fn_replace, 3, 3},
    {"round", fn_round, 2, 3},
    {"slice", fn_slice, 1, 3},
    {"sub", fn_sub, 2, 2},
    {"subf", fn_subf, 1, MANY},
    {"substr", fn_substr, 3, 3},
    {"title", fn_title, 1, 1},
    {"toDate", fn_to_date, 2, 2},
    {"toDateInZone", fn_to_date_in_zone, 3, 3},
    {"trim", fn_trim_space, 1, 1},
    {"trimAll", fn_trim_all, 2, 2},
    {"trimPrefix", fn_trim_prefix, 2, 2},
    {"trimSuffix", fn_trim_suffix, 2, 2},
    {"trunc", fn_trunc, 2, 2},
    {"unixEpoch", fn_unix_epoch, 1, 1},
    {"unixEpochMillis", fn_unix_epoch_millis, 1, 1},
    {"unixEpochNanos", fn_unix_epoch_nanos, 1, 1},
    {"unixToTime", fn_unix_to_time, 1, 1},
    {"upper", fn_upper, 1, 1},
    {"urldecode", fn_urldecode, 1, 1},
    {"urlencode", fn_urlencode, 1, 1},
    {"urlquery", fn_urlencode, 1, 1},
};

const lm_lq_function *lm_lq_function_of(lm_str name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (lm_str_equal(name, lm_str_of(functions[i].name))) return &functions[i];
    }
    return NULL;
}

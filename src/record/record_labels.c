/** Labels: made canonical, printed as Go quotes them, parsed back. */
#include "record/record.h"
#include <stdlib.h>

bool lm_labels_has(lm_labels labels, lm_str name)
{
    for (uint32_t i = 0; i < labels.count; i++) {
        if (lm_str_equal(labels.items[i].name, name)) return true;
    }
    return false;
}

lm_str lm_labels_get(lm_labels labels, lm_str name)
{
    for (uint32_t i = 0; i < labels.count; i++) {
        if (lm_str_equal(labels.items[i].name, name)) return labels.items[i].value;
    }
    return LM_STR("");
}

/* 1: may stand in a name; 2: may begin one too. */
static const uint8_t name_class[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 3, ['a' ... 'z'] = 3, ['_'] = 3};

static bool is_name_begin(uint8_t c)
{
    return name_class[c] & 2;
}

static bool is_name_part(uint8_t c)
{
    return name_class[c] & 1;
}

static bool is_name(lm_str s)
{
    uint8_t all = s.len ? name_class[s.ptr[0]] >> 1 : 0;
    for (size_t i = 1; i < s.len; i++)
        all &= name_class[s.ptr[i]];
    return all & 1;
}

lm_str lm_label_name_clean(lm_str name, lm_arena *arena)
{
    if (is_name(name)) return name;
    uint8_t *clean = lm_arena_alloc(arena, name.len + 1, 1);
    if (!clean) return (lm_str){NULL, 0};
    size_t len = 0;
    if (name.len == 0 || !is_name_part(name.ptr[0])) {
        clean[len++] = '_';
    } else if (!is_name_begin(name.ptr[0])) {
        clean[len++] = '_';
        clean[len++] = name.ptr[0];
    } else {
        clean[len++] = name.ptr[0];
    }
    for (size_t i = 1; i < name.len; i++) {
        clean[len++] = is_name_part(name.ptr[i]) ? name.ptr[i] : '_';
    }
    return (lm_str){clean, len};
}

static lm_err check_label(const lm_label *label)
{
    if (!is_name(label->name)) {
        return lm_fail(LM_E_USAGE, "'%.*s' is not a label name",
                       (int)(label->name.len < 80 ? label->name.len : 80),
                       (const char *)label->name.ptr);
    }
    if (label->name.len > LM_LABEL_NAME_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "a label's name has %zu bytes, at most %d are allowed",
                       label->name.len, LM_LABEL_NAME_BYTES_MAX);
    }
    if (label->value.len > LM_LABEL_VALUE_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT,
                       "the value of label '%.*s' has %zu bytes, at most %d are allowed",
                       (int)(label->name.len < 80 ? label->name.len : 80),
                       (const char *)label->name.ptr, label->value.len, LM_LABEL_VALUE_BYTES_MAX);
    }
    return LM_OK;
}

lm_err lm_labels_make(const lm_label *items, size_t count, lm_arena *arena, lm_labels *out)
{
    if (count > LM_LABEL_COUNT_MAX) {
        return lm_fail(LM_E_LIMIT, "%zu labels, at most %d are allowed", count, LM_LABEL_COUNT_MAX);
    }
    if (count == 0) {
        *out = (lm_labels){NULL, 0};
        return LM_OK;
    }
    lm_label *sorted = lm_arena_alloc(arena, count * sizeof *sorted, _Alignof(lm_label));
    if (!sorted) return lm_mem_err();
    /* Insertion: few labels, mostly sorted already; equal names stay in order, so the last wins. */
    uint32_t len = 0;
    for (size_t i = 0; i < count; i++) {
        lm_err err = check_label(&items[i]);
        if (err) return err;
        uint32_t at = len;
        int order = 1;
        while (at > 0 && (order = lm_str_compare(sorted[at - 1].name, items[i].name)) > 0)
            at--;
        if (at > 0 && order == 0) {
            sorted[at - 1].value = items[i].value;
            continue;
        }
        memmove(sorted + at + 1, sorted + at, (len - at) * sizeof *sorted);
        sorted[at] = items[i];
        len++;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < len; i++) {
        if (sorted[i].value.len) sorted[kept++] = sorted[i];
    }
    *out = (lm_labels){sorted, kept};
    return LM_OK;
}

/** Bytes of the UTF-8 sequence that s begins with; 0 if it is none. */
static size_t utf8_len(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    size_t need = c < 0x80                ? 1
                  : c >= 0xC2 && c < 0xE0 ? 2
                  : (c & 0xF0) == 0xE0    ? 3
                  : c >= 0xF0 && c < 0xF5 ? 4
                                          : 0;
    if (need == 0 || need > left) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    if (c == 0xE0 && s[1] < 0xA0) return 0;
    if (c == 0xED && s[1] > 0x9F) return 0;
    if (c == 0xF0 && s[1] < 0x90) return 0;
    if (c == 0xF4 && s[1] > 0x8F) return 0;
    return need;
}

static lm_err print_quoted(lm_str s, lm_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    lm_err err = lm_buf_reserve(out, s.len * 4 + 2);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    *at++ = '"';
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.ptr[i];
        static const char short_of[] = "abtnvfr"; /* 7 .. 13 */
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = c;
            i++;
        } else if (c >= 7 && c <= 13) {
            *at++ = '\\';
            *at++ = (uint8_t)short_of[c - 7];
            i++;
        } else {
            size_t len = c >= 0x20 && c != 0x7F ? utf8_len(s.ptr + i, s.len - i) : 0;
            if (len) {
                memcpy(at, s.ptr + i, len);
                at += len;
                i += len;
            } else {
                *at++ = '\\';
                *at++ = 'x';
                *at++ = (uint8_t)hex[c >> 4];
                *at++ = (uint8_t)hex[c & 15];
                i++;
            }
        }
    }
    *at++ = '"';
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

lm_err lm_labels_print(lm_labels labels, lm_buf *out)
{
    lm_err err = lm_buf_u8(out, '{');
    for (uint32_t i = 0; i < labels.count && !err; i++) {
        if (i) err = lm_buf_append(out, ", ", 2);
        if (!err) err = lm_buf_append(out, labels.items[i].name.ptr, labels.items[i].name.len);
        if (!err) err = lm_buf_u8(out, '=');
        if (!err) err = print_quoted(labels.items[i].value, out);
    }
    return err ? err : lm_buf_u8(out, '}');
}

/* ---- parsing ---- */

typedef struct parser {
    const uint8_t *begin, *at, *end;
    lm_arena *arena;
} parser;

static lm_err bad(const parser *p, const char *what)
{
    return lm_fail_at(LM_E_USAGE, (uint64_t)(p->at - p->begin),
                      "error parsing labels at byte %zu: %s", (size_t)(p->at - p->begin), what);
}

static void skip_space(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static uint8_t *put_utf8(uint8_t *at, uint32_t c)
{
    if (c < 0x80) {
        *at++ = (uint8_t)c;
    } else if (c < 0x800) {
        *at++ = (uint8_t)(0xC0 | c >> 6);
        *at++ = (uint8_t)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *at++ = (uint8_t)(0xE0 | c >> 12);
        *at++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *at++ = (uint8_t)(0x80 | (c & 63));
    } else {
        *at++ = (uint8_t)(0xF0 | c >> 18);
        *at++ = (uint8_t)(0x80 | (c >> 12 & 63));
        *at++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *at++ = (uint8_t)(0x80 | (c & 63));
    }
    return at;
}

/** The digits of an escape; false: not that many, or too large. */
static bool read_digits(parser *p, int count, uint32_t base, uint32_t max, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++) {
        int digit = p->at < p->end ? hex_of(*p->at) : -1;
        if (digit < 0 || (uint32_t)digit >= base) return false;
        value = value * base + (uint32_t)digit;
        p->at++;
    }
    *out = value;
    return value <= max;
}

static lm_err read_escape(parser *p, uint8_t **io_at)
{
    static const char names[] = "abtnvfr";
    uint8_t c = *p->at++;
    uint8_t *at = *io_at;
    uint32_t value = 0;
    const char *name = c ? strchr(names, c) : NULL;
    if (c == '"' || c == '\\' || c == '\'') {
        *at++ = c;
    } else if (name) {
        *at++ = (uint8_t)(7 + (name - names));
    } else if (c == 'x') {
        if (!read_digits(p, 2, 16, 255, &value)) return bad(p, "two hex digits expected");
        *at++ = (uint8_t)value;
    } else if (c == 'u' || c == 'U') {
        bool is_char = read_digits(p, c == 'u' ? 4 : 8, 16, 0x10FFFF, &value);
        if (!is_char || (value >= 0xD800 && value < 0xE000))
            return bad(p, "not a character's number");
        at = put_utf8(at, value);
    } else if (c >= '0' && c <= '7') {
        p->at--;
        if (!read_digits(p, 3, 8, 255, &value)) return bad(p, "three octal digits expected");
        *at++ = (uint8_t)value;
    } else {
        p->at--;
        return bad(p, "unknown escape");
    }
    *io_at = at;
    return LM_OK;
}

static lm_err read_value(parser *p, lm_str *out)
{
    if (p->at == p->end || (*p->at != '"' && *p->at != '`'))
        return bad(p, "a quoted value expected");
    uint8_t quote = *p->at++;
    const uint8_t *begin = p->at;
    while (p->at < p->end && *p->at != quote && (*p->at != '\\' || quote == '`'))
        p->at++;
    if (p->at < p->end && *p->at == quote) {
        *out = (lm_str){begin, (size_t)(p->at - begin)};
        p->at++;
        return LM_OK;
    }
    uint8_t *text = lm_arena_alloc(p->arena, (size_t)(p->end - begin) + 4, 1);
    if (!text) return lm_mem_err();
    memcpy(text, begin, (size_t)(p->at - begin));
    uint8_t *at = text + (p->at - begin);
    while (p->at < p->end && *p->at != quote) {
        if (*p->at != '\\') {
            *at++ = *p->at++;
            continue;
        }
        p->at++;
        if (p->at == p->end) break;
        lm_err err = read_escape(p, &at);
        if (err) return err;
    }
    if (p->at == p->end) return bad(p, "the quote is not closed");
    p->at++;
    *out = (lm_str){text, (size_t)(at - text)};
    return LM_OK;
}

lm_err lm_labels_parse(lm_str text, lm_arena *arena, lm_labels *out)
{
    parser p = {text.ptr, text.ptr, text.ptr + text.len, arena};
    lm_label items[LM_LABEL_COUNT_MAX];
    size_t count = 0;
    skip_space(&p);
    if (p.at == p.end || *p.at != '{') return bad(&p, "'{' expected");
    p.at++;
    skip_space(&p);
    while (p.at < p.end && *p.at != '}') {
        if (count == LM_LABEL_COUNT_MAX) {
            return lm_fail(LM_E_LIMIT, "more than %d labels", LM_LABEL_COUNT_MAX);
        }
        const uint8_t *name = p.at;
        while (p.at < p.end && is_name_part(*p.at))
            p.at++;
        if (p.at == name) return bad(&p, "a label's name expected");
        items[count].name = (lm_str){name, (size_t)(p.at - name)};
        skip_space(&p);
        if (p.at == p.end || *p.at != '=') return bad(&p, "'=' expected");
        p.at++;
        skip_space(&p);
        lm_err err = read_value(&p, &items[count].value);
        if (err) return err;
        count++;
        skip_space(&p);
        if (p.at < p.end && *p.at == ',') {
            p.at++;
            skip_space(&p);
        } else if (p.at < p.end && *p.at != '}') {
            return bad(&p, "',' or '}' expected");
        }
    }
    if (p.at == p.end) return bad(&p, "'}' expected");
    p.at++;
    skip_space(&p);
    if (p.at != p.end) return bad(&p, "something follows the '}'");
    return lm_labels_make(items, count, arena, out);
}

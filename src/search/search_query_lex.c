/** Reading a query: words, keywords, strings. */
#include "search/search_query_priv.h"

/* ---- characters ------------------------------------------------------------------------------ */

lm_err query_expected(const query_parser *p, const char *what)
{
    size_t left = p->text.len - p->at;
    if (left == 0) return lm_fail_at(LM_E_USAGE, p->at, "query: expected %s at its end", what);
    return lm_fail_at(LM_E_USAGE, p->at, "query: expected %s at position %zu, found '%.*s'", what,
                      p->at + 1, (int)(left < 20 ? left : 20), (const char *)p->text.ptr + p->at);
}

static bool ends_word(int c)
{
    return c < 0 || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '(' || c == ')' ||
           c == '|' || c == ',' || c == '"' || c == '`' || c == '=' || c == '<' || c == '>' ||
           c == '!' || c == '{' || c == '}' || c == '\'';
}

/* A word from here; empty if there is none. Does not move. */
lm_str query_word_peek(const query_parser *p)
{
    size_t len = 0;
    while (!ends_word(query_peek(p, len)))
        len++;
    return (lm_str){p->text.ptr + p->at, len};
}

bool query_keyword_take(query_parser *p, const char *keyword)
{
    lm_str word = query_word_peek(p);
    if (!lm_str_equal_nocase(word, lm_str_of(keyword))) return false;
    p->at += word.len;
    return true;
}

bool query_keyword_is(const query_parser *p, const char *keyword)
{
    return lm_str_equal_nocase(query_word_peek(p), lm_str_of(keyword));
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t utf8_put(uint32_t code, uint8_t *dst)
{
    if (code < 0x80) {
        dst[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        dst[0] = (uint8_t)(0xc0 | code >> 6);
        dst[1] = (uint8_t)(0x80 | (code & 63));
        return 2;
    }
    dst[0] = (uint8_t)(0xe0 | code >> 12);
    dst[1] = (uint8_t)(0x80 | (code >> 6 & 63));
    dst[2] = (uint8_t)(0x80 | (code & 63));
    return 3;
}

/* Behind a backslash in "...": writes what it stands for. An escape that Go has not (\d, \., \b)
 * stays as written, so that patterns need no doubled backslashes. */
static size_t escape_take(query_parser *p, uint8_t *dst)
{
    int c = query_peek(p, 1);
    uint32_t code = 0;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    for (size_t i = 0; i < digits; i++) {
        int d = hex_digit(query_peek(p, 2 + i));
        if (d < 0) digits = 0;
        code = code << 4 | (uint32_t)(d & 15);
    }
    if (digits > 0) {
        p->at += 2 + digits;
        if (digits == 4) return utf8_put(code, dst);
        dst[0] = (uint8_t)code;
        return 1;
    }
    p->at += 2;
    switch (c) {
    case 'n':
        dst[0] = '\n';
        return 1;
    case 't':
        dst[0] = '\t';
        return 1;
    case 'r':
        dst[0] = '\r';
        return 1;
    case '"':
    case '\\':
        dst[0] = (uint8_t)c;
        return 1;
    default:
        dst[0] = '\\';
        dst[1] = (uint8_t)c;
        return 2;
    }
}

lm_err query_string_take(query_parser *p, lm_str *out)
{
    int quote = query_peek(p, 0);
    size_t begin = p->at++;
    size_t end = p->at; /* what an escape gives is never longer than the escape */
    for (; end < p->text.len && p->text.ptr[end] != quote; end++)
        end += p->text.ptr[end] == '\\' && quote == '"';
    uint8_t *bytes = lm_arena_alloc(&p->query->arena, end - begin + 4, 1);
    if (!bytes) return lm_mem_err();
    size_t len = 0;
    for (;;) {
        int c = query_peek(p, 0);
        if (c < 0)
            return lm_fail_at(LM_E_USAGE, begin,
                              "query: the string that begins at position %zu has no end",
                              begin + 1);
        if (c == quote) break;
        if (c == '\\' && quote == '"' && query_peek(p, 1) >= 0) {
            len += escape_take(p, bytes + len);
        } else {
            bytes[len++] = (uint8_t)c;
            p->at++;
        }
    }
    p->at++;
    *out = (lm_str){bytes, len};
    return LM_OK;
}

/** Text to tokens, as Loki's scanner cuts them: words without regard to case, durations and sizes
 * as single tokens, names of functions only in front of a parenthesis. */
#include "logql/logql_priv.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const texts[] = {
#define X(name, text, word) text,
    LM_LQ_TOKENS(X) LM_LQ_FUNCTIONS(X)
#undef X
};

static const char *const words[] = {
#define X(name, text, word) word,
    LM_LQ_TOKENS(X) LM_LQ_FUNCTIONS(X)
#undef X
};

#define WORD_COUNT     (sizeof words / sizeof *words)
#define FIRST_FUNCTION LM_LQ_T_RATE

const char *lm_lq_tok_text(lm_lq_tok tok)
{
    return texts[tok];
}

const char *lm_lq_tok_word(lm_lq_tok tok)
{
    return words[tok] ? words[tok] : tok >= LM_LQ_T_EQ && tok <= LM_LQ_T_POW ? texts[tok] : "";
}

static void place_of(lm_str text, size_t offset, unsigned *line, unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((text.ptr[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

lm_err lm_lq_fail_at(lm_str text, size_t offset, const char *fmt, ...)
{
    char words_of[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(words_of, sizeof words_of, fmt, args);
    va_end(args);
    unsigned line, column;
    place_of(text, offset, &line, &column);
    return lm_fail_at(LM_E_USAGE, offset, "parse error at line %u, col %u: %s", line, column,
                      words_of);
}

lm_err lm_lq_fail(const char *fmt, ...)
{
    char words_of[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(words_of, sizeof words_of, fmt, args);
    va_end(args);
    return lm_fail(LM_E_USAGE, "parse error : %s", words_of);
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static uint8_t peek(const lm_lq_lexer *lexer, size_t ahead)
{
    return lexer->at + ahead < lexer->text.len ? lexer->text.ptr[lexer->at + ahead] : 0;
}

static void skip_blank(lm_lq_lexer *lexer)
{
    while (lexer->at < lexer->text.len) {
        if (is_space(peek(lexer, 0))) {
            lexer->at++;
        } else if (peek(lexer, 0) == '#') {
            while (lexer->at < lexer->text.len && peek(lexer, 0) != '\n')
                lexer->at++;
        } else {
            break;
        }
    }
}

/** Is what follows a '(', or by/without and a '('? */
static bool is_called(const lm_lq_lexer *lexer)
{
    lm_str rest = {lexer->text.ptr + lexer->at, lexer->text.len - lexer->at};
    size_t i = 0;
    while (i < rest.len && is_space(rest.ptr[i]))
        i++;
    if (i < rest.len && rest.ptr[i] == '(') return true;
    size_t len = 0;
    if (rest.len - i >= 2 && lm_str_equal_nocase((lm_str){rest.ptr + i, 2}, LM_STR("by"))) {
        len = 2;
    } else if (rest.len - i >= 7 &&
               lm_str_equal_nocase((lm_str){rest.ptr + i, 7}, LM_STR("without"))) {
        len = 7;
    } else {
        return false;
    }
    i += len;
    while (i < rest.len && is_space(rest.ptr[i]))
        i++;
    return i < rest.len && rest.ptr[i] == '(';
}

static void lex_word(lm_lq_lexer *lexer, lm_lq_token *out)
{
    size_t begin = lexer->at;
    while (lexer->at < lexer->text.len && (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0))))
        lexer->at++;
    out->text = (lm_str){lexer->text.ptr + begin, lexer->at - begin};
    out->kind = LM_LQ_T_IDENTIFIER;
    for (size_t i = 0; i < WORD_COUNT; i++) {
        if (words[i] && lm_str_equal_nocase(out->text, lm_str_of(words[i]))) {
            if (i < FIRST_FUNCTION || is_called(lexer)) out->kind = (lm_lq_tok)i;
            return;
        }
    }
}

/* ---- strings ---- */

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_digits(lm_lq_lexer *lexer, int count, uint32_t base, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++) {
        int digit = hex_of(peek(lexer, 0));
        if (lexer->at >= lexer->text.len || digit < 0 || (uint32_t)digit >= base) return false;
        value = value * base + (uint32_t)digit;
        lexer->at++;
    }
    *out = value;
    return true;
}

static bool lex_escape(lm_lq_lexer *lexer, uint8_t **io_at)
{
    static const char names[] = "abtnvfr";
    uint8_t c = peek(lexer, 0);
    uint32_t value = 0;
    lexer->at++;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        *(*io_at)++ = (uint8_t)(7 + (name - names));
    } else if (c == '\\' || c == '"') {
        *(*io_at)++ = c;
    } else if (c == 'x') {
        if (!take_digits(lexer, 2, 16, &value)) return false;
        *(*io_at)++ = (uint8_t)value;
    } else if (c == 'u' || c == 'U') {
        if (!take_digits(lexer, c == 'u' ? 4 : 8, 16, &value)) return false;
        if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return false;
        *io_at += lm_lq_utf8_put(value, *io_at);
    } else if (c >= '0' && c <= '7') {
        lexer->at--;
        if (!take_digits(lexer, 3, 8, &value) || value > 255) return false;
        *(*io_at)++ = (uint8_t)value;
    } else {
        return false;
    }
    return true;
}

static lm_err lex_string(lm_lq_lexer *lexer, lm_lq_token *out)
{
    uint8_t quote = lexer->text.ptr[lexer->at++];
    size_t begin = lexer->at;
    out->kind = LM_LQ_T_STRING;
    bool has_escape = false;
    while (lexer->at < lexer->text.len && peek(lexer, 0) != quote) {
        if (quote == '"' && peek(lexer, 0) == '\n') break;
        if (quote == '"' && peek(lexer, 0) == '\\') {
            has_escape = true;
            lexer->at++;
        }
        lexer->at++;
    }
    if (lexer->at >= lexer->text.len || peek(lexer, 0) != quote) {
        lexer->at = lexer->text.len;
        return lm_lq_fail_at(lexer->text, out->offset, "literal not terminated");
    }
    size_t end = lexer->at++;
    if (!has_escape) {
        uint8_t *copy = lm_arena_copy(lexer->arena, lexer->text.ptr + begin, end - begin);
        if (!copy) return lm_mem_err();
        out->text = (lm_str){copy, end - begin};
        return LM_OK;
    }
    uint8_t *text = lm_arena_alloc(lexer->arena, end - begin + 4, 1);
    if (!text) return lm_mem_err();
    uint8_t *at = text;
    lexer->at = begin;
    while (lexer->at < end) {
        uint8_t c = lexer->text.ptr[lexer->at++];
        if (c != '\\') {
            *at++ = c;
        } else if (!lex_escape(lexer, &at) || lexer->at > end) {
            return lm_lq_fail_at(lexer->text, out->offset, "invalid char escape");
        }
    }
    lexer->at = end + 1;
    out->text = (lm_str){text, (size_t)(at - text)};
    return LM_OK;
}

/* ---- numbers, durations, sizes ---- */

/** The run of digits, dots and letters of set that follows position from. */
static size_t run_of(const lm_lq_lexer *lexer, size_t from, const char *set)
{
    size_t at = from;
    while (at < lexer->text.len) {
        uint8_t c = lexer->text.ptr[at];
        bool is_micro = c == 0xC2 && at + 1 < lexer->text.len && lexer->text.ptr[at + 1] == 0xB5;
        if (is_micro && strchr(set, 'u')) {
            at += 2;
        } else if (is_digit(c) || c == '.' || (c && strchr(set, c))) {
            at++;
        } else {
            break;
        }
    }
    return at;
}

static bool lex_duration(lm_lq_lexer *lexer, size_t begin, size_t end_of_number, lm_lq_token *out)
{
    size_t end = run_of(lexer, end_of_number, "numshdwy");
    lm_str text = {lexer->text.ptr + begin, end - begin};
    if (end == end_of_number) return false;
    if (!lm_lq_duration_prom(text, &out->ns) && !lm_lq_duration_go(text, &out->ns)) return false;
    out->kind = LM_LQ_T_DURATION;
    out->text = text;
    lexer->at = end;
    return true;
}

static bool lex_bytes(lm_lq_lexer *lexer, size_t begin, size_t end_of_number, lm_lq_token *out)
{
    size_t end = run_of(lexer, end_of_number, "BikKMGTP");
    lm_str text = {lexer->text.ptr + begin, end - begin};
    if (end == end_of_number || !lm_lq_bytes(text, &out->bytes)) return false;
    out->kind = LM_LQ_T_BYTES;
    out->text = text;
    lexer->at = end;
    return true;
}

static void lex_number(lm_lq_lexer *lexer, lm_lq_token *out)
{
    size_t begin = lexer->at, at = begin;
    lm_str text = lexer->text;
    if (text.ptr[at] == '0' && at + 2 < text.len && (text.ptr[at + 1] | 0x20) == 'x' &&
        hex_of(text.ptr[at + 2]) >= 0) {
        at += 2;
        while (at < text.len && hex_of(text.ptr[at]) >= 0)
            at++;
    } else {
        while (at < text.len && is_digit(text.ptr[at]))
            at++;
        if (at < text.len && text.ptr[at] == '.') {
            at++;
            while (at < text.len && is_digit(text.ptr[at]))
                at++;
        }
        size_t exponent = at;
        if (exponent < text.len && (text.ptr[exponent] | 0x20) == 'e') {
            exponent++;
            if (exponent < text.len && (text.ptr[exponent] == '+' || text.ptr[exponent] == '-'))
                exponent++;
            if (exponent < text.len && is_digit(text.ptr[exponent])) {
                while (exponent < text.len && is_digit(text.ptr[exponent]))
                    exponent++;
                at = exponent;
            }
        }
    }
    if (lex_duration(lexer, begin, at, out) || lex_bytes(lexer, begin, at, out)) return;
    out->kind = LM_LQ_T_NUMBER;
    out->text = (lm_str){text.ptr + begin, at - begin};
    lexer->at = at;
}

static lm_err lex_range(lm_lq_lexer *lexer, lm_lq_token *out)
{
    size_t begin = ++lexer->at;
    while (lexer->at < lexer->text.len && peek(lexer, 0) != ']')
        lexer->at++;
    if (lexer->at >= lexer->text.len) {
        return lm_lq_fail_at(lexer->text, out->offset, "missing closing ']' in duration");
    }
    lm_str text = {lexer->text.ptr + begin, lexer->at - begin};
    lexer->at++;
    out->kind = LM_LQ_T_RANGE;
    out->text = text;
    if (text.len == 0) return lm_lq_fail_at(lexer->text, out->offset, "empty duration string");
    if (lm_lq_duration_prom(text, &out->ns)) return LM_OK;
    size_t digits = 0, end = 0;
    while (digits < text.len && is_digit(text.ptr[digits]))
        digits++;
    end = digits;
    while (end < text.len && !is_digit(text.ptr[end]))
        end++;
    if (digits && end > digits) {
        return lm_lq_fail_at(lexer->text, out->offset, "unknown unit \"%.*s\" in duration \"%.*s\"",
                             (int)(end - digits < 100 ? end - digits : 100),
                             (const char *)text.ptr + digits,
                             (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
    }
    return lm_lq_fail_at(lexer->text, out->offset, "not a valid duration string: \"%.*s\"",
                         (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
}

/* ---- signs ---- */

static bool lex_flag(lm_lq_lexer *lexer, lm_lq_token *out)
{
    size_t at = lexer->at + 2;
    while (at < lexer->text.len && (is_letter(lexer->text.ptr[at]) || lexer->text.ptr[at] == '-'))
        at++;
    lm_str text = {lexer->text.ptr + lexer->at, at - lexer->at};
    if (!lm_str_equal(text, LM_STR("--strict")) && !lm_str_equal(text, LM_STR("--keep-empty")))
        return false;
    out->kind = LM_LQ_T_FLAG;
    out->text = text;
    lexer->at = at;
    return true;
}

static bool lex_sign(lm_lq_lexer *lexer, lm_lq_token *out)
{
    lm_str rest = {lexer->text.ptr + lexer->at, lexer->text.len - lexer->at};
    lm_lq_tok found = LM_LQ_T_END;
    size_t found_len = 0;
    for (int tok = LM_LQ_T_COMMA; tok <= LM_LQ_T_POW; tok++) {
        lm_str sign = lm_str_of(texts[tok]);
        if (sign.len > found_len && lm_str_starts(rest, sign)) {
            found = (lm_lq_tok)tok;
            found_len = sign.len;
        }
    }
    if (!found_len) return false;
    out->kind = found;
    out->text = (lm_str){rest.ptr, found_len};
    lexer->at += found_len;
    return true;
}

lm_err lm_lq_lex(lm_lq_lexer *lexer, lm_lq_token *out)
{
    skip_blank(lexer);
    *out = (lm_lq_token){.kind = LM_LQ_T_END, .offset = lexer->at};
    if (lexer->at >= lexer->text.len) return LM_OK;
    uint8_t c = peek(lexer, 0);
    if (is_letter(c)) {
        lex_word(lexer, out);
        return LM_OK;
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
        lex_number(lexer, out);
        return LM_OK;
    }
    if (c == '"' || c == '`') return lex_string(lexer, out);
    if (c == '[') return lex_range(lexer, out);
    if (c == '-' && peek(lexer, 1) == '-' && lex_flag(lexer, out)) return LM_OK;
    if (c == '-' && is_digit(peek(lexer, 1)) && lex_duration(lexer, lexer->at, lexer->at + 1, out))
        return LM_OK;
    if (lex_sign(lexer, out)) return LM_OK;
    /* What is no token of the language is told as Loki's scanner tells it. */
    out->kind = LM_LQ_T_IDENTIFIER;
    out->text = (lm_str){lexer->text.ptr + lexer->at, 1};
    return lm_lq_fail_at(lexer->text, out->offset, "syntax error: unexpected IDENTIFIER");
}

/** Severity words. */
#include "schema/schema_priv.h"

enum { WORD_BYTES_MAX = 13 };

static const struct word {
    const char *text;
    uint8_t len;
    uint8_t severity;
} words[] = {

#define LM_SEVERITY_WORD(text, severity) {text, sizeof(text) - 1, LM_SEV_##severity},
#include "schema/schema_severity.def"
#undef LM_SEVERITY_WORD
};

/* Of each word the length and the first letter: what most words are told apart by. */
static const uint16_t heads[] = {

#define LM_SEVERITY_WORD(text, severity) (uint16_t)((sizeof(text) - 1) << 8 | (uint8_t)(text)[0]),
#include "schema/schema_severity.def"
#undef LM_SEVERITY_WORD
};

const char *lm_severity_name(lm_severity severity)
{
    static const char *const names[] = {"unknown", "trace", "debug", "info",
                                        "notice",  "warn",  "error", "fatal"};
    return (unsigned)severity < sizeof names / sizeof names[0] ? names[severity] : names[0];
}

static lm_severity of_syslog(unsigned priority)
{
    static const uint8_t map[8] = {LM_SEV_FATAL, LM_SEV_FATAL,  LM_SEV_FATAL, LM_SEV_ERROR,
                                   LM_SEV_WARN,  LM_SEV_NOTICE, LM_SEV_INFO,  LM_SEV_DEBUG};
    return (lm_severity)map[priority & 7];
}

/* Syslog's 0 to 7 (GELF), or tens from 10 to 60 (bunyan, pino). */
static lm_severity of_number(lm_str text)
{
    if (text.len == 1 && text.ptr[0] < '8') return of_syslog((unsigned)(text.ptr[0] - '0'));
    if (text.len != 2 || text.ptr[1] != '0') return LM_SEV_UNKNOWN;
    switch (text.ptr[0]) {
    case '1':
        return LM_SEV_TRACE;
    case '2':
        return LM_SEV_DEBUG;
    case '3':
        return LM_SEV_INFO;
    case '4':
        return LM_SEV_WARN;
    case '5':
        return LM_SEV_ERROR;
    case '6':
        return LM_SEV_FATAL;
    default:
        return LM_SEV_UNKNOWN;
    }
}

static lm_severity of_letter(uint8_t c)
{
    switch (c) {
    case 'T':
    case 't':
        return LM_SEV_TRACE;
    case 'D':
    case 'd':
    case 'V':
    case 'v':
    case '.':
    case '-':
        return LM_SEV_DEBUG; /* . - * # are Redis's */
    case 'I':
    case 'i':
        return LM_SEV_INFO;
    case 'N':
    case 'n':
    case '*':
        return LM_SEV_NOTICE;
    case 'W':
    case 'w':
    case '#':
        return LM_SEV_WARN;
    case 'E':
    case 'e':
        return LM_SEV_ERROR;
    case 'F':
    case 'f':
    case 'C':
    case 'c':
    case 'A':
    case 'a':
        return LM_SEV_FATAL;
    default:
        return LM_SEV_UNKNOWN;
    }
}

static lm_severity of_word(lm_str text)
{
    if (text.len < 3 || text.len > WORD_BYTES_MAX) return LM_SEV_UNKNOWN;
    uint16_t head = (uint16_t)(text.len << 8 | text.ptr[0] | 0x20);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (heads[i] != head) continue;
        if (lm_str_equal_nocase(text, (lm_str){(const uint8_t *)words[i].text, words[i].len}))
            return (lm_severity)words[i].severity;
    }
    return LM_SEV_UNKNOWN;
}

lm_severity lm_severity_parse(lm_str text)
{
    while (text.len && (lm_is_blank(text.ptr[0]) || text.ptr[0] == '['))
        text.ptr++, text.len--;
    while (text.len > 1 && (lm_is_blank(text.ptr[text.len - 1]) || text.ptr[text.len - 1] == ']' ||
                            text.ptr[text.len - 1] == ':'))
        text.len--;
    if (text.len == 0) return LM_SEV_UNKNOWN;
    if (lm_is_digit(text.ptr[0])) return of_number(text);
    if (text.len == 1) return of_letter(text.ptr[0]);
    if (text.ptr[0] == '<' && text.ptr[text.len - 1] == '>' && text.len <= 5) {
        unsigned number = 0;
        for (size_t i = 1; i + 1 < text.len; i++) {
            if (!lm_is_digit(text.ptr[i])) return LM_SEV_UNKNOWN;
            number = number * 10 + (unsigned)(text.ptr[i] - '0');
        }
        return text.len > 2 && number < 192 ? of_syslog(number) : LM_SEV_UNKNOWN;
    }
    if (text.len == 2 && text.ptr[0] == 'D' && lm_is_digit(text.ptr[1]))
        return LM_SEV_DEBUG; /* D1..D5 */
    return of_word(text);
}

size_t lm_match_level(const uint8_t *text, size_t len)
{
    size_t n = 0;
    while (n < len && n <= WORD_BYTES_MAX && (lm_is_alpha(text[n]) || (n && lm_is_digit(text[n]))))
        n++;
    if (n < 3 || n > WORD_BYTES_MAX) return 0;
    if (n < len &&
        (text[n] == '_' || text[n] == '.' || text[n] == '/' || text[n] == '=' || text[n] >= 0x80))
        return 0;
    return of_word((lm_str){text, n}) == LM_SEV_UNKNOWN ? 0 : n;
}

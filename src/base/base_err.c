/** Errors: one record per thread, written where a failure is detected, read by whoever reports it.
 */
#include "base/base_err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local lm_err_info last = {.code = LM_OK, .offset = LM_NO_OFFSET};

/* The arguments may point into last.text (a caller that quotes the failure before), so the new text
 * is made aside and copied over. */
LM_PRINTF(3, 0)

static lm_err record(lm_err code, uint64_t offset, const char *fmt, va_list args)
{
    char text[sizeof last.text];
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0) text[0] = '\0';
    memcpy(last.text, text, strlen(text) + 1);
    last.code = code;
    last.offset = offset;
    return code;
}

lm_err lm_fail(lm_err code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    lm_err err = record(code, LM_NO_OFFSET, fmt, args);
    va_end(args);
    return err;
}

lm_err lm_fail_at(lm_err code, uint64_t offset, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    lm_err err = record(code, offset, fmt, args);
    va_end(args);
    return err;
}

lm_err lm_fail_errno(const char *fmt, ...)
{
    int saved = errno; /* vsnprintf may change it */
    va_list args;
    va_start(args, fmt);
    lm_err err = record(LM_E_IO, LM_NO_OFFSET, fmt, args);
    va_end(args);

    char space[128];
    const char *reason = strerror_r(saved, space, sizeof space);
    size_t used = strlen(last.text);
    int n = snprintf(last.text + used, sizeof last.text - used, ": %s", reason);
    /* Our messages are lower case throughout: "Permission denied" -> "permission denied". */
    if (n > 2 && used + 2 < sizeof last.text) {
        char *c = last.text + used + 2;
        if (c[0] >= 'A' && c[0] <= 'Z' && !(c[1] >= 'A' && c[1] <= 'Z'))
            *c = (char)(*c + ('a' - 'A'));
    }
    errno = saved;
    return err;
}

lm_err lm_fail_in(lm_err code, const char *fmt, ...)
{
    char words[sizeof last.text];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    if (n < 0) words[0] = '\0';

    if (last.code != code ||
        last.text[0] == '\0') { /* nobody described it: the code's own help must do */
        last.code = code;
        last.offset = LM_NO_OFFSET;
        snprintf(last.text, sizeof last.text, "%s", lm_err_help(code));
    }
    size_t len = strlen(words);
    bool has_gap = len == 0 || words[len - 1] == ' ';
    char text[sizeof last.text];
    size_t used = 0;
    const char *const parts[] = {words, has_gap ? "" : ": ", last.text};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t part = strlen(parts[i]);
        size_t room = sizeof text - 1 - used;
        if (part > room) part = room;
        memcpy(text + used, parts[i], part);
        used += part;
    }
    memcpy(last.text, text, used);
    last.text[used] = '\0';
    return code;
}

const char *lm_err_text(void)
{
    return last.text;
}

const char *lm_err_help(lm_err code)
{
    switch (code) {
    case LM_OK:
        return "no failure";
#define LM_ERROR(name, value, help)                                                                \
    case value:                                                                                    \
        return help;
#include "base/errors.def"
#undef LM_ERROR
    default:
        return "unknown failure";
    }
}

void lm_err_save(lm_err_info *out)
{
    *out = last;
}

lm_err lm_err_restore(const lm_err_info *info)
{
    last = *info;
    return info->code;
}

void lm_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "logmill: broken assertion '%s' at %s:%d\n", cond, file, line);
    abort();
}

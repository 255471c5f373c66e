/** Parameters as Loki reads them (pkg/loghttp/params.go is the reference for forms and words). */
#include "server/server_param_priv.h"

#include "control/control.h"
#include "schema/schema_time.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S 1000000000

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

lm_str server_decode(lm_str text, bool is_form, lm_arena *arena)
{
    bool is_plain = true;
    for (size_t i = 0; i < text.len && is_plain; i++)
        is_plain = text.ptr[i] != '%' && (text.ptr[i] != '+' || !is_form);
    if (is_plain && text.ptr) return text;
    uint8_t *out = lm_arena_alloc(arena, text.len + 1, 1);
    if (!out) return (lm_str){NULL, 0};
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        int high = c == '%' && i + 2 < text.len ? hex_of(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_of(text.ptr[i + 2]) : -1;
        if (low >= 0) {
            out[len++] = (uint8_t)(high << 4 | low);
            i += 2;
        } else {
            out[len++] = c == '+' && is_form ? ' ' : c;
        }
    }
    return (lm_str){out, len};
}

static lm_err form_add(server_form *form, lm_arena *arena, lm_str name, lm_str value)
{
    if (form->count == FORM_PAIRS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %u parameters", FORM_PAIRS_MAX);
    if (form->count == form->cap) {
        size_t cap = form->cap ? form->cap * 2 : 8;
        server_pair *pairs = lm_arena_alloc(arena, cap * sizeof *pairs, _Alignof(server_pair));
        if (!pairs) return lm_mem_err();
        if (form->count) memcpy(pairs, form->pairs, form->count * sizeof *pairs);
        form->pairs = pairs;
        form->cap = cap;
    }
    server_pair pair = {server_decode(name, true, arena), server_decode(value, true, arena)};
    if (!pair.name.ptr || !pair.value.ptr) return lm_mem_err();
    form->pairs[form->count++] = pair;
    return LM_OK;
}

lm_err server_form_parse(lm_str text, lm_arena *arena, server_form *form)
{
    lm_err err = LM_OK;
    for (size_t i = 0; i < text.len && !err;) {
        size_t end = i, equals = SIZE_MAX;
        for (; end < text.len && text.ptr[end] != '&'; end++) {
            if (text.ptr[end] == '=' && equals == SIZE_MAX) equals = end;
        }
        if (equals == SIZE_MAX) equals = end;
        lm_str name = {text.ptr + i, equals - i};
        size_t from = equals < end ? equals + 1 : end;
        if (end > i) err = form_add(form, arena, name, (lm_str){text.ptr + from, end - from});
        i = end + 1;
    }
    return err;
}

lm_str server_form_at(const server_form *form, const char *name, size_t index)
{
    lm_str wanted = lm_str_of(name);
    for (size_t i = 0; i < form->count; i++) {
        if (lm_str_equal(form->pairs[i].name, wanted) && !index--) return form->pairs[i].value;
    }
    return (lm_str){NULL, 0};
}

lm_str server_form_get(const server_form *form, const char *name)
{
    return server_form_at(form, name, 0);
}

/** As a C text, for strtod; false: too long to be a number. */
static bool to_z(lm_str text, char *dst, size_t cap)
{
    if (text.len >= cap || memchr(text.ptr, 0, text.len)) return false;
    memcpy(dst, text.ptr, text.len);
    dst[text.len] = '\0';
    return true;
}

static bool read_real(lm_str text, double *out)
{
    char number[64], *end;
    bool is_sign = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+' || text.ptr[0] == '.' ||
                                (text.ptr[0] >= '0' && text.ptr[0] <= '9'));
    if (!is_sign || !to_z(text, number, sizeof number)) return false;
    if (strpbrk(number, "xXnNiI")) return false;
    *out = strtod(number, &end);
    return *end == '\0' && isfinite(*out);
}

static bool read_integer(lm_str text, int64_t *out)
{
    uint64_t value = 0;
    size_t i = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
    if (i == text.len) return false;
    for (; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        value += (uint64_t)(text.ptr[i] - '0');
        if (value > INT64_MAX) return false;
    }
    *out = text.ptr[0] == '-' ? -(int64_t)value : (int64_t)value;
    return true;
}

static bool seconds_to_ns(double seconds, int64_t *out)
{
    if (seconds < -9.2e9 || seconds > 9.2e9) return false;
    double whole = trunc(seconds);
    *out = (int64_t)whole * NS_PER_S + (int64_t)round((seconds - whole) * 1000) * (NS_PER_S / 1000);
    return true;
}

static lm_err wrong_syntax(const char *function, lm_str text)
{
    return lm_fail(LM_E_USAGE, "strconv.%s: parsing \"%.*s\": invalid syntax", function,
                   (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
}

lm_err server_time_parse(lm_str text, int64_t otherwise, int64_t *out)
{
    double seconds;
    int64_t number;
    lm_time time;
    if (!text.len) {
        *out = otherwise;
        return LM_OK;
    }
    if (memchr(text.ptr, '.', text.len) && read_real(text, &seconds) && seconds_to_ns(seconds, out))
        return LM_OK;
    if (read_integer(text, &number)) {
        if (text.len > 10) {
            *out = number;
            return LM_OK;
        }
        int64_t ns;
        if (!__builtin_mul_overflow(number, (int64_t)NS_PER_S, &ns)) {
            *out = ns;
            return LM_OK;
        }
        return lm_fail(LM_E_USAGE, "strconv.ParseInt: parsing \"%.*s\": value out of range",
                       (int)text.len, (const char *)text.ptr);
    }
    if (text.len >= 20 && text.ptr[10] == 'T' && lm_time_parse(text.ptr, text.len, &time) &&
        time.len == text.len && lm_time_layout_has_year(time.layout)) {
        *out = lm_time_ns(time.layout, time.ticks, INT64_MAX);
        return LM_OK;
    }
    return wrong_syntax("ParseInt", text);
}

lm_err server_duration_parse(lm_str text, int64_t otherwise, int64_t *out)
{
    uint64_t ns;
    if (!text.len) {
        *out = otherwise;
        return LM_OK;
    }
    if (!lm_duration_read(text, &ns))
        return lm_fail(LM_E_USAGE, "not a valid duration string: \"%.*s\"",
                       (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
    *out = (int64_t)ns;
    return LM_OK;
}

lm_err server_seconds_parse(lm_str text, int64_t otherwise, int64_t *out)
{
    double seconds;
    uint64_t ns;
    if (!text.len) {
        *out = otherwise;
        return LM_OK;
    }
    if (read_real(text, &seconds) && seconds_to_ns(seconds, out)) return LM_OK;
    if (!lm_duration_read(text, &ns))
        return lm_fail(LM_E_USAGE, "cannot parse \"%.*s\" to a valid duration",
                       (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr);
    *out = (int64_t)ns;
    return LM_OK;
}

lm_err server_limit_parse(lm_str text, uint32_t otherwise, uint32_t *out)
{
    int64_t value = otherwise;
    if (text.len && !read_integer(text, &value)) return wrong_syntax("Atoi", text);
    if (value <= 0) return lm_fail(LM_E_USAGE, "limit must be a positive value");
    *out = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return LM_OK;
}

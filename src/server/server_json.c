/** JSON writing. */
#include "server/server_json_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put(server_json *json, const void *text, size_t len)
{
    if (!json->err) json->err = lm_buf_append(json->out, text, len);
}

static void put_z(server_json *json, const char *text)
{
    put(json, text, strlen(text));
}

static void begin_value(server_json *json)
{
    if (json->has_item) put(json, ",", 1);
    json->has_item = true;
}

void server_json_open(server_json *json, char bracket)
{
    begin_value(json);
    put(json, &bracket, 1);
    json->has_item = false;
}

void server_json_close(server_json *json, char bracket)
{
    put(json, &bracket, 1);
    json->has_item = true;
}

/** Bytes of the UTF-8 sequence at s, 0 if it is none. */
static size_t utf8_len(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    size_t need = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : 4;
    if (c >= 0xF5 || (c >= 0x80 && c < 0xC2) || need > left) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F)) return 0;
    if ((c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F)) return 0;
    return need;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/** Writes one sign that is not plain; how many bytes of the text it took. */
static size_t put_sign(lm_buf *out, const uint8_t *s, size_t left)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t *at = out->ptr + out->len;
    uint8_t c = s[0];
    const char *name = c ? strchr("\"\\\bb\ff\nn\rr\tt", c) : NULL;
    if (c == '"' || c == '\\') {
        memcpy(at, (char[2]){'\\', (char)c}, 2);
        out->len += 2;
        return 1;
    }
    if (c < 0x20 && name) {
        memcpy(at, (char[2]){'\\', name[1]}, 2);
        out->len += 2;
        return 1;
    }
    if (c < 0x20 || c == 0x7f) {
        memcpy(at, "\\u00", 4);
        at[4] = (uint8_t)hex[c >> 4];
        at[5] = (uint8_t)hex[c & 15];
        out->len += 6;
        return 1;
    }
    size_t len = utf8_len(s, left);
    if (!len) {
        memcpy(at, "\xEF\xBF\xBD", 3); /* U+FFFD */
        out->len += 3;
        return 1;
    }
    if (len) memcpy(at, s, len);
    out->len += len;
    return len;
}

static void put_quoted(server_json *json, lm_str text)
{
    lm_buf *out = json->out;
    if (json->err) return;
    json->err = lm_buf_reserve(out, text.len + 16);
    if (json->err) return;
    out->ptr[out->len++] = '"';
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        while (i < text.len && is_plain(text.ptr[i]))
            i++;
        json->err = lm_buf_append(out, text.ptr + from, i - from);
        if (!json->err) json->err = lm_buf_reserve(out, 16);
        if (json->err) return;
        if (i < text.len) i += put_sign(out, text.ptr + i, text.len - i);
    }
    json->err = lm_buf_u8(out, '"');
}

void server_json_key_text(server_json *json, lm_str key)
{
    begin_value(json);
    put_quoted(json, key);
    put(json, ":", 1);
    json->has_item = false;
}

void server_json_key(server_json *json, const char *key)
{
    server_json_key_text(json, lm_str_of(key));
}

void server_json_text(server_json *json, lm_str text)
{
    begin_value(json);
    put_quoted(json, text);
}

void server_json_z(server_json *json, const char *text)
{
    server_json_text(json, lm_str_of(text));
}

void server_json_i64(server_json *json, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    begin_value(json);
    put_z(json, text);
}

void server_json_u64(server_json *json, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    begin_value(json);
    put_z(json, text);
}

void server_json_i64_text(server_json *json, int64_t value)
{
    char text[32], *at = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    *--at = '"';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) *--at = '-';
    *--at = '"';
    begin_value(json);
    put(json, at, (size_t)(text + sizeof text - at));
}

void server_json_bool(server_json *json, bool value)
{
    begin_value(json);
    put_z(json, value ? "true" : "false");
}

void server_json_raw(server_json *json, const char *text)
{
    begin_value(json);
    put_z(json, text);
}

size_t server_real_print(double value, char *dst)
{
    if (isnan(value)) return (size_t)sprintf(dst, "NaN");
    if (isinf(value)) return (size_t)sprintf(dst, value > 0 ? "+Inf" : "-Inf");
    if (value == trunc(value) && fabs(value) < 1e15)
        return (size_t)sprintf(dst, "%" PRId64, (int64_t)value);
    /* The fewest digits that read back to the same number. */
    char text[40];
    int digits = 14;
    do {
        (void)snprintf(text, sizeof text, "%.*e", digits, value);
    } while (strtod(text, NULL) != value && ++digits < 17);
    const char *at = text;
    size_t len = 0;
    if (*at == '-') dst[len++] = *at++;
    char all[24];
    int count = 0;
    for (; *at && *at != 'e'; at++) {
        if (*at != '.') all[count++] = *at;
    }
    int point = atoi(at + 1) + 1; /* digits before the point */
    while (count > 1 && all[count - 1] == '0')
        count--;
    if (point <= 0) {
        dst[len++] = '0';
        dst[len++] = '.';
        for (int i = point; i < 0; i++)
            dst[len++] = '0';
    }
    for (int i = 0; i < count; i++) {
        if (i == point && i > 0) dst[len++] = '.';
        dst[len++] = all[i];
    }
    for (int i = count; i < point; i++)
        dst[len++] = '0';
    dst[len] = '\0';
    return len;
}

void server_json_sample(server_json *json, double value)
{
    char text[400];
    size_t len = server_real_print(value, text);
    begin_value(json);
    put(json, "\"", 1);
    put(json, text, len);
    put(json, "\"", 1);
}

void server_json_real(server_json *json, double value)
{
    char text[400];
    begin_value(json);
    if (!isfinite(value)) {
        put_z(json, "null");
        return;
    }
    put(json, text, server_real_print(value, text));
}

void server_json_seconds(server_json *json, int64_t time_ns)
{
    char text[40];
    int64_t ms = time_ns / 1000000;
    int64_t rest = ms % 1000;
    size_t len;
    begin_value(json);
    if (rest == 0) {
        len = (size_t)snprintf(text, sizeof text, "%" PRId64, ms / 1000);
    } else {
        len = (size_t)snprintf(text, sizeof text, "%s%" PRId64 ".%03" PRId64, ms < 0 ? "-" : "",
                               ms / 1000 < 0 ? -(ms / 1000) : ms / 1000, rest < 0 ? -rest : rest);
        while (text[len - 1] == '0')
            len--;
    }
    put(json, text, len);
}

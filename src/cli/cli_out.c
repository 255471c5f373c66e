/** Standard output: buffered bytes, colours, numbers for people, JSON. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define OUT_BYTES  (64u * 1024u)
#define ROWS_BYTES (64u * 1024u)

static bool has_color;
static bool is_terminal;
static bool json_needs_comma;
static int first_errno;

bool cli_out_open(const cli_args *args)
{
    static char buffer[OUT_BYTES];
    is_terminal = isatty(STDOUT_FILENO) == 1;
    /* A terminal shows lines as they come; everything else takes large writes. */
    if (!is_terminal) (void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    const char *wish = cli_text(args, "color"), *no_color = getenv("NO_COLOR"),
               *term = getenv("TERM");
    if (wish && strcmp(wish, "auto") != 0)
        has_color = strcmp(wish, "always") == 0;
    else
        has_color =
            is_terminal && !(no_color && no_color[0]) && !(term && strcmp(term, "dumb") == 0);
    return true;
}

bool cli_out_is_terminal(void)
{
    return is_terminal;
}

/* Rows are many and short: they are gathered here, and go out before anything else does. */
static char rows[ROWS_BYTES];
static size_t rows_len;

static bool put_out(const char *ptr, size_t len)
{
    if (fwrite_unlocked(ptr, 1, len, stdout) == len) return true;
    if (!first_errno) first_errno = errno;
    return false;
}

bool cli_rows_flush(void)
{
    size_t len = rows_len;
    rows_len = 0;
    return len == 0 || put_out(rows, len);
}

bool cli_put(lm_text text)
{
    if (rows_len && !cli_rows_flush()) return false;
    if (text.len == 0) return true; /* an empty text may be NULL */
    return put_out(text.ptr, text.len);
}

bool cli_put_row(lm_text text)
{
    if (text.len >= sizeof rows - rows_len) {
        if (!cli_rows_flush()) return false;
        if (text.len >= sizeof rows) return cli_put(text) && put_out("\n", 1);
    }
    if (text.len) memcpy(rows + rows_len, text.ptr, text.len);
    rows_len += text.len;
    rows[rows_len++] = '\n';
    return !is_terminal || cli_rows_flush();
}

bool cli_put_rows(lm_text rows_text)
{
    if (rows_text.len >= sizeof rows - rows_len) {
        if (!cli_rows_flush()) return false;
        if (rows_text.len >= sizeof rows) return cli_put(rows_text);
    }
    if (rows_text.len) memcpy(rows + rows_len, rows_text.ptr, rows_text.len);
    rows_len += rows_text.len;
    return !is_terminal || cli_rows_flush();
}

int cli_out_errno(void)
{
    return first_errno;
}

bool cli_put_z(const char *text)
{
    return cli_put((lm_text){text, strlen(text)});
}

void cli_putf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)cli_rows_flush(); /* a failure is kept */
    if (vprintf(fmt, args) < 0 && !first_errno) first_errno = errno;
    va_end(args);
}

const char *cli_color(const char *what)
{
    static const char *const colors[][2] = {
        {"file", "\033[35m"}, {"line", "\033[32m"}, {"match", "\033[1;31m"},
        {"dim", "\033[2m"},   {"bold", "\033[1m"},  {"good", "\033[32m"},
        {"bad", "\033[31m"},  {"slot", "\033[36m"}, {"off", "\033[0m"}};
    if (!has_color) return "";
    for (size_t i = 0; i < sizeof colors / sizeof colors[0]; i++) {
        if (strcmp(colors[i][0], what) == 0) return colors[i][1];
    }
    return "";
}

unsigned cli_width(void)
{
    struct winsize size;
    if (!is_terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
    return size.ws_col;
}

/* ---- numbers for people ---- */

const char *cli_bytes(uint64_t bytes, char *dst)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit < 6) {
        value /= 1024;
        unit++;
    }
    int decimals = unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
    (void)snprintf(dst, 32, "%.*f %s", decimals, value, units[unit]);
    return dst;
}

const char *cli_count(uint64_t count, char *dst)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *p = dst;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) *p++ = ' ';
        *p++ = digits[i];
    }
    *p = '\0';
    return dst;
}

const char *cli_counted(uint64_t count, const char *noun, char *dst)
{
    char number[32];
    (void)snprintf(dst, 48, "%s %s%s", cli_count(count, number), noun, count == 1 ? "" : "s");
    return dst;
}

static void time_split(int64_t ns, struct tm *out, int64_t *out_rest)
{
    int64_t seconds = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        seconds--;
    }
    time_t t = (time_t)seconds;
    (void)gmtime_r(&t, out); /* 64 bits of nanoseconds are always within its range */
    *out_rest = rest;
}

const char *cli_time(int64_t ns, char *dst)
{
    struct tm tm;
    int64_t rest = 0;
    if (ns == LM_TIME_NONE) return "-";
    time_split(ns, &tm, &rest);
    (void)strftime(dst, 32, "%Y-%m-%d %H:%M:%S", &tm);
    return dst;
}

const char *cli_time_iso(int64_t ns, char *dst)
{
    struct tm tm;
    int64_t rest = 0;
    time_split(ns, &tm, &rest);
    size_t len = strftime(dst, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest) {
        /* Three, six or nine digits, as many as there are. */
        int digits = rest % 1000000 == 0 ? 3 : rest % 1000 == 0 ? 6 : 9;
        int64_t shown = digits == 3 ? rest / 1000000 : digits == 6 ? rest / 1000 : rest;
        len += (size_t)snprintf(dst + len, 32 - len, ".%0*lld", digits, (long long)shown);
    }
    dst[len] = 'Z';
    dst[len + 1] = '\0';
    return dst;
}

const char *cli_share(uint64_t part, uint64_t whole, char *dst)
{
    double share = whole ? 100.0 * (double)part / (double)whole : 0;
    if (part && share < 0.05)
        (void)snprintf(dst, 32, "<0.1 %%");
    else
        (void)snprintf(dst, 32, "%.1f %%", share);
    return dst;
}

/* ---- text ---- */

/** Length of the UTF-8 character at p, or 0 if it is none. */
static size_t utf8_len(const char *ptr, size_t len)
{
    const unsigned char *p = (const unsigned char *)ptr;
    size_t want = p[0] < 0x80                   ? 1
                  : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                  : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 0;
    if (!want || want > len) return 0;
    for (size_t i = 1; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogates */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return want;
}

void cli_put_line(lm_text text, unsigned width)
{
    unsigned column = 0;
    for (size_t at = 0; at < text.len;) {
        if (width && column + 1 >= width && at + 1 < text.len) {
            (void)cli_put_z("…");
            return;
        }
        unsigned char c = (unsigned char)text.ptr[at];
        size_t len = utf8_len(text.ptr + at, text.len - at);
        if (!len || c == 0x7f || (c < 0x20 && c != '\t')) {
            cli_putf("\\x%02x", c);
            at++;
            column += 4;
        } else {
            (void)cli_put((lm_text){c == '\t' ? " " : text.ptr + at, len});
            at += len;
            column++;
        }
    }
}

/* ---- JSON ---- */

static void json_string(lm_text value, bool *out_invalid)
{
    static const char hex[] = "0123456789abcdef";
    (void)putc_unlocked('"', stdout);
    size_t run = 0; /* begin of what was not written yet */
    for (size_t at = 0; at < value.len;) {
        unsigned char c = (unsigned char)value.ptr[at];
        size_t len = c < 0x80 ? 1 : utf8_len(value.ptr + at, value.len - at);
        if (len && c >= 0x20 && c != '"' && c != '\\') {
            at += len;
            continue;
        }
        (void)cli_put((lm_text){value.ptr + run, at - run});
        if (c == '"' || c == '\\') {
            const char escaped[2] = {'\\', (char)c};
            (void)cli_put((lm_text){escaped, 2});
        } else if (c == '\t') {
            (void)cli_put_z("\\t");
        } else if (!len) {
            (void)cli_put_z("\\ufffd");
            *out_invalid = true;
        } else {
            const char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            (void)cli_put((lm_text){escaped, 6});
        }
        run = ++at;
    }
    (void)cli_put((lm_text){value.ptr + run, value.len - run});
    (void)putc_unlocked('"', stdout);
}

static void json_base64(lm_text value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)putc_unlocked('"', stdout);
    for (size_t at = 0; at < value.len; at += 3) {
        size_t left = value.len - at;
        uint32_t bits = (uint32_t)(unsigned char)value.ptr[at] << 16;
        if (left > 1) bits |= (uint32_t)(unsigned char)value.ptr[at + 1] << 8;
        if (left > 2) bits |= (uint32_t)(unsigned char)value.ptr[at + 2];
        const char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                               left > 1 ? digits[bits >> 6 & 63] : '=',
                               left > 2 ? digits[bits & 63] : '='};
        (void)cli_put((lm_text){group, 4});
    }
    (void)putc_unlocked('"', stdout);
}

static void json_key(const char *key)
{
    bool ignored = false;
    if (json_needs_comma) (void)putc_unlocked(',', stdout);
    json_needs_comma = true;
    if (!key) return; /* inside an array */
    json_string((lm_text){key, strlen(key)}, &ignored);
    (void)putc_unlocked(':', stdout);
}

void cli_json_begin(void)
{
    (void)cli_put_z("{\"schema\":1");
    json_needs_comma = true;
}

void cli_json_text(const char *key, lm_text value)
{
    bool is_invalid = false;
    json_key(key);
    json_string(value, &is_invalid);
    if (!is_invalid || !key) return;
    char name[64];
    (void)snprintf(name, sizeof name, "%s_base64", key);
    json_key(name);
    json_base64(value);
}

void cli_json_z(const char *key, const char *value)
{
    cli_json_text(key, (lm_text){value, strlen(value)});
}

void cli_json_number(const char *key, uint64_t value)
{
    json_key(key);
    cli_putf("%llu", (unsigned long long)value);
}

void cli_json_real(const char *key, double value)
{
    json_key(key);
    if (value > 1e300)
        (void)cli_put_z("null");
    else
        cli_putf("%.6g", value);
}

void cli_json_bool(const char *key, bool value)
{
    json_key(key);
    (void)cli_put_z(value ? "true" : "false");
}

void cli_json_time(const char *key, int64_t ns)
{
    char text[48];
    if (ns != LM_TIME_NONE) {
        cli_json_z(key, cli_time_iso(ns, text));
        return;
    }
    json_key(key);
    (void)cli_put_z("null");
}

void cli_json_open(const char *key, char bracket)
{
    json_key(key);
    (void)putc_unlocked(bracket, stdout);
    json_needs_comma = false;
}

void cli_json_close(char bracket)
{
    (void)putc_unlocked(bracket, stdout);
    json_needs_comma = true;
}

void cli_json_end(void)
{
    (void)cli_put_z("}\n");
    json_needs_comma = false;
}

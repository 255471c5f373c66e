/** Patterns with <captures>, texts of templates with <*>, and addresses. */
#include "logql/logql_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

/* ---- patterns ---- */

/** Length of `<name>` at s; 0: no capture begins here. */
static size_t capture_len(lm_str s)
{
    if (s.len < 3 || s.ptr[0] != '<' || !(isalpha(s.ptr[1]) || s.ptr[1] == '_')) return 0;
    size_t at = 2;
    while (at < s.len && (isalnum(s.ptr[at]) || s.ptr[at] == '_'))
        at++;
    return at < s.len && s.ptr[at] == '>' ? at + 1 : 0;
}

static bool is_unnamed(const lm_lq_piece *piece)
{
    return piece->text.len == 1 && piece->text.ptr[0] == '_';
}

static lm_err pattern_cut(lm_str text, lm_arena *arena, lm_lq_pattern *out)
{
    lm_lq_piece *pieces =
        lm_arena_alloc(arena, (text.len + 1) * sizeof *pieces, _Alignof(lm_lq_piece));
    if (!pieces) return lm_mem_err();
    uint32_t count = 0;
    for (size_t at = 0; at < text.len;) {
        lm_str rest = {text.ptr + at, text.len - at};
        size_t len = capture_len(rest);
        if (len) {
            pieces[count++] = (lm_lq_piece){{rest.ptr + 1, len - 2}, true};
            at += len;
        } else if (count && !pieces[count - 1].is_capture) {
            pieces[count - 1].text.len++;
            at++;
        } else {
            pieces[count++] = (lm_lq_piece){{rest.ptr, 1}, false};
            at++;
        }
    }
    *out = (lm_lq_pattern){pieces, count};
    return LM_OK;
}

lm_err lm_lq_pattern_make(lm_str text, bool is_filter, lm_arena *arena, lm_lq_pattern *out)
{
    lm_lq_pattern pattern;
    lm_err err = pattern_cut(text, arena, &pattern);
    if (err) return err;
    const lm_lq_piece *p = pattern.pieces;
    uint32_t named = 0;
    for (uint32_t i = 0; i < pattern.count; i++) {
        named += p[i].is_capture && !is_unnamed(&p[i]);
        if (i && p[i].is_capture && p[i - 1].is_capture) {
            return lm_fail(LM_E_USAGE,
                           "found consecutive capture '<%.*s><%.*s>': invalid expression",
                           (int)p[i - 1].text.len, (const char *)p[i - 1].text.ptr,
                           (int)p[i].text.len, (const char *)p[i].text.ptr);
        }
    }
    if (!is_filter && !named) return lm_fail(LM_E_USAGE, "at least one capture is required");
    for (uint32_t i = 0; i < pattern.count; i++) {
        if (!p[i].is_capture || is_unnamed(&p[i])) continue;
        if (is_filter) {
            return lm_fail(LM_E_USAGE, "named captures are not allowed: found '<%.*s>'",
                           (int)p[i].text.len, (const char *)p[i].text.ptr);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (p[k].is_capture && lm_str_equal(p[k].text, p[i].text)) {
                return lm_fail(LM_E_USAGE, "duplicate capture name (%.*s): invalid expression",
                               (int)p[i].text.len, (const char *)p[i].text.ptr);
            }
        }
    }
    *out = pattern;
    return LM_OK;
}

bool lm_lq_pattern_test(const lm_lq_pattern *pattern, lm_str line)
{
    if (line.len == 0 || pattern->count == 0) return line.len == 0 && pattern->count == 0;
    size_t at = 0;
    for (uint32_t i = 0; i < pattern->count; i++) {
        const lm_lq_piece *piece = &pattern->pieces[i];
        if (piece->is_capture) continue;
        size_t found = lm_str_find((lm_str){line.ptr + at, line.len - at}, piece->text);
        /* A text right behind what precedes it would leave a capture empty. */
        if (found == SIZE_MAX || (i && found == 0)) return false;
        at += found + piece->text.len;
    }
    return pattern->pieces[pattern->count - 1].is_capture == (at != line.len);
}

uint32_t lm_lq_pattern_match(const lm_lq_pattern *pattern, lm_str line, lm_str *out)
{
    if (line.len == 0 || pattern->count == 0) return 0;
    uint32_t i = 0, count = 0;
    if (!pattern->pieces[0].is_capture) {
        if (!lm_str_starts(line, pattern->pieces[0].text)) return 0;
        line.ptr += pattern->pieces[0].text.len;
        line.len -= pattern->pieces[0].text.len;
        i = 1;
    }
    for (; i < pattern->count; i += 2) {
        bool is_wanted = !is_unnamed(&pattern->pieces[i]);
        lm_str text = i + 1 < pattern->count ? pattern->pieces[i + 1].text : LM_STR("");
        size_t found = text.len ? lm_str_find(line, text) : SIZE_MAX;
        if (found == SIZE_MAX) { /* the end, or a text that is missing: the rest */
            if (is_wanted) out[count++] = line;
            return count;
        }
        if (is_wanted) out[count++] = (lm_str){line.ptr, found};
        line.ptr += found + text.len;
        line.len -= found + text.len;
    }
    return count;
}

/* ---- texts of templates ---- */

lm_err lm_lq_template_text_make(lm_str text, lm_arena *arena, lm_lq_pattern *out)
{
    lm_lq_piece *pieces =
        lm_arena_alloc(arena, (text.len + 1) * sizeof *pieces, _Alignof(lm_lq_piece));
    if (!pieces) return lm_mem_err();
    uint32_t count = 0;
    while (text.len) {
        size_t at = lm_str_find(text, LM_STR("<*>"));
        size_t len = at == SIZE_MAX ? text.len : at;
        if (len) pieces[count++] = (lm_lq_piece){{text.ptr, len}, false};
        if (at == SIZE_MAX) break;
        if (!count || !pieces[count - 1].is_capture)
            pieces[count++] = (lm_lq_piece){LM_STR("<*>"), true};
        text.ptr += at + 3;
        text.len -= at + 3;
    }
    *out = (lm_lq_pattern){pieces, count};
    return LM_OK;
}

bool lm_lq_template_text_test(const lm_lq_pattern *pattern, lm_str line)
{
    const lm_lq_piece *p = pattern->pieces;
    uint32_t first = 0, last = pattern->count;
    if (last == 0) return line.len == 0;
    if (!p[0].is_capture) {
        if (!lm_str_starts(line, p[0].text)) return false;
        line.ptr += p[0].text.len;
        line.len -= p[0].text.len;
        first = 1;
    }
    if (first < last && !p[last - 1].is_capture) {
        if (!lm_str_ends(line, p[last - 1].text)) return false;
        line.len -= p[last - 1].text.len;
        last--;
    }
    if (first == last) return line.len == 0;
    for (uint32_t i = first; i < last; i++) {
        if (p[i].is_capture) continue;
        size_t found = lm_str_find(line, p[i].text);
        if (found == SIZE_MAX) return false;
        line.ptr += found + p[i].text.len;
        line.len -= found + p[i].text.len;
    }
    return true;
}

/* ---- addresses ---- */

static bool address(lm_str text, uint8_t out[16], bool *out_v6)
{
    char name[64];
    if (text.len == 0 || text.len >= sizeof name) return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = 0;
    memset(out, 0, 16);
    *out_v6 = memchr(name, ':', text.len) != NULL;
    return inet_pton(*out_v6 ? AF_INET6 : AF_INET, name, out) == 1;
}

bool lm_lq_ip_make(lm_str text, lm_lq_ip *out)
{
    lm_lq_ip ip = {.is_v6 = false};
    if (address(text, ip.from, &ip.is_v6)) {
        memcpy(ip.to, ip.from, 16);
        *out = ip;
        return true;
    }
    size_t at = lm_str_find(text, LM_STR("/"));
    if (at != SIZE_MAX) {
        int64_t bits;
        lm_str tail = {text.ptr + at + 1, text.len - at - 1};
        if (!address((lm_str){text.ptr, at}, ip.from, &ip.is_v6) || !lm_lq_int(tail, &bits) ||
            bits < 0 || bits > (ip.is_v6 ? 128 : 32))
            return false;
        for (int i = 0; i < (ip.is_v6 ? 16 : 4); i++) {
            int kept = bits > 8 * i + 8 ? 8 : bits < 8 * i ? 0 : (int)bits - 8 * i;
            uint8_t mask = (uint8_t)(0xFF00 >> kept);
            ip.from[i] &= mask;
            ip.to[i] = (uint8_t)(ip.from[i] | (uint8_t)~mask);
        }
        *out = ip;
        return true;
    }
    at = lm_str_find(text, LM_STR("-"));
    bool to_v6;
    if (at == SIZE_MAX || !address((lm_str){text.ptr, at}, ip.from, &ip.is_v6) ||
        !address((lm_str){text.ptr + at + 1, text.len - at - 1}, ip.to, &to_v6) ||
        to_v6 != ip.is_v6 || memcmp(ip.from, ip.to, 16) > 0)
        return false;
    *out = ip;
    return true;
}

static bool is_hex(lm_str line, size_t at)
{
    return at < line.len && isxdigit(line.ptr[at]);
}

static bool is_colon(lm_str line, size_t at)
{
    return at < line.len && line.ptr[at] == ':';
}

/** May an address begin at line[at]? 4, 6 or 0; the same hints as Loki's. */
static int address_hint(lm_str line, size_t at)
{
    if (at + 3 < line.len && isdigit(line.ptr[at]) &&
        (line.ptr[at + 1] == '.' || line.ptr[at + 2] == '.' || line.ptr[at + 3] == '.'))
        return 4;
    if (is_colon(line, at) && is_colon(line, at + 1) && is_hex(line, at + 2)) return 6;
    for (size_t i = 0; i < 4 && is_hex(line, at + i); i++) {
        if (is_colon(line, at + i + 1)) return 6;
    }
    return 0;
}

bool lm_lq_ip_find(const lm_lq_ip *ip, lm_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        int hint = address_hint(line, i);
        if (!hint) continue;
        size_t end = i;
        while (end < line.len && line.ptr[end] &&
               strchr(hint == 4 ? "0123456789." : "0123456789abcdefABCDEF:.", line.ptr[end]))
            end++;
        uint8_t found[16];
        bool is_v6;
        if (address((lm_str){line.ptr + i, end - i}, found, &is_v6) && is_v6 == ip->is_v6 &&
            memcmp(ip->from, found, 16) <= 0 && memcmp(found, ip->to, 16) <= 0)
            return true;
        i = end;
    }
    return false;
}

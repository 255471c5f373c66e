/* Regular expressions as Go writes them. Bytes are matched as bytes unless a pattern can tell the
 * difference. */
#include "logql/logql_priv.h"

#include <stdio.h>

/** Would characters of several bytes be matched otherwise than their bytes? A run of any length of
 * `.` or of a class that excludes takes either; a counted one does not. */
static bool needs_utf8(lm_str pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        uint8_t c = pattern.ptr[i], next = i + 1 < pattern.len ? pattern.ptr[i + 1] : 0;
        if (c >= 0x80) return true;
        size_t end = i; /* of something that takes one character of a large set */
        if (c == '\\') {
            if (next == 'p' || next == 'P' || (next == 'x' && i + 2 < pattern.len)) return true;
            i++;
            if (next != 'W' && next != 'D' && next != 'S' && next != 'N') continue;
            end = i;
        } else if (c == '[') {
            bool excludes = next == '^';
            size_t at = i + (excludes ? 2 : 1);
            if (at < pattern.len && pattern.ptr[at] == ']') at++;
            while (at < pattern.len && pattern.ptr[at] != ']') {
                if (pattern.ptr[at] >= 0x80) return true;
                if (pattern.ptr[at] == '\\' && at + 1 < pattern.len) {
                    at++;
                    if (strchr("pPWDSx", pattern.ptr[at])) return true;
                }
                if (pattern.ptr[at] == '[' && at + 1 < pattern.len && pattern.ptr[at + 1] == ':') {
                    while (at < pattern.len && pattern.ptr[at] != ']')
                        at++;
                }
                at++;
            }
            i = at;
            if (!excludes) continue;
            end = at;
        } else if (c != '.') {
            continue;
        }
        uint8_t count = end + 1 < pattern.len ? pattern.ptr[end + 1] : 0;
        if (count != '*' && count != '+') return true;
    }
    return false;
}

/* The commonest mistakes in the words of Go's package, which users know from Loki. */
static const struct {
    int code;
    const char *text;
} go_words[] = {{101, "trailing backslash at end of expression"},
                {103, "invalid escape sequence"},
                {106, "missing closing ]"},
                {108, "invalid character class range"},
                {109, "missing argument to repetition operator"},
                {111, "invalid or unsupported Perl syntax"},
                {114, "missing closing )"},
                {122, "unexpected )"}};

lm_err lm_lq_regex_new(lm_mem *mem, lm_str pattern, unsigned flags, lm_regex **out)
{
    lm_regex_fault fault;
    flags |= LM_REGEX_END_ONLY | LM_REGEX_DUPNAMES | (needs_utf8(pattern) ? LM_REGEX_UTF8 : 0);
    lm_err err = lm_regex_new(mem, pattern, flags, &fault, out);
    if (err != LM_E_USAGE) return err;
    const char *text = fault.text;
    for (size_t i = 0; i < sizeof go_words / sizeof *go_words; i++) {
        if (go_words[i].code == fault.code) text = go_words[i].text;
    }
    return lm_fail_at(err, fault.offset, "error parsing regexp: %s: `%.*s`", text,
                      (int)(pattern.len < 150 ? pattern.len : 150), (const char *)pattern.ptr);
}

static bool is_name_part(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/** The group that $... at by.ptr[at] names; *io_at goes behind it. false: a plain '$'. */
static bool group_of(const lm_regex *regex, lm_str by, size_t *io_at, uint32_t *out)
{
    size_t at = *io_at + 1;
    bool has_brace = at < by.len && by.ptr[at] == '{';
    size_t begin = at + has_brace, end = begin;
    while (end < by.len && is_name_part(by.ptr[end]))
        end++;
    if (end == begin || (has_brace && (end == by.len || by.ptr[end] != '}'))) return false;
    lm_str name = {by.ptr + begin, end - begin};
    *io_at = end + has_brace;
    *out = UINT32_MAX; /* an unknown name: nothing is put in */
    int64_t number;
    if (name.ptr[0] >= '0' && name.ptr[0] <= '9' && lm_lq_int(name, &number)) {
        if (number <= (int64_t)lm_regex_group_count(regex)) *out = (uint32_t)number;
        return true;
    }
    for (uint32_t i = 1; i <= lm_regex_group_count(regex); i++) {
        if (lm_str_equal(lm_regex_group_name(regex, i), name)) *out = i;
    }
    return true;
}

lm_err lm_lq_regex_expand(const lm_regex *regex, lm_str text, const size_t *groups, lm_str by,
                          lm_buf *out)
{
    lm_err err = LM_OK;
    for (size_t at = 0; at < by.len && !err;) {
        uint32_t group;
        if (by.ptr[at] != '$') {
            err = lm_buf_u8(out, by.ptr[at++]);
        } else if (at + 1 < by.len && by.ptr[at + 1] == '$') {
            err = lm_buf_u8(out, '$');
            at += 2;
        } else if (!group_of(regex, by, &at, &group)) {
            err = lm_buf_u8(out, by.ptr[at++]);
        } else if (group != UINT32_MAX && groups[2 * group] != SIZE_MAX) {
            err = lm_buf_append(out, text.ptr + groups[2 * group],
                                groups[2 * group + 1] - groups[2 * group]);
        }
    }
    return err;
}

lm_err lm_lq_regex_replace(const lm_regex *regex, lm_str text, lm_str by, bool literal,
                           lm_regex_room *room, lm_buf *out)
{
    size_t at = 0, copied = 0;
    size_t last_end = SIZE_MAX; /* no empty match directly behind a match, as Go has it */
    while (at <= text.len) {
        bool found = false;
        const size_t *groups = NULL;
        lm_err err = lm_regex_find(regex, text, at, room, &found, &groups);
        if (err) return err;
        if (!found) break;
        size_t begin = groups[0], end = groups[1];
        if (end > begin || begin != last_end) {
            err = lm_buf_append(out, text.ptr + copied, begin - copied);
            if (!err) {
                err = literal ? lm_buf_append(out, by.ptr, by.len)
                              : lm_lq_regex_expand(regex, text, groups, by, out);
            }
            if (err) return err;
            copied = end;
        }
        last_end = end;
        at = end;
        if (end == begin) {
            uint32_t character;
            at += at < text.len && lm_regex_is_utf8(regex)
                      ? lm_lq_utf8(text.ptr + at, text.len - at, &character)
                      : 1;
        }
    }
    return lm_buf_append(out, text.ptr + copied, text.len - copied);
}

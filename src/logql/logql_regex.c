/* Regular expressions: PCRE2 compiled by its JIT, with limits on steps, so that none can hang a
 * query. Patterns are Go's; bytes are matched as bytes unless a pattern can tell the difference. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "logql/logql_priv.h"

#include <stdio.h>

#define MATCH_STEPS_MAX     2000000
#define MATCH_DEPTH_MAX     20000
#define MATCH_HEAP_KIB_MAX  16384
#define JIT_STACK_BYTES_MIN (32 * 1024)
#define JIT_STACK_BYTES_MAX (1024 * 1024)
#define PATTERN_BYTES_MAX   32768
#define GROUPS_MAX          256
#define HEADER_BYTES        16

struct lm_lq_regex {
    lm_mem *mem;
    pcre2_general_context *general;
    pcre2_code *code;
    uint32_t group_count;
    bool is_utf8;
};

struct lm_lq_match_state {
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
    size_t groups[2 * GROUPS_MAX];
};

/* PCRE2 frees without telling the size: it is kept in front of each piece. */
static void *pcre_alloc(size_t bytes, void *ctx)
{
    if (bytes > SIZE_MAX - HEADER_BYTES) return NULL;
    uint8_t *piece = lm_mem_alloc(ctx, bytes + HEADER_BYTES);
    if (!piece) return NULL;
    size_t whole = bytes + HEADER_BYTES;
    memcpy(piece, &whole, sizeof whole);
    return piece + HEADER_BYTES;
}

static void pcre_release(void *ptr, void *ctx)
{
    if (!ptr) return;
    uint8_t *piece = (uint8_t *)ptr - HEADER_BYTES;
    size_t whole;
    memcpy(&whole, piece, sizeof whole);
    lm_mem_release(ctx, piece, whole);
}

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

static lm_err compile(lm_lq_regex *regex, pcre2_compile_context *context, lm_str pattern,
                      unsigned options)
{
    uint32_t flags = PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_DUPNAMES;
    if (options & LM_LQ_WHOLE) flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    if (options & LM_LQ_DOTALL) flags |= PCRE2_DOTALL;
    regex->is_utf8 = needs_utf8(pattern);
    flags |= regex->is_utf8 ? PCRE2_UTF | PCRE2_MATCH_INVALID_UTF : PCRE2_NEVER_UTF;
    int code = 0;
    size_t offset = 0;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, PATTERN_BYTES_MAX);
    regex->code = pcre2_compile(pattern.len ? pattern.ptr : (const uint8_t *)"", pattern.len, flags,
                                &code, &offset, context);
    if (!regex->code) {
        if (code == PCRE2_ERROR_HEAP_FAILED || code == 121 /* ERR21: out of memory */)
            return lm_mem_err();
        char text[200];
        if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text) < 0) text[0] = 0;
        for (size_t i = 0; i < sizeof go_words / sizeof *go_words; i++) {
            if (go_words[i].code == code) snprintf(text, sizeof text, "%s", go_words[i].text);
        }
        return lm_fail_at(LM_E_USAGE, offset, "error parsing regexp: %s: `%.*s`", text,
                          (int)(pattern.len < 150 ? pattern.len : 150), (const char *)pattern.ptr);
    }
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->group_count);
    if (regex->group_count >= GROUPS_MAX) {
        return lm_fail(LM_E_LIMIT, "error parsing regexp: more than %d groups", GROUPS_MAX - 1);
    }
    /* Without a JIT (or without room for it) the interpreter gives the same answers, slower. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return LM_OK;
}

lm_err lm_lq_regex_new(lm_mem *mem, lm_str pattern, unsigned flags, lm_lq_regex **out)
{
    lm_err err = LM_OK;
    pcre2_compile_context *context = NULL;
    lm_lq_regex *regex = lm_mem_calloc(mem, 1, sizeof *regex);
    if (!regex) return lm_mem_err();
    regex->mem = mem;
    regex->general = pcre2_general_context_create(pcre_alloc, pcre_release, mem);
    if (regex->general) context = pcre2_compile_context_create(regex->general);
    err = context ? compile(regex, context, pattern, flags) : lm_mem_err();
    pcre2_compile_context_free(context);
    if (err) {
        lm_lq_regex_free(regex);
    } else {
        *out = regex;
    }
    return err;
}

void lm_lq_regex_free(lm_lq_regex *regex)
{
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->general);
    lm_mem_release(regex->mem, regex, sizeof *regex);
}

uint32_t lm_lq_regex_group_count(const lm_lq_regex *regex)
{
    return regex->group_count;
}

lm_str lm_lq_regex_group_name(const lm_lq_regex *regex, uint32_t index)
{
    uint32_t count = 0, entry_bytes = 0;
    PCRE2_SPTR table = NULL;
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = table + (size_t)i * entry_bytes;
        if (((uint32_t)entry[0] << 8 | entry[1]) == index)
            return lm_str_of((const char *)entry + 2);
    }
    return LM_STR("");
}

void lm_lq_match_init(lm_lq_match *match, lm_mem *mem)
{
    *match = (lm_lq_match){.mem = mem};
}

void lm_lq_match_fini(lm_lq_match *match)
{
    struct lm_lq_match_state *state = match->state;
    if (!state) return;
    pcre2_jit_stack_free(state->stack);
    pcre2_match_data_free(state->data);
    pcre2_match_context_free(state->context);
    pcre2_general_context_free(state->general);
    lm_mem_release(match->mem, state, sizeof *state);
    match->state = NULL;
}

static lm_err match_make(lm_lq_match *match)
{
    struct lm_lq_match_state *state = lm_mem_calloc(match->mem, 1, sizeof *state);
    if (!state) return lm_mem_err();
    match->state = state;
    state->general = pcre2_general_context_create(pcre_alloc, pcre_release, match->mem);
    if (state->general) {
        state->context = pcre2_match_context_create(state->general);
        state->data = pcre2_match_data_create(GROUPS_MAX, state->general);
    }
    if (!state->context || !state->data) {
        lm_lq_match_fini(match);
        return lm_mem_err();
    }
    pcre2_set_match_limit(state->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(state->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(state->context, MATCH_HEAP_KIB_MAX);
    return LM_OK;
}

lm_err lm_lq_regex_find(const lm_lq_regex *regex, lm_str text, size_t from, lm_lq_match *match,
                        bool *out, const size_t **out_groups)
{
    if (!match->state) {
        lm_err err = match_make(match);
        if (err) return err;
    }
    struct lm_lq_match_state *state = match->state;
    const uint8_t *ptr = text.len ? text.ptr : (const uint8_t *)"";
    int rc = pcre2_match(regex->code, ptr, text.len, from, 0, state->data, state->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !state->stack) {
        /* The JIT's own 32 KiB of the machine's stack are too few for patterns with deep groups. */
        state->stack =
            pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, state->general);
        if (state->stack) pcre2_jit_stack_assign(state->context, NULL, state->stack);
        rc = pcre2_match(regex->code, ptr, text.len, from, 0, state->data, state->context);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(regex->code, ptr, text.len, from, PCRE2_NO_JIT, state->data,
                         state->context);
    }
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        if (rc == PCRE2_ERROR_NOMEMORY) return lm_mem_err();
        char why[160];
        if (pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why) < 0) why[0] = 0;
        return lm_fail(LM_E_LIMIT,
                       "the regular expression needs too many steps on a line of %zu bytes (%s)",
                       text.len, why);
    }
    *out = rc >= 0;
    if (rc >= 0 && out_groups) {
        const size_t *found = pcre2_get_ovector_pointer(state->data);
        for (uint32_t i = 0; i <= regex->group_count; i++) {
            bool took_part = (int)i < rc && found[2 * i] != PCRE2_UNSET;
            state->groups[2 * i] = took_part ? found[2 * i] : SIZE_MAX;
            state->groups[2 * i + 1] = took_part ? found[2 * i + 1] : SIZE_MAX;
        }
        *out_groups = state->groups;
    }
    return LM_OK;
}

lm_err lm_lq_regex_test(const lm_lq_regex *regex, lm_str text, lm_lq_match *match, bool *out)
{
    return lm_lq_regex_find(regex, text, 0, match, out, NULL);
}

static bool is_name_part(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/** The group that $... at by.ptr[at] names; *io_at goes behind it. false: a plain '$'. */
static bool group_of(const lm_lq_regex *regex, lm_str by, size_t *io_at, uint32_t *out)
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
        if (number <= (int64_t)regex->group_count) *out = (uint32_t)number;
        return true;
    }
    for (uint32_t i = 1; i <= regex->group_count; i++) {
        if (lm_str_equal(lm_lq_regex_group_name(regex, i), name)) *out = i;
    }
    return true;
}

lm_err lm_lq_regex_expand(const lm_lq_regex *regex, lm_str text, const size_t *groups, lm_str by,
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

lm_err lm_lq_regex_replace(const lm_lq_regex *regex, lm_str text, lm_str by, bool literal,
                           lm_lq_match *match, lm_buf *out)
{
    size_t at = 0, copied = 0;
    size_t last_end = SIZE_MAX; /* no empty match directly behind a match, as Go has it */
    while (at <= text.len) {
        bool found = false;
        const size_t *groups = NULL;
        lm_err err = lm_lq_regex_find(regex, text, at, match, &found, &groups);
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
            at += at < text.len && regex->is_utf8
                      ? lm_lq_utf8(text.ptr + at, text.len - at, &character)
                      : 1;
        }
    }
    return lm_buf_append(out, text.ptr + copied, text.len - copied);
}

/* PCRE2, with its memory in our account. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/base_err.h"
#include "base/base_mem.h"
#include "base/base_regex.h"

#define MATCH_STEPS_MAX     2000000
#define MATCH_DEPTH_MAX     20000
#define MATCH_HEAP_KIB_MAX  16384
#define JIT_STACK_BYTES_MIN (32 * 1024)
#define JIT_STACK_BYTES_MAX (1024 * 1024)
#define PATTERN_BYTES_MAX   32768
#define HEADER_BYTES        16
#define ERROR_OUT_OF_MEMORY 121 /* ERR21 of compiling has no name in pcre2.h */

struct lm_regex {
    lm_mem *mem;
    pcre2_general_context *general;
    pcre2_code *code;
    uint32_t group_count;
    bool is_utf8;
    bool is_direct; /* the JIT's code may be called without the checks that UTF-8 needs */
};

struct lm_regex_state {
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
    size_t groups[2 * LM_REGEX_GROUPS_MAX];
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

static uint32_t options_of(unsigned flags)
{
    uint32_t options = PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
    if (flags & LM_REGEX_WHOLE) options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    if (flags & LM_REGEX_DOTALL) options |= PCRE2_DOTALL;
    if (flags & LM_REGEX_END_ONLY) options |= PCRE2_DOLLAR_ENDONLY;
    if (flags & LM_REGEX_DUPNAMES) options |= PCRE2_DUPNAMES;
    return options |
           (flags & LM_REGEX_UTF8 ? PCRE2_UTF | PCRE2_MATCH_INVALID_UTF : PCRE2_NEVER_UTF);
}

static lm_err compile(lm_regex *regex, pcre2_compile_context *context, lm_str pattern,
                      unsigned flags, lm_regex_fault *fault)
{
    int code = 0;
    size_t offset = 0;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, PATTERN_BYTES_MAX);
    regex->code = pcre2_compile(pattern.len ? pattern.ptr : (const uint8_t *)"", pattern.len,
                                options_of(flags), &code, &offset, context);
    if (!regex->code) {
        if (code == PCRE2_ERROR_HEAP_FAILED || code == ERROR_OUT_OF_MEMORY) return lm_mem_err();
        *fault = (lm_regex_fault){.code = code, .offset = offset};
        if (pcre2_get_error_message(code, (PCRE2_UCHAR *)fault->text, sizeof fault->text) < 0)
            fault->text[0] = 0;
        return LM_E_USAGE;
    }
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->group_count);
    if (regex->group_count >= LM_REGEX_GROUPS_MAX)
        return lm_fail(LM_E_LIMIT, "regular expression: more than %d groups",
                       LM_REGEX_GROUPS_MAX - 1);
    /* Without a JIT (or without room for it) the interpreter gives the same answers, slower. */
    regex->is_direct = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0 && !regex->is_utf8;
    return LM_OK;
}

lm_err lm_regex_new(lm_mem *mem, lm_str pattern, unsigned flags, lm_regex_fault *fault,
                    lm_regex **out)
{
    pcre2_compile_context *context = NULL;
    lm_regex *regex = lm_mem_calloc(mem, 1, sizeof *regex);
    if (!regex) return lm_mem_err();
    regex->mem = mem;
    regex->is_utf8 = flags & LM_REGEX_UTF8;
    regex->general = pcre2_general_context_create(pcre_alloc, pcre_release, mem);
    if (regex->general) context = pcre2_compile_context_create(regex->general);
    lm_err err = context ? compile(regex, context, pattern, flags, fault) : lm_mem_err();
    pcre2_compile_context_free(context);
    if (err) {
        lm_regex_free(regex);
    } else {
        *out = regex;
    }
    return err;
}

void lm_regex_free(lm_regex *regex)
{
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->general);
    lm_mem_release(regex->mem, regex, sizeof *regex);
}

bool lm_regex_is_utf8(const lm_regex *regex)
{
    return regex->is_utf8;
}

uint32_t lm_regex_group_count(const lm_regex *regex)
{
    return regex->group_count;
}

lm_str lm_regex_group_name(const lm_regex *regex, uint32_t index)
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

void lm_regex_room_fini(lm_regex_room *room)
{
    struct lm_regex_state *state = room->state;
    if (!state) return;
    pcre2_jit_stack_free(state->stack);
    pcre2_match_data_free(state->data);
    pcre2_match_context_free(state->context);
    pcre2_general_context_free(state->general);
    lm_mem_release(room->mem, state, sizeof *state);
    room->state = NULL;
}

static lm_err room_make(lm_regex_room *room)
{
    struct lm_regex_state *state = lm_mem_calloc(room->mem, 1, sizeof *state);
    if (!state) return lm_mem_err();
    room->state = state;
    state->general = pcre2_general_context_create(pcre_alloc, pcre_release, room->mem);
    if (state->general) {
        state->context = pcre2_match_context_create(state->general);
        state->data = pcre2_match_data_create(LM_REGEX_GROUPS_MAX, state->general);
    }
    if (!state->context || !state->data) {
        lm_regex_room_fini(room);
        return lm_mem_err();
    }
    pcre2_set_match_limit(state->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(state->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(state->context, MATCH_HEAP_KIB_MAX);
    return LM_OK;
}

/** As the caller wants them: PCRE2 sets only those up to the last that took part. */
static const size_t *groups_of(const lm_regex *regex, struct lm_regex_state *state, int pairs)
{
    const size_t *found = pcre2_get_ovector_pointer(state->data);
    for (uint32_t i = 0; i <= regex->group_count; i++) {
        bool took_part = (int)i < pairs && found[2 * i] != PCRE2_UNSET;
        state->groups[2 * i] = took_part ? found[2 * i] : SIZE_MAX;
        state->groups[2 * i + 1] = took_part ? found[2 * i + 1] : SIZE_MAX;
    }
    return state->groups;
}

lm_err lm_regex_find(const lm_regex *regex, lm_str text, size_t from, lm_regex_room *room,
                     bool *out, const size_t **out_groups)
{
    if (!room->state) {
        lm_err err = room_make(room);
        if (err) return err;
    }
    struct lm_regex_state *state = room->state;
    const uint8_t *ptr = text.len ? text.ptr : (const uint8_t *)"";
    int rc = regex->is_direct
                 ? pcre2_jit_match(regex->code, ptr, text.len, from, 0, state->data, state->context)
                 : pcre2_match(regex->code, ptr, text.len, from, 0, state->data, state->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !state->stack) {
        /* The JIT's own 32 KiB of the machine's stack are too few for patterns with deep groups. */
        state->stack =
            pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, state->general);
        if (state->stack) pcre2_jit_stack_assign(state->context, NULL, state->stack);
        rc = pcre2_match(regex->code, ptr, text.len, from, 0, state->data, state->context);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, ptr, text.len, from, PCRE2_NO_JIT, state->data,
                         state->context);
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) {
        if (rc >= 0 && out_groups) *out_groups = groups_of(regex, state, rc);
        *out = rc >= 0;
        return LM_OK;
    }
    if (rc == PCRE2_ERROR_NOMEMORY) return lm_mem_err();
    char why[160];
    if (pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why) < 0) why[0] = 0;
    return lm_fail(LM_E_LIMIT,
                   "the regular expression needs too many steps on a line of %zu bytes (%s)",
                   text.len, why);
}

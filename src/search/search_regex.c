/* Patterns: PCRE2 over bytes, compiled by its JIT where there is one, with limits on steps, depth
 * and memory, so that no pattern can hang a search. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "search/search_priv.h"

#define MATCH_STEPS_MAX     2000000
#define MATCH_DEPTH_MAX     20000
#define MATCH_HEAP_KIB_MAX  16384
#define JIT_STACK_BYTES_MIN (32 * 1024)
#define JIT_STACK_BYTES_MAX (1024 * 1024)
#define PATTERN_BYTES_MAX   32768
#define HEADER_BYTES        16

struct lm_regex {
    lm_mem *mem;
    pcre2_general_context *general;
    pcre2_code *code;
    bool has_jit;
};

struct lm_matcher_state {
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
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

static lm_err regex_compile(lm_regex *regex, pcre2_compile_context *context, lm_str pattern,
                            bool whole)
{
    uint32_t flags = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
    if (whole) flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
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
        return lm_fail_at(LM_E_USAGE, offset, "regular expression: %s, at position %zu of '%.*s'",
                          text, offset, (int)(pattern.len < 200 ? pattern.len : 200),
                          (const char *)pattern.ptr);
    }
    /* Without a JIT (or without room for it) the interpreter gives the same answers, slower. */
    regex->has_jit = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0;
    return LM_OK;
}

lm_err lm_regex_new(lm_mem *mem, lm_str pattern, bool whole, lm_regex **out)
{
    lm_err err = LM_OK;
    pcre2_compile_context *context = NULL;
    lm_regex *regex = lm_mem_calloc(mem, 1, sizeof *regex);
    if (!regex) return lm_mem_err();
    regex->mem = mem;
    regex->general = pcre2_general_context_create(pcre_alloc, pcre_release, mem);
    if (regex->general) context = pcre2_compile_context_create(regex->general);
    if (!context) {
        err = lm_mem_err();
        goto out;
    }
    err = regex_compile(regex, context, pattern, whole);
out:
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

void lm_matcher_fini(lm_matcher *matcher)
{
    struct lm_matcher_state *state = matcher->state;
    if (!state) return;
    pcre2_jit_stack_free(state->stack);
    pcre2_match_data_free(state->data);
    pcre2_match_context_free(state->context);
    pcre2_general_context_free(state->general);
    lm_mem_release(matcher->mem, state, sizeof *state);
    matcher->state = NULL;
}

static lm_err matcher_make(lm_matcher *matcher)
{
    struct lm_matcher_state *state = lm_mem_calloc(matcher->mem, 1, sizeof *state);
    if (!state) return lm_mem_err();
    matcher->state = state;
    state->general = pcre2_general_context_create(pcre_alloc, pcre_release, matcher->mem);
    if (state->general) {
        state->context = pcre2_match_context_create(state->general);
        state->data = pcre2_match_data_create(1, state->general);
    }
    if (!state->context || !state->data) {
        lm_matcher_fini(matcher);
        return lm_mem_err();
    }
    pcre2_set_match_limit(state->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(state->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(state->context, MATCH_HEAP_KIB_MAX);
    return LM_OK;
}

lm_err lm_regex_match(const lm_regex *regex, lm_str text, lm_matcher *matcher, bool *out)
{
    if (!matcher->state) {
        lm_err err = matcher_make(matcher);
        if (err) return err;
    }
    struct lm_matcher_state *state = matcher->state;
    const uint8_t *ptr = text.len ? text.ptr : (const uint8_t *)"";
    int rc = regex->has_jit
                 ? pcre2_jit_match(regex->code, ptr, text.len, 0, 0, state->data, state->context)
                 : pcre2_match(regex->code, ptr, text.len, 0, 0, state->data, state->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !state->stack) {
        /* The JIT's own 32 KiB of the machine's stack are too few for patterns with deep groups. */
        state->stack =
            pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, state->general);
        if (state->stack) pcre2_jit_stack_assign(state->context, NULL, state->stack);
        rc = pcre2_match(regex->code, ptr, text.len, 0, 0, state->data, state->context);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(regex->code, ptr, text.len, 0, PCRE2_NO_JIT, state->data, state->context);
    }
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) {
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

/** Regular expressions over bytes: PCRE2, compiled by its JIT where there is one, with limits on
 * steps, depth and memory, so that no pattern can hang whoever asks. What a pattern means is the
 * caller's choice (flags), and so are the words in which a bad one is refused. */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "base/base_str.h"

enum {
    LM_REGEX_WHOLE = 1,    /* the pattern matches the whole text */
    LM_REGEX_DOTALL = 2,   /* '.' takes a newline too */
    LM_REGEX_END_ONLY = 4, /* '$' does not match before a last newline */
    LM_REGEX_DUPNAMES = 8, /* several groups may have one name */
    LM_REGEX_UTF8 = 16,    /* characters, not bytes; what is no UTF-8 matches nothing */
    LM_REGEX_GROUPS_MAX = 256
};

typedef struct lm_regex lm_regex;

/** Why a pattern is none. */
typedef struct lm_regex_fault {
    int code;      /* PCRE2's */
    size_t offset; /* in the pattern */
    char text[200];
} lm_regex_fault;

/** Errors: LM_E_USAGE, of which nothing is said but in *fault; LM_E_LIMIT: LM_REGEX_GROUPS_MAX
 * groups and more; LM_E_NOMEM. */
LM_USE lm_err lm_regex_new(lm_mem *mem, lm_str pattern, unsigned flags, lm_regex_fault *fault,
                           lm_regex **out);
void lm_regex_free(lm_regex *regex);
/** Are characters matched, not bytes (LM_REGEX_UTF8)? */
bool lm_regex_is_utf8(const lm_regex *regex);
uint32_t lm_regex_group_count(const lm_regex *regex);
/** Name of group index (1...), or empty. The regex's. */
lm_str lm_regex_group_name(const lm_regex *regex, uint32_t index);

/** Room for matching, of one thread, for any patterns: {mem, NULL} at first; made on first use. */
typedef struct lm_regex_room {
    lm_mem *mem;
    struct lm_regex_state *state;
} lm_regex_room;

void lm_regex_room_fini(lm_regex_room *room);

/** Is there a match that begins at from or behind it? *out_groups (may be NULL) gets begin and end
 * of each group of it, from group 0 on, SIZE_MAX where a group took no part; they are the room's,
 * until the next match. Errors: LM_E_LIMIT (too many steps), LM_E_NOMEM. */
LM_USE lm_err lm_regex_find(const lm_regex *regex, lm_str text, size_t from, lm_regex_room *room,
                            bool *out, const size_t **out_groups);

#endif

/**
 * logmill: templates. What programs print has a constant part (the template) and variables, shown
 * as <*>.
 */
#ifndef LOGMILL_LM_MINE_H
#define LOGMILL_LM_MINE_H

#include <logmill/lm_view.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LM_TREND_BUCKETS 12

/** A template of a view. Borrowed until the view is closed or lm_view_templates is called again. */
typedef struct lm_view_template {
    uint32_t id;
    lm_text text;                     /* with <*> */
    lm_text name;                     /* given by a rule; empty if none */
    uint64_t count;                   /* lines */
    int64_t first_ns, last_ns;        /* LM_TIME_NONE if unknown */
    lm_text example;                  /* first line of it; only with LM_TEMPLATES_EXAMPLES */
    uint64_t trend[LM_TREND_BUCKETS]; /* lines in equal slices from the view's first time to its
                                         last (of line numbers, if it has no times); only with
                                         LM_TEMPLATES_TRENDS */
} lm_view_template;

enum { LM_TEMPLATES_EXAMPLES = 1u << 0, LM_TEMPLATES_TRENDS = 1u << 1 };

/** All templates with at least one line, most lines first. Without flags nothing is decoded.
 * Errors: LM_ERR_CORRUPT (told to note(); out is filled from what is whole), LM_ERR_LIMIT,
 * LM_ERR_NOMEM. */
LM_API LM_CHECK lm_err lm_view_templates(lm_view *view, unsigned flags,
                                         const lm_view_template **out, size_t *out_count);
/** Text of one template by its id; empty if there is no such id. Borrowed until the close. */
LM_API lm_text lm_view_template_text(const lm_view *view, uint32_t id);

/* ---- comparing ---- */

typedef enum lm_change { LM_CHANGE_NEW, LM_CHANGE_GONE, LM_CHANGE_MORE, LM_CHANGE_LESS } lm_change;

/** A template whose share differs between two views. */
typedef struct lm_difference {
    lm_change change;
    lm_text text; /* as in the second view, or in the first if gone */
    uint64_t count_before, count_after;
    double factor; /* share after / share before; 0 if gone, infinite if new */
} lm_difference;

/** Compare the templates of two views of one context: which appeared, vanished, or changed their
 * share of all lines by at least `factor` (> 1) and by more than chance would. Most telling first.
 * Borrowed until the next call on either view. */
LM_API LM_CHECK lm_err lm_view_diff(lm_view *before, lm_view *after, double factor,
                                    const lm_difference **out, size_t *out_count);

/* ---- bare messages ---- */

/** Takes the template of each message, in order; return false to stop. text is borrowed for the
 * call. */
typedef bool (*lm_assigned_fn)(void *ctx, uint32_t template_id, lm_text template_text);

/** Every line of the file is a message without header; tell the template of each. The file is read
 * to its end before the first is told. path "-" is standard input. template_yaml may be NULL. */
LM_API LM_CHECK lm_err lm_messages_assign(lm_context *context, const char *path,
                                          const char *template_yaml, lm_assigned_fn take,
                                          void *take_ctx);

/** How steady templates are on one file of messages. */
typedef struct lm_convergence {
    uint64_t messages, templates;
    uint32_t threads;           /* the larger number of threads that was tried */
    bool threads_agree;         /* the groups with 1 thread and with `threads` are the same */
    uint64_t first_half;        /* messages in the first half of the file */
    uint64_t first_half_steady; /* those whose template's text is the same after the first half and
                                   at the end */
} lm_convergence;

LM_API LM_CHECK lm_err lm_messages_convergence(lm_context *context, const char *path,
                                               lm_convergence *out);

#ifdef __cplusplus
}
#endif

#endif

/** What the two halves of templates share: values, and a template being carried out. */
#ifndef LOGQL_TEMPLATE_PRIV_H
#define LOGQL_TEMPLATE_PRIV_H

#include "logql/logql_priv.h"

typedef enum lm_lq_value_kind {
    LM_LQ_V_NIL,
    LM_LQ_V_TEXT,
    LM_LQ_V_INT,
    LM_LQ_V_FLOAT,
    LM_LQ_V_BOOL,
    LM_LQ_V_TIME,
    LM_LQ_V_LIST,
    LM_LQ_V_MAP,
    LM_LQ_V_LABELS /* the labels of the record: what '.' is */
} lm_lq_value_kind;

typedef struct lm_lq_value {
    lm_lq_value_kind kind;
    lm_str text;
    int64_t number; /* INT, BOOL, TIME (ns) */
    double real;
    struct lm_lq_value *items; /* LIST; MAP: key, value, key, value, sorted by key */
    size_t count;              /* of items; MAP: of pairs */
} lm_lq_value;

typedef struct lm_lq_exec {
    lm_lq_run *run;
    lm_arena *arena; /* scratch of the run */
    lm_str line;
    int64_t time_ns;
    lm_lq_value variables[32]; /* by slot; slot 0 is '$' */
    uint32_t steps;            /* so that no template runs for ever */
    bool failed;               /* the record gets TemplateFormatErr ... */
    bool is_of_type;           /* ... for the type of an argument, before the function was called */
    char why[300];             /* ... with this ... */
    lm_str place, context;     /* ... at this place of the template, and what stands there */

    enum { LEAVES_NOT, LEAVES_TURN, LEAVES_RANGE } leaves; /* {{continue}}, {{break}} */
} lm_lq_exec;

typedef lm_err (*lm_lq_function_fn)(lm_lq_exec *x, const lm_lq_value *args, uint32_t count,
                                    lm_lq_value *out);

typedef struct lm_lq_function {
    const char *name;
    lm_lq_function_fn fn;
    uint8_t min, max; /* arguments */
} lm_lq_function;

/** NULL: there is none of that name. */
const lm_lq_function *lm_lq_function_of(lm_str name);

/** The record cannot be formatted; LM_OK, for the caller to return. */
lm_err lm_lq_exec_fail(lm_lq_exec *x, const char *fmt, ...) LM_PRINTF(2, 3);
bool lm_lq_value_truth(const lm_lq_value *v);
/** As Go prints it with %v. */
LM_USE lm_err lm_lq_value_print(const lm_lq_value *v, lm_buf *out);
const char *lm_lq_value_type(const lm_lq_value *v);

/** Times by Go's layouts (logql_time.c); UTC. */
LM_USE lm_err lm_lq_time_format(lm_str layout, int64_t time_ns, lm_buf *out);
bool lm_lq_time_parse(lm_str layout, lm_str text, int64_t *out_ns);

#endif

/** Parameters of a request: percent-decoding, forms, times, durations and numbers as Loki reads
 * them. Pure functions over foreign bytes. */
#ifndef SERVER_PARAM_PRIV_H
#define SERVER_PARAM_PRIV_H

#include "base/base.h"

typedef struct server_pair {
    lm_str name, value;
} server_pair;

typedef struct server_form {
    server_pair *pairs;
    size_t count, cap;
} server_form;

#define FORM_PAIRS_MAX 1024u

/** %XX undone, '+' is a blank if is_form; a '%' without two hex digits stands for itself. NULL ptr:
 * out of memory. */
lm_str server_decode(lm_str text, bool is_form, lm_arena *arena);
/** "a=1&b=2", appended. LM_E_LIMIT, LM_E_NOMEM. Arrays and texts live in arena. */
LM_USE lm_err server_form_parse(lm_str text, lm_arena *arena, server_form *form);
/** The first value of a name; ptr NULL: there is none. */
lm_str server_form_get(const server_form *form, const char *name);
/** Value number index of a name (from 0). */
lm_str server_form_at(const server_form *form, const char *name, size_t index);

/* What follows fails with LM_E_USAGE in Loki's words; empty text: otherwise. */

/** Nanoseconds or seconds (up to ten digits), seconds with a fraction, RFC 3339. */
LM_USE lm_err server_time_parse(lm_str text, int64_t otherwise, int64_t *out);
/** "15", "1.5" (seconds), "5m" as Prometheus writes it. */
LM_USE lm_err server_seconds_parse(lm_str text, int64_t otherwise, int64_t *out);
/** A Prometheus duration: "1h30m". */
LM_USE lm_err server_duration_parse(lm_str text, int64_t otherwise, int64_t *out);
/** A number above zero. */
LM_USE lm_err server_limit_parse(lm_str text, uint32_t otherwise, uint32_t *out);

#endif

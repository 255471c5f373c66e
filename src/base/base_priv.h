/** What the files of this room share among themselves. */
#ifndef BASE_PRIV_H
#define BASE_PRIV_H

#include "base/base_err.h"
#include "base/base_limits.h"

/** The CPUs that this process may use. */
typedef struct lm_cpu_list {
    int ids[LM_THREADS_MAX]; /* as the system numbers them */
    size_t count;            /* >= 1 */
    unsigned quota;          /* whole CPUs that the control group grants; 0: no quota */
} lm_cpu_list;

void lm_cpu_list_get(lm_cpu_list *out);
/** Whole CPUs in a control group's quota, rounded up; 0: no quota. */
unsigned lm_cpu_quota_of(long long quota_us, long long period_us);

#endif

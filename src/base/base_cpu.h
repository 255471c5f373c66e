/** CPU features, found at run time. LOGMILL_CPU=plain|avx2|avx512|neon lowers them (tests compare
 * the twins). */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include "base/base_err.h"

typedef enum lm_cpu { LM_CPU_PLAIN, LM_CPU_NEON, LM_CPU_AVX2, LM_CPU_AVX512 } lm_cpu;

lm_cpu lm_cpu_best(void);            /* what this machine has, lowered by the environment; cached */
const char *lm_cpu_name(lm_cpu cpu); /* "plain", "neon", "avx2", "avx512" */
bool lm_cpu_has(lm_cpu cpu);         /* can this machine run it? (ignores the environment) */

#endif

/** What the CPU can do, asked once. */
#include "base/base_cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__has_include)
#    if __has_include(<sys/platform/x86.h>)
#        include <sys/platform/x86.h>
#    endif
#endif

const char *lm_cpu_name(lm_cpu cpu)
{
    switch (cpu) {
    case LM_CPU_NEON:
        return "neon";
    case LM_CPU_AVX2:
        return "avx2";
    case LM_CPU_AVX512:
        return "avx512";
    case LM_CPU_PLAIN:
    default:
        return "plain";
    }
}

/* What the C library found out when it began, where it says: in a virtual machine each question to
 * the processor itself takes tens of microseconds. */
#ifdef CPU_FEATURE_ACTIVE
static bool is_active(unsigned feature) /* x86_cpu_active, but for its shift into the sign */
{
    enum { BITS = 8 * sizeof(unsigned), LEAF = 4 * BITS };

    const struct cpuid_feature *leaf = __x86_get_cpuid_feature_leaf(feature / LEAF);
    return leaf->active_array[feature % LEAF / BITS] >> feature % BITS & 1;
}

#    define HAS(feature, name) is_active(x86_cpu_##feature)
#else
#    define HAS(feature, name) __builtin_cpu_supports(name)
#endif

bool lm_cpu_has(lm_cpu cpu)
{
    switch (cpu) {
    case LM_CPU_PLAIN:
        return true;
#if defined(__x86_64__)
    /* Both also know whether the system saves the wide registers. */
    case LM_CPU_AVX2:
        return HAS(AVX2, "avx2") && HAS(BMI1, "bmi") && HAS(BMI2, "bmi2") && HAS(POPCNT, "popcnt");
    case LM_CPU_AVX512:
        return lm_cpu_has(LM_CPU_AVX2) && HAS(AVX512F, "avx512f") && HAS(AVX512BW, "avx512bw") &&
               HAS(AVX512VL, "avx512vl");
#elif defined(__aarch64__)
    case LM_CPU_NEON:
        return true; /* part of the arm64 baseline */
#endif
    default:
        return false;
    }
}

static lm_cpu find_best(void)
{
    static const lm_cpu order[] = {LM_CPU_AVX512, LM_CPU_AVX2, LM_CPU_NEON, LM_CPU_PLAIN};
    const size_t count = sizeof order / sizeof order[0];
    const char *wish = getenv("LOGMILL_CPU");
    if (wish) {
        for (size_t i = 0; i < count; i++) {
            if (strcmp(wish, lm_cpu_name(order[i])) == 0 && lm_cpu_has(order[i])) return order[i];
        }
    }
    size_t i = 0;
    while (!lm_cpu_has(order[i]))
        i++; /* the last one always is */
    return order[i];
}

lm_cpu lm_cpu_best(void)
{
    static _Atomic int cached =
        -1; /* a cache of a constant: threads that race store the same value */
    int best = atomic_load_explicit(&cached, memory_order_relaxed);
    if (best < 0) {
        best = (int)find_best();
        atomic_store_explicit(&cached, best, memory_order_relaxed);
    }
    return (lm_cpu)best;
}

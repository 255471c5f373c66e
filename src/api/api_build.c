/** What this build can do, for `logmill version` and for support. */
#include "api/api_priv.h"

#ifndef LM_HAVE_GZIP
#    define LM_HAVE_GZIP 0
#endif
#ifndef LM_HAVE_XZ
#    define LM_HAVE_XZ 0
#endif
#ifndef LM_HAVE_BZIP2
#    define LM_HAVE_BZIP2 0
#endif
#ifndef LM_HAVE_YAML
#    define LM_HAVE_YAML 0
#endif

#ifndef LM_HAVE_DAEMON
#    define LM_HAVE_DAEMON 0
#endif

#ifndef LM_HAVE_JOURNAL
#    define LM_HAVE_JOURNAL 0
#endif
#ifndef LM_HAVE_KAFKA
#    define LM_HAVE_KAFKA 0
#endif

#define WITH(name, is_in) ((is_in) ? name ": yes" : name ": no")

static const char *cpu_fact(void)
{
    switch (lm_cpu_best()) {
    case LM_CPU_AVX512:
        return "cpu: avx512";
    case LM_CPU_AVX2:
        return "cpu: avx2";
    case LM_CPU_NEON:
        return "cpu: neon";
    case LM_CPU_PLAIN:
        break;
    }
    return "cpu: plain";
}

const char *lm_build_fact(size_t index)
{
    switch (index) {
    case 0:
        return "abi: 1";
    case 1:
        return cpu_fact();
    case 2:
        return "reads .zst: yes";
    case 3:
        return WITH("reads .gz", LM_HAVE_GZIP);
    case 4:
        return WITH("reads .xz", LM_HAVE_XZ);
    case 5:
        return WITH("reads .bz2", LM_HAVE_BZIP2);
    case 6:
        return WITH("yaml", LM_HAVE_YAML);
    case 7:
        return WITH("daemon", LM_HAVE_DAEMON);
    case 8:
        return WITH("daemon reads the journal", LM_HAVE_JOURNAL);
    case 9:
        return WITH("daemon reads Kafka", LM_HAVE_KAFKA);
#if defined(__clang__)
    case 10:
        return "compiler: clang " __clang_version__;
#else
    case 10:
        return "compiler: gcc " __VERSION__;
#endif
    default:
        return NULL;
    }
}

_Static_assert(LM_ABI_VERSION == 1, "the first fact says so too");

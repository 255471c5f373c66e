/** Errors: what can fail returns lm_err; the place that detects a failure describes it once with
 * lm_fail. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t lm_err; /* 0 is LM_OK, failures are negative */

enum {
    LM_OK = 0,

#define LM_ERROR(name, value, help) LM_E_##name = (value),
#include "base/errors.def"
#undef LM_ERROR
};

#define LM_USE          __attribute__((warn_unused_result))
#define LM_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define LM_NO_OFFSET    UINT64_MAX

/** Last failure of this thread: code, text, byte position in the input (LM_NO_OFFSET if none). */
typedef struct lm_err_info {
    lm_err code;
    uint64_t offset;
    char text[480];
} lm_err_info;

/** Describe a failure of this thread and return its code. Truncates long text. Never allocates. */
lm_err lm_fail(lm_err code, const char *fmt, ...) LM_PRINTF(2, 3);
/** The same, with the byte position in the input where the trouble is. */
lm_err lm_fail_at(lm_err code, uint64_t offset, const char *fmt, ...) LM_PRINTF(3, 4);
/** The same for a failed system call: appends the text of errno. Always LM_E_IO. */
lm_err lm_fail_errno(const char *fmt, ...) LM_PRINTF(1, 2);
/** Put words in front of this thread's last message ("segment 3: ..."); keeps code and offset. */
lm_err lm_fail_in(lm_err code, const char *fmt, ...) LM_PRINTF(2, 3);

/** Text of this thread's last failure; "" if none. Valid until the next failure of this thread. */
const char *lm_err_text(void);
/** One line about a code, from errors.def. */
const char *lm_err_help(lm_err code);
/** Carry a failure from a worker to the thread that waits for it. */
void lm_err_save(lm_err_info *out);
lm_err lm_err_restore(const lm_err_info *info);

/** A wrong program, never wrong data. Stays on in release builds; prints the place and aborts. */
#define LM_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) lm_assert_failed(#cond, __FILE__, __LINE__);             \
    } while (0)
#ifdef NDEBUG
#    define LM_DEBUG_ASSERT(cond) ((void)0)
#else
#    define LM_DEBUG_ASSERT(cond) LM_ASSERT(cond)
#endif
_Noreturn void lm_assert_failed(const char *cond, const char *file, int line);

#endif

/** What the tests of the library share: files in a folder of their own, and a log whose lines are
 * known. */
#ifndef API_HELPER_H
#define API_HELPER_H

#include <logmill/logmill.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* wants those above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** xorshift: the same numbers everywhere. */
static inline uint64_t helper_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void helper_write(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/** A folder that is removed, with all in it, by helper_leave. The test runs inside. */
static inline void helper_enter(char *folder)
{
    strcpy(folder, "/tmp/logmill-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
}

static inline void helper_leave(const char *folder)
{
    char command[256];
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/** `count` lines of a log into text; returns its length. Times rise by a second a line. */
static inline size_t helper_log(char *text, size_t cap, unsigned count, uint64_t seed)
{
    static const char *const levels[] = {"INFO", "INFO", "INFO", "WARN", "ERROR"};
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned r = (unsigned)(helper_random(&seed) % 100000), second = i % 60,
                 minute = i / 60 % 60, hour = i / 3600;
        const char *level = levels[r % 5];
        int n = snprintf(text + len, cap - len, "2026-11-20 %02u:%02u:%02u %s ", hour, minute,
                         second, level);
        assert_true(n > 0 && (size_t)n < cap - len);
        len += (size_t)n;
        switch (r % 3) {
        case 0:
            n = snprintf(text + len, cap - len, "request %u took %u ms\n", r, r % 977);
            break;
        case 1:
            n = snprintf(text + len, cap - len, "session %08x of user%u closed\n", r * 2654435761u,
                         r % 9);
            break;
        default:
            n = snprintf(text + len, cap - len, "queue %u is full\n", r % 7);
            break;
        }
        assert_true(n > 0 && (size_t)n < cap - len);
        len += (size_t)n;
    }
    return len;
}

static inline void helper_pack(lm_context *context, const char *const *inputs, size_t count,
                               const char *output, uint64_t segment_bytes)
{
    lm_pack_job job = LM_PACK_JOB_INIT;
    job.inputs = inputs;
    job.input_count = count;
    job.output = output;
    job.replace = true;
    job.segment_bytes = segment_bytes;
    lm_err err = lm_pack(context, &job, NULL);
    if (err) fail_msg("pack: %s", lm_last_error(context).text);
}

#endif

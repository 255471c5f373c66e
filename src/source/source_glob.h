/** Inside of source: which files are meant by patterns such as "/var/log/{nginx,app}/x.log". */
#ifndef SOURCE_GLOB_H
#define SOURCE_GLOB_H

#include "base/base.h"

/** Patterns: "*" "?" "[...]" within a name, "**" any folders, "{a,b}" either. A leading dot must be
 * written. Excludes are matched against the whole path, those without '/' against the name. */
typedef struct lm_globs lm_globs;
/** LM_E_USAGE: braces that do not close, or too many. A path that is not absolute is taken from the
 * working folder. */
LM_USE lm_err lm_globs_new(lm_mem *mem, const char *const *globs, size_t glob_count,
                           const char *const *excludes, size_t exclude_count, lm_globs **out);
void lm_globs_free(lm_globs *globs); /* NULL is fine */

/** Told of every folder that was looked into and every file found; a file may come twice. */
typedef struct lm_globs_visitor {
    void (*folder)(void *ctx, const char *path);
    void (*file)(void *ctx, const char *path);
    /** A folder that is not there or cannot be read: it may come later. errno tells. */
    void (*missing)(void *ctx, const char *path);
    void *ctx;
} lm_globs_visitor;

/** Walks the folders. O(entries). */
void lm_globs_walk(const lm_globs *globs, const lm_globs_visitor *visitor);
/** Would this path be found? (Without looking whether it is there.) */
bool lm_globs_match(const lm_globs *globs, const char *path);

#endif

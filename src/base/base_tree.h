/** Writing below one folder and nowhere else, whatever names say: for names that come from foreign
 * bytes. */
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include "base/base_mem.h"
#include "base/base_str.h"

/** A folder that files are made below. */
typedef struct lm_tree lm_tree;

/** Makes the folder if it is missing. The folder itself may be reached through links; nothing below
 * it may. */
LM_USE lm_err lm_tree_open(lm_mem *mem, const char *folder, lm_tree **out);
void lm_tree_close(lm_tree *tree); /* NULL is fine */

/**
 * The part of a foreign name that can be made below a folder: without a leading '/', without '.'
 * and empty parts, and without everything up to the last "..". dst gets it, NUL-terminated.
 * *out_changed tells whether something with a meaning was taken off. LM_E_USAGE: nothing is left,
 * or the name holds a NUL. LM_E_LIMIT: longer than cap.
 */
LM_USE lm_err lm_tree_name(lm_str name, char *dst, size_t cap, bool *out_changed);

/** A file being written under a hidden name in its final folder. */
typedef struct lm_tree_file lm_tree_file;

/** name: from lm_tree_name. Makes missing folders. LM_E_USAGE: the file exists and is not to be
 * replaced, or a part of the way is a symbolic link or no folder. LM_E_IO. */
LM_USE lm_err lm_tree_file_new(lm_tree *tree, const char *name, bool replace, lm_tree_file **out);
LM_USE lm_err lm_tree_file_write(lm_tree_file *file, const void *src, size_t len);
/** Sets permission bits and the time, and gives the file its name. LM_E_USAGE: another file took
 * the name meanwhile. */
LM_USE lm_err lm_tree_file_commit(lm_tree_file *file, uint32_t mode, int64_t mtime_ns);
/** Without commit: removes it. NULL is fine. */
void lm_tree_file_free(lm_tree_file *file);

/** An empty file of a new name in TMPDIR (or /tmp), readable by the user alone; the caller removes
 * it. */
LM_USE lm_err lm_temp_make(char *path, size_t cap);

#endif

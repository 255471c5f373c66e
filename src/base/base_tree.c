/**
 * Files below a folder. Every step down is an openat(2) that refuses symbolic links, from a
 * descriptor of the step before: a name cannot climb out, and a link that somebody plants meanwhile
 * is not followed either. Files get their final name by link(2) or rename(2) once they are whole.
 */
#include "base/base_tree.h"

#include "base/base_io.h"
#include "base/base_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES    (64u * 1024u)
#define TEMP_NAME_MAX   64
#define TEMP_NAME_TRIES 100

struct lm_tree {
    lm_mem *mem;
    int fd;
};

struct lm_tree_file {
    lm_mem *mem;
    int folder; /* descriptor of the folder that the file is in */
    int fd;     /* -1: closed */
    bool replace;
    bool is_pending;              /* the hidden name exists */
    size_t used;                  /* bytes in buffer */
    char name[LM_PATH_BYTES_MAX]; /* for messages */
    const char *last;             /* part of name behind the last '/' */
    char hidden[TEMP_NAME_MAX];
    uint8_t buffer[BUFFER_BYTES];
};

lm_err lm_tree_open(lm_mem *mem, const char *folder, lm_tree **out)
{
    lm_err err = lm_folder_make(folder);
    if (err) return err;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return lm_fail_errno("cannot open folder '%s'", folder);
    lm_tree *tree = lm_mem_alloc(mem, sizeof *tree);
    if (!tree) {
        (void)close(fd); /* a folder: nothing to lose */
        return lm_mem_err();
    }
    *tree = (lm_tree){mem, fd};
    *out = tree;
    return LM_OK;
}

void lm_tree_close(lm_tree *tree)
{
    if (!tree) return;
    (void)close(tree->fd);
    lm_mem_release(tree->mem, tree, sizeof *tree);
}

lm_err lm_tree_name(lm_str name, char *dst, size_t cap, bool *out_changed)
{
    if (name.len && memchr(name.ptr, 0, name.len))
        return lm_fail(LM_E_USAGE, "a file name holds a NUL byte");
    bool is_changed = name.len && name.ptr[0] == '/';
    size_t used = 0;
    for (size_t at = 0; at < name.len;) {
        const uint8_t *slash = memchr(name.ptr + at, '/', name.len - at);
        lm_str part = {name.ptr + at, slash ? (size_t)(slash - name.ptr) - at : name.len - at};
        at += part.len + 1;
        if (part.len == 0 || lm_str_equal(part, LM_STR("."))) continue;
        if (lm_str_equal(part, LM_STR(".."))) {
            is_changed = true;
            used = 0;
            continue;
        }
        if (used + part.len + 2 > cap)
            return lm_fail(LM_E_LIMIT, "a file name of %zu bytes is too long", name.len);
        if (used) dst[used++] = '/';
        memcpy(dst + used, part.ptr, part.len);
        used += part.len;
    }
    if (used == 0)
        return lm_fail(LM_E_USAGE, "'%.*s' is no name for a file", (int)name.len,
                       (const char *)name.ptr);
    dst[used] = '\0';
    *out_changed = is_changed;
    return LM_OK;
}

/** One step down, making the folder if it is missing. */
static lm_err step_down(int at, const char *part, const char *whole, int *out)
{
    if (mkdirat(at, part, 0777) != 0 && errno != EEXIST)
        return lm_fail_errno("cannot make the folder of '%s'", whole);
    int fd = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        *out = fd;
        return LM_OK;
    }
    if (errno == ELOOP || errno == ENOTDIR) {
        return lm_fail(LM_E_USAGE, "'%s' is not written: '%s' is a symbolic link or no folder",
                       whole, part);
    }
    return lm_fail_errno("cannot open the folder of '%s'", whole);
}

/** Walk to the folder of file->name; file->last is what remains. */
static lm_err walk(lm_tree *tree, lm_tree_file *file)
{
    char part[LM_PATH_BYTES_MAX];
    file->folder = dup(tree->fd);
    if (file->folder < 0) return lm_fail_errno("cannot open the folder of '%s'", file->name);
    const char *at = file->name;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        memcpy(part, at, (size_t)(slash - at));
        part[slash - at] = '\0';
        int next = -1;
        lm_err err = step_down(file->folder, part, file->name, &next);
        if (err) return err;
        (void)close(file->folder);
        file->folder = next;
    }
    file->last = at;
    return LM_OK;
}

static lm_err create_hidden(lm_tree_file *file)
{
    struct stat info;
    if (fstatat(file->folder, file->last, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(info.st_mode))
            return lm_fail(LM_E_USAGE, "'%s' is not written: a folder has that name", file->name);
        if (!file->replace) return lm_fail(LM_E_USAGE, "'%s' already exists", file->name);
    }
    for (unsigned i = 0; i < TEMP_NAME_TRIES; i++) {
        (void)snprintf(file->hidden, sizeof file->hidden, ".logmill-%ld-%u.tmp", (long)getpid(), i);
        file->fd = openat(file->folder, file->hidden,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file->fd >= 0) {
            file->is_pending = true;
            return LM_OK;
        }
        if (errno != EEXIST) break;
    }
    return lm_fail_errno("cannot create '%s'", file->name);
}

lm_err lm_tree_file_new(lm_tree *tree, const char *name, bool replace, lm_tree_file **out)
{
    size_t len = strlen(name);
    if (len >= LM_PATH_BYTES_MAX)
        return lm_fail(LM_E_LIMIT, "a file name of %zu bytes is too long", len);
    lm_tree_file *file = lm_mem_alloc(tree->mem, sizeof *file);
    if (!file) return lm_mem_err();
    file->mem = tree->mem;
    file->folder = file->fd = -1;
    file->replace = replace;
    file->is_pending = false;
    file->used = 0;
    memcpy(file->name, name, len + 1);
    lm_err err = walk(tree, file);
    if (!err) err = create_hidden(file);
    if (err) {
        lm_tree_file_free(file);
        return err;
    }
    *out = file;
    return LM_OK;
}

static lm_err write_all(lm_tree_file *file, const uint8_t *src, size_t len)
{
    while (len) {
        ssize_t n = write(file->fd, src, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lm_fail_errno("cannot write '%s'", file->name);
        src += n;
        len -= (size_t)n;
    }
    return LM_OK;
}

lm_err lm_tree_file_write(lm_tree_file *file, const void *src, size_t len)
{
    if (len <= BUFFER_BYTES - file->used) {
        if (len) memcpy(file->buffer + file->used, src, len);
        file->used += len;
        return LM_OK;
    }
    lm_err err = write_all(file, file->buffer, file->used);
    file->used = 0;
    return err ? err : write_all(file, src, len);
}

/** Give the hidden file its name; without replace, never over another file. */
static lm_err name_file(lm_tree_file *file)
{
    if (!file->replace) {
        if (linkat(file->folder, file->hidden, file->folder, file->last, 0) == 0) {
            (void)unlinkat(file->folder, file->hidden,
                           0); /* the file has its name; a left-over link harms nobody */
            file->is_pending = false;
            return LM_OK;
        }
        if (errno == EEXIST) return lm_fail(LM_E_USAGE, "'%s' already exists", file->name);
        /* else: a file system without links; the check when it was created has to do */
    }
    if (renameat(file->folder, file->hidden, file->folder, file->last) != 0) {
        return lm_fail_errno("cannot rename to '%s'", file->name);
    }
    file->is_pending = false;
    return LM_OK;
}

lm_err lm_tree_file_commit(lm_tree_file *file, uint32_t mode, int64_t mtime_ns)
{
    LM_ASSERT(file->fd >= 0);
    lm_err err = write_all(file, file->buffer, file->used);
    if (err) return err;
    file->used = 0;
    int64_t seconds = mtime_ns / 1000000000, rest = mtime_ns % 1000000000;
    if (rest < 0) {
        seconds--;
        rest += 1000000000;
    }
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = seconds, .tv_nsec = rest}};
    /* Set-user-id and the like are not for a log; times and modes that the file system refuses are
     * no reason to lose it. */
    (void)fchmod(file->fd, (mode_t)(mode & 0777));
    (void)futimens(file->fd, times);
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0) return lm_fail_errno("cannot write '%s'", file->name);
    return name_file(file);
}

void lm_tree_file_free(lm_tree_file *file)
{
    if (!file) return;
    if (file->fd >= 0) (void)close(file->fd);
    if (file->is_pending) (void)unlinkat(file->folder, file->hidden, 0);
    if (file->folder >= 0) (void)close(file->folder);
    lm_mem_release(file->mem, file, sizeof *file);
}

lm_err lm_temp_make(char *path, size_t cap)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !folder[0]) folder = "/tmp";
    int len = snprintf(path, cap, "%s/logmill-XXXXXX", folder);
    if (len < 0 || (size_t)len >= cap)
        return lm_fail(LM_E_LIMIT, "the name of the temporary folder is too long");
    int fd = mkstemp(path);
    if (fd < 0) return lm_fail_errno("cannot make a temporary file in '%s'", folder);
    (void)close(fd); /* empty: nothing to lose */
    return LM_OK;
}

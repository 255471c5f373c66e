/**
 * Files that appear whole or not at all: written without a name where the system can do that (so
 * that a killed program leaves nothing), else under a hidden one beside the final name; fsynced,
 * named, the folder fsynced.
 *
 * A target that exists and is not a regular file (a pipe, /dev/null) cannot be replaced by a rename
 * and must not be: it is written to directly. A symbolic link keeps pointing where it points; what
 * it points at is replaced.
 */
#include "base/base_hash.h"
#include "base/base_io.h"
#include "base/base_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTFILE_MAGIC   0x7566746fu
#define BUFFER_BYTES    (64u * 1024u)
#define NAME_TRIES      100
#define TEMP_SUFFIX_MAX 48

struct lm_outfile {
    uint32_t magic;
    lm_mem *mem;
    int fd;
    bool is_direct;   /* written in place, nothing to rename */
    bool is_nameless; /* the file has no name yet */
    bool is_pending;  /* the temporary file exists and must be renamed or removed */
    uint64_t offset;  /* bytes taken from the caller */
    size_t used;      /* bytes in buffer that wait for the system */
    char *path;       /* final name, links resolved; allocated, path_bytes */
    size_t path_bytes;
    char *temp; /* temporary name; allocated, temp_bytes */
    size_t temp_bytes;
    uint8_t *buffer; /* BUFFER_BYTES */
};

static lm_err write_all(lm_outfile *file, const uint8_t *src, size_t len)
{
    while (len) {
        ssize_t n = write(file->fd, src, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lm_fail_errno("cannot write '%s'", file->path);
        src += n;
        len -= (size_t)n;
    }
    return LM_OK;
}

static lm_err flush(lm_outfile *file)
{
    lm_err err = write_all(file, file->buffer, file->used);
    if (!err) file->used = 0;
    return err;
}

static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

static void folder_of(const char *path, char out[LM_PATH_BYTES_MAX + 2])
{
    size_t len = folder_len(path);
    if (len == 0) {
        memcpy(out, ".", 2);
    } else {
        memcpy(out, path, len);
        out[len] = '\0';
    }
}

/* The hidden name beside the final one: ".NAME.PID-NUMBER.tmp". */
static void make_temp_name(lm_outfile *file, uint64_t number)
{
    size_t folder = folder_len(file->path);
    const char *name = file->path + folder;
    /* A name as long as the system allows has no room for more: 200 of its bytes are enough to
     * tell by. */
    snprintf(file->temp, file->temp_bytes, "%.*s.%.200s.%d-%08x.tmp", (int)folder, file->path, name,
             (int)getpid(), (unsigned)lm_hash_u64(number));
}

/* The way from a descriptor to a name leads through /proc, which some containers lack. */
static void fd_path(int fd, char out[40])
{
    snprintf(out, 40, "/proc/self/fd/%d", fd);
}

static bool open_nameless(lm_outfile *file)
{
#ifdef O_TMPFILE
    char folder[LM_PATH_BYTES_MAX + 2], link[40];
    folder_of(file->path, folder);
    file->fd = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    if (file->fd < 0) return false;
    fd_path(file->fd, link);
    if (access(link, F_OK) == 0) return file->is_nameless = true;
    close(file->fd);
    file->fd = -1;
#endif
    return false;
}

static lm_err open_temp(lm_outfile *file, mode_t mode)
{
    uint64_t number = lm_clock_ns();
    for (int attempt = 0; !open_nameless(file) && attempt < NAME_TRIES; attempt++) {
        make_temp_name(file, number += 0x9e3779b9u); /* O_EXCL makes sure that it is ours alone */
        file->fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        file->is_pending = file->fd >= 0;
        if (file->is_pending || errno != EEXIST) break;
    }
    if (file->fd < 0) return lm_fail_errno("cannot create '%s'", file->path);
    if (mode)
        (void)fchmod(file->fd, mode); /* the replaced file's; if refused, the default is safe */
    return LM_OK;
}

/* The final name if it is free, else a hidden one, to be renamed over what has it. */
static lm_err give_name(lm_outfile *file)
{
    char link[40];
    uint64_t number = lm_clock_ns();
    fd_path(file->fd, link);
    if (linkat(AT_FDCWD, link, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW) == 0) {
        file->is_nameless = false;
        return LM_OK;
    }
    for (int attempt = 0; errno == EEXIST && attempt < NAME_TRIES; attempt++) {
        make_temp_name(file, number += 0x9e3779b9u);
        file->is_pending = linkat(AT_FDCWD, link, AT_FDCWD, file->temp, AT_SYMLINK_FOLLOW) == 0;
        if (file->is_pending) return LM_OK;
    }
    return lm_fail_errno("cannot create '%s'", file->path);
}

static lm_err copy_path(lm_outfile *file, const char *path)
{
    char real[PATH_MAX];
    if (realpath(path, real)) path = real; /* fails for a new file, which has no link to follow */
    size_t len = strlen(path);
    if (len > LM_PATH_BYTES_MAX) return lm_fail(LM_E_LIMIT, "path of %zu bytes is too long", len);
    file->path = lm_mem_alloc(file->mem, len + 1);
    if (!file->path) return lm_mem_err();
    file->path_bytes = len + 1;
    memcpy(file->path, path, len + 1);
    file->temp = lm_mem_alloc(file->mem, len + TEMP_SUFFIX_MAX);
    if (!file->temp) return lm_mem_err();
    file->temp_bytes = len + TEMP_SUFFIX_MAX;
    return LM_OK;
}

lm_err lm_outfile_new(lm_mem *mem, const char *path, lm_outfile **out)
{
    struct stat st;
    bool is_there = stat(path, &st) == 0;
    if (is_there && S_ISDIR(st.st_mode))
        return lm_fail(LM_E_IO, "cannot write '%s': is a folder", path);

    lm_outfile *file = lm_mem_calloc(mem, 1, sizeof *file);
    if (!file) return lm_mem_err();
    file->magic = OUTFILE_MAGIC;
    file->mem = mem;
    file->fd = -1;
    file->is_direct = is_there && !S_ISREG(st.st_mode);
    lm_err err = copy_path(file, path);
    if (err) goto out;
    file->buffer = lm_mem_alloc(mem, BUFFER_BYTES);
    if (!file->buffer) {
        err = lm_mem_err();
        goto out;
    }
    if (file->is_direct) {
        file->fd = open(file->path, O_WRONLY | O_CLOEXEC);
        if (file->fd < 0) err = lm_fail_errno("cannot open '%s'", file->path);
    } else {
        err = open_temp(file, is_there ? st.st_mode & 0777 : 0);
    }
out:
    if (err) {
        lm_outfile_free(file);
        return err;
    }
    *out = file;
    return LM_OK;
}

lm_err lm_outfile_write(lm_outfile *file, const void *src, size_t len)
{
    LM_ASSERT(file->magic == OUTFILE_MAGIC);
    if (len == 0) return LM_OK;
    lm_err err = LM_OK;
    if (len > BUFFER_BYTES - file->used) {
        err = flush(file);
        if (err) return err;
    }
    if (len >= BUFFER_BYTES) {
        err = write_all(file, src, len);
        if (err) return err;
    } else {
        memcpy(file->buffer + file->used, src, len);
        file->used += len;
    }
    file->offset += len;
    return LM_OK;
}

uint64_t lm_outfile_offset(const lm_outfile *file)
{
    return file->offset;
}

static lm_err sync_folder(const char *path)
{
    char folder[LM_PATH_BYTES_MAX + 2];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return LM_OK; /* a folder that may be written but not read: nothing more can be done */
    lm_err err = LM_OK;
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        err = lm_fail_errno("cannot sync folder '%s'", folder);
    close(fd);
    return err;
}

lm_err lm_outfile_commit(lm_outfile *file)
{
    LM_ASSERT(file->magic == OUTFILE_MAGIC && file->fd >= 0);
    lm_err err = flush(file);
    if (err) return err;
    if (fsync(file->fd) != 0 && !file->is_direct)
        return lm_fail_errno("cannot sync '%s'", file->path);
    if (file->is_nameless) err = give_name(file);
    if (err) return err;
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0) return lm_fail_errno("cannot close '%s'", file->path);
    if (file->is_direct) return LM_OK;
    if (file->is_pending && rename(file->temp, file->path) != 0) {
        return lm_fail_errno("cannot rename '%s' to '%s'", file->temp, file->path);
    }
    file->is_pending = false;
    return sync_folder(file->path);
}

void lm_outfile_free(lm_outfile *file)
{
    if (!file) return;
    LM_ASSERT(file->magic == OUTFILE_MAGIC);
    if (file->fd >= 0) close(file->fd);
    if (file->is_pending) unlink(file->temp);
    lm_mem_release(file->mem, file->buffer, BUFFER_BYTES);
    lm_mem_release(file->mem, file->temp, file->temp_bytes);
    lm_mem_release(file->mem, file->path, file->path_bytes);
    file->magic = 0;
    lm_mem_release(file->mem, file, sizeof *file);
}

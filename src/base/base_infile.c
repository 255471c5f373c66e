/** Files read from front to back: logs, pipes, standard input. Immutable files are mapped instead
 * (base_io.c). */
#include "base/base_io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFILE_MAGIC   0x6e696669u
#define READ_BYTES_MAX (1u << 30) /* what one read(2) may be asked for everywhere */

struct lm_infile {
    uint32_t magic;
    int fd;
    lm_mem *mem;
    size_t bytes; /* of this struct with its path */
    char path[];
};

lm_err lm_infile_open(lm_mem *mem, const char *path, lm_infile **out)
{
    lm_err err = LM_OK;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR) return lm_fail_errno("cannot open '%s'", path);
        return lm_fail(LM_E_NOTFOUND, "cannot open '%s': no such file or folder", path);
    }
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        err = lm_fail(LM_E_IO, "cannot read '%s': it is a folder",
                      is_stdin ? "standard input" : path);
        goto out;
    }
    const char *shown = is_stdin ? "standard input" : path;
    size_t path_bytes = strlen(shown) + 1;
    lm_infile *file = lm_mem_alloc(mem, sizeof *file + path_bytes);
    if (!file) {
        err = lm_mem_err();
        goto out;
    }
    *file = (lm_infile){
        .magic = INFILE_MAGIC, .fd = fd, .mem = mem, .bytes = sizeof *file + path_bytes};
    memcpy(file->path, shown, path_bytes);
    *out = file;
    fd = -1;
out:
    if (fd >= 0 && !is_stdin) close(fd);
    return err;
}

lm_err lm_infile_read(lm_infile *file, void *dst, size_t cap, size_t *out_len)
{
    LM_ASSERT(file->magic == INFILE_MAGIC);
    for (;;) {
        ssize_t n = read(file->fd, dst, cap < READ_BYTES_MAX ? cap : READ_BYTES_MAX);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lm_fail_errno("cannot read '%s'", file->path);
        *out_len = (size_t)n;
        return LM_OK;
    }
}

const char *lm_infile_path(const lm_infile *file)
{
    return file->path;
}

void lm_infile_close(lm_infile *file)
{
    if (!file) return;
    LM_ASSERT(file->magic == INFILE_MAGIC);
    if (file->fd != STDIN_FILENO) close(file->fd);
    file->magic = 0;
    lm_mem_release(file->mem, file, file->bytes);
}

/** The system: clocks, maps, whole files, folders. Files that are written: base_outfile.c. */
#include "base/base_io.h"

#include "base/base_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES_FIRST 65536u

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t lm_clock_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t lm_clock_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t lm_clock_wall_ns(void)
{
    return (int64_t)clock_ns(CLOCK_REALTIME);
}

int64_t lm_clock_ns_of(int64_t seconds, int64_t rest_ns)
{
    int64_t ns;
    if (!__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) &&
        !__builtin_add_overflow(ns, rest_ns, &ns))
        return ns;
    return seconds < 0 ? INT64_MIN + 1 : INT64_MAX - 1; /* the ends mean "unknown" elsewhere */
}

/* Open or stat failed: a missing file is a class of its own for the caller. */
static lm_err fail_path(const char *what, const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR) {
        return lm_fail(LM_E_NOTFOUND, "cannot %s '%s': no such file or folder", what, path);
    }
    return lm_fail_errno("cannot %s '%s'", what, path);
}

/* The file over the front of zero pages: what its last page lacks is zero by the system's word. */
static lm_err map_over_zeros(int fd, const char *path, size_t len, size_t extra, lm_map *out)
{
    size_t all;
    if (__builtin_add_overflow(len, extra, &all)) return LM_E_NOMEM;
    uint8_t *zeros = mmap(NULL, all, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) return lm_fail(LM_E_NOMEM, "out of memory: cannot map '%s'", path);
    if (len && mmap(zeros, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
        lm_err err = lm_fail_errno("cannot map '%s'", path);
        munmap(zeros, all);
        return err;
    }
    *out = (lm_map){zeros, all};
    return LM_OK;
}

lm_err lm_map_open(const char *path, lm_map *out)
{
    return lm_map_open_longer(path, 0, out);
}

lm_err lm_map_open_longer(const char *path, size_t extra, lm_map *out)
{
    lm_err err = LM_OK;
    lm_map map = {(const uint8_t *)"", 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_path("open", path);

    struct stat st;
    if (fstat(fd, &st) != 0) {
        err = lm_fail_errno("cannot look at '%s'", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err = lm_fail(LM_E_IO, "cannot open '%s': not a regular file", path);
        goto out;
    }
    if ((uint64_t)st.st_size > SIZE_MAX) {
        err = lm_fail(LM_E_IO, "cannot map '%s': too large for this machine", path);
        goto out;
    }
    if (extra) {
        err = map_over_zeros(fd, path, (size_t)st.st_size, extra, &map);
    } else if (st.st_size > 0) { /* a map of nothing is refused by the system */
        void *ptr = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (ptr == MAP_FAILED)
            err = lm_fail_errno("cannot map '%s'", path);
        else
            map = (lm_map){ptr, (size_t)st.st_size};
    }
    if (!err) *out = map;
out:
    close(fd);
    return err;
}

void lm_map_close(lm_map *map)
{
    if (map->len) munmap((void *)(uintptr_t)map->ptr, map->len);
    *map = (lm_map){0};
}

lm_err lm_file_info_get(const char *path, lm_file_info *out)
{
    struct stat st;
    if (stat(path, &st) != 0) return fail_path("open", path);
    *out = (lm_file_info){
        .bytes = (uint64_t)st.st_size,
        .mtime_ns = lm_clock_ns_of(st.st_mtim.tv_sec, st.st_mtim.tv_nsec),
        .mode = (uint32_t)(st.st_mode & 07777),
        .is_folder = S_ISDIR(st.st_mode),
        .is_regular = S_ISREG(st.st_mode),
    };
    return LM_OK;
}

lm_err lm_folder_make(const char *path)
{
    char part[LM_PATH_BYTES_MAX + 1];
    size_t len = strlen(path);
    if (len == 0) return lm_fail(LM_E_USAGE, "cannot make a folder without a name");
    if (len >= sizeof part) return lm_fail(LM_E_LIMIT, "path of %zu bytes is too long", len);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) != 0) {
            int saved = errno; /* EEXIST, or whatever the system says first about an existing parent
                                  (EROFS) */
            struct stat st;
            bool is_there = stat(part, &st) == 0;
            if (is_there && !S_ISDIR(st.st_mode)) {
                return lm_fail(LM_E_IO, "cannot make folder '%s': '%s' is not a folder", path,
                               part);
            }
            if (!is_there) {
                errno = saved;
                return lm_fail_errno("cannot make folder '%s'", part);
            }
        }
        part[i] = kept;
    }
    return LM_OK;
}

lm_err lm_file_read_all(const char *path, size_t max, lm_buf *out)
{
    lm_err err = LM_OK;
    size_t before = out->len;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_path("open", path);

    struct stat st;
    size_t step = READ_BYTES_FIRST;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size < max) {
        step = (size_t)st.st_size + 1; /* one more sees the end without growing */
    }
    for (;;) {
        err = lm_buf_reserve(out, step);
        if (err) goto out;
        ssize_t n = read(fd, out->ptr + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            err = lm_fail_errno("cannot read '%s'", path);
            goto out;
        }
        if (n == 0) break;
        out->len += (size_t)n;
        if (out->len - before > max) {
            err = lm_fail(LM_E_LIMIT, "'%s' is larger than %zu bytes", path, max);
            goto out;
        }
        step = out->cap - out->len < 4096 ? READ_BYTES_FIRST : 1;
    }
out:
    if (err) out->len = before;
    if (!is_stdin) close(fd);
    return err;
}

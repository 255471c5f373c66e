/* The write-ahead log: a file a generation, frames one behind the other, synced before anybody is
 * told. What cannot be written leaves the file as it was. */
#include "store/store_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IOV_COUNT = 256, HASHED_TIMES = 256 /* a log's bytes, at most, to find its frames again */ };

void store_log_path(const char *folder, uint64_t generation, char *dst)
{
    (void)snprintf(dst, STORE_PATH_MAX, "%s/log/%016llx.log", folder,
                   (unsigned long long)generation);
}

static lm_err sync_folder(const char *folder)
{
    char path[STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/log", folder);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return lm_fail_errno("cannot open '%s'", path);
    lm_err err = fsync(fd) == 0 ? LM_OK : lm_fail_errno("cannot sync '%s'", path);
    close(fd);
    return err;
}

/** The head is there twice: with both lost, no frame could be told from what a client sent. */
static void make_head(uint64_t generation, uint64_t secret, uint8_t *head)
{
    memcpy(head, STORE_LOG_MAGIC, 8);
    memcpy(head + 8, &generation, 8);
    memcpy(head + 16, &secret, 8);
    uint64_t check = lm_hash64(head, 24);
    memcpy(head + 24, &check, 8);
    memcpy(head + STORE_LOG_COPY, head, STORE_LOG_COPY);
}

/** The secret, from the copy that is whole. False: neither is. *out_is_whole: both are. */
static bool read_head(lm_str all, uint64_t generation, uint64_t *out, bool *out_is_whole)
{
    unsigned good = 0;
    for (size_t at = 0; at < STORE_LOG_HEAD && at + STORE_LOG_COPY <= all.len;
         at += STORE_LOG_COPY) {
        const uint8_t *copy = all.ptr + at;
        if (memcmp(copy, STORE_LOG_MAGIC, 8) != 0 || lm_le64(copy + 8) != generation ||
            lm_hash64(copy, 24) != lm_le64(copy + 24))
            continue;
        *out = lm_le64(copy + 16);
        good++;
    }
    *out_is_whole = good == 2;
    return good > 0;
}

static lm_err make_secret(uint64_t *out)
{
    uint64_t secret = 0;
    if (getrandom(&secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        return lm_fail_errno("no random number is to be had");
    *out = secret;
    return LM_OK;
}

lm_err store_log_begin(const char *folder, uint64_t generation, store_log *out)
{
    store_log log = {.generation = generation, .offset = STORE_LOG_HEAD};
    uint8_t head[STORE_LOG_HEAD];
    store_log_path(folder, generation, log.path);
    lm_err err = make_secret(&log.secret);
    if (err) return err;
    make_head(generation, log.secret, head);
    log.fd = open(log.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (log.fd < 0) return lm_fail_errno("cannot make '%s'", log.path);
    if (pwrite(log.fd, head, sizeof head, 0) != (ssize_t)sizeof head || fsync(log.fd) != 0)
        err = lm_fail_errno("cannot write '%s'", log.path);
    if (!err) err = sync_folder(folder);
    if (err) {
        close(log.fd);
        unlink(log.path);
        return err;
    }
    *out = log;
    return LM_OK;
}

static lm_err write_all(store_log *log, struct iovec *iov, int count, uint64_t offset)
{
    while (count) {
        ssize_t n = pwritev(log->fd, iov, count, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = ENOSPC;
            return lm_fail_errno("cannot write '%s'", log->path);
        }
        offset += (uint64_t)n;
        while (count && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return LM_OK;
}

lm_err store_log_write(store_log *log, const store_frame *first, size_t count, uint64_t *out_syncs)
{
    uint64_t offset = log->offset;
    lm_err err = LM_OK;
    const store_frame *frame = first;
    while (count && !err) {
        struct iovec iov[IOV_COUNT];
        int used = 0;
        uint64_t bytes = 0;
        for (; count && used < IOV_COUNT; count--, frame = frame->next, used++) {
            iov[used] = (struct iovec){frame->bytes, frame->len};
            bytes += frame->len;
        }
        err = write_all(log, iov, used, offset);
        offset += bytes;
    }
    if (!err && fdatasync(log->fd) != 0) err = lm_fail_errno("cannot sync '%s'", log->path);
    /* Somebody deleted the store below us: what is written would be lost at the next start. */
    struct stat now;
    if (!err && (fstat(log->fd, &now) != 0 || now.st_nlink == 0))
        err = lm_fail(LM_E_IO, "'%s' was deleted", log->path);
    (*out_syncs)++;
    if (err) {
        /* Whole frames of the failed batch must not come back after a restart: nobody was told that
         * they are kept. If even this fails, they may, which loses nothing. */
        lm_err_info info;
        lm_err_save(&info);
        if (ftruncate(log->fd, (off_t)log->offset) == 0) (void)fdatasync(log->fd);
        return lm_err_restore(&info);
    }
    log->offset = offset;
    return LM_OK;
}

void store_log_close(store_log *log)
{
    if (log->fd >= 0) close(log->fd);
    log->fd = -1;
}

/* ---- replay ---- */

/** A frame that the file's end cuts short: the process was killed while it wrote, and nobody was
 * told that the frame is kept. */
static bool is_unfinished(lm_str rest)
{
    uint32_t magic = STORE_FRAME_MAGIC, len = 0;
    if (memcmp(rest.ptr, &magic, rest.len < 4 ? rest.len : 4) != 0) return false;
    if (rest.len < STORE_FRAME_HEAD) return true;
    memcpy(&len, rest.ptr + 4, 4);
    return len <= STORE_FRAME_BYTES_MAX && len > rest.len - STORE_FRAME_HEAD;
}

static void save_lost(const char *folder, uint64_t generation, size_t offset, lm_str bytes,
                      store_log_bad_fn bad, bool is_tail, void *ctx)
{
    bool is_cut = is_tail && is_unfinished(bytes);
    char path[STORE_PATH_MAX], text[STORE_PATH_MAX + 200];
    (void)snprintf(path, sizeof path, "%s/lost/%016llx.log.%zu", folder,
                   (unsigned long long)generation, offset);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    ssize_t n = fd >= 0 ? write(fd, bytes.ptr, bytes.len) : -1;
    if (fd >= 0) close(fd);
    (void)snprintf(text, sizeof text,
                   "the log %016llx %s at byte %zu: %zu bytes were set aside%s%s",
                   (unsigned long long)generation,
                   is_cut ? "ends in a batch that was not finished" : "is damaged", offset,
                   bytes.len, n == (ssize_t)bytes.len ? " as " : ", which failed: ",
                   n == (ssize_t)bytes.len ? path : strerror(errno));
    bad(ctx, !is_cut, text);
}

/** Looking for frames behind damage. */
typedef struct search {
    lm_mem *mem;
    lm_str all;
    uint64_t secret;
    uint64_t hashed_max; /* bytes that may still be hashed for frames that turn out to be none */
} search;

/** What a beginning claims to be as long as; 0: it is cut off. */
static size_t claimed_bytes(lm_str here)
{
    if (here.len < STORE_FRAME_HEAD) return 0;
    size_t payload = lm_le32(here.ptr + 4);
    return payload <= STORE_FRAME_BYTES_MAX && payload <= here.len - STORE_FRAME_HEAD ? payload : 0;
}

/** Where the next whole frame begins at or after at; the end if none does. LM_E_NOMEM, LM_E_LIMIT:
 * a frame that there is no memory for is not to be passed over. */
static lm_err find_frame(search *s, size_t at, size_t *out)
{
    uint32_t magic = STORE_FRAME_MAGIC;
    lm_str needle = {(const uint8_t *)&magic, 4};
    *out = s->all.len;
    while (at < s->all.len) {
        lm_str rest = {s->all.ptr + at, s->all.len - at};
        size_t found = lm_str_find(rest, needle);
        if (found == SIZE_MAX) return LM_OK;
        store_frame *frame = NULL;
        size_t len = 0;
        lm_str here = {rest.ptr + found, rest.len - found};
        size_t claimed = claimed_bytes(here);
        if (claimed > s->hashed_max) return LM_OK; /* only a client that means harm sends so many */
        lm_err err = store_frame_parse(s->mem, here, s->secret, &frame, &len);
        if (err && err != LM_E_CORRUPT) return err;
        if (!err) {
            store_frame_free(s->mem, frame);
            *out = at + found;
            return LM_OK;
        }
        s->hashed_max -= claimed;
        at += found + 1;
    }
    return LM_OK;
}

lm_err store_log_replay(lm_mem *mem, const char *folder, uint64_t generation,
                        lm_err (*told)(void *ctx, store_frame *frame), store_log_bad_fn bad,
                        void *ctx)
{
    char path[STORE_PATH_MAX];
    lm_map map = {0};
    uint64_t secret = 0;
    bool is_whole = false;
    store_log_path(folder, generation, path);
    lm_err err = lm_map_open(path, &map); /* nobody writes to it: the lock of the folder is ours */
    if (err) return err;
    lm_str all = {map.ptr, map.len};
    size_t at = STORE_LOG_HEAD < all.len ? STORE_LOG_HEAD : all.len;
    if (!read_head(all, generation, &secret, &is_whole)) at = all.len; /* nothing can be trusted */
    search s = {mem, all, secret, HASHED_TIMES * (uint64_t)all.len};
    if (!is_whole && all.len)
        save_lost(folder, generation, 0, (lm_str){all.ptr, at}, bad, at == all.len, ctx);
    while (at < all.len && !err) {
        store_frame *frame = NULL;
        size_t len = 0;
        err = store_frame_parse(mem, (lm_str){all.ptr + at, all.len - at}, secret, &frame, &len);
        if (!err) {
            err = told(ctx, frame);
            at += len;
        } else if (err == LM_E_CORRUPT) {
            size_t next = 0;
            err = find_frame(&s, at + 1, &next);
            if (err) break;
            save_lost(folder, generation, at, (lm_str){all.ptr + at, next - at}, bad,
                      next == all.len, ctx);
            at = next;
        }
    }
    lm_map_close(&map);
    return err;
}

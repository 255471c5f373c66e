/**
 * Which files there are, and what became of those that were.
 *
 * Every file is told by device and inode, so a renamed file is the same one: it is read on through
 * its descriptor (or found again in its folder) and the new file of its name waits until it was
 * read to its end. A file that was emptied is told by its size or by what it begins with; the rest
 * of its former text is looked for in a file beside it that begins the same.
 */
#include "source/source_files_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SCAN_EVERY     (10 * LM_SECOND)
#define SCAN_UNWATCHED LM_SECOND
#define SCAN_PAUSE                                                                                 \
    (20 * LM_NS) /* between scans that inotify asks for, and ten times what one takes */
#define QUIET         LM_SECOND /* a packed file that did not change for so long is whole */
#define DAMAGED_QUIET (10 * LM_SECOND)
#define COPY_QUIET    (3 * LM_SECOND)
#define GONE_AFTER    (10 * LM_SECOND) /* a deleted file that did not grow is let go */
#define LOOK_BACK     64
#define WATCH_EVENTS                                                                               \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY | IN_DELETE_SELF)

size_t lm_files_key(uint64_t device, uint64_t inode, char dst[64])
{
    return (size_t)snprintf(dst, 64, "file/%llu:%llu", (unsigned long long)device,
                            (unsigned long long)inode);
}

lm_str lm_files_key_at(lm_str path, char dst[LM_FILES_AT_MAX])
{
    int len = snprintf(dst, LM_FILES_AT_MAX, "file/at/%.*s", (int)path.len, (const char *)path.ptr);
    return (lm_str){(const uint8_t *)dst, (size_t)len}; /* paths are shorter than it */
}

static bool is_same(const lm_tail *tail, const struct stat *info)
{
    return tail->device == (uint64_t)info->st_dev && tail->inode == (uint64_t)info->st_ino;
}

static int64_t mtime_of(const struct stat *info)
{
    return lm_clock_ns_of(info->st_mtim.tv_sec, info->st_mtim.tv_nsec);
}

/* ---- watching -------------------------------------------------------------------------------- */

static void watch(lm_files *files, const char *path, bool is_file)
{
    if (files->inotify_fd < 0) {
        files->is_unwatched = true;
        return;
    }
    uint32_t events = is_file ? IN_MODIFY : WATCH_EVENTS | IN_ONLYDIR;
    int wd = inotify_add_watch(files->inotify_fd, path, events);
    if (wd < 0) {
        files->is_unwatched = true;
        if (errno == ENOSPC)
            lm_source_note(&files->source, 4, "too_many_watches",
                           "%s: the system grants no more watches, files are polled",
                           files->source.name);
        return;
    }
    size_t had = files->watch_cap;
    lm_err err = lm_vec_grow(files->mem, &files->watches, &files->watch_cap, (size_t)wd + 1,
                             sizeof *files->watches);
    if (err) return; /* its events are not understood; polling finds what they tell */
    if (files->watch_cap > had)
        memset(files->watches + had, 0, (files->watch_cap - had) * sizeof *files->watches);
    lm_watch *entry = &files->watches[wd];
    if (entry->path && strcmp(entry->path, path) == 0) return;
    size_t len = strlen(path) + 1;
    char *copy = lm_mem_alloc(files->mem, len);
    if (!copy) return;
    memcpy(copy, path, len);
    if (entry->path) lm_mem_release(files->mem, entry->path, strlen(entry->path) + 1);
    entry->path = copy;
    entry->is_file = is_file;
}

static void take_event(lm_files *files, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        files->is_scan_wanted = true;
        files->next_poll_ns = 0;
        return;
    }
    if (event->wd < 0 || (size_t)event->wd >= files->watch_cap) return;
    lm_watch *entry = &files->watches[event->wd];
    if (event->mask & IN_IGNORED) {
        if (entry->path) lm_mem_release(files->mem, entry->path, strlen(entry->path) + 1);
        entry->path = NULL;
        files->is_scan_wanted = true;
        return;
    }
    if (!(event->mask & IN_MODIFY)) {
        files->is_scan_wanted = true;
        return;
    }
    if (!entry->path) return;
    char path[LM_PATH_BYTES_MAX];
    int len = entry->is_file ? snprintf(path, sizeof path, "%s", entry->path)
                             : snprintf(path, sizeof path, "%s/%s",
                                        strcmp(entry->path, "/") ? entry->path : "",
                                        event->len ? event->name : "");
    if (len < 0 || (size_t)len >= sizeof path) return;
    lm_tail *tail = lm_tails_by_path(&files->tails, path, (size_t)len);
    if (tail && tail->kind == LM_TAIL_LIVE) lm_tails_mark(&files->tails, tail);
}

void lm_files_events(lm_files *files)
{
    _Alignas(struct inotify_event) char raw[65536];
    if (files->inotify_fd < 0) return;
    for (int rounds = 0; rounds < 64; rounds++) {
        ssize_t got = read(files->inotify_fd, raw, sizeof raw);
        if (got <= 0) return;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const struct inotify_event *)(raw + at);
            take_event(files, event);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
}

/* ---- meeting files --------------------------------------------------------------------------- */

/** The first bytes of the file at path, if it is the one of info. */
static bool read_head(const char *path, const struct stat *info, uint8_t head[LM_HEAD_MAX],
                      size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return false;
    struct stat now;
    ssize_t len = -1;
    if (fstat(fd, &now) == 0 && now.st_ino == info->st_ino && now.st_dev == info->st_dev)
        len = pread(fd, head, LM_HEAD_MAX, 0);
    close(fd);
    if (len < 0) return false;
    *out_len = (size_t)len;
    return true;
}

/** The checkpoint of a file; text holds its path. */
static lm_err load_position(lm_files *files, const struct stat *info, lm_buf *text,
                            lm_position *out)
{
    char key[64];
    size_t len = lm_files_key((uint64_t)info->st_dev, (uint64_t)info->st_ino, key);
    const lm_sink *sink = &files->source.host.sink;
    text->len = 0;
    lm_err err = sink->checkpoint(sink->self, (lm_str){(const uint8_t *)key, len}, text);
    if (err) return err;
    if (text->len == 0) return lm_fail(LM_E_NOTFOUND, "'%s' is empty", key);
    return lm_position_parse((lm_str){text->ptr, text->len}, out);
}

/** "app.log" for "app.log.1", "app.log-20260101" and "app-20260101.log": the tail of that path. */
static lm_tail *find_base(lm_files *files, const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    const char *extension = strrchr(name, '.');
    for (const char *at = path + strlen(path); at > name + 1; at--) {
        if (*at != '.' && *at != '-' && *at != '_') continue;
        lm_tail *tail = lm_tails_by_path(&files->tails, path, (size_t)(at - path));
        if (!tail && extension && extension > at) {
            char joined[LM_PATH_BYTES_MAX];
            int len = snprintf(joined, sizeof joined, "%.*s%s", (int)(at - path), path, extension);
            if (len > 0 && (size_t)len < sizeof joined)
                tail = lm_tails_by_path(&files->tails, joined, (size_t)len);
        }
        if (tail && tail->kind == LM_TAIL_LIVE) return tail;
    }
    return NULL;
}

static void start_live(lm_files *files, lm_tail *tail, uint64_t offset, lm_head head)
{
    tail->kind = LM_TAIL_LIVE;
    tail->offset = tail->scanned = offset;
    tail->head = head;
    tail->is_judged = tail->is_judged || offset > 0;
    tail->is_unsaved = true;
    tail->grown_ns = files->now_ns;
    lm_tails_mark(&files->tails, tail);
}

/** Where the last line that is whole ends. */
static uint64_t last_line_end(const char *path, uint64_t size)
{
    uint8_t text[65536];
    uint64_t at = size > sizeof text ? size - sizeof text : 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return size;
    ssize_t len = pread(fd, text, (size_t)(size - at), (off_t)at);
    close(fd);
    const uint8_t *end = len > 0 ? memrchr(text, '\n', (size_t)len) : NULL;
    if (end) return at + (uint64_t)(end + 1 - text);
    return at ? size : 0;
}

/** What a file is of which the sink knows nothing. */
static void classify(lm_files *files, lm_tail *tail, const struct stat *info, const uint8_t *bytes,
                     size_t len)
{
    uint64_t size = (uint64_t)info->st_size;
    lm_head head = lm_head_of(bytes, len);
    bool is_packed = lm_unpacked_is(bytes, len);
    bool is_skipped = files->from_end && files->is_first_ever && files->is_first_scan;
    tail->size = size;
    tail->mtime_ns = mtime_of(info);
    if (is_packed) {
        tail->kind = is_skipped ? LM_TAIL_DONE : LM_TAIL_PACKED;
        tail->head = head;
        if (is_skipped) lm_tails_mark(&files->tails, tail); /* so that this is remembered */
        return;
    }
    if (is_skipped) {
        start_live(files, tail, last_line_end(tail->path, size), head);
        return;
    }
    start_live(files, tail, 0, (lm_head){0});
}

bool lm_files_judge(lm_files *files, lm_tail *tail, const uint8_t *bytes, size_t len)
{
    tail->is_judged = true;
    if (lm_unpacked_is(bytes, len)) { /* met when it was still empty */
        tail->kind = LM_TAIL_PACKED;
        tail->head = (lm_head){0};
        tail->size = 0;
        return true;
    }
    lm_tail *base = find_base(files, tail->path);
    if (!base || base == tail) return false;
    const lm_position *former = lm_tails_remembered(&files->tails, bytes, len);
    if (former && former->offset <= tail->size) { /* of a file that was emptied since */
        start_live(files, tail, former->offset, former->head);
        tail->is_rotated = tail->is_copy = true;
        return true;
    }
    uint8_t theirs[LM_HEAD_MAX];
    if (len > sizeof theirs) len = sizeof theirs;
    bool is_like = !lm_tails_open(&files->tails, base) &&
                   pread(base->fd, theirs, len, 0) == (ssize_t)len &&
                   memcmp(bytes, theirs, len) == 0;
    if (base->offset > 0 && base->head.len > 0) /* that one was just emptied */
        is_like = is_like || lm_head_fits(base->head, bytes, len);
    if (!is_like) return false;
    lm_tails_mark(&files->tails, base);
    tail->kind = LM_TAIL_COPY;
    tail->grown_ns = files->now_ns;
    return true;
}

/** A file that was not known. only_known: but of which the sink has a position. */
static lm_tail *meet(lm_files *files, const char *path, const struct stat *info, bool only_known)
{
    uint8_t bytes[LM_HEAD_MAX];
    size_t len = 0;
    lm_position position = {0};
    lm_buf text;
    lm_buf_init(&text, files->mem);
    lm_tail *tail = NULL;
    lm_err err = load_position(files, info, &text, &position);
    bool is_known = !err;
    if (err && err != LM_E_NOTFOUND) {
        lm_source_note_err(&files->source, "position_unknown");
        if (err != LM_E_CORRUPT) goto out; /* the sink cannot tell now: next time */
    }
    if (only_known && !is_known) goto out;
    errno = 0;
    if (!read_head(path, info, bytes, &len)) {
        if (errno && errno != ENOENT && !only_known) {
            (void)lm_fail_errno("cannot read '%s'", path);
            lm_source_note_err(&files->source, "file_unreadable");
            files->is_unwatched = true; /* tried again soon */
        }
        goto out;
    }
    bool is_packed = lm_unpacked_is(bytes, len);
    bool is_still = is_known && lm_head_fits(position.head, bytes, len) &&
                    (is_packed || position.offset <= (uint64_t)info->st_size);
    if (only_known && !is_still) goto out;
    char name[LM_PATH_BYTES_MAX + 1];
    (void)snprintf(name, sizeof name, "%s", path); /* fits */
    if (is_still && position.path.len) {
        memcpy(name, position.path.ptr, position.path.len);
        name[position.path.len] = 0;
    }
    err = lm_tails_add(&files->tails, info, path, name, &tail);
    if (err) {
        lm_source_note_err(&files->source, "file_refused");
        goto out;
    }
    tail->seen = files->scan;
    tail->grown_ns = files->now_ns;
    tail->is_heir = is_known && (!is_still || position.head.len == 0);
    if (is_still) {
        tail->size = (uint64_t)info->st_size;
        tail->mtime_ns = mtime_of(info);
        tail->before_device = position.before_device;
        tail->before_inode = position.before_inode;
        if (position.is_done || is_packed) {
            tail->kind = position.is_done ? LM_TAIL_DONE : LM_TAIL_PACKED;
            tail->head = position.head;
            tail->offset = position.offset;
            tail->unpacked_from = position.offset;
        } else {
            start_live(files, tail, position.offset, position.head);
        }
        tail->is_rotated = only_known;
    } else {
        if (is_known) { /* emptied, or its number was given to another file, while nobody looked */
            tail->before_device = position.before_device; /* so that look_back goes on */
            tail->before_inode = position.before_inode;
            lm_tail former = {
                .path = tail->path, .name = name, .offset = position.offset, .head = position.head};
            if (lm_tails_remember(&files->tails, &position))
                lm_source_note_err(&files->source, "no_memory");
            if (!position.is_done && !is_packed && lm_files_find_copy(files, &former))
                tail->after = former.after;
        }
        classify(files, tail, info, bytes, len);
    }
    struct stat itself;
    if (lstat(path, &itself) == 0 && S_ISLNK(itself.st_mode)) watch(files, path, true);
out:
    lm_buf_fini(&text);
    return tail;
}

/** Does the packed file's text begin like this? */
static bool is_packed_form(lm_files *files, lm_tail *packed, lm_head head)
{
    uint8_t bytes[LM_HEAD_MAX];
    lm_unpacked *unpacked = NULL;
    size_t len = 0, got = 1;
    if (lm_tails_open(&files->tails, packed)) return false;
    if (lm_unpacked_open(files->mem, packed->fd, &unpacked)) return false;
    while (len < sizeof bytes && got > 0) {
        got = 0;
        if (lm_unpacked_read(unpacked, bytes + len, sizeof bytes - len, &got)) break;
        len += got;
    }
    lm_unpacked_close(unpacked);
    return head.len > 0 && lm_head_fits(head, bytes, len);
}

bool lm_files_find_copy(lm_files *files, lm_tail *tail)
{
    char folder[LM_PATH_BYTES_MAX], path[LM_PATH_BYTES_MAX];
    if (tail->head.len == 0 || strlen(tail->path) >= sizeof folder) return false;
    strcpy(folder, tail->path);
    char *slash = strrchr(folder, '/');
    if (!slash) return false;
    *slash = 0;
    const char *base = slash + 1, *extension = strrchr(base, '.');
    size_t stem = extension && extension > base ? (size_t)(extension - base) : strlen(base);
    DIR *dir = opendir(folder[0] ? folder : "/");
    if (!dir) return false;
    bool is_found = false;
    for (struct dirent *entry; !is_found && (entry = readdir(dir)) != NULL;) {
        struct stat info;
        uint8_t bytes[LM_HEAD_MAX];
        size_t len;
        if (strncmp(entry->d_name, base, stem) != 0 || strcmp(entry->d_name, base) == 0) continue;
        int path_len = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (path_len < 0 || (size_t)path_len >= sizeof path || stat(path, &info) ||
            !S_ISREG(info.st_mode) || !read_head(path, &info, bytes, &len))
            continue;
        lm_tail *copy = lm_tails_by_id(&files->tails, (uint64_t)info.st_dev, (uint64_t)info.st_ino);
        if (lm_unpacked_is(bytes, len)) {
            if (!copy) copy = meet(files, path, &info, false); /* measured, then compared */
            bool is_new = copy && copy->kind == LM_TAIL_PACKED;
            is_found = is_new && is_packed_form(files, copy, tail->head);
            continue;
        }
        if (!lm_head_fits(tail->head, bytes, len) || (uint64_t)info.st_size < tail->offset)
            continue;
        bool is_unread = copy && copy->kind == LM_TAIL_LIVE && !copy->is_judged && !copy->offset;
        if (copy && copy->kind != LM_TAIL_COPY && !is_unread) continue; /* was read by itself */
        lm_position position;
        lm_buf text;
        lm_buf_init(&text, files->mem);
        bool is_known = !copy && load_position(files, &info, &text, &position) == LM_OK;
        lm_buf_fini(&text);
        if (is_known) {
            copy = meet(files, path, &info, true);
        } else {
            if (!copy && lm_tails_add(&files->tails, &info, path, tail->name, &copy)) {
                lm_source_note_err(&files->source, "file_refused");
                break;
            }
            start_live(files, copy, tail->offset, tail->head);
        }
        if (copy) {
            copy->seen = files->scan;
            copy->is_rotated = copy->is_copy = true;
            copy->size = (uint64_t)info.st_size;
            tail->after = copy;
            is_found = true;
        }
    }
    closedir(dir);
    return is_found;
}

/** A younger file that begins as a live one does: is it a copy of what was read? */
static void judge_copy(lm_files *files, lm_tail *tail)
{
    struct stat info;
    if (stat(tail->path, &info) || !is_same(tail, &info)) return;
    if ((uint64_t)info.st_size != tail->size) {
        tail->size = (uint64_t)info.st_size;
        tail->grown_ns = files->now_ns;
    }
    if (files->now_ns - tail->grown_ns < COPY_QUIET) return;
    lm_tail *base = find_base(files, tail->path);
    uint8_t ours[LM_HEAD_MAX], theirs[LM_HEAD_MAX];
    size_t head_len = 0;
    const lm_position *former = NULL;
    if (read_head(tail->path, &info, ours, &head_len))
        former = lm_tails_remembered(&files->tails, ours, head_len);
    if (former && former->offset <= tail->size) {
        start_live(files, tail, former->offset, former->head);
        tail->is_rotated = tail->is_copy = true;
        return;
    }
    size_t len = tail->size < LM_HEAD_MAX ? (size_t)tail->size : LM_HEAD_MAX;
    off_t at = (off_t)(tail->size - len);
    bool is_equal = false;
    if (base && base->size >= tail->size && !lm_tails_open(&files->tails, tail) &&
        !lm_tails_open(&files->tails, base) && tail->fd >= 0) {
        is_equal = pread(tail->fd, ours, len, at) == (ssize_t)len &&
                   pread(base->fd, theirs, len, at) == (ssize_t)len &&
                   memcmp(ours, theirs, len) == 0;
        if (is_equal && base->offset < tail->size) return; /* that one is read first */
    }
    uint64_t from = is_equal ? tail->size : 0;
    start_live(files, tail, from, (lm_head){0});
}

/* ---- following those that are known ---------------------------------------------------------- */

/** Its path leads elsewhere: look for it in its folder. */
static bool find_again(lm_files *files, lm_tail *tail)
{
    char path[LM_PATH_BYTES_MAX];
    const char *slash = strrchr(tail->path, '/');
    size_t folder_len = slash ? (size_t)(slash - tail->path) : 0;
    if (!slash || folder_len >= sizeof path) return false;
    memcpy(path, tail->path, folder_len);
    path[folder_len] = 0;
    DIR *dir = opendir(folder_len ? path : "/");
    if (!dir) return false;
    bool is_found = false;
    for (struct dirent *entry; !is_found && (entry = readdir(dir)) != NULL;) {
        struct stat info;
        if (entry->d_ino != tail->inode) continue;
        int len = snprintf(path + folder_len, sizeof path - folder_len, "/%s", entry->d_name);
        is_found = len > 0 && (size_t)len < sizeof path - folder_len && stat(path, &info) == 0 &&
                   is_same(tail, &info);
        if (!is_found) path[folder_len] = 0;
    }
    closedir(dir);
    if (is_found && lm_tails_set_path(&files->tails, tail, path)) is_found = false;
    return is_found;
}

/** It has another name, or none. What is unfinished in it will be sent as it is. */
static void rotate(lm_files *files, lm_tail *tail)
{
    if (tail->is_rotated) return;
    tail->is_rotated = true;
    tail->is_flushed = false; /* its writer may be in the middle of a line */
    lm_files_unhold(files, tail);
    tail->grown_ns = files->now_ns;
    if (tail->kind == LM_TAIL_LIVE) lm_tails_mark(&files->tails, tail);
}

static void forget_key(lm_files *files, const char *key, size_t len)
{
    uint8_t head[2] = {(uint8_t)len, (uint8_t)(len >> 8)};
    lm_err err = lm_buf_append(&files->forgotten, head, sizeof head);
    if (!err) err = lm_buf_append(&files->forgotten, key, len);
    if (err) lm_source_note_err(&files->source, "no_memory");
}

/** It is gone, and so is its position. */
static void forget(lm_files *files, lm_tail *tail)
{
    char key[64];
    size_t len = lm_files_key(tail->device, tail->inode, key);
    lm_position position = {
        .offset = tail->offset, .head = tail->head, .path = lm_str_of(tail->name)};
    if (tail->kind == LM_TAIL_LIVE && lm_tails_remember(&files->tails, &position))
        lm_source_note_err(&files->source, "no_memory");
    forget_key(files, key, len);
    if (!lm_tails_by_path(&files->tails, tail->path, strlen(tail->path))) {
        char at[LM_FILES_AT_MAX];
        forget_key(files, at, lm_files_key_at(lm_str_of(tail->path), at).len);
    }
    lm_files_unhold(files, tail);
    lm_tails_drop(&files->tails, tail);
}

/** Files that had this name before, back to one that is known to be gone: those that are not to be
 * found any more are remembered, so that their packed forms are not read from the beginning. */
static void look_back(lm_files *files, uint64_t device, uint64_t inode)
{
    lm_buf text;
    lm_buf_init(&text, files->mem);
    for (int steps = 0; inode && steps < LOOK_BACK; steps++) {
        struct stat info = {.st_dev = (dev_t)device, .st_ino = (ino_t)inode};
        lm_position position;
        char key[64];
        lm_tail *tail = lm_tails_by_id(&files->tails, device, inode);
        if (tail) {
            device = tail->before_device;
            inode = tail->before_inode;
            continue;
        }
        if (load_position(files, &info, &text, &position)) break;
        if (!position.is_done && lm_tails_remember(&files->tails, &position))
            lm_source_note_err(&files->source, "no_memory");
        forget_key(files, key, lm_files_key(device, inode, key));
        device = position.before_device;
        inode = position.before_inode;
    }
    lm_buf_fini(&text);
}

/** Which file had this name when the sink was told last? False: it does not know. */
static bool had_name(lm_files *files, const char *path, size_t path_len, uint64_t *out_device,
                     uint64_t *out_inode)
{
    char at[LM_FILES_AT_MAX];
    lm_str key = lm_files_key_at((lm_str){(const uint8_t *)path, path_len}, at);
    const lm_sink *sink = &files->source.host.sink;
    lm_buf text;
    lm_buf_init(&text, files->mem);
    lm_err err = sink->checkpoint(sink->self, key, &text);
    bool is_known = !err && lm_file_id_parse((lm_str){text.ptr, text.len}, out_device, out_inode);
    lm_buf_fini(&text);
    return is_known;
}

void lm_files_link_back(lm_files *files, lm_tail *tail)
{
    uint64_t device, inode;
    if (tail->before_inode || !had_name(files, tail->path, strlen(tail->path), &device, &inode))
        return;
    if (device == tail->device && inode == tail->inode) return;
    tail->before_device = device;
    tail->before_inode = inode;
}

/** At the start: files that had the name of this one before. */
static void look_back_at(lm_files *files, lm_tail *tail)
{
    uint64_t device, inode;
    if (!had_name(files, tail->path, strlen(tail->path), &device, &inode)) return;
    bool is_other = device != tail->device || inode != tail->inode;
    if (is_other && (!tail->before_inode || tail->is_heir)) {
        look_back(files, tail->before_device, tail->before_inode); /* of the older file */
        tail->before_device = device;
        tail->before_inode = inode;
        tail->is_unsaved = true;
        lm_tails_mark(&files->tails, tail);
    }
    look_back(files, device, inode);
}

/** At the start: which file was read under the name that this packed one had before it was packed?
 * One that was made and renamed while nobody looked is in no chain. */
static void look_back_unpacked(lm_files *files, const lm_tail *tail)
{
    const char *name = strrchr(tail->path, '/'), *extension = strrchr(tail->path, '.');
    uint64_t device, inode;
    if (!name || !extension || extension <= name + 1) return;
    if (had_name(files, tail->path, (size_t)(extension - tail->path), &device, &inode))
        look_back(files, device, inode);
}

static void on_folder(void *ctx, const char *path)
{
    watch(ctx, path, false);
}

static void on_missing(void *ctx, const char *path)
{
    lm_files *files = ctx;
    files->is_unwatched = true;
    if (errno == ENOENT || errno == ENOTDIR) return;
    (void)lm_fail_errno("cannot look into '%s'", path);
    lm_source_note_err(&files->source, "folder_unreadable");
}

static void on_file(void *ctx, const char *path)
{
    lm_files *files = ctx;
    struct stat info, other;
    if (stat(path, &info) || !S_ISREG(info.st_mode)) return;
    lm_tail *tail = lm_tails_by_id(&files->tails, (uint64_t)info.st_dev, (uint64_t)info.st_ino);
    lm_tail *former = lm_tails_by_path(&files->tails, path, strlen(path));
    if (former && former != tail) { /* its name was given to this one */
        rotate(files, former);
        if (lm_tails_set_path(&files->tails, former, NULL)) former = NULL;
    }
    if (!tail) {
        tail = meet(files, path, &info, false);
        if (tail && !former && !files->is_first_scan) /* renamed a moment before */
            former = lm_tails_by_name(&files->tails, path, tail);
    } else {
        tail->seen = files->scan;
        bool has_moved = strcmp(tail->path, path) != 0 || !tail->has_path;
        if (has_moved && (!tail->has_path || stat(tail->path, &other) || !is_same(tail, &other))) {
            bool is_first = strcmp(tail->path, path) != 0;
            if (lm_tails_set_path(&files->tails, tail, path)) return;
            if (is_first) rotate(files, tail);
            if (tail->kind == LM_TAIL_LIVE) /* may have been looked for where it was */
                lm_tails_mark(&files->tails, tail);
        }
        tail->is_gone = false;
    }
    if (tail && former && former != tail && former->kind == LM_TAIL_LIVE) {
        if (!tail->after) tail->after = former;
        tail->before_device = former->device;
        tail->before_inode = former->inode;
        tail->is_unsaved = true;
    }
}

/** Files whose names do not fit but of which a part was read: they were renamed while nobody
 * looked. */
static void meet_renamed(lm_files *files, const char *folder)
{
    char path[LM_PATH_BYTES_MAX];
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat info;
        if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) continue;
        int len =
            snprintf(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", entry->d_name);
        if (len < 0 || (size_t)len >= sizeof path || lstat(path, &info) || !S_ISREG(info.st_mode))
            continue;
        if (lm_tails_by_id(&files->tails, (uint64_t)info.st_dev, (uint64_t)info.st_ino)) continue;
        lm_tail *tail = meet(files, path, &info, true);
        if (!tail) continue;
        lm_tail *heir = lm_tails_by_path(&files->tails, tail->name, strlen(tail->name));
        if (heir && heir != tail && tail->kind == LM_TAIL_LIVE) heir->after = tail;
    }
    closedir(dir);
}

static void look_after(lm_files *files, lm_tail *tail)
{
    struct stat info;
    bool is_there = tail->has_path && stat(tail->path, &info) == 0 && is_same(tail, &info);
    if (is_there) return;
    rotate(files, tail);
    if (find_again(files, tail)) {
        tail->is_gone = false;
        if (tail->kind == LM_TAIL_LIVE) lm_tails_mark(&files->tails, tail);
        return;
    }
    tail->is_gone = true;
    if (lm_tails_set_path(&files->tails, tail, NULL)) return; /* cannot fail */
    if (tail->fd < 0 && tail->flying == 0) forget(files, tail);
}

void lm_files_scan(lm_files *files)
{
    uint64_t begin = lm_clock_ns();
    files->scan++;
    files->is_scan_wanted = false;
    files->is_unwatched = false;
    lm_globs_visitor visitor = {on_folder, on_file, on_missing, files};
    lm_globs_walk(files->globs, &visitor);
    for (size_t i = 0; files->is_first_scan && i < files->watch_cap; i++) {
        if (files->watches[i].path && !files->watches[i].is_file)
            meet_renamed(files, files->watches[i].path);
    }
    for (size_t i = 0; files->is_first_scan && i < files->tails.count; i++) {
        lm_tail *tail = files->tails.all[i];
        if (tail->kind == LM_TAIL_LIVE && (!tail->is_rotated || tail->is_copy))
            look_back_at(files, tail);
        if (tail->kind == LM_TAIL_PACKED) look_back_unpacked(files, tail);
    }
    for (size_t i = files->tails.count; i-- > 0;) {
        if (files->tails.all[i]->seen != files->scan) look_after(files, files->tails.all[i]);
    }
    files->is_first_scan = false;
    uint64_t now = lm_clock_ns(), cost = now - begin;
    uint64_t every = files->is_unwatched ? SCAN_UNWATCHED : SCAN_EVERY;
    files->next_scan_ns = now + (every > 100 * cost ? every : 100 * cost);
    files->scan_after_ns = now + (SCAN_PAUSE > 10 * cost ? SCAN_PAUSE : 10 * cost);
}

static void glance(lm_files *files, lm_tail *tail, uint64_t *lag)
{
    struct stat info;
    if (tail->kind == LM_TAIL_DONE) return;
    if (tail->kind == LM_TAIL_COPY) {
        judge_copy(files, tail);
        return;
    }
    bool is_there = tail->fd >= 0 ? fstat(tail->fd, &info) == 0
                                  : tail->has_path && stat(tail->path, &info) == 0;
    if (!is_there || !is_same(tail, &info)) {
        files->is_scan_wanted = true;
        return;
    }
    uint64_t size = (uint64_t)info.st_size;
    if (tail->kind == LM_TAIL_PACKED) {
        int64_t changed_ns =
            (int64_t)info.st_ctim.tv_sec * 1000000000 + (int64_t)info.st_ctim.tv_nsec;
        int64_t quiet_ns = tail->is_damaged ? (int64_t)DAMAGED_QUIET : (int64_t)QUIET;
        bool is_quiet = lm_clock_wall_ns() - changed_ns > quiet_ns && size == tail->size;
        if (size != tail->size) tail->is_damaged = false;
        tail->size = size;
        if (is_quiet) lm_tails_mark(&files->tails, tail);
        return;
    }
    if (size != tail->size || mtime_of(&info) != tail->mtime_ns) {
        if (size != tail->size) tail->grown_ns = files->now_ns;
        tail->size = size;
        tail->mtime_ns = mtime_of(&info);
        tail->is_drained = false;
        lm_tails_mark(&files->tails, tail);
    }
    if (size > tail->offset) *lag += size - tail->offset;
    if (info.st_nlink == 0 && !tail->is_gone) files->is_scan_wanted = true;
    bool is_over = tail->is_gone && tail->is_drained && !tail->is_dirty && tail->flying == 0 &&
                   !tail->is_failed && files->now_ns - tail->grown_ns > GONE_AFTER;
    if (is_over) forget(files, tail);
}

void lm_files_poll(lm_files *files)
{
    uint64_t begin = lm_clock_ns(), lag = 0;
    for (size_t i = files->tails.count; i-- > 0;)
        glance(files, files->tails.all[i], &lag);
    atomic_store_explicit(&files->source.lag_bytes, lag, memory_order_relaxed);
    uint64_t now = lm_clock_ns(), pause = 500 * (now - begin);
    files->next_poll_ns = now + (files->poll_ns > pause ? files->poll_ns : pause);
}

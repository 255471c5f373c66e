/** The table of tails. */
#include "source/source_tails.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void lm_tails_init(lm_tails *tails, lm_mem *mem)
{
    *tails = (lm_tails){.mem = mem};
}

static char *text_copy(lm_mem *mem, const char *text, size_t len)
{
    char *copy = lm_mem_alloc(mem, len + 1);
    if (!copy) return NULL;
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

static void text_free(lm_mem *mem, char *text)
{
    if (text) lm_mem_release(mem, text, strlen(text) + 1);
}

static size_t id_slot(const lm_tails *tails, uint64_t device, uint64_t inode)
{
    return (size_t)lm_hash_u64(inode ^ lm_hash_u64(device)) & tails->mask;
}

static size_t path_slot(const lm_tails *tails, const char *path, size_t len)
{
    return (size_t)lm_hash64(path, len) & tails->mask;
}

static void link_path(lm_tails *tails, lm_tail *tail)
{
    size_t slot = path_slot(tails, tail->path, strlen(tail->path));
    tail->next_by_path = tails->by_path[slot];
    tails->by_path[slot] = tail;
    tail->has_path = true;
}

static void unlink_path(lm_tails *tails, lm_tail *tail)
{
    if (!tail->has_path) return;
    lm_tail **at = &tails->by_path[path_slot(tails, tail->path, strlen(tail->path))];
    while (*at != tail)
        at = &(*at)->next_by_path;
    *at = tail->next_by_path;
    tail->has_path = false;
}

static void link_id(lm_tails *tails, lm_tail *tail)
{
    size_t slot = id_slot(tails, tail->device, tail->inode);
    tail->next_by_id = tails->by_id[slot];
    tails->by_id[slot] = tail;
}

static lm_err grow_tables(lm_tails *tails)
{
    size_t len = tails->by_id ? (tails->mask + 1) * 2 : 64;
    lm_tail **by_id = lm_mem_calloc(tails->mem, len, sizeof *by_id);
    lm_tail **by_path = lm_mem_calloc(tails->mem, len, sizeof *by_path);
    if (!by_id || !by_path) {
        lm_mem_release(tails->mem, by_id, len * sizeof *by_id);
        lm_mem_release(tails->mem, by_path, len * sizeof *by_path);
        return lm_mem_err();
    }
    size_t old = tails->by_id ? tails->mask + 1 : 0;
    lm_mem_release(tails->mem, tails->by_id, old * sizeof *by_id);
    lm_mem_release(tails->mem, tails->by_path, old * sizeof *by_path);
    tails->by_id = by_id;
    tails->by_path = by_path;
    tails->mask = len - 1;
    for (size_t i = 0; i < tails->count; i++) {
        link_id(tails, tails->all[i]);
        if (tails->all[i]->has_path) link_path(tails, tails->all[i]);
    }
    return LM_OK;
}

static void free_tail(lm_tails *tails, lm_tail *tail)
{
    lm_unpacked_close(tail->unpacked);
    lm_mem_release(tails->mem, tail->unpacked_hold, tail->unpacked_hold_cap);
    if (tail->fd >= 0) close(tail->fd);
    lm_lines_free(tail->lines);
    lm_buf_fini(&tail->carry);
    text_free(tails->mem, tail->path);
    text_free(tails->mem, tail->name);
    lm_mem_release(tails->mem, tail, sizeof *tail);
}

void lm_tails_fini(lm_tails *tails)
{
    for (size_t i = 0; i < tails->count; i++)
        free_tail(tails, tails->all[i]);
    for (size_t i = 0; i < tails->read_count; i++)
        lm_mem_release(tails->mem, (void *)(uintptr_t)tails->read[i].path.ptr,
                       tails->read[i].path.len);
    size_t len = tails->by_id ? tails->mask + 1 : 0;
    lm_mem_release(tails->mem, tails->by_id, len * sizeof(lm_tail *));
    lm_mem_release(tails->mem, tails->by_path, len * sizeof(lm_tail *));
    lm_mem_release(tails->mem, tails->all, tails->cap * sizeof(lm_tail *));
}

lm_err lm_tails_add(lm_tails *tails, const struct stat *info, const char *path, const char *name,
                    lm_tail **out)
{
    if (tails->count == LM_SOURCE_FILES_MAX)
        return lm_fail(LM_E_LIMIT, "'%s': %d files are known already", path, LM_SOURCE_FILES_MAX);
    lm_err err = LM_OK;
    if (!tails->by_id || tails->count > tails->mask) err = grow_tables(tails);
    if (!err)
        err =
            lm_vec_grow(tails->mem, &tails->all, &tails->cap, tails->count + 1, sizeof *tails->all);
    if (err) return err;
    lm_tail *tail = lm_mem_calloc(tails->mem, 1, sizeof *tail);
    if (!tail) return lm_mem_err();
    tail->fd = -1;
    tail->device = (uint64_t)info->st_dev;
    tail->inode = (uint64_t)info->st_ino;
    lm_buf_init(&tail->carry, tails->mem);
    tail->path = text_copy(tails->mem, path, strlen(path));
    tail->name = text_copy(tails->mem, name, strlen(name));
    if (!tail->path || !tail->name) {
        free_tail(tails, tail);
        return lm_mem_err();
    }
    tail->index = tails->count;
    tail->number = tails->met++;
    tail->name_hash = lm_hash64(name, strlen(name));
    tails->all[tails->count++] = tail;
    link_id(tails, tail);
    link_path(tails, tail);
    *out = tail;
    return LM_OK;
}

static void unlink_dirty(lm_tails *tails, lm_tail *tail)
{
    lm_tail *before = NULL;
    for (lm_tail *at = tails->dirty; at != tail; at = at->next_dirty)
        before = at;
    if (before) {
        before->next_dirty = tail->next_dirty;
    } else {
        tails->dirty = tail->next_dirty;
    }
    if (tails->dirty_last == tail) tails->dirty_last = before;
    tail->is_dirty = false;
}

void lm_tails_drop(lm_tails *tails, lm_tail *tail)
{
    LM_ASSERT(tail->flying == 0 && !tail->is_held);
    if (tail->is_dirty) unlink_dirty(tails, tail);
    if (tail->fd >= 0) tails->open--;
    unlink_path(tails, tail);
    lm_tail **at = &tails->by_id[id_slot(tails, tail->device, tail->inode)];
    while (*at != tail)
        at = &(*at)->next_by_id;
    *at = tail->next_by_id;
    tails->all[tail->index] = tails->all[--tails->count];
    tails->all[tail->index]->index = tail->index;
    for (size_t i = 0; i < tails->count; i++) {
        if (tails->all[i]->after == tail) tails->all[i]->after = NULL;
    }
    free_tail(tails, tail);
}

lm_tail *lm_tails_by_id(const lm_tails *tails, uint64_t device, uint64_t inode)
{
    if (!tails->by_id) return NULL;
    lm_tail *at = tails->by_id[id_slot(tails, device, inode)];
    while (at && (at->inode != inode || at->device != device))
        at = at->next_by_id;
    return at;
}

lm_tail *lm_tails_by_path(const lm_tails *tails, const char *path, size_t len)
{
    if (!tails->by_path) return NULL;
    lm_tail *at = tails->by_path[path_slot(tails, path, len)];
    while (at && (strncmp(at->path, path, len) != 0 || at->path[len]))
        at = at->next_by_path;
    return at;
}

lm_tail *lm_tails_by_name(const lm_tails *tails, const char *name, const lm_tail *other)
{
    uint64_t hash = lm_hash64(name, strlen(name));
    lm_tail *best = NULL;
    for (size_t i = 0; i < tails->count; i++) {
        lm_tail *tail = tails->all[i];
        if (tail->name_hash != hash || tail == other || strcmp(tail->name, name) != 0) continue;
        if (!best || tail->number > best->number) best = tail;
    }
    return best;
}

lm_err lm_tails_set_path(lm_tails *tails, lm_tail *tail, const char *path)
{
    char *copy = path ? text_copy(tails->mem, path, strlen(path)) : NULL;
    if (path && !copy) return lm_mem_err();
    unlink_path(tails, tail);
    if (!path) return LM_OK;
    text_free(tails->mem, tail->path);
    tail->path = copy;
    link_path(tails, tail);
    return LM_OK;
}

void lm_tails_mark(lm_tails *tails, lm_tail *tail)
{
    if (tail->is_dirty) return;
    tail->is_dirty = true;
    tail->next_dirty = NULL;
    if (tails->dirty_last) {
        tails->dirty_last->next_dirty = tail;
    } else {
        tails->dirty = tail;
    }
    tails->dirty_last = tail;
}

void lm_tails_mark_first(lm_tails *tails, lm_tail *tail)
{
    if (tail->is_dirty) return;
    tail->is_dirty = true;
    tail->next_dirty = tails->dirty;
    tails->dirty = tail;
    if (!tails->dirty_last) tails->dirty_last = tail;
}

lm_tail *lm_tails_take(lm_tails *tails)
{
    lm_tail *tail = tails->dirty;
    if (!tail) return NULL;
    tails->dirty = tail->next_dirty;
    if (!tails->dirty) tails->dirty_last = NULL;
    tail->is_dirty = false;
    return tail;
}

void lm_tails_close(lm_tails *tails, lm_tail *tail)
{
    if (tail->fd < 0) return;
    close(tail->fd);
    tail->fd = -1;
    tails->open--;
}

/** Close one that was not read lately. Those without a name would be lost; packed ones are few. */
static void close_one(lm_tails *tails)
{
    for (size_t tries = 0; tries < 2 * tails->count; tries++) {
        if (tails->hand >= tails->count) tails->hand = 0;
        lm_tail *tail = tails->all[tails->hand++];
        if (tail->fd < 0 || tail->is_gone || tail->unpacked) continue;
        if (!tail->was_read) {
            lm_tails_close(tails, tail);
            return;
        }
        tail->was_read = false;
    }
}

lm_err lm_tails_open(lm_tails *tails, lm_tail *tail)
{
    tail->was_read = true;
    if (tail->fd >= 0) return LM_OK;
    if (tails->open >= LM_SOURCE_FILES_OPEN_MAX) close_one(tails);
    int fd = open(tail->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        close_one(tails);
        fd = open(tail->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    if (fd < 0 && errno == ENOENT) return lm_fail(LM_E_NOTFOUND, "'%s' is gone", tail->path);
    if (fd < 0) return lm_fail_errno("cannot open '%s'", tail->path);
    struct stat info;
    if (fstat(fd, &info) || (uint64_t)info.st_dev != tail->device ||
        (uint64_t)info.st_ino != tail->inode) {
        close(fd);
        return lm_fail(LM_E_NOTFOUND, "'%s' is another file now", tail->path);
    }
    tail->fd = fd;
    tails->open++;
    return LM_OK;
}

lm_err lm_tails_remember(lm_tails *tails, const lm_position *position)
{
    if (position->offset == 0 || position->head.len == 0) return LM_OK;
    for (size_t i = 0; i < tails->read_count; i++) { /* numbers given anew may lead in a circle */
        const lm_position *at = &tails->read[i];
        if (at->offset == position->offset && at->head.len == position->head.len &&
            at->head.hash == position->head.hash)
            return LM_OK;
    }
    uint8_t *path = lm_mem_alloc(tails->mem, position->path.len);
    if (!path) return lm_mem_err();
    memcpy(path, position->path.ptr, position->path.len);
    if (tails->read_count == LM_SOURCE_READ_MAX) {
        lm_mem_release(tails->mem, (void *)(uintptr_t)tails->read[0].path.ptr,
                       tails->read[0].path.len);
        memmove(tails->read, tails->read + 1, sizeof tails->read - sizeof tails->read[0]);
        tails->read_count--;
    }
    lm_position *kept = &tails->read[tails->read_count++];
    *kept = *position;
    kept->path.ptr = path;
    tails->is_read_changed = true;
    return LM_OK;
}

const lm_position *lm_tails_remembered(const lm_tails *tails, const uint8_t *head, size_t len)
{
    const lm_position *best = NULL;
    for (size_t i = tails->read_count; i-- > 0;) {
        const lm_position *at = &tails->read[i];
        if (lm_head_fits(at->head, head, len) && (!best || at->offset > best->offset)) best = at;
    }
    return best;
}

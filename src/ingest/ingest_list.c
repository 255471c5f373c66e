/**
 * Which files a command line means: files as given, folders with everything below them, sorted.
 *
 * A folder that is reached twice on one way down (a link to a folder above) is not entered again,
 * nor is one above the given folder. Below folders, sockets, pipes and devices are left out; given
 * by name, a pipe is read like a file.
 */
#include "ingest/ingest.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FOLDER_DEPTH_MAX = 128 };

typedef struct place {
    dev_t device;
    ino_t inode;
} place;

typedef struct walk {
    lm_mem *mem;
    lm_file_list *list;
    size_t cap;
    place way[FOLDER_DEPTH_MAX]; /* the folders from the given one down to here */
    size_t depth;
    place above[FOLDER_DEPTH_MAX]; /* the folders that the given one is in */
    size_t above_count;
    char path[LM_PATH_BYTES_MAX + 1];
} walk;

static lm_err add(walk *w, const char *path)
{
    lm_file_list *list = w->list;
    if (list->count >= LM_FILE_COUNT_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d files", LM_FILE_COUNT_MAX);
    lm_err err = lm_vec_grow(w->mem, &list->paths, &w->cap, list->count + 1, sizeof *list->paths);
    if (err) return err;
    char *copy = lm_arena_copy(&list->arena, path, strlen(path));
    if (!copy) return lm_mem_err();
    list->paths[list->count++] = copy;
    return LM_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/** The names in a folder, sorted bytewise; in arena. */
static lm_err names_of(walk *w, DIR *folder, lm_arena *arena, char ***out_names, size_t *out_count,
                       size_t *out_cap)
{
    char **names = NULL;
    size_t count = 0, cap = 0;
    lm_err err = LM_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno) err = lm_fail_errno("cannot read folder '%s'", w->path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        err = lm_vec_grow(w->mem, &names, &cap, count + 1, sizeof *names);
        if (err) break;
        names[count] = lm_arena_copy(arena, entry->d_name, strlen(entry->d_name));
        if (!names[count]) {
            err = lm_mem_err();
            break;
        }
        count++;
    }
    if (!err && count > 1) qsort(names, count, sizeof *names, compare_names);
    *out_names = names;
    *out_count = count;
    *out_cap = cap;
    return err;
}

static lm_err walk_folder(walk *w, const struct stat *st);

static bool has_place(const place *places, size_t count, const struct stat *st)
{
    for (size_t i = 0; i < count; i++) {
        if (places[i].device == st->st_dev && places[i].inode == st->st_ino) return true;
    }
    return false;
}

/** The folders above the given one, up to the root or as far as a path can say. */
static void note_above(walk *w)
{
    struct stat st;
    size_t len = strlen(w->path), end = len;
    w->above_count = 0;
    while (w->above_count < FOLDER_DEPTH_MAX && end + 3 <= LM_PATH_BYTES_MAX) {
        memcpy(w->path + end, "/..", 4);
        end += 3;
        if (stat(w->path, &st) != 0 || has_place(w->above, w->above_count, &st)) break;
        w->above[w->above_count++] = (place){st.st_dev, st.st_ino};
    }
    w->path[len] = 0;
}

/** w->path is what to look at. is_given: named by the user. */
static lm_err walk_path(walk *w, bool is_given)
{
    struct stat st;
    if (stat(w->path, &st) != 0) {
        if (!is_given) return LM_OK; /* a link that leads nowhere, or gone meanwhile */
        if (errno == ENOENT || errno == ENOTDIR) {
            return lm_fail(LM_E_NOTFOUND, "cannot open '%s': no such file or folder", w->path);
        }
        return lm_fail_errno("cannot open '%s'", w->path);
    }
    if (S_ISDIR(st.st_mode)) return walk_folder(w, &st);
    bool is_readable =
        S_ISREG(st.st_mode) || (is_given && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)));
    if (!is_readable)
        return is_given ? lm_fail(LM_E_IO, "cannot read '%s': neither a file nor a folder", w->path)
                        : LM_OK;
    return add(w, w->path);
}

static lm_err walk_folder(walk *w, const struct stat *st)
{
    if (has_place(w->way, w->depth, st)) return LM_OK;
    if (w->depth == 0)
        note_above(w);
    else if (has_place(w->above, w->above_count, st))
        return LM_OK;
    if (w->depth == FOLDER_DEPTH_MAX)
        return lm_fail(LM_E_LIMIT, "'%s' is more than %d folders deep", w->path, FOLDER_DEPTH_MAX);

    char **names = NULL;
    size_t count = 0, cap = 0, len = strlen(w->path);
    lm_arena arena;
    lm_arena_init(&arena, w->mem);
    lm_err err = LM_OK;
    DIR *folder = opendir(w->path);
    if (!folder) {
        err = lm_fail_errno("cannot open folder '%s'", w->path);
        goto out;
    }
    err = names_of(w, folder, &arena, &names, &count, &cap);
    if (err) goto out;
    closedir(folder); /* so that depth does not cost descriptors */
    folder = NULL;
    w->way[w->depth++] = (place){st->st_dev, st->st_ino};
    bool has_slash = len > 0 && w->path[len - 1] == '/';
    for (size_t i = 0; i < count && !err; i++) {
        size_t name_len = strlen(names[i]);
        if (len + 1 + name_len > LM_PATH_BYTES_MAX) {
            err = lm_fail(LM_E_LIMIT, "the path of '%s' is too long", names[i]);
            break;
        }
        w->path[len] = '/';
        memcpy(w->path + len + !has_slash, names[i], name_len + 1);
        err = walk_path(w, false);
        w->path[len] = 0;
    }
    w->depth--;
out:
    if (folder) closedir(folder);
    lm_mem_release(w->mem, names, cap * sizeof *names);
    lm_arena_fini(&arena);
    return err;
}

lm_err lm_file_list_make(lm_mem *mem, const char *const *paths, size_t count, lm_file_list *out)
{
    lm_file_list list = {0};
    lm_arena_init(&list.arena, mem);
    walk *w = lm_mem_calloc(mem, 1, sizeof *w);
    if (!w) return lm_mem_err();
    *w = (walk){.mem = mem, .list = &list};
    lm_err err = LM_OK;
    for (size_t i = 0; i < count && !err; i++) {
        size_t len = strlen(paths[i]);
        if (strcmp(paths[i], "-") == 0) {
            err = add(w, "-");
        } else if (len == 0 || len > LM_PATH_BYTES_MAX) {
            err = len ? lm_fail(LM_E_LIMIT, "a path of %zu bytes is too long", len)
                      : lm_fail(LM_E_USAGE, "an empty file name");
        } else {
            memcpy(w->path, paths[i], len + 1);
            err = walk_path(w, true);
        }
    }
    if (!err) {
        /* the list keeps its own array in its arena, so that fini needs no capacity */
        char **kept = lm_arena_alloc(&list.arena, list.count * sizeof *kept, sizeof *kept);
        if (!kept) err = lm_mem_err();
        if (kept && list.count) memcpy(kept, list.paths, list.count * sizeof *kept);
        lm_mem_release(mem, list.paths, w->cap * sizeof *list.paths);
        list.paths = kept;
    } else {
        lm_mem_release(mem, list.paths, w->cap * sizeof *list.paths);
    }
    lm_mem_release(mem, w, sizeof *w);
    if (err) {
        lm_arena_fini(&list.arena);
        return err;
    }
    *out = list;
    return LM_OK;
}

void lm_file_list_fini(lm_file_list *list)
{
    lm_arena_fini(&list->arena);
    *list = (lm_file_list){0};
}

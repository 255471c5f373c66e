/**
 * Globs: braces are expanded first; what is left is a list of names with signs of fnmatch(3)
 * between slashes, "**" standing for any number of folders.
 */
#include "source/source_glob.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATTERNS_MAX = 4096, PARTS_MAX = 64 };

typedef struct glob_pattern {
    char *text; /* parts, NUL between them */
    const char *parts[PARTS_MAX];
    size_t part_count;
    bool is_name; /* an exclude without '/' */
} glob_pattern;

typedef struct pattern_list {
    glob_pattern *items;
    size_t count, cap;
} pattern_list;

struct lm_globs {
    lm_mem *mem;
    lm_arena arena;
    pattern_list globs, excludes;
};

/** The comma or brace that ends an alternative begun at text; depth counts inner braces. */
static const char *alternative_end(const char *text)
{
    int depth = 0;
    for (; *text; text++) {
        if (*text == '\\' && text[1]) {
            text++;
        } else if (*text == '{') {
            depth++;
        } else if (*text == '}') {
            if (depth == 0) return text;
            depth--;
        } else if (*text == ',' && depth == 0) {
            return text;
        }
    }
    return NULL;
}

static lm_err add_pattern(lm_globs *globs, pattern_list *list, const char *text, size_t len)
{
    if (list->count == PATTERNS_MAX)
        return lm_fail(LM_E_USAGE, "braces stand for more than %d patterns", PATTERNS_MAX);
    lm_err err =
        lm_vec_grow(globs->mem, &list->items, &list->cap, list->count + 1, sizeof *list->items);
    if (err) return err;
    glob_pattern made = {.is_name = memchr(text, '/', len) == NULL};
    made.text = lm_arena_copy(&globs->arena, text, len);
    if (!made.text) return lm_mem_err();
    char *save = NULL;
    for (char *part = strtok_r(made.text, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (strcmp(part, ".") == 0) continue;
        bool is_again = made.part_count && strcmp(part, "**") == 0 &&
                        strcmp(made.parts[made.part_count - 1], "**") == 0;
        if (is_again) continue;
        if (made.part_count == PARTS_MAX)
            return lm_fail(LM_E_USAGE, "a pattern has more than %d parts", PARTS_MAX);
        made.parts[made.part_count++] = part;
    }
    list->items[list->count++] = made;
    return LM_OK;
}

/** Adds all that text stands for: the first braces are replaced by each alternative in turn. */
static lm_err expand(lm_globs *globs, pattern_list *list, const char *text, unsigned depth)
{
    const char *open = text;
    while (*open && *open != '{')
        open += *open == '\\' && open[1] ? 2 : 1;
    if (!*open) return add_pattern(globs, list, text, strlen(text));
    const char *begin = open + 1, *close = begin, *end;
    while ((end = alternative_end(close)) != NULL && *end == ',')
        close = end + 1;
    if (!end || depth == 16)
        return lm_fail_at(LM_E_USAGE, (uint64_t)(open - text), "'%s': a brace that does not close",
                          text);
    close = end;
    char *joined = lm_mem_alloc(globs->mem, strlen(text) + 1);
    if (!joined) return lm_mem_err();
    lm_err err = LM_OK;
    for (; !err && begin <= close; begin = end + 1) {
        end = alternative_end(begin);
        size_t head = (size_t)(open - text), len = (size_t)(end - begin);
        memcpy(joined, text, head);
        memcpy(joined + head, begin, len);
        strcpy(joined + head + len, close + 1);
        err = expand(globs, list, joined, depth + 1);
    }
    lm_mem_release(globs->mem, joined, strlen(text) + 1);
    return err;
}

static lm_err add_all(lm_globs *globs, pattern_list *list, const char *const *texts, size_t count,
                      bool is_exclude)
{
    lm_err err = LM_OK;
    for (size_t i = 0; !err && i < count; i++) {
        char path[LM_PATH_BYTES_MAX] = "";
        bool is_whole = texts[i][0] == '/' ||
                        (is_exclude && (!strchr(texts[i], '/') || strncmp(texts[i], "**", 2) == 0));
        if (!is_whole && !getcwd(path, sizeof path / 2))
            return lm_fail_errno("cannot tell the working folder");
        size_t used = strlen(path);
        int len = snprintf(path + used, sizeof path - used, "%s%s", used ? "/" : "", texts[i]);
        if ((size_t)len >= sizeof path - used)
            return lm_fail(LM_E_USAGE, "a pattern is longer than %d bytes", LM_PATH_BYTES_MAX / 2);
        err = expand(globs, list, path, 0);
    }
    return err;
}

lm_err lm_globs_new(lm_mem *mem, const char *const *globs, size_t glob_count,
                    const char *const *excludes, size_t exclude_count, lm_globs **out)
{
    lm_globs *made = lm_mem_calloc(mem, 1, sizeof *made);
    if (!made) return lm_mem_err();
    made->mem = mem;
    lm_arena_init(&made->arena, mem);
    lm_err err = add_all(made, &made->globs, globs, glob_count, false);
    if (!err) err = add_all(made, &made->excludes, excludes, exclude_count, true);
    if (err) {
        lm_globs_free(made);
        return err;
    }
    *out = made;
    return LM_OK;
}

void lm_globs_free(lm_globs *globs)
{
    if (!globs) return;
    lm_mem_release(globs->mem, globs->globs.items, globs->globs.cap * sizeof(glob_pattern));
    lm_mem_release(globs->mem, globs->excludes.items, globs->excludes.cap * sizeof(glob_pattern));
    lm_arena_fini(&globs->arena);
    lm_mem_release(globs->mem, globs, sizeof *globs);
}

static bool is_any_folders(const char *part)
{
    return strcmp(part, "**") == 0;
}

static bool has_signs(const char *part)
{
    return strpbrk(part, "*?[\\") != NULL;
}

/** Do the names fit the parts? Both are short lists; a "**" is tried with every rest. */
static bool fits(const char *const *parts, size_t part_count, const char *const *names,
                 size_t name_count)
{
    size_t p = 0, n = 0, star_p = SIZE_MAX, star_n = 0;
    while (n < name_count) {
        if (p < part_count && is_any_folders(parts[p])) {
            star_p = p++;
            star_n = n;
        } else if (p < part_count && fnmatch(parts[p], names[n], FNM_PERIOD) == 0) {
            p++;
            n++;
        } else if (star_p != SIZE_MAX && names[star_n][0] != '.') {
            p = star_p + 1;
            n = ++star_n;
        } else {
            return false;
        }
    }
    while (p < part_count && is_any_folders(parts[p]))
        p++;
    return p == part_count;
}

static bool list_has(const pattern_list *list, const char *path)
{
    char copy[LM_PATH_BYTES_MAX];
    const char *names[256];
    size_t count = 0;
    if (list->count == 0 || strlen(path) >= sizeof copy) return false;
    strcpy(copy, path);
    char *save = NULL;
    for (char *name = strtok_r(copy, "/", &save); name && count < 256;
         name = strtok_r(NULL, "/", &save))
        names[count++] = name;
    if (count == 0) return false;
    for (size_t i = 0; i < list->count; i++) {
        const glob_pattern *pattern = &list->items[i];
        bool is_fit = pattern->is_name ? pattern->part_count == 1 &&
                                             fnmatch(pattern->parts[0], names[count - 1], 0) == 0
                                       : fits(pattern->parts, pattern->part_count, names, count);
        if (is_fit) return true;
    }
    return false;
}

bool lm_globs_match(const lm_globs *globs, const char *path)
{
    return list_has(&globs->globs, path) && !list_has(&globs->excludes, path);
}

typedef struct walk {
    const lm_globs *globs;
    const lm_globs_visitor *visitor;
    char path[LM_PATH_BYTES_MAX];
} walk;

static void walk_part(walk *w, size_t len, const glob_pattern *pattern, size_t part);

static void found(walk *w)
{
    struct stat info;
    if (stat(w->path, &info) || !S_ISREG(info.st_mode)) return;
    if (!list_has(&w->globs->excludes, w->path)) w->visitor->file(w->visitor->ctx, w->path);
}

/** Goes on with one name below the folder path[0..len). */
static void walk_name(walk *w, size_t len, const char *name, const glob_pattern *pattern,
                      size_t part)
{
    size_t name_len = strlen(name);
    if (len + name_len + 2 > sizeof w->path) return;
    w->path[len] = '/';
    memcpy(w->path + len + 1, name, name_len + 1);
    walk_part(w, len + 1 + name_len, pattern, part);
    w->path[len] = 0;
}

static bool is_folder(walk *w, size_t len, const struct dirent *entry)
{
    if (entry->d_type == DT_DIR) return true;
    if (entry->d_type != DT_UNKNOWN) return false; /* links to folders are not followed by "**" */
    struct stat info;
    size_t name_len = strlen(entry->d_name);
    if (len + name_len + 2 > sizeof w->path) return false;
    w->path[len] = '/';
    memcpy(w->path + len + 1, entry->d_name, name_len + 1);
    bool is_one = lstat(w->path, &info) == 0 && S_ISDIR(info.st_mode);
    w->path[len] = 0;
    return is_one;
}

/** The folder path[0..len) is there; parts from part on are to be found below. */
static void walk_part(walk *w, size_t len, const glob_pattern *pattern, size_t part)
{
    if (part == pattern->part_count) {
        found(w);
        return;
    }
    const char *sign = pattern->parts[part];
    const char *folder = len ? w->path : "/";
    bool is_last = part + 1 == pattern->part_count;
    if (!has_signs(sign)) {
        size_t sign_len = strlen(sign);
        if (is_last) w->visitor->folder(w->visitor->ctx, folder);
        if (len + sign_len + 2 > sizeof w->path) return;
        w->path[len] = '/';
        memcpy(w->path + len + 1, sign, sign_len + 1);
        struct stat info;
        if (stat(w->path, &info)) {
            w->visitor->missing(w->visitor->ctx, w->path);
        } else if (is_last || S_ISDIR(info.st_mode)) {
            walk_part(w, len + 1 + sign_len, pattern, part + 1);
        }
        w->path[len] = 0;
        return;
    }
    DIR *dir = opendir(folder);
    if (!dir) {
        if (errno != ENOTDIR) w->visitor->missing(w->visitor->ctx, folder);
        return;
    }
    w->visitor->folder(w->visitor->ctx, folder);
    bool is_any = is_any_folders(sign);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (!is_any) {
            if (fnmatch(sign, name, FNM_PERIOD) == 0) walk_name(w, len, name, pattern, part + 1);
        } else if (name[0] != '.') {
            if (is_folder(w, len, entry)) {
                walk_name(w, len, name, pattern, part);
            } else if (is_last) {
                walk_name(w, len, name, pattern, part + 1);
            }
        }
    }
    closedir(dir);
    if (is_any && !is_last) walk_part(w, len, pattern, part + 1);
}

void lm_globs_walk(const lm_globs *globs, const lm_globs_visitor *visitor)
{
    walk w = {.globs = globs, .visitor = visitor};
    for (size_t i = 0; i < globs->globs.count; i++) {
        w.path[0] = 0;
        walk_part(&w, 0, &globs->globs.items[i], 0);
    }
}

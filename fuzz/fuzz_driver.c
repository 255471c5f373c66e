/**
 * Runs a fuzz target without libFuzzer: once on nothing, then on each file named, and on each file
 * of each folder named, whole and cut short at a few places. So the seeds and what fuzzing once
 * found are tests of every build.
 */
#include "base/base.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (16u * 1024u * 1024u)
#define CUTS           7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t run_count;

/* A copy of exactly that size, as libFuzzer makes one: AddressSanitizer then sees a read behind it.
 */
static void run_exact(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    LM_ASSERT(copy);
    if (len) memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len); /* always 0 */
    free(copy);
    run_count++;
}

static int run_file(lm_mem *mem, const char *path)
{
    lm_buf buf;
    lm_buf_init(&buf, mem);
    if (lm_file_read_all(path, FILE_BYTES_MAX, &buf)) {
        fprintf(stderr, "fuzz: %s\n", lm_err_text());
        return 1;
    }
    run_exact(buf.ptr, buf.len);
    for (size_t i = 1; i <= CUTS && buf.len > CUTS; i++)
        run_exact(buf.ptr, buf.len * i / (CUTS + 1));
    lm_buf_fini(&buf);
    return 0;
}

static int run_path(lm_mem *mem, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return run_file(mem, path);
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        failed |= run_path(mem, name);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    lm_mem *mem = NULL;
    if (lm_mem_new(NULL, 0, &mem)) return 1;
    int failed = 0;
    run_exact((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        failed |= run_path(mem, argv[i]);
    lm_mem_free(mem);
    printf("%zu runs\n", run_count);
    return failed;
}

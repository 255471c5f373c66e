/** What lies beside a segment's lines (NUMBER.rec): any head and columns, with a checksum that
 * fits. */
#include "store/store_priv.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    LM_ASSERT(file);
    LM_ASSERT(fwrite(bytes, 1, len, file) == len);
    LM_ASSERT(fclose(file) == 0);
}

static char path_made[64];

static void remove_folder(void)
{
    char below[96];
    (void)snprintf(below, sizeof below, "%s/segments", path_made);
    (void)rmdir(below);
    (void)rmdir(path_made);
}

/** A folder of this process, with a segment 1 whose .rec is what is asked. */
static const char *folder(void)
{
    char *path = path_made;
    char below[96];
    if (path[0]) return path;
    atexit(remove_folder);
    (void)snprintf(path, sizeof path_made, "/tmp/logmill-fuzz-XXXXXX");
    LM_ASSERT(mkdtemp(path));
    (void)snprintf(below, sizeof below, "%s/segments", path);
    LM_ASSERT(mkdir(below, 0700) == 0);
    return path;
}

/** data: two bytes of the head's length, the head (plain), then directory and blocks as they are.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[STORE_PATH_MAX];
    lm_mem *mem = NULL;
    lm_buf head, all;
    store_view *view = NULL;
    if (size < 4 || lm_mem_new(NULL, 64u << 20, &mem)) return 0;
    size_t head_len = lm_le16(data) % (size - 3), rest = size - 4 - head_len;
    size_t directory_len = lm_le16(data + 2) % (rest + 1);
    lm_buf_init(&head, mem);
    lm_buf_init(&all, mem);
    lm_err err = lm_bytes_encode(mem, (lm_str){data + 4, head_len}, LM_LEVEL_FAST, &head);
    if (!err) err = lm_buf_append(&all, STORE_REC_MAGIC, 8);
    if (!err) err = lm_buf_le32(&all, (uint32_t)head_len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)head.len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)directory_len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)(rest - directory_len));
    if (!err) err = lm_buf_append(&all, head.ptr, head.len);
    if (!err) err = lm_buf_le64(&all, lm_hash64_seed(all.ptr, all.len, 1));
    if (!err) err = lm_buf_append(&all, data + 4 + head_len, rest);
    if (!err) err = lm_buf_le64(&all, lm_hash64_seed(all.ptr, all.len, 1));
    if (!err) {
        store_part_path(folder(), 1, "rec", path);
        write_file(path, all.ptr, all.len);
        err = store_view_open(mem, folder(), 1, &view);
        if (!err) err = store_view_load(view, STORE_TIMES);
        store_view_close(view);
        (void)unlink(path);
    }
    lm_buf_fini(&head);
    lm_buf_fini(&all);
    lm_mem_free(mem);
    return 0;
}

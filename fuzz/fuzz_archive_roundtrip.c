/** Any bytes as a log: packed, opened, unpacked, they are the same bytes. The first two bytes
 * choose level and segment size. */
#include "archive/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct target {
    const uint8_t *expected;
    size_t len, at;
} target;

static lm_err compare(void *ctx, size_t file_index, lm_str bytes)
{
    target *t = ctx;
    LM_ASSERT(file_index == 0 && bytes.len <= t->len - t->at);
    LM_ASSERT(bytes.len == 0 || memcmp(t->expected + t->at, bytes.ptr, bytes.len) == 0);
    t->at += bytes.len;
    return LM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    lm_pack_report report;
    char log[64], out[64], folder[] = "/tmp/logmill-fuzz-XXXXXX";
    if (size < 2) return 0;
    lm_pack_options options = {.level = (lm_level)(1 + data[0] % 3),
                               .segment_bytes = (size_t)64 << data[1] % 12,
                               .raw_input = true};
    data += 2;
    size -= 2;
    int fd = memfd_create("log", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || !mkdtemp(folder)) abort();
    snprintf(log, sizeof log, "/proc/self/fd/%d", fd);
    snprintf(out, sizeof out, "%s/a.lm", folder);
    const char *paths[] = {log};
    LM_ASSERT(lm_mem_new(NULL, (size_t)256 << 20, &mem) == LM_OK);
    LM_ASSERT(lm_archive_pack(mem, NULL, paths, 1, &options, out, NULL, NULL, &report) == LM_OK);
    LM_ASSERT(report.bytes_in == size);
    LM_ASSERT(lm_archive_open(mem, out, false, &archive) == LM_OK);
    target t = {data, size, 0};
    LM_ASSERT(lm_archive_unpack(archive, NULL, SIZE_MAX, compare, &t, NULL, NULL) == LM_OK);
    LM_ASSERT(t.at == size);
    LM_ASSERT(lm_archive_verify(archive, NULL, NULL, NULL) == LM_OK);
    LM_ASSERT(lm_archive_templates_count(archive, NULL, NULL) == LM_OK);
    lm_archive_close(archive);
    lm_mem_free(mem);
    remove(out);
    rmdir(folder);
    close(fd);
    return 0;
}

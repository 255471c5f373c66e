/** Packed files of any bytes: no crash, no endless output, no memory above the limit. */
#include "ingest/ingest_priv.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_BYTES = 16 << 20, OUTPUT_BYTES_MAX = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t dst[65536];
    char path[64];
    int fd = memfd_create("fuzz", 0);
    if (fd < 0) return 0;
    if (write(fd, data, size) != (ssize_t)size) goto out;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    lm_mem *mem = NULL;
    LM_ASSERT(lm_mem_new(NULL, MEMORY_BYTES, &mem) == LM_OK);
    lm_source *source = NULL;
    uint64_t total = 0;
    size_t n = 1, cap = size % 3 == 0 ? 1 + size % 4096 : sizeof dst;
    lm_err err = lm_source_open(mem, path, false, &source);
    while (!err && n && total < OUTPUT_BYTES_MAX) {
        err = lm_source_read(source, dst, cap, &n);
        if (!err) total += n;
    }
    if (source && !err && lm_source_packing(source) == LM_PACKING_NONE && n == 0)
        LM_ASSERT(total == size);
    lm_source_close(source);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
out:
    close(fd);
    return 0;
}

/** Packed files by ingest's readers. */
#include "source/source_unpack.h"
#include "ingest/ingest.h"

#include <stdio.h>

struct lm_unpacked {
    lm_mem *mem;
    lm_source *reader; /* ingest's */
};

lm_err lm_unpacked_open(lm_mem *mem, int fd, lm_unpacked **out)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* fits */
    lm_unpacked *unpacked = lm_mem_calloc(mem, 1, sizeof *unpacked);
    if (!unpacked) return lm_mem_err();
    unpacked->mem = mem;
    lm_err err = lm_source_open(mem, path, false, &unpacked->reader);
    if (err) {
        lm_mem_release(mem, unpacked, sizeof *unpacked);
        return err;
    }
    *out = unpacked;
    return LM_OK;
}

lm_err lm_unpacked_read(lm_unpacked *unpacked, uint8_t *dst, size_t cap, size_t *out_len)
{
    return lm_source_read(unpacked->reader, dst, cap, out_len);
}

void lm_unpacked_close(lm_unpacked *unpacked)
{
    if (!unpacked) return;
    lm_source_close(unpacked->reader);
    lm_mem_release(unpacked->mem, unpacked, sizeof *unpacked);
}

bool lm_unpacked_is(const uint8_t *head, size_t len)
{
    static const struct {
        uint8_t bytes[6];
        uint8_t len;
    } magics[] = {{{0x1f, 0x8b, 0x08}, 3},
                  {{0x28, 0xb5, 0x2f, 0xfd}, 4},
                  {{0xfd, '7', 'z', 'X', 'Z', 0}, 6},
                  {{'B', 'Z', 'h'}, 3}};

    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if (len >= magics[i].len && memcmp(head, magics[i].bytes, magics[i].len) == 0) return true;
    }
    return false;
}

/** Inside of source: packed files (.gz, .zst, .xz, .bz2, by content), read through an open
 * descriptor. Apart from the rest because ingest's reader has the name lm_source as well. */
#ifndef SOURCE_UNPACK_H
#define SOURCE_UNPACK_H

#include "base/base.h"

typedef struct lm_unpacked lm_unpacked;
/** The file behind fd from its beginning, whatever its name is by now; fd is only borrowed. */
LM_USE lm_err lm_unpacked_open(lm_mem *mem, int fd, lm_unpacked **out);
/** *out_len 0: the end. LM_E_CORRUPT after all good bytes were given. */
LM_USE lm_err lm_unpacked_read(lm_unpacked *unpacked, uint8_t *dst, size_t cap, size_t *out_len);
void lm_unpacked_close(lm_unpacked *unpacked); /* NULL is fine */
/** Do these first bytes of a file begin a packed one? */
bool lm_unpacked_is(const uint8_t *head, size_t len);

#endif

/** Inside of ingest: decoders of packed files, and memory for libraries that free without telling the size. */
#ifndef INGEST_PRIV_H
#define INGEST_PRIV_H

#include "ingest/ingest.h"

/** Memory that remembers its own size, for callbacks: mem is an lm_mem. NULL on failure. */
void *lm_sized_alloc(void *mem, size_t bytes);
void lm_sized_free(void *mem, void *ptr); /* NULL is fine */

/** What goes in and comes out of one step of a decoder; a step moves in and dst forward. */
typedef struct lm_unpack_io {
    const uint8_t *in, *in_end;
    uint8_t *dst, *dst_end;
    bool is_last;     /* no more input will follow in_end */
    bool at_boundary; /* set by the step: the file may end here */
} lm_unpack_io;

typedef struct lm_unpacker {
    const char *name;
    lm_err (*open)(lm_mem *mem, void **out_state);
    /** Runs until in is used up or dst is full. LM_E_CORRUPT with the reason as text. */
    lm_err (*step)(void *state, lm_unpack_io *io);
    void (*close)(void *state);
} lm_unpacker;

/** NULL: this build cannot read it. */
const lm_unpacker *lm_unpacker_of(lm_packing packing);
const char *lm_packing_name(lm_packing packing);
/** Tells the packing by the first bytes of a file. 16 of them are enough. */
lm_packing lm_packing_detect(const uint8_t *head, size_t len);

/** A timestamp, level or JSON object at the front, as records begin. Tries *hint_offset and *hint_layout first and
 *  leaves there what it found. */
typedef struct lm_header_hint {
    uint16_t offset, layout;
    bool is_set;
} lm_header_hint;

bool lm_header_has_time(lm_str line, lm_header_hint *hint);
bool lm_header_has_level(lm_str line);

#endif

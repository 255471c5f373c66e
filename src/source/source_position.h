/** Inside of source: where a file stands, as text for a checkpoint (docs/format/positions.md). */
#ifndef SOURCE_POSITION_H
#define SOURCE_POSITION_H

#include "base/base.h"

#define LM_HEAD_MAX 1024

/** What a file begins with, as far as it had grown: tells whether it is still the same one. */
typedef struct lm_head {
    uint32_t len; /* at most LM_HEAD_MAX */
    uint64_t hash;
} lm_head;

static inline lm_head lm_head_of(const uint8_t *bytes, size_t len)
{
    if (len > LM_HEAD_MAX) len = LM_HEAD_MAX;
    return (lm_head){(uint32_t)len, lm_hash64(bytes, len)};
}

/** Do bytes, the first len of a file, begin as head tells? */
static inline bool lm_head_fits(lm_head head, const uint8_t *bytes, size_t len)
{
    return head.len == 0 || (len >= head.len && lm_hash64(bytes, head.len) == head.hash);
}

typedef struct lm_position {
    uint64_t offset; /* of the first byte not yet sent; of the unpacked text for packed files */
    lm_head head;
    bool is_done;                         /* nothing more is wanted of it */
    uint64_t before_device, before_inode; /* the file that had its name before; 0: none known */
    lm_str path;                          /* the name its records bear */
} lm_position;

LM_USE lm_err lm_position_print(const lm_position *position, lm_buf *out);
/** path is a slice of text. LM_E_CORRUPT. */
LM_USE lm_err lm_position_parse(lm_str text, lm_position *out);

/** "2049:1311" */
bool lm_file_id_parse(lm_str text, uint64_t *out_device, uint64_t *out_inode);

/** Files that are gone: what was read of them. One key holds them all. */
LM_USE lm_err lm_positions_print(const lm_position *positions, size_t count, lm_buf *out);
/** At most cap are taken; paths are slices of text. LM_E_CORRUPT. */
LM_USE lm_err lm_positions_parse(lm_str text, lm_position *positions, size_t cap,
                                 size_t *out_count);

/** Where a partition of a queue stands: the last record that is kept, and what it looks like. */
typedef struct lm_offset {
    int64_t last;  /* 0 or more */
    uint64_t hash; /* of its bytes and time */
} lm_offset;

enum { LM_OFFSET_TEXT_MAX = 64 };

/** "1 last=4711:0123456789abcdef" into text; its length. */
size_t lm_offset_print(lm_offset offset, char text[LM_OFFSET_TEXT_MAX]);
/** LM_E_CORRUPT. */
LM_USE lm_err lm_offset_parse(lm_str text, lm_offset *out);

#endif

/**
 * Memory: lm_mem is an allocator with an account; lm_arena hands out pieces freed all at once;
 * lm_buf grows. malloc appears only behind lm_mem. Tests make the n-th allocation fail through
 * lm_allocator.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base_err.h"

/** Given by the caller of the library; NULL functions mean the C library's. resize(NULL) allocates.
 */
typedef struct lm_allocator {
    void *(*resize)(void *ctx, void *ptr, size_t old_bytes,
                    size_t new_bytes); /* NULL on failure; ptr stays valid */
    void (*release)(void *ctx, void *ptr, size_t bytes);
    void *ctx;
} lm_allocator;

/** An account over an allocator. Safe from any thread. */
typedef struct lm_mem lm_mem;

/** limit_bytes 0 means no limit. Returns LM_E_NOMEM. allocator may be NULL. */
LM_USE lm_err lm_mem_new(const lm_allocator *allocator, size_t limit_bytes, lm_mem **out);
/** Frees the account itself; asserts in debug builds that all it handed out came back. NULL is
 * fine. */
void lm_mem_free(lm_mem *mem);
size_t lm_mem_used(const lm_mem *mem);
size_t lm_mem_peak(const lm_mem *mem);
size_t lm_mem_limit(const lm_mem *mem);

/** All of these: zero bytes is valid and gives a non-NULL pointer; on failure NULL and lm_fail was
 * called (LM_E_NOMEM, or LM_E_LIMIT with used and limit in the text). 16-byte aligned. */
LM_USE void *lm_mem_alloc(lm_mem *mem, size_t bytes);
LM_USE void *lm_mem_calloc(lm_mem *mem, size_t count, size_t bytes); /* overflow checked */
LM_USE void *lm_mem_resize(lm_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes);
void lm_mem_release(lm_mem *mem, void *ptr, size_t bytes); /* NULL is fine */
/** The code to return after one of the above gave NULL: LM_E_NOMEM or LM_E_LIMIT, as recorded. */
lm_err lm_mem_err(void);
/** Was this thread's last failure an account at its limit? LM_E_LIMIT alone does not say whether
 * the data or the memory were too much: the one is the sender's fault, the other passes. */
bool lm_mem_refused(void);
/**
 * From now on up to so many bytes of large blocks that were given back are kept for who asks next:
 * pages that come from the system each time anew cost more than what is done with them. Only while
 * less than half the limit is in use; what is used and what is kept together stay within it. Large
 * blocks count as what they really take, up to a quarter more. Before anything is taken of mem.
 * Does nothing where an allocator was given, and under AddressSanitizer. LM_E_NOMEM.
 */
LM_USE lm_err lm_mem_keep(lm_mem *mem, size_t bytes);
/** What is kept goes back to the system, also by the C library: after a burst. */
void lm_mem_trim(lm_mem *mem);

/** What is dear to make and is wanted again and again. */
typedef enum lm_tool {
    LM_TOOL_PACKER,   /* codec's context of zstd that compresses */
    LM_TOOL_UNPACKER, /* and the one that decompresses */
    LM_TOOL_COUNT
} lm_tool;

/**
 * Tools whose memory is of mem: one of each kind is kept for who asks next, beside what is used and
 * with it within the limit, until lm_mem_trim or lm_mem_free. Any thread.
 *
 * take  NULL: none is kept; make one.
 * give  bytes: what the tool has taken of mem, or less. release frees the tool; it is called at
 *       once where none is to be kept, and is the same for all tools of a kind.
 */
LM_USE void *lm_mem_take_tool(lm_mem *mem, lm_tool kind);
void lm_mem_give_tool(lm_mem *mem, lm_tool kind, void *tool, size_t bytes,
                      void (*release)(void *tool));

/** Pieces of any size, freed together. Under ASan, freed memory is poisoned and pieces have red
 * zones. */
typedef struct lm_arena {
    lm_mem *mem;
    struct lm_arena_chunk *first, *current;
    bool is_wide; /* chunks of some MB, on large pages where the system has them */
} lm_arena;

void lm_arena_init(lm_arena *arena, lm_mem *mem);
/** For an arena that will mostly hold some MB and is filled once: taking memory costs less then. */
void lm_arena_init_wide(lm_arena *arena, lm_mem *mem);
void lm_arena_fini(lm_arena *arena);
void lm_arena_reset(lm_arena *arena); /* keeps the memory for reuse */
/** Bytes that it has taken from its account, and those of them that are handed out. */
size_t lm_arena_held(const lm_arena *arena);
size_t lm_arena_used(const lm_arena *arena);
/** align is a power of two <= 64. NULL on failure. */
LM_USE void *lm_arena_alloc(lm_arena *arena, size_t bytes, size_t align);
LM_USE void *lm_arena_copy(lm_arena *arena, const void *src, size_t bytes); /* adds a NUL behind */

/** A growable run of bytes. ptr may be NULL while cap is 0. */
typedef struct lm_buf {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    lm_mem *mem;
} lm_buf;

void lm_buf_init(lm_buf *buf, lm_mem *mem);
void lm_buf_fini(lm_buf *buf);
/** Room for extra more bytes behind len. ptr is not NULL afterwards, not even for no bytes: what is
 * reserved may be pointed into. */
LM_USE lm_err lm_buf_reserve_slow(lm_buf *buf, size_t extra);
LM_USE lm_err lm_buf_append(lm_buf *buf, const void *src, size_t len);

LM_USE static inline lm_err lm_buf_reserve(lm_buf *buf, size_t extra)
{
    return buf->ptr && buf->cap - buf->len >= extra ? LM_OK : lm_buf_reserve_slow(buf, extra);
}

LM_USE static inline lm_err lm_buf_u8(lm_buf *buf, uint8_t byte)
{
    if (buf->len == buf->cap) {
        lm_err err = lm_buf_reserve_slow(buf, 1);
        if (err) return err;
    }
    buf->ptr[buf->len++] = byte;
    return LM_OK;
}

/** LEB128: seven bits a byte, low first; at most 10 bytes. */
LM_USE lm_err lm_buf_varint(lm_buf *buf, uint64_t value);
LM_USE lm_err lm_buf_le32(lm_buf *buf, uint32_t value);
LM_USE lm_err lm_buf_le64(lm_buf *buf, uint64_t value);

/** Grow the array *ptr of items so that it holds count; doubles. cap is in items. */
LM_USE lm_err lm_vec_grow_slow(lm_mem *mem, void *ptr_to_array, size_t *cap, size_t count,
                               size_t item_bytes);

LM_USE static inline lm_err lm_vec_grow(lm_mem *mem, void *ptr_to_array, size_t *cap, size_t count,
                                        size_t item_bytes)
{
    return count <= *cap ? LM_OK : lm_vec_grow_slow(mem, ptr_to_array, cap, count, item_bytes);
}

#endif

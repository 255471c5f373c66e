/** The account over an allocator, and what grows on it: buffers and vectors. Arenas are in
 * base_arena.c. */
#include "base/base_mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#    include <malloc.h>
#endif

#define MEM_MAGIC     0x6d656d21u /* "!mem" */
#define BUF_BYTES_MIN 64u
#define KEPT_COUNT    32u
#define KEPT_LEAST    ((size_t)1 << 20) /* smaller blocks are the C library's business */
#define TOOL_BYTES    ((size_t)2 << 20) /* a larger tool is not kept */

/** Blocks that wait for somebody who asks for their size, the oldest first. */
typedef struct kept_blocks {
    pthread_mutex_t lock;
    size_t count, bytes_max;
    _Atomic size_t bytes;

    struct {
        void *ptr;
        size_t bytes;
    } items[KEPT_COUNT];
} kept_blocks;

/** A tool that waits for somebody who needs it. */
typedef struct kept_tool {
    void *tool;
    size_t bytes;
    void (*release)(void *tool);
} kept_tool;

struct lm_mem {
    uint32_t magic;
    lm_allocator allocator; /* functions are never NULL here */
    size_t limit;           /* bytes; SIZE_MAX: none */
    _Atomic size_t
        used; /* bytes handed out; counted before they are asked for, so limit is never passed */
    _Atomic size_t peak; /* bytes; largest used ever seen */
    kept_blocks *kept;   /* NULL: none are kept */
    pthread_mutex_t tool_lock;
    kept_tool tools[LM_TOOL_COUNT]; /* lock */
    _Atomic size_t tool_bytes;      /* of all of them; not part of used */
};

static _Thread_local lm_err last_mem_err = LM_E_NOMEM;

static void *libc_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    return realloc(ptr, new_bytes);
}

static void libc_release(void *ctx, void *ptr, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(ptr);
}

/* An allocator has no obligation towards zero bytes; we have one, so it is always asked for at
 * least one. */
static size_t real_bytes(size_t bytes)
{
    return bytes ? bytes : 1;
}

lm_err lm_mem_new(const lm_allocator *allocator, size_t limit_bytes, lm_mem **out)
{
    lm_allocator table = {libc_resize, libc_release, NULL};
    if (allocator && allocator->resize && allocator->release) table = *allocator;

    lm_mem *mem = table.resize(table.ctx, NULL, 0, sizeof *mem);
    if (!mem) return lm_fail(LM_E_NOMEM, "out of memory");
    memset(mem, 0, sizeof *mem);
    mem->magic = MEM_MAGIC;
    mem->allocator = table;
    mem->limit = limit_bytes ? limit_bytes : SIZE_MAX;
    (void)pthread_mutex_init(&mem->tool_lock, NULL);
    *out = mem;
    return LM_OK;
}

/* ---- large blocks that are kept ---- */

/** The size of the block for so many bytes: of four sizes between two powers of two, so that blocks
 * find somebody who wants them. */
static size_t block_bytes(size_t bytes)
{
    size_t step = ((size_t)1 << (63 - __builtin_clzll(bytes))) / 4;
    return bytes > SIZE_MAX / 2 ? bytes : (bytes + step - 1) & ~(step - 1);
}

/** Oldest blocks go until no more than so many bytes are left. Lock held, or nobody else there. */
static void drop_kept(kept_blocks *kept, size_t bytes)
{
    size_t gone = 0;
    while (gone < kept->count && kept->bytes > bytes) {
        kept->bytes -= kept->items[gone].bytes;
        free(kept->items[gone++].ptr);
    }
    kept->count -= gone;
    memmove(kept->items, kept->items + gone, kept->count * sizeof kept->items[0]);
}

/** Then nothing is kept: whoever comes next may want any size. */
static bool is_short(const lm_mem *mem)
{
    return atomic_load_explicit(&mem->used, memory_order_relaxed) > mem->limit / 2;
}

/** A kept block; NULL: there is none. bytes is block_bytes of something. */
static void *take_kept(lm_mem *mem, size_t bytes)
{
    kept_blocks *kept = mem->kept;
    void *ptr = NULL;
    (void)pthread_mutex_lock(&kept->lock);
    for (size_t i = kept->count; i-- > 0 && !ptr;) {
        if (kept->items[i].bytes != bytes) continue;
        ptr = kept->items[i].ptr;
        kept->bytes -= bytes;
        kept->count--;
        memmove(kept->items + i, kept->items + i + 1, (kept->count - i) * sizeof kept->items[0]);
    }
    if (!ptr && is_short(mem)) drop_kept(kept, 0);
    (void)pthread_mutex_unlock(&kept->lock);
    return ptr;
}

static void *take_block(lm_mem *mem, size_t bytes)
{
    void *ptr = take_kept(mem, bytes);
    return ptr ? ptr : malloc(bytes);
}

static void give_block(lm_mem *mem, void *ptr, size_t bytes)
{
    kept_blocks *kept = mem->kept;
    bool is_kept = bytes <= kept->bytes_max / 2 && !is_short(mem);
    if (is_kept) {
        (void)pthread_mutex_lock(&kept->lock);
        drop_kept(kept, kept->bytes_max - bytes);
        if (kept->count == KEPT_COUNT) drop_kept(kept, kept->bytes - 1);
        kept->items[kept->count].ptr = ptr;
        kept->items[kept->count++].bytes = bytes;
        kept->bytes += bytes;
        (void)pthread_mutex_unlock(&kept->lock);
    } else {
        free(ptr);
    }
}

/** As realloc, where the block is or becomes a large one. */
static void *resize_block(lm_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes)
{
    size_t had = old_bytes < KEPT_LEAST ? old_bytes : block_bytes(old_bytes);
    size_t want = new_bytes < KEPT_LEAST ? new_bytes : block_bytes(new_bytes);
    if (had == want) return ptr;
    /* Otherwise the system moves pages, not bytes: two large blocks are never there at once. */
    void *moved = new_bytes < KEPT_LEAST ? NULL : take_kept(mem, want);
    if (!moved) return realloc(ptr, want);
    memcpy(moved, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    if (old_bytes < KEPT_LEAST)
        free(ptr);
    else
        give_block(mem, ptr, had);
    return moved;
}

lm_err lm_mem_keep(lm_mem *mem, size_t bytes)
{
#ifndef __SANITIZE_ADDRESS__
    if (mem->allocator.resize != libc_resize || mem->kept) return LM_OK;
    mem->kept = calloc(1, sizeof *mem->kept);
    if (!mem->kept) return lm_fail(LM_E_NOMEM, "out of memory");
    mem->kept->bytes_max = bytes;
    (void)pthread_mutex_init(&mem->kept->lock, NULL);
#else
    (void)mem, (void)bytes;
#endif
    return LM_OK;
}

/* ---- tools that are kept ---- */

/** Out of its place, and part of what is used again. */
static kept_tool lift_tool(lm_mem *mem, lm_tool kind)
{
    (void)pthread_mutex_lock(&mem->tool_lock);
    kept_tool kept = mem->tools[kind];
    mem->tools[kind] = (kept_tool){0};
    mem->tool_bytes -= kept.bytes;
    mem->used += kept.bytes;
    (void)pthread_mutex_unlock(&mem->tool_lock);
    return kept;
}

static void drop_tools(lm_mem *mem)
{
    for (lm_tool kind = 0; kind < LM_TOOL_COUNT; kind++) {
        kept_tool kept = lift_tool(mem, kind);
        if (kept.tool) kept.release(kept.tool);
    }
}

void *lm_mem_take_tool(lm_mem *mem, lm_tool kind)
{
    return lift_tool(mem, kind).tool;
}

void lm_mem_give_tool(lm_mem *mem, lm_tool kind, void *tool, size_t bytes,
                      void (*release)(void *tool))
{
    if (!tool) return;
    bool is_kept = bytes <= TOOL_BYTES && !is_short(mem);
    (void)pthread_mutex_lock(&mem->tool_lock);
    is_kept = is_kept && !mem->tools[kind].tool;
    if (is_kept) {
        mem->tools[kind] = (kept_tool){tool, bytes, release};
        mem->used -= bytes;
        mem->tool_bytes += bytes;
    }
    (void)pthread_mutex_unlock(&mem->tool_lock);
    if (!is_kept) release(tool);
}

void lm_mem_trim(lm_mem *mem)
{
    drop_tools(mem);
    if (mem->kept) {
        (void)pthread_mutex_lock(&mem->kept->lock);
        drop_kept(mem->kept, 0);
        (void)pthread_mutex_unlock(&mem->kept->lock);
    }
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

void lm_mem_free(lm_mem *mem)
{
    if (!mem) return;
    LM_ASSERT(mem->magic == MEM_MAGIC);
    drop_tools(mem);
    LM_DEBUG_ASSERT(atomic_load(&mem->used) == 0); /* somebody forgot to give memory back */
    mem->magic = 0;
    (void)pthread_mutex_destroy(&mem->tool_lock);
    lm_allocator table = mem->allocator;
    if (mem->kept) {
        drop_kept(mem->kept, 0);
        (void)pthread_mutex_destroy(&mem->kept->lock);
        free(mem->kept);
    }
    table.release(table.ctx, mem, sizeof *mem);
}

size_t lm_mem_used(const lm_mem *mem)
{
    return atomic_load_explicit(&mem->used, memory_order_relaxed);
}

size_t lm_mem_peak(const lm_mem *mem)
{
    return atomic_load_explicit(&mem->peak, memory_order_relaxed);
}

size_t lm_mem_limit(const lm_mem *mem)
{
    return mem->limit == SIZE_MAX ? 0 : mem->limit;
}

lm_err lm_mem_err(void)
{
    return last_mem_err;
}

#define REFUSED "memory limit reached"

bool lm_mem_refused(void)
{
    return strncmp(lm_err_text(), REFUSED, sizeof REFUSED - 1) == 0;
}

/** What a block of so many bytes really takes. */
static size_t taken(const lm_mem *mem, size_t bytes)
{
    return mem->kept && bytes >= KEPT_LEAST ? block_bytes(bytes) : bytes;
}

static bool charge(lm_mem *mem, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&mem->used, bytes, memory_order_relaxed);
    size_t after = before + bytes;
    if (__builtin_expect(after > mem->limit || after < before, 0)) {
        atomic_fetch_sub_explicit(&mem->used, bytes, memory_order_relaxed);
        last_mem_err = lm_fail(LM_E_LIMIT, REFUSED ": %zu of %zu bytes used, %zu more wanted",
                               before, mem->limit, bytes);
        return false;
    }
    if (mem->kept && mem->limit - after < atomic_load(&mem->kept->bytes)) {
        (void)pthread_mutex_lock(&mem->kept->lock);
        drop_kept(mem->kept, 0); /* used and kept together stay within the limit */
        (void)pthread_mutex_unlock(&mem->kept->lock);
    }
    if (mem->limit - after < atomic_load_explicit(&mem->tool_bytes, memory_order_relaxed))
        drop_tools(mem);
    size_t peak = atomic_load_explicit(&mem->peak, memory_order_relaxed);
    while (after > peak &&
           !atomic_compare_exchange_weak_explicit(&mem->peak, &peak, after, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
    return true;
}

static void discharge(lm_mem *mem, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&mem->used, bytes, memory_order_relaxed);
    LM_ASSERT(before >= bytes); /* released with another size than it was taken with */
}

void *lm_mem_alloc(lm_mem *mem, size_t bytes)
{
    LM_DEBUG_ASSERT(mem->magic == MEM_MAGIC);
    size_t all = taken(mem, bytes);
    if (!charge(mem, all)) return NULL;
    bool is_block = mem->kept && bytes >= KEPT_LEAST;
    void *ptr = is_block ? take_block(mem, all)
                         : mem->allocator.resize(mem->allocator.ctx, NULL, 0, real_bytes(bytes));
    if (__builtin_expect(!ptr, 0)) {
        discharge(mem, all);
        last_mem_err = lm_fail(LM_E_NOMEM, "out of memory: no %zu bytes", bytes);
    }
    return ptr;
}

void *lm_mem_calloc(lm_mem *mem, size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all)) {
        last_mem_err = lm_fail(LM_E_NOMEM, "out of memory: no %zu times %zu bytes", count, bytes);
        return NULL;
    }
    /* Fresh pages from the system are zero already: calloc of the C library knows and does not
     * touch them. */
    if (mem->allocator.resize == libc_resize && !(mem->kept && all >= KEPT_LEAST)) {
        if (!charge(mem, all)) return NULL;
        void *ptr = calloc(1, real_bytes(all));
        if (!ptr) {
            discharge(mem, all);
            last_mem_err = lm_fail(LM_E_NOMEM, "out of memory: no %zu bytes", all);
        }
        return ptr;
    }
    void *ptr = lm_mem_alloc(mem, all);
    if (ptr) memset(ptr, 0, all);
    return ptr;
}

void *lm_mem_resize(lm_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes)
{
    LM_DEBUG_ASSERT(mem->magic == MEM_MAGIC);
    if (!ptr) return lm_mem_alloc(mem, new_bytes);
    size_t had = taken(mem, old_bytes), want = taken(mem, new_bytes);
    if (want > had && !charge(mem, want - had)) return NULL;
    bool is_block = mem->kept && (old_bytes >= KEPT_LEAST || new_bytes >= KEPT_LEAST);
    void *moved = is_block ? resize_block(mem, ptr, old_bytes, real_bytes(new_bytes))
                           : mem->allocator.resize(mem->allocator.ctx, ptr, real_bytes(old_bytes),
                                                   real_bytes(new_bytes));
    if (__builtin_expect(!moved, 0)) {
        if (want > had) discharge(mem, want - had);
        last_mem_err = lm_fail(LM_E_NOMEM, "out of memory: no %zu bytes", new_bytes);
        return NULL;
    }
    if (want < had) discharge(mem, had - want);
    return moved;
}

void lm_mem_release(lm_mem *mem, void *ptr, size_t bytes)
{
    if (!ptr) return;
    LM_DEBUG_ASSERT(mem->magic == MEM_MAGIC);
    discharge(mem, taken(mem, bytes));
    if (mem->kept && bytes >= KEPT_LEAST)
        give_block(mem, ptr, block_bytes(bytes));
    else
        mem->allocator.release(mem->allocator.ctx, ptr, real_bytes(bytes));
}

void lm_buf_init(lm_buf *buf, lm_mem *mem)
{
    *buf = (lm_buf){.mem = mem};
}

void lm_buf_fini(lm_buf *buf)
{
    if (buf->ptr) lm_mem_release(buf->mem, buf->ptr, buf->cap);
    *buf = (lm_buf){.mem = buf->mem};
}

/* Doubling makes appending O(1); near the limit of the account a doubling may fail where the bytes
 * that are needed still fit, so the exact size is the second try. */
lm_err lm_buf_reserve_slow(lm_buf *buf, size_t extra)
{
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need)) {
        return lm_fail(LM_E_NOMEM, "out of memory: a buffer cannot grow by %zu bytes", extra);
    }
    if (need <= buf->cap && buf->ptr) return LM_OK;
    size_t cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    if (cap < need) cap = need;
    if (cap < BUF_BYTES_MIN) cap = BUF_BYTES_MIN;
    void *moved = lm_mem_resize(buf->mem, buf->ptr, buf->cap, cap);
    if (!moved && cap > need) {
        cap = need ? need : 1;
        moved = lm_mem_resize(buf->mem, buf->ptr, buf->cap, cap);
    }
    if (!moved) return lm_mem_err();
    buf->ptr = moved;
    buf->cap = cap;
    return LM_OK;
}

lm_err lm_buf_append(lm_buf *buf, const void *src, size_t len)
{
    if (len == 0) return LM_OK; /* src may be NULL then */
    lm_err err = lm_buf_reserve(buf, len);
    if (err) return err;
    memcpy(buf->ptr + buf->len, src, len);
    buf->len += len;
    return LM_OK;
}

lm_err lm_buf_varint(lm_buf *buf, uint64_t value)
{
    lm_err err = lm_buf_reserve(buf, 10);
    if (err) return err;
    uint8_t *p = buf->ptr + buf->len;
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    buf->len = (size_t)(p - buf->ptr);
    return LM_OK;
}

lm_err lm_buf_le32(lm_buf *buf, uint32_t value)
{
    return lm_buf_append(buf, &value, sizeof value);
}

lm_err lm_buf_le64(lm_buf *buf, uint64_t value)
{
    return lm_buf_append(buf, &value, sizeof value);
}

lm_err lm_vec_grow_slow(lm_mem *mem, void *ptr_to_array, size_t *cap, size_t count,
                        size_t item_bytes)
{
    if (count <= *cap) return LM_OK;
    size_t new_cap = *cap > SIZE_MAX / 2 ? SIZE_MAX : *cap * 2;
    if (new_cap < 8) new_cap = 8;
    if (new_cap < count) new_cap = count;

    void *array; /* copied in and out: the caller's pointer is of another type */
    memcpy(&array, ptr_to_array, sizeof array);
    void *moved = NULL;
    for (int attempt = 0; attempt < 2 && !moved;
         attempt++) { /* doubled, then exact: see lm_buf_reserve_slow */
        size_t bytes;
        if (attempt == 1) new_cap = count;
        if (__builtin_mul_overflow(new_cap, item_bytes, &bytes)) {
            last_mem_err = lm_fail(LM_E_NOMEM, "out of memory: no %zu items of %zu bytes", new_cap,
                                   item_bytes);
            continue;
        }
        moved = lm_mem_resize(mem, array, *cap * item_bytes, bytes);
    }
    if (!moved) return lm_mem_err();
    memcpy(ptr_to_array, &moved, sizeof moved);
    *cap = new_cap;
    return LM_OK;
}

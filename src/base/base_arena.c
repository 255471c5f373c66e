/**
 * Arenas: chunks of doubling size, cut from the front. Reset goes back to the first chunk and keeps
 * them all.
 *
 * Under AddressSanitizer everything that is not handed out is poisoned and a red zone follows each
 * piece, so that an overrun of one piece into the next and a use after reset are found as they
 * would be with malloc.
 */
#include "base/base_mem.h"

#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#    define ARENA_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define ARENA_ASAN 1
#    endif
#endif

#ifdef ARENA_ASAN
#    include <sanitizer/asan_interface.h>
#    define POISON(ptr, bytes)   ASAN_POISON_MEMORY_REGION(ptr, bytes)
#    define UNPOISON(ptr, bytes) ASAN_UNPOISON_MEMORY_REGION(ptr, bytes)
#    define RED_ZONE             16u
#    define ALIGN_MIN            8u /* one shadow byte of ASan tells about 8 bytes */
#else
#    define POISON(ptr, bytes)   ((void)0)
#    define UNPOISON(ptr, bytes) ((void)0)
#    define RED_ZONE             0u
#    define ALIGN_MIN            1u
#endif

#define CHUNK_BYTES_FIRST 4096u
#define CHUNK_BYTES_MAX   (1024u * 1024u)
#define CHUNK_BYTES_WIDE  (8u * 1024u * 1024u)
#define ARENA_ALIGN_MAX   64u
#define HUGE_PAGE         ((size_t)2 << 20)

struct lm_arena_chunk {
    struct lm_arena_chunk *next;
    size_t cap;  /* bytes behind this header */
    size_t used; /* bytes of cap that are handed out, gaps of alignment included */
    size_t pad;  /* keeps the payload 16-byte aligned */
};

static uint8_t *payload(struct lm_arena_chunk *chunk)
{
    return (uint8_t *)(chunk + 1);
}

void lm_arena_init(lm_arena *arena, lm_mem *mem)
{
    *arena = (lm_arena){.mem = mem};
}

void lm_arena_init_wide(lm_arena *arena, lm_mem *mem)
{
    *arena = (lm_arena){.mem = mem, .is_wide = true};
}

void lm_arena_fini(lm_arena *arena)
{
    struct lm_arena_chunk *chunk = arena->first;
    while (chunk) {
        struct lm_arena_chunk *next = chunk->next;
        UNPOISON(payload(chunk), chunk->cap);
        lm_mem_release(arena->mem, chunk, sizeof *chunk + chunk->cap);
        chunk = next;
    }
    *arena = (lm_arena){.mem = arena->mem, .is_wide = arena->is_wide};
}

size_t lm_arena_held(const lm_arena *arena)
{
    size_t bytes = 0;
    for (const struct lm_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next)
        bytes += sizeof *chunk + chunk->cap;
    return bytes;
}

size_t lm_arena_used(const lm_arena *arena)
{
    size_t bytes = 0;
    for (const struct lm_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next)
        bytes += chunk->used;
    return bytes;
}

void lm_arena_reset(lm_arena *arena)
{
    for (struct lm_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next) {
        chunk->used = 0;
        POISON(payload(chunk), chunk->cap);
        if (chunk == arena->current) break; /* chunks behind the current one are unused */
    }
    arena->current = arena->first;
}

/* Cut a piece from chunk, or NULL if it does not fit. */
static void *cut(struct lm_arena_chunk *chunk, size_t bytes, size_t align)
{
    uintptr_t start = (uintptr_t)payload(chunk) + chunk->used;
    size_t gap = (size_t)(-start & (align - 1));
    size_t left = chunk->cap - chunk->used;
    if (gap > left || bytes > left - gap) return NULL;
    uint8_t *ptr = payload(chunk) + chunk->used + gap;
    chunk->used += gap + bytes;
#ifdef ARENA_ASAN
    size_t zone = chunk->cap - chunk->used;
    chunk->used += zone < RED_ZONE ? zone : RED_ZONE;
    UNPOISON(ptr, bytes);
#endif
    return ptr;
}

/** Large chunks are filled from front to end: fewer, larger pages cost less. A wish; nothing
 * depends on it. */
static void ask_for_huge_pages(void *ptr, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    uintptr_t begin = ((uintptr_t)ptr + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)ptr + bytes) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (end > begin) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)ptr, (void)bytes;
#endif
}

static struct lm_arena_chunk *chunk_new(lm_arena *arena, size_t bytes_min)
{
    size_t first = arena->is_wide ? CHUNK_BYTES_FIRST * 16 : CHUNK_BYTES_FIRST;
    size_t cap = arena->current ? arena->current->cap * 2 : first;
    if (arena->is_wide && arena->current) cap = CHUNK_BYTES_WIDE;
    if (cap > CHUNK_BYTES_MAX && !arena->is_wide) cap = CHUNK_BYTES_MAX;
    cap -= sizeof(struct lm_arena_chunk); /* keeps the whole near a power of two */
    if (cap < bytes_min) cap = bytes_min;
    struct lm_arena_chunk *chunk = lm_mem_alloc(arena->mem, sizeof *chunk + cap);
    if (!chunk) return NULL;
    if (arena->is_wide) ask_for_huge_pages(chunk, cap);
    *chunk = (struct lm_arena_chunk){.cap = cap};
    POISON(payload(chunk), cap);
    return chunk;
}

void *lm_arena_alloc(lm_arena *arena, size_t bytes, size_t align)
{
    LM_DEBUG_ASSERT(align != 0 && (align & (align - 1)) == 0 && align <= ARENA_ALIGN_MAX);
    if (align < ALIGN_MIN) align = ALIGN_MIN;
    if (arena->current) {
        void *ptr = cut(arena->current, bytes, align);
        if (ptr) return ptr;
        /* After a reset the chunks behind are free: take the next one if the piece fits. */
        struct lm_arena_chunk *next = arena->current->next;
        if (next && (ptr = cut(next, bytes, align)) != NULL) {
            arena->current = next;
            return ptr;
        }
    }
    size_t need;
    if (__builtin_add_overflow(
            bytes, (size_t)ARENA_ALIGN_MAX + RED_ZONE + sizeof(struct lm_arena_chunk), &need)) {
        (void)lm_fail(LM_E_NOMEM, "out of memory: no %zu bytes", bytes); /* NULL says it */
        return NULL;
    }
    struct lm_arena_chunk *chunk = chunk_new(arena, need - sizeof *chunk);
    if (!chunk) return NULL;
    if (arena->current) {
        chunk->next = arena->current->next;
        arena->current->next = chunk;
    } else {
        arena->first = chunk;
    }
    arena->current = chunk;
    void *ptr = cut(chunk, bytes, align);
    LM_ASSERT(ptr); /* the chunk was made for it */
    return ptr;
}

void *lm_arena_copy(lm_arena *arena, const void *src, size_t bytes)
{
    uint8_t *ptr = lm_arena_alloc(arena, bytes + 1, 1);
    if (!ptr) return NULL;
    if (bytes) memcpy(ptr, src, bytes);
    ptr[bytes] = 0;
    return ptr;
}

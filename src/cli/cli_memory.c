/** How the C library gets the program's memory from the system. Wishes: where the system or the
 * library does not know them, everything works as well, only slower. */
#include "cli/cli.h"

#include <stdint.h>
#include <string.h>

#ifdef __GLIBC__
#    include <malloc.h>
#    include <sys/mman.h>
#    include <unistd.h>

enum {
    PAGE_LARGE = 2 << 20,
    HEAP_LARGE = 32 << 20, /* what packing at level fast needs, and some more */
    HEAP_BEFORE = 16 << 10 /* of the heap in small pages: used before the wish is told */
};

static uint8_t *heap_large;

/** The heap's end goes to just before a large page, and from there in one step so far that level
 * fast has enough. */
static void begin_large(void)
{
    uintptr_t end = (uintptr_t)sbrk(0) + HEAP_BEFORE;
    size_t gap = -end & (PAGE_LARGE - 1);
    if (sbrk((intptr_t)gap) == (void *)-1) return;
    heap_large = (uint8_t *)end + gap;
    (void)mallopt(M_TOP_PAD, HEAP_LARGE + HEAP_BEFORE);
}
#endif

void cli_memory_keep(const char *command)
{
#ifdef __GLIBC__
    enum { MMAP_ABOVE = 32 << 20, TRIM_ABOVE = 256 << 20, GROW_BY = 2 << 20 };

    enum { DAEMON_ARENAS = 2, DAEMON_MMAP_ABOVE = 1 << 20, DAEMON_TRIM_ABOVE = 4 << 20 };

    /* Runs for months, with bodies of all sizes: here the library keeps little, and the account of
     * what is stored keeps large blocks (lm_mem_keep). */
    if (strcmp(command, "run") == 0) {
        (void)mallopt(M_ARENA_MAX, DAEMON_ARENAS);
        (void)mallopt(M_MMAP_THRESHOLD, DAEMON_MMAP_ABOVE);
        (void)mallopt(M_TRIM_THRESHOLD, DAEMON_TRIM_ABOVE);
        return;
    }
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_ABOVE);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE);
    (void)mallopt(M_TOP_PAD, GROW_BY);
    if (strcmp(command, "pack") == 0) begin_large();
#else
    (void)command;
#endif
}

void cli_memory_large(void)
{
#if defined __GLIBC__ && defined MADV_HUGEPAGE
    if (heap_large && (uint8_t *)sbrk(0) >= heap_large + HEAP_LARGE)
        (void)madvise(heap_large, HEAP_LARGE, MADV_HUGEPAGE);
#endif
}

/** The program: finds the command, takes its arguments apart, runs it. */
#include "cli/cli.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#    include <malloc.h>
#    include <sys/mman.h>
#    include <unistd.h>
#endif

static const struct {
    const char *name;
    cli_command_fn run;
} commands[] = {
    {"pack", cli_pack},
    {"unpack", cli_unpack},
    {"search", cli_search},
    {"templates", cli_templates},
    {"schema", cli_schema},
    {"stats", cli_stats},
    {"verify", cli_verify},
    {"cat", cli_cat},
    {"head", cli_head},
    {"tail", cli_tail},
    {"diff", cli_diff},
    {"ls", cli_ls},
    {"run", cli_run},
    {"config", cli_config},
    {"version", cli_version},
    {"help", cli_help},
    {"completion", cli_completion_command},
};

static cli_command_fn command_run(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) return commands[i].run;
    }
    return NULL;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    cli_args args;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        cli_help_all();
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    if (!name[0]) {
        cli_say("which command? 'logmill --help' lists them");
        return EXIT_USAGE;
    }
    if (name[0] == '-') {
        cli_say("the command comes before options: logmill COMMAND [options]");
        return EXIT_USAGE;
    }
    const cli_row *command = cli_command_find(name);
    if (!command) {
        const char *near = cli_nearest_command(name);
        if (near)
            cli_say("there is no command '%s': did you mean '%s'?", name, near);
        else
            cli_say("there is no command '%s': 'logmill --help' lists them", name);
        return EXIT_USAGE;
    }
    int code = cli_args_parse(command, argc - 2 > 0 ? argc - 2 : 0, argv + 2, &args);
    if (code) return code;
    (void)cli_out_open(&args);
    if (cli_flag(&args, "help")) {
        cli_help_command(command);
        return EXIT_DONE;
    }
    cli_command_fn fn = command_run(command->name);
    assert(fn); /* the table and this list name the same commands */
    return fn(&args);
}

#ifdef __GLIBC__
/** The heap in large pages, before it is first used: a small log is packed in the time that a
 * thousand small ones take to come. A wish; nothing depends on it. */
static void ask_for_large_pages(void)
{
#    ifdef MADV_HUGEPAGE
    enum { PAGE = 2 << 20, HEAP = 32 << 20, BEFORE = 4096 };

    /* a page before the first large one takes what malloc writes before the wish is known */
    uintptr_t end = (uintptr_t)sbrk(0) + BEFORE;
    size_t gap = -end & (PAGE - 1);
    uint8_t *heap = (uint8_t *)end + gap;
    if (sbrk((intptr_t)gap) == (void *)-1) return;
    (void)mallopt(M_TOP_PAD, HEAP);
    void *volatile first = malloc(1);
    free(first);
    if ((uint8_t *)sbrk(0) >= heap + HEAP) (void)madvise(heap, HEAP, MADV_HUGEPAGE);
#    endif
}
#endif

/** Memory that was given back is asked for again with the next segment: glibc keeps it, or a
 * quarter of the time goes into the kernel clearing pages. */
static void keep_memory(const char *command)
{
#ifdef __GLIBC__
    enum { MMAP_ABOVE = 32 << 20, TRIM_ABOVE = 256 << 20, GROW_BY = 2 << 20 };

    enum { DAEMON_ARENAS = 2, DAEMON_MMAP_ABOVE = 1 << 20 };

    if (strcmp(command, "run") == 0) { /* runs for months: what a burst needed goes back */
        (void)mallopt(M_ARENA_MAX, DAEMON_ARENAS);
        (void)mallopt(M_MMAP_THRESHOLD, DAEMON_MMAP_ABOVE);
        return;
    }
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_ABOVE);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE);
    (void)mallopt(M_TOP_PAD, GROW_BY);
    if (strcmp(command, "pack") == 0) ask_for_large_pages();
#else
    (void)command;
#endif
}

int main(int argc, char **argv)
{
    keep_memory(argc > 1 ? argv[1] : "");
    int code = cli_finish(run(argc, argv));
    cli_progress_clear();
    cli_end_if_cancelled();
    return code;
}

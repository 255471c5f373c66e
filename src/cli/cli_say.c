/** Words on standard error, exit codes, Ctrl-C, and the context that the options ask for. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int is_interrupted; /* the signal that came; 0: none */

/* ---- words ---- */

static void put_words(char *text, const char *hint)
{
    (void)cli_rows_flush();
    (void)fflush(stdout); /* data that came before the words is shown before them; failures are seen
                             by cli_finish */
    cli_progress_clear();
    for (char *p = text; *p; p++) {
        /* Names may hold anything; a terminal must not obey it. */
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    (void)fprintf(stderr, "logmill: %s%s\n", text,
                  hint); /* nobody is left to be told if this fails */
}

void cli_say(const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put_words(text, "");
}

int cli_usage(const cli_args *args, const char *fmt, ...)
{
    char text[1024], hint[64] = "";
    va_list list;
    va_start(list, fmt);
    (void)vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    /* A suggestion needs no pointer to the help beside it. */
    if (!strstr(text, "did you mean"))
        (void)snprintf(hint, sizeof hint, " (see 'logmill %s --help')", args->command->name);
    put_words(text, hint);
    return EXIT_USAGE;
}

int cli_exit_of(lm_err err)
{
    switch (err) {
    case LM_ERR_NONE:
        return EXIT_DONE;
    case LM_ERR_USAGE:
        return EXIT_USAGE;
    case LM_ERR_UNSUPPORTED:
    case LM_ERR_CORRUPT:
        return EXIT_DATA;
    case LM_ERR_NOMEM:
    case LM_ERR_LIMIT:
        return EXIT_LIMIT;
    default:
        return EXIT_IO;
    }
}

/** A long query is shown around the place of the trouble only. */
static void show_place(const char *query, uint64_t position)
{
    size_t len = strlen(query);
    size_t at = position < len ? (size_t)position : len;
    size_t from = at > 50 ? at - 50 : 0;
    int width = (int)(len - from < 78 ? len - from : 78);
    char line[80];
    for (int i = 0; i < width; i++) {
        char c = query[from + (size_t)i];
        line[i] = (unsigned char)c < 0x20 ? ' ' : c;
    }
    (void)fprintf(stderr, "    %.*s\n    %*s^\n", width, line, (int)(at - from), "");
}

int cli_fail(const lm_context *context, lm_err err, const char *query)
{
    lm_error last = lm_last_error(context);
    if (err == LM_ERR_CANCELLED) {
        cli_progress_clear();
        return EXIT_IO; /* main ends by the signal */
    }
    bool has_place = query && err == LM_ERR_USAGE && last.position != LM_NO_POSITION;
    if (err == LM_ERR_LIMIT && strstr(last.text, "memory")) {
        cli_say("%s (--memory allows more)", last.text);
    } else if (last.position != LM_NO_POSITION && !has_place && err != LM_ERR_USAGE) {
        cli_say("%s (at byte %llu)", last.text, (unsigned long long)last.position);
    } else {
        cli_say("%s", last.text);
    }
    if (has_place) show_place(query, last.position);
    return cli_exit_of(err);
}

int cli_finish(int code)
{
    (void)cli_rows_flush(); /* a failure is kept */
    int first = cli_out_errno();
    if (fflush(stdout) != 0 && !first) first = errno;
    if (!first && ferror(stdout)) first = EIO; /* inside printf, where the reason is lost */
    if (!first || first == EPIPE) return code;
    cli_say("cannot write to standard output: %s", strerror(first));
    return EXIT_IO;
}

/* ---- Ctrl-C ---- */

static void interrupted(int signal_number)
{
    is_interrupted = signal_number;
}

static void signals_open(void)
{
    /* The second Ctrl-C ends the program at once. */
    struct sigaction action = {.sa_handler = interrupted,
                               .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGXFSZ,
                 SIG_IGN); /* a file that may not grow is a failed write, said and cleaned up */
}

void cli_end_if_cancelled(void)
{
    if (!is_interrupted) return;
    (void)signal(is_interrupted, SIG_DFL);
    (void)raise(is_interrupted);
}

/* ---- the context ---- */

static void noted(void *ctx, lm_note_level level, const char *text)
{
    bool is_quiet = *(const bool *)ctx;
    if (level == LM_NOTE_INFO && is_quiet) return;
    cli_say("%s", text);
}

lm_context *cli_context_new(const cli_args *args)
{
    static bool is_quiet;
    is_quiet = cli_flag(args, "quiet");
    signals_open();
    cli_progress_open(args);
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.note = noted;
    options.note_ctx = &is_quiet;
    options.progress = cli_progress_told;
    options.cancel = &is_interrupted;
    options.memory_bytes = cli_number(args, "memory", 0);
    uint64_t threads = cli_number(args, "threads", 0);
    options.threads = threads > UINT32_MAX ? UINT32_MAX : (uint32_t)threads;
    lm_context *context = NULL;
    lm_err err = lm_context_new(&options, &context);
    if (err) cli_say("%s", lm_last_error(NULL).text);
    return context;
}

bool cli_config_read(const char *path, unsigned slot, const char **out)
{
    static char buffers[2][CLI_CONFIG_MAX + 1];
    *out = NULL;
    if (!path) return true;
    FILE *file = fopen(path, "rb");
    if (!file) {
        cli_say("cannot open '%s': %s", path, strerror(errno));
        return false;
    }
    size_t len = fread(buffers[slot], 1, CLI_CONFIG_MAX + 1, file);
    bool has_failed = ferror(file) != 0;
    (void)fclose(file); /* only read from */
    if (has_failed)
        cli_say("cannot read '%s'", path);
    else if (len > CLI_CONFIG_MAX)
        cli_say("'%s' is larger than %u bytes", path, CLI_CONFIG_MAX);
    else if (memchr(buffers[slot], 0, len))
        cli_say("'%s' is not text", path);
    else {
        buffers[slot][len] = '\0';
        *out = buffers[slot];
        return true;
    }
    return false;
}

/** logmill run */
#include "cli/cli.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LISTEN_MAX 16

static const char *level_name(int level)
{
    return level <= 3 ? "error" : level == 4 ? "warn" : level <= 6 ? "info" : "debug";
}

static void put_text(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const char *p = text; *p; p++) {
        unsigned char byte = (unsigned char)*p;
        if (*p == '"' || *p == '\\')
            (void)fprintf(out, "\\%c", *p);
        else if (byte < 0x20 || byte == 0x7f)
            (void)fprintf(out, "\\u%04x", byte);
        else
            (void)fputc(*p, out);
    }
    (void)fputc('"', out);
}

/** One line of the daemon's own log. Nobody is left to be told when standard error fails. */
static void put_log(void *ctx, int level, const char *room, const char *event, const char *text)
{
    const bool *is_json = ctx;
    struct timespec now;
    struct tm parts;
    char time[40];
    if (level > 6) return; /* debug is for debuggers */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(time + len, sizeof time - len, ".%03ldZ", now.tv_nsec / 1000000);
    flockfile(stderr);
    if (*is_json) {
        (void)fprintf(stderr,
                      "{\"ts\":\"%s\",\"level\":\"%s\",\"room\":\"%s\",\"event\":\"%s\",\"msg\":",
                      time, level_name(level), room, event);
        put_text(stderr, text);
        (void)fputs("}\n", stderr);
    } else {
        (void)fprintf(stderr, "ts=%s level=%s room=%s event=%s msg=", time, level_name(level), room,
                      event);
        put_text(stderr, text);
        (void)fputc('\n', stderr);
    }
    (void)fflush(stderr);
    funlockfile(stderr);
}

/** "a:1,b:2" into its parts; the text is changed. */
static size_t split_listens(char *text, const char **out)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part && count < LISTEN_MAX;
         part = strtok_r(NULL, ",", &rest))
        out[count++] = part;
    return count;
}

static void put_where(lm_daemon *daemon)
{
    const char *first = lm_daemon_address(daemon, 0);
    for (size_t i = 0;; i++) {
        const char *address = lm_daemon_address(daemon, i);
        if (!address) break;
        cli_putf("listening  %s\n", address);
    }
    cli_putf("storing    %s\n", lm_daemon_folder(daemon));
    if (!first || strncmp(first, "http", 4) != 0) return;
    cli_putf("ready      %s/ready\n\n", first);
    cli_putf("  echo '{\"message\":\"hello\",\"app\":\"me\"}' | curl -s --data-binary @- "
             "'%s/logmill/v1/push/jsonline?_stream_fields=app'\n",
             first);
    cli_putf("  curl -sG %s/loki/api/v1/query_range --data-urlencode 'query={app=\"me\"}'\n",
             first);
}

static void wait_signals(lm_daemon *daemon, const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0) continue;
        if (number != SIGHUP) return;
        if (lm_daemon_reload(daemon)) continue; /* the daemon has said why in its log */
    }
}

int cli_run(const cli_args *args)
{
    static char listen_text[1024];
    const char *listens[LISTEN_MAX];
    const char *listen = cli_text(args, "listen"), *format = cli_text(args, "log-format");
    bool is_json = format && strcmp(format, "json") == 0;
    lm_daemon_options options = LM_DAEMON_OPTIONS_INIT;
    lm_context_options inner = LM_CONTEXT_OPTIONS_INIT;
    lm_daemon *daemon = NULL;
    lm_context *context = NULL;
    sigset_t signals;
    if (args->operand_count) return cli_usage(args, "run takes no arguments");
    if (listen) {
        (void)snprintf(listen_text, sizeof listen_text, "%s", listen);
        options.listens = listens;
        options.listen_count = split_listens(listen_text, listens);
        if (!options.listen_count) return cli_usage(args, "--listen needs HOST:PORT");
    }
    options.config_path = cli_text(args, "config");
    options.data_folder = cli_text(args, "data");
    options.log = put_log;
    options.log_ctx = &is_json;
    inner.memory_bytes = UINT64_MAX; /* memory.max of the configuration is the bound */

    /* Every thread made from here on leaves these to us. */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a full disk, not our end */

    lm_err err = lm_context_new(&inner, &context);
    if (err) {
        cli_say("out of memory");
        return EXIT_LIMIT;
    }
    err = lm_daemon_start(context, &options, &daemon);
    int code = EXIT_DONE;
    if (err) {
        code = cli_fail(context, err, NULL);
    } else {
        put_where(daemon);
        (void)cli_rows_flush();
        (void)fflush(stdout); /* told by cli_finish if it failed */
        wait_signals(daemon, &signals);
        lm_daemon_stop(daemon);
    }
    lm_context_free(context);
    return code;
}

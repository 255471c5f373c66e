/** One line on the terminal that tells how far long work is: bytes, rate, ratio so far, time left.
 */
#include "cli/cli.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOW_AFTER_NS 500000000 /* short work shows nothing */
#define SHOW_EVERY_NS 100000000

static struct {
    bool is_wanted;
    bool is_shown;
    int64_t began_ns, shown_ns;
} progress;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail on Linux */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void cli_progress_open(const cli_args *args)
{
    progress.is_wanted = isatty(STDERR_FILENO) == 1 && !cli_flag(args, "quiet");
    progress.is_shown = false;
    progress.began_ns = progress.shown_ns = now_ns();
}

void cli_progress_clear(void)
{
    if (!progress.is_shown) return;
    (void)fputs("\r\033[K", stderr);
    progress.is_shown = false;
}

void cli_progress_told(void *ctx, const lm_progress *now)
{
    (void)ctx;
    int64_t time_ns = now_ns();
    if (!progress.is_wanted || time_ns - progress.began_ns < SHOW_AFTER_NS) return;
    if (progress.is_shown && time_ns - progress.shown_ns < SHOW_EVERY_NS) return;
    progress.shown_ns = time_ns;
    progress.is_shown = true;

    char done[32], total[32], rate[32];
    double seconds = (double)(time_ns - progress.began_ns) / 1e9;
    double per_second = (double)now->bytes_done / seconds;
    (void)fprintf(stderr, "\r\033[K%s", cli_bytes(now->bytes_done, done));
    if (now->bytes_total) {
        (void)fprintf(stderr, " of %s, %u %%", cli_bytes(now->bytes_total, total),
                      (unsigned)(100 * (double)now->bytes_done / (double)now->bytes_total));
    }
    (void)fprintf(stderr, "  %s/s", cli_bytes((uint64_t)per_second, rate));
    if (now->bytes_out && now->bytes_out < now->bytes_done) {
        (void)fprintf(stderr, "  %.1f times smaller",
                      (double)now->bytes_done / (double)now->bytes_out);
    }
    if (now->bytes_total > now->bytes_done && per_second > 0) {
        unsigned left = (unsigned)((double)(now->bytes_total - now->bytes_done) / per_second) + 1;
        (void)fprintf(stderr, "  %u:%02u left", left / 60, left % 60);
    }
    (void)fflush(stderr);
}

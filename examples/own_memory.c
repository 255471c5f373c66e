/*
 * An embedder's view: an allocator of one's own with a limit, no threads, and the text of an
 * archive taken by a callback. Prints the bytes and lines that came, and the most memory that was
 * in use.
 *
 *     own_memory LOG|ARCHIVE
 */
#include <logmill/logmill.h>

#include <stdio.h>
#include <stdlib.h>

struct account {
    size_t used, peak;
};

/* threads is 1 below, so nothing here is called from two threads at once */
static void *account_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    struct account *account = ctx;
    void *grown = realloc(ptr, new_bytes);
    if (!grown) return NULL;
    account->used += new_bytes - old_bytes;
    if (account->used > account->peak) account->peak = account->used;
    return grown;
}

static void account_release(void *ctx, void *ptr, size_t bytes)
{
    struct account *account = ctx;
    account->used -= bytes;
    free(ptr);
}

struct sums {
    size_t bytes, lines;
};

static bool add_up(void *ctx, size_t file_index, lm_text bytes)
{
    struct sums *sums = ctx;
    (void)file_index;
    sums->bytes += bytes.len;
    for (size_t i = 0; i < bytes.len; i++)
        sums->lines += bytes.ptr[i] == '\n';
    return true;
}

int main(int argc, char **argv)
{
    struct account account = {0, 0};
    struct sums sums = {0, 0};
    lm_context *context = NULL;
    lm_view *view = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s LOG|ARCHIVE\n", argv[0]);
        return 2;
    }

    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.resize = account_resize;
    options.release = account_release;
    options.allocator_ctx = &account;
    options.memory_bytes =
        128u << 20; /* more than this: LM_ERR_LIMIT, whatever an archive claims */
    options.threads = 1;
    lm_err err = lm_context_new(&options, &context);
    if (!err) err = lm_view_open(context, argv[1], 0, &view);
    if (!err) err = lm_view_read(view, LM_ALL_FILES, add_up, &sums);
    if (err)
        fprintf(stderr, "%s\n", lm_last_error(context).text);
    else
        printf("%zu bytes, %zu lines, at most %zu KiB of memory\n", sums.bytes, sums.lines,
               account.peak / 1024);

    lm_view_close(view);
    lm_context_free(context);
    if (account.used) fprintf(stderr, "%zu bytes were not given back\n", account.used);
    return err || account.used ? 1 : 0;
}

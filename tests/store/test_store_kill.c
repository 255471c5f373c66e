/* kill -9 at random moments, again and again: what was acknowledged is found, once and unaltered.
 */
#include "store_test.h"
#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 40, BATCH = 20 };

/** The child: puts numbered batches for ever, writes each number to the pipe once it is durable. */
static _Noreturn void child(const char *folder, int pipe_fd, uint64_t next)
{
    lm_mem *mem = NULL;
    lm_store *store = NULL;
    lm_store_options options = {.folder = folder, .head_bytes = 20 << 10, .mill_cpu_percent = 100};
    if (lm_mem_new(NULL, 0, &mem) || lm_store_open(mem, &options, &store)) _exit(3);
    lm_record_batch batch;
    lm_record_batch_init(&batch, mem);
    for (;; next++) {
        char lines[BATCH][80], value[24];
        lm_record_batch_reset(&batch);
        const char *const texts[] = {"app", next % 3 ? "a" : "b", NULL};
        uint32_t stream = stream_of_labels(&batch, texts);
        for (int i = 0; i < BATCH; i++) {
            int len = snprintf(lines[i], sizeof lines[i], "batch %llu line %d of some text",
                               (unsigned long long)next, i);
            if (lm_record_batch_add(&batch, stream, (int64_t)next * 1000 + i,
                                    (lm_str){(uint8_t *)lines[i], (size_t)len},
                                    (lm_labels){NULL, 0}))
                _exit(4);
        }
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)next);
        lm_checkpoint checkpoint = {LM_STR("source"), lm_str_of(value)};
        if (put_wait(store, "t", &batch, &checkpoint, 1)) _exit(5);
        if (write(pipe_fd, &next, sizeof next) != (ssize_t)sizeof next) _exit(6);
    }
}

typedef struct tally {
    uint8_t *seen; /* lines of each batch */
    uint64_t cap, top;
} tally;

static bool told(void *ctx, const lm_stream *stream, const lm_record *record)
{
    tally *t = ctx;
    unsigned long long batch = 0;
    int line = 0;
    char text[100];
    (void)stream;
    assert_true(record->line.len < sizeof text);
    memcpy(text, record->line.ptr, record->line.len);
    text[record->line.len] = 0;
    assert_int_equal(sscanf(text, "batch %llu line %d of some text", &batch, &line), 2);
    assert_int_equal(record->time_ns, (int64_t)batch * 1000 + line);
    assert_true(batch < t->cap);
    t->seen[batch]++;
    if (batch > t->top) t->top = batch;
    return true;
}

static void nothing_is_lost(void **ctx)
{
    char folder[200];
    (void)ctx;
    make_folder(folder, sizeof folder);
    lm_test_rng rng = lm_test_rng_make("store_kill");
    uint64_t acknowledged = 0, next = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            child(folder, fds[1], next);
        }
        close(fds[1]);
        usleep((useconds_t)(2000 + lm_test_below(&rng, 120000)));
        kill(pid, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* it had not given up by itself */
        uint64_t number;
        while (read(fds[0], &number, sizeof number) == (ssize_t)sizeof number)
            acknowledged = number + 1;
        close(fds[0]);

        lm_mem *mem = NULL;
        lm_store *store = NULL;
        lm_store_options options = {.folder = folder, .head_bytes = 20 << 10};
        assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
        assert_int_equal(lm_store_open(mem, &options, &store), LM_OK);
        tally t = {.cap = acknowledged + 1000};
        t.seen = calloc(t.cap, 1);
        lm_select what = {.tenant = LM_STR("t"), .time_min = INT64_MIN, .time_max = INT64_MAX};
        lm_store_face face = lm_store_face_of(store);
        assert_int_equal(face.select(face.self, &what, told, &t), LM_OK);
        for (uint64_t i = 0; i < t.cap; i++) {
            if (i < acknowledged) assert_int_equal(t.seen[i], BATCH);
            assert_true(t.seen[i] == 0 || t.seen[i] == BATCH); /* whole batches, once */
        }
        /* The source's position says exactly which batches are in. */
        lm_buf value;
        lm_buf_init(&value, mem);
        lm_sink sink = lm_store_sink(store);
        lm_err err = sink.checkpoint(sink.self, LM_STR("source"), &value);
        if (acknowledged) assert_int_equal(err, LM_OK);
        if (!err) {
            assert_int_equal(lm_buf_u8(&value, 0), LM_OK);
            next = strtoull((const char *)value.ptr, NULL, 10) + 1;
            assert_int_equal(next, t.top + 1);
        }
        lm_buf_fini(&value);
        free(t.seen);
        lm_store_close(store);
        lm_mem_free(mem);
    }
    print_message("%llu batches were acknowledged\n", (unsigned long long)acknowledged);
    assert_true(acknowledged > 0);
    remove_tree(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

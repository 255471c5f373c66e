/* Packings that follow one another and keep what they learned: every archive comes back byte for
 * byte, also when the lines under a name become others, and is hardly larger than one packed alone.
 */
#include "archive/archive_priv.h"
#include "archive_test.h"

enum { LINES = 14000, SEGMENT_BYTES = 1200 << 10 }; /* texts that are short learn nothing */

typedef struct fixture {
    char folder[256], log[300], out[300];
    lm_pool *pool;
    lm_mem *mem;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    lm_test_folder_make(f->folder);
    snprintf(f->log, sizeof f->log, "%s/in.log", f->folder);
    snprintf(f->out, sizeof f->out, "%s/out.lm", f->folder);
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    assert_int_equal(lm_pool_new(f->mem, 2, &f->pool), LM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lm_pool_free(f->pool);
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
    lm_test_folder_remove(f->folder);
    free(f);
    return 0;
}

static lm_err pack(fixture *f, lm_mem *mem, lm_pack_kept *kept, lm_level level, size_t *out_bytes)
{
    const char *paths[] = {f->log};
    lm_pack_report report;
    lm_pack_options options = {.level = level, .segment_bytes = SEGMENT_BYTES, .kept = kept};
    lm_pool *pool = mem == f->mem ? f->pool : NULL; /* allocators that fail have one thread */
    lm_err err = lm_archive_pack(mem, pool, paths, 1, &options, f->out, NULL, NULL, &report);
    if (!err) *out_bytes = report.bytes_out;
    return err;
}

static void check(fixture *f, const text *input)
{
    lm_archive *archive = NULL;
    unpacked got;
    assert_int_equal(lm_archive_open(f->mem, f->out, false, &archive), LM_OK);
    assert_int_equal(unpack_all(archive, &got), LM_OK);
    assert_int_equal(got.files[0].len, input->len);
    assert_memory_equal(got.files[0].ptr, input->ptr, input->len);
    unpacked_free(&got);
    lm_archive_close(archive);
}

/* Alone and then as one of a row; the second may be so many percent larger. */
static void pack_both(fixture *f, lm_pack_kept *kept, lm_level level, const text *input,
                      unsigned percent)
{
    size_t alone = 0, in_row = 0;
    file_write(f->log, input->ptr, input->len);
    if (pack(f, f->mem, NULL, level, &alone)) fail_msg("pack: %s", lm_err_text());
    if (pack(f, f->mem, kept, level, &in_row)) fail_msg("pack: %s", lm_err_text());
    check(f, input);
    if (in_row * 100 > alone * (100 + percent)) fail_msg("%zu bytes, alone %zu", in_row, alone);
}

static void test_in_a_row(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("in a row");
    lm_pack_kept *kept = NULL;
    assert_int_equal(lm_pack_kept_new(f->mem, &kept), LM_OK);
    for (unsigned kind = 0; kind <= LOG_KINDS; kind++) {
        for (unsigned i = 0; i < 3; i++) {
            text input = {0};
            put_log(&input, &rng, kind, LINES);
            pack_both(f, kept, i == 2 ? LM_LEVEL_DEFAULT : LM_LEVEL_FAST, &input, 2);
            text_free(&input);
        }
    }
    lm_pack_kept_clear(kept);
    text again = {0};
    put_log(&again, &rng, LOG_JSON, LINES);
    pack_both(f, kept, LM_LEVEL_FAST, &again, 2);
    text_free(&again);
    lm_pack_kept_free(kept);
}

/* Words that vary are found in the middle of what was known, and quotations turn out otherwise. */
static void test_other_lines(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("other lines");
    lm_pack_kept *kept = NULL;
    assert_int_equal(lm_pack_kept_new(f->mem, &kept), LM_OK);
    for (unsigned i = 0; i < 4; i++) {
        text input = {0};
        for (unsigned line = 0; line < LINES; line++) {
            unsigned free_word = (unsigned)lm_test_random(&rng);
            put(&input, "2026-11-23T13:%02u:%02uZ level=info msg=\"user %s%x %s\" took=%u.%02u\n",
                line / 60 % 60, line % 60, i & 1 ? "u" : "", i & 1 ? free_word : line % 7,
                i & 2 ? "came in at the door and left" : "was here", line % 30, line % 100);
        }
        for (unsigned line = 0; i & 1 && line < LINES / 2; line++)
            put(&input, "Nov 23 13:%02u:%02u host status installed %c%c%c%clib:amd64 again\n",
                line / 60 % 60, line % 60, 'a' + below(&rng, 26), 'a' + below(&rng, 26),
                'a' + below(&rng, 26), 'a' + below(&rng, 26));
        pack_both(f, kept, LM_LEVEL_FAST, &input, 5);
        text_free(&input);
    }
    lm_pack_kept_free(kept);
}

/* Memory runs out in the middle: then the next packing is as good as any. */
static void test_no_memory(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("no memory");
    text input = {0};
    put_log(&input, &rng, LOG_JSON, LINES);
    file_write(f->log, input.ptr, input.len);
    unsigned failures = 0;
    bool is_over = false;
    for (uint64_t fail_at = 1; !is_over; fail_at += 1 + fail_at / 8) {
        lm_test_allocator alloc = {.fail_at = 0};
        lm_allocator table = lm_test_allocator_table(&alloc);
        lm_mem *mem = NULL;
        lm_pack_kept *kept = NULL;
        size_t bytes = 0, first = 0;
        assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
        assert_int_equal(lm_pack_kept_new(mem, &kept), LM_OK);
        assert_int_equal(pack(f, mem, kept, LM_LEVEL_FAST, &first), LM_OK);
        alloc.requests = 0;
        alloc.fail_at = fail_at;
        failures += pack(f, mem, kept, LM_LEVEL_FAST, &bytes) == LM_E_NOMEM;
        is_over = alloc.requests < fail_at;
        alloc.fail_at = 0;
        assert_int_equal(pack(f, mem, kept, LM_LEVEL_FAST, &bytes), LM_OK);
        check(f, &input);
        lm_pack_kept_free(kept);
        assert_int_equal(lm_mem_used(mem), 0);
        lm_mem_free(mem);
        assert_int_equal(alloc.bytes_out, 0);
    }
    assert_true(failures > 5);
    text_free(&input);
}

/* Fails the second request for as many bytes as the second request of all was for: room that is
 * taken once more when a text is looked through again. */
typedef struct twice {
    unsigned requests, alike;
    size_t bytes;
    bool is_armed, has_failed;
} twice;

static void *twice_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    twice *t = ctx;
    (void)old_bytes;
    if (t->is_armed && ++t->requests == 2) t->bytes = new_bytes;
    if (t->is_armed && t->requests > 1 && new_bytes == t->bytes && ++t->alike == 2) {
        t->has_failed = true;
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

static void twice_release(void *ctx, void *ptr, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(ptr);
}

/* The same between the two looks at a text, when nothing of the first is left. */
static void test_no_memory_for_another_look(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("no memory for another look");
    text input = {0};
    put_log(&input, &rng, LOG_NAMES, 2 * LINES);
    size_t len = input.len;
    for (unsigned i = 0; i < LM_TEXT_PADDING; i++)
        text_put(&input, "", 1);
    twice t = {.is_armed = false};
    lm_allocator table = {twice_resize, twice_release, &t};
    lm_mem *mem = NULL;
    lm_ways *ways = NULL;
    lm_parsed *parsed = NULL;
    assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
    t.is_armed = true;
    lm_err err =
        lm_parsed_make(mem, (const uint8_t *)input.ptr, len, LM_LEVEL_FAST, &ways, &parsed);
    assert_int_equal(err, LM_E_NOMEM);
    assert_true(t.has_failed);
    assert_null(ways);
    t.is_armed = false;
    err = lm_parsed_make(mem, (const uint8_t *)input.ptr, len, LM_LEVEL_FAST, &ways, &parsed);
    assert_int_equal(err, LM_OK);
    lm_parsed_free(parsed);
    lm_ways_free(mem, ways);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    text_free(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test(test_no_memory_for_another_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

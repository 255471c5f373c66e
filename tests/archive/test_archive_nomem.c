/* Memory runs out at any request: packing, opening and unpacking say so, give back what they had,
 * and leave no half file. */
#include "archive_test.h"

#include <dirent.h>

typedef struct fixture {
    char folder[256], log[300], other[300], out[300];
    text inputs[2];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    lm_test_folder_make(f->folder);
    lm_test_rng rng = lm_test_rng_make("out of memory");
    put_log(&f->inputs[0], &rng, LOG_SYSLOG, 300);
    put_log(&f->inputs[1], &rng, LOG_JSON, 15);
    snprintf(f->log, sizeof f->log, "%s/a.log", f->folder);
    snprintf(f->other, sizeof f->other, "%s/b.log", f->folder);
    snprintf(f->out, sizeof f->out, "%s/out.lm", f->folder);
    file_write(f->log, f->inputs[0].ptr, f->inputs[0].len);
    file_write(f->other, f->inputs[1].ptr, f->inputs[1].len);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 2; i++)
        text_free(&f->inputs[i]);
    lm_test_folder_remove(f->folder);
    free(f);
    return 0;
}

static unsigned files_in(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

/* Each of the first requests fails, then ever fewer of the later ones, which are much the same. */
static uint64_t next_failure(uint64_t at)
{
    return at + 1 + at / 100;
}

static lm_err pack_at(fixture *f, lm_mem *mem, lm_level level)
{
    const char *paths[] = {f->log, f->other};
    lm_pack_options options = {.level = level, .segment_bytes = 16000};
    lm_pack_report report;
    return lm_archive_pack(mem, NULL, paths, 2, &options, f->out, NULL, NULL, &report);
}

static lm_err pack(fixture *f, lm_mem *mem)
{
    return pack_at(f, mem, LM_LEVEL_FAST);
}

/* Every single request: of a log of few lines. */
static void test_packing_little(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("out of memory at each request");
    text little = {NULL, 0, 0};
    put_log(&little, &rng, LOG_APP, 15);
    put_log(&little, &rng, LOG_NAMES, 15);
    file_write(f->log, little.ptr, little.len);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_DEFAULT; level++) {
        LM_TEST_EACH_ALLOCATION_FAILS(mem, pack_at(f, mem, level));
        assert_int_equal(remove(f->out), 0);
        assert_int_equal(files_in(f->folder), 2);
    }
    text_free(&little);
    file_write(f->log, f->inputs[0].ptr, f->inputs[0].len);
}

static void test_packing(void **state)
{
    fixture *f = *state;
    uint64_t failures = 0;
    for (uint64_t fail_at = 1;; fail_at = next_failure(fail_at)) {
        lm_test_allocator alloc = {.fail_at = 0};
        lm_allocator table = lm_test_allocator_table(&alloc);
        lm_mem *mem = NULL;
        assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
        alloc.requests = 0;
        alloc.fail_at = fail_at;
        lm_err err = pack(f, mem);
        assert_int_equal(lm_mem_used(mem), 0);
        lm_mem_free(mem);
        assert_int_equal(alloc.bytes_out, 0);
        if (err) {
            assert_int_equal(err, LM_E_NOMEM);
            assert_int_equal(files_in(f->folder), 2); /* neither the archive nor a part of it */
            failures++;
        } else {
            assert_int_equal(files_in(f->folder), 3);
            assert_int_equal(remove(f->out), 0);
        }
        if (alloc.requests < fail_at) {
            assert_int_equal(err, LM_OK);
            break;
        }
    }
    assert_true(failures > 100);
}

/* What is left of a salvaged archive is served with an error: that its end is lost. */
static lm_err but_lost(const lm_archive *archive, lm_err err)
{
    return err == LM_E_CORRUPT && lm_archive_lost(archive) ? LM_OK : err;
}

static lm_err open_and_read(fixture *f, lm_mem *mem, bool is_salvage)
{
    lm_archive *archive = NULL;
    lm_err err = lm_archive_open(mem, f->out, is_salvage, &archive);
    if (err) return err;
    unpacked got;
    err = but_lost(archive, unpack_all(archive, &got));
    for (size_t i = 0; !err && i < 2; i++) {
        assert_int_equal(got.files[i].len, f->inputs[i].len);
        assert_memory_equal(got.files[i].ptr, f->inputs[i].ptr, f->inputs[i].len);
    }
    unpacked_free(&got);
    if (!err) err = but_lost(archive, lm_archive_verify(archive, NULL, NULL, NULL));
    if (!err) err = lm_archive_templates_count(archive, NULL, NULL);
    for (size_t i = 0; !err && i < lm_archive_segment_count(archive); i++) {
        lm_segment *segment = NULL;
        const int64_t *times;
        const uint64_t *continues;
        lm_str pool;
        err = lm_segment_open(archive, i, &segment);
        if (!err) err = lm_segment_times(segment, &times);
        if (!err) err = lm_segment_continuations(segment, &continues);
        if (!err && !lm_segment_is_raw(segment)) err = lm_segment_pool(segment, &pool);
        lm_segment_close(segment);
    }
    lm_archive_close(archive);
    return err;
}

static void check_reading(fixture *f, bool is_salvage)
{
    uint64_t failures = 0;
    for (uint64_t fail_at = 1;; fail_at = next_failure(fail_at)) {
        lm_test_allocator alloc = {.fail_at = 0};
        lm_allocator table = lm_test_allocator_table(&alloc);
        lm_mem *mem = NULL;
        assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
        alloc.requests = 0;
        alloc.fail_at = fail_at;
        lm_err err = open_and_read(f, mem, is_salvage);
        assert_int_equal(lm_mem_used(mem), 0);
        lm_mem_free(mem);
        assert_int_equal(alloc.bytes_out, 0);
        if (err) assert_int_equal(err, LM_E_NOMEM);
        failures += err != LM_OK;
        if (alloc.requests < fail_at) {
            assert_int_equal(err, LM_OK);
            break;
        }
    }
    assert_true(failures > 50);
}

static void test_reading(void **state)
{
    fixture *f = *state;
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(pack(f, mem), LM_OK);
    lm_mem_free(mem);
    check_reading(f, false);
    text bytes = file_read(f->out);
    file_write(f->out, bytes.ptr, bytes.len - 10); /* without its end: salvaged */
    check_reading(f, true);
    text_free(&bytes);
    assert_int_equal(remove(f->out), 0);
}

enum { LONG_ROWS = 40000, ASKED = 3 };

/** A few rows of a long segment, of whose columns parts are decoded then. */
static lm_err few_rows(lm_segment *segment, lm_buf *out)
{
    static const uint32_t rows[ASKED] = {5, LONG_ROWS / 2, LONG_ROWS - 1};
    out->len = 0;
    return lm_segment_text_of(segment, rows, ASKED, out, NULL);
}

/* Want of memory is no damage: what failed for it goes well when there is some again. */
static void test_few_rows(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("few rows");
    static const char *const names[] = {"ann", "bob", "eve", "mallory", "peggy"};
    text log = {NULL, 0, 0}, expected = {NULL, 0, 0};
    for (unsigned i = 0; i < LONG_ROWS; i++) {
        size_t begin = log.len;
        put(&log, "user %s took %u us in room %s\n", names[below(&rng, 5)], below(&rng, 90000),
            names[below(&rng, 5)]);
        if (i == 5 || i == LONG_ROWS / 2 || i == LONG_ROWS - 1)
            text_put(&expected, log.ptr + begin, log.len - begin);
    }
    file_write(f->log, log.ptr, log.len);
    lm_mem *mem = NULL;
    lm_pack_report report;
    const char *paths[] = {f->log};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_archive_pack(mem, NULL, paths, 1,
                                     &(lm_pack_options){.level = LM_LEVEL_DEFAULT}, f->out, NULL,
                                     NULL, &report),
                     LM_OK);
    lm_mem_free(mem);
    assert_int_equal(report.segments, 1);
    unsigned failures = 0;
    for (uint64_t fail_at = 1;; fail_at++) {
        lm_test_allocator alloc = {.fail_at = 0};
        lm_allocator table = lm_test_allocator_table(&alloc);
        lm_archive *archive = NULL;
        lm_segment *segment = NULL;
        lm_buf out;
        assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
        lm_buf_init(&out, mem);
        assert_int_equal(lm_archive_open(mem, f->out, false, &archive), LM_OK);
        assert_int_equal(lm_segment_open(archive, 0, &segment), LM_OK);
        alloc.requests = 0;
        alloc.fail_at = fail_at;
        lm_err err = few_rows(segment, &out);
        bool is_last = alloc.requests < fail_at;
        if (err) {
            assert_int_equal(err, LM_E_NOMEM);
            assert_int_equal(few_rows(segment, &out), LM_OK);
            failures++;
        }
        assert_int_equal(out.len, expected.len);
        assert_memory_equal(out.ptr, expected.ptr, expected.len);
        lm_buf_fini(&out);
        lm_segment_close(segment);
        lm_archive_close(archive);
        assert_int_equal(lm_mem_used(mem), 0);
        lm_mem_free(mem);
        assert_int_equal(alloc.bytes_out, 0);
        if (is_last) break;
    }
    assert_true(failures > 5);
    assert_int_equal(remove(f->out), 0);
    file_write(f->log, f->inputs[0].ptr, f->inputs[0].len);
    text_free(&log);
    text_free(&expected);
}

/* A limit instead of a failure: the text of the error says so. */
static void test_a_limit_is_told(void **state)
{
    fixture *f = *state;
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 200000, &mem), LM_OK);
    assert_int_equal(pack(f, mem), LM_E_LIMIT);
    assert_int_equal(lm_mem_used(mem), 0);
    assert_true(lm_mem_peak(mem) <= 200000);
    assert_int_equal(files_in(f->folder), 2);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),         cmocka_unit_test(test_packing_little),
        cmocka_unit_test(test_reading),         cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_a_limit_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/** base_io.c, base_outfile.c: files are whole or not there; failures name the path and leave
 * nothing behind. */
#include "lm_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char folder[256];
static lm_mem *mem;

static int setup(void **state)
{
    (void)state;
    lm_test_folder_make(folder);
    return lm_mem_new(NULL, 0, &mem);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    lm_test_folder_remove(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static size_t entry_count(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *e; (e = readdir(dir));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static void write_file(const char *path, const char *text)
{
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, path, &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, text, strlen(text)), LM_OK);
    assert_int_equal(lm_outfile_commit(file), LM_OK);
    lm_outfile_free(file);
}

static void assert_content(const char *path, const void *want, size_t len)
{
    lm_map map;
    assert_int_equal(lm_map_open(path, &map), LM_OK);
    assert_int_equal(map.len, len);
    assert_memory_equal(map.ptr, want, len);
    lm_map_close(&map);
}

static void appears_only_with_commit(void **state)
{
    (void)state;
    const char *path = in_folder("a.lm");
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, path, &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, "hello", 5), LM_OK);
    assert_int_equal(lm_outfile_offset(file), 5);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(lm_outfile_commit(file), LM_OK);
    assert_int_equal(access(path, F_OK), 0);
    lm_outfile_free(file);
    assert_int_equal(entry_count(), 1);
    assert_content(path, "hello", 5);
}

static void without_commit_nothing_is_left(void **state)
{
    (void)state;
    write_file(in_folder("a.lm"), "old");
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, in_folder("a.lm"), &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, "new", 3), LM_OK);
    lm_outfile_free(file);
    lm_outfile_free(NULL);
    assert_int_equal(entry_count(), 1);
    assert_content(in_folder("a.lm"), "old", 3);
}

static void large_and_small_writes_keep_their_order(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("writes");
    size_t len = 3000000, at = 0;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)lm_test_random(&rng);
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, in_folder("b"), &file), LM_OK);
    while (at < len) {
        size_t step =
            lm_test_below(&rng, 4) ? lm_test_below(&rng, 5000) : lm_test_below(&rng, 600000);
        if (step > len - at) step = len - at;
        assert_int_equal(lm_outfile_write(file, bytes + at, step), LM_OK);
        at += step;
        assert_int_equal(lm_outfile_offset(file), at);
    }
    assert_int_equal(lm_outfile_commit(file), LM_OK);
    lm_outfile_free(file);
    assert_content(in_folder("b"), bytes, len);
    free(bytes);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    write_file(in_folder("a.lm"), "old");
    /* The limit on file sizes stands in for a full disk: write(2) fails in the same way. */
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static const uint8_t zeros[400000];
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, in_folder("a.lm"), &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, zeros, sizeof zeros), LM_E_IO);
    assert_non_null(strstr(lm_err_text(), "a.lm"));
    lm_outfile_free(file);
    /* A small file fails no earlier than at its commit. */
    small.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(lm_outfile_new(mem, in_folder("a.lm"), &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, zeros, 100), LM_OK);
    assert_int_equal(lm_outfile_commit(file), LM_E_IO);
    lm_outfile_free(file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(entry_count(), 1);
    assert_content(in_folder("a.lm"), "old", 3);
}

static void devices_and_links_are_kept(void **state)
{
    (void)state;
    lm_outfile *file;
    assert_int_equal(lm_outfile_new(mem, "/dev/null", &file), LM_OK);
    assert_int_equal(lm_outfile_write(file, "x", 1), LM_OK);
    assert_int_equal(lm_outfile_commit(file), LM_OK);
    lm_outfile_free(file);
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));

    write_file(in_folder("real"), "1");
    assert_int_equal(chmod(in_folder("real"), 0600), 0);
    assert_int_equal(symlink("real", in_folder("link")), 0);
    write_file(in_folder("link"), "22");
    assert_int_equal(lstat(in_folder("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_content(in_folder("real"), "22", 2);
    assert_int_equal(stat(in_folder("real"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* what was private stays private */
}

static void failures_say_which_path(void **state)
{
    (void)state;
    lm_outfile *file = NULL;
    lm_map map;
    lm_file_info info;
    lm_buf buf;
    lm_buf_init(&buf, mem);
    assert_int_equal(lm_map_open(in_folder("none"), &map), LM_E_NOTFOUND);
    assert_non_null(strstr(lm_err_text(), "none"));
    assert_int_equal(lm_map_open(folder, &map), LM_E_IO);
    assert_int_equal(lm_file_info_get(in_folder("none"), &info), LM_E_NOTFOUND);
    assert_int_equal(lm_file_read_all(in_folder("none"), 10, &buf), LM_E_NOTFOUND);
    assert_int_equal(lm_file_read_all(folder, 10, &buf), LM_E_IO);
    assert_int_equal(lm_outfile_new(mem, folder, &file), LM_E_IO);
    assert_int_equal(lm_outfile_new(mem, in_folder("none/x"), &file), LM_E_IO);
    assert_null(file);
    lm_buf_fini(&buf);
}

static void reads_whole_files_up_to_a_limit(void **state)
{
    (void)state;
    write_file(in_folder("ten"), "0123456789");
    lm_buf buf;
    lm_buf_init(&buf, mem);
    assert_int_equal(lm_buf_append(&buf, "<", 1), LM_OK);
    assert_int_equal(lm_file_read_all(in_folder("ten"), 9, &buf), LM_E_LIMIT);
    assert_int_equal(buf.len, 1); /* as it was */
    assert_int_equal(lm_file_read_all(in_folder("ten"), 10, &buf), LM_OK);
    assert_int_equal(buf.len, 11);
    assert_memory_equal(buf.ptr, "<0123456789", 11);
    buf.len = 0;
    assert_int_equal(lm_file_read_all("/proc/self/status", 1 << 20, &buf),
                     LM_OK); /* a file without a size */
    assert_true(buf.len > 100);
    buf.len = 0;
    write_file(in_folder("empty"), "");
    assert_int_equal(lm_file_read_all(in_folder("empty"), 0, &buf), LM_OK);
    assert_int_equal(buf.len, 0);
    lm_buf_fini(&buf);
    assert_content(in_folder("empty"), "", 0);
}

static void makes_folders_with_their_parents(void **state)
{
    (void)state;
    lm_file_info info;
    assert_int_equal(lm_folder_make(in_folder("a/b//c/")), LM_OK);
    assert_int_equal(lm_folder_make(in_folder("a/b/c")), LM_OK);
    assert_int_equal(lm_file_info_get(in_folder("a/b/c"), &info), LM_OK);
    assert_true(info.is_folder);
    assert_false(info.is_regular);
    write_file(in_folder("file"), "12345");
    assert_int_equal(lm_folder_make(in_folder("file/d")), LM_E_IO);
    assert_int_equal(lm_folder_make(in_folder("file")), LM_E_IO);
    assert_int_equal(lm_file_info_get(in_folder("file"), &info), LM_OK);
    assert_true(info.is_regular);
    assert_int_equal(info.bytes, 5);
    assert_true(info.mtime_ns > (int64_t)1500000000 * 1000000000);
}

static lm_err write_with(lm_mem *m)
{
    lm_outfile *file;
    lm_err err = lm_outfile_new(m, in_folder("x"), &file);
    if (err) return err;
    err = lm_outfile_write(file, "x", 1);
    if (!err) err = lm_outfile_commit(file);
    lm_outfile_free(file);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(m, write_with(m))
    assert_int_equal(entry_count(), 1);
}

static void clocks_go_forward(void **state)
{
    (void)state;
    uint64_t a = lm_clock_ns(), b = lm_clock_cpu_ns();
    assert_true(lm_clock_ns() >= a);
    assert_true(lm_clock_cpu_ns() >= b);
    assert_int_equal(lm_clock_ns_of(1795451553, 7), INT64_C(1795451553000000007));
    assert_int_equal(lm_clock_ns_of(-1, 999999999), -1);
    assert_int_equal(lm_clock_ns_of(INT64_C(10413792000), 1), INT64_MAX - 1); /* in 2300 */
    assert_int_equal(lm_clock_ns_of(INT64_C(9223372036), 999999999), INT64_MAX - 1);
    assert_int_equal(lm_clock_ns_of(INT64_MIN, 0), INT64_MIN + 1);
    assert_true(lm_clock_wall_ns() > (int64_t)1500000000 * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(appears_only_with_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(without_commit_nothing_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(large_and_small_writes_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_and_links_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_say_which_path, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_whole_files_up_to_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(makes_folders_with_their_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(each_failed_allocation_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(clocks_go_forward, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

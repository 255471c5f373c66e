/** ingest_list.c: which files a command line means. */
#include "lm_test.h"

#include "ingest/ingest.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

typedef struct fixture {
    lm_mem *mem;
    char folder[256];
} fixture;

static void make_file(const fixture *f, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

static void make_folder(const fixture *f, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const fixture *f, const char *target, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    lm_test_folder_make(f->folder);
    make_file(f, "b.log");
    make_file(f, "a.log");
    make_file(f, "B.log");
    make_file(f, ".hidden.log");
    make_folder(f, "a");
    make_file(f, "a/2.log");
    make_file(f, "a/10.log");
    make_folder(f, "a/deep");
    make_file(f, "a/deep/x y\n.log");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
    lm_test_folder_remove(f->folder);
    free(f);
    return 0;
}

static void expect(fixture *f, const char *given, const char *const *names, size_t count)
{
    const char *paths[] = {given};
    lm_file_list list = {0};
    assert_int_equal(lm_file_list_make(f->mem, paths, 1, &list), LM_OK);
    for (size_t i = 0; i < list.count && i < count; i++) {
        const char *name = list.paths[i];
        assert_true(strncmp(name, f->folder, strlen(f->folder)) == 0);
        assert_string_equal(name + strlen(f->folder) + 1, names[i]);
    }
    assert_int_equal(list.count, count);
    lm_file_list_fini(&list);
}

static const char *const all[] = {".hidden.log",      "B.log", "a/10.log", "a/2.log",
                                  "a/deep/x y\n.log", "a.log", "b.log"};

static void folders_are_walked_in_the_order_of_names(void **state)
{
    fixture *f = *state;
    expect(f, f->folder, all, 7);
    char with_slash[300];
    snprintf(with_slash, sizeof with_slash, "%s/", f->folder);
    expect(f, with_slash, all, 7); /* no double slash */
}

static void links_in_a_circle_end(void **state)
{
    fixture *f = *state;
    make_link(f, "..", "a/deep/up");
    make_link(f, ".", "a/self");
    make_link(f, "nowhere", "a/dead");
    expect(f, f->folder, all, 7);
    make_link(f, "a/2.log", "c.log"); /* a link to a file is a file */
    const char *with_link[8];
    memcpy(with_link, all, sizeof all);
    with_link[7] = "c.log";
    expect(f, f->folder, with_link, 8);
    /* nor does one folder's list hold what lies beside it, by way of a link up */
    char inner[300];
    static const char *const deep[] = {"a/deep/x y\n.log"};
    make_link(f, "../..", "a/deep/above");
    snprintf(inner, sizeof inner, "%s/a/deep", f->folder);
    expect(f, inner, deep, 1);
}

static void what_is_no_file_is_left_out(void **state)
{
    fixture *f = *state;
    char path[300];
    snprintf(path, sizeof path, "%s/pipe", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(f->folder) + 6 < sizeof address.sun_path) {
        snprintf(address.sun_path, sizeof address.sun_path, "%.*s/sock", 90, f->folder);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            const char *sock[] = {address.sun_path};
            lm_file_list list = {0};
            assert_int_equal(lm_file_list_make(f->mem, sock, 1, &list), LM_E_IO);
        }
        if (fd >= 0) close(fd);
    }
    expect(f, f->folder, all, 7);
    const char *given[] = {path}; /* by name a pipe is read, as from <(...) */
    lm_file_list list = {0};
    assert_int_equal(lm_file_list_make(f->mem, given, 1, &list), LM_OK);
    assert_int_equal(list.count, 1);
    lm_file_list_fini(&list);
}

static void names_are_kept_as_given(void **state)
{
    fixture *f = *state;
    char path[300];
    snprintf(path, sizeof path, "%s/b.log", f->folder);
    const char *given[] = {"-", path, path};
    lm_file_list list = {0};
    assert_int_equal(lm_file_list_make(f->mem, given, 3, &list), LM_OK);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.paths[0], "-");
    assert_string_equal(list.paths[1], path);
    assert_string_equal(list.paths[2], path);
    lm_file_list_fini(&list);
    const char *missing[] = {path, "/no/such/file"};
    assert_int_equal(lm_file_list_make(f->mem, missing, 2, &list), LM_E_NOTFOUND);
    assert_non_null(strstr(lm_err_text(), "/no/such/file"));
    assert_int_equal(list.count, 0);
    const char *empty[] = {""};
    assert_int_equal(lm_file_list_make(f->mem, empty, 1, &list), LM_E_USAGE);
    assert_int_equal(lm_file_list_make(f->mem, empty, 0, &list), LM_OK);
    assert_int_equal(list.count, 0);
    lm_file_list_fini(&list);
}

static lm_err list_once(lm_mem *mem, const char *folder)
{
    const char *paths[] = {folder};
    lm_file_list list = {0};
    lm_err err = lm_file_list_make(mem, paths, 1, &list);
    if (!err) lm_file_list_fini(&list);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    fixture *f = *state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, list_once(mem, f->folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_walked_in_the_order_of_names, setup, teardown),
        cmocka_unit_test_setup_teardown(links_in_a_circle_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_kept_as_given, setup, teardown),
        cmocka_unit_test_setup_teardown(each_failed_allocation_is_reported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** Writing below a folder: what foreign names become, and what they cannot reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* wants those above */

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state)
{
    lm_mem *mem = NULL;
    strcpy(folder, "/tmp/logmill-tree-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) != 0) return -1;
    if (lm_mem_new(NULL, 0, &mem)) return -1;
    *state = mem;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    lm_mem_free(*state);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") || system(command);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *wanted; /* NULL: refused */
        bool changed;
    } cases[] = {
        {"a.log", "a.log", false},
        {"var/log/a.log", "var/log/a.log", false},
        {"./a//b/./c", "a/b/c", false},
        {"/var/log/a.log", "var/log/a.log", true},
        {"../a.log", "a.log", true},
        {"../../../etc/passwd", "etc/passwd", true},
        {"x/../../y/a", "y/a", true},
        {"x/..", NULL, false},
        {"..", NULL, false},
        {"/", NULL, false},
        {"", NULL, false},
        {"...", "...", false},
        {"..a/b..", "..a/b..", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[64];
        bool changed = false;
        lm_err err = lm_tree_name(lm_str_of(cases[i].name), name, sizeof name, &changed);
        assert_int_equal(err, cases[i].wanted ? LM_OK : LM_E_USAGE);
        if (!cases[i].wanted) continue;
        assert_string_equal(name, cases[i].wanted);
        assert_int_equal(changed, cases[i].changed);
    }
    char small[4];
    bool changed = false;
    assert_int_equal(lm_tree_name(LM_STR("a\0b"), small, sizeof small, &changed), LM_E_USAGE);
    assert_int_equal(lm_tree_name(LM_STR("long"), small, sizeof small, &changed), LM_E_LIMIT);
}

static lm_err write_file(lm_tree *tree, const char *name, bool replace, const char *text)
{
    lm_tree_file *file = NULL;
    lm_err err = lm_tree_file_new(tree, name, replace, &file);
    if (!err) err = lm_tree_file_write(file, text, strlen(text));
    if (!err) err = lm_tree_file_commit(file, 0600, 1700000000123456789);
    lm_tree_file_free(file);
    return err;
}

static void assert_file(const char *path, const char *text)
{
    char bytes[64] = "";
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    (void)!fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    assert_string_equal(bytes, text);
}

static void test_files(void **state)
{
    lm_tree *tree = NULL;
    struct stat info;
    assert_int_equal(lm_tree_open(*state, "out/deep", &tree), LM_OK);
    assert_int_equal(write_file(tree, "a/b/c.log", false, "one"), LM_OK);
    assert_file("out/deep/a/b/c.log", "one");
    assert_int_equal(stat("out/deep/a/b/c.log", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_mtim.tv_sec, 1700000000);
    assert_int_equal(info.st_mtim.tv_nsec, 123456789);

    assert_int_equal(write_file(tree, "a/b/c.log", false, "two"), LM_E_USAGE); /* exists */
    assert_file("out/deep/a/b/c.log", "one");
    assert_int_equal(write_file(tree, "a/b/c.log", true, "three"), LM_OK);
    assert_file("out/deep/a/b/c.log", "three");
    assert_int_equal(write_file(tree, "a/b", true, "x"), LM_E_USAGE); /* a folder */
    assert_int_equal(write_file(tree, "a/b/c.log/d", true, "x"),
                     LM_E_USAGE); /* a file is no folder */

    /* One that is not committed leaves nothing. */
    lm_tree_file *file = NULL;
    assert_int_equal(lm_tree_file_new(tree, "never", false, &file), LM_OK);
    assert_int_equal(lm_tree_file_write(file, "x", 1), LM_OK);
    lm_tree_file_free(file);
    assert_int_equal(access("out/deep/never", F_OK), -1);
    assert_int_equal(system("test -z \"$(find out -name '.logmill-*')\""), 0);
    lm_tree_close(tree);
}

static void test_links_are_not_followed(void **state)
{
    lm_tree *tree = NULL;
    assert_int_equal(mkdir("outside", 0755), 0);
    assert_int_equal(lm_tree_open(*state, "in", &tree), LM_OK);
    assert_int_equal(symlink("../outside", "in/folder"), 0);
    assert_int_equal(symlink("../outside/file", "in/file"), 0);
    assert_int_equal(write_file(tree, "folder/x", true, "x"), LM_E_USAGE);
    assert_int_equal(write_file(tree, "file", false, "x"), LM_E_USAGE);
    assert_int_equal(write_file(tree, "file", true, "mine"), LM_OK); /* replaces the link itself */
    assert_int_equal(access("outside/x", F_OK), -1);
    assert_int_equal(access("outside/file", F_OK), -1);
    assert_file("in/file", "mine");
    lm_tree_close(tree);
    lm_tree_close(NULL);
}

static void test_temporary_names(void **state)
{
    char path[256], small[8];
    (void)state;
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    assert_int_equal(lm_temp_make(path, sizeof path), LM_OK);
    assert_memory_equal(path, folder, strlen(folder));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(lm_temp_make(small, sizeof small), LM_E_LIMIT);
    assert_int_equal(setenv("TMPDIR", "/nowhere/at/all", 1), 0);
    assert_int_equal(lm_temp_make(path, sizeof path), LM_E_IO);
    assert_int_equal(unsetenv("TMPDIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_are_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_temporary_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** The .case files beside this one: messages, an empty line, then the template of each message, in
 * order. */
#include "template_test.h"
#include <dirent.h>

enum { CASE_LINES_MAX = 400 };

static size_t split(lm_str text, lm_str *out)
{
    size_t count = 0;
    for (size_t at = 0; at < text.len && count < CASE_LINES_MAX;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = end ? (size_t)(end - text.ptr) - at : text.len - at;
        out[count++] = (lm_str){text.ptr + at, len};
        at += len + 1;
    }
    return count;
}

static void run_case(lm_mem *mem, const char *path)
{
    lm_buf text;
    lm_miner *miner = NULL;
    lm_str line[CASE_LINES_MAX];
    uint32_t shapes[CASE_LINES_MAX];
    lm_buf_init(&text, mem);
    assert_int_equal(lm_file_read_all(path, 1 << 20, &text), LM_OK);
    size_t count = split((lm_str){text.ptr, text.len}, line), messages = 0;
    while (messages < count && line[messages].len)
        messages++;
    if (count != messages * 2 + 1)
        fail_msg("%s: %zu messages, %zu templates", path, messages, count - messages - 1);
    assert_int_equal(lm_miner_new(mem, NULL, &miner), LM_OK);
    for (size_t i = 0; i < messages; i++)
        assert_int_equal(lm_miner_add(miner, line[i], &shapes[i]), LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    for (size_t i = 0; i < messages; i++) {
        lm_str got = text_of(miner, shapes[i]), wanted = line[messages + 1 + i];
        if (!lm_str_equal(got, wanted)) {
            fail_msg("%s, message %zu: '%.*s' instead of '%.*s'", path, i + 1, (int)got.len,
                     (const char *)got.ptr, (int)wanted.len, (const char *)wanted.ptr);
        }
    }
    lm_miner_free(miner);
    lm_buf_fini(&text);
}

static void all_cases(void **state)
{
    (void)state;
    const char *source = getenv("LOGMILL_SOURCE");
    char folder[512], path[1024];
    lm_mem *mem = NULL;
    size_t count = 0;
    snprintf(folder, sizeof folder, "%s/tests/template", source ? source : ".");
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    DIR *dir = opendir(folder);
    if (!dir) fail_msg("cannot open '%s'", folder);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (!lm_str_ends(lm_str_of(entry->d_name), LM_STR(".case"))) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        run_case(mem, path);
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

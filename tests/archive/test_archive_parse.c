/* Parsing: lines that come back are taken apart by what was learned from their like
 * (archive_guide.c), and must come out as the rules (archive_scan.c) take them apart. */
#include "archive/archive_priv.h"

#include "lm_test.h"

static const char *const lines[] = {
    "2026-11-23 13:59:25.564 UTC [19842] LOG:  duration: 0.133 ms",
    "2026-11-23 13:59:25.579 UTC [19842] LOG:  duration: 12.5 ms",
    "2026-11-23 14:00:01.002 UTC [7] LOG:  duration: 1234567890123 ms",
    "2026-02-29 14:00:01.002 UTC [7] LOG:  there is no such day",
    "Jun  9 06:06:20 combo sshd(pam_unix)[19939]: authentication failure; uid=0 rhost=10.0.0.7",
    "Jun 10 06:06:21 combo sshd(pam_unix)[19940]: authentication failure; uid=0 rhost=218.188.2.4",
    "81.2.69.142 - - [23/Nov/2026:13:40:16 +0000] \"GET /static/img/about.js HTTP/1.1\" 404 153 "
    "\"-\"",
    "81.2.69.142 - - [23/Nov/2026:13:40:17 +0000] \"GET /about/help-3829.html HTTP/1.1\" 200 3 "
    "\"-\"",
    "1.2.3 and 1.2.3.4.5 and 256.1.1.1 and 01.2.3.4 and 1.2.3.4:80 and 1.2.3.4.",
    "took 5ms, 12.25s, 3.5. and 7 of 007, -3 =-3, x-3",
    "id 4bf92f3577b34da6a3ce929d0e0e4736 0x7f3a 0xfff 12345678 deadbeef blk_-1608999687919862906",
    "id 6b0446bd.4d82-95 b6958ab2-1440-4567-b554-62e6b9aff6e9 12345678-x",
    "{\"ts\":1795441244.981,\"level\":\"info\",\"msg\":\"sanitized path\",\"size\":0,\"name\":\"a "
    "b c\"}",
    "{\"ts\":1795441244.981,\"level\":\"warn\",\"msg\":\"sanitized "
    "path\",\"size\":\"17\",\"name\":\"a\"}",
    "cmd=set user=default name= age=0 fd=48 ratio=0.000000123",
    "cmd=get user=admin7 name=x age=1 fd=9 ratio=1.5",
    "12:30:11 up 4 days",
    "99:30:11 up 4 days",
    "12:30:11.250 up 4 days",
    "I0507 11:59:44.523502 1 controller.go:12] done",
    "W0507 11:59:59.000001 1 controller.go:13] done",
    "\tat org.example.Main.run(Main.java:17)",
    "",
    "plain words only",
    "ends with a number 17",
    "ends with a number 17 or not",
};

static lm_parsed *parse(lm_mem *mem, const char *text, size_t len)
{
    lm_parsed *parsed = NULL;
    assert_int_equal(
        lm_parsed_make(mem, (const uint8_t *)text, len, LM_LEVEL_DEFAULT, NULL, &parsed), LM_OK);
    return parsed;
}

static uint32_t class_of(const lm_role *role, size_t i)
{
    return role->classes ? role->classes[i] : role->uniform;
}

/* Once, every shape is new to the guide (it learns from a shape's second line); the other rounds go
 * its way. */
static void what_comes_back_is_taken_apart_as_before(void **state)
{
    (void)state;

    enum { ROUNDS = 40, LINES = sizeof lines / sizeof *lines };

    static char text[ROUNDS * LINES * 128 + LM_TEXT_PADDING];
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    size_t len = 0, once = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < LINES; i++)
            len += (size_t)sprintf(text + len, "%s\n", lines[i]);
        if (round == 0) once = len;
    }
    lm_parsed *one = parse(mem, text, once), *all = parse(mem, text, len);
    assert_int_equal(all->row_count, ROUNDS * one->row_count);
    assert_int_equal(all->shapes.count, one->shapes.count);
    for (size_t r = 0; r < all->row_count; r++)
        assert_int_equal(all->shape_of_row[r], one->shape_of_row[r % one->row_count]);
    assert_int_equal(all->role_count, one->role_count);
    for (size_t k = 0; k < one->role_count; k++) {
        const lm_role *a = &one->roles[k], *b = &all->roles[k];
        assert_int_equal(b->count, ROUNDS * a->count);
        assert_int_equal(b->text_count, a->text_count);
        for (size_t i = 0; i < b->count; i++) {
            uint32_t vclass = class_of(a, i % a->count), width = lm_vclass_width(vclass);
            assert_int_equal(class_of(b, i), vclass);
            if (width) {
                assert_memory_equal(b->wide.ptr + b->numbers[i],
                                    a->wide.ptr + a->numbers[i % a->count], width);
            } else {
                assert_int_equal(b->numbers[i], a->numbers[i % a->count]);
            }
        }
    }
    lm_parsed_free(one);
    lm_parsed_free(all);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_back_is_taken_apart_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Words that vary among lines that are alike otherwise are variables (archive_words.c): which ones
 * are, which ones are not, and that all lines come back whatever is taken for a word. */
#include "archive/archive_priv.h"

#include "archive_test.h"

typedef struct fixture {
    lm_mem *mem;
    lm_test_rng rng;
    text text;
    lm_parsed *parsed;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    f->rng = lm_test_rng_make("words");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lm_parsed_free(f->parsed);
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
    text_free(&f->text);
    free(f);
    return 0;
}

static void put_word(fixture *f)
{
    for (unsigned k = 3 + below(&f->rng, 8); k > 0; k--)
        put(&f->text, "%c", 'a' + (int)below(&f->rng, 26));
}

/* ---- rows back to text, by the skeletons and the values of the roles ---- */

static void put_value(text *out, const lm_parsed *parsed, const lm_role *role, uint32_t at)
{
    uint32_t vclass = role->classes ? role->classes[at] : role->uniform;
    if (vclass == LM_VC_STR) {
        const lm_slice *slice = &role->texts[role->numbers[at]];
        text_put(out, parsed->text + slice->offset, slice->len);
        return;
    }
    uint8_t printed[LM_VALUE_TEXT_MAX];
    const uint8_t *wide = lm_vclass_width(vclass) ? role->wide.ptr + role->numbers[at] : NULL;
    text_put(out, printed, lm_value_print(vclass, role->numbers[at], wide, printed));
}

static text rows_back(const lm_parsed *parsed)
{
    text out = {NULL, 0, 0};
    uint32_t *cursors = calloc(parsed->role_count + 1, sizeof *cursors);
    assert_non_null(cursors);
    for (size_t r = 0; r < parsed->row_count; r++) {
        const lm_shape_entry *entry = &parsed->shapes.items[parsed->shape_of_row[r]];
        const uint8_t *skeleton = parsed->shapes.skeletons.ptr + entry->skeleton;
        lm_skeleton_walk walk = {skeleton, skeleton + entry->skeleton_len};
        const uint32_t *roles = parsed->shapes.var_roles + entry->first_var;
        lm_str part;
        uint8_t kind;
        while (lm_skeleton_next(&walk, &part, &kind)) {
            text_put(&out, part.ptr, part.len);
            put_value(&out, parsed, &parsed->roles[*roles], cursors[*roles]++);
            roles++;
        }
        text_put(&out, part.ptr, part.len);
        text_put(&out, "\n", 1);
    }
    for (size_t k = 0; k < parsed->role_count; k++)
        assert_int_equal(cursors[k], parsed->roles[k].count);
    free(cursors);
    return out;
}

static void parse(fixture *f)
{
    size_t len = f->text.len;
    char padding[LM_TEXT_PADDING] = {0};
    text_put(&f->text, padding, sizeof padding);
    f->text.len = len;
    assert_int_equal(lm_parsed_make(f->mem, (const uint8_t *)f->text.ptr, len, LM_LEVEL_DEFAULT,
                                    NULL, &f->parsed),
                     LM_OK);
    text back = rows_back(f->parsed);
    assert_int_equal(back.len, len);
    assert_memory_equal(back.ptr, f->text.ptr, len);
    text_free(&back);
}

/** Is there a shape with this skeleton ('{' for LM_MARK), and how many rows has it? */
static uint32_t rows_of(const lm_parsed *parsed, const char *skeleton)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s", skeleton);
    for (char *p = wanted; *p; p++)
        if (*p == '{') *p = LM_MARK;
    for (size_t s = 0; s < parsed->shapes.count; s++) {
        const lm_shape_entry *entry = &parsed->shapes.items[s];
        if (entry->skeleton_len == strlen(wanted) &&
            memcmp(parsed->shapes.skeletons.ptr + entry->skeleton, wanted, entry->skeleton_len) ==
                0)
            return entry->rows;
    }
    return 0;
}

/* ---- what is a variable ---- */

static void names_are(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 200; i++) {
        put(&f->text, "user ");
        put_word(f);
        put(&f->text, " logged in from ");
        put_word(f);
        put(&f->text, ".example.com after %u ms\n", below(&f->rng, 900));
        put(&f->text, "cannot open [");
        put_word(f);
        put(&f->text, "]: no such file\n");
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 2);
    assert_int_equal(rows_of(f->parsed, "user {W logged in from {W.example.com after {V ms"), 200);
    assert_int_equal(rows_of(f->parsed, "cannot open [{W]: no such file"), 200);
}

/* Also if every line is a new shape, and more of them than columns are meant for. */
static void names_are_where_every_line_has_another(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        put(&f->text, "session of ");
        put_word(f);
        put(&f->text, " on ");
        put_word(f);
        put(&f->text, " closed\n");
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 1);
    assert_int_equal(rows_of(f->parsed, "session of {W on {W closed"), 20000);
}

/* Digits at ever other places belong to the word; in the same place they are numbers. */
static void names_with_digits_are(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 300; i++) {
        char name[16];
        for (unsigned k = 0; k < 6; k++)
            name[k] = (char)('a' + below(&f->rng, 26));
        name[6] = 0;
        put(&f->text, "status installed ");
        unsigned form = below(&f->rng, 6), number = below(&f->rng, 9);
        if (form == 0) put(&f->text, "lib%s%u", name, number);
        if (form == 1) put(&f->text, "%s", name);
        if (form == 2) put(&f->text, "%s-%u-dev", name, number);
        if (form == 3) put(&f->text, "%u%s", number, name);
        if (form == 4) put(&f->text, "x%u-%s", number, name);
        if (form == 5) put(&f->text, "lib%s-%s", name, name);
        put(&f->text, ":amd64 took %u\n", below(&f->rng, 1000));
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 1);
    assert_int_equal(rows_of(f->parsed, "status installed {W:amd{V took {V"), 300);
}

/* ---- what is none ---- */

static void sentences_are_not(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 40; i++) {
        size_t begin = f->text.len;
        for (unsigned k = 0; k < 6; k++) {
            if (k) put(&f->text, " ");
            put_word(f);
        }
        put(&f->text, "\n");
        text_put(&f->text, f->text.ptr + begin, f->text.len - begin); /* each twice */
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 40);
}

static void a_few_kinds_are_not(void **state)
{
    static const char *const verbs[] = {"started", "stopped", "failed", "reloaded"};
    fixture *f = *state;
    for (unsigned i = 0; i < 400; i++)
        put(&f->text, "service %s after %u ms\n", verbs[below(&f->rng, 4)], below(&f->rng, 900));
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 4);
}

/* Beside names that vary, numbers and times keep their columns. */
static void numbers_and_times_are_not(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 400; i++) {
        put(&f->text, "2026-11-23 13:%02u:%02u.%03u [pid=%u] ", i / 60, i % 60,
            below(&f->rng, 1000), below(&f->rng, 60000));
        put_word(f);
        put(&f->text, " took %u.%03u ms\n", below(&f->rng, 90), below(&f->rng, 1000));
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 1);
    assert_int_equal(rows_of(f->parsed, "{T [pid={V] {W took {V ms"), 400);
}

/* What words have in common may be long. */
static void a_long_begin_is_constant(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 12; i++) {
        put(&f->text, "task ");
        for (unsigned k = 0; k < 12000; k++)
            put(&f->text, "ab.cd;");
        put_word(f);
        put(&f->text, " done\n");
    }
    for (unsigned i = 0; i < 400; i++) { /* so that there is something to win */
        put(&f->text, "user ");
        put_word(f);
        put(&f->text, " logged in\n");
    }
    parse(f);
    assert_int_equal(f->parsed->shapes.count, 2);
    assert_int_equal(f->parsed->shapes.items[0].rows, 12);
    assert_int_equal(f->parsed->shapes.items[0].skeleton_len, strlen("task {W done") + 72000);
}

/* ---- any lines ---- */

static void put_odd_word(fixture *f)
{
    switch (below(&f->rng, 12)) {
    case 0:
        put(&f->text, "%u", below(&f->rng, 5000));
        return;
    case 1:
        put(&f->text, "2026-11-23 13:%02u:%02u", below(&f->rng, 60), below(&f->rng, 60));
        return;
    case 2:
        put(&f->text, "\"%u x\"", below(&f->rng, 20));
        return;
    case 3:
        put(&f->text, "k%u=v", below(&f->rng, 3));
        return;
    case 4:
        put(&f->text, "/a/b%u/c", below(&f->rng, 3));
        return;
    case 5:
        put(&f->text, "\x01\x01");
        return;
    case 6:
        put(&f->text, "\xc3\xa4%u\xff", below(&f->rng, 40));
        return;
    case 7:
        put(&f->text, "%08x%08x", (unsigned)lm_test_random(&f->rng), below(&f->rng, 4));
        return;
    default:
        put_word(f);
    }
}

static void any_lines_come_back(void **state)
{
    static const char *const frames[] = {"open ", " of ", "\tby ", "  at ", ": ", " -> "};
    fixture *f = *state;
    for (unsigned round = 0; round < 60; round++) {
        f->text.len = 0;
        unsigned lines = 30 + below(&f->rng, 300), kinds = 1 + below(&f->rng, 4);
        for (unsigned i = 0; i < lines; i++) {
            unsigned words = 1 + below(&f->rng, kinds);
            for (unsigned k = 0; k < words; k++) {
                put(&f->text, "%s", frames[(k + words) % 6]);
                put_odd_word(f);
            }
            put(&f->text, "%s\n", below(&f->rng, 3) ? "" : " ");
        }
        parse(f);
        lm_parsed_free(f->parsed);
        f->parsed = NULL;
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(names_are),
        CASE(names_are_where_every_line_has_another),
        CASE(names_with_digits_are),
        CASE(sentences_are_not),
        CASE(a_few_kinds_are_not),
        CASE(numbers_and_times_are_not),
        CASE(a_long_begin_is_constant),
        CASE(any_lines_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

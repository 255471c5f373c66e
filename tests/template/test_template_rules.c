/** The user's word: pin, name, merge, split; and reading it from YAML. */
#include "template_test.h"

typedef struct fixture {
    lm_mem *mem;
    lm_miner *miner;
    uint32_t shapes[16];
} fixture;

static const char *const messages[] = {
    "job nightly finished in 3 s", "job weekly finished in 4 s", "job backup finished in 9 s",
    "job cleanup finished in 1 s", "job report finished in 1 s", "job sync finished in 7 s",
    "session opened for ann",      "session ended for ann",      "the disk is full",
};

enum { MESSAGES = sizeof messages / sizeof *messages };

static void setup(fixture *f)
{
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    assert_int_equal(lm_miner_new(f->mem, NULL, &f->miner), LM_OK);
    for (size_t i = 0; i < MESSAGES; i++)
        assert_int_equal(lm_miner_add(f->miner, lm_str_of(messages[i]), &f->shapes[i]), LM_OK);
}

static void teardown(fixture *f)
{
    lm_miner_free(f->miner);
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
}

static void settle_with(fixture *f, const lm_miner_rule *rules, size_t count)
{
    assert_int_equal(lm_miner_rules_set(f->miner, rules, count), LM_OK);
    assert_int_equal(lm_miner_settle(f->miner), LM_OK);
}

static void without_rules(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    assert_int_equal(lm_miner_settle(f.miner), LM_OK);
    for (size_t i = 0; i < 6; i++)
        assert_text(text_of(f.miner, f.shapes[i]), "job <*> finished in <*> s");
    assert_text(text_of(f.miner, f.shapes[8]), "the disk is full");
    teardown(&f);
}

static void a_pin_takes_what_matches(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    lm_miner_rule rule = {LM_RULE_PIN, LM_STR("session <*> for <*>"), {0}};
    settle_with(&f, &rule, 1);
    assert_text(text_of(f.miner, f.shapes[6]), "session <*> for <*>");
    assert_text(text_of(f.miner, f.shapes[7]), "session <*> for <*>");
    assert_text(text_of(f.miner, f.shapes[8]), "the disk is full");
    teardown(&f);
}

static void a_split_keeps_a_word_apart(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    lm_miner_rule rule = {LM_RULE_SPLIT, LM_STR("job <*> finished in <*> s"), LM_STR("nightly")};
    settle_with(&f, &rule, 1);
    assert_text(text_of(f.miner, f.shapes[0]), "job nightly finished in <*> s");
    assert_text(text_of(f.miner, f.shapes[1]), "job <*> finished in <*> s");
    teardown(&f);
}

static void a_merge_and_a_name(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    assert_int_equal(lm_miner_settle(f.miner), LM_OK);
    uint32_t before = lm_miner_template_of(f.miner, f.shapes[6]);
    lm_miner_rule rules[] = {
        {LM_RULE_NAME, LM_STR("session <*> for <*>"), LM_STR("session")},
        {LM_RULE_MERGE, LM_STR("session opened for ann"), LM_STR("session <*> for <*>")},
        {LM_RULE_MERGE, LM_STR("session ended for ann"), LM_STR("session <*> for <*>")},
    };
    settle_with(&f, rules, 3);
    uint32_t id = lm_miner_template_of(f.miner, f.shapes[6]);
    assert_int_equal(id, lm_miner_template_of(f.miner, f.shapes[7]));
    assert_int_equal(lm_miner_forward(f.miner, before), id); /* the old id leads to the new one */
    assert_text(lm_miner_text(f.miner, id), "session <*> for <*>");
    assert_text(lm_miner_name(f.miner, id), "session");
    teardown(&f);
}

static void rules_in_a_circle_are_refused(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    lm_miner_rule rules[] = {
        {LM_RULE_MERGE, LM_STR("the disk is full"), LM_STR("no room")},
        {LM_RULE_MERGE, LM_STR("no room"), LM_STR("the disk is full")},
    };
    assert_int_equal(lm_miner_rules_set(f.miner, rules, 2), LM_E_USAGE);
    teardown(&f);
}

#if LM_HAVE_YAML

static lm_err parse(const char *yaml, lm_mem *mem, lm_arena *arena, lm_miner_rule **rules,
                    size_t *count)
{
    return lm_miner_rules_parse(mem, lm_str_of(yaml), arena, rules, count);
}

static void yaml_is_read(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_arena arena;
    lm_miner_rule *rules = NULL;
    size_t count = 0;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena_init(&arena, mem);
    const char *yaml = "templates:\n"
                       "  - pin: \"user <*> in\"\n"
                       "  - name: login\n"
                       "    pattern: \"user <*> in\"\n"
                       "  - merge: a\n"
                       "    into: b\n"
                       "  - split: \"job <*>\"\n"
                       "    word: nightly\n";
    assert_int_equal(parse(yaml, mem, &arena, &rules, &count), LM_OK);
    assert_int_equal(count, 4);
    assert_int_equal(rules[0].kind, LM_RULE_PIN);
    assert_text(rules[0].pattern, "user <*> in");
    assert_int_equal(rules[1].kind, LM_RULE_NAME);
    assert_text(rules[1].value, "login");
    assert_int_equal(rules[2].kind, LM_RULE_MERGE);
    assert_text(rules[2].value, "b");
    assert_int_equal(rules[3].kind, LM_RULE_SPLIT);
    assert_text(rules[3].value, "nightly");
    assert_int_equal(parse("", mem, &arena, &rules, &count), LM_OK);
    assert_int_equal(count, 0);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

static void wrong_yaml_is_told_with_its_place(void **state)
{
    (void)state;

    static const struct {
        const char *yaml, *words;
    } cases[] = {
        {"templates:\n  - pni: x\n", "line 2, column 5"},
        {"templates:\n  - pin: [x]\n", "line 2"},
        {"templates:\n  - name: x\n", "'name' goes with 'pattern'"},
        {"templates:\n  - pin: x\n    merge: y\n    into: z\n", "one of pin, name, merge, split"},
        {"template:\n  - pin: x\n", "unknown key"},
        {"templates: 7\n", "holds a list"},
        {"templates:\n  - pin: *a\n", "line 2"},
        {"templates:\n  - pin: 'x\n", "line"},
        {"- x\n", "'templates:' is expected"},
    };

    lm_mem *mem = NULL;
    lm_arena arena;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_arena_init(&arena, mem);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_miner_rule *rules = NULL;
        size_t count = 0;
        assert_int_equal(parse(cases[i].yaml, mem, &arena, &rules, &count), LM_E_USAGE);
        if (!strstr(lm_err_text(), cases[i].words)) fail_msg("case %zu: %s", i, lm_err_text());
    }
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

#else

static void yaml_is_not_there(void **state)
{
    (void)state;
    lm_miner_rule *rules = NULL;
    size_t count = 0;
    assert_int_equal(lm_miner_rules_parse(NULL, LM_STR(""), NULL, &rules, &count),
                     LM_E_UNSUPPORTED);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules),
        cmocka_unit_test(a_pin_takes_what_matches),
        cmocka_unit_test(a_split_keeps_a_word_apart),
        cmocka_unit_test(a_merge_and_a_name),
        cmocka_unit_test(rules_in_a_circle_are_refused),
#if LM_HAVE_YAML
        cmocka_unit_test(yaml_is_read),
        cmocka_unit_test(wrong_yaml_is_told_with_its_place),
#else
        cmocka_unit_test(yaml_is_not_there),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

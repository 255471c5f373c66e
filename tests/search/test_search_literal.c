/* Finding literals, and what patterns demand: never more than every match has. */
#include "search/search_priv.h"

#include "lm_test.h"

typedef struct setup {
    lm_mem *mem;
    lm_arena arena;
} setup;

static int setup_make(void **state)
{
    setup *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(lm_mem_new(NULL, 0, &s->mem), LM_OK);
    lm_arena_init(&s->arena, s->mem);
    *state = s;
    return 0;
}

static int setup_free(void **state)
{
    setup *s = *state;
    lm_arena_fini(&s->arena);
    lm_mem_free(s->mem);
    free(s);
    return 0;
}

/* "abc & (x | y) !" : clauses, then '!' if exact. */
static void demand_print(const lm_demand *demand, char *dst, size_t cap)
{
    size_t len = 0;
    dst[0] = 0;
    for (uint32_t i = 0; i < demand->count; i++) {
        if (i) len += (size_t)snprintf(dst + len, cap - len, "&");
        for (uint32_t k = 0; k < demand->clauses[i].count; k++) {
            const lm_literal *l = &demand->clauses[i].any[k];
            len +=
                (size_t)snprintf(dst + len, cap - len, "%s%s%.*s", k ? "|" : "",
                                 l->nocase ? "~" : "", (int)l->text.len, (const char *)l->text.ptr);
        }
    }
    if (demand->exact) snprintf(dst + len, cap - len, "!");
}

static void demands_are_read_off(void **state)
{
    setup *s = *state;
    static const char *const cases[][2] = {
        {"timeout", "timeout!"},
        {"timeout.*ms", "timeout&ms"},
        {"a|b", "a|b!"},
        {"(?:foo|bar)baz", "foo|bar&baz"},
        {"(foo|bar)", "foo|bar!"},
        {"x(abc)y", "xabcy!"},
        {"ab+c", "ab&c"},
        {"ab*c", "a&c"},
        {"ab?c", "a&c"},
        {"ab{0,3}c", "a&c"},
        {"ab{2}{0}c", "a&c"},
        {"ab{2}c", "ab&c"},
        {"(abc)?def", "def"},
        {"(abc){2}def", "abc&def"},
        {"(?i)Error", "~error!"},
        {"(?i:Error) 42", "~error& 42"},
        {"a(?i)b", "a&~b"},
        {"(?i)42", "42!"},
        {"foo\\.bar", "foo.bar!"},
        {"\\bfoo\\b bar", "foo bar"},
        {"^ERROR", "ERROR"},
        {"ERROR$", "ERROR"},
        {"[Tt]imeout", "imeout"},
        {"[]a]bc", "bc"},
        {"[[:alpha:]]bc", "bc"},
        {"\\d+ms", "ms"},
        {"\\x41B", "AB!"},
        {"(?=abc)d", "d"},
        {"(?!abc)d", "d"},
        {"(?<!abc)d", "d"},
        {"(?<name>abc)d", "abcd!"},
        {"(?P<n>abc)d", "abcd!"},
        {"a|b*", ""},
        {"a|", ""},
        {"(*ACCEPT)abc", ""},
        {"a(?x) b", ""},
        {"(a)\\1b", ""},
        {"\\Qa.b\\E", ""},
        {"(?(1)a|b)c", ""},
        {"", ""},
        {".*", ""},
        {"{\"a\":1", "{\"a\":1!"},
        {"a{,3}b", "b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_demand demand;
        char found[300];
        assert_int_equal(lm_demand_make(&s->arena, lm_str_of(cases[i][0]), &demand), LM_OK);
        demand_print(&demand, found, sizeof found);
        if (strcmp(found, cases[i][1]) != 0)
            fail_msg("pattern '%s': '%s' is demanded, not '%s'", cases[i][0], found, cases[i][1]);
    }
}

/* Random patterns over a small alphabet against random lines: a match never lacks what was
 * demanded, and exact is exact. */
static void demands_are_never_too_much(void **state)
{
    setup *s = *state;
    lm_test_rng rng = lm_test_rng_make("demands");
    static const char *const bits[] = {"a", "b",   "ab",    "(",   ")",    "|",    "*",    "?",
                                       "+", "{2}", "{0,2}", ".",   "(?:",  "(?i)", "[ab]", "\\.",
                                       "^", "$",   "\\b",   "(?=", "(?i:", "A",    " "};
    unsigned valid = 0;
    for (unsigned n = 0; n < 60000; n++) {
        char pattern[120] = "";
        for (size_t i = 1 + lm_test_below(&rng, 9); i-- > 0;)
            strcat(pattern, bits[lm_test_below(&rng, sizeof bits / sizeof bits[0])]);
        lm_regex *regex = NULL;
        lm_regex_fault fault;
        if (lm_regex_new(s->mem, lm_str_of(pattern), 0, &fault, &regex)) continue;
        valid++;
        lm_demand demand;
        lm_regex_room room = {s->mem, NULL};
        assert_int_equal(lm_demand_make(&s->arena, lm_str_of(pattern), &demand), LM_OK);
        for (unsigned k = 0; k < 12; k++) {
            uint8_t line[12];
            size_t len = lm_test_below(&rng, sizeof line);
            for (size_t i = 0; i < len; i++)
                line[i] = (uint8_t)"abAB. "[lm_test_below(&rng, 6)];
            bool matches, holds = true;
            if (lm_regex_find(regex, (lm_str){line, len}, 0, &room, &matches, NULL)) continue;
            for (uint32_t c = 0; c < demand.count; c++) {
                bool any = false;
                for (uint32_t l = 0; l < demand.clauses[c].count; l++)
                    any = any || lm_literal_find((lm_str){line, len}, demand.clauses[c].any[l]) !=
                                     SIZE_MAX;
                holds = holds && any;
            }
            if (matches && !holds)
                fail_msg("'%s' matches '%.*s', which lacks what was demanded", pattern, (int)len,
                         (const char *)line);
            if (demand.exact && matches != holds)
                fail_msg("'%s' is not exactly its literals for '%.*s'", pattern, (int)len,
                         (const char *)line);
        }
        lm_regex_room_fini(&room);
        lm_regex_free(regex);
        if (n % 1000 == 0) lm_arena_reset(&s->arena);
    }
    assert_true(valid > 5000);
}

static size_t find_slowly(const uint8_t *text, size_t len, const uint8_t *needle, size_t needle_len,
                          bool nocase)
{
    for (size_t at = 0; at + needle_len <= len; at++) {
        size_t i = 0;
        for (; i < needle_len; i++) {
            uint8_t c = text[at + i];
            if (nocase && c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
            if (c != needle[i]) break;
        }
        if (i == needle_len) return at;
    }
    return SIZE_MAX;
}

static void literals_are_found(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("find");
    for (unsigned n = 0; n < 100000; n++) {
        uint8_t text[200], needle[40];
        size_t len = lm_test_below(&rng, sizeof text),
               needle_len = 1 + lm_test_below(&rng, n % 2 ? 4 : sizeof needle);
        unsigned letters = 2 + (unsigned)lm_test_below(&rng, 5);
        bool nocase = lm_test_below(&rng, 2);
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)"aAbBZz\xff"[lm_test_below(&rng, letters)];
        for (size_t i = 0; i < needle_len; i++)
            needle[i] =
                (uint8_t)"abzAB\xff"[nocase ? lm_test_below(&rng, 3) : lm_test_below(&rng, 6)];
        if (len > needle_len && lm_test_below(&rng, 2) && !nocase)
            memcpy(needle, text + lm_test_below(&rng, len - needle_len), needle_len);
        lm_finder finder = lm_finder_make((lm_literal){{needle, needle_len}, nocase});
        size_t want = find_slowly(text, len, needle, needle_len, nocase);
        for (unsigned way = 0; way < 3;
             way++) { /* plain, 16 bytes a step, 32 where the machine has them */
            lm_finder twin = finder;
            if (way == 0) twin.is_plain = true;
            if (way == 1) twin.is_wide = false;
            assert_int_equal(lm_finder_find(&twin, (lm_str){text, len}), want);
        }
    }
}

static void hostile_patterns_end(void **state)
{
    setup *s = *state;
    static const char *const patterns[] = {"(a+)+$", "(a|aa)+$", "(.*)*x\\1",
                                           "((a{1,9}){1,9}){1,9}b", "(?:a?){30}a{30}b"};
    uint8_t line[200];
    memset(line, 'a', sizeof line);
    line[199] = '!';
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        lm_regex *regex = NULL;
        lm_regex_room room = {s->mem, NULL};
        bool matches;
        lm_regex_fault fault;
        assert_int_equal(lm_regex_new(s->mem, lm_str_of(patterns[i]), 0, &fault, &regex), LM_OK);
        lm_err err = lm_regex_find(regex, (lm_str){line, sizeof line}, 0, &room, &matches, NULL);
        assert_true(err == LM_OK || err == LM_E_LIMIT);
        lm_regex_room_fini(&room);
        lm_regex_free(regex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(demands_are_read_off, setup_make, setup_free),
        cmocka_unit_test_setup_teardown(demands_are_never_too_much, setup_make, setup_free),
        cmocka_unit_test(literals_are_found),
        cmocka_unit_test_setup_teardown(hostile_patterns_end, setup_make, setup_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/** Template texts in the words of shapes: whatever the texts are, they come back; damage is told.
 */
#include "archive/archive_priv.h"
#include "archive_test.h"

enum { SHAPES = 40, TEMPLATES = 60, ROUNDS = 60 };

typedef struct made {
    lm_mem *mem;
    text skeletons, texts[TEMPLATES];
    uint32_t template_of_shape[SHAPES];
    lm_archive_template templates[TEMPLATES];
    lm_archive_meta meta;
    lm_texts_base base;
} made;

static const char *word_of(lm_test_rng *rng)
{
    static const char *const words[] = {
        "user", "from", "port", "=",  "failed", ": ",       "(", "a_b", ")",  "\"", "/",  "disk",
        "is",   " ",    "<*",   "*>", "<",      "\xc3\xa9", "9", "x",   "\t", "-",  "{}", "level"};
    return words[below(rng, sizeof words / sizeof *words)];
}

/** A skeleton with words and variables, and a text that more or less follows from it. */
static void put_shape(made *m, lm_test_rng *rng, uint32_t shape)
{
    text *to = &m->texts[m->template_of_shape[shape]];
    bool is_first = !to->len;
    unsigned count = below(rng, below(rng, 20) ? 40 : 1500), header = below(rng, 12);
    unsigned faithful = below(rng, 4); /* of how many words one is another */
    for (unsigned i = 0; i < count; i++) {
        bool is_variable = below(rng, 4) == 0;
        const char *word = word_of(rng);
        if (is_variable)
            put(&m->skeletons, "\x01V");
        else
            put(&m->skeletons, "%s ", word);
        if (!is_first || i < header) continue;
        if (faithful && below(rng, faithful * 20) == 0) continue;
        if (faithful && below(rng, faithful * 10) == 0)
            put(to, "%s", word_of(rng));
        else if (is_variable || below(rng, 9) == 0)
            put(to, "<*>");
        else
            put(to, "%s ", word);
    }
    put(&m->skeletons, "\n");
}

static void make(made *m, lm_test_rng *rng)
{
    *m = (made){0};
    assert_int_equal(lm_mem_new(NULL, 0, &m->mem), LM_OK);
    for (uint32_t s = 0; s < SHAPES; s++) {
        m->template_of_shape[s] = 1 + below(rng, TEMPLATES - 1);
        put_shape(m, rng, s);
    }
    for (uint32_t t = 0; t < TEMPLATES; t++) {
        if (!m->texts[t].len && below(rng, 2)) put(&m->texts[t], "of no shape <*> %u", t);
        m->templates[t].text = (lm_str){(const uint8_t *)m->texts[t].ptr, m->texts[t].len};
        if (t % 17 == 3) m->templates[t].name = LM_STR("named");
    }
    m->meta = (lm_archive_meta){.templates = m->templates, .template_count = TEMPLATES};
    m->base = (lm_texts_base){
        .mem = m->mem,
        .skeletons = {(const uint8_t *)m->skeletons.ptr, m->skeletons.len},
        .template_of_shape = m->template_of_shape,
        .shape_count = SHAPES,
    };
}

static void unmake(made *m)
{
    for (size_t t = 0; t < TEMPLATES; t++)
        text_free(&m->texts[t]);
    text_free(&m->skeletons);
    assert_int_equal(lm_mem_used(m->mem), 0);
    lm_mem_free(m->mem);
}

static void test_texts_come_back(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("texts");
    for (unsigned round = 0; round < ROUNDS; round++) {
        made m;
        make(&m, &rng);
        if (round % 10 == 9) { /* no segment has columns */
            m.base.skeletons = (lm_str){0};
            m.base.shape_count = 0;
        }
        lm_buf plain, stored;
        lm_buf_init(&plain, m.mem);
        lm_buf_init(&stored, m.mem);
        assert_int_equal(lm_meta_texts_write(&m.meta, &plain), LM_OK);
        assert_int_equal(lm_texts_put(&m.base, &m.meta, (lm_str){plain.ptr, plain.len},
                                      LM_LEVEL_DEFAULT, &stored),
                         LM_OK);
        uint8_t *back = malloc(plain.len);
        lm_str bytes = {stored.ptr, stored.len};
        assert_int_equal(lm_texts_get(&m.base, TEMPLATES, bytes, back, plain.len), LM_OK);
        assert_memory_equal(back, plain.ptr, plain.len);
        for (unsigned i = 0; i < 200; i++) { /* damage: any answer, and nothing but an answer */
            size_t at = below(&rng, (unsigned)stored.len);
            uint8_t was = stored.ptr[at];
            stored.ptr[at] ^= (uint8_t)(1u << below(&rng, 8));
            lm_err err = lm_texts_get(&m.base, TEMPLATES, bytes, back, plain.len);
            assert_true(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_NOMEM);
            stored.ptr[at] = was;
        }
        bytes.len = below(&rng, (unsigned)stored.len);
        assert_int_equal(lm_texts_get(&m.base, TEMPLATES, bytes, back, plain.len), LM_E_CORRUPT);
        free(back);
        lm_buf_fini(&plain);
        lm_buf_fini(&stored);
        unmake(&m);
    }
}

/* What follows from a skeleton takes next to nothing. */
static void test_texts_of_shapes_are_small(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("small texts");
    made m = {0};
    assert_int_equal(lm_mem_new(NULL, 0, &m.mem), LM_OK);
    for (uint32_t s = 0; s < SHAPES; s++) {
        m.template_of_shape[s] = s + 1;
        put(&m.skeletons, "\x01T [\x01V] INFO ");
        for (unsigned i = 0; i < 12; i++) {
            unsigned word = below(&rng, 100000);
            if (i % 4 == 3) {
                put(&m.skeletons, "\x01V ");
                put(&m.texts[s + 1], "<*> ");
            } else {
                put(&m.skeletons, "word%u ", word);
                put(&m.texts[s + 1], "word%u ", word);
            }
        }
        put(&m.skeletons, "\n");
    }
    for (uint32_t t = 0; t < SHAPES + 1; t++)
        m.templates[t].text = (lm_str){(const uint8_t *)m.texts[t].ptr, m.texts[t].len};
    m.meta = (lm_archive_meta){.templates = m.templates, .template_count = SHAPES + 1};
    m.base = (lm_texts_base){.mem = m.mem,
                             .skeletons = {(const uint8_t *)m.skeletons.ptr, m.skeletons.len},
                             .template_of_shape = m.template_of_shape,
                             .shape_count = SHAPES};
    lm_buf plain, stored;
    lm_buf_init(&plain, m.mem);
    lm_buf_init(&stored, m.mem);
    assert_int_equal(lm_meta_texts_write(&m.meta, &plain), LM_OK);
    assert_int_equal(
        lm_texts_put(&m.base, &m.meta, (lm_str){plain.ptr, plain.len}, LM_LEVEL_DEFAULT, &stored),
        LM_OK);
    assert_true(stored.len < SHAPES * 2);
    lm_buf_fini(&plain);
    lm_buf_fini(&stored);
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_come_back),
        cmocka_unit_test(test_texts_of_shapes_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

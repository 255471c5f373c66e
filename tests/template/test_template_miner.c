/** Groups are a function of the set of lines; ids keep their meaning; bounds are kept and told. */
#include "template_test.h"

/* Two ways of mining the same lines: do they make the same groups with the same texts? */
static void assert_same_groups(const lines *l, const lm_miner *a, const uint32_t *a_shapes,
                               const lm_miner *b, const uint32_t *b_shapes)
{
    for (size_t i = 0; i < l->count; i++) {
        lm_str x = text_of(a, a_shapes[i]), y = text_of(b, b_shapes[i]);
        if (!lm_str_equal(x, y)) {
            fail_msg("line %zu '%.*s': '%.*s' and '%.*s'", i, (int)l->items[i].len,
                     (const char *)l->items[i].ptr, (int)x.len, (const char *)x.ptr, (int)y.len,
                     (const char *)y.ptr);
        }
    }
    size_t live_a = 0, live_b = 0;
    for (uint32_t i = 0; i < lm_miner_template_count(a); i++)
        live_a += lm_miner_forward(a, i) == i;
    for (uint32_t i = 0; i < lm_miner_template_count(b); i++)
        live_b += lm_miner_forward(b, i) == i;
    assert_int_equal(live_a, live_b);
}

typedef struct fixture {
    lm_mem *mem;
    lines l;
    lm_miner *one;
    uint32_t *shapes, *other;
} fixture;

static void setup(fixture *f, const char *name, size_t count)
{
    lm_test_rng rng = lm_test_rng_make(name);
    *f = (fixture){0};
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    lines_make(f->mem, &rng, count, &f->l);
    f->shapes = lm_mem_calloc(f->mem, count, sizeof *f->shapes);
    f->other = lm_mem_calloc(f->mem, count, sizeof *f->other);
    assert_non_null(f->shapes);
    assert_non_null(f->other);
    assert_int_equal(lm_miner_new(f->mem, NULL, &f->one), LM_OK);
    mine(f->one, &f->l, f->shapes);
}

static void teardown(fixture *f)
{
    size_t bytes = f->l.count * sizeof *f->shapes;
    lm_miner_free(f->one);
    lm_mem_release(f->mem, f->shapes, bytes);
    lm_mem_release(f->mem, f->other, bytes);
    lines_free(f->mem, &f->l);
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
}

static void order_does_not_matter(void **state)
{
    (void)state;
    fixture f;
    setup(&f, "shuffle", 3000);
    lm_test_rng rng = lm_test_rng_make("order");
    for (int round = 0; round < 3; round++) {
        lm_miner *miner = NULL;
        size_t *order = lm_mem_calloc(f.mem, f.l.count, sizeof *order);
        assert_int_equal(lm_miner_new(f.mem, NULL, &miner), LM_OK);
        for (size_t i = 0; i < f.l.count; i++)
            order[i] = i;
        for (size_t i = f.l.count - 1; i > 0; i--) {
            size_t k = lm_test_below(&rng, i + 1), t = order[i];
            order[i] = order[k];
            order[k] = t;
        }
        for (size_t i = 0; i < f.l.count; i++)
            assert_int_equal(lm_miner_add(miner, f.l.items[order[i]], &f.other[order[i]]), LM_OK);
        assert_int_equal(lm_miner_settle(miner), LM_OK);
        assert_same_groups(&f.l, f.one, f.shapes, miner, f.other);
        lm_mem_release(f.mem, order, f.l.count * sizeof *order);
        lm_miner_free(miner);
    }
    teardown(&f);
}

static void settling_between_does_not_matter(void **state)
{
    (void)state;
    fixture f;
    setup(&f, "chunks", 2000);
    static const size_t chunks[] = {1, 7, 100, 999};
    for (size_t c = 0; c < 4; c++) {
        lm_miner *miner = NULL;
        assert_int_equal(lm_miner_new(f.mem, NULL, &miner), LM_OK);
        size_t limit =
            chunks[c] == 1 ? 300 : f.l.count; /* settling after each line costs the square */
        for (size_t i = 0; i < f.l.count; i++) {
            assert_int_equal(lm_miner_add(miner, f.l.items[i], &f.other[i]), LM_OK);
            if (i < limit && i % chunks[c] == 0) assert_int_equal(lm_miner_settle(miner), LM_OK);
        }
        assert_int_equal(lm_miner_settle(miner), LM_OK);
        for (size_t i = 0; i < f.l.count; i++)
            assert_true(lm_str_equal(text_of(miner, f.other[i]), text_of(f.one, f.shapes[i])));
        lm_miner_free(miner);
    }
    teardown(&f);
}

typedef struct part {
    const lines *l;
    lm_miner *miner;
    uint32_t *shapes;
    size_t begin, end;
} part;

static lm_err mine_part(void *ctx, size_t index)
{
    part *p = (part *)ctx + index;
    for (size_t i = p->begin; i < p->end; i++) {
        lm_err err = lm_miner_add(p->miner, p->l->items[i], &p->shapes[i]);
        if (err) return err;
    }
    return LM_OK;
}

static void threads_do_not_matter(void **state)
{
    (void)state;

    enum { THREADS_MAX = 16 };

    fixture f;
    setup(&f, "threads", 4000);
    static const unsigned counts[] = {2, 8, THREADS_MAX};
    for (size_t c = 0; c < 3; c++) {
        part parts[THREADS_MAX];
        lm_pool *pool = NULL;
        lm_miner *joined = NULL;
        assert_int_equal(lm_pool_new(f.mem, counts[c], &pool), LM_OK);
        assert_int_equal(lm_miner_new(f.mem, NULL, &joined), LM_OK);
        for (size_t i = 0; i < counts[c]; i++) {
            parts[i] = (part){&f.l, NULL, f.other, f.l.count * i / counts[c],
                              f.l.count * (i + 1) / counts[c]};
            assert_int_equal(lm_miner_new(f.mem, NULL, &parts[i].miner), LM_OK);
        }
        assert_int_equal(lm_pool_for(pool, counts[c], mine_part, parts), LM_OK);
        for (size_t i = 0; i < counts[c]; i++) {
            size_t n = lm_miner_shape_count(parts[i].miner);
            uint32_t *map = lm_mem_calloc(f.mem, n, sizeof *map);
            assert_int_equal(lm_miner_join(joined, parts[i].miner, map), LM_OK);
            for (size_t k = parts[i].begin; k < parts[i].end; k++)
                f.other[k] = map[f.other[k]];
            lm_mem_release(f.mem, map, n * sizeof *map);
            lm_miner_free(parts[i].miner);
        }
        assert_int_equal(lm_miner_settle(joined), LM_OK);
        assert_same_groups(&f.l, f.one, f.shapes, joined, f.other);
        lm_miner_free(joined);
        lm_pool_free(pool);
    }
    teardown(&f);
}

static void ids_keep_their_meaning(void **state)
{
    (void)state;
    fixture f;
    setup(&f, "ids", 3000);
    lm_miner *miner = NULL;
    assert_int_equal(lm_miner_new(f.mem, NULL, &miner), LM_OK);
    size_t half = f.l.count / 2;
    uint32_t *early = lm_mem_calloc(f.mem, half, sizeof *early);
    for (size_t i = 0; i < half; i++)
        assert_int_equal(lm_miner_add(miner, f.l.items[i], &f.other[i]), LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    lm_str *texts = lm_mem_calloc(f.mem, half, sizeof *texts); /* texts live as long as the miner */
    for (size_t i = 0; i < half; i++) {
        early[i] = lm_miner_template_of(miner, f.other[i]);
        texts[i] = lm_miner_text(miner, early[i]);
    }
    for (size_t i = half; i < f.l.count; i++)
        assert_int_equal(lm_miner_add(miner, f.l.items[i], &f.other[i]), LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    for (size_t i = 0; i < half;
         i++) { /* an early id leads to what the line is now, or is as it was and unused */
        uint32_t leads_to = lm_miner_forward(miner, early[i]),
                 now = lm_miner_template_of(miner, f.other[i]);
        if (leads_to == now) continue;
        assert_int_equal(leads_to, early[i]);
        assert_true(lm_str_equal(lm_miner_text(miner, early[i]), texts[i]));
        for (size_t k = 0; k < f.l.count; k++)
            assert_true(lm_miner_template_of(miner, f.other[k]) != early[i]);
    }
    lm_mem_release(f.mem, texts, half * sizeof *texts);
    lm_mem_release(f.mem, early, half * sizeof *early);
    lm_miner_free(miner);
    teardown(&f);
}

static void known_lines_make_no_shape(void **state)
{
    (void)state;
    fixture f;
    setup(&f, "known", 1000);
    size_t shapes = lm_miner_shape_count(f.one), templates = lm_miner_template_count(f.one);
    for (size_t i = 0; i < f.l.count; i++) {
        assert_int_equal(lm_miner_add(f.one, f.l.items[i], &f.other[i]), LM_OK);
        assert_int_equal(f.other[i], f.shapes[i]);
    }
    assert_int_equal(lm_miner_settle(f.one), LM_OK);
    assert_int_equal(lm_miner_shape_count(f.one), shapes);
    assert_int_equal(lm_miner_template_count(f.one), templates);
    teardown(&f);
}

static void a_full_table_says_so(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_miner *miner = NULL;
    lm_miner_options options = {.shape_count_max = 50, .template_count_max = 20};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_miner_new(mem, &options, &miner), LM_OK);
    uint32_t shape = 0, known = 0;
    size_t rest = 0;
    assert_int_equal(lm_miner_add(miner, LM_STR("took 12 ms"), &known), LM_OK);
    for (int i = 0; i < 5000; i++) {
        char line[64];
        int n =
            snprintf(line, sizeof line, "w%cx%cy%cz unlike %c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
                     'a' + i / 676, 'a' + i % 25, 'a' + i % 24, 'a' + i % 23);
        assert_int_equal(lm_miner_add(miner, (lm_str){(uint8_t *)line, (size_t)n}, &shape), LM_OK);
        if (i % 1000 == 0) assert_int_equal(lm_miner_settle(miner), LM_OK);
    }
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    assert_true(lm_miner_shape_count(miner) <= 51); /* and the catch-all */
    assert_true(lm_miner_template_count(miner) <= 20);
    rest = (size_t)lm_miner_rest_count(miner);
    assert_true(rest > 4000);
    assert_text(text_of(miner, shape), "<*>");
    assert_int_equal(lm_miner_add(miner, LM_STR("took 77 ms"), &shape),
                     LM_OK); /* what is known stays known */
    assert_int_equal(shape, known);
    assert_text(text_of(miner, shape), "took <*> ms");
    assert_true(lm_mem_used(mem) < 4u << 20);
    lm_miner_free(miner);
    lm_mem_free(mem);
}

static void a_full_table_knows_its_slots(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_miner *miner = NULL;
    lm_miner_options options = {.shape_count_max = 40};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_miner_new(mem, &options, &miner), LM_OK);
    uint32_t shape = 0;
    for (int i = 0; i < 60; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "session opened for user n%c%c by cron", 'a' + i % 26,
                         'a' + i / 26);
        assert_int_equal(lm_miner_add(miner, (lm_str){(uint8_t *)line, (size_t)n}, &shape), LM_OK);
    }
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    uint64_t rest = lm_miner_rest_count(miner);
    assert_int_equal(lm_miner_add(miner, LM_STR("session opened for user zoe by cron"), &shape),
                     LM_OK);
    assert_text(text_of(miner, shape), "session opened for user <*> by cron");
    assert_int_equal(lm_miner_rest_count(miner), rest);
    assert_int_equal(lm_miner_add(miner, LM_STR("session opened by user zoe for cron"), &shape),
                     LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    assert_text(text_of(miner, shape), "<*>");
    lm_miner_free(miner);
    lm_mem_free(mem);
}

static void addresses_make_no_templates(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_miner *miner = NULL;
    uint32_t shape = 0;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_miner_new(mem, NULL, &miner), LM_OK);
    lm_test_rng rng = lm_test_rng_make("urls");
    for (int i = 0; i < 20000; i++) {
        char a[12] = {0}, b[12] = {0}, line[200];
        for (int k = 0; k < 10; k++) {
            a[k] = (char)('a' + lm_test_below(&rng, 26));
            b[k] = (char)('a' + lm_test_below(&rng, 26));
        }
        int n =
            snprintf(line, sizeof line, "fetched https://%s.example.org/%s/%s?q=%s from /srv/%s/%s",
                     a, b, a, b, a, b);
        assert_int_equal(lm_miner_add(miner, (lm_str){(uint8_t *)line, (size_t)n}, &shape), LM_OK);
    }
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    assert_int_equal(lm_miner_shape_count(miner), 1);
    assert_text(text_of(miner, shape), "fetched <*> from <*>");
    lm_miner_free(miner);
    lm_mem_free(mem);
}

static void odd_lines_are_lines_too(void **state)
{
    (void)state;
    lm_mem *mem = NULL;
    lm_miner *miner = NULL;
    uint32_t shape = 0;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_miner_new(mem, NULL, &miner), LM_OK);
    uint8_t *big = malloc(1 << 20);
    assert_non_null(big);
    static const uint8_t fills[] = {' ', '.', '0', 'a', '(', 0, 0xff, '"', '\\', ':'};
    for (size_t k = 0; k < sizeof fills; k++) {
        memset(big, fills[k], 1 << 20);
        assert_int_equal(lm_miner_add(miner, (lm_str){big, 1 << 20}, &shape), LM_OK);
        assert_int_equal(lm_miner_add(miner, (lm_str){big, 1}, &shape), LM_OK);
    }
    free(big);
    assert_int_equal(lm_miner_add(miner, (lm_str){NULL, 0}, &shape), LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
    assert_text(text_of(miner, shape), "");
    lm_miner_free(miner);
    lm_mem_free(mem);
}

static lm_err mine_little(lm_mem *mem)
{
    static const char *const text[] = {"user ann in",   "user bob in",   "user cid in",
                                       "user dan in x", "user eve in 7", "a=1 b=2",
                                       "a=x b=2",       "the end (7 MB)"};
    lm_miner *miner = NULL;
    lm_buf saved;
    lm_buf_init(&saved, mem);
    uint32_t shape = 0;
    lm_err err = lm_miner_new(mem, NULL, &miner);
    if (err) return err;
    for (size_t i = 0; i < 8 && !err; i++)
        err = lm_miner_add(miner, lm_str_of(text[i]), &shape);
    if (!err) err = lm_miner_settle(miner);
    if (!err) err = lm_miner_save(miner, &saved);
    lm_miner_free(miner);
    miner = NULL;
    if (!err) err = lm_miner_load(mem, (lm_str){saved.ptr, saved.len}, NULL, &miner);
    lm_miner_free(miner);
    lm_buf_fini(&saved);
    return err;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, mine_little(mem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(settling_between_does_not_matter),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(ids_keep_their_meaning),
        cmocka_unit_test(known_lines_make_no_shape),
        cmocka_unit_test(a_full_table_says_so),
        cmocka_unit_test(a_full_table_knows_its_slots),
        cmocka_unit_test(addresses_make_no_templates),
        cmocka_unit_test(odd_lines_are_lines_too),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

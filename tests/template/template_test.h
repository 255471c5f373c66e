/** What the tests of the template room share: lines made from a fixed seed, and mining them. */
#ifndef TESTS_TEMPLATE_TEMPLATE_TEST_H
#define TESTS_TEMPLATE_TEMPLATE_TEST_H

#include "lm_test.h"
#include "template/template.h"

typedef struct lines {
    lm_buf text;
    lm_str *items;
    size_t count, cap;
} lines;

static inline void lines_push(lm_mem *mem, lines *l, const char *format, ...)
{
    char buf[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof buf);
    uint8_t *copy = lm_mem_alloc(mem, (size_t)n + 1);
    assert_non_null(copy);
    memcpy(copy, buf, (size_t)n + 1);
    assert_int_equal(lm_vec_grow(mem, &l->items, &l->cap, l->count + 1, sizeof *l->items), LM_OK);
    l->items[l->count++] = (lm_str){copy, (size_t)n};
}

static inline void lines_free(lm_mem *mem, lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        lm_mem_release(mem, (void *)(uintptr_t)l->items[i].ptr, l->items[i].len + 1);
    lm_mem_release(mem, l->items, l->cap * sizeof *l->items);
    *l = (lines){0};
}

/* A stream such as a server writes: names, numbers, paths, states, rare lines. */
static inline void lines_make(lm_mem *mem, lm_test_rng *rng, size_t count, lines *l)
{
    static const char *const names[] = {"alice", "bob",   "carol", "dave", "erin",
                                        "frank", "grace", "heidi", "ivan"};
    static const char *const things[] = {"queue",  "cache",   "index", "journal",
                                         "worker", "session", "volume"};
    static const char *const ends[] = {"started", "stopped", "failed", "restarted"};
    for (size_t i = 0; i < count; i++) {
        const char *name = names[lm_test_below(rng, 9)], *thing = things[lm_test_below(rng, 7)];
        unsigned a = (unsigned)lm_test_below(rng, 100000), b = (unsigned)lm_test_below(rng, 250);
        switch (lm_test_below(rng, 10)) {
        case 0:
            lines_push(mem, l, "session opened for user %s by uid=%u", name, a);
            break;
        case 1:
            lines_push(mem, l, "session closed for user %s", name);
            break;
        case 2:
            lines_push(mem, l, "connection from 10.0.%u.%u port %u", b, b, a);
            break;
        case 3:
            lines_push(mem, l, "the %s was %s after %u ms", thing, ends[lm_test_below(rng, 4)], a);
            break;
        case 4:
            lines_push(mem, l, "read %u bytes of /var/lib/%s/%s.%u", a, thing, name, b);
            break;
        case 5:
            lines_push(mem, l, "eth%u: link is up, %u Mbps", b % 4, a);
            break;
        case 6:
            lines_push(mem, l, "job blk_%u_%x took %u.%02u s, tries=%u", a, a * 77u, b, b % 100,
                       b % 5);
            break;
        case 7:
            lines_push(mem, l, "GET \"/a/%s?id=%u\" status: %u", name, a, b + 200);
            break;
        case 8:
            lines_push(mem, l, "rare words %s %s %s %u", thing, name, ends[lm_test_below(rng, 4)],
                       a);
            break;
        default:
            lines_push(mem, l, "%s of %s set to %s", thing, name, b % 2 ? "true" : "false");
            break;
        }
    }
}

static inline void mine(lm_miner *miner, const lines *l, uint32_t *shapes)
{
    for (size_t i = 0; i < l->count; i++)
        assert_int_equal(lm_miner_add(miner, l->items[i], &shapes[i]), LM_OK);
    assert_int_equal(lm_miner_settle(miner), LM_OK);
}

static inline lm_str text_of(const lm_miner *miner, uint32_t shape)
{
    return lm_miner_text(miner, lm_miner_template_of(miner, shape));
}

static inline void assert_text(lm_str got, const char *wanted)
{
    char copy[2048];
    snprintf(copy, sizeof copy, "%.*s", (int)got.len, (const char *)got.ptr);
    assert_string_equal(copy, wanted);
}

#endif

/** Sets of matchers over the labels of streams. */
#include "logql/logql_priv.h"

lm_err lm_lq_matcher_test(const lm_lq_matcher *matcher, lm_str value, lm_regex_room *room,
                          bool *out)
{
    switch (matcher->is.op) {
    case LM_IS:
        *out = lm_str_equal(matcher->is.value, value);
        return LM_OK;
    case LM_IS_NOT:
        *out = !lm_str_equal(matcher->is.value, value);
        return LM_OK;
    default:
        break;
    }
    bool found = false;
    lm_err err = lm_regex_find(matcher->regex, value, 0, room, &found, NULL);
    if (!err) *out = found == (matcher->is.op == LM_LIKE);
    return err;
}

struct lm_matcher_set {
    lm_mem *mem;
    lm_arena arena;
    lm_lq_matcher *matchers;
    uint32_t count;
};

lm_err lm_matcher_set_new(lm_mem *mem, const lm_matcher *matchers, uint32_t count,
                          lm_matcher_set **out)
{
    lm_err err = LM_OK;
    lm_matcher_set *set = lm_mem_calloc(mem, 1, sizeof *set);
    if (!set) return lm_mem_err();
    set->mem = mem;
    lm_arena_init(&set->arena, mem);
    set->matchers =
        lm_arena_alloc(&set->arena, (count + 1) * sizeof *set->matchers, _Alignof(lm_lq_matcher));
    if (!set->matchers) err = lm_mem_err();
    for (uint32_t i = 0; i < count && !err; i++) {
        lm_lq_matcher *to = &set->matchers[set->count];
        *to = (lm_lq_matcher){.is = matchers[i]};
        to->is.name.ptr = lm_arena_copy(&set->arena, matchers[i].name.ptr, matchers[i].name.len);
        if (to->is.name.ptr)
            to->is.value.ptr =
                lm_arena_copy(&set->arena, matchers[i].value.ptr, matchers[i].value.len);
        if (!to->is.name.ptr || !to->is.value.ptr) {
            err = lm_mem_err();
        } else if (to->is.op == LM_LIKE || to->is.op == LM_UNLIKE) {
            err = lm_lq_regex_new(mem, to->is.value, LM_REGEX_WHOLE | LM_REGEX_DOTALL, &to->regex);
        }
        if (!err) set->count++;
    }
    if (err) {
        lm_matcher_set_free(set);
    } else {
        *out = set;
    }
    return err;
}

void lm_matcher_set_free(lm_matcher_set *set)
{
    if (!set) return;
    for (uint32_t i = 0; i < set->count; i++)
        lm_regex_free(set->matchers[i].regex);
    lm_arena_fini(&set->arena);
    lm_mem_release(set->mem, set, sizeof *set);
}

bool lm_matcher_set_match(const lm_matcher_set *set, lm_labels labels)
{
    lm_regex_room room = {set->mem, NULL};
    bool matches = true;
    for (uint32_t i = 0; i < set->count && matches; i++) {
        const lm_lq_matcher *matcher = &set->matchers[i];
        lm_err err =
            lm_lq_matcher_test(matcher, lm_labels_get(labels, matcher->is.name), &room, &matches);
        if (err) matches = false; /* a pattern that takes too many steps matches nothing */
    }
    lm_regex_room_fini(&room);
    return matches;
}

/** Templates of bare messages: one file, one message a line. */
#include "api/api_priv.h"

/** Threads that a steadiness report compares with one; small, since the answer must not depend on
 * it. */
#define CONVERGENCE_THREADS 4u

/** Messages in memory, and the shape of each. */
typedef struct mining {
    lm_context *context;
    lm_miner *miner;
    uint32_t *shapes; /* by message */
    size_t count, cap;
} mining;

static lm_err mining_take(void *ctx, const lm_str *lines, size_t count)
{
    mining *work = ctx;
    if (work->count + count > UINT32_MAX)
        return lm_fail(LM_E_LIMIT, "more than %u messages", UINT32_MAX);
    lm_err err = lm_vec_grow(work->context->mem, &work->shapes, &work->cap, work->count + count,
                             sizeof *work->shapes);
    for (size_t i = 0; i < count && !err; i++)
        err = lm_miner_add(work->miner, lines[i], &work->shapes[work->count + i]);
    if (!err) work->count += count;
    return err;
}

static void mining_fini(mining *work)
{
    lm_miner_free(work->miner);
    lm_mem_release(work->context->mem, work->shapes, work->cap * sizeof *work->shapes);
}

static lm_err rules_apply(mining *work, const char *yaml, lm_arena *arena)
{
    lm_miner_rule *rules = NULL;
    size_t count = 0;
    lm_err err = lm_miner_rules_parse(work->context->mem, lm_str_of(yaml), arena, &rules, &count);
    return err ? err : lm_miner_rules_set(work->miner, rules, count);
}

lm_err lm_messages_assign(lm_context *context, const char *path, const char *template_yaml,
                          lm_assigned_fn take, void *take_ctx)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    mining work = {.context = context};
    lm_arena rules; /* outlives the miner, which may borrow from it */
    lm_arena_init(&rules, context->mem);
    lm_err err = lm_miner_new(context->mem, NULL, &work.miner);
    if (!err && template_yaml) err = rules_apply(&work, template_yaml, &rules);
    if (!err) err = api_each_lines(context, path, mining_take, &work);
    if (!err) err = lm_miner_settle(work.miner);
    for (size_t i = 0; i < work.count && !err; i++) {
        uint32_t id = lm_miner_template_of(work.miner, work.shapes[i]);
        if (!take(take_ctx, id, api_text(lm_miner_text(work.miner, id)))) break;
    }
    mining_fini(&work);
    lm_arena_fini(&rules);
    return context_end(context, err);
}

/* ---- steadiness ---- */

/** All lines of the file as one text, so that it can be dealt out in parts. */
typedef struct message_list {
    lm_context *context;
    lm_buf text;
    size_t *ends; /* of message i in text */
    size_t count, cap;
} message_list;

static lm_err list_take(void *ctx, const lm_str *lines, size_t count)
{
    message_list *list = ctx;
    lm_err err = lm_vec_grow(list->context->mem, &list->ends, &list->cap, list->count + count,
                             sizeof *list->ends);
    for (size_t i = 0; i < count && !err; i++) {
        err = lm_buf_append(&list->text, lines[i].ptr, lines[i].len);
        list->ends[list->count + i] = list->text.len;
    }
    if (!err) list->count += count;
    return err;
}

static lm_str list_at(const message_list *list, size_t i)
{
    size_t begin = i ? list->ends[i - 1] : 0;
    return (lm_str){list->text.ptr + begin, list->ends[i] - begin};
}

/** Part of the messages, mined by a worker of its own. */
typedef struct mining_part {
    const message_list *list;
    size_t begin, end;
    lm_miner *miner;
    uint32_t *shapes; /* by message of the whole list; shared, each part writes its own */
} mining_part;

static lm_err part_run(void *ctx, size_t index)
{
    mining_part *part = (mining_part *)ctx + index;
    lm_err err = LM_OK;
    for (size_t i = part->begin; i < part->end && !err; i++) {
        err = lm_miner_add(part->miner, list_at(part->list, i), &part->shapes[i]);
    }
    return err;
}

/** Join the part's miner into `into`, and number the part's messages by it. */
static lm_err part_join(lm_context *context, lm_miner *into, mining_part *part)
{
    size_t shapes = lm_miner_shape_count(part->miner);
    uint32_t *map = lm_mem_alloc(context->mem, shapes * sizeof *map);
    lm_err err = map ? lm_miner_join(into, part->miner, map) : lm_mem_err();
    for (size_t i = part->begin; i < part->end && !err; i++)
        part->shapes[i] = map[part->shapes[i]];
    lm_mem_release(context->mem, map, shapes * sizeof *map);
    return err;
}

/** Mine the list with several threads, a miner each, joined at the end. */
static lm_err mine_parts(lm_context *context, const message_list *list, lm_miner *into,
                         uint32_t *shapes)
{
    mining_part parts[CONVERGENCE_THREADS] = {0};
    lm_pool *pool = NULL;
    lm_err err = lm_pool_new(context->mem, CONVERGENCE_THREADS, &pool);
    for (size_t i = 0; i < CONVERGENCE_THREADS && !err; i++) {
        parts[i] = (mining_part){.list = list,
                                 .begin = list->count * i / CONVERGENCE_THREADS,
                                 .end = list->count * (i + 1) / CONVERGENCE_THREADS,
                                 .shapes = shapes};
        err = lm_miner_new(context->mem, NULL, &parts[i].miner);
    }
    if (!err) err = lm_pool_for(pool, CONVERGENCE_THREADS, part_run, parts);
    for (size_t i = 0; i < CONVERGENCE_THREADS && !err; i++)
        err = part_join(context, into, &parts[i]);
    if (!err) err = lm_miner_settle(into);
    for (size_t i = 0; i < CONVERGENCE_THREADS; i++)
        lm_miner_free(parts[i].miner);
    lm_pool_free(pool);
    return err;
}

/** Are the groups the same? Each template of one side must meet one of the other, both ways. */
static lm_err groups_compare(lm_context *context, const mining *one, const lm_miner *other,
                             const uint32_t *other_shapes, bool *out_same)
{
    size_t a_count = lm_miner_template_count(one->miner), b_count = lm_miner_template_count(other);
    size_t bytes = (a_count + b_count) * sizeof(uint32_t);
    uint32_t *partner = lm_mem_alloc(context->mem, bytes);
    if (!partner) return lm_mem_err();
    memset(partner, 0xff, bytes);
    uint32_t *of_b = partner + a_count;
    bool is_same = true;
    for (size_t i = 0; i < one->count && is_same; i++) {
        uint32_t a = lm_miner_template_of(one->miner, one->shapes[i]),
                 b = lm_miner_template_of(other, other_shapes[i]);
        if (partner[a] == UINT32_MAX) partner[a] = b;
        if (of_b[b] == UINT32_MAX) of_b[b] = a;
        is_same = partner[a] == b && of_b[b] == a;
    }
    lm_mem_release(context->mem, partner, bytes);
    *out_same = is_same;
    return LM_OK;
}

/** Mine the first half, keep each shape's template text as a hash, mine the rest, count what kept
 * its text. */
static lm_err mine_halves(mining *work, const message_list *list, lm_convergence *out)
{
    lm_context *context = work->context;
    uint64_t *texts = NULL; /* by shape */
    size_t half = list->count / 2, shapes = 0;
    lm_err err =
        lm_vec_grow(context->mem, &work->shapes, &work->cap, list->count, sizeof *work->shapes);
    for (size_t i = 0; i < half && !err; i++)
        err = lm_miner_add(work->miner, list_at(list, i), &work->shapes[i]);
    if (!err) err = lm_miner_settle(work->miner);
    if (err) return err;
    shapes = lm_miner_shape_count(work->miner);
    texts = lm_mem_alloc(context->mem, shapes * sizeof *texts);
    if (!texts) return lm_mem_err();
    for (size_t i = 0; i < shapes; i++) {
        lm_str text = lm_miner_text(work->miner, lm_miner_template_of(work->miner, (uint32_t)i));
        texts[i] = lm_hash64(text.ptr, text.len);
    }
    for (size_t i = half; i < list->count && !err; i++)
        err = lm_miner_add(work->miner, list_at(list, i), &work->shapes[i]);
    if (!err) err = lm_miner_settle(work->miner);
    for (size_t i = 0; i < half && !err; i++) {
        lm_str text =
            lm_miner_text(work->miner, lm_miner_template_of(work->miner, work->shapes[i]));
        out->first_half_steady += texts[work->shapes[i]] == lm_hash64(text.ptr, text.len);
    }
    work->count = list->count;
    out->first_half = half;
    lm_mem_release(context->mem, texts, shapes * sizeof *texts);
    return err;
}

/** Distinct templates that messages have. */
static lm_err templates_count(const mining *work, uint64_t *out)
{
    size_t count = lm_miner_template_count(work->miner);
    uint8_t *seen = lm_mem_calloc(work->context->mem, count, 1);
    if (!seen) return lm_mem_err();
    *out = 0;
    for (size_t i = 0; i < work->count; i++) {
        uint32_t id = lm_miner_template_of(work->miner, work->shapes[i]);
        *out += !seen[id];
        seen[id] = 1;
    }
    lm_mem_release(work->context->mem, seen, count);
    return LM_OK;
}

/** The plain way: one miner, message after message. */
static lm_err mining_all(mining *work, const message_list *list)
{
    lm_err err = lm_vec_grow(work->context->mem, &work->shapes, &work->cap, list->count,
                             sizeof *work->shapes);
    for (size_t i = 0; i < list->count && !err; i++)
        err = lm_miner_add(work->miner, list_at(list, i), &work->shapes[i]);
    work->count = list->count;
    return err ? err : lm_miner_settle(work->miner);
}

static lm_err converge(lm_context *context, const message_list *list, lm_convergence *out)
{
    mining one = {.context = context};
    lm_miner *other = NULL;
    size_t bytes = list->count * sizeof(uint32_t);
    uint32_t *other_shapes = lm_mem_alloc(context->mem, bytes);
    lm_err err = other_shapes ? lm_miner_new(context->mem, NULL, &one.miner) : lm_mem_err();
    if (!err) err = mining_all(&one, list);
    if (!err) err = lm_miner_new(context->mem, NULL, &other);
    if (!err) err = mine_parts(context, list, other, other_shapes);
    if (!err) err = groups_compare(context, &one, other, other_shapes, &out->threads_agree);
    lm_miner_free(other);
    lm_mem_release(context->mem, other_shapes, bytes);
    mining_fini(&one);
    if (err) return err;

    mining halves = {.context = context};
    err = lm_miner_new(context->mem, NULL, &halves.miner);
    if (!err) err = mine_halves(&halves, list, out);
    if (!err) err = templates_count(&halves, &out->templates);
    mining_fini(&halves);
    out->messages = list->count;
    out->threads = CONVERGENCE_THREADS;
    return err;
}

lm_err lm_messages_convergence(lm_context *context, const char *path, lm_convergence *out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    message_list list = {.context = context};
    lm_convergence found = {0};
    lm_buf_init(&list.text, context->mem);
    lm_err err = api_each_lines(context, path, list_take, &list);
    if (!err && list.count == 0)
        found = (lm_convergence){.threads = CONVERGENCE_THREADS, .threads_agree = true};
    else if (!err)
        err = converge(context, &list, &found);
    if (!err) *out = found;
    lm_mem_release(context->mem, list.ends, list.cap * sizeof *list.ends);
    lm_buf_fini(&list.text);
    return context_end(context, err);
}

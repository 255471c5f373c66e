/**
 * Metric queries: the tree is worked out step by step. Every node knows its series by number (those
 * of its child where labels stay as they are), so that grouping and matching are looked up once per
 * series, not once per step.
 */
#include "logql/logql_priv.h"

#include <stdlib.h>

#define NONE UINT32_MAX

typedef struct group {
    double value, mean;
    int64_t count;
    uint32_t stamp; /* step + 1 that it was last used in */
} group;

typedef struct pair { /* of series whose result is known */
    uint32_t right, out;
} pair;

typedef struct numbers {
    uint32_t *items;
    size_t count, cap;
} numbers;

typedef struct eval {
    const lm_lq_expr *expr;
    lm_lq_range_node *range;
    lm_lq_series_table own;
    lm_lq_series_table *table; /* own, or the child's */
    lm_lq_vector left, right;
    numbers left_map, right_map; /* series of a child: group, signature or own number */
    lm_lq_series_table signatures;
    group *groups;
    size_t group_cap;
    pair *pairs; /* by series of the left side */
    size_t pair_cap;
    uint32_t *stamps; /* by signature: step + 1, then place in the right vector */
    size_t stamp_cap;
    uint32_t *places;
    size_t place_cap;
    struct member *members;
    size_t member_cap;
} eval;

typedef struct member { /* of a vector being sorted */
    uint32_t group, series;
    double value;
    lm_labels labels;
} member;

typedef struct metric {
    lm_mem *mem;
    lm_arena arena; /* of a step */
    eval *evals;    /* by index of the node */
    uint32_t eval_count;
    lm_lq_steps steps;
} metric;

/* ---- making ---- */

static bool pushes_grouping(const lm_lq_expr *expr)
{
    if (expr->kind != LM_LQ_E_AGGREGATE || expr->op != LM_LQ_T_SUM ||
        expr->left->kind != LM_LQ_E_RANGE || expr->left->grouping.is_given)
        return false;
    switch (expr->left->op) {
    case LM_LQ_T_BYTES_OVER_TIME:
    case LM_LQ_T_BYTES_RATE:
    case LM_LQ_T_SUM_OVER_TIME:
    case LM_LQ_T_RATE:
    case LM_LQ_T_COUNT_OVER_TIME:
        return true;
    default:
        return false;
    }
}

static lm_err prepare(metric *m, const lm_lq_expr *expr, const lm_lq_grouping *of_sum,
                      const lm_store_face *store, const lm_logql_range *range,
                      lm_logql_result *counts)
{
    eval *e = &m->evals[expr->index];
    lm_err err = LM_OK;
    e->expr = expr;
    e->table = &e->own;
    switch (expr->kind) {
    case LM_LQ_E_RANGE:
        err = lm_lq_range_new(m->mem, expr, of_sum, m->steps, range->cancel, &e->range);
        if (err) return err;
        e->table = lm_lq_range_series(e->range);
        return lm_lq_range_select(e->range, store, range->tenant, &counts->records_seen,
                                  &counts->bytes_seen);
    case LM_LQ_E_AGGREGATE:
        err = prepare(m, expr->left, pushes_grouping(expr) ? &expr->grouping : NULL, store, range,
                      counts);
        break;
    case LM_LQ_E_REPLACE:
        err = prepare(m, expr->left, NULL, store, range, counts);
        break;
    case LM_LQ_E_BINARY:
        err = prepare(m, expr->left, NULL, store, range, counts);
        if (!err) err = prepare(m, expr->right, NULL, store, range, counts);
        break;
    default:
        break;
    }
    if (err || !expr->left) return err;
    const lm_lq_expr *vector = expr->left;
    bool passes = false;
    if (expr->kind == LM_LQ_E_AGGREGATE) {
        passes = expr->op == LM_LQ_T_TOPK || expr->op == LM_LQ_T_BOTTOMK ||
                 expr->op == LM_LQ_T_APPROX_TOPK || expr->op == LM_LQ_T_SORT ||
                 expr->op == LM_LQ_T_SORT_DESC;
    } else if (expr->kind == LM_LQ_E_BINARY) {
        bool left_number = expr->left->kind == LM_LQ_E_LITERAL;
        passes = left_number || expr->right->kind == LM_LQ_E_LITERAL || expr->op == LM_LQ_T_AND ||
                 expr->op == LM_LQ_T_UNLESS;
        if (left_number) vector = expr->right;
    }
    if (passes) e->table = m->evals[vector->index].table;
    return LM_OK;
}

static void eval_fini(metric *m, eval *e)
{
    lm_lq_range_free(e->range);
    lm_lq_series_fini(&e->own);
    lm_lq_series_fini(&e->signatures);
    lm_mem_release(m->mem, e->left.items, e->left.cap * sizeof *e->left.items);
    lm_mem_release(m->mem, e->right.items, e->right.cap * sizeof *e->right.items);
    lm_mem_release(m->mem, e->left_map.items, e->left_map.cap * sizeof(uint32_t));
    lm_mem_release(m->mem, e->right_map.items, e->right_map.cap * sizeof(uint32_t));
    lm_mem_release(m->mem, e->groups, e->group_cap * sizeof *e->groups);
    lm_mem_release(m->mem, e->pairs, e->pair_cap * sizeof *e->pairs);
    lm_mem_release(m->mem, e->stamps, e->stamp_cap * sizeof *e->stamps);
    lm_mem_release(m->mem, e->places, e->place_cap * sizeof *e->places);
    lm_mem_release(m->mem, e->members, e->member_cap * sizeof *e->members);
}

/* ---- labels ---- */

static bool is_named(const lm_str *names, uint32_t count, lm_str name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (lm_str_equal(names[i], name)) return true;
    }
    return false;
}

/** Labels with these names alone, or without them; in the arena of the step. Empty ones, which
 * parsers may make, go where Loki builds labels anew: everywhere but in `by`. */
static lm_err labels_by(metric *m, lm_labels from, const lm_str *names, uint32_t count,
                        bool is_without, bool keeps_empty, lm_labels *out)
{
    lm_label *items = lm_arena_alloc(&m->arena, (from.count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    uint32_t kept = 0;
    for (uint32_t i = 0; i < from.count; i++) {
        if (is_named(names, count, from.items[i].name) != is_without &&
            (keeps_empty || from.items[i].value.len))
            items[kept++] = from.items[i];
    }
    *out = (lm_labels){items, kept};
    return LM_OK;
}

/** The entry of series in map; NONE if it has none yet. */
static lm_err map_slot(metric *m, numbers *map, uint32_t series, uint32_t **out)
{
    if (series >= map->count) {
        lm_err err =
            lm_vec_grow(m->mem, &map->items, &map->cap, (size_t)series + 1, sizeof *map->items);
        if (err) return err;
        while (map->count <= series)
            map->items[map->count++] = NONE;
    }
    *out = &map->items[series];
    return LM_OK;
}

static lm_err eval_step(metric *m, const lm_lq_expr *expr, uint32_t step, lm_lq_vector *out);

/* ---- aggregations ---- */

static lm_err group_of(metric *m, eval *e, uint32_t series, uint32_t *out)
{
    uint32_t *slot;
    const lm_lq_grouping *grouping = &e->expr->grouping;
    lm_err err = map_slot(m, &e->left_map, series, &slot);
    if (err) return err;
    if (*slot == NONE) {
        lm_labels labels;
        lm_labels from = m->evals[e->expr->left->index].table->labels[series];
        /* Groups are numbered by labels of their own: where members pass, own is free for it. */
        err = labels_by(m, from, grouping->names, grouping->count, grouping->is_without,
                        !grouping->is_without, &labels);
        if (!err) err = lm_lq_series_of(&e->own, labels, slot);
        if (err) return err;
    }
    *out = *slot;
    size_t old_cap = e->group_cap;
    err = lm_vec_grow(m->mem, &e->groups, &e->group_cap, e->own.count, sizeof *e->groups);
    if (!err && e->group_cap > old_cap)
        memset(e->groups + old_cap, 0, (e->group_cap - old_cap) * sizeof *e->groups);
    return err;
}

static void group_begin(lm_lq_tok op, group *g, double v, uint32_t stamp)
{
    *g = (group){.value = v, .mean = v, .count = 1, .stamp = stamp};
    if (op == LM_LQ_T_STDDEV || op == LM_LQ_T_STDVAR) g->value = 0;
}

static void group_add(lm_lq_tok op, group *g, double v)
{
    double delta;
    g->count++;
    switch (op) {
    case LM_LQ_T_SUM:
        g->value += v;
        break;
    case LM_LQ_T_AVG:
        if (isinf(g->mean) && ((isinf(v) && (g->mean > 0) == (v > 0)) || (!isinf(v) && !isnan(v))))
            break;
        g->mean += (v - g->mean) / (double)g->count;
        break;
    case LM_LQ_T_MAX:
        if (g->value < v || isnan(g->value)) g->value = v;
        break;
    case LM_LQ_T_MIN:
        if (g->value > v || isnan(g->value)) g->value = v;
        break;
    case LM_LQ_T_STDDEV:
    case LM_LQ_T_STDVAR:
        delta = v - g->mean;
        g->mean += delta / (double)g->count;
        g->value += delta * (v - g->mean);
        break;
    default:
        break;
    }
}

static double group_value(lm_lq_tok op, const group *g)
{
    switch (op) {
    case LM_LQ_T_AVG:
        return g->mean;
    case LM_LQ_T_COUNT:
        return (double)g->count;
    case LM_LQ_T_STDDEV:
        return sqrt(g->value / (double)g->count);
    case LM_LQ_T_STDVAR:
        return g->value / (double)g->count;
    default:
        return g->value;
    }
}

static int by_rank(const member *a, const member *b, bool smallest)
{
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (isnan(a->value) || isnan(b->value)) {
        if (isnan(a->value) != isnan(b->value)) return isnan(a->value) - isnan(b->value);
    } else if (a->value != b->value) {
        return (a->value < b->value) == smallest ? -1 : 1;
    }
    return lm_lq_labels_compare(a->labels, b->labels); /* of equal values the first by labels */
}

static int largest_first(const void *a, const void *b)
{
    return by_rank(a, b, false);
}

static int smallest_first(const void *a, const void *b)
{
    return by_rank(a, b, true);
}

static lm_err rank(metric *m, eval *e, lm_lq_vector *out)
{
    const lm_lq_expr *expr = e->expr;
    lm_err err =
        lm_vec_grow(m->mem, &e->members, &e->member_cap, e->left.count + 1, sizeof *e->members);
    for (size_t i = 0; i < e->left.count && !err; i++) {
        member *to = &e->members[i];
        *to = (member){.series = e->left.items[i].series,
                       .value = e->left.items[i].value,
                       .labels = e->table->labels[e->left.items[i].series]};
        err = group_of(m, e, to->series, &to->group);
    }
    if (err) return err;
    bool smallest = expr->op == LM_LQ_T_BOTTOMK || expr->op == LM_LQ_T_SORT;
    bool all = expr->op == LM_LQ_T_SORT || expr->op == LM_LQ_T_SORT_DESC;
    qsort(e->members, e->left.count, sizeof *e->members, smallest ? smallest_first : largest_first);
    double taken = 0;
    for (size_t i = 0; i < e->left.count && !err; i++) {
        if (i && e->members[i].group != e->members[i - 1].group) taken = 0;
        if (!all && taken >= expr->param) continue;
        taken++;
        err = lm_lq_vector_add(m->mem, out, e->members[i].series, e->members[i].value);
    }
    return err;
}

static lm_err aggregate(metric *m, eval *e, uint32_t step, lm_lq_vector *out)
{
    const lm_lq_expr *expr = e->expr;
    e->left.count = 0;
    lm_err err = eval_step(m, expr->left, step, &e->left);
    if (err) return err;
    if (e->table != &e->own) return rank(m, e, out);
    size_t first = out->count;
    for (size_t i = 0; i < e->left.count && !err; i++) {
        uint32_t number = 0;
        double v = e->left.items[i].value;
        err = group_of(m, e, e->left.items[i].series, &number);
        if (err) return err;
        group *g = &e->groups[number];
        if (g->stamp == step + 1) {
            group_add(expr->op, g, v);
        } else {
            group_begin(expr->op, g, v, step + 1);
            err = lm_lq_vector_add(m->mem, out, number, 0);
        }
    }
    for (size_t i = first; i < out->count; i++)
        out->items[i].value = group_value(expr->op, &e->groups[out->items[i].series]);
    return err;
}

/* ---- operators ---- */

static bool is_comparison(lm_lq_tok op)
{
    return op >= LM_LQ_T_CMP_EQ && op <= LM_LQ_T_LTE ? true : op == LM_LQ_T_NEQ;
}

/** a op b; *out_kept false: a comparison that does not hold. */
static double operate(lm_lq_tok op, double a, double b, bool *out_kept)
{
    bool holds = true;
    double v = 0;
    switch (op) {
    case LM_LQ_T_ADD:
        v = a + b;
        break;
    case LM_LQ_T_SUB:
        v = a - b;
        break;
    case LM_LQ_T_MUL:
        v = a * b;
        break;
    case LM_LQ_T_DIV:
        v = b == 0 ? NAN : a / b;
        break;
    case LM_LQ_T_MOD:
        v = b == 0 ? NAN : fmod(a, b);
        break;
    case LM_LQ_T_POW:
        v = pow(a, b);
        break;
    case LM_LQ_T_CMP_EQ:
        holds = a == b;
        break;
    case LM_LQ_T_NEQ:
        holds = a != b;
        break;
    case LM_LQ_T_GT:
        holds = a > b;
        break;
    case LM_LQ_T_GTE:
        holds = a >= b;
        break;
    case LM_LQ_T_LT:
        holds = a < b;
        break;
    default:
        holds = a <= b;
        break;
    }
    *out_kept = holds;
    return is_comparison(op) ? (double)holds : v;
}

static lm_err with_number(metric *m, eval *e, uint32_t step, lm_lq_vector *out)
{
    const lm_lq_expr *expr = e->expr;
    bool number_left = expr->left->kind == LM_LQ_E_LITERAL;
    const lm_lq_expr *vector = number_left ? expr->right : expr->left;
    double number = number_left ? expr->left->param : expr->right->param;
    e->left.count = 0;
    lm_err err = eval_step(m, vector, step, &e->left);
    for (size_t i = 0; i < e->left.count && !err; i++) {
        double v = e->left.items[i].value;
        bool kept;
        double result =
            number_left ? operate(expr->op, number, v, &kept) : operate(expr->op, v, number, &kept);
        if (is_comparison(expr->op) && !expr->is_bool) {
            if (!kept) continue;
            result = v;
        }
        err = lm_lq_vector_add(m->mem, out, e->left.items[i].series, result);
    }
    return err;
}

/** What two sides are matched by, as a number. */
static lm_err signature_of(metric *m, eval *e, numbers *map, const lm_lq_series_table *table,
                           uint32_t series, uint32_t *out)
{
    const lm_lq_expr *expr = e->expr;
    uint32_t *slot;
    lm_err err = map_slot(m, map, series, &slot);
    if (err) return err;
    if (*slot == NONE) {
        lm_labels labels;
        err = labels_by(m, table->labels[series], expr->matching, expr->matching_count,
                        !expr->is_on, false, &labels);
        if (!err) err = lm_lq_series_of(&e->signatures, labels, slot);
    }
    *out = *slot;
    return err;
}

static lm_err result_labels(metric *m, const lm_lq_expr *expr, lm_labels many, lm_labels one,
                            lm_labels *out)
{
    lm_label *items =
        lm_arena_alloc(&m->arena, (many.count + expr->include_count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    uint32_t count = 0;
    for (uint32_t i = 0; i < many.count; i++) {
        lm_str name = many.items[i].name;
        if (expr->card == LM_LQ_ONE_TO_ONE &&
            is_named(expr->matching, expr->matching_count, name) != expr->is_on)
            continue;
        if (is_named(expr->include, expr->include_count, name) || !many.items[i].value.len)
            continue;
        items[count++] = many.items[i];
    }
    for (uint32_t i = 0; i < expr->include_count; i++) {
        lm_str value = lm_labels_get(one, expr->include[i]);
        if (value.len && !is_named(expr->include, i, expr->include[i]))
            items[count++] = (lm_label){expr->include[i], value};
    }
    lm_lq_labels_sort(items, count);
    *out = (lm_labels){items, count};
    return LM_OK;
}

static lm_err result_series(metric *m, eval *e, const lm_lq_series_table *many_table, uint32_t many,
                            const lm_lq_series_table *one_table, uint32_t one, uint32_t *out)
{
    size_t old_cap = e->pair_cap;
    lm_err err = lm_vec_grow(m->mem, &e->pairs, &e->pair_cap, (size_t)many + 1, sizeof *e->pairs);
    if (err) return err;
    for (size_t i = old_cap; i < e->pair_cap; i++)
        e->pairs[i] = (pair){NONE, NONE};
    if (e->pairs[many].right != one) {
        lm_labels labels;
        err = result_labels(m, e->expr, many_table->labels[many], one_table->labels[one], &labels);
        uint32_t number = 0;
        if (!err) err = lm_lq_series_of(&e->own, labels, &number);
        if (err) return err;
        e->pairs[many] = (pair){one, number};
    }
    *out = e->pairs[many].out;
    return LM_OK;
}

/** Room for a stamp per signature; new ones are 0. */
static lm_err grow_stamps(metric *m, uint32_t **stamps, size_t *cap, size_t count)
{
    size_t old_cap = *cap;
    lm_err err = lm_vec_grow(m->mem, stamps, cap, count + 1, sizeof **stamps);
    if (!err && *cap > old_cap) memset(*stamps + old_cap, 0, (*cap - old_cap) * sizeof **stamps);
    return err;
}

static lm_err set_operation(metric *m, eval *e, const lm_lq_series_table *left_table,
                            const lm_lq_series_table *right_table, uint32_t step, lm_lq_vector *out)
{
    lm_lq_tok op = e->expr->op;
    lm_err err = LM_OK;
    /* Signatures of the side that decides are stamped: the left of `or`, else the right. */
    lm_lq_vector *decides = op == LM_LQ_T_OR ? &e->left : &e->right;
    for (size_t i = 0; i < decides->count && !err; i++) {
        uint32_t signature;
        err = decides == &e->left ? signature_of(m, e, &e->left_map, left_table,
                                                 decides->items[i].series, &signature)
                                  : signature_of(m, e, &e->right_map, right_table,
                                                 decides->items[i].series, &signature);
        if (!err) err = grow_stamps(m, &e->stamps, &e->stamp_cap, signature);
        if (!err) e->stamps[signature] = step + 1;
    }
    for (size_t i = 0; i < e->left.count && !err; i++) {
        uint32_t signature, number = e->left.items[i].series;
        if (op == LM_LQ_T_OR) {
            err = lm_lq_series_of(&e->own, left_table->labels[number], &number);
        } else {
            err = signature_of(m, e, &e->left_map, left_table, number, &signature);
            bool has = !err && signature < e->stamp_cap && e->stamps[signature] == step + 1;
            if (err || has != (op == LM_LQ_T_AND)) continue;
        }
        if (!err) err = lm_lq_vector_add(m->mem, out, number, e->left.items[i].value);
    }
    for (size_t i = 0; op == LM_LQ_T_OR && i < e->right.count && !err; i++) {
        uint32_t signature, number = e->right.items[i].series;
        err = signature_of(m, e, &e->right_map, right_table, number, &signature);
        if (err || (signature < e->stamp_cap && e->stamps[signature] == step + 1)) continue;
        err = lm_lq_series_of(&e->own, right_table->labels[number], &number);
        if (!err) err = lm_lq_vector_add(m->mem, out, number, e->right.items[i].value);
    }
    return err;
}

/** Results of one step are stamped, too: two of them must not have the same labels. */
static lm_err arithmetic(metric *m, eval *e, const lm_lq_series_table *left_table,
                         const lm_lq_series_table *right_table, uint32_t step, lm_lq_vector *out)
{
    const lm_lq_expr *expr = e->expr;
    bool swapped = expr->card == LM_LQ_ONE_TO_MANY;
    lm_lq_vector *many = swapped ? &e->right : &e->left, *one = swapped ? &e->left : &e->right;
    const lm_lq_series_table *many_table = swapped ? right_table : left_table;
    const lm_lq_series_table *one_table = swapped ? left_table : right_table;
    numbers *many_map = swapped ? &e->right_map : &e->left_map;
    numbers *one_map = swapped ? &e->left_map : &e->right_map;
    lm_err err = LM_OK;
    uint32_t stamp = 2 * step + 1; /* +1: matched already */
    for (size_t i = 0; i < one->count && !err; i++) {
        uint32_t signature;
        err = signature_of(m, e, one_map, one_table, one->items[i].series, &signature);
        if (!err) err = grow_stamps(m, &e->stamps, &e->stamp_cap, signature);
        if (!err) err = grow_stamps(m, &e->places, &e->place_cap, signature);
        if (err) return err;
        if (e->stamps[signature] == stamp) {
            return lm_fail(LM_E_USAGE,
                           "found duplicate series on the %s hand-side;many-to-many matching not "
                           "allowed: matching labels must be unique on one side",
                           swapped ? "left" : "right");
        }
        e->stamps[signature] = stamp;
        e->places[signature] = (uint32_t)i;
    }
    for (size_t i = 0; i < many->count && !err; i++) {
        uint32_t signature, number;
        err = signature_of(m, e, many_map, many_table, many->items[i].series, &signature);
        if (err) return err;
        if (signature >= e->stamp_cap ||
            (e->stamps[signature] != stamp && e->stamps[signature] != stamp + 1))
            continue;
        const lm_lq_sample *other = &one->items[e->places[signature]];
        if (expr->card == LM_LQ_ONE_TO_ONE && e->stamps[signature] == stamp + 1) {
            return lm_fail(LM_E_USAGE, "multiple matches for labels: many-to-one matching must be "
                                       "explicit (group_left/group_right)");
        }
        e->stamps[signature] = stamp + 1;
        err = result_series(m, e, many_table, many->items[i].series, one_table, other->series,
                            &number);
        size_t old_cap = e->group_cap;
        if (!err)
            err = lm_vec_grow(m->mem, &e->groups, &e->group_cap, (size_t)number + 1,
                              sizeof *e->groups);
        if (err) return err;
        if (e->group_cap > old_cap)
            memset(e->groups + old_cap, 0, (e->group_cap - old_cap) * sizeof *e->groups);
        /* Two of one group only: elsewhere other groups may give the same labels, as in Loki. */
        if (expr->card != LM_LQ_ONE_TO_ONE && e->groups[number].stamp == step + 1 &&
            e->groups[number].count == (int64_t)signature) {
            return lm_fail(LM_E_USAGE, "multiple matches for labels: grouping labels must ensure "
                                       "unique matches");
        }
        e->groups[number].stamp = step + 1;
        e->groups[number].count = (int64_t)signature;
        double left = swapped ? other->value : many->items[i].value;
        double right = swapped ? many->items[i].value : other->value;
        bool kept;
        double result = operate(expr->op, left, right, &kept);
        if (is_comparison(expr->op) && !expr->is_bool) {
            if (!kept) continue;
            result = left;
        }
        err = lm_lq_vector_add(m->mem, out, number, result);
    }
    return err;
}

static lm_err binary(metric *m, eval *e, uint32_t step, lm_lq_vector *out)
{
    const lm_lq_expr *expr = e->expr;
    if (expr->left->kind == LM_LQ_E_LITERAL || expr->right->kind == LM_LQ_E_LITERAL)
        return with_number(m, e, step, out);
    e->left.count = e->right.count = 0;
    lm_err err = eval_step(m, expr->right, step, &e->right);
    if (!err) err = eval_step(m, expr->left, step, &e->left);
    if (err) return err;
    const lm_lq_series_table *left = m->evals[expr->left->index].table;
    const lm_lq_series_table *right = m->evals[expr->right->index].table;
    bool is_set = expr->op == LM_LQ_T_OR || expr->op == LM_LQ_T_AND || expr->op == LM_LQ_T_UNLESS;
    return is_set ? set_operation(m, e, left, right, step, out)
                  : arithmetic(m, e, left, right, step, out);
}

/* ---- label_replace ---- */

static lm_err replaced(metric *m, const lm_lq_expr *expr, lm_labels from, lm_labels *out)
{
    lm_buf text;
    bool found = false;
    const size_t *groups = NULL;
    lm_str src = lm_labels_get(from, expr->src);
    lm_label *items = lm_arena_alloc(&m->arena, (from.count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    lm_regex_room room = {m->mem, NULL};
    lm_buf_init(&text, m->mem);
    lm_err err = lm_regex_find(expr->regex, src, 0, &room, &found, &groups);
    *out = from;
    if (err || !found) goto out;
    err = lm_lq_regex_expand(expr->regex, src, groups, expr->replacement, &text);
    uint32_t count = 0;
    for (uint32_t i = 0; i < from.count; i++) {
        if (!lm_str_equal(from.items[i].name, expr->dst) && from.items[i].value.len)
            items[count++] = from.items[i];
    }
    if (!err && text.len) {
        const uint8_t *copy = lm_arena_copy(&m->arena, text.ptr, text.len);
        if (!copy) err = lm_mem_err();
        items[count++] = (lm_label){expr->dst, {copy, text.len}};
    }
    lm_lq_labels_sort(items, count);
    *out = (lm_labels){items, count};
out:
    lm_buf_fini(&text);
    lm_regex_room_fini(&room);
    return err;
}

static lm_err replace_step(metric *m, eval *e, uint32_t step, lm_lq_vector *out)
{
    e->left.count = 0;
    lm_err err = eval_step(m, e->expr->left, step, &e->left);
    for (size_t i = 0; i < e->left.count && !err; i++) {
        uint32_t *slot, series = e->left.items[i].series;
        err = map_slot(m, &e->left_map, series, &slot);
        if (!err && *slot == NONE) {
            lm_labels labels;
            err =
                replaced(m, e->expr, m->evals[e->expr->left->index].table->labels[series], &labels);
            if (!err) err = lm_lq_series_of(&e->own, labels, slot);
        }
        if (!err) err = lm_lq_vector_add(m->mem, out, *slot, e->left.items[i].value);
    }
    return err;
}

static lm_err eval_step(metric *m, const lm_lq_expr *expr, uint32_t step, lm_lq_vector *out)
{
    eval *e = &m->evals[expr->index];
    uint32_t number = 0;
    lm_err err;
    switch (expr->kind) {
    case LM_LQ_E_RANGE:
        return lm_lq_range_step(e->range, step, out);
    case LM_LQ_E_AGGREGATE:
        return aggregate(m, e, step, out);
    case LM_LQ_E_BINARY:
        return binary(m, e, step, out);
    case LM_LQ_E_REPLACE:
        return replace_step(m, e, step, out);
    default: /* vector(n); a number on its own is answered elsewhere */
        err = lm_lq_series_of(&e->own, (lm_labels){NULL, 0}, &number);
        return err ? err : lm_lq_vector_add(m->mem, out, number, expr->param);
    }
}

/* ---- answers ---- */

typedef struct points {
    lm_logql_point *items;
    size_t count, cap;
} points;

static int by_labels(const void *a, const void *b)
{
    const lm_logql_series *x = a, *y = b;
    return lm_lq_labels_compare(x->labels, y->labels);
}

static bool is_sorted_by_value(const lm_lq_expr *expr)
{
    if (!expr) return false;
    if (expr->kind == LM_LQ_E_AGGREGATE &&
        (expr->op == LM_LQ_T_SORT || expr->op == LM_LQ_T_SORT_DESC))
        return true;
    return is_sorted_by_value(expr->left) || is_sorted_by_value(expr->right);
}

static lm_err answer_vector(metric *m, const lm_lq_expr *root, const lm_lq_vector *v,
                            lm_arena *arena, lm_logql_result *out)
{
    const lm_lq_series_table *table = m->evals[root->index].table;
    lm_logql_series *series = lm_arena_alloc(arena, (v->count + 1) * sizeof *series, 16);
    lm_logql_point *all = lm_arena_alloc(arena, (v->count + 1) * sizeof *all, 16);
    if (!series || !all) return lm_mem_err();
    for (size_t i = 0; i < v->count; i++) {
        lm_labels labels;
        lm_err err = lm_lq_labels_copy(table->labels[v->items[i].series], arena, &labels);
        if (err) return err;
        all[i] = (lm_logql_point){m->steps.start, v->items[i].value};
        series[i] = (lm_logql_series){.labels = labels, .points = &all[i], .count = 1};
    }
    if (!is_sorted_by_value(root)) qsort(series, v->count, sizeof *series, by_labels);
    out->kind = LM_LOGQL_VECTOR;
    out->series = series;
    out->series_count = v->count;
    return LM_OK;
}

static lm_err answer_matrix(metric *m, const lm_lq_expr *root, points *all, size_t count,
                            lm_arena *arena, lm_logql_result *out)
{
    const lm_lq_series_table *table = m->evals[root->index].table;
    lm_logql_series *series = lm_arena_alloc(arena, (count + 1) * sizeof *series, 16);
    if (!series) return lm_mem_err();
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].count) continue;
        lm_labels labels;
        lm_err err = lm_lq_labels_copy(table->labels[i], arena, &labels);
        if (err) return err;
        size_t bytes = all[i].count * sizeof(lm_logql_point);
        lm_logql_point *copy = lm_arena_alloc(arena, bytes, 16);
        if (!copy) return lm_mem_err();
        memcpy(copy, all[i].items, bytes);
        series[used++] = (lm_logql_series){.labels = labels, .points = copy, .count = all[i].count};
    }
    qsort(series, used, sizeof *series, by_labels);
    out->kind = LM_LOGQL_MATRIX;
    out->series = series;
    out->series_count = used;
    return LM_OK;
}

static lm_err answer_number(const metric *m, double value, bool is_instant, lm_arena *arena,
                            lm_logql_result *out)
{
    lm_logql_series *series = lm_arena_alloc(arena, sizeof *series, 16);
    lm_logql_point *all = lm_arena_alloc(arena, m->steps.count * sizeof *all, 16);
    if (!series || !all) return lm_mem_err();
    for (uint32_t i = 0; i < m->steps.count; i++)
        all[i] = (lm_logql_point){m->steps.start + (int64_t)i * m->steps.step, value};
    *series = (lm_logql_series){.points = all, .count = m->steps.count};
    out->kind = is_instant ? LM_LOGQL_SCALAR : LM_LOGQL_MATRIX;
    out->series = series;
    out->series_count = 1;
    return LM_OK;
}

static lm_err run_steps(metric *m, const lm_lq_expr *root, bool is_instant, lm_arena *arena,
                        lm_logql_result *out)
{
    lm_lq_vector v = {.count = 0};
    points *all = NULL;
    size_t cap = 0, count = 0;
    lm_err err = LM_OK;
    for (uint32_t step = 0; step < m->steps.count && !err; step++) {
        v.count = 0;
        err = eval_step(m, root, step, &v);
        lm_arena_reset(&m->arena);
        if (is_instant || err) break;
        int64_t time_ns = m->steps.start + (int64_t)step * m->steps.step;
        for (size_t i = 0; i < v.count && !err; i++) {
            uint32_t number = v.items[i].series;
            err = lm_vec_grow(m->mem, &all, &cap, (size_t)number + 1, sizeof *all);
            if (err) break;
            while (count <= number)
                all[count++] = (points){.count = 0};
            points *to = &all[number];
            err = lm_vec_grow(m->mem, &to->items, &to->cap, to->count + 1, sizeof *to->items);
            if (!err) to->items[to->count++] = (lm_logql_point){time_ns, v.items[i].value};
        }
    }
    if (!err) {
        err = is_instant ? answer_vector(m, root, &v, arena, out)
                         : answer_matrix(m, root, all, count, arena, out);
    }
    for (size_t i = 0; i < count; i++)
        lm_mem_release(m->mem, all[i].items, all[i].cap * sizeof *all[i].items);
    lm_mem_release(m->mem, all, cap * sizeof *all);
    lm_mem_release(m->mem, v.items, v.cap * sizeof *v.items);
    return err;
}

static lm_err make_steps(const lm_logql_range *range, lm_lq_steps *out)
{
    if (range->step_ns <= 0) {
        *out = (lm_lq_steps){range->end_ns, 1, 1};
        return LM_OK;
    }
    int64_t span;
    if (range->end_ns < range->start_ns)
        return lm_fail(LM_E_USAGE, "end timestamp must not be before or equal to start time");
    if (__builtin_sub_overflow(range->end_ns, range->start_ns, &span) ||
        span / range->step_ns > LM_LOGQL_POINTS_MAX) {
        return lm_fail(LM_E_LIMIT, "exceeded maximum resolution of 11,000 points per time series. "
                                   "Try increasing the value of the step parameter");
    }
    *out = (lm_lq_steps){range->start_ns, range->step_ns, (uint32_t)(span / range->step_ns) + 1};
    return LM_OK;
}

lm_err lm_lq_metric(const lm_logql *query, const lm_store_face *store, const lm_logql_range *range,
                    lm_arena *arena, lm_logql_result *out)
{
    metric m = {.mem = arena->mem, .eval_count = query->node_count};
    lm_logql_result result = {.series_count = 0};
    bool is_instant = range->step_ns <= 0;
    lm_arena_init(&m.arena, m.mem);
    lm_err err = make_steps(range, &m.steps);
    if (err) return err;
    m.evals = lm_mem_calloc(m.mem, m.eval_count, sizeof *m.evals);
    if (!m.evals) return lm_mem_err();
    for (uint32_t i = 0; i < m.eval_count; i++) {
        lm_lq_series_init(&m.evals[i].own, m.mem);
        lm_lq_series_init(&m.evals[i].signatures, m.mem);
    }
    if (query->root->kind == LM_LQ_E_LITERAL) {
        err = answer_number(&m, query->root->param, is_instant, arena, &result);
    } else {
        err = prepare(&m, query->root, NULL, store, range, &result);
        if (!err) err = run_steps(&m, query->root, is_instant, arena, &result);
    }
    if (!err) *out = result;
    for (uint32_t i = 0; i < m.eval_count; i++)
        eval_fini(&m, &m.evals[i]);
    lm_mem_release(m.mem, m.evals, m.eval_count * sizeof *m.evals);
    lm_arena_fini(&m.arena);
    return err;
}

lm_err lm_logql_run(const lm_logql *query, const lm_store_face *store, const lm_logql_range *range,
                    lm_arena *arena, lm_logql_result *out)
{
    return lm_logql_is_metric(query) ? lm_lq_metric(query, store, range, arena, out)
                                     : lm_lq_entries(query, store, range, arena, out);
}

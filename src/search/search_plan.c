/* Which rows of a segment meet conditions on their variables.
 *
 * A row plan says for each shape: its rows never fit, always fit, must be looked at, or fit if one
 * of the shape's ways holds. A way is a conjunction of terms, a term a set of values of one column,
 * asked for a variable of the row. Values of a column are in row order over all shapes that use it,
 * so one pass over the rows that counts how many values each used column has given finds every
 * value without decoding a line.
 *
 * Both literals (below) and comparisons with fields (search_fields.c) become row plans. */
#include "search/search_exec_priv.h"

/* ---- making a plan --------------------------------------------------------------------------- */

lm_err lm_row_plan_init(lm_exec *exec, lm_row_plan *plan)
{
    size_t shapes = exec->shape_count;
    memset(plan, 0, sizeof *plan);
    plan->acts = lm_arena_alloc(&exec->arena, shapes, 1);
    plan->first_way = lm_arena_alloc(&exec->arena, (shapes + 1) * 4, 4);
    plan->first_use = lm_arena_alloc(&exec->arena, (shapes + 1) * 4, 4);
    plan->slot_of_column = lm_arena_alloc(&exec->arena, exec->column_count * 4, 4);
    if (!plan->acts || !plan->first_way || !plan->first_use || !plan->slot_of_column)
        return lm_mem_err();
    memset(plan->slot_of_column, 0xff, exec->column_count * 4);
    return LM_OK;
}

void lm_row_plan_fini(lm_exec *exec, lm_row_plan *plan)
{
    lm_mem_release(exec->mem, plan->ways, plan->way_cap * sizeof *plan->ways);
    lm_mem_release(exec->mem, plan->terms, plan->term_cap * sizeof *plan->terms);
    lm_mem_release(exec->mem, plan->uses, plan->use_cap * sizeof *plan->uses);
}

lm_err lm_row_plan_term(lm_exec *exec, lm_row_plan *plan, const lm_shape *shape, uint32_t piece,
                        const lm_cond_bits *bits)
{
    lm_err err = lm_vec_grow(exec->mem, &plan->terms, &plan->term_cap, plan->term_count + 1,
                             sizeof *plan->terms);
    if (err) return err;
    int32_t column = shape->pieces[piece].column;
    uint32_t occurrence = 0;
    for (uint32_t i = 0; i < piece; i++)
        occurrence += shape->pieces[i].column == column;
    uint32_t *slot = &plan->slot_of_column[column];
    if (*slot == UINT32_MAX) *slot = plan->slot_count++;
    plan->terms[plan->term_count++] = (lm_row_term){*slot, occurrence, *bits};
    return LM_OK;
}

lm_err lm_row_plan_way(lm_exec *exec, lm_row_plan *plan, size_t first_term)
{
    lm_err err = lm_vec_grow(exec->mem, &plan->ways, &plan->way_cap, plan->way_count + 1,
                             sizeof *plan->ways);
    if (!err)
        plan->ways[plan->way_count++] =
            (lm_row_way){(uint32_t)first_term, (uint32_t)(plan->term_count - first_term)};
    return err;
}

/* ---- running it ------------------------------------------------------------------------------ */

/* Which used columns a row of each shape takes how many values of. */
static lm_err uses_plan(lm_exec *exec, lm_row_plan *plan)
{
    for (size_t s = 0; s < exec->shape_count; s++) {
        const lm_shape *shape = &exec->shapes[s];
        size_t first = plan->use_count;
        plan->first_use[s] = (uint32_t)first;
        for (uint32_t i = 0; i < shape->piece_count; i++) {
            int32_t column = shape->pieces[i].column;
            if (column < 0 || plan->slot_of_column[column] == UINT32_MAX) continue;
            uint32_t slot = plan->slot_of_column[column];
            size_t at = first;
            while (at < plan->use_count && plan->uses[at].slot != slot)
                at++;
            if (at == plan->use_count) {
                lm_err err =
                    lm_vec_grow(exec->mem, &plan->uses, &plan->use_cap, at + 1, sizeof *plan->uses);
                if (err) return err;
                plan->uses[plan->use_count++] = (lm_row_use){slot, 0};
            }
            plan->uses[at].count++;
        }
    }
    plan->first_use[exec->shape_count] = (uint32_t)plan->use_count;
    return LM_OK;
}

static bool way_holds(const lm_row_plan *plan, const lm_row_way *way, const uint32_t *used)
{
    for (uint32_t i = 0; i < way->count; i++) {
        const lm_row_term *t = &plan->terms[way->first + i];
        uint32_t value = used[t->slot] + t->occurrence;
        if (value >= t->bits.count || !(t->bits.bits[value / 64] >> value % 64 & 1)) return false;
    }
    return true;
}

/* Rows whose shape decides alone: only the rows of care are visited. */
static void rows_by_shape(const lm_exec *exec, const lm_row_plan *plan, const uint64_t *care,
                          uint64_t *yes, uint64_t *maybe)
{
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = care[w]; left; left &= left - 1) {
            uint32_t row = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);
            uint8_t act = plan->acts[exec->shape_of_row[row]];
            if (act == LM_ACT_ALWAYS) yes[w] |= left & (0 - left);
            if (act == LM_ACT_MAYBE) maybe[w] |= left & (0 - left);
        }
    }
}

/* All rows, counting the values that they take. */
static void rows_by_ways(const lm_exec *exec, const lm_row_plan *plan, const uint64_t *care,
                         uint32_t *used, uint64_t *yes, uint64_t *maybe)
{
    uint64_t *hit = plan->is_window ? maybe : yes;
    for (uint32_t row = 0; row < exec->row_count; row++) {
        uint32_t shape = exec->shape_of_row[row];
        uint8_t act = plan->acts[shape];
        if (act != LM_ACT_NEVER && lm_row_has(care, row)) {
            if (act == LM_ACT_ALWAYS) lm_row_put(yes, row);
            if (act == LM_ACT_MAYBE) lm_row_put(maybe, row);
            for (uint32_t i = plan->first_way[shape]; i < plan->first_way[shape + 1]; i++) {
                if (!way_holds(plan, &plan->ways[i], used)) continue;
                lm_row_put(hit, row);
                break;
            }
        }
        for (uint32_t i = plan->first_use[shape]; i < plan->first_use[shape + 1]; i++)
            used[plan->uses[i].slot] += plan->uses[i].count;
    }
}

lm_err lm_row_plan_run(lm_exec *exec, lm_row_plan *plan, const uint64_t *care, uint64_t *yes,
                       uint64_t *maybe)
{
    plan->first_way[exec->shape_count] = (uint32_t)plan->way_count;
    if (plan->slot_count == 0) {
        rows_by_shape(exec, plan, care, yes, maybe);
        return LM_OK;
    }
    lm_err err = uses_plan(exec, plan);
    if (err) return err;
    uint32_t *used = lm_arena_alloc(&exec->arena, plan->slot_count * sizeof *used, 4);
    if (!used) return lm_mem_err();
    memset(used, 0, plan->slot_count * sizeof *used);
    rows_by_ways(exec, plan, care, used, yes, maybe);
    return LM_OK;
}

/* ---- literals as plans ------------------------------------------------------------------------
 */

/* The conditions of a way, the longest part first: the likeliest to be nowhere. */
static void way_order(const lm_way *way, uint32_t order[LM_WAY_CONDS_MAX])
{
    for (uint32_t i = 0; i < way->count; i++) {
        uint32_t at = i;
        for (; at > 0; at--) {
            const lm_cond *a = &way->conds[order[at - 1]], *b = &way->conds[i];
            if (a->end - a->begin >= b->end - b->begin) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

/* Evaluates the conditions of one way. Terms that always hold are dropped. */
static lm_err way_resolve(lm_exec *exec, lm_scan *scan, const lm_shape *shape, const lm_way *way,
                          lm_row_plan *plan, uint8_t *out_act)
{
    size_t kept = plan->term_count;
    bool unknown = false;
    uint32_t order[LM_WAY_CONDS_MAX];
    way_order(way, order);
    for (uint32_t i = 0; i < way->count; i++) {
        const lm_cond *cond = &way->conds[order[i]];
        int32_t column = shape->pieces[cond->piece].column;
        lm_cond_bits bits;
        lm_err err = lm_cond_eval(exec, scan, (size_t)column, cond, &bits);
        if (!err) err = lm_exec_cancelled(exec);
        if (err) return err;
        if (bits.state == LM_COND_NONE) {
            plan->term_count = kept;
            *out_act = LM_ACT_NEVER;
            return LM_OK;
        }
        unknown = unknown || bits.state == LM_COND_UNKNOWN;
        if (bits.state != LM_COND_SOME) continue;
        err = lm_row_plan_term(exec, plan, shape, cond->piece, &bits);
        if (err) return err;
    }
    if (unknown) {
        *out_act = LM_ACT_MAYBE;
    } else if (plan->term_count == kept) {
        *out_act = plan->is_window ? LM_ACT_MAYBE : LM_ACT_ALWAYS;
    } else {
        *out_act = LM_ACT_WAYS;
    }
    return LM_OK;
}

static lm_err shape_plan(lm_exec *exec, lm_scan *scan, uint32_t shape_index, lm_row_plan *plan)
{
    const lm_shape *shape = &exec->shapes[shape_index];
    size_t first_way = plan->way_count, first_term = plan->term_count;
    uint8_t act = LM_ACT_NEVER;
    lm_verdict verdict = exec->verdicts[shape_index] == LM_NEVER && !exec->query->needs_fields
                             ? LM_NEVER
                         : scan->tight ? (lm_verdict)scan->tight[shape_index]
                                       : lm_exec_scan_shape(exec, scan, shape_index);
    if (verdict == LM_ALWAYS) act = LM_ACT_ALWAYS;
    if (verdict == LM_MAYBE) {
        lm_way found[LM_WAYS_MAX];
        lm_kept_ways ways = {found, 0};
        if (scan->ways)
            ways = scan->ways[shape_index];
        else if (!lm_scan_ways(scan, shape, found, &ways.count))
            ways.count = UINT32_MAX;
        if (ways.count == UINT32_MAX) {
            act = LM_ACT_MAYBE;
            ways.count = 0;
        }
        for (uint32_t i = 0; i < ways.count && act != LM_ACT_ALWAYS; i++) {
            uint8_t one;
            size_t term_before = plan->term_count;
            lm_err err = way_resolve(exec, scan, shape, &ways.ways[i], plan, &one);
            if (err) return err;
            if (one == LM_ACT_NEVER) continue;
            if (one != LM_ACT_WAYS) {
                plan->term_count = term_before;
                if (one == LM_ACT_ALWAYS || act != LM_ACT_MAYBE) act = one;
                continue;
            }
            err = lm_row_plan_way(exec, plan, term_before);
            if (err) return err;
            if (act == LM_ACT_NEVER) act = LM_ACT_WAYS;
        }
    }
    if (act != LM_ACT_WAYS) {
        plan->way_count = first_way;
        plan->term_count = first_term;
    }
    plan->acts[shape_index] = act;
    return LM_OK;
}

/* The ways of the shape that survive what dictionaries say. */
static lm_err shape_tighten(lm_exec *exec, lm_scan *scan, const lm_shape *shape, lm_kept_ways *out)
{
    lm_way ways[LM_WAYS_MAX];
    uint32_t count = 0, kept = 0;
    *out = (lm_kept_ways){NULL, UINT32_MAX};
    if (!lm_scan_ways(scan, shape, ways, &count)) return LM_OK;
    for (uint32_t i = 0; i < count; i++) {
        bool holds = true;
        for (uint32_t k = 0; k < ways[i].count && holds; k++) {
            const lm_cond *cond = &ways[i].conds[k];
            lm_err err =
                lm_cond_try(exec, scan, (size_t)shape->pieces[cond->piece].column, cond, &holds);
            if (err) return err;
        }
        if (holds) ways[kept++] = ways[i];
    }
    lm_way *left = lm_arena_alloc(&exec->arena, kept * sizeof *left, _Alignof(lm_way));
    if (!left) return lm_mem_err();
    memcpy(left, ways, kept * sizeof *left);
    *out = (lm_kept_ways){left, kept};
    return LM_OK;
}

lm_err lm_exec_tighten(lm_exec *exec, lm_scan *scan)
{
    uint8_t *tight = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
    lm_kept_ways *ways =
        lm_arena_alloc(&exec->arena, exec->shape_count * sizeof *ways, _Alignof(lm_kept_ways));
    if (!tight || !ways) return lm_mem_err();
    for (size_t s = 0; s < exec->shape_count; s++) {
        lm_verdict verdict = exec->verdicts[s] == LM_NEVER && !exec->query->needs_fields
                                 ? LM_NEVER
                                 : lm_exec_scan_shape(exec, scan, s);
        ways[s] = (lm_kept_ways){NULL, 0};
        if (verdict == LM_MAYBE) {
            lm_err err = shape_tighten(exec, scan, &exec->shapes[s], &ways[s]);
            if (err) return err;
            if (ways[s].count == 0) verdict = LM_NEVER;
        }
        tight[s] = (uint8_t)verdict;
    }
    scan->ways = ways;
    scan->tight = tight;
    return LM_OK;
}

/* May all conditions of a way hold? */
static lm_err way_try(lm_exec *exec, lm_scan *scan, const lm_shape *shape, const lm_way *way,
                      bool *out_may)
{
    uint32_t order[LM_WAY_CONDS_MAX];
    lm_err err = LM_OK;
    way_order(way, order);
    *out_may = true;
    for (uint32_t i = 0; i < way->count && *out_may && !err; i++) {
        const lm_cond *cond = &way->conds[order[i]];
        size_t column = (size_t)shape->pieces[cond->piece].column;
        lm_cond_bits bits = {.state = LM_COND_UNKNOWN};
        /* the pool was searched as a whole; whose a value of it is takes the rows to tell */
        if (!lm_segment_column_is_pooled(exec->segment, column))
            err = lm_cond_eval(exec, scan, column, cond, &bits);
        *out_may = bits.state != LM_COND_NONE;
        if (!err) err = lm_exec_cancelled(exec);
    }
    return err;
}

lm_err lm_exec_scan_nowhere(lm_exec *exec, lm_scan *scan, bool *out)
{
    const lm_cond whole = {.kind = LM_COND_CONTAINS, .end = (uint8_t)scan->literal.text.len};
    const uint64_t *suspects = NULL;
    lm_str skeletons;
    bool any = true;
    *out = false;
    lm_err err = lm_segment_skeletons(exec->segment, &skeletons);
    if (!err) err = lm_scan_across(scan, skeletons, &suspects, &any);
    if (err || !suspects) return err;
    for (size_t i = 0; i < exec->column_count; i++) { /* dictionaries first, which are cheap */
        bool may = true;
        if (!lm_scan_within(scan, i)) continue;
        if (lm_segment_column_is_pooled(exec->segment, i)) return LM_OK;
        err = lm_cond_try(exec, scan, i, &whole, &may);
        if (err) return err;
    }
    for (size_t i = 0; i < exec->column_count; i++) {
        lm_cond_bits bits;
        if (!lm_scan_within(scan, i)) continue;
        err = lm_cond_eval(exec, scan, i, &whole, &bits);
        if (!err) err = lm_exec_cancelled(exec);
        if (err || bits.state != LM_COND_NONE) return err;
    }
    scan->suspects = suspects; /* no variable has the whole of it */
    *out = !any;
    return LM_OK;
}

lm_err lm_exec_sharpen(lm_exec *exec, lm_scan *scan)
{
    for (size_t s = 0; s < exec->shape_count; s++) {
        if (exec->verdicts[s] == LM_ALWAYS || scan->ways[s].count == UINT32_MAX)
            return LM_OK; /* the rows will be looked at */
    }
    for (size_t s = 0; s < exec->shape_count; s++) {
        bool may = false;
        if (scan->tight[s] != LM_MAYBE) continue;
        for (uint32_t i = 0; i < scan->ways[s].count && !may; i++) {
            lm_err err = way_try(exec, scan, &exec->shapes[s], &scan->ways[s].ways[i], &may);
            if (err) return err;
        }
        if (may) return LM_OK;
        scan->tight[s] = LM_NEVER;
    }
    return LM_OK;
}

lm_err lm_exec_scan(lm_exec *exec, lm_scan *scan, const uint64_t *care, uint64_t *yes,
                    uint64_t *maybe)
{
    lm_row_plan plan;
    lm_err err = lm_row_plan_init(exec, &plan);
    plan.is_window = scan->is_window;
    for (uint32_t s = 0; s < exec->shape_count && !err; s++) {
        plan.first_way[s] = (uint32_t)plan.way_count;
        err = shape_plan(exec, scan, s, &plan);
    }
    if (!err) err = lm_row_plan_run(exec, &plan, care, yes, maybe);
    lm_row_plan_fini(exec, &plan);
    return err;
}

/* One segment against a query: which rows fit, which do not, which must be looked at.
 *
 *   shapes      the whole tree is judged per shape first (search_shape.c); rows of shapes that
 * cannot fit are out, and if all are out, not even the rows' shape ids are decoded sets        the
 * tree is then evaluated over sets of rows, each child only over the rows that still matter
 * ("care"); a leaf splits its care set into yes, maybe, and the rest literals    a shape that may
 * have the literal has it in certain ways; each way is a conjunction of conditions on variables,
 * each condition a set of values of one column. One pass over the rows, counting how far each
 *               column has been used, tells for every row whether one of its ways holds - no line
 * is rendered the rest    patterns leave the rows that hold the literals they demand as maybe;
 * search_run.c renders those and asks lm_node_match
 */
#include "search/search_exec_priv.h"

enum { WINDOWS_MAX = 8, WINDOW_ROWS_FEW = 16, SHARPEN_BYTES_MIN = 3 };

/* ---- sets ------------------------------------------------------------------------------------ */

uint64_t *lm_exec_set(lm_exec *exec)
{
    uint64_t *set = exec->free_count ? exec->free_sets[--exec->free_count]
                                     : lm_arena_alloc(&exec->arena, exec->word_count * 8, 8);
    if (set) memset(set, 0, exec->word_count * 8);
    return set;
}

void lm_exec_set_free(lm_exec *exec, uint64_t *set)
{
    if (!set) return;
    if (lm_vec_grow(exec->mem, &exec->free_sets, &exec->free_cap, exec->free_count + 1, sizeof set))
        return; /* the arena keeps it */
    exec->free_sets[exec->free_count++] = set;
}

static bool set_is_empty(const lm_exec *exec, const uint64_t *set)
{
    for (size_t i = 0; i < exec->word_count; i++) {
        if (set[i]) return false;
    }
    return true;
}

uint32_t lm_exec_head(const lm_exec *exec, uint32_t row)
{
    if (!exec->continues) return row;
    size_t word = row / 64;
    uint64_t heads = ~exec->continues[word] &
                     (UINT64_MAX >> (63 - row % 64)); /* rows up to this one that begin a record */
    while (!heads && word > 0)
        heads = ~exec->continues[--word];
    return heads ? (uint32_t)(word * 64 + 63) - (uint32_t)__builtin_clzll(heads) : 0;
}

lm_err lm_exec_cancelled(const lm_exec *exec)
{
    if (exec->options->cancel && *exec->options->cancel)
        return lm_fail(LM_E_CANCELLED, "the search was stopped");
    return LM_OK;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static lm_value_stamp view_stamp(void *ctx, size_t column)
{
    return lm_segment_stamp(ctx, column);
}

static bool view_may_contain(void *ctx, size_t column, lm_str needle)
{
    return lm_segment_column_may_contain(ctx, column, needle);
}

static bool view_may(void *ctx, size_t column, lm_str part, unsigned where)
{
    return lm_segment_column_may(ctx, column, part, where);
}

static bool view_is_time(void *ctx, size_t column, uint16_t *out_layout)
{
    return lm_segment_column_is_time(ctx, column, out_layout);
}

static bool view_pool(void *ctx, size_t column, lm_str *out)
{
    return lm_segment_column_is_pooled(ctx, column) && lm_segment_pool(ctx, out) == LM_OK;
}

/* A text too long for one scan is looked for window by window: a line that has it has all of them.
 */
static lm_err windows_init(lm_exec *exec, lm_str text, bool nocase, const lm_column_view *view,
                           lm_leaf *leaf)
{
    size_t count = (text.len + LM_SCAN_TEXT_MAX - 1) / LM_SCAN_TEXT_MAX;
    if (count > WINDOWS_MAX) count = WINDOWS_MAX;
    leaf->scans = lm_arena_alloc(&exec->arena, count * sizeof *leaf->scans, _Alignof(lm_scan));
    if (!leaf->scans) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        size_t at = count == 1 ? 0 : (text.len - LM_SCAN_TEXT_MAX) * i / (count - 1);
        size_t len = text.len < LM_SCAN_TEXT_MAX ? text.len : LM_SCAN_TEXT_MAX;
        lm_literal window = {{text.ptr + at, len}, nocase};
        lm_err err = lm_scan_init(&leaf->scans[leaf->scan_count++], &exec->arena, window, view);
        if (err) return err;
    }
    return LM_OK;
}

static lm_err leaf_init(lm_exec *exec, const lm_node *node, lm_leaf *leaf)
{
    lm_column_view view = {exec->column_count, view_stamp, view_may_contain, view_may,
                           view_is_time,       view_pool,  exec->segment};
    lm_literal only = node->text;
    lm_clause one = {&only, 1};
    lm_demand demand = node->demand;
    leaf->node = node;
    if (node->kind == LM_NODE_TEXT)
        return windows_init(exec, node->text.text, node->text.nocase, &view, leaf);
    bool is_text = node->kind == LM_NODE_FIELD && node->value_kind == LM_VALUE_TEXT;
    if (is_text && node->text.text.len > 0) demand = (lm_demand){&one, 1, true};
    uint32_t total = 0;
    for (uint32_t i = 0; i < demand.count; i++)
        total += demand.clauses[i].count;
    leaf->scans = lm_arena_alloc(&exec->arena, total * sizeof *leaf->scans, _Alignof(lm_scan));
    if (!leaf->scans) return lm_mem_err();
    for (uint32_t i = 0; i < demand.count; i++) {
        for (uint32_t k = 0; k < demand.clauses[i].count; k++) {
            lm_err err = lm_scan_init(&leaf->scans[leaf->scan_count++], &exec->arena,
                                      demand.clauses[i].any[k], &view);
            if (err) return err;
        }
    }
    return LM_OK;
}

static lm_err leaves_init(lm_exec *exec, const lm_node *node)
{
    if (node->is_nowhere) return LM_OK;
    for (const lm_node *child = node->first; child; child = child->next) {
        lm_err err = leaves_init(exec, child);
        if (err) return err;
    }
    bool is_leaf =
        node->kind == LM_NODE_TEXT || node->kind == LM_NODE_REGEX || node->kind == LM_NODE_FIELD;
    return is_leaf ? leaf_init(exec, node, &exec->leaves[node->leaf]) : LM_OK;
}

lm_verdict lm_exec_scan_shape(lm_exec *exec, lm_scan *scan, size_t shape)
{
    if (scan->suspects && !(scan->suspects[shape / 64] >> shape % 64 & 1)) return LM_NEVER;
    if (!scan->verdicts) {
        scan->verdicts = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
        if (!scan->verdicts) return lm_scan_shape(scan, &exec->shapes[shape]);
        memset(scan->verdicts, 0xff, exec->shape_count);
    }
    if (scan->verdicts[shape] == 0xff)
        scan->verdicts[shape] = (uint8_t)lm_scan_shape(scan, &exec->shapes[shape]);
    return (lm_verdict)scan->verdicts[shape];
}

static lm_verdict scan_verdict(lm_exec *exec, lm_scan *scan, const lm_shape *shape)
{
    size_t index = (size_t)(shape - exec->shapes);
    return scan->tight ? (lm_verdict)scan->tight[index] : lm_exec_scan_shape(exec, scan, index);
}

/* By the first window alone: the rows that it leaves are few. */
static lm_verdict text_verdict(lm_exec *exec, const lm_leaf *leaf, const lm_shape *shape)
{
    lm_verdict verdict = scan_verdict(exec, &leaf->scans[0], shape);
    return verdict != LM_NEVER && leaf->scan_count > 1 ? LM_MAYBE : verdict;
}

/* NEVER if some clause has no literal that can be in the shape, else MAYBE. */
static lm_verdict demand_verdict(lm_exec *exec, lm_leaf *leaf, const lm_demand *demand,
                                 const lm_shape *shape)
{
    lm_scan *scan = leaf->scans;
    for (uint32_t i = 0; i < demand->count; i++) {
        bool possible = false;
        for (uint32_t k = 0; k < demand->clauses[i].count; k++, scan++) {
            possible = possible || scan_verdict(exec, scan, shape) != LM_NEVER;
        }
        if (!possible) return LM_NEVER;
    }
    return LM_MAYBE;
}

static lm_verdict node_verdict(lm_exec *exec, const lm_node *node, const lm_shape *shape)
{
    if (node->is_nowhere) return LM_NEVER;
    switch (node->kind) {
    case LM_NODE_ALL:
        return LM_ALWAYS;
    case LM_NODE_TEXT:
        return text_verdict(exec, &exec->leaves[node->leaf], shape);
    case LM_NODE_REGEX:
        return demand_verdict(exec, &exec->leaves[node->leaf], &node->demand, shape);
    case LM_NODE_NOT:
        return (lm_verdict)(LM_ALWAYS - node_verdict(exec, node->first, shape));
    case LM_NODE_AND:
    case LM_NODE_OR: {
        lm_verdict stop = node->kind == LM_NODE_AND ? LM_NEVER : LM_ALWAYS,
                   all = (lm_verdict)(LM_ALWAYS - stop);
        for (const lm_node *child = node->first; child; child = child->next) {
            lm_verdict verdict = node_verdict(exec, child, shape);
            if (verdict == stop) return stop;
            if (verdict == LM_MAYBE) all = LM_MAYBE;
        }
        return all;
    }
    case LM_NODE_IP:
    case LM_NODE_FIELD: /* a shape tells nothing of the first line of its rows' records */
    case LM_NODE_FILE:
        return LM_MAYBE;
    }
    return LM_MAYBE;
}

/* First by stamps alone. If some shapes may have the literals, dictionaries are asked whether they
 * have the parts: mostly that rules them out, and neither shape ids nor values need to be decoded.
 */
static lm_err shapes_judge(lm_exec *exec)
{
    bool any = false;
    lm_err err = LM_OK;
    exec->verdicts = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
    if (!exec->verdicts) return lm_mem_err();
    for (size_t i = 0; i < exec->shape_count; i++) {
        exec->verdicts[i] = (uint8_t)node_verdict(exec, exec->query->root, &exec->shapes[i]);
        any = any || exec->verdicts[i] == LM_MAYBE;
    }
    for (uint32_t i = 0; i < exec->query->leaf_count && any && !err; i++) {
        lm_leaf *leaf = &exec->leaves[i];
        if (!leaf->node || leaf->node->kind == LM_NODE_FIELD) continue;
        uint32_t count = leaf->node->kind == LM_NODE_TEXT ? 1 : leaf->scan_count;
        for (uint32_t k = 0; k < count && !err; k++) {
            if (leaf->node->kind == LM_NODE_REGEX && leaf->scans[k].literal.text.len == 1)
                continue; /* clause_is_weak */
            err = lm_exec_tighten(exec, &leaf->scans[k]);
        }
    }
    const lm_node *root = exec->query->root;
    if (any && !err && root->kind == LM_NODE_TEXT && !root->is_nowhere &&
        root->text.text.len >= SHARPEN_BYTES_MIN)
        err = lm_exec_sharpen(exec, &exec->leaves[root->leaf].scans[0]);
    for (size_t i = 0; i < exec->shape_count && any && !err; i++) {
        if (exec->verdicts[i] == LM_MAYBE)
            exec->verdicts[i] = (uint8_t)node_verdict(exec, root, &exec->shapes[i]);
    }
    return err;
}

/* Is one of the texts that every line must have in none of the segment? */
static lm_err texts_judge(lm_exec *exec, const lm_node *node)
{
    lm_err err = LM_OK;
    if (node->kind == LM_NODE_AND) {
        for (const lm_node *child = node->first; child && !err && !exec->is_hopeless;
             child = child->next)
            err = texts_judge(exec, child);
    } else if (node->kind == LM_NODE_TEXT && !node->is_nowhere &&
               node->text.text.len >= SHARPEN_BYTES_MIN) {
        err = lm_exec_scan_nowhere(exec, &exec->leaves[node->leaf].scans[0], &exec->is_hopeless);
    }
    return err;
}

lm_err lm_exec_init(lm_exec *exec, const lm_query *query, const lm_search_options *options,
                    const lm_archive *archive, size_t index)
{
    const lm_archive_segment *about = lm_archive_segment_at(archive, index);
    memset(exec, 0, sizeof *exec);
    exec->query = query;
    exec->options = options;
    exec->archive = archive;
    exec->index = index;
    exec->mem = query->mem;
    exec->room.mem = query->mem;
    exec->needs_levels = query->needs_levels || (options->group_by == LM_GROUP_FIELD &&
                                                 lm_query_name_is_level(options->group_field));
    lm_arena_init(&exec->arena, exec->mem);
    if (query->needs_fields ||
        options->group_by == LM_GROUP_FIELD) { /* it is made when first asked for */
        exec->schema = lm_archive_stream_schema(archive, about->stream);
        if (!exec->schema && about->stream < lm_archive_stream_count(archive)) return lm_mem_err();
        if (!exec->schema) return lm_fail(LM_E_CORRUPT, "segment %zu is of no stream", index);
    }
    lm_err err = lm_segment_open_columns(archive, index, &exec->segment);
    if (err) return err;
    exec->row_count = lm_segment_row_count(exec->segment);
    exec->word_count = ((size_t)exec->row_count + 63) / 64;
    if (lm_segment_is_raw(exec->segment)) return LM_OK;
    exec->column_count = lm_segment_column_count(exec->segment);
    exec->leaves =
        lm_arena_alloc(&exec->arena, query->leaf_count * sizeof *exec->leaves, _Alignof(lm_leaf));
    if (!exec->leaves) return lm_mem_err();
    memset(exec->leaves, 0, query->leaf_count * sizeof *exec->leaves);
    err = leaves_init(exec, query->root);
    if (!err) err = texts_judge(exec, query->root);
    if (err || exec->is_hopeless) return err;
    err = lm_segment_open_rest(exec->segment);
    exec->shapes = lm_segment_shapes(exec->segment);
    exec->shape_count = lm_segment_shape_count(exec->segment);
    return err ? err : shapes_judge(exec);
}

void lm_exec_fini(lm_exec *exec)
{
    lm_regex_room_fini(&exec->room);
    lm_mem_release(exec->mem, exec->free_sets, exec->free_cap * sizeof *exec->free_sets);
    lm_arena_fini(&exec->arena);
    lm_segment_close(exec->segment);
}

bool lm_exec_is_hopeless(const lm_exec *exec)
{
    if (!exec->verdicts) return exec->is_hopeless || exec->row_count == 0;
    for (size_t i = 0; i < exec->shape_count; i++) {
        if (exec->verdicts[i] != LM_NEVER) return false;
    }
    return true;
}

/* ---- demands of patterns ----------------------------------------------------------------------
 */

/* A single character is in nearly every row that its shape admits: the columns need not be asked.
 */
static bool clause_is_weak(const lm_clause *clause)
{
    for (uint32_t k = 0; k < clause->count; k++) {
        if (clause->any[k].text.len == 1) return true;
    }
    return false;
}

lm_err lm_exec_demand(lm_exec *exec, const lm_leaf *leaf, const lm_demand *demand,
                      const uint64_t *care, uint64_t *out)
{
    uint64_t *left = lm_exec_set(exec), *yes = lm_exec_set(exec), *maybe = lm_exec_set(exec);
    lm_err err = left && yes && maybe ? LM_OK : lm_mem_err();
    lm_scan *scan = leaf->scans;
    if (!err) memcpy(out, care, exec->word_count * 8);
    for (uint32_t i = 0; i < demand->count && !err; i++) {
        if (clause_is_weak(&demand->clauses[i])) {
            scan += demand->clauses[i].count;
            continue;
        }
        memcpy(left, out,
               exec->word_count * 8); /* rows for which no literal of the clause was found yet */
        for (uint32_t k = 0; k < demand->clauses[i].count && !err; k++, scan++) {
            memset(yes, 0, exec->word_count * 8);
            memset(maybe, 0, exec->word_count * 8);
            err = lm_exec_scan(exec, scan, left, yes, maybe);
            for (size_t w = 0; w < exec->word_count; w++)
                left[w] &= ~(yes[w] | maybe[w]);
        }
        for (size_t w = 0; w < exec->word_count; w++)
            out[w] &= ~left[w];
    }
    lm_exec_set_free(exec, left);
    lm_exec_set_free(exec, yes);
    lm_exec_set_free(exec, maybe);
    return err;
}

/* ---- texts ---- */

static size_t set_count(const lm_exec *exec, const uint64_t *set)
{
    size_t count = 0;
    for (size_t w = 0; w < exec->word_count; w++)
        count += (size_t)__builtin_popcountll(set[w]);
    return count;
}

/* Window by window, until so few rows are left that they are better looked at. */
static lm_err text_eval(lm_exec *exec, lm_leaf *leaf, const uint64_t *care, uint64_t *yes,
                        uint64_t *maybe)
{
    if (leaf->scan_count == 1) return lm_exec_scan(exec, &leaf->scans[0], care, yes, maybe);
    uint64_t *left = lm_exec_set(exec), *has = lm_exec_set(exec);
    lm_err err = left && has ? LM_OK : lm_mem_err();
    if (!err) memcpy(left, care, exec->word_count * 8);
    for (uint32_t i = 0; i < leaf->scan_count && !err; i++) {
        if (set_count(exec, left) <= WINDOW_ROWS_FEW) break;
        memset(has, 0, exec->word_count * 8);
        memset(maybe, 0, exec->word_count * 8);
        err = lm_exec_scan(exec, &leaf->scans[i], left, has, maybe);
        for (size_t w = 0; w < exec->word_count; w++)
            left[w] = has[w] | maybe[w];
    }
    if (!err) memcpy(maybe, left, exec->word_count * 8);
    lm_exec_set_free(exec, left);
    lm_exec_set_free(exec, has);
    return err;
}

/* ---- the tree over rows ---------------------------------------------------------------------- */

/* {file="..."}: a file's rows are neighbours, so a range with equal ends is one file. */
static lm_err file_range(lm_exec *exec, const lm_node *node, uint32_t begin, uint32_t end,
                         const uint64_t *care, uint64_t *yes)
{
    lm_row_place first = lm_segment_place(exec->segment, begin),
                 last = lm_segment_place(exec->segment, end - 1);
    if (first.file != last.file) {
        uint32_t middle = begin + (end - begin) / 2;
        lm_err err = file_range(exec, node, begin, middle, care, yes);
        return err ? err : file_range(exec, node, middle, end, care, yes);
    }
    lm_subject subject = {lm_archive_file_at(exec->archive, first.file)->name, {NULL, 0}, NULL};
    bool fits;
    lm_err err = lm_node_match(exec->query, node, &subject, &exec->room, &fits);
    if (err || !fits) return err;
    for (uint32_t row = begin; row < end; row++) {
        if (lm_row_has(care, row)) lm_row_put(yes, row);
    }
    return LM_OK;
}

static lm_err list_eval(lm_exec *exec, const lm_node *node, const uint64_t *care, uint64_t *yes,
                        uint64_t *maybe);

/* How much a child costs: the cheap ones go first and leave less to the dear ones. */
static int node_price(const lm_node *node)
{
    int price = 0;
    switch (node->kind) {
    case LM_NODE_ALL:
    case LM_NODE_FILE:
        return 0;
    case LM_NODE_TEXT:
        return 1;
    case LM_NODE_REGEX:
        return node->demand.count ? 2 : 3;
    case LM_NODE_FIELD:
        return 4;
    case LM_NODE_IP:
        return 3;
    case LM_NODE_NOT:
    case LM_NODE_AND:
    case LM_NODE_OR:
        break;
    }
    for (const lm_node *child = node->first; child; child = child->next) {
        int one = node_price(child);
        if (one > price) price = one;
    }
    return price;
}

lm_err lm_exec_eval(lm_exec *exec, const lm_node *node, const uint64_t *care, uint64_t *yes,
                    uint64_t *maybe)
{
    lm_err err = lm_exec_cancelled(exec);
    if (err || node->is_nowhere || set_is_empty(exec, care)) return err;
    switch (node->kind) {
    case LM_NODE_ALL:
        memcpy(yes, care, exec->word_count * 8);
        return LM_OK;
    case LM_NODE_AND:
    case LM_NODE_OR:
        return list_eval(exec, node, care, yes, maybe);
    case LM_NODE_NOT:
        err = lm_exec_eval(exec, node->first, care, yes, maybe);
        for (size_t w = 0; w < exec->word_count; w++)
            yes[w] = care[w] & ~yes[w] & ~maybe[w];
        return err;
    case LM_NODE_TEXT:
        return text_eval(exec, &exec->leaves[node->leaf], care, yes, maybe);
    case LM_NODE_REGEX:
        return lm_exec_demand(exec, &exec->leaves[node->leaf], &node->demand, care, maybe);
    case LM_NODE_IP:
        memcpy(maybe, care, exec->word_count * 8);
        return LM_OK;
    case LM_NODE_FIELD:
        return lm_exec_field(exec, &exec->leaves[node->leaf], care, yes, maybe);
    case LM_NODE_FILE:
        return file_range(exec, node, 0, exec->row_count, care, yes);
    }
    return LM_OK;
}

/* Adds what a child says of the rows still open to the list's sets. */
static void list_merge(const lm_exec *exec, bool any, const uint64_t *child_yes,
                       const uint64_t *child_maybe, uint64_t *open, uint64_t *yes, uint64_t *maybe)
{
    for (size_t w = 0; w < exec->word_count; w++) {
        if (any) { /* open: not yet yes */
            yes[w] |= child_yes[w];
            maybe[w] = (maybe[w] | child_maybe[w]) & ~yes[w];
            open[w] &= ~child_yes[w];
        } else { /* open: not yet no; maybe: one child was not sure */
            open[w] &= child_yes[w] | child_maybe[w];
            maybe[w] = (maybe[w] | child_maybe[w]) & open[w];
        }
    }
}

static lm_err list_eval(lm_exec *exec, const lm_node *node, const uint64_t *care, uint64_t *yes,
                        uint64_t *maybe)
{
    bool any = node->kind == LM_NODE_OR;
    uint64_t *open = lm_exec_set(exec), *child_yes = lm_exec_set(exec),
             *child_maybe = lm_exec_set(exec);
    lm_err err = open && child_yes && child_maybe ? LM_OK : lm_mem_err();
    if (!err) memcpy(open, care, exec->word_count * 8);
    for (int price = 0; price <= 4 && !err; price++) {
        for (const lm_node *child = node->first; child && !err; child = child->next) {
            if (node_price(child) != price) continue;
            memset(child_yes, 0, exec->word_count * 8);
            memset(child_maybe, 0, exec->word_count * 8);
            err = lm_exec_eval(exec, child, open, child_yes, child_maybe);
            if (!err) list_merge(exec, any, child_yes, child_maybe, open, yes, maybe);
        }
    }
    for (size_t w = 0; w < exec->word_count && !any && !err; w++)
        yes[w] = open[w] & ~maybe[w];
    lm_exec_set_free(exec, open);
    lm_exec_set_free(exec, child_yes);
    lm_exec_set_free(exec, child_maybe);
    return err;
}

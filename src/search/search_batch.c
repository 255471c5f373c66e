/* Candidates of a segment, rendered and judged in batches. Rows known to fit are only rendered; the
 * others are asked lm_node_match. A batch holds the first lines of records too where the fields of
 * later lines need them, since going back for them is dear. */
#include "search/search_exec_priv.h"

/* A literal that every line that fits contains: a TEXT that is the root or a part of its AND. */
static bool required_find(const lm_node *node, lm_literal *out)
{
    if (node->kind == LM_NODE_TEXT) {
        *out = node->text;
        return true;
    }
    if (node->kind == LM_NODE_REGEX && node->demand.count > 0) {
        for (uint32_t i = 0; i < node->demand.count; i++) {
            if (node->demand.clauses[i].count != 1) continue;
            *out = node->demand.clauses[i].any[0];
            return true;
        }
    }
    if (node->kind != LM_NODE_AND) return false;
    for (const lm_node *child = node->first; child; child = child->next) {
        if (required_find(child, out)) return true;
    }
    return false;
}

void lm_walk_init(lm_walk *walk, lm_exec *exec, const uint64_t *yes, const uint64_t *maybe,
                  bool backwards, bool only_maybe)
{
    memset(walk, 0, sizeof *walk);
    walk->exec = exec;
    walk->yes = yes;
    walk->maybe = maybe;
    walk->backwards = backwards;
    walk->only_maybe = only_maybe;
    walk->next = backwards ? exec->row_count : 0;
    walk->is_one_text = exec->query->root->kind == LM_NODE_TEXT && !exec->query->root->is_nowhere;
    walk->has_required = (walk->is_one_text || !exec->shape_of_row) &&
                         required_find(exec->query->root, &walk->required);
    lm_head_cache_init(exec, &walk->head);
}

void lm_walk_fini(lm_walk *walk)
{
    lm_head_cache_fini(&walk->head);
}

void lm_batch_init(lm_exec *exec, lm_batch *batch)
{
    memset(batch, 0, sizeof *batch);
    lm_rows_init(exec, &batch->rows);
}

void lm_batch_fini(lm_exec *exec, lm_batch *batch)
{
    lm_rows_fini(exec, &batch->rows);
    lm_mem_release(exec->mem, batch->fits, batch->fits_cap);
    lm_mem_release(exec->mem, batch->wanted, batch->wanted_cap * sizeof *batch->wanted);
}

static uint64_t candidates(const lm_walk *walk, size_t word)
{
    return walk->only_maybe ? walk->maybe[word] : walk->yes[word] | walk->maybe[word];
}

/* Lines that candidate found needs for its record's fields and that are in front of it. */
static size_t helpers_put(const lm_walk *walk, uint32_t found, uint32_t *wanted, size_t count)
{
    const lm_exec *exec = walk->exec;
    uint32_t head = lm_exec_head(exec, found);
    if (head != found && (count == 0 || head > wanted[count - 1])) wanted[count++] = head;
    bool has_second = exec->needs_levels && head + 1 < found && lm_exec_goes_on(exec, head);
    if (has_second && (count == 0 || head + 1 > wanted[count - 1])) wanted[count++] = head + 1;
    return count;
}

/* The second line of a record whose first is a candidate: as a helper where it is none itself. */
static bool needs_second(const lm_walk *walk, uint32_t found)
{
    const lm_exec *exec = walk->exec;
    if (!exec->needs_levels || !lm_exec_goes_on(exec, found)) return false;
    return !lm_row_has(exec->continues, found) &&
           !(candidates(walk, (found + 1) / 64) >> (found + 1) % 64 & 1);
}

/* The next candidates, ascending; returns how many. wanted has room for LM_WANTED_EACH times max:
 * helpers go in between. */
static size_t forwards_take(lm_walk *walk, size_t max, uint32_t *wanted)
{
    const lm_exec *exec = walk->exec;
    size_t count = 0, taken = 0;
    uint32_t row = walk->next;
    bool needs_heads = exec->query->needs_fields && exec->continues;
    for (size_t word = row / 64; word < exec->word_count && taken < max; word++) {
        uint64_t left = candidates(walk, word);
        if (word == row / 64) left &= UINT64_MAX << row % 64;
        for (; left && taken < max; left &= left - 1) {
            uint32_t found = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(left);
            bool is_judged = needs_heads && lm_row_has(walk->maybe, found);
            if (is_judged) count = helpers_put(walk, found, wanted, count);
            wanted[count++] = found;
            if (is_judged && needs_second(walk, found)) wanted[count++] = found + 1;
            if (taken++ == 0) walk->first = found;
            walk->next = found + 1;
        }
    }
    if (taken < max) walk->next = exec->row_count;
    return count;
}

/* The last candidates before walk->next, ascending. */
static size_t backwards_take(lm_walk *walk, size_t max, uint32_t *wanted)
{
    size_t taken = 0;
    uint32_t end = walk->next, first = 0;
    for (size_t word = ((size_t)end + 63) / 64; word-- > 0 && taken < max;) {
        uint64_t left = candidates(walk, word);
        if (word == end / 64) left &= (1ull << end % 64) - 1;
        for (; left && taken < max; taken++) {
            int bit = 63 - __builtin_clzll(left);
            left &= ~(1ull << bit);
            first = (uint32_t)(word * 64) + (uint32_t)bit;
        }
    }
    if (taken == 0) {
        walk->next = 0;
        return 0;
    }
    walk->next = first; /* take these again, forwards, with the helpers that they need */
    size_t count = forwards_take(walk, taken, wanted);
    walk->next = first;
    return count;
}

/* Only lines that hold the required literal can fit. It is looked for in all of them at once: worth
 * it in raw segments, where columns have ruled nothing out, and where it is all that is asked. */
static void required_mark(const lm_walk *walk, lm_batch *batch)
{
    lm_str text = {batch->rows.text.ptr, batch->rows.text.len};
    lm_finder finder = lm_finder_make(walk->required);
    size_t row = 0, at = 0;
    memset(batch->fits, 0, batch->rows.count);
    for (;;) {
        size_t found = lm_finder_find(&finder, (lm_str){text.ptr + at, text.len - at});
        if (found == SIZE_MAX) return;
        found += at;
        while (row < batch->rows.count && batch->rows.ends[row] <= found)
            row++;
        if (row == batch->rows.count) return;
        batch->fits[row] = 1;
        at = batch->rows.ends[row];
    }
}

static lm_err row_judge(lm_walk *walk, lm_batch *batch, size_t i, size_t head_index, bool *out)
{
    lm_exec *exec = walk->exec;
    uint32_t row = batch->rows.rows[i];
    lm_subject subject = {{(const uint8_t *)"", 0}, lm_rows_text(&batch->rows, i), NULL};
    if (exec->query->needs_fields) {
        lm_err err =
            lm_head_cache_get(exec, &walk->head, &batch->rows, i, head_index, &subject.fields);
        if (err) return err;
    }
    if (exec->query->needs_file) {
        const lm_archive_file *file =
            lm_archive_file_at(exec->archive, lm_segment_place(exec->segment, row).file);
        subject.file = file->name;
    }
    exec->rows_checked++;
    return lm_node_match(exec->query, exec->query->root, &subject, &exec->room, out);
}

static lm_err batch_judge(lm_walk *walk, lm_batch *batch)
{
    lm_exec *exec = walk->exec;
    size_t head_index = SIZE_MAX;
    bool has_marks = walk->has_required;
    if (!batch->rows.count) return LM_OK; /* all of them were damaged */
    if (batch->is_sure) {
        memset(batch->fits, 1, batch->rows.count);
        return LM_OK;
    }
    if (has_marks) required_mark(walk, batch);
    if (walk->is_one_text) exec->rows_checked += batch->rows.count;
    for (size_t i = 0; i < batch->rows.count; i++) {
        uint32_t row = batch->rows.rows[i];
        bool fits = lm_row_has(walk->yes, row);
        if (exec->continues && !lm_row_has(exec->continues, row)) head_index = i;
        if (!fits && lm_row_has(walk->maybe, row) && (!has_marks || batch->fits[i])) {
            lm_err err = LM_OK;
            if (walk->is_one_text)
                fits = true;
            else
                err = row_judge(walk, batch, i, head_index, &fits);
            if (err == LM_E_CORRUPT) { /* its record's first line is damaged */
                exec->rows_lost++;
                fits = false;
                err = LM_OK;
            }
            if (err) return err;
        }
        batch->fits[i] =
            row >= walk->first && fits && (!walk->only_maybe || lm_row_has(walk->maybe, row));
    }
    return LM_OK;
}

/* Are all rows known to fit? Then no row is there for the sake of another. */
static bool batch_is_sure(const lm_walk *walk, const uint32_t *rows, size_t count)
{
    if (count == 0) return true;
    for (size_t w = rows[0] / 64; w <= rows[count - 1] / 64; w++) {
        uint64_t in = UINT64_MAX;
        if (w == rows[0] / 64) in &= UINT64_MAX << rows[0] % 64;
        if (w == rows[count - 1] / 64) in &= UINT64_MAX >> (63 - rows[count - 1] % 64);
        if (walk->maybe[w] & in) return false;
    }
    return true;
}

lm_err lm_walk_next(lm_walk *walk, size_t max_rows, lm_batch *batch, bool *out_any)
{
    lm_exec *exec = walk->exec;
    lm_err err = lm_exec_cancelled(exec);
    if (err) return err;
    if (max_rows > exec->row_count) max_rows = exec->row_count;
    err = lm_vec_grow(exec->mem, &batch->wanted, &batch->wanted_cap, LM_WANTED_EACH * max_rows,
                      sizeof *batch->wanted);
    if (!err)
        err = lm_vec_grow(exec->mem, &batch->fits, &batch->fits_cap, LM_WANTED_EACH * max_rows, 1);
    if (err) return err;
    size_t count = walk->backwards ? backwards_take(walk, max_rows, batch->wanted)
                                   : forwards_take(walk, max_rows, batch->wanted);
    *out_any = count > 0;
    batch->is_sure = !walk->only_maybe && batch_is_sure(walk, batch->wanted, count);
    err = lm_rows_render(exec, batch->wanted, count, &batch->rows);
    return err ? err : batch_judge(walk, batch);
}

lm_err lm_exec_settle(lm_exec *exec, uint64_t *yes, uint64_t *maybe)
{
    lm_walk walk;
    lm_batch batch;
    bool any = true;
    lm_walk_init(&walk, exec, yes, maybe, false, true);
    lm_batch_init(exec, &batch);
    lm_err err = LM_OK;
    while (!err && any) {
        err = lm_walk_next(&walk, LM_BATCH_ROWS, &batch, &any);
        for (size_t i = 0; !err && any && i < batch.rows.count; i++) {
            if (batch.fits[i]) lm_row_put(yes, batch.rows.rows[i]);
        }
    }
    if (!err) memset(maybe, 0, exec->word_count * 8);
    lm_batch_fini(exec, &batch);
    lm_walk_fini(&walk);
    return err;
}

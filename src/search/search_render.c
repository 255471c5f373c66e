/* Rows of a segment as text, and fields of their records. */
#include "search/search_exec_priv.h"

void lm_rows_init(lm_exec *exec, lm_rows *rows)
{
    memset(rows, 0, sizeof *rows);
    lm_buf_init(&rows->text, exec->mem);
}

void lm_rows_fini(lm_exec *exec, lm_rows *rows)
{
    lm_buf_fini(&rows->text);
    lm_mem_release(exec->mem, rows->ends, rows->ends_cap * sizeof *rows->ends);
    lm_mem_release(exec->mem, rows->rows, rows->rows_cap * sizeof *rows->rows);
}

/* Marks what cannot be read, so that it is not tried row by row again. */
static lm_err row_lose(lm_exec *exec, uint32_t row)
{
    if (exec->rows_lost++ == 0) {
        const char *why = lm_err_text();
        size_t len = strlen(why);
        if (len >= sizeof exec->lost_why) len = sizeof exec->lost_why - 1;
        memcpy(exec->lost_why, why, len);
        exec->lost_why[len] = 0;
    }
    if (!exec->shape_of_row) return LM_OK;
    if (!exec->lost_shapes) {
        exec->lost_shapes = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
        if (!exec->lost_shapes) return lm_mem_err();
        memset(exec->lost_shapes, 0, exec->shape_count);
    }
    exec->lost_shapes[exec->shape_of_row[row]] = 1;
    return LM_OK;
}

static bool row_is_lost(const lm_exec *exec, uint32_t row)
{
    return exec->lost_shapes && exec->lost_shapes[exec->shape_of_row[row]];
}

/* Appends rows to out. A damaged row fails the batch it is in: halving finds it. */
static lm_err render_some(lm_exec *exec, const uint32_t *rows, size_t count, lm_rows *out)
{
    if (count == 1 && row_is_lost(exec, rows[0])) {
        exec->rows_lost++;
        return LM_OK;
    }
    size_t text_before = out->text.len;
    size_t *ends = out->ends + out->count;
    lm_err err =
        rows[count - 1] - rows[0] == count - 1
            ? lm_segment_text(exec->segment, rows[0], rows[count - 1] + 1, &out->text, ends)
            : lm_segment_text_of(exec->segment, rows, count, &out->text, ends);
    if (!err) {
        memcpy(out->rows + out->count, rows, count * sizeof *rows);
        out->count += count;
        return LM_OK;
    }
    if (err != LM_E_CORRUPT) return err;
    out->text.len = text_before;
    if (count == 1) return row_lose(exec, rows[0]);
    err = render_some(exec, rows, count / 2, out);
    return err ? err : render_some(exec, rows + count / 2, count - count / 2, out);
}

lm_err lm_rows_render(lm_exec *exec, const uint32_t *rows, size_t count, lm_rows *out)
{
    out->text.len = 0;
    out->count = 0;
    if (count == 0) return LM_OK;
    lm_err err = lm_vec_grow(exec->mem, &out->ends, &out->ends_cap, count, sizeof *out->ends);
    if (!err) err = lm_vec_grow(exec->mem, &out->rows, &out->rows_cap, count, sizeof *out->rows);
    return err ? err : render_some(exec, rows, count, out);
}

/* ---- fields ---------------------------------------------------------------------------------- */

void lm_head_cache_init(lm_exec *exec, lm_head_cache *cache)
{
    memset(cache, 0, sizeof *cache);
    lm_arena_init(&cache->arena, exec->mem);
    lm_buf_init(&cache->text, exec->mem);
    lm_buf_init(&cache->second, exec->mem);
    cache->row = UINT32_MAX;
}

void lm_head_cache_fini(lm_head_cache *cache)
{
    lm_arena_fini(&cache->arena);
    lm_buf_fini(&cache->text);
    lm_buf_fini(&cache->second);
}

lm_err lm_fields_parse(const lm_schema *schema, lm_arena *arena, lm_str line, lm_fields *out)
{
    lm_arena_reset(arena);
    memset(out, 0, sizeof *out);
    out->format = out->timestamp = out->level = out->message = -1;
    out->arena = arena;
    return lm_schema_parse(schema, line, out);
}

/* Text of a row into out: that of rendered row i if it is this row, else read. */
static lm_err row_text(lm_exec *exec, const lm_rows *rows, size_t i, uint32_t row, lm_buf *out)
{
    out->len = 0;
    if (i < rows->count && rows->rows[i] == row) {
        lm_str text = lm_rows_text(rows, i);
        return lm_buf_append(out, text.ptr, text.len);
    }
    lm_err err = lm_segment_text_of(exec->segment, &row, 1, out, NULL);
    if (!err) out->len--; /* the '\n' */
    return err;
}

lm_err lm_head_cache_get(lm_exec *exec, lm_head_cache *cache, const lm_rows *rows, size_t i,
                         size_t head_at, const lm_fields **out)
{
    uint32_t head = lm_exec_head(exec, rows->rows[i]);
    *out = &cache->fields;
    if (cache->row == head) return LM_OK;
    cache->row = UINT32_MAX;
    if (head == rows->rows[i]) head_at = i;
    lm_err err = row_text(exec, rows, head_at, head, &cache->text);
    if (!err)
        err = lm_fields_parse(exec->schema, &cache->arena,
                              (lm_str){cache->text.ptr, cache->text.len}, &cache->fields);
    if (!err && exec->needs_levels && cache->fields.level < 0 && lm_exec_goes_on(exec, head)) {
        err = row_text(exec, rows, head_at == SIZE_MAX ? SIZE_MAX : head_at + 1, head + 1,
                       &cache->second);
        if (!err)
            err = lm_schema_level_below(
                exec->schema, (lm_str){cache->second.ptr, cache->second.len}, &cache->fields);
    }
    if (!err) cache->row = head;
    return err;
}

/**
 * Rows back to text. A row's shape gives constant text and roles; each role has a cursor that says which of its values comes
 * next, so rendering goes forward. To jump ahead, shapes of the rows between are counted and the cursors moved at once.
 */
#include "archive/archive_view.h"

enum { SHAPE_UNKNOWN, SHAPE_READY, SHAPE_DAMAGED };

/* ---- raw segments -------------------------------------------------------------------------------------------------------- */

lm_err lm_segment_raw_load(lm_segment *segment)
{
    if (segment->raw_text) return LM_OK;
    const lm_segment_head *head = &segment->head;
    uint8_t *text = lm_arena_alloc(&segment->arena, (size_t)head->raw_bytes, 1);
    size_t *ends = lm_arena_alloc(&segment->arena, head->rows * sizeof *ends, _Alignof(size_t));
    if (!text || !ends) return lm_mem_err();
    lm_reader r = lm_reader_of(segment->directory_bytes.ptr, segment->directory_bytes.len);
    size_t at = 0, stored_at = 0;
    if ((uint32_t)lm_hash64(segment->directory_bytes.ptr, segment->directory_bytes.len) != head->directory_check) {
        return lm_fail_at(LM_E_CORRUPT, segment->offset, "'%s': the directory of segment %zu at offset %llu is damaged", segment->archive->path,
                          segment->index, (unsigned long long)segment->offset);
    }
    for (uint32_t b = 0; b < head->raw_block_count; b++) {
        size_t raw_len = (size_t)lm_reader_varint_max(&r, LM_RAW_BLOCK_BYTES);
        size_t stored_len = (size_t)lm_reader_varint_max(&r, UINT32_MAX);
        uint32_t check = lm_reader_le32(&r);
        uint64_t offset = (uint64_t)(segment->blocks_bytes.ptr - segment->archive->map.ptr) + stored_at;
        bool is_inside = !r.failed && raw_len <= head->raw_bytes - at && stored_len <= segment->blocks_bytes.len - stored_at;
        if (!is_inside || (uint32_t)lm_hash64(segment->blocks_bytes.ptr + stored_at, stored_len) != check) {
            return lm_fail_at(LM_E_CORRUPT, offset, "'%s': the block at offset %llu is damaged", segment->archive->path, (unsigned long long)offset);
        }
        lm_err err = lm_bytes_decode(segment->mem, (lm_str){segment->blocks_bytes.ptr + stored_at, stored_len}, text + at, raw_len);
        if (err) return err;
        at += raw_len;
        stored_at += stored_len;
    }
    uint32_t rows = 0;
    for (size_t i = 0; at == head->raw_bytes && i < at;) {
        const uint8_t *end = memchr(text + i, '\n', at - i);
        if (!end || rows == head->rows) break;
        i = (size_t)(end - text) + 1;
        ends[rows++] = i;
    }
    if (rows != head->rows || (rows && ends[rows - 1] != at) || at != head->raw_bytes) {
        return lm_fail_at(LM_E_CORRUPT, segment->offset, "'%s': the text of segment %zu does not fit its head", segment->archive->path, segment->index);
    }
    segment->raw_ends = ends;
    segment->raw_text = text;
    return LM_OK;
}

static lm_err render_raw(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out, size_t *out_ends)
{
    lm_err err = lm_segment_raw_load(segment);
    if (err) return err;
    size_t from = begin ? segment->raw_ends[begin - 1] : 0;
    size_t base = out->len;
    if (begin == end) return LM_OK;
    err = lm_buf_append(out, segment->raw_text + from, segment->raw_ends[end - 1] - from);
    if (err) return err;
    for (uint32_t r = begin; out_ends && r < end; r++) out_ends[r - begin] = base + segment->raw_ends[r] - from;
    return LM_OK;
}

/* ---- segments of columns -------------------------------------------------------------------------------------------------- */

static lm_err prepare(lm_segment *segment)
{
    const uint32_t *rows;
    lm_err err = lm_segment_rows_load(segment, &rows);
    if (err || segment->cursors) return err;
    size_t n = segment->shapes.count;
    uint32_t *cursors = lm_arena_alloc(&segment->arena, segment->shapes.role_count * sizeof *cursors, _Alignof(uint32_t));
    segment->shape_states = lm_arena_alloc(&segment->arena, n, 1);
    segment->shape_bounds = lm_arena_alloc(&segment->arena, n * sizeof *segment->shape_bounds, _Alignof(size_t));
    if (!cursors || !segment->shape_states || !segment->shape_bounds) return lm_mem_err();
    memset(cursors, 0, segment->shapes.role_count * sizeof *cursors);
    memset(segment->shape_states, SHAPE_UNKNOWN, n);
    segment->cursors = cursors;
    segment->next_row = 0;
    return LM_OK;
}

static size_t longest_text(const lm_values *values)
{
    size_t longest = LM_VALUE_TEXT_MAX;
    for (uint32_t i = 0; i < values->text_count; i++) {
        if (values->texts[i].len > longest) longest = values->texts[i].len;
    }
    return longest;
}

/** Decode what a shape needs, at its first row; how long may its rows be? LM_E_CORRUPT marks the shape. */
static lm_err ready_shape(lm_segment *segment, uint32_t shape)
{
    const lm_shape *view = &segment->views[shape];
    size_t bound = 32; /* short constant texts are copied 16 bytes at a time */
    for (uint32_t p = 0; p < view->piece_count; p++) {
        if (view->pieces[p].column < 0) {
            bound += view->pieces[p].text.len;
            continue;
        }
        lm_role_view *role = &segment->roles[view->pieces[p].column];
        const lm_values *values = role->values;
        lm_err err = role->failed ? role->failed : lm_segment_values(segment, (size_t)view->pieces[p].column, &values);
        if (!err && values->count != role->count) {
            err = lm_fail_at(LM_E_CORRUPT, segment->offset, "'%s': segment %zu: a column has %u values for %u places", segment->archive->path,
                             segment->index, values->count, role->count);
        }
        if (err) {
            role->failed = err;
            segment->shape_states[shape] = SHAPE_DAMAGED;
            return err;
        }
        if (!role->text_max) role->text_max = longest_text(values);
        bound += role->text_max;
    }
    segment->shape_bounds[shape] = bound;
    segment->shape_states[shape] = SHAPE_READY;
    return LM_OK;
}

static inline uint8_t *put_value(uint8_t *at, const lm_values *values, uint32_t i)
{
    if (!values->classes && values->index) {
        lm_str text = values->texts[values->index[i]];
        memcpy(at, text.ptr, text.len);
        return at + text.len;
    }
    uint8_t printed[LM_VALUE_TEXT_MAX];
    if (!values->classes && values->numbers) return at + lm_value_print(values->uniform, values->numbers[i], NULL, at);
    lm_str text = lm_values_text(values, i, printed);
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/** Move the cursors over rows [next_row, row) without printing them. */
static lm_err skip_rows(lm_segment *segment, uint32_t row)
{
    size_t n = segment->shapes.count;
    uint32_t *counts = lm_mem_calloc(segment->mem, n, sizeof *counts);
    if (!counts) return lm_mem_err();
    for (uint32_t r = segment->next_row; r < row; r++) counts[segment->shape_of_row[r]]++;
    for (size_t s = 0; s < n; s++) {
        if (!counts[s]) continue;
        const lm_shape_entry *entry = &segment->shapes.items[s];
        for (uint32_t v = 0; v < entry->var_count; v++) {
            segment->cursors[segment->shapes.var_roles[entry->first_var + v]] += counts[s];
        }
    }
    lm_mem_release(segment->mem, counts, n * sizeof *counts);
    segment->next_row = row;
    return LM_OK;
}

static lm_err seek_row(lm_segment *segment, uint32_t row)
{
    if (row < segment->next_row) {
        memset(segment->cursors, 0, segment->shapes.role_count * sizeof *segment->cursors);
        segment->next_row = 0;
    }
    return row == segment->next_row ? LM_OK : skip_rows(segment, row);
}

/** The row at next_row; its shape is ready. */
static uint8_t *render_row(lm_segment *segment, uint32_t shape, uint8_t *at)
{
    const lm_shape *view = &segment->views[shape];
    const lm_piece *piece = view->pieces;
    for (uint32_t p = 0; p < view->piece_count; p++, piece++) {
        if (piece->column < 0) {
            memcpy(at, piece->text.ptr, piece->text.len);
            at += piece->text.len;
        } else {
            at = put_value(at, segment->roles[piece->column].values, segment->cursors[piece->column]++);
        }
    }
    *at++ = '\n';
    return at;
}

static void pass_row(lm_segment *segment, uint32_t shape)
{
    const lm_shape_entry *entry = &segment->shapes.items[shape];
    for (uint32_t v = 0; v < entry->var_count; v++) segment->cursors[segment->shapes.var_roles[entry->first_var + v]]++;
}

lm_err lm_segment_render(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out, size_t *out_ends, uint32_t *lost)
{
    LM_ASSERT(begin <= end && end <= segment->head.rows);
    if (lm_segment_is_raw(segment)) return render_raw(segment, begin, end, out, out_ends);
    lm_err err = prepare(segment);
    if (!err) err = seek_row(segment, begin);
    if (err) return err;
    for (uint32_t r = begin; r < end; r++) {
        uint32_t shape = segment->shape_of_row[r];
        if (segment->shape_states[shape] != SHAPE_READY) {
            err = segment->shape_states[shape] == SHAPE_DAMAGED ? LM_E_CORRUPT : ready_shape(segment, shape);
            if (err && !(lost && err == LM_E_CORRUPT)) return err;
            if (err) {
                pass_row(segment, shape);
                segment->next_row = r + 1;
                (*lost)++;
                if (out_ends) out_ends[r - begin] = SIZE_MAX;
                continue;
            }
        }
        err = lm_buf_reserve(out, segment->shape_bounds[shape]);
        if (err) return err;
        uint8_t *at = render_row(segment, shape, out->ptr + out->len);
        out->len = (size_t)(at - out->ptr);
        segment->next_row = r + 1;
        if (out_ends) out_ends[r - begin] = out->len;
    }
    return LM_OK;
}

lm_err lm_segment_text(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out, size_t *out_ends)
{
    return lm_segment_render(segment, begin, end, out, out_ends, NULL);
}

lm_err lm_segment_text_of(lm_segment *segment, const uint32_t *rows, size_t row_count, lm_buf *out, size_t *out_ends)
{
    for (size_t i = 0; i < row_count; i++) {
        lm_err err = lm_segment_render(segment, rows[i], rows[i] + 1, out, out_ends ? out_ends + i : NULL, NULL);
        if (err) return err;
    }
    return LM_OK;
}

/* ---- times, records, places -------------------------------------------------------------------------------------------------- */

static int64_t value_time(const lm_segment *segment, const lm_values *values, uint32_t i, int64_t not_after_ns)
{
    (void)segment;
    uint32_t vclass = values->classes ? values->classes[i] : values->uniform;
    if (lm_vclass_key(vclass) != LM_KEY_STR) return values->numbers ? lm_value_time_ns(vclass, values->numbers[i], not_after_ns) : INT64_MIN;
    uint8_t printed[LM_VALUE_TEXT_MAX];
    lm_str text = lm_values_text(values, i, printed);
    lm_time time;
    if (lm_time_parse(text.ptr, text.len, &time) && time.len == text.len) return lm_time_ns(time.layout, time.ticks, not_after_ns);
    lm_token_value token;
    lm_token_classify(text.ptr, text.len, &token);
    return lm_value_time_ns(token.vclass, token.number, not_after_ns);
}

lm_err lm_segment_times(lm_segment *segment, const int64_t **out)
{
    if (segment->times) {
        *out = segment->times;
        return LM_OK;
    }
    uint32_t n = segment->head.rows;
    int64_t *times = lm_arena_alloc(&segment->arena, n * sizeof *times, _Alignof(int64_t));
    if (!times) return lm_mem_err();
    const uint32_t *shape_of_row = NULL;
    if (!lm_segment_is_raw(segment)) {
        lm_err err = lm_segment_rows_load(segment, &shape_of_row);
        if (err) return err;
    }
    size_t role_count = segment->shapes.role_count;
    uint32_t *cursors = lm_mem_calloc(segment->mem, role_count, sizeof *cursors);
    if (!cursors) return lm_mem_err();
    size_t span = 0;
    uint32_t span_row = 0;
    int64_t now = INT64_MIN;
    for (uint32_t r = 0; r < n; r++, span_row++) {
        while (span < segment->head.span_count && span_row >= segment->head.spans[span].span.rows) {
            span++;
            span_row = 0;
            now = INT64_MIN;
        }
        if (shape_of_row) {
            const lm_shape *view = &segment->views[shape_of_row[r]];
            for (uint32_t p = 0; p < view->piece_count; p++) {
                int32_t column = view->pieces[p].column;
                if (column < 0) continue;
                uint32_t at = cursors[column]++;
                if ((int32_t)p != view->time_piece) continue;
                const lm_values *values = NULL;
                lm_err err = segment->roles[column].failed ? LM_E_CORRUPT : lm_segment_values(segment, (size_t)column, &values);
                if (err == LM_E_NOMEM || err == LM_E_LIMIT) { /* no damage: the same call may succeed later */
                    lm_mem_release(segment->mem, cursors, role_count * sizeof *cursors);
                    return err;
                }
                if (err || at >= values->count) {
                    segment->roles[column].failed = LM_E_CORRUPT;
                    continue;
                }
                uint32_t file = segment->head.spans[span].span.file;
                int64_t not_after = file < segment->archive->meta.file_count ? segment->archive->meta.files[file].mtime_ns : INT64_MAX;
                int64_t ns = value_time(segment, values, at, not_after);
                if (ns != INT64_MIN) now = ns;
            }
        }
        times[r] = now;
    }
    lm_mem_release(segment->mem, cursors, role_count * sizeof *cursors);
    segment->times = times;
    *out = times;
    return LM_OK;
}

lm_err lm_segment_continuations(lm_segment *segment, const uint64_t **out)
{
    if (lm_segment_is_raw(segment)) {
        *out = NULL;
        return LM_OK;
    }
    if (!segment->has_continuations) {
        const uint32_t *shape_of_row;
        lm_err err = lm_segment_rows_load(segment, &shape_of_row);
        if (err) return err;
        uint32_t n = segment->head.rows;
        size_t words = (size_t)n / 64 + 1;
        uint64_t *bits = lm_arena_alloc(&segment->arena, words * sizeof *bits, _Alignof(uint64_t));
        if (!bits) return lm_mem_err();
        memset(bits, 0, words * sizeof *bits);
        bool has_any = false;
        for (uint32_t r = 0; r < n; r++) {
            if (segment->shape_continues[shape_of_row[r]]) bits[r >> 6] |= UINT64_C(1) << (r & 63);
        }
        lm_reader reader = lm_reader_of(segment->marks.ptr + segment->exceptions_at, segment->marks.len - segment->exceptions_at);
        for (uint64_t row = 0;;) {
            uint64_t step = lm_reader_varint(&reader);
            if (step == 0 || step - 1 >= n - row) break; /* the end, or damaged: records are then lines */
            row += step - 1;
            bits[row >> 6] ^= UINT64_C(1) << (row & 63);
        }
        for (size_t w = 0; w < words; w++) has_any = has_any || bits[w];
        segment->continuations = has_any ? bits : NULL;
        segment->has_continuations = true;
    }
    *out = segment->continuations;
    return LM_OK;
}

lm_row_place lm_segment_place(const lm_segment *segment, uint32_t row)
{
    for (size_t i = 0; i < segment->head.span_count; i++) {
        const lm_span *span = &segment->head.spans[i].span;
        if (row < span->rows) return (lm_row_place){span->file, span->first_line + row};
        row -= span->rows;
    }
    return (lm_row_place){0, 0};
}

/**
 * Rows back to text. A row's shape gives constant text and roles; each role has a cursor that says
 * which of its values comes next, so rendering goes forward. To jump ahead, shapes of the rows
 * between are counted and the cursors moved at once.
 */
#include "archive/archive_put.h"
#include "archive/archive_view.h"

enum { SHAPE_UNKNOWN, SHAPE_READY, SHAPE_DAMAGED };

/* ---- segments of columns ---- */

/** A column of which all values are one number is constant text: it is neither decoded nor counted.
 */
static bool is_constant(const lm_role_view *role)
{
    return role->format.class_count == 1 && role->stored.stamp.is_numeric &&
           role->stored.stamp.min == role->stored.stamp.max;
}

static lm_err plan_steps(lm_segment *segment)
{
    const lm_shapes *shapes = &segment->shapes;
    segment->steps = lm_arena_alloc(&segment->arena, shapes->count * sizeof *segment->steps,
                                    _Alignof(lm_row_step));
    segment->step_roles = lm_arena_alloc(
        &segment->arena, shapes->var_count * sizeof *segment->step_roles, _Alignof(uint32_t));
    if (!segment->steps || !segment->step_roles) return lm_mem_err();
    uint32_t at = 0;
    for (size_t s = 0; s < shapes->count; s++) {
        const lm_shape_entry *entry = &shapes->items[s];
        segment->steps[s].first = at;
        for (uint32_t v = 0; v < entry->var_count; v++) {
            uint32_t role = shapes->var_roles[entry->first_var + v];
            if (!is_constant(&segment->roles[role])) segment->step_roles[at++] = role;
        }
        segment->steps[s].count = at - segment->steps[s].first;
    }
    return LM_OK;
}

static lm_err prepare(lm_segment *segment)
{
    const uint32_t *rows;
    lm_err err = lm_segment_rows_load(segment, &rows);
    if (err || segment->cursors) return err;
    size_t n = segment->shapes.count;
    uint32_t *cursors =
        lm_arena_alloc(&segment->arena, segment->role_count * sizeof *cursors, _Alignof(uint32_t));
    segment->shape_states = lm_arena_alloc(&segment->arena, n, 1);
    segment->shape_bounds =
        lm_arena_alloc(&segment->arena, n * sizeof *segment->shape_bounds, _Alignof(size_t));
    if (!cursors || !segment->shape_states || !segment->shape_bounds) return lm_mem_err();
    memset(cursors, 0, segment->role_count * sizeof *cursors);
    memset(segment->shape_states, SHAPE_UNKNOWN, n);
    segment->programs =
        lm_arena_alloc(&segment->arena, n * sizeof *segment->programs, _Alignof(lm_render_op *));
    if (!segment->programs) return lm_mem_err();
    err = plan_steps(segment);
    if (err) return err;
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

/* ---- a shape as a program ---- */

static lm_err ready_role(lm_segment *segment, int32_t column, bool in_parts)
{
    lm_role_view *role = &segment->roles[column];
    const lm_values *values = role->values;
    lm_err err = role->failed ? role->failed
                 : in_parts   ? lm_segment_values_lazy(segment, (size_t)column, &values)
                              : lm_segment_values(segment, (size_t)column, &values);
    if (!err && values->count != role->count) {
        err = lm_fail_at(LM_E_CORRUPT, segment->offset,
                         "'%s': segment %zu: a column has %u values for %u places",
                         segment->archive->path, segment->index, values->count, role->count);
    }
    if (err == LM_E_CORRUPT)
        role->failed = err; /* what failed for want of memory may go well yet */
    if (err) return err;
    if (!role->text_max) role->text_max = longest_text(values);
    return LM_OK;
}

static void number_op(const lm_values *values, lm_render_op *op)
{
    uint32_t vclass = values->uniform;
    op->from = values->numbers;
    op->kind = LM_PUT_NUMBER;
    op->vclass = (uint16_t)vclass;
    if (vclass == LM_VC_INT) {
        op->kind = LM_PUT_INT;
    } else if (vclass == LM_VC_IP4) {
        op->kind = LM_PUT_IP4;
    } else if (vclass > LM_VC_ZINT && vclass <= LM_VC_ZINT + 18) {
        op->kind = LM_PUT_PADDED;
        op->width = (uint8_t)(vclass - LM_VC_ZINT);
    } else if (vclass > LM_VC_DEC && vclass <= LM_VC_DECT + LM_SCALE_MAX) {
        bool is_trimmed = vclass > LM_VC_DECT;
        op->kind = is_trimmed ? LM_PUT_TRIMMED : LM_PUT_DECIMAL;
        op->width = (uint8_t)(vclass - (is_trimmed ? LM_VC_DECT : LM_VC_DEC));
        op->unit = 1;
        for (uint32_t i = 0; i < op->width; i++)
            op->unit *= 10;
    } else if (vclass > LM_VC_HEX_LOWER && vclass <= LM_VC_HEX_UPPER + 16) {
        bool is_upper = vclass > LM_VC_HEX_UPPER;
        op->kind = LM_PUT_HEX;
        op->width = (uint8_t)(vclass - (is_upper ? LM_VC_HEX_UPPER : LM_VC_HEX_LOWER));
        op->unit = is_upper ? LM_HEX_UPPER : LM_HEX_LOWER;
    }
}

static lm_err time_op(lm_segment *segment, lm_role_view *role, lm_render_op *op)
{
    if (!role->time_printer) {
        role->time_printer =
            lm_arena_alloc(&segment->arena, sizeof *role->time_printer, _Alignof(lm_time_printer));
        if (!role->time_printer) return lm_mem_err();
        lm_time_printer_init(role->time_printer, (uint16_t)(role->values->uniform - LM_VC_TIME));
    }
    op->kind = LM_PUT_TIME;
    op->time = role->time_printer;
    return LM_OK;
}

/** How values of a column are put; a time's printer keeps its last text. */
static lm_err ready_op(lm_segment *segment, int32_t column, lm_render_op *op)
{
    lm_role_view *role = &segment->roles[column];
    const lm_values *values = role->values;
    op->kind = LM_PUT_MIXED;
    op->from = values;
    op->cursor = &segment->cursors[column];
    if (values->classes) return LM_OK;
    if (values->uniform == LM_VC_STR_UNIQUE) {
        op->kind = LM_PUT_UNIQUE;
        op->from = values->texts;
    } else if (values->index) {
        op->kind = LM_PUT_INDEX;
        op->from = values->index;
        op->texts = values->texts;
    } else if (values->wide && values->uniform != LM_VC_UUID) {
        op->kind = LM_PUT_BYTES;
        op->from = values->wide;
        op->width = (uint8_t)lm_vclass_width(values->uniform);
    } else if (values->numbers) {
        number_op(values, op);
        if (values->uniform >= LM_VC_TIME) return time_op(segment, role, op);
    }
    return LM_OK;
}

/** The pieces of a shape, neighbouring constants joined. */
static lm_err compile_shape(lm_segment *segment, uint32_t shape, size_t text_bytes)
{
    const lm_shape *view = &segment->views[shape];
    lm_render_op *ops = lm_arena_alloc(&segment->arena, (view->piece_count + 1u) * sizeof *ops,
                                       _Alignof(lm_render_op));
    uint8_t *text = lm_arena_alloc(&segment->arena, text_bytes + LM_TEXT_SLACK + 1, 1);
    if (!ops || !text) return lm_mem_err();
    lm_render_op *op = ops;
    *op = (lm_render_op){.text = text};
    for (uint32_t p = 0; p < view->piece_count; p++) {
        int32_t column = view->pieces[p].column;
        if (column < 0) {
            memcpy(text + op->len, view->pieces[p].text.ptr, view->pieces[p].text.len);
            op->len += (uint32_t)view->pieces[p].text.len;
        } else if (is_constant(&segment->roles[column])) {
            op->len += (uint32_t)lm_value_print(LM_VC_INT, segment->roles[column].stored.stamp.min,
                                                NULL, text + op->len);
        } else {
            lm_err err = ready_op(segment, column, op);
            if (err) return err;
            text += op->len;
            *++op = (lm_render_op){.text = text};
        }
    }
    text[op->len++] = '\n';
    memset(text + op->len, 0, LM_TEXT_SLACK); /* it is read before the next text is there */
    segment->programs[shape] = ops;
    return LM_OK;
}

/** Of columns that come in parts: what the next row needs of them. A row takes at most as many
 * values of a role as it has variables, and no more than are left. */
static lm_err ready_parts(lm_segment *segment, uint32_t shape)
{
    const lm_row_step *step = &segment->steps[shape];
    for (uint32_t i = 0; i < step->count; i++) {
        uint32_t column = segment->step_roles[step->first + i];
        lm_role_view *role = &segment->roles[column];
        if (!role->parts) continue;
        uint32_t first = segment->cursors[column], left = role->values->count - first;
        uint32_t last = first + (step->count < left ? step->count : left) - 1;
        lm_err err = lm_role_part(segment, role, first);
        if (!err) err = lm_role_part(segment, role, last);
        if (err) return err;
    }
    return LM_OK;
}

/** All that was left out. Damage is told by the rows that meet it. */
static lm_err finish_parts(lm_segment *segment)
{
    const lm_values *values;
    for (size_t i = 0; i < segment->role_count && segment->parts_count; i++) {
        if (!segment->roles[i].parts || segment->roles[i].failed) continue;
        lm_err err = lm_segment_values(segment, i, &values);
        if (err && err != LM_E_CORRUPT) return err;
    }
    return LM_OK;
}

/** So few rows that parts of columns do. More are likely to be followed by the rest. */
enum { SPARSE_ROWS = 512 };

/** Decode what a shape needs, at its first row; how long may its rows be? LM_E_CORRUPT marks the
 * shape. */
static lm_err ready_shape(lm_segment *segment, uint32_t shape, bool in_parts)
{
    const lm_shape *view = &segment->views[shape];
    size_t bound = LM_TEXT_SLACK, text_bytes = 1;
    for (uint32_t p = 0; p < view->piece_count; p++) {
        int32_t column = view->pieces[p].column;
        if (column < 0) {
            text_bytes += view->pieces[p].text.len;
        } else if (is_constant(&segment->roles[column])) {
            text_bytes += LM_VALUE_TEXT_MAX;
        } else {
            lm_err err = ready_role(segment, column, in_parts);
            if (err == LM_E_CORRUPT) segment->shape_states[shape] = SHAPE_DAMAGED;
            if (err) return err;
            bound += segment->roles[column].text_max;
        }
    }
    lm_err err = compile_shape(segment, shape, text_bytes);
    if (err) return err;
    segment->shape_bounds[shape] = bound + text_bytes;
    segment->shape_states[shape] = SHAPE_READY;
    return LM_OK;
}

static void pass_row(lm_segment *segment, uint32_t shape)
{
    const lm_row_step *step = &segment->steps[shape];
    const uint32_t *role = segment->step_roles + step->first;
    for (uint32_t i = 0; i < step->count; i++)
        segment->cursors[role[i]]++;
}

/** Move the cursors over rows [next_row, row) without printing them: one by one, or, for many, by
 * counting shapes. */
static lm_err skip_rows(lm_segment *segment, uint32_t row)
{
    size_t n = segment->shapes.count;
    if (row - segment->next_row <= 64 + n) {
        for (uint32_t r = segment->next_row; r < row; r++)
            pass_row(segment, segment->shape_of_row[r]);
        segment->next_row = row;
        return LM_OK;
    }
    uint32_t *counts = lm_mem_calloc(segment->mem, n, sizeof *counts);
    if (!counts) return lm_mem_err();
    for (uint32_t r = segment->next_row; r < row; r++)
        counts[segment->shape_of_row[r]]++;
    for (size_t s = 0; s < n; s++) {
        if (!counts[s]) continue;
        const lm_row_step *step = &segment->steps[s];
        for (uint32_t i = 0; i < step->count; i++)
            segment->cursors[segment->step_roles[step->first + i]] += counts[s];
    }
    lm_mem_release(segment->mem, counts, n * sizeof *counts);
    segment->next_row = row;
    return LM_OK;
}

static lm_err seek_row(lm_segment *segment, uint32_t row)
{
    if (row < segment->next_row) {
        memset(segment->cursors, 0, segment->role_count * sizeof *segment->cursors);
        segment->next_row = 0;
    }
    return row == segment->next_row ? LM_OK : skip_rows(segment, row);
}

static uint8_t *put_mixed(const lm_values *values, uint32_t i, uint8_t *at)
{
    uint32_t vclass = values->classes ? values->classes[i] : values->uniform;
    if (vclass == LM_VC_INT) return lm_put_int(at, values->numbers[i]);
    if (vclass == LM_VC_IP4) return lm_put_ip4(at, (uint32_t)values->numbers[i]);
    if (vclass > LM_VC_DEC && vclass <= LM_VC_DEC + LM_SCALE_MAX)
        return lm_put_decimal(at, values->numbers[i], vclass - LM_VC_DEC,
                              lm_power10[vclass - LM_VC_DEC]);
    if (vclass > LM_VC_HEX_LOWER && vclass <= LM_VC_HEX_LOWER + 16)
        return lm_put_hex(at, (uint64_t)values->numbers[i], vclass - LM_VC_HEX_LOWER, LM_HEX_LOWER);
    lm_str text = lm_values_text(values, i, at); /* printed there, or a text of a dictionary */
    return text.ptr == at ? at + text.len : lm_put_text(at, text.ptr, text.len);
}

/** A row by its shape's program. */
static inline uint8_t *render_row(const lm_render_op *op, uint8_t *at)
{
    for (;; op++) {
        at = lm_put_text(at, op->text, op->len);
        if (op->kind == LM_PUT_END) return at;
        uint32_t i = (*op->cursor)++;
        const int64_t *numbers = op->from;
        __builtin_prefetch(numbers + i + 32);
        switch (op->kind) {
        case LM_PUT_INDEX: {
            const uint32_t *index =
                (const uint32_t *)op->from + i; /* LM_COLUMN_SLACK lets it look ahead */
            const lm_str *text = &op->texts[index[0]];
            __builtin_prefetch(&op->texts[index[8]]);
            __builtin_prefetch(op->texts[index[4]].ptr);
            at = lm_put_text(at, text->ptr, text->len);
            break;
        }
        case LM_PUT_UNIQUE: {
            const lm_str *text = (const lm_str *)op->from + i;
            at = lm_put_text(at, text->ptr, text->len);
            break;
        }
        case LM_PUT_INT:
            at = lm_put_int(at, numbers[i]);
            break;
        case LM_PUT_PADDED:
            at = lm_put_padded(at, (uint64_t)numbers[i], op->width);
            break;
        case LM_PUT_DECIMAL:
            at = lm_put_decimal(at, numbers[i], op->width, op->unit);
            break;
        case LM_PUT_TRIMMED:
            at = lm_put_decimal_trimmed(at, numbers[i], op->width, op->unit);
            break;
        case LM_PUT_IP4:
            at = lm_put_ip4(at, (uint32_t)numbers[i]);
            break;
        case LM_PUT_BYTES:
            at = lm_put_hex_bytes(at, (const uint8_t *)op->from + (size_t)i * op->width, op->width);
            break;
        case LM_PUT_HEX:
            at = lm_put_hex(at, (uint64_t)numbers[i], op->width, (unsigned)op->unit);
            break;
        case LM_PUT_TIME:
            at = lm_time_printer_put(op->time, numbers[i], at);
            break;
        case LM_PUT_NUMBER:
            at += lm_value_print(op->vclass, numbers[i], NULL, at);
            break;
        default:
            at = put_mixed(op->from, i, at);
        }
    }
}

lm_err lm_segment_render_rows(lm_segment *segment, const uint32_t *rows, uint32_t begin,
                              size_t count, lm_buf *out, size_t *out_ends, uint32_t *lost)
{
    lm_err err = prepare(segment);
    bool sparse = count <= SPARSE_ROWS;
    if (!err && !sparse && segment->parts_count) err = finish_parts(segment);
    for (size_t i = 0; i < count && !err; i++) {
        uint32_t row = rows ? rows[i] : begin + (uint32_t)i;
        if (row != segment->next_row) {
            err = seek_row(segment, row);
            if (err) return err;
        }
        uint32_t shape = segment->shape_of_row[row];
        if (segment->shape_states[shape] != SHAPE_READY) {
            err = segment->shape_states[shape] == SHAPE_DAMAGED
                      ? LM_E_CORRUPT
                      : ready_shape(segment, shape, sparse);
        }
        if (!err && segment->parts_count) err = ready_parts(segment, shape);
        if (err && !(lost && err == LM_E_CORRUPT)) return err;
        if (err) {
            pass_row(segment, shape);
            segment->next_row = row + 1;
            (*lost)++;
            if (out_ends) out_ends[i] = SIZE_MAX;
            err = LM_OK;
            continue;
        }
        err = lm_buf_reserve(out, segment->shape_bounds[shape]);
        if (err) return err;
        uint8_t *at = render_row(segment->programs[shape], out->ptr + out->len);
        out->len = (size_t)(at - out->ptr);
        segment->next_row = row + 1;
        if (out_ends) out_ends[i] = out->len;
    }
    return err;
}

lm_err lm_segment_render(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                         size_t *out_ends, uint32_t *lost)
{
    LM_ASSERT(begin <= end && end <= segment->head.rows);
    if (lm_segment_is_raw(segment))
        return lm_segment_raw_render(segment, begin, end, out, out_ends, lost);
    return lm_segment_render_rows(segment, NULL, begin, end - begin, out, out_ends, lost);
}

lm_err lm_segment_text(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                       size_t *out_ends)
{
    return lm_segment_render(segment, begin, end, out, out_ends, NULL);
}

lm_err lm_segment_text_of(lm_segment *segment, const uint32_t *rows, size_t row_count, lm_buf *out,
                          size_t *out_ends)
{
    if (!lm_segment_is_raw(segment))
        return lm_segment_render_rows(segment, rows, 0, row_count, out, out_ends, NULL);
    for (size_t i = 0; i < row_count; i++) {
        lm_err err = lm_segment_raw_render(segment, rows[i], rows[i] + 1, out,
                                           out_ends ? out_ends + i : NULL, NULL);
        if (err) return err;
    }
    return LM_OK;
}

/* ---- times, records, places ---- */

static int64_t value_time(const lm_values *values, uint32_t i, lm_when *when)
{
    uint32_t vclass = values->classes ? values->classes[i] : values->uniform;
    if (lm_vclass_key(vclass) != LM_KEY_STR)
        return values->numbers ? lm_value_time_ns(vclass, values->numbers[i], when) : INT64_MIN;
    uint8_t printed[LM_VALUE_TEXT_MAX];
    return lm_text_time_ns(lm_values_text(values, i, printed), when);
}

static lm_when when_of(const lm_segment *segment, size_t span)
{
    const lm_archive_meta *meta = &segment->archive->meta;
    if (span >= segment->head.span_count) return (lm_when){.not_after_ns = INT64_MAX};
    const lm_span *about = &segment->head.spans[span].span;
    return lm_span_when(about, about->file < meta->file_count ? meta->files[about->file].mtime_ns
                                                              : INT64_MAX);
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
    lm_err raw_err = lm_segment_is_raw(segment) ? lm_segment_raw_times(segment, times)
                                                : lm_segment_rows_load(segment, &shape_of_row);
    if (raw_err) return raw_err;
    if (!shape_of_row) {
        segment->times = times;
        *out = times;
        return LM_OK;
    }
    size_t role_count = segment->role_count;
    uint32_t *cursors = lm_mem_calloc(segment->mem, role_count, sizeof *cursors);
    if (!cursors) return lm_mem_err();
    size_t span = 0;
    uint32_t span_row = 0;
    int64_t now = INT64_MIN;
    lm_when when = when_of(segment, 0);
    for (uint32_t r = 0; r < n; r++, span_row++) {
        while (span < segment->head.span_count && span_row >= segment->head.spans[span].span.rows) {
            span++;
            span_row = 0;
            now = INT64_MIN;
            when = when_of(segment, span);
        }
        const lm_shape *view = &segment->views[shape_of_row[r]];
        for (uint32_t p = 0; p < view->piece_count; p++) {
            int32_t column = view->pieces[p].column;
            if (column < 0) continue;
            uint32_t at = cursors[column]++;
            if ((int32_t)p != view->time_piece) continue;
            const lm_values *values = NULL;
            lm_err err = segment->roles[column].failed
                             ? LM_E_CORRUPT
                             : lm_segment_values(segment, (size_t)column, &values);
            if (err == LM_E_NOMEM ||
                err == LM_E_LIMIT) { /* no damage: the same call may succeed later */
                lm_mem_release(segment->mem, cursors, role_count * sizeof *cursors);
                return err;
            }
            if (err || at >= values->count) {
                segment->roles[column].failed = LM_E_CORRUPT;
                continue;
            }
            int64_t ns = value_time(values, at, &when);
            if (ns != INT64_MIN) now = ns;
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
        lm_reader reader = lm_reader_of(segment->marks.ptr + segment->exceptions_at,
                                        segment->marks.len - segment->exceptions_at);
        for (uint64_t row = 0;;) {
            uint64_t step = lm_reader_varint(&reader);
            if (step == 0 || step - 1 >= n - row)
                break; /* the end, or damaged: records are then lines */
            row += step - 1;
            bits[row >> 6] ^= UINT64_C(1) << (row & 63);
        }
        for (size_t w = 0; w < words; w++)
            has_any = has_any || bits[w];
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

/**
 * One segment: text -> parsed columns -> blocks. Nothing here depends on another segment, so
 * segments are made side by side.
 *
 *   text --raw at sight?--> blocks of plain text
 *        --lm_parsed_make--> shapes, roles --marks: time, level, continuation--> lm_columns_encode
 * --larger than text compressed?--> blocks of plain text
 */
#include "archive/archive_priv.h"

enum {
    SNIFF_BYTES = 1 << 16,
    CONTROL_SHARE = 16, /* more than one control byte in so many: not text */
    MESSAGE_MAX = 400,  /* of a message is mined: what follows hardly tells templates apart, and
                           their texts are stored */
    /* below this ratio plain compression is tried as well and the smaller one kept */
    RAW_TRY_UNDER = 1 << 20, /* small segments: always; what columns cost in the directory may be
                                more than they save */
    RAW_SAMPLE_BELOW = 48,
    RAW_SAMPLE_FROM = 400 << 10,
    RAW_SAMPLE_MAX = 1 << 20,
    RAW_WORDS_SAVE = 2 << 10, /* that logs have in common, in a text that is short */
    RAW_DEAR_UNDER =
        4 << 20, /* a larger one is compressed at the cheap level: dear ones gain little there */
    FAST_FROM = 400 << 10, /* what is shorter takes some 30 ms at level default: nothing is won by
                              level fast */
    RAW_DEAR_SAVES = 4,    /* the dear level may save a quarter */
    RAW_TRY_BELOW_FAST = 5,
    RAW_TRY_BELOW = 12,
    /* and above this one: whole pieces come back, which columns take apart; trying takes no time */
    RAW_TRY_ABOVE = 300,
};

static bool is_binary(const uint8_t *text, size_t len)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    size_t n = len < SNIFF_BYTES ? len : SNIFF_BYTES;
    size_t control = 0;
    for (size_t i = 0; i < n; i++) {
        while (i + 8 <= n) { /* most bytes are letters */
            uint64_t bytes = lm_le64(text + i);
            if ((bytes - each * 0x20) & ~bytes & each * 0x80) break;
            i += 8;
        }
        if (i == n) break;
        control += text[i] < 0x20 && text[i] != '\n' && text[i] != '\t' && text[i] != '\r' &&
                   text[i] != 0x1b;
    }
    return control > n / CONTROL_SHARE;
}

/* ---- plain text blocks ---- */

/** In the directory: rows that end in it and stored length of each block but the last, for which
 * both follow; a checksum of each. */
static lm_err encode_raw(lm_seg_work *work, lm_level level, lm_buf *blocks, lm_buf *directory)
{
    lm_buf checks;
    lm_buf_init(&checks, work->mem);
    lm_err err = LM_OK;
    for (size_t at = 0, n; !err && at < work->text_len; at += n) {
        size_t left = work->text_len - at, before = blocks->len;
        n = left < LM_RAW_BLOCK_BYTES ? left : LM_RAW_BLOCK_BYTES;
        err = lm_text_encode(work->mem, (lm_str){work->text + at, n}, level, blocks);
        size_t stored = blocks->len - before;
        if (!err) err = lm_buf_le32(&checks, (uint32_t)lm_hash64(blocks->ptr + before, stored));
        if (!err && n < left)
            err = lm_buf_varint(directory, lm_scan_count_newlines(work->text + at, n));
        if (!err && n < left) err = lm_buf_varint(directory, stored);
    }
    if (!err) err = lm_buf_append(directory, checks.ptr, checks.len);
    lm_buf_fini(&checks);
    return err;
}

/** Would plain compression stay far above the columns? Quick compression tells, at a fraction of
 * its cost: the better one that it stands for makes a third less of a text. */
static lm_err is_far_from_raw(lm_seg_work *work, size_t columns, bool is_dear, bool *out)
{
    size_t limit = is_dear ? columns * 2 : columns + columns / 2;
    bool repeats = columns * RAW_SAMPLE_BELOW < work->text_len; /* a sample would tell nothing */
    bool by_sample = work->text_len >= RAW_SAMPLE_FROM && !repeats;
    return lm_text_outgrows(work->mem, (lm_str){work->text, work->text_len}, RAW_SAMPLE_MAX,
                            limit + RAW_WORDS_SAVE, by_sample, out);
}

/** As plain text, if that is smaller than columns. */
static lm_err try_raw(lm_seg_work *work, lm_level level, lm_buf *blocks, lm_buf *directory,
                      bool *is_smaller)
{
    size_t columns = work->blocks.len + work->directory.len;
    bool is_dear = level != LM_LEVEL_FAST, is_far;
    *is_smaller = false;
    lm_err err = is_far_from_raw(work, columns, is_dear, &is_far);
    if (err || is_far) return err;
    err = encode_raw(work, LM_LEVEL_FAST, blocks, directory);
    size_t now = blocks->len + directory->len;
    if (err || now - (is_dear ? now / RAW_DEAR_SAVES : 0) >= columns) return err;
    if (is_dear) {
        blocks->len = directory->len = 0;
        err = encode_raw(work, level, blocks, directory);
    }
    *is_smaller = blocks->len + directory->len < columns;
    return err;
}

static lm_err make_raw(lm_seg_work *work, bool is_only_if_smaller)
{
    lm_level level = work->level;
    if (level == LM_LEVEL_DEFAULT && work->text_len > RAW_DEAR_UNDER) level = LM_LEVEL_FAST;
    lm_buf blocks, directory;
    lm_buf_init(&blocks, work->mem);
    lm_buf_init(&directory, work->mem);
    bool is_taken = true;
    lm_err err = is_only_if_smaller ? try_raw(work, level, &blocks, &directory, &is_taken)
                                    : encode_raw(work, level, &blocks, &directory);
    if (err || !is_taken) {
        lm_buf_fini(&blocks);
        lm_buf_fini(&directory);
        return err;
    }
    lm_buf_fini(&work->blocks);
    lm_buf_fini(&work->directory);
    work->blocks = blocks;
    work->directory = directory;
    work->kind = LM_SEGMENT_RAW;
    return LM_OK;
}

/* ---- marks: where a shape's time and level are ---- */

typedef struct shape_mark {
    uint32_t time_var; /* number of the variable + 1; 0 none */
    uint32_t level;    /* 0 none, 1..7 severity of all rows, 8 + variable */
    bool is_continuation;
    bool is_headed; /* records are told by a timestamp that is a variable of this shape */
} shape_mark;

/** Which variable of the shape covers a slice of its sample line? UINT32_MAX none. exact: the slice
 * is the variable. */
static uint32_t variable_at(const lm_seg_work *work, const lm_shape_entry *entry, lm_slice slice,
                            bool is_exact)
{
    const lm_parsed *parsed = work->parsed;
    lm_skeleton_walk walk = {parsed->shapes.skeletons.ptr + entry->skeleton,
                             parsed->shapes.skeletons.ptr + entry->skeleton + entry->skeleton_len};
    uint32_t at = entry->sample.offset, number = 0;
    uint32_t line_end = entry->sample.offset + entry->sample.len;
    lm_str text;
    uint8_t kind;
    while (lm_skeleton_next(&walk, &text, &kind)) {
        at += (uint32_t)text.len;
        uint32_t len = parsed->sample_lens[entry->first_var + number];
        if (at + len > line_end) return UINT32_MAX;
        if (is_exact ? at == slice.offset && len == slice.len
                     : at <= slice.offset + slice.len && at + len > slice.offset) {
            return number;
        }
        at += len;
        number++;
    }
    return UINT32_MAX;
}

static uint8_t kind_of(const lm_seg_work *work, const lm_shape_entry *entry, uint32_t var)
{
    const uint8_t *skeleton = work->parsed->shapes.skeletons.ptr + entry->skeleton;
    lm_skeleton_walk walk = {skeleton, skeleton + entry->skeleton_len};
    lm_str text;
    uint8_t kind = 0;
    for (uint32_t i = 0; i <= var; i++)
        if (!lm_skeleton_next(&walk, &text, &kind)) return 0;
    return kind;
}

static lm_slice cut_message(lm_slice message)
{
    return message.len <= MESSAGE_MAX ? message : (lm_slice){message.offset, MESSAGE_MAX};
}

static lm_err mark_shape(lm_seg_work *work, uint32_t shape, lm_fields *fields, shape_mark *out)
{
    const lm_shape_entry *entry = &work->parsed->shapes.items[shape];
    lm_str line = {work->text + entry->sample.offset, entry->sample.len};
    *out = (shape_mark){0};
    work->messages[shape] = cut_message(entry->sample);
    if (line.len > LM_FIELD_LINE_MAX) return LM_OK;
    lm_err err = lm_schema_parse(work->schema, line, fields);
    if (err) return err;
    if (fields->message >= 0 && fields->items[fields->message].value.len) {
        lm_str value = fields->items[fields->message].value;
        work->messages[shape] =
            cut_message((lm_slice){(uint32_t)(value.ptr - work->text), (uint32_t)value.len});
    }
    if (fields->timestamp >= 0) {
        lm_str value = fields->items[fields->timestamp].value;
        lm_slice slice = {(uint32_t)(value.ptr - work->text), (uint32_t)value.len};
        uint32_t var = variable_at(work, entry, slice, false);
        if (var != UINT32_MAX) out->time_var = var + 1;
    }
    if (fields->level >= 0) {
        lm_str value = fields->items[fields->level].value;
        lm_slice slice = {(uint32_t)(value.ptr - work->text), (uint32_t)value.len};
        uint32_t var = variable_at(work, entry, slice, true);
        if (var != UINT32_MAX) {
            out->level = 8 + var;
        } else if (variable_at(work, entry, slice, false) == UINT32_MAX) {
            out->level = (uint32_t)lm_severity_parse(value);
        }
    }
    return LM_OK;
}

/* ---- times ---- */

static int64_t layout_time_ns(uint16_t layout, int64_t ticks, lm_when *when)
{
    return when->has_clock && !lm_time_layout_has_date(layout)
               ? lm_when_clock(when, layout, ticks)
               : lm_time_ns(layout, ticks, when->not_after_ns);
}

int64_t lm_value_time_ns(uint32_t vclass, int64_t v, lm_when *when)
{
    if (vclass >= LM_VC_TIME) return layout_time_ns((uint16_t)(vclass - LM_VC_TIME), v, when);
    if (v <= 0) return INT64_MIN;
    if (vclass == LM_VC_INT) { /* an epoch: seconds, milli-, micro- or nanoseconds by size */
        if (v < INT64_C(100000000)) return INT64_MIN;
        if (v < INT64_C(9000000000)) return v * 1000000000;
        if (v < INT64_C(9000000000000)) return v * 1000000;
        if (v < INT64_C(9000000000000000)) return v * 1000;
        return v;
    }
    unsigned scale = 0;
    if (vclass > LM_VC_DEC && vclass <= LM_VC_DEC + LM_SCALE_MAX)
        scale = (unsigned)vclass - LM_VC_DEC;
    if (vclass > LM_VC_DECT && vclass <= LM_VC_DECT + LM_SCALE_MAX)
        scale = (unsigned)vclass - LM_VC_DECT;
    if (scale == 0) return INT64_MIN;
    for (; scale > 9; scale--)
        v /= 10;
    for (; scale < 9; scale++) {
        if (v > INT64_MAX / 10) return INT64_MIN;
        v *= 10;
    }
    return v >= INT64_C(100000000000000000) ? v : INT64_MIN;
}

int64_t lm_text_time_ns(lm_str text, lm_when *when)
{
    lm_time time;
    if (lm_time_parse(text.ptr, text.len, &time) && time.len == text.len)
        return layout_time_ns(time.layout, time.ticks, when);
    lm_token_value token;
    lm_token_classify(text.ptr, text.len, &token);
    return lm_value_time_ns(token.vclass, token.number, when);
}

static int64_t role_time_ns(const lm_seg_work *work, const lm_role *role, uint32_t at,
                            lm_when *when)
{
    uint32_t vclass = role->classes ? role->classes[at] : role->uniform;
    if (vclass != LM_VC_STR) return lm_value_time_ns(vclass, role->numbers[at], when);
    lm_slice slice = role->texts[role->numbers[at]];
    return lm_text_time_ns((lm_str){work->text + slice.offset, slice.len}, when);
}

static void note_time(lm_seg_work *work, int64_t ns)
{
    if (ns == INT64_MIN) return;
    if (ns < work->time_min) work->time_min = ns;
    if (ns > work->time_max) work->time_max = ns;
}

/** Times row by row: roles that are a line's time in some shapes and a value in others. */
static lm_err note_times_by_row(lm_seg_work *work, const shape_mark *marks)
{
    const lm_parsed *parsed = work->parsed;
    uint32_t *cursors = lm_mem_calloc(work->mem, parsed->role_count, sizeof *cursors);
    if (!cursors) return lm_mem_err();
    size_t span = 0, span_row = 0;
    lm_when when = lm_span_when(&work->spans[0], work->spans[0].not_after_ns);
    for (size_t r = 0; r < parsed->row_count; r++, span_row++) {
        for (; span_row >= work->spans[span].rows; span_row = 0) {
            span++;
            when = lm_span_when(&work->spans[span], work->spans[span].not_after_ns);
        }
        uint32_t shape = parsed->shape_of_row[r];
        const lm_shape_entry *entry = &parsed->shapes.items[shape];
        const uint32_t *roles = parsed->shapes.var_roles + entry->first_var;
        for (uint32_t v = 0; v < entry->var_count; v++) {
            uint32_t at = cursors[roles[v]]++;
            if (v + 1 == marks[shape].time_var)
                note_time(work, role_time_ns(work, &parsed->roles[roles[v]], at, &when));
        }
    }
    lm_mem_release(work->mem, cursors, parsed->role_count * sizeof *cursors);
    return LM_OK;
}

/** All values of a role are times of lines. Of one class that has a date, least and largest number
 * are first and last time. */
static void note_role_times(lm_seg_work *work, const lm_role *role)
{
    lm_when when = {.not_after_ns = work->spans[0].not_after_ns};
    bool is_ordered = !role->classes && role->uniform >= LM_VC_TIME &&
                      lm_time_layout_has_year((uint16_t)(role->uniform - LM_VC_TIME));
    if (!is_ordered) {
        for (uint32_t i = 0; i < role->count; i++)
            note_time(work, role_time_ns(work, role, i, &when));
        return;
    }
    uint32_t least = 0, largest = 0;
    for (uint32_t i = 1; i < role->count; i++) {
        if (role->numbers[i] < role->numbers[least]) least = i;
        if (role->numbers[i] > role->numbers[largest]) largest = i;
    }
    note_time(work, role_time_ns(work, role, least, &when));
    note_time(work, role_time_ns(work, role, largest, &when));
}

/** First and last time of the segment. A time belongs to the rows behind it too, so only rows that
 * have one matter. */
static lm_err note_times(lm_seg_work *work, const shape_mark *marks)
{
    enum { IS_TIME = 1, IS_OTHER = 2 };

    const lm_parsed *parsed = work->parsed;
    bool is_by_row = false;
    for (size_t i = 0; i < work->span_count; i++)
        is_by_row = is_by_row || work->spans[i].flags & LM_SPAN_CLOCK ||
                    work->spans[i].not_after_ns != work->spans[0].not_after_ns;
    uint8_t *uses = lm_mem_calloc(work->mem, parsed->role_count, sizeof *uses);
    if (!uses) return lm_mem_err();
    for (size_t s = 0; s < parsed->shapes.count; s++) {
        const lm_shape_entry *entry = &parsed->shapes.items[s];
        for (uint32_t v = 0; v < entry->var_count; v++)
            uses[parsed->shapes.var_roles[entry->first_var + v]] |=
                v + 1 == marks[s].time_var ? IS_TIME : IS_OTHER;
    }
    for (size_t i = 0; i < parsed->role_count; i++)
        is_by_row = is_by_row || uses[i] == (IS_TIME | IS_OTHER);
    for (size_t i = 0; i < parsed->role_count && !is_by_row; i++)
        if (uses[i] == IS_TIME && parsed->roles[i].count) note_role_times(work, &parsed->roles[i]);
    lm_mem_release(work->mem, uses, parsed->role_count * sizeof *uses);
    return is_by_row ? note_times_by_row(work, marks) : LM_OK;
}

/* ---- records of several lines ---- */

/** Is the timestamp by which records are told a variable of the shape, so that all its lines have
 * it? */
static bool is_headed(lm_seg_work *work, const lm_shape_entry *entry)
{
    lm_str line = {work->text + entry->sample.offset, entry->sample.len};
    size_t at = lm_joiner_time_at(work->joiner, line);
    if (at == SIZE_MAX) return false;
    lm_slice begin = {entry->sample.offset + (uint32_t)at, 0};
    uint32_t var = variable_at(work, entry, begin, false);
    return var != UINT32_MAX && kind_of(work, entry, var) == LM_KIND_TIME;
}

/** Bit a row; counts per shape decide the shape's flag, the rest are exceptions. */
static lm_err note_continuations(lm_seg_work *work, shape_mark *marks, lm_buf *exceptions)
{
    const lm_parsed *parsed = work->parsed;
    size_t words = parsed->row_count / 64 + 1;
    uint64_t *bits = lm_mem_calloc(work->mem, words, sizeof *bits);
    uint32_t *counts = lm_mem_calloc(work->mem, parsed->shapes.count, sizeof *counts);
    lm_err err = bits && counts ? LM_OK : lm_mem_err();
    size_t span = 0, span_row = 0;
    const uint8_t *line = work->text, *end = work->text + work->text_len;
    for (size_t s = 0; !err && s < parsed->shapes.count; s++)
        marks[s].is_headed =
            parsed->shapes.items[s].rows > 1 && is_headed(work, &parsed->shapes.items[s]);
    for (size_t r = 0; !err && r < parsed->row_count; r++, span_row++) {
        while (span < work->span_count && span_row >= work->spans[span].rows) {
            span++;
            span_row = 0;
        }
        if (span_row == 0) lm_joiner_reset(work->joiner);
        const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));
        LM_ASSERT(stop);
        lm_str text = {line, (size_t)(stop - line)};
        bool is_joined = marks[parsed->shape_of_row[r]].is_headed
                             ? lm_joiner_continues_headed(work->joiner, text)
                             : lm_joiner_continues(work->joiner, text);
        if (is_joined && span_row > 0) {
            bits[r >> 6] |= UINT64_C(1) << (r & 63);
            counts[parsed->shape_of_row[r]]++;
        }
        line = stop + 1;
    }
    for (size_t s = 0; !err && s < parsed->shapes.count; s++) {
        marks[s].is_continuation = counts[s] * 2 > parsed->shapes.items[s].rows;
    }
    size_t last = 0;
    for (size_t r = 0; !err && r < parsed->row_count; r++) {
        bool is_set = bits[r >> 6] >> (r & 63) & 1;
        if (is_set == marks[parsed->shape_of_row[r]].is_continuation) continue;
        err = lm_buf_varint(exceptions, r - last + 1);
        last = r;
    }
    lm_mem_release(work->mem, bits, words * sizeof *bits);
    lm_mem_release(work->mem, counts, parsed->shapes.count * sizeof *counts);
    return err;
}

/** Marks as stored: per shape time variable + 1, level * 2 + continuation; then exceptions (row
 * distance + 1), 0. */
static lm_err make_marks(lm_seg_work *work, lm_buf *out)
{
    const lm_parsed *parsed = work->parsed;
    size_t n = parsed->shapes.count;
    lm_arena arena;
    lm_arena_init(&arena, work->mem);
    lm_fields fields = {.arena = &arena};
    lm_buf exceptions;
    lm_buf_init(&exceptions, work->mem);
    shape_mark *marks = lm_mem_calloc(work->mem, n, sizeof *marks);
    lm_err err = marks ? LM_OK : lm_mem_err();
    for (uint32_t s = 0; !err && s < n; s++) {
        err = mark_shape(work, s, &fields, &marks[s]);
        if ((s & 255) == 255) {
            lm_arena_reset(&arena);
            fields = (lm_fields){.arena = &arena};
        }
    }
    if (!err) err = note_times(work, marks);
    if (!err) err = note_continuations(work, marks, &exceptions);
    for (size_t s = 0; !err && s < n; s++) {
        err = lm_buf_varint(out, marks[s].time_var);
        if (!err) err = lm_buf_varint(out, (uint64_t)marks[s].level * 2 + marks[s].is_continuation);
    }
    if (!err) err = lm_buf_append(out, exceptions.ptr, exceptions.len);
    if (!err) err = lm_buf_u8(out, 0);
    lm_mem_release(work->mem, marks, n * sizeof *marks);
    lm_buf_fini(&exceptions);
    lm_arena_fini(&arena);
    return err;
}

/* ---- the whole ---- */

static void count_span_rows(lm_seg_work *work)
{
    size_t at = 0;
    for (size_t i = 0; i < work->span_count; i++) {
        lm_span *span = &work->spans[i];
        span->rows = (uint32_t)lm_scan_count_newlines(work->text + at, (size_t)span->bytes);
        work->rows += span->rows;
        at += (size_t)span->bytes;
    }
    LM_ASSERT(at == work->text_len);
}

/** The directory begins with the segment's grams; level fast has no time for them. */
static lm_err grams_before_directory(lm_seg_work *work)
{
    bool has_grams = work->level != LM_LEVEL_FAST;
    size_t stored = has_grams ? work->blocks.len + work->directory.len : 0;
    lm_str text = {work->text, has_grams ? work->text_len : 0};
    lm_buf whole;
    lm_buf_init(&whole, work->mem);
    lm_err err = lm_grams_write(work->mem, text, stored, &whole);
    if (!err) err = lm_buf_append(&whole, work->directory.ptr, work->directory.len);
    if (!err) {
        lm_buf swap = work->directory;
        work->directory = whole;
        whole = swap;
    }
    lm_buf_fini(&whole);
    return err;
}

static lm_err make_columns(lm_seg_work *work)
{
    lm_err err = lm_parsed_make(work->mem, work->text, work->text_len, work->level, work->ways,
                                &work->parsed);
    if (err) return err;
    lm_dates_settle(work->parsed);
    size_t n = work->parsed->shapes.count;
    lm_buf marks;
    lm_buf_init(&marks, work->mem);
    work->messages = lm_mem_calloc(work->mem, n, sizeof *work->messages);
    err = work->messages ? LM_OK : lm_mem_err();
    if (!err) err = make_marks(work, &marks);
    lm_seg_columns columns;
    if (!err) err = lm_seg_columns_make(work->parsed, (lm_str){marks.ptr, marks.len}, &columns);
    if (!err) {
        err = lm_columns_encode(work->mem, work->pool, columns.columns, columns.count, work->level,
                                &work->blocks, &work->directory, NULL);
        lm_seg_columns_fini(&columns);
    }
    if (!err) err = grams_before_directory(work);
    lm_buf_fini(&marks);
    return err;
}

lm_err lm_seg_encode(lm_seg_work *work)
{
    lm_seg_reset(work);
    lm_buf_init(&work->blocks, work->mem);
    lm_buf_init(&work->directory, work->mem);
    count_span_rows(work);
    work->level = work->options->level;
    if (work->level == LM_LEVEL_FAST && work->text_len <= FAST_FROM) work->level = LM_LEVEL_DEFAULT;
    if (is_binary(work->text, work->text_len) || work->rows > LM_SEGMENT_ROWS_MAX / 2)
        return make_raw(work, false);
    work->kind = LM_SEGMENT_COLUMNS;
    lm_err err = make_columns(work);
    size_t limit = lm_mem_limit(work->mem);
    if (err == LM_E_LIMIT && (!limit || lm_mem_used(work->mem) < limit / 2)) {
        lm_buf_fini(
            &work->blocks); /* too many shapes or kinds of variables: not what columns are for */
        lm_buf_fini(&work->directory);
        return make_raw(work, false);
    }
    if (err) return err;
    size_t ratio = work->level == LM_LEVEL_FAST ? RAW_TRY_BELOW_FAST : RAW_TRY_BELOW;
    size_t columns = work->blocks.len + work->directory.len;
    bool may_win = columns * ratio > work->text_len || columns * RAW_TRY_ABOVE < work->text_len ||
                   work->text_len <= RAW_TRY_UNDER;
    if (may_win && !work->options->keep_columns) err = make_raw(work, true);
    return err;
}

void lm_seg_reset(lm_seg_work *work)
{
    size_t n = work->parsed ? work->parsed->shapes.count : 0;
    lm_mem_release(work->mem, work->messages, n * sizeof *work->messages);
    lm_parsed_free(work->parsed);
    lm_buf_fini(&work->blocks);
    lm_buf_fini(&work->directory);
    work->parsed = NULL;
    work->messages = NULL;
    work->time_min = INT64_MAX;
    work->time_max = INT64_MIN;
    work->rows = 0;
    work->kind = 0;
}

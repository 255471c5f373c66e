/* Segments of plain text, read: blocks of text, split into rows. A damaged block costs the rows in
 * it: the directory tells how many line ends it had, so the rows behind it keep their numbers. */
#include "archive/archive_view.h"

static lm_err damaged_block(const lm_segment *segment, uint64_t offset)
{
    return lm_fail_at(LM_E_CORRUPT, offset,
                      "'%s': segment %zu: the block at offset %llu is damaged",
                      segment->archive->path, segment->index, (unsigned long long)offset);
}

/** Blocks that could not be read, as slices of the text. */
typedef struct lost_block {
    size_t begin, end;
} lost_block;

typedef struct raw_reader {
    lm_segment *segment;
    uint8_t *text;
    size_t at, stored_at; /* in the text; in the stored blocks */
    size_t rows;
    lost_block *lost; /* room for all blocks */
    uint32_t lost_count;
} raw_reader;

static lm_err read_block(raw_reader *raw, lm_reader *directory, lm_reader *checks)
{
    lm_segment *segment = raw->segment;
    size_t text_left = (size_t)segment->head.raw_bytes - raw->at,
           stored_left = segment->blocks_bytes.len - raw->stored_at,
           rows_left = segment->head.rows - raw->rows;
    bool is_last = text_left <= LM_RAW_BLOCK_BYTES;
    size_t len = is_last ? text_left : LM_RAW_BLOCK_BYTES;
    size_t rows = is_last ? rows_left : (size_t)lm_reader_varint_max(directory, rows_left);
    lm_str stored = {segment->blocks_bytes.ptr + raw->stored_at,
                     is_last ? stored_left : (size_t)lm_reader_varint_max(directory, stored_left)};
    uint32_t check = lm_reader_le32(checks);
    if (directory->failed || checks->failed || rows > len) {
        return lm_fail_at(LM_E_CORRUPT, segment->offset,
                          "'%s': the directory of segment %zu at offset %llu is damaged",
                          segment->archive->path, segment->index,
                          (unsigned long long)segment->offset);
    }
    uint64_t offset = (uint64_t)(stored.ptr - segment->archive->map.ptr);
    bool is_sound = (uint32_t)lm_hash64(stored.ptr, stored.len) == check;
    lm_err err =
        is_sound ? lm_bytes_decode(segment->mem, stored, raw->text + raw->at, len) : LM_E_CORRUPT;
    if (err && err != LM_E_CORRUPT) return err;
    if (err) {
        if (!raw->lost_count) segment->raw_damage = offset;
        memset(raw->text + raw->at, '?', len - rows);
        memset(raw->text + raw->at + len - rows, '\n', rows);
        raw->lost[raw->lost_count++] = (lost_block){raw->at, raw->at + len};
    }
    raw->at += len;
    raw->stored_at += stored.len;
    raw->rows += rows;
    return LM_OK;
}

static lm_err split_rows(raw_reader *raw, size_t *ends)
{
    lm_segment *segment = raw->segment;
    size_t len = (size_t)segment->head.raw_bytes, at = 0;
    uint32_t rows = 0;
    while (raw->at == len && at < len) {
        const uint8_t *end = memchr(raw->text + at, '\n', len - at);
        if (!end || rows == segment->head.rows) break;
        at = (size_t)(end - raw->text) + 1;
        ends[rows++] = at;
    }
    if (rows != segment->head.rows || at != len || raw->at != len) {
        return lm_fail_at(LM_E_CORRUPT, segment->offset,
                          "'%s': the text of segment %zu at offset %llu does not fit its head",
                          segment->archive->path, segment->index,
                          (unsigned long long)segment->offset);
    }
    return LM_OK;
}

/** Rows that have a byte in a lost block. The row that begins behind one may be the rest of a
 * longer one: lost as well. */
static lm_err mark_lost(raw_reader *raw, const size_t *ends)
{
    lm_segment *segment = raw->segment;
    size_t words = (size_t)segment->head.rows / 64 + 1;
    uint64_t *bits = lm_arena_alloc(&segment->arena, words * sizeof *bits, _Alignof(uint64_t));
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * sizeof *bits);
    size_t begin = 0;
    for (uint32_t r = 0, b = 0; r < segment->head.rows; begin = ends[r++]) {
        while (b < raw->lost_count && raw->lost[b].end < begin)
            b++;
        if (b < raw->lost_count && raw->lost[b].begin < ends[r])
            bits[r >> 6] |= UINT64_C(1) << (r & 63);
    }
    segment->raw_lost = bits;
    return LM_OK;
}

lm_err lm_segment_raw_load(lm_segment *segment)
{
    if (segment->raw_text) return LM_OK;
    const lm_segment_head *head = &segment->head;
    lm_str directory = segment->directory_bytes;
    size_t blocks = (size_t)((head->raw_bytes + LM_RAW_BLOCK_BYTES - 1) / LM_RAW_BLOCK_BYTES);
    if ((uint32_t)lm_hash64(directory.ptr, directory.len) != head->directory_check ||
        blocks * 4 > directory.len) {
        return lm_fail_at(LM_E_CORRUPT, segment->offset,
                          "'%s': the directory of segment %zu at offset %llu is damaged",
                          segment->archive->path, segment->index,
                          (unsigned long long)segment->offset);
    }
    raw_reader raw = {.segment = segment};
    raw.text = lm_arena_alloc(&segment->arena, (size_t)head->raw_bytes, 1);
    size_t *ends = lm_arena_alloc(&segment->arena, head->rows * sizeof *ends, _Alignof(size_t));
    raw.lost = lm_arena_alloc(&segment->arena, blocks * sizeof *raw.lost, _Alignof(lost_block));
    if (!raw.text || !ends || !raw.lost) return lm_mem_err();
    size_t checks_at = directory.len - blocks * 4;
    lm_reader lengths = lm_reader_of(directory.ptr, checks_at);
    lm_reader checks = lm_reader_of(directory.ptr + checks_at, blocks * 4);
    lm_err err = LM_OK;
    for (size_t b = 0; !err && b < blocks; b++)
        err = read_block(&raw, &lengths, &checks);
    if (!err) err = split_rows(&raw, ends);
    if (!err && raw.lost_count) err = mark_lost(&raw, ends);
    if (err) return err;
    segment->raw_ends = ends;
    segment->raw_text = raw.text;
    return LM_OK;
}

/** Time of one line, by the schema of its stream. */
static lm_err line_time(const lm_schema *schema, lm_str line, lm_fields *fields, lm_when *when,
                        int64_t *out)
{
    *out = INT64_MIN;
    if (line.len > LM_FIELD_LINE_MAX) return LM_OK;
    lm_err err = lm_schema_parse(schema, line, fields);
    if (err || fields->timestamp < 0) return err;
    *out = lm_text_time_ns(fields->items[fields->timestamp].value, when);
    return LM_OK;
}

lm_err lm_segment_raw_times(lm_segment *segment, int64_t *times)
{
    const lm_segment_head *head = &segment->head;
    const lm_archive_meta *meta = &segment->archive->meta;
    for (uint32_t r = 0; r < head->rows; r++)
        times[r] = INT64_MIN;
    if (head->time_min > head->time_max) return LM_OK; /* no row has one */
    const lm_schema *schema = lm_archive_stream_schema(segment->archive, head->stream);
    if (!schema) return head->stream < meta->stream_count ? lm_mem_err() : LM_OK;
    lm_err err = lm_segment_raw_load(segment);
    if (err) return err;
    lm_arena arena;
    lm_arena_init(&arena, segment->mem);
    lm_fields fields = {.arena = &arena};
    uint32_t row = 0;
    for (size_t s = 0; !err && s < head->span_count; s++) {
        const lm_span *span = &head->spans[s].span;
        int64_t now = INT64_MIN;
        lm_when when = lm_span_when(
            span, span->file < meta->file_count ? meta->files[span->file].mtime_ns : INT64_MAX);
        for (uint32_t end = row + span->rows; !err && row < end; row++) {
            size_t begin = row ? segment->raw_ends[row - 1] : 0;
            int64_t ns = INT64_MIN;
            err = line_time(schema,
                            (lm_str){segment->raw_text + begin, segment->raw_ends[row] - begin - 1},
                            &fields, &when, &ns);
            if (ns >= head->time_min && ns <= head->time_max)
                now = ns; /* the head is what segments are ruled out by */
            times[row] = now;
            if ((row & 255) == 255) {
                lm_arena_reset(&arena);
                fields = (lm_fields){.arena = &arena};
            }
        }
    }
    lm_arena_fini(&arena);
    return err;
}

lm_err lm_segment_raw_check(lm_segment *segment)
{
    lm_err err = lm_segment_raw_load(segment);
    return err || !segment->raw_lost ? err : damaged_block(segment, segment->raw_damage);
}

lm_err lm_segment_raw_render(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                             size_t *out_ends, uint32_t *lost)
{
    lm_err err = lm_segment_raw_load(segment);
    if (err || begin == end) return err;
    size_t from = begin ? segment->raw_ends[begin - 1] : 0;
    err = lm_buf_reserve(out, segment->raw_ends[end - 1] - from);
    if (err) return err;
    if (!segment->raw_lost) {
        size_t base = out->len;
        memcpy(out->ptr + base, segment->raw_text + from, segment->raw_ends[end - 1] - from);
        out->len += segment->raw_ends[end - 1] - from;
        for (uint32_t r = begin; out_ends && r < end; r++)
            out_ends[r - begin] = base + segment->raw_ends[r] - from;
        return LM_OK;
    }
    bool is_told = false;
    for (uint32_t r = begin; r < end; from = segment->raw_ends[r++]) {
        bool is_lost = segment->raw_lost[r >> 6] >> (r & 63) & 1;
        if (is_lost && !is_told)
            err = damaged_block(
                segment, segment->raw_damage); /* its text is the caller's, also if it goes on */
        if (is_lost && !lost) return err;
        is_told = is_told || is_lost;
        if (is_lost) {
            (*lost)++;
            if (out_ends) out_ends[r - begin] = SIZE_MAX;
            continue;
        }
        memcpy(out->ptr + out->len, segment->raw_text + from, segment->raw_ends[r] - from);
        out->len += segment->raw_ends[r] - from;
        if (out_ends) out_ends[r - begin] = out->len;
    }
    return LM_OK;
}

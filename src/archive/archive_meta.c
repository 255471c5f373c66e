/** Heads of segments and the end of the archive, to bytes and back. docs/format/archive.md is the
 * law. */
#include "archive/archive_priv.h"

#define SECOND_NS INT64_C(1000000000)

enum { TIMES_NONE = 0, TIMES_SOME = 1 };

enum {
    LEVEL_SHIFT = 4, /* of the byte that tells kind and level */
    LEVEL_BITS = 2,  /* beside the stream */
    LEVEL_MASK = 3,
    PACKING_BITS = 3, /* beside the mode */
    PACKING_MASK = 7
};

/** An array of count items for numbers that a foreign file claims: never more than its bytes could
 * hold. */
static void *array_of(lm_arena *arena, lm_reader *r, uint64_t count, size_t item_bytes,
                      size_t align)
{
    if (r->failed || count > lm_reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    void *items = lm_arena_alloc(arena, (size_t)count * item_bytes, align);
    if (items) memset(items, 0, (size_t)count * item_bytes);
    return items;
}

static lm_err put_times(lm_buf *out, int64_t first, int64_t last)
{
    bool has_times = first <= last;
    lm_err err = lm_buf_u8(out, has_times ? TIMES_SOME : TIMES_NONE);
    if (!err && has_times) err = lm_buf_varint(out, lm_zigzag(first));
    if (!err && has_times) err = lm_buf_varint(out, (uint64_t)last - (uint64_t)first);
    return err;
}

static void get_times(lm_reader *r, int64_t *first, int64_t *last)
{
    *first = INT64_MAX;
    *last = INT64_MIN;
    if (lm_reader_u8(r) == TIMES_NONE || r->failed) return;
    *first = lm_unzigzag(lm_reader_varint(r));
    *last = (int64_t)((uint64_t)*first + lm_reader_varint(r));
    if (*last < *first) r->failed = true;
}

static lm_err put_str(lm_buf *out, lm_str s)
{
    lm_err err = lm_buf_varint(out, s.len);
    return err ? err : lm_buf_append(out, s.ptr, s.len);
}

static lm_str get_str(lm_reader *r, size_t max)
{
    return lm_reader_bytes(r, (size_t)lm_reader_varint_max(r, max));
}

static lm_err put_file(lm_buf *out, const lm_archive_file *file)
{
    lm_err err = put_str(out, file->name);
    if (!err) err = lm_buf_varint(out, lm_zigzag(file->mtime_ns));
    if (!err)
        err = lm_buf_varint(out, (uint64_t)file->mode << PACKING_BITS | (unsigned)file->packing);
    return err;
}

static void get_file(lm_reader *r, lm_archive_file *file)
{
    file->name = get_str(r, LM_PATH_BYTES_MAX);
    file->mtime_ns = lm_unzigzag(lm_reader_varint(r));
    uint64_t mode = lm_reader_varint_max(r, (07777u << PACKING_BITS) + PACKING_MASK);
    file->mode = (uint32_t)(mode >> PACKING_BITS);
    file->packing = (lm_packing)(mode & PACKING_MASK);
    if (file->packing > LM_PACKING_BZIP2) r->failed = true;
}

/* ---- head of a segment ---- */

static lm_err put_head(const lm_segment_head *head, lm_buf *out)
{
    lm_err err = lm_buf_u8(out, (uint8_t)(head->kind | head->level << LEVEL_SHIFT));
    if (!err) err = lm_buf_varint(out, head->stream);
    if (!err) err = lm_buf_varint(out, head->raw_bytes);
    if (!err) err = lm_buf_varint(out, head->rows);
    if (!err) err = put_times(out, head->time_min, head->time_max);
    if (!err) err = lm_buf_varint(out, head->span_count);
    for (size_t i = 0; !err && i < head->span_count; i++) {
        const lm_head_span *span = &head->spans[i];
        err = lm_buf_varint(out, span->span.file);
        if (!err) err = lm_buf_varint(out, span->span.rows);
        if (!err) err = lm_buf_varint(out, span->span.first_line);
        if (!err) err = lm_buf_u8(out, span->span.flags);
        if (!err && (span->span.flags & LM_SPAN_CLOCK))
            err = lm_buf_varint(out, lm_zigzag(span->span.clock_ns / SECOND_NS));
        if (!err && (span->span.flags & LM_SPAN_NEW_FILE)) err = put_file(out, &span->file);
    }
    if (!err) err = lm_buf_varint(out, head->templates_bytes);
    if (!err && head->templates_bytes) err = lm_buf_varint(out, head->templates_raw);
    if (!err) err = lm_buf_varint(out, head->directory_bytes);
    if (!err) err = lm_buf_varint(out, head->blocks_bytes);
    if (!err && head->templates_bytes) err = lm_buf_le32(out, head->templates_check);
    if (!err) err = lm_buf_le32(out, head->directory_check);
    return err;
}

lm_err lm_head_write(const lm_segment_head *head, lm_buf *out)
{
    size_t begin = out->len;
    lm_err err = lm_buf_le32(out, LM_SEGMENT_MAGIC);
    if (!err) err = lm_buf_le64(out, 0);
    if (!err) err = put_head(head, out);
    if (err) return err;
    uint32_t len = (uint32_t)(out->len - begin - LM_SEGMENT_HEAD_BYTES);
    uint32_t check = (uint32_t)lm_hash64(out->ptr + begin + LM_SEGMENT_HEAD_BYTES, len);
    memcpy(out->ptr + begin + 4, &len, 4);
    memcpy(out->ptr + begin + 8, &check, 4);
    return LM_OK;
}

static int64_t get_seconds(lm_reader *r)
{
    static const int64_t most = LM_CLOCK_LIMIT_NS / SECOND_NS;
    int64_t seconds = lm_unzigzag(lm_reader_varint(r));
    if (seconds < -most || seconds > most) r->failed = true;
    return r->failed ? 0 : seconds * SECOND_NS;
}

static void get_spans(lm_reader *r, lm_arena *arena, lm_segment_head *head)
{
    head->span_count = (size_t)lm_reader_varint(r);
    head->spans = array_of(arena, r, head->span_count, sizeof *head->spans, _Alignof(lm_head_span));
    uint64_t rows = 0;
    if (!head->spans) return; /* no memory, or r has failed */
    for (size_t i = 0; !r->failed && i < head->span_count; i++) {
        lm_head_span *span = &head->spans[i];
        span->span.file = (uint32_t)lm_reader_varint_max(r, LM_FILE_COUNT_MAX);
        span->span.rows = (uint32_t)lm_reader_varint_max(r, UINT32_MAX);
        span->span.first_line = lm_reader_varint(r);
        span->span.flags = lm_reader_u8(r);
        if (span->span.flags & LM_SPAN_CLOCK) span->span.clock_ns = get_seconds(r);
        if (span->span.flags & LM_SPAN_NEW_FILE) get_file(r, &span->file);
        rows += span->span.rows;
    }
    if (rows != head->rows) r->failed = true;
}

lm_err lm_head_read(lm_str bytes, uint64_t offset, lm_arena *arena, lm_segment_head *out)
{
    return lm_head_read_cut(bytes, offset, arena, out, NULL);
}

lm_err lm_head_read_cut(lm_str bytes, uint64_t offset, lm_arena *arena, lm_segment_head *out,
                        uint64_t *out_missing)
{
    if (bytes.len < LM_SEGMENT_HEAD_BYTES || lm_le32(bytes.ptr) != LM_SEGMENT_MAGIC) {
        return lm_fail_at(LM_E_CORRUPT, offset, "no segment begins at offset %llu",
                          (unsigned long long)offset);
    }
    uint64_t len = lm_le32(bytes.ptr + 4);
    if (len > LM_HEAD_BYTES_MAX || len > bytes.len - LM_SEGMENT_HEAD_BYTES ||
        (uint32_t)lm_hash64(bytes.ptr + LM_SEGMENT_HEAD_BYTES, (size_t)len) !=
            lm_le32(bytes.ptr + 8)) {
        return lm_fail_at(LM_E_CORRUPT, offset, "the segment head at offset %llu is damaged",
                          (unsigned long long)offset);
    }
    lm_reader r = lm_reader_of(bytes.ptr + LM_SEGMENT_HEAD_BYTES, (size_t)len);
    uint8_t what = lm_reader_u8(&r);
    lm_segment_head head = {.kind = what & ((1u << LEVEL_SHIFT) - 1),
                            .level = (uint8_t)(what >> LEVEL_SHIFT)};
    head.stream = (uint32_t)lm_reader_varint_max(&r, UINT32_MAX);
    head.raw_bytes = lm_reader_varint_max(&r, UINT32_MAX);
    head.rows = (uint32_t)lm_reader_varint_max(&r, UINT32_MAX);
    get_times(&r, &head.time_min, &head.time_max);
    get_spans(&r, arena, &head);
    if (!head.spans && !r.failed) return lm_mem_err();
    head.templates_bytes = lm_reader_varint_max(&r, UINT32_MAX);
    if (head.templates_bytes)
        head.templates_raw = lm_reader_varint_max(&r, (uint64_t)LM_SHAPE_COUNT_MAX * 10);
    head.directory_bytes = lm_reader_varint_max(&r, UINT32_MAX);
    head.blocks_bytes = lm_reader_varint_max(&r, UINT32_MAX);
    if (head.templates_bytes) head.templates_check = lm_reader_le32(&r);
    head.directory_check = lm_reader_le32(&r);
    head.head_bytes = len + LM_SEGMENT_HEAD_BYTES;
    bool is_known = head.kind == LM_SEGMENT_COLUMNS || head.kind == LM_SEGMENT_RAW;
    uint64_t rest = bytes.len - head.head_bytes;
    uint64_t behind = head.templates_bytes + head.directory_bytes + head.blocks_bytes;
    if (!r.failed && out_missing && behind > rest) {
        *out_missing = behind - rest; /* each is below 2^32 */
        rest = behind;
    }
    if (r.failed || behind > rest) {
        return lm_fail_at(LM_E_CORRUPT, offset, "the segment at offset %llu is cut off or damaged",
                          (unsigned long long)offset);
    }
    if (!is_known || head.level < LM_LEVEL_FAST || head.level > LM_LEVEL_MAX) {
        return lm_fail_at(LM_E_UNSUPPORTED, offset,
                          "the segment at offset %llu was written by a newer logmill",
                          (unsigned long long)offset);
    }
    if (head.kind == LM_SEGMENT_COLUMNS && head.rows > LM_SEGMENT_ROWS_MAX) {
        return lm_fail_at(LM_E_CORRUPT, offset, "the segment at offset %llu claims %u rows",
                          (unsigned long long)offset, head.rows);
    }
    *out = head;
    return LM_OK;
}

/* ---- the end of the archive ---- */

static lm_err put_segments(const lm_archive_meta *meta, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, meta->segment_count);
    for (size_t i = 0; !err && i < meta->segment_count; i++) {
        const lm_archive_segment *segment = &meta->segments[i];
        err = lm_buf_varint(out, segment->bytes);
        if (!err) err = lm_buf_varint(out, segment->raw_bytes);
        if (!err) err = lm_buf_varint(out, segment->rows);
        if (!err) err = put_times(out, segment->time_min, segment->time_max);
        if (!err)
            err = lm_buf_varint(out,
                                (uint64_t)segment->stream << LEVEL_BITS | (unsigned)segment->level);
    }
    return err;
}

static void get_segments(lm_reader *r, lm_arena *arena, lm_archive_meta *meta)
{
    meta->segment_count = (size_t)lm_reader_varint(r);
    meta->segments = array_of(arena, r, meta->segment_count, sizeof *meta->segments,
                              _Alignof(lm_archive_segment));
    uint64_t offset = sizeof LM_ARCHIVE_MAGIC - 1;
    for (size_t i = 0; meta->segments && !r->failed && i < meta->segment_count; i++) {
        lm_archive_segment *segment = &meta->segments[i];
        segment->offset = offset;
        segment->bytes = lm_reader_varint_max(r, INT64_MAX - offset);
        segment->raw_bytes = lm_reader_varint(r);
        segment->rows = (uint32_t)lm_reader_varint_max(r, UINT32_MAX);
        get_times(r, &segment->time_min, &segment->time_max);
        uint64_t stream = lm_reader_varint_max(r, (uint64_t)UINT32_MAX << LEVEL_BITS);
        segment->stream = (uint32_t)(stream >> LEVEL_BITS);
        segment->level = (lm_level)(stream & LEVEL_MASK);
        if (segment->stream >= meta->stream_count) r->failed = true;
        offset += segment->bytes;
    }
}

lm_err lm_meta_texts_write(const lm_archive_meta *meta, lm_buf *out)
{
    lm_err err = LM_OK;
    for (size_t i = 1; !err && i < meta->template_count; i++) {
        err = lm_buf_append(out, meta->templates[i].text.ptr, meta->templates[i].text.len);
        if (!err) err = lm_buf_u8(out, '\n');
    }
    for (size_t i = 0; !err && i < meta->template_count; i++) {
        if (!meta->templates[i].name.len) continue;
        err = lm_buf_varint(out, i);
        if (!err) err = put_str(out, meta->templates[i].name);
    }
    return err;
}

lm_err lm_meta_texts_read(lm_str bytes, lm_archive_meta *meta)
{
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    for (size_t i = 1; i < meta->template_count; i++) {
        const uint8_t *end = lm_reader_left(&r) ? memchr(r.ptr, '\n', lm_reader_left(&r)) : NULL;
        if (!end) return lm_fail(LM_E_CORRUPT, "the texts of the templates are damaged");
        meta->templates[i].text = (lm_str){r.ptr, (size_t)(end - r.ptr)};
        r.ptr = end + 1;
    }
    while (!r.failed && lm_reader_left(&r)) {
        uint64_t i = lm_reader_varint_max(&r, meta->template_count - 1);
        lm_str name = get_str(&r, LM_PATH_BYTES_MAX);
        if (!r.failed) meta->templates[i].name = name;
    }
    return r.failed ? lm_fail(LM_E_CORRUPT, "the names of the templates are damaged") : LM_OK;
}

/** Count, merged ids (distance to the one before, successor), texts; then the template of each
 * mined shape. */
static lm_err put_templates(const lm_archive_meta *meta, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, meta->template_count);
    if (err || meta->template_count <= 1) return err;
    uint64_t merged = 0, last = 0;
    for (size_t i = 0; i < meta->template_count; i++)
        merged += meta->templates[i].forward != i;
    if (!err) err = lm_buf_varint(out, merged);
    for (size_t i = 0; !err && i < meta->template_count; i++) {
        if (meta->templates[i].forward == i) continue;
        err = lm_buf_varint(out, i - last);
        if (!err) err = lm_buf_varint(out, meta->templates[i].forward);
        last = i;
    }
    if (!err) err = lm_buf_varint(out, meta->texts_raw);
    if (!err && meta->texts_raw) err = put_str(out, meta->texts);
    if (!err) err = lm_buf_varint(out, meta->mined_count);
    uint64_t next = 0;
    for (size_t i = 0; !err && i < meta->mined_count; i++) {
        err = lm_buf_varint(out, lm_zigzag((int64_t)(meta->mined[i] - next)));
        if (meta->mined[i] >= next) next = (uint64_t)meta->mined[i] + 1;
    }
    return err;
}

/** A chain of forwards becomes one step: only a hostile file has one that is longer than a miner
 * follows, or a circle. */
static void shorten_forwards(lm_archive_meta *meta)
{
    enum { STEPS_MAX = 64 };

    for (size_t i = 0; i < meta->template_count; i++) {
        uint32_t id = meta->templates[i].forward;
        for (int step = 0; step < STEPS_MAX && meta->templates[id].forward != id; step++)
            id = meta->templates[id].forward;
        meta->templates[i].forward = id;
    }
}

static void get_templates(lm_reader *r, lm_arena *arena, lm_archive_meta *meta)
{
    meta->template_count = (size_t)lm_reader_varint_max(r, (uint64_t)LM_SHAPE_COUNT_MAX * 4);
    if (!meta->template_count) r->failed = true; /* the catch-all is always there */
    if (r->failed) return;
    meta->templates = lm_arena_alloc(arena, meta->template_count * sizeof *meta->templates,
                                     _Alignof(lm_archive_template));
    if (!meta->templates) return;
    for (size_t i = 0; i < meta->template_count; i++) {
        meta->templates[i] = (lm_archive_template){.text = i ? (lm_str){0} : LM_STR("<*>"),
                                                   .forward = (uint32_t)i,
                                                   .first_ns = INT64_MAX,
                                                   .last_ns = INT64_MIN};
    }
    if (meta->template_count <= 1) { /* nothing but the catch-all */
        meta->mined = array_of(arena, r, 0, sizeof *meta->mined, _Alignof(uint32_t));
        return;
    }
    uint64_t merged = lm_reader_varint_max(r, meta->template_count), at = 0;
    for (uint64_t i = 0; !r->failed && i < merged; i++) {
        at += lm_reader_varint_max(r, meta->template_count);
        uint32_t to = (uint32_t)lm_reader_varint_max(r, meta->template_count - 1);
        if (at >= meta->template_count) r->failed = true;
        if (!r->failed) meta->templates[at].forward = to;
    }
    shorten_forwards(meta);
    meta->texts_raw = lm_reader_varint_max(r, UINT32_MAX);
    if (meta->texts_raw) meta->texts = get_str(r, SIZE_MAX >> 1);
    meta->mined_count = (size_t)lm_reader_varint(r);
    meta->mined = array_of(arena, r, meta->mined_count, sizeof *meta->mined, _Alignof(uint32_t));
    uint64_t next = 0;
    for (size_t i = 0; meta->mined && !r->failed && i < meta->mined_count; i++) {
        uint64_t id = next + (uint64_t)lm_unzigzag(lm_reader_varint(r));
        if (id >= meta->template_count) {
            r->failed = true;
            return;
        }
        meta->mined[i] = (uint32_t)id;
        if (id >= next) next = id + 1;
    }
}

/** Lines and bytes that the segments hold beyond those of the first files. */
static void left_for_last(const lm_archive_meta *meta, uint64_t *lines, uint64_t *bytes)
{
    *lines = *bytes = 0;
    for (size_t i = 0; i < meta->segment_count; i++) {
        *lines += meta->segments[i].rows;
        *bytes += meta->segments[i].raw_bytes;
    }
    for (size_t i = 0; i + 1 < meta->file_count; i++) {
        *lines -= meta->files[i].lines;
        *bytes -= meta->files[i].bytes + meta->files[i].no_final_newline;
    }
}

/** Name and so on of all files; lines and bytes, of the last one less than is left for it. */
static lm_err put_files(const lm_archive_meta *meta, lm_buf *out)
{
    uint64_t lines_left, bytes_left;
    left_for_last(meta, &lines_left, &bytes_left);
    lm_err err = lm_buf_varint(out, meta->file_count);
    for (size_t i = 0; !err && i < meta->file_count; i++) {
        const lm_archive_file *file = &meta->files[i];
        bool is_last = i + 1 == meta->file_count;
        uint64_t lines = is_last ? lm_zigzag((int64_t)(lines_left - file->lines)) : file->lines;
        uint64_t bytes = is_last ? lm_zigzag((int64_t)(bytes_left - file->bytes)) : file->bytes;
        err = put_file(out, file);
        if (!err) err = lm_buf_varint(out, bytes);
        if (!err) err = lm_buf_varint(out, lines);
        if (!err) err = lm_buf_u8(out, file->no_final_newline);
    }
    return err;
}

static void get_files(lm_reader *r, lm_arena *arena, lm_archive_meta *meta)
{
    meta->file_count = (size_t)lm_reader_varint_max(r, LM_FILE_COUNT_MAX);
    meta->files =
        array_of(arena, r, meta->file_count, sizeof *meta->files, _Alignof(lm_archive_file));
    for (size_t i = 0; meta->files && !r->failed && i < meta->file_count; i++) {
        get_file(r, &meta->files[i]);
        meta->files[i].bytes = lm_reader_varint(r);
        meta->files[i].lines = lm_reader_varint(r);
        meta->files[i].no_final_newline = lm_reader_u8(r) != 0;
    }
    if (!meta->files || r->failed || !meta->file_count) return;
    uint64_t lines_left, bytes_left;
    left_for_last(meta, &lines_left, &bytes_left);
    lm_archive_file *last = &meta->files[meta->file_count - 1];
    last->lines = lines_left - (uint64_t)lm_unzigzag(last->lines);
    last->bytes = bytes_left - (uint64_t)lm_unzigzag(last->bytes);
}

lm_err lm_meta_write(const lm_archive_meta *meta, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, meta->stream_count);
    for (size_t i = 0; !err && i < meta->stream_count; i++)
        err = put_str(out, meta->stream_schemas[i]);
    if (!err) err = put_segments(meta, out);
    if (!err) err = put_files(meta, out);
    if (!err) err = put_templates(meta, out);
    return err;
}

lm_err lm_meta_read(lm_str bytes, lm_arena *arena, lm_archive_meta *out)
{
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    lm_archive_meta meta = {0};
    meta.stream_count = (size_t)lm_reader_varint(&r);
    meta.stream_schemas =
        array_of(arena, &r, meta.stream_count, sizeof *meta.stream_schemas, _Alignof(lm_str));
    for (size_t i = 0; meta.stream_schemas && !r.failed && i < meta.stream_count; i++)
        meta.stream_schemas[i] = get_str(&r, SIZE_MAX >> 1);
    if (!r.failed) get_segments(&r, arena, &meta);
    if (!r.failed) get_files(&r, arena, &meta);
    if (!r.failed) get_templates(&r, arena, &meta);
    if (!r.failed &&
        (!meta.stream_schemas || !meta.files || !meta.segments || !meta.templates || !meta.mined))
        return lm_mem_err();
    if (r.failed) return lm_fail(LM_E_CORRUPT, "the list of files and segments is damaged");
    *out = meta;
    return LM_OK;
}

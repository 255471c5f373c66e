/**
 * Opening an archive: the footer leads to the meta block, which lists streams, files, segments and
 * templates. With salvage, an archive whose end is lost is read from the front: each segment's head
 * tells its length, its files and its rows.
 */
#include "archive/archive_view.h"

#include <stdio.h>

enum { SALVAGE_TRIES = 16 };

static lm_err read_footer(const lm_map *map, lm_str *out_stored)
{
    if (map->len < sizeof LM_ARCHIVE_MAGIC - 1 + LM_FOOTER_BYTES)
        return lm_fail_at(LM_E_CORRUPT, map->len, "too short for an archive");
    const uint8_t *footer = map->ptr + map->len - LM_FOOTER_BYTES;
    if (memcmp(footer + 8, LM_FOOTER_MAGIC, 8) != 0) {
        return lm_fail_at(
            LM_E_CORRUPT, map->len - LM_FOOTER_BYTES,
            "the end is missing (cut off, or still being written); what is there can be read "
            "with --salvage");
    }
    uint64_t len = lm_le32(footer), offset = map->len - LM_FOOTER_BYTES - len;
    if (len > map->len - LM_FOOTER_BYTES ||
        (uint32_t)lm_hash64_seed(map->ptr + offset, (size_t)len, offset) != lm_le32(footer + 4)) {
        return lm_fail_at(LM_E_CORRUPT, map->len - LM_FOOTER_BYTES,
                          "the list of files and segments is damaged");
    }
    *out_stored = (lm_str){map->ptr + offset, (size_t)len};
    return LM_OK;
}

static lm_err check_segments(const lm_archive *archive, uint64_t end)
{
    uint64_t at = sizeof LM_ARCHIVE_MAGIC - 1;
    for (size_t i = 0; i < archive->meta.segment_count; i++) {
        const lm_archive_segment *segment = &archive->meta.segments[i];
        if (segment->offset != at || segment->bytes > end - at) {
            return lm_fail_at(LM_E_CORRUPT, at, "segment %zu does not fit the file", i);
        }
        at += segment->bytes;
    }
    return LM_OK;
}

static lm_err read_meta(lm_archive *archive)
{
    lm_str stored = {0};
    lm_err err = read_footer(&archive->map, &stored);
    if (err) return err;
    lm_reader r = lm_reader_of(stored.ptr, stored.len);
    uint64_t raw_len = lm_reader_varint_max(&r, UINT32_MAX);
    if (r.failed) return lm_fail(LM_E_CORRUPT, "the list of files and segments is damaged");
    archive->meta_bytes = lm_mem_alloc(archive->mem, (size_t)raw_len);
    if (!archive->meta_bytes) return lm_mem_err();
    archive->meta_len = (size_t)raw_len;
    err = lm_bytes_decode(archive->mem, (lm_str){r.ptr, lm_reader_left(&r)}, archive->meta_bytes,
                          archive->meta_len);
    if (!err)
        err = lm_meta_read((lm_str){archive->meta_bytes, archive->meta_len}, &archive->arena,
                           &archive->meta);
    return err ? err : check_segments(archive, (uint64_t)(stored.ptr - archive->map.ptr));
}

/* ---- salvage ---- */

typedef struct salvage {
    lm_archive *archive;
    size_t segment_cap, file_cap;
    uint64_t missing; /* bytes of the last segment */
} salvage;

/** Make sure files[0..index] exist; those never described get a made-up name. */
static lm_err salvage_file(salvage *s, uint32_t index, const lm_archive_file *known)
{
    lm_archive_meta *meta = &s->archive->meta;
    if (index >= meta->segment_count * 4096 + 65536 && !known) return LM_OK;
    while (meta->file_count <= index) {
        lm_err err = lm_vec_grow(s->archive->mem, &meta->files, &s->file_cap, meta->file_count + 1,
                                 sizeof *meta->files);
        if (err) return err;
        meta->files[meta->file_count++] =
            (lm_archive_file){.name = LM_STR("unknown"), .mode = 0644};
    }
    if (known) {
        uint64_t lines = meta->files[index].lines;
        meta->files[index] = *known;
        meta->files[index].lines = lines;
    }
    return LM_OK;
}

static lm_err salvage_segment(salvage *s, uint64_t at, const lm_segment_head *head)
{
    lm_archive_meta *meta = &s->archive->meta;
    for (size_t i = 0; i < head->span_count; i++) {
        const lm_head_span *span = &head->spans[i];
        bool is_new = span->span.flags & LM_SPAN_NEW_FILE;
        lm_err err = salvage_file(s, span->span.file, is_new ? &span->file : NULL);
        if (err) return err;
        if (span->span.file < meta->file_count) {
            meta->files[span->span.file].lines += span->span.rows;
            meta->files[span->span.file].no_final_newline =
                (span->span.flags & LM_SPAN_OPEN_END) != 0;
        }
    }
    lm_err err = lm_vec_grow(s->archive->mem, &meta->segments, &s->segment_cap,
                             meta->segment_count + 1, sizeof *meta->segments);
    if (err) return err;
    meta->segments[meta->segment_count++] =
        (lm_archive_segment){.offset = at,
                             .bytes = head->head_bytes + head->templates_bytes +
                                      head->directory_bytes + head->blocks_bytes,
                             .raw_bytes = head->raw_bytes,
                             .rows = head->rows,
                             .time_min = head->time_min,
                             .time_max = head->time_max,
                             .stream = head->stream,
                             .level = (lm_level)head->level};
    if (head->stream >= meta->stream_count && head->stream < 65536)
        meta->stream_count = (size_t)head->stream + 1;
    return LM_OK;
}

/** Segments from the front; behind a damaged one the next magic is looked for. */
static lm_err salvage_segments(salvage *s)
{
    lm_archive *archive = s->archive;
    uint64_t at = sizeof LM_ARCHIVE_MAGIC - 1;
    uint64_t tries =
        SALVAGE_TRIES *
        (archive->map.len + LM_HEAD_BYTES_MAX); /* bytes of heads that turn out to be none */
    while (at + LM_SEGMENT_HEAD_BYTES < archive->map.len) {
        static const uint32_t magic = LM_SEGMENT_MAGIC;
        lm_str rest = {archive->map.ptr + at, archive->map.len - (size_t)at};
        size_t found = lm_str_find(rest, (lm_str){(const uint8_t *)&magic, 4});
        if (found == SIZE_MAX) break;
        at += found;
        rest = (lm_str){archive->map.ptr + at, archive->map.len - (size_t)at};
        lm_segment_head head;
        lm_err err = lm_head_read_cut(rest, at, &archive->arena, &head, &s->missing);
        if (err == LM_E_NOMEM || err == LM_E_LIMIT) return err;
        if (err) {
            uint64_t tried = rest.len < LM_SEGMENT_HEAD_BYTES ? 0 : lm_le32(rest.ptr + 4);
            if (tried <= rest.len && tried > tries)
                return lm_fail_at(LM_E_CORRUPT, at, "too many segments are damaged");
            if (tried <= rest.len) tries -= tried;
            at++;
            continue;
        }
        err = salvage_segment(s, at, &head);
        if (err || s->missing) return err;
        at += head.head_bytes + head.templates_bytes + head.directory_bytes + head.blocks_bytes;
    }
    return LM_OK;
}

/** What of a segment without its end is there can be served: its rows whose columns are whole. The
 * rest reads as zeros, which no checksum fits. */
static lm_err map_cut_segment(lm_archive *archive, uint64_t missing)
{
    lm_map longer;
    if (missing > SIZE_MAX - archive->map.len) return LM_E_LIMIT;
    lm_err err = lm_map_open_longer(archive->path, (size_t)missing, &longer);
    if (err) return err;
    lm_map_close(&archive->map);
    archive->map = longer;
    return LM_OK;
}

static lm_err note_lost(salvage *s, bool is_cut)
{
    lm_archive *archive = s->archive;
    uint64_t rows = 0;
    char text[LM_PATH_BYTES_MAX + 160];
    for (size_t i = 0; i < archive->meta.segment_count; i++)
        rows += archive->meta.segments[i].rows;
    int len = snprintf(
        text, sizeof text,
        "'%s' has lost its end at offset %llu: %zu segments of %llu lines were found%s",
        archive->path, (unsigned long long)archive->file_bytes, archive->meta.segment_count,
        (unsigned long long)rows, is_cut ? ", the last one cut off" : "");
    if (len < 0 || (size_t)len >= sizeof text) len = sizeof text - 1;
    archive->lost = lm_arena_copy(&archive->arena, text, (size_t)len + 1);
    return archive->lost ? LM_OK : lm_mem_err();
}

static lm_err salvage_all(lm_archive *archive)
{
    salvage s = {.archive = archive};
    archive->meta = (lm_archive_meta){0};
    lm_err failed = salvage_segments(&s);
    uint64_t missing = s.missing;
    if (!failed && missing) { /* again: names are slices of the map */
        failed = map_cut_segment(archive, missing);
        s.missing = 0;
        archive->meta.segment_count = archive->meta.file_count = archive->meta.stream_count = 0;
        if (!failed) failed = salvage_segments(&s);
    }
    if (!failed) failed = note_lost(&s, missing != 0);
    lm_archive_meta *meta = &archive->meta; /* vectors of the account become arrays of the arena, as
                                               read_meta makes them */
    lm_archive_file *files = lm_arena_alloc(&archive->arena, meta->file_count * sizeof *files,
                                            _Alignof(lm_archive_file));
    lm_archive_segment *segments = lm_arena_alloc(
        &archive->arena, meta->segment_count * sizeof *segments, _Alignof(lm_archive_segment));
    meta->stream_schemas = lm_arena_alloc(
        &archive->arena, meta->stream_count * sizeof *meta->stream_schemas, _Alignof(lm_str));
    lm_err err = failed ? failed : files && segments && meta->stream_schemas ? LM_OK : lm_mem_err();
    if (!err && meta->file_count) memcpy(files, meta->files, meta->file_count * sizeof *files);
    if (!err && meta->segment_count)
        memcpy(segments, meta->segments, meta->segment_count * sizeof *segments);
    if (!err) memset(meta->stream_schemas, 0, meta->stream_count * sizeof *meta->stream_schemas);
    lm_mem_release(archive->mem, meta->files, s.file_cap * sizeof *files);
    lm_mem_release(archive->mem, meta->segments, s.segment_cap * sizeof *segments);
    meta->files = files;
    meta->segments = segments;
    if (!err && !meta->segment_count) err = lm_fail(LM_E_CORRUPT, "no segment could be found");
    return err;
}

/* ---- open, close ---- */

static lm_err load_schemas(lm_archive *archive)
{
    size_t n = archive->meta.stream_count;
    archive->schemas = lm_mem_calloc(archive->mem, n, sizeof *archive->schemas);
    return archive->schemas ? LM_OK : lm_mem_err();
}

lm_err lm_archive_open(lm_mem *mem, const char *path, bool is_salvage, lm_archive **out)
{
    lm_archive *archive = lm_mem_calloc(mem, 1, sizeof *archive);
    if (!archive) return lm_mem_err();
    archive->magic = LM_ARCHIVE_OBJECT;
    archive->mem = mem;
    lm_arena_init(&archive->arena, mem);
    lm_err err = lm_map_open(path, &archive->map);
    if (err) goto out;
    archive->file_bytes = archive->map.len;
    archive->path = lm_arena_copy(&archive->arena, path, strlen(path));
    if (!archive->path) {
        err = lm_mem_err();
        goto out;
    }
    bool has_magic = archive->map.len >= sizeof LM_ARCHIVE_MAGIC - 1 &&
                     memcmp(archive->map.ptr, LM_ARCHIVE_MAGIC, sizeof LM_ARCHIVE_MAGIC - 1) == 0;
    if (!has_magic && !is_salvage) {
        err = lm_fail_at(LM_E_CORRUPT, 0, "'%s' is not a logmill archive", path);
        goto out;
    }
    err = read_meta(archive);
    if (err == LM_E_CORRUPT && is_salvage) err = salvage_all(archive);
    if (err == LM_E_CORRUPT && !has_magic) {
        err = lm_fail_at(LM_E_CORRUPT, 0, "'%s' is not a logmill archive", path);
        goto out;
    }
    if (err) {
        err = lm_fail_in(err, "'%s': ", path);
        goto out;
    }
    err = load_schemas(archive);
out:
    if (err) {
        lm_archive_close(archive);
        return err;
    }
    *out = archive;
    return LM_OK;
}

void lm_archive_close(lm_archive *archive)
{
    if (!archive) return;
    LM_ASSERT(archive->magic == LM_ARCHIVE_OBJECT);
    archive->magic = 0;
    for (size_t i = 0; archive->schemas && i < archive->meta.stream_count; i++)
        lm_schema_free(archive->schemas[i]);
    lm_mem_release(archive->mem, archive->schemas,
                   archive->meta.stream_count * sizeof *archive->schemas);
    lm_mem_release(archive->mem, archive->meta_bytes, archive->meta_len);
    lm_map_close(&archive->map);
    lm_arena_fini(&archive->arena);
    lm_mem_release(archive->mem, archive, sizeof *archive);
}

uint64_t lm_archive_bytes(const lm_archive *archive)
{
    return archive->file_bytes;
}

const char *lm_archive_lost(const lm_archive *archive)
{
    return archive->lost;
}

size_t lm_archive_file_count(const lm_archive *archive)
{
    return archive->meta.file_count;
}

const lm_archive_file *lm_archive_file_at(const lm_archive *archive, size_t index)
{
    LM_ASSERT(index < archive->meta.file_count);
    return &archive->meta.files[index];
}

size_t lm_archive_segment_count(const lm_archive *archive)
{
    return archive->meta.segment_count;
}

const lm_archive_segment *lm_archive_segment_at(const lm_archive *archive, size_t index)
{
    LM_ASSERT(index < archive->meta.segment_count);
    return &archive->meta.segments[index];
}

size_t lm_archive_template_count(const lm_archive *archive)
{
    return archive->meta.template_count;
}

size_t lm_archive_stream_count(const lm_archive *archive)
{
    return archive->meta.stream_count;
}

/** Segments read back: what ID.rec tells, and the archives beside it. */
#include "store/store_priv.h"
#include <sys/stat.h>

#define PART_MAGIC "lmpart01"

enum { PART_HEAD = 24, PART_VERSION = 1 };

static lm_err corrupt(const char *path, const char *what)
{
    return lm_fail(LM_E_CORRUPT, "'%s' is damaged: %s", path, what);
}

static lm_str read_text(lm_reader *r)
{
    return lm_reader_bytes(r, (size_t)lm_reader_varint_max(r, lm_reader_left(r)));
}

/** A set of records as bits; NULL for an empty one. False: damaged, or out of memory. */
static bool read_set(store_view *view, lm_reader *r, const uint64_t **out)
{
    uint64_t count = lm_reader_varint_max(r, view->record_count), at = 0;
    *out = NULL;
    if (!count) return !r->failed;
    size_t words = (size_t)(view->record_count + 63) / 64;
    uint64_t *bits = lm_arena_alloc(&view->arena, words * 8, 8);
    if (!bits) return false;
    memset(bits, 0, words * 8);
    for (uint64_t i = 0; i < count; i++) {
        at += lm_reader_varint_max(r, view->record_count);
        if (r->failed || at >= view->record_count) return false;
        bits[at / 64] |= UINT64_C(1) << at % 64;
    }
    *out = bits;
    return true;
}

static lm_err read_stream(store_view *view, lm_reader *r, uint32_t i)
{
    store_part_stream *stream = &view->streams[i];
    stream->key = read_text(r);
    stream->first = lm_reader_varint_max(r, view->record_count);
    stream->records = lm_reader_varint_max(r, view->record_count - stream->first);
    stream->raw_bytes = lm_reader_varint(r);
    stream->time_min = lm_unzigzag(lm_reader_varint(r));
    stream->time_max = (int64_t)((uint64_t)stream->time_min + lm_reader_varint(r));
    if (r->failed) return LM_E_CORRUPT;
    lm_err err = lm_labels_parse(stream->key, &view->arena, &view->labels[i]);
    if (err) return err == LM_E_USAGE ? LM_E_CORRUPT : err;
    view->faces[i] =
        (lm_stream){view->labels[i], stream->key, lm_hash64(stream->key.ptr, stream->key.len)};
    return LM_OK;
}

static lm_err read_head(store_view *view, lm_str head, const char *path)
{
    lm_reader r = lm_reader_of(head.ptr, head.len);
    lm_arena *arena = &view->arena;
    if (lm_reader_varint(&r) != PART_VERSION)
        return lm_fail(LM_E_UNSUPPORTED, "'%s' was written by a later version", path);
    view->generation = lm_reader_varint(&r);
    view->level = (lm_level)lm_reader_varint_max(&r, LM_LEVEL_MAX);
    view->tenant = read_text(&r);
    view->record_count = lm_reader_varint_max(&r, UINT32_MAX);
    view->raw_bytes = lm_reader_varint(&r);
    view->run_count = (size_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    view->run_first = lm_arena_alloc(arena, (view->run_count + 1) * sizeof *view->run_first, 8);
    if (!view->run_first) return lm_mem_err();
    uint64_t rows = 0;
    for (size_t i = 0; i < view->run_count; i++) {
        view->run_first[i] = rows;
        rows += lm_reader_varint_max(&r, view->record_count - rows);
    }
    view->run_first[view->run_count] = rows;
    view->replace_count = (size_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    uint64_t *replaces = lm_arena_alloc(arena, view->replace_count * sizeof *replaces, 8);
    if (!replaces) return lm_mem_err();
    for (size_t i = 0; i < view->replace_count; i++)
        replaces[i] = lm_reader_varint(&r);
    view->replaces = replaces;
    view->stream_count = (uint32_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    size_t n = view->stream_count;
    view->streams = lm_arena_alloc(arena, n * sizeof *view->streams, _Alignof(store_part_stream));
    view->labels = lm_arena_alloc(arena, n * sizeof *view->labels, _Alignof(lm_labels));
    view->faces = lm_arena_alloc(arena, n * sizeof *view->faces, _Alignof(lm_stream));
    if (!view->streams || !view->labels || !view->faces) return lm_mem_err();
    bool is_bad = r.failed || rows != view->record_count || !view->record_count ||
                  view->tenant.len > STORE_TENANT_BYTES_MAX;
    for (uint32_t i = 0; i < n && !is_bad; i++) {
        lm_err err = read_stream(view, &r, i);
        if (err == LM_E_NOMEM || err == LM_E_LIMIT) return err;
        is_bad = err != LM_OK;
    }
    if (!is_bad) is_bad = !read_set(view, &r, &view->folded);
    if (!is_bad) is_bad = !read_set(view, &r, &view->has_metadata);
    if (is_bad || r.failed || lm_reader_left(&r)) return corrupt(path, "its head makes no sense");
    return LM_OK;
}

static lm_err read_times(store_view *view, lm_str directory, lm_str blocks, const char *path)
{
    lm_columns *columns = NULL;
    lm_column column;
    lm_err err = lm_columns_open(view->mem, directory, blocks, 0, &columns);
    if (err) return err;
    bool fits = lm_columns_count(columns) == 1 &&
                lm_columns_info(columns, 0)->type == LM_COLUMN_INT &&
                lm_columns_info(columns, 0)->count == view->record_count;
    if (!fits) err = corrupt(path, "its times are not those of its records");
    if (!err) err = lm_columns_decode(columns, 0, &view->arena, &column);
    if (!err) view->times = column.ints;
    lm_columns_free(columns);
    return err;
}

static lm_err read_rec(store_view *view, const char *path, lm_str all)
{
    if (all.len < PART_HEAD + 8 || memcmp(all.ptr, PART_MAGIC, 8) != 0)
        return corrupt(path, "it does not begin as one");
    if (lm_hash64_seed(all.ptr, all.len - 8, view->id) != lm_le64(all.ptr + all.len - 8))
        return corrupt(path, "its checksum does not fit");
    size_t raw_len = lm_le32(all.ptr + 8), head_len = lm_le32(all.ptr + 12);
    size_t directory_len = lm_le32(all.ptr + 16), blocks_len = lm_le32(all.ptr + 20);
    if (PART_HEAD + head_len + directory_len + blocks_len + 8 != all.len)
        return corrupt(path, "its lengths do not add up");
    uint8_t *head = lm_arena_alloc(&view->arena, raw_len + 1, 1);
    if (!head) return lm_mem_err();
    const uint8_t *at = all.ptr + PART_HEAD;
    lm_err err = lm_bytes_decode(view->mem, (lm_str){at, head_len}, head, raw_len);
    if (!err) err = read_head(view, (lm_str){head, raw_len}, path);
    at += head_len;
    lm_str directory = {at, directory_len}, blocks = {at + directory_len, blocks_len};
    return err ? err : read_times(view, directory, blocks, path);
}

static lm_err open_archive(store_view *view, const char *folder, const char *suffix,
                           lm_archive **out)
{
    char path[STORE_PATH_MAX];
    store_part_path(folder, view->id, suffix, path);
    lm_err err = lm_archive_open(view->mem, path, false, out);
    if (!err) view->bytes += lm_archive_bytes(*out);
    return err;
}

/** Rows of the archive's segments must be those that ID.rec tells of. */
static bool runs_fit(const store_view *view)
{
    if (lm_archive_segment_count(view->archive) != view->run_count) return false;
    for (size_t i = 0; i < view->run_count; i++) {
        if (lm_archive_segment_at(view->archive, i)->rows !=
            view->run_first[i + 1] - view->run_first[i])
            return false;
    }
    return true;
}

lm_err store_view_open(lm_mem *mem, const char *folder, uint64_t id, store_view **out)
{
    char path[STORE_PATH_MAX];
    store_view *view = lm_mem_calloc(mem, 1, sizeof *view);
    lm_map map = {0};
    if (!view) return lm_mem_err();
    view->mem = mem;
    view->id = id;
    lm_arena_init(&view->arena, mem);
    store_part_path(folder, id, "rec", path);
    lm_err err = lm_map_open(path, &map);
    if (!err) err = read_rec(view, path, (lm_str){map.ptr, map.len});
    view->bytes += map.len;
    lm_map_close(&map);
    if (!err) err = open_archive(view, folder, "lm", &view->archive);
    if (!err && !runs_fit(view)) err = corrupt(path, "its rows are not those of its archive");
    if (!err && view->has_metadata) err = open_archive(view, folder, "md", &view->metadata);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        store_view_close(view);
        return lm_err_restore(&info);
    }
    *out = view;
    return LM_OK;
}

void store_view_close(store_view *view)
{
    if (!view) return;
    lm_archive_close(view->archive);
    lm_archive_close(view->metadata);
    lm_arena_fini(&view->arena);
    lm_mem_release(view->mem, view, sizeof *view);
}

/* ---- all records, for merging ---- */

/** Text of an archive's rows in order, each ended by '\n'. */
static lm_err archive_text(lm_archive *archive, lm_buf *out)
{
    for (size_t s = 0; s < lm_archive_segment_count(archive); s++) {
        lm_segment *segment = NULL;
        lm_err err = lm_segment_open(archive, s, &segment);
        if (!err) err = lm_segment_text(segment, 0, lm_segment_row_count(segment), out, NULL);
        lm_segment_close(segment);
        if (err) return err;
    }
    return LM_OK;
}

static lm_str next_line(lm_str *rest)
{
    const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
    if (!end) return (lm_str){NULL, 0};
    lm_str line = {rest->ptr, (size_t)(end - rest->ptr)};
    *rest = (lm_str){end + 1, rest->len - line.len - 1};
    return line;
}

lm_err store_metadata_text(store_view *view, lm_buf *out)
{
    return view->metadata ? archive_text(view->metadata, out) : LM_OK;
}

lm_err store_view_walk(store_view *view,
                       lm_err (*told)(void *ctx, uint64_t record, lm_str line, lm_str metadata),
                       void *ctx)
{
    lm_buf text, metadata, unfolded;
    lm_buf_init(&text, view->mem);
    lm_buf_init(&metadata, view->mem);
    lm_buf_init(&unfolded, view->mem);
    lm_err err = archive_text(view->archive, &text);
    if (!err) err = store_metadata_text(view, &metadata);
    lm_str lines = {text.ptr, text.len}, labels = {metadata.ptr, metadata.len};
    for (uint64_t r = 0; r < view->record_count && !err; r++) {
        lm_str line = next_line(&lines), about = {NULL, 0};
        if (!line.ptr) {
            err =
                lm_fail(LM_E_CORRUPT, "segment %016llx lacks lines", (unsigned long long)view->id);
            break;
        }
        if (view->folded && view->folded[r / 64] >> r % 64 & 1) {
            unfolded.len = 0;
            err = store_line_unfold(line, &unfolded);
            line = (lm_str){unfolded.ptr, unfolded.len};
        }
        if (view->has_metadata && view->has_metadata[r / 64] >> r % 64 & 1)
            about = next_line(&labels);
        if (!err) err = told(ctx, r, line, about);
    }
    lm_buf_fini(&text);
    lm_buf_fini(&metadata);
    lm_buf_fini(&unfolded);
    return err;
}

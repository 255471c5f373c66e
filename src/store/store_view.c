/** Segments read back: what ID.rec tells, and the archives beside it. */
#include "store/store_priv.h"
#include <sys/stat.h>

enum { ROOM_SLACK = 128 /* what other places of pieces may take for their alignment */ };

static lm_err corrupt(const char *path, const char *what)
{
    return lm_fail(LM_E_CORRUPT, "'%s' is damaged: %s", path, what);
}

static lm_str read_text(lm_reader *r)
{
    return lm_reader_bytes(r, (size_t)lm_reader_varint_max(r, lm_reader_left(r)));
}

/** A set of records as bits; NULL for an empty one. LM_E_CORRUPT without words: it is damaged. */
static lm_err read_set(store_view *view, lm_reader *r, const uint64_t **out)
{
    uint64_t count = lm_reader_varint_max(r, view->record_count), at = 0;
    *out = NULL;
    if (!count) return r->failed ? LM_E_CORRUPT : LM_OK;
    size_t words = (size_t)(view->record_count + 63) / 64;
    uint64_t *bits = lm_arena_alloc(&view->arena, words * 8, 8);
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * 8);
    for (uint64_t i = 0; i < count; i++) {
        at += lm_reader_varint_max(r, view->record_count);
        if (r->failed || at >= view->record_count) return LM_E_CORRUPT;
        bits[at / 64] |= UINT64_C(1) << at % 64;
    }
    *out = bits;
    return LM_OK;
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
    if (r->failed || stream->time_max < stream->time_min) return LM_E_CORRUPT;
    lm_err err = lm_labels_parse(stream->key, &view->arena, &view->labels[i]);
    if (err) return err == LM_E_USAGE ? LM_E_CORRUPT : err;
    view->faces[i] =
        (lm_stream){view->labels[i], stream->key, lm_hash64(stream->key.ptr, stream->key.len)};
    return LM_OK;
}

/** Counts of minutes, which must add up to those of the streams. LM_E_CORRUPT without words: they
 * do not. */
static lm_err read_minutes(store_view *view, lm_reader *r)
{
    lm_reader look = *r;
    size_t room = 0, at = 0;
    for (uint32_t i = 0; i < view->stream_count && !look.failed; i++) {
        uint64_t count = lm_reader_varint_max(&look, lm_reader_left(&look));
        room += (size_t)count;
        for (uint64_t k = 0; k < 3 * count && !look.failed; k++)
            (void)lm_reader_varint(&look);
    }
    if (look.failed) return LM_E_CORRUPT;
    store_minute *minutes = lm_arena_alloc(&view->arena, room * sizeof *minutes, 8);
    uint32_t *first =
        lm_arena_alloc(&view->arena, ((size_t)view->stream_count + 1) * sizeof *first, 4);
    if (!minutes || !first) return lm_mem_err();
    for (uint32_t i = 0; i < view->stream_count; i++) {
        const store_part_stream *stream = &view->streams[i];
        uint64_t count = lm_reader_varint_max(r, room - at), records = 0, bytes = 0;
        int64_t minute = store_minute_of(stream->time_min);
        uint64_t span = (uint64_t)store_minute_of(stream->time_max) - (uint64_t)minute;
        first[i] = (uint32_t)at;
        for (uint64_t k = 0; k < count && !r->failed; k++) {
            uint64_t away = lm_reader_varint_max(r, span);
            span -= away;
            minute += (int64_t)away;
            minutes[at] = (store_minute){.minute = minute};
            minutes[at].records = lm_reader_varint_max(r, stream->records - records);
            minutes[at].bytes = lm_reader_varint_max(r, stream->raw_bytes - bytes);
            records += minutes[at].records;
            bytes += minutes[at++].bytes;
        }
        if (count && (records != stream->records || bytes != stream->raw_bytes))
            return LM_E_CORRUPT;
    }
    first[view->stream_count] = (uint32_t)at;
    view->minutes = minutes;
    view->first_minute = first;
    return r->failed ? LM_E_CORRUPT : LM_OK;
}

static lm_err read_head(store_view *view, lm_str head, const char *path)
{
    lm_reader r = lm_reader_of(head.ptr, head.len);
    lm_arena *arena = &view->arena;
    uint64_t version = lm_reader_varint(&r);
    if (version != STORE_REC_VERSION && version != STORE_REC_RUNLESS)
        return lm_fail(LM_E_UNSUPPORTED, "'%s' was written by a later version", path);
    view->generation = lm_reader_varint(&r);
    view->level = (lm_level)lm_reader_varint_max(&r, LM_LEVEL_MAX);
    view->tenant = read_text(&r);
    view->record_count = lm_reader_varint_max(&r, UINT32_MAX);
    view->raw_bytes = lm_reader_varint(&r);
    view->run_count = (size_t)lm_reader_varint_max(&r, lm_reader_left(&r));
    view->run_first = lm_arena_alloc(arena, (view->run_count + 1) * sizeof *view->run_first, 8);
    view->grams = lm_arena_alloc(arena, (view->run_count + 1) * sizeof *view->grams, 8);
    if (!view->run_first || !view->grams) return lm_mem_err();
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
    lm_err err = is_bad ? LM_E_CORRUPT : LM_OK;
    uint64_t records = 0;
    for (uint32_t i = 0; i < n && !err; i++) {
        err = read_stream(view, &r, i);
        if (!err) records += view->streams[i].records;
    }
    if (!err && records != view->record_count) err = LM_E_CORRUPT;
    if (!err) err = read_set(view, &r, &view->folded);
    if (!err) err = read_set(view, &r, &view->has_metadata);
    view->has_escapes = lm_reader_varint_max(&r, 1);
    for (size_t i = 0; i < view->run_count && !err; i++)
        view->grams[i] = read_text(&r);
    for (size_t i = 0; i < view->run_count && version == STORE_REC_RUNLESS; i++)
        view->grams[i] = (lm_str){NULL, 0};
    if (!err) err = read_minutes(view, &r);
    if (err == LM_E_NOMEM || (err == LM_E_LIMIT && !r.failed)) return err;
    if (err || r.failed || lm_reader_left(&r)) return corrupt(path, "its head makes no sense");
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
    if (!err) err = lm_columns_decode(columns, 0, &view->times_arena, &column);
    if (!err) view->times = column.ints;
    lm_columns_free(columns);
    return err;
}

/** Lengths of what lies in ID.rec. */
typedef struct rec_lengths {
    size_t plain, head, directory, blocks;
} rec_lengths;

static lm_err read_lengths(lm_str all, const char *path, rec_lengths *out)
{
    if (all.len < STORE_REC_HEAD + 16 || memcmp(all.ptr, STORE_REC_MAGIC, 8) != 0)
        return corrupt(path, "it does not begin as one");
    rec_lengths lengths = {.plain = lm_le32(all.ptr + 8),
                           .head = lm_le32(all.ptr + 12),
                           .directory = lm_le32(all.ptr + 16),
                           .blocks = lm_le32(all.ptr + 20)};
    if (STORE_REC_HEAD + lengths.head + 8 + lengths.directory + lengths.blocks + 8 != all.len)
        return corrupt(path, "its lengths do not add up");
    *out = lengths;
    return LM_OK;
}

static lm_err check(lm_str all, size_t end, uint64_t id, const char *path)
{
    return lm_hash64_seed(all.ptr, end, id) == lm_le64(all.ptr + end)
               ? LM_OK
               : corrupt(path, "its checksum does not fit");
}

static lm_err open_head(store_view *view, const char *path, lm_str all)
{
    rec_lengths lengths = {0};
    lm_err err = read_lengths(all, path, &lengths);
    if (!err) err = check(all, STORE_REC_HEAD + lengths.head, view->id, path);
    if (err) return err;
    view->head = lm_mem_alloc(view->mem, lengths.plain);
    if (!view->head) return lm_mem_err();
    view->head_len = lengths.plain;
    err = lm_bytes_decode(view->mem, (lm_str){all.ptr + STORE_REC_HEAD, lengths.head}, view->head,
                          lengths.plain);
    if (!err) err = read_head(view, (lm_str){view->head, lengths.plain}, path);
    if (err) return err;
    /* Many heads are kept: once more, into as much room as they need. */
    size_t used = lm_arena_used(&view->arena) + ROOM_SLACK;
    lm_arena_fini(&view->arena);
    if (!lm_arena_alloc(&view->arena, used, 8)) return lm_mem_err();
    lm_arena_reset(&view->arena);
    return read_head(view, (lm_str){view->head, lengths.plain}, path);
}

static lm_err open_times(store_view *view, const char *path, lm_str all)
{
    rec_lengths lengths = {0};
    lm_err err = read_lengths(all, path, &lengths);
    if (!err) err = check(all, all.len - 8, view->id, path);
    if (err) return err;
    const uint8_t *at = all.ptr + STORE_REC_HEAD + lengths.head + 8;
    lm_str directory = {at, lengths.directory};
    return read_times(view, directory, (lm_str){at + lengths.directory, lengths.blocks}, path);
}

static lm_err open_archive(store_view *view, const char *suffix, lm_archive **out)
{
    char path[STORE_PATH_MAX];
    store_part_path(view->folder, view->id, suffix, path);
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
    view->folder = folder;
    view->id = id;
    lm_arena_init(&view->arena, mem);
    lm_arena_init(&view->times_arena, mem);
    pthread_mutex_init(&view->lock, NULL);
    store_part_path(folder, id, "rec", path);
    lm_err err = lm_map_open(path, &map);
    if (!err) err = open_head(view, path, (lm_str){map.ptr, map.len});
    view->bytes += map.len;
    lm_map_close(&map);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        store_view_close(view);
        return lm_err_restore(&info);
    }
    *out = view;
    return LM_OK;
}

static lm_err load_times(store_view *view)
{
    char path[STORE_PATH_MAX];
    lm_map map = {0};
    store_part_path(view->folder, view->id, "rec", path);
    lm_err err = lm_map_open(path, &map);
    if (!err) err = open_times(view, path, (lm_str){map.ptr, map.len});
    lm_map_close(&map);
    return err;
}

static lm_err load_lines(store_view *view)
{
    lm_archive *archive = NULL, *metadata = NULL;
    lm_err err = open_archive(view, "lm", &archive);
    view->archive = archive;
    if (!err && !runs_fit(view)) {
        char path[STORE_PATH_MAX];
        store_part_path(view->folder, view->id, "lm", path);
        err = corrupt(path, "its rows are not those that belong to it");
    }
    if (!err && view->has_metadata) err = open_archive(view, "md", &metadata);
    if (err) {
        lm_archive_close(archive);
        view->archive = NULL;
    }
    view->metadata = metadata;
    return err;
}

lm_err store_view_load(store_view *view, unsigned what)
{
    lm_err err = LM_OK;
    pthread_mutex_lock(&view->lock);
    if ((what & STORE_TIMES) && !view->times) err = load_times(view);
    if (!err && (what & STORE_LINES) && !view->archive) err = load_lines(view);
    pthread_mutex_unlock(&view->lock);
    return err;
}

void store_view_unload(store_view *view)
{
    lm_archive_close(view->archive);
    lm_archive_close(view->metadata);
    lm_arena_fini(&view->times_arena);
    view->archive = view->metadata = NULL;
    view->times = NULL;
}

void store_view_close(store_view *view)
{
    if (!view) return;
    store_view_unload(view);
    pthread_mutex_destroy(&view->lock);
    lm_arena_fini(&view->arena);
    lm_mem_release(view->mem, view->head, view->head_len);
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
    const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
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

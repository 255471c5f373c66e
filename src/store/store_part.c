/* A segment on disk: two or three files of one number.
 *
 *   ID.lm   an archive like any other: the lines, a row each; large streams are files of their own,
 *           small ones share one. A line that holds newlines is folded: 0x1E stands for them.
 *   ID.md   an archive too: the structured metadata of those records that have any, as labels
 *   ID.rec  what belongs to the rows: tenant, streams, times, which rows are folded, which have
 *           metadata; one checksum (docs/format/store.md)
 *
 * ID.rec is written last: a segment without it is none. Records are numbered as the archive's rows.
 */
#include "store/store_priv.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    FOLD = 0x1E, /* stands for '\n' */
    ESCAPE = 0x1F,
    FILES_MAX = 256, /* streams with a file of their own; the others share the last one */
    NAME_BYTES_MAX = 512,
    AHEAD_ITEMS = 3,
    PACK_BYTES = 8 << 20, /* text of one of the archive's segments, about: bounds memory */
};

void store_part_path(const char *folder, uint64_t id, const char *suffix, char *dst)
{
    (void)snprintf(dst, STORE_PATH_MAX, "%s/segments/%016llx.%s", folder, (unsigned long long)id,
                   suffix);
}

void store_part_remove(const char *folder, uint64_t id)
{
    static const char *const suffixes[] = {"rec", "md", "lm"}; /* .rec first: then it is none */
    char path[STORE_PATH_MAX];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        store_part_path(folder, id, suffixes[i], path);
        (void)unlink(path); /* what is left is removed at the next start */
    }
}

/* ---- folding: a record is a row, whatever its line holds ---- */

/** *escapes: set if a sign stands for another one than a newline. */
static lm_err fold_line(lm_str line, lm_buf *out, bool *escapes)
{
    lm_err err = lm_buf_reserve(out, line.len * 2);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.ptr[i];
        if (c == FOLD || c == ESCAPE) {
            *at++ = ESCAPE;
            *at++ = c == FOLD ? 'e' : 'f';
            *escapes = true;
        } else {
            *at++ = c == '\n' ? FOLD : c;
        }
    }
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

lm_err store_line_unfold(lm_str row, lm_buf *out)
{
    lm_err err = lm_buf_reserve(out, row.len);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    for (size_t i = 0; i < row.len; i++) {
        uint8_t c = row.ptr[i];
        if (c == FOLD) {
            *at++ = '\n';
        } else if (c == ESCAPE && i + 1 < row.len) {
            *at++ = row.ptr[++i] == 'e' ? FOLD : ESCAPE;
        } else {
            *at++ = c;
        }
    }
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

/* ---- writing ---- */

typedef struct part_file {
    size_t begin, end, at; /* items; at: next to be read */
    size_t done;           /* bytes of item at that were handed out */
    uint64_t first_record;
    char name[NAME_BYTES_MAX];
} part_file;

typedef struct writer {
    lm_mem *mem;
    lm_pool *pool;
    const char *folder;
    const store_part_plan *plan;
    lm_arena *arena;
    store_part_stream *streams; /* by the plan's numbers */
    uint32_t *order;            /* streams as they follow one another */
    size_t *begins;             /* first item of each, by the plan's numbers */
    part_file *files;
    const char **paths;
    size_t file_count;
    bool is_metadata; /* what open_file reads */
    lm_buf folded;    /* the line that is being read, if it must be */
    bool has_escapes; /* a folded line holds FOLD or ESCAPE itself */
    lm_str printed;   /* the metadata that folded holds as text; ptr NULL: none */
    uint64_t *runs;   /* rows of each of the archive's segments */
    size_t run_count;
    size_t *record_items; /* item of each record */
    uint64_t raw_bytes, metadata_records;
    size_t line_bytes_max;
} writer;

static lm_str item_text(writer *w, const store_item *item)
{
    if (!item->is_folded) return item->line;
    w->folded.len = 0;
    if (fold_line(item->line, &w->folded, &w->has_escapes)) return (lm_str){NULL, SIZE_MAX};
    return (lm_str){w->folded.ptr, w->folded.len};
}

/** Labels of an item's metadata as a line; records in a row often have the same. */
static lm_str item_metadata(writer *w, const store_item *item)
{
    lm_arena arena;
    lm_labels labels;
    if (w->printed.ptr && lm_str_equal(w->printed, item->metadata))
        return (lm_str){w->folded.ptr, w->folded.len};
    lm_arena_init(&arena, w->mem);
    w->folded.len = 0;
    lm_err err = store_metadata_read(item->metadata, &arena, &labels);
    if (!err) err = lm_labels_print(labels, &w->folded);
    lm_arena_fini(&arena);
    w->printed = err ? (lm_str){NULL, 0} : item->metadata;
    return err ? (lm_str){NULL, SIZE_MAX} : (lm_str){w->folded.ptr, w->folded.len};
}

typedef struct reader_ctx {
    writer *w;
    part_file *file;
} reader_ctx;

/** Lines of a file, each with a newline behind, as many as fit. */
static lm_err read_file(void *ctx, uint8_t *dst, size_t cap, size_t *out_len)
{
    writer *w = ((reader_ctx *)ctx)->w;
    part_file *file = ((reader_ctx *)ctx)->file;
    size_t len = 0;
    while (file->at < file->end && len < cap) {
        size_t index = w->is_metadata ? w->record_items[file->at] : file->at;
        const store_item *item = &w->plan->items[index];
        if (w->is_metadata && !item->metadata.len) {
            file->at++;
            continue;
        }
        if (!w->is_metadata && !item->is_folded && !file->done && item->line.len < cap - len) {
            if (file->end - file->at > AHEAD_ITEMS) /* lines lie wherever they came in */
                __builtin_prefetch(item[AHEAD_ITEMS].line.ptr);
            if (item->line.len) memcpy(dst + len, item->line.ptr, item->line.len);
            dst[len + item->line.len] = '\n';
            len += item->line.len + 1;
            file->at++;
            continue;
        }
        lm_str text = w->is_metadata ? item_metadata(w, item) : item_text(w, item);
        if (text.len == SIZE_MAX) return lm_mem_err();
        size_t rest = text.len + 1 - file->done;
        size_t n = rest < cap - len ? rest : cap - len;
        size_t of_text = text.len - file->done < n ? text.len - file->done : n;
        if (of_text) memcpy(dst + len, text.ptr + file->done, of_text);
        if (of_text < n) dst[len + of_text] = '\n';
        len += n;
        file->done += n;
        if (file->done == text.len + 1) {
            file->at++;
            file->done = 0;
        }
    }
    *out_len = len;
    return LM_OK;
}

static lm_err open_file(void *ctx, const char *path, lm_source **out)
{
    writer *w = ctx;
    size_t i = 0;
    while (w->paths[i] != path)
        i++;
    reader_ctx *reader = lm_arena_alloc(w->arena, sizeof *reader, _Alignof(reader_ctx));
    if (!reader) return lm_mem_err();
    *reader = (reader_ctx){w, &w->files[i]};
    w->files[i].at = w->files[i].begin;
    w->files[i].done = 0;
    return lm_source_of(w->mem, read_file, reader, out);
}

/** Merges two runs in order; of equal times the first run's come first. Only what must move does.
 */
static void merge_runs(store_item *items, size_t middle, size_t count, store_item *space)
{
    size_t from = 0, to = 0;
    if (middle == count) return; /* one without another to merge with */
    while (from < middle && items[from].time_ns <= items[middle].time_ns)
        from++;
    size_t left_count = middle - from, left = 0, right = middle;
    memcpy(space, items + from, left_count * sizeof *items);
    for (to = from; left < left_count; to++) {
        bool is_right = right < count && items[right].time_ns < space[left].time_ns;
        items[to] = is_right ? items[right++] : space[left++];
    }
}

/** By time, equal ones as they came. Mostly they are in order, or were but for a few sources: runs
 * that are in order are found and merged, two by two. space: as many items. */
static lm_err sort_by_time(lm_mem *mem, store_item *items, size_t count, store_item *space)
{
    size_t *ends = NULL, run_count = 0, run_cap = 0;
    lm_err err = LM_OK;
    for (size_t begin = 0; begin < count && !err; run_count++) {
        size_t end = begin + 1;
        while (end < count && items[end - 1].time_ns <= items[end].time_ns)
            end++;
        if (begin == 0 && end == count) return LM_OK;
        err = lm_vec_grow(mem, &ends, &run_cap, run_count + 1, sizeof *ends);
        if (!err) ends[run_count] = begin = end;
    }
    while (run_count > 1 && !err) {
        size_t kept = 0, begin = 0;
        for (size_t i = 0; i < run_count; i += 2) {
            size_t end = i + 1 < run_count ? ends[i + 1] : ends[i];
            merge_runs(items + begin, ends[i] - begin, end - begin, space);
            ends[kept++] = begin = end;
        }
        run_count = kept;
    }
    lm_mem_release(mem, ends, run_cap * sizeof *ends);
    return err;
}

typedef struct stream_rank {
    uint64_t raw_bytes;
    lm_str key;
    uint32_t stream;
} stream_rank;

/** Large ones first, the others by their labels: neighbours are alike. */
static int compare_ranks(const void *a, const void *b)
{
    const stream_rank *x = a, *y = b;
    bool x_is_large = x->raw_bytes >= STORE_OWN_FILE_BYTES;
    bool y_is_large = y->raw_bytes >= STORE_OWN_FILE_BYTES;
    if (x_is_large != y_is_large) return x_is_large ? -1 : 1;
    return lm_str_compare(x->key, y->key);
}

static lm_err sort_items(writer *w)
{
    const store_part_plan *plan = w->plan;
    uint32_t n = plan->stream_count;
    w->streams = lm_arena_alloc(w->arena, n * sizeof *w->streams, _Alignof(store_part_stream));
    w->order = lm_arena_alloc(w->arena, n * sizeof *w->order, _Alignof(uint32_t));
    w->begins = lm_arena_alloc(w->arena, (n + 1) * sizeof *w->begins, _Alignof(size_t));
    stream_rank *ranks = lm_arena_alloc(w->arena, n * sizeof *ranks, _Alignof(stream_rank));
    if (!w->streams || !w->order || !w->begins || !ranks) return lm_mem_err();
    for (uint32_t i = 0; i < n; i++)
        w->streams[i] =
            (store_part_stream){.key = plan->keys[i], .time_min = INT64_MAX, .time_max = INT64_MIN};
    for (size_t i = 0; i < plan->item_count; i++) {
        const store_item *item = &plan->items[i];
        store_part_stream *stream = &w->streams[item->stream];
        stream->records++;
        stream->raw_bytes += item->line.len;
        w->raw_bytes += item->line.len;
        if (item->line.len > w->line_bytes_max) w->line_bytes_max = item->line.len;
        if (item->time_ns < stream->time_min) stream->time_min = item->time_ns;
        if (item->time_ns > stream->time_max) stream->time_max = item->time_ns;
        w->metadata_records += item->metadata.len != 0;
    }
    for (uint32_t i = 0; i < n; i++)
        ranks[i] = (stream_rank){w->streams[i].raw_bytes, plan->keys[i], i};
    qsort(ranks, n, sizeof *ranks, compare_ranks);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->order[i] = ranks[i].stream;
        w->begins[ranks[i].stream] = at;
        at += w->streams[ranks[i].stream].records;
    }
    /* Into place by stream, then each stream by time. */
    store_item *space = lm_mem_alloc(w->mem, plan->item_count * sizeof *space);
    if (!space) return lm_mem_err();
    if (n > 1) {
        for (size_t i = 0; i < plan->item_count; i++)
            space[w->begins[plan->items[i].stream]++] = plan->items[i];
        memcpy(plan->items, space, plan->item_count * sizeof *space);
        for (uint32_t i = 0; i < n; i++)
            w->begins[i] -= (size_t)w->streams[i].records;
    }
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < n && !err; i++)
        err =
            sort_by_time(w->mem, plan->items + w->begins[i], (size_t)w->streams[i].records, space);
    lm_mem_release(w->mem, space, plan->item_count * sizeof *space);
    return err;
}

static lm_err make_files(writer *w)
{
    const store_part_plan *plan = w->plan;
    w->files = lm_arena_alloc(w->arena, FILES_MAX * sizeof *w->files, _Alignof(part_file));
    w->paths = lm_arena_alloc(w->arena, FILES_MAX * sizeof *w->paths, _Alignof(char *));
    if (!w->files || !w->paths) return lm_mem_err();
    for (uint32_t i = 0; i < plan->stream_count; i++) {
        const store_part_stream *stream = &w->streams[w->order[i]];
        size_t begin = w->begins[w->order[i]], end = begin + (size_t)stream->records;
        bool is_own = stream->raw_bytes >= STORE_OWN_FILE_BYTES && w->file_count < FILES_MAX - 1;
        bool is_next_shared =
            !is_own && w->file_count && strcmp(w->files[w->file_count - 1].name, "streams") == 0;
        if (is_next_shared) {
            w->files[w->file_count - 1].end = end;
            continue;
        }
        part_file *file = &w->files[w->file_count];
        *file = (part_file){.begin = begin, .end = end};
        int len =
            (int)(stream->key.len < NAME_BYTES_MAX - 1 ? stream->key.len : NAME_BYTES_MAX - 1);
        (void)snprintf(file->name, sizeof file->name, "%.*s", is_own ? len : 7,
                       is_own ? (const char *)stream->key.ptr : "streams");
        w->paths[w->file_count++] = file->name;
    }
    return LM_OK;
}

/** Which record each of the archive's rows is: files lie in it in an order of its own. */
static lm_err number_records(writer *w, const lm_archive *archive)
{
    size_t count = w->plan->item_count;
    w->record_items = lm_arena_alloc(w->arena, count * sizeof *w->record_items, _Alignof(size_t));
    w->run_count = lm_archive_segment_count(archive);
    w->runs = lm_arena_alloc(w->arena, w->run_count * sizeof *w->runs, _Alignof(uint64_t));
    if (!w->record_items || !w->runs) return lm_mem_err();
    size_t record = 0;
    for (size_t s = 0; s < w->run_count; s++) {
        lm_segment *segment = NULL;
        lm_err err = lm_segment_open(archive, s, &segment);
        if (err) return err;
        uint32_t rows = lm_segment_row_count(segment);
        w->runs[s] = rows;
        for (uint32_t row = 0; row < rows;) {
            lm_row_place place = lm_segment_place(segment, row);
            part_file *file = &w->files[place.file];
            LM_ASSERT(place.file < w->file_count);
            if (place.line == 1) file->first_record = record;
            size_t item = file->begin + (size_t)place.line - 1;
            LM_ASSERT(item < file->end);
            for (; row < rows && item < file->end; row++)
                w->record_items[record++] = item++;
        }
        lm_segment_close(segment);
    }
    LM_ASSERT(record == count);
    for (uint32_t i = 0; i < w->plan->stream_count; i++) {
        size_t begin = w->begins[i];
        for (size_t f = 0; f < w->file_count; f++) {
            if (begin < w->files[f].begin || begin >= w->files[f].end) continue;
            w->streams[i].first = w->files[f].first_record + (begin - w->files[f].begin);
        }
    }
    return LM_OK;
}

/** Text of one of the archive's segments: all of them about alike, since a small one at the end
 * costs much and packs badly. */
static size_t segment_bytes(const writer *w)
{
    size_t bytes = (size_t)w->raw_bytes + w->plan->item_count; /* with line ends */
    size_t count = (bytes + PACK_BYTES / 2) / PACK_BYTES;
    if (w->is_metadata) return PACK_BYTES;
    return count < 2 ? bytes + 2 : bytes / count + w->line_bytes_max + 2;
}

static lm_err pack(writer *w, const char *suffix, size_t file_count, uint64_t *out_bytes)
{
    char path[STORE_PATH_MAX];
    store_part_path(w->folder, w->plan->id, suffix, path);
    lm_pack_options options = {.level = w->plan->level,
                               .segment_bytes = segment_bytes(w),
                               .open = open_file,
                               .open_ctx = w,
                               .kept = w->plan->kept};
    lm_pack_report report;
    lm_err err =
        lm_archive_pack(w->mem, w->pool, w->paths, file_count, &options, path, NULL, NULL, &report);
    if (!err) *out_bytes += report.bytes_out;
    return err;
}

/** Numbers of the records that `is` says, as differences. */
static lm_err put_set(const writer *w, bool (*is)(const store_item *item), lm_buf *out)
{
    uint64_t count = 0, before = 0;
    for (size_t i = 0; i < w->plan->item_count; i++)
        count += is(&w->plan->items[i]);
    lm_err err = lm_buf_varint(out, count);
    for (size_t r = 0; r < w->plan->item_count && count && !err; r++) {
        if (!is(&w->plan->items[w->record_items[r]])) continue;
        err = lm_buf_varint(out, r - before);
        before = r;
    }
    return err;
}

static bool is_folded(const store_item *item)
{
    return item->is_folded;
}

static bool has_metadata(const store_item *item)
{
    return item->metadata.len != 0;
}

static lm_err put_text(lm_buf *out, lm_str text)
{
    lm_err err = lm_buf_varint(out, text.len);
    return err ? err : lm_buf_append(out, text.ptr, text.len);
}

/** Which groups of characters the lines of each of the archive's segments have; level fast has no
 * time for them. */
static lm_err put_grams(const writer *w, lm_buf *out)
{
    lm_grams *grams = NULL;
    lm_buf set;
    size_t record = 0;
    lm_buf_init(&set, w->mem);
    lm_err err = lm_grams_new(w->mem, &grams);
    for (size_t i = 0; i < w->run_count && !err; i++) {
        set.len = 0;
        bool is_fast = w->plan->level == LM_LEVEL_FAST;
        for (uint64_t n = w->runs[i]; n && !is_fast; n--)
            lm_grams_add(grams, w->plan->items[w->record_items[record++]].line);
        if (!is_fast) err = lm_grams_take(grams, STORE_GRAM_BITS, &set);
        if (!err) err = put_text(out, (lm_str){set.ptr, set.len});
    }
    lm_grams_free(grams);
    lm_buf_fini(&set);
    return err;
}

/** Records and bytes of each minute of a stream; none where that would say little in many words. */
static lm_err put_minutes(const writer *w, uint32_t number, lm_buf *out)
{
    const store_item *items = w->plan->items + w->begins[number];
    size_t count = (size_t)w->streams[number].records, minutes = 0;
    for (size_t i = 0; i < count; i++)
        minutes += !i || store_minute_of(items[i].time_ns) != store_minute_of(items[i - 1].time_ns);
    if (minutes > 1 && minutes * STORE_MINUTE_RECORDS > count) minutes = 0;
    lm_err err = lm_buf_varint(out, minutes);
    int64_t before = store_minute_of(w->streams[number].time_min);
    for (size_t begin = 0, end; begin < count && minutes && !err; begin = end) {
        int64_t minute = store_minute_of(items[begin].time_ns);
        uint64_t bytes = 0;
        for (end = begin; end < count && store_minute_of(items[end].time_ns) == minute; end++)
            bytes += items[end].line.len;
        err = lm_buf_varint(out, (uint64_t)(minute - before));
        if (!err) err = lm_buf_varint(out, end - begin);
        if (!err) err = lm_buf_varint(out, bytes);
        before = minute;
    }
    return err;
}

static lm_err put_head(const writer *w, lm_buf *out)
{
    const store_part_plan *plan = w->plan;
    lm_err err = lm_buf_varint(out, STORE_REC_VERSION);
    if (!err) err = lm_buf_varint(out, plan->generation);
    if (!err) err = lm_buf_varint(out, plan->level);
    if (!err) err = put_text(out, plan->tenant);
    if (!err) err = lm_buf_varint(out, plan->item_count);
    if (!err) err = lm_buf_varint(out, w->raw_bytes);
    if (!err) err = lm_buf_varint(out, w->run_count);
    for (size_t i = 0; i < w->run_count && !err; i++)
        err = lm_buf_varint(out, w->runs[i]);
    if (!err) err = lm_buf_varint(out, plan->replace_count);
    for (size_t i = 0; i < plan->replace_count && !err; i++)
        err = lm_buf_varint(out, plan->replaces[i]);
    if (!err) err = lm_buf_varint(out, plan->stream_count);
    for (uint32_t i = 0; i < plan->stream_count && !err; i++) {
        const store_part_stream *stream = &w->streams[i];
        err = put_text(out, stream->key);
        if (!err) err = lm_buf_varint(out, stream->first);
        if (!err) err = lm_buf_varint(out, stream->records);
        if (!err) err = lm_buf_varint(out, stream->raw_bytes);
        if (!err) err = lm_buf_varint(out, lm_zigzag(stream->time_min));
        if (!err) err = lm_buf_varint(out, (uint64_t)stream->time_max - (uint64_t)stream->time_min);
    }
    if (!err) err = put_set(w, is_folded, out);
    if (!err) err = put_set(w, has_metadata, out);
    if (!err) err = lm_buf_varint(out, w->has_escapes);
    if (!err) err = put_grams(w, out);
    for (uint32_t i = 0; i < plan->stream_count && !err; i++)
        err = put_minutes(w, i, out);
    return err;
}

static lm_err write_rec(writer *w, uint64_t *out_bytes)
{
    lm_mem *mem = w->mem;
    size_t count = w->plan->item_count;
    lm_buf plain, head, directory, blocks, all;
    lm_buf_init(&plain, mem);
    lm_buf_init(&head, mem);
    lm_buf_init(&directory, mem);
    lm_buf_init(&blocks, mem);
    lm_buf_init(&all, mem);
    lm_outfile *file = NULL;
    char path[STORE_PATH_MAX];
    int64_t *times = lm_mem_alloc(mem, count * sizeof *times);
    lm_err err = times ? put_head(w, &plain) : lm_mem_err();
    if (!err) err = lm_bytes_encode(mem, (lm_str){plain.ptr, plain.len}, w->plan->level, &head);
    for (size_t r = 0; r < count && !err; r++)
        times[r] = w->plan->items[w->record_items[r]].time_ns;
    lm_column column = {
        .type = LM_COLUMN_INT, .role = LM_ROLE_TIME, .count = (uint32_t)count, .ints = times};
    if (!err)
        err = lm_columns_encode(mem, NULL, &column, 1, w->plan->level, &blocks, &directory, NULL);
    if (!err) err = lm_buf_append(&all, STORE_REC_MAGIC, 8);
    if (!err) err = lm_buf_le32(&all, (uint32_t)plain.len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)head.len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)directory.len);
    if (!err) err = lm_buf_le32(&all, (uint32_t)blocks.len);
    if (!err) err = lm_buf_append(&all, head.ptr, head.len);
    if (!err) err = lm_buf_le64(&all, lm_hash64_seed(all.ptr, all.len, w->plan->id));
    if (!err) err = lm_buf_append(&all, directory.ptr, directory.len);
    if (!err) err = lm_buf_append(&all, blocks.ptr, blocks.len);
    if (!err) err = lm_buf_le64(&all, lm_hash64_seed(all.ptr, all.len, w->plan->id));
    store_part_path(w->folder, w->plan->id, "rec", path);
    if (!err) err = lm_outfile_new(mem, path, &file);
    if (!err) err = lm_outfile_write(file, all.ptr, all.len);
    if (!err) err = lm_outfile_commit(file);
    if (!err) *out_bytes += all.len;
    lm_outfile_free(file);
    lm_mem_release(mem, times, count * sizeof *times);
    lm_buf_fini(&plain);
    lm_buf_fini(&head);
    lm_buf_fini(&directory);
    lm_buf_fini(&blocks);
    lm_buf_fini(&all);
    return err;
}

lm_err store_part_write(lm_mem *mem, lm_pool *pool, const char *folder, const store_part_plan *plan,
                        lm_arena *arena, store_part *out, store_part_stream **out_streams)
{
    writer w = {.mem = mem, .pool = pool, .folder = folder, .plan = plan, .arena = arena};
    char path[STORE_PATH_MAX];
    uint64_t bytes = 0;
    uint64_t templates = 0;
    lm_archive *archive = NULL;
    lm_buf_init(&w.folded, mem);
    LM_ASSERT(plan->item_count && plan->tenant.len <= STORE_TENANT_BYTES_MAX);
    lm_err err = sort_items(&w);
    if (!err) err = make_files(&w);
    if (!err) err = pack(&w, "lm", w.file_count, &bytes);
    store_part_path(folder, plan->id, "lm", path);
    if (!err) err = lm_archive_open(mem, path, false, &archive);
    if (!err) err = number_records(&w, archive);
    if (!err) templates = lm_archive_template_count(archive);
    lm_archive_close(archive);
    if (!err && w.metadata_records) {
        w.is_metadata = true;
        w.printed = (lm_str){NULL, 0};
        w.files[0] = (part_file){.begin = 0, .end = plan->item_count, .name = "metadata"};
        w.paths[0] = w.files[0].name;
        err = pack(&w, "md", 1, &bytes);
    }
    if (!err) err = write_rec(&w, &bytes);
    lm_buf_fini(&w.folded);
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        store_part_remove(folder, plan->id);
        return lm_err_restore(&info);
    }
    *out = (store_part){.id = plan->id,
                        .level = plan->level,
                        .time_min = INT64_MAX,
                        .time_max = INT64_MIN,
                        .records = plan->item_count,
                        .streams = plan->stream_count,
                        .raw_bytes = w.raw_bytes,
                        .bytes = bytes,
                        .templates = templates,
                        .generation = plan->generation};
    memcpy(out->tenant, plan->tenant.ptr, plan->tenant.len);
    for (uint32_t i = 0; i < plan->stream_count; i++) {
        if (w.streams[i].time_min < out->time_min) out->time_min = w.streams[i].time_min;
        if (w.streams[i].time_max > out->time_max) out->time_max = w.streams[i].time_max;
    }
    *out_streams = w.streams;
    return LM_OK;
}

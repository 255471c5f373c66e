/**
 * Packing: files -> streams -> segments -> one archive.
 *
 * Files of the same format (lm_schema_signature) make one stream and follow one another, so that
 * they share segments, shapes and dictionaries. A stream's text is cut into segments at line ends;
 * segments are encoded side by side where memory allows, and committed in order: only then
 * templates are given, so that ids depend on the input alone.
 *
 *   inputs --peek: schema, signature--> streams --read--> lm_seg_work[] --lm_seg_encode--> commit:
 * templates, head, write
 */
#include "archive/archive_priv.h"
#include "template/template.h"
#include <stdio.h>

enum {
    HEAD_BYTES = LM_LEARNED_BYTES_MAX,
    PEEK_BYTES = 1 << 16, /* per file when there are several */
    HEAD_LINES = 4000,
    KEPT_BYTES = 1 << 15,   /* a shorter head is learned anew rather than looked up */
    FIT_LINES = 32,         /* of a head that are tried with a schema from an earlier packing */
    FIT_SLACK = 3,          /* so many fewer of them may fit than of those it was learned from */
    TEXTS_FAST_FROM = 4096, /* bytes of template texts that level fast takes less trouble with */
    MINED_SHAPES_MAX = 1 << 15, /* of one segment; more share the catch-all template */
    SEGMENT_FAST = 8 << 20,
    SEGMENT_DEFAULT = 32 << 20,
    SEGMENT_BYTES_MIN = 64,
    SEGMENT_COST = 5, /* memory of a segment on its way, in multiples of its text */
};

typedef struct pack_stream {
    lm_schema *schema;
    lm_kept_format *format; /* whose schema it is; NULL: the stream's own */
    lm_str signature;       /* in arena */
} pack_stream;

typedef struct packer {
    lm_mem *mem;
    lm_pool *pool;
    const lm_pack_options *options;
    lm_arena arena; /* names, paths, schemas as bytes */
    lm_outfile *out;
    lm_miner *miner;
    pack_stream *streams;
    size_t stream_count, stream_cap;
    lm_archive_file *files; /* in the order of packing */
    size_t file_count, file_cap, path_cap,
        file_stream_cap;    /* each array grows by itself: any of them may fail */
    const char **paths;     /* beside files */
    uint32_t *file_streams; /* beside files */
    uint32_t *name_slots;   /* set of names: index + 1 */
    size_t name_slot_cap;
    lm_archive_segment *segments;
    size_t segment_count, segment_cap;
    lm_buf first_shapes; /* skeletons of the first segment of columns: the words that templates are
                            stored in */
    lm_buf first_ids;    /* and its template ids, as stored */
    lm_seg_work slots[LM_SLOTS_MAX];
    size_t slot_count, filled;
    size_t segment_bytes;
    uint64_t bytes_in, bytes_total, lines;
    lm_buf kept_head; /* bytes of an input that were read to learn its schema, and what follows
                         them: standard input, or the only one */
    lm_source *kept_source;
    uint32_t kept_file;
    bool kept_is_whole;
    bool is_learned_whole; /* the last file's schema is what all of its text says, and nothing else
                            */
    bool has_columns;      /* in any segment */
    void (*bad)(void *ctx, const char *path, const char *text);
    void *bad_ctx;
    size_t bad_count;
} packer;

static void tell_bad(packer *pk, const char *path)
{
    pk->bad_count++;
    if (pk->bad) pk->bad(pk->bad_ctx, path, lm_err_text());
}

/* ---- names ---- */

/** A name that stays below the folder it is unpacked to: no leading '/', no '.', no '..'. */
static size_t clean_name(const char *path, char *dst, size_t cap)
{
    size_t len = 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        bool is_kept = n && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
        if (is_kept && len + n + 1 < cap) {
            if (len) dst[len++] = '/';
            memcpy(dst + len, p, n);
            len += n;
        }
        p += n + (p[n] == '/');
    }
    return len;
}

static bool name_is_taken(const packer *pk, lm_str name)
{
    if (!pk->name_slot_cap) return false;
    size_t at = lm_hash64(name.ptr, name.len) & (pk->name_slot_cap - 1);
    for (; pk->name_slots[at]; at = (at + 1) & (pk->name_slot_cap - 1)) {
        if (lm_str_equal(pk->files[pk->name_slots[at] - 1].name, name)) return true;
    }
    return false;
}

static lm_err note_name(packer *pk, size_t file)
{
    if (pk->file_count * 2 >= pk->name_slot_cap) {
        size_t cap = pk->name_slot_cap ? pk->name_slot_cap * 2 : 64;
        uint32_t *slots = lm_mem_calloc(pk->mem, cap, sizeof *slots);
        if (!slots) return lm_mem_err();
        lm_mem_release(pk->mem, pk->name_slots, pk->name_slot_cap * sizeof *slots);
        pk->name_slots = slots;
        pk->name_slot_cap = cap;
        for (size_t i = 0; i < file; i++) {
            size_t at = lm_hash64(pk->files[i].name.ptr, pk->files[i].name.len) & (cap - 1);
            while (slots[at])
                at = (at + 1) & (cap - 1);
            slots[at] = (uint32_t)i + 1;
        }
    }
    lm_str name = pk->files[file].name;
    size_t at = lm_hash64(name.ptr, name.len) & (pk->name_slot_cap - 1);
    while (pk->name_slots[at])
        at = (at + 1) & (pk->name_slot_cap - 1);
    pk->name_slots[at] = (uint32_t)file + 1;
    return LM_OK;
}

/** The name a file gets: cleaned, without the suffix of a compression that was taken off, unlike
 * all others. */
static lm_err make_name(packer *pk, const char *path, lm_packing packing, lm_str *out)
{
    char text[LM_PATH_BYTES_MAX];
    bool is_stdin = strcmp(path, "-") == 0;
    size_t len = clean_name(is_stdin ? "stdin" : path, text, sizeof text - 16);
    static const char *const suffixes[] = {"", ".gz", ".zst", ".xz", ".bz2"};
    lm_str suffix = lm_str_of(suffixes[packing]);
    if (suffix.len && lm_str_ends((lm_str){(uint8_t *)text, len}, suffix) && len > suffix.len)
        len -= suffix.len;
    if (!len) len = clean_name("log", text, sizeof text);
    size_t base = len;
    for (unsigned n = 2; name_is_taken(pk, (lm_str){(uint8_t *)text, len}); n++) {
        len = base + (size_t)snprintf(text + base, sizeof text - base, ".%u", n);
    }
    void *copy = lm_arena_copy(&pk->arena, text, len);
    if (!copy) return lm_mem_err();
    *out = (lm_str){copy, len};
    return LM_OK;
}

/* ---- schemas and streams ---- */

static lm_err learn_lines(const uint8_t *text, size_t len, bool is_whole, lm_mem *mem,
                          lm_schema *schema, lm_joiner *joiner, const lm_schema *joiner_schema)
{
    lm_str *lines = lm_mem_alloc(mem, HEAD_LINES * sizeof *lines);
    if (!lines) return lm_mem_err();
    size_t count = 0;
    for (size_t at = 0; at < len && count < HEAD_LINES;) {
        const uint8_t *end = memchr(text + at, '\n', len - at);
        if (!end && !(is_whole || count == 0)) break; /* cut off: says little */
        size_t line_len = end ? (size_t)(end - (text + at)) : len - at;
        lines[count++] = (lm_str){text + at, line_len};
        at += line_len + 1;
    }
    lm_err err = schema ? lm_schema_learn_head(schema, lines, count)
                        : lm_joiner_learn(joiner, joiner_schema, lines, count);
    lm_mem_release(mem, lines, HEAD_LINES * sizeof *lines);
    return err;
}

lm_err lm_schema_of_head(lm_mem *mem, lm_str yaml, lm_str head, bool is_whole, lm_schema **out)
{
    lm_schema *schema = NULL;
    lm_err err = lm_schema_new(mem, &schema);
    if (!err && yaml.len) err = lm_schema_configure(schema, yaml);
    if (!err) err = learn_lines(head.ptr, head.len, is_whole, mem, schema, NULL, NULL);
    if (err) {
        lm_schema_free(schema);
        return err;
    }
    *out = schema;
    return LM_OK;
}

/** How many lines of a head, taken from all over it, does the schema know, with their time? */
static lm_err count_fits(packer *pk, const lm_schema *schema, lm_str head, unsigned *out)
{
    lm_arena arena;
    lm_arena_init(&arena, pk->mem);
    lm_fields fields = {.arena = &arena};
    lm_err err = LM_OK;
    *out = 0;
    for (size_t i = 0; i < FIT_LINES && !err; i++) {
        size_t at = head.len / FIT_LINES * i;
        const uint8_t *begin = memchr(head.ptr + at, '\n', head.len - at);
        const uint8_t *end =
            begin ? memchr(begin + 1, '\n', head.len - (size_t)(begin + 1 - head.ptr)) : NULL;
        if (!end || end - begin > LM_FIELD_LINE_MAX) continue;
        err = lm_schema_parse(schema, (lm_str){begin + 1, (size_t)(end - begin) - 1}, &fields);
        *out += !err && fields.format >= 0 && fields.timestamp >= 0;
    }
    lm_arena_fini(&arena);
    return err;
}

/** The schema of a format known from an earlier packing (it is borrowed), or learned from the head.
 */
static lm_err find_schema(packer *pk, const char *path, lm_str head, bool is_whole, lm_schema **out,
                          lm_kept_format **out_format)
{
    lm_pack_kept *kept = head.len >= KEPT_BYTES ? pk->options->kept : NULL;
    uint64_t name = lm_hash64(path, strlen(path));
    lm_kept_format *known = kept ? lm_kept_find(kept, name) : NULL;
    unsigned fits = 0;
    *out_format = NULL;
    lm_err err = known ? count_fits(pk, known->schema, head, &fits) : LM_OK;
    if (!err && known && fits + FIT_SLACK >= known->fits) {
        *out_format = known;
        *out = known->schema;
        return LM_OK;
    }
    lm_schema *schema = NULL;
    if (!err) err = lm_schema_of_head(pk->mem, pk->options->schema_yaml, head, is_whole, &schema);
    if (!err && kept) err = count_fits(pk, schema, head, &fits);
    if (err) {
        lm_schema_free(schema);
        return err;
    }
    if (kept && fits >= FIT_LINES / 2) *out_format = lm_kept_add(kept, name, fits, schema);
    *out = schema;
    return LM_OK;
}

/** Stream for a file's format: a known one, or a new one that takes over the schema unless it is a
 * kept format's. */
static lm_err find_stream(packer *pk, lm_schema *schema, lm_kept_format *format, uint32_t *out)
{
    lm_str signature = lm_schema_signature(schema);
    for (size_t i = 0; i < pk->stream_count; i++) {
        if (!lm_str_equal(pk->streams[i].signature, signature)) continue;
        if (!format) lm_schema_free(schema);
        *out = (uint32_t)i;
        return LM_OK;
    }
    void *copy = lm_arena_copy(&pk->arena, signature.ptr, signature.len);
    lm_err err = copy ? lm_vec_grow(pk->mem, &pk->streams, &pk->stream_cap, pk->stream_count + 1,
                                    sizeof *pk->streams)
                      : lm_mem_err();
    if (err) {
        if (!format) lm_schema_free(schema);
        return err;
    }
    pk->streams[pk->stream_count] = (pack_stream){schema, format, {copy, signature.len}};
    if (format) format->users++;
    *out = (uint32_t)pk->stream_count++;
    return LM_OK;
}

/** Up to cap bytes from the begin of a source. */
static lm_err read_head(lm_source *source, uint8_t *dst, size_t cap, size_t *out_len,
                        bool *out_is_whole)
{
    size_t len = 0;
    *out_is_whole = false;
    while (len < cap) {
        size_t n = 0;
        lm_err err = lm_source_read(source, dst + len, cap - len, &n);
        if (err) return err;
        if (n == 0) {
            *out_is_whole = true;
            break;
        }
        len += n;
    }
    *out_len = len;
    return LM_OK;
}

static lm_err open_input(packer *pk, const char *path, lm_source **out)
{
    const lm_pack_options *options = pk->options;
    return options->open ? options->open(options->open_ctx, path, out)
                         : lm_source_open(pk->mem, path, options->raw_input, out);
}

/** Look at one input: its stream, name and times. A file that cannot be opened is told and left
 * out. */
static lm_err add_input(packer *pk, const char *path, bool is_only)
{
    bool is_stdin = strcmp(path, "-") == 0;
    size_t peek_bytes = is_only ? HEAD_BYTES : PEEK_BYTES;
    for (size_t i = 0; is_stdin && i < pk->file_count; i++)
        if (strcmp(pk->paths[i], "-") == 0) return LM_OK; /* standard input counts once */
    lm_source *source = NULL;
    lm_err err = open_input(pk, path, &source);
    if (err && (is_only || err == LM_E_NOMEM || err == LM_E_LIMIT)) return err;
    if (err) {
        tell_bad(pk, path);
        return LM_OK;
    }
    lm_buf head;
    lm_buf_init(&head, pk->mem);
    lm_file_info info = {.mtime_ns = lm_clock_wall_ns(), .mode = 0644};
    lm_schema *schema = NULL;
    bool is_whole = false;
    err = lm_buf_reserve(&head, peek_bytes + 1);
    if (err) goto out;
    err = read_head(source, head.ptr, peek_bytes, &head.len, &is_whole);
    if (err == LM_E_NOMEM || err == LM_E_LIMIT) goto out;
    bool is_kept = is_stdin || (is_only && !err);
    if (err && is_stdin) {
        tell_bad(pk, path);
        err = LM_OK;
    }
    /* a damaged file's good bytes come again, and its trouble is told, when it is read in full */
    if (pk->options->open) {
        info.mtime_ns = pk->options->mtime_ns;
    } else if (!is_stdin) {
        err = lm_file_info_get(path, &info);
        if (err) {
            tell_bad(pk, path);
            err = LM_OK;
            goto out;
        }
    }
    lm_kept_format *format = NULL;
    err = find_schema(pk, path, (lm_str){head.ptr, head.len}, is_whole, &schema, &format);
    if (err) goto out;
    uint32_t stream = 0;
    bool has_clocks = info.is_regular && !pk->options->open && lm_schema_has_clocks(schema);
    err = find_stream(pk, schema, format, &stream);
    if (err) goto out;
    int64_t clock_ns = 0;
    if (has_clocks)
        err = lm_clock_begin_of(pk->mem, path, pk->options->raw_input, pk->streams[stream].schema,
                                info.mtime_ns, &clock_ns, &has_clocks);
    if (err) goto out;
    size_t i = pk->file_count;
    err = lm_vec_grow(pk->mem, &pk->files, &pk->file_cap, i + 1, sizeof *pk->files);
    if (!err) err = lm_vec_grow(pk->mem, &pk->paths, &pk->path_cap, i + 1, sizeof *pk->paths);
    if (!err)
        err = lm_vec_grow(pk->mem, &pk->file_streams, &pk->file_stream_cap, i + 1,
                          sizeof *pk->file_streams);
    if (err) goto out;
    lm_archive_file file = {.mtime_ns = info.mtime_ns,
                            .mode = info.mode & 07777,
                            .packing = lm_source_packing(source),
                            .has_clocks = has_clocks,
                            .clock_ns = clock_ns};
    err = make_name(pk, path, file.packing, &file.name);
    if (err) goto out;
    pk->files[i] = file;
    pk->paths[i] = path;
    pk->file_streams[i] = stream;
    pk->file_count++;
    pk->is_learned_whole = is_whole && !format && !pk->options->schema_yaml.len;
    pk->bytes_total += file.packing == LM_PACKING_NONE ? info.bytes : 0;
    err = note_name(pk, i);
    if (!err && is_kept) {
        pk->kept_head = head;
        pk->kept_source = source;
        pk->kept_file = (uint32_t)i;
        pk->kept_is_whole = is_whole;
        return LM_OK;
    }
out:
    lm_buf_fini(&head);
    lm_source_close(source);
    return err;
}

/* ---- committing a segment ---- */

/** The message of a shape's first line. Words that vary are told to the miner as such: it sees one
 * line of them all. */
static lm_err shape_message(const lm_seg_work *work, size_t shape, lm_buf *made, lm_str *out)
{
    const lm_parsed *parsed = work->parsed;
    const lm_shape_entry *entry = &parsed->shapes.items[shape];
    lm_slice slice = work->messages[shape];
    const uint8_t *skeleton = parsed->shapes.skeletons.ptr + entry->skeleton;
    lm_skeleton_walk walk = {skeleton, skeleton + entry->skeleton_len};
    const uint32_t *lens = parsed->sample_lens + entry->first_var;
    size_t at = entry->sample.offset, from = slice.offset, end = from + slice.len;
    lm_str text;
    uint8_t kind;
    made->len = 0;
    while (from < end && lm_skeleton_next(&walk, &text, &kind)) {
        size_t begin = at + text.len;
        at = begin + *lens++;
        if (kind != LM_KIND_WORD || begin < from || at > end) continue;
        lm_err err = lm_buf_append(made, work->text + from, begin - from);
        if (!err) err = lm_buf_u8(made, LM_MESSAGE_VARIABLE);
        if (err) return err;
        from = at;
    }
    *out = (lm_str){work->text + slice.offset, slice.len};
    if (made->len == 0) return LM_OK;
    lm_err err = lm_buf_append(made, work->text + from, end - from);
    *out = (lm_str){made->ptr, made->len};
    return err;
}

/** The miner's shape of each shape of the segment + 1 (0: the catch-all), in shape order, as
 * stored: distance to the next number not yet used. Templates are formed from them once, at the
 * end. */
static lm_err give_mined(packer *pk, lm_seg_work *work, lm_buf *out)
{
    size_t n = work->parsed->shapes.count;
    size_t mined = n < MINED_SHAPES_MAX ? n : MINED_SHAPES_MAX;
    uint64_t next = 0;
    lm_buf made;
    lm_buf_init(&made, pk->mem);
    lm_err err = LM_OK;
    for (size_t s = 0; !err && s < n; s++) {
        uint32_t shape = 0;
        if (s < mined) {
            lm_str message;
            err = shape_message(work, s, &made, &message);
            if (!err) err = lm_miner_add(pk->miner, message, &shape);
            shape++;
        }
        if (!err) err = lm_buf_varint(out, lm_zigzag((int64_t)(shape - next)));
        if (shape >= next) next = (uint64_t)shape + 1;
    }
    lm_buf_fini(&made);
    return err;
}

static lm_err write_segment(packer *pk, lm_seg_work *work, const lm_buf *templates,
                            uint64_t templates_raw)
{
    lm_buf head_bytes;
    lm_buf_init(&head_bytes, pk->mem);
    lm_head_span *spans = lm_mem_calloc(pk->mem, work->span_count, sizeof *spans);
    lm_err err = spans ? LM_OK : lm_mem_err();
    for (size_t i = 0; !err && i < work->span_count; i++) {
        spans[i] = (lm_head_span){work->spans[i], pk->files[work->spans[i].file]};
    }
    lm_segment_head head = {.kind = (uint8_t)work->kind,
                            .level = (uint8_t)work->level,
                            .stream = work->stream,
                            .rows = work->rows,
                            .raw_bytes = work->text_len,
                            .time_min = work->time_min,
                            .time_max = work->time_max,
                            .spans = spans,
                            .span_count = work->span_count,
                            .templates_raw = templates_raw,
                            .templates_bytes = templates->len,
                            .directory_bytes = work->directory.len,
                            .blocks_bytes = work->blocks.len,
                            .templates_check = (uint32_t)lm_hash64(templates->ptr, templates->len),
                            .directory_check =
                                (uint32_t)lm_hash64(work->directory.ptr, work->directory.len)};
    if (!err) err = lm_head_write(&head, &head_bytes);
    uint64_t begin = lm_outfile_offset(pk->out);
    if (!err) err = lm_outfile_write(pk->out, head_bytes.ptr, head_bytes.len);
    if (!err) err = lm_outfile_write(pk->out, templates->ptr, templates->len);
    if (!err) err = lm_outfile_write(pk->out, work->directory.ptr, work->directory.len);
    if (!err) err = lm_outfile_write(pk->out, work->blocks.ptr, work->blocks.len);
    if (!err)
        err = lm_vec_grow(pk->mem, &pk->segments, &pk->segment_cap, pk->segment_count + 1,
                          sizeof *pk->segments);
    if (!err) {
        pk->has_columns |= work->kind == LM_SEGMENT_COLUMNS;
        pk->segments[pk->segment_count++] =
            (lm_archive_segment){.offset = begin,
                                 .bytes = lm_outfile_offset(pk->out) - begin,
                                 .raw_bytes = work->text_len,
                                 .rows = work->rows,
                                 .time_min = work->time_min,
                                 .time_max = work->time_max,
                                 .stream = work->stream,
                                 .level = work->level};
    }
    lm_mem_release(pk->mem, spans, work->span_count * sizeof *spans);
    lm_buf_fini(&head_bytes);
    return err;
}

static lm_err commit(packer *pk, lm_seg_work *work)
{
    lm_buf ids, templates;
    lm_buf_init(&ids, pk->mem);
    lm_buf_init(&templates, pk->mem);
    lm_err err = work->kind == LM_SEGMENT_COLUMNS ? give_mined(pk, work, &ids) : LM_OK;
    if (!err && work->kind == LM_SEGMENT_COLUMNS && !pk->first_shapes.len) {
        const lm_buf *skeletons = &work->parsed->shapes.skeletons;
        err = lm_buf_append(&pk->first_shapes, skeletons->ptr, skeletons->len);
        if (!err) err = lm_buf_append(&pk->first_ids, ids.ptr, ids.len);
    }
    if (!err && ids.len)
        err = lm_bytes_encode(pk->mem, (lm_str){ids.ptr, ids.len}, work->level, &templates);
    if (!err) err = write_segment(pk, work, &templates, ids.len);
    lm_buf_fini(&ids);
    lm_buf_fini(&templates);
    return err;
}

static lm_err encode_slot(void *ctx, size_t index)
{
    packer *pk = ctx;
    return lm_seg_encode(&pk->slots[index]);
}

/** Encode and write all filled slots, in order. */
static lm_err flush(packer *pk)
{
    if (pk->options->cancel && *pk->options->cancel) return lm_fail(LM_E_CANCELLED, "stopped");
    for (size_t i = 0; i < pk->filled; i++)
        pk->slots[i].pool = pk->filled == 1 ? pk->pool : NULL;
    lm_err err = lm_pool_for(pk->filled > 1 ? pk->pool : NULL, pk->filled, encode_slot, pk);
    for (size_t i = 0; i < pk->filled; i++) {
        lm_seg_work *work = &pk->slots[i];
        if (!err) err = commit(pk, work);
        if (!err) {
            for (size_t k = 0; k < work->span_count; k++)
                pk->files[work->spans[k].file].lines += work->spans[k].rows;
            pk->lines += work->rows;
        }
        lm_seg_reset(work);
        work->span_count = 0;
        work->text_len = 0;
    }
    pk->filled = 0;
    if (!err && pk->options->progress) {
        lm_pack_progress now = {pk->bytes_in, lm_outfile_offset(pk->out), pk->bytes_total};
        pk->options->progress(pk->options->progress_ctx, &now);
    }
    return err;
}

/* ---- reading streams into slots ---- */

static lm_err slot_reserve(packer *pk, lm_seg_work *work, size_t cap)
{
    if (work->text_cap >= cap) return LM_OK;
    size_t old = work->text ? work->text_cap + LM_TEXT_PADDING : 0;
    uint8_t *text = lm_mem_resize(pk->mem, work->text, old, cap + LM_TEXT_PADDING);
    if (!text) return lm_mem_err();
    work->text = text;
    work->text_cap = cap;
    return LM_OK;
}

/** An empty slot that takes over rest bytes. What is known to be left to read sizes it: fresh
 * memory costs more the more there is of it. */
static lm_err slot_begin(packer *pk, lm_seg_work *work, size_t rest)
{
    enum { ENDS = 2 }; /* a last '\n', and a byte more to see the end */

    work->text_room = pk->segment_bytes > rest ? pk->segment_bytes : rest;
    uint64_t left = pk->bytes_total - pk->bytes_in;
    bool is_short = pk->bytes_total > pk->bytes_in && rest + left + ENDS < work->text_room;
    return slot_reserve(pk, work, is_short ? rest + (size_t)left + ENDS : work->text_room);
}

/** More memory for a slot that is to be filled further. */
static lm_err slot_grow(packer *pk, lm_seg_work *work)
{
    size_t cap = work->text_cap < work->text_room / 2 ? work->text_cap * 2 : work->text_room;
    return slot_reserve(pk, work, cap);
}

static lm_err add_span(packer *pk, lm_seg_work *work, const lm_span *span)
{
    lm_err err = lm_vec_grow(pk->mem, &work->spans, &work->span_cap, work->span_count + 1,
                             sizeof *work->spans);
    if (err) return err;
    work->spans[work->span_count++] = *span;
    return LM_OK;
}

/** The slot being filled is full: go to the next one, flushing when there is none. rest: bytes
 * behind the cut. */
static lm_err next_slot(packer *pk, size_t cut)
{
    lm_seg_work *work = &pk->slots[pk->filled];
    uint32_t stream = work->stream;
    size_t rest = work->text_len - cut;
    lm_seg_work *next = &pk->slots[(pk->filled + 1) % pk->slot_count];
    lm_err err = LM_OK;
    if (pk->slot_count > 1 && pk->filled + 1 < pk->slot_count) {
        err = slot_begin(pk, next, rest);
        if (err) return err;
        memcpy(next->text, work->text + cut, rest);
        work->text_len = cut;
        pk->filled++;
    } else {
        lm_buf keep;
        lm_buf_init(&keep, pk->mem);
        err = lm_buf_append(&keep, work->text + cut, rest);
        work->text_len = cut;
        pk->filled++;
        if (!err) err = flush(pk);
        next = &pk->slots[0];
        if (!err) err = slot_begin(pk, next, rest);
        if (!err && rest) memcpy(next->text, keep.ptr, rest);
        lm_buf_fini(&keep);
        if (err) return err;
    }
    next->text_len = rest;
    next->stream = stream;
    next->span_count = 0;
    return LM_OK;
}

static lm_err close_stream(packer *pk)
{
    if (pk->slots[pk->filled].text_len) pk->filled++;
    return pk->filled ? flush(pk) : LM_OK;
}

/** The span begins behind the last clock; then the walk goes over its lines. walk NULL: the file
 * has no clocks without a date. */
static lm_err walk_span(lm_clock_walk *walk, lm_span *span, lm_str text)
{
    if (!walk) return LM_OK;
    int64_t into = walk->when.clock_ns % 1000000000;
    walk->when.clock_ns -= into < 0 ? into + 1000000000 : into; /* as it will be read */
    span->flags |= LM_SPAN_CLOCK;
    span->clock_ns = walk->when.clock_ns;
    return lm_clock_walk_text(walk, text);
}

/** A full buffer: end the span at the last line end, cut the segment there. file_begin: where the
 * file's bytes begin in the slot; updated. */
static lm_err cut_segment(packer *pk, uint32_t file, lm_clock_walk *walk, size_t *file_begin,
                          uint64_t *line, uint8_t *flags)
{
    lm_seg_work *work = &pk->slots[pk->filled];
    size_t begin = *file_begin;
    uint8_t *text = work->text;
    const uint8_t *last = memrchr(text + begin, '\n', work->text_len - begin);
    size_t cut = last ? (size_t)(last - text) + 1 : begin;
    if (!last && begin == 0) { /* one line fills the buffer */
        if (work->text_room < LM_LINE_BYTES_MAX) {
            work->text_room =
                work->text_room * 2 < LM_LINE_BYTES_MAX ? work->text_room * 2 : LM_LINE_BYTES_MAX;
            return slot_reserve(pk, work, work->text_room);
        }
        cut = work->text_len; /* longer than any line may be: its parts are rows without '\n' */
    }
    if (cut > begin) {
        lm_span span = {.file = file,
                        .first_line = *line,
                        .flags = *flags,
                        .bytes = cut - begin,
                        .not_after_ns = pk->files[file].mtime_ns};
        *line += lm_scan_count_newlines(text + begin, cut - begin);
        *flags = 0;
        if (!last) {
            span.flags |= LM_SPAN_OPEN_END;
            span.bytes++;
            (*line)++;
        }
        lm_err err = walk_span(walk, &span, (lm_str){text + begin, cut - begin});
        if (!err) err = add_span(pk, work, &span);
        if (err) return err;
        if (!last) {
            err = slot_reserve(pk, work, work->text_len + 1);
            if (err) return err;
            work->text[work->text_len++] = '\n';
            cut = work->text_len;
        }
    }
    *file_begin = 0;
    return next_slot(pk, cut);
}

static lm_err end_file(packer *pk, uint32_t file, lm_clock_walk *walk, size_t file_begin,
                       uint64_t line, uint8_t flags)
{
    lm_seg_work *work = &pk->slots[pk->filled];
    if (work->text_len == file_begin) return LM_OK;
    lm_span span = {
        .file = file, .first_line = line, .flags = flags, .not_after_ns = pk->files[file].mtime_ns};
    if (work->text[work->text_len - 1] != '\n') {
        lm_err err = slot_reserve(pk, work, work->text_len + 1);
        if (err) return err;
        work->text[work->text_len++] = '\n';
        span.flags |= LM_SPAN_OPEN_END;
        pk->files[file].no_final_newline = true;
    }
    span.bytes = work->text_len - file_begin;
    lm_err err = walk_span(walk, &span, (lm_str){work->text + file_begin, span.bytes});
    return err ? err : add_span(pk, work, &span);
}

/** All bytes of one file, into slots. */
static lm_err read_bytes(packer *pk, uint32_t file, lm_clock_walk *walk, lm_source *source,
                         lm_str head)
{
    uint64_t line = 1;
    uint8_t flags = LM_SPAN_NEW_FILE;
    size_t file_begin = pk->slots[pk->filled].text_len;
    for (;;) {
        lm_seg_work *work = &pk->slots[pk->filled];
        lm_err err = work->text_len ? LM_OK : slot_begin(pk, work, 0);
        if (err) return err;
        if (work->text_cap <= work->text_len + 1 && work->text_cap < work->text_room)
            err = slot_grow(pk, work);
        if (err) return err;
        size_t cap = work->text_cap < work->text_room ? work->text_cap : work->text_room;
        size_t room = cap - work->text_len, n = 0;
        if (room <= 1) {
            err = cut_segment(pk, file, walk, &file_begin, &line, &flags);
            if (err) return err;
            continue;
        }
        room--; /* for the '\n' that the last line may lack */
        if (head.len) {
            n = head.len < room ? head.len : room;
            memcpy(work->text + work->text_len, head.ptr, n);
            head = (lm_str){head.ptr + n, head.len - n};
        } else {
            err = lm_source_read(source, work->text + work->text_len, room, &n);
            if (err == LM_E_NOMEM || err == LM_E_LIMIT) return err;
            if (err) tell_bad(pk, pk->paths[file]);
            if (err || n == 0) break;
        }
        work->text_len += n;
        pk->bytes_in += n;
        pk->files[file].bytes += n;
    }
    return end_file(pk, file, walk, file_begin, line, flags);
}

static lm_err read_file(packer *pk, uint32_t file, lm_source *source, lm_str head)
{
    if (!pk->files[file].has_clocks) return read_bytes(pk, file, NULL, source, head);
    lm_clock_walk walk;
    lm_clock_walk_init(&walk, pk->mem, pk->streams[pk->file_streams[file]].schema,
                       pk->files[file].clock_ns);
    lm_err err = read_bytes(pk, file, &walk, source, head);
    lm_clock_walk_fini(&walk);
    return err;
}

static lm_err pack_file(packer *pk, uint32_t file)
{
    const char *path = pk->paths[file];
    if (pk->kept_source && file == pk->kept_file) {
        lm_err err =
            read_file(pk, file, pk->kept_source, (lm_str){pk->kept_head.ptr, pk->kept_head.len});
        /* now, so that encoding the last segment has the room: fresh memory is dear */
        lm_source_close(pk->kept_source);
        pk->kept_source = NULL;
        lm_buf_fini(&pk->kept_head);
        return err;
    }
    lm_source *source = NULL;
    lm_err err = open_input(pk, path, &source);
    if (err == LM_E_NOMEM || err == LM_E_LIMIT) return err;
    if (err) {
        tell_bad(pk, path);
        return LM_OK;
    }
    err = read_file(pk, file, source, (lm_str){0});
    lm_source_close(source);
    return err;
}

static lm_err stream_joiners(packer *pk, uint32_t stream, uint32_t first_file)
{
    lm_buf head;
    lm_buf_init(&head, pk->mem);
    lm_source *source = NULL;
    bool is_whole = false;
    lm_str text = {0};
    lm_err err = LM_OK;
    if (pk->kept_source && first_file == pk->kept_file) {
        text = (lm_str){pk->kept_head.ptr, pk->kept_head.len};
        is_whole = pk->kept_is_whole;
    } else if (open_input(pk, pk->paths[first_file], &source) == LM_OK) {
        err = lm_buf_reserve(&head, HEAD_BYTES);
        if (!err)
            (void)read_head(source, head.ptr, HEAD_BYTES, &head.len,
                            &is_whole); /* trouble is told when it is packed */
        text = (lm_str){head.ptr, head.len};
    }
    for (size_t i = 0; !err && i < pk->slot_count; i++) {
        lm_seg_work *work = &pk->slots[i];
        lm_joiner_free(work->joiner);
        work->joiner = NULL;
        lm_kept_format *format = pk->streams[stream].format;
        work->schema = pk->streams[stream].schema;
        work->ways = format ? &format->ways[i] : NULL;
        work->stream = stream;
        err = lm_joiner_new(pk->mem, &work->joiner);
        if (!err) err = lm_joiner_configure(work->joiner, pk->options->start_pattern);
        if (!err)
            err = learn_lines(text.ptr, text.len, is_whole, pk->mem, NULL, work->joiner,
                              work->schema);
    }
    lm_source_close(source);
    lm_buf_fini(&head);
    return err;
}

static lm_err pack_stream_files(packer *pk, uint32_t stream)
{
    lm_err err = LM_OK;
    bool is_first = true;
    for (uint32_t i = 0; !err && i < pk->file_count; i++) {
        if (pk->file_streams[i] != stream) continue;
        if (is_first) err = stream_joiners(pk, stream, i);
        is_first = false;
        if (!err) err = pack_file(pk, i);
    }
    return err ? err : close_stream(pk);
}

/* ---- the end ---- */

/** Texts of the templates, as stored. */
static lm_err store_texts(packer *pk, lm_archive_meta *meta)
{
    lm_buf plain, stored;
    lm_buf_init(&plain, pk->mem);
    lm_buf_init(&stored, pk->mem);
    lm_texts_base base = {.mem = pk->mem,
                          .skeletons = {pk->first_shapes.ptr, pk->first_shapes.len}};
    uint32_t *of_shape = lm_mem_calloc(pk->mem, pk->first_ids.len, sizeof *of_shape);
    lm_err err = of_shape ? lm_meta_texts_write(meta, &plain) : lm_mem_err();
    lm_reader r = pk->first_ids.len ? lm_reader_of(pk->first_ids.ptr, pk->first_ids.len)
                                    : lm_reader_of("", 0); /* no segment has columns */
    for (uint64_t next = 0; !err && lm_reader_left(&r);) {
        uint64_t id = next + (uint64_t)lm_unzigzag(lm_reader_varint(&r));
        if (id >= next) next = id + 1;
        of_shape[base.shape_count++] = meta->templates[meta->mined[id]].forward;
    }
    base.template_of_shape = of_shape;
    lm_level level = pk->options->level;
    if (level == LM_LEVEL_FAST && plain.len <= TEXTS_FAST_FROM) level = LM_LEVEL_DEFAULT;
    if (!err && plain.len)
        err = lm_texts_put(&base, meta, (lm_str){plain.ptr, plain.len}, level, &stored);
    void *copy = err ? NULL : lm_arena_copy(&pk->arena, stored.ptr, stored.len);
    if (!err && !copy) err = lm_mem_err();
    if (!err) {
        meta->texts = (lm_str){copy, stored.len};
        meta->texts_raw = plain.len;
    }
    lm_mem_release(pk->mem, of_shape, of_shape ? pk->first_ids.len * sizeof *of_shape : 0);
    lm_buf_fini(&plain);
    lm_buf_fini(&stored);
    return err;
}

/** Template 0 is the catch-all; template i + 1 is the miner's i. */
static lm_err fill_templates(packer *pk, lm_archive_meta *meta)
{
    size_t shapes = lm_miner_shape_count(pk->miner) + 1;
    meta->mined = lm_arena_alloc(&pk->arena, shapes * sizeof *meta->mined, _Alignof(uint32_t));
    meta->templates = lm_arena_alloc(&pk->arena, meta->template_count * sizeof *meta->templates,
                                     _Alignof(lm_archive_template));
    if (!meta->mined || !meta->templates) return lm_mem_err();
    for (size_t i = 0; i < meta->template_count; i++) {
        lm_archive_template *t = &meta->templates[i];
        *t = (lm_archive_template){.text = LM_STR("<*>"),
                                   .forward = (uint32_t)i,
                                   .first_ns = INT64_MAX,
                                   .last_ns = INT64_MIN};
        if (i == 0) continue;
        t->text = lm_miner_text(pk->miner, (uint32_t)i - 1);
        t->name = lm_miner_name(pk->miner, (uint32_t)i - 1);
        t->forward = lm_miner_forward(pk->miner, (uint32_t)i - 1) + 1;
    }
    meta->mined_count = shapes;
    for (size_t i = 0; i < shapes; i++) {
        meta->mined[i] = i ? lm_miner_template_of(pk->miner, (uint32_t)i - 1) + 1 : 0;
    }
    return store_texts(pk, meta);
}

/** A reader learns the schema from the archive's text as it was learned here, and it is not
 * stored: that of a small log may be as large as its lines. Where it is small beside them it is,
 * for learning takes longer than reading it. */
static bool is_schema_in_text(const packer *pk, size_t schema_bytes)
{
    enum { TEXT_SMALL = 1 << 16, SHARE = 8 };

    if (pk->stream_count != 1 || pk->file_count != 1 || pk->segment_count != 1) return false;
    if (pk->has_columns || !pk->is_learned_whole) return false;
    const lm_archive_segment *segment = &pk->segments[0];
    return segment->raw_bytes <= LM_LEARNED_BYTES_MAX &&
           (segment->raw_bytes <= TEXT_SMALL || schema_bytes * SHARE > segment->bytes);
}

static lm_err write_end(packer *pk)
{
    lm_err err = lm_miner_settle(pk->miner);
    if (err) return err;
    lm_archive_meta meta = {.files = pk->files,
                            .file_count = pk->file_count,
                            .segments = pk->segments,
                            .segment_count = pk->segment_count,
                            .stream_count = pk->stream_count,
                            .template_count = lm_miner_template_count(pk->miner) + 1};
    lm_buf plain, stored;
    lm_buf_init(&plain, pk->mem);
    lm_buf_init(&stored, pk->mem);
    meta.stream_schemas =
        lm_arena_alloc(&pk->arena, pk->stream_count * sizeof(lm_str), _Alignof(lm_str));
    err = meta.stream_schemas ? LM_OK : lm_mem_err();
    for (size_t i = 0; !err && i < pk->stream_count; i++) {
        lm_buf saved;
        lm_buf_init(&saved, pk->mem);
        err = lm_schema_save(pk->streams[i].schema, &saved);
        if (!err && is_schema_in_text(pk, saved.len)) saved.len = 0;
        void *copy = err ? NULL : lm_arena_copy(&pk->arena, saved.ptr, saved.len);
        if (!err && !copy) err = lm_mem_err();
        if (!err) meta.stream_schemas[i] = (lm_str){copy, saved.len};
        lm_buf_fini(&saved);
    }
    if (!err) err = fill_templates(pk, &meta);
    if (!err) err = lm_meta_write(&meta, &plain);
    if (!err) err = lm_buf_varint(&stored, plain.len);
    /* as the first segment: a small one takes more trouble at level fast, where bytes count */
    lm_level level = pk->segment_count ? pk->segments[0].level : pk->options->level;
    if (!err) err = lm_text_encode(pk->mem, (lm_str){plain.ptr, plain.len}, level, &stored);
    uint64_t offset = lm_outfile_offset(pk->out);
    size_t meta_len = stored.len;
    uint32_t check = (uint32_t)lm_hash64_seed(stored.ptr, stored.len, offset);
    if (!err) err = lm_buf_le32(&stored, (uint32_t)meta_len);
    if (!err) err = lm_buf_le32(&stored, check);
    if (!err) err = lm_buf_append(&stored, LM_FOOTER_MAGIC, sizeof LM_FOOTER_MAGIC - 1);
    if (!err) err = lm_outfile_write(pk->out, stored.ptr, stored.len);
    lm_buf_fini(&plain);
    lm_buf_fini(&stored);
    return err;
}

static void choose_slots(packer *pk)
{
    lm_level level = pk->options->level;
    pk->segment_bytes = pk->options->segment_bytes;
    if (!pk->segment_bytes)
        pk->segment_bytes = level == LM_LEVEL_FAST ? SEGMENT_FAST : SEGMENT_DEFAULT;
    if (pk->segment_bytes < SEGMENT_BYTES_MIN) pk->segment_bytes = SEGMENT_BYTES_MIN;
    size_t limit = lm_mem_limit(pk->mem) ? lm_mem_limit(pk->mem) : LM_MEMORY_DEFAULT;
    size_t threads = pk->pool ? lm_pool_threads(pk->pool) : 1;
    size_t fit = limit / (pk->segment_bytes * SEGMENT_COST);
    pk->slot_count = fit < 1 ? 1 : fit;
    if (pk->slot_count > threads) pk->slot_count = threads;
    if (pk->slot_count > LM_SLOTS_MAX) pk->slot_count = LM_SLOTS_MAX;
}

static lm_err set_template_rules(packer *pk)
{
    lm_miner_rule *rules = NULL;
    size_t count = 0;
    if (!pk->options->template_yaml.len) return LM_OK;
    lm_err err =
        lm_miner_rules_parse(pk->mem, pk->options->template_yaml, &pk->arena, &rules, &count);
    return err ? err : lm_miner_rules_set(pk->miner, rules, count);
}

/** A slot begins with the text room of an earlier packing, and leaves its own for the next. */
static void take_room(packer *pk, size_t slot)
{
    if (!pk->options->kept) return;
    lm_kept_room *room = &pk->options->kept->rooms[slot];
    pk->slots[slot].text = room->text;
    pk->slots[slot].text_cap = room->cap;
    *room = (lm_kept_room){0};
}

static void leave_room(packer *pk, size_t slot)
{
    lm_seg_work *work = &pk->slots[slot];
    if (pk->options->kept && work->text_cap <= pk->segment_bytes * 2)
        pk->options->kept->rooms[slot] = (lm_kept_room){work->text, work->text_cap};
    else
        lm_mem_release(pk->mem, work->text, work->text ? work->text_cap + LM_TEXT_PADDING : 0);
}

static void packer_fini(packer *pk)
{
    lm_mem *mem = pk->mem;
    for (size_t i = 0; i < LM_SLOTS_MAX; i++) {
        lm_seg_work *work = &pk->slots[i];
        lm_seg_reset(work);
        leave_room(pk, i);
        lm_mem_release(mem, work->spans, work->span_cap * sizeof *work->spans);
        lm_joiner_free(work->joiner);
    }
    for (size_t i = 0; i < pk->stream_count; i++) {
        if (pk->streams[i].format)
            pk->streams[i].format->users--;
        else
            lm_schema_free(pk->streams[i].schema);
    }
    lm_mem_release(mem, pk->streams, pk->stream_cap * sizeof *pk->streams);
    lm_mem_release(mem, pk->files, pk->file_cap * sizeof *pk->files);
    lm_mem_release(mem, pk->paths, pk->path_cap * sizeof *pk->paths);
    lm_mem_release(mem, pk->file_streams, pk->file_stream_cap * sizeof *pk->file_streams);
    lm_mem_release(mem, pk->name_slots, pk->name_slot_cap * sizeof *pk->name_slots);
    lm_mem_release(mem, pk->segments, pk->segment_cap * sizeof *pk->segments);
    lm_buf_fini(&pk->first_shapes);
    lm_buf_fini(&pk->first_ids);
    lm_source_close(pk->kept_source);
    lm_buf_fini(&pk->kept_head);
    lm_miner_free(pk->miner);
    lm_outfile_free(pk->out);
    lm_arena_fini(&pk->arena);
    lm_mem_release(mem, pk, sizeof *pk);
}

lm_err lm_archive_pack(lm_mem *mem, lm_pool *pool, const char *const *paths, size_t path_count,
                       const lm_pack_options *options, const char *out_path,
                       void (*bad)(void *ctx, const char *path, const char *text), void *bad_ctx,
                       lm_pack_report *report)
{
    packer *pk = lm_mem_calloc(mem, 1, sizeof *pk);
    if (!pk) return lm_mem_err();
    lm_pack_options chosen = *options;
    if (!chosen.level) chosen.level = LM_LEVEL_DEFAULT;
    pk->mem = mem;
    pk->pool = pool;
    pk->options = &chosen;
    pk->bad = bad;
    pk->bad_ctx = bad_ctx;
    lm_arena_init(&pk->arena, mem);
    lm_buf_init(&pk->kept_head, mem);
    lm_buf_init(&pk->first_shapes, mem);
    lm_buf_init(&pk->first_ids, mem);
    for (size_t i = 0; i < LM_SLOTS_MAX; i++) {
        pk->slots[i].mem = mem;
        pk->slots[i].options = &chosen;
        take_room(pk, i);
        lm_buf_init(&pk->slots[i].blocks, mem);
        lm_buf_init(&pk->slots[i].directory, mem);
    }
    choose_slots(pk);
    lm_err err = lm_miner_new(mem, NULL, &pk->miner);
    if (!err) err = set_template_rules(pk);
    if (!err) err = lm_outfile_new(mem, out_path, &pk->out);
    if (!err) err = lm_outfile_write(pk->out, LM_ARCHIVE_MAGIC, sizeof LM_ARCHIVE_MAGIC - 1);
    for (size_t i = 0; !err && i < path_count; i++)
        err = add_input(pk, paths[i], path_count == 1);
    if (!err && pk->file_count > LM_FILE_COUNT_MAX)
        err = lm_fail(LM_E_LIMIT, "more than %d files", LM_FILE_COUNT_MAX);
    for (uint32_t s = 0; !err && s < pk->stream_count; s++)
        err = pack_stream_files(pk, s);
    if (!err && pk->bad_count && pk->bytes_in == 0)
        err = lm_fail(LM_E_IO, "nothing could be read of %zu file%s", path_count,
                      path_count == 1 ? "" : "s");
    if (!err) err = write_end(pk);
    if (!err) err = lm_outfile_commit(pk->out);
    if (!err && report) {
        *report = (lm_pack_report){.bytes_in = pk->bytes_in,
                                   .bytes_out = lm_outfile_offset(pk->out),
                                   .lines = pk->lines,
                                   .files = pk->file_count,
                                   .segments = pk->segment_count,
                                   .templates = lm_miner_template_count(pk->miner)};
    }
    packer_fini(pk);
    return err;
}

/**
 * An opened segment: shapes, stamps and, on demand, values.
 *
 * Opening reads the head, the directory and what is known of the columns, then skeletons and
 * shapes. A query may stop in between, if that is enough to rule the segment out. Shape ids, value
 * columns, the pool and the filters are decoded at first use and kept in the segment's arena.
 */
#include "archive/archive_view.h"

static lm_err corrupt(const lm_segment *segment, const char *what)
{
    return lm_fail_at(LM_E_CORRUPT, segment->offset, "'%s': segment %zu at offset %llu: %s",
                      segment->archive->path, segment->index, (unsigned long long)segment->offset,
                      what);
}

/* ---- small columns that describe the rest ---- */

static lm_err decode_column(lm_segment *segment, size_t column, lm_column *out)
{
    lm_err err = lm_columns_decode(segment->columns, column, &segment->arena, out);
    if (err != LM_E_CORRUPT) return err;
    lm_err_info why;
    lm_err_save(&why);
    return lm_fail_at(err, why.offset, "'%s': segment %zu: the block at offset %llu is damaged: %s",
                      segment->archive->path, segment->index, (unsigned long long)why.offset,
                      why.text);
}

static lm_err decode_bytes(lm_segment *segment, size_t column, lm_str *out)
{
    lm_column decoded;
    const lm_column *info = lm_columns_info(segment->columns, column);
    if (info->type != LM_COLUMN_BYTES)
        return corrupt(segment, "a column is not of the type it should be");
    lm_err err = decode_column(segment, column, &decoded);
    if (err) return err;
    *out = (lm_str){decoded.bytes, decoded.count};
    return LM_OK;
}

/** Columns a role format uses; 0 when its types do not fit. */
static uint32_t role_columns(const lm_role_format *format)
{
    if (format->class_count == 0) return 0;
    if (format->class_count == 1) return format->classes[0] == LM_VC_STR ? 2 : 1;
    uint32_t count = 1;
    for (uint32_t c = 0; c < format->class_count; c++) {
        uint32_t key = lm_vclass_key(format->classes[c]);
        bool is_done = false;
        for (uint32_t b = 0; b < c; b++)
            is_done = is_done || lm_vclass_key(format->classes[b]) == key;
        if (!is_done) count += key == LM_KEY_STR ? 2 : 1;
    }
    return count;
}

/** Reads the format of the next role. LM_E_CORRUPT without words. */
static lm_err read_format(lm_segment *segment, lm_reader *r, lm_role_format *format)
{
    format->class_count = (uint32_t)lm_reader_varint_max(r, 64);
    if (format->class_count == 0) return LM_OK;
    format->classes = lm_arena_alloc(&segment->arena, format->class_count * sizeof *format->classes,
                                     _Alignof(uint32_t));
    if (!format->classes) return lm_mem_err();
    bool has_decimals = false;
    for (uint32_t c = 0; c < format->class_count; c++) {
        uint64_t vclass = lm_reader_varint_max(r, LM_VC_LIMIT);
        if (!lm_vclass_is_valid(vclass) || (format->class_count > 1 && vclass == LM_VC_STR_UNIQUE))
            return corrupt(segment, "an unknown class of values");
        format->classes[c] = (uint32_t)vclass;
        has_decimals = has_decimals || lm_vclass_key((uint32_t)vclass) == LM_KEY_DEC;
    }
    if (has_decimals && format->class_count > 1) format->scale = lm_reader_u8(r);
    return LM_OK;
}

/** How many roles a list of formats tells of; SIZE_MAX: it is damaged. */
static size_t count_formats(lm_str bytes)
{
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    size_t count = 0;
    for (; lm_reader_left(&r); count++) {
        uint64_t classes = lm_reader_varint_max(&r, 64);
        bool has_decimals = false;
        for (uint64_t c = 0; c < classes; c++)
            has_decimals |=
                lm_vclass_key((uint32_t)lm_reader_varint_max(&r, LM_VC_LIMIT)) == LM_KEY_DEC;
        if (has_decimals && classes > 1) (void)lm_reader_u8(&r);
        if (r.failed) return SIZE_MAX;
    }
    return count;
}

static lm_err read_formats(lm_segment *segment)
{
    lm_str bytes = {0};
    lm_err err = decode_bytes(segment, LM_SEG_ROLES, &bytes);
    if (err) return err;
    size_t count = count_formats(bytes);
    if (count == SIZE_MAX) return corrupt(segment, "its list of columns is damaged");
    segment->roles =
        lm_arena_alloc(&segment->arena, count * sizeof *segment->roles, _Alignof(lm_role_view));
    if (!segment->roles) return lm_mem_err();
    memset(segment->roles, 0, count * sizeof *segment->roles);
    segment->role_count = count;
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    size_t next = LM_SEG_FIXED_COUNT, column_count = lm_columns_count(segment->columns);
    for (size_t i = 0; i < count; i++) {
        lm_role_format *format = &segment->roles[i].format;
        err = read_format(segment, &r, format);
        if (err) return err;
        if (format->class_count == 0) continue;
        format->first_column = (uint32_t)next;
        next += role_columns(format);
        if (r.failed || format->scale > LM_SCALE_MAX || next > column_count)
            return corrupt(segment, "its list of columns is damaged");
    }
    return r.failed || next != column_count ? corrupt(segment, "its list of columns is damaged")
                                            : LM_OK;
}

static lm_err read_stamps(lm_segment *segment)
{
    lm_str bytes = {0};
    lm_err err = decode_bytes(segment, LM_SEG_STAMPS, &bytes);
    if (err) return err;
    lm_reader r = lm_reader_of(bytes.ptr, bytes.len);
    uint64_t filter_at = 0;
    for (size_t i = 0; i < segment->role_count; i++) {
        lm_role_view *role = &segment->roles[i];
        lm_value_stamp *stamp = &role->stored.stamp;
        if (role->format.class_count == 0) {
            *stamp = (lm_value_stamp){.len_min = 1, .len_max = UINT32_MAX, .classes = 0xFF};
            continue;
        }
        stamp->classes = lm_reader_u8(&r);
        uint8_t flags = lm_reader_u8(&r);
        stamp->is_numeric = flags & 1;
        stamp->has_dictionary = flags >> 1 & 1;
        role->stored.filter_log2 = flags >> 2;
        role->stored.filter_offset =
            (uint32_t)filter_at; /* of a column: below 2^32, checked below */
        if (role->stored.filter_log2 > 24 ||
            (role->stored.filter_log2 && role->stored.filter_log2 < 3))
            return corrupt(segment, "a column's stamp is damaged");
        if (role->stored.filter_log2) filter_at += 1u << (role->stored.filter_log2 - 3);
        stamp->len_min = (uint32_t)lm_reader_varint_max(&r, UINT32_MAX);
        stamp->len_max =
            stamp->len_min + (uint32_t)lm_reader_varint_max(&r, UINT32_MAX - stamp->len_min);
        /* with several classes early writers forgot what else there was when they set one of these
         */
        bool is_bound = role->format.class_count == 1 || (stamp->len_max != LM_DECIMAL_TEXT_MAX &&
                                                          stamp->len_max != LM_TIME_TEXT_MAX);
        if (!is_bound) stamp->len_max = UINT32_MAX;
        if (stamp->is_numeric) {
            stamp->min = lm_unzigzag(lm_reader_varint(&r));
            stamp->max = (int64_t)((uint64_t)stamp->min + lm_reader_varint(&r));
        }
        const lm_column *info = lm_columns_info(segment->columns, role->format.first_column);
        stamp->count = info->type == LM_COLUMN_BYTES ? 0
                       : info->type == LM_COLUMN_WIDE || info->type == LM_COLUMN_INT ||
                               info->type == LM_COLUMN_ID
                           ? info->count
                           : 0;
        if (r.failed) return corrupt(segment, "a column's stamp is damaged");
    }
    if (lm_columns_info(segment->columns, LM_SEG_FILTERS)->count != filter_at)
        return corrupt(segment, "its filters are damaged");
    return LM_OK;
}

static lm_err read_marks(lm_segment *segment)
{
    lm_err err = decode_bytes(segment, LM_SEG_MARKS, &segment->marks);
    if (err) return err;
    size_t n = segment->shapes.count;
    segment->shape_continues = lm_arena_alloc(&segment->arena, n, 1);
    if (!segment->shape_continues) return lm_mem_err();
    lm_reader r = lm_reader_of(segment->marks.ptr, segment->marks.len);
    for (size_t s = 0; s < n; s++) {
        lm_shape *view = &segment->views[s];
        uint32_t var_count = segment->shapes.items[s].var_count;
        uint32_t time_var = (uint32_t)lm_reader_varint_max(&r, var_count);
        uint32_t level = (uint32_t)lm_reader_varint_max(&r, ((uint64_t)var_count + 8) * 2 + 1);
        segment->shape_continues[s] = level & 1;
        level >>= 1;
        view->time_piece = view->level_piece = -1;
        view->severity = level < 8 ? (lm_severity)level : LM_SEV_UNKNOWN;
        uint32_t var = 0;
        for (uint32_t p = 0; p < view->piece_count; p++) {
            if (view->pieces[p].column < 0) continue;
            if (time_var && var == time_var - 1) view->time_piece = (int32_t)p;
            if (level >= 8 && var == level - 8) view->level_piece = (int32_t)p;
            var++;
        }
    }
    segment->exceptions_at = (size_t)(r.ptr - segment->marks.ptr);
    return r.failed ? corrupt(segment, "its marks are damaged") : LM_OK;
}

static lm_err read_template_ids(lm_segment *segment)
{
    const lm_segment_head *head = &segment->head;
    const lm_archive_meta *meta = &segment->archive->meta;
    for (size_t s = 0; s < segment->shapes.count; s++)
        segment->views[s].template_id = 0;
    if (!head->templates_bytes || !meta->mined_count) return LM_OK; /* salvaged: no templates */
    if ((uint32_t)lm_hash64(segment->templates_bytes.ptr, segment->templates_bytes.len) !=
        head->templates_check)
        return LM_OK; /* verify tells */
    uint8_t *raw = lm_arena_alloc(&segment->arena, (size_t)head->templates_raw, 1);
    if (!raw) return lm_mem_err();
    lm_err err =
        lm_bytes_decode(segment->mem, segment->templates_bytes, raw, (size_t)head->templates_raw);
    if (err) return err;
    lm_reader r = lm_reader_of(raw, (size_t)head->templates_raw);
    uint64_t next = 0;
    for (size_t s = 0; s < segment->shapes.count; s++) {
        uint64_t id = next + (uint64_t)lm_unzigzag(lm_reader_varint(&r));
        if (r.failed || id >= meta->mined_count)
            return corrupt(segment, "its template ids are damaged");
        if (id >= next) next = id + 1;
        segment->views[s].template_id = meta->templates[meta->mined[id]].forward;
    }
    return LM_OK;
}

/* ---- shapes ---- */

/** Pieces of all shapes, out of the skeletons. */
static lm_err make_pieces(lm_segment *segment)
{
    size_t n = segment->shapes.count;
    size_t piece_max = segment->shapes.var_count * 2 + n;
    lm_piece *pieces =
        lm_arena_alloc(&segment->arena, piece_max * sizeof *pieces, _Alignof(lm_piece));
    segment->views =
        lm_arena_alloc(&segment->arena, n * sizeof *segment->views, _Alignof(lm_shape));
    if (!pieces || !segment->views) return lm_mem_err();
    for (size_t s = 0; s < n; s++) {
        const lm_shape_entry *entry = &segment->shapes.items[s];
        const uint32_t *roles = segment->shapes.var_roles + entry->first_var;
        const uint8_t *begin = segment->shapes.skeletons.ptr + entry->skeleton;
        lm_skeleton_walk walk = {begin, begin + entry->skeleton_len};
        lm_piece *first = pieces;
        lm_str text;
        uint8_t kind;
        while (lm_skeleton_next(&walk, &text, &kind)) {
            if (text.len) *pieces++ = (lm_piece){text, -1};
            *pieces++ = (lm_piece){{0}, (int32_t)*roles++};
        }
        if (text.len) *pieces++ = (lm_piece){text, -1};
        segment->views[s] = (lm_shape){.pieces = first, .piece_count = (uint32_t)(pieces - first)};
    }
    return LM_OK;
}

lm_err lm_segment_skeletons(lm_segment *segment, lm_str *out)
{
    lm_err err = segment->skeletons.ptr
                     ? LM_OK
                     : decode_bytes(segment, LM_SEG_SHAPE_TEXT, &segment->skeletons);
    if (!err) *out = segment->skeletons;
    return err;
}

static lm_err read_shapes(lm_segment *segment)
{
    lm_str text = {0};
    lm_err err = lm_segment_skeletons(segment, &text);
    if (err) return err;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        if (!end) return corrupt(segment, "its shapes are damaged");
        size_t len = (size_t)(end - (text.ptr + at));
        err = lm_shapes_append(&segment->shapes, text.ptr + at, len, 0);
        if (err) return err;
        at += len + 1;
    }
    const lm_column *ids = lm_columns_info(segment->columns, LM_SEG_SHAPE_IDS);
    if (ids->type != LM_COLUMN_ID || ids->count != segment->head.rows ||
        ids->alphabet > segment->shapes.count) {
        return corrupt(segment, "its shapes and rows do not fit");
    }
    if (segment->shapes.role_count != segment->role_count)
        return corrupt(segment, "its list of columns is damaged");
    return make_pieces(segment);
}

/** The grams in front of a segment's directory; the rest is the codec's. False: damaged. */
static bool grams_take(lm_str directory, lm_str *out_grams, lm_str *out_rest)
{
    lm_reader r = lm_reader_of(directory.ptr, directory.len);
    size_t len = (size_t)lm_reader_varint_max(&r, directory.len);
    *out_grams = lm_reader_bytes(&r, len);
    *out_rest = (lm_str){r.ptr, lm_reader_left(&r)};
    return !r.failed;
}

static bool directory_is_sound(lm_str directory, const lm_segment_head *head)
{
    return (uint32_t)lm_hash64(directory.ptr, directory.len) == head->directory_check;
}

static lm_err open_columns(lm_segment *segment)
{
    lm_str grams, directory;
    if (!directory_is_sound(segment->directory_bytes, &segment->head) ||
        !grams_take(segment->directory_bytes, &grams, &directory)) {
        return corrupt(segment, "its directory is damaged");
    }
    uint64_t base = (uint64_t)(segment->blocks_bytes.ptr - segment->archive->map.ptr);
    lm_err err =
        lm_columns_open(segment->mem, directory, segment->blocks_bytes, base, &segment->columns);
    if (err) return lm_fail_in(err, "'%s': segment %zu: ", segment->archive->path, segment->index);
    if (lm_columns_count(segment->columns) < LM_SEG_FIXED_COUNT)
        return corrupt(segment, "columns are missing");
    err = read_formats(segment);
    return err ? err : read_stamps(segment);
}

lm_err lm_segment_open_rest(lm_segment *segment)
{
    if (segment->views || segment->head.kind != LM_SEGMENT_COLUMNS) return LM_OK;
    lm_err err = read_shapes(segment);
    if (!err) err = read_marks(segment);
    if (!err) err = read_template_ids(segment);
    return err;
}

/** What the list of segments says of it, and the list of files; readers go by any of them. */
static bool head_fits(const lm_archive *archive, const lm_archive_segment *info,
                      const lm_segment_head *head)
{
    for (size_t i = 0; i < head->span_count; i++) {
        if (head->spans[i].span.file >= archive->meta.file_count) return false;
    }
    return head->rows == info->rows;
}

/** Text behind a segment from which on its tables are counted in MB. */
#define SEGMENT_WIDE_FROM ((uint64_t)4 << 20)

lm_err lm_segment_open_columns(const lm_archive *archive, size_t index, lm_segment **out)
{
    LM_ASSERT(index < archive->meta.segment_count);
    const lm_archive_segment *info = &archive->meta.segments[index];
    lm_segment *segment = lm_mem_calloc(archive->mem, 1, sizeof *segment);
    if (!segment) return lm_mem_err();
    segment->magic = LM_SEGMENT_OBJECT;
    segment->mem = archive->mem;
    segment->archive = archive;
    segment->index = index;
    segment->offset = info->offset;
    if (info->raw_bytes < SEGMENT_WIDE_FROM)
        lm_arena_init(&segment->arena, archive->mem);
    else
        lm_arena_init_wide(&segment->arena, archive->mem);
    lm_shapes_init(&segment->shapes, archive->mem);
    lm_str bytes = {archive->map.ptr + info->offset, (size_t)info->bytes};
    lm_err err = lm_head_read(bytes, info->offset, &segment->arena, &segment->head);
    if (err) {
        err = lm_fail_in(err, "'%s': ", archive->path);
        goto out;
    }
    const lm_segment_head *head = &segment->head;
    if (!head_fits(archive, info, head)) {
        err = corrupt(segment, "it is not as the list of files and segments says");
        goto out;
    }
    const uint8_t *at = bytes.ptr + head->head_bytes;
    segment->templates_bytes = (lm_str){at, (size_t)head->templates_bytes};
    at += head->templates_bytes;
    segment->directory_bytes = (lm_str){at, (size_t)head->directory_bytes};
    at += head->directory_bytes;
    segment->blocks_bytes = (lm_str){at, (size_t)head->blocks_bytes};
    if (head->kind == LM_SEGMENT_COLUMNS) err = open_columns(segment);
out:
    if (err) {
        lm_segment_close(segment);
        return err;
    }
    *out = segment;
    return LM_OK;
}

lm_err lm_segment_open(const lm_archive *archive, size_t index, lm_segment **out)
{
    lm_segment *segment = NULL;
    lm_err err = lm_segment_open_columns(archive, index, &segment);
    if (err) return err;
    err = lm_segment_open_rest(segment);
    if (err) {
        lm_segment_close(segment);
        return err;
    }
    *out = segment;
    return LM_OK;
}

bool lm_archive_segment_grams(const lm_archive *archive, size_t index, lm_str *out)
{
    LM_ASSERT(index < archive->meta.segment_count);
    const lm_archive_segment *info = &archive->meta.segments[index];
    lm_str bytes = {archive->map.ptr + info->offset, (size_t)info->bytes}, rest;
    lm_segment_head head;
    lm_arena arena;
    lm_arena_init(&arena, archive->mem);
    bool is_sound = lm_head_read(bytes, info->offset, &arena, &head) == LM_OK &&
                    head.kind == LM_SEGMENT_COLUMNS;
    lm_arena_fini(&arena); /* its spans; the rest of the head is numbers */
    if (!is_sound) return false;
    lm_str directory = {bytes.ptr + head.head_bytes + head.templates_bytes,
                        (size_t)head.directory_bytes};
    return directory_is_sound(directory, &head) && grams_take(directory, out, &rest);
}

bool lm_archive_grams_admit(lm_str grams, lm_str text)
{
    return lm_grams_admit(grams, text);
}

void lm_segment_close(lm_segment *segment)
{
    if (!segment) return;
    LM_ASSERT(segment->magic == LM_SEGMENT_OBJECT);
    segment->magic = 0;
    for (size_t i = 0; i < segment->role_count && segment->parts_count; i++)
        lm_columns_parts_free(segment->roles[i].parts);
    lm_columns_free(segment->columns);
    lm_shapes_fini(&segment->shapes);
    lm_arena_fini(&segment->arena);
    lm_mem_release(segment->mem, segment, sizeof *segment);
}

uint32_t lm_segment_row_count(const lm_segment *segment)
{
    return segment->head.rows;
}

bool lm_segment_is_raw(const lm_segment *segment)
{
    return segment->head.kind == LM_SEGMENT_RAW;
}

size_t lm_segment_shape_count(const lm_segment *segment)
{
    return segment->shapes.count;
}

const lm_shape *lm_segment_shapes(const lm_segment *segment)
{
    return segment->views;
}

size_t lm_segment_column_count(const lm_segment *segment)
{
    return segment->role_count;
}

lm_value_stamp lm_segment_stamp(const lm_segment *segment, size_t column)
{
    LM_ASSERT(column < segment->role_count);
    return segment->roles[column].stored.stamp;
}

/* ---- rows ---- */

/** Values of each role, from the rows of each shape. False: in all more than a text can have. */
static bool count_values(lm_segment *segment)
{
    const lm_shapes *shapes = &segment->shapes;
    uint64_t all = 0;
    uint32_t pool_line = 0;
    for (size_t s = 0; s < shapes->count; s++)
        all += (uint64_t)segment->views[s].rows * shapes->items[s].var_count;
    if (all > UINT32_MAX) return false;
    for (size_t s = 0; s < shapes->count; s++) {
        const lm_shape_entry *entry = &shapes->items[s];
        for (uint32_t v = 0; v < entry->var_count; v++)
            segment->roles[shapes->var_roles[entry->first_var + v]].count += segment->views[s].rows;
    }
    for (size_t i = 0; i < shapes->role_count; i++) {
        lm_role_view *role = &segment->roles[i];
        role->stored.stamp.count = role->count;
        if (role->format.class_count) continue;
        role->pool_first = pool_line;
        pool_line += role->count;
    }
    return true;
}

lm_err lm_segment_rows_load(lm_segment *segment, const uint32_t **out)
{
    if (!segment->shape_of_row) {
        lm_column ids;
        lm_err err = decode_column(segment, LM_SEG_SHAPE_IDS, &ids);
        if (err) return err;
        for (size_t s = 0; s < segment->shapes.count; s++)
            segment->views[s].rows = 0;
        for (uint32_t r = 0; r < ids.count; r++)
            segment->views[ids.ids[r]].rows++;
        if (!count_values(segment)) return corrupt(segment, "its rows are damaged");
        segment->shape_of_row = ids.ids;
    }
    *out = segment->shape_of_row;
    return LM_OK;
}

/* ---- values ---- */

/** Split text whose lines end with '\n'. */
static lm_err split_lines(lm_segment *segment, lm_str text, lm_str **out, uint32_t *out_count)
{
    size_t count = lm_scan_count_newlines(text.ptr, text.len);
    lm_str *lines = lm_arena_alloc(&segment->arena, count * sizeof *lines, _Alignof(lm_str));
    if (!lines) return lm_mem_err();
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        lines[i] = (lm_str){text.ptr + at, (size_t)(end - (text.ptr + at))};
        at += lines[i].len + 1;
    }
    if (at != text.len) return corrupt(segment, "a column of text is damaged");
    *out = lines;
    *out_count = (uint32_t)count;
    return LM_OK;
}

lm_err lm_segment_pool_load(lm_segment *segment)
{
    if (segment->has_pool) return LM_OK;
    lm_str text = {0};
    lm_err err = decode_bytes(segment, LM_SEG_POOL, &text);
    if (!err) err = split_lines(segment, text, &segment->pool_lines, &segment->pool_line_count);
    if (err) return err;
    segment->pool = (lm_column){.count = (uint32_t)text.len, .bytes = text.ptr};
    segment->has_pool = true;
    return LM_OK;
}

static lm_err decode_typed(lm_segment *segment, size_t column, lm_column_type type, lm_column *out)
{
    if (lm_columns_info(segment->columns, column)->type != type)
        return corrupt(segment, "a column is not of the type it should be");
    return decode_column(segment, column, out);
}

static lm_err decode_texts(lm_segment *segment, size_t column, lm_values *values)
{
    lm_column text;
    lm_err err = decode_typed(segment, column, LM_COLUMN_BYTES, &text);
    if (err) return err;
    lm_str *texts = NULL;
    err = split_lines(segment, (lm_str){text.bytes, text.count}, &texts, &values->text_count);
    values->texts = texts;
    return err;
}

static lm_err decode_uniform(lm_segment *segment, const lm_role_view *role, lm_values *values)
{
    const lm_role_format *format = &role->format;
    size_t column = format->first_column;
    values->uniform = format->classes[0];
    uint32_t key = lm_vclass_key(values->uniform);
    lm_column decoded = {0};
    lm_err err;
    if (key == LM_KEY_STR) {
        if (role->texts) {
            values->texts = role->texts;
            values->text_count = role->text_count;
            err = LM_OK;
        } else {
            err = decode_texts(segment, column, values);
        }
        values->count = values->text_count;
        if (err || values->uniform == LM_VC_STR_UNIQUE) return err;
        err = decode_typed(segment, column + 1, LM_COLUMN_ID, &decoded);
        if (err) return err;
        if (decoded.alphabet > values->text_count)
            return corrupt(segment, "a dictionary is too short");
        values->index = decoded.ids;
    } else if (key >= LM_KEY_WIDE) {
        err = decode_typed(segment, column, LM_COLUMN_WIDE, &decoded);
        if (err) return err;
        if (decoded.width != lm_vclass_width(values->uniform))
            return corrupt(segment, "a column is not of the type it should be");
        values->wide = decoded.bytes;
    } else {
        err = decode_typed(segment, column, LM_COLUMN_INT, &decoded);
        if (err) return err;
        values->numbers = decoded.ints;
    }
    values->count = decoded.count;
    return LM_OK;
}

/** Classes with one key share a column: has an earlier one the key of class c? */
static bool has_key_before(const lm_role_format *format, uint32_t c)
{
    for (uint32_t b = 0; b < c; b++) {
        if (lm_vclass_key(format->classes[b]) == lm_vclass_key(format->classes[c])) return true;
    }
    return false;
}

/** Columns of a mixed role, one a key, woven into one array of numbers by the class of each value.
 */
static lm_err decode_mixed(lm_segment *segment, const lm_role_view *role, lm_values *values)
{
    const lm_role_format *format = &role->format;
    lm_column class_ids;
    lm_err err = decode_typed(segment, format->first_column, LM_COLUMN_ID, &class_ids);
    if (err) return err;
    if (class_ids.alphabet > format->class_count)
        return corrupt(segment, "a column's classes are damaged");
    uint32_t n = class_ids.count;
    uint32_t *classes = lm_arena_alloc(&segment->arena, n * sizeof *classes, _Alignof(uint32_t));
    int64_t *numbers = lm_arena_alloc(&segment->arena, n * sizeof *numbers, _Alignof(int64_t));
    if (!classes || !numbers) return lm_mem_err();
    size_t column = format->first_column + 1;
    for (uint32_t c = 0; c < format->class_count; c++) {
        uint32_t key = lm_vclass_key(format->classes[c]);
        if (has_key_before(format, c)) continue;
        lm_column decoded;
        if (key == LM_KEY_STR && role->texts) {
            values->texts = role->texts;
            values->text_count = role->text_count;
            column++;
        } else if (key == LM_KEY_STR) {
            err = decode_texts(segment, column++, values);
        }
        if (err) return err;
        uint32_t width = lm_vclass_width(format->classes[c]);
        err = decode_typed(segment, column++,
                           key == LM_KEY_STR ? LM_COLUMN_ID
                           : width           ? LM_COLUMN_WIDE
                                             : LM_COLUMN_INT,
                           &decoded);
        if (err) return err;
        if ((width && decoded.width != width) ||
            (key == LM_KEY_STR && decoded.alphabet > values->text_count)) {
            return corrupt(segment, "a column is not of the type it should be");
        }
        uint32_t at = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t vclass = format->classes[class_ids.ids[i]];
            if (lm_vclass_key(vclass) != key) continue;
            if (at >= decoded.count) return corrupt(segment, "a column is too short");
            classes[i] = vclass;
            int64_t v = key == LM_KEY_STR ? (int64_t)decoded.ids[at]
                        : width           ? (int64_t)(uintptr_t)(decoded.bytes + (size_t)at * width)
                                          : decoded.ints[at];
            if (key == LM_KEY_DEC && format->scale) {
                int scale = (int)vclass - LM_VC_DEC;
                if (scale > format->scale || scale < 0)
                    return corrupt(segment, "a column's scale is damaged");
                v /= (int64_t)lm_power10[format->scale - scale];
            }
            numbers[i] = v;
            at++;
        }
    }
    values->count = n;
    values->classes = classes;
    values->numbers = numbers;
    return LM_OK;
}

static lm_err decode_pooled(lm_segment *segment, const lm_role_view *role, lm_values *values)
{
    const uint32_t *rows;
    lm_err err = lm_segment_rows_load(segment, &rows);
    if (!err) err = lm_segment_pool_load(segment);
    if (err) return err;
    if (role->pool_first > segment->pool_line_count ||
        role->count > segment->pool_line_count - role->pool_first) {
        return corrupt(segment, "its pool of rare values is too short");
    }
    values->uniform = LM_VC_STR_UNIQUE;
    values->texts = segment->pool_lines + role->pool_first;
    values->text_count = values->count = role->count;
    return LM_OK;
}

/* ---- values in parts ---- */

static size_t part_of(uint32_t i)
{
    return i / LM_PART_VALUES;
}

static bool part_is_ready(const lm_role_view *role, size_t part)
{
    return role->parts_ready[part / 64] >> part % 64 & 1;
}

static lm_err part_decode(lm_segment *segment, lm_role_view *role, size_t part)
{
    lm_err err = lm_columns_parts_read(role->parts, part, role->parts_dst);
    if (err == LM_E_CORRUPT) {
        lm_err_info why;
        lm_err_save(&why);
        return lm_fail_at(
            err, why.offset, "'%s': segment %zu: the block at offset %llu is damaged: %s",
            segment->archive->path, segment->index, (unsigned long long)why.offset, why.text);
    }
    if (err) return err;
    role->parts_ready[part / 64] |= (uint64_t)1 << part % 64;
    /* the renderer looks a few ids ahead: they must be some */
    size_t behind = (part + 1) * LM_PART_VALUES, count = role->values->count;
    if (role->parts_are_ids && behind < count && !part_is_ready(role, part + 1)) {
        size_t left = count - behind;
        memset((uint32_t *)role->parts_dst + behind, 0,
               (left < LM_COLUMN_SLACK ? left : LM_COLUMN_SLACK) * sizeof(uint32_t));
    }
    return LM_OK;
}

lm_err lm_role_part(lm_segment *segment, lm_role_view *role, uint32_t i)
{
    if (role->failed) return role->failed;
    if (!role->parts || i >= role->values->count || part_is_ready(role, part_of(i))) return LM_OK;
    lm_err err = part_decode(segment, role, part_of(i));
    if (err == LM_E_CORRUPT) role->failed = err;
    return err;
}

/** All that is still missing. */
static lm_err parts_finish(lm_segment *segment, lm_role_view *role)
{
    if (!role->parts) return LM_OK;
    for (uint32_t i = 0; i < role->values->count; i += LM_PART_VALUES) {
        lm_err err = lm_role_part(segment, role, i);
        if (err) return err;
        if (role->values->count - i <= LM_PART_VALUES) break;
    }
    lm_columns_parts_free(role->parts);
    role->parts = NULL;
    segment->parts_count--;
    return LM_OK;
}

/** Its dictionary, decoded once. */
static lm_err load_words(lm_segment *segment, lm_role_view *role, size_t column)
{
    if (role->texts) return LM_OK;
    lm_values values = {0};
    lm_err err = decode_texts(segment, column, &values);
    if (err) return err;
    role->texts = (lm_str *)(uintptr_t)values.texts;
    role->text_count = values.text_count;
    return LM_OK;
}

/** The one column of a role's numbers or indexes; false: it has none that comes in parts. */
static bool parts_column(const lm_segment *segment, const lm_role_format *format, size_t *out)
{
    if (format->class_count != 1 || format->classes[0] == LM_VC_STR_UNIQUE) return false;
    uint32_t key = lm_vclass_key(format->classes[0]);
    *out = format->first_column + (key == LM_KEY_STR);
    return key < LM_KEY_WIDE && lm_columns_info(segment->columns, *out)->type ==
                                    (key == LM_KEY_STR ? LM_COLUMN_ID : LM_COLUMN_INT);
}

static lm_err parts_values(lm_segment *segment, lm_role_view *role, const lm_column *info,
                           lm_column_parts *parts)
{
    bool are_ids = info->type == LM_COLUMN_ID;
    size_t words = (info->count / LM_PART_VALUES + 64) / 64, size = are_ids ? 4 : 8;
    lm_values *values = lm_arena_alloc(&segment->arena, sizeof *values, _Alignof(lm_values));
    uint64_t *ready = lm_arena_alloc(&segment->arena, words * sizeof *ready, 8);
    uint8_t *dst = lm_arena_alloc(&segment->arena, info->count * size + LM_COLUMN_SLACK, 16);
    if (!values || !ready || !dst) return lm_mem_err();
    memset(ready, 0, words * sizeof *ready);
    memset(dst + info->count * size, 0, LM_COLUMN_SLACK);
    *values = (lm_values){.uniform = role->format.classes[0], .count = info->count};
    if (are_ids) {
        lm_err err = load_words(segment, role, role->format.first_column);
        if (err) return err;
        values->texts = role->texts;
        values->text_count = role->text_count;
        if (info->alphabet > values->text_count)
            return corrupt(segment, "a dictionary is too short");
        values->index = (const uint32_t *)(const void *)dst;
    } else {
        values->numbers = (const int64_t *)(const void *)dst;
    }
    role->values = values;
    role->parts = parts;
    role->parts_ready = ready;
    role->parts_dst = dst;
    role->parts_are_ids = are_ids;
    segment->parts_count++;
    return LM_OK;
}

lm_err lm_segment_values_lazy(lm_segment *segment, size_t column, const lm_values **out)
{
    LM_ASSERT(column < segment->role_count);
    lm_role_view *role = &segment->roles[column];
    size_t at;
    if (role->values || !parts_column(segment, &role->format, &at)) {
        if (!role->parts) return lm_segment_values(segment, column, out);
        *out = role->values;
        return LM_OK;
    }
    lm_column_parts *parts = NULL;
    if (lm_columns_parts_open(segment->columns, at, &parts) != LM_OK || !parts)
        return lm_segment_values(segment, column, out); /* which says it, if it is damaged */
    lm_err err = parts_values(segment, role, lm_columns_info(segment->columns, at), parts);
    if (err)
        lm_columns_parts_free(parts);
    else
        *out = role->values;
    return err;
}

lm_err lm_segment_values(lm_segment *segment, size_t column, const lm_values **out)
{
    LM_ASSERT(column < segment->role_count);
    lm_role_view *role = &segment->roles[column];
    lm_err rest = parts_finish(segment, role);
    if (rest) return rest;
    if (!role->values) {
        lm_values *values = lm_arena_alloc(&segment->arena, sizeof *values, _Alignof(lm_values));
        if (!values) return lm_mem_err();
        *values = (lm_values){0};
        lm_err err = role->format.class_count == 0   ? decode_pooled(segment, role, values)
                     : role->format.class_count == 1 ? decode_uniform(segment, role, values)
                                                     : decode_mixed(segment, role, values);
        if (err) return err;
        role->values = values;
    }
    *out = role->values;
    return LM_OK;
}

uint32_t lm_values_count(const lm_values *values)
{
    return values->count;
}

lm_str lm_values_text(const lm_values *values, uint32_t i, uint8_t *dst)
{
    LM_DEBUG_ASSERT(i < values->count);
    uint32_t vclass = values->classes ? values->classes[i] : values->uniform;
    if (vclass == LM_VC_STR)
        return values->texts[values->index ? values->index[i] : (uint32_t)values->numbers[i]];
    if (vclass == LM_VC_STR_UNIQUE) return values->texts[i];
    int64_t number = values->numbers ? values->numbers[i] : 0;
    const uint8_t *wide = NULL;
    if (lm_vclass_width(vclass)) { /* in a mixed column the number is where the bytes are */
        wide = values->classes ? (const uint8_t *)(uintptr_t)number
                               : values->wide + (size_t)i * lm_vclass_width(vclass);
    }
    return (lm_str){dst, lm_value_print(vclass, number, wide, dst)};
}

bool lm_values_dictionary(const lm_values *values, const lm_str **out_texts,
                          uint32_t *out_text_count, const uint32_t **out_index)
{
    if (values->classes || values->uniform != LM_VC_STR) return false;
    *out_texts = values->texts;
    *out_text_count = values->text_count;
    *out_index = values->index;
    return true;
}

bool lm_values_decimals(const lm_values *values, const int64_t **out, unsigned *out_scale)
{
    if (values->classes || values->uniform <= LM_VC_DEC ||
        values->uniform > LM_VC_DEC + LM_SCALE_MAX)
        return false;
    *out = values->numbers;
    *out_scale = values->uniform - LM_VC_DEC;
    return true;
}

bool lm_values_ints(const lm_values *values, const int64_t **out)
{
    if (values->classes || values->uniform != LM_VC_INT) return false;
    *out = values->numbers;
    return true;
}

bool lm_values_numbers(const lm_values *values, const int64_t **out, const uint32_t **out_classes)
{
    if (!values->numbers) return false;
    *out = values->numbers;
    *out_classes = values->classes;
    return true;
}

bool lm_values_wide(const lm_values *values, const uint8_t **out_bytes, uint32_t *out_width,
                    bool *out_is_uuid)
{
    if (values->classes || !values->wide) return false;
    *out_is_uuid = values->uniform == LM_VC_UUID;
    *out_bytes = values->wide;
    *out_width = lm_vclass_width(values->uniform);
    return true;
}

/* ---- ruling a column out ---- */

bool lm_segment_column_may_contain(const lm_segment *const_segment, size_t column, lm_str needle)
{
    lm_segment *segment = (lm_segment *)(uintptr_t)
        const_segment; /* decodes the filters once; a segment has one thread */
    LM_ASSERT(column < segment->role_count);
    const lm_role_view *role = &segment->roles[column];
    const lm_value_stamp *stamp = &role->stored.stamp;
    if (role->format.class_count == 0) {
        if (lm_segment_pool_load(segment) != LM_OK) return true;
        return lm_str_find((lm_str){segment->pool.bytes, segment->pool.count}, needle) != SIZE_MAX;
    }
    if (needle.len > stamp->len_max || (lm_chars_of_text(needle) & ~stamp->classes)) return false;
    if (!role->stored.filter_log2 || needle.len < 3) return true;
    for (uint32_t c = 0; c < role->format.class_count; c++) { /* the filter speaks for text only */
        if (lm_vclass_key(role->format.classes[c]) != LM_KEY_STR) return true;
    }
    if (!segment->has_filters) {
        if (decode_bytes(segment, LM_SEG_FILTERS, &segment->filters) != LM_OK) return true;
        segment->has_filters = true;
    }
    const uint8_t *bits = segment->filters.ptr + role->stored.filter_offset;
    for (size_t i = 0; i + 3 <= needle.len; i++) {
        uint32_t bit = lm_gram_bit(needle.ptr + i, role->stored.filter_log2);
        if (!(bits[bit >> 3] >> (bit & 7) & 1)) return false;
    }
    return true;
}

/** The column of a role's dictionary; false: it has none. */
static bool words_column(const lm_role_format *format, size_t *out)
{
    size_t column = format->first_column + (format->class_count > 1);
    for (uint32_t c = 0; c < format->class_count; c++) {
        uint32_t key = lm_vclass_key(format->classes[c]);
        if (has_key_before(format, c)) continue;
        *out = column++;
        if (key == LM_KEY_STR) return true;
    }
    return false;
}

bool lm_segment_column_words(lm_segment *segment, size_t column, const lm_str **out_texts,
                             uint32_t *out_count)
{
    LM_ASSERT(column < segment->role_count);
    lm_role_view *role = &segment->roles[column];
    size_t at;
    if (!words_column(&role->format, &at)) return false;
    if (load_words(segment, role, at) != LM_OK) return false;
    *out_texts = role->texts;
    *out_count = role->text_count;
    return true;
}

bool lm_segment_column_texts(lm_segment *segment, size_t column, const lm_str **out_texts,
                             uint32_t *out_count)
{
    LM_ASSERT(column < segment->role_count);
    return segment->roles[column].format.class_count == 1 &&
           lm_segment_column_words(segment, column, out_texts, out_count);
}

bool lm_segment_column_is_time(const lm_segment *segment, size_t column, uint16_t *out_layout)
{
    LM_ASSERT(column < segment->role_count);
    const lm_role_format *format = &segment->roles[column].format;
    if (format->class_count != 1 || format->classes[0] < LM_VC_TIME) return false;
    *out_layout = (uint16_t)(format->classes[0] - LM_VC_TIME);
    return true;
}

bool lm_segment_column_is_pooled(const lm_segment *segment, size_t column)
{
    LM_ASSERT(column < segment->role_count);
    return segment->roles[column].format.class_count == 0;
}

lm_err lm_segment_pool(lm_segment *segment, lm_str *out)
{
    lm_err err = lm_segment_pool_load(segment);
    if (!err) *out = (lm_str){segment->pool.bytes, segment->pool.count};
    return err;
}

/* What search is told of a segment agrees with the text of its rows: pieces and values give the
 * text, stamps hold for every value, filters never deny what is there, times and records fit,
 * templates count every row, places are right. */
#include "archive/archive_put.h"
#include "archive_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

typedef struct subject {
    char folder[256];
    lm_mem *mem;
    lm_archive *archive;
    lm_segment *segment; /* at hand */
    const uint32_t *shape_of_row;
    lm_buf text;
    size_t *ends;
    uint64_t column_rows; /* in segments of columns: what these tests are about */
} subject;

static void subject_open(subject *s, const text *inputs, const int64_t *mtimes, size_t count,
                         const lm_pack_options *options)
{
    char names[8][300], out[300];
    const char *paths[8];
    *s = (subject){.mem = NULL};
    lm_test_folder_make(s->folder);
    assert_int_equal(lm_mem_new(NULL, 0, &s->mem), LM_OK);
    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%s/%zu.log", s->folder, i);
        file_write(names[i], inputs[i].ptr, inputs[i].len);
        if (mtimes) {
            struct timespec times[2] = {{.tv_sec = mtimes[i]}, {.tv_sec = mtimes[i]}};
            assert_int_equal(utimensat(AT_FDCWD, names[i], times, 0), 0);
        }
        paths[i] = names[i];
    }
    snprintf(out, sizeof out, "%s/a.lm", s->folder);
    lm_pack_report report;
    if (lm_archive_pack(s->mem, NULL, paths, count, options, out, tell_pack_trouble, NULL, &report))
        fail_msg("pack: %s", lm_err_text());
    if (lm_archive_open(s->mem, out, false, &s->archive)) fail_msg("open: %s", lm_err_text());
    lm_buf_init(&s->text, s->mem);
}

static void segment_open(subject *s, size_t index)
{
    if (lm_segment_open(s->archive, index, &s->segment)) fail_msg("segment: %s", lm_err_text());
    uint32_t rows = lm_segment_row_count(s->segment);
    s->text.len = 0;
    s->ends = calloc(rows + 1, sizeof *s->ends);
    assert_non_null(s->ends);
    assert_int_equal(lm_segment_text(s->segment, 0, rows, &s->text, s->ends), LM_OK);
    if (!lm_segment_is_raw(s->segment))
        assert_int_equal(lm_segment_rows_load(s->segment, &s->shape_of_row), LM_OK);
}

static void segment_close(subject *s)
{
    lm_segment_close(s->segment);
    free(s->ends);
}

static void subject_close(subject *s)
{
    lm_buf_fini(&s->text);
    lm_archive_close(s->archive);
    assert_int_equal(lm_mem_used(s->mem), 0);
    lm_mem_free(s->mem);
    lm_test_folder_remove(s->folder);
}

static lm_str row_text(const subject *s, uint32_t row)
{
    size_t begin = row ? s->ends[row - 1] : 0;
    return (lm_str){s->text.ptr + begin, s->ends[row] - begin - 1};
}

/* ---- the checks
 * --------------------------------------------------------------------------------------------------
 */

/* Join the pieces of every row by hand. */
static void check_pieces(subject *s)
{
    size_t columns = lm_segment_column_count(s->segment);
    uint32_t *cursors = calloc(columns + 1, sizeof *cursors);
    uint32_t *rows_of = calloc(lm_segment_shape_count(s->segment) + 1, sizeof *rows_of);
    text line = {NULL, 0, 0};
    assert_non_null(cursors);
    assert_non_null(rows_of);
    for (uint32_t r = 0; r < lm_segment_row_count(s->segment); r++) {
        assert_true(s->shape_of_row[r] < lm_segment_shape_count(s->segment));
        const lm_shape *shape = &lm_segment_shapes(s->segment)[s->shape_of_row[r]];
        rows_of[s->shape_of_row[r]]++;
        line.len = 0;
        for (uint32_t p = 0; p < shape->piece_count; p++) {
            const lm_piece *piece = &shape->pieces[p];
            uint8_t room[LM_VALUE_ROOM];
            lm_str part = piece->text;
            if (piece->column >= 0) {
                const lm_values *values;
                assert_int_equal(lm_segment_values(s->segment, (size_t)piece->column, &values),
                                 LM_OK);
                assert_true(cursors[piece->column] < lm_values_count(values));
                part = lm_values_text(values, cursors[piece->column]++, room);
            }
            assert_true(part.len > 0); /* no piece and no variable is empty */
            text_put(&line, part.ptr, part.len);
        }
        lm_str expected = row_text(s, r);
        assert_int_equal(line.len, expected.len);
        if (line.len) assert_memory_equal(line.ptr, expected.ptr, expected.len);
    }
    for (size_t c = 0; c < columns; c++) {
        const lm_values *values;
        assert_int_equal(lm_segment_values(s->segment, c, &values), LM_OK);
        assert_int_equal(lm_values_count(values), cursors[c]);
        assert_int_equal(lm_segment_stamp(s->segment, c).count, cursors[c]);
    }
    for (size_t k = 0; k < lm_segment_shape_count(s->segment); k++)
        assert_int_equal(lm_segment_shapes(s->segment)[k].rows, rows_of[k]);
    text_free(&line);
    free(cursors);
    free(rows_of);
}

static uint8_t chars_of(uint8_t c)
{
    if (c >= '0' && c <= '9') return LM_CHARS_DIGIT;
    if (c >= 'a' && c <= 'f') return LM_CHARS_HEX_LOWER;
    if (c >= 'A' && c <= 'F') return LM_CHARS_HEX_UPPER;
    if (c >= 'g' && c <= 'z') return LM_CHARS_LOWER;
    if (c >= 'G' && c <= 'Z') return LM_CHARS_UPPER;
    return c == '.' ? LM_CHARS_DOT : c == '-' || c == ':' ? LM_CHARS_DASH_COLON : LM_CHARS_OTHER;
}

static void check_value(const subject *s, size_t column, const lm_value_stamp *stamp, lm_str value,
                        lm_test_rng *rng)
{
    uint8_t chars = 0;
    for (size_t i = 0; i < value.len; i++)
        chars |= chars_of(value.ptr[i]);
    if (value.len < stamp->len_min || value.len > stamp->len_max) {
        fail_msg("'%.*s' is not of %u to %u bytes", (int)value.len, (const char *)value.ptr,
                 stamp->len_min, stamp->len_max);
    }
    if (chars & ~stamp->classes)
        fail_msg("'%.*s' has characters %x not in %x", (int)value.len, (const char *)value.ptr,
                 chars, stamp->classes);
    size_t begin = lm_test_below(rng, value.len), len = 1 + lm_test_below(rng, value.len - begin);
    lm_str part = {value.ptr + begin, len};
    unsigned where = (begin == 0 ? (unsigned)LM_AT_BEGIN : 0) |
                     (begin + len == value.len ? (unsigned)LM_AT_END : 0);
    unsigned less = where & (unsigned)lm_test_below(rng, 4); /* any weaker demand holds as well */
    if (!lm_segment_column_may_contain(s->segment, column, part) ||
        !lm_segment_column_may(s->segment, column, part, where) ||
        !lm_segment_column_may(s->segment, column, part, less)) {
        fail_msg("'%.*s' of '%.*s' is denied", (int)len, (const char *)part.ptr, (int)value.len,
                 (const char *)value.ptr);
    }
}

static void check_columns(subject *s, lm_test_rng *rng)
{
    lm_str pool = {NULL, 0};
    assert_int_equal(lm_segment_pool(s->segment, &pool), LM_OK);
    for (size_t c = 0; c < lm_segment_column_count(s->segment); c++) {
        const lm_values *values;
        const int64_t *ints = NULL;
        const lm_str *texts = NULL, *column_texts = NULL;
        uint32_t text_count = 0, column_text_count = 0;
        const uint32_t *index = NULL;
        uint8_t room[LM_VALUE_ROOM], other[LM_VALUE_ROOM];
        uint16_t layout;
        lm_value_stamp stamp = lm_segment_stamp(s->segment, c);
        assert_int_equal(lm_segment_values(s->segment, c, &values), LM_OK);
        bool has_ints = lm_values_ints(values, &ints);
        bool has_dictionary = lm_values_dictionary(values, &texts, &text_count, &index);
        bool has_texts = lm_segment_column_texts(s->segment, c, &column_texts, &column_text_count);
        bool is_time = lm_segment_column_is_time(s->segment, c, &layout);
        assert_true(!stamp.is_numeric || has_ints);
        if (has_dictionary) assert_true(has_texts && column_text_count == text_count);
        for (uint32_t i = 0; i < lm_values_count(values); i++) {
            lm_str value = lm_values_text(values, i, room);
            if (lm_segment_column_is_pooled(s->segment, c))
                assert_int_not_equal(lm_str_find(pool, value), SIZE_MAX);
            check_value(s, c, &stamp, value, rng);
            if (has_ints) {
                int n = snprintf((char *)other, sizeof other, "%lld", (long long)ints[i]);
                assert_true(lm_str_equal((lm_str){other, (size_t)n}, value));
                if (stamp.is_numeric) assert_true(ints[i] >= stamp.min && ints[i] <= stamp.max);
            }
            if (has_dictionary)
                assert_true(index[i] < text_count && lm_str_equal(texts[index[i]], value));
            if (is_time) {
                lm_time time;
                assert_true(lm_time_parse(value.ptr, value.len, &time) && time.len == value.len &&
                            time.layout == layout);
            }
        }
    }
}

static void check_times(subject *s, size_t index)
{
    const lm_archive_segment *info = lm_archive_segment_at(s->archive, index);
    const int64_t *times;
    const uint64_t *continues;
    assert_int_equal(lm_segment_times(s->segment, &times), LM_OK);
    assert_int_equal(lm_segment_continuations(s->segment, &continues), LM_OK);
    lm_row_place before = {UINT32_MAX, 0};
    for (uint32_t r = 0; r < lm_segment_row_count(s->segment); r++) {
        lm_row_place place = lm_segment_place(s->segment, r);
        assert_true(place.file < lm_archive_file_count(s->archive) && place.line >= 1);
        assert_true(place.line <= lm_archive_file_at(s->archive, place.file)->lines);
        if (place.file == before.file) assert_int_equal(place.line, before.line + 1);
        bool is_continued = continues && continues[r >> 6] >> (r & 63) & 1;
        if (is_continued) assert_true(r > 0 && place.file == before.file);
        if (is_continued) assert_int_equal(times[r], times[r - 1]);
        if (times[r] != INT64_MIN && (times[r] < info->time_min || times[r] > info->time_max)) {
            lm_str line = row_text(s, r);
            fail_msg("the time of '%.*s' is outside of its segment's", (int)line.len,
                     (const char *)line.ptr);
        }
        before = place;
    }
}

/* Any rows, in any order of calls, have the text they have when all are rendered. */
static void check_rendering(subject *s, lm_test_rng *rng)
{
    uint32_t rows = lm_segment_row_count(s->segment);
    lm_buf out;
    size_t ends[64];
    lm_buf_init(&out, s->mem);
    for (unsigned i = 0; i < 40; i++) {
        uint32_t begin = below(rng, rows),
                 end = begin + below(rng, rows - begin < 64 ? rows - begin + 1 : 64);
        out.len = 0;
        assert_int_equal(lm_segment_text(s->segment, begin, end, &out, ends), LM_OK);
        size_t from = begin ? s->ends[begin - 1] : 0, to = end ? s->ends[end - 1] : 0;
        assert_int_equal(out.len, end > begin ? to - from : 0);
        if (out.len) assert_memory_equal(out.ptr, s->text.ptr + from, out.len);
        for (uint32_t r = begin; r < end; r++)
            assert_int_equal(ends[r - begin], s->ends[r] - from);
    }
    uint32_t chosen[64];
    size_t count = 0;
    for (uint32_t r = below(rng, 5); r < rows && count < 64; r += 1 + below(rng, rows / 20 + 1))
        chosen[count++] = r;
    out.len = 0;
    assert_int_equal(lm_segment_text_of(s->segment, chosen, count, &out, ends), LM_OK);
    for (size_t i = 0; i < count; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        assert_true(
            lm_str_equal((lm_str){out.ptr + begin, ends[i] - begin - 1}, row_text(s, chosen[i])));
    }
    lm_buf_fini(&out);
}

/* One row of a segment that nothing was read of. */
static void check_row_alone(const subject *s, uint32_t row)
{
    lm_segment *fresh = NULL;
    lm_buf out;
    lm_buf_init(&out, s->mem);
    assert_int_equal(lm_segment_open(s->archive, 0, &fresh), LM_OK);
    assert_int_equal(lm_segment_text(fresh, row, row + 1, &out, NULL), LM_OK);
    lm_str want = row_text(s, row), got = {out.ptr, out.len - 1};
    if (!lm_str_equal(got, want))
        fail_msg("row %u is '%.*s', not '%.*s'", row, (int)got.len, (const char *)got.ptr,
                 (int)want.len, (const char *)want.ptr);
    lm_segment_close(fresh);
    lm_buf_fini(&out);
}

static void check_marks(subject *s)
{
    for (size_t k = 0; k < lm_segment_shape_count(s->segment); k++) {
        const lm_shape *shape = &lm_segment_shapes(s->segment)[k];
        assert_true(shape->time_piece < (int32_t)shape->piece_count &&
                    shape->level_piece < (int32_t)shape->piece_count);
        if (shape->time_piece >= 0) assert_true(shape->pieces[shape->time_piece].column >= 0);
        if (shape->level_piece >= 0) assert_true(shape->pieces[shape->level_piece].column >= 0);
        assert_true(shape->template_id < lm_archive_template_count(s->archive));
        assert_int_equal(lm_archive_template_forward(s->archive, shape->template_id),
                         shape->template_id);
    }
}

static void check_archive(subject *s, lm_test_rng *rng)
{
    uint64_t rows = 0, counted = 0, raw_rows = 0, bytes = 0;
    for (size_t i = 0; i < lm_archive_segment_count(s->archive); i++) {
        segment_open(s, i);
        rows += lm_segment_row_count(s->segment);
        bytes += s->text.len;
        assert_int_equal(lm_archive_segment_at(s->archive, i)->raw_bytes, s->text.len);
        assert_int_equal(lm_archive_segment_at(s->archive, i)->rows,
                         lm_segment_row_count(s->segment));
        check_times(s, i);
        check_rendering(s, rng);
        if (lm_segment_is_raw(s->segment)) {
            raw_rows += lm_segment_row_count(s->segment);
        } else {
            check_pieces(s);
            check_columns(s, rng);
            check_marks(s);
        }
        segment_close(s);
    }
    uint64_t lines = 0, file_bytes = 0;
    for (size_t i = 0; i < lm_archive_file_count(s->archive); i++) {
        const lm_archive_file *file = lm_archive_file_at(s->archive, i);
        lines += file->lines;
        file_bytes += file->bytes + file->no_final_newline;
    }
    assert_int_equal(lines, rows);
    assert_int_equal(file_bytes, bytes);
    assert_int_equal(lm_archive_templates_count(s->archive, NULL, NULL), LM_OK);
    for (size_t i = 0; i < lm_archive_template_count(s->archive); i++) {
        const lm_archive_template *t = lm_archive_template_at(s->archive, i);
        assert_true(t->text.len > 0);
        if (t->forward != i) assert_int_equal(t->count, 0);
        counted += t->count;
    }
    assert_int_equal(counted + raw_rows, rows);
    s->column_rows = rows - raw_rows;
}

/* ---- the tests
 * -------------------------------------------------------------------------------------------------------
 */

static void test_segments_of_logs(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("segments of logs");
    for (unsigned kind = 0; kind <= LOG_KINDS; kind++) {
        for (unsigned way = 0; way < 3; way++) {
            text input = {NULL, 0, 0};
            subject s;
            put_log(&input, &rng, kind, way == 2 ? 3000 : 900);
            lm_pack_options options = {.level = way ? LM_LEVEL_DEFAULT : LM_LEVEL_FAST,
                                       .segment_bytes = way == 0 ? 20000 : 0};
            subject_open(&s, &input, NULL, 1, &options);
            check_archive(&s, &rng);
            assert_true(s.column_rows > 0);
            subject_close(&s);
            text_free(&input);
        }
    }
}

static void test_random_values(void **state)
{
    static const char *const kinds[] = {
        "0123456789",        "0123456789.", "0123456789abcdef", "0123456789ABCDEF", "-0123456789",
        "0123456789abcdefg", "01",          "0123456789.-:"};
    (void)state;
    lm_test_rng rng = lm_test_rng_make("random values");
    uint64_t column_rows = 0;
    for (unsigned round = 0; round < 30; round++) {
        text input = {NULL, 0, 0};
        subject s;
        unsigned a = below(&rng, 8), b = below(&rng, 8), len_max = 1 + below(&rng, 20);
        for (unsigned i = 0; i < 1000; i++) {
            const char *alphabet = kinds[below(&rng, 6) ? a : b];
            put(&input, "value=");
            for (unsigned n = 1 + below(&rng, len_max); n > 0; n--)
                text_put(&input, &alphabet[below(&rng, (unsigned)strlen(alphabet))], 1);
            put(&input, " rest %u.%u\n", below(&rng, 3), below(&rng, 1000));
        }
        subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_FAST});
        check_archive(&s, &rng);
        column_rows += s.column_rows;
        subject_close(&s);
        text_free(&input);
    }
    printf("# %llu rows of columns\n", (unsigned long long)column_rows);
    assert_true(column_rows > 10000);
}

/* Values of many kinds in one place: what is known of the longest of them holds for all. */
static void test_kinds_in_one_place(void **state)
{
    static const char *const texts[] = {"12.5", "2026-11-23 13:05:07", "a word of its own here",
                                        "7", "word"};
    (void)state;
    lm_test_rng rng = lm_test_rng_make("kinds in one place");
    text input = {NULL, 0, 0};
    subject s;
    for (unsigned i = 0; i < 900; i++) {
        unsigned kind = below(&rng, 7), a = below(&rng, 1u << 16), b = below(&rng, 1u << 16);
        put(&input, "last=");
        if (i >= 898) kind = 899 - i; /* a time, and then a decimal */
        if (kind < 5)
            put(&input, "%s", texts[kind]);
        else if (kind == 5) /* a UUID */
            put(&input, "%04xa%03x-%04x-4%03x-8%03x-%04x%04xc0de", a, b & 0xfff, b, a & 0xfff,
                b & 0xfff, a, b);
        else /* 64 digits */
            put(&input, "%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x%04x", a, b, a,
                a, b, b, a, b, b, a, a, a, b, a, b, 0xabcd);
        put(&input, " of %u\n", below(&rng, 1000));
    }
    subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
    check_archive(&s, &rng);
    assert_int_equal(s.column_rows, 900);
    subject_close(&s);
    text_free(&input);
}

/* Four values of a row are of one role, and where a part of that role's column ends, two of them
 * are in the next part, which may be shorter than the row has variables. */
static void test_rows_across_parts(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("rows across parts");
    for (unsigned parts = 1; parts <= 2; parts++) {
        text input = {NULL, 0, 0};
        subject s;
        put(&input, "two item=1000 item=1001\n");
        for (unsigned i = 0; i < parts * LM_PART_VALUES / 4; i++) {
            put(&input, "four");
            for (unsigned k = 0; k < 4; k++)
                put(&input, " item=%u", 1000 + below(&rng, 1u << below(&rng, 16)));
            put(&input, " size=%u rate=%u wait=%u heap=%u left=%u load=%u\n", below(&rng, 90),
                below(&rng, 900), below(&rng, 9), below(&rng, 9000), below(&rng, 30),
                below(&rng, 300));
        }
        subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
        segment_open(&s, 0);
        uint32_t rows = lm_segment_row_count(s.segment), of_part = LM_PART_VALUES / 4;
        assert_int_equal(s.text.len, input.len);
        assert_memory_equal(s.text.ptr, input.ptr, input.len);
        bool is_split = false; /* the role is one, and its last part has two values */
        for (size_t c = 0; c < lm_segment_column_count(s.segment); c++)
            is_split = is_split || lm_segment_stamp(s.segment, c).count == 2 + 4 * (rows - 1);
        assert_true(is_split);
        check_row_alone(&s, rows - 1);
        for (uint32_t part = 1; part <= parts; part++) {
            for (uint32_t row = part * of_part - 3; row < part * of_part + 4 && row < rows; row++)
                check_row_alone(&s, row);
        }
        segment_close(&s);
        subject_close(&s);
        text_free(&input);
    }
}

/* Many distinct texts: such a column has a filter of 3-grams. */
static void test_filters(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("filters");
    text input = {NULL, 0, 0};
    subject s;
    for (unsigned i = 0; i < 6000; i++) {
        put(&input, "host=");
        for (unsigned n = 6 + below(&rng, 12); n > 0; n--)
            put(&input, "%c", 'g' + (int)below(&rng, 12));
        put(&input, " ok %u\n", i);
    }
    subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_FAST});
    check_archive(&s, &rng);
    assert_int_equal(lm_segment_open(s.archive, 0, &s.segment), LM_OK);
    unsigned denied = 0;
    for (size_t c = 0; c < lm_segment_column_count(s.segment); c++) {
        denied += lm_segment_stamp(s.segment, c).has_dictionary &&
                  !lm_segment_column_may_contain(s.segment, c, LM_STR("uvwxyz"));
    }
    assert_true(denied > 0); /* letters that no value has */
    lm_segment_close(s.segment);
    subject_close(&s);
    text_free(&input);
}

/** Whatever layout a line's time has, the archive knows it. */
static void test_times_of_every_layout(void **state)
{
    (void)state;
    const int64_t second = INT64_C(1000000000), begin = INT64_C(1795451553) * second;
    const int64_t mtime = begin / second + 400 * 97;
    unsigned checked = 0;
    for (size_t id = 0; id < lm_time_layout_count(); id++) {
        uint16_t layout = (uint16_t)id;
        if (!lm_time_layout_is_valid(layout) || lm_time_layout_ns(layout) < second) continue;
        const char *name = lm_time_layout_name(layout), *last = strrchr(name, '%');
        if (!last || strlen(last) != 2) continue; /* a zone behind it: another text, the same way */
        text log = {NULL, 0, 0};
        int64_t first_ns = INT64_MAX, last_ns = INT64_MIN;
        bool is_plain = true;
        for (unsigned i = 0; i < 400; i++) {
            uint8_t stamp[LM_TIME_TEXT_MAX];
            lm_time time;
            int64_t ticks = (begin + i * 97 * second) / lm_time_layout_ns(layout);
            size_t len = lm_time_print(layout, ticks, stamp);
            if (!lm_time_parse(stamp, len, &time) || time.layout != layout) is_plain = false;
            int64_t ns = lm_time_ns(layout, ticks, mtime * second);
            if (ns < first_ns) first_ns = ns;
            if (ns > last_ns) last_ns = ns;
            put(&log, "%.*s INFO [main] request %u took %u ms\n", (int)len, (const char *)stamp, i,
                i * 7919 % 1000);
        }
        /* What reads as another layout too, and as a time that the test has not thought of, is no
         * case. */
        if (is_plain && lm_time_layout_has_date(layout)) {
            subject s;
            subject_open(&s, &log, &mtime, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
            const lm_archive_segment *info = lm_archive_segment_at(s.archive, 0);
            if (info->time_min == INT64_MAX) fail_msg("no line has a time: %s", name);
            if (lm_time_layout_has_year(layout)) {
                assert_true(info->time_min == first_ns && info->time_max == last_ns);
            }
            checked++;
            subject_close(&s);
        }
        text_free(&log);
    }
    assert_true(checked >= 40);
}

/* Several in a second, in layouts of which the hour or the day has one digit or two. */
static void test_fractions_behind_any_width(void **state)
{
    static const char *const parts[][3] = {{"", ":05:07.", ""},
                                           {"Nov ", " 10:05:07.", ""},
                                           {"11/", "/26 9:05:07:", ""},
                                           {"Nov ", ", 2026 9:05:07,", " AM"},
                                           {"", "-Nov-2026::10:05:07.", ""}};
    (void)state;
    for (size_t f = 0; f < sizeof parts / sizeof parts[0]; f++) {
        text input = {NULL, 0, 0};
        subject s;
        for (unsigned day = 8; day < 13; day++) {
            for (unsigned i = 0; i < 50; i++)
                put(&input, "%s%u%s%03u%s x %u\n", parts[f][0], day, parts[f][1], 100 + i * 13,
                    parts[f][2], i * 7919 % 1000);
        }
        subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_FAST});
        segment_open(&s, 0);
        assert_int_equal(s.text.len, input.len);
        assert_memory_equal(s.text.ptr, input.ptr, input.len);
        segment_close(&s);
        subject_close(&s);
        text_free(&input);
    }
}

enum { STAMP_WAYS = 10 };

/** The time in one way of writing it. */
static int put_stamp(unsigned way, const struct tm *t, char *dst, size_t room)
{
    int d = t->tm_mday, m = t->tm_mon + 1, y = t->tm_year + 1900, h = t->tm_hour;
    int first = way % 2 ? m : d, second = way % 2 ? d : m, n;
    if (way < 2)
        n = snprintf(dst, room, "%02d/%02d/%04d %02d", first, second, y, h);
    else if (way < 4)
        n = snprintf(dst, room, "%02d/%02d/%02d %02d", first, second, y % 100, h);
    else if (way < 6)
        n = snprintf(dst, room, "%02d-%02d-%04d %02d", first, second, y, h);
    else if (way == 6)
        n = snprintf(dst, room, "%d/%d/%04d %d", d, m, y, h);
    else if (way == 7)
        n = snprintf(dst, room, "%02d/%02d/%02d %02d", y % 100, m, d, h);
    else
        n = snprintf(dst, room, way == 8 ? "%02d/%02d/%04d %02d" : "%d/%d/%04d %d", d, m, y,
                     h % 12 ? h % 12 : 12);
    return n + snprintf(dst + n, room - (size_t)n, ":%02d:%02d%s", t->tm_min, t->tm_sec,
                        way < 8   ? ""
                        : h >= 12 ? " PM"
                                  : " AM");
}

/** 450 lines from begin on, nine days long, are read as they were meant. */
static void check_stamps(unsigned way, int64_t begin)
{
    const int64_t step = 1733;
    text log = {NULL, 0, 0};
    for (int64_t i = 0; i < 450; i++) {
        char stamp[64];
        time_t seconds = (time_t)(begin + i * step);
        struct tm parts;
        assert_non_null(gmtime_r(&seconds, &parts));
        assert_true(put_stamp(way, &parts, stamp, sizeof stamp) > 0);
        put(&log, "%s INFO request %u took %u ms\n", stamp, (unsigned)i,
            (unsigned)(i * 7919 % 977));
    }
    for (int level = LM_LEVEL_FAST; level <= LM_LEVEL_DEFAULT; level++) {
        subject s;
        subject_open(&s, &log, NULL, 1, &(lm_pack_options){.level = (lm_level)level});
        const lm_archive_segment *info = lm_archive_segment_at(s.archive, 0);
        if (info->time_min != begin * 1000000000 ||
            info->time_max != (begin + 449 * step) * 1000000000)
            fail_msg("%u: from %lld to %lld", way, (long long)info->time_min,
                     (long long)info->time_max);
        segment_open(&s, 0);
        assert_memory_equal(s.text.ptr, log.ptr, log.len);
        segment_close(&s);
        subject_close(&s);
    }
    text_free(&log);
}

/** 03/11/2026 is the third of November where the lines around it say so. */
static void test_dates_that_read_two_ways(void **state)
{
    (void)state;
    for (unsigned way = 0; way < STAMP_WAYS; way++) {
        check_stamps(way, 1793505906); /* 2026-11-01 04:05:06 */
        check_stamps(way, 1794305106); /* 2026-11-10 10:05:06: nothing lacks a zero at first */
    }
}

/* Files from before and after all times, days in names that are none, and clocks that pass more
 * midnights than there are: lines and archive are as good as any other's. */
static void test_clocks_of_no_time(void **state)
{
    (void)state;

    enum { LINES = 120000, FILES = 3 };

    static const char *const names[FILES] = {"app-1010-01-01.log", "soon.log", "ever.log"};
    static const int64_t mtimes[FILES] = {1795451553, INT64_C(10413792000), -INT64_C(2000000000)};
    char folder[256], paths[FILES][320], out[320];
    text inputs[FILES] = {{NULL, 0, 0}};
    const char *in[FILES];
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    lm_pack_report report;
    lm_test_folder_make(folder);
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    for (unsigned f = 0; f < FILES; f++) {
        unsigned lines = f == 2 ? LINES : 500, step = f == 2 ? 86400 - 7201 : 40;
        for (unsigned i = 0, at = 40000; i < lines; i++, at = (at + step) % 86400)
            put(&inputs[f], "%02u:%02u:%02u INFO job %u done\n", at / 3600, at / 60 % 60, at % 60,
                i % 1000);
        snprintf(paths[f], sizeof paths[f], "%s/%s", folder, names[f]);
        file_write(paths[f], inputs[f].ptr, inputs[f].len);
        struct timespec times[2] = {{.tv_sec = mtimes[f]}, {.tv_sec = mtimes[f]}};
        assert_int_equal(utimensat(AT_FDCWD, paths[f], times, 0), 0);
        in[f] = paths[f];
    }
    snprintf(out, sizeof out, "%s/a.lm", folder);
    lm_pack_options options = {.level = LM_LEVEL_FAST, .segment_bytes = 1000000};
    assert_int_equal(lm_archive_pack(mem, NULL, in, FILES, &options, out, NULL, NULL, &report),
                     LM_OK);
    assert_int_equal(lm_archive_open(mem, out, false, &archive), LM_OK);
    unpacked got;
    if (unpack_all(archive, &got)) fail_msg("unpack: %s", lm_err_text());
    for (unsigned f = 0; f < FILES; f++) {
        assert_int_equal(got.files[f].len, inputs[f].len);
        assert_memory_equal(got.files[f].ptr, inputs[f].ptr, inputs[f].len);
        text_free(&inputs[f]);
    }
    for (size_t i = 0; i < lm_archive_segment_count(archive); i++) {
        const lm_archive_segment *about = lm_archive_segment_at(archive, i);
        lm_segment *segment = NULL;
        const int64_t *times;
        assert_int_equal(lm_segment_open(archive, i, &segment), LM_OK);
        assert_int_equal(lm_segment_times(segment, &times), LM_OK);
        for (uint32_t r = 0; r < about->rows; r++)
            assert_true(times[r] >= about->time_min && times[r] <= about->time_max);
        lm_segment_close(segment);
    }
    unpacked_free(&got);
    lm_archive_close(archive);
    lm_mem_free(mem);
    lm_test_folder_remove(folder);
}

/** Where zeros in front come and go, also within a day, each line stays as it was written. */
static void test_dates_of_any_padding(void **state)
{
    (void)state;

    enum { LINES = 1500, LAST = 1400 };

    lm_test_rng rng = lm_test_rng_make("dates of any padding");
    for (unsigned k = 0; k < 4; k++) {
        bool is_random = k & 1, has_half = k & 2;
        text log = {NULL, 0, 0};
        subject s;
        for (unsigned i = 0; i < LINES; i++) { /* days from 10 on, hours from 12 down */
            unsigned form = is_random ? below(&rng, 2) : i >= LAST;
            put(&log, form ? "%u/%u/2026 %u:%02u:05%s" : "%02u/%u/2026 %02u:%02u:05%s",
                i < LAST ? 10 + i / 200 : 9, 10 + i / 500, 12 - i / 10 % 10, i % 60,
                has_half ? " PM" : "");
            put(&log, " INFO request %u took %u ms\n", i, below(&rng, 900));
        }
        subject_open(&s, &log, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
        segment_open(&s, 0);
        assert_int_equal(s.text.len, log.len);
        assert_memory_equal(s.text.ptr, log.ptr, log.len);
        segment_close(&s);
        subject_close(&s);
        text_free(&log);
    }
}

/* Timestamps without a year take it from their own file's date, also where files share a segment.
 */
static void test_times_without_a_year(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("times without a year");
    text inputs[3] = {{NULL, 0, 0}};
    const int64_t mtimes[3] = {1400000000, 1750000000, 1500000000};
    subject s;
    for (unsigned i = 0; i < 3; i++)
        put_log(&inputs[i], &rng, LOG_SYSLOG, 400);
    subject_open(&s, inputs, mtimes, 3, &(lm_pack_options){.level = LM_LEVEL_FAST});
    check_archive(&s, &rng);
    segment_open(&s, 0);
    const int64_t *times;
    assert_int_equal(lm_segment_times(s.segment, &times), LM_OK);
    for (uint32_t r = 0; r < lm_segment_row_count(s.segment); r++) {
        int64_t mtime = mtimes[lm_segment_place(s.segment, r).file] * 1000000000;
        assert_true(times[r] != INT64_MIN);
        assert_true(times[r] <= mtime + INT64_C(2) * 86400 * 1000000000 &&
                    times[r] > mtime - INT64_C(367) * 86400 * 1000000000);
    }
    segment_close(&s);
    subject_close(&s);
    for (unsigned i = 0; i < 3; i++)
        text_free(&inputs[i]);
}

/* Clocks without a date: the last line is of the day that is nearest to the file's time of change,
 * the others as many days before it as midnights lie between, in whatever segment. */
static void test_clocks_without_a_date(void **state)
{
    (void)state;

    enum { LINES = 3000, FILES = 3 };

    lm_test_rng rng = lm_test_rng_make("clocks without a date");
    static int64_t truth[FILES][LINES];
    const int64_t second = 1000000000, east_s[FILES] = {0, -7 * 3600, 9 * 3600};
    for (unsigned way = 0; way < 2; way++) {
        text inputs[FILES] = {{NULL, 0, 0}};
        int64_t mtimes[FILES];
        for (unsigned f = 0; f < FILES; f++) {
            int64_t at = 1795451553 + below(&rng, 86400);
            for (unsigned i = 0; i < LINES; i++) {
                int64_t ms = (at += below(&rng, 250)) * 1000 - below(&rng, 4000);
                time_t seconds = (time_t)(ms / 1000);
                struct tm parts;
                assert_non_null(gmtime_r(&seconds, &parts));
                truth[f][i] = ms * (second / 1000);
                put(&inputs[f], "%02d:%02d:%02d.%03d [t%u] INFO job %u done in %u ms\n",
                    parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(ms % 1000), below(&rng, 4), i,
                    below(&rng, 5000));
            }
            mtimes[f] = at - east_s[f];
        }
        subject s;
        subject_open(&s, inputs, mtimes, FILES,
                     &(lm_pack_options){.level = way ? LM_LEVEL_FAST : LM_LEVEL_DEFAULT,
                                        .segment_bytes = 30000});
        assert_true(lm_archive_segment_count(s.archive) > FILES);
        for (size_t i = 0; i < lm_archive_segment_count(s.archive); i++) {
            const lm_archive_segment *about = lm_archive_segment_at(s.archive, i);
            const int64_t *times;
            int64_t least = INT64_MAX, last = INT64_MIN;
            segment_open(&s, i);
            assert_int_equal(lm_segment_times(s.segment, &times), LM_OK);
            for (uint32_t r = 0; r < lm_segment_row_count(s.segment); r++) {
                lm_row_place place = lm_segment_place(s.segment, r);
                assert_int_equal(times[r], truth[place.file][place.line - 1]);
                least = times[r] < least ? times[r] : least;
                last = times[r] > last ? times[r] : last;
            }
            assert_true(about->time_min == least && about->time_max == last);
            segment_close(&s);
        }
        subject_close(&s);
        for (unsigned f = 0; f < FILES; f++)
            text_free(&inputs[f]);
    }
}

/* A timestamp may be inside a quoted text that is one value. */
static void test_quoted_times(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("quoted times");
    text input = {NULL, 0, 0};
    subject s;
    for (unsigned i = 0; i < 500; i++) {
        put(&input,
            "time=\"2026-11-23 13:%02u:%02u\" level=%s msg=\"done after %u ms\" epoch=%u.%03u\n",
            i / 60 % 60, i / 50 * 7 % 60, i % 3 ? "info" : "warn", below(&rng, 1000),
            1764000000 + i, below(&rng, 1000));
    }
    subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
    check_archive(&s, &rng);
    subject_close(&s);
    text_free(&input);
}

/* However few lines there are, and however they are kept, their times are known. */
static void test_times_of_a_few_lines(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("a few lines");
    unsigned raw = 0;
    for (unsigned lines = 4; lines < 40; lines += 3) {
        text input = {NULL, 0, 0};
        subject s;
        for (unsigned i = 0; i < lines; i++) {
            put(&input, "2026-11-23 13:00:%02u,%03u INFO [worker-%u] org.acme.Shop: %x\n", i, 7 * i,
                below(&rng, 4), (unsigned)lm_test_random(&rng));
        }
        put(&input, "a line without a time has the one before\n");
        subject_open(&s, &input, NULL, 1, &(lm_pack_options){.level = LM_LEVEL_DEFAULT});
        check_archive(&s, &rng);
        segment_open(&s, 0);
        const int64_t *times;
        assert_int_equal(lm_segment_times(s.segment, &times), LM_OK);
        for (unsigned i = 0; i <= lines; i++) {
            unsigned at = i < lines ? i : lines - 1;
            assert_int_equal(times[i],
                             (INT64_C(1795438800) + at) * 1000000000 + INT64_C(7000000) * at);
        }
        raw += lm_segment_is_raw(s.segment);
        /* the schema is not stored with so few lines: it would be as large as they are */
        const lm_schema *schema = lm_archive_stream_schema(s.archive, 0);
        assert_non_null(schema);
        lm_str signature = lm_schema_signature(schema);
        assert_true(signature.len > 0);
        if (lm_segment_is_raw(s.segment))
            assert_true(lm_archive_bytes(s.archive) < input.len + 160);
        segment_close(&s);
        subject_close(&s);
        text_free(&input);
    }
    printf("# %u of 12 as plain text\n", raw);
    assert_true(raw > 0);
}

static void test_several_files_in_small_segments(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("several files");
    text inputs[6] = {{NULL, 0, 0}};
    subject s;
    for (unsigned i = 0; i < 6; i++)
        put_log(&inputs[i], &rng, i % 2 ? LOG_APP : LOG_KINDS, 200 * i);
    inputs[3].len--;
    subject_open(&s, inputs, NULL, 6,
                 &(lm_pack_options){.level = LM_LEVEL_FAST, .segment_bytes = 25000});
    check_archive(&s, &rng);
    subject_close(&s);
    for (unsigned i = 0; i < 6; i++)
        text_free(&inputs[i]);
}

/* A filter never denies what is there, in whatever case; what has a group of characters that is
 * nowhere is denied mostly. */
static void test_grams(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("grams");
    lm_mem *mem = NULL;
    lm_buf made;
    lm_str grams;
    text input = {NULL, 0, 0};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf_init(&made, mem);
    put_log(&input, &rng, LOG_KINDS, 2000);
    put(&input, "last \xc3\xa4\t\x7f {~}\n");
    lm_str all = {(const uint8_t *)input.ptr, input.len};
    assert_int_equal(lm_grams_write(mem, all, 1 << 20, &made), LM_OK);
    lm_reader r = lm_reader_of(made.ptr, made.len);
    size_t len = (size_t)lm_reader_varint(&r);
    grams = lm_reader_bytes(&r, len);
    assert_true(len > 0 && !r.failed && lm_reader_left(&r) == 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t part[24];
        size_t begin = below(&rng, (unsigned)input.len), n = 0;
        while (n < sizeof part && begin + n < input.len && input.ptr[begin + n] != '\n') {
            uint8_t c = (uint8_t)input.ptr[begin + n];
            bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
            part[n++] = is_letter && below(&rng, 2) ? c ^ 32 : c;
        }
        assert_true(lm_grams_admit(grams, (lm_str){part, n}));
    }
    assert_false(lm_grams_admit(grams, LM_STR("zqx_zqx_zqx_zqx_zqx")));
    assert_true(lm_grams_admit(grams, LM_STR("zq")));
    assert_true(lm_grams_admit((lm_str){NULL, 0}, LM_STR("anything")));
    made.len = 0;
    assert_int_equal(lm_grams_write(mem, all, 1000, &made), LM_OK);
    assert_true(made.len == 1 && made.ptr[0] == 0); /* it does not pay */
    lm_buf_fini(&made);
    text_free(&input);
    lm_mem_free(mem);
}

/* A set of one's own knows how long runs of digits are, in whatever lines they stand: what is there
 * is never denied, wherever it is cut; a run that is longer than any, or of no length that there
 * is, is. */
static void test_grams_know_runs(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("runs");
    lm_mem *mem = NULL;
    lm_grams *grams = NULL;
    lm_buf set, all;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf_init(&set, mem);
    lm_buf_init(&all, mem);
    assert_int_equal(lm_grams_new(mem, &grams), LM_OK);
    for (unsigned round = 0; round < 200; round++) {
        set.len = all.len = 0;
        for (unsigned line = 0; line < 8; line++) {
            size_t begin = all.len;
            for (unsigned run = below(&rng, 5); run; run--) {
                const char *of = below(&rng, 2) ? "0123456789" : "0123456789abcdefABCDEF";
                for (unsigned n = below(&rng, 4) ? below(&rng, 20) : 8 * below(&rng, 10); n; n--)
                    assert_int_equal(
                        lm_buf_u8(&all, (uint8_t)of[below(&rng, (unsigned)strlen(of))]), LM_OK);
                assert_int_equal(lm_buf_u8(&all, (uint8_t)" -xg"[below(&rng, 4)]), LM_OK);
            }
            lm_grams_add(grams, (lm_str){all.ptr + begin, all.len - begin});
            assert_int_equal(lm_buf_u8(&all, '\n'), LM_OK);
        }
        assert_int_equal(lm_grams_take(grams, 4, &set), LM_OK);
        lm_str made = {set.ptr, set.len};
        for (unsigned i = 0; i < 200; i++) {
            size_t begin = below(&rng, (unsigned)all.len), len = 1 + below(&rng, 100), n = 0;
            while (n < len && all.ptr[begin + n] != '\n')
                n++;
            assert_true(lm_grams_set_admits(made, (lm_str){all.ptr + begin, n}));
        }
    }
    set.len = 0;
    lm_grams_add(grams, LM_STR("of 0123456789 and 0123456789abcdef0123 and 12345678"));
    assert_int_equal(lm_grams_take(grams, 64, &set), LM_OK);
    lm_str made = {set.ptr, set.len};
    assert_true(lm_grams_set_admits(made, LM_STR("0123456789")));
    assert_true(lm_grams_set_admits(made, LM_STR(" 87654321")));
    assert_true(lm_grams_set_admits(made, LM_STR(" 987654321"))); /* may go on */
    assert_false(lm_grams_set_admits(made, LM_STR(" 987654321 ")));
    assert_false(lm_grams_set_admits(made, LM_STR("00000000000"))); /* longer than any */
    assert_true(lm_grams_set_admits(made, LM_STR("9876543210ABCdef9876")));
    assert_false(lm_grams_set_admits(made, LM_STR("09876543210ABCdef9876")));
    assert_true(lm_grams_set_admits((lm_str){NULL, 0}, LM_STR("00000000000000000")));
    lm_buf_fini(&set);
    lm_buf_fini(&all);
    lm_grams_free(grams);
    lm_mem_free(mem);
}

static int64_t any_number(lm_test_rng *rng)
{
    uint64_t bits = lm_test_random(rng) >> below(rng, 64);
    return below(rng, 8) ? (int64_t)(bits >> 1) : (int64_t)bits;
}

/* The renderer's printers give what lm_value_print gives. */
static void test_values_are_put_as_printed(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("puts");
    uint8_t want[LM_VALUE_TEXT_MAX], got[LM_VALUE_TEXT_MAX], wide[LM_WIDE_MAX];
    for (unsigned i = 0; i < 200000; i++) {
        int64_t n = i < 4 ? (int64_t[]){0, -1, INT64_MAX, INT64_MIN}[i] : any_number(&rng);
        unsigned scale = 1 + below(&rng, LM_SCALE_MAX), width = 1 + below(&rng, 16);
        unsigned bytes = 9 + below(&rng, LM_WIDE_MAX - 8), which = below(&rng, 7);
        uint64_t unit = 1;
        for (unsigned k = 0; k < scale; k++)
            unit *= 10;
        for (unsigned k = 0; k < bytes; k++)
            wide[k] = (uint8_t)below(&rng, 256);
        uint32_t vclass = which == 0   ? LM_VC_INT
                          : which == 1 ? LM_VC_IP4
                          : which == 2 ? LM_VC_ZINT + 2 + below(&rng, 17)
                          : which == 3 ? LM_VC_DEC + scale
                          : which == 4 ? LM_VC_DECT + scale
                          : which == 5
                              ? (below(&rng, 2) ? LM_VC_HEX_LOWER : LM_VC_HEX_UPPER) + width
                              : LM_VC_HEX_WIDE + bytes;
        size_t len = lm_value_print(vclass, n, wide, want);
        uint8_t *end = which == 0   ? lm_put_int(got, n)
                       : which == 1 ? lm_put_ip4(got, (uint32_t)n)
                       : which == 2 ? lm_put_padded(got, (uint64_t)n, vclass - LM_VC_ZINT)
                       : which == 3 ? lm_put_decimal(got, n, scale, unit)
                       : which == 4 ? lm_put_decimal_trimmed(got, n, scale, unit)
                       : which == 5
                           ? lm_put_hex(got, (uint64_t)n, width,
                                        vclass > LM_VC_HEX_UPPER ? LM_HEX_UPPER : LM_HEX_LOWER)
                           : lm_put_hex_bytes(got, wide, bytes);
        assert_int_equal(end - got, len);
        assert_memory_equal(got, want, len);
    }
}

static void test_costs_name_every_byte(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("costs");
    text input = {NULL, 0, 0};
    subject s;
    put_log(&input, &rng, LOG_KINDS, 2000);
    subject_open(&s, &input, NULL, 1,
                 &(lm_pack_options){.level = LM_LEVEL_DEFAULT, .segment_bytes = 60000});
    lm_arena arena;
    lm_archive_cost *costs = NULL;
    size_t count = 0;
    uint64_t stored = 0;
    lm_arena_init(&arena, s.mem);
    assert_int_equal(lm_archive_costs(s.archive, &arena, NULL, NULL, &costs, &count), LM_OK);
    for (size_t i = 0; i < count; i++)
        stored += costs[i].stored_bytes;
    assert_in_range(stored, lm_archive_bytes(s.archive) - 64 * count,
                    lm_archive_bytes(s.archive)); /* shares of frames are rounded down */
    lm_arena_fini(&arena);
    subject_close(&s);
    text_free(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_of_logs),
        cmocka_unit_test(test_random_values),
        cmocka_unit_test(test_kinds_in_one_place),
        cmocka_unit_test(test_rows_across_parts),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_times_of_every_layout),
        cmocka_unit_test(test_fractions_behind_any_width),
        cmocka_unit_test(test_dates_that_read_two_ways),
        cmocka_unit_test(test_dates_of_any_padding),
        cmocka_unit_test(test_times_without_a_year),
        cmocka_unit_test(test_clocks_without_a_date),
        cmocka_unit_test(test_clocks_of_no_time),
        cmocka_unit_test(test_quoted_times),
        cmocka_unit_test(test_times_of_a_few_lines),
        cmocka_unit_test(test_several_files_in_small_segments),
        cmocka_unit_test(test_grams),
        cmocka_unit_test(test_grams_know_runs),
        cmocka_unit_test(test_values_are_put_as_printed),
        cmocka_unit_test(test_costs_name_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

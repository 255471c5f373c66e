/* Archives that nobody packed: all checksums are right, what they say is not. */
#include "archive/archive_view.h"
#include "archive_test.h"

enum { COLUMNS_MAX = 10000 };

/** A segment of columns on its way, and what the archive says beside it. */
typedef struct forger {
    lm_mem *mem;
    char folder[256], path[300];
    lm_column columns[COLUMNS_MAX];
    size_t column_count;
    lm_buf bytes[LM_SEG_FIXED_COUNT]; /* of the columns that describe the others */
    lm_segment_head head;
    lm_head_span span;
    lm_archive_file file;
    lm_archive_meta meta;
} forger;

static int setup(void **state)
{
    forger *f = calloc(1, sizeof *f);
    assert_non_null(f);
    lm_test_folder_make(f->folder);
    snprintf(f->path, sizeof f->path, "%s/forged.lm", f->folder);
    assert_int_equal(lm_mem_new(NULL, 64 << 20, &f->mem), LM_OK);
    for (size_t i = 0; i < LM_SEG_FIXED_COUNT; i++)
        lm_buf_init(&f->bytes[i], f->mem);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    forger *f = *state;
    for (size_t i = 0; i < LM_SEG_FIXED_COUNT; i++)
        lm_buf_fini(&f->bytes[i]);
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
    lm_test_folder_remove(f->folder);
    free(f);
    return 0;
}

static void add(forger *f, unsigned column, const void *bytes, size_t len)
{
    assert_int_equal(lm_buf_append(&f->bytes[column], bytes, len), LM_OK);
}

static void add_byte(forger *f, unsigned column, unsigned byte)
{
    assert_int_equal(lm_buf_u8(&f->bytes[column], (uint8_t)byte), LM_OK);
}

static void add_number(forger *f, unsigned column, uint64_t number)
{
    assert_int_equal(lm_buf_varint(&f->bytes[column], number), LM_OK);
}

static void begin(forger *f, uint32_t rows)
{
    for (size_t i = 0; i < LM_SEG_FIXED_COUNT; i++)
        f->bytes[i].len = 0;
    f->column_count = LM_SEG_FIXED_COUNT;
    f->file = (lm_archive_file){.name = LM_STR("a.log"), .mode = 0644, .lines = rows};
    f->span = (lm_head_span){.span = {.rows = rows, .first_line = 1}};
    f->head = (lm_segment_head){.kind = LM_SEGMENT_COLUMNS,
                                .level = LM_LEVEL_FAST,
                                .rows = rows,
                                .raw_bytes = rows,
                                .time_min = INT64_MAX,
                                .time_max = INT64_MIN,
                                .spans = &f->span,
                                .span_count = 1};
}

static void add_column(forger *f, lm_column column)
{
    assert_true(f->column_count < COLUMNS_MAX);
    f->columns[f->column_count++] = column;
}

/** All rows are of the first shape. */
static void write_archive(forger *f, lm_archive_template *templates, size_t template_count)
{
    lm_buf out, blocks, directory, meta;
    lm_buf_init(&out, f->mem);
    lm_buf_init(&blocks, f->mem);
    lm_buf_init(&directory, f->mem);
    lm_buf_init(&meta, f->mem);
    for (size_t i = 0; i < LM_SEG_FIXED_COUNT; i++)
        f->columns[i] = (lm_column){
            .type = LM_COLUMN_BYTES, .count = (uint32_t)f->bytes[i].len, .bytes = f->bytes[i].ptr};
    uint32_t *ids = calloc(f->head.rows + 1, sizeof *ids);
    assert_non_null(ids);
    f->columns[LM_SEG_SHAPE_IDS] =
        (lm_column){.type = LM_COLUMN_ID, .count = f->head.rows, .alphabet = 1, .ids = ids};
    assert_int_equal(lm_buf_u8(&directory, 0), LM_OK); /* no grams */
    assert_int_equal(lm_columns_encode(f->mem, NULL, f->columns, f->column_count, LM_LEVEL_FAST,
                                       &blocks, &directory, NULL),
                     LM_OK);
    free(ids);
    f->head.directory_bytes = directory.len;
    f->head.blocks_bytes = blocks.len;
    f->head.directory_check = (uint32_t)lm_hash64(directory.ptr, directory.len);
    assert_int_equal(lm_buf_append(&out, LM_ARCHIVE_MAGIC, 8), LM_OK);
    assert_int_equal(lm_head_write(&f->head, &out), LM_OK);
    assert_int_equal(lm_buf_append(&out, directory.ptr, directory.len), LM_OK);
    assert_int_equal(lm_buf_append(&out, blocks.ptr, blocks.len), LM_OK);
    lm_str schema = {0};
    lm_archive_segment segment = {
        .offset = 8, .bytes = out.len - 8, .rows = f->head.rows, .level = LM_LEVEL_FAST};
    segment.time_min = f->head.time_min;
    segment.time_max = f->head.time_max;
    uint32_t mined = 0;
    f->meta = (lm_archive_meta){.stream_schemas = &schema,
                                .stream_count = 1,
                                .files = &f->file,
                                .file_count = 1,
                                .segments = &segment,
                                .segment_count = 1,
                                .templates = templates,
                                .template_count = template_count,
                                .mined = &mined,
                                .mined_count = 1};
    assert_int_equal(lm_meta_write(&f->meta, &meta), LM_OK);
    uint64_t offset = out.len;
    assert_int_equal(lm_buf_varint(&out, meta.len), LM_OK);
    assert_int_equal(lm_bytes_encode(f->mem, (lm_str){meta.ptr, meta.len}, LM_LEVEL_FAST, &out),
                     LM_OK);
    uint32_t len = (uint32_t)(out.len - offset);
    uint32_t check = (uint32_t)lm_hash64_seed(out.ptr + offset, len, offset);
    assert_int_equal(lm_buf_le32(&out, len), LM_OK);
    assert_int_equal(lm_buf_le32(&out, check), LM_OK);
    assert_int_equal(lm_buf_append(&out, LM_FOOTER_MAGIC, 8), LM_OK);
    file_write(f->path, out.ptr, out.len);
    lm_buf_fini(&out);
    lm_buf_fini(&blocks);
    lm_buf_fini(&directory);
    lm_buf_fini(&meta);
}

static lm_archive_template catch_all(void)
{
    return (lm_archive_template){.text = LM_STR("<*>")};
}

/* Filters whose sizes add up to no more than there is only where they are counted in 32 bits. */
static void test_filters_are_counted_in_full(void **state)
{
    enum { LARGE = 2048, ROLES = LARGE + 1 };

    forger *f = *state;
    lm_archive *archive = NULL;
    lm_segment *segment = NULL;
    lm_archive_template templates[1] = {catch_all()};
    static const uint32_t id[1];
    begin(f, 1);
    for (unsigned r = 0; r < ROLES; r++) {
        char key[20];
        int len = snprintf(key, sizeof key, "k%05u=\001V", r);
        add(f, LM_SEG_SHAPE_TEXT, key, (size_t)len);
        add_number(f, LM_SEG_ROLES, 1);
        add_number(f, LM_SEG_ROLES, LM_VC_STR);
        add_byte(f, LM_SEG_STAMPS, 8);                           /* letters */
        add_byte(f, LM_SEG_STAMPS, (r < LARGE ? 24u : 3u) << 2); /* 2 MiB, a byte */
        add_number(f, LM_SEG_STAMPS, 1);
        add_number(f, LM_SEG_STAMPS, 8);
        add_column(f, (lm_column){.type = LM_COLUMN_BYTES,
                                  .count = 5,
                                  .role = LM_ROLE_TEXT,
                                  .bytes = (const uint8_t *)"hijk\n"});
        add_column(f, (lm_column){.type = LM_COLUMN_ID, .count = 1, .alphabet = 1, .ids = id});
    }
    add_byte(f, LM_SEG_SHAPE_TEXT, '\n');
    add_byte(f, LM_SEG_FILTERS, 0xFF);
    add(f, LM_SEG_MARKS, "\0\0\0", 3);
    write_archive(f, templates, 1);
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
    assert_int_equal(lm_segment_open(archive, 0, &segment), LM_E_CORRUPT);
    assert_non_null(strstr(lm_err_text(), "filters"));
    lm_archive_close(archive);
}

/* One shape of constant text: the archive is fine but for what a test does to it. */
static void begin_plain(forger *f)
{
    begin(f, 2);
    add(f, LM_SEG_SHAPE_TEXT, "started\n", 8);
    add(f, LM_SEG_MARKS, "\0\0\0", 3);
}

static void test_there_is_a_template(void **state)
{
    forger *f = *state;
    lm_archive *archive = NULL;
    lm_archive_template templates[1] = {catch_all()};
    begin_plain(f);
    write_archive(f, templates, 1);
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
    assert_true(lm_str_equal(lm_archive_template_at(archive, 0)->text, LM_STR("<*>")));
    lm_archive_close(archive);
    write_archive(f, templates, 0);
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_E_CORRUPT);
}

/* Successors of successors: one step from each leads on as far as a miner would follow, and a chain
 * of all templates is not walked for each of them. */
static void test_successors(void **state)
{
    enum { LONG = 400000 };

    forger *f = *state;
    lm_archive *archive = NULL;
    lm_archive_template *templates = calloc(LONG, sizeof *templates);
    assert_non_null(templates);
    for (uint32_t i = 0; i < LONG; i++)
        templates[i].forward = i;
    for (uint32_t i = 5; i < 40; i++)
        templates[i].forward = i + 1;
    templates[50].forward = 51; /* a circle */
    templates[51].forward = 50;
    begin_plain(f);
    write_archive(f, templates, 60);
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(lm_archive_template_forward(archive, i), i < 5 || i > 40 ? i : 40);
    assert_in_range(lm_archive_template_forward(archive, 50), 50, 51);
    lm_archive_close(archive);
    for (uint32_t i = 0; i + 1 < LONG; i++)
        templates[i].forward = i + 1;
    write_archive(f, templates, LONG);
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
    assert_int_equal(lm_archive_template_count(archive), LONG);
    for (uint32_t i = 0; i < LONG; i++)
        assert_true(lm_archive_template_forward(archive, i) > i || i + 1 == LONG);
    lm_archive_close(archive);
    free(templates);
}

/* Clocks and what is in front of them, as far out as their numbers go: every row has a time, and no
 * arithmetic leaves its numbers. */
static void test_clocks_at_the_ends_of_time(void **state)
{
    enum { ROWS = 64 };

    forger *f = *state;
    static const int64_t begins[] = {INT64_C(9223199236), -INT64_C(9223199236), 0,
                                     INT64_C(9223199235)};
    static const int64_t ticks[] = {0, 86399, -1, INT64_MIN, INT64_MAX, 43200000, INT64_MIN + 1};
    lm_time clock;
    assert_true(lm_time_parse((const uint8_t *)"10:05:06 x", 10, &clock));
    assert_false(lm_time_layout_has_date(clock.layout));
    lm_archive_template templates[1] = {catch_all()};
    for (unsigned b = 0; b < sizeof begins / sizeof *begins; b++) {
        for (unsigned way = 0; way < 3; way++) {
            int64_t numbers[ROWS];
            for (unsigned i = 0; i < ROWS; i++) /* odd ones, ever later, ever earlier */
                numbers[i] = way == 0   ? ticks[i % 7]
                             : way == 1 ? (86400 - (int64_t)i * 7201) % 86400
                                        : (int64_t)i * 7199 % 86400;
            lm_archive *archive = NULL;
            lm_segment *segment = NULL;
            const int64_t *times;
            begin(f, ROWS);
            f->span.span.flags = LM_SPAN_CLOCK;
            f->span.span.clock_ns = begins[b] * 1000000000;
            add(f, LM_SEG_SHAPE_TEXT, "\001T started\n", 11);
            add_number(f, LM_SEG_ROLES, 1);
            add_number(f, LM_SEG_ROLES, LM_VC_TIME + clock.layout);
            add(f, LM_SEG_STAMPS, "\xFF\0\1\x20", 4);
            add(f, LM_SEG_MARKS, "\1\0\0", 3);
            add_column(f, (lm_column){.type = LM_COLUMN_INT, .count = ROWS, .ints = numbers});
            write_archive(f, templates, 1);
            assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
            assert_int_equal(lm_segment_open(archive, 0, &segment), LM_OK);
            assert_int_equal(lm_segment_times(segment, &times), LM_OK);
            for (unsigned i = 0; i < ROWS; i++)
                assert_true(times[i] <= LM_CLOCK_LIMIT_NS && times[i] >= -LM_CLOCK_LIMIT_NS);
            lm_segment_close(segment);
            lm_archive_close(archive);
        }
    }
    begin_plain(f); /* beyond them: refused */
    f->span.span.flags = LM_SPAN_CLOCK;
    f->span.span.clock_ns = LM_CLOCK_LIMIT_NS + 1000000000;
    write_archive(f, templates, 1);
    lm_archive *archive = NULL;
    lm_segment *segment = NULL;
    assert_int_equal(lm_archive_open(f->mem, f->path, false, &archive), LM_OK);
    assert_int_equal(lm_segment_open(archive, 0, &segment), LM_E_CORRUPT);
    lm_archive_close(archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_are_counted_in_full),
        cmocka_unit_test(test_there_is_a_template),
        cmocka_unit_test(test_successors),
        cmocka_unit_test(test_clocks_at_the_ends_of_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Damaged archives: cut anywhere, bits flipped anywhere. Opening, salvaging, unpacking, verifying
 * and searching give a clear error with file and offset, everything undamaged, no crash, and no
 * more memory than allowed. */
#include "archive_test.h"

enum { LIMIT = 64 << 20 };

typedef struct fixture {
    char folder[256], path[300];
    text whole; /* the archive */
    text inputs[3];
    size_t segment_count, ends[256]; /* where each segment ends */
    uint32_t rows[256];              /* of each */
    uint32_t rows_max;               /* rows of the largest segment */
    size_t rows_total;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    lm_test_folder_make(f->folder);
    lm_test_rng rng = lm_test_rng_make("the archive");
    char names[3][320], out[300];
    const char *paths[3];
    for (unsigned i = 0; i < 3; i++) {
        put_log(&f->inputs[i], &rng, LOG_APP, 700 + 300 * i);
        snprintf(names[i], sizeof names[i], "%s/%u.log", f->folder, i);
        paths[i] = names[i];
    }
    for (unsigned i = 0; i < 3000;
         i++) { /* noise in the last file: a raw segment among the others */
        uint64_t bits = lm_test_random(&rng);
        text_put(&f->inputs[2], &bits, 8);
    }
    for (unsigned i = 0; i < 3; i++)
        file_write(names[i], f->inputs[i].ptr, f->inputs[i].len);
    snprintf(out, sizeof out, "%s/whole.lm", f->folder);
    snprintf(f->path, sizeof f->path, "%s/broken.lm", f->folder);
    lm_mem *mem = NULL;
    lm_pack_report report;
    lm_pack_options options = {.level = LM_LEVEL_DEFAULT, .segment_bytes = 32000};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    if (lm_archive_pack(mem, NULL, paths, 3, &options, out, tell_pack_trouble, NULL, &report))
        fail_msg("pack: %s", lm_err_text());
    lm_archive *archive = NULL;
    size_t raw_count = 0;
    assert_int_equal(lm_archive_open(mem, out, false, &archive), LM_OK);
    f->segment_count = lm_archive_segment_count(archive);
    assert_in_range(f->segment_count, 8, 256);
    for (size_t i = 0; i < f->segment_count; i++) {
        const lm_archive_segment *segment = lm_archive_segment_at(archive, i);
        f->ends[i] = (size_t)(segment->offset + segment->bytes);
        f->rows[i] = segment->rows;
        f->rows_total += segment->rows;
        if (segment->rows > f->rows_max) f->rows_max = segment->rows;
        lm_segment *opened = NULL;
        assert_int_equal(lm_segment_open(archive, i, &opened), LM_OK);
        raw_count += lm_segment_is_raw(opened);
        lm_segment_close(opened);
    }
    printf("# %zu segments, %zu of them plain text\n", f->segment_count, raw_count);
    assert_in_range(raw_count, 1, f->segment_count - 1);
    lm_archive_close(archive);
    lm_mem_free(mem);
    f->whole = file_read(out);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lm_test_folder_remove(f->folder);
    text_free(&f->whole);
    for (unsigned i = 0; i < 3; i++)
        text_free(&f->inputs[i]);
    free(f);
    return 0;
}

/* Everything a reader may ask of a segment. */
static void segment_ask(const lm_archive *archive, size_t index)
{
    lm_segment *segment = NULL;
    if (lm_segment_open(archive, index, &segment)) return;
    const uint32_t *rows;
    const int64_t *times;
    const uint64_t *continues;
    const lm_str *texts;
    uint32_t text_count;
    lm_str pool;
    bool is_raw = lm_segment_is_raw(segment);
    lm_err ignored =
        is_raw ? LM_OK
               : lm_segment_rows_load(segment,
                                      &rows); /* any answer but a crash will do, here and below */
    ignored = lm_segment_times(segment, &times);
    ignored = lm_segment_continuations(segment, &continues);
    if (!is_raw) ignored = lm_segment_pool(segment, &pool);
    (void)ignored;
    for (size_t c = 0; c < lm_segment_column_count(segment); c++) {
        const lm_values *values;
        uint8_t room[LM_VALUE_ROOM];
        (void)lm_segment_stamp(segment, c);
        (void)lm_segment_column_may_contain(segment, c, LM_STR("abc"));
        (void)lm_segment_column_texts(segment, c, &texts, &text_count);
        if (lm_segment_values(segment, c, &values)) continue;
        for (uint32_t i = 0; i < lm_values_count(values); i++)
            (void)lm_values_text(values, i, room);
    }
    lm_segment_close(segment);
}

/* Lines of got that are also in expected, in order; the rest of got must be none. */
static size_t served_lines(const text *got, const text *expected)
{
    size_t lines = 0;
    const char *at = expected->ptr, *end = expected->ptr + expected->len;
    for (size_t i = 0; i < got->len;) {
        const char *stop = memchr(got->ptr + i, '\n', got->len - i);
        size_t len = stop ? (size_t)(stop - (got->ptr + i)) : got->len - i;
        for (;;) {
            if (at >= end)
                fail_msg("'%.*s' was never packed, or not there", (int)len, got->ptr + i);
            const char *line_end = memchr(at, '\n', (size_t)(end - at));
            size_t line_len = line_end ? (size_t)(line_end - at) : (size_t)(end - at);
            bool is_same = line_len == len && memcmp(at, got->ptr + i, len) == 0;
            at += line_len + 1;
            if (is_same) break;
        }
        lines++;
        i += len + 1;
    }
    return lines;
}

static size_t count_lines(const text *t)
{
    size_t lines = lm_scan_count_newlines((const uint8_t *)t->ptr, t->len);
    return lines + (t->len && t->ptr[t->len - 1] != '\n');
}

typedef struct outcome {
    lm_err open, salvage, unpack, verify;
    size_t lost;     /* lines */
    size_t segments; /* found */
    char bad[2048];
    char error[480]; /* of opening */
    uint64_t offset; /* of the error */
} outcome;

/* Where the bytes went is told of every segment, also beside one that cannot be read. */
static void check_costs(const lm_archive *archive)
{
    lm_arena arena;
    lm_archive_cost *costs = NULL;
    size_t count = 0, damaged = 0;
    unpacked told = {.count = 0};
    uint64_t rows = 0, expected = 0;
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, LIMIT, &mem), LM_OK);
    lm_arena_init(&arena, mem);
    lm_err err = lm_archive_costs(archive, &arena, unpacked_bad, &told, &costs, &count);
    assert_true(err == LM_OK || err == LM_E_CORRUPT);
    for (size_t i = 0; i < count; i++) {
        bool is_damaged = lm_str_equal(costs[i].what, LM_STR("damaged"));
        damaged += is_damaged;
        if (is_damaged || lm_str_equal(costs[i].what, LM_STR("raw")) ||
            lm_str_equal(costs[i].what, LM_STR("shape ids")))
            rows += costs[i].values;
    }
    for (size_t i = 0; i < lm_archive_segment_count(archive); i++)
        expected += lm_archive_segment_at(archive, i)->rows;
    assert_int_equal(rows, expected);
    assert_int_equal(told.bad_count, damaged);
    assert_int_equal(err, damaged ? LM_E_CORRUPT : LM_OK);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
}

/* Put the broken archive to every use. */
static outcome use(fixture *f, const char *bytes, size_t len)
{
    outcome o = {0};
    file_write(f->path, bytes, len);
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    assert_int_equal(lm_mem_new(NULL, LIMIT, &mem), LM_OK);
    for (size_t i = 0; i < 3; i++)
        o.lost += count_lines(&f->inputs[i]);
    o.open = lm_archive_open(mem, f->path, false, &archive);
    if (o.open) {
        lm_err_info info;
        lm_err_save(&info);
        snprintf(o.error, sizeof o.error, "%s", info.text);
        o.offset = info.offset;
        assert_true(o.open == LM_E_CORRUPT || o.open == LM_E_UNSUPPORTED || o.open == LM_E_LIMIT);
        assert_non_null(strstr(o.error, f->path));
    }
    lm_archive_close(archive);
    archive = NULL;
    o.salvage = lm_archive_open(mem, f->path, true, &archive);
    if (!o.salvage) {
        unpacked got, told = {.count = 0};
        o.segments = lm_archive_segment_count(archive);
        o.unpack = unpack_all(archive, &got);
        assert_true(o.unpack == LM_OK || o.unpack == LM_E_CORRUPT || o.unpack == LM_E_LIMIT);
        assert_int_equal(o.unpack == LM_E_CORRUPT, got.bad_count > 0);
        memcpy(o.bad, got.bad, sizeof o.bad);
        for (size_t i = 0; i < got.count && i < 3; i++)
            o.lost -= served_lines(&got.files[i], &f->inputs[i]);
        unpacked_free(&got);
        o.verify = lm_archive_verify(archive, NULL, unpacked_bad, &told);
        assert_int_equal(o.verify == LM_E_CORRUPT, told.bad_count > 0);
        if (told.bad_count) assert_non_null(strstr(told.bad, f->path));
        for (size_t i = 0; i < o.segments; i++)
            segment_ask(archive, i);
        for (size_t i = 0; i < lm_archive_template_count(archive); i++)
            (void)lm_archive_template_at(archive, i);
        lm_err counted = lm_archive_templates_count(archive, NULL, NULL);
        assert_true(counted == LM_OK || counted == LM_E_LIMIT);
        check_costs(archive);
    }
    lm_archive_close(archive);
    assert_int_equal(lm_mem_used(mem), 0);
    assert_true(lm_mem_peak(mem) <= LIMIT);
    lm_mem_free(mem);
    return o;
}

static void test_the_whole_archive_is_sound(void **state)
{
    fixture *f = *state;
    outcome o = use(f, f->whole.ptr, f->whole.len);
    assert_int_equal(o.open, LM_OK);
    assert_int_equal(o.unpack, LM_OK);
    assert_int_equal(o.verify, LM_OK);
    assert_int_equal(o.lost, 0);
}

/* Cut: never opened as if it were whole; the segments before the cut are served in full. */
static void check_cut(fixture *f, size_t len)
{
    outcome o = use(f, f->whole.ptr, len);
    assert_int_equal(o.open, LM_E_CORRUPT);
    size_t before = 0;
    while (before < f->segment_count && f->ends[before] <= len)
        before++;
    if (before == 0) return;
    assert_int_equal(o.salvage, LM_OK);
    /* what is behind the last whole segment may be the begin of another */
    assert_true(o.segments == before || o.segments == before + 1);
    size_t whole_lines = 0;
    for (size_t i = 0; i < before; i++)
        whole_lines += f->rows[i];
    assert_true(o.lost <= f->rows_total - whole_lines);
    assert_int_equal(o.unpack, LM_E_CORRUPT); /* the end is lost: nobody must take it for all */
    assert_int_equal(o.verify, LM_E_CORRUPT);
    assert_non_null(strstr(o.bad, "lost its end"));
}

static void test_cuts(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("cuts");
    for (size_t len = 0; len < 40; len++)
        check_cut(f, len);
    for (size_t i = 0; i < f->segment_count; i++) {
        for (size_t d = 0; d < 3; d++)
            check_cut(f, f->ends[i] + d - 1);
    }
    for (size_t i = 1; i < 30; i++)
        check_cut(f, f->whole.len - i);
    for (unsigned i = 0; i < 100; i++)
        check_cut(f, (size_t)lm_test_below(&rng, f->whole.len));
    outcome all = use(f, f->whole.ptr, f->ends[f->segment_count - 1]);
    assert_int_equal(all.lost, 0); /* only the end is gone: every line is there */
    outcome empty = use(f, "", 0);
    assert_int_equal(empty.salvage, LM_E_CORRUPT);
}

/* One flipped bit: at most one segment suffers, and never in silence. */
static void check_flip(fixture *f, size_t at, unsigned bit)
{
    char *copy = malloc(f->whole.len);
    assert_non_null(copy);
    memcpy(copy, f->whole.ptr, f->whole.len);
    copy[at] = (char)(copy[at] ^ (1 << bit));
    outcome o = use(f, copy, f->whole.len);
    free(copy);
    if (o.salvage)
        fail_msg("one flipped bit at %zu: nothing can be salvaged: %s", at, lm_err_text());
    if (o.lost > f->rows_max)
        fail_msg("a flipped bit at %zu costs %zu lines: %s", at, o.lost, o.bad);
    bool is_told = o.open || o.unpack || o.verify;
    if (!is_told) fail_msg("nobody tells of the flipped bit at %zu", at);
    if (o.lost && !o.open) {
        assert_int_equal(o.unpack, LM_E_CORRUPT);
        if (!strstr(o.bad, f->path) || !strstr(o.bad, "offset"))
            fail_msg("at %zu: '%s' names no file and offset", at, o.bad);
    }
    if (at >= f->ends[f->segment_count - 1]) {
        assert_int_equal(o.open, LM_E_CORRUPT);
        assert_int_equal(o.lost, 0);
        assert_true(o.offset != LM_NO_OFFSET);
    }
}

static void test_flipped_bits(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("flipped bits");
    for (size_t at = 0; at < 8 + 40; at++)
        check_flip(f, at, below(&rng, 8)); /* the magic, the first head */
    for (size_t i = 0; i + 1 < f->segment_count; i++)
        check_flip(f, f->ends[i] + below(&rng, 16), below(&rng, 8));
    for (size_t i = 1; i <= 24; i++)
        check_flip(f, f->whole.len - i, below(&rng, 8));
    for (unsigned i = 0; i < 250; i++)
        check_flip(f, (size_t)lm_test_below(&rng, f->whole.len), below(&rng, 8));
}

/* A damaged value column costs the rows that need it and no others. */
static void test_rows_without_the_damaged_column_are_served(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("a damaged column");
    text input = {NULL, 0, 0};
    char log[300], out[300];
    for (unsigned i = 0; i < 30000; i++) {
        if (i % 10 == 0)
            put(&input, "rare shape: key=%08x%08x\n", (unsigned)lm_test_random(&rng),
                (unsigned)lm_test_random(&rng));
        else
            put(&input, "plain line %u\n", below(&rng, 3));
    }
    snprintf(log, sizeof log, "%s/column.log", f->folder);
    snprintf(out, sizeof out, "%s/column.lm", f->folder);
    file_write(log, input.ptr, input.len);
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    lm_pack_report report;
    const char *paths[] = {log};
    lm_pack_options options = {.level = LM_LEVEL_FAST};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(
        lm_archive_pack(mem, NULL, paths, 1, &options, out, tell_pack_trouble, NULL, &report),
        LM_OK);
    text bytes = file_read(out);
    /* the keys are random, so their block is nearly all of the file: in its middle */
    bytes.ptr[bytes.len / 2] ^= 1;
    file_write(out, bytes.ptr, bytes.len);
    assert_int_equal(lm_archive_open(mem, out, false, &archive), LM_OK);
    unpacked got;
    assert_int_equal(unpack_all(archive, &got), LM_E_CORRUPT);
    assert_int_equal(got.bad_count, 1);
    assert_non_null(strstr(got.bad, "3000 of the lines 1 to 30000"));
    assert_int_equal(served_lines(&got.files[0], &input), 27000);
    unpacked_free(&got);
    lm_archive_close(archive);
    lm_mem_free(mem);
    text_free(&bytes);
    text_free(&input);
}

/* Damage in one block of plain text costs the lines in it, not the segment. */
static void test_raw_blocks_are_lost_one_by_one(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("raw blocks");
    text input = {NULL, 0, 0};
    char log[300], out[300];
    while (input.len < (9u << 20)) {
        uint64_t bits[12];
        for (unsigned k = 0; k < 12; k++)
            bits[k] = lm_test_random(&rng) | UINT64_C(0x8080808080808080); /* no line ends */
        text_put(&input, bits, 88 + below(&rng, 8));
        put(&input, "\n");
    }
    snprintf(log, sizeof log, "%s/raw.log", f->folder);
    snprintf(out, sizeof out, "%s/raw.lm", f->folder);
    file_write(log, input.ptr, input.len);
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    lm_pack_report report;
    const char *paths[] = {log};
    lm_pack_options options = {.level = LM_LEVEL_FAST, .segment_bytes = 16 << 20};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(
        lm_archive_pack(mem, NULL, paths, 1, &options, out, tell_pack_trouble, NULL, &report),
        LM_OK);
    assert_int_equal(report.segments, 1);
    text bytes = file_read(out);
    bytes.ptr[bytes.len / 2] ^= 1; /* of three blocks, the second */
    file_write(out, bytes.ptr, bytes.len);
    assert_int_equal(lm_archive_open(mem, out, false, &archive), LM_OK);
    unpacked got;
    assert_int_equal(unpack_all(archive, &got), LM_E_CORRUPT);
    size_t all = count_lines(&input), served = served_lines(&got.files[0], &input);
    assert_in_range(served, all / 2, all - 1);
    assert_memory_equal(got.files[0].ptr, input.ptr, 4000000);
    unpacked_free(&got);
    lm_archive_close(archive);
    lm_mem_free(mem);
    text_free(&bytes);
    text_free(&input);
}

/* A hostile file of many false beginnings is given up on, soon. */
static void test_salvage_of_false_segments_ends(void **state)
{
    fixture *f = *state;
    text t = {NULL, 0, 0};
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    put(&t, LM_ARCHIVE_MAGIC);
    for (uint32_t i = 0; i < 500000; i++) {
        uint32_t words[2] = {0x67534D4Cu, 2000000};
        text_put(&t, words, sizeof words);
    }
    file_write(f->path, t.ptr, t.len);
    assert_int_equal(lm_mem_new(NULL, LIMIT, &mem), LM_OK);
    assert_int_equal(lm_archive_open(mem, f->path, true, &archive), LM_E_CORRUPT);
    assert_non_null(strstr(lm_err_text(), f->path));
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    text_free(&t);
}

static void test_other_files_are_refused(void **state)
{
    fixture *f = *state;
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    static const char *const texts[] = {"2026-11-23 a log line\n", "logmill", LM_ARCHIVE_MAGIC,
                                        "\x1f\x8b\x08",
                                        "logmill2 and a long line behind it, of a later version"};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    for (size_t i = 0; i < 5; i++) {
        file_write(f->path, texts[i], strlen(texts[i]));
        for (unsigned salvage = 0; salvage < 2; salvage++) {
            assert_int_equal(lm_archive_open(mem, f->path, salvage, &archive), LM_E_CORRUPT);
            assert_non_null(strstr(lm_err_text(), f->path));
        }
    }
    assert_int_equal(lm_archive_open(mem, "/nowhere/at/all.lm", false, &archive), LM_E_NOTFOUND);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_archive_is_sound),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_rows_without_the_damaged_column_are_served),
        cmocka_unit_test(test_raw_blocks_are_lost_one_by_one),
        cmocka_unit_test(test_salvage_of_false_segments_ends),
        cmocka_unit_test(test_other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

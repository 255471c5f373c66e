/* What is packed comes back byte for byte: odd inputs, at every level, in large and tiny segments,
 * with one thread and with several; and the bytes of the archive do not depend on the threads. */
#include "archive_test.h"

#include <dirent.h>

typedef struct fixture {
    char folder[256];
    lm_pool *pool;
    lm_mem *pool_mem;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    lm_test_folder_make(f->folder);
    assert_int_equal(lm_mem_new(NULL, 0, &f->pool_mem), LM_OK);
    assert_int_equal(lm_pool_new(f->pool_mem, 4, &f->pool), LM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lm_pool_free(f->pool);
    lm_mem_free(f->pool_mem);
    lm_test_folder_remove(f->folder);
    free(f);
    return 0;
}

static text pack(fixture *f, lm_pool *pool, const char *const *paths, size_t count,
                 const lm_pack_options *options, const char *out)
{
    lm_mem *mem = NULL;
    lm_pack_report report;
    assert_int_equal(lm_mem_new(NULL, (size_t)256 << 20, &mem), LM_OK);
    if (lm_archive_pack(mem, pool, paths, count, options, out, tell_pack_trouble, NULL, &report))
        fail_msg("pack: %s", lm_err_text());
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    text bytes = file_read(out);
    assert_int_equal(report.bytes_out, bytes.len);
    assert_int_equal(report.files, count);
    (void)f;
    return bytes;
}

/* Unpack out and compare with the inputs; by index, and one file alone. */
static void check(const char *out, const text *inputs, size_t count)
{
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    unpacked all;
    assert_int_equal(lm_mem_new(NULL, (size_t)256 << 20, &mem), LM_OK);
    if (lm_archive_open(mem, out, false, &archive)) fail_msg("open: %s", lm_err_text());
    assert_int_equal(lm_archive_file_count(archive), count);
    if (unpack_all(archive, &all)) fail_msg("unpack: %s", lm_err_text());
    assert_int_equal(all.bad_count, 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(all.files[i].len, inputs[i].len);
        if (inputs[i].len) assert_memory_equal(all.files[i].ptr, inputs[i].ptr, inputs[i].len);
        assert_int_equal(lm_archive_file_at(archive, i)->bytes, inputs[i].len);
    }
    size_t one = count / 2;
    text_free(&all.files[one]);
    assert_int_equal(lm_archive_unpack(archive, NULL, one, unpacked_take, &all, unpacked_bad, &all),
                     LM_OK);
    assert_int_equal(all.files[one].len, inputs[one].len);
    if (inputs[one].len) assert_memory_equal(all.files[one].ptr, inputs[one].ptr, inputs[one].len);
    if (lm_archive_verify(archive, NULL, unpacked_bad, &all)) fail_msg("verify: %s", lm_err_text());
    unpacked_free(&all);
    lm_archive_close(archive);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

/* Pack one input in a way, with one thread and with four; the archive's size comes back. */
static size_t round_trip(fixture *f, const text *input, lm_level level, size_t segment_bytes)
{
    char log[300], one[300], four[300];
    snprintf(log, sizeof log, "%s/in.log", f->folder);
    snprintf(one, sizeof one, "%s/one.lm", f->folder);
    snprintf(four, sizeof four, "%s/four.lm", f->folder);
    file_write(log, input->ptr, input->len);
    lm_pack_options options = {.level = level, .segment_bytes = segment_bytes};
    const char *paths[] = {log};
    text a = pack(f, NULL, paths, 1, &options, one);
    text b = pack(f, f->pool, paths, 1, &options, four);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.ptr, b.ptr, a.len);
    check(one, input, 1);
    size_t bytes = a.len;
    text_free(&a);
    text_free(&b);
    return bytes;
}

static void round_trips(fixture *f, const text *input)
{
    for (int level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX; level++) {
        (void)round_trip(f, input, (lm_level)level, 0); /* the size matters elsewhere */
    }
    (void)round_trip(f, input, LM_LEVEL_FAST, 300); /* less than many lines have */
    (void)round_trip(f, input, LM_LEVEL_FAST, 4096);
    (void)round_trip(f, input, LM_LEVEL_DEFAULT, 20000);
}

static void whole(fixture *f, const char *bytes, size_t len)
{
    text t = {NULL, 0, 0};
    text_put(&t, bytes, len);
    round_trips(f, &t);
    text_free(&t);
}

#define WHOLE(f, literal) whole(f, literal, sizeof(literal) - 1)

static void test_small_odd_inputs(void **state)
{
    fixture *f = *state;
    WHOLE(f, "");
    WHOLE(f, "\n");
    WHOLE(f, "\n\n\n\n\n\n");
    WHOLE(f, "a");
    WHOLE(f, "no line end");
    WHOLE(f, "one\ntwo\nthree without one");
    WHOLE(f, "dos 1\r\ndos 2\r\n\r\nmixed 3\n4\r\r\n\r");
    WHOLE(f, "nul \0 in it\n\0\n\0\0\0\nx\0");
    WHOLE(f, "mark \1 in it\n\1V\n\1\nV\1V\1T\1S\1R\n\1R\n\"\1\" 12\n=\1 7");
    WHOLE(f, "caf\xe9 \xff\xfe\xc3\x28 \xf0\x90\x28\xbc 12\n\xef\xbb\xbf"
             "bom 1\n");
    WHOLE(f, "\x1b[31mred 12\x1b[0m \x1b[1;32mgreen\x1b[m\n\x1b[2K7%\r8%\r9%\n");
    WHOLE(f, "\t\t \n   \n 1 \n  22  \n");
}

static void test_numbers_at_their_limits(void **state)
{
    static const char *const values[] = {
        "0",
        "-0",
        "00",
        "-00",
        "1",
        "01",
        "-1",
        "-01",
        "999999999999999999",
        "-999999999999999999",
        "1000000000000000000",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "000000000000000000",
        "0000000000000000000",
        "1.5",
        "1.50",
        "1.500",
        "0.0",
        "-0.0",
        "-0.5",
        "00.5",
        "1.",
        ".5",
        "1e5",
        "1E5",
        "0x",
        "0x1F",
        "0x1f",
        "0X1F",
        "0x0",
        "0x00000000",
        "123.123456789012345",
        "123.1234567890123456",
        "1234567.123456789012",
        "12345678.123456789",
        "123456789.1",
        "256.1.1.1",
        "1.1.1.256",
        "0.0.0.0",
        "255.255.255.255",
        "010.1.1.1",
        "1.1.1.1.1",
        "1.1.1.",
        "deadbeef",
        "DEADBEEF",
        "DeadBeef",
        "ffffffffffffffff",
        "fffffffffffffffff",
        "ffffffffffffffffff",
        "d41d8cd98f00b204e9800998ecf8427e",
        "d41d8cd98f00b204e9800998ecf8427",
        "0d41d8cd98f00b204e9800998ecf8427e0",
        "12345678",
        "1234567a",
        "0234567a",
        "00000000",
        "12345678901234567890",
        "123e4567-e89b-42d3-a456-426614174000",
        "123E4567-E89B-42D3-A456-426614174000",
        "123e4567-e89b-42d3-a456-4266141740001",
        "12ms",
        "12.5ms",
        "1h2m3s",
        "4KB",
        "99%",
        "+7",
        "--7",
        "1,234,567",
        "1_000",
        "12:30",
        "12:30:61",
        "2026-02-30",
        "2026-02-30 25:61:61",
        "2026-11-23T13:00:00.123456789Z",
        "2026-11-23T13:00:00+25:00",
        "0000-00-00 00:00:00",
        "9999-12-31 23:59:59",
        "Feb 29 00:00:00",
        "Feb 30 00:00:00",
        "Jan  1 00:00:00",
        "Jan 01 00:00:00",
        "[10/Oct/2000:13:55:36 -0700]",
        "1764000000",
        "1764000000.123",
        "1764000000123",
    };

    enum { COUNT = sizeof values / sizeof values[0] };

    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("numbers at their limits");
    text t = {NULL, 0, 0};
    /* each beside itself, in every pair, and all of them in one column */
    for (size_t i = 0; i < COUNT; i++) {
        for (unsigned k = 0; k < 14; k++)
            put(&t, "same%zu %s end\n", i, values[i]);
    }
    for (unsigned i = 0; i < 400; i++)
        put(&t, "any value=%s, \"%s\" (%s)\n", values[below(&rng, COUNT)],
            values[below(&rng, COUNT)], values[below(&rng, COUNT)]);
    for (unsigned i = 0; i < COUNT; i++)
        put(&t, "%s\n", values[i]);
    round_trips(f, &t);
    /* columns of two classes: what may be joined to one is */
    for (unsigned i = 0; i < 60; i++) {
        const char *a = values[below(&rng, COUNT)], *b = values[below(&rng, COUNT)];
        t.len = 0;
        for (unsigned k = 0; k < 40; k++)
            put(&t, "value %s.\n", below(&rng, 2) ? a : b);
        (void)round_trip(f, &t, LM_LEVEL_FAST, 0); /* only the bytes matter */
    }
    text_free(&t);
}

static void test_mixed_widths(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("mixed widths");
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < 500; i++) {
        put(&t, "w %0*u %0*x h%0*X d %u.%0*u n %d\n", 1 + (int)below(&rng, 6), below(&rng, 1000),
            1 + (int)below(&rng, 12), (unsigned)lm_test_random(&rng), 1 + (int)below(&rng, 4),
            below(&rng, 65536), below(&rng, 30), 1 + (int)below(&rng, 9), below(&rng, 1000),
            (int)below(&rng, 2000) - 1000);
        put(&t, "pad %02u:%03u hex %08x %x wide %0*x%016llx\n", below(&rng, 100), below(&rng, 1000),
            (unsigned)lm_test_random(&rng), below(&rng, 300), 1 + (int)below(&rng, 9),
            below(&rng, 16), (unsigned long long)lm_test_random(&rng));
    }
    round_trips(f, &t);
    text_free(&t);
}

static void test_quotations(void **state)
{
    static const char *const parts[] = {"\"", "\\\"", "\\", "\\\\", "a b",         " ",
                                        "=",  ":",    ",",  "x=",   "\"k\":\"v\"", "\"\"",
                                        "12", "{",    "}",  "\t",   "word",        "'"};
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("quotations");
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < 1500; i++) {
        for (unsigned n = 1 + below(&rng, 14); n > 0; n--)
            put(&t, "%s", parts[below(&rng, sizeof parts / sizeof parts[0])]);
        put(&t, "\n");
    }
    put(&t, "open \"");
    round_trips(f, &t);
    text_free(&t);
}

static void test_random_lines(void **state)
{
    static const char alphabet[] = "0123456789abfxAF.-:/=\"\\ ,[]{}()T%_\r\t\1\x1b\xe9";
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("random lines");
    for (unsigned round = 0; round < 12; round++) {
        text t = {NULL, 0, 0};
        unsigned letters = 2 + below(&rng, sizeof alphabet - 3),
                 first = below(&rng, (unsigned)sizeof alphabet - letters);
        for (unsigned i = 0; i < 400; i++) {
            for (unsigned n = below(&rng, 40); n > 0; n--)
                text_put(&t, &alphabet[first + below(&rng, letters)], 1);
            put(&t, "\n");
        }
        (void)round_trip(f, &t, LM_LEVEL_FAST, round % 2 ? 0 : 2000);
        (void)round_trip(f, &t, LM_LEVEL_DEFAULT, round % 2 ? 2000 : 0);
        text_free(&t);
    }
}

static void test_long_lines(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("long lines");
    text t = {NULL, 0, 0};
    put(&t, "short 1\n");
    for (unsigned i = 0; i < 30000; i++)
        put(&t, "%c%u", "ab,. "[below(&rng, 5)],
            below(&rng, 10)); /* far more variables than a shape may have */
    put(&t, "\nshort 2\n");
    for (unsigned i = 0; i < 100000; i++)
        put(&t, "%c", 'a' + (int)below(&rng, 26));
    put(&t, "\nshort 3\n");
    for (unsigned i = 0; i < 4096; i++)
        put(&t, " %u", i);
    put(&t, "\n");
    for (unsigned i = 0; i < 4095; i++)
        put(&t, " %u", i);
    put(&t, "\nshort 4");
    round_trips(f, &t);
    t.len = 0;
    for (unsigned i = 0; i < 50; i++)
        put(&t, "before %u\n", i);
    size_t long_at = t.len;
    while (t.len < long_at + (3u << 20))
        put(&t, "a long line of pieces %u ", below(&rng, 100));
    put(&t, "\n");
    for (unsigned i = 0; i < 3000; i++)
        put(&t, "after %u\n", i);
    /* a segment that had to grow for one line must not leave other segments larger, with one thread
     * or with four */
    (void)round_trip(f, &t, LM_LEVEL_FAST, 4096);
    (void)round_trip(f, &t, LM_LEVEL_DEFAULT, 0);
    text_free(&t);
}

/* Behind a line that its buffer had to be doubled twice for, the next buffer begins with more than
 * a segment. It must not be made for all that is left of the input. */
static void test_long_lines_take_no_memory_for_the_rest(void **state)
{
    enum { SEGMENT = 256 << 10, REST = 24 << 20 };

    fixture *f = *state;
    char log[300], out[300];
    lm_mem *mem = NULL;
    lm_pack_report report;
    lm_test_rng rng = lm_test_rng_make("long lines and memory");
    text t = {NULL, 0, 0};
    for (unsigned line = 0; line < 2; line++) {
        for (size_t end = t.len + SEGMENT * 5 / 2; t.len < end;)
            put(&t, "a piece of a long line %u ", below(&rng, 1000));
        put(&t, "\n");
    }
    while (t.len < REST)
        put(&t, "a line of the rest of the input, which is no longer than most are %u\n",
            below(&rng, 1000));
    snprintf(log, sizeof log, "%s/long.log", f->folder);
    snprintf(out, sizeof out, "%s/long.lm", f->folder);
    file_write(log, t.ptr, t.len);
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    const char *path = log;
    lm_pack_options options = {.level = LM_LEVEL_FAST, .segment_bytes = SEGMENT};
    assert_int_equal(
        lm_archive_pack(mem, NULL, &path, 1, &options, out, tell_pack_trouble, NULL, &report),
        LM_OK);
    assert_int_equal(report.bytes_in, t.len);
    assert_in_range(lm_mem_peak(mem), 0, REST - 1);
    lm_mem_free(mem);
    text_free(&t);
}

static void test_bytes_without_order_cost_little(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("random bytes");
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < 1u << 20; i += 8) {
        uint64_t bits = lm_test_random(&rng);
        text_put(&t, &bits, sizeof bits);
    }
    for (int level = LM_LEVEL_FAST; level <= LM_LEVEL_DEFAULT; level++) {
        size_t bytes = round_trip(f, &t, (lm_level)level, 0);
        assert_in_range(bytes, t.len, t.len + t.len / 1000 + 512);
    }
    t.len = 100;
    assert_true(round_trip(f, &t, LM_LEVEL_DEFAULT, 0) < 1024);
    text_free(&t);
}

static void test_every_line_a_new_shape(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("new shapes");
    text t = {NULL, 0, 0};
    for (unsigned i = 0; i < 4000; i++) {
        for (unsigned n = 2 + below(&rng, 9); n > 0; n--) {
            for (unsigned k = 1 + below(&rng, 7); k > 0; k--)
                put(&t, "%c", 'a' + (int)below(&rng, 26));
            put(&t, below(&rng, 3) ? " " : " 12 ");
        }
        put(&t, "\n");
    }
    (void)round_trip(f, &t, LM_LEVEL_FAST, 0);
    (void)round_trip(f, &t, LM_LEVEL_DEFAULT, 20000);
    text_free(&t);
}

static void test_logs(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("logs");
    for (unsigned kind = 0; kind <= LOG_KINDS; kind++) {
        text t = {NULL, 0, 0};
        put_log(&t, &rng, kind, 600);
        round_trips(f, &t);
        text_free(&t);
    }
}

static void test_many_files(void **state)
{
    enum { FILES = 40 };

    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("many files");
    text inputs[FILES] = {{NULL, 0, 0}};
    char names[FILES][320], out[300], other[300];
    const char *paths[FILES];
    for (unsigned i = 0; i < FILES; i++) {
        put_log(&inputs[i], &rng, i % (LOG_KINDS + 1), below(&rng, 60));
        if (i % 3 == 0 && inputs[i].len) inputs[i].len--; /* no final line end */
        snprintf(names[i], sizeof names[i], "%s/%u.log", f->folder, i);
        file_write(names[i], inputs[i].ptr, inputs[i].len);
        paths[i] = names[i];
    }
    snprintf(out, sizeof out, "%s/many.lm", f->folder);
    snprintf(other, sizeof other, "%s/other.lm", f->folder);
    for (unsigned way = 0; way < 3; way++) {
        lm_pack_options options = {.level = way == 2 ? LM_LEVEL_DEFAULT : LM_LEVEL_FAST,
                                   .segment_bytes = way == 1 ? 3000 : 0};
        text a = pack(f, NULL, paths, FILES, &options, out);
        text b = pack(f, f->pool, paths, FILES, &options, other);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.ptr, b.ptr, a.len);
        check(out, inputs, FILES);
        text_free(&a);
        text_free(&b);
    }
    for (unsigned i = 0; i < FILES; i++)
        text_free(&inputs[i]);
}

/* Names stay below the folder they will be unpacked to, and no two are the same. */
static void test_names(void **state)
{
    fixture *f = *state;
    char sub[300], plain[320], dotted[360], twice[340], out[300];
    text input = {NULL, 0, 0};
    put(&input, "line 1\n");
    snprintf(sub, sizeof sub, "%s/sub", f->folder);
    assert_int_equal(lm_folder_make(sub), LM_OK);
    snprintf(plain, sizeof plain, "%s/a.log", f->folder);
    snprintf(dotted, sizeof dotted, "%s/sub/../sub/.././a.log", f->folder);
    snprintf(twice, sizeof twice, "%s//a.log", f->folder);
    snprintf(out, sizeof out, "%s/names.lm", f->folder);
    file_write(plain, input.ptr, input.len);
    const char *paths[] = {plain, dotted, twice, plain};
    text inputs[] = {input, input, input, input};
    lm_pack_options options = {.level = LM_LEVEL_FAST};
    text bytes = pack(f, NULL, paths, 4, &options, out);
    text_free(&bytes);
    check(out, inputs, 4);
    lm_mem *mem = NULL;
    lm_archive *archive = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(lm_archive_open(mem, out, false, &archive), LM_OK);
    for (size_t i = 0; i < 4; i++) {
        lm_str name = lm_archive_file_at(archive, i)->name;
        assert_true(name.len > 0 && name.ptr[0] != '/');
        assert_int_equal(lm_str_find(name, LM_STR("..")), SIZE_MAX);
        for (size_t k = 0; k < i; k++)
            assert_false(lm_str_equal(name, lm_archive_file_at(archive, k)->name));
    }
    lm_archive_close(archive);
    lm_mem_free(mem);
    text_free(&input);
}

static void test_a_missing_file_is_told_and_the_rest_packed(void **state)
{
    fixture *f = *state;
    char plain[300], missing[300], out[300];
    text input = {NULL, 0, 0};
    put(&input, "line 1\nline 2\n");
    snprintf(plain, sizeof plain, "%s/here.log", f->folder);
    snprintf(missing, sizeof missing, "%s/nowhere.log", f->folder);
    snprintf(out, sizeof out, "%s/missing.lm", f->folder);
    file_write(plain, input.ptr, input.len);
    lm_mem *mem = NULL;
    lm_pack_report report;
    const char *paths[] = {missing, plain};
    lm_pack_options options = {.level = LM_LEVEL_FAST};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    assert_int_equal(
        lm_archive_pack(mem, NULL, paths, 2, &options, out, tell_pack_trouble, NULL, &report),
        LM_OK);
    assert_int_equal(report.files, 1);
    lm_mem_free(mem);
    check(out, &input, 1);
    text_free(&input);
}

static void test_small_inputs_cost_little_more_than_plain_zstd(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("small inputs");
    text t = {NULL, 0, 0};
    put_log(&t, &rng, LOG_SYSLOG, 100);
    assert_true(round_trip(f, &t, LM_LEVEL_DEFAULT, 0) < t.len / 2);
    text_free(&t);
}

/* The shared corpus, if it lies beside the source. */
static void test_corpus(void **state)
{
    fixture *f = *state;
    const char *shared = getenv("LOGMILL_SHARED"), *source = getenv("LOGMILL_SOURCE");
    char folder[512];
    if (shared)
        snprintf(folder, sizeof folder, "%s/corpus/loghub2k", shared);
    else
        snprintf(folder, sizeof folder, "%s/../shared/corpus/loghub2k", source ? source : ".");
    DIR *dir = opendir(folder);
    if (!dir) {
        printf("# left out: no corpus at %s\n", folder);
        skip();
    }
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[1024], out[300];
        if (!strstr(entry->d_name, ".log")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        snprintf(out, sizeof out, "%s/corpus.lm", f->folder);
        lm_mem *mem = NULL;
        lm_source *in = NULL;
        text plain = {NULL, 0, 0};
        uint8_t chunk[8192];
        assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
        if (lm_source_open(mem, path, false, &in)) fail_msg("%s", lm_err_text());
        for (size_t n = 1; n > 0;) {
            assert_int_equal(lm_source_read(in, chunk, sizeof chunk, &n), LM_OK);
            text_put(&plain, chunk, n);
        }
        lm_source_close(in);
        lm_mem_free(mem);
        const char *paths[] = {path};
        lm_pack_options options = {.level = count % 2 ? LM_LEVEL_FAST : LM_LEVEL_DEFAULT,
                                   .segment_bytes = count % 3 ? 0 : 50000};
        text bytes = pack(f, f->pool, paths, 1, &options, out);
        text_free(&bytes);
        check(out, &plain, 1);
        text_free(&plain);
        count++;
    }
    closedir(dir);
    printf("# %u files of the corpus\n", count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_odd_inputs),
        cmocka_unit_test(test_numbers_at_their_limits),
        cmocka_unit_test(test_mixed_widths),
        cmocka_unit_test(test_quotations),
        cmocka_unit_test(test_random_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_long_lines_take_no_memory_for_the_rest),
        cmocka_unit_test(test_bytes_without_order_cost_little),
        cmocka_unit_test(test_every_line_a_new_shape),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_missing_file_is_told_and_the_rest_packed),
        cmocka_unit_test(test_small_inputs_cost_little_more_than_plain_zstd),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

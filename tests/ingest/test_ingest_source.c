/** ingest_source.c, ingest_unpack.c: what comes out of packed files, whole, cut and damaged. */
#include "lm_test.h"

#include "ingest/ingest_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#if LM_HAVE_GZIP
#    include <zlib.h>
#endif
#if LM_HAVE_XZ
#    include <lzma.h>
#endif
#if LM_HAVE_BZIP2
#    include <bzlib.h>
#endif

enum { TEXT_BYTES = 700000, PACKED_CAP = 2 * TEXT_BYTES };

typedef struct fixture {
    lm_mem *mem;
    char folder[256], path[300];
    uint8_t *text, *packed, *back; /* TEXT_BYTES, PACKED_CAP, 4 * TEXT_BYTES */
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(lm_mem_new(NULL, 0, &f->mem), LM_OK);
    lm_test_folder_make(f->folder);
    snprintf(f->path, sizeof f->path, "%s/file", f->folder);
    f->text = malloc(TEXT_BYTES);
    f->packed = malloc(PACKED_CAP);
    f->back = malloc(4 * TEXT_BYTES);
    assert_true(f->text && f->packed && f->back);
    lm_test_rng rng = lm_test_rng_make("source");
    for (size_t len = 0; len < TEXT_BYTES;) {
        char line[120];
        int n =
            snprintf(line, sizeof line, "2026-11-23 13:%02u:%02u worker-%u took job %llx\n",
                     (unsigned)(len / 9000 % 60), (unsigned)(len / 150 % 60),
                     (unsigned)lm_test_below(&rng, 8), (unsigned long long)lm_test_random(&rng));
        size_t take = (size_t)n < TEXT_BYTES - len ? (size_t)n : TEXT_BYTES - len;
        memcpy(f->text + len, line, take);
        len += take;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(lm_mem_used(f->mem), 0);
    lm_mem_free(f->mem);
    lm_test_folder_remove(f->folder);
    free(f->text);
    free(f->packed);
    free(f->back);
    free(f);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* ---- packing with the libraries themselves ---- */

static size_t pack_zstd(const uint8_t *text, size_t len, uint8_t *dst)
{
    size_t n = ZSTD_compress(dst, PACKED_CAP, text, len, 3);
    assert_false(ZSTD_isError(n));
    return n;
}

#if LM_HAVE_GZIP
static size_t pack_gzip(const uint8_t *text, size_t len, uint8_t *dst)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)len;
    z.next_out = dst;
    z.avail_out = PACKED_CAP;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}
#endif

#if LM_HAVE_XZ
static size_t pack_xz(const uint8_t *text, size_t len, uint8_t *dst)
{
    size_t n = 0;
    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, text, len, dst, &n, PACKED_CAP),
        LZMA_OK);
    return n;
}
#endif

#if LM_HAVE_BZIP2
static size_t pack_bzip2(const uint8_t *text, size_t len, uint8_t *dst)
{
    unsigned n = PACKED_CAP;
    assert_int_equal(
        BZ2_bzBuffToBuffCompress((char *)dst, &n, (char *)(uintptr_t)text, (unsigned)len, 1, 0, 0),
        BZ_OK);
    return n;
}
#endif

typedef struct packer {
    lm_packing packing;
    size_t (*pack)(const uint8_t *text, size_t len, uint8_t *dst);
} packer;

static const packer packers[] = {
    {LM_PACKING_ZSTD, pack_zstd},
#if LM_HAVE_GZIP
    {LM_PACKING_GZIP, pack_gzip},
#endif
#if LM_HAVE_XZ
    {LM_PACKING_XZ, pack_xz},
#endif
#if LM_HAVE_BZIP2
    {LM_PACKING_BZIP2, pack_bzip2},
#endif
};

enum { PACKERS = sizeof packers / sizeof *packers };

/** Reads all of f->path in pieces of cap; the bytes into f->back. */
static lm_err read_back(fixture *f, bool raw, size_t cap, lm_packing want, size_t *out_len)
{
    lm_source *source = NULL;
    *out_len = 0;
    lm_err err = lm_source_open(f->mem, f->path, raw, &source);
    if (err) return err;
    assert_int_equal(lm_source_packing(source), want);
    for (;;) {
        size_t n = 12345;
        assert_true(*out_len + cap <= 4 * TEXT_BYTES);
        err = lm_source_read(source, f->back + *out_len, cap, &n);
        if (err) {
            assert_int_equal(n, 12345); /* untouched */
            size_t again = 0;
            assert_int_equal(lm_source_read(source, f->back, cap, &again), err); /* and stays so */
            break;
        }
        assert_true(n <= cap);
        if (n == 0) break;
        *out_len += n;
    }
    lm_source_close(source);
    return err;
}

static void every_packing_gives_the_bytes_back(void **state)
{
    fixture *f = *state;
    static const size_t lens[] = {0, 1, 15, 100, TEXT_BYTES};
    static const size_t caps[] = {1, 4099, TEXT_BYTES};
    for (size_t p = 0; p < PACKERS; p++) {
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            size_t packed = packers[p].pack(f->text, lens[i], f->packed), len;
            write_file(f->path, f->packed, packed);
            for (size_t c = lens[i] > 1000; c < sizeof caps / sizeof *caps; c++) {
                assert_int_equal(read_back(f, false, caps[c], packers[p].packing, &len), LM_OK);
                assert_int_equal(len, lens[i]);
                assert_memory_equal(f->back, f->text, len);
            }
            assert_int_equal(read_back(f, true, TEXT_BYTES, LM_PACKING_NONE, &len),
                             LM_OK); /* raw: as it is */
            assert_int_equal(len, packed);
            assert_memory_equal(f->back, f->packed, len);
        }
    }
    size_t len;
    write_file(f->path, f->text, TEXT_BYTES);
    assert_int_equal(read_back(f, false, 5000, LM_PACKING_NONE, &len), LM_OK);
    assert_int_equal(len, TEXT_BYTES);
    assert_memory_equal(f->back, f->text, len);
}

static void members_behind_one_another_are_one_text(void **state)
{
    fixture *f = *state;
    static const uint8_t zeros[512] = {0};
    for (size_t p = 0; p < PACKERS; p++) {
        size_t half = TEXT_BYTES / 2 + 1, len;
        size_t first = packers[p].pack(f->text, half, f->packed);
        size_t second = packers[p].pack(f->text, 0, f->packed + first); /* an empty one between */
        size_t third =
            packers[p].pack(f->text + half, TEXT_BYTES - half, f->packed + first + second);
        size_t total = first + second + third;
        write_file(f->path, f->packed, total);
        assert_int_equal(read_back(f, false, 100000, packers[p].packing, &len), LM_OK);
        assert_int_equal(len, TEXT_BYTES);
        assert_memory_equal(f->back, f->text, len);
        memcpy(f->packed + total, zeros, sizeof zeros); /* padding, as from a tape */
        write_file(f->path, f->packed, total + sizeof zeros);
        assert_int_equal(read_back(f, false, 100000, packers[p].packing, &len), LM_OK);
        assert_int_equal(len, TEXT_BYTES);
        memcpy(f->packed + total, "what is this doing here", 23);
        write_file(f->path, f->packed, total + 23);
        assert_int_equal(read_back(f, false, 100000, packers[p].packing, &len), LM_E_CORRUPT);
        assert_int_equal(len, TEXT_BYTES); /* all good bytes first */
        assert_non_null(strstr(lm_err_text(), f->path));
    }
}

static void a_cut_file_gives_its_good_bytes_and_says_where_it_ends(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("cut");
    for (size_t p = 0; p < PACKERS; p++) {
        size_t packed = packers[p].pack(f->text, TEXT_BYTES, f->packed);
        for (int round = 0; round < 25; round++) {
            size_t cut = round < 5 ? packed - 1 - (size_t)round
                                   : 16 + lm_test_below(&rng, packed - 16),
                   len;
            write_file(f->path, f->packed, cut);
            assert_int_equal(read_back(f, false, 65536, packers[p].packing, &len), LM_E_CORRUPT);
            assert_true(len <= TEXT_BYTES);
            assert_memory_equal(f->back, f->text, len);
            lm_err_info info;
            lm_err_save(&info);
            assert_int_equal(info.offset, cut);
            assert_non_null(strstr(info.text, f->path));
        }
    }
}

static void a_flipped_bit_never_gives_wrong_bytes_unnoticed(void **state)
{
    fixture *f = *state;
    lm_test_rng rng = lm_test_rng_make("flip");
    for (size_t p = 0; p < PACKERS; p++) {
        bool has_checksum = packers[p].packing != LM_PACKING_ZSTD; /* ZSTD_compress writes none */
        size_t packed = packers[p].pack(f->text, 100000, f->packed);
        for (int round = 0; round < 60; round++) {
            size_t at = 12 + lm_test_below(&rng, packed - 12);
            uint8_t bit = (uint8_t)(1u << lm_test_below(&rng, 8));
            f->packed[at] ^= bit;
            write_file(f->path, f->packed, packed);
            lm_source *source = NULL;
            lm_err err = lm_source_open(f->mem, f->path, false, &source);
            assert_int_equal(err, LM_OK);
            size_t total = 0, n = 1;
            while (!err && n && total < 3 * TEXT_BYTES) {
                err = lm_source_read(source, f->back + total, 65536, &n);
                if (!err) total += n;
            }
            lm_source_close(source);
            f->packed[at] ^= bit;
            if (has_checksum && !err) {
                assert_int_equal(total, 100000);
                assert_memory_equal(f->back, f->text, total);
            }
        }
    }
}

static void missing_files_and_folders_are_named(void **state)
{
    fixture *f = *state;
    lm_source *source = NULL;
    assert_int_equal(lm_source_open(f->mem, "/nowhere/to/be/found", false, &source), LM_E_NOTFOUND);
    assert_non_null(strstr(lm_err_text(), "/nowhere/to/be/found"));
    assert_int_equal(lm_source_open(f->mem, f->folder, false, &source), LM_E_IO);
    assert_non_null(strstr(lm_err_text(), f->folder));
    assert_null(source);
}

/* A pipe that is written in pieces smaller than a magic number, and a file that grows while it is
 * read. */
static void small_pieces_and_growing_files_are_read_whole(void **state)
{
    fixture *f = *state;
    char fifo[300];
    snprintf(fifo, sizeof fifo, "%s/fifo", f->folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    size_t packed = pack_zstd(f->text, 5000, f->packed);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(fifo, O_WRONLY);
        for (size_t i = 0; i < packed; i++) {
            if (write(fd, f->packed + i, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    lm_source *source = NULL;
    assert_int_equal(lm_source_open(f->mem, fifo, false, &source), LM_OK);
    assert_int_equal(lm_source_packing(source), LM_PACKING_ZSTD);
    size_t n = 0, total = 0;
    do {
        assert_int_equal(lm_source_read(source, f->back + total, 100000, &n), LM_OK);
        total += n;
    } while (n);
    lm_source_close(source);
    assert_int_equal(total, 5000);
    assert_memory_equal(f->back, f->text, total);

    write_file(f->path, f->text, 1000);
    assert_int_equal(lm_source_open(f->mem, f->path, false, &source), LM_OK);
    assert_int_equal(lm_source_read(source, f->back, 500, &n), LM_OK);
    assert_int_equal(n, 500);
    FILE *file = fopen(f->path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(f->text + 1000, 1, 1000, file), 1000);
    fclose(file);
    assert_int_equal(lm_source_read(source, f->back + 500, 100000, &n), LM_OK);
    assert_int_equal(n, 1500);
    assert_memory_equal(f->back, f->text, 2000);
    lm_source_close(source);
}

static void a_window_larger_than_the_limit_is_refused(void **state)
{
    fixture *f = *state;
    /* a frame that claims a window of 1 GiB, and content to need it */
    static const uint8_t frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA0, 0x01, 0x00, 0x00,
                                    0,    0,    0,    0,    0,    0,    0,    0,    0};
    write_file(f->path, frame, sizeof frame);
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 8u << 20, &mem), LM_OK);
    lm_source *source = NULL;
    assert_int_equal(lm_source_open(mem, f->path, false, &source), LM_OK);
    size_t n = 0;
    lm_err err = lm_source_read(source, f->back, 1000, &n);
    assert_true(err == LM_E_LIMIT || err == LM_E_CORRUPT);
    lm_source_close(source);
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
}

static const char *alloc_path;

static lm_err read_once(lm_mem *mem)
{
    static uint8_t dst[200000];
    lm_source *source = NULL;
    size_t n = 1;
    lm_err err = lm_source_open(mem, alloc_path, false, &source);
    while (!err && n) {
        err = lm_source_read(source, dst, sizeof dst, &n);
    }
    lm_source_close(source);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    fixture *f = *state;
    alloc_path = f->path;
    for (size_t p = 0; p < PACKERS; p++) {
        size_t packed = packers[p].pack(f->text, 100000, f->packed);
        write_file(f->path, f->packed, packed);
        LM_TEST_EACH_ALLOCATION_FAILS(mem, read_once(mem));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_packing_gives_the_bytes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(members_behind_one_another_are_one_text, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_file_gives_its_good_bytes_and_says_where_it_ends,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_never_gives_wrong_bytes_unnoticed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(missing_files_and_folders_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(small_pieces_and_growing_files_are_read_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_window_larger_than_the_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(each_failed_allocation_is_reported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

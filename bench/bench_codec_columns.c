/** Columns as a log has them, made up: for each level and kind one JSON line with bytes in and out,
 * and CPU time both ways. */
#include "codec/codec.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 200000, RUNS = 3 };

typedef struct sample {
    const char *name;
    lm_column column;
    size_t bytes;
} sample;

static uint64_t pick(uint64_t i, uint64_t below)
{
    return lm_hash_u64(i + 1) % below;
}

/** Small numbers often, large ones rarely. */
static uint32_t skewed(uint64_t i, uint32_t below)
{
    return (uint32_t)(pick(i, below) * pick(i + ROWS, below) / below);
}

static int64_t number_at(unsigned kind, size_t i, int64_t before)
{
    switch (kind) {
    case 0:
        return before + (int64_t)skewed(i, 400); /* milliseconds */
    case 1:
        return (int64_t)skewed(i, 100000); /* durations */
    case 2:
        return 4096 * (int64_t)skewed(i, 1000); /* sizes */
    default:
        return 0x0a000000 + (int64_t)skewed(i, 300);
    }
}

static size_t make_samples(sample *out)
{
    static const char *const names[] = {"time", "duration", "size", "address"};
    static const lm_column_role roles[] = {LM_ROLE_TIME, LM_ROLE_NUMBER, LM_ROLE_NUMBER,
                                           LM_ROLE_ADDRESS};
    size_t n = 0;
    for (unsigned k = 0; k < 4; k++) {
        int64_t *v = malloc(ROWS * sizeof *v), before = 1700000000000;
        if (!v) exit(5);
        for (size_t i = 0; i < ROWS; i++)
            before = v[i] = number_at(k, i, before);
        out[n++] = (sample){names[k],
                            {.type = LM_COLUMN_INT, .role = roles[k], .count = ROWS, .ints = v},
                            ROWS * sizeof *v};
    }
    uint32_t *ids = malloc(ROWS * sizeof *ids);
    if (!ids) exit(5);
    for (size_t i = 0; i < ROWS; i++) { /* mostly sequences of events that come back */
        bool odd = pick(i, 20) == 0 || i == 0;
        ids[i] = odd ? skewed(i, 300) : (uint32_t)(lm_hash_u64(ids[i - 1]) % 300);
    }
    out[n++] = (sample){
        "shapes",
        {.type = LM_COLUMN_ID, .role = LM_ROLE_SHAPES, .count = ROWS, .alphabet = 300, .ids = ids},
        ROWS * sizeof *ids};
    char *text = malloc((size_t)ROWS * 40);
    if (!text) exit(5);
    size_t len = 0;
    for (size_t i = 0; i < ROWS; i++) {
        len += (size_t)sprintf(text + len, "/api/v1/item/%" PRIu64 "/part%u\n", pick(i, 100000),
                               skewed(i, 50));
    }
    out[n++] = (sample){"text",
                        {.type = LM_COLUMN_BYTES,
                         .role = LM_ROLE_TEXT,
                         .count = (uint32_t)len,
                         .bytes = (uint8_t *)text},
                        len};
    return n;
}

static lm_err measure(lm_mem *mem, const sample *s, lm_level level)
{
    uint64_t pack_ns = UINT64_MAX, unpack_ns = UINT64_MAX;
    size_t stored = 0;
    lm_err err = LM_OK;
    for (int run = 0; run < (level == LM_LEVEL_MAX ? 1 : RUNS) && !err; run++) {
        lm_buf blocks, directory;
        lm_buf_init(&blocks, mem);
        lm_buf_init(&directory, mem);
        lm_arena arena;
        lm_arena_init(&arena, mem);
        lm_columns *open = NULL;
        lm_column got;
        uint64_t start = lm_clock_cpu_ns();
        err = lm_columns_encode(mem, NULL, &s->column, 1, level, &blocks, &directory, NULL);
        uint64_t middle = lm_clock_cpu_ns();
        if (!err)
            err = lm_columns_open(mem, (lm_str){directory.ptr, directory.len},
                                  (lm_str){blocks.ptr, blocks.len}, 0, &open);
        if (!err) err = lm_columns_decode(open, 0, &arena, &got);
        uint64_t end = lm_clock_cpu_ns();
        if (!err && memcmp(got.bytes, s->column.bytes, s->bytes) != 0)
            err = lm_fail(LM_E_CORRUPT, "%s does not come back", s->name);
        stored = blocks.len + directory.len;
        if (middle - start < pack_ns) pack_ns = middle - start;
        if (end - middle < unpack_ns) unpack_ns = end - middle;
        lm_columns_free(open);
        lm_arena_fini(&arena);
        lm_buf_fini(&directory);
        lm_buf_fini(&blocks);
    }
    if (err) return err;
    printf("{\"name\":\"codec_columns\",\"input\":\"%s\",\"level\":%d,\"bytes_in\":%zu,\"bytes_"
           "out\":%zu,\"cpu_ns_min\":%" PRIu64 ",\"decode_cpu_ns_min\":%" PRIu64 ",\"runs\":%d}\n",
           s->name, (int)level, s->bytes, stored, pack_ns, unpack_ns,
           level == LM_LEVEL_MAX ? 1 : RUNS);
    return LM_OK;
}

int main(void)
{
    lm_mem *mem = NULL;
    lm_err err = lm_mem_new(NULL, 0, &mem);
    sample samples[8];
    size_t count = make_samples(samples);
    for (lm_level level = LM_LEVEL_FAST; level <= LM_LEVEL_MAX && !err; level++) {
        for (size_t i = 0; i < count && !err; i++)
            err = measure(mem, &samples[i], level);
    }
    if (err) fprintf(stderr, "bench_codec_columns: %s\n", lm_err_text());
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)samples[i].column.bytes);
    lm_mem_free(mem);
    return err ? 1 : 0;
}

/** Columns made of any bytes come back at every level. */
#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS = 6 };

static size_t plain_bytes(const lm_column *c)
{
    if (c->type == LM_COLUMN_INT) return c->count * sizeof *c->ints;
    return c->type == LM_COLUMN_ID ? c->count * sizeof *c->ids
                                   : (size_t)c->count * (c->type == LM_COLUMN_WIDE ? c->width : 1);
}

static void check(lm_mem *mem, const lm_column *columns, lm_level level)
{
    lm_buf blocks, directory;
    lm_buf_init(&blocks, mem);
    lm_buf_init(&directory, mem);
    lm_err err = lm_columns_encode(mem, NULL, columns, COLUMNS, level, &blocks, &directory, NULL);
    LM_ASSERT(err == LM_OK);
    lm_columns *open = NULL;
    err = lm_columns_open(mem, (lm_str){directory.ptr, directory.len},
                          (lm_str){blocks.ptr, blocks.len}, 0, &open);
    LM_ASSERT(err == LM_OK && lm_columns_count(open) == COLUMNS);
    lm_arena arena;
    lm_arena_init(&arena, mem);
    for (size_t i = 0; i < COLUMNS; i++) {
        lm_column got;
        err = lm_columns_decode(open, i, &arena, &got);
        LM_ASSERT(err == LM_OK && got.count == columns[i].count);
        LM_ASSERT(got.count == 0 || memcmp(got.bytes, columns[i].bytes, plain_bytes(&got)) == 0);
    }
    lm_arena_fini(&arena);
    lm_columns_free(open);
    lm_buf_fini(&directory);
    lm_buf_fini(&blocks);
}

/* Byte 0: how far integers are repeated and spread; the rest are the values. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    if (size < 1 || size > 8192 || lm_mem_new(NULL, 0, &mem)) return 0;
    uint32_t count = (uint32_t)size - 1, repeat = 1 + data[0] % 8;
    const uint8_t *bytes = data + 1;
    uint32_t rows = count * repeat;
    int64_t *ints = lm_mem_calloc(mem, rows, sizeof *ints),
            *sums = lm_mem_calloc(mem, rows, sizeof *sums);
    uint32_t *ids = lm_mem_calloc(mem, rows, sizeof *ids);
    LM_ASSERT(ints && sums && ids);
    int64_t sum = 0;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t wide = (uint64_t)bytes[i / repeat] << (data[0] >> 3 & 31) * 2;
        ints[i] = (int64_t)(bytes[i / repeat] & 1 ? 0 - wide : wide);
        sum = (int64_t)((uint64_t)sum + (uint64_t)ints[i]);
        sums[i] = sum;
        ids[i] = bytes[i % count];
    }
    lm_column columns[COLUMNS] = {
        {.type = LM_COLUMN_INT, .role = LM_ROLE_NUMBER, .count = rows, .group = 1, .ints = ints},
        {.type = LM_COLUMN_INT, .role = LM_ROLE_TIME, .count = rows, .group = 1, .ints = sums},
        {.type = LM_COLUMN_ID,
         .role = LM_ROLE_SHAPES,
         .count = rows,
         .group = 1,
         .alphabet = 256,
         .ids = ids},
        {.type = LM_COLUMN_ID,
         .role = LM_ROLE_INDEX,
         .count = rows,
         .group = 1,
         .alphabet = 70000,
         .ids = ids},
        {.type = LM_COLUMN_BYTES, .role = LM_ROLE_TEXT, .count = count, .bytes = bytes},
        {.type = LM_COLUMN_WIDE, .count = count / 16, .width = 16, .bytes = bytes},
    };
    check(mem, columns, LM_LEVEL_FAST);
    check(mem, columns, LM_LEVEL_DEFAULT);
    if (rows < 256) check(mem, columns, LM_LEVEL_MAX); /* slow */
    lm_mem_release(mem, ids, rows * sizeof *ids);
    lm_mem_release(mem, sums, rows * sizeof *sums);
    lm_mem_release(mem, ints, rows * sizeof *ints);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

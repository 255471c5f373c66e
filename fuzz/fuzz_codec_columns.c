/** A directory and blocks of any bytes: an error or columns that decode, no fault, no memory beyond
 * the limit. */
#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 64 << 20 };

static void try_all(lm_mem *mem, lm_str directory, lm_str blocks)
{
    lm_columns *columns = NULL;
    lm_err err = lm_columns_open(mem, directory, blocks, 0, &columns);
    LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
    if (err) return;
    (void)!lm_columns_verify(columns, NULL, NULL); /* every result is fine */
    for (size_t i = 0; i < lm_columns_count(columns) && i < 64; i++) {
        lm_arena arena;
        lm_column column;
        lm_arena_init(&arena, mem);
        err = lm_columns_decode(columns, i, &arena, &column);
        LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
        (void)lm_columns_cost(columns, i);
        lm_arena_fini(&arena);
    }
    lm_columns_free(columns);
}

/* Two bytes: the length of the directory; then it, packed as an encoder would pack it; then the
 * blocks. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    if (size < 2 || lm_mem_new(NULL, MEMORY, &mem)) return 0;
    size_t plain_len = lm_le16(data) < size - 2 ? lm_le16(data) : size - 2;
    lm_str blocks = {data + 2 + plain_len, size - 2 - plain_len};
    lm_buf directory;
    lm_buf_init(&directory, mem);
    lm_err err = lm_buf_varint(&directory, plain_len);
    if (!err) err = lm_bytes_encode(mem, (lm_str){data + 2, plain_len}, LM_LEVEL_FAST, &directory);
    if (!err) try_all(mem, (lm_str){directory.ptr, directory.len}, blocks);
    try_all(mem, (lm_str){data, size / 2}, (lm_str){data + size / 2, size - size / 2});
    lm_buf_fini(&directory);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

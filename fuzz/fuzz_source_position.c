/** Positions of files and partitions as a sink gives them back: what is read prints back the same.
 */
#include "source/source_position.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lm_position many[LM_SOURCE_READ_MAX];
    lm_mem *mem = NULL;
    lm_position position, again;
    size_t count = 0, count_again = 0;
    LM_ASSERT(lm_mem_new(NULL, 0, &mem) == LM_OK);
    lm_buf text;
    lm_buf_init(&text, mem);
    if (lm_position_parse((lm_str){data, size}, &position) == LM_OK) {
        LM_ASSERT(lm_position_print(&position, &text) == LM_OK);
        LM_ASSERT(lm_position_parse((lm_str){text.ptr, text.len}, &again) == LM_OK);
        LM_ASSERT(again.offset == position.offset && again.head.len == position.head.len &&
                  again.head.hash == position.head.hash && again.is_done == position.is_done &&
                  again.before_inode == position.before_inode &&
                  lm_str_equal(again.path, position.path));
    }
    text.len = 0;
    if (lm_positions_parse((lm_str){data, size}, many, LM_SOURCE_READ_MAX, &count) == LM_OK) {
        LM_ASSERT(count <= LM_SOURCE_READ_MAX);
        LM_ASSERT(lm_positions_print(many, count, &text) == LM_OK);
        LM_ASSERT(lm_positions_parse((lm_str){text.ptr, text.len}, many, LM_SOURCE_READ_MAX,
                                     &count_again) == LM_OK);
        LM_ASSERT(count == count_again);
    }
    lm_offset offset, offset_again;
    char offset_text[LM_OFFSET_TEXT_MAX];
    if (lm_offset_parse((lm_str){data, size}, &offset) == LM_OK) {
        size_t len = lm_offset_print(offset, offset_text);
        LM_ASSERT(lm_offset_parse((lm_str){(const uint8_t *)offset_text, len}, &offset_again) ==
                  LM_OK);
        LM_ASSERT(offset.last == offset_again.last && offset.hash == offset_again.hash);
    }
    lm_buf_fini(&text);
    lm_mem_free(mem);
    return 0;
}

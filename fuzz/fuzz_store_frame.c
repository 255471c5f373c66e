/** Frames of the write-ahead log: any bytes, with a checksum that fits so that they are looked at.
 */
#include "store/store_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_frame(lm_mem *mem, const store_frame *frame)
{
    lm_arena arena;
    store_walk walk;
    store_raw_record record;
    lm_checkpoint checkpoint;
    size_t bytes = 0;
    lm_arena_init(&arena, mem);
    store_frame_streams(frame, &walk);
    for (uint32_t i = 0; i < frame->stream_count; i++)
        bytes += store_frame_next_stream(&walk).len;
    store_frame_checkpoints(frame, &walk);
    while (store_frame_next_checkpoint(&walk, &checkpoint))
        bytes += checkpoint.key.len + checkpoint.value.len;
    store_frame_records(frame, &walk);
    while (store_frame_next_record(&walk, &record)) {
        lm_labels labels;
        bytes += record.line.len;
        if (store_metadata_read(record.metadata, &arena, &labels) == LM_OK) bytes += labels.count;
        LM_ASSERT(record.stream < frame->stream_count);
    }
    LM_ASSERT(bytes <= frame->len * 2);
    lm_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_buf bytes;
    store_frame *frame = NULL;
    size_t len = 0;
    if (lm_mem_new(NULL, 64u << 20, &mem)) return 0;
    lm_buf_init(&bytes, mem);
    lm_err err = lm_buf_le32(&bytes, STORE_FRAME_MAGIC);
    if (!err) err = lm_buf_le32(&bytes, (uint32_t)size);
    if (!err) err = lm_buf_le64(&bytes, lm_hash64(data, size) ^ 5);
    if (!err) err = lm_buf_append(&bytes, data, size);
    if (!err) err = store_frame_parse(mem, (lm_str){bytes.ptr, bytes.len}, 5, &frame, &len);
    if (!err) {
        store_generation *generation = NULL;
        LM_ASSERT(len == bytes.len);
        walk_frame(mem, frame);
        if (store_generation_new(mem, 1, &generation) == LM_OK) {
            lm_err ignored = store_generation_admit(mem, generation, frame);
            (void)ignored; /* labels need not parse */
            store_generation_free(mem, generation);
        }
    }
    store_frame_free(mem, frame);
    lm_buf_fini(&bytes);
    lm_mem_free(mem);
    return 0;
}

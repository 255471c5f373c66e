/** Encodings of columns from a hostile hand, behind the checksums: any result, no fault, no memory
 * beyond the limit. */
#include "codec/codec_ans_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 64 << 20, HEAD = 4 };

static void frame_of(codec_dec *dec, lm_mem *mem, lm_str payload, unsigned type, uint32_t count)
{
    lm_column columns[3];
    const lm_column *members[3];
    void *values[3];
    for (uint32_t i = 0; i < 3; i++) {
        columns[i] = (lm_column){.type = (lm_column_type)(1 + type % 4),
                                 .count = count / (i + 1),
                                 .alphabet = count,
                                 .width = 1 + i};
        members[i] = &columns[i];
    }
    lm_arena arena;
    lm_arena_init(&arena, mem);
    (void)!codec_frame_get(dec, payload, members, 3, &arena, values); /* every result is fine */
    lm_arena_fini(&arena);
}

static void derived_of(codec_dec *dec, lm_mem *mem, lm_reader *in, unsigned kind, uint32_t count)
{
    uint32_t *ids = lm_mem_calloc(mem, count, sizeof *ids);
    uint64_t *out = lm_mem_calloc(mem, count, sizeof *out);
    LM_ASSERT(ids && out);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = i % 37;
    lm_column source = {.type = LM_COLUMN_ID, .count = count, .alphabet = 37, .ids = ids};
    lm_column info = {
        .type = kind & 4 ? LM_COLUMN_INT : LM_COLUMN_ID, .count = count, .alphabet = 50};
    (void)!codec_derive_get(dec, in, (codec_derive)(kind % CODEC_DERIVE_KINDS), &info, &source,
                            out); /* every result is fine */
    lm_mem_release(mem, ids, count * sizeof *ids);
    lm_mem_release(mem, out, count * sizeof *out);
}

/* A part by itself holds what it holds in the whole column. */
static void parts_of(codec_dec *dec, lm_mem *mem, lm_str bytes, bool is_ids, uint32_t alphabet,
                     size_t count)
{
    codec_parts p = {.count = count};
    lm_reader in = lm_reader_of(bytes.ptr, bytes.len), again = in;
    lm_err err = is_ids ? codec_ids_open(dec, &in, alphabet, &p) : codec_ints_open(dec, &in, 0, &p);
    LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
    size_t values = count ? count : 1, parts = codec_part_count(count);
    uint64_t *one = lm_mem_calloc(mem, values, sizeof *one);
    uint64_t *all = lm_mem_calloc(mem, values, sizeof *all);
    p.ids = lm_mem_calloc(mem, LM_PART_VALUES, sizeof *p.ids);
    LM_ASSERT(one && all && p.ids);
    for (size_t i = parts; !err && p.is_open && i-- > 0;) {
        lm_err read = is_ids ? codec_ids_read(&p, i, alphabet, (uint32_t *)one + i * LM_PART_VALUES)
                             : codec_ints_read(&p, i, (int64_t *)one);
        err = err ? err : read;
    }
    bool may_lie = !is_ids && (p.kind == CODEC_PARTS_DELTA || p.kind == CODEC_PARTS_DELTA2);
    if (!err && p.is_open && !may_lie) { /* starts of differences may */
        err = is_ids ? codec_ids_get(dec, &again, (uint32_t *)all, count, alphabet, 0)
                     : codec_ints_get(dec, &again, (int64_t *)all, count, 0);
        LM_ASSERT(err || memcmp(one, all, count * (is_ids ? sizeof(uint32_t) : sizeof *all)) == 0);
    }
    lm_mem_release(mem, p.ids, LM_PART_VALUES * sizeof *p.ids);
    lm_mem_release(mem, all, values * sizeof *all);
    lm_mem_release(mem, one, values * sizeof *one);
    codec_parts_close(mem, &p);
}

/* Byte 0: what to read; 1 and 2: how many values; 3: a detail of it; then the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) return 0;
    lm_mem *mem = NULL;
    if (lm_mem_new(NULL, MEMORY, &mem)) return 0;
    uint32_t count = lm_le16(data + 1);
    lm_reader in = lm_reader_of(data + HEAD, size - HEAD);
    uint64_t *values = lm_mem_calloc(mem, count, sizeof *values);
    LM_ASSERT(values);
    codec_dec dec;
    codec_dec_init(&dec, mem);
    if (data[3] & 128) dec.prefix = LM_STR("level=info msg=\"text that others build on\"\n");
    lm_err err = LM_OK;
    switch (data[0] % 8) {
    case 0:
        err = codec_stream_get(&dec, &in, (uint8_t *)values, count);
        break;
    case 1:
        err = codec_words_get(&dec, &in, values, count);
        break;
    case 2:
        err = codec_ints_get(&dec, &in, (int64_t *)values, count, 0);
        break;
    case 3:
        err = codec_ids_get(&dec, &in, (uint32_t *)values, count, 1 + data[3] * 9u, 0);
        for (uint32_t i = 0; i < count && !err; i++)
            LM_ASSERT(((uint32_t *)values)[i] < 1 + data[3] * 9u);
        break;
    case 6:
    case 7:
        parts_of(&dec, mem, (lm_str){in.ptr, lm_reader_left(&in)}, data[0] & 1, 1 + data[3] * 9u,
                 count);
        break;
    case 4:
        frame_of(&dec, mem, (lm_str){in.ptr, lm_reader_left(&in)}, data[3], count);
        break;
    default:
        derived_of(&dec, mem, &in, data[3], count);
        break;
    }
    LM_ASSERT(err == LM_OK || err == LM_E_CORRUPT || err == LM_E_LIMIT);
    codec_dec_fini(&dec);
    lm_mem_release(mem, values, count * sizeof *values);
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

#include "codec/codec_ans_priv.h"

/* Node of ids: mode (1 byte): CONST id | PLANES + n: n byte planes, low byte first |
 * LITE, STATIC, MODEL: codec_lite.c, codec_static.c, codec_model.c. */
enum { MODE_CONST = 0, MODE_PLANES = 1, MODE_MODEL = 5, MODE_LITE = 6, MODE_STATIC = 7 };

static unsigned plane_count(uint32_t alphabet)
{
    uint32_t top = alphabet ? alphabet - 1 : 0;
    return top < 1u << 8 ? 1 : top < 1u << 16 ? 2 : top < 1u << 24 ? 3 : 4;
}

static bool is_const(const uint32_t *ids, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (ids[i] != ids[0]) return false;
    }
    return true;
}

static lm_err put_modelled(codec_enc *enc, const uint32_t *ids, size_t count, uint32_t alphabet,
                           unsigned mode, lm_buf *out)
{
    lm_buf data;
    lm_buf_init(&data, enc->mem);
    lm_err err = mode == MODE_LITE ? codec_lite_put_ids(enc->mem, ids, count, alphabet, &data)
                 : mode == MODE_STATIC
                     ? codec_static_put_ids(enc->mem, ids, count, alphabet, &data)
                     : codec_model_put(enc->mem, CODEC_MODEL_IDS, ids, count, alphabet, &data);
    if (!err) err = lm_buf_u8(out, (uint8_t)mode);
    if (!err) err = lm_buf_varint(out, data.len);
    if (!err) err = lm_buf_append(out, data.ptr, data.len);
    lm_buf_fini(&data);
    return err;
}

/** Sequences that come back are sometimes guessed better than mixed. */
static lm_err put_if_smaller(codec_enc *enc, const uint32_t *ids, size_t count, uint32_t alphabet,
                             lm_buf *best)
{
    lm_buf light;
    lm_buf_init(&light, enc->mem);
    lm_err err = put_modelled(enc, ids, count, alphabet, MODE_LITE, &light);
    if (!err && light.len < best->len) {
        lm_buf swap = *best;
        *best = light;
        light = swap;
    }
    lm_buf_fini(&light);
    return err;
}

/** Long columns: static odds read several times faster. */
static lm_err put_static(codec_enc *enc, const uint32_t *ids, size_t count, uint32_t alphabet,
                         lm_buf *best, size_t *slower)
{
    lm_buf data;
    lm_buf_init(&data, enc->mem);
    lm_err err = put_modelled(enc, ids, count, alphabet, MODE_STATIC, &data);
    if (!err && data.len < best->len + count / CODEC_LITE_STATIC_A_BYTE) {
        lm_buf swap = *best;
        *best = data;
        data = swap;
        *slower = 0;
    }
    lm_buf_fini(&data);
    return err;
}

/** Ids to be written. */
typedef struct run {
    const uint32_t *ids;
    size_t count;
    uint32_t alphabet;
} run;

static lm_err put_planes(codec_enc *enc, const void *ctx, lm_buf *out)
{
    const run *r = ctx;
    const uint32_t *ids = r->ids;
    size_t count = r->count;
    unsigned planes = plane_count(r->alphabet);
    uint8_t *plane = lm_mem_alloc(enc->mem, count);
    if (!plane) return lm_mem_err();
    lm_err err = lm_buf_u8(out, (uint8_t)(MODE_PLANES + planes - 1));
    for (unsigned p = 0; p < planes && !err; p++) {
        for (size_t i = 0; i < count; i++)
            plane[i] = (uint8_t)(ids[i] >> (8 * p));
        err = codec_stream_put(enc, plane, count, out);
    }
    lm_mem_release(enc->mem, plane, count);
    return err;
}

lm_err codec_ids_put(codec_enc *enc, const uint32_t *ids, size_t count, uint32_t alphabet,
                     unsigned depth, lm_buf *out)
{
    (void)depth;
    if (count == 0) return LM_OK;
    if (is_const(ids, count)) {
        lm_err err = lm_buf_u8(out, MODE_CONST);
        return err ? err : lm_buf_varint(out, ids[0]);
    }
    if (enc->level == LM_LEVEL_FAST) return put_planes(enc, &(run){ids, count, alphabet}, out);

    lm_buf modelled;
    lm_buf_init(&modelled, enc->mem);
    bool has_static = count >= ANS_COUNT_MIN && alphabet <= CODEC_STATIC_IDS_MAX;
    unsigned mode = enc->is_trial                                   ? MODE_LITE
                    : enc->level == LM_LEVEL_MAX                    ? MODE_MODEL
                    : has_static && count >= CODEC_STATIC_ALONE_MIN ? MODE_STATIC
                                                                    : MODE_LITE;
    size_t slower = mode == MODE_LITE ? count / enc->values_a_byte : 0;
    lm_err err = put_modelled(enc, ids, count, alphabet, mode, &modelled);
    if (!err && mode == MODE_MODEL) err = put_if_smaller(enc, ids, count, alphabet, &modelled);
    if (!err && mode == MODE_LITE && !enc->is_trial && has_static)
        err = put_static(enc, ids, count, alphabet, &modelled, &slower);
    bool smaller = false;
    if (!err)
        err = codec_climb(enc, put_planes, &(run){ids, count, alphabet}, modelled.len + slower, out,
                          &smaller);
    if (!err && !smaller) err = lm_buf_append(out, modelled.ptr, modelled.len);
    lm_buf_fini(&modelled);
    return err;
}

static lm_err get_planes(codec_dec *dec, lm_reader *in, uint32_t *dst, size_t count,
                         unsigned planes)
{
    uint8_t *plane = lm_mem_alloc(dec->mem, count);
    if (!plane) return lm_mem_err();
    lm_err err = LM_OK;
    for (unsigned p = 0; p < planes && !err; p++) {
        err = codec_stream_get(dec, in, plane, count);
        for (size_t i = 0; i < count && !err; i++)
            dst[i] = (p ? dst[i] : 0) | (uint32_t)plane[i] << (8 * p);
    }
    lm_mem_release(dec->mem, plane, count);
    return err;
}

lm_err codec_ids_get(codec_dec *dec, lm_reader *in, uint32_t *dst, size_t count, uint32_t alphabet,
                     unsigned depth)
{
    if (count == 0) return LM_OK;
    if (depth >= CODEC_DEPTH_MAX) return codec_damaged("encodings nest too deep");
    uint8_t mode = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a column is cut short");
    if (mode == MODE_CONST) {
        uint64_t id = lm_reader_varint_max(in, UINT32_MAX);
        if (in->failed) return codec_damaged("a constant is cut short");
        for (size_t i = 0; i < count; i++)
            dst[i] = (uint32_t)id;
    } else if (mode < MODE_PLANES + 4) {
        lm_err err = get_planes(dec, in, dst, count, mode - MODE_PLANES + 1u);
        if (err) return err;
    } else if (mode == MODE_MODEL || mode == MODE_LITE || mode == MODE_STATIC) {
        size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
        lm_str data = lm_reader_bytes(in, len);
        if (in->failed) return codec_damaged("a column is cut short");
        lm_err err = mode == MODE_LITE ? codec_lite_get_ids(dec->mem, data, dst, count, alphabet)
                     : mode == MODE_STATIC
                         ? codec_static_get_ids(dec->mem, data, dst, count, alphabet)
                         : codec_model_get(dec->mem, CODEC_MODEL_IDS, data, dst, count, alphabet);
        if (err) return err;
    } else {
        return codec_damaged("a column of ids has an unknown encoding");
    }
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++)
        top = dst[i] > top ? dst[i] : top;
    return top < alphabet ? LM_OK : codec_damaged("an id is not in its alphabet");
}

lm_err codec_ids_open(codec_dec *dec, lm_reader *in, uint32_t alphabet, codec_parts *out)
{
    uint8_t mode = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a column is cut short");
    if (mode != MODE_STATIC) return LM_OK;
    lm_str data = lm_reader_bytes(in, (size_t)lm_reader_varint_max(in, lm_reader_left(in)));
    if (in->failed) return codec_damaged("a column is cut short");
    return codec_static_open_ids(&out->run, dec->mem, data, out->count, alphabet, true,
                                 &out->is_open);
}

lm_err codec_ids_read(codec_parts *p, size_t part, uint32_t alphabet, uint32_t *dst)
{
    size_t count = codec_part_values(p->count, part);
    uint32_t top = 0;
    codec_static_read_ids(&p->run, part, part + 1, dst);
    for (size_t i = 0; i < count; i++)
        top = dst[i] > top ? dst[i] : top;
    return top < alphabet ? LM_OK : codec_damaged("an id is not in its alphabet");
}

const char *codec_ids_name(uint8_t mode)
{
    return mode == MODE_CONST    ? "const"
           : mode == MODE_LITE   ? "guess"
           : mode == MODE_STATIC ? "static"
           : mode == MODE_MODEL  ? "mixed"
                                 : "planes";
}

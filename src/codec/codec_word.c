#include "codec/codec_ans_priv.h"

/* Words by form:
 *   ZERO        all are 0; nothing follows
 *   PLANES + n  n + 1 byte planes, low byte first, a stream each
 *   TOKENS      a stream of one byte a word: the word itself below ESCAPE, else ESCAPE - 1 + n for
 * n more bytes; then the number of these bytes (varint) and a stream of them: the word less ESCAPE,
 * high byte first MODEL, LITE, STATIC length (varint) and bytes of codec_model.c, codec_lite.c or
 * codec_static.c BITS + n n bits a word, low bits first */
enum {
    FORM_ZERO = 0,
    FORM_PLANES = 1,
    FORM_TOKENS = 16,
    FORM_MODEL = 17,
    FORM_LITE = 18,
    FORM_STATIC = 19,
    FORM_BITS = 64
};

enum { ESCAPE = 240, BITS_MAX = 56 };

static unsigned bytes_of(uint64_t word)
{
    return word ? (unsigned)(71 - __builtin_clzll(word)) / 8 : 1;
}

static lm_err put_planes(codec_enc *enc, const uint64_t *words, size_t count, unsigned planes,
                         lm_buf *out)
{
    uint8_t *plane = lm_mem_alloc(enc->mem, count);
    if (!plane) return lm_mem_err();
    lm_err err = lm_buf_u8(out, (uint8_t)(FORM_PLANES + planes - 1));
    for (unsigned p = 0; p < planes && !err; p++) {
        for (size_t i = 0; i < count; i++)
            plane[i] = (uint8_t)(words[i] >> (8 * p));
        err = codec_stream_put(enc, plane, count, out);
    }
    lm_mem_release(enc->mem, plane, count);
    return err;
}

static lm_err put_tokens(codec_enc *enc, const uint64_t *words, size_t count, lm_buf *out)
{
    lm_buf extra;
    lm_buf_init(&extra, enc->mem);
    uint8_t *tokens = lm_mem_alloc(enc->mem, count);
    if (!tokens) return lm_mem_err();
    lm_err err = LM_OK;
    for (size_t i = 0; i < count; i++) {
        uint64_t w = words[i];
        if (w < ESCAPE) {
            tokens[i] = (uint8_t)w;
            continue;
        }
        w -= ESCAPE;
        unsigned n = bytes_of(w);
        tokens[i] = (uint8_t)(ESCAPE - 1 + n);
        err = lm_buf_reserve(&extra, 8);
        if (err) goto out;
        for (unsigned b = 0; b < n; b++)
            extra.ptr[extra.len++] = (uint8_t)(w >> (8 * (n - 1 - b)));
    }
    err = lm_buf_u8(out, FORM_TOKENS);
    if (!err) err = codec_stream_put(enc, tokens, count, out);
    if (!err) err = lm_buf_varint(out, extra.len);
    if (!err) err = codec_stream_put(enc, extra.ptr, extra.len, out);
out:
    lm_mem_release(enc->mem, tokens, count);
    lm_buf_fini(&extra);
    return err;
}

static lm_err put_modelled(codec_enc *enc, const uint64_t *words, size_t count, unsigned form,
                           lm_buf *out)
{
    lm_buf data;
    lm_buf_init(&data, enc->mem);
    lm_err err = form == FORM_LITE ? codec_lite_put_words(enc->mem, words, count, &data)
                 : form == FORM_STATIC
                     ? codec_static_put_words(enc->mem, words, count, &data)
                     : codec_model_put(enc->mem, CODEC_MODEL_WORDS, words, count, 0, &data);
    if (!err) err = lm_buf_u8(out, (uint8_t)form);
    if (!err) err = lm_buf_varint(out, data.len);
    if (!err) err = lm_buf_append(out, data.ptr, data.len);
    lm_buf_fini(&data);
    return err;
}

/** Words to be written. */
typedef struct run {
    const uint64_t *words;
    size_t count;
} run;

static unsigned bits_of(uint64_t word)
{
    return word ? 64u - (unsigned)__builtin_clzll(word) : 0;
}

static lm_err put_bits(const uint64_t *words, size_t count, unsigned bits, lm_buf *out)
{
    lm_err err = lm_buf_u8(out, (uint8_t)(FORM_BITS + bits));
    if (!err) err = lm_buf_reserve(out, count / 8 * bits + 16 + bits);
    if (err) return err;
    uint64_t held = 0;
    unsigned have = 0;
    for (size_t i = 0; i < count; i++) {
        held |= words[i] << have;
        have += bits;
        while (have >= 8) {
            out->ptr[out->len++] = (uint8_t)held;
            held >>= 8;
            have -= 8;
        }
    }
    if (have) out->ptr[out->len++] = (uint8_t)held;
    return LM_OK;
}

static lm_err put_bytewise(codec_enc *enc, const void *ctx, lm_buf *out)
{
    const run *r = ctx;
    const uint64_t *words = r->words;
    size_t count = r->count;
    uint64_t all = 0;
    size_t large = 0;
    for (size_t i = 0; i < count; i++) {
        all |= words[i];
        large += words[i] >= ESCAPE;
    }
    if (all == 0) return lm_buf_u8(out, FORM_ZERO);
    unsigned planes = bytes_of(all);
    size_t start = out->len;
    bool mostly_small = planes > 1 && large < count - count / 4;
    lm_err err = mostly_small ? put_tokens(enc, words, count, out)
                              : put_planes(enc, words, count, planes, out);
    unsigned bits = bits_of(all);
    if (err || bits > BITS_MAX || count / 8 * bits + bits >= out->len - start) return err;
    out->len = start; /* nothing but their range is known of these words */
    return put_bits(words, count, bits, out);
}

/** Long runs: static odds read several times faster. */
static lm_err put_static(codec_enc *enc, const uint64_t *words, size_t count, lm_buf *best,
                         size_t *slower)
{
    lm_buf data;
    lm_buf_init(&data, enc->mem);
    lm_err err = put_modelled(enc, words, count, FORM_STATIC, &data);
    if (!err && data.len < best->len + count / CODEC_LITE_STATIC_A_BYTE) {
        lm_buf swap = *best;
        *best = data;
        data = swap;
        *slower = 0;
    }
    lm_buf_fini(&data);
    return err;
}

lm_err codec_words_put(codec_enc *enc, const uint64_t *words, size_t count, lm_buf *out)
{
    if (count == 0) return LM_OK;
    if (enc->level == LM_LEVEL_FAST) return put_bytewise(enc, &(run){words, count}, out);

    lm_buf modelled;
    lm_buf_init(&modelled, enc->mem);
    unsigned form = enc->is_trial                     ? FORM_LITE
                    : enc->level == LM_LEVEL_MAX      ? FORM_MODEL
                    : count >= CODEC_STATIC_ALONE_MIN ? FORM_STATIC
                                                      : FORM_LITE;
    size_t slower = form == FORM_LITE ? count / enc->values_a_byte : 0;
    lm_err err = put_modelled(enc, words, count, form, &modelled);
    if (!err && form == FORM_LITE && !enc->is_trial && count >= ANS_COUNT_MIN)
        err = put_static(enc, words, count, &modelled, &slower);
    bool smaller = false;
    if (!err)
        err = codec_climb(enc, put_bytewise, &(run){words, count}, modelled.len + slower, out,
                          &smaller);
    if (!err && !smaller) err = lm_buf_append(out, modelled.ptr, modelled.len);
    lm_buf_fini(&modelled);
    return err;
}

static lm_err get_planes(codec_dec *dec, lm_reader *in, uint64_t *dst, size_t count,
                         unsigned planes)
{
    uint8_t *plane = lm_mem_alloc(dec->mem, count);
    if (!plane) return lm_mem_err();
    lm_err err = LM_OK;
    for (unsigned p = 0; p < planes && !err; p++) {
        err = codec_stream_get(dec, in, plane, count);
        for (size_t i = 0; i < count && !err; i++)
            dst[i] = (p ? dst[i] : 0) | (uint64_t)plane[i] << (8 * p);
    }
    lm_mem_release(dec->mem, plane, count);
    return err;
}

static lm_err get_tokens(codec_dec *dec, lm_reader *in, uint64_t *dst, size_t count)
{
    uint8_t *extra = NULL;
    size_t extra_len = 0;
    uint8_t *tokens = lm_mem_alloc(dec->mem, count);
    if (!tokens) return lm_mem_err();
    lm_err err = codec_stream_get(dec, in, tokens, count);
    if (err) goto out;
    extra_len = (size_t)lm_reader_varint_max(in, (uint64_t)count * 8);
    if (in->failed) {
        err = codec_damaged("too many long numbers");
        goto out;
    }
    extra = lm_mem_alloc(dec->mem, extra_len);
    if (!extra) {
        err = lm_mem_err();
        goto out;
    }
    err = codec_stream_get(dec, in, extra, extra_len);
    size_t at = 0;
    for (size_t i = 0; i < count && !err; i++) {
        uint64_t w = tokens[i];
        if (w >= ESCAPE) {
            unsigned n = tokens[i] - (ESCAPE - 1);
            if (n > 8 || n > extra_len - at) {
                err = codec_damaged("a long number is cut short");
                break;
            }
            w = 0;
            for (unsigned b = 0; b < n; b++)
                w = w << 8 | extra[at++];
            w += ESCAPE;
        }
        dst[i] = w;
    }
out:
    lm_mem_release(dec->mem, extra, extra_len);
    lm_mem_release(dec->mem, tokens, count);
    return err;
}

static lm_err get_bits(lm_reader *in, uint64_t *dst, size_t count, unsigned bits)
{
    lm_str data = lm_reader_bytes(in, (size_t)(((uint64_t)count * bits + 7) / 8));
    if (in->failed) return codec_damaged("a run of numbers is cut short");
    uint64_t held = 0, mask = ((uint64_t)1 << bits) - 1;
    unsigned have = 0;
    const uint8_t *p = data.ptr;
    for (size_t i = 0; i < count; i++) {
        for (; have < bits; have += 8)
            held |= (uint64_t)*p++ << have;
        dst[i] = held & mask;
        held >>= bits;
        have -= bits;
    }
    return LM_OK;
}

lm_err codec_words_get(codec_dec *dec, lm_reader *in, uint64_t *dst, size_t count)
{
    if (count == 0) return LM_OK;
    uint8_t form = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a run of numbers is cut short");
    if (form == FORM_ZERO) {
        memset(dst, 0, count * sizeof *dst);
        return LM_OK;
    }
    if (form < FORM_PLANES + 8) return get_planes(dec, in, dst, count, form - FORM_PLANES + 1u);
    if (form == FORM_TOKENS) return get_tokens(dec, in, dst, count);
    if (form > FORM_BITS && form <= FORM_BITS + BITS_MAX)
        return get_bits(in, dst, count, form - FORM_BITS);
    if (form == FORM_MODEL || form == FORM_LITE || form == FORM_STATIC) {
        size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
        lm_str data = lm_reader_bytes(in, len);
        if (in->failed) return codec_damaged("a run of numbers is cut short");
        if (form == FORM_LITE) return codec_lite_get_words(dec->mem, data, dst, count);
        if (form == FORM_STATIC) return codec_static_get_words(dec->mem, data, dst, count);
        return codec_model_get(dec->mem, CODEC_MODEL_WORDS, data, dst, count, 0);
    }
    return codec_damaged("a run of numbers has an unknown form");
}

bool codec_words_are_in_parts(lm_str data)
{
    lm_reader in = lm_reader_of(data.ptr, data.len);
    if (lm_reader_u8(&in) != FORM_STATIC) return false;
    (void)lm_reader_varint(&in);
    return codec_static_words_are_in_parts((lm_str){in.ptr, lm_reader_left(&in)});
}

lm_err codec_words_open(codec_dec *dec, lm_reader *in, codec_parts *out)
{
    uint8_t form = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a run of numbers is cut short");
    if (form != FORM_STATIC) return LM_OK;
    lm_str data = lm_reader_bytes(in, (size_t)lm_reader_varint_max(in, lm_reader_left(in)));
    if (in->failed) return codec_damaged("a run of numbers is cut short");
    return codec_static_open_words(&out->run, dec->mem, data, out->count, &out->is_open);
}

#include "codec/codec_priv.h"

/* A stream: method (1 byte), then for everything but RAW and FILL the stored length (varint), then
 * the data. */
enum {
    METHOD_RAW = 0,
    METHOD_FILL = 1,
    METHOD_ZSTD = 2,
    METHOD_MODEL = 3,
    METHOD_LITE = 4,
    METHOD_PREFIX = 5, /* zstd, its window filled with the prefix */
    METHOD_WORDS = 6   /* the same with the words that logs have in common */
};

enum { SAMPLE_GUESSED = 8192 }; /* longer samples are compressed */

static const char common_words[] =
#include "codec/codec_words.def"
    ;

lm_err codec_climb(codec_enc *enc, codec_put_fn put, const void *ctx, size_t limit, lm_buf *out,
                   bool *smaller)
{
    /* What the next level may save at best, measured on log columns: from level 1 a third, from
     * level 9 little. */
    static const struct {
        int level;
        unsigned hope_percent;
    } steps[] = {{1, 67}, {9, 94}, {15, 100}};

    int was = enc->zstd_level;
    size_t last = enc->is_trial ? 1 : 3, best_len = SIZE_MAX;
    lm_buf best, now;
    lm_buf_init(&best, enc->mem);
    lm_buf_init(&now, enc->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < last && !err; i++) {
        now.len = 0;
        enc->zstd_level = enc->level == LM_LEVEL_MAX && steps[i].level == 15 ? 19 : steps[i].level;
        err = put(enc, ctx, &now);
        bool stalls =
            i > 0 &&
            now.len > best_len - best_len / 32; /* as much as a level may be expected to give */
        if (!err && now.len < best_len) {
            lm_buf swap = best;
            best = now;
            now = swap;
            best_len = best.len;
        }
        if (stalls || best_len * steps[i].hope_percent / 100 >= limit) break;
    }
    enc->zstd_level = was;
    *smaller = !err && best_len < limit;
    if (*smaller) err = lm_buf_append(out, best.ptr, best.len);
    lm_buf_fini(&best);
    lm_buf_fini(&now);
    return err;
}

static bool is_fill(const uint8_t *src, size_t len)
{
    return len > 0 && (len == 1 || memcmp(src, src + 1, len - 1) == 0);
}

static lm_err put_raw(const uint8_t *src, size_t len, lm_buf *out)
{
    lm_err err = lm_buf_u8(out, METHOD_RAW);
    return err ? err : lm_buf_append(out, src, len);
}

/** The smallest form so far. */
typedef struct best_form {
    uint8_t method;
    lm_buf data;
} best_form;

/** Write with a model and keep it if that is smaller. */
static lm_err try_model(codec_enc *enc, const uint8_t *src, size_t len, uint8_t method,
                        best_form *best)
{
    size_t slower = method == METHOD_LITE ? len / enc->values_a_byte : 0;
    size_t now = best->method == METHOD_RAW ? len - 2 : best->data.len;
    uint64_t key = lm_hash64_seed(src, len, method);
    size_t known = (size_t)key % CODEC_LITE_KNOWN;
    if (enc->lite_known[known].key == key && enc->lite_known[known].bytes + slower >= now)
        return LM_OK;
    lm_buf data;
    lm_buf_init(&data, enc->mem);
    lm_err err =
        lm_buf_varint(&data, len); /* nothing else in its bytes would tell a wrong length */
    if (!err) {
        err = method == METHOD_LITE
                  ? codec_lite_put_bytes(enc->mem, src, len, &data)
                  : codec_model_put(enc->mem, CODEC_MODEL_BYTES, src, len, 0, &data);
    }
    if (!err) {
        enc->lite_known[known].key = key;
        enc->lite_known[known].bytes = data.len;
    }
    if (!err && data.len + slower < now) {
        lm_buf swap = best->data;
        *best = (best_form){method, data};
        data = swap;
    }
    lm_buf_fini(&data);
    return err;
}

/** Are all byte values equally frequent, as in digests? Then no model helps. Looks at the first 64
 * KB. */
static bool is_flat(const uint8_t *src, size_t len)
{
    enum { LOOK_MIN = 8192, LOOK_MAX = 65536 };

    uint32_t counts[256] = {0};
    size_t n = len < LOOK_MAX ? len : LOOK_MAX;
    if (n < LOOK_MIN) return false;
    for (size_t i = 0; i < n; i++)
        counts[src[i]]++;
    uint64_t squares = 0;
    for (size_t i = 0; i < 256; i++)
        squares += (uint64_t)counts[i] * counts[i];
    /* independent, even bytes give n * n / 256 + n in the mean */
    uint64_t even = (uint64_t)n * n / 256 + n;
    return squares < even + even / 64;
}

/** Sixteenths of the binary logarithm, between powers of two along a line. */
static uint32_t log2_16(uint32_t v)
{
    uint32_t whole = 31 - (uint32_t)__builtin_clz(v);
    return whole * 16 + (v << (31 - whole) >> 27 & 15);
}

/** About how many bytes zstd's quickest level makes of a short sample: repeats of five bytes and
 * more, and the odds of the letters between them. Its tables would take five times as long. */
static size_t guess_sample(const uint8_t *src, size_t len)
{
    enum { REPEAT_MIN = 5, REPEAT_BYTES_2 = 5, HUFFMAN_MIN = 64, FRAME = 4 };

    uint16_t last[256] = {0};
    uint32_t counts[256] = {0};
    size_t letters = 0, repeats = 0, at = 0;
    while (at + REPEAT_MIN <= len) {
        uint32_t four = lm_le32(src + at);
        uint16_t *place = &last[four * 0x9E3779B1u >> 24];
        size_t before = *place;
        *place = (uint16_t)(at + 1);
        size_t n = 0;
        if (before && lm_le32(src + before - 1) == four)
            for (n = 4; at + n < len && src[before - 1 + n] == src[at + n];)
                n++;
        if (n >= REPEAT_MIN) {
            repeats++;
            at += n;
            continue;
        }
        counts[src[at++]]++;
        letters++;
    }
    for (; at < len; at++, letters++)
        counts[src[at]]++;
    size_t bits_16 = 0, distinct = 0, whole = letters ? log2_16((uint32_t)letters) : 0;
    for (size_t c = 0; c < 256; c++) {
        if (!counts[c]) continue;
        bits_16 += counts[c] * (whole - log2_16(counts[c]));
        distinct++;
    }
    size_t huffman = bits_16 / 128 + distinct / 2 + 2;
    size_t bytes = letters < HUFFMAN_MIN || huffman > letters ? letters : huffman;
    return bytes + repeats * REPEAT_BYTES_2 / 2 + FRAME;
}

/** A sample whose size is wanted and nothing else. */
static lm_err put_sample(const uint8_t *src, size_t len, lm_buf *out)
{
    size_t bytes = guess_sample(src, len);
    if (bytes > len) bytes = len;
    lm_err err = lm_buf_reserve(out, bytes + 1);
    if (err) return err;
    memset(out->ptr + out->len, 0, bytes + 1);
    out->len += bytes + 1;
    return LM_OK;
}

lm_err codec_stream_put(codec_enc *enc, const uint8_t *src, size_t len, lm_buf *out)
{
    if (len == 0) return LM_OK;
    if (is_fill(src, len)) {
        lm_err err = lm_buf_u8(out, METHOD_FILL);
        return err ? err : lm_buf_u8(out, src[0]);
    }
    if (len < 16) return put_raw(src, len, out);

    if (enc->is_trial && enc->level == LM_LEVEL_FAST && len <= SAMPLE_GUESSED)
        return put_sample(src, len, out);
    best_form best = {.method = METHOD_RAW};
    lm_buf_init(&best.data, enc->mem);
    bool done = false;
    uint8_t method = enc->prefix.len ? METHOD_PREFIX : enc->is_text ? METHOD_WORDS : METHOD_ZSTD;
    if (method == METHOD_WORDS) enc->prefix = LM_STR(common_words);
    lm_err err = codec_zstd_put(enc, src, len, enc->zstd_level, len - 3, &best.data, &done);
    if (method == METHOD_WORDS) enc->prefix = (lm_str){0};
    if (done) best.method = method;
    bool resists =
        !done || best.data.len > len / 2; /* nothing repeats: only the letters' odds are left */
    if (!done && is_flat(src, len)) resists = false;
    if (!err && enc->level == LM_LEVEL_DEFAULT && !enc->is_trial && resists)
        err = try_model(enc, src, len, METHOD_LITE, &best);
    if (!err && enc->level == LM_LEVEL_MAX && !enc->is_trial)
        err = try_model(enc, src, len, METHOD_MODEL, &best);
    if (!err && best.method == METHOD_RAW) {
        err = put_raw(src, len, out);
    } else if (!err) {
        err = lm_buf_u8(out, best.method);
        if (!err) err = lm_buf_varint(out, best.data.len);
        if (!err) err = lm_buf_append(out, best.data.ptr, best.data.len);
    }
    lm_buf_fini(&best.data);
    return err;
}

lm_err codec_stream_get(codec_dec *dec, lm_reader *in, uint8_t *dst, size_t len)
{
    if (len == 0) return LM_OK;
    uint8_t method = lm_reader_u8(in);
    if (method == METHOD_RAW) {
        lm_str data = lm_reader_bytes(in, len);
        if (in->failed) return codec_damaged("a stream is cut short");
        memcpy(dst, data.ptr, len);
        return LM_OK;
    }
    if (method == METHOD_FILL) {
        uint8_t byte = lm_reader_u8(in);
        if (in->failed) return codec_damaged("a stream is cut short");
        memset(dst, byte, len);
        return LM_OK;
    }
    uint64_t stored = lm_reader_varint_max(in, lm_reader_left(in));
    lm_str data = lm_reader_bytes(in, (size_t)stored);
    if (in->failed) return codec_damaged("a stream is cut short");
    if (method == METHOD_ZSTD) return codec_zstd_get(dec, (lm_str){0}, data, dst, len);
    if (method == METHOD_WORDS) return codec_zstd_get(dec, LM_STR(common_words), data, dst, len);
    if (method == METHOD_PREFIX) {
        if (!dec->prefix.len) return codec_damaged("a stream builds on nothing");
        return codec_zstd_get(dec, dec->prefix, data, dst, len);
    }
    if (method == METHOD_MODEL || method == METHOD_LITE) {
        lm_reader inner = lm_reader_of(data.ptr, data.len);
        if (lm_reader_varint(&inner) != len) return codec_damaged("a stream has another length");
        data = lm_reader_bytes(&inner, lm_reader_left(&inner));
        if (method == METHOD_LITE) return codec_lite_get_bytes(dec->mem, data, dst, len);
        return codec_model_get(dec->mem, CODEC_MODEL_BYTES, data, dst, len, 0);
    }
    return codec_damaged("a stream has an unknown method");
}

static lm_err encode_bytes(lm_mem *mem, lm_str src, lm_level level, bool is_text, lm_buf *out)
{
    codec_enc enc;
    codec_enc_init(&enc, mem, level);
    enc.is_text = is_text;
    if (level == LM_LEVEL_FAST) { /* a block knows nothing of the text before it, which costs more
                                     than a level gives: text is not to be larger than zstd -3 makes
                                     the whole of it */
        enc.zstd_level = !is_text ? 3 : src.len <= CODEC_TEXT_SHORT ? 6 : 4;
    } else if (level == LM_LEVEL_MAX) {
        enc.zstd_level = 19;
    } else if (is_text && src.len <= CODEC_TEXT_DEAR_UNDER) {
        enc.zstd_level = 19;
    } else {
        enc.zstd_level = src.len < 1u << 18 ? 15 : 12;
    }
    lm_err err = codec_stream_put(&enc, src.ptr, src.len, out);
    codec_enc_fini(&enc);
    return err;
}

lm_err lm_bytes_encode(lm_mem *mem, lm_str src, lm_level level, lm_buf *out)
{
    return encode_bytes(mem, src, level, false, out);
}

lm_err lm_text_encode(lm_mem *mem, lm_str src, lm_level level, lm_buf *out)
{
    return encode_bytes(mem, src, level, true, out);
}

lm_err lm_bytes_decode(lm_mem *mem, lm_str src, uint8_t *dst, size_t raw_len)
{
    codec_dec dec;
    codec_dec_init(&dec, mem);
    lm_reader in = lm_reader_of(src.ptr, src.len);
    lm_err err = codec_stream_get(&dec, &in, dst, raw_len);
    if (!err && lm_reader_left(&in) != 0) err = codec_damaged("bytes follow the end of a stream");
    codec_dec_fini(&dec);
    return err;
}

#include "codec/codec_priv.h"

/* A frame: the plain form of many small columns, one behind the other, as one stream. Varint of the plain length, then the
 * stream. Plain forms:  INT    mode (0 constant, 1 values, 2 differences), then zigzag varints
 *                       ID     varints
 *                       WIDE, BYTES  as they are */
enum { INT_CONST = 0, INT_VALUES = 1, INT_DELTA = 2 };

bool codec_column_is_small(const lm_column *column)
{
    return codec_column_plain_bytes(column) <= 4096;
}

size_t codec_column_plain_bytes(const lm_column *column)
{
    static const uint8_t each[] = {[LM_COLUMN_INT] = 8, [LM_COLUMN_ID] = 4, [LM_COLUMN_BYTES] = 1};
    size_t one = column->type == LM_COLUMN_WIDE ? column->width : each[column->type];
    return one * column->count;
}

/** Small columns that look alike share frames. */
unsigned codec_frame_kind(const lm_column *c)
{
    switch (c->type) {
    case LM_COLUMN_INT: return c->role == LM_ROLE_TIME ? 1 : c->role == LM_ROLE_ADDRESS ? 2 : 3;
    case LM_COLUMN_ID: return c->role == LM_ROLE_CLASS ? 4 : 5;
    case LM_COLUMN_WIDE: return 6;
    case LM_COLUMN_BYTES: return c->role == LM_ROLE_SHAPE_TEXT ? 8 : 7;
    }
    return 0;
}

static size_t varint_len(uint64_t v)
{
    size_t n = 1;
    while (v >= 128) {
        v >>= 7;
        n++;
    }
    return n;
}

static lm_err put_ints(const int64_t *v, size_t count, lm_buf *out)
{
    bool same = true;
    size_t plain = 0, delta = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t before = i ? (uint64_t)v[i - 1] : 0;
        same &= v[i] == v[0];
        plain += varint_len(lm_zigzag(v[i]));
        delta += varint_len(lm_zigzag((int64_t)((uint64_t)v[i] - before)));
    }
    unsigned mode = same ? INT_CONST : delta < plain ? INT_DELTA : INT_VALUES;
    lm_err err = lm_buf_u8(out, (uint8_t)mode);
    size_t n = mode == INT_CONST ? 1 : count;
    for (size_t i = 0; i < n && !err; i++) {
        uint64_t before = mode == INT_DELTA && i ? (uint64_t)v[i - 1] : 0;
        err = lm_buf_varint(out, lm_zigzag((int64_t)((uint64_t)v[i] - before)));
    }
    return err;
}

static lm_err put_plain(const lm_column *c, lm_buf *out)
{
    if (c->count == 0) return LM_OK;
    if (c->type == LM_COLUMN_INT) return put_ints(c->ints, c->count, out);
    if (c->type != LM_COLUMN_ID) return lm_buf_append(out, c->bytes, codec_column_plain_bytes(c));
    lm_err err = LM_OK;
    for (size_t i = 0; i < c->count && !err; i++) err = lm_buf_varint(out, c->ids[i]);
    return err;
}

lm_err codec_frame_put(codec_enc *enc, const lm_column *const *columns, size_t count, lm_buf *out)
{
    lm_buf plain;
    lm_buf_init(&plain, enc->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < count && !err; i++) err = put_plain(columns[i], &plain);
    if (!err) err = lm_buf_varint(out, plain.len);
    if (!err) err = codec_stream_put(enc, plain.ptr, plain.len, out);
    lm_buf_fini(&plain);
    return err;
}

static lm_err get_ints(lm_reader *in, int64_t *dst, size_t count)
{
    unsigned mode = lm_reader_u8(in);
    if (mode > INT_DELTA) return codec_damaged("a small column has an unknown encoding");
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (i && mode == INT_CONST) {
            dst[i] = dst[0];
            continue;
        }
        uint64_t z = (uint64_t)lm_unzigzag(lm_reader_varint(in));
        value = mode == INT_DELTA ? value + z : z;
        dst[i] = (int64_t)value;
        if (in->failed) break;
    }
    return in->failed ? codec_damaged("a frame of small columns is cut short") : LM_OK;
}

static lm_err get_ids(lm_reader *in, uint32_t *dst, size_t count, uint32_t alphabet)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t id = lm_reader_varint(in);
        if (in->failed || id >= alphabet) return codec_damaged("a small column of ids is damaged");
        dst[i] = (uint32_t)id;
    }
    return LM_OK;
}

static lm_err get_plain(lm_reader *in, const lm_column *c, lm_arena *arena, const void **out)
{
    size_t bytes = codec_column_plain_bytes(c);
    void *dst = lm_arena_alloc(arena, bytes, 16);
    if (!dst) return lm_mem_err();
    *out = dst;
    if (c->count == 0) return LM_OK;
    if (c->type == LM_COLUMN_INT) return get_ints(in, dst, c->count);
    if (c->type == LM_COLUMN_ID) return get_ids(in, dst, c->count, c->alphabet);
    lm_str raw = lm_reader_bytes(in, bytes);
    if (in->failed) return codec_damaged("a frame of small columns is cut short");
    memcpy(dst, raw.ptr, bytes);
    return LM_OK;
}

lm_err codec_frame_get(codec_dec *dec, lm_str payload, const lm_column *const *columns, size_t count, lm_arena *arena,
                       const void **out)
{
    size_t most = 0; /* no plain form is longer */
    for (size_t i = 0; i < count; i++) most += 1 + codec_column_plain_bytes(columns[i]) * 5 / 4;
    most += 10 * count;
    lm_reader in = lm_reader_of(payload.ptr, payload.len);
    size_t plain_len = (size_t)lm_reader_varint_max(&in, most);
    if (in.failed) return codec_damaged("a frame of small columns has an impossible size");
    uint8_t *plain = lm_mem_alloc(dec->mem, plain_len);
    if (!plain) return lm_mem_err();
    lm_err err = codec_stream_get(dec, &in, plain, plain_len);
    lm_reader from = lm_reader_of(plain, plain_len);
    for (size_t i = 0; i < count && !err; i++) err = get_plain(&from, columns[i], arena, &out[i]);
    if (!err && (lm_reader_left(&from) || lm_reader_left(&in))) err = codec_damaged("a frame has bytes left over");
    lm_mem_release(dec->mem, plain, plain_len);
    return err;
}

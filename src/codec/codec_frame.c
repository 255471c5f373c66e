/* A frame: many small columns of one kind, put together value by value so that they share what the
 * entropy stage learns.
 *
 *   INT, ID      three runs of words: the mode of each column that is not empty; the values of the
 * constant columns; the values or differences of the others, one column behind the other. Ints are
 * zigzagged. WIDE, BYTES  one stream: the bytes of the columns, one behind the other.
 */
#include "codec/codec_priv.h"

enum frame_mode { FRAME_CONST = 0, FRAME_VALUES = 1, FRAME_DELTA = 2, FRAME_MODES = 3 };

bool codec_column_is_small(const lm_column *column)
{
    bool is_text = column->type == LM_COLUMN_BYTES || column->type == LM_COLUMN_WIDE;
    if (column->role == LM_ROLE_SHAPES && column->count > 64) return false;
    return codec_column_plain_bytes(column) <= (is_text ? CODEC_SMALL_TEXT : CODEC_SMALL_VALUES);
}

size_t codec_column_plain_bytes(const lm_column *column)
{
    static const uint8_t each[] = {[LM_COLUMN_INT] = 8, [LM_COLUMN_ID] = 4, [LM_COLUMN_BYTES] = 1};
    size_t one = column->type == LM_COLUMN_WIDE ? column->width : each[column->type];
    return one * column->count;
}

/** Small columns that look alike share frames. */
unsigned codec_frame_kind(const lm_column *c, bool is_apart)
{
    switch (c->type) {
    case LM_COLUMN_INT:
        return c->role == LM_ROLE_TIME ? 1 : c->role == LM_ROLE_ADDRESS ? 2 : 3;
    case LM_COLUMN_ID:
        return c->role == LM_ROLE_CLASS ? 4 : 5;
    case LM_COLUMN_WIDE:
        return 6;
    case LM_COLUMN_BYTES:
        if (c->role == LM_ROLE_NONE) return 8;
        return !is_apart ? 7 : c->role == LM_ROLE_RAW ? 10 : 9;
    }
    return 0;
}

/** Value i of an INT or ID column as a word. */
static uint64_t word_of(const lm_column *c, size_t i)
{
    return c->type == LM_COLUMN_INT ? lm_zigzag(c->ints[i]) : c->ids[i];
}

static uint64_t delta_of(const lm_column *c, size_t i)
{
    if (i == 0) return word_of(c, 0);
    return lm_zigzag((int64_t)((uint64_t)c->ints[i] - (uint64_t)c->ints[i - 1]));
}

static unsigned bits_of(uint64_t w)
{
    return w ? 64u - (unsigned)__builtin_clzll(w) : 0;
}

static enum frame_mode choose_frame_mode(const lm_column *c)
{
    bool same = true;
    size_t plain = 0, delta = 0;
    for (size_t i = 1; i < c->count; i++) {
        same &= word_of(c, i) == word_of(c, 0);
        plain += 1 + bits_of(word_of(c, i));
        if (c->type == LM_COLUMN_INT) delta += 1 + bits_of(delta_of(c, i));
    }
    return same                                        ? FRAME_CONST
           : c->type == LM_COLUMN_INT && delta < plain ? FRAME_DELTA
                                                       : FRAME_VALUES;
}

static size_t frame_values(const lm_column *const *columns, size_t count)
{
    size_t values = 0;
    for (size_t i = 0; i < count; i++)
        values += columns[i]->count;
    return values;
}

/** The three runs of a frame in one allocation. */
typedef struct frame_words {
    uint64_t *all; /* of count + count + values words */
    size_t words;
    uint64_t *modes, *constants, *values;
    size_t mode_count, constant_count, value_count;
} frame_words;

static lm_err frame_words_init(frame_words *w, lm_mem *mem, size_t columns, size_t values)
{
    *w = (frame_words){.words = 2 * columns + values};
    w->all = lm_mem_calloc(mem, w->words, sizeof *w->all);
    if (!w->all) return lm_mem_err();
    w->modes = w->all;
    w->constants = w->all + columns;
    w->values = w->all + 2 * columns;
    return LM_OK;
}

static lm_err put_values(codec_enc *enc, const lm_column *const *columns, size_t count, lm_buf *out)
{
    frame_words w;
    lm_err err = frame_words_init(&w, enc->mem, count, frame_values(columns, count));
    if (err) return err;
    for (size_t i = 0; i < count; i++) {
        const lm_column *c = columns[i];
        if (c->count == 0) continue;
        enum frame_mode mode = choose_frame_mode(c);
        w.modes[w.mode_count++] = mode;
        if (mode == FRAME_CONST)
            w.constants[w.constant_count++] = word_of(c, 0);
        else if (mode == FRAME_VALUES)
            for (size_t k = 0; k < c->count; k++)
                w.values[w.value_count++] = word_of(c, k);
        else
            for (size_t k = 0; k < c->count; k++)
                w.values[w.value_count++] = delta_of(c, k);
    }
    err = codec_words_put(enc, w.modes, w.mode_count, out);
    if (!err) err = codec_words_put(enc, w.constants, w.constant_count, out);
    if (!err) err = codec_words_put(enc, w.values, w.value_count, out);
    lm_mem_release(enc->mem, w.all, w.words * sizeof *w.all);
    return err;
}

lm_err codec_frame_join(lm_mem *mem, const lm_column *const *columns, size_t count, lm_buf *out)
{
    lm_buf_init(out, mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < count && !err; i++)
        err = lm_buf_append(out, columns[i]->bytes, codec_column_plain_bytes(columns[i]));
    return err;
}

static lm_err put_bytes(codec_enc *enc, const lm_column *const *columns, size_t count, lm_buf *out)
{
    lm_buf plain;
    lm_err err = codec_frame_join(enc->mem, columns, count, &plain);
    if (!err) err = codec_stream_put(enc, plain.ptr, plain.len, out);
    lm_buf_fini(&plain);
    return err;
}

lm_err codec_frame_put(codec_enc *enc, const lm_column *const *columns, size_t count, lm_buf *out)
{
    if (columns[0]->type == LM_COLUMN_BYTES) return put_bytes(enc, columns, count, out);
    if (columns[0]->type == LM_COLUMN_WIDE) return codec_wides_put(enc, columns, count, out);
    return put_values(enc, columns, count, out);
}

/** Words to values, in the form of the column. */
static lm_err set_values(const lm_column *c, enum frame_mode mode, const uint64_t *words, void *dst)
{
    if (c->type == LM_COLUMN_INT) {
        int64_t *ints = dst;
        for (size_t i = 0; i < c->count; i++) {
            int64_t v = lm_unzigzag(words[mode == FRAME_CONST ? 0 : i]);
            ints[i] = mode == FRAME_DELTA && i ? (int64_t)((uint64_t)ints[i - 1] + (uint64_t)v) : v;
        }
        return LM_OK;
    }
    uint32_t *ids = dst;
    if (mode == FRAME_DELTA) return codec_damaged("a small column has an unknown encoding");
    for (size_t i = 0; i < c->count; i++) {
        uint64_t id = words[mode == FRAME_CONST ? 0 : i];
        if (id >= c->alphabet) return codec_damaged("an id is not in its alphabet");
        ids[i] = (uint32_t)id;
    }
    return LM_OK;
}

static lm_err get_values(codec_dec *dec, lm_reader *in, const lm_column *const *columns,
                         size_t count, void **dst)
{
    frame_words w;
    lm_err err = frame_words_init(&w, dec->mem, count, frame_values(columns, count));
    if (err) return err;
    for (size_t i = 0; i < count; i++)
        w.mode_count += columns[i]->count > 0;
    err = codec_words_get(dec, in, w.modes, w.mode_count);
    for (size_t i = 0, m = 0; i < count && !err; i++) {
        if (columns[i]->count == 0) continue;
        uint64_t mode = w.modes[m++];
        if (mode >= FRAME_MODES) err = codec_damaged("a small column has an unknown encoding");
        if (mode == FRAME_CONST)
            w.constant_count++;
        else
            w.value_count += columns[i]->count;
    }
    if (!err) err = codec_words_get(dec, in, w.constants, w.constant_count);
    if (!err) err = codec_words_get(dec, in, w.values, w.value_count);
    const uint64_t *constant = w.constants, *value = w.values;
    for (size_t i = 0, m = 0; i < count && !err; i++) {
        if (columns[i]->count == 0) continue;
        enum frame_mode mode = (enum frame_mode)w.modes[m++];
        err = set_values(columns[i], mode, mode == FRAME_CONST ? constant : value, dst[i]);
        if (mode == FRAME_CONST)
            constant++;
        else
            value += columns[i]->count;
    }
    lm_mem_release(dec->mem, w.all, w.words * sizeof *w.all);
    return err;
}

/** One behind the other: a later frame may build on all of them. */
static lm_err get_bytes(codec_dec *dec, lm_reader *in, const lm_column *const *columns,
                        size_t count, void **dst)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += columns[i]->count;
    return codec_stream_get(dec, in, dst[0], len);
}

/** Room for the values of each column. Bytes lie one behind the other. */
static lm_err take_room(lm_arena *arena, const lm_column *const *columns, size_t count, void **out)
{
    bool is_bytes = columns[0]->type == LM_COLUMN_BYTES;
    size_t len = 0;
    for (size_t i = 0; i < count && is_bytes; i++)
        len += columns[i]->count;
    uint8_t *bytes = is_bytes ? lm_arena_alloc(arena, len, 16) : NULL;
    if (is_bytes && !bytes) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        size_t own = codec_column_plain_bytes(columns[i]);
        out[i] = is_bytes ? bytes : lm_arena_alloc(arena, own, 16);
        if (!out[i]) return lm_mem_err();
        if (is_bytes) bytes += own;
    }
    return LM_OK;
}

lm_err codec_frame_get(codec_dec *dec, lm_str payload, const lm_column *const *columns,
                       size_t count, lm_arena *arena, void **out)
{
    lm_reader in = lm_reader_of(payload.ptr, payload.len);
    if (count == 0) return codec_damaged("a frame is empty");
    lm_err err = take_room(arena, columns, count, out);
    if (err) return err;
    if (columns[0]->type == LM_COLUMN_BYTES)
        err = get_bytes(dec, &in, columns, count, out);
    else if (columns[0]->type == LM_COLUMN_WIDE)
        err = codec_wides_get(dec, &in, columns, count, out);
    else
        err = get_values(dec, &in, columns, count, out);
    if (!err && lm_reader_left(&in)) err = codec_damaged("a frame has bytes left over");
    return err;
}

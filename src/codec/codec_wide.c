/* Wide values (UUIDs, digests, request ids): random bytes that come back, in one column and in
 * others. All columns of a frame share one dictionary for each width:
 *
 *   for each width that occurs, narrow ones first: number of distinct values (varint); unless all
 *   are distinct a form and which value each one is; a stream of the distinct values, by first
 *   appearance
 */
#include "codec/codec_priv.h"

enum { WIDTH_MAX = 64 };

/** How it is told which value each one is: a node of ids, or words: 0 the next new value, else how
 * many values it lies back. */
enum { FORM_IDS = 0, FORM_WORDS = 1 };

/** The values of one width on their way. */
typedef struct wides {
    size_t count, distinct;
    uint32_t *ids;
    uint8_t *values; /* distinct ones */
    uint32_t *slots; /* index + 1 */
    size_t slot_count;
} wides;

static size_t count_of(const lm_column *const *columns, size_t count, uint32_t width)
{
    size_t values = 0;
    for (size_t i = 0; i < count; i++)
        values += columns[i]->width == width ? columns[i]->count : 0;
    return values;
}

static void wides_fini(lm_mem *mem, wides *w, uint32_t width)
{
    lm_mem_release(mem, w->ids, w->count * sizeof *w->ids);
    lm_mem_release(mem, w->values, w->count * width);
    lm_mem_release(mem, w->slots, w->slot_count * sizeof *w->slots);
}

static lm_err wides_init(lm_mem *mem, wides *w, size_t count, uint32_t width)
{
    *w = (wides){.count = count, .slot_count = 16};
    while (w->slot_count < count * 2)
        w->slot_count *= 2;
    w->ids = lm_mem_calloc(mem, count, sizeof *w->ids);
    w->values = lm_mem_alloc(mem, count * width);
    w->slots = lm_mem_calloc(mem, w->slot_count, sizeof *w->slots);
    if (w->ids && w->values && w->slots) return LM_OK;
    wides_fini(mem, w, width);
    return lm_mem_err();
}

static uint32_t wides_find(wides *w, const uint8_t *value, uint32_t width)
{
    size_t mask = w->slot_count - 1, at = lm_hash64(value, width) & mask;
    for (; w->slots[at]; at = (at + 1) & mask) {
        uint32_t id = w->slots[at] - 1;
        if (memcmp(w->values + (size_t)id * width, value, width) == 0) return id;
    }
    memcpy(w->values + w->distinct * width, value, width);
    w->slots[at] = (uint32_t)++w->distinct;
    return (uint32_t)w->distinct - 1;
}

/** Plain zstd sees in words what it would not in ids: a new value is like any other new value. */
static lm_err put_words(codec_enc *enc, const wides *w, lm_buf *out)
{
    uint64_t *words = lm_mem_calloc(enc->mem, w->count, sizeof *words);
    if (!words) return lm_mem_err();
    uint32_t next = 0;
    for (size_t i = 0; i < w->count; i++) {
        words[i] = next - w->ids[i];
        next += w->ids[i] == next;
    }
    lm_err err = codec_words_put(enc, words, w->count, out);
    lm_mem_release(enc->mem, words, w->count * sizeof *words);
    return err;
}

static lm_err put_width(codec_enc *enc, const lm_column *const *columns, size_t count,
                        uint32_t width, size_t values, lm_buf *out)
{
    wides w;
    lm_err err = wides_init(enc->mem, &w, values, width);
    if (err) return err;
    for (size_t i = 0, n = 0; i < count; i++) {
        if (columns[i]->width != width) continue;
        for (size_t k = 0; k < columns[i]->count; k++)
            w.ids[n++] = wides_find(&w, columns[i]->bytes + k * width, width);
    }
    err = lm_buf_varint(out, w.distinct);
    if (!err && w.distinct < w.count) {
        bool is_fast = enc->level == LM_LEVEL_FAST;
        err = lm_buf_u8(out, is_fast ? FORM_WORDS : FORM_IDS);
        if (!err)
            err = is_fast ? put_words(enc, &w, out)
                          : codec_ids_put(enc, w.ids, w.count, (uint32_t)w.distinct, 0, out);
    }
    if (!err) err = codec_stream_put(enc, w.values, w.distinct * width, out);
    wides_fini(enc->mem, &w, width);
    return err;
}

lm_err codec_wides_put(codec_enc *enc, const lm_column *const *columns, size_t count, lm_buf *out)
{
    lm_err err = LM_OK;
    for (uint32_t width = 1; !err && width <= WIDTH_MAX; width++) {
        size_t values = count_of(columns, count, width);
        if (values) err = put_width(enc, columns, count, width, values, out);
    }
    return err;
}

static lm_err get_words(codec_dec *dec, lm_reader *in, wides *w)
{
    uint64_t *words = lm_mem_alloc(dec->mem, w->count * sizeof *words);
    if (!words) return lm_mem_err();
    lm_err err = codec_words_get(dec, in, words, w->count);
    uint32_t next = 0;
    for (size_t i = 0; !err && i < w->count; i++) {
        if (words[i] > next) err = codec_damaged("a wide value lies before all others");
        w->ids[i] = (uint32_t)(next - words[i]);
        next += w->ids[i] == next;
        if (next > w->distinct) err = codec_damaged("too many wide values");
    }
    lm_mem_release(dec->mem, words, w->count * sizeof *words);
    return err;
}

static lm_err get_ids(codec_dec *dec, lm_reader *in, wides *w)
{
    if (w->distinct == w->count) {
        for (size_t i = 0; i < w->count; i++)
            w->ids[i] = (uint32_t)i;
        return LM_OK;
    }
    uint8_t form = lm_reader_u8(in);
    if (form == FORM_WORDS) return get_words(dec, in, w);
    if (form == FORM_IDS) return codec_ids_get(dec, in, w->ids, w->count, (uint32_t)w->distinct, 0);
    return codec_damaged("wide values have an unknown form");
}

/** The only column of this width, its values all distinct: they are where they belong at once. */
static lm_err get_alone(codec_dec *dec, lm_reader *in, const lm_column *const *columns,
                        size_t count, uint32_t width, void *const *dst)
{
    for (size_t i = 0; i < count; i++) {
        if (columns[i]->width == width && columns[i]->count)
            return codec_stream_get(dec, in, dst[i], (size_t)columns[i]->count * width);
    }
    return LM_OK;
}

static size_t columns_of(const lm_column *const *columns, size_t count, uint32_t width)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += columns[i]->width == width && columns[i]->count;
    return found;
}

static lm_err get_width(codec_dec *dec, lm_reader *in, const lm_column *const *columns,
                        size_t count, uint32_t width, size_t values, void *const *dst)
{
    wides w = {.count = values};
    w.distinct = (size_t)lm_reader_varint_max(in, values);
    if (in->failed || !w.distinct) return codec_damaged("wide values are cut short");
    if (w.distinct == values && columns_of(columns, count, width) == 1)
        return get_alone(dec, in, columns, count, width, dst);
    w.ids = lm_mem_alloc(dec->mem, w.count * sizeof *w.ids);
    w.values = lm_mem_alloc(dec->mem, w.count * width);
    lm_err err = w.ids && w.values ? get_ids(dec, in, &w) : lm_mem_err();
    if (!err) err = codec_stream_get(dec, in, w.values, w.distinct * width);
    for (size_t i = 0, n = 0; !err && i < count; i++) {
        if (columns[i]->width != width) continue;
        uint8_t *at = dst[i];
        for (size_t k = 0; k < columns[i]->count; k++, at += width)
            memcpy(at, w.values + (size_t)w.ids[n++] * width, width);
    }
    wides_fini(dec->mem, &w, width);
    return err;
}

lm_err codec_wides_get(codec_dec *dec, lm_reader *in, const lm_column *const *columns, size_t count,
                       void *const *dst)
{
    lm_err err = LM_OK;
    for (uint32_t width = 1; !err && width <= WIDTH_MAX; width++) {
        size_t values = count_of(columns, count, width);
        if (values) err = get_width(dec, in, columns, count, width, values, dst);
    }
    return err;
}

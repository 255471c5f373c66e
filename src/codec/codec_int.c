#include "codec/codec_ans_priv.h"

/* Node of integers: mode (1 byte), parameters, words or children. All arithmetic wraps at 64 bits,
 * so every mode is exact for every input. */
enum mode {
    MODE_CONST = 0,
    MODE_PLAIN = 1,
    MODE_DELTA = 2,
    MODE_DELTA2 = 3,
    MODE_DICT = 4,
    MODE_RUNS = 5,
    MODE_SCALED = 6,
    MODE_DELTA_PARTS = 7, /* DELTA and DELTA2 whose words are in parts: what each begins with */
    MODE_DELTA2_PARTS = 8,
    MODE_COUNT = 9
};

static const char *const mode_names[MODE_COUNT] = {"const", "for",    "delta", "delta2", "dict",
                                                   "rle",   "scaled", "delta", "delta2"};

/** Values looked at when modes are compared. Within such a comparison few do: what they tell is of
 * a part of a part. */
static size_t sample_count(const codec_enc *enc, size_t count)
{
    enum { WITHIN = 512 };

    lm_level level = enc->level;
    if (enc->is_trial && level != LM_LEVEL_MAX) return count < WITHIN ? count : WITHIN;
    size_t most = level == LM_LEVEL_FAST ? 2048 : level == LM_LEVEL_DEFAULT ? 8192 : 65536;
    size_t share = level == LM_LEVEL_MAX       ? count
                   : level == LM_LEVEL_DEFAULT ? count / 8
                                               : count / 16;
    size_t least = level == LM_LEVEL_FAST ? 512 : 1024;
    if (share < least) share = least;
    if (share > most) share = most;
    return share < count ? share : count;
}

static uint64_t residual_delta(const int64_t *values, size_t i)
{
    uint64_t before = i ? (uint64_t)values[i - 1] : 0;
    return lm_zigzag((int64_t)((uint64_t)values[i] - before));
}

static uint64_t residual_delta2(const int64_t *values, size_t i)
{
    uint64_t one = i ? (uint64_t)values[i - 1] : 0;
    uint64_t two = i > 1 ? (uint64_t)values[i - 2] : one;
    return lm_zigzag((int64_t)((uint64_t)values[i] - 2 * one + two));
}

/** By part but the first: the value before it, as the difference to the one before the last part,
 * and for DELTA2 the step there. */
static lm_err put_starts(const int64_t *values, size_t count, enum mode mode, lm_buf *out)
{
    lm_err err = LM_OK;
    uint64_t told = 0;
    for (size_t at = LM_PART_VALUES; at < count && !err; at += LM_PART_VALUES) {
        uint64_t before = (uint64_t)values[at - 1];
        err = lm_buf_varint(out, lm_zigzag((int64_t)(before - told)));
        told = before;
        if (!err && mode == MODE_DELTA2)
            err = lm_buf_varint(out, lm_zigzag((int64_t)(before - (uint64_t)values[at - 2])));
    }
    return err;
}

/** Words of differences: with the starts of parts if they came out in parts. */
static lm_err put_differences(codec_enc *enc, const int64_t *values, const uint64_t *words,
                              size_t count, enum mode mode, lm_buf *out)
{
    lm_buf made;
    lm_buf_init(&made, enc->mem);
    lm_err err = codec_words_put(enc, words, count, &made);
    bool in_parts = !err && codec_words_are_in_parts((lm_str){made.ptr, made.len});
    if (!err)
        err = lm_buf_u8(out, (uint8_t)(!in_parts            ? mode
                                       : mode == MODE_DELTA ? MODE_DELTA_PARTS
                                                            : MODE_DELTA2_PARTS));
    if (!err && in_parts) err = put_starts(values, count, mode, out);
    if (!err) err = lm_buf_append(out, made.ptr, made.len);
    lm_buf_fini(&made);
    return err;
}

static lm_err put_numeric(codec_enc *enc, const int64_t *values, size_t count, enum mode mode,
                          lm_buf *out)
{
    uint64_t *words = lm_mem_calloc(enc->mem, count, sizeof *words);
    if (!words) return lm_mem_err();
    lm_err err = LM_OK;
    if (mode == MODE_PLAIN) {
        int64_t min = values[0];
        for (size_t i = 1; i < count; i++)
            min = values[i] < min ? values[i] : min;
        if (min > 0 && min < 64) min = 0; /* saves the base, costs nothing */
        for (size_t i = 0; i < count; i++)
            words[i] = (uint64_t)values[i] - (uint64_t)min;
        err = lm_buf_u8(out, MODE_PLAIN);
        if (!err) err = lm_buf_varint(out, lm_zigzag(min));
        if (!err) err = codec_words_put(enc, words, count, out);
    } else if (mode == MODE_DELTA) {
        for (size_t i = 0; i < count; i++)
            words[i] = residual_delta(values, i);
    } else {
        for (size_t i = 0; i < count; i++)
            words[i] = residual_delta2(values, i);
    }
    if (mode != MODE_PLAIN) err = put_differences(enc, values, words, count, mode, out);
    lm_mem_release(enc->mem, words, count * sizeof *words);
    return err;
}

/** Distinct values in order of first appearance, and the index of each value among them. */
typedef struct dict {
    int64_t *values;
    uint32_t *ids;
    size_t count, cap;
} dict;

/** *fits is false when there are more than max distinct values. */
static lm_err dict_build(lm_mem *mem, const int64_t *values, size_t count, size_t max, dict *d,
                         bool *fits)
{
    size_t slots = 64;
    while (slots < max * 2)
        slots *= 2;
    uint32_t *table = lm_mem_calloc(mem, slots, sizeof *table); /* index + 1 */
    if (!table) return lm_mem_err();
    *fits = true;
    for (size_t i = 0; i < count; i++) {
        size_t at = lm_hash_u64((uint64_t)values[i]) & (slots - 1);
        while (table[at] && d->values[table[at] - 1] != values[i])
            at = (at + 1) & (slots - 1);
        if (!table[at]) {
            if (d->count == max) {
                *fits = false;
                break;
            }
            d->values[d->count++] = values[i];
            table[at] = (uint32_t)d->count;
        }
        d->ids[i] = table[at] - 1;
    }
    lm_mem_release(mem, table, slots * sizeof *table);
    return LM_OK;
}

static lm_err put_dict(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                       lm_buf *out, bool *fits)
{
    size_t max = count / 2 < (1u << 20) ? count / 2 : 1u << 20;
    dict d = {.cap = max};
    lm_err err = LM_OK;
    *fits = false;
    d.values = lm_mem_calloc(enc->mem, max, sizeof *d.values);
    d.ids = lm_mem_calloc(enc->mem, count, sizeof *d.ids);
    if (!d.values || !d.ids) {
        err = lm_mem_err();
        goto out;
    }
    err = dict_build(enc->mem, values, count, max, &d, fits);
    if (err || !*fits) goto out;
    err = lm_buf_u8(out, MODE_DICT);
    if (!err) err = lm_buf_varint(out, d.count);
    if (!err) err = codec_ints_put(enc, d.values, d.count, depth + 1, out);
    if (!err) err = codec_ids_put(enc, d.ids, count, (uint32_t)d.count, depth + 1, out);
out:
    lm_mem_release(enc->mem, d.values, max * sizeof *d.values);
    lm_mem_release(enc->mem, d.ids, count * sizeof *d.ids);
    return err;
}

static size_t count_runs(const int64_t *values, size_t count)
{
    size_t runs = 1;
    for (size_t i = 1; i < count; i++)
        runs += values[i] != values[i - 1];
    return runs;
}

/** Values of the runs, and their lengths less one. */
static lm_err put_runs(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                       lm_buf *out, bool *fits)
{
    size_t runs = count_runs(values, count), at = 0;
    *fits = runs <= count / 4;
    if (!*fits) return LM_OK;
    int64_t *each = lm_mem_calloc(enc->mem, runs, sizeof *each);
    uint64_t *lengths = lm_mem_calloc(enc->mem, runs, sizeof *lengths);
    lm_err err = each && lengths ? LM_OK : lm_mem_err();
    for (size_t i = 0; i < count && !err; i++) {
        if (i && values[i] == values[i - 1])
            lengths[at - 1]++;
        else
            each[at++] = values[i];
    }
    if (!err) err = lm_buf_u8(out, MODE_RUNS);
    if (!err) err = lm_buf_varint(out, runs);
    if (!err) err = codec_ints_put(enc, each, runs, depth + 1, out);
    if (!err) err = codec_words_put(enc, lengths, runs, out);
    lm_mem_release(enc->mem, lengths, runs * sizeof *lengths);
    lm_mem_release(enc->mem, each, runs * sizeof *each);
    return err;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/** What all values have in common is taken out: value = first + divisor * (value of the child). */
static lm_err put_scaled(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                         lm_buf *out, bool *fits)
{
    uint64_t divisor = 0;
    for (size_t i = 1; i < count && divisor != 1; i++) {
        int64_t far;
        if (__builtin_sub_overflow(values[i], values[0], &far) || far == INT64_MIN)
            divisor = 1;
        else
            divisor = common_divisor(divisor, (uint64_t)(far < 0 ? -far : far));
    }
    *fits = divisor > 1;
    if (!*fits) return LM_OK;
    int64_t *scaled = lm_mem_calloc(enc->mem, count, sizeof *scaled);
    if (!scaled) return lm_mem_err();
    int64_t step = (int64_t)divisor,
            first = values[0] % step; /* the common rest: small values stay small */
    bool is_rest = true;
    for (size_t i = 0; i < count && is_rest; i++)
        is_rest = values[i] % step == first; /* not where signs differ */
    if (!is_rest) first = values[0];
    for (size_t i = 0; i < count; i++)
        scaled[i] = is_rest ? values[i] / step : (values[i] - first) / step;
    lm_err err = lm_buf_u8(out, MODE_SCALED);
    if (!err) err = lm_buf_varint(out, lm_zigzag(first));
    if (!err) err = lm_buf_varint(out, divisor);
    if (!err) err = codec_ints_put(enc, scaled, count, depth + 1, out);
    lm_mem_release(enc->mem, scaled, count * sizeof *scaled);
    return err;
}

static lm_err put_as(codec_enc *enc, const int64_t *values, size_t count, enum mode mode,
                     unsigned depth, lm_buf *out, bool *fits)
{
    *fits = true;
    if (mode == MODE_DICT) return put_dict(enc, values, count, depth, out, fits);
    if (mode == MODE_RUNS) return put_runs(enc, values, count, depth, out, fits);
    if (mode == MODE_SCALED) return put_scaled(enc, values, count, depth, out, fits);
    return put_numeric(enc, values, count, mode, out);
}

static bool is_const(const int64_t *values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (values[i] != values[0]) return false;
    }
    return true;
}

/** The mode that makes a sample from the middle smallest. */
static lm_err choose_mode(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                          enum mode *out)
{
    size_t sample = sample_count(enc, count), best_bytes = SIZE_MAX;
    const int64_t *from = values + (count - sample) / 2;
    bool was_trial = enc->is_trial;
    lm_buf trial;
    lm_buf_init(&trial, enc->mem);
    lm_err err = LM_OK;
    enc->is_trial = true;
    for (enum mode mode = MODE_PLAIN; mode <= MODE_SCALED && !err; mode++) {
        if (mode >= MODE_DICT && (depth > 2 || count < 16))
            continue; /* they hold integers themselves */
        bool fits;
        trial.len = 0;
        err = put_as(enc, from, sample, mode, depth, &trial, &fits);
        if (!err && fits && trial.len < best_bytes) {
            best_bytes = trial.len;
            *out = mode;
        }
    }
    enc->is_trial = was_trial;
    lm_buf_fini(&trial);
    return err;
}

lm_err codec_ints_put(codec_enc *enc, const int64_t *values, size_t count, unsigned depth,
                      lm_buf *out)
{
    if (count == 0) return LM_OK;
    if (is_const(values, count)) {
        lm_err err = lm_buf_u8(out, MODE_CONST);
        return err ? err : lm_buf_varint(out, lm_zigzag(values[0]));
    }
    enum mode best = MODE_PLAIN;
    lm_err err = choose_mode(enc, values, count, depth, &best);
    if (err) return err;
    size_t start = out->len;
    bool fits;
    err = put_as(enc, values, count, best, depth, out, &fits);
    if (!err && !fits) { /* the sample had fewer distinct values */
        out->len = start;
        err = put_as(enc, values, count, MODE_DELTA, depth, out, &fits);
    }
    return err;
}

/** Differences become values; value and step are those before the first one. */
static void add_up(int64_t *dst, size_t count, uint64_t value, uint64_t step, bool has_steps)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t change = (uint64_t)lm_unzigzag((uint64_t)dst[i]);
        step += change;
        value += has_steps ? step : change;
        dst[i] = (int64_t)value;
    }
}

static lm_err get_numeric(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count, enum mode mode)
{
    int64_t min = mode == MODE_PLAIN ? lm_unzigzag(lm_reader_varint(in)) : 0;
    lm_err err =
        codec_words_get(dec, in, (uint64_t *)dst, count); /* words become values in place */
    if (err) return err;
    if (mode == MODE_PLAIN) {
        for (size_t i = 0; i < count; i++)
            dst[i] = (int64_t)((uint64_t)dst[i] + (uint64_t)min);
        return LM_OK;
    }
    uint64_t first = (uint64_t)lm_unzigzag((uint64_t)dst[0]);
    dst[0] = (int64_t)first; /* it is not a step */
    add_up(dst + 1, count - 1, first, 0, mode == MODE_DELTA2);
    return LM_OK;
}

/** Value and step before each part; starts has room for two a part, NULL: they are passed by. */
static lm_err get_starts(lm_reader *in, size_t count, bool has_steps, uint64_t *starts)
{
    uint64_t value = 0;
    for (size_t p = 1; p < codec_part_count(count); p++) {
        value += (uint64_t)lm_unzigzag(lm_reader_varint(in));
        uint64_t step = has_steps ? (uint64_t)lm_unzigzag(lm_reader_varint(in)) : 0;
        if (in->failed) return codec_damaged("a part of a column begins nowhere");
        if (!starts) continue;
        starts[2 * p] = value;
        starts[2 * p + 1] = step;
    }
    return LM_OK;
}

static lm_err get_dict(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count, unsigned depth)
{
    size_t distinct = (size_t)lm_reader_varint_max(in, count);
    if (in->failed || distinct == 0) return codec_damaged("a dictionary has an impossible size");
    uint32_t *ids = NULL;
    int64_t *values = lm_mem_alloc(dec->mem, distinct * sizeof *values);
    lm_err err = LM_OK;
    if (!values) return lm_mem_err();
    ids = lm_mem_alloc(dec->mem, count * sizeof *ids);
    if (!ids) {
        err = lm_mem_err();
        goto out;
    }
    err = codec_ints_get(dec, in, values, distinct, depth + 1);
    if (!err) err = codec_ids_get(dec, in, ids, count, (uint32_t)distinct, depth + 1);
    for (size_t i = 0; i < count && !err; i++)
        dst[i] = values[ids[i]];
out:
    lm_mem_release(dec->mem, ids, count * sizeof *ids);
    lm_mem_release(dec->mem, values, distinct * sizeof *values);
    return err;
}

static lm_err get_runs(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count, unsigned depth)
{
    size_t runs = (size_t)lm_reader_varint_max(in, count), at = 0;
    if (in->failed || runs == 0) return codec_damaged("a number of runs is impossible");
    int64_t *each = lm_mem_alloc(dec->mem, runs * sizeof *each);
    if (!each) return lm_mem_err();
    uint64_t *lengths = lm_mem_alloc(dec->mem, runs * sizeof *lengths);
    lm_err err = lengths ? LM_OK : lm_mem_err();
    if (!err) err = codec_ints_get(dec, in, each, runs, depth + 1);
    if (!err) err = codec_words_get(dec, in, lengths, runs);
    for (size_t r = 0; r < runs && !err; r++) {
        if (lengths[r] >= count - at) {
            err = codec_damaged("runs are longer than their column");
            break;
        }
        for (uint64_t i = 0; i <= lengths[r]; i++)
            dst[at++] = each[r];
    }
    if (!err && at != count) err = codec_damaged("runs are shorter than their column");
    lm_mem_release(dec->mem, lengths, runs * sizeof *lengths);
    lm_mem_release(dec->mem, each, runs * sizeof *each);
    return err;
}

static lm_err get_scaled(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count, unsigned depth)
{
    uint64_t first = (uint64_t)lm_unzigzag(lm_reader_varint(in)), divisor = lm_reader_varint(in);
    if (in->failed) return codec_damaged("a scale is cut short");
    lm_err err = codec_ints_get(dec, in, dst, count, depth + 1);
    for (size_t i = 0; i < count && !err; i++)
        dst[i] = (int64_t)(first + divisor * (uint64_t)dst[i]);
    return err;
}

lm_err codec_ints_get(codec_dec *dec, lm_reader *in, int64_t *dst, size_t count, unsigned depth)
{
    if (count == 0) return LM_OK;
    if (depth >= CODEC_DEPTH_MAX) return codec_damaged("encodings nest too deep");
    uint8_t mode = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a column is cut short");
    switch (mode) {
    case MODE_CONST: {
        int64_t value = lm_unzigzag(lm_reader_varint(in));
        if (in->failed) return codec_damaged("a constant is cut short");
        for (size_t i = 0; i < count; i++)
            dst[i] = value;
        return LM_OK;
    }
    case MODE_PLAIN:
    case MODE_DELTA:
    case MODE_DELTA2:
        return get_numeric(dec, in, dst, count, (enum mode)mode);
    case MODE_DELTA_PARTS:
    case MODE_DELTA2_PARTS: {
        bool has_steps = mode == MODE_DELTA2_PARTS;
        lm_err err = get_starts(in, count, has_steps, NULL);
        return err ? err : get_numeric(dec, in, dst, count, has_steps ? MODE_DELTA2 : MODE_DELTA);
    }
    case MODE_DICT:
        return get_dict(dec, in, dst, count, depth);
    case MODE_RUNS:
        return get_runs(dec, in, dst, count, depth);
    case MODE_SCALED:
        return get_scaled(dec, in, dst, count, depth);
    default:
        return codec_damaged("a column of numbers has an unknown encoding");
    }
}

/* ---- in parts ---- */

static lm_err open_dict(codec_dec *dec, lm_reader *in, unsigned depth, codec_parts *out)
{
    size_t distinct = (size_t)lm_reader_varint_max(in, out->count);
    if (in->failed || distinct == 0) return codec_damaged("a dictionary has an impossible size");
    out->dict = lm_mem_alloc(dec->mem, distinct * sizeof *out->dict);
    out->distinct = out->dict ? distinct : 0;
    lm_err err = out->dict ? codec_ints_get(dec, in, out->dict, distinct, depth + 1) : lm_mem_err();
    out->kind = CODEC_PARTS_DICT;
    return err ? err : codec_ids_open(dec, in, (uint32_t)distinct, out);
}

static lm_err open_deltas(codec_dec *dec, lm_reader *in, bool has_steps, codec_parts *out)
{
    out->starts = lm_mem_calloc(dec->mem, codec_part_count(out->count), 2 * sizeof *out->starts);
    if (!out->starts) return lm_mem_err();
    out->kind = has_steps ? CODEC_PARTS_DELTA2 : CODEC_PARTS_DELTA;
    lm_err err = get_starts(in, out->count, has_steps, out->starts);
    return err ? err : codec_words_open(dec, in, out);
}

lm_err codec_ints_open(codec_dec *dec, lm_reader *in, unsigned depth, codec_parts *out)
{
    uint8_t mode = lm_reader_u8(in);
    if (in->failed) return codec_damaged("a column is cut short");
    switch (mode) {
    case MODE_PLAIN:
        out->kind = CODEC_PARTS_PLAIN;
        out->base = (uint64_t)lm_unzigzag(lm_reader_varint(in));
        return codec_words_open(dec, in, out);
    case MODE_DELTA_PARTS:
    case MODE_DELTA2_PARTS:
        return open_deltas(dec, in, mode == MODE_DELTA2_PARTS, out);
    case MODE_DICT:
        return open_dict(dec, in, depth, out);
    case MODE_SCALED:
        if (depth) return LM_OK; /* scales of scales are read as a whole */
        out->is_scaled = true;
        out->scale_first = (uint64_t)lm_unzigzag(lm_reader_varint(in));
        out->scale_by = lm_reader_varint(in);
        if (in->failed) return codec_damaged("a scale is cut short");
        return codec_ints_open(dec, in, depth + 1, out);
    default:
        return LM_OK;
    }
}

lm_err codec_ints_read(codec_parts *p, size_t part, int64_t *dst)
{
    size_t count = codec_part_values(p->count, part);
    int64_t *at = dst + part * LM_PART_VALUES;
    if (p->kind == CODEC_PARTS_DICT) {
        lm_err err = codec_ids_read(p, part, (uint32_t)p->distinct, p->ids);
        if (err) return err;
        for (size_t i = 0; i < count; i++)
            at[i] = p->dict[p->ids[i]];
    } else {
        codec_static_read_words(&p->run, part, part + 1, (uint64_t *)at);
    }
    if (p->kind == CODEC_PARTS_PLAIN) {
        for (size_t i = 0; i < count; i++)
            at[i] = (int64_t)((uint64_t)at[i] + p->base);
    } else if (p->kind != CODEC_PARTS_DICT) {
        bool has_steps = p->kind == CODEC_PARTS_DELTA2;
        uint64_t value = p->starts[2 * part], step = p->starts[2 * part + 1];
        if (part == 0) {
            value = (uint64_t)lm_unzigzag((uint64_t)at[0]);
            at[0] = (int64_t)value;
        }
        size_t from = part == 0;
        add_up(at + from, count - from, value, step, has_steps);
    }
    for (size_t i = 0; i < count && p->is_scaled; i++)
        at[i] = (int64_t)(p->scale_first + p->scale_by * (uint64_t)at[i]);
    return LM_OK;
}

const char *codec_ints_name(uint8_t mode)
{
    return mode < MODE_COUNT ? mode_names[mode] : "unknown";
}

/* Derived columns: what a column adds to another one of its group.
 *
 *   SHIFT   value minus the source's value in the same row (equal columns, second timestamps, id =
 * other id + constant) KEYED   value minus the last value that stood beside the same source value
 * (counters per session, ports per connection) BESIDE  for ids: 0 where the id is the last one that
 * stood beside the same source value, else id + 1
 *
 * The last values are kept in a small table addressed by a hash of the source value; keys that
 * collide only predict badly, the same way in both directions. A block of a derived column:
 * CODEC_DERIVED + kind, how many columns back the source is (varint), then the residuals as a node
 * of integers (SHIFT, KEYED) or of ids below alphabet + 1 (BESIDE).
 */
#include "codec/codec_priv.h"

enum { TABLE_LOG_MIN = 8, TABLE_LOG_MAX = 16 };

enum { SOURCES_MAX = 24, TRIALS = 2 };

static int64_t value_at(const lm_column *c, size_t i)
{
    return c->type == LM_COLUMN_INT ? c->ints[i] : (int64_t)c->ids[i];
}

/** Last values by key. */
typedef struct last_table {
    int64_t *last;
    size_t count;
    unsigned shift;
} last_table;

static lm_err last_init(last_table *t, lm_mem *mem, size_t rows)
{
    unsigned log = TABLE_LOG_MIN;
    while (log < TABLE_LOG_MAX && (size_t)1 << log < rows)
        log++;
    t->count = (size_t)1 << log;
    t->shift = 64 - log;
    t->last = lm_mem_calloc(mem, t->count, sizeof *t->last);
    return t->last ? LM_OK : lm_mem_err();
}

static int64_t *last_slot(const last_table *t, int64_t key)
{
    return &t->last[(uint64_t)key * 0x9e3779b97f4a7c15u >> t->shift];
}

/** Residuals of rows [from, from + count) of target beside source, as integers. The table must be
 * fresh. */
static void make_residuals(const lm_column *target, const lm_column *source, codec_derive kind,
                           last_table *t, size_t from, size_t count, int64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        int64_t v = value_at(target, from + i), s = value_at(source, from + i);
        if (kind == CODEC_DERIVE_SHIFT) {
            out[i] = (int64_t)((uint64_t)v - (uint64_t)s);
            continue;
        }
        int64_t *last = last_slot(t, s);
        if (kind == CODEC_DERIVE_KEYED)
            out[i] = (int64_t)((uint64_t)v - (uint64_t)*last);
        else
            out[i] = *last == v + 1 ? 0 : v + 1; /* the table holds id + 1: 0 is never an id */
        *last = kind == CODEC_DERIVE_KEYED ? v : v + 1;
    }
}

static bool kind_fits(const lm_column *target, const lm_column *source, codec_derive kind)
{
    if (kind == CODEC_DERIVE_SHIFT) return target->type == source->type;
    return (kind == CODEC_DERIVE_KEYED) == (target->type == LM_COLUMN_INT);
}

static lm_err put_residuals(codec_enc *enc, const lm_column *target, codec_derive kind,
                            int64_t *residuals, size_t count, lm_buf *out)
{
    if (kind != CODEC_DERIVE_BESIDE) return codec_ints_put(enc, residuals, count, 1, out);
    uint32_t *ids = lm_mem_calloc(enc->mem, count, sizeof *ids);
    if (!ids) return lm_mem_err();
    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)residuals[i];
    lm_err err = codec_ids_put(enc, ids, count, target->alphabet + 1, 1, out);
    lm_mem_release(enc->mem, ids, count * sizeof *ids);
    return err;
}

/** Write rows [from, from + count) of target as derived. */
static lm_err put_rows(codec_enc *enc, const lm_column *target, const lm_column *source,
                       codec_derive kind, size_t from, size_t count, lm_buf *out)
{
    last_table t;
    int64_t *residuals = NULL;
    lm_err err = last_init(&t, enc->mem, count);
    if (err) return err;
    residuals = lm_mem_calloc(enc->mem, count, sizeof *residuals);
    if (!residuals) {
        err = lm_mem_err();
        goto out;
    }
    make_residuals(target, source, kind, &t, from, count, residuals);
    err = put_residuals(enc, target, kind, residuals, count, out);
out:
    lm_mem_release(enc->mem, residuals, count * sizeof *residuals);
    lm_mem_release(enc->mem, t.last, t.count * sizeof *t.last);
    return err;
}

lm_err codec_derive_put(codec_enc *enc, const lm_column *target, const lm_column *source,
                        codec_derive kind, size_t back, lm_buf *out)
{
    lm_err err = lm_buf_u8(out, (uint8_t)(CODEC_DERIVED + kind));
    if (!err) err = lm_buf_varint(out, back);
    return err ? err : put_rows(enc, target, source, kind, 0, target->count, out);
}

/* ---- choosing ---- */

static unsigned bits_of(int64_t v)
{
    uint64_t z = lm_zigzag(v);
    return z ? 65u - (unsigned)__builtin_clzll(z) : 0;
}

/** Rough cost of a sample, in bits: what the sizes of its residuals say. */
static size_t rough_bits(const int64_t *residuals, size_t count)
{
    size_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits += 1 + bits_of(residuals[i]);
    return bits;
}

/** The column by itself: as it is, or as differences. */
static size_t rough_own_bits(const lm_column *c, size_t from, size_t count)
{
    size_t plain = 0, delta = 0;
    for (size_t i = from; i < from + count; i++) {
        int64_t v = value_at(c, i), before = i ? value_at(c, i - 1) : 0;
        plain += 1 + bits_of(v);
        delta += 1 + bits_of((int64_t)((uint64_t)v - (uint64_t)before));
    }
    return plain < delta ? plain : delta;
}

static bool is_number(const lm_column *c)
{
    return c->type == LM_COLUMN_INT || c->type == LM_COLUMN_ID;
}

/** A source and kind that look promising. */
typedef struct candidate {
    size_t source; /* index of the column */
    size_t bits;
    codec_derive kind;
} candidate;

static void keep_best(candidate *best, candidate c)
{
    for (size_t i = 0; i < TRIALS; i++) {
        if (c.bits >= best[i].bits) continue;
        candidate swap = best[i];
        best[i] = c;
        c = swap;
    }
}

/** A sample of one target, and room for its residuals. */
typedef struct look {
    size_t from, count;
    int64_t *residuals;
    last_table table;
} look;

static void rate_source(const lm_column *columns, size_t target, size_t source, const look *l,
                        candidate *best)
{
    for (codec_derive kind = CODEC_DERIVE_SHIFT; kind < CODEC_DERIVE_KINDS; kind++) {
        if (!kind_fits(&columns[target], &columns[source], kind)) continue;
        last_table t = l->table;
        memset(t.last, 0, t.count * sizeof *t.last);
        make_residuals(&columns[target], &columns[source], kind, &t, l->from, l->count,
                       l->residuals);
        if (kind == CODEC_DERIVE_SHIFT) { /* a constant distance costs nothing */
            int64_t first = l->residuals[0];
            for (size_t i = 0; i < l->count; i++)
                l->residuals[i] = (int64_t)((uint64_t)l->residuals[i] - (uint64_t)first);
        }
        keep_best(best, (candidate){source, rough_bits(l->residuals, l->count), kind});
    }
}

static lm_err trial_own(codec_enc *enc, const lm_column *c, const look *l, lm_buf *out)
{
    if (c->type == LM_COLUMN_INT) return codec_ints_put(enc, c->ints + l->from, l->count, 1, out);
    return codec_ids_put(enc, c->ids + l->from, l->count, c->alphabet, 1, out);
}

/** Measure the promising ones against the column by itself. */
static lm_err try_candidates(codec_enc *enc, const lm_column *columns, size_t target, const look *l,
                             const candidate *best, codec_source *out)
{
    lm_buf trial;
    lm_buf_init(&trial, enc->mem);
    bool was_trial = enc->is_trial;
    enc->is_trial = true;
    lm_err err = trial_own(enc, &columns[target], l, &trial);
    size_t limit = trial.len > 16 ? trial.len - trial.len / 16 - 8
                                  : 0; /* a source costs time: it has to pay */
    for (size_t k = 0; k < TRIALS && !err && best[k].bits != SIZE_MAX; k++) {
        trial.len = 0;
        err = put_rows(enc, &columns[target], &columns[best[k].source], best[k].kind, l->from,
                       l->count, &trial);
        if (!err && trial.len < limit) {
            limit = trial.len;
            *out = (codec_source){.is_set = true, .column = best[k].source, .kind = best[k].kind};
        }
    }
    enc->is_trial = was_trial;
    lm_buf_fini(&trial);
    return err;
}

lm_err codec_derive_choose(codec_enc *enc, const lm_column *columns, const uint32_t *members,
                           size_t place, const uint8_t *depths, codec_source *out)
{
    size_t target = members[place];
    const lm_column *c = &columns[target];
    *out = (codec_source){0};
    if (!is_number(c) || c->count < 64) return LM_OK;
    size_t most = enc->level == LM_LEVEL_FAST ? 512 : enc->level == LM_LEVEL_DEFAULT ? 2048 : 16384;
    look l = {.count = c->count < most ? c->count : most};
    l.from = (c->count - l.count) / 2;
    size_t own = rough_own_bits(c, l.from, l.count);
    if (own <= l.count + 64) return LM_OK; /* hardly anything to save */
    lm_err err = last_init(&l.table, enc->mem, l.count);
    if (err) return err;
    candidate best[TRIALS];
    for (size_t i = 0; i < TRIALS; i++)
        best[i] = (candidate){.bits = SIZE_MAX};
    l.residuals = lm_mem_calloc(enc->mem, l.count, sizeof *l.residuals);
    if (!l.residuals) {
        err = lm_mem_err();
        goto out;
    }
    for (size_t s = place, seen = 0; s-- > 0 && seen < SOURCES_MAX;) {
        if (!is_number(&columns[members[s]]) || depths[s] + 1 >= CODEC_SOURCES_DEEP) continue;
        seen++;
        rate_source(columns, target, members[s], &l, best);
    }
    for (size_t i = 0; i < TRIALS; i++) {
        if (best[i].bits > own - own / 8) best[i].bits = SIZE_MAX;
    }
    if (best[0].bits != SIZE_MAX) err = try_candidates(enc, columns, target, &l, best, out);
out:
    lm_mem_release(enc->mem, l.residuals, l.count * sizeof *l.residuals);
    lm_mem_release(enc->mem, l.table.last, l.table.count * sizeof *l.table.last);
    return err;
}

/* ---- decoding ---- */

static lm_err get_beside(codec_dec *dec, lm_reader *in, const lm_column *info,
                         const lm_column *source, last_table *t, uint32_t *dst)
{
    if (info->alphabet == UINT32_MAX)
        return codec_damaged("a derived column has an impossible alphabet");
    lm_err err = codec_ids_get(dec, in, dst, info->count, info->alphabet + 1, 1);
    for (size_t i = 0; i < info->count && !err; i++) {
        int64_t *last = last_slot(t, value_at(source, i));
        int64_t v = dst[i] ? dst[i] : *last;
        if (v == 0) return codec_damaged("a derived id follows from nothing");
        dst[i] = (uint32_t)(v - 1);
        *last = v;
    }
    return err;
}

/** Residuals in place to values. */
static void add_source(int64_t *values, const lm_column *source, codec_derive kind, last_table *t,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t s = value_at(source, i);
        int64_t *from = kind == CODEC_DERIVE_SHIFT ? &s : last_slot(t, s);
        values[i] = (int64_t)((uint64_t)values[i] + (uint64_t)*from);
        *from = values[i];
    }
}

static lm_err get_shifted_ids(codec_dec *dec, lm_reader *in, const lm_column *info,
                              const lm_column *source, uint32_t *dst)
{
    int64_t *values = lm_mem_calloc(dec->mem, info->count, sizeof *values);
    if (!values) return lm_mem_err();
    lm_err err = codec_ints_get(dec, in, values, info->count, 1);
    if (!err) add_source(values, source, CODEC_DERIVE_SHIFT, NULL, info->count);
    for (size_t i = 0; i < info->count && !err; i++) {
        if ((uint64_t)values[i] >= info->alphabet)
            err = codec_damaged("an id is not in its alphabet");
        dst[i] = (uint32_t)values[i];
    }
    lm_mem_release(dec->mem, values, info->count * sizeof *values);
    return err;
}

lm_err codec_derive_get(codec_dec *dec, lm_reader *in, codec_derive kind, const lm_column *info,
                        const lm_column *source, void *dst)
{
    if (!kind_fits(info, source, kind))
        return codec_damaged("a derived column does not fit its source");
    if (kind == CODEC_DERIVE_SHIFT && info->type == LM_COLUMN_ID)
        return get_shifted_ids(dec, in, info, source, dst);
    last_table t;
    lm_err err = last_init(&t, dec->mem, info->count);
    if (err) return err;
    if (kind == CODEC_DERIVE_BESIDE) {
        err = get_beside(dec, in, info, source, &t, dst);
    } else {
        err = codec_ints_get(dec, in, dst, info->count, 1);
        if (!err) add_source(dst, source, kind, &t, info->count);
    }
    lm_mem_release(dec->mem, t.last, t.count * sizeof *t.last);
    return err;
}

/** Templates of an opened archive: their texts, unpacked when asked for, and their counts, taken
 * from the rows. */
#include "archive/archive_view.h"

uint32_t lm_archive_template_forward(const lm_archive *archive, uint32_t id)
{
    return id < archive->meta.template_count ? archive->meta.templates[id].forward : id;
}

/** Skeletons of the first segment that has columns: the words that the texts were stored in. */
static lm_err first_shapes(const lm_archive *archive, lm_segment **out)
{
    for (size_t i = 0; i < archive->meta.segment_count; i++) {
        lm_segment *segment = NULL;
        lm_err err = lm_segment_open(archive, i, &segment);
        if (err) return err;
        if (!lm_segment_is_raw(segment)) {
            *out = segment;
            return LM_OK;
        }
        lm_segment_close(segment);
    }
    *out = NULL;
    return LM_OK;
}

/** The template of each of its shapes; texts are stored by it, so it has to be right. */
static lm_err templates_of_shapes(const lm_segment *segment, uint32_t **out)
{
    lm_str ids = segment->templates_bytes;
    if (ids.len && (uint32_t)lm_hash64(ids.ptr, ids.len) != segment->head.templates_check)
        return lm_fail(LM_E_CORRUPT, "template ids are damaged");
    size_t n = segment->shapes.count;
    uint32_t *of_shape = lm_mem_calloc(segment->mem, n, sizeof *of_shape);
    if (!of_shape) return lm_mem_err();
    for (size_t s = 0; s < n; s++)
        of_shape[s] = segment->views[s].template_id;
    *out = of_shape;
    return LM_OK;
}

static lm_err load_texts(lm_archive *archive)
{
    lm_archive_meta *meta = &archive->meta;
    lm_segment *segment = NULL;
    lm_texts_base base = {.mem = archive->mem};
    uint32_t *of_shape = NULL;
    lm_err err = first_shapes(archive, &segment);
    if (!err && segment) {
        err = templates_of_shapes(segment, &of_shape);
        base.skeletons = (lm_str){segment->shapes.skeletons.ptr, segment->shapes.skeletons.len};
        base.shape_count = segment->shapes.count;
        base.template_of_shape = of_shape;
    }
    uint8_t *texts = NULL;
    if (!err) texts = lm_arena_alloc(&archive->arena, (size_t)meta->texts_raw, 1);
    if (!err && !texts) err = lm_mem_err();
    if (!err)
        err =
            lm_texts_get(&base, meta->template_count, meta->texts, texts, (size_t)meta->texts_raw);
    if (!err) err = lm_meta_texts_read((lm_str){texts, (size_t)meta->texts_raw}, meta);
    lm_mem_release(archive->mem, of_shape, of_shape ? base.shape_count * sizeof *of_shape : 0);
    lm_segment_close(segment);
    return err;
}

const lm_archive_template *lm_archive_template_at(const lm_archive *const_archive, size_t index)
{
    lm_archive *archive =
        (lm_archive *)(uintptr_t)const_archive; /* unpacks the texts once; see the contract */
    LM_ASSERT(index < archive->meta.template_count);
    if (!archive->has_texts) {
        archive->has_texts = true; /* damaged texts are not tried again */
        if (archive->meta.texts_raw && load_texts(archive) != LM_OK) {
            for (size_t i = 0; i < archive->meta.template_count; i++)
                archive->meta.templates[i].text = (lm_str){0};
        }
    }
    return &archive->meta.templates[index];
}

static lm_err count_segment(lm_archive *archive, size_t index)
{
    lm_segment *segment = NULL;
    lm_err err = lm_segment_open(archive, index, &segment);
    if (err) return err;
    const uint32_t *shape_of_row = NULL;
    const int64_t *times = NULL;
    if (!lm_segment_is_raw(segment)) {
        err = lm_segment_rows_load(segment, &shape_of_row);
        if (!err) err = lm_segment_times(segment, &times);
    }
    for (uint32_t r = 0; !err && times && r < lm_segment_row_count(segment); r++) {
        uint32_t id = segment->views[shape_of_row[r]].template_id;
        if (id >= archive->meta.template_count) continue;
        lm_archive_template *t = &archive->meta.templates[id];
        t->count++;
        if (times[r] == INT64_MIN) continue;
        if (times[r] < t->first_ns) t->first_ns = times[r];
        if (times[r] > t->last_ns) t->last_ns = times[r];
    }
    lm_segment_close(segment);
    return err;
}

lm_err lm_archive_templates_count(lm_archive *archive, void (*bad)(void *ctx, const char *text),
                                  void *bad_ctx)
{
    if (archive->has_counts) return LM_OK;
    for (size_t i = 0; i < archive->meta.segment_count; i++) {
        lm_err err = count_segment(archive, i);
        if (err && err != LM_E_CORRUPT && err != LM_E_UNSUPPORTED) return err;
        if (err && bad) bad(bad_ctx, lm_err_text());
    }
    archive->has_counts = true;
    return LM_OK;
}

#include "codec/codec_priv.h"

lm_err codec_groups_make(lm_mem *mem, const lm_column *columns, size_t count, codec_groups *out)
{
    size_t numbers = 4 * count + 64;
    uint32_t *last =
        lm_mem_calloc(mem, numbers, sizeof *last); /* by group: its last column so far, + 1 */
    if (!last) return lm_mem_err();
    uint32_t *before = lm_mem_calloc(mem, count, sizeof *before);
    lm_err err = before ? LM_OK : lm_mem_err();
    for (size_t i = 0; i < count && !err; i++) {
        uint32_t group = columns[i].group;
        if (group == 0 || group >= numbers) continue;
        before[i] = last[group];
        last[group] = (uint32_t)i + 1;
    }
    lm_mem_release(mem, last, numbers * sizeof *last);
    if (!err) *out = (codec_groups){mem, before, count};
    return err;
}

void codec_groups_fini(codec_groups *groups)
{
    if (groups->mem)
        lm_mem_release(groups->mem, groups->before, groups->count * sizeof *groups->before);
    *groups = (codec_groups){0};
}

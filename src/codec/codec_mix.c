#include "codec/codec_mix_priv.h"

const int16_t mix_stretch_half[2048] = {
#include "codec/codec_stretch.def"
};

const uint16_t mix_squash_half[2048] = {
#include "codec/codec_squash.def"
};

lm_err mix_init(mix *m, lm_mem *mem, unsigned inputs, unsigned sets, unsigned slots_log)
{
    LM_ASSERT(inputs <= MIX_INPUTS_MAX && slots_log >= 8 && slots_log <= 24);
    *m = (mix){.mem = mem, .inputs = inputs, .sets = sets, .limit = 127};
    m->slot_count = (size_t)1 << slots_log;
    m->shift = 32 - slots_log;
    m->slots = lm_mem_alloc(mem, m->slot_count * sizeof *m->slots);
    if (!m->slots) return lm_mem_err();
    m->weights = lm_mem_alloc(mem, (size_t)inputs * sets * sizeof *m->weights);
    if (!m->weights) {
        lm_err err = lm_mem_err();
        mix_fini(m);
        return err;
    }
    for (size_t i = 0; i < m->slot_count; i++)
        m->slots[i] = (uint32_t)1 << 31;
    for (size_t i = 0; i < MIX_EXTRA; i++)
        m->extra[i] = (uint32_t)1 << 31;
    for (size_t i = 0; i < (size_t)inputs * sets; i++)
        m->weights[i] = (int32_t)(0x14000u / (inputs > 3 ? 4 : inputs));
    for (uint32_t n = 0; n <= MIX_SLOT_LIMIT; n++)
        m->rate_of[n] = (uint16_t)(131072 / (2 * n + 3));
    return LM_OK;
}

void mix_fini(mix *m)
{
    lm_mem_release(m->mem, m->weights, (size_t)m->inputs * m->sets * sizeof *m->weights);
    lm_mem_release(m->mem, m->slots, m->slot_count * sizeof *m->slots);
    m->weights = NULL;
    m->slots = NULL;
}

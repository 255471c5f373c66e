/** The list of named formats. */
#include "schema/schema_priv.h"

static const lm_named named[] = {
#define LM_NAMED(name, weight, pattern) {name, pattern, weight},
#include "schema/schema_named.def"
#undef LM_NAMED
};

size_t lm_named_count(void)
{
    return sizeof named / sizeof named[0];
}

const lm_named *lm_named_at(size_t index)
{
    LM_ASSERT(index < lm_named_count());
    return &named[index];
}

const lm_named *lm_named_find(lm_str name)
{
    for (size_t i = 0; i < lm_named_count(); i++) {
        if (lm_str_equal(name, lm_str_of(named[i].name))) return &named[i];
    }
    return NULL;
}

/** Caps, from limits.def: LM_<NAME> constants. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {

#define LM_LIMIT(name, value, unit, help) LM_##name = (value),
#include "base/limits.def"
#undef LM_LIMIT
};

#endif

/** Inside of timestamps, for tests: the plain twin of the fast reader. */
#ifndef SCHEMA_TIME_PRIV_H
#define SCHEMA_TIME_PRIV_H

#include "schema/schema_time.h"

/** lm_time_parse_as, byte by byte. */
bool lm_time_parse_plain(uint16_t layout, const uint8_t *text, size_t len, lm_time *out);

#endif

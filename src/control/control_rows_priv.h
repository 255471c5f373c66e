/** The rows of control_keys.def as a table, for reading and for printing. */
#ifndef CONTROL_ROWS_PRIV_H
#define CONTROL_ROWS_PRIV_H

#include <stddef.h>
#include <stdint.h>

typedef enum key_kind { KEY_TEXT, KEY_SIZE, KEY_DURATION, KEY_NUMBER, KEY_BOOL } key_kind;

typedef struct lm_key_row {
    const char *section, *name;
    key_kind kind;
    size_t offset;       /* in lm_config */
    const char *initial; /* as a user would write it */
    uint64_t max;        /* KEY_NUMBER */
} lm_key_row;

extern const lm_key_row lm_key_rows[];
extern const size_t lm_key_row_count;

#endif

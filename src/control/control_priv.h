/** What the files of this room share: the file as a tree with places. */
#ifndef CONTROL_PRIV_H
#define CONTROL_PRIV_H

#include "control/control.h"

typedef enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP } node_kind;

/** A value with its place. Lists: children by next; maps: keys with their values as child. */
typedef struct lm_node {
    node_kind kind;
    bool is_quoted;        /* scalar: was written in quotes, so it is text */
    uint32_t line, column; /* from 1 */
    const char *text;      /* scalar, or the key of an entry; NUL-terminated */
    struct lm_node *child; /* first item of a list, first entry of a map, value of an entry */
    struct lm_node *next;  /* item or entry behind this one */
    uint32_t count;        /* of items or entries */
} lm_node;

/** The file's name, for messages. */
typedef struct lm_file_place {
    const char *name;
    lm_arena *arena;
} lm_file_place;

/** Text to tree; NULL for an empty file. No anchors, aliases, tags, second documents, or keys
 * twice. */
LM_USE lm_err lm_tree_read(const lm_file_place *place, lm_str text, lm_node **out);
/** LM_E_USAGE with "NAME:LINE:COLUMN: " in front. */
lm_err lm_node_wrong(const lm_file_place *place, const lm_node *node, const char *fmt, ...)
    LM_PRINTF(3, 4);

#endif

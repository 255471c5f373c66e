/** template, inside: what the steps of settling share. */
#ifndef TEMPLATE_SETTLE_H
#define TEMPLATE_SETTLE_H

#include "template/template_priv.h"

typedef struct node {
    uint64_t hash;
    uint64_t marks;         /* words (by number) that become variables in this round */
    uint64_t alignment;     /* 0: agree is in key positions */
    const uint32_t *tokens; /* the key */
    const uint16_t *words;  /* positions of its words */
    const uint16_t *from;   /* shape position of each key position; NULL: agree is in key positions */
    uint32_t *agree;        /* the token all shapes have there, else the wild one */
    uint16_t count, word_count, agree_count;
    uint32_t parent;        /* the node it fell together with; itself: none */
    uint32_t template_id;
} node;

typedef struct settle {
    lm_miner *miner;
    lm_arena arena;
    node *nodes; /* one per group */
    size_t node_count;
} settle;

bool settle_is_wild(const settle *s, uint32_t token_id);
uint64_t settle_hash(const settle *s, const uint32_t *tokens, size_t count);
uint32_t settle_root(const settle *s, uint32_t index);
/** Give the node other tokens, of the same count; runs of variables collapse. */
LM_USE lm_err settle_replace(settle *s, node *n, const uint32_t *tokens);
/** Nodes with equal tokens become one. */
LM_USE lm_err settle_unite(settle *s);

/* ---- template_text.c ---- */
LM_USE lm_err template_text_write(const lm_miner *miner, const node *n, lm_buf *out);

#endif

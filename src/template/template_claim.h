/** template, inside: nodes that are put together under a number, to be judged together. */
#ifndef TEMPLATE_CLAIM_H
#define TEMPLATE_CLAIM_H

#include "template/template_settle.h"

/* A node under a number that it may share with others. */
typedef struct claim {
    uint64_t key;
    uint64_t text; /* of tails and parts: what stands there; of optional parts: which are there */
    uint32_t node;
    uint16_t split, end; /* the text's place: of tails split is the divider before it */
    bool is_value;       /* of tails: a variable, or known to stand elsewhere too */
    bool is_closed;      /* of tails: it ends at a bracket or a quote */
} claim;

typedef struct claims {
    claim *items;
    size_t count, cap;
} claims;

int template_claim_by_key(const void *x, const void *y);
int template_claim_by_text(const void *x, const void *y);
void template_claims_sort(claims *list, int (*order)(const void *, const void *));
LM_USE lm_err template_claim_add(settle *s, claims *list, claim c);
void template_claims_fini(settle *s, claims *list);
/** Is there a claim under this key? The list is sorted by key. */
bool template_claims_has(const claims *list, uint64_t key);
/** Of claims under one key, sorted: how many texts. */
size_t template_claims_texts(const claim *list, size_t count);
/** The hash a node with these positions would have; see settle_rekey. */
uint64_t template_hash_kept(const settle *s, const node *n, const uint16_t *keep, size_t count);

static inline uint64_t template_hash_at(const settle *s, uint32_t token_id, size_t position)
{
    return template_slot_hash(s->miner->hashes[token_id], position);
}

static inline bool template_is_word_at(const settle *s, const node *n, size_t i)
{
    return template_is_word(s->miner->kinds[n->tokens[i]].flags);
}

#endif

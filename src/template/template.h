/**
 * template — gives every message the template it was printed from, and keeps the templates.
 *
 * Purpose:  map message -> (template id, text with <*>), online, with one configuration for all
 * systems. Flow:     message --mask by type, tokenise--> shape key (exact table) --on a new shape
 * only: soft key, SimHash/LSH candidates, token-level verification, merging over the shape table-->
 * template; ids forward. Owns:     the miner owns all template text for its life. Threads:  one
 * miner belongs to one thread; several miners fed parts of a stream can be joined (lm_miner_join)
 *           and then hold the same groups as one miner fed everything.
 * Units:    similarity 0..1; distance is differing bits of a 64-bit SimHash.
 * Limits:   LINE_BYTES_MAX, TEMPLATE_COUNT_MAX (beyond: one catch-all template, text "<*>",
 * counted).
 *
 * Invariants
 *   (1) Groups are a function of the set of distinct messages' shapes: order, chunking and threads do not matter.
 *   (2) An id once given keeps its meaning; a merged id forwards to its successor.
 *   (3) Work beyond an exact look-up is done per new shape, never per line.
 */
#ifndef TEMPLATE_TEMPLATE_H
#define TEMPLATE_TEMPLATE_H

#include "base/base.h"

typedef struct lm_miner lm_miner;

typedef struct lm_miner_options {
    uint32_t shape_count_max;    /* 0: default; bounds memory */
    uint32_t template_count_max; /* 0: TEMPLATE_COUNT_MAX */
    size_t table_bytes_max;      /* 0: default; bytes in tokens, shapes and groups */
} lm_miner_options;

/** In a message: stands for text that is known to vary. No log has it. */
#define LM_MESSAGE_VARIABLE 0x04

enum {
    LM_MINER_SHAPE_COUNT_MAX = 1 << 17,
    LM_MINER_TABLE_BYTES_MAX = 48 << 20,
};

LM_USE lm_err lm_miner_new(lm_mem *mem, const lm_miner_options *options, lm_miner **out);
void lm_miner_free(lm_miner *miner);

/** Shape of one message (dense, by first appearance); it may hold LM_MESSAGE_VARIABLE. The hot
 * path. LM_E_NOMEM. */
LM_USE lm_err lm_miner_add(lm_miner *miner, lm_str message, uint32_t *out_shape);
/** Take over the shapes of another miner (same options): out_map[shape of from] = shape here. */
LM_USE lm_err lm_miner_join(lm_miner *miner, const lm_miner *from, uint32_t *out_map);
/** Form templates from the shapes seen so far. May be called again after more adds: ids already
 * given stay. */
LM_USE lm_err lm_miner_settle(lm_miner *miner);

size_t lm_miner_shape_count(const lm_miner *miner);
/** Messages that were given the catch-all because a bound was hit. */
uint64_t lm_miner_rest_count(const lm_miner *miner);
/** After settle. Template of a shape, forwards followed. */
uint32_t lm_miner_template_of(const lm_miner *miner, uint32_t shape);
size_t lm_miner_template_count(
    const lm_miner *miner); /* ids given so far, forwarded ones included */
/** The id that stands for id now (itself unless merged). */
uint32_t lm_miner_forward(const lm_miner *miner, uint32_t id);
/** Text with <*>; borrowed from the miner until the next settle. */
lm_str lm_miner_text(const lm_miner *miner, uint32_t id);

/** User's word on templates, from YAML (lm_miner_rules_load): pin, name, merge, split. Applied by
 * settle. */
typedef struct lm_miner_rule {
    enum { LM_RULE_PIN, LM_RULE_NAME, LM_RULE_MERGE, LM_RULE_SPLIT } kind;

    lm_str pattern; /* template text with <*> */
    lm_str value;   /* NAME: the name; MERGE: the text it becomes; SPLIT: the constant word to keep
                       apart */
} lm_miner_rule;

LM_USE lm_err lm_miner_rules_set(lm_miner *miner, const lm_miner_rule *rules, size_t count);
/** Parse YAML text (docs/templates.md shows it). Errors carry line and column. Strings live in
 * arena. */
LM_USE lm_err lm_miner_rules_parse(lm_mem *mem, lm_str yaml, lm_arena *arena, lm_miner_rule **out,
                                   size_t *out_count);
/** Name given to a template by a rule; empty if none. */
lm_str lm_miner_name(const lm_miner *miner, uint32_t id);

/** The table as bytes (docs/format/templates.md), to go on in a later run with the same ids. */
LM_USE lm_err lm_miner_save(const lm_miner *miner, lm_buf *out);
LM_USE lm_err lm_miner_load(lm_mem *mem, lm_str bytes, const lm_miner_options *options,
                            lm_miner **out);

#endif

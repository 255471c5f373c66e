/** template, inside: what the steps of settling share. */
#ifndef TEMPLATE_SETTLE_H
#define TEMPLATE_SETTLE_H

#include "template/template_priv.h"

/* Signs by which steps tell at once that a node is nothing to them. */
enum { SIGN_EQUALS = 1, SIGN_ROUND = 2, SIGN_SQUARE = 4, SIGN_CURLY = 8 };

typedef struct node {
    uint64_t hash;
    uint64_t marks;         /* words (by number) that become variables in this round */
    uint64_t alignment;     /* 0: agree is in key positions */
    const uint32_t *tokens; /* the key */
    const uint16_t *words;  /* positions of its words; see settle_need_words */
    const uint16_t *from;   /* shape position of each key position; with an alignment see
                               settle_need_from, without one agree is in key positions */
    uint32_t
        *agree; /* the token all shapes have there, else the wild one; the group's until is_own */
    uint16_t count, word_count, agree_count;
    uint32_t parts[HASH_PARTS]; /* what each part of the tokens adds to the hash */
    uint32_t parent;            /* the node it fell together with; itself: none */
    uint32_t template_id;
    uint16_t any;      /* flags of the tokens together, and of some that are gone */
    uint8_t signs;     /* SIGN_ of its tokens, and of some that are gone */
    bool is_own;       /* agree may be written */
    bool is_plain;     /* still one shape of plain words: the tokens are the text */
    bool is_text_kept; /* text is in the miner's arena, else in that of settling */
    lm_str text;
    uint64_t text_hash;
} node;

/* What was seen in a role: behind a key and its '='. Filled from all nodes, in any order with the
 * same outcome. */
typedef struct role {
    uint64_t key;   /* 0: free */
    uint64_t value; /* hash of the only value, or ROLE_MANY */
} role;

#define ROLE_MANY UINT64_MAX

typedef struct role_table {
    role *slots;
    size_t slot_count, used;
} role_table;

/* Words that stood where a variable is now, by the hash of their bytes. */
typedef struct known_words {
    uint64_t *hashes; /* open addressing; 0: free */
    size_t slot_count, used;
} known_words;

typedef struct settle {
    lm_miner *miner;
    lm_arena arena;
    node *nodes; /* one per group */
    size_t node_count;
    const uint16_t *unmoved; /* from of keys that are their shape's tokens */
    role_table roles;
    known_words known;
} settle;

static inline bool settle_is_wild(const settle *s, uint32_t token_id)
{
    return (s->miner->kinds[token_id].flags & (TOKEN_WILD | TOKEN_PART)) != 0;
}

/* The byte of a token of one byte, else 0. */
static inline uint8_t settle_byte(const settle *s, uint32_t token_id)
{
    return s->miner->kinds[token_id].byte;
}

/** The position of the first token of this one byte from `from` on; n->count: none. */
static inline size_t settle_find(const settle *s, const node *n, size_t from, uint8_t byte)
{
    while (from < n->count && settle_byte(s, n->tokens[from]) != byte)
        from++;
    return from;
}

LM_USE lm_err settle_own_agree(settle *s, node *n);
/** Fill in n->from where agree is in shape positions: few nodes need it. */
LM_USE lm_err settle_need_from(settle *s, node *n);
uint32_t settle_root(const settle *s, uint32_t index);
/** Give the node other tokens, of the same count; runs of variables collapse. */
LM_USE lm_err settle_replace(settle *s, node *n, const uint32_t *tokens);
/** Give the node those of its tokens that stand at these positions, and a variable for each
 * SETTLE_VALUE; runs of variables collapse. */
#define SETTLE_VALUE UINT16_MAX
LM_USE lm_err settle_rekey(settle *s, node *n, const uint16_t *keep, size_t count);
/** Nodes with equal tokens become one. */
LM_USE lm_err settle_unite(settle *s);

/** Fill in the node's words: where nothing else can be equal in part, nobody asks for them. */
LM_USE lm_err settle_need_words(settle *s, node *n);

/* ---- template_slot.c ---- */
enum { SLOT_WORDS_MAX = 64 }; /* words of a line whose slots are looked at: one bit of marks each */

/** Nodes that are equal but for one word, where that word is a value, become one; until nothing
 * changes. */
LM_USE lm_err settle_slots(settle *s, bool *out_changed);

/* ---- template_span.c ---- */
/** Several words that are one value become one variable. */
LM_USE lm_err settle_spans(settle *s, bool *out_changed);

/* ---- template_part.c ---- */
/** Values of several words behind '=', and between curly brackets, become one variable. */
LM_USE lm_err settle_parts(settle *s, bool *out_changed);

/* ---- template_known.c ---- */
/** Room for so many more words. */
LM_USE lm_err settle_known_reserve(settle *s, size_t more);
/** The word is a value in some message. Room was reserved. */
void settle_known_add(settle *s, uint32_t token_id);
bool settle_is_known(const settle *s, uint32_t token_id);
/** Nodes that differ in known words alone become one. */
LM_USE lm_err settle_known_words(settle *s);

/* ---- template_simhash.c ---- */
/** Nodes that differ in several words at once, each of them a value, become one. */
LM_USE lm_err settle_similar(settle *s);
bool settle_is_key_name(const settle *s, const node *n, size_t p);
size_t settle_words_needed(size_t constants);

/* ---- template_absorb.c ---- */
/** Nodes that are another node with values in its variables join it. */
LM_USE lm_err settle_absorb(settle *s);
LM_USE lm_err settle_join(settle *s, node *into, node *other);

/* ---- template_role.c ---- */
LM_USE lm_err settle_roles(settle *s);
/** Is the word at position i of what the node's lines agree on a value, though only one was seen
 * here? */
bool settle_is_variable(const settle *s, const node *n, size_t i);

/* ---- template_full.c ---- */
/** Remember what merged nodes look like, for lines that come when no table grows any more. */
LM_USE lm_err settle_remember_wide(settle *s);

/* ---- template_text.c ---- */
/** The node's text into out; both buffers are emptied first. */
LM_USE lm_err template_text_write(const settle *s, const node *n, lm_buf *scratch, lm_buf *out);

#endif

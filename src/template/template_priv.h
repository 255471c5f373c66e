/**
 * template, inside: the tables of the miner. See template.h for the contract and docs/templates.md
 * for the way.
 *
 *   line --template_skeleton--> skeleton --cache--> shape           (hot: known lines end here)
 *                                  |  miss
 *                                  v
 *                 template_mask: tokens --template_table--> shape --> group (shapes with one soft
 * key) |  lm_miner_settle
 *                                                                        v
 *                          template_settle: nodes, merged --> template id, text (template_text)
 */
#ifndef TEMPLATE_PRIV_H
#define TEMPLATE_PRIV_H

#include "template/template.h"

/* Bytes below 0x08 never come from text that matters; skeletons and tokens use them as marks. */
enum {
    MARK_NUMBER = 0x01,              /* a run of digits; behind letters: of three digits or more */
    MARK_PAIR = 0x02,                /* behind letters: exactly two digits */
    MARK_MIXED = 0x03,               /* letters and digits mixed: hex, ids */
    MARK_WILD = LM_MESSAGE_VARIABLE, /* in tokens: a variable */
    MARK_UNIT = 0x05,                /* in what shapes agree on: a unit that varies */
};

enum {
    MESSAGE_BYTES_MAX = 4096, /* what is read of a longer message; the rest is one variable */
    MESSAGE_TOKENS_MAX = 512, /* tokens kept of one message; the rest is one variable */
    SKELETON_BYTES_MAX = MESSAGE_BYTES_MAX + 64, /* copies may overshoot by a vector */
    TOKEN_BYTES_MAX = 1024,
    TOKEN_STEP = 16, /* that many bytes may be read from any token's first on */
    MINER_MAGIC = 0x6c6d6d31,
};

#define NO_INDEX UINT32_MAX

/* What a token is, told by its bytes alone. */
enum {
    TOKEN_BLANK = 1u << 0,  /* white space, kept as one blank */
    TOKEN_PUNCT = 1u << 1,  /* one separator, or a run of dots */
    TOKEN_WILD = 1u << 2,   /* the whole token is a variable */
    TOKEN_PART = 1u << 3,   /* a variable glued to text */
    TOKEN_DIGIT = 1u << 4,  /* has a digit that was kept */
    TOKEN_ENUM = 1u << 5,   /* letters, then one digit: eth0 */
    TOKEN_UPPER = 1u << 6,  /* capitals and underscores only */
    TOKEN_BOOL = 1u << 7,   /* a value wherever it stands: true, false, null, root */
    TOKEN_SIGN = 1u << 8,   /* has one of / \ @ $ ~ inside */
    TOKEN_DOT = 1u << 9,    /* has a dot inside */
    TOKEN_SLASH = 1u << 10, /* has a slash */
    TOKEN_UNIT = 1u << 11,  /* a unit of size or time */
    TOKEN_ALPHA = 1u << 12, /* letters only */
    TOKEN_TELLS = 1u << 14, /* one of = [ ] ) <, by which values are told */
    TOKEN_SPAN = 1u << 15,  /* one of " ' : ( {, behind which several words may be one value */
    TOKEN_CODE = 1u << 13,  /* the name of a place in a program, and the '+' before its offset */
};

/* Tokens are told apart by the 64 bits of their hash: two texts with one hash would share a token,
 * which could at worst put two shapes into one template. */
typedef struct token {
    uint32_t offset; /* into token_bytes */
    uint32_t len;
} token;

/* What settling asks of a token all the time, apart so that it stays in the cache. */
typedef struct token_kind {
    uint16_t flags;
    uint8_t byte; /* of a token of one byte, else 0 */
} token_kind;

typedef struct shape_row {
    uint64_t hash;  /* of the token sequence */
    uint32_t first; /* into shape_tokens */
    uint16_t count;
    uint16_t is_rest; /* 1: the catch-all shape */
    uint32_t group;
    uint32_t decreed; /* template given by a rule; NO_INDEX: the group's */
} shape_row;

/* Keys are first compared part by part: those that differ in few words are equal in most parts. */
enum { HASH_PARTS = 5 };

/* Shapes that share a soft key. `agree` holds, slot by slot, the token all its shapes have, else
 * the wild one. */
typedef struct group_row {
    uint64_t hash;      /* of the key */
    uint64_t alignment; /* of its shapes: which positions the key kept; 0: they differ, agree is in
                           key positions */
    uint32_t key_first; /* into group_tokens; NO_INDEX: the key is the tokens of `shape` */
    uint32_t agree_first; /* into group_tokens; NO_INDEX: agree is the tokens of `shape` */
    uint16_t key_count;
    uint16_t agree_count;
    uint32_t parts[HASH_PARTS]; /* what each part of the key adds to its hash */
    uint32_t shape;             /* the first of its shapes */
    uint32_t template_id;       /* NO_INDEX before settle */
    uint16_t any;               /* what the flags of its first shape have together */
    bool is_plain; /* one shape of plain words, which is key and text; not in the index of keys */
} group_row;

typedef struct template_row {
    lm_str text;      /* in text_arena */
    lm_str name;      /* in text_arena; empty: none */
    uint32_t forward; /* itself, or the id it fell together with */
    uint32_t
        successor;   /* given by a rule: the decreed template that stands for it; NO_INDEX: none */
    bool is_decreed; /* by a rule: the text stays, no node owns it */
} template_row;

/* Open addressing, powers of two. The tag, the low half of the hash, is what keeps a look from
 * rows that are meant by no one. */
typedef struct index_slot {
    uint32_t tag;
    uint32_t value; /* index + 1; 0: free */
} index_slot;

typedef struct index_table {
    index_slot *slots;
    size_t slot_count;
    size_t used;
} index_table;

/* See template_full.c. */
typedef struct wide_form {
    uint64_t hash;
    uint32_t group; /* + 1; 0: free */
} wide_form;

typedef struct wide_mask {
    uint64_t words; /* by number: which words of the key are variables */
    uint16_t count; /* of the key's tokens */
} wide_mask;

typedef struct token_slot {
    uint64_t hash;
    uint32_t value; /* index + 1; 0: free */
} token_slot;

typedef struct cache_slot {
    uint64_t hash;
    uint32_t offset; /* into cache_bytes */
    uint32_t len;    /* 0: empty; the empty skeleton is never cached */
    uint32_t shape;
} cache_slot;

struct lm_miner {
    uint32_t magic;
    lm_mem *mem;
    uint32_t shape_count_max;
    uint32_t template_count_max;
    size_t table_bytes_max;
    bool is_full;        /* a bound was hit: no new shapes */
    uint64_t rest_count; /* lines given the catch-all */

    cache_slot *cache;
    size_t cache_slot_count, cache_used;
    lm_buf cache_bytes;

    token *tokens;
    token_kind *kinds; /* by token */
    uint64_t
        *hashes; /* by token; of the bytes: the same in every miner, so they may order things */
    size_t token_count, token_cap, kind_cap, hash_cap;
    lm_buf token_bytes;
    token_slot *token_slots; /* open addressing, a power of two of them */
    size_t token_slot_count;

    shape_row *shapes;
    size_t shape_count, shape_cap;
    uint32_t *shape_tokens;
    size_t shape_token_count, shape_token_cap;
    index_table shape_index;
    uint32_t rest_shape; /* NO_INDEX until needed */

    group_row *groups;
    size_t group_count, group_cap;
    uint32_t *group_tokens;
    size_t group_token_count, group_token_cap;
    index_table group_index;

    wide_form *wide; /* what merged groups look like; only when the tables are full */
    size_t wide_slots;
    wide_mask *masks;
    size_t mask_count;

    template_row *templates;
    size_t template_count, template_cap;
    uint32_t rest_template;
    lm_arena text_arena;        /* templates' text and names */
    size_t settled_shape_count; /* shapes at the last settle */
    bool is_settled;

    lm_miner_rule *rules;
    size_t rule_count;
    lm_arena rule_arena;
};

/* ---- template_skeleton.c: bytes to bytes ---- */
/** dst holds SKELETON_BYTES_MAX; returns the length. src.len <= MESSAGE_BYTES_MAX. */
size_t template_skeleton(lm_str src, uint8_t *dst);
/** The same without bitmaps; tests compare. */
size_t template_skeleton_plain(lm_str src, uint8_t *dst);

/* ---- template_mask.c: skeleton to tokens ---- */
typedef struct raw_token {
    const uint8_t *ptr;
    uint16_t len;
    uint16_t flags;
} raw_token;

typedef struct raw_line {
    raw_token tokens[MESSAGE_TOKENS_MAX];
    size_t count;
    uint8_t bytes[SKELETON_BYTES_MAX * 2]; /* token bytes */
    size_t used;
} raw_line;

void template_mask(const uint8_t *skeleton, size_t len, bool is_cut, raw_line *out);
uint32_t template_token_flags(const uint8_t *bytes, size_t len);

/* ---- template_softkey.c: what of a shape is its own, what is a value ---- */
typedef struct item {
    uint64_t hash;
    uint32_t id; /* NO_INDEX: a token that is not in the table */
    uint16_t flags;
    uint8_t byte; /* of a token of one byte, else 0 */
} item;

typedef struct soft_key {
    item items[MESSAGE_TOKENS_MAX * 2];
    uint16_t from[MESSAGE_TOKENS_MAX * 2]; /* shape position of each item; UINT16_MAX: put in */
    size_t count;
    uint64_t hash;
    uint32_t parts[HASH_PARTS];
    uint64_t alignment; /* never 0 */
} soft_key;

/** What its tokens' flags have together. */
uint16_t template_any_flags(const item *line, size_t count);
/** By them: nothing in it that a value could be told by, so that the line is its own key and text.
 */
bool template_is_plain(uint16_t any);

/** Its variables were all told by their form: the line is its own key, but perhaps not its text.
 * May be false where a closer look finds the same. */
bool template_is_own_key(const item *line, size_t count);

void template_soft_key(const item *line, size_t count, soft_key *out);
/** Tells apart the ways in which keys are made from shapes; never 0. from: shape position of each
 * key position. */
uint64_t template_alignment(const uint16_t *from, size_t count, size_t shape_count);

/** That of a key whose tokens all stand where they stand in the shape: most keys. */
static inline uint64_t template_alignment_unmoved(size_t shape_count)
{
    return lm_hash_u64(shape_count + 1) | 1;
}

/** In place: a run of variables with only blanks, commas and colons between becomes one. from may
 * be NULL. */
size_t template_collapse(item *items, uint16_t *from, size_t count);
/** The hash of a sequence, and what each of its parts adds (its low half). */
uint64_t template_items_hash(const item *items, size_t count, uint32_t parts[HASH_PARTS]);

/* ---- template_table.c: tokens, shapes, groups ---- */
LM_USE lm_err template_table_init(lm_miner *miner);
void template_table_fini(lm_miner *miner);
LM_USE lm_err template_shape_of(lm_miner *miner, const raw_line *line, uint32_t *out_shape);
LM_USE lm_err template_token_intern(lm_miner *miner, const uint8_t *ptr, size_t len, uint32_t flags,
                                    uint32_t *out);
LM_USE lm_err template_shape_insert(lm_miner *miner, const item *items, size_t count, uint16_t any,
                                    uint32_t *out_shape);
LM_USE lm_err template_rest_shape(lm_miner *miner, uint32_t *out_shape);
/** Any shape for a line when the tables are full: that of its soft key, of a template it fits, or
 * the catch-all. */
LM_USE lm_err template_shape_of_full(lm_miner *miner, const raw_line *line, item *items,
                                     uint32_t *out_shape);
uint32_t template_token_find(const lm_miner *miner, const item *it);
uint32_t template_shape_find(const lm_miner *miner, const item *items, size_t count, uint64_t hash);
void template_full_fini(lm_miner *miner);
size_t template_table_bytes(const lm_miner *miner);
const uint32_t *template_group_key(const lm_miner *miner, const group_row *g);
const uint32_t *template_group_agree(const lm_miner *miner, const group_row *g);
item template_item_of(const lm_miner *miner, uint32_t token_id);
/** Agreement in shape positions (count of them: agree_count) to key positions (from, count). A run
 * that the key has as one variable becomes one token that tells its form. */
LM_USE lm_err template_project(lm_miner *miner, const uint32_t *agree, size_t agree_count,
                               const uint16_t *from, size_t count, uint32_t *out);

/* ---- template_rules.c ---- */
/** Apply the miner's rules to what settle found. */
LM_USE lm_err template_rules_apply(lm_miner *miner);
/** A new row. LM_E_LIMIT when template_count_max rows exist. */
LM_USE lm_err template_row_new(lm_miner *miner, lm_str text, bool is_decreed, uint32_t *out);

/** Room for so many more. */
LM_USE lm_err template_index_reserve(lm_mem *mem, index_table *table, size_t more);
/** Room was reserved. */
void template_index_put(index_table *table, uint64_t hash, uint32_t index);
void template_index_fini(lm_mem *mem, index_table *table);

/** Order-free hash of a token at a position; a sequence's hash is the sum over its positions. */
static inline uint64_t template_slot_hash(uint64_t token_hash, size_t position)
{
    return lm_hash_u64(token_hash + 0x9e3779b97f4a7c15u * (position + 1));
}

/* Most tokens are short: two numbers that hold all their bytes, mixed one into the other. */
static inline uint64_t template_token_hash(const uint8_t *ptr, size_t len)
{
    uint64_t a = 0, b = 0;
    if (len > 16) return lm_hash64(ptr, len);
    if (len == 1) return lm_hash_u64(0x100u + ptr[0]);
    if (len >= 8) {
        a = lm_le64(ptr);
        b = lm_le64(ptr + len - 8);
    } else if (len >= 4) {
        a = lm_le32(ptr);
        b = lm_le32(ptr + len - 4);
    } else if (len) {
        a = (uint64_t)lm_le16(ptr) << 8 | ptr[len - 1];
    }
    return lm_hash_u64(lm_hash_u64(a + 0x9e3779b97f4a7c15u * len) ^ b);
}

/* The wild token, the blank and the varying unit are always tokens 0, 1 and 2. */
enum { TOKEN_ID_WILD = 0, TOKEN_ID_BLANK = 1, TOKEN_ID_UNIT = 2 };

/* What two tokens in one place agree on: themselves, that it is a unit, or nothing. */
static inline uint32_t template_agree(const lm_miner *m, uint32_t a, uint32_t b)
{
    if (a == b) return a;
    return (m->kinds[a].flags & m->kinds[b].flags & TOKEN_UNIT) ? TOKEN_ID_UNIT : TOKEN_ID_WILD;
}

static inline bool template_is_word(uint32_t flags)
{
    return (flags & (TOKEN_BLANK | TOKEN_PUNCT)) == 0;
}

#endif

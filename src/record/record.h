/**
 * record — what travels through the daemon: records of streams, in batches.
 *
 * Purpose:  one shape for whatever a client sends, so that no room behind the front door knows
 * protocols. Flow:     bytes of a client --wire--> batch --store--> disk;   disk --store--> record
 * --logql--> answer. Owns:     a batch owns an arena; every text in it is a slice of that arena or
 * of the bytes it was read from, which must outlive it. Threads:  a batch belongs to one thread at
 * a time. Units:    times are ns since 1970 UTC. Limits:   LABEL_COUNT_MAX, LABEL_NAME_BYTES_MAX,
 * LABEL_VALUE_BYTES_MAX, LINE_BYTES_MAX.
 *
 * Invariants
 *   (1) Labels of a stream are sorted by name (bytewise), each name once, no value empty.
 *   (2) Two streams are one if their labels are; the key is their canonical text and tells it.
 *   (3) A line may hold any bytes, '\n' and NUL too.
 */
#ifndef RECORD_RECORD_H
#define RECORD_RECORD_H

#include "base/base.h"

typedef struct lm_label {
    lm_str name, value;
} lm_label;

typedef struct lm_labels {
    const lm_label *items;
    uint32_t count;
} lm_labels;

bool lm_labels_has(lm_labels labels, lm_str name);
/** Value of a label; empty text if there is none. */
lm_str lm_labels_get(lm_labels labels, lm_str name);
/** `{app="x", level="info"}`, values quoted as Go does; appended to out. {} if there are none. */
LM_USE lm_err lm_labels_print(lm_labels labels, lm_buf *out);
/** The text of a stream as clients write it, back to sorted labels in arena. LM_E_USAGE with the
 * byte position; LM_E_LIMIT. */
LM_USE lm_err lm_labels_parse(lm_str text, lm_arena *arena, lm_labels *out);
/** Sorts, drops empty values, keeps the last of a name; texts are borrowed. LM_E_USAGE: a name that
 * is not [a-zA-Z_][a-zA-Z0-9_]*; LM_E_LIMIT. */
LM_USE lm_err lm_labels_make(const lm_label *items, size_t count, lm_arena *arena, lm_labels *out);
/** A name as Loki takes it: signs that it may not have become '_'. Returned text is name itself or
 * lives in arena; ptr NULL when out of memory. */
lm_str lm_label_name_clean(lm_str name, lm_arena *arena);

typedef struct lm_stream {
    lm_labels labels;
    lm_str key;    /* lm_labels_print of them */
    uint64_t hash; /* lm_hash64 of key */
} lm_stream;

typedef struct lm_record {
    int64_t time_ns;
    lm_str line;
    lm_labels metadata; /* structured metadata, sorted like labels; mostly none */
    uint32_t stream;    /* index in the batch's streams */
} lm_record;

typedef struct lm_record_batch {
    lm_arena arena;
    lm_stream *streams;
    lm_record *records;
    size_t stream_count, stream_cap;
    size_t record_count, record_cap;
    uint64_t bytes;  /* of lines and metadata */
    uint32_t *table; /* of streams by hash */
    size_t table_len;
    lm_buf key; /* of the stream being looked for */
} lm_record_batch;

void lm_record_batch_init(lm_record_batch *batch, lm_mem *mem);
void lm_record_batch_fini(lm_record_batch *batch);
/** Empty it, keep the memory. */
void lm_record_batch_reset(lm_record_batch *batch);
/** The stream of these labels, added if new. labels as lm_labels_make gives them; their texts are
 * borrowed. LM_E_NOMEM. */
LM_USE lm_err lm_record_batch_stream(lm_record_batch *batch, lm_labels labels, uint32_t *out);
/** Add a record; texts are borrowed. LM_E_LIMIT: the line is too long. */
LM_USE lm_err lm_record_batch_add(lm_record_batch *batch, uint32_t stream, int64_t time_ns,
                                  lm_str line, lm_labels metadata);

/** Forget the records and streams that came after the batch had so many; their texts stay until
 * reset. For readers that find late that a request is wrong. */
void lm_record_batch_cut(lm_record_batch *batch, size_t stream_count, size_t record_count);

/** Where a source stands, kept with the records it stands behind: both are durable or neither. */
typedef struct lm_checkpoint {
    lm_str key;   /* names the source: "file/<device>:<inode>", "journal"; empty: none */
    lm_str value; /* its position, in words of its own; empty: forget the key */
} lm_checkpoint;

/**
 * Where batches go; the store is one. put copies what it needs before it returns, so batch and
 * texts are free again. When put gives LM_OK, done(ctx, err) is called exactly once, from any
 * thread, when the records are durable (LM_OK) or cannot be made so. When put fails, done is not
 * called. put never waits long: LM_E_LIMIT means "too much at once, come again" (429, or stop
 * reading), other errors are the batch's own fault or the disk's.
 */
typedef void (*lm_put_done)(void *ctx, lm_err err);

typedef struct lm_sink {
    void *self;
    lm_err (*put)(void *self, lm_str tenant, const lm_record_batch *batch,
                  const lm_checkpoint *checkpoints, size_t checkpoint_count, lm_put_done done,
                  void *done_ctx);
    /** The last durable value of a checkpoint key, into out; LM_E_NOTFOUND. */
    lm_err (*checkpoint)(void *self, lm_str key, lm_buf *out);
} lm_sink;

/* ---- what a question selects ---- */

typedef enum lm_match_op { LM_IS, LM_IS_NOT, LM_LIKE, LM_UNLIKE } lm_match_op; /* = != =~ !~ */

typedef struct lm_matcher {
    lm_str name;
    lm_match_op op;
    lm_str value; /* LM_LIKE, LM_UNLIKE: a regular expression, anchored at both ends */
} lm_matcher;

typedef enum lm_filter_op {
    LM_HAS,        /* |=  */
    LM_HAS_NOT,    /* !=  */
    LM_FITS,       /* |~  */
    LM_FITS_NOT,   /* !~  */
    LM_PATTERN,    /* |>  */
    LM_PATTERN_NOT /* !>  */
} lm_filter_op;

/** A line filter: texts are alternatives (`|= "a" or "b"`); LM_HAS_NOT: none of them. */
typedef struct lm_line_filter {
    lm_filter_op op;
    const lm_str *texts;
    uint32_t text_count;
} lm_line_filter;

/** All must hold. Matchers look at the stream's labels, filters at the stored line. */
typedef struct lm_select {
    lm_str tenant;
    const lm_matcher *matchers;
    uint32_t matcher_count;
    const lm_line_filter *filters;
    uint32_t filter_count;
    int64_t time_min, time_max; /* ns, inclusive, exclusive */
    bool backwards;             /* newest parts of the store first; order within is not promised */
    bool skip_line;     /* the line's text is not wanted, nor its length: only metadata and time */
    bool only_size;     /* of the line at most its length is wanted, not its text */
    bool skip_metadata; /* nor metadata */
    /** May be NULL: records are told one by one. Else the store may tell many records of a stream
     * at once where only_size is said: count of them, of bytes in all (skip_line: any number), the
     * first at first_ns or later, and all at times that is_one calls alike. Both get told's
     * context; lump gives false to stop. Records with metadata are told one by one, unless
     * skip_metadata. */
    bool (*is_one)(void *ctx, int64_t first_ns, int64_t last_ns);
    bool (*lump)(void *ctx, const lm_stream *stream, int64_t first_ns, uint64_t count,
                 uint64_t bytes);
    /** The one who asks may move these closer while told is running: what lies outside will not be
     * wanted any more (it has its newest hundred already). May be told all the same. */
    _Atomic int64_t *wanted_min, *wanted_max; /* NULL: as time_min, time_max */
    volatile const int *cancel;               /* may be NULL */
} lm_select;

/**
 * A store as those who ask see it. select tells each record that matches, exactly those, in any
 * order, on the calling thread; stream and record are borrowed for the call; false stops it.
 */
typedef struct lm_store_face {
    void *self;
    lm_err (*select)(void *self, const lm_select *what,
                     bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                     void *told_ctx);
    /** Each stream with a record in the time range (about: by parts of the store), once. */
    lm_err (*streams)(void *self, const lm_select *what,
                      bool (*told)(void *ctx, const lm_stream *stream, uint64_t records,
                                   uint64_t bytes),
                      void *told_ctx);
} lm_store_face;

#endif

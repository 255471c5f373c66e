/** What the files of this room share.
 *
 *   put ──► frame (bytes) ──► queue ──► commit thread: write, fdatasync ──► done, head, watchers
 *                                                                  │
 *   generation: one log file and the frames in it; when full the next one is begun
 *                                                                  │
 *   keeper thread: generation ──► segments ──► catalog ──► log file removed;  merging, retention
 *
 * Locks, in the order in which they may be taken: catalog's, store's, a cache's. Files are written
 * without any of them.
 */
#ifndef STORE_PRIV_H
#define STORE_PRIV_H

#include "archive/archive.h"
#include "search/search.h"
#include "store/store.h"
#include <pthread.h>
#include <stdio.h>

/** A failure is told for so long, or until a batch is written. */
#define STORE_FAILING_NS 60000000000ull

enum {
    STORE_HEAD_BYTES = 8 << 20,
    STORE_WAITING_MAX = 16 << 20, /* bytes of frames that are not yet on disk */
    STORE_GENERATIONS_MAX = 3,    /* unsealed ones, the active one among them */
    STORE_GENERATION_STREAMS_MAX = 1 << 17,
    STORE_CHECKPOINT_BUCKETS = 4096,   /* ten thousand files are followed at once */
    STORE_FRAME_BYTES_MAX = 256 << 20, /* a frame larger than this is not one */
    STORE_TENANT_BYTES_MAX = 150,
    STORE_PATH_MAX = 4096,
    STORE_MERGE_BYTES = 16 << 20,   /* raw text of a merged segment, at most */
    STORE_OWN_FILE_BYTES = 1 << 20, /* text of a stream that is worth a schema of its own */
    STORE_MINUTE_RECORDS =
        8,               /* records of a minute from which on its counts are kept, on average */
    STORE_GRAM_BITS = 4, /* for each group of characters that a segment's lines have */
    STORE_CACHE_SLOTS = 1024,
    STORE_LINES_MAX = 16,         /* records of a segment whose lines are kept with an answer */
    STORE_LINES_BYTES = 16 << 10, /* of their text */
    /* Shares of the memory (1 / n) that may be kept for questions: the opened rest of segments, and
     * half as much for answers; heads of segments. */
    STORE_CACHE_SHARE = 8,
    STORE_HEADS_SHARE = 5,
    STORE_SCARCE_SHARE = 4,        /* less than this share of the memory is free: nothing is kept */
    STORE_CACHE_BYTES = 128 << 20, /* where memory has no bound */
};

#define STORE_MINUTE_NS     INT64_C(60000000000)
#define STORE_HOUR_NS       UINT64_C(3600000000000)
#define STORE_DISK_FREE_MIN (UINT64_C(64) << 20)

/* ---- frames: a batch as bytes, in the log and in memory (docs/format/store.md) ---- */

#define STORE_LOG_MAGIC   "lmlog001"
#define STORE_FRAME_MAGIC 0x314d4657u /* "WFM1" */

enum { STORE_LOG_COPY = 32, STORE_LOG_HEAD = 2 * STORE_LOG_COPY, STORE_FRAME_HEAD = 16 };

typedef struct store_stream store_stream;
typedef struct store_generation store_generation;

typedef struct store_frame {
    struct store_frame *next;
    store_generation *generation;
    lm_put_done done;
    void *done_ctx;
    uint8_t *bytes;    /* head and payload as in the log */
    size_t len, cap;   /* of bytes; allocated */
    lm_str tenant;     /* in bytes */
    size_t records_at; /* in bytes: the first record */
    uint32_t stream_count, record_count, checkpoint_count;
    size_t checkpoints_at; /* in bytes */
    int64_t time_min, time_max;
    uint64_t raw_bytes;
    store_stream **streams; /* of the generation, by the frame's numbers */
} store_frame;

/** Bytes of a frame for a batch; next, generation and streams are left empty. LM_E_NOMEM. */
LM_USE lm_err store_frame_make(lm_mem *mem, lm_str tenant, const lm_record_batch *batch,
                               const lm_checkpoint *checkpoints, size_t checkpoint_count,
                               store_frame **out);
void store_frame_free(lm_mem *mem, store_frame *frame);
/** A frame from the log: bytes begin at its head; checks everything. LM_E_CORRUPT; *out_len: bytes
 * it takes. */
LM_USE lm_err store_frame_parse(lm_mem *mem, lm_str bytes, uint64_t secret, store_frame **out,
                                size_t *out_len);
/** Makes the frame one of the log with this secret. Once, before it is written. */
void store_frame_sign(store_frame *frame, uint64_t secret);

/** Walks a frame's streams, checkpoints and records; they were checked when it was made. */
typedef struct store_walk {
    lm_reader reader;
    int64_t time_ns;
    uint32_t left;
} store_walk;

/** The label text of stream i of a frame, i ascending from 0; call stream_count times. */
void store_frame_streams(const store_frame *frame, store_walk *walk);
lm_str store_frame_next_stream(store_walk *walk);
void store_frame_checkpoints(const store_frame *frame, store_walk *walk);
bool store_frame_next_checkpoint(store_walk *walk, lm_checkpoint *out);

typedef struct store_raw_record {
    int64_t time_ns;
    lm_str line, metadata; /* metadata: as stored (pairs), empty if none */
    uint32_t stream;
} store_raw_record;

void store_frame_records(const store_frame *frame, store_walk *walk);
bool store_frame_next_record(store_walk *walk, store_raw_record *out);
/** Pairs of name and value, as frames hold metadata, back to labels in arena. LM_E_NOMEM,
 * LM_E_CORRUPT. */
LM_USE lm_err store_metadata_read(lm_str bytes, lm_arena *arena, lm_labels *out);

/* ---- generations ---- */

struct store_stream {
    lm_stream stream;            /* texts belong to the generation's arena */
    lm_str tenant;               /* the same */
    uint64_t hash;               /* of tenant and key */
    uint32_t number;             /* in its generation */
    uint64_t raw_bytes, records; /* while sealing */
};

struct store_generation {
    uint64_t id;
    lm_arena arena;         /* streams, tenants */
    store_stream **streams; /* by number */
    size_t stream_count, stream_cap;
    uint32_t *table; /* number + 1 by hash */
    size_t table_len;
    store_frame *first, *last; /* durable ones, in the order of the log */
    size_t frame_count;
    uint64_t raw_bytes, records, log_bytes; /* of durable frames; log_bytes: the file's */
    uint64_t queued_bytes;                  /* of frames given to it, durable or not */
    uint32_t pending;                       /* frames in the queue */
    uint32_t users;    /* selects that read it; freed when sealed and none is left */
    uint64_t begun_ns; /* monotonic, when its first frame came */
    bool is_full, is_sealed;
    store_generation *next;
};

LM_USE lm_err store_generation_new(lm_mem *mem, uint64_t id, store_generation **out);
void store_generation_free(lm_mem *mem, store_generation *generation);
/** Gives the frame the generation's streams. LM_E_LIMIT: too many of them; LM_E_USAGE: a label text
 * that does not parse (foreign log). */
LM_USE lm_err store_generation_admit(lm_mem *mem, store_generation *generation, store_frame *frame);
/** Appends a durable frame. */
void store_generation_add(store_generation *generation, store_frame *frame);

/* ---- the log file ---- */

typedef struct store_log {
    int fd; /* -1: none */
    uint64_t generation, offset;
    uint64_t secret; /* in the checksums of its frames: what a client sends cannot pass for one */
    char path[STORE_PATH_MAX];
} store_log;

void store_log_path(const char *folder, uint64_t generation, char *dst);
LM_USE lm_err store_log_begin(const char *folder, uint64_t generation, store_log *out);
/** Writes frames (linked by next, count of them) and syncs. On failure the file is as before. */
LM_USE lm_err store_log_write(store_log *log, const store_frame *first, size_t count,
                              uint64_t *out_syncs);
void store_log_close(store_log *log);
/** What could not be read; !is_damage: only the last frame was not finished. */
typedef void (*store_log_bad_fn)(void *ctx, bool is_damage, const char *text);
/** Frames of a log file, told one by one (told owns them). Damaged stretches are saved below
 * lost/ and told to bad; what follows them is read. */
LM_USE lm_err store_log_replay(lm_mem *mem, const char *folder, uint64_t generation,
                               lm_err (*told)(void *ctx, store_frame *frame), store_log_bad_fn bad,
                               void *ctx);

/* ---- segments ---- */

/** A record on its way into a segment. */
typedef struct store_item {
    int64_t time_ns;
    lm_str line, metadata;
    uint32_t stream; /* index in the segment's streams */
    bool is_folded;  /* store_line_is_folded(line), looked at while the line was at hand */
} store_item;

/** A record is a row, whatever its line holds. */
static inline bool store_line_is_folded(lm_str line)
{
    return line.len && memchr(line.ptr, '\n', line.len);
}

typedef struct store_part_stream {
    lm_str key;
    uint64_t first, records, raw_bytes; /* records [first, first + records) of the segment */
    int64_t time_min, time_max;
} store_part_stream;

/** What the catalog knows of a segment. */
typedef struct store_part {
    uint64_t id;
    char tenant[STORE_TENANT_BYTES_MAX + 1];
    lm_level level;
    int64_t time_min, time_max;
    uint64_t records, streams, raw_bytes, bytes;
    uint64_t templates;  /* of one that was just written */
    uint64_t generation; /* of the log it was sealed from; 0: merged */
    uint32_t users;
    bool is_gone;            /* deleted; files go with the last user */
    bool is_stuck;           /* could not be merged */
    struct store_part *next; /* while it is reserved */
} store_part;

typedef struct store_part_plan {
    uint64_t id, generation;
    lm_str tenant;
    lm_level level;
    const lm_str *keys; /* label texts of streams, by item.stream */
    uint32_t stream_count;
    store_item *items; /* sorted in place */
    size_t item_count;
    const uint64_t *replaces; /* ids of segments that this one stands for */
    size_t replace_count;
    lm_pack_kept *kept; /* may be NULL */
} store_part_plan;

#define STORE_REC_MAGIC "lmpart02"

enum {
    STORE_REC_VERSION = 3,
    STORE_REC_RUNLESS = 2, /* its sets lack lengths of runs, and are not read */
    STORE_REC_HEAD = 24    /* magic and four lengths */
};

/** The minute of a time: from its first nanosecond but one to its end, so that windows of LogQL,
 * which hold their end and not their begin, are made of whole ones. */
static inline int64_t store_minute_of(int64_t time_ns)
{
    int64_t minute = time_ns / STORE_MINUTE_NS, rest = time_ns % STORE_MINUTE_NS;
    return rest > 0 ? minute : minute - 1;
}

void store_part_path(const char *folder, uint64_t id, const char *suffix, char *dst);
/** Writes the segment's files, synced, under their final names. out_streams: in arena, beside
 * plan's order of records. */
LM_USE lm_err store_part_write(lm_mem *mem, lm_pool *pool, const char *folder,
                               const store_part_plan *plan, lm_arena *arena, store_part *out,
                               store_part_stream **out_streams);
/** Removes the files; what is not there is fine. */
void store_part_remove(const char *folder, uint64_t id);

/** Records of a stream in a minute (store_minute_of). */
typedef struct store_minute {
    int64_t minute;
    uint64_t records, bytes;
} store_minute;

/** A segment being read. Its head is there from the start; times and lines when they are asked for.
 */
typedef struct store_view {
    lm_mem *mem;
    const char *folder; /* the store's */
    uint64_t id;
    uint8_t *head; /* its bytes, which texts point into */
    size_t head_len;
    lm_arena arena; /* what was read from it */
    lm_str tenant;
    uint64_t generation;
    lm_level level;
    store_part_stream *streams;
    lm_labels *labels; /* beside streams */
    lm_stream *faces;  /* beside streams */
    uint32_t stream_count;
    uint64_t record_count, raw_bytes;
    const uint64_t *folded; /* bit a record: its line holds newlines, kept as 0x1E; NULL: none */
    const uint64_t *has_metadata; /* bit a record; NULL: none */
    bool has_escapes;             /* a folded line holds 0x1E or 0x1F itself */
    const uint64_t *replaces;
    size_t replace_count;
    /* rows of the archive's segment i are records run_first[i] ... in order */
    uint64_t *run_first;
    lm_str *grams; /* of each of them; empty: not known */
    size_t run_count;
    const store_minute *minutes;
    const uint32_t *first_minute; /* by stream, and one behind: none where they are not kept */
    uint64_t bytes;               /* of its files, as far as they were opened */

    pthread_mutex_t lock; /* of loading; what is loaded stays while somebody uses the view */
    lm_arena times_arena;
    const int64_t *times;           /* by record; store_view_load */
    lm_archive *archive, *metadata; /* the same; metadata NULL: no record has any */

    /* the cache's, under its lock */
    uint32_t users;
    bool is_gone;                     /* its files are deleted: closed when not used */
    size_t head_bytes, rest_bytes;    /* as counted */
    struct store_view *same;          /* next of the slot */
    struct store_view *newer, *older; /* by use */
    struct store_view *newer_loaded, *older_loaded; /* those with more than their head */
    bool is_loaded;
} store_view;

/** Reads the head. LM_E_CORRUPT names the file. folder must outlive the view. */
LM_USE lm_err store_view_open(lm_mem *mem, const char *folder, uint64_t id, store_view **out);
void store_view_close(store_view *view);

enum { STORE_TIMES = 1, STORE_LINES = 2 };

/** Loads times, or lines and metadata, unless they are there. From any thread that uses the view.
 * LM_E_CORRUPT names the file. */
LM_USE lm_err store_view_load(store_view *view, unsigned what);
/** Drops what was loaded; nobody uses it. */
void store_view_unload(store_view *view);
/** A folded line as it was; text in out. */
LM_USE lm_err store_line_unfold(lm_str row, lm_buf *out);
/** Lines of the metadata archive, in the order of the records that have any. */
LM_USE lm_err store_metadata_text(store_view *view, lm_buf *out);
/** Lines and metadata (its labels as text, ptr NULL if none) of all records, one after the other.
 */
LM_USE lm_err store_view_walk(store_view *view,
                              lm_err (*told)(void *ctx, uint64_t record, lm_str line,
                                             lm_str metadata),
                              void *ctx);

/* ---- the catalog ---- */

typedef struct store_catalog store_catalog;

/** Opens or makes it; one that is damaged is set aside (lost/) and *out_is_new tells that it must
 * be filled from the segments. */
LM_USE lm_err store_catalog_open(lm_mem *mem, const char *folder, store_catalog **out,
                                 bool *out_is_new, void (*bad)(void *ctx, const char *text),
                                 void *bad_ctx);
void store_catalog_close(store_catalog *catalog);
LM_USE lm_err store_catalog_begin(store_catalog *catalog);
LM_USE lm_err store_catalog_end(store_catalog *catalog, bool commit);
/** Inside begin and end. */
LM_USE lm_err store_catalog_add(store_catalog *catalog, const store_part *part,
                                const store_part_stream *streams);
LM_USE lm_err store_catalog_remove(store_catalog *catalog, uint64_t id);
LM_USE lm_err store_catalog_checkpoint(store_catalog *catalog, lm_str key, lm_str value);
LM_USE lm_err store_catalog_sealed_set(store_catalog *catalog, uint64_t generation);
/** By themselves. */
LM_USE lm_err store_catalog_sealed(store_catalog *catalog, uint64_t *out);
LM_USE lm_err store_catalog_checkpoint_get(store_catalog *catalog, lm_str key, lm_buf *out);
LM_USE lm_err store_catalog_parts(store_catalog *catalog,
                                  lm_err (*told)(void *ctx, const store_part *part), void *ctx);
/** Streams of a tenant with records in the time range, each once; key borrowed for the call.
 * stored: its share of the segments' files, 0 unless with_stored. */
LM_USE lm_err store_catalog_tenant_streams(store_catalog *catalog, lm_str tenant, int64_t time_min,
                                           int64_t time_max, bool with_stored,
                                           lm_err (*told)(void *ctx, lm_str key, uint64_t records,
                                                          uint64_t bytes, uint64_t stored),
                                           void *ctx);

/* ---- matchers ---- */

typedef struct store_matchers store_matchers;
LM_USE lm_err store_matchers_new(lm_mem *mem, const lm_select *what, store_matchers **out);
void store_matchers_free(store_matchers *matchers);
bool store_matchers_match(const store_matchers *matchers, lm_labels labels);
/** Line filters as a query of the search room; NULL: there are none. */
LM_USE lm_err store_filters_query(lm_mem *mem, const lm_select *what, lm_query **out);

/* ---- the store ---- */

typedef struct store_watcher {
    struct store_watcher *next;
    uint64_t handle;
    lm_store_watch_fn fn;
    void *ctx;
} store_watcher;

typedef struct store_tenant {
    struct store_tenant *next;
    char name[STORE_TENANT_BYTES_MAX + 1];
    uint64_t retention_ns;
} store_tenant;

typedef struct store_known_checkpoint {
    struct store_known_checkpoint *next;
    uint64_t generation; /* it was last set in */
    lm_str key, value;   /* own memory */
} store_known_checkpoint;

struct lm_store {
    lm_mem *mem;
    lm_store_options options;
    char folder[STORE_PATH_MAX];
    int lock_fd;
    store_catalog *catalog;
    pthread_mutex_t catalog_lock;

    pthread_mutex_t lock;        /* all that follows */
    pthread_cond_t queue_moved;  /* a frame was queued, or it stops */
    pthread_cond_t keeper_moved; /* a generation is full or a segment may be merged, or it stops */
    pthread_cond_t sealed;       /* a generation was sealed, or failed to be */
    store_frame *queue_first, *queue_last;
    size_t queue_bytes;
    store_generation *generations, *active; /* oldest first; active is the last */
    uint32_t generation_count;
    uint64_t next_generation, next_part;
    store_part **parts; /* by time_min, then id */
    size_t part_count, part_cap;
    store_known_checkpoint *checkpoints[STORE_CHECKPOINT_BUCKETS]; /* of unsealed generations */
    store_tenant *tenants;
    store_watcher *watchers; /* of watch_lock */
    uint64_t next_watcher;
    pthread_mutex_t watch_lock; /* of watchers: held while they are told */
    bool stops;
    uint64_t flushes_wanted, flushes_done;
    uint64_t disk_free;     /* as of the keeper's last look */
    uint64_t sealed_ns;     /* when the keeper sealed last */
    uint64_t rest_until_ns; /* the mill's, to stay within its CPU budget */
    lm_store_counters counters;
    uint64_t failed_ns; /* when the last batch could not be written; 0: it was */
    lm_err seal_failed; /* of the last try to seal; LM_OK: none */

    pthread_mutex_t texts_lock; /* unpacking of template texts */
    pthread_mutex_t cache_lock;
    store_view *cache[STORE_CACHE_SLOTS];
    store_view *cache_newest, *cache_oldest;               /* by use */
    store_view *cache_newest_loaded, *cache_oldest_loaded; /* with more than their head */
    size_t cache_heads, cache_rest;                        /* bytes */
    struct store_question *questions; /* whose answers are kept, the last one asked first */
    size_t question_count;
    size_t answers_bytes;
    uint64_t cache_used_ns; /* when somebody asked last */

    lm_pool *pool;      /* the keeper's; NULL: one CPU */
    lm_pack_kept *kept; /* the keeper's: from one sealing to the next, until nothing comes in */
    lm_pool *asking;    /* of those who ask; NULL: one CPU */
    store_log log;      /* the commit thread's */
    pthread_t commit_thread, keeper_thread;
    bool has_commit, has_keeper;
};

void store_note(lm_store *store, int level, const char *event, const char *fmt, ...)
    LM_PRINTF(4, 5);
/** For `bad` of readers: notes and counts a lost part. */
void store_note_bad(void *store, const char *text);
/** A view of a segment from the cache; give it back. LM_E_CORRUPT, LM_E_NOTFOUND (deleted). */
LM_USE lm_err store_view_get(lm_store *store, uint64_t id, store_view **out);
void store_view_put(lm_store *store, store_view *view);
/** A segment is gone: its view goes too, and so its files' room on the disk. */
void store_view_drop(lm_store *store, uint64_t id);
/* Answers that are kept (store_answers.c); nothing of it fails but for memory, and then nothing is
 * kept. */
typedef struct store_question store_question;
/** What is known of the question that these matchers and filters ask; NULL: there is no memory to
 * keep anything of it. */
store_question *store_question_begin(lm_store *store, const lm_select *what);
void store_question_end(lm_store *store, store_question *question); /* NULL is fine */

/** A record with its line as the segment has it, folded if it is. */
typedef struct store_line {
    uint64_t record;
    int64_t time_ns;
    lm_str text;
} store_line;

/** Lines of all records that fit, ascending, where they are few. */
typedef struct store_lines {
    store_line items[STORE_LINES_MAX];
    size_t count;
    bool are_all; /* else there are more, or they are not known */
} store_lines;

/** The records of a segment that fit, whatever their time, as words of bits, and their lines,
 * copied into arena, where those are kept too; false: not known. */
bool store_answer_get(lm_store *store, const store_question *question, uint64_t part,
                      uint64_t *found, size_t words, lm_arena *arena, store_lines *lines);
void store_answer_put(lm_store *store, store_question *question, uint64_t part,
                      const uint64_t *found, size_t words, const store_lines *lines);
/** Forgets all that nobody asks now. */
void store_questions_drop(lm_store *store);

/** Closes all views that nobody uses, if nobody has asked for longer than this. */
void store_cache_rest(lm_store *store, uint64_t idle_ns);

/** Keeps a copy of a durable checkpoint. Lock held. */
LM_USE lm_err store_checkpoint_note(lm_store *store, lm_str key, lm_str value, uint64_t generation);
LM_USE lm_err store_checkpoints_of(lm_store *store, const store_frame *frame);
/** Forgets those of generations up to this one: the catalog has them. Lock held. */
void store_checkpoints_drop(lm_store *store, uint64_t generation);

/** Threads. */
void *store_commit_main(void *store);
void *store_keeper_main(void *store);
/** Seals the oldest full generation (keeper, and flush). */
LM_USE lm_err store_seal(lm_store *store, store_generation *generation);
/** Copies of parts as a list, and room for them among the store's: all that can fail. Parts are
 * inserted by one at a time, who has the catalog's lock, or opens the store. Lock held. */
LM_USE lm_err store_parts_reserve(lm_store *store, const store_part *parts, size_t count,
                                  store_part **out);
void store_parts_forget(lm_store *store, store_part *list); /* NULL is fine */
/** Takes what was reserved among the store's. Lock held. */
void store_parts_insert(lm_store *store, store_part *list);
/** Takes a part off the list and deletes its files when nobody reads them. Lock held. */
void store_parts_remove(lm_store *store, uint64_t id);
/** Gives up a use; what is gone and used by nobody is freed. Lock held. */
void store_part_unuse(lm_store *store, store_part *part);
void store_generation_unuse(lm_store *store, store_generation *generation);
/** Merges or repacks a few segments if any are worth it. *out_did: some were. Keeper thread. */
LM_USE lm_err store_mill(lm_store *store, bool *out_did);
/** Deletes what is older than its retention, or too much. Keeper thread. */
LM_USE lm_err store_retain(lm_store *store);
/** Takes a new segment's number. */
uint64_t store_part_number(lm_store *store);
/** In one step: parts into catalog and list, replaced ones out of both; with a generation, its
 * checkpoints and that it is sealed. */
LM_USE lm_err store_publish(lm_store *store, const store_part *parts,
                            store_part_stream *const *streams, size_t count,
                            const uint64_t *replaced, size_t replaced_count,
                            store_generation *sealed);

lm_err store_select(void *self, const lm_select *what,
                    bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                    void *told_ctx);
/** Each segment with the bits of the records that are selected by stream and time; records of the
 * head are told. what has no filters. */
LM_USE lm_err store_visit(lm_store *store, const lm_select *what,
                          lm_err (*visit)(void *ctx, store_view *view, const uint64_t *wanted),
                          void *visit_ctx,
                          bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                          void *told_ctx);
lm_err store_streams(void *self, const lm_select *what,
                     bool (*told)(void *ctx, const lm_stream *stream, uint64_t records,
                                  uint64_t bytes),
                     void *told_ctx);

#endif

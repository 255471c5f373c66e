/**
 * Inside of the source of files: one thread that finds files (source_files_find.c), reads them
 * (source_files_read.c) and waits (source_files.c).
 *
 *     inotify, a glance at every file now and then --> dirty tails
 *     dirty tails --pread--> one buffer --lm_lines_cut--> one batch --put--> at most two a tail fly
 *     landed: done | failed: back to where it began, and again
 *
 * Nothing is kept of what was read: what is not yet a whole record is read again with what follows
 * it. So ten thousand files cost a few hundred bytes each, and a position is all there is to
 * remember.
 */
#ifndef SOURCE_FILES_PRIV_H
#define SOURCE_FILES_PRIV_H

#include "source/source_tails.h"

enum { BATCH_FILES_MAX = 1024, LM_FILES_AT_MAX = LM_PATH_BYTES_MAX + 16 };

/** A part of a file in a batch. */
typedef struct lm_cargo_item {
    lm_tail *tail;
    lm_flown part;
} lm_cargo_item;

typedef struct lm_cargo {
    lm_cargo_item *items;
    size_t count, cap;
} lm_cargo;

typedef struct lm_watch {
    char *path; /* NULL: none */
    bool is_file;
} lm_watch;

typedef struct lm_files {
    lm_source source;
    lm_globs *globs;
    lm_formats *formats;
    lm_tails tails;
    lm_str start_pattern;
    bool from_end;
    uint64_t poll_ns;
    lm_buf read_key; /* of the checkpoint with what is gone */
    /* finding */
    int inotify_fd; /* -1: none */
    lm_watch *watches;
    size_t watch_cap;
    lm_mem *mem;
    uint64_t scan;      /* number of the scan under way */
    bool is_first_scan; /* since the start */
    bool is_first_ever; /* nothing of this source is in the sink */
    bool is_unwatched;  /* something cannot be watched: looked for more often */
    bool is_scan_wanted;
    uint64_t scan_after_ns, next_scan_ns, next_poll_ns;
    lm_buf forgotten; /* keys of checkpoints, each behind its length in two bytes */
    /* reading */
    lm_record_batch batch;
    lm_buf text; /* what the batch's records point into */
    lm_checkpoint checkpoints[BATCH_FILES_MAX + 1];
    size_t checkpoint_count;
    lm_cargo building, flying[LM_FLIGHTS];
    bool is_built; /* the batch waits for the sink */
    uint64_t retry_ns, pace_ns, backoff_ns;
    uint64_t long_until_ns; /* text was made larger for a long record: kept so until then */
    lm_tail **held;         /* those that wait for the rest of a record */
    size_t held_count, held_cap;
    uint64_t now_ns; /* of this turn */
} lm_files;

/* source_files_find.c */
/** All globs are walked; new files are met, old ones that moved are followed. */
void lm_files_scan(lm_files *files);
/** A glance at every file: has it grown, is it gone? */
void lm_files_poll(lm_files *files);
/** What inotify tells. */
void lm_files_events(lm_files *files);
/** The file was cut to nothing behind what was read: its former text may stand in a copy. True: it
 * does, and will be read. */
bool lm_files_find_copy(lm_files *files, lm_tail *tail);
/** The first bytes of a new file are known: is it the copy of one that was read? Sets its kind or
 * its offset then, and returns true. */
bool lm_files_judge(lm_files *files, lm_tail *tail, const uint8_t *bytes, size_t len);
/** The sink is about to be told that the tail has its name. Who had it when the sink was told last
 * goes before it, where nobody is known to: else the way to what was read of that one, and of those
 * before it, were lost. */
void lm_files_link_back(lm_files *files, lm_tail *tail);
/** Key of a tail's checkpoint into dst. */
size_t lm_files_key(uint64_t device, uint64_t inode, char dst[64]);
/** Key of what is known of a name, in dst: which file had it last. */
lm_str lm_files_key_at(lm_str path, char dst[LM_FILES_AT_MAX]);

/* source_files_read.c */
/** Builds a batch from what is dirty and hands it over. True: there is more to do at once. */
bool lm_files_turn(lm_files *files);
/** Looks at what landed. */
void lm_files_reap(lm_files *files);
/** Those whose wait is over become dirty. Returns when the next one's is; UINT64_MAX: none. */
uint64_t lm_files_release_held(lm_files *files);
void lm_files_unhold(lm_files *files, lm_tail *tail);

#endif

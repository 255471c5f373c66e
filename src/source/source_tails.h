/**
 * Inside of source: the files that a source of files knows, by identity and by path; those that
 * have something to read; those that are gone.
 *
 *     meet --> LIVE --renamed, deleted: is_rotated--> read to its end --> gone --> remembered as
 * read meet --> COPY  a younger file that begins as a live one does: waits whether that one is
 * truncated meet --> PACKED --measured: known--> DONE
 *                     --not known--> read once --> DONE
 *
 * Invariants
 *   (1) A file is one tail, however many names lead to it: device and inode tell.
 *   (2) offset is where the next record begins that was not handed over; a file is never read behind a
 *       batch that failed before that batch was sent again.
 *   (3) A file is closed whenever nothing of it is wanted; its tail stays.
 */
#ifndef SOURCE_TAILS_H
#define SOURCE_TAILS_H

#include "source/source_glob.h"
#include "source/source_lines.h"
#include "source/source_position.h"
#include "source/source_priv.h"
#include "source/source_unpack.h"

#include <sys/stat.h>

typedef enum lm_tail_kind { LM_TAIL_LIVE, LM_TAIL_COPY, LM_TAIL_PACKED, LM_TAIL_DONE } lm_tail_kind;

/** A part of a file that was handed over. */
typedef struct lm_flown {
    uint64_t begin, end,
        next; /* next: where reading went on, end unless a part behind it was kept */
} lm_flown;

typedef struct lm_tail {
    struct lm_tail *next_by_id, *next_by_path, *next_dirty;
    struct lm_tail *after; /* is read to its end first */
    uint64_t device, inode;
    uint64_t before_device, before_inode; /* the file that had its name before; 0: none known */
    char *path;      /* where it is found; in the table of paths while it is there */
    char *name;      /* its label */
    uint64_t number; /* grows with each file that is met */
    uint64_t name_hash;
    size_t index; /* among all */
    int fd;       /* -1: closed */
    lm_tail_kind kind;
    bool has_path;    /* is in the table of paths */
    bool is_rotated;  /* its name is another file's, or gone: nothing new will come for long */
    bool is_copy;     /* rotated, and yet at its own path: what became of a file that was emptied */
    bool is_heir;     /* of the number of an older file, maybe; before is of that one then */
    bool is_gone;     /* no name leads to it */
    bool is_dirty;    /* is to be looked at */
    bool is_flushed;  /* what is held is to be sent */
    bool is_held;     /* is in the list of those held */
    bool is_unsaved;  /* its position or its name is to go with the next batch */
    bool is_judged;   /* it was looked at whether it is a copy */
    bool is_drained;  /* was read to its end once it was rotated */
    bool was_read;    /* lately: is not closed first */
    uint64_t seen;    /* by which scan */
    uint64_t offset;  /* see (2) */
    uint64_t size;    /* as last seen */
    int64_t mtime_ns; /* as last seen */
    uint64_t scanned; /* no record ends between offset and here */
    uint64_t learned; /* its length when its head was learned from */
    uint64_t held_until_ns, grown_ns;
    lm_head head;    /* of the packed bytes if it is packed */
    lm_lines *lines; /* NULL: not yet read */
    lm_buf carry;    /* what is held, if it is not much: for when the file is emptied */
    /* batches */
    uint8_t flying;
    bool is_failed;    /* one of them came back */
    lm_flown failed;   /* the first that did */
    lm_flown landed;   /* the last that did not */
    uint64_t gap_end;  /* while a failed part is sent again: up to here, */
    uint64_t gap_next; /* then from here on */
    /* packed */
    lm_unpacked *unpacked;
    bool is_measured;
    bool is_damaged; /* ends in the middle, or worse; waits whether it changes */
    uint64_t unpacked_at, unpacked_len;
    uint64_t unpacked_from; /* where records begin that are wanted */
    lm_head unpacked_head;
    uint8_t *unpacked_hold; /* text read and not yet sent */
    size_t unpacked_hold_len, unpacked_hold_cap;
} lm_tail;

typedef struct lm_tails {
    lm_mem *mem;
    lm_tail **all;
    size_t count, cap;
    lm_tail **by_id, **by_path; /* chains; mask + 1 of each */
    size_t mask;
    lm_tail *dirty, *dirty_last;
    uint64_t met; /* so far */
    size_t hand;  /* for closing */
    size_t open;
    lm_position read[LM_SOURCE_READ_MAX]; /* files that are gone; paths are owned */
    size_t read_count;
    bool is_read_changed;
} lm_tails;

void lm_tails_init(lm_tails *tails, lm_mem *mem);
void lm_tails_fini(lm_tails *tails);
/** LM_E_LIMIT: SOURCE_FILES_MAX; LM_E_NOMEM. */
LM_USE lm_err lm_tails_add(lm_tails *tails, const struct stat *info, const char *path,
                           const char *name, lm_tail **out);
/** Not while batches of it are flying. */
void lm_tails_drop(lm_tails *tails, lm_tail *tail);
lm_tail *lm_tails_by_id(const lm_tails *tails, uint64_t device, uint64_t inode);
lm_tail *lm_tails_by_path(const lm_tails *tails, const char *path, size_t len);
/** NULL: none leads to it, the text stays. LM_E_NOMEM. */
LM_USE lm_err lm_tails_set_path(lm_tails *tails, lm_tail *tail, const char *path);
/** The youngest other file whose records bear this name; NULL: none. O(files). */
lm_tail *lm_tails_by_name(const lm_tails *tails, const char *name, const lm_tail *other);
void lm_tails_mark(lm_tails *tails, lm_tail *tail);
void lm_tails_mark_first(lm_tails *tails, lm_tail *tail);
lm_tail *lm_tails_take(lm_tails *tails); /* NULL: none is dirty */
/** Closes others when too many are open. LM_E_NOTFOUND: path leads elsewhere. LM_E_IO. */
LM_USE lm_err lm_tails_open(lm_tails *tails, lm_tail *tail);
void lm_tails_close(lm_tails *tails, lm_tail *tail);
/** Remember a file that is gone, or its text that is gone. */
LM_USE lm_err lm_tails_remember(lm_tails *tails, const lm_position *position);
/** The longest memory of a file that begins like these bytes. NULL: none. */
const lm_position *lm_tails_remembered(const lm_tails *tails, const uint8_t *head, size_t len);

#endif

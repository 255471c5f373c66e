/**
 * ingest — bytes of files become lines and records.
 *
 * Purpose:  open files, folders, standard input, compressed or not; hand out large chunks cut at
 * line ends; tell which lines continue the record before. Flow:     path --open, detect .gz .zst
 * .xz .bz2 by content--> bytes --chunks--> archive; lines --join rule--> records Owns:     a source
 * owns its descriptor and decoder state; chunks are written to the caller's memory. Threads:  one
 * source, one thread. Units:    bytes; line numbers from 1 in messages. Limits:   LINE_BYTES_MAX,
 * PATH_BYTES_MAX, RECORD_LINES_MAX.
 *
 * Invariants
 *   (1) The bytes handed out, in order, are the bytes of the (unpacked) file.
 *   (2) A read error or a damaged compressed file is reported with path and offset after all good
 *       bytes were handed out.
 *   (3) Growing files are read with read(2), never mapped.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "base/base.h"
#include "schema/schema.h"

typedef enum lm_packing {
    LM_PACKING_NONE,
    LM_PACKING_GZIP,
    LM_PACKING_ZSTD,
    LM_PACKING_XZ,
    LM_PACKING_BZIP2
} lm_packing;

typedef struct lm_source lm_source;
/** path "-" is standard input. Detects packing by the first bytes (raw: as is, no detection). */
LM_USE lm_err lm_source_open(lm_mem *mem, const char *path, bool raw, lm_source **out);
/** A source that is no file: read gives up to cap bytes at a time, *out_len 0 at the end; they pass
 * as they are. */
typedef lm_err (*lm_source_fn)(void *ctx, uint8_t *dst, size_t cap, size_t *out_len);
LM_USE lm_err lm_source_of(lm_mem *mem, lm_source_fn read, void *ctx, lm_source **out);
void lm_source_close(lm_source *source);
lm_packing lm_source_packing(const lm_source *source);
/** Fill dst with up to cap unpacked bytes; *out_len 0 means the end. LM_E_IO, LM_E_CORRUPT (path,
 * offset). */
LM_USE lm_err lm_source_read(lm_source *source, uint8_t *dst, size_t cap, size_t *out_len);

/** All regular files below paths (folders recursively, names sorted, no symlink loops). */
typedef struct lm_file_list {
    char **paths;
    size_t count;
    lm_arena arena;
} lm_file_list;

LM_USE lm_err lm_file_list_make(lm_mem *mem, const char *const *paths, size_t count,
                                lm_file_list *out);
void lm_file_list_fini(lm_file_list *list);

/** Which lines start a record. Learned from the first lines of a stream, or given as a regular
 * expression. */
typedef struct lm_joiner lm_joiner;
LM_USE lm_err lm_joiner_new(lm_mem *mem, lm_joiner **out);
void lm_joiner_free(lm_joiner *joiner);
/** start_pattern: PCRE2 that matches first lines; empty: recognise by itself (stack traces of Java,
 * Python, Go, C#; SQL; JVM GC; pretty-printed JSON; indentation; streams whose records all begin
 * with a timestamp). LM_E_USAGE. */
LM_USE lm_err lm_joiner_configure(lm_joiner *joiner, lm_str start_pattern);
LM_USE lm_err lm_joiner_learn(lm_joiner *joiner, const lm_schema *schema, const lm_str *lines,
                              size_t count);
/** Does this line continue the record of the lines before? Keeps the state it needs (open braces, a
 * trace going on). */
bool lm_joiner_continues(lm_joiner *joiner, lm_str line);
/** Where the timestamp stands by which records of this stream are told; SIZE_MAX: the line has
 * none, or records are told otherwise. Changes nothing. */
size_t lm_joiner_time_at(lm_joiner *joiner, lm_str line);
/** lm_joiner_continues for a line that is known to have such a timestamp: does not look for it. */
bool lm_joiner_continues_headed(lm_joiner *joiner, lm_str line);
/** Forget the record under way (a new file begins). */
void lm_joiner_reset(lm_joiner *joiner);

#endif

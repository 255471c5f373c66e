/** The system: files, maps, clocks, atomic replacement. Every failure names the path. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/base_mem.h"
#include "base/base_str.h"

uint64_t lm_clock_ns(void);     /* monotonic */
uint64_t lm_clock_cpu_ns(void); /* CPU time of the process */
int64_t lm_clock_wall_ns(void); /* since 1970-01-01 UTC */
/** Seconds since 1970, and nanoseconds below one more; years that have no nanoseconds become the
 * first or last that do. */
int64_t lm_clock_ns_of(int64_t seconds, int64_t rest_ns);

/** A read-only map of a whole immutable file (archives; never a growing log). */
typedef struct lm_map {
    const uint8_t *ptr;
    size_t len;
} lm_map;

LM_USE lm_err lm_map_open(const char *path, lm_map *out); /* LM_E_IO, LM_E_NOTFOUND */
/** The same with extra zero bytes behind: for a file whose end is lost. LM_E_NOMEM too. */
LM_USE lm_err lm_map_open_longer(const char *path, size_t extra, lm_map *out);
void lm_map_close(lm_map *map);

/** A file being written under a temporary name beside the final one; only lm_outfile_commit shows
 * it. */
typedef struct lm_outfile lm_outfile;
LM_USE lm_err lm_outfile_new(lm_mem *mem, const char *path, lm_outfile **out);
LM_USE lm_err lm_outfile_write(lm_outfile *file, const void *src, size_t len);
uint64_t lm_outfile_offset(const lm_outfile *file); /* bytes written so far */
/** Flush, fsync, rename over path, fsync the folder. After failure the final name is as it was. */
LM_USE lm_err lm_outfile_commit(lm_outfile *file);
/** Without commit: removes the temporary file. NULL is fine. Call also after commit. */
void lm_outfile_free(lm_outfile *file);

/** A file or standard input being read from front to back with read(2), so it may grow meanwhile.
 */
typedef struct lm_infile lm_infile;
/** path "-" is standard input. LM_E_NOTFOUND, LM_E_IO (a folder, no right to read). */
LM_USE lm_err lm_infile_open(lm_mem *mem, const char *path, lm_infile **out);
/** Up to cap bytes as the system gives them; *out_len 0 is the end. LM_E_IO names the path. */
LM_USE lm_err lm_infile_read(lm_infile *file, void *dst, size_t cap, size_t *out_len);
const char *lm_infile_path(const lm_infile *file);
void lm_infile_close(lm_infile *file); /* NULL is fine */

typedef struct lm_file_info {
    uint64_t bytes;
    int64_t mtime_ns;
    uint32_t mode; /* permission bits */
    bool is_folder;
    bool is_regular;
} lm_file_info;

LM_USE lm_err lm_file_info_get(const char *path, lm_file_info *out);
/** mkdir -p. */
LM_USE lm_err lm_folder_make(const char *path);
/** Whole small file into buf, at most max bytes (LM_E_LIMIT). "-" is standard input. */
LM_USE lm_err lm_file_read_all(const char *path, size_t max, lm_buf *out);

#endif

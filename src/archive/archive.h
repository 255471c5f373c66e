/**
 * archive — the file on disk: lines in, segments of columns out; rows, columns and bytes back.
 *
 * Purpose:  keep lines losslessly as columns, and let a reader touch only what a question needs.
 * Flow:     chunk of lines --archive_parse: skeleton + variables--> shapes, role columns
 * --archive_values: typed columns--> codec --> segment --archive_write--> file;   file
 * --archive_read--> shapes, columns, rows --> search, unpack Owns:     an archive owns its map and
 * tables; an opened segment owns an arena with everything decoded from it. Threads:  one packer,
 * one thread (it spreads work over its pool); an opened archive is read by many threads, an opened
 *           segment by one.
 * Units:    rows count from 0 in a segment; line numbers from 1 in a file; times are ns since 1970
 * UTC. Limits:   SEGMENT_ROWS_MAX, SHAPE_COUNT_MAX, SHAPE_VARS_MAX, COLUMN_COUNT_MAX,
 * FILE_COUNT_MAX, PATH_BYTES_MAX, LINE_BYTES_MAX.
 *
 * Invariants
 *   (1) Unpacking gives every file byte for byte: rows joined by '\n', the last one without it if it had none.
 *   (2) The bytes of an archive depend on the input and the options, never on threads (with lm_pack_kept, on the
 *       packings before and how many slots they had, too).
 *   (3) Every byte read back was covered by a checksum; a damaged block costs only the rows that need it.
 *   (4) Under its final name an archive is whole or absent.
 *   (5) A row's text is its shape's pieces with its variables put in; a variable is never empty.
 */
#ifndef ARCHIVE_ARCHIVE_H
#define ARCHIVE_ARCHIVE_H

#include "base/base.h"
#include "codec/codec.h"
#include "ingest/ingest.h"
#include "schema/schema.h"

/* ---- packing ---- */

typedef struct lm_pack_progress {
    uint64_t bytes_in, bytes_out, bytes_total; /* total 0: unknown */
} lm_pack_progress;

/** What a packing leaves for the next one of lines alike: memory, formats and the ways of lines.
 * One packing at a time uses it. Archives then depend on what was packed before them too. */
typedef struct lm_pack_kept lm_pack_kept;

LM_USE lm_err lm_pack_kept_new(lm_mem *mem, lm_pack_kept **out);
void lm_pack_kept_free(lm_pack_kept *kept); /* NULL is fine */
/** Gives back all that it holds. */
void lm_pack_kept_clear(lm_pack_kept *kept);

typedef struct lm_pack_options {
    lm_level level;       /* 0: default */
    size_t segment_bytes; /* raw bytes a segment; 0: what the level says */
    bool raw_input;       /* do not unpack .gz etc. */
    bool keep_columns; /* plain text only where columns cannot hold the lines: for an archive that
                          is made to look into, its templates matter and its bytes do not */
    lm_str start_pattern; /* multi-line rule; empty: recognised */
    lm_str schema_yaml;   /* given formats; empty: inferred */
    lm_str template_yaml; /* template rules; empty: none */
    /** May be NULL. Inputs come from here instead of from files: opens path, which is a name only;
     * called once or twice for each. */
    lm_err (*open)(void *ctx, const char *path, lm_source **out);
    void *open_ctx;
    lm_pack_kept *kept; /* may be NULL; else of this account, and from packings with these rules */
    int64_t mtime_ns;   /* of inputs that are no files */
    void (*progress)(
        void *ctx,
        const lm_pack_progress *now); /* may be NULL; called per segment from the packing thread */
    void *progress_ctx;
    volatile const int *cancel; /* may be NULL; non-zero: stop with LM_E_CANCELLED */
} lm_pack_options;

typedef struct lm_pack_report {
    uint64_t bytes_in, bytes_out, lines, files, segments, templates;
} lm_pack_report;

/**
 * Pack files (paths as lm_file_list gives them; "-" is standard input) into one archive at
 * out_path. pool may be NULL. A file that cannot be read or unpacked to its end: what could be read
 * is kept, and bad(ctx, path, text) is told; the call still succeeds. Errors: LM_E_IO (disk full,
 * ...), LM_E_LIMIT, LM_E_NOMEM, LM_E_CANCELLED: then no file out_path.
 */
LM_USE lm_err lm_archive_pack(lm_mem *mem, lm_pool *pool, const char *const *paths,
                              size_t path_count, const lm_pack_options *options,
                              const char *out_path,
                              void (*bad)(void *ctx, const char *path, const char *text),
                              void *bad_ctx, lm_pack_report *report);

/* ---- reading: the archive ---- */

typedef struct lm_archive lm_archive;

/** First 8 bytes of every archive: tells one from a plain log. */
#define LM_ARCHIVE_MAGIC "logmill1"

typedef struct lm_archive_file {
    lm_str name; /* as given when packed, with '/' */
    int64_t mtime_ns;
    uint32_t mode; /* permission bits */
    uint64_t bytes, lines;
    lm_packing packing; /* how it was packed when read */
    bool no_final_newline;
    bool has_clocks;  /* only while it is packed: */
    int64_t clock_ns; /* the time in front of its first clock without a date */
} lm_archive_file;

typedef struct lm_archive_segment {
    uint64_t offset, bytes; /* in the archive */
    uint64_t raw_bytes;     /* text it stands for */
    uint32_t rows;
    int64_t time_min, time_max; /* INT64_MAX, INT64_MIN if no row has a time */
    uint32_t stream;
    lm_level level;
} lm_archive_segment;

/** A template of the archive (all segments). */
typedef struct lm_archive_template {
    lm_str text;               /* with <*> */
    lm_str name;               /* given by a rule; empty if none */
    uint64_t count;            /* rows */
    int64_t first_ns, last_ns; /* INT64_MAX, INT64_MIN if unknown */
    uint32_t forward;          /* own index unless merged */
} lm_archive_template;

/** LM_E_NOTFOUND, LM_E_IO, LM_E_CORRUPT (not an archive; with salvage also opens one whose end is
 * lost or damaged). */
LM_USE lm_err lm_archive_open(lm_mem *mem, const char *path, bool salvage, lm_archive **out);
void lm_archive_close(lm_archive *archive);
/** Opened with salvage, and its end is lost: what is missing, a line for people; else NULL.
 * Unpacking, verifying and searching such an archive tell it to `bad` and end with LM_E_CORRUPT. */
const char *lm_archive_lost(const lm_archive *archive);
uint64_t lm_archive_bytes(const lm_archive *archive);
size_t lm_archive_file_count(const lm_archive *archive);
const lm_archive_file *lm_archive_file_at(const lm_archive *archive, size_t index);
size_t lm_archive_segment_count(const lm_archive *archive);
const lm_archive_segment *lm_archive_segment_at(const lm_archive *archive, size_t index);
size_t lm_archive_template_count(const lm_archive *archive);
/** The id that stands for id now. Cheap, from any thread. */
uint32_t lm_archive_template_forward(const lm_archive *archive, uint32_t id);
/** Unpacks the texts at the first call (one thread); counts and times are zero until
 * lm_archive_templates_count. A damaged list of texts gives empty ones. */
const lm_archive_template *lm_archive_template_at(const lm_archive *archive, size_t index);
/** Fill counts and first and last times of all templates: reads shape ids and times of every
 * segment. Damaged segments are left out and told. */
LM_USE lm_err lm_archive_templates_count(lm_archive *archive,
                                         void (*bad)(void *ctx, const char *text), void *bad_ctx);
size_t lm_archive_stream_count(const lm_archive *archive);
/** The schema that the stream's lines were packed with. */
const lm_schema *lm_archive_stream_schema(const lm_archive *archive, size_t stream);

/** Write one file's bytes, or every file (index SIZE_MAX) one behind the other, to sink. Damaged
 * rows are told to bad and left out; returns LM_E_CORRUPT at the end if there were any. */
LM_USE lm_err lm_archive_unpack(const lm_archive *archive, lm_pool *pool, size_t file_index,
                                lm_err (*sink)(void *ctx, size_t file_index, lm_str bytes),
                                void *sink_ctx, void (*bad)(void *ctx, const char *text),
                                void *bad_ctx);
/** Every checksum; tells each damaged place. LM_OK or LM_E_CORRUPT. */
LM_USE lm_err lm_archive_verify(const lm_archive *archive, lm_pool *pool,
                                void (*bad)(void *ctx, const char *text), void *bad_ctx);

/** One line of `logmill stats`: where bytes went. */
typedef struct lm_archive_cost {
    uint32_t stream;
    lm_str what; /* "column", "shapes", "shape ids", "raw", "index", "meta", ... */
    lm_str name; /* a column: the text before it and an example; else empty */
    uint64_t values, plain_bytes, stored_bytes;
    const char *encoding;
} lm_archive_cost;

/** A segment that cannot be read is told to bad and is one cost, "damaged"; LM_E_CORRUPT at the end
 * with out filled, if there was any. */
LM_USE lm_err lm_archive_costs(const lm_archive *archive, lm_arena *arena,
                               void (*bad)(void *ctx, const char *text), void *bad_ctx,
                               lm_archive_cost **out, size_t *out_count);

/* ---- reading: one segment, for search ---- */

/** A piece of a shape: constant text, or a variable that takes the next value of a column. */
typedef struct lm_piece {
    lm_str text;    /* constant text; empty for a variable */
    int32_t column; /* value column of a variable; -1 for constant text */
} lm_piece;

typedef struct lm_shape {
    const lm_piece *pieces;
    uint32_t piece_count;
    uint32_t rows;        /* only after lm_segment_rows_load, else 0 */
    uint32_t template_id; /* index for lm_archive_template_at */
    int32_t time_piece;   /* piece that is the record's timestamp, -1 none */
    int32_t level_piece;  /* piece that is or holds the level, -1 none */
    lm_severity severity; /* constant level of this shape; UNKNOWN if none or if level_piece is a
                             variable */
} lm_shape;

/** What is known of a value column without decoding it. */
typedef struct lm_value_stamp {
    uint32_t count;
    uint32_t len_min, len_max; /* bytes of text */
    uint8_t classes;           /* LM_CHARS_* that occur in any value */
    bool is_numeric;           /* all values are decimal integers: min, max hold */
    int64_t min, max;
    bool has_dictionary; /* strings, with few distinct values or many */
} lm_value_stamp;

enum {
    LM_CHARS_DIGIT = 1,
    LM_CHARS_HEX_LOWER = 2,
    /* a-f */ LM_CHARS_HEX_UPPER = 4,
    LM_CHARS_LOWER = 8, /* g-z */
    LM_CHARS_UPPER = 16,
    LM_CHARS_DOT = 32,
    LM_CHARS_DASH_COLON = 64,
    LM_CHARS_OTHER = 128,
    LM_CHARS_ALL = 255
};

/** A decoded value column. */
typedef struct lm_values lm_values;

typedef struct lm_segment lm_segment;

/** Which groups of three characters the segment's lines have; false: not known. Cheap: nothing is
 * opened. The archive keeps out's bytes. */
bool lm_archive_segment_grams(const lm_archive *archive, size_t index, lm_str *out);
/** May a line hold text, letters in any case? false is certain. */
bool lm_archive_grams_admit(lm_str grams, lm_str text);

/** Groups of three characters of lines, and lengths of their runs of digits, being collected: for
 * sets of one's own. */
typedef struct lm_grams lm_grams;
LM_USE lm_err lm_grams_new(lm_mem *mem, lm_grams **out); /* LM_E_NOMEM; a quarter of a MB */
void lm_grams_free(lm_grams *grams);
/** O(len), no memory. line is without its '\n'. */
void lm_grams_add(lm_grams *grams, lm_str line);
/** Appends the set, of about so many bits for each group, and begins anew. */
LM_USE lm_err lm_grams_take(lm_grams *grams, unsigned bits_each, lm_buf *out);
/** May a line hold text, letters in any case? false is certain. Of no bytes: true. */
bool lm_grams_set_admits(lm_str set, lm_str text);
/** Opens segment index; everything decoded lives until lm_segment_close. LM_E_CORRUPT names the
 * place. */
LM_USE lm_err lm_segment_open(const lm_archive *archive, size_t index, lm_segment **out);
/** The same in two steps. Between them there are columns and skeletons, and no shapes, rows or
 * lines: enough for most segments to be ruled out, in a third of the time. After an error of the
 * second step the segment can only be closed. */
LM_USE lm_err lm_segment_open_columns(const lm_archive *archive, size_t index, lm_segment **out);
LM_USE lm_err lm_segment_open_rest(lm_segment *segment);
/** Texts of all shapes, each ended by '\n'. A variable stands there as this byte and any other one,
 * but for a '\n': then the byte is text. LM_E_CORRUPT. */
#define LM_SKELETON_MARK 0x01
LM_USE lm_err lm_segment_skeletons(lm_segment *segment, lm_str *out);
void lm_segment_close(lm_segment *segment);
uint32_t lm_segment_row_count(const lm_segment *segment);
/** Kept as plain text, not as columns (binary, or nothing repeats): shapes and columns are absent,
 * use lm_segment_text. */
bool lm_segment_is_raw(const lm_segment *segment);
size_t lm_segment_shape_count(const lm_segment *segment);
const lm_shape *lm_segment_shapes(const lm_segment *segment);
size_t lm_segment_column_count(const lm_segment *segment);
lm_value_stamp lm_segment_stamp(const lm_segment *segment, size_t column);
/** May any value of this column contain needle? false is certain. Uses the column's gram filter;
 * cheap. */
bool lm_segment_column_may_contain(const lm_segment *segment, size_t column, lm_str needle);

/** May a value of this column have part in it - at its begin, at its end, or both (be it), as where
 * says? By what kinds of values the column has; false is certain. Cheap. */
enum { LM_AT_BEGIN = 1, LM_AT_END = 2 };

bool lm_segment_column_may(const lm_segment *segment, size_t column, lm_str part, unsigned where);
/** Kinds of values that a column has, as codes; none: it is pooled. */
uint32_t lm_segment_column_kinds(const lm_segment *segment, size_t column, const uint32_t **out);
/** As lm_segment_column_may, of values of one kind. */
bool lm_kind_may(uint32_t kind, lm_str part, unsigned where);
/** A value of this kind has so many digits side by side only if its number, without its sign, is at
 * least that; 0: nothing is known. */
uint64_t lm_kind_least(uint32_t kind, size_t digits);
/** Are values of this kind IPv4 addresses, the number's highest byte first? */
bool lm_kind_is_address(uint32_t kind);
/** Are values of this kind texts of a dictionary? */
bool lm_kind_is_text(uint32_t kind);
/** Are they times of one layout? */
bool lm_kind_is_time(uint32_t kind, uint16_t *out_layout);
/** As lm_segment_column_texts, and the texts of a column of which only some values are strings. */
bool lm_segment_column_words(lm_segment *segment, size_t column, const lm_str **out_texts,
                             uint32_t *out_count);
/** Distinct texts of a column of strings, without decoding which row has which; false: not such a
 * column, or damaged. */
bool lm_segment_column_texts(lm_segment *segment, size_t column, const lm_str **out_texts,
                             uint32_t *out_count);
/** A text as this column's values look, made up where reading one would mean decoding; other ones
 * for which 0, 1, 2 ...: of a column of no more than LM_SAMPLES_ALL texts all of them in turn.
 * False: none can be given. dst as for lm_values_text. */
#define LM_SAMPLES_ALL 32
bool lm_segment_column_sample(lm_segment *segment, size_t column, unsigned which, uint8_t *dst,
                              lm_str *out);
/** Are all values of this column times of one layout (schema_time.h)? */
bool lm_segment_column_is_time(const lm_segment *segment, size_t column, uint16_t *out_layout);
/** Columns with a handful of values share one pool: is this one of them? Their stamps say nothing;
 * search the pool. */
bool lm_segment_column_is_pooled(const lm_segment *segment, size_t column);
/** The values of all pooled columns, each followed by '\n'. Decoded once. LM_E_CORRUPT. */
LM_USE lm_err lm_segment_pool(lm_segment *segment, lm_str *out);

/** Shape id of every row, in order; also fills lm_shape.rows. Decoded once. */
LM_USE lm_err lm_segment_rows_load(lm_segment *segment, const uint32_t **out_shape_of_row);
/** Values of a column, in row order over all shapes that use it (a row whose shape has the column k
 * times takes k values). Decoded once. */
LM_USE lm_err lm_segment_values(lm_segment *segment, size_t column, const lm_values **out);
uint32_t lm_values_count(const lm_values *values);

enum { LM_VALUE_ROOM = 128 }; /* bytes of text that a value not in a dictionary may take */

/** Text of value i: into dst (LM_VALUE_ROOM bytes) or a slice of the dictionary. */
lm_str lm_values_text(const lm_values *values, uint32_t i, uint8_t *dst);
/** Dictionary, if the column is one: distinct texts and the index of each value; else false. */
bool lm_values_dictionary(const lm_values *values, const lm_str **out_texts,
                          uint32_t *out_text_count, const uint32_t **out_index);
/** Plain decimal integers (all of them canonical), if the column is one; else false. */
bool lm_values_ints(const lm_values *values, const int64_t **out);
/** Numbers, each printed with scale digits behind the point, if the column is one of these; else
 * false. */
bool lm_values_decimals(const lm_values *values, const int64_t **out, unsigned *out_scale);

/** A number for each value, and its class (NULL: all are of one): where both are equal the texts
 * are. Else false. */
bool lm_values_numbers(const lm_values *values, const int64_t **out, const uint32_t **out_classes);
/** Bytes of all values, width each, where a value's text is their lower-case hex digits, of a UUID
 * with dashes between; else false. */
bool lm_values_wide(const lm_values *values, const uint8_t **out_bytes, uint32_t *out_width,
                    bool *out_is_uuid);

/** Text of rows [begin, end), each followed by '\n', appended to out. out_ends (may be NULL): end -
 * begin positions in out behind each '\n'. Consecutive calls going forward are cheap; going back
 * restarts. Rows of damaged columns: LM_E_CORRUPT. Works for raw segments too. */
LM_USE lm_err lm_segment_text(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                              size_t *out_ends);
/** The same for chosen rows, ascending. */
LM_USE lm_err lm_segment_text_of(lm_segment *segment, const uint32_t *rows, size_t row_count,
                                 lm_buf *out, size_t *out_ends);
/** Time of every row (its record's), ns; INT64_MIN where unknown. Decoded once. */
LM_USE lm_err lm_segment_times(lm_segment *segment, const int64_t **out);
/** Bit r set: row r continues the record of row r - 1. NULL out: no row does. */
LM_USE lm_err lm_segment_continuations(lm_segment *segment, const uint64_t **out_bits);

/** Which file a row is from. */
typedef struct lm_row_place {
    uint32_t file;
    uint64_t line; /* from 1 */
} lm_row_place;

lm_row_place lm_segment_place(const lm_segment *segment, uint32_t row);

#endif

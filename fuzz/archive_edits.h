/**
 * Any bytes as an archive whose checksums are right, for fuzz targets that read archives: checksums
 * would stop nearly every input at the door.
 *
 * What begins with the magic of an archive is taken as one: the checksums of its footer, heads,
 * directories and template ids are set. Anything else is a list of edits to an archive that is made
 * here: six bytes each say which part, where, and what; the parts are put together again with all
 * checksums right, those of the blocks too. So edits reach the codec and the tables behind it.
 * Edits of columns change values, counts and types before they are encoded: these reach what is
 * behind the codec.
 */
#ifndef FUZZ_ARCHIVE_EDITS_H
#define FUZZ_ARCHIVE_EDITS_H

#include "archive/archive_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- checksums made right ---- */

static void put_le32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

/** Head at bytes + at: the checksums of what it describes, then its own. Returns the segment's
 * length, 0 if it is none. */
static size_t repair_segment(lm_mem *mem, uint8_t *bytes, size_t len, size_t at)
{
    if (len - at < LM_SEGMENT_HEAD_BYTES || lm_le32(bytes + at) != LM_SEGMENT_MAGIC) return 0;
    size_t head_len = lm_le32(bytes + at + 4);
    if (head_len > len - at - LM_SEGMENT_HEAD_BYTES || head_len < 8) return 0;
    uint8_t *head_bytes = bytes + at + LM_SEGMENT_HEAD_BYTES;
    put_le32(bytes + at + 8, (uint32_t)lm_hash64(head_bytes, head_len));
    lm_arena arena;
    lm_segment_head head;
    lm_arena_init(&arena, mem);
    lm_err err = lm_head_read((lm_str){bytes + at, len - at}, at, &arena, &head);
    lm_arena_fini(&arena);
    if (err) return 0;
    uint8_t *templates = bytes + at + head.head_bytes,
            *directory = templates + head.templates_bytes;
    if (head.templates_bytes)
        put_le32(head_bytes + head_len - 8,
                 (uint32_t)lm_hash64(templates, (size_t)head.templates_bytes));
    put_le32(head_bytes + head_len - 4,
             (uint32_t)lm_hash64(directory, (size_t)head.directory_bytes));
    put_le32(bytes + at + 8, (uint32_t)lm_hash64(head_bytes, head_len));
    return (size_t)(head.head_bytes + head.templates_bytes + head.directory_bytes +
                    head.blocks_bytes);
}

static void repair(lm_mem *mem, uint8_t *bytes, size_t len)
{
    size_t at = sizeof LM_ARCHIVE_MAGIC - 1;
    for (size_t n; at < len && (n = repair_segment(mem, bytes, len, at)) > 0;)
        at += n;
    if (len < at + LM_FOOTER_BYTES) return;
    uint8_t *footer = bytes + len - LM_FOOTER_BYTES;
    size_t meta_len = lm_le32(footer), end = len - LM_FOOTER_BYTES;
    if (meta_len <= end)
        put_le32(footer + 4,
                 (uint32_t)lm_hash64_seed(bytes + end - meta_len, meta_len, end - meta_len));
}

/* ---- edits ---- */

enum { SEGMENTS_MAX = 16 };

enum { PART_HEAD, PART_TEMPLATES, PART_DIRECTORY, PART_BLOCKS, PART_COUNT };

/** In the first byte of an edit, above the segment. LONG_LOG counts in the first edit. */
enum { EDIT_COLUMN = 16, LONG_LOG = 32 };

enum { COLUMNS_MAX = 256, COLUMN_BYTES_MAX = 1 << 22 };

/** A column as it will be encoded. */
typedef struct plain_column {
    lm_column about;
    lm_buf values;
} plain_column;

/** The parts of the archive that edits apply to, all of them without checksums, heads and
 * directories not compressed. */
typedef struct parts {
    lm_mem *mem;
    lm_buf of[SEGMENTS_MAX][PART_COUNT];
    bool is_raw[SEGMENTS_MAX];
    size_t segment_count;
    lm_buf meta;
    bool is_meta_edited;
    plain_column *columns[SEGMENTS_MAX]; /* COLUMNS_MAX; NULL: not edited */
    size_t column_count[SEGMENTS_MAX];
    const char *path; /* of the archive they were taken from */
} parts;

static void put_log(lm_buf *out)
{
    char line[200];
    for (unsigned i = 0; i < 260; i++) {
        unsigned n = (unsigned)(lm_hash_u64(i) & 0xFFFFFF);
        int len =
            i % 7 == 6 ? snprintf(line, sizeof line, "\tat org.acme.Thing$%u.run(Thing.java:%u)\n",
                                  n % 3, n % 90)
            : i % 3 == 0
                ? snprintf(line, sizeof line,
                           "{\"ts\":\"2026-11-23T13:%02u:%02u.%03uZ\",\"level\":\"%s\",\"took\":%u."
                           "%u,\"id\":\"%06x00-1111-4222-8333-%012x\"}\n",
                           i / 60, i % 60, n % 1000, n & 1 ? "info" : "warn", n % 50, n % 10, n, n)
                : snprintf(line, sizeof line,
                           "Nov 23 13:%02u:%02u web-1 app[%u]: from 192.0.2.%u hash "
                           "%06x%06x%06x%06x user=%s code %03u %04x\n",
                           i / 60, i % 60, n % 9999, n % 256, n, n + 1, n + 2, n + 3,
                           n & 4 ? "ann" : "bob", n % 100, n % 65536);
        LM_ASSERT(lm_buf_append(out, line, (size_t)len) == LM_OK);
    }
}

/** Clocks without a date, in columns that are long enough to be read in parts. */
static void put_long_log(lm_buf *out)
{
    static const char *const names[] = {"ann", "bob", "eve", "mallory"};
    char line[200];
    for (unsigned i = 0; i < 2 * LM_PART_VALUES + 100; i++) {
        unsigned n = (unsigned)(lm_hash_u64(i) & 0xFFFFFF);
        int len = snprintf(line, sizeof line, "%02u:%02u:%02u INFO %s took %u us of %u\n",
                           i / 1200 % 24, i / 20 % 60, i % 60, names[n % 4], n, n % 100);
        LM_ASSERT(lm_buf_append(out, line, (size_t)len) == LM_OK);
    }
}

static void take(parts *p, lm_buf *dst, const uint8_t *bytes, size_t len)
{
    lm_buf_init(dst, p->mem);
    LM_ASSERT(lm_buf_append(dst, bytes, len) == LM_OK);
}

static void unpack_into(parts *p, lm_buf *dst, lm_str stored, size_t plain_len)
{
    lm_buf_init(dst, p->mem);
    LM_ASSERT(lm_buf_reserve(dst, plain_len + 1) == LM_OK);
    LM_ASSERT(lm_bytes_decode(p->mem, stored, dst->ptr, plain_len) == LM_OK);
    dst->len = plain_len;
}

static void take_segment(parts *p, const lm_archive *archive, size_t index)
{
    const lm_archive_segment *info = &archive->meta.segments[index];
    lm_arena arena;
    lm_segment_head head;
    lm_arena_init(&arena, p->mem);
    lm_str bytes = {archive->map.ptr + info->offset, (size_t)info->bytes};
    LM_ASSERT(lm_head_read(bytes, info->offset, &arena, &head) == LM_OK);
    lm_arena_fini(&arena);
    lm_buf *of = p->of[index];
    const uint8_t *at = bytes.ptr + head.head_bytes;
    p->is_raw[index] = head.kind == LM_SEGMENT_RAW;
    take(p, &of[PART_HEAD], bytes.ptr + LM_SEGMENT_HEAD_BYTES,
         (size_t)head.head_bytes - LM_SEGMENT_HEAD_BYTES);
    unpack_into(p, &of[PART_TEMPLATES], (lm_str){at, (size_t)head.templates_bytes},
                head.templates_bytes ? (size_t)head.templates_raw : 0);
    at += head.templates_bytes;
    if (p->is_raw[index]) {
        take(p, &of[PART_DIRECTORY], at, (size_t)head.directory_bytes);
    } else {
        lm_reader r = lm_reader_of(at, (size_t)head.directory_bytes);
        (void)lm_reader_bytes(&r, (size_t)lm_reader_varint(&r)); /* grams: bits, right or wrong */
        size_t plain_len = (size_t)lm_reader_varint(&r);
        unpack_into(p, &of[PART_DIRECTORY], (lm_str){r.ptr, lm_reader_left(&r)}, plain_len);
    }
    at += head.directory_bytes;
    take(p, &of[PART_BLOCKS], at, (size_t)head.blocks_bytes);
    p->segment_count++;
}

/** The archive that edits apply to: packed once, a few segments of columns and of plain text, or
 * one long one. */
static const char *base_archive(bool is_long)
{
    static char paths_of[2][64];
    char *path = paths_of[is_long];
    lm_buf log;
    lm_mem *mem = NULL;
    lm_pack_report report;
    char folder[] = "/tmp/logmill-fuzz-XXXXXX", in[64], out[64];
    if (path[0]) return path;
    LM_ASSERT(lm_mem_new(NULL, 0, &mem) == LM_OK);
    lm_buf_init(&log, mem);
    if (is_long)
        put_long_log(&log);
    else
        put_log(&log);
    int fd = memfd_create("log", 0);
    if (fd < 0 || write(fd, log.ptr, log.len) != (ssize_t)log.len || !mkdtemp(folder)) abort();
    snprintf(in, sizeof in, "/proc/self/fd/%d", fd);
    snprintf(out, sizeof out, "%s/a.lm", folder);
    const char *paths[] = {in};
    lm_pack_options options = {.level = LM_LEVEL_DEFAULT,
                               .segment_bytes = is_long ? 4 << 20 : 14000};
    LM_ASSERT(lm_archive_pack(mem, NULL, paths, 1, &options, out, NULL, NULL, &report) == LM_OK);
    close(fd);
    log.len = 0;
    LM_ASSERT(lm_file_read_all(out, 1 << 24, &log) == LM_OK);
    fd = memfd_create("archive", 0); /* kept open: its name is its life */
    if (fd < 0 || write(fd, log.ptr, log.len) != (ssize_t)log.len) abort();
    snprintf(path, sizeof paths_of[0], "/proc/self/fd/%d", fd);
    lm_buf_fini(&log);
    lm_mem_free(mem);
    remove(out);
    rmdir(folder);
    return path;
}

static void parts_make(lm_mem *mem, bool is_long, parts *p)
{
    lm_archive *archive = NULL;
    *p = (parts){.mem = mem, .path = base_archive(is_long)};
    LM_ASSERT(lm_archive_open(mem, p->path, false, &archive) == LM_OK);
    size_t n = lm_archive_segment_count(archive);
    for (size_t i = 0; i < n && i < SEGMENTS_MAX; i++)
        take_segment(p, archive, i);
    take(p, &p->meta, archive->meta_bytes, archive->meta_len);
    lm_archive_close(archive);
}

static void parts_fini(parts *p)
{
    for (size_t i = 0; i < p->segment_count; i++) {
        for (size_t k = 0; k < PART_COUNT; k++)
            lm_buf_fini(&p->of[i][k]);
        for (size_t c = 0; p->columns[i] && c < COLUMNS_MAX; c++)
            lm_buf_fini(&p->columns[i][c].values);
        lm_mem_release(p->mem, p->columns[i], COLUMNS_MAX * sizeof *p->columns[i]);
    }
    lm_buf_fini(&p->meta);
}

static void edit_bytes(lm_buf *part, size_t at, uint8_t way, uint8_t byte)
{
    switch (way & 7) {
    case 0:
        part->ptr[at] = byte;
        return;
    case 1:
        part->ptr[at] ^= (uint8_t)(1u << (byte & 7));
        return;
    case 2:
        part->ptr[at] = (uint8_t)(part->ptr[at] + byte);
        return;
    case 3:
        part->len = at;
        return;
    case 4:
        memset(part->ptr + at, byte, part->len - at < 10 ? part->len - at : 10);
        return;
    case 5:
        memmove(part->ptr + at, part->ptr + at + 1, --part->len - at);
        return;
    default:
        LM_ASSERT(lm_buf_reserve(part, 1) == LM_OK);
        memmove(part->ptr + at + 1, part->ptr + at, part->len++ - at);
        part->ptr[at] = byte;
    }
}

/* ---- edits of columns ---- */

static size_t value_bytes(const lm_column *c)
{
    return c->type == LM_COLUMN_INT    ? 8
           : c->type == LM_COLUMN_ID   ? 4
           : c->type == LM_COLUMN_WIDE ? c->width
                                       : 1;
}

static void take_columns(parts *p, size_t index)
{
    lm_archive *archive = NULL;
    lm_segment *segment = NULL;
    LM_ASSERT(lm_archive_open(p->mem, p->path, false, &archive) == LM_OK);
    LM_ASSERT(lm_segment_open(archive, index, &segment) == LM_OK);
    plain_column *columns = lm_mem_calloc(p->mem, COLUMNS_MAX, sizeof *columns);
    LM_ASSERT(columns && lm_columns_count(segment->columns) < COLUMNS_MAX / 2);
    for (size_t c = 0; c < COLUMNS_MAX; c++)
        lm_buf_init(&columns[c].values, p->mem);
    p->column_count[index] = lm_columns_count(segment->columns);
    for (size_t c = 0; c < p->column_count[index]; c++) {
        lm_column *about = &columns[c].about;
        LM_ASSERT(lm_columns_decode(segment->columns, c, &segment->arena, about) == LM_OK);
        take(p, &columns[c].values, about->bytes, value_bytes(about) * about->count);
    }
    p->columns[index] = columns;
    lm_segment_close(segment);
    lm_archive_close(archive);
}

/** Numbers at which arithmetic goes wrong. */
static uint64_t edge_number(uint8_t byte)
{
    static const int64_t numbers[] = {0,         1,         -1,        INT64_MIN,
                                      INT64_MAX, INT32_MAX, INT32_MIN, UINT32_MAX};
    return (uint64_t)numbers[byte & 7] + (byte >> 3 & 7) - (byte >> 6);
}

static void edit_ints(plain_column *c, size_t at, uint8_t way, uint8_t byte)
{
    uint64_t value;
    memcpy(&value, c->values.ptr + 8 * at, 8);
    value = (way & 3) == 0   ? edge_number(byte)
            : (way & 3) == 1 ? value ^ (uint64_t)1 << (byte & 63)
            : (way & 3) == 2 ? value + (uint64_t)(int8_t)byte
                             : value * byte;
    memcpy(c->values.ptr + 8 * at, &value, 8);
    for (size_t i = at + 1; way & 4 && i < c->about.count; i++)
        memcpy(c->values.ptr + 8 * i, &value, 8);
}

static void edit_ids(plain_column *c, size_t at, uint8_t way, uint8_t byte)
{
    uint32_t id = byte;
    if ((way & 3) == 0) c->about.alphabet += byte;
    if ((way & 3) == 1) id = c->about.alphabet - 1;
    if (id >= c->about.alphabet) id = 0;
    memcpy(c->values.ptr + 4 * at, &id, 4);
    for (size_t i = at + 1; way & 4 && i < c->about.count; i++)
        memcpy(c->values.ptr + 4 * i, &id, 4);
}

/** A column may shrink or grow: what counts is how many values it has. */
static void settle_count(plain_column *c)
{
    size_t count = c->values.len / value_bytes(&c->about);
    if (count != c->about.count) c->about.group = 0; /* its sisters have as many as before */
    c->about.count = (uint32_t)count;
}

/** From at on once more, so many times. */
static void repeat(plain_column *c, size_t at, unsigned times)
{
    size_t from = at * value_bytes(&c->about), len = c->values.len - from;
    for (unsigned i = 0; i < times && c->values.len < COLUMN_BYTES_MAX; i++) {
        LM_ASSERT(lm_buf_reserve(&c->values, len) == LM_OK);
        memcpy(c->values.ptr + c->values.len, c->values.ptr + from, len);
        c->values.len += len;
    }
}

static void swap_columns(plain_column *a, plain_column *b)
{
    plain_column swap = *a;
    *a = *b;
    *b = swap;
}

/** Of another type, with the same bytes as far as they are good for it. */
static void retype(plain_column *c, uint8_t byte)
{
    c->about.type = (lm_column_type)(LM_COLUMN_INT + (byte & 3));
    c->about.width = c->about.type == LM_COLUMN_WIDE ? 1 + (byte >> 2) : 0;
    c->about.alphabet = c->about.type == LM_COLUMN_ID ? 1 : 0;
    c->values.len -= c->values.len % value_bytes(&c->about);
    c->about.group = 0;
    if (c->about.type == LM_COLUMN_ID) memset(c->values.ptr, 0, c->values.len);
}

static void edit_column(parts *p, size_t segment, const uint8_t *e)
{
    if (p->is_raw[segment]) return;
    if (!p->columns[segment]) take_columns(p, segment);
    size_t *count = &p->column_count[segment], index = e[1] % *count;
    plain_column *c = &p->columns[segment][index];
    if (!c->about.count) return;
    size_t at = (size_t)(e[2] | e[3] << 8) % c->about.count;
    switch (e[4] >> 3 & 7) {
    case 0:
        repeat(c, at, e[5]);
        break;
    case 1:
        c->values.len = at * value_bytes(&c->about);
        break;
    case 2:
        swap_columns(c, &p->columns[segment][e[5] % *count]);
        return;
    case 3:
        retype(c, e[5]);
        break;
    default:
        if (c->about.type == LM_COLUMN_INT)
            edit_ints(c, at, e[4], e[5]);
        else if (c->about.type == LM_COLUMN_ID)
            edit_ids(c, at, e[4], e[5]);
        else
            edit_bytes(&c->values, at, e[4], e[5]);
    }
    settle_count(c);
}

/** Encoded anew, in the place of what the segment had. */
static void put_columns(parts *p, size_t segment)
{
    static lm_column columns[COLUMNS_MAX];
    lm_buf *of = p->of[segment], stored;
    if (!p->columns[segment]) return;
    for (size_t c = 0; c < p->column_count[segment]; c++) {
        plain_column *from = &p->columns[segment][c];
        columns[c] = from->about;
        columns[c].bytes = from->values.ptr ? from->values.ptr : (const uint8_t *)"";
    }
    lm_buf_init(&stored, p->mem);
    lm_buf_fini(&of[PART_DIRECTORY]);
    of[PART_BLOCKS].len = 0;
    LM_ASSERT(lm_columns_encode(p->mem, NULL, columns, p->column_count[segment], LM_LEVEL_FAST,
                                &of[PART_BLOCKS], &stored, NULL) == LM_OK);
    lm_reader r = lm_reader_of(stored.ptr, stored.len);
    size_t plain_len = (size_t)lm_reader_varint(&r);
    unpack_into(p, &of[PART_DIRECTORY], (lm_str){r.ptr, lm_reader_left(&r)}, plain_len);
    lm_buf_fini(&stored);
}

/** segment and part, place (2), way, byte. */
static void edit(parts *p, const uint8_t *e)
{
    size_t segment = e[0] & 15;
    if (e[0] & EDIT_COLUMN && p->segment_count) {
        edit_column(p, segment % p->segment_count, e);
        return;
    }
    lm_buf *part = segment < p->segment_count ? &p->of[segment][e[1] % PART_COUNT] : &p->meta;
    size_t at = (size_t)(e[2] | e[3] << 8);
    if (!part->len) return;
    p->is_meta_edited = p->is_meta_edited || part == &p->meta;
    edit_bytes(part, at % part->len, e[4], e[5]);
}

/** The checksums of the blocks stand at the end of the directory: le32 each. Lengths are where an
 * edit may have left them. */
static void repair_blocks(const lm_buf *directory, const lm_buf *blocks)
{
    lm_reader r = lm_reader_of(directory->ptr, directory->len);
    (void)lm_reader_varint(&r); /* columns */
    size_t count = (size_t)lm_reader_varint(&r), offset = 0;
    if (r.failed || count > directory->len / 6) return;
    (void)lm_reader_bytes(&r, count); /* kinds */
    uint8_t *checks = directory->ptr + directory->len - 4 * count;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)lm_reader_varint_max(&r, blocks->len - offset);
        if (r.failed) return;
        put_le32(checks + 4 * i, (uint32_t)lm_hash64(blocks->ptr + offset, len));
        offset += len;
    }
}

static void put_varint_back(lm_buf *out, uint64_t value)
{
    LM_ASSERT(lm_buf_varint(out, value) == LM_OK);
}

/** One segment from its parts. The head keeps its fields up to the lengths, which are written anew.
 */
static void put_segment(parts *p, size_t index, lm_buf *out)
{
    lm_buf *of = p->of[index], templates, directory, head_bytes;
    lm_mem *mem = p->mem;
    lm_buf_init(&templates, mem);
    lm_buf_init(&directory, mem);
    lm_buf_init(&head_bytes, mem);
    if (of[PART_TEMPLATES].len)
        LM_ASSERT(lm_bytes_encode(mem, (lm_str){of[PART_TEMPLATES].ptr, of[PART_TEMPLATES].len},
                                  LM_LEVEL_FAST, &templates) == LM_OK);
    if (p->is_raw[index]) {
        LM_ASSERT(lm_buf_append(&directory, of[PART_DIRECTORY].ptr, of[PART_DIRECTORY].len) ==
                  LM_OK);
    } else {
        repair_blocks(&of[PART_DIRECTORY], &of[PART_BLOCKS]);
        put_varint_back(&directory, 0); /* no grams */
        put_varint_back(&directory, of[PART_DIRECTORY].len);
        LM_ASSERT(lm_bytes_encode(mem, (lm_str){of[PART_DIRECTORY].ptr, of[PART_DIRECTORY].len},
                                  LM_LEVEL_FAST, &directory) == LM_OK);
    }
    /* what the head says of lengths would seldom be right: read it as if all were empty, set them,
     * write it again */
    lm_arena arena;
    lm_segment_head head;
    lm_arena_init(&arena, mem);
    LM_ASSERT(lm_buf_le32(&head_bytes, LM_SEGMENT_MAGIC) == LM_OK &&
              lm_buf_le32(&head_bytes, (uint32_t)of[PART_HEAD].len) == LM_OK);
    LM_ASSERT(lm_buf_le32(&head_bytes, (uint32_t)lm_hash64(of[PART_HEAD].ptr, of[PART_HEAD].len)) ==
              LM_OK);
    LM_ASSERT(lm_buf_append(&head_bytes, of[PART_HEAD].ptr, of[PART_HEAD].len) == LM_OK);
    size_t head_len = head_bytes.len;
    LM_ASSERT(lm_buf_reserve(&head_bytes, 1 << 20) == LM_OK);
    memset(head_bytes.ptr + head_len, 0, 1 << 20); /* room that its lengths may claim */
    if (lm_head_read((lm_str){head_bytes.ptr, head_len + (1 << 20)}, out->len, &arena, &head) ==
        LM_OK) {
        head.templates_raw = of[PART_TEMPLATES].len;
        head.templates_bytes = templates.len;
        head.directory_bytes = directory.len;
        head.blocks_bytes = of[PART_BLOCKS].len;
        head.templates_check = (uint32_t)lm_hash64(templates.ptr, templates.len);
        head.directory_check = (uint32_t)lm_hash64(directory.ptr, directory.len);
        LM_ASSERT(lm_head_write(&head, out) == LM_OK);
    } else {
        LM_ASSERT(lm_buf_append(out, head_bytes.ptr, head_len) == LM_OK);
    }
    LM_ASSERT(lm_buf_append(out, templates.ptr, templates.len) == LM_OK &&
              lm_buf_append(out, directory.ptr, directory.len) == LM_OK);
    LM_ASSERT(lm_buf_append(out, of[PART_BLOCKS].ptr, of[PART_BLOCKS].len) == LM_OK);
    lm_arena_fini(&arena);
    lm_buf_fini(&templates);
    lm_buf_fini(&directory);
    lm_buf_fini(&head_bytes);
}

/** Edits change how long segments are: a list that is not edited itself follows. */
static void meta_follow(parts *p, const size_t *segment_bytes)
{
    lm_arena arena;
    lm_archive_meta meta = {0};
    lm_buf edited;
    lm_arena_init(&arena, p->mem);
    lm_buf_init(&edited, p->mem);
    LM_ASSERT(lm_meta_read((lm_str){p->meta.ptr, p->meta.len}, &arena, &meta) == LM_OK);
    for (size_t i = 0; i < p->segment_count; i++)
        meta.segments[i].bytes = segment_bytes[i];
    LM_ASSERT(lm_meta_write(&meta, &edited) == LM_OK);
    lm_buf_fini(&p->meta);
    p->meta = edited;
    lm_arena_fini(&arena);
}

static void parts_join(parts *p, lm_buf *out)
{
    size_t segment_bytes[SEGMENTS_MAX];
    LM_ASSERT(lm_buf_append(out, LM_ARCHIVE_MAGIC, sizeof LM_ARCHIVE_MAGIC - 1) == LM_OK);
    for (size_t i = 0; i < p->segment_count; i++) {
        size_t begin = out->len;
        put_columns(p, i);
        put_segment(p, i, out);
        segment_bytes[i] = out->len - begin;
    }
    if (!p->is_meta_edited) meta_follow(p, segment_bytes);
    uint64_t offset = out->len;
    put_varint_back(out, p->meta.len);
    LM_ASSERT(lm_bytes_encode(p->mem, (lm_str){p->meta.ptr, p->meta.len}, LM_LEVEL_FAST, out) ==
              LM_OK);
    size_t len = out->len - (size_t)offset;
    uint32_t check = (uint32_t)lm_hash64_seed(out->ptr + offset, len, offset);
    LM_ASSERT(lm_buf_le32(out, (uint32_t)len) == LM_OK && lm_buf_le32(out, check) == LM_OK);
    LM_ASSERT(lm_buf_append(out, LM_FOOTER_MAGIC, sizeof LM_FOOTER_MAGIC - 1) == LM_OK);
}

/** Bytes as a file in memory; path has 64 bytes. Its descriptor. */
static int file_of(const uint8_t *bytes, size_t len, char *path)
{
    int fd = memfd_create("archive", 0);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/** The archive that the input stands for. */
static void archive_of(lm_mem *mem, const uint8_t *data, size_t size, lm_buf *out)
{
    if (size >= 8 && memcmp(data, LM_ARCHIVE_MAGIC, 8) == 0) {
        LM_ASSERT(lm_buf_append(out, data, size) == LM_OK);
        repair(mem, out->ptr, out->len);
        return;
    }
    parts p;
    parts_make(mem, size && data[0] & LONG_LOG, &p);
    for (size_t at = 0; at + 6 <= size && at < 6 * 64; at += 6)
        edit(&p, data + at);
    parts_join(&p, out);
    parts_fini(&p);
}

#endif

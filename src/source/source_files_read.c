/**
 * Reading: what is dirty goes into one buffer and one batch, the batch to the sink.
 *
 *     [records of file 1 | records of file 2 | ...      ]  1 MiB; more for a record that is longer
 *
 * A read is believed only after the file's first bytes and its size were looked at once more: then
 * it was not emptied and written anew before that, so what was read followed what was read before.
 */
#include "source/source_files_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define HOLD_SHORT   (200 * LM_NS) /* where records have always been one line */
#define HOLD_LONG    LM_SECOND
#define HOLD_ROTATED (2 * LM_SECOND)
#define PACE         (10 * LM_NS) /* between rounds that find little */
#define PACE_BYTES   65536u
#define SPACE_MIN    65536u /* less is not begun with */
#define LEARN_BYTES  16384u
#define CARRY_MAX    65536u
#define LONG_KEPT    (5 * LM_SECOND)
#define RETRY_LIMIT  (10 * LM_NS)
#define RETRY_FIRST  (200 * LM_NS)
#define RETRY_MAX    (5 * LM_SECOND)

typedef enum verdict {
    READ_DONE,    /* nothing more of it now */
    READ_MORE,    /* there is more, others first */
    READ_BLOCKED, /* something has to land first */
    READ_FULL     /* the batch goes first */
} verdict;

/* ---- held records ---------------------------------------------------------------------------- */

void lm_files_unhold(lm_files *files, lm_tail *tail)
{
    if (!tail->is_held) return;
    for (size_t i = 0; i < files->held_count; i++) {
        if (files->held[i] != tail) continue;
        files->held[i] = files->held[--files->held_count];
        break;
    }
    tail->is_held = false;
}

static void hold(lm_files *files, lm_tail *tail, uint64_t ns)
{
    tail->held_until_ns = files->now_ns + ns;
    if (tail->is_held) return;
    lm_err err = lm_vec_grow(files->mem, &files->held, &files->held_cap, files->held_count + 1,
                             sizeof(lm_tail *));
    if (err) { /* not held, then */
        tail->is_flushed = true;
        lm_tails_mark(&files->tails, tail);
        return;
    }
    files->held[files->held_count++] = tail;
    tail->is_held = true;
}

uint64_t lm_files_release_held(lm_files *files)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = files->held_count; i-- > 0;) {
        lm_tail *tail = files->held[i];
        if (tail->held_until_ns > files->now_ns) {
            if (tail->held_until_ns < next) next = tail->held_until_ns;
            continue;
        }
        lm_files_unhold(files, tail);
        tail->is_flushed = true;
        lm_tails_mark(&files->tails, tail);
    }
    return next;
}

/* ---- batches --------------------------------------------------------------------------------- */

static lm_err add_checkpoint(lm_files *files, lm_str key, lm_str value)
{
    lm_arena *arena = &files->batch.arena;
    lm_checkpoint *checkpoint = &files->checkpoints[files->checkpoint_count];
    LM_ASSERT(files->checkpoint_count <= BATCH_FILES_MAX);
    lm_err err = lm_source_copy(arena, key, &checkpoint->key);
    if (!err) err = lm_source_copy(arena, value, &checkpoint->value);
    files->checkpoint_count += !err;
    return err;
}

/** Where the tail stands goes with the batch; begin..end is what is sent again if it fails. */
static lm_err add_position(lm_files *files, lm_tail *tail, uint64_t begin, uint64_t end)
{
    char key[64];
    size_t key_len = lm_files_key(tail->device, tail->inode, key);
    lm_cargo *cargo = &files->building;
    lm_err err =
        lm_vec_grow(files->mem, &cargo->items, &cargo->cap, cargo->count + 1, sizeof *cargo->items);
    if (err) return err;
    uint64_t offset = tail->gap_next > tail->offset ? tail->gap_next : tail->offset;
    bool has_name = tail->is_unsaved && (!tail->is_rotated || tail->is_copy);
    if (has_name) lm_files_link_back(files, tail);
    lm_position position = {.offset = offset,
                            .head = tail->head,
                            .is_done = tail->kind == LM_TAIL_DONE,
                            .before_device = tail->before_device,
                            .before_inode = tail->before_inode,
                            .path = lm_str_of(tail->name)};
    lm_buf value;
    lm_buf_init(&value, files->mem);
    err = lm_position_print(&position, &value);
    if (!err)
        err = add_checkpoint(files, (lm_str){(const uint8_t *)key, key_len},
                             (lm_str){value.ptr, value.len});
    lm_buf_fini(&value);
    if (err) return err;
    if (has_name) { /* which file has it */
        char at[LM_FILES_AT_MAX];
        lm_str at_key = lm_files_key_at(lm_str_of(tail->path), at);
        lm_str id = {(const uint8_t *)key + 5, key_len - 5}; /* behind "file/" */
        err = add_checkpoint(files, at_key, id);
        if (err) return err;
    }
    tail->is_unsaved = false;
    cargo->items[cargo->count++] = (lm_cargo_item){tail, {begin, end, tail->offset}};
    tail->flying++; /* from now on: a batch that waits for the sink goes before what failed goes
                       back */
    return LM_OK;
}

static lm_err stream_of(lm_files *files, const lm_tail *tail, uint32_t *out)
{
    lm_label name = {LM_STR("filename"), lm_str_of(tail->name)};
    lm_labels labels;
    lm_err err = lm_source_labels(&files->source, &name, 1, &files->batch.arena, &labels);
    return err ? err : lm_record_batch_stream(&files->batch, labels, out);
}

/** Records of text, which is in the buffer or the arena. */
static lm_err cut(lm_files *files, lm_tail *tail, lm_str text, lm_lines_end end, size_t *out_used)
{
    uint32_t stream;
    *out_used = 0;
    lm_err err = stream_of(files, tail, &stream);
    if (err) return err;
    lm_lines_cut_options options = {.end = end,
                                    .stream = stream,
                                    .now_ns = lm_clock_wall_ns(),
                                    .bytes_max = LM_SOURCE_BUFFER_MAX};
    return lm_lines_cut(tail->lines, text, &options, &files->batch, out_used);
}

static lm_err make_lines(lm_files *files, lm_tail *tail)
{
    if (tail->lines) return LM_OK;
    tail->learned = 0;
    return lm_lines_new(files->formats, true, files->start_pattern, &tail->lines);
}

/** Learns from the file's beginning, and again when there is much more of it. */
static lm_err learn(lm_files *files, lm_tail *tail)
{
    lm_err err = make_lines(files, tail);
    bool is_due = !err && (tail->learned == 0 ||
                           (tail->learned < LEARN_BYTES && tail->size >= 4 * tail->learned));
    if (!is_due) return err;
    uint8_t head[LEARN_BYTES];
    ssize_t len = pread(tail->fd, head, sizeof head, 0);
    if (len < 0) return lm_fail_errno("cannot read '%s'", tail->path);
    tail->learned = (uint64_t)len;
    return lm_lines_learn(tail->lines, (lm_str){head, (size_t)len});
}

/* ---- one file -------------------------------------------------------------------------------- */

/** The file was emptied. What was read of it is remembered; what was not may be in a copy. */
static lm_err start_over(lm_files *files, lm_tail *tail)
{
    lm_source_note(&files->source, 6, "file_emptied", "'%s' was emptied at %llu bytes", tail->path,
                   (unsigned long long)tail->offset);
    lm_position position = {
        .offset = tail->offset, .head = tail->head, .path = lm_str_of(tail->name)};
    lm_err err = lm_tails_remember(&files->tails, &position);
    if (err) return err;
    bool has_copy = lm_files_find_copy(files, tail);
    if (!has_copy && tail->carry.len && tail->lines) {
        size_t used;
        lm_str text = {tail->carry.ptr, tail->carry.len};
        err = lm_source_copy(&files->batch.arena, text, &text);
        if (err) return err;
        err = cut(files, tail, text, LM_LINES_ALL, &used);
    }
    tail->carry.len = 0;
    tail->offset = tail->scanned = tail->learned = 0;
    tail->head = (lm_head){0};
    tail->is_judged = false; /* its number may be another file's by now, that of a packed one */
    tail->is_flushed = false;
    lm_files_unhold(files, tail);
    tail->landed = (lm_flown){0};
    return err ? err : add_position(files, tail, 0, 0);
}

/** Is it still the file that was read, grown at its end? Looks at its first bytes. */
static lm_err look_at_head(lm_tail *tail, const uint8_t *text, size_t len, bool *out_same)
{
    uint8_t bytes[LM_HEAD_MAX];
    if (tail->offset > 0) {
        ssize_t got = pread(tail->fd, bytes, sizeof bytes, 0);
        if (got < 0) return lm_fail_errno("cannot read '%s'", tail->path);
        text = bytes;
        len = (size_t)got;
    }
    *out_same = lm_head_fits(tail->head, text, len);
    if (*out_same && tail->head.len < LM_HEAD_MAX && len > tail->head.len)
        tail->head = lm_head_of(text, len);
    return LM_OK;
}

/** Does a line end between what was looked at and the end? For a long line that comes in pieces. */
static bool has_line_end(lm_files *files, lm_tail *tail)
{
    while (tail->scanned < tail->size) {
        uint8_t *room = files->text.ptr + files->text.len;
        size_t cap = files->text.cap - files->text.len;
        ssize_t got = pread(tail->fd, room, cap, (off_t)tail->scanned);
        if (got <= 0) return got < 0;
        if (memchr(room, '\n', (size_t)got)) return true;
        tail->scanned += (uint64_t)got;
    }
    return tail->scanned - tail->offset >= LM_SOURCE_BUFFER_MAX;
}

static void keep_carry(lm_tail *tail, const uint8_t *text, size_t len)
{
    tail->carry.len = 0;
    if (len > 0 && len <= CARRY_MAX && lm_buf_append(&tail->carry, text, len))
        tail->carry.len = 0; /* kept only where memory is at hand */
}

/** What is left at the end of the file waits; for how long? */
static void hold_rest(lm_files *files, lm_tail *tail, lm_str rest)
{
    keep_carry(tail, rest.ptr, rest.len);
    bool has_line = memchr(rest.ptr, '\n', rest.len) != NULL;
    if (tail->is_rotated) {
        hold(files, tail, HOLD_ROTATED);
    } else if (has_line) {
        hold(files, tail, lm_lines_have_joined(tail->lines) ? HOLD_LONG : HOLD_SHORT);
    }
}

/** Grow the buffer for a record that is longer than it. Only while nothing is in it. */
static lm_err grow_text(lm_files *files)
{
    size_t cap = files->text.cap * 2;
    if (cap > LM_SOURCE_BUFFER_MAX) cap = LM_SOURCE_BUFFER_MAX;
    files->long_until_ns = files->now_ns + LONG_KEPT;
    return lm_buf_reserve(&files->text, cap);
}

static lm_err read_live(lm_files *files, lm_tail *tail, verdict *out)
{
    struct stat info;
    size_t had = files->batch.record_count, used = 0;
    *out = READ_DONE;
    if (fstat(tail->fd, &info)) return lm_fail_errno("cannot look at '%s'", tail->path);
    tail->size = (uint64_t)info.st_size;
    bool is_same = tail->size >= tail->offset;
    size_t got = 0;
    uint8_t *text = files->text.ptr + files->text.len;
    bool is_gap = tail->gap_end > tail->offset;
    uint64_t end = is_gap ? tail->gap_end : tail->size;
    if (is_same) {
        bool is_partial = !tail->is_flushed && !is_gap && tail->scanned > tail->offset + SPACE_MIN;
        if (is_partial && !has_line_end(files, tail)) return LM_OK;
        size_t space = files->text.cap - files->text.len;
        size_t want = end - tail->offset < space ? (size_t)(end - tail->offset) : space;
        ssize_t len = want ? pread(tail->fd, text, want, (off_t)tail->offset) : 0;
        if (len < 0) return lm_fail_errno("cannot read '%s'", tail->path);
        got = (size_t)len;
        lm_err err = look_at_head(tail, text, got, &is_same);
        if (err) return err;
        if (fstat(tail->fd, &info)) return lm_fail_errno("cannot look at '%s'", tail->path);
        if ((uint64_t)info.st_size < tail->offset + got) is_same = false;
    }
    if (!is_same) {
        *out = tail->flying ? READ_BLOCKED : READ_MORE;
        return tail->flying ? LM_OK : start_over(files, tail);
    }
    tail->size = (uint64_t)info.st_size;
    bool is_at_end = tail->offset + got == tail->size;
    if (got == 0) {
        if (tail->is_rotated && tail->offset == tail->size) tail->is_drained = true;
        tail->is_flushed = false;
        return tail->is_unsaved ? add_position(files, tail, tail->offset, tail->offset) : LM_OK;
    }
    if (tail->offset == 0 && !tail->is_judged && lm_files_judge(files, tail, text, got)) {
        if (tail->kind == LM_TAIL_LIVE) *out = READ_MORE;
        return LM_OK;
    }
    lm_err err = learn(files, tail);
    if (err) return err;
    bool is_whole = got == files->text.cap && files->text.len == 0;
    lm_lines_end how = LM_LINES_HOLD;
    if (is_gap && tail->offset + got == tail->gap_end) how = LM_LINES_ALL;
    bool is_quiet = tail->offset + got == tail->scanned; /* nothing came since it was held */
    if (tail->is_flushed && is_at_end && is_quiet)
        how = tail->is_rotated ? LM_LINES_ALL : LM_LINES_WHOLE;
    if (is_whole && files->text.cap >= LM_SOURCE_BUFFER_MAX && !is_at_end) {
        /* the longest record there may be: what has no end by now is cut */
        err = cut(files, tail, (lm_str){text, got}, LM_LINES_HOLD, &used);
        if (!err && used == 0) how = LM_LINES_ALL;
    }
    if (!err && used == 0) err = cut(files, tail, (lm_str){text, got}, how, &used);
    if (err && used == 0) return err; /* what was cut is sent, the rest read again */
    uint64_t begin = tail->offset, stop = begin + used;
    tail->offset = stop;
    files->text.len += used;
    if (is_gap && tail->offset >= tail->gap_end) {
        tail->offset = tail->gap_next;
        tail->gap_end = tail->gap_next = 0;
        *out = READ_MORE;
    }
    if (used == 0 && !is_at_end) { /* a record that is longer than the buffer */
        *out = files->text.len ? READ_FULL : READ_MORE;
        return files->text.len ? LM_OK : grow_text(files);
    }
    lm_files_unhold(files, tail);
    if (!is_at_end) {
        tail->scanned = tail->offset;
        *out = READ_MORE;
    } else {
        tail->scanned = stop + (got - used);
        tail->is_flushed = false;
        if (got > used) hold_rest(files, tail, (lm_str){text + used, got - used});
        if (got == used) tail->carry.len = 0;
        if (got == used && tail->is_rotated) tail->is_drained = true;
    }
    if (used == 0) return LM_OK;
    LM_ASSERT(files->batch.record_count > had);
    return add_position(files, tail, begin, stop);
}

/* ---- packed files ---------------------------------------------------------------------------- */

/** Does the plain file begin with these bytes? One that was deleted after it was packed may have
 * got further lines, and so a longer head than the packed text has. */
static bool begins_with(const lm_tail *plain, const uint8_t *head, size_t len)
{
    uint8_t bytes[LM_HEAD_MAX];
    if (plain->head.len <= len || !plain->is_gone || plain->fd < 0)
        return lm_head_fits(plain->head, head, len);
    return pread(plain->fd, bytes, len, 0) == (ssize_t)len && memcmp(bytes, head, len) == 0;
}

/** Its text is known by its first bytes and its length: is it that of a file that was read? */
static void judge_packed(lm_files *files, lm_tail *tail, const uint8_t *head, size_t len)
{
    uint64_t from = tail->unpacked_from;
    const lm_position *former = lm_tails_remembered(&files->tails, head, len);
    if (former && former->offset > from) from = former->offset;
    for (size_t i = 0; i < files->tails.count; i++) {
        const lm_tail *other = files->tails.all[i];
        bool is_plain = other->kind == LM_TAIL_LIVE && other->head.len > 0;
        if (!is_plain || other->size < tail->unpacked_len) continue;
        if (begins_with(other, head, len)) from = tail->unpacked_len; /* it is read there */
    }
    tail->unpacked_from = from;
    if (from >= tail->unpacked_len) {
        tail->kind = LM_TAIL_DONE;
        tail->offset = tail->unpacked_len;
    }
}

static void end_packed(lm_files *files, lm_tail *tail)
{
    lm_unpacked_close(tail->unpacked);
    tail->unpacked = NULL;
    lm_mem_release(files->mem, tail->unpacked_hold, tail->unpacked_hold_cap);
    tail->unpacked_hold = NULL;
    tail->unpacked_hold_len = tail->unpacked_hold_cap = 0;
    lm_lines_free(tail->lines);
    tail->lines = NULL;
    if (tail->kind == LM_TAIL_DONE) lm_tails_close(&files->tails, tail);
}

/** The text up to where records are wanted is passed over. True: the end of the file. */
static lm_err read_unpacked(lm_tail *tail, uint8_t *dst, size_t cap, size_t *out_len, bool *out_end)
{
    size_t len = 0;
    *out_end = false;
    while (len < cap) {
        size_t got;
        lm_err err = lm_unpacked_read(tail->unpacked, dst + len, cap - len, &got);
        bool is_cut_short = err == LM_E_CORRUPT && tail->is_damaged;
        if (err && !is_cut_short) return err;
        if (is_cut_short || got == 0) {
            *out_end = true;
            break;
        }
        len += got;
    }
    *out_len = len;
    return LM_OK;
}

/** First time through: how long is the text, how does it begin? */
static lm_err measure(lm_files *files, lm_tail *tail, verdict *out)
{
    uint8_t *room = files->text.ptr + files->text.len;
    size_t cap = files->text.cap - files->text.len, len;
    bool is_end;
    lm_err err = read_unpacked(tail, room, cap, &len, &is_end);
    if (err) return err;
    if (tail->unpacked_at == 0) {
        uint8_t raw[LM_HEAD_MAX];
        ssize_t got = pread(tail->fd, raw, sizeof raw, 0);
        if (got < 0) return lm_fail_errno("cannot read '%s'", tail->path);
        tail->head = lm_head_of(raw, (size_t)got);
        tail->unpacked_hold = lm_mem_alloc(files->mem, LM_HEAD_MAX);
        if (!tail->unpacked_hold) return lm_mem_err();
        tail->unpacked_hold_cap = LM_HEAD_MAX;
        tail->unpacked_hold_len = len < LM_HEAD_MAX ? len : LM_HEAD_MAX;
        if (tail->unpacked_hold_len) memcpy(tail->unpacked_hold, room, tail->unpacked_hold_len);
    }
    tail->unpacked_at += len;
    *out = READ_MORE;
    if (!is_end) return LM_OK;
    tail->unpacked_len = tail->unpacked_at;
    tail->is_measured = true;
    judge_packed(files, tail, tail->unpacked_hold, tail->unpacked_hold_len);
    end_packed(files, tail);
    if (tail->kind != LM_TAIL_DONE) return LM_OK;
    *out = READ_DONE;
    return add_position(files, tail, tail->offset, tail->offset);
}

/** Second time: its records, from where they are wanted. */
static lm_err read_records(lm_files *files, lm_tail *tail, verdict *out)
{
    uint8_t *text = files->text.ptr + files->text.len;
    size_t cap = files->text.cap - files->text.len, len, used = 0, kept = tail->unpacked_hold_len;
    bool is_end = false;
    *out = READ_MORE;
    if (kept + SPACE_MIN > cap) {
        *out = files->text.len ? READ_FULL : READ_MORE;
        return files->text.len ? LM_OK : grow_text(files);
    }
    if (kept) memcpy(text, tail->unpacked_hold, kept);
    lm_err err = read_unpacked(tail, text + kept, cap - kept, &len, &is_end);
    if (err) return err;
    uint64_t begin = tail->unpacked_at - kept; /* of text */
    if (tail->learned == 0) {
        err = make_lines(files, tail);
        if (!err)
            err =
                lm_lines_learn(tail->lines, (lm_str){text, len < LEARN_BYTES ? len : LEARN_BYTES});
        if (err) return err;
        tail->learned = 1;
    }
    tail->unpacked_at += len;
    len += kept;
    size_t skipped = 0;
    if (begin < tail->unpacked_from) {
        uint64_t left = tail->unpacked_from - begin;
        skipped = left < len ? (size_t)left : len;
    }
    lm_str rest = {text + skipped, len - skipped};
    if (rest.len) {
        bool is_cut = rest.len >= LM_SOURCE_BUFFER_MAX - SPACE_MIN;
        err = cut(files, tail, rest, is_end ? LM_LINES_ALL : LM_LINES_HOLD, &used);
        if (!err && used == 0 && is_cut) err = cut(files, tail, rest, LM_LINES_ALL, &used);
        if (err) return err;
    }
    uint64_t from = begin + skipped, stop = from + used;
    if (stop > tail->unpacked_from) tail->unpacked_from = stop;
    rest.ptr += used;
    rest.len -= used;
    if (tail->unpacked_hold_cap < rest.len) {
        uint8_t *moved =
            lm_mem_resize(files->mem, tail->unpacked_hold, tail->unpacked_hold_cap, rest.len);
        if (!moved) return lm_mem_err();
        tail->unpacked_hold = moved;
        tail->unpacked_hold_cap = rest.len;
    }
    if (rest.len) memcpy(tail->unpacked_hold, rest.ptr, rest.len);
    tail->unpacked_hold_len = rest.len;
    files->text.len += skipped + used;
    tail->offset = tail->unpacked_from;
    if (is_end) {
        tail->kind = LM_TAIL_DONE;
        end_packed(files, tail);
        *out = READ_DONE;
    }
    return used || is_end ? add_position(files, tail, from, stop) : LM_OK;
}

static lm_err read_packed(lm_files *files, lm_tail *tail, verdict *out)
{
    lm_err err = LM_OK;
    if (!tail->unpacked) {
        err = lm_unpacked_open(files->mem, tail->fd, &tail->unpacked);
        if (err) return err;
        tail->unpacked_at = 0;
        tail->learned = 0;
        tail->unpacked_hold_len = 0;
    }
    err = tail->is_measured ? read_records(files, tail, out) : measure(files, tail, out);
    if (err && tail->kind == LM_TAIL_PACKED) end_packed(files, tail);
    return err;
}

/* ---- a round --------------------------------------------------------------------------------- */

static verdict read_tail(lm_files *files, lm_tail *tail)
{
    verdict what = READ_DONE;
    if (tail->kind == LM_TAIL_COPY) return READ_DONE;
    if (tail->flying >= LM_FLIGHTS_EACH || tail->is_failed) return READ_BLOCKED;
    if (tail->after) {
        lm_tail *before = tail->after;
        if (before->kind == LM_TAIL_LIVE && before->is_dirty) return READ_BLOCKED;
        tail->after = NULL;
    }
    if (tail->kind == LM_TAIL_DONE) {
        lm_err err = add_position(files, tail, tail->offset, tail->offset);
        if (err) lm_source_note_err(&files->source, "file_unreadable");
        return READ_DONE;
    }
    lm_err err = lm_tails_open(&files->tails, tail);
    if (err == LM_E_NOTFOUND) {
        files->is_scan_wanted = true;
        return READ_DONE;
    }
    if (!err) {
        err = tail->kind == LM_TAIL_PACKED ? read_packed(files, tail, &what)
                                           : read_live(files, tail, &what);
    }
    if (!err) return what;
    lm_source_note_err(&files->source, "file_unreadable");
    if (tail->kind == LM_TAIL_PACKED && err == LM_E_CORRUPT) {
        tail->kind =
            LM_TAIL_DONE; /* what was good in it was sent; it is met again when it changes */
        return READ_DONE;
    }
    tail->mtime_ns = 0; /* a glance at it makes it dirty again */
    return READ_DONE;
}

/** Keys of files that are gone. */
static lm_err add_forgotten(lm_files *files)
{
    size_t at = 0;
    lm_err err = LM_OK;
    while (!err && at < files->forgotten.len && files->checkpoint_count < BATCH_FILES_MAX) {
        size_t len = lm_le16(files->forgotten.ptr + at);
        err = add_checkpoint(files, (lm_str){files->forgotten.ptr + at + 2, len}, LM_STR(""));
        if (!err) at += 2 + len;
    }
    if (at == 0) return err;
    if (at) memmove(files->forgotten.ptr, files->forgotten.ptr + at, files->forgotten.len - at);
    files->forgotten.len -= at;
    return err;
}

static lm_err add_read(lm_files *files)
{
    lm_buf value;
    lm_buf_init(&value, files->mem);
    lm_err err = lm_positions_print(files->tails.read, files->tails.read_count, &value);
    if (!err && value.len == 0) err = lm_buf_u8(&value, '\n'); /* this source has been here */
    if (!err)
        err = add_checkpoint(files, (lm_str){files->read_key.ptr, files->read_key.len},
                             (lm_str){value.ptr, value.len});
    lm_buf_fini(&value);
    if (!err) files->tails.is_read_changed = false;
    return err;
}

/** Fills batch and buffer from what is dirty. */
static void build(lm_files *files, bool *out_more)
{
    lm_record_batch_reset(&files->batch);
    files->text.len = 0;
    if (files->text.cap > 2 * LM_BATCH_BYTES && files->now_ns > files->long_until_ns) {
        lm_buf_fini(&files->text);
        if (lm_buf_reserve(&files->text, LM_BATCH_BYTES)) {
            lm_source_note_err(&files->source, "no_memory");
            files->retry_ns = files->now_ns + RETRY_FIRST;
            return;
        }
    }
    files->checkpoint_count = 0;
    files->building.count = 0;
    *out_more = false;
    lm_tail *blocked = NULL, *first = NULL;
    while (files->checkpoint_count < BATCH_FILES_MAX - 4) {
        if (files->text.cap - files->text.len < SPACE_MIN) break;
        if (files->batch.bytes >= LM_BATCH_BYTES) break;
        if (files->tails.dirty == first && first) break;
        lm_tail *tail = lm_tails_take(&files->tails);
        if (!tail) break;
        verdict what = read_tail(files, tail);
        if (what == READ_FULL) {
            lm_tails_mark_first(&files->tails, tail);
            *out_more = true;
            break;
        }
        if (what == READ_MORE) {
            *out_more = true;
            lm_tails_mark(&files->tails, tail);
            if (!first) first = tail;
        }
        if (what == READ_BLOCKED) {
            tail->is_dirty = true; /* is marked below */
            tail->next_dirty = blocked;
            blocked = tail;
        }
    }
    if (files->tails.dirty && (files->building.count || *out_more)) *out_more = true;
    while (blocked) {
        lm_tail *tail = blocked;
        blocked = tail->next_dirty;
        tail->is_dirty = false;
        lm_tails_mark(&files->tails, tail);
    }
    lm_err err = add_forgotten(files);
    if (!err && files->tails.is_read_changed) err = add_read(files);
    if (err) lm_source_note_err(&files->source, "no_memory");
}

/* ---- landing --------------------------------------------------------------------------------- */

/** All that flew of it is back and the part in failed was not kept: it is sent again, then what
 * follows whatever was kept behind it. */
static void go_back(lm_files *files, lm_tail *tail)
{
    lm_flown failed = tail->failed;
    tail->is_failed = false;
    if (tail->kind == LM_TAIL_DONE || tail->kind == LM_TAIL_PACKED) { /* unpacked anew */
        end_packed(files, tail);
        if (tail->is_measured) tail->kind = LM_TAIL_PACKED;
        tail->unpacked_from = tail->offset = failed.begin;
        return;
    }
    bool has_later = tail->landed.begin >= failed.end;
    uint64_t next = has_later ? tail->landed.next : failed.next;
    tail->gap_end = next > failed.end ? failed.end : 0;
    tail->gap_next = next > failed.end ? next : 0;
    tail->offset = tail->scanned = failed.begin;
}

static void land_item(lm_files *files, const lm_cargo_item *item, bool is_good)
{
    lm_tail *tail = item->tail;
    LM_ASSERT(tail->flying > 0);
    tail->flying--;
    bool is_empty = item->part.begin == item->part.end;
    if (is_good && !is_empty) tail->landed = item->part;
    if (!is_good && !is_empty) {
        if (!tail->is_failed || item->part.begin < tail->failed.begin) tail->failed = item->part;
        tail->is_failed = true;
    }
    if (tail->is_failed && tail->flying == 0) go_back(files, tail);
    if (!is_good) {
        tail->is_unsaved = true;
        lm_tails_mark(&files->tails, tail);
    }
}

void lm_files_reap(lm_files *files)
{
    lm_err err;
    int slot;
    while ((slot = lm_flights_landed(files->source.flights, &err)) >= 0) {
        lm_cargo *cargo = &files->flying[slot];
        if (err) {
            atomic_fetch_add_explicit(&files->source.errors, 1, memory_order_relaxed);
            lm_source_note(&files->source, 4, "batch_failed", "%s: %s; sent again",
                           files->source.name, lm_err_help(err));
            uint64_t next = files->backoff_ns ? files->backoff_ns * 2 : RETRY_FIRST;
            files->backoff_ns = next < RETRY_MAX ? next : RETRY_MAX;
            files->retry_ns = files->now_ns + files->backoff_ns;
            files->tails.is_read_changed = true; /* may have been with it */
        } else {
            files->backoff_ns = 0;
        }
        for (size_t i = 0; i < cargo->count; i++)
            land_item(files, &cargo->items[i], err == LM_OK);
        cargo->count = 0;
    }
}

/* ---- a turn ------------------------------------------------------------------------------------
 */

/** The batch is with the sink, or refused for good. */
static void sent(lm_files *files, int slot)
{
    files->is_built = false;
    if (slot >= 0) {
        lm_cargo old = files->flying[slot];
        files->flying[slot] = files->building;
        files->building = old;
    } else {
        for (size_t i = 0; i < files->building.count; i++)
            land_item(files, &files->building.items[i], true); /* passed over */
    }
    files->building.count = 0;
}

bool lm_files_turn(lm_files *files)
{
    bool has_more = false;
    if (!files->is_built) {
        build(files, &has_more);
        files->is_built = files->batch.record_count || files->checkpoint_count;
    } else {
        has_more = true;
    }
    if (!files->is_built) return has_more;
    int slot = -1;
    lm_err err = lm_source_put(&files->source, &files->batch, files->checkpoints,
                               files->checkpoint_count, &slot);
    if (err && !lm_put_is_final(err)) {
        if (err != LM_E_LIMIT) lm_source_note_err(&files->source, "sink_failed");
        files->retry_ns = lm_clock_ns() + (err == LM_E_LIMIT ? RETRY_LIMIT : RETRY_FIRST);
        return false;
    }
    if (err) {
        atomic_fetch_add_explicit(&files->source.rejected, files->batch.record_count,
                                  memory_order_relaxed);
        lm_source_note_err(&files->source, "batch_refused");
    }
    if (files->text.len < PACE_BYTES) files->pace_ns = files->now_ns + PACE;
    sent(files, slot);
    return has_more;
}

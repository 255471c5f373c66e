/**
 * A template's text: the tokens all its lines agree on, <*> for the others, in the usual notation
 * of labelled logs: a word with a variable in it is a variable, variables joined by a dot are one,
 * blanks are single.
 */
#include "template/template_settle.h"

enum { MARKS_END = MARK_UNIT + 1 };

static bool is_mark(uint8_t c)
{
    return c >= MARK_NUMBER && c <= MARK_UNIT;
}

/* Where words end for the notation: finer than the tokens of mining. */
static bool is_joint(uint8_t c)
{
    static const bool table[256] = {
        [0] = true,   [6] = true,    [7] = true,   [8 ... ' '] = true, [','] = true, ['!'] = true,
        [';'] = true, [':'] = true,  ['='] = true, ['|'] = true,       ['"'] = true, ['['] = true,
        [']'] = true, ['\''] = true, ['('] = true, [')'] = true,       ['{'] = true, ['}'] = true,
        ['.'] = true, ['-'] = true,  ['+'] = true, ['@'] = true,       ['#'] = true, ['$'] = true,
        ['%'] = true, ['&'] = true,
    };
    return table[c];
}

static void append_mark(lm_buf *out, size_t begin)
{
    size_t n = out->len - begin;
    const uint8_t *p = out->ptr + begin;
    if (n >= 1 && p[n - 1] == MARK_WILD) return;
    if (n >= 2 && (p[n - 1] == '.' || p[n - 1] == ':') && p[n - 2] == MARK_WILD) {
        out->len--;
        return;
    }
    out->ptr[out->len++] = MARK_WILD;
}

/* Token bytes to a string with one mark per variable. */
static lm_err write_marked(const settle *s, const node *n, lm_buf *out)
{
    const lm_miner *m = s->miner;
    bool has_pairs = settle_has_pairs(s, n);
    size_t bytes = 0;
    for (size_t i = 0; i < n->agree_count; i++)
        bytes += m->tokens[n->agree[i]].len + 1u;
    lm_err err = lm_buf_reserve(out, bytes);
    if (err) return err;
    for (size_t i = 0; i < n->agree_count; i++) {
        const token *t = &m->tokens[n->agree[i]];
        bool is_quantity = n->agree[i] == TOKEN_ID_UNIT && i >= 2 &&
                           n->agree[i - 1] == TOKEN_ID_BLANK && n->agree[i - 2] == TOKEN_ID_WILD;
        if (is_quantity) { /* a number and its unit that varies are one variable */
            out->len--;
            continue;
        }
        if (settle_is_variable(s, n, i, has_pairs)) t = &m->tokens[TOKEN_ID_WILD];
        memcpy(out->ptr + out->len, m->token_bytes.ptr + t->offset, t->len);
        out->len += t->len;
    }
    return LM_OK;
}

static lm_err expand(const uint8_t *p, size_t len, lm_buf *out)
{
    lm_err err = lm_buf_reserve(out, len * 3);
    if (err) return err;
    uint8_t *dst = out->ptr + out->len;
    for (size_t i = 0; i < len; i++) {
        if (p[i] == MARK_WILD) {
            memcpy(dst, "<*>", 3);
            dst += 3;
        } else {
            *dst++ = p[i];
        }
    }
    out->len = (size_t)(dst - out->ptr);
    return LM_OK;
}

/* The next byte below MARKS_END from i on, or len. */
static size_t next_mark(const uint8_t *p, size_t i, size_t len)
{
    const uint64_t low = 0x0101010101010101u, high = low << 7;
    for (; i + 8 <= len; i += 8) {
        uint64_t v = lm_le64(p + i);
        uint64_t hit = (v - low * MARKS_END) & ~v & high;
        if (hit) return i + (size_t)__builtin_ctzll(hit) / 8;
    }
    while (i < len && p[i] >= MARKS_END)
        i++;
    return i;
}

static lm_err notate(const uint8_t *p, size_t len, lm_buf *scratch)
{
    lm_err err = lm_buf_reserve(scratch, len + 1);
    if (err) return err;
    size_t begin = scratch->len;
    for (size_t i = 0; i < len;) {
        size_t plain = next_mark(p, i, len); /* what stands before the part with the mark stays */
        while (plain > i && plain < len && !is_joint(p[plain - 1]))
            plain--;
        memcpy(scratch->ptr + scratch->len, p + i, plain - i);
        scratch->len += plain - i;
        i = plain;
        size_t start = i;
        bool has_mark = false, has_slash = false;
        while (i < len && !is_joint(p[i])) {
            has_mark |= is_mark(p[i]);
            has_slash |= p[i] == '/';
            i++;
        }
        if (has_mark && !has_slash) {
            append_mark(scratch, begin);
        } else {
            for (size_t k = start; k < i; k++) {
                if (is_mark(p[k]))
                    append_mark(scratch, begin);
                else
                    scratch->ptr[scratch->len++] = p[k];
            }
        }
        if (i < len) scratch->ptr[scratch->len++] = p[i++];
    }
    return LM_OK;
}

/* The tokens, one behind the other. */
static lm_err write_plain(const lm_miner *m, const node *n, lm_buf *out)
{
    enum { STEP = 16 }; /* short tokens are copied with what lies behind them */

    size_t bytes = STEP; /* a table that was read back may have shapes longer than any message */
    for (size_t i = 0; i < n->agree_count; i++)
        bytes += m->tokens[n->agree[i]].len;
    lm_err err = lm_buf_reserve(out, bytes);
    if (err) return err;
    uint8_t *dst = out->ptr;
    for (size_t i = 0; i < n->agree_count; i++) {
        const token *t = &m->tokens[n->agree[i]];
        const uint8_t *src = m->token_bytes.ptr + t->offset;
        if (t->len <= STEP && m->token_bytes.len - t->offset >= STEP)
            memcpy(dst, src, STEP);
        else
            memcpy(dst, src, t->len);
        dst += t->len;
    }
    out->len = (size_t)(dst - out->ptr);
    return LM_OK;
}

enum { LIST_ITEMS = 6 };

/* Are there so many variables in a row? Most texts are let off here. */
static bool may_have_list(const uint8_t *p, size_t len)
{
    size_t items = 0, last = 0;
    for (size_t i = next_mark(p, 0, len); i < len; i = next_mark(p, i + 1, len)) {
        items = items && i - last <= 3 ? items + 1 : 1; /* a comma and a blank between */
        if (items == LIST_ITEMS) return true;
        last = i;
    }
    return false;
}

/* In place: as many variables in a row as no one writes into a format are a list, one variable. */
static size_t join_lists(uint8_t *p, size_t len)
{
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        size_t items = 0, end = i;
        while (end < len && p[end] == MARK_WILD) {
            items++;
            size_t next = end + 1;
            next += next < len && p[next] == ',';
            next += next < len && p[next] == ' ';
            bool goes_on = next > end + 1 && next < len && p[next] == MARK_WILD;
            end = goes_on ? next : end + 1;
        }
        if (items >= LIST_ITEMS) {
            p[used++] = MARK_WILD;
            i = end;
        } else {
            do
                p[used++] = p[i++];
            while (i < end);
        }
    }
    return used;
}

lm_err template_text_write(const settle *s, const node *n, lm_buf *scratch, lm_buf *out)
{
    scratch->len = out->len = 0;
    if (n->is_plain) return write_plain(s->miner, n, out);
    lm_err err = write_marked(s, n, out);
    if (!err) err = notate(out->ptr, out->len, scratch);
    if (!err && may_have_list(scratch->ptr, scratch->len))
        scratch->len = join_lists(scratch->ptr, scratch->len);
    out->len = 0;
    if (!err) err = expand(scratch->ptr, scratch->len, out);
    return err;
}

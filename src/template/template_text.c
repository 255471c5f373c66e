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

enum {
    STEP = TOKEN_STEP, /* short tokens are copied with what lies behind them */
    /* a shape's bytes, and a variable wherever a value may be missing */
    TEXT_BYTES_MAX = SKELETON_BYTES_MAX + MESSAGE_TOKENS_MAX * 2,
};

/* The token's bytes to dst, where room for a step more is; returns where dst stands behind them. */
static inline uint8_t *copy_token(const lm_miner *m, const token *t, uint8_t *dst)
{
    const uint8_t *src = m->token_bytes.ptr + t->offset;
    if (t->len <= STEP)
        memcpy(dst, src, STEP);
    else
        memcpy(dst, src, t->len);
    return dst + t->len;
}

/* Token bytes to a string with one mark per variable. */
static lm_err write_marked(const settle *s, const node *n, lm_buf *out)
{
    const lm_miner *m = s->miner;
    lm_err err = lm_buf_reserve(out, TEXT_BYTES_MAX + STEP);
    if (err) return err;
    uint8_t *dst = out->ptr + out->len;
    for (size_t i = 0; i < n->agree_count; i++) {
        uint32_t id = n->agree[i];
        bool is_quantity = id == TOKEN_ID_UNIT && i >= 2 && n->agree[i - 1] == TOKEN_ID_BLANK &&
                           n->agree[i - 2] == TOKEN_ID_WILD;
        if (is_quantity) /* a number and its unit that varies are one variable */
            dst--;
        else if (settle_is_variable(s, n, i))
            *dst++ = MARK_WILD;
        else
            dst = copy_token(m, &m->tokens[id], dst);
    }
    out->len = (size_t)(dst - out->ptr);
    return LM_OK;
}

enum { LIST_ITEMS = 6 };

/* The text at once, where each variable stands alone between blanks, or behind '=', and there are
 * few: nothing has to be put together. False: it is not so, and nothing is written. */
static bool write_simple(const settle *s, const node *n, lm_buf *out)
{
    enum {
        JOINED = TOKEN_PART | TOKEN_UNIT | TOKEN_DIGIT,
        LOOKED_AT = TOKEN_WILD | TOKEN_BOOL | TOKEN_DOT | TOKEN_SIGN,
    };

    const lm_miner *m = s->miner;
    bool has_keys = (n->signs & SIGN_EQUALS) != 0;
    bool may_have_key = has_keys; /* not behind a word and a blank: no '=' is near */
    bool is_behind_word = false;
    size_t variables = 0;
    uint8_t *dst = out->ptr;
    for (size_t i = 0; i < n->agree_count; i++) {
        uint32_t id = n->agree[i];
        if (id == TOKEN_ID_BLANK) {
            may_have_key = has_keys && !is_behind_word;
            is_behind_word = false;
            *dst++ = ' ';
            continue;
        }
        uint16_t flags = m->kinds[id].flags;
        if (flags & JOINED) return false;
        bool is_looked_at = (flags & LOOKED_AT) || may_have_key;
        may_have_key = has_keys;
        is_behind_word = template_is_word(flags);
        if (!is_looked_at || !settle_is_variable(s, n, i)) {
            dst = copy_token(m, &m->tokens[id], dst);
            continue;
        }
        bool is_begin =
            i == 0 || n->agree[i - 1] == TOKEN_ID_BLANK || settle_byte(s, n->agree[i - 1]) == '=';
        bool is_end = i + 1 == n->agree_count || n->agree[i + 1] == TOKEN_ID_BLANK;
        if (!is_begin || !is_end || ++variables == LIST_ITEMS) return false;
        memcpy(dst, "<*>", 3);
        dst += 3;
    }
    out->len = (size_t)(dst - out->ptr);
    return true;
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

static lm_err expand(const uint8_t *p, size_t len, lm_buf *out)
{
    lm_err err = lm_buf_reserve(out, len * 3 + STEP);
    if (err) return err;
    uint8_t *dst = out->ptr + out->len;
    for (size_t i = 0; i < len;) {
        size_t plain = next_mark(p, i, len) - i;
        memcpy(dst, p + i, plain);
        dst += plain;
        i += plain;
        if (i == len) break;
        if (p[i] == MARK_WILD) {
            memcpy(dst, "<*>", 3);
            dst += 3;
        } else {
            *dst++ = p[i];
        }
        i++;
    }
    out->len = (size_t)(dst - out->ptr);
    return LM_OK;
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
    lm_err err = lm_buf_reserve(out, SKELETON_BYTES_MAX + STEP);
    if (err) return err;
    uint8_t *dst = out->ptr;
    for (size_t i = 0; i < n->agree_count; i++)
        dst = copy_token(m, &m->tokens[n->agree[i]], dst);
    out->len = (size_t)(dst - out->ptr);
    return LM_OK;
}

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
    lm_err err = lm_buf_reserve(out, TEXT_BYTES_MAX + LIST_ITEMS * 3 + STEP);
    if (err || write_simple(s, n, out)) return err;
    err = write_marked(s, n, out);
    if (!err) err = notate(out->ptr, out->len, scratch);
    if (!err && may_have_list(scratch->ptr, scratch->len))
        scratch->len = join_lists(scratch->ptr, scratch->len);
    out->len = 0;
    if (!err) err = expand(scratch->ptr, scratch->len, out);
    return err;
}

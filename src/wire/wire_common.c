/** What the readers share: requests that are taken whole or not at all, metadata in order, JSON
 * read by yyjson into our memory. */
#include "wire/wire_priv.h"

lm_wire_mark lm_wire_begin(const lm_record_batch *batch)
{
    return (lm_wire_mark){batch->stream_count, batch->record_count};
}

lm_err lm_wire_end(lm_wire_mark mark, lm_err err, lm_record_batch *batch, lm_wire_report *local,
                   lm_wire_report *out)
{
    if (err) {
        lm_record_batch_cut(batch, mark.streams, mark.records);
        return err;
    }
    local->accepted = batch->record_count - mark.records;
    *out = *local;
    return LM_OK;
}

void lm_wire_reject(lm_wire_report *report, uint64_t count)
{
    if (!report->rejected) snprintf(report->reason, sizeof report->reason, "%s", lm_err_text());
    report->rejected += count;
}

bool lm_wire_is_own_fault(lm_err err)
{
    return err == LM_E_USAGE || (err == LM_E_LIMIT && !lm_mem_refused());
}

/* ---- metadata ---- */

static bool has_order(const lm_wire_order *order, const lm_label *items, size_t count)
{
    if (count != order->count) return false;
    for (size_t i = 0; i < count; i++) {
        lm_str value = items[i].value;
        if (value.len == 0 || value.len > LM_LABEL_VALUE_BYTES_MAX) return false;
        if (!lm_str_equal(items[i].name, order->names[i])) return false;
    }
    return true;
}

/** Only what nothing was left out of can be told by names alone. */
static void remember(lm_wire_order *order, const lm_label *items, size_t count, lm_labels made)
{
    order->count = 0;
    if (count > LM_WIRE_ORDER_MAX || made.count != count) return;
    for (size_t i = 0; i < count; i++) {
        size_t from = 0;
        while (!lm_str_equal(items[from].name, made.items[i].name)) /* it is one of them */
            from++;
        order->names[i] = items[i].name;
        order->sorted[i] = (uint8_t)from;
    }
    order->count = (uint32_t)count;
}

lm_err lm_wire_metadata(lm_wire_order *order, const lm_label *items, size_t count, lm_arena *arena,
                        lm_labels *out)
{
    if (count == 0 || !has_order(order, items, count)) {
        lm_err err = lm_labels_make(items, count, arena, out);
        if (!err) remember(order, items, count, *out);
        return err;
    }
    lm_label *sorted = lm_arena_alloc(arena, count * sizeof *sorted, _Alignof(lm_label));
    if (!sorted) return lm_mem_err();
    for (size_t i = 0; i < count; i++)
        sorted[i] = items[order->sorted[i]];
    *out = (lm_labels){sorted, (uint32_t)count};
    return LM_OK;
}

/* ---- memory ---- */

enum { SIZE_BYTES = 16 };

void *lm_wire_alloc(void *mem, size_t bytes)
{
    return lm_wire_resize(mem, NULL, 0, bytes);
}

void *lm_wire_resize(void *mem, void *ptr, size_t old_bytes, size_t new_bytes)
{
    size_t had = 0, want;
    uint8_t *begin = NULL;
    (void)old_bytes; /* the header knows */
    if (__builtin_add_overflow(new_bytes, (size_t)SIZE_BYTES, &want)) return NULL;
    if (ptr) {
        begin = (uint8_t *)ptr - SIZE_BYTES;
        memcpy(&had, begin, sizeof had);
    }
    begin = lm_mem_resize(mem, begin, had, want);
    if (!begin) return NULL;
    memcpy(begin, &want, sizeof want);
    return begin + SIZE_BYTES;
}

void lm_wire_release(void *mem, void *ptr)
{
    if (!ptr) return;
    uint8_t *begin = (uint8_t *)ptr - SIZE_BYTES;
    size_t had;
    memcpy(&had, begin, sizeof had);
    lm_mem_release(mem, begin, had);
}

yyjson_alc lm_wire_alc(lm_mem *mem)
{
    return (yyjson_alc){lm_wire_alloc, lm_wire_resize, lm_wire_release, mem};
}

static void *block_take(void *ctx, size_t bytes)
{
    return bytes <= LM_WIRE_BLOCK_BYTES ? ctx : NULL;
}

static void *block_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ptr, (void)old_bytes;
    return block_take(ctx, new_bytes);
}

static void block_give_back(void *ctx, void *ptr)
{
    (void)ctx, (void)ptr; /* the next document takes it */
}

lm_err lm_wire_block_init(lm_wire_block *block, lm_mem *mem)
{
    block->bytes = lm_mem_alloc(mem, LM_WIRE_BLOCK_BYTES);
    if (!block->bytes) return lm_mem_err();
    block->small = (yyjson_alc){block_take, block_resize, block_give_back, block->bytes};
    block->large = lm_wire_alc(mem);
    return LM_OK;
}

void lm_wire_block_fini(lm_wire_block *block)
{
    lm_mem_release(block->large.ctx, block->bytes, LM_WIRE_BLOCK_BYTES);
}

/* ---- reading ---- */

bool lm_wire_line_next(lm_str *io_rest, size_t *io_number, lm_str *out)
{
    while (io_rest->len) {
        const uint8_t *begin = io_rest->ptr;
        const uint8_t *newline = memchr(begin, '\n', io_rest->len);
        size_t len = newline ? (size_t)(newline - begin) : io_rest->len;
        size_t skip = len + (newline != NULL), blank = 0;
        *io_rest = (lm_str){begin + skip, io_rest->len - skip};
        ++*io_number;
        if (len && begin[len - 1] == '\r') len--;
        while (blank < len && (begin[blank] == ' ' || begin[blank] == '\t'))
            blank++;
        if (blank == len) continue;
        *out = (lm_str){begin, len};
        return true;
    }
    return false;
}

/** The four hex digits of an escape, or -1. */
static int32_t unit_at(const uint8_t *p, const uint8_t *end)
{
    int32_t unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        uint8_t c = p[i], low = c | 0x20;
        int32_t digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'W' : -1;
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/** Half pairs of surrogates, which Python and JavaScript print, become \ufffd as Go reads them.
 * True if there was one. */
static bool mend_surrogates(uint8_t *text, size_t len)
{
    bool any = false;
    uint8_t *p = text, *end = text + len;
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p >= 2) {
        int32_t unit = unit_at(p, end);
        if (unit < 0xD800 || unit > 0xDFFF) {
            p += 2;
            continue;
        }
        int32_t next = unit < 0xDC00 ? unit_at(p + 6, end) : -1;
        if (next >= 0xDC00 && next <= 0xDFFF) {
            p += 12;
            continue;
        }
        memcpy(p + 2, "fffd", 4);
        any = true;
        p += 6;
    }
    return any;
}

lm_err lm_wire_json_read(lm_str text, lm_arena *arena, const yyjson_alc *alc, yyjson_doc **out)
{
    static const yyjson_read_flag flags =
        YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INVALID_UNICODE;
    size_t skip = text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    size_t len = text.len - skip;
    yyjson_read_err why = {0};
    uint8_t *copy = lm_arena_alloc(arena, len + YYJSON_PADDING_SIZE, 8);
    if (!copy) return lm_mem_err();
    if (len) memcpy(copy, text.ptr + skip, len);
    memset(copy + len, 0, YYJSON_PADDING_SIZE);
    if (len == 0) return lm_fail_at(LM_E_USAGE, 0, "not JSON: there is nothing");
    yyjson_doc *doc = yyjson_read_opts((char *)copy, len, flags, alc, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_INVALID_STRING) {
        memcpy(copy, text.ptr + skip, len); /* what was read so far was changed in place */
        if (mend_surrogates(copy, len)) {
            doc = yyjson_read_opts((char *)copy, len, flags, alc, &why);
        }
    }
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) return lm_mem_err();
    if (!doc) {
        return lm_fail_at(LM_E_USAGE, why.pos + skip, "not JSON: %s at byte %zu", why.msg,
                          why.pos + skip);
    }
    *out = doc;
    return LM_OK;
}

/* ---- printing ---- */

lm_err lm_wire_json_print(yyjson_val *value, const yyjson_alc *alc, lm_arena *arena, lm_str *out)
{
    lm_str text = lm_wire_json_text(value);
    if (text.ptr || yyjson_is_null(value)) {
        *out = text.ptr ? text : LM_STR("");
        return LM_OK;
    }
    if (yyjson_is_bool(value)) {
        *out = yyjson_is_true(value) ? LM_STR("true") : LM_STR("false");
        return LM_OK;
    }
    size_t len = 0;
    yyjson_write_err why = {0};
    char *json = yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, alc, &len, &why);
    if (!json) return lm_mem_err(); /* the only way to fail for a value that was read */
    const uint8_t *copy = lm_arena_copy(arena, json, len);
    alc->free(alc->ctx, json);
    if (!copy) return lm_mem_err();
    *out = (lm_str){copy, len};
    return LM_OK;
}

/** Bytes of the UTF-8 sequence that p begins with; 0 if it is none. */
static size_t sequence_len(const uint8_t *p, size_t left)
{
    uint8_t c = p[0];
    size_t need = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (need == 0 || need > left) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    bool is_bad = (c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ||
                  (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F);
    return is_bad ? 0 : need;
}

lm_err lm_wire_json_quote(lm_str s, lm_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    lm_err err = lm_buf_reserve(out, s.len * 6 + 2);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    *at++ = '"';
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.ptr[i];
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = c;
            i++;
        } else if (c < 0x20) {
            memcpy(at, "\\u00", 4);
            at[4] = (uint8_t)hex[c >> 4];
            at[5] = (uint8_t)hex[c & 15];
            at += 6;
            i++;
        } else {
            size_t len = sequence_len(s.ptr + i, s.len - i);
            memcpy(at, len ? s.ptr + i : (const uint8_t *)"\xEF\xBF\xBD", len ? len : 3);
            at += len ? len : 3;
            i += len ? len : 1;
        }
    }
    *at++ = '"';
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

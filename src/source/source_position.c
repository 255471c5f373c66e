/** Positions of files and of partitions as text: "1 offset=4711 head=1024:0123456789abcdef
 * state=live before=2049:1311 path=/var/log/app.log".
 */
#include "source/source_position.h"

#include <inttypes.h>
#include <stdio.h>

lm_err lm_position_print(const lm_position *position, lm_buf *out)
{
    char text[192], before[64] = "";
    if (position->before_inode) {
        (void)snprintf(before, sizeof before, " before=%" PRIu64 ":%" PRIu64,
                       position->before_device, position->before_inode); /* fits */
    }
    int len = snprintf(
        text, sizeof text,
        "1 offset=%" PRIu64 " head=%" PRIu32 ":%016" PRIx64 " state=%s%s path=", position->offset,
        position->head.len, position->head.hash, position->is_done ? "done" : "live", before);
    lm_err err = lm_buf_append(out, text, (size_t)len);
    return err ? err : lm_buf_append(out, position->path.ptr, position->path.len);
}

static bool take(lm_str *rest, lm_str word)
{
    if (!lm_str_starts(*rest, word)) return false;
    rest->ptr += word.len;
    rest->len -= word.len;
    return true;
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return 16;
}

static bool take_number(lm_str *rest, unsigned base, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < rest->len && (unsigned)digit_of(rest->ptr[digits]) < base) {
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit_of(rest->ptr[digits]), &value))
            return false;
        digits++;
    }
    rest->ptr += digits;
    rest->len -= digits;
    *out = value;
    return digits > 0;
}

lm_err lm_position_parse(lm_str text, lm_position *out)
{
    lm_position position = {0};
    uint64_t head_len = 0;
    lm_str rest = text;
    bool is_good = take(&rest, LM_STR("1 offset=")) && take_number(&rest, 10, &position.offset) &&
                   take(&rest, LM_STR(" head=")) && take_number(&rest, 10, &head_len) &&
                   head_len <= LM_HEAD_MAX && take(&rest, LM_STR(":")) &&
                   take_number(&rest, 16, &position.head.hash) && take(&rest, LM_STR(" state="));
    if (is_good && take(&rest, LM_STR("done"))) {
        position.is_done = true;
    } else {
        is_good = is_good && take(&rest, LM_STR("live"));
    }
    if (is_good && take(&rest, LM_STR(" before="))) {
        is_good = take_number(&rest, 10, &position.before_device) && take(&rest, LM_STR(":")) &&
                  take_number(&rest, 10, &position.before_inode);
    }
    is_good = is_good && take(&rest, LM_STR(" path=")) && rest.len <= LM_PATH_BYTES_MAX &&
              position.offset <= INT64_MAX;
    if (!is_good) {
        return lm_fail_at(LM_E_CORRUPT, text.len - rest.len, "a file's position cannot be read");
    }
    position.head.len = (uint32_t)head_len;
    position.path = rest;
    *out = position;
    return LM_OK;
}

size_t lm_offset_print(lm_offset offset, char text[LM_OFFSET_TEXT_MAX])
{
    LM_ASSERT(offset.last >= 0);
    return (size_t)snprintf(text, LM_OFFSET_TEXT_MAX, "1 last=%" PRId64 ":%016" PRIx64, offset.last,
                            offset.hash); /* fits */
}

lm_err lm_offset_parse(lm_str text, lm_offset *out)
{
    uint64_t last = 0, hash = 0;
    lm_str rest = text;
    bool is_good = take(&rest, LM_STR("1 last=")) && take_number(&rest, 10, &last) &&
                   last < (uint64_t)INT64_MAX && take(&rest, LM_STR(":")) &&
                   take_number(&rest, 16, &hash) && rest.len == 0;
    if (!is_good)
        return lm_fail_at(LM_E_CORRUPT, text.len - rest.len,
                          "a partition's position cannot be read");
    *out = (lm_offset){(int64_t)last, hash};
    return LM_OK;
}

bool lm_file_id_parse(lm_str text, uint64_t *out_device, uint64_t *out_inode)
{
    return take_number(&text, 10, out_device) && take(&text, LM_STR(":")) &&
           take_number(&text, 10, out_inode) && text.len == 0;
}

lm_err lm_positions_print(const lm_position *positions, size_t count, lm_buf *out)
{
    lm_err err = LM_OK;
    for (size_t i = 0; !err && i < count; i++) {
        const lm_position *position = &positions[i];
        if (memchr(position->path.ptr, '\n', position->path.len)) continue; /* cannot be told */
        err = lm_position_print(position, out);
        if (!err) err = lm_buf_u8(out, '\n');
    }
    return err;
}

lm_err lm_positions_parse(lm_str text, lm_position *positions, size_t cap, size_t *out_count)
{
    size_t count = 0;
    while (text.len && count < cap) {
        const uint8_t *stop = memchr(text.ptr, '\n', text.len);
        if (!stop) return lm_fail(LM_E_CORRUPT, "a list of positions is cut short");
        size_t len = (size_t)(stop - text.ptr);
        if (len == 0) { /* so that the list of none is not empty */
            text = (lm_str){text.ptr + 1, text.len - 1};
            continue;
        }
        lm_err err = lm_position_parse((lm_str){text.ptr, len}, &positions[count]);
        if (err) return err;
        count++;
        text.ptr += len + 1;
        text.len -= len + 1;
    }
    *out_count = count;
    return LM_OK;
}

/* Can a text be part of a column's values? Answered by the classes of the column, without opening
 * it. */
#include "archive/archive_view.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c, bool upper)
{
    return is_digit(c) || (upper ? c >= 'A' && c <= 'F' : c >= 'a' && c <= 'f');
}

static bool digits_admit(lm_str part)
{
    for (size_t i = 0; i < part.len; i++) {
        if (!is_digit(part.ptr[i])) return false;
    }
    return true;
}

static bool hex_admits(lm_str part, size_t width, bool upper, bool is_whole, bool is_fixed)
{
    if (part.len > width || (is_whole && is_fixed && part.len != width)) return false;
    for (size_t i = 0; i < part.len; i++) {
        if (!is_hex(part.ptr[i], upper)) return false;
    }
    return true;
}

/* A sign can only be the first byte of a value. */
static bool sign_take(lm_str *part)
{
    if (part->len == 0 || part->ptr[0] != '-') return false;
    part->ptr++, part->len--;
    return true;
}

/* scale: digits behind the point; short_tail: trailing zeros and a bare point are left out. */
static bool decimal_admits(lm_str part, size_t scale, bool short_tail, bool at_begin, bool at_end)
{
    (void)sign_take(&part);
    const uint8_t *point = part.len ? memchr(part.ptr, '.', part.len) : NULL;
    size_t before = point ? (size_t)(point - part.ptr) : part.len,
           after = point ? part.len - before - 1 : 0;
    if (!digits_admit((lm_str){part.ptr, before}) || before > 20) return false;
    if (!point) {
        if (short_tail) return true;
        return at_end ? part.len <= scale && !at_begin : true;
    }
    return digits_admit((lm_str){point + 1, after}) && after <= scale &&
           (!at_end || short_tail || after == scale);
}

/* Runs of one to three digits with points between, as far as the part shows. */
static bool ip4_admits(lm_str part, bool at_begin, bool at_end)
{
    size_t run = 0, points = 0;
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] == '.') {
            if (++points > 3 || (run == 0 && (i > 0 || at_begin))) return false;
            run = 0;
        } else if (!is_digit(part.ptr[i]) || ++run > 3) {
            return false;
        }
    }
    return !at_end || (run > 0 && (!at_begin || points == 3));
}

static bool uuid_admits(lm_str part, bool at_begin, bool at_end)
{
    if (part.len > 36) return false;
    for (size_t at = at_end ? 36 - part.len : 0; at + part.len <= 36; at++) {
        size_t i = 0;
        for (; i < part.len; i++) {
            size_t place = at + i;
            bool is_dash = place == 8 || place == 13 || place == 18 || place == 23;
            if (is_dash ? part.ptr[i] != '-' : !is_hex(part.ptr[i], false)) break;
        }
        if (i == part.len) return true;
        if (at_begin) break;
    }
    return false;
}

static bool class_admits(uint32_t vclass, lm_str part, unsigned where)
{
    bool at_begin = where & LM_AT_BEGIN, at_end = where & LM_AT_END, is_whole = at_begin && at_end;
    if (vclass >= LM_VC_TIME || vclass == LM_VC_STR || vclass == LM_VC_STR_UNIQUE) return true;
    if (lm_vclass_width(vclass) && vclass != LM_VC_UUID)
        return hex_admits(part, 2u * lm_vclass_width(vclass), false, is_whole, true);
    if (vclass == LM_VC_UUID) return uuid_admits(part, at_begin, at_end);
    if (vclass == LM_VC_INT) {
        (void)sign_take(&part);
        return part.len <= 19 && digits_admit(part);
    }
    if (vclass == LM_VC_IP4) return ip4_admits(part, at_begin, at_end);
    if (vclass == LM_VC_HEXV_LOWER || vclass == LM_VC_HEXV_UPPER)
        return hex_admits(part, 16, vclass == LM_VC_HEXV_UPPER, is_whole, false);
    if (vclass > LM_VC_HEX_UPPER)
        return hex_admits(part, vclass - LM_VC_HEX_UPPER, true, is_whole, true);
    if (vclass > LM_VC_HEX_LOWER)
        return hex_admits(part, vclass - LM_VC_HEX_LOWER, false, is_whole, true);
    if (vclass > LM_VC_DECT)
        return decimal_admits(part, vclass - LM_VC_DECT, true, at_begin, at_end);
    if (vclass > LM_VC_DEC)
        return decimal_admits(part, vclass - LM_VC_DEC, false, at_begin, at_end);
    size_t width = vclass - LM_VC_ZINT;
    return part.len <= width && (!is_whole || part.len == width) && digits_admit(part);
}

bool lm_segment_column_may(const lm_segment *segment, size_t column, lm_str part, unsigned where)
{
    LM_ASSERT(column < segment->role_count);
    const lm_role_format *format = &segment->roles[column].format;
    for (uint32_t c = 0; c < format->class_count; c++) {
        if (class_admits(format->classes[c], part, where)) return true;
    }
    return format->class_count == 0;
}

uint32_t lm_segment_column_kinds(const lm_segment *segment, size_t column, const uint32_t **out)
{
    LM_ASSERT(column < segment->role_count);
    *out = segment->roles[column].format.classes;
    return segment->roles[column].format.class_count;
}

bool lm_kind_may(uint32_t kind, lm_str part, unsigned where)
{
    return class_admits(kind, part, where);
}

bool lm_kind_is_address(uint32_t kind)
{
    return kind == LM_VC_IP4;
}

uint64_t lm_kind_least(uint32_t kind, size_t digits)
{
    size_t behind = 0; /* the point */
    if (kind == LM_VC_HEXV_LOWER || kind == LM_VC_HEXV_UPPER) {
        if (digits < 2) return 0;
        return digits > 16 ? UINT64_MAX : UINT64_C(1) << 4 * (digits - 1);
    }
    if (kind > LM_VC_DECT && kind <= LM_VC_DECT + LM_SCALE_MAX)
        behind = kind - LM_VC_DECT;
    else if (kind > LM_VC_DEC && kind <= LM_VC_DEC + LM_SCALE_MAX)
        behind = kind - LM_VC_DEC;
    else if (kind != LM_VC_INT)
        return 0;
    if (digits <= behind || digits < 2) return 0; /* 0 is a digit */
    return behind + digits - 1 > 18 ? UINT64_MAX : lm_power10[behind + digits - 1];
}

bool lm_kind_is_text(uint32_t kind)
{
    return lm_vclass_key(kind) == LM_KEY_STR;
}

bool lm_kind_is_time(uint32_t kind, uint16_t *out_layout)
{
    if (kind < LM_VC_TIME) return false;
    *out_layout = (uint16_t)(kind - LM_VC_TIME);
    return true;
}

/** Any text of this class. */
static lm_str class_sample(const lm_value_stamp *stamp, uint32_t vclass, unsigned which,
                           uint8_t *dst)
{
    static const uint8_t wide[64] = {0x1b, 0x4e, 0x28, 0xba, 0x2f, 0xa1, 0x41, 0xd2,
                                     0x88, 0x3f, 0x00, 0x16, 0xd3, 0xcc, 0xa4, 0x27};
    bool is_epoch = which & 2; /* the schema tells decimals that are a time from others */
    which &= 1;
    int64_t number = which ? 7654321 : 12;
    unsigned scale = vclass > LM_VC_DECT ? vclass - LM_VC_DECT : vclass - LM_VC_DEC;
    bool is_decimal = lm_vclass_key(vclass) == LM_KEY_DEC && scale <= 9;
    if (is_decimal && is_epoch && stamp->len_max > 10) /* 1700000000 and so many decimals */
        number = (int64_t)(1700000000 * lm_power10[scale] + which);
    if (vclass == LM_VC_INT && stamp->is_numeric) number = which ? stamp->max : stamp->min;
    if (vclass == LM_VC_IP4) number = which ? 0xC0A864C8 : 0x0A010203;
    if (vclass > LM_VC_ZINT && vclass < LM_VC_DEC) number = which ? 7 : 1;
    if (vclass > LM_VC_HEX_LOWER && vclass < LM_VC_TIME)
        number = which ? 0xA7 : 0x1C; /* fits where two digits do */
    if (vclass >= LM_VC_TIME) {
        int64_t unit = lm_time_layout_ns((uint16_t)(vclass - LM_VC_TIME));
        bool has_date = lm_time_layout_has_date((uint16_t)(vclass - LM_VC_TIME));
        int64_t seconds = (has_date ? 1700000000 + 86400 * 40 * (int64_t)which : 0) + 45296;
        number = unit > 0 && unit <= 1000000000 ? seconds * (1000000000 / unit)
                                                : seconds / (unit > 0 ? unit / 1000000000 : 1);
    }
    return (lm_str){dst, lm_value_print(vclass, number, wide, dst)};
}

bool lm_segment_column_sample(lm_segment *segment, size_t column, unsigned which, uint8_t *dst,
                              lm_str *out)
{
    LM_ASSERT(column < segment->role_count);
    const lm_role_view *role = &segment->roles[column];
    const lm_str *texts;
    uint32_t count;
    bool has_text = false;
    for (uint32_t c = 0; c < role->format.class_count; c++)
        has_text = has_text || lm_vclass_key(role->format.classes[c]) == LM_KEY_STR;
    if (role->format.class_count == 0 || (has_text && role->format.class_count > 1)) {
        const lm_values *values;
        if (lm_segment_values(segment, column, &values) != LM_OK || values->count == 0)
            return false;
        uint32_t at = values->count <= LM_SAMPLES_ALL
                          ? which % values->count
                          : (uint32_t)((uint64_t)values->count * (which % 4) / 4);
        *out = lm_values_text(values, at, dst);
        return true;
    }
    uint32_t vclass = role->format.classes[which % role->format.class_count];
    if (lm_vclass_key(vclass) != LM_KEY_STR) {
        *out = class_sample(&role->stored.stamp, vclass, which / role->format.class_count, dst);
        return true;
    }
    if (!lm_segment_column_texts(segment, column, &texts, &count) || count == 0) return false;
    *out = texts[count <= LM_SAMPLES_ALL ? which % count : (uint64_t)count * (which % 4) / 4];
    return true;
}

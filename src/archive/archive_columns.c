/**
 * Role columns -> columns of the codec.
 *
 * A role's values were classified one by one; here the role as a whole is looked at, and values
 * move to one class where their text allows it: `07` and `12` are both two-digit numbers,
 * `12345678` among hex digests is a digest too, `0.5` and `2` are decimals without trailing zeros.
 * A role that keeps several classes stores the class of each value, and one column of numbers per
 * kind of class. A role with few values goes to the pool, as text: its column would cost more than
 * it holds.
 */
#include "archive/archive_priv.h"

enum { CLASSES_MAX = 64, FILTER_TEXT_MIN = 32768, FILTER_LOG2_MIN = 10, FILTER_LOG2_MAX = 17 };

static unsigned digit_count(int64_t v)
{
    unsigned n = 1;
    for (; v >= 10; v /= 10)
        n++;
    return n;
}

static inline uint32_t class_at(const lm_role *role, uint32_t i)
{
    return role->classes ? role->classes[i] : role->uniform;
}

static void set_uniform(lm_mem *mem, lm_role *role, uint32_t vclass)
{
    lm_mem_release(mem, role->classes, role->cap * sizeof *role->classes);
    role->classes = NULL;
    role->uniform = vclass;
}

/* ---- one class for all ---- */

/** INT and ZINT of one width only: all are of that width. */
static bool unify_padded(lm_mem *mem, lm_role *role)
{
    uint32_t padded = 0;
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = role->classes[i];
        if (c == LM_VC_INT) continue;
        if (c <= LM_VC_ZINT || c > LM_VC_ZINT + 18 || (padded && c != padded)) return false;
        padded = c;
    }
    unsigned width = (unsigned)padded - LM_VC_ZINT;
    for (uint32_t i = 0; i < role->count; i++) {
        if (role->numbers[i] < 0) return false;
        if (role->classes[i] == LM_VC_INT && digit_count(role->numbers[i]) != width) return false;
    }
    set_uniform(mem, role, padded);
    return true;
}

/** The digits of v, read as hex. */
static uint64_t decimal_as_hex(int64_t v)
{
    uint64_t out = 0;
    for (unsigned shift = 0; v; v /= 10, shift += 4)
        out |= (uint64_t)(v % 10) << shift;
    return out;
}

/** Hex digests and the few among them that have no letter: all of one width, or none with a zero in
 * front. */
static bool unify_hex(lm_mem *mem, lm_role *role)
{
    bool is_lower = false, is_upper = false, has_zero_in_front = false;
    unsigned width_min = 99, width_max = 0;
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = role->classes[i];
        int64_t v = role->numbers[i];
        unsigned width;
        if (c == LM_VC_INT) {
            if (v < 0) return false;
            width = digit_count(v);
        } else if (c > LM_VC_ZINT && c <= LM_VC_ZINT + 18) {
            width = (unsigned)c - LM_VC_ZINT;
            has_zero_in_front = true;
        } else if (c > LM_VC_HEX_LOWER && c <= LM_VC_HEX_UPPER + 16) {
            bool upper = c > LM_VC_HEX_UPPER;
            width = (unsigned)c - (upper ? LM_VC_HEX_UPPER : LM_VC_HEX_LOWER);
            is_upper = is_upper || upper;
            is_lower = is_lower || !upper;
            has_zero_in_front =
                has_zero_in_front || (width > 1 && ((uint64_t)v >> (4 * (width - 1))) == 0);
        } else {
            return false;
        }
        if (width < width_min) width_min = width;
        if (width > width_max) width_max = width;
    }
    if (is_lower == is_upper || width_max > 16) return false;
    bool is_fixed = width_min == width_max;
    if (!is_fixed && (has_zero_in_front || width_max > 15)) return false;
    for (uint32_t i = 0; i < role->count; i++) {
        if (role->classes[i] <= LM_VC_ZINT + 18)
            role->numbers[i] = (int64_t)decimal_as_hex(role->numbers[i]);
    }
    uint32_t fixed = (uint32_t)((is_upper ? LM_VC_HEX_UPPER : LM_VC_HEX_LOWER) + width_max);
    set_uniform(mem, role, is_fixed ? fixed : is_upper ? LM_VC_HEXV_UPPER : LM_VC_HEXV_LOWER);
    return true;
}

/** Largest scale of the decimals, if all of them can be written at it without overflow. */
static bool decimal_scale(const lm_role *role, bool with_ints, unsigned *out)
{
    unsigned scale = 0;
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = class_at(role, i);
        if (lm_vclass_key(c) == LM_KEY_DEC && (unsigned)c - LM_VC_DEC > scale)
            scale = (unsigned)c - LM_VC_DEC;
    }
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = class_at(role, i);
        bool is_decimal = lm_vclass_key(c) == LM_KEY_DEC;
        if (!is_decimal && !(with_ints && c == LM_VC_INT)) continue;
        int64_t limit = INT64_C(999999999999999999) /
                        (int64_t)lm_power10[scale - (is_decimal ? (unsigned)c - LM_VC_DEC : 0)];
        if (role->numbers[i] > limit || role->numbers[i] < -limit) return false;
    }
    *out = scale;
    return true;
}

static void scale_decimals(lm_role *role, bool with_ints, unsigned scale)
{
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = class_at(role, i);
        if (lm_vclass_key(c) == LM_KEY_DEC) {
            role->numbers[i] *= (int64_t)lm_power10[scale - ((unsigned)c - LM_VC_DEC)];
        } else if (with_ints && c == LM_VC_INT) {
            role->numbers[i] *= (int64_t)lm_power10[scale];
        }
    }
}

/** Decimals and integers, none with a trailing zero behind the point: the scale of each follows
 * from its number. */
static bool unify_trimmed(lm_mem *mem, lm_role *role)
{
    unsigned scale = 0;
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = role->classes[i];
        if (c == LM_VC_INT) continue;
        if (lm_vclass_key(c) != LM_KEY_DEC || role->numbers[i] % 10 == 0) return false;
    }
    if (!decimal_scale(role, true, &scale)) return false;
    scale_decimals(role, true, scale);
    set_uniform(mem, role, (uint32_t)LM_VC_DECT + scale);
    return true;
}

static void unify(lm_mem *mem, lm_role *role)
{
    if (!role->classes) return;
    (void)(unify_padded(mem, role) || unify_hex(mem, role) ||
           unify_trimmed(mem, role)); /* else it stays mixed */
}

/* ---- columns ---- */

static lm_err push_column(lm_parsed *parsed, lm_seg_columns *out, const lm_column *column)
{
    lm_err err =
        lm_vec_grow(parsed->mem, &out->columns, &out->cap, out->count + 1, sizeof *out->columns);
    if (err) return err;
    out->columns[out->count++] = *column;
    return LM_OK;
}

/** The role's texts in order of first appearance, each ended by '\n', into joined. */
static lm_err join_texts(const lm_parsed *parsed, lm_seg_columns *out, const lm_role *role)
{
    enum { AHEAD = 8, AT_ONCE = 32 }; /* texts lie all over the segment's */

    uint8_t *at = lm_arena_alloc(&out->arena, (size_t)role->text_bytes + AT_ONCE, 1);
    if (!at) return lm_mem_err();
    out->joined = at;
    for (uint32_t i = 0; i < role->text_count; i++) {
        if (role->text_count - i > AHEAD)
            __builtin_prefetch(parsed->text + role->texts[i + AHEAD].offset);
        const uint8_t *text = parsed->text + role->texts[i].offset;
        uint32_t len = role->texts[i].len;
        memcpy(at, text, len <= AT_ONCE ? AT_ONCE : len);
        at += len;
        *at++ = '\n';
    }
    return LM_OK;
}

/** Dictionary text: what join_texts made. */
static lm_err text_column(lm_parsed *parsed, lm_seg_columns *out, const lm_role *role)
{
    return push_column(parsed, out,
                       &(lm_column){.type = LM_COLUMN_BYTES,
                                    .role = LM_ROLE_TEXT,
                                    .count = (uint32_t)role->text_bytes,
                                    .bytes = out->joined});
}

static lm_column_role role_of_key(uint32_t key)
{
    if (key >= LM_KEY_TIME && key < LM_KEY_WIDE) return LM_ROLE_TIME;
    return key == LM_KEY_IP4 ? LM_ROLE_ADDRESS : LM_ROLE_NUMBER;
}

/** Bytes of the wide values of one class. */
static lm_err wide_column(lm_parsed *parsed, lm_seg_columns *out, const lm_role *role, uint32_t key,
                          uint32_t count)
{
    uint32_t width = lm_vclass_width(key - LM_KEY_WIDE);
    const uint8_t *bytes = role->wide.ptr;
    if (role->classes) {
        uint8_t *some = lm_arena_alloc(&out->arena, (size_t)count * width, 1);
        if (!some) return lm_mem_err();
        uint8_t *at = some;
        for (uint32_t i = 0; i < role->count; i++) {
            if (lm_vclass_key(role->classes[i]) != key) continue;
            memcpy(at, role->wide.ptr + role->numbers[i], width);
            at += width;
        }
        bytes = some;
    }
    return push_column(
        parsed, out,
        &(lm_column){.type = LM_COLUMN_WIDE, .count = count, .width = width, .bytes = bytes});
}

/** All values of a role whose class has this key, as one column (two for text). group 0 unless the
 * role is uniform. */
static lm_err key_column(lm_parsed *parsed, lm_seg_columns *out, lm_role *role, uint32_t key,
                         uint32_t group)
{
    bool is_uniform = !role->classes;
    uint32_t count = is_uniform ? role->count : 0;
    for (uint32_t i = 0; !is_uniform && i < role->count; i++)
        count += lm_vclass_key(role->classes[i]) == key;
    if (key >= LM_KEY_WIDE) return wide_column(parsed, out, role, key, count);
    if (key == LM_KEY_STR) {
        lm_err err = text_column(parsed, out, role);
        if (err || (is_uniform && role->uniform == LM_VC_STR_UNIQUE)) return err;
        uint32_t *ids = lm_arena_alloc(&out->arena, count * sizeof *ids, _Alignof(uint32_t));
        if (!ids) return lm_mem_err();
        for (uint32_t i = 0, n = 0; i < role->count; i++) {
            if (is_uniform || lm_vclass_key(role->classes[i]) == key)
                ids[n++] = (uint32_t)role->numbers[i];
        }
        return push_column(parsed, out,
                           &(lm_column){.type = LM_COLUMN_ID,
                                        .role = LM_ROLE_INDEX,
                                        .count = count,
                                        .alphabet = role->text_count,
                                        .group = group,
                                        .ids = ids});
    }
    const int64_t *ints = role->numbers;
    if (!is_uniform) {
        int64_t *some = lm_arena_alloc(&out->arena, count * sizeof *some, _Alignof(int64_t));
        if (!some) return lm_mem_err();
        for (uint32_t i = 0, n = 0; i < role->count; i++) {
            if (lm_vclass_key(role->classes[i]) == key) some[n++] = role->numbers[i];
        }
        ints = some;
    }
    return push_column(parsed, out,
                       &(lm_column){.type = LM_COLUMN_INT,
                                    .role = role_of_key(key),
                                    .count = count,
                                    .group = group,
                                    .ints = ints});
}

/** A role of several classes: the class of each value, then a column for each key. */
static lm_err mixed_columns(lm_parsed *parsed, lm_seg_columns *out, lm_role *role)
{
    uint32_t classes[CLASSES_MAX];
    uint32_t class_count = 0;
    uint32_t *ids = lm_arena_alloc(&out->arena, role->count * sizeof *ids, _Alignof(uint32_t));
    if (!ids) return lm_mem_err();
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = 0;
        while (c < class_count && classes[c] != role->classes[i])
            c++;
        LM_ASSERT(c < CLASSES_MAX); /* reduce_classes saw to it */
        if (c == class_count) classes[class_count++] = role->classes[i];
        ids[i] = c;
    }
    unsigned scale = 0;
    bool has_decimals = false;
    for (uint32_t c = 0; c < class_count; c++)
        has_decimals = has_decimals || lm_vclass_key(classes[c]) == LM_KEY_DEC;
    if (has_decimals) {
        if (decimal_scale(role, false, &scale)) {
            scale_decimals(role, false, scale);
        } else {
            scale = 0; /* each number stays at its own scale */
        }
    }
    lm_err err = lm_buf_varint(&out->roles, class_count);
    for (uint32_t c = 0; !err && c < class_count; c++)
        err = lm_buf_varint(&out->roles, classes[c]);
    if (!err && has_decimals) err = lm_buf_u8(&out->roles, (uint8_t)scale);
    if (err) return err;
    err = push_column(parsed, out,
                      &(lm_column){.type = LM_COLUMN_ID,
                                   .role = LM_ROLE_CLASS,
                                   .count = role->count,
                                   .alphabet = class_count,
                                   .ids = ids});
    for (uint32_t c = 0; !err && c < class_count; c++) {
        uint32_t key = lm_vclass_key(classes[c]);
        bool is_done = false;
        for (uint32_t b = 0; b < c; b++)
            is_done = is_done || lm_vclass_key(classes[b]) == key;
        if (!is_done) err = key_column(parsed, out, role, key, 0);
    }
    return err;
}

/** More classes than a mixed role may have (strange data): print all values as text. */
static lm_err pool_role(const lm_parsed *parsed, lm_seg_columns *out, const lm_role *role)
{
    uint8_t printed[LM_VALUE_TEXT_MAX];
    for (uint32_t i = 0; i < role->count; i++) {
        uint32_t c = class_at(role, i);
        lm_str text;
        if (c == LM_VC_STR) {
            const lm_slice *slice = &role->texts[role->numbers[i]];
            text = (lm_str){parsed->text + slice->offset, slice->len};
        } else {
            const uint8_t *wide = lm_vclass_width(c) ? role->wide.ptr + role->numbers[i] : NULL;
            text = (lm_str){printed, lm_value_print(c, role->numbers[i], wide, printed)};
        }
        lm_err err = lm_buf_append(&out->pool, text.ptr, text.len);
        if (!err) err = lm_buf_u8(&out->pool, '\n');
        if (err) return err;
    }
    return lm_buf_u8(&out->roles, 0);
}

static bool has_many_classes(const lm_role *role)
{
    uint32_t classes[CLASSES_MAX];
    uint32_t class_count = 0;
    for (uint32_t i = 0; role->classes && i < role->count; i++) {
        uint32_t c = 0;
        while (c < class_count && classes[c] != role->classes[i])
            c++;
        if (c < class_count) continue;
        if (class_count == CLASSES_MAX) return true;
        classes[class_count++] = role->classes[i];
    }
    return false;
}

/* ---- stamps ---- */

static void stamp_text(lm_value_stamp *stamp, lm_str text)
{
    if (text.len < stamp->len_min) stamp->len_min = (uint32_t)text.len;
    if (text.len > stamp->len_max) stamp->len_max = (uint32_t)text.len;
    if (stamp->classes != LM_CHARS_ALL) stamp->classes |= lm_chars_of_text(text);
}

static uint64_t size_of(int64_t number)
{
    return number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
}

/** The longest text of a decimal, which may be stored at a larger scale. */
static uint32_t decimal_len_max(uint32_t vclass, int64_t min, int64_t max)
{
    uint64_t most = size_of(min) > size_of(max) ? size_of(min) : size_of(max);
    uint32_t scale = vclass > LM_VC_DECT ? vclass - LM_VC_DECT : vclass - LM_VC_DEC, digits = 1;
    while (digits < 19 && most >= lm_power10[digits])
        digits++;
    return (digits > scale + 1 ? digits : scale + 1) + 1 + (min < 0);
}

static uint32_t hex_len_max(int64_t min, int64_t max)
{
    return min < 0 ? 16 : max == 0 ? 1 : (67 - (uint32_t)__builtin_clzll((uint64_t)max)) / 4;
}

/** What printing any number of this class can give; tighter where min and max tell. In a column of
 * several classes they are those of all: the more they bound. */
static void stamp_class(lm_value_stamp *stamp, uint32_t vclass, int64_t min, int64_t max)
{
    uint8_t printed[LM_VALUE_TEXT_MAX];
    if (vclass >= LM_VC_TIME) {
        stamp_text(stamp, (lm_str){printed, lm_value_print(vclass, min, NULL, printed)});
        stamp_text(stamp, (lm_str){printed, lm_value_print(vclass, max, NULL, printed)});
        if (stamp->classes &
            (LM_CHARS_LOWER | LM_CHARS_UPPER | LM_CHARS_HEX_LOWER | LM_CHARS_HEX_UPPER)) {
            stamp->classes |=
                LM_CHARS_LOWER | LM_CHARS_UPPER | LM_CHARS_HEX_LOWER | LM_CHARS_HEX_UPPER;
        }
        stamp->len_min = 1; /* layouts with unpadded parts vary between the two */
        if (stamp->len_max < LM_TIME_TEXT_MAX) stamp->len_max = LM_TIME_TEXT_MAX;
        return;
    }
    switch (lm_vclass_key(vclass)) {
    case LM_KEY_INT:
        stamp_text(stamp, (lm_str){printed, lm_value_print(vclass, min, NULL, printed)});
        stamp_text(stamp, (lm_str){printed, lm_value_print(vclass, max, NULL, printed)});
        stamp->classes |= LM_CHARS_DIGIT;
        if (min < 0) {
            stamp->len_min = 1;
            stamp->classes |= LM_CHARS_DASH_COLON;
        }
        return;
    case LM_KEY_DEC: {
        uint32_t len = decimal_len_max(vclass, min, max);
        stamp->len_min = 1;
        if (stamp->len_max < len) stamp->len_max = len;
        stamp->classes |=
            (uint8_t)(LM_CHARS_DIGIT | LM_CHARS_DOT | (min < 0 ? LM_CHARS_DASH_COLON : 0));
        return;
    }
    case LM_KEY_IP4:
        if (stamp->len_min > 7) stamp->len_min = 7;
        if (stamp->len_max < 15) stamp->len_max = 15;
        stamp->classes |= LM_CHARS_DIGIT | LM_CHARS_DOT;
        return;
    default: {
        uint32_t text_len = vclass == LM_VC_UUID ? 36 : 2 * lm_vclass_width(vclass);
        if (text_len) {
            if (stamp->len_min > text_len) stamp->len_min = text_len;
            if (stamp->len_max < text_len) stamp->len_max = text_len;
            stamp->classes |= LM_CHARS_DIGIT | LM_CHARS_HEX_LOWER |
                              (vclass == LM_VC_UUID ? LM_CHARS_DASH_COLON : 0);
            return;
        }
        bool is_upper = vclass == LM_VC_HEXV_UPPER || vclass > LM_VC_HEX_UPPER;
        bool is_fixed = vclass > LM_VC_HEX_LOWER;
        uint32_t width =
            is_fixed ? (uint32_t)vclass - (is_upper ? LM_VC_HEX_UPPER : LM_VC_HEX_LOWER) : 0;
        if (stamp->len_min > (is_fixed ? width : 1)) stamp->len_min = is_fixed ? width : 1;
        uint32_t most = is_fixed ? width : hex_len_max(min, max);
        if (stamp->len_max < most) stamp->len_max = most;
        stamp->classes |=
            (uint8_t)(LM_CHARS_DIGIT | (is_upper ? LM_CHARS_HEX_UPPER : LM_CHARS_HEX_LOWER));
        return;
    }
    }
}

/** Decimals of one class: none is longer than the longer one of the ends, written with all their
 * digits. */
static void stamp_decimals(lm_value_stamp *stamp, uint32_t vclass, int64_t min, int64_t max)
{
    uint8_t printed[LM_VALUE_TEXT_MAX];
    bool is_trimmed = vclass > LM_VC_DECT;
    uint32_t full = is_trimmed ? vclass - LM_VC_DECT + LM_VC_DEC : vclass;
    size_t low = lm_value_print(full, min, NULL, printed),
           high = lm_value_print(full, max, NULL, printed);
    stamp->len_max = (uint32_t)(low > high ? low : high);
    stamp->len_min = (uint32_t)(is_trimmed || min < 0 ? 1 : low);
}

/** Halve a bitmap, as if its grams had been hashed to one bit less, unless more than half of its
 * bits would be set. */
static bool fold(uint8_t *bits, size_t *bytes)
{
    size_t set = 0;
    for (size_t i = 0; i < *bytes; i++) {
        unsigned pairs = (bits[i] | bits[i] >> 1) & 0x55u;
        set += (unsigned)__builtin_popcount(pairs);
    }
    if (set > *bytes * 2) return false;
    *bytes /= 2;
    for (size_t i = 0; i < *bytes; i++) {
        unsigned folded = 0;
        for (unsigned k = 0; k < 8; k++) {
            unsigned bit = (unsigned)i * 16 + k * 2;
            folded |= (unsigned)((bits[bit >> 3] >> (bit & 7) & 3) != 0) << k;
        }
        bits[i] = (uint8_t)folded; /* what was there has been read */
    }
    return true;
}

/** 3-grams of a dictionary as a bitmap; none for a small dictionary or when most bits would be set.
 */
static lm_err stamp_filter(lm_seg_columns *out, const lm_role *role, unsigned *out_log2)
{
    *out_log2 = 0;
    if (role->text_bytes < FILTER_TEXT_MIN) return LM_OK;
    unsigned log2 = FILTER_LOG2_MIN;
    while (log2 < FILTER_LOG2_MAX && (UINT64_C(1) << log2) < role->text_bytes / 4)
        log2++;
    size_t bytes = (size_t)1 << (log2 - 3);
    lm_err err = lm_buf_reserve(&out->filters, bytes);
    if (err) return err;
    uint8_t *bits = out->filters.ptr + out->filters.len;
    memset(bits, 0, bytes);
    const uint8_t *p = out->joined;
    for (uint32_t i = 0; i < role->text_count; p += role->texts[i++].len + 1) {
        for (uint32_t k = 0; k + 3 <= role->texts[i].len; k++) {
            /* the fourth byte is there: at least the '\n' */
            uint32_t bit = lm_gram_place(lm_le32(p + k) & 0xFFFFFFu, log2);
            bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
        }
    }
    size_t set = 0;
    for (size_t i = 0; i < bytes; i++)
        set += (unsigned)__builtin_popcount(bits[i]);
    if (set > bytes * 4) return LM_OK; /* more than half: it would let nearly everything through */
    while (log2 > FILTER_LOG2_MIN && fold(bits, &bytes))
        log2--;
    out->filters.len += bytes;
    *out_log2 = log2;
    return LM_OK;
}

static lm_err put_stamp(lm_seg_columns *out, const lm_role *role)
{
    lm_value_stamp stamp = {.len_min = UINT32_MAX};
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < role->count; i++) {
        if (role->numbers[i] < min) min = role->numbers[i];
        if (role->numbers[i] > max) max = role->numbers[i];
    }
    stamp.is_numeric = !role->classes && role->uniform == LM_VC_INT;
    bool has_text = false;
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < (role->classes ? role->count : 1); i++) {
        uint32_t c = class_at(role, i);
        if (c == last) continue;
        last = c;
        if (lm_vclass_key(c) == LM_KEY_STR) {
            has_text = true;
        } else {
            stamp_class(&stamp, c, min, max);
        }
    }
    if (!role->classes && lm_vclass_key(role->uniform) == LM_KEY_DEC)
        stamp_decimals(&stamp, role->uniform, min, max);
    unsigned log2 = 0;
    if (has_text) {
        const uint8_t *p = out->joined;
        for (uint32_t i = 0; i < role->text_count; p += role->texts[i++].len + 1)
            stamp_text(&stamp, (lm_str){p, role->texts[i].len});
        lm_err err = stamp_filter(out, role, &log2);
        if (err) return err;
    }
    lm_err err = lm_buf_u8(&out->stamps, stamp.classes);
    if (!err)
        err = lm_buf_u8(&out->stamps, (uint8_t)(log2 << 2 | (unsigned)has_text << 1 |
                                                (unsigned)stamp.is_numeric));
    if (!err) err = lm_buf_varint(&out->stamps, stamp.len_min);
    if (!err) err = lm_buf_varint(&out->stamps, stamp.len_max - stamp.len_min);
    if (!err && stamp.is_numeric) err = lm_buf_varint(&out->stamps, lm_zigzag(min));
    if (!err && stamp.is_numeric) err = lm_buf_varint(&out->stamps, (uint64_t)max - (uint64_t)min);
    return err;
}

/* ---- the segment ---- */

static lm_err put_role(lm_parsed *parsed, lm_seg_columns *out, lm_role *role, uint32_t group)
{
    if (role->count < LM_POOL_COUNT_MAX || has_many_classes(role))
        return pool_role(parsed, out, role);
    unify(parsed->mem, role);
    lm_err err = role->text_count ? join_texts(parsed, out, role) : LM_OK;
    if (!err) err = put_stamp(out, role);
    if (err) return err;
    if (role->classes) return mixed_columns(parsed, out, role);
    if (role->uniform == LM_VC_STR && role->text_count == role->count)
        role->uniform = LM_VC_STR_UNIQUE;
    err = lm_buf_u8(&out->roles, 1);
    if (!err) err = lm_buf_varint(&out->roles, role->uniform);
    if (err) return err;
    return key_column(parsed, out, role, lm_vclass_key(role->uniform), group);
}

/** Number for each set of roles that line up row by row; 0 for a role alone in its set. */
static lm_err number_groups(const lm_parsed *parsed, lm_arena *arena, uint32_t **out)
{
    size_t n = parsed->role_count;
    uint32_t *groups = lm_arena_alloc(arena, n * sizeof *groups, _Alignof(uint32_t));
    size_t slots = 16;
    while (slots < n * 2)
        slots *= 2;
    uint32_t *first = lm_mem_calloc(parsed->mem, slots, sizeof *first);
    if (!groups || !first) {
        lm_mem_release(parsed->mem, first, slots * sizeof *first);
        return lm_mem_err();
    }
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        groups[i] = 0;
        const lm_role *role = &parsed->roles[i];
        size_t at = role->usage & (slots - 1);
        while (first[at] && (parsed->roles[first[at] - 1].usage != role->usage ||
                             parsed->roles[first[at] - 1].count != role->count)) {
            at = (at + 1) & (slots - 1);
        }
        if (first[at]) {
            uint32_t *leader = &groups[first[at] - 1];
            if (!*leader) *leader = ++next;
            groups[i] = *leader;
        } else {
            first[at] = (uint32_t)i + 1;
        }
    }
    lm_mem_release(parsed->mem, first, slots * sizeof *first);
    *out = groups;
    return LM_OK;
}

static void set_bytes(lm_column *column, lm_column_role role, lm_str bytes)
{
    *column = (lm_column){
        .type = LM_COLUMN_BYTES, .role = role, .count = (uint32_t)bytes.len, .bytes = bytes.ptr};
}

lm_err lm_seg_columns_make(lm_parsed *parsed, lm_str marks, lm_seg_columns *out)
{
    lm_mem *mem = parsed->mem;
    *out = (lm_seg_columns){.count = LM_SEG_FIXED_COUNT};
    lm_arena_init(&out->arena, mem);
    lm_buf_init(&out->roles, mem);
    lm_buf_init(&out->pool, mem);
    lm_buf_init(&out->stamps, mem);
    lm_buf_init(&out->filters, mem);
    uint32_t *groups = NULL;
    lm_err err =
        lm_vec_grow(mem, &out->columns, &out->cap, LM_SEG_FIXED_COUNT, sizeof *out->columns);
    if (!err) err = number_groups(parsed, &out->arena, &groups);
    for (size_t i = 0; !err && i < parsed->role_count; i++)
        err = put_role(parsed, out, &parsed->roles[i], groups[i]);
    if (err) {
        lm_seg_columns_fini(out);
        return err;
    }
    lm_column *fixed = out->columns;
    const lm_buf *skeletons = &parsed->shapes.skeletons;
    set_bytes(&fixed[LM_SEG_SHAPE_TEXT], LM_ROLE_SHAPE_TEXT,
              (lm_str){skeletons->ptr, skeletons->len});
    fixed[LM_SEG_SHAPE_IDS] = (lm_column){.type = LM_COLUMN_ID,
                                          .role = LM_ROLE_SHAPES,
                                          .count = (uint32_t)parsed->row_count,
                                          .alphabet = (uint32_t)parsed->shapes.count,
                                          .ids = parsed->shape_of_row};
    set_bytes(&fixed[LM_SEG_ROLES], LM_ROLE_NONE, (lm_str){out->roles.ptr, out->roles.len});
    set_bytes(&fixed[LM_SEG_POOL], LM_ROLE_RAW, (lm_str){out->pool.ptr, out->pool.len});
    set_bytes(&fixed[LM_SEG_STAMPS], LM_ROLE_NONE, (lm_str){out->stamps.ptr, out->stamps.len});
    set_bytes(&fixed[LM_SEG_FILTERS], LM_ROLE_NONE, (lm_str){out->filters.ptr, out->filters.len});
    set_bytes(&fixed[LM_SEG_MARKS], LM_ROLE_NONE, marks);
    return LM_OK;
}

void lm_seg_columns_fini(lm_seg_columns *columns)
{
    lm_mem *mem = columns->arena.mem;
    lm_mem_release(mem, columns->columns, columns->cap * sizeof *columns->columns);
    lm_buf_fini(&columns->roles);
    lm_buf_fini(&columns->pool);
    lm_buf_fini(&columns->stamps);
    lm_buf_fini(&columns->filters);
    lm_arena_fini(&columns->arena);
}

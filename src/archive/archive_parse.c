/**
 * Parsing: lines -> shapes and variables, variables -> role columns. The path every byte takes.
 *
 *   text --lm_scan_classes, 64 KB at a time--> bitmaps --newlines--> lines
 *   line --archive_guide: as lines before it?--> shape, variables
 *        --archive_scan: events-> variables; skeleton --exact table--> shape
 *   variables --role--> columns
 */
#include "archive/archive_parse_priv.h"

enum {
    CHUNK_BYTES = 1 << 16,
    FORMS_BYTES_MAX = 4 << 20, /* of skeletons that are remembered beside those of the shapes */
    /* a second pass: words that vary are cut out where that saves one byte in so many of the text
     */
    WORTH = 4096,
    WORTH_FAST = 1024,
    NOTED_TEXT_MAX = 1 << 20, /* variables of a text so short are kept until its words are known */
    MISJUDGED_SHARE = 20,     /* one line in so many had a quotation that was misjudged */
    WAYS_BYTES_MAX = 512 << 10, /* that are left for the next segment */
    WAYS_QUOTES_MAX = 63,
    REPEAT_ROWS = 8192 /* every so many rows: do shapes come back at all? */
};

/* ---- role columns ---- */

static lm_err role_grow(lm_mem *mem, lm_role *role)
{
    enum { FEW = 512 }; /* so far by four times: many roles have some values more than the first */

    uint32_t cap = !role->cap ? 8 : role->cap < FEW ? role->cap * 4 : role->cap * 2;
    if (role->classes) { /* first: a failure below would leave the classes larger than cap says, so
                            they go */
        uint32_t *classes =
            lm_mem_resize(mem, role->classes, role->cap * sizeof *classes, cap * sizeof *classes);
        if (!classes) return lm_mem_err();
        role->classes = classes;
    }
    int64_t *numbers =
        lm_mem_resize(mem, role->numbers, role->cap * sizeof *numbers, cap * sizeof *numbers);
    if (!numbers) {
        lm_mem_release(mem, role->classes, role->classes ? cap * sizeof *role->classes : 0);
        role->classes = NULL;
        return lm_mem_err();
    }
    role->numbers = numbers;
    role->cap = cap;
    return LM_OK;
}

/** From one class to several: write down the classes so far. */
static lm_err role_split_classes(lm_mem *mem, lm_role *role)
{
    uint32_t *classes = lm_mem_alloc(mem, role->cap * sizeof *classes);
    if (!classes) return lm_mem_err();
    for (uint32_t i = 0; i < role->count; i++)
        classes[i] = role->uniform;
    role->classes = classes;
    return LM_OK;
}

static inline lm_err role_push(lm_mem *mem, lm_role *role, uint32_t vclass, int64_t number)
{
    if (role->count == role->cap) {
        lm_err err = role_grow(mem, role);
        if (err) return err;
    }
    if (role->count == 0) role->uniform = vclass;
    if (vclass != role->uniform && !role->classes) {
        lm_err err = role_split_classes(mem, role);
        if (err) return err;
    }
    if (role->classes) role->classes[role->count] = vclass;
    role->numbers[role->count++] = number;
    return LM_OK;
}

/** The upper half of a hash, and the index that a slot of a dictionary holds. */
#define SLOT_HASH   UINT64_C(0xffffffff00000000)
#define SLOT_NUMBER UINT64_C(0x00000000ffffffff)

static lm_err role_texts_grow(lm_mem *mem, lm_role *role)
{
    uint32_t cap = role->slot_cap ? role->slot_cap * 2 : 16;
    uint64_t *slots = lm_mem_calloc(mem, cap, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (uint32_t i = 0; i < role->slot_cap; i++) {
        uint64_t slot = role->text_slots[i];
        if (!slot) continue;
        size_t at = slot >> 32 & (cap - 1);
        while (slots[at])
            at = (at + 1) & (cap - 1);
        slots[at] = slot;
    }
    lm_mem_release(mem, role->text_slots, role->slot_cap * sizeof *slots);
    role->text_slots = slots;
    role->slot_cap = cap;
    return LM_OK;
}

/** Of the segment's text, behind which there is room to read. */
static inline bool texts_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len < 8) return len == 0 || (lm_text8(a) ^ lm_text8(b)) << (64 - 8 * len) == 0;
    for (size_t i = 0; i + 8 < len; i += 8)
        if (lm_text8(a + i) != lm_text8(b + i)) return false;
    return lm_text8(a + len - 8) == lm_text8(b + len - 8);
}

/** Place of a text in the role's dictionary, added if new. */
static lm_err role_text(parser *ps, lm_role *role, uint32_t offset, uint32_t len, int64_t *out)
{
    lm_mem *mem = ps->out->mem;
    const uint8_t *text = ps->text;
    if (role->text_count) { /* often the same as before */
        const lm_slice *last = &role->texts[role->text_last];
        if (last->len == len && texts_equal(text + last->offset, text + offset, len)) {
            *out = role->text_last;
            return LM_OK;
        }
    }
    if (role->text_count * 2 >= role->slot_cap) {
        lm_err err = role_texts_grow(mem, role);
        if (err) return err;
    }
    size_t mask = role->slot_cap - 1;
    uint64_t hash = lm_hash64(text + offset, len) & SLOT_HASH;
    size_t at = hash >> 32 & mask;
    for (; role->text_slots[at]; at = (at + 1) & mask) {
        uint64_t slot = role->text_slots[at];
        if ((slot ^ hash) & SLOT_HASH) continue;
        uint32_t number = (uint32_t)(slot & SLOT_NUMBER) - 1;
        const lm_slice *known = &role->texts[number];
        if (known->len == len && texts_equal(text + known->offset, text + offset, len)) {
            *out = role->text_last = number;
            return LM_OK;
        }
    }
    size_t cap = role->text_cap;
    lm_err err =
        lm_vec_grow(mem, &role->texts, &cap, (size_t)role->text_count + 1, sizeof *role->texts);
    if (err) return err;
    role->text_cap = (uint32_t)cap;
    role->texts[role->text_count] = (lm_slice){offset, len};
    role->text_bytes += len + 1;
    role->text_slots[at] = hash | ++role->text_count;
    *out = role->text_last = role->text_count - 1;
    return LM_OK;
}

static lm_err add_text(parser *ps, lm_role *role, const variable *var)
{
    int64_t number;
    lm_err err = role_text(ps, role, var->begin, var->end - var->begin, &number);
    return err ? err : role_push(ps->out->mem, role, LM_VC_STR, number);
}

static lm_err add_classified(parser *ps, lm_role *role, const variable *var)
{
    uint32_t len = var->end - var->begin;
    lm_token_value value;
    if (var->form == FORM_HEX)
        lm_token_take_hex(ps->text + var->begin, len, &value);
    else
        lm_token_classify(ps->text + var->begin, len, &value);
    if (value.vclass == LM_VC_STR) return add_text(ps, role, var);
    uint32_t width = lm_vclass_width(value.vclass);
    if (width) {
        value.number = (int64_t)role->wide.len;
        lm_err err = lm_buf_append(&role->wide, value.wide, width);
        if (err) return err;
    }
    return role_push(ps->out->mem, role, value.vclass, value.number);
}

static inline lm_err role_add(parser *ps, lm_role *role, const variable *var)
{
    lm_mem *mem = ps->out->mem;
    const uint8_t *p = ps->text + var->begin;
    uint32_t len = var->end - var->begin;
    if (var->kind == LM_KIND_TIME)
        return role_push(mem, role, (uint32_t)LM_VC_TIME + var->layout, var->number);
    if (var->kind != LM_KIND_TOKEN) return add_text(ps, role, var);
    if (var->form == FORM_NUMBER) return role_push(mem, role, LM_VC_INT, var->number);
    if (var->form == FORM_SCALED)
        return role_push(mem, role, (uint32_t)LM_VC_DEC + var->layout, var->number);
    if (var->form == FORM_ADDRESS) return role_push(mem, role, LM_VC_IP4, var->number);
    if (var->form == FORM_DIGITS) {
        return role_push(mem, role, p[0] == '0' && len > 1 ? LM_VC_ZINT + len : LM_VC_INT,
                         parse_digits(p, len));
    }
    if (var->form == FORM_DECIMAL && (p[0] != '0' || p[1] == '.')) {
        const uint8_t *point = memchr(p, '.', len);
        uint32_t whole = (uint32_t)(point - p), scale = len - whole - 1;
        int64_t number =
            (int64_t)(eight_digits(p, whole) * lm_power10[scale] + eight_digits(point + 1, scale));
        return role_push(mem, role, LM_VC_DEC + scale, number);
    }
    return add_classified(ps, role, var);
}

/** Make room for the roles that a new shape brought. */
static lm_err roles_extend(lm_parsed *out)
{
    lm_err err = lm_vec_grow(out->mem, &out->roles, &out->role_cap, out->shapes.role_count,
                             sizeof *out->roles);
    if (err) return err;
    for (; out->role_count < out->shapes.role_count; out->role_count++) {
        lm_role *role = &out->roles[out->role_count];
        *role = (lm_role){.key = out->shapes.role_keys[out->role_count]};
        lm_buf_init(&role->wide, out->mem);
    }
    return LM_OK;
}

/** A shape's first line: remember where it is and how long its variables are there. */
static lm_err note_sample(parser *ps, lm_shape_entry *entry, size_t line_begin, size_t line_end)
{
    lm_parsed *out = ps->out;
    entry->sample = (lm_slice){(uint32_t)line_begin, (uint32_t)(line_end - line_begin)};
    lm_err err = lm_vec_grow(out->mem, &out->sample_lens, &out->sample_len_cap,
                             out->sample_len_count + ps->var_count, sizeof *out->sample_lens);
    if (err) return err;
    for (size_t i = 0; i < ps->var_count; i++) {
        out->sample_lens[out->sample_len_count++] = ps->vars[i].end - ps->vars[i].begin;
    }
    return roles_extend(out);
}

/** The variables of a row, for when it is known which words vary. */
static lm_err note_row(parser *ps, size_t line_end)
{
    lm_mem *mem = ps->out->mem;
    size_t row = ps->out->row_count - 1;
    lm_err err =
        lm_vec_grow(mem, &ps->noted_ends, &ps->noted_end_cap, row + 1, sizeof *ps->noted_ends);
    if (!err)
        err = lm_vec_grow(mem, &ps->noted, &ps->noted_cap, ps->noted_count + ps->var_count,
                          sizeof *ps->noted);
    if (err) return err;
    ps->noted_ends[row] = (uint32_t)line_end;
    if (ps->var_count) {
        memcpy(ps->noted + ps->noted_count, ps->vars, ps->var_count * sizeof *ps->vars);
        ps->noted_count += ps->var_count;
    }
    return LM_OK;
}

/** A row of a known shape; its variables to their roles. */
static lm_err add_row(parser *ps, size_t line_end, uint32_t shape)
{
    lm_parsed *out = ps->out;
    const lm_shape_entry *entry = &out->shapes.items[shape];
    if (out->row_count == out->row_cap) {
        lm_err err = lm_vec_grow(out->mem, &out->shape_of_row, &out->row_cap, out->row_count + 1,
                                 sizeof *out->shape_of_row);
        if (err) return err;
    }
    out->shape_of_row[out->row_count++] = shape;
    if (ps->is_noting) return note_row(ps, line_end);
    const uint32_t *roles = out->shapes.var_roles + entry->first_var;
    for (size_t i = 0; i < ps->var_count; i++) {
        lm_err err = role_add(ps, &out->roles[roles[i]], &ps->vars[i]);
        if (err) return err;
    }
    return LM_OK;
}

/** A line of a shape that has been looked up; it may be the shape's first. */
static lm_err add_line(parser *ps, size_t line_begin, size_t line_end, uint32_t shape)
{
    lm_shape_entry *entry = &ps->out->shapes.items[shape];
    lm_err err = entry->rows++ ? LM_OK : note_sample(ps, entry, line_begin, line_end);
    return err ? err : add_row(ps, line_end, shape);
}

/** A scanned line: its shape is looked up or new. The second line of a shape shows the guide its
 * way: most shapes of some logs never come back. Lines that quotations are judged by stay with the
 * scanner, or only some of them would count. */
static lm_err add_scanned(parser *ps, size_t line_begin, size_t line_end, size_t skeleton_len)
{
    lm_shapes *shapes = &ps->out->shapes;
    uint32_t shape = 0;
    lm_err err = lm_shapes_intern(shapes, ps->skeleton, skeleton_len, &shape);
    if (!err && shapes->items[shape].rows && !ps->is_undecided)
        err = lm_guide_learn(ps, line_begin, line_end, shape);
    return err ? err : add_line(ps, line_begin, line_end, shape);
}

/* ---- the second pass: words that vary are known ---- */

/** Room for plans beside all forms. */
static lm_err plans_extend(parser *ps)
{
    size_t before = ps->plan_cap;
    lm_err err =
        lm_vec_grow(ps->out->mem, &ps->plans, &ps->plan_cap, ps->forms.count, sizeof *ps->plans);
    if (!err && ps->plan_cap > before)
        memset(ps->plans + before, 0, (ps->plan_cap - before) * sizeof *ps->plans);
    return err;
}

/** A line whose words are to be cut by the plan. */
static lm_err add_planned(parser *ps, lm_word_plan *plan, size_t line_begin, size_t line_end)
{
    if (plan->count) lm_words_cut(ps, plan, line_begin);
    if (!plan->shape) {
        uint32_t shape = 0;
        size_t len = lm_scan_skeleton(ps, line_begin, line_end);
        lm_err err = lm_shapes_intern(&ps->out->shapes, ps->skeleton, len, &shape);
        if (err) return err;
        plan->shape = shape + 1;
    }
    return add_line(ps, line_begin, line_end, plan->shape - 1);
}

static lm_err add_formed(parser *ps, uint32_t form, size_t line_begin, size_t line_end)
{
    lm_word_plan *plan = &ps->plans[form];
    if (ps->words && !plan->is_made) {
        const lm_shape_entry *entry = &ps->forms.items[form];
        lm_str skeleton = {ps->forms.skeletons.ptr + entry->skeleton, entry->skeleton_len};
        uint32_t shape = ps->forms_are_shapes ? form : UINT32_MAX;
        lm_err err = lm_words_plan(ps->words, shape, skeleton, plan);
        if (err) return err;
    }
    return add_planned(ps, plan, line_begin, line_end);
}

/** As add_scanned, with a form in the place of the shape. The guide learns forms that are new: it
 * has seen the others. */
static lm_err add_scanned_form(parser *ps, size_t line_begin, size_t line_end, size_t skeleton_len)
{
    if (ps->forms.skeletons.len > FORMS_BYTES_MAX) {
        lm_word_plan plan = {0};
        lm_str skeleton = {ps->skeleton, skeleton_len};
        lm_err err = ps->words ? lm_words_plan(ps->words, UINT32_MAX, skeleton, &plan) : LM_OK;
        return err ? err : add_planned(ps, &plan, line_begin, line_end);
    }
    uint32_t form = 0;
    lm_err err = lm_shapes_intern(&ps->forms, ps->skeleton, skeleton_len, &form);
    if (!err) err = plans_extend(ps);
    if (!err && form >= ps->form_count && ps->forms.items[form].rows++ && !ps->is_undecided)
        err = lm_guide_learn(ps, line_begin, line_end, form);
    return err ? err : add_formed(ps, form, line_begin, line_end);
}

/** Text of which three lines in four are a shape of their own is not what columns are for: it is
 * kept as text, which is faster and smaller. */
static lm_err check_repeats(const lm_parsed *out)
{
    if (out->row_count % REPEAT_ROWS || out->shapes.count * 4 <= out->row_count * 3) return LM_OK;
    return lm_fail(LM_E_LIMIT, "%zu shapes in %zu lines", out->shapes.count, out->row_count);
}

static lm_err parse_line(parser *ps, size_t line_begin, size_t line_end, bool is_short)
{
    lm_err err = check_repeats(ps->out);
    if (err) return err;
    if (ps->out->row_count >= LM_SEGMENT_ROWS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d lines in one segment", LM_SEGMENT_ROWS_MAX);
    uint32_t shape;
    if (is_short && lm_guide_line(ps, line_begin, line_end, &shape)) {
        if (ps->has_forms) return add_formed(ps, shape, line_begin, line_end);
        ps->out->shapes.items[shape].rows++;
        return add_row(ps, line_end, shape);
    }
    size_t skeleton_len = 2;
    ps->scanned++;
    if (is_short && lm_scan_line(ps, line_begin, line_end) && !ps->failed) {
        skeleton_len = lm_scan_skeleton(ps, line_begin, line_end);
    } else {
        if (ps->failed) return ps->failed;
        ps->skeleton[0] = LM_MARK;
        ps->skeleton[1] = LM_KIND_RAW;
        ps->vars[0] = (variable){
            .begin = (uint32_t)line_begin, .end = (uint32_t)line_end, .kind = LM_KIND_RAW};
        ps->var_count = 1;
    }
    return ps->has_forms ? add_scanned_form(ps, line_begin, line_end, skeleton_len)
                         : add_scanned(ps, line_begin, line_end, skeleton_len);
}

/* ---- chunks ---- */

static lm_err chunk_reserve(parser *ps, size_t bytes)
{
    size_t words = bytes / 64 + 3;
    if (words <= ps->word_cap) return LM_OK;
    uint64_t *fresh = lm_mem_calloc(ps->out->mem, (LM_CLASS_COUNT + 1) * words, sizeof *fresh);
    if (!fresh) return lm_mem_err();
    lm_mem_release(ps->out->mem, ps->bits[0], (LM_CLASS_COUNT + 1) * ps->word_cap * sizeof *fresh);
    for (size_t i = 0; i < LM_CLASS_COUNT; i++)
        ps->bits[i] = fresh + i * words;
    ps->events = fresh + LM_CLASS_COUNT * words;
    ps->word_cap = words;
    return LM_OK;
}

static lm_err skeleton_reserve(parser *ps, size_t line_bytes)
{
    size_t cap = line_bytes + 2 * LM_SHAPE_VARS_MAX + LM_TEXT_PADDING;
    if (cap <= ps->skeleton_cap) return LM_OK;
    uint8_t *fresh = lm_mem_resize(ps->out->mem, ps->skeleton, ps->skeleton_cap, cap);
    if (!fresh) return lm_mem_err();
    ps->skeleton = fresh;
    ps->skeleton_cap = cap;
    return LM_OK;
}

static void chunk_classify(parser *ps, size_t begin, size_t len)
{
    ps->base = begin;
    ps->has_marks = memchr(ps->text + begin, LM_MARK, len) != NULL;
    lm_scan_classes(ps->text + begin, len, ps->bits);
    size_t words = (len + 63) / 64;
    uint64_t carry = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t digits = ps->bits[LM_CLASS_DIGIT][i];
        ps->events[i] = (digits & ~(digits << 1 | carry)) | ps->bits[LM_CLASS_SPECIAL][i];
        carry = digits >> 63;
    }
    for (size_t i = 0; i < LM_CLASS_COUNT; i++)
        ps->bits[i][words] = ps->bits[i][words + 1] = 0;
    ps->events[words] = 0;
}

/** All whole lines of a chunk; out_used is behind the last one's '\n'. */
static lm_err chunk_parse(parser *ps, size_t begin, size_t len, size_t *out_used)
{
    chunk_classify(ps, begin, len);
    size_t line = begin;
    for (size_t word = 0; word < (len + 63) / 64; word++) {
        for (uint64_t ends = ps->bits[LM_CLASS_NEWLINE][word]; ends; ends &= ends - 1) {
            size_t end = begin + word * 64 + (size_t)__builtin_ctzll(ends);
            lm_err err = skeleton_reserve(ps, end - line);
            if (err) return err;
            err = parse_line(ps, line, end, true);
            if (err) return err;
            line = end + 1;
        }
    }
    *out_used = line - begin;
    return LM_OK;
}

static lm_err parse_all(parser *ps, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t chunk = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
        size_t used = 0;
        lm_err err = chunk_reserve(ps, chunk);
        if (err) return err;
        err = chunk_parse(ps, at, chunk, &used);
        if (err) return err;
        if (used == 0) { /* a line longer than a chunk */
            const uint8_t *end = memchr(ps->text + at, '\n', len - at);
            LM_ASSERT(end);
            size_t line_len = (size_t)(end - (ps->text + at));
            bool is_short = line_len <= LM_PARSE_LINE_MAX;
            if (is_short) {
                err = chunk_reserve(ps, line_len + 1);
                if (!err) err = chunk_parse(ps, at, line_len + 1, &used);
            } else {
                err = parse_line(ps, at, at + line_len, false);
                used = line_len + 1;
            }
            if (err) return err;
        }
        at += used;
    }
    return LM_OK;
}

static void role_fini(lm_mem *mem, lm_role *role)
{
    lm_mem_release(mem, role->numbers, role->cap * sizeof *role->numbers);
    if (role->classes) lm_mem_release(mem, role->classes, role->cap * sizeof *role->classes);
    if (role->text_slots) { /* most roles have numbers only */
        lm_mem_release(mem, role->texts, role->text_cap * sizeof *role->texts);
        lm_mem_release(mem, role->text_slots, role->slot_cap * sizeof *role->text_slots);
    }
    if (role->wide.ptr) lm_buf_fini(&role->wide);
}

void lm_parsed_free(lm_parsed *parsed)
{
    if (!parsed) return;
    lm_mem *mem = parsed->mem;
    for (size_t i = 0; i < parsed->role_count; i++)
        role_fini(mem, &parsed->roles[i]);
    lm_mem_release(mem, parsed->roles, parsed->role_cap * sizeof *parsed->roles);
    lm_mem_release(mem, parsed->shape_of_row, parsed->row_cap * sizeof *parsed->shape_of_row);
    lm_mem_release(mem, parsed->sample_lens, parsed->sample_len_cap * sizeof *parsed->sample_lens);
    lm_shapes_fini(&parsed->shapes);
    lm_mem_release(mem, parsed, sizeof *parsed);
}

/* ---- the whole ---- */

static void note_usage(lm_parsed *out)
{
    for (size_t s = 0; s < out->shapes.count; s++) {
        const lm_shape_entry *entry = &out->shapes.items[s];
        for (uint32_t v = 0; v < entry->var_count; v++) {
            out->roles[out->shapes.var_roles[entry->first_var + v]].usage += lm_hash_u64(s + 1);
        }
    }
}

static lm_err parsed_new(lm_mem *mem, const uint8_t *text, size_t len, lm_parsed **out)
{
    lm_parsed *parsed = lm_mem_calloc(mem, 1, sizeof *parsed);
    if (!parsed) return lm_mem_err();
    *parsed = (lm_parsed){.mem = mem, .text = text, .text_len = len};
    lm_shapes_init(&parsed->shapes, mem);
    *out = parsed;
    return LM_OK;
}

/** Room for the variables and rows that a text mostly has: growing copies what is there. */
static lm_err note_reserve(parser *ps, lm_mem *mem, size_t len)
{
    enum { BYTES_A_VARIABLE = 24, BYTES_A_ROW = 96 };

    lm_err err =
        lm_vec_grow(mem, &ps->noted, &ps->noted_cap, len / BYTES_A_VARIABLE + 1, sizeof *ps->noted);
    if (!err)
        err = lm_vec_grow(mem, &ps->noted_ends, &ps->noted_end_cap, len / BYTES_A_ROW + 1,
                          sizeof *ps->noted_ends);
    return err;
}

/* ---- ways that are known from the segment before ---- */

struct lm_ways {
    struct guide *guide;
    lm_shapes forms;
    struct quote_kind *quotes[QUOTE_SLOTS];
    size_t quote_count;
};

void lm_ways_free(lm_mem *mem, lm_ways *ways)
{
    if (!ways) return;
    lm_guide_free(mem, ways->guide);
    lm_shapes_fini(&ways->forms);
    lm_scan_quotes_free(mem, ways->quotes);
    lm_mem_release(mem, ways, sizeof *ways);
}

/** Lines go by forms from the start, and the guide knows those of before. */
static lm_err take_ways(parser *ps, lm_ways **ways)
{
    lm_ways *known = *ways;
    ps->has_forms = true;
    if (!known) return lm_guide_new(ps->out->mem, &ps->guide);
    ps->guide = known->guide;
    ps->forms = known->forms;
    known->guide = NULL;
    lm_shapes_init(&known->forms, ps->out->mem);
    lm_scan_quotes_move(known->quotes, ps->quotes);
    ps->quote_count = known->quote_count;
    return plans_extend(ps);
}

static size_t forms_bytes(const lm_shapes *forms)
{
    return forms->skeletons.cap + forms->cap * sizeof *forms->items +
           forms->var_cap * sizeof *forms->var_roles;
}

/** Forgets forms of which only one line was ever seen; the guide does not know them. */
static lm_err drop_rare_forms(parser *ps)
{
    lm_mem *mem = ps->out->mem;
    size_t count = ps->forms.count;
    lm_shapes left;
    lm_shapes_init(&left, mem);
    uint32_t *numbers = lm_mem_calloc(mem, count, sizeof *numbers);
    lm_err err = numbers ? LM_OK : lm_mem_err();
    for (size_t i = 0; i < count && !err; i++) {
        const lm_shape_entry *form = &ps->forms.items[i];
        if (form->rows < 2) continue;
        err = lm_shapes_intern(&left, ps->forms.skeletons.ptr + form->skeleton, form->skeleton_len,
                               &numbers[i]);
        if (!err) left.items[numbers[i]].rows = form->rows;
    }
    if (!err) {
        lm_guide_renumber(ps->guide, numbers);
        lm_shapes_fini(&ps->forms);
        ps->forms = left;
        lm_shapes_init(&left, mem);
    }
    lm_shapes_fini(&left);
    lm_mem_release(mem, numbers, numbers ? count * sizeof *numbers : 0);
    return err;
}

/** Leaves the ways for the next segment, unless they are many or hardly any line went one. Of a
 * text that is not whole nothing may be there. */
static void leave_ways(parser *ps, lm_mem *mem, bool is_whole, lm_ways **ways)
{
    if (is_whole && forms_bytes(&ps->forms) > WAYS_BYTES_MAX / 2)
        is_whole = drop_rare_forms(ps) == LM_OK;
    bool is_worth_it = is_whole && ps->quote_count <= WAYS_QUOTES_MAX &&
                       ps->scanned * 2 < ps->out->row_count &&
                       lm_guide_bytes(ps->guide) + forms_bytes(&ps->forms) <= WAYS_BYTES_MAX;
    lm_ways *left = !is_worth_it ? NULL : *ways ? *ways : lm_mem_calloc(mem, 1, sizeof *left);
    if (!left) { /* no room: so they are found out anew */
        lm_ways_free(mem, *ways);
        *ways = NULL;
        return;
    }
    left->guide = ps->guide;
    left->forms = ps->forms;
    left->quote_count = ps->quote_count;
    lm_scan_quotes_move(ps->quotes, left->quotes);
    ps->guide = NULL;
    lm_shapes_init(&ps->forms, mem);
    *ways = left;
}

static lm_err parser_init(parser *ps, lm_mem *mem, lm_ways **ways)
{
    lm_shapes_init(&ps->forms, mem);
    ps->vars = lm_mem_alloc(mem, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps->vars);
    if (!ps->vars) return lm_mem_err();
    lm_err err = skeleton_reserve(ps, CHUNK_BYTES);
    if (!err) err = ways ? take_ways(ps, ways) : lm_guide_new(mem, &ps->guide);
    return err;
}

static void parser_fini(parser *ps, lm_mem *mem)
{
    lm_scan_quotes_free(mem, ps->quotes);
    lm_guide_free(mem, ps->guide);
    lm_words_free(ps->words);
    lm_shapes_fini(&ps->forms);
    lm_mem_release(mem, ps->plans, ps->plan_cap * sizeof *ps->plans);
    lm_mem_release(mem, ps->noted, ps->noted_cap * sizeof *ps->noted);
    lm_mem_release(mem, ps->noted_ends, ps->noted_end_cap * sizeof *ps->noted_ends);
    lm_mem_release(mem, ps->vars, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps->vars);
    lm_mem_release(mem, ps->made, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps->made);
    lm_mem_release(mem, ps->skeleton, ps->skeleton_cap);
    lm_mem_release(mem, ps->bits[0], (LM_CLASS_COUNT + 1) * ps->word_cap * sizeof(uint64_t));
}

/** Was many a quotation not taken as its like turned out to be? In a short text the first ones, by
 * which the others are judged, are many. */
static bool is_misjudged(const parser *ps)
{
    return lm_scan_misjudged(ps) * MISJUDGED_SHARE > ps->out->row_count;
}

/** All of it comes again, with the words that vary as variables. */
static lm_err begin_again(parser *ps, const uint8_t *text, size_t len)
{
    lm_mem *mem = ps->out->mem;
    if (!ps->has_forms) {
        ps->forms = ps->out->shapes;
        ps->forms_are_shapes = true;
        lm_shapes_init(&ps->out->shapes, mem);
    } else if (ps->plans) {
        memset(ps->plans, 0, ps->plan_cap * sizeof *ps->plans);
    }
    ps->has_forms = true;
    ps->form_count = ps->forms.count;
    ps->scanned = 0;
    lm_parsed_free(ps->out);
    ps->out = NULL;
    ps->made = lm_mem_alloc(mem, (LM_SHAPE_VARS_MAX + 4) * sizeof *ps->made);
    if (!ps->made) return lm_mem_err();
    lm_err err = parsed_new(mem, text, len, &ps->out);
    if (!err) err = plans_extend(ps);
    return err;
}

/** Rows as noted, one after the other: with words that vary cut out where they are known, else to
 * the roles of their shapes. */
static lm_err add_noted(parser *ps, const uint32_t *shape_of_row, size_t rows)
{
    const lm_shapes *shapes = ps->words ? &ps->forms : &ps->out->shapes;
    const variable *from = ps->noted;
    size_t begin = 0;
    lm_err err = LM_OK;
    for (size_t r = 0; !err && r < rows; begin = (size_t)ps->noted_ends[r++] + 1) {
        uint32_t shape = shape_of_row[r];
        ps->var_count = shapes->items[shape].var_count;
        if (ps->var_count) { /* none noted at all: there is nothing to point to */
            memcpy(ps->vars, from, ps->var_count * sizeof *from);
            from += ps->var_count;
        }
        err = ps->words ? add_formed(ps, shape, begin, ps->noted_ends[r])
                        : add_row(ps, ps->noted_ends[r], shape);
    }
    return err;
}

/** A text whose lines were all noted. */
static lm_err use_noted(parser *ps, const uint8_t *text, size_t len)
{
    lm_mem *mem = ps->out->mem;
    uint32_t *shape_of_row = ps->out->shape_of_row;
    size_t rows = ps->out->row_count, cap = ps->out->row_cap;
    ps->out->shape_of_row = NULL;
    ps->out->row_count = ps->out->row_cap = 0;
    lm_err err = ps->words ? begin_again(ps, text, len) : LM_OK;
    if (!err) err = add_noted(ps, shape_of_row, rows);
    lm_mem_release(mem, shape_of_row, cap * sizeof *shape_of_row);
    return err;
}

lm_err lm_parsed_make(lm_mem *mem, const uint8_t *text, size_t len, lm_level level, lm_ways **ways,
                      lm_parsed **out)
{
    LM_ASSERT(len < UINT32_MAX && (len == 0 || text[len - 1] == '\n'));
    size_t worth = len / (level == LM_LEVEL_FAST ? WORTH_FAST : WORTH);
    parser ps = {.text = text};
    lm_err err = parsed_new(mem, text, len, &ps.out);
    if (err) return err;
    ps.is_noting = len <= NOTED_TEXT_MAX;
    if (ps.is_noting) ways = NULL; /* a short text stands for itself */
    err = parser_init(&ps, mem, ways);
    if (!err && ps.is_noting) err = note_reserve(&ps, mem, len);
    if (!err) err = parse_all(&ps, len);
    if (!err || (err == LM_E_LIMIT && ps.out->row_count)) {
        bool is_noted = ps.is_noting && !err, is_again = false;
        lm_err looked = lm_words_find(ps.out, worth, &ps.words);
        if (!looked && !err && is_misjudged(&ps)) {
            is_again = true;
            if (!ps.words) looked = lm_words_none(mem, &ps.words);
        }
        if (looked) err = looked;
        ps.is_noting = false;
        if (!looked && is_noted && !is_again) {
            err = use_noted(&ps, text, len);
        } else if (ps.words) {
            err = begin_again(&ps, text, len);
            if (!err) err = parse_all(&ps, len);
        }
    }
    if (ways) leave_ways(&ps, mem, !err, ways);
    parser_fini(&ps, mem);
    if (err) {
        lm_parsed_free(ps.out);
        return err;
    }
    note_usage(ps.out);
    *out = ps.out;
    return LM_OK;
}

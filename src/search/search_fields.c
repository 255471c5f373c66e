/* Comparisons with fields over a segment, without taking every line apart.
 *
 * Lines of one shape differ in their variables only, so a field mostly lies in the same pieces of
 * all of them: constant text, or one variable with constant text around it. A plan of a field says
 * for each shape where; it is read off sample lines, which are made up of the shape's texts and
 * values like those of its columns (nothing but dictionaries is decoded), parsed by the schema, and
 * must agree.
 *
 * Where that could be wrong the plan says so (SCATTERED) and the shape's rows are rendered and
 * parsed one by one: samples disagree, a field cuts a variable in two or spans several, or a
 * variable holds bytes with which the schema might see other fields (quotes, blanks, brackets; in
 * JSON quotes and backslashes) in a line that was no sample. */
#include "search/search_exec_priv.h"

#define SAMPLES       4
#define ROWS_WORTH_IT 512 /* fewer candidates are simply parsed */
#define SHAPES_MAX    65536

typedef enum place_kind {
    PLACE_UNSEEN,
    PLACE_MISSING,
    PLACE_CONSTANT,
    PLACE_VARIABLE,
    PLACE_SCATTERED
} place_kind;

/* Where a field lies in the lines of one shape. */
typedef struct field_place {
    uint8_t kind;
    uint32_t piece; /* VARIABLE */
    lm_str before,
        after; /* VARIABLE: constant text of the field around it; CONSTANT: before is all of it */
} field_place;

typedef struct lm_field_plan {
    struct lm_field_plan *next;
    lm_str name;
    field_place *places; /* by shape */
    uint8_t *manners;    /* by column */
} lm_field_plan;

/* Bytes of a column that could move a field's bounds. */
enum {
    COLUMN_UNSEEN,
    COLUMN_TAME,
    COLUMN_FEW /* not tame, but all its texts are samples */,
    COLUMN_TAME_IN_JSON,
    COLUMN_WILD
};

typedef struct survey {
    lm_exec *exec;
    lm_field_plan *plan;
    lm_buf line;
    uint32_t *begins; /* of the pieces in line */
    size_t begins_cap;
    lm_arena arena; /* of one parse */
} survey;

/* ---- composing sample lines ------------------------------------------------------------------ */

/* A line like those of the shape, with the begin of each piece. *out_ok false: none can be made up.
 */
static lm_err line_compose(survey *s, const lm_shape *shape, unsigned which, bool *out_ok)
{
    *out_ok = true;
    s->line.len = 0;
    lm_err err = lm_vec_grow(s->exec->mem, &s->begins, &s->begins_cap,
                             (size_t)shape->piece_count + 1, sizeof *s->begins);
    for (uint32_t i = 0; i < shape->piece_count && !err && *out_ok; i++) {
        const lm_piece *piece = &shape->pieces[i];
        lm_str text = piece->text;
        uint8_t room[128];
        s->begins[i] = (uint32_t)s->line.len;
        if (piece->column >= 0)
            *out_ok = lm_segment_column_sample(s->exec->segment, (size_t)piece->column, which, room,
                                               &text);
        if (*out_ok) err = lm_buf_append(&s->line, text.ptr, text.len);
    }
    if (!err) s->begins[shape->piece_count] = (uint32_t)s->line.len;
    return err;
}

/* ---- from a parsed sample to a place --------------------------------------------------------- */

static field_place place_of(const survey *s, const lm_shape *shape, const lm_field *field)
{
    field_place scattered = {.kind = PLACE_SCATTERED}, found = {.kind = PLACE_CONSTANT};
    if (!field) return (field_place){.kind = PLACE_MISSING};
    const uint8_t *line = s->line.ptr;
    if (field->value.len == 0) return found;
    if (field->value.ptr < line || field->value.ptr + field->value.len > line + s->line.len)
        return scattered;
    uint32_t begin = (uint32_t)(field->value.ptr - line), end = begin + (uint32_t)field->value.len;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        uint32_t from = s->begins[i], to = s->begins[i + 1];
        if (to <= begin || from >= end) continue;
        const lm_piece *piece = &shape->pieces[i];
        if (piece->column >= 0) {
            if (from < begin || to > end || found.kind == PLACE_VARIABLE) return scattered;
            found.kind = PLACE_VARIABLE;
            found.piece = i;
            continue;
        }
        uint32_t cut_from = from < begin ? begin - from : 0,
                 cut_to = to > end ? end - from : to - from;
        lm_str part = {piece->text.ptr + cut_from, cut_to - cut_from};
        lm_str *side = found.kind == PLACE_VARIABLE ? &found.after : &found.before;
        if (side->len > 0) return scattered; /* two constants side by side: not worth joining */
        *side = part;
    }
    return found;
}

static bool place_same(const field_place *a, const field_place *b)
{
    return a->kind == b->kind && a->piece == b->piece && lm_str_equal(a->before, b->before) &&
           lm_str_equal(a->after, b->after);
}

static lm_err sample_take(survey *s, const lm_shape *shape, unsigned which, field_place *known)
{
    bool ok;
    lm_err err = line_compose(s, shape, which, &ok);
    if (err) return err;
    field_place seen = {.kind = PLACE_SCATTERED};
    if (ok) {
        lm_fields fields;
        err = lm_fields_parse(s->exec->schema, &s->arena, (lm_str){s->line.ptr, s->line.len},
                              &fields);
        if (err) return err;
        seen = place_of(s, shape, lm_query_field(&fields, s->plan->name));
    }
    if (known->kind == PLACE_UNSEEN) {
        *known = seen;
    } else if (!place_same(known, &seen)) {
        *known = (field_place){.kind = PLACE_SCATTERED};
    }
    return LM_OK;
}

/* ---- variables that might change what the schema sees ---------------------------------------- */

static uint8_t text_manners(lm_str text)
{
    uint8_t worst = COLUMN_TAME;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\' || c < 0x20) return COLUMN_WILD;
        if (c == ' ' || c == '\'' || c == '[' || c == ']' || c == '(' || c == ')' || c == '{' ||
            c == '}' || c == '<' || c == '>' || c == ',' || c == ';' || c == '|' || c >= 0x7f) {
            worst = COLUMN_TAME_IN_JSON;
        }
    }
    return worst;
}

static uint8_t texts_manners(const lm_str *texts, uint32_t count)
{
    uint8_t worst = COLUMN_TAME;
    for (uint32_t i = 0; i < count && worst != COLUMN_WILD; i++) {
        uint8_t one = text_manners(texts[i]);
        if (one > worst) worst = one;
    }
    return worst;
}

static bool is_level_word(lm_str text)
{
    return text.len > 2 && lm_severity_parse(text) != LM_SEV_UNKNOWN;
}

/* Could such words be in the column, by what its stamp says? All have letters behind f. */
static bool may_have_levels(lm_value_stamp stamp)
{
    enum { LEVEL_BYTES_MAX = 13 };

    return stamp.classes & (LM_CHARS_LOWER | LM_CHARS_UPPER) && stamp.len_min <= LEVEL_BYTES_MAX;
}

/* Words of levels among other values: where one stands the schema may see another format. */
static lm_err levels_among(lm_segment *segment, int32_t column, bool *out)
{
    const lm_values *values = NULL;
    const lm_str *texts;
    uint32_t count, levels = 0, at = (uint32_t)column;
    lm_value_stamp stamp = lm_segment_stamp(segment, at);
    *out = false;
    if (!may_have_levels(stamp)) return LM_OK;
    if (lm_segment_column_words(segment, at, &texts, &count)) {
        for (uint32_t i = 0; i < count; i++)
            levels += is_level_word(texts[i]);
        *out = levels && (levels < count || !lm_segment_column_texts(segment, at, &texts, &count));
        return LM_OK;
    }
    if (stamp.count > LM_SAMPLES_ALL) return LM_OK;
    lm_err err = lm_segment_values(segment, at, &values); /* the pool's: few */
    if (err) return err == LM_E_CORRUPT ? LM_OK : err;
    for (uint32_t i = 0; i < lm_values_count(values); i++) {
        uint8_t room[LM_VALUE_ROOM];
        levels += is_level_word(lm_values_text(values, i, room));
    }
    *out = levels && levels < lm_values_count(values);
    return LM_OK;
}

/* Are all its texts samples? */
static bool has_few(lm_segment *segment, int32_t column)
{
    const lm_str *texts;
    uint32_t count;
    if (lm_segment_column_texts(segment, (size_t)column, &texts, &count))
        return count <= LM_SAMPLES_ALL;
    return lm_segment_stamp(segment, (size_t)column).count <= LM_SAMPLES_ALL;
}

static lm_err column_manners(survey *s, int32_t column, uint8_t *out)
{
    uint8_t *known = &s->plan->manners[column];
    if (*known == COLUMN_UNSEEN) {
        lm_segment *segment = s->exec->segment;
        const lm_values *values = NULL;
        const lm_str *texts;
        uint32_t count;
        uint16_t layout;
        *known = COLUMN_TAME;
        bool is_plain = !(lm_segment_stamp(segment, (size_t)column).classes & LM_CHARS_OTHER);
        bool is_mixed = false;
        lm_err levels_err = levels_among(segment, column, &is_mixed);
        if (levels_err) return levels_err;
        if (is_mixed) {
            *known = has_few(segment, column) ? COLUMN_FEW : COLUMN_WILD;
        } else if (is_plain || lm_segment_column_is_time(segment, (size_t)column, &layout)) {
            *known = COLUMN_TAME;
        } else if (lm_segment_column_texts(segment, (size_t)column, &texts, &count)) {
            *known = texts_manners(texts, count);
            if (*known != COLUMN_TAME && count <= LM_SAMPLES_ALL) *known = COLUMN_FEW;
        } else {
            lm_err err = lm_segment_values(segment, (size_t)column, &values);
            if (err && err != LM_E_CORRUPT) return err;
            if (err) *known = COLUMN_WILD;
            for (uint32_t i = 0; !err && i < lm_values_count(values) && *known != COLUMN_WILD;
                 i++) {
                uint8_t room[128];
                lm_str text = lm_values_text(values, i, room);
                uint8_t one = texts_manners(&text, 1);
                if (one > *known) *known = one;
            }
        }
    }
    *out = *known;
    return LM_OK;
}

/* A place holds for every line of the shape only if no variable can pose as structure. Inside "..."
 * - which a whole line of JSON is, where it matters - only quotes and backslashes could. */
static lm_err shape_distrust(survey *s, const lm_shape *shape, field_place *found)
{
    bool is_json = shape->piece_count > 0 && shape->pieces[0].column < 0 &&
                   shape->pieces[0].text.len > 0 && shape->pieces[0].text.ptr[0] == '{';
    bool is_quoted = false;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        const lm_piece *piece = &shape->pieces[i];
        uint8_t manners;
        if (piece->column < 0) {
            for (size_t k = 0; k < piece->text.len; k++)
                is_quoted ^= piece->text.ptr[k] == '"';
            continue;
        }
        lm_err err = column_manners(s, piece->column, &manners);
        if (err) return err;
        if (manners == COLUMN_WILD || (manners == COLUMN_TAME_IN_JSON && !is_json && !is_quoted)) {
            *found = (field_place){.kind = PLACE_SCATTERED};
            return LM_OK;
        }
    }
    return LM_OK;
}

/* ---- the plan of a field --------------------------------------------------------------------- */

/* So many that every text of a column that is not tame, but has few, comes up. */
static lm_err samples_count(survey *s, const lm_shape *shape, unsigned *out)
{
    *out = SAMPLES;
    for (uint32_t i = 0; i < shape->piece_count; i++) {
        uint8_t manners = COLUMN_TAME;
        if (shape->pieces[i].column < 0) continue;
        lm_err err = column_manners(s, shape->pieces[i].column, &manners);
        if (err) return err;
        if (manners == COLUMN_FEW) *out = LM_SAMPLES_ALL;
        const uint32_t *kinds; /* each comes up in all its ways */
        uint32_t count =
            lm_segment_column_kinds(s->exec->segment, (size_t)shape->pieces[i].column, &kinds);
        if (count * SAMPLES > *out) *out = count * SAMPLES;
    }
    return LM_OK;
}

/* Where the field is in lines of the shape; found out when first asked. */
static lm_err place_get(survey *s, uint32_t shape_index, const field_place **out)
{
    const lm_shape *shape = &s->exec->shapes[shape_index];
    field_place *known = &s->plan->places[shape_index];
    if (known->kind == PLACE_UNSEEN) {
        field_place found = {.kind = PLACE_UNSEEN};
        unsigned samples = 0;
        lm_err samples_err = samples_count(s, shape, &samples);
        if (samples_err) return samples_err;
        for (unsigned which = 0; which < samples && found.kind != PLACE_SCATTERED; which++) {
            lm_err err = sample_take(s, shape, which, &found);
            if (err) return err;
        }
        lm_err err = found.kind == PLACE_SCATTERED ? LM_OK : shape_distrust(s, shape, &found);
        if (err) return err;
        *known = found;
    }
    *out = known;
    return LM_OK;
}

static lm_err plan_get(lm_exec *exec, lm_str name, lm_field_plan **out)
{
    for (lm_field_plan *plan = exec->plans; plan; plan = plan->next) {
        if (!lm_str_equal(plan->name, name)) continue;
        *out = plan;
        return LM_OK;
    }
    lm_field_plan *plan = lm_arena_alloc(&exec->arena, sizeof *plan, _Alignof(lm_field_plan));
    uint8_t *manners = lm_arena_alloc(&exec->arena, exec->column_count, 1);
    field_place *places =
        lm_arena_alloc(&exec->arena, exec->shape_count * sizeof *places, _Alignof(field_place));
    if (!plan || !manners || !places) return lm_mem_err();
    *plan = (lm_field_plan){exec->plans, name, places, manners};
    memset(manners, COLUMN_UNSEEN, exec->column_count);
    memset(places, 0, exec->shape_count * sizeof *places);
    exec->plans = plan;
    *out = plan;
    return LM_OK;
}

/* ---- a comparison over values ---------------------------------------------------------------- */

/* Results already known for one column and the text around its values. */
typedef struct memo {
    struct memo *next;
    int32_t column;
    lm_str before, after;
    lm_cond_bits bits;
} memo;

typedef struct tester {
    lm_exec *exec;
    const lm_node *node;
    lm_str before, after;
    lm_buf text; /* value with the text around it */
} tester;

static lm_err value_test(tester *t, lm_str value, bool *out)
{
    if (t->before.len || t->after.len) {
        t->text.len = 0;
        lm_err err = lm_buf_append(&t->text, t->before.ptr, t->before.len);
        if (!err) err = lm_buf_append(&t->text, value.ptr, value.len);
        if (!err) err = lm_buf_append(&t->text, t->after.ptr, t->after.len);
        if (err) return err;
        value = (lm_str){t->text.ptr, t->text.len};
    }
    return lm_field_match(t->exec->query, t->node, true, value, &t->exec->room, out);
}

static lm_err dictionary_test(tester *t, const lm_str *texts, uint32_t text_count,
                              const uint32_t *index, uint32_t count, uint64_t *bits)
{
    uint8_t *fits = lm_arena_alloc(&t->exec->arena, text_count, 1);
    if (!fits) return lm_mem_err();
    for (uint32_t i = 0; i < text_count; i++) {
        bool one;
        lm_err err = value_test(t, texts[i], &one);
        if (err) return err;
        fits[i] = one;
    }
    for (uint32_t i = 0; i < count; i++)
        bits[i / 64] |= (uint64_t)fits[index[i]] << i % 64;
    return LM_OK;
}

static lm_err values_test(tester *t, const lm_values *values, uint32_t count, uint64_t *bits)
{
    const int64_t *ints = NULL;
    bool has_ints = lm_values_ints(values, &ints), fits = false;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t room[LM_VALUE_ROOM];
        if (i == 0 || !has_ints || ints[i] != ints[i - 1]) {
            lm_err err = value_test(t, lm_values_text(values, i, room), &fits);
            if (err) return err;
        }
        bits[i / 64] |= (uint64_t)fits << i % 64;
    }
    return LM_OK;
}

static lm_err column_test(lm_exec *exec, const lm_node *node, int32_t column,
                          const field_place *place, lm_cond_bits *out)
{
    const lm_values *values = NULL;
    lm_err err = lm_segment_values(exec->segment, (size_t)column, &values);
    if (err == LM_E_CORRUPT) {
        *out = (lm_cond_bits){LM_COND_UNKNOWN, 0, NULL};
        return LM_OK;
    }
    if (err) return err;
    uint32_t count = lm_values_count(values), text_count;
    size_t words = ((size_t)count + 63) / 64;
    uint64_t *bits = lm_arena_alloc(&exec->arena, words * 8, 8);
    if (!bits) return lm_mem_err();
    memset(bits, 0, words * 8);
    const lm_str *texts;
    const uint32_t *index;
    tester t = {.exec = exec, .node = node, .before = place->before, .after = place->after};
    lm_buf_init(&t.text, exec->mem);
    if (lm_values_dictionary(values, &texts, &text_count, &index)) {
        err = dictionary_test(&t, texts, text_count, index, count, bits);
    } else {
        err = values_test(&t, values, count, bits);
    }
    lm_buf_fini(&t.text);
    *out = (lm_cond_bits){LM_COND_SOME, count, bits};
    return err;
}

static lm_err column_test_once(lm_exec *exec, const lm_node *node, int32_t column,
                               const field_place *place, memo **memos, lm_cond_bits *out)
{
    for (memo *m = *memos; m; m = m->next) {
        if (m->column == column && lm_str_equal(m->before, place->before) &&
            lm_str_equal(m->after, place->after)) {
            *out = m->bits;
            return LM_OK;
        }
    }
    memo *m = lm_arena_alloc(&exec->arena, sizeof *m, _Alignof(memo));
    if (!m) return lm_mem_err();
    *m = (memo){*memos, column, place->before, place->after, {LM_COND_NONE, 0, NULL}};
    lm_err err = column_test(exec, node, column, place, &m->bits);
    if (err) return err;
    *memos = m;
    *out = m->bits;
    return LM_OK;
}

static lm_err shape_test(lm_exec *exec, const lm_node *node, uint32_t shape_index,
                         const field_place *place, memo **memos, lm_row_plan *plan)
{
    const lm_shape *shape = &exec->shapes[shape_index];
    lm_err err = LM_OK;
    bool fits = false;
    lm_cond_bits bits;
    uint8_t act = LM_ACT_MAYBE;
    switch ((place_kind)place->kind) {
    case PLACE_UNSEEN:
    case PLACE_SCATTERED:
        break;
    case PLACE_MISSING:
    case PLACE_CONSTANT:
        err = lm_field_match(exec->query, node, place->kind == PLACE_CONSTANT, place->before,
                             &exec->room, &fits);
        act = fits ? LM_ACT_ALWAYS : LM_ACT_NEVER;
        break;
    case PLACE_VARIABLE:
        err = column_test_once(exec, node, shape->pieces[place->piece].column, place, memos, &bits);
        if (err || bits.state == LM_COND_UNKNOWN) break;
        act = LM_ACT_WAYS;
        size_t first_term = plan->term_count;
        err = lm_row_plan_term(exec, plan, shape, place->piece, &bits);
        if (!err) err = lm_row_plan_way(exec, plan, first_term);
        break;
    }
    plan->acts[shape_index] = act;
    return err;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Rows whose record's first line has its say: heads of care. */
static void heads_of(const lm_exec *exec, const uint64_t *care, uint64_t *heads)
{
    if (!exec->continues) {
        memcpy(heads, care, exec->word_count * 8);
        return;
    }
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = care[w]; left; left &= left - 1) {
            lm_row_put(heads,
                       lm_exec_head(exec, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left)));
        }
    }
}

/* What was found for first lines holds for the lines behind them. */
static void heads_spread(const lm_exec *exec, const uint64_t *care, const uint64_t *head_set,
                         uint64_t *out)
{
    for (size_t w = 0; w < exec->word_count; w++) {
        if (!exec->continues) {
            out[w] = head_set[w] & care[w];
            continue;
        }
        for (uint64_t left = care[w]; left; left &= left - 1) {
            uint32_t row = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);
            if (lm_row_has(head_set, lm_exec_head(exec, row))) lm_row_put(out, row);
        }
    }
}

static uint64_t set_count(const lm_exec *exec, const uint64_t *set)
{
    uint64_t count = 0;
    for (size_t w = 0; w < exec->word_count; w++)
        count += (uint64_t)__builtin_popcountll(set[w]);
    return count;
}

/* Heads of records whose second line may tell the level, where that is asked for. */
static void heads_below(const lm_exec *exec, const lm_node *node, const uint64_t *heads,
                        uint64_t *below)
{
    if (!lm_query_name_is_level(node->name)) return;
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = heads[w]; left; left &= left - 1) {
            uint32_t head = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);
            if (!lm_exec_goes_on(exec, head)) continue;
            const lm_shape *second = &exec->shapes[exec->shape_of_row[head + 1]];
            lm_str begin = {(const uint8_t *)"", 0};
            if (second->piece_count && second->pieces[0].column < 0) begin = second->pieces[0].text;
            if (lm_schema_may_open_with_level(begin, second->piece_count == 1 && begin.len))
                lm_row_put(below, head);
        }
    }
}

/* Heads whose line has what a text or pattern demands: no other line can have the field's value,
 * but for those below. */
static lm_err heads_demand(lm_exec *exec, const lm_leaf *leaf, const uint64_t *below,
                           uint64_t *heads)
{
    lm_clause one = {&leaf->node->text, 1};
    lm_demand demand = leaf->node->demand;
    if (leaf->node->value_kind == LM_VALUE_TEXT) demand = (lm_demand){&one, 1, false};
    if (leaf->scan_count == 0) return LM_OK;
    uint64_t *kept = lm_exec_set(exec);
    if (!kept) return lm_mem_err();
    lm_err err = lm_exec_demand(exec, leaf, &demand, heads, kept);
    for (size_t w = 0; w < exec->word_count && !err; w++)
        heads[w] = kept[w] | (heads[w] & below[w]);
    lm_exec_set_free(exec, kept);
    return err;
}

/* Where the first line has no such field it is the second's turn to tell. */
static void below_may(const lm_exec *exec, const lm_field_plan *plan, const uint64_t *heads,
                      const uint64_t *below, uint64_t *yes, uint64_t *maybe)
{
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = heads[w] & below[w]; left; left &= left - 1) {
            uint32_t head = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);
            if (plan->places[exec->shape_of_row[head]].kind != PLACE_MISSING) continue;
            yes[w] &= ~(1ull << head % 64);
            lm_row_put(maybe, head);
        }
    }
}

static lm_err heads_test(lm_exec *exec, const lm_node *node, const uint64_t *heads,
                         const uint64_t *below, uint64_t *yes, uint64_t *maybe)
{
    if (exec->shape_count > SHAPES_MAX || set_count(exec, heads) < ROWS_WORTH_IT) {
        memcpy(maybe, heads, exec->word_count * 8);
        return LM_OK;
    }
    survey s = {.exec = exec};
    lm_row_plan plan;
    memo *memos = NULL;
    uint8_t *wanted = lm_arena_alloc(&exec->arena, exec->shape_count, 1);
    lm_err err = wanted ? plan_get(exec, node->name, &s.plan) : lm_mem_err();
    if (err) return err;
    memset(wanted, 0, exec->shape_count);
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = heads[w]; left; left &= left - 1)
            wanted[exec->shape_of_row[w * 64 + (size_t)__builtin_ctzll(left)]] = 1;
    }
    lm_buf_init(&s.line, exec->mem);
    lm_arena_init(&s.arena, exec->mem);
    err = lm_row_plan_init(exec, &plan);
    for (uint32_t i = 0; i < exec->shape_count && !err; i++) {
        const field_place *place = NULL;
        plan.first_way[i] = (uint32_t)plan.way_count;
        plan.acts[i] = LM_ACT_NEVER;
        if (!wanted[i]) continue;
        err = place_get(&s, i, &place);
        if (!err) err = shape_test(exec, node, i, place, &memos, &plan);
    }
    if (!err) err = lm_row_plan_run(exec, &plan, heads, yes, maybe);
    if (!err) below_may(exec, s.plan, heads, below, yes, maybe);
    lm_row_plan_fini(exec, &plan);
    lm_buf_fini(&s.line);
    lm_arena_fini(&s.arena);
    lm_mem_release(exec->mem, s.begins, s.begins_cap * sizeof *s.begins);
    return err;
}

lm_err lm_exec_field(lm_exec *exec, const lm_leaf *leaf, const uint64_t *care, uint64_t *yes,
                     uint64_t *maybe)
{
    uint64_t *heads = lm_exec_set(exec), *head_yes = lm_exec_set(exec),
             *head_maybe = lm_exec_set(exec), *below = lm_exec_set(exec);
    lm_err err = heads && head_yes && head_maybe && below ? LM_OK : lm_mem_err();
    if (!err) {
        heads_of(exec, care, heads);
        heads_below(exec, leaf->node, heads, below);
        err = heads_demand(exec, leaf, below, heads);
    }
    if (!err) err = heads_test(exec, leaf->node, heads, below, head_yes, head_maybe);
    if (!err) {
        heads_spread(exec, care, head_yes, yes);
        heads_spread(exec, care, head_maybe, maybe);
    }
    lm_exec_set_free(exec, heads);
    lm_exec_set_free(exec, head_yes);
    lm_exec_set_free(exec, head_maybe);
    lm_exec_set_free(exec, below);
    return err;
}

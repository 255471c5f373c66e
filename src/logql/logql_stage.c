/** Stages over one record: line filters, label filters, parsers, formats; errors stay with the
 * record as __error__, as Loki has it. */
#include "logql/logql_priv.h"

#include <stdio.h>

#define EXTRACTED LM_STR("_extracted")

struct lm_lq_regex_slot {
    lm_str pattern;
    lm_regex *regex;
};

#define RUN_REGEX_MAX 64

void lm_lq_run_init(lm_lq_run *run, lm_mem *mem, volatile const int *cancel)
{
    *run = (lm_lq_run){.mem = mem, .cancel = cancel};
    lm_arena_init(&run->scratch, mem);
    run->match = (lm_regex_room){mem, NULL};
    lm_lq_builder_init(&run->labels, mem);
    lm_buf_init(&run->text, mem);
}

void lm_lq_run_fini(lm_lq_run *run)
{
    for (size_t i = 0; i < run->regex_count; i++) {
        lm_regex_free(run->regexes[i].regex);
        lm_mem_release(run->mem, (void *)run->regexes[i].pattern.ptr,
                       run->regexes[i].pattern.len + 1);
    }
    lm_mem_release(run->mem, run->regexes, run->regex_cap * sizeof *run->regexes);
    lm_buf_fini(&run->text);
    lm_lq_builder_fini(&run->labels);
    lm_regex_room_fini(&run->match);
    lm_arena_fini(&run->scratch);
}

lm_err lm_lq_run_regex(lm_lq_run *run, lm_str pattern, lm_regex **out)
{
    for (size_t i = 0; i < run->regex_count; i++) {
        if (lm_str_equal(run->regexes[i].pattern, pattern)) {
            *out = run->regexes[i].regex;
            return LM_OK;
        }
    }
    lm_err err = lm_vec_grow(run->mem, &run->regexes, &run->regex_cap, run->regex_count + 1,
                             sizeof *run->regexes);
    lm_regex *regex = NULL;
    if (!err) err = lm_lq_regex_new(run->mem, pattern, 0, &regex);
    if (err) return err;
    uint8_t *copy = lm_mem_alloc(run->mem, pattern.len + 1);
    if (!copy) {
        lm_regex_free(regex);
        return lm_mem_err();
    }
    if (pattern.len) memcpy(copy, pattern.ptr, pattern.len);
    struct lm_lq_regex_slot slot = {{copy, pattern.len}, regex};
    if (run->regex_count == RUN_REGEX_MAX) { /* patterns made of values: the oldest goes */
        lm_regex_free(run->regexes[0].regex);
        lm_mem_release(run->mem, (void *)run->regexes[0].pattern.ptr,
                       run->regexes[0].pattern.len + 1);
        memmove(run->regexes, run->regexes + 1, --run->regex_count * sizeof *run->regexes);
    }
    run->regexes[run->regex_count++] = slot;
    *out = regex;
    return LM_OK;
}

/* ---- what is wanted of parsers ---- */

bool lm_lq_hints_wants(const lm_lq_run *run, lm_str name)
{
    const lm_lq_hints *hints = &run->hints;
    if (!hints->required) return true;
    for (uint32_t i = 0; i < hints->required_count; i++) {
        if (lm_str_equal(hints->required[i], name)) return true;
    }
    return false;
}

bool lm_lq_hints_wants_prefix(const lm_lq_run *run, lm_str prefix)
{
    const lm_lq_hints *hints = &run->hints;
    if (!hints->required) return true;
    for (uint32_t i = 0; i < hints->required_count; i++) {
        if (lm_str_starts(hints->required[i], prefix)) return true;
    }
    return false;
}

bool lm_lq_hints_done(const lm_lq_run *run)
{
    const lm_lq_hints *hints = &run->hints;
    if (hints->no_labels) return true;
    if (!hints->required || run->labels.count < hints->required_count) return false;
    for (uint32_t i = 0; i < hints->required_count; i++) {
        if (!lm_lq_builder_extracted(&run->labels, hints->required[i])) return false;
    }
    return true;
}

lm_err lm_lq_set_error(lm_lq_run *run, const char *error, lm_str details)
{
    run->labels.error = lm_str_of(error);
    if (details.len) {
        const uint8_t *copy = lm_arena_copy(&run->scratch, details.ptr, details.len);
        if (!copy) return lm_mem_err();
        run->labels.details = (lm_str){copy, details.len};
    }
    bool is_parser = strcmp(error, "JSONParserErr") == 0 || strcmp(error, "LogfmtParserErr") == 0;
    if (!is_parser || !run->hints.preserve_error) return LM_OK;
    return lm_lq_builder_set(&run->labels, LM_STR("__preserve_error__"), LM_STR("true"));
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/* [0-9A-Z_a-z] */
static const bool name_bytes[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
    ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
    ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1,
    ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['_'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,
    ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,
    ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1};

lm_err lm_lq_key_clean(lm_str key, lm_arena *scratch, lm_str *out)
{
    while (key.len && is_blank(key.ptr[0])) {
        key.ptr++;
        key.len--;
    }
    while (key.len && is_blank(key.ptr[key.len - 1]))
        key.len--;
    bool is_clean = key.len == 0 || !(key.ptr[0] >= '0' && key.ptr[0] <= '9');
    for (size_t i = 0; i < key.len && is_clean; i++)
        is_clean = name_bytes[key.ptr[i]];
    if (is_clean) {
        *out = key;
        return LM_OK;
    }
    uint8_t *text = lm_arena_alloc(scratch, key.len + 1, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    if (key.ptr[0] >= '0' && key.ptr[0] <= '9') text[len++] = '_';
    for (size_t i = 0; i < key.len;) {
        uint32_t c;
        i += lm_lq_utf8(key.ptr + i, key.len - i, &c);
        bool fits =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
        text[len++] = fits ? (uint8_t)c : '_';
    }
    *out = (lm_str){text, len};
    return LM_OK;
}

static lm_err longer_name(lm_str name, lm_arena *scratch, lm_str *out)
{
    uint8_t *text = lm_arena_alloc(scratch, name.len + EXTRACTED.len, 1);
    if (!text) return lm_mem_err();
    memcpy(text, name.ptr, name.len);
    memcpy(text + name.len, EXTRACTED.ptr, EXTRACTED.len);
    *out = (lm_str){text, name.len + EXTRACTED.len};
    return LM_OK;
}

lm_err lm_lq_extracted(lm_lq_run *run, lm_str name, lm_str value)
{
    if (lm_lq_builder_collides(&run->labels, name)) {
        lm_err err = longer_name(name, &run->scratch, &name);
        if (err) return err;
    }
    if (!lm_lq_hints_wants(run, name) || lm_lq_builder_extracted(&run->labels, name)) return LM_OK;
    /* A longer name may be that of metadata, which gives way. */
    return run->labels.has_metadata ? lm_lq_builder_set(&run->labels, name, value)
                                    : lm_lq_builder_add(&run->labels, name, value);
}

/* ---- filters ---- */

static lm_err text_fits(lm_lq_run *run, const lm_lq_stage *stage, const lm_lq_text *text,
                        lm_str line, bool *out)
{
    if (text->is_ip) {
        *out = lm_lq_ip_find(&text->ip, line);
        return LM_OK;
    }
    switch (stage->op) {
    case LM_HAS:
    case LM_HAS_NOT:
        *out = lm_str_find(line, text->text) != SIZE_MAX;
        return LM_OK;
    case LM_FITS:
    case LM_FITS_NOT:
        return lm_regex_find(text->regex, line, 0, &run->match, out, NULL);
    default:
        *out = lm_lq_pattern_test(&text->pattern, line);
        return LM_OK;
    }
}

static lm_err line_fits(lm_lq_run *run, const lm_lq_stage *stage, lm_str line, bool *out)
{
    bool found = false;
    for (uint32_t i = 0; i < stage->text_count && !found; i++) {
        lm_err err = text_fits(run, stage, &stage->texts[i], line, &found);
        if (err) return err;
    }
    bool excludes =
        stage->op == LM_HAS_NOT || stage->op == LM_FITS_NOT || stage->op == LM_PATTERN_NOT;
    *out = found != excludes;
    return LM_OK;
}

static bool compare(lm_lq_compare how, int order, bool is_unordered)
{
    switch (how) {
    case LM_LQ_EQ:
        return !is_unordered && order == 0;
    case LM_LQ_NE:
        return is_unordered || order != 0;
    case LM_LQ_GT:
        return !is_unordered && order > 0;
    case LM_LQ_GE:
        return !is_unordered && order >= 0;
    case LM_LQ_LT:
        return !is_unordered && order < 0;
    default:
        return !is_unordered && order <= 0;
    }
}

static lm_err filter_error(lm_lq_run *run, const char *before, lm_str value, const char *after)
{
    if (run->labels.error.len) return LM_OK; /* the first error is the more useful one */
    char text[400];
    int len = snprintf(text, sizeof text, "%s\"%.*s\"%s", before,
                       (int)(value.len < 200 ? value.len : 200), (const char *)value.ptr, after);
    return lm_lq_set_error(run, "LabelFilterErr", (lm_str){(const uint8_t *)text, (size_t)len});
}

/** Says whether the number or the unit is at fault. */
static lm_err size_error(lm_lq_run *run, lm_str value)
{
    double number;
    size_t digits = 0;
    while (digits < value.len && value.ptr[digits] < 0x80 &&
           strchr("0123456789.,", value.ptr[digits]) && value.ptr[digits])
        digits++;
    lm_str head = {value.ptr, digits};
    if (!lm_lq_float(head, &number))
        return filter_error(run, "strconv.ParseFloat: parsing ", head, ": invalid syntax");
    char text[240];
    int len = snprintf(text, sizeof text, "unhandled size name: %.*s",
                       (int)(value.len - digits < 200 ? value.len - digits : 200),
                       (const char *)value.ptr + digits);
    if (run->labels.error.len) return LM_OK;
    return lm_lq_set_error(run, "LabelFilterErr", (lm_str){(const uint8_t *)text, (size_t)len});
}

static lm_err value_fits(lm_lq_run *run, const lm_lq_filter *filter, lm_str value, bool *out)
{
    double number;
    int64_t ns;
    uint64_t bytes;
    *out = true; /* also where the value is no number: the record goes on with an error */
    switch (filter->kind) {
    case LM_LQ_F_NUMBER:
        if (!lm_lq_float(value, &number))
            return filter_error(run, "strconv.ParseFloat: parsing ", value, ": invalid syntax");
        *out = compare(filter->compare, (number > filter->number) - (number < filter->number),
                       isnan(number) || isnan(filter->number));
        return LM_OK;
    case LM_LQ_F_DURATION:
        if (!lm_lq_duration_go(value, &ns))
            return filter_error(run, "time: invalid duration ", value, "");
        *out = compare(filter->compare, (ns > filter->ns) - (ns < filter->ns), false);
        return LM_OK;
    default:
        if (!lm_lq_bytes(value, &bytes)) return size_error(run, value);
        *out = compare(filter->compare, (bytes > filter->bytes) - (bytes < filter->bytes), false);
        return LM_OK;
    }
}

lm_err lm_lq_filter_test(lm_lq_run *run, const lm_lq_filter *filter, bool *out)
{
    lm_lq_builder *labels = &run->labels;
    lm_str name = filter->matcher.is.name, value;
    bool left = false, right = false;
    lm_err err;
    switch (filter->kind) {
    case LM_LQ_F_AND:
        err = lm_lq_filter_test(run, filter->left, &left);
        if (!err) err = lm_lq_filter_test(run, filter->right, &right); /* it may set the error */
        *out = left && right;
        return err;
    case LM_LQ_F_OR:
        err = lm_lq_filter_test(run, filter->left, &left);
        if (!err && !left) err = lm_lq_filter_test(run, filter->right, &right);
        *out = left || right;
        return err;
    case LM_LQ_F_STRING:
        if (lm_str_equal(name, LM_STR("__error__"))) {
            value = labels->error;
        } else {
            (void)lm_lq_builder_get(labels, name, &value); /* none: compared as empty */
        }
        return lm_lq_matcher_test(&filter->matcher, value, &run->match, out);
    case LM_LQ_F_IP:
        *out = true;
        if (labels->error.len) return LM_OK; /* only text filters drop records with errors */
        *out = false;
        if (!lm_lq_builder_get(labels, name, &value)) return LM_OK;
        *out = lm_lq_ip_find(&filter->ip, value) == (filter->compare == LM_LQ_EQ);
        return LM_OK;
    default:
        *out = false;
        if (!lm_lq_builder_get(labels, name, &value)) return LM_OK;
        return value_fits(run, filter, value, out);
    }
}

/* ---- parsers of plain text ---- */

static lm_err run_regexp(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    bool found = false;
    const size_t *groups = NULL;
    lm_err err = lm_regex_find(stage->regex, line, 0, &run->match, &found, &groups);
    if (err || !found) return err;
    for (uint32_t i = 1; i < stage->count && !err; i++) {
        if (!stage->names[i].len) continue;
        lm_str value = LM_STR("");
        if (groups[2 * i] != SIZE_MAX)
            value = (lm_str){line.ptr + groups[2 * i], groups[2 * i + 1] - groups[2 * i]};
        err = lm_lq_extracted(run, stage->names[i], value);
    }
    return err;
}

static lm_err run_pattern(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    if (lm_lq_hints_done(run)) return LM_OK;
    lm_str *values =
        lm_arena_alloc(&run->scratch, (stage->count + 1) * sizeof *values, _Alignof(lm_str));
    if (!values) return lm_mem_err();
    uint32_t count = lm_lq_pattern_match(&stage->pattern, line, values);
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = lm_lq_extracted(run, stage->names[i], values[i]);
    return err;
}

/* ---- formats ---- */

static lm_err keep_text(lm_lq_run *run, lm_str *out)
{
    const uint8_t *copy = lm_arena_copy(&run->scratch, run->text.ptr, run->text.len);
    if (!copy) return lm_mem_err();
    *out = (lm_str){copy, run->text.len};
    return LM_OK;
}

static lm_err run_line_format(lm_lq_run *run, const lm_lq_stage *stage, int64_t time_ns,
                              lm_str *io_line)
{
    lm_str simple = lm_lq_template_simple(stage->tmpl);
    if (simple.len) {
        if (!lm_lq_builder_get(&run->labels, simple, io_line)) *io_line = LM_STR("");
        return LM_OK;
    }
    bool failed = false;
    lm_str why = LM_STR("");
    run->text.len = 0;
    lm_err err = lm_lq_template_run(stage->tmpl, run, *io_line, time_ns, &run->text, &failed, &why);
    if (err) return err;
    if (failed) return lm_lq_set_error(run, "TemplateFormatErr", why);
    return keep_text(run, io_line);
}

/** All templates of one stage see the labels as the first of them found them. */
static lm_err run_label_format(lm_lq_run *run, const lm_lq_stage *stage, lm_str line,
                               int64_t time_ns)
{
    lm_labels view;
    bool has_view = false;
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < stage->count && !err; i++) {
        const lm_lq_format *format = &stage->formats[i];
        lm_str value = LM_STR("");
        if (format->is_rename) {
            if (!lm_lq_builder_get(&run->labels, format->value, &value)) continue;
            err = lm_lq_builder_set(&run->labels, format->name, value);
            if (!err) err = lm_lq_builder_delete(&run->labels, format->value);
            continue;
        }
        if (!has_view && stage->count > 1) {
            err = lm_lq_builder_labels(&run->labels, &run->scratch, &view, NULL, NULL);
            if (err) return err;
            has_view = true;
            run->view = &view;
        }
        bool failed = false;
        lm_str why = LM_STR("");
        run->text.len = 0;
        err = lm_lq_template_run(format->tmpl, run, line, time_ns, &run->text, &failed, &why);
        if (!err && failed) {
            err = lm_lq_set_error(run, "TemplateFormatErr", why);
        } else if (!err) {
            err = keep_text(run, &value);
            if (!err) err = lm_lq_builder_set(&run->labels, format->name, value);
        }
    }
    run->view = NULL;
    return err;
}

static lm_err run_decolorize(lm_lq_run *run, const lm_lq_stage *stage, lm_str *io_line)
{
    if (!io_line->len ||
        (!memchr(io_line->ptr, 0x1b, io_line->len) && !memchr(io_line->ptr, 0x9b, io_line->len)))
        return LM_OK;
    run->text.len = 0;
    lm_err err =
        lm_lq_regex_replace(stage->regex, *io_line, LM_STR(""), true, &run->match, &run->text);
    return err ? err : keep_text(run, io_line);
}

/* ---- drop and keep ---- */

static lm_err run_drop(lm_lq_run *run, const lm_lq_stage *stage)
{
    lm_lq_builder *labels = &run->labels;
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < stage->count && !err; i++) {
        const lm_lq_named *named = &stage->named[i];
        bool is_error = lm_str_equal(named->name, LM_STR("__error__"));
        bool is_details = lm_str_equal(named->name, LM_STR("__error_details__"));
        lm_str value;
        bool has = lm_lq_builder_get(labels, named->name, &value);
        bool fits = has;
        if (is_error) value = labels->error;
        if (is_details) value = labels->details;
        if (is_error || is_details) fits = true;
        if (named->has_matcher)
            err = lm_lq_matcher_test(&named->matcher, value, &run->match, &fits);
        if (err || !fits) continue;
        if (is_error) {
            labels->error = LM_STR("");
        } else if (is_details) {
            labels->details = LM_STR("");
        } else {
            err = lm_lq_builder_delete(labels, named->name);
        }
    }
    return err;
}

static lm_err is_kept(lm_lq_run *run, const lm_lq_stage *stage, const lm_label *label, bool *out)
{
    *out = lm_str_equal(label->name, LM_STR("__error__")) ||
           lm_str_equal(label->name, LM_STR("__error_details__")) ||
           lm_str_equal(label->name, LM_STR("__preserve_error__"));
    for (uint32_t i = 0; i < stage->count && !*out; i++) {
        const lm_lq_named *named = &stage->named[i];
        if (!lm_str_equal(named->name, label->name)) continue;
        *out = true;
        if (!named->has_matcher) continue;
        lm_err err = lm_lq_matcher_test(&named->matcher, label->value, &run->match, out);
        if (err) return err;
    }
    return LM_OK;
}

static lm_err run_keep(lm_lq_run *run, const lm_lq_stage *stage)
{
    lm_labels all;
    lm_err err = lm_lq_builder_labels(&run->labels, &run->scratch, &all, NULL, NULL);
    for (uint32_t i = 0; i < all.count && !err; i++) {
        bool kept = false;
        err = is_kept(run, stage, &all.items[i], &kept);
        if (!err && !kept) err = lm_lq_builder_delete(&run->labels, all.items[i].name);
    }
    return err;
}

/** A record that has such a label is told by it. */
static lm_err run_template_id(lm_lq_run *run, const lm_lq_stage *stage, lm_str line, bool *out)
{
    lm_str value;
    if (lm_lq_builder_get(&run->labels, stage->filter->matcher.is.name, &value))
        return lm_lq_filter_test(run, stage->filter, out);
    *out = stage->id->is_known && lm_lq_template_text_test(&stage->id->pattern, line);
    return LM_OK;
}

/* ---- all of them ---- */

static lm_err run_stage(lm_lq_run *run, const lm_lq_stage *stage, int64_t time_ns, lm_str *io_line,
                        bool *out_passes)
{
    switch (stage->kind) {
    case LM_LQ_S_LINE:
        return line_fits(run, stage, *io_line, out_passes);
    case LM_LQ_S_FILTER:
        return lm_lq_filter_test(run, stage->filter, out_passes);
    case LM_LQ_S_TEMPLATE:
        *out_passes = lm_lq_template_text_test(&stage->pattern, *io_line);
        return LM_OK;
    case LM_LQ_S_TEMPLATE_ID:
        return run_template_id(run, stage, *io_line, out_passes);
    case LM_LQ_S_JSON:
        return lm_lq_json_run(run, *io_line);
    case LM_LQ_S_JSON_EXPR:
        return lm_lq_json_expr_run(run, stage, *io_line);
    case LM_LQ_S_LOGFMT:
        return lm_lq_logfmt_run(run, stage, *io_line);
    case LM_LQ_S_LOGFMT_EXPR:
        return lm_lq_logfmt_expr_run(run, stage, *io_line);
    case LM_LQ_S_PATTERN:
        return run_pattern(run, stage, *io_line);
    case LM_LQ_S_REGEXP:
        return run_regexp(run, stage, *io_line);
    case LM_LQ_S_UNPACK:
        return lm_lq_unpack_run(run, io_line);
    case LM_LQ_S_LINE_FORMAT:
        return run_line_format(run, stage, time_ns, io_line);
    case LM_LQ_S_LABEL_FORMAT:
        return run_label_format(run, stage, *io_line, time_ns);
    case LM_LQ_S_DECOLORIZE:
        return run_decolorize(run, stage, io_line);
    case LM_LQ_S_DROP:
        return run_drop(run, stage);
    case LM_LQ_S_KEEP:
        return run_keep(run, stage);
    }
    return LM_OK;
}

lm_err lm_lq_stages_run(lm_lq_run *run, const lm_lq_stage *stages, uint32_t count, const bool *skip,
                        int64_t time_ns, lm_str *io_line, bool *out_passes)
{
    bool passes = true;
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < count && passes && !err; i++) {
        if (!skip || !skip[i]) err = run_stage(run, &stages[i], time_ns, io_line, &passes);
    }
    *out_passes = passes;
    return err;
}

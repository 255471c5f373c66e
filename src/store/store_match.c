/** What a question asks, in the words of the search room. */
#include "store/store_priv.h"

typedef struct one_matcher {
    lm_matcher matcher;
    lm_query *query; /* LM_LIKE, LM_UNLIKE: the whole value as a line */
} one_matcher;

struct store_matchers {
    lm_mem *mem;
    one_matcher *items;
    uint32_t count;
};

/** Text in quotes, as the query language reads it back byte for byte. */
static lm_err put_quoted(lm_str text, const char *before, const char *behind, lm_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    lm_err err = lm_buf_reserve(out, text.len * 4 + strlen(before) + strlen(behind) + 2);
    if (err) return err;
    uint8_t *at = out->ptr + out->len;
    *at++ = '"';
    at = (uint8_t *)stpcpy((char *)at, before);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == ' ' || c >= 0x80;
        if (is_plain) {
            *at++ = c;
        } else {
            *at++ = '\\';
            *at++ = 'x';
            *at++ = (uint8_t)hex[c >> 4];
            *at++ = (uint8_t)hex[c & 15];
        }
    }
    at = (uint8_t *)stpcpy((char *)at, behind);
    *at++ = '"';
    out->len = (size_t)(at - out->ptr);
    return LM_OK;
}

static lm_err whole_pattern(lm_mem *mem, lm_str pattern, lm_query **out)
{
    lm_buf text;
    lm_buf_init(&text, mem);
    lm_err err = lm_buf_append(&text, "|~ ", 3);
    /* \x28?: and \x29 stand for the brackets of a group. */
    if (!err) err = put_quoted(pattern, "\\x5cA\\x28?:", "\\x29\\x5cz", &text);
    if (!err) err = lm_query_parse(mem, (lm_str){text.ptr, text.len}, out);
    lm_buf_fini(&text);
    return err;
}

lm_err store_matchers_new(lm_mem *mem, const lm_select *what, store_matchers **out)
{
    store_matchers *made = lm_mem_calloc(mem, 1, sizeof *made);
    if (!made) return lm_mem_err();
    made->mem = mem;
    made->items = lm_mem_calloc(mem, what->matcher_count, sizeof *made->items);
    lm_err err = made->items ? LM_OK : lm_mem_err();
    made->count = made->items ? what->matcher_count : 0;
    for (uint32_t i = 0; i < made->count && !err; i++) {
        made->items[i].matcher = what->matchers[i];
        if (what->matchers[i].op == LM_LIKE || what->matchers[i].op == LM_UNLIKE)
            err = whole_pattern(mem, what->matchers[i].value, &made->items[i].query);
    }
    if (err) {
        store_matchers_free(made);
        return err;
    }
    *out = made;
    return LM_OK;
}

void store_matchers_free(store_matchers *matchers)
{
    if (!matchers) return;
    for (uint32_t i = 0; i < matchers->count; i++)
        lm_query_free(matchers->items[i].query);
    lm_mem_release(matchers->mem, matchers->items, matchers->count * sizeof *matchers->items);
    lm_mem_release(matchers->mem, matchers, sizeof *matchers);
}

static bool item_match(const one_matcher *item, lm_str value)
{
    bool fits = false;
    switch (item->matcher.op) {
    case LM_IS:
        return lm_str_equal(value, item->matcher.value);
    case LM_IS_NOT:
        return !lm_str_equal(value, item->matcher.value);
    case LM_LIKE:
    case LM_UNLIKE:
        /* A pattern that needs too many steps on a label fits it not. */
        if (lm_query_match(item->query, value, NULL, &fits) != LM_OK) fits = false;
        return fits == (item->matcher.op == LM_LIKE);
    }
    return false;
}

bool store_matchers_match(const store_matchers *matchers, lm_labels labels)
{
    for (uint32_t i = 0; i < matchers->count; i++) {
        if (!item_match(&matchers->items[i],
                        lm_labels_get(labels, matchers->items[i].matcher.name)))
            return false;
    }
    return true;
}

lm_err store_filters_query(lm_mem *mem, const lm_select *what, lm_query **out)
{
    static const char *const signs[] = {
        [LM_HAS] = "|=",      [LM_HAS_NOT] = "!=", [LM_FITS] = "|~",
        [LM_FITS_NOT] = "!~", [LM_PATTERN] = "|>", [LM_PATTERN_NOT] = "!>",
    };
    lm_buf text;
    lm_buf_init(&text, mem);
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < what->filter_count && !err; i++) {
        const lm_line_filter *filter = &what->filters[i];
        err = lm_buf_append(&text, signs[filter->op], 2);
        for (uint32_t k = 0; k < filter->text_count && !err; k++) {
            if (k) err = lm_buf_append(&text, " or ", 4);
            if (!err) err = put_quoted(filter->texts[k], "", "", &text);
        }
        if (!err) err = lm_buf_u8(&text, ' ');
    }
    if (!err) err = lm_query_parse(mem, (lm_str){text.ptr, text.len}, out);
    lm_buf_fini(&text);
    return err;
}

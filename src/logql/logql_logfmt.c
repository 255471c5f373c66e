/** logfmt: key=value and key="quoted value", read as go-logfmt does; what cannot be read is skipped
 * up to the next blank, or ends the line when strict. */
#include "logql/logql_priv.h"

#include <stdio.h>

typedef struct decoder {
    lm_lq_run *run;
    lm_str line;
    size_t at;
    lm_str key, value;
    bool tells;      /* errors are wanted */
    char error[120]; /* the last; empty: none */
} decoder;

static bool has_broken_character(lm_str s)
{
    size_t i = 0;
    while (s.len - i >= 8 && !(lm_le64(s.ptr + i) & UINT64_C(0x8080808080808080)))
        i += 8; /* plain characters */
    while (i < s.len) {
        uint32_t c;
        i += lm_lq_utf8(s.ptr + i, s.len - i, &c);
        if (c == 0xFFFD) return true;
    }
    return false;
}

static bool fail(decoder *d, const char *why)
{
    if (!d->tells) return false;
    snprintf(d->error, sizeof d->error, "logfmt syntax error at pos %zu : %s", d->at + 1, why);
    return false;
}

static bool fail_byte(decoder *d, const char *quoted)
{
    char why[40];
    if (!d->tells) return false;
    snprintf(why, sizeof why, "unexpected %s", quoted);
    return fail(d, why);
}

static bool skip_value(decoder *d)
{
    while (d->at < d->line.len && d->line.ptr[d->at] > ' ')
        d->at++;
    return false;
}

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool hex4(lm_str s, size_t at, uint32_t *out)
{
    uint32_t value = 0;
    for (size_t i = at; i < at + 4; i++) {
        int digit = i < s.len ? hex_of(s.ptr[i]) : -1;
        if (digit < 0) return false;
        value = value * 16 + (uint32_t)digit;
    }
    *out = value;
    return true;
}

/** The inside of a quoted value with escapes, as JSON has them (and \'). false: it is invalid, or
 * *out_err. */
static bool unquote(decoder *d, lm_str s, lm_str *out, lm_err *out_err)
{
    static const char names[] = "\"\\/'bfnrt", meant[] = "\"\\/'\b\f\n\r\t";
    uint8_t *text = lm_arena_alloc(&d->run->scratch, s.len + 4, 1);
    size_t len = 0;
    if (!text) {
        *out_err = lm_mem_err();
        return false;
    }
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.ptr[i++];
        if (c != '\\') {
            if (c < ' ' || c == '"') return false;
            text[len++] = c;
            continue;
        }
        if (i == s.len) return false;
        c = s.ptr[i++];
        const char *name = c ? strchr(names, c) : NULL;
        if (name) {
            text[len++] = (uint8_t)meant[name - names];
            continue;
        }
        uint32_t value, low;
        if (c != 'u' || !hex4(s, i, &value)) return false;
        i += 4;
        if (value >= 0xD800 && value < 0xDC00 && i + 1 < s.len && s.ptr[i] == '\\' &&
            s.ptr[i + 1] == 'u' && hex4(s, i + 2, &low) && low >= 0xDC00 && low < 0xE000) {
            value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
        } else if (value >= 0xD800 && value < 0xE000) {
            value = 0xFFFD;
        }
        len += lm_lq_utf8_put(value, text + len);
    }
    *out = (lm_str){text, len};
    return true;
}

static bool scan_quoted(decoder *d, lm_err *out_err)
{
    size_t begin = ++d->at;
    bool has_escape = false;
    for (; d->at < d->line.len; d->at++) {
        uint8_t c = d->line.ptr[d->at];
        if (c == '\\') {
            has_escape = true;
            d->at++;
        } else if (c == '"') {
            lm_str inside = {d->line.ptr + begin, d->at - begin};
            d->at++;
            d->value = inside;
            if (!has_escape) return true;
            return unquote(d, inside, &d->value, out_err) || fail(d, "invalid quoted value");
        }
    }
    d->at = d->line.len;
    return fail(d, "unterminated quoted value");
}

/** The next key and value; false: none here (an error, or the end of the line). */
static bool scan(decoder *d, lm_err *out_err)
{
    const uint8_t *line = d->line.ptr;
    size_t len = d->line.len;
    d->key = d->value = LM_STR("");
    while (d->at < len && line[d->at] <= ' ')
        d->at++;
    if (d->at == len) return false;
    size_t begin = d->at;
    bool multibyte = false;
    while (d->at < len && line[d->at] > ' ' && line[d->at] != '=' && line[d->at] != '"')
        multibyte |= line[d->at++] >= 0x80;
    d->key = (lm_str){line + begin, d->at - begin};
    if (d->at < len && line[d->at] == '"') {
        (void)fail_byte(d, "'\"'");
        return skip_value(d);
    }
    if (multibyte && has_broken_character(d->key)) {
        (void)fail(d, "invalid key");
        return d->at < len && line[d->at] == '=' ? skip_value(d) : false;
    }
    if (d->at == len || line[d->at] != '=') return true;
    if (!d->key.len) {
        (void)fail_byte(d, "'='");
        return skip_value(d);
    }
    d->at++;
    if (d->at == len || line[d->at] <= ' ') return true;
    if (line[d->at] == '"') return scan_quoted(d, out_err);
    begin = d->at;
    while (d->at < len && line[d->at] > ' ' && line[d->at] != '=' && line[d->at] != '"')
        d->at++;
    if (d->at < len && line[d->at] > ' ') {
        (void)fail_byte(d, line[d->at] == '=' ? "'='" : "'\"'");
        return skip_value(d);
    }
    d->value = (lm_str){line + begin, d->at - begin};
    return true;
}

static lm_err blank_broken(lm_lq_run *run, lm_str *io_value)
{
    if (!has_broken_character(*io_value)) return LM_OK;
    uint8_t *text = lm_arena_alloc(&run->scratch, io_value->len, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    for (size_t i = 0; i < io_value->len;) {
        uint32_t c;
        size_t bytes = lm_lq_utf8(io_value->ptr + i, io_value->len - i, &c);
        if (c == 0xFFFD) {
            text[len++] = ' ';
        } else {
            memcpy(text + len, io_value->ptr + i, bytes);
            len += bytes;
        }
        i += bytes;
    }
    *io_value = (lm_str){text, len};
    return LM_OK;
}

static lm_err end(decoder *d, const lm_lq_stage *stage, lm_err err)
{
    if (err || !stage->strict || !d->error[0]) return err;
    return lm_lq_set_error(d->run, "LogfmtParserErr", lm_str_of(d->error));
}

lm_err lm_lq_logfmt_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    if (lm_lq_hints_done(run)) return LM_OK;
    decoder d = {.run = run, .line = line, .tells = stage->strict};
    lm_err err = LM_OK;
    while (d.at < line.len && !err) {
        lm_str name;
        if (!scan(&d, &err)) {
            if (err || stage->strict) break;
            continue;
        }
        err = lm_lq_key_clean(d.key, &run->scratch, &name);
        if (err || !name.len) continue;
        if (!stage->keep_empty && !d.value.len) continue;
        err = blank_broken(run, &d.value);
        if (!err) err = lm_lq_extracted(run, name, d.value);
        if (run->hints.required && lm_lq_hints_done(run)) break;
    }
    return end(&d, stage, err);
}

lm_err lm_lq_logfmt_expr_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    if (lm_lq_hints_done(run)) return LM_OK;
    decoder d = {.run = run, .line = line, .tells = stage->strict};
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < stage->extract_count && !err; i++) {
        if (!lm_lq_builder_collides(&run->labels, stage->extracts[i].name))
            err = lm_lq_builder_set(&run->labels, stage->extracts[i].name, LM_STR(""));
    }
    while (d.at < line.len && !err) {
        lm_str key;
        if (!scan(&d, &err)) {
            if (err || stage->strict) break;
            continue;
        }
        err = lm_lq_key_clean(d.key, &run->scratch, &key);
        if (err) break;
        const lm_lq_extract *found = NULL;
        for (uint32_t i = 0; i < stage->extract_count && !found; i++) {
            if (lm_str_equal(stage->extracts[i].key, key)) found = &stage->extracts[i];
        }
        if (!found) continue;
        lm_str name = found->name, value = d.value;
        if (has_broken_character(value)) value = LM_STR("");
        if (lm_lq_builder_collides(&run->labels, name)) {
            uint8_t *longer = lm_arena_alloc(&run->scratch, name.len + 10, 1);
            if (!longer) return lm_mem_err();
            memcpy(longer, name.ptr, name.len);
            memcpy(longer + name.len, "_extracted", 10);
            name = (lm_str){longer, name.len + 10};
            if (lm_lq_builder_extracted(&run->labels, name) || !lm_lq_hints_wants(run, name)) break;
        }
        err = lm_lq_builder_set(&run->labels, name, value);
    }
    return end(&d, stage, err);
}

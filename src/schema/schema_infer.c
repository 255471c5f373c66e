/**
 * The header that lines share, found by what is constant in kind and position.
 *
 * Every line is read item by item: a time, a severity word, a number, a name, something in
 * brackets, a separator. All lines go forward together, one item a column. A column is taken when
 * nearly all lines have the same kind of item there; where a strong kind (time, level, brackets) is
 * there for a good part of the lines, the others are left for a later round. Columns that by their
 * kind belong to headers are anchors; the header ends behind the last anchor, and the message
 * begins. Once a level or a time was followed by a terminator (`name: `, ` - `), numbers and names
 * are no anchors any more: message texts of one program look alike, too.
 *
 * The tree is written as pattern text; names come from the kinds (pid, logger, host, ...). Nothing
 * here knows any program.
 */
#include "schema/schema_infer_priv.h"

static const uint8_t *end_of(lm_str line)
{
    const uint8_t *newline = line.len ? memchr(line.ptr, '\n', line.len) : NULL;
    return newline ? newline : line.ptr + line.len;
}

static bool is_name_byte(uint8_t c)
{
    return lm_is_alpha(c) || lm_is_digit(c) || c >= 0x80 || memchr("_.$/@#<>()*-:\\+~%!&", c, 19);
}

/* Letters, then dots between words: org.example.Class, nova.compute.manager; not a number, a file
 * or a host:port. */
static bool is_dotted(lm_str s)
{
    size_t dots = 0, letters = 0;
    if (s.len < 3 || !lm_is_alpha(s.ptr[0])) return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '.') {
            if (i + 1 == s.len || !(lm_is_alpha(s.ptr[i + 1]) || s.ptr[i + 1] == '_')) return false;
            dots++;
        } else if (lm_is_alpha(c)) {
            letters++;
        } else if (!lm_is_digit(c) && !memchr("_$-#/<>", c, 7)) {
            return false;
        }
    }
    return dots && letters * 2 > s.len;
}

static item_kind kind_of_run(lm_str run)
{
    lm_value value = lm_value_of(run);
    size_t epoch_len;
    bool is_v6;
    switch (value.type) {
    case LM_TYPE_INT:
    case LM_TYPE_DECIMAL:
        if (lm_epoch_at(run.ptr, run.len, &epoch_len) && epoch_len == run.len) return ITEM_EPOCH;
        if (value.type == LM_TYPE_DECIMAL) return ITEM_NUMBER;
        return run.len <= 20 ? ITEM_INT : ITEM_NAME;
    case LM_TYPE_UUID:
    case LM_TYPE_HEX:
        return run.ptr[0] == '0' && run.len > 1 && run.ptr[1] == 'x' ? ITEM_NAME : ITEM_ID;
    case LM_TYPE_IPV4:
    case LM_TYPE_IPV6:
        return ITEM_IP;
    default:
        break;
    }
    if (lm_infer_key_len(run)) return ITEM_PAIR;
    size_t ip = lm_ip_len(run.ptr, run.len, &is_v6);
    if (ip && !is_v6 && ip < run.len && (run.ptr[ip] == ':' || run.ptr[ip] == '/'))
        return ITEM_NAME; /* with a port */
    for (size_t i = 0; i < run.len; i++) {
        if (!is_name_byte(run.ptr[i])) return ITEM_OTHER;
    }
    return ITEM_NAME;
}

static const uint8_t *bracket_end(const uint8_t *p, const uint8_t *end)
{
    unsigned depth = 0;
    for (const uint8_t *limit = end - p > 256 ? p + 256 : end; p < limit; p++) {
        if (*p == '[')
            depth++;
        else if (*p == ']' && --depth == 0)
            return p + 1;
    }
    return NULL;
}

/* name[123], name[123:4] */
static bool app_behind(const uint8_t *p, const uint8_t *end, size_t *out_len)
{
    const uint8_t *q = p + 1;
    if (p >= end || *p != '[') return false;
    while (q < end && (lm_is_digit(*q) || (*q == ':' && q > p + 1 && q + 1 < end && q[1] != ']')))
        q++;
    *out_len = (size_t)(q + 1 - p);
    return q > p + 1 && q < end && *q == ']';
}

/* {text} without quotes or braces inside, which would be data */
static const uint8_t *brace_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *limit = end - p > 128 ? p + 128 : end;
    for (p++; p < limit && *p != '}'; p++) {
        if (*p == '"' || *p == '{') return NULL;
    }
    return p < limit ? p + 1 : NULL;
}

/* One of syslog's facilities. */
static bool is_facility(lm_str s)
{
    static const char *const names[] = {"kern", "user", "mail", "daemon", "auth",     "syslog",
                                        "lpr",  "news", "uucp", "cron",   "authpriv", "ftp"};
    if (s.len == 6 && lm_str_starts(s, LM_STR("local"))) return lm_is_digit(s.ptr[5]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (lm_str_equal(s, lm_str_of(names[i]))) return true;
    }
    return false;
}

/* production.ERROR, daemon.err: a level behind the only dot of a name, in capitals or behind a
 * facility */
static bool is_app_level(lm_str s)
{
    const uint8_t *dot = s.len ? memchr(s.ptr, '.', s.len) : NULL;
    if (!dot || dot == s.ptr || !lm_is_alpha(s.ptr[0])) return false;
    size_t at = (size_t)(dot + 1 - s.ptr), n = s.len - at;
    bool any_case = is_facility(lm_str_cut(s, 0, at - 1));
    for (size_t i = at; i < s.len && !any_case; i++) {
        if (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') return false;
    }
    return n && lm_match_level(s.ptr + at, n) == n;
}

static bool is_level(item_kind kind)
{
    return kind == ITEM_LEVEL || kind == ITEM_WRAPPED_LEVEL || kind == ITEM_APP_LEVEL;
}

/* <Error>, *ERROR*, <W>: bytes of the whole; 0: it is none. */
static size_t wrapped_level(const uint8_t *p, size_t left)
{
    if (left < 3 || (*p != '<' && *p != '*')) return 0;
    uint8_t close = *p == '<' ? '>' : '*';
    size_t n = lm_match_level(p + 1, left - 1);
    if (n == 0 && *p == '<' && memchr("TDIWEFVNC", p[1], 9)) n = 1;
    return n && n + 1 < left && p[n + 1] == close ? n + 2 : 0;
}

/* The item at or behind position at. */
static item scan_item(lm_str line, size_t at)
{
    const uint8_t *end = end_of(line), *p = line.ptr + at, *begin = p;
    p = lm_skip_blanks(p, end);
    item it = {.kind = ITEM_END,
               .blanks = (uint32_t)(p - begin),
               .tab = p > begin && p[-1] == '\t',
               .text = {p, 0}};
    if (p >= end) return it;
    size_t left = (size_t)(end - p), n;
    lm_time time;
    /* *Nov 23 ...: a clock that is not set right */
    size_t mark = left > 1 && (*p == '*' || *p == '.') && lm_is_alpha(p[1]);
    bool time_like = mark || lm_is_digit(*p) || lm_is_alpha(*p);
    if (time_like && lm_time_parse(p + mark, left - mark, &time) &&
        (mark + time.len == left ||
         !(lm_is_alpha(p[mark + time.len]) || lm_is_digit(p[mark + time.len])))) {
        it.kind = ITEM_TIME;
        it.layout = time.layout;
        it.text.len = mark + time.len;
        return it;
    }
    const uint8_t *close = *p == '[' ? bracket_end(p, end) : NULL;
    bool is_split = close && left > 1 && lm_is_digit(p[1]) && lm_time_parse(p + 1, left - 1, &time);
    if (is_split && p + time.len + 1 < end && p[time.len + 1] == ']')
        close = p + time.len + 2; /* [date][clock] is one */
    it.text.len = 1;
    if (close) {
        it.kind = ITEM_BRACKET;
        it.text.len = (size_t)(close - p);
    } else if (*p == '|') {
        it.kind = ITEM_PIPE;
    } else if (*p == ':') { /* alone between blanks it separates as a dash does */
        bool alone = it.blanks > 0 && (left == 1 || lm_is_blank(p[1]));
        it.kind = alone ? ITEM_DASH : ITEM_COLON;
    } else if (*p == ',' || *p == ';') {
        it.kind = ITEM_COMMA;
    } else if (*p == '-' && (left == 1 || lm_is_blank(p[1]))) {
        it.kind = ITEM_DASH;
    } else if ((n = lm_match_level(p, left)) != 0) {
        it.kind = ITEM_LEVEL;
        it.text.len = n;
    } else if ((n = wrapped_level(p, left)) != 0) {
        it.kind = ITEM_WRAPPED_LEVEL;
        it.text.len = n;
    } else if (*p == '{' && (close = brace_end(p, end)) != NULL) {
        it.kind = ITEM_BRACE;
        it.text.len = (size_t)(close - p);
    } else {
        const uint8_t *q = p;
        while (q < end && !lm_is_blank(*q) && !memchr("|[],;\"\x1b", *q, 7))
            q++;
        if (q > p + 1 && q[-1] == ':') q--;
        it.text.len = (size_t)(q - p);
        it.kind = q == p ? ITEM_OTHER : kind_of_run(it.text);
        if (it.text.len == 0) it.text.len = 1;
        if (it.kind == ITEM_NAME && app_behind(q, end, &n)) {
            it.kind = ITEM_APP;
            it.text.len += n;
        }
        if (it.kind == ITEM_NAME && q < end && *q == '[' && lm_str_equal(it.text, LM_STR("##")))
            it.kind = ITEM_OTHER; /* ##[error]: the message begins */
        it.dotted = it.kind == ITEM_NAME && is_dotted(it.text);
        if (it.dotted && is_app_level(it.text)) it.kind = ITEM_APP_LEVEL;
    }
    return it;
}

/* ---- columns ---- */

static bool is_wordish(item_kind kind)
{
    return kind == ITEM_INT || kind == ITEM_NUMBER || kind == ITEM_IP || kind == ITEM_ID ||
           kind == ITEM_NAME || kind == ITEM_DASH || kind == ITEM_EPOCH;
}

static bool is_splitter(item_kind kind)
{
    return is_level(kind) || kind == ITEM_BRACKET || kind == ITEM_TIME || kind == ITEM_APP;
}

/* Which kind this column is; ITEM_OTHER: the header ends here. */
static item_kind choose_kind(const infer *f, const uint32_t counts[ITEM_KINDS], size_t n)
{
    item_kind best = ITEM_OTHER, split = ITEM_OTHER;
    size_t words = 0;
    for (unsigned k = 0; k < ITEM_KINDS; k++) {
        item_kind kind = (item_kind)k;
        if (is_wordish(kind)) words += counts[k];
        if (kind == ITEM_OTHER || kind == ITEM_END) continue;
        if (best == ITEM_OTHER || counts[k] > counts[best]) best = kind;
        if (is_splitter(kind) && (split == ITEM_OTHER || counts[k] > counts[split])) split = kind;
    }
    if (best == ITEM_OTHER || counts[best] == 0) return ITEM_OTHER;
    if (counts[best] * 20u >= n * 19) return best;
    if (words * 20 >= n * 19 && !f->terminated) return ITEM_WORD;
    if (split != ITEM_OTHER && counts[split] >= 3 && counts[split] * 5u >= n && !f->terminated)
        return split;
    return ITEM_OTHER;
}

static bool dotted_column(const column *c)
{
    return c->kind == ITEM_NAME && c->dotted * 10 >= c->count * 9;
}

/* `TraceID: 96b4...` in every line, behind a logger: the word is the name of what follows. */
static bool is_key_column(const infer *f)
{
    size_t ids = 0;
    bool has_logger = false;
    const column *key = &f->columns[f->column_count - 1];
    if (key->kind != ITEM_NAME || !key->is_constant || !f->has_level || f->count < 4) return false;
    for (size_t i = 0; i + 1 < f->column_count; i++)
        has_logger |= f->columns[i].kind == ITEM_NAME;
    for (size_t i = 0; i < f->count; i++) {
        item_kind kind = scan_item(f->lines[f->active[i]], f->at[i]).kind;
        ids += kind == ITEM_ID || kind == ITEM_INT || kind == ITEM_IP || kind == ITEM_EPOCH;
    }
    return has_logger && ids * 20 >= f->count * 19;
}

/* Is this a column that headers have? Also says when what follows must be the message. */
static bool judge(infer *f, column *c)
{
    const column *previous = f->column_count ? &f->columns[f->column_count - 1] : NULL;
    bool first = !previous;
    bool in_header = first || previous->is_anchor;
    bool many = c->count >= 4;
    switch (c->kind) {
    case ITEM_TIME:
    case ITEM_EPOCH:
        /* INFO: 2026-11-23 ...: the header goes on */
        if (f->terminated && !first &&
            (f->has_time || f->column_count != 2 || previous->kind != ITEM_COLON))
            return false;
        f->has_time = true;
        f->terminated = false;
        return true;
    case ITEM_LEVEL:
    case ITEM_WRAPPED_LEVEL:
    case ITEM_APP_LEVEL:
        if (f->terminated || f->has_level) return false;
        f->has_level = true;
        return true;
    case ITEM_BRACKET:
        /* INFO: [2026-11-23 ...] */
        if (f->terminated &&
            (!c->inner_time || f->has_time || f->column_count != 2 || previous->kind != ITEM_COLON))
            return false;
        f->terminated = false;
        f->has_time |= c->inner_time;
        f->has_level |= c->inner_level;
        return true;
    case ITEM_APP:
        return !f->terminated;
    case ITEM_PIPE:
        return true;
    case ITEM_DASH:
        if (f->terminated || !(f->has_time || f->has_level) || !many) return false;
        f->terminated = f->has_level && f->has_time;
        return true;
    case ITEM_COLON:
        if (first || c->blanks_min > 0) return false;
        if (is_key_column(f)) {
            f->columns[f->column_count - 1].is_key = f->terminated = true;
            return true;
        }
        if (f->terminated) return false;
        if (previous->kind == ITEM_TIME || previous->kind == ITEM_NUMBER ||
            previous->kind == ITEM_BRACKET || (previous->kind == ITEM_INT && !f->has_level))
            return true;
        if (previous->name && strcmp(previous->name, "source") == 0)
            return true; /* main.go:17: what follows may be the level */
        f->terminated = c->blank_after * 10 >= c->count * 9 && (f->has_time || f->has_level);
        return f->has_time || f->has_level;
    case ITEM_INT:
    case ITEM_NUMBER:
    case ITEM_IP:
    case ITEM_ID:
        if (!first && f->column_count >= 2 && previous[-1].is_key) return true;
        return !f->terminated && in_header && many && (f->has_time || f->has_level);
    case ITEM_NAME:
    case ITEM_WORD: {
        if (c->is_letter && !f->terminated && (f->has_time || first)) {
            f->has_level = true;
            return true;
        }
        bool padded = c->wide_after * 10 >= c->count * 6 && c->wide_after >= 4;
        if (f->terminated || !in_header || !many || !(f->has_time || f->has_level)) return false;
        return padded || c->tab_after * 10 >= c->count * 9 || (dotted_column(c) && !c->glued_after);
    }
    default:
        return false;
    }
}

/* "[2026-11-30 10:53:24]", not "[stacktrace]". */
static bool opens_with_time(const item *it)
{
    lm_time time;
    return it->kind == ITEM_BRACKET && it->text.len > 6 &&
           lm_time_parse(it->text.ptr + 1, it->text.len - 2, &time);
}

/* Where a good part of the brackets hold a time, the others are no part of this header. */
static bool is_for_times(const infer *f)
{
    size_t times = 0, brackets = 0;
    for (size_t i = 0; i < f->count; i++) {
        brackets += f->items[i].kind == ITEM_BRACKET;
        times += opens_with_time(&f->items[i]);
    }
    return times >= 3 && times * 5 >= brackets && times * 20 < brackets * 19;
}

/* Take the next column over all active lines. False: no more header. */
static bool next_column(infer *f)
{
    uint32_t counts[ITEM_KINDS] = {0};
    column c = {.blanks_min = UINT32_MAX, .offset_min = SIZE_MAX};
    for (size_t i = 0; i < f->count; i++) {
        f->items[i] = scan_item(f->lines[f->active[i]], f->at[i]);
        if (is_level(f->items[i].kind) && f->has_level)
            f->items[i].kind = ITEM_NAME; /* a record has one */
        counts[f->items[i].kind]++;
    }
    c.kind = choose_kind(f, counts, f->count);
    if (c.kind == ITEM_OTHER) return false;
    size_t kept = 0;
    bool of_times = c.kind == ITEM_BRACKET && !f->has_time && is_for_times(f);
    for (size_t i = 0; i < f->count; i++) {
        const item *it = &f->items[i];
        bool stays = c.kind == ITEM_WORD ? is_wordish(it->kind) : it->kind == c.kind;
        stays = stays && (!of_times || opens_with_time(it));
        if (!stays) continue;
        lm_str line = f->lines[f->active[i]];
        size_t end = (size_t)(it->text.ptr - line.ptr) + it->text.len;
        const uint8_t *stop = end_of(line), *after = line.ptr + end;
        bool blank = after < stop && (lm_is_blank(*after) || *after == LM_ESCAPE);
        c.count++;
        c.dotted += it->dotted;
        c.blank_after += blank || after == stop;
        c.glued_after += after < stop && *after == ':';
        c.tab_after += blank && *after == '\t';
        c.wide_after += blank && after + 1 < stop && lm_is_blank(after[1]);
        if (it->blanks < c.blanks_min) c.blanks_min = it->blanks;
        if (it->blanks > c.blanks_max) c.blanks_max = it->blanks;
        size_t offset = (size_t)(it->text.ptr - line.ptr);
        if (offset < c.offset_min) c.offset_min = offset;
        if (offset > c.offset_max) c.offset_max = offset;
        f->active[kept] = f->active[i];
        f->at[kept] = end;
        f->items[kept++] = *it;
    }
    f->count = kept;
    lm_infer_describe(f, &c); /* what is in it: time layouts, content of brackets, a name */
    c.is_anchor = judge(f, &c);
    f->columns[f->column_count++] = c;
    return true;
}

/* `web-1    | ...`, `worker-1 | ...`: names padded to one width, then a bar, as programs write that
 * show the output of several others. */
static bool is_labelled(const infer *f)
{
    const column *name = &f->columns[0], *bar = &f->columns[1];
    return f->column_count >= 2 && (name->kind == ITEM_NAME || name->kind == ITEM_WORD) &&
           name->blanks_max == 0 && bar->kind == ITEM_PIPE && bar->blanks_min > 0 &&
           bar->offset_min == bar->offset_max && bar->count >= 4;
}

/* The columns up to the last anchor; enough of a header to believe in? */
static bool cut_header(infer *f)
{
    size_t end = f->column_count;
    bool time = false, level = false, app = false;
    unsigned pipes = 0;
    while (end > 0 && !f->columns[end - 1].is_anchor)
        end--;
    for (size_t i = 0; i < end; i++) {
        const column *c = &f->columns[i];
        time |= c->kind == ITEM_TIME || c->kind == ITEM_EPOCH || c->inner_time;
        level |= is_level(c->kind) || c->is_letter || c->inner_level;
        app |= c->kind == ITEM_APP;
        pipes += c->kind == ITEM_PIPE;
    }
    f->column_count = end;
    bool starts = end && (f->columns[0].kind == ITEM_TIME || f->columns[0].kind == ITEM_EPOCH ||
                          is_level(f->columns[0].kind) || f->columns[0].inner_time ||
                          f->columns[0].inner_level ||
                          (f->columns[0].kind == ITEM_INT && end == 2 && level)); /* 17 warn ... */
    if (f->strict) return starts;
    bool labelled = end >= 2 && is_labelled(f);
    if (labelled) f->columns[0].name = "service";
    /* A level alone must open the line; so must an app. */
    return time || pipes >= 2 || labelled || (level && starts) ||
           (app && f->columns[0].kind == ITEM_APP && end >= 2);
}

/* Lines that go on with their message at these positions: blanks there? */
static void message_gap(infer *f, const lm_str *lines, size_t count)
{
    (void)lines;
    (void)count;
    f->gap_min = UINT32_MAX;
    f->gap_max = 0;
    for (size_t i = 0; i < f->kept_count; i++) {
        lm_str line = f->lines[f->kept[i]];
        const uint8_t *p = line.ptr + f->kept_at[i], *end = end_of(line);
        if (p >= end) continue;
        uint32_t n = (uint32_t)(lm_skip_blanks(p, end) - p);
        if (n < f->gap_min) f->gap_min = n;
        if (n > f->gap_max) f->gap_max = n;
    }
    if (f->gap_min == UINT32_MAX) f->gap_min = 0;
}

/* " (org.example.Class)" at the end of nearly all lines. */
static bool logger_tail(const infer *f)
{
    size_t hits = 0;
    for (size_t i = 0; i < f->kept_count; i++) {
        lm_str line = f->lines[f->kept[i]];
        const uint8_t *end = end_of(line), *p = end;
        while (p > line.ptr && (p[-1] == ' ' || p[-1] == '\r'))
            p--;
        if (p - line.ptr < 6 || p[-1] != ')') continue;
        const uint8_t *q = p - 1;
        while (q > line.ptr && q[-1] != '(' && !lm_is_blank(q[-1]))
            q--;
        bool open = q - line.ptr >= 2 && q[-1] == '(' && lm_is_blank(q[-2]);
        hits += open && is_dotted((lm_str){q, (size_t)(p - 1 - q)});
    }
    return f->kept_count >= 4 && hits * 10 >= f->kept_count * 9;
}

static lm_err infer_alloc(infer *f, lm_arena *arena, size_t count)
{
    f->active = lm_arena_alloc(arena, count * sizeof *f->active, _Alignof(uint32_t));
    f->at = lm_arena_alloc(arena, count * sizeof *f->at, _Alignof(size_t));
    f->kept = lm_arena_alloc(arena, count * sizeof *f->kept, _Alignof(uint32_t));
    f->kept_at = lm_arena_alloc(arena, count * sizeof *f->kept_at, _Alignof(size_t));
    f->items = lm_arena_alloc(arena, count * sizeof *f->items, _Alignof(item));
    return f->active && f->at && f->kept && f->kept_at && f->items ? LM_OK : lm_mem_err();
}

/* Blanks, then a level or a time: a header whose level stands to the right of its column. */
static bool is_padded_header(lm_str line)
{
    enum { PADDING_MAX = 8 };

    if (line.len == 0 || !lm_is_blank(line.ptr[0])) return false;
    item it = scan_item(line, 0);
    return it.blanks <= PADDING_MAX && (is_level(it.kind) || it.kind == ITEM_TIME);
}

/* Are many headers so? A few lines are the rest of records. */
static bool headers_are_padded(const lm_str *lines, size_t count)
{
    size_t padded = 0;
    for (size_t i = 0; i < count; i++)
        padded += is_padded_header(lines[i]);
    return padded * 5 >= count;
}

lm_err lm_infer_header(lm_arena *arena, const lm_str *lines, size_t count, bool is_inner,
                       lm_str *out_pattern)
{
    infer *f = lm_arena_alloc(arena, sizeof *f, _Alignof(infer));
    if (!f) return lm_mem_err();
    *f = (infer){.lines = lines, .arena = arena, .strict = is_inner};
    lm_err err = infer_alloc(f, arena, count);
    if (err) return err;
    bool is_padded = !is_inner && headers_are_padded(lines, count);
    for (size_t i = 0; i < count; i++) {
        bool blank_start =
            lines[i].len == 0 || lm_is_blank(lines[i].ptr[0]); /* goes on with the line before */
        if (blank_start && !is_inner && !(is_padded && is_padded_header(lines[i]))) continue;
        f->active[f->count] = (uint32_t)i;
        f->at[f->count++] = 0;
    }
    size_t begun = f->count, idle = 0, kept_columns = 0;
    while (f->column_count < COLUMN_MAX && f->count && idle < 6 && next_column(f)) {
        idle++;
        if (!f->columns[f->column_count - 1].is_anchor) continue;
        if (is_inner &&
            f->count * 4 < begun * 3) { /* all of a field's texts, or nearly, have its header */
            f->column_count = kept_columns;
            break;
        }
        kept_columns = f->column_count;
        idle = 0; /* what the header ends with so far */
        memcpy(f->kept, f->active, f->count * sizeof *f->kept);
        memcpy(f->kept_at, f->at, f->count * sizeof *f->kept_at);
        f->kept_count = f->count;
    }
    bool enough = is_inner ? f->kept_count * 4 >= begun * 3
                           : f->kept_count * 20 >= begun || f->kept_count >= 50;
    if (!enough || !cut_header(f)) {
        *out_pattern = (lm_str){0};
        return LM_OK;
    }
    message_gap(f, lines, count);
    f->has_logger_tail = logger_tail(f);
    return lm_infer_write(f, out_pattern);
}

/** A store in memory for tests of queries: records in an array, told in any order wished for. Its
 * filters are the plain definition of what lm_select says. */
#ifndef TESTS_LOGQL_LOGQL_STORE_H
#define TESTS_LOGQL_LOGQL_STORE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "lm_test.h"
#include "record/record.h"

typedef struct memory_store {
    lm_record_batch batch;
    uint32_t *order; /* in which records are told; NULL: as they were added */
    uint64_t told;   /* by the last select */
    lm_select last;  /* as the last select was asked; its arrays are gone */
} memory_store;

static inline bool memory_regex(lm_str pattern, lm_str text, bool whole)
{
    int code;
    size_t at;
    uint32_t flags = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL : 0;
    pcre2_code *regex = pcre2_compile(pattern.ptr ? pattern.ptr : (const uint8_t *)"", pattern.len,
                                      flags | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    assert_non_null(regex);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc =
        pcre2_match(regex, text.ptr ? text.ptr : (const uint8_t *)"", text.len, 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(regex);
    return rc >= 0;
}

/** The pattern of |> : literal text and <_>, each of which takes one byte or more; from the left,
 * shortest first, the line to its end. A pattern that begins with text may begin anywhere. */
static inline bool memory_pattern(lm_str pattern, lm_str line)
{
    if (!line.len || !pattern.len) return line.len == pattern.len;
    size_t at = 0;
    bool is_first = true, ends_open = false;
    while (pattern.len) {
        if (lm_str_starts(pattern, LM_STR("<_>"))) {
            pattern.ptr += 3;
            pattern.len -= 3;
            is_first = false;
            ends_open = true;
            continue;
        }
        size_t len = lm_str_find(pattern, LM_STR("<_>"));
        lm_str text = {pattern.ptr, len == SIZE_MAX ? pattern.len : len};
        size_t found = lm_str_find((lm_str){line.ptr + at, line.len - at}, text);
        if (found == SIZE_MAX || (!is_first && found == 0)) return false;
        at += found + text.len;
        pattern.ptr += text.len;
        pattern.len -= text.len;
        is_first = false;
        ends_open = false;
    }
    return ends_open == (at != line.len);
}

static inline bool memory_filter(const lm_line_filter *filter, lm_str line)
{
    bool any = false;
    for (uint32_t i = 0; i < filter->text_count; i++) {
        lm_str text = filter->texts[i];
        switch (filter->op) {
        case LM_HAS:
        case LM_HAS_NOT:
            any |= lm_str_find(line, text) != SIZE_MAX;
            break;
        case LM_FITS:
        case LM_FITS_NOT:
            any |= memory_regex(text, line, false);
            break;
        default:
            any |= memory_pattern(text, line);
            break;
        }
    }
    return any == (filter->op == LM_HAS || filter->op == LM_FITS || filter->op == LM_PATTERN);
}

static inline bool memory_matcher(const lm_matcher *m, lm_labels labels)
{
    lm_str value = lm_labels_get(labels, m->name);
    bool is = m->op == LM_IS || m->op == LM_IS_NOT ? lm_str_equal(value, m->value)
                                                   : memory_regex(m->value, value, true);
    return is == (m->op == LM_IS || m->op == LM_LIKE);
}

/** Records that are told at once: of one stream, at times that are alike. */
typedef struct memory_lump {
    const lm_stream *stream; /* NULL: none */
    int64_t first_ns, last_ns;
    uint64_t count, bytes;
} memory_lump;

static inline bool memory_lump_tell(const lm_select *what, void *told_ctx, memory_lump *lump)
{
    if (!lump->stream) return true;
    lm_stream copy = *lump->stream;
    lump->stream = NULL;
    return what->lump(told_ctx, &copy, lump->first_ns, lump->count,
                      what->skip_line ? 0xEEEEEE : lump->bytes);
}

/** Takes the record into a lump, or begins one with it; false: the one who asks wants no more. */
static inline bool memory_lump_add(const lm_select *what, void *told_ctx, memory_lump *lump,
                                   const lm_stream *stream, const lm_record *record)
{
    int64_t time = record->time_ns;
    int64_t first = lump->first_ns < time ? lump->first_ns : time;
    int64_t last = lump->last_ns > time ? lump->last_ns : time;
    if (lump->stream == stream && what->is_one(told_ctx, first, last)) {
        *lump = (memory_lump){stream, first, last, lump->count + 1, lump->bytes + record->line.len};
        return true;
    }
    bool goes_on = memory_lump_tell(what, told_ctx, lump);
    *lump = (memory_lump){stream, time, time, 1, record->line.len};
    return goes_on;
}

static inline lm_err memory_select(void *self, const lm_select *what,
                                   bool (*told)(void *ctx, const lm_stream *stream,
                                                const lm_record *record),
                                   void *told_ctx)
{
    memory_store *store = self;
    store->told = 0;
    store->last = *what;
    memory_lump lump = {0};
    for (size_t i = 0; i < store->batch.record_count; i++) {
        lm_record record = store->batch.records[store->order ? store->order[i] : i];
        /* A copy of the stream: nobody may rely on its address. */
        lm_stream stream = store->batch.streams[record.stream];
        bool matches = record.time_ns >= what->time_min && record.time_ns < what->time_max;
        for (uint32_t k = 0; k < what->matcher_count && matches; k++)
            matches = memory_matcher(&what->matchers[k], stream.labels);
        for (uint32_t k = 0; k < what->filter_count && matches; k++)
            matches = memory_filter(&what->filters[k], record.line);
        if (!matches) continue;
        if (what->wanted_min && record.time_ns < *what->wanted_min && i % 2) continue;
        if (what->wanted_max && record.time_ns >= *what->wanted_max && i % 2) continue;
        bool is_bare = what->skip_metadata || !record.metadata.count;
        if (what->is_one && what->only_size && is_bare && i % 8) {
            store->told++;
            if (!memory_lump_add(what, told_ctx, &lump, &store->batch.streams[record.stream],
                                 &record))
                return LM_OK;
            continue;
        }
        uint8_t *copy = NULL;
        if (what->skip_line) { /* not even its length */
            record.line = (lm_str){NULL, 0};
        } else {
            copy = malloc(record.line.len + 1);
            assert_non_null(copy);
            if (record.line.len) memcpy(copy, record.line.ptr, record.line.len);
            record.line.ptr = copy;
        }
        store->told++;
        bool go_on = told(told_ctx, &stream, &record);
        if (copy) memset(copy, 0xEE, record.line.len); /* the text is borrowed for the call only */
        free(copy);
        if (!go_on) return LM_OK;
    }
    (void)memory_lump_tell(what, told_ctx, &lump);
    return LM_OK;
}

static inline lm_err memory_streams(void *self, const lm_select *what,
                                    bool (*told)(void *ctx, const lm_stream *stream,
                                                 uint64_t records, uint64_t bytes),
                                    void *told_ctx)
{
    memory_store *store = self;
    (void)what;
    for (size_t i = 0; i < store->batch.stream_count; i++) {
        if (!told(told_ctx, &store->batch.streams[i], 1, 1)) break;
    }
    return LM_OK;
}

static inline lm_store_face memory_face(memory_store *store)
{
    return (lm_store_face){store, memory_select, memory_streams};
}

static inline void memory_store_init(memory_store *store, lm_mem *mem)
{
    *store = (memory_store){.order = NULL};
    lm_record_batch_init(&store->batch, mem);
}

static inline void memory_store_fini(memory_store *store)
{
    free(store->order);
    lm_record_batch_fini(&store->batch);
}

/** labels and metadata as text: {a="b"}; all texts must outlive the store. */
static inline void memory_store_add(memory_store *store, const char *labels, int64_t time_ns,
                                    lm_str line, const char *metadata)
{
    lm_labels of_stream, of_record = {NULL, 0};
    lm_label sorted[LM_LABEL_COUNT_MAX];
    uint32_t stream;
    lm_arena *arena = &store->batch.arena;
    assert_int_equal(lm_labels_parse(lm_str_of(labels), arena, &of_stream), LM_OK);
    memcpy(sorted, of_stream.items, of_stream.count * sizeof *sorted);
    assert_int_equal(lm_labels_make(sorted, of_stream.count, arena, &of_stream), LM_OK);
    if (metadata && *metadata) {
        assert_int_equal(lm_labels_parse(lm_str_of(metadata), arena, &of_record), LM_OK);
        memcpy(sorted, of_record.items, of_record.count * sizeof *sorted);
        assert_int_equal(lm_labels_make(sorted, of_record.count, arena, &of_record), LM_OK);
    }
    assert_int_equal(lm_record_batch_stream(&store->batch, of_stream, &stream), LM_OK);
    assert_int_equal(lm_record_batch_add(&store->batch, stream, time_ns, line, of_record), LM_OK);
}

static inline void memory_store_shuffle(memory_store *store, lm_test_rng *rng)
{
    size_t count = store->batch.record_count;
    free(store->order);
    store->order = malloc((count + 1) * sizeof *store->order);
    assert_non_null(store->order);
    for (size_t i = 0; i < count; i++)
        store->order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t k = (size_t)lm_test_below(rng, i);
        uint32_t other = store->order[k];
        store->order[k] = store->order[i - 1];
        store->order[i - 1] = other;
    }
}

#endif

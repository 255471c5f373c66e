/** Any bytes as a query (up to the first NUL) over any bytes as lines (the rest, one a newline). */
#include "logql/logql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct lines {
    const uint8_t *ptr, *end;
} lines;

static lm_err tell(void *self, const lm_select *what,
                   bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                   void *told_ctx)
{
    static const lm_label items[] = {{{(const uint8_t *)"app", 3}, {(const uint8_t *)"x", 1}},
                                     {{(const uint8_t *)"level", 5}, {(const uint8_t *)"info", 4}}};
    static const lm_label more[] = {{{(const uint8_t *)"trace", 5}, {(const uint8_t *)"17", 2}}};
    lm_stream stream = {.labels = {items, 2}, .key = LM_STR("{app=\"x\", level=\"info\"}")};
    stream.hash = lm_hash64(stream.key.ptr, stream.key.len);
    const lines *all = self;
    int64_t time_ns = 0;
    (void)what; /* what the filters drop, may be told here too: the query must bear it */
    for (const uint8_t *at = all->ptr; at < all->end && time_ns < 20;) {
        const uint8_t *end = memchr(at, '\n', (size_t)(all->end - at));
        if (!end) end = all->end;
        lm_record record = {.time_ns = ++time_ns, .line = {at, (size_t)(end - at)}};
        if (time_ns % 2) record.metadata = (lm_labels){more, 1};
        if (!told(told_ctx, &stream, &record)) break;
        at = end + 1;
    }
    return LM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_logql *query = NULL;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t len = end ? (size_t)(end - data) : size;
    lines rest = {end ? end + 1 : data + size, data + size};
    if (lm_mem_new(NULL, 64u << 20, &mem)) return 0;
    if (lm_logql_parse(mem, (lm_str){data, len}, &query) == LM_OK) {
        lm_store_face store = {&rest, tell, NULL};
        for (int i = 0; i < 2; i++) {
            lm_arena arena;
            lm_logql_result result;
            lm_logql_range range = {.end_ns = 30, .step_ns = i ? 5 : 0, .limit = 3, .forwards = i};
            lm_arena_init(&arena, mem);
            lm_err err = lm_logql_run(query, &store, &range, &arena, &result);
            LM_ASSERT(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT || err == LM_E_NOMEM);
            lm_arena_fini(&arena);
        }
        lm_logql_free(query);
    }
    LM_ASSERT(lm_mem_used(mem) == 0);
    lm_mem_free(mem);
    return 0;
}

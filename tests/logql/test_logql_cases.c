/**
 * Text cases, *.case: data, a query, what is expected. Cases are parted by lines of "---".
 *
 *   # a comment
 *   > {app="a"} 1s {trace="x"} the line      a record; metadata may be left out
 *   ? count_over_time({app="a"}[1m])         the query; further lines of '?' continue it
 *   at 60s | from 0s to 60s step 10s | logs 0s 60s limit 10 forwards
 *   = {app="a"} 1                            the answer, line by line
 *   ! text                                   or: the error holds this text
 *   ~ canonical form                         or: the query is printed like this
 *
 * With LOGMILL_PRINT_CASES=1 the answers are printed instead of compared.
 */
#include "logql/logql.h"
#include "logql_store.h"

#include <dirent.h>
#include <math.h>

typedef struct block {
    char *query, *expected, *when;
    char *error, *canonical;
} block;

static int64_t seconds_of(const char *text, char **end)
{
    return (int64_t)llround(strtod(text, end) * 1e9);
}

static void put(lm_buf *out, const char *fmt, ...) LM_PRINTF(2, 3);

static void put(lm_buf *out, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < sizeof text);
    assert_int_equal(lm_buf_append(out, text, (size_t)len), LM_OK);
}

static void put_number(lm_buf *out, double v)
{
    if (isnan(v)) {
        put(out, "NaN");
    } else if (isinf(v)) {
        put(out, v > 0 ? "+Inf" : "-Inf");
    } else {
        put(out, "%.12g", v);
    }
}

/** With \N and \e for what would end the line or colour it. */
static void put_line(lm_buf *out, lm_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '\n') {
            put(out, "\\N");
        } else if (line.ptr[i] == 0x1b) {
            put(out, "\\e");
        } else {
            assert_int_equal(lm_buf_u8(out, line.ptr[i]), LM_OK);
        }
    }
    put(out, "\n");
}

static void print_answer(const lm_logql_result *result, lm_buf *out)
{
    for (size_t i = 0; i < result->series_count; i++) {
        const lm_logql_series *series = &result->series[i];
        if (result->kind == LM_LOGQL_SCALAR) {
            put(out, "= scalar ");
            put_number(out, series->points[0].value);
            put(out, "\n");
            continue;
        }
        for (size_t k = 0; k < series->count; k++) {
            if (k == 0 || result->kind == LM_LOGQL_STREAMS) {
                put(out, "= ");
                assert_int_equal(lm_labels_print(series->labels, out), LM_OK);
            }
            if (result->kind == LM_LOGQL_STREAMS) {
                put(out, " @%.9gs ", (double)series->entries[k].time_ns / 1e9);
                put_line(out, series->entries[k].line);
                continue;
            }
            if (result->kind == LM_LOGQL_MATRIX)
                put(out, " @%.9gs", (double)series->points[k].time_ns / 1e9);
            put(out, " ");
            put_number(out, series->points[k].value);
        }
        if (result->kind != LM_LOGQL_STREAMS) put(out, "\n");
    }
}

static void add_record(memory_store *store, char *text)
{
    /* {labels} time [{metadata}] line */
    char *end = text;
    bool quoted = false;
    while (*end && (quoted || *end != '}')) {
        if (*end == '\\' && quoted)
            end++;
        else if (*end == '"')
            quoted = !quoted;
        end++;
    }
    assert_int_equal(*end, '}');
    /* Texts of labels are borrowed: they stay in the store's arena. */
    lm_arena *arena = &store->batch.arena;
    char *labels = lm_arena_copy(arena, text, (size_t)(end + 1 - text)), *metadata = NULL;
    assert_non_null(labels);
    int64_t time_ns = seconds_of(end + 1, &end);
    assert_int_equal(*end++, 's');
    if (*end == ' ') end++;
    if (*end == '[') {
        char *close = strstr(end, "] ");
        assert_non_null(close);
        metadata = lm_arena_copy(arena, end + 1, (size_t)(close - end - 1));
        assert_non_null(metadata);
        end = close + 2;
    }
    /* \e and \n in lines of cases */
    char *line = lm_arena_copy(&store->batch.arena, end, strlen(end)), *to = line;
    assert_non_null(line);
    for (const char *at = end; *at; at++) {
        if (at[0] == '\\' && at[1] == 'e') {
            *to++ = 0x1b;
            at++;
        } else if (at[0] == '\\' && at[1] == 'N') {
            *to++ = '\n';
            at++;
        } else {
            *to++ = *at;
        }
    }
    memory_store_add(store, labels, time_ns, (lm_str){(uint8_t *)line, (size_t)(to - line)},
                     metadata);
}

static void make_range(const char *when, lm_logql_range *out)
{
    *out = (lm_logql_range){.tenant = LM_STR("t")};
    char *at = NULL;
    if (!strncmp(when, "at ", 3)) {
        out->start_ns = out->end_ns = seconds_of(when + 3, &at);
    } else if (!strncmp(when, "from ", 5)) {
        out->start_ns = seconds_of(when + 5, &at);
        assert_int_equal(strncmp(at, "s to ", 5), 0);
        out->end_ns = seconds_of(at + 5, &at);
        assert_int_equal(strncmp(at, "s step ", 7), 0);
        out->step_ns = seconds_of(at + 7, &at);
    } else {
        assert_int_equal(strncmp(when, "logs ", 5), 0);
        out->start_ns = seconds_of(when + 5, &at);
        out->end_ns = seconds_of(at + 1, &at);
        const char *limit = strstr(when, "limit ");
        if (limit) out->limit = (uint32_t)strtoul(limit + 6, NULL, 10);
        out->forwards = strstr(when, "forwards") != NULL;
    }
}

static unsigned failures, case_count;

static void compare(const char *path, const block *b, const char *got)
{
    case_count++;
    if (getenv("LOGMILL_PRINT_CASES")) {
        printf("? %s\n%s\n%s---\n", b->query, b->when, got);
        return;
    }
    if (strcmp(got, b->expected) == 0) return;
    failures++;
    printf("%s: %s\n  expected\n%s  but got\n%s\n", path, b->query, b->expected, got);
}

static void run_block(const char *path, lm_mem *mem, memory_store *store, const block *b)
{
    lm_logql *query = NULL;
    lm_arena arena;
    lm_buf text;
    lm_arena_init(&arena, mem);
    lm_buf_init(&text, mem);
    lm_err err = lm_logql_parse(mem, lm_str_of(b->query), &query);
    if (!err && b->when[0]) {
        lm_store_face face = memory_face(store);
        lm_logql_range range;
        lm_logql_result result;
        make_range(b->when, &range);
        err = lm_logql_run(query, &face, &range, &arena, &result);
        if (!err) print_answer(&result, &text);
    } else if (!err) {
        put(&text, "~ ");
        assert_int_equal(lm_logql_print(query, &text), LM_OK);
        put(&text, "\n");
    }
    if (err) {
        char first[480];
        snprintf(first, sizeof first, "%s", lm_err_text());
        first[strcspn(first, "\n")] = 0;
        text.len = 0;
        put(&text, "! %s\n", first);
    }
    put(&text, "%c", 0);
    compare(path, b, (const char *)text.ptr);
    lm_logql_free(query);
    lm_buf_fini(&text);
    lm_arena_fini(&arena);
}

static void append(char **text, const char *line, char end)
{
    size_t old = strlen(*text), len = strlen(line);
    *text = realloc(*text, old + len + 2);
    assert_non_null(*text);
    memcpy(*text + old, line, len);
    (*text)[old + len] = end;
    (*text)[old + len + 1] = 0;
}

static void run_file(const char *path)
{
    lm_mem *mem = NULL;
    lm_buf file;
    memory_store store;
    block b = {calloc(1, 1), calloc(1, 1), calloc(1, 1), NULL, NULL};
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    lm_buf_init(&file, mem);
    assert_int_equal(lm_file_read_all(path, 1 << 24, &file), LM_OK);
    assert_int_equal(lm_buf_u8(&file, 0), LM_OK);
    memory_store_init(&store, mem);
    bool has_query = false, in_data = false;
    for (char *line = (char *)file.ptr, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        bool is_data = line[0] == '>';
        bool begins = line[0] == '?' && (b.expected[0] || b.when[0]);
        if (has_query && (begins || is_data || !strncmp(line, "---", 3))) {
            run_block(path, mem, &store, &b);
            b.query[0] = b.expected[0] = b.when[0] = 0;
            has_query = false;
        }
        if (is_data) {
            if (!in_data) { /* new data */
                memory_store_fini(&store);
                memory_store_init(&store, mem);
            }
            add_record(&store, line + 2);
        } else if (line[0] == '?') {
            if (has_query) append(&b.query, "\n", 0);
            append(&b.query, line + 2, 0);
            has_query = true;
        } else if (line[0] == '=' || line[0] == '!' || line[0] == '~') {
            append(&b.expected, line, '\n');
        } else if (line[0] && line[0] != '#' && line[0] != '-') {
            append(&b.when, line, 0);
        }
        if (line[0] != '#') in_data = is_data;
    }
    if (has_query) run_block(path, mem, &store, &b);
    free(b.query);
    free(b.expected);
    free(b.when);
    memory_store_fini(&store);
    lm_buf_fini(&file);
    lm_mem_free(mem);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void test_cases(void **state)
{
    (void)state;
    char folder[1024], path[2048];
    const char *source = getenv("LOGMILL_SOURCE");
    snprintf(folder, sizeof folder, "%s/tests/logql", source ? source : ".");
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, by_name);
    assert_true(count > 0);
    const char *only = getenv("LOGMILL_CASE_FILE");
    for (int i = 0; i < count; i++) {
        size_t len = strlen(names[i]->d_name);
        if (len > 5 && !strcmp(names[i]->d_name + len - 5, ".case") &&
            (!only || strstr(names[i]->d_name, only))) {
            snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
            run_file(path);
        }
        free(names[i]);
    }
    free(names);
    printf("# %u cases\n", case_count);
    assert_true(case_count > 0);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

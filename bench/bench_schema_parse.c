/** Learns from a file's lines, then parses them all: one JSON line with formats, fields and speed.
 * -v: for people. */
#include "schema/schema.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEARN_LINES = 4096, RUNS = 3 };

typedef struct text {
    lm_buf bytes;
    lm_str *lines;
    size_t count, cap;
} text;

static lm_err cut_lines(lm_mem *mem, text *t)
{
    const uint8_t *p = t->bytes.ptr, *end = p + t->bytes.len;
    while (p < end) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop = newline ? newline : end;
        lm_err err = lm_vec_grow(mem, &t->lines, &t->cap, t->count + 1, sizeof *t->lines);
        if (err) return err;
        t->lines[t->count++] = (lm_str){p, (size_t)(stop - p)};
        p = stop + 1;
    }
    return LM_OK;
}

static void show(const lm_schema *schema, const uint64_t *fits, uint64_t total)
{
    for (size_t i = 0; i < lm_schema_format_count(schema); i++) {
        lm_schema_format f = lm_schema_format_at(schema, i);
        printf("  [%zu] %.*s  fits %.1f%%  learned %" PRIu64 "\n      %.*s\n", i, (int)f.name.len,
               (const char *)f.name.ptr, total ? 100.0 * (double)fits[i] / (double)total : 0.0,
               f.lines, (int)f.pattern.len, (const char *)f.pattern.ptr);
        for (size_t k = 0; k < f.field_count && k < 60; k++) {
            lm_schema_field field = f.fields[k];
            printf("      %-28.*s %-9s %8" PRIu64 " /%-7" PRIu64 " {%.*s} e.g. %.*s | %.*s\n",
                   (int)field.name.len, (const char *)field.name.ptr, lm_type_name(field.type),
                   field.count, field.distinct, (int)field.detail.len,
                   (const char *)field.detail.ptr,
                   (int)(field.examples[0].len < 60 ? field.examples[0].len : 60),
                   (const char *)field.examples[0].ptr,
                   (int)(field.examples[1].len < 40 ? field.examples[1].len : 40),
                   (const char *)field.examples[1].ptr);
        }
        if (f.field_count > 60) printf("      ... %zu fields\n", f.field_count);
    }
    for (size_t i = 0; i < lm_schema_conflict_count(schema); i++) {
        lm_str c = lm_schema_conflict_at(schema, i);
        printf("  conflict: %.*s\n", (int)c.len, (const char *)c.ptr);
    }
}

static lm_err bench(lm_mem *mem, const char *path, bool verbose)
{
    text t = {0};
    lm_schema *schema = NULL;
    lm_arena arena;
    uint64_t best = UINT64_MAX, learn_ns, fits[256] = {0}, times = 0, levels = 0, messages = 0,
             fitted = 0;
    lm_buf_init(&t.bytes, mem);
    lm_arena_init(&arena, mem);
    lm_err err = lm_file_read_all(path, (size_t)1 << 30, &t.bytes);
    if (!err) err = cut_lines(mem, &t);
    if (!err) err = lm_schema_new(mem, &schema);
    if (err) goto out;
    uint64_t begin = lm_clock_cpu_ns();
    err = lm_schema_learn(schema, t.lines, t.count < LEARN_LINES ? t.count : LEARN_LINES);
    learn_ns = lm_clock_cpu_ns() - begin;
    lm_fields fields = {.arena = &arena};
    for (int run = 0; run < RUNS && !err; run++) {
        uint64_t start = lm_clock_cpu_ns();
        for (size_t i = 0; i < t.count && !err; i++) {
            err = lm_schema_parse(schema, t.lines[i], &fields);
            if (run) continue;
            if (fields.format >= 0) fits[fields.format]++, fitted++;
            times += fields.timestamp >= 0;
            levels += fields.level >= 0;
            messages += fields.message >= 0;
        }
        uint64_t ns = lm_clock_cpu_ns() - start;
        if (ns < best) best = ns;
    }
    if (err) goto out;
    lm_buf saved;
    lm_buf_init(&saved, mem);
    err = lm_schema_save(schema, &saved);
    lm_str signature = lm_schema_signature(schema);
    double n = t.count ? (double)t.count : 1.0;
    printf("{\"bench\":\"schema_parse\",\"input\":\"%s\",\"bytes\":%zu,\"lines\":%zu,\"cpu_ns_"
           "min\":%" PRIu64 ",\"mb_s\":%.0f,"
           "\"learn_ms\":%.1f,\"fit\":%.3f,\"time\":%.3f,\"level\":%.3f,\"message\":%.3f,\"saved_"
           "bytes\":%zu,\"signature\":\"%.*s\","
           "\"formats\":[",
           path, t.bytes.len, t.count, best, (double)t.bytes.len * 1e3 / (double)(best ? best : 1),
           (double)learn_ns / 1e6, (double)fitted / n, (double)times / n, (double)levels / n,
           (double)messages / n, saved.len, (int)signature.len, (const char *)signature.ptr);
    for (size_t i = 0; i < lm_schema_format_count(schema); i++) {
        lm_schema_format f = lm_schema_format_at(schema, i);
        printf("%s{\"name\":\"%.*s\",\"share\":%.3f,\"fields\":%zu}", i ? "," : "", (int)f.name.len,
               (const char *)f.name.ptr, (double)fits[i] / n, f.field_count);
    }
    printf("]}\n");
    if (verbose) show(schema, fits, t.count);
    lm_buf_fini(&saved);
out:
    lm_schema_free(schema);
    lm_arena_fini(&arena);
    lm_mem_release(mem, t.lines, t.cap * sizeof *t.lines);
    lm_buf_fini(&t.bytes);
    return err;
}

int main(int argc, char **argv)
{
    lm_mem *mem = NULL;
    lm_err err = lm_mem_new(NULL, 0, &mem);
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    for (int i = 1 + verbose; i < argc && !err; i++)
        err = bench(mem, argv[i], verbose);
    if (err) fprintf(stderr, "bench_schema_parse: %s\n", lm_err_text());
    lm_mem_free(mem);
    return err ? 1 : 0;
}

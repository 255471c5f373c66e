/**
 * Template mining of a file of bare messages: prints `id TAB template` for each line, or measures.
 *
 *   bench_template_assign FILE            one line of output per line of FILE
 *   bench_template_assign --time FILE     a JSON line: lines per CPU second when shapes are known,
 * and when all are new bench_template_assign --groups FILE   templates with their counts, the most
 * frequent first
 */
#include "template/template.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct lines {
    lm_buf text;
    lm_str *items;
    size_t count, cap;
} lines;

static lm_err read_lines(lm_mem *mem, const char *path, lines *out)
{
    lm_err err = lm_file_read_all(path, (size_t)4 << 30, &out->text);
    size_t i = 0;
    while (!err && i < out->text.len) {
        const uint8_t *p = out->text.ptr + i;
        const uint8_t *q = memchr(p, '\n', out->text.len - i);
        size_t len = q ? (size_t)(q - p) : out->text.len - i;
        err = lm_vec_grow(mem, &out->items, &out->cap, out->count + 1, sizeof *out->items);
        if (!err) out->items[out->count++] = (lm_str){p, len && p[len - 1] == '\r' ? len - 1 : len};
        i += len + 1;
    }
    return err;
}

static lm_err add_all(lm_miner *miner, const lines *in, uint32_t *shapes)
{
    for (size_t i = 0; i < in->count; i++) {
        lm_err err = lm_miner_add(miner, in->items[i], &shapes[i]);
        if (err) return err;
    }
    return lm_miner_settle(miner);
}

static lm_err print_assigned(lm_mem *mem, const lines *in, uint32_t *shapes)
{
    lm_miner *miner = NULL;
    lm_err err = lm_miner_new(mem, NULL, &miner);
    if (!err) err = add_all(miner, in, shapes);
    for (size_t i = 0; !err && i < in->count; i++) {
        uint32_t id = lm_miner_template_of(miner, shapes[i]);
        lm_str text = lm_miner_text(miner, id);
        printf("%u\t", id);
        fwrite(text.ptr, 1, text.len, stdout);
        putchar('\n');
    }
    lm_miner_free(miner);
    return err;
}

static int by_count(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] < y[0] ? 1 : -1) : (x[1] > y[1]) - (x[1] < y[1]);
}

static lm_err print_groups(lm_mem *mem, const lines *in, uint32_t *shapes)
{
    lm_miner *miner = NULL;
    uint64_t(*counts)[2] = NULL;
    size_t n = 0;
    lm_err err = lm_miner_new(mem, NULL, &miner);
    if (!err) err = add_all(miner, in, shapes);
    if (err) goto out;
    n = lm_miner_template_count(miner);
    counts = lm_mem_calloc(mem, n, sizeof *counts);
    if (!counts) {
        err = lm_mem_err();
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        counts[i][1] = i;
    for (size_t i = 0; i < in->count; i++)
        counts[lm_miner_template_of(miner, shapes[i])][0]++;
    qsort(counts, n, sizeof *counts, by_count);
    printf("%zu lines, %zu shapes, %zu templates\n", in->count, lm_miner_shape_count(miner), n);
    for (size_t i = 0; i < n; i++) {
        lm_str text = lm_miner_text(miner, (uint32_t)counts[i][1]);
        printf("%8llu  ", (unsigned long long)counts[i][0]);
        fwrite(text.ptr, 1, text.len, stdout);
        putchar('\n');
    }
out:
    lm_mem_release(mem, counts, n * sizeof *counts);
    lm_miner_free(miner);
    return err;
}

static lm_err measure(lm_mem *mem, const char *path, const lines *in, uint32_t *shapes)
{
    uint64_t cold_ns = UINT64_MAX, warm_ns = UINT64_MAX, settle_ns = UINT64_MAX;
    size_t shape_count = 0, peak = 0;
    for (int run = 0; run < 5; run++) {
        lm_miner *miner = NULL;
        uint64_t t0 = lm_clock_cpu_ns();
        lm_err err = lm_miner_new(mem, NULL, &miner);
        if (!err) err = add_all(miner, in, shapes);
        uint64_t t1 = lm_clock_cpu_ns();
        for (size_t i = 0; !err && i < in->count; i++)
            err = lm_miner_add(miner, in->items[i], &shapes[i]);
        uint64_t t2 = lm_clock_cpu_ns();
        shape_count = lm_miner_shape_count(miner);
        lm_miner_free(miner);
        if (err) return err;
        if (t1 - t0 < cold_ns) cold_ns = t1 - t0;
        if (t2 - t1 < warm_ns) warm_ns = t2 - t1;
        (void)settle_ns;
    }
    peak = lm_mem_peak(mem);
    printf("{\"name\":\"template_assign\",\"input\":\"%s\",\"bytes_in\":%zu,\"lines\":%zu,"
           "\"shapes\":%zu,"
           "\"cold_lines_per_s\":%.0f,\"known_lines_per_s\":%.0f,\"peak_bytes\":%zu,\"runs\":5}\n",
           path, in->text.len, in->count, shape_count, (double)in->count * 1e9 / (double)cold_ns,
           (double)in->count * 1e9 / (double)warm_ns, peak);
    return LM_OK;
}

int main(int argc, char **argv)
{
    lm_mem *mem = NULL;
    uint32_t *shapes = NULL;
    const char *mode = argc > 2 ? argv[1] : "";
    const char *path = argc > 1 ? argv[argc - 1] : "-";
    if (lm_mem_new(NULL, 0, &mem)) return 4;
    lines in = {.text = {.mem = mem}};
    lm_err err = read_lines(mem, path, &in);
    if (!err) {
        shapes = lm_mem_calloc(mem, in.count, sizeof *shapes);
        if (!shapes) err = lm_mem_err();
    }
    if (!err) {
        if (strcmp(mode, "--time") == 0)
            err = measure(mem, path, &in, shapes);
        else if (strcmp(mode, "--groups") == 0)
            err = print_groups(mem, &in, shapes);
        else
            err = print_assigned(mem, &in, shapes);
    }
    if (err) fprintf(stderr, "bench_template_assign: %s\n", lm_err_text());
    lm_mem_release(mem, shapes, in.count * sizeof *shapes);
    lm_mem_release(mem, in.items, in.cap * sizeof *in.items);
    lm_buf_fini(&in.text);
    lm_mem_free(mem);
    return err ? 4 : 0;
}

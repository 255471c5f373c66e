/**
 * How fast are files followed, up to the sink? A sink that only copies, as a store must at least.
 *
 *     bench_source_files FILE [TIMES]     one JSON line: lines, bytes, wall and CPU time
 */
#include "source/source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct null_sink {
    uint8_t *copy; /* of a batch's lines */
    size_t cap;
    _Atomic uint64_t records, bytes;
    bool copies;
} null_sink;

static lm_err sink_put(void *self, lm_str tenant, const lm_record_batch *batch,
                       const lm_checkpoint *checkpoints, size_t count, lm_put_done done, void *ctx)
{
    null_sink *sink = self;
    (void)tenant, (void)checkpoints, (void)count;
    size_t at = 0;
    for (size_t i = 0; sink->copies && i < batch->record_count; i++) {
        lm_str line = batch->records[i].line;
        if (at + line.len > sink->cap) at = 0;
        memcpy(sink->copy + at, line.ptr, line.len);
        at += line.len;
    }
    sink->records += batch->record_count;
    sink->bytes += batch->bytes;
    done(ctx, LM_OK);
    return LM_OK;
}

static lm_err sink_checkpoint(void *self, lm_str key, lm_buf *out)
{
    (void)self, (void)key, (void)out;
    return LM_E_NOTFOUND;
}

int main(int argc, char **argv)
{
    null_sink sink = {.cap = 16u << 20, .copies = true};
    lm_mem *mem = NULL;
    lm_file_info info;
    LM_ASSERT(argc > 1 && lm_mem_new(NULL, 0, &mem) == LM_OK);
    LM_ASSERT(lm_file_info_get(argv[1], &info) == LM_OK);
    sink.copy = lm_mem_alloc(mem, sink.cap);
    LM_ASSERT(sink.copy);
    int times = argc > 2 ? atoi(argv[2]) : 3;
    for (int i = 0; i < times; i++) {
        const char *glob = argv[1];
        sink.records = sink.bytes = 0;
        lm_source_host host = {.mem = mem, .sink = {&sink, sink_put, sink_checkpoint}};
        lm_source_files_options options = {.globs = &glob, .glob_count = 1};
        lm_source *source = NULL;
        uint64_t begin = lm_clock_ns(), cpu = lm_clock_cpu_ns(), last = 0, last_ns = begin;
        uint64_t end_ns = begin, end_cpu = cpu;
        LM_ASSERT(lm_source_files(&host, &options, &source) == LM_OK);
        while (lm_clock_ns() - last_ns < UINT64_C(150000000)) { /* until nothing comes */
            struct timespec nap = {0, 1000000};
            nanosleep(&nap, NULL);
            if (sink.records == last) continue;
            last = sink.records;
            end_ns = last_ns = lm_clock_ns();
            end_cpu = lm_clock_cpu_ns();
        }
        lm_source_stop(source, UINT64_C(1000000000));
        printf("{\"bench\":\"source_files\",\"file\":\"%s\",\"bytes\":%llu,\"records\":%llu,"
               "\"wall_ns\":%llu,\"cpu_ns\":%llu,\"cpu_ns_record\":%.1f}\n",
               argv[1], (unsigned long long)info.bytes, (unsigned long long)last,
               (unsigned long long)(end_ns - begin), (unsigned long long)(end_cpu - cpu),
               (double)(end_cpu - cpu) / (double)(last ? last : 1));
    }
    lm_mem_release(mem, sink.copy, sink.cap);
    lm_mem_free(mem);
    return 0;
}

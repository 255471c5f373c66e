/** What the tests of this room share: a batch printed for comparison, and requests cut short. */
#ifndef TESTS_WIRE_WIRE_TEST_H
#define TESTS_WIRE_WIRE_TEST_H

#include "lm_test.h"
#include "wire/wire.h"

#define WIRE_NOW INT64_C(1795441080000000000) /* 2026-11-23T13:38:00Z */

/** A batch, its memory, and what the last request reported. */
typedef struct wire_test {
    lm_mem *mem;
    lm_record_batch batch;
    lm_wire_options options;
    lm_wire_report report;
    lm_buf text; /* of wire_print, and of responses */
} wire_test;

static inline void wire_init(wire_test *t)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(lm_mem_new(NULL, (size_t)64 << 20, &t->mem), LM_OK);
    lm_record_batch_init(&t->batch, t->mem);
    lm_buf_init(&t->text, t->mem);
    t->options = (lm_wire_options){.now_ns = WIRE_NOW, .body_bytes_max = 16 << 20, .mem = t->mem};
}

static inline void wire_fini(wire_test *t)
{
    lm_buf_fini(&t->text);
    lm_record_batch_fini(&t->batch);
    assert_int_equal(lm_mem_used(t->mem), 0);
    lm_mem_free(t->mem);
}

static inline void wire_put(wire_test *t, const void *bytes, size_t len)
{
    assert_int_equal(lm_buf_append(&t->text, bytes, len), LM_OK);
}

static inline void wire_put_labels(wire_test *t, lm_labels labels)
{
    assert_int_equal(lm_labels_print(labels, &t->text), LM_OK);
}

/** The records, a line each: `time {labels} {metadata} text`; times as ns after WIRE_NOW when that
 * is less than a day, so that what matters is seen. */
static inline const char *wire_print(wire_test *t)
{
    char number[40];
    t->text.len = 0;
    for (size_t i = 0; i < t->batch.record_count; i++) {
        const lm_record *r = &t->batch.records[i];
        assert_true(r->stream < t->batch.stream_count);
        int len = snprintf(number, sizeof number, "%lld ", (long long)r->time_ns);
        if (r->time_ns == WIRE_NOW) len = snprintf(number, sizeof number, "now ");
        wire_put(t, number, (size_t)len);
        wire_put_labels(t, t->batch.streams[r->stream].labels);
        wire_put(t, " ", 1);
        wire_put_labels(t, r->metadata);
        wire_put(t, " ", 1);
        wire_put(t, r->line.ptr, r->line.len);
        wire_put(t, "\n", 1);
    }
    wire_put(t, "", 1);
    return (const char *)t->text.ptr;
}

/** One reader, for what is true of all. */
typedef lm_err (*wire_reader)(wire_test *t, lm_str body);

/** Records after reading what the bytes say; the batch is empty before. */
static inline const char *wire_read(wire_test *t, wire_reader read, lm_str body)
{
    lm_record_batch_reset(&t->batch);
    lm_err err = read(t, body);
    if (err) print_error("%s\n", lm_err_text());
    assert_int_equal(err, LM_OK);
    return wire_print(t);
}

/** The request fails as a whole with this text, and leaves the batch as it was. */
static inline void wire_read_fails(wire_test *t, wire_reader read, lm_str body, lm_err want,
                                   const char *text)
{
    size_t streams = t->batch.stream_count, records = t->batch.record_count;
    uint64_t bytes = t->batch.bytes;
    assert_int_equal(read(t, body), want);
    if (!strstr(lm_err_text(), text)) print_error("'%s'\n", lm_err_text());
    assert_non_null(strstr(lm_err_text(), text));
    assert_int_equal(t->batch.stream_count, streams);
    assert_int_equal(t->batch.record_count, records);
    assert_int_equal(t->batch.bytes, bytes);
}

/** The body cut at every byte and with every byte changed: read or refused, and never read beyond
 * its end (AddressSanitizer looks at the copies). */
static inline void wire_damage(wire_test *t, wire_reader read, lm_str body)
{
    lm_test_rng rng = lm_test_rng_make("damage");
    for (size_t i = 0; i < body.len; i++) {
        uint8_t *copy = malloc(i ? i : 1);
        assert_non_null(copy);
        memcpy(copy, body.ptr, i);
        lm_record_batch_reset(&t->batch);
        lm_err err = read(t, (lm_str){copy, i});
        assert_true(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
        if (err) assert_int_equal(t->batch.record_count, 0);
        lm_record_batch_reset(&t->batch);
        free(copy);
    }
    uint8_t *copy = malloc(body.len);
    assert_non_null(copy);
    for (size_t i = 0; i < body.len; i++) {
        memcpy(copy, body.ptr, body.len);
        copy[i] = (uint8_t)lm_test_random(&rng);
        lm_record_batch_reset(&t->batch);
        lm_err err = read(t, (lm_str){copy, body.len});
        assert_true(err == LM_OK || err == LM_E_USAGE || err == LM_E_LIMIT);
        lm_record_batch_reset(&t->batch);
    }
    free(copy);
}

#endif

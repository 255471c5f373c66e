/** Timestamps of any text: what is read prints back, the fast way and the plain one agree. */
#include "schema/schema_time_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_time time, again;
    uint8_t text[LM_TIME_TEXT_MAX];
    size_t step = size > 256 ? 7 : 1;
    for (size_t at = 0; at < size; at += step) {
        if (!lm_time_parse(data + at, size - at, &time)) continue;
        LM_ASSERT(time.len <= size - at);
        LM_ASSERT(lm_time_print(time.layout, time.ticks, text) == time.len);
        LM_ASSERT(memcmp(text, data + at, time.len) == 0);
        LM_ASSERT(lm_time_parse_as(time.layout, data + at, size - at, &again) &&
                  again.ticks == time.ticks);
        LM_ASSERT(lm_time_parse_plain(time.layout, data + at, size - at, &again) &&
                  again.ticks == time.ticks);
    }
    if (size >= 10) { /* a layout and ticks from a file that was tampered with */
        uint16_t layout = lm_le16(data);
        int64_t ticks = (int64_t)lm_le64(data + 2);
        LM_ASSERT(lm_time_print(layout, ticks, text) <= LM_TIME_TEXT_MAX);
        (void)lm_time_ns(layout, ticks, ticks);
        (void)lm_time_parse_as(layout, data + 10, size - 10, &time);
    }
    int64_t ns;
    (void)!lm_time_parse_user((lm_str){data, size}, INT64_C(1431857103000000000),
                              &ns); /* most texts are no time */
    return 0;
}

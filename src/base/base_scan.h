/**
 * Byte classes as bitmaps: bit i of word i/64 tells the class of byte i. One pass, 64 bytes a step;
 * AVX-512, AVX2, NEON and plain C give the same bits (tests compare them).
 */
#ifndef BASE_SCAN_H
#define BASE_SCAN_H

#include "base/base_cpu.h"

enum {
    LM_CLASS_DIGIT,   /* 0-9 */
    LM_CLASS_WORD,    /* 0-9 A-Z a-z */
    LM_CLASS_NEWLINE, /* \n */
    LM_CLASS_SPECIAL, /* " = and every byte below 0x09 */
    LM_CLASS_COUNT
};

#define LM_SCAN_BLOCK 64

/** out[class] points at (len + 63) / 64 words; bits behind len are 0. Reads only src[0..len). */
void lm_scan_classes(const uint8_t *src, size_t len, uint64_t *const out[LM_CLASS_COUNT]);
/** The same by a given path; for tests. cpu must be one that lm_cpu_has() grants. */
void lm_scan_classes_as(lm_cpu cpu, const uint8_t *src, size_t len,
                        uint64_t *const out[LM_CLASS_COUNT]);
/** Number of '\n' in src. */
size_t lm_scan_count_newlines(const uint8_t *src, size_t len);

#endif

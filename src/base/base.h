/**
 * base — the ground every room stands on: errors, memory, bytes, hashing, I/O, CPU features,
 * workers.
 *
 * Purpose:  one way to fail, one way to own memory, one way to touch the system.
 * Flow:     no data flows here; other rooms call in, nothing calls out.
 * Owns:     the only malloc, the only open(2), the only threads of the library.
 * Threads:  every object belongs to one thread at a time unless its header says otherwise;
 *           lm_mem counters and lm_pool are safe from any thread.
 * Units:    bytes and nanoseconds, as uint64_t or size_t.
 * Limits:   src/base/limits.def.
 *
 * Invariants
 *   (1) A function that fails leaves its out parameters untouched.
 *   (2) lm_err_text() describes the last failure of the calling thread.
 *   (3) What an lm_mem hands out is counted; it never exceeds its limit.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include "base/base_cpu.h"
#include "base/base_err.h"
#include "base/base_hash.h"
#include "base/base_io.h"
#include "base/base_limits.h"
#include "base/base_mem.h"
#include "base/base_pool.h"
#include "base/base_regex.h"
#include "base/base_scan.h"
#include "base/base_str.h"
#include "base/base_tree.h"

#endif

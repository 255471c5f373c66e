/**
 * api — the public door: what include/logmill promises, done with the rooms inside.
 *
 * Purpose:  opaque handles over base, schema, ingest, template, archive and search; nothing of
 * theirs shows through. Flow:     lm_context --lm_pack--> archive file --lm_view_open--> lm_view
 * --search, templates, unpack--> callbacks Owns:     a context owns its account of memory, its
 * workers and its last error; a view owns its archive and the arrays that it hands out. Threads:  a
 * context and its views belong to one thread at a time. Units:    as the public headers say.
 * Limits:   MEMORY_DEFAULT, THREADS_MAX, PATH_BYTES_MAX.
 *
 * Invariants
 *   (1) Every public function that fails has left its code and words in the context (lm_last_error).
 *   (2) Every public symbol is in liblogmill.map; everything else is hidden.
 *   (3) Public names never equal names of the rooms inside: contexts, views, questions and hits exist here only, so the
 *       rooms stay free to change.
 */
#ifndef API_API_H
#define API_API_H

#include <logmill/logmill.h>

#endif

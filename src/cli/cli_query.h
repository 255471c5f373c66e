/** What a user types as QUERY, made into the query language. */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include "cli/cli.h"

/** Is query text to look for (by --fixed, or because nothing in it has a meaning)? */
bool cli_query_is_text(const cli_args *args, const char *query);
/** The query as the library wants it, in dst. Returns NULL, or what is wrong. */
const char *cli_query_make(const cli_args *args, const char *query, char *dst, size_t cap);
/** Texts that matching lines hold, for colouring; they point into query. Returns how many. */
size_t cli_query_needles(const cli_args *args, const char *query, lm_text *needles, size_t cap);

#endif

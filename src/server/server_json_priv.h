/** JSON written straight into a buffer: commas and escapes done here, the first failure is kept. */
#ifndef SERVER_JSON_PRIV_H
#define SERVER_JSON_PRIV_H

#include "base/base.h"

typedef struct server_json {
    lm_buf *out;
    lm_err err;
    bool has_item; /* a comma is due before the next one */
} server_json;

void server_json_open(server_json *json, char bracket);  /* '{' or '[' */
void server_json_close(server_json *json, char bracket); /* '}' or ']' */
void server_json_key(server_json *json, const char *key);
void server_json_key_text(server_json *json, lm_str key);
void server_json_text(server_json *json, lm_str text); /* invalid UTF-8 becomes U+FFFD */
void server_json_z(server_json *json, const char *text);
void server_json_i64(server_json *json, int64_t value);
void server_json_u64(server_json *json, uint64_t value);
void server_json_i64_text(server_json *json, int64_t value); /* "123": times in ns */
void server_json_bool(server_json *json, bool value);
void server_json_real(server_json *json, double value); /* a number; what JSON lacks: null */
/** A sample as Prometheus writes it: in quotes, shortest that reads back, no exponent; "NaN",
 * "+Inf". */
void server_json_sample(server_json *json, double value);
/** Seconds, with milliseconds where there are some: 1700000000.5. */
void server_json_seconds(server_json *json, int64_t time_ns);
void server_json_raw(server_json *json, const char *text); /* already JSON, one value */

/** The shortest decimal text of a double that reads back, without exponent; length. dst has room
 * for 400 bytes. */
size_t server_real_print(double value, char *dst);

#endif

/**
 * The daemon: a store, listeners and sources in this process (`logmill run`), and its
 * configuration.
 *
 * A build without the daemon has these functions too: they fail with LM_ERR_UNSUPPORTED.
 */
#ifndef LOGMILL_LM_DAEMON_H
#define LOGMILL_LM_DAEMON_H

#include <logmill/lm.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_daemon lm_daemon;

/** As in syslog: 3 error, 4 warning, 6 info, 7 debug. */
typedef void (*lm_daemon_log_fn)(void *ctx, int level, const char *room, const char *event,
                                 const char *text);

typedef struct lm_daemon_options {
    size_t struct_bytes;
    const char *config_path;    /* NULL: the defaults */
    const char *const *listens; /* "HOST:PORT" instead of the configuration's listeners; port 0 is
                                   any free one. Without a configuration that names sources there
                                   are none then. */
    size_t listen_count;
    const char *data_folder; /* instead of storage.path; NULL: as configured */
    lm_daemon_log_fn log;    /* its own log, from any thread; NULL: silence */
    void *log_ctx;
} lm_daemon_options;

#define LM_DAEMON_OPTIONS_INIT {sizeof(lm_daemon_options), 0, 0, 0, 0, 0, 0}

/**
 * Opens the store, starts sources and listeners; they run on threads of their own until
 * lm_daemon_stop. Texts of options must outlive the daemon. Errors: LM_ERR_USAGE (the
 * configuration: "FILE:LINE:COLUMN: ..."; an address), LM_ERR_NOTFOUND (no such file), LM_ERR_IO (a
 * port or the folder is in use), LM_ERR_LIMIT, LM_ERR_NOMEM, LM_ERR_UNSUPPORTED.
 */
LM_API LM_CHECK lm_err lm_daemon_start(lm_context *context, const lm_daemon_options *options,
                                       lm_daemon **out);
/** Reads the configuration again. When it is wrong, the old one goes on. */
LM_API LM_CHECK lm_err lm_daemon_reload(lm_daemon *daemon);
/** Finishes what is under way within shutdown.timeout; all that was acknowledged is stored. NULL is
 * fine. */
LM_API void lm_daemon_stop(lm_daemon *daemon);
/** What it listens to: listeners ("http://127.0.0.1:3100"), then sources. NULL behind the last.
 * Valid until the next call on the daemon. */
LM_API const char *lm_daemon_address(lm_daemon *daemon, size_t index);
LM_API const char *lm_daemon_folder(const lm_daemon *daemon);

/** Is a configuration right? path NULL: the defaults. Errors as of lm_daemon_start. */
LM_API LM_CHECK lm_err lm_config_check(lm_context *context, const char *path);
/** The configuration as YAML, secrets as "***": what differs from the defaults, or everything. The
 * text is told once and is borrowed for the call. */
LM_API LM_CHECK lm_err lm_config_print(lm_context *context, const char *path, bool is_effective,
                                       void (*told)(void *ctx, lm_text text), void *told_ctx);

#define LM_HASH_BYTES 128

/** What a configuration holds instead of a password. out gets a NUL-terminated text. */
LM_API LM_CHECK lm_err lm_config_hash_password(lm_context *context, lm_text password,
                                               char out[LM_HASH_BYTES]);
/** What a configuration holds instead of a token. */
LM_API LM_CHECK lm_err lm_config_hash_token(lm_context *context, lm_text token,
                                            char out[LM_HASH_BYTES]);
/** A new random token. */
LM_API LM_CHECK lm_err lm_config_new_token(lm_context *context, char out[LM_HASH_BYTES]);

#ifdef __cplusplus
}
#endif

#endif

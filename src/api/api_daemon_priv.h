/** Between the library and the daemon's module, which is loaded when a daemon is wanted. */
#ifndef API_DAEMON_PRIV_H
#define API_DAEMON_PRIV_H

#include "api/api_priv.h"

#define DAEMON_MODULE_FILE   "logmill-daemon.so"
#define DAEMON_MODULE_SYMBOL "logmill_daemon_module"

/** What the module does; the functions of lm_daemon.h without their prefix. Both sides were built
 * from the same sources: version tells. */
typedef struct lm_daemon_module {
    const char *version;
    lm_err (*daemon_start)(lm_context *context, const lm_daemon_options *options, lm_daemon **out);
    lm_err (*daemon_reload)(lm_daemon *daemon);
    void (*daemon_stop)(lm_daemon *daemon);
    const char *(*daemon_address)(lm_daemon *daemon, size_t index);
    const char *(*daemon_folder)(const lm_daemon *daemon);
    lm_err (*config_check)(lm_context *context, const char *path);
    lm_err (*config_print)(lm_context *context, const char *path, bool is_effective,
                           void (*told)(void *ctx, lm_text text), void *told_ctx);
    lm_err (*config_hash_password)(lm_context *context, lm_text password, char *out);
    lm_err (*config_hash_token)(lm_context *context, lm_text token, char *out);
    lm_err (*config_new_token)(lm_context *context, char *out);
} lm_daemon_module;

#endif

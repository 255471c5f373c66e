/** The daemon's module: the daemon and its configuration, over the rooms server and control. */
#include "api/api_daemon_priv.h"
#include "control/control.h"
#include "server/server.h"

struct lm_daemon {
    lm_context *context;
    lm_server *server;
    lm_daemon_options options;
};

_Static_assert(LM_HASH_BYTES == LM_SECRET_HASH_MAX, "one size of hashes");

static lm_err daemon_start(lm_context *context, const lm_daemon_options *options, lm_daemon **out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_daemon_options given = LM_DAEMON_OPTIONS_INIT;
    if (options->struct_bytes < sizeof given)
        return context_end(context,
                           lm_fail(LM_E_USAGE, "struct_bytes of lm_daemon_options is not set"));
    memcpy(&given, options, sizeof given);
    lm_daemon *daemon = lm_mem_calloc(context->mem, 1, sizeof *daemon);
    if (!daemon) return context_end(context, lm_mem_err());
    daemon->context = context;
    daemon->options = given;
    lm_server_options inner = {
        .config_path = given.config_path,
        .listens = given.listens,
        .listen_count = given.listen_count,
        .storage_path = given.data_folder,
        .log = given.log,
        .log_ctx = given.log_ctx,
    };
    lm_err err = lm_server_new(context->mem, &inner, &daemon->server);
    if (err)
        lm_mem_release(context->mem, daemon, sizeof *daemon);
    else
        *out = daemon;
    return context_end(context, err);
}

static lm_err daemon_reload(lm_daemon *daemon)
{
    return context_end(daemon->context, lm_server_reload(daemon->server));
}

static void daemon_stop(lm_daemon *daemon)
{
    if (!daemon) return;
    lm_server_free(daemon->server);
    lm_mem_release(daemon->context->mem, daemon, sizeof *daemon);
}

static const char *daemon_address(lm_daemon *daemon, size_t index)
{
    return lm_server_address_at(daemon->server, index);
}

static const char *daemon_folder(const lm_daemon *daemon)
{
    return lm_server_storage(daemon->server);
}

static lm_err load(lm_context *context, const char *path, lm_config **out)
{
    return path ? lm_config_load(context->mem, path, out) : lm_config_default(context->mem, out);
}

static lm_err config_check(lm_context *context, const char *path)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_config *config = NULL;
    lm_err err = load(context, path, &config);
    lm_config_free(config);
    return context_end(context, err);
}

static lm_err config_print(lm_context *context, const char *path, bool is_effective,
                           void (*told)(void *ctx, lm_text text), void *told_ctx)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_config *config = NULL;
    lm_buf text;
    lm_buf_init(&text, context->mem);
    lm_err err = load(context, path, &config);
    if (!err) err = lm_config_show(config, is_effective, &text);
    if (!err) told(told_ctx, api_text((lm_str){text.ptr, text.len}));
    lm_buf_fini(&text);
    lm_config_free(config);
    return context_end(context, err);
}

static lm_err config_hash_password(lm_context *context, lm_text password, char *out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_str secret = {(const uint8_t *)password.ptr, password.len};
    return context_end(context, lm_secret_hash(secret, out));
}

static lm_err config_hash_token(lm_context *context, lm_text token, char *out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_token_hash((lm_str){(const uint8_t *)token.ptr, token.len}, out);
    return LM_OK;
}

static lm_err config_new_token(lm_context *context, char *out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_token_make(out);
    return LM_OK;
}

extern const lm_daemon_module logmill_daemon_module;

__attribute__((visibility("default"))) const lm_daemon_module logmill_daemon_module = {
    .version = LM_VERSION,
    .daemon_start = daemon_start,
    .daemon_reload = daemon_reload,
    .daemon_stop = daemon_stop,
    .daemon_address = daemon_address,
    .daemon_folder = daemon_folder,
    .config_check = config_check,
    .config_print = config_print,
    .config_hash_password = config_hash_password,
    .config_hash_token = config_hash_token,
    .config_new_token = config_new_token,
};

/** The daemon and its configuration, over the rooms server and control. */
#include "api/api_priv.h"

#if LM_HAVE_DAEMON

#    include "control/control.h"
#    include "server/server.h"

struct lm_daemon {
    lm_context *context;
    lm_server *server;
    lm_daemon_options options;
};

_Static_assert(LM_HASH_BYTES == LM_SECRET_HASH_MAX, "one size of hashes");

lm_err lm_daemon_start(lm_context *context, const lm_daemon_options *options, lm_daemon **out)
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

lm_err lm_daemon_reload(lm_daemon *daemon)
{
    return context_end(daemon->context, lm_server_reload(daemon->server));
}

void lm_daemon_stop(lm_daemon *daemon)
{
    if (!daemon) return;
    lm_server_free(daemon->server);
    lm_mem_release(daemon->context->mem, daemon, sizeof *daemon);
}

const char *lm_daemon_address(lm_daemon *daemon, size_t index)
{
    return lm_server_address_at(daemon->server, index);
}

const char *lm_daemon_folder(const lm_daemon *daemon)
{
    return lm_server_storage(daemon->server);
}

static lm_err load(lm_context *context, const char *path, lm_config **out)
{
    return path ? lm_config_load(context->mem, path, out) : lm_config_default(context->mem, out);
}

lm_err lm_config_check(lm_context *context, const char *path)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_config *config = NULL;
    lm_err err = load(context, path, &config);
    lm_config_free(config);
    return context_end(context, err);
}

lm_err lm_config_print(lm_context *context, const char *path, bool is_effective,
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

lm_err lm_config_hash_password(lm_context *context, lm_text password, char out[LM_HASH_BYTES])
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_str secret = {(const uint8_t *)password.ptr, password.len};
    return context_end(context, lm_secret_hash(secret, out));
}

lm_err lm_config_hash_token(lm_context *context, lm_text token, char out[LM_HASH_BYTES])
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_token_hash((lm_str){(const uint8_t *)token.ptr, token.len}, out);
    return LM_OK;
}

lm_err lm_config_new_token(lm_context *context, char out[LM_HASH_BYTES])
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_token_make(out);
    return LM_OK;
}

#else

static lm_err no_daemon(lm_context *context)
{
    return context_end(context, lm_fail(LM_E_UNSUPPORTED, "this build has no daemon"));
}

lm_err lm_daemon_start(lm_context *context, const lm_daemon_options *options, lm_daemon **out)
{
    (void)options;
    (void)out;
    return no_daemon(context);
}

lm_err lm_daemon_reload(lm_daemon *daemon)
{
    (void)daemon;
    return LM_E_UNSUPPORTED;
}

void lm_daemon_stop(lm_daemon *daemon)
{
    (void)daemon;
}

const char *lm_daemon_address(lm_daemon *daemon, size_t index)
{
    (void)daemon;
    (void)index;
    return NULL;
}

const char *lm_daemon_folder(const lm_daemon *daemon)
{
    (void)daemon;
    return "";
}

lm_err lm_config_check(lm_context *context, const char *path)
{
    (void)path;
    return no_daemon(context);
}

lm_err lm_config_print(lm_context *context, const char *path, bool is_effective,
                       void (*told)(void *ctx, lm_text text), void *told_ctx)
{
    (void)path;
    (void)is_effective;
    (void)told;
    (void)told_ctx;
    return no_daemon(context);
}

lm_err lm_config_hash_password(lm_context *context, lm_text password, char out[LM_HASH_BYTES])
{
    (void)password;
    (void)out;
    return no_daemon(context);
}

lm_err lm_config_hash_token(lm_context *context, lm_text token, char out[LM_HASH_BYTES])
{
    (void)token;
    (void)out;
    return no_daemon(context);
}

lm_err lm_config_new_token(lm_context *context, char out[LM_HASH_BYTES])
{
    (void)out;
    return no_daemon(context);
}

#endif

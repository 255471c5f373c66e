/** The daemon and its configuration: a module that is loaded when one of these is called first, so
 * that nobody else pays for the libraries it stands on. */
#include "api/api_daemon_priv.h"

#if LM_HAVE_DAEMON

#    include <dlfcn.h>
#    include <limits.h>
#    include <stdatomic.h>
#    include <stdio.h>
#    include <unistd.h>

/** Once loaded it stays: a daemon's threads may run in it until the process ends. */
static _Atomic(const lm_daemon_module *) loaded;

/** Beside the file this code is in (a build folder), else where it is installed. */
static bool find_module(char *path, size_t cap)
{
    Dl_info about;
    if (dladdr((const void *)&loaded, &about) && about.dli_fname) {
        const char *slash = strrchr(about.dli_fname, '/');
        int folder = slash ? (int)(slash - about.dli_fname) : 1;
        (void)snprintf(path, cap, "%.*s/%s", folder, slash ? about.dli_fname : ".",
                       DAEMON_MODULE_FILE);
        if (access(path, R_OK) == 0) return true;
    }
    (void)snprintf(path, cap, "%s/%s", LM_MODULE_FOLDER, DAEMON_MODULE_FILE);
    return access(path, R_OK) == 0;
}

static lm_err module_load(const lm_daemon_module **out)
{
    char path[PATH_MAX];
    const lm_daemon_module *module = atomic_load(&loaded);
    if (!module) {
        if (!find_module(path, sizeof path))
            return lm_fail(LM_E_UNSUPPORTED, "the daemon is not installed: there is no '%s'", path);
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle) module = dlsym(handle, DAEMON_MODULE_SYMBOL);
        if (!module) return lm_fail(LM_E_UNSUPPORTED, "cannot load the daemon: %s", dlerror());
        if (strcmp(module->version, LM_VERSION) != 0)
            return lm_fail(LM_E_UNSUPPORTED, "'%s' is of version %s, this is %s", path,
                           module->version, LM_VERSION);
        atomic_store(&loaded, module);
    }
    *out = module;
    return LM_OK;
}

#else

static const lm_daemon_module *loaded;

static lm_err module_load(const lm_daemon_module **out)
{
    (void)out;
    return lm_fail(LM_E_UNSUPPORTED, "this build has no daemon");
}

#endif

lm_err lm_daemon_start(lm_context *context, const lm_daemon_options *options, lm_daemon **out)
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    return err ? context_end(context, err) : module->daemon_start(context, options, out);
}

/* Who has a daemon has loaded the module. */

lm_err lm_daemon_reload(lm_daemon *daemon)
{
    const lm_daemon_module *module = loaded;
    return module->daemon_reload(daemon);
}

void lm_daemon_stop(lm_daemon *daemon)
{
    const lm_daemon_module *module = loaded;
    if (daemon) module->daemon_stop(daemon);
}

const char *lm_daemon_address(lm_daemon *daemon, size_t index)
{
    const lm_daemon_module *module = loaded;
    return module->daemon_address(daemon, index);
}

const char *lm_daemon_folder(const lm_daemon *daemon)
{
    const lm_daemon_module *module = loaded;
    return module->daemon_folder(daemon);
}

lm_err lm_config_check(lm_context *context, const char *path)
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    return err ? context_end(context, err) : module->config_check(context, path);
}

lm_err lm_config_print(lm_context *context, const char *path, bool is_effective,
                       void (*told)(void *ctx, lm_text text), void *told_ctx)
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    if (err) return context_end(context, err);
    return module->config_print(context, path, is_effective, told, told_ctx);
}

lm_err lm_config_hash_password(lm_context *context, lm_text password, char out[LM_HASH_BYTES])
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    return err ? context_end(context, err) : module->config_hash_password(context, password, out);
}

lm_err lm_config_hash_token(lm_context *context, lm_text token, char out[LM_HASH_BYTES])
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    return err ? context_end(context, err) : module->config_hash_token(context, token, out);
}

lm_err lm_config_new_token(lm_context *context, char out[LM_HASH_BYTES])
{
    const lm_daemon_module *module = NULL;
    lm_err err = module_load(&module);
    return err ? context_end(context, err) : module->config_new_token(context, out);
}

/** A request's target and its Authorization header: path, form, route, times. */
#include "server/server_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mem *mem = NULL;
    lm_arena arena;
    server_path path;
    server_form form = {0};
    if (size > 65536 || lm_mem_new(NULL, (size_t)64 << 20, &mem)) return 0;
    lm_arena_init(&arena, mem);
    lm_str text = {data, size};
    uint32_t methods = 0;
    if (!server_path_parse(text, &arena, &path)) {
        const server_route *route = server_route_find(&path, METHOD_GET, &methods);
        LM_ASSERT(!route || route->methods & METHOD_GET);
    }
    lm_err err = server_form_parse(text, &arena, &form);
    LM_ASSERT(!err || err == LM_E_LIMIT);
    for (size_t i = 0; i < form.count; i++) {
        int64_t ns = 0;
        uint32_t limit = 0;
        lm_str value = form.pairs[i].value, selector = server_selector_of(value);
        LM_ASSERT(selector.len <= value.len);
        err = server_time_parse(value, 0, &ns);
        LM_ASSERT(!err || err == LM_E_USAGE);
        err = server_seconds_parse(value, 0, &ns);
        LM_ASSERT(!err || err == LM_E_USAGE);
        err = server_limit_parse(value, 1, &limit);
        LM_ASSERT(err ? err == LM_E_USAGE : limit > 0);
    }
    bool is_basic;
    lm_str name, secret;
    if (server_auth_parse(text, &arena, &is_basic, &name, &secret))
        LM_ASSERT(name.len + secret.len <= size);
    lm_arena_fini(&arena);
    lm_mem_free(mem);
    return 0;
}

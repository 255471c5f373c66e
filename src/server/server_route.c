/** Which handler a path belongs to. */
#include "server/server_priv.h"

static const server_route routes[] = {
#define SERVER_ROUTE(name, methods, pattern, flags, run) {name, methods, pattern, flags, run},
#include "server/server_routes.def"
#undef SERVER_ROUTE
};

#define ROUTES (sizeof routes / sizeof routes[0])

size_t server_route_count(void)
{
    return ROUTES;
}

const server_route *server_route_at(size_t index)
{
    return index < ROUTES ? &routes[index] : NULL;
}

size_t server_route_index(const server_route *route)
{
    return (size_t)(route - routes);
}

/** Where the path begins: behind "http://HOST" where a client asks as it would ask a proxy. */
static size_t authority_end(lm_str raw)
{
    size_t begin = lm_str_starts(raw, LM_STR("http://"))    ? 7
                   : lm_str_starts(raw, LM_STR("https://")) ? 8
                                                            : 0;
    while (begin && begin < raw.len && raw.ptr[begin] != '/' && raw.ptr[begin] != '?')
        begin++;
    return begin;
}

lm_err server_path_parse(lm_str raw, lm_arena *arena, server_path *out)
{
    server_path path = {.count = 0};
    size_t i = authority_end(raw);
    while (i < raw.len && raw.ptr[i] != '?') {
        if (raw.ptr[i] == '/') {
            i++;
            continue;
        }
        size_t begin = i;
        while (i < raw.len && raw.ptr[i] != '/' && raw.ptr[i] != '?')
            i++;
        if (path.count == ROUTE_PATH_PARTS) /* longer than any route: fits none */
            return lm_fail(LM_E_NOTFOUND, "404 page not found");
        lm_str part = server_decode((lm_str){raw.ptr + begin, i - begin}, false, arena);
        if (!part.ptr) return lm_mem_err();
        path.parts[path.count++] = part;
    }
    *out = path;
    return LM_OK;
}

static bool fits(const char *pattern, const server_path *path)
{
    size_t part = 0;
    while (*pattern) {
        pattern++; /* the '/' */
        size_t len = strcspn(pattern, "/");
        lm_str wanted = {(const uint8_t *)pattern, len};
        pattern += len;
        if (lm_str_equal(wanted, LM_STR("**"))) return true;
        if (len == 0) break; /* "/" */
        if (part == path->count) return false;
        if (!lm_str_equal(wanted, LM_STR("*")) && !lm_str_equal(wanted, path->parts[part]))
            return false;
        part++;
    }
    return part == path->count;
}

const server_route *server_route_find(const server_path *path, uint32_t method,
                                      uint32_t *out_methods)
{
    uint32_t methods = 0;
    for (size_t i = 0; i < ROUTES; i++) {
        if ((routes[i].methods ^ method) & METHOD_CALL || !fits(routes[i].pattern, path)) continue;
        if (routes[i].methods & method) return &routes[i];
        if (strcmp(routes[i].pattern, ROUTE_PATTERN_INDEX) != 0) methods |= routes[i].methods;
    }
    *out_methods = methods;
    return NULL;
}

/**
 * Who asks, for whom, and may they? Bearer tokens are looked up by their hash; passwords cost some
 * 20 ms to hash, so that is done on a worker, and a password that was right once is known by a
 * keyed hash until the configuration changes. All comparisons of secrets take constant time.
 */
#include "server/server_priv.h"

#include <sodium.h>

#define KNOWN_MAX 256u

typedef struct known_user {
    uint8_t digest[32]; /* of name and password, with the key below */
    size_t user;        /* index in the configuration */
} known_user;

struct server_auth {
    uint8_t key[crypto_generichash_KEYBYTES];
    pthread_mutex_t lock; /* of what follows */
    known_user known[KNOWN_MAX];
    size_t known_count, known_next;
    const lm_config *config; /* that the indices belong to */
};

lm_err server_auth_new(lm_server *server, struct server_auth **out)
{
    LM_ASSERT(sodium_init() >= 0); /* fails only where the system gives no random numbers */
    struct server_auth *auth = lm_mem_calloc(server->mem, 1, sizeof *auth);
    if (!auth) return lm_mem_err();
    randombytes_buf(auth->key, sizeof auth->key);
    (void)pthread_mutex_init(&auth->lock, NULL);
    *out = auth;
    return LM_OK;
}

void server_auth_free(lm_server *server, struct server_auth *auth)
{
    if (!auth) return;
    (void)pthread_mutex_destroy(&auth->lock);
    sodium_memzero(auth, sizeof *auth);
    lm_mem_release(server->mem, auth, sizeof *auth);
}

void server_auth_reset(struct server_auth *auth)
{
    (void)pthread_mutex_lock(&auth->lock);
    auth->known_count = auth->known_next = 0;
    auth->config = NULL;
    (void)pthread_mutex_unlock(&auth->lock);
}

bool server_auth_parse(lm_str header, lm_arena *arena, bool *out_is_basic, lm_str *out_name,
                       lm_str *out_secret)
{
    size_t blank = lm_str_find(header, LM_STR(" "));
    if (blank == SIZE_MAX) return false;
    lm_str scheme = {header.ptr, blank};
    while (blank < header.len && header.ptr[blank] == ' ')
        blank++;
    lm_str rest = {header.ptr + blank, header.len - blank};
    if (lm_str_equal_nocase(scheme, LM_STR("bearer"))) {
        *out_is_basic = false;
        *out_name = LM_STR("");
        *out_secret = rest;
        return rest.len > 0;
    }
    if (!lm_str_equal_nocase(scheme, LM_STR("basic")) || rest.len > 4096) return false;
    uint8_t *text = lm_arena_alloc(arena, rest.len + 1, 1);
    size_t len = 0;
    if (!text || sodium_base642bin(text, rest.len + 1, (const char *)rest.ptr, rest.len, NULL, &len,
                                   NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    const uint8_t *colon = memchr(text, ':', len);
    if (!colon) return false;
    *out_is_basic = true;
    *out_name = (lm_str){text, (size_t)(colon - text)};
    *out_secret = (lm_str){colon + 1, len - (size_t)(colon - text) - 1};
    return true;
}

static auth_result refuse(server_request *request, const char *why)
{
    atomic_fetch_add_explicit(&request->server->counters.logins_failed, 1, memory_order_relaxed);
    server_answer_header(request, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                         "Basic realm=\"logmill\", charset=\"UTF-8\"");
    server_answer_text(request, MHD_HTTP_UNAUTHORIZED, "%s", why);
    return AUTH_NO;
}

/** The tenant of the request's header, or the one a user or token is bound to. */
static auth_result choose_tenant(server_request *request, const char *bound)
{
    const char *header = server_request_header(request, "X-Scope-OrgID");
    lm_str wish = header ? lm_str_of(header) : LM_STR("");
    if (bound[0] && wish.len && !lm_str_equal(wish, lm_str_of(bound))) {
        server_answer_text(request, MHD_HTTP_FORBIDDEN, "this login is of another tenant");
        return AUTH_FORBIDDEN;
    }
    if (wish.len) { /* a worker goes on with it when the client, and its headers, may be gone */
        wish.ptr = lm_arena_copy(&request->arena, wish.ptr, wish.len);
        if (!wish.ptr) {
            server_answer_err(request, lm_mem_err());
            return AUTH_FORBIDDEN;
        }
    }
    request->tenant = bound[0] ? lm_str_of(bound) : wish.len ? wish : LM_STR("default");
    if (!lm_tenant_is_valid(request->tenant)) {
        server_answer_text(request, MHD_HTTP_BAD_REQUEST,
                           "X-Scope-OrgID is no tenant's name (1 to 150 of A-Z a-z 0-9 "
                           "! . _ * ' ( ) -)");
        return AUTH_FORBIDDEN;
    }
    return AUTH_YES;
}

static auth_result grant(server_request *request, const char *tenant, uint32_t scopes)
{
    uint32_t flags = request->route->flags;
    bool may = ((flags & ROUTE_WRITE) && (scopes & LM_SCOPE_WRITE)) ||
               ((flags & ROUTE_READ) && (scopes & LM_SCOPE_READ)) ||
               ((flags & ROUTE_ADMIN) && (scopes & LM_SCOPE_ADMIN));
    if (!may) {
        server_answer_text(request, MHD_HTTP_FORBIDDEN, "this login lacks the scope '%s'",
                           flags & ROUTE_WRITE   ? "write"
                           : flags & ROUTE_ADMIN ? "admin"
                                                 : "read");
        return AUTH_FORBIDDEN;
    }
    request->scopes = scopes;
    return choose_tenant(request, tenant);
}

static void digest_of(const struct server_auth *auth, lm_str name, lm_str secret, uint8_t out[32])
{
    crypto_generichash_state state;
    uint64_t len = name.len;
    (void)crypto_generichash_init(&state, auth->key, sizeof auth->key, 32);
    (void)crypto_generichash_update(&state, (const uint8_t *)&len, sizeof len);
    (void)crypto_generichash_update(&state, name.ptr, name.len);
    (void)crypto_generichash_update(&state, secret.ptr, secret.len);
    (void)crypto_generichash_final(&state, out, 32);
}

static bool is_known(struct server_auth *auth, const lm_config *config, const uint8_t digest[32],
                     size_t *out_user)
{
    bool found = false;
    (void)pthread_mutex_lock(&auth->lock);
    for (size_t i = 0; i < auth->known_count && auth->config == config; i++) {
        if (sodium_memcmp(auth->known[i].digest, digest, 32) != 0) continue;
        *out_user = auth->known[i].user;
        found = true;
    }
    (void)pthread_mutex_unlock(&auth->lock);
    return found;
}

static void remember(struct server_auth *auth, const lm_config *config, const uint8_t digest[32],
                     size_t user)
{
    (void)pthread_mutex_lock(&auth->lock);
    if (auth->config != config) {
        auth->config = config;
        auth->known_count = auth->known_next = 0;
    }
    known_user *slot = &auth->known[auth->known_next];
    memcpy(slot->digest, digest, 32);
    slot->user = user;
    auth->known_next = (auth->known_next + 1) % KNOWN_MAX;
    if (auth->known_count < KNOWN_MAX) auth->known_count++;
    (void)pthread_mutex_unlock(&auth->lock);
}

static auth_result check_token(server_request *request, lm_str secret)
{
    const lm_config *config = request->state->config;
    const lm_config_token *found = NULL;
    for (size_t i = 0; i < config->token_count; i++) {
        if (lm_token_verify(secret, config->tokens[i].hash)) found = &config->tokens[i];
    }
    if (!found) return refuse(request, "no such token");
    return grant(request, found->tenant, found->scopes);
}

/** is_worker: passwords may be hashed here. */
static auth_result check_user(server_request *request, lm_str name, lm_str secret, bool is_worker)
{
    const lm_config *config = request->state->config;
    struct server_auth *auth = request->server->auth;
    uint8_t digest[32];
    size_t index = 0;
    digest_of(auth, name, secret, digest);
    if (!is_known(auth, config, digest, &index)) {
        if (!is_worker) return AUTH_SLOW;
        while (index < config->user_count &&
               !lm_str_equal(lm_str_of(config->users[index].name), name))
            index++;
        /* A user that does not exist takes as long as one that does. */
        const char *hash = index < config->user_count ? config->users[index].hash
                           : config->user_count       ? config->users[0].hash
                                                      : "";
        bool is_right = lm_secret_verify(secret, hash);
        if (!is_right || index == config->user_count)
            return refuse(request, "no such user, or another password");
        remember(auth, config, digest, index);
    }
    return grant(request, config->users[index].tenant, config->users[index].scopes);
}

static auth_result check(server_request *request, bool is_worker)
{
    if (!request->state->config->auth_enabled || request->route->flags & ROUTE_OPEN) {
        request->scopes = LM_SCOPE_WRITE | LM_SCOPE_READ | LM_SCOPE_ADMIN;
        return choose_tenant(request, "");
    }
    const char *header = server_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    bool is_basic = false;
    lm_str name, secret;
    if (!header ||
        !server_auth_parse(lm_str_of(header), &request->arena, &is_basic, &name, &secret))
        return refuse(request, "a user or a token is needed");
    return is_basic ? check_user(request, name, secret, is_worker) : check_token(request, secret);
}

auth_result server_auth_check(server_request *request)
{
    return check(request, false);
}

auth_result server_auth_check_slow(server_request *request)
{
    return check(request, true);
}

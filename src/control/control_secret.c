/**
 * Secrets are kept as hashes. Passwords are short and chosen by people: Argon2id, at the cost OWASP
 * recommends for 7 MiB of memory (a daemon within 256 MiB cannot spend more on each login). Tokens
 * are 256 random bits: a plain hash keeps them as well and costs a request nothing.
 */
#include "control/control.h"

#include <sodium.h>
#include <stdio.h>

#define PASSWORD_PASSES 5u
#define PASSWORD_MEMORY (7u << 20)
#define TOKEN_PREFIX    "blake2b:"

static void ready(void)
{
    LM_ASSERT(sodium_init() >= 0); /* fails only where the system gives no random numbers */
}

_Static_assert(LM_SECRET_HASH_MAX >= crypto_pwhash_STRBYTES, "a hash fits");

lm_err lm_secret_hash(lm_str password, char out[LM_SECRET_HASH_MAX])
{
    ready();
    if (crypto_pwhash_str(out, (const char *)password.ptr, password.len, PASSWORD_PASSES,
                          PASSWORD_MEMORY) != 0)
        return lm_fail(LM_E_NOMEM, "out of memory while hashing");
    return LM_OK;
}

bool lm_secret_verify(lm_str password, const char *hash)
{
    ready();
    return crypto_pwhash_str_verify(hash, (const char *)password.ptr, password.len) == 0;
}

void lm_token_hash(lm_str token, char out[LM_SECRET_HASH_MAX])
{
    uint8_t digest[32];
    ready();
    (void)crypto_generichash(digest, sizeof digest, token.ptr, token.len, NULL,
                             0); /* fails only on wrong lengths */
    size_t prefix = sizeof TOKEN_PREFIX - 1;
    memcpy(out, TOKEN_PREFIX, prefix);
    (void)sodium_bin2hex(out + prefix, LM_SECRET_HASH_MAX - prefix, digest, sizeof digest);
}

bool lm_token_verify(lm_str token, const char *hash)
{
    char given[LM_SECRET_HASH_MAX];
    lm_token_hash(token, given);
    size_t len = strlen(given);
    return strlen(hash) == len && sodium_memcmp(given, hash, len) == 0;
}

void lm_token_make(char out[64])
{
    uint8_t random[32];
    ready();
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2base64(out, 64, random, sizeof random,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
}

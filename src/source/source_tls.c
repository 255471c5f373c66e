/** TLS by GnuTLS. */
#include "source/source_tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct lm_tls_keys {
    lm_mem *mem;
    _Atomic uint32_t refs;
    gnutls_certificate_credentials_t credentials;
    bool asks; /* clients for their certificate */
};

struct lm_tls {
    lm_mem *mem;
    gnutls_priority_t priorities;
    const char *protocol; /* of ALPN; NULL: none */
    pthread_mutex_t lock; /* of keys */
    lm_tls_keys *keys;
};

struct lm_tls_session {
    lm_mem *mem;
    lm_tls_keys *keys;
    gnutls_session_t session;
};

/* ---- keys ---- */

static lm_err load(lm_tls_keys *keys, const lm_tls_files *files)
{
    int rc = gnutls_certificate_allocate_credentials(&keys->credentials);
    if (rc < 0) return lm_fail(LM_E_NOMEM, "TLS cannot be set up: %s", gnutls_strerror(rc));
    rc = gnutls_certificate_set_x509_key_file(keys->credentials, files->certificate, files->key,
                                              GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        return lm_fail(LM_E_USAGE, "certificate '%s' with key '%s': %s", files->certificate,
                       files->key, gnutls_strerror(rc));
    if (!files->client_ca) return LM_OK;
    keys->asks = true;
    rc = gnutls_certificate_set_x509_trust_file(keys->credentials, files->client_ca,
                                                GNUTLS_X509_FMT_PEM);
    if (rc > 0) return LM_OK;
    return lm_fail(LM_E_USAGE, "'%s' holds no certificate of a client authority: %s",
                   files->client_ca, gnutls_strerror(rc));
}

lm_err lm_tls_keys_load(lm_mem *mem, const lm_tls_files *files, lm_tls_keys **out)
{
    lm_tls_keys *keys = lm_mem_calloc(mem, 1, sizeof *keys);
    if (!keys) return lm_mem_err();
    keys->mem = mem;
    atomic_store(&keys->refs, 1);
    lm_err err = load(keys, files);
    if (err) {
        lm_tls_keys_unref(keys);
        return err;
    }
    *out = keys;
    return LM_OK;
}

void lm_tls_keys_unref(lm_tls_keys *keys)
{
    if (!keys || atomic_fetch_sub(&keys->refs, 1) != 1) return;
    if (keys->credentials) gnutls_certificate_free_credentials(keys->credentials);
    lm_mem_release(keys->mem, keys, sizeof *keys);
}

/* ---- a listener's ---- */

lm_err lm_tls_new(lm_mem *mem, const lm_tls_files *files, lm_tls **out)
{
    lm_tls *tls = lm_mem_calloc(mem, 1, sizeof *tls);
    if (!tls) return lm_mem_err();
    tls->mem = mem;
    (void)pthread_mutex_init(&tls->lock, NULL);
    int rc = gnutls_priority_init(&tls->priorities, LM_TLS_PRIORITIES, NULL);
    lm_err err = rc < 0 ? lm_fail(LM_E_NOMEM, "TLS cannot be set up: %s", gnutls_strerror(rc))
                        : lm_tls_keys_load(mem, files, &tls->keys);
    if (err) {
        lm_tls_free(tls);
        return err;
    }
    *out = tls;
    return LM_OK;
}

void lm_tls_speak(lm_tls *tls, const char *protocol)
{
    tls->protocol = protocol;
}

void lm_tls_renew(lm_tls *tls, lm_tls_keys *keys)
{
    (void)pthread_mutex_lock(&tls->lock);
    lm_tls_keys *old = tls->keys;
    tls->keys = keys;
    (void)pthread_mutex_unlock(&tls->lock);
    lm_tls_keys_unref(old);
}

static lm_tls_keys *keys_of(lm_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    lm_tls_keys *keys = tls->keys;
    atomic_fetch_add(&keys->refs, 1);
    (void)pthread_mutex_unlock(&tls->lock);
    return keys;
}

void lm_tls_free(lm_tls *tls)
{
    if (!tls) return;
    if (tls->priorities) gnutls_priority_deinit(tls->priorities);
    lm_tls_keys_unref(tls->keys);
    (void)pthread_mutex_destroy(&tls->lock);
    lm_mem_release(tls->mem, tls, sizeof *tls);
}

/* ---- sessions ---- */

lm_err lm_tls_lend(lm_tls *tls, void *gnutls_session, lm_tls_keys **out)
{
    gnutls_session_t session = gnutls_session;
    lm_tls_keys *keys = keys_of(tls);
    int rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, keys->credentials);
    if (rc < 0) {
        lm_tls_keys_unref(keys);
        return lm_fail(LM_E_NOMEM, "a TLS session cannot be set up: %s", gnutls_strerror(rc));
    }
    gnutls_certificate_server_set_request(session,
                                          keys->asks ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
    *out = keys;
    return LM_OK;
}

lm_err lm_tls_session_new(lm_tls *tls, int fd, lm_tls_session **out)
{
    lm_tls_session *made = lm_mem_calloc(tls->mem, 1, sizeof *made);
    if (!made) return lm_mem_err();
    made->mem = tls->mem;
    made->keys = keys_of(tls);
    int rc = gnutls_init(&made->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    if (rc >= 0) rc = gnutls_priority_set(made->session, tls->priorities);
    if (rc >= 0)
        rc = gnutls_credentials_set(made->session, GNUTLS_CRD_CERTIFICATE, made->keys->credentials);
    if (rc >= 0 && tls->protocol) {
        const gnutls_datum_t name = {(unsigned char *)(uintptr_t)tls->protocol,
                                     (unsigned)strlen(tls->protocol)};
        rc = gnutls_alpn_set_protocols(made->session, &name, 1, 0);
    }
    if (rc < 0) {
        lm_tls_session_free(made);
        return lm_fail(LM_E_NOMEM, "a TLS session cannot be set up: %s", gnutls_strerror(rc));
    }
    bool asks = made->keys->asks;
    gnutls_certificate_server_set_request(made->session,
                                          asks ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
    if (asks) gnutls_session_set_verify_cert(made->session, NULL, 0);
    gnutls_transport_set_int(made->session, fd);
    *out = made;
    return LM_OK;
}

void lm_tls_session_free(lm_tls_session *session)
{
    if (!session) return;
    if (session->session) gnutls_deinit(session->session);
    lm_tls_keys_unref(session->keys);
    lm_mem_release(session->mem, session, sizeof *session);
}

lm_tls_step lm_tls_handshake(lm_tls_session *session)
{
    int rc;
    do { /* warnings do not end it */
        rc = gnutls_handshake(session->session);
    } while (rc < 0 && rc != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rc));
    if (rc == GNUTLS_E_SUCCESS) return LM_TLS_DONE;
    if (!gnutls_error_is_fatal(rc))
        return gnutls_record_get_direction(session->session) ? LM_TLS_WANTS_WRITE
                                                             : LM_TLS_WANTS_READ;
    (void)lm_fail(LM_E_IO, "TLS handshake: %s", gnutls_strerror(rc)); /* kept for the caller */
    return LM_TLS_FAILED;
}

ssize_t lm_tls_read(lm_tls_session *session, void *dst, size_t cap)
{
    ssize_t got = gnutls_record_recv(session->session, dst, cap);
    if (got >= 0) return got;
    if (got == GNUTLS_E_PREMATURE_TERMINATION) return 0;
    errno = EAGAIN;
    if (!gnutls_error_is_fatal((int)got)) return -1;
    (void)lm_fail(LM_E_IO, "TLS: %s", gnutls_strerror((int)got)); /* kept for the caller */
    errno = EPROTO;
    return -1;
}

ssize_t lm_tls_write(lm_tls_session *session, const void *src, size_t len)
{
    ssize_t put = gnutls_record_send(session->session, src, len);
    if (put >= 0) return put;
    errno = EAGAIN;
    if (!gnutls_error_is_fatal((int)put)) return -1;
    (void)lm_fail(LM_E_IO, "TLS: %s", gnutls_strerror((int)put)); /* kept for the caller */
    errno = EPROTO;
    return -1;
}

size_t lm_tls_pending(const lm_tls_session *session)
{
    return gnutls_record_check_pending(session->session);
}

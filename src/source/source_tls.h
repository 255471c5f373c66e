/** TLS 1.2 and 1.3 of the server's side by GnuTLS, for sockets that do not block: for the listeners
 * of this room, and for those of others that bring their own loop. */
#ifndef SOURCE_TLS_H
#define SOURCE_TLS_H

#include "source/source.h"

#include <sys/types.h>

/** What every TLS listener of the daemon speaks, in GnuTLS's words. */
#define LM_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/** Certificate, key and the authority of clients, as they were when they were read. Shared by those
 * who use them: freed by the last one. */
typedef struct lm_tls_keys lm_tls_keys;
/** LM_E_USAGE: a file that is missing or wrong; LM_E_NOMEM. */
LM_USE lm_err lm_tls_keys_load(lm_mem *mem, const lm_tls_files *files, lm_tls_keys **out);
void lm_tls_keys_unref(lm_tls_keys *keys); /* NULL is fine */

/** What a listener has: the keys that its next session takes. */
typedef struct lm_tls lm_tls;
/** As lm_tls_keys_load. */
LM_USE lm_err lm_tls_new(lm_mem *mem, const lm_tls_files *files, lm_tls **out);
/** Sessions from now on have these keys; those that are there keep theirs. Takes them over. From
 * any thread. */
void lm_tls_renew(lm_tls *tls, lm_tls_keys *keys);
/** Gives a session of GnuTLS that somebody else began (gnutls_session_t) the keys of now. If there
 * is an authority of clients, their certificate is asked for; whoever has the session checks it.
 * *out must live as long as the session. */
LM_USE lm_err lm_tls_lend(lm_tls *tls, void *gnutls_session, lm_tls_keys **out);
/** The one protocol that sessions agree on by ALPN; a text that outlives tls. */
void lm_tls_speak(lm_tls *tls, const char *protocol);
/** After the last session. */
void lm_tls_free(lm_tls *tls); /* NULL is fine */

/** One connection; the descriptor is borrowed. */
typedef struct lm_tls_session lm_tls_session;
LM_USE lm_err lm_tls_session_new(lm_tls *tls, int fd, lm_tls_session **out);
void lm_tls_session_free(lm_tls_session *session); /* NULL is fine */

typedef enum lm_tls_step {
    LM_TLS_DONE,
    LM_TLS_WANTS_READ,
    LM_TLS_WANTS_WRITE,
    LM_TLS_FAILED
} lm_tls_step;

/** Goes on with the handshake; after LM_TLS_FAILED lm_err_text tells why. */
lm_tls_step lm_tls_handshake(lm_tls_session *session);
/** As read(2): 0 is the end; -1 with errno EAGAIN, or EPROTO and lm_err_text. */
ssize_t lm_tls_read(lm_tls_session *session, void *dst, size_t cap);
/** As write(2): -1 with errno EAGAIN, or EPROTO and lm_err_text. After EAGAIN the same bytes must
 * come first again. */
ssize_t lm_tls_write(lm_tls_session *session, const void *src, size_t len);
/** Bytes that were received and not yet read: no event will tell of them. */
size_t lm_tls_pending(const lm_tls_session *session);

#endif

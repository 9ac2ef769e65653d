/*
 * mTLS with SPIFFE identities (X509-SVID standard). The current SVID and trust bundle are kept here and used by
 * every handshake of the worker; they change without a reload.
 */

#include "ngx_mesh.h"

#include <openssl/sha.h>
#include <openssl/x509v3.h>


#define NGX_MESH_IDENTITY_MAX  2048         /* SPIFFE ID, section 2.3 */
#define NGX_MESH_TLS_SERVERS   16
#define NGX_MESH_TLS_CLOCK_SKEW  600        /* seconds; two nodes that are five minutes off, one each way */


static struct {
    X509             *leaf;
    STACK_OF(X509)   *chain;
    EVP_PKEY         *key;
    STACK_OF(X509)   *roots;
    ngx_str_t         trust_domain;         /* with the prefix "spiffe://" and a closing "/" */
    ngx_str_t         identity;
    u_char            bundle[SHA256_DIGEST_LENGTH];  /* names it in tickets: a worker that takes another's place agrees */
    uintptr_t         generation;           /* of the bundle */
    int               expected_index;       /* SSL ex data: ngx_str_t * */
    int               generation_index;     /* SSL ex data: the bundle's when the connection began */
    ngx_mesh_handshakes_t  handshakes;
    SSL_CTX          *servers[NGX_MESH_TLS_SERVERS];
    ngx_uint_t        server_count;
} ngx_mesh_tls;


static int ngx_mesh_tls_cert_handler(SSL *ssl, void *arg);
static int ngx_mesh_tls_verify_handler(X509_STORE_CTX *store, void *arg);


ngx_int_t
ngx_mesh_tls_init(ngx_log_t *log)
{
    ngx_mesh_tls.expected_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    ngx_mesh_tls.generation_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

    return (ngx_mesh_tls.expected_index == -1 || ngx_mesh_tls.generation_index == -1) ? NGX_ERROR : NGX_OK;
}


ngx_mesh_handshakes_t *
ngx_mesh_tls_handshakes(void)
{
    return &ngx_mesh_tls.handshakes;
}


ngx_str_t *
ngx_mesh_tls_identity(void)
{
    return &ngx_mesh_tls.identity;
}


static STACK_OF(X509) *
ngx_mesh_tls_parse(ngx_str_t *der)
{
    X509                 *cert;
    STACK_OF(X509)       *certs;
    const unsigned char  *p, *last;

    certs = sk_X509_new_null();
    if (certs == NULL) {
        return NULL;
    }

    p = der->data;
    last = der->data + der->len;

    while (p < last) {
        cert = d2i_X509(NULL, &p, last - p);

        if (cert == NULL || sk_X509_push(certs, cert) == 0) {
            X509_free(cert);
            sk_X509_pop_free(certs, X509_free);
            ERR_clear_error();
            return NULL;
        }
    }

    return certs;
}


/* The one URI among the subject alternative names; NGX_DECLINED when there is none, or more (X509-SVID, 2). */
static ngx_int_t
ngx_mesh_tls_uri(X509 *cert, u_char *text, size_t *len)
{
    int             i;
    ngx_int_t       rc;
    GENERAL_NAME   *name;
    GENERAL_NAMES  *names;
    ASN1_STRING    *uri;

    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_URI) {
            continue;
        }

        uri = name->d.uniformResourceIdentifier;

        if (rc == NGX_OK || ASN1_STRING_length(uri) > NGX_MESH_IDENTITY_MAX) {
            rc = NGX_DECLINED;
            break;
        }

        *len = ASN1_STRING_length(uri);
        ngx_memcpy(text, ASN1_STRING_get0_data(uri), *len);
        rc = NGX_OK;
    }

    GENERAL_NAMES_free(names);

    return rc;
}


/* `chain`: certificates as concatenated DER, the leaf first; `key`: PKCS#8 DER; both as the Workload API gives them. */
ngx_int_t
ngx_mesh_tls_set_svid(ngx_str_t *chain, ngx_str_t *key, ngx_log_t *log)
{
    X509                 *leaf;
    u_char                identity[NGX_MESH_IDENTITY_MAX], *copy;
    size_t                len;
    EVP_PKEY             *pkey;
    STACK_OF(X509)       *certs;
    const unsigned char  *p;

    certs = ngx_mesh_tls_parse(chain);
    if (certs == NULL || sk_X509_num(certs) == 0) {
        sk_X509_pop_free(certs, X509_free);
        return NGX_ERROR;
    }

    leaf = sk_X509_shift(certs);

    p = key->data;
    pkey = d2i_AutoPrivateKey(NULL, &p, key->len);

    copy = NULL;

    if (pkey == NULL
        || X509_check_private_key(leaf, pkey) != 1
        || ngx_mesh_tls_uri(leaf, identity, &len) != NGX_OK
        || (copy = malloc(len)) == NULL)
    {
        ERR_clear_error();
        X509_free(leaf);
        EVP_PKEY_free(pkey);
        sk_X509_pop_free(certs, X509_free);
        return NGX_ERROR;
    }

    /*
     * Other sidecars refuse a session whose SVID has expired, and a resumed one is still of the SVID that it began
     * with. SVIDs change at half their life, so that no session of the new one reaches that far.
     */

    if (ngx_mesh_tls.leaf && X509_cmp(ngx_mesh_tls.leaf, leaf) != 0) {
        ngx_mesh_endpoints_forget_sessions();
    }

    X509_free(ngx_mesh_tls.leaf);
    EVP_PKEY_free(ngx_mesh_tls.key);
    sk_X509_pop_free(ngx_mesh_tls.chain, X509_free);
    free(ngx_mesh_tls.identity.data);

    ngx_mesh_tls.leaf = leaf;
    ngx_mesh_tls.key = pkey;
    ngx_mesh_tls.chain = certs;

    ngx_memcpy(copy, identity, len);
    ngx_mesh_tls.identity.data = copy;
    ngx_mesh_tls.identity.len = len;

    return NGX_OK;
}


/* Tickets of before are bound to another session id context, and so lead to a full handshake. */
static void
ngx_mesh_tls_new_generation(ngx_str_t *roots)
{
    ngx_uint_t  i;

    ngx_mesh_tls.generation++;
    SHA256(roots->data, roots->len, ngx_mesh_tls.bundle);

    for (i = 0; i < ngx_mesh_tls.server_count; i++) {
        SSL_CTX_set_session_id_context(ngx_mesh_tls.servers[i], ngx_mesh_tls.bundle, SHA256_DIGEST_LENGTH);
    }

    ngx_mesh_endpoints_forget_sessions();
}


ngx_int_t
ngx_mesh_tls_set_bundle(ngx_str_t *roots, ngx_str_t *trust_domain, ngx_log_t *log)
{
    u_char          *p;
    STACK_OF(X509)  *certs;

    certs = ngx_mesh_tls_parse(roots);
    if (certs == NULL || sk_X509_num(certs) == 0) {
        sk_X509_pop_free(certs, X509_free);
        return NGX_ERROR;
    }

    p = malloc(sizeof("spiffe:///") - 1 + trust_domain->len);
    if (p == NULL) {
        sk_X509_pop_free(certs, X509_free);
        return NGX_ERROR;
    }

    sk_X509_pop_free(ngx_mesh_tls.roots, X509_free);
    free(ngx_mesh_tls.trust_domain.data);

    ngx_mesh_tls.roots = certs;
    ngx_mesh_tls.trust_domain.data = p;
    ngx_mesh_tls.trust_domain.len = ngx_sprintf(p, "spiffe://%V/", trust_domain) - p;

    ngx_mesh_tls_new_generation(roots);

    return NGX_OK;
}


/* Prepares the context of a server that only sidecars talk to. Called before the workers start. */
ngx_int_t
ngx_mesh_tls_server(SSL_CTX *ctx, ngx_log_t *log)
{
    if (ngx_mesh_tls.server_count == NGX_MESH_TLS_SERVERS) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "mesh: more than %d servers with mTLS", NGX_MESH_TLS_SERVERS);
        return NGX_ERROR;
    }

    ngx_mesh_tls.servers[ngx_mesh_tls.server_count++] = ctx;

    SSL_CTX_set_cert_cb(ctx, ngx_mesh_tls_cert_handler, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER|SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, ngx_mesh_tls_verify_handler, NULL);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_id_context(ctx, ngx_mesh_tls.bundle, SHA256_DIGEST_LENGTH);

    return NGX_OK;
}


/* Prepares the connection to an endpoint: our SVID, and the one identity that the other side must prove. */
ngx_int_t
ngx_mesh_tls_client(ngx_connection_t *c, ngx_str_t *identity)
{
    SSL  *ssl;

    ssl = c->ssl->connection;

    SSL_CTX_set_cert_verify_callback(SSL_get_SSL_CTX(ssl), ngx_mesh_tls_verify_handler, NULL);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);

    if (SSL_set_ex_data(ssl, ngx_mesh_tls.expected_index, identity) == 0
        || SSL_set_ex_data(ssl, ngx_mesh_tls.generation_index, (void *) ngx_mesh_tls.generation) == 0
        || ngx_mesh_tls_cert_handler(ssl, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Whether the connection to an endpoint began with the present SVID and trust bundle. */
ngx_uint_t
ngx_mesh_tls_is_current(ngx_connection_t *c)
{
    SSL  *ssl;

    ssl = c->ssl->connection;

    return SSL_get_certificate(ssl) == ngx_mesh_tls.leaf
           && (uintptr_t) SSL_get_ex_data(ssl, ngx_mesh_tls.generation_index) == ngx_mesh_tls.generation;
}


static int
ngx_mesh_tls_cert_handler(SSL *ssl, void *arg)
{
    ngx_connection_t  *c;

    if (ngx_mesh_tls.leaf == NULL) {
        c = ngx_ssl_get_connection(ssl);
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "mesh: TLS handshake failed: no SVID yet; is the SPIFFE Workload API reachable?");
        return 0;
    }

    if (SSL_use_certificate(ssl, ngx_mesh_tls.leaf) != 1
        || SSL_use_PrivateKey(ssl, ngx_mesh_tls.key) != 1
        || SSL_set1_chain(ssl, ngx_mesh_tls.chain) != 1)
    {
        return 0;
    }

    return 1;
}


static ngx_int_t
ngx_mesh_tls_check_identity(ngx_connection_t *c, X509 *leaf, ngx_str_t *expected, u_char *text, size_t *len)
{
    ngx_str_t  *td;

    td = &ngx_mesh_tls.trust_domain;

    if (X509_get_extension_flags(leaf) & EXFLAG_CA) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0, "mesh: refused peer: its certificate is that of an authority");
        return NGX_DECLINED;
    }

    if (ngx_mesh_tls_uri(leaf, text, len) != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "mesh: refused peer: its certificate does not hold exactly one SPIFFE ID");
        return NGX_DECLINED;
    }

    if (*len <= td->len || ngx_memcmp(text, td->data, td->len) != 0) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "mesh: refused peer \"%*s\": it is not of this trust domain, \"%V\"", *len, text, td);
        return NGX_DECLINED;
    }

    if (expected && expected->len
        && (expected->len != *len || ngx_memcmp(text, expected->data, *len) != 0))
    {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "mesh: refused peer \"%*s\": the configuration expects \"%V\" at this address",
                      *len, text, expected);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * A certificate of the near future is one of now whose signer's clock goes before ours: SPIRE dates SVIDs back by ten seconds only
 * (NotBeforeCushion in its credtemplate, which no setting changes), and they are in use from their first second on.
 */
static int
ngx_mesh_tls_verify_error_handler(int ok, X509_STORE_CTX *store)
{
    X509    *cert;
    time_t   latest;

    if (ok || X509_STORE_CTX_get_error(store) != X509_V_ERR_CERT_NOT_YET_VALID) {
        return ok;
    }

    cert = X509_STORE_CTX_get_current_cert(store);
    latest = ngx_time() + NGX_MESH_TLS_CLOCK_SKEW;

    if (cert == NULL || X509_cmp_time(X509_get0_notBefore(cert), &latest) != -1) {
        return 0;
    }

    X509_STORE_CTX_set_error(store, X509_V_OK);

    return 1;
}


/* Replaces OpenSSL's verification: the chain against the current bundle, then the SPIFFE ID. */
static int
ngx_mesh_tls_verify_handler(X509_STORE_CTX *store, void *arg)
{
    SSL                    *ssl;
    X509                   *leaf;
    u_char                  text[NGX_MESH_IDENTITY_MAX];
    size_t                  len;
    ngx_str_t              *expected;
    ngx_connection_t       *c;
    ngx_mesh_connection_t  *mc;

    ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    c = ngx_ssl_get_connection(ssl);
    leaf = X509_STORE_CTX_get0_cert(store);

    if (ngx_mesh_tls.roots == NULL || leaf == NULL) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT);
        return 0;
    }

    X509_STORE_CTX_set0_trusted_stack(store, ngx_mesh_tls.roots);
    X509_STORE_CTX_set_verify_cb(store, ngx_mesh_tls_verify_error_handler);

    if (X509_verify_cert(store) != 1) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0, "mesh: refused peer: its certificate does not verify: %s",
                      X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
        return 0;
    }

    expected = SSL_get_ex_data(ssl, ngx_mesh_tls.expected_index);

    if (SSL_is_server(ssl)) {
        ngx_mesh_tls.handshakes.incoming++;
        mc = ngx_mesh_connection_find(c);
        expected = mc ? &mc->expected : NULL;

    } else {
        ngx_mesh_tls.handshakes.outgoing++;
    }

    if (ngx_mesh_tls_check_identity(c, leaf, expected, text, &len) != NGX_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }

    return 1;
}


/* Who the peer of an accepted connection is; on a resumed session also whether its SVID is still valid. */
ngx_int_t
ngx_mesh_tls_peer(ngx_connection_t *c, ngx_pool_t *pool, ngx_str_t *identity)
{
    X509    *leaf;
    u_char   text[NGX_MESH_IDENTITY_MAX];
    size_t   len;

    leaf = SSL_get0_peer_certificate(c->ssl->connection);
    if (leaf == NULL) {
        return NGX_ERROR;
    }

    if (SSL_session_reused(c->ssl->connection)) {
        ngx_mesh_tls.handshakes.resumed++;

        if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0) {
            ngx_log_error(NGX_LOG_WARN, c->log, 0,
                          "mesh: refused peer: its SVID expired since the session began");
            return NGX_ERROR;
        }
    }

    if (ngx_mesh_tls_check_identity(c, leaf, NULL, text, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    identity->data = ngx_pnalloc(pool, len);
    if (identity->data == NULL) {
        return NGX_ERROR;
    }

    identity->len = len;
    ngx_memcpy(identity->data, text, len);

    return NGX_OK;
}

/*
 * Endpoints: addresses that requests are sent to. The logic makes and drops them; each keeps its own idle
 * connections, so taking one is no search, and a dropped endpoint or one whose identity changed keeps none.
 */

#include "ngx_mesh.h"


#define NGX_MESH_SLOTS     (1 << 20)        /* numbers are slot + round * NGX_MESH_SLOTS: none is used twice soon */


static struct {
    ngx_mesh_endpoint_t  **by_id;
    ngx_uint_t             size;
    ngx_uint_t             next;
    ngx_uint_t             round;
} ngx_mesh_endpoints;


ngx_mesh_endpoint_t *
ngx_mesh_endpoint(ngx_int_t id)
{
    ngx_uint_t            slot;
    ngx_mesh_endpoint_t  *ep;

    slot = id % NGX_MESH_SLOTS;

    if (id < 0 || slot >= ngx_mesh_endpoints.size) {
        return NULL;
    }

    ep = ngx_mesh_endpoints.by_id[slot];

    return (ep && ep->id == id) ? ep : NULL;
}


static ngx_int_t
ngx_mesh_endpoint_slot(void)
{
    ngx_uint_t             i, n, size;
    ngx_mesh_endpoint_t  **by_id;

    for (n = 0; n < ngx_mesh_endpoints.size; n++) {
        i = (ngx_mesh_endpoints.next + n) % ngx_mesh_endpoints.size;

        if (ngx_mesh_endpoints.by_id[i] == NULL) {
            if (i < ngx_mesh_endpoints.next) {
                ngx_mesh_endpoints.round++;
            }

            ngx_mesh_endpoints.next = i + 1;
            return i;
        }
    }

    i = ngx_mesh_endpoints.size;
    size = i ? 2 * i : 64;

    if (size > NGX_MESH_SLOTS) {
        return NGX_ERROR;
    }

    by_id = realloc(ngx_mesh_endpoints.by_id, size * sizeof(ngx_mesh_endpoint_t *));
    if (by_id == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(by_id + i, (size - i) * sizeof(ngx_mesh_endpoint_t *));

    ngx_mesh_endpoints.by_id = by_id;
    ngx_mesh_endpoints.size = size;
    ngx_mesh_endpoints.next = i + 1;

    return i;
}


/* `address` is canonical text; returns the endpoint's number, or NGX_ERROR when it is none or memory ran out. */
ngx_int_t
ngx_mesh_endpoint_create(ngx_str_t *address, in_port_t port, ngx_str_t *identity)
{
    u_char               *p;
    size_t                i;
    ngx_int_t             slot, n;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;
    ngx_mesh_endpoint_t  *ep;

    slot = ngx_mesh_endpoint_slot();
    if (slot == NGX_ERROR) {
        return NGX_ERROR;
    }

    ep = calloc(1, sizeof(ngx_mesh_endpoint_t) + sizeof(struct sockaddr_in6) + NGX_SOCKADDR_STRLEN
                   + identity->len);
    if (ep == NULL) {
        return NGX_ERROR;
    }

    ep->id = slot + (ngx_int_t) ngx_mesh_endpoints.round * NGX_MESH_SLOTS;
    ep->references = 1;
    ngx_queue_init(&ep->idle);

    p = (u_char *) (ep + 1);
    ep->sockaddr = (struct sockaddr *) p;
    p += sizeof(struct sockaddr_in6);

    if (address->len == 32) {
        sin6 = (struct sockaddr_in6 *) ep->sockaddr;
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        ep->socklen = sizeof(struct sockaddr_in6);

        for (i = 0; i < 16; i++) {
            n = ngx_hextoi(address->data + 2 * i, 2);
            if (n == NGX_ERROR) {
                goto invalid;
            }

            sin6->sin6_addr.s6_addr[i] = (u_char) n;
        }

    } else {
        sin = (struct sockaddr_in *) ep->sockaddr;
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        sin->sin_addr.s_addr = ngx_inet_addr(address->data, address->len);
        ep->socklen = sizeof(struct sockaddr_in);

        if (sin->sin_addr.s_addr == INADDR_NONE) {
            goto invalid;
        }
    }

    ep->name.data = p;
    ep->name.len = ngx_sock_ntop(ep->sockaddr, ep->socklen, p, NGX_SOCKADDR_STRLEN, 1);
    p += NGX_SOCKADDR_STRLEN;

    ep->identity.data = p;
    ep->identity.len = identity->len;
    ngx_memcpy(p, identity->data, identity->len);

    ngx_mesh_endpoints.by_id[slot] = ep;

    return ep->id;

invalid:

    free(ep);
    return NGX_ERROR;
}


ngx_str_t *
ngx_mesh_endpoint_name(ngx_mesh_endpoint_t *ep, ngx_mesh_name_t *copy)
{
    copy->name.data = copy->text;
    copy->name.len = ep->name.len;
    ngx_memcpy(copy->text, ep->name.data, ep->name.len);

    return &copy->name;
}


void
ngx_mesh_endpoint_release(ngx_mesh_endpoint_t *ep)
{
    if (--ep->references > 0) {
        return;
    }

    ngx_mesh_endpoint_close_idle(ep);

    if (ep->session) {
        ngx_ssl_free_session(ep->session);
    }

    ngx_mesh_endpoints.by_id[ep->id % NGX_MESH_SLOTS] = NULL;
    free(ep);
}


/* After a change of the trust bundle or of our SVID no session of before it may be resumed. */
void
ngx_mesh_endpoints_forget_sessions(void)
{
    ngx_uint_t            i;
    ngx_mesh_endpoint_t  *ep;

    for (i = 0; i < ngx_mesh_endpoints.size; i++) {
        ep = ngx_mesh_endpoints.by_id[i];

        if (ep && ep->session) {
            ngx_ssl_free_session(ep->session);
            ep->session = NULL;
        }
    }
}


/*
 * A pod has one sidecar whatever the port and the Service, and its identity was proven when the session began: the first
 * connection to another of its ports needs no certificates either. The servers for HTTP have one key for their tickets, those
 * for TCP another.
 */
static SSL_SESSION *
ngx_mesh_endpoint_session(ngx_mesh_endpoint_t *ep)
{
    ngx_uint_t            i;
    ngx_mesh_endpoint_t  *other;

    if (ep->session && SSL_SESSION_is_resumable(ep->session)) {
        return ep->session;
    }

    for (i = 0; i < ngx_mesh_endpoints.size; i++) {
        other = ngx_mesh_endpoints.by_id[i];

        if (other && other->session && other->tcp == ep->tcp
            && SSL_SESSION_is_resumable(other->session)
            && other->identity.len == ep->identity.len
            && ngx_memcmp(other->identity.data, ep->identity.data, ep->identity.len) == 0
            && ngx_cmp_sockaddr(other->sockaddr, other->socklen, ep->sockaddr, ep->socklen, 0) == NGX_OK)
        {
            return other->session;
        }
    }

    return NULL;
}


/*
 * OpenSSL lets a session be resumed once, so that nobody who listens tells one client by its tickets (RFC 8446, C.4). Pods are
 * told by their addresses: a copy is used up instead, or of connections that begin together one alone would resume.
 */
ngx_int_t
ngx_mesh_endpoint_set_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c, ngx_uint_t tcp)
{
    ngx_int_t     rc;
    SSL_SESSION  *session, *copy;

    if (ngx_mesh_tls_client(c, &ep->identity) != NGX_OK) {
        return NGX_ERROR;
    }

    ep->tcp = tcp;

    session = ngx_mesh_endpoint_session(ep);
    if (session == NULL) {
        return NGX_OK;
    }

    copy = SSL_SESSION_dup(session);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_ssl_set_session(c, copy);
    SSL_SESSION_free(copy);

    return rc;
}


void
ngx_mesh_endpoint_save_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c)
{
    SSL_SESSION  *session;

    /* a ticket may come late */

    if (!ngx_mesh_tls_is_current(c)) {
        return;
    }

    session = ngx_ssl_get_session(c);
    if (session == NULL) {
        return;
    }

    if (ep->session) {
        ngx_ssl_free_session(ep->session);
    }

    ep->session = session;
}

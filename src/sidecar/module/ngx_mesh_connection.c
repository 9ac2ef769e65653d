/* What is known about a captured connection: where it was going, and who is at its other end. */

#include "ngx_mesh.h"

#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>


#define NGX_MESH_HOLD_LIMIT   10000         /* ms; the logic answers earlier, this is the last resort */


static struct {
    ngx_mesh_connection_t  **held;          /* by waiter; NULL: free */
    ngx_uint_t               size;
    ngx_uint_t               next;
    ngx_msec_t               idle_limit;
} ngx_mesh_connections = { NULL, 0, 0, 24 * 60 * 60 * 1000 };


ngx_mesh_open_t  ngx_mesh_open;


static void ngx_mesh_connection_cleanup(void *data);
static void ngx_mesh_connection_held_handler(ngx_event_t *ev);


ngx_msec_int_t
ngx_mesh_idle_limit(void)
{
    return ngx_mesh_connections.idle_limit;
}


void
ngx_mesh_set_idle_limit(ngx_msec_t ms)
{
    ngx_mesh_connections.idle_limit = ms;
}


/* The canonical text of an address: dotted IPv4, or 32 hexadecimal digits of IPv6. */
size_t
ngx_mesh_address_text(struct sockaddr *sa, u_char *text)
{
    u_char               *p;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        p = (u_char *) &sin->sin_addr;
        return ngx_sprintf(text, "%ud.%ud.%ud.%ud", p[0], p[1], p[2], p[3]) - text;

    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            p = sin6->sin6_addr.s6_addr + 12;
            return ngx_sprintf(text, "%ud.%ud.%ud.%ud", p[0], p[1], p[2], p[3]) - text;
        }

        return ngx_hex_dump(text, sin6->sin6_addr.s6_addr, 16) - text;

    default:
        return 0;
    }
}


ngx_mesh_connection_t *
ngx_mesh_connection_find(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_mesh_connection_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_mesh_connection_t *
ngx_mesh_connection_get(ngx_connection_t *c)
{
    socklen_t               len;
    ngx_pool_cleanup_t     *cln;
    ngx_mesh_connection_t  *mc;

    mc = ngx_mesh_connection_find(c);
    if (mc) {
        return mc;
    }

    cln = ngx_pool_cleanup_add(c->pool, sizeof(ngx_mesh_connection_t));
    if (cln == NULL) {
        return NULL;
    }

    mc = cln->data;
    ngx_memzero(mc, sizeof(ngx_mesh_connection_t));

    mc->connection = c;
    mc->destination = NGX_MESH_NONE;
    mc->edge = NGX_MESH_NONE;
    mc->waiter = NGX_MESH_NONE;

    cln->handler = ngx_mesh_connection_cleanup;

    len = sizeof(struct sockaddr_storage);

    if (getsockopt(c->fd, SOL_IP, SO_ORIGINAL_DST, &mc->original, &len) != 0) {
        len = sizeof(struct sockaddr_storage);

        if (getsockopt(c->fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &mc->original, &len) != 0) {
            ngx_log_debug0(NGX_LOG_DEBUG_CORE, c->log, ngx_errno, "mesh: no original destination");
            return mc;
        }
    }

    /* connected to the listener itself and not captured: to pass it on would bring it back here, without end */

    if (ngx_connection_local_sockaddr(c, NULL, 0) != NGX_OK
        || ngx_cmp_sockaddr((struct sockaddr *) &mc->original, len, c->local_sockaddr, c->local_socklen, 1) == NGX_OK)
    {
        return mc;
    }

    mc->captured = 1;
    mc->port = ngx_inet_get_port((struct sockaddr *) &mc->original);
    mc->address_len = ngx_mesh_address_text((struct sockaddr *) &mc->original, mc->address);

    return mc;
}


static void
ngx_mesh_connection_cleanup(void *data)
{
    ngx_mesh_connection_t  *mc = data;

    if (mc->held.posted) {
        ngx_delete_posted_event(&mc->held);
    }

    ngx_mesh_connection_let_go(mc);

    if (mc->outgoing) {
        ngx_mesh_open.outgoing--;
    }

    if (mc->caller.next) {
        ngx_queue_remove(&mc->caller);
    }

    if (mc->destination != NGX_MESH_NONE || mc->edge != NGX_MESH_NONE) {
        ngx_mesh_logic_closed(mc->destination, mc->edge);
    }
}


/*
 * Who is at the other end, once for a connection. On a resumed session the certificate comes from the ticket and
 * the verification callback did not run, so what the address says is compared here too.
 */
ngx_int_t
ngx_mesh_connection_identify(ngx_mesh_connection_t *mc, ngx_connection_t *c)
{
    u_char     *p;
    ngx_str_t  *own;

    if (mc->identified) {
        return NGX_OK;
    }

    if (c->ssl == NULL) {
        mc->identified = 1;
        return NGX_OK;
    }

    if (ngx_mesh_tls_peer(c, mc->connection->pool, &mc->peer) != NGX_OK) {
        return NGX_ERROR;
    }

    if (mc->expected.len
        && (mc->expected.len != mc->peer.len
            || ngx_memcmp(mc->expected.data, mc->peer.data, mc->peer.len) != 0))
    {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "mesh: refused connection: its address belongs to \"%V\" but it resumed a session of \"%V\"",
                      &mc->expected, &mc->peer);
        ngx_str_null(&mc->peer);
        return NGX_ERROR;
    }

    own = ngx_mesh_tls_identity();

    p = ngx_pnalloc(mc->connection->pool, sizeof("By=;URI=") - 1 + own->len + mc->peer.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    mc->client_cert.data = p;
    mc->client_cert.len = ngx_sprintf(p, "By=%V;URI=%V", own, &mc->peer) - p;
    mc->identified = 1;

    return NGX_OK;
}


/* Keeps the session where it is until the logic has what it needs to decide. */
ngx_int_t
ngx_mesh_connection_hold(ngx_mesh_connection_t *mc, ngx_stream_session_t *s)
{
    ngx_uint_t               i, size;
    ngx_mesh_connection_t  **held;

    if (mc->waiter != NGX_MESH_NONE) {
        return mc->waiter;
    }

    for (i = ngx_mesh_connections.next; i < ngx_mesh_connections.size; i++) {
        if (ngx_mesh_connections.held[i] == NULL) {
            goto found;
        }
    }

    for (i = 0; i < ngx_mesh_connections.next; i++) {
        if (ngx_mesh_connections.held[i] == NULL) {
            goto found;
        }
    }

    size = ngx_mesh_connections.size ? 2 * ngx_mesh_connections.size : 16;

    held = realloc(ngx_mesh_connections.held, size * sizeof(ngx_mesh_connection_t *));
    if (held == NULL) {
        return NGX_MESH_NONE;
    }

    i = ngx_mesh_connections.size;
    ngx_memzero(held + i, (size - i) * sizeof(ngx_mesh_connection_t *));

    ngx_mesh_connections.held = held;
    ngx_mesh_connections.size = size;

found:

    ngx_mesh_connections.held[i] = mc;
    ngx_mesh_connections.next = i + 1;

    mc->waiter = i;
    mc->session = s;

    mc->held.data = mc;
    mc->held.log = s->connection->log;
    mc->held.handler = ngx_mesh_connection_held_handler;

    ngx_add_timer(&mc->held, NGX_MESH_HOLD_LIMIT);

    return mc->waiter;
}


/* Called by the logic; the session goes on from the event loop, never from within the call. */
void
ngx_mesh_connection_resume(ngx_int_t waiter)
{
    ngx_mesh_connection_t  *mc;

    if (waiter < 0 || (ngx_uint_t) waiter >= ngx_mesh_connections.size) {
        return;
    }

    mc = ngx_mesh_connections.held[waiter];

    if (mc && !mc->held.posted) {
        ngx_post_event(&mc->held, &ngx_posted_events);
    }
}


static void
ngx_mesh_connection_held_handler(ngx_event_t *ev)
{
    ngx_mesh_connection_t  *mc = ev->data;

    ngx_stream_session_t  *s;

    s = mc->session;

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                      "mesh: connection to %*s:%ui closed: no answer about this destination within %ui ms",
                      mc->address_len, mc->address, (ngx_uint_t) mc->port, (ngx_uint_t) NGX_MESH_HOLD_LIMIT);
        ngx_stream_finalize_session(s, NGX_STREAM_SERVICE_UNAVAILABLE);
        return;
    }

    ngx_stream_core_run_phases(s);
}


/* The logic has decided: the connection is not held any longer. */
void
ngx_mesh_connection_let_go(ngx_mesh_connection_t *mc)
{
    if (mc->held.timer_set) {
        ngx_del_timer(&mc->held);
    }

    if (mc->waiter != NGX_MESH_NONE) {
        ngx_mesh_connections.held[mc->waiter] = NULL;
        mc->waiter = NGX_MESH_NONE;
    }
}

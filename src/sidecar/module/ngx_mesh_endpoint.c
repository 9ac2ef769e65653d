/*
 * Endpoints: addresses that requests are sent to. The logic makes and drops them; each keeps its own idle
 * connections, so taking one is no search, and a dropped endpoint or one whose identity changed keeps none.
 */

#include "ngx_mesh.h"


#define NGX_MESH_IDLE_MAX  1024             /* idle connections of all endpoints together */
#define NGX_MESH_SLOTS     (1 << 20)        /* numbers are slot + round * NGX_MESH_SLOTS: none is used twice soon */


typedef struct {
    ngx_queue_t           queue;            /* in ngx_mesh_endpoint_t.idle, or in `spare` */
    ngx_queue_t           age;              /* in `oldest` */
    ngx_connection_t     *connection;
    ngx_mesh_endpoint_t  *endpoint;
    ngx_uint_t            protocol;
} ngx_mesh_idle_t;


static struct {
    ngx_mesh_endpoint_t  **by_id;
    ngx_uint_t             size;
    ngx_uint_t             next;
    ngx_uint_t             round;
    ngx_queue_t            spare;
    ngx_queue_t            oldest;
    ngx_uint_t             idle;
    unsigned               ready:1;
} ngx_mesh_endpoints;


static void ngx_mesh_idle_close(ngx_mesh_idle_t *item);
static void ngx_mesh_idle_read_handler(ngx_event_t *ev);
static void ngx_mesh_idle_write_handler(ngx_event_t *ev);
static void ngx_mesh_idle_close_connection(ngx_connection_t *c);


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

    if (!ngx_mesh_endpoints.ready) {
        ngx_queue_init(&ngx_mesh_endpoints.spare);
        ngx_queue_init(&ngx_mesh_endpoints.oldest);
        ngx_mesh_endpoints.ready = 1;
    }

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


void
ngx_mesh_endpoint_close_idle(ngx_mesh_endpoint_t *ep)
{
    while (!ngx_queue_empty(&ep->idle)) {
        ngx_mesh_idle_close(ngx_queue_data(ngx_queue_head(&ep->idle), ngx_mesh_idle_t, queue));
    }
}


/* After a change of the trust bundle no session of before it may be resumed, and no kept connection used. */
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
 * A kept connection, or NULL. `check`: look whether the peer has closed it, for requests that may not be repeated:
 * the close may be waiting behind the event that is handled now.
 */
ngx_connection_t *
ngx_mesh_endpoint_take(ngx_mesh_endpoint_t *ep, ngx_uint_t protocol, ngx_log_t *log, ngx_uint_t check)
{
    char               buf[1];
    ngx_queue_t       *q, *next;
    ngx_mesh_idle_t   *item;
    ngx_connection_t  *c;

    for (q = ngx_queue_head(&ep->idle); q != ngx_queue_sentinel(&ep->idle); q = next) {
        next = ngx_queue_next(q);
        item = ngx_queue_data(q, ngx_mesh_idle_t, queue);

        if (item->protocol != protocol) {
            continue;
        }

        c = item->connection;

        if (check && (recv(c->fd, buf, 1, MSG_PEEK) != -1 || ngx_socket_errno != NGX_EAGAIN)) {
            ngx_mesh_idle_close(item);
            continue;
        }

        ngx_queue_remove(&item->queue);
        ngx_queue_remove(&item->age);
        ngx_queue_insert_head(&ngx_mesh_endpoints.spare, &item->queue);
        ngx_mesh_endpoints.idle--;

        c->idle = 0;
        c->sent = 0;
        c->data = NULL;
        c->log = log;
        c->read->log = log;
        c->write->log = log;
        c->pool->log = log;

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        return c;
    }

    return NULL;
}


/* Keeps a connection for the next request; NGX_DECLINED when it cannot be kept and stays with the caller. */
ngx_int_t
ngx_mesh_endpoint_keep(ngx_mesh_endpoint_t *ep, ngx_uint_t protocol, ngx_connection_t *c, ngx_msec_t timeout)
{
    ngx_queue_t      *q;
    ngx_mesh_idle_t  *item;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_mesh_endpoints.idle >= NGX_MESH_IDLE_MAX) {
        q = ngx_queue_last(&ngx_mesh_endpoints.oldest);
        ngx_mesh_idle_close(ngx_queue_data(q, ngx_mesh_idle_t, age));
    }

    if (ngx_queue_empty(&ngx_mesh_endpoints.spare)) {
        item = malloc(sizeof(ngx_mesh_idle_t));
        if (item == NULL) {
            return NGX_DECLINED;
        }

    } else {
        q = ngx_queue_head(&ngx_mesh_endpoints.spare);
        ngx_queue_remove(q);
        item = ngx_queue_data(q, ngx_mesh_idle_t, queue);
    }

    item->connection = c;
    item->endpoint = ep;
    item->protocol = protocol;

    ngx_queue_insert_head(&ep->idle, &item->queue);
    ngx_queue_insert_head(&ngx_mesh_endpoints.oldest, &item->age);
    ngx_mesh_endpoints.idle++;

    c->read->delayed = 0;
    ngx_add_timer(c->read, timeout);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_mesh_idle_write_handler;
    c->read->handler = ngx_mesh_idle_read_handler;

    c->data = item;
    c->idle = 1;
    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (c->read->ready) {
        ngx_mesh_idle_read_handler(c->read);
    }

    return NGX_OK;
}


static void
ngx_mesh_idle_write_handler(ngx_event_t *ev)
{
    /* nothing is being written */
}


static void
ngx_mesh_idle_read_handler(ngx_event_t *ev)
{
    char               buf[1];
    ngx_connection_t  *c;

    c = ev->data;

    if (!c->close && !ev->timedout
        && recv(c->fd, buf, 1, MSG_PEEK) == -1 && ngx_socket_errno == NGX_EAGAIN)
    {
        ev->ready = 0;

        if (ngx_handle_read_event(ev, 0) == NGX_OK) {
            return;
        }
    }

    ngx_mesh_idle_close(c->data);
}


static void
ngx_mesh_idle_close(ngx_mesh_idle_t *item)
{
    ngx_queue_remove(&item->queue);
    ngx_queue_remove(&item->age);
    ngx_queue_insert_head(&ngx_mesh_endpoints.spare, &item->queue);
    ngx_mesh_endpoints.idle--;

    ngx_mesh_idle_close_connection(item->connection);
}


static void
ngx_mesh_idle_close_connection(ngx_connection_t *c)
{
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_mesh_idle_close_connection;
            return;
        }
    }

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


ngx_int_t
ngx_mesh_endpoint_set_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c)
{
    if (ngx_mesh_tls_client(c, &ep->identity) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ep->session == NULL) {
        return NGX_OK;
    }

    return ngx_ssl_set_session(c, ep->session);
}


void
ngx_mesh_endpoint_save_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c)
{
    SSL_SESSION  *session;

    session = ngx_ssl_get_session(c);
    if (session == NULL) {
        return;
    }

    if (ep->session) {
        ngx_ssl_free_session(ep->session);
    }

    ep->session = session;
}

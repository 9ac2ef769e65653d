/* Connections that are kept for the next request, by endpoint. */

#include "ngx_mesh.h"


#define NGX_MESH_IDLE_MAX      1024         /* idle connections of all endpoints together */
#define NGX_MESH_IDLE_BUFFERS  8            /* of them keep their send buffer */


typedef struct {
    ngx_queue_t           queue;            /* in ngx_mesh_endpoint_t.idle, or in `spare` */
    ngx_queue_t           age;              /* in `oldest` */
    ngx_connection_t     *connection;
    ngx_mesh_endpoint_t  *endpoint;
    ngx_uint_t            protocol;
} ngx_mesh_idle_t;


static struct {
    ngx_queue_t           spare;            /* ngx_mesh_idle_t without a connection */
    ngx_queue_t           oldest;           /* the one kept longest is last */
    ngx_uint_t            count;
} ngx_mesh_kept;


static void ngx_mesh_idle_close(ngx_mesh_idle_t *item);
static void ngx_mesh_idle_read_handler(ngx_event_t *ev);
static void ngx_mesh_idle_write_handler(ngx_event_t *ev);
static void ngx_mesh_idle_close_connection(ngx_connection_t *c);


void
ngx_mesh_endpoint_close_idle(ngx_mesh_endpoint_t *ep)
{
    while (!ngx_queue_empty(&ep->idle)) {
        ngx_mesh_idle_close(ngx_queue_data(ngx_queue_head(&ep->idle), ngx_mesh_idle_t, queue));
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
        ngx_queue_insert_head(&ngx_mesh_kept.spare, &item->queue);
        ngx_mesh_kept.count--;

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

    if (ngx_mesh_kept.oldest.next == NULL) {
        ngx_queue_init(&ngx_mesh_kept.spare);
        ngx_queue_init(&ngx_mesh_kept.oldest);
    }

    if (ngx_mesh_kept.count >= NGX_MESH_IDLE_MAX) {
        q = ngx_queue_last(&ngx_mesh_kept.oldest);
        ngx_mesh_idle_close(ngx_queue_data(q, ngx_mesh_idle_t, age));
    }

    if (ngx_queue_empty(&ngx_mesh_kept.spare)) {
        item = malloc(sizeof(ngx_mesh_idle_t));
        if (item == NULL) {
            return NGX_DECLINED;
        }

    } else {
        q = ngx_queue_head(&ngx_mesh_kept.spare);
        ngx_queue_remove(q);
        item = ngx_queue_data(q, ngx_mesh_idle_t, queue);
    }

    item->connection = c;
    item->endpoint = ep;
    item->protocol = protocol;

    ngx_queue_insert_head(&ep->idle, &item->queue);
    ngx_queue_insert_head(&ngx_mesh_kept.oldest, &item->age);
    ngx_mesh_kept.count++;

    c->read->delayed = 0;
    ngx_add_timer(c->read, timeout);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    /* 16 KiB that a connection needs only while it sends; with few connections a request does without the churn */

    if (c->ssl && ngx_mesh_kept.count > NGX_MESH_IDLE_BUFFERS) {
        ngx_ssl_free_buffer(c);
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
    ngx_queue_insert_head(&ngx_mesh_kept.spare, &item->queue);
    ngx_mesh_kept.count--;

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

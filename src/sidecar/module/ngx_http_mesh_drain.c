/*
 * A pod that is about to end. Sidecars hear from the control plane that it goes; a caller without one keeps its
 * connection to this sidecar, which stays after the application has gone. So each such caller is told to go elsewhere
 * while the application still answers: what is idle is closed, and what is not closes with its next response.
 */

#include "ngx_mesh.h"


/* More than keepalive_requests: HTTP/2 says GOAWAY with the next stream. */
#define NGX_MESH_ENOUGH_REQUESTS  NGX_MAX_INT32_VALUE


static struct {
    ngx_queue_t  callers;                   /* ngx_mesh_connection_t */
    ngx_uint_t   on;
} ngx_http_mesh_draining;


/* A connection of a caller that is no sidecar, once. */
void
ngx_http_mesh_drain_caller(ngx_mesh_connection_t *mc)
{
    if (ngx_http_mesh_draining.callers.next == NULL) {
        ngx_queue_init(&ngx_http_mesh_draining.callers);
    }

    ngx_queue_insert_tail(&ngx_http_mesh_draining.callers, &mc->caller);

    if (ngx_http_mesh_draining.on) {
        mc->connection->requests = NGX_MESH_ENOUGH_REQUESTS;
    }
}


/* May be called again: what was busy may be idle now. */
void
ngx_http_mesh_drain(void)
{
    ngx_queue_t            *q, *next, *callers;
    ngx_connection_t       *c;
    ngx_mesh_connection_t  *mc;

    ngx_http_mesh_draining.on = 1;
    callers = &ngx_http_mesh_draining.callers;

    if (callers->next == NULL) {
        return;
    }

    for (q = ngx_queue_head(callers); q != ngx_queue_sentinel(callers); q = next) {
        next = ngx_queue_next(q);
        mc = ngx_queue_data(q, ngx_mesh_connection_t, caller);
        c = mc->connection;

        c->requests = NGX_MESH_ENOUGH_REQUESTS;

        if (c->idle) {
            /* as nginx does when it ends itself */
            c->close = 1;
            c->read->handler(c->read);
        }
    }
}


/* Called for each response, before nginx writes its header. */
void
ngx_http_mesh_drain_response(ngx_http_request_t *r)
{
    ngx_http_mesh_ctx_t  *ctx;

    if (!ngx_http_mesh_draining.on || r->stream) {
        return;
    }

    ctx = ngx_http_mesh_ctx(r);

    if (ctx && ctx->connection->caller.next) {
        r->keepalive = 0;
    }
}

/*
 * More connection structures when nginx's own run out (docs/decisions/002), and their end with a worker that stops: nginx
 * looks for open connections in its own array only.
 */

#include "ngx_mesh.h"


#define NGX_MESH_GROW_BELOW   64            /* free connections */
#define NGX_MESH_GROW_BY      512
#define NGX_MESH_GROW_BLOCKS  256
#define NGX_MESH_GROW_LOOK    1000          /* ms between looks whether the worker stops */


static struct {
    ngx_connection_t  *blocks[NGX_MESH_GROW_BLOCKS];
    ngx_uint_t         count;
    ngx_msec_t         stopped;             /* when the worker's end was seen; 0: it goes on */
    ngx_event_t        look;
} ngx_mesh_growth;


/* As ngx_close_idle_connections() and ngx_shutdown_timer_handler() do it with the others. */
static void
ngx_mesh_growth_close(ngx_uint_t all)
{
    ngx_uint_t         i, n;
    ngx_connection_t  *c;

    for (n = 0; n < ngx_mesh_growth.count; n++) {
        for (i = 0; i < NGX_MESH_GROW_BY; i++) {
            c = &ngx_mesh_growth.blocks[n][i];

            if (c->fd == (ngx_socket_t) -1 || (!all && !c->idle)
                || c->read->accept || c->read->channel || c->read->resolver)
            {
                continue;
            }

            c->close = 1;

            if (all) {
                c->error = 1;
            }

            c->read->handler(c->read);
        }
    }
}


static void
ngx_mesh_growth_look(ngx_event_t *ev)
{
    ngx_core_conf_t  *ccf;

    if (ngx_exiting) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx, ngx_core_module);

        if (ngx_mesh_growth.stopped == 0) {
            ngx_mesh_growth.stopped = ngx_current_msec;
            ngx_mesh_growth_close(0);

        } else if (ccf->shutdown_timeout && ngx_current_msec - ngx_mesh_growth.stopped >= ccf->shutdown_timeout) {
            ngx_mesh_growth_close(1);
            return;
        }
    }

    ngx_add_timer(ev, NGX_MESH_GROW_LOOK);
}


/*
 * nginx touches every connection structure at start, 424 bytes each. So the configuration asks for few, and more
 * are made when they run out: a sidecar without traffic does not pay for ten thousand connections. To be called before
 * a connection is taken: clients that have been quiet may all ask for an endpoint's in one turn of the event loop.
 */
void
ngx_mesh_connections_grow(ngx_log_t *log)
{
    u_char            *p;
    ngx_uint_t         i;
    ngx_event_t       *read, *write;
    ngx_connection_t  *c;

    if (ngx_cycle->free_connection_n >= NGX_MESH_GROW_BELOW || ngx_mesh_growth.count == NGX_MESH_GROW_BLOCKS) {
        return;
    }

    p = ngx_calloc(NGX_MESH_GROW_BY * (sizeof(ngx_connection_t) + 2 * sizeof(ngx_event_t)), log);
    if (p == NULL) {
        return;
    }

    c = (ngx_connection_t *) p;
    read = (ngx_event_t *) (c + NGX_MESH_GROW_BY);
    write = read + NGX_MESH_GROW_BY;

    for (i = 0; i < NGX_MESH_GROW_BY; i++) {
        c[i].data = ngx_cycle->free_connections;
        c[i].read = &read[i];
        c[i].write = &write[i];
        c[i].fd = (ngx_socket_t) -1;
        read[i].closed = 1;
        read[i].instance = 1;
        write[i].closed = 1;

        ngx_cycle->free_connections = &c[i];
    }

    ngx_cycle->free_connection_n += NGX_MESH_GROW_BY;
    ngx_mesh_growth.blocks[ngx_mesh_growth.count++] = c;

    if (ngx_mesh_growth.look.handler == NULL) {
        ngx_mesh_growth.look.handler = ngx_mesh_growth_look;
        ngx_mesh_growth.look.data = &ngx_mesh_growth;
        ngx_mesh_growth.look.log = ngx_cycle->log;
        ngx_mesh_growth.look.cancelable = 1;
        ngx_add_timer(&ngx_mesh_growth.look, NGX_MESH_GROW_LOOK);
    }
}

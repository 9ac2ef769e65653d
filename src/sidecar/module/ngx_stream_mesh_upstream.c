/* The upstream "mesh" of streams: its peer for each attempt comes from the logic. */

#include "ngx_mesh.h"


#define NGX_MESH_TCP_TRIES  3


static ngx_int_t ngx_stream_mesh_init_peer(ngx_stream_session_t *s, ngx_stream_upstream_srv_conf_t *us);
static ngx_int_t ngx_stream_mesh_get_peer(ngx_peer_connection_t *pc, void *data);
static void ngx_stream_mesh_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state);
static ngx_int_t ngx_stream_mesh_set_session(ngx_peer_connection_t *pc, void *data);
static void ngx_stream_mesh_save_session(ngx_peer_connection_t *pc, void *data);


ngx_int_t
ngx_stream_mesh_init_upstream(ngx_conf_t *cf, ngx_stream_upstream_srv_conf_t *us)
{
    us->peer.init = ngx_stream_mesh_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_init_peer(ngx_stream_session_t *s, ngx_stream_upstream_srv_conf_t *us)
{
    ngx_stream_mesh_ctx_t       *ctx;
    ngx_peer_connection_t       *pc;
    ngx_stream_mesh_srv_conf_t  *mscf;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(s->connection->pool, sizeof(ngx_stream_mesh_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        mscf = ngx_stream_get_module_srv_conf(s, ngx_stream_mesh_module);
        ctx->role = mscf->role;
        ctx->session = s;
    }

    pc = &s->upstream->peer;

    pc->data = ctx;
    pc->get = ngx_stream_mesh_get_peer;
    pc->free = ngx_stream_mesh_free_peer;
    pc->set_session = ngx_stream_mesh_set_session;
    pc->save_session = ngx_stream_mesh_save_session;
    pc->tries = (ctx->role == NGX_MESH_TCP_OUTGOING) ? NGX_MESH_TCP_TRIES : 1;

    if (ctx->role == NGX_MESH_TCP_OUTGOING || ctx->role == NGX_MESH_TCP_INCOMING) {
        pc->notify = ngx_stream_mesh_connected;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_stream_mesh_ctx_t  *ctx = data;

    ngx_mesh_endpoint_t  *ep;

    ngx_mesh_connections_grow(pc->log);

    switch (ctx->role) {

    case NGX_MESH_TCP_OUTGOING:
        ep = ngx_mesh_endpoint(ngx_mesh_logic_choose(ctx->connection->destination, NULL, ctx->last));
        ctx->held = ep ? 1 : 0;

        if (ep) {
            ngx_stream_mesh_use_server(ctx->session, ep->identity.len != 0);
        }

        break;

    case NGX_MESH_TCP_INCOMING:
        ep = ngx_mesh_endpoint(ctx->admitted);
        break;

    case NGX_MESH_NATS:
        ep = ngx_mesh_nats_endpoint();
        break;

    default:
        ep = NULL;
    }

    if (ep == NULL) {
        pc->tries = 0;
        return NGX_BUSY;
    }

    ep->references++;
    ctx->endpoint = ep;
    ctx->last = ep->id;

    pc->sockaddr = ep->sockaddr;
    pc->socklen = ep->socklen;
    pc->name = ngx_mesh_endpoint_name(ep, &ctx->name);
    pc->tries--;

    return NGX_OK;
}


static void
ngx_stream_mesh_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ngx_stream_mesh_ctx_t  *ctx = data;

    ngx_mesh_endpoint_t  *ep;

    ep = ctx->endpoint;

    if (ep == NULL) {
        return;
    }

    ctx->endpoint = NULL;

    if (ctx->role == NGX_MESH_TCP_OUTGOING && (state & NGX_PEER_FAILED || ctx->refused)) {
        ngx_mesh_logic_failed(ctx->connection->destination, ep->id, 1);
        ctx->held = 0;
        ctx->refused = 0;
    }

    if (ctx->role == NGX_MESH_TCP_INCOMING && (state & NGX_PEER_FAILED) && !ctx->connection->ingress) {
        ngx_stream_mesh_tell_refused(ctx->session);
    }

    ngx_mesh_endpoint_release(ep);
}


static ngx_int_t
ngx_stream_mesh_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_stream_mesh_ctx_t  *ctx = data;

    ngx_stream_mesh_before_handshake(ctx, pc->connection);

    return ngx_mesh_endpoint_set_session(ctx->endpoint, pc->connection, 1);
}


static void
ngx_stream_mesh_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_stream_mesh_ctx_t  *ctx = data;

    if (ctx->endpoint) {
        ngx_mesh_endpoint_save_session(ctx->endpoint, pc->connection);
    }
}

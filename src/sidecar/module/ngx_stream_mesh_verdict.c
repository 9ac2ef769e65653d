/*
 * Between two sidecars one byte goes before the application's own: the receiver says whether its application took
 * the connection. TLS and TCP have no sign for that which an application could not cause too, and without one a refused
 * connection looks like one that the application closes early. The byte goes with the application's first ones;
 * the sender does not wait for it, but keeps what it has sent meanwhile, to be sent to another endpoint.
 */

#include "ngx_mesh.h"


#define NGX_MESH_TAKEN         0
#define NGX_MESH_REFUSED       1

/* Bytes; whose client has sent more cannot go to another endpoint. */
#define NGX_MESH_REPLAY_MAX    16384

/* Reads of what came too late, so that the close does not become a reset that overtakes the byte. */
#define NGX_MESH_DRAIN_READS   16


static void ngx_stream_mesh_expect_verdict(ngx_stream_session_t *s, ngx_stream_mesh_ctx_t *ctx);
static ssize_t ngx_stream_mesh_verdict_recv(ngx_connection_t *pc, u_char *buf, size_t size);
static ngx_chain_t *ngx_stream_mesh_verdict_send_chain(ngx_connection_t *pc, ngx_chain_t *in, off_t limit);
static void ngx_stream_mesh_refused(ngx_stream_session_t *s, ngx_stream_mesh_ctx_t *ctx);
static void ngx_stream_mesh_refused_handler(ngx_event_t *ev);
static void ngx_stream_mesh_go_on_handler(ngx_event_t *ev);


/*
 * nginx's own, the same for all connections. A connection knows it only when its handshake had to wait for the other
 * side, so the first one of a worker is made to wait.
 */
static void  (*ngx_stream_mesh_handshake_handler)(ngx_connection_t *pc);

static u_char  ngx_stream_mesh_taken_byte[] = { NGX_MESH_TAKEN };
static u_char  ngx_stream_mesh_refused_byte[] = { NGX_MESH_REFUSED };


/* Puts bytes that stay where they are before all others of the chain. */
static ngx_int_t
ngx_stream_mesh_prepend(ngx_pool_t *pool, ngx_chain_t **chain, u_char *data, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(pool);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->pos = data;
    b->last = data + len;
    b->memory = 1;
    b->flush = 1;
    b->tag = (ngx_buf_tag_t) &ngx_stream_mesh_module;

    cl->buf = b;
    cl->next = *chain;
    *chain = cl;

    return NGX_OK;
}


/*
 * Before the handshake with an endpoint. The answer may be there before nginx looks for it: with one processor for both sides
 * often. As long as nginx's handler is not known, the handshake finds nothing to read at first.
 */
void
ngx_stream_mesh_before_handshake(ngx_stream_mesh_ctx_t *ctx, ngx_connection_t *c)
{
    BIO  *nothing;

    if (ctx->role != NGX_MESH_TCP_OUTGOING || ngx_stream_mesh_handshake_handler) {
        return;
    }

    nothing = BIO_new(BIO_s_mem());

    if (nothing == NULL) {
        return;
    }

    BIO_set_mem_eof_return(nothing, -1);
    SSL_set0_rbio(c->ssl->connection, nothing);

    ctx->refusal.data = ctx->session;
    ctx->refusal.log = ctx->session->connection->log;
    ctx->refusal.handler = ngx_stream_mesh_go_on_handler;

    ngx_post_event(&ctx->refusal, &ngx_posted_events);
}


static void
ngx_stream_mesh_go_on_handler(ngx_event_t *ev)
{
    BIO                   *socket;
    ngx_connection_t      *c;
    ngx_stream_session_t  *s;

    s = ev->data;
    c = s->upstream->peer.connection;

    if (c == NULL || c->ssl == NULL) {
        return;
    }

    socket = SSL_get_wbio(c->ssl->connection);

    if (BIO_up_ref(socket)) {
        SSL_set0_rbio(c->ssl->connection, socket);
    }

    ngx_post_event(c->read, &ngx_posted_events);
}


/* The connection to the endpoint or the application stands; nothing has been sent on it. */
void
ngx_stream_mesh_connected(ngx_peer_connection_t *pc, void *data, ngx_uint_t type)
{
    ngx_stream_mesh_ctx_t  *ctx = data;

    size_t                 preread;
    ngx_connection_t      *c;
    ngx_stream_session_t  *s;

    s = ctx->session;
    c = s->connection;

    if (ctx->role == NGX_MESH_TCP_INCOMING) {

        if (c->ssl && !ctx->connection->ingress
            && ngx_stream_mesh_prepend(c->pool, &s->upstream->downstream_out, ngx_stream_mesh_taken_byte, 1)
               != NGX_OK)
        {
            c->error = 1;
        }

        return;
    }

    if (ctx->replay.len) {

        /* nginx itself repeats what was read ahead */

        preread = c->buffer ? c->buffer->last - c->buffer->pos : 0;

        if (ctx->replay.len > preread
            && ngx_stream_mesh_prepend(c->pool, &s->upstream->upstream_out, ctx->replay.data + preread,
                                       ctx->replay.len - preread)
               != NGX_OK)
        {
            c->error = 1;
        }

        /* it is remembered anew while it is sent */

        ctx->replayed = ctx->replay.data;
        ngx_str_null(&ctx->replay);
        ctx->replay_size = 0;
    }

    if (pc->connection->ssl) {
        ngx_stream_mesh_expect_verdict(s, ctx);
    }
}


static void
ngx_stream_mesh_expect_verdict(ngx_stream_session_t *s, ngx_stream_mesh_ctx_t *ctx)
{
    ngx_connection_t  *pc;

    pc = s->upstream->peer.connection;

    pc->recv = ngx_stream_mesh_verdict_recv;
    pc->send_chain = ngx_stream_mesh_verdict_send_chain;

    if (pc->ssl->handler) {
        ngx_stream_mesh_handshake_handler = pc->ssl->handler;
    }

    ctx->refused = 0;
    ctx->refusal.data = s;
    ctx->refusal.log = s->connection->log;
    ctx->refusal.handler = ngx_stream_mesh_refused_handler;
}


/* Incoming: the application could not be reached; the session ends next. */
void
ngx_stream_mesh_tell_refused(ngx_stream_session_t *s)
{
    u_char             buf[4096];
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = s->connection;

    if (c->ssl == NULL || c->send(c, ngx_stream_mesh_refused_byte, 1) != 1) {
        return;
    }

    for (i = 0; i < NGX_MESH_DRAIN_READS; i++) {
        if (recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0) {
            break;
        }
    }
}


static void
ngx_stream_mesh_forget_replay(ngx_stream_mesh_ctx_t *ctx)
{
    free(ctx->replay.data);
    ngx_str_null(&ctx->replay);
    ctx->replay_size = 0;
}


/* Before `ctx` goes. */
void
ngx_stream_mesh_end_verdict(ngx_stream_mesh_ctx_t *ctx)
{
    if (ctx->refusal.posted) {
        ngx_delete_posted_event(&ctx->refusal);
    }

    ngx_stream_mesh_forget_replay(ctx);
    free(ctx->replayed);
    ctx->replayed = NULL;
}


/* Stands for ngx_ssl_recv until the first byte has come. */
static ssize_t
ngx_stream_mesh_verdict_recv(ngx_connection_t *pc, u_char *buf, size_t size)
{
    ssize_t                 n;
    ngx_stream_session_t   *s;
    ngx_stream_mesh_ctx_t  *ctx;

    s = pc->data;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    if (ctx->refused) {
        return NGX_AGAIN;
    }

    n = ngx_ssl_recv(pc, buf, size);

    if (n <= 0) {
        /* an end without the byte says nothing about the application */
        return n;
    }

    if (buf[0] == NGX_MESH_REFUSED) {
        ngx_stream_mesh_refused(s, ctx);
        return ngx_stream_mesh_handshake_handler ? NGX_AGAIN : NGX_ERROR;
    }

    if (buf[0] != NGX_MESH_TAKEN) {
        ngx_log_error(NGX_LOG_ERR, pc->log, 0,
                      "mesh: TCP connection closed: the other sidecar begins with byte %ui, not with 0 or 1; "
                      "is it of another version?", (ngx_uint_t) buf[0]);
        return NGX_ERROR;
    }

    pc->recv = ngx_ssl_recv;
    pc->send_chain = ngx_ssl_send_chain;

    ngx_stream_mesh_forget_replay(ctx);

    if (n == 1) {
        return pc->ssl->last == NGX_AGAIN ? NGX_AGAIN : ngx_ssl_recv(pc, buf, size);
    }

    ngx_memmove(buf, buf + 1, n - 1);

    return n - 1;
}


static size_t
ngx_stream_mesh_chain_size(ngx_chain_t *in)
{
    size_t  size;

    for (size = 0; in; in = in->next) {
        size += ngx_buf_size(in->buf);
    }

    return size;
}


/* Copies the chain's bytes; NGX_DECLINED when it is too much to be kept. */
static ngx_int_t
ngx_stream_mesh_remember(ngx_stream_mesh_ctx_t *ctx, ngx_chain_t *in)
{
    u_char       *data, *p;
    size_t        len, size;
    ngx_chain_t  *cl;

    len = ctx->replay.len + ngx_stream_mesh_chain_size(in);

    if (len > NGX_MESH_REPLAY_MAX) {
        return NGX_DECLINED;
    }

    if (len > ctx->replay_size) {
        size = ngx_align(len, 64);

        data = realloc(ctx->replay.data, size);
        if (data == NULL) {
            return NGX_DECLINED;
        }

        ctx->replay.data = data;
        ctx->replay_size = size;
    }

    p = ctx->replay.data + ctx->replay.len;

    for (cl = in; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, ngx_buf_size(cl->buf));
    }

    ctx->replay.len = len;

    return NGX_OK;
}


/* Stands for ngx_ssl_send_chain as long as what the client sends is remembered. */
static ngx_chain_t *
ngx_stream_mesh_verdict_send_chain(ngx_connection_t *pc, ngx_chain_t *in, off_t limit)
{
    u_char                  verdict;
    ngx_chain_t            *cl, *rest;
    ngx_stream_session_t   *s;
    ngx_stream_mesh_ctx_t  *ctx;

    s = pc->data;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    if (ngx_stream_mesh_remember(ctx, in) != NGX_OK) {
        ctx->unrepeatable = 1;
        pc->send_chain = ngx_ssl_send_chain;
        ngx_stream_mesh_forget_replay(ctx);
        return ngx_ssl_send_chain(pc, in, limit);
    }

    if (!ctx->refused) {
        rest = ngx_ssl_send_chain(pc, in, limit);

        if (rest != NGX_CHAIN_ERROR) {
            ctx->replay.len -= ngx_stream_mesh_chain_size(rest);
            return rest;
        }

        /* the other side may have refused and closed, which is to be read yet */

        if (ngx_ssl_recv(pc, &verdict, 1) != 1 || verdict != NGX_MESH_REFUSED
            || ngx_stream_mesh_handshake_handler == NULL)
        {
            return NGX_CHAIN_ERROR;
        }

        ngx_stream_mesh_refused(s, ctx);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    return NULL;
}


/* From within the proxy's own functions, which go on after this: the next endpoint comes from the event loop. */
static void
ngx_stream_mesh_refused(ngx_stream_session_t *s, ngx_stream_mesh_ctx_t *ctx)
{
    ctx->refused = 1;

    ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                  "mesh: the application at %V refuses connections", s->upstream->peer.name);

    if (ngx_stream_mesh_handshake_handler) {
        ngx_post_event(&ctx->refusal, &ngx_posted_events);
    }
}


static void
ngx_stream_mesh_refused_handler(ngx_event_t *ev)
{
    ngx_connection_t       *pc;
    ngx_stream_session_t   *s;
    ngx_stream_upstream_t  *u;
    ngx_stream_mesh_ctx_t  *ctx;

    s = ev->data;
    u = s->upstream;
    pc = u->peer.connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    /* nginx would send the rest of a buffer to the next endpoint first */

    if (ctx->unrepeatable || pc->buffered & NGX_STREAM_WRITE_BUFFERED) {
        u->peer.tries = 0;
    }

    free(ctx->replayed);
    ctx->replayed = NULL;

    pc->buffered = 0;
    u->half_closed = 0;

    /* after a handshake that failed nginx goes on to the next endpoint */

    pc->ssl->handshaked = 0;
    ngx_stream_mesh_handshake_handler(pc);
}

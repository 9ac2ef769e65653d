/* The upstream "mesh": its peer for each attempt comes from the logic, its connections are kept by the endpoint. */

#include "ngx_mesh.h"


#define NGX_MESH_HTTP1_PROTOCOL  1
#define NGX_MESH_HTTP2_PROTOCOL  2
#define NGX_MESH_TRIES           3
/* Answers of other sidecars, that their applications are down, come at once and use up no try: so many of them. */
#define NGX_MESH_UNREACHABLE     5

/* Shorter than the sidecars' own keepalive_timeout, so that it is the client that closes: no request meets a close. */
#define NGX_MESH_KEEP_MESH       60000
/* Common servers close idle connections after 5 s (Node.js) or more. */
#define NGX_MESH_KEEP_LOCAL      4000


typedef struct {
    ngx_http_request_t    *request;
    ngx_http_mesh_ctx_t   *ctx;
    ngx_mesh_endpoint_t   *endpoint;        /* referenced while it is set */
    ngx_int_t            (*process_header)(ngx_http_request_t *r);
    ngx_int_t            (*reinit_request)(ngx_http_request_t *r);
    ngx_uint_t             unreachable;     /* how many applications were down */
    unsigned               interim:1;       /* an interim response may come */
    unsigned               unseen:1;        /* it was sent, but no application has seen it */
    ngx_mesh_name_t        name;            /* of the last endpoint, which may be gone when nginx logs it */
} ngx_http_mesh_peer_t;


static ngx_int_t ngx_http_mesh_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_mesh_reinit_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_mesh_process_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_mesh_process_interim(ngx_http_request_t *r);
static ngx_table_elt_t *ngx_http_mesh_find_unreachable(ngx_http_request_t *r);
static void ngx_http_mesh_reset_stream_ids(ngx_buf_t *b);
static ngx_int_t ngx_http_mesh_get_peer(ngx_peer_connection_t *pc, void *data);
static void ngx_http_mesh_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state);
static ngx_int_t ngx_http_mesh_set_session(ngx_peer_connection_t *pc, void *data);
static void ngx_http_mesh_save_session(ngx_peer_connection_t *pc, void *data);


ngx_int_t
ngx_http_mesh_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    us->peer.init = ngx_http_mesh_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_mesh_ctx_t    *ctx;
    ngx_http_mesh_peer_t   *mp;
    ngx_peer_connection_t  *pc;

    ctx = ngx_http_mesh_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    mp = ngx_palloc(r->pool, sizeof(ngx_http_mesh_peer_t));
    if (mp == NULL) {
        return NGX_ERROR;
    }

    mp->request = r;
    mp->ctx = ctx;
    mp->endpoint = NULL;
    mp->unseen = 0;

    pc = &r->upstream->peer;

    pc->data = mp;
    pc->get = ngx_http_mesh_get_peer;
    pc->free = ngx_http_mesh_free_peer;
    pc->set_session = ngx_http_mesh_set_session;
    pc->save_session = ngx_http_mesh_save_session;
    pc->tries = NGX_MESH_TRIES;

    mp->unreachable = 0;
    mp->interim = (r->stream == NULL);
    mp->process_header = r->upstream->process_header;
    mp->reinit_request = r->upstream->reinit_request;
    r->upstream->process_header = ngx_http_mesh_process_header;
    r->upstream->reinit_request = ngx_http_mesh_reinit_request;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_reinit_request(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_mesh_peer_t  *mp;

    mp = r->upstream->peer.data;

    rc = mp->reinit_request(r);

    if (r->stream && r->upstream->request_bufs) {
        ngx_http_mesh_reset_stream_ids(r->upstream->request_bufs->buf);
    }

    if (r->upstream->process_header != ngx_http_mesh_process_header) {
        mp->process_header = r->upstream->process_header;
        r->upstream->process_header = ngx_http_mesh_process_header;
    }

    mp->interim = (r->stream == NULL);

    return rc;
}


/*
 * On a kept connection nginx has put the number of that connection's next stream into the frames of the header; on a
 * new one it takes for granted that they still say 1, and the other side's answer would be one to another stream.
 */
static void
ngx_http_mesh_reset_stream_ids(ngx_buf_t *b)
{
    u_char  *p;

    p = b->start + sizeof("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") - 1;

    while (b->last - p >= 9) {
        if (p[3] == NGX_HTTP_V2_HEADERS_FRAME || p[3] == NGX_HTTP_V2_CONTINUATION_FRAME) {
            p[5] = 0;
            p[6] = 0;
            p[7] = 0;
            p[8] = 1;
        }

        p += 9 + (p[0] << 16) + (p[1] << 8) + p[2];
    }
}


/* Stays in the way until the header is complete: nginx's own functions replace each other as they go on. */
static ngx_int_t
ngx_http_mesh_process_header(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_table_elt_t       *unreachable;
    ngx_http_upstream_t   *u;
    ngx_http_mesh_peer_t  *mp;

    u = r->upstream;
    mp = u->peer.data;

    if (mp->interim) {
        rc = ngx_http_mesh_process_interim(r);
        if (rc != NGX_OK) {
            return rc;
        }

        mp->interim = 0;
    }

    u->process_header = mp->process_header;

    rc = mp->process_header(r);

    mp->process_header = u->process_header;
    u->process_header = ngx_http_mesh_process_header;

    if (rc != NGX_OK) {
        return rc;
    }

    if (!mp->ctx->outgoing) {
        /* an application hands on what its own sidecar said of another one */
        while ((unreachable = ngx_http_mesh_find_unreachable(r)) != NULL) {
            ngx_str_set(&unreachable->value, "application");
        }

        return NGX_OK;
    }

    if (ngx_http_mesh_find_unreachable(r) == NULL) {
        return NGX_OK;
    }

    if (mp->endpoint == NULL || mp->endpoint->identity.len == 0 || mp->ctx->egress) {
        return NGX_OK;
    }

    mp->ctx->unreachable = 1;

    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}


/*
 * The header with which the other sidecar says that its application refuses connections: then the endpoint is down as
 * if it had refused the connection itself, and the application has seen nothing of the request.
 */
static ngx_table_elt_t *
ngx_http_mesh_find_unreachable(ngx_http_request_t *r)
{
    ngx_uint_t            i;
    ngx_list_part_t      *part;
    ngx_table_elt_t      *h;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    /* gRPC says it in a response with status 200 */

    if (u->headers_in.status_n != NGX_HTTP_BAD_GATEWAY && r->stream == NULL) {
        return NULL;
    }

    for (part = &u->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Nginx-Mesh-Error") - 1
                && h[i].value.len == ngx_http_mesh_unreachable.len
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Nginx-Mesh-Error", h[i].key.len) == 0
                && ngx_memcmp(h[i].value.data, ngx_http_mesh_unreachable.data, h[i].value.len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


/*
 * Interim responses (RFC 9110, section 15.2), which nginx takes for final ones: handed on to clients that understand
 * them, but for 100, which nginx answers itself. Runs until the final response begins.
 */
static ngx_int_t
ngx_http_mesh_process_interim(ngx_http_request_t *r)
{
    u_char            *p, *end;
    size_t             len;
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = &r->upstream->buffer;
    c = r->connection;

    for ( ;; ) {
        len = ngx_min((size_t) (b->last - b->pos), sizeof("HTTP/1.1 1") - 1);

        if (ngx_memcmp(b->pos, "HTTP/1.1 1", len) != 0) {
            break;
        }

        if (b->last - b->pos < (ssize_t) (sizeof("HTTP/1.1 1xx") - 1)) {
            return NGX_AGAIN;
        }

        p = b->pos + sizeof("HTTP/1.1 1") - 1;

        if (p[0] == '0' && p[1] == '1') {
            break;                          /* 101 is final */
        }

        end = ngx_strlcasestrn(b->pos, b->last, (u_char *) CRLF CRLF, 4 - 1);

        if (end == NULL) {
            return NGX_AGAIN;
        }

        end += 4;

        if (!(p[0] == '0' && p[1] == '0') && r->http_version == NGX_HTTP_VERSION_11 && !c->buffered) {
            n = c->send(c, b->pos, end - b->pos);

            /* who does not read does without; half of one can only be followed by the end of the connection */

            if (n == NGX_ERROR || (n > 0 && n < end - b->pos)) {
                c->error = 1;
                return NGX_ERROR;
            }
        }

        b->pos = end;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_mesh_protocol(ngx_http_request_t *r)
{
    return r->stream ? NGX_MESH_HTTP2_PROTOCOL : NGX_MESH_HTTP1_PROTOCOL;
}


static ngx_int_t
ngx_http_mesh_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mesh_peer_t  *mp = data;

    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_mesh_ctx_t   *ctx;
    ngx_mesh_endpoint_t   *ep;

    r = mp->request;
    ctx = mp->ctx;

    if (mp->unseen) {
        /* what was sent is made ready to be sent again */
        mp->unseen = 0;
        r->upstream->request_sent = 1;
    }

    if (ctx->endpoint == NGX_MESH_NONE) {
        ctx->endpoint = ctx->outgoing ? ngx_mesh_logic_choose(ctx->connection->destination, r, ctx->last)
                                      : ctx->last;

        ctx->held = ctx->outgoing && ctx->endpoint >= 0;
    }

    ep = ngx_mesh_endpoint(ctx->endpoint);

    if (ep == NULL) {
        ctx->endpoint = NGX_MESH_NONE;
        pc->tries = 0;
        return NGX_BUSY;
    }

    ep->references++;
    mp->endpoint = ep;

    ctx->unreachable = 0;
    ctx->last = ctx->endpoint;

    pc->sockaddr = ep->sockaddr;
    pc->socklen = ep->socklen;
    pc->name = ngx_mesh_endpoint_name(ep, &mp->name);
    pc->cached = 0;
    pc->connection = NULL;

    pc->tries--;

    r->upstream->ssl = ep->identity.len ? 1 : 0;

    c = ngx_mesh_endpoint_take(ep, ngx_http_mesh_protocol(r), pc->log,
                               r->request_body_no_buffering || r->method & (NGX_HTTP_POST|NGX_HTTP_PATCH));

    if (c) {
        pc->connection = c;
        pc->cached = 1;
        return NGX_DONE;
    }

    ngx_mesh_connections_grow(pc->log);

    return NGX_OK;
}


static void
ngx_http_mesh_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ngx_http_mesh_peer_t  *mp = data;

    ngx_uint_t             nothing_sent, refused;
    ngx_connection_t      *c;
    ngx_http_upstream_t   *u;
    ngx_http_mesh_ctx_t   *ctx;
    ngx_mesh_endpoint_t   *ep;

    ep = mp->endpoint;

    if (ep == NULL) {
        return;
    }

    mp->endpoint = NULL;

    c = pc->connection;
    u = mp->request->upstream;
    ctx = mp->ctx;

    if (state & NGX_PEER_FAILED) {

        nothing_sent = (c == NULL || c->sent == 0);

        /* a kept connection that the peer had closed says nothing about the endpoint */

        refused = (ctx->outgoing && ctx->unreachable) || (nothing_sent && !pc->cached);
        if (ctx->outgoing) {
            ngx_mesh_logic_failed(ctx->connection->destination, ep->id, refused);
            ctx->held = 0;

            if (ctx->unreachable && mp->unreachable++ < NGX_MESH_UNREACHABLE) {
                pc->tries++;
            }

        } else {
            ctx->unreachable = refused;
        }

        if (u->request_sent && !mp->request->request_body_no_buffering && (refused || nothing_sent)) {
            /* nginx would not repeat a POST that it has sent */
            mp->unseen = 1;
            u->request_sent = 0;
        }

        ctx->endpoint = NGX_MESH_NONE;

    } else if (c
               && u->keepalive
               && u->request_body_sent
               && !c->read->eof
               && !c->read->error
               && !c->read->timedout
               && !c->write->error
               && !c->write->timedout
               && !ngx_terminate
               && !ngx_exiting
               && !ep->removed
               && ngx_mesh_endpoint_keep(ep, ngx_http_mesh_protocol(mp->request), c,
                                         ep->identity.len ? NGX_MESH_KEEP_MESH : NGX_MESH_KEEP_LOCAL)
                  == NGX_OK)
    {
        pc->connection = NULL;
    }

    ngx_mesh_endpoint_release(ep);
}


static ngx_int_t
ngx_http_mesh_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mesh_peer_t  *mp = data;

    return ngx_mesh_endpoint_set_session(mp->endpoint, pc->connection, 0);
}


static void
ngx_http_mesh_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mesh_peer_t  *mp = data;

    if (mp->endpoint) {
        ngx_mesh_endpoint_save_session(mp->endpoint, pc->connection);
    }
}

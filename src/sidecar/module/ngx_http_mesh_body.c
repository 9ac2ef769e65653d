/*
 * Bodies that an application sends. nginx sends on a body as it comes, and can then not send it again. When
 * an endpoint's application refuses the connection, the request has been seen by nobody and may go to another one,
 * whatever its method; so short bodies are taken in whole first. That delays nothing: they come with their header.
 */

#include "ngx_mesh.h"


/* Bytes. Not more than `client_body_buffer_size`, or nginx would write a file. */
#define NGX_MESH_BODY_KEPT  65536


static void ngx_http_mesh_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mesh_gather_stream(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx);
static void ngx_http_mesh_gather_handler(ngx_event_t *ev);


/* NGX_DECLINED: nothing to wait for. NGX_DONE: the request goes on later. Else an error's status. */
ngx_int_t
ngx_http_mesh_gather_body(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx)
{
    off_t      length;
    ngx_int_t  rc;

    length = r->headers_in.content_length_n;

    if (ctx->gathered || (r->stream ? r->stream->in_closed : length <= r->header_in->last - r->header_in->pos)) {
        return NGX_DECLINED;
    }

    ctx->gathered = 1;

    if (length < 0) {
        return ngx_http_mesh_gather_stream(r, ctx);
    }

    if (length > NGX_MESH_BODY_KEPT) {
        return NGX_DECLINED;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_mesh_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_mesh_body_handler(ngx_http_request_t *r)
{
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/*
 * A stream of unknown length, as each call of gRPC is: nginx handles its header before it looks at the frames behind
 * it, although the message of a unary call mostly came along. One turn of the event loop later that has been read, and
 * then the whole request also goes out in one piece.
 */
static ngx_int_t
ngx_http_mesh_gather_stream(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx)
{
    ctx->gather.data = r;
    ctx->gather.log = r->connection->log;
    ctx->gather.handler = ngx_http_mesh_gather_handler;

    ngx_post_event(&ctx->gather, &ngx_posted_next_events);

    return NGX_DONE;
}


static void
ngx_http_mesh_gather_handler(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


void
ngx_http_mesh_end_gathering(ngx_http_mesh_ctx_t *ctx)
{
    if (ctx->gather.posted) {
        ngx_delete_posted_event(&ctx->gather);
    }
}

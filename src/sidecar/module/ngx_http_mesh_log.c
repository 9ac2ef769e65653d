/* What became of a request, for the logic. */

#include "ngx_mesh.h"


/* Microseconds, or -1 when a kept connection was used or none came about. */
static int64_t
ngx_http_mesh_connect_time(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u = r->upstream;

    if (u == NULL || u->state == NULL || u->peer.cached || u->state->connect_time == (ngx_msec_t) -1) {
        return -1;
    }

    return (int64_t) u->state->connect_time * 1000;
}


/* The value of grpc-status in a list of headers or trailers, or NGX_ERROR. */
static ngx_int_t
ngx_http_mesh_find_grpc_status(ngx_list_t *list)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &list->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("grpc-status") - 1
                && ngx_strncasecmp(h[i].key.data, (u_char *) "grpc-status", h[i].key.len) == 0)
            {
                return ngx_atoi(h[i].value.data, h[i].value.len);
            }
        }
    }

    return NGX_ERROR;
}


/*
 * gRPC carries its status in a trailer of a response with HTTP status 200. What is the server's failure counts as the
 * HTTP status that means the same (the mapping of google.rpc.Code).
 */
static ngx_uint_t
ngx_http_mesh_grpc_status(ngx_http_request_t *r)
{
    ngx_int_t  code;

    code = ngx_http_mesh_find_grpc_status(&r->headers_out.trailers);

    if (code == NGX_ERROR) {
        code = ngx_http_mesh_find_grpc_status(&r->headers_out.headers);
    }

    switch (code) {
    case 2:                                 /* UNKNOWN */
    case 13:                                /* INTERNAL */
    case 15:                                /* DATA_LOSS */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    case 4:                                 /* DEADLINE_EXCEEDED */
        return NGX_HTTP_GATEWAY_TIME_OUT;

    case 14:                                /* UNAVAILABLE */
        return NGX_HTTP_SERVICE_UNAVAILABLE;

    default:
        return NGX_HTTP_OK;
    }
}


static void
ngx_http_mesh_access_line(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx, ngx_uint_t status, int64_t duration)
{
    u_char             text[NGX_SOCKADDR_STRLEN];
    ngx_mesh_access_t  a;

    ngx_memzero(&a, sizeof(ngx_mesh_access_t));

    a.outgoing = ctx->outgoing;
    a.client = r->connection->addr_text;
    a.request = r->request_line;
    a.status = status;
    a.received = r->request_length;
    a.sent = r->connection->sent;
    a.duration = duration;
    a.peer = ctx->connection->peer;

    if (r->headers_in.host) {
        a.host = r->headers_in.host->value;
    }

    if (r->headers_in.referer) {
        a.referer = r->headers_in.referer->value;
    }

    if (r->headers_in.user_agent) {
        a.user_agent = r->headers_in.user_agent->value;
    }

    ngx_mesh_access_destination(&a, ctx->connection, text);
    ngx_mesh_access_endpoint(&a, ctx->last);

    ngx_mesh_access_write(&a);
}


ngx_int_t
ngx_http_mesh_log_handler(ngx_http_request_t *r)
{
    int64_t               now;
    ngx_uint_t            status;
    ngx_http_mesh_ctx_t  *ctx;

    ctx = ngx_http_mesh_ctx(r);

    if (ctx == NULL) {
        return NGX_OK;
    }

    if (ctx->open) {
        ctx->open = 0;
        ngx_mesh_open.incoming--;
    }

    now = ngx_mesh_now();

    if (r->err_status) {
        status = r->err_status;

    } else {
        status = r->headers_out.status;
    }

    if (r->stream && status == NGX_HTTP_OK) {
        status = ngx_http_mesh_grpc_status(r);
    }

    if (ngx_mesh_access_format() != NGX_MESH_ACCESS_OFF) {
        ngx_http_mesh_access_line(r, ctx, status, now - ctx->started);
    }

    if (ctx->outgoing) {
        if (ctx->held && ctx->endpoint != ctx->last) {
            /* the request ended before it went to the endpoint that it was to go to */
            ngx_mesh_logic_failed(ctx->connection->destination, ctx->endpoint, 0);
            ctx->held = 0;
        }

        if (ctx->connection->destination != NGX_MESH_NONE) {
            ngx_mesh_logic_finished(ctx->connection->destination, ctx->last, ctx->held, status,
                                    ngx_http_mesh_connect_time(r), ctx->first_byte < 0 ? -1 : ctx->first_byte - ctx->started,
                                    now - ctx->started, r->connection->sent, r->request_length);
        }

    } else if (ctx->connection->edge != NGX_MESH_NONE) {
        ngx_mesh_logic_served(ctx->connection->edge, ctx->endpoint, status, now - ctx->started,
                              r->connection->sent, r->request_length);
    }

    ctx->held = 0;

    return NGX_OK;
}

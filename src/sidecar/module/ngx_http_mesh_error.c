/*
 * Answers of the mesh itself: short plain text with the reason, and a header that says that it was the mesh. For
 * gRPC a response without messages whose trailers carry the status (gRPC over HTTP/2, "Trailers-Only").
 */

#include "ngx_mesh.h"


typedef struct {
    ngx_uint_t   status;
    ngx_str_t    name;                      /* value of the header Nginx-Mesh-Error */
    ngx_str_t    grpc;                      /* gRPC status code */
    ngx_str_t    text;
} ngx_http_mesh_failure_t;


static ngx_http_mesh_failure_t  ngx_http_mesh_failures[] = {
    { 400, ngx_string("bad-request"), ngx_string("13"), ngx_string("the request cannot be read as HTTP") },
    { 403, ngx_string("denied"), ngx_string("7"), ngx_string("access denied by policy") },
    { 413, ngx_string("body-too-large"), ngx_string("8"),
      ngx_string("the request body is larger than client-max-body-size allows") },
    { 414, ngx_string("uri-too-long"), ngx_string("13"), ngx_string("the request line is longer than 64 KiB") },
    { 431, ngx_string("header-too-large"), ngx_string("13"), ngx_string("a header is longer than 64 KiB") },
    { 502, ngx_string("upstream-failed"), ngx_string("14"),
      ngx_string("the destination refused or broke the connection") },
    { 503, ngx_string("no-endpoint"), ngx_string("14"), ngx_string("no endpoint is ready") },
    { 504, ngx_string("upstream-timeout"), ngx_string("14"), ngx_string("the destination did not answer in time") },
    { 0, ngx_string("internal"), ngx_string("13"), ngx_string("internal error, see the sidecar's log") }
};


static ngx_str_t  ngx_http_mesh_unknown = ngx_string("unknown-service");

/* By this the sidecar that asked knows that the application has seen nothing of the request. */
ngx_str_t  ngx_http_mesh_unreachable = ngx_string("unreachable");
static ngx_str_t  ngx_http_mesh_unreachable_text = ngx_string("the application refuses connections");
static ngx_str_t  ngx_http_mesh_unrepeatable_text =
    ngx_string("the application of the chosen endpoint refuses connections, and the request's body came in parts "
               "or is longer than 64 KiB, so that it was not kept for another endpoint");


static ngx_http_mesh_failure_t *
ngx_http_mesh_failure(ngx_uint_t status)
{
    ngx_http_mesh_failure_t  *f;

    for (f = ngx_http_mesh_failures; f->status; f++) {
        if (f->status == status) {
            break;
        }
    }

    return f;
}


static ngx_int_t
ngx_http_mesh_add_header(ngx_http_request_t *r, char *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->next = NULL;
    ngx_str_set(&h->key, "");
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


ngx_uint_t
ngx_http_mesh_is_grpc(ngx_http_request_t *r)
{
    ngx_table_elt_t  *type;

    type = r->headers_in.content_type;

    return r->stream && type && type->value.len >= sizeof("application/grpc") - 1
           && ngx_strncasecmp(type->value.data, (u_char *) "application/grpc",
                              sizeof("application/grpc") - 1) == 0;
}


static ngx_int_t
ngx_http_mesh_respond(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *name, ngx_str_t *grpc,
    ngx_str_t *reason)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_str_t     text;
    ngx_chain_t   out;

    r->headers_out.server = NULL;
    r->headers_out.date = NULL;
    r->headers_out.location = NULL;

    if (ngx_http_mesh_add_header(r, "Nginx-Mesh-Error", name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = ngx_pnalloc(r->pool, sizeof("nginx-mesh: \n") - 1 + reason->len);
    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.len = ngx_sprintf(text.data, "nginx-mesh: %V\n", reason) - text.data;

    if (ngx_http_mesh_is_grpc(r)) {
        text.len--;

        if (ngx_http_mesh_add_header(r, "grpc-status", grpc) != NGX_OK
            || ngx_http_mesh_add_header(r, "grpc-message", &text) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        r->err_status = 0;
        r->headers_out.status = NGX_HTTP_OK;
        ngx_str_set(&r->headers_out.content_type, "application/grpc");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->header_only = 1;
        ngx_http_clear_content_length(r);

        return ngx_http_send_header(r);
    }

    r->headers_out.status = status;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_length_n = text.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text.data;
    b->last = text.data + text.len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* A request that the logic has no endpoint for; ctx->code says why. */
ngx_int_t
ngx_http_mesh_refuse(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx)
{
    ngx_int_t                 rc, destination;
    ngx_str_t                *name, reason;
    ngx_uint_t                status;
    ngx_http_mesh_failure_t  *f;

    ctx->refused = 1;

    switch (ctx->code) {

    case NGX_MESH_NO_ENDPOINT:
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        break;

    case NGX_MESH_DENIED:
        status = NGX_HTTP_FORBIDDEN;
        break;

    default:
        status = NGX_HTTP_BAD_GATEWAY;
    }

    f = ngx_http_mesh_failure(status);
    name = (ctx->code == NGX_MESH_UNKNOWN) ? &ngx_http_mesh_unknown : &f->name;

    destination = ctx->outgoing ? ctx->connection->destination : NGX_MESH_NONE;

    if (ngx_mesh_logic_reason(destination, ctx->code, r->pool, &reason) != NGX_OK) {
        reason = f->text;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_mesh_respond(r, status, name, &f->grpc, &reason);

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* Content handler of the location that `error_page` leads to: nginx found the error, the application sent none. */
ngx_int_t
ngx_http_mesh_error_handler(ngx_http_request_t *r)
{
    ngx_uint_t                status;
    ngx_http_mesh_ctx_t      *ctx;
    ngx_http_mesh_failure_t  *f;

    ctx = ngx_http_mesh_ctx(r);

    if (ctx) {
        ctx->refused = 1;
    }

    status = r->err_status;

    f = ngx_http_mesh_failure(status);

    if (ctx && !ctx->outgoing && ctx->unreachable) {
        return ngx_http_mesh_respond(r, status, &ngx_http_mesh_unreachable, &f->grpc,
                                     &ngx_http_mesh_unreachable_text);
    }

    if (ctx && ctx->unreachable && status == NGX_HTTP_BAD_GATEWAY) {
        return ngx_http_mesh_respond(r, status, &f->name, &f->grpc,
                                     r->request_body_no_buffering ? &ngx_http_mesh_unrepeatable_text
                                                                  : &ngx_http_mesh_unreachable_text);
    }

    return ngx_http_mesh_respond(r, f->status ? status : NGX_HTTP_INTERNAL_SERVER_ERROR, &f->name, &f->grpc,
                                 &f->text);
}

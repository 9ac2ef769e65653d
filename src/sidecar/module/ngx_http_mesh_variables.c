/* Variables for nginx.conf. */

#include "ngx_mesh.h"


static ngx_int_t ngx_http_mesh_connection_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_mesh_client_cert_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_mesh_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_mesh_egress_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_mesh_no_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_mesh_variables[] = {
    /* Connection header for the upstream: "upgrade" or none */
    { ngx_string("mesh_connection"), NULL, ngx_http_mesh_connection_variable, 0, 0, 0 },
    /* Host header for the upstream: the client's, or for HTTP/1.0 without one the original destination */
    { ngx_string("mesh_host"), NULL, ngx_http_mesh_host_variable, 0, 0, 0 },
    /* value of X-Forwarded-Client-Cert: who calls, empty for plain text */
    { ngx_string("mesh_client_cert"), NULL, ngx_http_mesh_client_cert_variable, 0, 0, 0 },
    /* server name for the chosen egress endpoint */
    { ngx_string("mesh_egress"), NULL, ngx_http_mesh_egress_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },
    /* stands for the certificate in `listen … ssl` servers, which take it from the module */
    { ngx_string("mesh_svid"), NULL, ngx_http_mesh_no_variable, 0, 0, 0 },
      ngx_http_null_variable
};


ngx_int_t
ngx_http_mesh_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_mesh_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_connection_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (r->headers_in.upgrade) {
        v->data = (u_char *) "upgrade";
        v->len = sizeof("upgrade") - 1;

    } else {
        v->data = (u_char *) "";
        v->len = 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    ngx_http_mesh_ctx_t  *ctx;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (r->headers_in.host) {
        v->data = r->headers_in.host->value.data;
        v->len = r->headers_in.host->value.len;
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_mesh_module);

    if (ctx == NULL || !ctx->connection->captured) {
        v->data = (u_char *) "";
        v->len = 0;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sock_ntop((struct sockaddr *) &ctx->connection->original, sizeof(struct sockaddr_storage), p,
                           NGX_SOCKADDR_STRLEN, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_client_cert_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_mesh_ctx_t  *ctx;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mesh_module);

    if (ctx) {
        v->data = ctx->connection->client_cert.data;
        v->len = ctx->connection->client_cert.len;

    } else {
        v->data = (u_char *) "";
        v->len = 0;
    }

    return NGX_OK;
}


/*
 * An ingress controller has one server that asks for a certificate, SERVICE-ACCOUNT.NAMESPACE.svc; its servers for the
 * hosts of requests do not. The SPIFFE ID ends with /ns/NAMESPACE/sa/SERVICE-ACCOUNT.
 */
static ngx_int_t
ngx_http_mesh_egress_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p, *account, *namespace;
    ngx_str_t            *id;
    ngx_http_mesh_ctx_t  *ctx;
    ngx_mesh_endpoint_t  *ep;

    ctx = ngx_http_mesh_ctx(r);
    ep = ctx ? ngx_mesh_endpoint(ctx->last) : NULL;

    if (ep == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    id = &ep->identity;

    for (account = id->data + id->len; account > id->data && account[-1] != '/'; account--) { /* void */ }

    for (namespace = account - 4; namespace > id->data && namespace[-1] != '/'; namespace--) { /* void */ }

    if (account - id->data < 5 || ngx_memcmp(account - 4, "/sa/", 4) != 0 || namespace <= id->data) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, id->len + sizeof("..svc"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sprintf(p, "%*s.%*s.svc", (size_t) (id->data + id->len - account), account,
                         (size_t) (account - 4 - namespace), namespace) - p;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mesh_no_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}

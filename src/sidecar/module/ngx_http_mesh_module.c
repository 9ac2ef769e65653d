/* HTTP: before a request is proxied the logic is asked, after it the logic is told. */

#include "ngx_mesh.h"

#include <malloc.h>


#define NGX_MESH_HEAP_KEPT  (512 * 1024)


static ngx_int_t ngx_http_mesh_access_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mesh_outgoing(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx);
static ngx_int_t ngx_http_mesh_incoming(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx);
static ngx_int_t ngx_http_mesh_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_mesh_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_mesh_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_mesh_init_module(ngx_cycle_t *cycle);
static void ngx_http_mesh_exit_process(ngx_cycle_t *cycle);
static void *ngx_http_mesh_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_mesh_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_http_mesh_upstream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_mesh_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_conf_enum_t  ngx_http_mesh_roles[] = {
    { ngx_string("off"), NGX_MESH_OFF },
    { ngx_string("outgoing"), NGX_MESH_OUTGOING },
    { ngx_string("incoming"), NGX_MESH_INCOMING },
    { ngx_string("egress"), NGX_MESH_EGRESS_OUTGOING },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_mesh_commands[] = {

    /* mesh outgoing | incoming | egress: whose requests a location proxies */
    { ngx_string("mesh"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mesh_loc_conf_t, role),
      &ngx_http_mesh_roles },

    /* mesh_http2 on: the location speaks HTTP/2 to its upstream */
    { ngx_string("mesh_http2"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mesh_loc_conf_t, http2),
      NULL },

    /* mesh_grpc @name: the location for gRPC, where it is not that for requests of the other HTTP version */
    { ngx_string("mesh_grpc"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mesh_loc_conf_t, grpc),
      NULL },

    /* mesh_other @name: the location for requests of the other HTTP version */
    { ngx_string("mesh_other"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mesh_loc_conf_t, other),
      NULL },

    /* mesh_upstream: in an upstream block, its servers come from the logic */
    { ngx_string("mesh_upstream"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS,
      ngx_http_mesh_upstream,
      0,
      0,
      NULL },

    /* mesh_error: the location answers with the reason for which the mesh failed a request */
    { ngx_string("mesh_error"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_mesh_error,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_mesh_module_ctx = {
    ngx_http_mesh_preconfiguration,
    ngx_http_mesh_postconfiguration,
    NULL,
    NULL,
    NULL,
    NULL,
    ngx_http_mesh_create_loc_conf,
    ngx_http_mesh_merge_loc_conf
};


ngx_module_t  ngx_http_mesh_module = {
    NGX_MODULE_V1,
    &ngx_http_mesh_module_ctx,
    ngx_http_mesh_commands,
    NGX_HTTP_MODULE,
    NULL,
    ngx_http_mesh_init_module,
    NULL,
    NULL,
    NULL,
    ngx_http_mesh_exit_process,
    NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_mesh_next_header_filter;

/* core configurations of the incoming locations, whose body limit changes while running */
static ngx_array_t  ngx_http_mesh_incoming_locations;

/* a header that is not sent: it keeps nginx from adding its own */
static ngx_table_elt_t  ngx_http_mesh_absent;


static ngx_connection_t *
ngx_http_mesh_real_connection(ngx_http_request_t *r)
{
    return r->stream ? r->stream->connection->connection : r->connection;
}


/* Also marks the context in the request's pool. */
static void
ngx_http_mesh_ctx_cleanup(void *data)
{
    ngx_http_mesh_end_gathering(data);
}


/* The context survives internal redirects, which clear the request's own table of contexts. */
ngx_http_mesh_ctx_t *
ngx_http_mesh_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_mesh_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mesh_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_mesh_ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_mesh_module);
            return cln->data;
        }
    }

    return NULL;
}


static ngx_http_mesh_ctx_t *
ngx_http_mesh_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_mesh_ctx_t    *ctx;
    ngx_mesh_connection_t  *mc;

    mc = ngx_mesh_connection_get(ngx_http_mesh_real_connection(r));
    if (mc == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_mesh_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_mesh_ctx_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_mesh_ctx_t));

    ctx->connection = mc;
    ctx->endpoint = NGX_MESH_NONE;
    ctx->last = NGX_MESH_NONE;
    ctx->first_byte = -1;
    ctx->started = ngx_mesh_now();

    ngx_http_set_ctx(r, ctx, ngx_http_mesh_module);

    return ctx;
}


static ngx_int_t
ngx_http_mesh_access_handler(ngx_http_request_t *r)
{
    ngx_http_mesh_ctx_t       *ctx;
    ngx_http_mesh_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mesh_module);

    if (mlcf->role == NGX_MESH_OFF || r != r->main) {
        return NGX_DECLINED;
    }

    if ((r->stream != NULL) != mlcf->http2) {
        (void) ngx_http_named_location(r, (mlcf->grpc.len && ngx_http_mesh_is_grpc(r)) ? &mlcf->grpc : &mlcf->other);
        ngx_http_finalize_request(r, NGX_DONE);
        return NGX_DONE;
    }

    ctx = ngx_http_mesh_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_mesh_create_ctx(r);

        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ctx->egress = (mlcf->role == NGX_MESH_EGRESS_OUTGOING);

    return mlcf->role == NGX_MESH_INCOMING ? ngx_http_mesh_incoming(r, ctx)
                                           : ngx_http_mesh_outgoing(r, ctx);
}


static ngx_int_t
ngx_http_mesh_outgoing(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx)
{
    ngx_int_t  rc;

    ctx->outgoing = 1;

    ngx_http_mesh_end_gathering(ctx);

    rc = ngx_http_mesh_gather_body(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* an application may connect to the sidecar's own port: it then names no destination */

    ctx->endpoint = (ctx->connection->destination == NGX_MESH_NONE)
                    ? NGX_MESH_UNKNOWN
                    : ngx_mesh_logic_choose(ctx->connection->destination, r, NGX_MESH_NONE);

    if (ctx->endpoint < 0) {
        ctx->code = ctx->endpoint;
        ctx->endpoint = NGX_MESH_NONE;
        return ngx_http_mesh_refuse(r, ctx);
    }

    ctx->held = 1;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_mesh_incoming(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx)
{
    ngx_mesh_connection_t  *mc;

    mc = ctx->connection;

    if (mc->edge == NGX_MESH_NONE) {

        if (!mc->captured
            || ngx_mesh_connection_identify(mc, ngx_http_mesh_real_connection(r)) != NGX_OK)
        {
            return NGX_HTTP_CLOSE;
        }

        mc->edge = ngx_mesh_logic_peer(mc);

        if (mc->edge < 0) {
            mc->edge = NGX_MESH_NONE;
            return NGX_HTTP_CLOSE;
        }
    }

    if (mc->caller.next == NULL && (mc->peer.len == 0 || mc->ingress)) {
        ngx_http_mesh_drain_caller(mc);
    }

    ctx->endpoint = ngx_mesh_logic_admit(mc->edge, r);

    if (ctx->endpoint < 0) {
        ctx->code = ctx->endpoint;
        ctx->endpoint = NGX_MESH_NONE;
        return ngx_http_mesh_refuse(r, ctx);
    }

    if (!ctx->open) {
        ctx->open = 1;
        ngx_mesh_open.incoming++;
    }

    return NGX_DECLINED;
}


/* What the application did not send is not sent: nginx would add a Server and a Date header. */
static ngx_int_t
ngx_http_mesh_header_filter(ngx_http_request_t *r)
{
    ngx_http_mesh_ctx_t  *ctx;

    ngx_http_mesh_drain_response(r);

    ctx = ngx_http_get_module_ctx(r, ngx_http_mesh_module);

    if (ctx && r->upstream && !ctx->refused) {

        ctx->first_byte = ngx_mesh_now();

        if (r->headers_out.server == NULL) {
            r->headers_out.server = &ngx_http_mesh_absent;
        }

        if (r->headers_out.date == NULL) {
            r->headers_out.date = &ngx_http_mesh_absent;
        }
    }

    return ngx_http_mesh_next_header_filter(r);
}


/* Takes effect for bodies whose reading begins after the call. */
void
ngx_http_mesh_set_client_max_body_size(off_t size)
{
    ngx_uint_t                  i;
    ngx_http_core_loc_conf_t  **clcf;

    clcf = ngx_http_mesh_incoming_locations.elts;

    for (i = 0; i < ngx_http_mesh_incoming_locations.nelts; i++) {
        clcf[i]->client_max_body_size = size;
    }
}


static ngx_int_t
ngx_http_mesh_preconfiguration(ngx_conf_t *cf)
{
    if (ngx_array_init(&ngx_http_mesh_incoming_locations, cf->pool, 4, sizeof(ngx_http_core_loc_conf_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_mesh_add_variables(cf);
}


static ngx_int_t
ngx_http_mesh_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_mesh_access_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_mesh_log_handler;

    ngx_http_mesh_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_mesh_header_filter;

    return ngx_mesh_native_preload(cf);
}


/* Servers with TLS of which one location is of the mesh take certificate and verification from the module. */
static ngx_int_t
ngx_http_mesh_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_ssl_srv_conf_t     *sscf;
    ngx_http_core_srv_conf_t   **cscf;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_mesh_loc_conf_t    *mlcf;

    /* a buffer at the top of the heap would go back to the kernel and come again with each request */
    (void) mallopt(M_TRIM_THRESHOLD, NGX_MESH_HEAP_KEPT);

    if (ngx_mesh_tls_init(cycle->log) != NGX_OK || ngx_mesh_logic_init(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);
    if (cmcf == NULL) {
        return NGX_OK;
    }

    cscf = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        sscf = cscf[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        mlcf = cscf[i]->ctx->loc_conf[ngx_http_mesh_module.ctx_index];

        if (mlcf->role == NGX_MESH_INCOMING && sscf->ssl.ctx
            && ngx_mesh_tls_server(sscf->ssl.ctx, cycle->log) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_mesh_exit_process(ngx_cycle_t *cycle)
{
    ngx_mesh_access_flush();
}


static void *
ngx_http_mesh_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_mesh_loc_conf_t  *mlcf;

    mlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mesh_loc_conf_t));
    if (mlcf == NULL) {
        return NULL;
    }

    mlcf->role = NGX_CONF_UNSET_UINT;
    mlcf->http2 = NGX_CONF_UNSET;

    return mlcf;
}


static char *
ngx_http_mesh_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_mesh_loc_conf_t   *prev = parent;
    ngx_http_mesh_loc_conf_t   *conf = child;
    ngx_http_core_loc_conf_t   *core, **clcf;

    ngx_conf_merge_uint_value(conf->role, prev->role, NGX_MESH_OFF);
    ngx_conf_merge_value(conf->http2, prev->http2, 0);
    ngx_conf_merge_str_value(conf->other, prev->other, "");
    ngx_conf_merge_str_value(conf->grpc, prev->grpc, "");

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* a location without a limit stays so */

    if (conf->role == NGX_MESH_INCOMING && core->client_max_body_size) {
        clcf = ngx_array_push(&ngx_http_mesh_incoming_locations);
        if (clcf == NULL) {
            return NGX_CONF_ERROR;
        }

        *clcf = core;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_mesh_upstream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    uscf->peer.init_upstream = ngx_http_mesh_init_upstream;
    uscf->flags = NGX_HTTP_UPSTREAM_CREATE;

    return NGX_CONF_OK;
}


static char *
ngx_http_mesh_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_mesh_error_handler;

    return NGX_CONF_OK;
}

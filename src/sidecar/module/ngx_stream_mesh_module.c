/*
 * Streams: the two capturing servers, which hand each connection to the server for its kind of traffic, and the
 * servers for TCP.
 */

#include "ngx_mesh.h"


static ngx_int_t ngx_stream_mesh_preread_handler(ngx_stream_session_t *s);
static ngx_int_t ngx_stream_mesh_tcp(ngx_stream_session_t *s, ngx_mesh_connection_t *mc, ngx_uint_t role);
static ngx_int_t ngx_stream_mesh_log_handler(ngx_stream_session_t *s);
static void ngx_stream_mesh_idle_handler(ngx_event_t *ev);
static ngx_int_t ngx_stream_mesh_server_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_stream_mesh_original_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_stream_mesh_no_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_stream_mesh_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_stream_mesh_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_stream_mesh_init_module(ngx_cycle_t *cycle);
static void *ngx_stream_mesh_create_srv_conf(ngx_conf_t *cf);
static char *ngx_stream_mesh_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_stream_mesh_upstream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_conf_enum_t  ngx_stream_mesh_roles[] = {
    { ngx_string("outgoing"), NGX_MESH_OUTGOING },
    { ngx_string("incoming"), NGX_MESH_INCOMING },
    { ngx_string("tcp_outgoing"), NGX_MESH_TCP_OUTGOING },
    { ngx_string("tcp_outgoing_plain"), NGX_MESH_TCP_OUTGOING_PLAIN },
    { ngx_string("tcp_incoming"), NGX_MESH_TCP_INCOMING },
    { ngx_string("direct_outgoing"), NGX_MESH_DIRECT_OUTGOING },
    { ngx_string("nats"), NGX_MESH_NATS },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_stream_mesh_commands[] = {

    { ngx_string("mesh"),
      NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mesh_srv_conf_t, role),
      &ngx_stream_mesh_roles },

    /* mesh_upstream: in an upstream block, its servers come from the logic */
    { ngx_string("mesh_upstream"),
      NGX_STREAM_UPS_CONF|NGX_CONF_NOARGS,
      ngx_stream_mesh_upstream,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_mesh_module_ctx = {
    ngx_stream_mesh_preconfiguration,
    ngx_stream_mesh_postconfiguration,
    NULL,
    NULL,
    ngx_stream_mesh_create_srv_conf,
    ngx_stream_mesh_merge_srv_conf
};


ngx_module_t  ngx_stream_mesh_module = {
    NGX_MODULE_V1,
    &ngx_stream_mesh_module_ctx,
    ngx_stream_mesh_commands,
    NGX_STREAM_MODULE,
    NULL,
    ngx_stream_mesh_init_module,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_stream_variable_t  ngx_stream_mesh_variables[] = {
    /* the server that a captured connection is handed to */
    { ngx_string("mesh_server"), NULL, ngx_stream_mesh_server_variable, 0, NGX_STREAM_VAR_NOCACHEABLE, 0 },
    /* where a captured connection was going */
    { ngx_string("mesh_original"), NULL, ngx_stream_mesh_original_variable, 0, 0, 0 },
    /* stands for the certificate in `listen … ssl` servers, which take it from the module */
    { ngx_string("mesh_svid"), NULL, ngx_stream_mesh_no_variable, 0, 0, 0 },
      ngx_stream_null_variable
};


/* settings of the two servers of outgoing TCP: without TLS, and with it */
static void  **ngx_stream_mesh_servers[2];


/* Whether a connection starts TLS is a setting of nginx's server; here some endpoints have a sidecar and some not. */
void
ngx_stream_mesh_use_server(ngx_stream_session_t *s, ngx_uint_t tls)
{
    s->srv_conf = ngx_stream_mesh_servers[tls];
}


static ngx_int_t
ngx_stream_mesh_preread_handler(ngx_stream_session_t *s)
{
    ngx_connection_t            *c;
    ngx_mesh_connection_t       *mc;
    ngx_stream_mesh_srv_conf_t  *mscf;

    mscf = ngx_stream_get_module_srv_conf(s, ngx_stream_mesh_module);

    if (mscf->role == NGX_MESH_OFF) {
        return NGX_DECLINED;
    }

    c = s->connection;

    mc = ngx_mesh_connection_get(c);
    if (mc == NULL) {
        return NGX_ERROR;
    }

    switch (mscf->role) {

    case NGX_MESH_OUTGOING:
        ngx_mesh_connections_grow(c->log);
        return mc->captured ? ngx_stream_mesh_outgoing(s, mc) : NGX_STREAM_FORBIDDEN;

    case NGX_MESH_INCOMING:
        ngx_mesh_connections_grow(c->log);
        return mc->captured ? ngx_stream_mesh_incoming(s, mc) : NGX_STREAM_FORBIDDEN;

    case NGX_MESH_DIRECT_OUTGOING:
        return mc->captured ? NGX_OK : NGX_STREAM_FORBIDDEN;

    case NGX_MESH_TCP_OUTGOING:
    case NGX_MESH_TCP_INCOMING:
        return ngx_stream_mesh_tcp(s, mc, mscf->role);

    default:
        return NGX_OK;
    }
}


/* A TCP connection, at its own server: who is it, may it, how long may it be idle. */
static ngx_int_t
ngx_stream_mesh_tcp(ngx_stream_session_t *s, ngx_mesh_connection_t *mc, ngx_uint_t role)
{
    ngx_stream_mesh_ctx_t  *ctx;

    ctx = ngx_pcalloc(s->connection->pool, sizeof(ngx_stream_mesh_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->session = s;
    ctx->connection = mc;
    ctx->role = role;
    ctx->started = ngx_mesh_now();
    ctx->admitted = NGX_MESH_NONE;
    ctx->last = NGX_MESH_NONE;

    if (role == NGX_MESH_TCP_OUTGOING) {

        if (mc->destination == NGX_MESH_NONE) {
            return NGX_STREAM_FORBIDDEN;
        }

    } else {

        if (!mc->captured || ngx_mesh_connection_identify(mc, s->connection) != NGX_OK) {
            return NGX_STREAM_FORBIDDEN;
        }

        mc->edge = ngx_mesh_logic_peer(mc);

        if (mc->edge < 0) {
            mc->edge = NGX_MESH_NONE;
            return NGX_STREAM_FORBIDDEN;
        }

        ctx->admitted = ngx_mesh_logic_admit(mc->edge, NULL);

        if (ctx->admitted < 0) {
            return NGX_STREAM_FORBIDDEN;
        }

        ctx->open = 1;
        ngx_mesh_open.incoming++;
    }

    ngx_stream_set_ctx(s, ctx, ngx_stream_mesh_module);

    ctx->idle.data = s;
    ctx->idle.log = s->connection->log;
    ctx->idle.handler = ngx_stream_mesh_idle_handler;
    ctx->idle.cancelable = 1;
    ngx_add_timer(&ctx->idle, ngx_mesh_idle_limit());

    return NGX_OK;
}


static void
ngx_stream_mesh_idle_handler(ngx_event_t *ev)
{
    off_t                   bytes;
    ngx_connection_t       *c;
    ngx_stream_session_t   *s;
    ngx_stream_mesh_ctx_t  *ctx;

    s = ev->data;
    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    bytes = s->received + c->sent;

    if (bytes != ctx->bytes || s->upstream == NULL) {
        ctx->bytes = bytes;
        ngx_add_timer(ev, ngx_mesh_idle_limit());
        return;
    }

    /* the proxy ends both sides on a time-out of its client's connection */

    c->read->timedout = 1;
    ngx_post_event(c->read, &ngx_posted_events);
}


static void
ngx_stream_mesh_access_line(ngx_stream_session_t *s, ngx_stream_mesh_ctx_t *ctx, int64_t duration)
{
    u_char             text[NGX_SOCKADDR_STRLEN];
    ngx_mesh_access_t  a;

    ngx_memzero(&a, sizeof(ngx_mesh_access_t));

    a.outgoing = (ctx->role == NGX_MESH_TCP_OUTGOING);
    a.client = s->connection->addr_text;
    a.status = s->status;
    a.received = s->received;
    a.sent = s->connection->sent;
    a.duration = duration;
    a.peer = ctx->connection->peer;

    ngx_mesh_access_destination(&a, ctx->connection, text);
    ngx_mesh_access_endpoint(&a, ctx->last);

    ngx_mesh_access_write(&a);
}


static ngx_int_t
ngx_stream_mesh_log_handler(ngx_stream_session_t *s)
{
    int64_t                       total, connect, first_byte;
    ngx_stream_mesh_ctx_t        *ctx;
    ngx_stream_upstream_state_t  *state;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_mesh_module);

    if (ctx == NULL) {
        return NGX_OK;
    }

    if (ctx->idle.timer_set) {
        ngx_del_timer(&ctx->idle);
    }

    ngx_stream_mesh_end_verdict(ctx);

    if (ctx->open) {
        ngx_mesh_open.incoming--;
    }

    total = ngx_mesh_now() - ctx->started;

    if (ngx_mesh_access_format() != NGX_MESH_ACCESS_OFF) {
        ngx_stream_mesh_access_line(s, ctx, total);
    }

    if (ctx->role == NGX_MESH_TCP_OUTGOING) {
        state = s->upstream ? s->upstream->state : NULL;

        connect = (state && state->connect_time != (ngx_msec_t) -1) ? (int64_t) state->connect_time * 1000 : -1;
        first_byte = (state && state->first_byte_time != (ngx_msec_t) -1)
                     ? (int64_t) state->first_byte_time * 1000 : -1;

        ngx_mesh_logic_finished(ctx->connection->destination, ctx->last, ctx->held, s->status, connect,
                                first_byte, total, s->connection->sent, s->received);

    } else {
        ngx_mesh_logic_served(ctx->connection->edge, ctx->admitted, s->status, total, s->connection->sent,
                              s->received);
    }

    ctx->held = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_server_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_mesh_connection_t  *mc;

    mc = ngx_mesh_connection_find(s->connection);

    if (mc == NULL || mc->server.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = mc->server.data;
    v->len = mc->server.len;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_original_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    ngx_mesh_connection_t  *mc;

    mc = ngx_mesh_connection_find(s->connection);

    if (mc == NULL || !mc->captured) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(s->connection->pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sock_ntop((struct sockaddr *) &mc->original, sizeof(struct sockaddr_storage), p,
                           NGX_SOCKADDR_STRLEN, 1);
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_no_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_preconfiguration(ngx_conf_t *cf)
{
    ngx_stream_variable_t  *var, *v;

    for (v = ngx_stream_mesh_variables; v->name.len; v++) {
        var = ngx_stream_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_postconfiguration(ngx_conf_t *cf)
{
    ngx_stream_handler_pt        *h;
    ngx_stream_core_main_conf_t  *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_PREREAD_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_mesh_preread_handler;

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_mesh_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mesh_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_stream_ssl_srv_conf_t     *sscf;
    ngx_stream_core_srv_conf_t   **cscf;
    ngx_stream_mesh_srv_conf_t    *mscf;
    ngx_stream_core_main_conf_t   *cmcf;

    cmcf = ngx_stream_cycle_get_module_main_conf(cycle, ngx_stream_core_module);
    if (cmcf == NULL) {
        return NGX_OK;
    }

    cscf = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        sscf = cscf[i]->ctx->srv_conf[ngx_stream_ssl_module.ctx_index];
        mscf = cscf[i]->ctx->srv_conf[ngx_stream_mesh_module.ctx_index];

        if (mscf->role == NGX_MESH_TCP_OUTGOING || mscf->role == NGX_MESH_TCP_OUTGOING_PLAIN) {
            ngx_stream_mesh_servers[mscf->role == NGX_MESH_TCP_OUTGOING] = cscf[i]->ctx->srv_conf;
        }

        if (mscf->role == NGX_MESH_TCP_INCOMING && sscf->ssl.ctx
            && ngx_mesh_tls_server(sscf->ssl.ctx, cycle->log) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void *
ngx_stream_mesh_create_srv_conf(ngx_conf_t *cf)
{
    ngx_stream_mesh_srv_conf_t  *mscf;

    mscf = ngx_pcalloc(cf->pool, sizeof(ngx_stream_mesh_srv_conf_t));
    if (mscf == NULL) {
        return NULL;
    }

    mscf->role = NGX_CONF_UNSET_UINT;

    return mscf;
}


static char *
ngx_stream_mesh_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_mesh_srv_conf_t  *prev = parent;
    ngx_stream_mesh_srv_conf_t  *conf = child;

    ngx_conf_merge_uint_value(conf->role, prev->role, NGX_MESH_OFF);

    return NGX_CONF_OK;
}


static char *
ngx_stream_mesh_upstream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_upstream_srv_conf_t  *uscf;

    uscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_upstream_module);

    uscf->peer.init_upstream = ngx_stream_mesh_init_upstream;
    uscf->flags = NGX_STREAM_UPSTREAM_CREATE;

    return NGX_CONF_OK;
}

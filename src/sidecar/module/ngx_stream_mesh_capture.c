/* Captured connections: which server each is handed to. */

#include "ngx_mesh.h"


/* Bits of an answer without its flags. */
#define NGX_MESH_KIND       15
#define NGX_MESH_PATIENCE   250             /* ms; longer than the first retransmission of a lost packet (RFC 6298) */


/* Servers behind `pass`; the ports are those of src/wire/sidecar.ts. */
static ngx_str_t  ngx_stream_mesh_outgoing_error = ngx_string("127.0.0.1:8902");
static ngx_str_t  ngx_stream_mesh_incoming_error = ngx_string("127.0.0.1:8903");
static ngx_str_t  ngx_stream_mesh_egress = ngx_string("127.0.0.1:8894");

static ngx_str_t  ngx_stream_mesh_outgoing_servers[] = {
    ngx_null_string,
    ngx_string("127.0.0.1:8889"),                           /* HTTP */
    ngx_string("127.0.0.1:8892"),                           /* gRPC */
    ngx_string("127.0.0.1:8906"),                           /* TCP */
    ngx_string("unix:/run/nginx-mesh/direct.sock"),         /* to outside of the mesh */
};

static ngx_str_t  ngx_stream_mesh_incoming_servers[] = {
    ngx_null_string,
    ngx_string("127.0.0.1:8888"),
    ngx_string("127.0.0.1:8891"),
    ngx_string("127.0.0.1:8904"),
};

static ngx_str_t  ngx_stream_mesh_permissive_servers[] = {
    ngx_null_string,
    ngx_string("127.0.0.1:8890"),
    ngx_string("127.0.0.1:8893"),
    ngx_string("127.0.0.1:8907"),
};

/* `serverNames` of src/wire/keys.ts, by the same index */
static ngx_str_t  ngx_stream_mesh_server_names[] = {
    ngx_null_string,
    ngx_string("http.nginx-mesh.internal"),
    ngx_string("grpc.nginx-mesh.internal"),
    ngx_string("tcp.nginx-mesh.internal"),
};


static void
ngx_stream_mesh_silence_handler(ngx_event_t *ev)
{
    ngx_mesh_connection_t  *mc = ev->data;

    ngx_connection_t  *c;

    mc->action &= ~(NGX_MESH_PEEK|NGX_MESH_EGRESS|NGX_MESH_IMPATIENT);

    /* nginx does not ask again while it waits for bytes */

    c = mc->session->connection;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_stream_core_run_phases(mc->session);
}


/* More bytes are needed to decide; they may never come when the other side is the one to speak first. */
static ngx_int_t
ngx_stream_mesh_await_bytes(ngx_stream_session_t *s, ngx_mesh_connection_t *mc)
{
    if (mc->action & NGX_MESH_IMPATIENT && !mc->held.timer_set) {
        mc->session = s;
        mc->held.data = mc;
        mc->held.log = s->connection->log;
        mc->held.handler = ngx_stream_mesh_silence_handler;

        ngx_add_timer(&mc->held, NGX_MESH_PATIENCE);
    }

    return NGX_AGAIN;
}


/* Called without bytes first, then with what can be read so far; the logic is asked once. */
ngx_int_t
ngx_stream_mesh_outgoing(ngx_stream_session_t *s, ngx_mesh_connection_t *mc)
{
    ngx_int_t          rc, action, waiter;
    ngx_connection_t  *c;

    rc = NGX_DECLINED;

    if (mc->action == NGX_MESH_WAIT) {

        waiter = ngx_mesh_connection_hold(mc, s);
        if (waiter == NGX_MESH_NONE) {
            return NGX_ERROR;
        }

        action = ngx_mesh_logic_outgoing(mc, waiter);

        if (action == NGX_MESH_WAIT) {
            return NGX_DONE;
        }

        ngx_mesh_connection_let_go(mc);
        mc->action = action;
    }

    action = mc->action & NGX_MESH_KIND;

    if (mc->action & NGX_MESH_EGRESS) {
        c = s->connection;

        rc = c->buffer ? ngx_mesh_http_request(c->buffer->pos, c->buffer->last) : NGX_AGAIN;

        if (rc == NGX_AGAIN) {
            return ngx_stream_mesh_await_bytes(s, mc);
        }
    }

    ngx_mesh_connection_let_go(mc);

    if (rc == NGX_OK) {
        mc->server = ngx_stream_mesh_egress;

    } else if (action >= NGX_MESH_HTTP && action <= NGX_MESH_DIRECT) {
        mc->server = ngx_stream_mesh_outgoing_servers[action];

    } else {
        mc->server = ngx_stream_mesh_outgoing_error;
        return NGX_OK;
    }

    mc->outgoing = 1;
    ngx_mesh_open.outgoing++;

    return NGX_OK;
}


/*
 * Called without bytes first, then with what can be read so far. The logic is asked once; with NGX_MESH_PEEK the
 * first bytes tell whether it is another sidecar (a ClientHello with one of our server names).
 */
ngx_int_t
ngx_stream_mesh_incoming(ngx_stream_session_t *s, ngx_mesh_connection_t *mc)
{
    u_char             text[48];
    ngx_int_t          rc, action, ingress, waiter;
    ngx_str_t          source, name;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = s->connection;

    if (mc->action == NGX_MESH_WAIT) {

        waiter = ngx_mesh_connection_hold(mc, s);
        if (waiter == NGX_MESH_NONE) {
            return NGX_ERROR;
        }

        source.data = text;
        source.len = ngx_mesh_address_text(c->sockaddr, text);

        action = ngx_mesh_logic_incoming(mc, &source, waiter);

        if (action == NGX_MESH_WAIT) {
            return NGX_DONE;
        }

        ngx_mesh_connection_let_go(mc);
        mc->action = action;
    }

    /* whether plain text is allowed: REFUSE or a kind of traffic; with PEEK a kind or none (strict) */

    action = mc->action & NGX_MESH_KIND;

    if (mc->action & NGX_MESH_PEEK) {

        if (c->buffer == NULL || c->buffer->pos == c->buffer->last) {
            return ngx_stream_mesh_await_bytes(s, mc);
        }

        rc = ngx_mesh_hello_server_name(c->buffer->pos, c->buffer->last, &name);

        if (rc == NGX_AGAIN) {
            return ngx_stream_mesh_await_bytes(s, mc);
        }

        ngx_mesh_connection_let_go(mc);

        if (rc == NGX_OK && name.len) {

            for (i = NGX_MESH_HTTP; i <= NGX_MESH_TCP; i++) {

                if (name.len == ngx_stream_mesh_server_names[i].len
                    && ngx_memcmp(name.data, ngx_stream_mesh_server_names[i].data, name.len) == 0)
                {
                    mc->server = ngx_stream_mesh_incoming_servers[i];
                    return NGX_OK;
                }
            }
        }

        ingress = mc->action / NGX_MESH_INGRESS % (NGX_MESH_TCP + 1);

        if (rc == NGX_OK && ingress) {
            mc->ingress = 1;
            mc->server = ngx_stream_mesh_incoming_servers[ingress];
            return NGX_OK;
        }

        /* an application's own TLS is bytes like any other */

        if (rc == NGX_OK && (action == NGX_MESH_HTTP || action == NGX_MESH_GRPC)) {
            action = NGX_MESH_TCP;
        }
    }

    mc->server = (action >= NGX_MESH_HTTP && action <= NGX_MESH_TCP)
                 ? ngx_stream_mesh_permissive_servers[action] : ngx_stream_mesh_incoming_error;

    return NGX_OK;
}

/*
 * The module is the bridge between nginx and the decisions, which are TypeScript compiled to Lua
 * (src/sidecar/logic). It holds no policy: it finds out where a captured connection was going, asks the logic,
 * and does with sockets and TLS what the logic answers. All state is per worker, and a worker is one thread:
 * there are no locks.
 */

#ifndef NGX_MESH_H
#define NGX_MESH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include <ngx_stream.h>


#define NGX_MESH_NONE  -1

/* Answers of the logic for a captured connection; the same numbers are in src/sidecar/logic/actions.ts. */
enum {
    NGX_MESH_WAIT = 0,
    NGX_MESH_HTTP = 1,
    NGX_MESH_GRPC = 2,
    NGX_MESH_TCP = 3,
    NGX_MESH_DIRECT = 4,
    NGX_MESH_REFUSE = 5,
    NGX_MESH_PEEK = 16,                     /* incoming: a flag beside HTTP, GRPC or TCP */
    NGX_MESH_INGRESS = 32,                  /* incoming: times HTTP, GRPC or TCP, the kind within the caller's own TLS */
    NGX_MESH_EGRESS = 128,                  /* outgoing: a flag beside DIRECT or REFUSE, requests of HTTP go elsewhere */
    NGX_MESH_IMPATIENT = 256                /* a flag beside PEEK or EGRESS: silence says no */
};

/* Answers of `choose` and `admit` that are not endpoints. */
enum {
    NGX_MESH_NO_ENDPOINT = -1,              /* 503 */
    NGX_MESH_UNKNOWN = -2,                  /* 502 */
    NGX_MESH_DENIED = -3                    /* 403 */
};


/* An address that requests are sent to, with its kept connections and its TLS session. */
typedef struct {
    ngx_int_t            id;
    struct sockaddr     *sockaddr;
    socklen_t            socklen;
    ngx_str_t            name;
    ngx_str_t            identity;          /* SPIFFE ID it must present; empty: plain text */
    SSL_SESSION         *session;
    ngx_queue_t          idle;              /* ngx_mesh_idle_t, most recently used first */
    ngx_uint_t           references;        /* the logic's own, and one for each use in flight */
    unsigned             removed:1;         /* by the logic */
    unsigned             tcp:1;             /* its session is one of the other sidecar's TCP servers */
} ngx_mesh_endpoint_t;


/* The name of an endpoint, for who outlives it. */
typedef struct {
    ngx_str_t            name;
    u_char               text[NGX_SOCKADDR_STRLEN];
} ngx_mesh_name_t;


/* What is known about a captured connection. It lives in the connection's pool, through every `pass`. */
typedef struct {
    ngx_connection_t    *connection;
    struct sockaddr_storage  original;      /* original destination */
    u_char               address[48];       /* its canonical text, see addressKey in src/wire/keys.ts */
    size_t               address_len;
    in_port_t            port;

    ngx_int_t            action;
    ngx_int_t            destination;       /* outgoing; NGX_MESH_NONE while unknown */
    ngx_int_t            edge;              /* incoming; NGX_MESH_NONE while unknown */

    ngx_str_t            expected;          /* SPIFFE ID that belongs to the source address; empty: any */
    ngx_str_t            peer;              /* SPIFFE ID that the peer proved; empty: plain text */
    ngx_str_t            client_cert;       /* value of X-Forwarded-Client-Cert */
    ngx_str_t            server;            /* where `pass` hands the connection to */

    ngx_int_t            waiter;            /* slot in the table of held connections */
    ngx_event_t          held;              /* resume, or time-out of holding */
    ngx_stream_session_t *session;          /* while held */
    ngx_queue_t          caller;            /* incoming HTTP of no sidecar: in the list of ngx_http_mesh_drain.c */

    unsigned             captured:1;        /* `original` is set */
    unsigned             identified:1;      /* `peer` is set */
    unsigned             outgoing:1;        /* counted in ngx_mesh_open.outgoing */
    unsigned             ingress:1;         /* TLS of an ingress controller, which is no sidecar's */
} ngx_mesh_connection_t;


/* What is open between the application and this worker. */
typedef struct {
    ngx_uint_t           outgoing;          /* connections of the application */
    ngx_uint_t           incoming;          /* requests that it handles, and TCP connections to it */
} ngx_mesh_open_t;

extern ngx_mesh_open_t  ngx_mesh_open;


/* ngx_mesh_connection.c */
ngx_mesh_connection_t *ngx_mesh_connection_find(ngx_connection_t *c);
ngx_mesh_connection_t *ngx_mesh_connection_get(ngx_connection_t *c);
ngx_int_t ngx_mesh_connection_identify(ngx_mesh_connection_t *mc, ngx_connection_t *c);
size_t ngx_mesh_address_text(struct sockaddr *sa, u_char *text);
ngx_int_t ngx_mesh_connection_hold(ngx_mesh_connection_t *mc, ngx_stream_session_t *s);
void ngx_mesh_connection_let_go(ngx_mesh_connection_t *mc);
void ngx_mesh_connection_resume(ngx_int_t waiter);
ngx_msec_int_t ngx_mesh_idle_limit(void);
void ngx_mesh_set_idle_limit(ngx_msec_t ms);

/* ngx_mesh_growth.c */
void ngx_mesh_connections_grow(ngx_log_t *log);

/* ngx_mesh_endpoint.c */
ngx_mesh_endpoint_t *ngx_mesh_endpoint(ngx_int_t id);
ngx_int_t ngx_mesh_endpoint_create(ngx_str_t *address, in_port_t port, ngx_str_t *identity);
void ngx_mesh_endpoint_release(ngx_mesh_endpoint_t *ep);
ngx_str_t *ngx_mesh_endpoint_name(ngx_mesh_endpoint_t *ep, ngx_mesh_name_t *copy);
void ngx_mesh_endpoints_forget_sessions(void);
ngx_int_t ngx_mesh_endpoint_set_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c, ngx_uint_t tcp);
void ngx_mesh_endpoint_save_session(ngx_mesh_endpoint_t *ep, ngx_connection_t *c);

/* ngx_mesh_idle.c */
void ngx_mesh_endpoint_close_idle(ngx_mesh_endpoint_t *ep);
ngx_connection_t *ngx_mesh_endpoint_take(ngx_mesh_endpoint_t *ep, ngx_uint_t protocol, ngx_log_t *log,
    ngx_uint_t check);
ngx_int_t ngx_mesh_endpoint_keep(ngx_mesh_endpoint_t *ep, ngx_uint_t protocol, ngx_connection_t *c,
    ngx_msec_t timeout);

/* ngx_mesh_access.c */
enum {
    NGX_MESH_ACCESS_OFF = 0,
    NGX_MESH_ACCESS_DEFAULT = 1,
    NGX_MESH_ACCESS_JSON = 2
};

typedef struct {
    ngx_str_t            client;
    ngx_str_t            request;           /* the request line; empty: a TCP connection */
    ngx_str_t            destination;       /* where it was going */
    ngx_str_t            host;
    ngx_str_t            upstream;
    ngx_str_t            peer;              /* SPIFFE ID of the other side */
    ngx_str_t            referer;
    ngx_str_t            user_agent;
    ngx_uint_t           status;
    off_t                received;
    off_t                sent;
    int64_t              duration;          /* µs */
    ngx_uint_t           outgoing;
} ngx_mesh_access_t;

void ngx_mesh_access_set_format(ngx_uint_t format);
ngx_uint_t ngx_mesh_access_format(void);
void ngx_mesh_access_write(ngx_mesh_access_t *a);
void ngx_mesh_access_flush(void);
void ngx_mesh_access_destination(ngx_mesh_access_t *a, ngx_mesh_connection_t *mc, u_char *text);
void ngx_mesh_access_endpoint(ngx_mesh_access_t *a, ngx_int_t endpoint);

/* ngx_mesh_hello.c */
ngx_int_t ngx_mesh_hello_server_name(u_char *p, u_char *last, ngx_str_t *name);

/* ngx_mesh_request.c */
ngx_int_t ngx_mesh_http_request(u_char *p, u_char *last);

/* ngx_mesh_native.c: functions that the logic calls */
ngx_int_t ngx_mesh_native_preload(ngx_conf_t *cf);
ngx_mesh_endpoint_t *ngx_mesh_nats_endpoint(void);

/* ngx_mesh_logic.c: functions of the logic that the module calls */
ngx_int_t ngx_mesh_logic_init(ngx_cycle_t *cycle);
void ngx_mesh_logic_register(void *L);
ngx_int_t ngx_mesh_logic_outgoing(ngx_mesh_connection_t *mc, ngx_int_t waiter);
ngx_int_t ngx_mesh_logic_incoming(ngx_mesh_connection_t *mc, ngx_str_t *source, ngx_int_t waiter);
void ngx_mesh_logic_closed(ngx_int_t destination, ngx_int_t edge);
ngx_int_t ngx_mesh_logic_choose(ngx_int_t destination, ngx_http_request_t *r, ngx_int_t previous);
void ngx_mesh_logic_failed(ngx_int_t destination, ngx_int_t endpoint, ngx_uint_t refused);
void ngx_mesh_logic_finished(ngx_int_t destination, ngx_int_t endpoint, ngx_uint_t held, ngx_uint_t status,
    int64_t connect, int64_t first_byte, int64_t total, off_t sent, off_t received);
ngx_int_t ngx_mesh_logic_peer(ngx_mesh_connection_t *mc);
ngx_int_t ngx_mesh_logic_admit(ngx_int_t edge, ngx_http_request_t *r);
void ngx_mesh_logic_served(ngx_int_t edge, ngx_int_t endpoint, ngx_uint_t status, int64_t total, off_t sent,
    off_t received);
ngx_int_t ngx_mesh_logic_reason(ngx_int_t destination, ngx_int_t code, ngx_pool_t *pool, ngx_str_t *text);
int64_t ngx_mesh_now(void);                 /* microseconds, monotonic */

/* ngx_mesh_tls.c */
typedef struct {
    ngx_uint_t           incoming;          /* full ones, in which the peer's chain was verified */
    ngx_uint_t           outgoing;
    ngx_uint_t           resumed;           /* incoming */
} ngx_mesh_handshakes_t;

ngx_mesh_handshakes_t *ngx_mesh_tls_handshakes(void);
ngx_int_t ngx_mesh_tls_init(ngx_log_t *log);
ngx_int_t ngx_mesh_tls_server(SSL_CTX *ctx, ngx_log_t *log);
ngx_int_t ngx_mesh_tls_client(ngx_connection_t *c, ngx_str_t *identity);
ngx_uint_t ngx_mesh_tls_is_current(ngx_connection_t *c);
ngx_int_t ngx_mesh_tls_set_svid(ngx_str_t *chain, ngx_str_t *key, ngx_log_t *log);
ngx_int_t ngx_mesh_tls_set_bundle(ngx_str_t *roots, ngx_str_t *trust_domain, ngx_log_t *log);
ngx_int_t ngx_mesh_tls_peer(ngx_connection_t *c, ngx_pool_t *pool, ngx_str_t *identity);
ngx_str_t *ngx_mesh_tls_identity(void);

/* HTTP */
typedef enum {
    NGX_MESH_OFF = 0,
    NGX_MESH_OUTGOING,                      /* stream: capture; HTTP: proxy */
    NGX_MESH_INCOMING,
    NGX_MESH_EGRESS_OUTGOING,               /* HTTP only: to an ingress controller, which is no sidecar */
    NGX_MESH_TCP_OUTGOING,                  /* stream only, behind `pass` */
    NGX_MESH_TCP_OUTGOING_PLAIN,            /* stream only: settings for endpoints without a sidecar */
    NGX_MESH_TCP_INCOMING,
    NGX_MESH_DIRECT_OUTGOING,
    NGX_MESH_NATS
} ngx_mesh_role_e;

typedef struct {
    ngx_mesh_connection_t  *connection;
    ngx_int_t               endpoint;       /* chosen for the attempt to come or under way */
    ngx_int_t               last;           /* endpoint of the last attempt */
    ngx_int_t               code;           /* why there is none */
    int64_t                 started;
    int64_t                 first_byte;
    unsigned                outgoing:1;
    unsigned                egress:1;       /* outgoing: through an ingress controller */
    unsigned                held:1;         /* the logic counts this request as in flight at `endpoint` */
    unsigned                refused:1;      /* the mesh itself answered */
    unsigned                unreachable:1;  /* the application refused the connection of the last attempt */
    unsigned                gathered:1;     /* outgoing: what comes of the body at once has come */
    unsigned                open:1;         /* counted in ngx_mesh_open.incoming */
    ngx_event_t             gather;         /* outgoing: goes on after that */
} ngx_http_mesh_ctx_t;

typedef struct {
    ngx_uint_t              role;
    ngx_str_t               grpc;           /* named location for gRPC; empty: the other one */
    ngx_str_t               other;          /* named location for the other HTTP version */
    ngx_flag_t              http2;          /* this location speaks HTTP/2 to its upstream */
} ngx_http_mesh_loc_conf_t;

typedef struct {
    ngx_uint_t              role;
} ngx_stream_mesh_srv_conf_t;

typedef struct {
    ngx_stream_session_t   *session;
    ngx_mesh_connection_t  *connection;
    ngx_mesh_endpoint_t    *endpoint;       /* referenced while it is set */
    ngx_int_t               admitted;       /* incoming: endpoint of the application */
    ngx_int_t               last;
    int64_t                 started;
    ngx_event_t             idle;
    off_t                   bytes;          /* at the last look at `idle` */
    ngx_uint_t              role;
    ngx_event_t             refusal;        /* outgoing: on to the next endpoint */
    ngx_str_t               replay;         /* what the client has sent until the verdict; in the heap */
    size_t                  replay_size;
    u_char                 *replayed;       /* what is being sent again; in the heap */
    unsigned                held:1;
    unsigned                refused:1;      /* outgoing: the other side's application refuses */
    unsigned                unrepeatable:1; /* the client has sent too much */
    unsigned                open:1;         /* counted in ngx_mesh_open.incoming */
    ngx_mesh_name_t         name;           /* of the last endpoint, which may be gone when nginx logs it */
} ngx_stream_mesh_ctx_t;

extern ngx_module_t  ngx_http_mesh_module;
extern ngx_module_t  ngx_stream_mesh_module;

ngx_http_mesh_ctx_t *ngx_http_mesh_ctx(ngx_http_request_t *r);
ngx_int_t ngx_http_mesh_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us);
ngx_int_t ngx_http_mesh_refuse(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx);
ngx_int_t ngx_http_mesh_error_handler(ngx_http_request_t *r);
void ngx_http_mesh_set_client_max_body_size(off_t size);
ngx_uint_t ngx_http_mesh_is_grpc(ngx_http_request_t *r);
ngx_int_t ngx_http_mesh_gather_body(ngx_http_request_t *r, ngx_http_mesh_ctx_t *ctx);
void ngx_http_mesh_end_gathering(ngx_http_mesh_ctx_t *ctx);
extern ngx_str_t  ngx_http_mesh_unreachable;
ngx_int_t ngx_http_mesh_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_mesh_log_handler(ngx_http_request_t *r);

/* ngx_http_mesh_drain.c */
void ngx_http_mesh_drain(void);
void ngx_http_mesh_drain_caller(ngx_mesh_connection_t *mc);
void ngx_http_mesh_drain_response(ngx_http_request_t *r);

ngx_int_t ngx_stream_mesh_outgoing(ngx_stream_session_t *s, ngx_mesh_connection_t *mc);
ngx_int_t ngx_stream_mesh_incoming(ngx_stream_session_t *s, ngx_mesh_connection_t *mc);
ngx_int_t ngx_stream_mesh_init_upstream(ngx_conf_t *cf, ngx_stream_upstream_srv_conf_t *us);
void ngx_stream_mesh_use_server(ngx_stream_session_t *s, ngx_uint_t tls);

/* ngx_stream_mesh_verdict.c */
void ngx_stream_mesh_before_handshake(ngx_stream_mesh_ctx_t *ctx, ngx_connection_t *c);
void ngx_stream_mesh_connected(ngx_peer_connection_t *pc, void *data, ngx_uint_t type);
void ngx_stream_mesh_tell_refused(ngx_stream_session_t *s);
void ngx_stream_mesh_end_verdict(ngx_stream_mesh_ctx_t *ctx);

#endif

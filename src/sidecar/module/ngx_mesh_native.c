/* The Lua module "mesh.native": what the logic and its host may do to this worker. */

#include "ngx_mesh.h"

#include <lua.h>
#include <lauxlib.h>
#include <malloc.h>


extern ngx_int_t ngx_http_lua_add_package_preload(ngx_conf_t *cf, const char *package, lua_CFunction func);


static ngx_int_t  ngx_mesh_nats = NGX_MESH_NONE;


static ngx_str_t
ngx_mesh_native_string(lua_State *L, int index)
{
    ngx_str_t  s;

    s.data = (u_char *) luaL_checklstring(L, index, &s.len);

    return s;
}


ngx_mesh_endpoint_t *
ngx_mesh_nats_endpoint(void)
{
    return ngx_mesh_endpoint(ngx_mesh_nats);
}


/* register(function, …): see ngx_mesh_logic.c */
static int
ngx_mesh_native_register(lua_State *L)
{
    ngx_mesh_logic_register(L);
    return 0;
}


/* resume(waiter): a held connection goes on and asks again */
static int
ngx_mesh_native_resume(lua_State *L)
{
    ngx_mesh_connection_resume(luaL_checkinteger(L, 1));
    return 0;
}


/* endpoint(address, port, identity): number, or nil when the address is none */
static int
ngx_mesh_native_endpoint(lua_State *L)
{
    ngx_int_t    id;
    ngx_str_t    address, identity;
    lua_Integer  port;

    address = ngx_mesh_native_string(L, 1);
    port = luaL_checkinteger(L, 2);
    identity = ngx_mesh_native_string(L, 3);

    if (port < 1 || port > 65535) {
        return 0;
    }

    id = ngx_mesh_endpoint_create(&address, port, &identity);
    if (id == NGX_ERROR) {
        return 0;
    }

    lua_pushinteger(L, id);

    return 1;
}


/* release(endpoint): no new requests go there; it vanishes with the last one in flight */
static int
ngx_mesh_native_release(lua_State *L)
{
    ngx_mesh_endpoint_t  *ep;

    ep = ngx_mesh_endpoint(luaL_checkinteger(L, 1));

    if (ep && !ep->removed) {
        ep->removed = 1;
        ngx_mesh_endpoint_close_idle(ep);
        ngx_mesh_endpoint_release(ep);
    }

    return 0;
}


/* nats(endpoint): where the local socket of NATS leads */
static int
ngx_mesh_native_nats(lua_State *L)
{
    ngx_mesh_nats = luaL_checkinteger(L, 1);
    return 0;
}


/* svid(chain, key): true when it is in force */
static int
ngx_mesh_native_svid(lua_State *L)
{
    ngx_str_t  chain, key;

    chain = ngx_mesh_native_string(L, 1);
    key = ngx_mesh_native_string(L, 2);

    lua_pushboolean(L, ngx_mesh_tls_set_svid(&chain, &key, ngx_cycle->log) == NGX_OK);

    return 1;
}


/* bundle(roots, trust domain): true when it is in force */
static int
ngx_mesh_native_bundle(lua_State *L)
{
    ngx_str_t  roots, trust_domain;

    roots = ngx_mesh_native_string(L, 1);
    trust_domain = ngx_mesh_native_string(L, 2);

    lua_pushboolean(L, ngx_mesh_tls_set_bundle(&roots, &trust_domain, ngx_cycle->log) == NGX_OK);

    return 1;
}


/* expiry(chain): unix seconds at which the first certificate ends, or nil */
static int
ngx_mesh_native_expiry(lua_State *L)
{
    X509                 *cert;
    ngx_str_t             chain;
    struct tm             tm;
    const unsigned char  *p;

    chain = ngx_mesh_native_string(L, 1);
    p = chain.data;

    cert = d2i_X509(NULL, &p, chain.len);

    if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1) {
        X509_free(cert);
        ERR_clear_error();
        return 0;
    }

    X509_free(cert);
    lua_pushnumber(L, (lua_Number) timegm(&tm));

    return 1;
}


/* log_level(n): nginx's number, 1 (alert) to 8 (debug) */
static int
ngx_mesh_native_log_level(lua_State *L)
{
    lua_Integer  level;

    level = luaL_checkinteger(L, 1);

    if (level >= NGX_LOG_EMERG && level <= NGX_LOG_DEBUG) {
        ngx_cycle->log->log_level = (level == NGX_LOG_DEBUG) ? NGX_LOG_DEBUG_ALL : (ngx_uint_t) level;
    }

    return 0;
}


/* access_log(format): 0 off, 1 default, 2 JSON */
static int
ngx_mesh_native_access_log(lua_State *L)
{
    lua_Integer  format;

    format = luaL_checkinteger(L, 1);

    if (format >= NGX_MESH_ACCESS_OFF && format <= NGX_MESH_ACCESS_JSON) {
        ngx_mesh_access_set_format(format);
    }

    return 0;
}


/* client_max_body_size(bytes): of the incoming servers; 0: no limit */
static int
ngx_mesh_native_client_max_body_size(lua_State *L)
{
    lua_Number  size;

    size = luaL_checknumber(L, 1);

    if (size >= 0) {
        ngx_http_mesh_set_client_max_body_size((off_t) size);
    }

    return 0;
}


/* idle_limit(seconds): after which a TCP connection without traffic is closed */
static int
ngx_mesh_native_idle_limit(lua_State *L)
{
    lua_Number  seconds;

    seconds = luaL_checknumber(L, 1);

    if (seconds >= 1 && seconds < NGX_MAX_INT32_VALUE / 1000) {
        ngx_mesh_set_idle_limit((ngx_msec_t) (seconds * 1000));
    }

    return 0;
}


static ngx_http_request_t *
ngx_mesh_native_request(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);

    return lua_touserdata(L, 1);
}


/* method(request), path(request): as the client sent them; the path without its query */
static int
ngx_mesh_native_method(lua_State *L)
{
    ngx_http_request_t  *r = ngx_mesh_native_request(L);

    lua_pushlstring(L, (char *) r->method_name.data, r->method_name.len);

    return 1;
}


static int
ngx_mesh_native_path(lua_State *L)
{
    ngx_http_request_t  *r = ngx_mesh_native_request(L);

    lua_pushlstring(L, (char *) r->uri.data, r->uri.len);

    return 1;
}


/* header(request, name in lower case): the first value, or nil */
static int
ngx_mesh_native_header(lua_State *L)
{
    ngx_uint_t           i;
    ngx_str_t            name;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *header;
    ngx_http_request_t  *r = ngx_mesh_native_request(L);

    name = ngx_mesh_native_string(L, 2);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (header[i].key.len == name.len
                && ngx_strncasecmp(header[i].key.data, name.data, name.len) == 0)
            {
                lua_pushlstring(L, (char *) header[i].value.data, header[i].value.len);
                return 1;
            }
        }
    }

    return 0;
}


/* connections(): active, idle; of this worker */
static int
ngx_mesh_native_connections(lua_State *L)
{
    ngx_uint_t  active, waiting;

    active = ngx_stat_active ? (ngx_uint_t) *ngx_stat_active : 0;
    waiting = ngx_stat_waiting ? (ngx_uint_t) *ngx_stat_waiting : 0;

    lua_pushinteger(L, active);
    lua_pushinteger(L, waiting);

    return 2;
}


/* open(): connections of the application, and what it handles for others; of this worker */
static int
ngx_mesh_native_open_count(lua_State *L)
{
    lua_pushinteger(L, ngx_mesh_open.outgoing);
    lua_pushinteger(L, ngx_mesh_open.incoming);

    return 2;
}


/* drain(): the pod is about to end, see ngx_http_mesh_drain.c; to be called until it has ended */
static int
ngx_mesh_native_drain(lua_State *L)
{
    ngx_http_mesh_drain();
    return 0;
}


/* handshakes(): full incoming, full outgoing, resumed incoming; of this worker */
static int
ngx_mesh_native_handshakes(lua_State *L)
{
    ngx_mesh_handshakes_t  *h = ngx_mesh_tls_handshakes();

    lua_pushinteger(L, h->incoming);
    lua_pushinteger(L, h->outgoing);
    lua_pushinteger(L, h->resumed);

    return 3;
}


/*
 * trim(): gives the kernel back what handshakes have left unused, once none has come since the call before. Each needs
 * for a moment what lies between the buffers of others, so that the heap does not shrink by itself.
 */
static int
ngx_mesh_native_trim(lua_State *L)
{
    ngx_uint_t              sum;
    ngx_mesh_handshakes_t  *h = ngx_mesh_tls_handshakes();

    static ngx_uint_t       last, trimmed;

    sum = h->incoming + h->outgoing + h->resumed;

    if (sum == last && sum != trimmed) {
        (void) malloc_trim(0);
        trimmed = sum;
    }

    last = sum;

    return 0;
}


static const luaL_Reg  ngx_mesh_native_functions[] = {
    { "register", ngx_mesh_native_register },
    { "resume", ngx_mesh_native_resume },
    { "endpoint", ngx_mesh_native_endpoint },
    { "release", ngx_mesh_native_release },
    { "nats", ngx_mesh_native_nats },
    { "svid", ngx_mesh_native_svid },
    { "bundle", ngx_mesh_native_bundle },
    { "expiry", ngx_mesh_native_expiry },
    { "log_level", ngx_mesh_native_log_level },
    { "access_log", ngx_mesh_native_access_log },
    { "client_max_body_size", ngx_mesh_native_client_max_body_size },
    { "idle_limit", ngx_mesh_native_idle_limit },
    { "method", ngx_mesh_native_method },
    { "path", ngx_mesh_native_path },
    { "header", ngx_mesh_native_header },
    { "connections", ngx_mesh_native_connections },
    { "open", ngx_mesh_native_open_count },
    { "drain", ngx_mesh_native_drain },
    { "handshakes", ngx_mesh_native_handshakes },
    { "trim", ngx_mesh_native_trim },
    { NULL, NULL }
};


static int
ngx_mesh_native_open(lua_State *L)
{
    lua_createtable(L, 0, sizeof(ngx_mesh_native_functions) / sizeof(luaL_Reg) - 1);
    luaL_register(L, NULL, ngx_mesh_native_functions);

    return 1;
}


ngx_int_t
ngx_mesh_native_preload(ngx_conf_t *cf)
{
    return ngx_http_lua_add_package_preload(cf, "mesh.native", ngx_mesh_native_open);
}

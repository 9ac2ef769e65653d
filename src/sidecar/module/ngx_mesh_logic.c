/*
 * Calls from nginx into the logic: Lua functions that src/sidecar/phases registers once a worker. They run on the
 * worker's main Lua state, do not yield, and get and give numbers and short strings only. A call costs about as
 * much as a comparison of two headers; a coroutine and a request context, as Lua handlers of a request have them,
 * cost several times that.
 */

#include "ngx_mesh.h"

#include <lua.h>
#include <lauxlib.h>
#include <time.h>


/* In the order of `register` in src/sidecar/phases/worker.ts. */
enum {
    NGX_MESH_FN_OUTGOING = 0,
    NGX_MESH_FN_INCOMING,
    NGX_MESH_FN_CLOSED,
    NGX_MESH_FN_CHOOSE,
    NGX_MESH_FN_FAILED,
    NGX_MESH_FN_FINISHED,
    NGX_MESH_FN_PEER,
    NGX_MESH_FN_ADMIT,
    NGX_MESH_FN_SERVED,
    NGX_MESH_FN_REASON,
    NGX_MESH_FN_COUNT
};


/* From the public interface of the Lua module, whose header Debian does not ship. */
extern lua_State *ngx_http_lua_get_global_state(ngx_conf_t *cf);


static lua_State  *ngx_mesh_lua;
static int         ngx_mesh_functions[NGX_MESH_FN_COUNT];
static ngx_uint_t  ngx_mesh_registered;


/* After the configuration is read; the Lua module's function looks only at the context of http. */
ngx_int_t
ngx_mesh_logic_init(ngx_cycle_t *cycle)
{
    ngx_conf_t  cf;

    ngx_memzero(&cf, sizeof(ngx_conf_t));
    cf.ctx = ngx_get_conf(cycle->conf_ctx, ngx_http_module);

    ngx_mesh_lua = ngx_http_lua_get_global_state(&cf);

    if (ngx_mesh_lua == NULL && !ngx_test_config) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "mesh: the Lua module has no Lua state");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* native.register(outgoing, incoming, …) */
void
ngx_mesh_logic_register(void *data)
{
    int         i;
    lua_State  *L = data;

    luaL_argcheck(L, lua_gettop(L) == NGX_MESH_FN_COUNT, 1, "wrong number of functions");

    for (i = 0; i < NGX_MESH_FN_COUNT; i++) {
        luaL_checktype(L, i + 1, LUA_TFUNCTION);
        lua_pushvalue(L, i + 1);
        ngx_mesh_functions[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }

    ngx_mesh_registered = 1;
}


int64_t
ngx_mesh_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static lua_State *
ngx_mesh_logic_begin(ngx_uint_t function)
{
    if (!ngx_mesh_registered) {
        return NULL;
    }

    lua_rawgeti(ngx_mesh_lua, LUA_REGISTRYINDEX, ngx_mesh_functions[function]);

    return ngx_mesh_lua;
}


static ngx_int_t
ngx_mesh_logic_call(lua_State *L, int arguments, int results)
{
    if (lua_pcall(L, arguments, results, 0) == 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0, "mesh: logic failed: %s", lua_tostring(L, -1));
    lua_pop(L, 1);

    return NGX_ERROR;
}


static ngx_int_t
ngx_mesh_logic_integer(lua_State *L, int arguments, ngx_int_t otherwise)
{
    ngx_int_t  n;

    if (ngx_mesh_logic_call(L, arguments, 1) != NGX_OK) {
        return otherwise;
    }

    n = (ngx_int_t) lua_tonumber(L, -1);
    lua_pop(L, 1);

    return n;
}


/* outgoing(address, port, waiter): action, destination */
ngx_int_t
ngx_mesh_logic_outgoing(ngx_mesh_connection_t *mc, ngx_int_t waiter)
{
    lua_State  *L;
    ngx_int_t   action;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_OUTGOING);
    if (L == NULL) {
        return NGX_MESH_REFUSE;
    }

    lua_pushlstring(L, (char *) mc->address, mc->address_len);
    lua_pushnumber(L, mc->port);
    lua_pushnumber(L, waiter);

    if (ngx_mesh_logic_call(L, 3, 2) != NGX_OK) {
        return NGX_MESH_REFUSE;
    }

    action = (ngx_int_t) lua_tonumber(L, -2);
    mc->destination = lua_isnumber(L, -1) ? (ngx_int_t) lua_tonumber(L, -1) : NGX_MESH_NONE;
    lua_pop(L, 2);

    return action;
}


/* incoming(source, port, waiter): action, expected identity or nil */
ngx_int_t
ngx_mesh_logic_incoming(ngx_mesh_connection_t *mc, ngx_str_t *source, ngx_int_t waiter)
{
    size_t       len;
    lua_State   *L;
    ngx_int_t    action;
    const char  *expected;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_INCOMING);
    if (L == NULL) {
        return NGX_MESH_REFUSE;
    }

    lua_pushlstring(L, (char *) source->data, source->len);
    lua_pushnumber(L, mc->port);
    lua_pushnumber(L, waiter);

    if (ngx_mesh_logic_call(L, 3, 2) != NGX_OK) {
        return NGX_MESH_REFUSE;
    }

    action = (ngx_int_t) lua_tonumber(L, -2);

    if (lua_isstring(L, -1)) {
        expected = lua_tolstring(L, -1, &len);
        mc->expected.data = ngx_pnalloc(mc->connection->pool, len);

        if (mc->expected.data) {
            mc->expected.len = len;
            ngx_memcpy(mc->expected.data, expected, len);

        } else {
            action = NGX_MESH_REFUSE;
        }
    }

    lua_pop(L, 2);

    return action;
}


/* closed(destination, edge): the connection that held them is gone */
void
ngx_mesh_logic_closed(ngx_int_t destination, ngx_int_t edge)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_CLOSED);
    if (L == NULL) {
        return;
    }

    lua_pushnumber(L, destination);
    lua_pushnumber(L, edge);

    (void) ngx_mesh_logic_call(L, 2, 0);
}


/* choose(destination, request or nil, endpoint tried before or -1): endpoint, or why there is none */
ngx_int_t
ngx_mesh_logic_choose(ngx_int_t destination, ngx_http_request_t *r, ngx_int_t previous)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_CHOOSE);
    if (L == NULL) {
        return NGX_MESH_UNKNOWN;
    }

    lua_pushnumber(L, destination);

    if (r) {
        lua_pushlightuserdata(L, r);

    } else {
        lua_pushnil(L);
    }

    lua_pushnumber(L, previous);
    lua_pushnumber(L, (lua_Number) ngx_mesh_now());

    return ngx_mesh_logic_integer(L, 4, NGX_MESH_UNKNOWN);
}


/* failed(destination, endpoint, refused, now): the attempt at this endpoint is over, without an answer */
void
ngx_mesh_logic_failed(ngx_int_t destination, ngx_int_t endpoint, ngx_uint_t refused)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_FAILED);
    if (L == NULL) {
        return;
    }

    lua_pushnumber(L, destination);
    lua_pushnumber(L, endpoint);
    lua_pushboolean(L, refused);
    lua_pushnumber(L, (lua_Number) ngx_mesh_now());

    (void) ngx_mesh_logic_call(L, 4, 0);
}


/*
 * finished(destination, endpoint or -1, still in flight there, status, µs to connection or -1, µs to first byte or -1,
 * µs, bytes, bytes, now)
 */
void
ngx_mesh_logic_finished(ngx_int_t destination, ngx_int_t endpoint, ngx_uint_t held, ngx_uint_t status,
    int64_t connect, int64_t first_byte, int64_t total, off_t sent, off_t received)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_FINISHED);
    if (L == NULL) {
        return;
    }

    lua_pushnumber(L, destination);
    lua_pushnumber(L, endpoint);
    lua_pushboolean(L, held);
    lua_pushnumber(L, status);
    lua_pushnumber(L, (lua_Number) connect);
    lua_pushnumber(L, (lua_Number) first_byte);
    lua_pushnumber(L, (lua_Number) total);
    lua_pushnumber(L, (lua_Number) sent);
    lua_pushnumber(L, (lua_Number) received);
    lua_pushnumber(L, (lua_Number) ngx_mesh_now());

    (void) ngx_mesh_logic_call(L, 10, 0);
}


/* peer(port, identity): edge; who calls which port, once a connection */
ngx_int_t
ngx_mesh_logic_peer(ngx_mesh_connection_t *mc)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_PEER);
    if (L == NULL) {
        return NGX_MESH_NONE;
    }

    lua_pushlstring(L, (char *) mc->address, mc->address_len);
    lua_pushnumber(L, mc->port);
    lua_pushlstring(L, (char *) mc->peer.data, mc->peer.len);

    return ngx_mesh_logic_integer(L, 3, NGX_MESH_NONE);
}


/* admit(edge, request or nil, now): endpoint of the application, or why not */
ngx_int_t
ngx_mesh_logic_admit(ngx_int_t edge, ngx_http_request_t *r)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_ADMIT);
    if (L == NULL) {
        return NGX_MESH_UNKNOWN;
    }

    lua_pushnumber(L, edge);

    if (r) {
        lua_pushlightuserdata(L, r);

    } else {
        lua_pushnil(L);
    }

    lua_pushnumber(L, (lua_Number) ngx_mesh_now());

    return ngx_mesh_logic_integer(L, 3, NGX_MESH_UNKNOWN);
}


/* served(edge, endpoint or -1, status, µs, bytes sent, bytes received) */
void
ngx_mesh_logic_served(ngx_int_t edge, ngx_int_t endpoint, ngx_uint_t status, int64_t total, off_t sent,
    off_t received)
{
    lua_State  *L;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_SERVED);
    if (L == NULL) {
        return;
    }

    lua_pushnumber(L, edge);
    lua_pushnumber(L, endpoint);
    lua_pushnumber(L, status);
    lua_pushnumber(L, (lua_Number) total);
    lua_pushnumber(L, (lua_Number) sent);
    lua_pushnumber(L, (lua_Number) received);

    (void) ngx_mesh_logic_call(L, 6, 0);
}


/* reason(destination, code): a sentence for people about a request that the mesh refused */
ngx_int_t
ngx_mesh_logic_reason(ngx_int_t destination, ngx_int_t code, ngx_pool_t *pool, ngx_str_t *text)
{
    size_t       len;
    lua_State   *L;
    const char  *s;

    L = ngx_mesh_logic_begin(NGX_MESH_FN_REASON);
    if (L == NULL) {
        return NGX_ERROR;
    }

    lua_pushnumber(L, destination);
    lua_pushnumber(L, code);

    if (ngx_mesh_logic_call(L, 2, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    s = lua_tolstring(L, -1, &len);

    text->data = s ? ngx_pnalloc(pool, len) : NULL;

    if (text->data) {
        text->len = len;
        ngx_memcpy(text->data, s, len);
    }

    lua_pop(L, 1);

    return text->data ? NGX_OK : NGX_ERROR;
}

/*
 * The server name in a ClientHello (RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3). The bytes come from
 * anyone: nothing is read outside of them. A ClientHello that is spread over several records is not read: our own
 * sidecars do not send one.
 */

#include "ngx_mesh.h"


#define ngx_mesh_u16(p)  (((size_t) (p)[0] << 8) | (p)[1])


/*
 * NGX_OK: `name` is set, empty when there is none; NGX_AGAIN: more bytes are needed; NGX_DECLINED: this is not a
 * TLS ClientHello.
 */
ngx_int_t
ngx_mesh_hello_server_name(u_char *p, u_char *last, ngx_str_t *name)
{
    size_t    len, type, size;
    u_char   *end;

    ngx_str_null(name);

    /* record: type 22, version 3.x, length */

    if (p == last) {
        return NGX_AGAIN;
    }

    if (p[0] != 22 || (last - p > 1 && p[1] != 3)) {
        return NGX_DECLINED;
    }

    if (last - p < 6) {
        return NGX_AGAIN;
    }

    len = ngx_mesh_u16(p + 3);

    if (p[5] != 1 || len < 42 || len > 16384) {
        return NGX_DECLINED;
    }

    p += 5;

    if ((size_t) (last - p) < len) {
        return NGX_AGAIN;
    }

    end = p + len;

    /* handshake: type 1, length of 3 bytes; version of 2, random of 32 */

    p += 4 + 2 + 32;

    /* session id, cipher suites, compression methods */

    if (end - p < 1 || (size_t) (end - p) < 1u + p[0] + 2) {
        return NGX_DECLINED;
    }

    p += 1 + p[0];
    size = 2 + ngx_mesh_u16(p);

    if ((size_t) (end - p) < size + 1) {
        return NGX_DECLINED;
    }

    p += size;
    size = 1 + p[0];

    if ((size_t) (end - p) < size) {
        return NGX_DECLINED;
    }

    p += size;

    if (end - p < 2) {
        return NGX_OK;
    }

    size = ngx_mesh_u16(p);
    p += 2;

    if ((size_t) (end - p) < size) {
        return NGX_DECLINED;
    }

    end = p + size;

    while (end - p >= 4) {
        type = ngx_mesh_u16(p);
        size = ngx_mesh_u16(p + 2);
        p += 4;

        if ((size_t) (end - p) < size) {
            return NGX_DECLINED;
        }

        if (type != 0) {
            p += size;
            continue;
        }

        /* server name list: length of 2, name type of 1 (0: host name), length of 2, name */

        if (size < 5 || p[2] != 0 || (size_t) ngx_mesh_u16(p + 3) > size - 5) {
            return NGX_DECLINED;
        }

        name->len = ngx_mesh_u16(p + 3);
        name->data = p + 5;

        return NGX_OK;
    }

    return NGX_OK;
}

/*
 * Whether the first bytes of a connection are a request of HTTP: the request line of HTTP/1 (RFC 9112, section 3), or
 * the preface of HTTP/2 (RFC 9113, section 3.4), which looks like one. The version at the end of the line is what tells
 * HTTP from other protocols whose lines begin with a word.
 */

#include "ngx_mesh.h"


#define NGX_MESH_METHOD_MAX  32             /* longer than any registered method */
#define NGX_MESH_LINE_MAX    8192           /* bytes that are waited for */


/* NGX_OK: it is one; NGX_AGAIN: more bytes are needed; NGX_DECLINED: it is something else. */
ngx_int_t
ngx_mesh_http_request(u_char *p, u_char *last)
{
    u_char  *target, *end;

    for (target = p; target < last && *target >= 'A' && *target <= 'Z'; target++) {
        if (target - p == NGX_MESH_METHOD_MAX) {
            return NGX_DECLINED;
        }
    }

    if (target == last) {
        return NGX_AGAIN;
    }

    if (target == p || *target != ' ') {
        return NGX_DECLINED;
    }

    target++;

    end = memchr(target, '\n', last - target);

    if (end == NULL) {

        if (last - p < NGX_MESH_LINE_MAX) {
            return NGX_AGAIN;
        }

        /* a path may be longer than what is worth waiting for */

        return *target == '/' ? NGX_OK : NGX_DECLINED;
    }

    if (end > target && end[-1] == '\r') {
        end--;
    }

    /* " HTTP/1.1", with a target before it */

    if (end - target < 10 || memcmp(end - 9, " HTTP/", 6) != 0
        || end[-3] < '0' || end[-3] > '9' || end[-2] != '.' || end[-1] < '0' || end[-1] > '9')
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}

/* A line for a piece: what the parser of request lines returned. */

#include "ngx_mesh.h"

#include <stdio.h>


void
report(u_char *bytes, size_t len)
{
    ngx_int_t  rc;

    rc = ngx_mesh_http_request(bytes, bytes + len);

    printf("%s\n", rc == NGX_OK ? "OK" : rc == NGX_AGAIN ? "AGAIN" : rc == NGX_DECLINED ? "DECLINED" : "?");
}

/* A line for a piece: what the parser of ClientHello returned, and where the name is. */

#include "ngx_mesh.h"

#include <stdio.h>
#include <stdlib.h>


void
report(u_char *bytes, size_t len)
{
    ngx_int_t  rc;
    ngx_str_t  name;

    rc = ngx_mesh_hello_server_name(bytes, bytes + len, &name);

    if (rc == NGX_OK && name.len > 0) {

        if (name.data < bytes || name.data + name.len > bytes + len) {
            fprintf(stderr, "the name lies outside of the bytes\n");
            exit(1);
        }

        printf("OK %zu %zu\n", (size_t) (name.data - bytes), name.len);
        return;
    }

    printf("%s\n", rc == NGX_OK ? "OK" : rc == NGX_AGAIN ? "AGAIN" : rc == NGX_DECLINED ? "DECLINED" : "?");
}

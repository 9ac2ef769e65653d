/* As much of nginx as the parsers of the module need, so that each compiles alone and with sanitizers. */

#ifndef NGX_MESH_H
#define NGX_MESH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

typedef intptr_t       ngx_int_t;
typedef unsigned char  u_char;

typedef struct {
    size_t   len;
    u_char  *data;
} ngx_str_t;

#define ngx_str_null(str)  (str)->len = 0; (str)->data = NULL

#define NGX_OK         0
#define NGX_AGAIN     -2
#define NGX_DECLINED  -5

ngx_int_t ngx_mesh_hello_server_name(u_char *p, u_char *last, ngx_str_t *name);
ngx_int_t ngx_mesh_http_request(u_char *p, u_char *last);

/* Writes a line about one piece of bytes. */
void report(u_char *bytes, size_t len);

#endif

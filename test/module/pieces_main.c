/*
 * Reads pieces of bytes from standard input, each after its length (4 bytes, big-endian), and reports on each. Each piece
 * has a block of memory of exactly its size, so that the address sanitizer notices a read of one byte too many.
 */

#include "ngx_mesh.h"

#include <stdio.h>
#include <stdlib.h>


int
main(void)
{
    size_t   len;
    u_char   head[4], *bytes;

    while (fread(head, 1, 4, stdin) == 4) {

        len = ((size_t) head[0] << 24) | ((size_t) head[1] << 16) | ((size_t) head[2] << 8) | head[3];

        bytes = malloc(len);
        if (bytes == NULL && len > 0) {
            return 1;
        }

        if (fread(bytes, 1, len, stdin) != len) {
            fprintf(stderr, "input ended early\n");
            return 1;
        }

        report(bytes, len);
        free(bytes);
    }

    return 0;
}

/* HTTP/1.1 of the measured application: requests without bodies, two constant answers. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "app.h"

#define SMALL 128
#define LARGE 65536

struct answer {
    unsigned char bytes[LARGE + 256];
    size_t length;
};

static struct answer small, large;

static void prepare(struct answer *answer, const char *name, size_t body)
{
    int head = snprintf((char *) answer->bytes, 256,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body);
    size_t named = strlen(name) < body ? strlen(name) : body - 1;

    memset(answer->bytes + head, '.', body);
    memcpy(answer->bytes + head, name, named);
    answer->bytes[(size_t) head + named] = '\n';
    answer->length = (size_t) head + body;
}

void app_http1_init(const char *name)
{
    prepare(&small, name, SMALL);
    prepare(&large, name, LARGE);
}

long app_http1(struct connection *c, const unsigned char *data, size_t length)
{
    size_t used = 0;

    while (used < length) {
        const unsigned char *request = data + used;
        const unsigned char *end = memmem(request, length - used, "\r\n\r\n", 4);
        const struct answer *answer = &small;

        if (end == NULL) {
            break;
        }
        if (memcmp(request, "GET /large ", 11) == 0) {
            answer = &large;
        } else if (memcmp(request, "GET /stall ", 11) == 0) {
            app_stall();
        } else if (memcmp(request, "GET ", 4) != 0) {
            return -1;
        }
        if (app_send(c, answer->bytes, answer->length) < 0) {
            return -1;
        }
        used += (size_t) (end + 4 - request);
    }
    return (long) used;
}

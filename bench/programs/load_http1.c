/* HTTP/1.1: one request at a time on a connection, answers with Content-Length. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

static unsigned char request[1024];
static size_t request_length;
static uint32_t expected;

static void prepare(const struct options *options)
{
    request_length = (size_t) snprintf((char *) request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                                       options->path, options->authority);
    expected = options->expect;
}

static void connected(struct client *client)
{
    (void) client;
}

static void send_request(struct slot *slot)
{
    load_send(slot->client, request, request_length);
}

static int64_t body_length(const unsigned char *head, size_t length)
{
    const char *line = (const char *) head, *end = line + length;

    if (length < 12 || memcmp(head, "HTTP/1.1 200", 12) != 0) {
        load_fail("the answer is not 200: %.*s", (int) (length < 200 ? length : 200), line);
    }
    while (line != NULL && line < end) {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            return atoll(line + 15);
        }
        line = memchr(line, '\n', (size_t) (end - line));
        line = line == NULL ? NULL : line + 1;
    }
    load_fail("the answer has no Content-Length");
}

static size_t answer(struct client *client, const unsigned char *data, size_t length)
{
    size_t used = 0, body;
    const unsigned char *end;

    if (client->body_left < 0) {
        end = memmem(data, length, "\r\n\r\n", 4);
        if (end == NULL) {
            return 0;
        }
        used = (size_t) (end + 4 - data);
        client->body_left = body_length(data, used);
        if (client->body_left != expected) {
            load_fail("the answer has %lld bytes instead of %u", (long long) client->body_left, expected);
        }
    }
    body = length - used;
    if ((int64_t) body > client->body_left) {
        load_fail("more bytes than the answer has");
    }
    client->body_left -= (int64_t) body;
    if (client->body_left == 0) {
        client->body_left = -1;
        load_done(&client->slots[0]);
    }
    return length;
}

const struct protocol load_http1 = { "http", 1, prepare, connected, send_request, answer };

/* TCP: a message of so many bytes there and back again; the bytes that come back are compared. */
#include <string.h>

#include "load.h"

#define LARGEST 16384

static unsigned char message[LARGEST];
static uint32_t message_length;

static void prepare(const struct options *options)
{
    uint32_t i;

    message_length = options->expect;
    if (message_length < 1 || message_length > LARGEST) {
        load_fail("tcp: -e must be 1 to %d", LARGEST);
    }
    for (i = 0; i < message_length; i++) {
        message[i] = (unsigned char) (i * 31 + i / 256);
    }
}

static void connected(struct client *client)
{
    (void) client;
}

static void send_request(struct slot *slot)
{
    load_send(slot->client, message, message_length);
}

static size_t answer(struct client *client, const unsigned char *data, size_t length)
{
    if (length < message_length) {
        return 0;
    }
    if (length > message_length || memcmp(data, message, message_length) != 0) {
        load_fail("the echo differs from what was sent");
    }
    load_done(&client->slots[0]);
    return length;
}

const struct protocol load_tcp = { "tcp", 1, prepare, connected, send_request, answer };

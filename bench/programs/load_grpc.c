/*
 * gRPC unary over HTTP/2 with prior knowledge, several calls on one connection. The answer must be one message of the expected
 * length and trailers; header blocks are not decoded (a call that fails has no message, which is noticed).
 */
#include "http2.h"
#include "load.h"

/* Whatever the method, the request is one message of so many bytes. */
#define MESSAGE 64

static unsigned char request[512];
static size_t request_length, data_at;
static uint32_t expected;

static void prepare(const struct options *options)
{
    unsigned char *block = request + H2_FRAME_HEADER, *end = block;

    if (strlen(options->path) > 100 || strlen(options->authority) > 100) {
        load_fail("grpc: path and authority may have 100 bytes");
    }
    *end++ = 0x83;                     /* :method POST */
    *end++ = 0x86;                     /* :scheme http */
    end = h2_field(end, 4, options->path);
    end = h2_field(end, 1, options->authority);
    end = h2_content_type_grpc(end);
    end = h2_named_field(end, "te", "trailers");
    h2_frame(request, (size_t) (end - block), H2_HEADERS, H2_END_HEADERS, 0);
    data_at = (size_t) (end - request);
    end = h2_frame(end, GRPC_PREFIX + MESSAGE, H2_DATA, H2_END_STREAM, 0);
    *end++ = 0;
    end = h2_put32(end, MESSAGE);
    memset(end, '.', MESSAGE);
    request_length = (size_t) (end + MESSAGE - request);
    expected = options->expect + GRPC_PREFIX;
}

static void connected(struct client *client)
{
    unsigned char hello[64], *end = hello;

    memcpy(end, H2_PREFACE, H2_PREFACE_LENGTH);
    end = h2_frame(end + H2_PREFACE_LENGTH, 0, H2_SETTINGS, 0, 0);
    end = h2_window_update(end, 0, H2_WINDOW);
    load_send(client, hello, (size_t) (end - hello));
}

static void send_request(struct slot *slot)
{
    slot->stream = slot->client->next_stream;
    slot->client->next_stream += 2;
    slot->received = 0;
    h2_put32(request + 5, slot->stream);
    h2_put32(request + data_at + 5, slot->stream);
    load_send(slot->client, request, request_length);
}

static struct slot *slot_of(struct client *client, uint32_t stream)
{
    int i;

    for (i = 0; i < client->streams; i++) {
        if (client->slots[i].stream == stream) {
            return &client->slots[i];
        }
    }
    load_fail("a frame of stream %u, which is not open", stream);
}

static void count_received(struct client *client, uint32_t length)
{
    unsigned char update[16];

    client->received += length;
    if (client->received >= H2_WINDOW_STEP) {
        load_send(client, update, (size_t) (h2_window_update(update, 0, client->received) - update));
        client->received = 0;
    }
}

static void take_stream_frame(struct client *client, const unsigned char *frame, uint32_t length)
{
    struct slot *slot = slot_of(client, h2_get32(frame + 5) & 0x7fffffff);

    if (frame[3] == H2_DATA) {
        if (frame[4] & H2_PADDED) {
            load_fail("padded frames are not expected");
        }
        slot->received += length;
        count_received(client, length);
    }
    if (frame[4] & H2_END_STREAM) {
        if (slot->received != expected) {
            load_fail("the answer has %u bytes instead of %u", slot->received, expected);
        }
        load_done(slot);
    }
}

static void take_frame(struct client *client, const unsigned char *frame, uint32_t length)
{
    unsigned char ack[H2_FRAME_HEADER + 8];

    switch (frame[3]) {
    case H2_SETTINGS:
        if (!(frame[4] & H2_ACK)) {
            h2_frame(ack, 0, H2_SETTINGS, H2_ACK, 0);
            load_send(client, ack, H2_FRAME_HEADER);
        }
        return;
    case H2_PING:
        if (!(frame[4] & H2_ACK)) {
            memcpy(h2_frame(ack, 8, H2_PING, H2_ACK, 0), frame + H2_FRAME_HEADER, 8);
            load_send(client, ack, sizeof(ack));
        }
        return;
    case H2_GOAWAY:
    case H2_RST_STREAM:
        load_fail("frame of type %d: error %u", frame[3],
                  h2_get32(frame + H2_FRAME_HEADER + (frame[3] == H2_GOAWAY ? 4 : 0)));
    case H2_DATA:
    case H2_HEADERS:
        take_stream_frame(client, frame, length);
        return;
    default:
        return;
    }
}

static size_t answer(struct client *client, const unsigned char *data, size_t length)
{
    size_t used = 0;

    while (length - used >= H2_FRAME_HEADER) {
        uint32_t frame_length = h2_get32(data + used) >> 8;

        if (frame_length > H2_MAX_FRAME) {
            load_fail("a frame of %u bytes", frame_length);
        }
        if (length - used < H2_FRAME_HEADER + frame_length) {
            break;
        }
        take_frame(client, data + used, frame_length);
        used += H2_FRAME_HEADER + frame_length;
    }
    return used;
}

const struct protocol load_grpc = { "grpc", LOAD_MAX_STREAMS, prepare, connected, send_request, answer };

/*
 * gRPC of the measured application: whatever the method, when the request has ended the answer is one constant message and
 * status 0. Header blocks are not decoded, because nothing in them changes the answer.
 */
#include "app.h"
#include "http2.h"

#define MESSAGE 128

static unsigned char answer[512];
static size_t answer_length, data_at, trailers_at;

void app_grpc_init(const char *name)
{
    unsigned char *at = answer, *block = at + H2_FRAME_HEADER;
    unsigned char *end;
    size_t named = strlen(name) < MESSAGE ? strlen(name) : MESSAGE - 1;

    *block = 0x88;                     /* :status 200 */
    end = h2_content_type_grpc(block + 1);
    h2_frame(at, (size_t) (end - block), H2_HEADERS, H2_END_HEADERS, 0);

    data_at = (size_t) (end - answer);
    at = h2_frame(end, GRPC_PREFIX + MESSAGE, H2_DATA, 0, 0);
    *at = 0;
    at = h2_put32(at + 1, MESSAGE);
    memset(at, '.', MESSAGE);
    memcpy(at, name, named);
    at[named] = '\n';
    at += MESSAGE;

    trailers_at = (size_t) (at - answer);
    end = h2_named_field(at + H2_FRAME_HEADER, "grpc-status", "0");
    h2_frame(at, (size_t) (end - at) - H2_FRAME_HEADER, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 0);
    answer_length = (size_t) (end - answer);
}

static int reply(struct connection *c, uint32_t stream)
{
    c->send_window -= GRPC_PREFIX + MESSAGE;
    if (c->send_window < 0) {
        return -1;                     /* a proxy that gives no window: not what is measured here */
    }
    h2_put32(answer + 5, stream);
    h2_put32(answer + data_at + 5, stream);
    h2_put32(answer + trailers_at + 5, stream);
    return app_send(c, answer, answer_length);
}

static int greet(struct connection *c)
{
    unsigned char hello[64], *at;

    c->send_window = 65535;
    at = h2_frame(hello, 0, H2_SETTINGS, 0, 0);
    at = h2_window_update(at, 0, H2_WINDOW);
    return app_send(c, hello, (size_t) (at - hello));
}

static int count_received(struct connection *c, uint32_t length)
{
    unsigned char update[16], *end;

    c->received += length;
    if (c->received < H2_WINDOW_STEP) {
        return 0;
    }
    end = h2_window_update(update, 0, c->received);
    c->received = 0;
    return app_send(c, update, (size_t) (end - update));
}

static int take_frame(struct connection *c, const unsigned char *frame, uint32_t length)
{
    unsigned char ack[H2_FRAME_HEADER + 8];
    int type = frame[3], flags = frame[4];
    uint32_t stream = h2_get32(frame + 5) & 0x7fffffff;

    switch (type) {
    case H2_SETTINGS:
        if (flags & H2_ACK) {
            return 0;
        }
        h2_frame(ack, 0, H2_SETTINGS, H2_ACK, 0);
        return app_send(c, ack, H2_FRAME_HEADER);
    case H2_PING:
        if (flags & H2_ACK) {
            return 0;
        }
        memcpy(h2_frame(ack, 8, H2_PING, H2_ACK, 0), frame + H2_FRAME_HEADER, 8);
        return app_send(c, ack, sizeof(ack));
    case H2_WINDOW_UPDATE:
        if (stream == 0) {
            c->send_window += h2_get32(frame + H2_FRAME_HEADER) & 0x7fffffff;
        }
        return 0;
    case H2_GOAWAY:
        return -1;
    case H2_DATA:
        if (count_received(c, length) < 0) {
            return -1;
        }
        return flags & H2_END_STREAM ? reply(c, stream) : 0;
    case H2_HEADERS:
        return flags & H2_END_STREAM ? reply(c, stream) : 0;
    default:
        return 0;
    }
}

long app_grpc(struct connection *c, const unsigned char *data, size_t length)
{
    size_t used = 0;

    if (!c->preface_seen) {
        if (length < H2_PREFACE_LENGTH) {
            return 0;
        }
        if (memcmp(data, H2_PREFACE, H2_PREFACE_LENGTH) != 0 || greet(c) < 0) {
            return -1;
        }
        c->preface_seen = 1;
        used = H2_PREFACE_LENGTH;
    }
    while (length - used >= H2_FRAME_HEADER) {
        uint32_t frame_length = h2_get32(data + used) >> 8;

        if (frame_length > H2_MAX_FRAME) {
            return -1;
        }
        if (length - used < H2_FRAME_HEADER + frame_length) {
            break;
        }
        if (take_frame(c, data + used, frame_length) < 0) {
            return -1;
        }
        used += H2_FRAME_HEADER + frame_length;
    }
    return (long) used;
}

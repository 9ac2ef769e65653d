/* The measured application: one thread, no allocation per request, so that it costs the machine as little as possible. */
#ifndef BENCH_APP_H
#define BENCH_APP_H

#include <stddef.h>
#include <stdint.h>

#define APP_BUFFER 65536

struct connection;

/* Takes what has been read; returns how many bytes it used, or -1 to close the connection. */
typedef long (*protocol_fn)(struct connection *c, const unsigned char *data, size_t length);

struct connection {
    int fd;
    protocol_fn protocol;
    int preface_seen;
    int64_t send_window;
    uint32_t received;
    size_t filled;
    unsigned char *pending;
    size_t pending_length;
    int watching_output;
    unsigned char buffer[APP_BUFFER];
};

/* Sends now what the socket takes and keeps the rest; returns -1 when the connection is broken. */
int app_send(struct connection *c, const unsigned char *data, size_t length);

long app_http1(struct connection *c, const unsigned char *data, size_t length);
long app_grpc(struct connection *c, const unsigned char *data, size_t length);
long app_echo(struct connection *c, const unsigned char *data, size_t length);

/* Prepares the constant answers; `name` is what the bodies begin with. */
void app_http1_init(const char *name);
void app_grpc_init(const char *name);

/* Milliseconds that the whole application stands still when asked for "/stall"; for the tests of the generator. */
void app_stall(void);

#endif

/* The load generator's seams: main schedules requests and counts, a protocol writes them and reads the answers. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_BUFFER (256 * 1024)
#define LOAD_MAX_STREAMS 128

struct options;

struct slot {
    struct client *client;
    /* When the request was due, in nanoseconds; waiting for a free slot counts as the server's time. */
    uint64_t due;
    uint32_t stream;
    uint32_t received;
};

struct client {
    int fd;
    int streams;
    uint32_t next_stream;
    uint32_t received;
    int64_t body_left;
    size_t filled;
    struct slot slots[LOAD_MAX_STREAMS];
    unsigned char buffer[LOAD_BUFFER];
};

struct protocol {
    const char *name;
    /* Most requests that may be under way on one connection. */
    int max_streams;
    void (*prepare)(const struct options *options);
    void (*connected)(struct client *client);
    void (*request)(struct slot *slot);
    /* Takes what has been read, calls load_done for each answer; returns how many bytes it used. */
    size_t (*answer)(struct client *client, const unsigned char *data, size_t length);
};

struct options {
    const struct protocol *protocol;
    const char *authority;
    const char *path;
    uint32_t expect;
    int connections;
    int streams;
    double rate;
    double warm_up;
    double seconds;
};

extern const struct protocol load_http1, load_grpc, load_tcp;

void load_done(struct slot *slot);
void load_send(struct client *client, const unsigned char *data, size_t length);

/* A wrong or missing answer ends the measurement: figures with errors in them compare nothing. */
__attribute__((noreturn, format(printf, 1, 2))) void load_fail(const char *format, ...);

/* Latencies in nanoseconds, to better than 1 %. */
void histogram_add(uint64_t nanoseconds);
void histogram_reset(void);
uint64_t histogram_count(void);
double histogram_mean(void);
uint64_t histogram_percentile(double percent);
uint64_t histogram_max(void);

#endif

/*
 * app: what is measured through the proxies.
 *
 *   app [-n NAME] [-a ADDRESS]
 *
 * Port 8080: HTTP/1.1, GET /small (128 bytes) and /large (64 KiB). Port 9090: gRPC over HTTP/2, any method, answers one
 * message of 128 bytes. Port 7000: echo. The bodies begin with NAME and a line feed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app.h"

struct listener {
    int fd;
    protocol_fn protocol;
};

static int poller;

static void watch(int fd, void *who, uint32_t events, int operation)
{
    struct epoll_event event = { .events = events, .data.ptr = who };

    if (epoll_ctl(poller, operation, fd, &event) < 0) {
        perror("app: epoll_ctl");
        exit(1);
    }
}

static void watch_output(struct connection *c, int on)
{
    if (c->watching_output != on) {
        c->watching_output = on;
        watch(c->fd, c, EPOLLIN | (on ? EPOLLOUT : 0), EPOLL_CTL_MOD);
    }
}

int app_send(struct connection *c, const unsigned char *data, size_t length)
{
    unsigned char *grown;
    ssize_t sent = 0;

    if (c->pending_length == 0) {
        sent = send(c->fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return -1;
        }
        sent = sent < 0 ? 0 : sent;
    }
    if ((size_t) sent == length) {
        return 0;
    }
    grown = realloc(c->pending, c->pending_length + length - (size_t) sent);
    if (grown == NULL) {
        return -1;
    }
    c->pending = grown;
    memcpy(c->pending + c->pending_length, data + sent, length - (size_t) sent);
    c->pending_length += length - (size_t) sent;
    watch_output(c, 1);
    return 0;
}

static int flush_pending(struct connection *c)
{
    ssize_t sent = send(c->fd, c->pending, c->pending_length, MSG_NOSIGNAL);

    if (sent < 0) {
        return errno == EAGAIN ? 0 : -1;
    }
    memmove(c->pending, c->pending + sent, c->pending_length - (size_t) sent);
    c->pending_length -= (size_t) sent;
    if (c->pending_length == 0) {
        watch_output(c, 0);
    }
    return 0;
}

long app_echo(struct connection *c, const unsigned char *data, size_t length)
{
    return app_send(c, data, length) < 0 ? -1 : (long) length;
}

void app_stall(void)
{
    struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };

    nanosleep(&pause, NULL);
}

static int read_some(struct connection *c)
{
    ssize_t got = recv(c->fd, c->buffer + c->filled, sizeof(c->buffer) - c->filled, 0);
    long used;

    if (got < 0 && errno == EAGAIN) {
        return 0;
    }
    if (got <= 0) {
        return -1;
    }
    c->filled += (size_t) got;
    used = c->protocol(c, c->buffer, c->filled);
    if (used < 0 || (used == 0 && c->filled == sizeof(c->buffer))) {
        return -1;
    }
    c->filled -= (size_t) used;
    if (c->filled > 0 && used > 0) {
        memmove(c->buffer, c->buffer + used, c->filled);
    }
    return 0;
}

static void serve(struct connection *c, uint32_t events)
{
    int broken = 0;

    if (events & EPOLLOUT) {
        broken = flush_pending(c);
    }
    if (broken == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        broken = read_some(c);
    }
    if (broken < 0) {
        close(c->fd);
        free(c->pending);
        free(c);
    }
}

static void accept_one(struct listener *from)
{
    int one = 1, fd = accept4(from->fd, NULL, NULL, SOCK_NONBLOCK);
    struct connection *c;

    if (fd < 0) {
        return;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->fd = fd;
    c->protocol = from->protocol;
    watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
}

static void listen_on(struct listener *l, const char *address, int port, protocol_fn protocol)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    int one = 1;

    l->protocol = protocol;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1 || bind(l->fd, (struct sockaddr *) &name, sizeof(name)) < 0
        || listen(l->fd, 4096) < 0) {
        fprintf(stderr, "app: cannot listen on %s:%d: %s\n", address, port, strerror(errno));
        exit(1);
    }
    watch(l->fd, l, EPOLLIN, EPOLL_CTL_ADD);
}

int main(int argc, char **argv)
{
    const char *name = "app", *address = "0.0.0.0";
    struct listener listeners[3];
    struct epoll_event events[64];
    int option, count, i;

    while ((option = getopt(argc, argv, "n:a:")) != -1) {
        switch (option) {
        case 'n':
            name = optarg;
            break;
        case 'a':
            address = optarg;
            break;
        default:
            return 2;
        }
    }
    app_http1_init(name);
    app_grpc_init(name);
    poller = epoll_create1(0);
    listen_on(&listeners[0], address, 8080, app_http1);
    listen_on(&listeners[1], address, 9090, app_grpc);
    listen_on(&listeners[2], address, 7000, app_echo);
    for ( ;; ) {
        count = epoll_wait(poller, events, 64, -1);
        for (i = 0; i < count; i++) {
            struct listener *l = events[i].data.ptr;

            if (l >= listeners && l < listeners + 3) {
                accept_one(l);
            } else {
                serve(events[i].data.ptr, events[i].events);
            }
        }
    }
}

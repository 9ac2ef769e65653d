/*
 * load: requests over kept-alive connections, as fast as answers come or at a constant rate.
 *
 *   load -p http|grpc|tcp -t ADDRESS:PORT [-t …] [-c CONNECTIONS] [-m STREAMS] [-r RATE] [-w WARM-UP] [-d SECONDS]
 *        [-u PATH] [-H AUTHORITY] [-e BYTES]
 *
 * Connections are spread over the targets. Every answer is checked (status, and BYTES of body); the first wrong one ends the
 * program with status 1. At a constant rate a request's time counts from when it was due, so that an answer that
 * comes late also delays those that had to wait for it in the figures ("coordinated omission"). Prints one line of JSON: times in
 * microseconds; `total` includes the warm-up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define MAX_TARGETS 128
#define SECOND 1000000000ull

static struct options options = { .path = "/", .authority = "bench", .connections = 32, .streams = 1, .seconds = 5 };
static struct sockaddr_in targets[MAX_TARGETS];
static int target_count;
static int poller;

/* Slots without a request under way: first freed, first used, so that all connections take part. */
static struct slot **free_slots;
static size_t free_first, free_count, slot_count;

static uint64_t now, next_due, total;
static double interval, due_exactly;

void load_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t clock_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t) time.tv_sec * SECOND + (uint64_t) time.tv_nsec;
}

void load_send(struct client *client, const unsigned char *data, size_t length)
{
    ssize_t sent = send(client->fd, data, length, MSG_NOSIGNAL);

    if (sent != (ssize_t) length) {
        load_fail("a request of %zu bytes was not taken at once: %s", length, sent < 0 ? strerror(errno) : "partly");
    }
}

void load_done(struct slot *slot)
{
    total++;
    histogram_add(now > slot->due ? now - slot->due : 0);
    if (options.rate == 0) {
        slot->due = now;
        options.protocol->request(slot);
        return;
    }
    free_slots[(free_first + free_count++) % slot_count] = slot;
}

static void start_due_requests(void)
{
    while (next_due <= now && free_count > 0) {
        struct slot *slot = free_slots[free_first];

        free_first = (free_first + 1) % slot_count;
        free_count--;
        slot->due = next_due;
        due_exactly += interval;
        next_due = (uint64_t) due_exactly;
        options.protocol->request(slot);
    }
}

static struct client *open_client(const struct sockaddr_in *target)
{
    struct client *client = calloc(1, sizeof(*client));
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    int one = 1, i;

    if (client == NULL) {
        load_fail("out of memory");
    }
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client->fd, (const struct sockaddr *) target, sizeof(*target)) < 0) {
        load_fail("cannot connect to %s:%d: %s", inet_ntoa(target->sin_addr), ntohs(target->sin_port), strerror(errno));
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event);
    client->streams = options.streams;
    client->next_stream = 1;
    client->body_left = -1;
    options.protocol->connected(client);
    for (i = 0; i < client->streams; i++) {
        client->slots[i].client = client;
        free_slots[free_count++] = &client->slots[i];
    }
    return client;
}

static void read_client(struct client *client)
{
    ssize_t got = recv(client->fd, client->buffer + client->filled, sizeof(client->buffer) - client->filled, MSG_DONTWAIT);
    size_t used;

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        load_fail("the connection was closed: %s", got < 0 ? strerror(errno) : "end of file");
    }
    client->filled += (size_t) got;
    used = options.protocol->answer(client, client->buffer, client->filled);
    client->filled -= used;
    if (client->filled > 0 && used > 0) {
        memmove(client->buffer, client->buffer + used, client->filled);
    }
}

/* Waits for answers, but not past the time when the next request is due. */
static int wait_for(struct epoll_event *events, int most, uint64_t until)
{
    struct timespec timeout = { .tv_sec = 0 };

    if (options.rate > 0 && free_count > 0 && next_due < until) {
        until = next_due;
    }
    if (until > now) {
        timeout.tv_sec = (time_t) ((until - now) / SECOND);
        timeout.tv_nsec = (long) ((until - now) % SECOND);
    }
    return epoll_pwait2(poller, events, most, &timeout, NULL);
}

static void run_until(uint64_t end)
{
    struct epoll_event events[256];
    int count, i;

    while (now < end) {
        count = wait_for(events, 256, end);
        now = clock_now();
        for (i = 0; i < count; i++) {
            read_client(events[i].data.ptr);
        }
        if (options.rate > 0) {
            start_due_requests();
        }
    }
}

static void begin(void)
{
    size_t i;

    now = clock_now();
    if (options.rate > 0) {
        interval = (double) SECOND / options.rate;
        next_due = now;
        due_exactly = (double) now;
        return;
    }
    for (i = 0; i < slot_count; i++) {
        free_slots[i]->due = now;
        options.protocol->request(free_slots[i]);
    }
    free_count = 0;
}

static void report(double seconds)
{
    printf("{\"requests\":%llu,\"total\":%llu,\"seconds\":%.6f,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
           "\"p999\":%.1f,\"max\":%.1f}\n",
           (unsigned long long) histogram_count(), (unsigned long long) total, seconds, histogram_mean() / 1e3,
           (double) histogram_percentile(50) / 1e3, (double) histogram_percentile(90) / 1e3,
           (double) histogram_percentile(99) / 1e3, (double) histogram_percentile(99.9) / 1e3,
           (double) histogram_max() / 1e3);
}

static void add_target(char *text)
{
    char *colon = strrchr(text, ':');
    struct sockaddr_in *target = &targets[target_count];

    if (colon == NULL || target_count == MAX_TARGETS) {
        load_fail("-t takes ADDRESS:PORT, at most %d times", MAX_TARGETS);
    }
    *colon = '\0';
    target->sin_family = AF_INET;
    target->sin_port = htons((uint16_t) atoi(colon + 1));
    if (inet_pton(AF_INET, text, &target->sin_addr) != 1) {
        load_fail("\"%s\" is not an IPv4 address", text);
    }
    target_count++;
}

static void set_protocol(const char *name)
{
    static const struct protocol *all[] = { &load_http1, &load_grpc, &load_tcp };
    size_t i;

    for (i = 0; i < 3; i++) {
        if (strcmp(all[i]->name, name) == 0) {
            options.protocol = all[i];
            return;
        }
    }
    load_fail("unknown protocol \"%s\"", name);
}

static void read_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "p:t:c:m:r:w:d:u:H:e:")) != -1) {
        switch (option) {
        case 'p': set_protocol(optarg); break;
        case 't': add_target(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'm': options.streams = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'd': options.seconds = atof(optarg); break;
        case 'u': options.path = optarg; break;
        case 'H': options.authority = optarg; break;
        case 'e': options.expect = (uint32_t) atoi(optarg); break;
        default: load_fail("see the head of load.c for the options");
        }
    }
    if (options.protocol == NULL || target_count == 0 || options.connections < 1 || options.streams < 1) {
        load_fail("needs -p and -t");
    }
    if (options.streams > options.protocol->max_streams) {
        load_fail("%s: at most %d requests on one connection", options.protocol->name, options.protocol->max_streams);
    }
}

int main(int argc, char **argv)
{
    uint64_t started;
    int i;

    read_options(argc, argv);
    poller = epoll_create1(0);
    slot_count = (size_t) options.connections * (size_t) options.streams;
    free_slots = calloc(slot_count, sizeof(*free_slots));
    options.protocol->prepare(&options);
    for (i = 0; i < options.connections; i++) {
        open_client(&targets[i % target_count]);
    }
    begin();
    run_until(now + (uint64_t) (options.warm_up * (double) SECOND));
    histogram_reset();
    started = now;
    run_until(started + (uint64_t) (options.seconds * (double) SECOND));
    report((double) (now - started) / (double) SECOND);
    return 0;
}

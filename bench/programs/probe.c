/*
 * probe: tells when the answer of a service changes.
 *
 *   probe -t ADDRESS:PORT [-i MILLISECONDS]
 *
 * Sends GET /small every so many milliseconds over one kept-alive connection, and prints "TIME NAME" whenever the first line of the
 * body is another one than before; TIME is CLOCK_MONOTONIC in nanoseconds when the answer had arrived. Ends with status 1 at
 * the first answer that is not 200.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NAME_LENGTH 64
#define BODY 128

static void fail(const char *doing)
{
    fprintf(stderr, "probe: %s: %s\n", doing, errno ? strerror(errno) : "unexpected answer");
    exit(1);
}

static int open_connection(char *target)
{
    char *colon = strrchr(target, ':');
    struct sockaddr_in name = { .sin_family = AF_INET };
    struct timeval patience = { .tv_sec = 10 };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (colon == NULL) {
        fail("-t takes ADDRESS:PORT");
    }
    *colon = '\0';
    name.sin_port = htons((uint16_t) atoi(colon + 1));
    if (inet_pton(AF_INET, target, &name.sin_addr) != 1) {
        fail(target);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *) &name, sizeof(name)) < 0) {
        fail("connect");
    }
    return fd;
}

/* One request; copies the first line of the body. */
static void ask(int fd, char *name)
{
    static const char request[] = "GET /small HTTP/1.1\r\nHost: probe\r\n\r\n";
    char answer[4096], *body = NULL;
    size_t filled = 0, length;
    ssize_t got;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1) {
        fail("send");
    }
    while (body == NULL || filled - (size_t) (body - answer) < BODY) {
        got = recv(fd, answer + filled, sizeof(answer) - 1 - filled, 0);
        if (got <= 0) {
            errno = got == 0 ? ECONNRESET : errno;
            fail("receive");
        }
        filled += (size_t) got;
        answer[filled] = '\0';
        body = strstr(answer, "\r\n\r\n");
        body = body == NULL ? NULL : body + 4;
    }
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        errno = 0;
        fail(answer);
    }
    length = strcspn(body, "\n");
    length = length < NAME_LENGTH ? length : NAME_LENGTH - 1;
    memcpy(name, body, length);
    name[length] = '\0';
}

int main(int argc, char **argv)
{
    char name[NAME_LENGTH], last[NAME_LENGTH] = "", *target = NULL;
    struct timespec at;
    long interval = 10;
    int option, fd;

    while ((option = getopt(argc, argv, "t:i:")) != -1) {
        if (option == 't') {
            target = optarg;
        } else if (option == 'i') {
            interval = atol(optarg);
        } else {
            return 2;
        }
    }
    if (target == NULL) {
        fprintf(stderr, "probe: needs -t\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    fd = open_connection(target);
    for ( ;; ) {
        struct timespec pause = { .tv_sec = interval / 1000, .tv_nsec = interval % 1000 * 1000000 };

        ask(fd, name);
        if (strcmp(name, last) != 0) {
            clock_gettime(CLOCK_MONOTONIC, &at);
            printf("%lld%09ld %s\n", (long long) at.tv_sec, at.tv_nsec, name);
            strcpy(last, name);
        }
        nanosleep(&pause, NULL);
    }
}

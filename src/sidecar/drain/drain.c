/*
 * The sidecar's preStop hook: asks the sidecar to let its callers go, and returns when it has nothing under way. A hook
 * of HTTP would come from the node, and nobody but the pod itself may ask that of its sidecar.
 *
 * usage: drain PORT PATH     of the sidecar's status server
 *
 * Exit status: 0 when it has nothing under way, 1 when it does not answer so.
 */
#include <err.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Seconds: a little longer than the sidecar takes at most. */
#define PATIENCE  30

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *address;
    struct timeval patience = { .tv_sec = PATIENCE };
    char answer[1024];
    size_t length = 0;
    ssize_t count;
    int server;

    if (argc != 3 || getaddrinfo("127.0.0.1", argv[1], &hints, &address) != 0) {
        errx(1, "usage: drain PORT PATH");
    }

    server = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server == -1 || setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == -1) {
        err(1, "drain: socket");
    }
    if (connect(server, address->ai_addr, address->ai_addrlen) == -1) {
        err(1, "drain: connecting to the sidecar at 127.0.0.1:%s", argv[1]);
    }
    if (dprintf(server, "GET %s HTTP/1.0\r\n\r\n", argv[2]) < 0) {
        err(1, "drain: asking the sidecar");
    }

    while (length < sizeof(answer) - 1) {
        count = read(server, answer + length, sizeof(answer) - 1 - length);
        if (count == -1) {
            err(1, "drain: waiting for the sidecar's answer");
        }
        if (count == 0) {
            break;
        }
        length += count;
    }
    answer[length] = '\0';

    if (strstr(answer, " 200 ") != answer + sizeof("HTTP/1.1") - 1) {
        errx(1, "drain: the sidecar answers: %.*s", (int) strcspn(answer, "\r\n"), answer);
    }
    return 0;
}

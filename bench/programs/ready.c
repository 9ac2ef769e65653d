/*
 * ready: waits until GET / on a port of 127.0.0.1 is answered with 200, asking every millisecond, and prints when that was:
 * CLOCK_BOOTTIME in nanoseconds, the clock in which /proc gives the start times of processes.
 *
 *   ready PORT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int answers(int port)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    struct timeval patience = { .tv_sec = 1 };
    char status[13] = "";
    int yes, fd = socket(AF_INET, SOCK_STREAM, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    yes = connect(fd, (struct sockaddr *) &name, sizeof(name)) == 0
          && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == sizeof(request) - 1
          && recv(fd, status, 12, MSG_WAITALL) == 12 && strcmp(status + 8, " 200") == 0;
    close(fd);
    return yes;
}

int main(int argc, char **argv)
{
    struct timespec now, pause = { .tv_nsec = 1000000 };
    int tries;

    if (argc != 2) {
        fprintf(stderr, "ready: needs a port\n");
        return 2;
    }
    for (tries = 0; tries < 30000; tries++) {
        if (answers(atoi(argv[1]))) {
            clock_gettime(CLOCK_BOOTTIME, &now);
            printf("%lld%09ld\n", (long long) now.tv_sec, now.tv_nsec);
            return 0;
        }
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "ready: port %s did not answer with 200\n", argv[1]);
    return 1;
}

/*
 * The init container of the mesh: runs programs (iptables-restore) one after the other to their ends, then waits until the sidecar of
 * the pod says that it is ready, so that nothing of the pod starts earlier. It waits without end, as another attempt would find the same.
 *
 * usage: nginx-mesh-init PORT PROGRAM ARGUMENT... [-- PROGRAM ARGUMENT...]...
 *     PORT: that of the sidecar's state, on 127.0.0.1; 0: it does not wait
 *
 * Exit status: that of the first program that fails; 128 + n when signal n ended it; 125 when it could not be started.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_INIT 125
#define LONGEST_ANSWER (256 * 1024)
#define LONGEST_REASON 500

/* Milliseconds: between two questions at first, later, and much later; and what "later" is. */
#define SOON 10
#define LATER 100
#define MUCH_LATER 500
#define FIRST_SECONDS 1
#define LONG_SECONDS 30

extern char **environ;

static void end(int signal_number)
{
    _exit(128 + signal_number);
}

/* Process 1 of a container has no default actions. */
static void end_on(int signal_number)
{
    struct sigaction action = { .sa_handler = end };

    sigaction(signal_number, &action, NULL);
}

static void run(char **command)
{
    pid_t child;
    int status, error = posix_spawn(&child, command[0], NULL, NULL, command, environ);

    if (error != 0) {
        errno = error;
        err(EXIT_INIT, "cannot start %s", command[0]);
    }
    while (waitpid(child, &status, 0) == -1) {
        if (errno != EINTR) {
            err(EXIT_INIT, "cannot wait for %s", command[0]);
        }
    }
    if (WIFSIGNALED(status)) {
        exit(128 + WTERMSIG(status));
    }
    if (WEXITSTATUS(status) != 0) {
        exit(WEXITSTATUS(status));
    }
}

/* The answer to GET / as text, and its length; -1 with errno when there is none. */
static ssize_t ask(unsigned short port, char *answer, size_t size)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval patience = { .tv_sec = 2 };
    size_t length = 0;
    ssize_t n = -1;
    int error, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *) &address, sizeof address) == 0
        && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1)
    {
        do {
            n = recv(fd, answer + length, size - 1 - length, 0);
            length += n > 0 ? (size_t) n : 0;
        } while (n > 0 && length < size - 1);
    }
    error = errno;
    close(fd);
    errno = error;
    answer[length] = '\0';
    return n < 0 ? -1 : (ssize_t) length;
}

/* Text between `before` and the next `after`; what there is when that is missing. */
static void part(const char *text, const char *before, char after, char *to, size_t size)
{
    const char *start = strstr(text, before);
    size_t length = 0;

    start = start == NULL ? text : start + strlen(before);
    while (start[length] != '\0' && (start[length] != after || (length > 0 && start[length - 1] == '\\'))) {
        length++;
    }
    snprintf(to, size, "%.*s", (int) (length < size ? length : size - 1), start);
}

static int is_ready(unsigned short port, char *reason, size_t size)
{
    static char answer[LONGEST_ANSWER];

    if (ask(port, answer, sizeof answer) == -1) {
        snprintf(reason, size, "no answer from 127.0.0.1:%u: %s", port, strerror(errno));
        return 0;
    }
    if (strncmp(answer, "HTTP/1.", 7) == 0 && strncmp(answer + 8, " 200 ", 5) == 0) {
        return 1;
    }
    if (strstr(answer, "\"reason\":\"") != NULL) {
        part(answer, "\"reason\":\"", '"', reason, size);
    } else {
        part(answer, " ", '\r', reason, size);
    }
    return 0;
}

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static void wait_for(unsigned short port)
{
    char reason[LONGEST_REASON], told[LONGEST_REASON] = "";
    long long start = now(), waited;

    while (!is_ready(port, reason, sizeof reason)) {
        waited = now() - start;
        if (waited > FIRST_SECONDS * 1000 && strcmp(reason, told) != 0) {
            printf("waiting for the sidecar: %s\n", reason);
            fflush(stdout);
            strcpy(told, reason);
        }
        usleep(1000 * (waited < FIRST_SECONDS * 1000 ? SOON : waited < LONG_SECONDS * 1000 ? LATER : MUCH_LATER));
    }
    if (told[0] != '\0') {
        printf("the sidecar is ready after %.1f s\n", (now() - start) / 1000.0);
    }
}

/* Each command of a list that has "--" between them. */
static void run_all(char **commands)
{
    char **next = commands;

    while (*next != NULL) {
        char **end = next;

        while (*end != NULL && strcmp(*end, "--") != 0) {
            end++;
        }
        char *after = *end;

        *end = NULL;
        if (end == next) {
            errx(EXIT_INIT, "a program is missing before or after --");
        }
        run(next);
        next = after == NULL ? end : end + 1;
    }
}

int main(int argc, char **argv)
{
    char *rest = NULL;
    unsigned long port = argc < 3 ? 0 : strtoul(argv[1], &rest, 10);

    if (rest == NULL || rest == argv[1] || *rest != '\0' || port > 65535) {
        errx(EXIT_INIT, "usage: nginx-mesh-init PORT PROGRAM ARGUMENT... [-- PROGRAM ARGUMENT...]...");
    }
    end_on(SIGTERM);
    end_on(SIGINT);
    run_all(argv + 2);
    if (port != 0) {
        wait_for((unsigned short) port);
    }
    return 0;
}

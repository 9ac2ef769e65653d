/* Users, capabilities, signals and the ends of processes. */
#include "launcher.h"

#include <err.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t target;

static void pass_on(int number)
{
    int saved = errno;

    if (target > 0) {
        kill(target, number);
    }
    errno = saved;
}

static const int passed_on[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };

void reset_signals(void)
{
    size_t i;

    for (i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
        signal(passed_on[i], SIG_DFL);
    }
}

void reap_until(pid_t child)
{
    struct sigaction action;
    size_t i;

    target = child;
    memset(&action, 0, sizeof(action));
    action.sa_handler = pass_on;
    action.sa_flags = SA_RESTART;
    for (i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
        sigaction(passed_on[i], &action, NULL);
    }
    for ( ;; ) {
        int status;
        pid_t ended = waitpid(-1, &status, 0);

        if (ended == -1 && errno != EINTR) {
            exit(EXIT_LAUNCHER);
        }
        if (ended != child) {
            continue;
        }
        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
}

/* None permitted, none inheritable, none to be had from a file: capabilities(7). */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1
        || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || syscall(SYS_capset, &header, data) == -1)
    {
        err(EXIT_LAUNCHER, "cannot drop capabilities");
    }
}

static void empty_bounding_set(void)
{
    unsigned long capability;

    for (capability = 0; capability <= 63; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == -1 && errno != EINVAL) {
            err(EXIT_LAUNCHER, "cannot drop capability %lu", capability);
        }
    }
}

static void raise_open_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void become_user(const struct plan *plan)
{
    unsigned int uid, gid;

    if (plan->drop_capabilities) {
        raise_open_files();
        empty_bounding_set();
    }
    if (plan->user != NULL) {
        if (sscanf(plan->user, "%u:%u", &uid, &gid) != 2) {
            errx(EXIT_LAUNCHER, "--user needs UID:GID");
        }
        if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1) {
            err(EXIT_LAUNCHER, "cannot become user %u and group %u", uid, gid);
        }
    }
    if (plan->drop_capabilities) {
        drop_capabilities();
    }
}

void close_files_from(unsigned int first)
{
    syscall(SYS_close_range, first, ~0u, 0u);
}

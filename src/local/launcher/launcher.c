/*
 * Starts one process of local mode in the namespaces, with the root file system, the user and the limits that its
 * flags say, without a shell and without intermediate programs. Everything it makes belongs to a namespace that ends
 * with its last process, so nothing is left to clean up; with --die-with-parent not even after a SIGKILL.
 *
 * usage: launcher [flags] -- command argument...     (flags: see options[] below)
 *
 * Exit status: the command's own; 128 + n when signal n ended it; 125 when the launcher itself failed, 126 or 127 when
 * the command could not be started.
 */
#include "launcher.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OPT_DIE = 1, OPT_LOCK, OPT_NEW_NODE, OPT_NET, OPT_HOSTNAME, OPT_ENTER, OPT_NEW_PID, OPT_INIT, OPT_ROOT,
    OPT_OVERLAY, OPT_SCRATCH, OPT_BIND, OPT_TMPFS, OPT_MASK, OPT_CWD, OPT_USER, OPT_DROP
};

static const struct option options[] = {
    { "die-with-parent", no_argument, 0, OPT_DIE },      /* SIGKILL to all when the parent ends */
    { "lock", required_argument, 0, OPT_LOCK },          /* FILE: fail unless it can be locked; kept by the command */
    { "new-node", no_argument, 0, OPT_NEW_NODE },        /* new network; as file 3 a UDP socket of the old one */
    { "net", required_argument, 0, OPT_NET },            /* PATH of a network namespace */
    { "hostname", required_argument, 0, OPT_HOSTNAME },  /* NAME in a namespace of its own, and one for IPC */
    { "enter", required_argument, 0, OPT_ENTER },        /* PID: all its namespaces, and its root */
    { "new-pid", no_argument, 0, OPT_NEW_PID },          /* new process ids and mounts, with its own /proc */
    { "init", no_argument, 0, OPT_INIT },                /* a process 1 that reaps and passes on signals */
    { "root", required_argument, 0, OPT_ROOT },          /* DIR as root, read-only */
    { "overlay", required_argument, 0, OPT_OVERLAY },    /* DIR as root; what is written is gone afterwards */
    { "scratch", required_argument, 0, OPT_SCRATCH },    /* DIR to mount a new root on */
    { "bind", required_argument, 0, OPT_BIND },          /* FROM:TO, read-only; TO inside the new root */
    { "tmpfs", required_argument, 0, OPT_TMPFS },        /* DIR:OPTIONS inside the new root */
    { "mask", required_argument, 0, OPT_MASK },          /* DIR: empty and closed to the command */
    { "cwd", required_argument, 0, OPT_CWD },
    { "user", required_argument, 0, OPT_USER },          /* UID:GID */
    { "drop-capabilities", no_argument, 0, OPT_DROP },   /* none left, no way to new ones, and no inherited files */
    { 0, 0, 0, 0 }
};

struct plan plan;
static int die_with_parent, with_init;
/* Pipe whose other end the launcher above has as long as it lives; -1: there is none. */
static int lifeline = -1;

static void add(char **list, size_t *count, char *value)
{
    if (*count == MOST_MOUNTS) {
        errx(EXIT_LAUNCHER, "more than %d flags of one kind", MOST_MOUNTS);
    }
    list[(*count)++] = value;
}

static void lock(const char *path)
{
    int low = open(path, O_RDWR | O_CREAT, 0600);
    int fd = low == -1 ? -1 : fcntl(low, F_DUPFD, 10);  /* out of the way of file 3 */

    if (fd == -1) {
        err(EXIT_LAUNCHER, "cannot open %s", path);
    }
    close(low);
    if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        err(EXIT_LOCKED, "cannot lock %s", path);
    }
}

/* The one thing that the command may do in the network that it leaves is to ask that network's name servers. */
static void new_node(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);

    if (udp == -1 || (udp != 3 && dup2(udp, 3) == -1)) {
        err(EXIT_LAUNCHER, "cannot make a socket");
    }
    if (udp != 3) {
        close(udp);
    }
    if (unshare(CLONE_NEWNET) == -1) {
        err(EXIT_LAUNCHER, "cannot make a network namespace");
    }
}

static void new_hostname(const char *name)
{
    if (unshare(CLONE_NEWUTS | CLONE_NEWIPC) == -1 || sethostname(name, strlen(name)) == -1) {
        err(EXIT_LAUNCHER, "cannot set the host name %s", name);
    }
}

static int namespace_of(const char *pid, const char *kind)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, kind);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        err(EXIT_LAUNCHER, "cannot open %s", path);
    }
    return fd;
}

static void join(int fd, int type)
{
    if (setns(fd, type) == -1) {
        err(EXIT_LAUNCHER, "cannot enter a namespace");
    }
    close(fd);
}

static void enter_network(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        err(EXIT_LAUNCHER, "cannot open %s", path);
    }
    join(fd, CLONE_NEWNET);
}

static void enter_all(const char *pid)
{
    int net = namespace_of(pid, "net"), uts = namespace_of(pid, "uts"), ipc = namespace_of(pid, "ipc");
    int ids = namespace_of(pid, "pid"), mounts = namespace_of(pid, "mnt");

    join(net, CLONE_NEWNET);
    join(uts, CLONE_NEWUTS);
    join(ipc, CLONE_NEWIPC);
    join(ids, CLONE_NEWPID);
    join(mounts, CLONE_NEWNS);
}

/* A launcher that ends before its end is a signal to this process has left it behind. */
static int is_left_behind(void)
{
    struct pollfd parent = { .fd = lifeline };

    return lifeline != -1 && poll(&parent, 1, 0) != 0;
}

/* Runs in the process that becomes the command, or the init above it. */
static void become_command(char **command)
{
    become_user(&plan);
    /* after the change of user, which clears it (prctl(2)) */
    if (die_with_parent || plan.new_pid) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1) {
            err(EXIT_LAUNCHER, "cannot set the parent death signal");
        }
        if (is_left_behind()) {
            exit(EXIT_LAUNCHER);
        }
    }
    if (plan.drop_capabilities) {
        close_files_from(3);
    }
    if (plan.cwd != NULL && chdir(plan.cwd) == -1) {
        err(EXIT_LAUNCHER, "cannot use the working directory %s", plan.cwd);
    }
    if (with_init) {
        pid_t child = fork();

        if (child == -1) {
            err(EXIT_LAUNCHER, "cannot fork");
        }
        if (child != 0) {
            reap_until(child);
        }
        reset_signals();
    }
    execvp(command[0], command);
    err(access(command[0], F_OK) == 0 ? 126 : 127, "cannot start \"%s\"", command[0]);
}

static void read_flags(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case OPT_DIE: die_with_parent = 1; break;
        case OPT_LOCK: lock(optarg); break;
        case OPT_NEW_NODE: new_node(); break;
        case OPT_NET: enter_network(optarg); break;
        case OPT_HOSTNAME: new_hostname(optarg); break;
        case OPT_ENTER: enter_all(optarg); plan.entered = 1; break;
        case OPT_NEW_PID: plan.new_pid = 1; break;
        case OPT_INIT: with_init = 1; break;
        case OPT_ROOT: plan.root = optarg; break;
        case OPT_OVERLAY: plan.root = optarg; plan.overlay = 1; break;
        case OPT_SCRATCH: plan.scratch = optarg; break;
        case OPT_BIND: add(plan.binds, &plan.bind_count, optarg); break;
        case OPT_TMPFS: add(plan.tmpfs, &plan.tmpfs_count, optarg); break;
        case OPT_MASK: add(plan.masks, &plan.mask_count, optarg); break;
        case OPT_CWD: plan.cwd = optarg; break;
        case OPT_USER: plan.user = optarg; break;
        case OPT_DROP: plan.drop_capabilities = 1; break;
        default: exit(EXIT_LAUNCHER);
        }
    }
}

int main(int argc, char **argv)
{
    pid_t parent = getppid(), child;
    int ends[2];

    read_flags(argc, argv);
    if (die_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1) {
            err(EXIT_LAUNCHER, "cannot set the parent death signal");
        }
        if (getppid() != parent) {
            return EXIT_LAUNCHER;
        }
    }
    if (optind == argc) {
        errx(EXIT_LAUNCHER, "no command");
    }
    if (!plan.new_pid && !plan.entered) {
        become_command(argv + optind);
    }
    if (plan.new_pid && unshare(CLONE_NEWPID | CLONE_NEWNS) == -1) {
        err(EXIT_LAUNCHER, "cannot make namespaces for processes and mounts");
    }
    if (pipe2(ends, O_CLOEXEC) == -1) {
        err(EXIT_LAUNCHER, "cannot make a pipe");
    }
    child = fork();
    if (child == -1) {
        err(EXIT_LAUNCHER, "cannot fork");
    }
    if (child != 0) {
        dup2(ends[1], 0);
        close_files_from(1);
        reap_until(child);
    }
    close(ends[1]);
    lifeline = ends[0];
    if (plan.new_pid) {
        setsid();
        make_mounts(&plan);
    }
    become_command(argv + optind);
}

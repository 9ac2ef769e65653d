/* What the parts of the launcher share. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <sys/types.h>

#define MOST_MOUNTS 32

/* Exit statuses of the launcher itself. */
#define EXIT_LOCKED 75
#define EXIT_LAUNCHER 125

/* What the flags ask for; texts belong to argv. */
struct plan {
    int new_pid, entered, overlay, drop_capabilities;
    char *root, *scratch, *cwd, *user;
    char *binds[MOST_MOUNTS], *tmpfs[MOST_MOUNTS], *masks[MOST_MOUNTS];
    size_t bind_count, tmpfs_count, mask_count;
};

/* Mounts of a process that has a mount namespace of its own; the last one is the new root. */
void make_mounts(const struct plan *plan);

/* Gives up what the plan says, and never gets it back. */
void become_user(const struct plan *plan);

/* Passes signals on to the child, reaps everything, and exits with the child's status. */
void reap_until(pid_t child) __attribute__((noreturn));

/* For a child that is about to become the command. */
void reset_signals(void);

void close_files_from(unsigned int first);

#endif

/* The file system that a process of local mode sees. */
#include "launcher.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void mount_or_fail(const char *from, const char *to, const char *type, unsigned long flags, const char *data)
{
    if (mount(from, to, type, flags, data) == -1) {
        err(EXIT_LAUNCHER, "cannot mount %s on %s%s", from, to,
            errno == ENODEV ? " (the kernel does not have this file system)" : "");
    }
}

/* Path inside the new root. */
static const char *inside(const char *root, const char *path)
{
    static char result[PATH_MAX];

    if (snprintf(result, sizeof(result), "%s%s", root, path) >= (int) sizeof(result)) {
        errx(EXIT_LAUNCHER, "the path %s is too long", path);
    }
    return result;
}

static void make_folders(const char *path)
{
    char copy[PATH_MAX], *slash;

    snprintf(copy, sizeof(copy), "%s", path);
    for (slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0755);
        *slash = '/';
    }
    mkdir(copy, 0755);
}

/* What a bind mount is put on must exist; a symbolic link there would lead out of the new root. */
static void make_target(const char *from, const char *to, int in_root)
{
    struct stat status, target;

    if (stat(from, &status) == -1) {
        err(EXIT_LAUNCHER, "cannot find %s", from);
    }
    if (in_root && lstat(to, &target) == 0 && S_ISLNK(target.st_mode)) {
        unlink(to);
    }
    if (stat(to, &target) == 0) {
        return;
    }
    if (S_ISDIR(status.st_mode)) {
        make_folders(to);
    } else {
        int fd;
        char parent[PATH_MAX];

        snprintf(parent, sizeof(parent), "%s", to);
        *strrchr(parent, '/') = '\0';
        make_folders(parent);
        fd = open(to, O_CREAT | O_WRONLY, 0644);
        if (fd == -1) {
            err(EXIT_LAUNCHER, "cannot make %s", to);
        }
        close(fd);
    }
}

static void bind_read_only(const char *from, const char *to, int in_root)
{
    make_target(from, to, in_root);
    mount_or_fail(from, to, NULL, MS_BIND | MS_REC, NULL);
    mount_or_fail(from, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

static void make_devices(const char *root)
{
    static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
    char from[32], to[PATH_MAX];
    size_t i;

    snprintf(to, sizeof(to), "%s/dev", root);
    mount_or_fail("tmpfs", to, "tmpfs", MS_NOSUID, "mode=755,size=1m");
    for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        snprintf(from, sizeof(from), "/dev/%s", devices[i]);
        snprintf(to, sizeof(to), "%s/dev/%s", root, devices[i]);
        make_target("/dev/null", to, 1);
        mount_or_fail(from, to, NULL, MS_BIND, NULL);
    }
    snprintf(to, sizeof(to), "%s/dev/shm", root);
    mkdir(to, 01777);
    mount_or_fail("tmpfs", to, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m");
    if (symlink("/proc/self/fd", inside(root, "/dev/fd")) == -1
        || symlink("/proc/self/fd/0", inside(root, "/dev/stdin")) == -1
        || symlink("/proc/self/fd/1", inside(root, "/dev/stdout")) == -1
        || symlink("/proc/self/fd/2", inside(root, "/dev/stderr")) == -1)
    {
        err(EXIT_LAUNCHER, "cannot make links in %s/dev", root);
    }
}

/* Where the new root is put together; it becomes / at the end. */
static char *make_root(const struct plan *plan)
{
    static char root[PATH_MAX];
    char data[3 * PATH_MAX];

    if (plan->scratch == NULL) {
        errx(EXIT_LAUNCHER, "a root needs --scratch");
    }
    mount_or_fail("tmpfs", plan->scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
    snprintf(root, sizeof(root), "%s/root", plan->scratch);
    mkdir(root, 0755);
    if (!plan->overlay) {
        mount_or_fail(plan->root, root, NULL, MS_BIND | MS_REC, NULL);
        return root;
    }
    mkdir(inside(plan->scratch, "/upper"), 0755);
    mkdir(inside(plan->scratch, "/work"), 0755);
    snprintf(data, sizeof(data), "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", plan->root, plan->scratch,
             plan->scratch);
    mount_or_fail("overlay", root, "overlay", MS_NOSUID, data);
    return root;
}

static void split(char *text, char **first, char **second)
{
    char *colon = strchr(text, ':');

    if (colon == NULL) {
        errx(EXIT_LAUNCHER, "\"%s\" needs a colon", text);
    }
    *colon = '\0';
    *first = text;
    *second = colon + 1;
}

static void enter_root(const struct plan *plan, char *root)
{
    if (!plan->overlay) {
        mount_or_fail(plan->root, root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
    }
    /* pivot_root(2), "pivot_root(".", ".")": the old root ends up below the new one, and is then let go */
    if (chdir(root) == -1 || syscall(SYS_pivot_root, ".", ".") == -1 || umount2(".", MNT_DETACH) == -1
        || chdir("/") == -1)
    {
        err(EXIT_LAUNCHER, "cannot make %s the root", plan->root);
    }
}

void make_mounts(const struct plan *plan)
{
    char *root = "", *from, *to;
    size_t i;

    mount_or_fail("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (plan->root != NULL) {
        root = make_root(plan);
        make_devices(root);
    }
    for (i = 0; i < plan->bind_count; i++) {
        split(plan->binds[i], &from, &to);
        bind_read_only(from, inside(root, to), plan->root != NULL);
    }
    for (i = 0; i < plan->tmpfs_count; i++) {
        split(plan->tmpfs[i], &from, &to);
        mount_or_fail("tmpfs", inside(root, from), "tmpfs", MS_NOSUID | MS_NODEV, to);
    }
    mount_or_fail("proc", inside(root, "/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (plan->root != NULL) {
        enter_root(plan, root);
        return;
    }
    for (i = 0; i < plan->mask_count; i++) {
        mount_or_fail("tmpfs", plan->masks[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=000,size=4k");
    }
}

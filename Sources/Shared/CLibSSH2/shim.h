#ifndef FERRY_CLIBSSH2_SHIM_H
#define FERRY_CLIBSSH2_SHIM_H

#include <fcntl.h>
#include <libssh2.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The flags are enumerators that Swift does not see as numbers. */
static inline int ferry_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

/* prctl is variadic. The kernel keeps 15 bytes. */
static inline void ferry_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/* A file in memory, closed on exec: memfd_create(2), whose declaration hides behind _GNU_SOURCE. MFD_CLOEXEC is 1. */
static inline int ferry_memory_file(void) { return (int)syscall(SYS_memfd_create, "ferry", 1); }

/* Two connected sockets, closed on exec; the first does not block. */
static inline int ferry_stream_pair(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return -1;
    return fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK);
}

/* Starts a program with `stream` as its input and output and `errors` as its error stream, in a process group of its
 * own and with no signal blocked or ignored. Returns 0 or an errno. */
static inline int ferry_spawn(pid_t *pid, const char *program, char *const *arguments, char *const *environment,
                              int stream, int errors) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    code = posix_spawn_file_actions_adddup2(&actions, stream, 0);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, stream, 1);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, errors, 2);
    if (code == 0) code = posix_spawnp(pid, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

#endif

#ifndef FERRY_CLIBSSH2_SHIM_H
#define FERRY_CLIBSSH2_SHIM_H

#include <libssh2.h>
#include <openssl/crypto.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/* The flags are enumerators that Swift does not see as numbers. */
static inline int ferry_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

/* prctl is variadic. The kernel keeps 15 bytes. */
static inline void ferry_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

#endif

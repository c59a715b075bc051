#ifndef FERRY_CRABBITMQ_SHIM_H
#define FERRY_CRABBITMQ_SHIM_H

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

// The library's login is variadic, which Swift cannot call.
static inline amqp_rpc_reply_t amqp_shim_login_plain(
    amqp_connection_state_t state,
    const char *virtual_host,
    int frame_max,
    int heartbeat,
    const amqp_table_t *properties,
    const char *user,
    const char *password
) {
    return amqp_login_with_properties(
        state, virtual_host, 0, frame_max, heartbeat, properties, AMQP_SASL_METHOD_PLAIN, user, password
    );
}

// A wake-up descriptor: Swift's Glibc module has no eventfd. -1 if there is none left.
static inline int amqp_shim_wakeup_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

static inline void amqp_shim_wakeup_raise(int descriptor) { eventfd_write(descriptor, 1); }

static inline void amqp_shim_wakeup_clear(int descriptor) {
    eventfd_t value;
    eventfd_read(descriptor, &value);
}

// Names the calling thread; the kernel keeps 15 characters.
static inline void amqp_shim_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

#endif

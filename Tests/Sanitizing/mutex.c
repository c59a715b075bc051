/*
 * Lets ThreadSanitizer see Synchronization.Mutex. Not part of any program, and empty in every build but that for it.
 *
 * Where a Mutex is contended, Swift's library leaves it to the kernel to hand the lock over (futex(2),
 * FUTEX_LOCK_PI). The sanitizer sees neither the kernel's write nor the library's code, which is not instrumented, and
 * calls whatever a contended lock protects a race. Here the slow path is replaced: it spins on the same word with
 * instrumented atomics. Since no one ever waits in the kernel then, unlocking never needs the kernel either.
 *
 * The names are those of the library's own functions; the linker takes the program's before the library's.
 */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

#include <sched.h>
#include <stdint.h>

__attribute__((swiftcall)) void ferry_mutex_lock_slow(
    uint32_t self_id, __attribute__((swift_context)) _Atomic(uint32_t) *word)
    __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");

__attribute__((swiftcall)) void ferry_mutex_lock_slow(
    uint32_t self_id, __attribute__((swift_context)) _Atomic(uint32_t) *word)
{
    for (;;) {
        uint32_t expected = 0;
        if (__c11_atomic_compare_exchange_strong(word, &expected, self_id, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
        sched_yield();
    }
}

__attribute__((swiftcall)) _Bool ferry_mutex_try_lock_slow(
    __attribute__((swift_context)) _Atomic(uint32_t) *word)
    __asm__("$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF");

/* The fast path has just found it locked. */
__attribute__((swiftcall)) _Bool ferry_mutex_try_lock_slow(
    __attribute__((swift_context)) _Atomic(uint32_t) *word)
{
    (void)word;
    return 0;
}

#endif
#endif

// SPDX-License-Identifier: Apache-2.0
// Nothing but for the thread sanitizer, which sees only code that was built with it. Swift's Mutex takes and lets go of a
// lock that nobody else wants inline, where it is seen; the rest is done in Swift's own library. That this too orders what
// the last holder wrote before what the next one reads is told here: else all that a mutex guards would be reported.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);

#define SELF __attribute__((swift_context)) void *mutex
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

typedef __attribute__((swiftcall)) void lock_function(uint32_t thread, SELF);
typedef __attribute__((swiftcall)) void unlock_function(SELF);
lock_function martlet_lock_slowly __asm__(LOCK);
unlock_function martlet_unlock_slowly __asm__(UNLOCK);

static lock_function *lock_slowly;
static unlock_function *unlock_slowly;

__attribute__((constructor)) static void find_functions(void) {
    lock_slowly = (lock_function *)dlsym(RTLD_NEXT, LOCK);
    unlock_slowly = (unlock_function *)dlsym(RTLD_NEXT, UNLOCK);
    if (lock_slowly == NULL || unlock_slowly == NULL) abort();
}

__attribute__((swiftcall)) void martlet_lock_slowly(uint32_t thread, SELF) {
    lock_slowly(thread, mutex);
    __tsan_acquire(mutex);
}

__attribute__((swiftcall)) void martlet_unlock_slowly(SELF) {
    __tsan_release(mutex);
    unlock_slowly(mutex);
}
#endif
#endif

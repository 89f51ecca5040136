// SPDX-License-Identifier: Apache-2.0
// What Swift's Glibc module lacks: GNU calls, prefetch, and byte tricks that must be inlined.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/// accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC.
int martlet_accept(int listener, struct sockaddr_storage *address, socklen_t *length);

static inline int martlet_epoll_control(int loop, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event;
    event.events = events;
    event.data.u64 = token;
    return epoll_ctl(loop, operation, fd, &event);
}

/// Waits; timeout in milliseconds, -1 for ever. Returns the number of events, or -errno.
static inline int martlet_epoll_wait(int loop, struct epoll_event *events, int capacity, int timeout) {
    int count = epoll_wait(loop, events, capacity, timeout);
    return count < 0 ? -errno : count;
}

/// Waits up to so many nanoseconds. Returns the number of events, or -errno.
static inline int martlet_epoll_wait_nanoseconds(int loop, struct epoll_event *events, int capacity, int64_t timeout) {
    struct timespec limit = {timeout / 1000000000, timeout % 1000000000};
    int count = epoll_pwait2(loop, events, capacity, &limit, NULL);
    return count < 0 ? -errno : count;
}

static inline uint64_t martlet_epoll_token(const struct epoll_event *event) { return event->data.u64; }

static inline void martlet_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Tells the core that this is a spin loop.
static inline void martlet_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Names the calling thread, for ps and gdb; at most 15 letters.
int martlet_set_thread_name(const char *name);

/// The command line as main gets it: the words, and each of them, the program's name first.
int martlet_argument_count(void);
const char *martlet_argument(int index);

/// sem_wait until a moment of CLOCK_MONOTONIC; -1 and errno as sem_clockwait.
int martlet_semaphore_wait(sem_t *semaphore, const struct timespec *deadline);

/// Takes the pages of programs' and libraries' code and constants out of the process. What is used comes back, page by
/// page; what only the start needed does not.
void martlet_release_code_pages(void);

/// Copies at most `capacity` bytes of the build id that the linker gave this program. Returns how many; 0 where it gave
/// none.
int martlet_build_id(uint8_t *bytes, int capacity);

/// A monotonic cycle-like counter, cheap enough to read once per command. Its rate is measured at start.
static inline uint64_t martlet_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#endif
}

/// The widest binary floating point type that Swift has too: 80 bits on x86-64, else 64.
#if defined(__x86_64__)
typedef long double martlet_wide;
#else
typedef double martlet_wide;
#endif

/// strtold on text that ends in a zero byte. Returns how many bytes were read, or -1 where the number is too large or
/// too small to be told from zero.
int martlet_parse_wide(const char *text, martlet_wide *value);

/// The number with 17 digits behind the point, into `capacity` bytes. Returns how many it needs.
int martlet_print_wide(martlet_wide value, char *text, int capacity);

// SPDX-License-Identifier: Apache-2.0
// The calls that glibc hides behind _GNU_SOURCE. Defining that in the header would give Swift a second,
// different view of glibc's own types.
#define _GNU_SOURCE
#include "CLinux.h"
#include <stdlib.h>

int martlet_accept(int listener, struct sockaddr_storage *address, socklen_t *length) {
    return accept4(listener, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int martlet_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

unsigned long long martlet_hash_seed;

// Why a constructor: the seed is then set before any thread runs, and reading it is one plain load.
__attribute__((constructor)) static void draw_hash_seed(void) {
    if (getrandom(&martlet_hash_seed, sizeof martlet_hash_seed, 0) != sizeof martlet_hash_seed) {
        abort();
    }
}

// SPDX-License-Identifier: Apache-2.0
// The calls that glibc hides behind _GNU_SOURCE. Defining that in the header would give Swift a second,
// different view of glibc's own types.
#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int martlet_accept(int listener, struct sockaddr_storage *address, socklen_t *length) {
    return accept4(listener, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int martlet_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

int martlet_semaphore_wait(sem_t *semaphore, const struct timespec *deadline) {
    return sem_clockwait(semaphore, CLOCK_MONOTONIC, deadline);
}

unsigned long long martlet_hash_seed;

// Why a constructor: the seed is then set before any thread runs, and reading it is one plain load.
__attribute__((constructor)) static void draw_hash_seed(void) {
    if (getrandom(&martlet_hash_seed, sizeof martlet_hash_seed, 0) != sizeof martlet_hash_seed) {
        abort();
    }
}

static int argument_count;
static char **arguments;

// Why a constructor: glibc hands it the command line as main gets it. Swift's runtime reads /proc/self/cmdline instead,
// which a container need not have.
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    arguments = values;
}

int martlet_argument_count(void) { return argument_count; }

const char *martlet_argument(int index) { return arguments[index]; }

// Read-only segments are clean pages of files: dropped ones come back when they are touched.
static int release_segments(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        const uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        const uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void martlet_release_code_pages(void) { dl_iterate_phdr(release_segments, NULL); }

int martlet_parse_wide(const char *text, martlet_wide *value) {
    char *end;
    errno = 0;
    *value = (martlet_wide)strtold(text, &end);
    int out_of_range = errno == ERANGE && (isinf(*value) || *value == 0);
    return out_of_range ? -1 : (int)(end - text);
}

int martlet_print_wide(martlet_wide value, char *text, int capacity) {
    return snprintf(text, (size_t)capacity, "%.17Lf", (long double)value);
}

// SPDX-License-Identifier: Apache-2.0
// jemalloc's names over malloc and free, for builds that a sanitizer or valgrind watches: what jemalloc's own calls hand
// out is one large block to those, and nothing written beside or after its parts is seen. Package.swift chooses.
#pragma once
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The sanitizers' runtime has these: what the process was given and has not given back; and that a block is not to be
// reported as leaked.
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
extern void __lsan_ignore_object(const void *block) __attribute__((weak));

// Why: tables name their blocks by pointers with more in the upper bits, which a leak check cannot follow. That none is
// lost is held elsewhere: what is charged against a walk over all entries, and what is allocated against what is charged.
static inline void *martlet_not_leaked(void *block) {
    if (block != NULL && __lsan_ignore_object != NULL) __lsan_ignore_object(block);
    return block;
}

/// `flags` is 0, or n for an alignment to two to the nth, as jemalloc's MALLOCX_LG_ALIGN(n).
static inline void *mallocx(size_t size, int flags) {
    void *block = NULL;
    if (flags == 0) return martlet_not_leaked(malloc(size));
    return posix_memalign(&block, (size_t)1 << flags, size) == 0 ? martlet_not_leaked(block) : NULL;
}

static inline void *rallocx(void *block, size_t size, int flags) {
    (void)flags;
    void *moved = realloc(block, size);
    return moved == block ? moved : martlet_not_leaked(moved);
}

static inline void dallocx(void *block, int flags) {
    (void)flags;
    free(block);
}

/// A watched malloc gives exactly what it was asked for, so that one byte more is an error; it says so here too.
static inline size_t sallocx(const void *block, int flags) {
    (void)flags;
    return malloc_usable_size((void *)block);
}

static inline size_t nallocx(size_t size, int flags) {
    (void)flags;
    return size;
}

/// Answers what is known here: the version and what is allocated; nothing is kept beside that, so the same is active and
/// resident. Everything else is ENOENT.
static inline int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size) {
    (void)new_value;
    (void)new_size;
    if (strcmp(name, "epoch") == 0) return 0;
    if (strcmp(name, "version") == 0 && old_size != NULL && *old_size == sizeof(const char *)) {
        *(const char **)old = "system";
        return 0;
    }
    const char *const sums[] = {"stats.allocated", "stats.active", "stats.resident"};
    for (size_t index = 0; index < sizeof sums / sizeof *sums; index++) {
        if (strcmp(name, sums[index]) != 0 || old_size == NULL || *old_size != sizeof(size_t)) continue;
        *(size_t *)old = __sanitizer_get_current_allocated_bytes != NULL ? __sanitizer_get_current_allocated_bytes()
                                                                         : mallinfo2().uordblks;
        return 0;
    }
    return ENOENT;
}

static inline void malloc_stats_print(
    void (*write)(void *context, const char *text), void *context, const char *options) {
    (void)options;
    write(context, "malloc of the system: no report\n");
}

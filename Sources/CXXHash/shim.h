// xxHash, header-only: XXH3 of a short key becomes a few inline instructions.
#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

/// Drawn from the kernel before main: see CLinux.c.
extern unsigned long long martlet_hash_seed;

static inline unsigned long long martlet_hash(const void *bytes, unsigned long count) {
    return XXH3_64bits_withSeed(bytes, count, martlet_hash_seed);
}

// xxHash, header-only: XXH3 of a short key becomes a few inline instructions.
#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

static inline unsigned long long martlet_hash(const void *bytes, unsigned long count, unsigned long long seed) {
    return XXH3_64bits_withSeed(bytes, count, seed);
}

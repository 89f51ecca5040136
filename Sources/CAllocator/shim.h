// jemalloc: size classes by nallocx, sized free, per-thread allocation counters.
#pragma once
#include <jemalloc/jemalloc.h>

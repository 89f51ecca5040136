// SPDX-License-Identifier: Apache-2.0
import CAllocator

/// What the allocator has got from the system, in bytes.
///
///     allocated   what the program asked for
///     active      pages with anything allocated: allocated, and the gaps in those pages
///     resident    active, the allocator's own data, and freed pages that it keeps for reuse
struct AllocatedPages {
    let allocated: Int
    let active: Int
    let resident: Int

    /// Some tens of microseconds. Nil if the allocator does not tell.
    static func measure() -> AllocatedPages? {
        var epoch: UInt64 = 1
        mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
        guard let allocated = figure("stats.allocated"), let active = figure("stats.active"),
            let resident = figure("stats.resident")
        else { return nil }
        return AllocatedPages(allocated: allocated, active: active, resident: resident)
    }

    private static func figure(_ name: String) -> Int? {
        var value = 0
        var size = MemoryLayout<Int>.size
        return mallctl(name, &value, &size, nil, 0) == 0 ? value : nil
    }
}

/// Returns freed pages of all arenas to the system.
public func returnFreedPages() {
    // 4096 is jemalloc's number for all arenas.
    mallctl("arena.4096.purge", nil, nil, nil, 0)
}

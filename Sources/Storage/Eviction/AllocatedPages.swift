// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import Glibc

/// What the allocator has got from the system, and what of it is resident, in bytes.
///
///     allocated   what the program asked for
///     active      pages with anything allocated: allocated, and the gaps in those pages
///     kept        freed pages that the allocator keeps for reuse, and its own data
///     resident    what the system counts for the process. It may be less than the allocated bytes:
///                 a page that was never written does not count.
struct AllocatedPages {
    let allocated: Int
    let active: Int
    let kept: Int
    let resident: Int

    /// Some tens of microseconds. Nil if the allocator does not tell.
    static func measure() -> AllocatedPages? {
        var epoch: UInt64 = 1
        mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
        guard let allocated = figure("stats.allocated"), let active = figure("stats.active"),
            let resident = figure("stats.resident")
        else { return nil }
        return AllocatedPages(
            allocated: allocated, active: active, kept: resident - active,
            resident: residentSetSize() ?? resident)
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

/// What of the process is resident, in bytes, by /proc/self/statm; nil without /proc.
public func residentSetSize() -> Int? {
    let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 128)
    let count = read(file, &text, text.count)
    guard count > 0 else { return nil }
    let fields = text[..<count].split(separator: 32)
    guard fields.count > 1,
        let pages = Array(fields[1]).withBytes({ ASCIIInteger.parse($0) })
    else { return nil }
    return Int(pages) * sysconf(Int32(_SC_PAGESIZE))
}

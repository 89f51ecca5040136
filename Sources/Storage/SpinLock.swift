// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// A lock for what takes less than a microsecond: a shard, a part of an index, a budget.
///
/// Why no mutex: it is four bytes in a line that is touched anyway, and one instruction where
/// nobody else wants it. Nobody sleeps for so short a wait; a holder that has lost its core is
/// given a chance to run.
struct SpinLock: ~Copyable {
    private let word = Atomic<UInt32>(0)

    @inline(__always)
    init() {}

    @inline(__always)
    borrowing func lock() {
        // Order: acquiring, so that what the last holder wrote is seen.
        if word.exchange(1, ordering: .acquiring) == 0 { return }
        wait()
    }

    /// Takes the lock if it is free; for whoever may not wait, as that would break an order of
    /// locks.
    @inline(__always)
    borrowing func tryLock() -> Bool { word.exchange(1, ordering: .acquiring) == 0 }

    @inline(__always)
    borrowing func unlock() { word.store(0, ordering: .releasing) }

    /// Whether anybody holds it, at the moment of asking.
    var isLocked: Bool { word.load(ordering: .relaxed) != 0 }

    @inline(never)
    private borrowing func wait() {
        var spins = 0
        while true {  // Bound: holders never block, so the lock comes free.
            while word.load(ordering: .relaxed) != 0 {
                spins += 1
                if spins < 100 { martlet_pause() } else { sched_yield() }
            }
            if word.exchange(1, ordering: .acquiring) == 0 { return }
        }
    }
}

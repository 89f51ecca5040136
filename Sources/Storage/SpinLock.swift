// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// A lock for critical sections below a microsecond: a shard, a part of an index, a budget.
///
/// Why no mutex: this is four bytes in a cache line that is touched anyway, and one instruction if
/// uncontended. Threads do not sleep for so short a wait. If the holder has lost its core, waiting
/// threads yield to let it run.
struct SpinLock: ~Copyable {
    private let word = Atomic<UInt32>(0)

    @inline(__always)
    init() {}

    @inline(__always)
    borrowing func lock() {
        // Order: acquiring, so that the last holder's writes are visible.
        if word.exchange(1, ordering: .acquiring) == 0 { return }
        wait()
    }

    /// Takes the lock unless a thread holds it for long: some fifty microseconds. Returns whether
    /// it was taken.
    @inline(__always)
    borrowing func lockSoon() -> Bool {
        word.exchange(1, ordering: .acquiring) == 0 || waitBriefly()
    }

    /// Takes the lock if it is free. For callers that must not wait because waiting would break an
    /// order of locks.
    @inline(__always)
    borrowing func tryLock() -> Bool { word.exchange(1, ordering: .acquiring) == 0 }

    @inline(__always)
    borrowing func unlock() { word.store(0, ordering: .releasing) }

    /// Whether a thread holds it at this moment.
    var isLocked: Bool { word.load(ordering: .relaxed) != 0 }

    @inline(never)
    private borrowing func waitBriefly() -> Bool {
        for spins in 0..<300 {
            if word.load(ordering: .relaxed) == 0, word.exchange(1, ordering: .acquiring) == 0 {
                return true
            }
            if spins < 200 { martlet_pause() } else { sched_yield() }
        }
        return false
    }

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

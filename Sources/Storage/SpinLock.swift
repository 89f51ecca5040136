// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// A lock that is waited for by spinning: for what is held for less than a microsecond by threads
/// that never block meanwhile. Who waits gives a holder that lost its core a chance to run.
struct SpinLock: ~Copyable {
    private let word = Atomic<UInt32>(0)

    init() {}

    @inline(__always)
    borrowing func acquire() {
        if tryAcquire() { return }
        acquireSlowly()
    }

    @inline(never)
    private borrowing func acquireSlowly() {
        var spins = 0
        while true {  // Bound: holders never block, so the lock comes free.
            while word.load(ordering: .relaxed) != 0 {
                spins += 1
                if spins < 100 { martlet_pause() } else { sched_yield() }
            }
            if tryAcquire() { return }
        }
    }

    @inline(__always)
    borrowing func tryAcquire() -> Bool {
        // Order: acquiring, so that what the last holder wrote is seen.
        word.exchange(1, ordering: .acquiring) == 0
    }

    /// Whether somebody holds it just now.
    var isHeld: Bool { word.load(ordering: .relaxed) != 0 }

    @inline(__always)
    borrowing func release() {
        word.store(0, ordering: .releasing)
    }
}

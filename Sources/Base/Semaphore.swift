// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// On which one thread sleeps until others wake it.
///
/// Why no mutex and condition: raising it never blocks, so a thread may do that under a spin lock.
public final class Semaphore: Sendable {
    // Safety: initialised here, destroyed with the object, and in between used only by functions
    // that any thread may call.
    private nonisolated(unsafe) let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    public init() {
        semaphore.initialize(to: sem_t())
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    public func post() { sem_post(semaphore) }

    /// Sleeps until it is raised, and lowers it again. A signal may end the sleep early.
    public func wait() { sem_wait(semaphore) }

    /// Sleeps until it is raised, and lowers it again; false if that takes too long.
    public func wait(milliseconds: Milliseconds) -> Bool {
        var deadline = Clock.deadline(after: milliseconds)
        while martlet_semaphore_wait(semaphore, &deadline) != 0 {  // Bound: the deadline.
            if errno != EINTR { return false }
        }
        return true
    }
}

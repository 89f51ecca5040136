// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// An operating system thread that runs one closure.
public struct Thread: @unchecked Sendable {
    // Safety: a thread's id means the same to every thread; `join` or `detach` is called once.
    private let id: pthread_t

    private final class Body {
        let name: [CChar]
        let run: @Sendable () -> Void

        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = Array(name.utf8CString)
            self.run = run
        }
    }

    /// Starts the thread; nil if the system refuses. `name`: at most 15 letters, for ps and gdb.
    public init?(_ name: String, _ run: @escaping @Sendable () -> Void) {
        var id = pthread_t()
        let body = Unmanaged.passRetained(Body(name, run))
        let status = pthread_create(
            &id, nil,
            { context in
                guard let context else { return nil }
                // Safety: the context is the one reference that passRetained made.
                let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
                _ = martlet_set_thread_name(body.name)
                // Why held until then: a thread that allocates or frees something takes an arena of
                // the allocator, 120 KB, and the reclaimer's may wait forever before it does.
                withExtendedLifetime(body) { body.run() }
                return nil
            }, body.toOpaque())
        guard status == 0 else {
            body.release()
            return nil
        }
        self.id = id
    }

    /// Waits until the closure has returned.
    public func join() { pthread_join(id, nil) }

    /// Lets the thread end by itself.
    public func detach() { pthread_detach(id) }
}

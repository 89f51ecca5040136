// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import LoadKit
import Synchronization

/// What one thread reports at its end.
struct WorkerResult: Sendable {
    var tally = Tally()
    var latency = Histogram()
    var bytesSent = 0
    var bytesReceived = 0
    var lostRequests = 0
    var lostConnections = 0
    var unsentRequests = 0
    var endNanoseconds: UInt64 = 0
}

/// All that the threads of a run share: the common start, counters for the progress line, and the
/// results.
///
/// Why event descriptors in both directions: the main thread waits for the next second or for the
/// last worker, whichever comes first, so it needs a wait with a time limit.
final class Coordinator: Sendable {
    private struct State {
        var ready = 0
        var finished = 0
        var results: [WorkerResult] = []
        var failure: LoadError?
    }

    private let threads: Int
    private let state = Mutex(State())
    private let gate: Int32
    private let news: Int32
    let completed = Atomic<Int>(0)
    let errors = Atomic<Int>(0)
    private let startNanoseconds = Atomic<UInt64>(0)

    init(threads: Int) throws(LoadError) {
        self.threads = threads
        gate = eventfd(0, Int32(EFD_SEMAPHORE) | Int32(EFD_CLOEXEC))
        news = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard gate >= 0, news >= 0 else { throw .system("eventfd") }
    }

    deinit {
        close(gate)
        close(news)
    }

    // MARK: - The workers' side

    /// Reports that this worker's connections are open, and waits for those of the others. Returns
    /// the common start time, or nil if another worker failed.
    func waitForStart() -> UInt64? {
        state.withLock { $0.ready += 1 }
        eventfd_write(news, 1)
        var token: UInt64 = 0
        while eventfd_read(gate, &token) != 0, errno == EINTR {}
        // Order: acquiring, paired with the releasing store before the gate's write.
        let start = startNanoseconds.load(ordering: .acquiring)
        return start == 0 ? nil : start
    }

    func finish(_ result: WorkerResult) {
        state.withLock {
            $0.finished += 1
            $0.results.append(result)
        }
        eventfd_write(news, 1)
    }

    func fail(_ error: LoadError) {
        state.withLock {
            if $0.failure == nil { $0.failure = error }
            $0.finished += 1
        }
        eventfd_write(news, 1)
    }

    // MARK: - The main thread's side

    /// Waits until every worker is ready or has failed.
    func waitUntilReady() {
        while state.withLock({ $0.ready + $0.finished < threads }) { waitForNews(milliseconds: -1) }
    }

    var failure: LoadError? { state.withLock { $0.failure } }

    /// Lets the workers begin at `start`, or end if it is nil.
    func open(start: UInt64?) {
        startNanoseconds.store(start ?? 0, ordering: .releasing)
        eventfd_write(gate, UInt64(threads))
    }

    /// Waits for news, for at most `milliseconds`. Returns whether all workers have ended.
    func waitForEnd(milliseconds: Int32) -> Bool {
        let isEnded = { self.state.withLock { $0.finished == self.threads } }
        if isEnded() { return true }
        waitForNews(milliseconds: milliseconds)
        return isEnded()
    }

    var results: [WorkerResult] { state.withLock { $0.results } }

    private func waitForNews(milliseconds: Int32) {
        var waited = pollfd(fd: news, events: Int16(POLLIN), revents: 0)
        var count: UInt64 = 0
        if poll(&waited, 1, milliseconds) > 0 { eventfd_read(news, &count) }
    }
}

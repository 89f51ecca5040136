// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import Commands
import Sessions
import Storage
import Synchronization
import Testing

/// GET and SET of existing keys allocate nothing: not a byte in ten thousand requests.
///
/// This is true only of optimised code, so `scripts/test` runs this suite in a release build too;
/// without optimisation it is skipped.
@Suite struct AllocationTests {
    static let isOptimized: Bool = {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }())
        return !isDebug
    }()

    static let keyCount = 1000
    static let requestCount = 10_000
    static let depth = 16

    /// The bytes that the calling thread has allocated in all.
    struct Counter {
        /// Only jemalloc counts per thread; a sanitizer build has no such count.
        static let isThere = (try? Counter()) != nil
        struct NotCounted: Error {}

        private let bytes: UnsafePointer<UInt64>

        init() throws {
            var pointer: UnsafePointer<UInt64>?
            var size = MemoryLayout<UnsafePointer<UInt64>>.size
            guard mallctl("thread.allocatedp", &pointer, &size, nil, 0) == 0, let pointer else {
                throw NotCounted()
            }
            bytes = pointer
        }

        var value: UInt64 { bytes.pointee }
    }

    /// Batches of requests that arrive together, made before counting starts.
    static func batches(_ request: (Int) -> [String]) -> [[UInt8]] {
        (0..<requestCount / depth).map { batch in
            Array(
                (0..<depth)
                    .map { RESP.request(request((batch * depth + $0) &* 7919 % keyCount)) }
                    .joined().utf8)
        }
    }

    /// Serves all batches and returns the number of bytes allocated. `size` gets the size of the
    /// replies, as proof that the requests ran.
    @inline(never)
    static func allocated(
        _ batches: [[UInt8]], _ session: inout Session, _ host: Host, _ counter: Counter,
        size: inout Int
    ) -> UInt64 {
        size = 0
        let before = counter.value
        for batch in batches {
            let served = batch.withBytes { session.serve($0, on: &host.thread) }
            precondition(served.consumed == batch.count && served.next == .receive)
            size += host.thread.replies.pointee.readableCount
            host.thread.replies.pointee.removeAll()
        }
        return counter.value - before
    }

    static func measure(_ valueSize: Int, _ request: (Int) -> [String], replySize: Int) throws {
        let host = Host()
        let client = Client(host)
        let value = String(repeating: "v", count: valueSize)
        for number in 0..<keyCount { _ = client.ask("SET", "key:\(number)", value) }
        var session = Session(
            SessionState(
                id: 2, address: "", localAddress: "", isUnixSocket: false,
                tenant: host.registry.server, isAuthenticated: true,
                now: host.worker.pointee.monotonicNow))
        let batches = batches(request)
        let counter = try Counter()
        var size = 0
        _ = allocated(batches, &session, host, counter, size: &size)
        let bytes = allocated(batches, &session, host, counter, size: &size)
        #expect(size == requestCount / depth * depth * replySize)
        #expect(bytes == 0, "\(requestCount) requests allocated \(bytes) bytes")
    }

    @Test(.enabled(if: isOptimized), arguments: [3, 40, 300]) func getsAllocateNothing(
        valueSize: Int
    ) throws {
        let reply = "$\(valueSize)\r\n".utf8.count + valueSize + 2
        try Self.measure(valueSize, { ["GET", "key:\($0)"] }, replySize: reply)
    }

    @Test(.enabled(if: isOptimized), arguments: [3, 40, 300]) func setsAllocateNothing(
        valueSize: Int
    ) throws {
        let value = String(repeating: "w", count: valueSize)
        try Self.measure(valueSize, { ["SET", "key:\($0)", value] }, replySize: 5)
    }

    /// The counter itself: a test that cannot fail proves nothing.
    @Test(.enabled(if: Counter.isThere)) func theCounterCounts() throws {
        let counter = try Counter()
        let before = counter.value
        let block = Block.allocate(1000)
        Block.free(block)
        #expect(counter.value - before >= 1000)
        let middle = counter.value
        let array = [UInt8](repeating: 1, count: Int(before % 2) + 5000)
        #expect(counter.value - middle >= 5000, "Swift's arrays do not come from this allocator")
        #expect(array.count >= 5000)
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The reply side of one connection: the state of the scanner, and the commands that the next
/// replies answer.
public struct ReplyStream: Sendable {
    var scanner = ReplyScanner()
    public var outstanding: OutstandingCommands

    public init(pipeline: Int) { outstanding = OutstandingCommands(capacity: pipeline) }
}

/// The commands sent on a connection whose replies are outstanding, oldest first.
///
/// Bound: at most the pipeline depth, which fixes its capacity.
public struct OutstandingCommands: Sendable {
    private var ring: [LoadCommand]
    private var head = 0
    public private(set) var count = 0

    public init(capacity: Int) { ring = [LoadCommand](repeating: .ping, count: capacity) }

    mutating func append(_ command: LoadCommand) {
        precondition(count < ring.count, "more requests outstanding than the pipeline is deep")
        let tail = head + count
        ring[tail < ring.count ? tail : tail - ring.count] = command
        count += 1
    }

    mutating func removeFirst() -> LoadCommand? {
        guard count > 0 else { return nil }
        let command = ring[head]
        head = head + 1 < ring.count ? head + 1 : 0
        count -= 1
        return command
    }
}

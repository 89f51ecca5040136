// SPDX-License-Identifier: Apache-2.0

/// The counts of the replies to one command.
public struct CommandTally: Equatable, Sendable {
    public var requests = 0
    public var replies = 0
    public var errors = 0
    /// Keys (or fields, or members) that existed, and that did not.
    public var found = 0
    public var absent = 0
}

/// One kind of error reply: how often it came, and the first text of it.
public struct ErrorTally: Equatable, Sendable {
    public var count: Int
    public var example: String
}

/// All counts of requests and replies. Each thread has its own; they are merged at the end.
///
/// Invariants: 1. each reply is counted under the command that it answers, in the order sent;
/// 2. no error is dropped: a kind beyond `errorKindLimit` is counted as "other".
public struct Tally: Sendable {
    static let errorKindLimit = 64

    public private(set) var commands =
        [CommandTally](repeating: CommandTally(), count: LoadCommand.allCases.count)
    public private(set) var errors: [String: ErrorTally] = [:]
    public private(set) var pushes = 0

    public init() {}

    /// The result of a call of `receive`.
    public struct Received: Equatable, Sendable {
        /// Bytes consumed; the rest must be presented again, followed by more.
        public var consumed = 0
        public var replies = 0
        /// The peer broke the protocol: the connection must be closed.
        public var isMalformed = false
    }

    /// Counts every complete reply in `bytes`.
    public mutating func receive(
        _ bytes: Span<UInt8>, _ stream: inout ReplyStream
    ) -> Received {
        var received = Received()
        while true {
            switch stream.scanner.next(bytes, at: &received.consumed) {
            case .reply(let reply):
                guard let command = stream.outstanding.removeFirst() else {
                    received.isMalformed = true
                    return received
                }
                count(reply, of: command)
                received.replies += 1
            case .push:
                pushes += 1
            case .incomplete:
                return received
            case .malformed:
                received.isMalformed = true
                return received
            }
        }
    }

    mutating func countRequest(_ command: LoadCommand) {
        commands[Int(command.rawValue)].requests += 1
    }

    private mutating func count(_ reply: Reply, of command: LoadCommand) {
        let index = Int(command.rawValue)
        commands[index].replies += 1
        if let text = reply.errorText {
            commands[index].errors += 1
            countError(text)
            return
        }
        switch command.presence {
        case .null:
            commands[index].found += reply.values
            commands[index].absent += reply.nulls
        case .zero:
            commands[index].found += reply.isZero ? 0 : 1
            commands[index].absent += reply.isZero ? 1 : 0
        case .unknown:
            break
        }
    }

    private mutating func countError(_ text: String) {
        var kind = Tally.kind(of: text)
        if errors[kind] == nil, errors.count >= Tally.errorKindLimit { kind = "other" }
        errors[kind, default: ErrorTally(count: 0, example: text)].count += 1
    }

    /// The code that an error starts with. The general ERR takes three more words, which
    /// distinguish its kinds and leave out the numbers that texts end with.
    static func kind(of text: String) -> String {
        let words = text.split(separator: " ", maxSplits: 4)
        guard let code = words.first else { return "(empty)" }
        return code == "ERR" ? words.prefix(4).joined(separator: " ") : String(code)
    }

    public mutating func merge(_ other: Tally) {
        for index in commands.indices {
            commands[index].requests += other.commands[index].requests
            commands[index].replies += other.commands[index].replies
            commands[index].errors += other.commands[index].errors
            commands[index].found += other.commands[index].found
            commands[index].absent += other.commands[index].absent
        }
        for (kind, error) in other.errors {
            errors[kind, default: ErrorTally(count: 0, example: error.example)].count += error.count
        }
        pushes += other.pushes
    }

    public subscript(command: LoadCommand) -> CommandTally { commands[Int(command.rawValue)] }

    public var requests: Int { commands.reduce(0) { $0 + $1.requests } }
    public var replies: Int { commands.reduce(0) { $0 + $1.replies } }
    public var errorReplies: Int { commands.reduce(0) { $0 + $1.errors } }

    /// Keys found and absent, for the commands where these are the server's hits and misses.
    public var hits: Int { sumOfHits(\.found) }
    public var misses: Int { sumOfHits(\.absent) }

    private func sumOfHits(_ part: KeyPath<CommandTally, Int>) -> Int {
        LoadCommand.allCases.reduce(0) { $0 + ($1.countsHits ? self[$1][keyPath: part] : 0) }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The commands that a mix can contain, each declared once: its name in `--mix`, the type of its
/// keys, and what its reply says about the key.
///
/// Each type of value has its own keys, so no mix causes WRONGTYPE.
public enum LoadCommand: UInt8, CaseIterable, Sendable {
    case get, set, setex, mget, exists, del, incr, hset, hget, sadd, sismember, ping

    /// How a reply shows whether the key exists.
    enum Presence {
        /// A null, or each null in an array, means an absent key.
        case null
        /// The integer 0 means absent, any other means found.
        case zero
        case unknown
    }

    public var name: String { "\(self)" }

    /// The `{type}` part of the key: three letters each, so that keys keep one length.
    var keyType: String {
        switch self {
        case .get, .set, .setex, .mget, .exists, .del, .ping: "key"
        case .incr: "num"
        case .hset, .hget: "hsh"
        case .sadd, .sismember: "set"
        }
    }

    var presence: Presence {
        switch self {
        case .get, .mget, .hget: .null
        case .exists, .del, .sismember: .zero
        case .set, .setex, .incr, .hset, .sadd, .ping: .unknown
        }
    }

    /// Whether the server counts `found` and `absent` as keyspace hits and misses. Not for HGET and
    /// SISMEMBER: an absent field of an existing hash is a hit to the server.
    public var countsHits: Bool { self == .get || self == .mget || self == .exists }

    init?(name: String) {
        guard let command = LoadCommand.allCases.first(where: { $0.name == name }) else {
            return nil
        }
        self = command
    }
}

/// Commands with weights, drawn in proportion.
public struct Mix: Equatable, Sendable {
    public let commands: [LoadCommand]
    private let cumulativeWeights: [Int]

    /// Reads `get=80,set=15,mget=5`; a name alone has weight 1. Nil if it names an unknown command,
    /// a command twice, or no command with a weight above 0.
    public init?(_ text: String) {
        var commands: [LoadCommand] = []
        var cumulativeWeights: [Int] = []
        var total = 0
        for part in text.split(separator: ",") {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let command = LoadCommand(name: String(halves[0])),
                !commands.contains(command),
                let weight = halves.count == 1 ? 1 : Int(halves[1]),
                (0...1_000_000).contains(weight)
            else { return nil }
            if weight == 0 { continue }
            total += weight
            commands.append(command)
            cumulativeWeights.append(total)
        }
        guard total > 0 else { return nil }
        self.commands = commands
        self.cumulativeWeights = cumulativeWeights
    }

    func next(_ randomness: inout Randomness) -> LoadCommand {
        guard commands.count > 1 else { return commands[0] }
        let point = randomness.below(cumulativeWeights[cumulativeWeights.count - 1])
        var index = 0
        while cumulativeWeights[index] <= point { index += 1 }
        return commands[index]
    }

    public var text: String {
        var parts: [String] = []
        var previous = 0
        for (command, cumulative) in zip(commands, cumulativeWeights) {
            parts.append("\(command.name)=\(cumulative - previous)")
            previous = cumulative
        }
        return parts.joined(separator: ",")
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The commands a load can be mixed from, each declared once: its name in `--mix`, the type of
/// its keys, and what its reply says about the key.
///
/// Each type of value has keys of its own, so that no mix provokes WRONGTYPE.
public enum LoadCommand: UInt8, CaseIterable, Sendable {
    case get, set, setex, mget, exists, del, incr, hset, hget, sadd, sismember, ping

    /// How a reply tells a key that is there from one that is not.
    enum Presence {
        /// A null, or each null of an array, is an absent key.
        case null
        /// The integer 0 is absent, any other is found.
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

    /// Whether `found` and `absent` are what a server counts as keyspace hits and misses. HGET
    /// and SISMEMBER are not: an absent field of a hash that exists is a hit to the server.
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

    /// Reads `get=80,set=15,mget=5`; a name alone weighs 1. Nil if it names something unknown, a
    /// command twice, or no command with a weight above 0.
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

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// Intersections, unions and differences of the sets that a command names.
///
/// Why `SetValue` and not `Found`: finding a key may remove it as expired, which moves slots but no
/// entries. The command changes nothing until the result is complete.
private struct SetOperands {
    /// In the order of the keys; nil for a missing key.
    var sets: [SetValue?] = []

    /// Reads the keys at `ordinals`; nil after an error reply, if one holds another type.
    init?(_ ordinals: Range<Int>, _ keys: borrowing Hold, _ reply: inout ReplyWriter) {
        sets.reserveCapacity(ordinals.count)
        for ordinal in ordinals {
            switch keys.read(ordinal, as: .set) {
            case .missing:
                sets.append(nil)
            case .wrongType:
                reply.error(.wrongType)
                return nil
            case .found(let found):
                sets.append(SetValue(found.entry))
            }
        }
    }

    /// Whether the first key may take a result of up to `size` bytes; false after an error reply.
    /// Must be called before the sets are read, since making room may evict one of them.
    static func hasRoom(_ size: Int, _ keys: borrowing Hold, _ reply: inout ReplyWriter) -> Bool {
        guard let refusal = keys.refusal(ofGrowth: size, at: 0) else { return true }
        reply.error(refusal)
        return false
    }

    // MARK: - Intersection

    /// The sets by size, the smallest first. Empty if a key is missing: the intersection is empty
    /// then.
    var bySize: [SetValue] {
        let present = sets.compactMap { $0 }
        return present.count == sets.count ? present.sorted { $0.count < $1.count } : []
    }

    /// Calls `body` with the members that all of `sets` have, until it returns false. Looks up each
    /// member of the first set, which should be the smallest, in the others.
    static func forEachCommon(_ sets: [SetValue], while body: (SetMember) -> Bool) {
        guard let first = sets.first else { return }
        let others = sets.dropFirst().filter { $0.entry.address != first.entry.address }
        first.forEach(while: { member in
            for other in others where !other.contains(member) { return true }
            return body(member)
        })
    }

    // MARK: - Union

    func union(_ settings: SettingsReference) -> SetBuilder {
        var result = SetBuilder(settings, .integers)
        for set in sets {
            set?.forEach(while: { member in
                result.add(member)
                return true
            })
        }
        return result
    }

    // MARK: - Difference

    /// Whether to look up each member of the first set in the others, rather than to remove each
    /// member of the others from a copy of the first. A look-up counts half, as in Redis: it stops
    /// at the first set that has the member.
    private func prefersLooking(_ first: SetValue) -> Bool {
        var looked = 0
        var removed = 0
        for case .some(let set) in sets {
            looked += first.count
            removed += set.count
        }
        return looked / 2 <= removed
    }

    func difference(_ settings: SettingsReference) -> SetBuilder {
        var result = SetBuilder(settings, .integers)
        guard case .some(.some(let first)) = sets.first else { return result }
        let others = sets.dropFirst().compactMap { $0 }
        // If the first key is named again, nothing is left.
        if others.contains(where: { $0.entry.address == first.entry.address }) { return result }
        if prefersLooking(first) {
            // Why the largest first: it most likely has the member, which ends the search.
            let sorted = others.sorted { $0.count > $1.count }
            first.forEach(while: { member in
                for other in sorted where other.contains(member) { return true }
                result.add(member)
                return true
            })
            return result
        }
        first.forEach(while: { member in
            result.add(member)
            return true
        })
        for other in others where result.count > 0 {
            other.forEach(while: { member in
                result.remove(member)
                return true
            })
        }
        return result
    }
}

/// SINTER key [key ...]: the members that all sets have in common.
public enum SINTER: KeyCommand {
    public static let spec = CommandSpec(
        "sinter", arity: -2, [.readOnly], keys: [.range(1, -1, [.readOnly, .access])],
        usage: "key:key ...", since: "1.0.0",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is "
            + "the number of sets.",
        summary: "Returns the intersect of multiple sets.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let operands = SetOperands(0..<keys.count, keys, &reply) else { return }
        let mark = reply.begin()
        var count = 0
        SetOperands.forEachCommon(operands.bySize) { member in
            reply.member(member)
            count += 1
            return true
        }
        reply.finish(mark, .set, count: count)
    }
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit]: the size of the intersection, counted up to the
/// limit.
public enum SINTERCARD: KeyCommand {
    public static let spec = CommandSpec(
        "sintercard", arity: -3, [.readOnly, .movableKeys],
        keys: [.counted(at: 1, [.readOnly, .access])],
        usage: "numkeys:integer key:key ... [LIMIT limit:integer]", since: "7.0.0",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is "
            + "the number of sets.",
        summary: "Returns the number of members of the intersect of multiple sets.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let number = ASCIIInteger.parse(arguments[1]), number > 0 else {
            return reply.error("ERR numkeys should be greater than 0")
        }
        guard number <= Int64(arguments.count - 2) else {
            return reply.error("ERR Number of keys can't be greater than number of args")
        }
        var limit: Int64 = 0
        var options = OptionReader(arguments, from: 2 + Int(number))
        while let option = options.next() {
            guard option.isKeyword("LIMIT"), let value = options.value() else {
                return reply.error(.syntax)
            }
            guard let number = ASCIIInteger.parse(value), number >= 0 else {
                return reply.error("ERR LIMIT can't be negative")
            }
            limit = number
        }
        guard let operands = SetOperands(0..<keys.count, keys, &reply) else { return }
        var count: Int64 = 0
        SetOperands.forEachCommon(operands.bySize) { _ in
            count += 1
            return count != limit
        }
        reply.integer(count)
    }
}

/// SINTERSTORE destination key [key ...]: stores the intersection and replies its size.
public enum SINTERSTORE: KeyCommand {
    public static let spec = CommandSpec(
        "sinterstore", arity: -3, [.write, .denyOOM],
        keys: [.one(at: 1, [.readWrite, .update]), .range(2, -1, [.readOnly, .access])],
        usage: "destination:key key:key ...", since: "1.0.0",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is "
            + "the number of sets.",
        summary: "Stores the intersect of multiple sets in a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard SetOperands.hasRoom(keys.sizes(1..<keys.count).min() ?? 0, keys, &reply),
            let operands = SetOperands(1..<keys.count, keys, &reply)
        else { return }
        let sets = operands.bySize
        // Why packed first: appending is cheaper than inserting in order. `makeIntegers` converts a
        // result of integers at the end.
        var result = SetBuilder(keys.settings, sets.first?.isIntegers == true ? .integers : .packed)
        SetOperands.forEachCommon(sets) { member in
            result.add(member)
            return true
        }
        result.makeIntegers()
        reply.integer(keys.storeSet(0, result))
    }
}

/// SUNION key [key ...]: the members that at least one set has.
public enum SUNION: KeyCommand {
    public static let spec = CommandSpec(
        "sunion", arity: -2, [.readOnly], keys: [.range(1, -1, [.readOnly, .access])],
        usage: "key:key ...", since: "1.0.0",
        complexity: "O(N) where N is the total number of members in all given sets.",
        summary: "Returns the union of multiple sets.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let operands = SetOperands(0..<keys.count, keys, &reply) else { return }
        let present = operands.sets.compactMap { $0 }
        if present.count == 1 { return reply.members(present[0], as: .set) }
        operands.union(keys.settings).withValue { reply.members($0, as: .set) }
    }
}

/// SUNIONSTORE destination key [key ...]: stores the union and replies its size.
public enum SUNIONSTORE: KeyCommand {
    public static let spec = CommandSpec(
        "sunionstore", arity: -3, [.write, .denyOOM],
        keys: [.one(at: 1, [.overwrite, .update]), .range(2, -1, [.readOnly, .access])],
        usage: "destination:key key:key ...", since: "1.0.0",
        complexity: "O(N) where N is the total number of members in all given sets.",
        summary: "Stores the union of multiple sets in a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard SetOperands.hasRoom(keys.sizes(1..<keys.count).reduce(0, +), keys, &reply),
            let operands = SetOperands(1..<keys.count, keys, &reply)
        else { return }
        reply.integer(keys.storeSet(0, operands.union(keys.settings)))
    }
}

/// SDIFF key [key ...]: the members of the first set that no other has.
public enum SDIFF: KeyCommand {
    public static let spec = CommandSpec(
        "sdiff", arity: -2, [.readOnly], keys: [.range(1, -1, [.readOnly, .access])],
        usage: "key:key ...", since: "1.0.0",
        complexity: "O(N) where N is the total number of members in all given sets.",
        summary: "Returns the difference of multiple sets.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let operands = SetOperands(0..<keys.count, keys, &reply) else { return }
        operands.difference(keys.settings).withValue { reply.members($0, as: .set) }
    }
}

/// SDIFFSTORE destination key [key ...]: stores the difference and replies its size.
public enum SDIFFSTORE: KeyCommand {
    public static let spec = CommandSpec(
        "sdiffstore", arity: -3, [.write, .denyOOM],
        keys: [.one(at: 1, [.overwrite, .update]), .range(2, -1, [.readOnly, .access])],
        usage: "destination:key key:key ...", since: "1.0.0",
        complexity: "O(N) where N is the total number of members in all given sets.",
        summary: "Stores the difference of multiple sets in a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard SetOperands.hasRoom(keys.size(1), keys, &reply),
            let operands = SetOperands(1..<keys.count, keys, &reply)
        else { return }
        reply.integer(keys.storeSet(0, operands.difference(keys.settings)))
    }
}

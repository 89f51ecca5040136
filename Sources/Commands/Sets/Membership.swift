// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// SADD key member [member ...]: adds members and replies how many are new.
public enum SADD: KeyCommand {
    public static let spec = CommandSpec(
        "sadd", arity: -3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .insert])], usage: "key:key member ...", since: "1.0.0",
        complexity: "O(1) for each member added, so O(N) to add N members with one command.",
        summary: "Adds one or more members to a set. Creates the key if it doesn't exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let expected = arguments.count - 2
        var added = 0
        var next = 2
        let target: Found
        switch keys.find(0, as: .set) {
        case .wrongType:
            return reply.error(.wrongType)
        case .found(let found):
            target = found
            if expected > 1 { keys.prepareSet(found, expected: expected) }
        case .missing:
            target = keys.insertSet(0, arguments[2], expected: expected)
            added = 1
            next = 3
        }
        while next < arguments.count {
            if keys.addSetMember(target, arguments[next]) { added += 1 }
            next += 1
        }
        reply.integer(added)
    }
}

/// SREM key member [member ...]: removes members and replies how many existed.
public enum SREM: KeyCommand {
    public static let spec = CommandSpec(
        "srem", arity: -3, [.write, .fast], keys: [.one(at: 1, [.readWrite, .delete])],
        usage: "key:key member ...", since: "1.0.0",
        complexity: "O(N) where N is the number of members to be removed.",
        summary: "Removes one or more members from a set. "
            + "Deletes the set if the last member was removed.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.find(0, as: .set, else: .zero, &reply) else { return }
        var removed = 0
        for index in 2..<arguments.count {
            switch keys.removeSetMember(found, arguments[index]) {
            case .absent:
                break
            case .removed:
                removed += 1
            case .removedWithKey:
                return reply.integer(removed + 1)
            }
        }
        reply.integer(removed)
    }
}

/// SISMEMBER key member: 1 if the set has the member, else 0.
public enum SISMEMBER: KeyCommand {
    public static let spec = CommandSpec(
        "sismember", arity: 3, [.readOnly, .fast], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key member", since: "1.0.0", complexity: "O(1)",
        summary: "Determines whether a member belongs to a set.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .set, else: .zero, &reply) else { return }
        reply.integer(SetValue(found.entry).contains(arguments[2]) ? 1 : 0)
    }
}

/// SMISMEMBER key member [member ...]: 1 or 0 for each member.
public enum SMISMEMBER: KeyCommand {
    public static let spec = CommandSpec(
        "smismember", arity: -3, [.readOnly, .fast], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key member ...", since: "6.2.0",
        complexity: "O(N) where N is the number of members being checked.",
        summary: "Determines whether multiple members belong to a set.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.read(0)
        if let found, found.entry.type != .set { return reply.error(.wrongType) }
        let set = found.map { SetValue($0.entry) }
        reply.array(arguments.count - 2)
        for index in 2..<arguments.count {
            reply.integer(set?.contains(arguments[index]) == true ? 1 : 0)
        }
    }
}

/// SCARD key: the number of members.
public enum SCARD: KeyCommand {
    public static let spec = CommandSpec(
        "scard", arity: 2, [.readOnly, .fast], keys: [.one(at: 1, [.readOnly])], usage: "key:key",
        since: "1.0.0", complexity: "O(1)", summary: "Returns the number of members in a set.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .set, else: .zero, &reply) else { return }
        reply.integer(SetValue(found.entry).count)
    }
}

/// SMEMBERS key: all members.
public enum SMEMBERS: KeyCommand {
    public static let spec = CommandSpec(
        "smembers", arity: 2, [.readOnly], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key", since: "1.0.0", complexity: "O(N) where N is the set cardinality.",
        summary: "Returns all members of a set.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .set, else: .emptySet, &reply) else { return }
        reply.members(SetValue(found.entry), as: .set)
    }
}

/// SMOVE source destination member: moves a member and replies 1, or 0 if the source lacks it.
public enum SMOVE: KeyCommand {
    public static let spec = CommandSpec(
        "smove", arity: 4, [.write, .fast],
        keys: [
            .one(at: 1, [.readWrite, .access, .delete]), .one(at: 2, [.readWrite, .insert]),
        ],
        usage: "source:key destination:key member", since: "1.0.0", complexity: "O(1)",
        summary: "Moves a member from one set to another.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let member = arguments[3]
        guard let first = keys.find(0) else { return reply.integer(0) }
        let source = first.entry
        // Why entries: finding the destination may remove it as expired, which moves slots but no
        // entries.
        let target = keys.find(1)?.entry
        guard source.type == .set, target?.type ?? .set == .set else {
            return reply.error(.wrongType)
        }
        if source.address == target?.address {
            return reply.integer(SetValue(source).contains(member) ? 1 : 0)
        }
        guard SetValue(source).contains(member) else { return reply.integer(0) }
        let arriving = member.count + (target == nil ? keys.key(1).count : 0)
        if let refusal = keys.refusal(ofArrival: arriving, isNew: target == nil, at: 1) {
            return reply.error(refusal)
        }
        guard let found = keys.find(0), keys.removeSetMember(found, member) != .absent else {
            return reply.integer(0)
        }
        if let found = keys.find(1) {
            _ = keys.addSetMember(found, member)
        } else {
            _ = keys.insertSet(1, member, expected: 1)
        }
        reply.integer(1)
    }
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]: a page of members and the next cursor.
public enum SSCAN: KeyCommand {
    public static let spec = CommandSpec(
        "sscan", arity: -3, [.readOnly], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
        since: "2.8.0",
        complexity:
            "O(1) for every call. O(N) for a complete iteration, N being the number of members.",
        summary: "Iterates over members of a set.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let cursor = ScanOptions.cursor(arguments[2], &reply) else { return }
        guard let found = keys.read(0, as: .set, else: .emptyPage, &reply),
            let options = ScanOptions(arguments, from: 3, .set, &reply)
        else { return }
        let set = SetValue(found.entry)
        guard set.isTable else {
            // A packed set is one page.
            ScanOptions.writeHead(0, &reply)
            let mark = reply.begin()
            var count = 0
            set.forEach(while: { member in
                if member.withBytes({ options.matches($0) }) {
                    reply.member(member)
                    count += 1
                }
                return true
            })
            return reply.finish(mark, .array, count: count)
        }
        // Why an array: the reply starts with the next cursor, which is known only after the page.
        var members: [Bytes] = []
        let next = set.scan(
            from: MemberCursor.position(cursor), limit: options.count,
            bucketLimit: MemberCursor.bucketLimit(options.count)
        ) { if options.matches($0) { members.append($0) } }
        ScanOptions.writeHead(MemberCursor.cursor(next), &reply)
        reply.array(members.count)
        for member in members { reply.bulk(member) }
    }
}

extension ReplyWriter {
    /// A member of a set as a bulk string.
    @inline(__always)
    func member(_ member: SetMember) {
        switch member {
        case .bytes(let bytes): bulk(bytes)
        case .integer(let value): bulk(value)
        }
    }

    /// All members of a set, as a set or as an array.
    func members(_ set: SetValue, as kind: Aggregate) {
        if case .array = kind { array(set.count) } else { self.set(set.count) }
        set.forEach(while: { member in
            self.member(member)
            return true
        })
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// SPOP key [count]: takes members out by chance.
public enum SPOP: KeyCommand {
    public static let spec = CommandSpec(
        "spop", arity: -2, [.write, .fast], keys: [.one(at: 1, [.readWrite, .access, .delete])],
        usage: "key:key [count:integer]", since: "1.0.0",
        complexity:
            "Without the count argument O(1), otherwise O(N) where N is the value of the count.",
        summary: "Returns one or more random members from a set after removing them. "
            + "Deletes the set if the last member was popped.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 3 else { return reply.error(.syntax) }
        var count: Int?
        if arguments.count == 3 {
            guard let value = ASCIIInteger.parse(arguments[2]), value >= 0 else {
                return reply.error(.mustBePositive)
            }
            count = Int(value)
        }
        switch keys.find(0, as: .set) {
        case .missing:
            if count == nil { reply.null() } else { reply.set(0) }
        case .wrongType:
            reply.error(.wrongType)
        case .found(let found):
            guard let count else {
                return keys.popSetMembers(found, 1) { reply.member($0) }
            }
            guard count > 0 else { return reply.set(0) }
            let popped = min(count, SetValue(found.entry).count)
            reply.set(popped)
            keys.popSetMembers(found, popped) { reply.member($0) }
        }
    }
}

/// SRANDMEMBER key [count]: members by chance, different ones where the count is positive.
public enum SRANDMEMBER: KeyCommand {
    public static let spec = CommandSpec(
        "srandmember", arity: -2, [.readOnly], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key [count:integer]", since: "1.0.0",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value "
            + "of the count.",
        summary: "Gets one or multiple random members from a set.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 3 else { return reply.error(.syntax) }
        var count: Int?
        if arguments.count == 3 {
            guard let value = RandomDraw.count(arguments[2], &reply) else { return }
            count = value
        }
        let set: SetValue
        switch keys.read(0, as: .set) {
        case .missing:
            if count == nil { reply.null() } else { reply.array(0) }
            return
        case .wrongType:
            return reply.error(.wrongType)
        case .found(let found):
            set = SetValue(found.entry)
        }
        guard let count else {
            return reply.member(set.random(&keys.random))
        }
        write(count, of: set, &keys.random, &reply)
    }

    private static func write(
        _ count: Int, of set: SetValue, _ random: inout Random, _ reply: inout ReplyWriter
    ) {
        guard count >= 0 else {
            let writer = reply
            return RandomDraw.writeRepeating(-count, &reply) { mayGoOn in
                set.draw(-count, &random) { member in
                    writer.member(member)
                    return mayGoOn()
                }
            }
        }
        guard count < set.count else { return reply.members(set, as: .array) }
        reply.array(count)
        guard count > 0 else { return }
        set.sample(count, &random) { reply.member($0) }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// SPOP key [count]: removes random members and replies them.
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
        let missing = count == nil ? MissingReply.null : .emptySet
        guard let found = keys.find(0, as: .set, else: missing, &reply) else { return }
        guard let count else { return keys.popSetMembers(found, 1) { reply.member($0) } }
        guard count > 0 else { return reply.set(0) }
        let popped = min(count, SetValue(found.entry).count)
        reply.set(popped)
        keys.popSetMembers(found, popped) { reply.member($0) }
    }
}

/// SRANDMEMBER key [count]: random members. A positive count returns distinct members, a negative
/// one may repeat them.
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
        let missing = count == nil ? MissingReply.null : .emptyArray
        guard let found = keys.read(0, as: .set, else: missing, &reply) else { return }
        let set = SetValue(found.entry)
        guard let count else { return reply.member(set.random(&keys.random)) }
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

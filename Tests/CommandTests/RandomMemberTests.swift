// SPDX-License-Identifier: Apache-2.0
import Base
import TestSupport
import Testing

@testable import Storage

/// SRANDMEMBER, SPOP and HRANDFIELD choose evenly, from packed collections and from tables.
@Suite struct RandomMemberTests {
    @Test(arguments: [2, 3, 300, 5000]) func everyMemberHasTheSameChance(_ count: Int) {
        let database = Database()
        database.worker.pointee.random = Random(seed: UInt64(count))
        let members = (0..<count).map { "member:\($0)" }
        _ = database.run((["SADD", "set"] + members).map { Array($0.utf8) })
        _ = database.run(
            (["HSET", "hash"] + members.flatMap { [$0, "v"] }).map { Array($0.utf8) })
        var drawn = Evenness<String>(among: count)
        var fields = Evenness<String>(among: count)
        var popped = Evenness<String>(among: count)
        for _ in 0..<max(6000, 4 * count) {
            drawn.note(database.run("SRANDMEMBER", "set"))
            fields.note(database.run("HRANDFIELD", "hash"))
            let member = database.run("SPOP", "set")
            popped.note(member)
            let name = member.split(separator: "\r\n").last.map(String.init) ?? ""
            database.run("SADD", "set", name)
        }
        for (command, evenness) in [
            ("SRANDMEMBER", drawn), ("HRANDFIELD", fields), ("SPOP", popped),
        ] {
            #expect(evenness.isEven, "\(command): \(evenness.summary)")
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Commands

@Suite struct CommandUsageTests {
    /// Every command and subcommand.
    private static var specs: [CommandSpec] {
        CommandTable(Families.all).all.flatMap { entry in
            (entry.subcommands.isEmpty ? [entry] : entry.subcommands.map { $0.pointee }).map(\.spec)
        }
    }

    @Test(arguments: specs.map(\.name))
    func usageAgreesWithArityAndKeys(name: String) throws {
        let spec = try #require(CommandUsageTests.specs.first { $0.name == name })
        let usage = try #require(CommandUsage.parse(spec.usage), "the usage breaks the grammar")
        let words = name.contains("|") ? 2 : 1
        // Why these: their handlers check for a first argument themselves, as in Redis.
        let looser = [
            "shutdown", "quit", "client|kill", "client|pause", "command|list", "client|list",
            "lolwut", "memory|usage",
        ]
        let least = CommandUsage.countMin(usage) + words
        if !looser.contains(name) {
            #expect(least == abs(spec.arity), "written with \(least) words, arity \(spec.arity)")
            let isFixed = usage.allSatisfy { $0.isFixed }
            if spec.arity > 0 { #expect(isFixed) }
        }
        var position = words
        for (index, item) in usage.enumerated() {
            guard case .argument(type: "key") = item.kind else { break }
            let isNamed = spec.keys.contains {
                if case .range(let first, let last, _) = $0.position {
                    first <= position && (last < 0 || last >= position)
                } else {
                    false
                }
            }
            #expect(isNamed, "argument \(index) is a key that no key specification names")
            position += 1
        }
    }

    @Test func trees() throws {
        let text = "key:key value [NX | XX] [EX seconds:integer | KEEPTTL]"
        let set = try #require(CommandUsage.parse(text))
        #expect(set.count == 4)
        #expect(set[2].isOptional)
        guard case .choice(let expiry) = set[3].kind else { throw Failure() }
        #expect(expiry[0].token == "EX" && expiry[0].kind == .argument(type: "integer"))
        #expect(expiry[1].kind == .token)
        let many = try #require(CommandUsage.parse("(key:key value) ..."))
        #expect(many[0].isRepeated)
        #expect(CommandUsage.parse("[a") == nil)
        #expect(CommandUsage.parse("a ]") == nil)
        #expect(CommandUsage.parse("... a") == nil)
    }

    private struct Failure: Error {}
}

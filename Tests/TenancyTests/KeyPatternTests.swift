// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

/// Which keys name a tenant, which tenant that is, and which patterns are invalid.
@Suite struct KeyPatternTests {
    static func tenant(_ pattern: String, _ key: String) throws -> String? {
        let pattern = try KeyPattern(pattern)
        return Array(key.utf8).withBytes { pattern.tenant(in: $0)?.string }
    }

    @Test(arguments: [
        ("tenant:acme:users", "acme"), ("tenant:acme:", "acme"), ("tenant:a:b:c", "a"),
        ("tenant:a b\u{E9}:x", "a b\u{E9}"), ("tenant:{x}:y", "{x}"),
        ("tenant:acme", nil), ("tenant::x", nil), ("tenant:", nil), ("tenant", nil), ("", nil),
        ("Tenant:acme:x", nil), (" tenant:acme:x", nil), ("xtenant:acme:x", nil),
    ])
    func anythingBehindTheTenant(key: String, id: String?) throws {
        #expect(try Self.tenant("tenant:{tenant}:*", key) == id)
    }

    @Test(arguments: [
        ("rate_limit:acme:github", "acme"), ("rate_limit:acme:a:b", "acme"),
        ("rate_limit:acme:", nil), ("rate_limit:acme", nil), ("rate_limit::github", nil),
        ("rate_limit:acme::", "acme"),
    ])
    func aFieldBehindTheTenant(key: String, id: String?) throws {
        #expect(try Self.tenant("rate_limit:{tenant}:{connector}", key) == id)
    }

    @Test(arguments: [
        ("{tenant}", "acme", "acme"), ("{tenant}", "", nil), ("t:{tenant}", "t:a:b", "a:b"),
        ("{tenant}*", "acme", "acme"), ("{tenant}:*", "a:b", "a"), ("{tenant}:*", ":b", nil),
        ("{tenant}:x", "a:x", "a"), ("{tenant}:x", "a:xy", nil), ("{tenant}:x", "a:b:x", nil),
        ("{tenant}:{a}/{b}:*", "t:1/2:3", "t"), ("{tenant}:{a}/{b}:*", "t:/2:3", nil),
        ("{tenant}:{a}/{b}:*", "t:1/:3", nil), ("{tenant}:{a}/{b}:*", "t:1/2", nil),
        ("{tenant}::{a}", "t::1", "t"), ("{tenant}::{a}", "t:1", nil),
        ("{tenant}:{a}*", "t:1", "t"), ("{tenant}:{a}*", "t:", nil),
    ])
    func otherShapes(pattern: String, key: String, id: String?) throws {
        #expect(try Self.tenant(pattern, key) == id, "\(pattern) \(key)")
    }

    @Test func aTenantHasAtMost128Bytes() throws {
        let longest = String(repeating: "t", count: KeyPattern.tenantSizeMax)
        #expect(KeyPattern.tenantSizeMax == 128)
        #expect(try Self.tenant("tenant:{tenant}:*", "tenant:\(longest):x") == longest)
        #expect(try Self.tenant("tenant:{tenant}:*", "tenant:\(longest)t:x") == nil)
        #expect(try Self.tenant("{tenant}", longest + "t") == nil)
    }

    @Test func keysOfAnyBytes() throws {
        let pattern = try KeyPattern("t:{tenant}:*")
        let key: [UInt8] = [116, 58, 0, 255, 10, 58, 0]
        #expect(key.withBytes { pattern.tenant(in: $0)?.array } == [0, 255, 10])
    }

    @Test(arguments: [
        ("tenant:*", "behind {tenant}"), ("tenant:", "missing"), ("", "missing"),
        ("tenant:{}:x", "before {tenant}"),
        ("{tenant}:{tenant}", "twice"), ("{tenant", "not closed"), ("a{tenant}:{b", "not closed"),
        ("*{tenant}", "at the end"), ("{tenant}:*:x", "at the end"), ("{tenant}**", "at the end"),
        ("{a}:{tenant}", "before {tenant}"), ("{tenant}{a}", "parts {tenant}"),
        ("{tenant}:{a}{b}", "two names"),
    ])
    func isRefused(pattern: String, reason: String) {
        #expect {
            try KeyPattern(pattern)
        } throws: { error in
            (error as? KeyPattern.Malformed)?.reason.contains(reason) == true
        }
    }

    @Test func patternsAreEqualByTheirText() throws {
        #expect(try KeyPattern("t:{tenant}:*") == KeyPattern("t:{tenant}:*"))
        #expect(try KeyPattern("t:{tenant}:*") != KeyPattern("t:{tenant}:x"))
        #expect(try KeyPattern("t:{tenant}:*").text == "t:{tenant}:*")
    }
}

// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// The command line, and how errors in it are reported.
struct OptionTests {
    @Test func everythingIsStored() throws {
        let options = try LoadOptions(arguments: [
            "--host", "::1", "--port=7000", "--connections", "8", "--threads", "2",
            "--pipeline=16", "--rate", "5000", "--duration", "2.5", "--keys", "1000",
            "--distribution", "zipf:1.2", "--value-size", "10-20", "--mix", "get=9,hset=1",
            "--ttl", "30", "--tenants", "4", "--seed", "99", "--pid", "1", "--json", "--resp3",
            "--password", "p", "--user", "u", "--progress", "--members", "3",
        ])
        #expect(options.host == "::1")
        #expect(options.port == 7000)
        #expect(options.connections == 8)
        #expect(options.threads == 2)
        #expect(options.pipeline == 16)
        #expect(options.ratePerSecond == 5000)
        #expect(options.durationSeconds == 2.5)
        #expect(options.requests > 1 << 60)
        #expect(options.distribution == .zipf(exponent: 1.2))
        #expect(options.valueSize == 10...20)
        #expect(options.mix.text == "get=9,hset=1")
        #expect(options.ttlSeconds == 30)
        #expect(options.keyPattern.text == KeyPattern.perTenant)
        #expect(options.seed == 99)
        #expect(options.members == 3)
        #expect(options.printsJSON && options.usesRESP3 && options.showsProgress)
    }

    @Test func aDurationWithRequestsKeepsBothBounds() throws {
        for arguments in [
            ["--requests", "1000000", "--duration", "5"],
            ["--duration", "5", "--requests", "1000000"],
        ] {
            #expect(try LoadOptions(arguments: arguments).requests == 1_000_000)
        }
    }

    @Test(arguments: [
        ["--nonsense"], ["--port"], ["--port", "0"], ["--port", "x"], ["--mix", "fly=1"],
        ["--mix", "get=1,get=2"], ["--mix", "get=0"], ["--mix", ""], ["--value-size", "9-3"],
        ["--value-size", "-1"], ["--value-size", "1-2-3"], ["--distribution", "zipf:0"],
        ["--distribution", "even"], ["--json=1"], ["--threads", "9", "--connections", "8"],
        ["--tenants", "10", "--keys", "5"], ["--key-pattern", "nokey"],
        ["--key-pattern", "{key}{key}"], ["--key-pattern", "{who}{key}"],
        ["--key-pattern", "a{key}", "--mix", "get,sadd"],
        ["--key-pattern", "{type}{key}", "--tenants", "2"], ["--user", "x"],
        ["--auth-tenants", "same:secret"], ["--value-size", "200000000", "--pipeline", "100"],
        ["--duration", "nan"], ["--rate", "0"],
    ])
    func nonsenseIsRefused(arguments: [String]) {
        #expect(throws: OptionError.self) { try LoadOptions(arguments: arguments) }
    }

    @Test func credentialsNameTheTenant() throws {
        let credentials = try #require(TenantCredentials("t{tenant}:s-{tenant}:x"))
        let credential = credentials.credential(of: 42)
        #expect(credential.name == "t000042")
        #expect(credential.secret == "s-000042:x")
    }

    @Test func helpNamesEveryOption() {
        for name in ["--rate", "--mix", "--auth-tenants", "--pid", "--json"] {
            #expect(LoadOptions.help.contains(name))
        }
    }
}

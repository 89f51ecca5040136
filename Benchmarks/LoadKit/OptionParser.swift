// SPDX-License-Identifier: Apache-2.0

/// Why a command line is invalid, as a sentence for the person who wrote it.
public struct OptionError: Error, Equatable, Sendable {
    public let message: String
}

/// One option: its name, what it takes, what it means, and how it is stored. The help comes from
/// the same table, so no option is undocumented.
private struct Option {
    let name: String
    let argument: String?
    let help: String
    let apply: (inout LoadOptions, String) -> Bool

    init(
        _ name: String, _ argument: String?, _ help: String,
        _ apply: @escaping (inout LoadOptions, String) -> Bool
    ) {
        self.name = name
        self.argument = argument
        self.help = help
        self.apply = apply
    }
}

extension LoadOptions {
    /// Reads `--name value` and `--name=value`.
    public init(arguments: [String]) throws(OptionError) {
        self.init()
        let table = LoadOptions.optionTable()
        var given: Set<String> = []
        var index = 0
        while index < arguments.count {
            let halves = arguments[index].split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(halves[0])
            guard let option = table.first(where: { $0.name == name }) else {
                throw OptionError(message: "unknown option \(name); see --help")
            }
            index += 1
            var value = ""
            if option.argument != nil {
                if halves.count == 2 {
                    value = String(halves[1])
                } else if index < arguments.count {
                    value = arguments[index]
                    index += 1
                } else {
                    throw OptionError(message: "\(name) needs a value")
                }
            } else if halves.count == 2 {
                throw OptionError(message: "\(name) takes no value")
            }
            guard option.apply(&self, value) else {
                throw OptionError(message: "\(name): '\(value)' is not \(option.argument ?? "")")
            }
            given.insert(name)
        }
        if tenants > 1, tenantCredentials == nil, !given.contains("--key-pattern") {
            keyPattern = LoadOptions.perTenantPattern
        }
        if given.contains("--duration"), !given.contains("--requests") { requests = Int.max / 2 }
        if let problem = problem() { throw OptionError(message: problem) }
    }

    public static var help: String {
        var text = """
            martlet-benchmark: load a server that speaks RESP, and measure it.

            Closed loop: each connection sends --pipeline requests, waits for all their replies,
            and sends the next. Open loop (--rate): requests are due at fixed times whatever the
            server does, and latency counts from the time a request was due.


            """
        for option in optionTable() {
            let left = "  " + option.name + (option.argument.map { " " + $0 } ?? "")
            let gap = String(repeating: " ", count: max(2, 34 - left.count))
            text += left + gap + option.help + "\n"
        }
        return text
    }

    private static func optionTable() -> [Option] {
        targetOptions() + loopOptions() + workloadOptions() + outputOptions()
    }

    private static func targetOptions() -> [Option] {
        [
            Option("--host", "HOST", "Server's address (127.0.0.1)") { $0.store($1, in: \.host) },
            Option("--port", "1-65535", "Server's port (6379)") {
                $0.store($1, in: \.port, 1...65535)
            },
            Option("--unix", "PATH", "Unix socket instead of TCP") {
                $0.unixPath = $1
                return !$1.isEmpty
            },
            Option("--user", "NAME", "User for AUTH, with --password") {
                $0.user = $1
                return !$1.isEmpty
            },
            Option("--password", "SECRET", "Password for AUTH") {
                $0.password = $1
                return !$1.isEmpty
            },
            Option("--resp3", nil, "Speak RESP3 (HELLO 3)") { options, _ in
                options.usesRESP3 = true
                return true
            },
            Option("--timeout", "SECONDS", "Give up after this long without a reply (10)") {
                $0.store($1, in: \.timeoutSeconds, 0.001...86400)
            },
        ]
    }

    private static func loopOptions() -> [Option] {
        [
            Option("--connections", "1-100000", "Connections in all (50)") {
                $0.store($1, in: \.connections, 1...100_000)
            },
            Option("--threads", "1-256", "Threads that share them (1)") {
                $0.store($1, in: \.threads, 1...256)
            },
            Option("--pipeline", "1-100000", "Requests outstanding per connection (1)") {
                $0.store($1, in: \.pipeline, 1...100_000)
            },
            Option("--rate", "REQUESTS/S", "Open loop at this rate over all connections") {
                guard let rate = Double($1), (0.001...1e9).contains(rate) else { return false }
                $0.ratePerSecond = rate
                return true
            },
            Option("--requests", "COUNT", "Stop after this many (1000000 without --duration)") {
                $0.store($1, in: \.requests, 1...Int.max / 2)
            },
            Option("--duration", "SECONDS", "Stop after this long (600)") {
                $0.store($1, in: \.durationSeconds, 0.001...86400)
            },
        ]
    }

    private static func workloadOptions() -> [Option] {
        let names = LoadCommand.allCases.map(\.name).joined(separator: " ")
        return [
            Option("--mix", "NAME=WEIGHT,...", "Mix of \(names) (get=80,set=20)") {
                guard let mix = Mix($1) else { return false }
                $0.mix = mix
                return true
            },
            Option("--keys", "COUNT", "Keys in the keyspace (1000000)") {
                $0.store($1, in: \.keys, 1...999_999_999_999)
            },
            Option(
                "--distribution", "uniform|zipf[:S]|sequential",
                "How keys are drawn (uniform; S 0.99)"
            ) {
                $0.storeDistribution($1)
            },
            Option("--key-pattern", "TEXT", "Places {key} {type} {tenant} (\(KeyPattern.plain))") {
                guard let pattern = KeyPattern($1) else { return false }
                $0.keyPattern = pattern
                return true
            },
            Option("--value-size", "BYTES|MIN-MAX", "Size of values (32)") {
                $0.storeValueSize($1)
            },
            Option("--mget-keys", "1-10000", "Keys per MGET (10)") {
                $0.store($1, in: \.mgetKeys, 1...10_000)
            },
            Option("--members", "1-999999", "Fields of a hash, members of a set (16)") {
                $0.store($1, in: \.members, 1...999_999)
            },
            Option("--ttl", "SECONDS", "Expiry for SET and SETEX (SET none, SETEX 60)") {
                guard let ttl = Int($1), (1...1_000_000_000).contains(ttl) else { return false }
                $0.ttlSeconds = ttl
                return true
            },
            Option("--tenants", "1-1000000", "Tenants that own the keys (1)") {
                $0.store($1, in: \.tenants, 1...1_000_000)
            },
            Option("--auth-tenants", "NAME:SECRET", "Log each connection in as a {tenant}") {
                guard let credentials = TenantCredentials($1) else { return false }
                $0.tenantCredentials = credentials
                return true
            },
            Option("--seed", "NUMBER", "Equal seeds give equal requests (1)") {
                guard let seed = UInt64($1) else { return false }
                $0.seed = seed
                return true
            },
        ]
    }

    private static func outputOptions() -> [Option] {
        [
            Option("--pid", "PID", "Measure this server process: CPU per request, memory") {
                guard let process = Int32($1), process > 0 else { return false }
                $0.serverProcess = process
                return true
            },
            Option("--progress", nil, "Print a line a second even if stderr is no terminal") {
                options, _ in
                options.showsProgress = true
                return true
            },
            Option("--json", nil, "Print the result as JSON") { options, _ in
                options.printsJSON = true
                return true
            },
            Option("--help", nil, "Print this") { options, _ in
                options.printsHelp = true
                return true
            },
        ]
    }

    private mutating func store(_ text: String, in path: WritableKeyPath<LoadOptions, String>)
        -> Bool
    {
        self[keyPath: path] = text
        return !text.isEmpty
    }

    private mutating func store(
        _ text: String, in path: WritableKeyPath<LoadOptions, Int>, _ range: ClosedRange<Int>
    ) -> Bool {
        guard let number = Int(text), range.contains(number) else { return false }
        self[keyPath: path] = number
        return true
    }

    private mutating func store(
        _ text: String, in path: WritableKeyPath<LoadOptions, Double>, _ range: ClosedRange<Double>
    ) -> Bool {
        guard let number = Double(text), range.contains(number) else { return false }
        self[keyPath: path] = number
        return true
    }

    private mutating func storeDistribution(_ text: String) -> Bool {
        let halves = text.split(separator: ":", maxSplits: 1)
        switch (halves.first, halves.count) {
        case ("uniform", 1): distribution = .uniform
        case ("sequential", 1): distribution = .sequential
        case ("zipf", 1): distribution = .zipf(exponent: 0.99)
        case ("zipf", 2):
            guard let exponent = Double(halves[1]), (0.01...10).contains(exponent) else {
                return false
            }
            distribution = .zipf(exponent: exponent)
        default: return false
        }
        return true
    }

    private mutating func storeValueSize(_ text: String) -> Bool {
        let sizes = text.split(separator: "-").compactMap { Int($0) }
        guard let low = sizes.first, let high = sizes.last, sizes.count <= 2, low <= high,
            high <= LoadOptions.batchSizeLimit,
            text == sizes.map(String.init).joined(separator: "-")
        else { return false }
        valueSize = low...high
        return true
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The credentials of each connection: `name:secret`, with `{tenant}` in at least one of the two.
public struct TenantCredentials: Equatable, Sendable {
    private let name: String
    private let secret: String

    init?(_ text: String) {
        let halves = text.split(separator: ":", maxSplits: 1)
        guard halves.count == 2, text.contains("{tenant}") else { return nil }
        name = String(halves[0])
        secret = String(halves[1])
    }

    public func credential(of tenant: Int) -> (name: String, secret: String) {
        (replaced(name, tenant), replaced(secret, tenant))
    }

    private func replaced(_ text: String, _ tenant: Int) -> String {
        let digits = String(tenant)
        let zeros = String(repeating: "0", count: max(0, KeyPattern.tenantWidth - digits.count))
        return text.split(separator: "{tenant}", omittingEmptySubsequences: false)
            .joined(separator: zeros + digits)
    }
}

/// What to load, how, and for how long. Every run ends: its requests and its time are limited.
///
/// Invariants, which `problem` checks: threads <= connections; tenants <= keys; numbers fit the
/// digits of the key pattern; a batch fits `batchSizeLimit`.
public struct LoadOptions: Equatable, Sendable {
    static let batchSizeLimit = 256 << 20

    // Where.
    public var host = "127.0.0.1"
    public var port = 6379
    public var unixPath: String?
    public var user: String?
    public var password: String?
    public var usesRESP3 = false
    public var timeoutSeconds = 10.0

    // How much at once, and until when.
    public var connections = 50
    public var threads = 1
    public var pipeline = 1
    /// Requests per second over all connections; nil means closed loop.
    public var ratePerSecond: Double?
    public var requests = 1_000_000
    public var durationSeconds = 600.0

    // What.
    public var mix = LoadOptions.defaultMix
    public var keys = 1_000_000
    public var distribution = Distribution.uniform
    public var keyPattern = LoadOptions.plainPattern
    public var valueSize = 32...32
    public var mgetKeys = 10
    public var members = 16
    public var ttlSeconds: Int?
    public var tenants = 1
    public var tenantCredentials: TenantCredentials?
    public var seed: UInt64 = 1

    // What to say.
    public var serverProcess: Int32?
    public var showsProgress = false
    public var printsJSON = false
    public var printsHelp = false

    static let defaultMix = named(Mix("get=80,set=20"))
    static let plainPattern = named(KeyPattern(KeyPattern.plain))
    static let perTenantPattern = named(KeyPattern(KeyPattern.perTenant))

    private static func named<Value>(_ value: Value?) -> Value {
        guard let value else { preconditionFailure("a default of the options does not parse") }
        return value
    }

    public init() {}

    /// What is wrong with the options taken together, or nil.
    func problem() -> String? {
        if threads > connections { return "--threads must not exceed --connections" }
        if tenants > keys { return "--tenants must not exceed --keys" }
        let types = Set(mix.commands.map(\.keyType))
        if types.count > 1, !keyPattern.namesType {
            return "--key-pattern needs {type}: the mix has keys of more than one type"
        }
        if tenants > 1, !keyPattern.namesTenant, tenantCredentials == nil {
            return "--tenants needs {tenant} in --key-pattern, or --auth-tenants"
        }
        if tenantCredentials != nil, password != nil {
            return "--auth-tenants and --password exclude each other"
        }
        if user != nil, password == nil { return "--user needs --password" }
        let largest = RequestWriter.maximumRequestSize(self)
        if largest > LoadOptions.batchSizeLimit / pipeline {
            return "a batch would exceed 256 MiB: lower --pipeline, --value-size or --mget-keys"
        }
        return nil
    }

    public var modeText: String {
        guard let ratePerSecond else { return "closed loop" }
        return "open loop at \(Format.grouped(Int(ratePerSecond))) requests/s"
    }

    public var endpointText: String { unixPath ?? "\(host):\(port)" }

    public var distributionText: String {
        switch distribution {
        case .uniform: "uniform"
        case .zipf(let exponent): "zipf:\(exponent)"
        case .sequential: "sequential"
        }
    }

    public var valueSizeText: String {
        valueSize.count == 1
            ? "\(valueSize.lowerBound)" : "\(valueSize.lowerBound)-\(valueSize.upperBound)"
    }
}

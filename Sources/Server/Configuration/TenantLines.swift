// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy

/// `NAME [memory=] [keys=] [ops-per-second=] [ops-per-day=] [bandwidth-per-day=] [connections=]
/// [at-limit=]`: the words of a `tenant-plan` directive.
struct PlanLine {
    let plan: Plan
    let words: [String]

    init(_ words: [String]) throws(Directive.Unacceptable) {
        guard let name = words.first, !name.isEmpty, !name.contains("=") else {
            throw Directive.Unacceptable("a plan must begin with its name")
        }
        var limits = Limits()
        var seen: Set<String> = []
        for word in words.dropFirst() {
            let (key, value) = try OptionWord.split(word, &seen)
            switch key {
            case "memory": limits.memory = try PlanLine.size(key, value)
            case "bandwidth-per-day": limits.bandwidthPerDay = try PlanLine.size(key, value)
            case "keys": limits.keys = try PlanLine.count(key, value)
            case "ops-per-second": limits.operationsPerSecond = try PlanLine.count(key, value)
            case "ops-per-day": limits.operationsPerDay = try PlanLine.count(key, value)
            case "connections": limits.connections = try PlanLine.count(key, value)
            case "at-limit":
                guard let atLimit = Limits.AtLimit(rawValue: value) else {
                    throw Directive.Unacceptable("at-limit must be reject, evict or throttle")
                }
                limits.atLimit = atLimit
            default: throw Directive.Unacceptable("'\(key)' is no limit of a plan")
            }
        }
        plan = Plan(name: name, limits: limits)
        self.words = words
    }

    private static func size(_ key: String, _ value: String) throws(Directive.Unacceptable) -> Int {
        guard let size = MemorySize.parse(value), size > 0 else {
            throw Directive.Unacceptable("\(key) must be a memory value above 0")
        }
        return try bounded(key, size)
    }

    private static func count(_ key: String, _ value: String) throws(Directive.Unacceptable) -> Int
    {
        guard let count = Int(value), count > 0 else {
            throw Directive.Unacceptable("\(key) must be an integer above 0")
        }
        return try bounded(key, count)
    }

    private static func bounded(
        _ key: String, _ value: Int
    ) throws(Directive.Unacceptable) -> Int {
        guard value <= Limits.valueMax else {
            throw Directive.Unacceptable("\(key) must be at most \(Limits.valueMax)")
        }
        return value
    }
}

/// `ID [plan=] [secret=]`: the words of a `tenant` directive. In the tenants file `secret-digest=`
/// holds the digest of the secret instead. A secret is forgotten as soon as its digest is made.
struct TenantLine: Equatable {
    let id: String
    let plan: String?
    let secretDigest: [UInt8]?

    init(id: String, plan: String?, secretDigest: [UInt8]?) {
        self.id = id
        self.plan = plan
        self.secretDigest = secretDigest
    }

    init(_ words: [String]) throws(Directive.Unacceptable) {
        guard let id = words.first, !id.isEmpty,
            id.utf8.count <= KeyPattern.tenantSizeMax,
            id.utf8.allSatisfy({ ASCII.isPrintable($0) && $0 != 32 })
        else {
            throw Directive.Unacceptable(
                "a tenant's id must be 1 to \(KeyPattern.tenantSizeMax) printable characters "
                    + "without blanks"
            )
        }
        var plan: String?
        var digest: [UInt8]?
        var seen: Set<String> = []
        for word in words.dropFirst() {
            let (key, value) = try OptionWord.split(word, &seen)
            switch key {
            case "plan": plan = value
            case "secret":
                guard !value.isEmpty else { throw Directive.Unacceptable("the secret is empty") }
                digest = Secret.digest(Array(value.utf8))
            case "secret-digest":
                guard let bytes = Secret.digest(hexadecimal: value) else {
                    throw Directive.Unacceptable("a secret-digest must be 64 hexadecimal digits")
                }
                digest = bytes
            default: throw Directive.Unacceptable("'\(key)' is no option of a tenant")
            }
        }
        self.init(id: id, plan: plan, secretDigest: digest)
    }

    var words: [String] {
        var words = [id]
        if let plan { words.append("plan=\(plan)") }
        if let secretDigest {
            words.append("secret-digest=\(ConfigurationText.hexadecimal(secretDigest))")
        }
        return words
    }
}

/// `name=value`, each name once.
enum OptionWord {
    static func split(
        _ word: String, _ seen: inout Set<String>
    ) throws(Directive.Unacceptable) -> (key: String, value: String) {
        guard let sign = word.firstIndex(of: "="), sign != word.startIndex else {
            throw Directive.Unacceptable("'\(word)' is not of the form name=value")
        }
        let key = String(word[..<sign])
        guard seen.insert(key).inserted else {
            throw Directive.Unacceptable("'\(key)' is given twice")
        }
        return (key, String(word[word.index(after: sign)...]))
    }
}

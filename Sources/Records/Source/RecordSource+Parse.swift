// SPDX-License-Identifier: Apache-2.0

/// Parses a `record-source` directive.
///
/// `NAME table=[SCHEMA.]TABLE key=TEMPLATE [key=TEMPLATE ...] [columns=a,b] [tenant=COLUMN]
/// [plan=COLUMN] [format=json|hash] [ttl=SECONDS] [negative-ttl=SECONDS] [stale-ttl=SECONDS]`
///
/// Defaults: all columns, JSON, one hour, one minute for a missing row, and no stale answers.
extension RecordSource {
    static let timeToLiveDefaultSeconds: Int64 = 3600
    static let negativeTimeToLiveDefaultSeconds: Int64 = 60
    static let timeToLiveSecondsMax: Int64 = 315_360_000
    static let nameSizeMax = 40
    static let identifierSizeMax = 63
    static let lookupCountMax = 16
    /// Reserved: the name before the colon in a probe's notification, where others name a source.
    static let probeName = "probe"

    /// Parses the words that follow `record-source`.
    public init(arguments: [String]) throws(RecordError) {
        guard let name = arguments.first, !name.contains("=") else {
            throw RecordError(
                "record-source: a name is wanted first, as in 'record-source tenants table=…'")
        }
        try RecordSource.checkName(name)
        var draft = Draft(name: name)
        for argument in arguments.dropFirst() { try draft.take(argument) }
        self = try draft.finish()
    }

    private static func checkName(_ name: String) throws(RecordError) {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= nameSizeMax else {
            throw RecordError(
                "record-source \(name): a name is up to \(nameSizeMax) letters, digits, '_' and '-'"
            )
        }
        guard name != probeName else {
            throw RecordError("record-source \(name): this name is reserved")
        }
    }
}

/// The settings of a directive while its words are parsed.
private struct Draft {
    let name: String
    var seen: Set<String> = []
    var schema: String?
    var table: String?
    var lookups: [RecordLookup] = []
    var columns: [String] = []
    var tenant: String?
    var plan: String?
    var format = RecordSource.Format.json
    var seconds: [String: Int64] = [:]

    init(name: String) { self.name = name }

    func failure(_ text: String) -> RecordError { RecordError("record-source \(name): \(text)") }

    mutating func take(_ argument: String) throws(RecordError) {
        guard let equals = argument.firstIndex(of: "=") else {
            throw failure("'\(argument)' is not of the form setting=value")
        }
        let setting = String(argument[..<equals])
        let value = String(argument[argument.index(after: equals)...])
        guard setting == "key" || seen.insert(setting).inserted else {
            throw failure("\(setting)= is given twice")
        }
        guard !value.isEmpty else { throw failure("\(setting)= has no value") }
        switch setting {
        case "table": try takeTable(value)
        case "key": try takeKey(value)
        case "columns":
            columns = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            for column in columns { try checkIdentifier(column, "columns=\(value)") }
            guard Set(columns).count == columns.count else {
                throw failure("columns=\(value) names a column twice")
            }
        case "tenant":
            try checkIdentifier(value, argument)
            tenant = value
        case "plan":
            try checkIdentifier(value, argument)
            plan = value
        case "format":
            guard let known = RecordSource.Format(rawValue: value) else {
                throw failure("format=\(value) is neither json nor hash")
            }
            format = known
        case "ttl", "negative-ttl", "stale-ttl": try takeSeconds(setting, value)
        default: throw failure("there is no setting '\(setting)='")
        }
    }

    mutating func takeTable(_ value: String) throws(RecordError) {
        let parts = value.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2 else { throw failure("table=\(value) is not TABLE or SCHEMA.TABLE") }
        for part in parts { try checkIdentifier(part, "table=\(value)") }
        schema = parts.count == 2 ? parts[0] : nil
        table = parts[parts.count - 1]
    }

    mutating func takeKey(_ template: String) throws(RecordError) {
        let bytes = Array(template.utf8)
        let opening = bytes.indices.filter { bytes[$0] == UInt8(ascii: "{") }
        let closing = bytes.indices.filter { bytes[$0] == UInt8(ascii: "}") }
        guard opening.count == 1, closing.count == 1, opening[0] < closing[0] else {
            throw failure("key=\(template) needs one column in braces, as in tenant:id:{id}")
        }
        guard opening[0] > 0 else {
            throw failure("key=\(template) needs literal text before its column")
        }
        let column = String(decoding: bytes[(opening[0] + 1)..<closing[0]], as: UTF8.self)
        try checkIdentifier(column, "key=\(template)")
        guard lookups.count < RecordSource.lookupCountMax else {
            throw failure("more than \(RecordSource.lookupCountMax) key= are given")
        }
        lookups.append(
            RecordLookup(
                template: template, column: column, prefix: Array(bytes[..<opening[0]]),
                suffix: Array(bytes[(closing[0] + 1)...])))
    }

    mutating func takeSeconds(_ setting: String, _ value: String) throws(RecordError) {
        let least: Int64 = setting == "ttl" ? 1 : 0
        guard let count = Int64(value), count >= least, count <= RecordSource.timeToLiveSecondsMax
        else {
            throw failure(
                "\(setting)=\(value) is not a number of seconds from \(least) to "
                    + "\(RecordSource.timeToLiveSecondsMax)")
        }
        seconds[setting] = count
    }

    func checkIdentifier(_ text: String, _ place: String) throws(RecordError) {
        // Why: a dollar sign could end the quoted body of the trigger function.
        let isSound = text.utf8.allSatisfy { byte in
            byte > 32 && byte != 127 && byte != UInt8(ascii: "$") && byte != UInt8(ascii: "\"")
        }
        guard isSound, !text.isEmpty, text.utf8.count <= RecordSource.identifierSizeMax else {
            throw failure("'\(text)' in \(place) is not a name that can be used here")
        }
    }

    func finish() throws(RecordError) -> RecordSource {
        guard let table else { throw failure("table= is missing") }
        guard !lookups.isEmpty else { throw failure("key= is missing") }
        guard plan == nil || tenant != nil else {
            throw failure("plan= needs tenant=, the column that names whose plan it is")
        }
        let live = seconds["ttl"] ?? RecordSource.timeToLiveDefaultSeconds
        let negative = seconds["negative-ttl"] ?? RecordSource.negativeTimeToLiveDefaultSeconds
        return RecordSource(
            name: name, schema: schema, table: table, lookups: lookups, columns: columns,
            tenantColumn: tenant, planColumn: plan, format: format,
            timeToLiveMilliseconds: live * 1000, negativeTimeToLiveMilliseconds: negative * 1000,
            staleTimeToLiveMilliseconds: (seconds["stale-ttl"] ?? 0) * 1000)
    }
}

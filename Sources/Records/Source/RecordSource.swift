// SPDX-License-Identifier: Apache-2.0

/// One `record-source` directive: which table answers which keys.
///
/// Why a plain value: it is built once from the configuration, checked there, and then read by
/// every thread. A source has one or more lookups; a lookup is a key pattern with one column in
/// braces, as `tenant:subdomain:{subdomain}`. The column of the first lookup is the identity of a
/// row: it is what `TENANT INVALIDATE` names, and what a row is reloaded by.
///
/// Invariants: 1. at least one lookup; 2. every pattern has a literal beginning of at least one
/// byte, so that keys of no source are told apart by their first bytes; 3. identifiers are kept
/// exactly as written and quoted wherever they enter SQL, so `Tenants` is not `tenants`.
public struct RecordSource: Sendable, Equatable {
    /// How a row is kept: as the JSON text that PostgreSQL builds, or as a hash with a field per
    /// column.
    public enum Format: String, Sendable { case json, hash }

    public let name: String
    /// The schema as written before the dot of `table=`, nil where the search path decides.
    public let schema: String?
    public let table: String
    public let lookups: [RecordLookup]
    /// The columns of the value, in order; empty means all columns of the table.
    public let columns: [String]
    public let tenantColumn: String?
    public let planColumn: String?
    public let format: Format
    public let timeToLiveMilliseconds: Int64
    public let negativeTimeToLiveMilliseconds: Int64
    /// How long entries may still answer after the link to PostgreSQL is lost; 0 means not at all.
    public let staleTimeToLiveMilliseconds: Int64

    /// The column that identifies a row.
    public var identityColumn: String { lookups[0].column }
}

/// A key pattern: literal bytes, one column in braces, literal bytes.
public struct RecordLookup: Sendable, Equatable {
    public let template: String
    public let column: String
    public let prefix: [UInt8]
    public let suffix: [UInt8]

    /// The key under which a row with this column value is found.
    public func key(for value: [UInt8]) -> [UInt8] { prefix + value + suffix }
}

/// What is wrong, and where, in one line.
public struct RecordError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String
    /// The five characters of PostgreSQL's SQLSTATE where the server said them, else empty.
    public let code: String

    public init(_ message: String, code: String = "") {
        self.message = message
        self.code = code
    }

    public var description: String { message }
}

/// All sources of a configuration, with the matcher over their patterns.
public struct RecordCatalog: Sendable {
    public let sources: [RecordSource]
    public let matcher: RecordMatcher

    /// Refuses two sources of one name and two patterns that name the same keys.
    public init(_ sources: [RecordSource]) throws(RecordError) {
        var names: Set<String> = []
        var templates: [[[UInt8]]: String] = [:]
        for source in sources {
            guard names.insert(source.name).inserted else {
                throw RecordError(
                    "record-source \(source.name): a source of this name exists already")
            }
            for lookup in source.lookups {
                let literal = [lookup.prefix, lookup.suffix]
                if let other = templates[literal] {
                    throw RecordError(
                        "record-source \(source.name): key=\(lookup.template) names the same keys "
                            + "as \(other)")
                }
                templates[literal] = "key=\(lookup.template) of source \(source.name)"
            }
        }
        self.sources = sources
        self.matcher = RecordMatcher(sources)
    }

    /// The position of the source of this name.
    public func index(named name: String) -> Int? { sources.firstIndex { $0.name == name } }
}

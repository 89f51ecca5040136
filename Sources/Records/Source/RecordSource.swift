// SPDX-License-Identifier: Apache-2.0

/// One `record-source` directive: a table that answers keys.
///
/// Why a plain value: it is built and checked once, from the configuration, and then read by every
/// thread. A source has one or more lookups; a lookup is a key pattern with one column in braces,
/// for example `tenant:subdomain:{subdomain}`. The column of the first lookup is the row's
/// identity: `TENANT INVALIDATE` names rows by it, and rows are reloaded by it.
///
/// Invariants:
/// 1. There is at least one lookup.
/// 2. Every pattern begins with at least one literal byte, so first bytes rule out keys of no
///    source.
/// 3. Identifiers are kept exactly as written and quoted in all SQL, so `Tenants` is not `tenants`.
public struct RecordSource: Sendable, Equatable {
    /// How a row is stored: as the JSON text that PostgreSQL builds, or as a hash with one field
    /// per column.
    public enum Format: String, Sendable { case json, hash }

    public let name: String
    /// The schema before the dot in `table=`; nil if the search path decides.
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
    /// How long entries may answer after the link to PostgreSQL is lost; 0 means not at all.
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

    /// The key of a row with this column value.
    public func key(for value: [UInt8]) -> [UInt8] { prefix + value + suffix }
}

/// An error on one line: what is wrong, and where.
public struct RecordError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String
    /// PostgreSQL's SQLSTATE, five characters, if the server sent one; else empty.
    public let code: String

    public init(_ message: String, code: String = "") {
        self.message = message
        self.code = code
    }

    public var description: String { message }
}

/// All sources of a configuration, and the matcher of their patterns.
public struct RecordCatalog: Sendable {
    public let sources: [RecordSource]
    public let matcher: RecordMatcher

    /// Refuses two sources with one name and two patterns for the same keys.
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

    /// The index of the source with this name.
    public func index(named name: String) -> Int? { sources.firstIndex { $0.name == name } }
}

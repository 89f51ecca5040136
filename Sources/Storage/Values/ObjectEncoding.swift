// SPDX-License-Identifier: Apache-2.0
import Base

/// What OBJECT ENCODING calls an entry's layout: the names that clients know from Redis.
public enum ObjectEncoding {
    /// The longest string that Redis keeps in one block with its object.
    private static let embeddedStringMax = 44

    public static func name(_ entry: Entry) -> StaticString {
        switch (entry.type, entry.encoding) {
        case (.string, .payload): "int"
        case (.string, .embedded) where entry.valueSize <= embeddedStringMax: "embstr"
        case (.string, _): "raw"
        case (.set, .embeddedOther): "intset"
        case (.hash, .payload), (.set, .payload): "hashtable"
        case (.hash, _), (.set, _): "listpack"
        case (.list, .embedded), (.sortedSet, .embedded): "listpack"
        case (.list, _): "quicklist"
        case (.sortedSet, _): "skiplist"
        case (.stream, _): "stream"
        case (.absent, _): "none"
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// What a command replies if its key does not exist.
enum MissingReply {
    case null, zero, emptyString, emptyArray, emptySet, emptyMap
    /// The last page of a scan, with nothing on it.
    case emptyPage

    @inline(__always)
    fileprivate func write(_ reply: inout ReplyWriter) {
        switch self {
        case .null: reply.null()
        case .zero: reply.integer(0)
        case .emptyString: reply.bulk("" as StaticString)
        case .emptyArray: reply.array(0)
        case .emptySet: reply.set(0)
        case .emptyMap: reply.map(0)
        case .emptyPage: ScanOptions.writeEmpty(&reply)
        }
    }
}

// Look-ups for commands that have nothing to do unless the key holds a value of their type:
//
//     guard let found = keys.read(0, as: .hash, else: .zero, &reply) else { return }
//
// Inlined with a constant, the switch over `missing` costs nothing at run time.
extension Hold {
    /// The entry of the key at `ordinal`, for a command that changes it. Returns nil after a reply:
    /// `missing` if there is no such key, WRONGTYPE if it holds another type.
    @inline(__always)
    func find(
        _ ordinal: Int, as type: ValueType, else missing: MissingReply, _ reply: inout ReplyWriter
    ) -> Found? {
        find(ordinal, as: type).found(else: missing, &reply)
    }

    /// The same for a command that reads the key: counts a hit or a miss and notes the access.
    @inline(__always)
    func read(
        _ ordinal: Int, as type: ValueType, else missing: MissingReply, _ reply: inout ReplyWriter
    ) -> Found? {
        read(ordinal, as: type).found(else: missing, &reply)
    }

    /// The string of the key at `ordinal`, for a command that reads it.
    @inline(__always)
    func readString(
        _ ordinal: Int, else missing: MissingReply, _ reply: inout ReplyWriter
    ) -> StringContent? {
        readString(ordinal).found(else: missing, &reply)
    }
}

extension Lookup {
    @inline(__always)
    fileprivate func found(else missing: MissingReply, _ reply: inout ReplyWriter) -> Value? {
        switch self {
        case .found(let found): return found
        case .missing: missing.write(&reply)
        case .wrongType: reply.error(.wrongType)
        }
        return nil
    }
}

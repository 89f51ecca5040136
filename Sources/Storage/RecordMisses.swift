// SPDX-License-Identifier: Apache-2.0
import Base

/// Record keys that a command missed. They must be loaded before it can be answered.
public struct RecordMisses {
    public var keys: [[UInt8]] = []
    /// Keys whose records do not exist: a miss on one of them is an answer.
    public var excused: Set<[UInt8]> = []
    /// Whether a record source answers a key.
    public let isRecordKey: @Sendable (Bytes) -> Bool

    public init(isRecordKey: @escaping @Sendable (Bytes) -> Bool) {
        self.isRecordKey = isRecordKey
    }

    mutating func note(_ key: Bytes) {
        if isToBeLoaded(key) { keys.append(key.array) }
    }

    /// Whether a miss on `key` requires a load.
    public func isToBeLoaded(_ key: Bytes) -> Bool {
        guard isRecordKey(key) else { return false }
        return excused.isEmpty || !excused.contains(key.array)
    }
}

public typealias RecordMissesReference = Reference<RecordMisses>

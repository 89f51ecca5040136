// SPDX-License-Identifier: Apache-2.0
import Base

/// Record keys that a command missed: what must be loaded before it can be answered.
public struct RecordMisses {
    public var keys: [[UInt8]] = []
    /// Keys whose records are known not to exist: a miss on one of them is the answer.
    public var excused: Set<[UInt8]> = []
    /// Whether a key is one that a record source answers.
    public let isRecordKey: @Sendable (Bytes) -> Bool

    public init(isRecordKey: @escaping @Sendable (Bytes) -> Bool) {
        self.isRecordKey = isRecordKey
    }

    mutating func note(_ key: Bytes) {
        if isToBeLoaded(key) { keys.append(key.array) }
    }

    /// Whether a miss on `key` means that its record must be loaded.
    public func isToBeLoaded(_ key: Bytes) -> Bool {
        guard isRecordKey(key) else { return false }
        return excused.isEmpty || !excused.contains(key.array)
    }
}

public typealias RecordMissesReference = Reference<RecordMisses>

// SPDX-License-Identifier: Apache-2.0

/// The error replies with fixed texts, word for word Redis's where Redis has the error.
public enum ReplyError: Sendable {
    case wrongType, notInteger, notFloat, syntax, outOfRange, overflow, noSuchKey
    case invalidExpire, notAuthenticated, outOfMemory, sameObject, negativeIndex
    case stringTooLong, hashValueNotInteger, hashValueNotFloat, invalidCursor,
        databaseIndexOutOfRange
    case incrementNaN, notPositive, mustBePositive, keyTooLong, offsetOutOfRange
    case timeoutNotInteger, timeoutNegative

    public var text: StaticString {
        switch self {
        case .wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value"
        case .notInteger: "ERR value is not an integer or out of range"
        case .notFloat: "ERR value is not a valid float"
        case .syntax: "ERR syntax error"
        case .outOfRange: "ERR index out of range"
        case .overflow: "ERR increment or decrement would overflow"
        case .noSuchKey: "ERR no such key"
        case .invalidExpire: "ERR invalid expire time"
        case .notAuthenticated: "NOAUTH Authentication required."
        case .outOfMemory: "OOM command not allowed when used memory > 'maxmemory'."
        case .sameObject: "ERR source and destination objects are the same"
        case .negativeIndex: "ERR value is out of range, must be positive"
        case .stringTooLong: "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        case .hashValueNotInteger: "ERR hash value is not an integer"
        case .hashValueNotFloat: "ERR hash value is not a float"
        case .invalidCursor: "ERR invalid cursor"
        case .databaseIndexOutOfRange: "ERR DB index is out of range"
        case .incrementNaN: "ERR increment would produce NaN or Infinity"
        case .notPositive: "ERR value is out of range, must be positive"
        case .mustBePositive: "ERR value is out of range, must be positive"
        case .keyTooLong: "ERR max key size exceeded. Limit: 16777215 bytes"
        case .offsetOutOfRange: "ERR offset is out of range"
        case .timeoutNotInteger: "ERR timeout is not an integer or out of range"
        case .timeoutNegative: "ERR timeout is negative"
        }
    }
}

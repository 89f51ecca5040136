// SPDX-License-Identifier: Apache-2.0

/// The error replies with fixed texts, word for word Redis's where Redis has the error.
public enum ReplyError: Sendable {
    case wrongType, notInteger, notInteger32, notFloat, syntax, overflow, noSuchKey
    case outOfMemory, sameObject, stringTooLong, hashValueNotInteger, hashValueNotFloat
    case invalidCursor, databaseIndexOutOfRange, incrementNaN, mustBePositive, keyTooLong
    case offsetOutOfRange, timeoutNotInteger, timeoutNegative, patternTooLong

    public var text: StaticString {
        switch self {
        case .wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value"
        case .notInteger: "ERR value is not an integer or out of range"
        case .notInteger32:
            "ERR value is out of range, value must between -2147483648 and 2147483647"
        case .notFloat: "ERR value is not a valid float"
        case .syntax: "ERR syntax error"
        case .overflow: "ERR increment or decrement would overflow"
        case .noSuchKey: "ERR no such key"
        case .outOfMemory: "OOM command not allowed when used memory > 'maxmemory'."
        case .sameObject: "ERR source and destination objects are the same"
        case .stringTooLong: "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        case .hashValueNotInteger: "ERR hash value is not an integer"
        case .hashValueNotFloat: "ERR hash value is not a float"
        case .invalidCursor: "ERR invalid cursor"
        case .databaseIndexOutOfRange: "ERR DB index is out of range"
        case .incrementNaN: "ERR increment would produce NaN or Infinity"
        case .mustBePositive: "ERR value is out of range, must be positive"
        case .keyTooLong: "ERR max key size exceeded. Limit: 16777215 bytes"
        case .offsetOutOfRange: "ERR offset is out of range"
        case .timeoutNotInteger: "ERR timeout is not an integer or out of range"
        case .timeoutNegative: "ERR timeout is negative"
        case .patternTooLong:
            "ERR pattern too long. Limit: 131072 bytes, 1024 characters between first and last *"
        }
    }
}

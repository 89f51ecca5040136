// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// Why a request does not run, or not yet.
///
/// Why no text: a plain value needs no reference counting. The text is made when it is written.
public enum Refusal: Equatable, Sendable {
    case unknownCommand
    /// The container exists but has no such subcommand.
    case unknownSubcommand
    case arity
    case debugForbidden
    case notAuthenticated
    case noPermission
    case insideTransaction
    case keyTooLong
    /// A script's command names a key that the script did not declare.
    case undeclaredKey
    case limit(LimitRefusal)
    /// The records changed faster than they could be loaded.
    case recordChangesTooFast
    /// Records must be loaded first. The reply was taken back.
    case recordsMissing
    /// Another thread holds a shard of the keys for long.
    case shardBusy

    /// Whether the request is put off instead of refused.
    var isWait: Bool {
        switch self {
        case .recordsMissing, .shardBusy, .limit(.throttled): true
        default: false
        }
    }

    /// The error reply, in bytes because it repeats a client's arguments as they came. `entry` is
    /// the command or its container; nil for an unknown command.
    public func text(_ entry: CommandTable.EntryReference?, _ arguments: Arguments) -> [UInt8] {
        let name = entry?.pointee.spec.name ?? ""
        switch self {
        case .unknownCommand: return Refusal.unknownCommand(arguments)
        case .unknownSubcommand:
            return Array("ERR unknown subcommand '".utf8) + Refusal.prefix(arguments[1], 128)
                + Array("'. Try \(name.uppercased()) HELP.".utf8)
        case .arity: return Array("ERR wrong number of arguments for '\(name)' command".utf8)
        case .debugForbidden: return Array(DEBUG.forbidden.utf8)
        case .notAuthenticated: return Array("NOAUTH Authentication required.".utf8)
        case .noPermission:
            return Array("NOPERM this user has no permissions to run the '\(name)' command".utf8)
        case .insideTransaction:
            return Array("ERR Command not allowed inside a transaction".utf8)
        case .keyTooLong: return Bytes(ReplyError.keyTooLong.text).array
        case .undeclaredKey:
            return Array("ERR '\(name)' names a key that the script did not declare".utf8)
        case .limit(let limit): return Array(limit.text.utf8)
        case .shardBusy: return Array("TRYAGAIN another command holds the keys".utf8)
        case .recordChangesTooFast, .recordsMissing:
            return Array("TRYAGAIN the record changes faster than it can be loaded".utf8)
        }
    }

    private static func unknownCommand(_ arguments: Arguments) -> [UInt8] {
        var text = Array("ERR unknown command '".utf8) + prefix(arguments[0], 128)
        text += Array("', with args beginning with: ".utf8)
        var shown = 0
        var index = 1
        // Bound: each turn shows at least three bytes.
        while index < arguments.count && shown < 128 {
            let part = prefix(arguments[index], 128 - shown)
            text += Array("'".utf8) + part + Array("' ".utf8)
            shown += part.count + 3
            index += 1
        }
        return text
    }

    /// At most `limit` bytes, up to the first NUL, as C prints a string.
    private static func prefix(_ bytes: Bytes, _ limit: Int) -> [UInt8] {
        var count = 0
        while count < min(bytes.count, limit), bytes[count] != 0 { count += 1 }
        return bytes[0..<count].array
    }
}

extension LimitRefusal {
    /// Texts that existing client code knows.
    var text: String {
        switch self {
        case .operationsPerDay(let limit, let used):
            "ERR max requests limit exceeded. Limit: \(limit), Usage: \(max(used, limit))"
        case .operationsPerSecond(let limit, _):
            "ERR max requests limit exceeded. Limit: \(limit), Usage: \(limit)"
        case .throttledByKey(let limit, let wait):
            "ERR max requests limit exceeded. Limit: \(limit), Usage: \(limit). "
                + "Try again in \(wait) ms"
        case .bandwidthPerDay(let limit, let used):
            "ERR max daily bandwidth limit exceeded. Limit: \(limit), Usage: \(max(used, limit))"
        case .throttled: ""
        case .serverMemory: "\(ReplyError.outOfMemory.text)"
        case .tenantMemory: "ERR DB capacity quota exceeded"
        case .tenantKeys(let limit, let used):
            "ERR max keys limit exceeded. Limit: \(limit), Usage: \(used)"
        }
    }
}

extension ReplyWriter {
    /// Replies why there is no room for the data that a command is about to make.
    mutating func error(_ refusal: LimitRefusal) { error(refusal.text) }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Wire

/// Why a request is refused before it runs, in Redis's order and words. All depend on flags, none
/// on a name.
enum Refusals {
    static func refusal(
        _ entry: UnsafePointer<CommandTable.Entry>, _ arguments: Arguments,
        _ state: SessionReference, _ thread: borrowing ServingThread
    ) -> String? {
        let flags = entry.pointee.flags
        guard entry.pointee.accepts(arguments.count) else {
            return entry.pointee.spec.wrongArity
        }
        if flags.contains(.debug), !DEBUG.isAllowed(state, thread.worker.pointee.settings) {
            return DEBUG.forbidden
        }
        guard state.pointee.isAuthenticated || flags.contains(.noAuth) else {
            return "NOAUTH Authentication required."
        }
        if flags.contains(.admin), !flags.contains(.tenantMayRun),
            state.pointee.tenant.pointee.origin != .server
        {
            return entry.pointee.spec.noPermission
        }
        if state.pointee.transaction.isOpen && flags.contains(.noMulti) {
            return "ERR Command not allowed inside a transaction"
        }
        return nil
    }

    /// Of a request that has waited for its record too often.
    static let recordChangesTooFast = "TRYAGAIN the record changes faster than it can be loaded"

    /// What only a browser says, which a web page has sent to this port: it must not be answered,
    /// as what follows in the body are commands.
    static func isBrowser(_ name: Bytes) -> Bool {
        name.isKeyword("HOST:") || name.isKeyword("POST")
    }

    /// Bytes and no text: a client's nonsense is shown to it as it came.
    static func unknownCommand(_ arguments: Arguments) -> [UInt8] {
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

    static func unknownSubcommand(_ container: String, _ name: Bytes) -> [UInt8] {
        Array("ERR unknown subcommand '".utf8) + prefix(name, 128)
            + Array("'. Try \(container.uppercased()) HELP.".utf8)
    }

    /// At most `limit` bytes, up to the first NUL, as C prints them.
    private static func prefix(_ bytes: Bytes, _ limit: Int) -> [UInt8] {
        var count = 0
        while count < min(bytes.count, limit), bytes[count] != 0 { count += 1 }
        return bytes[0..<count].array
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

/// Which commands a session may run: one bit for each command, by its number in the table.
///
/// Why a bitmap: a test of one bit is the whole question on the path of a request, whatever the
/// bits were made from: the password, a tenant's own credential, `enable-debug-command`.
///
/// A session makes its rights anew when its identity has changed, or when `rightsGeneration` in the
/// settings has, which whatever changes the rules raises.
@safe
public struct Rights: Sendable {
    // Safety: `wordCount` words, written in init and never changed or freed: they are made once for
    // a table, which lives as long as the process.
    nonisolated(unsafe) private let words: UnsafePointer<UInt64>
    private let wordCount: Int

    init(_ entries: [CommandTable.Entry], count: Int, where allows: (CommandFlags) -> Bool) {
        wordCount = (count + 63) / 64
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: wordCount)
        // Safety: a command's number is below `count`, so its word is among those allocated.
        unsafe words.initialize(repeating: 0, count: wordCount)
        func allow(_ entry: CommandTable.Entry) {
            if allows(entry.flags) {
                unsafe words[entry.number >> 6] |= 1 << UInt64(entry.number & 63)
            }
            for subcommand in entry.subcommands { allow(subcommand.pointee) }
        }
        entries.forEach(allow)
        unsafe self.words = UnsafePointer(words)
    }

    private init(wordCount: Int) {
        self.wordCount = wordCount
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: max(1, wordCount))
        // Safety: as many words as were allocated.
        unsafe words.initialize(repeating: 0, count: max(1, wordCount))
        unsafe self.words = UnsafePointer(words)
    }

    /// No right at all: what a session has before its first command.
    static let none = Rights(wordCount: 0)

    /// Whether command `number` may be run.
    @inline(__always)
    public func allows(_ number: Int) -> Bool {
        guard UInt(bitPattern: number) >> 6 < UInt(bitPattern: wordCount) else { return false }
        // Safety: checked.
        return unsafe words[number &>> 6] &>> UInt64(truncatingIfNeeded: number & 63) & 1 != 0
    }
}

extension Reference where Pointee == SessionState {
    /// Makes the session's rights anew if its identity or the rules have changed.
    public func refreshRights(_ table: CommandTable, _ settings: SettingsReference) {
        let generation = settings.rightsGeneration
        guard pointee.rightsGeneration != generation else { return }
        pointee.rights = rights(table, settings)
        pointee.rightsGeneration = generation
    }

    private func rights(_ table: CommandTable, _ settings: SettingsReference) -> Rights {
        guard isAuthorized(settings) else { return table.guestRights }
        guard pointee.tenant.pointee.origin == .server else { return table.tenantRights }
        return DEBUG.isAllowed(self, settings) ? table.allRights : table.rightsWithoutDebug
    }

    /// Whether the session has said a password, or need not.
    func isAuthorized(_ settings: SettingsReference) -> Bool {
        pointee.isAuthenticated || settings.passwordRequired == 0
    }
}

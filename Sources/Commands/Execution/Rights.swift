// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

/// Which commands a session may run: one bit per command, at its number in the table.
///
/// Why a bitmap: the path of a request tests one bit. The bits already combine the password, a
/// tenant's own secret and `enable-debug-command`.
///
/// A session computes its rights again when its identity changes, and when `rightsGeneration` in
/// the settings changes. Every change of the rules increments that.
@safe
public struct Rights: Sendable {
    // Safety: `wordCount` words, written in init and never changed or freed. They are made once per
    // table, and a table lives as long as the process.
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

    /// No rights: what a session has before its first command.
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
    /// Computes the session's rights again if its identity or the rules have changed.
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

    /// Whether the session has authenticated, or need not.
    func isAuthorized(_ settings: SettingsReference) -> Bool {
        pointee.isAuthenticated || settings.passwordRequired == 0
    }
}

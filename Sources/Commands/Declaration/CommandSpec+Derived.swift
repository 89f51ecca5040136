// SPDX-License-Identifier: Apache-2.0
import Base

// What COMMAND INFO shows, derived from a declaration.
extension CommandSpec {
    private static let flagNames: [(flag: CommandFlags, name: String)] = [
        (.write, "write"), (.readOnly, "readonly"), (.denyOOM, "denyoom"), (.admin, "admin"),
        (.noScript, "noscript"), (.blocking, "blocking"), (.loading, "loading"),
        (.stale, "stale"), (.skipMonitor, "skip_monitor"), (.skipSlowLog, "skip_slowlog"),
        (.fast, "fast"), (.noAuth, "no_auth"), (.mayReplicate, "may_replicate"),
        (.noMandatoryKeys, "no_mandatory_keys"), (.noMulti, "no_multi"),
        (.movableKeys, "movablekeys"), (.allowBusy, "allow_busy"),
    ]

    var flagNames: [String] {
        CommandSpec.flagNames.filter { shownFlags.contains($0.flag) }.map(\.name)
    }

    /// The flags with `movablekeys` added if one argument counts the keys.
    private var shownFlags: CommandFlags {
        let isCounted = keys.contains { if case .counted = $0.position { true } else { false } }
        return isCounted ? flags.union(.movableKeys) : flags
    }

    /// First, last and step of the keys, if one range covers them.
    var keyRange: (first: Int, last: Int, step: Int) {
        var whole: (first: Int, last: Int, step: Int)?
        for key in keys {
            guard case .range(let first, let last, let step) = key.position else { continue }
            if let earlier = whole {
                guard earlier.step == 1, step == 1, earlier.last + 1 == first else { break }
                whole = (earlier.first, last, 1)
            } else {
                whole = (first, last, step)
            }
        }
        return whole ?? (0, 0, 0)
    }

    private static let categoryOrder = [
        "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
        "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking",
        "dangerous", "connection", "transaction", "scripting",
    ]

    private static let groupCategories = [
        "generic": "keyspace", "string": "string", "hash": "hash", "set": "set",
        "connection": "connection", "transactions": "transaction",
    ]

    /// ACL categories: those implied by flags, and those of the declaration or else of the group.
    func categoryNames(group: String) -> [String] {
        var found = Set(categories ?? [CommandSpec.groupCategories[group]].compactMap { $0 })
        if flags.contains(.write) { found.insert("write") }
        if flags.contains(.readOnly) { found.insert("read") }
        if flags.contains(.admin) { found.formUnion(["admin", "dangerous"]) }
        if flags.contains(.blocking) { found.insert("blocking") }
        found.insert(flags.contains(.fast) ? "fast" : "slow")
        return CommandSpec.categoryOrder.filter(found.contains)
    }
}

extension KeySpec {
    private static let accessNames: [(access: KeyAccess, name: String)] = [
        (.readWrite, "RW"), (.readOnly, "RO"), (.overwrite, "OW"), (.remove, "RM"),
        (.access, "access"), (.update, "update"), (.insert, "insert"), (.delete, "delete"),
        (.variableFlags, "variable_flags"),
    ]

    var accessNames: [String] {
        KeySpec.accessNames.filter { access.contains($0.access) }.map(\.name)
    }
}

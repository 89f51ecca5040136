// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// Finds a command's declaration by its name. Built once at start and never changed.
///
/// Why two words and no string hash: a name in upper case fits into 16 bytes, so finding it takes a
/// multiply and a compare of two words. Redis has two longer names; a dictionary holds those.
///
/// Invariant: `slots` has a power of two of places, at most half of them in use.
public final class CommandTable: Sendable {
    /// The parts of a declaration that the path of a request needs, flat.
    public struct Entry: Sendable {
        public let spec: CommandSpec
        public let group: String
        public let run: Run
        public let flags: CommandFlags
        public let arity: Int32
        /// Index of the only key; 0 if there are none or several, or if the command uses two
        /// databases.
        public let singleKey: Int32
        /// Whether the command may create its only key.
        public let singleKeyCreates: Bool
        /// The range of all keys, if one range covers them and there may be several keys.
        public let keyRange: KeyRange?
        /// Number of this command in statistics, below `count`.
        public let number: Int
        /// The options of a hold of the command's keys.
        public let holdOptions: HoldOptions
        /// The subcommands of a container.
        public let subcommands: [EntryReference]

        @inline(__always)
        public func accepts(_ count: Int) -> Bool {
            arity >= 0 ? count == Int(arity) : count >= -Int(arity)
        }
    }

    public typealias EntryReference = Reference<Entry>

    /// Every `step`-th argument from `first` to `last`; a negative last counts from the end.
    public struct KeyRange: Sendable {
        public let first: Int
        public let last: Int
        public let step: Int
        /// Whether the command may create the keys.
        public let creates: Bool

        /// The arguments from the first key to the last, in a request of `count` arguments.
        public func range(count: Int) -> Range<Int>? {
            let end = last < 0 ? count + last : last
            return first <= end && end < count ? first..<end + 1 : nil
        }
    }

    public enum Run: Sendable {
        case key(any KeyCommand.Type)
        case session(any SessionCommand.Type)
        case container
    }

    private typealias Slots = FixedArray<1024, Slot>

    private struct Slot {
        var low: UInt64 = 0
        var high: UInt64 = 0
        /// Why: without it, a name with a zero at its end would equal the shorter name.
        var nameCount = 0
        var entry: EntryReference?
    }

    /// In the order of the menus.
    public let all: [Entry]
    /// Commands and subcommands.
    public let count: Int
    /// Written in init only.
    private let slots: Slots
    private let long: [String: EntryReference]
    /// Rights of sessions before AUTH, of tenants with a secret, and of the server's own sessions.
    let guestRights: Rights
    let tenantRights: Rights
    let allRights: Rights
    let rightsWithoutDebug: Rights

    public init(_ families: [Family]) {
        var number = 0
        var all: [Entry] = []
        for family in families {
            for item in family.menu {
                all.append(CommandTable.entry(item, family.group, &number))
            }
        }
        self.all = all
        self.count = number
        slots = Slots { Slot() }
        precondition(all.count * 2 <= Slots.count, "the table of commands is too small")
        var long: [String: EntryReference] = [:]
        for entry in all {
            let name = Array(entry.spec.name.utf8)
            guard let words = name.withBytes(CommandTable.words) else {
                long[entry.spec.name] = .make(entry)
                continue
            }
            var place = CommandTable.place(words)
            while let other = slots[place].entry {
                precondition(
                    other.pointee.spec.name != entry.spec.name,
                    "\(entry.spec.name) is declared twice")
                place = (place + 1) & (Slots.count - 1)
            }
            slots[place] = Slot(
                low: words.low, high: words.high, nameCount: name.count,
                entry: .make(entry))
        }
        self.long = long
        let count = number
        guestRights = Rights(all, count: count) { $0.contains(.noAuth) }
        tenantRights = Rights(all, count: count) {
            !$0.contains(.admin) || $0.contains(.tenantMayRun)
        }
        allRights = Rights(all, count: count) { _ in true }
        rightsWithoutDebug = Rights(all, count: count) { !$0.contains(.debug) }
    }

    private static func entry(_ item: MenuEntry, _ group: String, _ number: inout Int) -> Entry {
        let spec = item.spec
        let run: Run
        var subcommands: [EntryReference] = []
        let own = number
        number += 1
        switch item {
        case .key(let command):
            precondition(
                spec.flags.isDisjoint(with: CommandTable.impossibleForKeys),
                "\(spec.name) is a command on keys: admission asks nothing that it is flagged for")
            run = .key(command)
        case .session(let command): run = .session(command)
        case .container(let command, let menu):
            // COMMAND without a subcommand is a command too.
            run = (command as? any SessionCommand.Type).map { .session($0) } ?? .container
            for item in menu { subcommands.append(.make(entry(item, group, &number))) }
        }
        var singleKey: Int32 = 0
        var singleKeyCreates = false
        var keyRange: KeyRange?
        if spec.keys.count == 1, !spec.flags.contains(.otherDatabase),
            case .range(let first, let last, let step) = spec.keys[0].position
        {
            let creates = spec.keys[0].access.mayCreate
            if first == last {
                precondition(first < abs(spec.arity), "\(spec.name) may come without its key")
                singleKey = Int32(first)
                singleKeyCreates = creates
            } else {
                keyRange = KeyRange(first: first, last: last, step: step, creates: creates)
            }
        }
        return Entry(
            spec: spec, group: group, run: run, flags: spec.flags, arity: Int32(spec.arity),
            singleKey: singleKey, singleKeyCreates: singleKeyCreates,
            keyRange: keyRange, number: own,
            holdOptions: spec.flags.contains(.readOnly) ? .readOnly : [], subcommands: subcommands)
    }

    /// Flags that only commands without keys may have: a command on keys runs after only its arity
    /// and rights were checked.
    private static let impossibleForKeys: CommandFlags = [
        .noMulti, .runsInsideMulti, .executes, .wholeDatabase, .selectsDatabase, .swapsDatabases,
        .runsAtAnyLimit, .noAuth, .debug,
    ]

    /// The declaration of `name`, in any case; nil if unknown.
    @inline(__always)
    public func find(_ name: Bytes) -> EntryReference? {
        guard let words = CommandTable.words(name) else { return findLong(name) }
        var place = CommandTable.place(words)
        while let entry = slots[place].entry {  // Bound: half of the places are empty.
            if slots[place].low == words.low && slots[place].high == words.high,
                slots[place].nameCount == name.count
            {
                return entry
            }
            place = (place &+ 1) & (Slots.count - 1)
        }
        return nil
    }

    @inline(never)
    private func findLong(_ name: Bytes) -> EntryReference? {
        guard name.count < 64 else { return nil }
        return long[name.lowercased]
    }

    /// The container's subcommand of this name.
    public static func subcommand(
        _ entry: EntryReference, _ name: Bytes
    ) -> EntryReference? {
        for subcommand in entry.pointee.subcommands {
            let full = subcommand.pointee.spec.name
            guard let bar = full.utf8.firstIndex(of: UInt8(ascii: "|")) else { continue }
            let short = full.utf8[full.utf8.index(after: bar)...]
            if short.count == name.count, short.elementsEqual(name.lowercased.utf8) {
                return subcommand
            }
        }
        return nil
    }

    /// The name in upper case as two words, padded with zeros; nil if longer than 16 bytes.
    @inline(__always)
    private static func words(_ name: Bytes) -> (low: UInt64, high: UInt64)? {
        guard name.count <= 16 else { return nil }
        var low: UInt64 = 0
        var high: UInt64 = 0
        for index in 0..<min(name.count, 8) {
            low |= UInt64(ASCII.upper(name[index])) << UInt64(index &* 8)
        }
        if name.count > 8 {
            for index in 8..<name.count {
                high |= UInt64(ASCII.upper(name[index])) << UInt64((index &- 8) &* 8)
            }
        }
        return (low, high)
    }

    @inline(__always)
    private static func place(_ words: (low: UInt64, high: UInt64)) -> Int {
        let mixed = (words.low ^ (words.high &* 0x9E37_79B9_7F4A_7C15)) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: mixed >> 54)
    }
}

extension CommandSpec {
    /// Calls `body` with the position of each key in `arguments`. False if the count of keys is not
    /// a number or exceeds the arguments.
    public func forEachKey(
        _ arguments: Arguments, _ body: (_ index: Int, _ access: KeyAccess) -> Void
    ) -> Bool {
        for key in keys {
            switch key.position {
            case .range(let first, let last, let step):
                let end = last < 0 ? arguments.count + last : last
                guard first < arguments.count, end < arguments.count else { continue }
                var index = first
                while index <= end {
                    body(index, key.access)
                    index += step
                }
            case .counted(let count, let first):
                guard count < arguments.count,
                    let number = ASCIIInteger.parse(arguments[count]), number > 0,
                    number <= Int64(arguments.count - first)
                else { return false }
                for index in first..<first + Int(number) { body(index, key.access) }
            }
        }
        return true
    }
}

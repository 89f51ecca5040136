// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

@testable import Storage

/// Rebuilds the database from the notifications after changes (the shadow), and a snapshot from
/// those before changes.
///
/// The shadow is right only if every change is reported after it was made; the snapshot is right
/// only if every change is reported before it is made.
final class ChangeRecorder: ChangeObserver, @unchecked Sendable {
    /// Tenant and number of a database.
    struct Place: Hashable {
        let tenant: [UInt8]
        let number: Int

        init(_ keyspace: KeyspaceReference) {
            tenant = keyspace.pointee.tenant.id.array
            number = keyspace.pointee.number
        }
    }

    /// A key's value with its expiry, in one form for all encodings.
    typealias Value = [UInt8]
    typealias Databases = [Place: [[UInt8]: Value]]

    // Safety: the tests run on one thread.
    private(set) var shadow: Databases = [:]
    /// The values that changed keys had when the snapshot began; nil for a key that did not exist.
    private var saved: [Place: [[UInt8]: Value?]]?
    private(set) var toldCount = 0

    // MARK: - ChangeObserver

    func willChange(_ part: TablePart, in shard: ShardReference) {
        guard saved != nil else { return }
        let place = Place(shard.pointee.keyspace)
        part.forEach { entry in
            let key = entry.key.array
            if saved?[place]?[key] == nil { save(key, Self.describe(entry), place) }
        }
    }

    func didChange(
        _ key: Bytes, _ entry: Entry?, _ reason: ChangeReason, _ event: ChangeEvent,
        in shard: ShardReference
    ) {
        toldCount += 1
        let place = Place(shard.pointee.keyspace)
        let key = key.array
        if event == .inserted { save(key, nil, place) }
        precondition((entry == nil) == (event == .removed))
        shadow[place, default: [:]][key] = entry.map(Self.describe)
    }

    func didEmpty(_ shard: ShardReference, _ reason: ChangeReason) {
        let keyspace = shard.pointee.keyspace
        shadow[Place(keyspace)] = shadow[Place(keyspace)]?.filter { key, _ in
            key.withBytes { keyspace.shard(Hash($0)) != shard }
        }
    }

    func didSwap(_ left: KeyspaceReference, _ right: KeyspaceReference) {
        let places = (Place(left), Place(right))
        let old = (shadow[places.0] ?? [:], shadow[places.1] ?? [:])
        shadow[places.0] = old.1
        shadow[places.1] = old.0
        // The values from before the swap are saved; those that are there now belong to the other
        // database.
        for key in old.1.keys { save(key, nil, places.0) }
        for key in old.0.keys { save(key, nil, places.1) }
    }

    private func save(_ key: [UInt8], _ value: Value?, _ place: Place) {
        guard saved != nil, saved?[place]?[key] == nil else { return }
        saved?[place, default: [:]].updateValue(value, forKey: key)
    }

    // MARK: - Comparing

    func beginSnapshot() { saved = [:] }

    /// The databases as they were when the snapshot began: the present state, with the saved values
    /// put back.
    func endSnapshot() -> Databases {
        var all = shadow
        for (place, keys) in saved ?? [:] {
            for (key, value) in keys { all[place, default: [:]][key] = value }
        }
        saved = nil
        return all.filter { !$0.value.isEmpty }
    }

    /// The actual state of the databases.
    static func walk(_ registry: TenantRegistry) -> Databases {
        var all: Databases = [:]
        registry.forEachTenant { tenant in
            tenant.forEachKeyspace { keyspace in
                keyspace.forEachShard(isLocked: false) { shard in
                    shard.pointee.table.forEach {
                        all[Place(keyspace), default: [:]][$0.key.array] = describe($0)
                    }
                }
            }
        }
        return all
    }

    /// The keys in which two states differ, with both values.
    static func differences(_ told: Databases, _ real: Databases) -> [String] {
        func text(_ value: Value?) -> String {
            value.map { String(decoding: $0, as: UTF8.self) } ?? "nothing"
        }
        var all: [String] = []
        for place in Set(told.keys).union(real.keys) {
            let (left, right) = (told[place] ?? [:], real[place] ?? [:])
            for key in Set(left.keys).union(right.keys) where left[key] != right[key] {
                let name = String(decoding: key, as: UTF8.self)
                let tenant = String(decoding: place.tenant, as: UTF8.self)
                all.append(
                    "\(tenant) \(place.number) \(name): told \(text(left[key])), "
                        + "is \(text(right[key]))")
            }
        }
        return all
    }

    private static func describe(_ entry: Entry) -> Value {
        var text = Array("\(entry.type) \(entry.kind) \(entry.expiry ?? -1)".utf8)
        switch entry.type {
        case .hash:
            var pairs: [[UInt8]] = []
            HashValue(entry).forEach { pairs.append($0.field.array + [0] + $0.value.array) }
            for pair in pairs.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                text += [1] + pair
            }
        case .set:
            var members: [[UInt8]] = []
            SetValue(entry).forEach(while: { member in
                members.append(member.withBytes { $0.array })
                return true
            })
            for member in members.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                text += [1] + member
            }
        default:
            text += entry.hasPayload ? Array(" \(entry.payload)".utf8) : [1] + entry.value.array
        }
        return text
    }
}

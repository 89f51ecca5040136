// SPDX-License-Identifier: Apache-2.0
import Base

extension Keys {
    /// Notes that the record of `key` is known not to exist until `expiry`: readers see no key, and
    /// nothing is loaded.
    public mutating func setAbsent(_ key: Bytes, until expiry: Milliseconds) {
        let resolved = resolve(key)
        let slot = resolved.shard.pointee.table.find(resolved.hash, key)
        let found = slot.map { Found(slot: $0, shard: resolved.shard, hash: resolved.hash) }
        changed(place(EntryShape(.absent, .embedded, key: key, expiry: expiry), replacing: found))
    }

    /// The entry of `key` as it stands, one that says "absent" included; expired ones are removed.
    public mutating func findAny(_ key: Bytes) -> Found? {
        let resolved = resolve(key)
        guard let slot = resolved.shard.pointee.table.find(resolved.hash, key) else { return nil }
        if slot.entry.isExpired(at: now) {
            worker.expire(resolved.shard, slot)
            return nil
        }
        return Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The invalidations that loads under way must obey.
///
/// Why: a client invalidates what changed without a notification, so the order of the wire does not
/// help. A load that was sent before may have read the old row, and may bring it after the key was
/// dropped. So what an invalidation names is loaded again if its load was sent before.
///
/// Moments count invalidations. An invalidation is forgotten when no load is outstanding that was
/// sent before it.
///
/// Pure, like the flights.
struct RecordInvalidations {
    private(set) var moment: UInt64 = 0
    private var sources: [UInt64]
    private var keys: [RecordKey: UInt64] = [:]
    private var order = RecordQueue<(key: RecordKey, moment: UInt64)>()

    init(sourceCount: Int) { sources = Array(repeating: 0, count: sourceCount) }

    /// The number of keys that are not forgotten.
    var keyCount: Int { keys.count }

    /// All rows of a source.
    mutating func add(source: Int) {
        moment += 1
        sources[source] = moment
    }

    /// The row that a key names.
    mutating func add(_ key: RecordKey) {
        moment += 1
        keys[key] = moment
        order.append((key, moment))
    }

    /// Whether a load that was sent at `sentAt` may have read an older row under this key.
    func cover(_ key: RecordKey, sentAt: UInt64) -> Bool {
        if sources[key.source] > sentAt { return true }
        guard let moment = keys[key] else { return false }
        return moment > sentAt
    }

    /// Forgets keys: every outstanding load was sent at `moment` or later.
    mutating func forget(until moment: UInt64) {
        while let first = order.first, first.moment <= moment {
            _ = order.popFirst()
            if keys[first.key] == first.moment { keys[first.key] = nil }
        }
    }
}

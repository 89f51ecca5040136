// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization

// WATCH, from the session's side. The shard's side is Storage's Watcher.
extension Reference where Pointee == Worker {
    /// Adds `key` of the selected database to what the session watches; once is enough.
    public func watch(_ key: Bytes, _ session: SessionReference, _ keyspace: KeyspaceReference) {
        let database = session.pointee.database
        for watched in session.pointee.watched where watched.database == database {
            if watched.key.withBytes({ $0 == key }) { return }
        }
        let watcher = watch(key, keyspace, session.pointee.isDirty)
        session.pointee.watched.append(
            WatchedKey(key: key.array, database: database, watcher: watcher))
    }

    /// Forgets all that the session watches.
    public func unwatchAll(_ session: SessionReference) {
        for watched in session.pointee.watched { unwatch(watched.watcher) }
        session.pointee.watched.removeAll()
        session.pointee.isDirty.pointee.store(false, ordering: .releasing)
    }

    /// Whether a watched key has changed since WATCH, or has expired.
    public func isBroken(_ session: SessionReference) -> Bool {
        guard !session.pointee.watched.isEmpty else { return false }
        if session.pointee.isDirty.pointee.load(ordering: .acquiring) { return true }
        for watched in session.pointee.watched {
            let keyspace = registry.keyspace(session.pointee.tenant, watched.database)
            if watched.key.withBytes({ hasExpired($0, in: keyspace, since: watched.watcher) }) {
                return true
            }
        }
        return false
    }
}

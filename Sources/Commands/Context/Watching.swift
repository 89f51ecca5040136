// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

// WATCH, by the session that does it. The rest is Storage's (`WatchList`).
extension Reference where Pointee == Worker {
    /// Adds `key` of the selected database to what the session watches.
    public func watch(_ key: Bytes, _ session: SessionReference, _ keyspace: KeyspaceReference) {
        watch(key, in: keyspace, &session.pointee.watched)
    }

    /// Forgets all that the session watches.
    public func unwatchAll(_ session: SessionReference) { unwatchAll(&session.pointee.watched) }

    /// Whether a watched key has changed since WATCH, or has expired.
    public func isBroken(_ session: SessionReference) -> Bool { isBroken(session.pointee.watched) }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage

// WATCH for a session. `WatchList` in Storage does the rest.
extension Reference where Pointee == Worker {
    /// Makes the session watch `key` of the selected database.
    public func watch(_ key: Bytes, _ session: SessionReference, _ keyspace: KeyspaceReference) {
        watch(key, in: keyspace, &session.pointee.watched)
    }

    /// Ends all watches of the session.
    public func unwatchAll(_ session: SessionReference) { unwatchAll(&session.pointee.watched) }

    /// Whether a watched key has changed or expired since WATCH.
    public func isBroken(_ session: SessionReference) -> Bool { isBroken(session.pointee.watched) }
}

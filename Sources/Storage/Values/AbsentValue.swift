// SPDX-License-Identifier: Apache-2.0
import Base

extension Hold {
    /// Puts a negative entry under the key at `ordinal`: until `expiry` its record is known not to
    /// exist, so clients see no key and nothing is loaded.
    public func setAbsent(_ ordinal: Int, until expiry: Milliseconds) {
        let shape = EntryShape(.absent, .embedded, key: key(ordinal), expiry: expiry)
        var old = findAny(ordinal)
        if let live = old, !live.entry.isAbsent {
            // Why not in place: clients see the key vanish, and are told of a removal.
            remove(live)
            old = nil
        }
        written(place(ordinal, shape, replacing: old), replacing: old)
    }
}

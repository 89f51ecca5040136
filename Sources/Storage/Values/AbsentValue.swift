// SPDX-License-Identifier: Apache-2.0
import Base

extension Hold {
    /// Puts a negative entry under the key at `ordinal`: until `expiry` its record is known not to
    /// exist, so clients see no key and nothing is loaded.
    public func setAbsent(_ ordinal: Int, until expiry: Milliseconds) {
        let shape = EntryShape(.absent, .embedded, key: key(ordinal), expiry: expiry)
        let old = findAny(ordinal)
        written(place(ordinal, shape, replacing: old), replacing: old)
    }
}

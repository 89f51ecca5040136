// SPDX-License-Identifier: Apache-2.0

extension Families {
    /// Strings and counters.
    static let strings = Family(
        group: "string",
        [
            .key(GET.self)
        ])
}

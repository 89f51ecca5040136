// SPDX-License-Identifier: Apache-2.0

extension Families {
    /// Sets.
    static let sets = Family(
        group: "set",
        [
            .key(SADD.self),
            .key(SCARD.self),
            .key(SDIFF.self),
            .key(SDIFFSTORE.self),
            .key(SINTER.self),
            .key(SINTERCARD.self),
            .key(SINTERSTORE.self),
            .key(SISMEMBER.self),
            .key(SMEMBERS.self),
            .key(SMISMEMBER.self),
            .key(SMOVE.self),
            .key(SPOP.self),
            .key(SRANDMEMBER.self),
            .key(SREM.self),
            .key(SSCAN.self),
            .key(SUNION.self),
            .key(SUNIONSTORE.self),
        ])
}

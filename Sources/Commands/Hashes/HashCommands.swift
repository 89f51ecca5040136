// SPDX-License-Identifier: Apache-2.0

extension Families {
    /// Hashes.
    static let hashes = Family(
        group: "hash",
        [
            .key(HDEL.self),
            .key(HEXISTS.self),
            .key(HGET.self),
            .key(HGETALL.self),
            .key(HINCRBY.self),
            .key(HINCRBYFLOAT.self),
            .key(HKEYS.self),
            .key(HLEN.self),
            .key(HMGET.self),
            .key(HMSET.self),
            .key(HRANDFIELD.self),
            .key(HSCAN.self),
            .key(HSET.self),
            .key(HSETNX.self),
            .key(HSTRLEN.self),
            .key(HVALS.self),
        ])
}

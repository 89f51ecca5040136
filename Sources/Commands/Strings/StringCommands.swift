// SPDX-License-Identifier: Apache-2.0

extension Families {
    /// Strings and counters.
    static let strings = Family(
        group: "string",
        [
            .key(APPEND.self), .key(DECR.self), .key(DECRBY.self), .key(GET.self),
            .key(GETDEL.self), .key(GETEX.self), .key(GETRANGE.self), .key(GETSET.self),
            .key(INCR.self), .key(INCRBY.self), .key(INCRBYFLOAT.self), .key(LCS.self),
            .key(MGET.self), .key(MSET.self), .key(MSETNX.self), .key(PSETEX.self),
            .key(SET.self), .key(SETEX.self), .key(SETNX.self), .key(SETRANGE.self),
            .key(STRLEN.self), .key(SUBSTR.self),
        ])
}

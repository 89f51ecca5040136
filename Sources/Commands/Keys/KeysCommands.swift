// SPDX-License-Identifier: Apache-2.0

extension Families {
    /// Keys of any type.
    static let keys = Family(
        group: "generic",
        [
            .key(DEL.self), .key(UNLINK.self), .key(EXISTS.self), .key(TOUCH.self), .key(TYPE.self),
            .key(EXPIRE.self), .key(PEXPIRE.self), .key(EXPIREAT.self), .key(PEXPIREAT.self),
            .key(PERSIST.self), .key(TTL.self), .key(PTTL.self), .key(EXPIRETIME.self),
            .key(PEXPIRETIME.self), .key(RENAME.self), .key(RENAMENX.self), .key(COPY.self),
            .key(MOVE.self), .session(KEYS.self), .session(SCAN.self), .session(RANDOMKEY.self),
            .container(
                OBJECT.self,
                [
                    .key(OBJECT_ENCODING.self), .key(OBJECT_FREQ.self), .key(OBJECT_IDLETIME.self),
                    .key(OBJECT_REFCOUNT.self), .session(OBJECT_HELP.self),
                ]),
        ])

    /// Whole databases. Redis lists them under server commands.
    static let databases = Family(
        group: "server",
        [
            .session(DBSIZE.self), .session(FLUSHDB.self), .session(FLUSHALL.self),
            .session(SWAPDB.self),
        ])
}

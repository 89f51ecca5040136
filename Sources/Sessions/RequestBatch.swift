// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage

/// The requests of one turn, parsed before the first of them runs. Their arguments are in the
/// thread's list and are valid until that list is cleared.
typealias RequestBatch = FixedArray<32, Request>

/// A parsed request that has not run yet.
struct Request: ~Copyable {
    /// The command; nil if it is unknown.
    var entry: CommandTable.EntryReference?
    let firstArgument: Int
    let argumentCount: Int
    /// Bytes that the request took on the wire.
    let size: Int
    var prefetch: Prefetch?
}

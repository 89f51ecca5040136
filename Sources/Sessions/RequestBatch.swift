// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage

/// The requests that are parsed ahead of the one that runs. Their arguments are in the thread's
/// list, and valid as long as it.
typealias RequestBatch = FixedArray<32, Request>

/// A parsed request that waits for its turn in the batch.
struct Request: ~Copyable {
    /// Nil of an unknown command.
    var entry: CommandTable.EntryReference?
    let firstArgument: Int
    let argumentCount: Int
    /// Bytes that the request took on the wire.
    let size: Int
    var prefetch: Prefetch?
}

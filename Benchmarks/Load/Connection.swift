// SPDX-License-Identifier: Apache-2.0
import LoadKit

/// One connection of a worker: what it has sent, and what it still waits for.
///
/// Its buffers are usually empty: requests go through the worker's one send buffer and replies
/// through its one receive buffer. Only what the socket did not take (`unsent`) or the start of a
/// line cut by a read (`partialLine`) is kept here. So ten thousand connections cost little more
/// than their sockets.
struct Connection {
    let descriptor: Int32
    /// The tenant it is logged in as; nil if keys name the tenants.
    let tenant: Int?
    var isOpen = true
    var replies: ReplyStream
    var unsent: [UInt8] = []
    var partialLine: [UInt8] = []
    /// Closed loop: the time at which the outstanding batch was sent.
    var sentNanoseconds: UInt64 = 0
    /// Open loop: the requests sent and answered so far.
    var sentCount = 0
    var answeredCount = 0

    init(descriptor: Int32, tenant: Int?, pipeline: Int) {
        self.descriptor = descriptor
        self.tenant = tenant
        replies = ReplyStream(pipeline: pipeline)
    }
}

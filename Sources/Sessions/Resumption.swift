// SPDX-License-Identifier: Apache-2.0

/// How a suspended session goes on with the request at its front.
///
/// One type from end to end: whoever ends the wait makes it, the reactor's mailbox carries it,
/// `Session.resume` takes it.
public enum Resumption: Equatable, Sendable {
    /// Serve the request again from its beginning.
    case again
    /// The records that the request waited for are known not to exist: serve it again, and answer
    /// from what is there.
    case absent
    /// Answer the request with this error.
    case refused(String)
}

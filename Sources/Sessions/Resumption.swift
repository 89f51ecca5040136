// SPDX-License-Identifier: Apache-2.0

/// How a suspended session continues with its front request.
///
/// All parts use this one type: the code that ends the wait makes it, the reactor's mailbox carries
/// it, and `Session.resume` takes it.
public enum Resumption: Equatable, Sendable {
    /// Serve the request again from the start.
    case again
    /// The records that the request waited for do not exist: serve it again, and answer without
    /// them.
    case absent
    /// Answer the request with this error: it did not run.
    case refused(String)
    /// The request has run elsewhere: answer with the outcome.
    case answered(Outcome)

    public enum Outcome: Equatable, Sendable {
        case ok
        case bulk(String)
        case error(String)
    }
}

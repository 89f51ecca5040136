// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions
import Storage

/// A socket and its session, with the bytes that arrived and are not consumed yet, and the replies
/// that are not sent yet.
///
/// Both buffers are almost always empty: bytes are parsed in the buffer that the thread received
/// them into, and replies are sent from the buffer that the thread wrote them to.
struct Connection: ~Copyable {
    let fd: Int32
    /// The index in the reactor's table and the place's generation. The generation exposes old
    /// events and timers.
    let token: UInt64
    var session: Session
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// The interest that the event loop knows.
    var interest = Interest.initial
    /// Serves no more requests; closes when the output is sent.
    var isClosing = false
    /// Reads no more; closes when all that arrived is answered and the answers are sent.
    var hasEnded = false
    /// The client has closed its side while the session waited. Bytes may have arrived before that
    /// end.
    var knowsOfEnd = false
    /// CLIENT KILL or a limit has marked it; the next tick closes it.
    var isKilled = false
    /// What its session held when it was last charged for that (`SessionState.heldSize`).
    var sessionSize = 0
    /// The part of the thread's buffer that holds this tick's replies; empty if start == end.
    var replyStart = 0
    var replyEnd = 0
    /// `input` holds requests that wait until replies are sent.
    var hasUnserved = false
    /// These requests wait until the client has read much of its output. Nothing is received
    /// meanwhile.
    var isHeldBack = false
    /// When the output exceeded its soft limit, and the timer that checks it again when the grace
    /// period ends; nil below the limit.
    var softLimitSince: Milliseconds?
    var softLimitTimer: TimerID?
    /// The serial of the session's wait (`Wait`); 0 while the session serves.
    var waitSerial: UInt64 = 0
    /// Ends a wait of which the client has given up; nil if there is none.
    var waitTimer: TimerID?
    /// The tenant in whose `ThrottleQueue` the session waits.
    var throttledBy: TenantReference?
    /// Whether the session answered any request when it was served last.
    var hasAdvanced = false

    /// Whether requests are received: the session does not wait, and is not held back.
    var isReading: Bool { !isSuspended && !isHeldBack }

    /// Whether the session waits. It then counts as blocked.
    var isSuspended: Bool { waitSerial != 0 }

    init(fd: Int32, token: UInt64, session: consuming Session) {
        self.fd = fd
        self.token = token
        self.session = session
    }
}

/// One wait of one session. A timer or message that ends a wait names it, so a late one cannot end
/// a later wait of the same session.
struct Wait: Equatable, Sendable {
    /// The connection's token.
    let token: UInt64
    /// A number from 1, given by the reactor. Of two waits, the one with the lower serial began
    /// first.
    let serial: UInt64

    /// Serials have 48 bits and so fit into a `RecordWaiter`. At a million waits per second they
    /// wrap around after nine years.
    static let serialMax: UInt64 = (1 << 48) - 1
}

typealias ConnectionReference = UnsafeMutablePointer<Connection>

/// The connections of one reactor, by token.
///
/// A token is 0x8000… if it is no connection's, else generation (31 bits) | index (32 bits).
struct ConnectionTable: ~Copyable {
    private var places: [Place] = []
    private var free: [Int] = []
    private(set) var count = 0

    private struct Place {
        var connection: ConnectionReference?
        var generation: UInt32
    }

    /// Reserves a place for a new connection and returns its token.
    mutating func reserve() -> UInt64 {
        let index: Int
        if let reused = free.popLast() {
            index = reused
        } else {
            index = places.count
            places.append(Place(connection: nil, generation: 1))
        }
        return UInt64(places[index].generation & 0x7FFF_FFFF) << 32 | UInt64(index)
    }

    mutating func insert(_ connection: ConnectionReference) {
        places[Int(connection.pointee.token & 0xFFFF_FFFF)].connection = connection
        count += 1
    }

    mutating func remove(_ token: UInt64) {
        let index = Int(token & 0xFFFF_FFFF)
        places[index].connection = nil
        places[index].generation &+= 1
        free.append(index)
        count -= 1
    }

    /// The connection that `token` named, if it is still there.
    @inline(__always)
    func find(_ token: UInt64) -> ConnectionReference? {
        let index = Int(token & 0xFFFF_FFFF)
        guard index < places.count,
            UInt64(places[index].generation & 0x7FFF_FFFF) == token >> 32
        else { return nil }
        return places[index].connection
    }

    /// All connections at this moment. Each pointer is valid until its connection is closed, which
    /// serving or sending to any connection may do.
    var all: [ConnectionReference] { places.compactMap(\.connection) }
}

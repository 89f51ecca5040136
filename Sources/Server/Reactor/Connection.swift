// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions

/// A socket and its session: what arrived and was not consumed, what was answered and not sent.
///
/// Both buffers are empty for nearly every connection at nearly every moment: bytes are parsed
/// where the thread received them, and replies sent from where the thread wrote them.
struct Connection: ~Copyable {
    let fd: Int32
    /// Index into the reactor's table, and the table place's generation, so that an old event or
    /// timer is recognised.
    let token: UInt64
    var session: Session
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// What the event loop has been told.
    var interest = Interest.initial
    /// No more requests are served; closed when the output is out.
    var isClosing = false
    /// No more is read; closed when all that has arrived is answered and the answers are out.
    var hasEnded = false
    /// The client sends no more, which was heard while the session waited: there may be bytes
    /// before that end.
    var knowsOfEnd = false
    /// CLIENT KILL has it on its list: it is closed with the next tick.
    var isKilled = false
    /// Replies of this tick, as a part of the thread's buffer; empty where start == end.
    var replyStart = 0
    var replyEnd = 0
    /// There are requests in `input` that wait for replies to be sent first.
    var hasUnserved = false
    /// Since when the output has been over its soft limit, and the timer that looks whether it
    /// still is when the patience with it ends; nil while it is not.
    var softLimitSince: Milliseconds?
    var softLimitTimer: TimerID?
    /// The serial of the session's wait (`Wait`), and the timer that ends it where one does; 0 and
    /// nil while the session serves.
    var waitSerial: UInt64 = 0
    var waitTimer: TimerID?

    /// The session waits, and counts as blocked.
    var isSuspended: Bool { waitSerial != 0 }

    init(fd: Int32, token: UInt64, session: consuming Session) {
        self.fd = fd
        self.token = token
        self.session = session
    }
}

/// One wait of one session. The timer or message that ends a wait names it, so that a late one does
/// not end another wait that the same session has begun since.
struct Wait: Equatable, Sendable {
    /// The connection's.
    let token: UInt64
    /// A number, from 1, that the reactor gives: of two waits the lower began first.
    let serial: UInt64

    /// Serials have 48 bits, so that a `RecordWaiter` has room for one. At a million waits a second
    /// they begin anew after nine years.
    static let serialMax: UInt64 = (1 << 48) - 1
}

typealias ConnectionReference = UnsafeMutablePointer<Connection>

/// The connections of one reactor, by token.
///
/// A token is 0x8000… for what is no connection, else generation (31 bits) | index (32 bits).
struct ConnectionTable: ~Copyable {
    private var places: [Place] = []
    private var free: [Int] = []
    private(set) var count = 0

    private struct Place {
        var connection: ConnectionReference?
        var generation: UInt32
    }

    /// A place for a new connection and its token.
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

    /// All connections as they are now. Each is good until it is closed.
    var all: [ConnectionReference] { places.compactMap(\.connection) }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Storage
import Wire

/// What the server knows of a connection's conversation: who speaks, which dialect, which database,
/// what is queued. No socket is in it.
///
/// Threads: the owning reactor's. Others read it only while that reactor stands still
/// (`ServerControl.forEachSession`).
public struct SessionState: ~Copyable {
    public let id: UInt64
    public var name: [UInt8] = []
    public var clientLibraryName: [UInt8] = []
    public var clientLibraryVersion: [UInt8] = []
    /// The other end as "address:port", and ours.
    public let address: String
    public let localAddress: String
    public let isUnixSocket: Bool
    /// The socket's number, for CLIENT LIST.
    public var descriptor: Int32 = -1
    public let createdAt: Milliseconds
    public var lastActiveAt: Milliseconds
    public var protocolVersion: UInt8 = 2
    public var database = 0
    /// Whose keys the session sees.
    public var tenant: TenantReference
    public var isAuthenticated: Bool
    /// The user that AUTH named; "default" unless a tenant's id was given.
    public var user: [UInt8] = Array("default".utf8)

    public var isNoEvict = false
    public var leavesAccessTime = false
    public var replyMode = ReplyMode.on
    public var transaction = Transaction()
    public var watched = WatchList()
    /// The session ends when its replies are out.
    public var closesAfterReply = false

    /// Number of the command that ran last, for CLIENT LIST; -1 before the first.
    public var lastCommand = -1
    public var bytesIn = 0
    public var bytesOut = 0
    /// Bytes of request and of replies that wait: kept by the connection for CLIENT LIST and the
    /// limits.
    public var queryBufferSize = 0
    public var queryBufferFree = 0
    public var outputSize = 0
    public var isBlocked = false

    public enum ReplyMode: Sendable { case on, off, skipNext, skipThis }

    public init(
        id: UInt64, address: String, localAddress: String, isUnixSocket: Bool,
        tenant: TenantReference, isAuthenticated: Bool, now: Milliseconds
    ) {
        self.id = id
        self.address = address
        self.localAddress = localAddress
        self.isUnixSocket = isUnixSocket
        self.tenant = tenant
        self.isAuthenticated = isAuthenticated
        createdAt = now
        lastActiveAt = now
    }
}

public typealias SessionReference = UnsafeMutablePointer<SessionState>

/// MULTI: the requests that wait for EXEC, as the bytes in which they came.
public struct Transaction: ~Copyable {
    public var isOpen = false
    /// A request was refused while it was queued: EXEC answers EXECABORT.
    public var isAborted = false
    public var count = 0
    /// Whether a queued command may write, which CLIENT PAUSE WRITE asks of EXEC.
    public var mayWrite = false
    /// Requests in RESP form, one behind the other.
    public var requests = ByteBuffer()
    /// Bytes of the queued requests, and of the replies to them, that no tenant is charged yet.
    /// They outlive the transaction: whoever sees it end charges them.
    public var unchargedIn = 0
    public var unchargedOut = 0

    public init() {}

    public mutating func takeUncharged() -> (in: Int, out: Int) {
        defer {
            unchargedIn = 0
            unchargedOut = 0
        }
        return (unchargedIn, unchargedOut)
    }

    public mutating func reset() {
        isOpen = false
        isAborted = false
        count = 0
        mayWrite = false
        requests.removeAll(keepingCapacity: false)
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Wire

/// The state of a client's conversation: its identity, its protocol version, its database, its
/// queued requests. It has no socket.
///
/// Threads: the owning reactor's. Other threads read it only while that reactor stands still
/// (`ServerControl.forEachSession`).
public struct SessionState: ~Copyable {
    public let id: UInt64
    public var name: [UInt8] = []
    public var clientLibraryName: [UInt8] = []
    public var clientLibraryVersion: [UInt8] = []
    /// The client's address as "address:port", and the server's.
    public let address: String
    public let localAddress: String
    public let isUnixSocket: Bool
    /// The socket's descriptor, for CLIENT LIST.
    public var descriptor: Int32 = -1
    /// Moments of monotonic time.
    public let createdAt: Milliseconds
    public var lastActiveAt: Milliseconds
    public var protocolVersion: UInt8 = 2
    public var database = 0
    /// The tenant whose keys the session sees.
    public private(set) var tenant: TenantReference { didSet { forgetRights() } }
    public var isAuthenticated: Bool { didSet { forgetRights() } }
    /// Which commands it may run; valid if `rightsGeneration` equals that of the settings.
    public internal(set) var rights = Rights.none
    public internal(set) var rightsGeneration = -1
    /// The user that AUTH named; "default" unless a tenant's id was given.
    public var user: [UInt8] = Array("default".utf8)

    public var isNoEvict = false
    /// Options of the session's holds: CLIENT NO-TOUCH.
    public private(set) var holdOptions: HoldOptions = []
    public var leavesAccessTime: Bool {
        get { holdOptions.contains(.leavesAccessTime) }
        set { holdOptions = newValue ? .leavesAccessTime : [] }
    }
    public var replyMode = ReplyMode.on
    public var transaction = Transaction()
    public var watched = WatchList()
    /// The session ends when its replies are sent.
    public var closesAfterReply = false

    /// Number of the command that ran last, for CLIENT LIST; -1 before the first.
    public var lastCommand = -1
    public var bytesIn = 0
    public var bytesOut = 0
    /// Bytes that its tenant is charged for the buffers of this client (`charge`).
    public private(set) var chargedSize = 0
    /// Bytes of waiting requests and replies. The connection updates these for CLIENT LIST and the
    /// limits.
    public var queryBufferSize = 0
    public var queryBufferFree = 0
    public var outputSize = 0
    public var isBlocked = false

    /// The session's identity changed: its rights are computed again before the next command.
    private mutating func forgetRights() { rightsGeneration = -1 }

    /// Charges the session's tenant for `size` bytes of buffers, instead of what it was charged.
    public mutating func charge(_ size: Int, _ registry: TenantRegistry) {
        registry.chargeClients(tenant, size - chargedSize)
        chargedSize = size
    }

    /// Moves the session, and what is charged for it, to another tenant, which counts the
    /// connection already.
    public mutating func move(to other: TenantReference, _ registry: TenantRegistry) {
        registry.chargeClients(tenant, -chargedSize)
        registry.chargeClients(other, chargedSize)
        tenant.pointee.connections.wrappingSubtract(1, ordering: .relaxed)
        tenant = other
    }

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

public typealias SessionReference = Reference<SessionState>

extension Reference where Pointee == SessionState {
    /// Bytes that the session itself holds: queued requests, watched keys, names.
    ///
    /// Why of the reference: a call of a method of the large struct would copy it.
    public var heldSize: Int {
        pointee.transaction.requests.capacity + pointee.watched.heldSize + pointee.name.count
            + pointee.clientLibraryName.count + pointee.clientLibraryVersion.count
    }
}

/// MULTI: the requests queued for EXEC, as bytes.
public struct Transaction: ~Copyable {
    public var isOpen = false
    /// A request was refused while queuing: EXEC answers EXECABORT.
    public var isAborted = false
    public var count = 0
    /// Whether a queued command may write; decides whether CLIENT PAUSE WRITE holds back EXEC.
    public var mayWrite = false
    /// Requests in RESP form, one after the other.
    public var requests = ByteBuffer()
    /// Bytes of the queued requests and their replies that no tenant was charged for yet. They
    /// outlive the transaction; the code that ends it charges them.
    public var unchargedIn = 0
    public var unchargedOut = 0

    public init() {}

    /// Adds a request in RESP form.
    public mutating func append(_ arguments: Arguments) {
        line(UInt8(ascii: "*"), arguments.count)
        for index in 0..<arguments.count {
            line(UInt8(ascii: "$"), arguments[index].count)
            requests.append(arguments[index])
            requests.append("\r\n" as StaticString)
        }
        count += 1
    }

    private mutating func line(_ kind: UInt8, _ value: Int) {
        requests.append(byte: kind)
        requests.append(integer: Int64(value))
        requests.append("\r\n" as StaticString)
    }

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

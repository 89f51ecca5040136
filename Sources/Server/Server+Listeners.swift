// SPDX-License-Identifier: Apache-2.0
import Base
import Networking

// The sockets that the server listens on.
extension Server {
    struct Listener {
        let fd: Int32
        let unixPath: String?
    }

    static func openListeners(_ configuration: Configuration) throws(StartError) -> [Listener] {
        let port = configuration.integer("port")
        let path = configuration.text("unixsocket")
        var listeners: [Listener] = []
        do throws(Socket.Failure) {
            if port > 0 { listeners = try openAddresses(configuration, port) }
            if !path.isEmpty {
                let fd = try Socket.listen(
                    path: path, permissions: configuration.integer("unixsocketperm"),
                    backlog: configuration.integer("tcp-backlog"))
                listeners.append(Listener(fd: fd, unixPath: path))
            }
        } catch {
            throw .message(error.message)
        }
        guard !listeners.isEmpty else {
            let reason =
                port > 0 ? "this machine has no address of bind" : "port is 0"
            throw .message("nothing to listen on: \(reason) and no unixsocket is set")
        }
        return listeners
    }

    /// Opens each address of `bind` once. `*` means every address of both families; a leading minus
    /// allows the address to be missing. A name means all its addresses that this machine has.
    private static func openAddresses(
        _ configuration: Configuration, _ port: Int
    ) throws(Socket.Failure) -> [Listener] {
        let backlog = configuration.integer("tcp-backlog")
        var opened: [(address: SocketAddress, fd: Int32)] = []
        for (host, isOptional) in configuration.words("bind").flatMap(hosts) {
            let what = "cannot listen on \(host) port \(port)"
            var absent: Socket.Failure?
            var isOpen = false
            do throws(Socket.Failure) {
                for address in try SocketAddress.all(host, port: port, what: what) {
                    if !opened.contains(where: { $0.address == address }) {
                        do throws(Socket.Failure) {
                            let fd = try Socket.listen(address, backlog: backlog, what: what)
                            opened.append((address, fd))
                        } catch {
                            guard error.isAbsent else { throw error }
                            absent = error
                            continue
                        }
                    }
                    isOpen = true
                }
            } catch {
                guard isOptional && error.isUnknownName else { throw error }
                Log.standard.write(.warning, error.message)
                continue
            }
            if let absent, !isOpen, !isOptional { throw absent }
        }
        return opened.map { Listener(fd: $0.fd, unixPath: nil) }
    }

    /// The hosts that a word of `bind` names, and whether each may be missing.
    static func hosts(_ word: String) -> [(host: String, isOptional: Bool)] {
        let isOptional = word.hasPrefix("-")
        let host = isOptional ? String(word.dropFirst()) : word
        return host == "*" ? [("*", isOptional), ("::*", true)] : [(host, isOptional)]
    }
}

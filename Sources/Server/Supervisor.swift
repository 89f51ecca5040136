// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Networking

/// The supervisor that started the server, if it wants to hear from it: systemd, by the protocol of
/// sd_notify.
enum Supervisor {
    /// Who supervises the server, as INFO shows it: "systemd" or "no".
    static func name(_ configuration: Configuration) -> String {
        let isTold = configuration.text("supervised") != "no" && getenv("NOTIFY_SOCKET") != nil
        return isTold ? "systemd" : "no"
    }

    /// Sends `text` to the socket that NOTIFY_SOCKET names, if `supervised` says so.
    static func tell(_ text: String, _ configuration: Configuration) {
        let mode = configuration.text("supervised")
        guard mode != "no" else { return }
        // Safety: the environment does not change once the server has started.
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else {
            if mode == "systemd" {
                Log.standard.write(.warning, "supervised systemd: NOTIFY_SOCKET is not set")
            }
            return
        }
        do throws(Socket.Failure) { try Socket.sendDatagram(text, to: path) } catch {
            Log.standard.write(.warning, "supervised \(mode): \(error.message)")
        }
    }
}

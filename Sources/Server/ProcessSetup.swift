// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Directives about the process itself: its directory, its log, its process file, its descriptors.
enum ProcessSetup {
    /// Runs before any file is opened: relative paths start at `dir`, as in redis.conf.
    static func prepare(_ configuration: Configuration) throws(Server.StartError) {
        let directory = configuration.text("dir")
        guard configuration.enterDirectory() else {
            throw .message("dir: cannot enter '\(directory)': \(String(cString: strerror(errno)))")
        }
        let log = configuration.text("logfile")
        let code = Log.standard.open(path: log)
        guard code == 0 else {
            throw .message("logfile: cannot open '\(log)': \(String(cString: strerror(code)))")
        }
        configuration.fitClientsToSystem()
    }

    /// Called once the server listens, so that a server that could not start leaves the file of
    /// another alone.
    static func writeProcessFile(_ configuration: Configuration) {
        let path = configuration.text("pidfile")
        guard !path.isEmpty else { return }
        do throws(TextFile.Failure) {
            try TextFile.write("\(getpid())\n", to: path, mode: 0o644)
        } catch {
            Log.standard.write(.warning, "pidfile: cannot write '\(path)': \(error.reason)")
        }
    }

    static func removeProcessFile(_ configuration: Configuration) {
        let path = configuration.text("pidfile")
        if !path.isEmpty { unlink(path) }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Directives about the process itself: its directory, its log, its process file, its descriptors.
enum ProcessSetup {
    /// Runs before any file is opened: relative paths start at `dir`, as in redis.conf.
    static func prepare(_ configuration: Configuration) throws(Server.StartError) {
        holdHangUp()
        let directory = configuration.text("dir")
        guard configuration.enterDirectory() else {
            throw .message("dir: cannot enter '\(directory)': \(String(cString: strerror(errno)))")
        }
        let log = configuration.text("logfile")
        let code = Log.standard.open(path: log)
        guard code == 0 else {
            throw .message("logfile: cannot open '\(log)': \(String(cString: strerror(code)))")
        }
        for note in configuration.notes { Log.standard.write(note.level, note.text) }
        try configuration.fitClientsToSystem()
    }

    /// SIGHUP waits until the server hears signals: it must not end a server that is starting.
    private static func holdHangUp() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGHUP)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// SIGHUP: a program that rotates logs has moved the file away.
    static func reopenLog(_ configuration: Configuration) {
        let path = configuration.text("logfile")
        let code = Log.standard.open(path: path)
        if code == 0 {
            Log.standard.write(.notice, "SIGHUP: the log file is open again")
        } else {
            let reason = String(cString: strerror(code))
            Log.standard.write(
                .warning, "logfile: cannot open '\(path)' again: \(reason); the old one is kept")
        }
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

// SPDX-License-Identifier: Apache-2.0
import Glibc
import LoadKit

/// The server's process as /proc shows it: CPU time and resident memory.
struct ServerProcess {
    struct Sample {
        var userSeconds = 0.0
        var systemSeconds = 0.0
        var residentBytes = 0
    }

    let process: Int32

    func sample() throws(LoadError) -> Sample {
        let status = try read("/proc/\(process)/stat")
        // The name in parentheses may contain anything, even blanks and parentheses, so the fields
        // are counted from the last parenthesis. utime, stime and rss are the fields 14, 15 and 24.
        guard let nameEnd = status.lastIndex(of: ")") else {
            throw LoadError("/proc/\(process)/stat cannot be understood")
        }
        let fields = status[status.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
            let pages = Int(fields[21])
        else { throw LoadError("/proc/\(process)/stat cannot be understood") }
        let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
        return Sample(
            userSeconds: user / ticksPerSecond, systemSeconds: system / ticksPerSecond,
            residentBytes: pages * sysconf(Int32(_SC_PAGESIZE)))
    }

    static func use(from before: Sample, to after: Sample) -> ServerUse {
        ServerUse(
            userSeconds: after.userSeconds - before.userSeconds,
            systemSeconds: after.systemSeconds - before.systemSeconds,
            residentBytesBefore: before.residentBytes, residentBytesAfter: after.residentBytes)
    }

    private func read(_ path: String) throws(LoadError) -> String {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw .system("cannot read \(path)") }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { throw .system("cannot read \(path)") }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}

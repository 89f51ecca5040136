// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Sizes in the notation of the configuration: digits and a unit, k = 1000, kb = 1024, and so on,
/// in any case.
enum MemorySize {
    private static let units: [(name: String, factor: Int)] = [
        ("", 1), ("b", 1), ("k", 1000), ("kb", 1 << 10), ("m", 1_000_000), ("mb", 1 << 20),
        ("g", 1_000_000_000), ("gb", 1 << 30), ("t", 1_000_000_000_000), ("tb", 1 << 40),
    ]

    static func parse(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        let digits = bytes.prefix { ASCII.isDigit($0) }
        let unit = String(decoding: bytes.dropFirst(digits.count).map(ASCII.lower), as: UTF8.self)
        guard let number = Int(String(decoding: digits, as: UTF8.self)),
            let factor = units.first(where: { $0.name == unit })?.factor
        else { return nil }
        let (size, overflowed) = number.multipliedReportingOverflow(by: factor)
        return overflowed ? nil : size
    }

    /// The memory limit of this process's control group, version 2 first, then 1; nil without a
    /// limit.
    static var containerLimit: Int? {
        for path in candidates() {
            guard let content = try? TextFile.read(path),
                let limit = Int(String(decoding: content.filter { $0 > 32 }, as: UTF8.self))
            else { continue }
            // Why compare with the machine's memory: without a limit, version 1 shows a number
            // beyond any machine.
            let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
            if limit > 0 && limit < machine { return limit }
        }
        return nil
    }

    /// The files that may hold a limit: those of the group in /proc/self/cgroup, and those of the
    /// root, which is what a container sees.
    private static func candidates() -> [String] {
        var paths: [String] = []
        let content = (try? TextFile.read("/proc/self/cgroup")) ?? []
        for line in content.split(separator: 10) {
            let parts = line.split(
                separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            var group = String(decoding: parts[2], as: UTF8.self)
            if group == "/" { group = "" }
            if parts[1].isEmpty {
                paths.append("/sys/fs/cgroup\(group)/memory.max")
            } else if String(decoding: parts[1], as: UTF8.self).split(separator: ",").contains(
                "memory")
            {
                paths.append("/sys/fs/cgroup/memory\(group)/memory.limit_in_bytes")
            }
        }
        return paths + ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    }

    /// The default of `client-output-buffer-limit` for normal clients: a quarter of the memory as
    /// the hard limit, and a sixteenth for at most a minute as the soft one.
    ///
    /// Redis does not limit normal clients. Here a client that never reads must not take the memory
    /// of all tenants.
    static var outputLimitDefault: [String] {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        let memory = min(containerLimit ?? .max, machine > 0 ? machine : .max)
        let hard = max(64 << 20, memory / 4)
        return ["normal", String(hard), String(hard / 4), "60"]
    }

    /// The default of `maxmemory`: three quarters of the container's limit, else 0, which means no
    /// limit.
    static var memoryMaxDefault: Int {
        containerLimit.map { $0 / 4 * 3 } ?? 0
    }
}

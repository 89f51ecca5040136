// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc
import Storage

/// What the kernel reports about this machine and process, for INFO.
enum System {
    static var name: String {
        var name = utsname()
        uname(&name)
        return [text(&name.sysname), text(&name.release), text(&name.machine)].joined(
            separator: " ")
    }

    /// The text in a field of a C structure that is an array of characters.
    private static func text<Field>(_ field: inout Field) -> String {
        withUnsafeBytes(of: &field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    static var executable: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let bytes = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The first 16 digits of the program's build id, which the linker computes from its content.
    static let buildID: String = {
        var bytes = [UInt8](repeating: 0, count: 8)
        let count = Int(martlet_build_id(&bytes, Int32(bytes.count)))
        guard count > 0 else { return "0" }
        let digits = Array("0123456789abcdef")
        return String(bytes.prefix(count).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }()

    static var memory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

    /// The process's bytes in memory.
    static var residentSet: Int { residentSetSize() ?? 0 }

    /// The processor time used by the process, or by its children that have ended.
    static func processorTime(ofChildren: Bool = false) -> (system: String, user: String) {
        var usage = rusage()
        let whose = ofChildren ? RUSAGE_CHILDREN : RUSAGE_SELF
        getrusage(__rusage_who_t(whose.rawValue), &usage)
        func seconds(_ time: timeval) -> String {
            "\(time.tv_sec).\(String(1_000_000 + time.tv_usec).dropFirst())"
        }
        return (seconds(usage.ru_stime), seconds(usage.ru_utime))
    }

    /// The processor time used by the main thread, which the kernel counts in hundredths.
    static var mainThreadTime: (system: String, user: String) {
        let content = (try? TextFile.read("/proc/self/task/\(getpid())/stat")) ?? []
        // The thread's name, in parentheses, is the second field and may contain spaces. The
        // fourteenth and the fifteenth are the times.
        let rest = content[((content.lastIndex(of: UInt8(ascii: ")")) ?? -1) + 1)...]
        let fields = rest.split(separator: UInt8(ascii: " "))
        func seconds(_ number: Int) -> String {
            let index = number - 3
            guard index < fields.count else { return "0.000000" }
            let ticks = Int(String(decoding: fields[index], as: UTF8.self)) ?? 0
            let microseconds = ticks * 1_000_000 / max(1, sysconf(Int32(_SC_CLK_TCK)))
            return "\(microseconds / 1_000_000)."
                + String(1_000_000 + microseconds % 1_000_000).dropFirst()
        }
        return (system: seconds(15), user: seconds(14))
    }
}

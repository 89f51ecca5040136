// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Small files, read and written whole. A crash leaves the old content or the new, never a part.
enum TextFile {
    /// Why a file could not be read or written, in the system's words.
    struct Failure: Error, Equatable {
        let code: Int32
        var reason: String { String(cString: strerror(code)) }
        var isMissing: Bool { code == ENOENT }
    }

    static func read(_ path: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {  // Bound: ends with the file.
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(code: errno)
            }
            if count == 0 { return content }
            content += chunk[..<count]
        }
    }

    /// Writes a temporary file beside `path`, syncs it to disk, and renames it to `path`. It keeps
    /// the permissions of an existing file and gives a new one `mode`.
    static func write(_ text: String, to path: String, mode: mode_t) throws(Failure) {
        var status = stat()
        let mode = stat(path, &status) == 0 ? status.st_mode & 0o7777 : mode
        let temporary = "\(path).\(getpid()).tmp"
        do throws(Failure) {
            try writeWhole(text, to: temporary, mode: mode)
            guard rename(temporary, path) == 0 else { throw Failure(code: errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        try synchronize(directory: directory(of: path))
    }

    private static func writeWhole(
        _ text: String, to path: String, mode: mode_t
    ) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { close(descriptor) }
        // Why: the umask may have removed bits that the old file had.
        guard fchmod(descriptor, mode) == 0 else { throw Failure(code: errno) }
        try write(Array(text.utf8), to: descriptor)
        guard fsync(descriptor) == 0 else { throw Failure(code: errno) }
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {  // Bound: each turn writes at least one byte.
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(code: errno)
            }
            rest = rest.dropFirst(count)
        }
    }

    private static func synchronize(directory: String) throws(Failure) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Failure(code: errno) }
    }

    /// The folder of `path`; "/" for a file in the root.
    static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// `path` relative to `directory`, unless it is absolute.
    static func resolve(_ path: String, in directory: String) -> String {
        if path.utf8.first == UInt8(ascii: "/") { return path }
        return directory == "/" ? "/" + path : "\(directory)/\(path)"
    }

    static var workingDirectory: String {
        guard let path = getcwd(nil, 0) else { return "." }
        defer { free(path) }
        return String(cString: path)
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Storage

/// The file of created tenants: text that an administrator can read, to which every change appends
/// a line.
///
///     # Tenants made by TENANT CREATE. ...
///     tenant acme plan=free secret-digest=1ec1...
///     tenant acme plan=pro secret-digest=1ec1...      the later line is in force
///     deleted other
///
/// Why appended: a change costs one line and one sync, however many tenants there are. After as
/// many lines as there are tenants the file is written anew, so it stays within about twice its
/// smallest size and reading it stays cheap.
///
/// Invariants:
/// 1. Lines up to `size` are on disk, and whole. What follows them was never answered: it is cut
///    off after a failed write, and a last line without its end is ignored at start.
/// 2. If the file at `path` is not the one that this object wrote, or has another size, it is
///    written anew.
///
/// Threads: used by one at a time.
final class TenantFile {
    static let heading =
        "# Tenants made by TENANT CREATE. Written by the server; secrets are kept as SHA-256 "
        + "digests.\n"
    /// So many lines may always be appended before the file is written anew.
    private static let appendedCountMin = 1000

    let path: String
    private var descriptor: Int32 = -1
    private var size: off_t = 0
    private var appendedCount = 0
    private var wholeCount = 0

    init(_ path: String) { self.path = path }

    deinit { closeFile() }

    // MARK: - Writing

    static func line(_ tenant: TenantRegistry.Kept) -> String {
        let line = TenantLine(
            id: String(decoding: tenant.id, as: UTF8.self), plan: tenant.plan,
            secretDigest: tenant.secretDigest)
        return ConfigurationText.line(["tenant"] + line.words) + "\n"
    }

    static func lineOfDeleted(_ id: [UInt8]) -> String {
        ConfigurationText.line(["deleted", String(decoding: id, as: UTF8.self)]) + "\n"
    }

    /// Brings `lines` to disk. `whole` returns the lines of all tenants before these changes.
    /// After a failure none of `lines` is in the file.
    func append(_ lines: [String], whole: () -> [String]) throws(TextFile.Failure) {
        guard isInPlace,
            appendedCount + lines.count <= max(TenantFile.appendedCountMin, wholeCount)
        else { return try rewrite(whole() + lines) }
        do throws(TextFile.Failure) {
            try TextFile.write(Array(lines.joined().utf8), to: descriptor)
        } catch {
            if ftruncate(descriptor, size) != 0 { closeFile() }
            throw error
        }
        guard fdatasync(descriptor) == 0 else {
            let code = errno
            // Why: nobody knows which of the bytes are on disk, so the file is given up.
            _ = ftruncate(descriptor, size)
            closeFile()
            throw TextFile.Failure(code: code)
        }
        size += off_t(lines.reduce(0) { $0 + $1.utf8.count })
        appendedCount += lines.count
    }

    private func rewrite(_ lines: [String]) throws(TextFile.Failure) {
        closeFile()
        let text = TenantFile.heading + lines.joined()
        try TextFile.write(text, to: path, mode: 0o600)
        wholeCount = lines.count
        appendedCount = 0
        size = off_t(text.utf8.count)
        // If it cannot be opened, the next change writes it anew.
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    }

    /// Invariant 2.
    private var isInPlace: Bool {
        var mine = stat()
        var found = stat()
        return descriptor >= 0 && fstat(descriptor, &mine) == 0 && stat(path, &found) == 0
            && mine.st_dev == found.st_dev && mine.st_ino == found.st_ino && mine.st_size == size
    }

    private func closeFile() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    // MARK: - Reading

    /// The tenants in the file, each with the place of its line. None if there is no file.
    static func load(
        _ path: String
    ) throws(Server.StartError) -> [(tenant: TenantLine, place: String)] {
        var content: [UInt8]
        do throws(TextFile.Failure) { content = try TextFile.read(path) } catch {
            guard error.isMissing else { throw .message("\(path): \(error.reason)") }
            return []
        }
        let end = wholeLinesEnd(content)
        if end < content.count {
            Log.standard.write(
                .warning, "\(path): the last line has no end, so it was never in force; ignored")
            content.removeLast(content.count - end)
        }
        var places: [String: (tenant: TenantLine, number: Int)] = [:]
        for (index, line) in content.split(separator: 10, omittingEmptySubsequences: false)
            .enumerated()
        {
            // Why an invalid line is an error: if it were skipped, the next change could write the
            // file without it.
            let place = "\(path):\(index + 1)"
            guard let words = ConfigurationText.words(line) else {
                throw .message("\(place): a quote is not closed")
            }
            guard let name = words.first, !name.hasPrefix("#") else { continue }
            if name == "deleted", words.count == 2 {
                places[words[1]] = nil
                continue
            }
            guard name == "tenant" else { throw .message("\(place): unknown word '\(name)'") }
            do throws(Directive.Unacceptable) {
                let tenant = try TenantLine(Array(words.dropFirst()))
                places[tenant.id] = (tenant, index + 1)
            } catch {
                throw .message("\(place): \(error.reason)")
            }
        }
        return places.values.sorted { $0.number < $1.number }
            .map { ($0.tenant, "\(path):\($0.number)") }
    }

    /// Where the last whole line ends. After a crash of the machine a file may end in a part of a
    /// line, or in zero bytes.
    private static func wholeLinesEnd(_ content: [UInt8]) -> Int {
        let text = content.prefix { $0 != 0 }
        return text.lastIndex(of: 10).map { $0 + 1 } ?? 0
    }
}

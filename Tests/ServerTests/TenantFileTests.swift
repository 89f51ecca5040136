// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Server
@testable import Storage

/// The file of created tenants: how it is read, appended to and written anew.
@Suite struct TenantFileTests {
    private let folder = TemporaryFolder()
    private var path: String { "\(folder.path)/tenants.conf" }

    private func text() throws -> String {
        String(decoding: try TextFile.read(path), as: UTF8.self)
    }

    private func put(_ text: String) throws { try TextFile.write(text, to: path, mode: 0o600) }

    private func load() throws -> [String] {
        try TenantFile.load(path).map { "\($0.tenant.id) \($0.tenant.plan ?? "-")" }
    }

    private static func line(_ id: String) -> String { "tenant \(id) plan=free\n" }

    @Test func theLastLineOfATenantIsInForce() throws {
        #expect(try load() == [], "no file")
        try put(
            """
            # A comment.
            tenant a plan=free
            tenant b plan=free

            tenant a plan=pro
            deleted b
            tenant c
            deleted c
            tenant c plan=pro
            deleted never

            """)
        #expect(try load() == ["a pro", "c pro"])
        #expect(try TenantFile.load(path).first?.place == "\(path):5")
    }

    @Test(arguments: ["tenant torn plan=fr", "tenant torn", "deleted a", "\0\0\0", "\0tenant b\n"])
    func aTornEndIsIgnored(end: String) throws {
        try put(Self.line("a") + end)
        #expect(try load() == ["a free"])
    }

    @Test(arguments: ["tenant\n", "nonsense a\n", "deleted\n", "tenant a plan\n", "tenant 'a\n"])
    func aWrongLineIsAnError(line: String) throws {
        try put(Self.line("a") + line)
        #expect(throws: Server.StartError.self) { try load() }
    }

    @Test func linesAreAppendedAndTheFileIsWrittenAnewFromTimeToTime() throws {
        let file = TenantFile(path)
        var wholeCount = 0
        func append(_ line: String) throws {
            try file.append([line]) {
                wholeCount += 1
                return [Self.line("first")]
            }
        }
        try append(Self.line("a"))
        #expect(wholeCount == 1)
        #expect(try load() == ["first free", "a free"])
        for _ in 0..<1000 { try append(Self.line("a")) }
        #expect(wholeCount == 1)
        #expect(try text().split(separator: "\n").count == 1003)
        try append("deleted a\n")
        #expect(wholeCount == 2)
        #expect(try load() == ["first free"])
        #expect(try text().split(separator: "\n").count == 3)
    }

    @Test func anotherFileInItsPlaceIsWrittenAnew() throws {
        let file = TenantFile(path)
        try file.append([Self.line("a")]) { [] }
        let changes: [() throws -> Void] = [
            { unlink(path) }, { try put(Self.line("stranger")) }, { truncate(path, 10) },
        ]
        for (number, change) in changes.enumerated() {
            try change()
            try file.append([Self.line("b\(number)")]) { [Self.line("a")] }
            #expect(try load() == ["a free", "b\(number) free"])
        }
    }

    @Test func aLineThatDoesNotFitLeavesNoTrace() throws {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        getrlimit(kind, &limit)
        let handler = signal(SIGXFSZ, SIG_IGN)
        defer {
            setrlimit(kind, &limit)
            signal(SIGXFSZ, handler)
        }
        let file = TenantFile(path)
        try file.append([Self.line("a")]) { [] }
        let before = try text()
        // Why so large a file: other tests of this process write smaller ones meanwhile.
        let long = String(repeating: "x", count: 1 << 20)
        var lowered = limit
        lowered.rlim_cur = 1 << 20
        setrlimit(kind, &lowered)
        #expect(throws: TextFile.Failure(code: EFBIG)) { try file.append([long]) { [] } }
        #expect(try text() == before)
        setrlimit(kind, &limit)
        try file.append([Self.line("b")]) {
            Issue.record("it is written anew")
            return []
        }
        #expect(try load() == ["a free", "b free"])
    }
}

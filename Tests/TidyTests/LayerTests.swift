// SPDX-License-Identifier: Apache-2.0
import Testing

/// Which module may import which. The compiler lets a file import whatever was built before it, so
/// only this test enforces the layers.
@Suite struct LayerTests {
    /// The module's folder, and what its files may import besides `system`.
    static let allowed: [(folder: String, modules: Set<String>)] = [
        // L1
        ("Sources/Base", ["CLinux", "CAllocator"]),
        // L2
        ("Sources/Wire", ["Base"]),
        ("Sources/Tenancy", ["Base"]),
        ("Sources/Storage", ["Base", "Tenancy", "CLinux", "CAllocator", "CXXHash"]),
        ("Sources/Networking", ["Base", "CLinux"]),
        // L3
        ("Sources/Commands", ["Base", "Wire", "Tenancy", "Storage"]),
        ("Sources/Records", ["Base", "CLinux", "CPostgres"]),
        // L4
        ("Sources/Sessions", ["Base", "CLinux", "Wire", "Tenancy", "Storage", "Commands"]),
        // L6
        (
            "Sources/Server",
            [
                "Base", "Wire", "Tenancy", "Storage", "Networking", "Commands", "Records",
                "Sessions", "CLinux", "CAllocator", "COpenSSL",
            ]
        ),
        // L7
        ("Sources/martlet", ["Server"]),
        ("Benchmarks/LoadKit", []),
        ("Benchmarks/Load", ["LoadKit", "CLinux"]),
        // Tests
        ("Tests/Support", ["Base", "Storage", "Commands"]),
        ("Tests/BaseTests", ["Base", "Testing"]),
        ("Tests/WireTests", ["Wire", "Base", "Testing"]),
        ("Tests/TenancyTests", ["Tenancy", "Base", "Testing"]),
        (
            "Tests/StorageTests",
            ["Storage", "Tenancy", "Base", "CAllocator", "TestSupport", "Testing"]
        ),
        (
            "Tests/CommandTests",
            ["Commands", "Storage", "Tenancy", "Wire", "Base", "TestSupport", "Testing"]
        ),
        ("Tests/RecordsTests", ["Records", "Base", "Testing"]),
        (
            "Tests/SessionTests",
            [
                "Sessions", "Commands", "Storage", "Tenancy", "Wire", "Base", "CAllocator",
                "TestSupport", "Testing",
            ]
        ),
        (
            "Tests/ServerTests",
            [
                "Server", "Networking", "Records", "Commands", "Storage", "Tenancy", "Wire", "Base",
                "TestSupport", "Testing",
            ]
        ),
        ("Tests/LoadKitTests", ["LoadKit", "Testing"]),
        ("Tests/TidyTests", ["Testing"]),
    ]

    /// Modules that come with the compiler. Foundation is not among them: it doubles the size of
    /// the program and the time of its start.
    static let system: Set<String> = ["Glibc", "Synchronization"]

    /// The module that a line imports.
    static func imported(_ code: String) -> String? {
        let words = code.trimmed.split(separator: " ").map(String.init)
        guard let index = words.firstIndex(of: "import"), index + 1 < words.count,
            words[..<index].allSatisfy({ $0.hasPrefix("@") || $0 == "public" })
        else { return nil }
        return words[words.count - 1].split(separator: ".").first.map(String.init)
    }

    @Test func modulesImportOnlyWhatLiesBelow() {
        var broken: [String] = []
        for file in TidyTests.files {
            guard let layer = Self.allowed.first(where: { file.path.hasPrefix($0.folder + "/") })
            else {
                broken.append("\(file.path): its module is not in the table")
                continue
            }
            for (index, code) in file.code.enumerated() {
                guard let module = Self.imported(code) else { continue }
                if !layer.modules.contains(module) && !Self.system.contains(module) {
                    broken.append("\(file.place(index)): \(module) in \(layer.folder)")
                }
            }
        }
        TidyTests.expectNone("an import against the layers", broken)
    }

    @Test func everyModuleOfTheTableIsThere() {
        for layer in Self.allowed {
            let isThere = TidyTests.files.contains { $0.path.hasPrefix(layer.folder + "/") }
            #expect(isThere, "\(layer.folder) has no files")
        }
    }

    @Test func importsAreRecognized() {
        #expect(Self.imported("import Base") == "Base")
        #expect(Self.imported("@testable import Storage") == "Storage")
        #expect(Self.imported("public import struct Wire.Decimal") == "Wire")
        #expect(Self.imported("let a = important") == nil)
        #expect(Self.imported("") == nil)
    }
}

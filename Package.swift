// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
// The manifest is the architecture page: targets are in layer order, and a target imports only from
// lower layers.
import PackageDescription

let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

func module(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil) -> Target {
    .target(name: name, dependencies: dependencies, path: path, swiftSettings: common)
}

// Every use of what the compiler cannot check says `unsafe`, with its reason nearby.
func safeModule(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, swiftSettings: common + [.strictMemorySafety()])
}

func program(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: common)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: common)
}

// Sanitizers track malloc, but not jemalloc's own calls: scripts/sanitize sets this.
let allocator: Target =
    Context.environment["SYSTEM_ALLOCATOR"] == nil
    ? .systemLibrary(
        name: "CAllocator", pkgConfig: "jemalloc", providers: [.apt(["libjemalloc-dev"])])
    : .systemLibrary(name: "CAllocator", path: "Sources/CAllocator/System")

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .executable(name: "martlet-benchmark", targets: ["martlet-benchmark"]),
    ],
    targets: [
        // L0  C: what Glibc's module lacks, and Debian's libraries.
        .target(name: "CLinux"),
        allocator,
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),

        // L1  Bytes, buffers, ASCII numbers, clocks, errors, log, settings.
        module("Base", ["CLinux", "CAllocator"]),

        // L2  Four siblings; only Storage imports another (Tenancy).
        safeModule("Wire", ["Base"]),
        safeModule("Tenancy", ["Base"]),
        module("Storage", ["Base", "Tenancy", "CLinux", "CAllocator", "CXXHash"]),
        module("Networking", ["Base", "CLinux"]),

        // L3  Every command; the read-through to PostgreSQL.
        safeModule("Commands", ["Base", "Wire", "Tenancy", "Storage"]),
        module("Records", ["Base", "CLinux", "CPostgres"]),

        // L4  The connection state machine, no sockets inside.
        safeModule("Sessions", ["Base", "Wire", "Tenancy", "Storage", "Commands"]),

        // L6  Threads, listeners, configuration, wiring.
        module(
            "Server",
            [
                "Base", "Wire", "Tenancy", "Storage", "Networking", "Commands", "Records",
                "Sessions", "CLinux", "CAllocator", "COpenSSL",
            ]),

        // L7  Programs.
        program("martlet", ["Server"]),
        module("LoadKit", [], path: "Benchmarks/LoadKit"),
        program("martlet-benchmark", ["LoadKit", "CLinux"], path: "Benchmarks/Load"),

        // Tests.
        module("TestSupport", ["Base", "Storage", "Commands"], path: "Tests/Support"),
        tests("BaseTests", ["Base"]),
        tests("WireTests", ["Wire", "Base"]),
        tests("TenancyTests", ["Tenancy", "Base"]),
        tests("StorageTests", ["Storage", "Tenancy", "Base", "CAllocator", "TestSupport"]),
        tests("CommandTests", ["Commands", "Storage", "Tenancy", "Wire", "Base", "TestSupport"]),
        tests(
            "SessionTests",
            [
                "Sessions", "Commands", "Storage", "Tenancy", "Wire", "Base", "CAllocator",
                "TestSupport",
            ]),
        tests("RecordsTests", ["Records", "Base"]),
        tests("LoadKitTests", ["LoadKit"]),
        tests(
            "ServerTests", ["Server", "Networking", "Records", "Storage", "Tenancy", "Base"]),
        tests("TidyTests", []),
    ]
)

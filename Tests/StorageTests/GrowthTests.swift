// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Neither growth nor shrinking delays a command: the slowest insert on the way to ten million
/// keys, and the slowest removal on the way back.
///
/// The test measures the thread's own CPU time, so other work on the machine does not count. A page
/// fault on a busy virtual machine does count, and takes milliseconds. But it comes at random,
/// while growth comes at the same key each time: so the test repeats the walk, and each step costs
/// its best time. Without optimisation the table is smaller and the bound wider; only the optimised
/// figure matters.
@Suite(.serialized) struct GrowthTests {
    private static let isOptimized = !_isDebugAssertConfiguration()
    private static let keyCount = isOptimized ? 10_000_000 : 100_000
    private static let limitNanoseconds: Int64 = isOptimized ? 1_000_000 : 20_000_000
    private static let roundsMax = 4
    /// Keys per clock reading, which costs as much as several keys.
    private static let stepSize = 8

    private static var cpuNanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Runs `body` with the name of every key, and adds to `dear`, under `label` and number, the
    /// steps that took over a tenth of the limit. Growth is among them each time.
    private static func walk(
        _ label: String, _ dear: inout [String: Int64], _ body: (Hash, Bytes) -> Void
    ) {
        for first in stride(from: 0, to: keyCount, by: stepSize) {
            let before = cpuNanoseconds
            for number in first..<min(keyCount, first + stepSize) {
                withUnsafeBytes(of: number) { name in
                    let key = Bytes(raw: name.baseAddress.unsafelyUnwrapped, name.count)
                    body(Hash(key), key)
                }
            }
            let spent = cpuNanoseconds - before
            if spent > limitNanoseconds / 10 { dear["\(label) \(first)"] = spent }
        }
    }

    /// One table for all keys, as a tenant with one shard has it: the largest possible directory.
    private static func dearSteps() -> [String: Int64] {
        var table = Table()
        var dear: [String: Int64] = [:]
        walk("insert", &dear) { hash, key in
            _ = table.insert(hash, EntryShape(.string, .embedded, key: key), access: 0)
        }
        #expect(table.count == keyCount)
        walk("remove", &dear) { hash, key in
            if let slot = table.find(hash, key) { table.remove(slot) }
        }
        #expect(table.count == 0 && table.allocatedSize == 0)
        return dear
    }

    @Test func theDearestStepIsShort() {
        var dear = Self.dearSteps()
        var dearest: (key: String, value: Int64)?
        for round in 1... {
            dearest = dear.max { $0.value < $1.value }
            print(
                "growth: \(Self.keyCount) inserts and removals, \(round) times: dearest "
                    + "\(dearest?.key ?? "none"), \((dearest?.value ?? 0) / 1000) us; "
                    + "\(dear.count) over \(Self.limitNanoseconds / 10_000) us")
            guard let step = dearest, step.value > Self.limitNanoseconds, round < Self.roundsMax
            else { break }
            let again = Self.dearSteps()
            dear = dear.reduce(into: [:]) { best, one in
                if let other = again[one.key] { best[one.key] = min(one.value, other) }
            }
        }
        #expect((dearest?.value ?? 0) < Self.limitNanoseconds)
    }
}

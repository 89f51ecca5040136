// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import CLinux
import Commands
import Sessions
import Storage
import Synchronization

// The figures behind INFO and MEMORY.
extension Server {
    public func information(
        _ sections: [String], for tenant: TenantReference, on worker: WorkerReference
    ) -> String {
        Information.text(of: self, sections, for: tenant, on: worker)
    }

    var tenants: [TenantReference] {
        var all: [TenantReference] = []
        registry.forEachTenant { all.append($0) }
        return all
    }

    /// A counter, summed over all threads.
    func total(_ counter: (borrowing Statistics) -> Int) -> Int {
        reactors.reduce(0) { $0 + counter($1.statistics.pointee) }
    }

    var errorReplyTotal: Int { reactors.reduce(0) { $0 + $1.errorTally.pointee.total.value } }

    /// The recent rates of all threads, per second.
    func recentRates() -> RecentRates.Counts {
        var all = RecentRates.Counts()
        let now = Clock.monotonicMilliseconds
        for reactor in reactors {
            let part = reactor.rates.perSecond(now: now)
            all.commands += part.commands
            all.bytesIn += part.bytesIn
            all.bytesOut += part.bytesOut
        }
        return all
    }

    /// The first words of all threads' error replies, with counts, sorted.
    func errorTotals() -> [(word: String, count: Int)] {
        var counts: [String: Int] = [:]
        for reactor in reactors {
            reactor.errorTally.pointee.forEachWord { word, count in
                counts[String(decoding: word, as: UTF8.self), default: 0] += count
            }
        }
        return counts.sorted { $0.key < $1.key }.map { (word: $0.key, count: $0.value) }
    }

    /// The counts of one command, summed over all threads.
    func commandTotals(_ number: Int) -> (calls: Int, ticks: Int, rejected: Int, failed: Int) {
        var all = (calls: 0, ticks: 0, rejected: 0, failed: 0)
        for reactor in reactors {
            let line = reactor.commandStatistics[number]
            all.calls += line.pointee.calls.value
            all.ticks += line.pointee.ticks.value
            all.rejected += line.pointee.rejected.value
            all.failed += line.pointee.failed.value
        }
        return all
    }

    /// CONFIG RESETSTAT: resets every thread's counters, while no thread counts.
    public func resetStatistics() {
        whileStandingStill {
            for reactor in reactors {
                reactor.statistics.pointee.reset()
                reactor.rates.reset(now: Clock.monotonicMilliseconds)
                reactor.errorTally.pointee.reset()
                reactor.latencies.reset()
                let lines = reactor.commandStatistics
                for index in 0..<lines.count {
                    lines[index].pointee.calls.set(0)
                    lines[index].pointee.ticks.set(0)
                    lines[index].pointee.rejected.set(0)
                    lines[index].pointee.failed.set(0)
                }
            }
        }
        reclaimer.freedCount.store(0, ordering: .relaxed)
        Allocator.refresh()
        memoryPeak.store(Allocator.figure("stats.allocated"), ordering: .relaxed)
    }

    public func latencyDistribution(_ number: Int) -> LatencyDistribution? {
        var all: LatencyDistribution?
        for reactor in reactors {
            guard let part = reactor.latencies[number] else { continue }
            if all == nil { all = part } else { all?.add(part) }
        }
        return all
    }

    /// Computes from which time on requests are looked at again.
    func refreshObservedTicks() {
        let values = settings.values
        var least: [Int] = []
        if values.pointee.latencyTracking.value != 0 { least.append(0) }
        if values.pointee.slowLogMicroseconds.value >= 0 {
            least.append(values.pointee.slowLogMicroseconds.value)
        }
        let threshold = values.pointee.latencyThresholdMilliseconds.value
        if threshold > 0 { least.append(min(threshold, .max / 1000) * 1000) }
        // Why a little less: the rate is measured again for each observed request, and may be lower
        // then.
        let ticks = least.min().map { Double($0) * ticksPerMicrosecond * 0.99 }
        values.pointee.observedTicks.set(ticks.flatMap { Int(exactly: $0.rounded()) } ?? .max)
    }

    /// The rate of `martlet_ticks`, measured over the time since the start.
    public var ticksPerMicrosecond: Double {
        let microseconds = Double(Clock.monotonicNanoseconds - startedAtNanoseconds) / 1000
        return max(1, Double(martlet_ticks() &- startedAtTicks)) / max(1, microseconds)
    }

    public func memoryFigures() -> MemoryFigures {
        Allocator.refresh()
        var figures = MemoryFigures()
        figures.allocated = Allocator.figure("stats.allocated")
        figures.active = Allocator.figure("stats.active")
        figures.resident = Allocator.figure("stats.resident")
        figures.residentSet = System.residentSet
        figures.startup = memoryAtStart
        // A session and its connection, and what they hold besides.
        let each = MemoryLayout<Connection>.size + MemoryLayout<SessionState>.size
        figures.clients = connectionCount * each + registry.clientMemory.value
        figures.peak = memoryPeak.max(figures.allocated, ordering: .relaxed).newValue
        return figures
    }

    public func allocatorReport() -> String { Allocator.report() }

    public func purgeMemory() { Allocator.purge() }
}

/// Statistics and control of jemalloc.
enum Allocator {
    /// Updates the figures.
    static func refresh() {
        var epoch: UInt64 = 1
        mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
    }

    /// For example "5.3.0".
    static var version: String {
        var text: UnsafePointer<CChar>?
        var size = MemoryLayout<UnsafePointer<CChar>?>.size
        guard mallctl("version", &text, &size, nil, 0) == 0, let text else { return "" }
        return String(String(cString: text).prefix { $0 != "-" })
    }

    static func figure(_ name: String) -> Int {
        var value = 0
        var size = MemoryLayout<Int>.size
        return mallctl(name, &value, &size, nil, 0) == 0 ? value : 0
    }

    /// Returns freed pages to the system.
    static func purge() { returnFreedPages() }

    /// Purges if so much is unused that faulting some of it in again costs less than keeping it.
    static func purgeIfWorthwhile() {
        refresh()
        guard figure("stats.resident") - figure("stats.active") > purgeWorthBytes else { return }
        purge()
    }

    private static let purgeWorthBytes = 4 << 20

    private final class Report { var text = "" }

    static func report() -> String {
        let report = Report()
        // Safety: the callback runs on this thread, during the call, and the object outlives it.
        malloc_stats_print(
            { context, line in
                guard let context, let line else { return }
                let report = Unmanaged<Report>.fromOpaque(context).takeUnretainedValue()
                report.text += String(cString: line)
            }, Unmanaged.passUnretained(report).toOpaque(), nil)
        return withExtendedLifetime(report) { report.text }
    }
}

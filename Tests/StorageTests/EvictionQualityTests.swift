// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Which keys are evicted: nearly those that an exact policy would choose.
@Suite struct EvictionQualityTests {
    /// Of keys used one after the other, few are evicted from the half used last.
    @Test(arguments: [2, 4]) func fewVictimsAreOfTheHalfThatShouldStay(_ threads: Int) throws {
        let store = try Store(threads: threads)
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        store.worker.pointee.random = Random(seed: 5)
        let count = 4000
        for number in 0..<count {
            store.set("key:\(number)")
            store.worker.pointee.now += 1000
        }
        let server = store.registry.server
        let kept = count * 3 / 4
        #expect(store.worker.makeRoom(in: server, keysMax: kept, arriving: count - kept))
        let wrong = (count / 2..<count).count { !store.exists("key:\($0)") }
        #expect(server.keyCount == kept)
        #expect(wrong * 100 <= (count - kept) * 2, "\(wrong) of \(count - kept) victims")
    }

    /// What has been used since it was sampled is not evicted for its old score.
    @Test func aCandidateThatIsUsedStays() throws {
        let store = try Store(threads: 1)
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        for number in 0..<400 {
            store.set("key:\(number)")
            store.worker.pointee.now += 1000
        }
        let server = store.registry.server
        // The pool now has old keys.
        #expect(store.worker.makeRoom(in: server, keysMax: 380, arriving: 20))
        let old = (0..<100).filter { store.exists("key:\($0)") }
        for number in old { store.with("key:\(number)") { _, keys in _ = keys.read(0) } }
        #expect(store.worker.makeRoom(in: server, keysMax: 280, arriving: 100))
        let left = old.count { store.exists("key:\($0)") }
        #expect(left >= old.count * 95 / 100, "\(left) of \(old.count)")
    }

    /// A tenant that goes and comes back has nothing of what it had in the pool.
    @Test func candidatesOfATenantThatIsGoneAreForgotten() throws {
        let store = try Store(patterns: ["tenant:{tenant}:*"])
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        for _ in 0..<50 {
            for number in 0..<40 { store.set("tenant:a:\(number)") }
            let tenant = try #require(store.tenant("a"))
            #expect(store.worker.makeRoom(in: tenant, keysMax: 30, arriving: 10))
            #expect(tenant.keyCount == 30)
            #expect(tenant.usage.evicted == 10)
            for number in 0..<40 { store.remove("tenant:a:\(number)") }
            #expect(store.tenant("a") == nil)
            store.tick()
        }
    }

    struct Course: Sendable {
        let policy: EvictionPolicy
        let samples: Int
        /// How far the hit ratio may be below that of the exact policy.
        let tolerance: Double
    }

    @Test(arguments: [
        Course(policy: .allKeysLRU, samples: 5, tolerance: 0.02),
        Course(policy: .allKeysLRU, samples: 10, tolerance: 0.01),
        Course(policy: .allKeysLFU, samples: 5, tolerance: 0.02),
        Course(policy: .allKeysLFU, samples: 10, tolerance: 0.01),
    ]) func hitsNearlyAsOftenAsTheExactPolicy(_ course: Course) throws {
        let store = try Store()
        store.settings.values.pointee.evictionPolicy.set(course.policy.rawValue)
        store.settings.values.pointee.evictionSamples.set(course.samples)
        store.worker.pointee.random = Random(seed: 17)
        let capacity = 800
        var exact = ExactCache(capacity: capacity, isByFrequency: course.policy == .allKeysLFU)
        var stream = ZipfStream(keyCount: 8000, exponent: 0.99, seed: 23)
        let server = store.registry.server
        var hits = 0
        var exactHits = 0
        let requestCount = 24_000
        for request in 0..<requestCount {
            // Why a second for some requests: the policy's clock counts seconds.
            if request % 20 == 0, course.policy == .allKeysLRU { store.worker.pointee.now += 1000 }
            let number = stream.next()
            let key = "key:\(number)"
            let isHit = store.with(key) { _, keys in keys.read(0) != nil }
            if !isHit {
                if server.keyCount >= capacity {
                    _ = store.worker.makeRoom(in: server, keysMax: capacity - 1, arriving: 1)
                }
                store.set(key)
            }
            let isExactHit = exact.use(number)
            if request >= requestCount / 3 {
                hits += isHit ? 1 : 0
                exactHits += isExactHit ? 1 : 0
            }
        }
        let measured = requestCount - requestCount / 3
        let ratio = Double(hits) / Double(measured)
        let exactRatio = Double(exactHits) / Double(measured)
        #expect(ratio >= exactRatio - course.tolerance, "\(ratio) of \(exactRatio)")
    }
}

/// Numbers below `keyCount` that come as often as Zipf's law says.
private struct ZipfStream {
    private var sums: [Double] = []
    private var random: Random

    init(keyCount: Int, exponent: Double, seed: UInt64) {
        random = Random(seed: seed)
        var sum = 0.0
        for rank in 1...keyCount {
            sum += pow(Double(rank), -exponent)
            sums.append(sum)
        }
    }

    mutating func next() -> Int {
        let wanted = Double(random.next() >> 11) / Double(1 << 53) * (sums.last ?? 1)
        var low = 0
        var high = sums.count - 1
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] <= wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A cache that evicts exactly what is idle longest, or was used least often since it came; of
/// equals, the one that is idle longest.
private struct ExactCache {
    private struct Rank: Hashable {
        var uses: Int
        var moment: Int
    }

    let capacity: Int
    let isByFrequency: Bool
    private var ranks: [Int: Rank] = [:]
    /// A heap of ranks, some of them out of date.
    private var heap: [(rank: Rank, key: Int)] = []
    private var moment = 0

    init(capacity: Int, isByFrequency: Bool) {
        self.capacity = capacity
        self.isByFrequency = isByFrequency
    }

    /// Uses a key, which comes in if it is not there. Returns whether it was.
    mutating func use(_ key: Int) -> Bool {
        moment += 1
        let old = ranks[key]
        if old == nil, ranks.count >= capacity { evict() }
        let uses = isByFrequency ? (old?.uses ?? 0) + 1 : 0
        let rank = Rank(uses: uses, moment: moment)
        ranks[key] = rank
        push(rank, key)
        return old != nil
    }

    private mutating func evict() {
        while let first = pop() {
            guard ranks[first.key] == first.rank else { continue }
            ranks[first.key] = nil
            return
        }
    }

    private static func isBefore(_ left: Rank, _ right: Rank) -> Bool {
        (left.uses, left.moment) < (right.uses, right.moment)
    }

    private mutating func push(_ rank: Rank, _ key: Int) {
        heap.append((rank, key))
        var place = heap.count - 1
        while place > 0, Self.isBefore(heap[place].rank, heap[(place - 1) / 2].rank) {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func pop() -> (rank: Rank, key: Int)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var place = 0
        while 2 * place + 1 < heap.count {
            var child = 2 * place + 1
            if child + 1 < heap.count, Self.isBefore(heap[child + 1].rank, heap[child].rank) {
                child += 1
            }
            guard Self.isBefore(heap[child].rank, heap[place].rank) else { break }
            heap.swapAt(place, child)
            place = child
        }
        return first
    }
}

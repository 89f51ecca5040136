// SPDX-License-Identifier: Apache-2.0
import Tenancy
import Testing

/// There are no limits by default, and usage adds up field by field.
@Suite struct LimitsTests {
    @Test func nothingIsLimitedAtFirst() {
        let limits = Limits()
        #expect(limits == .none && limits == Plan.unlimited.limits)
        #expect(limits.memory == nil && limits.keys == nil && limits.connections == nil)
        #expect(limits.operationsPerSecond == nil && limits.operationsPerDay == nil)
        #expect(limits.bandwidthPerDay == nil)
        #expect(limits.atLimit == .reject)
    }

    @Test func plansDifferByNameAndByLimits() {
        var limits = Limits()
        limits.memory = 1
        #expect(Plan(name: "a", limits: limits) != Plan(name: "a", limits: .none))
        #expect(Plan(name: "a", limits: limits) != Plan(name: "b", limits: limits))
        #expect(Plan(name: "a", limits: limits) == Plan(name: "a", limits: limits))
    }

    @Test func whatHappensAtALimitIsNamedAsInDirectives() {
        #expect(Limits.AtLimit.allCases.map(\.rawValue) == ["reject", "evict", "throttle"])
        #expect(Limits.AtLimit(rawValue: "wait") == nil)
    }

    @Test func everyCounterAddsUp() {
        let fields: [WritableKeyPath<Usage, Int>] = [
            \.commands, \.reads, \.writes, \.hits, \.misses, \.bytesIn, \.bytesOut, \.expired,
            \.evicted, \.rejected,
        ]
        var left = Usage()
        var right = Usage()
        for (index, field) in fields.enumerated() {
            left[keyPath: field] = index + 1
            right[keyPath: field] = 100 * (index + 1)
        }
        left += right
        for (index, field) in fields.enumerated() {
            #expect(left[keyPath: field] == 101 * (index + 1))
        }
        #expect(Mirror(reflecting: left).children.count == fields.count)
    }
}

// SPDX-License-Identifier: Apache-2.0

/// How a run draws keys from the keyspace.
public enum Distribution: Equatable, Sendable {
    case uniform
    case zipf(exponent: Double)
    /// Every key once, in order, and then again from the first: for filling a server exactly.
    case sequential
}

/// Draws key indices in `0..<keys` for one thread.
///
/// A key belongs to tenant `index % tenants`. So the total number of keys is exact for any number
/// of tenants, an even draw loads the tenants evenly, and a Zipf draw gives a few tenants most of
/// the load, as in real systems.
///
/// Invariants: 1. with `.sequential`, thread t of n draws t, t + n, t + 2n ..., so that together
/// the threads draw every key once; 2. a key drawn for a tenant belongs to that tenant.
public struct KeyChooser: Sendable {
    private let keys: Int
    private let tenants: Int
    private let distribution: Distribution
    private let zipf: Zipf?
    private let stride: Int
    private var nextInOrder: Int

    public init(
        keys: Int, tenants: Int, distribution: Distribution, thread: Int = 0, threads: Int = 1
    ) {
        precondition(keys >= tenants && tenants > 0 && thread < threads)
        self.keys = keys
        self.tenants = tenants
        self.distribution = distribution
        if case .zipf(let exponent) = distribution {
            zipf = Zipf(count: keys, exponent: exponent)
        } else {
            zipf = nil
        }
        stride = threads
        nextInOrder = thread % keys
    }

    public mutating func next(_ randomness: inout Randomness) -> Int {
        switch distribution {
        case .uniform:
            return randomness.below(keys)
        case .zipf:
            guard let zipf else { return randomness.below(keys) }
            return zipf.rank(&randomness) - 1
        case .sequential:
            let index = nextInOrder
            nextInOrder = (index + stride) % keys
            return index
        }
    }

    public func tenant(of index: Int) -> Int { index % tenants }

    /// The key of `tenant` nearest to the one drawn.
    public func index(_ index: Int, of tenant: Int) -> Int {
        let moved = index - index % tenants + tenant
        return moved < keys ? moved : moved - tenants
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base

// Checks the invariants of a waiter index by visiting all of it. For tests.
extension WaiterIndex {
    /// One line per broken invariant; empty if the index is sound.
    var invariantViolations: [String] {
        var broken: [String] = []
        WaiterIndex.check(root, 0, &broken) { _ in true }
        return broken
    }

    /// `belongs`: whether the forks above lead to this part for a hash.
    private static func check(
        _ part: Part, _ level: Int, _ broken: inout [String], _ belongs: (Hash) -> Bool
    ) {
        guard !part.isEmpty else { return }
        guard part.isFork else { return checkLeaf(part, &broken, belongs) }
        var isEmpty = true
        for index in 0..<Part.childCount where !part.children[index].isEmpty {
            isEmpty = false
            check(part.children[index], level + 1, &broken) {
                belongs($0) && Part.childNumber($0, level) == index
            }
        }
        if isEmpty { broken.append("a fork that leads nowhere") }
    }

    private static func checkLeaf(
        _ leaf: Part, _ broken: inout [String], _ belongs: (Hash) -> Bool
    ) {
        var count = 0
        for index in 0..<leaf.slotCount {
            guard let first = leaf.slots[index].first else { continue }
            let hash = leaf.slots[index].hash
            count += 1
            if !belongs(hash) { broken.append("\(hash) is in another's leaf") }
            if leaf.index(of: hash) != index { broken.append("\(hash) is not found") }
            checkQueue(first, hash, &broken)
        }
        if count == 0 { broken.append("a leaf without hashes") }
        if count != leaf.count { broken.append("counted \(leaf.count) hashes, found \(count)") }
        if count * 4 > leaf.slotCount * 3 { broken.append("\(count) of \(leaf.slotCount) slots") }
    }

    private static func checkQueue(
        _ first: WaiterReference, _ hash: Hash, _ broken: inout [String]
    ) {
        var isFirst = true
        first.forEachInQueue { waiter in
            if waiter.pointee.hash != hash { broken.append("a waiter in another's queue") }
            if waiter.pointee.next.pointee.previous != waiter { broken.append("a torn queue") }
            if waiter.pointee.flags.contains(.isFirst) != isFirst {
                broken.append("isFirst is wrong")
            }
            isFirst = false
        }
    }
}

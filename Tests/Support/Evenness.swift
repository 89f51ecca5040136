// SPDX-License-Identifier: Apache-2.0

/// Counts how often each of some things was chosen, and says whether the choice was even.
public struct Evenness<Choice: Hashable> {
    private let kindCount: Int
    private var counts: [Choice: Int] = [:]
    private var total = 0

    public init(among kindCount: Int) { self.kindCount = kindCount }

    public mutating func note(_ choice: Choice) {
        counts[choice, default: 0] += 1
        total += 1
    }

    /// Draws enough for a test of evenness.
    public static func drawCount(among kindCount: Int) -> Int { max(40_000, 40 * kindCount) }

    /// Pearson's sum of squares. An even choice has a mean of k - 1 and a variance of 2 (k - 1).
    public var chiSquare: Double {
        let expected = Double(total) / Double(kindCount)
        let missing = Double(kindCount - counts.count) * expected
        return counts.values.reduce(missing) {
            $0 + (Double($1) - expected) * (Double($1) - expected) / expected
        }
    }

    /// An even choice exceeds this once in a hundred million runs or less.
    public var chiSquareMax: Double {
        let freedom = Double(kindCount - 1)
        return freedom + 6 * (2 * freedom).squareRoot() + 24
    }

    public var isEven: Bool { counts.count <= kindCount && chiSquare <= chiSquareMax }

    /// How often the most frequent choice came, as a multiple of the mean.
    public var peak: Double { Double(counts.values.max() ?? 0) * Double(kindCount) / Double(total) }

    public var summary: String { "chi square \(chiSquare) of \(chiSquareMax), peak \(peak)" }
}

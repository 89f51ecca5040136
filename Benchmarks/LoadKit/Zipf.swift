// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Draws ranks 1...count, rank r with a probability proportional to r^-exponent.
///
/// Why this shape: rejection-inversion needs no table and no sum over the keys, so a keyspace of
/// a billion keys costs nothing to set up, and any exponent above 0 works, 1 included. A draw
/// takes about 1.1 rounds on average.
/// Origin: Hörmann and Derflinger, Rejection-inversion to generate variates from monotone
/// discrete distributions (1996). `integral` is H of the paper, `density` is h.
public struct Zipf: Sendable {
    private let count: Double
    private let exponent: Double
    private let integralAtFirst: Double
    private let integralAtLast: Double
    private let acceptance: Double

    public init(count: Int, exponent: Double) {
        precondition(count > 0 && exponent > 0)
        self.count = Double(count)
        self.exponent = exponent
        integralAtFirst = Zipf.integral(1.5, exponent) - 1
        integralAtLast = Zipf.integral(Double(count) + 0.5, exponent)
        let second = Zipf.integral(2.5, exponent) - Zipf.density(2, exponent)
        acceptance = 2 - Zipf.inverse(second, exponent)
    }

    public func rank(_ randomness: inout Randomness) -> Int {
        while true {
            let height =
                integralAtLast + randomness.fraction() * (integralAtFirst - integralAtLast)
            let point = Zipf.inverse(height, exponent)
            let rank = min(max((point + 0.5).rounded(.down), 1), count)
            // The first test accepts most draws without a logarithm; the second is the exact one.
            if rank - point <= acceptance { return Int(rank) }
            let bound = Zipf.integral(rank + 0.5, exponent) - Zipf.density(rank, exponent)
            if height >= bound { return Int(rank) }
        }
    }

    private static func density(_ point: Double, _ exponent: Double) -> Double {
        exp(-exponent * log(point))
    }

    /// (point^(1-exponent) - 1) / (1-exponent), and its limit log(point) at exponent 1.
    private static func integral(_ point: Double, _ exponent: Double) -> Double {
        let logarithm = log(point)
        let scaled = (1 - exponent) * logarithm
        return abs(scaled) > 1e-8 ? expm1(scaled) / scaled * logarithm : logarithm
    }

    private static func inverse(_ height: Double, _ exponent: Double) -> Double {
        let scaled = max(-1, height * (1 - exponent))
        return exp(abs(scaled) > 1e-8 ? log1p(scaled) / scaled * height : height)
    }
}

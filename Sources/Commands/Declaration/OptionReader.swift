// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// Reads a command's options from left to right:
///
///     var options = OptionReader(arguments, from: 3)
///     while let option = options.next() {
///         if option.isKeyword("NX") {
///             isNew = true
///         } else if option.isKeyword("COUNT"), let value = options.value() {
///             count = value
///         } else {
///             return reply.error(.syntax)
///         }
///     }
///
/// Why one reader: an index that each loop advances by hand is easily off by one at the last
/// option, which lacks its value. Here a missing value is nil, the condition fails, and the chain
/// ends in the syntax error, as in Redis.
///
/// The reader knows no option's name. Each command decides the order of its checks, since clients
/// see which error comes first.
///
/// Invariant: `next` and `value` move forward by one argument or return nil, so a loop over `next`
/// ends.
///
/// Cost: three words on the stack, no allocation.
struct OptionReader {
    private let arguments: Arguments
    private var index: Int

    /// `first` may lie beyond the last argument: then there are no options.
    @inline(__always)
    init(_ arguments: Arguments, from first: Int) {
        self.arguments = arguments
        index = first
    }

    /// Whether all arguments have been read.
    @inline(__always)
    var isAtEnd: Bool { index >= arguments.count }

    /// The next option, or nil at the end.
    @inline(__always)
    mutating func next() -> Bytes? {
        guard !isAtEnd else { return nil }
        let argument = arguments[index]
        index &+= 1  // Bound: below the number of arguments.
        return argument
    }

    /// The value of the option just read, or nil if it was the last argument. An option with two
    /// values asks twice.
    @inline(__always)
    mutating func value() -> Bytes? { next() }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// EX, PX, EXAT or PXAT with its number: a moment, said in seconds or milliseconds, from now on or
/// since 1970.
struct ExpiryOption {
    /// The token, and so the unit and the base of the number.
    enum Unit {
        case seconds, milliseconds, unixSeconds, unixMilliseconds

        /// The unit that a token in any case names, or nil.
        init?(_ token: Bytes) {
            switch token.count {
            case 2 where token.isKeyword("EX"): self = .seconds
            case 2 where token.isKeyword("PX"): self = .milliseconds
            case 4 where token.isKeyword("EXAT"): self = .unixSeconds
            case 4 where token.isKeyword("PXAT"): self = .unixMilliseconds
            default: return nil
            }
        }

        /// The moment that `amount` of the unit says; nil where milliseconds have no number for it.
        func moment(_ amount: Int64, now: Milliseconds) -> Milliseconds? {
            let isSeconds = self == .seconds || self == .unixSeconds
            let isRelative = self == .seconds || self == .milliseconds
            let scaled = amount.multipliedReportingOverflow(by: isSeconds ? 1000 : 1)
            let moved = scaled.partialValue.addingReportingOverflow(isRelative ? now : 0)
            return scaled.overflow || moved.overflow ? nil : moved.partialValue
        }
    }

    let unit: Unit
    let number: Bytes

    /// The moment of expiry, above 0; or nil after an error reply. `command` is named in the error.
    func moment(
        now: Milliseconds, command: StaticString, _ reply: inout ReplyWriter
    ) -> Milliseconds? {
        guard let value = ASCIIInteger.parse(number) else {
            reply.error(.notInteger)
            return nil
        }
        guard value > 0, let moment = unit.moment(value, now: now) else {
            reply.error("ERR invalid expire time in '\(command)' command")
            return nil
        }
        return moment
    }
}

/// The options of SET and GETEX.
struct StringOptions {
    enum Condition {
        case always, ifMissing, ifPresent
    }

    enum Expiry {
        /// SET takes it away, GETEX leaves it.
        case unsaid
        case keep, persist
        case option(ExpiryOption)
    }

    var condition = Condition.always
    var returnsOld = false
    var expiry = Expiry.unsaid

    /// The options of SET from argument 3 on; nil of a syntax error.
    static func parseSet(_ arguments: Arguments) -> StringOptions? {
        var options = StringOptions()
        var index = 3
        while index < arguments.count {  // Bound: moves on by one or two arguments each turn.
            let token = arguments[index]
            if token.isKeyword("NX"), options.condition != .ifPresent {
                options.condition = .ifMissing
            } else if token.isKeyword("XX"), options.condition != .ifMissing {
                options.condition = .ifPresent
            } else if token.isKeyword("GET") {
                options.returnsOld = true
            } else if token.isKeyword("KEEPTTL") {
                switch options.expiry {
                case .unsaid, .keep: options.expiry = .keep
                case .persist, .option: return nil
                }
            } else if !options.takeExpiry(arguments, &index) {
                return nil
            }
            index += 1
        }
        return options
    }

    /// The options of GETEX from argument 2 on; nil of a syntax error.
    static func parseGetEx(_ arguments: Arguments) -> StringOptions? {
        var options = StringOptions()
        var index = 2
        while index < arguments.count {  // Bound: moves on by one or two arguments each turn.
            if arguments[index].isKeyword("PERSIST") {
                switch options.expiry {
                case .unsaid, .persist: options.expiry = .persist
                case .keep, .option: return nil
                }
            } else if !options.takeExpiry(arguments, &index) {
                return nil
            }
            index += 1
        }
        return options
    }

    /// Takes EX, PX, EXAT or PXAT with its number, of which `index` is the token and then the
    /// number. The same token may come again, and the last one counts; another one may not.
    private mutating func takeExpiry(_ arguments: Arguments, _ index: inout Int) -> Bool {
        guard let unit = ExpiryOption.Unit(arguments[index]), index + 1 < arguments.count else {
            return false
        }
        switch expiry {
        case .unsaid: break
        case .option(let before) where before.unit == unit: break
        case .keep, .persist, .option: return false
        }
        index += 1
        expiry = .option(ExpiryOption(unit: unit, number: arguments[index]))
        return true
    }
}

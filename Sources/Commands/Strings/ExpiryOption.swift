// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// EX, PX, EXAT or PXAT and its number: a moment in seconds or milliseconds, counted from now or
/// from 1970.
struct ExpiryOption {
    /// What the token says of the number: its unit, and where it counts from.
    enum Unit {
        case seconds, milliseconds, unixSeconds, unixMilliseconds

        /// The unit that `token` names, in any mix of cases; nil if it names none.
        init?(_ token: Bytes) {
            switch token.count {
            case 2 where token.isKeyword("EX"): self = .seconds
            case 2 where token.isKeyword("PX"): self = .milliseconds
            case 4 where token.isKeyword("EXAT"): self = .unixSeconds
            case 4 where token.isKeyword("PXAT"): self = .unixMilliseconds
            default: return nil
            }
        }

        /// The moment as milliseconds since 1970; nil if 64 bits cannot hold it.
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

    /// The moment of expiry, nil after an error reply. The error names `command`.
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
        /// SET then removes the expiry, GETEX keeps it.
        case unspecified
        case keep, persist
        case option(ExpiryOption)
    }

    var condition = Condition.always
    var returnsOld = false
    var expiry = Expiry.unspecified

    /// Reads the options of SET, from argument 3 on; nil on a syntax error.
    static func parseSet(_ arguments: Arguments) -> StringOptions? {
        var parsed = StringOptions()
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            if option.isKeyword("NX"), parsed.condition != .ifPresent {
                parsed.condition = .ifMissing
            } else if option.isKeyword("XX"), parsed.condition != .ifMissing {
                parsed.condition = .ifPresent
            } else if option.isKeyword("GET") {
                parsed.returnsOld = true
            } else if option.isKeyword("KEEPTTL") {
                switch parsed.expiry {
                case .unspecified, .keep: parsed.expiry = .keep
                case .persist, .option: return nil
                }
            } else if !parsed.readExpiry(option, &options) {
                return nil
            }
        }
        return parsed
    }

    /// Reads the options of GETEX, from argument 2 on; nil on a syntax error.
    static func parseGetEx(_ arguments: Arguments) -> StringOptions? {
        var parsed = StringOptions()
        var options = OptionReader(arguments, from: 2)
        while let option = options.next() {
            if option.isKeyword("PERSIST") {
                switch parsed.expiry {
                case .unspecified, .persist: parsed.expiry = .persist
                case .keep, .option: return nil
                }
            } else if !parsed.readExpiry(option, &options) {
                return nil
            }
        }
        return parsed
    }

    /// Reads the number of EX, PX, EXAT or PXAT; false on a syntax error. As in Redis the same
    /// option may be repeated and the last one counts, while two different ones are an error.
    private mutating func readExpiry(_ option: Bytes, _ options: inout OptionReader) -> Bool {
        guard let unit = ExpiryOption.Unit(option), let number = options.value() else {
            return false
        }
        switch expiry {
        case .unspecified: break
        case .option(let before) where before.unit == unit: break
        case .keep, .persist, .option: return false
        }
        expiry = .option(ExpiryOption(unit: unit, number: number))
        return true
    }
}

// SPDX-License-Identifier: Apache-2.0

/// One command as finished RESP bytes, with the places that change from request to request.
///
/// Layout, for `SET key:000000000000 <value> EX 60`:
///
///     *5 $3 SET $16 key:000000000000 $32 xxxx...xxxx $2 EX $2 60
///     |head: keyOffset --^                                     |   fixed value: all is head
///     |head                          |value of any size| tail  |   variable: written between
///
/// MGET's keys are `keyStride` bytes apart. `memberOffset` is the place of the number in the field
/// or member.
struct RequestTemplate {
    var bytes: [UInt8] = []
    var keyOffset = 0
    var keyStride = 0
    var keyCount = 0
    var tenantOffset: Int?
    var memberOffset: Int?
    /// Where a value of variable size goes; nil if there is none.
    var valueOffset: Int?

    static let memberWidth = 6

    init(_ command: LoadCommand, _ options: LoadOptions, payload: [UInt8]) {
        let key = options.keyPattern.rendered(type: command.keyType)
        let ttl = options.ttlSeconds.map { Array(String($0).utf8) }
        let text = { (string: String) in Array(string.utf8) }
        switch command {
        case .ping:
            header(1)
            bulk(text("PING"))
        case .get, .exists, .del, .incr:
            header(2)
            bulk(text(command.name.uppercased()))
            append(key)
        case .set:
            header(ttl == nil ? 3 : 5)
            bulk(text("SET"))
            append(key)
            appendValue(options.valueSize, payload)
            if let ttl {
                bulk(text("EX"))
                bulk(ttl)
            }
        case .setex:
            header(4)
            bulk(text("SETEX"))
            append(key)
            bulk(ttl ?? text("60"))
            appendValue(options.valueSize, payload)
        case .mget:
            header(1 + options.mgetKeys)
            bulk(text("MGET"))
            for _ in 0..<options.mgetKeys { append(key) }
        case .hset:
            header(4)
            bulk(text("HSET"))
            append(key)
            appendMember("field:")
            appendValue(options.valueSize, payload)
        case .hget:
            header(3)
            bulk(text("HGET"))
            append(key)
            appendMember("field:")
        case .sadd, .sismember:
            header(3)
            bulk(text(command.name.uppercased()))
            append(key)
            appendMember("member:")
        }
    }

    private mutating func header(_ arguments: Int) { bytes += Array("*\(arguments)\r\n".utf8) }

    private mutating func bulk(_ argument: [UInt8]) {
        bytes += Array("$\(argument.count)\r\n".utf8) + argument + Array("\r\n".utf8)
    }

    private mutating func append(_ key: KeyPattern.Rendered) {
        let header = "$\(key.bytes.count)\r\n".utf8.count
        if keyCount == 0 {
            keyOffset = bytes.count + header + key.keyOffset
            tenantOffset = key.tenantOffset.map { bytes.count + header + $0 }
            keyStride = header + key.bytes.count + 2
        }
        keyCount += 1
        bulk(key.bytes)
    }

    private mutating func appendMember(_ prefix: String) {
        let digits = String(repeating: "0", count: RequestTemplate.memberWidth)
        bulk(Array((prefix + digits).utf8))
        memberOffset = bytes.count - 2 - RequestTemplate.memberWidth
    }

    private mutating func appendValue(_ size: ClosedRange<Int>, _ payload: [UInt8]) {
        if size.count == 1 {
            bulk(Array(payload.prefix(size.lowerBound)))
        } else {
            valueOffset = bytes.count
        }
    }
}

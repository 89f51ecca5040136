// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A raw buffer that requests are written to and sent from, one per thread.
public struct RequestBuffer: ~Copyable {
    fileprivate let storage: UnsafeMutableRawBufferPointer
    public fileprivate(set) var count = 0

    public init(capacity: Int) {
        storage = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { storage.deallocate() }

    /// Safety: valid until the next write or the end of the buffer's life.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }
}

/// Writes the requests of one thread: draws command and key, copies the template, and writes the
/// digits over it.
///
/// Why this shape: the generator shares the machine with the server that it measures, so a request
/// must cost only one copy and a few digits. All templates are in one allocation, which stays in
/// the first-level cache.
///
/// Invariants: 1. a request is at most `maximumRequestSize` bytes; 2. digits never exceed their
/// width, which `LoadOptions` ensures; 3. equal seeds and options write equal bytes.
public struct RequestWriter: ~Copyable {
    private struct Placed {
        var start = 0
        var size = 0
        var keyOffset = 0
        var keyStride = 0
        var keyCount = 0
        // -1 means none: plain integers keep the copy of this struct free of branches.
        var tenantOffset = -1
        var memberOffset = -1
        var valueOffset = -1
    }

    private let arena: UnsafeMutableRawBufferPointer
    private let placed: [Placed]
    private let payloadStart: Int
    private let mix: Mix
    private let valueSize: ClosedRange<Int>
    private let members: Int
    private var keys: KeyChooser
    private var randomness: Randomness
    public let maximumRequestSize: Int

    public init(_ options: LoadOptions, thread: Int) {
        // All threads write the same payload; each draws its own keys.
        var payloadRandomness = Randomness(seed: options.seed, stream: -1)
        let alphabet = Array(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)
        let payload = (0..<options.valueSize.upperBound).map { _ in
            alphabet[payloadRandomness.below(alphabet.count)]
        }
        var bytes: [UInt8] = []
        var placed = [Placed](repeating: Placed(), count: LoadCommand.allCases.count)
        for command in options.mix.commands {
            let template = RequestTemplate(command, options, payload: payload)
            placed[Int(command.rawValue)] = Placed(
                start: bytes.count, size: template.bytes.count,
                keyOffset: template.keyOffset, keyStride: template.keyStride,
                keyCount: template.keyCount, tenantOffset: template.tenantOffset ?? -1,
                memberOffset: template.memberOffset ?? -1,
                valueOffset: template.valueOffset ?? -1)
            bytes += template.bytes
        }
        payloadStart = bytes.count
        bytes += payload
        arena = .allocate(byteCount: max(1, bytes.count), alignment: 16)
        arena.copyBytes(from: bytes)
        self.placed = placed
        mix = options.mix
        valueSize = options.valueSize
        members = options.members
        keys = KeyChooser(
            keys: options.keys, tenants: options.tenants, distribution: options.distribution,
            thread: thread, threads: options.threads)
        randomness = Randomness(seed: options.seed, stream: thread)
        maximumRequestSize = RequestWriter.maximumRequestSize(options)
    }

    /// An upper bound on the size of a request, found without making a value. The template leaves
    /// out a value of variable size, so its bytes, its length line and its line end are added.
    static func maximumRequestSize(_ options: LoadOptions) -> Int {
        var valueless = options
        valueless.valueSize = 0...1
        let sizes = options.mix.commands.map {
            RequestTemplate($0, valueless, payload: []).bytes.count
        }
        return (sizes.max() ?? 0) + options.valueSize.upperBound + 32
    }

    deinit { arena.deallocate() }

    /// Fills the buffer with `count` requests, from its start. With a `tenant` all keys belong to
    /// it.
    public mutating func write(
        _ count: Int, tenant: Int?, into buffer: inout RequestBuffer,
        _ outstanding: inout OutstandingCommands, _ tally: inout Tally
    ) {
        precondition(count * maximumRequestSize <= buffer.storage.count)
        guard let base = buffer.storage.baseAddress else { return }
        var end = base
        for _ in 0..<count {
            let command = mix.next(&randomness)
            end = write(placed[Int(command.rawValue)], tenant: tenant, at: end)
            outstanding.append(command)
            tally.countRequest(command)
        }
        buffer.count = end - base
    }

    /// Safety: the caller ensures that there are `maximumRequestSize` bytes behind `start`; every
    /// offset of a template is inside the bytes copied from it.
    private mutating func write(
        _ template: Placed, tenant fixedTenant: Int?, at start: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        guard let source = arena.baseAddress?.advanced(by: template.start) else { return start }
        start.copyMemory(from: source, byteCount: template.size)
        var tenant = fixedTenant
        for position in 0..<template.keyCount {
            var index = keys.next(&randomness)
            if let tenant { index = keys.index(index, of: tenant) }
            let shift = position * template.keyStride
            writeDigits(index, endingAt: start + template.keyOffset + shift + KeyPattern.keyWidth)
            if template.tenantOffset >= 0 {
                // All keys of one MGET belong to the tenant of its first key.
                let owner = tenant ?? keys.tenant(of: index)
                tenant = owner
                writeDigits(
                    owner, endingAt: start + template.tenantOffset + shift + KeyPattern.tenantWidth)
            }
        }
        if template.memberOffset >= 0 {
            writeDigits(
                randomness.below(members),
                endingAt: start + template.memberOffset + RequestTemplate.memberWidth)
        }
        guard template.valueOffset >= 0 else { return start + template.size }
        return insertValue(template, source, at: start)
    }

    private mutating func insertValue(
        _ template: Placed, _ source: UnsafeMutableRawPointer, at start: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        let size = valueSize.lowerBound + randomness.below(valueSize.count)
        var end = start + template.valueOffset
        end.storeBytes(of: UInt8(ascii: "$"), as: UInt8.self)
        let digits = decimalWidth(size)
        end += 1 + digits
        for offset in 1...digits {
            (end - offset).storeBytes(of: UInt8(ascii: "0"), as: UInt8.self)
        }
        writeDigits(size, endingAt: end)
        end = writeLineEnd(at: end)
        if size > 0, let payload = arena.baseAddress?.advanced(by: payloadStart) {
            end.copyMemory(from: payload, byteCount: size)
        }
        end = writeLineEnd(at: end + size)
        let tail = template.size - template.valueOffset
        end.copyMemory(from: source + template.valueOffset, byteCount: tail)
        return end + tail
    }
}

private func writeLineEnd(at end: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    end.storeBytes(of: UInt8(ascii: "\r"), as: UInt8.self)
    (end + 1).storeBytes(of: UInt8(ascii: "\n"), as: UInt8.self)
    return end + 2
}

/// Writes a number over zeros, with its last digit before `end`. Leading zeros are already there.
private func writeDigits(_ number: Int, endingAt end: UnsafeMutableRawPointer) {
    var rest = UInt64(number)
    var position = end
    while rest > 0 {
        let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
        position -= 1
        position.storeBytes(of: UInt8(ascii: "0") + UInt8(digit), as: UInt8.self)
        rest = quotient
    }
}

private func decimalWidth(_ number: Int) -> Int {
    var width = 1
    var rest = number
    while rest >= 10 {
        rest /= 10
        width += 1
    }
    return width
}

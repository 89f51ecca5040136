// SPDX-License-Identifier: Apache-2.0

/// How keys are named, as in `tenant:{tenant}:{type}:{key}`.
///
/// The three places have a fixed width (6 digits, 3 letters, 12 digits). So all keys of a run have
/// one length, and a request is made by writing digits over a finished one.
///
/// Invariants: `{key}` occurs exactly once, `{tenant}` and `{type}` at most once.
public struct KeyPattern: Equatable, Sendable {
    public static let plain = "{type}:{key}"
    public static let perTenant = "tenant:{tenant}:{type}:{key}"
    static let tenantWidth = 6
    static let keyWidth = 12

    public let text: String
    public let namesTenant: Bool
    public let namesType: Bool
    private let pieces: [Piece]

    private enum Piece: Equatable {
        case literal([UInt8])
        case tenant
        case type
        case key
    }

    /// One key made from the pattern with all digits 0, and the offsets of the digits.
    struct Rendered {
        var bytes: [UInt8] = []
        var keyOffset = 0
        var tenantOffset: Int?
    }

    public init?(_ text: String) {
        var pieces: [Piece] = []
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            if open > rest.startIndex { pieces.append(.literal(Array(rest[..<open].utf8))) }
            guard let close = rest[open...].firstIndex(of: "}") else { return nil }
            switch rest[rest.index(after: open)..<close] {
            case "tenant": pieces.append(.tenant)
            case "type": pieces.append(.type)
            case "key": pieces.append(.key)
            default: return nil
            }
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { pieces.append(.literal(Array(rest.utf8))) }
        let places = [Piece.tenant, .type, .key].map { place in pieces.count { $0 == place } }
        guard places[0] <= 1, places[1] <= 1, places[2] == 1 else { return nil }
        self.text = text
        self.pieces = pieces
        namesTenant = places[0] == 1
        namesType = places[1] == 1
    }

    func rendered(type: String) -> Rendered {
        var key = Rendered()
        for piece in pieces {
            switch piece {
            case .literal(let bytes):
                key.bytes += bytes
            case .type:
                key.bytes += Array(type.utf8)
            case .tenant:
                key.tenantOffset = key.bytes.count
                key.bytes += zeros(KeyPattern.tenantWidth)
            case .key:
                key.keyOffset = key.bytes.count
                key.bytes += zeros(KeyPattern.keyWidth)
            }
        }
        return key
    }

    private func zeros(_ count: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(ascii: "0"), count: count)
    }
}

// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import COpenSSL
import Glibc

/// Tenants' secrets: generating them, and digesting them for storage.
///
/// Why plain SHA-256 and no slow hash: generated secrets are 256 random bits, which nobody guesses,
/// and AUTH must not cost a core. A secret that a person chose is as strong as that choice.
public enum Secret {
    public static let digestSize = 32

    /// SHA-256 of the secret.
    public static func digest(_ secret: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: digestSize)
        _ = SHA256(secret, secret.count, &digest)
        return digest
    }

    /// The digest in 64 hexadecimal digits; nil for anything else.
    static func digest(hexadecimal text: String) -> [UInt8]? {
        let digits = text.utf8.compactMap(ASCII.hexadecimal)
        guard digits.count == digestSize * 2, text.utf8.count == digits.count else { return nil }
        return (0..<digestSize).map { digits[$0 * 2] << 4 | digits[$0 * 2 + 1] }
    }
}

extension Secret {
    /// 32 random bytes in base64url, without padding: 43 characters.
    static func make() -> String {
        var bytes = [UInt8](repeating: 0, count: digestSize)
        guard getrandom(&bytes, bytes.count, 0) == bytes.count else {
            fatal("the kernel returns no random bytes")
        }
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        var bits = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | Int(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[(bits >> count) & 63])
            }
            bits &= (1 << count) - 1
        }
        if count > 0 { text.append(alphabet[(bits << (6 - count)) & 63]) }
        return String(decoding: text, as: UTF8.self)
    }
}

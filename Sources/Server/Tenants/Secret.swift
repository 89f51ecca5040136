// SPDX-License-Identifier: Apache-2.0
import Base
import COpenSSL
import Glibc

/// Tenants' secrets: what is handed out, and the digest that is kept.
///
/// Why plain SHA-256 and no slow hash: generated secrets are 256 random bits, which nobody guesses, and AUTH must
/// not cost a core. A secret that somebody chose is as strong as it is.
public enum Secret {
    public static let digestSize = 32

    /// SHA-256 of the secret.
    public static func digest(_ secret: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: digestSize)
        _ = SHA256(secret, secret.count, &digest)
        return digest
    }

    /// The digest that 64 hexadecimal digits write; nil of anything else.
    static func digest(hexadecimal text: String) -> [UInt8]? {
        let digits = text.utf8.compactMap(ConfigurationText.hexadecimal)
        guard digits.count == digestSize * 2, text.utf8.count == digits.count else { return nil }
        return (0..<digestSize).map { digits[$0 * 2] << 4 | digits[$0 * 2 + 1] }
    }
}

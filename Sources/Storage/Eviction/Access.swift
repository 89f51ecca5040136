// SPDX-License-Identifier: Apache-2.0
import Base

/// The 24 bits by which eviction ranks an entry, as in Redis.
///
/// LRU: seconds, modulo 2^24 (194 days). LFU: 16 bits for the minute of the counter's last decay,
/// and 8 bits for a logarithmic counter. The counter starts at 5 and rises with a chance of 1 /
/// ((counter - 5) x factor + 1).
public enum Access {
    private static let initialFrequency: UInt32 = 5

    @inline(__always)
    static func initial(now: Milliseconds, settings: SettingsReference) -> UInt32 {
        isFrequency(settings) ? minutes(now) << 8 | initialFrequency : seconds(now)
    }

    /// Whether the eviction policy uses frequency (LFU), so the 24 bits contain a counter.
    @inline(__always)
    public static func isFrequency(_ settings: SettingsReference) -> Bool {
        let policy = settings.evictionPolicy
        return policy == EvictionPolicy.allKeysLFU.rawValue
            || policy == EvictionPolicy.volatileLFU.rawValue
    }

    @inline(__always)
    static func seconds(_ now: Milliseconds) -> UInt32 {
        UInt32(truncatingIfNeeded: now / 1000) & 0xFF_FFFF
    }

    static func minutes(_ now: Milliseconds) -> UInt32 {
        UInt32(truncatingIfNeeded: now / 60_000) & 0xFFFF
    }

    @inline(__always)
    static func next(
        _ access: UInt32, now: Milliseconds, settings: SettingsReference, random: inout Random
    ) -> UInt32 {
        guard isFrequency(settings) else { return seconds(now) }
        return nextFrequency(access, now: now, settings: settings, random: &random)
    }

    @inline(never)
    private static func nextFrequency(
        _ access: UInt32, now: Milliseconds, settings: SettingsReference, random: inout Random
    ) -> UInt32 {
        var counter = frequency(access, now: now, settings: settings)
        if counter < 255 {
            let above = counter > initialFrequency ? counter - initialFrequency : 0
            let factor = settings.frequencyLogFactor
            if random.next(below: UInt64(Int(above) * factor + 1)) == 0 { counter += 1 }
        }
        return minutes(now) << 8 | counter
    }

    /// The counter after decay: one less for each decay period that has passed.
    public static func frequency(
        _ access: UInt32, now: Milliseconds, settings: SettingsReference
    ) -> UInt32 {
        let counter = access & 0xFF
        let decay = settings.frequencyDecayMinutes
        guard decay > 0 else { return counter }
        let elapsed = (minutes(now) &- (access >> 8)) & 0xFFFF
        let periods = elapsed / UInt32(decay)
        return counter > periods ? counter - periods : 0
    }

    /// Seconds since the last access.
    public static func idleSeconds(_ access: UInt32, now: Milliseconds) -> Int {
        Int((seconds(now) &- access) & 0xFF_FFFF)
    }
}

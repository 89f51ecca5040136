// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// Eviction between commands: what commands have left when a limit was lowered.
extension TenantRegistry {
    /// Notes that `tenant` is beyond its own limits, so that slices go on evicting its keys.
    /// Returns true.
    func evictLater(from tenant: TenantReference) -> Bool {
        if !tenant.pointee.isShrinking.exchange(true, ordering: .relaxed) {
            let id = tenant.id.array
            shrinking.withLock { $0.append(id) }
            shrinkingCount.wrappingAdd(1, ordering: .relaxed)
        }
        return true
    }

    /// The next tenant that `evictLater` noted; its note is taken back.
    fileprivate func takeShrinking() -> TenantReference? {
        while true {  // Bound: each turn takes a note.
            let id = shrinking.withLock { $0.popLast() }
            guard let id else { return nil }
            shrinkingCount.wrappingSubtract(1, ordering: .relaxed)
            guard let tenant = id.withBytes({ find($0) }) else { continue }
            tenant.pointee.isShrinking.store(false, ordering: .relaxed)
            return tenant
        }
    }

    fileprivate var hasShrinkingTenants: Bool { shrinkingCount.load(ordering: .relaxed) > 0 }
}

/// How far a slice of eviction came.
public enum EvictionProgress {
    case done
    /// Its time ended first.
    case cutShort
    /// There is more than the limit allows, and nothing of it can be evicted now.
    case stuck
}

extension Reference where Pointee == Worker {
    /// Whether there is anything for a slice of eviction to do.
    @inline(__always)
    public var isEvictionDue: Bool {
        let memoryMax = settings.memoryMax
        return pointee.unmanagedRegistry._withUnsafeGuaranteedRef {
            if memoryMax > 0 { $0.measureOtherMemory(now: pointee.monotonicNow) }
            return memoryMax > 0 && $0.lastingMemory > memoryMax || $0.hasShrinkingTenants
        }
    }

    /// Evicts for half a millisecond at most, from the server and from tenants beyond limits that
    /// were lowered. For a thread that holds nothing.
    public func evictSlice() -> EvictionProgress {
        var allowance = EvictionAllowance.slice
        let memoryMax = settings.memoryMax
        var isStuck = false
        if memoryMax > 0 {
            isStuck = !evict(untilLasting: memoryMax, false, &allowance)
            if !isStuck && registry.lastingMemory > memoryMax { return .cutShort }
        }
        while let tenant = registry.takeShrinking() {  // Bound: tenants beyond their limits.
            guard tenant.atLimit == .evict else { continue }
            if !shrink(tenant, &allowance) {
                _ = registry.evictLater(from: tenant)
                return .cutShort
            }
        }
        return isStuck ? .stuck : .done
    }

    /// Evicts from a tenant until it is within its limits or has nothing to evict. False if the
    /// allowance ends first.
    private func shrink(
        _ tenant: TenantReference, _ allowance: inout EvictionAllowance
    ) -> Bool {
        var excess = max(0, tenant.keyCount - tenant.pointee.keysMax.value)
        let memoryMax = tenant.pointee.memoryMax.value
        while excess > 0 || tenant.memoryInUse >= memoryMax {  // Bound: the tenant's keys.
            if allowance.isUsedUp { return false }
            guard let size = evictOne(from: tenant) else { return true }
            allowance.note(size)
            excess -= 1
        }
        return true
    }
}

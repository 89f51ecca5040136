// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Tenancy
import Wire

// Refusals that depend on memory and budgets, asked under the locks of the command's shards, in
// this order: the tenant's rates, the server's memory, the tenant's memory, the tenant's number of
// keys.
extension Executor {
    /// Nil where the command may run; else what became of it.
    @inline(__always)
    func refuse(
        _ entry: Entry, _ arguments: Arguments, _ reply: inout ReplyWriter
    ) -> Outcome? {
        if !ratesWereAsked, needsBudget, let outcome = refuseByRates(&reply) { return outcome }
        if entry.pointee.flags.contains(.denyOOM) {
            return refuseByMemory(entry, arguments, &reply)
        }
        return nil
    }

    /// Why the rates of the tenants whose keys the worker has do not allow a command now: `wait` is
    /// how long it may be put off, nil where it is refused. Nil where they allow it.
    public func refusalByRates() -> (text: String, wait: Milliseconds?)? {
        needsBudget ? askBudgets() : nil
    }

    @inline(__always)
    private var needsBudget: Bool {
        var needsBudget = false
        worker.forEachTenantOfKeys { if !$0.hasLease { needsBudget = true } }
        return needsBudget
    }

    /// Why not inlined: the path of a command that may run has no text to release.
    @inline(never)
    private func refuseByRates(_ reply: inout ReplyWriter) -> Outcome? {
        guard let refusal = askBudgets() else { return nil }
        if let wait = refusal.wait { return .throttled(wait) }
        reply.error(refusal.text)
        return .refused
    }

    private func askBudgets() -> (text: String, wait: Milliseconds?)? {
        var refusal: (answer: BudgetAnswer, shard: ShardReference)?
        worker.forEachTenantOfKeys { shard in
            guard refusal == nil, !shard.hasLease else { return }
            let answer = shard.renewLeases(now: worker.pointee.now)
            if answer != .granted { refusal = (answer, shard) }
        }
        guard let refusal else { return nil }
        if case .operationsPerSecond(_, let wait) = refusal.answer,
            refusal.shard.tenant.atLimit == .throttle
        {
            return ("", wait)
        }
        refusal.shard.pointee.usage.rejected += 1
        return (Executor.text(of: refusal.answer), nil)
    }

    /// The texts that client code already knows.
    public static func text(of answer: BudgetAnswer) -> String {
        switch answer {
        case .granted:
            ""
        case .operationsPerDay(let limit, let used):
            "ERR max requests limit exceeded. Limit: \(limit), Usage: \(max(used, limit))"
        case .operationsPerSecond(let limit, _):
            "ERR max requests limit exceeded. Limit: \(limit), Usage: \(limit)"
        case .bandwidthPerDay(let limit, let used):
            "ERR max daily bandwidth limit exceeded. Limit: \(limit), Usage: \(max(used, limit))"
        }
    }

    @inline(__always)
    private func refuseByMemory(
        _ entry: Entry, _ arguments: Arguments, _ reply: inout ReplyWriter
    ) -> Outcome? {
        let memoryMax = worker.pointee.settings.values.pointee.memoryMax.value
        if memoryMax > 0, worker.memoryInUse > memoryMax, !worker.makeRoom(memoryMax) {
            worker.forEachTenantOfKeys { $0.pointee.usage.rejected += 1 }
            reply.error(.outOfMemory)
            return .refused
        }
        guard worker.keysHaveLimitedTenants else { return nil }
        return refuseByTenantLimits(entry, arguments, &reply)
    }

    public static let memoryRefusal = "ERR DB capacity quota exceeded"

    @inline(never)
    private func refuseByTenantLimits(
        _ entry: Entry, _ arguments: Arguments, _ reply: inout ReplyWriter
    ) -> Outcome? {
        // What is larger than the limit by itself fits no more after an eviction. Of what is for
        // several tenants it is not known here what is whose.
        let arriving = tenantsOfKeysCount == 1 ? Executor.size(of: arguments) : 0
        var refusal: (text: String, shard: ShardReference)?
        worker.forEachTenantOfKeys { shard in
            guard refusal == nil else { return }
            let tenant = shard.tenant
            let memoryMax = tenant.pointee.memoryMax.value
            var isFull = memoryMax != .max && tenant.memoryInUse >= memoryMax
            if isFull, worker.removeExpired(of: tenant) { isFull = tenant.memoryInUse >= memoryMax }
            if memoryMax != .max, arriving > memoryMax || isFull,
                arriving > memoryMax || tenant.atLimit != .evict
                    || !worker.makeRoom(in: tenant, memoryMax: memoryMax)
            {
                refusal = (Executor.memoryRefusal, shard)
                return
            }
            let keysMax = tenant.pointee.keysMax.value
            guard keysMax != .max else { return }
            guard tenant.keyCount + worker.missingKeyCount(of: tenant) > keysMax else { return }
            let created = createdKeys(entry, arguments)
            var missing = worker.missingKeyCount(of: tenant, among: created)
            guard missing > 0, tenant.keyCount + missing > keysMax else { return }
            if worker.removeExpired(of: tenant) {
                missing = worker.missingKeyCount(of: tenant, among: created)
                guard tenant.keyCount + missing > keysMax else { return }
            }
            if tenant.atLimit != .evict || !worker.makeRoom(in: tenant, keysMax: keysMax - missing)
            {
                refusal = (
                    "ERR max keys limit exceeded. Limit: \(keysMax), Usage: \(tenant.keyCount)",
                    shard
                )
            }
        }
        guard let refusal else { return nil }
        refusal.shard.pointee.usage.rejected += 1
        reply.error(refusal.text)
        return .refused
    }

    /// Which of the command's keys it may make, in the order in which the worker has them.
    private func createdKeys(_ entry: Entry, _ arguments: Arguments) -> [Bool] {
        // COPY: the source, then the target, which stands in another database.
        if entry.pointee.flags.contains(.otherDatabase) { return [false, true] }
        var created: [Bool] = []
        _ = entry.pointee.spec.forEachKey(arguments) { created.append($1.mayCreate) }
        return created
    }

    private var tenantsOfKeysCount: Int {
        var count = 0
        worker.forEachTenantOfKeys { _ in count += 1 }
        return count
    }

    private static func size(of arguments: Arguments) -> Int {
        var size = 0
        for index in 0..<arguments.count { size += arguments[index].count }
        return size
    }
}

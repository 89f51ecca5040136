// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import LoadKit
import Synchronization

/// One load from beginning to end: starts the threads, shows progress, gathers the report.
struct Run {
    private let options: LoadOptions

    init(_ options: LoadOptions) { self.options = options }

    func report() throws(LoadError) -> Report {
        raiseDescriptorLimit()
        let endpoint = try Endpoint(options)
        let coordinator = try Coordinator(threads: options.threads)
        let threads = try start(endpoint, coordinator)
        coordinator.waitUntilReady()
        let server = options.serverProcess.map { ServerProcess(process: $0) }
        var before = ServerProcess.Sample()
        do throws(LoadError) {
            if let failure = coordinator.failure { throw failure }
            before = try server?.sample() ?? before
        } catch {
            coordinator.open(start: nil)
            join(threads)
            throw error
        }
        let clientBefore = Clock.processCPUSeconds()
        let startNanoseconds = Clock.now()
        coordinator.open(start: startNanoseconds)
        showProgress(coordinator, since: startNanoseconds)
        join(threads)
        if let failure = coordinator.failure { throw failure }

        var report = Report(options)
        report.clientCPUSeconds = Clock.processCPUSeconds() - clientBefore
        if let server { report.server = ServerProcess.use(from: before, to: try server.sample()) }
        gather(coordinator.results, since: startNanoseconds, into: &report)
        return report
    }

    private func gather(
        _ results: [WorkerResult], since start: UInt64, into report: inout Report
    ) {
        var end = start
        for result in results {
            report.tally.merge(result.tally)
            report.latency.merge(result.latency)
            report.bytesSent += result.bytesSent
            report.bytesReceived += result.bytesReceived
            report.lostRequests += result.lostRequests
            report.lostConnections += result.lostConnections
            report.unsentRequests += result.unsentRequests
            end = max(end, result.endNanoseconds)
        }
        report.elapsedSeconds = Double(end - start) / 1e9
    }

    // MARK: - Threads

    /// Carries a closure into a thread.
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private func start(
        _ endpoint: Endpoint, _ coordinator: Coordinator
    ) throws(LoadError) -> [pthread_t] {
        let options = options
        var threads: [pthread_t] = []
        for index in 0..<options.threads {
            let body = Body {
                do throws(LoadError) {
                    var worker = try Worker(options, index: index, endpoint, coordinator)
                    if let result = try worker.run() { coordinator.finish(result) }
                } catch {
                    coordinator.fail(error)
                }
            }
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { context in
                    // Safety: the pointer is the retained Body handed over just below.
                    if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                    return nil
                }, Unmanaged.passRetained(body).toOpaque())
            guard status == 0 else { throw LoadError("a thread could not be started") }
            threads.append(thread)
        }
        return threads
    }

    private func join(_ threads: [pthread_t]) {
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Raises the limit of open files to the most that the system allows.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        // If this fails, opening the connections will say so.
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    // MARK: - Progress

    private func showProgress(_ coordinator: Coordinator, since start: UInt64) {
        let isShown = options.showsProgress || isatty(STDERR_FILENO) == 1
        var previousCount = 0
        var previousTime = start
        while true {
            let elapsed = (Clock.now() - start) / 1_000_000
            let untilNextSecond = Int32(1000 - elapsed % 1000)
            if coordinator.waitForEnd(milliseconds: untilNextSecond) { return }
            let now = Clock.now()
            // News from a single worker ends the wait too; lines still come once a second.
            guard isShown, now - previousTime > 900_000_000 else { continue }
            let count = coordinator.completed.load(ordering: .relaxed)
            let errors = coordinator.errors.load(ordering: .relaxed)
            let rate = Double(count - previousCount) * 1e9 / Double(now - previousTime)
            writeToStandardError(
                "\(Format.decimal(Double(now - start) / 1e9, 0)) s  "
                    + "\(Format.grouped(count)) replies  "
                    + "\(Format.grouped(Int(rate)))/s  \(Format.grouped(errors)) errors\n")
            previousCount = count
            previousTime = now
        }
    }
}

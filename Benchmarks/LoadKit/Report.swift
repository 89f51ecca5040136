// SPDX-License-Identifier: Apache-2.0

/// What the server's process used while a load ran.
public struct ServerUse: Equatable, Sendable {
    public var userSeconds: Double
    public var systemSeconds: Double
    public var residentBytesBefore: Int
    public var residentBytesAfter: Int

    public init(
        userSeconds: Double, systemSeconds: Double, residentBytesBefore: Int,
        residentBytesAfter: Int
    ) {
        self.userSeconds = userSeconds
        self.systemSeconds = systemSeconds
        self.residentBytesBefore = residentBytesBefore
        self.residentBytesAfter = residentBytesAfter
    }
}

/// The result of a run, and its two forms: text for people, JSON for scripts.
public struct Report: Sendable {
    public let options: LoadOptions
    public var elapsedSeconds = 0.0
    public var latency = Histogram()
    public var tally = Tally()
    public var bytesSent = 0
    public var bytesReceived = 0
    /// Requests sent whose reply never came, because the connection or the time ended.
    public var lostRequests = 0
    public var lostConnections = 0
    /// Open loop: requests that were due and never sent, because the server did not keep up.
    public var unsentRequests = 0
    public var clientCPUSeconds = 0.0
    public var server: ServerUse?

    static let percentiles: [(name: String, share: UInt64)] = [
        ("p50", 500_000), ("p90", 900_000), ("p99", 990_000), ("p99.9", 999_000),
        ("p99.99", 999_900),
    ]

    public init(_ options: LoadOptions) { self.options = options }

    public var requestsPerSecond: Double {
        elapsedSeconds > 0 ? Double(tally.replies) / elapsedSeconds : 0
    }

    /// Whether every request was answered, even if with an error.
    public var isComplete: Bool { lostRequests == 0 && lostConnections == 0 }

    private func perReplyMicroseconds(_ seconds: Double) -> Double {
        tally.replies > 0 ? seconds * 1e6 / Double(tally.replies) : 0
    }

    // MARK: - Text

    public var text: String {
        var lines = [
            "\(options.endpointText) · \(options.mix.text) · \(options.connections) connections, "
                + "\(options.threads) threads, pipeline \(options.pipeline), \(options.modeText)",
            "\(Format.grouped(options.keys)) keys \(options.distributionText), "
                + "values \(options.valueSizeText) B, \(options.tenants) tenants, "
                + "seed \(options.seed)",
            row("requests")
                + "\(Format.grouped(tally.replies)) in \(Format.decimal(elapsedSeconds, 3)) s, "
                + "\(Format.grouped(Int(requestsPerSecond.rounded()))) per second",
            row("bytes") + "\(Format.grouped(bytesSent)) out, \(Format.grouped(bytesReceived)) in",
            row("latency ms") + latencyText,
            row("hits") + "\(Format.grouped(tally.hits)), misses \(Format.grouped(tally.misses))",
        ]
        if options.mix.commands.count > 1 { lines += options.mix.commands.map(commandText) }
        lines += errorLines
        if options.ratePerSecond != nil {
            lines.append(row("due, unsent") + Format.grouped(unsentRequests))
        }
        lines.append(
            row("client CPU")
                + "\(Format.decimal(perReplyMicroseconds(clientCPUSeconds), 3)) µs/request")
        if let server { lines.append(row("server") + serverText(server)) }
        return lines.joined(separator: "\n") + "\n"
    }

    private func row(_ name: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 14 - name.count))
    }

    private var latencyText: String {
        let parts = Report.percentiles.map { "\($0.name) \(milliseconds($0.share))" }
        return
            (parts + [
                "max \(Format.decimal(Double(latency.maximum) / 1e6, 3))",
                "mean \(Format.decimal(latency.mean / 1e6, 3))",
            ]).joined(separator: "  ")
    }

    private func milliseconds(_ share: UInt64) -> String {
        Format.decimal(Double(latency.value(atPartsPerMillion: share)) / 1e6, 3)
    }

    private func commandText(_ command: LoadCommand) -> String {
        let tally = tally[command]
        var text = row(command.name) + "\(Format.grouped(tally.replies)) replies"
        if command.presence != .unknown {
            text += ", found \(Format.grouped(tally.found)), absent \(Format.grouped(tally.absent))"
        }
        return tally.errors > 0 ? text + ", errors \(Format.grouped(tally.errors))" : text
    }

    private var errorLines: [String] {
        var lines = [row("errors") + Format.grouped(tally.errorReplies)]
        for (_, error) in sortedErrors {
            lines.append(row("") + "\(Format.grouped(error.count)) × \(error.example)")
        }
        if !isComplete {
            lines.append(
                row("lost") + "\(Format.grouped(lostRequests)) requests without a reply, "
                    + "\(lostConnections) connections closed by the server")
        }
        return lines
    }

    private var sortedErrors: [(key: String, value: ErrorTally)] {
        tally.errors.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
    }

    private func serverText(_ server: ServerUse) -> String {
        let user = perReplyMicroseconds(server.userSeconds)
        let system = perReplyMicroseconds(server.systemSeconds)
        return "CPU \(Format.decimal(user + system, 3)) µs/request "
            + "(user \(Format.decimal(user, 3)), system \(Format.decimal(system, 3))), "
            + "memory \(Format.decimal(Double(server.residentBytesBefore) / 1e6, 1)) → "
            + "\(Format.decimal(Double(server.residentBytesAfter) / 1e6, 1)) MB"
    }

    // MARK: - JSON

    public var json: String {
        var fields = [
            field("endpoint", Format.quoted(options.endpointText)),
            field("mix", Format.quoted(options.mix.text)),
            field("mode", Format.quoted(options.modeText)),
            field("connections", options.connections), field("threads", options.threads),
            field("pipeline", options.pipeline), field("keys", options.keys),
            field("distribution", Format.quoted(options.distributionText)),
            field("valueSize", Format.quoted(options.valueSizeText)),
            field("tenants", options.tenants), field("seed", "\(options.seed)"),
            field("requests", tally.requests), field("replies", tally.replies),
            field("elapsedSeconds", Format.decimal(elapsedSeconds, 6)),
            field("requestsPerSecond", Format.decimal(requestsPerSecond, 1)),
            field("bytesSent", bytesSent), field("bytesReceived", bytesReceived),
            field("latencyMicroseconds", latencyJSON), field("hits", tally.hits),
            field("misses", tally.misses), field("commands", commandsJSON),
            field("errorReplies", tally.errorReplies), field("errors", errorsJSON),
            field("lostRequests", lostRequests), field("lostConnections", lostConnections),
            field("unsentRequests", unsentRequests),
            field(
                "clientMicrosecondsPerRequest",
                Format.decimal(perReplyMicroseconds(clientCPUSeconds), 4)),
        ]
        if let server { fields.append(field("server", serverJSON(server))) }
        return object(fields) + "\n"
    }

    private func field(_ name: String, _ value: String) -> String {
        "\(Format.quoted(name)): \(value)"
    }

    private func field(_ name: String, _ value: Int) -> String { field(name, "\(value)") }

    private func object(_ fields: [String]) -> String { "{" + fields.joined(separator: ", ") + "}" }

    private var latencyJSON: String {
        let parts = Report.percentiles.map { percentile in
            let value = Double(latency.value(atPartsPerMillion: percentile.share))
            return field(percentile.name, Format.decimal(value / 1e3, 3))
        }
        return object(
            parts + [
                field("max", Format.decimal(Double(latency.maximum) / 1e3, 3)),
                field("mean", Format.decimal(latency.mean / 1e3, 3)),
            ])
    }

    private var commandsJSON: String {
        object(
            options.mix.commands.map { command in
                let tally = tally[command]
                return field(
                    command.name,
                    object([
                        field("requests", tally.requests), field("replies", tally.replies),
                        field("errors", tally.errors), field("found", tally.found),
                        field("absent", tally.absent),
                    ]))
            })
    }

    private var errorsJSON: String {
        object(
            sortedErrors.map { kind, error in
                let example = field("example", Format.quoted(error.example))
                return field(kind, object([field("count", error.count), example]))
            })
    }

    private func serverJSON(_ server: ServerUse) -> String {
        let user = perReplyMicroseconds(server.userSeconds)
        let system = perReplyMicroseconds(server.systemSeconds)
        return object([
            field("microsecondsPerRequest", Format.decimal(user + system, 4)),
            field("userMicrosecondsPerRequest", Format.decimal(user, 4)),
            field("systemMicrosecondsPerRequest", Format.decimal(system, 4)),
            field("residentBytesBefore", server.residentBytesBefore),
            field("residentBytesAfter", server.residentBytesAfter),
        ])
    }
}

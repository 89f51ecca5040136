// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

/// The values of all directives. The command line overrides the environment, the environment the
/// file, and the file the defaults.
///
/// Why texts here and numbers in `Settings`: this type is read at start and by CONFIG. The request
/// path reads `Settings`, and every change is copied there.
///
/// Invariant: every directive has a value of its kind.
public final class Configuration: Sendable {
    public let settings: SettingsReference
    /// The absolute path of the file that the server was started with; nil without a file.
    public let file: String?
    let defaults: [String: Directive.Value]
    /// Directives set by the environment and not by the command line. CONFIG REWRITE does not write
    /// them.
    let fromEnvironment: Set<String>
    /// The directives that have no effect: what the log says about each.
    let notes: [(level: Log.Level, text: String)]
    private let values: Mutex<[String: Directive.Value]>
    private let observer = Mutex<(@Sendable (Set<String>) -> Void)?>(nil)

    /// `arguments`: what follows the program's name, with or without `serve`.
    public init(
        arguments: [String], environment: [String: String], settings: SettingsReference
    ) throws(ConfigurationError) {
        var commandLine = ConfigurationLayer()
        var rest = arguments
        if rest.first == "serve" { rest.removeFirst() }
        let path = try commandLine.read(arguments: rest)
        var said = ConfigurationLayer()
        if let path { try said.read(file: path) }
        var variables = ConfigurationLayer()
        try variables.read(environment: environment)
        said.add(variables)
        said.add(commandLine)
        notes = try Configuration.notes(said)

        let defaults = Configuration.defaults(environment)
        let values = said.values(over: defaults)
        self.settings = settings
        self.defaults = defaults
        file = path.map { TextFile.resolve($0, in: TextFile.workingDirectory) }
        fromEnvironment = Set(variables.values.keys).subtracting(commandLine.values.keys)
            .union(environment["DATABASE_URL"] == nil ? [] : ["postgres-url"])
        self.values = Mutex(values)
        settings.values.pointee.availableMemory.set(MemorySize.available)
        for directive in Directive.all {
            if let value = values[directive.name] { directive.apply?(settings, value) }
        }
        settings.derive()
        try checkTenants()
    }

    /// What to log about directives that have no effect. Throws if the server must not start
    /// without what they ask for.
    private static func notes(
        _ said: ConfigurationLayer
    ) throws(ConfigurationError) -> [(level: Log.Level, text: String)] {
        var notes: [(level: Log.Level, text: String)] = []
        for line in said.unsupported where !line.isIdle {
            switch line.lack.consequence {
            case .noted: notes.append((.notice, line.note))
            case .warned: notes.append((.warning, line.note))
            case .refused:
                throw ConfigurationError("\(line.place): \(line.name): \(line.lack.reason)")
            }
        }
        return notes
    }

    /// The environment of this process.
    public static var processEnvironment: [String: String] {
        var variables: [String: String] = [:]
        // Safety: environ is a list of C strings that ends with nil; nothing changes it while the
        // server starts.
        var next = environ
        while let line = next.pointee {
            let text = String(cString: line)
            if let sign = text.firstIndex(of: "=") {
                variables[String(text[..<sign])] = String(text[text.index(after: sign)...])
            }
            next += 1
        }
        return variables
    }

    private static func defaults(_ environment: [String: String]) -> [String: Directive.Value] {
        var values: [String: Directive.Value] = [:]
        for directive in Directive.all { values[directive.name] = directive.initialValue }
        values["maxmemory"] = .integer(MemorySize.memoryMaxDefault)
        values["client-query-buffer-limit"] = .integer(MemorySize.queryBufferLimitDefault)
        if let limits = Directive.find("client-output-buffer-limit") {
            values[limits.name] = limits.replacing(
                values[limits.name], with: .words(MemorySize.outputLimitDefault))
        }
        values["threads"] = .integer(threadsDefault(cores: coreCount))
        values["dir"] = .text(TextFile.workingDirectory)
        if let url = environment["DATABASE_URL"] { values["postgres-url"] = .text(url) }
        return values
    }

    private static var coreCount: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

    /// One thread per core, but one thread on two cores: the second core is for the network, the
    /// records and whatever else runs on so small a machine. With a load generator beside them, two
    /// threads take 1.4 times the CPU per request at depth 1, where each wakes for two requests
    /// instead of many, and answer no more requests at depth 64.
    static func threadsDefault(cores: Int) -> Int { cores <= 2 ? 1 : min(256, cores) }

    /// Checks what no single line shows: two plans or two tenants of one name, a tenant with an
    /// undeclared plan.
    private func checkTenants() throws(ConfigurationError) {
        var names: Set<String> = ["default"]
        var seen: Set<String> = []
        for plan in plans {
            guard seen.insert(plan.name).inserted else {
                throw ConfigurationError("tenant-plan: plan '\(plan.name)' is declared twice")
            }
            names.insert(plan.name)
        }
        var ids: Set<String> = []
        for tenant in tenantLines {
            guard ids.insert(tenant.id).inserted else {
                throw ConfigurationError("tenant: '\(tenant.id)' is declared twice")
            }
            if let plan = tenant.plan, !names.contains(plan) {
                throw ConfigurationError(
                    "tenant: '\(tenant.id)' has plan '\(plan)', which no tenant-plan declares")
            }
        }
    }

    // MARK: - Reading

    /// The value of the directive `name`. An undeclared name stops the process.
    func value(_ name: String) -> Directive.Value {
        guard let value = values.withLock({ $0[name] }) else { fatal("no directive \(name)") }
        return value
    }

    public func integer(_ name: String) -> Int {
        guard case .integer(let number) = value(name) else { fatal("\(name) is no number") }
        return number
    }

    public func text(_ name: String) -> String {
        guard case .text(let text) = value(name) else { fatal("\(name) is no text") }
        return text
    }

    public func words(_ name: String) -> [String] {
        guard case .words(let words) = value(name) else { fatal("\(name) is no list of words") }
        return words
    }

    public func lines(_ name: String) -> [[String]] {
        guard case .lines(let lines) = value(name) else { fatal("\(name) is no list of lines") }
        return lines
    }

    public var plans: [Plan] { lines("tenant-plan").compactMap { try? PlanLine($0).plan } }

    public var keyPatterns: [KeyPattern] {
        lines("tenant-key-pattern").compactMap { try? KeyPattern($0[0]) }
    }

    var tenantLines: [TenantLine] { lines("tenant").compactMap { try? TenantLine($0) } }

    /// The file of created tenants: relative to `dir` if that is set, else to the configuration
    /// file's folder, else to the working directory.
    public var tenantsPath: String {
        let name = text("tenants-file")
        if let file, value("dir") == defaults["dir"] {
            return TextFile.resolve(name, in: TextFile.directory(of: file))
        }
        return TextFile.resolve(name, in: text("dir"))
    }

    // MARK: - Changing

    /// Calls `body`, without holding a lock, after each CONFIG SET with the names of the changed
    /// directives.
    public func observe(_ body: @escaping @Sendable (Set<String>) -> Void) {
        observer.withLock { $0 = body }
    }

    /// Stores checked values.
    func take(_ changes: [(directive: Directive, value: Directive.Value)]) {
        values.withLock { values in
            for change in changes {
                let name = change.directive.name
                let value = change.directive.replacing(values[name], with: change.value)
                values[name] = value
                change.directive.apply?(settings, value)
            }
            settings.derive()
        }
        let names = Set(changes.map(\.directive.name))
        observer.withLock({ $0 })?(names)
    }
}

extension Directive {
    /// The default value.
    var initialValue: Value {
        if isRepeatable { return .lines([]) }
        let words = takesWords ? ConfigurationText.words(initial) ?? [] : [initial]
        guard let value = try? value(of: words) else {
            fatal("\(name): the default is not acceptable")
        }
        return value
    }
}

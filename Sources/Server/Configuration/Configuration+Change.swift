// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// CONFIG GET and CONFIG SET, with Redis's error texts.
extension Configuration {
    /// The name and value of every directive that one of the patterns matches, sorted. An alias
    /// counts as a name. As in Redis, a name without a glob character is shown as the caller wrote
    /// it. Nil if a pattern is too long.
    public func get(_ texts: [[UInt8]]) -> [(name: String, value: String)]? {
        var patterns: [NamePattern] = []
        for text in texts {
            guard let pattern = NamePattern(text) else { return nil }
            patterns.append(pattern)
        }
        var found: [(name: String, value: String)] = []
        for directive in Directive.all {
            for name in [directive.name, directive.alias].compactMap({ $0 }) {
                guard let shown = Configuration.shownName(name, patterns) else { continue }
                found.append((shown, directive.text(of: value(directive.name))))
            }
        }
        return found.sorted { $0.name < $1.name }
    }

    /// A name, or a glob pattern for names.
    private struct NamePattern {
        let text: [UInt8]
        let folded: [UInt8]
        /// Nil for a name.
        let glob: Glob?

        init?(_ text: [UInt8]) {
            self.text = text
            let folded = text.map(ASCII.lower)
            self.folded = folded
            guard text.contains(where: Array("[*?".utf8).contains) else {
                glob = nil
                return
            }
            guard let glob = folded.withBytes({ Glob($0) }) else { return nil }
            self.glob = glob
        }
    }

    /// The name to show for `name`: itself if a glob pattern matches it, the pattern if one spells
    /// it out, nil if none matches.
    private static func shownName(_ name: String, _ patterns: [NamePattern]) -> String? {
        let bytes = Array(name.utf8)
        for pattern in patterns {
            if let glob = pattern.glob {
                if bytes.withBytes({ glob.matches($0) }) { return name }
            } else if pattern.folded == bytes {
                return String(decoding: pattern.text, as: UTF8.self)
            }
        }
        return nil
    }

    /// Sets all changes or none. Returns an error text without "ERR", or nil.
    public func set(_ changes: [(name: [UInt8], value: [UInt8])]) -> String? {
        var checked: [(directive: Directive, value: Directive.Value)] = []
        for change in changes {
            let name = String(decoding: change.name, as: UTF8.self)
            guard let directive = Directive.find(name) else {
                return "Unknown option or number of arguments for CONFIG SET - '\(name)'"
            }
            func failed(_ reason: String) -> String {
                "CONFIG SET failed (possibly related to argument '\(name)') - \(reason)"
            }
            guard directive.isChangeable else {
                return failed(
                    Configuration.onlyAtStart.contains(directive.name)
                        ? "Martlet takes it at start: change the configuration and restart"
                        : "can't set immutable config")
            }
            guard !checked.contains(where: { $0.directive.name == directive.name }) else {
                return failed("duplicate parameter")
            }
            guard let text = String(validating: change.value, as: UTF8.self) else {
                return failed("argument must be UTF-8 text")
            }
            do throws(Directive.Unacceptable) {
                let words = directive.takesWords ? ConfigurationText.words(text) : [text]
                guard let words else { throw Directive.Unacceptable("a quote is not closed") }
                let value = try directive.value(of: words)
                try checkResources(directive, value)
                checked.append((directive, value))
            } catch {
                return failed(error.reason)
            }
        }
        take(checked)
        return nil
    }

    /// Directives that Redis can change while it runs.
    private static let onlyAtStart: Set<String> = ["bind", "port", "dir"]

    /// Descriptors reserved for the server itself: each thread has three.
    private var reservedDescriptors: Int { max(32, 16 + 3 * integer("threads")) }

    /// Throws if the system does not allow the value: each client needs a descriptor.
    private func checkResources(
        _ directive: Directive, _ value: Directive.Value
    ) throws(Directive.Unacceptable) {
        guard directive.name == "maxclients", case .integer(let count) = value else { return }
        let possible = raiseDescriptorLimit(forClients: count)
        guard possible >= count else {
            throw Directive.Unacceptable(
                "The operating system is not able to handle the specified number of clients, "
                    + "try with \(possible)")
        }
    }

    /// Asks the system for descriptors for `count` clients. Returns the number of clients, at most
    /// `count`, that there are descriptors for.
    private func raiseDescriptorLimit(forClients count: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return count
        }
        let wanted = rlim_t(count + reservedDescriptors)
        // Why the hard limit too: a privileged process may raise it, as Redis does.
        for hard in [max(wanted, limit.rlim_max), limit.rlim_max] where limit.rlim_cur < wanted {
            var raised = rlimit(rlim_cur: min(wanted, hard), rlim_max: hard)
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 {
                limit = raised
            }
        }
        return min(count, max(0, Int(clamping: limit.rlim_cur) - reservedDescriptors))
    }

    /// At start: makes `dir` the working directory and stores its absolute path. Returns false,
    /// with errno set, if it cannot be entered.
    func enterDirectory() -> Bool {
        guard chdir(text("dir")) == 0 else { return false }
        if let directive = Directive.find("dir") {
            take([(directive, .text(TextFile.workingDirectory))])
        }
        return true
    }

    /// At start: makes room for `maxclients`, or lowers it to what the system allows and logs that.
    /// Throws if not even one client could be served.
    func fitClientsToSystem() throws(Server.StartError) {
        let wanted = integer("maxclients")
        let possible = raiseDescriptorLimit(forClients: wanted)
        guard possible > 0 else {
            throw .message(
                "the limit of open files (ulimit -n) is too low to serve anyone: "
                    + "\(wanted + reservedDescriptors) are wanted for maxclients \(wanted), and "
                    + "\(reservedDescriptors + 1) are the least")
        }
        guard possible < wanted, let directive = Directive.find("maxclients") else { return }
        Log.standard.write(
            .warning,
            "maxclients is \(possible) instead of \(wanted): the limit of open files is too low")
        take([(directive, .integer(possible))])
    }
}

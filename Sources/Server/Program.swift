// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Glibc

/// The program `martlet`: chooses the verb and runs it.
///
/// Every verb that concerns a server reads the same configuration as `serve`, from the same places,
/// so the environment of one container is enough for all of them.
public enum Program {
    /// The words behind the program's name.
    public static var arguments: [String] {
        (0..<martlet_argument_count()).dropFirst().map { index in
            // Safety: the index is below the count, and the words live as long as the process.
            String(cString: martlet_argument(index))
        }
    }

    /// Runs the verb and returns the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        let rest = Array(arguments.dropFirst())
        switch arguments.first {
        case "version", "--version", "-v":
            print("martlet \(Version.martlet) (compatible with Redis \(Version.redis))")
            return 0
        case "help", "--help", "-h":
            print(help)
            return 0
        case "commands": return listCommands(rest)
        case "healthcheck": return withConfiguration(rest, HealthCheck.run)
        case "postgres-setup": return setUpPostgres(rest)
        case "import":
            complain("import is not supported yet: this version cannot read dumps")
            return 1
        default: return withConfiguration(arguments, serve)
        }
    }

    /// How long the log's last lines may take at exit.
    private static let lastLinesMilliseconds: Milliseconds = 1000

    private static let help = """
        martlet \(Version.martlet): a multi-tenant cache that speaks Redis's protocol

        martlet [serve] [FILE] [--directive value ...]
            Serves, with directives as in redis.conf. The command line overrides
            MARTLET_DIRECTIVE_NAME in the environment, which overrides FILE.
        martlet healthcheck [FILE] [--directive value ...]
            Exits with 0 if the server with that configuration answers PING, else with 1.
        martlet postgres-setup --print|--apply [--teardown] [FILE] [--directive value ...]
            Prints or runs the SQL that makes the triggers that announce changed records,
            or with --teardown the SQL that removes them.
        martlet commands [--markdown]
            Lists all commands.
        martlet version
        """

    /// Calls `body` with the configuration, or prints what is wrong with it.
    private static func withConfiguration(
        _ arguments: [String], _ body: (Configuration) throws(Server.StartError) -> Int32
    ) -> Int32 {
        do throws(ConfigurationError) {
            let configuration = try Configuration(
                arguments: arguments, environment: Configuration.processEnvironment,
                settings: SettingsReference())
            do throws(Server.StartError) { return try body(configuration) } catch {
                if case .message(let text) = error { complain(text) }
            }
        } catch {
            complain(error.description)
        }
        return 1
    }

    private static func serve(_ configuration: Configuration) throws(Server.StartError) -> Int32 {
        try ProcessSetup.prepare(configuration)
        let server = try Server(configuration: configuration)
        ProcessSetup.writeProcessFile(configuration)
        let status = server.run()
        ProcessSetup.removeProcessFile(configuration)
        Log.standard.flush(milliseconds: lastLinesMilliseconds)
        return status
    }

    // MARK: - Commands

    private static func listCommands(_ options: [String]) -> Int32 {
        guard options.isEmpty || options == ["--markdown"] else {
            complain("commands takes only --markdown")
            return 1
        }
        let isMarkdown = !options.isEmpty
        var group = ""
        for entry in CommandTable(Families.all).all {
            if isMarkdown && entry.group != group {
                print("\(group.isEmpty ? "" : "\n")## \(entry.group)\n")
                group = entry.group
            }
            for command in entry.subcommands.isEmpty
                ? [entry] : entry.subcommands.map({ $0.pointee })
            {
                print(text(of: command.spec, isMarkdown: isMarkdown))
            }
        }
        return 0
    }

    private static func text(of spec: CommandSpec, isMarkdown: Bool) -> String {
        var call = spec.name.uppercased().split(separator: "|").joined(separator: " ")
        if !spec.usage.isEmpty {
            call += " " + spec.usage.split(separator: " ").map(withoutType).joined(separator: " ")
        }
        return isMarkdown ? "- `\(call)`: \(spec.summary)" : "\(call)\n    \(spec.summary)"
    }

    /// A reader sees `key` for `key:key`; see `CommandUsage`.
    private static func withoutType(_ word: Substring) -> String {
        let parts = word.split(separator: ":", maxSplits: 1)
        guard parts.count == 2 else { return String(word) }
        let isLetter = { (character: Character) in character.isLetter || character == "-" }
        guard types.contains(String(parts[1].prefix(while: isLetter))) else { return String(word) }
        return String(parts[0]) + parts[1].drop(while: isLetter)
    }

    private static let types: Set<String> = [
        "key", "string", "integer", "double", "unix-time", "pattern",
    ]

    // MARK: - PostgreSQL

    private static func setUpPostgres(_ arguments: [String]) -> Int32 {
        let own: Set<String> = ["--print", "--apply", "--teardown"]
        let options = Set(arguments.filter(own.contains))
        guard options.contains("--print") != options.contains("--apply") else {
            complain("postgres-setup takes either --print or --apply")
            return 1
        }
        return withConfiguration(arguments.filter { !own.contains($0) }) {
            configuration throws(Server.StartError) in
            try RecordSetup.run(
                configuration, isTeardown: options.contains("--teardown"),
                isApplied: options.contains("--apply"))
        }
    }

    static func complain(_ text: String) {
        var line = "martlet: \(text)\n"
        line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
    }
}

/// Ends the process with `status`. Main.swift needs nothing else from C.
public func exit(withStatus status: Int32) -> Never { Glibc.exit(status) }

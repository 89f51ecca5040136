// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc

/// The program `martlet`: which of its verbs was asked for.
public enum Program {
    /// Runs the verb and returns the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        switch arguments.first {
        case "version", "--version", "-v":
            print("martlet \(Version.martlet) (compatible with Redis \(Version.redis))")
            return 0
        default:
            return serve(arguments)
        }
    }

    private static func serve(_ arguments: [String]) -> Int32 {
        do throws(ConfigurationError) {
            let configuration = try Configuration(
                arguments: arguments, environment: Configuration.processEnvironment,
                settings: SettingsReference())
            do throws(Server.StartError) {
                return try Server(configuration: configuration).run()
            } catch {
                if case .message(let text) = error { complain(text) }
                return 1
            }
        } catch {
            complain(error.description)
            return 1
        }
    }

    static func complain(_ text: String) {
        var line = "martlet: \(text)\n"
        line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
    }
}

/// Ends the process with `status`; main.swift needs nothing else of C.
public func exit(withStatus status: Int32) -> Never { Glibc.exit(status) }

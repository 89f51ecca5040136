// SPDX-License-Identifier: Apache-2.0
import Glibc
import LoadKit

/// The program: options in, one run, a report out. The exit status is 0 if every request was
/// answered, 1 if not, 2 if the options are invalid or the run failed.
do {
    let options = try LoadOptions(arguments: Array(CommandLine.arguments.dropFirst()))
    if options.printsHelp {
        print(LoadOptions.help, terminator: "")
        exit(0)
    }
    let report = try Run(options).report()
    print(options.printsJSON ? report.json : report.text, terminator: "")
    exit(report.isComplete ? 0 : 1)
} catch let error as OptionError {
    complain(error.message)
} catch let error as LoadError {
    complain(error.message)
}

func complain(_ message: String) -> Never {
    writeToStandardError("martlet-benchmark: \(message)\n")
    exit(2)
}

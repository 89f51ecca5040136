// SPDX-License-Identifier: Apache-2.0
import Base

extension ReplyWriter {
    /// The answer of a container's HELP: a heading, the container's own lines, and those about HELP
    /// itself.
    public func help(_ container: StaticString, _ lines: [StaticString]) {
        array(lines.count + 3)
        var heading = Bytes(container).array
        heading += Array(" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".utf8)
        heading.withBytes { simple($0) }
        for line in lines { simple(line) }
        simple("HELP")
        simple("    Prints this help.")
    }
}

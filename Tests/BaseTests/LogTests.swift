// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Base

/// What a message from outside may write into the log.
@Suite struct LogTests {
    @Test(
        arguments: [
            (
                "a record names plan 'x\n1:M 01 Jan # forged'",
                "a record names plan 'x?1:M 01 Jan # forged'"
            ),
            ("\u{1b}[31mred\r\u{7f}\0", "?[31mred???"), ("\u{9b}2J", "?2J"),
            ("naïve 日本 …", "naïve 日本 …"), ("", ""),
        ])
    func aMessageIsOneLine(message: String, shown: String) {
        #expect(Log.withoutControls(message) == shown)
    }
}

// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Writes a line for people to read, in one call so that lines do not mix. A failure is not
/// reported, because there is nowhere left to report it.
func writeToStandardError(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

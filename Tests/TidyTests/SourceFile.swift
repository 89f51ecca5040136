// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A Swift file of the repository as lines, and again with strings and comments blanked out.
struct SourceFile {
    /// Relative to the repository's root.
    let path: String
    let lines: [String]
    /// The same lines with every letter of a string or a comment replaced by a space.
    let code: [String]

    init(path: String, text: String) {
        self.path = path
        var all = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if all.last == "" { all.removeLast() }
        lines = all
        code = SourceFile.blanked(all)
    }

    /// `path:line`, as compilers write it.
    func place(_ index: Int) -> String { "\(path):\(index + 1)" }

    /// Every Swift file below the folders that hold code.
    static func all() -> [SourceFile] {
        let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        var paths: [String] = []
        for folder in ["Sources", "Tests", "Benchmarks"] { collect(root, folder, &paths) }
        return paths.sorted().map { SourceFile(path: $0, text: read(root + "/" + $0)) }
    }

    private static func collect(_ root: String, _ folder: String, _ paths: inout [String]) {
        guard let directory = opendir(root + "/" + folder) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {  // Bound: the entries of the folder.
            let isFolder = entry.pointee.d_type == UInt8(DT_DIR)
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            if isFolder {
                collect(root, folder + "/" + name, &paths)
            } else if name.hasSuffix(".swift") {
                paths.append(folder + "/" + name)
            }
        }
    }

    private static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while true {  // Bound: the file's size.
            let count = fread(&block, 1, block.count, file)
            if count == 0 { break }
            bytes += block[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: - Strings and comments

    /// Handles line comments, strings with interpolations, and multi-line strings. Interpolated
    /// code counts as string.
    private static func blanked(_ lines: [String]) -> [String] {
        var isLongString = false
        return lines.map { line in
            if isLongString {
                if line.contains("\"\"\"") { isLongString = false }
                return String(repeating: " ", count: line.count)
            }
            let (text, opens) = blanked(line)
            isLongString = opens
            return text
        }
    }

    private static func blanked(_ line: String) -> (text: String, opensLongString: Bool) {
        let letters = Array(line)
        var blank = letters
        var index = 0
        while index < letters.count {
            if letters[index] == "/", index + 1 < letters.count, letters[index + 1] == "/" {
                for rest in index..<letters.count { blank[rest] = " " }
                break
            }
            guard letters[index] == "\"" else {
                index += 1
                continue
            }
            if letters[index...].starts(with: "\"\"\"") {
                for rest in index..<letters.count { blank[rest] = " " }
                return (String(blank), true)
            }
            let end = stringEnd(letters, index + 1)
            for inside in index..<min(end, letters.count) { blank[inside] = " " }
            index = end
        }
        return (String(blank), false)
    }

    /// The position behind the quote that closes a string which began before `start`.
    private static func stringEnd(_ letters: [Character], _ start: Int) -> Int {
        var index = start
        while index < letters.count {
            if letters[index] == "\\", index + 1 < letters.count {
                if letters[index + 1] == "(" {
                    index = interpolationEnd(letters, index + 2)
                    continue
                }
                index += 2
                continue
            }
            if letters[index] == "\"" { return index + 1 }
            index += 1
        }
        return index
    }

    private static func interpolationEnd(_ letters: [Character], _ start: Int) -> Int {
        var depth = 1
        var index = start
        while index < letters.count, depth > 0 {
            switch letters[index] {
            case "(": depth += 1
            case ")": depth -= 1
            case "\"":
                index = stringEnd(letters, index + 1)
                continue
            default: break
            }
            index += 1
        }
        return index
    }
}

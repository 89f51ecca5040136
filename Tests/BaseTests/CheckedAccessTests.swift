// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

/// Types marked `@safe` are safe: an access out of bounds stops the process.
@Suite struct CheckedAccessTests {
    @Test func elementsKeepTheirPlaces() {
        var made = 0
        let numbers = FixedArray<4, Int> {
            made += 1
            return made
        }
        numbers[2] = 30
        numbers.reference(3).pointee += 1
        #expect((0..<4).map { numbers[$0] } == [1, 2, 30, 5])
        #expect(FixedArray<4, Int>.count == 4)
    }

    @Test func noElementBeyondTheLast() async {
        await #expect(processExitsWith: .failure) {
            let numbers = FixedArray<4, Int> { 0 }
            numbers[numbers.reference(0).pointee + 4] = 1
        }
        await #expect(processExitsWith: .failure) {
            let numbers = FixedArray<4, Int> { -1 }
            _ = numbers.reference(numbers[0])
        }
    }

    @Test func anOffsetIsThatOfAPart() async {
        Array("abcdef".utf8).withBytes { whole in
            #expect(whole[2..<5].offset(in: whole) == 2)
            #expect(whole[6..<6].offset(in: whole) == 6)
        }
        await #expect(processExitsWith: .failure) {
            Array("abcdef".utf8).withBytes { whole in
                _ = whole.offset(in: whole[1..<6])
            }
        }
    }

    @Test func textInBothCases() {
        Array("Get-3é".utf8).withBytes {
            #expect($0.lowercased == "get-3é")
            #expect($0.uppercased == "GET-3é")
        }
        #expect("".withBytes { $0.isEmpty })
        #expect("ab".withBytes { $0.array } == [97, 98])
    }

    @Test func bytesAreInsertedBeforeWhatFollows() async {
        var buffer = ByteBuffer()
        buffer.append("-tail")
        buffer.insert(Array("head".utf8), at: 0)
        buffer.insert([], at: 3)
        buffer.insert(Array(repeating: 46, count: 300), at: 9)
        #expect(buffer.readable.string == "head-tail" + String(repeating: ".", count: 300))
        await #expect(processExitsWith: .failure) {
            var buffer = ByteBuffer()
            buffer.insert([1], at: 1)
        }
    }

    @Test func anUncountedObjectStays() {
        final class Counter: Sendable {
            let value = 7
        }
        weak var seen: Counter?
        func make() -> UncountedReference<Counter> {
            let counter = Counter()
            seen = counter
            return UncountedReference(keeping: counter)
        }
        let reference = make()
        #expect(seen != nil)
        #expect(reference.with { $0.value } == 7)
    }
}

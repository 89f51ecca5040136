// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// What is retired stays until every thread has been quiet.
///
/// The list is the process's, and other suites retire too: so these tests look for what must not
/// have been freed, by a thread that is never quiet meanwhile, and count nothing exactly.
@Suite(.serialized) struct ParticipantTests {
    @Test func aBlockStaysWhileSomebodyMayReadIt() {
        let reader = Reclamation.Participant()
        let other = Reclamation.Participant()
        reader.enter()
        let before = Reclamation.waitingCount
        let blocks = (0..<100).map { number in
            let block = Block.allocate(64)
            block.storeBytes(of: number, as: Int.self)
            return block
        }
        for block in blocks { Reclamation.retire(block) }
        #expect(Reclamation.waitingCount >= 100)
        other.enter()
        other.leave()
        #expect(Reclamation.waitingCount >= 100, "freed under a reader; \(before) waited before")
        for (number, block) in blocks.enumerated() {
            #expect(block.load(as: Int.self) == number, "freed under a reader")
        }
        reader.leave()
        reader.giveBack()
        other.giveBack()
    }

    @Test func aPlaceThatIsGivenBackIsUsedAgain() {
        let first = Reclamation.Participant()
        first.giveBack()
        var numbers = Set<Int>()
        for _ in 0..<1000 {
            let participant = Reclamation.Participant()
            numbers.insert(participant.number)
            participant.giveBack()
        }
        #expect(numbers.count < Reclamation.participantCountMax)
    }
}

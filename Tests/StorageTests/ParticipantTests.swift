// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// A retired block stays until every thread has passed a quiescent state.
///
/// The list belongs to the process, and other suites retire blocks too. So these tests check only
/// that nothing is freed while a thread is not quiescent, and count nothing exactly.
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

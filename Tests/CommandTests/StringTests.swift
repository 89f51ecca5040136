// SPDX-License-Identifier: Apache-2.0
import Testing

@Suite struct StringTests {
    @Test func missingKeyIsNull() {
        #expect(Database().run("GET", "a") == "$-1\r\n")
    }
}

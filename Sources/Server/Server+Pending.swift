// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Records
import Storage

// Replaced when the server family is merged.
extension Server {
    public func resetStatistics() {}
    public func information(_ sections: [String]) -> String { "" }
    public func saveTenants() -> String? { nil }
    func loadTenants() throws(StartError) {}
    public func invalidateRecord(id: [UInt8]) -> Int { 0 }
    public func recordStatistics() -> [[(name: String, value: String)]] { [] }
}

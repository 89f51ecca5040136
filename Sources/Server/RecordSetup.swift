// SPDX-License-Identifier: Apache-2.0
import Records

/// The verb `postgres-setup`: makes the triggers that announce changed records, for the sources and
/// the PostgreSQL server in the configuration.
enum RecordSetup {
    static func run(
        _ configuration: Configuration, isTeardown: Bool, isApplied: Bool
    ) throws(Server.StartError) -> Int32 {
        guard let sources = try Server.recordCatalog(configuration)?.sources else {
            throw .message("postgres-setup: no record-source is configured")
        }
        let text = isTeardown ? RecordTriggers.teardown(sources) : RecordTriggers.setup(sources)
        guard isApplied else {
            print(text, terminator: "")
            return 0
        }
        let url = configuration.text("postgres-url")
        guard !url.isEmpty else {
            throw .message(
                "postgres-setup needs postgres-url (or DATABASE_URL in the environment)")
        }
        do throws(RecordError) { try PostgresSetup.apply(text, url: url) } catch {
            throw .message(error.message)
        }
        let names = sources.map(\.name).joined(separator: ", ")
        print("\(isTeardown ? "removed" : "made") the triggers of \(names)")
        return 0
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The SQL that makes PostgreSQL announce changed rows, and the SQL that removes it.
///
/// Why statement triggers with transition tables: a statement that changes many rows sends one
/// notification, and one that changes no cached column sends none. The difference of old and new
/// rows contains a changed row's old and new images, so both its old and its new keys are
/// announced. The new key matters because it may have a negative entry.
///
/// The body is one function, because it runs as the role that writes the table. It contains its own
/// fingerprint. With it a server detects triggers made for other columns than it caches.
///
/// Invariants:
/// 1. Both texts can be run again.
/// 2. No payload exceeds 7,999 bytes, PostgreSQL's limit; one byte more would fail the writer's
///    statement.
public enum RecordTriggers {
    static let schema = "martlet"
    static let lockTimeoutSeconds = 5

    /// The four triggers of a source, by name.
    static func names(_ source: RecordSource) -> [String] {
        ["ins", "upd", "del", "trunc"].map { "martlet_\(source.name)_\($0)" }
    }

    static func function(_ source: RecordSource) -> String {
        RecordSQL.identifier(schema) + "." + RecordSQL.identifier(source.name + "_changed")
    }

    /// The lookup columns, each once.
    static func keyColumns(_ source: RecordSource) -> [String] {
        var columns: [String] = []
        for lookup in source.lookups where !columns.contains(lookup.column) {
            columns.append(lookup.column)
        }
        return columns
    }

    /// FNV-1a over the body, as sixteen hexadecimal digits after a word that occurs nowhere else.
    static func fingerprint(_ source: RecordSource) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in body(source).utf8 {
            // Bound: FNV's arithmetic is modulo 2^64.
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        let digits = String(hash, radix: 16)
        return "martlet-trigger-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The text that `martlet postgres-setup --print` prints and `--apply` runs.
    public static func setup(_ sources: [RecordSource]) -> String {
        var text = "begin;\nset local lock_timeout = '\(lockTimeoutSeconds)s';\n"
        text += "set local client_min_messages = warning;\n"
        text += "create schema if not exists \(RecordSQL.identifier(schema));\n"
        for source in sources { text += setup(source) }
        return text + "commit;\n"
    }

    /// The text that removes everything that `setup` makes.
    public static func teardown(_ sources: [RecordSource]) -> String {
        var text = "begin;\nset local lock_timeout = '\(lockTimeoutSeconds)s';\n"
        text += "set local client_min_messages = warning;\n"
        for source in sources {
            for name in names(source) {
                text += "drop trigger if exists \(RecordSQL.identifier(name)) "
                text += "on \(RecordSQL.table(source));\n"
            }
            text += "drop function if exists \(function(source))();\n"
        }
        text += """
            do $martlet$
            begin
              drop schema if exists \(RecordSQL.identifier(schema));
            exception when dependent_objects_still_exist then
              null;  -- another source, or somebody else, still lives there
            end
            $martlet$;
            commit;

            """
        return text
    }

    private static func setup(_ source: RecordSource) -> String {
        let table = RecordSQL.table(source)
        let triggers = names(source).map(RecordSQL.identifier)
        let run = "for each statement execute function \(function(source))();"
        var text = """

            -- Source \(source.name)
            create or replace function \(function(source))() returns trigger
            language plpgsql as $martlet$
            -- \(fingerprint(source))
            \(body(source))
            $martlet$;

            create or replace trigger \(triggers[0]) after insert on \(table)
              referencing new table as new_rows
              \(run)
            create or replace trigger \(triggers[1]) after update on \(table)
              referencing old table as old_rows new table as new_rows
              \(run)
            create or replace trigger \(triggers[2]) after delete on \(table)
              referencing old table as old_rows
              \(run)
            create or replace trigger \(triggers[3]) after truncate on \(table)
              \(run)

            -- Fire also for sessions with session_replication_role = replica.

            """
        for trigger in triggers {
            text += "alter table \(table) enable always trigger \(trigger);\n"
        }
        return text
    }

    /// The text of a row that an UPDATE compares in addition to its lookup columns.
    private static func image(_ source: RecordSource) -> String {
        guard !source.columns.isEmpty else { return "r::text" }
        var columns = source.columns
        for column in [source.tenantColumn, source.planColumn] {
            if let column, !columns.contains(column) { columns.append(column) }
        }
        columns.removeAll { keyColumns(source).contains($0) }
        guard !columns.isEmpty else { return "''" }
        return "row(" + columns.map { "r." + RecordSQL.identifier($0) }.joined(separator: ", ")
            + ")::text"
    }

    private static func body(_ source: RecordSource) -> String {
        let columns = keyColumns(source)
        let variables = columns.indices.map { "martlet_keys_\($0)" }
        let declared = variables.map { "  \($0) text[];" }.joined(separator: "\n")
        let into = variables.joined(separator: ", ")
        let gathered = columns.map { column in
            let name = "r.\(RecordSQL.identifier(column))::text"
            return "array_agg(distinct \(name)) filter (where \(name) is not null)"
        }.joined(separator: ",\n           ")
        let differing = columns.indices.map { index in
            "array_agg(distinct d.k\(index)) filter (where d.k\(index) is not null)"
        }.joined(separator: ",\n           ")
        let sides = columns.enumerated().map { index, column in
            "r.\(RecordSQL.identifier(column))::text as k\(index)"
        }.joined(separator: ", ")
        let everything = RecordSQL.literal(source.name + ":*")
        return """
            declare
            \(declared)
              martlet_payload text;
            begin
              if tg_op = 'INSERT' then
                select \(gathered)
                  into \(into) from new_rows r;
              elsif tg_op = 'DELETE' then
                select \(gathered)
                  into \(into) from old_rows r;
              elsif tg_op = 'UPDATE' then
                -- Rows whose cached columns did not change are on both sides: EXCEPT removes them.
                with o as (select \(sides), \(image(source)) as img from old_rows r),
                     n as (select \(sides), \(image(source)) as img from new_rows r),
                     d as ((table o except table n) union all (table n except table o))
                select \(differing)
                  into \(into) from d;
              else
                perform pg_notify('\(RecordSQL.channel)', \(everything));
                return null;
              end if;

              if coalesce(\(into)) is null then
                return null;
              end if;

            \(announcement(source, variables))
            end
            """
    }

    /// The end of the body: one notification if it fits, several if there are many keys, and one
    /// for the whole source if there are too many or a key is too long.
    private static func announcement(_ source: RecordSource, _ variables: [String]) -> String {
        let labels = keyColumns(source).map(RecordSQL.literal)
        let object = zip(labels, variables).map { "\($0), \($1)" }.joined(separator: ", ")
        let all = variables.joined(separator: " || ")
        let parts = zip(labels, variables).map { "select \($0)::text, unnest(\($1))" }
            .joined(separator: "\n                       union all ")
        let prefix = RecordSQL.literal(source.name + ":")
        let everything = RecordSQL.literal(source.name + ":*")
        return """
              if cardinality(\(all)) <= 15000 then
                martlet_payload := \(prefix) || json_build_object(\(object))::text;
                if octet_length(martlet_payload) < 8000 then
                  perform pg_notify('\(RecordSQL.channel)', martlet_payload);
                  return null;
                end if;
                if not exists (select 1 from unnest(\(all)) u(k)
                                where octet_length(to_json(u.k)::text) > 700) then
                  perform pg_notify('\(RecordSQL.channel)',
                                    \(prefix) || json_build_object(s.col, json_agg(s.k))::text)
                     from (select u.col, u.k,
                                  sum(octet_length(to_json(u.k)::text) + 2)
                                    over (partition by u.col rows unbounded preceding)
                                    / 7000 as part
                             from (    \(parts)) u(col, k)) s
                    group by s.col, s.part;
                  return null;
                end if;
              end if;

              perform pg_notify('\(RecordSQL.channel)', \(everything));
              return null;
            """
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The statements of the records thread, made from a source.
///
/// Why no casts on the parameter: the server infers its type from the column. So a `uuid` or
/// `bigint` column is compared in its own type and its index is used. Lookup columns are returned
/// as text. A row belongs to a requested value only if that text equals it byte for byte. So
/// `tenant:id:007` is not row 7, and each row has exactly one name per lookup.
///
/// Layout of a result row: one text per lookup, then tenant, plan, and the value's JSON.
enum RecordSQL {
    /// The channel on which the triggers send notifications.
    static let channel = "martlet"

    static func identifier(_ name: String) -> String {
        "\""
            + name.split(separator: "\"", omittingEmptySubsequences: false).joined(
                separator: "\"\"") + "\""
    }

    static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
            + "'"
    }

    static func table(_ source: RecordSource) -> String {
        guard let schema = source.schema else { return identifier(source.table) }
        return identifier(schema) + "." + identifier(source.table)
    }

    /// Loads by one lookup column: `$1` is an array of its values.
    static func load(_ source: RecordSource, lookup: Int) -> String {
        var outputs = source.lookups.map { "t.\(identifier($0.column))::text" }
        for column in [source.tenantColumn, source.planColumn] {
            outputs.append(column.map { "t.\(identifier($0))::text" } ?? "null::text")
        }
        var from = "\(table(source)) t"
        if source.columns.isEmpty {
            outputs.append("row_to_json(t)::text")
        } else {
            let columns = source.columns.map { "t." + identifier($0) }.joined(separator: ", ")
            outputs.append("row_to_json(x)::text")
            from += " cross join lateral (select \(columns)) x"
        }
        let column = identifier(source.lookups[lookup].column)
        return "select \(outputs.joined(separator: ", ")) from \(from) where t.\(column) = any($1)"
    }

    /// An array in PostgreSQL's text form.
    static func array(_ values: [[UInt8]]) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for (index, value) in values.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text.append(UInt8(ascii: "\""))
            for byte in value {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                    text.append(UInt8(ascii: "\\"))
                }
                text.append(byte)
            }
            text.append(UInt8(ascii: "\""))
        }
        text.append(UInt8(ascii: "}"))
        return text
    }

    /// One row: whether the table exists and is plain, how many triggers are always enabled, how
    /// many run this configuration's function, and a text that changes with the table: when it is
    /// created again, altered or rewritten, or when a trigger was disabled meanwhile.
    static func tableCheck(_ source: RecordSource) -> String {
        let names = RecordTriggers.names(source).map(literal).joined(separator: ", ")
        let fingerprint = literal(RecordTriggers.fingerprint(source))
        return """
            select c.relkind = 'r'
                     and not exists (select 1 from pg_inherits i where i.inhparent = c.oid),
                   (select count(*) from pg_trigger g
                     where g.tgrelid = c.oid and g.tgenabled = 'A' and g.tgname in (\(names))),
                   (select count(*) from pg_trigger g join pg_proc p on p.oid = g.tgfoid
                     where g.tgrelid = c.oid and g.tgname in (\(names))
                       and position(\(fingerprint) in p.prosrc) > 0),
                   concat_ws(' ', c.oid, c.relfilenode,
                     (select string_agg(concat(a.attnum, ' ', a.xmin), ',' order by a.attnum)
                        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0),
                     (select string_agg(concat(g.oid, ' ', g.xmin), ',' order by g.oid)
                        from pg_trigger g where g.tgrelid = c.oid and g.tgname in (\(names))))
              from pg_class c where c.oid = to_regclass(\(literal(table(source))))
            """
    }

    static let settingsCheck = """
        select name, setting from pg_settings
         where name in ('lock_timeout', 'statement_timeout', 'default_transaction_read_only')
        """
}

// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Records

/// Directives, keys, SQL texts and payloads, without a server.
@Suite struct SourceTests {
    private func parse(_ text: String) throws -> RecordSource {
        try RecordSource(arguments: text.split(separator: " ").map(String.init))
    }

    @Test func aSmallDirectiveHasDefaults() throws {
        let source = try parse("tenants table=app.tenants key=tenant:id:{id} key=t:{sub}:row")
        #expect(
            source.schema == "app" && source.table == "tenants" && source.identityColumn == "id")
        #expect(source.columns.isEmpty && source.format == .json && source.planColumn == nil)
        #expect(source.timeToLiveMilliseconds == 3_600_000)
        #expect(source.negativeTimeToLiveMilliseconds == 60_000)
        #expect(source.staleTimeToLiveMilliseconds == 0)
        #expect(source.lookups[1].key(for: Array("x".utf8)) == Array("t:x:row".utf8))
    }

    @Test(arguments: [
        ("", "record-source: a name is wanted first, as in 'record-source tenants table=…'"),
        (
            "table=t",
            "record-source: a name is wanted first, as in 'record-source tenants table=…'"
        ),
        ("a/b table=t", "record-source a/b: a name is up to 40 letters, digits, '_' and '-'"),
        ("probe table=t", "record-source probe: this name is reserved"),
        ("t key=a:{id}", "record-source t: table= is missing"),
        ("t table=t", "record-source t: key= is missing"),
        ("t table=t table=u", "record-source t: table= is given twice"),
        ("t table=", "record-source t: table= has no value"),
        ("t table=a.b.c", "record-source t: table=a.b.c is not TABLE or SCHEMA.TABLE"),
        ("t table=t$x", "record-source t: 't$x' in table=t$x is not a name that can be used here"),
        ("t key=id", "record-source t: key=id needs one column in braces, as in tenant:id:{id}"),
        (
            "t key=a:{b}{c}",
            "record-source t: key=a:{b}{c} needs one column in braces, as in tenant:id:{id}"
        ),
        ("t key={id}", "record-source t: key={id} needs literal text before its column"),
        ("t key=a:{}", "record-source t: '' in key=a:{} is not a name that can be used here"),
        (
            "t columns=a,,b",
            "record-source t: '' in columns=a,,b is not a name that can be used here"
        ),
        ("t columns=a,a", "record-source t: columns=a,a names a column twice"),
        ("t format=xml", "record-source t: format=xml is neither json nor hash"),
        ("t ttl=0", "record-source t: ttl=0 is not a number of seconds from 1 to 315360000"),
        (
            "t stale-ttl=-1",
            "record-source t: stale-ttl=-1 is not a number of seconds from 0 to 315360000"
        ),
        ("t tll=3", "record-source t: there is no setting 'tll='"),
        ("t fast", "record-source t: 'fast' is not of the form setting=value"),
        (
            "t table=t key=a:{id} plan=p",
            "record-source t: plan= needs tenant=, the column that names whose plan it is"
        ),
    ])
    func aWrongDirectiveIsRefused(text: String, message: String) {
        let error = #expect(throws: RecordError.self) { try parse(text) }
        #expect(error?.message == message)
    }

    @Test func aCatalogRefusesWhatCannotBeToldApart() throws {
        let first = try parse("a table=t key=x:{id}:y")
        let twin = try parse("b table=u key=x:{other}:y")
        #expect(throws: RecordError("record-source a: a source of this name exists already")) {
            try RecordCatalog([first, first])
        }
        let text =
            "record-source b: key=x:{other}:y names the same keys as key=x:{id}:y of source a"
        #expect(throws: RecordError(text)) { try RecordCatalog([first, twin]) }
    }

    @Test func theLongestPatternOwnsAKey() throws {
        let catalog = try RecordCatalog([
            try parse("a table=t key=tenant:{any} key=tenant:id:{id} key=u:{x}:end"),
            try parse("b table=u key=tenant:id:{id}:more key=\u{ff}:{id}"),
        ])
        func owner(_ key: String) -> [Int]? {
            catalog.matcher.match(Array(key.utf8)).map { [$0.source, $0.lookup, $0.start, $0.end] }
        }
        #expect(owner("tenant:5") == [0, 0, 7, 8])
        #expect(owner("tenant:id:5") == [0, 1, 10, 11])
        #expect(owner("tenant:id:5:more") == [1, 0, 10, 11])
        #expect(owner("tenant:id:") == [0, 0, 7, 10])
        #expect(owner("u:5:end") == [0, 2, 2, 3])
        #expect(owner("u:\0\n:end") == [0, 2, 2, 4])
        for key in ["", "t", "tenant:", "u::end", "u:5:en", "user:5", "Tenant:5", "v:5:end"] {
            #expect(owner(key) == nil)
        }
        #expect(try RecordCatalog([]).matcher.match([0]) == nil)
    }

    @Test func sqlQuotesWhatItIsGiven() throws {
        let source = try parse("t table=S.or'der key=k:{i'd} columns=a tenant=x")
        #expect(
            RecordSQL.load(source, lookup: 0)
                == "select t.\"i'd\"::text, t.\"x\"::text, null::text, row_to_json(x)::text from "
                + "\"S\".\"or'der\" t cross join lateral (select t.\"a\") x "
                + "where t.\"i'd\" = any($1)"
        )
        #expect(RecordSQL.literal("a'b") == "'a''b'")
        #expect(RecordSQL.array([Array(#"a"\,{}"#.utf8), []]) == Array(#"{"a\"\\,{}",""}"#.utf8))
    }

    @Test func theFingerprintFollowsTheConfiguration() throws {
        let one = try parse("t table=t key=k:{id} columns=a,b")
        let two = try parse("t table=t key=k:{id} columns=a,c")
        let slow = try parse("t table=t key=k:{id} columns=a,b ttl=5")
        #expect(RecordTriggers.fingerprint(one) != RecordTriggers.fingerprint(two))
        #expect(RecordTriggers.fingerprint(one) == RecordTriggers.fingerprint(slow))
    }

    @Test func notificationsAreReadOrTakenForEverything() throws {
        let catalog = try RecordCatalog([try parse("t table=t key=k:{id}")])
        func read(_ text: String) -> RecordNotification {
            RecordNotification(Array(text.utf8), catalog: catalog)
        }
        let odd = Array("a\",\n\\é😀".utf8)
        #expect(
            read(#"t:{"id" : ["a\",\n\\\u00e9\ud83d\ude00","b"], "sub":null, "x":[]}"#)
                == .keys(source: 0, columns: ["id": [odd, Array("b".utf8)], "sub": [], "x": []]))
        #expect(read("t:{}") == .keys(source: 0, columns: [:]))
        #expect(read("t:*") == .source(0, isUnderstood: true))
        #expect(read("probe:xy") == .probe(Array("xy".utf8)))
        #expect(read("other:*") == .foreign)
        #expect(read("nonsense") == .unintelligible)
        let whole = #"t:{"id":["a","b"]}"#
        for count in 2..<whole.utf8.count {
            #expect(read(String(whole.prefix(count))) == .source(0, isUnderstood: false))
        }
        for text in [#"{"id":"a"}"#, #"{"id":[1]}"#, #"{"id":["a"]}x"#, #"{"id":["\x"]}"#, "[]"] {
            #expect(read("t:" + text) == .source(0, isUnderstood: false))
        }
    }

    @Test func rowsBecomeFields() {
        let json = #"{"a":"x\ty","n":null,"i":9007199254740993,"b":true,"o":{"k": [1,"}"]},"e":""}"#
        let fields = RecordJSON.fields(Array(json.utf8))?.map {
            String(decoding: $0.name + Array("=".utf8) + $0.value, as: UTF8.self)
        }
        #expect(fields == ["a=x\ty", "i=9007199254740993", "b=true", #"o={"k": [1,"}"]}"#, "e="])
        for count in 0..<json.utf8.count {
            #expect(RecordJSON.fields(Array(json.utf8.prefix(count))) == nil)
        }
    }
    @Test func escapesAreFourDigits() {
        let fields = RecordJSON.fields(Array(#"{"a":"\u00e9\ud83D\uDE00"}"#.utf8))
        #expect(fields?.first?.value == Array("é😀".utf8))
        for escape in [#"\u+123"#, #"\u-001"#, #"\u12 4"#, #"\u12g4"#, #"\ud83d"#, #"\ud83dx"#] {
            #expect(RecordJSON.fields(Array(#"{"a":"\#(escape)"}"#.utf8)) == nil)
        }
    }
}

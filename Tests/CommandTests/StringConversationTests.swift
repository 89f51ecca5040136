// SPDX-License-Identifier: Apache-2.0
import Testing

/// Strings as conversations: the request, `=>`, and the reply with its line ends as spaces. The
/// replies are those that redis-server 7.0.15 gave to the same requests; HASH, EXPIRY and ENCODING
/// are the tests' own.
@Suite struct StringConversationTests {
    @Test func setAndItsOptions() {
        Database.converse(
            """
            SET a 1 => +OK
            GET a => $1 1
            SET a 2 NX => $-1
            SET b 3 NX => +OK
            SET c 4 XX => $-1
            GET c => $-1
            SET a 5 XX => +OK
            SET a 6 GET => $1 5
            SET d 7 GET => $-1
            SET d 8 NX GET => $1 7
            GET d => $1 7
            SET e 9 NX GET => $-1
            GET e => $1 9
            SET f 1 XX GET => $-1
            GET f => $-1
            SET a 1 get nx => $1 6
            SET a 1 NX XX => -ERR syntax error
            SET a 1 XX NX => -ERR syntax error
            SET a 1 NX NX => $-1
            SET a 1 FOO => -ERR syntax error
            SET a 1 PERSIST => -ERR syntax error
            SET a 1 EX => -ERR syntax error
            SET a '' => +OK
            GET a => $0
            """)
    }

    @Test func setWithAnExpiry() {
        Database.converse(
            """
            SET a 1 EX 10 => +OK
            EXPIRY a => :10000
            SET a 2 KEEPTTL => +OK
            EXPIRY a => :10000
            SET a 2 PX 1500 => +OK
            EXPIRY a => :1500
            SET a 3 => +OK
            EXPIRY a => :-1
            SET a 3 EX 10 EX 20 => +OK
            EXPIRY a => :20000
            SET a 1 EX 10 PX 10 => -ERR syntax error
            SET a 1 EX 10 KEEPTTL => -ERR syntax error
            SET a 1 KEEPTTL EX 10 => -ERR syntax error
            SET a 1 KEEPTTL KEEPTTL => +OK
            SET a 1 EX 0 => -ERR invalid expire time in 'set' command
            SET a 1 EX -1 => -ERR invalid expire time in 'set' command
            SET a 1 EX x => -ERR value is not an integer or out of range
            SET a 1 PX 9223372036854775807 => -ERR invalid expire time in 'set' command
            SET a 1 EX 9223372036854775 => -ERR invalid expire time in 'set' command
            SET a 1 EX 9223372036854775807 => -ERR invalid expire time in 'set' command
            SET a 1 EXAT 9223372036854776 => -ERR invalid expire time in 'set' command
            SET a 1 EXAT 99999999999999999999 => -ERR value is not an integer or out of range
            SET a 1 PXAT 9223372036854775807 => +OK
            SET a 1 PXAT 0 => -ERR invalid expire time in 'set' command
            SET a 1 EXAT -5 => -ERR invalid expire time in 'set' command
            GET a => $1 1
            SET a 1 EXAT 1 => +OK
            GET a => $-1
            EXPIRY a => :-2
            SET b v => +OK
            SET b w NX EXAT 1 => $-1
            GET b => $1 v
            SET b w EXAT 1 GET => $1 v
            GET b => $-1
            """)
    }

    @Test func setexAndPsetex() {
        Database.converse(
            """
            SETEX a 10 x => +OK
            EXPIRY a => :10000
            PSETEX a 10000 y => +OK
            EXPIRY a => :10000
            GET a => $1 y
            SETEX a 0 x => -ERR invalid expire time in 'setex' command
            SETEX a -1 x => -ERR invalid expire time in 'setex' command
            SETEX a x x => -ERR value is not an integer or out of range
            SETEX a 9223372036854775807 x => -ERR invalid expire time in 'setex' command
            PSETEX a 0 x => -ERR invalid expire time in 'psetex' command
            PSETEX a 9223372036854775807 x => -ERR invalid expire time in 'psetex' command
            SETNX a 1 => :0
            SETNX b 1 => :1
            GET b => $1 1
            """)
    }

    @Test func getexGetdelGetset() {
        Database.converse(
            """
            SET a 10 => +OK
            GETEX a => $2 10
            GETEX a EX 10 => $2 10
            EXPIRY a => :10000
            GETEX a => $2 10
            EXPIRY a => :10000
            GETEX a PERSIST => $2 10
            EXPIRY a => :-1
            GETEX a PERSIST PERSIST => $2 10
            GETEX a PX 500 => $2 10
            EXPIRY a => :500
            GETEX a PXAT 9223372036854775807 => $2 10
            GETEX a EX 0 => -ERR invalid expire time in 'getex' command
            GETEX a EX x => -ERR value is not an integer or out of range
            GETEX a EX 9223372036854775807 => -ERR invalid expire time in 'getex' command
            GETEX a PERSIST EX 10 => -ERR syntax error
            GETEX a EX 10 PERSIST => -ERR syntax error
            GETEX a EX 10 PX 10 => -ERR syntax error
            GETEX a KEEPTTL => -ERR syntax error
            GETEX a NX => -ERR syntax error
            GETEX a GET => -ERR syntax error
            GETEX a EX => -ERR syntax error
            GETEX a EXAT 1 => $2 10
            GET a => $-1
            GETEX missing EX 0 => $-1
            GETEX missing EX x => $-1
            GETEX missing FOO => -ERR syntax error
            SET a 1 EX 10 => +OK
            GETSET a 2 => $1 1
            EXPIRY a => :-1
            GETSET b 3 => $-1
            GETDEL a => $1 2
            GETDEL a => $-1
            GET b => $1 3
            """)
    }

    @Test func wrongTypes() {
        Database.converse(
            """
            HASH h => +OK
            GET h => -WRONGTYPE Operation against a key holding the wrong kind of value
            SET h x GET => -WRONGTYPE Operation against a key holding the wrong kind of value
            SET h x NX GET => -WRONGTYPE Operation against a key holding the wrong kind of value
            SET h x XX GET => -WRONGTYPE Operation against a key holding the wrong kind of value
            SET h x NX => $-1
            SET h x EX 0 GET => -ERR invalid expire time in 'set' command
            GETEX h => -WRONGTYPE Operation against a key holding the wrong kind of value
            GETEX h EX 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
            GETDEL h => -WRONGTYPE Operation against a key holding the wrong kind of value
            GETSET h x => -WRONGTYPE Operation against a key holding the wrong kind of value
            GETRANGE h 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
            GETRANGE h x 1 => -ERR value is not an integer or out of range
            SETRANGE h 5 '' => -WRONGTYPE Operation against a key holding the wrong kind of value
            SETRANGE h 0 x => -WRONGTYPE Operation against a key holding the wrong kind of value
            SETRANGE h 536870912 x => -WRONGTYPE Operation against a key holding the wrong kind \
            of value
            APPEND h x => -WRONGTYPE Operation against a key holding the wrong kind of value
            STRLEN h => -WRONGTYPE Operation against a key holding the wrong kind of value
            INCR h => -WRONGTYPE Operation against a key holding the wrong kind of value
            INCRBY h x => -ERR value is not an integer or out of range
            INCRBYFLOAT h x => -WRONGTYPE Operation against a key holding the wrong kind of value
            INCRBYFLOAT h 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
            SETNX h x => :0
            MGET h => *1 $-1
            LCS h h => -ERR The specified keys must contain string values
            SET h x => +OK
            GET h => $1 x
            HASH i => +OK
            MSET i 1 => +OK
            GET i => $1 1
            """)
    }

    @Test func ranges() {
        Database.converse(
            """
            SET a ohmytext => +OK
            GETRANGE a 0 2 => $3 ohm
            SUBSTR a 0 2 => $3 ohm
            GETRANGE a -3 -1 => $3 ext
            GETRANGE a -100 100 => $8 ohmytext
            GETRANGE a 5 3 => $0
            GETRANGE a -1 -3 => $0
            GETRANGE a -9223372036854775808 9223372036854775807 => $8 ohmytext
            GETRANGE a -1 -100 => $0
            GETRANGE a -100 -50 => $1 o
            GETRANGE a 100 200 => $0
            GETRANGE a x 1 => -ERR value is not an integer or out of range
            GETRANGE a 1 x => -ERR value is not an integer or out of range
            GETRANGE missing 0 -1 => $0
            GETRANGE missing x 1 => -ERR value is not an integer or out of range
            SET n 12345 => +OK
            GETRANGE n 1 3 => $3 234
            GETRANGE n -2 -1 => $2 45
            SET empty '' => +OK
            GETRANGE empty 0 -1 => $0
            STRLEN a => :8
            STRLEN n => :5
            STRLEN missing => :0
            SET n -9223372036854775808 => +OK
            STRLEN n => :20
            """)
    }

    @Test func setrangeAndAppend() {
        Database.converse(
            """
            SETRANGE a 2 xy => :4
            STRLEN a => :4
            GETRANGE a 2 -1 => $2 xy
            SETRANGE a 0 AB => :4
            GET a => $4 ABxy
            SETRANGE a 3 ZZZ => :6
            GET a => $6 ABxZZZ
            SETRANGE a 1 '' => :6
            SETRANGE missing 5 '' => :0
            GET missing => $-1
            SETRANGE a -1 x => -ERR offset is out of range
            SETRANGE missing -1 '' => -ERR offset is out of range
            SETRANGE a x '' => -ERR value is not an integer or out of range
            SETRANGE a 536870911 xx => -ERR string exceeds maximum allowed size \
            (proto-max-bulk-len)
            SETRANGE missing 536870912 x => -ERR string exceeds maximum allowed size \
            (proto-max-bulk-len)
            SETRANGE a 9223372036854775807 x => -ERR string exceeds maximum allowed size \
            (proto-max-bulk-len)
            SET n 12345 => +OK
            SETRANGE n 0 9 => :5
            ENCODING n => +raw
            GET n => $5 92345
            SET n 12345 => +OK
            SETRANGE n 2 '' => :5
            ENCODING n => +int
            APPEND n '' => :5
            ENCODING n => +raw
            APPEND n 67 => :7
            GET n => $7 1234567
            INCR n => :1234568
            ENCODING n => +int
            APPEND new 12 => :2
            ENCODING new => +int
            APPEND new xy => :4
            ENCODING new => +raw
            GET new => $4 12xy
            APPEND none '' => :0
            GET none => $0
            SETEX t 100 x => +OK
            APPEND t y => :2
            SETRANGE t 0 z => :2
            EXPIRY t => :100000
            GET t => $2 zy
            SET i 7 EX 100 => +OK
            APPEND i 8 => :2
            EXPIRY i => :100000
            """)
    }

    @Test func counters() {
        Database.converse(
            """
            INCR a => :1
            INCR a => :2
            DECR a => :1
            INCRBY a 41 => :42
            DECRBY a 2 => :40
            DECRBY a -2 => :42
            DECR missing => :-1
            GET a => $2 42
            ENCODING a => +int
            SET a 9223372036854775807 => +OK
            INCR a => -ERR increment or decrement would overflow
            INCRBY a 1 => -ERR increment or decrement would overflow
            DECRBY a -1 => -ERR increment or decrement would overflow
            DECRBY a -9223372036854775808 => -ERR decrement would overflow
            DECR a => :9223372036854775806
            SET a -9223372036854775808 => +OK
            DECR a => -ERR increment or decrement would overflow
            INCRBY a -1 => -ERR increment or decrement would overflow
            INCRBY a 9223372036854775807 => :-1
            INCRBY a x => -ERR value is not an integer or out of range
            INCRBY missing2 x => -ERR value is not an integer or out of range
            INCRBY a 99999999999999999999 => -ERR value is not an integer or out of range
            SET a ' 1' => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a abc => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a 01 => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a -0 => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a +1 => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a '' => +OK
            INCR a => -ERR value is not an integer or out of range
            SET a 5 EX 10 => +OK
            INCR a => :6
            EXPIRY a => :10000
            """)
    }

    @Test func floats() {
        Database.converse(
            """
            INCRBYFLOAT f 10.50 => $4 10.5
            INCRBYFLOAT f 0.1 => $4 10.6
            INCRBYFLOAT f -5 => $3 5.6
            INCRBYFLOAT f 5.0e3 => $22 5005.60000000000000009
            INCRBYFLOAT f -5005.6 => $1 0
            INCRBYFLOAT g 3.0 => $1 3
            ENCODING g => +embstr
            INCRBYFLOAT g 1 => $1 4
            ENCODING g => +embstr
            INCR g => :5
            ENCODING g => +int
            INCRBYFLOAT g 1.5 => $3 6.5
            INCRBYFLOAT g inf => -ERR increment would produce NaN or Infinity
            INCRBYFLOAT g -inf => -ERR increment would produce NaN or Infinity
            INCRBYFLOAT g nan => -ERR value is not a valid float
            INCRBYFLOAT g ' 1' => -ERR value is not a valid float
            INCRBYFLOAT g '1 ' => -ERR value is not a valid float
            INCRBYFLOAT g '' => -ERR value is not a valid float
            INCRBYFLOAT g 1e5000 => -ERR value is not a valid float
            INCRBYFLOAT missing x => -ERR value is not a valid float
            SET g abc => +OK
            INCRBYFLOAT g 1 => -ERR value is not a valid float
            SET g inf => +OK
            INCRBYFLOAT g 1 => -ERR increment would produce NaN or Infinity
            SET g 1 EX 10 => +OK
            INCRBYFLOAT g 0.000000000000000001 => $1 1
            INCRBYFLOAT g 0.00000000000000002 => $19 1.00000000000000002
            INCRBYFLOAT g 1e17 => $18 100000000000000001
            EXPIRY g => :10000
            """)
    }

    @Test func manyKeys() {
        Database.converse(
            """
            MSET a 1 b two => +OK
            MGET a b missing a => *4 $1 1 $3 two $-1 $1 1
            MSET a 1 b => -ERR wrong number of arguments for 'mset' command
            MSETNX a 1 b => -ERR wrong number of arguments for 'msetnx' command
            MSETNX z 1 z 2 => :1
            GET z => $1 2
            MSETNX z 1 y 2 => :0
            GET y => $-1
            MSET a 1 a 2 a 3 => +OK
            GET a => $1 3
            SET t 1 EX 10 => +OK
            MSET t 2 => +OK
            EXPIRY t => :-1
            """)
    }

    @Test func encodings() {
        Database.converse(
            """
            SET e 20 => +OK
            ENCODING e => +int
            SET e 21 => +OK
            ENCODING e => +int
            SET e 12345678901234567890123456789012345678901234 => +OK
            ENCODING e => +embstr
            SET e 123456789012345678901234567890123456789012345 => +OK
            ENCODING e => +raw
            SET e 9223372036854775808 => +OK
            ENCODING e => +embstr
            GETSET e 30 => $19 9223372036854775808
            ENCODING e => +int
            SET e 007 => +OK
            ENCODING e => +embstr
            """)
    }

    @Test func longestCommonSubsequence() {
        Database.converse(
            """
            MSET a ohmytext b mynewtext => +OK
            LCS a b => $6 mytext
            LCS a b LEN => :6
            LCS a b IDX => *4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6
            LCS a b IDX MINMATCHLEN 4 => *4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6
            LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => *4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 \
            $3 len :6
            LCS a b IDX WITHMATCHLEN MINMATCHLEN 2 => *4 $7 matches *2 *3 *2 :4 :7 *2 :5 :8 :4 \
            *3 *2 :2 :3 *2 :0 :1 :2 $3 len :6
            LCS a b MINMATCHLEN -5 IDX => *4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 \
            :0 :1 $3 len :6
            LCS a b WITHMATCHLEN => $6 mytext
            LCS a b LEN WITHMATCHLEN => :6
            LCS a b LEN IDX => -ERR If you want both the length and indexes, please just use IDX.
            LCS a b MINMATCHLEN => -ERR syntax error
            LCS a b MINMATCHLEN x => -ERR value is not an integer or out of range
            LCS a b FOO => -ERR syntax error
            LCS a a IDX => *4 $7 matches *1 *2 *2 :0 :7 *2 :0 :7 $3 len :8
            LCS missing b => $0
            LCS missing b IDX => *4 $7 matches *0 $3 len :0
            LCS missing missing2 LEN => :0
            MSET n 12345 m 2347 => +OK
            LCS n m => $3 234
            LCS n m IDX => *4 $7 matches *1 *2 *2 :1 :3 *2 :0 :2 $3 len :3
            MSET x abcabba y cbabac => +OK
            LCS x y => $4 cbba
            LCS x y IDX => *4 $7 matches *3 *2 *2 :5 :6 *2 :3 :4 *2 *2 :4 :4 *2 :1 :1 *2 *2 :2 \
            :2 *2 :0 :0 $3 len :4
            """)
    }
}

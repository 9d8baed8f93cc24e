//! The grammar against the decisions, digests and texts of nats-server 2.15.1.

use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::{Data, Map, Surroundings, digest, parse};
use crate::config::{ConfigError, check_bytes};

/// The files of these tests.
fn file(path: &Path) -> io::Result<&'static str> {
    match path.to_str() {
        Some("inc.conf" | "/inc.conf") => Ok("port: 4333\n"),
        Some("incmap.conf") => Ok("a: b\n"),
        Some("./bad.conf") => Ok("port: [\n"),
        Some("vars.conf") => Ok("X=5\n"),
        Some("usev.conf") => Ok("port: $OUT\n"),
        Some("m.conf") => Ok("x: $OUT\n"),
        Some("sub/i.conf") => Ok("include 'j.conf'\n"),
        Some("sub/j.conf") => Ok("port: 99\n"),
        Some("unk.conf") => Ok("\n  nope: 1\n"),
        Some("self.conf") => Ok("include 'self.conf'\n"),
        Some("twice.conf") => Ok("include twice.conf\ninclude twice.conf\n"),
        _ => Err(io::Error::from_raw_os_error(2)),
    }
}

fn variable(name: &str) -> Option<String> {
    let text = match name {
        "EPORT" => "4999",
        "ESTR" => "hello",
        "EEMPTY" => "",
        "EMAP" => "{a:b}",
        "EBAD" => "\"x",
        "ESZ" => "5mb",
        "EV" => "a b",
        "EREF" => "$ESTR",
        "ELOOP" => "$ELOOP",
        "ESP" => " 5 ",
        "EQ" => "'q r'",
        "EH" => "a#b",
        _ => return None,
    };
    Some(text.to_owned())
}

fn parse_text(text: &str) -> Result<Map, ConfigError> {
    let read = |path: &Path| match path.to_str() {
        Some("F") => Ok(text.as_bytes().to_vec()),
        _ => file(path).map(|text| text.as_bytes().to_vec()),
    };
    parse(Path::new("F"), &Surroundings { read: &read, variable: &variable })
}

/// Text, and the first half of the digest that nats-server prints.
const ACCEPTED: &[(&str, &str)] = &[
    ("{port:4222}", "797533ebd0dfba7d"),
    ("port:4222}", "797533ebd0dfba7d"),
    ("port 4222", "797533ebd0dfba7d"),
    ("port=4222", "797533ebd0dfba7d"),
    ("port:4222;debug:true", "8d697893eada1722"),
    ("port:4222,debug:true", "8d697893eada1722"),
    ("port: 4222 # c", "797533ebd0dfba7d"),
    ("port: 4222 // c", "797533ebd0dfba7d"),
    ("PORT: 1", "f0c0e1692c4e1f04"),
    ("'port': 1", "5b27b68e52c25859"),
    (r#""port": 1"#, "5b27b68e52c25859"),
    ("port\n4222", "797533ebd0dfba7d"),
    ("port: -1", "7ea4cc5c6864139d"),
    ("server_name: \"a\\x41\\t\\n\\r\\\"\\\\b\"", "c56cb54f0e251761"),
    ("server_name: 'a\\qb'", "614854a1ee25e3f7"),
    ("server_name: \"two\nlines\"", "4848b15af2698d98"),
    ("server_name: 'two\nlines'", "4848b15af2698d98"),
    ("server_name: a#b", "accdc0f90560b798"),
    ("server_name: a//b", "db2b429734cc474d"),
    ("server_name: http://x", "888822ce5784f681"),
    ("server_tags: [a,b]", "e09a48bacda8a055"),
    ("server_tags: [a\nb\n]", "e09a48bacda8a055"),
    ("server_tags: a", "1b12601fd728f34e"),
    ("server_tags: [a,]", "c7cae96d69360e12"),
    ("server_tags: []", "6347faf9d6691d35"),
    ("server_tags [a]", "c7cae96d69360e12"),
    ("server_metadata {a:b}", "113b27a94f901e80"),
    ("server_metadata {a:b,}", "113b27a94f901e80"),
    ("server_metadata {a:b;}", "113b27a94f901e80"),
    ("server_metadata {,a:b}", "203131e5e0211dcf"),
    ("server_metadata {a b}", "113b27a94f901e80"),
    ("server_metadata: {a: b}, debug: true", "c96858045cbb58a3"),
    ("server_metadata: {a: b}}", "113b27a94f901e80"),
    ("server_tags: ['a','b']", "e09a48bacda8a055"),
    ("server_tags: [\n a # c\n b // d\n]", "e09a48bacda8a055"),
    ("server_tags: [a // d\n]", "c7cae96d69360e12"),
    ("server_tags: [a, # c\n b]", "e09a48bacda8a055"),
    ("server_tags: [\n\n]", "6347faf9d6691d35"),
    ("A=4333\nport: $A", "37d3d920be6c29b5"),
    ("port: $EPORT", "6c6766e77456d7af"),
    ("server_name: $ESTR", "d58ac2b5a1735562"),
    ("server_name: $EEMPTY", "2522a4a15b760e48"),
    ("server_metadata: $EMAP", "113b27a94f901e80"),
    ("server_name: $2a$11$abc", "ff7ca204a028ce83"),
    ("server_name: '$ESTR'", "5da6823cda99bf31"),
    (r#"server_name: "$ESTR""#, "5da6823cda99bf31"),
    ("A=x\nserver_tags: [$A, b]", "0665c953f1901883"),
    ("server_metadata {A:x\n b:$A}", "751bb56a3594f2be"),
    ("include 'inc.conf'", "5942f6739f157289"),
    ("include inc.conf", "5942f6739f157289"),
    (r#"include "inc.conf""#, "5942f6739f157289"),
    ("INCLUDE inc.conf", "5942f6739f157289"),
    ("include inc.conf;debug:true", "ea5d7fd74f0e821b"),
    ("server_metadata { include incmap.conf }", "113b27a94f901e80"),
    ("server_metadata { include incmap.conf\n}", "113b27a94f901e80"),
    ("server_metadata { include 'incmap.conf'}", "113b27a94f901e80"),
    ("include vars.conf\nport: $X", "6fcc528da92b467e"),
    ("include sub/i.conf", "f3173a5a219c6d89"),
    ("include inc.conf # c", "5942f6739f157289"),
    ("server_name: (\na(b)\n)\n", "6398a75539987c77"),
    ("server_metadata {a: (\nx\n)\n}", "69f080a6bcdc5a89"),
    ("server_tags: [(\nx\n)\n]", "40e4deaebe679a4e"),
    ("#c\nport:1", "5b27b68e52c25859"),
    ("port: 4222\r\ndebug: true\r\n", "8d697893eada1722"),
    ("port:\t4222", "797533ebd0dfba7d"),
    ("\tport: 1", "5b27b68e52c25859"),
    ("port: 4222,", "797533ebd0dfba7d"),
    ("port: 4222;", "797533ebd0dfba7d"),
    ("port: 4222 ;\n", "797533ebd0dfba7d"),
    ("server_name: ñ", "2be8c8cb1b8c2586"),
    ("port: 0", "b93e69a407407bfb"),
    ("server_tags: 'a b'", "fb80ce0d036801d3"),
    ("server_tags: ['a b']", "b1382a8796544e26"),
    ("server_tags: ''", "e0dcf1c51fc388e5"),
    ("server_tags: 'a,b'", "e709af49b9f74c53"),
    ("server_metadata: {'a b': c}", "7614b36ea8989f11"),
    ("monitor_port: 8222", "6198e1d4b6fd4174"),
    ("server_name: ''", "2522a4a15b760e48"),
    ("{port:4222}\nport:1", "5b27b68e52c25859"),
    ("{\nport:4222\n}\n", "797533ebd0dfba7d"),
    ("{port:4222} # c", "797533ebd0dfba7d"),
    ("{port:4222\ndebug:true}", "8d697893eada1722"),
    (r#"{"port":4222,"debug":true}"#, "8d697893eada1722"),
    (r#"{ "server_metadata": {"a":"b"}, "server_tags": ["a"] }"#, "ace0d08cf7d1f18f"),
    ("  {port:1}", "5b27b68e52c25859"),
    ("# c\n{port:1}", "5b27b68e52c25859"),
    ("{port:1\n", "5b27b68e52c25859"),
    ("{port:4222}}", "797533ebd0dfba7d"),
    ("{port:1,}", "5b27b68e52c25859"),
    ("{port:1;}", "5b27b68e52c25859"),
    ("server_metadata: {\n}", "da664f0e7f41b020"),
    ("server_metadata {\n\n  a: b # c\n\n // d\n c = d;\n}\n", "c1a160cede2a5d40"),
    ("server_metadata: {a: b,\n c: d}", "c1a160cede2a5d40"),
    (r#"server_metadata: {'a': 'b', "c": "d"}"#, "c1a160cede2a5d40"),
    ("server_metadata\n{a:b}", "113b27a94f901e80"),
    ("server_metadata {a: b}#c", "113b27a94f901e80"),
    ("server_metadata {a: b}//c", "113b27a94f901e80"),
    ("server_metadata {a: b # }\n}", "113b27a94f901e80"),
    ("server_metadata {a: b // }\n}", "113b27a94f901e80"),
    ("server_metadata {#c\na:b}", "113b27a94f901e80"),
    ("server_metadata {//c\na:b}", "113b27a94f901e80"),
    ("server_metadata {a: http://x}", "0cea8a92c3f533b4"),
    ("server_metadata {a: 'x'}", "cb64f8269a18508c"),
    (r#"server_metadata {a: "x"}"#, "cb64f8269a18508c"),
    ("server_metadata {a b,c d}", "c1a160cede2a5d40"),
    ("server_metadata {a=b}", "113b27a94f901e80"),
    (r#"server_metadata {"a b" c}"#, "7614b36ea8989f11"),
    ("server_tags: [a,\n\n b,\n]", "e09a48bacda8a055"),
    ("server_tags: [\"a\"\n\"b\"\n]", "e09a48bacda8a055"),
    ("server_tags: [a, #c\n]", "c7cae96d69360e12"),
    ("server_tags: [#c\na]", "c7cae96d69360e12"),
    ("server_tags: [//c\na]", "c7cae96d69360e12"),
    ("server_tags: [a],", "c7cae96d69360e12"),
    ("server_tags: [a] # c", "c7cae96d69360e12"),
    ("server_tags: [a]\n", "c7cae96d69360e12"),
    ("server_tags: [:a]", "b61bb3d854fc7e43"),
    ("server_tags: [=a]", "b68523a651b389d2"),
    ("server_tags: [$2a$x]", "6a8d59618a9452d2"),
    ("port: 1 ", "5b27b68e52c25859"),
    ("port: 1\t", "5b27b68e52c25859"),
    ("port: 1\n\n", "5b27b68e52c25859"),
    ("port: 1 #", "5b27b68e52c25859"),
    ("port: 1}", "5b27b68e52c25859"),
    ("server_name: a}", "7e05712478e5fe32"),
    ("server_name: a}\n", "7e05712478e5fe32"),
    ("server_name: a{b", "34ac05f88b99ce1a"),
    ("server_name: a[b", "ff737f734647fdad"),
    ("server_name: a(b", "f34b6a2b0b33d347"),
    ("server_name: a)b", "29fb247ded3a656a"),
    ("server_name: a=b", "f492e25c36dcdeab"),
    ("server_name: a:b", "320d76d75b3af0ed"),
    (r#"server_name: a"b"#, "13f29d94409951dd"),
    (r#"server_name: """#, "2522a4a15b760e48"),
    ("server_name: \"\\x41\"", "74b6b46623120221"),
    ("server_name: a\\tb", "192ac1496705d0bc"),
    ("server_name: a\\x41", "55ee00afa500360e"),
    ("server_name: \\x41", "74b6b46623120221"),
    ("server_name: \\\"a", "6d47ebc6f774b41f"),
    ("server_name: *", "ad3a58c7f1845063"),
    ("server_name: >", "94122df421c50b4d"),
    ("server_name: @x", "03892a44ff861bf5"),
    ("server_name: %", "11d47533f4e56523"),
    ("server_name: &", "326eee8ad9b31a16"),
    ("server_name: ~", "933a52cb150b0752"),
    ("server_name: `a`", "f4d87daf9d12e4a6"),
    ("server_name: 1a", "37b7c98df9abac99"),
    ("server_name: 1.2.3", "d1b6fa8f8fd3b250"),
    ("server_name: 1:2", "78d76f00e47516df"),
    ("server_name: 1_a", "ad9479d97586ff8f"),
    ("server_name: true1", "3b21e2c26faf091c"),
    ("server_name: null", "2374469b06519d59"),
    ("port: 1k", "b4e37e69fac01270"),
    ("port: 1kb", "3bfe4140eb403787"),
    ("port: 1ki", "3bfe4140eb403787"),
    ("port: 1kib", "3bfe4140eb403787"),
    ("port: 1K", "b4e37e69fac01270"),
    ("port: 1Kb", "3bfe4140eb403787"),
    ("port: 007", "aefa99011f2b579a"),
    ("server_name: 1k#c", "9f8612601d285179"),
    ("server_name: 1kx", "def314f47bdcfa29"),
    ("{max_payload: 1k}", "87b40978d8143e0f"),
    ("{max_payload: 1kb}", "69d37599f3dcc020"),
    ("{max_payload: 1}", "f9d722f1fb58b503"),
    ("{max_payload: 1 }", "f9d722f1fb58b503"),
    ("server_tags: [1a]", "8842d23864f904b6"),
    ("server_name: $EREF", "d58ac2b5a1735562"),
    ("port: $ESP", "31e700d8099c9ba6"),
    ("server_name: $EH", "accdc0f90560b798"),
    ("server_tags: [ $ESTR, 'x' ]", "19df90f5463800c5"),
    ("server_name: #c", "9bc2336fbe268270"),
    ("server_tags: [\n  # c\n 'a' // d\n ]", "c7cae96d69360e12"),
    ("server_metadata {\n'a': $ESTR, b: $ESTR}", "40ea5cb9c725e0be"),
    ("server_metadata {a: $ESTR}", "63a90497f2c96af7"),
    ("port: 4222\nport: 4223", "7449cc5fbb986e8b"),
    ("PORT: 1\nport: 2", "a8d91bf3e140b927"),
    ("server_name: \"a\tb\"", "192ac1496705d0bc"),
    ("server_name: \"a\\nb\"", "8d9ed3e8ad7efb54"),
];

/// Text, and the error nats-server prints (where it prints a NUL for the end of the text, `EOF`).
const REFUSED: &[(&str, &str)] = &[
    ("", "F: config has no values or is empty"),
    ("{}", "F: config has no values or is empty"),
    (
        "{port:4222",
        "Parse error on line 1: 'Expected a block-level value to end with a new line, comment or EOF, but got 'EOF' instead.'",
    ),
    (
        "port:4222 debug:true",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'd' instead.'",
    ),
    ("port", "config is invalid (F:1:4)"),
    ("port :\n 4", "Parse error on line 2: 'Expected value but found new line'"),
    ("port =\n\n4222", "Parse error on line 2: 'Expected value but found new line'"),
    (
        "port: 1.",
        "Parse error on line 1: 'Floats must have a digit after the '.', but got 'EOF' instead.'",
    ),
    ("port: -", "Parse error on line 1: 'Expected a digit but got 'EOF'.'"),
    ("port: - 1", "Parse error on line 1: 'Expected a digit but got ' '.'"),
    (
        "max_payload: 64 MB",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'M' instead.'",
    ),
    ("max_payload: 99999999999999999999", "integer '99999999999999999999' is out of the range"),
    (
        "max_payload: 1.5k",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'k' instead.'",
    ),
    (
        "server_name: \"a\\qb\"",
        "Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ),
    (
        "server_name: \"a\\x4g\"",
        "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4g''",
    ),
    (r#"server_name: "unterminated"#, "Parse error on line 1: 'Unexpected EOF.'"),
    ("server_name: 'unterminated", "Parse error on line 1: 'Unexpected EOF.'"),
    (
        "server_name: a b",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    ),
    ("server_name: a;b", "config is invalid (F:1:16)"),
    (
        "server_tags: [a b]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got 'b' instead.'"#,
    ),
    ("server_tags: [a,,b]", "Parse error on line 1: 'Unexpected array value terminator ','.'"),
    (
        "server_tags: [a",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got 'EOF' instead.'"#,
    ),
    ("server_tags: [,a]", "Parse error on line 1: 'Unexpected array value terminator ','.'"),
    ("server_tags[a]", "config is invalid (F:1:14)"),
    (
        "server_metadata {a:b c:d}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'c' instead.'"#,
    ),
    (
        "server_metadata {a:b",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'EOF' instead.'"#,
    ),
    ("server_metadata {a}", "Parse error on line 1: 'Unexpected EOF processing map key.'"),
    (
        "server_metadata: {a: b} debug: true",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'd' instead.'",
    ),
    (
        r#"ca_file: "x" verify: true"#,
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'v' instead.'",
    ),
    (
        r#"tls {cert_file: "x" verify: true}"#,
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'v' instead.'"#,
    ),
    (
        "server_tags: ['a' 'b']",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got ''' instead.'"#,
    ),
    (
        "server_tags: [;a]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got ';' instead.'"#,
    ),
    (
        "server_tags: [a;b]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got ';' instead.'"#,
    ),
    (
        "server_tags: [a}",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got '}' instead.'"#,
    ),
    (
        "server_metadata {a:b]",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got ']' instead.'"#,
    ),
    ("A=4333\nport: $B", "variable reference for 'B' on line 2 can not be found"),
    ("port: $A\nA=4333", "variable reference for 'A' on line 1 can not be found"),
    (
        "server_name: $EBAD",
        "variable reference for 'EBAD' on line 1 could not be parsed: Parse error on line 1: 'Unexpected EOF.'",
    ),
    ("server_metadata {b:$A\n}\nA=x", "variable reference for 'A' on line 1 can not be found"),
    ("a=$a", "variable reference for 'a' on line 1 can not be found"),
    ("A=$A\nport: $A", "variable reference for 'A' on line 1 can not be found"),
    ("port: $", "variable reference for '' on line 1 can not be found"),
    ("port: $ A", "variable reference for '' on line 1 can not be found"),
    ("server_name: $ESTR.x", "variable reference for 'ESTR.x' on line 1 can not be found"),
    ("server_name: $2", "variable reference for '2' on line 1 can not be found"),
    ("include = inc.conf", "error parsing include file '=', open =: no such file or directory"),
    (
        "include inc.conf, debug:true",
        "error parsing include file 'inc.conf,', open inc.conf,: no such file or directory",
    ),
    (
        "include nofile.conf",
        "error parsing include file 'nofile.conf', open nofile.conf: no such file or directory",
    ),
    (
        "include ./bad.conf",
        r#"error parsing include file './bad.conf', Parse error on line 2: 'Expected an array value terminator "," or an array terminator "]", but got 'EOF' instead.'"#,
    ),
    ("include", "config is invalid (F:1:7)"),
    ("include $ESTR", "error parsing include file '$ESTR', open $ESTR: no such file or directory"),
    (
        "server_tags: [include x]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got 'x' instead.'"#,
    ),
    (
        "include inc.conf debug",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'd' instead.'",
    ),
    ("server_name: (abc)", "Parse error on line 1: 'Unexpected EOF processing block.'"),
    ("server_name: (\nabc)", "Parse error on line 2: 'Unexpected EOF processing block.'"),
    (
        "server_name: ( a\n b\n )\nport: 1",
        "Parse error on line 4: 'Unexpected EOF processing block.'",
    ),
    ("server_name: (\nabc", "Parse error on line 2: 'Unexpected EOF processing block.'"),
    ("server_name: ()", "Parse error on line 1: 'Unexpected EOF processing block.'"),
    ("# only", "F: config has no values or is empty"),
    ("// only", "F: config has no values or is empty"),
    ("\n\n", "F: config has no values or is empty"),
    ("port: 4222,,", "config is invalid (F:1:12)"),
    (
        "port: 2006-13-02T15:04:05Z",
        "expected Zulu formatted DateTime, but got '2006-13-02T15:04:05Z'",
    ),
    (
        "listen: [::]:4222",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got ':' instead.'",
    ),
    (
        "ping_interval: -5s",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 's' instead.'",
    ),
    (
        "ping_interval: 1.5h",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'h' instead.'",
    ),
    ("ping_interval: .5s", "Parse error on line 1: 'Floats must start with a digit'"),
    (
        "lame_duck_grace_period: -1s",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 's' instead.'",
    ),
    ("{port:4222}x", "config is invalid (F:1:12)"),
    ("{port:4222};", "config is invalid (F:1:12)"),
    (
        "{port:4222 debug:true}",
        "Parse error on line 1: 'Expected a block-level value to end with a new line, comment or EOF, but got 'd' instead.'",
    ),
    (
        "{port:1",
        "Parse error on line 1: 'Expected a block-level value to end with a new line, comment or EOF, but got 'EOF' instead.'",
    ),
    ("{a", "config is invalid (F:1:2)"),
    (
        "{a:",
        "Parse error on line 1: 'Expected a block-level value to end with a new line, comment or EOF, but got 'EOF' instead.'",
    ),
    ("}", "F: config has no values or is empty"),
    ("]", "config is invalid (F:1:1)"),
    ("[", "config is invalid (F:1:1)"),
    ("[1]", "config is invalid (F:1:3)"),
    (r#""port""#, "config is invalid (F:1:6)"),
    (
        r#""port"x: 1"#,
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '1' instead.'",
    ),
    (
        "'por't: 1",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '1' instead.'",
    ),
    (
        "port x: 1",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '1' instead.'",
    ),
    (
        "port : : 1",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '1' instead.'",
    ),
    ("=1", "Parse error on line 1: 'Unexpected key separator '=''"),
    (":1", "Parse error on line 1: 'Unexpected key separator ':''"),
    ("{port:1,,}", "config is invalid (F:1:10)"),
    (
        "server_metadata: {a: b\n, c: d}",
        r#"Parse error on line 2: 'Expected a map value terminator "," or a map terminator "}", but got 'd' instead.'"#,
    ),
    (
        "server_metadata: {a: b;; c: d}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'd' instead.'"#,
    ),
    (
        "server_metadata: {a: b,, c: d}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'd' instead.'"#,
    ),
    (
        "server_metadata: {a: b c}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'c' instead.'"#,
    ),
    ("server_metadata:\n{a:b}", "Parse error on line 2: 'Expected value but found new line'"),
    (
        "server_metadata {a b c d}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'c' instead.'"#,
    ),
    (
        r#"server_metadata {"a}"#,
        "Parse error on line 1: 'Unexpected EOF processing double quoted map key.'",
    ),
    ("server_metadata {'a}", "Parse error on line 1: 'Unexpected EOF processing quoted map key.'"),
    (r#"server_metadata {a: "}"#, "Parse error on line 1: 'Unexpected EOF.'"),
    ("server_metadata {a:(x)}", "Parse error on line 1: 'Unexpected EOF processing block.'"),
    ("server_metadata {a:(\nx\n)}", "Parse error on line 3: 'Unexpected EOF processing block.'"),
    ("server_tags: [a\n,b]", "Parse error on line 2: 'Unexpected array value terminator ','.'"),
    (
        "server_tags: [a # x\n, b]",
        "Parse error on line 2: 'Unexpected array value terminator ','.'",
    ),
    (
        "server_tags: [a] [b]",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '[' instead.'",
    ),
    (
        "server_tags: [a]]",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got ']' instead.'",
    ),
    (
        "server_tags: [a b\n]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got 'b' instead.'"#,
    ),
    (
        "server_tags: [\na b\n]",
        r#"Parse error on line 2: 'Expected an array value terminator "," or an array terminator "]", but got 'b' instead.'"#,
    ),
    ("server_tags: [()]", "Parse error on line 1: 'Unexpected EOF processing block.'"),
    (
        "server_name: a]",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got ']' instead.'",
    ),
    ("server_name: {", "Parse error on line 1: 'Unexpected EOF processing map.'"),
    (
        "server_name: [",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got 'EOF' instead.'"#,
    ),
    ("server_name: a,b", "config is invalid (F:1:16)"),
    (
        "server_name: 'a'b",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    ),
    (
        r#"server_name: "a"b"#,
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    ),
    (
        r#"server_name: "a" "b""#,
        r#"Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '"' instead.'"#,
    ),
    (r#"server_name: "a","b""#, "config is invalid (F:1:20)"),
    (
        "server_name: \"\\x4\"",
        "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4\"''",
    ),
    (
        "server_name: \"\\",
        "Parse error on line 1: 'Invalid escape character 'EOF'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ),
    (
        "server_name: \"a\\",
        "Parse error on line 1: 'Invalid escape character 'EOF'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ),
    (
        "server_name: a\\qb",
        "Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ),
    (
        "server_name: a\\",
        "Parse error on line 1: 'Invalid escape character 'EOF'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ),
    ("server_name: -a", "Parse error on line 1: 'Expected a digit but got 'a'.'"),
    ("server_name: -", "Parse error on line 1: 'Expected a digit but got 'EOF'.'"),
    (
        "server_name: -1a",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'a' instead.'",
    ),
    ("server_name: 1-a", "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.'"),
    (
        "server_name: 1.a",
        "Parse error on line 1: 'Floats must have a digit after the '.', but got 'a' instead.'",
    ),
    (
        "server_name: 2020-01",
        "Parse error on line 1: 'Expected '-' in ISO8601 datetime, but found 'EOF' instead.'",
    ),
    (
        "server_name: 2020-01-01T00:00:00",
        "Parse error on line 1: 'Expected 'Z' in ISO8601 datetime, but found 'EOF' instead.'",
    ),
    (
        "server_name: 20200-1",
        "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.'",
    ),
    ("server_name: 123-4", "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.'"),
    (
        "server_name: 1234-",
        "Parse error on line 1: 'Expected digit in ISO8601 datetime, but found 'EOF' instead.'",
    ),
    (
        "server_name: 1234-5",
        "Parse error on line 1: 'Expected digit in ISO8601 datetime, but found 'EOF' instead.'",
    ),
    ("port: 9223372036854775808", "integer '9223372036854775808' is out of the range"),
    (
        "port: 1 k",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'k' instead.'",
    ),
    ("port: -k", "Parse error on line 1: 'Expected a digit but got 'k'.'"),
    (
        "server_tags: [1;2]",
        r#"Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got ';' instead.'"#,
    ),
    ("server_tags: [$X]", "variable reference for 'X' on line 1 can not be found"),
    (
        "OUT=5\ninclude usev.conf",
        "error parsing include file 'usev.conf', variable reference for 'OUT' on line 1 can not be found",
    ),
    (
        "OUT=5\nserver_metadata { include m.conf }",
        "error parsing include file 'm.conf', variable reference for 'OUT' on line 1 can not be found",
    ),
    (
        "server_name: $EV",
        "variable reference for 'EV' on line 1 could not be parsed: Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    ),
    (
        "port: # c",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'c' instead.'",
    ),
    (
        "port: # c\n",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'c' instead.'",
    ),
    (
        "server_name: // c",
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'c' instead.'",
    ),
    (
        "server_metadata {a: # c\n}",
        r#"Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'c' instead.'"#,
    ),
];

#[test]
fn what_the_reference_accepts_means_the_same_here() {
    for (text, digest_start) in ACCEPTED {
        let map = parse_text(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let digest = digest(&map);
        assert_eq!(&digest[7..23], *digest_start, "{text:?}");
    }
}

#[test]
fn what_the_reference_refuses_is_refused_in_its_words() {
    for (text, expected) in REFUSED {
        let error = parse_text(text).expect_err(text).to_string();
        assert_eq!(error, *expected, "{text:?}");
    }
}

#[test]
fn maps_take_values_on_the_next_line_and_the_top_level_does_not() {
    let of = |text: &str| parse_text(text).map(|map| digest(&map));
    let map = of("m {a: b}");
    for text in ["m {a:\n b\n}", "m {a=\n\n b\n}", "m {a\n b\n}", "m\n{'a':\n'b'}", "{m {a: \n b}}"]
    {
        assert_eq!(of(text), map, "{text:?}");
    }
    let error = of("m:\n{a: b}").expect_err("has no value").to_string();
    assert_eq!(error, "Parse error on line 2: 'Expected value but found new line'");
    let error = of("m {a: b, ]}").expect_err("ends nothing").to_string();
    assert_eq!(error, "Parse error on line 1: 'Unexpected array end ']' processing map.'");
}

/// Where we differ on purpose: the reference refuses or misreads the text on the left.
#[test]
fn sensible_files_the_reference_trips_over_are_accepted() {
    for text in [
        // It takes `]` into a number that stands before it.
        "a: [1]",
        "a: [1,2]",
        "a {x: [1.5,2]}",
        // It knows only `$2a$` as the start of a bcrypt hash.
        "a: $2b$10$abcdefghijklmnopqrstuv",
        "a: $2y$10$abcdefghijklmnopqrstuv",
        // It looks for /inc.conf below the including file.
        "include '/inc.conf'",
    ] {
        assert!(parse_text(text).is_ok(), "{text:?}");
    }
}

#[test]
fn what_the_reference_lets_slip_is_refused() {
    for (text, expected) in [
        // It drops a quote behind a word.
        (
            "a: b'",
            "Parse error on line 1: 'Expected a top-level value to end with a new line, comment \
             or EOF, but got ''' instead.'",
        ),
        // It wraps around.
        ("a: 10e", "integer '10e' is out of the range"),
        ("a: 99e", "integer '99e' is out of the range"),
        // A lone slash is no comment.
        (
            "a: 4222 /",
            "Parse error on line 1: 'Expected a top-level value to end with a new \
                       line, comment or EOF, but got '/' instead.'",
        ),
        // It says that the key was unknown.
        ("a: {b: }", "Parse error on line 1: 'Expected value but found '}''"),
        ("a: {b:,c:d}", "Parse error on line 1: 'Expected value but found ',''"),
        ("\"", "Parse error on line 1: 'Unexpected EOF.'"),
        ("a: b\0", "open F: contains a NUL byte"),
    ] {
        assert_eq!(parse_text(text).expect_err(text).to_string(), expected, "{text:?}");
    }
}

#[test]
fn loops_and_bombs_end_in_an_error() {
    let deep = "config is nested too deeply";
    let nested = format!("a: {}", "[".repeat(100_000));
    let maps = "a {".repeat(100_000);
    for text in ["include self.conf", "include twice.conf", "a: $ELOOP", &nested, &maps] {
        let error = parse_text(text).expect_err("has no end").to_string();
        assert!(error.ends_with(deep), "{error}");
    }
    let mut bomb = "a0: [xxxxxxxxxx, xxxxxxxxxx]\n".to_owned();
    for level in 1..40 {
        let inner = level - 1;
        bomb.push_str(&format!("a{level}: [$a{inner}, $a{inner}, $a{inner}]\n"));
    }
    let error = parse_text(&bomb).expect_err("doubles").to_string();
    assert!(error.ends_with("config is too large"), "{error}");
    let large = "#".repeat(17 << 20);
    assert!(parse_text(&large).is_err());
}

#[test]
fn values_know_where_they_stand() {
    let map = parse_text("a: 1\n  b {\n    c: [x,\n y ]\n}\n").expect("is a config");
    let (_, b) = map.iter().nth(1).expect("b");
    assert_eq!(b.value.at.to_string(), "F:2:3");
    let Data::Map(inner) = &b.value.data else { panic!("{b:?}") };
    let (_, c) = inner.iter().next().expect("c");
    assert_eq!(c.value.at.to_string(), "F:3:5");
    let Data::Array(values) = &c.value.data else { panic!("{c:?}") };
    assert_eq!(values[1].at.to_string(), "F:4:2");
}

#[test]
fn a_block_string_keeps_its_lines() {
    let map = parse_text("a: (\nx\n  )\n(y)\n)\nb: 1").expect("is a config");
    let (_, a) = map.iter().next().expect("a");
    assert_eq!(a.value.data, Data::Text("\nx\n  )\n(y)\n".to_owned()));
}

#[test]
fn the_digest_is_of_what_is_said() {
    let of = |text: &str| digest(&parse_text(text).expect(text));
    let port = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
    for text in ["port: 4222", "port 4222 # c", "{\n\"port\" = 4222;\n}", "port: 1\nport: 4222"] {
        assert_eq!(of(text), port);
    }
    assert_eq!(of("a: 1, b: 2"), of("b = 2\na = 1"));
    assert_ne!(of("port: 4223"), port);
}

const VALID: &str = r#"
# A bit of everything.
listen: "127.0.0.1:4222"; server_name = 'n1'
HOST=example // used below
server_tags: [a, "b\x41\t", $HOST
  'c' ]
server_metadata { k: v, "l": (
 block
)
  m = $HOST }
max_payload: 64KB, ping_interval: 1m30s
write_deadline: "10s"; when: 2006-01-02T15:04:05Z
authorization { users = [ {user: a, password: $2a$11$x}, {user: b} ] }
weft { cores: "0-3", shards: 4 }
f: -1.5
"#;

/// Cuts, doubles or replaces a stretch of the text.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..VALID.len(), 0..12_usize, proptest::collection::vec(any_piece(), 0..4));
    proptest::collection::vec(edit, 0..6).prop_map(|edits| {
        let mut text = VALID.as_bytes().to_vec();
        for (at, length, pieces) in edits {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, pieces.concat().into_bytes());
        }
        text
    })
}

fn any_piece() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "{", "}", "[", "]", "(", ")", "'", "\"", "\\", "$", "#", "//", ":", "=", ",", ";",
            "\n", " ", "-", ".", "1", "k", "include ", "\n)\n", "é",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in mutated()) {
        let _ = check_bytes(&text);
        // Errors print, whatever they quote.
        let _ = String::from_utf8(text).map(|text| parse_text(&text).map_err(|e| e.to_string()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check_bytes(&bytes);
    }
}

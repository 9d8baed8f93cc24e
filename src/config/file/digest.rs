//! The digest of a configuration: what it says, not how it is written.
//!
//! SHA-256 over the map as JSON with sorted keys, escaped as Go's encoder does, and a final line
//! break. So it equals the digest the reference prints for the same file.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Data, Map};

/// `sha256:` and 64 hexadecimal digits. Insensitive to comments, order and punctuation.
pub fn digest(map: &Map) -> String {
    let mut json = String::new();
    write_map(&mut json, map);
    json.push('\n');
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(json.as_bytes()) {
        write!(out, "{byte:02x}").expect("a String takes all");
    }
    out
}

fn write_map(out: &mut String, map: &Map) {
    out.push('{');
    for (index, (key, entry)) in map.iter().enumerate() {
        separate(out, index);
        write_text(out, key);
        out.push(':');
        write_data(out, &entry.value.data);
    }
    out.push('}');
}

fn write_data(out: &mut String, data: &Data) {
    match data {
        Data::Text(text) | Data::DateTime(text) => write_text(out, text),
        Data::Integer(number) => write!(out, "{number}").expect("a String takes all"),
        Data::Float(number) => write!(out, "{number}").expect("a String takes all"),
        Data::Boolean(truth) => write!(out, "{truth}").expect("a String takes all"),
        Data::Map(map) => write_map(out, map),
        Data::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                separate(out, index);
                write_data(out, &value.data);
            }
            out.push(']');
        }
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes all");
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

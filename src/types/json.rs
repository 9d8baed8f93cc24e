//! JSON as Go's encoder writes it: two blanks of indent, `<`, `>`, `&` and the two line separators
//! of Unicode escaped, whole floats without a point.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

pub fn pretty(document: &impl Serialize) -> Vec<u8> {
    write(document, PrettyFormatter::new())
}

pub fn compact(document: &impl Serialize) -> Vec<u8> {
    write(document, CompactFormatter)
}

/// [`compact`], behind what is there already.
pub fn append(out: &mut Vec<u8>, document: &impl Serialize) {
    let layout = GoFormatter { layout: CompactFormatter };
    let mut serializer = Serializer::with_formatter(out, layout);
    document.serialize(&mut serializer).expect("documents are plain structs with text keys");
}

fn write(document: &impl Serialize, layout: impl Formatter) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    let mut serializer = Serializer::with_formatter(&mut bytes, GoFormatter { layout });
    document.serialize(&mut serializer).expect("documents are plain structs with text keys");
    bytes
}

struct GoFormatter<L> {
    layout: L,
}

impl<L: Formatter> Formatter for GoFormatter<L> {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut written = 0;
        for (at, letter) in fragment.char_indices() {
            let escape = match letter {
                '<' => "\\u003c",
                '>' => "\\u003e",
                '&' => "\\u0026",
                '\u{2028}' => "\\u2028",
                '\u{2029}' => "\\u2029",
                _ => continue,
            };
            writer.write_all(&fragment.as_bytes()[written..at])?;
            writer.write_all(escape.as_bytes())?;
            written = at + letter.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }

    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let small = value != 0.0 && value.abs() < 1e-6;
        if small || value.abs() >= 1e21 {
            write!(writer, "{value:e}")
        } else {
            write!(writer, "{value}")
        }
    }

    fn write_char_escape<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.layout.write_char_escape(writer, escape)
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_array(writer)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array(writer)
    }

    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.layout.begin_array_value(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array_value(writer)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object(writer)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object(writer)
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.layout.begin_object_key(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object_value(writer)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(compact(value)).unwrap()
    }

    #[test]
    fn strings_are_escaped_for_html() {
        assert_eq!(text(&"a<b>&c"), r#""a\u003cb\u003e\u0026c""#);
        assert_eq!(
            text(&"f\u{e9}\u{2028}\u{2029}\"\u{1}\n"),
            "\"f\u{e9}\\u2028\\u2029\\\"\\u0001\\n\""
        );
    }

    #[test]
    fn whole_floats_have_no_point() {
        assert_eq!(
            text(&[0.0, 2.0, 3.5, 0.5725190839694656, 1e-7]),
            "[0,2,3.5,0.5725190839694656,1e-7]"
        );
    }

    #[test]
    fn two_blanks_of_indent_and_bare_empties() {
        #[derive(Serialize)]
        struct Document {
            empty: [u8; 0],
            list: [u8; 1],
        }
        let bytes = pretty(&Document { empty: [], list: [7] });
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\n  \"empty\": [],\n  \"list\": [\n    7\n  ]\n}"
        );
    }
}

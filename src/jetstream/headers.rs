//! Header blocks of messages: read in place, written into a `Vec` that the caller keeps.
//!
//! A block is `NATS/1.0[ status]\r\n`, lines `Name: value\r\n`, and an empty line. No headers is
//! an empty block. Names count in their exact case, as the reference has it for JetStream. A block
//! that a client got wrong yields what is readable of it.

use std::fmt::Display;
use std::io::Write;

const VERSION: &[u8] = b"NATS/1.0";
const LINE_END: &[u8] = b"\r\n";

/// The first value under a name.
pub fn get<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    iter(block).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// Names and values in order; blanks before a value are not part of it.
pub fn iter(block: &[u8]) -> Iter<'_> {
    Iter { block, at: line(block, 0).map_or(block.len(), |(_, next)| next) }
}

pub struct Iter<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (end, next) = line(self.block, self.at)?;
            let text = &self.block[self.at..end];
            self.at = next;
            if let Some(header) = header(text) {
                return Some(header);
            }
        }
    }
}

/// Where the line from `at` on ends, and where the next begins. `None`: the empty line, or no more.
fn line(block: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut from = at;
    while let Some(found) = memchr::memchr(b'\n', block.get(from..)?) {
        let feed = from + found;
        if feed > at && block[feed - 1] == b'\r' {
            return (feed - 1 > at).then_some((feed - 1, feed + 1));
        }
        from = feed + 1;
    }
    None
}

/// Name and value of a line.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], trim_start(&line[colon + 1..])))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| byte == b' ').count();
    &text[blanks..]
}

/// The status of the first line and its description: `404` and `No Messages`.
pub fn status(block: &[u8]) -> Option<(u16, &[u8])> {
    let (end, _) = line(block, 0)?;
    let text = trim_start(block[..end].strip_prefix(VERSION)?);
    let (code, description) = text.split_at_checked(3)?;
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    Some((code, trim_start(description)))
}

/// Begins a block with a status line: `404 No Messages`.
pub fn begin_status(block: &mut Vec<u8>, line: &str) {
    block.clear();
    block.extend_from_slice(VERSION);
    block.push(b' ');
    block.extend_from_slice(line.as_bytes());
    block.extend_from_slice(b"\r\n\r\n");
}

/// Adds a header at the end; an empty block is begun.
pub fn append(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    open(block, name);
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n\r\n");
}

/// [`append`] for a number or anything else that is printed.
pub fn append_display(block: &mut Vec<u8>, name: &str, value: impl Display) {
    open(block, name);
    write!(block, "{value}").expect("a Vec takes everything");
    block.extend_from_slice(b"\r\n\r\n");
}

/// Adds several headers at the end; an empty block is begun.
pub struct Lines<'b>(&'b mut Vec<u8>);

impl<'b> Lines<'b> {
    pub fn behind(block: &'b mut Vec<u8>) -> Self {
        reopen(block);
        Self(block)
    }

    pub fn add(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        value(self.0);
        self.0.extend_from_slice(LINE_END);
    }

    pub fn text(&mut self, name: &str, value: &[u8]) {
        self.add(name, |block| block.extend_from_slice(value));
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.add(name, |block| {
            block.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        });
    }

    pub fn end(self) {
        self.0.extend_from_slice(LINE_END);
    }
}

/// Writes all up to a value.
fn open(block: &mut Vec<u8>, name: &str) {
    reopen(block);
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
}

/// Takes the empty line away, or begins the block.
fn reopen(block: &mut Vec<u8>) {
    if block.is_empty() {
        block.extend_from_slice(VERSION);
        block.extend_from_slice(LINE_END);
    } else if block.ends_with(b"\r\n\r\n") {
        block.truncate(block.len() - LINE_END.len());
    } else if !block.ends_with(LINE_END) {
        block.extend_from_slice(LINE_END);
    }
}

/// Puts a value in place of the first one under its name, or adds it at the end.
pub fn set(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    let Some(old) = get(block, name) else { return append(block, name, value) };
    let from = old.as_ptr().addr() - block.as_ptr().addr();
    block.splice(from..from + old.len(), value.iter().copied());
}

/// Removes all values under a name; tells whether there was one.
pub fn remove(block: &mut Vec<u8>, name: &str) -> bool {
    let before = block.len();
    retain(block, |found| found != name.as_bytes());
    block.len() < before
}

/// Removes the headers whose names are not to stay. A block left without any is empty, unless it
/// has a status.
pub fn retain(block: &mut Vec<u8>, mut stays: impl FnMut(&[u8]) -> bool) {
    let Some((_, first)) = line(block, 0) else { return };
    let (mut kept, mut at) = (first, first);
    while let Some((end, next)) = line(block, at) {
        if header(&block[at..end]).is_none_or(|(name, _)| stays(name)) {
            block.copy_within(at..next, kept);
            kept += next - at;
        }
        at = next;
    }
    if kept == at {
        return;
    }
    if kept == first && status(block).is_none() {
        return block.clear();
    }
    block.truncate(kept);
    block.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"NATS/1.0\r\nA: 1\r\nNats-Msg-Id:x y\r\nA:  2 \r\nEmpty:\r\n\r\n";

    fn text(block: &[u8]) -> &str {
        std::str::from_utf8(block).unwrap()
    }

    #[test]
    fn the_first_value_under_the_exact_name() {
        let rows: [(&str, Option<&str>); 7] = [
            ("A", Some("1")),
            ("a", None),
            ("Nats-Msg-Id", Some("x y")),
            ("Nats-Msg", None),
            ("Empty", Some("")),
            ("NATS/1.0", None),
            ("", None),
        ];
        for (name, value) in rows {
            assert_eq!(get(BLOCK, name).map(text), value, "{name}");
        }
        assert_eq!(get(b"", "A"), None);
    }

    #[test]
    fn headers_in_order() {
        let all: Vec<_> = iter(BLOCK).map(|(name, value)| (text(name), text(value))).collect();
        assert_eq!(all, [("A", "1"), ("Nats-Msg-Id", "x y"), ("A", "2 "), ("Empty", "")]);
    }

    #[test]
    fn what_is_readable_of_a_bad_block() {
        let rows: [(&[u8], &[&str]); 6] = [
            (b"NATS/1.0\r\nA: 1", &[]),
            (b"NATS/1.0\r\nA: 1\r\n", &["A"]),
            (b"NATS/1.0\r\nnothing\r\nA: 1\r\n\r\n", &["A"]),
            (b"NATS/1.0\r\n\r\nA: 1\r\n\r\n", &[]),
            (b"\r\nA: 1\r\n", &[]),
            (b"\n\r\n:\r\n\n", &[""]),
        ];
        for (block, names) in rows {
            let found: Vec<_> = iter(block).map(|(name, _)| text(name)).collect();
            assert_eq!(found, names, "{:?}", text(block));
        }
    }

    #[test]
    fn blocks_are_built_header_by_header() {
        let mut block = Vec::new();
        append(&mut block, "A", b"1");
        append_display(&mut block, "Nats-Sequence", 22);
        assert_eq!(text(&block), "NATS/1.0\r\nA: 1\r\nNats-Sequence: 22\r\n\r\n");
    }

    #[test]
    fn status_lines() {
        let mut block = b"old".to_vec();
        begin_status(&mut block, "404 No Messages");
        assert_eq!(text(&block), "NATS/1.0 404 No Messages\r\n\r\n");
        append(&mut block, "Nats-Pending-Messages", b"1");
        assert_eq!(text(&block), "NATS/1.0 404 No Messages\r\nNats-Pending-Messages: 1\r\n\r\n");
        assert_eq!(status(&block), Some((404, &b"No Messages"[..])));
        type Row<'a> = (&'a [u8], Option<(u16, &'a [u8])>);
        let rows: [Row<'_>; 5] = [
            (b"NATS/1.0 503\r\n\r\n", Some((503, b""))),
            (b"NATS/1.0\r\n\r\n", None),
            (b"NATS/1.0 5\r\n\r\n", None),
            (b"HTTP/1.1 200\r\n\r\n", None),
            (b"", None),
        ];
        for (block, expected) in rows {
            assert_eq!(status(block), expected, "{:?}", text(block));
        }
    }

    #[test]
    fn values_are_replaced_in_place() {
        let mut block = BLOCK.to_vec();
        set(&mut block, "A", b"long");
        set(&mut block, "Empty", b"no");
        set(&mut block, "B", b"3");
        assert_eq!(
            text(&block),
            "NATS/1.0\r\nA: long\r\nNats-Msg-Id:x y\r\nA:  2 \r\nEmpty:no\r\nB: 3\r\n\r\n"
        );
    }

    #[test]
    fn headers_are_removed() {
        let mut block = BLOCK.to_vec();
        assert!(!remove(&mut block, "B"));
        assert_eq!(block, BLOCK);
        assert!(remove(&mut block, "A"));
        assert_eq!(text(&block), "NATS/1.0\r\nNats-Msg-Id:x y\r\nEmpty:\r\n\r\n");
        retain(&mut block, |name| !name.starts_with(b"Nats-"));
        assert_eq!(text(&block), "NATS/1.0\r\nEmpty:\r\n\r\n");
        assert!(remove(&mut block, "Empty"));
        assert!(block.is_empty());
        let mut block = b"NATS/1.0 100 Idle\r\nA: 1\r\n\r\n".to_vec();
        assert!(remove(&mut block, "A"));
        assert_eq!(text(&block), "NATS/1.0 100 Idle\r\n\r\n");
    }

    #[test]
    fn no_block_is_too_bad() {
        let pieces: [&[u8]; 6] = [b"\r", b"\n", b"\r\n", b":", b"A", b"NATS/1.0"];
        for number in 0..6usize.pow(5) {
            let picks = (0..5u32).map(|place| pieces[number / 6usize.pow(place) % 6]);
            let block: Vec<u8> = picks.flatten().copied().collect();
            let count = iter(&block).count();
            assert!(count <= 5);
            let mut changed = block.clone();
            set(&mut changed, "A", b"v");
            remove(&mut changed, "A");
            assert_eq!(get(&changed, "A"), None, "{block:?}");
            status(&block);
        }
    }
}

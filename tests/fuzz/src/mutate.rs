//! Makes new inputs of old ones.

/// Words that the client protocol gives a meaning.
pub const PROTOCOL_WORDS: &[&str] = &[
    "PUB ",
    "HPUB ",
    "SUB ",
    "UNSUB ",
    "PING",
    "PONG",
    "CONNECT ",
    "INFO ",
    "+OK",
    "-ERR ",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "  ",
    "a.b",
    "a..b",
    ">",
    "*",
    "_INBOX.x",
    "0",
    "1",
    "00",
    "12",
    "000000001",
    "0000000001",
    "999999999",
    "-1",
    "+1",
    "1000",
    "1001",
    "{}",
    "{\"verbose\":true}",
    "NATS/1.0\r\n\r\n",
    "MSG ",
    "\0",
];

/// Words of the configuration's grammar.
pub const CONFIG_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    "=",
    ",",
    ";",
    "\n",
    "#",
    "//",
    "\"",
    "'",
    "\\x",
    "\\",
    "$",
    "$A",
    "A: 1\n",
    "include ",
    "include \"fuzz.conf\"\n",
    "port",
    "max_payload: ",
    "64MB",
    "1kib",
    "9223372036854775807",
    "-1",
    "1.5",
    "1e9",
    "\"2m\"",
    "10ms",
    "true",
    "off",
    "cluster {",
    "weft {",
    "2026-01-02T03:04:05Z",
    "\0",
    "\u{feff}",
    "é",
];

/// Words of the JetStream API, its acknowledgements and its headers.
pub const JETSTREAM_WORDS: &[&str] = &[
    "\n",
    " ",
    ".",
    "*",
    ">",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "0",
    "1",
    "-1",
    "1.5",
    "1e400",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1000000000",
    "\"x\"",
    "\"2030-01-01T00:00:00Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\u{ff}",
    "\"a b\"",
    "\"deliver_subject\":\"f.2\"",
    "\"deliver_subject\":\"_INBOX.e\"",
    "\"max_msgs\":1",
    "\"max_deliver\":1",
    "\"retention\":\"workqueue\"",
    "\"retention\":\"interest\"",
    "\"discard\":\"new\"",
    "\"storage\":\"memory\"",
    "\"ack_policy\":\"all\"",
    "\"ack_policy\":\"flow_control\"",
    "\"batch\":1000000",
    "\"expires\":1",
    "F",
    "M",
    "T",
    "c",
    "p",
    "f.1",
    "m.1",
    "f.>",
    "@60000\n",
    "\n$JS.API.STREAM.",
    "\n$JS.API.CONSUMER.",
    "\n$JS.API.CONSUMER.MSG.NEXT.F.c ",
    "\n$JS.API.DIRECT.GET.F ",
    "\n$JS.ACK.F.c.1.1.1.1.1 ",
    "\n$JS.ACK.F.c.1.18446744073709551615.18446744073709551615.1.1 ",
    "+ACK",
    "-NAK",
    "+WPI",
    "+NXT",
    "+TERM",
    "Nats-",
    ";",
    "é",
];

pub struct Mutator {
    state: u64,
    words: &'static [&'static str],
}

impl Mutator {
    pub fn new(seed: u64, words: &'static [&'static str]) -> Self {
        Self { state: seed | 1, words }
    }

    /// One of the corpus, changed a few times.
    pub fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input, corpus);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(16)).min(input.len());
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                let to = (from + self.below(64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            6 => {
                let other = &corpus[self.below(corpus.len())];
                input.extend_from_slice(other);
            }
            _ => {
                let word = self.words[self.below(self.words.len())];
                let end = if self.below(2) == 0 { at } else { end };
                input.splice(at..end, word.bytes());
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

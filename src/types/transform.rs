//! Rules that give subjects new names: `orders.*.>` to `o.{{wildcard(1)}}.>`. The functions, and
//! what is said of wrong ones, are the reference's (facts/core-protocol.md §11; compared with
//! nats-server 2.15.1).

mod call;

use std::fmt;
use std::io::Write;

use super::pattern::{self, Pattern};
use super::subject::SEPARATOR;
use call::Call;

/// What becomes of a subject that a pattern covers. Compiled once, applied without allocating.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transform {
    /// The pattern of the subjects it is for.
    source: Box<[u8]>,
    /// The tokens of the result; none: the subject stays as it is.
    parts: Vec<Part>,
}

/// One token of the destination.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(Box<[u8]>),
    /// The tokens from here on.
    Tail(usize),
    Function(Function),
}

/// Makes tokens of those at places of the subject, from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Function {
    Token(usize),
    /// A number below `count` that is the same for the same tokens; of no tokens, for the same
    /// subject.
    Partition {
        count: u32,
        tokens: Vec<usize>,
    },
    Random(u32),
    SplitFromLeft(usize, usize),
    SplitFromRight(usize, usize),
    SliceFromLeft(usize, usize),
    SliceFromRight(usize, usize),
    Split(usize, Box<[u8]>),
    Left(usize, usize),
    Right(usize, usize),
}

/// Why source and destination make no rule. Its text is the reference's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransformError {
    /// The source is no pattern, or the destination's wildcards do not fit it.
    Subject,
    /// Something is wrong in this token of the destination; empty: in none in particular.
    Destination { fault: Fault, token: String },
    /// A token asks for a wildcard that the source does not have.
    Index { token: String, index: i64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Transform,
    UnknownFunction,
    TooFewArguments,
    TooManyArguments,
    Argument,
    /// The source has no wildcards at all.
    Index,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Self::Transform => "invalid transform",
            Self::UnknownFunction => "unknown function",
            Self::TooFewArguments => "not enough arguments passed to the function",
            Self::TooManyArguments => "too many arguments passed to the function",
            Self::Argument => "function argument is invalid or in the wrong format",
            Self::Index => "wildcard index out of range",
        }
    }

    fn in_token(self, token: &str) -> TransformError {
        TransformError::Destination { fault: self, token: token.into() }
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("invalid subject"),
            Self::Destination { fault, token } => {
                write!(f, "invalid mapping destination: {}", fault.text())?;
                if token.is_empty() { Ok(()) } else { write!(f, " in {token}") }
            }
            Self::Index { token, index } => {
                let what = Fault::Index.text();
                write!(f, "invalid mapping destination: {what} in {token}: [{index}]")
            }
        }
    }
}

impl Transform {
    /// An empty source is all subjects; an empty destination leaves them as they are.
    pub fn parse(source: &str, destination: &str) -> Result<Self, TransformError> {
        let source = if source.is_empty() { ">" } else { source };
        if destination.is_empty() {
            return Ok(Self { source: source.as_bytes().into(), parts: Vec::new() });
        }
        check_destination(destination)?;
        let pattern = Pattern::parse(source.as_bytes()).ok_or(TransformError::Subject)?;
        let places: Vec<usize> = wildcards(pattern, b"*").collect();
        let tail = wildcards(pattern, b">").next();
        let tokens = || destination.split('.');
        if tokens().any(|token| token == "*") || tail.is_some() != tokens().any(|t| t == ">") {
            return Err(TransformError::Subject);
        }
        let stars = (!places.is_empty() || tail.is_some()).then_some(&places[..]);
        let part = |token| match (token, tail) {
            (">", Some(place)) => Ok(Part::Tail(place)),
            _ => part(token, stars),
        };
        let parts = tokens().map(part).collect::<Result<_, _>>()?;
        Ok(Self { source: source.as_bytes().into(), parts })
    }

    /// Whether the rule is for this subject.
    pub fn covers(&self, subject: &[u8]) -> bool {
        pattern::covers(&self.source, subject)
    }

    /// The pattern of the subjects it is for.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// A pattern that covers all it can make of subjects.
    pub fn results(&self) -> Vec<u8> {
        let mut pattern = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 {
                pattern.push(SEPARATOR);
            }
            match part {
                Part::Literal(token) => pattern.extend_from_slice(token),
                Part::Tail(_) => pattern.push(b'>'),
                Part::Function(_) => pattern.push(b'*'),
            }
        }
        if pattern.is_empty() { self.source.to_vec() } else { pattern }
    }

    /// Adds the new name of a subject that the rule covers. `chance` decides what is random.
    pub fn apply(&self, subject: &[u8], chance: u64, out: &mut Vec<u8>) {
        if self.parts.is_empty() {
            return out.extend_from_slice(subject);
        }
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 {
                out.push(SEPARATOR);
            }
            match part {
                Part::Literal(token) => out.extend_from_slice(token),
                Part::Tail(from) => out.extend_from_slice(tail(subject, *from)),
                Part::Function(function) => function.apply(subject, chance, out),
            }
        }
    }
}

/// The places of tokens that are this wildcard.
fn wildcards<'a>(pattern: Pattern<'a>, wildcard: &'a [u8]) -> impl Iterator<Item = usize> {
    pattern.tokens().enumerate().filter(move |(_, token)| *token == wildcard).map(|(at, _)| at)
}

/// Syntax, and names of functions. Their arguments come after the wildcards have been looked at.
fn check_destination(destination: &str) -> Result<(), TransformError> {
    let mut closed = false;
    for token in destination.split('.') {
        if token.is_empty() || closed {
            return Err(Fault::Transform.in_token(token));
        }
        if Call::may_be(token) {
            Call::find(token).ok_or_else(|| Fault::UnknownFunction.in_token(token))?;
        } else if token.contains([' ', '\t', '\n', '\r', '\u{c}']) {
            return Err(Fault::Transform.in_token(""));
        }
        closed = token == ">";
    }
    Ok(())
}

/// `stars` are the places of the source's `*`; `None`: the source has no wildcards at all.
fn part(token: &str, stars: Option<&[usize]>) -> Result<Part, TransformError> {
    let call = match token.strip_prefix('$').map(str::parse) {
        Some(Ok(index)) => Call::Wildcard(index),
        Some(Err(_)) => return Ok(Part::Literal(token.as_bytes().into())),
        None if Call::may_be(token) => match Call::find(token) {
            Some(named) => named.read().map_err(|fault| fault.in_token(token))?,
            None => return Err(Fault::UnknownFunction.in_token(token)),
        },
        None => return Ok(Part::Literal(token.as_bytes().into())),
    };
    let place = |index: i64| {
        let stars = stars.ok_or_else(|| Fault::Index.in_token(token))?;
        // The reference takes index 0 and below as the first token.
        let Ok(star) = usize::try_from(index.saturating_sub(1)) else { return Ok(0) };
        let out_of_range = || TransformError::Index { token: token.into(), index };
        stars.get(star).copied().ok_or_else(out_of_range)
    };
    let function = match call {
        Call::Wildcard(index) => Function::Token(place(index)?),
        Call::Partition { count, .. } if stars.is_none() => {
            Function::Partition { count, tokens: Vec::new() }
        }
        Call::Partition { count, indexes } => {
            let tokens = indexes.into_iter().map(place).collect::<Result<_, _>>()?;
            Function::Partition { count, tokens }
        }
        Call::Random(below) => Function::Random(below),
        Call::SplitFromLeft(index, at) => Function::SplitFromLeft(place(index)?, at),
        Call::SplitFromRight(index, at) => Function::SplitFromRight(place(index)?, at),
        Call::SliceFromLeft(index, size) => Function::SliceFromLeft(place(index)?, size),
        Call::SliceFromRight(index, size) => Function::SliceFromRight(place(index)?, size),
        Call::Split(index, by) => Function::Split(place(index)?, by.into_bytes().into()),
        Call::Left(index, len) => Function::Left(place(index)?, len),
        Call::Right(index, len) => Function::Right(place(index)?, len),
    };
    Ok(Part::Function(function))
}

impl Function {
    fn apply(&self, subject: &[u8], chance: u64, out: &mut Vec<u8>) {
        let token = |place: usize| tail(subject, place).split(|&byte| byte == SEPARATOR).next();
        let token = |place| token(place).unwrap_or_default();
        match self {
            Self::Token(place) => out.extend_from_slice(token(*place)),
            Self::Partition { count, tokens } if tokens.is_empty() => {
                number(out, remainder(fnv1a(subject.iter()), *count));
            }
            Self::Partition { count, tokens } => {
                let bytes = tokens.iter().flat_map(|&place| token(place));
                number(out, remainder(fnv1a(bytes), *count));
            }
            Self::Random(below) => number(out, remainder(scramble(chance), *below)),
            Self::SplitFromLeft(place, at) => {
                let token = token(*place);
                cut(out, token, if *at < token.len() { *at } else { 0 });
            }
            Self::SplitFromRight(place, at) => {
                let token = token(*place);
                cut(out, token, if *at > 0 { token.len().saturating_sub(*at) } else { 0 });
            }
            Self::SliceFromLeft(place, size) => slices(out, token(*place), 0, *size),
            Self::SliceFromRight(place, size) => {
                let token = token(*place);
                slices(out, token, token.len().checked_rem(*size).unwrap_or(0), *size);
            }
            Self::Split(place, by) => split(out, token(*place), by),
            Self::Left(place, len) => {
                let token = token(*place);
                out.extend_from_slice(&token[..end(token, *len)]);
            }
            Self::Right(place, len) => {
                let token = token(*place);
                out.extend_from_slice(&token[token.len() - end(token, *len)..]);
            }
        }
    }
}

/// The subject from its token at `place` on; empty if it has fewer tokens.
fn tail(subject: &[u8], place: usize) -> &[u8] {
    let mut rest = subject;
    for _ in 0..place {
        match memchr::memchr(SEPARATOR, rest) {
            Some(dot) => rest = &rest[dot + 1..],
            None => return &[],
        }
    }
    rest
}

/// How much of a token `len` bytes are; 0 and too many are all of it.
fn end(token: &[u8], len: usize) -> usize {
    if len == 0 { token.len() } else { len.min(token.len()) }
}

/// Two tokens of one, unless one of them would be empty.
fn cut(out: &mut Vec<u8>, token: &[u8], at: usize) {
    out.extend_from_slice(&token[..at]);
    if at > 0 {
        out.push(SEPARATOR);
    }
    out.extend_from_slice(&token[at..]);
}

/// Tokens of `size` bytes behind a `first` shorter one, if that has any bytes.
fn slices(out: &mut Vec<u8>, token: &[u8], first: usize, size: usize) {
    if size == 0 || size >= token.len() {
        return out.extend_from_slice(token);
    }
    let (first, rest) = token.split_at(first);
    let pieces = (!first.is_empty()).then_some(first).into_iter().chain(rest.chunks(size));
    join(out, pieces);
}

/// The pieces of a token between delimiters; an empty delimiter stands between all letters.
fn split(out: &mut Vec<u8>, token: &[u8], by: &[u8]) {
    if by.is_empty() {
        let starts = |byte: &u8| byte & 0xc0 != 0x80;
        return join(out, token.chunk_by(|_, next| !starts(next)));
    }
    let mut from = 0;
    let ends = memchr::memmem::find_iter(token, by).map(|at| (at, at + by.len()));
    let pieces = ends.chain([(token.len(), token.len())]).map(|(end, next)| {
        let piece = &token[from..end];
        from = next;
        piece
    });
    join(out, pieces.filter(|piece| !piece.is_empty()));
}

fn join<'a>(out: &mut Vec<u8>, pieces: impl Iterator<Item = &'a [u8]>) {
    for (place, piece) in pieces.enumerate() {
        if place > 0 {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(piece);
    }
}

fn number(out: &mut Vec<u8>, number: u32) {
    write!(out, "{number}").expect("a Vec takes everything");
}

fn remainder(hash: u32, count: u32) -> u32 {
    hash.checked_rem(count).unwrap_or(0)
}

/// The hash of partitions: every server and client has to have the same.
fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Spreads numbers that follow each other.
fn scramble(chance: u64) -> u32 {
    let mixed = (chance ^ chance >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests;
